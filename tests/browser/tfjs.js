// The network `mnist32` of `noiselab bench` in TensorFlow.js, to be measured on the same adapter: 32x32 grey, levels of 32,
// 64 and 64 channels, one residual layer each, attention in heads of 8 at 16x16 and in the middle, groups of 8. Runs in a
// page that has TensorFlow.js (`tf`) and its WebGPU backend.

globalThis.peer = async ({ batch, seconds }) => {
  await tf.setBackend("webgpu");
  await tf.ready();
  const CHANNELS = [32, 64, 64];
  const ATTENTION = [false, true, false];
  const GROUPS = 8;
  const HEAD = 8;
  const SIDE = 32;
  const EMBEDDED = 4 * CHANNELS[0];

  const variables = new Map();
  const variable = (name, shape, make) => {
    if (!variables.has(name)) variables.set(name, tf.variable(make(shape), true, name));
    return variables.get(name);
  };
  const weight = (name, shape) => {
    const spread = 1 / Math.sqrt(shape.slice(0, -1).reduce((a, b) => a * b, 1));
    return variable(name, shape, (s) => tf.randomUniform(s, -spread, spread));
  };
  const bias = (name, size) => variable(name, [size], (s) => tf.zeros(s));

  const silu = (x) => x.mul(tf.sigmoid(x));
  const linear = (name, x, size) =>
    tf.matMul(x, weight(`${name}.weight`, [x.shape[1], size])).add(bias(`${name}.bias`, size));
  const conv = (name, x, size, kernel = 3, stride = 1) => {
    const padded = stride === 2 ? tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]) : x;
    const made = tf.conv2d(padded, weight(`${name}.weight`, [kernel, kernel, x.shape[3], size]), stride,
      stride === 2 ? "valid" : "same");
    return made.add(bias(`${name}.bias`, size));
  };
  const norm = (name, x) => {
    const [b, h, w, c] = x.shape;
    const grouped = x.reshape([b, h * w, GROUPS, c / GROUPS]);
    const { mean, variance } = tf.moments(grouped, [1, 3], true);
    const normal = grouped.sub(mean).mul(tf.rsqrt(variance.add(1e-5))).reshape([b, h, w, c]);
    return normal.mul(variable(`${name}.weight`, [c], (s) => tf.ones(s))).add(bias(`${name}.bias`, c));
  };
  const residual = (name, x, embedded, size) => {
    let h = conv(`${name}.conv1`, silu(norm(`${name}.norm1`, x)), size);
    h = h.add(linear(`${name}.time`, embedded, size).reshape([-1, 1, 1, size]));
    h = conv(`${name}.conv2`, silu(norm(`${name}.norm2`, h)), size);
    return h.add(x.shape[3] === size ? x : conv(`${name}.shortcut`, x, size, 1));
  };
  const attention = (name, x) => {
    const [b, h, w, c] = x.shape;
    const tokens = norm(`${name}.norm`, x).reshape([b * h * w, c]);
    const heads = (part) =>
      linear(`${name}.${part}`, tokens, c).reshape([b, h * w, c / HEAD, HEAD]).transpose([0, 2, 1, 3]);
    const scores = tf.matMul(heads("q"), heads("k"), false, true).mul(1 / Math.sqrt(HEAD));
    const mixed = tf.matMul(tf.softmax(scores), heads("v")).transpose([0, 2, 1, 3]).reshape([b * h * w, c]);
    return linear(`${name}.out`, mixed, c).reshape([b, h, w, c]).add(x);
  };

  const network = (x, t) => {
    const half = CHANNELS[0] / 2;
    const frequencies = tf.exp(tf.range(0, half).mul(-Math.log(10000) / half));
    const angles = t.reshape([-1, 1]).mul(frequencies.reshape([1, half]));
    let embedded = tf.concat([tf.cos(angles), tf.sin(angles)], 1);
    embedded = silu(linear("time.2", silu(linear("time.1", embedded, EMBEDDED)), EMBEDDED));
    let h = conv("conv_in", x, CHANNELS[0]);
    const skips = [h];
    CHANNELS.forEach((size, i) => {
      h = residual(`down.${i}`, h, embedded, size);
      if (ATTENTION[i]) h = attention(`down.${i}.attention`, h);
      skips.push(h);
      if (i + 1 < CHANNELS.length) {
        h = conv(`down.${i}.down`, h, size, 3, 2);
        skips.push(h);
      }
    });
    const deepest = CHANNELS.at(-1);
    h = residual("mid.0", h, embedded, deepest);
    h = residual("mid.1", attention("mid.attention", h), embedded, deepest);
    [...CHANNELS].reverse().forEach((size, i) => {
      for (const j of [0, 1]) {
        h = residual(`up.${i}.${j}`, tf.concat([h, skips.pop()], 3), embedded, size);
        if (ATTENTION[CHANNELS.length - 1 - i]) h = attention(`up.${i}.${j}.attention`, h);
      }
      if (i + 1 < CHANNELS.length) {
        h = tf.image.resizeNearestNeighbor(h, [2 * h.shape[1], 2 * h.shape[2]]);
        h = conv(`up.${i}.up`, h, size);
      }
    });
    return conv("conv_out", silu(norm("norm_out", h)), 1);
  };

  const noise = () => tf.randomNormal([batch, SIDE, SIDE, 1]);
  const times = () => tf.randomUniform([batch], 0, 1000);
  const optimizer = tf.train.adam(2e-4);
  const train = async () => {
    const [x, t, goal] = [noise(), times(), noise()];
    const loss = optimizer.minimize(() => tf.losses.meanSquaredError(goal, network(x, t)), true);
    const [value] = await loss.data();
    if (!Number.isFinite(value)) throw new Error(`the loss is ${value}`);
    tf.dispose([x, t, goal, loss]);
  };
  const sample = async () => {
    const made = tf.tidy(() => {
      const x = noise();
      return x.sub(network(x, times()).mul(0.1));
    });
    await made.data();
    made.dispose();
  };
  const measure = async (step) => {
    await step();
    const begun = performance.now();
    const marks = [begun];
    while (marks.length < 3 || performance.now() - begun < 1e3 * seconds) {
      await step();
      marks.push(performance.now());
    }
    const steps = marks.slice(1).map((mark, i) => mark - marks[i]).sort((a, b) => a - b);
    return { images_per_s: (1e3 * batch) / steps[Math.floor(steps.length / 2)], steps: steps.length };
  };
  const sampling = await measure(sample);
  const training = await measure(train);
  const parameters = [...variables.values()].reduce((sum, v) => sum + v.size, 0);
  return { backend: tf.getBackend(), batch, parameters, training, sampling };
};

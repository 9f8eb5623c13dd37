// From stored pixels to what the network is trained on: x_0, t, noise, x_t and the target.
struct Params {
    batch: u32,       // B
    height: u32,      // H
    width: u32,       // W
    c4: u32,          // channels / 4
    channels: u32,    // C
    in_height: u32,   // of the stored images
    in_width: u32,
    top: u32,         // where the stored image lies in the H x W pixels
    left: u32,
    timesteps: u32,   // T
    stream: u32,      // of the random numbers
    step_source: u32, // 0 step_value, 1 state.micro_step, 2 state.inference_step
    step_value: u32,
    objective: u32,   // 0 epsilon, 1 sample, 2 v_prediction
    flags: u32,       // load: 1 mirror at random; timesteps: 1 stratified
    pad0: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> pixels: array<u32>;   // [B, in_height, in_width, C] bytes
@group(0) @binding(2) var<storage, read_write> x0: array<vec4f>;     // [B, H, W, C]
@group(0) @binding(3) var<storage, read_write> t: array<u32>;        // [B]
@group(0) @binding(4) var<storage, read_write> noise: array<vec4f>;  // [B, H, W, C]
@group(0) @binding(5) var<storage, read_write> table: array<vec2f>;  // [T], (sqrt(abar), sqrt(1 - abar))
@group(0) @binding(6) var<storage, read_write> x_t: array<vec4f>;    // [B, H, W, C]
@group(0) @binding(7) var<storage, read_write> goal: array<vec4f>;   // [B, H, W, C], the target
@group(0) @binding(8) var<storage, read_write> state: StepState;
@group(0) @binding(9) var<storage, read_write> quantiles: array<u32>;  // [T], t by its share of the draws

fn vec4s() -> u32 {
    return params.height * params.width * params.c4;
}

fn noise_at(i: u32) -> vec4f {
    let n = i / vec4s();
    return noise_of(n, i - n * vec4s());
}

fn byte_at(index: u32) -> f32 {
    return f32((pixels[index / 4u] >> (index % 4u * 8u)) & 255u);
}

// x0 from bytes; around the stored image lies black.
@compute @workgroup_size(64)
fn load(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * vec4s() {
        return;
    }
    let pixel = i / params.c4;
    let row = pixel / params.width;
    let n = row / params.height;
    // Beyond the edges these wrap around to large numbers.
    let y = row - n * params.height - params.top;
    var x = pixel - row * params.width - params.left;
    var v = vec4f(-1.0);
    if y < params.in_height && x < params.in_width {
        if (params.flags & 1u) != 0u {
            let coin = uniform4(seed(), params.stream, random_step(), state.batch_offset + n, 0u).x;
            if coin < state.flip_probability {
                x = params.in_width - 1u - x;
            }
        }
        let first = i % params.c4 * 4u;
        let at = ((n * params.in_height + y) * params.in_width + x) * params.channels + first;
        let last = params.channels - 1u - first;
        v = vec4f(
            byte_at(at),
            byte_at(at + min(1u, last)),
            byte_at(at + min(2u, last)),
            byte_at(at + min(3u, last)),
        );
        v = (2.0 * v - 255.0) * (1.0 / 255.0);
    }
    x0[i] = select(vec4f(), v, is_channel(i, params.c4, params.channels));
}

// t of each sample: the quantile of a number that is uniform in 0 .. T - 1.
@compute @workgroup_size(64)
fn timesteps(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = tile_index(workgroup, workgroups) * 64u + lane;
    if n >= params.batch {
        return;
    }
    let sample = state.batch_offset + n;
    let word = words4(seed(), params.stream, random_step(), sample, 0u).x;
    if (params.flags & 1u) == 0u {
        t[n] = quantiles[random_below(word, params.timesteps)];
        return;
    }
    // One sample from each of as many equal parts as the step has samples.
    let total = max(state.batch_total, 1u);
    let u = f32(sample % total) + uniform_from_words(vec4u(word)).x;
    let share = f32(params.timesteps) / f32(total);
    t[n] = quantiles[min(u32(u * share), params.timesteps - 1u)];
}

fn store(i: u32, z: vec4f) {
    let n = i / vec4s();
    let factors = table[min(t[n], params.timesteps - 1u)];
    let x = x0[i];
    x_t[i] = factors.x * x + factors.y * z;
    var y = z;
    if params.objective == 1u {
        y = x;
    } else if params.objective == 2u {
        y = factors.x * z - factors.y * x;
    }
    goal[i] = y;
}

// x_t and the target, the noise drawn here.
@compute @workgroup_size(64)
fn draw(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * vec4s() {
        return;
    }
    store(i, noise_at(i));
}

// x_t and the target from noise that is given.
@compute @workgroup_size(64)
fn given(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * vec4s() {
        return;
    }
    store(i, noise[i]);
}

@compute @workgroup_size(64)
fn normal(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * vec4s() {
        return;
    }
    noise[i] = noise_at(i);
}

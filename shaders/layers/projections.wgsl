// Several linear layers of the same input, all in one dispatch: y = [x W_0 + b_0, x W_1 + b_1, ...].
// A table says for each vec4 of y's columns where its layer's parameters are.
struct Params {
    batch: u32,       // B
    in_c4: u32,       // I / 4
    out_c4: u32,      // all columns / 4
    columns: u32,     // entries of the table: those that this dispatch works on
    accumulate: u32,  // backward_input: 1: add to dx
    bias_apart: u32,  // 1: biases are in `bias`, 0: in `weight`
    pad0: u32,
    pad1: u32,
}
struct Column {
    weight: u32,  // this column in the weight's first row, in vec4s
    stride: u32,  // from a row of the weight to the next
    bias: u32,    // of this column
    column: u32,  // in y
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;       // [B, I]
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;  // parameters or their gradients
@group(0) @binding(3) var<storage, read_write> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;       // [B, O] or its gradient
@group(0) @binding(5) var<storage, read_write> dx: array<vec4f>;      // [B, I]
@group(0) @binding(6) var<storage, read_write> table: array<Column>;

// One thread makes 4 samples of a column.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    let row = i / params.columns * 4u;
    if row >= params.batch {
        return;
    }
    let t = table[i % params.columns];
    var start = vec4f();
    if params.bias_apart != 0u {
        start = bias[t.bias];
    } else {
        start = weight[t.bias];
    }
    var s0 = start; var s1 = start; var s2 = start; var s3 = start;
    let last = params.batch - 1u;
    let r0 = row * params.in_c4;
    let r1 = min(row + 1u, last) * params.in_c4;
    let r2 = min(row + 2u, last) * params.in_c4;
    let r3 = min(row + 3u, last) * params.in_c4;
    var at = t.weight;
    for (var c = 0u; c < params.in_c4; c++) {
        let w0 = weight[at];
        let w1 = weight[at + t.stride];
        let w2 = weight[at + 2u * t.stride];
        let w3 = weight[at + 3u * t.stride];
        at += 4u * t.stride;
        s0 = mac(s0, x[r0 + c], w0, w1, w2, w3);
        s1 = mac(s1, x[r1 + c], w0, w1, w2, w3);
        s2 = mac(s2, x[r2 + c], w0, w1, w2, w3);
        s3 = mac(s3, x[r3 + c], w0, w1, w2, w3);
    }
    let to = row * params.out_c4 + t.column;
    y[to] = s0;
    if row + 1u < params.batch {
        y[to + params.out_c4] = s1;
    }
    if row + 2u < params.batch {
        y[to + 2u * params.out_c4] = s2;
    }
    if row + 3u < params.batch {
        y[to + 3u * params.out_c4] = s3;
    }
}

// dx (+)= sum over the layers of dy W^T. One thread makes 4 channels of a sample.
@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    let row = i / params.in_c4;
    if row >= params.batch {
        return;
    }
    let c = i - row * params.in_c4;
    var sum = vec4f();
    for (var k = 0u; k < params.columns; k++) {
        let t = table[k];
        let at = t.weight + 4u * c * t.stride;
        let dy = y[row * params.out_c4 + t.column];
        sum += vec4f(
            dot(dy, weight[at]),
            dot(dy, weight[at + t.stride]),
            dot(dy, weight[at + 2u * t.stride]),
            dot(dy, weight[at + 3u * t.stride]),
        );
    }
    if params.accumulate != 0u {
        sum += dx[i];
    }
    dx[i] = sum;
}

// dW += sum over the batch of x dy, db += that of dy. One thread makes 4 by 4 channels.
@compute @workgroup_size(64)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    let c = i / params.columns;
    if c >= params.in_c4 {
        return;
    }
    let t = table[i % params.columns];
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var sum = vec4f();
    // Not params.batch: where uniforms alone tell how often a loop runs, lavapipe (Mesa 22) may unroll it for their
    // values, and then compiles this kernel anew in every step and keeps all that it compiled.
    let batch = arrayLength(&y) / params.out_c4;
    for (var row = 0u; row < batch; row++) {
        let v = x[row * params.in_c4 + c];
        let dy = y[row * params.out_c4 + t.column];
        s0 = fma(dy, vec4f(v.x), s0);
        s1 = fma(dy, vec4f(v.y), s1);
        s2 = fma(dy, vec4f(v.z), s2);
        s3 = fma(dy, vec4f(v.w), s3);
        sum += dy;
    }
    let at = t.weight + 4u * c * t.stride;
    weight[at] += s0;
    weight[at + t.stride] += s1;
    weight[at + 2u * t.stride] += s2;
    weight[at + 3u * t.stride] += s3;
    if c == 0u {
        if params.bias_apart != 0u {
            bias[t.bias] += sum;
        } else {
            weight[t.bias] += sum;
        }
    }
}

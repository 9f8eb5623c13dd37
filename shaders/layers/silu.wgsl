// SiLU: y = x / (1 + exp(-x)).
struct Params {
    vec4s: u32,       // vec4s in the tensor
    accumulate: u32,  // 1: add to dx
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;   // [B, H, W, C]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;   // [B, H, W, C] or its gradient
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;  // [B, H, W, C]

// No exponential beyond the range of f32.
fn sigmoid(v: vec4f) -> vec4f {
    return 1.0 / (1.0 + exp(-max(v, vec4f(-80.0))));
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.vec4s {
        return;
    }
    let v = x[i];
    y[i] = v * sigmoid(v);
}

@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.vec4s {
        return;
    }
    let v = x[i];
    let s = sigmoid(v);
    var d = y[i] * s * (1.0 + v * (1.0 - s));
    if params.accumulate != 0u {
        d += dx[i];
    }
    dx[i] = d;
}

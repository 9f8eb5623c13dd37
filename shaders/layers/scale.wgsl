// y = x * mul + add on the C channels; the padding stays zero.
struct Params {
    vec4s: u32,       // vec4s in the tensor
    c4: u32,          // C / 4, rounded up
    channels: u32,    // C
    mul: f32,
    add: f32,
    accumulate: u32,  // 1: add to y
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;  // [B, H, W, C], or the gradient of y
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // [B, H, W, C], or the gradient of x

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
    let channel = vec4u(4u * (i % params.c4)) + vec4u(0u, 1u, 2u, 3u);
    let shift = select(vec4f(), vec4f(params.add), channel < vec4u(params.channels));
    var v = x[i] * params.mul + shift;
    if params.accumulate != 0u {
        v += y[i];
    }
    y[i] = v;
}

// Sums. y = a + b; and for gradients, y (+)= a.
struct Params {
    vec4s: u32,       // vec4s in the tensor
    accumulate: u32,  // 1: add to y
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<vec4f>;  // [B, H, W, C]
@group(0) @binding(2) var<storage, read_write> b: array<vec4f>;  // [B, H, W, C]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // [B, H, W, C]

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
    y[i] = a[i] + b[i];
}

@compute @workgroup_size(64)
fn accumulate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.vec4s {
        return;
    }
    var v = a[i];
    if params.accumulate != 0u {
        v += y[i];
    }
    y[i] = v;
}

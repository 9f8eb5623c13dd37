// Nearest-neighbour upsampling by 2. One thread takes a vec4 of the small tensor.
struct Params {
    rows: u32,        // B * H of the small tensor
    w: u32,           // W of the small tensor
    c4: u32,          // C / 4
    accumulate: u32,  // 1: add to x
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;  // [B, H, W, C] or its gradient
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // [B, 2 H, 2 W, C] or its gradient

// The vec4 of y at the upper left of the four that belong to vec4 i of x.
fn upper_left(i: u32) -> u32 {
    let pixel = i / params.c4;
    let column = i - pixel * params.c4;
    let row = pixel / params.w;
    return (4u * row * params.w + 2u * (pixel - row * params.w)) * params.c4 + column;
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.rows * params.w * params.c4 {
        return;
    }
    let above = upper_left(i);
    let below = above + 2u * params.w * params.c4;
    let v = x[i];
    y[above] = v;
    y[above + params.c4] = v;
    y[below] = v;
    y[below + params.c4] = v;
}

@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.rows * params.w * params.c4 {
        return;
    }
    let above = upper_left(i);
    let below = above + 2u * params.w * params.c4;
    var v = (y[above] + y[above + params.c4]) + (y[below] + y[below + params.c4]);
    if params.accumulate != 0u {
        v += x[i];
    }
    x[i] = v;
}

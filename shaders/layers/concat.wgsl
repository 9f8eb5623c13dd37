// Concatenation along channels. Where the first operand's channels are no multiple of 4, the
// vec4s of the second straddle those of the output and are put together from two.
struct Params {
    pixels: u32,      // B * H * W
    a4: u32,          // channels of a / 4, rounded up
    b4: u32,          // channels of b / 4, rounded up
    y4: u32,          // channels of y / 4, rounded up
    rest: u32,        // channels of a, modulo 4
    column: u32,      // backward: first column computed, of the a4 + b4 of both gradients
    columns: u32,     // backward: columns computed
    accumulate: u32,  // backward: 1: add to a, 2: add to b
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<vec4f>;  // [B, H, W, Ca] or its gradient
@group(0) @binding(2) var<storage, read_write> b: array<vec4f>;  // [B, H, W, Cb] or its gradient
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // [B, H, W, Ca + Cb] or its gradient

// The four numbers that start at place `by` of the eight in `low` and `high`.
fn shifted(low: vec4f, high: vec4f, by: u32) -> vec4f {
    if by == 0u {
        return low;
    } else if by == 1u {
        return vec4f(low.yzw, high.x);
    } else if by == 2u {
        return vec4f(low.zw, high.xy);
    }
    return vec4f(low.w, high.xyz);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.pixels * params.y4 {
        return;
    }
    let pixel = i / params.y4;
    let column = i - pixel * params.y4;
    // Columns of y before a4 hold a, whose padding is zero; b begins inside the last of them
    // unless rest is 0.
    var v = vec4f();
    if column < params.a4 {
        v = a[pixel * params.a4 + column];
    }
    var low = vec4f();
    var high = vec4f();
    let at = pixel * params.b4;
    if column >= params.a4 {
        low = b[at + column - params.a4];
    }
    if params.rest != 0u && column + 1u >= params.a4 && column + 1u < params.a4 + params.b4 {
        high = b[at + column + 1u - params.a4];
    }
    y[i] = v + shifted(low, high, (4u - params.rest) % 4u);
}

@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.pixels * params.columns {
        return;
    }
    let pixel = i / params.columns;
    let column = params.column + i - pixel * params.columns;
    let base = pixel * params.y4;
    if column < params.a4 {
        var v = y[base + column];
        if params.rest != 0u && column + 1u == params.a4 {
            v = select(vec4f(), v, vec4u(0u, 1u, 2u, 3u) < vec4u(params.rest));
        }
        let to = pixel * params.a4 + column;
        if (params.accumulate & 1u) != 0u {
            v += a[to];
        }
        a[to] = v;
        return;
    }
    // With a rest, b begins in the last column of a.
    let k = column - params.a4;
    let start = column - u32(params.rest != 0u);
    let low = y[base + start];
    var high = vec4f();
    if params.rest != 0u && start + 1u < params.y4 {
        high = y[base + start + 1u];
    }
    var v = shifted(low, high, params.rest);
    let to = pixel * params.b4 + k;
    if (params.accumulate & 2u) != 0u {
        v += b[to];
    }
    b[to] = v;
}

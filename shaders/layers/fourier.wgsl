// Fourier features: y = [x, sin(w_0 x), cos(w_0 x), sin(w_1 x), cos(w_1 x), ...], w_k = first 2^k. Needs shared/rng.wgsl.
struct Params {
    pixels: u32,      // B H W
    c4: u32,          // vec4s of x in a pixel
    channels: u32,    // C
    out_c4: u32,      // vec4s of y in a pixel
    octaves: u32,     // K
    turns: f32,       // first / (2 pi)
    accumulate: u32,  // 1: add to dx
    pad0: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;   // [B, H, W, C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [B, H, W, C (1 + 2 K)] or its gradient
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;  // [B, H, W, C]

// (cos, sin) of w_k v; sin and cos of WGSL promise little far from zero.
fn cos_sin(v: f32, k: u32) -> vec2f {
    let turns = v * params.turns * f32(1u << k);
    return rng_cos_sin_turns(turns - floor(turns));
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.pixels * params.out_c4 {
        return;
    }
    let pixel = i / params.out_c4;
    for (var j = 0u; j < 4u; j++) {
        let channel = (i - pixel * params.out_c4) * 4u + j;
        let group = channel / params.channels;
        let v = x[pixel * params.c4 * 4u + channel - group * params.channels];
        var value = 0.0;
        if group == 0u {
            value = v;
        } else if group <= 2u * params.octaves {
            let both = cos_sin(v, (group - 1u) / 2u);
            value = select(both.x, both.y, (group & 1u) != 0u);
        }
        y[4u * i + j] = value;
    }
}

@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.pixels * params.c4 {
        return;
    }
    let pixel = i / params.c4;
    let grads = pixel * params.out_c4 * 4u;
    var sum = vec4f();
    for (var j = 0u; j < 4u; j++) {
        let channel = (i - pixel * params.c4) * 4u + j;
        if channel >= params.channels {
            continue;
        }
        let v = x[4u * i + j];
        var d = y[grads + channel];
        for (var k = 0u; k < params.octaves; k++) {
            let both = cos_sin(v, k);
            let at = grads + (1u + 2u * k) * params.channels + channel;
            let slope = both.x * y[at] - both.y * y[at + params.channels];
            d += 6.2831855 * params.turns * f32(1u << k) * slope;
        }
        sum[j] = d;
    }
    if params.accumulate != 0u {
        sum += dx[i];
    }
    dx[i] = sum;
}

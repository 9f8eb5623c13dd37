// Dropout: y = x / (1 - p) where the element's random word is at least p * 2^32, else 0. The
// words are drawn again for the backward pass, so no mask is stored. Needs shared/rng.wgsl.
struct Params {
    vec4s: u32,         // vec4s in the tensor
    sample_vec4s: u32,  // vec4s a sample
    threshold: u32,     // p * 2^32
    stream: u32,
    scale: f32,         // 1 / (1 - p)
    accumulate: u32,    // 1: add to y
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;    // [B, H, W, C], or the gradient of y
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;    // [B, H, W, C], or the gradient of x
@group(0) @binding(3) var<storage, read_write> state: array<u32>;  // [seed low, seed high, step, ...]

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
    let sample = i / params.sample_vec4s;
    let block = i - sample * params.sample_vec4s;
    let words = words4(vec2u(state[0], state[1]), params.stream, state[2], state[4] + sample, block);
    var v = select(vec4f(), x[i] * params.scale, words >= vec4u(params.threshold));
    if params.accumulate != 0u {
        v += y[i];
    }
    y[i] = v;
}

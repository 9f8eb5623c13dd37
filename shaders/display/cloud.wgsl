// Points of the plane as a picture: counts them by pixel, then paints the counts.
struct Params {
    points: u32,  // N
    side: u32,    // pixels a side
    layer: u32,   // of the film
    extent: f32,  // half the side of the square that is shown
    tone: f32,    // 1 / ln(1 + the count that is painted opaque)
    pad0: u32,
    pad1: u32,
    pad2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> points: array<vec4u>;         // [N, 2], padded to 4: bits of f32
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;   // [side, side], zero before count
@group(0) @binding(3) var film: texture_storage_2d_array<rgba8unorm, write>;

// Sums of integers: exact, in whatever order they are made.
@compute @workgroup_size(64)
fn count(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let i = id.y * workgroups.x * 64u + id.x;
    if i >= params.points {
        return;
    }
    let bits = points[i].xy;
    // A shader may take no comparison of a NaN at its word: the bits tell. Infinities go as well.
    if any((bits & vec2u(0x7F800000u)) == vec2u(0x7F800000u)) {
        return;
    }
    let at = bitcast<vec2f>(bits);
    if any(abs(at) >= vec2f(params.extent)) {
        return;
    }
    // y points up, rows go down.
    let place = vec2f(at.x, -at.y) / params.extent * 0.5 + 0.5;
    let last = params.side - 1u;
    let column = min(u32(place.x * f32(params.side)), last);
    let row = min(u32(place.y * f32(params.side)), last);
    atomicAdd(&counts[row * params.side + column], 1u);
}

// White with an alpha (premultiplied) that grows with the logarithm of the count.
@compute @workgroup_size(8, 8)
fn paint(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.side || id.y >= params.side {
        return;
    }
    let n = atomicLoad(&counts[id.y * params.side + id.x]);
    let alpha = clamp(log(1.0 + f32(n)) * params.tone, 0.0, 1.0);
    textureStore(film, id.xy, params.layer, vec4f(alpha));
}

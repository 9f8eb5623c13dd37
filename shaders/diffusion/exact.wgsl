// The exact answer for a mixture of isotropic Gaussians: E[eps | x_t] and ln q(x_t).
//
//   v_k  = abar variance_k + 1 - abar
//   e_k  = -|x - sqrt(abar) mean_k|^2 / (2 v_k)
//   q    = sum_k weight_k exp(e_k) / (2 pi v_k)
//   eps  = sqrt(1 - abar) sum_k r_k (x - sqrt(abar) mean_k) / v_k,   r_k ~ weight_k exp(e_k) / v_k
//
// One thread a point; one pass over the components, four at a time, with a running maximum of e_k.
struct Params {
    batch: u32,       // B
    blocks: u32,      // K, padded to a multiple of 4, over 4
    timesteps: u32,   // T
    flags: u32,       // 1 writes log_q
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;           // [B, 2], padded to 4
@group(0) @binding(2) var<storage, read_write> t: array<u32>;             // [B]
@group(0) @binding(3) var<storage, read_write> table: array<vec2f>;       // [T], (sqrt(abar), sqrt(1 - abar))
@group(0) @binding(4) var<storage, read_write> components: array<vec4f>;  // [K], (mean, weight, variance)
@group(0) @binding(5) var<storage, read_write> eps: array<vec4f>;         // [B, 2], padded to 4
@group(0) @binding(6) var<storage, read_write> log_q: array<f32>;         // [B]

// Turns of a loop: lavapipe stops a shader that makes more than 65535.
const MOST: u32 = 32768u;
const LN_TAU: f32 = 1.8378770664;

@compute @workgroup_size(64)
fn denoise(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = tile_index(workgroup, workgroups) * 64u + lane;
    if n >= params.batch {
        return;
    }
    // So far out, squares would overflow.
    let at = clamp(x[n].xy, vec2f(-1e9), vec2f(1e9));
    let factors = table[min(t[n], params.timesteps - 1u)];
    let alpha_bar = factors.x * factors.x;
    let rest = factors.y * factors.y;
    var most = -3.0e38;
    var sum = 0.0;
    var pull = vec2f(0.0);
    for (var block = 0u; block < min(params.blocks, MOST); block++) {
        let a = components[4u * block];
        let b = components[4u * block + 1u];
        let c = components[4u * block + 2u];
        let d = components[4u * block + 3u];
        let dx = vec4f(at.x) - factors.x * vec4f(a.x, b.x, c.x, d.x);
        let dy = vec4f(at.y) - factors.x * vec4f(a.y, b.y, c.y, d.y);
        let inverse = 1.0 / (alpha_bar * vec4f(a.w, b.w, c.w, d.w) + rest);
        let e = -0.5 * (dx * dx + dy * dy) * inverse;
        let now = max(max(most, max(e.x, e.y)), max(e.z, e.w));
        let keep = exp(most - now);
        let share = vec4f(a.z, b.z, c.z, d.z) * inverse * exp(e - vec4f(now));
        sum = sum * keep + dot(share, vec4f(1.0));
        let force = share * inverse;
        pull = pull * keep + vec2f(dot(force, dx), dot(force, dy));
        most = now;
    }
    let mean = pull / sum * factors.y;
    eps[n] = vec4f(mean, 0.0, 0.0);
    if (params.flags & 1u) != 0u {
        log_q[n] = most + log(sum) - LN_TAU;
    }
}

// The exact answer for a mixture of isotropic Gaussians: E[eps | x_t] and ln q(x_t).
//
//   v_k  = abar variance_k + 1 - abar
//   e_k  = -|x - sqrt(abar) mean_k|^2 / (2 v_k)
//   q    = sum_k weight_k exp(e_k) / (2 pi v_k)
//   eps  = sqrt(1 - abar) sum_k r_k (x - sqrt(abar) mean_k) / v_k,   r_k ~ weight_k exp(e_k) / v_k
//
// A thread has four points, the components of its vec4s, as loads cost more than arithmetic. One pass over the mixture,
// four Gaussians at a time, with a running maximum of e_k.
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

struct Level {
    scale: vec4f,      // sqrt(abar)
    alpha_bar: vec4f,
    rest: vec4f,       // 1 - abar
    noise: vec4f,      // its root
}

// Of one Gaussian: its distance from the points, 1 / v and e.
struct Apart {
    dx: vec4f,
    dy: vec4f,
    inverse: vec4f,
    e: vec4f,
}

fn apart(x: vec4f, y: vec4f, level: Level, c: vec4f) -> Apart {
    var found: Apart;
    found.dx = x - level.scale * c.x;
    found.dy = y - level.scale * c.y;
    found.inverse = 1.0 / (level.alpha_bar * c.w + level.rest);
    found.e = -0.5 * (found.dx * found.dx + found.dy * found.dy) * found.inverse;
    return found;
}

@compute @workgroup_size(64)
fn denoise(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = 4u * (tile_index(workgroup, workgroups) * 64u + lane);
    if first >= params.batch {
        return;
    }
    var x4: vec4f;
    var y4: vec4f;
    var level: Level;
    for (var i = 0u; i < 4u; i++) {
        let n = min(first + i, params.batch - 1u);
        // So far out, squares would overflow.
        let at = clamp(x[n].xy, vec2f(-1e9), vec2f(1e9));
        let factors = table[min(t[n], params.timesteps - 1u)];
        x4[i] = at.x;
        y4[i] = at.y;
        level.scale[i] = factors.x;
        level.noise[i] = factors.y;
    }
    level.alpha_bar = level.scale * level.scale;
    level.rest = level.noise * level.noise;
    var most = vec4f(-3.0e38);
    var sum = vec4f(0.0);
    var pull_x = vec4f(0.0);
    var pull_y = vec4f(0.0);
    for (var block = 0u; block < min(params.blocks, MOST); block++) {
        let ca = components[4u * block];
        let cb = components[4u * block + 1u];
        let cc = components[4u * block + 2u];
        let cd = components[4u * block + 3u];
        let a = apart(x4, y4, level, ca);
        let b = apart(x4, y4, level, cb);
        let c = apart(x4, y4, level, cc);
        let d = apart(x4, y4, level, cd);
        let now = max(max(most, max(a.e, b.e)), max(c.e, d.e));
        let keep = exp(most - now);
        let share_a = ca.z * a.inverse * exp(a.e - now);
        let share_b = cb.z * b.inverse * exp(b.e - now);
        let share_c = cc.z * c.inverse * exp(c.e - now);
        let share_d = cd.z * d.inverse * exp(d.e - now);
        sum = sum * keep + share_a + share_b + share_c + share_d;
        let force_a = share_a * a.inverse;
        let force_b = share_b * b.inverse;
        let force_c = share_c * c.inverse;
        let force_d = share_d * d.inverse;
        pull_x = pull_x * keep + force_a * a.dx + force_b * b.dx + force_c * c.dx + force_d * d.dx;
        pull_y = pull_y * keep + force_a * a.dy + force_b * b.dy + force_c * c.dy + force_d * d.dy;
        most = now;
    }
    let eps_x = pull_x / sum * level.noise;
    let eps_y = pull_y / sum * level.noise;
    let log_density = most + log(sum) - vec4f(LN_TAU);
    for (var i = 0u; i < 4u; i++) {
        if first + i < params.batch {
            eps[first + i] = vec4f(eps_x[i], eps_y[i], 0.0, 0.0);
            if (params.flags & 1u) != 0u {
                log_q[first + i] = log_density[i];
            }
        }
    }
}

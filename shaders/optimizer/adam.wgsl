// The optimiser over flat chunks of parameters: the norm of the whole gradient, then Adam (or
// AdamW), the moving average of the weights, and gradients set back to zero, in one pass.
struct Params {
    vec4s: u32,          // vec4s in the chunk
    run: u32,            // vec4s that one thread takes
    first_partial: u32,  // where the chunk's partial sums start
    partials: u32,       // partial sums of all chunks
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<vec4f>;    // [N]
@group(0) @binding(2) var<storage, read_write> grad: array<vec4f>;      // [N]
@group(0) @binding(3) var<storage, read_write> m: array<vec4f>;         // [N], first moment
@group(0) @binding(4) var<storage, read_write> v: array<vec4f>;         // [N], second moment
@group(0) @binding(5) var<storage, read_write> ema: array<vec4f>;       // [N], moving average
@group(0) @binding(6) var<storage, read_write> partial: array<f32>;     // [partials]
@group(0) @binding(7) var<storage, read_write> stats: StepStats;
@group(0) @binding(8) var<storage, read_write> state: StepState;

// A group takes 64 * run vec4s; its threads take turns, so that neighbours read neighbours.

// One partial sum of squares a thread.
@compute @workgroup_size(64)
fn squares(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let first = tile * 64u * params.run;
    if first >= params.vec4s {
        return;
    }
    let end = min(first + 64u * params.run, params.vec4s);
    // Two sums keep the rounding error down.
    var s0 = vec4f();
    var s1 = vec4f();
    var i = first + lane;
    for (; i + 64u < end; i += 128u) {
        let a = grad[i];
        let b = grad[i + 64u];
        s0 += a * a;
        s1 += b * b;
    }
    if i < end {
        let a = grad[i];
        s0 += a * a;
    }
    let s = s0 + s1;
    partial[params.first_partial + tile * 64u + lane] = (s.x + s.y) + (s.z + s.w);
}

var<workgroup> sums: array<f32, 64>;

// The norm from the partial sums, in one group.
@compute @workgroup_size(64)
fn norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var sum = 0.0;
    for (var i = lane; i < params.partials; i += 64u) {
        sum += partial[i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    if lane != 0u || tile_index(workgroup, workgroups) != 0u {
        return;
    }
    var total = 0.0;
    for (var i = 0u; i < 64u; i++) {
        total += sums[i];
    }
    let norm = state.grad_scale * (state.inverse_loss_scale * sqrt(total));
    // By its bits: a compiler may take it that no number is NaN.
    let finite = (bitcast<u32>(norm) & 0x7F800000u) != 0x7F800000u;
    var clip = 0.0;
    if finite {
        clip = 1.0;
        if state.clip_norm > 0.0 {
            clip = min(1.0, state.clip_norm / (norm + 1e-6));
        }
    }
    stats.grad_norm = norm;
    stats.clip = clip;
    stats.skipped = select(1u, 0u, finite);
}

@compute @workgroup_size(64)
fn update(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = tile_index(workgroup, workgroups) * 64u * params.run;
    let end = min(first + 64u * params.run, params.vec4s);
    let skipped = stats.skipped != 0u;
    let scale = state.grad_scale * state.inverse_loss_scale * stats.clip;
    let decoupled = (state.flags & ADAM_DECOUPLED) != 0u;
    let keep = select(1.0, 1.0 - state.lr * state.weight_decay, decoupled);
    let decay = select(state.weight_decay, 0.0, decoupled);
    let beta1 = state.beta1;
    let beta2 = state.beta2;
    let rest1 = state.one_minus_beta1;
    let rest2 = state.one_minus_beta2;
    let step_size = state.lr / state.bias_correction1;
    let root = 1.0 / sqrt(state.bias_correction2);
    let eps = state.adam_eps;
    let rest_ema = state.one_minus_ema_decay;
    let copy = (state.flags & EMA_COPY) != 0u;
    for (var i = first + lane; i < end; i += 64u) {
        if !skipped {
            var w = weight[i];
            let g = grad[i] * scale + decay * w;
            let m1 = beta1 * m[i] + rest1 * g;
            let v1 = beta2 * v[i] + rest2 * (g * g);
            w = keep * w - step_size * (m1 / (sqrt(v1) * root + eps));
            m[i] = m1;
            v[i] = v1;
            weight[i] = w;
            let average = ema[i];
            ema[i] = select(average + rest_ema * (w - average), w, copy);
        }
        grad[i] = vec4f();
    }
}

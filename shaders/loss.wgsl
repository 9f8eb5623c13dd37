// The training loss of a batch, with n a sample and D = C * H * W:
//
//   loss = 1/B * sum over n of weight_n * (simple * mse_n + bound * vlb_n)
//   mse_n = 1/D * sum (out - target)^2
//   vlb_n = constant[t] + factor[t] * mse_n                          t > 0, KL of two Gaussians
//   vlb_n = 1/D * sum -ln p(x0 | x_t)                                t = 0, discretised Gaussian
//
// src/nn/loss.rs says what the weights are; the decoder is src/diffusion/loss_weight.rs in f32.
struct Params {
    batch: u32,         // B
    vec4s: u32,         // vec4s of a sample
    c4: u32,            // channels / 4
    channels: u32,      // C
    splits: u32,        // parts of a sample in `sums`
    split_vec4s: u32,   // vec4s a part, at most 32768
    timesteps: u32,     // T
    flags: u32,         // 1 weights are given, 2 the bound's operands are given
    simple: f32,
    bound: f32,
    inverse_dims: f32,  // 1 / D
    inverse_batch: f32, // 1 / B
    mean_from_x: f32,   // the decoder's mean: mean_from_x * x_t + mean_from_out * out
    mean_from_out: f32,
    inverse_sigma: f32, // 1 / the decoder's standard deviation
    grad_factor: f32,   // of the gradient alone
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;      // [B, H, W, C], the network's output
@group(0) @binding(2) var<storage, read_write> goal: array<vec4f>;     // [B, H, W, C], the target
@group(0) @binding(3) var<storage, read_write> x0: array<vec4f>;       // [B, H, W, C]
@group(0) @binding(4) var<storage, read_write> x_t: array<vec4f>;      // [B, H, W, C]
@group(0) @binding(5) var<storage, read_write> t: array<u32>;          // [B]
@group(0) @binding(6) var<storage, read_write> weight: array<f32>;     // [B]
@group(0) @binding(7) var<storage, read_write> table: array<vec2f>;    // [T], (constant, factor)
@group(0) @binding(8) var<storage, read_write> grad: array<vec4f>;     // [B, H, W, C], of out
@group(0) @binding(9) var<storage, read_write> partial: array<vec2f>;  // [B, splits], (squares, -ln p)
@group(0) @binding(10) var<storage, read_write> mse: array<f32>;       // [B]
@group(0) @binding(11) var<storage, read_write> vlb: array<f32>;       // [B]
@group(0) @binding(12) var<storage, read_write> stats: StepStats;
@group(0) @binding(13) var<storage, read_write> state: StepState;

const HALF_BIN: f32 = 1.0 / 255.0;
const EDGE: f32 = 0.999;
const MIN_LOG_PROBABILITY: f32 = -27.631021;
const SLOPE: f32 = 1.5957691;
const CUBIC: f32 = 0.044715;

struct Decoder {
    nll: vec4f,    // -ln p(x0 | x_t)
    slope: vec4f,  // its derivative by the mean
}

fn logistic(x: vec4f) -> vec4f {
    return 1.0 / (1.0 + exp(clamp(-x, vec4f(-80.0), vec4f(80.0))));
}

fn softplus(x: vec4f) -> vec4f {
    return max(x, vec4f()) + log(1.0 + exp(-abs(x)));
}

// Equation 13. Nothing cancels: the difference p - m and that of the slopes are taken as products.
fn decoder(pixel: vec4f, mean: vec4f) -> Decoder {
    let inv = params.inverse_sigma;
    let zp = (pixel - mean + HALF_BIN) * inv;
    let zm = (pixel - mean - HALF_BIN) * inv;
    let p = SLOPE * zp * (1.0 + CUBIC * zp * zp);
    let m = SLOPE * zm * (1.0 + CUBIC * zm * zm);
    let slope_p = SLOPE * (1.0 + 3.0 * CUBIC * zp * zp);
    let slope_m = SLOPE * (1.0 + 3.0 * CUBIC * zm * zm);
    let dz = 2.0 * HALF_BIN * inv;
    let d = SLOPE * dz * (1.0 + CUBIC * (zp * zp + zp * zm + zm * zm));
    let e = exp(-d);
    // 1 - e^-d
    let series = d * (1.0 - d * (0.5 - d * (1.0 / 6.0 - d * (1.0 / 24.0))));
    let rest = select(1.0 - e, series, d < vec4f(0.1));
    var log_p = log(rest) - softplus(-p) - softplus(m);
    var slope = e / rest * (SLOPE * 3.0 * CUBIC * dz) * (zp + zm)
        + logistic(-p) * slope_p - logistic(m) * slope_m;
    let black = pixel < vec4f(-EDGE);
    let white = pixel > vec4f(EDGE);
    log_p = select(log_p, -softplus(-p), black);
    slope = select(slope, logistic(-p) * slope_p, black);
    log_p = select(log_p, -softplus(m), white);
    slope = select(slope, -logistic(m) * slope_m, white);
    // NaN must come through, so the test is the other way round.
    let clipped = log_p <= vec4f(MIN_LOG_PROBABILITY);
    return Decoder(
        select(-log_p, vec4f(-MIN_LOG_PROBABILITY), clipped),
        select(slope * inv, vec4f(), clipped),
    );
}

fn weight_of(n: u32) -> f32 {
    if (params.flags & 1u) != 0u {
        return weight[n];
    }
    return 1.0;
}

// grad = derivative of the loss by out.
@compute @workgroup_size(64)
fn gradient(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.vec4s {
        return;
    }
    let n = i / params.vec4s;
    let o = out[i];
    var factor = params.simple;
    var g = vec4f();
    if params.bound != 0.0 {
        let step = min(t[n], params.timesteps - 1u);
        if step == 0u {
            let mean = params.mean_from_x * x_t[i] + params.mean_from_out * o;
            g = params.bound * params.mean_from_out * decoder(x0[i], mean).slope;
        } else {
            factor += params.bound * table[step].y;
        }
    }
    g += 2.0 * factor * (o - goal[i]);
    g *= weight_of(n) * params.inverse_dims * params.inverse_batch * params.grad_factor;
    grad[i] = select(vec4f(), g, is_channel(i, params.c4, params.channels));
}

// Sums over a part of a sample.
@compute @workgroup_size(64)
fn sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    if thread >= params.batch * params.splits {
        return;
    }
    let n = thread / params.splits;
    let first = thread % params.splits * params.split_vec4s;
    let base = n * params.vec4s;
    let end = base + min(first + params.split_vec4s, params.vec4s);
    var decodes = false;
    if (params.flags & 2u) != 0u {
        decodes = t[n] == 0u;
    }
    var squares = vec4f();
    var nll = vec4f();
    for (var i = base + first; i < end; i++) {
        let counts = is_channel(i, params.c4, params.channels);
        let o = out[i];
        let d = select(vec4f(), o - goal[i], counts);
        squares += d * d;
        if decodes {
            let mean = params.mean_from_x * x_t[i] + params.mean_from_out * o;
            nll += select(vec4f(), decoder(x0[i], mean).nll, counts);
        }
    }
    partial[thread] = vec2f(
        (squares.x + squares.y) + (squares.z + squares.w),
        (nll.x + nll.y) + (nll.z + nll.w),
    );
}

var<workgroup> totals: array<vec2f, 64>;

// The losses of each sample and of the batch, in one group.
@compute @workgroup_size(64)
fn losses(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var total = vec2f();
    for (var n = lane; n < params.batch; n += 64u) {
        var sum = vec2f();
        for (var s = 0u; s < params.splits; s++) {
            sum += partial[n * params.splits + s];
        }
        sum *= params.inverse_dims;
        var bound = 0.0;
        if (params.flags & 2u) != 0u {
            let step = min(t[n], params.timesteps - 1u);
            let row = table[step];
            bound = select(row.x + row.y * sum.x, sum.y, step == 0u);
        }
        mse[n] = sum.x;
        vlb[n] = bound;
        total += weight_of(n) * vec2f(sum.x, bound);
    }
    totals[lane] = total;
    workgroupBarrier();
    if lane != 0u || tile_index(workgroup, workgroups) != 0u {
        return;
    }
    var batch = vec2f();
    for (var i = 0u; i < 64u; i++) {
        batch += totals[i];
    }
    batch *= params.inverse_batch;
    let loss = params.simple * batch.x + params.bound * batch.y;
    stats.loss = loss;
    stats.mse = batch.x;
    stats.vlb = batch.y;
    let scale = state.grad_scale;
    if state.micro_batch == 0u {
        stats.step_loss = scale * loss;
        stats.step_mse = scale * batch.x;
        stats.step_vlb = scale * batch.y;
    } else {
        stats.step_loss += scale * loss;
        stats.step_mse += scale * batch.x;
        stats.step_vlb += scale * batch.y;
    }
}

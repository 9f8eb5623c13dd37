//! The loss of a batch and its gradient.
//!
//! With D = C·H·W, sample n, `simple` and `bound` the weights of [`Loss`]:
//! ```text
//! loss  = 1/B Σ_n weight_n (simple · mse_n + bound · vlb_n)
//! mse_n = 1/D Σ (out − target)²                         L_simple (equation 14)
//! vlb_n = constant[t] + factor[t] · mse_n,  t > 0       L_t / D, KL of two Gaussians (equation 8)
//! vlb_n = 1/D Σ −ln p(x_0 | x_t),           t = 0       L_0 / D, discretised decoder (equation 13)
//! ```
//! `vlb_n` is in nats a dimension. With `bound` = T, the mean over t uniform in 0 … T − 1 is the whole
//! bound without L_T, in nats a dimension; the hybrid loss has `simple` = 1 and `bound` = λ T.
//!
//! Equivalent PyTorch: `(weight * F.mse_loss(out, target, reduction="none").mean((1, 2, 3))).mean()`
//! for `simple` = 1, `bound` = 0.

use bytemuck::{Pod, Zeroable};

use super::{PlanBuilder, Shape, TensorId, layers::GROUP};
use crate::{
    diffusion::{
        NoiseSchedule, Objective, VarianceType,
        loss_weight::{LossType, model_log_variance, vlb_constant, vlb_mse_weight},
    },
    gpu::kernel::KernelId,
};

/// Mirrors `Params` of `shaders/loss.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    vec4s: u32,
    c4: u32,
    channels: u32,
    splits: u32,
    split_vec4s: u32,
    timesteps: u32,
    flags: u32,
    simple: f32,
    bound: f32,
    inverse_dims: f32,
    inverse_batch: f32,
    mean_from_x: f32,
    mean_from_out: f32,
    inverse_sigma: f32,
    grad_factor: f32,
}

const WEIGHTED: u32 = 1;
const BOUND: u32 = 2;

/// `vec4`s that a thread of the sums takes, about.
const SPLIT: usize = 64;
/// Most parts of a sample, so that a part of a large sample is longer instead.
const MAX_SPLITS: usize = 64;

/// What the variational bound needs besides the network's output.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// x_0, `[B, H, W, C]`.
    pub x0: TensorId,
    /// x_t, `[B, H, W, C]`.
    pub x_t: TensorId,
    /// t of each sample, `[B]` u32.
    pub t: TensorId,
    /// `[T, 2]`: (`constant[t]`, `factor[t]`), in nats a dimension and nats a squared error; the row of
    /// t = 0 is not used. [`BoundTable`] has it.
    pub table: TensorId,
    /// T.
    pub timesteps: usize,
    /// Factor of x_t in the decoder's mean, x̂_0 at t = 0.
    pub mean_from_x: f32,
    /// Factor of the network's output in it.
    pub mean_from_out: f32,
    /// ln σ of the decoder.
    pub log_sigma: f32,
}

/// A loss.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// Shape of the output.
    pub shape: Shape,
    /// The network's output.
    pub out: TensorId,
    /// What it should be.
    pub target: TensorId,
    /// Weight of each sample, `[B]` f32; 1 without.
    pub weights: Option<TensorId>,
    /// Weight of the squared error.
    pub simple_weight: f32,
    /// Factor of the gradient alone, for what keeps it in f16 ([`super::plan::Precision::loss_scale`]).
    pub grad_factor: f32,
    /// Weight of `vlb_n`: T for the bound, λ T for the hybrid loss, 0 to report it only.
    pub bound_weight: f32,
    /// What the bound needs. Without it `vlb_n` is 0 and `bound_weight` must be.
    pub bound: Option<Bound>,
}

/// Where the losses go.
#[derive(Debug, Clone, Copy)]
pub struct LossOutputs {
    /// Gradient of the loss by the output (`=`), `[B, H, W, C]`; `None` in an evaluation.
    pub grad: Option<TensorId>,
    /// mse_n, `[B]` f32, not weighted.
    pub mse: TensorId,
    /// vlb_n, `[B]` f32, nats a dimension, not weighted.
    pub vlb: TensorId,
    /// [`super::state::StepStats`].
    pub stats: TensorId,
}

/// The numbers of the bound for one model, as [`Bound`] wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundTable {
    /// `[T, 2]`: (`constant[t]`, `factor[t]`).
    pub words: Vec<f32>,
    /// T.
    pub timesteps: usize,
    /// Factor of x_t in the decoder's mean.
    pub mean_from_x: f32,
    /// Factor of the network's output in it.
    pub mean_from_out: f32,
    /// ln σ of the decoder.
    pub log_sigma: f32,
}

impl BoundTable {
    /// From [`vlb_constant`] and [`vlb_mse_weight`].
    pub fn new(schedule: &NoiseSchedule, variance: VarianceType, objective: Objective) -> Self {
        let mean = objective.x0_map(schedule.alpha_bar(0));
        Self {
            words: (0..schedule.timesteps())
                .flat_map(|t| {
                    [
                        vlb_constant(schedule, variance, t) as f32,
                        vlb_mse_weight(schedule, variance, objective, t) as f32,
                    ]
                })
                .collect(),
            timesteps: schedule.timesteps(),
            mean_from_x: mean.from_x as f32,
            mean_from_out: mean.from_out as f32,
            log_sigma: (0.5 * model_log_variance(schedule, variance, 0)) as f32,
        }
    }
}

/// (`simple_weight`, `bound_weight`) of a kind of loss: the bound carries the factor T, so that its
/// mean over uniform t is the whole bound in nats a dimension.
pub fn loss_weights(kind: LossType, timesteps: usize) -> (f32, f32) {
    match kind {
        LossType::Simple => (1.0, 0.0),
        LossType::Vlb => (0.0, timesteps as f32),
        LossType::Hybrid { vlb_weight } => (1.0, (vlb_weight * timesteps as f64) as f32),
    }
}

/// Emits the loss: its gradient, if wanted, the losses of the samples, and those of the batch into
/// `stats`. `state` is the tensor of [`super::state::StepState`].
pub fn emit(plan: &mut PlanBuilder, loss: &Loss, outputs: &LossOutputs, state: TensorId) {
    debug_assert!(loss.bound.is_some() || loss.bound_weight == 0.0);
    let shape = loss.shape;
    let vec4s = shape.h * shape.w * shape.c4();
    let wanted = vec4s.div_ceil(SPLIT).min(MAX_SPLITS);
    let split_vec4s = vec4s.div_ceil(wanted);
    let splits = vec4s.div_ceil(split_vec4s);
    let mut params = Params {
        batch: shape.b as u32,
        vec4s: vec4s as u32,
        c4: shape.c4() as u32,
        channels: shape.c as u32,
        splits: splits as u32,
        split_vec4s: split_vec4s as u32,
        timesteps: 1,
        flags: if loss.weights.is_some() { WEIGHTED } else { 0 },
        simple: loss.simple_weight,
        bound: loss.bound_weight,
        inverse_dims: 1.0 / (shape.h * shape.w * shape.c) as f32,
        inverse_batch: 1.0 / shape.b as f32,
        mean_from_x: 0.0,
        mean_from_out: 0.0,
        inverse_sigma: 1.0,
        grad_factor: loss.grad_factor,
    };
    let mut args = vec![(1, loss.out.into()), (2, loss.target.into())];
    if let Some(weights) = loss.weights {
        args.push((6, weights.into()));
    }
    if let Some(bound) = loss.bound {
        params.flags |= BOUND;
        params.timesteps = bound.timesteps as u32;
        params.mean_from_x = bound.mean_from_x;
        params.mean_from_out = bound.mean_from_out;
        params.inverse_sigma = (-bound.log_sigma).exp();
        args.extend([
            (3, bound.x0.into()),
            (4, bound.x_t.into()),
            (5, bound.t.into()),
            (7, bound.table.into()),
        ]);
    } else {
        params.bound = 0.0;
    }
    let partial = plan.tensor("squared errors in parts", 2 * shape.b * splits);
    args.extend([
        (9, partial.into()),
        (10, outputs.mse.into()),
        (11, outputs.vlb.into()),
        (12, outputs.stats.into()),
        (13, state.into()),
    ]);
    if let Some(grad) = outputs.grad {
        args.push((8, grad.into()));
        plan.dispatch(
            KernelId::new("loss", "gradient"),
            &params,
            &bound_by(&args, &[1, 2, 3, 4, 5, 6, 7, 8]),
            (shape.b * vec4s).div_ceil(GROUP),
            4 * shape.len() as u64,
        );
    }
    plan.dispatch(
        KernelId::new("loss", "sums"),
        &params,
        &bound_by(&args, &[1, 2, 3, 4, 5, 9]),
        (shape.b * splits).div_ceil(GROUP),
        3 * shape.len() as u64,
    );
    plan.dispatch(
        KernelId::new("loss", "losses"),
        &params,
        &bound_by(&args, &[5, 6, 7, 9, 10, 11, 12, 13]),
        1,
        (shape.b * splits) as u64,
    );
}

/// Those of `args` that an entry point uses: a tensor must not seem alive for longer than it is.
fn bound_by(args: &[(u32, super::plan::Arg)], used: &[u32]) -> Vec<(u32, super::plan::Arg)> {
    args.iter()
        .filter(|a| used.contains(&a.0))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diffusion::{
            SchedulerConfig,
            loss_weight::{LossTable, decoder_nll_element},
        },
        nn::{
            layers::testing::Numbers,
            state::{STATS_WORDS, StepState, StepStats},
            tensor::RefTensor,
            testing::{bits, floats, run},
        },
    };

    const TABLE: [f32; 8] = [0.0, 0.0, 0.125, 3.0, 0.0, 1.5, 0.25, 0.5];

    struct Case {
        shape: Shape,
        weighted: bool,
        /// (simple, bound)
        weights: (f32, f32),
        /// (mean_from_x, mean_from_out, ln σ)
        decoder: Option<(f32, f32, f32)>,
    }

    struct Operands {
        out: RefTensor,
        target: RefTensor,
        x0: RefTensor,
        x_t: RefTensor,
        t: Vec<u32>,
        weights: Vec<f32>,
    }

    fn operands(shape: Shape) -> Operands {
        let mut numbers = Numbers::new(3);
        let out = numbers.tensor(shape);
        let target = numbers.tensor(shape);
        let mut x0 = numbers.tensor(shape);
        let mut x_t = numbers.tensor(shape);
        // Levels of an image, black and white among them, and x_t at all distances from them.
        for (i, v) in x0.data.iter_mut().enumerate() {
            let level = match i % 7 {
                0 => 0.0,
                1 => 255.0,
                _ => ((*v + 1.0) * 127.5).round(),
            };
            *v = f64::from((level / 127.5 - 1.0) as f32);
        }
        for (i, (v, x)) in x_t.data.iter_mut().zip(&x0.data).enumerate() {
            let near = if i % 5 == 0 { 0.4 } else { 0.02 };
            *v = f64::from((x + near * *v) as f32);
        }
        let weights = (0..shape.b).map(|_| numbers.next() as f32 + 1.5).collect();
        let t = (0..shape.b as u32).map(|n| n * 3 % 4).collect();
        Operands {
            out,
            target,
            x0,
            x_t,
            t,
            weights,
        }
    }

    struct Expected {
        mse: Vec<f64>,
        vlb: Vec<f64>,
        means: [f64; 3],
    }

    fn reference(case: &Case, o: &Operands) -> Expected {
        let shape = case.shape;
        let d = shape.len() / shape.b;
        let (mut mse, mut vlb, mut means) = (Vec::new(), Vec::new(), [0.0; 3]);
        for n in 0..shape.b {
            let range = n * d..(n + 1) * d;
            let squares: f64 = range
                .clone()
                .map(|i| (o.out.data[i] - o.target.data[i]).powi(2))
                .sum();
            let square = squares / d as f64;
            let term = match (case.decoder, o.t[n] as usize) {
                (None, _) => 0.0,
                (Some((from_x, from_out, log_sigma)), 0) => {
                    range
                        .map(|i| {
                            let mean = f64::from(from_x) * o.x_t.data[i]
                                + f64::from(from_out) * o.out.data[i];
                            decoder_nll_element(o.x0.data[i], mean, f64::from(log_sigma)).0
                        })
                        .sum::<f64>()
                        / d as f64
                }
                (Some(_), t) => f64::from(TABLE[2 * t]) + f64::from(TABLE[2 * t + 1]) * square,
            };
            let weight = if case.weighted {
                f64::from(o.weights[n])
            } else {
                1.0
            };
            means[1] += weight * square / shape.b as f64;
            means[2] += weight * term / shape.b as f64;
            mse.push(square);
            vlb.push(term);
        }
        means[0] = f64::from(case.weights.0) * means[1] + f64::from(case.weights.1) * means[2];
        Expected { mse, vlb, means }
    }

    /// Gradient, mse, vlb, stats.
    fn kernels(case: &Case, o: &Operands, state: &StepState, stats: StepStats) -> Vec<Vec<u32>> {
        let plain = |t: &RefTensor| bits(&t.to_plan());
        let inputs = [
            state.words().to_vec(),
            bytemuck::cast::<_, [u32; STATS_WORDS]>(stats).to_vec(),
            plain(&o.out),
            plain(&o.target),
            plain(&o.x0),
            plain(&o.x_t),
            o.t.clone(),
            bits(&o.weights),
            bits(&TABLE),
        ];
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        run(&inputs, |plan, x| {
            let grad = plan.tensor("grad", case.shape.words());
            let mse = plan.tensor("mse", case.shape.b);
            let vlb = plan.tensor("vlb", case.shape.b);
            let loss = Loss {
                shape: case.shape,
                out: x[2],
                target: x[3],
                weights: case.weighted.then_some(x[7]),
                grad_factor: 1.0,
                simple_weight: case.weights.0,
                bound_weight: case.weights.1,
                bound: case
                    .decoder
                    .map(|(mean_from_x, mean_from_out, log_sigma)| Bound {
                        x0: x[4],
                        x_t: x[5],
                        t: x[6],
                        table: x[8],
                        timesteps: 4,
                        mean_from_x,
                        mean_from_out,
                        log_sigma,
                    }),
            };
            let outputs = LossOutputs {
                grad: Some(grad),
                mse,
                vlb,
                stats: x[1],
            };
            emit(plan, &loss, &outputs, x[0]);
            vec![grad, mse, vlb, x[1]]
        })
    }

    fn cases() -> Vec<Case> {
        let decoder = Some((1.25, -0.0078125, -4.9));
        vec![
            Case {
                shape: Shape::new(1, 3, 5, 1),
                weighted: false,
                weights: (1.0, 0.0),
                decoder: None,
            },
            // More samples than a workgroup has threads.
            Case {
                shape: Shape::new(70, 1, 2, 1),
                weighted: true,
                weights: (1.0, 0.0),
                decoder,
            },
            Case {
                shape: Shape::new(4, 9, 17, 3),
                weighted: true,
                weights: (0.0, 4.0),
                decoder: Some((1.0, -0.0078125, -4.9)),
            },
            Case {
                shape: Shape::new(3, 4, 5, 6),
                weighted: false,
                weights: (1.0, 0.5),
                decoder: Some((0.5, 0.25, -1.0)),
            },
        ]
    }

    fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
        assert!(
            (found - expected).abs() <= tolerance,
            "{what}: {found}, expected {expected}"
        );
    }

    #[test]
    fn losses_and_gradients_agree_with_the_reference() {
        for (k, case) in cases().into_iter().enumerate() {
            let mut o = operands(case.shape);
            let state = StepState {
                grad_scale: 0.25,
                micro_batch: 1,
                ..StepState::default()
            };
            let before = StepStats {
                step_loss: 1.0,
                step_mse: 2.0,
                step_vlb: 3.0,
                grad_norm: 7.0,
                ..StepStats::default()
            };
            let found = kernels(&case, &o, &state, before);
            let expected = reference(&case, &o);
            for (n, (&m, &v)) in floats(&found[1]).iter().zip(&floats(&found[2])).enumerate() {
                let (e, b) = (expected.mse[n], expected.vlb[n]);
                close(&format!("case {k}, mse {n}"), m.into(), e, 2e-6 * (1.0 + e));
                close(&format!("case {k}, vlb {n}"), v.into(), b, 2e-5 * (1.0 + b));
            }
            let stats = StepStats::from_words(&found[3]).unwrap();
            let means = expected.means;
            for (what, f, e) in [
                ("loss", stats.loss, means[0]),
                ("mse", stats.mse, means[1]),
                ("vlb", stats.vlb, means[2]),
                ("step_loss", stats.step_loss, 1.0 + 0.25 * means[0]),
                ("step_mse", stats.step_mse, 2.0 + 0.25 * means[1]),
                ("step_vlb", stats.step_vlb, 3.0 + 0.25 * means[2]),
            ] {
                close(&format!("case {k}, {what}"), f.into(), e, 2e-5 * (1.0 + e));
            }
            assert_eq!(stats.grad_norm, 7.0);

            let grad = RefTensor::from_plan(case.shape, &floats(&found[0]));
            let (c, cp) = (case.shape.c, case.shape.cp());
            for (i, &word) in found[0].iter().enumerate() {
                assert!(i % cp < c || word == 0, "case {k}: padding channel {i}");
            }
            let scale = grad.data.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            for i in (0..grad.data.len()).step_by(1 + grad.data.len() / 61) {
                let step = 1e-6;
                let middle = o.out.data[i];
                o.out.data[i] = middle + step;
                let up = reference(&case, &o).means[0];
                o.out.data[i] = middle - step;
                let down = reference(&case, &o).means[0];
                o.out.data[i] = middle;
                let e = (up - down) / (2.0 * step);
                close(
                    &format!("case {k}, grad {i}"),
                    grad.data[i],
                    e,
                    1e-5 * scale + 2e-4 * e.abs(),
                );
            }
        }
    }

    #[test]
    fn the_first_micro_batch_starts_the_sums_and_nan_is_seen() {
        let case = &cases()[2];
        let mut o = operands(case.shape);
        let stale = StepStats {
            step_loss: f32::NAN,
            ..StepStats::default()
        };
        let found = kernels(case, &o, &StepState::default(), stale);
        let stats = StepStats::from_words(&found[3]).unwrap();
        assert!(stats.loss > 0.0);
        assert_eq!(stats.step_loss, stats.loss);
        for n in 0..case.shape.b {
            let d = case.shape.len() / case.shape.b;
            let good = std::mem::replace(&mut o.out.data[n * d], f64::NAN);
            let found = kernels(case, &o, &StepState::default(), StepStats::default());
            let stats = StepStats::from_words(&found[3]).unwrap();
            assert!(stats.loss.is_nan(), "sample {n}: {}", stats.loss);
            o.out.data[n * d] = good;
        }
    }

    #[test]
    fn weights_and_table_are_those_of_the_loss_on_the_cpu() {
        let schedule = SchedulerConfig::default().noise_schedule().unwrap();
        for variance in VarianceType::ALL {
            for objective in Objective::ALL {
                let table = BoundTable::new(&schedule, variance, objective);
                for kind in [
                    LossType::Simple,
                    LossType::Vlb,
                    LossType::Hybrid { vlb_weight: 0.01 },
                ] {
                    let (simple, bound) = loss_weights(kind, table.timesteps);
                    let whole = LossTable::new(&schedule, variance, objective, kind).unwrap();
                    for (t, row) in table.words.chunks(2).enumerate() {
                        let mse = simple + bound * row[1];
                        approx::assert_relative_eq!(mse, whole.mse[t], max_relative = 1e-6);
                        let constant = bound * row[0];
                        approx::assert_relative_eq!(
                            constant,
                            whole.constant[t],
                            max_relative = 1e-6
                        );
                    }
                    assert_eq!(bound, whole.decoder[0]);
                    assert_eq!(table.mean_from_x, whole.decoder_from_x);
                    assert_eq!(table.mean_from_out, whole.decoder_from_out);
                    assert_eq!(table.log_sigma, whole.decoder_log_sigma);
                }
            }
        }
    }
}

//! The optimiser: norm of the whole gradient and clipping ([`grad_norm`]), then Adam or AdamW with
//! the moving average of the weights ([`update`]), over flat chunks of all parameters.
//!
//! Adam: Kingma, Ba 2015 (arXiv:1412.6980), algorithm 1, with ε added after the correction of the
//! bias, as PyTorch has it. AdamW: Loshchilov, Hutter 2019 (arXiv:1711.05101), algorithm 2.
//!
//! Equivalent PyTorch:
//! ```text
//! grads = [g / micro_batches for g in grads]
//! torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
//! optimizer.step()            # Adam(W)(lr, betas, eps, weight_decay)
//! ema.lerp_(weights, 1 - ema_decay)
//! optimizer.zero_grad()
//! ```

use bytemuck::{Pod, Zeroable};

use super::{
    PlanBuilder, TensorId,
    layers::GROUP,
    state::{ADAM_DECOUPLED, StepState},
};
use crate::gpu::kernel::KernelId;

/// Mirrors `Params` of `shaders/optimizer/adam.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    /// `vec4`s in the chunk.
    pub vec4s: u32,
    /// `vec4`s that one thread takes.
    pub run: u32,
    /// Where the chunk's partial sums start.
    pub first_partial: u32,
    /// Partial sums of all chunks.
    pub partials: u32,
}

/// Partial sums of squares, about: enough threads to keep a device busy, few enough to be added up
/// by one workgroup.
const PARTIALS: usize = 16384;
/// `vec4`s that a thread of [`update`] takes, so that reading the state pays.
const UPDATE_RUN: usize = 4;
/// Turns of a thread's loop: some drivers stop a shader's loops at 65535.
const MAX_RUN: usize = 32768;

/// One chunk of all parameters: five tensors of one length, a multiple of 4 words, in which each
/// number has the same place.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// Weights, changed in place.
    pub weights: TensorId,
    /// Gradients, summed over the micro-batches of the step; zero afterwards.
    pub grads: TensorId,
    /// Adam's first moment.
    pub m: TensorId,
    /// Adam's second moment.
    pub v: TensorId,
    /// Moving average of the weights.
    pub ema: TensorId,
}

/// The settings of Adam, with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamConfig {
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// AdamW: the decay is decoupled from the gradient.
    pub decoupled: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
        }
    }
}

impl AdamConfig {
    /// Writes the scalars of Adam step `step` (the first is 1) with learning rate `lr` into `state`.
    pub fn apply(&self, state: &mut StepState, step: u64, lr: f64) {
        let correction = |beta: f64| (1.0 - beta.powf(step as f64)) as f32;
        state.lr = lr as f32;
        state.beta1 = self.beta1 as f32;
        state.beta2 = self.beta2 as f32;
        state.one_minus_beta1 = (1.0 - self.beta1) as f32;
        state.one_minus_beta2 = (1.0 - self.beta2) as f32;
        state.adam_eps = self.eps as f32;
        state.weight_decay = self.weight_decay as f32;
        state.bias_correction1 = correction(self.beta1);
        state.bias_correction2 = correction(self.beta2);
        state.flags =
            (state.flags & !ADAM_DECOUPLED) | if self.decoupled { ADAM_DECOUPLED } else { 0 };
    }
}

/// Emits the norm of `grads · grad_scale` over all chunks into `stats`, with the factor that clips
/// it: min(1, clip_norm / (norm + 1e-6)) as `torch.nn.utils.clip_grad_norm_`, or 1 when
/// `clip_norm` is 0. A norm that is not finite sets `skipped`. [`update`] needs this before it.
pub fn grad_norm(plan: &mut PlanBuilder, chunks: &[Chunk], stats: TensorId, state: TensorId) {
    let vec4s: Vec<usize> = chunks
        .iter()
        .map(|c| plan.words(c.grads) as usize / 4)
        .collect();
    let run = vec4s
        .iter()
        .sum::<usize>()
        .div_ceil(PARTIALS)
        .clamp(4, MAX_RUN);
    let tiles: Vec<usize> = vec4s.iter().map(|n| n.div_ceil(GROUP * run)).collect();
    let partials = GROUP * tiles.iter().sum::<usize>();
    let partial = plan.tensor("sums of squares", partials.max(4));
    let mut first = 0;
    for ((chunk, &vec4s), &tiles) in chunks.iter().zip(&vec4s).zip(&tiles) {
        plan.dispatch(
            KernelId::new("optimizer/adam", "squares"),
            &Params {
                vec4s: vec4s as u32,
                run: run as u32,
                first_partial: first as u32,
                partials: partials as u32,
            },
            &[(2, chunk.grads.into()), (6, partial.into())],
            tiles,
            8 * vec4s as u64,
        );
        first += GROUP * tiles;
    }
    plan.dispatch(
        KernelId::new("optimizer/adam", "norm"),
        &Params {
            vec4s: 0,
            run: 0,
            first_partial: 0,
            partials: partials as u32,
        },
        &[(6, partial.into()), (7, stats.into()), (8, state.into())],
        1,
        partials as u64,
    );
}

/// Emits one step of Adam and of the moving average over all chunks, and sets the gradients to
/// zero. When [`grad_norm`] found no finite norm, only the latter.
pub fn update(plan: &mut PlanBuilder, chunks: &[Chunk], stats: TensorId, state: TensorId) {
    for chunk in chunks {
        let vec4s = plan.words(chunk.weights) as usize / 4;
        plan.dispatch(
            KernelId::new("optimizer/adam", "update"),
            &Params {
                vec4s: vec4s as u32,
                run: UPDATE_RUN as u32,
                first_partial: 0,
                partials: 0,
            },
            &[
                (1, chunk.weights.into()),
                (2, chunk.grads.into()),
                (3, chunk.m.into()),
                (4, chunk.v.into()),
                (5, chunk.ema.into()),
                (7, stats.into()),
                (8, state.into()),
            ],
            vec4s.div_ceil(GROUP * UPDATE_RUN),
            64 * vec4s as u64,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{
        layers::testing::Numbers,
        state::{STATS_WORDS, StepStats},
        testing::{GUARD, bits, floats, run},
    };

    /// Weights, gradients, m, v, ema of a chunk.
    type Five = [Vec<f32>; 5];

    fn run_step(chunks: &[Five], state: &StepState) -> (Vec<Five>, StepStats) {
        let mut inputs: Vec<Vec<u32>> = vec![state.words().to_vec(), vec![GUARD; STATS_WORDS]];
        inputs.extend(chunks.iter().flatten().map(|v| bits(v)));
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let out = run(&inputs, |plan, t| {
            let chunks: Vec<Chunk> = t[2..]
                .chunks(5)
                .map(|c| Chunk {
                    weights: c[0],
                    grads: c[1],
                    m: c[2],
                    v: c[3],
                    ema: c[4],
                })
                .collect();
            grad_norm(plan, &chunks, t[1], t[0]);
            update(plan, &chunks, t[1], t[0]);
            t[1..].to_vec()
        });
        let five = |c: &[Vec<u32>]| -> Five { std::array::from_fn(|i| floats(&c[i])) };
        (
            out[1..].chunks(5).map(five).collect(),
            StepStats::from_words(&out[0]).unwrap(),
        )
    }

    fn chunk(seed: u64, words: usize) -> Five {
        let mut numbers = Numbers::new(seed);
        let mut five: Five =
            std::array::from_fn(|_| (0..words).map(|_| numbers.next() as f32).collect());
        five[3].iter_mut().for_each(|v| *v = v.abs() * 0.01);
        five
    }

    /// One step in f64: the chunk afterwards.
    fn reference(five: &Five, s: &StepState, config: &AdamConfig, step: u64, clip: f64) -> Five {
        let mut after = five.clone();
        let (lr, decay) = (f64::from(s.lr), config.weight_decay);
        for i in 0..five[0].len() {
            let [mut w, mut g, m, v, ema] = std::array::from_fn(|k| f64::from(five[k][i]));
            g *= f64::from(s.grad_scale) * clip;
            if config.decoupled {
                w -= lr * decay * w;
            } else {
                g += decay * w;
            }
            let m = config.beta1 * m + (1.0 - config.beta1) * g;
            let v = config.beta2 * v + (1.0 - config.beta2) * g * g;
            let m_hat = m / (1.0 - config.beta1.powi(step as i32));
            let v_hat = v / (1.0 - config.beta2.powi(step as i32));
            w -= lr * m_hat / (v_hat.sqrt() + config.eps);
            let d = f64::from(s.ema_decay);
            let ema = if s.flags & super::super::state::EMA_COPY != 0 {
                w
            } else {
                d * ema + (1.0 - d) * w
            };
            for (k, value) in [w, 0.0, m, v, ema].into_iter().enumerate() {
                after[k][i] = value as f32;
            }
        }
        after
    }

    #[test]
    fn a_step_agrees_with_the_reference() {
        for (case, (decoupled, clip_norm, first)) in
            [(false, 0.0, false), (true, 1.5, false), (true, 1e6, true)]
                .into_iter()
                .enumerate()
        {
            // More than one workgroup, a last one that is not full, and a tiny chunk.
            let chunks = [chunk(1, 4 * 700), chunk(2, 4 * 256), chunk(3, 4)];
            let config = AdamConfig {
                weight_decay: 0.1,
                decoupled,
                ..AdamConfig::default()
            };
            let step = 3 + case as u64;
            let mut state = StepState::default();
            config.apply(&mut state, step, 0.02);
            state.set_ema(0.9, first);
            state.grad_scale = 0.5;
            state.clip_norm = clip_norm;
            let squares: f64 = chunks
                .iter()
                .flat_map(|c| &c[1])
                .map(|&g| (0.5 * f64::from(g)).powi(2))
                .sum();
            let norm = squares.sqrt();
            let clip = if clip_norm > 0.0 {
                (f64::from(clip_norm) / (norm + 1e-6)).min(1.0)
            } else {
                1.0
            };
            let (after, stats) = run_step(&chunks, &state);
            approx::assert_relative_eq!(f64::from(stats.grad_norm), norm, max_relative = 1e-6);
            approx::assert_relative_eq!(f64::from(stats.clip), clip, max_relative = 1e-6);
            assert_eq!(stats.skipped, 0);
            for (found, before) in after.iter().zip(&chunks) {
                let expected = reference(before, &state, &config, step, clip);
                for k in 0..5 {
                    assert_eq!(found[k].len(), expected[k].len());
                    for (i, (&f, &e)) in found[k].iter().zip(&expected[k]).enumerate() {
                        assert!(
                            (f - e).abs() <= 1e-6 + 2e-6 * e.abs(),
                            "case {case}, tensor {k}[{i}]: {f}, expected {e}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn three_steps_are_pytorchs() {
        // torch.optim.{Adam,AdamW}([w], lr=0.1, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.05)
        // with grads [0.5, -2, 0.001, 0], [0.1, 3, -0.002, 0], [-0.4, 1, 0.003, 0] in float64.
        for (decoupled, expected) in [(false, TORCH_ADAM), (true, TORCH_ADAMW)] {
            let config = AdamConfig {
                beta1: 0.9,
                beta2: 0.99,
                eps: 1e-3,
                weight_decay: 0.05,
                decoupled,
            };
            let mut five: Five = std::array::from_fn(|_| vec![0.0; 4]);
            five[0] = vec![1.0, -1.0, 0.25, 2.0];
            let grads = [
                [0.5, -2.0, 0.001, 0.0],
                [0.1, 3.0, -0.002, 0.0],
                [-0.4, 1.0, 0.003, 0.0],
            ];
            for (i, grad) in grads.iter().enumerate() {
                five[1] = grad.to_vec();
                let mut state = StepState::default();
                config.apply(&mut state, i as u64 + 1, 0.1);
                five = run_step(&[five], &state).0.remove(0);
                assert_eq!(five[1], [0.0; 4]);
            }
            for (f, e) in five[0].iter().zip(expected) {
                approx::assert_relative_eq!(f64::from(*f), e, max_relative = 2e-6);
            }
        }
    }
    const TORCH_ADAM: [f64; 4] = [
        0.795_867_647_899_46,
        -0.956_561_516_779_328_2,
        -0.008_231_216_860_694_363,
        1.703_612_451_241_540_7,
    ];
    const TORCH_ADAMW: [f64; 4] = [
        0.797_067_968_892_480_8,
        -0.946_288_873_481_747_3,
        0.195_640_990_507_136_82,
        1.970_149_75,
    ];

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        for bad in [f32::NAN, f32::INFINITY, 1e30] {
            let mut chunks = [chunk(5, 4 * 300), chunk(6, 8)];
            chunks[1][1][5] = bad;
            let mut state = StepState {
                clip_norm: 1.0,
                ..StepState::default()
            };
            AdamConfig::default().apply(&mut state, 1, 0.1);
            state.set_ema(0.5, false);
            let (after, stats) = run_step(&chunks, &state);
            assert_eq!(stats.skipped, 1);
            assert!(!stats.grad_norm.is_finite());
            for (a, b) in after.iter().zip(&chunks) {
                for k in [0, 2, 3, 4] {
                    assert_eq!(a[k], b[k]);
                }
                assert!(a[1].iter().all(|&g| g.to_bits() == 0));
            }
        }
    }
}

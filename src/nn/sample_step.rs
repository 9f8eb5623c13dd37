//! One step of the reverse process on the GPU, for every sampler: x_{t−1}, x̂_0 and ε̂ from x_t and the
//! network's output ([`emit`]), and the timestep for the network ([`set_t`]). The coefficients are
//! [`StepCoefficients`], a table of all steps, of which `inference_step` of the state picks the row.

use bytemuck::{Pod, Zeroable};

use super::{PlanBuilder, Shape, TensorId, layers::GROUP, state::RandomStep};
use crate::{diffusion::StepCoefficients, gpu::kernel::KernelId};

/// Mirrors `Params` of `shaders/diffusion/step.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    vec4s: u32,
    c4: u32,
    channels: u32,
    steps: u32,
    stream: u32,
    step_source: u32,
    step_value: u32,
    flags: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

const IN_PLACE: u32 = 1;
const NOISE_GIVEN: u32 = 2;
const NOISE_DRAWN: u32 = 4;
const X0_HAT: u32 = 8;
const EPS_HAT: u32 = 16;

/// Where z ~ N(0, I) comes from. It is only used in steps with σ > 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepNoise {
    /// There is none.
    None,
    /// A tensor, `[B, H, W, C]`.
    Given(TensorId),
    /// Drawn here, from a stream; the numbers are those of [`super::batch::normal`].
    Drawn(u32, RandomStep),
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct SampleStepIo {
    /// Shape of x_t.
    pub shape: Shape,
    /// The table, `[K, 12]`, see [`table_words`].
    pub table: TensorId,
    /// K, the rows of the table.
    pub steps: usize,
    /// The network's output, `[B, H, W, C]`.
    pub out: TensorId,
    /// x_t, `[B, H, W, C]`.
    pub x_t: TensorId,
    /// z.
    pub noise: StepNoise,
    /// x_{t−1} (`=`); the same tensor as `x_t` for a step in place.
    pub x_prev: TensorId,
    /// x̂_0 after clamping (`=`), if wanted.
    pub x0_hat: Option<TensorId>,
    /// ε̂ (`=`), if wanted. Steps that look back ([`StepCoefficients::looks_back`]) need it, in memory that keeps the ε̂
    /// of the step before.
    pub eps_hat: Option<TensorId>,
}

/// The words of the table of `steps`.
pub fn table_words(steps: &[StepCoefficients]) -> Vec<f32> {
    bytemuck::cast_slice(steps).to_vec()
}

/// Emits the step.
pub fn emit(plan: &mut PlanBuilder, io: &SampleStepIo, state: TensorId) {
    let shape = io.shape;
    let mut params = Params {
        batch: shape.b as u32,
        vec4s: (shape.words() / shape.b.max(1) / 4) as u32,
        c4: shape.c4() as u32,
        channels: shape.c as u32,
        steps: io.steps as u32,
        stream: 0,
        step_source: 0,
        step_value: 0,
        flags: 0,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let mut args = vec![
        (1, io.table.into()),
        (2, io.out.into()),
        (3, io.x_t.into()),
        (8, state.into()),
    ];
    if io.x_prev == io.x_t {
        params.flags |= IN_PLACE;
    } else {
        args.push((5, io.x_prev.into()));
    }
    match io.noise {
        StepNoise::None => {}
        StepNoise::Given(z) => {
            params.flags |= NOISE_GIVEN;
            args.push((4, z.into()));
        }
        StepNoise::Drawn(stream, step) => {
            params.flags |= NOISE_DRAWN;
            params.stream = stream;
            (params.step_source, params.step_value) = step.code();
        }
    }
    if let Some(x0_hat) = io.x0_hat {
        params.flags |= X0_HAT;
        args.push((6, x0_hat.into()));
    }
    if let Some(eps_hat) = io.eps_hat {
        params.flags |= EPS_HAT;
        args.push((7, eps_hat.into()));
    }
    plan.dispatch(
        KernelId::new("diffusion/step", "step_back"),
        &params,
        &args,
        (shape.words() / 4).div_ceil(GROUP),
        12 * shape.len() as u64,
    );
}

/// Emits t of the step's row into `t`, `[B]` u32, for the time embedding.
pub fn set_t(
    plan: &mut PlanBuilder,
    (batch, steps): (usize, usize),
    table: TensorId,
    t: TensorId,
    state: TensorId,
) {
    plan.dispatch(
        KernelId::new("diffusion/step", "set_t"),
        &Params {
            batch: batch as u32,
            steps: steps as u32,
            ..Params::zeroed()
        },
        &[(1, table.into()), (8, state.into()), (9, t.into())],
        batch.div_ceil(GROUP),
        0,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diffusion::{
            Objective, SchedulerConfig,
            sampler::{SAMPLERS, SamplerOptions},
        },
        nn::{
            batch::normal_values,
            layers::testing::Numbers,
            state::StepState,
            tensor::RefTensor,
            testing::{bits, floats, run},
        },
        rng::{Draw, stream},
    };

    fn compare(shape: Shape, found: &[u32], expected: &[f32], what: &str) {
        for (i, (f, &e)) in floats(found).into_iter().zip(expected).enumerate() {
            assert!(
                (f - e).abs() <= 2e-6 * (1.0 + e.abs()),
                "{what}[{i}] is {f}, expected {e}"
            );
            assert!(i % shape.cp() < shape.c || found[i] == 0, "{what}: padding");
        }
        assert_eq!(found.len(), expected.len());
    }

    #[test]
    fn steps_are_those_of_the_cpu() {
        let shape = Shape::new(3, 5, 7, 3);
        let mut numbers = Numbers::new(4);
        let [x, out, z, last]: [RefTensor; 4] = std::array::from_fn(|_| numbers.tensor(shape));
        let [x, out, z, last] = [x, out, z, last].map(|t| t.to_plan());
        for (case, entry) in SAMPLERS.iter().enumerate() {
            let config = SchedulerConfig {
                prediction_type: Objective::ALL[case % 3],
                ..Default::default()
            };
            let schedule = config.noise_schedule().unwrap();
            let sampler = (entry.make)(SamplerOptions { eta: 0.7 });
            let steps: Vec<StepCoefficients> = sampler
                .steps(&config, &schedule, 10)
                .unwrap()
                .into_iter()
                .map(|s| s.coefficients)
                .collect();
            let table = bits(&table_words(&steps));
            for inference_step in [0, 4, 9] {
                let state = StepState {
                    inference_step,
                    batch_offset: 20,
                    ..StepState::default()
                }
                .with_seed(99);
                let c = &steps[inference_step as usize];
                let noisy = entry.name != "pf_ode" && inference_step < 9;
                assert_eq!(c.sigma > 0.0, noisy, "{}", entry.name);
                assert_eq!(c.looks_back(), entry.name == "pf_ode" && inference_step > 0);
                let words = [&x, &out, &z, &last].map(|t| bits(t));
                let [w_x, w_out, w_z, w_last] = &words;
                // Each of the three steps finds its own ε̂ of the step before.
                let inputs: [&[u32]; 8] = [
                    state.words(),
                    &table,
                    w_x,
                    w_out,
                    w_z,
                    w_last,
                    w_last,
                    w_last,
                ];
                let result = run(&inputs, |plan, t| {
                    let mut tensor = |name: &str| plan.tensor(name, shape.words());
                    let given = SampleStepIo {
                        shape,
                        table: t[1],
                        steps: 10,
                        out: t[3],
                        x_t: t[2],
                        noise: StepNoise::Given(t[4]),
                        x_prev: tensor("x_prev"),
                        x0_hat: Some(tensor("x0_hat")),
                        eps_hat: Some(t[5]),
                    };
                    let drawn = SampleStepIo {
                        noise: StepNoise::Drawn(stream::SAMPLE_NOISE, RandomStep::InferenceStep),
                        x_prev: tensor("x_prev"),
                        x0_hat: None,
                        eps_hat: Some(t[6]),
                        ..given
                    };
                    let in_place = SampleStepIo {
                        noise: StepNoise::None,
                        x_prev: t[2],
                        eps_hat: c.looks_back().then_some(t[7]),
                        ..drawn
                    };
                    let time = plan.tensor("t", shape.b);
                    for io in [given, drawn, in_place] {
                        emit(plan, &io, t[0]);
                    }
                    set_t(plan, (shape.b, 10), t[1], time, t[0]);
                    let hats = [given.x0_hat, given.eps_hat].map(Option::unwrap);
                    vec![given.x_prev, hats[0], hats[1], drawn.x_prev, t[2], time]
                });
                let draw = Draw {
                    seed: 99,
                    stream: stream::SAMPLE_NOISE,
                    step: inference_step,
                    sample: 20,
                };
                let zero = vec![0.0; x.len()];
                let drawn = normal_values(shape, draw);
                let (mut prev, mut x0) = (zero.clone(), zero.clone());
                for (k, noise, what) in [
                    (0, &z, "noise given"),
                    (3, &drawn, "noise drawn"),
                    (4, &zero, "in place"),
                ] {
                    let mut eps = last.clone();
                    c.advance(&x, &out, noise, &mut eps, &mut prev, &mut x0)
                        .unwrap();
                    compare(shape, &result[k], &prev, what);
                }
                compare(shape, &result[1], &x0, "x0_hat");
                assert!(x0.iter().all(|v| v.abs() <= 1.0));
                let eps: Vec<f32> = x
                    .iter()
                    .zip(&out)
                    .map(|(x, o)| c.eps_from_x * x + c.eps_from_out * o)
                    .collect();
                compare(shape, &result[2], &eps, "eps_hat");
                assert_eq!(result[5], vec![c.timestep as u32; shape.b]);
                assert!(c.timestep > 0.0 || inference_step == 9);
            }
        }
    }
}

//! The ancestral sampler: algorithm 2 of the paper, for any subset of the timesteps.

use super::{SampleStep, Sampler, StepCoefficients, timesteps};
use crate::diffusion::{DiffusionError, NoiseSchedule, SchedulerConfig, VarianceType};

/// Draws x_{t−1} from N(μ̃(x_t, x̂_0), σ_t²) (equations 6 and 7); between the timesteps of a subset β is
/// that of the whole stride.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ddpm;

/// What diffusers clamps the variance to, as it may take its logarithm.
const MIN_VARIANCE: f32 = 1e-20;

impl Sampler for Ddpm {
    fn name(&self) -> &'static str {
        "ddpm"
    }

    fn steps(
        &self,
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        num_inference_steps: usize,
    ) -> Result<Vec<SampleStep>, DiffusionError> {
        let timesteps = timesteps(config, schedule, num_inference_steps)?;
        let step = |(i, &t): (usize, &usize)| SampleStep {
            timestep: t,
            coefficients: coefficients(config, schedule, t, timesteps.get(i + 1).copied()),
        };
        Ok(timesteps.iter().enumerate().map(step).collect())
    }
}

/// The step from `t` to `prev`, or to the image itself. f32 in the order of `DDPMScheduler.step`.
fn coefficients(
    config: &SchedulerConfig,
    schedule: &NoiseSchedule,
    t: usize,
    prev: Option<usize>,
) -> StepCoefficients {
    let bar = schedule.alpha_bars()[t];
    let bar_prev = prev.map_or(1.0, |t| schedule.alpha_bars()[t]);
    let (rest, rest_prev) = (1.0 - bar, 1.0 - bar_prev);
    let alpha = bar / bar_prev;
    let beta = 1.0 - alpha;
    let variance = match config.variance_type {
        VarianceType::FixedSmall => (rest_prev / rest * beta).max(MIN_VARIANCE),
        VarianceType::FixedLarge => beta,
    };
    StepCoefficients {
        prev_from_x0: bar_prev.sqrt() * beta / rest,
        prev_from_x: alpha.sqrt() * rest_prev / rest,
        prev_from_eps: 0.0,
        sigma: if t > 0 { variance.sqrt() } else { 0.0 },
        ..StepCoefficients::prediction(config, schedule, t)
    }
}

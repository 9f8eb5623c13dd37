//! The probability-flow ODE (Song et al. 2021, arXiv:2011.13456, equation 13): the deterministic flow that has the
//! marginals q(x_t) of the noising process.
//!
//! In y = x / √ᾱ over σ = √((1−ᾱ) / ᾱ) it is dy/dσ = ε̂(x, t) (Song, Meng, Ermon 2020, equation 14). DDIM with η = 0 is
//! Euler's rule for it. Here the second-order rule of Adams and Bashforth for steps of different lengths, which
//! needs one evaluation a step as well, since it takes ε̂'s slope from the step before:
//!
//! ```text
//! y_{i+1} = y_i + h_i ε̂_i + h_i² / (2 h_{i−1}) (ε̂_i − ε̂_{i−1}),   h_i = σ_{i+1} − σ_i
//! ```
//!
//! The first step has no step before it and is Euler's; the order remains 2.

use super::{SampleStep, Sampler, StepCoefficients, timesteps};
use crate::diffusion::{DiffusionError, NoiseSchedule, SchedulerConfig};

/// The probability-flow ODE at second order.
#[derive(Debug, Clone, Copy, Default)]
pub struct PfOde;

impl Sampler for PfOde {
    fn name(&self) -> &'static str {
        "pf_ode"
    }

    fn steps(
        &self,
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        num_inference_steps: usize,
    ) -> Result<Vec<SampleStep>, DiffusionError> {
        let timesteps = timesteps(config, schedule, num_inference_steps)?;
        // ᾱ as the tables have it, widened; beyond the last timestep lies the data.
        let bar = |i: usize| {
            let t = timesteps.get(i);
            t.map_or(1.0, |&t| f64::from(schedule.alpha_bars()[t]))
        };
        let sigma = |i: usize| ((1.0 - bar(i)) / bar(i)).sqrt();
        let mut h_before = None;
        let step = |(i, &t): (usize, &usize)| {
            let h = sigma(i + 1) - sigma(i);
            let slope = h_before.map_or(0.0, |before: f64| 0.5 * h * (h / before));
            h_before = Some(h);
            let (a, s) = (bar(i + 1).sqrt(), (1.0 - bar(i + 1)).sqrt());
            SampleStep {
                timestep: t,
                coefficients: StepCoefficients {
                    prev_from_x0: a as f32,
                    prev_from_eps: (s + a * slope) as f32,
                    prev_from_last_eps: (-a * slope) as f32,
                    ..StepCoefficients::prediction(config, schedule, t)
                },
            }
        };
        Ok(timesteps.iter().enumerate().map(step).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::points::{Distribution, Point, PointSource},
        diffusion::{
            TimestepSpacing,
            sampler::{Ddim, testing},
        },
    };

    /// Steps of a stride that divides T − 1, so that all walk on the same grid of σ, from the same to the same.
    fn walk(sampler: &dyn Sampler, steps: usize, source: &PointSource) -> Vec<Point> {
        let config = SchedulerConfig {
            num_train_timesteps: 2401,
            // The same noise at the end, spread over more steps.
            beta_start: 4e-5,
            beta_end: 8e-3,
            clip_sample: false,
            timestep_spacing: TimestepSpacing::Linspace,
            ..Default::default()
        };
        testing::sample(sampler, &config, steps, 60, testing::exact(source))
    }

    #[test]
    fn halving_the_steps_quarters_the_error() {
        let name = Distribution::BuiltIn("two_gaussians".into());
        let source = PointSource::open(&name).unwrap();
        let error = |a: &[Point], b: &[Point]| {
            let squares = a.iter().flatten().zip(b.iter().flatten());
            let sum: f32 = squares.map(|(a, b)| (a - b) * (a - b)).sum();
            (sum / a.len() as f32).sqrt()
        };
        let fine = walk(&PfOde, 2401, &source);
        let errors = |sampler: &dyn Sampler| {
            [121, 241, 481].map(|n| error(&walk(sampler, n, &source), &fine))
        };
        let second = errors(&PfOde);
        let first = errors(&Ddim { eta: 0.0 });
        println!("Adams-Bashforth {second:?}, Euler {first:?}");
        for w in second.windows(2) {
            let ratio = w[0] / w[1];
            assert!((3.2..5.0).contains(&ratio), "{second:?}");
        }
        assert!(second[2] < 0.2 * first[2], "{second:?} {first:?}");
        assert!((1.6..2.6).contains(&(first[0] / first[1])), "{first:?}");
    }

    #[test]
    fn a_schedule_that_ends_in_pure_noise_has_finite_steps() {
        let config = SchedulerConfig {
            rescale_betas_zero_snr: true,
            prediction_type: crate::diffusion::Objective::VPrediction,
            timestep_spacing: TimestepSpacing::Trailing,
            ..Default::default()
        };
        let schedule = config.noise_schedule().unwrap();
        assert_eq!(schedule.alpha_bars()[999], 0.0);
        for step in PfOde.steps(&config, &schedule, 20).unwrap() {
            let c = step.coefficients;
            let all = [c.prev_from_x0, c.prev_from_eps, c.prev_from_last_eps];
            assert!(all.iter().all(|v| v.is_finite()), "{step:?}");
        }
    }
}

//! Annealed Langevin dynamics (Song, Ermon 2019, arXiv:1907.05600, algorithm 1), for a network of this process.
//!
//! In y = x / √ᾱ the noise of a level is σ = √((1−ᾱ) / ᾱ) and the score −ε̂/σ. At each level, from the noisiest down,
//! y takes a few steps of Langevin dynamics, y ← y + α/2 · score + √α z with α = 2 r σ², and goes on to the next level
//! as it is:
//!
//! ```text
//! y ← y − r σ ε̂ + √(2r) σ z,   that is   x ← x − r √(1−ᾱ) ε̂ + √(2r) √(1−ᾱ) z
//! ```
//!
//! r, the ratio of step and noise, is 0.1 as in that paper (its α = 2e-5 σ²/σ_L², σ_L = 0.01), and more where the
//! levels lie so far apart that the noise could not follow. The last step puts out x̂_0, which takes away the noise of
//! the last level (Jolicoeur-Martineau et al. 2020, arXiv:2009.05475). Levels are a subset of the timesteps.

use super::{SampleStep, Sampler, StepCoefficients, timesteps};
use crate::diffusion::{DiffusionError, NoiseSchedule, SchedulerConfig};

/// Annealed Langevin dynamics. Every step is one evaluation of the network; a level has [`STEPS_A_LEVEL`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Langevin;

/// Steps at each level.
pub const STEPS_A_LEVEL: usize = 4;
const LEAST_RATIO: f64 = 0.1;
/// From 1 on, steps would overshoot.
const MOST_RATIO: f64 = 0.5;

impl Sampler for Langevin {
    fn name(&self) -> &'static str {
        "langevin"
    }

    fn steps(
        &self,
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        num_inference_steps: usize,
    ) -> Result<Vec<SampleStep>, DiffusionError> {
        let timesteps = timesteps(config, schedule, num_inference_steps)?;
        let count = timesteps.len();
        // The last timestep of each group of steps is the level of them all.
        let level = |i: usize| timesteps[((i / STEPS_A_LEVEL + 1) * STEPS_A_LEVEL).min(count) - 1];
        let bar = |i: usize| f64::from(schedule.alpha_bars()[level(i)]);
        let sigma = |i: usize| ((1.0 - bar(i)) / bar(i)).sqrt();
        let step = |i: usize| {
            let mut c = StepCoefficients::prediction(config, schedule, level(i));
            if i + 1 == count {
                c.prev_from_x0 = 1.0;
            } else {
                let fall = i
                    .checked_sub(STEPS_A_LEVEL)
                    .map_or(0.0, |before| (sigma(before) / sigma(i)).ln());
                let ratio = (fall / STEPS_A_LEVEL as f64).clamp(LEAST_RATIO, MOST_RATIO);
                // y stays while √ᾱ changes; pure noise has no y, and stays as it is.
                let onward = if bar(i) > 0.0 {
                    (bar(i + 1) / bar(i)).sqrt()
                } else {
                    1.0
                };
                let noise = onward * (1.0 - bar(i)).sqrt();
                c.prev_from_x = onward as f32;
                c.prev_from_eps = (-ratio * noise) as f32;
                c.sigma = ((2.0 * ratio).sqrt() * noise) as f32;
            }
            SampleStep {
                timestep: level(i),
                coefficients: c,
            }
        };
        Ok((0..count).map(step).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_its_steps_and_the_last_one_only_denoises() {
        let config = SchedulerConfig::default();
        let schedule = config.noise_schedule().unwrap();
        let steps = Langevin.steps(&config, &schedule, 10).unwrap();
        let levels: Vec<usize> = steps.iter().map(|s| s.timestep).collect();
        assert_eq!(levels, [600, 600, 600, 600, 200, 200, 200, 200, 0, 0]);
        let last = steps[9].coefficients;
        assert_eq!(
            (
                last.prev_from_x0,
                last.prev_from_x,
                last.prev_from_eps,
                last.sigma
            ),
            (1.0, 0.0, 0.0, 0.0)
        );
        let bars = schedule.alpha_bars();
        for (i, s) in steps.iter().take(9).enumerate() {
            let c = s.coefficients;
            // α = 2 r σ² is both the step and, halved, the noise.
            let ratio = -c.prev_from_eps / (c.prev_from_x * (1.0 - bars[s.timestep]).sqrt());
            let expected = (2.0 * ratio).sqrt() * ratio.recip() * -c.prev_from_eps;
            approx::assert_relative_eq!(c.sigma, expected, max_relative = 1e-5);
            assert!((0.0999..0.5001).contains(&ratio), "{ratio}");
            if i % 4 < 3 {
                assert_eq!(c.prev_from_x, 1.0);
            }
        }
        let dense = Langevin.steps(&config, &schedule, 1000).unwrap();
        let ratio = |s: &SampleStep| {
            let c = s.coefficients;
            -c.prev_from_eps / (c.prev_from_x * (1.0 - bars[s.timestep]).sqrt())
        };
        assert!(dense[..900].iter().all(|s| (ratio(s) - 0.1).abs() < 1e-3));
    }
}

//! DDIM (Song, Meng, Ermon 2020, arXiv:2010.02502): fewer steps, with as much noise as wanted.

use super::{SampleStep, Sampler, StepCoefficients, timesteps};
use crate::diffusion::{DiffusionError, NoiseSchedule, SchedulerConfig};

/// Equation 12 of the DDIM paper with σ of equation 16.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ddim {
    /// η: 0 is deterministic, 1 has the noise of the ancestral sampler.
    pub eta: f64,
}

impl Sampler for Ddim {
    fn name(&self) -> &'static str {
        "ddim"
    }

    fn steps(
        &self,
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        num_inference_steps: usize,
    ) -> Result<Vec<SampleStep>, DiffusionError> {
        if !(self.eta >= 0.0 && self.eta.is_finite()) {
            return Err(self.unusable(
                "0 or a positive number (1 has the noise of the ancestral sampler)".into(),
            ));
        }
        let timesteps = timesteps(config, schedule, num_inference_steps)?;
        // As diffusers: always this stride, whatever the spacing.
        let stride = schedule.timesteps() / num_inference_steps;
        timesteps
            .into_iter()
            .map(|t| {
                let coefficients = self.coefficients(config, schedule, t, t.checked_sub(stride))?;
                Ok(SampleStep {
                    timestep: t,
                    coefficients,
                })
            })
            .collect()
    }
}

impl Ddim {
    fn unusable(&self, expected: String) -> DiffusionError {
        DiffusionError::Invalid {
            key: "eta",
            value: self.eta.to_string(),
            expected,
        }
    }

    /// The step from `t` to `prev`, or to the image itself. f32 in the order of `DDIMScheduler.step`.
    fn coefficients(
        &self,
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        t: usize,
        prev: Option<usize>,
    ) -> Result<StepCoefficients, DiffusionError> {
        let bars = schedule.alpha_bars();
        let bar = bars[t];
        let bar_prev = match prev {
            Some(prev) => bars[prev],
            None if config.set_alpha_to_one => 1.0,
            None => bars[0],
        };
        let (rest, rest_prev) = (1.0 - bar, 1.0 - bar_prev);
        // With ᾱ_0 as the last ᾱ_{t−1}, the stride can be empty and β zero.
        let variance = (rest_prev / rest * (1.0 - bar / bar_prev)).max(0.0);
        let sigma = self.eta as f32 * variance.sqrt();
        let direction = rest_prev - sigma * sigma;
        // Zero up to rounding at η = 1; diffusers would give NaN when that falls below.
        if direction < -1e-6 {
            return Err(self.unusable(format!(
                "smaller, since at timestep {t} it asks for more noise than x_t may hold"
            )));
        }
        Ok(StepCoefficients {
            prev_from_x0: bar_prev.sqrt(),
            prev_from_x: 0.0,
            prev_from_eps: direction.max(0.0).sqrt(),
            sigma,
            ..StepCoefficients::prediction(config, schedule, t)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eta_that_makes_no_sense_is_refused() {
        let config = SchedulerConfig::default();
        let schedule = config.noise_schedule().unwrap();
        for eta in [-0.1, f64::NAN, f64::INFINITY] {
            let error = Ddim { eta }.steps(&config, &schedule, 10).unwrap_err();
            assert!(error.to_string().contains("eta"), "{error}");
        }
        let message = Ddim { eta: 10.0 }
            .steps(&config, &schedule, 10)
            .unwrap_err()
            .to_string();
        assert!(message.contains("more noise"), "{message}");
        assert!(Ddim { eta: 1.0 }.steps(&config, &schedule, 1000).is_ok());
    }

    #[test]
    fn eta_one_has_the_ancestral_mean_and_variance() {
        // DDIM section 4.1: η = 1 is DDPM with the small variance.
        let config = SchedulerConfig {
            clip_sample: false,
            ..Default::default()
        };
        let schedule = config.noise_schedule().unwrap();
        let ddim = Ddim { eta: 1.0 }.steps(&config, &schedule, 20).unwrap();
        let ddpm = super::super::Ddpm.steps(&config, &schedule, 20).unwrap();
        for (a, b) in ddim.iter().zip(&ddpm).take(19) {
            assert_eq!(a.timestep, b.timestep);
            let (mut pa, mut pb, mut x0) = ([0.0], [0.0], [0.0]);
            a.coefficients
                .apply(&[0.4], &[0.9], &[1.1], &mut pa, &mut x0)
                .unwrap();
            b.coefficients
                .apply(&[0.4], &[0.9], &[1.1], &mut pb, &mut x0)
                .unwrap();
            approx::assert_abs_diff_eq!(pa[0], pb[0], epsilon = 2e-4);
            approx::assert_relative_eq!(
                a.coefficients.sigma,
                b.coefficients.sigma,
                max_relative = 1e-3
            );
        }
    }
}

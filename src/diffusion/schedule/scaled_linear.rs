//! The schedule of latent diffusion (Rombach et al. 2022): √β grows linearly.

use super::{BetaSchedule, linspace_f32};

/// √β linear from √`beta_start` to √`beta_end`.
pub(super) struct ScaledLinear;

impl BetaSchedule for ScaledLinear {
    fn name(&self) -> &'static str {
        "scaled_linear"
    }

    fn summary(&self) -> &'static str {
        "√β grows linearly, as in latent diffusion: gentler than linear for most of the way."
    }

    fn betas(&self, timesteps: usize, beta_start: f64, beta_end: f64) -> Vec<f32> {
        linspace_f32(beta_start.sqrt(), beta_end.sqrt(), timesteps)
            .into_iter()
            .map(|root| root * root)
            .collect()
    }
}

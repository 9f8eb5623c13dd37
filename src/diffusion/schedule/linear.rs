//! The paper's schedule: β grows linearly (section 4).

use super::{BetaSchedule, linspace_f32};

/// β linear from `beta_start` to `beta_end`.
pub(super) struct Linear;

impl BetaSchedule for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn summary(&self) -> &'static str {
        "β grows linearly, as in the DDPM paper (1e-4 to 0.02 over 1000 steps)."
    }

    fn betas(&self, timesteps: usize, beta_start: f64, beta_end: f64) -> Vec<f32> {
        linspace_f32(beta_start, beta_end, timesteps)
    }
}

//! The cosine schedule of improved DDPM (arXiv:2102.09672, equation 17).

use super::BetaSchedule;

/// ᾱ follows a squared cosine; β is capped at 0.999.
pub(super) struct SquaredCosCapV2;

const OFFSET: f64 = 0.008;
const MAX_BETA: f64 = 0.999;

impl BetaSchedule for SquaredCosCapV2 {
    fn name(&self) -> &'static str {
        "squaredcos_cap_v2"
    }

    fn summary(&self) -> &'static str {
        "The cosine schedule of improved DDPM: ᾱ falls evenly, and fits any number of steps."
    }

    fn uses_beta_range(&self) -> bool {
        false
    }

    fn betas(&self, timesteps: usize, _beta_start: f64, _beta_end: f64) -> Vec<f32> {
        let alpha_bar = |step: usize| {
            let time = step as f64 / timesteps as f64;
            let cos = ((time + OFFSET) / (1.0 + OFFSET) * std::f64::consts::PI / 2.0).cos();
            cos * cos
        };
        (0..timesteps)
            .map(|t| (1.0 - alpha_bar(t + 1) / alpha_bar(t)).min(MAX_BETA) as f32)
            .collect()
    }
}

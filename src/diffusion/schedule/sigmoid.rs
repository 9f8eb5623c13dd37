//! The sigmoid schedule of GeoDiff (Xu et al. 2022, arXiv:2203.02923).

use super::{BetaSchedule, linspace_f32};

/// β follows a sigmoid over [−6, 6] from `beta_start` to `beta_end`.
pub(super) struct Sigmoid;

impl BetaSchedule for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn summary(&self) -> &'static str {
        "β follows a sigmoid: slow at both ends, steep in the middle (GeoDiff)."
    }

    fn betas(&self, timesteps: usize, beta_start: f64, beta_end: f64) -> Vec<f32> {
        let (range, start) = ((beta_end - beta_start) as f32, beta_start as f32);
        linspace_f32(-6.0, 6.0, timesteps)
            .into_iter()
            .map(|x| 1.0 / (1.0 + exp_f32(-x)) * range + start)
            .collect()
    }
}

/// e^x for moderate `x`, with the rounding of the vector library behind PyTorch's CPU sigmoid (SLEEF's
/// exponential, 1.0 ulp): range reduction by ln 2 in two parts, a polynomial, fused throughout.
fn exp_f32(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    const COEFFICIENTS: [f32; 5] = [
        0.001_393_043_6,
        0.008_333_361,
        0.041_666_485,
        0.166_666_67,
        0.5,
    ];
    let q = (x * std::f32::consts::LOG2_E).round_ties_even();
    let s = q.mul_add(-LN2_LOW, q.mul_add(-LN2_HIGH, x));
    let u = COEFFICIENTS
        .iter()
        .fold(0.000_198_527_62f32, |u, &c| u.mul_add(s, c));
    (1.0 + (s * s).mul_add(u, s)) * q.exp2()
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_is_within_two_ulp() {
        for i in -600..=600 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(super::exp_f32(x)) - exact).abs() / exact;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}): {error:e}");
        }
    }
}

//! The forward process q(x_t | x_0) (equation 4) and what the network is asked to predict.

use super::{DiffusionError, NoiseSchedule, check_length};

/// What the network predicts; `prediction_type` in diffusers.
///
/// With a = √ᾱ_t and s = √(1 − ᾱ_t), x_t = a x_0 + s ε. Each prediction determines x_0 and ε linearly.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The noise ε (DDPM section 3.2, equation 14).
    #[default]
    Epsilon,
    /// The clean image x_0.
    Sample,
    /// v = a ε − s x_0 (arXiv:2202.00512, section 4).
    VPrediction,
}

/// A linear map of (x_t, network output): `from_x · x_t + from_out · out`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearMap {
    /// Factor of x_t.
    pub from_x: f64,
    /// Factor of the network's output.
    pub from_out: f64,
}

impl LinearMap {
    /// The mapped value.
    pub fn apply(self, x: f64, out: f64) -> f64 {
        self.from_x * x + self.from_out * out
    }
}

impl Objective {
    /// Every objective.
    pub const ALL: [Self; 3] = [Self::Epsilon, Self::Sample, Self::VPrediction];

    /// The name in diffusers' `prediction_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::Sample => "sample",
            Self::VPrediction => "v_prediction",
        }
    }

    /// The objective of that name.
    ///
    /// # Errors
    /// [`DiffusionError::Unsupported`], which lists the names.
    pub fn by_name(name: &str) -> Result<Self, DiffusionError> {
        Self::ALL
            .into_iter()
            .find(|o| o.name() == name)
            .ok_or_else(|| DiffusionError::Unsupported {
                key: "prediction_type",
                value: format!("\"{name}\""),
                expected: "epsilon, sample or v_prediction".into(),
            })
    }

    /// The factors (of x_0, of ε) in the regression target: ε → (0, 1), x_0 → (1, 0), v → (−s, a).
    pub fn target_factors(self, alpha_bar: f64) -> (f64, f64) {
        match self {
            Self::Epsilon => (0.0, 1.0),
            Self::Sample => (1.0, 0.0),
            Self::VPrediction => (-(1.0 - alpha_bar).sqrt(), alpha_bar.sqrt()),
        }
    }

    /// x̂_0 from x_t and the network's output:
    /// ε: (x_t − s ε̂) / a (equation 15); x_0: the output; v: a x_t − s v̂.
    pub fn x0_map(self, alpha_bar: f64) -> LinearMap {
        let (a, s) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        match self {
            Self::Epsilon => LinearMap {
                from_x: 1.0 / a,
                from_out: -s / a,
            },
            Self::Sample => LinearMap {
                from_x: 0.0,
                from_out: 1.0,
            },
            Self::VPrediction => LinearMap {
                from_x: a,
                from_out: -s,
            },
        }
    }

    /// ε̂ from x_t and the network's output:
    /// ε: the output; x_0: (x_t − a x̂_0) / s; v: s x_t + a v̂.
    pub fn epsilon_map(self, alpha_bar: f64) -> LinearMap {
        let (a, s) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        match self {
            Self::Epsilon => LinearMap {
                from_x: 0.0,
                from_out: 1.0,
            },
            Self::Sample => LinearMap {
                from_x: 1.0 / s,
                from_out: -a / s,
            },
            Self::VPrediction => LinearMap {
                from_x: s,
                from_out: a,
            },
        }
    }
}

/// The f32 factors (√ᾱ_t, √(1 − ᾱ_t)) of x_0 and ε in x_t, as diffusers' `add_noise` has them.
///
/// # Panics
/// When `t >= T`.
pub fn q_sample_factors(schedule: &NoiseSchedule, t: usize) -> (f32, f32) {
    let bar = schedule.alpha_bars()[t];
    (bar.sqrt(), (1.0 - bar).sqrt())
}

/// x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε (equation 4), f32: the reference of the GPU kernel.
///
/// # Errors
/// [`DiffusionError::Length`] when the slices differ in length, [`DiffusionError::Invalid`] when
/// `t >= T`.
pub fn q_sample(
    schedule: &NoiseSchedule,
    t: usize,
    x0: &[f32],
    noise: &[f32],
    out: &mut [f32],
) -> Result<(), DiffusionError> {
    check_timestep(schedule, t)?;
    check_length("noise", x0.len(), noise.len())?;
    check_length("x_t", x0.len(), out.len())?;
    let (a, s) = q_sample_factors(schedule, t);
    for ((out, x), e) in out.iter_mut().zip(x0).zip(noise) {
        *out = a * x + s * e;
    }
    Ok(())
}

/// The regression target of `objective` for x_0 and ε at `t`, f32.
///
/// # Errors
/// As [`q_sample`].
pub fn target(
    schedule: &NoiseSchedule,
    objective: Objective,
    t: usize,
    x0: &[f32],
    noise: &[f32],
    out: &mut [f32],
) -> Result<(), DiffusionError> {
    check_timestep(schedule, t)?;
    check_length("noise", x0.len(), noise.len())?;
    check_length("target", x0.len(), out.len())?;
    let (a, s) = q_sample_factors(schedule, t);
    for ((out, &x), &e) in out.iter_mut().zip(x0).zip(noise) {
        *out = match objective {
            Objective::Epsilon => e,
            Objective::Sample => x,
            Objective::VPrediction => a * e - s * x,
        };
    }
    Ok(())
}

/// Fails unless `t < T`.
pub(super) fn check_timestep(schedule: &NoiseSchedule, t: usize) -> Result<(), DiffusionError> {
    if t < schedule.timesteps() {
        return Ok(());
    }
    Err(DiffusionError::Invalid {
        key: "timestep",
        value: t.to_string(),
        expected: format!("at most {}", schedule.timesteps() - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::schedule;

    #[test]
    fn a_perfect_prediction_gives_back_x0_and_epsilon() {
        for bar in [0.9999, 0.7, 0.1, 1e-4] {
            let (x0, eps): (f64, f64) = (0.37, -1.21);
            let x = f64::sqrt(bar) * x0 + f64::sqrt(1.0 - bar) * eps;
            for objective in Objective::ALL {
                let (of_x0, of_eps) = objective.target_factors(bar);
                let out = of_x0 * x0 + of_eps * eps;
                approx::assert_relative_eq!(
                    objective.x0_map(bar).apply(x, out),
                    x0,
                    max_relative = 1e-9
                );
                approx::assert_relative_eq!(
                    objective.epsilon_map(bar).apply(x, out),
                    eps,
                    max_relative = 1e-9
                );
            }
        }
    }

    #[test]
    fn q_sample_and_target_agree_with_the_equations() {
        let s =
            NoiseSchedule::from_betas(schedule::by_name("linear").unwrap().betas(1000, 1e-4, 0.02))
                .unwrap();
        let (x0, eps) = ([0.5f32, -1.0], [2.0f32, 0.25]);
        let (mut x, mut v) = ([f32::NAN; 2], [f32::NAN; 2]);
        q_sample(&s, 499, &x0, &eps, &mut x).unwrap();
        target(&s, Objective::VPrediction, 499, &x0, &eps, &mut v).unwrap();
        // diffusers: DDPMScheduler().add_noise and .get_velocity of the same numbers.
        for (found, expected) in [
            (x, [2.059_972, -0.040_358_53]),
            (v, [0.080_717_06, 1.029_986]),
        ] {
            for (found, expected) in found.iter().zip(&expected) {
                approx::assert_relative_eq!(*found, *expected, max_relative = 1e-6);
            }
        }
        assert!(
            q_sample(&s, 1000, &x0, &eps, &mut x)
                .unwrap_err()
                .to_string()
                .contains("at most 999")
        );
        assert!(q_sample(&s, 0, &x0, &eps[..1], &mut x).is_err());
        assert!(
            Objective::by_name("noise")
                .unwrap_err()
                .to_string()
                .contains("v_prediction")
        );
    }
}

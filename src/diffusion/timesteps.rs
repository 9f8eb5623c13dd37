//! How often training draws each timestep.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{DiffusionError, NoiseSchedule};

/// The distribution of t in training.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimestepDistribution {
    /// All alike (algorithm 1).
    #[default]
    Uniform,
    /// Such that the logarithm of the signal-to-noise ratio, λ = ln(ᾱ / (1 − ᾱ)), is normal, as ln σ = −λ/2 is in
    /// Karras et al. 2022 (arXiv:2206.00364, section 5): work goes to the levels at which shapes are decided. One
    /// draw in twenty is uniform, so that no level is left out.
    LogSnr {
        /// Mean of λ.
        mean: f64,
        /// Its standard deviation, above 0.
        std: f64,
    },
}

impl TimestepDistribution {
    /// The share of uniform draws among [`TimestepDistribution::LogSnr`].
    pub const UNIFORM_SHARE: f64 = 0.05;

    /// The probability of each t, `[T]`.
    pub fn probabilities(self, schedule: &NoiseSchedule) -> Vec<f64> {
        let count = schedule.timesteps();
        let uniform = 1.0 / count as f64;
        let Self::LogSnr { mean, std } = self else {
            return vec![uniform; count];
        };
        let log_snr = |t: usize| {
            let alpha_bar = schedule.alpha_bar(t).clamp(1e-12, 1.0 - 1e-12);
            (alpha_bar / (1.0 - alpha_bar)).ln()
        };
        let density: Vec<f64> = (0..count)
            .map(|t| {
                // Half the way to either neighbour is this timestep's.
                let (before, after) = (t.saturating_sub(1), (t + 1).min(count - 1));
                let width =
                    (log_snr(before) - log_snr(after)).abs() / (after - before).max(1) as f64;
                let z = (log_snr(t) - mean) / std;
                (-0.5 * z * z).exp() * width
            })
            .collect();
        let total: f64 = density.iter().sum();
        let share = if total > 0.0 {
            Self::UNIFORM_SHARE
        } else {
            1.0
        };
        let of_density = |d: &f64| (1.0 - share) * d / total.max(f64::MIN_POSITIVE);
        density
            .iter()
            .map(|d| of_density(d) + share * uniform)
            .collect()
    }

    /// The t below which (k + ½) / T of the draws lie, for k = 0 … T − 1: the inverse of the distribution function.
    pub fn quantiles(self, schedule: &NoiseSchedule) -> Vec<u32> {
        let count = schedule.timesteps();
        if self == Self::Uniform {
            return (0..count as u32).collect();
        }
        let probabilities = self.probabilities(schedule);
        let (mut t, mut below) = (0, probabilities[0]);
        (0..count)
            .map(|k| {
                let share = (k as f64 + 0.5) / count as f64;
                while below < share && t + 1 < count {
                    t += 1;
                    below += probabilities[t];
                }
                t as u32
            })
            .collect()
    }
}

impl fmt::Display for TimestepDistribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::LogSnr { mean, std } => write!(f, "log-snr:{mean},{std}"),
        }
    }
}

impl From<TimestepDistribution> for String {
    fn from(draw: TimestepDistribution) -> Self {
        draw.to_string()
    }
}

impl TryFrom<String> for TimestepDistribution {
    type Error = DiffusionError;

    fn try_from(text: String) -> Result<Self, DiffusionError> {
        text.parse()
    }
}

impl FromStr for TimestepDistribution {
    type Err = DiffusionError;

    fn from_str(text: &str) -> Result<Self, DiffusionError> {
        if text == "uniform" {
            return Ok(Self::Uniform);
        }
        let numbers = text
            .strip_prefix("log-snr:")
            .and_then(|rest| rest.split_once(','))
            .and_then(|(mean, std)| Some((mean.trim().parse().ok()?, std.trim().parse().ok()?)));
        match numbers {
            Some((mean, std)) if f64::is_finite(mean) && f64::is_finite(std) && std > 0.0 => {
                Ok(Self::LogSnr { mean, std })
            }
            _ => Err(DiffusionError::Invalid {
                key: "draw of timesteps",
                value: text.to_owned(),
                expected: "uniform or log-snr:MEAN,STD, such as log-snr:-2,1.5".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::SchedulerConfig;

    fn cosine() -> NoiseSchedule {
        let config = SchedulerConfig {
            beta_schedule: "squaredcos_cap_v2".to_owned(),
            ..SchedulerConfig::default()
        };
        config.noise_schedule().unwrap()
    }

    #[test]
    fn uniform_draws_are_what_they_were() {
        let quantiles = TimestepDistribution::Uniform.quantiles(&cosine());
        assert_eq!(quantiles, (0..1000).collect::<Vec<u32>>());
    }

    #[test]
    fn the_log_snr_of_draws_is_normal_but_for_the_uniform_part() {
        let (schedule, mean, std) = (cosine(), -2.0, 1.5);
        let draw = TimestepDistribution::LogSnr { mean, std };
        let quantiles = draw.quantiles(&schedule);
        assert_eq!(quantiles.len(), 1000);
        assert!(quantiles.is_sorted());
        let snr = |t: u32| {
            let a = schedule.alpha_bar(t as usize);
            (a / (1.0 - a)).ln()
        };
        // The distribution function, of the mixture, at one standard deviation to either side.
        for (at, normal) in [
            (mean - std, 0.158_655),
            (mean, 0.5),
            (mean + std, 0.841_345),
        ] {
            let of_uniform = (0..1000).filter(|&t| snr(t) < at).count() as f64 / 1000.0;
            let expected = 0.95 * normal + 0.05 * of_uniform;
            let found = quantiles.iter().filter(|&&t| snr(t) < at).count() as f64 / 1000.0;
            assert!(
                (found - expected).abs() < 0.006,
                "{at}: {found}, not {expected}"
            );
        }
        let sum: f64 = draw.probabilities(&schedule).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn levels_far_from_all_of_the_schedule_leave_uniform_draws() {
        let draw = TimestepDistribution::LogSnr {
            mean: 1e6,
            std: 1.0,
        };
        let probabilities = draw.probabilities(&cosine());
        assert!(probabilities.iter().all(|p| (p - 1e-3).abs() < 1e-12));
    }

    #[test]
    fn text_is_read_and_written() {
        for text in ["uniform", "log-snr:-2,1.5"] {
            assert_eq!(
                text.parse::<TimestepDistribution>().unwrap().to_string(),
                text
            );
        }
        for bad in [
            "",
            "log-snr",
            "log-snr:1",
            "log-snr:1,0",
            "log-snr:nan,1",
            "log-snr:1,inf",
        ] {
            let error = bad.parse::<TimestepDistribution>().unwrap_err().to_string();
            assert!(error.contains("log-snr:-2,1.5"), "{error}");
        }
    }
}

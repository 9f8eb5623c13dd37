//! What changes with the training step: the learning rate and the decay of the weight average.

use std::f64::consts::PI;

/// What follows the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearningRateDecay {
    /// The base rate to the end.
    #[default]
    Constant,
    /// Half a cosine from the base rate at the end of the warm-up to `final_fraction` of it at
    /// `total_steps`, and that from there on (SGDR, arXiv:1608.03983, without restarts).
    Cosine {
        /// The step at which the decay ends, counted from the start of training.
        total_steps: u64,
        /// What remains of the base rate, 0 to 1.
        final_fraction: f64,
    },
}

/// A learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LearningRate {
    /// The rate at the end of the warm-up.
    pub base: f64,
    /// Steps of linear warm-up: step 0 has base / warmup_steps, none with 0.
    pub warmup_steps: u64,
    /// What follows.
    pub decay: LearningRateDecay,
}

impl LearningRate {
    /// The rate of 0-based step `step`.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.base * (step + 1) as f64 / self.warmup_steps as f64;
        }
        match self.decay {
            LearningRateDecay::Constant => self.base,
            LearningRateDecay::Cosine {
                total_steps,
                final_fraction,
            } => {
                let length = total_steps.saturating_sub(self.warmup_steps).max(1);
                let progress = ((step - self.warmup_steps) as f64 / length as f64).min(1.0);
                self.base
                    * (final_fraction
                        + (1.0 - final_fraction) * 0.5 * (1.0 + (PI * progress).cos()))
            }
        }
    }
}

/// The decay of the weight average after 0-based step `step`, which rises to `decay`: without a power as
/// min(decay, (1 + step) / (10 + step)), so that the average forgets the random start quickly and holds about the
/// last ninth of the steps; with one as min(decay, 1 - (1 + step)^-power), as in diffusers' `EMAModel` with its
/// `use_ema_warmup`. With power 1 it is the plain mean of all steps (Polyak and Juditsky 1992).
pub fn ema_decay(decay: f64, power: Option<f64>, step: u64) -> f64 {
    let step = step as f64;
    decay.min(power.map_or((1.0 + step) / (10.0 + step), |power| {
        1.0 - (1.0 + step).powf(-power)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_then_constant() {
        let rate = LearningRate {
            base: 2e-4,
            warmup_steps: 4,
            decay: LearningRateDecay::Constant,
        };
        let rates: Vec<f64> = [0, 1, 3, 4, 1_000_000]
            .into_iter()
            .map(|s| rate.at(s))
            .collect();
        for (rate, expected) in rates.iter().zip([0.5e-4, 1e-4, 2e-4, 2e-4, 2e-4]) {
            approx::assert_relative_eq!(*rate, expected, max_relative = 1e-12);
        }
        assert_eq!(
            LearningRate {
                warmup_steps: 0,
                ..rate
            }
            .at(0),
            2e-4
        );
    }

    #[test]
    fn warm_up_then_cosine() {
        let decay = LearningRateDecay::Cosine {
            total_steps: 110,
            final_fraction: 0.1,
        };
        let rate = LearningRate {
            base: 1.0,
            warmup_steps: 10,
            decay,
        };
        for (step, expected) in [(9, 1.0), (10, 1.0), (60, 0.55), (110, 0.1), (5000, 0.1)] {
            approx::assert_relative_eq!(rate.at(step), expected, max_relative = 1e-12);
        }
        // A quarter of the way: 0.1 + 0.9 · ½ (1 + cos 45°).
        approx::assert_relative_eq!(rate.at(35), 0.868_198_051_533_946_4, max_relative = 1e-12);
        // A decay that ends before the warm-up does is at its end at once.
        let short = LearningRateDecay::Cosine {
            total_steps: 5,
            final_fraction: 0.1,
        };
        approx::assert_relative_eq!(
            LearningRate {
                decay: short,
                ..rate
            }
            .at(11),
            0.1,
            max_relative = 1e-12
        );
    }

    #[test]
    fn ema_starts_low_and_reaches_its_decay() {
        assert_eq!(ema_decay(0.9999, None, 0), 0.1);
        assert_eq!(ema_decay(0.9999, None, 90), 0.91);
        assert_eq!(ema_decay(0.9999, None, 1_000_000), 0.9999);
        assert!(ema_decay(0.9999, None, 89_000) < 0.9999);
    }

    #[test]
    fn ema_with_power_1_is_the_mean_of_all_steps() {
        let values = [3.0, -1.0, 4.0, 1.5, -9.0, 2.0];
        let mut average = 100.0;
        for (step, value) in (0..).zip(values) {
            let decay = ema_decay(0.9999, Some(1.0), step);
            average = decay * average + (1.0 - decay) * value;
            let mean = values[..=step as usize].iter().sum::<f64>() / (step + 1) as f64;
            approx::assert_relative_eq!(average, mean, max_relative = 1e-12);
        }
        assert_eq!(ema_decay(0.9999, Some(1.0), 1_000_000), 0.9999);
        // diffusers' EMAModel(use_ema_warmup=True, power=2/3).get_decay(1 + 1000)
        approx::assert_relative_eq!(
            ema_decay(0.9999, Some(2.0 / 3.0), 1000),
            0.990_006_661_116_045,
            max_relative = 1e-9
        );
    }
}

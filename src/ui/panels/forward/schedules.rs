//! The curves of every noise schedule at one T.

use noiselab::diffusion::{NoiseSchedule, SchedulerConfig, schedule::SCHEDULES};

/// What is plotted over t.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// β_t.
    Beta,
    /// ᾱ_t.
    AlphaBar,
    /// ᾱ_t / (1 − ᾱ_t).
    Snr,
}

/// One schedule.
#[derive(Debug)]
pub struct Known {
    /// Its name in diffusers.
    pub name: &'static str,
    /// One sentence about it.
    pub summary: &'static str,
    /// Its tables, or why there are none at this T.
    pub schedule: Result<NoiseSchedule, String>,
    /// Curves of [`Quantity`] in order, x from 1 to T.
    curves: [Vec<[f64; 2]>; 3],
}

impl Known {
    /// The curve of a quantity.
    pub fn curve(&self, quantity: Quantity) -> &[[f64; 2]] {
        match quantity {
            Quantity::Beta => &self.curves[0],
            Quantity::AlphaBar => &self.curves[1],
            Quantity::Snr => &self.curves[2],
        }
    }

    /// √ᾱ_t and √(1 − ᾱ_t), the shares of picture and noise in x_t; t from 0 (the picture itself) to T.
    pub fn shares(&self, t: usize) -> Option<(f64, f64)> {
        let schedule = self.schedule.as_ref().ok()?;
        if t > schedule.timesteps() {
            return None;
        }
        let bar = match t {
            0 => 1.0,
            _ => schedule.alpha_bar(t - 1),
        };
        Some((bar.sqrt(), (1.0 - bar).sqrt()))
    }
}

/// The curves of every schedule at one T; made again when T changes.
#[derive(Debug, Default)]
pub struct Schedules {
    timesteps: usize,
    known: Vec<Known>,
}

impl Schedules {
    /// Points a curve, at most.
    const POINTS: usize = 300;

    /// Brings them to T.
    pub fn set_timesteps(&mut self, timesteps: usize) {
        if self.timesteps == timesteps {
            return;
        }
        self.timesteps = timesteps;
        self.known = SCHEDULES
            .iter()
            .map(|rule| {
                let config = SchedulerConfig {
                    beta_schedule: rule.name().to_owned(),
                    num_train_timesteps: timesteps,
                    ..SchedulerConfig::default()
                };
                let schedule = config.noise_schedule().map_err(|e| e.to_string());
                let curves = schedule.as_ref().map(curves).unwrap_or_default();
                Known {
                    name: rule.name(),
                    summary: rule.summary(),
                    schedule,
                    curves,
                }
            })
            .collect();
    }

    /// All of them.
    pub fn all(&self) -> &[Known] {
        &self.known
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Known> {
        self.known.iter().find(|k| k.name == name)
    }
}

fn curves(schedule: &NoiseSchedule) -> [Vec<[f64; 2]>; 3] {
    let last = schedule.timesteps();
    let count = last.min(Schedules::POINTS);
    let steps = (0..count).map(|n| match count {
        1 => 1,
        _ => 1 + n * (last - 1) / (count - 1),
    });
    let curve = |f: &dyn Fn(usize) -> f64| {
        steps
            .clone()
            .map(|t| [t as f64, f(t - 1)])
            .filter(|p| p[1].is_finite())
            .collect()
    };
    [
        curve(&|t| schedule.beta(t)),
        curve(&|t| schedule.alpha_bar(t)),
        curve(&|t| schedule.snr(t)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_hold_the_schedules_numbers_at_every_t() {
        let mut schedules = Schedules::default();
        for timesteps in [1, 2, 50, 1000, 4000] {
            schedules.set_timesteps(timesteps);
            assert_eq!(schedules.all().len(), SCHEDULES.len());
            for known in schedules.all() {
                let table = known.schedule.as_ref().expect(known.name);
                let bars = known.curve(Quantity::AlphaBar);
                assert!(!bars.is_empty() && bars.len() <= Schedules::POINTS);
                for &[t, bar] in bars {
                    assert_eq!(bar, table.alpha_bar(t as usize - 1), "{}", known.name);
                }
                assert_eq!(bars.first().map(|p| p[0]), Some(1.0));
                assert_eq!(bars.last().map(|p| p[0]), Some(timesteps as f64));
                let (a, b) = known.shares(timesteps).expect("t = T");
                assert!((a * a + b * b - 1.0).abs() < 1e-12);
                assert_eq!(known.shares(0), Some((1.0, 0.0)));
                assert_eq!(known.shares(timesteps + 1), None);
            }
        }
    }
}

//! What is plotted of a run: series that never grow beyond what a plot can show.

use noiselab::session::{
    figures::{T_BINS, t_bin},
    trainer::StepReport,
};

use crate::ui::{
    panels::bars::{Axes, Bars, bar_plot},
    theme, widgets,
};

/// Points over the steps. When there are too many, every second one is dropped, and from then on only every
/// second, fourth, … is kept.
#[derive(Debug, Clone)]
pub struct Series {
    points: Vec<[f64; 2]>,
    /// Of so many points one is kept.
    stride: usize,
    /// Points since the last that was kept.
    waiting: usize,
    last: Option<[f64; 2]>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            stride: 1,
            waiting: 0,
            last: None,
        }
    }
}

impl Series {
    /// Points that are kept, at most.
    pub const MOST: usize = 4_000;

    /// Appends a point; numbers that are not finite are left out.
    pub fn push(&mut self, x: f64, y: f64) {
        if !y.is_finite() {
            return;
        }
        self.last = Some([x, y]);
        if self.waiting == 0 {
            self.points.push([x, y]);
        }
        self.waiting = (self.waiting + 1) % self.stride;
        if self.points.len() >= Self::MOST {
            let mut n = 0;
            self.points.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.stride *= 2;
            // The point just pushed, an odd one, was dropped: half a stride and one more have passed.
            self.waiting = (self.stride / 2 + 1) % self.stride;
        }
    }

    /// The points, the newest always among them.
    pub fn points(&self) -> impl Iterator<Item = [f64; 2]> + '_ {
        let kept = self.points.last().copied();
        let newest = self.last.filter(|&p| Some(p) != kept);
        self.points.iter().copied().chain(newest)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

/// A moving average that does not lean towards 0 at its beginning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Smooth {
    sum: f64,
    weight: f64,
}

impl Smooth {
    /// Takes a value in and gives the average; `keep` of 0 … 1 is the share of the past that stays.
    pub fn push(&mut self, value: f64, keep: f64) -> f64 {
        if value.is_finite() {
            self.sum = keep * self.sum + (1.0 - keep) * value;
            self.weight = keep * self.weight + (1.0 - keep);
        }
        self.get().unwrap_or(value)
    }

    /// The average, if there is a value yet.
    pub fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Everything that is plotted of a run.
#[derive(Debug, Clone, Default)]
pub struct Curves {
    /// The loss of each step.
    pub loss: Series,
    /// Its moving average.
    pub smooth: Series,
    /// The gradient's norm.
    pub gradient: Series,
    /// The learning rate.
    pub rate: Series,
    /// Mean squared error in each part of the timesteps.
    pub by_t: [Smooth; T_BINS],
    average: Smooth,
}

impl Curves {
    /// The share of the past in the smoothed loss: about the last 50 steps count.
    const KEEP: f64 = 0.98;
    /// The share of the past in the loss by timestep: about the last 200 images of a part count.
    const KEEP_BY_T: f64 = 0.995;

    /// The loss as two lines, with what they are called.
    pub fn loss_series(
        &self,
        ui: &egui::Ui,
        raw: &'static str,
        smooth: &'static str,
    ) -> [widgets::Series<'static>; 2] {
        [
            widgets::Series {
                name: raw,
                points: self.loss.points().collect(),
                colour: theme::faint(ui),
                faint: true,
            },
            widgets::Series {
                name: smooth,
                points: self.smooth.points().collect(),
                colour: theme::series(ui, 0),
                faint: false,
            },
        ]
    }

    /// Draws the loss in each part of the timesteps 0 … `timesteps` − 1.
    pub fn by_t_plot(
        &self,
        ui: &mut egui::Ui,
        id: &str,
        timesteps: usize,
        [x_label, y_label]: [&str; 2],
    ) -> egui::Response {
        let width = timesteps as f64 / T_BINS as f64;
        let bars = Bars {
            name: y_label,
            bars: (self.by_t.iter().enumerate())
                .filter_map(|(i, mean)| Some([(i as f64 + 0.5) * width, 0.9 * width, mean.get()?]))
                .collect(),
            colour: theme::series(ui, 0),
        };
        let axes = Axes {
            x_label,
            y_label,
            x_range: (0.0, timesteps as f64),
            x_step: timesteps as f64 / 2.0,
            y_least: 0.01,
            height: 176.0,
        };
        bar_plot(ui, id, axes, &[bars], &[])
    }

    /// Takes a loss in, of a run that is restored.
    pub fn push_loss(&mut self, step: u64, loss: f32) {
        let (step, loss) = (step as f64, f64::from(loss));
        let average = self.average.push(loss, Self::KEEP);
        self.loss.push(step, loss);
        self.smooth.push(step, average);
    }

    /// Takes a step in; T is the run's.
    pub fn push(&mut self, report: &StepReport, timesteps: usize) {
        let step = report.step as f64;
        self.push_loss(report.step, report.loss);
        self.gradient.push(step, f64::from(report.grad_norm));
        self.rate.push(step, report.lr);
        for &(t, error) in &report.samples {
            let bin = t_bin(t as usize, timesteps.max(1));
            self.by_t[bin].push(f64::from(error), Self::KEEP_BY_T);
        }
    }

    /// The smoothed loss.
    pub fn smoothed(&self) -> Option<f64> {
        self.average.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_is_thinned_evenly_and_keeps_its_newest_point() {
        let mut series = Series::default();
        for n in 0..100_000 {
            series.push(f64::from(n), 1.0);
            assert!(series.points.len() < Series::MOST);
            assert_eq!(series.points().last(), Some([f64::from(n), 1.0]));
        }
        assert!(
            series.points.len() > Series::MOST / 3,
            "{}",
            series.points.len()
        );
        for pair in series.points.windows(2) {
            assert_eq!(pair[1][0] - pair[0][0], series.stride as f64);
        }
        series.push(1e6, f64::NAN);
        assert_eq!(series.points().last(), Some([99_999.0, 1.0]));
    }

    #[test]
    fn the_average_of_a_constant_is_the_constant_from_the_first_value_on() {
        let mut smooth = Smooth::default();
        assert_eq!(smooth.get(), None);
        for _ in 0..50 {
            assert!((smooth.push(3.0, 0.98) - 3.0).abs() < 1e-12);
        }
        smooth.push(f64::INFINITY, 0.98);
        assert!((smooth.get().unwrap_or(0.0) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_loss_is_sorted_by_timestep() {
        let mut curves = Curves::default();
        let report = StepReport {
            step: 7,
            loss: 0.1,
            mse: 0.1,
            vlb: 0.0,
            grad_norm: 10.0,
            lr: 1e-3,
            ema_decay: 0.9,
            samples: vec![(0, 0.5), (49, 0.25), (4, 0.5), (1000, 0.125)],
        };
        curves.push(&report, 50);
        let means: Vec<Option<f64>> = curves.by_t.iter().map(Smooth::get).collect();
        assert_eq!(means[0], Some(0.5));
        assert!((means[9].unwrap_or(0.0) - 0.1875).abs() < 1e-3);
        assert!(means[1..9].iter().all(Option::is_none));
        assert_eq!(curves.gradient.points().last(), Some([7.0, 10.0]));
        assert!((curves.smoothed().unwrap_or(0.0) - 0.1).abs() < 1e-6);
        // T of 0 cannot be, and is no panic either.
        curves.push(&report, 0);
    }
}

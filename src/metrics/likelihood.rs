//! The model's own density by the probability-flow ODE and the instantaneous change of variables (Song et al. 2021,
//! arXiv:2011.13456, equations 13 and 39; Chen et al. 2018).
//!
//! With ᾱ = cos² φ the ODE is dx/dφ = v, v = cos φ ε̂ − sin φ x̂_0 = (ε̂ − sin φ · x) / cos φ (Salimans, Ho 2022, appendix
//! D), from φ = 0, the data, to φ_T, where x is taken to be N(0, I):
//!
//! ```text
//! ln p(x_0) = ln N(x(φ_T); 0, I) + ∫_0^{φ_T} div v dφ,   div v = (div ε̂ − 2 sin φ) / cos φ
//! ```
//!
//! Heun's rule integrates it: two evaluations a step, second order. div ε̂ comes from central differences along the two
//! axes, exact up to h². No network is told φ = 0: there ε̂ is 0, as E[ε | x_t] tends to for every smooth density.
//!
//! [`OdeLikelihood`] needs no device: it asks for ε̂ at points and is told.

use crate::data::points::Point;

/// Evaluations for a point: its place, and h to either side along both axes.
const QUERIES: usize = 5;

/// ln p(x_0) of many points, under way.
#[derive(Debug, Clone)]
pub struct OdeLikelihood {
    /// Timesteps upwards.
    timesteps: Vec<usize>,
    /// φ at each.
    angles: Vec<f64>,
    h: f32,
    /// x at the start of the step.
    x: Vec<[f64; 2]>,
    /// ∫ div v dφ so far.
    change: Vec<f64>,
    /// v and its divergence at the start of the step.
    slope: Vec<([f64; 2], f64)>,
    /// The step's goal, an index of `timesteps`.
    at: usize,
    /// Whether `slope` is at `at`, so that the next step can begin.
    fresh: bool,
}

impl OdeLikelihood {
    /// For `points`, integrated over the given timesteps (0-based, in any order) of the schedule whose ᾱ_t are
    /// `alpha_bars` (indexed by t). `h` is half the distance over which the divergence is measured: small beside the
    /// finest detail of the density, and large enough for f32, say 0.01. Timesteps that the schedule lacks, or whose ᾱ
    /// is 0, are left out.
    pub fn new(
        points: impl AsRef<[Point]>,
        mut timesteps: Vec<usize>,
        alpha_bars: impl AsRef<[f32]>,
        h: f32,
    ) -> Self {
        let bars = alpha_bars.as_ref();
        timesteps.retain(|&t| bars.get(t).is_some_and(|&b| b > 0.0));
        timesteps.sort_unstable();
        timesteps.dedup();
        let angle = |&t: &usize| {
            let bar = f64::from(bars[t]);
            (1.0 - bar).sqrt().atan2(bar.sqrt())
        };
        let x: Vec<[f64; 2]> = points.as_ref().iter().map(|p| p.map(f64::from)).collect();
        Self {
            angles: timesteps.iter().map(angle).collect(),
            timesteps,
            h,
            change: vec![0.0; x.len()],
            // At the data v = ε̂ = 0.
            slope: vec![([0.0; 2], 0.0); x.len()],
            x,
            at: 0,
            fresh: true,
        }
    }

    /// Evaluations done, and in all.
    pub fn progress(&self) -> (usize, usize) {
        let of = (2 * self.timesteps.len()).saturating_sub(1);
        let done = 2 * self.at + usize::from(!self.fresh);
        (done.min(of), of)
    }

    /// Where ε̂ is needed next: the timestep and the points, 5 for each point. `None` at the end. Asks the same until
    /// [`OdeLikelihood::answer`] is called.
    pub fn next(&self) -> Option<(usize, Vec<Point>)> {
        let t = *self.timesteps.get(self.at)?;
        let step = self.step();
        let queries = self
            .x
            .iter()
            .zip(&self.slope)
            .flat_map(|(x, (v, _))| {
                // Euler's prediction, or the corrected place.
                let to = if self.fresh { step } else { 0.0 };
                let [x, y] = [0, 1].map(|i| (x[i] + to * v[i]) as f32);
                let h = self.h;
                [[x, y], [x + h, y], [x - h, y], [x, y + h], [x, y - h]]
            })
            .collect();
        Some((t, queries))
    }

    /// φ from the last timestep to this one.
    fn step(&self) -> f64 {
        let before = self.at.checked_sub(1).map_or(0.0, |i| self.angles[i]);
        self.angles[self.at] - before
    }

    /// Takes ε̂ at the points of [`OdeLikelihood::next`], in the same order. What is missing at the end counts as 0.
    pub fn answer(&mut self, eps_hat: &[Point]) {
        if self.at >= self.timesteps.len() {
            return;
        }
        let (sin, cos) = self.angles[self.at].sin_cos();
        let step = self.step();
        let predicted = if self.fresh { step } else { 0.0 };
        let half = 2.0 * f64::from(self.h);
        for (n, (x, slope)) in self.x.iter_mut().zip(&mut self.slope).enumerate() {
            let eps = |k: usize| {
                let found = eps_hat.get(QUERIES * n + k).copied();
                found.unwrap_or_default().map(f64::from)
            };
            let (at, before) = (*x, *slope);
            let v = [0, 1].map(|i| (eps(0)[i] - sin * (at[i] + predicted * before.0[i])) / cos);
            let divergence_of_eps = (eps(1)[0] - eps(2)[0] + eps(3)[1] - eps(4)[1]) / half;
            let divergence = (divergence_of_eps - 2.0 * sin) / cos;
            if self.fresh {
                *x = [0, 1].map(|i| at[i] + 0.5 * step * (before.0[i] + v[i]));
                self.change[n] += 0.5 * step * (before.1 + divergence);
            } else {
                *slope = (v, divergence);
            }
        }
        // After the last step no slope is needed any more.
        if self.fresh && self.at + 1 < self.timesteps.len() {
            self.fresh = false;
        } else {
            self.fresh = true;
            self.at += 1;
        }
    }

    /// ln p(x_0) of each point, in nats; right once [`OdeLikelihood::next`] has nothing more to ask.
    pub fn log_likelihood(&self) -> Vec<f32> {
        let prior = |x: &[f64; 2]| -0.5 * (x[0] * x[0] + x[1] * x[1]) - std::f64::consts::TAU.ln();
        let all = self.x.iter().zip(&self.change);
        all.map(|(x, change)| (prior(x) + change) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::points::{Distribution, PointSource},
        diffusion::{
            SchedulerConfig,
            exact::{Component, Mixture},
        },
    };

    fn run(points: &[Point], mixture: &Mixture, steps: usize, scale: f32) -> Vec<f32> {
        let schedule = SchedulerConfig::default().noise_schedule().unwrap();
        let times = (0..steps).map(|i| i * 999 / (steps - 1)).collect();
        let bars = schedule.alpha_bars().to_vec();
        let mut ode = OdeLikelihood::new(points, times, bars, 0.01);
        let (mut asked, of) = (0, ode.progress().1);
        while let Some((t, queries)) = ode.next() {
            assert_eq!(queries.len(), 5 * points.len());
            assert_eq!(ode.progress(), (asked, of));
            let bar = f64::from(schedule.alpha_bars()[t]);
            let eps: Vec<Point> = queries
                .iter()
                .map(|&q| mixture.eps(q, bar).map(|v| scale * v as f32))
                .collect();
            ode.answer(&eps);
            asked += 1;
        }
        assert_eq!((asked, asked), ode.progress());
        ode.log_likelihood()
    }

    fn mean_nll(log: &[f32]) -> f64 {
        -log.iter().map(|&l| f64::from(l)).sum::<f64>() / log.len() as f64
    }

    #[test]
    fn with_the_exact_score_the_nll_is_that_of_the_mixture() {
        for name in ["eight_gaussians", "two_gaussians"] {
            let source = PointSource::open(&Distribution::BuiltIn(name.into())).unwrap();
            let points = source.sample(11, 12, 0, 300);
            let mixture = source.mixture();
            let truth: Vec<f32> = points
                .iter()
                .map(|&p| mixture.log_density(p, 1.0) as f32)
                .collect();
            let expected = mean_nll(&truth);
            for steps in [50, 100] {
                let found = run(&points, mixture, steps, 1.0);
                let nll = mean_nll(&found);
                println!("{name}, {steps} steps: {nll}, exact {expected}");
                assert!(
                    (nll - expected).abs() < 0.02,
                    "{name}: {nll}, exact {expected}"
                );
                let worst = found.iter().zip(&truth).map(|(a, b)| (a - b).abs());
                let worst = worst.fold(0.0, f32::max);
                println!("the worst point is off by {worst}");
            }
            let wrong = mean_nll(&run(&points, mixture, 50, 0.5));
            assert!(
                (wrong - expected).abs() > 0.1,
                "{name}, half the score: {wrong}"
            );
        }
    }

    #[test]
    fn a_wide_gaussian_is_exact_point_by_point() {
        let mixture = Mixture {
            components: vec![Component {
                mean: [0.0, 0.0],
                weight: 1.0,
                variance: 1.0,
            }],
        };
        // ε̂ = √(1−ᾱ) x: v and its divergence vanish, and N(0, I) it remains.
        let points = [[0.0, 0.0], [1.0, -2.0], [3.0, 3.0]];
        for (found, p) in run(&points, &mixture, 20, 1.0).iter().zip(points) {
            let exact = mixture.log_density(p, 1.0) as f32;
            assert!(
                (found - exact).abs() < 5e-3,
                "{p:?}: {found}, exact {exact}"
            );
        }
    }

    #[test]
    fn odd_input_does_no_harm() {
        let mut none = OdeLikelihood::new([[0.0, 0.0]], vec![], [0.5f32], 0.01);
        assert_eq!(none.next(), None);
        none.answer(&[[1.0, 1.0]]);
        assert_eq!(none.log_likelihood().len(), 1);
        let mut ode = OdeLikelihood::new([[1.0, 0.0]], vec![7, 1, 0, 1], [0.9, 0.5, 0.0], 0.01);
        let asked: Vec<usize> = std::iter::from_fn(|| {
            let t = ode.next()?.0;
            ode.answer(&[]);
            Some(t)
        })
        .collect();
        assert_eq!(asked, [0, 0, 1]);
        assert!(ode.log_likelihood()[0].is_finite());
    }
}

//! How good samples are: [`Merit`], measured a part at a time.
//!
//! n = min(samples, [`MERIT_SAMPLES`]) samples are compared with the same number of held-out points of the
//! distribution, at unit data scale:
//!
//! - **sliced Wasserstein** distance of order 2 and **energy distance** as [`crate::metrics`] defines them, the former
//!   over [`PROJECTIONS`] directions, the latter (whose time grows with the square) over the first [`ENERGY_SAMPLES`];
//! - their **floors**: the same between those held-out points and n others, which is what a perfect sampler gets;
//! - **modes**: the share of the samples that lie nearest to each mode and within its radius, beside the true share.

use std::collections::HashMap;

use super::{event::Merit, stage::Stage};
use crate::{data::points::Point, metrics};

/// Samples that are compared at most.
pub const MERIT_SAMPLES: usize = 5000;
/// Samples in the energy distance at most.
pub const ENERGY_SAMPLES: usize = 2000;
/// Directions of the sliced Wasserstein distance.
pub const PROJECTIONS: usize = 64;
const SEED: u64 = 0;

/// Floors by the number of samples, for one stage.
pub type Floors = HashMap<usize, (f32, f32)>;

/// A measurement under way.
#[derive(Debug)]
pub struct Measuring {
    samples: Vec<Point>,
    true_points: Vec<Point>,
    part: usize,
    floor: f32,
    merit: Merit,
}

impl Measuring {
    /// Takes the first samples; what is not finite counts as astray and is left out of the distances.
    pub fn new(stage: &Stage, samples: &[Point]) -> Self {
        let n = samples.len().min(MERIT_SAMPLES);
        let finite = |p: &&Point| p.iter().all(|v| v.is_finite());
        Self {
            samples: samples[..n].iter().filter(finite).copied().collect(),
            true_points: stage.held_out(0, n),
            part: 0,
            floor: 0.0,
            merit: Merit {
                samples: n,
                ..Merit::default()
            },
        }
    }

    /// Does the next part; the result after the last.
    pub fn next(&mut self, stage: &Stage, floors: &mut Floors) -> Option<Merit> {
        let n = self.merit.samples;
        let known = floors.get(&n).copied();
        let other = || stage.held_out(1, n);
        let energy = |a: &[Point], b: &[Point]| {
            let first = |s: &[Point]| s[..s.len().min(ENERGY_SAMPLES)].to_vec();
            metrics::energy_distance(&first(a), &first(b))
        };
        let sliced =
            |a: &[Point], b: &[Point]| metrics::sliced_wasserstein(a, b, PROJECTIONS, SEED);
        self.part += 1;
        match self.part {
            1 if known.is_none() => self.floor = sliced(&other(), &self.true_points),
            2 if known.is_none() => {
                let energy = energy(&other(), &self.true_points);
                floors.insert(n, (self.floor, energy));
            }
            1 | 2 => {}
            3 => self.merit.sliced_wasserstein = sliced(&self.samples, &self.true_points),
            4 => self.merit.energy = energy(&self.samples, &self.true_points),
            _ => {
                let modes = stage.source.modes();
                if !modes.is_empty() {
                    let (shares, astray) = metrics::mode_shares(&self.samples, modes);
                    self.merit.modes = shares
                        .into_iter()
                        .zip(modes.iter().map(|m| m.share))
                        .collect();
                    self.merit.astray = astray;
                    let kept = self.samples.len() as f32 / n.max(1) as f32;
                    for share in &mut self.merit.modes {
                        share.0 *= kept;
                    }
                    self.merit.astray = astray * kept + 1.0 - kept;
                }
                let (sliced, energy) = known.unwrap_or_default();
                self.merit.sliced_wasserstein_floor = sliced;
                self.merit.energy_floor = energy;
                return Some(self.merit.clone());
            }
        }
        None
    }

    /// Does all of it.
    pub fn finish(mut self, stage: &Stage, floors: &mut Floors) -> Merit {
        loop {
            if let Some(merit) = self.next(stage, floors) {
                return merit;
            }
        }
    }
}

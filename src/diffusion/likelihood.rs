//! Bits a dimension: the variational bound on −log₂ p(x_0), estimated from images (equation 5).
//!
//! −ln p(x_0) ≤ L_T + Σ_{t=1}^{T−1} L_t + L_0, in this crate's 0-based t: L_T is known exactly, L_0 is the
//! decoder at `t = 0`, and the sum between has T − 1 terms, of which each image contributes a few, drawn
//! stratified over t ([`TimestepStrata`]).

use std::collections::BTreeMap;

use super::forward::check_timestep;
use super::loss_weight::{decoder_nll_element, model_log_variance};
use super::{DiffusionError, NoiseSchedule, Objective, VarianceType, check_length};

/// The rectangle of a padded image that holds the data set's own pixels, the only ones that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Channels, all of which count.
    pub channels: usize,
    /// Height of the padded image.
    pub height: usize,
    /// Width of the padded image.
    pub width: usize,
    /// First row that counts.
    pub top: usize,
    /// First column that counts.
    pub left: usize,
    /// Rows that count.
    pub rows: usize,
    /// Columns that count.
    pub columns: usize,
}

impl Region {
    /// The whole image.
    pub fn full(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            height,
            width,
            top: 0,
            left: 0,
            rows: height,
            columns: width,
        }
    }

    /// The `rows` × `columns` in the middle of a padded image; an odd rest goes below and to the right.
    ///
    /// # Errors
    /// [`DiffusionError::Invalid`] when the rectangle is empty or larger than the image.
    pub fn centred(
        channels: usize,
        (height, width): (usize, usize),
        (rows, columns): (usize, usize),
    ) -> Result<Self, DiffusionError> {
        if channels == 0 || rows == 0 || columns == 0 || rows > height || columns > width {
            return Err(DiffusionError::Invalid {
                key: "region",
                value: format!("{channels} x {rows} x {columns}"),
                expected: format!("at least one pixel, and inside {height} x {width}"),
            });
        }
        Ok(Self {
            channels,
            height,
            width,
            top: (height - rows) / 2,
            left: (width - columns) / 2,
            rows,
            columns,
        })
    }

    /// D, the number of dimensions that count.
    pub fn dimensions(&self) -> usize {
        self.channels * self.rows * self.columns
    }

    /// Which values of an image `[C, H, W]` count.
    pub fn mask(&self) -> Vec<bool> {
        let inside = |i: usize| {
            let (y, x) = (i / self.width % self.height, i % self.width);
            (self.top..self.top + self.rows).contains(&y)
                && (self.left..self.left + self.columns).contains(&x)
        };
        (0..self.channels * self.height * self.width)
            .map(inside)
            .collect()
    }
}

/// The terms of the bound for one model.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// The noise schedule that the model was trained with.
    pub schedule: &'a NoiseSchedule,
    /// The variance of its reverse step.
    pub variance: VarianceType,
    /// What it predicts.
    pub objective: Objective,
    /// To what x̂_0 is clamped, ±; the paper evaluates with `Some(1.0)`.
    pub clip_x0: Option<f64>,
}

impl Bound<'_> {
    /// L_T = KL(q(x_T | x_0) ‖ N(0, I)) of one image, nats, over the dimensions in `mask`.
    ///
    /// # Errors
    /// [`DiffusionError::Length`] when the mask does not fit the image.
    pub fn prior_term(&self, x0: &[f32], mask: &[bool]) -> Result<f64, DiffusionError> {
        check_length("the mask", x0.len(), mask.len())?;
        let counted = x0.iter().zip(mask).filter(|&(_, &counts)| counts);
        Ok(counted
            .map(|(&x, _)| self.schedule.terminal_kl(f64::from(x) * f64::from(x)))
            .sum())
    }

    /// L_t of one image, nats, over the dimensions in `mask`: the KL of equation 8 for `t >= 1`, the
    /// decoder's −ln p(x_0 | x_1) for `t = 0`. `x_t` is drawn from q(x_t | x_0), `out` is what the network
    /// made of it.
    ///
    /// # Errors
    /// [`DiffusionError::Length`] when the slices differ in length, [`DiffusionError::Invalid`] when
    /// `t >= T`.
    pub fn vlb_term(
        &self,
        t: usize,
        x0: &[f32],
        x_t: &[f32],
        out: &[f32],
        mask: &[bool],
    ) -> Result<f64, DiffusionError> {
        check_timestep(self.schedule, t)?;
        check_length("x_t", x0.len(), x_t.len())?;
        check_length("the network's output", x0.len(), out.len())?;
        check_length("the mask", x0.len(), mask.len())?;
        let to_x0 = self.objective.x0_map(self.schedule.alpha_bar(t));
        let log_variance = model_log_variance(self.schedule, self.variance, t);
        let (c0, _) = self.schedule.posterior_mean_coefficients(t);
        let constant = super::loss_weight::vlb_constant(self.schedule, self.variance, t);
        let precision = (-log_variance).exp();
        let mut nats = 0.0;
        for i in (0..x0.len()).filter(|&i| mask[i]) {
            let mut x0_hat = to_x0.apply(f64::from(x_t[i]), f64::from(out[i]));
            if let Some(clip) = self.clip_x0.filter(|&clip| clip > 0.0) {
                x0_hat = x0_hat.clamp(-clip, clip);
            }
            let x0 = f64::from(x0[i]);
            nats += if t == 0 {
                decoder_nll_element(x0, x0_hat, 0.5 * log_variance).0
            } else {
                // The posterior and the model share their factor of x_t, so only x_0 differs.
                constant + 0.5 * precision * (c0 * (x0 - x0_hat)).powi(2)
            };
        }
        Ok(nats)
    }
}

/// The timesteps 1 … T − 1 cut into strata, narrow at small t, where the terms are large and differ most.
///
/// Image `i` takes one timestep from each of the strata i·k, i·k + 1, …, i·k + k − 1 (modulo their
/// number), with k terms an image. The number of strata is made a multiple of k.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestepStrata {
    /// First timestep of each stratum, and T at the end.
    edges: Vec<usize>,
    per_image: usize,
}

impl TimestepStrata {
    /// Strata for `images` images of `per_image` terms each, such that every stratum is met at least
    /// twice where the number of terms allows it.
    ///
    /// # Errors
    /// [`DiffusionError::Invalid`] when there are no images, or `per_image` is 0 or more than T − 1.
    pub fn new(timesteps: usize, images: usize, per_image: usize) -> Result<Self, DiffusionError> {
        let middle = timesteps.saturating_sub(1);
        if images == 0 {
            return Err(DiffusionError::Invalid {
                key: "images",
                value: "0".into(),
                expected: "at least 1".into(),
            });
        }
        if timesteps == 1 {
            return Ok(Self {
                edges: vec![1],
                per_image: 0,
            });
        }
        if per_image == 0 || per_image > middle {
            return Err(DiffusionError::Invalid {
                key: "terms per image",
                value: per_image.to_string(),
                expected: format!("between 1 and {middle}"),
            });
        }
        let groups = (images / 2).min(middle / per_image).max(1);
        let strata = groups * per_image;
        let mut edges = vec![1];
        for j in 1..=strata {
            let fraction = j as f64 / strata as f64;
            let ideal = 1 + (middle as f64 * fraction * fraction).round() as usize;
            edges.push(ideal.max(edges[j - 1] + 1).min(timesteps - (strata - j)));
        }
        Ok(Self { edges, per_image })
    }

    /// The number of strata.
    pub fn len(&self) -> usize {
        self.edges.len() - 1
    }

    /// Whether there are none, as with T = 1.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of timesteps in stratum `s`.
    ///
    /// # Panics
    /// When there is no such stratum.
    pub fn size(&self, s: usize) -> usize {
        self.edges[s + 1] - self.edges[s]
    }

    /// The stratum that holds `t`; `None` for t = 0 and t ≥ T.
    pub fn stratum(&self, t: usize) -> Option<usize> {
        let after = self.edges.partition_point(|&edge| edge <= t);
        (1..self.edges.len()).contains(&after).then(|| after - 1)
    }

    /// The timesteps of image `index`; `uniform` gives numbers in [0, 1), one for each.
    pub fn draw(&self, index: usize, mut uniform: impl FnMut() -> f32) -> Vec<usize> {
        (0..self.per_image)
            .map(|k| {
                let s = (index * self.per_image + k) % self.len();
                let within = (f64::from(uniform()) * self.size(s) as f64) as usize;
                self.edges[s] + within.min(self.size(s) - 1)
            })
            .collect()
    }
}

/// The terms of one image, nats summed over its dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageTerms {
    /// L_T.
    pub prior: f64,
    /// L_0, the decoder.
    pub decoder: f64,
    /// (t, L_t) for the timesteps that were drawn, one from each of the image's strata.
    pub middle: Vec<(usize, f64)>,
}

/// A mean with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The estimate.
    pub mean: f64,
    /// Its standard error; infinite from a single image.
    pub standard_error: f64,
}

/// The bound and its parts, bits a dimension.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct VlbEstimate {
    /// L_T.
    pub prior: Estimate,
    /// Σ L_{t−1} over the paper's t = 2 … T.
    pub middle: Estimate,
    /// L_0.
    pub decoder: Estimate,
    /// The sum of the three: an upper bound on the negative log-likelihood.
    pub total: Estimate,
    /// The number of images.
    pub images: usize,
    /// D, the number of dimensions that were counted for each.
    pub dimensions: usize,
}

/// Collects the terms of many images.
#[derive(Debug, Clone)]
pub struct VlbAccumulator {
    strata: TimestepStrata,
    dimensions: usize,
    images: Vec<ImageTerms>,
}

impl VlbAccumulator {
    /// An empty one. `dimensions` is D, see [`Region::dimensions`].
    ///
    /// # Errors
    /// [`DiffusionError::Invalid`] when D is 0.
    pub fn new(strata: TimestepStrata, dimensions: usize) -> Result<Self, DiffusionError> {
        if dimensions == 0 {
            return Err(DiffusionError::Invalid {
                key: "dimensions",
                value: "0".into(),
                expected: "at least 1".into(),
            });
        }
        Ok(Self {
            strata,
            dimensions,
            images: Vec::new(),
        })
    }

    /// Adds an image.
    ///
    /// # Errors
    /// [`DiffusionError::Estimate`] when a term is not finite or its timestep is in no stratum.
    pub fn add(&mut self, terms: ImageTerms) -> Result<(), DiffusionError> {
        let all = [terms.prior, terms.decoder]
            .into_iter()
            .chain(terms.middle.iter().map(|&(_, nats)| nats));
        if let Some(bad) = all.into_iter().find(|nats| !nats.is_finite()) {
            return Err(DiffusionError::Estimate(format!(
                "a term of image {} is {bad}, so the network's output is not finite",
                self.images.len()
            )));
        }
        if let Some((t, _)) = terms
            .middle
            .iter()
            .find(|&&(t, _)| self.strata.stratum(t).is_none())
        {
            return Err(DiffusionError::Estimate(format!(
                "timestep {t} is in no stratum"
            )));
        }
        self.images.push(terms);
        Ok(())
    }

    /// The number of images so far.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The estimate from all images so far.
    ///
    /// Each image is one draw; what images of different strata have in common by design does not count as
    /// error, the terms of one image are not taken for independent.
    ///
    /// # Errors
    /// [`DiffusionError::Estimate`] when a stratum has no term yet.
    pub fn estimate(&self) -> Result<VlbEstimate, DiffusionError> {
        let images = self.images.len();
        if images == 0 {
            return Err(DiffusionError::Estimate("there are no images".into()));
        }
        let strata_of = |terms: &ImageTerms| -> Vec<usize> {
            terms
                .middle
                .iter()
                .filter_map(|&(t, _)| self.strata.stratum(t))
                .collect()
        };
        let mut counts = vec![0usize; self.strata.len()];
        let classes: Vec<Vec<usize>> = self.images.iter().map(strata_of).collect();
        for &s in classes.iter().flatten() {
            counts[s] += 1;
        }
        if let Some(s) = counts.iter().position(|&n| n == 0) {
            return Err(DiffusionError::Estimate(format!(
                "no image has a term for timesteps {} to {}; use more images or more terms for each",
                self.strata.edges[s],
                self.strata.edges[s + 1] - 1
            )));
        }
        // Each image's share in the three sums, bits a dimension.
        let unit = 1.0 / (self.dimensions as f64 * std::f64::consts::LN_2);
        let shares: Vec<[f64; 3]> = self
            .images
            .iter()
            .zip(&classes)
            .map(|(terms, strata)| {
                let middle: f64 = strata
                    .iter()
                    .zip(&terms.middle)
                    .map(|(&s, &(_, nats))| nats * self.strata.size(s) as f64 / counts[s] as f64)
                    .sum();
                [
                    terms.prior / images as f64,
                    middle,
                    terms.decoder / images as f64,
                ]
                .map(|nats| nats * unit)
            })
            .collect();
        let estimate = |share: &dyn Fn(&[f64; 3]) -> f64| {
            let values: Vec<f64> = shares.iter().map(share).collect();
            Estimate {
                mean: values.iter().sum(),
                standard_error: variance_of_sum(&values, &classes).sqrt(),
            }
        };
        Ok(VlbEstimate {
            prior: estimate(&|s| s[0]),
            middle: estimate(&|s| s[1]),
            decoder: estimate(&|s| s[2]),
            total: estimate(&|s| s.iter().sum()),
            images,
            dimensions: self.dimensions,
        })
    }
}

/// The variance of a sum of independent values, those of one class alike in distribution: n times the
/// sample variance for each class. Values that are alone in their class are taken as one class, which
/// overestimates.
fn variance_of_sum(values: &[f64], classes: &[Vec<usize>]) -> f64 {
    let mut groups: BTreeMap<&[usize], Vec<f64>> = BTreeMap::new();
    for (&value, class) in values.iter().zip(classes) {
        groups.entry(class).or_default().push(value);
    }
    let (single, several): (Vec<_>, Vec<_>) = groups.into_values().partition(|g| g.len() == 1);
    let alone: Vec<f64> = single.into_iter().flatten().collect();
    let variance = |group: &Vec<f64>| {
        let n = group.len() as f64;
        let mean = group.iter().sum::<f64>() / n;
        match group.len() {
            0 => 0.0,
            1 => f64::INFINITY,
            _ => n / (n - 1.0) * group.iter().map(|v| (v - mean).powi(2)).sum::<f64>(),
        }
    };
    several.iter().map(variance).sum::<f64>() + variance(&alone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::SchedulerConfig;
    use crate::rng::{self, Draw};

    fn schedule() -> NoiseSchedule {
        SchedulerConfig::default().noise_schedule().unwrap()
    }

    #[test]
    fn the_best_predictor_of_gaussian_data_reaches_the_closed_form() {
        // x_0 ~ N(0, s²): the best x̂_0 has the error s² / (1 + s² SNR), and with the small variance the sum
        // of the KL terms is Σ ½ (SNR(t−1) − SNR(t)) · s² / (1 + s² SNR(t)) a dimension, which approaches
        // ½ ln((1 + s² SNR(0)) / (1 + s² SNR(T−1))) from above.
        let schedule = schedule();
        let variance = 0.25f64;
        let snr = |t| schedule.snr(t);
        let error = |t| variance / (1.0 + variance * snr(t));
        let sum: f64 = (1..1000)
            .map(|t| 0.5 * (snr(t - 1) - snr(t)) * error(t))
            .sum();
        let limit = 0.5 * ((1.0 + variance * snr(0)) / (1.0 + variance * snr(999))).ln();
        assert!(sum > limit && sum < 1.2 * limit, "{sum} {limit}");

        let (images, dimensions) = (120, 16);
        let strata = TimestepStrata::new(1000, images, 8).unwrap();
        let mut accumulator = VlbAccumulator::new(strata.clone(), dimensions).unwrap();
        let bound = Bound {
            schedule: &schedule,
            variance: VarianceType::FixedSmall,
            objective: Objective::Epsilon,
            clip_x0: None,
        };
        let mask = vec![true; dimensions];
        let normals = |draw: Draw| {
            let mut values = vec![0.0f32; dimensions];
            rng::fill_normal(draw, &mut values);
            values
        };
        let mut uniforms = (0u32..).map(|block| {
            rng::uniform4(
                Draw {
                    seed: 3,
                    stream: 1,
                    step: 0,
                    sample: 0,
                },
                block,
            )[0]
        });
        for i in 0..images {
            let draw = Draw {
                seed: 3,
                stream: 2,
                step: 0,
                sample: i as u32,
            };
            let x0: Vec<f32> = normals(draw).iter().map(|z| z * 0.5).collect();
            let mut terms = ImageTerms {
                prior: bound.prior_term(&x0, &mask).unwrap(),
                decoder: 0.0,
                middle: vec![],
            };
            for t in strata.draw(i, || uniforms.next().unwrap()) {
                let eps = normals(Draw {
                    step: t as u32,
                    ..draw
                });
                let bar = schedule.alpha_bar(t);
                let (a, s) = (bar.sqrt() as f32, (1.0 - bar).sqrt() as f32);
                let x: Vec<f32> = x0.iter().zip(&eps).map(|(x, e)| a * x + s * e).collect();
                let factor = ((1.0 - bar).sqrt() / (bar * variance + 1.0 - bar)) as f32;
                let out: Vec<f32> = x.iter().map(|x| factor * x).collect();
                terms
                    .middle
                    .push((t, bound.vlb_term(t, &x0, &x, &out, &mask).unwrap()));
            }
            accumulator.add(terms).unwrap();
        }
        let estimate = accumulator.estimate().unwrap();
        let expected = sum / std::f64::consts::LN_2;
        let Estimate {
            mean,
            standard_error,
        } = estimate.middle;
        assert!(
            standard_error < 0.06 * expected,
            "{standard_error} {expected}"
        );
        assert!(
            (mean - expected).abs() < 3.5 * standard_error,
            "{mean} ± {standard_error}, expected {expected}"
        );
        approx::assert_relative_eq!(
            estimate.prior.mean,
            schedule.terminal_kl(variance) / std::f64::consts::LN_2,
            max_relative = 0.2
        );
    }

    #[test]
    fn the_decoder_and_the_mask_count_what_they_should() {
        let schedule = schedule();
        let bound = Bound {
            schedule: &schedule,
            variance: VarianceType::FixedLarge,
            objective: Objective::Sample,
            clip_x0: Some(1.0),
        };
        let (x0, out) = ([0.5f32, -1.0, 0.25], [0.5f32, -3.0, 0.9]);
        let term = |t, mask: &[bool]| bound.vlb_term(t, &x0, &x0, &out, mask).unwrap();
        let log_sigma = 0.5 * schedule.posterior_variance(1).ln();
        let first = decoder_nll_element(0.5, 0.5, log_sigma).0;
        let clamped = decoder_nll_element(-1.0, -1.0, log_sigma).0;
        approx::assert_relative_eq!(
            term(0, &[true, true, false]),
            first + clamped,
            max_relative = 1e-12
        );
        // At t > 0 the clamped one is exact as well, and only the third differs.
        let constant =
            super::super::loss_weight::vlb_constant(&schedule, VarianceType::FixedLarge, 50);
        approx::assert_relative_eq!(
            term(50, &[true, true, false]),
            2.0 * constant,
            max_relative = 1e-9
        );
        assert!(term(50, &[true; 3]) > 3.0 * constant);
        assert!(bound.vlb_term(0, &x0, &x0, &out, &[true]).is_err());
        assert!(bound.vlb_term(1000, &x0, &x0, &out, &[true; 3]).is_err());
        assert!(bound.prior_term(&x0, &[true]).is_err());
    }

    #[test]
    fn regions_leave_the_padding_out() {
        let region = Region::centred(2, (32, 32), (28, 28)).unwrap();
        let mask = region.mask();
        assert_eq!(region.dimensions(), 2 * 28 * 28);
        assert_eq!(mask.iter().filter(|&&m| m).count(), region.dimensions());
        assert!(
            !mask[32 + 5] && mask[2 * 32 + 2] && mask[1024 + 29 * 32 + 29] && !mask[30 * 32 + 29]
        );
        assert_eq!(Region::full(3, 4, 5).mask(), vec![true; 60]);
        assert!(Region::centred(1, (28, 28), (32, 32)).is_err());
    }

    #[test]
    fn strata_cover_every_timestep_once() {
        for (timesteps, images, per_image) in [
            (1000, 64, 1),
            (1000, 1000, 8),
            (10, 100, 3),
            (2, 5, 1),
            (4000, 3, 7),
        ] {
            let strata = TimestepStrata::new(timesteps, images, per_image).unwrap();
            assert_eq!(
                (0..strata.len()).map(|s| strata.size(s)).sum::<usize>(),
                timesteps - 1
            );
            assert_eq!((strata.stratum(0), strata.stratum(timesteps)), (None, None));
            let mut met = vec![0; strata.len()];
            for i in 0..images {
                for u in [0.0, 0.999_999_94] {
                    for t in strata.draw(i, || u) {
                        assert!((1..timesteps).contains(&t));
                        met[strata.stratum(t).unwrap()] += 1;
                    }
                }
            }
            assert!(met.iter().all(|&n| n >= 2), "{met:?}");
        }
        assert!(TimestepStrata::new(1000, 0, 1).is_err());
        assert!(TimestepStrata::new(10, 10, 10).is_err());
        assert!(TimestepStrata::new(1, 10, 1).unwrap().is_empty());
    }

    #[test]
    fn stratification_does_not_count_the_strata_as_error() {
        // Terms that depend on the stratum alone: the estimate is exact, and says so.
        let strata = TimestepStrata::new(11, 6, 1).unwrap();
        let mut a = VlbAccumulator::new(strata.clone(), 2).unwrap();
        for i in 0..6 {
            let t = strata.draw(i, || 0.0)[0];
            let nats = 1.0 + strata.stratum(t).unwrap() as f64;
            a.add(ImageTerms {
                prior: 2.0,
                decoder: i as f64,
                middle: vec![(t, nats)],
            })
            .unwrap();
        }
        let e = a.estimate().unwrap();
        let expected: f64 = (0..strata.len())
            .map(|s| strata.size(s) as f64 * (1.0 + s as f64))
            .sum();
        let unit = 2.0 * std::f64::consts::LN_2;
        approx::assert_relative_eq!(e.middle.mean, expected / unit, max_relative = 1e-12);
        approx::assert_abs_diff_eq!(e.middle.standard_error, 0.0, epsilon = 1e-9);
        approx::assert_relative_eq!(e.prior.mean, 2.0 / unit);
        approx::assert_relative_eq!(e.decoder.mean, 2.5 / unit);
        approx::assert_relative_eq!(e.total.mean, e.prior.mean + e.middle.mean + e.decoder.mean);
        assert!(e.decoder.standard_error > 0.0);
        assert!(
            a.add(ImageTerms {
                prior: f64::NAN,
                decoder: 0.0,
                middle: vec![]
            })
            .is_err()
        );
        assert!(
            a.add(ImageTerms {
                prior: 0.0,
                decoder: 0.0,
                middle: vec![(0, 1.0)]
            })
            .is_err()
        );
        let empty = VlbAccumulator::new(strata, 2).unwrap();
        assert!(empty.estimate().is_err());
    }
}

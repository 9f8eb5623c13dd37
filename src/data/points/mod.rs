//! Distributions in the plane, for the 2-D lab: built-in ones ([`DISTRIBUTIONS`]), letters, drawings and the user's
//! own points. [`PointSource`] draws from them and knows their exact density.

pub mod csv;
mod shapes;
mod stroke;
mod text;

use std::sync::Arc;

use crate::{
    diffusion::exact::{Component, Mixture},
    rng::{self, Draw},
};

/// A point of the plane; y points up.
pub type Point = [f32; 2];

/// Where the lab's points come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// One of [`DISTRIBUTIONS`], by its name, at unit scale: mean 0, and the mean of the two coordinates' variances
    /// is 1.
    BuiltIn(String),
    /// A letter or a word, its strokes filled evenly, at unit scale.
    Text(String),
    /// Lines drawn by hand, each a polyline; points lie on them evenly by length. Kept where they were drawn.
    Drawn(Arc<[Vec<Point>]>),
    /// The user's own points (of a CSV file), brought to unit scale.
    Own {
        /// What to call them.
        name: String,
        /// The points, at any scale.
        points: Arc<[Point]>,
    },
}

/// A line of the registry.
#[derive(Debug)]
pub struct DistributionEntry {
    /// The name, as on the command line and in addresses.
    pub name: &'static str,
    /// What to call it.
    pub title: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// Each of its Gaussians is a mode.
    has_modes: bool,
    /// Its Gaussians, at any scale.
    blobs: fn() -> Vec<Blob>,
}

/// Every built-in distribution. A new one is a file and a line here.
pub static DISTRIBUTIONS: &[DistributionEntry] = &[
    DistributionEntry {
        name: "eight_gaussians",
        title: "Eight Gaussians",
        summary: "Eight equal Gaussians on a circle: the classic test of mode coverage.",
        has_modes: true,
        blobs: shapes::eight_gaussians,
    },
    DistributionEntry {
        name: "two_gaussians",
        title: "Two Gaussians",
        summary: "A large and a small Gaussian, 70 % and 30 %: are the weights learned too?",
        has_modes: true,
        blobs: shapes::two_gaussians,
    },
    DistributionEntry {
        name: "grid_gaussians",
        title: "Grid of Gaussians",
        summary: "Twenty-five narrow Gaussians on a grid.",
        has_modes: true,
        blobs: shapes::grid_gaussians,
    },
    DistributionEntry {
        name: "two_moons",
        title: "Two moons",
        summary: "Two half circles that reach into each other.",
        has_modes: false,
        blobs: shapes::two_moons,
    },
    DistributionEntry {
        name: "swiss_roll",
        title: "Swiss roll",
        summary: "A spiral seen from its side: a curve, not an area.",
        has_modes: false,
        blobs: shapes::swiss_roll,
    },
    DistributionEntry {
        name: "spirals",
        title: "Two spirals",
        summary: "Two arms that wind around each other.",
        has_modes: false,
        blobs: shapes::spirals,
    },
    DistributionEntry {
        name: "checkerboard",
        title: "Checkerboard",
        summary: "Squares with sharp edges, which noise rounds first.",
        has_modes: false,
        blobs: shapes::checkerboard,
    },
    DistributionEntry {
        name: "rings",
        title: "Rings",
        summary: "Two rings around one centre.",
        has_modes: false,
        blobs: shapes::rings,
    },
];

/// A place where points gather.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mode {
    /// Its middle.
    pub centre: Point,
    /// The share of all points that belong to it.
    pub share: f32,
    /// How far from the centre a point may lie. A point belongs to the nearest mode within reach of it; otherwise it
    /// is astray.
    pub radius: f32,
}

/// Points that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointsError {
    /// No built-in distribution of that name.
    #[error("There is no distribution named \"{name}\"; choose one of: {known}.")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A word of nothing but spaces.
    #[error("There is nothing to write: type a letter or a word.")]
    NoText,
    /// A word that is too long to be legible.
    #[error(
        "The text has {found} letters; use at most {most}, or they become too small to tell apart."
    )]
    LongText {
        /// Its letters.
        found: usize,
        /// The most there may be.
        most: usize,
    },
    /// A letter that the font lacks.
    #[error("The font has no letter '{0}': use Latin letters, digits and common signs.")]
    NoLetter(char),
    /// A drawing without length.
    #[error("The drawing has no line in it: press and drag to draw one.")]
    NoLine,
    /// A file that is no text.
    #[error("This file is not a text file: export the table as CSV, with two numbers a line.")]
    NotText,
    /// No line with two numbers.
    #[error(
        "No line of this file has two numbers: give one point a line, x and y, separated by a comma."
    )]
    NoNumbers,
    /// All points are the same, or there is one.
    #[error("A distribution needs at least 2 different points, and this is {0}: add more lines.")]
    TooFew(&'static str),
}

/// Components of a distribution's mixture at most; the user's own points are thinned to this number.
pub const MAX_COMPONENTS: usize = 4096;

/// Standard deviation of the component that stands at each of the user's own points, at unit scale.
const OWN_SD: f64 = 0.03;

/// A distribution that can be drawn from. Each is a mixture of isotropic Gaussians, shapes too: many narrow ones,
/// set evenly. So its density, its score and the optimal denoiser are known exactly.
#[derive(Debug, Clone)]
pub struct PointSource {
    title: String,
    note: Option<String>,
    modes: Vec<Mode>,
    mixture: Mixture,
    /// Shares of the components up to and with each.
    cumulative: Vec<f64>,
}

/// A Gaussian on its way to a mixture: mean, weight, standard deviation.
type Blob = ([f64; 2], f64, f64);

impl PointSource {
    /// Makes what `distribution` says.
    ///
    /// # Errors
    /// A name that does not exist, text that cannot be written, a drawing without a line, too few points.
    pub fn open(distribution: &Distribution) -> Result<Self, PointsError> {
        match distribution {
            Distribution::BuiltIn(name) => {
                let entry = DISTRIBUTIONS
                    .iter()
                    .find(|d| d.name == name)
                    .ok_or_else(|| PointsError::Unknown {
                        name: name.clone(),
                        known: DISTRIBUTIONS
                            .iter()
                            .map(|d| d.name)
                            .collect::<Vec<_>>()
                            .join(", "),
                    })?;
                let blobs = (entry.blobs)();
                Ok(Self::new(entry.title, None, blobs, true, entry.has_modes))
            }
            Distribution::Text(text) => {
                let blobs = text::blobs(text)?;
                Ok(Self::new(text.trim(), None, blobs, true, false))
            }
            Distribution::Drawn(lines) => {
                let blobs = stroke::blobs(lines)?;
                Ok(Self::new("Drawn by hand", None, blobs, false, false))
            }
            Distribution::Own { name, points } => {
                let points: Vec<[f64; 2]> = points.iter().map(|p| p.map(f64::from)).collect();
                let (points, note) = csv::usable(&points)?;
                // The blobs' own spread counts in the unit scale, so that their width comes out right.
                let spread = spread_of(&points);
                let sd = OWN_SD * (spread / (1.0 - OWN_SD * OWN_SD)).sqrt();
                let blobs = points.iter().map(|&p| (p, 1.0, sd)).collect();
                Ok(Self::new(name, note, blobs, true, false))
            }
        }
    }

    fn new(
        title: &str,
        note: Option<String>,
        mut blobs: Vec<Blob>,
        unit_scale: bool,
        has_modes: bool,
    ) -> Self {
        let total: f64 = blobs.iter().map(|b| b.1).sum();
        for blob in &mut blobs {
            blob.1 /= total;
        }
        if unit_scale {
            let mean = [0, 1].map(|i| blobs.iter().map(|(m, w, _)| w * m[i]).sum::<f64>());
            let variance = blobs.iter().map(|(m, w, sd)| {
                w * (sd * sd + 0.5 * ((m[0] - mean[0]).powi(2) + (m[1] - mean[1]).powi(2)))
            });
            let scale = 1.0 / variance.sum::<f64>().sqrt();
            for (m, _, sd) in &mut blobs {
                *m = [0, 1].map(|i| (m[i] - mean[i]) * scale);
                *sd *= scale;
            }
        }
        let components: Vec<Component> = blobs
            .iter()
            .map(|&(mean, weight, sd)| Component {
                mean: mean.map(|v| v as f32),
                weight: weight as f32,
                variance: (sd * sd) as f32,
            })
            .collect();
        let modes = if has_modes {
            modes(&components)
        } else {
            Vec::new()
        };
        let cumulative = blobs
            .iter()
            .scan(0.0, |sum, b| {
                *sum += b.1;
                Some(*sum)
            })
            .collect();
        Self {
            title: title.to_owned(),
            note,
            modes,
            mixture: Mixture { components },
            cumulative,
        }
    }

    /// What to call it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Something worth saying of the input, one sentence.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Its modes; none where points lie on curves or areas.
    pub fn modes(&self) -> &[Mode] {
        &self.modes
    }

    /// q(x_0).
    pub const fn mixture(&self) -> &Mixture {
        &self.mixture
    }

    /// Points `first` to `first + n` of a stream: a point is the same however it is asked for. Words 0 and 1 of its
    /// [`Draw`] pick the component, words 2 and 3 make its two normals.
    pub fn sample(&self, seed: u64, stream: u32, first: u64, n: usize) -> Vec<Point> {
        (first..first + n as u64)
            .map(|i| {
                let draw = Draw {
                    seed,
                    stream,
                    step: (i >> 32) as u32,
                    sample: i as u32,
                };
                let [high, low, u, v] = rng::words4(draw, 0);
                let pick = ((f64::from(high) + f64::from(low) / WORDS) / WORDS)
                    * self.cumulative.last().copied().unwrap_or(0.0);
                let k = self.cumulative.partition_point(|&c| c <= pick);
                let c = &self.mixture.components[k.min(self.mixture.components.len() - 1)];
                let z = rng::box_muller(rng::uniform_from_word(u), rng::uniform_from_word(v));
                let sd = c.variance.sqrt();
                [c.mean[0] + sd * z[0], c.mean[1] + sd * z[1]]
            })
            .collect()
    }
}

/// 2³², the number of words.
const WORDS: f64 = 4_294_967_296.0;

/// The mean of the two coordinates' variances.
fn spread_of(points: &[[f64; 2]]) -> f64 {
    let n = points.len() as f64;
    let variance = |i: usize| {
        let mean = points.iter().map(|p| p[i]).sum::<f64>() / n;
        points.iter().map(|p| (p[i] - mean).powi(2)).sum::<f64>() / n
    };
    0.5 * (variance(0) + variance(1))
}

/// A mode for each component: four standard deviations, or half the way to the next one.
fn modes(components: &[Component]) -> Vec<Mode> {
    let distance = |a: Point, b: Point| (a[0] - b[0]).hypot(a[1] - b[1]);
    components
        .iter()
        .map(|c| {
            let next = components
                .iter()
                .map(|o| distance(o.mean, c.mean))
                .filter(|&d| d > 0.0)
                .fold(f32::INFINITY, f32::min);
            Mode {
                centre: c.mean,
                share: c.weight,
                radius: (4.0 * c.variance.sqrt()).min(0.5 * next),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;

    fn built_in(name: &str) -> PointSource {
        PointSource::open(&Distribution::BuiltIn(name.into())).unwrap()
    }

    fn all() -> Vec<PointSource> {
        let own: Arc<[Point]> = (0..300)
            .map(|i| [40.0 + i as f32, 1e-3 * (i * i % 37) as f32])
            .collect();
        let line = vec![[-1.0, -1.0], [0.5, 1.5], [1.5, 0.0]];
        let others = [
            Distribution::Text("Noise".into()),
            Distribution::Drawn(vec![line].into()),
            Distribution::Own {
                name: "table".into(),
                points: own,
            },
        ];
        DISTRIBUTIONS
            .iter()
            .map(|d| Distribution::BuiltIn(d.name.into()))
            .chain(others)
            .map(|d| PointSource::open(&d).unwrap())
            .collect()
    }

    #[test]
    fn every_distribution_has_unit_scale_but_a_drawing() {
        for source in all() {
            let (mean, spread) = source.mixture().moments();
            let title = source.title();
            let drawn = title == "Drawn by hand";
            let off = mean[0].abs().max(mean[1].abs()).max((spread - 1.0).abs());
            assert_eq!(off < 1e-5, !drawn, "{title}: {mean:?} {spread}");
            let components = &source.mixture().components;
            assert!((2..=MAX_COMPONENTS).contains(&components.len()), "{title}");
            let total: f64 = components.iter().map(|c| f64::from(c.weight)).sum();
            assert!((total - 1.0).abs() < 1e-5, "{title}: {total}");
            assert!(
                components
                    .iter()
                    .all(|c| c.weight > 0.0 && c.variance > 1e-5),
                "{title}"
            );
        }
    }

    /// The standard normal's distribution function (Abramowitz and Stegun 26.2.17, error below 7.5e-8).
    fn phi(z: f64) -> f64 {
        let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
        let p = [
            1.330_274_429,
            -1.821_255_978,
            1.781_477_937,
            -0.356_563_782,
            0.319_381_530,
        ]
        .iter()
        .fold(0.0, |p, c| (p + c) * t);
        let upper = p * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
        if z > 0.0 { 1.0 - upper } else { upper }
    }

    /// χ² of samples on a grid against the mixture, in standard deviations above its mean.
    fn surprise(samples: &[Point], mixture: &Mixture) -> f64 {
        const SIDE: usize = 24;
        let edge = |i: usize| 6.0 * i as f64 / SIDE as f64 - 3.0;
        let mut expected = vec![0.0; SIDE * SIDE];
        for c in &mixture.components {
            let sd = f64::from(c.variance).sqrt();
            let shares = [0, 1].map(|axis: usize| -> Vec<f64> {
                let at = |i| phi((edge(i) - f64::from(c.mean[axis])) / sd);
                (0..SIDE).map(|i| at(i + 1) - at(i)).collect()
            });
            for (cell, e) in expected.iter_mut().enumerate() {
                *e += f64::from(c.weight) * shares[0][cell % SIDE] * shares[1][cell / SIDE];
            }
        }
        let mut found = vec![0.0; SIDE * SIDE];
        for p in samples {
            let cell = p.map(|v| ((f64::from(v) + 3.0) / 6.0 * SIDE as f64).floor());
            if cell.iter().all(|&c| c >= 0.0 && c < SIDE as f64) {
                found[cell[0] as usize + SIDE * cell[1] as usize] += 1.0;
            }
        }
        // What is outside, or expected less than 8 times, counts together.
        let n = samples.len() as f64;
        let (mut chi2, mut cells) = (0.0, 0.0);
        let (mut rest_found, mut rest_expected) = (n, n);
        for (f, e) in found.iter().zip(&expected) {
            if e * n >= 8.0 {
                chi2 += (f - e * n).powi(2) / (e * n);
                cells += 1.0;
                rest_found -= f;
                rest_expected -= e * n;
            }
        }
        if rest_expected >= 1.0 {
            chi2 += (rest_found - rest_expected).powi(2) / rest_expected;
            cells += 1.0;
        }
        (chi2 - (cells - 1.0)) / (2.0 * (cells - 1.0)).sqrt()
    }

    #[test]
    fn samples_have_the_density_of_the_mixture() {
        const N: usize = 40_000;
        for source in all() {
            let samples = source.sample(5, stream::SAMPLE_START, 0, N);
            let z = surprise(&samples, source.mixture());
            assert!(z.abs() < 4.5, "{}: {z} standard deviations", source.title());
            // The same test sees that 3 % of the points went astray.
            let mut wrong = samples;
            for p in wrong.iter_mut().step_by(33) {
                *p = [p[1], -p[0] + 0.2];
            }
            let z = surprise(&wrong, source.mixture());
            let turned = ["Eight Gaussians", "Grid of Gaussians", "Rings"];
            assert!(
                z > 4.5 || turned.contains(&source.title()),
                "{}: {z}",
                source.title()
            );
        }
    }

    #[test]
    fn a_point_is_the_same_however_it_is_asked_for() {
        let source = built_in("two_gaussians");
        let far = (1u64 << 32) - 3;
        for first in [0, far] {
            let whole = source.sample(9, 3, first, 10);
            let pieces = [
                source.sample(9, 3, first, 4),
                source.sample(9, 3, first + 4, 6),
            ]
            .concat();
            assert_eq!(whole, pieces);
            for (seed, stream) in [(8, 3), (9, 4)] {
                let other = source.sample(seed, stream, first, 10);
                assert!(whole.iter().zip(&other).all(|(a, b)| a != b));
            }
        }
        let (near, far) = (source.sample(9, 3, 0, 10), source.sample(9, 3, 1 << 32, 10));
        assert!(near.iter().zip(&far).all(|(a, b)| a != b));
    }

    #[test]
    fn modes_are_those_of_the_gaussians() {
        for (name, count) in [
            ("eight_gaussians", 8),
            ("two_gaussians", 2),
            ("grid_gaussians", 25),
        ] {
            let source = built_in(name);
            let modes = source.modes();
            assert_eq!(modes.len(), count);
            let shares: f32 = modes.iter().map(|m| m.share).sum();
            assert!((shares - 1.0).abs() < 1e-5);
            let samples = source.sample(1, 2, 0, 20_000);
            let near = |p: &Point| {
                modes
                    .iter()
                    .any(|m| (p[0] - m.centre[0]).hypot(p[1] - m.centre[1]) < m.radius)
            };
            let inside = samples.iter().filter(|p| near(p)).count() as f64 / 20_000.0;
            assert!(inside > 0.995, "{name}: {inside}");
        }
        assert!(built_in("rings").modes().is_empty());
    }

    #[test]
    fn what_cannot_be_opened_is_said() {
        let unknown = PointSource::open(&Distribution::BuiltIn("nine_gaussians".into()));
        let message = unknown.unwrap_err().to_string();
        assert!(message.contains("nine_gaussians") && message.contains("two_moons"));
        let own = |points: &[Point]| {
            PointSource::open(&Distribution::Own {
                name: "p".into(),
                points: points.into(),
            })
        };
        assert!(own(&[]).is_err() && own(&[[1.0, 2.0]]).is_err());
        assert!(own(&[[f32::NAN, 2.0], [1.0, 1.0]]).is_err());
        let two = own(&[[1.0, 2.0], [1.0, 5.0], [f32::NAN, 0.0]]).unwrap();
        assert_eq!(two.mixture().components.len(), 2);
        assert_eq!(
            two.note(),
            Some("1 point that is not a number was left out.")
        );
        let sd = two.mixture().components[0].variance.sqrt();
        assert!((f64::from(sd) - OWN_SD).abs() < 1e-4, "{sd}");
        let huge = own(&[[-3e38, 0.0], [3e38, 0.0]]).unwrap();
        assert!(
            huge.sample(0, 0, 0, 50)
                .iter()
                .flatten()
                .all(|v| v.abs() < 3.0)
        );
        let many: Vec<Point> = (0..10_000).map(|i| [i as f32, (i % 7) as f32]).collect();
        let many = own(&many).unwrap();
        assert_eq!(many.mixture().components.len(), MAX_COMPONENTS);
        assert!(many.note().unwrap().contains("10000"));
    }
}

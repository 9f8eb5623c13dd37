//! Figures of merit for points of the plane: how far samples are from the true ones. Plain mathematics on the CPU.
//! [`likelihood`] has the model's own density.

pub mod likelihood;

use crate::{
    data::points::{Mode, Point},
    rng::{self, Draw},
};

fn distance(a: Point, b: Point) -> f64 {
    let [x, y] = [0, 1].map(|i| f64::from(a[i]) - f64::from(b[i]));
    x.hypot(y)
}

/// The sliced Wasserstein distance of order 2 (Rabin et al. 2012; Bonneel et al. 2015):
///
/// ```text
/// SW = √( mean over θ of ∫_0^1 (F_θ⁻¹(u) − G_θ⁻¹(u))² du )
/// ```
///
/// with F_θ⁻¹ and G_θ⁻¹ the quantile functions (steps) of the points' projections on the direction θ, of which
/// `projections` are spread evenly over half a turn, the first at an angle drawn from `seed`. Exact for given
/// directions, also where the sets differ in size. NaN for an empty set.
pub fn sliced_wasserstein(a: &[Point], b: &[Point], projections: usize, seed: u64) -> f32 {
    sliced(a, b, projections, seed, |d| d * d).sqrt() as f32
}

/// The sliced Wasserstein distance of order 1: as [`sliced_wasserstein`], but the mean of |F_θ⁻¹(u) − G_θ⁻¹(u)|. A few
/// points at a wrong mode weigh by their number here, and by its root there.
pub fn sliced_wasserstein_1(a: &[Point], b: &[Point], projections: usize, seed: u64) -> f32 {
    sliced(a, b, projections, seed, f64::abs) as f32
}

fn sliced(
    a: &[Point],
    b: &[Point],
    projections: usize,
    seed: u64,
    cost: impl Fn(f64) -> f64,
) -> f64 {
    if a.is_empty() || b.is_empty() {
        return f64::NAN;
    }
    let draw = Draw {
        seed,
        stream: 0,
        step: 0,
        sample: 0,
    };
    let offset = f64::from(rng::uniform4(draw, 0)[0]);
    let count = projections.max(1);
    let total: f64 = (0..count)
        .map(|k| {
            let angle = std::f64::consts::PI * (k as f64 + offset) / count as f64;
            let (sin, cos) = angle.sin_cos();
            let project = |points: &[Point]| {
                let on = |p: &Point| f64::from(p[0]) * cos + f64::from(p[1]) * sin;
                let mut all: Vec<f64> = points.iter().map(on).collect();
                all.sort_unstable_by(f64::total_cmp);
                all
            };
            between_quantiles(&project(a), &project(b), &cost)
        })
        .sum();
    total / count as f64
}

/// ∫_0^1 cost(F⁻¹(u) − G⁻¹(u)) du of two sorted lists.
fn between_quantiles(a: &[f64], b: &[f64], cost: &impl Fn(f64) -> f64) -> f64 {
    let (n, m) = (a.len() as u64, b.len() as u64);
    // u in units of 1 / (n m), so that the steps meet exactly.
    let (mut i, mut j, mut at, mut sum) = (0, 0, 0, 0.0);
    while i < n && j < m {
        let next = ((i + 1) * m).min((j + 1) * n);
        sum += cost(a[i as usize] - b[j as usize]) * (next - at) as f64;
        at = next;
        i += u64::from(at == (i + 1) * m);
        j += u64::from(at == (j + 1) * n);
    }
    sum / (n * m) as f64
}

/// The energy distance (Székely, Rizzo 2013), as a distance:
///
/// ```text
/// √( 2 E|A − B| − E|A − A'| − E|B − B'| )
/// ```
///
/// with means over all pairs of the two sets, a point with itself included, so that it is 0 between equal sets and
/// never imaginary. Takes time with the square of the sizes. NaN for an empty set.
pub fn energy_distance(a: &[Point], b: &[Point]) -> f32 {
    let across: f64 = a
        .iter()
        .map(|&p| b.iter().map(|&q| distance(p, q)).sum::<f64>())
        .sum();
    let within = |s: &[Point]| -> f64 {
        let rest =
            |(i, &p): (usize, &Point)| -> f64 { s[i + 1..].iter().map(|&q| distance(p, q)).sum() };
        2.0 * s.iter().enumerate().map(rest).sum::<f64>()
    };
    let (n, m) = (a.len() as f64, b.len() as f64);
    let square = 2.0 * across / (n * m) - within(a) / (n * n) - within(b) / (m * m);
    // Rounding may leave a little below zero; NaN stays NaN.
    (if square < 0.0 { 0.0 } else { square }).sqrt() as f32
}

/// The share of the samples at each mode (the nearest one, if they are within its radius), and the share that is at
/// none. All are zero without samples.
pub fn mode_shares(samples: &[Point], modes: &[Mode]) -> (Vec<f32>, f32) {
    let mut counts = vec![0_usize; modes.len()];
    let mut astray = 0_usize;
    for &p in samples {
        let nearest = modes
            .iter()
            .map(|m| distance(p, m.centre))
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(&b.1));
        match nearest {
            Some((k, d)) if d <= f64::from(modes[k].radius) => counts[k] += 1,
            _ => astray += 1,
        }
    }
    let n = samples.len().max(1) as f64;
    let shares = counts.iter().map(|&c| (c as f64 / n) as f32).collect();
    (shares, (astray as f64 / n) as f32)
}

/// The two one-way Chamfer distances: the mean over `a` of the distance to the nearest point of `b` (is `a` on `b`?),
/// and the mean over `b` of the distance to the nearest point of `a` (does `a` cover `b`?). Distances are not squared.
/// NaN or infinite for an empty set.
pub fn chamfer(a: &[Point], b: &[Point]) -> (f32, f32) {
    let one_way = |from: &[Point], to: &[Point]| {
        let nearest = |&p: &Point| {
            to.iter()
                .map(|&q| distance(p, q))
                .fold(f64::INFINITY, f64::min)
        };
        (from.iter().map(nearest).sum::<f64>() / from.len() as f64) as f32
    };
    (one_way(a, b), one_way(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::points::{Distribution, PointSource};

    fn shifted(points: &[Point], by: Point) -> Vec<Point> {
        points
            .iter()
            .map(|p| [p[0] + by[0], p[1] + by[1]])
            .collect()
    }

    fn cloud(stream: u32, n: usize) -> Vec<Point> {
        (0..n)
            .map(|i| {
                let draw = Draw {
                    seed: 4,
                    stream,
                    step: 0,
                    sample: i as u32,
                };
                let [x, y, ..] = rng::normal4(draw, 0);
                [x, y]
            })
            .collect()
    }

    #[test]
    fn two_deltas_have_the_known_distances() {
        let (a, b) = ([[0.0, 0.0]; 3], [[3.0, 4.0]; 7]);
        // The mean of cos² over directions is 1/2, that of |cos| is 2/π.
        let sw = sliced_wasserstein(&a, &b, 64, 1);
        assert!((sw - 5.0 / 2.0f32.sqrt()).abs() < 1e-5, "{sw}");
        let sw = sliced_wasserstein_1(&a, &b, 256, 1);
        assert!((sw - 10.0 / std::f32::consts::PI).abs() < 1e-3, "{sw}");
        assert!((energy_distance(&a, &b) - 10.0f32.sqrt()).abs() < 1e-6);
        assert_eq!(chamfer(&a, &b), (5.0, 5.0));
        let (none, some): ([Point; 0], _) = ([], [[1.0, 1.0]]);
        assert!(sliced_wasserstein(&none, &some, 8, 0).is_nan());
        assert!(energy_distance(&none, &some).is_nan());
    }

    #[test]
    fn quantiles_of_lists_of_different_lengths_are_compared_exactly() {
        let cost = |d: f64| d * d;
        // u below 1/3: 0 - 0; to 1/2: 1 - 0; to 2/3: 1 - 2; above: 5 - 2.
        let found = between_quantiles(&[0.0, 1.0, 5.0], &[0.0, 2.0], &cost);
        let expected = (1.0 + 1.0) / 6.0 + 9.0 / 3.0;
        assert!((found - expected).abs() < 1e-12, "{found}");
        // A list repeated is the same distribution.
        let (once, thrice) = (
            [[0.0, 1.0], [2.0, -1.0]],
            [[0.0, 1.0], [2.0, -1.0]].repeat(3),
        );
        assert_eq!(sliced_wasserstein(&once, &thrice, 16, 0), 0.0);
        assert!(energy_distance(&once, &thrice) < 1e-6);
    }

    #[test]
    fn gaussians_that_are_shifted_or_wider_have_the_known_distances() {
        let a = cloud(1, 4000);
        let moved = shifted(&a, [0.6, 0.8]);
        let sw = sliced_wasserstein(&a, &moved, 32, 0);
        assert!(
            (sw - 0.5f32.sqrt()).abs() < 1e-5,
            "a pure shift is exact: {sw}"
        );
        // N(0, 1) and N(0, s²) on a line are |s − 1| apart.
        let wide: Vec<Point> = cloud(2, 8000).iter().map(|p| p.map(|v| 1.5 * v)).collect();
        let sw = sliced_wasserstein(&a, &wide, 32, 0);
        assert!((sw - 0.5).abs() < 0.03, "{sw}");
        let floor = sliced_wasserstein(&a, &cloud(3, 4000), 32, 0);
        assert!(floor < 0.05, "{floor}");
        let energy = energy_distance(&a[..1500], &cloud(3, 1500));
        let apart = energy_distance(&a[..1500], &moved[..1500]);
        // |A − B| has Rice's distribution: 2 · 1.987365 − 2 · √π for a shift of 1.
        let expected = 0.429_82f32.sqrt();
        assert!(
            energy < 0.08 && (apart - expected).abs() < 0.05,
            "{energy} {apart}"
        );
    }

    #[test]
    fn every_point_is_at_its_nearest_mode_or_astray() {
        let mode = |x: f32, radius| Mode {
            centre: [x, 0.0],
            share: 0.5,
            radius,
        };
        let modes = [mode(0.0, 1.0), mode(3.0, 0.5)];
        let samples = [
            [0.9, 0.0],
            [0.0, 1.1],
            [2.6, 0.0],
            [2.4, 0.0],
            [f32::NAN, 0.0],
        ];
        let (shares, astray) = mode_shares(&samples, &modes);
        assert_eq!(shares, [0.2, 0.2]);
        assert!((astray - 0.6).abs() < 1e-6);
        assert_eq!(mode_shares(&[], &modes), (vec![0.0, 0.0], 0.0));
        assert_eq!(mode_shares(&samples, &[]).1, 1.0);
    }

    #[test]
    fn chamfer_tells_samples_on_a_curve_from_noise_and_from_a_collapse() {
        let curve: Vec<Point> = (0..=100)
            .map(|i| {
                let u = i as f32 / 100.0;
                [4.0 * u - 2.0, (5.0 * u).sin()]
            })
            .collect();
        let drawn = Distribution::Drawn(vec![curve].into());
        let source = PointSource::open(&drawn).unwrap();
        let truth: Vec<Point> = source.mixture().components.iter().map(|c| c.mean).collect();
        // The issue's bound: 5 % of the canvas, 6 a side.
        let bound = 0.05 * 2.0 * crate::session::lab::EXTENT;
        let passes = |samples: &[Point]| {
            let (on, covers) = chamfer(samples, &truth);
            on <= bound && covers <= bound
        };
        let good = source.sample(1, 2, 0, 1000);
        let (on, covers) = chamfer(&good, &truth);
        assert!(on < 0.05 && covers < 0.05, "{on} {covers}");
        assert!(passes(&good));
        assert!(!passes(&cloud(1, 1000)), "noise");
        assert!(!passes(&[good[0]; 1000]), "a collapsed point");
        assert!(!passes(
            &good.iter().map(|p| [p[0], -p[1]]).collect::<Vec<_>>()
        ));
        // Half of the curve lies on it and does not cover it.
        let half: Vec<Point> = good.iter().copied().filter(|p| p[0] < -0.5).collect();
        let (on, covers) = chamfer(&half, &truth);
        assert!(on < 0.05 && covers > bound, "{on} {covers}");
    }
}

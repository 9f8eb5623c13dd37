//! The built-in distributions, at any scale: what is not a handful of Gaussians is a row or a lattice of narrow
//! ones, so close together that no gap is seen (a spacing of 2 standard deviations leaves a ripple of 1.4 %).

use std::f64::consts::{PI, TAU};

use super::Blob;

/// Components of a shape that is a curve.
const ON_CURVES: usize = 512;

pub(super) fn eight_gaussians() -> Vec<Blob> {
    (0..8)
        .map(|k| {
            let (sin, cos) = (f64::from(k) * TAU / 8.0).sin_cos();
            ([cos, sin], 1.0, 0.1)
        })
        .collect()
}

pub(super) fn two_gaussians() -> Vec<Blob> {
    vec![([-0.7, -0.3], 0.7, 0.3), ([1.5, 0.7], 0.3, 0.15)]
}

pub(super) fn grid_gaussians() -> Vec<Blob> {
    (0..25)
        .map(|k| ([f64::from(k % 5), f64::from(k / 5)], 1.0, 0.08))
        .collect()
}

/// `n` equal Gaussians along a curve, evenly by its length.
fn along(curve: impl Fn(f64) -> [f64; 2], n: usize, sd: f64) -> Vec<Blob> {
    const PIECES: u32 = 4096;
    let line: Vec<[f64; 2]> = (0..=PIECES)
        .map(|i| curve(f64::from(i) / f64::from(PIECES)))
        .collect();
    super::stroke::evenly(&[line], n)
        .into_iter()
        .map(|p| (p, 1.0, sd))
        .collect()
}

pub(super) fn two_moons() -> Vec<Blob> {
    let upper = along(|u| [(PI * u).cos(), (PI * u).sin()], ON_CURVES / 2, 0.08);
    let lower = along(
        |u| [1.0 - (PI * u).cos(), 0.5 - (PI * u).sin()],
        ON_CURVES / 2,
        0.08,
    );
    [upper, lower].concat()
}

/// An Archimedean spiral from angle 1.5π to 4.5π.
pub(super) fn swiss_roll() -> Vec<Blob> {
    let curve = |u: f64| {
        let angle = 1.5 * PI * (1.0 + 2.0 * u);
        [angle * angle.cos(), angle * angle.sin()]
    };
    along(curve, ON_CURVES, 0.35)
}

/// Two Archimedean arms of one and a half turns, half a turn apart.
pub(super) fn spirals() -> Vec<Blob> {
    let arm = |sign: f64| {
        let curve = move |u: f64| {
            let angle = 0.25 * PI + 3.0 * PI * u;
            [sign * angle * angle.cos(), sign * angle * angle.sin()]
        };
        along(curve, ON_CURVES / 2, 0.28)
    };
    [arm(1.0), arm(-1.0)].concat()
}

/// The eight dark squares of a board of four by four.
pub(super) fn checkerboard() -> Vec<Blob> {
    const SIDE: u32 = 16;
    let mut blobs = Vec::new();
    for row in 0..4 {
        for column in (0..4).filter(|c| (c + row) % 2 == 0) {
            for k in 0..SIDE * SIDE {
                let at =
                    |cell: u32, i: u32| f64::from(cell) + (f64::from(i) + 0.5) / f64::from(SIDE);
                blobs.push((
                    [at(column, k % SIDE), at(row, k / SIDE)],
                    1.0,
                    0.5 / f64::from(SIDE),
                ));
            }
        }
    }
    blobs
}

/// Two rings, half of the points on each.
pub(super) fn rings() -> Vec<Blob> {
    let ring = |radius: f64| {
        (0..ON_CURVES / 2)
            .map(move |k| {
                let (sin, cos) = (k as f64 * TAU / (ON_CURVES / 2) as f64).sin_cos();
                ([radius * cos, radius * sin], 1.0, 0.06)
            })
            .collect::<Vec<Blob>>()
    };
    [ring(0.6), ring(1.4)].concat()
}

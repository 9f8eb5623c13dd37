//! Lines drawn by hand.

use super::{Blob, Point, PointsError};

/// Standard deviation of a drawn line: the width of its stroke.
const SD: f64 = 0.03;
/// Gaussians along a drawing at most.
const MOST: usize = 2048;
/// What lies further out than this is no part of a drawing.
const REACH: f32 = 1e3;

/// Gaussians along the lines, evenly by length.
pub(super) fn blobs(lines: &[Vec<Point>]) -> Result<Vec<Blob>, PointsError> {
    let lines: Vec<Vec<[f64; 2]>> = lines
        .iter()
        .map(|line| {
            line.iter()
                .filter(|p| p.iter().all(|v| v.abs() <= REACH))
                .map(|p| p.map(f64::from))
                .collect()
        })
        .collect();
    let length = length(&lines);
    // A line shorter than its own width is a dot.
    if length < SD {
        return Err(PointsError::NoLine);
    }
    let count = ((length / SD).ceil() as usize).clamp(2, MOST);
    Ok(evenly(&lines, count)
        .into_iter()
        .map(|p| (p, 1.0, SD))
        .collect())
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

fn length(lines: &[Vec<[f64; 2]>]) -> f64 {
    let pieces = lines.iter().flat_map(|l| l.windows(2));
    pieces.map(|w| distance(w[0], w[1])).sum()
}

/// `n` points on the lines, at the middles of `n` parts of equal length, as if the lines were one after the other.
pub(super) fn evenly(lines: &[Vec<[f64; 2]>], n: usize) -> Vec<[f64; 2]> {
    let part = length(lines) / n as f64;
    let mut points = Vec::with_capacity(n);
    let (mut walked, mut next) = (0.0, 0.5 * part);
    let mut last = [0.0; 2];
    for piece in lines.iter().flat_map(|l| l.windows(2)) {
        let (from, to) = (piece[0], piece[1]);
        let piece = distance(from, to);
        while points.len() < n && next <= walked + piece && piece > 0.0 {
            let u = (next - walked) / piece;
            points.push([0, 1].map(|i| from[i] + u * (to[i] - from[i])));
            next += part;
        }
        walked += piece;
        last = to;
    }
    // Rounding may leave the last one over.
    points.resize(n, last);
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_spread_by_length_over_all_lines() {
        // Lengths 3 and 1, in segments of very different lengths.
        let lines = [
            vec![[0.0, 0.0], [0.1, 0.0], [0.11, 0.0], [3.0, 0.0]],
            vec![[0.0, 5.0], [0.0, 6.0]],
            vec![[9.0, 9.0]],
        ];
        let points = evenly(&lines, 400);
        assert_eq!(points.len(), 400);
        assert_eq!(points.iter().filter(|p| p[1] == 0.0).count(), 300);
        for (k, p) in points.iter().take(300).enumerate() {
            assert!((p[0] - (k as f64 + 0.5) * 0.01).abs() < 1e-9, "{k}: {p:?}");
        }
        assert!(points.iter().all(|p| p[0] < 8.0), "a dot has no length");
    }

    #[test]
    fn a_drawing_without_a_line_is_refused_and_bad_points_are_left_out() {
        let dot = vec![[1.0, 1.0]; 5];
        for bad in [
            vec![],
            vec![vec![]],
            vec![dot.clone()],
            vec![dot, vec![[2.0, 2.0]]],
        ] {
            assert_eq!(blobs(&bad).unwrap_err(), PointsError::NoLine);
        }
        let line = vec![
            [0.0, 0.0],
            [f32::NAN, 1.0],
            [1.0, f32::INFINITY],
            [1e30, 0.0],
            [1.0, 0.0],
        ];
        let found = blobs(&[line]).unwrap();
        assert!(
            found
                .iter()
                .all(|(m, ..)| m[1] == 0.0 && m[0] > 0.0 && m[0] < 1.0)
        );
        assert_eq!(found.len(), 34);
    }
}

//! Streamlines of a field on a grid, evenly enough spaced: a line ends where it would come too near to another.

use noiselab::{
    data::points::Point,
    session::lab::{EXTENT, event::VectorGrid},
};

/// A field between whose cells one can look.
#[derive(Debug, Clone, Copy)]
struct Sampler<'a> {
    side: usize,
    values: &'a [Point],
}

impl Sampler<'_> {
    /// The arrow at a point, between the four cells around it.
    fn at(&self, [x, y]: Point) -> Point {
        let last = (self.side - 1) as f32;
        let scale = self.side as f32 / (2.0 * EXTENT);
        let column = ((x + EXTENT) * scale - 0.5).clamp(0.0, last);
        let row = ((EXTENT - y) * scale - 0.5).clamp(0.0, last);
        let (c, r) = (column as usize, row as usize);
        let (c1, r1) = ((c + 1).min(self.side - 1), (r + 1).min(self.side - 1));
        let (u, v) = (column - c as f32, row - r as f32);
        let cell = |r: usize, c: usize| self.values[r * self.side + c];
        std::array::from_fn(|i| {
            let top = cell(r, c)[i] * (1.0 - u) + cell(r, c1)[i] * u;
            let bottom = cell(r1, c)[i] * (1.0 - u) + cell(r1, c1)[i] * u;
            top * (1.0 - v) + bottom * v
        })
    }

    /// The direction at a point; `None` where there is none.
    fn way(&self, at: Point) -> Option<Point> {
        let [x, y] = self.at(at);
        let length = x.hypot(y);
        (length > 1e-4 && length.is_finite()).then(|| [x / length, y / length])
    }
}

/// Which cells a line has been through.
struct Taken {
    cells: usize,
    by: Vec<u32>,
}

impl Taken {
    fn index(&self, [x, y]: Point) -> Option<usize> {
        let scale = self.cells as f32 / (2.0 * EXTENT);
        let (column, row) = ((x + EXTENT) * scale, (EXTENT - y) * scale);
        let inside = |v: f32| v >= 0.0 && v < self.cells as f32;
        (inside(column) && inside(row)).then(|| row as usize * self.cells + column as usize)
    }
}

/// Lines along the field, in its direction. `cells` a side is how many lines fit beside each other.
pub fn streamlines(field: &VectorGrid, cells: usize) -> Vec<Vec<Point>> {
    if field.side < 2 || field.values.len() != field.side * field.side || cells == 0 {
        return Vec::new();
    }
    let sampler = Sampler {
        side: field.side,
        values: &field.values,
    };
    let mut taken = Taken {
        cells,
        by: vec![0; cells * cells],
    };
    let mut lines = Vec::new();
    let cell = 2.0 * EXTENT / cells as f32;
    for n in 0..cells * cells {
        // All cells once, far apart one after the other.
        let place = (n * stride(cells * cells)) % (cells * cells);
        if taken.by[place] != 0 {
            continue;
        }
        let seed = [
            (place % cells) as f32 * cell + 0.5 * cell - EXTENT,
            EXTENT - (place / cells) as f32 * cell - 0.5 * cell,
        ];
        let number = lines.len() as u32 + 1;
        let mut line = follow(&sampler, &mut taken, seed, -1.0, number);
        line.reverse();
        line.push(seed);
        taken.by[place] = number;
        line.extend(follow(&sampler, &mut taken, seed, 1.0, number));
        // Crumbs tell nothing.
        if length(&line) > 1.5 * cell {
            lines.push(line);
        }
    }
    lines
}

/// A step through n places that meets all of them.
fn stride(n: usize) -> usize {
    const fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let mut step = (n as f32 * 0.618) as usize | 1;
    while gcd(step, n) != 1 {
        step += 1;
    }
    step.max(1)
}

fn length(line: &[Point]) -> f32 {
    line.windows(2)
        .map(|p| (p[1][0] - p[0][0]).hypot(p[1][1] - p[0][1]))
        .sum()
}

fn follow(
    sampler: &Sampler<'_>,
    taken: &mut Taken,
    seed: Point,
    sign: f32,
    number: u32,
) -> Vec<Point> {
    const STEPS: usize = 240;
    let step = sign * 0.25 * 2.0 * EXTENT / taken.cells as f32;
    let mut at = seed;
    let mut line = Vec::new();
    for _ in 0..STEPS {
        // Midpoint rule.
        let Some(way) = sampler.way(at) else { break };
        let half = [at[0] + 0.5 * step * way[0], at[1] + 0.5 * step * way[1]];
        let Some(way) = sampler.way(half) else { break };
        let next = [at[0] + step * way[0], at[1] + step * way[1]];
        let Some(place) = taken.index(next) else {
            break;
        };
        let by = &mut taken.by[place];
        if *by != 0 && *by != number {
            break;
        }
        // Round and round a sink: there the line ends.
        let back = line.len().checked_sub(8).and_then(|i| line.get(i));
        if back.is_some_and(|b: &Point| (next[0] - b[0]).hypot(next[1] - b[1]) < 3.0 * step.abs()) {
            break;
        }
        *by = number;
        line.push(next);
        at = next;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(side: usize, f: impl Fn(Point) -> Point) -> VectorGrid {
        let cell = 2.0 * EXTENT / side as f32;
        let values = (0..side * side)
            .map(|n| {
                f([
                    (n % side) as f32 * cell + 0.5 * cell - EXTENT,
                    EXTENT - (n / side) as f32 * cell - 0.5 * cell,
                ])
            })
            .collect();
        VectorGrid { side, values }
    }

    #[test]
    fn lines_of_a_constant_field_are_straight_and_point_along_it() {
        let lines = streamlines(&grid(16, |_| [0.5, 0.0]), 12);
        assert_eq!(lines.len(), 12, "one a row");
        for line in &lines {
            assert!(length(line) > 1.6 * EXTENT, "{}", length(line));
            for p in line.windows(2) {
                assert!(p[1][0] > p[0][0] && (p[1][1] - p[0][1]).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn lines_of_a_rotation_keep_their_distance_from_the_middle() {
        let lines = streamlines(&grid(64, |[x, y]| [-y, x]), 24);
        assert!(lines.len() > 8);
        for line in &lines {
            let radius = |p: &Point| p[0].hypot(p[1]);
            let first = radius(&line[0]);
            for p in line {
                assert!((radius(p) - first).abs() < 0.12, "{first} {}", radius(p));
            }
        }
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(streamlines(&grid(16, |_| [0.0, 0.0]), 12).is_empty());
        assert!(streamlines(&grid(16, |_| [f32::NAN, 0.0]), 12).is_empty());
        assert!(streamlines(&grid(1, |_| [1.0, 0.0]), 12).is_empty());
    }
}

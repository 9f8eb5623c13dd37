//! Pictures of the plane: clouds of points, heat maps and arrows, several panes in a row.

use std::path::Path;

use noiselab::{
    data::points::Point,
    diffusion::exact::Mixture,
    image_out::{self, GridOptions},
    session::{
        FilesError,
        lab::{
            EXTENT,
            event::{Grid, VectorGrid},
            stage::grid,
        },
    },
};

/// Colours of a heat map from nothing to the peak.
const COLOURS: [[f32; 3]; 4] = [
    [1.0, 1.0, 1.0],
    [0.62, 0.79, 0.88],
    [0.19, 0.51, 0.74],
    [0.03, 0.19, 0.42],
];
const ARROW: [f32; 3] = [0.85, 0.33, 0.05];

/// Square panes, each `[3, side, side]` in 0 … 1.
pub struct Canvas {
    side: usize,
    panes: Vec<Vec<f32>>,
}

impl Canvas {
    /// White panes.
    pub fn row(panes: usize, side: usize) -> Self {
        Self {
            side,
            panes: vec![vec![1.0; 3 * side * side]; panes],
        }
    }

    fn put(&mut self, pane: usize, x: usize, y: usize, colour: [f32; 3]) {
        let size = self.side * self.side;
        for (c, value) in colour.iter().enumerate() {
            self.panes[pane][c * size + y * self.side + x] = *value;
        }
    }

    /// Where a point lies, in pixels; `None` beyond the edge.
    fn pixel(&self, p: Point) -> Option<(usize, usize)> {
        let at = |v: f32| {
            let pixel = (v / EXTENT * 0.5 + 0.5) * self.side as f32;
            (pixel >= 0.0 && pixel < self.side as f32).then_some(pixel as usize)
        };
        Some((at(p[0])?, at(-p[1])?))
    }

    /// How many points lie in each pixel, by a logarithmic tone curve.
    pub fn points(&mut self, pane: usize, points: &[Point]) {
        let mut counts = vec![0.0_f32; self.side * self.side];
        for p in points {
            if let Some((x, y)) = self.pixel(*p) {
                counts[y * self.side + x] += 1.0;
            }
        }
        let peak = counts.iter().copied().fold(1.0, f32::max).ln_1p();
        for (i, n) in counts.iter().enumerate() {
            if *n > 0.0 {
                let tone = 0.35 + 0.65 * n.ln_1p() / peak;
                self.put(pane, i % self.side, i / self.side, colour(tone));
            }
        }
    }

    /// A heat map; `peak` is the value of the darkest colour, the largest one without.
    pub fn heat(&mut self, pane: usize, map: &Grid, peak: Option<f32>) {
        let largest = || map.values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let peak = peak.unwrap_or_else(largest);
        for y in 0..self.side {
            for x in 0..self.side {
                let cell = |v: usize| v * map.side / self.side;
                let value = map.values[cell(y) * map.side + cell(x)];
                self.put(pane, x, y, colour((value / peak).max(0.0).sqrt()));
            }
        }
    }

    /// Arrows from the cells' centres: −ε̂, which points to where the data are, a cell long at the longest.
    pub fn arrows(&mut self, pane: usize, field: &VectorGrid) {
        let longest = (field.values.iter())
            .map(|v| v[0].hypot(v[1]))
            .fold(f32::MIN_POSITIVE, f32::max);
        let cell = 2.0 * EXTENT / field.side as f32;
        for (from, v) in grid(field.side).into_iter().zip(field.values.iter()) {
            let scale = -cell / longest;
            for k in 0..=self.side / field.side {
                let along = k as f32 / (self.side / field.side) as f32 * scale;
                if let Some((x, y)) = self.pixel([from[0] + along * v[0], from[1] + along * v[1]]) {
                    self.put(pane, x, y, ARROW);
                }
            }
            // A dot where it starts.
            if let Some((x, y)) = self.pixel(from) {
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let (x, y) = ((x + dx).min(self.side - 1), (y + dy).min(self.side - 1));
                    self.put(pane, x, y, ARROW);
                }
            }
        }
    }

    /// Writes the panes in a row as a PNG.
    pub fn write(&self, path: &Path) -> Result<(), FilesError> {
        let values: Vec<f32> = (self.panes.iter().flatten())
            .map(|v| 2.0 * v - 1.0)
            .collect();
        let shape = [self.panes.len(), 3, self.side, self.side];
        let options = GridOptions {
            columns: Some(self.panes.len()),
            scale: 1,
        };
        image_out::write_grid_png(path, &values, shape, options)
    }
}

fn colour(tone: f32) -> [f32; 3] {
    let at = tone.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let k = (at as usize).min(COLOURS.len() - 2);
    let part = at - k as f32;
    std::array::from_fn(|c| COLOURS[k][c] + part * (COLOURS[k + 1][c] - COLOURS[k][c]))
}

/// The true density on a grid.
pub fn density_of(mixture: &Mixture, side: usize) -> Grid {
    let values = grid(side)
        .into_iter()
        .map(|p| mixture.log_density(p, 1.0).exp() as f32);
    Grid {
        side,
        values: values.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_maps_land_where_they_belong() {
        let mut canvas = Canvas::row(2, 60);
        canvas.points(0, &[[-2.85, 2.85], [9.0, 9.0]]);
        let dark: Vec<usize> = (0..3600).filter(|&i| canvas.panes[0][i] < 0.99).collect();
        assert_eq!(dark, [60 + 1], "the upper left corner, and nothing else");
        let map = Grid {
            side: 2,
            values: vec![0.0, 1.0, 0.0, 0.0].into(),
        };
        canvas.heat(1, &map, None);
        assert!(canvas.panes[1][59] < 0.1 && canvas.panes[1][0] > 0.99);
        assert!(canvas.panes[1][59 * 60 + 59] > 0.99);
    }
}

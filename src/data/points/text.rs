//! A letter or a word as a distribution: Gaussians on a lattice, wherever it lies inside the letters.

use skrifa::{
    FontRef, MetadataProvider,
    instance::{LocationRef, Size},
    outline::{DrawSettings, OutlinePen},
};

use super::{Blob, PointsError};

/// The app's font for upright letters.
static FONT: &[u8] = include_bytes!("../../../assets/fonts/KaTeX_Main-Regular.ttf");

/// Letters at most.
const MOST_LETTERS: usize = 24;
/// Lattice points that the letters are to hold, about.
const WANTED: f64 = 1800.0;

/// Outlines as closed polygons, in units of the font's em.
#[derive(Default)]
struct Outlines {
    polygons: Vec<Vec<[f64; 2]>>,
    offset: f64,
}

/// Straight pieces that a curve is cut into.
const PIECES: u32 = 12;

impl Outlines {
    fn place(&self, x: f32, y: f32) -> [f64; 2] {
        [f64::from(x) + self.offset, f64::from(y)]
    }

    fn curve(&mut self, at: impl Fn(f64, [f64; 2]) -> [f64; 2]) {
        let Some(line) = self.polygons.last_mut() else {
            return;
        };
        let from = *line.last().unwrap_or(&[0.0; 2]);
        line.extend((1..=PIECES).map(|i| at(f64::from(i) / f64::from(PIECES), from)));
    }
}

impl OutlinePen for Outlines {
    fn move_to(&mut self, x: f32, y: f32) {
        let start = self.place(x, y);
        self.polygons.push(vec![start]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.place(x, y);
        if let Some(line) = self.polygons.last_mut() {
            line.push(to);
        }
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        let (control, to) = (self.place(cx0, cy0), self.place(x, y));
        self.curve(|u, from| {
            let v = 1.0 - u;
            [0, 1].map(|i| v * v * from[i] + 2.0 * u * v * control[i] + u * u * to[i])
        });
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        let (a, b, to) = (self.place(cx0, cy0), self.place(cx1, cy1), self.place(x, y));
        self.curve(|u, from| {
            let v = 1.0 - u;
            [0, 1].map(|i| {
                v * v * v * from[i] + 3.0 * u * v * (v * a[i] + u * b[i]) + u * u * u * to[i]
            })
        });
    }

    fn close(&mut self) {}
}

impl Outlines {
    /// The spans of a horizontal line inside the letters, by the non-zero winding rule.
    fn spans(&self, y: f64) -> Vec<[f64; 2]> {
        let mut crossings: Vec<(f64, i32)> = Vec::new();
        for polygon in &self.polygons {
            for (i, a) in polygon.iter().enumerate() {
                let b = polygon[(i + 1) % polygon.len()];
                // Half open, so that a corner counts once.
                let turn = i32::from(a[1] <= y) - i32::from(b[1] <= y);
                if turn != 0 {
                    let u = (y - a[1]) / (b[1] - a[1]);
                    crossings.push((a[0] + u * (b[0] - a[0]), turn));
                }
            }
        }
        crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut spans = Vec::new();
        let (mut winding, mut begun) = (0, 0.0);
        for (x, turn) in crossings {
            if winding == 0 {
                begun = x;
            }
            winding += turn;
            if winding == 0 {
                spans.push([begun, x]);
            }
        }
        spans
    }

    /// Lowest and highest y.
    fn rows(&self) -> [f64; 2] {
        self.polygons
            .iter()
            .flatten()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], p| {
                [low.min(p[1]), high.max(p[1])]
            })
    }
}

fn outlines(text: &str) -> Result<Outlines, PointsError> {
    // The font is part of the program; without it there would be no letters.
    let Ok(font) = FontRef::new(FONT) else {
        return Err(PointsError::NoText);
    };
    let size = Size::new(1.0);
    let metrics = font.glyph_metrics(size, LocationRef::default());
    let (glyphs, map) = (font.outline_glyphs(), font.charmap());
    let mut out = Outlines::default();
    for letter in text.chars() {
        if letter.is_whitespace() {
            out.offset += 0.3;
            continue;
        }
        let missing = || PointsError::NoLetter(letter);
        let id = map.map(letter).ok_or_else(missing)?;
        let glyph = glyphs.get(id).ok_or_else(missing)?;
        let settings = DrawSettings::unhinted(size, LocationRef::default());
        glyph.draw(settings, &mut out).map_err(|_| missing())?;
        out.offset += f64::from(metrics.advance_width(id).unwrap_or(0.6));
    }
    Ok(out)
}

/// Equal Gaussians inside the letters, on a hexagonal lattice.
pub(super) fn blobs(text: &str) -> Result<Vec<Blob>, PointsError> {
    let text = text.trim();
    let letters = text.chars().filter(|c| !c.is_whitespace()).count();
    if letters == 0 {
        return Err(PointsError::NoText);
    }
    if letters > MOST_LETTERS {
        return Err(PointsError::LongText {
            found: letters,
            most: MOST_LETTERS,
        });
    }
    let outlines = outlines(text)?;
    let [low, high] = outlines.rows();
    const LINES: u32 = 500;
    let line = (high - low) / f64::from(LINES);
    let area: f64 = (0..LINES)
        .flat_map(|i| outlines.spans(low + (f64::from(i) + 0.5) * line))
        .map(|[a, b]| (b - a) * line)
        .sum();
    // A letter without an area leaves nothing to stand on.
    if !(area > 0.0) {
        return Err(PointsError::NoText);
    }
    // Rows at √3/2 of the spacing, every other one shifted by half of it.
    let spacing = (area / WANTED / 0.75f64.sqrt()).sqrt();
    let row = spacing * 0.75f64.sqrt();
    let mut blobs = Vec::new();
    for i in 0..=((high - low) / row) as u32 {
        let y = low + (f64::from(i) + 0.5) * row;
        let shift = if i % 2 == 0 { 0.25 } else { 0.75 };
        for [a, b] in outlines.spans(y) {
            let (first, last) = ((a / spacing - shift).ceil(), (b / spacing - shift).floor());
            let mut k = first;
            while k <= last {
                blobs.push(([(k + shift) * spacing, y], 1.0, 0.5 * spacing));
                k += 1.0;
            }
        }
    }
    blobs.truncate(super::MAX_COMPONENTS);
    if blobs.len() < 2 {
        return Err(PointsError::NoText);
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_filled_evenly_and_its_hole_is_empty() {
        let o = blobs("o").unwrap();
        assert!((1500..2100).contains(&o.len()), "{}", o.len());
        let mean = [0, 1].map(|i| o.iter().map(|b| b.0[i]).sum::<f64>() / o.len() as f64);
        let inner = o
            .iter()
            .map(|b| (b.0[0] - mean[0]).hypot(b.0[1] - mean[1]))
            .fold(f64::INFINITY, f64::min);
        assert!(inner > 0.08, "the hole of the o: {inner} em");
        // A dash is a rectangle: each quarter of it holds a quarter of the points.
        let dash = blobs("-").unwrap();
        let left = dash.iter().map(|b| b.0[0]).fold(f64::INFINITY, f64::min);
        let right = dash.iter().map(|b| b.0[0]).fold(0.0, f64::max);
        for quarter in 0..4 {
            let inside = |x: f64| ((x - left) / (right - left) * 4.0).min(3.9) as i32 == quarter;
            let count = dash.iter().filter(|b| inside(b.0[0])).count() as f64;
            let share = count / dash.len() as f64;
            assert!((share - 0.25).abs() < 0.01, "quarter {quarter}: {share}");
        }
    }

    #[test]
    fn words_read_from_left_to_right_and_upright() {
        let word = blobs("iL").unwrap();
        // The dot of the i is at the top left, the foot of the L at the bottom right.
        let has = |x: std::ops::Range<f64>, y: std::ops::Range<f64>| {
            word.iter()
                .any(|b| x.contains(&b.0[0]) && y.contains(&b.0[1]))
        };
        assert!(has(0.05..0.25, 0.58..0.8), "the dot");
        assert!(!has(0.05..0.25, 0.47..0.53), "the gap below the dot");
        assert!(has(0.7..0.95, 0.0..0.1), "the foot of the L");
        assert!(!has(0.7..0.95, 0.5..0.8), "nothing above the foot");
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        for empty in ["", "   ", "\n"] {
            assert_eq!(blobs(empty).unwrap_err(), PointsError::NoText);
        }
        assert_eq!(blobs("a字").unwrap_err(), PointsError::NoLetter('字'));
        let long = blobs(&"x".repeat(25)).unwrap_err();
        assert!(long.to_string().contains("25"), "{long}");
        assert!(blobs(&"x".repeat(24)).is_ok());
        assert!(blobs("a noisy day").is_ok());
    }
}

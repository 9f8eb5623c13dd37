//! Pictures to start from: one of the data set, or one drawn by hand.

use std::sync::Arc;

use noiselab::{data::Images, session::command::Picture};

/// Rows, columns and channels.
pub type Shape = [usize; 3];

/// The shape of a data set's pictures.
pub fn shape(images: &Images) -> Shape {
    [images.height, images.width, images.channels]
}

/// The same picture with light and dark exchanged.
pub fn inverted(picture: &Picture) -> Picture {
    Picture {
        values: picture.values.iter().map(|v| -v).collect(),
        ..picture.clone()
    }
}

/// The same picture as egui draws it.
pub fn to_color_image(picture: &Picture) -> egui::ColorImage {
    let plane = picture.height * picture.width;
    let byte = |i: usize| {
        let value = picture.values.get(i).copied().unwrap_or(-1.0);
        ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8
    };
    let pixels = (0..plane)
        .map(|i| {
            if picture.channels >= 3 {
                egui::Color32::from_rgb(byte(i), byte(plane + i), byte(2 * plane + i))
            } else {
                egui::Color32::from_gray(byte(i))
            }
        })
        .collect();
    egui::ColorImage::new([picture.width, picture.height], pixels)
}

/// A canvas of a data set's size, on which a soft round brush draws.
#[derive(Debug)]
pub struct Canvas {
    shape: Shape,
    /// `[H, W, C]`, 0 for black to 1.
    ink: Vec<f32>,
    /// The ink before the stroke under way.
    before: Vec<f32>,
    /// `[H, W]`: how far the stroke under way covers each pixel. A stroke covers as much as its strongest
    /// touch does, so that its edge stays soft however often the brush passes.
    cover: Vec<f32>,
    last: Option<[f32; 2]>,
    /// The brush's radius in pixels of the picture.
    pub radius: f32,
    /// The brush takes ink away.
    pub erase: bool,
    /// The colour, where pictures have colours.
    pub colour: [f32; 3],
}

impl Canvas {
    /// Radii of the brush, in pixels of the picture.
    pub const RADII: std::ops::RangeInclusive<f32> = 0.5..=5.0;

    /// An empty one.
    pub fn new(shape: Shape) -> Self {
        let [height, width, channels] = shape;
        Self {
            shape,
            ink: vec![0.0; height * width * channels],
            before: Vec::new(),
            cover: Vec::new(),
            last: None,
            radius: (1.5 * height.max(width) as f32 / 28.0).max(1.0),
            erase: false,
            colour: [1.0; 3],
        }
    }

    /// What it is a canvas for.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether there is no ink on it.
    pub fn is_empty(&self) -> bool {
        self.ink.iter().all(|&v| v == 0.0)
    }

    /// Takes all ink away.
    pub fn clear(&mut self) {
        self.ink.fill(0.0);
        self.end_stroke();
    }

    /// Goes on with the stroke to a place in pixels, or begins one there.
    pub fn stroke_to(&mut self, [x, y]: [f32; 2]) {
        let [height, width, _] = self.shape;
        if self.last.is_none() {
            self.before.clone_from(&self.ink);
            self.cover = vec![0.0; height * width];
        }
        let [x0, y0] = self.last.unwrap_or([x, y]);
        let length = (x - x0).hypot(y - y0);
        // Touches a quarter of a radius apart look like a line; a jump across the canvas stays cheap.
        let touches = ((4.0 * length / self.radius).ceil() as usize).clamp(1, 2_000);
        for n in 1..=touches {
            let share = n as f32 / touches as f32;
            self.touch(x0 + share * (x - x0), y0 + share * (y - y0));
        }
        self.last = Some([x, y]);
        self.mix();
    }

    /// Lifts the brush.
    pub fn end_stroke(&mut self) {
        self.last = None;
    }

    fn touch(&mut self, x: f32, y: f32) {
        let [height, width, _] = self.shape;
        // Full within the radius less half a pixel, nothing beyond the radius and a half.
        let reach = self.radius + 1.0;
        let rows = span(y - reach, y + reach, height);
        let columns = span(x - reach, x + reach, width);
        for row in rows {
            for column in columns.clone() {
                let distance = (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y);
                let cover = ((self.radius + 0.75 - distance) / 1.25).clamp(0.0, 1.0);
                let place = &mut self.cover[row * width + column];
                *place = place.max(cover);
            }
        }
    }

    fn mix(&mut self) {
        let channels = self.shape[2];
        let colour = match (self.erase, channels) {
            (true, _) => [0.0; 3],
            (false, 1) => [1.0; 3],
            (false, _) => self.colour,
        };
        for (place, &cover) in self.cover.iter().enumerate() {
            for (channel, &goal) in colour.iter().enumerate().take(channels) {
                let i = place * channels + channel;
                self.ink[i] = self.before[i] + cover * (goal - self.before[i]);
            }
        }
    }

    /// What is drawn.
    pub fn picture(&self) -> Picture {
        let [height, width, channels] = self.shape;
        let plane = height * width;
        let values: Arc<[f32]> = (0..channels)
            .flat_map(|c| (0..plane).map(move |p| (c, p)))
            .map(|(c, p)| self.ink[p * channels + c] * 2.0 - 1.0)
            .collect();
        Picture {
            channels,
            height,
            width,
            values,
        }
    }
}

/// The pixels of a line of `size` between two places.
fn span(from: f32, to: f32, size: usize) -> std::ops::Range<usize> {
    let from = from.floor().clamp(0.0, size as f32) as usize;
    let to = to.ceil().clamp(0.0, size as f32) as usize;
    from..to.max(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_is_soft_stays_soft_and_can_be_erased() {
        let mut canvas = Canvas::new([28, 28, 1]);
        assert!(canvas.is_empty());
        canvas.stroke_to([8.0, 14.0]);
        canvas.stroke_to([20.0, 14.0]);
        let once = canvas.picture();
        canvas.stroke_to([8.0, 14.0]);
        assert_eq!(canvas.picture(), once, "the way back covers no more");
        let row = |r: usize| canvas.picture().values[r * 28 + 14];
        assert_eq!(row(14), 1.0);
        assert!(row(15) < 1.0 && row(15) > -1.0, "the edge: {}", row(15));
        assert_eq!(row(20), -1.0);
        canvas.end_stroke();
        canvas.erase = true;
        canvas.radius = 5.0;
        canvas.stroke_to([0.0, 14.0]);
        canvas.stroke_to([28.0, 14.0]);
        assert!(canvas.is_empty());
        // Far outside: nothing happens, and quickly.
        canvas.stroke_to([1e9, -1e9]);
    }

    #[test]
    fn a_drawn_picture_lies_in_planes() {
        let mut canvas = Canvas::new([8, 8, 3]);
        canvas.colour = [1.0, 0.0, 0.5];
        canvas.radius = 5.0;
        canvas.stroke_to([4.0, 4.0]);
        let picture = canvas.picture();
        let centre = 4 * 8 + 4;
        assert_eq!(picture.values[centre], 1.0);
        assert_eq!(picture.values[64 + centre], -1.0);
        assert_eq!(picture.values[128 + centre], 0.0);
    }
}

//! Pictures from samples: a grid, a film strip, an animation.
//!
//! Images are f32 in NCHW order (N images, C channels, H rows, W columns), nominally in [−1, 1],
//! with C = 1 (grey) or C = 3 (RGB). A value x becomes the byte round(255 · clamp(x/2 + ½, 0, 1)),
//! with halves rounded to even, which is what diffusers' pipelines do.

use std::path::Path;
use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, GrayImage, ImageFormat, RgbImage};

use crate::session::FilesError;
use crate::session::atomic::write_atomic;

/// Pixels between images, and around them.
pub const PADDING: usize = 2;

/// The grey level of the padding and of cells without an image.
pub const PADDING_LEVEL: u8 = 64;

/// Pictures have at most this many pixels a side, the limit of the GIF format.
pub const MAX_SIDE: usize = 65_535;

/// Pictures have at most this many pixels.
const MAX_PIXELS: usize = 1 << 28;

/// How images are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GridOptions {
    /// Images in a row; `None` for as many as make the grid about square.
    pub columns: Option<usize>,
    /// Each value becomes a square of this many pixels a side; 0 counts as 1.
    pub scale: usize,
}

/// The byte for a value in [−1, 1]; values outside are clamped, NaN is black.
///
/// ```
/// use noiselab::image_out::to_byte;
/// assert_eq!([-1.0, 0.0, 1.0, 7.0].map(to_byte), [0, 128, 255, 255]);
/// ```
pub fn to_byte(value: f32) -> u8 {
    ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}

/// Lays out `images`, of shape [N, C, H, W], in rows from the top left.
///
/// # Errors
/// A sentence on what does not fit: no image, another number of channels, a length that is not the
/// shape's, or a picture of more than [`MAX_SIDE`] pixels a side.
pub fn grid(
    images: &[f32],
    shape: [usize; 4],
    options: GridOptions,
) -> Result<DynamicImage, String> {
    let [count, ..] = shape;
    check(images, shape)?;
    let columns = options
        .columns
        .unwrap_or_else(|| (count as f64).sqrt().ceil() as usize);
    if columns == 0 {
        return Err("a grid needs at least one column".to_owned());
    }
    let values = images.chunks_exact(images.len() / count).enumerate();
    let cells = values.map(|(index, image)| (index / columns, index % columns, image));
    arrange(
        cells,
        [count.div_ceil(columns), columns.min(count)],
        shape,
        options.scale,
    )
}

/// Lays out a film strip: image n of every frame in row n, one column a frame.
///
/// Each frame has the shape [N, C, H, W]: N samples, or N quantities such as x_t and the predicted
/// x_0, at one time.
///
/// # Errors
/// As [`grid`]; also if there is no frame.
pub fn film<F: AsRef<[f32]>>(
    frames: &[F],
    shape: [usize; 4],
    scale: usize,
) -> Result<DynamicImage, String> {
    if frames.is_empty() {
        return Err("a film needs at least one frame".to_owned());
    }
    let mut cells = Vec::with_capacity(frames.len() * shape[0]);
    for (column, frame) in frames.iter().map(AsRef::as_ref).enumerate() {
        check(frame, shape)?;
        let images = frame.chunks_exact(frame.len() / shape[0]).enumerate();
        cells.extend(images.map(|(row, image)| (row, column, image)));
    }
    arrange(cells.into_iter(), [shape[0], frames.len()], shape, scale)
}

/// Writes [`grid`] as a PNG (8 bits, grey or RGB), atomically.
///
/// # Errors
/// [`FilesError::Picture`] if the images do not fit, or a failed write.
pub fn write_grid_png(
    path: &Path,
    images: &[f32],
    shape: [usize; 4],
    options: GridOptions,
) -> Result<(), FilesError> {
    write_png(path, grid(images, shape, options))
}

/// Writes [`film`] as a PNG (8 bits, grey or RGB), atomically.
///
/// # Errors
/// [`FilesError::Picture`] if the images do not fit, or a failed write.
pub fn write_film_png<F: AsRef<[f32]>>(
    path: &Path,
    frames: &[F],
    shape: [usize; 4],
    scale: usize,
) -> Result<(), FilesError> {
    write_png(path, film(frames, shape, scale))
}

/// Writes an endless animation as a GIF, atomically: each frame, of shape [N, C, H, W], is laid out
/// as a [`grid`] and shown for `delay`, the last one for `hold`.
///
/// GIF counts time in hundredths of a second, and browsers slow down frames shorter than two of
/// them. It holds 256 colours a frame: grey pictures are exact, coloured ones are quantised.
///
/// # Errors
/// [`FilesError::Picture`] if the images do not fit or there is no frame, or a failed write.
pub fn write_gif<F: AsRef<[f32]>>(
    path: &Path,
    frames: &[F],
    shape: [usize; 4],
    options: GridOptions,
    delay: Duration,
    hold: Duration,
) -> Result<(), FilesError> {
    let bytes =
        encode_gif(frames, shape, options, delay, hold).map_err(|reason| refused(path, reason))?;
    write_atomic(path, |out| out.write_all(&bytes))
}

fn encode_gif<F: AsRef<[f32]>>(
    frames: &[F],
    shape: [usize; 4],
    options: GridOptions,
    delay: Duration,
    hold: Duration,
) -> Result<Vec<u8>, String> {
    if frames.is_empty() {
        return Err("an animation needs at least one frame".to_owned());
    }
    let mut bytes = Vec::new();
    // 10 is the encoder's usual balance of speed and quality.
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
    encoder
        .set_repeat(Repeat::Infinite)
        .map_err(|error| error.to_string())?;
    for (index, frame) in frames.iter().enumerate() {
        let picture = grid(frame.as_ref(), shape, options)?.into_rgba8();
        let shown = if index + 1 == frames.len() {
            hold
        } else {
            delay
        };
        let shown = Delay::from_saturating_duration(shown);
        encoder
            .encode_frame(Frame::from_parts(picture, 0, 0, shown))
            .map_err(|error| error.to_string())?;
    }
    drop(encoder);
    Ok(bytes)
}

fn write_png(path: &Path, picture: Result<DynamicImage, String>) -> Result<(), FilesError> {
    let encoded = picture.and_then(|picture| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, ImageFormat::Png)
            .map_err(|error| error.to_string())?;
        Ok(bytes.into_inner())
    });
    let bytes = encoded.map_err(|reason| refused(path, reason))?;
    write_atomic(path, |out| out.write_all(&bytes))
}

fn refused(path: &Path, reason: String) -> FilesError {
    FilesError::Picture {
        path: path.to_path_buf(),
        reason,
    }
}

fn check(images: &[f32], shape: [usize; 4]) -> Result<(), String> {
    let [count, channels, height, width] = shape;
    if ![1, 3].contains(&channels) {
        return Err(format!("images need 1 or 3 channels, not {channels}"));
    }
    let length = [count, height, width]
        .iter()
        .try_fold(channels, |product, &side| product.checked_mul(side));
    if images.is_empty() || length != Some(images.len()) {
        return Err(format!(
            "{} values do not make images of shape {shape:?}",
            images.len()
        ));
    }
    Ok(())
}

/// Paints images at (row, column) of a grid with the given numbers of rows and columns.
fn arrange<'a>(
    cells: impl Iterator<Item = (usize, usize, &'a [f32])>,
    [rows, columns]: [usize; 2],
    [_, channels, height, width]: [usize; 4],
    scale: usize,
) -> Result<DynamicImage, String> {
    let scale = scale.max(1);
    let side = |cells: usize, values: usize| {
        let pitch = values.checked_mul(scale)?.checked_add(PADDING)?;
        cells
            .checked_mul(pitch)?
            .checked_add(PADDING)
            .filter(|side| *side <= MAX_SIDE)
    };
    let size = side(columns, width)
        .zip(side(rows, height))
        .filter(|(across, down)| across * down <= MAX_PIXELS);
    let Some((across, down)) = size else {
        return Err(format!(
            "{rows} rows and {columns} columns of {height}x{width} images at scale {scale} are more than \
             {MAX_SIDE} pixels a side or {MAX_PIXELS} in all; show fewer images or a smaller scale"
        ));
    };
    let mut bytes = vec![PADDING_LEVEL; across * down * channels];
    for (row, column, image) in cells {
        let top = PADDING + row * (height * scale + PADDING);
        let left = PADDING + column * (width * scale + PADDING);
        for y in 0..height * scale {
            for x in 0..width * scale {
                let pixel = ((top + y) * across + left + x) * channels;
                for channel in 0..channels {
                    let value = image[(channel * height + y / scale) * width + x / scale];
                    bytes[pixel + channel] = to_byte(value);
                }
            }
        }
    }
    // Both sides are at most MAX_SIDE and the buffer is of their size, so neither step can fail.
    let (across, down) = (across as u32, down as u32);
    let picture = if channels == 1 {
        GrayImage::from_raw(across, down, bytes).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(across, down, bytes).map(DynamicImage::ImageRgb8)
    };
    picture.ok_or_else(|| "the picture's buffer has the wrong size".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{AnimationDecoder, ColorType, codecs::gif::GifDecoder};

    /// N grey images of 2x3 whose bytes are 10·n + position.
    fn numbered(count: usize) -> Vec<f32> {
        (0..count * 6)
            .map(|i| (10 * (i / 6) + i % 6) as f32 / 255.0 * 2.0 - 1.0)
            .collect()
    }

    #[test]
    fn bytes_equal_those_of_diffusers() {
        // numpy: (np.clip(x / 2 + 0.5, 0, 1) * 255).round().astype("uint8") in float32
        let cases = [
            (-1.0, 0),
            (-0.998, 0),
            (-0.996, 1),
            (-0.5, 64),
            (-0.003, 127),
            (0.0, 128),
            (0.2, 153),
            (0.999, 255),
            (1.5, 255),
            (-3.0, 0),
            (f32::NAN, 0),
            (f32::INFINITY, 255),
        ];
        for (value, byte) in cases {
            assert_eq!(to_byte(value), byte, "{value}");
        }
    }

    #[test]
    fn a_grey_grid_has_every_pixel_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grid.png");
        let options = GridOptions {
            columns: None,
            scale: 2,
        };
        write_grid_png(&path, &numbered(5), [5, 1, 2, 3], options).unwrap();
        let picture = image::open(&path).unwrap();
        assert_eq!(picture.color(), ColorType::L8);
        let picture = picture.into_luma8();
        // 3 columns of 6 pixels, 2 rows of 4 pixels, 2 pixels of padding everywhere.
        assert_eq!(picture.dimensions(), (3 * 8 + 2, 2 * 6 + 2));
        let mut shown = 0;
        for (x, y, pixel) in picture.enumerate_pixels() {
            let (column, dx) = ((x.wrapping_sub(2)) / 8, x.wrapping_sub(2) % 8);
            let (row, dy) = ((y.wrapping_sub(2)) / 6, y.wrapping_sub(2) % 6);
            let inside = x >= 2 && y >= 2 && dx < 6 && dy < 4 && row * 3 + column < 5;
            let expected = if inside {
                10 * (row * 3 + column) + (dy / 2) * 3 + dx / 2
            } else {
                u32::from(PADDING_LEVEL)
            };
            assert_eq!(u32::from(pixel.0[0]), expected, "at {x}, {y}");
            shown += u32::from(inside);
        }
        assert_eq!(shown, 5 * 24);
    }

    #[test]
    fn columns_and_colours_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grid.png");
        // Two images of one pixel: pure red, then (0, 128, 255).
        let images = [1.0, -1.0, -1.0, -1.0, 0.0, 1.0];
        let options = GridOptions {
            columns: Some(1),
            scale: 0,
        };
        write_grid_png(&path, &images, [2, 3, 1, 1], options).unwrap();
        let picture = image::open(&path).unwrap();
        assert_eq!(picture.color(), ColorType::Rgb8);
        let picture = picture.into_rgb8();
        assert_eq!(picture.dimensions(), (5, 8));
        assert_eq!(picture.get_pixel(2, 2).0, [255, 0, 0]);
        assert_eq!(picture.get_pixel(2, 5).0, [0, 128, 255]);
        assert_eq!(picture.get_pixel(2, 4).0, [PADDING_LEVEL; 3]);
        // Fewer images than columns leave no empty columns.
        let wide = grid(
            &images,
            [2, 3, 1, 1],
            GridOptions {
                columns: Some(9),
                scale: 1,
            },
        )
        .unwrap();
        assert_eq!((wide.width(), wide.height()), (8, 5));
    }

    #[test]
    fn a_film_has_times_as_columns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.png");
        // Frame t, row n, one pixel of byte 100·n + t.
        let byte = |b: usize| b as f32 / 255.0 * 2.0 - 1.0;
        let frames: Vec<Vec<f32>> = (0..4).map(|t| vec![byte(t), byte(100 + t)]).collect();
        write_film_png(&path, &frames, [2, 1, 1, 1], 1).unwrap();
        let picture = image::open(&path).unwrap().into_luma8();
        assert_eq!(picture.dimensions(), (4 * 3 + 2, 2 * 3 + 2));
        for t in 0..4 {
            assert_eq!(picture.get_pixel(2 + 3 * t, 2).0[0], t as u8);
            assert_eq!(picture.get_pixel(2 + 3 * t, 5).0[0], 100 + t as u8);
        }
    }

    #[test]
    fn an_animation_shows_every_frame_and_holds_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gif");
        let mut frames = vec![numbered(4), numbered(4), numbered(4)];
        frames[1].reverse();
        let (delay, hold) = (Duration::from_millis(50), Duration::from_secs(2));
        let options = GridOptions {
            columns: Some(2),
            scale: 1,
        };
        write_gif(&path, &frames, [4, 1, 2, 3], options, delay, hold).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let decoded = GifDecoder::new(file)
            .unwrap()
            .into_frames()
            .collect_frames()
            .unwrap();
        let delays: Vec<Duration> = decoded.iter().map(|frame| frame.delay().into()).collect();
        assert_eq!(delays, [delay, delay, hold]);
        for (frame, values) in decoded.iter().zip(&frames) {
            let expected = grid(values, [4, 1, 2, 3], options).unwrap().into_rgba8();
            assert_eq!(frame.buffer(), &expected);
        }
        assert_ne!(decoded[0].buffer(), decoded[1].buffer());
        // The block that makes it repeat for ever.
        let bytes = std::fs::read(&path).unwrap();
        assert!(
            bytes
                .windows(16)
                .any(|part| part == b"NETSCAPE2.0\x03\x01\0\0\0")
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.png");
        let default = GridOptions::default();
        let no_frames: &[Vec<f32>] = &[];
        let (delay, hold) = (Duration::ZERO, Duration::ZERO);
        let refusals = [
            (
                write_grid_png(&path, &[0.0; 8], [2, 2, 1, 2], default),
                "1 or 3 channels, not 2",
            ),
            (
                write_grid_png(&path, &[0.0; 7], [2, 1, 2, 2], default),
                "7 values",
            ),
            (
                write_grid_png(&path, &[], [0, 1, 2, 2], default),
                "0 values",
            ),
            (
                write_grid_png(&path, &[0.0], [usize::MAX, 3, 2, 2], default),
                "1 values",
            ),
            (
                write_grid_png(
                    &path,
                    &[0.0],
                    [1, 1, 1, 1],
                    GridOptions {
                        columns: Some(0),
                        scale: 1,
                    },
                ),
                "at least one column",
            ),
            (
                write_grid_png(
                    &path,
                    &[0.0],
                    [1, 1, 1, 1],
                    GridOptions {
                        columns: None,
                        scale: 70_000,
                    },
                ),
                "65535 pixels a side",
            ),
            (
                write_film_png(&path, no_frames, [1, 1, 1, 1], 1),
                "at least one frame",
            ),
            (
                write_film_png(&path, &[vec![0.0], vec![]], [1, 1, 1, 1], 1),
                "0 values",
            ),
            (
                write_gif(&path, no_frames, [1, 1, 1, 1], default, delay, hold),
                "at least one frame",
            ),
        ];
        for (result, part) in refusals {
            let text = result.unwrap_err().to_string();
            assert!(text.contains(part) && text.contains("x.png"), "{text}");
        }
        assert!(!path.exists());
    }
}

//! Images in memory, and a whole data set of them.

use super::{DataError, Shuffle};
use image::{DynamicImage, GrayImage, RgbImage, imageops::FilterType};

/// Images of one shape, 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Images {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (greyscale) or 3 (red, green, blue).
    pub channels: usize,
    /// All pixels, [N, H, W, C], the last index fastest; 0 is black and −1 to the model.
    pub pixels: Vec<u8>,
    /// The class of each image, `[N]`, where there are classes.
    pub labels: Option<Vec<u8>>,
}

impl Images {
    /// Images from their parts.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if the number of pixels or labels does not fit the shape.
    pub fn new(
        height: usize,
        width: usize,
        channels: usize,
        pixels: Vec<u8>,
        labels: Option<Vec<u8>>,
    ) -> Result<Self, DataError> {
        let one = height * width * channels;
        let fits = (channels == 1 || channels == 3) && one > 0 && pixels.len().is_multiple_of(one);
        if !fits {
            return Err(DataError::Invalid {
                what: "the number of bytes in the images",
                found: pixels.len().to_string(),
                expected: format!(
                    "a multiple of {height}·{width}·{channels}, with 1 or 3 channels"
                ),
            });
        }
        let count = pixels.len() / one;
        if let Some(labels) = &labels
            && labels.len() != count
        {
            return Err(DataError::Invalid {
                what: "the number of labels",
                found: labels.len().to_string(),
                expected: format!("{count}, one an image"),
            });
        }
        Ok(Self {
            height,
            width,
            channels,
            pixels,
            labels,
        })
    }

    /// Bytes of one image, H·W·C.
    pub fn stride(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Number of images, N.
    pub fn len(&self) -> usize {
        self.pixels.len().checked_div(self.stride()).unwrap_or(0)
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pixels of image `i`, [H, W, C].
    ///
    /// # Panics
    /// If there is no such image, as a slice does.
    pub fn image(&self, i: usize) -> &[u8] {
        let one = self.stride();
        &self.pixels[i * one..(i + 1) * one]
    }

    /// Writes image `i` as the model takes it, [C, H, W] in [−1, 1]: `x / 127.5 − 1`
    /// (Ho et al. 2020, section 3.3).
    ///
    /// # Panics
    /// If there is no such image, or `out` is not C·H·W long.
    pub fn write_chw(&self, i: usize, out: &mut [f32]) {
        let plane = self.height * self.width;
        assert_eq!(out.len(), self.stride(), "one image");
        for (place, pixel) in self.image(i).chunks_exact(self.channels).enumerate() {
            for (channel, &value) in pixel.iter().enumerate() {
                out[channel * plane + place] = f32::from(value) / 127.5 - 1.0;
            }
        }
    }

    /// The images with these indices, in this order.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            pixels: indices
                .iter()
                .flat_map(|&i| self.image(i))
                .copied()
                .collect(),
            labels: (self.labels.as_ref())
                .map(|labels| indices.iter().map(|&i| labels[i]).collect()),
            ..*self
        }
    }

    /// The first `count` images, or all if there are fewer.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        Self {
            pixels: self.pixels[..count * self.stride()].to_vec(),
            labels: self.labels.as_ref().map(|labels| labels[..count].to_vec()),
            ..*self
        }
    }

    /// Where the first row (or column) of `inner` pixels lies when they are centred in `outer`:
    /// an odd pixel goes to the end.
    pub fn pad_offset(inner: usize, outer: usize) -> usize {
        outer.saturating_sub(inner) / 2
    }

    /// The images centred on a black square canvas of `size` pixels a side, or on one as large as
    /// their longer side if that is more.
    pub fn padded(&self, size: usize) -> Self {
        let size = size.max(self.height).max(self.width);
        let (top, left) = (
            Self::pad_offset(self.height, size),
            Self::pad_offset(self.width, size),
        );
        let row = self.width * self.channels;
        let mut pixels = vec![0; self.len() * size * size * self.channels];
        for i in 0..self.len() {
            for (y, line) in self.image(i).chunks_exact(row).enumerate() {
                let start = ((i * size + top + y) * size + left) * self.channels;
                pixels[start..start + row].copy_from_slice(line);
            }
        }
        Self {
            height: size,
            width: size,
            channels: self.channels,
            pixels,
            labels: self.labels.clone(),
        }
    }

    /// The images centre-cropped to a square and resized (cubic) to `size` pixels a side.
    pub fn resized(&self, size: usize) -> Self {
        if (self.height, self.width) == (size, size) {
            return self.clone();
        }
        let mut pixels = Vec::with_capacity(self.len() * size * size * self.channels);
        for i in 0..self.len() {
            let image = to_dynamic(self.image(i), self.height, self.width, self.channels);
            pixels.extend_from_slice(square(&image, size).as_bytes());
        }
        Self {
            height: size,
            width: size,
            channels: self.channels,
            pixels,
            labels: self.labels.clone(),
        }
    }

    /// The images with 1 channel (luma) or 3 (grey thrice).
    pub fn with_channels(self, channels: usize) -> Self {
        if channels == self.channels || self.stride() == 0 {
            return self;
        }
        let pixels = if channels == 3 {
            self.pixels.iter().flat_map(|&value| [value; 3]).collect()
        } else {
            (self.pixels.chunks_exact(3))
                .map(|rgb| luma([rgb[0], rgb[1], rgb[2]]))
                .collect()
        };
        Self {
            channels,
            pixels,
            ..self
        }
    }

    /// Sets a share of the images aside, the same ones for the same number of images and seed:
    /// (kept, set aside). Of two images or more, neither part is empty unless the share is 0.
    pub fn split(&self, holdout: f32, seed: u64) -> (Self, Self) {
        let count = self.len();
        let mut aside = (count as f64 * f64::from(holdout)).round() as usize;
        if holdout > 0.0 && count >= 2 {
            aside = aside.clamp(1, count - 1);
        }
        let shuffle = Shuffle { n: count, seed };
        let mut is_aside = vec![false; count];
        for position in 0..aside {
            is_aside[shuffle.index(position as u64)] = true;
        }
        let (test, train): (Vec<_>, Vec<_>) = (0..count).partition(|&i| is_aside[i]);
        (self.select(&train), self.select(&test))
    }
}

/// Greyscale of a colour, Rec. 601 luma in rounded integers.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// One image as the `image` crate has it; empty if the sizes do not fit.
pub(super) fn to_dynamic(
    pixels: &[u8],
    height: usize,
    width: usize,
    channels: usize,
) -> DynamicImage {
    let (w, h) = (width as u32, height as u32);
    if channels == 1 {
        GrayImage::from_raw(w, h, pixels.to_vec())
            .unwrap_or_default()
            .into()
    } else {
        RgbImage::from_raw(w, h, pixels.to_vec())
            .unwrap_or_default()
            .into()
    }
}

/// The central square of an image, resized to `size` pixels a side.
pub(super) fn square(image: &DynamicImage, size: usize) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    let side = width.min(height);
    // Cropping first keeps what a very long picture asks for small.
    let cropped = image.crop_imm((width - side) / 2, (height - side) / 2, side, side);
    if side as usize == size {
        return cropped;
    }
    cropped.resize_exact(size as u32, size as u32, FilterType::CatmullRom)
}

/// A data set: images to train on, others to test on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Name of a built-in set, or of the file or folder.
    pub name: String,
    /// Training images.
    pub train: Images,
    /// Test images, of the same shape.
    pub test: Images,
    /// Names of the classes by label; empty where there are none.
    pub class_names: Vec<String>,
    /// Height and width of the set's own pixels. Smaller than the images where these were padded;
    /// then centred, see [`Images::pad_offset`].
    pub content: (usize, usize),
    /// Hash of all shapes, pixels and labels, the same on every machine: a run that is resumed
    /// recognises its data by it.
    pub content_hash: u64,
}

impl Dataset {
    /// A data set from its parts; `content` is the whole image.
    pub fn new(name: String, train: Images, test: Images, class_names: Vec<String>) -> Self {
        let mut hash = 0;
        for images in [&train, &test] {
            for size in [images.len(), images.height, images.width, images.channels] {
                hash = mix(hash, size as u64);
            }
            hash = hash_bytes(hash, &images.pixels);
            hash = hash_bytes(hash, images.labels.as_deref().unwrap_or_default());
        }
        Self {
            name,
            content: (train.height, train.width),
            train,
            test,
            class_names,
            content_hash: hash,
        }
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    let x = (hash.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^ (x >> 32)
}

fn hash_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(hash, bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> Images {
        Images::new(height, width, channels, pixels, None).unwrap()
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        assert!(Images::new(2, 2, 1, vec![0; 7], None).is_err());
        assert!(Images::new(2, 2, 2, vec![0; 8], None).is_err());
        assert!(Images::new(0, 2, 1, vec![], None).is_err());
        assert!(Images::new(2, 2, 1, vec![0; 8], Some(vec![0])).is_err());
        assert_eq!(images(2, 2, 1, vec![0; 8]).len(), 2);
        assert!(Images::default().is_empty());
    }

    #[test]
    fn padding_centres_with_the_odd_pixel_at_the_end() {
        let padded = images(1, 2, 3, vec![1, 2, 3, 4, 5, 6]).padded(4);
        assert_eq!((padded.height, padded.width), (4, 4));
        let mut expected = vec![0; 48];
        expected[(4 + 1) * 3..(4 + 3) * 3].copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(padded.pixels, expected);
        assert_eq!(
            images(2, 2, 1, vec![7; 8]).padded(1),
            images(2, 2, 1, vec![7; 8])
        );
    }

    #[test]
    fn the_model_sees_planes_from_minus_one_to_one() {
        let mut out = [0.0; 6];
        images(1, 2, 3, vec![0, 255, 51, 255, 0, 102]).write_chw(0, &mut out);
        for (found, expected) in out.iter().zip([-1.0, 1.0, 1.0, -1.0, -0.6, -0.2]) {
            assert!((found - expected).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn resizing_crops_the_centre() {
        // 16 columns by 8 rows: only the 8 columns in the middle are white.
        let pixels = (0..128).map(|i| if (4..12).contains(&(i % 16)) { 255 } else { 0 });
        let resized = images(8, 16, 1, pixels.collect()).resized(4);
        assert_eq!(resized, images(4, 4, 1, vec![255; 16]));
        // Halves averaged in the middle stay symmetric and keep their mean.
        let pixels = (0..256).map(|i| if i % 2 == 0 { 100 } else { 200 });
        let small = images(16, 16, 1, pixels.collect()).resized(8);
        let mean = small.pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / 64.0;
        assert!((mean - 150.0).abs() < 3.0, "{mean}");
    }

    #[test]
    fn channels_convert_both_ways() {
        let colour = images(1, 3, 3, vec![255, 0, 0, 0, 255, 0, 0, 0, 255]);
        // ITU-R BT.601: 0.299, 0.587, 0.114 of 255.
        assert_eq!(colour.with_channels(1).pixels, [76, 150, 29]);
        let grey = images(1, 2, 1, vec![3, 9]);
        assert_eq!(grey.clone().with_channels(3).pixels, [3, 3, 3, 9, 9, 9]);
        assert_eq!(grey.clone().with_channels(3).with_channels(1), grey);
    }

    #[test]
    fn splitting_is_a_partition_that_the_seed_decides() {
        let all = Images::new(1, 1, 1, (0..100).collect(), Some((100..200).collect())).unwrap();
        let (train, test) = all.split(0.2, 5);
        assert_eq!((train.len(), test.len()), (80, 20));
        let mut seen = [train.pixels.clone(), test.pixels.clone()].concat();
        assert!(train.pixels.is_sorted() && test.pixels.is_sorted());
        seen.sort_unstable();
        assert_eq!(seen, all.pixels);
        let labels = test.labels.clone().unwrap();
        assert!(labels.iter().zip(&test.pixels).all(|(l, p)| *l == p + 100));
        assert_eq!(all.split(0.2, 5).1, test);
        assert_ne!(all.split(0.2, 6).1, test);
        assert!(all.split(0.0, 5).1.is_empty());
        assert_eq!(all.first(2).split(0.001, 0).1.len(), 1);
        assert_eq!(
            all.first(1).split(0.9, 0).0.len() + all.first(1).split(0.9, 0).1.len(),
            1
        );
    }

    #[test]
    fn the_hash_is_pinned_and_sees_every_part() {
        let train = Images::new(2, 2, 1, (0..12).collect(), Some(vec![1, 2, 3])).unwrap();
        let test = images(2, 2, 1, vec![9; 4]);
        let hash = |a: &Images, b: &Images| {
            Dataset::new(String::new(), a.clone(), b.clone(), vec![]).content_hash
        };
        // From a separate implementation of the same definition in Python.
        assert_eq!(hash(&train, &test), 0x7284_97CC_31A9_7CC2);
        let mut other = train.clone();
        other.pixels[11] ^= 1;
        assert_ne!(hash(&other, &test), hash(&train, &test));
        let mut other = train.clone();
        other.labels = None;
        assert_ne!(hash(&other, &test), hash(&train, &test));
        assert_ne!(hash(&test, &train), hash(&train, &test));
    }
}

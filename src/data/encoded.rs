//! Encoded pictures (PNG, JPEG …) of any size turned into a set: shared by folders and archives.

use super::images::{square, to_dynamic};
use super::{
    DEFAULT_SIDE, DataError, Dataset, Images, LoadOptions, MAX_BYTES, MAX_SIDE, MIN_SIDE, Opening,
    Parts, finish,
};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::collections::BTreeSet;
use std::fmt;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;
use web_time::Instant;

/// The most bytes that one encoded picture may have.
pub(super) const MAX_FILE: u64 = 256 << 20;
/// Pictures decoded at a time, side by side natively; and bytes of them.
const CHUNK: usize = if cfg!(target_arch = "wasm32") { 1 } else { 64 };
const CHUNK_BYTES: usize = 64 << 20;

/// What a folder or archive of pictures should hold.
pub(super) const PICTURES: &str =
    "pictures such as .png or .jpg, in sub-folders if they have classes";

/// Whether a name is that of a picture which can be read; hidden ones are not.
pub(super) fn is_picture(name: &str) -> bool {
    let hidden = name
        .split('/')
        .any(|part| part.starts_with('.') || part == "__MACOSX");
    !hidden && ImageFormat::from_path(name).is_ok_and(|format| format.reading_enabled())
}

/// How the bytes of a picture are got at: by its number and its name.
type Read<'a> = Box<dyn FnMut(usize, &str) -> Result<Vec<u8>, DataError> + 'a>;

/// Pictures that are being read and decoded.
///
/// Folders `train` and `test` (or `val`, `valid`, `validation`) split the set; otherwise, and
/// below them, the outermost folders are the classes. A folder that holds everything says nothing.
pub(super) struct Reading<'a> {
    root: PathBuf,
    /// Sorted.
    names: Vec<String>,
    read: Read<'a>,
    options: LoadOptions,
    layout: Layout,
    pictures: Pictures,
    next: usize,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, of) = (self.next, self.names.len());
        write!(f, "Reading({}, {done} of {of})", self.root.display())
    }
}

impl<'a> Reading<'a> {
    /// The pictures with these names, sorted; `read` gives the bytes of one.
    pub fn new(
        root: &Path,
        names: Vec<String>,
        read: impl FnMut(usize, &str) -> Result<Vec<u8>, DataError> + 'a,
        options: &LoadOptions,
    ) -> Self {
        Self {
            root: root.into(),
            layout: Layout::of(&names),
            names,
            read: Box::new(read),
            options: options.clone(),
            pictures: Pictures::default(),
            next: 0,
        }
    }

    /// Reads on to the end.
    pub fn run(mut self) -> Result<Dataset, DataError> {
        loop {
            if let Some(dataset) = self.step(Duration::MAX)? {
                return Ok(dataset);
            }
        }
    }

    fn chunk(&mut self) -> Result<(), DataError> {
        let (root, names) = (&self.root, &self.names);
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while self.next < names.len() && chunk.len() < CHUNK && bytes < CHUNK_BYTES {
            let file = (self.read)(self.next, &names[self.next])?;
            bytes += file.len();
            chunk.push((self.next, file));
            self.next += 1;
        }
        let side = self.options.size.or(self.pictures.forced);
        let channels = self.options.channels;
        let decoded = each(chunk, |(i, file)| {
            decode(&root.join(&names[i]), &file, side, channels)
        });
        for picture in decoded {
            (self.pictures).push(root, names, picture?, &self.options)?;
        }
        self.options.report(self.next, names.len());
        Ok(())
    }

    fn parts(&mut self) -> Parts {
        let pictures = std::mem::take(&mut self.pictures);
        let layout = std::mem::take(&mut self.layout);
        let all = Images {
            height: pictures.side,
            width: pictures.side,
            channels: pictures.channels,
            pixels: pictures.pixels,
            labels: layout.labels,
        };
        if !layout.is_test.contains(&true) {
            return Parts {
                train: all,
                test: None,
                class_names: layout.class_names,
            };
        }
        let (test, train): (Vec<_>, Vec<_>) =
            (0..self.names.len()).partition(|&i| layout.is_test[i]);
        Parts {
            train: all.select(&train),
            test: Some(all.select(&test)),
            class_names: layout.class_names,
        }
    }
}

impl Opening for Reading<'_> {
    fn step(&mut self, time: Duration) -> Result<Option<Dataset>, DataError> {
        let start = Instant::now();
        while self.next < self.names.len() {
            self.chunk()?;
            if start.elapsed() >= time {
                return Ok(None);
            }
        }
        let parts = self.parts();
        finish(&self.root, parts, &self.options).map(Some)
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn each<A: Send, B: Send>(items: Vec<A>, f: impl Fn(A) -> B + Sync + Send) -> Vec<B> {
    use rayon::prelude::*;
    items.into_par_iter().map(f).collect()
}

#[cfg(target_arch = "wasm32")]
fn each<A, B>(items: Vec<A>, f: impl Fn(A) -> B) -> Vec<B> {
    items.into_iter().map(f).collect()
}

/// One square picture, [side, side, channels].
struct Picture {
    side: usize,
    channels: usize,
    pixels: Vec<u8>,
}

/// Decodes, crops and resizes; without `side` a square one in range stays as it is.
fn decode(
    path: &Path,
    file: &[u8],
    side: Option<usize>,
    channels: Option<usize>,
) -> Result<Picture, DataError> {
    let failed = |reason: String| DataError::Decode {
        path: path.into(),
        reason: reason.replace('\n', " "),
    };
    let mut reader = ImageReader::new(Cursor::new(file));
    if let Ok(format) = ImageFormat::from_path(path) {
        // Only kept where the contents do not tell: TGA has no magic number.
        reader.set_format(format);
    }
    let mut reader = reader
        .with_guessed_format()
        .map_err(|e| failed(e.to_string()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(1 << 16);
    limits.max_image_height = Some(1 << 16);
    limits.max_alloc = Some(MAX_FILE);
    reader.limits(limits);
    let image = reader.decode().map_err(|e| failed(e.to_string()))?;
    if image.width() == 0 || image.height() == 0 {
        return Err(failed("it has no pixel".into()));
    }
    let image = flatten(image);
    let channels = channels.unwrap_or(image.color().channel_count().into());
    let (width, height) = (image.width() as usize, image.height() as usize);
    let side = side.unwrap_or(
        if width == height && (MIN_SIDE..=MAX_SIDE).contains(&width) {
            width
        } else {
            DEFAULT_SIDE
        },
    );
    let own_channels = image.color().channel_count().into();
    let pixels = square(&image, side).into_bytes();
    let picture = Images {
        height: side,
        width: side,
        channels: own_channels,
        pixels,
        labels: None,
    };
    Ok(Picture {
        side,
        channels,
        pixels: picture.with_channels(channels).pixels,
    })
}

/// 8 bits, grey or red, green and blue; what is transparent lies on black, the value of padding.
fn flatten(image: DynamicImage) -> DynamicImage {
    let over_black =
        |value: u8, alpha: u8| ((u16::from(value) * u16::from(alpha) + 127) / 255) as u8;
    let colour = image.color();
    match (colour.has_color(), colour.has_alpha()) {
        (false, false) => image.into_luma8().into(),
        (true, false) => image.into_rgb8().into(),
        (false, true) => {
            let image = image.into_luma_alpha8();
            let pixels: Vec<_> = image.pixels().map(|p| over_black(p[0], p[1])).collect();
            to_dynamic(&pixels, image.height() as usize, image.width() as usize, 1)
        }
        (true, true) => {
            let image = image.into_rgba8();
            let pixels: Vec<_> = (image.pixels())
                .flat_map(|p| [0, 1, 2].map(|c| over_black(p[c], p[3])))
                .collect();
            to_dynamic(&pixels, image.height() as usize, image.width() as usize, 3)
        }
    }
}

/// The pictures decoded so far, all of one shape.
#[derive(Default)]
struct Pictures {
    side: usize,
    channels: usize,
    /// The side that all get once two differed.
    forced: Option<usize>,
    pixels: Vec<u8>,
    count: usize,
}

impl Pictures {
    fn push(
        &mut self,
        root: &Path,
        names: &[String],
        mut picture: Picture,
        options: &LoadOptions,
    ) -> Result<(), DataError> {
        if self.count == 0 {
            (self.side, self.channels) = (picture.side, picture.channels);
        }
        if picture.channels != self.channels {
            return Err(DataError::MixedChannels {
                first: root.join(&names[0]),
                first_channels: self.channels,
                second: root.join(&names[self.count]),
                second_channels: picture.channels,
            });
        }
        if picture.side != self.side {
            // Only without a size: then both kinds go to the default one.
            let side = options.size.unwrap_or(DEFAULT_SIDE);
            self.forced = Some(side);
            self.pixels = resized(
                std::mem::take(&mut self.pixels),
                self.side,
                self.channels,
                side,
            );
            self.side = side;
            picture.pixels = resized(picture.pixels, picture.side, picture.channels, side);
        }
        self.pixels.extend_from_slice(&picture.pixels);
        self.count += 1;
        let bytes = self.pixels.len() as u64;
        if bytes > MAX_BYTES {
            return Err(DataError::TooLarge {
                path: root.into(),
                bytes,
                limit: MAX_BYTES,
            });
        }
        Ok(())
    }
}

fn resized(pixels: Vec<u8>, from: usize, channels: usize, to: usize) -> Vec<u8> {
    let images = Images {
        height: from,
        width: from,
        channels,
        pixels,
        labels: None,
    };
    images.resized(to).pixels
}

/// What the names of the files say of them.
#[derive(Default)]
struct Layout {
    is_test: Vec<bool>,
    labels: Option<Vec<u8>>,
    class_names: Vec<String>,
}

impl Layout {
    fn of(names: &[String]) -> Self {
        let mut folders: Vec<Vec<&str>> = names
            .iter()
            .map(|name| {
                let mut parts: Vec<_> = name.split('/').collect();
                parts.pop();
                parts
            })
            .collect();
        drop_common(&mut folders);
        let mut is_test = vec![false; names.len()];
        let outer: Option<Vec<String>> = (folders.iter())
            .map(|folder| folder.first().map(|name| name.to_lowercase()))
            .collect();
        if let Some(outer) = outer {
            let held_out = |name: &str| matches!(name, "test" | "val" | "valid" | "validation");
            let all_known = outer.iter().all(|name| name == "train" || held_out(name));
            if all_known && outer.iter().any(|name| name == "train") {
                is_test = outer.iter().map(|name| held_out(name)).collect();
                for folder in &mut folders {
                    folder.remove(0);
                }
                drop_common(&mut folders);
            }
        }
        let outer: Option<Vec<&str>> = folders.iter().map(|f| f.first().copied()).collect();
        let classes: BTreeSet<_> = outer.iter().flatten().copied().collect();
        // Too many for a byte are names of something else, such as one a person.
        let labels = outer.filter(|_| (2..=256).contains(&classes.len()));
        let Some(labels) = labels else {
            return Self {
                is_test,
                labels: None,
                class_names: Vec::new(),
            };
        };
        let classes: Vec<_> = classes.into_iter().collect();
        let number = |name: &&str| classes.binary_search(name).unwrap_or_default() as u8;
        Self {
            is_test,
            labels: Some(labels.iter().map(number).collect()),
            class_names: classes.iter().map(|name| String::from(*name)).collect(),
        }
    }
}

/// Removes the folders that hold every file.
fn drop_common(folders: &mut [Vec<&str>]) {
    while let Some(first) = folders.first().and_then(|f| f.first()).copied()
        && folders.iter().all(|folder| folder.first() == Some(&first))
    {
        for folder in folders.iter_mut() {
            folder.remove(0);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use image::{GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

    /// A picture of one value (and for colour its half and quarter), encoded by its extension.
    pub fn picture(name: &str, width: u32, height: u32, value: u8, channels: usize) -> Vec<u8> {
        let image: DynamicImage = match channels {
            1 => GrayImage::from_pixel(width, height, [value].into()).into(),
            2 => GrayAlphaImage::from_pixel(width, height, [value, 51].into()).into(),
            3 => RgbImage::from_pixel(width, height, [value, value / 2, value / 4].into()).into(),
            _ => RgbaImage::from_pixel(width, height, [value, value, value, 51].into()).into(),
        };
        let mut bytes = Cursor::new(Vec::new());
        let format = ImageFormat::from_path(name).unwrap();
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn assembled(files: &[(&str, Vec<u8>)], options: &LoadOptions) -> Result<Parts, DataError> {
        let names: Vec<_> = files.iter().map(|(name, _)| String::from(*name)).collect();
        let read = |i: usize, _: &str| Ok(files[i].1.clone());
        let mut reading = Reading::new(Path::new("set"), names, read, options);
        while reading.next < reading.names.len() {
            reading.chunk()?;
        }
        Ok(reading.parts())
    }

    fn layout(names: &[&str]) -> (Vec<bool>, Option<Vec<u8>>, Vec<String>) {
        let names: Vec<_> = names.iter().map(|name| String::from(*name)).collect();
        let layout = Layout::of(&names);
        (layout.is_test, layout.labels, layout.class_names)
    }

    #[test]
    fn names_tell_classes_and_split() {
        let (test, labels, classes) = layout(&["cats/a.png", "cats/b/c.png", "dogs/d.png"]);
        assert_eq!(test, [false; 3]);
        assert_eq!(labels, Some(vec![0, 0, 1]));
        assert_eq!(classes, ["cats", "dogs"]);
        let (test, labels, classes) =
            layout(&["x/test/b/1.png", "x/train/a/1.png", "x/train/b/2.png"]);
        assert_eq!(test, [true, false, false]);
        assert_eq!(labels, Some(vec![1, 0, 1]));
        assert_eq!(classes, ["a", "b"]);
        for flat in [
            &["a.png", "b.png"][..],
            &["x/a.png", "x/b.png"],
            &["a.png", "x/b.png"],
            &["train/a.png", "train/b.png"],
        ] {
            assert_eq!(layout(flat), (vec![false; 2], None, vec![]));
        }
        assert_eq!(layout(&["test/a.png", "train/b.png"]).0, [true, false]);
        // A class that is merely called "test" beside another one.
        assert_eq!(layout(&["cat/a.png", "test/b.png"]).1, Some(vec![0, 1]));
    }

    #[test]
    fn pictures_are_told_from_other_files() {
        for name in [
            "a.png", "b/c.JPG", "d.jpeg", "e.webp", "f.gif", "g.bmp", "h.tga", "i.tiff",
        ] {
            assert!(is_picture(name), "{name}");
        }
        for name in [
            "a.txt",
            "png",
            "b.exr",
            "._a.png",
            "__MACOSX/a.png",
            ".thumbs/a.png",
        ] {
            assert!(!is_picture(name), "{name}");
        }
    }

    #[test]
    fn equal_small_squares_keep_their_size_and_others_become_the_default() {
        let options = LoadOptions::default();
        let same = [
            ("a.png", picture("a.png", 12, 12, 90, 1)),
            ("b.png", picture("b.png", 12, 12, 80, 1)),
        ];
        let parts = assembled(&same, &options).unwrap();
        assert_eq!(
            parts.train,
            Images::new(12, 12, 1, [[90; 144], [80; 144]].concat(), None).unwrap()
        );
        let mixed = [
            ("a.png", picture("a.png", 12, 12, 90, 1)),
            ("b.png", picture("b.png", 100, 50, 80, 1)),
            ("c.png", picture("c.png", 12, 12, 70, 1)),
        ];
        let parts = assembled(&mixed, &options).unwrap();
        let expected = [[90; 1024], [80; 1024], [70; 1024]].concat();
        assert_eq!(parts.train, Images::new(32, 32, 1, expected, None).unwrap());
    }

    #[test]
    fn mixed_channels_name_both_files_unless_forced() {
        let files = [
            ("a.png", picture("a.png", 8, 8, 100, 1)),
            ("b.png", picture("b.png", 8, 8, 100, 1)),
            ("c.png", picture("c.png", 8, 8, 200, 3)),
        ];
        let error = assembled(&files, &LoadOptions::default())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("a.png' has 1") && error.contains("c.png' has 3"),
            "{error}"
        );
        assert!(error.contains("1 (all greyscale) or 3"), "{error}");
        for channels in [1, 3] {
            let options = LoadOptions {
                channels: Some(channels),
                ..Default::default()
            };
            let parts = assembled(&files, &options).unwrap();
            assert_eq!(parts.train.channels, channels);
            assert_eq!(parts.train.image(0), vec![100; 64 * channels]);
        }
    }

    #[test]
    fn what_is_transparent_lies_on_black() {
        // 200 at an opacity of 51 / 255 is 40.
        for channels in [2, 4] {
            let files = [("a.png", picture("a.png", 8, 8, 200, channels))];
            let parts = assembled(&files, &LoadOptions::default()).unwrap();
            assert_eq!(parts.train.channels, if channels == 2 { 1 } else { 3 });
            assert!(parts.train.pixels.iter().all(|&p| p == 40));
        }
    }

    #[test]
    fn every_common_format_is_read_whatever_it_is_called() {
        for extension in [
            "png", "jpg", "gif", "bmp", "webp", "tiff", "tga", "qoi", "ico", "ppm",
        ] {
            let name = format!("a.{extension}");
            let channels = if matches!(extension, "gif" | "ico") {
                4
            } else {
                3
            };
            let bytes = picture(&name, 16, 16, 200, channels);
            let parts = assembled(&[(&name, bytes)], &LoadOptions::default())
                .unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                (parts.train.height, parts.train.channels),
                (16, 3),
                "{name}"
            );
        }
        let misnamed = [("a.jpg", picture("a.png", 8, 8, 33, 1))];
        let parts = assembled(&misnamed, &LoadOptions::default()).unwrap();
        assert_eq!(parts.train.pixels, [33; 64]);
    }

    #[test]
    fn a_picture_with_an_absurd_header_is_refused() {
        let mut bytes = picture("a.bmp", 8, 8, 1, 3);
        bytes[18..22].copy_from_slice(&60_000u32.to_le_bytes());
        bytes[22..26].copy_from_slice(&60_000u32.to_le_bytes());
        let error = assembled(&[("a.bmp", bytes)], &LoadOptions::default())
            .err()
            .unwrap();
        assert!(matches!(error, DataError::Decode { .. }), "{error}");
    }
}

//! The data sets that come with the program; `assets/data/README.md` has their licences.
//!
//! An asset is one brotli stream over four IDX files, end to end: training images, training
//! labels, test images, test labels. `scripts/make_datasets.py` makes and verifies them.

use super::source::Stream;
use super::{DataError, Dataset, Images, LoadOptions, Opening, Parts, finish, idx};
use std::{fmt, io::Read, path::Path, time::Duration};
use web_time::Instant;

/// A data set that comes with the program.
#[derive(Debug)]
pub struct BuiltIn {
    /// What [`super::open`] calls it.
    pub name: &'static str,
    /// What people call it, and how much of it this is.
    pub title: &'static str,
    /// Whom to thank, and the licence.
    pub credit: &'static str,
    /// The asset's file name under `assets/data/`; a page fetches it from there.
    pub file: &'static str,
    class_names: &'static [&'static str],
    asset: Option<&'static [u8]>,
}

#[cfg(feature = "embedded-data")]
macro_rules! asset {
    ($file:literal) => {
        Some(include_bytes!(concat!("../../assets/data/", $file)))
    };
}
#[cfg(not(feature = "embedded-data"))]
macro_rules! asset {
    ($file:literal) => {
        None
    };
}

/// The data sets that come with the program.
pub static BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "mnist",
        title: "MNIST: 60,000 handwritten digits to train on and 10,000 to test with",
        credit: "Yann LeCun and Corinna Cortes, CC BY-SA 3.0",
        file: "mnist.idx.br",
        class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        asset: asset!("mnist.idx.br"),
    },
    BuiltIn {
        name: "fashion",
        title: "Fashion-MNIST: the first 18,000 of its 60,000 training and the first 2,000 of its \
                10,000 test images",
        credit: "Zalando SE, MIT licence",
        file: "fashion.idx.br",
        class_names: &[
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
        asset: asset!("fashion.idx.br"),
    },
];

impl BuiltIn {
    /// Whether the asset is inside this program (the feature `embedded-data`).
    pub fn is_embedded(&self) -> bool {
        self.asset.is_some()
    }

    /// Opens the embedded asset.
    ///
    /// # Errors
    /// [`DataError::NotBuiltIn`] if the program was built without it, or whatever
    /// [`LoadOptions`] ask for in vain.
    pub fn open(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        match self.asset {
            Some(asset) => self.decode(asset, options),
            None => Err(DataError::NotBuiltIn { name: self.name }),
        }
    }

    /// Opens the asset's bytes, fetched from elsewhere.
    ///
    /// # Errors
    /// [`DataError`] if they are damaged, or as for [`Self::open`].
    pub fn decode(&self, asset: &[u8], options: &LoadOptions) -> Result<Dataset, DataError> {
        let mut unpacking = self.unpack(asset, options);
        loop {
            if let Some(dataset) = unpacking.step(Duration::MAX)? {
                return Ok(dataset);
            }
        }
    }

    /// The same bit by bit, for a page that must not stand still meanwhile.
    pub fn unpack<'a>(&self, asset: impl Read + 'a, options: &LoadOptions) -> Unpacking<'a> {
        Unpacking {
            name: self.name,
            class_names: self.class_names,
            options: options.clone(),
            stream: Stream {
                path: self.file.into(),
                packing: Some("brotli"),
                reader: Box::new(brotli_decompressor::Decompressor::new(asset, 1 << 16)),
                done: 0,
            },
            reading: None,
            parts: Vec::new(),
        }
    }
}

/// An asset that is being decoded.
pub struct Unpacking<'a> {
    name: &'static str,
    class_names: &'static [&'static str],
    options: LoadOptions,
    stream: Stream<'a>,
    /// Images under way: what their header says, and the pixels so far.
    reading: Option<(idx::ImagesHeader, Vec<u8>)>,
    /// The training and the test images, once they are there.
    parts: Vec<Images>,
}

impl fmt::Debug for Unpacking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unpacking({}, {} bytes)", self.name, self.stream.done)
    }
}

impl Unpacking<'_> {
    /// Bytes at a time: about a millisecond.
    const CHUNK: u64 = 1 << 16;
    /// Memory that is taken at once for pixels; a header that claims more may lie.
    const RESERVE: u64 = 64 << 20;
}

impl Opening for Unpacking<'_> {
    fn step(&mut self, time: Duration) -> Result<Option<Dataset>, DataError> {
        let start = Instant::now();
        while start.elapsed() < time {
            if let [_, _] = self.parts[..] {
                return self.finish().map(Some);
            }
            let (header, pixels) = match &mut self.reading {
                Some(reading) => reading,
                None => {
                    let header = idx::ImagesHeader::read(&mut self.stream)?;
                    let pixels = Vec::with_capacity(header.bytes.min(Self::RESERVE) as usize);
                    self.reading.insert((header, pixels))
                }
            };
            let missing = header.bytes - pixels.len() as u64;
            if missing > 0 {
                pixels.extend(self.stream.read(missing.min(Self::CHUNK))?);
                continue;
            }
            let mut images = header.images(std::mem::take(pixels))?;
            self.reading = None;
            let labels = idx::read_labels(&mut self.stream)?;
            idx::attach(&mut images, labels, &self.stream.path)?;
            self.parts.push(images);
        }
        Ok(None)
    }
}

impl Unpacking<'_> {
    fn finish(&mut self) -> Result<Dataset, DataError> {
        self.stream.expect_end()?;
        let test = self.parts.pop();
        let parts = Parts {
            train: self.parts.pop().unwrap_or_default(),
            test,
            class_names: self.class_names.iter().map(|&name| name.into()).collect(),
        };
        finish(Path::new(self.name), parts, &self.options)
    }
}

#[cfg(all(test, feature = "embedded-data"))]
mod tests {
    use super::super::open;
    use super::*;

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    /// Count, CRC-32 of the pixels, CRC-32 of the labels, images of each class, first labels; all
    /// computed with zlib and numpy from the published files.
    type Facts = (usize, u32, u32, [usize; 10], [u8; 10]);

    fn check(images: &Images, (count, pixels, labels, classes, first): Facts) {
        assert_eq!((images.height, images.width, images.channels), (28, 28, 1));
        assert_eq!(images.len(), count);
        assert_eq!(crc32(&images.pixels), pixels);
        let found = images.labels.as_ref().unwrap();
        assert_eq!(crc32(found), labels);
        let histogram: [usize; 10] =
            std::array::from_fn(|class| found.iter().filter(|&&l| usize::from(l) == class).count());
        assert_eq!(histogram, classes);
        assert_eq!(found[..10], first);
    }

    #[test]
    fn mnist_is_all_of_mnist() {
        let set = open("mnist", &LoadOptions::default()).unwrap();
        let train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
        let test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009];
        check(
            &set.train,
            (
                60_000,
                0xf363_9b56,
                0xba07_e8ef,
                train,
                [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
            ),
        );
        check(
            &set.test,
            (
                10_000,
                0xe4ca_5f57,
                0xee86_04d9,
                test,
                [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
            ),
        );
        assert_eq!((set.name.as_str(), set.content), ("mnist", (28, 28)));
        assert_eq!(set.class_names.len(), 10);
    }

    #[test]
    fn fashion_is_the_stated_subset() {
        let options = LoadOptions {
            size: Some(32),
            ..Default::default()
        };
        let padded = open("fashion", &options).unwrap();
        assert_eq!((padded.train.height, padded.content), (32, (28, 28)));
        let set = open("fashion", &LoadOptions::default()).unwrap();
        let train = [1744, 1821, 1794, 1812, 1766, 1807, 1845, 1816, 1769, 1826];
        let test = [200, 203, 214, 190, 219, 195, 197, 200, 194, 188];
        check(
            &set.train,
            (
                18_000,
                0xf58c_1926,
                0xb436_724c,
                train,
                [9, 0, 0, 3, 0, 2, 7, 2, 5, 5],
            ),
        );
        check(
            &set.test,
            (
                2_000,
                0x4933_3794,
                0x15ce_07fe,
                test,
                [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
            ),
        );
        assert_eq!(set.train.padded(32), padded.train);
        assert_eq!(set.class_names[9], "Ankle boot");
    }

    #[test]
    fn in_slices_it_is_the_same_set_and_no_slice_is_long() {
        let set = &BUILT_IN[1];
        let options = LoadOptions::default();
        let whole = set.open(&options).unwrap();
        let mut unpacking = set.unpack(set.asset.unwrap(), &options);
        let mut slices = 0;
        let found = loop {
            slices += 1;
            if let Some(found) = unpacking.step(Duration::from_micros(500)).unwrap() {
                break found;
            }
        };
        assert_eq!(found.content_hash, whole.content_hash);
        assert!(slices > 20, "{slices}");
    }

    #[test]
    fn a_damaged_asset_is_refused() {
        let set = &BUILT_IN[1];
        let asset = set.asset.unwrap();
        let options = LoadOptions::default();
        let cut = set.decode(&asset[..asset.len() / 3], &options).unwrap_err();
        assert!(cut.to_string().contains("fashion.idx.br"), "{cut}");
        assert!(set.decode(b"<html>404 not found</html>", &options).is_err());
        assert!(set.decode(&[], &options).is_err());
    }

    #[test]
    fn assets_stay_small() {
        let sizes: Vec<_> = BUILT_IN
            .iter()
            .map(|set| set.asset.unwrap().len())
            .collect();
        assert!(sizes[0] <= 12_000_000 && sizes[1] <= 8_000_000, "{sizes:?}");
    }
}

//! Data sets: where the images come from.
//!
//! [`open`] takes the name of a built-in set or a path, and gives a [`Dataset`]: 8-bit images of
//! one square shape, split into a training and a test part. What reads a path is a [`Loader`]: one
//! file each in this folder and one line in [`LOADERS`]. [`Shuffle`] says which images make up the
//! batch of a step, without any state to save.

mod batches;
mod built_in;
mod cifar10;
mod encoded;
mod folder;
mod idx;
mod images;
pub mod points;
mod source;
mod zipped;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use batches::Shuffle;
pub use built_in::{BUILT_IN, BuiltIn, Unpacking};
pub use images::{Dataset, Images};
pub use source::{ReadSeek, Source};

/// The smallest side of an image, in pixels.
pub const MIN_SIDE: usize = 8;
/// The largest side of an image, in pixels.
pub const MAX_SIDE: usize = 64;
/// The side that pictures of several sizes are brought to when no size is asked for.
pub const DEFAULT_SIDE: usize = 32;
/// The most bytes of pixels that one set may have; what claims more is refused unread.
pub const MAX_BYTES: u64 = 1 << 31;

/// A data set that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Neither a built-in name nor a path that exists.
    #[error(
        "no data set named '{spec}' is built in ({built_in} are) and no file or folder is at that path: check the spelling"
    )]
    Missing {
        /// What was asked for.
        spec: String,
        /// The names that are built in.
        built_in: String,
    },
    /// The set exists, but this program was built without it.
    #[error(
        "the data set '{name}' is not part of this program: build with the feature 'embedded-data', or give the path of a data set"
    )]
    NotBuiltIn {
        /// Name of the set.
        name: &'static str,
    },
    /// No loader reads this.
    #[error("'{path}' is no data set that can be read: expected {expected}")]
    Unrecognised {
        /// What was given.
        path: PathBuf,
        /// What the loaders read.
        expected: String,
    },
    /// Nothing to train on.
    #[error("'{path}' holds no image: expected {expected}")]
    Empty {
        /// The folder or archive.
        path: PathBuf,
        /// What it should hold.
        expected: String,
    },
    /// The operating system could not read.
    #[error("cannot read '{path}': {reason}")]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        reason: std::io::Error,
    },
    /// A file whose contents are not what its format asks for.
    #[error("'{path}' is not a valid {format} file ({reason}): get a fresh copy of it")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is too short or too long.
    #[error(
        "'{path}' has {found} bytes instead of {expected}, so it is truncated or not what its name says: get a fresh copy of it"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// What its header or format asks for.
        expected: String,
        /// What is there, in words.
        found: String,
    },
    /// A label file that belongs to other images.
    #[error(
        "'{path}' has {labels} labels for {images} images: give the label file of these images, or remove it"
    )]
    LabelCount {
        /// The label file.
        path: PathBuf,
        /// Number of labels.
        labels: usize,
        /// Number of images.
        images: usize,
    },
    /// Greyscale and colour images in one set.
    #[error(
        "'{first}' has {first_channels} channel(s) and '{second}' has {second_channels}: set the number of channels to 1 (all greyscale) or 3 (all colour)"
    )]
    MixedChannels {
        /// The first image read.
        first: PathBuf,
        /// Its channels.
        first_channels: usize,
        /// The first one that differs.
        second: PathBuf,
        /// Its channels.
        second_channels: usize,
    },
    /// Images smaller or larger than the networks here take.
    #[error(
        "the images of '{path}' are {height} by {width} pixels, outside {MIN_SIDE} to {MAX_SIDE} a side: set a size within that range"
    )]
    Side {
        /// The set.
        path: PathBuf,
        /// Height of its images, pixels.
        height: usize,
        /// Width of its images, pixels.
        width: usize,
    },
    /// An image that does not decode.
    #[error("the image '{path}' cannot be decoded ({reason}): replace or remove it")]
    Decode {
        /// The image.
        path: PathBuf,
        /// What the decoder says.
        reason: String,
    },
    /// More than can be held.
    #[error(
        "'{path}' asks for {bytes} bytes, more than the {limit} allowed: use fewer or smaller images"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// Several sets in one folder.
    #[error(
        "'{path}' holds several training sets ('{first}' and '{second}'): give the path of one"
    )]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// Training and test images of different shapes.
    #[error(
        "the training images of '{path}' are {train} and its test images {test} (height, width, channels): both must have one shape"
    )]
    Shapes {
        /// The set.
        path: PathBuf,
        /// Shape of the training images.
        train: String,
        /// Shape of the test images.
        test: String,
    },
    /// A [`LoadOptions`] field, or a part of an [`Images`], that makes no sense.
    #[error("{what} is {found}, but must be {expected}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
}

/// Told how many images are read and how many there are.
pub type Progress = Arc<dyn Fn(usize, usize) + Send + Sync>;

/// How [`open`] shapes and splits a set.
#[derive(Clone)]
pub struct LoadOptions {
    /// Side of the images in pixels, [`MIN_SIDE`] to [`MAX_SIDE`].
    ///
    /// Pictures are centre-cropped to a square and resized to it. Greyscale IDX sets smaller than
    /// it are padded with zeros ([`Dataset::content`] keeps their own size) and larger ones
    /// resized; colour sets are resized. Without a size, images keep theirs if they are all equal,
    /// square and in range; pictures of several sizes become [`DEFAULT_SIDE`] a side.
    pub size: Option<usize>,
    /// 1 turns colour to greyscale, 3 greyscale to colour; without it images keep what they have.
    pub channels: Option<usize>,
    /// Share of the images set aside as the test set when the source has none, 0 up to 1.
    pub holdout: f32,
    /// Which images are set aside.
    pub seed: u64,
    /// Called now and then while images are decoded.
    pub progress: Option<Progress>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            size: None,
            channels: None,
            holdout: 0.1,
            seed: 0,
            progress: None,
        }
    }
}

impl std::fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("size", &self.size)
            .field("channels", &self.channels)
            .field("holdout", &self.holdout)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl LoadOptions {
    fn check(&self) -> Result<(), DataError> {
        if let Some(size) = self.size
            && !(MIN_SIDE..=MAX_SIDE).contains(&size)
        {
            return Err(DataError::Invalid {
                what: "the size of the images",
                found: size.to_string(),
                expected: format!("{MIN_SIDE} to {MAX_SIDE} pixels a side"),
            });
        }
        if let Some(channels) = self.channels
            && channels != 1
            && channels != 3
        {
            return Err(DataError::Invalid {
                what: "the number of channels",
                found: channels.to_string(),
                expected: "1 (greyscale) or 3 (colour)".into(),
            });
        }
        if !(0.0..1.0).contains(&self.holdout) {
            return Err(DataError::Invalid {
                what: "the share held out for testing",
                found: self.holdout.to_string(),
                expected: "at least 0 and less than 1".into(),
            });
        }
        Ok(())
    }

    fn report(&self, done: usize, total: usize) {
        if let Some(progress) = &self.progress {
            progress(done, total);
        }
    }
}

/// Reads one kind of data set. A new kind is a file beside this one and a line in [`LOADERS`].
pub trait Loader: Sync {
    /// Short name, such as `idx`.
    fn name(&self) -> &'static str;
    /// What it reads, as a phrase that completes "expected …".
    fn reads(&self) -> &'static str;
    /// Whether this source looks like its kind, from names and first bytes alone.
    fn recognises(&self, source: &Source) -> bool;
    /// Reads all of it.
    ///
    /// # Errors
    /// Whatever is wrong with the source, naming the file.
    fn load(&self, source: &Source, options: &LoadOptions) -> Result<Dataset, DataError>;
    /// Begins to read all of it bit by bit, for a page that must not stand still meanwhile; as it is here, it is all
    /// read at once.
    ///
    /// # Errors
    /// As for [`Loader::load`].
    fn begin(&self, source: Source, options: &LoadOptions) -> Result<Box<dyn Opening>, DataError> {
        Ok(Box::new(Opened(Some(self.load(&source, options)?))))
    }
    /// A small whole set written into `folder`, and damaged ones; the tests try every loader so.
    #[cfg(test)]
    fn example(&self, folder: &Path) -> tests::Example;
}

/// A data set that is being opened.
pub trait Opening: std::fmt::Debug {
    /// Goes on for about `time`; the data set once it is complete, after which there is nothing to come.
    ///
    /// # Errors
    /// Whatever is wrong with the source, naming the file.
    fn step(&mut self, time: Duration) -> Result<Option<Dataset>, DataError>;
}

/// One that was opened at once.
#[derive(Debug)]
struct Opened(Option<Dataset>);

impl Opening for Opened {
    fn step(&mut self, _time: Duration) -> Result<Option<Dataset>, DataError> {
        Ok(self.0.take())
    }
}

/// Every loader, in the order they are asked; the first that recognises a source reads it.
pub static LOADERS: &[&dyn Loader] = &[
    &idx::Idx,
    &cifar10::Cifar10,
    &zipped::Zipped,
    &folder::Folder,
];

/// Opens a data set: the name of a built-in one ([`BUILT_IN`]), or a path.
///
/// A folder that is called as a built-in set is reached as `./NAME`.
///
/// # Errors
/// [`DataError`], one sentence that names what is wrong.
pub fn open(spec: &str, options: &LoadOptions) -> Result<Dataset, DataError> {
    if let Some(set) = BUILT_IN.iter().find(|set| set.name == spec) {
        return set.open(options);
    }
    let path = Path::new(spec);
    if spec.is_empty() || matches!(path.try_exists(), Ok(false)) {
        let names: Vec<_> = BUILT_IN.iter().map(|set| set.name).collect();
        return Err(DataError::Missing {
            spec: spec.into(),
            built_in: names.join(", "),
        });
    }
    open_source(&Source::from_path(path)?, options)
}

/// Opens what lies at a path or was handed over in memory, with the first loader that knows it.
///
/// # Errors
/// [`DataError`], as for [`open`].
pub fn open_source(source: &Source, options: &LoadOptions) -> Result<Dataset, DataError> {
    loader_of(source, options)?.load(source, options)
}

/// The same bit by bit.
///
/// # Errors
/// [`DataError`], as for [`open`].
pub fn begin_source(source: Source, options: &LoadOptions) -> Result<Box<dyn Opening>, DataError> {
    loader_of(&source, options)?.begin(source, options)
}

fn loader_of(source: &Source, options: &LoadOptions) -> Result<&'static dyn Loader, DataError> {
    options.check()?;
    match LOADERS.iter().find(|loader| loader.recognises(source)) {
        Some(loader) => Ok(*loader),
        None => {
            let reads: Vec<_> = LOADERS.iter().map(|loader| loader.reads()).collect();
            Err(DataError::Unrecognised {
                path: source.path().into(),
                expected: reads.join(", or "),
            })
        }
    }
}

/// What a loader has read, before it is shaped and split by [`finish`].
struct Parts {
    train: Images,
    test: Option<Images>,
    class_names: Vec<String>,
}

/// Brings what was read to the shape and split that `options` ask for.
fn finish(path: &Path, parts: Parts, options: &LoadOptions) -> Result<Dataset, DataError> {
    options.check()?;
    let Parts {
        mut train,
        mut test,
        class_names,
    } = parts;
    let shape = |images: &Images| (images.height, images.width, images.channels);
    if let Some(test) = &test
        && shape(test) != shape(&train)
    {
        return Err(DataError::Shapes {
            path: path.into(),
            train: format!("{:?}", shape(&train)),
            test: format!("{:?}", shape(test)),
        });
    }
    let (height, width, own_channels) = shape(&train);
    let longest = height.max(width);
    let size = options.size.unwrap_or(longest);
    if !(MIN_SIDE..=MAX_SIDE).contains(&size) {
        return Err(DataError::Side {
            path: path.into(),
            height,
            width,
        });
    }
    // Greyscale sets have a black background, which more of it leaves as it is; a frame around a
    // photograph would be learnt as part of it.
    let pad = size >= longest && (own_channels == 1 || options.size.is_none());
    for images in std::iter::once(&mut train).chain(&mut test) {
        if pad {
            if (height, width) != (size, size) {
                *images = images.padded(size);
            }
        } else {
            *images = images.resized(size);
        }
        if let Some(channels) = options.channels {
            *images = std::mem::take(images).with_channels(channels);
        }
    }
    let content = if pad { (height, width) } else { (size, size) };
    let (train, test) = match test {
        Some(test) => (train, test),
        None => train.split(options.holdout, options.seed),
    };
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    let mut dataset = Dataset::new(name, train, test, class_names);
    dataset.content = content;
    Ok(dataset)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// What [`Loader::example`] wrote.
    pub struct Example {
        /// A whole set.
        pub path: PathBuf,
        /// Training images in it.
        pub train: usize,
        /// Test images in it; none where the source has no test set.
        pub test: Option<usize>,
        /// Height, width, channels.
        pub shape: [usize; 3],
        /// All pixels of the first image, [H, W, C].
        pub first: Vec<u8>,
        /// Label of the first image.
        pub label: Option<u8>,
        /// Damaged sets, and words that the message must have.
        pub damaged: Vec<(PathBuf, &'static str)>,
    }

    fn in_memory(path: &Path) -> Source {
        let disk = Source::from_path(path).unwrap();
        if !path.is_dir() {
            return Source::from_bytes(path, std::fs::read(path).unwrap());
        }
        let files: BTreeMap<_, _> = disk
            .files()
            .iter()
            .map(|file| (file.clone(), std::fs::read(path.join(file)).unwrap()))
            .collect();
        Source::from_files(path, files)
    }

    #[test]
    fn every_loader_reads_its_example_and_refuses_damage() {
        for loader in LOADERS {
            let folder = tempfile::tempdir().unwrap();
            let example = loader.example(folder.path());
            let name = loader.name();
            let source = Source::from_path(&example.path).unwrap();
            let first = LOADERS.iter().find(|l| l.recognises(&source)).unwrap();
            assert_eq!(first.name(), name);

            let options = LoadOptions {
                holdout: 0.25,
                ..Default::default()
            };
            let spec = example.path.to_str().unwrap();
            let set = open(spec, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
            let [height, width, channels] = example.shape;
            let shape = (set.train.height, set.train.width, set.train.channels);
            assert_eq!(shape, (height, width, channels), "{name}");
            if let Some(test) = example.test {
                assert_eq!(
                    (set.train.len(), set.test.len()),
                    (example.train, test),
                    "{name}"
                );
                assert_eq!(set.train.image(0), example.first, "{name}");
                assert_eq!(
                    set.train.labels.as_ref().map(|l| l[0]),
                    example.label,
                    "{name}"
                );
            } else {
                let held_out = (example.train as f32 * 0.25).round() as usize;
                assert_eq!(set.test.len(), held_out, "{name}");
                assert_eq!(set.train.len(), example.train - held_out, "{name}");
                let whole = LoadOptions {
                    holdout: 0.0,
                    ..Default::default()
                };
                let whole = open(spec, &whole).unwrap();
                assert_eq!(whole.train.len(), example.train, "{name}");
                assert_eq!(whole.train.image(0), example.first, "{name}");
                assert_eq!(
                    whole.train.labels.as_ref().map(|l| l[0]),
                    example.label,
                    "{name}"
                );
            }

            let again = open_source(&in_memory(&example.path), &options).unwrap();
            assert_eq!(again, set, "{name}: in memory as on disk");
            let mut opening = begin_source(in_memory(&example.path), &options).unwrap();
            let by_bits = loop {
                if let Some(found) = opening.step(Duration::ZERO).unwrap() {
                    break found;
                }
            };
            assert_eq!(by_bits, set, "{name}: bit by bit as at once");

            for wanted in [1, 3] {
                let options = LoadOptions {
                    size: Some(16),
                    channels: Some(wanted),
                    ..Default::default()
                };
                let set = open(spec, &options).unwrap();
                assert_eq!(
                    (set.train.height, set.train.width, set.train.channels),
                    (16, 16, wanted)
                );
                assert_eq!(set.train.pixels.len(), set.train.len() * 256 * wanted);
            }

            assert!(!example.damaged.is_empty(), "{name}");
            for (path, words) in &example.damaged {
                let error = open(path.to_str().unwrap(), &options)
                    .expect_err(&format!("{name}: {} was read", path.display()))
                    .to_string();
                assert!(
                    error.contains(words) && !error.contains('\n'),
                    "{name}: {error:?} lacks {words:?}"
                );
            }
        }
    }

    #[test]
    fn loader_names_are_unique() {
        let mut names: Vec<_> = LOADERS.iter().map(|l| l.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LOADERS.len());
    }

    #[test]
    fn a_missing_path_names_what_is_built_in() {
        let error = open("no/such/folder", &LoadOptions::default()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("no/such/folder") && text.contains("mnist, fashion"),
            "{text}"
        );
        assert!(open("", &LoadOptions::default()).is_err());
    }

    #[test]
    fn an_unknown_file_is_told_what_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "hello").unwrap();
        let error = open(path.to_str().unwrap(), &LoadOptions::default()).unwrap_err();
        assert!(matches!(error, DataError::Unrecognised { .. }));
        assert!(error.to_string().contains("CIFAR-10"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert!(open(path.to_str().unwrap(), &LoadOptions::default()).is_err());
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let bad = [
            LoadOptions {
                size: Some(7),
                ..Default::default()
            },
            LoadOptions {
                size: Some(65),
                ..Default::default()
            },
            LoadOptions {
                channels: Some(2),
                ..Default::default()
            },
            LoadOptions {
                holdout: 1.0,
                ..Default::default()
            },
            LoadOptions {
                holdout: -0.1,
                ..Default::default()
            },
            LoadOptions {
                holdout: f32::NAN,
                ..Default::default()
            },
        ];
        for options in bad {
            assert!(
                matches!(options.check(), Err(DataError::Invalid { .. })),
                "{options:?}"
            );
        }
    }

    #[test]
    fn grey_sets_are_padded_and_colour_sets_resized() {
        let grey = |channels| Parts {
            train: Images::new(8, 10, channels, vec![200; 80 * channels * 2], None).unwrap(),
            test: None,
            class_names: vec![],
        };
        let options = LoadOptions {
            size: Some(16),
            holdout: 0.0,
            ..Default::default()
        };
        let set = finish(Path::new("x"), grey(1), &options).unwrap();
        assert_eq!(set.content, (8, 10));
        assert_eq!(set.train.pixels.iter().filter(|&&p| p == 200).count(), 160);
        assert_eq!(
            set.train.pixels.iter().filter(|&&p| p == 0).count(),
            2 * 256 - 160
        );
        let set = finish(Path::new("x"), grey(3), &options).unwrap();
        assert_eq!(set.content, (16, 16));
        assert!(set.train.pixels.iter().all(|&p| p == 200));
        let set = finish(Path::new("x"), grey(1), &LoadOptions::default()).unwrap();
        assert_eq!(
            (set.train.height, set.train.width, set.content),
            (10, 10, (8, 10))
        );
    }
}

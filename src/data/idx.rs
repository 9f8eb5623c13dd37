//! IDX, the format of MNIST: a magic number, big-endian sizes, then plain bytes.
//!
//! Bytes 0 and 1 are zero, byte 2 is the type (8 for unsigned bytes), byte 3 the number of
//! dimensions; then each size in 32 bits. Images are `[N, H, W]` or `[N, H, W, C]`, labels `[N]`.

use super::source::{Source, Stream};
use super::{DataError, Dataset, Images, LoadOptions, Loader, Parts, finish};
use std::path::Path;

/// Reads IDX files, plain or gzip: a folder of them, or one file of images.
pub struct Idx;

impl Loader for Idx {
    fn name(&self) -> &'static str {
        "idx"
    }

    fn reads(&self) -> &'static str {
        "a folder with train-images-idx3-ubyte (and its labels, plain or .gz) or one such file"
    }

    fn recognises(&self, source: &Source) -> bool {
        if source.is_folder() {
            return source.files().iter().any(|file| is_images(file));
        }
        let Some(file) = source.files().first() else {
            return false;
        };
        if is_images(file) {
            return true;
        }
        let Ok(mut stream) = Stream::open(source, file) else {
            return false;
        };
        matches!(stream.read(4).as_deref(), Ok([0, 0, 8, 3 | 4]))
    }

    fn load(&self, source: &Source, options: &LoadOptions) -> Result<Dataset, DataError> {
        let (train, test) = if source.is_folder() {
            let (test, train) = (source.files().iter())
                .filter(|file| is_images(file))
                // Of a file that is there plain and packed, the plain one is read.
                .filter(|file| {
                    !file
                        .strip_suffix(".gz")
                        .is_some_and(|plain| source.has(plain))
                })
                .partition::<Vec<_>, _>(|file| is_test(file));
            for several in [&train, &test] {
                if let [first, second, ..] = several[..] {
                    return Err(DataError::Ambiguous {
                        path: source.path().into(),
                        first: first.clone(),
                        second: second.clone(),
                    });
                }
            }
            let Some(train) = train.first() else {
                return Err(DataError::Empty {
                    path: source.path().into(),
                    expected: "train-images-idx3-ubyte or train-images-idx3-ubyte.gz".into(),
                });
            };
            (train.as_str(), test.first().map(|test| test.as_str()))
        } else {
            (source.files()[0].as_str(), None)
        };
        let train = read_pair(source, train)?;
        let test = test.map(|test| read_pair(source, test)).transpose()?;
        let class_names = number_names([Some(&train), test.as_ref()]);
        let parts = Parts {
            train,
            test,
            class_names,
        };
        finish(source.path(), parts, options)
    }

    #[cfg(test)]
    fn example(&self, folder: &Path) -> super::tests::Example {
        tests::example(folder)
    }
}

fn file_name(file: &str) -> String {
    file.rsplit('/').next().unwrap_or(file).to_lowercase()
}

fn is_images(file: &str) -> bool {
    let name = file_name(file);
    name.contains("images") && (name.contains("idx3") || name.contains("idx4"))
}

fn is_test(file: &str) -> bool {
    let name = file_name(file);
    name.contains("t10k") || name.contains("test")
}

/// "0", "1" … up to the largest label.
fn number_names(parts: [Option<&Images>; 2]) -> Vec<String> {
    let labels = parts
        .into_iter()
        .flatten()
        .filter_map(|images| images.labels.as_ref());
    match labels.flatten().max() {
        Some(&largest) => (0..=largest).map(|label| label.to_string()).collect(),
        None => Vec::new(),
    }
}

/// Images and, where the file beside them exists, their labels.
fn read_pair(source: &Source, file: &str) -> Result<Images, DataError> {
    let mut stream = Stream::open(source, file)?;
    let mut images = read_images(&mut stream)?;
    stream.expect_end()?;
    if let Some(labels_file) = labels_beside(source, file) {
        let mut stream = Stream::open(source, &labels_file)?;
        let labels = read_labels(&mut stream)?;
        stream.expect_end()?;
        attach(&mut images, labels, &stream.path)?;
    }
    Ok(images)
}

/// Gives images their labels, one each.
pub(super) fn attach(images: &mut Images, labels: Vec<u8>, path: &Path) -> Result<(), DataError> {
    if labels.len() != images.len() {
        return Err(DataError::LabelCount {
            path: path.into(),
            labels: labels.len(),
            images: images.len(),
        });
    }
    images.labels = Some(labels);
    Ok(())
}

fn labels_beside(source: &Source, file: &str) -> Option<String> {
    let (folder, name) = file.rsplit_once('/').map_or(("", file), |(f, n)| (f, n));
    let name = (name.replace("images", "labels"))
        .replace("idx3", "idx1")
        .replace("idx4", "idx1");
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let folder = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    [format!("{folder}{plain}"), format!("{folder}{plain}.gz")]
        .into_iter()
        .find(|labels| labels != file && source.has(labels))
}

/// The sizes in an IDX header, which must have one of these numbers of dimensions.
fn read_sizes(stream: &mut Stream, dimensions: &[u8], what: &str) -> Result<Vec<u64>, DataError> {
    let magic = stream.read(4)?;
    let found = match magic[..] {
        [0, 0, 8, found] if dimensions.contains(&found) => found,
        _ => {
            return Err(DataError::Corrupt {
                path: stream.path.clone(),
                format: "IDX",
                reason: format!(
                    "{what} begin with the bytes 00 00 08 {:02x}, this with {:02x} {:02x} {:02x} {:02x}",
                    dimensions[0], magic[0], magic[1], magic[2], magic[3]
                ),
            });
        }
    };
    let sizes = stream.read(4 * u64::from(found))?;
    Ok((sizes.chunks_exact(4))
        .map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]])))
        .collect())
}

/// What an IDX file of images, [N, H, W] or [N, H, W, C], says of itself.
pub(super) struct ImagesHeader {
    sizes: Vec<u64>,
    /// Bytes of pixels that follow.
    pub bytes: u64,
}

impl ImagesHeader {
    /// Reads it; what follows is left in the stream.
    pub fn read(stream: &mut Stream) -> Result<Self, DataError> {
        let sizes = read_sizes(stream, &[3, 4], "images")?;
        let channels = sizes.get(3).copied().unwrap_or(1);
        let product = sizes.iter().try_fold(1u64, |a, &b| a.checked_mul(b));
        if product == Some(0) || !matches!(channels, 1 | 3) {
            return Err(DataError::Corrupt {
                path: stream.path.clone(),
                format: "IDX",
                reason: format!("its header claims images of the shape {sizes:?}"),
            });
        }
        // A header that overflows 64 bits is refused as too large.
        let bytes = product.unwrap_or(u64::MAX);
        stream.check_size(bytes)?;
        Ok(Self { sizes, bytes })
    }

    /// The images of these pixels.
    pub fn images(&self, pixels: Vec<u8>) -> Result<Images, DataError> {
        let size = |i: usize| self.sizes.get(i).map_or(1, |&s| s as usize);
        Images::new(size(1), size(2), size(3), pixels, None)
    }
}

/// Reads one IDX file of images, [N, H, W] or [N, H, W, C]; what follows is left in the stream.
pub(super) fn read_images(stream: &mut Stream) -> Result<Images, DataError> {
    let header = ImagesHeader::read(stream)?;
    let pixels = stream.read(header.bytes)?;
    header.images(pixels)
}

/// Reads one IDX file of labels, `[N]`; what follows is left in the stream.
pub(super) fn read_labels(stream: &mut Stream) -> Result<Vec<u8>, DataError> {
    let sizes = read_sizes(stream, &[1], "labels")?;
    stream.read(sizes[0])
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Example;
    use super::*;
    use std::fs;
    use std::io::Write;

    pub fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, sizes.len() as u8];
        file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        file.extend_from_slice(bytes);
        file
    }

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn ramp(count: usize) -> Vec<u8> {
        (0..count).map(|i| (i * 7 % 251) as u8).collect()
    }

    const TRAIN: &str = "train-images-idx3-ubyte";
    const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";

    pub fn example(folder: &Path) -> Example {
        let whole = folder.join("whole");
        let train = idx(&[5, 10, 10], &ramp(500));
        let labels = idx(&[5], &[3, 1, 4, 1, 5]);
        let write = |folder: &Path, files: &[(&str, &[u8])]| {
            fs::create_dir_all(folder).unwrap();
            for (name, bytes) in files {
                fs::write(folder.join(name), bytes).unwrap();
            }
            folder.to_path_buf()
        };
        write(
            &whole,
            &[
                (TRAIN, &train),
                (TRAIN_LABELS, &labels),
                (
                    "t10k-images-idx3-ubyte.gz",
                    &gzip(&idx(&[2, 10, 10], &ramp(200))),
                ),
                ("t10k-labels-idx1-ubyte.gz", &gzip(&idx(&[2], &[9, 0]))),
            ],
        );
        let packed = gzip(&train);
        let mut wrong_sum = packed.clone();
        let end = wrong_sum.len() - 6;
        wrong_sum[end] ^= 1;
        let damage = |name: &str, files: &[(&str, &[u8])]| write(&folder.join(name), files);
        let damaged = vec![
            (
                damage("short", &[(TRAIN, &train[..515])]),
                "515 bytes instead of 516",
            ),
            (
                damage("long", &[(TRAIN, &[&train[..], &[0]].concat())]),
                "more than 516 bytes",
            ),
            (
                damage("header", &[(TRAIN, &train[..9])]),
                "9 bytes instead of 16",
            ),
            (damage("nothing", &[(TRAIN, &[])]), "0 bytes instead of 4"),
            (
                damage("magic", &[(TRAIN, b"\x89PNG and more")]),
                "00 00 08 03, this with 89 50",
            ),
            (
                damage("none", &[(TRAIN, &idx(&[0, 10, 10], &[]))]),
                "[0, 10, 10]",
            ),
            (
                damage("huge", &[(TRAIN, &idx(&[u32::MAX, 64, 64], &ramp(99)))]),
                "17592186040320 bytes, more than",
            ),
            (
                damage("vast", &[(TRAIN, &idx(&[u32::MAX; 3], &ramp(99)))]),
                "more than the 2147483648 allowed",
            ),
            (
                damage("tiny", &[(TRAIN, &idx(&[2, 7, 7], &ramp(98)))]),
                "7 by 7 pixels",
            ),
            (
                damage("large", &[(TRAIN, &idx(&[1, 65, 8], &ramp(520)))]),
                "65 by 8 pixels",
            ),
            (
                damage(
                    "labels",
                    &[(TRAIN, &train), (TRAIN_LABELS, &idx(&[4], &[0; 4]))],
                ),
                "4 labels for 5 images",
            ),
            (
                damage("swapped", &[(TRAIN, &train), (TRAIN_LABELS, &train)]),
                "labels begin with the bytes 00 00 08 01",
            ),
            (
                damage(
                    "gz",
                    &[("train-images-idx3-ubyte.gz", &packed[..packed.len() - 20])],
                ),
                "not a valid gzip file",
            ),
            (
                damage("sum", &[("train-images-idx3-ubyte.gz", &wrong_sum)]),
                "not a valid gzip file",
            ),
            (
                damage(
                    "two",
                    &[(TRAIN, &train), ("emnist-images-idx3-ubyte", &train)],
                ),
                "several training sets",
            ),
            (
                damage("test only", &[("t10k-images-idx3-ubyte", &train)]),
                "holds no image",
            ),
            (
                damage(
                    "shapes",
                    &[
                        (TRAIN, &train),
                        ("test-images-idx3-ubyte", &idx(&[1, 8, 8], &ramp(64))),
                    ],
                ),
                "(10, 10, 1) and its test images (8, 8, 1)",
            ),
        ];
        Example {
            path: whole,
            train: 5,
            test: Some(2),
            shape: [10, 10, 1],
            first: ramp(100),
            label: Some(3),
            damaged,
        }
    }

    #[test]
    fn one_file_is_read_with_the_labels_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let train = example(folder.path()).path.join(TRAIN);
        let whole = LoadOptions {
            holdout: 0.0,
            ..Default::default()
        };
        let set = super::super::open(train.to_str().unwrap(), &whole).unwrap();
        assert_eq!(set.train.labels, Some(vec![3, 1, 4, 1, 5]));
        assert_eq!(set.class_names, ["0", "1", "2", "3", "4", "5"]);
        // Whatever it is called, and packed too.
        let other = folder.path().join("pictures");
        fs::write(&other, gzip(&fs::read(&train).unwrap())).unwrap();
        let set = super::super::open(other.to_str().unwrap(), &whole).unwrap();
        assert_eq!((set.train.len(), set.train.labels), (5, None));
    }

    #[test]
    fn four_dimensions_are_colour() {
        let colour = idx(&[2, 8, 8, 3], &ramp(384));
        let source = Source::from_bytes("train-images-idx4-ubyte", colour);
        let whole = LoadOptions {
            holdout: 0.0,
            ..Default::default()
        };
        let set = super::super::open_source(&source, &whole).unwrap();
        assert_eq!(set.train, Images::new(8, 8, 3, ramp(384), None).unwrap());
    }
}

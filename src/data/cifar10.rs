//! CIFAR-10 in its binary version: records of one label byte, then 1024 red, 1024 green and 1024
//! blue bytes of a 32×32 image, row by row (Krizhevsky 2009).

use super::source::{Source, Stream};
use super::{DataError, Dataset, Images, LoadOptions, Loader, MAX_BYTES, Parts, finish};
use std::io::Read;
use std::path::Path;

/// Reads CIFAR-10's binary batches: the folder, the .tar.gz or .tar as published, or one batch.
pub struct Cifar10;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;

const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

impl Loader for Cifar10 {
    fn name(&self) -> &'static str {
        "cifar10"
    }

    fn reads(&self) -> &'static str {
        "CIFAR-10's binary batches (the folder, its .tar.gz, or one data_batch_1.bin)"
    }

    fn recognises(&self, source: &Source) -> bool {
        source.files().iter().any(|file| part_of(file).is_some())
            || (!source.is_folder() && is_archive(&source.lower_name()))
    }

    fn load(&self, source: &Source, options: &LoadOptions) -> Result<Dataset, DataError> {
        let mut batches = if !source.is_folder() && is_archive(&source.lower_name()) {
            read_archive(source)?
        } else {
            let mut batches = Vec::new();
            for file in source.files() {
                if let Some(part) = part_of(file) {
                    let mut stream = Stream::open(source, file)?;
                    let bytes = stream.read_all()?;
                    batches.push((part, file.clone(), bytes));
                }
            }
            batches
        };
        // By length before name, so that batch 10 follows batch 9.
        batches.sort_by(|a, b| (a.0, a.1.len(), &a.1).cmp(&(b.0, b.1.len(), &b.1)));
        let (mut train, mut test) = (empty(), empty());
        let no_training_batch = batches.iter().all(|(part, ..)| *part == Part::Test);
        for (part, file, bytes) in batches {
            let images = match part {
                // One test batch alone is a set like another.
                Part::Test if !no_training_batch || source.is_folder() => &mut test,
                _ => &mut train,
            };
            append(images, &bytes, &source.path_of(&file))?;
        }
        if train.is_empty() {
            return Err(DataError::Empty {
                path: source.path().into(),
                expected: "data_batch_1.bin to data_batch_5.bin and test_batch.bin, the binary \
                           version of CIFAR-10"
                    .into(),
            });
        }
        let parts = Parts {
            train,
            test: (!test.is_empty()).then_some(test),
            class_names: CLASSES.map(String::from).to_vec(),
        };
        finish(source.path(), parts, options)
    }

    #[cfg(test)]
    fn example(&self, folder: &Path) -> super::tests::Example {
        tests::example(folder)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Train,
    Test,
}

fn part_of(file: &str) -> Option<Part> {
    let name = file.rsplit('/').next().unwrap_or(file);
    match name.strip_suffix(".bin")? {
        "test_batch" => Some(Part::Test),
        other => other.starts_with("data_batch").then_some(Part::Train),
    }
}

fn is_archive(name: &str) -> bool {
    [".tar.gz", ".tgz", ".tar"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn empty() -> Images {
    Images {
        height: SIDE,
        width: SIDE,
        channels: 3,
        pixels: Vec::new(),
        labels: Some(Vec::new()),
    }
}

type Batches = Vec<(Part, String, Vec<u8>)>;

fn read_archive(source: &Source) -> Result<Batches, DataError> {
    let file = &source.files()[0];
    let Stream {
        path,
        packing,
        reader,
        ..
    } = Stream::open(source, file)?;
    let format = if packing.is_some() { "tar.gz" } else { "tar" };
    let corrupt = |reason: std::io::Error| DataError::Corrupt {
        path: path.clone(),
        format,
        reason: reason.to_string(),
    };
    let mut archive = tar::Archive::new(reader);
    let mut batches = Batches::new();
    let mut total = 0;
    for entry in archive.entries().map_err(corrupt)? {
        let entry = entry.map_err(corrupt)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(part) = part_of(&name) else {
            continue;
        };
        let size = entry.size();
        total += size.min(MAX_BYTES);
        if total > MAX_BYTES || size > MAX_BYTES {
            return Err(DataError::TooLarge {
                path: path.join(name),
                bytes: size,
                limit: MAX_BYTES,
            });
        }
        let mut bytes = Vec::new();
        entry.take(size).read_to_end(&mut bytes).map_err(corrupt)?;
        if bytes.len() as u64 != size {
            return Err(DataError::Length {
                path: path.join(name),
                expected: size.to_string(),
                found: bytes.len().to_string(),
            });
        }
        batches.push((part, name, bytes));
    }
    // To the end, so that gzip compares its checksum.
    let mut rest = archive.into_inner().take(MAX_BYTES);
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(corrupt)?;
    Ok(batches)
}

/// Adds a batch, its planes turned to [H, W, C].
fn append(images: &mut Images, batch: &[u8], path: &Path) -> Result<(), DataError> {
    if batch.is_empty() || !batch.len().is_multiple_of(RECORD) {
        return Err(DataError::Length {
            path: path.into(),
            expected: format!("a multiple of {RECORD}"),
            found: batch.len().to_string(),
        });
    }
    images.pixels.reserve(batch.len() / RECORD * 3 * PLANE);
    for (index, record) in batch.chunks_exact(RECORD).enumerate() {
        let (label, planes) = (record[0], &record[1..]);
        if usize::from(label) >= CLASSES.len() {
            return Err(DataError::Corrupt {
                path: path.into(),
                format: "CIFAR-10",
                reason: format!("record {index} has the label {label}, above 9"),
            });
        }
        let pixels = (0..PLANE).flat_map(|i| [0, 1, 2].map(|c| planes[c * PLANE + i]));
        images.pixels.extend(pixels);
        images.labels.get_or_insert_default().push(label);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::idx::tests::gzip;
    use super::super::tests::Example;
    use super::super::{open, open_source};
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn record(label: u8, shade: u8) -> Vec<u8> {
        let mut record = vec![label];
        for channel in 0..3u8 {
            record.extend((0..PLANE).map(|i| shade.wrapping_add(channel * 50 + (i % 32) as u8)));
        }
        record
    }

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn files() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("cifar-10-batches-bin/test_batch.bin", record(9, 1)),
            ("cifar-10-batches-bin/data_batch_2.bin", record(7, 2)),
            (
                "cifar-10-batches-bin/data_batch_1.bin",
                [record(6, 3), record(2, 4)].concat(),
            ),
            (
                "cifar-10-batches-bin/batches.meta.txt",
                b"airplane\n".to_vec(),
            ),
        ]
    }

    fn archive() -> Vec<u8> {
        let files = files();
        let files: Vec<_> = files.iter().map(|(n, b)| (*n, b.as_slice())).collect();
        tar(&files)
    }

    pub fn example(folder: &Path) -> Example {
        let path = folder.join("whole");
        for (name, bytes) in files() {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        let damage = |name: &str, bytes: &[u8]| -> PathBuf {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, bytes).unwrap();
            file
        };
        let whole = gzip(&archive());
        let mut wrong_sum = whole.clone();
        let end = wrong_sum.len() - 6;
        wrong_sum[end] ^= 1;
        let cut = tar(&[("data_batch_1.bin", &record(1, 1)[..3000])]);
        let mut giant = archive();
        // The size of the first entry in octal, and the checksum that goes with it.
        giant[124..136].copy_from_slice(b"77777777777\0");
        giant[148..156].fill(b' ');
        let sum: u32 = giant[..512].iter().map(|&b| u32::from(b)).sum();
        giant[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let damaged = vec![
            (
                damage("a/data_batch_1.bin", &record(1, 1)[..3072]),
                "3072 bytes instead of a multiple",
            ),
            (
                damage("b/data_batch_1.bin", &[]),
                "0 bytes instead of a multiple",
            ),
            (
                damage("c/data_batch_1.bin", &record(10, 1)),
                "the label 10, above 9",
            ),
            (
                damage("d.tar.gz", &whole[..whole.len() / 2]),
                "not a valid tar.gz file",
            ),
            (damage("e.tar.gz", &wrong_sum), "not a valid tar.gz file"),
            (damage("f.tar", &archive()[..700]), "truncated"),
            (damage("g.tar", &[b'x'; 1024]), "not a valid tar file"),
            (damage("h.tar", &cut), "3000 bytes instead of a multiple"),
            (
                damage("i.tar.gz", &gzip(&giant)),
                "8589934591 bytes, more than",
            ),
            (
                damage(
                    "j.tar.gz",
                    &gzip(&tar(&[("cifar-10-batches-py/data_batch_1", b"x")])),
                ),
                "the binary version of CIFAR-10",
            ),
            (
                damage("k/test_batch.bin", &record(1, 1))
                    .parent()
                    .unwrap()
                    .into(),
                "data_batch_1",
            ),
        ];
        let first = (0..PLANE).flat_map(|i| [0, 50, 100].map(|c| 3 + c + (i % 32) as u8));
        Example {
            path,
            train: 3,
            test: Some(1),
            shape: [32, 32, 3],
            first: first.collect(),
            label: Some(6),
            damaged,
        }
    }

    #[test]
    fn archives_are_as_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = example(folder.path()).path;
        let options = LoadOptions::default();
        let disk = open(path.to_str().unwrap(), &options).unwrap();
        assert_eq!(disk.train.labels, Some(vec![6, 2, 7]));
        assert_eq!(disk.class_names[9], "truck");
        for (name, bytes) in [
            ("cifar-10-binary.tar.gz", gzip(&archive())),
            ("c.tgz", gzip(&archive())),
            ("c.tar", archive()),
        ] {
            let packed = open_source(&Source::from_bytes(name, bytes), &options).unwrap();
            assert_eq!((&packed.train, &packed.test), (&disk.train, &disk.test));
        }
    }
}

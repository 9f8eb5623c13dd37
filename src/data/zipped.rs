//! A .zip of pictures.

use super::encoded::{MAX_FILE, PICTURES, Reading, is_picture};
use super::source::{ReadSeek, Source};
use super::{DataError, Dataset, LoadOptions, Loader, Opening};
use std::io::Read;
use std::path::Path;
use zip::ZipArchive;
use zip::result::ZipError;

/// Reads a .zip of pictures without unpacking it; otherwise as a folder of them.
pub struct Zipped;

impl Loader for Zipped {
    fn name(&self) -> &'static str {
        "zip"
    }

    fn reads(&self) -> &'static str {
        "a .zip of pictures"
    }

    fn recognises(&self, source: &Source) -> bool {
        !source.is_folder()
            && (source.lower_name().ends_with(".zip")
                || (source.files().iter()).any(|file| source.peek(file, 4) == *b"PK\x03\x04"))
    }

    fn load(&self, source: &Source, options: &LoadOptions) -> Result<Dataset, DataError> {
        let reader = source.open(&source.files()[0])?;
        reading(source.path(), reader, options)?.run()
    }

    fn begin(&self, source: Source, options: &LoadOptions) -> Result<Box<dyn Opening>, DataError> {
        let path = source.path().to_path_buf();
        let reader = source.into_reader()?;
        Ok(Box::new(reading(&path, reader, options)?))
    }

    #[cfg(test)]
    fn example(&self, folder: &Path) -> super::tests::Example {
        tests::example(folder)
    }
}

fn reading<'a>(
    path: &Path,
    reader: Box<dyn ReadSeek + 'a>,
    options: &LoadOptions,
) -> Result<Reading<'a>, DataError> {
    let mut archive = ZipArchive::new(reader).map_err(|e| zip_error(path, e))?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let entry = archive
            .by_index_data(index)
            .map_err(|e| zip_error(path, e))?;
        let name = entry.name().map_err(|e| zip_error(path, e))?;
        // A folder may be called `a.png/`.
        if !name.ends_with('/') && is_picture(&name) {
            entries.push((name.into_owned(), index));
        }
    }
    if entries.is_empty() {
        return Err(DataError::Empty {
            path: path.into(),
            expected: PICTURES.into(),
        });
    }
    entries.sort_unstable();
    let (names, indices): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let root = path.to_path_buf();
    let read = move |i: usize, name: &str| {
        let file = root.join(name);
        let entry = (archive.by_index(indices[i])).map_err(|e| zip_error(&file, e))?;
        let too_large = |bytes| DataError::TooLarge {
            path: file.clone(),
            bytes,
            limit: MAX_FILE,
        };
        if entry.size() > MAX_FILE {
            return Err(too_large(entry.size()));
        }
        let mut bytes = Vec::new();
        let done = entry.take(MAX_FILE + 1).read_to_end(&mut bytes);
        done.map_err(|e| zip_error(&file, e.into()))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    };
    Ok(Reading::new(path, names, read, options))
}

fn zip_error(path: &Path, error: ZipError) -> DataError {
    DataError::Corrupt {
        path: path.into(),
        format: "zip",
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoded::tests::picture;
    use super::super::tests::Example;
    use super::*;
    use std::fs;
    use std::io::{Cursor, Write};
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    pub fn example(folder: &Path) -> Example {
        let whole = zipped(&[
            ("set/b/2.png", picture("a.png", 11, 11, 20, 1)),
            ("set/b/3.png", picture("a.png", 11, 11, 30, 1)),
            ("set/b/4.png", picture("a.png", 11, 11, 40, 1)),
            ("set/a/1.png", picture("a.png", 11, 11, 10, 1)),
            ("set/readme.md", b"hello".to_vec()),
            ("__MACOSX/set/a/._1.png", b"not a picture".to_vec()),
        ]);
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        // A byte of the first picture's packed bytes.
        let mut wrong_sum = whole.clone();
        wrong_sum[60] ^= 0xff;
        // The unpacked size of the first entry, in the central directory.
        let mut giant = zipped(&[("a.png", vec![0; 64])]);
        let central = giant.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        giant[central + 24..central + 28].copy_from_slice(&0xf000_0000u32.to_le_bytes());
        let damaged = vec![
            (
                write("cut.zip", &whole[..whole.len() / 2]),
                "not a valid zip file",
            ),
            (write("nothing.zip", &[]), "not a valid zip file"),
            (write("sum.zip", &wrong_sum), "set/b/2.png"),
            (write("giant.zip", &giant), "4026531840 bytes, more than"),
            (write("empty.zip", &zipped(&[])), "holds no image"),
            (
                write("text.zip", &zipped(&[("a.txt", vec![1])])),
                "holds no image",
            ),
            (
                write("bad.zip", &zipped(&[("a.png", b"nonsense".to_vec())])),
                "a.png' cannot be decoded",
            ),
            (
                write(
                    "mixed.zip",
                    &zipped(&[
                        ("a.png", picture("a.png", 9, 9, 1, 3)),
                        ("b.png", picture("a.png", 9, 9, 1, 1)),
                    ]),
                ),
                "b.png' has 1",
            ),
        ];
        Example {
            path: write("whole.zip", &whole),
            train: 4,
            test: None,
            shape: [11, 11, 1],
            first: vec![10; 121],
            label: Some(0),
            damaged,
        }
    }
}

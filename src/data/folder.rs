//! A folder of pictures.

use super::encoded::{MAX_FILE, PICTURES, Reading, is_picture};
use super::source::{Source, io_error};
use super::{DataError, Dataset, LoadOptions, Loader, Opening};
use std::borrow::Borrow;
use std::io::Read;
#[cfg(test)]
use std::path::Path;

/// Reads a folder of pictures of any size and format that the `image` crate knows; sub-folders
/// are classes, or `train` and `test`. Files that are no pictures are passed over.
pub struct Folder;

impl Loader for Folder {
    fn name(&self) -> &'static str {
        "folder"
    }

    fn reads(&self) -> &'static str {
        "a folder of pictures"
    }

    fn recognises(&self, source: &Source) -> bool {
        source.is_folder()
    }

    fn load(&self, source: &Source, options: &LoadOptions) -> Result<Dataset, DataError> {
        reading(source, options)?.run()
    }

    fn begin(&self, source: Source, options: &LoadOptions) -> Result<Box<dyn Opening>, DataError> {
        Ok(Box::new(reading(source, options)?))
    }

    #[cfg(test)]
    fn example(&self, folder: &Path) -> super::tests::Example {
        tests::example(folder)
    }
}

fn reading<'a>(
    source: impl Borrow<Source> + 'a,
    options: &LoadOptions,
) -> Result<Reading<'a>, DataError> {
    let folder = source.borrow();
    let names: Vec<_> = (folder.files().iter())
        .filter(|name| is_picture(name))
        .cloned()
        .collect();
    let root = folder.path().to_path_buf();
    if names.is_empty() {
        return Err(DataError::Empty {
            path: root,
            expected: PICTURES.into(),
        });
    }
    let read = move |_, name: &str| {
        let source = source.borrow();
        let path = source.path_of(name);
        let mut bytes = Vec::new();
        (source.open(name)?.take(MAX_FILE + 1))
            .read_to_end(&mut bytes)
            .map_err(|e| io_error(&path, e))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(DataError::TooLarge {
                path,
                bytes: bytes.len() as u64,
                limit: MAX_FILE,
            });
        }
        Ok(bytes)
    };
    Ok(Reading::new(&root, names, read, options))
}

#[cfg(test)]
mod tests {
    use super::super::encoded::tests::picture;
    use super::super::open;
    use super::super::tests::Example;
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn write(folder: PathBuf, files: &[(&str, Vec<u8>)]) -> PathBuf {
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        folder
    }

    pub fn example(folder: &Path) -> Example {
        let path = write(
            folder.join("whole"),
            &[
                ("dogs/1.png", picture("a.png", 9, 9, 10, 3)),
                ("dogs/2.png", picture("a.png", 9, 9, 20, 3)),
                ("dogs/notes.txt", b"not a picture".to_vec()),
                ("cats/1.png", picture("a.png", 9, 9, 40, 3)),
                ("cats/.hidden.png", b"not a picture".to_vec()),
            ],
        );
        let png = picture("a.png", 9, 9, 1, 3);
        let damaged = vec![
            (write(folder.join("empty"), &[]), "holds no image"),
            (
                write(folder.join("text"), &[("a.txt", b"x".to_vec())]),
                "holds no image",
            ),
            (
                write(
                    folder.join("bad"),
                    &[("a.png", png.clone()), ("b.png", b"nonsense".to_vec())],
                ),
                "b.png' cannot be decoded",
            ),
            (
                write(
                    folder.join("cut"),
                    &[("a.png", png[..png.len() / 2].to_vec())],
                ),
                "a.png' cannot be decoded",
            ),
            (
                write(
                    folder.join("mixed"),
                    &[("a.png", png), ("b.png", picture("a.png", 9, 9, 1, 1))],
                ),
                "b.png' has 1",
            ),
        ];
        Example {
            path,
            train: 3,
            test: None,
            shape: [9, 9, 3],
            first: [40, 20, 10].repeat(81),
            label: Some(0),
            damaged,
        }
    }

    #[test]
    fn a_train_and_a_test_folder_are_the_split() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(
            folder.path().join("set"),
            &[
                ("train/a/1.png", picture("a.png", 8, 8, 1, 1)),
                ("train/b/2.png", picture("a.png", 8, 8, 2, 1)),
                ("test/b/3.png", picture("a.png", 8, 8, 3, 1)),
            ],
        );
        let reports = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = reports.clone();
        let options = LoadOptions {
            progress: Some(std::sync::Arc::new(move |done, total| {
                heard.lock().unwrap().push((done, total));
            })),
            ..Default::default()
        };
        let set = open(path.to_str().unwrap(), &options).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (2, 1));
        assert_eq!(set.test.pixels, [3; 64]);
        assert_eq!(set.test.labels, Some(vec![1]));
        assert_eq!((set.name.as_str(), set.class_names.len()), ("set", 2));
        assert_eq!(*reports.lock().unwrap(), [(3, 3)]);
    }
}

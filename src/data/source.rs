//! What a loader reads from: a file, a folder, or either of them in memory (as a page has them).

use super::{DataError, MAX_BYTES};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

/// A reader that can go back, as archives need.
pub trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// How deep folders are looked into.
const MAX_DEPTH: usize = 16;

/// A file or a folder, on disk or in memory.
pub struct Source {
    path: PathBuf,
    is_folder: bool,
    /// Of a folder every file at any depth, `/` between the parts, sorted; of a file its name.
    files: Vec<String>,
    memory: Option<BTreeMap<String, Vec<u8>>>,
}

impl Source {
    /// A file or folder on disk. Names that begin with a dot are left out of folders.
    ///
    /// # Errors
    /// [`DataError::Io`] if it cannot be read.
    pub fn from_path(path: &Path) -> Result<Self, DataError> {
        let is_folder = fs::metadata(path).map_err(|e| io_error(path, e))?.is_dir();
        let mut files = Vec::new();
        if is_folder {
            walk(path, "", 0, &mut files)?;
            files.sort_unstable();
        } else {
            files.push(name_of(path));
        }
        Ok(Self {
            path: path.into(),
            is_folder,
            files,
            memory: None,
        })
    }

    /// The contents of one file; messages call it `name`.
    pub fn from_bytes(name: impl AsRef<Path>, bytes: Vec<u8>) -> Self {
        let path = name.as_ref();
        Self {
            path: path.into(),
            is_folder: false,
            files: vec![name_of(path)],
            memory: Some(BTreeMap::from([(name_of(path), bytes)])),
        }
    }

    /// A folder in memory: contents by name within it, `/` between the parts.
    pub fn from_files(name: impl AsRef<Path>, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            path: name.as_ref().into(),
            is_folder: true,
            files: files.keys().cloned().collect(),
            memory: Some(files),
        }
    }

    /// Path, or the name it has in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The files in it, sorted: of a folder names within it, of a file just its name.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The last part of its path, in lower case.
    pub fn lower_name(&self) -> String {
        name_of(&self.path).to_lowercase()
    }

    /// The path of one of its [`Self::files`].
    pub fn path_of(&self, file: &str) -> PathBuf {
        if self.is_folder {
            self.path.join(file)
        } else {
            self.path.with_file_name(file)
        }
    }

    /// Whether there is such a file; beside it, if this is a file on disk.
    pub fn has(&self, file: &str) -> bool {
        match &self.memory {
            Some(memory) => memory.contains_key(file),
            None => self.path_of(file).is_file(),
        }
    }

    /// Opens one of its files, or on disk one beside it.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn open(&self, file: &str) -> Result<Box<dyn ReadSeek + '_>, DataError> {
        let path = self.path_of(file);
        match &self.memory {
            Some(memory) => match memory.get(file) {
                Some(bytes) => Ok(Box::new(Cursor::new(bytes.as_slice()))),
                None => Err(io_error(&path, io::ErrorKind::NotFound.into())),
            },
            None => match fs::File::open(&path) {
                Ok(file) => Ok(Box::new(BufReader::with_capacity(1 << 16, file))),
                Err(e) => Err(io_error(&path, e)),
            },
        }
    }

    /// The one file that it is.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn into_reader(self) -> Result<Box<dyn ReadSeek>, DataError> {
        match self.memory {
            Some(memory) => {
                let bytes = memory.into_values().next().unwrap_or_default();
                Ok(Box::new(Cursor::new(bytes)))
            }
            None => match fs::File::open(&self.path) {
                Ok(file) => Ok(Box::new(BufReader::with_capacity(1 << 16, file))),
                Err(e) => Err(io_error(&self.path, e)),
            },
        }
    }

    /// The first `count` bytes of a file, fewer if it is shorter or cannot be read.
    pub fn peek(&self, file: &str, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(reader) = self.open(file) {
            // What cannot be read is told when the file is loaded.
            let _ = reader.take(count).read_to_end(&mut bytes);
        }
        bytes
    }
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<String>,
) -> Result<(), DataError> {
    for entry in fs::read_dir(folder).map_err(|e| io_error(folder, e))? {
        let entry = entry.map_err(|e| io_error(folder, e))?;
        let path = entry.path();
        let name = name_of(&path);
        if name.starts_with('.') {
            continue;
        }
        let relative = format!("{prefix}{name}");
        // Links to files are followed, links to folders are not: they can run in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < MAX_DEPTH {
                walk(&path, &format!("{relative}/"), depth + 1, files)?;
            }
        } else if path.is_file() {
            files.push(relative);
        }
    }
    Ok(())
}

pub(super) fn io_error(path: &Path, reason: io::Error) -> DataError {
    DataError::Io {
        path: path.into(),
        reason,
    }
}

/// A stream of bytes that may be unpacked on the way, and knows what to say when it breaks.
pub(super) struct Stream<'a> {
    pub path: PathBuf,
    /// How the bytes are packed, if they are.
    pub packing: Option<&'static str>,
    pub reader: Box<dyn Read + 'a>,
    /// Bytes read so far.
    pub done: u64,
}

impl<'a> Stream<'a> {
    /// A file of `source`, unpacked if it begins as gzip does.
    pub fn open(source: &'a Source, file: &str) -> Result<Self, DataError> {
        let path = source.path_of(file);
        let packed = source.peek(file, 2) == [0x1f, 0x8b];
        let reader = source.open(file)?;
        Ok(if packed {
            let reader = Box::new(flate2::read::MultiGzDecoder::new(reader));
            Self {
                path,
                packing: Some("gzip"),
                reader,
                done: 0,
            }
        } else {
            Self {
                path,
                packing: None,
                reader: Box::new(reader),
                done: 0,
            }
        })
    }

    /// What to say of a failed read: damage if the bytes are packed, else the system's word.
    pub fn error(&self, reason: io::Error) -> DataError {
        match self.packing {
            Some(format) => DataError::Corrupt {
                path: self.path.clone(),
                format,
                reason: reason.to_string(),
            },
            None => io_error(&self.path, reason),
        }
    }

    /// Refuses more than [`MAX_BYTES`].
    pub fn check_size(&self, bytes: u64) -> Result<(), DataError> {
        if bytes > MAX_BYTES {
            return Err(DataError::TooLarge {
                path: self.path.clone(),
                bytes,
                limit: MAX_BYTES,
            });
        }
        Ok(())
    }

    /// Reads exactly `count` bytes; memory grows with what is there, not with what is asked for.
    pub fn read(&mut self, count: u64) -> Result<Vec<u8>, DataError> {
        self.check_size(count)?;
        let mut bytes = Vec::new();
        let done = (&mut self.reader).take(count).read_to_end(&mut bytes);
        done.map_err(|e| self.error(e))?;
        let expected = self.done + count;
        self.done += bytes.len() as u64;
        if self.done < expected {
            return Err(DataError::Length {
                path: self.path.clone(),
                expected: expected.to_string(),
                found: self.done.to_string(),
            });
        }
        Ok(bytes)
    }

    /// Reads to the end, at most [`MAX_BYTES`].
    pub fn read_all(&mut self) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let done = (&mut self.reader)
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes);
        done.map_err(|e| self.error(e))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(DataError::TooLarge {
                path: self.path.clone(),
                bytes: bytes.len() as u64,
                limit: MAX_BYTES,
            });
        }
        Ok(bytes)
    }

    /// Checks that nothing follows; this also makes gzip compare its checksum.
    pub fn expect_end(&mut self) -> Result<(), DataError> {
        let more = self.reader.read(&mut [0]).map_err(|e| self.error(e))?;
        if more > 0 {
            return Err(DataError::Length {
                path: self.path.clone(),
                expected: self.done.to_string(),
                found: format!("more than {}", self.done),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed_sorted_without_hidden_names_or_links_in_circles() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::create_dir(root.join(".git")).unwrap();
        for file in ["z", "b/c/y", "b/x", ".hidden", ".git/config"] {
            fs::write(root.join(file), file).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        let source = Source::from_path(root).unwrap();
        assert_eq!(source.files(), ["b/c/y", "b/x", "z"]);
        assert_eq!(source.peek("b/c/y", 3), b"b/c");
        assert!(source.has("z") && !source.has("y"));
        assert!(matches!(source.open("nothing"), Err(DataError::Io { .. })));
    }

    #[test]
    fn a_huge_claim_is_refused_and_a_large_one_allocates_only_what_is_there() {
        let mut stream = Stream {
            path: "x".into(),
            packing: None,
            reader: Box::new(Cursor::new(vec![1, 2, 3])),
            done: 16,
        };
        assert!(matches!(
            stream.read(1 << 40),
            Err(DataError::TooLarge { .. })
        ));
        let error = stream.read(MAX_BYTES).unwrap_err().to_string();
        assert!(error.contains("19 bytes"), "{error}");
    }
}

//! Files that are whole or absent: written under a temporary name, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::FilesError;

/// A temporary file untouched for this long belongs to a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(10 * 60);

/// Writes the file `path` by calling `fill`, such that a crash at any moment leaves either the old
/// content or the new one, never a part.
///
/// The content goes to a temporary file in the same folder, which is flushed to the disk and then
/// renamed over `path`. If anything fails, the temporary file is removed and `path` is as before.
///
/// # Errors
/// [`FilesError::DiskFull`], [`FilesError::NotPermitted`], or [`FilesError::Write`] with the
/// system's reason, such as a missing folder.
pub fn write_atomic(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FilesError> {
    let failed = |source| FilesError::write(path, source);
    if path.file_name().is_none() || path.is_dir() {
        return Err(failed(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a folder",
        )));
    }
    remove_abandoned(path);
    let (file, mut temporary) = create_temporary(path).map_err(failed)?;
    let written = fill_and_sync(file, fill).and_then(|()| fs::rename(&temporary.path, path));
    match written {
        Ok(()) => {
            temporary.renamed = true;
            sync_folder(folder_of(path));
            Ok(())
        }
        Err(source) => Err(failed(source)),
    }
}

/// Removes the file when dropped before it was renamed, also while a panic unwinds.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The failure that led here is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn fill_and_sync(
    file: File,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    fill(&mut writer)?;
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn create_temporary(path: &Path) -> io::Result<(File, Temporary)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let candidate = folder_of(path).join(format!("{}{}-{number}.tmp", prefix(path), process()));
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&candidate)
        {
            Ok(file) => {
                return Ok((
                    file,
                    Temporary {
                        path: candidate,
                        renamed: false,
                    },
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn prefix(path: &Path) -> String {
    format!(
        ".{}.",
        path.file_name().unwrap_or_default().to_string_lossy()
    )
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Tidies up after processes that were killed while they wrote `path`; failures do not matter.
fn remove_abandoned(path: &Path) {
    let Ok(entries) = fs::read_dir(folder_of(path)) else {
        return;
    };
    let prefix = prefix(path);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let middle = name
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix(".tmp"));
        let ours = middle
            .is_some_and(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
        let age = entry
            .metadata()
            .and_then(|data| data.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        if ours && age.is_some_and(|age| age > ABANDONED_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn process() -> u32 {
    std::process::id()
}

#[cfg(target_arch = "wasm32")]
fn process() -> u32 {
    0
}

/// Makes the rename itself durable where the system can; elsewhere it is so anyway.
fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
    #[cfg(not(unix))]
    let _ = folder;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_content_replaces_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        for content in ["first, longer", "second"] {
            write_atomic(&path, |w| w.write_all(content.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn the_old_file_is_whole_until_the_new_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        write_atomic(&path, |w| {
            w.write_all(&vec![7; 3 << 20])?;
            assert_eq!(fs::read_to_string(&path)?, "old");
            assert_eq!(names(dir.path()).len(), 2);
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 3 << 20);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let error = write_atomic(&path, |w| {
            w.write_all(&vec![7; 3 << 20])?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert!(matches!(error, FilesError::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("disk is full"));
        let panicked = std::panic::catch_unwind(|| write_atomic(&path, |_| panic!("interrupted")));
        assert!(panicked.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn reasons_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("absent").join("a.txt");
        let fill = |w: &mut dyn Write| w.write_all(b"x");
        assert!(matches!(
            write_atomic(&absent, fill),
            Err(FilesError::Write { .. })
        ));
        assert!(
            write_atomic(dir.path(), fill)
                .unwrap_err()
                .to_string()
                .contains("it is a folder")
        );
        let denied = |_: &mut dyn Write| Err(io::ErrorKind::PermissionDenied.into());
        let error = write_atomic(&dir.path().join("b.txt"), denied).unwrap_err();
        assert!(matches!(error, FilesError::NotPermitted { .. }));
    }

    #[test]
    fn only_abandoned_temporaries_of_the_same_file_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let long_ago = std::time::SystemTime::now() - 2 * ABANDONED_AFTER;
        for name in [".a.txt.12-3.tmp", ".a.txt.mine.tmp", ".b.txt.12-3.tmp"] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        File::create(dir.path().join(".a.txt.12-4.tmp")).unwrap();
        write_atomic(&path, |w| w.write_all(b"x")).unwrap();
        assert_eq!(
            names(dir.path()),
            [
                ".a.txt.12-4.tmp",
                ".a.txt.mine.tmp",
                ".b.txt.12-3.tmp",
                "a.txt"
            ]
        );
    }
}

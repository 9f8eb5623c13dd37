//! The choice of kernel variants on disk: one file in the platform's cache folder, for all adapters of this machine.

use std::{fs, path::PathBuf};

use directories::ProjectDirs;
use noiselab::{
    gpu::Gpu,
    nn::tuning,
    session::{FilesError, atomic::write_atomic},
};
use serde_json::Value;

/// The file; `None` where the platform has no such folder, and in tests, which must not depend on it or change it.
pub fn file() -> Option<PathBuf> {
    if cfg!(test) {
        return None;
    }
    let folders = ProjectDirs::from("", "", "noiselab")?;
    Some(folders.cache_dir().join("kernels.json"))
}

/// Takes over what is remembered of this device. A damaged file is ignored, with a warning.
pub fn recall(gpu: &Gpu) {
    let Some(path) = file() else { return };
    recall_from(gpu, &path);
}

fn recall_from(gpu: &Gpu, path: &std::path::Path) {
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    let restored = serde_json::from_str::<Value>(&text)
        .map_err(|e| e.to_string())
        .and_then(|document| tuning::restore(gpu, &document));
    if let Err(reason) = restored {
        tracing::warn!(
            "{} cannot be used ({reason}); the kernel variants are measured anew",
            path.display()
        );
    }
}

/// Remembers what [`tuning::document`] says of a device, beside what the file has of others.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn remember(known: &Value) -> Result<(), FilesError> {
    file().map_or(Ok(()), |path| remember_in(known, &path))
}

fn remember_in(known: &Value, path: &std::path::Path) -> Result<(), FilesError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| FilesError::write(folder, e))?;
    }
    let before = fs::read_to_string(path).ok();
    let before = before.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let document = tuning::merged(before.as_ref(), known);
    write_atomic(path, |out| writeln!(out, "{document:#}"))
}

#[cfg(test)]
mod tests {
    use noiselab::{
        gpu::AdapterChoice,
        nn::tuning::{Choices, ShapeClass, Tuner},
    };

    use super::*;

    #[test]
    fn what_is_remembered_comes_back_and_a_damaged_file_does_no_harm() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("below").join("kernels.json");
        let open = || Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let gpu = open();
        recall_from(&gpu, &path);
        assert!(Choices::of(&gpu).is_empty());
        let mut tuner = Tuner::new(&gpu, &[ShapeClass::NarrowSmall], false);
        tuner.run(|_, _| {}).expect("a choice");
        remember_in(&tuning::document(&gpu), &path).expect("a file");
        let second = open();
        recall_from(&second, &path);
        assert_eq!(Choices::of(&second), Choices::of(&gpu));

        fs::write(&path, "{\"half").expect("a damaged file");
        let third = open();
        recall_from(&third, &path);
        assert!(Choices::of(&third).is_empty());
        remember_in(&tuning::document(&gpu), &path).expect("a file in its place");
        recall_from(&third, &path);
        assert!(!Choices::of(&third).is_empty());
    }
}

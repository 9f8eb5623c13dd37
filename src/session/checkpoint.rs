//! The state from which a training run resumes bit for bit: one file, written atomically.
//!
//! `DIR/noiselab/state.safetensors` holds the tensors `raw.NAME` (weights), `ema.NAME` (their
//! exponential moving average), `adam_m.NAME` and `adam_v.NAME` (Adam's moments), and in its
//! header one JSON document with everything else. As all of it is in one file, a crash at any
//! moment leaves one consistent state. `DIR/noiselab/state.json` is a copy of the document for
//! people to read; it is never read back, and may be one save behind after a crash.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::FilesError;
use super::atomic::write_atomic;
use super::diffusers::write_json;
use super::tensor_file::{self, NamedTensor};

/// The state's path inside a run's folder.
pub const STATE_FILE: &str = "noiselab/state.safetensors";

/// The readable copy's path inside a run's folder.
pub const STATE_COPY: &str = "noiselab/state.json";

/// The version of the format that is written, and the latest that is read.
pub const FORMAT_VERSION: u64 = 1;

const VERSION_KEY: &str = "noiselab_state_version";
const META_KEY: &str = "noiselab_state";

/// Everything that a training run needs to go on as if it had not stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Step, seeds, configuration, adapter, kernel variants, version, the data set's hash.
    /// Numbers come back to the bit; infinity and NaN have no JSON form and become null.
    pub meta: Value,
    /// Name, shape, and values in row-major order; order and bits are kept.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl TrainState {
    /// The shape and values of the tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let (_, shape, values) = self.tensors.iter().find(|(other, _, _)| other == name)?;
        Some((shape, values))
    }
}

/// Whether the run's folder `dir` holds a training state.
pub fn exists(dir: &Path) -> bool {
    dir.join(STATE_FILE).is_file()
}

/// Writes the state into the run's folder `dir`, which is made if needed.
///
/// # Errors
/// Tensors that are doubled, of the wrong length or not finite (before anything is written), or a
/// failed write; the state saved before is whole in every case.
pub fn save(dir: &Path, state: &TrainState) -> Result<(), FilesError> {
    let path = dir.join(STATE_FILE);
    let tensors = named(state);
    tensor_file::check(&tensors, &path)?;
    let folder = dir.join("noiselab");
    fs::create_dir_all(&folder).map_err(|source| FilesError::write(&folder, source))?;
    write_atomic(&path, |out| {
        tensor_file::write(out, metadata(state), &tensors)
    })?;
    write_json(&dir.join(STATE_COPY), &state.meta)
}

/// The state as [`save`] writes it, in memory.
///
/// # Errors
/// Tensors that are doubled, of the wrong length or not finite.
pub fn to_bytes(state: &TrainState) -> Result<Vec<u8>, FilesError> {
    let path = Path::new(STATE_FILE);
    let tensors = named(state);
    tensor_file::check(&tensors, path)?;
    let mut bytes = Vec::new();
    tensor_file::write(&mut bytes, metadata(state), &tensors)
        .map_err(|source| FilesError::write(path, source))?;
    Ok(bytes)
}

/// Reads what [`to_bytes`] or [`save`] wrote; `name` is what errors call it.
///
/// # Errors
/// Bytes that are truncated, foreign, or of a later format version.
pub fn from_bytes(bytes: &[u8], name: &str) -> Result<TrainState, FilesError> {
    parse(bytes, Path::new(name))
}

fn named(state: &TrainState) -> Vec<NamedTensor<'_>> {
    let tensors = state.tensors.iter();
    tensors
        .map(|(name, shape, values)| (name.as_str(), shape.as_slice(), values.as_slice()))
        .collect()
}

fn metadata(state: &TrainState) -> Map<String, Value> {
    Map::from_iter([
        ("format".to_owned(), json!("pt")),
        (VERSION_KEY.to_owned(), json!(FORMAT_VERSION.to_string())),
        (META_KEY.to_owned(), json!(state.meta.to_string())),
    ])
}

/// Reads the state in the run's folder `dir`.
///
/// # Errors
/// No state there, or one that is truncated, foreign, or of a later format version.
pub fn load(dir: &Path) -> Result<TrainState, FilesError> {
    if !dir.exists() {
        return Err(FilesError::Missing {
            path: dir.to_path_buf(),
        });
    }
    if !exists(dir) {
        return Err(FilesError::NoState {
            dir: dir.to_path_buf(),
        });
    }
    let path = dir.join(STATE_FILE);
    let bytes = fs::read(&path).map_err(|source| FilesError::read(&path, source))?;
    parse(&bytes, &path)
}

fn parse(bytes: &[u8], path: &Path) -> Result<TrainState, FilesError> {
    let file = tensor_file::parse(bytes, path)?;
    let foreign = |reason: &str| FilesError::NotAState {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    };
    // The crate keeps the header private once the tensors are parsed.
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).map_err(|error| {
        FilesError::NotSafetensors {
            path: path.to_path_buf(),
            reason: error.to_string(),
        }
    })?;
    let entry = |key: &str| header.metadata().as_ref().and_then(|map| map.get(key));
    let version =
        entry(VERSION_KEY).ok_or_else(|| foreign("its header does not say that it is one"))?;
    let version: u64 = version
        .parse()
        .map_err(|_| foreign("its format version is no number"))?;
    if version > FORMAT_VERSION {
        return Err(FilesError::NewerState {
            path: path.to_path_buf(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    let meta = entry(META_KEY).ok_or_else(|| foreign("its header lacks the run's description"))?;
    let meta = serde_json::from_str(meta)
        .map_err(|_| foreign("the run's description is not valid JSON"))?;

    let mut tensors = Vec::with_capacity(file.len());
    for name in header.offset_keys() {
        let view = file
            .tensor(&name)
            .map_err(|error| FilesError::NotSafetensors {
                path: path.to_path_buf(),
                reason: error.to_string(),
            })?;
        let values = tensor_file::widen(&view, &name, path)?;
        tensors.push((name, view.shape().to_vec(), values));
    }
    Ok(TrainState { meta, tensors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn state() -> TrainState {
        TrainState {
            meta: json!({
                "step": u64::MAX, "lr": 0.1 + 0.2, "tiny": f64::from_bits(1), "text": "„\"\\\n",
                "config": {"sample_size": 8}
            }),
            tensors: vec![
                (
                    "raw.b".into(),
                    vec![2, 2],
                    vec![1.0, -0.0, f32::MIN_POSITIVE / 4.0, f32::MAX],
                ),
                ("ema.b".into(), vec![3], vec![0.1, 0.2, 0.3]),
                ("adam_v.a".into(), vec![], vec![7.5]),
            ],
        }
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("new/run");
        assert!(!exists(&run));
        save(&run, &state()).unwrap();
        assert!(exists(&run));
        let loaded = load(&run).unwrap();
        assert_eq!(loaded, state());
        let bits = |state: &TrainState| {
            state.tensors[0]
                .2
                .iter()
                .map(|v| v.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&loaded), bits(&state()));
        assert_eq!(
            loaded.meta["lr"].as_f64().unwrap().to_bits(),
            (0.1f64 + 0.2).to_bits()
        );
        assert_eq!(
            loaded.tensor("ema.b"),
            Some(([3].as_slice(), [0.1f32, 0.2, 0.3].as_slice()))
        );
        assert_eq!(loaded.tensor("ema.c"), None);
        let copy: Value = serde_json::from_slice(&fs::read(run.join(STATE_COPY)).unwrap()).unwrap();
        assert_eq!(copy, state().meta);

        let first = fs::read(run.join(STATE_FILE)).unwrap();
        save(&run, &state()).unwrap();
        assert_eq!(fs::read(run.join(STATE_FILE)).unwrap(), first);
    }

    #[test]
    fn a_save_that_fails_leaves_the_state_before() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &state()).unwrap();
        let mut bad = state();
        bad.tensors[1].2[2] = f32::NAN;
        let text = save(dir.path(), &bad).unwrap_err().to_string();
        assert!(
            text.contains("ema.b") && text.contains("NaN at position 2"),
            "{text}"
        );
        bad.tensors[1] = ("raw.b".into(), vec![1], vec![0.0]);
        assert!(matches!(
            save(dir.path(), &bad),
            Err(FilesError::DuplicateTensor { .. })
        ));
        bad.tensors[1] = ("ema.b".into(), vec![2], vec![0.0]);
        assert!(matches!(
            save(dir.path(), &bad),
            Err(FilesError::WrongLength { .. })
        ));
        let full = write_atomic(&dir.path().join(STATE_FILE), |out| {
            out.write_all(&[1; 1000])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(full, Err(FilesError::DiskFull { .. })));
        // What a killed process leaves behind does not matter either.
        fs::write(
            dir.path().join("noiselab/.state.safetensors.1-0.tmp"),
            "half",
        )
        .unwrap();
        assert_eq!(load(dir.path()).unwrap(), state());
    }

    #[test]
    fn bad_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            load(&dir.path().join("absent"))
                .unwrap_err()
                .to_string()
                .contains("does not exist")
        );
        assert!(
            load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("no training state to resume")
        );
        save(dir.path(), &state()).unwrap();
        let path = dir.path().join(STATE_FILE);
        let bytes = fs::read(&path).unwrap();
        let load_bytes = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            load(dir.path())
        };
        for length in [bytes.len() - 1, bytes.len() / 2, 20] {
            assert!(
                matches!(
                    load_bytes(&bytes[..length]),
                    Err(FilesError::Truncated { .. })
                ),
                "{length}"
            );
        }
        assert!(matches!(
            load_bytes(b""),
            Err(FilesError::NotSafetensors { .. })
        ));

        let with_header = |pairs: &[(&str, &str)]| {
            let metadata = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), json!(value)))
                .collect();
            let mut bytes = Vec::new();
            tensor_file::write(&mut bytes, metadata, &[("raw.a", &[1], &[1.0])]).unwrap();
            load_bytes(&bytes)
        };
        assert!(with_header(&[(VERSION_KEY, "1"), (META_KEY, "{}")]).is_ok());
        let text = with_header(&[("format", "pt")]).unwrap_err().to_string();
        assert!(text.contains("not a training state of noiselab"), "{text}");
        let text = with_header(&[(VERSION_KEY, "2"), (META_KEY, "{}")])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("format version 2, and this noiselab reads up to 1; update"),
            "{text}"
        );
        for pairs in [
            [(VERSION_KEY, "x"), (META_KEY, "{}")],
            [(VERSION_KEY, "1"), (META_KEY, "{")],
        ] {
            assert!(matches!(
                with_header(&pairs),
                Err(FilesError::NotAState { .. })
            ));
        }
    }
}

//! The safetensors format: diagnosis of bad files, widening to f32, and a writer that streams.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, SafeTensorError, TensorView};
use serde_json::{Map, Value, json};

use super::FilesError;

/// A named tensor for [`write`]: name, shape, values in row-major order.
pub(crate) type NamedTensor<'a> = (&'a str, &'a [usize], &'a [f32]);

/// Parses the bytes of the safetensors file `path`.
pub(crate) fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, FilesError> {
    SafeTensors::deserialize(bytes).map_err(|error| diagnose(bytes, path, &error))
}

fn diagnose(bytes: &[u8], path: &Path, error: &SafeTensorError) -> FilesError {
    let path = path.to_path_buf();
    let found = bytes.len() as u64;
    let invalid = |reason: &str| FilesError::NotSafetensors {
        path: path.clone(),
        reason: reason.to_owned(),
    };
    if bytes.starts_with(b"version https://git-lfs") {
        return FilesError::LfsPointer { path };
    }
    if bytes.is_empty() {
        return invalid("it is empty");
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return invalid("it is too short for a header");
    };
    let header = u64::from_le_bytes(*length);
    if rest.first().is_some_and(|&byte| byte != b'{') {
        return invalid("it does not start with a header");
    }
    match error {
        SafeTensorError::InvalidHeaderLength => FilesError::Truncated {
            path,
            expected: header.saturating_add(8),
            found,
        },
        SafeTensorError::MetadataIncompleteBuffer => {
            let document = usize::try_from(header).ok().and_then(|end| rest.get(..end));
            let document =
                document.and_then(|text| serde_json::from_slice::<Map<String, Value>>(text).ok());
            let data = document
                .iter()
                .flat_map(Map::values)
                .filter_map(|info| info["data_offsets"][1].as_u64())
                .max();
            let expected = data.unwrap_or(0).saturating_add(header).saturating_add(8);
            if found < expected {
                FilesError::Truncated {
                    path,
                    expected,
                    found,
                }
            } else {
                invalid("it goes on after the last tensor")
            }
        }
        other => invalid(&other.to_string()),
    }
}

/// The values of a tensor of F32, F16 or BF16, all of them finite.
pub(crate) fn widen(
    view: &TensorView<'_>,
    name: &str,
    path: &Path,
) -> Result<Vec<f32>, FilesError> {
    let two = |convert: fn([u8; 2]) -> f32| {
        view.data()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&b| convert(b))
            .collect()
    };
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect(),
        Dtype::F16 => two(|b| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => two(|b| half::bf16::from_le_bytes(b).to_f32()),
        other => {
            return Err(FilesError::WrongType {
                path: path.to_path_buf(),
                tensor: name.to_owned(),
                found: format!("{other:?}"),
            });
        }
    };
    check_finite(&values, name, path)?;
    Ok(values)
}

pub(crate) fn check_finite(values: &[f32], name: &str, path: &Path) -> Result<(), FilesError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(FilesError::NotFinite {
            path: path.to_path_buf(),
            tensor: name.to_owned(),
            index,
            value: values[index],
        }),
    }
}

/// Refuses what [`write`] must not be given: doubled names, lengths that are not the shape's,
/// values that are not finite.
pub(crate) fn check(tensors: &[NamedTensor<'_>], path: &Path) -> Result<(), FilesError> {
    let mut names = BTreeSet::new();
    for &(name, shape, values) in tensors {
        if name == "__metadata__" || !names.insert(name) {
            return Err(FilesError::DuplicateTensor {
                path: path.to_path_buf(),
                tensor: name.to_owned(),
            });
        }
        if shape.iter().product::<usize>() != values.len() {
            return Err(FilesError::WrongLength {
                path: path.to_path_buf(),
                tensor: name.to_owned(),
                shape: shape.to_vec(),
                found: values.len(),
            });
        }
        check_finite(values, name, path)?;
    }
    Ok(())
}

/// Writes a safetensors file of f32 tensors in the order given, without a second copy in memory.
///
/// The same input gives the same bytes.
pub(crate) fn write(
    out: &mut dyn Write,
    metadata: Map<String, Value>,
    tensors: &[NamedTensor<'_>],
) -> io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), Value::Object(metadata));
    let mut offset = 0;
    for &(name, shape, values) in tensors {
        let end = offset + size_of_val(values) as u64;
        header.insert(
            name.to_owned(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}),
        );
        offset = end;
    }
    let mut text = serde_json::to_vec(&header)?;
    // The format asks for data aligned to 8 bytes, with spaces as padding.
    text.resize(text.len().next_multiple_of(8), b' ');
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(&text)?;
    for &(_, _, values) in tensors {
        // Every system that Rust's f32 and WebGPU share is little-endian, as the format is.
        out.write_all(bytemuck::cast_slice(values))?;
    }
    Ok(())
}

/// Writes a safetensors file of f32 tensors (name, shape, values in row-major order), atomically.
///
/// # Errors
/// Names that are doubled, lengths that are not the shape's, values that are not finite (all
/// before anything is written), or a failed write.
pub fn save_tensors(path: &Path, tensors: &[(&str, &[usize], &[f32])]) -> Result<(), FilesError> {
    check(tensors, path)?;
    let metadata = Map::from_iter([("format".to_owned(), json!("pt"))]);
    super::atomic::write_atomic(path, |out| write(out, metadata, tensors))
}

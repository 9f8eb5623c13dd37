//! Model folders in the format of diffusers' `DDPMPipeline`, in both directions.
//!
//! ```text
//! DIR/model_index.json
//! DIR/unet/config.json
//! DIR/unet/diffusion_pytorch_model.safetensors
//! DIR/scheduler/scheduler_config.json
//! ```
//!
//! Folders of a lone `UNet2DModel`, and early pipelines that keep everything in one folder, are
//! read as well. The scheduler's configuration passes through as JSON.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use super::FilesError;
use super::atomic::write_atomic;
use super::tensor_file::{self, NamedTensor};
use crate::nn::unet_config::{DIFFUSERS_VERSION, ParamSpec, UNetConfig};

/// The weights' file name in a U-Net folder.
pub const WEIGHTS_FILE: &str = "diffusion_pytorch_model.safetensors";

/// Where the parts of a model lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The U-Net's `config.json`.
    pub unet_config: PathBuf,
    /// The U-Net's weights.
    pub weights: PathBuf,
    /// `scheduler_config.json`, where there is one.
    pub scheduler_config: Option<PathBuf>,
}

/// Finds the parts of the model in `dir`: a pipeline folder, a folder with `unet/` in it, or a
/// U-Net's own folder.
///
/// # Errors
/// No folder, no model in it, weights that are absent, pickled or split, or a pipeline of another
/// kind.
pub fn locate(dir: &Path) -> Result<ModelFiles, FilesError> {
    let unet = unet_folder(dir)?;
    let scheduler_config = [
        dir.join("scheduler").join("scheduler_config.json"),
        dir.join("scheduler_config.json"),
    ]
    .into_iter()
    .find(|path| path.is_file());
    let weights = find_weights(&unet)?;
    Ok(ModelFiles {
        unet_config: unet.join("config.json"),
        weights,
        scheduler_config,
    })
}

fn unet_folder(dir: &Path) -> Result<PathBuf, FilesError> {
    if !dir.exists() {
        return Err(FilesError::Missing {
            path: dir.to_path_buf(),
        });
    }
    let index = dir.join("model_index.json");
    if index.is_file() {
        check_index(&index)?;
    }
    [dir.join("unet"), dir.to_path_buf()]
        .into_iter()
        .find(|folder| folder.join("config.json").is_file())
        .ok_or_else(|| FilesError::NoModel {
            dir: dir.to_path_buf(),
        })
}

fn check_index(path: &Path) -> Result<(), FilesError> {
    let index = read_json(path)?;
    let unsupported = |found: String| FilesError::UnsupportedPipeline {
        path: path.to_path_buf(),
        found,
    };
    let pipeline = index["_class_name"]
        .as_str()
        .unwrap_or("a pipeline without a name");
    let Value::Object(parts) = &index else {
        return Err(unsupported("no pipeline".to_owned()));
    };
    if !parts.contains_key("unet") {
        return Err(unsupported(format!("{pipeline} without a unet")));
    }
    for (part, class) in parts {
        if part.starts_with('_') || part == "scheduler" {
            continue;
        }
        // An optional part that is left out is written as [null, null].
        let Some(class) = class[1].as_str() else {
            continue;
        };
        if part != "unet" || class != "UNet2DModel" {
            return Err(unsupported(format!(
                "{pipeline} with {part} of class {class}"
            )));
        }
    }
    Ok(())
}

fn find_weights(unet: &Path) -> Result<PathBuf, FilesError> {
    let in_folder = |name: &str| Some(unet.join(name)).filter(|path| path.is_file());
    // Half-precision copies are published under this name, sometimes alone.
    let found =
        in_folder(WEIGHTS_FILE).or_else(|| in_folder("diffusion_pytorch_model.fp16.safetensors"));
    if let Some(path) = found {
        return Ok(path);
    }
    if let Some(path) = in_folder("diffusion_pytorch_model.safetensors.index.json") {
        return Err(FilesError::ShardedWeights { path });
    }
    if let Some(path) = in_folder("diffusion_pytorch_model.bin") {
        return Err(FilesError::PickledWeights { path });
    }
    Err(FilesError::NoWeights {
        dir: unet.to_path_buf(),
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, FilesError> {
    fs::read(path).map_err(|source| FilesError::read(path, source))
}

fn read_json(path: &Path) -> Result<Value, FilesError> {
    serde_json::from_slice(&read_bytes(path)?).map_err(|source| FilesError::Json {
        path: path.to_path_buf(),
        source,
    })
}

/// Reads the configuration of the U-Net in `dir`; the weights need not be there.
///
/// # Errors
/// No model in the folder, malformed JSON, or a network that is not supported.
pub fn read_unet_config(dir: &Path) -> Result<UNetConfig, FilesError> {
    let path = unet_folder(dir)?.join("config.json");
    let document = read_json(&path)?;
    UNetConfig::from_json(&document).map_err(|source| FilesError::Config { path, source })
}

/// Reads the scheduler's configuration in `dir` as it is; `None` for a lone U-Net.
///
/// # Errors
/// The folder has no model, or the file is not JSON.
pub fn read_scheduler_config(dir: &Path) -> Result<Option<Value>, FilesError> {
    locate(dir)?
        .scheduler_config
        .map(|path| read_json(&path))
        .transpose()
}

/// Reads the weights file `path` for a network with the parameters `specs`.
///
/// The result has the names and the order of `specs`; values are row-major. F16 and BF16 are
/// widened. The attention names of early diffusers versions (`query`, `key`, `value`, `proj_attn`)
/// are understood.
///
/// # Errors
/// A truncated or foreign file, a tensor that is missing, unexpected, of another shape or type, or
/// not finite.
pub fn read_weights(
    path: &Path,
    specs: &[ParamSpec],
) -> Result<Vec<(String, Vec<f32>)>, FilesError> {
    parse_weights(&read_bytes(path)?, path, specs)
}

/// [`read_weights`] from bytes already in memory; `path` only names them in errors.
///
/// # Errors
/// As [`read_weights`].
pub fn parse_weights(
    bytes: &[u8],
    path: &Path,
    specs: &[ParamSpec],
) -> Result<Vec<(String, Vec<f32>)>, FilesError> {
    let file = tensor_file::parse(bytes, path)?;
    let mut weights = Vec::with_capacity(specs.len());
    let mut used = std::collections::HashSet::with_capacity(specs.len());
    for spec in specs {
        let names = [Some(spec.name.clone()), legacy_name(&spec.name)];
        let found = names
            .into_iter()
            .flatten()
            .find_map(|name| Some((file.tensor(&name).ok()?, name)));
        let Some((view, name)) = found else {
            return Err(missing(&file, path, spec));
        };
        if view.shape() != spec.shape {
            return Err(FilesError::WrongShape {
                path: path.to_path_buf(),
                tensor: name,
                expected: spec.shape.clone(),
                found: view.shape().to_vec(),
            });
        }
        weights.push((spec.name.clone(), tensor_file::widen(&view, &name, path)?));
        used.insert(name);
    }
    let mut extra: Vec<&str> = file
        .names()
        .into_iter()
        .filter(|name| !used.contains(*name))
        .collect();
    extra.sort_unstable();
    match extra.first() {
        None => Ok(weights),
        Some(name) => Err(FilesError::UnexpectedTensor {
            path: path.to_path_buf(),
            tensor: (*name).to_owned(),
            found: file
                .tensor(name)
                .map(|view| view.shape().to_vec())
                .unwrap_or_default(),
        }),
    }
}

fn missing(file: &SafeTensors<'_>, path: &Path, spec: &ParamSpec) -> FilesError {
    let path = path.to_path_buf();
    if file.is_empty() {
        return FilesError::NotSafetensors {
            path,
            reason: "it holds no tensors".to_owned(),
        };
    }
    FilesError::MissingTensor {
        path,
        tensor: spec.name.clone(),
        expected: spec.shape.clone(),
    }
}

/// The key under which diffusers before 0.12 stored an attention projection.
fn legacy_name(name: &str) -> Option<String> {
    let pairs = [
        (".to_q.", ".query."),
        (".to_k.", ".key."),
        (".to_v.", ".value."),
        (".to_out.0.", ".proj_attn."),
    ];
    pairs
        .iter()
        .find(|(new, _)| name.contains(new))
        .map(|(new, old)| name.replace(new, old))
}

/// Writes the weights file `path`, atomically, as diffusers' `save_pretrained` does: F32, with the
/// state-dict keys of `specs`.
///
/// `data` holds exactly the parameters of `specs`, in any order.
///
/// # Errors
/// Names or lengths that are not those of `specs`, values that are not finite (both before anything
/// is written), or a failed write.
pub fn write_weights(
    path: &Path,
    specs: &[ParamSpec],
    data: &[(String, Vec<f32>)],
) -> Result<(), FilesError> {
    let tensors = match_specs(path, specs, data)?;
    let metadata = Map::from_iter([("format".to_owned(), json!("pt"))]);
    write_atomic(path, |out| tensor_file::write(out, metadata, &tensors))
}

fn match_specs<'a>(
    path: &Path,
    specs: &'a [ParamSpec],
    data: &'a [(String, Vec<f32>)],
) -> Result<Vec<NamedTensor<'a>>, FilesError> {
    let mut by_name: std::collections::BTreeMap<&str, &[f32]> = std::collections::BTreeMap::new();
    for (name, values) in data {
        if by_name.insert(name, values).is_some() {
            return Err(FilesError::DuplicateTensor {
                path: path.to_path_buf(),
                tensor: name.clone(),
            });
        }
    }
    let mut tensors = Vec::with_capacity(specs.len());
    for spec in specs {
        let Some(values) = by_name.remove(spec.name.as_str()) else {
            return Err(FilesError::MissingTensor {
                path: path.to_path_buf(),
                tensor: spec.name.clone(),
                expected: spec.shape.clone(),
            });
        };
        tensors.push((spec.name.as_str(), spec.shape.as_slice(), values));
    }
    if let Some((name, values)) = by_name.pop_first() {
        return Err(FilesError::UnexpectedTensor {
            path: path.to_path_buf(),
            tensor: name.to_owned(),
            found: vec![values.len()],
        });
    }
    tensor_file::check(&tensors, path)?;
    Ok(tensors)
}

/// Writes a pipeline folder that `DDPMPipeline.from_pretrained(dir)` opens; folders are made as
/// needed, each file is written atomically, `model_index.json` last.
///
/// `scheduler` is the content of `scheduler_config.json`; its `_class_name` (`DDPMScheduler` if it
/// has none) goes into the index. `weights` holds the parameters of `config`, in any order.
///
/// # Errors
/// As [`write_weights`]; a configuration that is not valid; a folder that cannot be made.
pub fn write_pipeline(
    dir: &Path,
    config: &UNetConfig,
    scheduler: &Value,
    weights: &[(String, Vec<f32>)],
) -> Result<(), FilesError> {
    let unet = dir.join("unet");
    let unet_config = unet.join("config.json");
    config.validate().map_err(|source| FilesError::Config {
        path: unet_config.clone(),
        source,
    })?;
    let specs = config.param_specs();
    match_specs(&unet.join(WEIGHTS_FILE), &specs, weights)?;

    let scheduler_dir = dir.join("scheduler");
    for folder in [&unet, &scheduler_dir] {
        fs::create_dir_all(folder).map_err(|source| FilesError::write(folder, source))?;
    }
    write_weights(&unet.join(WEIGHTS_FILE), &specs, weights)?;
    write_json(&unet_config, &config.to_json())?;
    write_json(&scheduler_dir.join("scheduler_config.json"), scheduler)?;
    let index = json!({
        "_class_name": "DDPMPipeline",
        "_diffusers_version": DIFFUSERS_VERSION,
        "scheduler": ["diffusers", scheduler["_class_name"].as_str().unwrap_or("DDPMScheduler")],
        "unet": ["diffusers", "UNet2DModel"],
    });
    write_json(&dir.join("model_index.json"), &index)
}

/// Writes a JSON file, indented and atomically.
pub(super) fn write_json(path: &Path, document: &Value) -> Result<(), FilesError> {
    let mut text = format!("{document:#}");
    text.push('\n');
    write_atomic(path, |out| out.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> UNetConfig {
        UNetConfig::from_json(&json!({
            "sample_size": 8, "in_channels": 1, "out_channels": 1,
            "block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 4,
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
            "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        }))
        .unwrap()
    }

    /// Values that differ from tensor to tensor and place to place, exact in f16 and bf16.
    fn weights(specs: &[ParamSpec]) -> Vec<(String, Vec<f32>)> {
        let value = |tensor: usize, i: usize| ((tensor * 7 + i * 3) % 200) as f32 / 64.0 - 1.5;
        specs
            .iter()
            .enumerate()
            .map(|(n, spec)| {
                (
                    spec.name.clone(),
                    (0..spec.len()).map(|i| value(n, i)).collect(),
                )
            })
            .collect()
    }

    fn pipeline() -> (tempfile::TempDir, UNetConfig, Vec<(String, Vec<f32>)>) {
        let dir = tempfile::tempdir().unwrap();
        let config = config();
        let mut shuffled = weights(&config.param_specs());
        shuffled.reverse();
        let scheduler = json!({"_class_name": "DDPMScheduler", "num_train_timesteps": 100});
        write_pipeline(dir.path(), &config, &scheduler, &shuffled).unwrap();
        let weights = weights(&config.param_specs());
        (dir, config, weights)
    }

    #[test]
    fn a_pipeline_comes_back_as_it_was() {
        let (dir, config, weights) = pipeline();
        let files = locate(dir.path()).unwrap();
        assert_eq!(read_unet_config(dir.path()).unwrap(), config);
        assert_eq!(
            read_weights(&files.weights, &config.param_specs()).unwrap(),
            weights
        );
        assert_eq!(
            read_scheduler_config(dir.path()).unwrap().unwrap()["num_train_timesteps"],
            100
        );
        let index = read_json(&dir.path().join("model_index.json")).unwrap();
        assert_eq!(index["unet"], json!(["diffusers", "UNet2DModel"]));
        assert_eq!(index["scheduler"], json!(["diffusers", "DDPMScheduler"]));
        let bytes = fs::read(&files.weights).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
        assert_eq!(u64::from_le_bytes(*bytes.first_chunk().unwrap()) % 8, 0);
    }

    #[test]
    fn folders_without_an_index_load_too() {
        let (dir, config, _) = pipeline();
        fs::remove_file(dir.path().join("model_index.json")).unwrap();
        assert_eq!(read_unet_config(dir.path()).unwrap(), config);
        let unet = dir.path().join("unet");
        assert_eq!(read_unet_config(&unet).unwrap(), config);
        assert_eq!(locate(&unet).unwrap().scheduler_config, None);
        assert_eq!(read_scheduler_config(&unet).unwrap(), None);
        // Early pipelines: all files side by side.
        fs::rename(
            dir.path().join("scheduler/scheduler_config.json"),
            unet.join("scheduler_config.json"),
        )
        .unwrap();
        assert!(read_scheduler_config(&unet).unwrap().is_some());
    }

    #[test]
    fn folders_that_are_no_model_say_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &Path| locate(path).unwrap_err().to_string();
        assert!(text(&dir.path().join("absent")).contains("does not exist"));
        assert!(text(dir.path()).contains("holds no model"));
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        assert!(text(dir.path()).contains("no diffusion_pytorch_model.safetensors"));
        fs::write(dir.path().join("diffusion_pytorch_model.bin"), "x").unwrap();
        assert!(
            text(dir.path()).contains("pickle")
                && text(dir.path()).contains("safe_serialization=True")
        );
        fs::write(
            dir.path()
                .join("diffusion_pytorch_model.safetensors.index.json"),
            "{}",
        )
        .unwrap();
        assert!(text(dir.path()).contains("several files"));
        for (index, part) in [
            (
                json!({"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}),
                "UNet2DConditionModel",
            ),
            (
                json!({"_class_name": "LDMPipeline", "vqvae": ["diffusers", "VQModel"], "unet": ["diffusers", "UNet2DModel"]}),
                "VQModel",
            ),
            (json!({"_class_name": "FluxPipeline"}), "without a unet"),
            (json!([1]), "no pipeline"),
        ] {
            fs::write(dir.path().join("model_index.json"), index.to_string()).unwrap();
            assert!(text(dir.path()).contains(part), "{}", text(dir.path()));
        }
        fs::write(dir.path().join("model_index.json"), "{\"unet\": ").unwrap();
        assert!(text(dir.path()).contains("not valid JSON"));
        fs::remove_file(dir.path().join("model_index.json")).unwrap();
        fs::write(
            dir.path().join("config.json"),
            "{\"sample_size\": 8, \"down_block_types\": [\"X\"]}",
        )
        .unwrap();
        let text = read_unet_config(dir.path()).unwrap_err().to_string();
        assert!(
            text.contains("config.json: `down_block_types` is \"X\""),
            "{text}"
        );
    }

    /// A weights file made with the safetensors crate's own writer.
    fn foreign_file(tensors: &[(String, safetensors::Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (
                name.as_str(),
                safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap(),
            )
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn parse(bytes: &[u8]) -> Result<Vec<(String, Vec<f32>)>, FilesError> {
        parse_weights(bytes, Path::new("w.safetensors"), &config().param_specs())
    }

    #[test]
    fn half_precision_and_old_names_are_understood() {
        let specs = config().param_specs();
        let weights = weights(&specs);
        let old = |name: &str| {
            name.replace("to_q", "query")
                .replace("to_k", "key")
                .replace("to_v", "value")
                .replace("to_out.0", "proj_attn")
        };
        let tensors: Vec<_> = specs
            .iter()
            .zip(&weights)
            .enumerate()
            .map(|(n, (spec, (_, values)))| {
                let (dtype, data) = if n % 2 == 0 {
                    (
                        safetensors::Dtype::F16,
                        values
                            .iter()
                            .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
                            .collect(),
                    )
                } else {
                    (
                        safetensors::Dtype::BF16,
                        values
                            .iter()
                            .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
                            .collect(),
                    )
                };
                (old(&spec.name), dtype, spec.shape.clone(), data)
            })
            .collect();
        assert!(tensors.iter().any(|t| t.0.contains("proj_attn")));
        assert_eq!(parse(&foreign_file(&tensors)).unwrap(), weights);
    }

    #[test]
    fn weights_of_another_configuration_are_refused_by_name() {
        let good: Vec<_> = config()
            .param_specs()
            .into_iter()
            .map(|spec| {
                let bytes = vec![0; 4 * spec.len()];
                (spec.name, safetensors::Dtype::F32, spec.shape, bytes)
            })
            .collect();
        assert!(parse(&foreign_file(&good)).is_ok());

        let mut tensors = good.clone();
        tensors[0].2.swap(0, 1);
        assert_eq!(
            parse(&foreign_file(&tensors)).unwrap_err().to_string(),
            "the tensor conv_in.weight has the wrong shape in w.safetensors: expected [8, 1, 3, 3], found [1, 8, 3, 3]; the weights belong to another configuration"
        );
        let mut tensors = good.clone();
        tensors.remove(5);
        let error = parse(&foreign_file(&tensors)).unwrap_err();
        assert!(
            matches!(error, FilesError::MissingTensor { ref tensor, .. } if tensor == "time_embedding.linear_2.bias"),
            "{error}"
        );
        let mut tensors = good.clone();
        tensors.push((
            "class_embedding.weight".into(),
            safetensors::Dtype::F32,
            vec![2],
            vec![0; 8],
        ));
        let error = parse(&foreign_file(&tensors)).unwrap_err();
        assert!(
            matches!(error, FilesError::UnexpectedTensor { ref tensor, .. } if tensor == "class_embedding.weight"),
            "{error}"
        );
        let mut tensors = good.clone();
        tensors[1].1 = safetensors::Dtype::I32;
        assert!(
            parse(&foreign_file(&tensors))
                .unwrap_err()
                .to_string()
                .contains("I32")
        );
        let mut tensors = good.clone();
        tensors[1].3[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        let text = parse(&foreign_file(&tensors)).unwrap_err().to_string();
        assert!(
            text.contains("conv_in.bias") && text.contains("NaN at position 2"),
            "{text}"
        );
        assert!(
            parse(&foreign_file(&[]))
                .unwrap_err()
                .to_string()
                .contains("no tensors")
        );
    }

    #[test]
    fn damaged_files_are_told_apart_wherever_they_are_cut() {
        let (dir, _, _) = pipeline();
        let bytes = fs::read(locate(dir.path()).unwrap().weights).unwrap();
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        for length in [9, 200, header - 1, header, header + 1, bytes.len() - 1] {
            let error = parse(&bytes[..length]).unwrap_err();
            let FilesError::Truncated {
                expected, found, ..
            } = error
            else {
                panic!("{length}: {error}")
            };
            let promised = if length < header { header } else { bytes.len() };
            assert_eq!((expected, found), (promised as u64, length as u64));
        }
        for length in 0..9 {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(
            parse(&longer)
                .unwrap_err()
                .to_string()
                .contains("goes on after")
        );
        let mut broken = bytes.clone();
        broken[20] = b'\n';
        assert!(
            parse(&broken)
                .unwrap_err()
                .to_string()
                .contains("not a valid safetensors file")
        );
        assert!(
            parse(b"PK\x03\x04 some other file")
                .unwrap_err()
                .to_string()
                .contains("header")
        );
        assert!(
            parse(b"version https://git-lfs.github.com/spec/v1\n")
                .unwrap_err()
                .to_string()
                .contains("git lfs pull")
        );
    }

    #[test]
    fn nothing_is_written_when_the_weights_do_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let (config, scheduler) = (config(), json!({}));
        let good = weights(&config.param_specs());
        let refuse = |weights: &[(String, Vec<f32>)], part: &str| {
            let text = write_pipeline(&dir.path().join("run"), &config, &scheduler, weights)
                .unwrap_err()
                .to_string();
            assert!(text.contains(part), "{text}");
            assert!(!dir.path().join("run").exists());
        };
        refuse(&good[1..], "lacks the tensor conv_in.weight");
        let mut bad = good.clone();
        bad.push(("other".into(), vec![1.0]));
        refuse(&bad, "has the tensor other");
        bad[0].1.pop();
        bad.pop();
        refuse(&bad, "has 71 values, but its shape [8, 1, 3, 3] holds 72");
        let mut bad = good.clone();
        bad[3].1[1] = f32::INFINITY;
        refuse(&bad, "inf at position 1");
        let mut bad = good;
        bad.push(bad[0].clone());
        refuse(&bad, "two tensors");
    }
}

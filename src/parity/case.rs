//! A case: the pipeline, the tensors that PyTorch computed, and the recipe.

use std::{
    fs,
    path::{Path, PathBuf},
};

use safetensors::tensor::Dtype;
use serde_json::Value;

use super::{Tensor, Tensors};
use crate::{
    Result,
    diffusion::{NoiseSchedule, SchedulerConfig},
    nn::{optimizer::AdamConfig, unet_config::UNetConfig},
    session::{FilesError, diffusers, tensor_file},
};

/// A case that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// There is nothing to compare with.
    #[error(
        "{} holds no tensor that can be compared; make the case again with tests/fixtures/make_oracle.py",
        path.display()
    )]
    Nothing {
        /// The case's folder.
        path: PathBuf,
    },
    /// A tensor has another shape than the rest of the case needs.
    #[error(
        "the case's tensor {tensor} has shape {found:?}, expected {expected}; make the case again"
    )]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape that fits.
        expected: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor that another one needs is absent.
    #[error(
        "the case has {tensor} but not {needs}, which it is computed from; make the case again"
    )]
    Needs {
        /// The tensor that is there.
        tensor: String,
        /// The one that is not.
        needs: String,
    },
    /// A timestep that the model or the sampler does not have.
    #[error(
        "the case's tensor {tensor} holds the timestep {found}, which is not among {expected}; make the case again"
    )]
    Timestep {
        /// The tensor.
        tensor: String,
        /// The timestep.
        found: f32,
        /// The timesteps there are.
        expected: String,
    },
}

/// A problem and what PyTorch computed for it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The network.
    pub unet: UNetConfig,
    /// Its noise schedule.
    pub scheduler: SchedulerConfig,
    /// The schedule's tables.
    pub schedule: NoiseSchedule,
    /// Initial weights by name, in the layout of files.
    pub weights: Tensors,
    /// What PyTorch computed, and from what.
    pub tensors: Tensors,
    /// Parameters whose gradient is zero in exact arithmetic.
    pub zero: Vec<String>,
    /// The largest gradient that PyTorch found for those.
    pub zero_max_abs: f64,
    /// Learning rate of the Adam steps.
    pub lr: f64,
    /// Norm to which their gradient is clipped; 0 for none.
    pub clip_norm: f64,
    /// Adam's settings.
    pub adam: AdamConfig,
}

impl Case {
    /// Reads `dir/pipeline`, `dir/case.safetensors` and `dir/case.json`.
    ///
    /// # Errors
    /// Files that are missing, malformed, or do not fit together.
    pub fn load(dir: &Path) -> Result<Self> {
        let missing = |path: PathBuf| FilesError::Missing { path };
        if !dir.is_dir() {
            return Err(missing(dir.into()).into());
        }
        for part in ["pipeline", "case.safetensors", "case.json"] {
            if !dir.join(part).exists() {
                return Err(missing(dir.join(part)).into());
            }
        }
        let pipeline = dir.join("pipeline");
        let unet = diffusers::read_unet_config(&pipeline)?;
        let scheduler = match diffusers::read_scheduler_config(&pipeline)? {
            Some(json) => SchedulerConfig::from_json(&json.to_string())?,
            None => SchedulerConfig::default(),
        };
        let schedule = scheduler.noise_schedule()?;
        let specs = unet.param_specs();
        let weights = diffusers::read_weights(&diffusers::locate(&pipeline)?.weights, &specs)?
            .into_iter()
            .zip(&specs)
            .map(|((name, data), spec)| {
                let shape = spec.shape.clone();
                (name, Tensor { shape, data })
            })
            .collect();
        let path = dir.join("case.json");
        let text = fs::read(&path).map_err(|e| FilesError::read(&path, e))?;
        let recipe: Value = serde_json::from_slice(&text).map_err(|source| FilesError::Json {
            path: path.clone(),
            source,
        })?;
        let number = |value: &Value, default: f64| value.as_f64().unwrap_or(default);
        let (settings, yardstick) = (&recipe["adam"], &recipe["f32_vs_f64"]);
        let zero = yardstick["grad_mathematically_zero"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        Ok(Self {
            unet,
            scheduler,
            schedule,
            weights,
            tensors: read_tensors(&dir.join("case.safetensors"))?,
            zero: zero
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect(),
            zero_max_abs: number(&yardstick["grad_mathematically_zero_f32_max_abs"], 0.0),
            lr: number(&settings["lr"], 2e-4),
            clip_norm: number(&settings["clip"], 1.0),
            adam: AdamConfig {
                beta1: number(&settings["betas"][0], 0.9),
                beta2: number(&settings["betas"][1], 0.999),
                eps: number(&settings["eps"], 1e-8),
                ..AdamConfig::default()
            },
        })
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The tensor `name`, which `user` is computed from.
    pub(super) fn need(&self, name: &str, user: &str) -> Result<&Tensor, CaseError> {
        self.get(name).ok_or_else(|| CaseError::Needs {
            tensor: user.into(),
            needs: name.into(),
        })
    }

    /// `[C, S, S]` of the network's input.
    pub(super) fn image(&self) -> [usize; 3] {
        let side = self.unet.sample_size;
        [self.unet.in_channels, side, side]
    }

    /// Checks that `tensor` is `[lead…, C, S, S]` with as many leading sizes as `lead` has; a size of 0
    /// there fits any but 0.
    pub(super) fn check_images(
        &self,
        name: &str,
        tensor: &Tensor,
        lead: &[usize],
    ) -> Result<(), CaseError> {
        let fits = tensor.shape.len() == lead.len() + 3
            && tensor.shape[lead.len()..] == self.image()
            && lead
                .iter()
                .zip(&tensor.shape)
                .all(|(&want, &found)| found > 0 && (want == 0 || want == found));
        if fits {
            return Ok(());
        }
        let sizes: Vec<String> = lead
            .iter()
            .map(|&n| if n == 0 { "any".into() } else { n.to_string() })
            .chain(self.image().map(|n| n.to_string()))
            .collect();
        Err(CaseError::Shape {
            tensor: name.into(),
            expected: format!("[{}]", sizes.join(", ")),
            found: tensor.shape.clone(),
        })
    }

    /// The timesteps that the tensor `name` holds, `count` of them.
    pub(super) fn timesteps(&self, name: &str, count: usize) -> Result<Vec<u32>, CaseError> {
        let tensor = self.need(name, "the rest")?;
        if tensor.data.len() != count {
            return Err(CaseError::Shape {
                tensor: name.into(),
                expected: format!("[{count}]"),
                found: tensor.shape.clone(),
            });
        }
        let total = self.schedule.timesteps();
        tensor
            .data
            .iter()
            .map(|&t| {
                if t >= 0.0 && t.fract() == 0.0 && (t as usize) < total {
                    Ok(t as u32)
                } else {
                    Err(CaseError::Timestep {
                        tensor: name.into(),
                        found: t,
                        expected: format!("0 to {}", total - 1),
                    })
                }
            })
            .collect()
    }
}

fn read_tensors(path: &Path) -> Result<Tensors, FilesError> {
    let bytes = fs::read(path).map_err(|e| FilesError::read(path, e))?;
    let file = tensor_file::parse(&bytes, path)?;
    let mut out = Tensors::new();
    for (name, view) in file.iter() {
        let data = if view.dtype() == Dtype::I64 {
            let words = view.data().as_chunks::<8>().0;
            words
                .iter()
                .map(|&b| i64::from_le_bytes(b) as f32)
                .collect()
        } else {
            tensor_file::widen(&view, name, path)?
        };
        let shape = view.shape().to_vec();
        out.insert(name.to_owned(), Tensor { shape, data });
    }
    Ok(out)
}

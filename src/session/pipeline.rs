//! A model folder in memory: configuration, schedule and weights, ready for a device.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{FilesError, checkpoint, diffusers};
use crate::{
    Result,
    diffusion::SchedulerConfig,
    gpu::Gpu,
    nn::{
        ModelError,
        graph::ParamInfo,
        model::ParamSet,
        unet,
        unet_config::{ParamSpec, UNetConfig},
    },
};

/// Which weights of a training run's folder are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightKind {
    /// The pipeline's own: of a training run, the moving average.
    #[default]
    Pipeline,
    /// The raw weights in the run's state.
    Raw,
}

/// A model and its schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The network.
    pub unet: UNetConfig,
    /// The schedule; diffusers' defaults for a lone U-Net.
    pub scheduler: SchedulerConfig,
    /// Parameters by name, in the layout of files.
    pub weights: Vec<(String, Vec<f32>)>,
}

impl Pipeline {
    /// Reads the folder `dir`.
    ///
    /// # Errors
    /// Whatever is wrong with the folder, naming file and tensor; a scheduler that is not
    /// supported; raw weights asked of a folder that holds no training state.
    pub fn load(dir: &Path, kind: WeightKind) -> Result<Self> {
        let unet = diffusers::read_unet_config(dir)?;
        let scheduler = match diffusers::read_scheduler_config(dir)? {
            Some(document) => SchedulerConfig::from_json(&document.to_string())?,
            None => SchedulerConfig::default(),
        };
        let specs = unet.param_specs();
        let weights = match kind {
            WeightKind::Pipeline => {
                diffusers::read_weights(&diffusers::locate(dir)?.weights, &specs)?
            }
            WeightKind::Raw => raw_weights(dir, &specs)?,
        };
        Ok(Self {
            unet,
            scheduler,
            weights,
        })
    }

    /// A model from its files' contents: the U-Net's `config.json`, `scheduler_config.json`, and the weights.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub fn from_parts(unet: &[u8], scheduler: &[u8], weights: &[u8]) -> Result<Self> {
        let json = |bytes: &[u8], name: &str| {
            serde_json::from_slice::<serde_json::Value>(bytes).map_err(|source| FilesError::Json {
                path: name.into(),
                source,
            })
        };
        let name = "unet/config.json";
        let unet =
            UNetConfig::from_json(&json(unet, name)?).map_err(|source| FilesError::Config {
                path: name.into(),
                source,
            })?;
        let scheduler = json(scheduler, "scheduler/scheduler_config.json")?;
        let scheduler = SchedulerConfig::from_json(&scheduler.to_string())?;
        let path = Path::new(diffusers::WEIGHTS_FILE);
        let weights = diffusers::parse_weights(weights, path, &unet.param_specs())?;
        Ok(Self {
            unet,
            scheduler,
            weights,
        })
    }

    /// The weights that come along.
    ///
    /// # Errors
    /// A program that was built without them (the page fetches them instead).
    pub fn pretrained() -> Result<Self> {
        #[cfg(feature = "embedded-data")]
        {
            Self::from_parts(
                include_bytes!("../../assets/pretrained/digits/unet/config.json"),
                include_bytes!("../../assets/pretrained/digits/scheduler/scheduler_config.json"),
                include_bytes!(
                    "../../assets/pretrained/digits/unet/diffusion_pytorch_model.safetensors"
                ),
            )
        }
        #[cfg(not(feature = "embedded-data"))]
        {
            Err(FilesError::Missing {
                path: "assets/pretrained/digits".into(),
            }
            .into())
        }
    }

    /// The parameters of its network, in the order of the graph.
    ///
    /// # Errors
    /// A network that cannot be built.
    pub fn params(&self) -> Result<Vec<ParamInfo>> {
        params(&self.unet)
    }

    /// The weights in the order of `params`.
    ///
    /// # Errors
    /// [`ModelError`] for a parameter that is absent.
    pub fn ordered(&self, params: &[ParamInfo]) -> Result<Vec<Vec<f32>>> {
        let by_name: HashMap<&str, &Vec<f32>> =
            self.weights.iter().map(|(n, w)| (n.as_str(), w)).collect();
        let find = |info: &ParamInfo| {
            let found = by_name
                .get(info.name.as_str())
                .filter(|w| w.len() == info.file_len());
            found.map(|w| (*w).clone()).ok_or_else(|| {
                ModelError::Structure(format!(
                    "the weights lack {} of shape {:?}; they belong to another configuration.",
                    info.name,
                    info.file_shape()
                ))
                .into()
            })
        };
        params.iter().map(find).collect()
    }

    /// Brings the weights to a device.
    ///
    /// # Errors
    /// A network that cannot be built or is too large for the device.
    pub fn upload(&self, gpu: &Arc<Gpu>) -> Result<ParamSet> {
        let params = self.params()?;
        let set = ParamSet::zeros(gpu, "weights", &params)?;
        set.write(gpu, &params, &self.ordered(&params)?);
        Ok(set)
    }
}

/// The parameters of a network, in the order of the graph.
///
/// # Errors
/// A network that cannot be built.
pub fn params(unet: &UNetConfig) -> Result<Vec<ParamInfo>> {
    unet.validate().map_err(ModelError::from)?;
    Ok(unet::build(unet, 1, 1, false)?.graph.params().to_vec())
}

fn raw_weights(dir: &Path, specs: &[ParamSpec]) -> Result<Vec<(String, Vec<f32>)>, FilesError> {
    let state = checkpoint::load(dir)?;
    let path = dir.join(checkpoint::STATE_FILE);
    let find = |spec: &ParamSpec| match state.tensor(&format!("raw.{}", spec.name)) {
        Some((shape, values)) if shape == spec.shape => Ok((spec.name.clone(), values.to_vec())),
        Some((shape, _)) => Err(FilesError::WrongShape {
            path: path.clone(),
            tensor: format!("raw.{}", spec.name),
            expected: spec.shape.clone(),
            found: shape.to_vec(),
        }),
        None => Err(FilesError::MissingTensor {
            path: path.clone(),
            tensor: format!("raw.{}", spec.name),
            expected: spec.shape.clone(),
        }),
    };
    specs.iter().map(find).collect()
}

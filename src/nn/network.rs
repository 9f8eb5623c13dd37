//! The networks there are. All are [`Model`]s: whatever trains, samples or measures takes any of them.

use super::{
    ModelError, mlp,
    mlp::MlpConfig,
    model::Model,
    unet,
    unet_config::{UNetConfig, UNetConfigError},
};

/// A network's structure.
#[derive(Debug, Clone, PartialEq)]
pub enum Network {
    /// Of images.
    UNet(Box<UNetConfig>),
    /// Of points.
    Mlp(MlpConfig),
}

impl Network {
    /// Builds it for a batch; see [`unet::build`] and [`mlp::build`].
    ///
    /// # Errors
    /// Shapes that do not fit together.
    pub fn build(
        &self,
        batch: usize,
        timesteps: usize,
        training: bool,
    ) -> Result<Model, ModelError> {
        match self {
            Self::UNet(config) => unet::build(config, batch, timesteps, training),
            Self::Mlp(config) => mlp::build(config, batch, timesteps, training),
        }
    }

    /// Checks the structure.
    ///
    /// # Errors
    /// What [`UNetConfig::validate`] finds; an MLP is checked when it is built.
    pub fn validate(&self) -> Result<(), UNetConfigError> {
        match self {
            Self::UNet(config) => config.validate(),
            Self::Mlp(_) => Ok(()),
        }
    }
}

impl From<&UNetConfig> for Network {
    fn from(config: &UNetConfig) -> Self {
        Self::UNet(Box::new(config.clone()))
    }
}

impl From<&MlpConfig> for Network {
    fn from(config: &MlpConfig) -> Self {
        Self::Mlp(*config)
    }
}

//! Networks: layers, the U-Net, the plan.

pub mod unet_config;

/// A network whose shapes do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A U-Net configuration cannot be used.
    #[error(transparent)]
    Config(#[from] unet_config::UNetConfigError),
}

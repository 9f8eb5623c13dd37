//! Networks: layers, the U-Net, the plan.

pub mod lr_schedule;

/// A network whose shapes do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {}

//! The multilayer perceptron of the 2-D lab: predicts from a noisy point and its timestep.

use serde::{Deserialize, Serialize};

/// Structure of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Numbers a point: 2 in the plane.
    pub features: usize,
    /// Width D of the hidden layers and of the time embedding.
    pub width: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Whether the network is told the timestep.
    pub time_embedding: bool,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self {
            features: 2,
            width: 128,
            blocks: 3,
            time_embedding: true,
        }
    }
}

//! Networks: the graph of layers ([`graph`]), the plan it is compiled to ([`plan`]), the layers
//! ([`layers`]).
//!
//! The accumulation rule, stated once: **parameter gradients are added to (`+=`)**, so that
//! several micro-batches can be summed before one optimiser step; **activations are written
//! (`=`)**; the gradient of an activation is written by the first of its consumers (in backward
//! order) and added to by the others, which is what the `accumulate` flag of a kernel says.
//!
//! Tensors are NCHW at the API and in files. Inside a plan an activation is `[B, H, W, Cp]`
//! (channels last), with Cp the channels rounded up to a multiple of 4 so that kernels read
//! `vec4`; **the padding channels are always zero**, and every kernel keeps them so. A
//! convolution's weight is `[K, K, Cin_p, Cout_p]` (tap, input channel, output channel).

pub mod batch;
pub mod exact;
pub mod graph;
pub mod init;
pub mod layers;
pub mod loss;
pub mod lr_schedule;
pub mod mlp;
pub mod model;
pub mod network;
pub mod optimizer;
pub mod plan;
pub mod profile;
pub mod roofline;
pub mod sample_step;
pub mod state;
pub mod tensor;
#[cfg(test)]
pub(crate) mod testing;
pub mod tuning;
pub mod unet;
pub mod unet_config;
pub mod unet_map;

pub use graph::{Graph, ParamId, ValueId};
pub use plan::{Plan, PlanBuilder, TensorId};
pub use tensor::Shape;

/// A network whose shapes do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Two shapes that must agree do not.
    #[error("{layer}: expected {expected}, found {found}; check the network's configuration.")]
    Shape {
        /// The layer's name.
        layer: String,
        /// What it needs.
        expected: String,
        /// What it got.
        found: String,
    },
    /// A network that cannot be built.
    #[error("{0}")]
    Structure(String),
    /// A U-Net configuration cannot be used.
    #[error(transparent)]
    Config(#[from] unet_config::UNetConfigError),
}

//! The multilayer perceptron of the 2-D lab: predicts from a noisy point and its timestep.
//!
//! A point is an image of one pixel, `[B, 1, 1, features]`, so that q_sample, loss, sampler steps and the trainer
//! serve it as they serve the U-Net's images; a linear layer is a convolution of 1×1 pixels.
//!
//! ```text
//! e       = linear_2(SiLU(linear_1(sinusoidal(t))))           [B, D]; 0 without time embedding
//! h_0     = input(x_t) + e                                    [B, D]
//! h_{k+1} = h_k + blocks.k.linear_2(SiLU(blocks.k.linear_1(h_k)))
//! out     = output(SiLU(h_K))                                 [B, features]
//! ```
//!
//! Equivalent PyTorch:
//! ```text
//! e = self.time_embedding.linear_2(F.silu(self.time_embedding.linear_1(get_timestep_embedding(t, D))))
//! h = self.input(x) + e
//! for block in self.blocks:
//!     h = h + block.linear_2(F.silu(block.linear_1(h)))
//! out = self.output(F.silu(h))
//! ```

use serde::{Deserialize, Serialize};

use super::{
    Graph, ModelError, Shape, ValueId,
    graph::ParamLayout,
    layers::{
        conv2d::Conv2d,
        silu::Silu,
        time_embedding::{self, TimeEmbedding},
    },
    model::{self, Model},
};

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

/// The widest network that is built.
pub const MAX_WIDTH: usize = 1024;
/// The most residual blocks.
pub const MAX_BLOCKS: usize = 32;

/// Longest period of the time embedding over 2π, in timesteps: that of the images' networks (10 000) leaves a quarter
/// of the features all but constant over T = 1000.
const MAX_PERIOD: f64 = 1000.0;

/// Builds the network for a batch of points. `timesteps` is the length T of the time embedding's table; `training` is
/// there for the likeness to [`super::unet::build`]: this network has no dropout.
///
/// # Errors
/// [`ModelError::Structure`] for sizes of 0 or beyond [`MAX_WIDTH`] and [`MAX_BLOCKS`].
pub fn build(
    config: &MlpConfig,
    batch: usize,
    timesteps: usize,
    _training: bool,
) -> Result<Model, ModelError> {
    let (features, d) = (config.features, config.width);
    if !(1..=MAX_WIDTH).contains(&d) || config.blocks > MAX_BLOCKS || features == 0 {
        return Err(ModelError::Structure(format!(
            "a network of {features} features, width {d} and {} blocks cannot be built; choose a width of 1 to {MAX_WIDTH} and at most {MAX_BLOCKS} blocks.",
            config.blocks
        )));
    }
    let mut graph = Graph::new();
    let inputs = model::Inputs {
        x: graph.input("x_t", Shape::vector(batch, features), false),
        t: graph.input("t", Shape::vector(batch, 1), false),
        time_table: graph.input("time table", Shape::vector(timesteps, d), false),
        state: graph.input("state", Shape::vector(1, super::state::STATE_WORDS), false),
    };
    let first = Conv2d::pointwise(features, d);
    let mut h = if config.time_embedding {
        let rows = graph.add(
            "time_proj",
            TimeEmbedding,
            &[inputs.t, inputs.time_table],
            &[],
        )?;
        let square = Conv2d::pointwise(d, d);
        let e = linear(&mut graph, "time_embedding.linear_1", square, &[rows])?;
        let e = graph.add("time_embedding.act", Silu, &[e], &[])?;
        let e = linear(&mut graph, "time_embedding.linear_2", square, &[e])?;
        linear(&mut graph, "input", first.with_residual(), &[inputs.x, e])?
    } else {
        linear(&mut graph, "input", first, &[inputs.x])?
    };
    for k in 0..config.blocks {
        graph.begin_segment();
        let layer = Conv2d::pointwise(d, d);
        let name = format!("blocks.{k}");
        let r = linear(&mut graph, &format!("{name}.linear_1"), layer, &[h])?;
        let r = graph.add(&format!("{name}.act"), Silu, &[r], &[])?;
        let label = format!("{name}.linear_2");
        h = linear(&mut graph, &label, layer.with_residual(), &[r, h])?;
    }
    graph.begin_segment();
    let h = graph.add("output.act", Silu, &[h], &[])?;
    let output = linear(&mut graph, "output", Conv2d::pointwise(d, features), &[h])?;
    let table = time_embedding::table(timesteps, d, false, 1.0, MAX_PERIOD);
    Ok(Model {
        graph,
        inputs,
        output,
        time_table: super::tensor::pad_rows(&table, d),
    })
}

fn linear(
    graph: &mut Graph,
    name: &str,
    layer: Conv2d,
    inputs: &[ValueId],
) -> Result<ValueId, ModelError> {
    let params = [
        graph.param(format!("{name}.weight"), layer.weight_layout(true)),
        graph.param(
            format!("{name}.bias"),
            ParamLayout::Vector { c: layer.cout },
        ),
    ];
    graph.add(name, layer, inputs, &params)
}

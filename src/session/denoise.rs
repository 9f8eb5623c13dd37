//! A predictor in a plan: the network's forward pass, or the exact denoiser, on the same tensors.

use super::sampling::Predictor;
use crate::{
    Result,
    diffusion::NoiseSchedule,
    nn::{
        PlanBuilder, Shape, TensorId, batch,
        exact::{self, ExactIo},
        model::{Model, ParamSet},
    },
};

/// A predictor for one batch size.
#[derive(Debug)]
pub enum Denoise<'a> {
    /// A network with its weights.
    Network(Box<Model>, &'a ParamSet),
    /// The exact denoiser.
    Exact {
        /// Points.
        batch: usize,
        /// (√ᾱ_t, √(1 − ᾱ_t)), `[T, 2]`.
        factors: Vec<f32>,
        /// Of the mixture, as the kernel has it.
        components: Vec<f32>,
        /// Components.
        count: usize,
    },
}

impl<'a> Denoise<'a> {
    /// Builds it.
    ///
    /// # Errors
    /// A network that cannot be built.
    pub fn new(
        predictor: Predictor<'a>,
        schedule: &NoiseSchedule,
        batch_size: usize,
    ) -> Result<Self> {
        Ok(match predictor {
            Predictor::Network(network, weights) => {
                let model = network.build(batch_size, schedule.timesteps(), false)?;
                Self::Network(Box::new(model), weights)
            }
            Predictor::Exact(mixture) => Self::Exact {
                batch: batch_size,
                factors: batch::q_sample_table(schedule),
                components: exact::table(mixture),
                count: mixture.components.len(),
            },
        })
    }

    /// Shape of x_t and of the prediction.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Network(model, _) => model.graph.shape(model.inputs.x),
            Self::Exact { batch, .. } => Shape::vector(*batch, 2),
        }
    }

    /// What it looks up by t: the time embedding, or the factors of q(x_t | x_0).
    pub fn table(&self) -> &[f32] {
        match self {
            Self::Network(model, _) => &model.time_table,
            Self::Exact { factors, .. } => factors,
        }
    }

    /// The mixture's components; a placeholder for a network.
    pub fn components(&self) -> &[f32] {
        match self {
            Self::Network(..) => &[0.0; 4],
            Self::Exact { components, .. } => components,
        }
    }

    /// Emits the prediction from x_t and t, `[B]` u32, with the views of [`Denoise::table`] and
    /// [`Denoise::components`]; returns it.
    pub fn emit(
        &self,
        plan: &mut PlanBuilder,
        (x, t): (TensorId, TensorId),
        (table, components): (TensorId, TensorId),
        state: TensorId,
    ) -> TensorId {
        match self {
            Self::Network(model, weights) => {
                let weights = weights.bind(plan, model.graph.params());
                model.lower(plan, x, t, table, state, &weights).output
            }
            Self::Exact { count, .. } => {
                let shape = self.shape();
                let eps = plan.tensor("eps", shape.words());
                plan.set_label("exact denoiser");
                let io = ExactIo {
                    shape,
                    x,
                    t,
                    table,
                    components,
                    count: *count,
                    eps,
                    log_q: None,
                };
                exact::emit(plan, &io, state);
                eps
            }
        }
    }
}

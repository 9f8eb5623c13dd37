//! A model: a graph that predicts from a noisy sample and its timestep, with its weights on a
//! device.

use std::sync::Arc;

use super::{
    Graph, PlanBuilder, TensorId, ValueId,
    graph::{Lowered, ParamInfo},
};
use crate::gpu::{Gpu, GpuError, View, memory::Pool};

/// The inputs that every model has.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    /// The noisy sample `[B, H, W, C]`.
    pub x: ValueId,
    /// The timesteps, u32 `[B, 1, 1, 1]`, 0-based.
    pub t: ValueId,
    /// The table of sinusoidal embeddings `[T, D]`.
    pub time_table: ValueId,
    /// The step's scalars, see [`super::state`].
    pub state: ValueId,
}

/// A graph with its inputs and output, for one batch size.
#[derive(Debug)]
pub struct Model {
    /// The layers.
    pub graph: Graph,
    /// The inputs.
    pub inputs: Inputs,
    /// The prediction `[B, H, W, C]`.
    pub output: ValueId,
    /// Content of [`Inputs::time_table`], `[T, D]` padded as the plan has it.
    pub time_table: Vec<f32>,
}

/// Sets of numbers in the parameters' layout: weights, gradients, moments, averages.
#[derive(Debug)]
pub struct ParamSet {
    pool: Pool,
    views: Vec<View>,
}

impl ParamSet {
    /// Room for all parameters, zeroed, in their order.
    ///
    /// # Errors
    /// A parameter beyond the binding limit, or no memory.
    pub fn zeros(
        gpu: &Arc<Gpu>,
        label: &'static str,
        params: &[ParamInfo],
    ) -> Result<Self, GpuError> {
        let (pool, views) = Pool::allocate(gpu, label, &Self::sizes(params))?;
        Ok(Self { pool, views })
    }

    /// Each parameter's name and bytes.
    pub fn sizes(params: &[ParamInfo]) -> Vec<(&str, u64)> {
        params
            .iter()
            .map(|p| (p.name.as_str(), 4 * p.words() as u64))
            .collect()
    }

    /// Each parameter's view.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// The chunks, whole: equal for all sets of the same parameters.
    pub fn chunks(&self) -> Vec<View> {
        self.pool.chunks()
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.pool.bytes()
    }

    /// Writes all parameters, given in the layout of files.
    pub fn write(&self, gpu: &Gpu, params: &[ParamInfo], files: &[Vec<f32>]) {
        for ((view, info), file) in self.views.iter().zip(params).zip(files) {
            view.write(gpu, 0, &info.pack(file));
        }
    }

    /// The parameters as tensors of a plan.
    pub fn bind(&self, plan: &mut PlanBuilder, params: &[ParamInfo]) -> Vec<TensorId> {
        self.views
            .iter()
            .zip(params)
            .map(|(v, p)| plan.external(p.name.clone(), v))
            .collect()
    }

    /// Reads all parameters into the layout of files, waiting. Native only.
    ///
    /// # Errors
    /// A lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, gpu: &Gpu, params: &[ParamInfo]) -> Result<Vec<Vec<f32>>, GpuError> {
        let mut out = Vec::with_capacity(params.len());
        // In groups, so that the staging copies of a large model do not double its memory.
        for (views, infos) in self.views.chunks(32).zip(params.chunks(32)) {
            let words = crate::gpu::readback::read_f32(gpu, views)?;
            out.extend(words.iter().zip(infos).map(|(w, i)| i.unpack(w)));
        }
        Ok(out)
    }
}

/// The tensors of a model inside a plan.
#[derive(Debug)]
pub struct Bound {
    /// The noisy sample.
    pub x: TensorId,
    /// The timesteps.
    pub t: TensorId,
    /// The step's scalars.
    pub state: TensorId,
    /// The prediction.
    pub output: TensorId,
    /// All values.
    pub lowered: Lowered,
}

impl Model {
    /// Emits the forward pass on tensors of the plan.
    pub fn lower(
        &self,
        plan: &mut PlanBuilder,
        x: TensorId,
        t: TensorId,
        time_table: TensorId,
        state: TensorId,
        weights: &[TensorId],
    ) -> Bound {
        let bound = [
            (self.inputs.x, x),
            (self.inputs.t, t),
            (self.inputs.time_table, time_table),
            (self.inputs.state, state),
        ];
        let lowered = self.graph.lower_forward(plan, &bound, weights);
        Bound {
            x,
            t,
            state,
            output: lowered.tensors[&self.output],
            lowered,
        }
    }
}

//! The layers. Each is one Rust file and one WGSL file of the same stem, and one line in
//! `cases`, over which the tests loop.

pub mod add;
pub mod attention;
pub mod concat;
pub mod conv2d;
pub mod dropout;
pub mod fourier;
pub mod group_norm;
pub mod projections;
pub mod resample;
pub mod row_sums;
pub mod scale;
pub mod silu;
pub mod time_embedding;

use std::ops::Range;

use super::{
    ModelError, PlanBuilder, Shape, TensorId,
    tensor::{Planes, RefTensor},
};

/// A tensor with its shape.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    /// The tensor.
    pub tensor: TensorId,
    /// Its shape.
    pub shape: Shape,
    /// How it lies in memory, if it is two values that were not copied together. Only layers that read it so
    /// ([`Layer::reads_planes`]) get such an operand; its gradient lies in the same way.
    pub planes: Option<Planes>,
}

impl Operand {
    /// A tensor that lies as layers expect it.
    pub const fn of(tensor: TensorId, shape: Shape) -> Self {
        Self {
            tensor,
            shape,
            planes: None,
        }
    }

    /// The `vec4`s of channels that lie together, and where the others start, as kernels take them.
    pub fn split(&self) -> (u32, u32) {
        self.planes.map_or((self.shape.c4() as u32, 0), |p| {
            (p.first_c4 as u32, p.second as u32)
        })
    }
}

/// What a layer's forward pass works on.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Inputs, in the order the layer documents.
    pub inputs: &'a [Operand],
    /// Parameters, likewise.
    pub params: &'a [TensorId],
    /// Where to write (`=`).
    pub output: Operand,
    /// The node's number in its graph: a stream of random numbers of its own.
    pub node: usize,
}

/// Where an input's gradient goes.
#[derive(Debug, Clone, Copy)]
pub struct GradTarget {
    /// The tensor.
    pub tensor: TensorId,
    /// Add to it instead of writing it.
    pub accumulate: bool,
}

/// What a layer's backward pass works on.
#[derive(Debug)]
pub struct Backward<'a> {
    /// Inputs of the forward pass.
    pub inputs: &'a [Operand],
    /// Parameters.
    pub params: &'a [TensorId],
    /// Output of the forward pass.
    pub output: Operand,
    /// What [`Layer::forward`] returned.
    pub saved: &'a [TensorId],
    /// Gradient of the output.
    pub grad_output: TensorId,
    /// Gradients of the inputs; `None` where none is wanted or [`Layer::passes_gradient`] holds.
    pub grad_inputs: &'a [Option<GradTarget>],
    /// Gradients of the parameters (`+=`).
    pub grad_params: &'a [TensorId],
    /// The node's number in its graph.
    pub node: usize,
}

/// Gradients that [`Layer::reference_backward`] returns: of the inputs, of the parameters.
pub type RefGrads = (Vec<RefTensor>, Vec<RefTensor>);

/// A layer: shapes, dispatches forward and backward, and a reference on the CPU.
pub trait Layer: std::fmt::Debug + Send + Sync {
    /// The output's shape.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the inputs do not fit.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError>;

    /// Emits the forward pass; returns tensors that the backward pass needs besides inputs and
    /// output.
    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId>;

    /// Emits the backward pass.
    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>);

    /// Whether the gradient of input `k` is the output's gradient itself (a residual).
    fn passes_gradient(&self, _k: usize) -> bool {
        false
    }

    /// The channels that the layer reads of input `k`, where it reads some of them only. Its gradient
    /// is then written for these alone; all consumers of such a value are of this kind and together
    /// read all of it.
    fn slice_of(&self, _k: usize) -> Option<Range<usize>> {
        None
    }

    /// Whether the layer puts two values side by side and does nothing else.
    fn concatenates(&self) -> bool {
        false
    }

    /// Whether the layer can read input `k` as two values that lie apart.
    fn reads_planes(&self, _k: usize) -> bool {
        false
    }

    /// The forward pass in f64, `[B, H, W, C]`; parameters in the layout of files.
    fn reference_forward(&self, inputs: &[RefTensor], params: &[RefTensor]) -> RefTensor;

    /// The backward pass in f64. The gradient of an input without one (a timestep) is zero.
    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads;
}

/// Threads of a workgroup in all element-wise kernels.
pub const GROUP: usize = 64;

/// `ModelError::Shape` without the layer's name, which the graph fills in.
pub(crate) fn shape_error(expected: impl Into<String>, found: impl ToString) -> ModelError {
    ModelError::Shape {
        layer: String::new(),
        expected: expected.into(),
        found: found.to_string(),
    }
}

/// A layer with shapes to try it on.
#[cfg(test)]
pub(crate) struct Case {
    pub name: &'static str,
    pub layer: std::sync::Arc<dyn Layer>,
    pub inputs: Vec<Shape>,
    /// Inputs that hold whole numbers (as u32), each with its exclusive upper bound.
    pub integers: Vec<(usize, u32)>,
    pub params: Vec<super::graph::ParamLayout>,
}

/// Every layer's cases.
#[cfg(test)]
pub(crate) fn cases() -> Vec<Case> {
    [
        add::cases(),
        attention::cases(),
        concat::cases(),
        conv2d::cases(),
        dropout::cases(),
        fourier::cases(),
        group_norm::cases(),
        projections::cases(),
        resample::cases(),
        scale::cases(),
        silu::cases(),
        time_embedding::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
pub(crate) mod testing;

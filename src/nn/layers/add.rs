//! Sums: `y = a + b`, element by element, and the sum of gradients that the graph itself emits.
//!
//! Equivalent PyTorch: `a + b`.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/add.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    /// `vec4`s in the tensor.
    pub vec4s: u32,
    /// Add to the output instead of writing it.
    pub accumulate: u32,
}

/// `y = a + b`; inputs `[a, b]` of one shape.
#[derive(Debug, Clone, Copy)]
pub struct Add;

/// Emits `target += source` or, without `add`, `target = source`, over `words` words.
pub fn accumulate(
    plan: &mut PlanBuilder,
    source: TensorId,
    target: TensorId,
    words: usize,
    add: bool,
) {
    let vec4s = words / 4;
    plan.dispatch(
        KernelId::new("layers/add", "accumulate"),
        &Params {
            vec4s: vec4s as u32,
            accumulate: u32::from(add),
        },
        &[(1, source.into()), (3, target.into())],
        vec4s.div_ceil(GROUP),
        words as u64,
    );
}

impl Layer for Add {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        if inputs.len() != 2 || inputs[0] != inputs[1] {
            return Err(shape_error(
                "two inputs of one shape",
                format!("{inputs:?}"),
            ));
        }
        Ok(inputs[0])
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let vec4s = io.output.shape.words() / 4;
        plan.dispatch(
            KernelId::new("layers/add", "forward"),
            &Params {
                vec4s: vec4s as u32,
                accumulate: 0,
            },
            &[
                (1, io.inputs[0].tensor.into()),
                (2, io.inputs[1].tensor.into()),
                (3, io.output.tensor.into()),
            ],
            vec4s.div_ceil(GROUP),
            io.output.shape.len() as u64,
        );
        Vec::new()
    }

    fn backward(&self, _plan: &mut PlanBuilder, _io: &Backward<'_>) {}

    fn passes_gradient(&self, _k: usize) -> bool {
        true
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let mut y = inputs[0].clone();
        for (y, b) in y.data.iter_mut().zip(&inputs[1].data) {
            *y += b;
        }
        y
    }

    fn reference_backward(
        &self,
        _inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        (vec![grad_output.clone(), grad_output.clone()], Vec::new())
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let shape = Shape::new(2, 3, 5, 6);
    vec![super::Case {
        name: "add",
        layer: std::sync::Arc::new(Add),
        inputs: vec![shape, shape],
        integers: Vec::new(),
        params: Vec::new(),
    }]
}

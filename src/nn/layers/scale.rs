//! A fixed affine map, `y = x · mul + add`, for `center_input_sample` (2 x − 1) and
//! `mid_block_scale_factor`.
//!
//! Equivalent PyTorch: `x * mul + add`.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/scale.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    vec4s: u32,
    c4: u32,
    channels: u32,
    mul: f32,
    add: f32,
    accumulate: u32,
}

/// `y = x · mul + add`. Input `[x]` of any shape.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// The factor.
    pub mul: f32,
    /// The summand.
    pub add: f32,
}

impl Scale {
    fn emit(
        &self,
        plan: &mut PlanBuilder,
        (source, target): (TensorId, TensorId),
        shape: Shape,
        accumulate: bool,
    ) {
        let vec4s = shape.words() / 4;
        plan.dispatch(
            KernelId::new("layers/scale", "forward"),
            &Params {
                vec4s: vec4s as u32,
                c4: shape.c4() as u32,
                channels: shape.c as u32,
                mul: self.mul,
                add: self.add,
                accumulate: u32::from(accumulate),
            },
            &[(1, source.into()), (2, target.into())],
            vec4s.div_ceil(GROUP),
            2 * shape.len() as u64,
        );
    }
}

impl Layer for Scale {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        match inputs {
            [x] => Ok(*x),
            _ => Err(shape_error("1 input", inputs.len())),
        }
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let tensors = (io.inputs[0].tensor, io.output.tensor);
        self.emit(plan, tensors, io.output.shape, false);
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        if let Some(target) = io.grad_inputs[0] {
            let slope = Self { add: 0.0, ..*self };
            let tensors = (io.grad_output, target.tensor);
            slope.emit(plan, tensors, io.output.shape, target.accumulate);
        }
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let mut y = inputs[0].clone();
        for v in &mut y.data {
            *v = *v * f64::from(self.mul) + f64::from(self.add);
        }
        y
    }

    fn reference_backward(
        &self,
        _inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let mut dx = grad_output.clone();
        dx.data.iter_mut().for_each(|d| *d *= f64::from(self.mul));
        (vec![dx], Vec::new())
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, mul, add, shape| super::Case {
        name,
        layer: std::sync::Arc::new(Scale { mul, add }),
        inputs: vec![shape],
        integers: Vec::new(),
        params: Vec::new(),
    };
    vec![
        case("scale 2 x - 1", 2.0, -1.0, Shape::new(2, 4, 3, 3)),
        case("scale", 0.7, 0.0, Shape::new(1, 2, 5, 10)),
    ]
}

//! Nearest-neighbour upsampling by 2: every pixel becomes 2 × 2.
//!
//! Equivalent PyTorch: `F.interpolate(x, scale_factor=2.0, mode="nearest")`.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/resample.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    rows: u32,
    w: u32,
    c4: u32,
    accumulate: u32,
}

/// Upsampling. Input `[x]`, `[B, H, W, C]`; output `[B, 2 H, 2 W, C]`.
#[derive(Debug, Clone, Copy)]
pub struct UpsampleNearest;

fn params(x: Shape, accumulate: bool) -> Params {
    Params {
        rows: (x.b * x.h) as u32,
        w: x.w as u32,
        c4: x.c4() as u32,
        accumulate: u32::from(accumulate),
    }
}

/// Visits every element of y with the element of x that it copies.
fn each(x: Shape, y: Shape, mut f: impl FnMut(usize, usize)) {
    for i in 0..y.len() {
        let (pixel, c) = (i / y.c, i % y.c);
        let (row, column) = (pixel / y.w, pixel % y.w);
        // Rows of all images in turn: each has an even number of them.
        f(((row / 2) * x.w + column / 2) * x.c + c, i);
    }
}

impl Layer for UpsampleNearest {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        match inputs {
            [x] => Ok(Shape::new(x.b, 2 * x.h, 2 * x.w, x.c)),
            _ => Err(shape_error("1 input", inputs.len())),
        }
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let x = io.inputs[0];
        plan.dispatch(
            KernelId::new("layers/resample", "forward"),
            &params(x.shape, false),
            &[(1, x.tensor.into()), (2, io.output.tensor.into())],
            (x.shape.words() / 4).div_ceil(GROUP),
            0,
        );
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let Some(target) = io.grad_inputs[0] else {
            return;
        };
        let x = io.inputs[0].shape;
        plan.dispatch(
            KernelId::new("layers/resample", "backward_input"),
            &params(x, target.accumulate),
            &[(1, target.tensor.into()), (2, io.grad_output.into())],
            (x.words() / 4).div_ceil(GROUP),
            3 * x.len() as u64,
        );
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let x = &inputs[0];
        let s = x.shape;
        let mut y = RefTensor::zeros(Shape::new(s.b, 2 * s.h, 2 * s.w, s.c));
        each(s, y.shape, |from, to| y.data[to] = x.data[from]);
        y
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let mut dx = RefTensor::zeros(inputs[0].shape);
        each(inputs[0].shape, grad_output.shape, |from, to| {
            dx.data[from] += grad_output.data[to];
        });
        (vec![dx], Vec::new())
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, shape| super::Case {
        name,
        layer: std::sync::Arc::new(UpsampleNearest),
        inputs: vec![shape],
        integers: Vec::new(),
        params: Vec::new(),
    };
    vec![
        case("upsampling", Shape::new(2, 3, 5, 8)),
        case("upsampling, odd channels", Shape::new(1, 4, 3, 6)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_becomes_two_by_two() {
        let x = RefTensor {
            data: vec![1.0, 2.0, 3.0, 4.0],
            shape: Shape::new(2, 1, 2, 1),
        };
        let y = UpsampleNearest.reference_forward(&[x], &[]);
        let expected = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4];
        assert_eq!(y.shape, Shape::new(2, 2, 4, 1));
        assert_eq!(y.data, expected.map(f64::from));
    }
}

//! SiLU, `y = x · σ(x)` (Elfwing et al. 2018, arXiv:1702.03118), element by element.
//!
//! Equivalent PyTorch: `F.silu(x)`.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/silu.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    vec4s: u32,
    accumulate: u32,
}

/// SiLU. Input `[x]` of any shape.
#[derive(Debug, Clone, Copy)]
pub struct Silu;

/// x · σ(x).
pub(crate) fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The derivative of [`silu`].
pub(crate) fn derivative(x: f64) -> f64 {
    let s = 1.0 / (1.0 + (-x).exp());
    s * (1.0 + x * (1.0 - s))
}

impl Layer for Silu {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        match inputs {
            [x] => Ok(*x),
            _ => Err(shape_error("1 input", inputs.len())),
        }
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let vec4s = io.output.shape.words() / 4;
        plan.dispatch(
            KernelId::new("layers/silu", "forward"),
            &Params {
                vec4s: vec4s as u32,
                accumulate: 0,
            },
            &[
                (1, io.inputs[0].tensor.into()),
                (2, io.output.tensor.into()),
            ],
            vec4s.div_ceil(GROUP),
            5 * io.output.shape.len() as u64,
        );
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let Some(target) = io.grad_inputs[0] else {
            return;
        };
        let vec4s = io.output.shape.words() / 4;
        plan.dispatch(
            KernelId::new("layers/silu", "backward_input"),
            &Params {
                vec4s: vec4s as u32,
                accumulate: u32::from(target.accumulate),
            },
            &[
                (1, io.inputs[0].tensor.into()),
                (2, io.grad_output.into()),
                (3, target.tensor.into()),
            ],
            vec4s.div_ceil(GROUP),
            9 * io.output.shape.len() as u64,
        );
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let mut y = inputs[0].clone();
        y.data.iter_mut().for_each(|v| *v = silu(*v));
        y
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let mut dx = grad_output.clone();
        for (d, x) in dx.data.iter_mut().zip(&inputs[0].data) {
            *d *= derivative(*x);
        }
        (vec![dx], Vec::new())
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, shape| super::Case {
        name,
        layer: std::sync::Arc::new(Silu),
        inputs: vec![shape],
        integers: Vec::new(),
        params: Vec::new(),
    };
    vec![
        case("SiLU", Shape::new(2, 3, 5, 6)),
        case("SiLU of a vector", Shape::vector(1, 33)),
    ]
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{PLAIN, run},
        *,
    };

    #[test]
    fn far_from_zero_it_is_zero_or_the_identity() {
        let shape = Shape::vector(1, 8);
        let case = super::super::Case {
            name: "SiLU, far from zero",
            layer: std::sync::Arc::new(Silu),
            inputs: vec![shape],
            integers: Vec::new(),
            params: Vec::new(),
        };
        let mut x = RefTensor::zeros(shape);
        x.data = vec![-1e10, -1000.0, -90.0, -20.0, 20.0, 90.0, 1000.0, 1e10];
        let mut grad = RefTensor::zeros(shape);
        grad.data.fill(1.0);
        let out = run(&case, std::slice::from_ref(&x), &[], &grad, PLAIN);
        for (i, &x) in x.data.iter().enumerate() {
            let (y, d) = (f64::from(out[0][i]), f64::from(out[1][i]));
            assert!(
                (y - x.max(0.0)).abs() <= 1e-6 * x.abs().min(20.0),
                "{x}: {y}"
            );
            assert!((d - f64::from(u8::from(x > 0.0))).abs() < 1e-6, "{x}: {d}");
        }
    }
}

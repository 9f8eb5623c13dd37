//! Concatenation of two tensors along channels (the U-Net's skip connections).
//!
//! Equivalent PyTorch: `torch.cat([a, b], dim=1)`.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/concat.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pixels: u32,
    a4: u32,
    b4: u32,
    y4: u32,
    rest: u32,
    column: u32,
    columns: u32,
    accumulate: u32,
}

/// Concatenation. Inputs `[a, b]`, `[B, H, W, Ca]` and `[B, H, W, Cb]`; output
/// `[B, H, W, Ca + Cb]`. The inputs must be two tensors.
#[derive(Debug, Clone, Copy)]
pub struct Concat;

fn params(a: Shape, b: Shape) -> Params {
    Params {
        pixels: a.pixels() as u32,
        a4: a.c4() as u32,
        b4: b.c4() as u32,
        y4: (a.c + b.c).div_ceil(4) as u32,
        rest: (a.c % 4) as u32,
        column: 0,
        columns: 0,
        accumulate: 0,
    }
}

impl Layer for Concat {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        match inputs {
            [a, b] if (a.b, a.h, a.w) == (b.b, b.h, b.w) => Ok(Shape { c: a.c + b.c, ..*a }),
            [a, b] => Err(shape_error(
                format!("two inputs that differ in channels only, the first {a}"),
                b,
            )),
            _ => Err(shape_error("2 inputs", inputs.len())),
        }
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let (a, b) = (io.inputs[0], io.inputs[1]);
        plan.dispatch(
            KernelId::new("layers/concat", "forward"),
            &params(a.shape, b.shape),
            &[
                (1, a.tensor.into()),
                (2, b.tensor.into()),
                (3, io.output.tensor.into()),
            ],
            (io.output.shape.words() / 4).div_ceil(GROUP),
            0,
        );
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let (a, b) = (io.inputs[0].shape, io.inputs[1].shape);
        let (da, db) = (io.grad_inputs[0], io.grad_inputs[1]);
        let mut params = params(a, b);
        // The columns of both gradients in a row, without those that are not wanted.
        let from = if da.is_some() { 0 } else { a.c4() };
        let to = a.c4() + if db.is_some() { b.c4() } else { 0 };
        if from >= to {
            return;
        }
        params.column = from as u32;
        params.columns = (to - from) as u32;
        let mut args = vec![(3, io.grad_output.into())];
        for (binding, target) in [(1, da), (2, db)] {
            if let Some(target) = target {
                args.push((binding, target.tensor.into()));
                if target.accumulate {
                    params.accumulate |= binding;
                }
            }
        }
        plan.dispatch(
            KernelId::new("layers/concat", "backward_input"),
            &params,
            &args,
            (a.pixels() * (to - from)).div_ceil(GROUP),
            0,
        );
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let (a, b) = (&inputs[0], &inputs[1]);
        let (ca, cb) = (a.shape.c, b.shape.c);
        let mut data = Vec::with_capacity(a.data.len() + b.data.len());
        for (a, b) in a.data.chunks(ca).zip(b.data.chunks(cb)) {
            data.extend_from_slice(a);
            data.extend_from_slice(b);
        }
        RefTensor {
            data,
            shape: Shape {
                c: ca + cb,
                ..a.shape
            },
        }
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let (mut da, mut db) = (inputs[0].clone(), inputs[1].clone());
        let (ca, cb) = (da.shape.c, db.shape.c);
        let pixels = grad_output.data.chunks(ca + cb);
        for ((a, b), y) in da
            .data
            .chunks_mut(ca)
            .zip(db.data.chunks_mut(cb))
            .zip(pixels)
        {
            a.copy_from_slice(&y[..ca]);
            b.copy_from_slice(&y[ca..]);
        }
        (vec![da, db], Vec::new())
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, (b, h, w), (ca, cb)| super::Case {
        name,
        layer: std::sync::Arc::new(Concat),
        inputs: vec![Shape::new(b, h, w, ca), Shape::new(b, h, w, cb)],
        integers: Vec::new(),
        params: Vec::new(),
    };
    vec![
        case("concat 8 + 12", (2, 3, 5), (8, 12)),
        case("concat 4 + 6", (1, 4, 3), (4, 6)),
        case("concat 6 + 10", (2, 3, 4), (6, 10)),
        case("concat 5 + 2", (2, 2, 3), (5, 2)),
        case("concat 7 + 9", (1, 5, 2), (7, 9)),
        case("concat 1 + 1", (3, 2, 2), (1, 1)),
        case("concat 3 + 12", (1, 2, 3), (3, 12)),
        case("concat 2 + 7", (2, 1, 3), (2, 7)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_must_agree() {
        let a = Shape::new(2, 4, 4, 3);
        assert_eq!(Concat.output_shape(&[a, Shape { c: 5, ..a }]).unwrap().c, 8);
        assert!(Concat.output_shape(&[a, Shape { h: 2, ..a }]).is_err());
        assert!(Concat.output_shape(&[a]).is_err());
    }
}

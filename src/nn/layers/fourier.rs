//! Fourier features of the input (Tancik et al. 2020, arXiv:2006.10739): a network of smooth layers learns what changes
//! over short distances much sooner when it is given sines and cosines of its input.
//!
//! Equivalent PyTorch:
//! ```text
//! torch.cat([x] + [f(first * 2**k * x) for k in range(octaves) for f in (torch.sin, torch.cos)], 1)
//! ```

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/fourier.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pixels: u32,
    c4: u32,
    channels: u32,
    out_c4: u32,
    octaves: u32,
    turns: f32,
    accumulate: u32,
    pad0: u32,
}

/// x and its sines and cosines. Input `[x]` of C channels; output of C (1 + 2 K).
#[derive(Debug, Clone, Copy)]
pub struct Fourier {
    /// ω_0, radians a unit of x; ω_k = ω_0 2^k.
    pub first: f32,
    /// K.
    pub octaves: usize,
}

impl Fourier {
    /// Channels of the output for `channels` of the input.
    pub const fn channels(&self, channels: usize) -> usize {
        channels * (1 + 2 * self.octaves)
    }

    fn params(&self, x: Shape, y: Shape, accumulate: bool) -> Params {
        Params {
            pixels: x.pixels() as u32,
            c4: x.c4() as u32,
            channels: x.c as u32,
            out_c4: y.c4() as u32,
            octaves: self.octaves as u32,
            turns: self.first / std::f32::consts::TAU,
            accumulate: u32::from(accumulate),
            pad0: 0,
        }
    }

    fn frequency(&self, k: usize) -> f64 {
        f64::from(self.first) * 2.0_f64.powi(k as i32)
    }
}

impl Layer for Fourier {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        match inputs {
            [x] => Ok(Shape {
                c: self.channels(x.c),
                ..*x
            }),
            _ => Err(shape_error("1 input", inputs.len())),
        }
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let (x, y) = (io.inputs[0], io.output);
        plan.dispatch(
            KernelId::new("layers/fourier", "forward"),
            &self.params(x.shape, y.shape, false),
            &[(1, x.tensor.into()), (2, y.tensor.into())],
            (y.shape.words() / 4).div_ceil(GROUP),
            15 * y.shape.len() as u64,
        );
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let Some(target) = io.grad_inputs[0] else {
            return;
        };
        let x = io.inputs[0];
        plan.dispatch(
            KernelId::new("layers/fourier", "backward_input"),
            &self.params(x.shape, io.output.shape, target.accumulate),
            &[
                (1, x.tensor.into()),
                (2, io.grad_output.into()),
                (3, target.tensor.into()),
            ],
            (x.shape.words() / 4).div_ceil(GROUP),
            20 * io.output.shape.len() as u64,
        );
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let x = &inputs[0];
        let shape = x.shape;
        let mut data = Vec::with_capacity(shape.pixels() * self.channels(shape.c));
        for pixel in x.data.chunks(shape.c) {
            data.extend_from_slice(pixel);
            for k in 0..self.octaves {
                let w = self.frequency(k);
                data.extend(pixel.iter().map(|v| (w * v).sin()));
                data.extend(pixel.iter().map(|v| (w * v).cos()));
            }
        }
        RefTensor {
            data,
            shape: Shape {
                c: self.channels(shape.c),
                ..shape
            },
        }
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let x = &inputs[0];
        let c = x.shape.c;
        let mut dx = RefTensor::zeros(x.shape);
        let grads = grad_output.data.chunks(self.channels(c));
        for ((d, x), g) in (dx.data.chunks_mut(c)).zip(x.data.chunks(c)).zip(grads) {
            for i in 0..c {
                d[i] = g[i];
                for k in 0..self.octaves {
                    let w = self.frequency(k);
                    let at = (1 + 2 * k) * c + i;
                    d[i] += w * ((w * x[i]).cos() * g[at] - (w * x[i]).sin() * g[at + c]);
                }
            }
        }
        (vec![dx], Vec::new())
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, first, octaves, shape| super::Case {
        name,
        layer: std::sync::Arc::new(Fourier { first, octaves }),
        inputs: vec![shape],
        integers: Vec::new(),
        params: Vec::new(),
    };
    vec![
        case("Fourier features", 1.0, 3, Shape::vector(70, 2)),
        case("Fourier features of pixels", 0.7, 2, Shape::new(2, 3, 2, 5)),
        case("no Fourier features", 1.0, 0, Shape::vector(3, 6)),
    ]
}

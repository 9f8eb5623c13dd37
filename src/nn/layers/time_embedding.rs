//! The sinusoidal embedding of the timestep (Vaswani et al. 2017, section 3.5; Ho et al. 2020,
//! appendix B). WGSL promises little of sin and cos far from zero, so the embeddings of all
//! timesteps are made once on the CPU ([`table`]) and the layer takes a row for each sample.
//!
//! Equivalent PyTorch: `table[t]`, with `table = get_timestep_embedding(torch.arange(T), C, …)`.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/time_embedding.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    rows: u32,
    c4: u32,
    accumulate: u32,
}

/// `max_period` of [`table`] in diffusers and in DDPM.
pub const MAX_PERIOD: f64 = 10_000.0;

/// The embeddings of the timesteps 0 … `timesteps` − 1, `[T, C]` without padding, as diffusers'
/// `get_timestep_embedding` makes them:
///
/// ```text
/// f_k = exp(−ln(max_period) · k / (⌊C/2⌋ − freq_shift))
/// row t = [sin(t f_0), sin(t f_1), …, cos(t f_0), cos(t f_1), …]
/// ```
///
/// with the two halves exchanged when `flip_sin_to_cos`, and a zero at the end when C is odd.
/// Frequencies and angles are rounded to f32 as they are there, since at t = 999 that rounding
/// is what one sees; sine and cosine are those of f64.
pub fn table(
    timesteps: usize,
    channels: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    max_period: f64,
) -> Vec<f32> {
    let half = channels / 2;
    let divisor = (half as f64 - freq_shift) as f32;
    let slope = -max_period.ln() as f32;
    let frequencies: Vec<f32> = (0..half)
        .map(|k| f64::from(slope * k as f32 / divisor).exp() as f32)
        .collect();
    let (sin_at, cos_at) = if flip_sin_to_cos {
        (half, 0)
    } else {
        (0, half)
    };
    let mut out = vec![0.0; timesteps * channels];
    for (t, row) in out.chunks_mut(channels.max(1)).enumerate() {
        for (k, f) in frequencies.iter().enumerate() {
            let (sin, cos) = f64::from(t as f32 * f).sin_cos();
            row[sin_at + k] = sin as f32;
            row[cos_at + k] = cos as f32;
        }
    }
    out
}

/// Takes a row of a table for each sample. Inputs `[t, table]`: `t` is `[B, 1, 1, 1]` and holds
/// B u32 words one after the other, without padding, and must not be differentiable; `table` is
/// `[T, 1, 1, C]`. Output `[B, 1, 1, C]`. A `t` beyond the table takes the last row.
#[derive(Debug, Clone, Copy)]
pub struct TimeEmbedding;

fn row_of(t: &RefTensor, b: usize, rows: usize) -> usize {
    (t.data[b] as usize).min(rows - 1)
}

fn params(t: Shape, table: Shape, accumulate: bool) -> Params {
    Params {
        batch: t.b as u32,
        rows: table.b as u32,
        c4: table.c4() as u32,
        accumulate: u32::from(accumulate),
    }
}

impl Layer for TimeEmbedding {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        let [t, table] = inputs else {
            return Err(shape_error("2 inputs, t and the table", inputs.len()));
        };
        if *t != Shape::vector(t.b, 1) {
            return Err(shape_error("timesteps of shape [B, 1, 1, 1]", t));
        }
        if *table != Shape::vector(table.b, table.c) || table.is_empty() {
            return Err(shape_error("a table of shape [T, 1, 1, C]", table));
        }
        Ok(Shape::vector(t.b, table.c))
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let (t, table) = (io.inputs[0], io.inputs[1]);
        plan.dispatch(
            KernelId::new("layers/time_embedding", "forward"),
            &params(t.shape, table.shape, false),
            &[
                (1, t.tensor.into()),
                (2, table.tensor.into()),
                (3, io.output.tensor.into()),
            ],
            (io.output.shape.words() / 4).div_ceil(GROUP),
            0,
        );
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let Some(target) = io.grad_inputs[1] else {
            return;
        };
        let (t, table) = (io.inputs[0], io.inputs[1].shape);
        plan.dispatch(
            KernelId::new("layers/time_embedding", "backward_table"),
            &params(t.shape, table, target.accumulate),
            &[
                (1, t.tensor.into()),
                (2, target.tensor.into()),
                (3, io.grad_output.into()),
            ],
            (table.words() / 4).div_ceil(GROUP),
            io.output.shape.len() as u64,
        );
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let (t, table) = (&inputs[0], &inputs[1]);
        let (b, c) = (t.shape.b, table.shape.c);
        let rows = (0..b).map(|b| row_of(t, b, table.shape.b));
        RefTensor {
            data: rows
                .flat_map(|row| &table.data[row * c..(row + 1) * c])
                .copied()
                .collect(),
            shape: Shape::vector(b, c),
        }
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let (t, mut grad) = (&inputs[0], RefTensor::zeros(inputs[1].shape));
        let c = grad.shape.c;
        for (b, g) in grad_output.data.chunks(c).enumerate() {
            let row = row_of(t, b, grad.shape.b);
            for (d, g) in grad.data[row * c..(row + 1) * c].iter_mut().zip(g) {
                *d += g;
            }
        }
        (vec![RefTensor::zeros(t.shape), grad], Vec::new())
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, b, rows, c, below| super::Case {
        name,
        layer: std::sync::Arc::new(TimeEmbedding),
        inputs: vec![Shape::vector(b, 1), Shape::vector(rows, c)],
        integers: vec![(0, below)],
        params: Vec::new(),
    };
    vec![
        case("time embedding", 9, 5, 32, 5),
        case("time embedding, odd channels", 1, 20, 10, 20),
        case("time embedding, t beyond the table", 7, 3, 6, 6),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// t, c and what is there.
    type Entry = (usize, usize, f32);

    /// `get_timestep_embedding(torch.arange(1000), C, flip, shift)[t, c]` of diffusers on
    /// the CPU.
    #[test]
    fn the_table_is_that_of_diffusers() {
        let cases: [(usize, bool, f64, &[Entry]); 3] = [
            (
                128,
                false,
                1.0,
                &[
                    (1, 0, 0.841_470_96),
                    (1, 5, 0.463_053_5),
                    (10, 63, 0.000_999_999_8),
                    (500, 64, -0.883_849_26),
                    (999, 0, -0.026_460_752),
                    (999, 3, -0.271_800_85),
                    (999, 64, 0.999_649_8),
                    (999, 100, 0.445_653_44),
                    (999, 127, 0.995_014_13),
                ],
            ),
            (
                32,
                true,
                0.0,
                &[
                    (1, 0, 0.540_302_34),
                    (7, 3, 0.320_257),
                    (999, 0, 0.999_649_8),
                    (999, 1, -0.844_002_7),
                    (999, 17, 0.536_338_87),
                    (999, 18, 0.983_579_9),
                    (999, 31, 0.176_717_16),
                    (640, 20, 0.920_024_6),
                ],
            ),
            (
                9,
                false,
                1.0,
                &[
                    (3, 0, 0.141_12),
                    (3, 3, 0.000_299_999_96),
                    (3, 7, 0.999_999_94),
                    (3, 8, 0.0),
                    (999, 6, -0.549_264_67),
                    (999, 1, 0.684_861_4),
                    (999, 8, 0.0),
                ],
            ),
        ];
        for (channels, flip, shift, expected) in cases {
            let table = table(1000, channels, flip, shift, MAX_PERIOD);
            assert_eq!(table.len(), 1000 * channels);
            for &(t, c, e) in expected {
                let found = table[t * channels + c];
                assert!(
                    (found - e).abs() < 1e-6,
                    "{channels}[{t}, {c}]: {found}, {e}"
                );
            }
        }
    }

    #[test]
    fn shapes_are_checked() {
        let (t, table) = (Shape::vector(4, 1), Shape::vector(10, 6));
        assert_eq!(
            TimeEmbedding.output_shape(&[t, table]).unwrap(),
            Shape::vector(4, 6)
        );
        for inputs in [
            vec![t],
            vec![Shape::vector(4, 2), table],
            vec![t, Shape::new(10, 2, 1, 6)],
            vec![t, Shape::vector(0, 6)],
        ] {
            assert!(TimeEmbedding.output_shape(&inputs).is_err(), "{inputs:?}");
        }
    }
}

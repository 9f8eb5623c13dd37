//! Dropout (Srivastava et al. 2014): an element is zero with probability p, else divided by
//! 1 − p. The mask comes from counters (see [`crate::rng`]), so the backward pass draws it
//! again, and a layer of its own stream, step and sample always has the same.
//!
//! Equivalent PyTorch: `F.dropout(x, p, training=True)`, with other random numbers.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, Operand, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, tensor::RefTensor},
    rng::{Draw, stream, words4},
};

/// Mirrors `Params` of `shaders/layers/dropout.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    vec4s: u32,
    sample_vec4s: u32,
    threshold: u32,
    stream: u32,
    scale: f32,
    accumulate: u32,
}

/// Words of the run's state that layers read: seed (low, high), step of the random numbers (it
/// counts micro-batches), the rest reserved.
pub const STATE_WORDS: usize = 64;

/// Dropout. Inputs `[x, state]`: `state` holds u32 words, `[1, 1, 1, 64]`, and must not be
/// differentiable. The stream is that of the node: `stream::sub(stream::DROPOUT, node)`.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// The probability p of dropping an element, 0 ≤ p < 1.
    pub p: f32,
}

/// The stream of a node's masks.
const fn node_stream(node: usize) -> u32 {
    stream::sub(stream::DROPOUT, node as u32)
}

impl Dropout {
    fn threshold(&self) -> u32 {
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    fn scale(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }

    fn emit(
        &self,
        plan: &mut PlanBuilder,
        (source, target, state): (TensorId, TensorId, Operand),
        shape: Shape,
        node: usize,
        accumulate: bool,
    ) {
        let vec4s = shape.words() / 4;
        plan.dispatch(
            KernelId::new("layers/dropout", "forward"),
            &Params {
                vec4s: vec4s as u32,
                sample_vec4s: (vec4s / shape.b) as u32,
                threshold: self.threshold(),
                stream: node_stream(node),
                scale: self.scale(),
                accumulate: u32::from(accumulate),
            },
            &[
                (1, source.into()),
                (2, target.into()),
                (3, state.tensor.into()),
            ],
            vec4s.div_ceil(GROUP),
            shape.len() as u64,
        );
    }

    /// What every element of `[B, H, W, C]` is multiplied by, given seed (low, high), step and
    /// batch offset of the state.
    pub fn mask(&self, shape: Shape, state: [u32; 4], node: usize) -> Vec<f32> {
        let (pixels, c4) = (shape.h * shape.w, shape.c4());
        let mut out = Vec::with_capacity(shape.len());
        for sample in 0..shape.b {
            let draw = Draw {
                seed: u64::from(state[1]) << 32 | u64::from(state[0]),
                stream: node_stream(node),
                step: state[2],
                sample: state[3].wrapping_add(sample as u32),
            };
            for block in 0..pixels * c4 {
                let real = 4.min(shape.c - block % c4 * 4);
                let words = words4(draw, block as u32);
                out.extend(words[..real].iter().map(|&word| {
                    if word >= self.threshold() {
                        self.scale()
                    } else {
                        0.0
                    }
                }));
            }
        }
        out
    }

    /// `x` times the mask; the reference is that of a graph's first node.
    fn reference(&self, x: &RefTensor, state: &RefTensor) -> RefTensor {
        let words = [0, 1, 2, 4].map(|i| state.data[i] as u32);
        let mut y = x.clone();
        for (v, m) in y.data.iter_mut().zip(self.mask(x.shape, words, 0)) {
            *v *= f64::from(m);
        }
        y
    }
}

impl Layer for Dropout {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        if !(0.0..1.0).contains(&self.p) {
            return Err(ModelError::Structure(format!(
                "A dropout of {} is not a probability below 1; give one from 0 to less than 1.",
                self.p
            )));
        }
        match inputs {
            [x, state] if *state == Shape::vector(1, STATE_WORDS) => Ok(*x),
            [_, state] => Err(shape_error(
                format!("a state of shape {}", Shape::vector(1, STATE_WORDS)),
                state,
            )),
            _ => Err(shape_error("2 inputs, x and the state", inputs.len())),
        }
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let tensors = (io.inputs[0].tensor, io.output.tensor, io.inputs[1]);
        self.emit(plan, tensors, io.output.shape, io.node, false);
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        if let Some(target) = io.grad_inputs[0] {
            let tensors = (io.grad_output, target.tensor, io.inputs[1]);
            self.emit(plan, tensors, io.output.shape, io.node, target.accumulate);
        }
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        self.reference(&inputs[0], &inputs[1])
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let state = RefTensor::zeros(inputs[1].shape);
        (
            vec![self.reference(grad_output, &inputs[1]), state],
            Vec::new(),
        )
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, p, shape| super::Case {
        name,
        layer: std::sync::Arc::new(Dropout { p }),
        inputs: vec![shape, Shape::vector(1, STATE_WORDS)],
        integers: vec![(1, 1 << 20)],
        params: Vec::new(),
    };
    vec![
        case("dropout", 0.1, Shape::new(3, 4, 5, 6)),
        case("dropout of nothing", 0.0, Shape::new(1, 2, 3, 8)),
        case("dropout of much", 0.75, Shape::new(2, 5, 3, 10)),
    ]
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Case, add,
            testing::{Numbers, PLAIN, run},
        },
        *,
    };

    /// x + dropout(x), as a layer, so that the gradient is added to another.
    #[derive(Debug)]
    struct Beside(Dropout);

    impl Layer for Beside {
        fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
            self.0.output_shape(inputs)
        }

        fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
            self.0.forward(plan, io);
            let (x, y) = (io.inputs[0], io.output.tensor);
            add::accumulate(plan, x.tensor, y, x.shape.words(), true);
            Vec::new()
        }

        fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
            let dx = io.grad_inputs[0].unwrap();
            let shape = io.output.shape;
            add::accumulate(plan, io.grad_output, dx.tensor, shape.words(), false);
            let tensors = (io.grad_output, dx.tensor, io.inputs[1]);
            self.0.emit(plan, tensors, shape, io.node, true);
        }

        fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
            let mut y = self.0.reference(&inputs[0], &inputs[1]);
            for (y, x) in y.data.iter_mut().zip(&inputs[0].data) {
                *y += x;
            }
            y
        }

        fn reference_backward(
            &self,
            inputs: &[RefTensor],
            params: &[RefTensor],
            grad_output: &RefTensor,
        ) -> RefGrads {
            let inputs = [grad_output.clone(), inputs[1].clone()];
            (vec![self.reference_forward(&inputs, params)], Vec::new())
        }
    }

    #[test]
    fn its_gradient_is_added_to_that_of_another_consumer() {
        let (layer, shape) = (Beside(Dropout { p: 0.4 }), Shape::new(2, 3, 3, 6));
        let mut numbers = Numbers::new(5);
        let mut state = RefTensor::zeros(Shape::vector(1, STATE_WORDS));
        state.data[..3].copy_from_slice(&[123.0, 45.0, 6.0]);
        let (inputs, grad) = ([numbers.tensor(shape), state], numbers.tensor(shape));
        let (expected, _) = layer.reference_backward(&inputs, &[], &grad);
        let case = Case {
            name: "x + dropout(x)",
            layer: std::sync::Arc::new(layer),
            inputs: inputs.iter().map(|t| t.shape).collect(),
            integers: vec![(1, 1 << 20)],
            params: Vec::new(),
        };
        let out = run(&case, &inputs, &[], &grad, PLAIN);
        let found = RefTensor::from_plan(shape, &out[1]);
        for (f, e) in found.data.iter().zip(&expected[0].data) {
            assert!((f - e).abs() < 1e-6, "{f}, {e}");
        }
    }

    #[test]
    fn masks_differ_by_seed_step_node_and_sample_and_drop_p() {
        let (layer, shape) = (Dropout { p: 0.3 }, Shape::new(2, 32, 32, 10));
        let mask = layer.mask(shape, [1, 2, 3, 0], 4);
        let others = [
            layer.mask(shape, [9, 2, 3, 0], 4),
            layer.mask(shape, [1, 9, 3, 0], 4),
            layer.mask(shape, [1, 2, 9, 0], 4),
            layer.mask(shape, [1, 2, 3, 0], 9),
        ];
        let half = mask.len() / 2;
        let agree = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
        };
        // Independent masks agree in p² + (1 − p)² = 0.58 of the elements.
        for other in &others {
            assert!((agree(&mask, other) - 0.58).abs() < 0.02);
        }
        assert!((agree(&mask[..half], &mask[half..]) - 0.58).abs() < 0.02);
        let dropped = mask.iter().filter(|m| **m == 0.0).count() as f64 / mask.len() as f64;
        // Standard error: √(0.21 / 20480) = 0.0032.
        assert!((dropped - 0.3).abs() < 0.013, "{dropped}");
        assert!(
            mask.iter()
                .all(|&m| m == 0.0 || (m - 1.0 / 0.7).abs() < 1e-6)
        );
    }

    #[test]
    fn a_probability_of_one_is_refused() {
        let inputs = [Shape::vector(1, 4), Shape::vector(1, STATE_WORDS)];
        for p in [1.0, -0.1, f32::NAN] {
            assert!(Dropout { p }.output_shape(&inputs).is_err(), "{p}");
        }
        assert!(Dropout { p: 0.5 }.output_shape(&inputs).is_ok());
        assert!(Dropout { p: 0.5 }.output_shape(&inputs[..1]).is_err());
    }
}

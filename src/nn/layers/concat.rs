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

/// Concatenation, a copy only where the [`super::super::Graph`] cannot do without. Inputs `[a, b]`, `[B, H, W, Ca]` and `[B, H, W, Cb]`; output
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

    fn concatenates(&self) -> bool {
        true
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
    use crate::nn::{
        Graph,
        graph::{ParamInfo, ParamLayout},
        layers::{
            conv2d::Conv2d,
            group_norm::GroupNorm,
            scale::Scale,
            testing::{Numbers, difference, gpu},
        },
        plan::{Precision, Variants},
        testing::{bits, floats, run},
    };

    const CHANNELS: (usize, usize) = (16, 24);

    /// As a residual layer of the U-Net's way up: b and a, which is made of b, go into a norm and a shortcut, whose
    /// results are added up. With `copied` something stands between that cannot read them apart.
    fn residual(shape: Shape, copied: bool) -> (Graph, [crate::nn::graph::ValueId; 2]) {
        let mut graph = Graph::new();
        let (ca, cb) = CHANNELS;
        let same = Scale { mul: 1.0, add: 0.0 };
        let x = graph.input("x", shape, true);
        let conv = |graph: &mut Graph, conv: Conv2d, inputs: &[_]| {
            let weight = graph.param("weight", conv.weight_layout(false));
            let bias = graph.param("bias", ParamLayout::Vector { c: conv.cout });
            graph.add("conv", conv, inputs, &[weight, bias]).unwrap()
        };
        let b = graph.add("b", same, &[x], &[]).unwrap();
        let a = conv(&mut graph, Conv2d::pointwise(cb, ca), &[b]);
        let mut cat = graph.add("cat", Concat, &[a, b], &[]).unwrap();
        if copied {
            cat = graph.add("same", same, &[cat], &[]).unwrap();
        }
        let channels = ca + cb;
        let norm = GroupNorm {
            groups: 4,
            eps: 1e-5,
            channels,
            silu: true,
        };
        let scales = ["gamma", "beta"].map(|p| graph.param(p, ParamLayout::Vector { c: channels }));
        let u = graph.add("norm", norm, &[cat], &scales).unwrap();
        let shortcut = conv(&mut graph, Conv2d::pointwise(channels, 20), &[cat]);
        let last = Conv2d::pointwise(channels, 20).with_residual();
        let y = conv(&mut graph, last, &[u, shortcut]);
        (graph, [x, y])
    }

    /// Output, gradient of x, gradients of the parameters.
    fn results(
        shape: Shape,
        copied: bool,
        variants: Variants,
        precision: Precision,
    ) -> Vec<Vec<f32>> {
        let (graph, [x, y]) = residual(shape, copied);
        let mut numbers = Numbers::new(23);
        let out = graph.shape(y);
        let mut inputs = vec![
            bits(&numbers.tensor(shape).to_plan()),
            bits(&numbers.tensor(out).to_plan()),
        ];
        let params = graph.params().iter();
        inputs.extend(params.map(|p: &ParamInfo| {
            let file: Vec<f32> = (0..p.file_len()).map(|_| numbers.next() as f32).collect();
            bits(&p.pack(&file))
        }));
        inputs.extend(graph.params().iter().map(|p| vec![0; p.words()]));
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let count = graph.params().len();
        let out = run(&inputs, |plan, tensors| {
            plan.set_ways(variants, precision);
            let (weights, grads) = tensors[2..].split_at(count);
            let mut lowered = graph.lower_forward(plan, &[(x, tensors[0])], weights);
            let known =
                graph.lower_backward(plan, &mut lowered, weights, grads, y, tensors[1], false);
            let copies = plan.dispatches().iter();
            let copies = copies.filter(|d| d.kernel.stem == "layers/concat").count();
            assert_eq!(copies, if copied { 2 } else { 0 });
            [&[lowered.tensors[&y], known[&x]], grads].concat()
        });
        out.iter().map(|words| floats(words)).collect()
    }

    #[test]
    fn two_tensors_side_by_side_are_read_as_their_copy() {
        let gpu = gpu();
        let mut precisions = vec![(Precision::F32, 2e-5)];
        if Precision::F16.check(&gpu).is_ok() {
            precisions.push((Precision::F16, 4e-3));
        }
        let (_, cb) = CHANNELS;
        // Pointwise kernels with and without subgroups; norms by sets of groups, and step by step.
        for (b, h, w) in [(2, 12, 13), (3, 5, 3), (1, 120, 130)] {
            let shape = Shape::new(b, h, w, cb);
            for variants in Variants::all(&gpu) {
                for &(precision, most) in &precisions {
                    let [copied, apart] =
                        [true, false].map(|copied| results(shape, copied, variants, precision));
                    for (k, (a, c)) in apart.iter().zip(&copied).enumerate() {
                        let d = difference(a, c);
                        assert!(d <= most, "{shape} {variants} {precision}, {k}: off by {d}");
                    }
                }
            }
        }
    }

    #[test]
    fn pixels_must_agree() {
        let a = Shape::new(2, 4, 4, 3);
        assert_eq!(Concat.output_shape(&[a, Shape { c: 5, ..a }]).unwrap().c, 8);
        assert!(Concat.output_shape(&[a, Shape { h: 2, ..a }]).is_err());
        assert!(Concat.output_shape(&[a]).is_err());
    }
}

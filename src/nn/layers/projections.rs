//! Several linear layers of one input, side by side in one output: the projections of the time
//! embedding that all residual layers of a U-Net take.
//!
//! Equivalent PyTorch: `torch.cat([F.linear(x, w, b) for w, b in layers], dim=1)`, with each layer's
//! channels filled up with zeros to a multiple of 4. Convolutions take their slices, see
//! [`super::conv2d::Slice`].

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, plan::Arg, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/projections.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    in_c4: u32,
    out_c4: u32,
    columns: u32,
    accumulate: u32,
    bias_apart: u32,
    pad: [u32; 2],
}

/// The label of the U-Net's layer of this kind.
pub const LABEL: &str = "time_embedding.projections";

/// Samples that one thread of the forward kernel makes.
const SAMPLES: usize = 4;
/// Most columns (`vec4`s of output channels): a thread loops over them, and some drivers stop a
/// shader's loops at 65535 turns. (So do threads over samples, of which no U-Net has so many.)
const MAX_TURNS: usize = 32768;

/// Linear layers side by side. Input `[x]`, `[B, 1, 1, I]`; parameters weight and bias of each in turn.
#[derive(Debug, Clone)]
pub struct Projections {
    /// Input channels I.
    pub cin: usize,
    /// Output channels of each.
    pub outputs: Vec<usize>,
}

/// Layers whose parameters one dispatch reaches.
struct Reached {
    weights: TensorId,
    /// Where the biases lie elsewhere.
    bias: Option<TensorId>,
    table: TensorId,
    columns: usize,
    /// Products of one sample.
    products: usize,
}

impl Projections {
    /// First channel of each layer in the output, and their number.
    fn starts(&self) -> (Vec<usize>, usize) {
        let mut at = 0;
        let starts = self
            .outputs
            .iter()
            .map(|c| {
                let start = at;
                at += c.next_multiple_of(4);
                start
            })
            .collect();
        (starts, at)
    }

    /// `params` are those of all layers, or their gradients.
    fn reach(&self, plan: &mut PlanBuilder, params: &[TensorId]) -> Vec<Reached> {
        let spans = plan.spans(params);
        let place = |i: usize| {
            spans.iter().find_map(|span| {
                let member = span.members.iter().find(|m| m.0 == i)?;
                Some((span.tensor, member.1))
            })
        };
        let (starts, _) = self.starts();
        let mut groups: Vec<(TensorId, Option<TensorId>, Vec<u32>, usize)> = Vec::new();
        for (i, (&c, start)) in self.outputs.iter().zip(starts).enumerate() {
            let (Some((weights, w)), Some((biases, b))) = (place(2 * i), place(2 * i + 1)) else {
                continue;
            };
            let apart = (biases != weights).then_some(biases);
            let known = groups.iter().position(|g| (g.0, g.1) == (weights, apart));
            let at = known.unwrap_or_else(|| {
                groups.push((weights, apart, Vec::new(), 0));
                groups.len() - 1
            });
            let columns = c.div_ceil(4);
            for k in 0..columns {
                groups[at].2.extend([
                    (w / 4) as u32 + k as u32,
                    columns as u32,
                    (b / 4) as u32 + k as u32,
                    (start / 4 + k) as u32,
                ]);
            }
            groups[at].3 += c * self.cin;
        }
        groups
            .into_iter()
            .map(|(weights, bias, table, products)| Reached {
                weights,
                bias,
                columns: table.len() / 4,
                table: plan.table("columns", table),
                products,
            })
            .collect()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a dispatch, in one private place"
    )]
    fn dispatch(
        &self,
        plan: &mut PlanBuilder,
        entry: &'static str,
        reached: &Reached,
        batch: usize,
        accumulate: bool,
        args: &[(u32, Arg)],
        threads: usize,
    ) {
        let (in_c4, out_c4) = (self.cin.div_ceil(4), self.starts().1 / 4);
        let mut all = args.to_vec();
        all.extend([(2, reached.weights.into()), (6, reached.table.into())]);
        all.extend(reached.bias.map(|b| (3, b.into())));
        plan.dispatch(
            KernelId::new("layers/projections", entry),
            &Params {
                batch: batch as u32,
                in_c4: in_c4 as u32,
                out_c4: out_c4 as u32,
                columns: reached.columns as u32,
                accumulate: u32::from(accumulate),
                bias_apart: u32::from(reached.bias.is_some()),
                pad: [0; 2],
            },
            &all,
            threads.div_ceil(GROUP),
            (2 * batch * reached.products) as u64,
        );
        plan.moves(4 * reached.columns * (4 * in_c4 + batch) + 4 * batch * in_c4);
    }
}

impl Layer for Projections {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        let [x] = inputs else {
            return Err(shape_error("1 input", inputs.len()));
        };
        if *x != Shape::vector(x.b, self.cin) {
            return Err(shape_error(format!("vectors of {} channels", self.cin), x));
        }
        let channels = self.starts().1;
        if channels == 0 || channels / 4 > MAX_TURNS {
            return Err(shape_error(
                format!("1 to {} output channels", 4 * MAX_TURNS),
                channels,
            ));
        }
        Ok(Shape::vector(x.b, channels))
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let (x, y) = (io.inputs[0], io.output);
        let b = x.shape.b;
        for reached in self.reach(plan, io.params) {
            let threads = b.div_ceil(SAMPLES) * reached.columns;
            let args = [(1, x.tensor.into()), (4, y.tensor.into())];
            self.dispatch(plan, "forward", &reached, b, false, &args, threads);
        }
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let (x, dy) = (io.inputs[0], io.grad_output);
        let (b, in_c4) = (x.shape.b, x.shape.c4());
        for reached in self.reach(plan, io.grad_params) {
            let args = [(1, x.tensor.into()), (4, dy.into())];
            let threads = in_c4 * reached.columns;
            self.dispatch(plan, "backward_weight", &reached, b, true, &args, threads);
        }
        if let Some(target) = io.grad_inputs[0] {
            for (i, reached) in self.reach(plan, io.params).iter().enumerate() {
                let args = [(4, dy.into()), (5, target.tensor.into())];
                let add = target.accumulate || i > 0;
                self.dispatch(plan, "backward_input", reached, b, add, &args, b * in_c4);
            }
        }
    }

    fn reference_forward(&self, inputs: &[RefTensor], params: &[RefTensor]) -> RefTensor {
        let x = &inputs[0];
        let (starts, channels) = self.starts();
        let mut y = RefTensor::zeros(Shape::vector(x.shape.b, channels));
        for (n, row) in y.data.chunks_mut(channels).enumerate() {
            let x = &x.data[n * self.cin..(n + 1) * self.cin];
            for (l, (&c, &start)) in self.outputs.iter().zip(&starts).enumerate() {
                for o in 0..c {
                    let weight = &params[2 * l].data[o * self.cin..(o + 1) * self.cin];
                    let sum: f64 = weight.iter().zip(x).map(|(w, x)| w * x).sum();
                    row[start + o] = params[2 * l + 1].data[o] + sum;
                }
            }
        }
        y
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let x = &inputs[0];
        let (starts, channels) = self.starts();
        let mut dx = RefTensor::zeros(x.shape);
        let mut grads: Vec<RefTensor> = params.iter().map(|p| RefTensor::zeros(p.shape)).collect();
        for (n, dy) in grad_output.data.chunks(channels).enumerate() {
            for (l, (&c, &start)) in self.outputs.iter().zip(&starts).enumerate() {
                for o in 0..c {
                    let g = dy[start + o];
                    grads[2 * l + 1].data[o] += g;
                    for i in 0..self.cin {
                        let w = o * self.cin + i;
                        grads[2 * l].data[w] += g * x.data[n * self.cin + i];
                        dx.data[n * self.cin + i] += g * params[2 * l].data[w];
                    }
                }
            }
        }
        (vec![dx], grads)
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    use crate::nn::graph::ParamLayout;
    let case = |name, b, cin, outputs: &[usize]| super::Case {
        name,
        layer: std::sync::Arc::new(Projections {
            cin,
            outputs: outputs.to_vec(),
        }),
        inputs: vec![Shape::vector(b, cin)],
        integers: Vec::new(),
        params: outputs
            .iter()
            .flat_map(|&cout| {
                let k = 1;
                let linear = true;
                let weight = ParamLayout::Weight {
                    k,
                    cin,
                    cout,
                    linear,
                };
                [weight, ParamLayout::Vector { c: cout }]
            })
            .collect(),
    };
    vec![
        case("projections", 6, 20, &[8, 16, 8, 4]),
        case("projections of odd channels", 3, 10, &[12, 4]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_one_buffer_take_one_dispatch_and_others_one_each() {
        let layer = Projections {
            cin: 8,
            outputs: vec![4, 8],
        };
        // Tensors of the plan's own, which share nothing.
        let mut plan = PlanBuilder::new();
        let params: Vec<TensorId> = [32, 4, 64, 8].map(|n| plan.tensor("", n)).to_vec();
        let reached = layer.reach(&mut plan, &params);
        assert_eq!(reached.len(), 2);
        assert!(reached.iter().all(|r| r.bias.is_some()));
        let gpu = super::super::testing::gpu();
        let sizes = [("", 128), ("", 16), ("", 256), ("", 32)];
        let (_pool, views) =
            crate::gpu::memory::Pool::allocate(&gpu, "test", &sizes).expect("memory");
        let params: Vec<TensorId> = views.iter().map(|v| plan.external("", v)).collect();
        let reached = layer.reach(&mut plan, &params);
        assert_eq!(reached.len(), 1);
        assert_eq!((reached[0].bias, reached[0].columns), (None, 3));
    }

    /// Two convolutions that add a vector per sample: slices of one layer's output, or each its own
    /// layer's. Returns the output and the gradients of the embedding and of all parameters.
    fn two_convolutions(sliced: bool) -> Vec<Vec<f32>> {
        use super::super::conv2d::{Conv2d, Slice};
        use crate::nn::{
            Graph,
            graph::ParamLayout,
            layers::testing::Numbers,
            testing::{bits, floats, run},
        };
        let (image, vector) = (Shape::new(3, 5, 6, 4), Shape::vector(3, 10));
        let layers = [Conv2d::same3(4, 6), Conv2d::pointwise(6, 5)];
        let mut graph = Graph::new();
        let x = graph.input("x", image, false);
        let e = graph.input("e", vector, true);
        let all = Projections {
            cin: 10,
            outputs: vec![6, 5],
        };
        let all = sliced.then(|| graph.add("all", all, &[e], &[]).unwrap());
        let mut params = |conv: &Conv2d| {
            [
                graph.param("w", conv.weight_layout(false)),
                graph.param("b", ParamLayout::Vector { c: conv.cout }),
            ]
        };
        let linears = layers.map(|conv| Conv2d::pointwise(10, conv.cout));
        let [own, convs] = [linears, layers].map(|list| list.map(|conv| params(&conv)));
        let mut h = x;
        for (i, conv) in layers.into_iter().enumerate() {
            let (conv, time) = match all {
                Some(all) => {
                    let (first, of) = (8 * i, 16);
                    (conv.with_slice(Slice { first, of }), all)
                }
                None => {
                    let linear = graph.add("own", linears[i], &[e], &own[i]);
                    (conv.with_sample(), linear.unwrap())
                }
            };
            h = graph.add("conv", conv, &[h, time], &convs[i]).unwrap();
        }
        if let Some(all) = all {
            graph.set_params(all, &own.concat());
        }
        let mut numbers = Numbers::new(4);
        let mut words: Vec<Vec<u32>> = [image, vector, graph.shape(h)]
            .iter()
            .map(|&s| bits(&numbers.tensor(s).to_plan()))
            .collect();
        let infos = graph.params().to_vec();
        for info in &infos {
            let file: Vec<f32> = (0..info.file_len())
                .map(|_| numbers.next() as f32)
                .collect();
            words.push(bits(&info.pack(&file)));
        }
        words.extend(infos.iter().map(|i| vec![0; i.words()]));
        let words: Vec<&[u32]> = words.iter().map(Vec::as_slice).collect();
        let out = run(&words, |plan, ids| {
            let (weights, grads) = ids[3..].split_at(infos.len());
            let mut lowered = graph.lower_forward(plan, &[(x, ids[0]), (e, ids[1])], weights);
            let y = lowered.tensors[&h];
            let found = graph.lower_backward(plan, &mut lowered, weights, grads, h, ids[2], false);
            let mut wanted = vec![y, found[&e]];
            wanted.extend(grads);
            wanted
        });
        out.iter().map(|words| floats(words)).collect()
    }

    #[test]
    fn slices_are_as_good_as_layers_of_their_own() {
        let (a, b) = (two_convolutions(true), two_convolutions(false));
        for (k, (a, b)) in a.iter().zip(&b).enumerate() {
            assert_eq!(a.len(), b.len());
            assert!(a.iter().any(|v| *v != 0.0), "result {k} is zero");
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{k}: {a} for {b}");
            }
        }
    }

    #[test]
    fn only_vectors_fit() {
        let layer = Projections {
            cin: 8,
            outputs: vec![4, 6],
        };
        assert_eq!(layer.output_shape(&[Shape::vector(3, 8)]).unwrap().c, 12);
        assert!(layer.output_shape(&[Shape::vector(3, 9)]).is_err());
        assert!(layer.output_shape(&[Shape::new(3, 2, 2, 8)]).is_err());
    }
}

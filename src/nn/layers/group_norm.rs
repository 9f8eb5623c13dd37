//! Group normalisation (Wu and He 2018, arXiv:1803.08494), optionally with SiLU after it.
//!
//! Equivalent PyTorch: `F.silu(F.group_norm(x, groups, gamma, beta, eps))`.
//!
//! A workgroup takes a few groups of an image and does all of a pass in one dispatch; only images that
//! are too large for that are worked on by many workgroups, step by step.
//!
//! x and y are `[B, H, W, C]`, gamma and beta `[C]`. Saved for the backward pass: the mean and
//! 1/σ of every group, `[B, G, 2]`; the normalised values are computed again from x.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, Operand, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{
        ModelError, PlanBuilder, Shape, TensorId,
        plan::{Arg, RowSum},
        tensor::RefTensor,
    },
};

/// Mirrors `Params` of `shaders/layers/group_norm.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    pixels: u32,
    c4: u32,
    groups: u32,
    group_c: u32,
    splits: u32,
    lanes: u32,
    silu: u32,
    accumulate: u32,
    eps: f32,
    sets: u32,
    set_groups: u32,
    set_c4: u32,
    set_lanes: u32,
    first_c4: u32,
    second: u32,
}

/// Threads wanted of the kernels that sum over pixels.
const BUSY_THREADS: usize = 4096;
/// Pixels that a split has at least, so that the merge stays small beside it.
const SPLIT_PIXELS: usize = 16;
/// Most splits of an image's pixels.
const MAX_SPLITS: usize = 64;
/// Turns of a thread's loops; some drivers stop a shader's loops at 65535.
const MAX_TURNS: usize = 32768;
/// Pixels that a thread of the element-wise kernels takes at most.
const LANE_PIXELS: usize = 8;
/// `vec4`s of channels and groups in a set that are put together where threads are few, and workgroups
/// that must be left.
const SET_C4: usize = 8;
const SET_GROUPS: usize = 16;
const FEW_WORKGROUPS: usize = 8;
/// Most `vec4`s of an image that a workgroup goes over, at 1024 a thread; larger images are shared by
/// several.
const SET_VEC4S: usize = 1024 * GROUP;

/// Group normalisation. Input `[x]`, parameters `[gamma, beta]`, each a vector of C.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm {
    /// Groups G; they divide the channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Channels C.
    pub channels: usize,
    /// Applies SiLU to the result.
    pub silu: bool,
}

impl GroupNorm {
    fn params(&self, operand: Operand, busy_threads: usize) -> Params {
        let x = operand.shape;
        let (first_c4, second) = operand.split();
        let busy = busy_threads.min(BUSY_THREADS);
        let pixels = x.h * x.w;
        let splits = busy
            .div_ceil(x.b * x.c4())
            .min(pixels / SPLIT_PIXELS)
            .clamp(1, MAX_SPLITS)
            .max(pixels.div_ceil(MAX_TURNS));
        // So many groups that a set is whole vec4s.
        let group_c = self.channels / self.groups;
        let set_groups = match group_c % 4 {
            0 => 1,
            2 => 2,
            _ => 4,
        };
        let c4 = set_groups * group_c / 4;
        // Neighbouring threads read neighbouring channels; with few threads, of several such sets.
        let together = if busy_threads < BUSY_THREADS {
            let most = (SET_C4 / c4.max(1)).min(SET_GROUPS / set_groups);
            let sets = self.groups.div_ceil(set_groups);
            (1..=most)
                .rev()
                .find(|n| x.b * sets.div_ceil(*n) >= FEW_WORKGROUPS)
                .unwrap_or(1)
        } else {
            1
        };
        let (set_groups, set_c4) = (set_groups * together, c4 * together);
        let lane_pixels = (pixels * x.b * x.c4() / (2 * busy)).clamp(1, LANE_PIXELS);
        Params {
            batch: x.b as u32,
            pixels: pixels as u32,
            c4: x.c4() as u32,
            groups: self.groups as u32,
            group_c: (self.channels / self.groups) as u32,
            splits: splits as u32,
            lanes: pixels.div_ceil(lane_pixels) as u32,
            silu: u32::from(self.silu),
            accumulate: 0,
            eps: self.eps,
            sets: self.groups.div_ceil(set_groups) as u32,
            set_groups: set_groups as u32,
            set_c4: set_c4 as u32,
            set_lanes: (GROUP / set_c4.max(1)).min(pixels) as u32,
            first_c4,
            second,
        }
    }

    /// Whether a workgroup can do a set of groups alone.
    const fn by_sets(params: &Params) -> bool {
        let set_c4 = params.set_c4 as usize;
        set_c4 <= GROUP && set_c4 * params.pixels as usize <= SET_VEC4S
    }

    /// Has the sums of each image added to the gradients of beta and gamma.
    fn sum_later(&self, plan: &mut PlanBuilder, io: &Backward<'_>, sums: Arg) {
        let shape = io.inputs[0].shape;
        let columns = shape.c4();
        for (k, target) in [(0, io.grad_params[1]), (1, io.grad_params[0])] {
            plan.sum_later(RowSum {
                source: sums.tensor,
                first: sums.first + (4 * k * shape.b * columns) as u64,
                rows: shape.b,
                columns,
                stride: columns,
                target,
            });
        }
    }

    /// Mean and 1/σ of each `[B, G]`.
    fn reference_stats(&self, x: &RefTensor) -> Vec<(f64, f64)> {
        let (shape, size) = (x.shape, self.channels / self.groups);
        let number = (shape.h * shape.w * size) as f64;
        let mut out = vec![(0.0, 0.0); shape.b * self.groups];
        let group = |i: usize| self.group_of(shape, i);
        for (i, v) in x.data.iter().enumerate() {
            out[group(i)].0 += v / number;
        }
        for (i, v) in x.data.iter().enumerate() {
            let s = &mut out[group(i)];
            s.1 += (v - s.0) * (v - s.0) / number;
        }
        for s in &mut out {
            s.1 = 1.0 / (s.1 + f64::from(self.eps)).sqrt();
        }
        out
    }

    /// The place in `[B, G]` of element `i` of `[B, H, W, C]`.
    fn group_of(&self, shape: Shape, i: usize) -> usize {
        let size = self.channels / self.groups;
        i / (shape.h * shape.w * shape.c) * self.groups + i % shape.c / size
    }
}

impl Layer for GroupNorm {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        if self.groups == 0 || !self.channels.is_multiple_of(self.groups) {
            return Err(shape_error(
                format!("a number of groups that divides {} channels", self.channels),
                self.groups,
            ));
        }
        match inputs {
            [x] if x.c == self.channels => Ok(*x),
            [x] => Err(shape_error(format!("{} channels", self.channels), x)),
            _ => Err(shape_error("1 input", inputs.len())),
        }
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let x = io.inputs[0];
        let params = self.params(x, plan.variants().busy_threads());
        let (len, columns) = (x.shape.len() as u64, x.shape.b * x.shape.c4());
        let splits = params.splits as usize;
        let stats = plan.tensor("group statistics", 2 * x.shape.b * self.groups);
        let per_element = if self.silu { 8 } else { 3 };
        if Self::by_sets(&params) {
            plan.dispatch(
                KernelId::new("layers/group_norm", "forward_set"),
                &params,
                &[
                    (1, x.tensor.into()),
                    (2, io.params[0].into()),
                    (3, io.params[1].into()),
                    (4, stats.into()),
                    (6, io.output.tensor.into()),
                ],
                x.shape.b * params.sets as usize,
                (4 + per_element) * len,
            );
            return vec![stats];
        }
        let parts = plan.tensor("moments of splits", 8 * columns * splits);
        plan.dispatch(
            KernelId::new("layers/group_norm", "moments"),
            &params,
            &[(1, x.tensor.into()), (5, parts.into())],
            (columns * splits).div_ceil(GROUP),
            4 * len,
        );
        plan.dispatch(
            KernelId::new("layers/group_norm", "statistics"),
            &params,
            &[(4, stats.into()), (5, parts.into())],
            (x.shape.b * self.groups).div_ceil(GROUP),
            (24 * columns * splits) as u64,
        );
        plan.dispatch(
            KernelId::new("layers/group_norm", "forward"),
            &params,
            &[
                (1, x.tensor.into()),
                (2, io.params[0].into()),
                (3, io.params[1].into()),
                (4, stats.into()),
                (6, io.output.tensor.into()),
            ],
            (columns * params.lanes as usize).div_ceil(GROUP),
            per_element * len,
        );
        vec![stats]
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let x = io.inputs[0];
        let mut params = self.params(x, plan.variants().busy_threads());
        let (len, columns) = (x.shape.len() as u64, x.shape.b * x.shape.c4());
        let splits = params.splits as usize;
        let (gamma, beta, stats) = (io.params[0], io.params[1], io.saved[0]);
        let sums = plan.partial(8 * columns);
        let per_element = if self.silu { 16 } else { 6 };
        if let Some(target) = io.grad_inputs[0]
            && Self::by_sets(&params)
        {
            params.accumulate = u32::from(target.accumulate);
            plan.dispatch(
                KernelId::new("layers/group_norm", "backward_set"),
                &params,
                &[
                    (1, x.tensor.into()),
                    (2, gamma.into()),
                    (3, beta.into()),
                    (4, stats.into()),
                    (6, io.grad_output.into()),
                    (7, target.tensor.into()),
                    (8, sums),
                ],
                x.shape.b * params.sets as usize,
                (2 * per_element + 2) * len,
            );
            self.sum_later(plan, io, sums);
            return;
        }
        let parts = plan.tensor("gradient sums of splits", 8 * columns * splits);
        let means = plan.tensor("gradient means of groups", 2 * x.shape.b * self.groups);
        plan.dispatch(
            KernelId::new("layers/group_norm", "backward_sums"),
            &params,
            &[
                (1, x.tensor.into()),
                (2, gamma.into()),
                (3, beta.into()),
                (4, stats.into()),
                (5, parts.into()),
                (6, io.grad_output.into()),
            ],
            (columns * splits).div_ceil(GROUP),
            per_element * len,
        );
        plan.dispatch(
            KernelId::new("layers/group_norm", "backward_means"),
            &params,
            &[
                (2, gamma.into()),
                (5, parts.into()),
                (8, sums),
                (9, means.into()),
            ],
            (x.shape.b * self.groups).div_ceil(GROUP),
            (8 * columns * splits) as u64,
        );
        self.sum_later(plan, io, sums);
        if let Some(target) = io.grad_inputs[0] {
            params.accumulate = u32::from(target.accumulate);
            plan.dispatch(
                KernelId::new("layers/group_norm", "backward_input"),
                &params,
                &[
                    (1, x.tensor.into()),
                    (2, gamma.into()),
                    (3, beta.into()),
                    (4, stats.into()),
                    (6, io.grad_output.into()),
                    (7, target.tensor.into()),
                    (9, means.into()),
                ],
                (columns * params.lanes as usize).div_ceil(GROUP),
                (per_element + 2) * len,
            );
        }
    }

    fn reads_planes(&self, k: usize) -> bool {
        k == 0
    }

    fn reference_forward(&self, inputs: &[RefTensor], params: &[RefTensor]) -> RefTensor {
        let x = &inputs[0];
        let stats = self.reference_stats(x);
        let mut y = x.clone();
        for (i, v) in y.data.iter_mut().enumerate() {
            let (mean, rstd) = stats[self.group_of(x.shape, i)];
            let c = i % x.shape.c;
            *v = (*v - mean) * rstd * params[0].data[c] + params[1].data[c];
            if self.silu {
                *v = super::silu::silu(*v);
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
        let stats = self.reference_stats(x);
        let number = (x.shape.h * x.shape.w * self.channels / self.groups) as f64;
        let (gamma, beta) = (&params[0].data, &params[1].data);
        let mut grads: Vec<RefTensor> = params.iter().map(|p| RefTensor::zeros(p.shape)).collect();
        let mut means = vec![(0.0, 0.0); stats.len()];
        let mut terms = Vec::with_capacity(x.data.len());
        for (i, v) in x.data.iter().enumerate() {
            let (group, c) = (self.group_of(x.shape, i), i % x.shape.c);
            let xhat = (v - stats[group].0) * stats[group].1;
            let mut dz = grad_output.data[i];
            if self.silu {
                dz *= super::silu::derivative(xhat * gamma[c] + beta[c]);
            }
            grads[0].data[c] += dz * xhat;
            grads[1].data[c] += dz;
            means[group].0 += gamma[c] * dz / number;
            means[group].1 += gamma[c] * dz * xhat / number;
            terms.push((gamma[c] * dz, xhat));
        }
        let mut dx = RefTensor::zeros(x.shape);
        for (i, (dxhat, xhat)) in terms.into_iter().enumerate() {
            let group = self.group_of(x.shape, i);
            dx.data[i] = stats[group].1 * (dxhat - means[group].0 - xhat * means[group].1);
        }
        (vec![dx], grads)
    }
}

#[cfg(test)]
fn case(name: &'static str, layer: GroupNorm, b: usize, h: usize, w: usize) -> super::Case {
    use crate::nn::graph::ParamLayout;
    super::Case {
        name,
        layer: std::sync::Arc::new(layer),
        inputs: vec![Shape::new(b, h, w, layer.channels)],
        integers: Vec::new(),
        params: vec![ParamLayout::Vector { c: layer.channels }; 2],
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let norm = |groups, channels, silu| GroupNorm {
        groups,
        eps: 1e-5,
        channels,
        silu,
    };
    vec![
        case("group norm", norm(4, 32, false), 2, 5, 7),
        case("group norm, SiLU", norm(4, 32, true), 2, 6, 6),
        case("group norm, 2 a group", norm(3, 6, true), 3, 4, 5),
        case("group norm, 3 a group", norm(8, 24, true), 2, 3, 5),
        case("group norm, 5 a group", norm(2, 10, false), 1, 7, 6),
        case("group norm, 6 a group", norm(3, 18, true), 1, 9, 11),
        case("group norm, 12 a group", norm(4, 48, true), 2, 4, 4),
        case("group norm, 1 group", norm(1, 7, false), 2, 3, 3),
        case("group norm, 1 pixel", norm(2, 16, true), 4, 1, 1),
        case("group norm, uneven lanes", norm(4, 12, true), 5, 37, 41),
        case("group norm, a set not full", norm(5, 10, true), 2, 5, 6),
        // Step by step, with several splits of unequal length, and several pixels a thread.
        case("group norm, large", norm(2, 6, true), 2, 171, 200),
    ]
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Numbers, PLAIN, run},
        *,
    };
    use crate::nn::{Graph, graph::ParamLayout};

    #[test]
    fn groups_must_divide_the_channels() {
        let layer = GroupNorm {
            groups: 4,
            eps: 1e-5,
            channels: 10,
            silu: false,
        };
        let error = layer.output_shape(&[Shape::new(1, 2, 2, 10)]).unwrap_err();
        assert!(error.to_string().contains("divides 10 channels"), "{error}");
        let layer = GroupNorm { groups: 5, ..layer };
        let error = layer.output_shape(&[Shape::new(1, 2, 2, 12)]).unwrap_err();
        assert!(error.to_string().contains("10 channels"), "{error}");
    }

    #[test]
    fn loops_are_bounded() {
        let layer = GroupNorm {
            groups: 32,
            eps: 1e-6,
            channels: 128,
            silu: true,
        };
        let tensor = PlanBuilder::new().tensor("x", 4);
        for (b, h, w) in [
            (1, 1, 1),
            (1, 2, 2),
            (32, 28, 28),
            (128, 32, 32),
            (1, 2048, 2048),
        ] {
            let params = layer.params(Operand::of(tensor, Shape::new(b, h, w, 128)), BUSY_THREADS);
            let (pixels, splits) = (params.pixels as usize, params.splits as usize);
            assert!(splits >= 1 && splits <= pixels, "{params:?}");
            assert!(pixels.div_ceil(splits) <= MAX_TURNS, "{params:?}");
            assert!(splits * 2 <= MAX_TURNS, "{params:?}");
            let (lanes, set_c4) = (params.set_lanes, params.set_c4);
            assert!(
                !GroupNorm::by_sets(&params) || lanes >= 1 && lanes * set_c4 <= GROUP as u32,
                "{params:?}"
            );
            assert!(
                params.lanes >= 1 && params.lanes <= params.pixels,
                "{params:?}"
            );
        }
    }

    #[test]
    fn a_pass_takes_one_dispatch_and_the_sums_over_the_batch_one_for_all() {
        let layer = GroupNorm {
            groups: 2,
            eps: 1e-5,
            channels: 8,
            silu: true,
        };
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(2, 8, 8, 8), true);
        let vector = ParamLayout::Vector { c: 8 };
        let ids = [graph.param("gamma", vector), graph.param("beta", vector)];
        let y = graph.add("norm", layer, &[x], &ids).unwrap();
        let mut plan = PlanBuilder::new();
        let [input, gamma, beta, dgamma, dbeta, dy] =
            [1024, 8, 8, 8, 8, 1024].map(|n| plan.tensor("", n));
        let (weights, grads) = ([gamma, beta], [dgamma, dbeta]);
        let mut lowered = graph.lower_forward(&mut plan, &[(x, input)], &weights);
        assert_eq!(plan.dispatches().len(), 1);
        graph.lower_backward(&mut plan, &mut lowered, &weights, &grads, y, dy, false);
        // Two more, as gamma and beta do not lie in one buffer here.
        assert_eq!(plan.dispatches().len(), 4);
    }

    #[test]
    fn a_large_mean_costs_no_precision() {
        let layer = GroupNorm {
            groups: 2,
            eps: 1e-6,
            channels: 6,
            silu: false,
        };
        let case = case("group norm, large mean", layer, 2, 17, 16);
        let mut numbers = Numbers::new(3);
        let mut x = numbers.tensor(case.inputs[0]);
        for v in &mut x.data {
            *v = f64::from((300.0 + 0.5 * *v) as f32);
        }
        let vector = Shape::vector(1, 6);
        let params = [numbers.tensor(vector), numbers.tensor(vector)];
        let grad = numbers.tensor(case.inputs[0]);
        let out = run(&case, std::slice::from_ref(&x), &params, &grad, PLAIN);
        let expected = layer.reference_forward(std::slice::from_ref(&x), &params);
        let found = RefTensor::from_plan(expected.shape, &out[0]);
        // A mean that is off by one ulp shifts xhat by 3e-5 / 0.29; E[x²] − E[x]² in f32 would
        // miss the variance of 0.083 by several per cent.
        for (f, e) in found.data.iter().zip(&expected.data) {
            assert!((f - e).abs() < 2e-4, "{f} against {e}");
        }
    }
}

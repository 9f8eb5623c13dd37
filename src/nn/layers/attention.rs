//! Self-attention, single- or multi-head, without its projections. N = H·W tokens; head h is
//! channels h·D .. (h+1)·D; `y = softmax(q kᵀ / √D) v` for each sample and head.
//!
//! Equivalent PyTorch, with q, k, v of shape `[B, heads, N, D]`:
//! ```text
//! y = F.scaled_dot_product_attention(q, k, v)
//! ```
//!
//! The N×N matrix of a whole layer is never stored. The forward pass saves the log-sum-exp of
//! each (sample, head, query), from which the backward pass makes the weights again
//! (Dao et al. 2022, "FlashAttention", algorithms 1 and 4). There are two ways:
//!
//! - **Small heads** (D ≤ [`SMALL_HEAD`]): a thread holds a few queries (or keys) in registers
//!   and loops over all keys (or queries) with a running maximum, so that each load serves several
//!   rows and no score touches memory. The gradients of q and of k, v are two dispatches, each
//!   computing the scores again: no atomics.
//! - **Large heads**: a row no longer fits registers; cutting D into pieces would compute the
//!   scores once a piece. So scores go through scratch memory of at most 8 MiB, a block of
//!   samples, heads and queries at a time, and every step is a matrix product tiled in
//!   registers. Each score is written and read a few times and a block takes several dispatches,
//!   which costs more than the first way at D = 16, the same at 32, and less beyond; a block is
//!   the whole layer when batch · heads · N² is at most 2²⁰.
//!
//! Heads that do not begin at a `vec4` (D not a multiple of 4, several heads) are copied to padded
//! ones and back.

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, GradTarget, Layer, Operand, RefGrads, add, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{
        ModelError, PlanBuilder, Shape, TensorId,
        plan::{Arg, Variants},
        tensor::RefTensor,
    },
};

/// Mirrors `Params` of `shaders/layers/attention.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    tokens: u32,
    heads: u32,
    row4: u32,
    pairs: u32,
    groups: u32,
    columns: u32,
    first_pair: u32,
    first_query: u32,
    queries: u32,
    key4: u32,
    mode: u32,
    accumulate: u32,
    scale: f32,
}

/// Largest head, in channels, whose rows are held in registers.
pub const SMALL_HEAD: usize = 16;
/// Most tokens on that way: a thread loops over all of them. (The loops inside have constant bounds
/// and are unrolled; a test sees to it, as some drivers stop a shader after 65535 turns.)
const SMALL_TOKENS: usize = 4096;
/// Most rows a thread, and most `vec4`s of one operand in its rows: the kernel for the gradients of
/// k and v holds four such operands.
const MOST_ROWS: usize = 8;
const ROW_VEC4S: usize = 16;
/// Most tokens of all: the loops of `softmax` end below 32768 turns.
const MAX_TOKENS: usize = 32768;
/// Words of the scratch memory for scores: 8 MiB.
const SCRATCH_WORDS: usize = 2 << 20;
/// Rows and columns of a thread's tile in the matrix products.
const TILE: usize = 8;

/// What `product` does with the products, see the shader.
const SCORES: u32 = 0;
const WEIGHTS: u32 = 1;
const GRAD_SCORES: u32 = 2;

/// Self-attention. Inputs `[q, k, v]` of one shape.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    head_dim: usize,
    scratch_words: usize,
    /// In place of what suits the device, for tests.
    busy_threads: Option<usize>,
}

/// Sizes of one call.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    tokens: usize,
    heads: usize,
    /// Samples times heads.
    pairs: usize,
    /// `vec4`s a head.
    d4: usize,
    scale: f32,
    scratch_words: usize,
    busy_threads: usize,
    /// Useful operations of one N×N×D product over all pairs.
    product_flops: u64,
}

impl Sizes {
    const fn row4(&self) -> usize {
        self.heads * self.d4
    }

    /// Words of a tensor whose heads are padded to `vec4`s.
    const fn words(&self) -> usize {
        4 * self.pairs * self.tokens * self.d4
    }

    const fn key4(&self) -> usize {
        self.tokens.div_ceil(4)
    }

    const fn small(&self) -> bool {
        4 * self.d4 <= SMALL_HEAD && self.tokens <= SMALL_TOKENS
    }

    fn params(&self) -> Params {
        Params {
            tokens: self.tokens as u32,
            heads: self.heads as u32,
            row4: self.row4() as u32,
            pairs: self.pairs as u32,
            scale: self.scale,
            ..Params::zeroed()
        }
    }

    /// Rows a thread on the way for small heads.
    fn rows(&self) -> usize {
        let mut rows = MOST_ROWS;
        while rows > 1
            && (rows * self.d4 > ROW_VEC4S
                || self.pairs * self.tokens.div_ceil(rows) < self.busy_threads)
        {
            rows /= 2;
        }
        rows
    }

    fn kernel(&self, entry: &'static str, rows: usize) -> KernelId {
        KernelId::new("layers/attention", entry)
            .with("HEAD_DIM4", self.d4 as u32)
            .with("ROWS", rows as u32)
    }

    /// Emits a kernel of the way for small heads.
    fn rows_of_pairs(
        &self,
        plan: &mut PlanBuilder,
        entry: &'static str,
        accumulate: u32,
        args: &[(u32, Arg)],
        flops: u64,
    ) {
        let rows = self.rows();
        let groups = self.tokens.div_ceil(rows);
        plan.dispatch(
            self.kernel(entry, rows),
            &Params {
                groups: groups as u32,
                accumulate,
                ..self.params()
            },
            args,
            (self.pairs * groups).div_ceil(GROUP),
            flops,
        );
    }

    /// Blocks of the score matrix of which `copies` fit the scratch memory, in order.
    fn blocks(&self, copies: usize) -> Vec<Block> {
        let rows = self.scratch_words / copies / (4 * self.key4());
        let (most_pairs, most_queries) = if rows >= self.tokens {
            (rows / self.tokens, self.tokens)
        } else {
            (1, (rows / TILE * TILE).max(TILE))
        };
        let mut out = Vec::new();
        for pair in (0..self.pairs).step_by(most_pairs) {
            for query in (0..self.tokens).step_by(most_queries) {
                out.push(Block {
                    first_pair: pair,
                    pairs: most_pairs.min(self.pairs - pair),
                    first_query: query,
                    queries: most_queries.min(self.tokens - query),
                });
            }
        }
        out
    }
}

/// A part of the score matrix: some pairs, some queries of each, all keys.
#[derive(Debug, Clone, Copy)]
struct Block {
    first_pair: usize,
    pairs: usize,
    first_query: usize,
    queries: usize,
}

impl Block {
    const fn rows(&self) -> usize {
        self.pairs * self.queries
    }

    fn params(&self, s: &Sizes) -> Params {
        Params {
            pairs: self.pairs as u32,
            first_pair: self.first_pair as u32,
            first_query: self.first_query as u32,
            queries: self.queries as u32,
            key4: s.key4() as u32,
            ..s.params()
        }
    }

    /// Emits a matrix product of `rows` by `columns` tiles a pair.
    fn tiled(
        &self,
        plan: &mut PlanBuilder,
        s: &Sizes,
        (entry, mode, accumulate): (&'static str, u32, bool),
        (rows, columns): (usize, usize),
        args: &[(u32, Arg)],
    ) {
        let whole = (s.pairs * s.tokens) as u64;
        plan.dispatch(
            s.kernel(entry, TILE),
            &Params {
                groups: (rows * columns) as u32,
                columns: columns as u32,
                mode,
                accumulate: u32::from(accumulate),
                ..self.params(s)
            },
            args,
            (self.pairs * rows * columns).div_ceil(GROUP),
            s.product_flops * self.rows() as u64 / whole,
        );
    }

    fn product(&self, plan: &mut PlanBuilder, s: &Sizes, mode: u32, args: &[(u32, Arg)]) {
        let tiles = (self.queries.div_ceil(TILE), s.tokens.div_ceil(TILE));
        self.tiled(plan, s, ("product", mode, false), tiles, args);
    }

    fn weighted(
        &self,
        plan: &mut PlanBuilder,
        s: &Sizes,
        [weights, values, target]: [TensorId; 3],
        accumulate: bool,
    ) {
        let tiles = (self.queries.div_ceil(TILE), s.d4.div_ceil(2));
        self.tiled(
            plan,
            s,
            ("weighted", 0, accumulate),
            tiles,
            &[(3, values.into()), (7, target.into()), (9, weights.into())],
        );
    }

    fn weighted_transposed(
        &self,
        plan: &mut PlanBuilder,
        s: &Sizes,
        [weights, values, target]: [TensorId; 3],
        accumulate: bool,
    ) {
        let tiles = (s.tokens.div_ceil(TILE), s.d4.div_ceil(2));
        self.tiled(
            plan,
            s,
            ("weighted_transposed", 0, accumulate || self.first_query > 0),
            tiles,
            &[(3, values.into()), (7, target.into()), (9, weights.into())],
        );
    }
}

impl Attention {
    /// With heads of `head_dim` channels, D, which must divide the channels.
    pub const fn new(head_dim: usize) -> Self {
        Self {
            head_dim,
            scratch_words: SCRATCH_WORDS,
            busy_threads: None,
        }
    }

    fn sizes(&self, shape: Shape, variants: Variants) -> Sizes {
        let heads = shape.c / self.head_dim;
        let tokens = shape.h * shape.w;
        Sizes {
            tokens,
            heads,
            pairs: shape.b * heads,
            d4: self.head_dim.div_ceil(4),
            scale: (1.0 / (self.head_dim as f64).sqrt()) as f32,
            scratch_words: self.scratch_words,
            busy_threads: self.busy_threads.unwrap_or(variants.busy_threads()),
            product_flops: 2 * (shape.b * tokens * tokens * shape.c) as u64,
        }
    }

    /// Whether heads begin at `vec4`s as they are.
    const fn aligned(&self, shape: Shape) -> bool {
        self.head_dim.is_multiple_of(4) || self.head_dim == shape.c
    }

    /// Emits a copy between the plan's layout and one with padded heads.
    fn relayout(
        &self,
        plan: &mut PlanBuilder,
        shape: Shape,
        (from, to): (TensorId, TensorId),
        pad: bool,
        accumulate: bool,
    ) {
        let s = self.sizes(shape, plan.variants());
        let (plain, padded) = ((self.head_dim, shape.c4()), (4 * s.d4, s.row4()));
        let (source, target) = if pad {
            (plain, padded)
        } else {
            (padded, plain)
        };
        let vec4s = shape.pixels() * target.1;
        plan.dispatch(
            s.kernel("relayout", 1),
            &Params {
                tokens: shape.pixels() as u32,
                columns: source.0 as u32,
                row4: source.1 as u32,
                mode: target.0 as u32,
                key4: target.1 as u32,
                accumulate: u32::from(accumulate),
                ..s.params()
            },
            &[(1, from.into()), (7, to.into())],
            vec4s.div_ceil(GROUP),
            0,
        );
    }

    /// The operands as the kernels take them: heads padded, and no tensor twice, as two bindings
    /// of a dispatch must not overlap.
    fn stage<const K: usize>(
        &self,
        plan: &mut PlanBuilder,
        shape: Shape,
        operands: [TensorId; K],
    ) -> [TensorId; K] {
        let mut out = operands;
        for i in 0..K {
            if !self.aligned(shape) {
                out[i] = plan.tensor("padded heads", self.sizes(shape, plan.variants()).words());
                self.relayout(plan, shape, (operands[i], out[i]), true, false);
            } else if operands[..i].contains(&operands[i]) {
                out[i] = plan.tensor("copy of an operand", shape.words());
                add::accumulate(plan, operands[i], out[i], shape.words(), false);
            }
        }
        out
    }

    /// Where the kernels write the gradient of input `k`, see [`Attention::stage`].
    fn staged_target(
        &self,
        plan: &mut PlanBuilder,
        io: &Backward<'_>,
        k: usize,
    ) -> (GradTarget, bool) {
        let shape = io.output.shape;
        let same = |t: GradTarget| {
            let earlier = &io.grad_inputs[..k];
            earlier.iter().flatten().any(|e| e.tensor == t.tensor)
        };
        match io.grad_inputs[k] {
            Some(t) if self.aligned(shape) && !same(t) => (t, false),
            _ => {
                let tensor = plan.tensor(
                    "staged gradient",
                    self.sizes(shape, plan.variants()).words(),
                );
                let accumulate = false;
                (GradTarget { tensor, accumulate }, true)
            }
        }
    }

    fn forward_small(
        plan: &mut PlanBuilder,
        s: &Sizes,
        [q, k, v]: [TensorId; 3],
        out: TensorId,
        lse: TensorId,
    ) {
        s.rows_of_pairs(
            plan,
            "forward",
            0,
            &[
                (1, q.into()),
                (2, k.into()),
                (3, v.into()),
                (4, out.into()),
                (5, lse.into()),
            ],
            2 * s.product_flops,
        );
    }

    fn forward_large(
        plan: &mut PlanBuilder,
        s: &Sizes,
        [q, k, v]: [TensorId; 3],
        out: TensorId,
        lse: TensorId,
    ) {
        let blocks = s.blocks(1);
        let words = 4 * blocks[0].rows() * s.key4();
        for block in blocks {
            let scores = plan.tensor("scores", words);
            block.product(
                plan,
                s,
                SCORES,
                &[
                    (1, q.into()),
                    (2, k.into()),
                    (5, lse.into()),
                    (9, scores.into()),
                ],
            );
            plan.dispatch(
                s.kernel("softmax", 1),
                &block.params(s),
                &[(5, lse.into()), (9, scores.into())],
                block.rows().div_ceil(GROUP),
                0,
            );
            block.weighted(plan, s, [scores, v, out], false);
        }
    }

    fn backward_small(
        plan: &mut PlanBuilder,
        s: &Sizes,
        operands: &[(u32, Arg)],
        targets: &[Option<GradTarget>; 3],
    ) {
        let flag = |t: GradTarget, bit: u32| if t.accumulate { bit } else { 0 };
        if let Some(dq) = targets[0] {
            let mut args = operands.to_vec();
            args.push((7, dq.tensor.into()));
            let flops = 2 * s.product_flops;
            s.rows_of_pairs(plan, "backward_query", flag(dq, 1), &args, flops);
        }
        if let [_, Some(dk), Some(dv)] = *targets {
            let mut args = operands.to_vec();
            args.extend([(7, dk.tensor.into()), (8, dv.tensor.into())]);
            let flags = flag(dk, 1) | flag(dv, 2);
            let flops = 3 * s.product_flops;
            s.rows_of_pairs(plan, "backward_key_value", flags, &args, flops);
        }
    }

    fn backward_large(
        plan: &mut PlanBuilder,
        s: &Sizes,
        [q, k, v, dout]: [TensorId; 4],
        [lse, out_dot]: [TensorId; 2],
        targets: &[Option<GradTarget>; 3],
    ) {
        let blocks = s.blocks(2);
        let words = 4 * blocks[0].rows() * s.key4();
        for block in blocks {
            let weights = plan.tensor("attention weights", words);
            let common = [(5, lse.into()), (6, out_dot.into()), (10, weights.into())];
            let with = |a: TensorId, b: TensorId| {
                let mut args = common.to_vec();
                args.extend([(1, a.into()), (2, b.into())]);
                args
            };
            block.product(plan, s, WEIGHTS, &with(q, k));
            if let Some(dv) = targets[2] {
                block.weighted_transposed(plan, s, [weights, dout, dv.tensor], dv.accumulate);
            }
            if targets[0].is_none() && targets[1].is_none() {
                continue;
            }
            let grad_scores = plan.tensor("gradient of scores", words);
            let mut args = with(dout, v);
            args.push((9, grad_scores.into()));
            block.product(plan, s, GRAD_SCORES, &args);
            if let Some(dq) = targets[0] {
                block.weighted(plan, s, [grad_scores, k, dq.tensor], dq.accumulate);
            }
            if let Some(dk) = targets[1] {
                block.weighted_transposed(plan, s, [grad_scores, q, dk.tensor], dk.accumulate);
            }
        }
    }
}

impl Layer for Attention {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        let [q, k, v] = *inputs else {
            return Err(shape_error("3 inputs (q, k, v)", inputs.len()));
        };
        for other in [k, v] {
            if other != q {
                return Err(shape_error(format!("q, k, v of one shape, {q}"), other));
            }
        }
        if self.head_dim == 0 || q.c == 0 || !q.c.is_multiple_of(self.head_dim) {
            return Err(shape_error(
                format!("channels in heads of {}", self.head_dim),
                q,
            ));
        }
        if q.h * q.w > MAX_TOKENS {
            return Err(shape_error(
                format!("at most {MAX_TOKENS} pixels to attend to"),
                q,
            ));
        }
        Ok(q)
    }

    /// Saves the log-sum-exps, `[B, heads, N]`.
    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let Operand { tensor, shape, .. } = io.output;
        let s = self.sizes(shape, plan.variants());
        let operands = self.stage(
            plan,
            shape,
            [
                io.inputs[0].tensor,
                io.inputs[1].tensor,
                io.inputs[2].tensor,
            ],
        );
        let lse = plan.tensor("log-sum-exp", s.pairs * s.tokens);
        let out = if self.aligned(shape) {
            tensor
        } else {
            plan.tensor("padded heads", s.words())
        };
        if s.small() {
            Self::forward_small(plan, &s, operands, out, lse);
        } else {
            Self::forward_large(plan, &s, operands, out, lse);
        }
        if out != tensor {
            self.relayout(plan, shape, (out, tensor), false, false);
        }
        vec![lse]
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        if io.grad_inputs.iter().all(Option::is_none) {
            return;
        }
        let shape = io.output.shape;
        let s = self.sizes(shape, plan.variants());
        let lse = io.saved[0];
        let [q, k, v, y, dout] = self.stage(
            plan,
            shape,
            [
                io.inputs[0].tensor,
                io.inputs[1].tensor,
                io.inputs[2].tensor,
                io.output.tensor,
                io.grad_output,
            ],
        );
        let out_dot = plan.tensor("gradient times output", s.pairs * s.tokens);
        plan.dispatch(
            s.kernel("backward_dot", 1),
            &s.params(),
            &[(1, y.into()), (4, dout.into()), (6, out_dot.into())],
            (s.pairs * s.tokens).div_ceil(GROUP),
            2 * shape.len() as u64,
        );
        let mut targets = [None; 3];
        let mut staged = [false; 3];
        for k in 0..3 {
            // The kernel for small heads writes the gradients of k and v or neither.
            let twin = k > 0 && s.small() && io.grad_inputs[1..].iter().any(Option::is_some);
            if io.grad_inputs[k].is_some() || twin {
                let (target, is_staged) = self.staged_target(plan, io, k);
                targets[k] = Some(target);
                staged[k] = is_staged;
            }
        }
        if s.small() {
            let operands = [
                (1, q.into()),
                (2, k.into()),
                (3, v.into()),
                (4, dout.into()),
                (5, lse.into()),
                (6, out_dot.into()),
            ];
            Self::backward_small(plan, &s, &operands, &targets);
        } else {
            Self::backward_large(plan, &s, [q, k, v, dout], [lse, out_dot], &targets);
        }
        for k in 0..3 {
            if let (Some(from), Some(to), true) = (targets[k], io.grad_inputs[k], staged[k]) {
                if self.aligned(shape) {
                    add::accumulate(plan, from.tensor, to.tensor, shape.words(), to.accumulate);
                } else {
                    let pair = (from.tensor, to.tensor);
                    self.relayout(plan, shape, pair, false, to.accumulate);
                }
            }
        }
    }

    fn reference_forward(&self, inputs: &[RefTensor], _params: &[RefTensor]) -> RefTensor {
        let (k, v) = (&inputs[1], &inputs[2]);
        let mut y = RefTensor::zeros(k.shape);
        self.each_query(inputs, |query, channels, weights| {
            for (p, key) in weights {
                for c in channels.clone() {
                    y.data[query + c] += p * v.data[key + c];
                }
            }
        });
        y
    }

    fn reference_backward(
        &self,
        inputs: &[RefTensor],
        _params: &[RefTensor],
        grad_output: &RefTensor,
    ) -> RefGrads {
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        let [q, k, v] = [0, 1, 2].map(|i| &inputs[i].data);
        let g = &grad_output.data;
        let mut grads = vec![RefTensor::zeros(grad_output.shape); 3];
        self.each_query(inputs, |query, channels, weights| {
            let dot = |key: usize| -> f64 {
                let products = channels.clone().map(|c| g[query + c] * v[key + c]);
                products.sum()
            };
            let mean: f64 = weights.iter().map(|&(p, key)| p * dot(key)).sum();
            for &(p, key) in weights {
                let ds = p * (dot(key) - mean) * scale;
                for c in channels.clone() {
                    grads[0].data[query + c] += ds * k[key + c];
                    grads[1].data[key + c] += ds * q[query + c];
                    grads[2].data[key + c] += p * g[query + c];
                }
            }
        });
        (grads, Vec::new())
    }
}

impl Attention {
    /// Visits every query of every sample and head: where its token begins, the head's channels,
    /// and (weight, where the token begins) of every key.
    fn each_query(
        &self,
        inputs: &[RefTensor],
        mut f: impl FnMut(usize, std::ops::Range<usize>, &[(f64, usize)]),
    ) {
        let shape = inputs[0].shape;
        let tokens = shape.h * shape.w;
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        for b in 0..shape.b {
            for head in 0..shape.c / self.head_dim {
                let channels = head * self.head_dim..(head + 1) * self.head_dim;
                for n in 0..tokens {
                    let query = (b * tokens + n) * shape.c;
                    let mut weights: Vec<(f64, usize)> = (0..tokens)
                        .map(|m| {
                            let key = (b * tokens + m) * shape.c;
                            let products = channels
                                .clone()
                                .map(|c| inputs[0].data[query + c] * inputs[1].data[key + c]);
                            (products.sum::<f64>() * scale, key)
                        })
                        .collect();
                    let high = weights.iter().map(|w| w.0).fold(f64::MIN, f64::max);
                    weights.iter_mut().for_each(|w| w.0 = (w.0 - high).exp());
                    let total: f64 = weights.iter().map(|w| w.0).sum();
                    weights.iter_mut().for_each(|w| w.0 /= total);
                    f(query, channels.clone(), &weights);
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let with = |name, layer: Attention, shape| super::Case {
        name,
        layer: std::sync::Arc::new(layer),
        inputs: vec![shape; 3],
        integers: Vec::new(),
        params: Vec::new(),
    };
    let case = |name, head_dim, shape| with(name, Attention::new(head_dim), shape);
    let scratch = |head_dim, scratch_words| Attention {
        scratch_words,
        ..Attention::new(head_dim)
    };
    let rows = |head_dim| Attention {
        busy_threads: Some(1),
        ..Attention::new(head_dim)
    };
    vec![
        case("attention, heads of 8", 8, Shape::new(2, 4, 4, 24)),
        case("attention, heads of 4", 4, Shape::new(3, 3, 5, 8)),
        case("attention, heads of 32", 32, Shape::new(1, 3, 3, 64)),
        case("attention, heads of 64", 64, Shape::new(2, 3, 5, 128)),
        case("attention, one head", 76, Shape::new(2, 3, 7, 76)),
        case("attention, one head of 10", 10, Shape::new(1, 2, 5, 10)),
        case("attention, heads of 6", 6, Shape::new(2, 3, 3, 12)),
        case("attention, heads of 5", 5, Shape::new(1, 2, 3, 15)),
        case("attention, heads of 3", 3, Shape::new(1, 2, 3, 9)),
        case("attention, large heads of 42", 42, Shape::new(1, 2, 3, 84)),
        // Scratch for 2 of 6 pairs, then for 8 of 21 queries.
        with(
            "attention, blocks of pairs",
            scratch(36, 2 * 2 * 6 * 8),
            Shape::new(3, 2, 3, 72),
        ),
        with(
            "attention, blocks of queries",
            scratch(40, 2 * 8 * 24),
            Shape::new(2, 3, 7, 40),
        ),
        // Several rows a thread, and a tail.
        with("attention, 8 rows of 4", rows(4), Shape::new(1, 3, 7, 12)),
        with("attention, 8 rows of 8", rows(8), Shape::new(2, 4, 8, 8)),
        with("attention, 4 rows of 12", rows(12), Shape::new(1, 3, 5, 24)),
        with("attention, 4 rows of 16", rows(16), Shape::new(1, 2, 3, 32)),
        case("attention, one pixel", 8, Shape::new(2, 1, 1, 16)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gpu::readback,
        nn::{
            Graph,
            layers::testing::{Numbers, gpu},
        },
    };

    /// Runs the layer with `values[which[0]]` for q, and so on, and adds `values[residual]` to its
    /// output. Returns the output, then the gradients of those values that want one.
    fn run(
        layer: Attention,
        values: &[(&RefTensor, bool)],
        which: [usize; 3],
        residual: Option<usize>,
        grad: &RefTensor,
    ) -> Vec<RefTensor> {
        let gpu = gpu();
        let shape = grad.shape;
        let mut graph = Graph::new();
        let mut plan = PlanBuilder::new();
        let mut bound = Vec::new();
        for &(_, wanted) in values {
            let value = graph.input("input", shape, wanted);
            bound.push((value, plan.tensor("input", shape.words())));
        }
        let mut output = graph
            .add("attention", layer, &which.map(|k| bound[k].0), &[])
            .expect("shapes");
        if let Some(k) = residual {
            output = graph
                .add("sum", add::Add, &[output, bound[k].0], &[])
                .expect("shapes");
        }
        let mut lowered = graph.lower_forward(&mut plan, &bound, &[]);
        let g = plan.tensor("grad output", shape.words());
        let grads = graph.lower_backward(&mut plan, &mut lowered, &[], &[], output, g, false);
        let mut wanted = vec![lowered.tensors[&output]];
        wanted.extend(bound.iter().filter_map(|(v, _)| grads.get(v)));
        bound.iter().for_each(|b| plan.keep(b.1));
        wanted.iter().for_each(|&t| plan.keep(t));
        plan.keep(g);
        let plan = plan.prepare(&gpu).expect("plan");
        for (b, (from, _)) in bound.iter().zip(values) {
            plan.view(b.1).write(&gpu, 0, &from.to_plan());
        }
        plan.view(g).write(&gpu, 0, &grad.to_plan());
        plan.run();
        let views: Vec<_> = wanted.iter().map(|&t| plan.view(t).clone()).collect();
        let words = readback::read_f32(&gpu, &views).expect("readback");
        gpu.check().expect("device");
        let back = words.iter().map(|w| RefTensor::from_plan(shape, w));
        back.collect()
    }

    #[track_caller]
    fn assert_close(found: &RefTensor, expected: &RefTensor, tolerance: f64) {
        let scale = expected.data.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
        for (i, (f, e)) in found.data.iter().zip(&expected.data).enumerate() {
            assert!(
                (f - e).abs() <= tolerance * scale,
                "[{i}] is {f}, expected {e} (scale {scale})"
            );
        }
    }

    /// Some drivers stop a shader's loops silently; long ones must run to their ends.
    #[test]
    fn long_sequences_agree_with_the_reference() {
        let many_rows = Attention {
            busy_threads: Some(1),
            ..Attention::new(8)
        };
        for (layer, side) in [(many_rows, 48), (Attention::new(20), 32)] {
            let shape = Shape::new(1, side, side, layer.head_dim);
            let mut numbers = Numbers::new(3);
            let inputs = [0, 1, 2].map(|_| numbers.tensor(shape));
            let grad = numbers.tensor(shape);
            let values = inputs.each_ref().map(|t| (t, true));
            let found = run(layer, &values, [0, 1, 2], None, &grad);
            assert_close(&found[0], &layer.reference_forward(&inputs, &[]), 2e-5);
            let expected = layer.reference_backward(&inputs, &[], &grad).0;
            for (f, e) in found[1..].iter().zip(&expected) {
                assert_close(f, e, 2e-5);
            }
        }
    }

    #[test]
    fn one_tensor_may_be_several_operands() {
        for (head_dim, c) in [(8, 16), (20, 20), (6, 12)] {
            let layer = Attention::new(head_dim);
            let shape = Shape::new(2, 2, 5, c);
            let mut numbers = Numbers::new(5);
            let (x, v, grad) = (
                numbers.tensor(shape),
                numbers.tensor(shape),
                numbers.tensor(shape),
            );
            for which in [[0, 0, 0], [0, 0, 1], [1, 0, 0]] {
                let values = [(&x, true), (&v, true)];
                let found = run(layer, &values, which, None, &grad);
                let inputs = which.map(|k| values[k].0.clone());
                assert_close(&found[0], &layer.reference_forward(&inputs, &[]), 2e-5);
                let grads = layer.reference_backward(&inputs, &[], &grad).0;
                let mut sums = [RefTensor::zeros(shape), RefTensor::zeros(shape)];
                for (&k, g) in which.iter().zip(&grads) {
                    sums[k]
                        .data
                        .iter_mut()
                        .zip(&g.data)
                        .for_each(|(s, g)| *s += g);
                }
                for (f, e) in found[1..].iter().zip(&sums) {
                    assert_close(f, e, 2e-5);
                }
            }
        }
    }

    #[test]
    fn gradients_are_made_for_those_who_want_one() {
        for (head_dim, c) in [(8, 16), (20, 20), (6, 12)] {
            let layer = Attention::new(head_dim);
            let shape = Shape::new(1, 2, 5, c);
            let mut numbers = Numbers::new(6);
            let inputs = [0, 1, 2].map(|_| numbers.tensor(shape));
            let grad = numbers.tensor(shape);
            let expected = layer.reference_backward(&inputs, &[], &grad).0;
            for (k, e) in expected.iter().enumerate() {
                let values = [0, 1, 2].map(|i| (&inputs[i], i == k));
                let found = run(layer, &values, [0, 1, 2], None, &grad);
                assert_eq!(found.len(), 2);
                assert_close(&found[1], e, 2e-5);
            }
        }
    }

    #[test]
    fn gradients_are_added_where_others_are_already() {
        for (head_dim, c) in [(8, 16), (20, 20), (6, 12)] {
            let layer = Attention::new(head_dim);
            let shape = Shape::new(1, 2, 5, c);
            let mut numbers = Numbers::new(8);
            let inputs = [0, 1, 2].map(|_| numbers.tensor(shape));
            let grad = numbers.tensor(shape);
            let values = inputs.each_ref().map(|t| (t, true));
            let expected = layer.reference_backward(&inputs, &[], &grad).0;
            for residual in 0..3 {
                let found = run(layer, &values, [0, 1, 2], Some(residual), &grad);
                for (k, e) in expected.iter().enumerate() {
                    let mut e = e.clone();
                    if k == residual {
                        e.data.iter_mut().zip(&grad.data).for_each(|(e, g)| *e += g);
                    }
                    assert_close(&found[1 + k], &e, 2e-5);
                }
            }
        }
    }

    /// Scores of thousands, whose exponentials no f32 holds.
    #[test]
    fn large_scores_do_not_overflow() {
        for head_dim in [8, 20] {
            let layer = Attention::new(head_dim);
            let shape = Shape::new(1, 3, 5, head_dim);
            let mut numbers = Numbers::new(9);
            let mut inputs = [0, 1, 2].map(|_| numbers.tensor(shape));
            inputs[0].data.iter_mut().for_each(|v| *v *= 4096.0);
            let grad = numbers.tensor(shape);
            let values = inputs.each_ref().map(|t| (t, true));
            let found = run(layer, &values, [0, 1, 2], None, &grad);
            assert_close(&found[0], &layer.reference_forward(&inputs, &[]), 1e-2);
            let all = found.iter().flat_map(|t| &t.data);
            assert!(all.into_iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let x = Shape::new(1, 4, 4, 24);
        let layer = Attention::new(8);
        assert_eq!(layer.output_shape(&[x, x, x]).ok(), Some(x));
        let other = Shape::new(1, 4, 5, 24);
        assert!(layer.output_shape(&[x, x]).is_err());
        assert!(layer.output_shape(&[x, x, other]).is_err());
        for head_dim in [0, 7, 48] {
            assert!(Attention::new(head_dim).output_shape(&[x, x, x]).is_err());
        }
        let long = Shape::new(1, 256, 256, 8);
        assert!(layer.output_shape(&[long, long, long]).is_err());
    }

    /// The whole N×N matrices of this layer would take 256 MiB.
    #[test]
    fn scores_take_little_memory() {
        let shape = Shape::new(4, 64, 64, 64);
        let mut graph = Graph::new();
        let values = [0, 1, 2].map(|_| graph.input("input", shape, true));
        let mut plan = PlanBuilder::new();
        let bound = values.map(|v| (v, plan.tensor("input", shape.words())));
        let output = graph
            .add("attention", Attention::new(64), &values, &[])
            .expect("shapes");
        let mut lowered = graph.lower_forward(&mut plan, &bound, &[]);
        let g = plan.tensor("grad output", shape.words());
        graph.lower_backward(&mut plan, &mut lowered, &[], &[], output, g, false);
        let tensors = 8 * 4 * shape.words() as u64;
        let others = plan.arena_bytes(1 << 30) - tensors;
        assert!(others <= 9 << 20, "{others} bytes besides the tensors");
    }
}

//! 2-D convolution, 1×1 or 3×3, stride 1 or 2; a linear layer is the 1×1 case on 1×1 images.
//! The epilogue adds the bias, a vector per sample (the time embedding) and a residual.
//!
//! Equivalent PyTorch:
//! ```text
//! y = F.conv2d(F.pad(x, (pad_begin, pad_end, pad_begin, pad_end)), weight, bias, stride)
//! y = y + sample[:, :, None, None] + residual
//! ```

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, RefGrads, column_sum, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{ModelError, PlanBuilder, Shape, TensorId, graph::ParamLayout, tensor::RefTensor},
};

/// Mirrors `Params` of `shaders/layers/conv2d.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    in_h: u32,
    in_w: u32,
    in_c4: u32,
    out_h: u32,
    out_w: u32,
    out_c4: u32,
    kernel: u32,
    stride: u32,
    pad: u32,
    rows: u32,
    column_tiles: u32,
    flags: u32,
    splits: u32,
    split_images: u32,
    strips: u32,
}

const BIAS: u32 = 1;
const SAMPLE: u32 = 2;
const RESIDUAL: u32 = 4;
const ACCUMULATE: u32 = 8;

/// Rows (pixels) that one thread of the forward and input-gradient kernels makes.
const TILE_ROWS: usize = 8;
/// Threads of the wide weight-gradient kernel that share a column of output channels are filled up
/// to a multiple of this.
const SUBGROUP: usize = 8;

/// Whether the wide weight-gradient kernel has few idle lanes and channels: it makes about 1.3
/// times as many products a second as the other, so it wins from 4/5 on.
const fn fills_wide_tiles(rows: usize, columns4: usize) -> bool {
    let made = rows.next_multiple_of(SUBGROUP) * columns4.next_multiple_of(4);
    5 * rows * columns4 >= 4 * made
}

/// Turns of a thread's loops, see the shader.
const MAX_TURNS: usize = 32768;

/// A convolution. Inputs: `x`, then the per-sample vector if `sample`, then the residual if
/// `residual`. Parameters: weight, then the bias if `bias`.
#[derive(Debug, Clone, Copy)]
pub struct Conv2d {
    /// Kernel side K.
    pub kernel: usize,
    /// Stride, 1 or 2.
    pub stride: usize,
    /// Zero padding above and to the left.
    pub pad_begin: usize,
    /// Zero padding below and to the right.
    pub pad_end: usize,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Adds a bias.
    pub bias: bool,
    /// Adds a vector per sample, `[B, 1, 1, Cout]`.
    pub sample: bool,
    /// Adds a tensor of the output's shape.
    pub residual: bool,
}

impl Conv2d {
    /// 3×3, stride 1, "same" padding, with bias.
    pub const fn same3(cin: usize, cout: usize) -> Self {
        Self {
            kernel: 3,
            stride: 1,
            pad_begin: 1,
            pad_end: 1,
            cin,
            cout,
            bias: true,
            sample: false,
            residual: false,
        }
    }

    /// 1×1 with bias: also the linear layer.
    pub const fn pointwise(cin: usize, cout: usize) -> Self {
        Self {
            kernel: 1,
            stride: 1,
            pad_begin: 0,
            pad_end: 0,
            cin,
            cout,
            bias: true,
            sample: false,
            residual: false,
        }
    }

    /// 3×3, stride 2. `padding` 1 pads all sides, 0 pads below and to the right only, as
    /// diffusers' `downsample_padding`.
    pub const fn down(c: usize, padding: usize) -> Self {
        Self {
            stride: 2,
            pad_begin: padding,
            pad_end: 1,
            ..Self::same3(c, c)
        }
    }

    /// With a vector per sample added.
    #[must_use]
    pub const fn with_sample(mut self) -> Self {
        self.sample = true;
        self
    }

    /// With a residual added.
    #[must_use]
    pub const fn with_residual(mut self) -> Self {
        self.residual = true;
        self
    }

    /// The weight's layout.
    pub const fn weight_layout(&self, linear: bool) -> ParamLayout {
        ParamLayout::Weight {
            k: self.kernel,
            cin: self.cin,
            cout: self.cout,
            linear,
        }
    }

    fn residual_index(&self) -> usize {
        1 + usize::from(self.sample)
    }

    fn flops(&self, out: Shape) -> u64 {
        2 * (out.pixels() * self.kernel * self.kernel * self.cin * self.cout) as u64
    }

    fn params(&self, x: Shape, y: Shape) -> Params {
        Params {
            batch: x.b as u32,
            in_h: x.h as u32,
            in_w: x.w as u32,
            in_c4: x.c4() as u32,
            out_h: y.h as u32,
            out_w: y.w as u32,
            out_c4: y.c4() as u32,
            kernel: self.kernel as u32,
            stride: self.stride as u32,
            pad: self.pad_begin as u32,
            rows: 0,
            column_tiles: 0,
            flags: 0,
            splits: 1,
            split_images: x.b as u32,
            strips: y.w.div_ceil(8) as u32,
        }
    }

    /// Whether the sliding-window kernels fit.
    const fn slides(&self, plan: &PlanBuilder, x: Shape) -> bool {
        !plan.variants().general_convolution
            && self.kernel == 3
            && self.stride == 1
            && self.pad_begin == 1
            && self.pad_end == 1
            && x.w >= 4
    }

    /// Emits one of the two kernels whose threads make pixels by channels. `out` is what it
    /// writes: y forward, the gradient of x backward.
    fn emit_product(
        &self,
        plan: &mut PlanBuilder,
        entry: &'static str,
        mut params: Params,
        out: Shape,
        args: &[(u32, crate::nn::plan::Arg)],
        flops: u64,
    ) {
        params.column_tiles = out.c4().div_ceil(2) as u32;
        let (kernel, threads) = if self.slides(plan, out) {
            params.rows = (out.b * out.h) as u32 * params.strips;
            let kernel = match plan.variants().subgroup_lanes {
                0 => KernelId::new("layers/conv3x3", entry),
                lanes => KernelId::new("layers/conv3x3_subgroup", entry).with("LANES", lanes),
            };
            (kernel, params.rows as usize)
        } else {
            params.rows = out.pixels() as u32;
            (
                KernelId::new("layers/conv2d", entry),
                out.pixels().div_ceil(TILE_ROWS),
            )
        };
        let tiles = threads.div_ceil(GROUP) * params.column_tiles as usize;
        plan.dispatch(kernel, &params, args, tiles, flops);
    }

    fn backward_weight(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let (x, y) = (io.inputs[0], io.output.shape);
        let mut params = self.params(x.shape, y);
        let slides = self.slides(plan, x.shape);
        let taps = self.kernel * self.kernel;
        let taps_apart = if slides { self.kernel } else { taps };
        let mut rows = taps_apart * x.shape.c4().div_ceil(2);
        let wide = slides && plan.variants().wide_tiles && fills_wide_tiles(rows, y.c4());
        let column_tiles = y.c4().div_ceil(if wide { 4 } else { 2 });
        params.column_tiles = column_tiles as u32;
        if wide {
            rows = rows.next_multiple_of(SUBGROUP);
        }
        let threads = rows * column_tiles;
        let turns_per_image = y.h * (y.w + 1);
        let most_images = (MAX_TURNS / turns_per_image).max(1);
        let wanted = plan
            .variants()
            .busy_threads()
            .div_ceil(threads)
            .min(x.shape.b);
        let split_images = x.shape.b.div_ceil(wanted).min(most_images);
        let splits = x.shape.b.div_ceil(split_images);
        params.splits = splits as u32;
        params.split_images = split_images as u32;
        let words = taps * x.shape.cp() * y.cp();
        let target = if splits == 1 {
            params.flags = ACCUMULATE;
            io.grad_params[0]
        } else {
            plan.tensor("weight gradient in parts", splits * words)
        };
        plan.dispatch(
            match (slides, wide) {
                (false, _) => KernelId::new("layers/conv2d", "backward_weight"),
                (true, false) => KernelId::new("layers/conv3x3", "backward_weight"),
                (true, true) => KernelId::new("layers/conv3x3_wide", "backward_weight")
                    .with("LANES", plan.variants().subgroup_lanes),
            },
            &params,
            &[
                (1, x.tensor.into()),
                (2, target.into()),
                (6, io.grad_output.into()),
            ],
            (threads * splits).div_ceil(GROUP),
            self.flops(y),
        );
        if splits > 1 {
            column_sum::emit(
                plan,
                target,
                io.grad_params[0],
                (1, splits, words / 4),
                true,
            );
        }
    }
}

impl Layer for Conv2d {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, ModelError> {
        let count = 1 + usize::from(self.sample) + usize::from(self.residual);
        if inputs.len() != count {
            return Err(shape_error(format!("{count} inputs"), inputs.len()));
        }
        let x = inputs[0];
        if x.c != self.cin {
            return Err(shape_error(format!("{} input channels", self.cin), x));
        }
        let side = |n: usize| {
            (n + self.pad_begin + self.pad_end)
                .checked_sub(self.kernel)
                .map(|n| n / self.stride + 1)
        };
        let (Some(h), Some(w)) = (side(x.h), side(x.w)) else {
            return Err(shape_error(
                format!("at least {0}×{0} pixels", self.kernel),
                x,
            ));
        };
        let y = Shape::new(x.b, h, w, self.cout);
        if self.sample && inputs[1] != Shape::vector(x.b, self.cout) {
            return Err(shape_error(
                Shape::vector(x.b, self.cout).to_string(),
                inputs[1],
            ));
        }
        if self.residual && inputs[self.residual_index()] != y {
            return Err(shape_error(y.to_string(), inputs[self.residual_index()]));
        }
        Ok(y)
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let (x, y) = (io.inputs[0], io.output);
        let mut params = self.params(x.shape, y.shape);
        let mut args = vec![
            (1, x.tensor.into()),
            (2, io.params[0].into()),
            (6, y.tensor.into()),
        ];
        if self.bias {
            params.flags |= BIAS;
            args.push((3, io.params[1].into()));
        }
        if self.sample {
            params.flags |= SAMPLE;
            args.push((4, io.inputs[1].tensor.into()));
        }
        if self.residual {
            params.flags |= RESIDUAL;
            args.push((5, io.inputs[self.residual_index()].tensor.into()));
        }
        self.emit_product(plan, "forward", params, y.shape, &args, self.flops(y.shape));
        Vec::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let (x, y) = (io.inputs[0], io.output.shape);
        self.backward_weight(plan, io);
        let sample_target = if self.sample { io.grad_inputs[1] } else { None };
        if self.bias || sample_target.is_some() {
            let (dims, bias_rows) = ((y.b, y.h * y.w, y.c4()), y.b);
            match sample_target {
                Some(t) => {
                    let sums = if t.accumulate {
                        plan.tensor("per-sample sums", y.b * y.cp())
                    } else {
                        t.tensor
                    };
                    column_sum::emit(plan, io.grad_output, sums, dims, false);
                    if self.bias {
                        column_sum::emit(
                            plan,
                            sums,
                            io.grad_params[1],
                            (1, bias_rows, y.c4()),
                            true,
                        );
                    }
                    if t.accumulate {
                        super::add::accumulate(plan, sums, t.tensor, y.b * y.cp(), true);
                    }
                }
                None => column_sum::emit(
                    plan,
                    io.grad_output,
                    io.grad_params[1],
                    (1, y.pixels(), y.c4()),
                    true,
                ),
            }
        }
        if let Some(target) = io.grad_inputs[0] {
            let mut params = self.params(x.shape, y);
            params.flags = if target.accumulate { ACCUMULATE } else { 0 };
            let args = [
                (1, target.tensor.into()),
                (2, io.params[0].into()),
                (6, io.grad_output.into()),
            ];
            self.emit_product(
                plan,
                "backward_input",
                params,
                x.shape,
                &args,
                self.flops(y),
            );
        }
    }

    fn passes_gradient(&self, k: usize) -> bool {
        self.residual && k == self.residual_index()
    }

    fn reference_forward(&self, inputs: &[RefTensor], params: &[RefTensor]) -> RefTensor {
        let x = &inputs[0];
        let shapes: Vec<Shape> = inputs.iter().map(|i| i.shape).collect();
        let Ok(shape) = self.output_shape(&shapes) else {
            return RefTensor::zeros(Shape::new(0, 0, 0, 0));
        };
        let mut y = RefTensor::zeros(shape);
        self.each_product(x.shape, shape, |xi, wi, yi| {
            y.data[yi] += x.data[xi] * params[0].data[wi];
        });
        for (i, v) in y.data.iter_mut().enumerate() {
            let c = i % shape.c;
            if self.bias {
                *v += params[1].data[c];
            }
            if self.sample {
                *v += inputs[1].data[i / (shape.h * shape.w * shape.c) * shape.c + c];
            }
            if self.residual {
                *v += inputs[self.residual_index()].data[i];
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
        let shape = grad_output.shape;
        let mut dx = RefTensor::zeros(inputs[0].shape);
        let mut grads: Vec<RefTensor> = params.iter().map(|p| RefTensor::zeros(p.shape)).collect();
        self.each_product(inputs[0].shape, shape, |xi, wi, yi| {
            dx.data[xi] += grad_output.data[yi] * params[0].data[wi];
            grads[0].data[wi] += grad_output.data[yi] * inputs[0].data[xi];
        });
        let mut grad_inputs = vec![dx];
        if self.sample {
            let mut ds = RefTensor::zeros(inputs[1].shape);
            for (i, g) in grad_output.data.iter().enumerate() {
                ds.data[i / (shape.h * shape.w * shape.c) * shape.c + i % shape.c] += g;
            }
            grad_inputs.push(ds);
        }
        if self.residual {
            grad_inputs.push(grad_output.clone());
        }
        if self.bias {
            for (i, g) in grad_output.data.iter().enumerate() {
                grads[1].data[i % shape.c] += g;
            }
        }
        (grad_inputs, grads)
    }
}

impl Conv2d {
    /// Visits every product of the sum: indices into x `[B, H, W, Cin]`, the weight
    /// `[Cout, Cin, K, K]` and y `[B, H, W, Cout]`.
    fn each_product(&self, x: Shape, y: Shape, mut f: impl FnMut(usize, usize, usize)) {
        let k = self.kernel;
        for b in 0..y.b {
            for oy in 0..y.h {
                for ox in 0..y.w {
                    for ky in 0..k {
                        for kx in 0..k {
                            let iy = (oy * self.stride + ky).wrapping_sub(self.pad_begin);
                            let ix = (ox * self.stride + kx).wrapping_sub(self.pad_begin);
                            if iy >= x.h || ix >= x.w {
                                continue;
                            }
                            let xi = ((b * x.h + iy) * x.w + ix) * x.c;
                            let yi = ((b * y.h + oy) * y.w + ox) * y.c;
                            for o in 0..y.c {
                                for i in 0..x.c {
                                    f(xi + i, ((o * x.c + i) * k + ky) * k + kx, yi + o);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn cases() -> Vec<super::Case> {
    let case = |name, layer: Conv2d, b, h, w| {
        let x = Shape::new(b, h, w, layer.cin);
        let mut inputs = vec![x];
        if layer.sample {
            inputs.push(Shape::vector(b, layer.cout));
        }
        if layer.residual {
            inputs.push(Shape::new(b, h, w, layer.cout));
        }
        super::Case {
            name,
            layer: std::sync::Arc::new(layer),
            inputs,
            integers: Vec::new(),
            params: vec![
                layer.weight_layout(false),
                ParamLayout::Vector { c: layer.cout },
            ],
        }
    };
    vec![
        case("conv 3x3", Conv2d::same3(8, 16), 2, 6, 7),
        case("conv 3x3 from 1 channel", Conv2d::same3(1, 12), 3, 5, 5),
        case("conv 3x3 to 3 channels", Conv2d::same3(20, 3), 2, 5, 4),
        case("conv 3x3 odd channels", Conv2d::same3(10, 6), 1, 4, 9),
        case(
            "conv 3x3 epilogue",
            Conv2d::same3(12, 8).with_sample().with_residual(),
            2,
            4,
            4,
        ),
        case("conv 1x1", Conv2d::pointwise(24, 20), 2, 5, 3),
        case("linear", Conv2d::pointwise(28, 12), 5, 1, 1),
        case("conv stride 2, padding 1", Conv2d::down(8, 1), 2, 8, 6),
        case("conv stride 2, padding 0", Conv2d::down(12, 0), 2, 6, 8),
        case("conv large batch", Conv2d::same3(4, 4), 70, 8, 8),
    ]
}

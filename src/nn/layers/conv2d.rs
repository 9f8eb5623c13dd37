//! 2-D convolution, 1×1 or 3×3, stride 1 or 2; a linear layer is the 1×1 case on 1×1 images.
//! The epilogue adds the bias, a vector per sample (the time embedding) and a residual.
//!
//! Equivalent PyTorch:
//! ```text
//! y = F.conv2d(F.pad(x, (pad_begin, pad_end, pad_begin, pad_end)), weight, bias, stride)
//! y = y + sample[:, :, None, None] + residual
//! ```
//!
//! The kernels of the weight gradient also sum up dy for each sample: the gradient of `sample`, and
//! over all samples that of the bias.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::{Backward, Forward, GROUP, Layer, Operand, RefGrads, shape_error};
use crate::{
    gpu::kernel::KernelId,
    nn::{
        ModelError, PlanBuilder, Shape, TensorId,
        graph::ParamLayout,
        plan::{Arg, RowSum, Variants},
        tensor::RefTensor,
    },
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
    sample_c4: u32,
    sample_first: u32,
    sum_rows: u32,
    sum_pixels: u32,
    first_c4: u32,
    second: u32,
}

const BIAS: u32 = 1;
const SAMPLE: u32 = 2;
const RESIDUAL: u32 = 4;
const ACCUMULATE: u32 = 8;
const ACCUMULATE_SAMPLE: u32 = 16;
const SUMS_IN_PASSING: u32 = 32;

/// Binding of the weight, and of what Winograd's kernels make of it.
const WEIGHT: u32 = 2;
const TRANSFORMED: u32 = 7;

/// Rows (pixels) that one thread of the forward and input-gradient kernels makes.
const TILE_ROWS: usize = 8;
/// Pixels from which on the pointwise kernels fill their workgroups.
const POINTWISE_PIXELS: usize = 256;
/// Threads of the wide weight-gradient kernels that share a column of output channels are filled up
/// to a multiple of this.
const SUBGROUP: usize = 8;

/// Neighbouring pixels that a thread of the sliding-window kernels makes: 8, or 7 where a line of `w`
/// is then filled with fewer idle ones.
const fn strip_pixels(w: usize) -> usize {
    if w.next_multiple_of(7) < w.next_multiple_of(8) {
        7
    } else {
        8
    }
}

/// The part of tiles of that size that is not idle where they cover so many rows and columns, in percent.
const fn filling_of((rows, columns): (usize, usize), tile: (usize, usize)) -> usize {
    let made = rows.next_multiple_of(tile.0) * columns.next_multiple_of(tile.1);
    100 * rows * columns / made
}

/// That of the threads and channels of a wide weight-gradient kernel.
const fn filling(rows: usize, columns4: usize) -> usize {
    filling_of((rows, columns4), (SUBGROUP, 4))
}

/// Neighbouring pixels that a thread of the narrow kernels makes.
const NARROW_STRIP: usize = 4;
/// The part of the channels of a narrow kernel that must not be idle, in percent: otherwise those of fewer channels a
/// thread win.
const FILLED_NARROW: usize = 70;

/// `vec4`s of channels that a thread of Winograd's kernels makes, of [`TRANSFORMED_STRIP`] by 2 pixels: 8, or 6 where
/// fewer of `c4` are then idle.
const fn transformed_columns(c4: usize) -> usize {
    if c4.next_multiple_of(6) < c4.next_multiple_of(8) {
        6
    } else {
        8
    }
}
/// Pixels of a line that it makes.
const TRANSFORMED_STRIP: usize = 8;
/// Threads of a workgroup of these kernels: few, as each of them has much to do.
const TRANSFORMED_GROUP: usize = 16;
/// Pixels of a batch from which on it pays to transform the weights.
const TRANSFORMED_PIXELS: usize = 512;
/// Pixels of an image from which on what is saved is worth a dispatch.
const TRANSFORMED_IMAGE: usize = 144;
/// The part of the channels and pixels that must not be idle there, in percent.
const FILLED_TRANSFORMED: usize = 75;

/// `vec4`s of channels that a workgroup of the tiled kernels makes at most: 16, or half with twice the pixels. Its weight
/// gradient always takes so many input and output channels.
const TILED_COLUMNS: usize = 16;
/// Pixels that such a workgroup makes at least.
const TILED_PIXELS: usize = 64;
/// The part of these channels that must not be idle, in percent.
const FILLED_TILED: usize = 70;

/// From so much of it on, wide tiles win: they make about twice as many products a second as the others.
const FILLED: usize = 50;
/// The same for the pointwise kernel, which gains less.
const FILLED_POINTWISE: usize = 70;

/// Sums of dy are rows of one image, or of several small ones, so that there are not many more than
/// this.
const SUM_ROWS: usize = 64;
/// Pixels of a row of several images at most.
const SUM_PIXELS: usize = 4096;

/// Turns of a thread's loops, see the shader.
const MAX_TURNS: usize = 32768;

/// A slice of the channels of a longer vector per sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// First channel, a multiple of 4.
    pub first: usize,
    /// Channels of the whole, a multiple of 4.
    pub of: usize,
}

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
    /// The vector per sample is a slice of a longer one.
    pub slice: Option<Slice>,
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
            slice: None,
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
            slice: None,
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

    /// With a slice of a longer vector per sample added.
    #[must_use]
    pub const fn with_slice(mut self, slice: Slice) -> Self {
        self.sample = true;
        self.slice = Some(slice);
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

    fn params(&self, operand: Operand, y: Shape) -> Params {
        let x = operand.shape;
        let (first_c4, second) = operand.split();
        let slice = self.slice.unwrap_or(Slice {
            first: 0,
            of: y.cp(),
        });
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
            strips: 0,
            sample_c4: (slice.of / 4) as u32,
            sample_first: (slice.first / 4) as u32,
            sum_rows: 0,
            sum_pixels: 0,
            first_c4,
            second,
        }
    }

    /// Shape of the input `sample`.
    fn sample_shape(&self, batch: usize) -> Shape {
        Shape::vector(batch, self.slice.map_or(self.cout, |s| s.of))
    }

    /// Whether the pointwise kernels fit, which share weights in a subgroup.
    const fn is_pointwise(&self, plan: &PlanBuilder, x: Shape) -> bool {
        !plan.variants().general_convolution
            && plan.variants().subgroup_lanes > 0
            && self.kernel == 1
            && self.stride == 1
            && x.b * x.h * x.w >= POINTWISE_PIXELS
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

    /// Whether Winograd's kernels fit.
    const fn transforms(&self, plan: &PlanBuilder, out: Shape) -> bool {
        let (w, h, c4) = (out.w, out.h, out.c4());
        let made = w.next_multiple_of(TRANSFORMED_STRIP)
            * h.next_multiple_of(2)
            * c4.next_multiple_of(transformed_columns(c4));
        plan.variants().winograd
            && plan.variants().subgroup_lanes >= 8
            && self.slides(plan, out)
            && out.b * h * w >= TRANSFORMED_PIXELS
            && h * w >= TRANSFORMED_IMAGE
            && 100 * w * h * c4 >= FILLED_TRANSFORMED * made
    }

    /// How many times [`TILED_PIXELS`] a workgroup of the tiled kernels makes where they fit, with as many times fewer
    /// channels.
    const fn tiled_units(&self, plan: &PlanBuilder, out: Shape) -> Option<usize> {
        let c4 = out.c4();
        let units = if c4.next_multiple_of(TILED_COLUMNS / 2) < c4.next_multiple_of(TILED_COLUMNS) {
            2
        } else {
            1
        };
        let made = c4.next_multiple_of(TILED_COLUMNS / units);
        let fits = plan.variants().workgroup_tiles
            && !plan.variants().general_convolution
            && out.pixels() >= TILED_PIXELS
            && 100 * c4 >= FILLED_TILED * made;
        if fits { Some(units) } else { None }
    }

    /// [`Conv2d::emit_product`] by Winograd's minimal filtering: the weights are transformed first.
    fn emit_transformed(
        &self,
        plan: &mut PlanBuilder,
        entry: &'static str,
        mut params: Params,
        out: Shape,
        args: &[(u32, Arg)],
        flops: u64,
    ) {
        let vec4s = 4 * params.in_c4 as usize * params.out_c4 as usize;
        let transformed = plan.tensor("transformed weights", 16 * 4 * vec4s);
        let (weight, mut rest): (Vec<_>, Vec<_>) =
            args.iter().copied().partition(|a| a.0 == WEIGHT);
        rest.push((TRANSFORMED, transformed.into()));
        let kernel = |entry| KernelId::new("layers/conv3x3_winograd", entry);
        let transform: Vec<_> = weight.into_iter().chain(rest.last().copied()).collect();
        let tiles = vec4s.div_ceil(GROUP);
        plan.dispatch(kernel("transform_weight"), &params, &transform, tiles, 0);
        params.strips = out.w.div_ceil(TRANSFORMED_STRIP) as u32;
        params.rows = (out.b * out.h.div_ceil(2)) as u32 * params.strips;
        let columns = transformed_columns(out.c4());
        let entry = match (entry, columns) {
            (_, 8) => entry,
            ("forward", _) => "forward_24",
            _ => "backward_input_24",
        };
        params.column_tiles = out.c4().div_ceil(columns) as u32;
        let tiles = (params.rows as usize).div_ceil(TRANSFORMED_GROUP);
        let tiles = tiles * params.column_tiles as usize;
        plan.dispatch(kernel(entry), &params, &rest, tiles, flops);
    }

    /// Emits one of the kernels whose threads make pixels by channels. `out` is what it writes: y
    /// forward, the gradient of x backward.
    fn emit_product(
        &self,
        plan: &mut PlanBuilder,
        entry: &'static str,
        mut params: Params,
        out: Shape,
        args: &[(u32, Arg)],
        flops: u64,
    ) {
        let lanes = plan.variants().subgroup_lanes;
        let window = |entry, strip: usize| {
            let kernel = match lanes {
                0 => KernelId::new("layers/conv3x3", entry),
                lanes => KernelId::new("layers/conv3x3_subgroup", entry).with("LANES", lanes),
            };
            kernel.with("STRIP", strip as u32)
        };
        if self.transforms(plan, out) {
            self.emit_transformed(plan, entry, params, out, args, flops);
            return;
        }
        let mut columns = 2;
        let filled = 100 * out.c4() / out.c4().next_multiple_of(4) >= FILLED_NARROW;
        let narrow = plan.variants().narrow_tiles && filled;
        let (kernel, row_tiles) = if let Some(units) = self.tiled_units(plan, out) {
            columns = TILED_COLUMNS / units;
            params.rows = out.pixels() as u32;
            let kernel = KernelId::new("layers/conv_tiled", entry).with("UNITS", units as u32);
            (kernel, out.pixels().div_ceil(TILED_PIXELS * units))
        } else if self.slides(plan, out) && narrow {
            columns = 4;
            params.strips = out.w.div_ceil(NARROW_STRIP) as u32;
            params.rows = (out.b * out.h) as u32 * params.strips;
            let kernel = KernelId::new("layers/conv3x3_narrow", entry);
            (kernel, (params.rows as usize).div_ceil(GROUP))
        } else if self.slides(plan, out) {
            let strip = strip_pixels(out.w);
            params.strips = out.w.div_ceil(strip) as u32;
            params.rows = (out.b * out.h) as u32 * params.strips;
            (window(entry, strip), (params.rows as usize).div_ceil(GROUP))
        } else if entry == "backward_input" && self.halves(plan) {
            params.strips = (out.w + self.pad_begin).div_ceil(8) as u32;
            let tiles = |lines: usize| (out.b * lines * params.strips as usize).div_ceil(GROUP);
            let even = (out.h + 1 - self.pad_begin) / 2;
            let odd = (out.h + self.pad_begin) / 2;
            (window("backward_input_down", 8), tiles(even) + tiles(odd))
        } else if self.is_pointwise(plan, out) {
            columns = 4;
            params.rows = out.pixels() as u32;
            let kernel = if narrow {
                KernelId::new("layers/conv1x1_narrow", entry)
            } else {
                KernelId::new("layers/conv1x1_subgroup", entry).with("LANES", lanes)
            };
            (kernel, out.pixels().div_ceil(TILE_ROWS * GROUP))
        } else {
            params.rows = out.pixels() as u32;
            let kernel = KernelId::new("layers/conv2d", entry);
            (kernel, out.pixels().div_ceil(TILE_ROWS * GROUP))
        };
        params.column_tiles = out.c4().div_ceil(columns) as u32;
        let tiles = row_tiles * params.column_tiles as usize;
        plan.dispatch(kernel, &params, args, tiles, flops);
    }

    /// Whether the kernel of its own for the input gradient at stride 2 fits.
    const fn halves(&self, plan: &PlanBuilder) -> bool {
        !plan.variants().general_convolution
            && self.kernel == 3
            && self.stride == 2
            && self.pad_begin <= 1
    }

    /// The kernel of the weight gradient with its threads a part of the batch, as rows and columns;
    /// and whether it is one of those that share dy, whose rows are filled up to whole subgroups.
    fn weight_kernel(
        &self,
        plan: &PlanBuilder,
        x: Shape,
        y: Shape,
    ) -> (KernelId, (usize, usize), bool) {
        let Variants {
            subgroup_lanes: lanes,
            wide_tiles,
            narrow_tiles,
            ..
        } = plan.variants();
        let shared = |kernel, rows: usize| {
            let columns = y.c4().div_ceil(4);
            (kernel, (rows.next_multiple_of(SUBGROUP), columns), true)
        };
        let wide = |stem| KernelId::new(stem, "backward_weight").with("LANES", lanes);
        let columns = y.c4().div_ceil(2);
        let c4 = x.c4();
        let filled = filling_of((c4, y.c4()), (TILED_COLUMNS, TILED_COLUMNS)) >= FILLED_TILED;
        if plan.variants().workgroup_tiles && !plan.variants().general_convolution && filled {
            let kernel = KernelId::new("layers/conv_tiled", "backward_weight").with("UNITS", 1);
            let groups = self.kernel * self.kernel * c4.div_ceil(TILED_COLUMNS);
            return (
                kernel,
                (groups * GROUP, y.c4().div_ceil(TILED_COLUMNS)),
                false,
            );
        }
        if self.slides(plan, x) {
            if narrow_tiles && filling(6 * c4, y.c4()) >= FILLED {
                let kernel = KernelId::new("layers/conv3x3_narrow", "backward_weight");
                return shared(kernel, 6 * c4);
            }
            if wide_tiles && filling(3 * c4, y.c4()) >= FILLED {
                return shared(wide("layers/conv3x3_wide"), 3 * c4);
            }
            let kernel = KernelId::new("layers/conv3x3", "backward_weight").with("STRIP", 8);
            return (kernel, (3 * c4.div_ceil(2), columns), false);
        }
        if wide_tiles && self.is_pointwise(plan, x) && filling(c4, y.c4()) >= FILLED_POINTWISE {
            return shared(wide("layers/conv1x1_subgroup"), c4);
        }
        let rows = self.kernel * self.kernel * c4.div_ceil(2);
        let kernel = KernelId::new("layers/conv2d", "backward_weight");
        (kernel, (rows, columns), false)
    }

    /// Emits the gradients of the weight, of the bias and of the vector per sample.
    fn backward_weight(&self, plan: &mut PlanBuilder, io: &Backward<'_>) {
        let (x, y) = (io.inputs[0], io.output.shape);
        let mut params = self.params(x, y);
        let (kernel, (rows, column_tiles), shared) = self.weight_kernel(plan, x.shape, y);
        params.column_tiles = column_tiles as u32;
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
        let words = self.kernel * self.kernel * x.shape.cp() * y.cp();
        let target = if splits == 1 {
            params.flags = ACCUMULATE;
            io.grad_params[0].into()
        } else {
            plan.partial(splits * words)
        };
        let mut args = vec![
            (1, x.tensor.into()),
            (2, target),
            (6, io.grad_output.into()),
        ];
        let mut sums = Vec::new();
        if splits > 1 {
            sums.push(row_sum(target, (splits, words / 4), io.grad_params[0]));
        }
        let sample = if self.sample { io.grad_inputs[1] } else { None };
        // The sums of each sample are made for themselves, those of a part of the batch on the way.
        let passing = shared && sample.is_none();
        let images = if sample.is_some() {
            1
        } else {
            let most = (SUM_PIXELS / y.h / y.w).max(1);
            y.b.div_ceil(SUM_ROWS).min(most)
        };
        let sum_rows = y.b.div_ceil(images);
        if self.bias {
            params.flags |= if passing { SUMS_IN_PASSING } else { BIAS };
            let count = if passing { splits } else { sum_rows };
            let parts = plan.partial(count * y.cp());
            args.push((3, parts));
            sums.push(row_sum(parts, (count, y.c4()), io.grad_params[1]));
        }
        if let Some(t) = sample {
            params.flags |= SAMPLE;
            if t.accumulate {
                params.flags |= ACCUMULATE_SAMPLE;
            }
            args.push((4, t.tensor.into()));
        }
        if (self.bias || sample.is_some()) && !passing {
            params.sum_rows = sum_rows as u32;
            params.sum_pixels = (images * y.h * y.w) as u32;
        }
        let tiles = (threads * splits).div_ceil(GROUP)
            + (params.sum_rows as usize * y.c4()).div_ceil(GROUP);
        plan.dispatch(kernel, &params, &args, tiles, self.flops(y));
        for sum in sums {
            plan.sum_later(sum);
        }
    }
}

/// `rows` of `columns` vec4s, one after the other.
const fn row_sum(from: Arg, (rows, columns): (usize, usize), target: TensorId) -> RowSum {
    RowSum {
        source: from.tensor,
        first: from.first,
        rows,
        columns,
        stride: columns,
        target,
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
        let sample = self.sample_shape(x.b);
        if self.sample && inputs[1] != sample {
            return Err(shape_error(sample.to_string(), inputs[1]));
        }
        if self.residual && inputs[self.residual_index()] != y {
            return Err(shape_error(y.to_string(), inputs[self.residual_index()]));
        }
        Ok(y)
    }

    fn forward(&self, plan: &mut PlanBuilder, io: &Forward<'_>) -> Vec<TensorId> {
        let (x, y) = (io.inputs[0], io.output);
        let mut params = self.params(x, y.shape);
        let mut args = vec![
            (1, x.tensor.into()),
            (WEIGHT, io.params[0].into()),
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
        if let Some(target) = io.grad_inputs[0] {
            let mut params = self.params(x, y);
            params.flags = if target.accumulate { ACCUMULATE } else { 0 };
            let args = [
                (1, target.tensor.into()),
                (WEIGHT, io.params[0].into()),
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

    fn slice_of(&self, k: usize) -> Option<Range<usize>> {
        let slice = self.slice.filter(|_| self.sample && k == 1)?;
        Some(slice.first..slice.first + self.cout)
    }

    fn reads_planes(&self, k: usize) -> bool {
        k == 0 && self.kernel == 1 && self.stride == 1
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
                let (first, of) = self.slice.map_or((0, shape.c), |s| (s.first, s.of));
                *v += inputs[1].data[i / (shape.h * shape.w * shape.c) * of + first + c];
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
        // Strips of 7 pixels.
        case("conv 3x3 in strips of 7", Conv2d::same3(8, 12), 2, 3, 14),
        case(
            "conv 3x3 in strips of 7, filled up",
            Conv2d::same3(6, 4),
            1,
            5,
            20,
        ),
        // By Winograd's kernels, forward and backward: even and odd sizes.
        case(
            "conv 3x3 to 26 channels, 512 pixels",
            Conv2d::same3(6, 26).with_sample().with_residual(),
            2,
            16,
            16,
        ),
        case(
            "conv 3x3 to 32 channels, 13x13",
            Conv2d::same3(3, 32),
            4,
            13,
            13,
        ),
        case(
            "conv 3x3 from 21 to 48 channels",
            Conv2d::same3(21, 48).with_sample().with_residual(),
            4,
            13,
            13,
        ),
        case("conv 3x3 from 30 channels", Conv2d::same3(30, 5), 3, 13, 14),
        case("conv 3x3 from 52 channels", Conv2d::same3(52, 4), 4, 10, 15),
        // Narrow wide tiles of the weight gradient.
        case("conv 3x3 of 32 channels", Conv2d::same3(32, 32), 2, 3, 5),
        case("conv 1x1", Conv2d::pointwise(24, 20), 2, 5, 3),
        case(
            "conv 1x1 of many pixels",
            Conv2d::pointwise(32, 28).with_sample().with_residual(),
            3,
            17,
            11,
        ),
        case(
            "conv 1x1, odd channels",
            Conv2d::pointwise(13, 6),
            2,
            23,
            13,
        ),
        // Through workgroup memory, with 64 and with 32 channels a workgroup, and the weight gradient.
        case(
            "conv 3x3 of 60 and 52 channels",
            Conv2d::same3(60, 52).with_sample().with_residual(),
            2,
            7,
            5,
        ),
        case(
            "conv 1x1 of 60 and 24 channels",
            Conv2d::pointwise(60, 24),
            3,
            9,
            8,
        ),
        case(
            "conv stride 2 of 52 channels",
            Conv2d::down(52, 0),
            3,
            13,
            10,
        ),
        case("linear", Conv2d::pointwise(28, 12), 5, 1, 1),
        case("linear, large batch", Conv2d::pointwise(6, 9), 333, 1, 1),
        case("conv stride 2, padding 1", Conv2d::down(8, 1), 2, 8, 6),
        case("conv stride 2, padding 0", Conv2d::down(12, 0), 2, 6, 8),
        case("conv stride 2 of odd size", Conv2d::down(6, 1), 3, 9, 19),
        case(
            "conv stride 2, padding 0, odd",
            Conv2d::down(20, 0),
            1,
            7,
            9,
        ),
        case("conv large batch", Conv2d::same3(4, 4), 70, 8, 8),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Graph;

    /// The kernels of a 3×3 convolution, forward and backward, and its useful operations.
    fn lowered(layer: Conv2d, x: Shape, variants: Variants) -> (Vec<String>, u64) {
        let mut graph = Graph::new();
        let input = graph.input("x", x, true);
        let weight = graph.param("weight", layer.weight_layout(false));
        let bias = graph.param("bias", ParamLayout::Vector { c: layer.cout });
        let output = graph
            .add("conv", layer, &[input], &[weight, bias])
            .expect("a layer");
        let mut plan = PlanBuilder::with_variants(variants);
        let words = 9 * x.cp() * graph.shape(output).cp();
        let bound = plan.tensor("x", x.words());
        let grad = plan.tensor("gradient", graph.shape(output).words());
        let weights = [words, layer.cout].map(|words| plan.tensor("parameter", words));
        let grads = [words, layer.cout].map(|words| plan.tensor("gradient", words));
        let mut made = graph.lower_forward(&mut plan, &[(input, bound)], &weights);
        graph.lower_backward(&mut plan, &mut made, &weights, &grads, output, grad, false);
        let dispatches = plan.dispatches();
        let names = dispatches.iter().map(|d| d.kernel.to_string()).collect();
        (names, dispatches.iter().map(|d| d.flops).sum())
    }

    #[test]
    fn winograds_kernels_take_large_images_of_many_channels_and_count_the_same_operations() {
        let variants = Variants {
            subgroup_lanes: 8,
            winograd: true,
            ..Variants::default()
        };
        let used = |cin, cout, x: (usize, usize), variants| -> Vec<String> {
            let shape = Shape::new(x.0, x.1, x.1, cin);
            let (names, flops) = lowered(Conv2d::same3(cin, cout), shape, variants);
            let (_, direct) = lowered(Conv2d::same3(cin, cout), shape, Variants::default());
            assert_eq!(flops, direct);
            let own = |n: &String| {
                n.strip_prefix("layers/conv3x3_winograd:")
                    .map(str::to_owned)
            };
            names.iter().filter_map(own).collect()
        };
        let (transform, forward, back) = ("transform_weight", "forward", "backward_input");
        assert_eq!(
            used(32, 64, (2, 16), variants),
            [transform, forward, transform, back]
        );
        assert_eq!(used(6, 26, (2, 16), variants), [transform, forward]);
        assert_eq!(used(32, 3, (4, 13), variants), [transform, back]);
        assert_eq!(
            used(24, 48, (4, 14), variants),
            [transform, "forward_24", transform, "backward_input_24"],
            "24 and 48 channels fill a narrower tile"
        );
        let none: [&str; 0] = [];
        assert_eq!(used(32, 32, (16, 8), variants), none, "small images");
        assert_eq!(used(32, 32, (1, 16), variants), none, "few pixels");
        assert_eq!(used(16, 16, (2, 16), variants), none, "few channels");
        assert_eq!(used(32, 32, (9, 9), variants), none, "idle columns");
        let small = Variants {
            subgroup_lanes: 4,
            ..variants
        };
        assert_eq!(used(32, 64, (2, 16), small), none, "small subgroups");
    }

    #[test]
    fn tiles_in_workgroup_memory_take_many_channels() {
        let variants = Variants {
            workgroup_tiles: true,
            ..Variants::default()
        };
        let used = |layer: Conv2d, x: Shape| -> Vec<String> {
            let (names, flops) = lowered(layer, x, variants);
            assert_eq!(flops, lowered(layer, x, Variants::default()).1);
            let own = |n: &String| n.strip_prefix("layers/conv_tiled:").map(str::to_owned);
            names.iter().filter_map(own).collect()
        };
        let [forward, weight, input] =
            ["forward", "backward_weight", "backward_input"].map(|e| format!("{e} UNITS=1"));
        let wide = |e: &str| format!("{e} UNITS=2");
        let shape = |c| Shape::new(2, 8, 8, c);
        assert_eq!(
            used(Conv2d::same3(64, 60), shape(64)),
            [&forward, &weight, &input].map(String::as_str)
        );
        assert_eq!(
            used(Conv2d::down(128, 1), Shape::new(8, 8, 8, 128)),
            [forward.clone(), weight, input]
        );
        assert_eq!(
            used(Conv2d::same3(32, 24), shape(32)),
            [wide("forward"), wide("backward_input")]
        );
        assert_eq!(used(Conv2d::same3(16, 64), shape(16)), [forward]);
        let none: [&str; 0] = [];
        assert_eq!(
            used(Conv2d::pointwise(16, 16), shape(16)),
            none,
            "few channels"
        );
        assert_eq!(
            used(Conv2d::same3(64, 64), Shape::new(1, 4, 8, 64)),
            ["backward_weight UNITS=1"]
        );
    }
}

//! The plan: a list of dispatches as plain data ([`PlanBuilder`]), and the same list prepared on
//! a device ([`Plan`]): arena placed by liveness, bind groups made, pipelines compiled. Running
//! it allocates nothing.

#[cfg(not(target_arch = "wasm32"))]
use std::collections::HashSet;
use std::{collections::HashMap, sync::Arc, time::Duration};

use web_time::Instant;

use super::{
    tensor::{Planes, Shape},
    tuning::{ShapeClass, VariantTable},
};
use crate::gpu::{
    Gpu, GpuError, View,
    kernel::{Kernel, KernelId, Speed},
    memory::{self, Lifetime, Part},
};

/// A tensor of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(usize);

/// How feature maps and their gradients are kept in memory. Weights, vectors and all arithmetic are f32 always.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As f32.
    #[default]
    F32,
    /// As f16, half the bytes, on devices that have it (`shader-f16`). Gradients are scaled, see
    /// [`Precision::loss_scale`].
    F16,
}

impl Precision {
    /// Whether the device has it.
    ///
    /// # Errors
    /// [`GpuError::NoF16`].
    pub fn check(self, gpu: &Gpu) -> Result<(), GpuError> {
        if self == Self::F16 && !gpu.capabilities.f16 {
            return Err(GpuError::NoF16 {
                adapter: gpu.info.name.clone(),
            });
        }
        Ok(())
    }

    /// The factor of the loss's gradient on its way back, for a batch of outputs of `shape`: a power of two that
    /// makes the gradient of the mean of squares as large as the errors themselves, far from both ends of f16
    /// (6e-8, 65504). The optimiser divides by it. Micikevicius et al. 2018 (arXiv:1710.03740), section 3.2.
    pub fn loss_scale(self, shape: Shape) -> f32 {
        match self {
            Self::F32 => 1.0,
            Self::F16 => (shape.len().max(2) as f32 / 2.0).log2().floor().exp2(),
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            _ => Err(format!(
                "there is no precision named \"{name}\"; there are f32 and f16"
            )),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

#[derive(Debug)]
struct TensorInfo {
    label: String,
    /// Numbers; of 4 bytes, or of 2 where `half`.
    words: u64,
    half: bool,
    external: Option<View>,
    /// A table's words, which the plan itself allocates and writes.
    table: Option<Vec<u32>>,
    /// Not in the arena and nowhere else yet: only good for planning.
    planned: bool,
    /// The tensor that this is a part of, and its first number there.
    part_of: Option<(TensorId, u64)>,
    /// Where the second part of a joint tensor starts.
    second: u64,
    /// Of such tensors, which lie in one buffer once they are allocated, and the first byte there.
    together: Option<(usize, u64)>,
}

impl TensorInfo {
    /// A tensor of the arena.
    fn new(label: impl Into<String>, words: u64) -> Self {
        Self {
            label: label.into(),
            words,
            half: false,
            external: None,
            table: None,
            planned: false,
            part_of: None,
            second: 0,
            together: None,
        }
    }

    const fn is_outside(&self) -> bool {
        self.external.is_some() || self.planned || self.table.is_some()
    }

    const fn number_bytes(&self) -> u64 {
        if self.half { 2 } else { 4 }
    }

    const fn bytes(&self) -> u64 {
        self.words * self.number_bytes()
    }
}

/// Rows of numbers that are to be added up into a parameter's gradient:
/// `target[c] += Σ_r source[r, c]`, see [`PlanBuilder::sum_later`]. Places and sizes are in `vec4`s
/// but for the first word.
#[derive(Debug, Clone, Copy)]
pub struct RowSum {
    /// Where the rows are.
    pub source: TensorId,
    /// First word of the first row there.
    pub first: u64,
    /// Rows, at most 131072.
    pub rows: usize,
    /// Columns that are added up.
    pub columns: usize,
    /// From a row to the next.
    pub stride: usize,
    /// The gradient, of as many `vec4`s as there are columns.
    pub target: TensorId,
}

/// Tensors that one binding reaches, see [`PlanBuilder::spans`].
#[derive(Debug)]
pub struct Span {
    /// What is bound.
    pub tensor: TensorId,
    /// The tensors' numbers in the list and their first words in the span.
    pub members: Vec<(usize, u64)>,
}

/// A tensor, or a part of one, bound to a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// The tensor.
    pub tensor: TensorId,
    /// First word; a multiple of 64, so that the binding is aligned.
    pub first: u64,
    /// Words; 0 means to the end.
    pub words: u64,
}

impl From<TensorId> for Arg {
    fn from(tensor: TensorId) -> Self {
        Self {
            tensor,
            first: 0,
            words: 0,
        }
    }
}

/// One dispatch, as data.
#[derive(Debug)]
pub struct Dispatch {
    /// Which kernel.
    pub kernel: KernelId,
    /// Its `Params`.
    pub params: Vec<u8>,
    /// Binding number and what is bound. Storage bindings that the kernel has and this list
    /// lacks are optional operands: they get a small buffer of zeros.
    pub args: Vec<(u32, Arg)>,
    /// Workgroups. Each computes its own part of the output, so a dispatch can be cut anywhere.
    pub tiles: u32,
    /// Useful floating-point operations (those of direct convolution).
    pub flops: u64,
    /// Words that it reads and writes, where that is less than all that is bound.
    pub moved: Option<u64>,
    /// The layer, for profiles.
    pub label: Arc<str>,
}

/// Which variants of the kernels a device gets. A run records them: bit-exactness is promised for
/// the same adapter with the same variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Variants {
    /// Lanes that share loads by subgroup broadcasts (8, or 4 on small subgroups); 0 without.
    pub subgroup_lanes: u32,
    /// Weight gradients in tiles of 4 by 16 channels instead of 8 by 8, for adapters that pay for loads more
    /// than for registers. Needs `subgroup_lanes`.
    #[serde(default)]
    pub wide_tiles: bool,
    /// Convolutions take one input channel at a time, for compilers that do badly with long loops. Needs
    /// `subgroup_lanes`.
    #[serde(default)]
    pub narrow_tiles: bool,
    /// Work is parted among few threads, for adapters that compute on the processor: each then loads less.
    #[serde(default)]
    pub few_threads: bool,
    /// 3×3 convolutions of many channels by Winograd's minimal filtering, F(2×2, 3×3), but for their weight
    /// gradients. Needs 8 `subgroup_lanes`.
    #[serde(default)]
    pub winograd: bool,
    /// Convolutions of many channels through workgroup memory: for GPUs.
    #[serde(default)]
    pub workgroup_tiles: bool,
    /// Only the general convolution kernel, for any size and stride.
    pub general_convolution: bool,
}

impl Variants {
    /// The choice for a device.
    pub fn choose(gpu: &Gpu) -> Self {
        let lanes = match gpu.info.subgroup_min_size {
            _ if !gpu.capabilities.subgroups => 0,
            0..4 => 0,
            4..8 => 4,
            _ => 8,
        };
        Self {
            subgroup_lanes: lanes,
            wide_tiles: lanes > 0 && gpu.capabilities.software,
            // SwiftShader's subgroups have 4 lanes; products of 4 lanes are half as fast there in longer loops.
            narrow_tiles: lanes == 4 && gpu.capabilities.software,
            few_threads: gpu.capabilities.software,
            winograd: lanes == 8 && gpu.capabilities.software,
            workgroup_tiles: false,
            general_convolution: false,
        }
    }

    /// Threads that keep the device busy; a dispatch does not part its work further.
    pub const fn busy_threads(&self) -> usize {
        if self.few_threads { 1024 } else { 8192 }
    }

    /// Every choice that the device can run, for tests and measurements.
    pub fn all(gpu: &Gpu) -> Vec<Self> {
        let best = Self::choose(gpu);
        let mut all = vec![best];
        if best.subgroup_lanes > 0 {
            all.push(Self {
                wide_tiles: !best.wide_tiles,
                ..best
            });
            all.push(Self {
                narrow_tiles: !best.narrow_tiles,
                winograd: false,
                ..best
            });
            all.push(Self {
                subgroup_lanes: 0,
                wide_tiles: false,
                narrow_tiles: false,
                winograd: false,
                ..best
            });
        }
        // Its tile is for processors: no GPU has registers for 128 accumulators.
        if best.winograd {
            all.push(Self {
                winograd: false,
                ..best
            });
        }
        all.push(Self {
            workgroup_tiles: true,
            winograd: false,
            ..best
        });
        all.push(Self {
            few_threads: !best.few_threads,
            ..best
        });
        all.push(Self {
            general_convolution: true,
            ..best
        });
        all
    }
}

impl std::fmt::Display for Variants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let few = if self.few_threads {
            ", few threads"
        } else {
            ""
        };
        if self.general_convolution {
            return write!(f, "general convolution{few}");
        }
        f.write_str("3x3 convolution by sliding window")?;
        if self.subgroup_lanes > 0 {
            write!(f, ", weights shared by {} lanes", self.subgroup_lanes)?;
        }
        if self.wide_tiles {
            f.write_str(", wide tiles in weight gradients")?;
        }
        if self.narrow_tiles {
            f.write_str(", one channel at a time")?;
        }
        if self.winograd {
            f.write_str(", many channels by Winograd's F(2x2, 3x3)")?;
        }
        if self.workgroup_tiles {
            f.write_str(", many channels through workgroup memory")?;
        }
        f.write_str(few)
    }
}

/// Collects dispatches.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    variants: VariantTable,
    precision: Precision,
    class: ShapeClass,
    tensors: Vec<TensorInfo>,
    dispatches: Vec<Dispatch>,
    label: Option<Arc<str>>,
    keep: Vec<TensorId>,
    sums: Vec<RowSum>,
    /// Memory for rows that are to be added up, and the words taken of it.
    partial: Option<(TensorId, u64)>,
}

/// Words of memory for rows that are to be added up, unless one operand needs more: 8 MiB.
const PARTIAL_WORDS: u64 = 2 << 20;

impl PlanBuilder {
    /// An empty plan, with the kernel variants that suit every device.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty plan with the given kernel variants.
    pub fn with_variants(variants: impl Into<VariantTable>) -> Self {
        Self {
            variants: variants.into(),
            ..Self::default()
        }
    }

    /// The same, with feature maps kept in that precision.
    #[must_use]
    pub const fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Other kernel variants, and feature maps kept in that precision.
    #[cfg(test)]
    pub(crate) fn set_ways(&mut self, variants: impl Into<VariantTable>, precision: Precision) {
        self.variants = variants.into();
        self.precision = precision;
    }

    /// The kernel variants to emit, for a layer of the shape that was set last.
    pub const fn variants(&self) -> Variants {
        self.variants.get(self.class)
    }

    /// Says what the layer that comes next puts out: its class decides on the variants.
    pub const fn set_shape(&mut self, output: Shape) {
        self.class = ShapeClass::of(output);
    }

    fn add(&mut self, info: TensorInfo) -> TensorId {
        self.tensors.push(info);
        TensorId(self.tensors.len() - 1)
    }

    /// A tensor that lives in the arena from the first dispatch that touches it to the last.
    pub fn tensor(&mut self, label: impl Into<String>, words: usize) -> TensorId {
        self.add(TensorInfo::new(label, words as u64))
    }

    /// A tensor for a value of a network, or for its gradient: in the plan's [`Precision`] if it is a feature map.
    pub fn activation(&mut self, label: impl Into<String>, shape: Shape) -> TensorId {
        let tensor = self.tensor(label, shape.words());
        self.tensors[tensor.0].half = self.precision == Precision::F16 && shape.h * shape.w > 1;
        tensor
    }

    /// A tensor for the concatenation of two values along channels, and tensors for the two that it consists of: they
    /// lie one after the other in it ([`Planes`]), so that nothing has to be copied.
    pub fn joint(
        &mut self,
        label: impl Into<String>,
        [a, b]: [Shape; 2],
    ) -> (TensorId, [TensorId; 2]) {
        let label = label.into();
        let second = Planes::of(a).second_words();
        let whole = self.activation(label.clone(), a);
        self.tensors[whole.0].words = (second + b.words()) as u64;
        self.tensors[whole.0].second = second as u64;
        let parts = [(a, 0), (b, second)].map(|(shape, first)| {
            let part = self.activation(label.clone(), shape);
            self.tensors[part.0].part_of = Some((whole, first as u64));
            part
        });
        (whole, parts)
    }

    /// Whether a tensor is kept as f16.
    pub fn is_half(&self, tensor: TensorId) -> bool {
        self.tensors[tensor.0].half
    }

    /// A table of words that the kernels read and nobody changes.
    pub fn table(&mut self, label: impl Into<String>, words: Vec<u32>) -> TensorId {
        let info = TensorInfo::new(label, words.len() as u64);
        self.add(TensorInfo {
            table: Some(words),
            ..info
        })
    }

    /// A tensor whose memory outlives the plan (weights, state, inputs).
    pub fn external(&mut self, label: impl Into<String>, view: &View) -> TensorId {
        self.add(TensorInfo {
            external: Some(view.clone()),
            ..TensorInfo::new(label, view.bytes / 4)
        })
    }

    /// Stands for a tensor outside the arena that is not allocated, so that memory can be planned without taking any.
    /// Such a plan must not be begun.
    pub(crate) fn outside(&mut self, label: impl Into<String>, words: u64) -> TensorId {
        self.add(TensorInfo {
            planned: true,
            ..TensorInfo::new(label, words)
        })
    }

    /// The fewest bindings that reach all of `tensors`: those whose memory outlives the plan and lies
    /// in one buffer share one.
    pub fn spans(&mut self, tensors: &[TensorId]) -> Vec<Span> {
        #[derive(PartialEq)]
        enum Home {
            Buffer(wgpu::Buffer),
            Planned(usize),
            Alone(TensorId),
        }
        /// The number, first byte and end of a tensor.
        type Member = (usize, u64, u64);
        let mut homes: Vec<(Home, Vec<Member>)> = Vec::new();
        for (i, &tensor) in tensors.iter().enumerate() {
            let info = &self.tensors[tensor.0];
            let (home, first) = match (&info.external, info.together) {
                (Some(view), _) => (Home::Buffer(view.buffer.clone()), view.offset),
                (None, Some((set, first))) => (Home::Planned(set), first),
                (None, None) => (Home::Alone(tensor), 0),
            };
            let member = (i, first, first + info.bytes());
            match homes.iter_mut().find(|h| h.0 == home) {
                Some(known) => known.1.push(member),
                None => homes.push((home, vec![member])),
            }
        }
        let mut out = Vec::with_capacity(homes.len());
        for (home, list) in homes {
            let first = list.iter().map(|m| m.1).min().unwrap_or(0);
            let bytes = list.iter().map(|m| m.2).max().unwrap_or(0) - first;
            let tensor = match home {
                Home::Buffer(buffer) => {
                    let offset = first;
                    let view = View {
                        buffer,
                        offset,
                        bytes,
                    };
                    self.external("parameters", &view)
                }
                Home::Planned(_) => self.outside("parameters", bytes / 4),
                Home::Alone(tensor) => tensor,
            };
            let members = list.into_iter().map(|m| (m.0, (m.1 - first) / 4)).collect();
            out.push(Span { tensor, members });
        }
        out
    }

    /// Room for rows that [`PlanBuilder::sum_later`] is told of.
    pub fn partial(&mut self, words: usize) -> Arg {
        let words = words as u64;
        if let Some((_, used)) = self.partial
            && used + words > PARTIAL_WORDS
        {
            self.sum_now();
        }
        let (tensor, used) = match self.partial {
            Some(partial) => partial,
            None => (self.tensor("rows to add up", 0), 0),
        };
        let end = (used + words).next_multiple_of(memory::ALIGN / 4);
        self.partial = Some((tensor, end));
        self.tensors[tensor.0].words = end;
        Arg {
            tensor,
            first: used,
            words,
        }
    }

    /// Has rows added to a gradient by one of the next dispatches, many sums in one.
    pub fn sum_later(&mut self, sum: RowSum) {
        // One dispatch adds to a gradient once: parameters that two layers share take two.
        if self.sums.iter().any(|s| s.target == sum.target) {
            self.sum_now();
        }
        self.sums.push(sum);
    }

    /// Emits all sums that wait. [`super::Graph::lower_backward`] ends with it.
    pub fn sum_now(&mut self) {
        self.partial = None;
        let sums = std::mem::take(&mut self.sums);
        super::layers::row_sums::emit(self, &sums);
    }

    /// [`PlanBuilder::outside`] for tensors of the given words that will lie in one buffer.
    pub(crate) fn outside_together<'a>(
        &mut self,
        tensors: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Vec<TensorId> {
        let set = self.tensors.len();
        let mut end = 0;
        let place = |(label, words): (&str, u64)| {
            let tensor = self.outside(label, words);
            self.tensors[tensor.0].together = Some((set, end));
            end += memory::align(4 * words);
            tensor
        };
        tensors.into_iter().map(place).collect()
    }

    /// Keeps an arena tensor alive from the start to the end of the plan, so that the host can
    /// write it before and read it after.
    pub fn keep(&mut self, tensor: TensorId) {
        self.keep.push(tensor);
    }

    /// Words of a tensor.
    pub fn words(&self, tensor: TensorId) -> u64 {
        self.tensors[tensor.0].words
    }

    /// Names the layer that the next dispatches belong to.
    pub fn set_label(&mut self, label: &str) {
        self.label = Some(label.into());
    }

    /// Adds a dispatch.
    pub fn dispatch<P: bytemuck::Pod>(
        &mut self,
        kernel: KernelId,
        params: &P,
        args: &[(u32, Arg)],
        tiles: usize,
        flops: u64,
    ) {
        let mut kernel = kernel;
        for (binding, arg) in args {
            kernel.half |= u32::from(self.tensors[arg.tensor.0].half) << binding;
        }
        self.dispatches.push(Dispatch {
            kernel,
            params: bytemuck::bytes_of(params).to_vec(),
            args: args.to_vec(),
            tiles: tiles as u32,
            flops,
            moved: None,
            label: self.label.clone().unwrap_or_else(|| "".into()),
        });
    }

    /// Says that the last dispatch reads and writes only `words` words of what is bound.
    pub fn moves(&mut self, words: usize) {
        if let Some(last) = self.dispatches.last_mut() {
            last.moved = Some(words as u64);
        }
    }

    /// The dispatches so far.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Useful floating-point operations of the whole plan.
    pub fn flops(&self) -> u64 {
        self.dispatches.iter().map(|d| d.flops).sum()
    }

    /// Where tensors of the arena are touched first and last; parts count for the tensors that they are parts of.
    fn lifetimes(&self) -> HashMap<TensorId, Lifetime> {
        let mut spans: HashMap<TensorId, (usize, usize)> = HashMap::new();
        let mut touch = |tensor: TensorId, first: usize, last: usize| {
            if !self.tensors[tensor.0].is_outside() {
                let span = spans.entry(tensor).or_insert((first, last));
                *span = (span.0.min(first), span.1.max(last));
            }
        };
        for (i, dispatch) in self.dispatches.iter().enumerate() {
            for (_, arg) in &dispatch.args {
                touch(arg.tensor, i, i);
            }
        }
        for &tensor in &self.keep {
            touch(tensor, 0, self.dispatches.len());
        }
        let mut out = HashMap::new();
        let mut joints: HashMap<TensorId, [Option<(usize, usize)>; 2]> = HashMap::new();
        for (&tensor, &(first, last)) in &spans {
            match self.tensors[tensor.0].part_of {
                Some((whole, at)) => {
                    joints.entry(whole).or_default()[usize::from(at > 0)] = Some((first, last));
                }
                None => {
                    let bytes = self.tensors[tensor.0].bytes();
                    let life = Lifetime {
                        bytes,
                        first,
                        last,
                        behind: None,
                    };
                    out.insert(tensor, life);
                }
            }
        }
        for (whole, parts) in joints {
            // A part that only the whole's users touch lives as long as these do.
            let own = spans.get(&whole).copied();
            let both = |part: Option<(usize, usize)>| match (part, own) {
                (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
                (Some(a), None) | (None, Some(a)) => a,
                (None, None) => (0, 0),
            };
            let [one, two] = parts.map(both);
            let info = &self.tensors[whole.0];
            let second = info.second * info.number_bytes();
            let life = Lifetime {
                bytes: second,
                first: one.0,
                last: one.1,
                behind: Some(Part {
                    bytes: info.bytes() - second,
                    first: two.0,
                    last: two.1,
                }),
            };
            out.insert(whole, life);
        }
        out
    }

    /// Bytes of the arena's tensors that are alive at each dispatch.
    pub fn bytes_alive(&self) -> Vec<u64> {
        let count = self.dispatches.len();
        let mut change = vec![0_i64; count + 1];
        for life in self.lifetimes().values() {
            for (part, ..) in life.parts() {
                change[part.first.min(count)] += part.bytes as i64;
                change[(part.last + 1).min(count)] -= part.bytes as i64;
            }
        }
        let sum = |alive: &mut i64, change: &i64| {
            *alive += change;
            Some(*alive as u64)
        };
        change.iter().take(count).scan(0, sum).collect()
    }

    /// The bytes that the arena would take on a device whose bindings are limited to `limit`.
    pub fn arena_bytes(&self, limit: u64) -> u64 {
        let lives: Vec<Lifetime> = self.lifetimes().into_values().collect();
        memory::place(&lives, limit).1.iter().sum()
    }

    /// The bytes that [`PlanBuilder::begin`] would allocate on the device: the arena, and what dispatching takes.
    pub fn device_bytes(&self, gpu: &Gpu) -> u64 {
        let cap = gpu.max_binding() / memory::ALIGN * memory::ALIGN;
        self.arena_bytes(cap)
            + small_bytes(self.dispatches.len() as u64, stride(gpu))
            + self.table_bytes()
    }

    /// Bytes of all tables.
    fn table_bytes(&self) -> u64 {
        let tables = self.tensors.iter().filter_map(|t| t.table.as_ref());
        tables
            .map(|words| memory::align(4 * words.len() as u64))
            .sum()
    }

    /// Allocates, compiles and binds.
    ///
    /// # Errors
    /// A tensor beyond the limits, no memory, or a kernel that does not compile.
    pub fn prepare(self, gpu: &Arc<Gpu>) -> Result<Plan, GpuError> {
        self.prepare_with(gpu, |_, _| {})
    }

    /// [`PlanBuilder::prepare`], telling `progress` (done, of) while pipelines compile.
    ///
    /// # Errors
    /// As [`PlanBuilder::prepare`].
    pub fn prepare_with(
        self,
        gpu: &Arc<Gpu>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Plan, GpuError> {
        let mut plan = self.begin(gpu)?;
        loop {
            let (done, of) = plan.warmed();
            progress(done, of);
            if done == of {
                return Ok(plan);
            }
            plan.warm(Duration::ZERO)?;
        }
    }

    /// Allocates everything and compiles nothing yet: [`Plan::warm`] does that bit by bit.
    ///
    /// # Errors
    /// A tensor beyond the limits or no memory.
    pub fn begin(self, gpu: &Arc<Gpu>) -> Result<Plan, GpuError> {
        let lives = self.lifetimes();
        let mut ids: Vec<TensorId> = lives.keys().copied().collect();
        ids.sort_unstable();
        let list: Vec<Lifetime> = ids.iter().map(|id| lives[id]).collect();
        for id in &ids {
            let info = &self.tensors[id.0];
            memory::check_binding(gpu, &info.label, info.bytes())?;
        }
        let cap = gpu.max_binding() / memory::ALIGN * memory::ALIGN;
        let (places, sizes) = memory::place(&list, cap);
        let mut chunks = Vec::with_capacity(sizes.len());
        for &bytes in &sizes {
            chunks.push((gpu.create_buffer("arena", bytes, memory::usage())?, bytes));
        }
        let mut views: HashMap<TensorId, View> = HashMap::new();
        for (id, place) in ids.iter().zip(&places) {
            views.insert(
                *id,
                View {
                    buffer: chunks[place.chunk].0.clone(),
                    offset: place.offset,
                    bytes: self.tensors[id.0].bytes(),
                },
            );
        }
        for (i, info) in self.tensors.iter().enumerate() {
            if let Some(view) = &info.external {
                views.insert(TensorId(i), view.clone());
            }
            if let Some((whole, first)) = info.part_of
                && let Some(view) = views.get(&whole)
            {
                let part = View {
                    buffer: view.buffer.clone(),
                    offset: view.offset + first * info.number_bytes(),
                    bytes: info.bytes(),
                };
                views.insert(TensorId(i), part);
            }
        }

        let placed: Vec<(usize, &Vec<u32>)> = self
            .tensors
            .iter()
            .enumerate()
            .filter_map(|(i, info)| info.table.as_ref().map(|words| (i, words)))
            .collect();
        let table_bytes = self.table_bytes();
        let tables = (table_bytes > 0)
            .then(|| gpu.create_buffer("tables", table_bytes, memory::usage()))
            .transpose()?;
        if let Some(buffer) = &tables {
            let mut offset = 0;
            for (i, words) in placed {
                let view = View {
                    buffer: buffer.clone(),
                    offset,
                    bytes: 4 * words.len() as u64,
                };
                view.write(gpu, 0, words);
                offset += memory::align(view.bytes);
                views.insert(TensorId(i), view);
            }
        }

        let stride = stride(gpu);
        let count = self.dispatches.len() as u64;
        let params = gpu.create_buffer(
            "params",
            (count * stride).max(stride),
            wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        )?;
        let mut host = vec![0_u8; (count * stride).max(stride) as usize];
        for (i, d) in self.dispatches.iter().enumerate() {
            let at = i * stride as usize;
            host[at..at + d.params.len()].copy_from_slice(&d.params);
        }
        gpu.queue.write_buffer(&params, 0, &host);
        // One 256-byte range for each binding number, so that two absent operands never alias.
        let nothing = gpu.create_buffer("nothing", 16 * memory::ALIGN, memory::usage())?;
        let slices = gpu.create_buffer(
            "slices",
            SLICE_SLOTS * stride,
            wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        )?;
        let slice_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("slice"),
            layout: &gpu.kernels.slice_layout(gpu),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &slices,
                    offset: 0,
                    size: std::num::NonZeroU64::new(16),
                }),
            }],
        });

        Ok(Plan {
            gpu: Arc::clone(gpu),
            flops: self.flops(),
            alive: self.bytes_alive(),
            steps: Vec::with_capacity(self.dispatches.len()),
            dispatches: self.dispatches,
            views,
            chunks,
            small_bytes: small_bytes(count, stride) + table_bytes,
            params,
            tables,
            nothing,
            slices,
            slice_group,
            stride,
        })
    }
}

fn bind(binding: u32, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset,
            size: std::num::NonZeroU64::new(bytes),
        }),
    }
}

/// Bytes from one dispatch's `Params` to the next one's.
fn stride(gpu: &Gpu) -> u64 {
    memory::ALIGN.max(u64::from(gpu.limits.min_uniform_buffer_offset_alignment))
}

/// Bytes of what a plan allocates besides its arena: `Params`, the stand-in for absent operands, slices.
fn small_bytes(dispatches: u64, stride: u64) -> u64 {
    (dispatches * stride).max(stride) + 16 * memory::ALIGN + SLICE_SLOTS * stride
}

/// Cut points that one submission can hold; a dispatch that is cut uses one a piece.
const SLICE_SLOTS: u64 = 64;
/// Workgroups in one dimension of a dispatch; WebGPU allows 65535.
const MAX_GROUPS: u32 = 32768;

#[derive(Debug)]
struct Step {
    kernel: Arc<Kernel>,
    group: wgpu::BindGroup,
    tiles: u32,
    /// Operations plus bytes, weighted.
    units: f64,
    bytes: u64,
}

/// What was encoded, and how long it is thought to take.
#[derive(Debug, Default)]
pub struct Work {
    /// Seconds in all.
    pub seconds: f64,
    /// Seconds of each kernel.
    pub parts: Vec<(Arc<Speed>, f64)>,
}

impl Work {
    fn add(&mut self, speed: &Arc<Speed>, seconds: f64) {
        self.seconds += seconds;
        match self.parts.iter_mut().find(|p| Arc::ptr_eq(&p.0, speed)) {
            Some(part) => part.1 += seconds,
            None => self.parts.push((Arc::clone(speed), seconds)),
        }
    }

    /// It took so many seconds, alone on the device.
    pub fn took(&self, seconds: f64) {
        let ratio = (seconds / self.seconds).clamp(1e-3, 1e3);
        for (speed, part) in &self.parts {
            speed.scale(ratio.powf(0.5 * part / self.seconds));
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (speed, seconds) in &other.parts {
            self.add(speed, *seconds);
        }
        self
    }
}

/// Where an execution of a plan stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    dispatch: usize,
    tile: u32,
}

impl Cursor {
    /// The dispatch that comes next.
    pub const fn dispatch(&self) -> usize {
        self.dispatch
    }
}

/// A plan on a device.
#[derive(Debug)]
pub struct Plan {
    gpu: Arc<Gpu>,
    dispatches: Vec<Dispatch>,
    steps: Vec<Step>,
    views: HashMap<TensorId, View>,
    chunks: Vec<(wgpu::Buffer, u64)>,
    small_bytes: u64,
    params: wgpu::Buffer,
    tables: Option<wgpu::Buffer>,
    nothing: wgpu::Buffer,
    slices: wgpu::Buffer,
    slice_group: wgpu::BindGroup,
    stride: u64,
    flops: u64,
    alive: Vec<u64>,
}

impl Plan {
    /// Pipelines and bind groups that are there, and in all. The plan runs once all are.
    pub fn warmed(&self) -> (usize, usize) {
        (self.steps.len(), self.dispatches.len())
    }

    /// Makes pipelines, on all cores, and bind groups for about `time`, at least one; true once all are there.
    ///
    /// # Errors
    /// A kernel that does not compile on this device.
    pub fn warm(&mut self, time: Duration) -> Result<bool, GpuError> {
        let begun = Instant::now();
        // A page's device compiles in the background by itself.
        #[cfg(not(target_arch = "wasm32"))]
        self.compile(time)?;
        while self.steps.len() < self.dispatches.len() {
            let step = self.make_step(self.steps.len())?;
            self.steps.push(step);
            if begun.elapsed() >= time {
                break;
            }
        }
        Ok(self.steps.len() == self.dispatches.len())
    }

    /// Compiles kernels that dispatches without a pipeline wait for, unless the next of them has its own already.
    #[cfg(not(target_arch = "wasm32"))]
    fn compile(&self, time: Duration) -> Result<(), GpuError> {
        let gpu = &self.gpu;
        let waiting = &self.dispatches[self.steps.len()..];
        if waiting.first().is_none_or(|d| gpu.kernels.has(&d.kernel)) {
            return Ok(());
        }
        let mut seen = HashSet::new();
        let missing: Vec<_> = waiting
            .iter()
            .map(|d| &d.kernel)
            .filter(|&id| seen.insert(id) && !gpu.kernels.has(id))
            .collect();
        gpu.kernels.compile_all(gpu, &missing, time)
    }

    fn make_step(&self, i: usize) -> Result<Step, GpuError> {
        let gpu = &self.gpu;
        let d = &self.dispatches[i];
        let kernel = gpu.kernels.get(gpu, &d.kernel)?;
        if (d.params.len() as u32) < kernel.params_bytes {
            return Err(GpuError::Kernel {
                kernel: d.kernel.to_string(),
                reason: format!(
                    "its Params take {} bytes and the host gives {}",
                    kernel.params_bytes,
                    d.params.len()
                ),
            });
        }
        let mut entries = Vec::new();
        if kernel.params_bytes > 0 {
            let at = i as u64 * self.stride;
            entries.push(bind(0, &self.params, at, u64::from(kernel.params_bytes)));
        }
        let (mut moved, mut bytes_moved) = (0, 0);
        for (&binding, &passes) in kernel.storage.iter().zip(&kernel.traffic) {
            let arg = d.args.iter().find(|a| a.0 == binding).map(|a| a.1);
            if let Some(arg) = arg {
                let view = &self.views[&arg.tensor];
                let half = d.kernel.half & (1 << binding) != 0;
                let number = if half { 2 } else { 4 };
                let words = if arg.words == 0 {
                    view.bytes / number - arg.first
                } else {
                    arg.words
                };
                moved += number * words;
                bytes_moved += u64::from(passes) * number * words;
                // Bindings are sized in whole vec4s; every allocation is padded to 256 bytes.
                let bytes = (number * words).div_ceil(16) * 16;
                let at = view.offset + number * arg.first;
                entries.push(bind(binding, &view.buffer, at, bytes));
            } else {
                let at = u64::from(binding) * memory::ALIGN;
                entries.push(bind(binding, &self.nothing, at, memory::ALIGN));
            }
        }
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(d.kernel.stem),
            layout: &kernel.layout,
            entries: &entries,
        });
        Ok(Step {
            units: d.flops as f64 + 2.0 * d.moved.map_or(moved, |words| 4 * words) as f64 + 2e4,
            kernel,
            group,
            tiles: d.tiles,
            bytes: d.moved.map_or(bytes_moved, |words| 4 * words),
        })
    }

    /// Where a tensor lies. Arena tensors share memory: their content is only there while they
    /// live, or for those of [`PlanBuilder::keep`].
    pub fn view(&self, tensor: TensorId) -> &View {
        &self.views[&tensor]
    }

    /// Number of dispatches.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Useful floating-point operations of one run.
    pub const fn flops(&self) -> u64 {
        self.flops
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> u64 {
        self.chunks.iter().map(|c| c.1).sum()
    }

    /// The dispatches, for profiles.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Bytes that dispatch `index` moves at least: every range that is bound, once if its kernel reads or writes it
    /// and twice if it does both. A range that is read many times counts once, as a cache could hold it; an output
    /// that the kernel may add to counts twice even where this dispatch only writes it.
    pub fn bytes_of(&self, index: usize) -> u64 {
        self.steps.get(index).map_or(0, |s| s.bytes)
    }

    /// Bytes of the arena's tensors that are alive at dispatch `index`.
    pub fn alive_at(&self, index: usize) -> u64 {
        self.alive.get(index).copied().unwrap_or(0)
    }

    /// The arena's chunks, whole (tests fill them with guard values).
    pub fn arena(&self) -> Vec<View> {
        self.chunks
            .iter()
            .map(|(buffer, bytes)| View {
                buffer: buffer.clone(),
                offset: 0,
                bytes: *bytes,
            })
            .collect()
    }

    /// Encodes from `cursor` until work of about `budget` seconds is there or the plan ends; returns whether it
    /// ended (the cursor is then back at the start) and the work.
    ///
    /// A dispatch that takes longer than is left of the budget is cut between workgroups; the
    /// pieces write disjoint parts of the output, so the result does not depend on the cuts.
    /// The encoder must be submitted before the next call.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        cursor: &mut Cursor,
        budget: f64,
    ) -> (bool, Work) {
        self.encode_timed(encoder, cursor, budget, None)
    }

    /// [`Plan::encode`] with timestamps around it.
    pub fn encode_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        cursor: &mut Cursor,
        budget: f64,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) -> (bool, Work) {
        self.encode_until(
            encoder,
            cursor,
            (self.steps.len(), budget),
            timestamp_writes,
        )
    }

    /// [`Plan::encode_timed`] of nothing but the dispatch at `cursor`, or what is left of it.
    pub fn encode_piece_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        cursor: &mut Cursor,
        budget: f64,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) -> (bool, Work) {
        let end = (cursor.dispatch + 1).min(self.steps.len());
        self.encode_until(encoder, cursor, (end, budget), timestamp_writes)
    }

    fn encode_until(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        cursor: &mut Cursor,
        (end, budget): (usize, f64),
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) -> (bool, Work) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes,
        });
        let mut work = Work::default();
        let mut slot = 1;
        while cursor.dispatch < end {
            let step = &self.steps[cursor.dispatch];
            let left = step.tiles - cursor.tile;
            let per_tile = self.seconds(step) / f64::from(step.tiles.max(1));
            let room = ((budget - work.seconds) / per_tile).max(0.0);
            let mut now = left;
            if f64::from(left) > room {
                if work.seconds > 0.0 && room < 1.0 {
                    break;
                }
                now = (room as u32).clamp(1, left);
            }
            let offset = if cursor.tile == 0 {
                0
            } else {
                if slot == SLICE_SLOTS {
                    break;
                }
                let words = [cursor.tile, 0, 0, 0];
                let at = slot * self.stride;
                self.gpu
                    .queue
                    .write_buffer(&self.slices, at, bytemuck::cast_slice(&words));
                slot += 1;
                at
            };
            // A fold into two dimensions may overshoot; kernels ignore tiles beyond their last,
            // so only a whole remainder may be folded.
            if now > MAX_GROUPS && now < left {
                now = MAX_GROUPS;
            }
            self.dispatch(&mut pass, step, offset, now);
            work.add(&step.kernel.speed, per_tile * f64::from(now));
            cursor.tile += now;
            if cursor.tile >= step.tiles {
                cursor.dispatch += 1;
                cursor.tile = 0;
            }
            if work.seconds >= budget * (1.0 - 1e-6) {
                break;
            }
        }
        drop(pass);
        (self.is_over(cursor), work)
    }

    /// Encodes the one dispatch at `cursor`, whole: for profiles, and to look in between. Returns whether it was the
    /// last, and the work.
    pub fn encode_one(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        cursor: &mut Cursor,
    ) -> (bool, Work) {
        self.encode_one_timed(encoder, cursor, None)
    }

    /// [`Plan::encode_one`] with timestamps around it.
    pub fn encode_one_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        cursor: &mut Cursor,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) -> (bool, Work) {
        let mut work = Work::default();
        if let Some(step) = self.steps.get(cursor.dispatch) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes,
            });
            self.dispatch(&mut pass, step, 0, step.tiles);
            work.add(&step.kernel.speed, self.seconds(step));
            cursor.dispatch += 1;
        }
        (self.is_over(cursor), work)
    }

    fn seconds(&self, step: &Step) -> f64 {
        step.units * step.kernel.speed.or(&self.gpu.kernels.typical)
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, step: &Step, slice: u64, tiles: u32) {
        let (x, y) = if tiles <= MAX_GROUPS {
            (tiles, 1)
        } else {
            (MAX_GROUPS, tiles.div_ceil(MAX_GROUPS))
        };
        pass.set_pipeline(&step.kernel.pipeline);
        pass.set_bind_group(0, &step.group, &[]);
        pass.set_bind_group(1, &self.slice_group, &[slice as u32]);
        pass.dispatch_workgroups(x, y, 1);
    }

    fn is_over(&self, cursor: &mut Cursor) -> bool {
        let over = cursor.dispatch >= self.steps.len();
        if over {
            *cursor = Cursor::default();
        }
        over
    }

    /// Runs the whole plan in one submission, without waiting.
    pub fn run(&self) {
        let mut cursor = Cursor::default();
        loop {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            let (done, _) = self.encode(&mut encoder, &mut cursor, f64::INFINITY);
            self.gpu.submit(encoder.finish(), || {});
            if done {
                return;
            }
        }
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        for (buffer, bytes) in self.chunks.drain(..) {
            buffer.destroy();
            self.gpu.released(bytes);
        }
        let small = [&self.params, &self.nothing, &self.slices];
        for buffer in small.into_iter().chain(&self.tables) {
            buffer.destroy();
        }
        self.gpu.released(self.small_bytes);
    }
}

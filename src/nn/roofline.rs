//! What a device can do at most (Williams, Waterman, Patterson 2009, "Roofline"), measured by a product of large
//! matrices, for which the best of several kernels counts, and by a copy between buffers beyond its caches.

use std::{sync::Arc, time::Duration};

use bytemuck::{Pod, Zeroable};
use serde::Serialize;

use super::{
    Plan, PlanBuilder, TensorId,
    plan::{Cursor, Variants, Work},
};
use crate::{
    Result,
    gpu::{
        Gpu,
        kernel::KernelId,
        timing::{Clock, TimedWork},
    },
};

/// Mirrors `Params` of `shaders/roofline.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    rows: u32,
    columns4: u32,
    depth4: u32,
    column_tiles: u32,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Roofline {
    /// Floating-point operations a second of the best product.
    pub flops_per_s: f64,
    /// Bytes a second of the copy, read and written.
    pub bytes_per_s: f64,
    /// Rows, columns and depth of the product.
    pub side: usize,
    /// Bytes that were copied.
    pub copied: u64,
    /// Which kernel was the best.
    pub kernel: String,
    /// Every kernel that was tried, with its operations a second.
    pub kernels: Vec<(String, f64)>,
    /// What times were taken with.
    pub clock: Clock,
}

impl Roofline {
    /// The least seconds in which so many operations and bytes could be done.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops_per_s).max(bytes as f64 / self.bytes_per_s)
    }

    /// Which of the two bounds such work: true for the product.
    pub fn is_bound_by_product(&self, flops: u64, bytes: u64) -> bool {
        flops as f64 / self.flops_per_s >= bytes as f64 / self.bytes_per_s
    }
}

/// A kernel for the product.
#[derive(Debug, Clone)]
struct Kernel {
    name: String,
    id: KernelId,
    /// Rows and columns that a workgroup makes.
    tile: (usize, usize),
}

/// Rows of a thread's tile.
const ROWS: u32 = 8;

/// The kernels that a device can run; `all` of them, or those that may be its best.
fn kernels(gpu: &Gpu, all: bool) -> Vec<Kernel> {
    let tiled = |stem, entry, columns4: u32| {
        KernelId::new(stem, entry)
            .with("ROWS", ROWS)
            .with("COLUMNS4", columns4)
    };
    let tile = |columns4: u32| (64 * ROWS as usize, 4 * columns4 as usize);
    let mut out = vec![Kernel {
        name: "8x8 register tiles".into(),
        id: tiled("roofline", "product", 2),
        tile: tile(2),
    }];
    let variants = Variants::choose(gpu);
    let lanes = variants.subgroup_lanes;
    if lanes > 0 {
        for columns4 in [2, 4] {
            out.push(Kernel {
                name: format!(
                    "8x{} register tiles, one operand shared by {lanes} lanes",
                    4 * columns4
                ),
                id: tiled("roofline_subgroup", "product", columns4).with("LANES", lanes),
                tile: tile(columns4),
            });
        }
        if all || variants.narrow_tiles {
            out.push(Kernel {
                name: "8x16 register tiles, one column of an operand at a time".into(),
                id: tiled("roofline_subgroup", "product_narrow", 4).with("LANES", lanes),
                tile: tile(4),
            });
        }
    }
    // Software adapters pay for barriers ten times what they save.
    if all || !gpu.capabilities.software {
        out.push(Kernel {
            name: "64x64 tiles in workgroup memory".into(),
            id: tiled("roofline", "product_tiled", 2),
            tile: (64, 64),
        });
    }
    out
}

/// Emits C = A B with `[rows, columns, depth]`: multiples of the kernel's tile, the depth of 8.
fn emit_product(plan: &mut PlanBuilder, kernel: &Kernel, size: [usize; 3], abc: [TensorId; 3]) {
    let [rows, columns, depth] = size;
    let column_tiles = columns / kernel.tile.1;
    let params = Params {
        rows: rows as u32,
        columns4: columns as u32 / 4,
        depth4: depth as u32 / 4,
        column_tiles: column_tiles as u32,
    };
    plan.dispatch(
        kernel.id.clone(),
        &params,
        &[(1, abc[0].into()), (2, abc[1].into()), (3, abc[2].into())],
        rows / kernel.tile.0 * column_tiles,
        2 * (rows * columns * depth) as u64,
    );
}

/// Emits a copy of `words`, a multiple of 2048.
fn emit_copy(plan: &mut PlanBuilder, words: usize, from: TensorId, to: TensorId) {
    let vec4s = words / 4;
    let params = Params {
        rows: vec4s as u32,
        columns4: 0,
        depth4: 0,
        column_tiles: 1,
    };
    plan.dispatch(
        KernelId::new("roofline", "copy")
            .with("ROWS", ROWS)
            .with("COLUMNS4", 2),
        &params,
        &[(1, from.into()), (3, to.into())],
        vec4s / 512,
        0,
    );
}

/// Times each kernel is run; the first is not counted, as drivers compile in it.
const RUNS: usize = 4;

/// A micro-benchmark.
#[derive(Debug)]
struct Trial {
    name: String,
    plan: Plan,
    /// Operations of the product, or bytes of the copy.
    amount: f64,
    times: Vec<f64>,
}

/// The measurement, bit by bit.
#[derive(Debug)]
pub struct RooflineJob {
    gpu: Arc<Gpu>,
    trials: Vec<Trial>,
    side: usize,
    copied: u64,
    runs: usize,
    /// Seconds of a submission, if it is to be cut.
    slice: Option<f64>,
    clock: Clock,
    cursor: Cursor,
    /// Seconds of the pieces so far of the run under way.
    partial: f64,
    /// The trial, whether it is over then, what was expected, and its time.
    work: Option<(usize, bool, Work, TimedWork)>,
}

impl RooflineJob {
    /// Cuts the work into submissions of about so many seconds, whose times are added up, so that others have their
    /// turn in between; times are taken by `clock`.
    #[must_use]
    pub const fn in_slices(mut self, seconds: f64, clock: Clock) -> Self {
        self.slice = Some(seconds);
        self.clock = clock;
        self
    }

    /// Allocates what it takes: a hundred to two hundred MB, given back at its end.
    ///
    /// # Errors
    /// No memory.
    pub fn new(gpu: &Arc<Gpu>) -> Result<Self> {
        let software = gpu.capabilities.software;
        let (side, repeats) = if software { (1024, 1) } else { (2048, 4) };
        let words = (gpu.max_binding() / 4).min(16 << 20) as usize / 2048 * 2048;
        let mut trials = Vec::new();
        for kernel in kernels(gpu, false) {
            let mut plan = PlanBuilder::new();
            let abc = ["A", "B", "C"].map(|label| plan.tensor(label, side * side));
            abc.iter().for_each(|&tensor| plan.keep(tensor));
            for _ in 0..repeats {
                emit_product(&mut plan, &kernel, [side; 3], abc);
            }
            let amount = plan.flops() as f64;
            let plan = plan.begin(gpu)?;
            for tensor in &abc[..2] {
                let word = |i: usize| ((i * 7919 % 2048) as f32) / 1024.0 - 1.0;
                let words: Vec<f32> = (0..side * side).map(word).collect();
                plan.view(*tensor).write(gpu, 0, &words);
            }
            trials.push(Trial {
                name: kernel.name,
                plan,
                amount,
                times: Vec::new(),
            });
        }
        let mut plan = PlanBuilder::new();
        let [from, to] = ["from", "to"].map(|label| plan.tensor(label, words));
        [from, to].iter().for_each(|&tensor| plan.keep(tensor));
        for _ in 0..repeats {
            emit_copy(&mut plan, words, from, to);
        }
        trials.push(Trial {
            name: "copy".into(),
            plan: plan.begin(gpu)?,
            amount: (repeats * 2 * 4 * words) as f64,
            times: Vec::new(),
        });
        Ok(Self {
            gpu: Arc::clone(gpu),
            trials,
            side,
            copied: 4 * words as u64,
            runs: 0,
            slice: None,
            clock: Clock::of(gpu),
            cursor: Cursor::default(),
            partial: 0.0,
            work: None,
        })
    }

    /// Runs that are done, and in all.
    pub const fn progress(&self) -> (usize, usize) {
        (self.runs, RUNS * self.trials.len())
    }

    /// Goes on without waiting; the result once it is there.
    ///
    /// # Errors
    /// A device that fails.
    pub fn pump(&mut self, slice: Duration) -> Result<Option<Roofline>> {
        for trial in &mut self.trials {
            let (done, of) = trial.plan.warmed();
            if done < of {
                trial.plan.warm(slice)?;
                return Ok(None);
            }
        }
        if let Some((i, over, expected, work)) = &mut self.work {
            let Some(seconds) = work.poll(&self.gpu)? else {
                return Ok(None);
            };
            if self.slice.is_some() {
                expected.took(seconds);
            }
            self.partial += seconds;
            if *over {
                self.trials[*i]
                    .times
                    .push(std::mem::take(&mut self.partial));
                self.runs += 1;
            }
            self.work = None;
        }
        let count = self.trials.len();
        if self.runs < RUNS * count {
            let i = self.runs % count;
            let plan = &self.trials[i].plan;
            let budget = self.slice.unwrap_or(f64::INFINITY);
            let (mut over, mut expected) = (false, Work::default());
            let work = TimedWork::submit(&self.gpu, self.clock, |encoder, writes| {
                (over, expected) = plan.encode_timed(encoder, &mut self.cursor, budget, writes);
            })?;
            self.work = Some((i, over, expected, work));
            return Ok(None);
        }
        let rate = |trial: &Trial| {
            let least = trial.times[1..]
                .iter()
                .copied()
                .fold(f64::INFINITY, f64::min);
            trial.amount / least
        };
        let (products, copy) = self.trials.split_at(count - 1);
        let kernels: Vec<(String, f64)> =
            products.iter().map(|t| (t.name.clone(), rate(t))).collect();
        let best = kernels.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (kernel, flops_per_s) = best.cloned().unwrap_or_default();
        Ok(Some(Roofline {
            flops_per_s,
            bytes_per_s: rate(&copy[0]),
            side: self.side,
            copied: self.copied,
            kernel,
            kernels,
            clock: self.clock,
        }))
    }

    /// [`RooflineJob::pump`] to the end. Native only.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(mut self) -> Result<Roofline> {
        loop {
            if let Some(found) = self.pump(Duration::from_millis(100))? {
                return Ok(found);
            }
            self.gpu.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{
        layers::testing::gpu,
        testing::{bits, floats, run},
    };

    #[test]
    fn every_kernel_multiplies() {
        let size = [512, 64, 24];
        let [rows, columns, depth] = size;
        let number = |i: usize| ((i * 37 % 64) as f32) / 16.0 - 2.0;
        let a: Vec<f32> = (0..rows * depth).map(number).collect();
        let b: Vec<f32> = (0..depth * columns).map(|i| number(i + 5)).collect();
        let mut expected = vec![0.0_f64; rows * columns];
        for i in 0..rows {
            for k in 0..depth {
                for j in 0..columns {
                    let product = f64::from(a[i * depth + k]) * f64::from(b[k * columns + j]);
                    expected[i * columns + j] += product;
                }
            }
        }
        let kernels = kernels(&gpu(), true);
        assert!(kernels.len() >= 2);
        for kernel in kernels {
            let out = run(&[&bits(&a), &bits(&b)], |plan, inputs| {
                let c = plan.tensor("C", rows * columns);
                emit_product(plan, &kernel, size, [inputs[0], inputs[1], c]);
                vec![c]
            });
            for (found, wanted) in floats(&out[0]).iter().zip(&expected) {
                let off = (f64::from(*found) - wanted).abs();
                assert!(off < 1e-3, "{}: {found} instead of {wanted}", kernel.name);
            }
        }
    }

    #[test]
    fn the_copy_copies() {
        let words: Vec<u32> = (0..4096_u32)
            .map(|i| i.wrapping_mul(2_654_435_761))
            .collect();
        let out = run(&[&words], |plan, inputs| {
            let to = plan.tensor("to", words.len());
            emit_copy(plan, words.len(), inputs[0], to);
            vec![to]
        });
        assert_eq!(out[0], words);
    }

    #[test]
    fn what_bounds_work_follows_from_its_intensity() {
        let roofline = Roofline {
            flops_per_s: 100.0,
            bytes_per_s: 10.0,
            side: 0,
            copied: 0,
            kernel: String::new(),
            kernels: Vec::new(),
            clock: Clock::Submissions,
        };
        assert_eq!(roofline.seconds(200, 10), 2.0);
        assert!(roofline.is_bound_by_product(200, 10));
        assert_eq!(roofline.seconds(100, 50), 5.0);
        assert!(!roofline.is_bound_by_product(100, 50));
    }
}

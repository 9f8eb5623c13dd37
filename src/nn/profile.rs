//! Where a plan's time goes, dispatch by dispatch: each is submitted by itself, and its time taken with timestamps
//! where the device has them.

use std::collections::BTreeMap;

use serde::Serialize;
use web_time::Instant;

use super::{
    Plan,
    plan::{Cursor, Work},
    roofline::Roofline,
};
use crate::{
    Result,
    gpu::{
        Gpu,
        kernel::KernelId,
        timing::{Clock, TimedWork},
    },
};

/// What a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelKind {
    /// Convolutions and linear layers: forward, and the gradient of their input.
    Convolution,
    /// The gradient of their weights.
    WeightGradient,
    /// The products of attention.
    Attention,
    /// GroupNorm with its SiLU.
    Norm,
    /// Adding up parts of gradients.
    Sums,
    /// Clipping, Adam and the moving average.
    Optimizer,
    /// All else: what is done number by number.
    Other,
}

impl KernelKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Convolution,
        Self::WeightGradient,
        Self::Attention,
        Self::Norm,
        Self::Sums,
        Self::Optimizer,
        Self::Other,
    ];

    /// That of a kernel.
    pub fn of(kernel: &KernelId) -> Self {
        let product = ["conv", "projections", "winograd"];
        match kernel.stem.strip_prefix("layers/") {
            Some(name) if product.iter().any(|p| name.starts_with(p)) => {
                if kernel.entry.starts_with("backward_weight") {
                    Self::WeightGradient
                } else {
                    Self::Convolution
                }
            }
            Some(name) if name.starts_with("attention") => Self::Attention,
            Some(name) if name.starts_with("group_norm") => Self::Norm,
            Some(name) if name.starts_with("row_sums") => Self::Sums,
            _ if kernel.stem.starts_with("optimizer/") => Self::Optimizer,
            _ => Self::Other,
        }
    }
}

/// A dispatch with its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Its kernel.
    pub kernel: String,
    /// What that is for.
    pub kind: KernelKind,
    /// Its layer.
    pub layer: String,
    /// Median seconds.
    pub seconds: f64,
    /// Useful floating-point operations (those of direct convolution).
    pub flops: u64,
    /// Bytes, as [`Plan::bytes_of`] counts them.
    pub bytes: u64,
    /// Bytes of the arena's tensors that are alive then.
    pub alive: u64,
}

/// Times a plan is run.
const RUNS: usize = 3;
/// A plan that has taken so many seconds is not run once more.
const PATIENCE: f64 = 8.0;

/// A dispatch on the device, or a piece of one.
#[derive(Debug)]
struct Piece {
    dispatch: usize,
    /// The dispatch is over then, and the whole plan.
    ends: (bool, bool),
    expected: Work,
    work: TimedWork,
}

/// Takes the times of one plan, bit by bit. What the plan computes is overwritten.
#[derive(Debug, Default)]
pub struct Profiler {
    times: Vec<Vec<f64>>,
    runs: usize,
    cursor: Cursor,
    /// Seconds of a submission, if dispatches are to be cut, and the clock then.
    slice: Option<(f64, Clock)>,
    /// Seconds of the pieces so far of the dispatch under way.
    partial: f64,
    work: Option<Piece>,
    begun: Option<Instant>,
}

impl Profiler {
    /// Begins anew.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts dispatches that take longer into submissions of about so many seconds, whose times are added up, so that
    /// others have their turn in between; times are taken by `clock`.
    pub fn in_slices(seconds: f64, clock: Clock) -> Self {
        Self {
            slice: Some((seconds, clock)),
            ..Self::default()
        }
    }

    /// Dispatches that are timed, and the most that will be.
    pub fn progress(&self, plan: &Plan) -> (usize, usize) {
        let done = self.times.iter().map(Vec::len).sum();
        (done, RUNS * plan.len())
    }

    /// Goes on without waiting, always with the same plan, whose pipelines are all there; the times once all are taken.
    ///
    /// # Errors
    /// A device that fails.
    pub fn pump(&mut self, gpu: &Gpu, plan: &Plan) -> Result<Option<Vec<Timed>>> {
        self.times.resize(plan.len(), Vec::new());
        let begun = *self.begun.get_or_insert_with(Instant::now);
        if let Some(piece) = &mut self.work {
            let Some(seconds) = piece.work.poll(gpu)? else {
                return Ok(None);
            };
            if self.slice.is_some() {
                piece.expected.took(seconds);
            }
            self.partial += seconds;
            if piece.ends.0 {
                self.times[piece.dispatch].push(std::mem::take(&mut self.partial));
            }
            self.runs += usize::from(piece.ends.1);
            self.work = None;
        }
        let enough = self.runs >= RUNS
            || (self.runs > 0 && begun.elapsed().as_secs_f64() > PATIENCE)
            || plan.is_empty();
        if !enough || self.cursor != Cursor::default() {
            let dispatch = self.cursor.dispatch();
            let (budget, clock) = (self.slice).unwrap_or((f64::INFINITY, Clock::of(gpu)));
            let (mut over, mut expected) = (false, Work::default());
            let cursor = &mut self.cursor;
            let work = TimedWork::submit(gpu, clock, |encoder, writes| {
                (over, expected) = plan.encode_piece_timed(encoder, cursor, budget, writes);
            })?;
            self.work = Some(Piece {
                dispatch,
                ends: (over || self.cursor.dispatch() != dispatch, over),
                expected,
                work,
            });
            return Ok(None);
        }
        let timed = plan.dispatches().iter().enumerate().map(|(i, d)| Timed {
            kernel: d.kernel.to_string(),
            kind: KernelKind::of(&d.kernel),
            layer: d.label.to_string(),
            seconds: median(self.times[i].clone()),
            flops: d.flops,
            bytes: plan.bytes_of(i),
            alive: plan.alive_at(i),
        });
        Ok(Some(timed.collect()))
    }

    /// [`Profiler::pump`] to the end. Native only.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(
        gpu: &Gpu,
        plan: &Plan,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Vec<Timed>> {
        let mut profiler = Self::new();
        loop {
            if let Some(times) = profiler.pump(gpu, plan)? {
                return Ok(times);
            }
            let (done, of) = profiler.progress(plan);
            progress(done, of);
            gpu.wait();
        }
    }
}

/// The value in the middle; of none, NaN.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}

/// Where the time of a training step goes. Each dispatch is submitted by itself.
#[derive(Debug, Clone, Serialize)]
pub struct Profile {
    /// What times were taken with.
    pub clock: Clock,
    /// What the device can do at most.
    pub roofline: Roofline,
    /// Kernels, slowest first.
    pub kernels: Vec<ProfileLine>,
    /// Layers with their kernel, slowest first.
    pub layers: Vec<ProfileLine>,
    /// Sum of all.
    pub total_s: f64,
    /// Seconds of the quickest dispatch: with timed submissions, about what submitting and waiting take.
    pub floor_s: f64,
    /// Operations of all.
    pub flops: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Least seconds of all by the roofline, dispatch by dispatch.
    pub roofline_s: f64,
    /// Share of the product's rate over all: operations / `total_s` / the best product's operations a second.
    pub product_share: f64,
}

/// A line of a profile.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileLine {
    /// Kernel, or layer and kernel.
    pub name: String,
    /// Dispatches.
    pub count: usize,
    /// Seconds of all of them together.
    pub seconds: f64,
    /// Share of the whole.
    pub share: f64,
    /// Their operations.
    pub flops: u64,
    /// Their bytes, as [`Plan::bytes_of`] counts them.
    pub bytes: u64,
    /// Operations / seconds, in units of 10⁹.
    pub gflops: f64,
    /// Bytes / seconds, in units of 10⁹.
    pub gbytes: f64,
    /// The least seconds that the roofline allows / seconds. Above 1 where data come from caches.
    pub roofline_share: f64,
    /// Whether the product bounds them, in the roofline, rather than the copy.
    pub product_bound: bool,
}

impl Profile {
    /// From the times of all dispatches of a step.
    pub fn new(all: &[Timed], roofline: Roofline, clock: Clock) -> Self {
        #[derive(Default)]
        struct Group {
            count: usize,
            seconds: f64,
            flops: u64,
            bytes: u64,
            least: f64,
        }
        let total_s: f64 = all.iter().map(|t| t.seconds).sum();
        let by = |key: &dyn Fn(&Timed) -> String| {
            let mut groups: BTreeMap<String, Group> = BTreeMap::new();
            for timed in all {
                let group = groups.entry(key(timed)).or_default();
                group.count += 1;
                group.seconds += timed.seconds;
                group.flops += timed.flops;
                group.bytes += timed.bytes;
                group.least += roofline.seconds(timed.flops, timed.bytes);
            }
            let mut lines: Vec<ProfileLine> = groups
                .into_iter()
                .map(|(name, g)| ProfileLine {
                    name,
                    count: g.count,
                    seconds: g.seconds,
                    share: g.seconds / total_s,
                    flops: g.flops,
                    bytes: g.bytes,
                    gflops: g.flops as f64 / g.seconds / 1e9,
                    gbytes: g.bytes as f64 / g.seconds / 1e9,
                    roofline_share: g.least / g.seconds,
                    product_bound: roofline.is_bound_by_product(g.flops, g.bytes),
                })
                .collect();
            lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
            lines
        };
        let flops = all.iter().map(|t| t.flops).sum();
        Self {
            clock,
            kernels: by(&|t| t.kernel.clone()),
            layers: by(&|t| format!("{}: {}", t.layer, t.kernel)),
            total_s,
            floor_s: all.iter().map(|t| t.seconds).fold(f64::INFINITY, f64::min),
            flops,
            bytes: all.iter().map(|t| t.bytes).sum(),
            roofline_s: all.iter().map(|t| roofline.seconds(t.flops, t.bytes)).sum(),
            product_share: flops as f64 / total_s / roofline.flops_per_s,
            roofline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gpu::memory::Pool,
        nn::{PlanBuilder, layers::add, layers::testing::gpu},
    };

    fn roofline() -> Roofline {
        Roofline {
            flops_per_s: 4e9,
            bytes_per_s: 1e9,
            side: 0,
            copied: 0,
            kernel: String::new(),
            kernels: Vec::new(),
            clock: Clock::Submissions,
        }
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn a_profile_adds_up() {
        let timed = |kernel: &str, seconds, flops, bytes| Timed {
            kernel: kernel.into(),
            kind: KernelKind::Other,
            layer: "l".into(),
            alive: 0,
            seconds,
            flops,
            bytes,
        };
        let profile = Profile::new(
            &[
                timed("a", 1.0, 1_000_000_000, 0),
                timed("b", 3.0, 0, 1_500_000_000),
                timed("a", 1.0, 3_000_000_000, 0),
            ],
            roofline(),
            Clock::Submissions,
        );
        assert_eq!((profile.total_s, profile.floor_s), (5.0, 1.0));
        let names: Vec<&str> = profile.kernels.iter().map(|k| k.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let [b, a] = [&profile.kernels[0], &profile.kernels[1]];
        assert_eq!(
            (a.count, a.flops, b.bytes),
            (2, 4_000_000_000, 1_500_000_000)
        );
        assert!((a.share - 0.4).abs() < 1e-12);
        assert!((a.gflops - 2.0).abs() < 1e-12);
        assert!((a.roofline_share - 0.5).abs() < 1e-12 && a.product_bound);
        assert!((b.roofline_share - 0.5).abs() < 1e-12 && !b.product_bound);
        assert!((profile.product_share - 0.2).abs() < 1e-12);
        assert!((profile.roofline_s - 2.5).abs() < 1e-12);
    }

    #[test]
    fn kernels_are_told_apart_by_what_they_are_for() {
        let kind = |stem, entry| KernelKind::of(&KernelId::new(stem, entry));
        for (stem, entry, expected) in [
            ("layers/conv2d", "forward", KernelKind::Convolution),
            (
                "layers/conv3x3_subgroup",
                "backward_input",
                KernelKind::Convolution,
            ),
            (
                "layers/conv3x3_wide",
                "backward_weight",
                KernelKind::WeightGradient,
            ),
            (
                "layers/projections",
                "backward_weight",
                KernelKind::WeightGradient,
            ),
            ("layers/attention", "forward", KernelKind::Attention),
            ("layers/group_norm", "backward_sums", KernelKind::Norm),
            ("layers/row_sums", "sum", KernelKind::Sums),
            ("optimizer/adam", "update", KernelKind::Optimizer),
            ("layers/concat", "forward", KernelKind::Other),
            ("loss", "gradient", KernelKind::Other),
        ] {
            assert_eq!(kind(stem, entry), expected, "{stem}:{entry}");
        }
    }

    /// A plan that adds to the same numbers three times: `[words]` each.
    fn three_sums(gpu: &std::sync::Arc<Gpu>, words: u64) -> (Pool, Plan) {
        let (pool, views) =
            Pool::allocate(gpu, "test", &[("a", 4 * words), ("y", 4 * words)]).expect("memory");
        let mut plan = PlanBuilder::new();
        let a = plan.external("a", &views[0]);
        let y = plan.external("y", &views[1]);
        for _ in 0..3 {
            add::accumulate(&mut plan, a, y, words as usize, true);
        }
        (pool, plan.prepare(gpu).expect("a plan"))
    }

    #[test]
    fn every_dispatch_is_timed_and_its_bytes_are_those_it_binds() {
        let gpu = gpu();
        let words = 1 << 16;
        let (_pool, plan) = three_sums(&gpu, words);
        let times = Profiler::run(&gpu, &plan, |_, _| {}).expect("times");
        assert_eq!(times.len(), 3);
        for timed in times {
            assert!(timed.seconds > 0.0 && timed.seconds < 5.0, "{timed:?}");
            // a is read, y is read and written.
            assert_eq!(timed.bytes, 3 * 4 * words);
            assert_eq!(timed.alive, 0, "both lie outside the arena");
        }
    }

    #[test]
    fn dispatches_that_are_cut_are_timed_whole() {
        let gpu = gpu();
        let (_pool, plan) = three_sums(&gpu, 1 << 18);
        let whole = Profiler::run(&gpu, &plan, |_, _| {}).expect("times");
        let mut profiler = Profiler::in_slices(whole[0].seconds / 4.0, Clock::Submissions);
        let mut submissions = 0;
        let times = loop {
            if let Some(times) = profiler.pump(&gpu, &plan).expect("times") {
                break times;
            }
            submissions += usize::from(profiler.work.as_ref().is_some_and(|w| !w.ends.0));
            gpu.wait();
        };
        assert!(submissions > 2, "{submissions} of them are pieces");
        assert_eq!((times.len(), profiler.runs), (3, RUNS));
        assert!(profiler.times.iter().all(|t| t.len() == RUNS));
        assert_eq!(profiler.cursor, Cursor::default());
    }

    #[test]
    fn what_is_alive_follows_from_who_uses_it() {
        let mut plan = PlanBuilder::new();
        let [a, b, c] = [100, 20, 3].map(|words| plan.tensor("t", words));
        add::accumulate(&mut plan, a, b, 20, false);
        add::accumulate(&mut plan, b, c, 3, false);
        add::accumulate(&mut plan, b, c, 3, true);
        assert_eq!(plan.bytes_alive(), [480, 92, 92]);
        plan.keep(a);
        assert_eq!(plan.bytes_alive(), [480, 492, 492]);
    }
}

//! How much work a submission holds: learned from how long the last ones took.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::{collections::VecDeque, time::Duration};

use web_time::Instant;

#[cfg(not(target_arch = "wasm32"))]
use crate::{
    gpu::GpuError,
    nn::{Plan, plan::Cursor},
};
use crate::{
    gpu::{Gpu, kernel::Speed},
    nn::plan::Work,
};

/// How hard a run may work the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Time that one submission should take.
    pub slice: Duration,
    /// Submissions in flight at most.
    pub in_flight: usize,
    /// Idle time after each submission, as a multiple of its own time.
    pub rest: f64,
}

impl Pace {
    /// The whole device, for the command line.
    pub const FULL: Self = Self {
        slice: Duration::from_millis(250),
        in_flight: 2,
        rest: 0.0,
    };
    /// Beside an interface that draws.
    pub const INTERACTIVE: Self = Self {
        slice: Duration::from_millis(6),
        in_flight: 2,
        rest: 0.0,
    };
    /// Half of the device, in small pieces: for `--gentle`.
    pub const GENTLE: Self = Self {
        slice: Duration::from_millis(8),
        in_flight: 1,
        rest: 1.0,
    };
}

#[derive(Debug)]
struct Submission {
    work: Work,
    begun: Instant,
    done: Arc<AtomicBool>,
    #[cfg_attr(
        target_arch = "wasm32",
        expect(dead_code, reason = "only native code waits for a submission")
    )]
    index: wgpu::SubmissionIndex,
}

/// Keeps submissions short and few.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    /// Whether a submission takes its way through another process, as in a page, be it ever so small: that says
    /// nothing about the kernels.
    far: bool,
    flying: VecDeque<Submission>,
    /// How long the last ones took.
    took: VecDeque<Duration>,
    /// When the round began, and the submissions that are left of it.
    round: Instant,
    left: u32,
    last_end: Option<Instant>,
    resume_at: Option<Instant>,
    busy: Duration,
    submissions: u64,
}

impl Pacer {
    /// Submissions of a round: a device that finishes them as fast as they are encoded always has room for one more.
    const AT_ONCE: u32 = 4;
    /// Submissions whose times are remembered.
    const REMEMBERED: usize = 64;
    /// Share of a submission's time that is its work at least.
    const OWN_SHARE: f64 = 0.25;
    /// How much the average kernel learns from one submission, beside those that were part of it.
    const TYPICAL: f64 = 0.25;

    /// Has seen nothing yet.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            far: cfg!(target_arch = "wasm32"),
            flying: VecDeque::new(),
            took: VecDeque::new(),
            round: Instant::now(),
            left: Self::AT_ONCE,
            last_end: None,
            resume_at: None,
            busy: Duration::ZERO,
            submissions: 0,
        }
    }

    /// Changes the pace.
    pub const fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// A caller begins to submit. It will come up for air after a few submissions, or once a slice's time is used up:
    /// software adapters compute while they are submitted to.
    pub fn begin_round(&mut self) {
        self.round = Instant::now();
        self.left = Self::AT_ONCE;
    }

    /// Seconds that the next submission may take; `None` while enough is in flight, when resting, and at the end of a
    /// round.
    pub fn budget(&mut self, gpu: &Gpu) -> Option<f64> {
        self.collect(gpu);
        if self.left == 0 || self.round.elapsed() >= self.pace.slice {
            return None;
        }
        if self.flying.len() >= self.pace.in_flight {
            return None;
        }
        if self.resume_at.is_some_and(|t| Instant::now() < t) {
            return None;
        }
        self.left -= 1;
        Some(self.pace.slice.as_secs_f64())
    }

    /// Submits commands that are that much work.
    pub fn submit(&mut self, gpu: &Gpu, commands: wgpu::CommandBuffer, work: Work) {
        self.submissions += 1;
        let done = Arc::new(AtomicBool::new(false));
        let index = gpu.submit(commands, {
            let done = Arc::clone(&done);
            move || done.store(true, Ordering::Release)
        });
        self.flying.push_back(Submission {
            work,
            begun: Instant::now(),
            done,
            index,
        });
    }

    /// Notes what has finished.
    pub fn collect(&mut self, gpu: &Gpu) {
        gpu.poll();
        // Those that are seen to be done together ran one after the other, who knows when.
        let (mut done, mut begun) = (Work::default(), None);
        while self
            .flying
            .front()
            .is_some_and(|s| s.done.load(Ordering::Acquire))
        {
            let Some(s) = self.flying.pop_front() else {
                break;
            };
            begun.get_or_insert(s.begun);
            done = done.and(&s.work);
        }
        let Some(begun) = begun else {
            return;
        };
        let now = Instant::now();
        let begun = self.last_end.map_or(begun, |t| t.max(begun));
        let took = now.saturating_duration_since(begun);
        self.last_end = Some(now);
        self.busy += took;
        self.learn(&done, took, &gpu.kernels.typical);
        if self.pace.rest > 0.0 {
            self.resume_at = Some(now + took.mul_f64(self.pace.rest));
        }
    }

    /// Takes note that some work took so long.
    fn learn(&mut self, work: &Work, took: Duration, typical: &Speed) {
        self.took.push_back(took);
        if self.took.len() > Self::REMEMBERED {
            self.took.pop_front();
        }
        if work.seconds <= 0.0 {
            return;
        }
        // The smallest of the last ones was about nothing but the way.
        let way = if self.far {
            self.took.iter().min().copied().unwrap_or_default()
        } else {
            Duration::ZERO
        };
        let seconds = (took.saturating_sub(way))
            .max(took.mul_f64(Self::OWN_SHARE))
            .as_secs_f64()
            .max(1e-5);
        // Small submissions say little; large ones are believed at once.
        let weight = (seconds / self.pace.slice.as_secs_f64()).clamp(0.05, 0.5);
        let ratio = (seconds / work.seconds).clamp(1e-3, 1e3);
        // A slow one may have shared the device with a frame that was drawn meanwhile.
        let weight = if ratio > 1.0 { 0.25 * weight } else { weight };
        for (speed, part) in &work.parts {
            let share = part / work.seconds;
            speed.scale(ratio.powf(weight * share));
        }
        typical.scale(ratio.powf(Self::TYPICAL * weight));
    }

    /// Waits until the oldest submission has finished, or the rest is over. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self, gpu: &Gpu) {
        if let Some(s) = self.flying.front() {
            let _ = gpu.device.poll(wgpu::PollType::Wait {
                submission_index: Some(s.index.clone()),
                timeout: Some(Duration::from_millis(500)),
            });
        } else if let Some(t) = self.resume_at {
            std::thread::sleep(t.saturating_duration_since(Instant::now()));
        }
        self.collect(gpu);
    }

    /// Submits a whole plan in slices, waiting for room. Native only.
    ///
    /// # Errors
    /// A lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, gpu: &Gpu, plan: &Plan) -> Result<(), GpuError> {
        let mut cursor = Cursor::default();
        loop {
            gpu.check()?;
            self.begin_round();
            let Some(budget) = self.budget(gpu) else {
                self.wait(gpu);
                continue;
            };
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            let (done, work) = plan.encode(&mut encoder, &mut cursor, budget);
            self.submit(gpu, encoder.finish(), work);
            if done {
                return Ok(());
            }
        }
    }

    /// Whether nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.flying.is_empty()
    }

    /// Submissions so far.
    pub const fn submissions(&self) -> u64 {
        self.submissions
    }

    /// Time that the device worked, as seen from here.
    pub const fn busy(&self) -> Duration {
        self.busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds a unit that a fast and a slow kernel take.
    const TRUE: [f64; 2] = [1e-10, 1.5e-9];

    /// Learns from submissions that are cut as a plan cuts them, of two kernels in turn, which take `way(i)` seconds
    /// besides; returns how far off the two estimates are in the end.
    fn learned(far: bool, way: impl Fn(usize) -> f64) -> [f64; 2] {
        let mut pacer = Pacer::new(Pace::INTERACTIVE);
        pacer.far = far;
        let typical = Speed::new(5e-10);
        let speeds = [Arc::new(Speed::default()), Arc::new(Speed::default())];
        for i in 0..800 {
            // Plans end, so a submission is a small one now and then; some hold the end of one kernel and the
            // beginning of the other.
            let slice = pacer.pace.slice.as_secs_f64() * if i % 20 == 0 { 0.01 } else { 1.0 };
            let shares = [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.2, 0.8]][i % 4];
            let (mut work, mut took) = (Work::default(), way(i));
            for ((speed, truth), share) in speeds.iter().zip(TRUE).zip(shares) {
                let units = share * slice / speed.or(&typical);
                took += units * truth;
                work.parts.push((Arc::clone(speed), share * slice));
                work.seconds += share * slice;
            }
            pacer.learn(&work, Duration::from_secs_f64(took), &typical);
        }
        [0, 1].map(|k| speeds[k].or(&typical) / TRUE[k])
    }

    #[test]
    fn each_kernel_gets_its_own_speed() {
        for off in learned(false, |_| 0.0) {
            assert!((0.8..1.25).contains(&off), "{off} of the truth");
        }
    }

    #[test]
    fn the_way_to_a_device_far_off_is_not_taken_for_work() {
        for way in [0.0, 5e-3, 15e-3] {
            for off in learned(true, |_| way) {
                assert!((0.2..2.0).contains(&off), "{way}: {off} of the truth");
            }
        }
    }

    #[test]
    fn frames_that_share_the_device_do_not_spoil_the_speed() {
        for off in learned(false, |i| if i % 3 == 0 { 0.05 } else { 0.0 }) {
            assert!((0.3..3.5).contains(&off), "{off} of the truth");
        }
    }
}

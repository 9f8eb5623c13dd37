//! How much work a submission holds: learned from how long the last ones took.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::{collections::VecDeque, time::Duration};

use web_time::Instant;

use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::{
    gpu::GpuError,
    nn::{Plan, plan::Cursor},
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
    cost: f64,
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
    /// Cost units a second.
    rate: f64,
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

    /// Starts with a guess of the device's speed that suits the slowest.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            rate: 2e9,
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

    /// Cost that the next submission may have; `None` while enough is in flight, when resting, and at the end of a
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
        Some(self.rate * self.pace.slice.as_secs_f64())
    }

    /// Submits commands of that cost.
    pub fn submit(&mut self, gpu: &Gpu, commands: wgpu::CommandBuffer, cost: f64) {
        self.submissions += 1;
        let done = Arc::new(AtomicBool::new(false));
        let index = gpu.submit(commands, {
            let done = Arc::clone(&done);
            move || done.store(true, Ordering::Release)
        });
        self.flying.push_back(Submission {
            cost,
            begun: Instant::now(),
            done,
            index,
        });
    }

    /// Notes what has finished.
    pub fn collect(&mut self, gpu: &Gpu) {
        gpu.poll();
        while self
            .flying
            .front()
            .is_some_and(|s| s.done.load(Ordering::Acquire))
        {
            let Some(s) = self.flying.pop_front() else {
                break;
            };
            let now = Instant::now();
            let begun = self.last_end.map_or(s.begun, |t| t.max(s.begun));
            let took = now.saturating_duration_since(begun);
            self.last_end = Some(now);
            self.busy += took;
            self.learn(s.cost, took);
            if self.pace.rest > 0.0 {
                self.resume_at = Some(now + took.mul_f64(self.pace.rest));
            }
        }
    }

    /// Takes note that work of that cost took so long.
    fn learn(&mut self, cost: f64, took: Duration) {
        self.took.push_back(took);
        if self.took.len() > Self::REMEMBERED {
            self.took.pop_front();
        }
        // In a page a submission takes its way through another process, be it ever so small: that says nothing
        // about the rate. The smallest of the last ones was about nothing but the way.
        let way = self.took.iter().min().copied().unwrap_or_default();
        let seconds = (took.saturating_sub(way))
            .max(took.mul_f64(Self::OWN_SHARE))
            .as_secs_f64()
            .max(1e-5);
        // Small submissions say little about the rate; large ones are believed at once.
        let weight = (seconds / self.pace.slice.as_secs_f64()).clamp(0.05, 0.5);
        let rate = (cost / seconds).clamp(1e7, 1e15);
        // A slow one may have shared the device with a frame that was drawn meanwhile.
        let weight = if rate < self.rate {
            0.25 * weight
        } else {
            weight
        };
        self.rate *= (rate / self.rate).powf(weight);
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
            let (done, cost) = plan.encode(&mut encoder, &mut cursor, budget);
            self.submit(gpu, encoder.finish(), cost);
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

    const RATE: f64 = 1e10;

    /// The rate that a pacer believes in after submissions of its own choice to a device of [`RATE`], each of which
    /// takes `way` longer.
    fn learned(way: Duration) -> f64 {
        let mut pacer = Pacer::new(Pace::INTERACTIVE);
        for i in 0..400 {
            // Plans end, so a submission is a small one now and then.
            let share = if i % 20 == 0 { 0.01 } else { 1.0 };
            let cost = share * pacer.rate * pacer.pace.slice.as_secs_f64();
            pacer.learn(cost, way + Duration::from_secs_f64(cost / RATE));
        }
        pacer.rate
    }

    #[test]
    fn the_rate_is_that_of_the_device_however_long_the_way_to_it() {
        for way in [0, 5, 15] {
            let rate = learned(Duration::from_millis(way)) / RATE;
            assert!((0.5..4.5).contains(&rate), "{way} ms: {rate} of the rate");
        }
    }

    #[test]
    fn frames_that_share_the_device_do_not_spoil_the_rate() {
        let mut pacer = Pacer::new(Pace::INTERACTIVE);
        for i in 0..400 {
            let cost = pacer.rate * pacer.pace.slice.as_secs_f64();
            let frame = Duration::from_millis(if i % 3 == 0 { 50 } else { 0 });
            pacer.learn(cost, frame + Duration::from_secs_f64(cost / RATE));
        }
        assert!(pacer.rate > 0.3 * RATE, "{} of {RATE}", pacer.rate);
    }
}

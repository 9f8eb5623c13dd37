//! The course of a training run for an interface: whether it runs, how long it has, and when it stops by itself.

use std::time::Duration;

use web_time::Instant;

use super::{
    command::StopAt,
    event::{TrainFigures, TrainStatus},
    figures::Speed,
    stepper::{StepReport, Stepper},
};
use crate::gpu::Gpu;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Step after step.
    Running,
    /// Up to this step, then rest.
    Once(u64),
    /// Nothing more.
    Paused,
}

/// The course of a run.
#[derive(Debug)]
pub struct Course {
    /// What is to be done next.
    pub mode: Mode,
    /// When it stops by itself.
    pub stop: StopAt,
    /// Why it rests, if it was not the user.
    pub reason: Option<String>,
    told: Option<TrainStatus>,
    /// Time spent on steps in sessions before this one, in seconds.
    before: f64,
    spent: Duration,
    mark: Option<Instant>,
    /// What the time between two looks counts at most.
    patience: Duration,
    speed: Speed,
    smoothed: Option<f32>,
    /// How fast the smoothed loss follows.
    follow: f32,
    /// Steps done before this session.
    first_step: u64,
}

impl Course {
    /// Of a run that begins after `first_step` steps. Of the time between two calls of [`Course::count`] at most
    /// `patience` counts as training; the smoothed loss follows by the share `follow`.
    pub fn new(mode: Mode, stop: StopAt, first_step: u64, patience: Duration, follow: f32) -> Self {
        Self {
            mode,
            stop,
            reason: None,
            told: None,
            before: 0.0,
            spent: Duration::ZERO,
            mark: None,
            patience,
            speed: Speed::default(),
            smoothed: None,
            follow,
            first_step,
        }
    }

    /// Takes over from an earlier session: its seconds and its smoothed loss.
    pub const fn take_over(&mut self, seconds: f64, smoothed: Option<f32>) {
        self.before = seconds;
        self.smoothed = smoothed;
    }

    /// Goes on, at that step.
    pub fn resume(&mut self, step: u64) {
        self.mode = Mode::Running;
        self.reason = None;
        // A condition that is met already would stop it at once.
        if self.stop.steps.is_some_and(|n| n <= step) {
            self.stop.steps = None;
        }
        if self.stop.seconds.is_some_and(|s| s <= self.seconds()) {
            self.stop.seconds = None;
        }
        if let (Some(limit), Some(loss)) = (self.stop.loss, self.smoothed)
            && loss <= limit
        {
            self.stop.loss = None;
        }
    }

    /// Rests after the step under way.
    pub fn pause(&mut self) {
        self.mode = Mode::Paused;
        self.reason = None;
    }

    /// One step after that one, then rest.
    pub fn step_once(&mut self, step: u64) {
        self.mode = Mode::Once(step + 1);
        self.reason = None;
    }

    /// Rests for that reason.
    pub fn end(&mut self, reason: String) {
        self.mode = Mode::Paused;
        self.reason = Some(reason);
    }

    /// Whether the only step that was wanted is done.
    pub const fn is_over(&self, step: u64) -> bool {
        matches!(self.mode, Mode::Once(last) if step >= last)
    }

    /// Whether there is something to do, or that it rests is still to be told.
    pub const fn is_busy(&self) -> bool {
        !matches!(self.mode, Mode::Paused) || !matches!(self.told, Some(TrainStatus::Paused(_)))
    }

    /// Time spent on steps, in seconds.
    pub fn seconds(&self) -> f64 {
        self.before + self.spent.as_secs_f64()
    }

    /// Counts the time since the last call, if it went into steps.
    pub fn count(&mut self, worked: bool) {
        let was = self.mark.replace(Instant::now());
        if let (Some(was), true) = (was, worked) {
            // Rests in between (a hidden page, another job) do not count as training.
            self.spent += was.elapsed().min(self.patience);
        }
    }

    /// What follows is no step: its time does not count.
    pub const fn interrupt(&mut self) {
        self.mark = None;
    }

    /// It rests now: neither time nor speed count on.
    pub fn rest(&mut self) {
        self.mark = None;
        self.speed = Speed::default();
    }

    /// Takes note of a step; `images` are those of a step. The figures, and the smoothed loss.
    pub fn note(
        &mut self,
        gpu: &Gpu,
        stepper: &Stepper,
        report: &StepReport,
        images: usize,
    ) -> (TrainFigures, f32) {
        let smoothed = self.smoothed.get_or_insert(report.loss);
        // The first steps' losses are far from the later ones.
        let follow = self.follow.max(1.0 / report.step.max(1) as f32);
        *smoothed += follow * (report.loss - *smoothed);
        let smoothed = *smoothed;
        let rate = self.speed.mark(self.spent, report.step * images as u64);
        let steps_left = (self.stop.steps).map(|n| n.saturating_sub(report.step) as f64);
        let seconds = self.seconds();
        let left = [
            (steps_left.filter(|_| rate > 0.0)).map(|n| n * images as f64 / rate),
            self.stop.seconds.map(|s| (s - seconds).max(0.0)),
        ];
        let done = (report.step - self.first_step).max(1) as f64;
        let figures = TrainFigures {
            images_per_second: rate,
            step_seconds: stepper.device_time().as_secs_f64() / done,
            seconds,
            device_bytes: gpu.allocated_bytes(),
            left_seconds: left.into_iter().flatten().reduce(f64::min),
        };
        (figures, smoothed)
    }

    /// Rests if a condition is met; that on the loss counts once `settled_loss`.
    pub fn check_stops(&mut self, stepper: &Stepper, settled_loss: bool) {
        if self.mode != Mode::Running {
            return;
        }
        let step = stepper.step();
        if self.stop.steps.is_some_and(|n| step >= n) && stepper.is_settled() {
            self.end(format!("it reached step {step}"));
        } else if self.stop.seconds.is_some_and(|s| self.seconds() >= s) {
            self.end(format!("{:.0} s of training are over", self.seconds()));
        } else if let (Some(limit), Some(loss)) = (self.stop.loss, self.smoothed)
            && loss <= limit
            && settled_loss
        {
            self.end(format!("the smoothed loss fell to {loss:.4}"));
        }
    }

    /// The status, if it is news.
    pub fn news(&mut self, status: TrainStatus) -> Option<TrainStatus> {
        if self.told.as_ref() == Some(&status) {
            return None;
        }
        self.told = Some(status.clone());
        Some(status)
    }

    /// That it rests and why, if it is news.
    pub fn news_of_rest(&mut self) -> Option<TrainStatus> {
        self.news(TrainStatus::Paused(self.reason.clone()))
    }
}

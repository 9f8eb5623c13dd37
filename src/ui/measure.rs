//! The measuring mode: trains the `digits` preset, pretends input ten times a second, and prints how long the
//! window took to show it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use noiselab::{
    data::Dataset,
    session::{
        command::{Command, PreviewSettings, StopAt, TrainCommand, TrainSpec},
        config,
    },
};
use serde_json::json;

use super::{shared::Shared, status::Meter};

/// What is measured.
pub struct Measure {
    /// When the program was started.
    started: Instant,
    length: Duration,
    first_frame: Option<Duration>,
    /// When training was asked for.
    begun: Option<Instant>,
    /// Since when the window has been busy for more than start-up: the first step is done.
    steady: Option<Instant>,
    /// When the last pretended input came, until a frame answers it.
    input: Arc<Mutex<Option<Instant>>>,
    over: Arc<AtomicBool>,
    /// Input that the frame under way answers.
    answering: Option<Instant>,
    meter: Meter,
    frames: u64,
    /// Training steps so far.
    pub steps: u64,
}

impl Measure {
    /// Measures for `length` once training runs.
    pub fn new(started: Instant, length: Duration, ctx: &egui::Context) -> Self {
        let input: Arc<Mutex<Option<Instant>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (slot, stop, ctx) = (Arc::clone(&input), Arc::clone(&over), ctx.clone());
        // Where it cannot be started nothing is measured, and the report says so by its count.
        let _ = thread::Builder::new().name("input".into()).spawn(move || {
            while !stop.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(97));
                let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
                slot.get_or_insert_with(Instant::now);
                drop(slot);
                ctx.request_repaint();
            }
        });
        Self {
            started,
            length,
            first_frame: None,
            begun: None,
            steady: None,
            input,
            over,
            answering: None,
            meter: Meter::default(),
            frames: 0,
            steps: 0,
        }
    }

    /// A frame begins, so the one before is on the screen. True when all is measured.
    pub fn frame(&mut self, shared: &Shared, ctx: &egui::Context) -> bool {
        let now = Instant::now();
        self.frames += 1;
        self.meter.frame(now);
        if self.first_frame.is_none() && self.frames > 1 {
            self.first_frame = Some(now - self.started);
        }
        if let (Some(data), None) = (&shared.data, self.begun) {
            self.begun = Some(now);
            shared.send(start(data));
        }
        if self.steady.is_none() && self.steps > 0 {
            self.steady = Some(now);
        }
        if let Some(since) = self.answering.take()
            && self.steady.is_some()
        {
            self.meter.wait((now - since).as_secs_f64() * 1e3);
        }
        let mut slot = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        self.answering = slot.take();
        drop(slot);
        if self.answering.is_some() {
            // The next frame's begin is this one's end.
            ctx.request_repaint();
        }
        self.steady.is_some_and(|t| now - t > self.length)
    }

    /// The figures.
    pub fn report(&self) -> serde_json::Value {
        self.over.store(true, Ordering::Release);
        let seconds = self.steady.map_or(0.0, |t| t.elapsed().as_secs_f64());
        json!({
            "first_frame_seconds": self.first_frame.map(|d| d.as_secs_f64()),
            "seconds": seconds,
            "training_steps": self.steps,
            "window": self.meter.value(),
        })
    }
}

fn start(data: &Dataset) -> Command {
    let preset = config::preset("digits").unwrap_or(&config::PRESETS[0]);
    let spec = TrainSpec {
        config: preset.for_data(data),
        preview: PreviewSettings {
            every: 20,
            ..PreviewSettings::default()
        },
        stop: StopAt::default(),
    };
    Command::Train(TrainCommand::Start(Box::new(spec)))
}

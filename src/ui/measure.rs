//! The measuring mode: pretends input ten times a second, first at rest and then while the `digits` preset (or, in its
//! room, the 2-D lab) trains, and prints how long it took until the device had drawn what the input led to.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
        event::{Event, TrainEvent},
        lab::{
            PRESETS as LABS,
            command::{LabCommand, LabTrain},
            event::{LabEvent, LabTrainEvent},
        },
    },
};
use serde_json::json;

use super::{platform, shared::Shared, status::Meter};

/// What is measured.
pub struct Measure {
    /// When the program was started.
    started: Instant,
    length: Duration,
    first_frame: Option<Duration>,
    /// Since when there has been nothing to do.
    rests_since: Option<Instant>,
    /// When training was asked for.
    begun: Option<Instant>,
    /// Since when training runs: the first step is done.
    steady: Option<Instant>,
    /// When the last pretended input came, until a frame takes it.
    input: Arc<Mutex<Option<Instant>>>,
    over: Arc<AtomicBool>,
    /// Input that the frame under way answers.
    answering: Option<Instant>,
    inputs: u64,
    /// While nothing is computed, then while training runs.
    rest: Arc<Mutex<Meter>>,
    training: Arc<Mutex<Meter>>,
    frames: u64,
    /// The 2-D lab trains, not the network of images.
    lab: bool,
    /// Training steps so far.
    pub steps: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Measure {
    /// How long the window is measured before anything is computed.
    const REST: Duration = Duration::from_secs(5);
    /// Time between pretended inputs.
    const EVERY: Duration = Duration::from_millis(97);

    /// Measures for `length` once training runs.
    pub fn new(started: Instant, length: Duration, cc: &eframe::CreationContext<'_>) -> Self {
        let input: Arc<Mutex<Option<Instant>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (slot, stop, ctx) = (Arc::clone(&input), Arc::clone(&over), cc.egui_ctx.clone());
        let device = cc.wgpu_render_state.as_ref().map(|r| r.device.clone());
        // Where it cannot be started nothing is measured, and the report says so by its count.
        let _ = thread::Builder::new().name("input".into()).spawn(move || {
            let mut last = Instant::now();
            while !stop.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
                if let Some(device) = &device {
                    // So that the end of a frame is noticed when it comes.
                    let _ = device.poll(wgpu::PollType::Poll);
                }
                if last.elapsed() >= Self::EVERY {
                    last = Instant::now();
                    lock(&slot).get_or_insert(last);
                    platform::repaint(&ctx);
                }
            }
        });
        Self {
            started,
            length,
            first_frame: None,
            rests_since: None,
            begun: None,
            steady: None,
            input,
            over,
            answering: None,
            inputs: 0,
            rest: Arc::default(),
            training: Arc::default(),
            frames: 0,
            lab: false,
            steps: 0,
        }
    }

    /// The room in which the lab is measured.
    pub const LAB: &str = "lab";

    /// Whether the lab is what trains.
    pub fn of_lab(self, lab: bool) -> Self {
        Self { lab, ..self }
    }

    /// Whether it tells of a training step.
    pub const fn is_step(event: &Event) -> bool {
        matches!(
            event,
            Event::Train(TrainEvent::Step(..))
                | Event::Lab(LabEvent::Train(LabTrainEvent::Step(..)))
        )
    }

    /// Gives the frame that begins the input that has come: the pointer moves across the room.
    pub fn pretend(&mut self, input: &mut egui::RawInput) {
        self.answering = lock(&self.input).take();
        if let (Some(_), Some(screen)) = (self.answering, input.screen_rect) {
            self.inputs += 1;
            let along = (self.inputs as f32 * 0.07).fract();
            let at = screen.min + screen.size() * egui::vec2(0.3 + 0.6 * along, 0.6);
            input.events.push(egui::Event::PointerMoved(at));
        }
    }

    /// What notes that the frame under way has been drawn.
    pub fn answer(&self) -> impl Fn() + Send + 'static {
        let meter = if self.steady.is_some() {
            Some(&self.training)
        } else if self.rests_since.is_some() && self.begun.is_none() {
            Some(&self.rest)
        } else {
            None
        };
        let (meter, since) = (meter.cloned(), self.answering);
        move || {
            if let Some(meter) = &meter {
                let mut meter = lock(meter);
                meter.frame(Instant::now());
                if let Some(since) = since {
                    meter.wait(since.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }

    /// A frame begins. True when all is measured.
    pub fn frame(&mut self, shared: &Shared) -> bool {
        let now = Instant::now();
        self.frames += 1;
        if self.first_frame.is_none() && self.frames > 1 {
            self.first_frame = Some(now - self.started);
        }
        if self.rests_since.is_none() && shared.data.is_some() && shared.model.is_some() {
            self.rests_since = Some(now);
        }
        if let (Some(data), None) = (&shared.data, self.begun)
            && self.rests_since.is_some_and(|t| now - t > Self::REST)
        {
            self.begun = Some(now);
            shared.send(if self.lab { start_lab() } else { start(data) });
        }
        if self.steady.is_none() && self.steps > 0 {
            self.steady = Some(now);
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
            "at_rest": lock(&self.rest).value(),
            "training": lock(&self.training).value(),
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
        memory_budget: None,
    };
    Command::Train(TrainCommand::Start(Box::new(spec)))
}

/// Without an end, so that it trains as long as it is measured.
fn start_lab() -> Command {
    let mut spec = (LABS[0].train)();
    spec.stop = StopAt::default();
    Command::Lab(LabCommand::Train(LabTrain::Start(Box::new(spec))))
}

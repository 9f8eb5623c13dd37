//! What the app is doing, as JSON: for tests in a browser and for measuring. Reading only.

use std::{collections::VecDeque, sync::Arc};

use egui::accesskit;
use noiselab::session::event::{Event, ReverseEvent, TrainEvent, TrainStatus};
use serde_json::{Value, json};
use web_time::{Duration, Instant};

use super::{panel::Panel, shared::Shared};

/// What events told, summed up.
#[derive(Debug, Default)]
pub struct Watch {
    forward: Option<Value>,
    train: Train,
    reverse: Vec<Run>,
    previews: usize,
    probes: usize,
    failures: Vec<String>,
    /// Messages to the user so far, also those that are gone from the screen.
    told: Vec<(String, bool)>,
    lost: bool,
}

#[derive(Debug, Default)]
struct Train {
    status: Option<TrainStatus>,
    step: u64,
    parameters: usize,
    loss: Option<f32>,
    smoothed: Option<f32>,
    first: Option<f32>,
    steps_heard: u64,
    opened: u64,
    saved: Option<(u64, bool)>,
    images_per_second: f64,
    step_seconds: f64,
}

#[derive(Debug, Default, Clone)]
struct Run {
    sampler: String,
    steps: usize,
    eta: f64,
    seed: u64,
    count: usize,
    kept: usize,
    frames: usize,
    evaluations: usize,
    seconds: f64,
    images: Option<Arc<[f32]>>,
}

impl Watch {
    /// Steps over which the loss is smoothed.
    const SMOOTH: f32 = 20.0;

    /// Takes note of a message to the user.
    pub fn tell(&mut self, text: &str, error: bool) {
        self.told.push((text.into(), error));
    }

    /// Takes note.
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::Forward(view) => {
                let of = |i: usize| {
                    let h = &view.histograms[i];
                    json!({"mean": h.mean, "deviation": h.deviation})
                };
                self.forward = Some(json!({
                    "t": view.request.t,
                    "seed": view.request.seed,
                    "timesteps": view.request.timesteps,
                    "schedules": view.request.schedules,
                    "histograms": [of(0), of(1)],
                }));
            }
            Event::Reverse(event) => self.on_reverse(event),
            Event::Train(event) => self.on_train(event),
            Event::Probe(_) => self.probes += 1,
            Event::Failed { message, .. } => self.failures.push(message.clone()),
            Event::DeviceLost { message } => {
                self.lost = true;
                self.failures.push(message.clone());
            }
            _ => {}
        }
    }

    fn on_reverse(&mut self, event: &ReverseEvent) {
        match event {
            ReverseEvent::Started {
                request,
                run,
                frames,
                ..
            } => {
                if *run == 0 {
                    self.reverse.clear();
                }
                let choice = request.runs.get(*run);
                self.reverse.resize(*run, Run::default());
                self.reverse.push(Run {
                    sampler: choice.map(|c| c.sampler.clone()).unwrap_or_default(),
                    steps: choice.map_or(0, |c| c.steps),
                    eta: choice.map_or(0.0, |c| c.eta),
                    seed: request.seed,
                    count: request.count,
                    kept: frames.len(),
                    ..Run::default()
                });
            }
            ReverseEvent::Progress {
                run,
                frames,
                evaluations,
                seconds,
            } => {
                if let Some(slot) = self.reverse.get_mut(*run) {
                    slot.frames = *frames;
                    slot.evaluations = *evaluations;
                    slot.seconds = *seconds;
                }
            }
            ReverseEvent::Done {
                run,
                images,
                evaluations,
                seconds,
            } => {
                if let Some(slot) = self.reverse.get_mut(*run) {
                    slot.frames = slot.kept;
                    slot.evaluations = *evaluations;
                    slot.seconds = *seconds;
                    slot.images = Some(Arc::clone(images));
                }
            }
        }
    }

    fn on_train(&mut self, event: &TrainEvent) {
        let train = &mut self.train;
        match event {
            TrainEvent::Opened {
                parameters, step, ..
            } => {
                *train = Train {
                    status: train.status.take(),
                    parameters: *parameters,
                    step: *step,
                    opened: train.opened + 1,
                    ..Train::default()
                };
            }
            TrainEvent::Planned(_) => {}
            TrainEvent::Status(status) => train.status = Some(status.clone()),
            TrainEvent::Step(report, figures) => {
                train.step = report.step;
                train.loss = Some(report.loss);
                train.steps_heard += 1;
                let weight = 1.0 / (train.steps_heard as f32).min(Self::SMOOTH);
                let before = train.smoothed.unwrap_or(report.loss);
                train.smoothed = Some(before + weight * (report.loss - before));
                train.first.get_or_insert(report.loss);
                train.images_per_second = figures.images_per_second;
                train.step_seconds = figures.step_seconds;
            }
            TrainEvent::Preview(_) => self.previews += 1,
            TrainEvent::Saved { step, auto, .. } => train.saved = Some((*step, *auto)),
        }
    }

    /// The images of a finished run of the reverse process.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        expect(dead_code, reason = "the page's tests read it")
    )]
    pub fn reverse_images(&self, run: usize) -> Option<&[f32]> {
        self.reverse.get(run)?.images.as_deref()
    }

    fn value(&self) -> Value {
        let status = self.train.status.as_ref().map(|s| match s {
            TrainStatus::None => "none".to_owned(),
            TrainStatus::Preparing => "preparing".to_owned(),
            TrainStatus::Running => "running".to_owned(),
            TrainStatus::Paused(None) => "paused".to_owned(),
            TrainStatus::Paused(Some(reason)) => format!("paused: {reason}"),
        });
        let train = &self.train;
        let runs = self.reverse.iter().map(|run| {
            json!({
                "sampler": run.sampler, "steps": run.steps, "eta": run.eta, "seed": run.seed,
                "count": run.count, "kept": run.kept, "frames": run.frames, "evaluations": run.evaluations,
                "seconds": run.seconds, "done": run.images.is_some(),
            })
        });
        json!({
            "forward": self.forward,
            "training": {
                "status": status, "step": train.step, "parameters": train.parameters,
                "loss": train.loss, "smoothed": train.smoothed, "first": train.first,
                "heard": train.steps_heard, "opened": train.opened, "saved": train.saved,
                "imagesPerSecond": train.images_per_second, "stepSeconds": train.step_seconds,
                "previews": self.previews,
            },
            "reverse": runs.collect::<Vec<_>>(),
            "probes": self.probes,
            "failures": self.failures,
            "notices": self.told.iter().map(|(text, error)| json!({"text": text, "error": error})).collect::<Vec<_>>(),
            "complaints": self.told.iter().filter(|(_, error)| *error).count(),
            "lost": self.lost,
        })
    }
}

/// Times of frames, and how long input waited for its redraw.
#[derive(Debug, Default)]
pub struct Meter {
    frames: VecDeque<Instant>,
    waits: VecDeque<f64>,
}

impl Meter {
    const KEPT: usize = 2000;
    const SPAN: Duration = Duration::from_secs(2);

    /// A frame is on its way.
    pub fn frame(&mut self, now: Instant) {
        self.frames.push_back(now);
        while (self.frames.front()).is_some_and(|first| now.duration_since(*first) > Self::SPAN) {
            self.frames.pop_front();
        }
    }

    /// Input waited that many milliseconds for a frame that shows what it did.
    pub fn wait(&mut self, milliseconds: f64) {
        self.waits.push_back(milliseconds);
        if self.waits.len() > Self::KEPT {
            self.waits.pop_front();
        }
    }

    /// Frames a second over the last ones, and the waits' p50, p95 and maximum.
    pub fn value(&self) -> Value {
        let mut sorted: Vec<f64> = self.waits.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = sorted.len().checked_sub(1)?;
            sorted.get((share * last as f64).round() as usize).copied()
        };
        json!({
            "framesPerSecond": self.frames.len() as f64 / Self::SPAN.as_secs_f64(),
            "inputToRedraw": {"count": sorted.len(), "p50": at(0.5), "p95": at(0.95), "max": at(1.0)},
        })
    }
}

/// Everything about the app.
pub fn value(shared: &Shared, panels: &[Box<dyn Panel>], current: usize) -> Value {
    let mut rooms = serde_json::Map::new();
    for panel in panels {
        let own = panel.status();
        if !own.is_null() {
            rooms.insert(panel.id().into(), own);
        }
    }
    let data = shared.data.as_ref().map(|d| {
        json!({
            "name": d.name, "train": d.train.len(), "test": d.test.len(),
            "side": d.train.height, "channels": d.train.channels,
        })
    });
    let model = shared
        .model
        .as_ref()
        .map(|m| json!({"name": m.name, "parameters": m.parameters}));
    let mut value = json!({
        "room": panels.get(current).map(|p| p.id()),
        "t": shared.time.t(),
        "timesteps": shared.time.timesteps(),
        "playing": shared.time.playing,
        "seed": shared.seed,
        "adapter": shared.adapter,
        "software": shared.software,
        "data": data,
        "model": model,
        "compiling": shared.compiling.map(|(job, done, of)| json!([format!("{job:?}"), done, of])),
        "rooms": rooms,
    });
    if let (Value::Object(all), Value::Object(watched)) = (&mut value, shared.watch.value()) {
        all.extend(watched);
    }
    value
}

/// Collects where labelled controls are, from what screen readers get; only in tests.
#[derive(Debug, Default)]
pub struct Controls {
    found: Vec<Value>,
}

impl Controls {
    /// Starts collecting.
    #[cfg_attr(
        not(any(test, target_arch = "wasm32")),
        expect(dead_code, reason = "the page's tests read it")
    )]
    pub fn install(ctx: &egui::Context) {
        ctx.enable_accesskit();
        ctx.add_plugin(Self::default());
    }

    /// What is on the screen, if it is collected: label, role, rectangle in points, value.
    #[cfg_attr(
        not(any(test, target_arch = "wasm32")),
        expect(dead_code, reason = "the page's tests read it")
    )]
    pub fn value(ctx: &egui::Context) -> Value {
        ctx.with_plugin(|controls: &mut Self| Value::Array(controls.found.clone()))
            .unwrap_or_default()
    }

    fn take(&mut self, update: &accesskit::TreeUpdate) {
        let text = |node: &accesskit::Node| {
            let own = node.label().or_else(|| node.value());
            own.map(str::to_owned)
        };
        let of = |id: &accesskit::NodeId| update.nodes.iter().find(|(i, _)| i == id);
        self.found.clear();
        for (_, node) in &update.nodes {
            let labelled = || {
                let parts = node.labelled_by().iter().filter_map(of);
                let parts: Vec<String> = parts.filter_map(|(_, n)| text(n)).collect();
                (!parts.is_empty()).then(|| parts.join(" "))
            };
            let Some(label) = node
                .label()
                .map(str::to_owned)
                .or_else(labelled)
                .or_else(|| text(node))
            else {
                continue;
            };
            let Some(r) = node.bounds() else { continue };
            self.found.push(json!({
                "label": label,
                "role": format!("{:?}", node.role()),
                "rect": [r.x0, r.y0, r.x1 - r.x0, r.y1 - r.y0],
                "value": node.value(),
                "number": node.numeric_value(),
                "on": node.toggled().map(|t| t == accesskit::Toggled::True),
                "selected": node.is_selected(),
                "disabled": node.is_disabled(),
            }));
        }
    }
}

impl egui::Plugin for Controls {
    fn debug_name(&self) -> &'static str {
        "controls"
    }

    fn output_hook(&mut self, _ctx: &egui::Context, output: &mut egui::FullOutput) {
        if let Some(update) = &output.platform_output.accesskit_update {
            self.take(update);
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use noiselab::session::{
        event::{Job, TrainFigures},
        link::Link,
        trainer::StepReport,
    };

    use super::*;

    #[test]
    fn training_and_failures_are_summed_up() {
        let (link, _session) = Link::recording();
        let mut shared = Shared::new(link, None);
        for step in 1..=100_u64 {
            let report = StepReport {
                step,
                loss: 1.0 / step as f32,
                mse: 0.0,
                vlb: 0.0,
                grad_norm: 1.0,
                lr: 1e-3,
                ema_decay: 0.9,
                samples: Vec::new(),
            };
            shared.on_event(&Event::Train(TrainEvent::Step(
                report,
                TrainFigures::default(),
            )));
        }
        shared.on_event(&Event::Train(TrainEvent::Status(TrainStatus::Paused(None))));
        shared.on_event(&Event::Failed {
            job: Job::Data,
            message: "no such file".into(),
        });
        let value = value(&shared, &super::super::panels::all(), 0);
        assert_eq!(value["room"], "forward");
        assert_eq!(value["training"]["step"], 100);
        assert_eq!(value["training"]["status"], "paused");
        assert_eq!(value["training"]["first"], 1.0);
        let smoothed = value["training"]["smoothed"].as_f64().unwrap_or_default();
        assert!(smoothed > 0.01 && smoothed < 0.03, "{smoothed}");
        assert_eq!(value["failures"][0], "no such file");
        assert_eq!(value["notices"][0]["error"], true);
    }

    #[test]
    fn waits_are_ranked() {
        let mut meter = Meter::default();
        assert!(meter.value()["inputToRedraw"]["p95"].is_null());
        for ms in (1..=100).rev() {
            meter.wait(f64::from(ms));
        }
        let value = meter.value();
        assert_eq!(value["inputToRedraw"]["p50"], 51.0);
        assert_eq!(value["inputToRedraw"]["p95"], 95.0);
        assert_eq!(value["inputToRedraw"]["max"], 100.0);
    }

    #[test]
    fn controls_have_labels_and_places() {
        let mut harness = egui_kittest::Harness::builder()
            .with_size(egui::vec2(200.0, 100.0))
            .build_ui(|ui| {
                Controls::install(ui.ctx());
                let _ = ui.button("Press");
                let label = ui.label("How much");
                let mut x = 0.5;
                ui.add(egui::Slider::new(&mut x, 0.0..=1.0))
                    .labelled_by(label.id);
            });
        harness.run();
        let value = Controls::value(&harness.ctx);
        let found = |label: &str, role: &str| {
            value.as_array().into_iter().flatten().any(|c| {
                c["label"] == label && c["role"] == role && c["rect"][2].as_f64() > Some(5.0)
            })
        };
        assert!(found("Press", "Button"), "{value}");
        assert!(found("How much", "Slider"), "{value}");
    }
}

//! Training: loss, samples and field change while one watches; slow motion shows a mini-batch.

use std::{ops::RangeInclusive, sync::Arc};

use egui::{Button, Sense, Stroke, Ui};
use noiselab::{
    diffusion::Objective,
    gpu::film::Film,
    nn::mlp::MlpConfig,
    session::{
        command::{Command, StopAt},
        event::{TrainFigures, TrainStatus},
        lab::{
            PRESETS,
            command::{Denoiser, LabCommand, LabTrain, LabTrainSpec},
            event::{LabTrainEvent, Merit, MiniPoint},
        },
    },
};

use super::{
    Lab, View,
    canvas::{Scene, canvas},
    fields::{self, Quantity},
    heat::{self, Hue},
    parts,
};
use crate::ui::{
    panels::{
        flow,
        training::curves::{Curves, Series as Kept},
    },
    shared::Shared,
    strings::lab as s,
    theme,
    widgets::{
        PlotOptions, Series, button, combo, drag, hint, line_plot, log_slider, number,
        primary_button, slider, toggle,
    },
};

/// Points of a mini-batch that are drawn.
const SHOWN: usize = 32;
/// An arrow of a mini-batch is so long that ε of 1 is this many units.
const EPS_SCALE: f32 = 0.4;
/// Seconds between steps in slow motion.
const SLOW: f64 = 2.0;
/// What a network may predict, the best for this room first.
const OBJECTIVES: [Objective; 3] = [
    Objective::VPrediction,
    Objective::Epsilon,
    Objective::Sample,
];
/// Widths of the network to choose from.
pub const WIDTHS: [usize; 5] = [16, 32, 64, 128, 256];
/// Sizes of the mini-batch to choose from.
pub const BATCHES: [usize; 5] = [64, 128, 256, 512, 1024];
/// Residual blocks.
pub const BLOCKS: RangeInclusive<usize> = 1..=6;
/// Learning rates.
pub const RATES: RangeInclusive<f64> = 1e-5..=1e-1;
/// Seconds after which training rests.
pub const SECONDS: RangeInclusive<f64> = 0.0..=3600.0;

/// Samples of the network in training.
#[derive(Debug)]
pub struct Sampled {
    /// Steps done.
    pub step: u64,
    /// The samples.
    pub cloud: Film,
    /// How good they are.
    pub merit: Merit,
}

/// What is known of training.
#[derive(Debug)]
pub struct Training {
    /// What the next run is started with.
    pub spec: LabTrainSpec,
    /// Seconds after which it rests; 0 for never.
    pub seconds: f64,
    /// Whether it goes on.
    pub status: TrainStatus,
    /// Steps done.
    pub step: u64,
    /// Changes when the network has changed and rests.
    pub version: u64,
    /// The newest samples.
    pub sampled: Option<Sampled>,
    parameters: usize,
    curves: Curves,
    wasserstein: Kept,
    floor: Kept,
    figures: Option<TrainFigures>,
    batch: Option<(u64, Arc<[MiniPoint]>)>,
    slow: bool,
    slow_at: f64,
}

impl Default for Training {
    fn default() -> Self {
        let mut training = Self {
            spec: LabTrainSpec {
                network: MlpConfig::default(),
                batch: 256,
                lr: 2e-3,
                ema_decay: 0.995,
                seed: 0,
                stop: StopAt::default(),
                merit_every: 500,
            },
            seconds: 30.0,
            status: TrainStatus::None,
            step: 0,
            version: 0,
            sampled: None,
            parameters: 0,
            curves: Curves::default(),
            wasserstein: Kept::default(),
            floor: Kept::default(),
            figures: None,
            batch: None,
            slow: false,
            slow_at: f64::NEG_INFINITY,
        };
        if let Some(sound) = PRESETS.first() {
            training.set_spec((sound.train)());
        }
        training
    }
}

impl Training {
    /// There is a network.
    pub fn is_open(&self) -> bool {
        self.status != TrainStatus::None
    }

    /// It goes on.
    pub fn is_running(&self) -> bool {
        self.status == TrainStatus::Running
    }

    /// Takes over what a run is to be started with.
    pub fn set_spec(&mut self, spec: LabTrainSpec) {
        self.seconds = spec.stop.seconds.unwrap_or(0.0);
        self.spec = spec;
    }

    /// Nothing is left of the run.
    pub fn clear(&mut self) {
        *self = Self {
            spec: self.spec.clone(),
            seconds: self.seconds,
            version: self.version + 1,
            ..Self::default()
        };
    }

    /// Takes note.
    pub fn on_event(&mut self, event: &LabTrainEvent, timesteps: usize) {
        match event {
            LabTrainEvent::Opened { parameters, .. } => {
                let status = self.status.clone();
                self.clear();
                self.status = match status {
                    TrainStatus::None => TrainStatus::Preparing,
                    other => other,
                };
                self.parameters = *parameters;
            }
            LabTrainEvent::Status(status) => {
                if *status == TrainStatus::None {
                    self.clear();
                }
                self.status = status.clone();
                self.version += 1;
            }
            LabTrainEvent::Step(report, figures) => {
                self.step = report.step;
                self.curves.push(report, timesteps);
                self.figures = Some(*figures);
                if !self.is_running() {
                    self.version += 1;
                }
            }
            LabTrainEvent::Batch { step, points } => {
                self.batch = Some((*step, Arc::clone(points)));
            }
        }
    }

    /// Takes samples.
    pub fn on_merit(&mut self, step: u64, cloud: &Film, merit: &Merit) {
        let x = step as f64;
        self.wasserstein
            .push(x, f64::from(merit.sliced_wasserstein));
        self.floor
            .push(x, f64::from(merit.sliced_wasserstein_floor));
        self.sampled = Some(Sampled {
            step,
            cloud: cloud.clone(),
            merit: merit.clone(),
        });
    }
}

impl Lab {
    pub(super) fn train(&self, shared: &Shared, command: LabTrain) {
        shared.send(Command::Lab(LabCommand::Train(command)));
    }

    /// Nothing comes any more of what was asked of the network.
    pub(super) fn lose_network(&mut self) {
        self.fields.errors = None;
        self.fields.errors_ask.forget();
        self.reverse.lose_network();
    }

    /// Starts anew.
    pub(super) fn start(&mut self, shared: &Shared) {
        let training = &mut self.training;
        training.clear();
        training.status = TrainStatus::Preparing;
        training.spec.stop = StopAt {
            seconds: (training.seconds > 0.0).then_some(training.seconds),
            ..StopAt::default()
        };
        let spec = Box::new(training.spec.clone());
        self.lose_network();
        self.train(shared, LabTrain::Start(spec));
    }

    /// In slow motion a step follows the other.
    pub(super) fn slow_motion(&mut self, ui: &Ui, shared: &Shared) {
        let seen = self.view == View::Training && self.setup.sketch.is_none();
        let rests = matches!(self.training.status, TrainStatus::Paused(_));
        if !self.training.slow || !rests || !seen {
            return;
        }
        let now = ui.input(|i| i.time);
        let due = self.training.slow_at + SLOW;
        if now >= due {
            self.training.slow_at = now;
            self.train(shared, LabTrain::Step);
        } else {
            let wait = std::time::Duration::from_secs_f64((due - now).clamp(0.01, SLOW));
            ui.ctx().request_repaint_after(wait);
        }
    }

    pub(super) fn training_controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.run_section(ui, shared);
        self.setup.distribution_ui(ui, shared);
        self.network_section(ui, shared);
    }

    /// What one does with a run.
    pub(super) fn run_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, s::TRAIN, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            // In slow motion it goes to and fro; what can be done stays the same.
            let slow = self.training.slow && self.training.is_open();
            let resting = slow || matches!(self.training.status, TrainStatus::Paused(_));
            ui.horizontal_wrapped(|ui| match self.training.status {
                TrainStatus::None => {
                    let ready = self.stage.is_some();
                    ui.add_enabled_ui(ready, |ui| {
                        if primary_button(ui, s::START, s::START_HELP).clicked() {
                            self.start(shared);
                        }
                    });
                }
                TrainStatus::Running if !slow => {
                    if primary_button(ui, s::PAUSE, s::PAUSE_HELP).clicked() {
                        self.train(shared, LabTrain::Pause);
                    }
                    if button(ui, s::CLOSE, s::CLOSE_HELP).clicked() {
                        self.train(shared, LabTrain::Close);
                    }
                }
                TrainStatus::Preparing | TrainStatus::Running | TrainStatus::Paused(_) => {
                    ui.add_enabled_ui(resting, |ui| {
                        if primary_button(ui, s::RESUME, s::RESUME_HELP).clicked() {
                            self.training.slow = false;
                            self.training.batch = None;
                            if matches!(self.training.status, TrainStatus::Paused(Some(_))) {
                                // It would rest again at once, for the same reason.
                                self.train(shared, LabTrain::StopAt(StopAt::default()));
                            }
                            self.train(shared, LabTrain::Resume);
                        }
                    });
                    if button(ui, s::AGAIN, s::START_HELP).clicked() {
                        self.start(shared);
                    }
                    if button(ui, s::CLOSE, s::CLOSE_HELP).clicked() {
                        self.train(shared, LabTrain::Close);
                    }
                }
            });
            let open = self.training.is_open() && self.training.status != TrainStatus::Preparing;
            ui.horizontal_wrapped(|ui| {
                let step = ui
                    .add_enabled(open, Button::new(s::STEP))
                    .on_hover_text(s::STEP_HELP);
                if step.clicked() {
                    self.training.slow = false;
                    self.train(shared, LabTrain::Step);
                }
                ui.add_enabled_ui(open, |ui| {
                    let slow = &mut self.training.slow;
                    if toggle(ui, slow, s::SLOW, s::SLOW_HELP).changed() && *slow {
                        self.training.slow_at = f64::NEG_INFINITY;
                        if self.training.is_running() {
                            self.train(shared, LabTrain::Pause);
                        }
                    }
                });
            });
            match &self.training.status {
                TrainStatus::None => hint(ui, s::NO_NETWORK),
                TrainStatus::Preparing => hint(ui, s::PREPARING),
                TrainStatus::Running | TrainStatus::Paused(_) if slow => hint(ui, s::SLOWLY),
                TrainStatus::Running => hint(ui, s::RUNNING),
                TrainStatus::Paused(None) => hint(ui, s::RESTING),
                TrainStatus::Paused(Some(reason)) => hint(ui, &s::resting(reason)),
            };
        });
    }

    fn network_section(&mut self, ui: &mut Ui, shared: &Shared) {
        let open = self.training.is_open();
        let mut rate = None;
        theme::section(ui, s::NETWORK, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            ui.add_enabled_ui(!open, |ui| {
                let options: Vec<(Objective, &str)> =
                    OBJECTIVES.map(|o| (o, s::objective(o))).to_vec();
                let objective = &mut self.setup.objective;
                let (label, help) = (s::PREDICTS, s::PREDICTS_HELP);
                combo(ui, "lab predicts", label, help, objective, &options);
            });
            let spec = &mut self.training.spec;
            let names = WIDTHS.map(|n| n.to_string());
            let mut options: Vec<(usize, &str)> = WIDTHS
                .into_iter()
                .zip(names.iter().map(String::as_str))
                .collect();
            let own = spec.network.width.to_string();
            if !WIDTHS.contains(&spec.network.width) {
                options.insert(0, (spec.network.width, &own));
            }
            let width = &mut spec.network.width;
            combo(ui, "lab width", s::WIDTH, s::WIDTH_HELP, width, &options);
            let blocks = &mut spec.network.blocks;
            slider(ui, blocks, BLOCKS, s::BLOCKS, s::BLOCKS_HELP);
            let (label, help) = (s::TIME_EMBEDDING, s::TIME_EMBEDDING_HELP);
            toggle(ui, &mut spec.network.time_embedding, label, help);
            let names = BATCHES.map(|n| n.to_string());
            let options: Vec<(usize, &str)> = BATCHES
                .into_iter()
                .zip(names.iter().map(String::as_str))
                .collect();
            combo(
                ui,
                "lab batch",
                s::BATCH,
                s::BATCH_HELP,
                &mut spec.batch,
                &options,
            );
            ui.scope(|ui| {
                // Its number is wide.
                ui.set_max_width(ui.available_width() - theme::PAD);
                if log_slider(ui, &mut spec.lr, RATES, s::RATE, s::RATE_HELP).changed() {
                    rate = Some(spec.lr);
                }
            });
            let seconds = &mut self.training.seconds;
            let (label, help) = (s::STOP_AFTER, s::STOP_AFTER_HELP);
            drag(ui, seconds, SECONDS, label, help);
            flow::flow(ui, |ui| {
                if self.training.parameters > 0 {
                    let count = self.training.parameters.to_string();
                    flow::figure(ui, s::F_PARAMETERS, &count, s::F_PARAMETERS_HELP);
                }
            });
        });
        if let Some(rate) = rate.filter(|_| open) {
            self.train(shared, LabTrain::LearningRate(rate));
        }
    }

    pub(super) fn training_view(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, "", |ui| {
            let (side, columns) = parts::fit(ui, 2, 96.0);
            parts::rows(ui, 2, side, columns, |ui, i| {
                if i == 0 {
                    self.samples_canvas(ui, shared, side);
                } else if self.training.batch.is_some() {
                    self.batch_canvas(ui, side);
                } else {
                    self.field_now(ui, shared, side);
                }
            });
            if let Some(sampled) = &self.training.sampled {
                ui.add_space(theme::UNIT);
                parts::merit_figures(ui, &sampled.merit);
            }
        });
        self.learning_section(ui);
        self.coverage_section(ui);
    }

    /// Samples of the network over the data.
    pub(super) fn samples_canvas(&mut self, ui: &mut Ui, shared: &mut Shared, side: f32) {
        parts::caption(ui, s::SAMPLES);
        let data = self.forward.data().cloned();
        let sampled = self.training.sampled.as_ref();
        let label = s::samples_canvas(sampled.map_or(0, |s| s.step));
        let blue = theme::series(ui, 1);
        canvas(ui, side, &label, Sense::hover(), |ui, scene| {
            if let Some(data) = &data {
                let tint = blue.gamma_multiply(0.6);
                scene.cloud(shared, &data.clouds, 0, tint);
            }
            match sampled {
                Some(s) => scene.cloud(shared, &s.cloud, 0, theme::accent(ui)),
                None => {
                    if data.is_none() {
                        scene.note(ui, s::NO_SAMPLES);
                    }
                }
            }
        });
        let accent = theme::accent(ui);
        parts::legend(ui, &[(blue, s::LEGEND_DATA), (accent, s::LEGEND_SAMPLES)]);
    }

    /// The network's field over the exact one.
    fn field_now(&mut self, ui: &mut Ui, shared: &Shared, side: f32) {
        parts::caption(ui, s::FIELD_NOW);
        let view = self.fields.view.clone();
        let t = shared.time.t().max(1);
        let label = s::field_canvas(s::LEARNED, t);
        let strong = theme::strong(ui);
        let accent = theme::accent(ui);
        let heats = &mut self.heats;
        canvas(ui, side, &label, Sense::hover(), |ui, scene| {
            let Some(view) = view else {
                scene.note(ui, s::WAITING);
                return;
            };
            super::forward::density(ui, scene, heats, "field", &view.density, fields::GROUND);
            let stride = fields::stride(view.exact.side, 20, scene.rect.width());
            let mut pen = scene.pen();
            let score = Quantity::Score;
            let longest = fields::longest(&view.exact, view.alpha_bar, score);
            let of = |v| score.of(v, view.alpha_bar);
            fields::arrows(&mut pen, scene, &view.exact, of, longest, stride, strong);
            if let Some(grid) = &view.learned {
                fields::arrows(&mut pen, scene, grid, of, longest, stride, accent);
            }
            pen.draw(&scene.painter);
        });
        let both = [(strong, s::LEGEND_EXACT), (accent, s::LEGEND_LEARNED)];
        parts::legend(ui, &both);
    }

    /// A mini-batch: what was asked, what was answered, and where the loss pulls.
    fn batch_canvas(&mut self, ui: &mut Ui, side: f32) {
        let Some((step, points)) = self.training.batch.clone() else {
            return;
        };
        // The times of a mini-batch rise from its first point to its last.
        let every = (points.len() / SHOWN).max(1);
        let some: Vec<MiniPoint> = points.iter().step_by(every).take(SHOWN).cloned().collect();
        let shown = some.len();
        parts::caption(ui, &s::batch_title(step, shown, points.len()));
        let dark = ui.visuals().dark_mode;
        let timesteps = self.setup.timesteps.max(1) as f32;
        let (target, learned, pull) = batch_colours(ui);
        let t_colour =
            |t: usize| heat::colour(Hue::Density, dark, 1.0 - 0.65 * t as f32 / timesteps);
        let label = s::batch_canvas(step);
        let (near, response) = canvas(ui, side, &label, Sense::hover(), |ui, scene| {
            let mut pen = scene.pen();
            let unit = EPS_SCALE * scene.scale();
            let along = |p: [f32; 2], length: f32| egui::vec2(p[0], -p[1]) * length;
            // The loss pulls along ε − ε̂, by a small amount: drawn so that the strongest is as long as the error.
            let size = |p: [f32; 2]| p[0].hypot(p[1]);
            let strongest = some.iter().map(|p| size(p.pull)).fold(0.0, f32::max);
            let worst = some
                .iter()
                .map(|p| size([p.eps[0] - p.eps_hat[0], p.eps[1] - p.eps_hat[1]]))
                .fold(0.0, f32::max);
            let ratio = if strongest > 0.0 {
                worst / strongest
            } else {
                0.0
            };
            for p in &some {
                let at = scene.place(p.x_t);
                pen.arrow(at, along(p.eps, unit), 1.4, target);
                let answer = along(p.eps_hat, unit);
                pen.arrow(at, answer, 1.8, learned);
                pen.arrow(at + answer, along(p.pull, unit * ratio), 1.2, pull);
            }
            for p in &some {
                pen.dot(scene.place(p.x_t), 3.2, t_colour(p.t));
            }
            let near = near(scene, &some).cloned();
            if let Some(p) = &near {
                // Where it came from.
                let (from, at) = (scene.place(p.x0), scene.place(p.x_t));
                let strong = theme::strong(ui);
                pen.line(&[from, at], 1.0, |_| strong);
                pen.draw(&scene.painter);
                let stroke = Stroke::new(1.5, strong);
                scene.painter.circle_stroke(from, 4.0, stroke);
                scene.painter.circle_stroke(at, 6.0, stroke);
            } else {
                pen.draw(&scene.painter);
            }
            near
        });
        if let Some(p) = near {
            response.on_hover_text_at_pointer(s::mini_point(&p));
        }
        let entries = [
            (t_colour(0), s::LEGEND_T),
            (target, s::LEGEND_EPS),
            (learned, s::LEGEND_EPS_HAT),
            (pull, s::LEGEND_PULL),
        ];
        parts::legend(ui, &entries);
        hint(ui, s::BATCH_HINT);
    }

    pub(super) fn learning_section(&self, ui: &mut Ui) {
        let training = &self.training;
        if training.curves.loss.is_empty() {
            return;
        }
        theme::section(ui, s::LEARNING, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            flow::flow(ui, |ui| {
                flow::figure(ui, s::F_STEP, &training.step.to_string(), s::F_STEP_HELP);
                let loss = training
                    .curves
                    .smoothed()
                    .map_or_else(|| "–".into(), number);
                flow::figure(ui, s::F_LOSS, &loss, s::F_LOSS_HELP);
                if let Some(f) = training.figures {
                    let speed = number(f.images_per_second.round());
                    flow::figure(ui, s::F_SPEED, &speed, s::F_SPEED_HELP);
                    flow::figure(ui, s::F_SECONDS, &s::seconds(f.seconds), s::F_SECONDS_HELP);
                }
            });
            if ui.available_width() < 560.0 {
                self.loss_plot(ui);
                self.by_t_plot(ui);
            } else {
                ui.spacing_mut().item_spacing.x = theme::PAD;
                ui.columns_const(|[first, second]| {
                    self.loss_plot(first);
                    self.by_t_plot(second);
                });
            }
        });
    }

    fn loss_plot(&self, ui: &mut Ui) {
        let curves = &self.training.curves;
        let series = curves.loss_series(ui, s::LOSS_RAW, s::LOSS_SMOOTH);
        let options = PlotOptions {
            x_label: s::STEP_AXIS,
            y_label: s::LOSS_AXIS,
            log_y: true,
            height: 176.0,
            ..PlotOptions::default()
        };
        line_plot(ui, "lab loss", options, &series);
    }

    fn by_t_plot(&self, ui: &mut Ui) {
        let labels = [s::T_AXIS, s::BY_T_AXIS];
        (self.training.curves).by_t_plot(ui, "lab by t", self.setup.timesteps, labels);
    }

    fn wasserstein_plot(&self, ui: &mut Ui) {
        let series = [
            Series {
                name: s::FLOOR,
                points: self.training.floor.points().collect(),
                colour: theme::series(ui, 1),
                faint: false,
            },
            Series {
                name: s::MEASURED,
                points: self.training.wasserstein.points().collect(),
                colour: theme::series(ui, 0),
                faint: false,
            },
        ];
        let options = PlotOptions {
            x_label: s::STEP_AXIS,
            y_label: s::WASSERSTEIN_AXIS,
            log_y: true,
            height: 176.0,
            ..PlotOptions::default()
        };
        line_plot(ui, "lab wasserstein", options, &series);
    }

    pub(super) fn coverage_section(&self, ui: &mut Ui) {
        let Some(sampled) = &self.training.sampled else {
            return;
        };
        // One measurement is no curve.
        let curve = self.training.wasserstein.points().count() > 1;
        let modes = !sampled.merit.modes.is_empty();
        if !curve && !modes {
            return;
        }
        theme::section(ui, s::MERIT, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let merit = &sampled.merit;
            if curve && modes && ui.available_width() >= 560.0 {
                ui.spacing_mut().item_spacing.x = theme::PAD;
                ui.columns_const(|[first, second]| {
                    self.wasserstein_plot(first);
                    parts::coverage(second, "lab modes", merit, 176.0);
                });
                return;
            }
            if curve {
                self.wasserstein_plot(ui);
            }
            parts::coverage(ui, "lab modes", merit, 176.0);
        });
    }

    /// What predicts for fields: the network, if there is one.
    pub(super) fn denoiser(&self) -> Denoiser {
        if !self.training.is_open() || self.training.status == TrainStatus::Preparing {
            Denoiser::Exact
        } else if self.fields.raw {
            Denoiser::Raw
        } else {
            Denoiser::Learned
        }
    }
}

/// The point under the pointer, or nearly.
fn near<'a>(scene: &Scene, points: &'a [MiniPoint]) -> Option<&'a MiniPoint> {
    const REACH: f32 = 14.0;
    let pointer = scene.response.hover_pos()?;
    (points.iter())
        .map(|p| (p, scene.place(p.x_t).distance(pointer)))
        .filter(|(_, far)| *far <= REACH)
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(p, _)| p)
}

/// ε, ε̂ and the pull.
fn batch_colours(ui: &Ui) -> (egui::Color32, egui::Color32, egui::Color32) {
    let accent = theme::accent(ui);
    (theme::strong(ui), accent, accent.gamma_multiply(0.55))
}

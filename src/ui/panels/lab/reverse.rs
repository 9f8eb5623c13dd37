//! Reverse: the same noise led down by several samplers; one point's paths; the density that the model has.

use std::{ops::RangeInclusive, sync::Arc};

use egui::{Color32, CursorIcon, Key, ProgressBar, Sense, Stroke, Ui, vec2};
use noiselab::{
    data::points::Point,
    gpu::film::Film,
    session::{
        command::Command,
        event::ReverseFrame,
        lab::{
            EXTENT,
            command::{Denoiser, LabCommand, LabReverse, LabRun, LikelihoodRequest, PathsRequest},
            event::{LabReverseEvent, LikelihoodView, Merit, PathsView},
        },
    },
};

use super::{
    Lab,
    ask::Asker,
    canvas::{Scene, canvas},
    forward,
    heat::Hue,
    parts,
    pen::Pen,
};
use crate::ui::{
    panels::flow,
    shared::Shared,
    strings::lab as s,
    theme,
    widgets::{button, combo, drag, hint, number, primary_button, segmented, slider, toggle},
};

/// Samplers to choose from.
pub const SAMPLERS: [&str; 4] = ["ddpm", "ddim", "pf_ode", "langevin"];
/// Samplers side by side, at most.
pub const MOST: usize = 4;
/// Particles.
const COUNT: usize = 10_000;
/// Steps at most.
pub const MOST_STEPS: usize = 1000;
/// Paths from one point.
pub const FANS: RangeInclusive<usize> = 1..=64;
/// Width of the words beside the canvas of one point's paths.
const BESIDE: f32 = 200.0;
/// Points that are drawn of a path with noise.
const TAIL: usize = 10;
/// Trajectories that are drawn.
const PATHS: usize = 40;
/// Cells a side of the model's density.
const SIDE: usize = 64;
/// Steps of its integration.
const STEPS: usize = 50;

/// What the view looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Many particles.
    Flow,
    /// One point's paths.
    Paths,
    /// The model's density.
    Density,
}

/// A sampler as it is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Of [`SAMPLERS`].
    pub sampler: &'static str,
    /// Steps.
    pub steps: usize,
    /// DDIM's η.
    pub eta: f64,
}

impl Choice {
    /// With η of 0.
    pub const fn new(sampler: &'static str, steps: usize) -> Self {
        Self {
            sampler,
            steps,
            eta: 0.0,
        }
    }
}

/// Whether η means something to a sampler.
pub fn takes_eta(sampler: &str) -> bool {
    sampler == "ddim"
}

/// Whether a sampler adds noise on its way.
fn is_noisy(run: &LabRun) -> bool {
    match run.sampler.as_str() {
        "pf_ode" => false,
        "ddim" => run.eta > 0.0,
        _ => true,
    }
}

/// One run of the request that is shown.
#[derive(Debug)]
pub struct Run {
    choice: LabRun,
    cloud: Film,
    frames: Arc<[ReverseFrame]>,
    arrived: usize,
    evaluations: usize,
    /// What came of it, when it is done.
    pub done: Option<Done>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Done {
    /// All particles.
    pub samples: Arc<[Point]>,
    paths: Arc<[Vec<Point>]>,
    /// How good they are.
    pub merit: Merit,
    /// Time that the device took.
    pub seconds: f64,
}

impl Run {
    /// There are modes whose shares can be shown.
    pub fn has_modes(&self) -> bool {
        (self.done.as_ref()).is_some_and(|d| !d.merit.modes.is_empty())
    }

    /// The frame to show at t: the newest while it goes on.
    fn frame(&self, t: usize) -> Option<usize> {
        let there = &self.frames[..self.arrived.min(self.frames.len())];
        if self.done.is_none() {
            return there.len().checked_sub(1);
        }
        (0..there.len()).min_by_key(|&k| there[k].t.abs_diff(t))
    }
}

/// What the reverse view shows.
#[derive(Debug)]
pub struct Reverse {
    /// What it looks at.
    pub mode: Mode,
    /// The exact answer in place of the network.
    pub exact: bool,
    /// Samplers.
    pub choices: Vec<Choice>,
    /// Particles.
    pub count: usize,
    /// Runs of the request that is shown.
    pub runs: Vec<Run>,
    request: Option<Arc<LabReverse>>,
    /// A request is being worked on.
    pub busy: bool,
    /// It needs the network.
    pub learned: bool,
    /// Time is to run when all is there.
    play: bool,
    /// Trajectories are shown.
    pub trajectories: bool,
    /// q(x_t) is shown.
    pub density: bool,
    /// Requests, each with the state of the network that it was meant for.
    pub paths_ask: Asker<(PathsRequest, u64)>,
    /// The answer.
    pub paths: Option<Arc<PathsView>>,
    /// x_T of the paths.
    pub start: Point,
    /// Paths a sampler.
    pub fan: usize,
    /// Requests, each with the state of the network that it was meant for.
    pub likelihood_ask: Asker<(LikelihoodRequest, u64)>,
    /// The answer.
    pub likelihood: Option<Arc<LikelihoodView>>,
}

impl Default for Reverse {
    fn default() -> Self {
        Self {
            mode: Mode::Flow,
            exact: false,
            choices: vec![
                Choice::new("ddpm", 100),
                Choice::new("ddim", 20),
                Choice::new("pf_ode", 20),
                Choice::new("langevin", 100),
            ],
            count: COUNT,
            runs: Vec::new(),
            request: None,
            busy: false,
            learned: false,
            play: false,
            trajectories: true,
            density: true,
            paths_ask: Asker::default(),
            paths: None,
            start: [0.9, 0.7],
            fan: 12,
            likelihood_ask: Asker::default(),
            likelihood: None,
        }
    }
}

impl Reverse {
    /// What was computed is of another stage.
    pub fn clear(&mut self) {
        self.learned = false;
        self.runs.clear();
        self.request = None;
        self.busy = false;
        self.play = false;
        self.paths = None;
        self.paths_ask.forget();
        self.likelihood = None;
        self.likelihood_ask.forget();
    }

    /// The network is gone, and what was to be computed with it.
    pub fn lose_network(&mut self) {
        if self.learned {
            self.busy = false;
            self.play = false;
        }
        self.likelihood_ask.forget();
    }

    /// Takes note.
    pub fn on_event(&mut self, event: &LabReverseEvent) {
        match event {
            LabReverseEvent::Started {
                request,
                run,
                cloud,
                frames,
            } => {
                let Some(choice) = request.runs.get(*run) else {
                    return;
                };
                self.runs.truncate(*run);
                self.runs.push(Run {
                    choice: choice.clone(),
                    cloud: cloud.clone(),
                    frames: Arc::clone(frames),
                    arrived: 0,
                    evaluations: 0,
                    done: None,
                });
                self.request = Some(Arc::clone(request));
            }
            LabReverseEvent::Progress {
                run,
                frames,
                evaluations,
            } => {
                if let Some(run) = self.runs.get_mut(*run) {
                    run.arrived = *frames;
                    run.evaluations = *evaluations;
                }
            }
            LabReverseEvent::Done {
                run,
                samples,
                paths,
                merit,
                evaluations,
                seconds,
            } => {
                let last = (self.request.as_ref()).is_some_and(|r| run + 1 == r.runs.len());
                if let Some(run) = self.runs.get_mut(*run) {
                    run.arrived = run.frames.len();
                    run.evaluations = *evaluations;
                    run.done = Some(Done {
                        samples: Arc::clone(samples),
                        paths: Arc::clone(paths),
                        merit: merit.clone(),
                        seconds: *seconds,
                    });
                }
                if last {
                    self.busy = false;
                }
            }
        }
    }

    /// Lets time run from noise to data when everything is there.
    pub fn follow(&mut self, shared: &mut Shared) {
        let ready = self.play && !self.busy && self.runs.iter().all(|r| r.done.is_some());
        if ready && !self.runs.is_empty() {
            self.play = false;
            let time = &mut shared.time;
            time.forward = false;
            time.set_t(time.timesteps());
            time.playing = true;
        }
    }
}

impl Lab {
    /// What predicts in the reverse process.
    pub(super) fn predictor(&self) -> Denoiser {
        if self.reverse.exact {
            Denoiser::Exact
        } else {
            self.denoiser()
        }
    }

    fn lab_runs(&self) -> Vec<LabRun> {
        let denoiser = self.predictor();
        (self.reverse.choices.iter())
            .map(|c| LabRun {
                sampler: c.sampler.to_owned(),
                steps: c.steps.clamp(1, self.setup.timesteps),
                eta: if takes_eta(c.sampler) { c.eta } else { 0.0 },
                denoiser,
            })
            .collect()
    }

    /// What the settings ask for.
    pub(super) fn wanted_reverse(&self, shared: &Shared) -> LabReverse {
        LabReverse {
            seed: shared.seed,
            count: self.reverse.count,
            runs: self.lab_runs(),
        }
    }

    /// Begins.
    pub(super) fn draw(&mut self, shared: &mut Shared) {
        let request = self.wanted_reverse(shared);
        self.reverse.learned = self.predictor() != Denoiser::Exact;
        shared.send(Command::Lab(LabCommand::Reverse(request)));
        shared.time.playing = false;
        self.reverse.runs.clear();
        self.reverse.busy = true;
        self.reverse.play = true;
    }

    /// The state of the network that answers are of.
    fn version(&self) -> u64 {
        if self.predictor() == Denoiser::Exact {
            0
        } else {
            self.training.version
        }
    }

    /// Asks for what the view shows.
    pub(super) fn ask_reverse(&mut self, shared: &Shared) {
        let version = self.version();
        match self.reverse.mode {
            Mode::Flow => {}
            Mode::Paths => {
                let request = PathsRequest {
                    start: self.reverse.start,
                    fan: self.reverse.fan,
                    seed: shared.seed,
                    runs: self.lab_runs(),
                };
                if let Some((request, _)) = self.reverse.paths_ask.want((request, version)) {
                    shared.send(Command::Lab(LabCommand::Paths(request)));
                }
            }
            Mode::Density => {
                let request = LikelihoodRequest {
                    side: SIDE,
                    steps: STEPS.min(self.setup.timesteps),
                    denoiser: self.predictor(),
                };
                if let Some((request, _)) = self.reverse.likelihood_ask.want((request, version)) {
                    shared.send(Command::Lab(LabCommand::Likelihood(request)));
                }
            }
        }
    }

    pub(super) fn reverse_controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, "", |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let options = [
                (Mode::Flow, s::FLOW),
                (Mode::Paths, s::PATHS),
                (Mode::Density, s::LIKELIHOOD),
            ];
            segmented(ui, s::MODE, s::MODE_HELP, &mut self.reverse.mode, &options);
            let mut exact = self.predictor() == Denoiser::Exact;
            let has_network = self.denoiser() != Denoiser::Exact;
            let options = [(false, s::PREDICT_LEARNED), (true, s::PREDICT_EXACT)];
            let (label, help) = (s::PREDICTION, s::PREDICTION_HELP);
            ui.add_enabled_ui(has_network, |ui| {
                if segmented(ui, label, help, &mut exact, &options).changed() {
                    self.reverse.exact = exact;
                }
            });
            if !has_network {
                hint(ui, s::EXACT_ONLY);
            }
            match self.reverse.mode {
                Mode::Flow => self.flow_controls(ui, shared),
                Mode::Paths => {
                    let fan = &mut self.reverse.fan;
                    slider(ui, fan, FANS, s::FAN, s::FAN_HELP);
                }
                Mode::Density => {
                    let waiting = self.reverse.likelihood_ask.is_waiting();
                    ui.add_enabled_ui(!waiting, |ui| {
                        let (label, help) = (s::MEASURE_DENSITY, s::MEASURE_DENSITY_HELP);
                        if button(ui, label, help).clicked() {
                            self.reverse.likelihood_ask.renew();
                        }
                    });
                }
            }
        });
        if self.reverse.mode != Mode::Density {
            self.samplers_section(ui);
        }
        self.setup.distribution_ui(ui, shared);
    }

    fn flow_controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        flow::flow(ui, |ui| {
            flow::item(ui, 56.0, |ui| {
                let most = u64::from(u32::MAX);
                drag(ui, &mut shared.seed, 0..=most, s::SEED, s::SEED_HELP);
            });
            let width = flow::button_width(ui, s::NEW_SEED);
            flow::lowered(ui, width, |ui| {
                if button(ui, s::NEW_SEED, s::NEW_SEED_HELP).clicked() {
                    // Short enough to be told.
                    shared.seed = (shared.seed.wrapping_mul(7919) + 104_729) % 100_000;
                    self.draw(shared);
                }
            });
        });
        ui.horizontal_wrapped(|ui| {
            ui.add_enabled_ui(self.stage.is_some(), |ui| {
                if primary_button(ui, s::SAMPLE, s::SAMPLE_HELP).clicked() {
                    self.draw(shared);
                }
            });
            ui.add_enabled_ui(self.reverse.busy, |ui| {
                if button(ui, s::STOP, s::STOP_HELP).clicked() {
                    shared.send(Command::Lab(LabCommand::StopReverse));
                    self.reverse.busy = false;
                    self.reverse.play = false;
                }
            });
        });
        let reverse = &mut self.reverse;
        let (label, help) = (s::PATH_LINES, s::PATH_LINES_HELP);
        toggle(ui, &mut reverse.trajectories, label, help);
        toggle(ui, &mut reverse.density, s::DENSITY, s::DENSITY_HELP);
        let wanted = self.wanted_reverse(shared);
        let changed = (self.reverse.request.as_deref()).is_some_and(|r| *r != wanted);
        if changed && !self.reverse.busy {
            hint(ui, s::CHANGED);
        }
    }

    fn samplers_section(&mut self, ui: &mut Ui) {
        let most = self.setup.timesteps;
        theme::section(ui, s::SAMPLERS, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let options = SAMPLERS.map(|name| (name, s::sampler_name(name)));
            let choices = &mut self.reverse.choices;
            let mut remove = None;
            let count = choices.len();
            for (i, choice) in choices.iter_mut().enumerate() {
                let n = i + 1;
                flow::flow(ui, |ui| {
                    ui.spacing_mut().item_spacing.x = theme::GAP;
                    flow::item(ui, 100.0, |ui| {
                        let label = s::numbered(s::SAMPLER, n);
                        let (id, selected) = (format!("lab {label}"), &mut choice.sampler);
                        combo(ui, &id, &label, s::SAMPLER_HELP, selected, &options);
                    });
                    flow::item(ui, 50.0, |ui| {
                        // A small T is no reason to forget what was set for a larger one.
                        let mut steps = choice.steps.clamp(1, most);
                        let label = s::numbered(s::STEPS, n);
                        if drag(ui, &mut steps, 1..=most, &label, s::STEPS_HELP).changed() {
                            choice.steps = steps;
                        }
                    });
                    flow::item(ui, 44.0, |ui| {
                        ui.add_enabled_ui(takes_eta(choice.sampler), |ui| {
                            // A point of the pointer is a unit of the number.
                            let mut percent = (100.0 * choice.eta).round() as u32;
                            let label = s::numbered(s::ETA_PERCENT, n);
                            if drag(ui, &mut percent, 0..=100, &label, s::ETA_HELP).changed() {
                                choice.eta = f64::from(percent) / 100.0;
                            }
                        });
                    });
                    if count > 1 {
                        flow::lowered(ui, 28.0, |ui| {
                            let name = s::numbered(s::REMOVE, n);
                            let response = ui
                                .add(egui::Button::new("×").min_size(vec2(28.0, 28.0)))
                                .accessible_name(name)
                                .on_hover_text(s::REMOVE_HELP);
                            if response.clicked() {
                                remove = Some(i);
                            }
                        });
                    }
                });
            }
            if let Some(i) = remove {
                choices.remove(i);
            }
            if choices.len() < MOST && button(ui, s::ADD, s::ADD_HELP).clicked() {
                let free = SAMPLERS
                    .into_iter()
                    .find(|name| choices.iter().all(|c| c.sampler != *name));
                choices.push(Choice::new(free.unwrap_or("ddim"), 20.min(most)));
            }
        });
    }

    pub(super) fn reverse_view(&mut self, ui: &mut Ui, shared: &mut Shared) {
        match self.reverse.mode {
            Mode::Flow => self.flow_view(ui, shared),
            Mode::Paths => self.paths_view(ui),
            Mode::Density => self.density_view(ui),
        }
    }

    /// The runs side by side.
    pub(super) fn flow_view(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let n = if self.reverse.busy || self.reverse.runs.is_empty() {
            self.reverse.choices.len()
        } else {
            self.reverse.runs.len()
        };
        theme::section(ui, "", |ui| {
            let (side, columns) = parts::fit(ui, n, 96.0);
            parts::rows(ui, n, side, columns, |ui, i| {
                self.run_ui(ui, shared, side, i, None)
            });
        });
        let with_modes: Vec<usize> = (0..self.reverse.runs.len())
            .filter(|&i| self.reverse.runs[i].has_modes())
            .collect();
        if with_modes.is_empty() {
            return;
        }
        theme::section(ui, s::MERIT, |ui| {
            let (width, columns) = parts::fit(ui, with_modes.len(), -400.0);
            parts::rows(ui, with_modes.len(), width, columns, |ui, k| {
                let run = &self.reverse.runs[with_modes[k]];
                let Some(done) = &run.done else { return };
                parts::caption(ui, s::sampler_title(&run.choice.sampler));
                let id = format!("lab modes {k}");
                parts::coverage(ui, &id, &done.merit, 144.0);
            });
        });
    }

    /// One run; `title` in place of its sampler's.
    pub(super) fn run_ui(
        &mut self,
        ui: &mut Ui,
        shared: &mut Shared,
        side: f32,
        i: usize,
        title: Option<&str>,
    ) {
        let t = shared.time.t();
        let run = self.reverse.runs.get(i);
        let (sampler, steps, eta) = match (run, self.reverse.choices.get(i)) {
            (Some(run), _) => (
                run.choice.sampler.as_str(),
                run.choice.steps,
                run.choice.eta,
            ),
            (None, Some(c)) => (c.sampler, c.steps, c.eta),
            (None, None) => return,
        };
        let eta = takes_eta(sampler).then_some(eta);
        let own = s::run_title(sampler, steps, eta);
        let text = title.map_or_else(|| own.clone(), |t| format!("{t}: {own}"));
        parts::caption(ui, &text);
        let frame = run.and_then(|r| r.frame(t));
        let shown_t = match (run, frame) {
            (Some(run), Some(k)) => run.frames[k].t,
            _ => t,
        };
        let label = s::run_canvas(i + 1, sampler, shown_t);
        let (busy, under) = (self.reverse.busy, self.reverse.density);
        let density = self.forward.view.clone();
        let heats = &mut self.heats;
        let trajectories = self.reverse.trajectories;
        canvas(ui, side, &label, Sense::hover(), |ui, scene| {
            if under && let Some(grid) = density.as_ref().and_then(|v| v.density.first()) {
                forward::density(ui, scene, heats, "forward", grid, forward::UNDER);
            }
            let (Some(run), Some(frame)) = (run, frame) else {
                scene.note(ui, if busy { s::COMES_NEXT } else { s::NOT_DRAWN });
                return;
            };
            scene.cloud(shared, &run.cloud, frame, theme::accent(ui));
            if trajectories && let Some(done) = &run.done {
                let mut pen = scene.pen();
                let colour = theme::strong(ui);
                // Noise makes a tangle of whole paths: of those the last steps are enough.
                let (count, tail) = if is_noisy(&run.choice) {
                    (PATHS / 2, TAIL)
                } else {
                    (PATHS, usize::MAX)
                };
                let every = (done.paths.len() / count).max(1);
                for path in done.paths.iter().step_by(every).take(count) {
                    let end = path.len().min(frame + 1);
                    let path = &path[end.saturating_sub(tail)..end];
                    draw_path(&mut pen, scene, path, colour, 0.5);
                }
                pen.draw(&scene.painter);
            }
        });
        let Some(run) = self.reverse.runs.get(i) else {
            return;
        };
        if let Some(done) = &run.done {
            flow::flow(ui, |ui| {
                ui.spacing_mut().item_spacing = vec2(12.0, theme::UNIT);
                let merit = &done.merit;
                let value = s::with_floor(
                    &number(f64::from(merit.sliced_wasserstein)),
                    &number(f64::from(merit.sliced_wasserstein_floor)),
                );
                flow::figure(ui, s::WASSERSTEIN, &value, s::WASSERSTEIN_HELP);
                let value = number(f64::from(merit.energy));
                flow::figure(ui, s::ENERGY, &value, s::ENERGY_HELP);
                let evaluations = run.evaluations.to_string();
                flow::figure(ui, s::EVALUATIONS, &evaluations, s::EVALUATIONS_HELP);
                let seconds = s::seconds(done.seconds);
                flow::figure(ui, s::F_SECONDS, &seconds, s::RUN_SECONDS_HELP);
            });
        } else if self.reverse.busy {
            let share = run.arrived as f32 / run.frames.len().max(1) as f32;
            ui.add(ProgressBar::new(share).desired_height(4.0));
        }
    }

    fn paths_view(&mut self, ui: &mut Ui) {
        theme::section(ui, "", |ui| {
            let (whole, _) = parts::fit(ui, 1, 0.0);
            // Where there is room, words stand beside the canvas.
            let beside = ui.available_width() - whole >= BESIDE;
            let side = if beside || theme::is_phone(ui) {
                whole
            } else {
                parts::fit(ui, 1, 96.0).0
            };
            let view = self.reverse.paths.clone();
            let data = self.forward.data().cloned();
            let heats = &mut self.heats;
            let first = self.reverse.start;
            let runs = view.as_ref().map_or(0, |v| v.request.runs.len());
            let colours: Vec<Color32> = (0..runs).map(|i| run_colour(ui, i)).collect();
            let mut draw = |ui: &mut Ui| {
                canvas(
                    ui,
                    side,
                    s::PATHS_CANVAS,
                    Sense::click_and_drag(),
                    |ui, scene| {
                        let mut start = first;
                        if let Some(grid) = data.as_ref().and_then(|v| v.density.first()) {
                            forward::density(ui, scene, heats, "forward", grid, forward::UNDER);
                        }
                        let response = &scene.response;
                        if let Some(at) = response.interact_pointer_pos() {
                            start = scene.point(at);
                        }
                        if response.clicked() {
                            response.request_focus();
                        }
                        if response.has_focus() {
                            start = moved(ui, start);
                        }
                        let mut pen = scene.pen();
                        if let Some(view) = &view {
                            // What has no noise lies on one line: one is enough, and it lies above the fans.
                            let fans = view.paths.iter().zip(&colours);
                            let (plain, noisy): (Vec<_>, Vec<_>) =
                                fans.partition(|(fan, _)| fan.windows(2).all(|p| p[0] == p[1]));
                            for (fan, colour) in noisy {
                                draw_fan(&mut pen, scene, fan, *colour);
                            }
                            for (fan, colour) in plain {
                                let path = fan.first().map_or(&[][..], Vec::as_slice);
                                let line: Vec<_> = path.iter().map(|&p| scene.place(p)).collect();
                                pen.line(&line, 2.2, |_| *colour);
                                if let Some(&end) = line.last() {
                                    pen.dot(end, 4.0, *colour);
                                }
                            }
                        }
                        pen.draw(&scene.painter);
                        let at = scene.place(start);
                        let strong = theme::strong(ui);
                        scene
                            .painter
                            .circle_stroke(at, 7.0, Stroke::new(2.0, strong));
                        scene.painter.circle_filled(at, 2.0, strong);
                        start
                    },
                )
            };
            let words = |ui: &mut Ui, start: Point| {
                if let Some(view) = &view {
                    let names: Vec<String> = (view.request.runs.iter())
                        .map(|r| {
                            let eta = takes_eta(&r.sampler).then_some(r.eta);
                            s::run_title(&r.sampler, r.steps, eta)
                        })
                        .collect();
                    let entries: Vec<(Color32, &str)> = colours
                        .iter()
                        .copied()
                        .zip(names.iter().map(String::as_str))
                        .collect();
                    parts::legend(ui, &entries);
                }
                flow::flow(ui, |ui| {
                    let text = s::point(start[0], start[1]);
                    flow::figure(ui, s::START_POINT, &text, s::START_POINT_HELP);
                });
                hint(ui, s::PATHS_HINT);
            };
            let (start, response) = if beside {
                let layout = egui::Layout::left_to_right(egui::Align::Min);
                ui.with_layout(layout, |ui| {
                    let shown = draw(ui);
                    ui.add_space(theme::GAP);
                    ui.vertical(|ui| words(ui, shown.0));
                    shown
                })
                .inner
            } else {
                let shown = draw(ui);
                ui.add_space(theme::UNIT);
                words(ui, shown.0);
                shown
            };
            response.on_hover_cursor(CursorIcon::Grab);
            self.reverse.start = start;
        });
    }

    fn density_view(&mut self, ui: &mut Ui) {
        let view = self.reverse.likelihood.clone();
        let data = self.forward.data().cloned();
        let heats = &mut self.heats;
        theme::section(ui, "", |ui| {
            let (side, columns) = parts::fit(ui, 2, 96.0);
            parts::rows(ui, 2, side, columns, |ui, i| {
                let title = [s::MODEL_DENSITY, s::TRUE_DENSITY][i];
                parts::caption(ui, title);
                let mut most = None;
                canvas(ui, side, title, Sense::hover(), |ui, scene| {
                    let grid = match i {
                        0 => view.as_ref().map(|v| v.density.clone()),
                        _ => data.as_ref().and_then(|d| d.density.first().cloned()),
                    };
                    let Some(grid) = grid else {
                        scene.note(ui, s::WAITING);
                        return;
                    };
                    let name = ["model density", "forward"][i];
                    let top = forward::density(ui, scene, heats, name, &grid, 1.0);
                    most = Some(top);
                });
                if let Some(most) = most {
                    parts::colour_bar(ui, Hue::Density, most, s::DENSITY_BAR);
                }
            });
            ui.add_space(theme::UNIT);
            if let Some(view) = &view {
                flow::flow(ui, |ui| {
                    flow::figure(ui, s::NLL, &s::nats(view.nll), s::NLL_HELP);
                    if let Some(truth) = view.true_nll {
                        flow::figure(ui, s::TRUE_NLL, &s::nats(truth), s::TRUE_NLL_HELP);
                    }
                });
            }
        });
    }
}

/// Paths with noise. Where they begin all is one tangle: they come out of the dark.
fn draw_fan(pen: &mut Pen, scene: &Scene, fan: &[Vec<Point>], colour: Color32) {
    for path in fan {
        let line: Vec<_> = path.iter().map(|&p| scene.place(p)).collect();
        let count = line.len() as f32;
        pen.line(&line, 1.1, |k| {
            let way = (k as f32 + 1.0) / count;
            colour.gamma_multiply(0.55 * way.powi(4))
        });
    }
    for end in fan.iter().filter_map(|path| path.last()) {
        pen.dot(scene.place(*end), 3.0, colour);
    }
}

/// A path with its end, faint at its beginning.
fn draw_path(pen: &mut Pen, scene: &Scene, path: &[Point], colour: Color32, strength: f32) {
    let line: Vec<_> = path.iter().map(|&p| scene.place(p)).collect();
    let count = line.len() as f32;
    pen.line(&line, 1.1, |i| {
        colour.gamma_multiply(strength * (0.2 + 0.8 * i as f32 / count))
    });
    if let Some(&end) = line.last() {
        pen.dot(end, 2.0, colour);
    }
}

/// The colour of a sampler's paths.
fn run_colour(ui: &Ui, i: usize) -> Color32 {
    match i {
        0 => theme::accent(ui),
        1 => theme::series(ui, 1),
        2 => theme::strong(ui),
        _ => theme::weak(ui),
    }
}

/// Arrow keys move a point.
fn moved(ui: &Ui, [x, y]: Point) -> Point {
    const STEP: f32 = 0.05;
    let count = |key| f32::from(u8::from(ui.input(|i| i.key_pressed(key))));
    let dx = count(Key::ArrowRight) - count(Key::ArrowLeft);
    let dy = count(Key::ArrowUp) - count(Key::ArrowDown);
    [
        (x + STEP * dx).clamp(-EXTENT, EXTENT),
        (y + STEP * dy).clamp(-EXTENT, EXTENT),
    ]
}

//! Training: a network learns to tell noise from picture, step by step.

pub(super) mod curves;
mod lapse;
mod settings;
#[cfg(test)]
pub mod tests;

use egui::{Button, RichText, ScrollArea, Slider, TextStyle, Ui};
use noiselab::{
    data::BUILT_IN,
    diffusion::Objective,
    session::{
        budget::BudgetPlan,
        command::{Command, LiveSettings, TrainCommand, TrainSpec},
        config::TrainConfig,
        event::{Event, Job, TrainEvent, TrainFigures, TrainStatus},
    },
};

use self::{
    curves::Curves,
    lapse::Lapse,
    settings::{Setup, Stop, live_ui},
};
use super::layout::{self, frame};
use crate::ui::{
    files::Ask,
    panel::Panel,
    shared::Shared,
    strings::{cards, training as s},
    theme,
    widgets::{
        Card, PlotOptions, Series, button, combo, figure, film_frame, hint, line_plot, math,
        number, primary_button, segmented, toggle, warning,
    },
};

/// Width of the column with the controls.
const CONTROLS: f32 = 284.0;

/// The run that is open, or was last.
struct Run {
    config: TrainConfig,
    parameters: usize,
    step: u64,
    /// The step of the last checkpoint that the user made.
    saved: Option<u64>,
    live: LiveSettings,
    stop: Stop,
}

/// What waits for a second click, as it would lose steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Start,
    Close,
}

/// The room.
pub struct Training {
    setup: Setup,
    status: TrainStatus,
    run: Option<Run>,
    /// What a start was asked with, until the run is there.
    started: Option<Stop>,
    failed: Option<String>,
    question: Option<Question>,
    note: Option<String>,
    curves: Curves,
    figures: Option<TrainFigures>,
    lapse: Lapse,
    /// The row of small grids shows the averaged weights' samples.
    row_averaged: bool,
    /// The data set that is being opened.
    opening: Option<String>,
    data_failed: Option<String>,
    /// What was asked about the memory of the next run, and how it fits its budget.
    planning: Option<TrainSpec>,
    planned: Option<(TrainSpec, Result<BudgetPlan, String>)>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            setup: Setup::default(),
            status: TrainStatus::None,
            run: None,
            started: None,
            failed: None,
            question: None,
            note: None,
            curves: Curves::default(),
            figures: None,
            lapse: Lapse::default(),
            row_averaged: true,
            opening: None,
            data_failed: None,
            planning: None,
            planned: None,
        }
    }
}

impl Panel for Training {
    fn id(&self) -> &'static str {
        "training"
    }

    fn title(&self) -> &'static str {
        s::TITLE
    }

    fn card(&self) -> Option<&'static Card> {
        cards::of(self.id(), self.objective())
    }

    fn on_event(&mut self, event: &Event, _shared: &mut Shared) {
        match event {
            Event::Data(_) => {
                self.opening = None;
                self.data_failed = None;
            }
            Event::Failed {
                job: Job::Data,
                message,
            } => {
                self.opening = None;
                self.data_failed = Some(message.clone());
            }
            Event::Failed {
                job: Job::Training,
                message,
            } => {
                self.failed = Some(message.clone());
                // A start that was refused at once; the session tells every other status itself.
                if self.started.take().is_some() {
                    self.status = TrainStatus::None;
                }
            }
            Event::Train(event) => self.on_train(event),
            _ => {}
        }
    }

    fn update(&mut self, shared: &mut Shared) {
        let data = shared.data.as_ref();
        let Some(spec) = data.and_then(|d| self.setup.memory_spec(d)) else {
            return;
        };
        let known = self.planned.as_ref().is_some_and(|p| p.0 == spec);
        if known || self.planning.is_some() {
            return;
        }
        self.planning = Some(spec.clone());
        shared.send(Command::Train(TrainCommand::Plan(Box::new(spec))));
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.spacing_mut().item_spacing.y = theme::PAD;
        if theme::is_phone(ui) {
            self.phone(ui, shared);
            return;
        }
        let mut context = (self, shared);
        layout::columns(
            ui,
            CONTROLS,
            &mut context,
            |ui, (room, shared)| {
                room.controls(ui, shared);
            },
            |ui, (room, shared)| {
                room.loss_section(ui);
                room.samples_section(ui, shared);
                room.details_section(ui);
            },
        );
    }

    fn address(&self, _shared: &Shared) -> Vec<(&'static str, String)> {
        let preset = self.setup.preset().map(|p| p.name.to_owned());
        let preset = preset.map(|name| ("preset", name));
        let budget = self.setup.budget().map(|budget| ("budget", budget));
        let precision = self.setup.precision().map(|p| ("precision", p));
        preset.into_iter().chain(budget).chain(precision).collect()
    }

    fn set_address(&mut self, key: &str, value: &str, _shared: &mut Shared) {
        match key {
            "preset" => self.setup.set_preset_by_name(value),
            "budget" => self.setup.set_budget(value),
            "precision" => self.setup.set_precision(value),
            _ => {}
        }
    }
}

impl Training {
    /// What the network learns to predict: the one in training, or else the next one.
    fn objective(&self) -> Objective {
        let run = self.run.as_ref();
        run.map_or(self.setup.objective(), |r| {
            r.config.scheduler.prediction_type
        })
    }

    fn on_train(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Opened {
                config,
                parameters,
                step,
                history,
                preview,
            } => {
                // A restored run rests, and stops by itself only when it is told to again.
                let stop = (self.started.take()).unwrap_or(self.setup.stop.off());
                self.run = Some(Run {
                    config: (**config).clone(),
                    parameters: *parameters,
                    step: *step,
                    saved: (*step > 0).then_some(*step),
                    live: LiveSettings {
                        lr: config.lr.base,
                        ema_decay: config.ema_decay,
                        preview: *preview,
                    },
                    stop,
                });
                self.curves = Curves::default();
                for &(step, loss) in history {
                    self.curves.push_loss(step, loss);
                }
                self.lapse.clear();
                self.figures = None;
                self.failed = None;
                self.note = None;
                self.question = None;
            }
            TrainEvent::Planned(plan) => {
                let spec = self.planning.take();
                self.planned = spec.map(|spec| (spec, plan.clone()));
            }
            TrainEvent::Status(status) => {
                if *status == TrainStatus::Running {
                    self.failed = None;
                }
                self.status = status.clone();
            }
            TrainEvent::Step(report, figures) => {
                let timesteps = (self.run.as_ref())
                    .map_or(1000, |run| run.config.scheduler.num_train_timesteps);
                if let Some(run) = &mut self.run {
                    run.step = report.step;
                }
                self.curves.push(report, timesteps);
                self.figures = Some(*figures);
            }
            TrainEvent::Preview(preview) => self.lapse.push(preview.clone()),
            TrainEvent::Saved { step, auto, .. } => {
                self.note = Some(s::saved(*step, *auto));
                if let Some(run) = &mut self.run
                    && !auto
                {
                    run.saved = Some(*step);
                }
            }
        }
    }

    /// A run is open, be it running or not.
    fn is_open(&self) -> bool {
        self.status != TrainStatus::None
    }

    fn start(&mut self, shared: &Shared) {
        let Some(spec) = shared.data.as_ref().and_then(|d| self.setup.spec(d)) else {
            return;
        };
        self.started = Some(self.setup.stop);
        self.failed = None;
        self.question = None;
        self.status = TrainStatus::Preparing;
        shared.send(Command::Train(TrainCommand::Start(Box::new(spec))));
    }

    fn close(&mut self, shared: &Shared) {
        self.question = None;
        shared.send(Command::Train(TrainCommand::Close));
    }

    /// Steps that would be lost with the run.
    fn unsaved(&self) -> Option<(u64, Option<u64>)> {
        let run = self.run.as_ref().filter(|_| self.is_open())?;
        (run.saved.unwrap_or(0) < run.step).then_some((run.step, run.saved))
    }

    fn controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.is_open() {
            self.run_section(ui, shared);
            self.live_section(ui, shared);
            self.setup_section(ui, shared);
        } else {
            self.setup_section(ui, shared);
            self.live_section(ui, shared);
        }
    }

    /// One below the other: what one does, what comes of it, and then the settings.
    fn phone(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let open = self.is_open();
        if open {
            self.run_section(ui, shared);
        } else {
            self.setup_section(ui, shared);
        }
        self.loss_section(ui);
        self.samples_section(ui, shared);
        self.live_section(ui, shared);
        if open {
            self.setup_section(ui, shared);
        }
        self.details_section(ui);
    }

    fn run_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, s::RUN, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let train = |command| shared.send(Command::Train(command));
            ui.horizontal_wrapped(|ui| {
                let running = self.status == TrainStatus::Running;
                let resting = matches!(self.status, TrainStatus::Paused(_));
                if running {
                    if primary_button(ui, s::PAUSE, s::PAUSE_HELP).clicked() {
                        train(TrainCommand::Pause);
                    }
                } else if resting && primary_button(ui, s::RESUME, s::RESUME_HELP).clicked() {
                    train(TrainCommand::Resume);
                }
                let step = ui.add_enabled(resting, Button::new(s::STEP));
                if step
                    .on_hover_text(s::STEP_HELP)
                    .on_disabled_hover_text(s::STEP_PAUSE_FIRST)
                    .clicked()
                {
                    train(TrainCommand::Step);
                }
            });
            self.status_line(ui, shared);
            ui.horizontal_wrapped(|ui| {
                if button(ui, s::SAVE, s::SAVE_HELP).clicked() {
                    shared.send(Command::Train(TrainCommand::Save { auto: false }));
                }
                self.open_checkpoint(ui, shared);
                if button(ui, s::CLOSE, s::CLOSE_HELP).clicked() {
                    if self.unsaved().is_some() {
                        self.question = Some(Question::Close);
                    } else {
                        self.close(shared);
                    }
                }
            });
            self.ask(ui, shared, Question::Close);
        });
    }

    /// Asks before steps are lost.
    fn ask(&mut self, ui: &mut Ui, shared: &Shared, question: Question) {
        if self.question != Some(question) {
            return;
        }
        let Some((step, saved)) = self.unsaved() else {
            self.question = None;
            return;
        };
        warning(ui, &s::unsaved(step, saved));
        let label = match question {
            Question::Start => s::CONFIRM_START,
            Question::Close => s::CONFIRM_CLOSE,
        };
        ui.horizontal_wrapped(|ui| {
            if button(ui, label, s::CONFIRM_HELP).clicked() {
                match question {
                    Question::Start => self.start(shared),
                    Question::Close => self.close(shared),
                }
            }
            if button(ui, s::KEEP, s::KEEP_HELP).clicked() {
                self.question = None;
            }
        });
    }

    fn status_line(&self, ui: &mut Ui, shared: &Shared) {
        if let Some(message) = &self.failed {
            let colour = ui.visuals().error_fg_color;
            math::text(ui, message, TextStyle::Body, colour);
        }
        let text = match (&self.status, shared.compiling) {
            (TrainStatus::None, _) => return,
            (TrainStatus::Preparing, Some((Job::Training, done, of))) => s::compiling(done, of),
            (TrainStatus::Preparing, _) => s::PREPARING.to_owned(),
            (TrainStatus::Running, _) => s::RUNNING.to_owned(),
            (TrainStatus::Paused(None), _) => s::PAUSED.to_owned(),
            (TrainStatus::Paused(Some(reason)), _) => s::paused(reason),
        };
        ui.label(text);
        if let Some(run) = &self.run {
            hint(ui, &s::network(run.parameters, &run.config.dataset));
        }
        if let Some(note) = &self.note {
            hint(ui, note);
        }
    }

    fn open_checkpoint(&self, ui: &mut Ui, shared: &Shared) {
        if button(ui, s::OPEN, s::OPEN_HELP).clicked() {
            shared.files.request(Ask::Checkpoint);
        }
    }

    fn setup_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let open = self.is_open();
        let title = if open { s::NEXT_RUN } else { s::NEW_RUN };
        theme::section(ui, title, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            if open {
                hint(ui, s::NEXT_RUN_HINT);
            }
            self.data_ui(ui, shared);
            let wanted = (shared.data.as_ref()).and_then(|d| self.setup.memory_spec(d));
            let planned = self.planned.as_ref();
            let plan = planned.filter(|p| wanted.as_ref() == Some(&p.0));
            self.setup.ui(ui, plan.map(|p| &p.1), shared.f16);
            let ready = shared.data.is_some() && self.opening.is_none();
            ui.horizontal_wrapped(|ui| {
                ui.add_enabled_ui(ready, |ui| {
                    let clicked = if open {
                        button(ui, s::START_ANEW, s::START_ANEW_HELP)
                    } else {
                        primary_button(ui, s::START, s::START_HELP)
                    }
                    .on_disabled_hover_text(s::START_NO_DATA)
                    .clicked();
                    if clicked && self.unsaved().is_some() {
                        self.question = Some(Question::Start);
                    } else if clicked {
                        self.start(shared);
                    }
                });
                if !open {
                    self.open_checkpoint(ui, shared);
                }
            });
            self.ask(ui, shared, Question::Start);
            if !open {
                self.status_line(ui, shared);
            }
        });
    }

    fn data_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let name = (self.opening.as_deref())
            .or(shared.data.as_ref().map(|d| d.name.as_str()))
            .unwrap_or_default();
        let place = BUILT_IN.iter().position(|b| b.name == name);
        let mut options: Vec<(Option<usize>, &str)> = (BUILT_IN.iter().enumerate())
            .map(|(i, b)| (Some(i), b.title))
            .collect();
        if place.is_none() {
            options.push((None, if name.is_empty() { "" } else { s::OWN_DATA }));
        }
        let mut chosen = place;
        combo(ui, "data", s::DATA, s::DATA_HELP, &mut chosen, &options);
        if chosen != place
            && let Some(built_in) = chosen.and_then(|i| BUILT_IN.get(i))
        {
            self.opening = Some(built_in.name.to_owned());
            self.data_failed = None;
            shared.open_built_in(built_in.name);
        }
        if self.opening.is_some() {
            hint(ui, s::OPENING_DATA);
        } else if let Some(data) = &shared.data {
            let images = &data.train;
            hint(
                ui,
                &s::about_data(images.len(), images.width, images.height, images.channels),
            );
        }
        if let Some(message) = &self.data_failed {
            warning(ui, message);
        }
        ui.horizontal_wrapped(|ui| {
            if button(ui, s::OPEN_DATA, s::OPEN_DATA_HELP).clicked() {
                shared.files.request(Ask::Data);
            }
            if Ask::FOLDERS && button(ui, s::OPEN_FOLDER, s::OPEN_FOLDER_HELP).clicked() {
                shared.files.request(Ask::DataFolder);
            }
        });
    }

    fn live_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let open = self.is_open();
        theme::section(ui, s::LIVE, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let run = self.run.as_mut().filter(|_| open);
            let (live, stop) = match run {
                Some(run) => (&mut run.live, &mut run.stop),
                None => (&mut self.setup.live, &mut self.setup.stop),
            };
            if live_ui(ui, live) && open {
                shared.send(Command::Train(TrainCommand::Live(*live)));
            }
            if stop.ui(ui) && open {
                shared.send(Command::Train(TrainCommand::StopAt(stop.at())));
            }
        });
    }

    fn loss_section(&mut self, ui: &mut Ui) {
        theme::section(ui, s::LOSS, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            if self.curves.loss.is_empty() {
                let text = match &self.run {
                    Some(run) if run.step > 0 => s::loss_not_kept(run.step),
                    _ => s::loss_empty(self.objective()).to_owned(),
                };
                hint(ui, &text);
                return;
            }
            self.figure_row(ui);
            let series = self.curves.loss_series(ui, s::RAW_LOSS, s::SMOOTH_LOSS);
            let options = PlotOptions {
                x_label: s::STEP_AXIS,
                y_label: s::LOSS_AXIS,
                log_y: true,
                height: 208.0,
                ..PlotOptions::default()
            };
            line_plot(ui, "loss", options, &series);
        });
    }

    fn figure_row(&self, ui: &mut Ui) {
        let step = self.run.as_ref().map_or(0, |run| run.step);
        let of = (self.run.as_ref()).and_then(|run| run.stop.at().steps);
        let loss = (self.curves.smoothed()).map_or_else(|| "–".to_owned(), number);
        let f = self.figures.unwrap_or_default();
        let known = |text: String| {
            if self.figures.is_some() {
                text
            } else {
                "–".to_owned()
            }
        };
        let left = f.left_seconds.map_or_else(|| "–".to_owned(), s::duration);
        let figures = [
            (s::F_STEP, s::step_of(step, of), s::F_STEP_HELP),
            (s::F_LOSS, loss, s::F_LOSS_HELP),
            (
                s::F_SPEED,
                known(number(f.images_per_second)),
                s::F_SPEED_HELP,
            ),
            (
                s::F_TIME,
                known(s::step_time(f.step_seconds)),
                s::F_TIME_HELP,
            ),
            (
                s::F_MEMORY,
                known(s::memory(f.device_bytes)),
                s::F_MEMORY_HELP,
            ),
            (
                s::F_ELAPSED,
                known(s::duration(f.seconds)),
                s::F_ELAPSED_HELP,
            ),
            (s::F_LEFT, known(left), s::F_LEFT_HELP),
        ];
        let mut drawn = figures.map(|(name, value, help)| {
            move |ui: &mut Ui| {
                figure(ui, name, &value, help);
            }
        });
        let mut things: Vec<&mut dyn FnMut(&mut Ui)> = Vec::new();
        for thing in &mut drawn {
            things.push(thing);
        }
        layout::flow(ui, 96.0, &mut things);
    }

    fn samples_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, s::SAMPLES, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let Some(preview) = self.lapse.current().cloned() else {
                let live = match &self.run {
                    Some(run) if self.is_open() => &run.live,
                    _ => &self.setup.live,
                };
                hint(ui, &s::samples_empty(live.preview.every));
                self.preview_button(ui, shared);
                return;
            };
            let layer = self.lapse.frame();
            let space = ((ui.available_width() - theme::PAD) / 2.0).min(400.0);
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = theme::PAD;
                for (film, name, help) in [
                    (&preview.raw, s::RAW, s::RAW_HELP),
                    (&preview.averaged, s::AVERAGED, s::AVERAGED_HELP),
                ] {
                    ui.vertical(|ui| {
                        ui.label(RichText::new(name).small().color(theme::text(ui)))
                            .on_hover_text(help);
                        let label = s::grid_name(name, preview.step);
                        film_frame(ui, shared, film, layer, space, &label).on_hover_text(help);
                    });
                }
            });
            hint(ui, s::EMA_HINT);
            self.lapse_ui(ui);
            self.row(ui, shared);
            self.preview_button(ui, shared);
        });
    }

    fn preview_button(&self, ui: &mut Ui, shared: &Shared) {
        if self.is_open() && button(ui, s::PREVIEW, s::PREVIEW_HELP).clicked() {
            shared.send(Command::Train(TrainCommand::Preview));
        }
    }

    /// The two scrubbers.
    fn lapse_ui(&mut self, ui: &mut Ui) {
        let steps: Vec<String> = (self.lapse.kept().iter())
            .map(|p| s::thousands(p.step))
            .collect();
        let frames: Vec<String> = (0..self.lapse.frames()).map(|k| k.to_string()).collect();
        let (index, frame) = (self.lapse.index(), self.lapse.frame());
        let (mut at, mut k) = (index, frame);
        let phone = theme::is_phone(ui);
        let scrubbers = |ui: &mut Ui| {
            place_slider(ui, &mut at, &steps, s::LAPSE_STEP, s::LAPSE_STEP_HELP);
            place_slider(ui, &mut k, &frames, s::LAPSE_FRAME, s::LAPSE_FRAME_HELP);
        };
        if phone {
            ui.vertical(scrubbers);
        } else {
            ui.horizontal_top(scrubbers);
        }
        if at != index {
            self.lapse.look_at((at + 1 < steps.len()).then_some(at));
        }
        if k != frame {
            self.lapse.set_frame(k);
        }
        let mut follows = self.lapse.follows();
        if toggle(ui, &mut follows, s::FOLLOW, s::FOLLOW_HELP).changed() {
            self.lapse.look_at((!follows).then_some(index));
        }
    }

    /// The kept grids in a row, small.
    fn row(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let kinds = [(false, s::RAW), (true, s::AVERAGED)];
        segmented(ui, s::ROW, s::ROW_HELP, &mut self.row_averaged, &kinds);
        let mut clicked = None;
        ScrollArea::horizontal()
            .id_salt("kept")
            .auto_shrink([false, true])
            .stick_to_right(self.lapse.follows())
            .show(ui, |ui| {
                // Room for the frame around the one that is looked at.
                ui.add_space(2.0);
                ui.horizontal_top(|ui| {
                    ui.add_space(2.0);
                    let (index, layer) = (self.lapse.index(), self.lapse.frame());
                    for (i, preview) in self.lapse.kept().iter().enumerate() {
                        let film = if self.row_averaged {
                            &preview.averaged
                        } else {
                            &preview.raw
                        };
                        ui.vertical(|ui| {
                            let label = s::small_name(preview.step);
                            let layer = layer.min(film.layers().saturating_sub(1));
                            let response = film_frame(ui, shared, film, layer, 1.0, &label);
                            frame(ui, response.rect, i == index, &response);
                            if response.on_hover_text(&label).clicked() {
                                clicked = Some(i);
                            }
                            hint(ui, &s::thousands(preview.step));
                        });
                    }
                    ui.add_space(2.0);
                });
                // Room for the scroll bar.
                ui.add_space(theme::GAP);
            });
        if let Some(i) = clicked {
            self.lapse.look_at(Some(i));
        }
    }

    fn details_section(&mut self, ui: &mut Ui) {
        if self.curves.loss.is_empty() {
            return;
        }
        theme::section(ui, s::DETAILS, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let config = self.run.as_ref().map(|run| &run.config);
            let timesteps = config.map_or(1000, |c| c.scheduler.num_train_timesteps);
            let objective = self.objective();
            if ui.available_width() < 560.0 {
                self.by_t(ui, timesteps);
                self.gradient(ui);
                self.rate(ui);
            } else {
                ui.columns_const(|[first, second, third]| {
                    self.by_t(first, timesteps);
                    self.gradient(second);
                    self.rate(third);
                });
            }
            hint(
                ui,
                if objective == Objective::Epsilon {
                    s::BY_T_HINT
                } else {
                    s::BY_T_HINT_OTHER
                },
            );
        });
    }

    fn by_t(&self, ui: &mut Ui, timesteps: usize) {
        let plot = (self.curves).by_t_plot(ui, "by t", timesteps, [s::T_AXIS, s::BY_T]);
        plot.on_hover_text(s::BY_T_HELP);
    }

    fn gradient(&self, ui: &mut Ui) {
        self.small_plot(ui, s::GRADIENT, true, &self.curves.gradient);
    }

    fn rate(&self, ui: &mut Ui) {
        self.small_plot(ui, s::RATE, false, &self.curves.rate);
    }

    fn small_plot(&self, ui: &mut Ui, name: &str, log_y: bool, points: &curves::Series) {
        let series = [Series {
            name,
            points: points.points().collect(),
            colour: theme::series(ui, 1),
            faint: false,
        }];
        let options = PlotOptions {
            x_label: s::STEP_AXIS,
            y_label: name,
            log_y,
            height: 176.0,
            y_range: (!log_y).then_some((0.0, 0.0)),
            ..PlotOptions::default()
        };
        line_plot(ui, name, options, &series);
    }
}

/// A slider over places that have names.
fn place_slider(ui: &mut Ui, place: &mut usize, names: &[String], label: &str, help: &str) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = theme::UNIT;
        let caption = RichText::new(label).small().color(theme::weak(ui));
        let caption = ui.label(caption).on_hover_text(help);
        ui.spacing_mut().slider_width = (ui.available_width() - 88.0).clamp(80.0, 200.0);
        let last = names.len().saturating_sub(1);
        ui.add_enabled_ui(last > 0, |ui| {
            ui.add(
                Slider::new(place, 0..=last)
                    .custom_formatter(|n, _| names.get(n as usize).cloned().unwrap_or_default())
                    .custom_parser(|text| {
                        let number: String = text.chars().filter(char::is_ascii_digit).collect();
                        let goal: f64 = number.parse().ok()?;
                        let distance = |name: &String| {
                            let digits: String =
                                name.chars().filter(char::is_ascii_digit).collect();
                            (digits.parse::<f64>().unwrap_or(0.0) - goal).abs()
                        };
                        let nearest = (names.iter().enumerate())
                            .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
                        nearest.map(|(i, _)| i as f64)
                    }),
            )
            .labelled_by(caption.id)
            .on_hover_text(help);
        });
    });
}

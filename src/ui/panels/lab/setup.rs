//! What is on stage: the distribution and how it is noised.

use std::sync::Arc;

use egui::{Event, PointerButton, RichText, Sense, TextEdit, Ui};
use noiselab::{
    data::points::{DISTRIBUTIONS, Distribution, Point},
    diffusion::{NoiseSchedule, Objective, SchedulerConfig, TimestepSpacing, schedule::SCHEDULES},
    session::lab::{PRESETS, command::LabStage},
};

use super::canvas::canvas;
use crate::ui::{
    files::Ask,
    shared::Shared,
    strings::{forward::schedule_name, lab as s},
    theme,
    widgets::{button, combo, hint, log_slider, primary_button, segmented},
};

/// Numbers of particles to choose from.
pub const PARTICLES: [usize; 3] = [2_000, 10_000, 50_000];
/// T at least and at most; the presets of what goes wrong have few.
pub const TIMESTEPS: std::ops::RangeInclusive<usize> = 2..=1000;
/// Characters of a word.
const LONGEST: usize = 12;
/// Corners of all lines together, at most.
const CORNERS: usize = 20_000;

/// Where points come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// One of [`DISTRIBUTIONS`].
    BuiltIn(&'static str),
    /// A word.
    Text,
    /// Lines drawn by hand.
    Drawn,
    /// The user's points.
    Own,
}

impl Pick {
    /// As in an address.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BuiltIn(name) => name,
            Self::Text => "text",
            Self::Drawn => "drawn",
            Self::Own => "own",
        }
    }

    /// From an address.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "drawn" => Some(Self::Drawn),
            _ => (DISTRIBUTIONS.iter())
                .find(|d| d.name == name)
                .map(|d| Self::BuiltIn(d.name)),
        }
    }
}

/// What is on stage.
#[derive(Debug)]
pub struct Setup {
    /// Where points come from.
    pub pick: Pick,
    /// The word that is shown.
    pub word: String,
    /// The word in the field.
    typed: String,
    /// Lines drawn by hand.
    pub strokes: Arc<[Vec<Point>]>,
    /// Lines being drawn.
    pub sketch: Option<Vec<Vec<Point>>>,
    /// A line is being drawn.
    pressing: bool,
    /// The user's points and what they are called.
    pub own: Option<(String, Arc<[Point]>)>,
    /// Name of the schedule.
    pub schedule: String,
    /// T.
    pub timesteps: usize,
    /// What a network predicts.
    pub objective: Objective,
    /// A configuration that a preset gave, until schedule or T is changed.
    special: Option<SchedulerConfig>,
    /// Particles.
    pub particles: usize,
    tables: Option<(SchedulerConfig, Result<NoiseSchedule, String>)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            pick: Pick::BuiltIn(DISTRIBUTIONS.first().map_or("", |d| d.name)),
            word: "noise".into(),
            typed: "noise".into(),
            strokes: Arc::default(),
            sketch: None,
            pressing: false,
            own: None,
            schedule: sound().beta_schedule,
            timesteps: sound().num_train_timesteps,
            objective: sound().prediction_type,
            special: None,
            particles: 50_000,
            tables: None,
        }
    }
}

/// What the room starts with.
fn sound() -> SchedulerConfig {
    SchedulerConfig {
        timestep_spacing: TimestepSpacing::Trailing,
        ..PRESETS
            .first()
            .map_or_else(SchedulerConfig::default, |p| (p.scheduler)())
    }
}

impl Setup {
    /// The schedule's configuration.
    pub fn scheduler(&self) -> SchedulerConfig {
        if let Some(special) = &self.special
            && special.beta_schedule == self.schedule
            && special.num_train_timesteps == self.timesteps
            && special.prediction_type == self.objective
        {
            return special.clone();
        }
        SchedulerConfig {
            beta_schedule: self.schedule.clone(),
            num_train_timesteps: self.timesteps,
            prediction_type: self.objective,
            ..sound()
        }
    }

    /// Takes over a configuration.
    pub fn set_scheduler(&mut self, config: SchedulerConfig) {
        self.schedule.clone_from(&config.beta_schedule);
        self.timesteps = config.num_train_timesteps;
        self.objective = config.prediction_type;
        self.special = Some(config);
    }

    fn distribution(&self) -> Option<Distribution> {
        match &self.pick {
            Pick::BuiltIn(name) => Some(Distribution::BuiltIn((*name).to_owned())),
            Pick::Text => (!self.word.is_empty()).then(|| Distribution::Text(self.word.clone())),
            Pick::Drawn => {
                (!self.strokes.is_empty()).then(|| Distribution::Drawn(Arc::clone(&self.strokes)))
            }
            Pick::Own => self.own.as_ref().map(|(name, points)| Distribution::Own {
                name: name.clone(),
                points: Arc::clone(points),
            }),
        }
    }

    /// What the session is to show, if there is something.
    pub fn stage(&self) -> Option<LabStage> {
        Some(LabStage {
            distribution: self.distribution()?,
            scheduler: self.scheduler(),
            particles: self.particles,
            seed: 0,
        })
    }

    /// Shows a word.
    pub fn set_word(&mut self, word: &str) {
        let word: String = word.trim().chars().take(LONGEST).collect();
        if !word.is_empty() {
            self.typed.clone_from(&word);
            self.word = word;
        }
    }

    /// Shows the user's points.
    pub fn set_own(&mut self, name: String, points: Arc<[Point]>) {
        self.own = Some((name, points));
        self.pick = Pick::Own;
        self.sketch = None;
    }

    /// ᾱ_t of a schedule of that name at this T; t from 0.
    pub fn alpha_bar(&mut self, t: usize) -> Option<f64> {
        let schedule = self.table()?;
        Some(match t.checked_sub(1) {
            None => 1.0,
            Some(i) => schedule.alpha_bar(i.min(schedule.timesteps() - 1)),
        })
    }

    fn table(&mut self) -> Option<&NoiseSchedule> {
        let config = self.scheduler();
        if self.tables.as_ref().is_none_or(|(c, _)| *c != config) {
            let schedule = config.noise_schedule().map_err(|e| e.to_string());
            self.tables = Some((config, schedule));
        }
        self.tables.as_ref().and_then(|(_, t)| t.as_ref().ok())
    }

    /// The choice of a distribution.
    pub fn distribution_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, s::DISTRIBUTION, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let mut options: Vec<(Pick, &str)> = DISTRIBUTIONS
                .iter()
                .map(|d| (Pick::BuiltIn(d.name), d.title))
                .collect();
            options.extend([
                (Pick::Text, s::TEXT),
                (Pick::Drawn, s::DRAWN),
                (Pick::Own, s::OWN),
            ]);
            let before = self.pick.clone();
            combo(
                ui,
                "lab source",
                s::SOURCE,
                s::SOURCE_HELP,
                &mut self.pick,
                &options,
            );
            if self.pick != before {
                self.sketch = (self.pick == Pick::Drawn && self.strokes.is_empty()).then(Vec::new);
            }
            match self.pick {
                Pick::BuiltIn(name) => {
                    let summary = DISTRIBUTIONS.iter().find(|d| d.name == name);
                    hint(ui, summary.map_or("", |d| d.summary));
                }
                Pick::Text => self.word_ui(ui),
                Pick::Drawn => self.drawn_ui(ui, shared),
                Pick::Own => {
                    match &self.own {
                        Some((name, points)) => {
                            hint(ui, &s::own_points(name, points.len()));
                        }
                        None => {
                            hint(ui, s::OWN_SUMMARY);
                        }
                    }
                    if button(ui, s::OPEN, s::OPEN_HELP).clicked() {
                        shared.files.request(Ask::Points);
                    }
                }
            }
        });
    }

    fn word_ui(&mut self, ui: &mut Ui) {
        hint(ui, s::TEXT_SUMMARY);
        let caption = RichText::new(s::WORD).small().color(theme::weak(ui));
        let caption = ui.label(caption).on_hover_text(s::WORD_HELP);
        ui.horizontal(|ui| {
            let field = TextEdit::singleline(&mut self.typed)
                .desired_width(120.0)
                .char_limit(LONGEST);
            let response = ui.add(field).labelled_by(caption.id);
            let entered = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            if button(ui, s::WORD_SHOW, s::WORD_HELP).clicked() || entered {
                let typed = self.typed.clone();
                self.set_word(&typed);
            }
        });
    }

    fn drawn_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(sketch) = &mut self.sketch else {
            hint(ui, s::DRAWN_SUMMARY);
            if button(ui, s::DRAW, s::DRAW_HELP).clicked() {
                self.sketch = Some(self.strokes.to_vec());
            }
            return;
        };
        hint(ui, s::DRAW_HINT);
        let (done, clear) = ui
            .horizontal(|ui| {
                (
                    primary_button(ui, s::DRAW_DONE, s::DRAW_DONE_HELP).clicked(),
                    button(ui, s::DRAW_CLEAR, s::DRAW_CLEAR_HELP).clicked(),
                )
            })
            .inner;
        if clear {
            sketch.clear();
        }
        if done {
            // A touch without a move is no line.
            sketch.retain(|stroke| stroke.len() > 1);
            if sketch.is_empty() {
                shared.notify(s::DRAW_NOTHING, false);
            } else {
                self.strokes = std::mem::take(sketch).into();
                self.sketch = None;
            }
        }
    }

    /// The canvas to draw on, while drawing.
    pub fn sketch_ui(&mut self, ui: &mut Ui, side: f32) {
        let Some(sketch) = &mut self.sketch else {
            return;
        };
        canvas(ui, side, s::DRAW_CANVAS, Sense::drag(), |ui, scene| {
            let response = &scene.response;
            // Every move of the pointer, also where several come between two frames.
            for event in ui.input(|i| i.events.clone()) {
                let at = match event {
                    Event::PointerButton {
                        pos,
                        button: PointerButton::Primary,
                        pressed,
                        ..
                    } => {
                        let here = scene.rect.contains(pos)
                            && ui.ctx().layer_id_at(pos) == Some(response.layer_id);
                        self.pressing = pressed && here;
                        if self.pressing {
                            sketch.push(Vec::new());
                        }
                        pos
                    }
                    Event::PointerMoved(pos) => pos,
                    _ => continue,
                };
                let full = sketch.iter().map(Vec::len).sum::<usize>() >= CORNERS;
                if let Some(stroke) = sketch.last_mut()
                    && self.pressing
                    && !full
                {
                    let p = scene.point(at);
                    let far = stroke
                        .last()
                        .is_none_or(|q: &Point| (p[0] - q[0]).hypot(p[1] - q[1]) > 0.02);
                    if far {
                        stroke.push(p);
                    }
                }
            }
            let accent = theme::accent(ui);
            let mut pen = scene.pen();
            for stroke in sketch.iter() {
                let line: Vec<_> = stroke.iter().map(|&p| scene.place(p)).collect();
                pen.line(&line, 3.0, |_| accent);
            }
            pen.draw(&scene.painter);
            if sketch.is_empty() {
                scene.note(ui, s::DRAW_HINT);
            }
        });
    }

    /// Schedule, T and particles.
    pub fn process_ui(&mut self, ui: &mut Ui, compare: Option<&mut Option<String>>) {
        theme::section(ui, s::PROCESS, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let options: Vec<(String, &str)> = SCHEDULES
                .iter()
                .map(|r| (r.name().to_owned(), schedule_name(r.name())))
                .collect();
            let (label, help) = (s::SCHEDULE, s::SCHEDULE_HELP);
            combo(
                ui,
                "lab schedule",
                label,
                help,
                &mut self.schedule,
                &options,
            );
            if let Some(compare) = compare {
                let mut options: Vec<(Option<String>, &str)> = vec![(None, s::COMPARE_NONE)];
                options.extend(
                    SCHEDULES
                        .iter()
                        .filter(|r| r.name() != self.schedule)
                        .map(|r| (Some(r.name().to_owned()), schedule_name(r.name()))),
                );
                if compare.as_deref() == Some(self.schedule.as_str()) {
                    *compare = None;
                }
                combo(
                    ui,
                    "lab compare",
                    s::COMPARE,
                    s::COMPARE_HELP,
                    compare,
                    &options,
                );
            }
            log_slider(
                ui,
                &mut self.timesteps,
                TIMESTEPS,
                s::TIMESTEPS,
                s::TIMESTEPS_HELP,
            );
            let names = PARTICLES.map(s::thousands);
            let options: Vec<(usize, &str)> = PARTICLES
                .into_iter()
                .zip(names.iter().map(String::as_str))
                .collect();
            segmented(
                ui,
                s::PARTICLES,
                s::PARTICLES_HELP,
                &mut self.particles,
                &options,
            );
        });
    }
}

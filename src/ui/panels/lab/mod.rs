//! The 2-D lab: diffusion in the plane, where everything can be seen and the exact answer is known.

mod address;
mod ask;
mod canvas;
mod fields;
mod forward;
mod heat;
mod parts;
mod pen;
mod presets;
mod reverse;
mod setup;
mod streamlines;
#[cfg(test)]
pub mod tests;
mod training;

use std::sync::Arc;

use egui::{Button, Ui};
use noiselab::{
    data::points::{Point, csv},
    session::{
        command::Command,
        event::{Event, Job, TrainStatus},
        lab::{
            PRESETS,
            command::{FieldRequest, LabCommand, LabForward, LabStage},
            event::{LabEvent, LabTrainEvent, Merit, StageView},
        },
    },
};
use serde_json::json;

use self::{
    ask::Asker,
    fields::Fields,
    forward::Forward,
    heat::Heats,
    reverse::{Mode, Reverse},
    setup::Setup,
    training::Training,
};
use super::layout;
use crate::ui::{
    panel::Panel,
    shared::Shared,
    strings::{
        app::{POINTS, TimeWords},
        lab as s,
    },
    theme,
    widgets::{Card, hint},
};

/// The views, in the order of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Particles dissolve into noise.
    Forward,
    /// A network learns.
    Training,
    /// Learned and exact field.
    Fields,
    /// Samplers.
    Reverse,
    /// Presets that fail.
    Wrong,
}

impl View {
    const ALL: [Self; 5] = [
        Self::Forward,
        Self::Training,
        Self::Fields,
        Self::Reverse,
        Self::Wrong,
    ];

    /// As in an address.
    const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Training => "training",
            Self::Fields => "fields",
            Self::Reverse => "reverse",
            Self::Wrong => "wrong",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// The room.
pub struct Lab {
    view: View,
    setup: Setup,
    stage_ask: Asker<LabStage>,
    stage: Option<Arc<StageView>>,
    forward: Forward,
    training: Training,
    fields: Fields,
    reverse: Reverse,
    preset: Option<usize>,
    /// What is drawn of it.
    preset_drawn: presets::Drawn,
    /// A preset that an address asks for, until the room is shown.
    wanted_preset: Option<usize>,
    heats: Heats,
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            view: View::Forward,
            setup: Setup::default(),
            stage_ask: Asker::default(),
            stage: None,
            forward: Forward::default(),
            training: Training::default(),
            fields: Fields::default(),
            reverse: Reverse::default(),
            preset: None,
            preset_drawn: presets::Drawn::default(),
            wanted_preset: None,
            heats: Heats::default(),
        }
    }
}

impl Lab {
    fn on_lab(&mut self, event: &LabEvent) {
        match event {
            LabEvent::Stage(view) => {
                self.stage_ask.answered();
                self.forget();
                self.stage = Some(Arc::clone(view));
            }
            LabEvent::Forward(view) => {
                self.forward.ask.answered();
                self.forward.view = Some(Arc::clone(view));
            }
            LabEvent::Field(view) => self.fields.take(view),
            LabEvent::Errors(view) => {
                self.fields.errors_ask.answered();
                self.fields.errors = Some(Arc::clone(view));
            }
            LabEvent::Reverse(event) => self.reverse.on_event(event),
            LabEvent::Paths(view) => {
                self.reverse.paths_ask.answered();
                self.reverse.paths = Some(Arc::clone(view));
            }
            LabEvent::Likelihood(view) => {
                self.reverse.likelihood_ask.answered();
                self.reverse.likelihood = Some(Arc::clone(view));
            }
            LabEvent::Merit { step, cloud, merit } => self.training.on_merit(*step, cloud, merit),
            LabEvent::Train(event) => {
                if matches!(event, LabTrainEvent::Status(TrainStatus::None)) {
                    self.lose_network();
                }
                self.training.on_event(event, self.setup.timesteps);
            }
        }
    }

    /// Forgets what is of another stage.
    fn forget(&mut self) {
        self.forward.view = None;
        self.forward.ask.forget();
        self.fields.view = None;
        self.fields.ask.forget();
        self.fields.errors = None;
        self.fields.errors_ask.forget();
    }

    /// Puts on stage what the settings say, if it is not there.
    fn set_stage(&mut self, shared: &mut Shared) {
        let Some(stage) = self.setup.stage() else {
            return;
        };
        if let Some(stage) = self.stage_ask.want(stage) {
            // What rested on the stage before ends with it.
            self.training.clear();
            self.reverse.clear();
            self.forget();
            shared.send(Command::Lab(LabCommand::Stage(Box::new(stage))));
        }
    }

    /// Asks for what the view shows.
    fn ask(&mut self, shared: &Shared) {
        let t = shared.time.t();
        let forward = match self.view {
            View::Forward => Some((t, self.forward.compare.clone())),
            View::Training => Some((0, None)),
            View::Fields => None,
            View::Reverse if self.reverse.mode == Mode::Flow => Some((t, None)),
            View::Reverse => Some((0, None)),
            View::Wrong if self.training.is_open() => Some((0, None)),
            View::Wrong => Some((t, None)),
        };
        if let Some((t, compare)) = forward
            && let Some(request) = self.forward.ask.want(LabForward { t, compare })
        {
            shared.send(Command::Lab(LabCommand::Forward(request)));
        }
        if matches!(self.view, View::Training | View::Fields) {
            self.ask_field(shared, t);
        }
        if self.view == View::Fields && !self.training.is_running() {
            let old = (self.fields.errors.as_ref()).is_some_and(|e| e.step != self.training.step);
            if old {
                self.fields.errors_ask.renew();
            }
            self.measure_errors(shared);
        }
        match self.view {
            View::Reverse => self.ask_reverse(shared),
            View::Wrong => self.ask_preset(shared),
            _ => {}
        }
    }

    fn ask_field(&mut self, shared: &Shared, t: usize) {
        let fields = &mut self.fields;
        let old = (fields.view.as_ref())
            .is_some_and(|v| v.learned.is_some() && v.step != self.training.step);
        if old && (!self.training.is_running() || fields.is_due()) {
            fields.ask.renew();
        }
        let request = FieldRequest {
            t: t.max(1),
            side: if self.view == View::Training {
                fields::SIDE_TRAINING
            } else {
                fields::SIDE
            },
            denoiser: self.denoiser(),
        };
        if let Some(request) = self.fields.ask.want(request) {
            self.fields.asked = Some(web_time::Instant::now());
            shared.send(Command::Lab(LabCommand::Field(request)));
        }
    }

    /// Takes points that were opened or dropped.
    fn take_points(&mut self, shared: &mut Shared) {
        let Some((name, bytes)) = shared.points.take() else {
            return;
        };
        match csv::parse(&bytes) {
            Ok((points, note)) => {
                if let Some(note) = note {
                    shared.notify(s::about_file(&name, &note), false);
                }
                self.setup.set_own(name, points.into());
            }
            Err(e) => shared.notify(s::about_file(&name, &e.to_string()), true),
        }
    }

    fn tabs(&mut self, ui: &mut Ui) {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = egui::vec2(theme::UNIT, theme::UNIT);
            for view in View::ALL {
                let name = s::VIEWS[view.index()];
                let chosen = self.view == view;
                let tab = Button::selectable(chosen, name).frame_when_inactive(true);
                if ui.add(tab).on_hover_text(s::VIEW_HELP).clicked() {
                    self.view = view;
                }
            }
        });
        hint(ui, s::VIEW_HINTS[self.view.index()]);
    }

    fn controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        match self.view {
            View::Forward => self.forward_controls(ui, shared),
            View::Training => self.training_controls(ui, shared),
            View::Fields => self.fields_controls(ui, shared),
            View::Reverse => self.reverse_controls(ui, shared),
            View::Wrong => self.presets_controls(ui, shared),
        }
    }

    fn shown(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.setup.sketch.is_some() {
            theme::section(ui, "", |ui| {
                let (side, _) = parts::fit(ui, 1, 0.0);
                self.setup.sketch_ui(ui, side);
            });
            return;
        }
        match self.view {
            View::Forward => self.forward_view(ui, shared),
            View::Training => self.training_view(ui, shared),
            View::Fields => self.fields_view(ui, shared),
            View::Reverse => self.reverse_view(ui, shared),
            View::Wrong => self.presets_view(ui, shared),
        }
    }
}

impl Panel for Lab {
    fn id(&self) -> &'static str {
        "lab"
    }

    fn title(&self) -> &'static str {
        s::TITLE
    }

    fn on_event(&mut self, event: &Event, _shared: &mut Shared) {
        match event {
            Event::Lab(event) => self.on_lab(event),
            Event::Failed { job: Job::Lab, .. } => {
                // Whatever was under way has failed; it is not tried again by itself.
                self.stage_ask.answered();
                self.forward.ask.answered();
                self.fields.ask.answered();
                self.fields.errors_ask.answered();
                self.reverse.paths_ask.answered();
                self.reverse.likelihood_ask.answered();
                self.reverse.busy = false;
            }
            _ => {}
        }
    }

    fn update(&mut self, shared: &mut Shared) {
        self.take_points(shared);
        if let Some(preset) = self.wanted_preset.take() {
            self.try_preset(preset, shared);
        }
        self.note_changes();
        shared.time.set_timesteps(self.setup.timesteps);
        self.set_stage(shared);
        if self.view == View::Reverse {
            self.reverse.follow(shared);
        }
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.stage.is_some() && !self.stage_ask.is_waiting() {
            self.ask(shared);
        }
        self.slow_motion(ui, shared);
        ui.spacing_mut().item_spacing.y = theme::GAP;
        self.tabs(ui);
        self.preset_banner(ui);
        ui.add_space(theme::UNIT);
        if theme::is_phone(ui) && self.setup.sketch.is_some() {
            // The canvas stands right below the buttons that end the drawing.
            ui.spacing_mut().item_spacing.y = theme::PAD;
            self.setup.distribution_ui(ui, shared);
            self.shown(ui, shared);
            return;
        }
        if theme::is_phone(ui) && self.view != View::Wrong {
            ui.spacing_mut().item_spacing.y = theme::PAD;
            self.shown(ui, shared);
            self.controls(ui, shared);
            return;
        }
        let mut context = (self, shared);
        layout::columns(
            ui,
            parts::CONTROLS,
            &mut context,
            |ui, (room, shared)| room.controls(ui, shared),
            |ui, (room, shared)| room.shown(ui, shared),
        );
    }

    fn card(&self) -> Option<&'static Card> {
        Some(s::card(self.view.index()))
    }

    fn time_words(&self) -> &'static TimeWords {
        &POINTS
    }

    fn timesteps(&self) -> Option<usize> {
        let preset = self.wanted_preset.and_then(|i| PRESETS.get(i));
        Some(preset.map_or(self.setup.timesteps, |p| {
            (p.scheduler)().num_train_timesteps
        }))
    }

    fn status(&self) -> serde_json::Value {
        let points = |p: &[Point]| {
            let every = (p.len() / 2_000).max(1);
            json!(p.iter().step_by(every).collect::<Vec<_>>())
        };
        let merit = |m: &Merit| {
            json!({
                "samples": m.samples, "slicedWasserstein": m.sliced_wasserstein,
                "floor": m.sliced_wasserstein_floor, "energy": m.energy, "energyFloor": m.energy_floor,
                "modes": m.modes, "astray": m.astray,
            })
        };
        let training = &self.training;
        let sampled = training.sampled.as_ref();
        let runs = self.reverse.runs.iter().map(|run| {
            let done = run.done.as_ref();
            json!({
                "done": done.is_some(),
                "merit": done.map(|d| merit(&d.merit)),
                "seconds": done.map(|d| d.seconds),
                "samples": done.map(|d| points(&d.samples)),
            })
        });
        json!({
            "view": self.view.name(),
            "dist": self.setup.pick.name(),
            "title": self.stage.as_ref().map(|s| &s.title),
            "waiting": self.stage_ask.is_waiting(),
            "drawing": self.setup.sketch.is_some(),
            "strokes": *self.setup.strokes,
            "forwardT": self.forward.view.as_ref().map(|v| v.request.t),
            "training": {
                "open": training.is_open(), "running": training.is_running(), "step": training.step,
                "merit": sampled.map(|s| merit(&s.merit)), "meritStep": sampled.map(|s| s.step),
            },
            "field": self.fields.view.as_ref().map(|v| json!({
                "t": v.request.t, "step": v.step, "relativeError": v.relative_error,
            })),
            "pooledError": self.fields.errors.as_ref().map(|e| e.pooled),
            "busy": self.reverse.busy,
            "runs": runs.collect::<Vec<_>>(),
            "paths": self.reverse.paths.as_ref().map(|p| p.request.start),
            "nll": self.reverse.likelihood.as_ref().map(|l| l.nll),
            "preset": self.preset.and_then(|i| PRESETS.get(i)).map(|p| p.name),
        })
    }

    fn address(&self, _shared: &Shared) -> Vec<(&'static str, String)> {
        self.pairs()
    }

    fn set_address(&mut self, key: &str, value: &str, _shared: &mut Shared) {
        self.take_pair(key, value);
    }
}

//! What goes wrong: settings that fail, each for a reason that can be seen. The network's samples stand beside those of
//! the exact score, by the same sampler: what is wrong with both is not the network's fault.

use egui::{Button, RichText, Ui};
use noiselab::session::{
    command::Command,
    event::TrainStatus,
    lab::{
        PRESETS,
        command::{Denoiser, LabCommand, LabReverse, LabRun},
    },
};

use super::{Lab, View, parts, reverse::Run};
use crate::ui::{
    panels::layout,
    shared::Shared,
    strings::lab as s,
    theme,
    widgets::{button, hint, warning},
};

/// Particles of the comparison.
const COUNT: usize = 5_000;

/// What is drawn of a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drawn {
    /// Nothing yet.
    #[default]
    Nothing,
    /// With the exact score.
    Exact,
    /// With the network as well.
    Both,
}

/// The preset of that name.
pub fn by_name(name: &str) -> Option<usize> {
    PRESETS.iter().position(|p| p.name == name)
}

impl Lab {
    /// Sets everything as a preset says and starts.
    pub(super) fn try_preset(&mut self, index: usize, shared: &mut Shared) {
        let Some(preset) = PRESETS.get(index) else {
            return;
        };
        self.preset = Some(index);
        self.preset_drawn = Drawn::Nothing;
        self.setup.set_scheduler((preset.scheduler)());
        self.setup.sketch = None;
        self.forward.compare = None;
        self.training.set_spec((preset.train)());
        self.set_stage(shared);
        self.start(shared);
        self.ask_preset(shared);
    }

    /// Whoever changes what a preset has set has left it.
    pub(super) fn note_changes(&mut self) {
        let Some(preset) = self.preset.and_then(|i| PRESETS.get(i)) else {
            return;
        };
        let (now, set) = (&self.training.spec, (preset.train)());
        let same = self.setup.scheduler() == (preset.scheduler)()
            && (&now.network, now.batch) == (&set.network, set.batch);
        if !same {
            self.preset = None;
        }
    }

    /// Draws with the exact score at once, and with the network when it rests.
    pub(super) fn ask_preset(&mut self, shared: &Shared) {
        let Some(preset) = self.preset.and_then(|i| PRESETS.get(i)) else {
            return;
        };
        let rests = matches!(self.training.status, TrainStatus::Paused(_));
        let next = match self.preset_drawn {
            Drawn::Nothing => Drawn::Exact,
            Drawn::Exact if rests && !self.reverse.busy => Drawn::Both,
            _ => return,
        };
        self.preset_drawn = next;
        let run = |denoiser| LabRun {
            sampler: preset.sampler.to_owned(),
            steps: preset.steps,
            eta: 0.0,
            denoiser,
        };
        let mut runs = vec![run(Denoiser::Exact)];
        if next == Drawn::Both {
            runs.push(run(Denoiser::Learned));
        }
        self.reverse.runs.clear();
        self.reverse.busy = true;
        self.reverse.learned = next == Drawn::Both;
        shared.send(Command::Lab(LabCommand::Reverse(LabReverse {
            seed: shared.seed,
            count: COUNT,
            runs,
        })));
    }

    /// Back to sound settings.
    fn leave_preset(&mut self) {
        self.preset = None;
        if let Some(sound) = PRESETS.first() {
            self.setup.set_scheduler((sound.scheduler)());
            self.training.set_spec((sound.train)());
        }
    }

    pub(super) fn presets_controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.spacing_mut().item_spacing.y = theme::GAP;
        for (i, preset) in PRESETS.iter().enumerate() {
            let chosen = self.preset == Some(i);
            let shown = theme::section(ui, "", |ui| {
                ui.spacing_mut().item_spacing.y = theme::UNIT;
                let colour = theme::strong(ui);
                ui.label(RichText::new(preset.title).color(colour));
                hint(ui, preset.summary);
                ui.add_space(theme::UNIT);
                let label = s::try_preset(preset.title);
                let response = ui
                    .add(Button::new(s::TRY))
                    .accessible_name(label)
                    .on_hover_text(s::TRY_HELP);
                if response.clicked() {
                    self.try_preset(i, shared);
                }
            });
            if chosen {
                layout::frame(ui, shown.response.rect, chosen, &shown.response);
            }
        }
        self.setup.distribution_ui(ui, shared);
    }

    pub(super) fn presets_view(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(preset) = self.preset.and_then(|i| PRESETS.get(i)) else {
            theme::section(ui, "", |ui| hint(ui, s::CHOOSE));
            return;
        };
        theme::section(ui, preset.title, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            warning(ui, preset.summary);
            let (side, columns) = parts::fit(ui, 2, 180.0);
            parts::rows(ui, 2, side, columns, |ui, i| {
                // The network's is the second run, and comes when it has been trained.
                let run = 1 - i;
                if i == 0 && self.reverse.runs.len() < 2 {
                    self.samples_canvas(ui, shared, side);
                    return;
                }
                let caption = [s::BY_NETWORK, s::BY_EXACT][i];
                self.run_ui(ui, shared, side, run, Some(caption));
            });
        });
        let merits: Vec<(usize, &str)> = [(1, s::BY_NETWORK), (0, s::BY_EXACT)]
            .into_iter()
            .filter(|&(i, _)| self.reverse.runs.get(i).is_some_and(Run::has_modes))
            .collect();
        if !merits.is_empty() {
            theme::section(ui, s::MERIT, |ui| {
                let (width, columns) = parts::fit(ui, 2, -400.0);
                parts::rows(ui, merits.len(), width, columns, |ui, k| {
                    let (i, name) = merits[k];
                    let Some(done) = &self.reverse.runs[i].done else {
                        return;
                    };
                    parts::caption(ui, name);
                    parts::coverage(ui, &format!("lab preset {i}"), &done.merit, 144.0);
                });
            });
        }
        if self.reverse.runs.len() < 2 {
            self.coverage_section(ui);
        }
        self.learning_section(ui);
    }

    /// Says in the other views that a preset is set.
    pub(super) fn preset_banner(&mut self, ui: &mut Ui) {
        if self.view == View::Wrong {
            return;
        }
        let Some(preset) = self.preset.and_then(|i| PRESETS.get(i)) else {
            return;
        };
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(s::preset_set(preset.title)).color(theme::accent(ui)));
            if button(ui, s::PRESET_CLOSE, s::PRESET_CLOSE_HELP).clicked() {
                self.leave_preset();
            }
        });
    }
}

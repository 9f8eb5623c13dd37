//! What goes wrong: settings that fail, each for a reason that can be seen.

use egui::{RichText, Ui};
use noiselab::nn::mlp::MlpConfig;

use super::{
    Lab, View, parts,
    reverse::{Choice, Mode},
    setup::{BETA_END, Pick},
};
use crate::ui::{
    panels::layout,
    shared::Shared,
    strings::lab as s,
    theme,
    widgets::{button, hint},
};

/// What a preset does.
#[derive(Debug, Clone)]
pub enum Act {
    /// Trains this network.
    Train(MlpConfig),
    /// Draws with the exact score by these samplers, sampler and steps.
    Draw(&'static [(&'static str, usize)]),
}

/// A preset.
#[derive(Debug, Clone)]
pub struct Preset {
    /// In addresses.
    pub name: &'static str,
    /// What to call it.
    pub title: &'static str,
    /// What goes wrong and why, one sentence.
    pub sentence: &'static str,
    distribution: &'static str,
    schedule: &'static str,
    timesteps: usize,
    beta_end: f64,
    act: Act,
}

const SOUND: MlpConfig = MlpConfig {
    features: 2,
    width: 128,
    blocks: 3,
    time_embedding: true,
};

/// Every preset, the sound one first.
pub fn all() -> &'static [Preset] {
    static ALL: [Preset; 7] = [
        Preset {
            name: "sound",
            title: "As it should be",
            sentence: "Enough steps, enough noise at the end, a network that is large enough: all eight modes get their share.",
            distribution: "eight_gaussians",
            schedule: "linear",
            timesteps: 1000,
            beta_end: BETA_END,
            act: Act::Train(SOUND),
        },
        Preset {
            name: "t_too_small",
            title: "T too small",
            sentence: "After 50 small steps the points are not noise yet, but sampling starts from noise: even with the exact score it never arrives.",
            distribution: "eight_gaussians",
            schedule: "linear",
            timesteps: 50,
            beta_end: BETA_END,
            act: Act::Draw(&[("ddpm", 50), ("pf_ode", 50)]),
        },
        Preset {
            name: "too_fast",
            title: "Schedule too fast",
            sentence: "The noise comes in the first few of 50 steps, so that each step back is too large to be a Gaussian.",
            distribution: "eight_gaussians",
            schedule: "linear",
            timesteps: 50,
            beta_end: 0.9,
            act: Act::Draw(&[("ddpm", 50), ("ddim", 50)]),
        },
        Preset {
            name: "small_network",
            title: "Network too small",
            sentence: "Eight numbers a layer cannot hold a field with eight valleys: samples smear out between the modes.",
            distribution: "eight_gaussians",
            schedule: "linear",
            timesteps: 1000,
            beta_end: BETA_END,
            act: Act::Train(MlpConfig {
                features: 2,
                width: 8,
                blocks: 1,
                time_embedding: true,
            }),
        },
        Preset {
            name: "few_steps",
            title: "Too few steps",
            sentence: "With five steps the ancestral sampler adds noise that it has no step left to remove; without noise five steps come closer.",
            distribution: "eight_gaussians",
            schedule: "linear",
            timesteps: 1000,
            beta_end: BETA_END,
            act: Act::Draw(&[("ddpm", 5), ("ddim", 5), ("pf_ode", 5)]),
        },
        Preset {
            name: "no_time",
            title: "No time embedding",
            sentence: "A network that is not told the time gives one answer for all noise levels: too weak at the end, too strong at the beginning.",
            distribution: "eight_gaussians",
            schedule: "linear",
            timesteps: 1000,
            beta_end: BETA_END,
            act: Act::Train(MlpConfig {
                features: 2,
                width: 128,
                blocks: 3,
                time_embedding: false,
            }),
        },
        Preset {
            name: "weights",
            title: "Modes of unequal weight",
            sentence: "Langevin dynamics at low noise cannot cross between far modes: the shares depend on where the particles came from.",
            distribution: "two_gaussians",
            schedule: "linear",
            timesteps: 1000,
            beta_end: BETA_END,
            act: Act::Draw(&[("ddpm", 200), ("langevin", 20)]),
        },
    ];
    &ALL
}

impl Lab {
    /// Sets everything as a preset says and starts.
    pub(super) fn try_preset(&mut self, index: usize, shared: &mut Shared) {
        let Some(preset) = all().get(index) else {
            return;
        };
        self.preset = Some(index);
        if let Some(pick) = Pick::by_name(preset.distribution) {
            self.setup.pick = pick;
        }
        self.setup.sketch = None;
        preset.schedule.clone_into(&mut self.setup.schedule);
        self.setup.timesteps = preset.timesteps;
        self.setup.beta_end = preset.beta_end;
        self.forward.compare = None;
        self.set_stage(shared);
        match &preset.act {
            Act::Train(network) => {
                self.training.spec.network = *network;
                self.start(shared);
            }
            Act::Draw(samplers) => {
                self.reverse.mode = Mode::Flow;
                self.reverse.exact = true;
                self.reverse.choices = samplers
                    .iter()
                    .map(|&(sampler, steps)| Choice::new(sampler, steps))
                    .collect();
                self.draw(shared);
            }
        }
    }

    /// Back to sound settings.
    fn leave_preset(&mut self) {
        self.preset = None;
        self.setup.timesteps = 1000;
        self.setup.beta_end = BETA_END;
        self.training.spec.network = SOUND;
        self.reverse.exact = false;
        self.reverse.choices = super::reverse::Reverse::default().choices;
    }

    pub(super) fn presets_controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.spacing_mut().item_spacing.y = theme::GAP;
        for (i, preset) in all().iter().enumerate() {
            let chosen = self.preset == Some(i);
            let shown = theme::section(ui, "", |ui| {
                ui.spacing_mut().item_spacing.y = theme::UNIT;
                let colour = theme::strong(ui);
                ui.label(RichText::new(preset.title).color(colour));
                hint(ui, preset.sentence);
                let label = s::try_preset(preset.title);
                let response = ui.add(egui::Button::new(s::TRY));
                response
                    .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &label));
                if response.on_hover_text(s::TRY_HELP).clicked() {
                    self.try_preset(i, shared);
                }
            });
            layout::frame(ui, shown.response.rect, chosen, &shown.response);
        }
    }

    pub(super) fn presets_view(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(preset) = self.preset.and_then(|i| all().get(i)) else {
            theme::section(ui, "", |ui| hint(ui, s::CHOOSE));
            return;
        };
        match preset.act {
            Act::Train(_) => {
                theme::section(ui, preset.title, |ui| {
                    let (side, _) = parts::fit(ui, 1, 160.0);
                    self.samples_canvas(ui, shared, side);
                    if let Some(sampled) = &self.training.sampled {
                        ui.add_space(theme::UNIT);
                        parts::merit_figures(ui, &sampled.merit);
                    } else {
                        hint(ui, s::NO_SAMPLES);
                    }
                });
                self.coverage_section(ui);
                self.learning_section(ui);
            }
            Act::Draw(_) => self.flow_view(ui, shared),
        }
    }

    /// Says in the other views that a preset is set.
    pub(super) fn preset_banner(&mut self, ui: &mut Ui) {
        if self.view == View::Wrong {
            return;
        }
        let Some(preset) = self.preset.and_then(|i| all().get(i)) else {
            return;
        };
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(preset.title).color(theme::accent(ui)));
            if button(ui, s::PRESET_CLOSE, s::PRESET_CLOSE_HELP).clicked() {
                self.leave_preset();
            }
        });
    }
}

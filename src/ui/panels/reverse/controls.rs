//! What the user can set.

use egui::{ProgressBar, Ui};
use noiselab::{
    diffusion::sampler::SAMPLERS,
    session::{
        command::{Command, ExportKind, ExportRequest},
        event::Job,
    },
};

use super::{Beside, COUNTS, Pick, Reverse, takes_eta};
use crate::ui::{
    files::Ask, panels::flow, shared::Shared, strings::reverse as words, theme, widgets,
};

/// Seeds that "New seed" takes: short enough to be told.
const SEEDS: u64 = 100_000;
/// Narrowest slider with its value.
const SLIDER: f32 = 144.0;
/// Width of a number to drag.
const NUMBER: f32 = 56.0;

/// A seed that is not `seed`.
fn another_seed(seed: u64) -> u64 {
    let mixed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let next = (mixed >> 32) % SEEDS;
    if next == seed {
        (next + 1) % SEEDS
    } else {
        next
    }
}

fn export_width(ui: &Ui) -> f32 {
    flow::button_width(ui, words::EXPORT) + 16.0
}

impl Reverse {
    /// The controls of all runs.
    pub(super) fn bar(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, "", |ui| {
            flow::flow(ui, |ui| {
                self.model(ui, shared);
                self.samples(ui);
                self.seed(ui, shared);
                let width = flow::button_width(ui, words::DRAW);
                flow::lowered(ui, width, |ui| {
                    if widgets::primary_button(ui, words::DRAW, words::DRAW_TIP).clicked() {
                        self.draw(shared);
                    }
                });
                let width = flow::button_width(ui, words::STOP);
                flow::lowered(ui, width, |ui| {
                    ui.add_enabled_ui(self.busy, |ui| {
                        if widgets::button(ui, words::STOP, words::STOP_TIP).clicked() {
                            self.stop(shared);
                        }
                    });
                });
                let options = Beside::ALL.map(|b| (b, b.name()));
                let tip = words::beside_tip(shared.objective());
                flow::segmented(ui, words::BESIDE, tip, &mut self.beside, &options);
                let width = flow::toggle_width(ui, words::COMPARE);
                flow::lowered(ui, width, |ui| {
                    widgets::toggle(ui, &mut self.compare, words::COMPARE, words::COMPARE_TIP);
                });
                self.state(ui, shared);
            });
        });
    }

    fn model(&mut self, ui: &mut Ui, shared: &Shared) {
        let mut pick = self.opening.unwrap_or(self.pick);
        let before = pick;
        let mut options = vec![(Pick::Pretrained, words::PRETRAINED)];
        if self.training {
            options.push((Pick::TrainingAveraged, words::TRAINING_AVERAGED));
            options.push((Pick::TrainingRaw, words::TRAINING_RAW));
        }
        let name = shared.model.as_ref().map_or(words::OTHER, |m| &m.name);
        if self.pick == Pick::Other {
            options.push((Pick::Other, name));
        }
        if Ask::FOLDERS {
            options.push((Pick::Folder, words::OWN_FOLDER));
        }
        flow::item(ui, 176.0, |ui| {
            widgets::combo(
                ui,
                "reverse model",
                words::MODEL,
                words::MODEL_TIP,
                &mut pick,
                &options,
            );
        });
        if pick != before {
            self.open(pick, shared);
        }
    }

    fn samples(&mut self, ui: &mut Ui) {
        let names = COUNTS.map(|n| n.to_string());
        let options: Vec<(usize, &str)> = COUNTS
            .into_iter()
            .zip(names.iter().map(String::as_str))
            .collect();
        let before = self.count;
        let tip = words::COUNT_TIP;
        flow::segmented(ui, words::COUNT, tip, &mut self.count, &options);
        self.count_chosen |= self.count != before;
    }

    fn seed(&mut self, ui: &mut Ui, shared: &mut Shared) {
        flow::item(ui, 56.0, |ui| {
            let most = u64::from(u32::MAX);
            let seed = &mut shared.seed;
            widgets::drag(ui, seed, 0..=most, words::SEED, words::SEED_TIP);
        });
        let width = flow::button_width(ui, words::NEW_SEED);
        flow::lowered(ui, width, |ui| {
            if widgets::button(ui, words::NEW_SEED, words::NEW_SEED_TIP).clicked() {
                shared.seed = another_seed(shared.seed);
                self.draw(shared);
            }
        });
    }

    /// What is going on, in a line.
    fn state(&self, ui: &mut Ui, shared: &Shared) {
        let preparing = shared
            .compiling
            .filter(|(job, ..)| *job == Job::Reverse && self.busy);
        let changed = !self.busy
            && self
                .request
                .as_ref()
                .is_some_and(|r| **r != self.wanted(shared));
        let text = match preparing {
            Some((_, done, of)) => words::preparing(done, of),
            None if changed => words::CHANGED.into(),
            None => return,
        };
        let width = flow::text_width(ui, &text, egui::TextStyle::Small) + 8.0;
        flow::lowered(ui, width, |ui| {
            ui.add_space(theme::UNIT);
            widgets::hint(ui, &text);
        });
    }

    /// The controls of one run. Where there is little space the export stands beside them: then true.
    pub(super) fn sampler(&mut self, ui: &mut Ui, shared: &Shared, i: usize) -> bool {
        let most = Self::timesteps(shared);
        let mut choice = self.choices[i].clone();
        let tip = words::sampler_tip(&choice.sampler).unwrap_or_default();
        let names: Vec<String> = SAMPLERS
            .iter()
            .map(|s| words::sampler_name(s.name))
            .collect();
        let options: Vec<(String, &str)> = SAMPLERS
            .iter()
            .zip(&names)
            .map(|(s, name)| (s.name.to_owned(), name.as_str()))
            .collect();
        let combo = 96.0;
        // A point less, as items are rounded up.
        let slider = ((ui.available_width() - combo - 2.0 * theme::PAD) / 2.0).floor() - 1.0;
        let narrow = slider < SLIDER;
        let [steps, eta] = [words::STEPS, words::ETA].map(|w| format!("{w} {}", words::RUNS[i]));
        let has_eta = takes_eta(&choice.sampler);
        flow::flow(ui, |ui| {
            flow::item(ui, combo, |ui| {
                let label = format!("{} {}", words::SAMPLER, words::RUNS[i]);
                let selected = &mut choice.sampler;
                widgets::combo(ui, &label, &label, tip, selected, &options);
            });
            if !narrow {
                flow::item(ui, slider, |ui| {
                    widgets::slider(ui, &mut choice.steps, 1..=most, &steps, words::STEPS_TIP);
                });
                flow::item(ui, slider, |ui| {
                    ui.add_enabled_ui(has_eta, |ui| {
                        widgets::slider(ui, &mut choice.eta, 0.0..=1.0, &eta, words::ETA_TIP);
                    });
                });
                return;
            }
            // Too narrow for sliders: numbers to drag.
            flow::item(ui, NUMBER, |ui| {
                widgets::drag(ui, &mut choice.steps, 1..=most, &steps, words::STEPS_TIP);
            });
            flow::item(ui, NUMBER, |ui| {
                ui.add_enabled_ui(has_eta, |ui| {
                    // A point of the pointer is a unit of the number.
                    let mut percent = (100.0 * choice.eta).round() as u32;
                    let label = format!("{eta}, %");
                    if widgets::drag(ui, &mut percent, 0..=100, &label, words::ETA_TIP).changed() {
                        choice.eta = f64::from(percent) / 100.0;
                    }
                });
            });
            if self.runs.get(i).is_some() {
                let width = export_width(ui);
                flow::lowered(ui, width, |ui| self.export(ui, shared, i));
            }
        });
        self.choices[i] = choice;
        narrow
    }

    /// The figures of one run, and its export.
    pub(super) fn counters(&self, ui: &mut Ui, shared: &Shared, i: usize, export: bool) {
        let Some(run) = self.runs.get(i) else { return };
        let frame = run.frame_at(shared.time.t()).map(|k| run.frames[k]);
        flow::flow(ui, |ui| {
            let evaluations = run.evaluations.to_string();
            let tip = words::EVALUATIONS_TIP;
            flow::figure(ui, words::EVALUATIONS, &evaluations, tip);
            let seconds = words::seconds(run.seconds);
            flow::figure(ui, words::SECONDS, &seconds, words::SECONDS_TIP);
            if let Some(frame) = frame {
                let step = words::step_of(frame.steps_taken, run.choice.steps);
                flow::figure(ui, words::STEP, &step, words::STEP_TIP);
                let sigma = if frame.sigma == 0.0 {
                    words::SIGMA_NONE.to_owned()
                } else {
                    format!("{:.3}", frame.sigma)
                };
                flow::figure(ui, words::SIGMA, &sigma, words::SIGMA_TIP);
            }
            if export {
                let width = export_width(ui);
                flow::item(ui, width, |ui| self.export(ui, shared, i));
            }
        });
        // The place stays when the run is done, so that nothing jumps.
        let size = egui::vec2(ui.available_width(), 4.0);
        ui.allocate_ui(size, |ui| {
            ui.set_min_size(size);
            if !run.done && self.busy {
                let share = run.arrived as f32 / run.frames.len().max(1) as f32;
                ui.add(ProgressBar::new(share).desired_height(4.0));
            }
        });
    }

    fn export(&self, ui: &mut Ui, shared: &Shared, run: usize) {
        let label = format!("{} {}", words::EXPORT, words::RUNS[run]);
        let done = self.runs.get(run).is_some_and(|r| r.done);
        ui.add_enabled_ui(done, |ui| self.export_menu(ui, shared, run, &label));
    }

    fn export_menu(&self, ui: &mut Ui, shared: &Shared, run: usize, label: &str) {
        ui.menu_button(label, |ui| {
            for (kind, name, tip) in [
                (
                    ExportKind::Picture,
                    words::EXPORT_PICTURE,
                    words::EXPORT_PICTURE_TIP,
                ),
                (
                    ExportKind::Filmstrip,
                    words::EXPORT_STRIP,
                    words::EXPORT_STRIP_TIP,
                ),
                (
                    ExportKind::Animation,
                    words::EXPORT_FILM,
                    words::EXPORT_FILM_TIP,
                ),
            ] {
                if widgets::button(ui, name, tip).clicked() {
                    shared.send(Command::Export(ExportRequest {
                        run,
                        sample: self.enlarged,
                        kind,
                        scale: self.export_scale(run, kind),
                    }));
                    ui.close();
                }
            }
        })
        .response
        .on_hover_text(words::EXPORT_TIP);
    }

    /// Enlarges small pictures so that they can be seen without a magnifier.
    fn export_scale(&self, run: usize, kind: ExportKind) -> usize {
        let Some(run) = self.runs.get(run) else {
            return 1;
        };
        let (w, _) = run.films.x.tile_size();
        let (columns, _) = run.films.x.grid();
        let across = if self.enlarged.is_some() {
            w
        } else {
            w * columns
        };
        let wanted = if kind == ExportKind::Filmstrip {
            224
        } else {
            448
        };
        (wanted / across.max(1)).clamp(1, 16)
    }
}

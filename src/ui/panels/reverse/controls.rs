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
use crate::ui::{shared::Shared, strings::reverse as words, theme, widgets};

/// Seeds that "New seed" takes: short enough to be told.
const SEEDS: u64 = 100_000;

impl Reverse {
    /// The controls of all runs.
    pub(super) fn bar(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, "", |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = theme::PAD;
                self.model(ui, shared);
                self.samples(ui);
                self.seed(ui, shared);
                ui.vertical(|ui| {
                    ui.add_space(20.0);
                    ui.horizontal(|ui| {
                        if widgets::primary_button(ui, words::DRAW, words::DRAW_TIP).clicked() {
                            self.draw(shared);
                        }
                        ui.add_enabled_ui(self.busy, |ui| {
                            if widgets::button(ui, words::STOP, words::STOP_TIP).clicked() {
                                self.stop(shared);
                            }
                        });
                    });
                });
            });
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = theme::PAD;
                let options = Beside::ALL.map(|b| (b, b.name()));
                widgets::segmented(
                    ui,
                    words::BESIDE,
                    words::BESIDE_TIP,
                    &mut self.beside,
                    &options,
                );
                ui.vertical(|ui| {
                    ui.add_space(20.0);
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
        ui.allocate_ui(egui::vec2(200.0, 48.0), |ui| {
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
        widgets::segmented(
            ui,
            words::COUNT,
            words::COUNT_TIP,
            &mut self.count,
            &options,
        );
        self.count_chosen |= self.count != before;
    }

    fn seed(&mut self, ui: &mut Ui, shared: &mut Shared) {
        widgets::drag(
            ui,
            &mut shared.seed,
            0..=u64::from(u32::MAX),
            words::SEED,
            words::SEED_TIP,
        );
        ui.vertical(|ui| {
            ui.add_space(20.0);
            if widgets::button(ui, words::NEW_SEED, words::NEW_SEED_TIP).clicked() {
                // A step of a full-period generator: never the same seed twice in a row.
                shared.seed = shared
                    .seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407)
                    .rotate_right(32)
                    % SEEDS;
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
        ui.vertical(|ui| {
            ui.add_space(24.0);
            widgets::hint(ui, &text);
        });
    }

    /// The controls of one run.
    pub(super) fn sampler(&mut self, ui: &mut Ui, shared: &Shared, i: usize) {
        let most = Self::timesteps(shared);
        let choice = &mut self.choices[i];
        let summary = SAMPLERS
            .iter()
            .find(|s| s.name == choice.sampler)
            .map_or("", |s| s.summary);
        let names: Vec<String> = SAMPLERS
            .iter()
            .map(|s| words::sampler_name(s.name))
            .collect();
        let options: Vec<(String, &str)> = SAMPLERS
            .iter()
            .zip(&names)
            .map(|(s, name)| (s.name.to_owned(), name.as_str()))
            .collect();
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = theme::PAD;
            ui.allocate_ui(egui::vec2(96.0, 48.0), |ui| {
                let label = format!("{} {}", words::SAMPLER, words::RUNS[i]);
                widgets::combo(ui, &label, &label, summary, &mut choice.sampler, &options);
            });
            let width = ((ui.available_width() - theme::PAD) / 2.0).clamp(144.0, 240.0);
            ui.allocate_ui(egui::vec2(width, 48.0), |ui| {
                let label = format!("{} {}", words::STEPS, words::RUNS[i]);
                widgets::slider(ui, &mut choice.steps, 1..=most, &label, words::STEPS_TIP);
            });
            ui.allocate_ui(egui::vec2(width, 48.0), |ui| {
                ui.add_enabled_ui(takes_eta(&choice.sampler), |ui| {
                    let label = format!("{} {}", words::ETA, words::RUNS[i]);
                    widgets::slider(ui, &mut choice.eta, 0.0..=1.0, &label, words::ETA_TIP);
                });
            });
        });
    }

    /// The figures of one run, and its export.
    pub(super) fn counters(&self, ui: &mut Ui, shared: &Shared, i: usize) {
        let Some(run) = self.runs.get(i) else { return };
        let frame = run.frame_at(shared.time.t()).map(|k| run.frames[k]);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = theme::PAD;
            widgets::figure(
                ui,
                words::EVALUATIONS,
                &run.evaluations.to_string(),
                words::EVALUATIONS_TIP,
            );
            widgets::figure(
                ui,
                words::SECONDS,
                &words::seconds(run.seconds),
                words::SECONDS_TIP,
            );
            if let Some(frame) = frame {
                widgets::figure(
                    ui,
                    words::STEP,
                    &words::step_of(frame.steps_taken, run.choice.steps),
                    words::STEP_TIP,
                );
                let sigma = if frame.sigma == 0.0 {
                    words::SIGMA_NONE.to_owned()
                } else {
                    format!("{:.3}", frame.sigma)
                };
                widgets::figure(ui, words::SIGMA, &sigma, words::SIGMA_TIP);
            }
            ui.vertical(|ui| {
                ui.add_space(4.0);
                self.export(ui, shared, i);
            });
        });
        if !run.done && self.busy {
            let share = run.arrived as f32 / run.frames.len().max(1) as f32;
            ui.add(ProgressBar::new(share).desired_height(4.0));
        }
    }

    fn export(&self, ui: &mut Ui, shared: &Shared, run: usize) {
        let done = self.runs.get(run).is_some_and(|r| r.done);
        ui.add_enabled_ui(done, |ui| {
            let label = format!("{} {}", words::EXPORT, words::RUNS[run]);
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
        });
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

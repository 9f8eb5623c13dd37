//! The whole path of one sample: x_t large, and filmstrips of everything that a step has.

use egui::{Align, Layout, RichText, Sense, Ui, vec2};
use noiselab::gpu::film::Film;

use super::{Beside, Reverse, grids};
use crate::ui::{shared::Shared, strings::reverse as words, theme, widgets};

/// Frames of a filmstrip at most.
const FRAMES: usize = 12;
/// So many are worth smaller pictures.
const ENOUGH: usize = 8;
/// And at least, however narrow the window is.
const FEWEST: usize = 4;
/// Width of the captions at the left of the strips.
const CAPTION: f32 = 32.0;

impl Reverse {
    pub(super) fn path(&mut self, ui: &mut Ui, shared: &mut Shared, sample: usize) {
        ui.horizontal_wrapped(|ui| {
            theme::heading(ui, &words::path_title(sample));
            if widgets::button(ui, words::CLOSE, words::CLOSE_TIP).clicked() {
                self.enlarged = None;
            }
        });
        for i in 0..self.runs.len() {
            let choice = &self.runs[i].choice;
            let eta = super::takes_eta(&choice.sampler).then_some(choice.eta);
            let name = words::sampler(&choice.sampler, choice.steps, eta);
            let title = format!("{}: {name}", words::RUNS.get(i).unwrap_or(&""));
            theme::section(ui, &title, |ui| {
                self.counters(ui, shared, i, true);
                self.strips(ui, shared, (i, sample));
            });
        }
    }

    fn strips(&self, ui: &mut Ui, shared: &mut Shared, (i, sample): (usize, usize)) {
        let run = &self.runs[i];
        let t = shared.time.t();
        let frame = run.frame_at(t);
        let name = words::RUNS.get(i).copied().unwrap_or_default();
        let wide = !theme::is_phone(ui) && ui.available_width() > 640.0;
        let layout = if wide {
            Layout::left_to_right(Align::Min)
        } else {
            Layout::top_down(Align::Min)
        };
        ui.with_layout(layout, |ui| {
            ui.vertical(|ui| {
                let shown = frame.map_or(t, |k| run.frames[k].t);
                let caption = format!("{}   {}", words::X_T_CAPTION, words::at_t(shown));
                grids::captioned(ui, 196.0, &caption);
                let label = words::frame(words::X_T, name, shown);
                match frame {
                    Some(k) => {
                        widgets::film_tile(ui, shared, &run.films.x, (k, sample), 200.0, &label);
                    }
                    None => {
                        let (rect, _) = ui.allocate_exact_size(vec2(196.0, 196.0), Sense::hover());
                        grids::missing(ui, rect, words::EMPTY);
                    }
                }
            });
            ui.vertical(|ui| self.strip_rows(ui, shared, (i, sample), frame));
        });
    }

    fn strip_rows(
        &self,
        ui: &mut Ui,
        shared: &mut Shared,
        (i, sample): (usize, usize),
        current: Option<usize>,
    ) {
        let run = &self.runs[i];
        let name = words::RUNS.get(i).copied().unwrap_or_default();
        let (w, h) = run.films.x.tile_size();
        let dpi = ui.ctx().pixels_per_point();
        let gap = theme::UNIT;
        let space = ui.available_width() - CAPTION - gap;
        // As large as whole factors allow while there are enough frames to tell the story.
        let smallest = w as f32 / dpi;
        let fit = |factor: f32| {
            // The numbers below need some space as well.
            let cell = (smallest * factor).max(28.0);
            ((space + gap) / (cell + gap)) as usize
        };
        let factor = [(4.0, FRAMES), (3.0, FRAMES), (2.0, ENOUGH)]
            .into_iter()
            .find(|&(f, frames)| smallest * f <= 112.0 && fit(f) >= frames)
            .map_or(1.0, |(f, _)| f);
        let n = fit(factor)
            .clamp(FEWEST, FRAMES)
            .min(run.frames.len().max(1));
        let size = vec2(smallest, h as f32 / dpi) * factor;
        let last = run.frames.len().saturating_sub(1);
        let chosen: Vec<usize> = (0..n)
            .map(|k| {
                if n == 1 {
                    last
                } else {
                    (k * last + (n - 1) / 2) / (n - 1)
                }
            })
            .collect();
        let nearest = current.and_then(|c| chosen.iter().copied().min_by_key(|k| k.abs_diff(c)));
        let rows: [(&str, &str, &Film, Option<Beside>); 4] = [
            (words::X_T_CAPTION, words::X_T, &run.films.x, None),
            (
                words::X0_HAT_CAPTION,
                words::X0_HAT,
                &run.films.x0_hat,
                Some(Beside::X0Hat),
            ),
            (
                words::EPS_HAT_CAPTION,
                words::EPS_HAT,
                &run.films.eps_hat,
                Some(Beside::EpsHat),
            ),
            (
                words::NOISE_CAPTION,
                words::NOISE,
                &run.films.noise,
                Some(Beside::Noise),
            ),
        ];
        egui::ScrollArea::horizontal()
            .id_salt(("strips", i))
            .show(ui, |ui| {
                egui::Grid::new(("strips", i))
                    .spacing(vec2(gap, gap))
                    .min_col_width(0.0)
                    .min_row_height(0.0)
                    .show(ui, |ui| {
                        for (caption, what, film, beside) in rows {
                            ui.allocate_ui_with_layout(
                                vec2(CAPTION, size.y),
                                Layout::left_to_right(Align::Center),
                                |ui| widgets::hint(ui, caption),
                            );
                            for &k in &chosen {
                                let frame = &run.frames[k];
                                let there = k < run.arrived
                                    && beside.is_none_or(|b| b.missing(frame).is_none());
                                let label = words::frame(what, name, frame.t);
                                let response = if there {
                                    let place = (k, sample);
                                    // A little more, so that rounding never costs a whole factor.
                                    let space = size.x.max(size.y) + 0.01;
                                    widgets::film_tile(ui, shared, film, place, space, &label)
                                } else {
                                    let (rect, response) =
                                        ui.allocate_exact_size(size, Sense::click());
                                    grids::missing(ui, rect, "");
                                    response.widget_info(|| {
                                        egui::WidgetInfo::labeled(egui::Role::Image, true, &label)
                                    });
                                    response
                                };
                                if response.on_hover_text(words::FRAME_TIP).clicked() {
                                    shared.time.playing = false;
                                    shared.time.set_t(frame.t);
                                }
                            }
                            ui.end_row();
                        }
                        ui.label("");
                        for &k in &chosen {
                            let here = Some(k) == nearest;
                            let colour = if here {
                                theme::accent(ui)
                            } else {
                                theme::weak(ui)
                            };
                            let text = RichText::new(run.frames[k].t.to_string());
                            ui.allocate_ui_with_layout(
                                vec2(size.x, 16.0),
                                Layout::centered_and_justified(egui::Direction::LeftToRight),
                                |ui| ui.label(text.small().color(colour)),
                            );
                        }
                        ui.end_row();
                    });
            });
    }
}

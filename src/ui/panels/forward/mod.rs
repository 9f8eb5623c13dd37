//! The forward process: a picture dissolves into noise.

mod chooser;
mod picture;
mod schedules;
#[cfg(test)]
pub mod tests;

use std::sync::Arc;

use egui::{TextStyle, Ui, vec2};
use noiselab::{
    diffusion::schedule::SCHEDULES,
    rng::philox,
    session::{
        command::{Command, ForwardRequest, Picture},
        event::{Event, ForwardView, Histogram, Job},
    },
};

use self::{
    chooser::Chooser,
    schedules::{Known, Quantity, Schedules},
};
use super::{
    bars::{Axes, Bars, bar_plot},
    layout::{self, frame},
};
use crate::ui::{
    panel::Panel,
    shared::Shared,
    strings::forward as s,
    theme,
    widgets::{
        PlotOptions, Series, button, combo, drag, equation, figure, film_tile, hint, line_plot,
        log_slider, math, number, tex, toggle, warning,
    },
};

/// Pictures in the filmstrip.
const STRIP: usize = 11;
/// T that one can choose.
const TIMESTEPS: std::ops::RangeInclusive<usize> = 1..=4000;
/// T for which there are buttons.
const T_PRESETS: [usize; 3] = [50, 200, 1000];
/// Seeds that the seed field takes: all of them can be typed.
const SEEDS: std::ops::RangeInclusive<u64> = 0..=999_999_999;
/// Width of the column with the controls.
const CONTROLS: f32 = 284.0;

/// The room.
pub struct Forward {
    chooser: Chooser,
    /// T here; other rooms may have looked at another one meanwhile.
    timesteps: usize,
    schedules: Schedules,
    /// The names of the schedule, and of the one beside it.
    names: [String; 2],
    compare: bool,
    sent: Option<ForwardRequest>,
    view: Option<Arc<ForwardView>>,
    failed: Option<String>,
    /// What this room gave to the others; another one there is a file that the user opened or dropped.
    given: Option<Picture>,
}

impl Default for Forward {
    fn default() -> Self {
        let mut schedules = Schedules::default();
        schedules.set_timesteps(1000);
        Self {
            chooser: Chooser::default(),
            timesteps: 1000,
            schedules,
            names: ["linear".to_owned(), "squaredcos_cap_v2".to_owned()],
            compare: false,
            sent: None,
            view: None,
            failed: None,
            given: None,
        }
    }
}

impl Panel for Forward {
    fn id(&self) -> &'static str {
        "forward"
    }

    fn title(&self) -> &'static str {
        s::TITLE
    }

    fn on_event(&mut self, event: &Event, shared: &mut Shared) {
        match event {
            Event::Data(data) => {
                self.chooser.set_data(data);
                self.give(shared);
            }
            Event::Forward(view) => {
                self.view = Some(Arc::clone(view));
                self.failed = None;
            }
            Event::Failed {
                job: Job::Forward,
                message,
            } => self.failed = Some(message.clone()),
            _ => {}
        }
    }

    fn update(&mut self, shared: &mut Shared) {
        shared.time.set_timesteps(self.timesteps);
        self.schedules.set_timesteps(self.timesteps);
        if shared.picture != self.given
            && let Some(own) = shared.picture.take()
        {
            self.chooser.set_own(own);
        }
        self.give(shared);
        let Some(picture) = shared.picture.clone() else {
            return;
        };
        let request = ForwardRequest {
            picture,
            seed: shared.seed,
            timesteps: self.timesteps,
            schedules: self.names.clone(),
            t: shared.time.t(),
            strip: STRIP,
        };
        if self.sent.as_ref() != Some(&request) {
            shared.send(Command::Forward(request.clone()));
            self.sent = Some(request);
        }
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.spacing_mut().item_spacing.y = theme::PAD;
        if theme::is_phone(ui) {
            self.picture_section(ui, shared);
            self.state_section(ui, shared);
            self.noise_section(ui, shared);
            self.plots_section(ui, shared);
            return;
        }
        let mut context = (self, shared);
        layout::columns(
            ui,
            CONTROLS,
            &mut context,
            |ui, (room, shared)| {
                room.picture_section(ui, shared);
                room.noise_section(ui, shared);
            },
            |ui, (room, shared)| {
                room.state_section(ui, shared);
                room.plots_section(ui, shared);
            },
        );
    }

    fn timesteps(&self) -> Option<usize> {
        Some(self.timesteps)
    }

    fn address(&self, _shared: &Shared) -> Vec<(&'static str, String)> {
        vec![
            ("schedule", self.names[0].clone()),
            ("schedule_b", self.names[1].clone()),
            ("compare", u8::from(self.compare).to_string()),
            ("timesteps", self.timesteps.to_string()),
            ("image", self.chooser.index.to_string()),
        ]
    }

    fn set_address(&mut self, key: &str, value: &str, shared: &mut Shared) {
        let known = || SCHEDULES.iter().any(|s| s.name() == value);
        match key {
            "schedule" if known() => self.names[0] = value.to_owned(),
            "schedule_b" if known() => self.names[1] = value.to_owned(),
            "compare" => self.compare = value == "1",
            "timesteps" => {
                if let Some(t) = value.parse().ok().filter(|t| TIMESTEPS.contains(t)) {
                    self.timesteps = t;
                }
            }
            "image" => {
                if let Ok(index) = value.parse::<usize>() {
                    let count = shared.data.as_ref().map(|d| d.train.len());
                    if count.is_none_or(|count| index < count) {
                        self.chooser.choose(index);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Forward {
    /// Gives the chosen picture to the other rooms.
    fn give(&mut self, shared: &mut Shared) {
        self.given = self.chooser.picture(shared.data.as_deref());
        shared.picture.clone_from(&self.given);
    }

    fn picture_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, s::PICTURE, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            self.chooser.ui(ui, shared);
        });
    }

    fn noise_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, s::NOISE, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            log_slider(ui, &mut self.timesteps, TIMESTEPS, s::T, s::T_HELP);
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = theme::UNIT;
                for t in T_PRESETS {
                    if button(ui, &s::t_preset(t), s::T_PRESET_HELP).clicked() {
                        self.timesteps = t;
                    }
                }
            });
            let options: Vec<(String, &str)> = SCHEDULES
                .iter()
                .map(|rule| (rule.name().to_owned(), s::schedule_name(rule.name())))
                .collect();
            let [first, second] = &mut self.names;
            combo(ui, "first", s::SCHEDULE, s::SCHEDULE_HELP, first, &options);
            if let Some(known) = self.schedules.get(first) {
                hint(ui, known.summary);
            }
            toggle(ui, &mut self.compare, s::COMPARE, s::COMPARE_HELP);
            if self.compare {
                combo(
                    ui,
                    "second",
                    s::SCHEDULE_B,
                    s::SCHEDULE_B_HELP,
                    second,
                    &options,
                );
                if let Some(known) = self.schedules.get(second) {
                    hint(ui, known.summary);
                }
            }
            ui.horizontal(|ui| {
                drag(ui, &mut shared.seed, SEEDS, s::SEED, s::SEED_HELP);
                ui.with_layout(egui::Layout::bottom_up(egui::Align::Min), |ui| {
                    if button(ui, s::NEW_NOISE, s::NEW_NOISE_HELP).clicked() {
                        shared.seed = another_seed(shared.seed);
                    }
                });
            });
            for name in self.shown() {
                let Some(known) = self.schedules.get(name) else {
                    continue;
                };
                let what = match &known.schedule {
                    Ok(schedule) => schedule.warning(),
                    Err(message) => Some(message.clone()),
                };
                if let Some(what) = what {
                    warning(ui, &s::warning(name, &what));
                }
            }
        });
    }

    /// The names of the schedules that are looked at.
    fn shown(&self) -> &[String] {
        if self.compare && self.names[0] != self.names[1] {
            &self.names
        } else {
            &self.names[..1]
        }
    }

    /// x_t, the strip, and the histogram.
    fn state_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, s::STATE, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            if let Some(message) = &self.failed {
                warning(ui, message);
            }
            let Some(view) = self.view.clone() else {
                hint(
                    ui,
                    if shared.data.is_some() {
                        s::WAITING_VIEW
                    } else {
                        s::WAITING_DATA
                    },
                );
                return;
            };
            let phone = theme::is_phone(ui);
            let width = ui.available_width();
            let layers = self.shown().len();
            let space = match (phone, layers) {
                (true, 1) => width.min(336.0),
                (true, _) => ((width - theme::GAP) / 2.0).floor(),
                (false, 1) => (0.45 * width).min(264.0),
                (false, _) => (0.3 * width).min(232.0),
            };
            let names: Vec<String> = self.shown().to_vec();
            // The formula below a picture may be wider than the picture.
            let column = match (phone, layers) {
                (true, _) => space,
                (false, 1) => space.max(240.0),
                (false, _) => space.max(200.0),
            };
            let beside = width - layers as f32 * (column + theme::PAD);
            let beside = !phone && beside >= 220.0;
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = if phone { theme::GAP } else { theme::PAD };
                for (layer, name) in names.iter().enumerate() {
                    ui.vertical(|ui| {
                        ui.set_width(column);
                        let t = view.request.t;
                        if layers > 1 {
                            let colour = theme::series(ui, layer);
                            let title = egui::RichText::new(s::schedule_name(name)).color(colour);
                            ui.label(title);
                        }
                        let label = s::state_name(t, name);
                        film_tile(ui, shared, &view.film, (layer, 0), space, &label);
                        if let Some((picture, noise)) =
                            self.schedules.get(name).and_then(|k| k.shares(t))
                        {
                            let sum = tex(&if phone && layers > 1 {
                                s::mixture_short(picture, noise)
                            } else {
                                s::mixture(t, picture, noise)
                            });
                            let size = if layers > 1 { 15.0 } else { 18.0 };
                            let response = equation(ui, &sum, size);
                            let words = s::mixture_words(t, picture, noise);
                            response.widget_info(|| {
                                egui::WidgetInfo::labeled(egui::Role::Label, true, &words)
                            });
                            response.on_hover_text(s::MIXTURE_HELP);
                        }
                    });
                }
                if beside {
                    ui.vertical(|ui| self.histogram(ui, &view, space + 24.0));
                }
            });
            for layer in 0..layers {
                strip(ui, shared, &view, layer);
            }
            hint(ui, s::STRIP_HINT);
            if !beside {
                self.histogram(ui, &view, 200.0);
            }
        });
    }

    fn histogram(&self, ui: &mut Ui, view: &ForwardView, height: f32) {
        let layers = self.shown().len();
        let (low, high) = Histogram::RANGE;
        let bars: Vec<Bars<'_>> = (view.histograms.iter().take(layers).enumerate())
            .map(|(layer, histogram)| {
                let width = (high - low) / histogram.density.len().max(1) as f32;
                Bars {
                    name: s::schedule_name(&self.names[layer]),
                    bars: (histogram.density.iter().enumerate())
                        .map(|(i, &d)| {
                            let middle = low + (i as f32 + 0.5) * width;
                            [f64::from(middle), f64::from(width), f64::from(d)]
                        })
                        .collect(),
                    colour: theme::series(ui, layer),
                }
            })
            .collect();
        let curve = Series {
            name: s::NORMAL,
            points: (0..=80)
                .map(|i| {
                    let x = f64::from(low) + f64::from(high - low) * f64::from(i) / 80.0;
                    [x, (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()]
                })
                .collect(),
            colour: theme::strong(ui),
            faint: false,
        };
        let axes = Axes {
            x_label: s::VALUE,
            y_label: s::DENSITY,
            x_range: (f64::from(low), f64::from(high)),
            x_step: 2.0,
            y_least: 0.5,
            height,
        };
        bar_plot(ui, "pixels", axes, &bars, &[curve]).on_hover_text(s::PIXELS_HELP);
        for (layer, histogram) in view.histograms.iter().take(layers).enumerate() {
            let text = s::moments(histogram.mean, histogram.deviation);
            let text = if layers > 1 {
                format!("{}: {text}", s::schedule_name(&self.names[layer]))
            } else {
                text
            };
            hint(ui, &text);
        }
    }

    fn plots_section(&self, ui: &mut Ui, shared: &Shared) {
        let t = shared.time.t();
        theme::section(ui, s::SCHEDULES, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            if let Some(known) = self.schedules.get(&self.names[0]) {
                figures(ui, known, t);
            }
            let plots = [
                (Quantity::Beta, s::BETA, false),
                (Quantity::AlphaBar, s::ALPHA_BAR, false),
                (Quantity::Snr, s::SNR, true),
            ];
            let plot = |ui: &mut Ui, (quantity, label, log_y): (Quantity, &str, bool)| {
                let options = PlotOptions {
                    x_label: s::STEP_T,
                    y_label: label,
                    log_y,
                    height: 176.0,
                    marker_x: Some(t as f64),
                    y_range: (quantity == Quantity::AlphaBar).then_some((0.0, 1.0)),
                };
                line_plot(ui, label, options, &self.series(ui, quantity));
            };
            if ui.available_width() < 560.0 {
                for p in plots {
                    plot(ui, p);
                }
            } else {
                ui.columns_const(|columns: &mut [Ui; 3]| {
                    for (ui, p) in columns.iter_mut().zip(plots) {
                        plot(ui, p);
                    }
                });
            }
        });
    }

    /// The curves of a quantity: those chosen in colour, the others faint.
    fn series(&self, ui: &Ui, quantity: Quantity) -> Vec<Series<'_>> {
        let shown = self.shown();
        let place = |known: &Known| shown.iter().position(|name| name == known.name);
        // Some schedules end with a β near 1, beside which the others would lie on the axis.
        let limit = match quantity {
            Quantity::Beta => (self.schedules.all().iter())
                .filter(|known| place(known).is_some())
                .flat_map(|known| known.curve(quantity))
                .fold(0.0_f64, |most, p| most.max(p[1]))
                .max(0.02),
            _ => f64::INFINITY,
        };
        self.schedules
            .all()
            .iter()
            .map(|known| {
                let place = place(known);
                Series {
                    name: s::schedule_name(known.name),
                    points: (known.curve(quantity).iter())
                        .filter(|p| p[1] <= 1.25 * limit)
                        .copied()
                        .collect(),
                    colour: place.map_or_else(|| theme::faint(ui), |i| theme::series(ui, i)),
                    faint: place.is_none(),
                }
            })
            .collect()
    }
}

/// Another seed, short enough to be read out.
fn another_seed(seed: u64) -> u64 {
    let words = philox([seed as u32, (seed >> 32) as u32, 0, 0], [1, 0]);
    let other = u64::from(words[0] % 100_000);
    if other == seed { other + 1 } else { other }
}

/// The filmstrip of a schedule: as many of its pictures as fit.
fn strip(ui: &mut Ui, shared: &mut Shared, view: &ForwardView, layer: usize) {
    let pictures = view.strip.len().min(view.film.tiles().saturating_sub(1));
    if pictures == 0 {
        return;
    }
    let (w, h) = view.film.tile_size();
    let smallest = w.max(h) as f32 / ui.ctx().pixels_per_point();
    let gap = theme::UNIT;
    let fits = |count: usize| count as f32 * (smallest + gap) - gap <= ui.available_width();
    let last = pictures - 1;
    // Every picture, every second, or every fifth; the first and the last are always there.
    let stride = [1, 2, 5, last.max(1)]
        .into_iter()
        .find(|&s| last.is_multiple_of(s) && fits(last / s + 1))
        .unwrap_or(last.max(1));
    let shown: Vec<usize> = (0..pictures).step_by(stride).collect();
    let space = (ui.available_width() + gap) / shown.len() as f32 - gap;
    let now = view.request.t;
    let nearest = shown
        .iter()
        .copied()
        .min_by_key(|&k| view.strip[k].abs_diff(now));
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing = vec2(gap, 0.0);
        for &k in &shown {
            let t = view.strip[k];
            ui.vertical(|ui| {
                let label = s::strip_name(t);
                let response = film_tile(ui, shared, &view.film, (layer, 1 + k), space, &label);
                frame(ui, response.rect, Some(k) == nearest, &response);
                if response.on_hover_text(&label).clicked() {
                    shared.time.playing = false;
                    shared.time.set_t(t);
                }
                let colour = if Some(k) == nearest {
                    theme::accent(ui)
                } else {
                    theme::weak(ui)
                };
                math::text(ui, &t.to_string(), TextStyle::Small, colour);
            });
        }
    });
}

/// The schedule's numbers at t.
fn figures(ui: &mut Ui, known: &Known, t: usize) {
    let Some((picture, noise)) = known.shares(t) else {
        return;
    };
    let bar = picture * picture;
    let beta = match (&known.schedule, t) {
        (Ok(schedule), 1..) => number(schedule.beta(t - 1)),
        _ => "–".to_owned(),
    };
    let snr = if bar < 1.0 {
        number(bar / (1.0 - bar))
    } else {
        "∞".to_owned()
    };
    layout::flow(
        ui,
        96.0,
        &mut [
            &mut |ui| {
                figure(ui, s::PICTURE_NOW, &number(picture), s::PICTURE_NOW_HELP);
            },
            &mut |ui| {
                figure(ui, s::NOISE_NOW, &number(noise), s::NOISE_NOW_HELP);
            },
            &mut |ui| {
                figure(ui, s::BETA_NOW, &beta, s::BETA_NOW_HELP);
            },
            &mut |ui| {
                figure(ui, s::BAR_NOW, &number(bar), s::BAR_NOW_HELP);
            },
            &mut |ui| {
                figure(ui, s::SNR_NOW, &snr, s::SNR_NOW_HELP);
            },
        ],
    );
}

//! Pieces that several views use.

use egui::{Align, Color32, Layout, Mesh, RichText, Sense, Shape, TextStyle, Ui, vec2};
use noiselab::session::lab::event::{Grid, Merit};

use super::heat::{self, Field, Hue};
use crate::ui::{
    panels::{
        bars::{Axes, Bars, bar_plot},
        flow,
    },
    strings::lab as s,
    theme,
    widgets::{math, number},
};

/// Width of the column with the controls.
pub const CONTROLS: f32 = 284.0;
/// Height of everything around a canvas, so that it fills the rest of the window.
const AROUND: f32 = 332.0;
/// The least that is worth looking at.
const LEAST: f32 = 200.0;

/// Side of each of `n` canvases in this place, and how many of them stand in a row.
pub fn fit(ui: &Ui, n: usize, extra: f32) -> (f32, usize) {
    let width = ui.available_width();
    if theme::is_phone(ui) {
        return (width.floor(), 1);
    }
    let each = |columns: usize| (width - theme::PAD * (columns as f32 - 1.0)) / columns as f32;
    let columns = if each(n) >= LEAST { n } else { n.min(2) };
    let height = ui.ctx().content_rect().height() - AROUND - extra;
    let side = each(columns).min(height.max(280.0));
    (side.floor(), columns)
}

/// `n` things of a width, `columns` in a row.
pub fn rows(
    ui: &mut Ui,
    n: usize,
    width: f32,
    columns: usize,
    mut add: impl FnMut(&mut Ui, usize),
) {
    for first in (0..n).step_by(columns.max(1)) {
        ui.with_layout(Layout::left_to_right(Align::Min), |ui| {
            ui.spacing_mut().item_spacing.x = theme::PAD;
            for i in first..(first + columns).min(n) {
                let layout = Layout::top_down(Align::Min);
                ui.allocate_ui_with_layout(vec2(width, 0.0), layout, |ui| {
                    ui.spacing_mut().item_spacing = vec2(theme::GAP, theme::UNIT);
                    ui.set_width(width);
                    add(ui, i);
                });
            }
        });
    }
}

/// What stands above a canvas; `$…$` is mathematics.
pub fn caption(ui: &mut Ui, text: &str) {
    let colour = theme::text(ui);
    math::text(ui, text, TextStyle::Small, colour);
}

/// Dots of colours with what they mean.
pub fn legend(ui: &mut Ui, entries: &[(Color32, &str)]) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(theme::UNIT, theme::UNIT);
        for (colour, name) in entries {
            let text = flow::text_width(ui, name, TextStyle::Small);
            let width = 12.0 + 3.0 * theme::UNIT + text + theme::PAD;
            if ui.available_size_before_wrap().x < width {
                ui.end_row();
            }
            let (rect, _) = ui.allocate_exact_size(vec2(12.0, 16.0), Sense::hover());
            ui.painter().circle_filled(rect.center(), 4.0, *colour);
            let text = RichText::new(*name).small().color(theme::text(ui));
            ui.add(egui::Label::new(text).extend());
            ui.add_space(theme::GAP);
        }
    });
}

/// A heat map's colours, from 0 to the most.
pub fn colour_bar(ui: &mut Ui, hue: Hue, most: f32, name: &str) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::UNIT;
        let weak = theme::weak(ui);
        ui.label(RichText::new(format!("{name} 0")).small().color(weak));
        let (rect, _) = ui.allocate_exact_size(vec2(96.0, 16.0), Sense::hover());
        let rect = rect.shrink2(vec2(0.0, 4.0));
        let mut mesh = Mesh::default();
        const PARTS: u32 = 24;
        for i in 0..=PARTS {
            let share = i as f32 / PARTS as f32;
            let x = rect.left() + share * rect.width();
            let colour = heat::colour(hue, ui.visuals().dark_mode, share);
            mesh.colored_vertex(egui::pos2(x, rect.top()), colour);
            mesh.colored_vertex(egui::pos2(x, rect.bottom()), colour);
            if i > 0 {
                let k = 2 * i;
                mesh.add_triangle(k - 2, k - 1, k);
                mesh.add_triangle(k - 1, k + 1, k);
            }
        }
        ui.painter().add(Shape::mesh(mesh));
        let most = number(f64::from(most));
        ui.label(RichText::new(most).small().color(weak));
    });
}

/// A grid of the session's as a heat map takes it.
pub fn field(grid: &Grid) -> Field {
    Field {
        size: [grid.side, grid.side],
        values: std::sync::Arc::clone(&grid.values),
    }
}

/// Figures of merit in a line.
pub fn merit_figures(ui: &mut Ui, merit: &Merit) {
    let with_floor = |value: f32, floor: f32| {
        s::with_floor(&number(f64::from(value)), &number(f64::from(floor)))
    };
    flow::flow(ui, |ui| {
        let value = with_floor(merit.sliced_wasserstein, merit.sliced_wasserstein_floor);
        flow::figure(ui, s::WASSERSTEIN, &value, s::WASSERSTEIN_HELP);
        let value = with_floor(merit.energy, merit.energy_floor);
        flow::figure(ui, s::ENERGY, &value, s::ENERGY_HELP);
        if !merit.modes.is_empty() {
            flow::figure(ui, s::ASTRAY, &s::percent(merit.astray), s::ASTRAY_HELP);
        }
        flow::figure(ui, s::COUNT, &merit.samples.to_string(), s::COUNT_HELP);
    });
}

/// The share of each mode beside the truth.
pub fn coverage(ui: &mut Ui, id: &str, merit: &Merit, height: f32) {
    if merit.modes.is_empty() {
        return;
    }
    let bars = |share: fn(&(f32, f32)) -> f32, middle: f64| -> Vec<[f64; 3]> {
        (merit.modes.iter().enumerate())
            .map(|(i, mode)| {
                let percent = 100.0 * f64::from(share(mode));
                [i as f64 + 1.0 + middle, 0.36, percent]
            })
            .collect()
    };
    let sets = [
        Bars {
            name: s::SHARE_SAMPLES,
            bars: bars(|m| m.0, -0.19),
            colour: theme::series(ui, 0),
        },
        Bars {
            name: s::SHARE_TRUE,
            bars: bars(|m| m.1, 0.19),
            colour: theme::series(ui, 1),
        },
    ];
    let count = merit.modes.len() as f64;
    let axes = Axes {
        x_label: s::MODE_AXIS,
        y_label: s::SHARE_AXIS,
        x_range: (0.0, count + 1.0),
        x_step: ((count + 1.0) / 9.0).ceil().max(1.0),
        y_least: 1.0,
        height,
    };
    bar_plot(ui, id, axes, &sets, &[]);
}

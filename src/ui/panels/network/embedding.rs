//! The time embedding as heat maps.

use egui::{Rect, Sense, Ui, WidgetInfo, pos2, vec2};
use noiselab::session::event::ProbeView;

use crate::ui::{strings::network as words, theme, widgets};

/// Most cells in a row.
const COLUMNS: usize = 32;
/// Smallest and largest cell.
const CELL: (f32, f32) = (6.0, 16.0);

/// The colours of the films with signs: blue below zero, orange above.
pub(super) fn signed_colour(x: f32) -> egui::Color32 {
    let share = x.abs().min(1.0).sqrt();
    let low = [0.08, 0.09, 0.11];
    let high = if x > 0.0 {
        [1.0, 0.62, 0.22]
    } else {
        [0.30, 0.66, 1.0]
    };
    let [r, g, b] =
        [0, 1, 2].map(|i: usize| ((low[i] + (high[i] - low[i]) * share) * 255.0).round() as u8);
    egui::Color32::from_rgb(r, g, b)
}

pub(super) fn show(ui: &mut Ui, view: &ProbeView) {
    for (values, name) in view.embedding.iter().zip(words::EMBEDDING_PARTS) {
        let most = values.iter().fold(0.0_f32, |a, &b| a.max(b.abs()));
        widgets::hint(ui, name);
        heat_map(ui, values, most, name);
        legend(ui, most);
    }
    widgets::hint(ui, words::EMBEDDING_HINT);
}

fn heat_map(ui: &mut Ui, values: &[f32], most: f32, name: &str) {
    let columns = COLUMNS.min(values.len()).max(1);
    let rows = values.len().div_ceil(columns);
    let cell = (ui.available_width() / columns as f32)
        .floor()
        .clamp(CELL.0, CELL.1);
    let size = vec2(columns as f32, rows as f32) * cell;
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, name));
    let painter = ui.painter();
    for (i, &value) in values.iter().enumerate() {
        let at = vec2((i % columns) as f32, (i / columns) as f32) * cell;
        let place = Rect::from_min_size(rect.min + at, vec2(cell, cell));
        painter.rect_filled(place, 0.0, signed_colour(value / most.max(1e-12)));
    }
    if let Some(pointer) = response.hover_pos() {
        let at = (pointer - rect.min) / cell;
        let i = at.y.max(0.0) as usize * columns + (at.x.max(0.0) as usize).min(columns - 1);
        if let Some(&value) = values.get(i) {
            let at = vec2((i % columns) as f32, (i / columns) as f32) * cell;
            let place = Rect::from_min_size(rect.min + at, vec2(cell, cell));
            let stroke = egui::Stroke::new(1.0, egui::Color32::WHITE);
            painter.rect_stroke(place, 0.0, stroke, egui::StrokeKind::Inside);
            response.on_hover_text_at_pointer(words::cell(i, value));
        }
    }
}

/// The scale of the colours.
pub(super) fn legend(ui: &mut Ui, most: f32) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::UNIT;
        widgets::hint(ui, &format!("{:.2}", -most));
        let (rect, _) = ui.allocate_exact_size(vec2(96.0, 8.0), Sense::hover());
        let n = 48;
        for i in 0..n {
            let width = rect.width() / n as f32;
            let x = rect.left() + i as f32 * width;
            let place = Rect::from_min_size(pos2(x, rect.top()), vec2(width, rect.height()));
            let value = 2.0 * (i as f32 + 0.5) / n as f32 - 1.0;
            ui.painter().rect_filled(place, 0.0, signed_colour(value));
        }
        widgets::hint(ui, &format!("{most:.2}"));
    });
}

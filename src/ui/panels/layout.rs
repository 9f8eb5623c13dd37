//! How rooms lay out their parts.

use std::cell::RefCell;

use egui::{Rect, Response, Stroke, StrokeKind, Ui};

use crate::ui::theme;

/// Lays things of one width out in rows, as many in each as fit.
pub fn flow(ui: &mut Ui, width: f32, things: &mut [&mut dyn FnMut(&mut Ui)]) {
    let gap = theme::GAP;
    let columns = (((ui.available_width() + gap) / (width + gap)) as usize).max(1);
    for row in things.chunks_mut(columns) {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap;
            for thing in row {
                ui.vertical(|ui| {
                    ui.set_width(width.min(ui.available_width()));
                    thing(ui);
                });
            }
        });
    }
}

/// [`theme::two_columns`] of which both work on the same things; the first column is `width` points wide,
/// and sections stand [`theme::PAD`] apart.
pub fn columns<C>(
    ui: &mut Ui,
    width: f32,
    context: &mut C,
    left: impl FnOnce(&mut Ui, &mut C),
    right: impl FnOnce(&mut Ui, &mut C),
) {
    let share = width / (ui.available_width() - theme::PAD).max(width);
    let context = RefCell::new(context);
    theme::two_columns(
        ui,
        share,
        |ui| {
            ui.spacing_mut().item_spacing.y = theme::PAD;
            left(ui, &mut context.borrow_mut());
        },
        |ui| {
            ui.spacing_mut().item_spacing.y = theme::PAD;
            right(ui, &mut context.borrow_mut());
        },
    );
}

/// A frame around what is chosen, and around what has the pointer or the keyboard.
pub fn frame(ui: &Ui, rect: Rect, chosen: bool, response: &Response) {
    let (width, colour) = if chosen {
        (2.0, theme::accent(ui))
    } else if response.hovered() || response.has_focus() {
        (2.0, theme::weak(ui))
    } else {
        return;
    };
    ui.painter()
        .rect_stroke(rect, 0.0, Stroke::new(width, colour), StrokeKind::Outside);
}

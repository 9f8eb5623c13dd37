//! The list of keys.

use egui::{Context, Id, Modal, RichText};

use super::{strings, theme, widgets};

/// Draws it if it is open; clicks beside it close it.
pub fn draw(open: &mut bool, ctx: &Context) {
    if !*open {
        return;
    }
    let modal = Modal::new(Id::unique("keys")).show(ctx, |ui| {
        ui.set_width(320.0_f32.min(ctx.content_rect().width() - 64.0));
        ui.label(
            RichText::new(strings::app::KEYS_TITLE)
                .text_style(theme::section_style())
                .color(theme::strong(ui)),
        );
        egui::Grid::new("keys")
            .num_columns(2)
            .spacing([24.0, 8.0])
            .show(ui, |ui| {
                for (key, what) in strings::app::KEYS {
                    ui.label(RichText::new(key).color(theme::strong(ui)));
                    ui.label(RichText::new(what).color(theme::weak(ui)));
                    ui.end_row();
                }
            });
        ui.add_space(theme::GAP);
        let close = strings::app::CLOSE;
        if widgets::button(ui, close, strings::app::HELP_HELP).clicked() {
            ui.close();
        }
    });
    if modal.should_close() {
        *open = false;
    }
}

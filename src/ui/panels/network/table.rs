//! The network as a table of its blocks.

use egui::{Align, Layout, RichText, Ui, vec2};
use noiselab::nn::unet_map::NetworkMap;

use crate::ui::{strings::network as words, theme};

/// Draws it; returns the block that was clicked.
pub(super) fn show(ui: &mut Ui, map: &NetworkMap, selected: Option<usize>) -> Option<usize> {
    let mut clicked = None;
    egui::ScrollArea::horizontal()
        .id_salt("network table")
        .show(ui, |ui| {
            egui::Grid::new("network table")
                .spacing(vec2(16.0, 4.0))
                .min_row_height(24.0)
                .show(ui, |ui| {
                    for (i, name) in words::TABLE_COLUMNS.into_iter().enumerate() {
                        let text = RichText::new(name).small().color(theme::weak(ui));
                        cell(ui, i > 0, text);
                    }
                    ui.end_row();
                    for (i, block) in map.blocks.iter().enumerate() {
                        let response = ui
                            .selectable_label(selected == Some(i), &block.name)
                            .on_hover_text(words::kind(block.kind));
                        if response.clicked() {
                            clicked = Some(i);
                        }
                        for text in [
                            words::shape(block.output),
                            words::count(block.parameters as u64),
                            words::flops(block.flops),
                            words::bytes(block.activation_bytes),
                        ] {
                            cell(ui, true, RichText::new(text));
                        }
                        ui.end_row();
                    }
                });
        });
    clicked
}

fn cell(ui: &mut Ui, number: bool, text: RichText) {
    let layout = if number {
        Layout::right_to_left(Align::Center)
    } else {
        Layout::left_to_right(Align::Center)
    };
    ui.with_layout(layout, |ui| ui.label(text));
}

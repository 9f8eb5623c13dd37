//! Controls and figures in a line that breaks where the window ends.

use egui::{Align, Layout, Response, TextStyle, Ui, vec2};

use crate::ui::{theme, widgets};

/// A line of [`item`]s, in as many rows as they need.
pub fn flow<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let layout = Layout::left_to_right(Align::Min).with_main_wrap(true);
    let size = vec2(ui.available_width(), 0.0);
    ui.allocate_ui_with_layout(size, layout, |ui| {
        ui.spacing_mut().item_spacing = vec2(theme::PAD, theme::GAP);
        add(ui)
    })
    .inner
}

/// One thing in a [`flow`], `width` points wide or as wide as there is space.
pub fn item<R>(ui: &mut Ui, width: f32, add: impl FnOnce(&mut Ui) -> R) -> R {
    let width = width.ceil().min(ui.max_rect().width());
    let layout = Layout::top_down(Align::Min);
    ui.allocate_ui_with_layout(vec2(width, 0.0), layout, |ui| {
        ui.spacing_mut().item_spacing = vec2(theme::GAP, theme::GAP);
        ui.set_width(width);
        add(ui)
    })
    .inner
}

/// The same for what has no caption above, so that it stands level with what has one.
pub fn lowered<R>(ui: &mut Ui, width: f32, add: impl FnOnce(&mut Ui) -> R) -> R {
    item(ui, width, |ui| {
        ui.add_space(ui.text_style_height(&TextStyle::Small) + theme::UNIT);
        add(ui)
    })
}

/// Width of a text in one line.
pub fn text_width(ui: &Ui, text: &str, style: TextStyle) -> f32 {
    let font = style.resolve(ui.style());
    let galley = ui
        .painter()
        .layout_no_wrap(text.to_owned(), font, theme::text(ui));
    galley.size().x.ceil()
}

/// Width of a button.
pub fn button_width(ui: &Ui, text: &str) -> f32 {
    let width = text_width(ui, text, TextStyle::Button) + 2.0 * ui.spacing().button_padding.x;
    width.max(ui.spacing().interact_size.x) + 1.0
}

/// Width of a checkbox with its text.
pub fn toggle_width(ui: &Ui, text: &str) -> f32 {
    let spacing = ui.spacing();
    text_width(ui, text, TextStyle::Button) + spacing.icon_width + spacing.icon_spacing + 1.0
}

/// A choice among few as an [`item`].
pub fn segmented<T: Clone + PartialEq>(
    ui: &mut Ui,
    label: &str,
    tooltip: &str,
    selected: &mut T,
    options: &[(T, &str)],
) -> Response {
    let buttons: f32 = options.iter().map(|(_, n)| button_width(ui, n)).sum();
    let gaps = theme::UNIT * options.len().saturating_sub(1) as f32;
    let width = (buttons + gaps).max(text_width(ui, label, TextStyle::Small));
    item(ui, width, |ui| {
        widgets::segmented(ui, label, tooltip, selected, options)
    })
}

/// A measured figure as an [`item`].
pub fn figure(ui: &mut Ui, label: &str, value: &str, tooltip: &str) -> Response {
    let width = text_width(ui, label, TextStyle::Small).max(text_width(ui, value, TextStyle::Body));
    item(ui, width + 1.0, |ui| {
        widgets::figure(ui, label, value, tooltip)
    })
}

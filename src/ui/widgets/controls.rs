//! Controls with their label, tooltip and name for screen readers in one call.

use std::ops::RangeInclusive;

use egui::{
    Button, ComboBox, DragValue, Response, RichText, Slider, TextStyle, Ui, emath::Numeric,
};

use crate::ui::theme;

/// The label above a control.
fn caption(ui: &mut Ui, label: &str, tooltip: &str) -> Response {
    let text = RichText::new(label).small().color(theme::weak(ui));
    ui.label(text).on_hover_text(tooltip)
}

/// A label with a control under it, tied to each other.
fn labelled(
    ui: &mut Ui,
    label: &str,
    tooltip: &str,
    add: impl FnOnce(&mut Ui) -> Response,
) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = theme::UNIT;
        let caption = caption(ui, label, tooltip);
        add(ui).labelled_by(caption.id).on_hover_text(tooltip)
    })
    .inner
}

/// A slider as wide as the place there is, with its value beside it.
pub fn slider<N: Numeric>(
    ui: &mut Ui,
    value: &mut N,
    range: RangeInclusive<N>,
    label: &str,
    tooltip: &str,
) -> Response {
    fit_slider(ui, Slider::new(value, range), label, tooltip)
}

/// A slider over powers of ten.
pub fn log_slider<N: Numeric>(
    ui: &mut Ui,
    value: &mut N,
    range: RangeInclusive<N>,
    label: &str,
    tooltip: &str,
) -> Response {
    let slider = Slider::new(value, range).logarithmic(true);
    fit_slider(ui, slider, label, tooltip)
}

fn fit_slider(ui: &mut Ui, slider: Slider<'_>, label: &str, tooltip: &str) -> Response {
    labelled(ui, label, tooltip, |ui| {
        let for_value = 64.0 + ui.spacing().item_spacing.x;
        ui.spacing_mut().slider_width = (ui.available_width() - for_value).clamp(64.0, 240.0);
        ui.add(slider)
    })
}

/// A number to drag or type.
pub fn drag<N: Numeric>(
    ui: &mut Ui,
    value: &mut N,
    range: RangeInclusive<N>,
    label: &str,
    tooltip: &str,
) -> Response {
    labelled(ui, label, tooltip, |ui| {
        ui.add(DragValue::new(value).range(range))
    })
}

/// A choice of one among some; `options` are values and what to call them.
pub fn combo<T: Clone + PartialEq>(
    ui: &mut Ui,
    id: &str,
    label: &str,
    tooltip: &str,
    selected: &mut T,
    options: &[(T, &str)],
) -> Response {
    let shown = options
        .iter()
        .find(|(value, _)| value == selected)
        .map_or("", |(_, name)| *name);
    labelled(ui, label, tooltip, |ui| {
        let mut changed = false;
        let mut response = ComboBox::from_id_salt(id)
            .selected_text(shown)
            .width(ui.available_width().min(200.0))
            .truncate()
            .show_ui(ui, |ui| {
                for (value, name) in options {
                    let chosen = value == selected;
                    if ui.selectable_label(chosen, *name).clicked() && !chosen {
                        *selected = value.clone();
                        changed = true;
                    }
                }
            })
            .response;
        if changed {
            response.mark_changed();
        }
        response
    })
}

/// A choice of one among few, side by side.
pub fn segmented<T: Clone + PartialEq>(
    ui: &mut Ui,
    label: &str,
    tooltip: &str,
    selected: &mut T,
    options: &[(T, &str)],
) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = theme::UNIT;
        let caption = caption(ui, label, tooltip);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = theme::UNIT;
            let mut all = caption;
            for (value, name) in options {
                let chosen = value == selected;
                let mut response = ui
                    .add(Button::selectable(chosen, *name).frame_when_inactive(true))
                    .on_hover_text(tooltip);
                if response.clicked() && !chosen {
                    *selected = value.clone();
                    response.mark_changed();
                }
                all |= response;
            }
            all
        })
        .inner
    })
    .inner
}

/// A switch.
pub fn toggle(ui: &mut Ui, value: &mut bool, label: &str, tooltip: &str) -> Response {
    ui.checkbox(value, label).on_hover_text(tooltip)
}

/// A button.
pub fn button(ui: &mut Ui, label: &str, tooltip: &str) -> Response {
    ui.button(label).on_hover_text(tooltip)
}

/// The button for what one does next; at most one on a screen.
pub fn primary_button(ui: &mut Ui, label: &str, tooltip: &str) -> Response {
    let text = RichText::new(label).color(theme::ON_ACCENT);
    ui.add(Button::new(text).fill(theme::ACCENT))
        .on_hover_text(tooltip)
}

/// Small grey text that explains; `$…$` in it is mathematics.
pub fn hint(ui: &mut Ui, text: &str) -> Response {
    let colour = theme::weak(ui);
    super::math::text(ui, text, TextStyle::Small, colour)
}

/// A measured figure with its name above.
pub fn figure(ui: &mut Ui, label: &str, value: &str, tooltip: &str) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        caption(ui, label, tooltip);
        ui.label(RichText::new(value).color(theme::strong(ui)))
            .on_hover_text(tooltip)
    })
    .inner
}

/// A warning in one sentence.
pub fn warning(ui: &mut Ui, text: &str) -> Response {
    let colour = theme::accent(ui);
    super::math::text(ui, text, TextStyle::Body, colour)
}

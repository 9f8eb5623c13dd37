//! The "What am I seeing" card of a room.

use egui::{Response, RichText, TextStyle, Ui};

use super::math;
use crate::ui::{strings, theme};

/// What a card says.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// The equations.
    pub equations: &'static [Equation],
    /// Two sentences; `$…$` is mathematics.
    pub text: &'static str,
    /// An experiment.
    pub experiment: &'static str,
}

/// An equation and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Equation {
    /// In the notation of [`math::tex`].
    pub tex: &'static str,
    /// Paper, section and number.
    pub source: &'static str,
}

/// Width from which equations and text stand side by side.
const WIDE: f32 = 880.0;

/// Draws a card; it remembers whether it is folded.
pub fn card(ui: &mut Ui, id: &str, card: &Card) -> Response {
    let frame = theme::section_frame(ui).inner_margin(egui::Margin::symmetric(16, 8));
    frame
        .show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            let title = RichText::new(strings::app::CARD_TITLE).color(theme::strong(ui));
            egui::CollapsingHeader::new(title)
                .id_salt(("card", id))
                .default_open(false)
                .show_unindented(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = theme::GAP;
                    ui.add_space(4.0);
                    if ui.available_width() >= WIDE {
                        theme::two_columns(ui, 0.6, |ui| equations(ui, card), |ui| prose(ui, card));
                    } else {
                        equations(ui, card);
                        ui.add_space(theme::UNIT);
                        prose(ui, card);
                    }
                    ui.add_space(4.0);
                });
        })
        .response
}

fn equations(ui: &mut Ui, card: &Card) {
    for (i, equation) in card.equations.iter().enumerate() {
        if i > 0 {
            ui.add_space(theme::GAP);
        }
        math::equation(ui, &math::tex(equation.tex), 19.0);
        ui.label(
            RichText::new(equation.source)
                .small()
                .color(theme::weak(ui)),
        );
    }
}

fn prose(ui: &mut Ui, card: &Card) {
    math::text(ui, card.text, TextStyle::Body, theme::text(ui));
    ui.label(
        RichText::new(strings::app::CARD_TRY)
            .small()
            .color(theme::accent(ui)),
    );
    math::text(ui, card.experiment, TextStyle::Body, theme::text(ui));
}

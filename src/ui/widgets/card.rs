//! The "What am I seeing" card of a room.

use egui::{RichText, TextStyle, Ui};

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

/// Draws a card; it remembers whether it is folded.
pub fn card(ui: &mut Ui, id: &str, card: &Card) {
    theme::section(ui, "", |ui| {
        egui::CollapsingHeader::new(
            RichText::new(strings::app::CARD_TITLE).color(theme::strong(ui)),
        )
        .id_salt(("card", id))
        .default_open(false)
        .show_unindented(ui, |ui| {
            for equation in card.equations {
                math::equation(ui, &math::tex(equation.tex), 20.0);
                ui.label(
                    RichText::new(equation.source)
                        .small()
                        .color(theme::weak(ui)),
                );
            }
            math::text(ui, card.text, TextStyle::Body, theme::text(ui));
            math::text(ui, card.experiment, TextStyle::Body, theme::text(ui));
        });
    });
}

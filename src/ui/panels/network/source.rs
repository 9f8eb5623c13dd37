//! The WGSL of a block, with colours.

use egui::{
    CollapsingHeader, Color32, FontId, Label, ScrollArea, TextFormat, TextStyle, Ui,
    text::LayoutJob,
};
use noiselab::{gpu::shaders, nn::unet_map::MapBlock};

use crate::ui::{strings::network as words, theme, widgets};

/// Height of the window onto the source.
const HEIGHT: f32 = 320.0;

const KEYWORDS: [&str; 24] = [
    "alias",
    "break",
    "case",
    "const",
    "continue",
    "continuing",
    "default",
    "diagnostic",
    "else",
    "enable",
    "fn",
    "for",
    "if",
    "let",
    "loop",
    "override",
    "requires",
    "return",
    "struct",
    "switch",
    "var",
    "while",
    "true",
    "false",
];
const TYPES: [&str; 28] = [
    "array",
    "atomic",
    "bool",
    "f16",
    "f32",
    "i32",
    "mat2x2",
    "mat3x3",
    "mat4x4",
    "mat4x4f",
    "ptr",
    "texture_storage_2d_array",
    "u32",
    "vec2",
    "vec2f",
    "vec2i",
    "vec2u",
    "vec3",
    "vec3f",
    "vec3i",
    "vec3u",
    "vec4",
    "vec4f",
    "vec4i",
    "vec4u",
    "workgroup",
    "storage",
    "uniform",
];

/// What a part of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Plain,
    Keyword,
    Type,
    Number,
    Comment,
    Attribute,
}

/// A shader that is shown.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The file that was chosen, if the block has it.
    chosen: Option<&'static str>,
    /// The file whose lines these are.
    stem: &'static str,
    lines: Vec<Vec<(Token, String)>>,
}

impl Source {
    pub fn show(&mut self, ui: &mut Ui, block: &MapBlock) {
        let stems: Vec<&'static str> = block.kernels.iter().map(|k| k.stem).collect();
        let Some(&first) = stems.first() else { return };
        let stem = self.chosen.filter(|c| stems.contains(c)).unwrap_or(first);
        CollapsingHeader::new(words::SOURCE)
            .id_salt("wgsl")
            .show_unindented(ui, |ui| {
                let mut wanted = stem;
                if stems.len() > 1 {
                    let names: Vec<String> = stems.iter().map(|s| format!("{s}.wgsl")).collect();
                    let options: Vec<(&'static str, &str)> = stems
                        .iter()
                        .copied()
                        .zip(names.iter().map(String::as_str))
                        .collect();
                    widgets::combo(
                        ui,
                        "wgsl file",
                        words::SOURCE_FILE,
                        words::SOURCE_FILE_TIP,
                        &mut wanted,
                        &options,
                    );
                    if wanted != stem {
                        self.chosen = Some(wanted);
                    }
                } else {
                    widgets::hint(ui, &format!("{stem}.wgsl"));
                }
                self.load(wanted);
                self.text(ui);
            })
            .header_response
            .on_hover_text(words::SOURCE_TIP);
    }

    fn load(&mut self, stem: &'static str) {
        if self.stem != stem {
            self.stem = stem;
            let text = shaders::find(stem).map_or("", |s| s.source);
            self.lines = text.lines().map(tokens).collect();
        }
    }

    fn text(&self, ui: &mut Ui) {
        egui::Frame::new()
            .fill(theme::sunken(ui))
            .inner_margin(egui::Margin::same(8))
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                let font = TextStyle::Monospace.resolve(ui.style());
                let height = ui.text_style_height(&TextStyle::Monospace) + 2.0;
                ScrollArea::both()
                    .id_salt(("wgsl", self.stem))
                    .max_height(HEIGHT)
                    .min_scrolled_height(HEIGHT)
                    .auto_shrink([false, true])
                    .show_rows(ui, height, self.lines.len(), |ui, rows| {
                        for row in rows {
                            let Some(line) = self.lines.get(row) else {
                                continue;
                            };
                            let job = job(ui, &font, row + 1, line);
                            ui.set_min_height(height);
                            ui.add(Label::new(job).extend());
                        }
                    });
            });
    }
}

fn colour(ui: &Ui, token: Token) -> Color32 {
    match token {
        Token::Plain => theme::text(ui),
        Token::Keyword => theme::accent(ui),
        Token::Type | Token::Attribute => theme::series(ui, 1),
        Token::Number => theme::strong(ui),
        Token::Comment => theme::weak(ui),
    }
}

fn job(ui: &Ui, font: &FontId, number: usize, line: &[(Token, String)]) -> LayoutJob {
    let mut job = LayoutJob::default();
    let number = format!("{number:>4}  ");
    job.append(
        &number,
        0.0,
        TextFormat::simple(font.clone(), theme::faint(ui)),
    );
    for (token, text) in line {
        job.append(
            text,
            0.0,
            TextFormat::simple(font.clone(), colour(ui, *token)),
        );
    }
    job
}

/// Cuts a line into parts. WGSL's block comments are not used by the shaders here.
fn tokens(line: &str) -> Vec<(Token, String)> {
    let mut out: Vec<(Token, String)> = Vec::new();
    let mut push = |token: Token, text: &str| match out.last_mut() {
        Some((last, so_far)) if *last == token => so_far.push_str(text),
        _ => out.push((token, text.to_owned())),
    };
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (token, length) = if rest.starts_with("//") {
            (Token::Comment, rest.len())
        } else if c == '@' {
            let word = rest[1..]
                .find(|c| !is_word(c))
                .map_or(rest.len(), |n| n + 1);
            (Token::Attribute, word)
        } else if c.is_ascii_digit() {
            let end = rest
                .find(|c: char| !(is_word(c) || c == '.'))
                .unwrap_or(rest.len());
            (Token::Number, end)
        } else if is_word(c) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            let token = if KEYWORDS.contains(&word) {
                Token::Keyword
            } else if TYPES.contains(&word) {
                Token::Type
            } else {
                Token::Plain
            };
            (token, end)
        } else {
            (Token::Plain, c.len_utf8())
        };
        push(token, &rest[..length]);
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_into_what_it_is_made_of() {
        let line = "@binding(1) var<storage> x: array<vec4f>; // 2 of B";
        let found = tokens(line);
        let has = |token, text: &str| found.contains(&(token, text.to_owned()));
        assert!(has(Token::Attribute, "@binding"), "{found:?}");
        assert!(has(Token::Keyword, "var"));
        assert!(has(Token::Type, "vec4f"));
        assert!(has(Token::Number, "1"));
        assert!(has(Token::Comment, "// 2 of B"));
        let joined: String = found.iter().map(|t| t.1.as_str()).collect();
        assert_eq!(joined, line);
        for shader in shaders::SHADERS {
            for line in shader.source.lines() {
                let joined: String = tokens(line).into_iter().map(|t| t.1).collect();
                assert_eq!(joined, line);
            }
        }
    }
}

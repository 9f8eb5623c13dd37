//! All that the app says to its users, so that a teacher can translate it.

pub mod app;
pub mod bench;
pub mod cards;
#[cfg_attr(
    target_arch = "wasm32",
    expect(dead_code, reason = "the browser has dialogs of its own")
)]
pub mod files;
pub mod forward;
pub mod lab;
pub mod network;
pub mod reverse;
pub mod training;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_character_has_a_glyph() {
        let ctx = egui::Context::default();
        crate::ui::theme::install(&ctx);
        // Fonts are there once a frame has begun.
        let mut output = ctx.run_ui(egui::RawInput::default(), |_| {});
        output.textures_delta.clear();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui/strings");
        let mut missing = BTreeSet::new();
        let mut seen = 0;
        for file in fs::read_dir(folder).expect("the strings").flatten() {
            let text = fs::read_to_string(file.path()).expect("a file of strings");
            let said = text.lines().filter(|l| !l.trim_start().starts_with("//"));
            for c in said.flat_map(str::chars).filter(|c| !c.is_ascii()) {
                seen += 1;
                let font = egui::FontId::proportional(14.0);
                if !ctx.fonts_mut(|fonts| fonts.has_glyph(&font, c)) {
                    missing.insert((file.file_name(), c));
                }
            }
        }
        assert!(seen > 40, "the strings were not read");
        assert!(missing.is_empty(), "no glyph for {missing:?}");
    }
}

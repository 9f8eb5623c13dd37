//! Colours, type and spacing. One accent; everything else is grey.

/// The accent, for what is selected, played and predicted.
pub const ACCENT: egui::Color32 = egui::Color32::from_rgb(0xff, 0x8a, 0x3d);

/// Sets the styles of both themes.
pub fn install(ctx: &egui::Context) {
    let _ = ctx;
}

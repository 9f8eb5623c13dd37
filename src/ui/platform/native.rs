//! The window.

use noiselab::{
    gpu::AdapterChoice,
    session::{event::Event, link::Link},
};

use crate::ui::{app::App, device};

/// Wakes the interface when the session has something to tell.
pub fn waker(ctx: &egui::Context) -> impl Fn() + Send + 'static {
    let ctx = ctx.clone();
    move || ctx.request_repaint()
}

/// The session's events since the last call; once a frame.
pub fn poll(link: &mut Link) -> Vec<Event> {
    link.poll()
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// One sentence on what is missing.
pub fn run(choice: &AdapterChoice) -> Result<(), String> {
    let options = eframe::NativeOptions {
        renderer: eframe::Renderer::Wgpu,
        wgpu_options: device::configuration(choice),
        viewport: egui::ViewportBuilder::default()
            .with_title("noiselab")
            .with_app_id("noiselab")
            .with_inner_size([1280.0, 800.0])
            .with_min_inner_size([360.0, 480.0]),
        ..Default::default()
    };
    eframe::run_native(
        "noiselab",
        options,
        Box::new(|cc| Ok(Box::new(App::new(cc)?))),
    )
    .map_err(|e| e.to_string())
}

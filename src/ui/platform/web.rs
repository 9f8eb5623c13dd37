//! The page.

/// Wakes the interface when the session has something to tell.
pub fn waker(ctx: &egui::Context) -> impl Fn() + 'static {
    let ctx = ctx.clone();
    move || ctx.request_repaint()
}

/// Starts the app on the page's canvas.
pub fn start() {}

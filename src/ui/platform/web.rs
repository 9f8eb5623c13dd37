//! The page.

/// Wakes the interface when the session has something to tell.
pub fn waker(ctx: &egui::Context) -> impl Fn() + 'static {
    let ctx = ctx.clone();
    move || ctx.request_repaint()
}

/// Starts the app on the page's canvas.
pub fn start() {}

/// What was remembered under that key; `None` if nothing was.
pub fn recall(key: &str) -> Option<String> {
    let _ = key;
    None
}

/// Remembers a short text under a key (letters alone) for the next start; where that fails, it is forgotten.
pub fn remember(key: &str, value: &str) {
    let _ = (key, value);
}

/// Loads the page anew.
pub fn restart(ctx: &egui::Context) {
    let _ = ctx;
    if let Some(window) = web_sys::window() {
        let _ = window.location().reload();
    }
}

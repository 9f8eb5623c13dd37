//! The window.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use noiselab::{
    gpu::AdapterChoice,
    session::{event::Event, link::Link},
};

use crate::ui::{
    app::App,
    device,
    lost::{self, Kept, Lost},
    measure::Measure,
};

/// Wakes the interface when the session has something to tell.
pub fn waker(ctx: &egui::Context) -> impl Fn(bool) + Send + 'static {
    let ctx = ctx.clone();
    move |urgent| {
        if urgent {
            ctx.request_repaint();
        } else {
            // On a software adapter a frame costs as much as a step or two.
            ctx.request_repaint_after(NEWS);
        }
    }
}

/// News of training are shown that soon.
const NEWS: Duration = Duration::from_millis(60);

/// The session's events since the last call; once a frame.
pub fn poll(link: &mut Link) -> Vec<Event> {
    link.poll()
}

/// How the window is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The adapter.
    pub adapter: AdapterChoice,
    /// What to show, as [`App::address`] writes it.
    pub address: Option<String>,
    /// Measure for so long, see [`Measure`], and end.
    pub measure: Option<Duration>,
    /// When the program was started.
    pub started: Instant,
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// One sentence on what is missing.
pub fn run(wanted: &Options) -> Result<(), String> {
    let options = eframe::NativeOptions {
        renderer: eframe::Renderer::Wgpu,
        dithering: device::DITHERING,
        wgpu_options: device::configuration(&wanted.adapter),
        viewport: egui::ViewportBuilder::default()
            .with_title("noiselab")
            .with_app_id("noiselab")
            .with_inner_size([1280.0, 800.0])
            .with_min_inner_size([360.0, 480.0]),
        ..Default::default()
    };
    let wanted = wanted.clone();
    let (kept, before) = Kept::new();
    let seen = kept.clone();
    let create = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let for_user = wanted.address.is_none() && wanted.measure.is_none();
        let mut app = App::new(cc, for_user)?;
        app.keep(seen);
        if let Some(lost) = before {
            app.come_back(lost);
        } else if let Some(address) = &wanted.address {
            app.set_address(address);
        }
        lose_later(cc);
        if let Some(length) = wanted.measure {
            app.measure(Measure::new(wanted.started, length, cc));
        }
        Ok(Box::new(app))
    };
    let run = || eframe::run_native("noiselab", options, Box::new(create));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|e| e.to_string()),
        Err(fault) => {
            // The painter has no other answer to a device that goes while a frame is painted.
            if let Some(lost) = kept.lost() {
                restart(&lost);
            }
            resume_unwind(fault)
        }
    }
}

/// Loses the device in a while, if [`lost::LOSE_AFTER`] says so.
fn lose_later(cc: &eframe::CreationContext<'_>) {
    let seconds = std::env::var(lost::LOSE_AFTER).ok();
    let seconds = seconds
        .and_then(|s| s.parse().ok())
        .map(Duration::from_secs);
    let (Some(wait), Some(render)) = (seconds, &cc.wgpu_render_state) else {
        return;
    };
    let device = render.device.clone();
    std::thread::spawn(move || {
        std::thread::sleep(wait);
        device.destroy();
    });
}

/// What was remembered under that key; `None` if nothing was.
pub fn recall(key: &str) -> Option<String> {
    std::fs::read_to_string(folder()?.join(key)).ok()
}

/// Remembers a short text under a key (letters alone) for the next start; where that fails, it is forgotten.
pub fn remember(key: &str, value: &str) {
    if let Some(folder) = folder() {
        let _ = std::fs::create_dir_all(&folder);
        let _ = std::fs::write(folder.join(key), value);
    }
}

/// Takes over the kernel variants that were measured on this device before.
pub fn recall_kernels(gpu: &noiselab::gpu::Gpu) {
    crate::remembered::recall(gpu);
}

/// Remembers kernel variants; where that fails, they are measured again.
pub fn remember_kernels(known: &serde_json::Value) {
    if let Err(e) = crate::remembered::remember(known) {
        tracing::warn!("{e}");
    }
}

/// The folder for settings; none in tests, which must not depend on it or change it.
fn folder() -> Option<PathBuf> {
    if cfg!(test) {
        return None;
    }
    user_folder("APPDATA", "XDG_CONFIG_HOME", ".config")
}

/// The app's folder among the user's: below what a variable names on Windows and elsewhere, or below the home.
pub fn user_folder(windows: &str, xdg: &str, below_home: &str) -> Option<PathBuf> {
    let of = |name: &str| {
        let value = std::env::var_os(name).filter(|v| !v.is_empty());
        value.map(PathBuf::from)
    };
    let base = if cfg!(windows) {
        of(windows)
    } else if cfg!(target_os = "macos") {
        of("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        of(xdg).or_else(|| of("HOME").map(|home| home.join(below_home)))
    };
    base.map(|base| base.join("noiselab"))
}

/// Starts the program anew in place of this one.
pub fn restart(lost: &Lost) {
    eprintln!("{}", lost::restart(lost));
    std::process::exit(1);
}

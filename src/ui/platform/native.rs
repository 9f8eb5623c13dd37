//! The window.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use eframe::UserEvent;
use egui::ViewportId;
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
use winit::event_loop::{EventLoop, EventLoopProxy};

/// Wakes the interface when the session has something to tell.
pub fn waker(ctx: &egui::Context) -> impl Fn(bool) + Send + 'static {
    let ctx = ctx.clone();
    move |urgent| {
        if urgent {
            repaint(&ctx);
        } else {
            ctx.request_repaint_after(FRAMES.get().map_or(NEWS, Frames::news));
        }
    }
}

/// News of training are drawn that soon.
const NEWS: Duration = Duration::from_millis(33);
/// While something trains on a software adapter, whatever is not urgent is drawn that soon: a frame costs as much as two
/// steps there, and egui asks for two more after each move of the pointer. Frames that input asks for come at once.
const CALM: Duration = Duration::from_millis(100);
/// Training that goes on has news within this time.
const SILENCE: Duration = Duration::from_millis(500);

/// What frames are asked for by.
struct Frames {
    events: Mutex<EventLoopProxy<UserEvent>>,
    /// When training last had news; kept on a software adapter only.
    told: Mutex<Option<Instant>>,
    software: AtomicBool,
}

static FRAMES: OnceLock<Frames> = OnceLock::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Frames {
    fn ask(&self, when: Instant, viewport_id: ViewportId, pass: u64) {
        // A loop that is gone draws nothing any more.
        let _ = lock(&self.events).send_event(UserEvent::RequestRepaint {
            viewport_id,
            when,
            cumulative_pass_nr: pass,
        });
    }

    /// There is news; how long the frame that shows them may wait.
    fn news(&self) -> Duration {
        if !self.software.load(Ordering::Relaxed) {
            return NEWS;
        }
        *lock(&self.told) = Some(Instant::now());
        CALM
    }

    /// Puts off what egui asks for while something trains on a software adapter.
    fn pace(&'static self, ctx: &egui::Context) {
        self.software.store(true, Ordering::Relaxed);
        ctx.set_request_repaint_callback(move |info| {
            let trains = lock(&self.told).is_some_and(|at| at.elapsed() < SILENCE);
            let least = if trains { CALM } else { Duration::ZERO };
            let when = Instant::now() + info.delay.max(least);
            self.ask(when, info.viewport_id, info.current_cumulative_pass_nr);
        });
    }
}

/// Draws a frame at once, also while something trains.
pub fn repaint(ctx: &egui::Context) {
    match FRAMES.get() {
        Some(frames) => {
            let pass = ctx.cumulative_pass_nr_for(ViewportId::ROOT);
            frames.ask(Instant::now(), ViewportId::ROOT, pass);
        }
        None => ctx.request_repaint(),
    }
}

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
        let software = (cc.wgpu_render_state.as_ref())
            .is_some_and(|r| r.adapter.get_info().device_type == wgpu::DeviceType::Cpu);
        if let Some(frames) = FRAMES.get().filter(|_| software) {
            frames.pace(&cc.egui_ctx);
        }
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
    let run = || -> Result<(), String> {
        let events = EventLoop::<UserEvent>::with_user_event()
            .build()
            .map_err(|e| e.to_string())?;
        FRAMES.get_or_init(|| Frames {
            events: Mutex::new(events.create_proxy()),
            told: Mutex::new(None),
            software: AtomicBool::new(false),
        });
        let mut app = eframe::create_native("noiselab", options, Box::new(create), &events);
        events.run_app(&mut app).map_err(|e| e.to_string())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome,
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

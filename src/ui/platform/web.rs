//! The page. `web/start.js` loads the program, which takes the canvas and then is called by the page: for ticks, in
//! which the session goes on whether frames are drawn or not, when the page is hidden or shown, and when a frame has
//! been painted.

use std::{cell::RefCell, collections::VecDeque};

use noiselab::{
    gpu::{
        AdapterChoice,
        kernel::{KernelId, device_source_of},
        shaders::SHADERS,
    },
    nn::tuning,
    session::{
        command::Command,
        event::{BenchEvent, Event, ProfileEvent, ReverseEvent, TrainEvent},
        lab::event::{LabEvent, LabTrainEvent},
        link::{Link, Turns},
    },
};
use wasm_bindgen::prelude::*;
use web_time::{Duration, Instant};

use crate::ui::{
    app::App,
    device,
    files::{Answer, Outbox},
    lost::Lost,
    page,
    status::{Controls, Meter},
    strings::files as text,
};

/// Wakes the interface when the session has something to tell.
pub fn waker(ctx: &egui::Context) -> impl Fn(bool) + 'static {
    let ctx = ctx.clone();
    move |_| ctx.request_repaint()
}

/// Draws a frame at once.
pub fn repaint(ctx: &egui::Context) {
    ctx.request_repaint();
}

/// What the page's calls work on.
struct Page {
    link: Link,
    ctx: egui::Context,
    queue: wgpu::Queue,
    outbox: Outbox,
    /// Events that a tick found, until the next frame.
    events: VecDeque<Event>,
    /// The last tick found nothing to do.
    idle: bool,
    ticks: u64,
    turns: Turns,
    /// How long the last frame took.
    frame_time: Duration,
    /// When the last frame was drawn that answers input.
    touched: Instant,
    hidden: Option<Rest>,
}

impl Page {
    /// The longest frame that the session waits for.
    const LONGEST: Duration = Duration::from_millis(300);
    /// Frames that follow each other without a gap leave it a turn in this time.
    const STARVED: Duration = Duration::from_millis(100);
    /// A device that draws a frame in this time keeps up with everything.
    const FAST: Duration = Duration::from_millis(12);
    /// When nobody has touched anything for this long, fewer and larger slices get more done.
    const CALM: Duration = Duration::from_millis(1500);

    /// How long a frame that nobody waits for leaves the device to the session.
    fn pause(&self) -> Duration {
        if self.idle || self.frame_time < Self::FAST {
            Duration::ZERO
        } else {
            2 * self.frame_time
        }
    }
}

/// What happened while the page was hidden.
struct Rest {
    last: Instant,
    longest: Duration,
    worked: bool,
}

thread_local! {
    static PAGE: RefCell<Option<Page>> = const { RefCell::new(None) };
    static METER: RefCell<Meter> = RefCell::default();
    static RUNNER: RefCell<Option<eframe::WebRunner>> = const { RefCell::new(None) };
}

fn with_page<R>(f: impl FnOnce(&mut Page) -> R) -> Option<R> {
    PAGE.with(|page| page.try_borrow_mut().ok()?.as_mut().map(f))
}

/// Starts the app on the page's canvas.
pub fn start() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        page::panicked(&info.to_string());
        before(info);
    }));
    if page::mode() == "shaders" {
        return;
    }
    // A second logger is refused; the first one stays.
    let _ = eframe::WebLogger::init(log::LevelFilter::Warn);
    wasm_bindgen_futures::spawn_local(async {
        if let Err(reason) = run().await {
            page::stopped(&reason, "");
        }
    });
}

async fn run() -> Result<(), String> {
    let canvas = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.get_element_by_id("canvas"))
        .and_then(|element| element.dyn_into::<web_sys::HtmlCanvasElement>().ok())
        .ok_or("The page has no canvas.")?;
    let options = eframe::WebOptions {
        wgpu_options: device::configuration(&AdapterChoice::Best),
        dithering: device::DITHERING,
        ..Default::default()
    };
    let runner = eframe::WebRunner::new();
    RUNNER.set(Some(runner.clone()));
    let create = |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let mut app = App::new(cc, true)?;
        app.set_address(&page::address());
        attach(cc, &app);
        Ok(Box::new(app))
    };
    runner
        .start(canvas, options, Box::new(create))
        .await
        .map_err(|e| page::reason(&e))?;
    page::started();
    Ok(())
}

fn attach(cc: &eframe::CreationContext<'_>, app: &App) {
    if page::mode() == "test" {
        Controls::install(&cc.egui_ctx);
    }
    let Some(render) = &cc.wgpu_render_state else {
        return;
    };
    let attached = Page {
        link: app.shared.link.share(),
        ctx: cc.egui_ctx.clone(),
        queue: render.queue.clone(),
        outbox: app.shared.files.outbox(),
        events: VecDeque::new(),
        idle: false,
        ticks: 0,
        turns: Turns::new(Page::LONGEST, Page::STARVED),
        frame_time: Duration::ZERO,
        touched: Instant::now(),
        hidden: None,
    };
    PAGE.set(Some(attached));
}

/// The session's events since the last call; once a frame.
pub fn poll(link: &mut Link) -> Vec<Event> {
    METER.with_borrow_mut(|meter| meter.frame(Instant::now()));
    page::drawn();
    let mut events: Vec<Event> = with_page(|page| {
        page.turns.begin(Instant::now());
        if std::mem::take(&mut page.idle) {
            // What this frame asks for is not to wait for the next slow tick.
            page::wake();
        }
        page.events.drain(..).collect()
    })
    .unwrap_or_default();
    events.extend(link.poll());
    for event in &mut events {
        let adapter = match event {
            Event::Ready { adapter, .. } => adapter,
            Event::Bench(BenchEvent::Done(report)) => &mut report.adapter,
            _ => continue,
        };
        if adapter.is_empty() {
            *adapter = page::adapter();
        }
    }
    events
}

/// The key of the kernel variants.
const KERNELS: &str = "kernels";

/// Takes over the kernel variants that were measured in this browser before; what is damaged is ignored.
pub fn recall_kernels(gpu: &noiselab::gpu::Gpu) {
    let Some(text) = recall(KERNELS) else { return };
    let known = serde_json::from_str(&text).map_err(|e| e.to_string());
    if let Err(reason) = known.and_then(|known| tuning::restore(gpu, &known)) {
        log::warn!("the kernel variants are measured anew ({reason})");
    }
}

/// Remembers kernel variants.
pub fn remember_kernels(known: &serde_json::Value) {
    let before = recall(KERNELS).and_then(|text| serde_json::from_str(&text).ok());
    remember(KERNELS, &tuning::merged(before.as_ref(), known).to_string());
}

/// A remembered value.
pub fn recall(key: &str) -> Option<String> {
    page::recall(key)
}

/// Remembers a value for the next visit.
pub fn remember(key: &str, value: &str) {
    page::remember(key, value);
}

/// Loads the page anew.
pub fn restart(_lost: &Lost) {
    page::reload();
}

/// Whether somebody waits for it; figures of training and pictures of a film come by themselves.
const fn is_urgent(event: &Event) -> bool {
    !matches!(
        event,
        Event::Train(TrainEvent::Step(..))
            | Event::Compiling { .. }
            | Event::Bench(BenchEvent::Progress { .. })
            | Event::Profile(ProfileEvent::Progress { .. })
            | Event::Reverse(ReverseEvent::Progress { .. })
            | Event::Lab(
                LabEvent::Train(LabTrainEvent::Step(..))
                    | LabEvent::Merit { .. }
                    | LabEvent::Field(_)
                    | LabEvent::Errors(_)
            )
    )
}

/// Milliseconds to the next tick after one that did something.
const AT_ONCE: i32 = 0;
/// After one that had to wait for the device: asking more often would only take a core from it where it is one.
const WAITING: i32 = 3;
/// After one that had nothing to do.
const IDLE: i32 = 60;
/// A hidden page that is let rest for longer than this between two ticks has been slowed down.
const REST: Duration = Duration::from_secs(2);

/// Lets the session go on; returns the milliseconds to the next call, or −1 for never again.
#[wasm_bindgen]
pub fn tick() -> i32 {
    let wait = with_page(|page| {
        page.ticks += 1;
        if !page.turns.is_free(Instant::now()) && page.hidden.is_none() {
            return WAITING;
        }
        let start = Instant::now();
        let calm = start.duration_since(page.touched) > Page::CALM;
        let busy = page.link.pump(calm);
        let worked = start.elapsed() > Duration::from_micros(500);
        let events = page.link.poll();
        if !events.is_empty() {
            if events.iter().any(is_urgent) {
                page.ctx.request_repaint();
                page::hurry();
            } else {
                // Figures of training may come by the hundred; they can wait for one another, and on a slow device
                // for the frames that answer a user.
                let pause = page.frame_time.mul_f64(3.0).max(Duration::from_millis(40));
                page.ctx.request_repaint_after(pause);
            }
            page.events.extend(events);
        }
        if let Some(rest) = &mut page.hidden {
            let now = Instant::now();
            if rest.worked {
                rest.longest = rest.longest.max(now.duration_since(rest.last));
            }
            rest.last = now;
            rest.worked = busy;
        }
        page.idle = !busy;
        match (busy, worked) {
            (true, true) => AT_ONCE,
            (true, false) => WAITING,
            (false, _) => IDLE,
        }
    });
    wait.unwrap_or(IDLE)
}

/// The page was hidden or is shown again.
#[wasm_bindgen]
pub fn visibility(hidden: bool) {
    with_page(|page| {
        page.link.send(Command::Hidden(hidden));
        let now = Instant::now();
        if hidden {
            page.hidden = Some(Rest {
                last: now,
                longest: Duration::ZERO,
                worked: false,
            });
        } else if let Some(rest) = page.hidden.take() {
            let mut longest = rest.longest;
            if rest.worked {
                longest = longest.max(now.duration_since(rest.last));
            }
            if longest > REST {
                page.outbox.push(Answer::Notice {
                    text: text::throttled(longest.as_secs()),
                    error: false,
                });
            }
        }
        page::wake();
        page.ctx.request_repaint();
    });
}

/// Writes the app's state behind `#` in the page's address, if it has changed; now and then.
#[wasm_bindgen]
pub fn write_address() {
    let runner = RUNNER.with_borrow(Clone::clone);
    if let Some(app) = runner.as_ref().and_then(|r| r.app_mut::<App>()) {
        page::set_address(&app.address());
    }
}

fn now() -> f64 {
    web_sys::window()
        .and_then(|window| window.performance())
        .map_or(0.0, |performance| performance.now())
}

/// A frame was submitted that answers input from `since` (−1 for none).
#[wasm_bindgen]
pub fn painted(since: f64) {
    with_page(|page| {
        page.queue.on_submitted_work_done(move || {
            let pause = with_page(|page| {
                if let Some(begun) = page.turns.drawn() {
                    page.frame_time = begun.elapsed().min(Page::LONGEST);
                }
                if since >= 0.0 {
                    page.touched = Instant::now();
                }
                page.pause()
            });
            page::frame_done(1e3 * pause.unwrap_or_default().as_secs_f64());
            if since >= 0.0 {
                METER.with_borrow_mut(|meter| meter.wait(now() - since));
            }
        });
    });
}

/// Forgets the times of frames and waits so far.
#[wasm_bindgen]
pub fn measure_anew() {
    METER.take();
}

/// What the app is doing, as JSON.
#[wasm_bindgen]
pub fn status() -> String {
    let runner = RUNNER.with_borrow(Clone::clone);
    let Some(runner) = runner else {
        return "{}".into();
    };
    let value = runner.app_mut::<App>().map(|app| app.status());
    let mut value = value.unwrap_or_default();
    if let serde_json::Value::Object(all) = &mut value {
        if let serde_json::Value::Object(figures) = METER.with_borrow(Meter::value) {
            all.extend(figures);
        }
        let found = with_page(|page| (page.ctx.clone(), page.ticks));
        if let Some((ctx, ticks)) = found {
            all.insert("ticks".into(), ticks.into());
            all.insert("controls".into(), Controls::value(&ctx));
            all.insert("zoom".into(), ctx.zoom_factor().into());
        }
    }
    value.to_string()
}

/// The images of a finished run of the reverse process.
#[wasm_bindgen]
pub fn reverse_images(run: usize) -> Option<js_sys::Float32Array> {
    let runner = RUNNER.with_borrow(Clone::clone)?;
    let app = runner.app_mut::<App>()?;
    let images = app.shared.watch.reverse_images(run)?;
    Some(js_sys::Float32Array::from(images))
}

/// The part of the address behind `#` was changed by hand or by a link.
#[wasm_bindgen]
pub fn address_changed() {
    let runner = RUNNER.with_borrow(Clone::clone);
    if let Some(mut app) = runner.as_ref().and_then(|r| r.app_mut::<App>()) {
        app.set_address(&page::address());
    }
    with_page(|page| page.ctx.request_repaint());
}

/// Every kernel as it is handed to the browser: JSON of `name`, `source` and `entries`.
#[wasm_bindgen]
pub fn kernel_sources() -> String {
    let mut all = Vec::new();
    for shader in SHADERS {
        for constants in shader.constants() {
            let mut id = KernelId::new(shader.stem, "");
            id.defines = constants.to_vec();
            let source = device_source_of(&id).unwrap_or_default();
            let entries: Vec<&str> = source
                .split("@compute")
                .skip(1)
                .filter_map(|rest| rest.split_once("fn ")?.1.split(['(', ' ']).next())
                .collect();
            all.push(serde_json::json!({
                "name": format!("{} {constants:?}", shader.stem),
                "source": source,
                "entries": entries,
            }));
        }
    }
    serde_json::Value::Array(all).to_string()
}

//! The app: rail, rooms and time scrubber around one session.

use egui::{Context, Frame, Margin, Panel as SidePanel, Stroke, Theme, Ui};
use noiselab::{
    gpu::Gpu,
    session::{
        command::{Command, ModelChoice},
        event::Event,
        link::Link,
    },
};

use super::{
    address, bars,
    bench::{self, Bench},
    files, help, keys,
    lost::Lost,
    panel::Panel,
    panels, platform,
    shared::Shared,
    status, strings, theme,
    toasts::Toasts,
    tour::{Areas, Tour},
    widgets,
};
#[cfg(not(target_arch = "wasm32"))]
use super::{frame_end, lost::Kept, measure::Measure};

/// Something that draws over the app: the measuring mode's figures.
pub type Overlay = Box<dyn FnMut(&mut Ui)>;

/// What begins the program anew.
pub type Restart = Box<dyn FnMut(&Context)>;

/// The app.
pub struct App {
    /// What rooms share.
    pub shared: Shared,
    /// Drawn in a corner above everything, if there is one.
    pub overlay: Option<Overlay>,
    /// What the button of the message about a lost device does; [`platform::restart`] where there is none.
    pub restart: Option<Restart>,
    panels: Vec<Box<dyn Panel>>,
    current: usize,
    look: Look,
    toasts: Toasts,
    tour: Tour,
    help: bool,
    bench: Bench,
    /// Why the device is gone.
    lost: Option<String>,
    /// A device was lost before this start.
    before: Option<Lost>,
    #[cfg(not(target_arch = "wasm32"))]
    gpu: Option<std::sync::Arc<Gpu>>,
    /// Kept for the case that the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    kept: Option<Kept>,
    /// The session knows that the window is hidden.
    #[cfg(not(target_arch = "wasm32"))]
    hidden: bool,
    areas: Areas,
    /// Fonts and styles are set.
    dressed: bool,
    /// A user is there, whose settings and work are kept.
    for_user: bool,
    #[cfg(not(target_arch = "wasm32"))]
    measure: Option<Measure>,
}

/// Theme and zoom.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    /// As chosen; the system's where nothing is chosen.
    theme: Option<Theme>,
    zoom: f32,
    /// They have been set by an address or a key and egui does not know yet.
    fresh: bool,
}

impl App {
    /// On eframe's device. `for_user` says that a user is there: the tour, and what was autosaved last time.
    ///
    /// # Errors
    /// No device, or no thread for the session.
    pub fn new(cc: &eframe::CreationContext<'_>, for_user: bool) -> Result<Self, String> {
        let render = cc
            .wgpu_render_state
            .clone()
            .ok_or("there is no WebGPU device to draw with")?;
        let gpu = Gpu::from_device(
            render.device.clone(),
            render.queue.clone(),
            render.adapter.get_info(),
        );
        platform::recall_kernels(&gpu);
        let wake = platform::waker(&cc.egui_ctx);
        let link = Link::start(&gpu, wake).map_err(|e| e.to_string())?;
        theme::install(&cc.egui_ctx);
        let mut app = Self::with_link(link, Some(render));
        #[cfg(not(target_arch = "wasm32"))]
        {
            app.gpu = Some(gpu);
        }
        app.dressed = true;
        app.recall();
        app.for_user = for_user;
        if for_user {
            #[cfg(not(target_arch = "wasm32"))]
            if let Some(address) = platform::recall("address") {
                app.set_address(&address);
            }
            app.tour.start_once();
            app.shared.files.open(&cc.egui_ctx);
        }
        app.shared.open_built_in("mnist");
        app.shared
            .send(Command::OpenModel(ModelChoice::Pretrained { files: None }));
        Ok(app)
    }

    /// Around a given link, for tests; without a renderer pictures stay grey.
    pub fn with_link(link: Link, render: Option<egui_wgpu::RenderState>) -> Self {
        Self {
            shared: Shared::new(link, render),
            overlay: None,
            restart: None,
            panels: panels::all(),
            current: 0,
            look: Look {
                theme: None,
                zoom: 1.0,
                fresh: false,
            },
            toasts: Toasts::default(),
            tour: Tour::default(),
            help: false,
            bench: Bench::default(),
            lost: None,
            before: None,
            #[cfg(not(target_arch = "wasm32"))]
            gpu: None,
            #[cfg(not(target_arch = "wasm32"))]
            kept: None,
            #[cfg(not(target_arch = "wasm32"))]
            hidden: false,
            areas: Areas::default(),
            dressed: false,
            for_user: false,
            #[cfg(not(target_arch = "wasm32"))]
            measure: None,
        }
    }

    /// Measures itself from now on, see [`super::measure`]: in the lab if that is shown, else in the training room.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn measure(&mut self, measure: Measure) {
        let lab = self.room() == Measure::LAB;
        if !lab {
            self.show("training");
        }
        self.measure = Some(measure.of_lab(lab));
    }

    /// Keeps what a program needs that starts anew after the device was lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn keep(&mut self, kept: Kept) {
        if let Some(gpu) = &self.gpu {
            kept.uses(gpu);
        }
        self.kept = Some(kept);
    }

    /// Goes on where one ended whose device was lost, and says so.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(dead_code, reason = "the page has its own way")
    )]
    pub fn come_back(&mut self, lost: Lost) {
        self.set_address(&lost.address);
        self.before = Some(lost);
    }

    /// Tells the session when the window is hidden or shown again.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn look_whether_hidden(&mut self, ctx: &Context) {
        let info = ctx.input(|i| i.viewport().clone());
        let hidden = info.minimized == Some(true) || info.occluded == Some(true);
        if hidden != self.hidden {
            self.hidden = hidden;
            self.shared.send(Command::Hidden(hidden));
        }
    }

    /// Starts the program anew if the device is gone: it cannot even draw the message.
    #[cfg(not(target_arch = "wasm32"))]
    fn look_whether_lost(&mut self) {
        let Some(kept) = &self.kept else { return };
        kept.note(self.address(), self.shared.files.is_training());
        if let Some(lost) = kept.lost() {
            platform::restart(&lost);
        }
    }

    /// Takes over what was remembered of the last time.
    fn recall(&mut self) {
        match platform::recall("theme").as_deref() {
            Some("light") => self.set_theme(Theme::Light),
            Some("dark") => self.set_theme(Theme::Dark),
            _ => {}
        }
        if let Some(zoom) = platform::recall("zoom").and_then(|z| z.parse().ok()) {
            self.set_zoom(zoom);
        }
    }

    /// Shows the room of that id.
    pub fn show(&mut self, id: &str) {
        if let Some(i) = self.panels.iter().position(|p| p.id() == id) {
            self.current = i;
        }
    }

    /// Shows the room of that number, from 0.
    pub(super) fn show_number(&mut self, index: usize) {
        if index < self.panels.len() {
            self.current = index;
        }
    }

    /// The id of the room that is shown.
    pub fn room(&self) -> &'static str {
        self.panels.get(self.current).map_or("", |p| p.id())
    }

    /// What the scrubber says of t = 0 in the room that is shown.
    pub(super) fn time_words(&self) -> &'static strings::app::TimeWords {
        (self.panels.get(self.current)).map_or(&strings::app::IMAGES, |p| p.time_words())
    }

    /// The rooms' titles, in order, and the number of the one that is shown.
    pub(super) fn rooms(&self) -> (Vec<&'static str>, usize) {
        let titles = self.panels.iter().map(|p| p.title()).collect();
        (titles, self.current)
    }

    /// Chooses a theme.
    pub fn set_theme(&mut self, theme: Theme) {
        self.look.theme = Some(theme);
        self.look.fresh = true;
    }

    /// Changes between dark and light, and remembers it.
    pub fn switch_theme(&mut self, ctx: &Context) {
        let (theme, name) = match ctx.theme() {
            Theme::Dark => (Theme::Light, "light"),
            Theme::Light => (Theme::Dark, "dark"),
        };
        self.set_theme(theme);
        platform::remember("theme", name);
    }

    /// Makes everything larger or smaller; 1 is the usual size.
    pub fn set_zoom(&mut self, zoom: f32) {
        if zoom.is_finite() {
            self.look.zoom = zoom.clamp(Self::ZOOMS[0], Self::ZOOMS[Self::ZOOMS.len() - 1]);
            self.look.fresh = true;
        }
    }

    /// The sizes to step through.
    const ZOOMS: [f32; 9] = [0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5];

    /// One size larger or smaller, and remembers it.
    pub fn step_zoom(&mut self, larger: bool) {
        let now = self.look.zoom;
        let mut sizes = Self::ZOOMS.into_iter();
        let next = if larger {
            sizes.find(|z| *z > now + 0.01)
        } else {
            sizes.rfind(|z| *z < now - 0.01)
        };
        if let Some(zoom) = next {
            self.set_zoom(zoom);
            platform::remember("zoom", &zoom.to_string());
        }
    }

    /// How large everything is.
    pub const fn zoom(&self) -> f32 {
        self.look.zoom
    }

    /// Starts the tour.
    pub fn start_tour(&mut self) {
        self.help = false;
        self.tour.start();
    }

    /// The tour.
    pub(super) const fn tour(&mut self) -> &mut Tour {
        &mut self.tour
    }

    /// Shows the list of keys, or hides it.
    pub(super) const fn toggle_help(&mut self) {
        self.help = !self.help;
    }

    /// Closes the list of keys, or else the newest message.
    pub(super) fn close_something(&mut self) {
        if self.help {
            self.help = false;
        } else {
            self.toasts.dismiss_newest();
        }
    }

    /// Hears the session; runs when the window is hidden as well.
    pub fn listen(&mut self) {
        for event in platform::poll(&mut self.shared.link) {
            if let Event::DeviceLost { message } = &event {
                self.lost = Some(message.clone());
                files::on_event(&mut self.shared, &event);
            } else {
                self.shared.on_event(&event);
            }
            #[cfg(not(target_arch = "wasm32"))]
            if let Some(measure) = &mut self.measure
                && Measure::is_step(&event)
            {
                measure.steps += 1;
            }
            self.bench.on_event(&event);
            for panel in &mut self.panels {
                panel.on_event(&event, &mut self.shared);
            }
        }
        if let Some(room) = files::attend(&mut self.shared) {
            self.show(room);
        }
    }

    /// What it is doing, for tests in a browser.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        expect(dead_code, reason = "the page's tests read it")
    )]
    pub fn status(&self) -> serde_json::Value {
        let mut value = status::value(&self.shared, &self.panels, self.current);
        value["bench"] = self.bench.value();
        value
    }

    /// The state of the page, as what follows `#` in its address.
    pub fn address(&self) -> String {
        let mut pairs = vec![
            ("room".to_owned(), self.room().to_owned()),
            ("t".to_owned(), self.shared.time.t().to_string()),
            ("seed".to_owned(), self.shared.seed.to_string()),
        ];
        if let Some(theme) = self.look.theme {
            let name = match theme {
                Theme::Dark => "dark",
                Theme::Light => "light",
            };
            pairs.push(("theme".to_owned(), name.to_owned()));
        }
        if (self.look.zoom - 1.0).abs() > 0.01 {
            let percent = (self.look.zoom * 100.0).round();
            pairs.push(("zoom".to_owned(), percent.to_string()));
        }
        for panel in &self.panels {
            for (key, value) in panel.address(&self.shared) {
                pairs.push((key.to_owned(), value));
            }
        }
        address::write(&pairs)
    }

    /// Shows what an address says; what is unknown in it is left out silently.
    pub fn set_address(&mut self, text: &str) {
        let pairs = address::read(text);
        let mut t = None;
        for (key, value) in &pairs {
            match key.as_str() {
                "room" => self.show(value),
                "t" => t = value.parse().ok(),
                "seed" => self.shared.seed = value.parse().unwrap_or(self.shared.seed),
                "theme" => match value.as_str() {
                    "dark" => self.set_theme(Theme::Dark),
                    "light" => self.set_theme(Theme::Light),
                    _ => {}
                },
                "zoom" => {
                    if let Ok(percent) = value.parse::<f32>() {
                        self.set_zoom(percent / 100.0);
                    }
                }
                _ => {
                    for panel in &mut self.panels {
                        panel.set_address(key, value, &mut self.shared);
                    }
                }
            }
        }
        if let Some(request) = bench::asked(&pairs) {
            self.shared.send(Command::Bench(request));
        }
        // Last, as rooms may change T.
        let room = self.panels.get(self.current);
        if let Some(timesteps) = room.and_then(|p| p.timesteps()) {
            self.shared.time.set_timesteps(timesteps);
        }
        if let Some(t) = t {
            self.shared.time.set_t(t);
            self.shared.time.playing = false;
        }
    }

    /// Draws everything.
    pub fn draw(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        if !self.dressed {
            // Fonts are there from the next frame on.
            theme::install(&ctx);
            self.dressed = true;
            ctx.request_repaint();
            return;
        }
        self.apply_look(&ctx);
        theme::set_flat(&ctx, self.shared.software);
        keys::handle(self, &ctx);
        let seconds = f64::from(ui.input(|i| i.stable_dt));
        self.shared.time.advance(seconds);
        if self.shared.time.playing {
            platform::repaint(&ctx);
        }

        let phone = theme::is_phone(ui);
        if phone {
            self.areas.rail = bars::strip(self, ui);
            self.areas.tools = self.areas.rail;
        } else {
            self.areas.rail = bars::rail(self, ui);
            self.areas.tools = bars::tools(self, ui);
        }
        self.areas.scrubber = bars::time(self, ui);
        self.lost_message(ui);
        self.back_message(ui);
        self.draw_room(ui);

        self.toasts.take(&mut self.shared.notices, &ctx);
        self.toasts.draw(&ctx, self.areas.room);
        help::draw(&mut self.help, &ctx);
        self.bench.draw(&ctx);
        self.tour.draw(&ctx, &self.areas);
        self.draw_overlay(&ctx);
        files::drop_hint(ui);
        self.shared.end_frame();
    }

    fn apply_look(&mut self, ctx: &Context) {
        if self.look.fresh {
            self.look.fresh = false;
            if let Some(theme) = self.look.theme {
                ctx.set_theme(theme);
            }
            ctx.set_zoom_factor(self.look.zoom);
        } else {
            // egui has keys of its own for the size.
            self.look.zoom = ctx.zoom_factor();
        }
    }

    fn draw_room(&mut self, ui: &mut Ui) {
        let pad = if theme::is_phone(ui) { 12 } else { 16 };
        // Its ground is what the window is cleared to: one layer less to fill.
        let shown = egui::CentralPanel::no_frame().show(ui, |ui| {
            let Some(panel) = self.panels.get_mut(self.current) else {
                return;
            };
            let id = panel.id();
            egui::ScrollArea::vertical()
                .id_salt(("room", id))
                .auto_shrink(false)
                .show(ui, |ui| {
                    Frame::new().inner_margin(Margin::same(pad)).show(ui, |ui| {
                        ui.set_min_width(ui.available_width());
                        ui.spacing_mut().item_spacing.y = theme::PAD - 4.0;
                        let card = panel
                            .card()
                            .or_else(|| strings::cards::of(id, self.shared.objective()));
                        if let Some(card) = card {
                            self.areas.card = widgets::card(ui, id, card).rect;
                        }
                        panel.update(&mut self.shared);
                        ui.push_id(id, |ui| {
                            ui.spacing_mut().item_spacing.y = theme::GAP;
                            panel.ui(ui, &mut self.shared);
                        });
                    });
                });
        });
        self.areas.room = shown.response.rect;
        self.areas.card = self.areas.card.intersect(self.areas.room);
    }

    fn lost_message(&mut self, ui: &mut Ui) {
        let Some(message) = self.lost.clone() else {
            return;
        };
        let frame = Frame::new()
            .fill(theme::card_fill(ui))
            .inner_margin(Margin::same(16))
            .stroke(Stroke::new(1.0, ui.visuals().error_fg_color));
        SidePanel::top("lost").frame(frame).show(ui, |ui| {
            ui.label(
                egui::RichText::new(strings::app::LOST_TITLE)
                    .text_style(theme::section_style())
                    .color(ui.visuals().error_fg_color),
            );
            ui.label(strings::app::LOST_TEXT);
            widgets::hint(ui, &message);
            let (label, help) = (strings::app::RESTART, strings::app::RESTART_HELP);
            if widgets::primary_button(ui, label, help).clicked() {
                match &mut self.restart {
                    Some(restart) => restart(ui.ctx()),
                    None => platform::restart(&Lost {
                        reason: message,
                        address: self.address(),
                        training: self.shared.files.is_training(),
                        times: 0,
                    }),
                }
            }
        });
    }

    /// After a loss, in the new window.
    fn back_message(&mut self, ui: &mut Ui) {
        use strings::app as words;
        let Some(lost) = &self.before else { return };
        let (text, label, help) = if lost.training {
            (
                words::BACK_TEXT_TRAINING,
                words::BACK_TRAINING,
                words::BACK_TRAINING_HELP,
            )
        } else {
            (words::BACK_TEXT, words::BACK, words::BACK_HELP)
        };
        let frame = Frame::new()
            .fill(theme::card_fill(ui))
            .inner_margin(Margin::same(16))
            .stroke(Stroke::new(1.0, theme::accent(ui)));
        let shown = SidePanel::top("back").frame(frame).show(ui, |ui| {
            ui.label(
                egui::RichText::new(words::BACK_TITLE)
                    .text_style(theme::section_style())
                    .color(theme::strong(ui)),
            );
            ui.label(text);
            widgets::hint(ui, &lost.reason);
            widgets::primary_button(ui, label, help).clicked()
        });
        if shown.inner {
            if lost.training {
                files::resume(&mut self.shared);
            }
            self.before = None;
        }
    }

    fn draw_overlay(&mut self, ctx: &Context) {
        let Some(overlay) = &mut self.overlay else {
            return;
        };
        let at = self.areas.room.left_bottom() + egui::vec2(8.0, -8.0);
        egui::Area::new(egui::Id::unique("overlay"))
            .order(egui::Order::Tooltip)
            .interactable(false)
            .pivot(egui::Align2::LEFT_BOTTOM)
            .fixed_pos(at)
            .show(ctx, |ui| {
                theme::section_frame(ui)
                    .fill(theme::card_fill(ui))
                    .inner_margin(Margin::same(8))
                    .show(ui, |ui| {
                        ui.style_mut().override_text_style = Some(egui::TextStyle::Monospace);
                        overlay(ui);
                    });
            });
    }
}

impl eframe::App for App {
    #[cfg_attr(
        target_arch = "wasm32",
        expect(unused_variables, reason = "only natively a window is looked at")
    )]
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        #[cfg(not(target_arch = "wasm32"))]
        {
            self.look_whether_hidden(ctx);
            // No frame follows that would let go again where the window is hidden.
            if !self.hidden {
                self.shared.link.hold().take();
            }
        }
        self.listen();
        #[cfg(not(target_arch = "wasm32"))]
        self.look_whether_lost();
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn raw_input_hook(&mut self, _ctx: &Context, input: &mut egui::RawInput) {
        if let Some(measure) = &mut self.measure {
            measure.pretend(input);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(measure) = &mut self.measure
            && measure.frame(&self.shared)
        {
            println!("{:#}", measure.report());
            self.measure = None;
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
        self.draw(ui);
        #[cfg(not(target_arch = "wasm32"))]
        {
            let hold = self.shared.link.hold();
            let measured = self.measure.as_ref().map(Measure::answer);
            frame_end::then(ui, move || {
                hold.release();
                if let Some(measured) = &measured {
                    measured();
                }
            });
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn on_exit(&mut self) {
        if self.for_user {
            platform::remember("address", &self.address());
            files::on_exit(&mut self.shared);
        }
    }

    #[cfg(target_arch = "wasm32")]
    fn as_any_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;

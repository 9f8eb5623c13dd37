//! The app: rail, rooms and time scrubber around one session.

use std::sync::Arc;

use noiselab::{
    gpu::Gpu,
    session::{
        command::{Command, DataChoice, ModelChoice},
        link::Link,
    },
};

use super::{panel::Panel, panels, platform, shared::Shared, theme};

/// The app.
pub struct App {
    /// What rooms share.
    pub shared: Shared,
    panels: Vec<Box<dyn Panel>>,
    current: usize,
}

impl App {
    /// On eframe's device.
    ///
    /// # Errors
    /// No device, or no thread for the session.
    pub fn new(cc: &eframe::CreationContext<'_>) -> Result<Self, String> {
        let render = cc
            .wgpu_render_state
            .clone()
            .ok_or("there is no WebGPU device to draw with")?;
        let gpu = Gpu::from_device(
            render.device.clone(),
            render.queue.clone(),
            render.adapter.get_info(),
        );
        let wake = platform::waker(&cc.egui_ctx);
        let link = Link::start(&gpu, wake).map_err(|e| e.to_string())?;
        let _ = Arc::clone(&gpu);
        theme::install(&cc.egui_ctx);
        let app = Self::with_link(link, Some(render));
        app.shared.send(Command::OpenData(DataChoice::BuiltIn {
            name: "mnist".into(),
            asset: None,
        }));
        app.shared
            .send(Command::OpenModel(ModelChoice::Pretrained { files: None }));
        Ok(app)
    }

    /// Around a given link, for tests; without a renderer pictures stay grey.
    pub fn with_link(link: Link, render: Option<egui_wgpu::RenderState>) -> Self {
        Self {
            shared: Shared::new(link, render),
            panels: panels::all(),
            current: 0,
        }
    }

    /// Shows the room of that id.
    pub fn show(&mut self, id: &str) {
        if let Some(i) = self.panels.iter().position(|p| p.id() == id) {
            self.current = i;
        }
    }

    /// Hears the session; runs when the window is hidden as well.
    pub fn listen(&mut self) {
        for event in self.shared.link.poll() {
            self.shared.on_event(&event);
            for panel in &mut self.panels {
                panel.on_event(&event, &mut self.shared);
            }
        }
    }

    /// Draws everything.
    pub fn draw(&mut self, ui: &mut egui::Ui) {
        let seconds = f64::from(ui.input(|i| i.stable_dt));
        self.shared.time.advance(seconds);
        if self.shared.time.playing {
            ui.ctx().request_repaint();
        }
        egui::Panel::left("rail").show(ui, |ui| {
            for (i, panel) in self.panels.iter().enumerate() {
                if ui
                    .selectable_label(i == self.current, panel.title())
                    .clicked()
                {
                    self.current = i;
                }
            }
        });
        egui::CentralPanel::default().show(ui, |ui| {
            let panel = &mut self.panels[self.current];
            panel.update(&mut self.shared);
            panel.ui(ui, &mut self.shared);
        });
        self.shared.end_frame();
    }
}

impl eframe::App for App {
    fn logic(&mut self, _ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.listen();
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.draw(ui);
    }
}

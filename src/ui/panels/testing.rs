//! A stage for one room: the room, what it shares, and the other end of its link.

use std::sync::Arc;

use egui::{Theme, Vec2};
use egui_kittest::{Harness, wgpu::WgpuTestRenderer};
use noiselab::{
    data::{Dataset, Images},
    gpu::{
        Gpu,
        film::{Film, Painter, Palette, Shot},
        memory::Pool,
    },
    session::{
        command::Command,
        event::Event,
        link::{Link, Recording},
    },
};

use crate::ui::{device, panel::Panel, shared::Shared, theme};

/// A room on its stage.
pub struct Stage<P> {
    /// The room.
    pub room: P,
    /// What it shares.
    pub shared: Shared,
    recording: Recording,
}

impl<P: Panel> Stage<P> {
    fn new(room: P, render: Option<egui_wgpu::RenderState>) -> Self {
        let (link, recording) = Link::recording();
        Self {
            room,
            shared: Shared::new(link, render),
            recording,
        }
    }

    /// Lets the room hear something.
    pub fn tell(&self, event: Event) {
        self.recording
            .events
            .send(event)
            .expect("a room that hears");
    }

    /// What it sent since the last call.
    pub fn sent(&self) -> Vec<Command> {
        self.recording.commands.try_iter().collect()
    }

    fn frame(&mut self, ui: &mut egui::Ui) {
        for event in self.shared.link.poll() {
            self.shared.on_event(&event);
            self.room.on_event(&event, &mut self.shared);
        }
        let frame = egui::Frame::new().fill(ui.visuals().panel_fill);
        egui::CentralPanel::default().frame(frame).show(ui, |ui| {
            egui::ScrollArea::vertical()
                .auto_shrink(false)
                .show(ui, |ui| {
                    let pad = if theme::is_phone(ui) { 12 } else { 16 };
                    egui::Frame::new().inner_margin(pad).show(ui, |ui| {
                        ui.set_min_width(ui.available_width());
                        self.room.update(&mut self.shared);
                        self.room.ui(ui, &mut self.shared);
                    });
                });
        });
        self.shared.end_frame();
    }
}

/// A room without a device: films stay grey.
pub fn stage<P: Panel + 'static>(room: P, size: impl Into<Vec2>) -> Harness<'static, Stage<P>> {
    Harness::builder()
        .with_size(size)
        .with_context_setup(theme::install)
        .build_ui_state(
            |ui, stage: &mut Stage<P>| stage.frame(ui),
            Stage::new(room, None),
        )
}

/// A room with a device on which it is drawn.
pub fn lit_stage<P: Panel + 'static>(
    room: P,
    size: impl Into<Vec2>,
    theme_shown: Theme,
) -> (Harness<'static, Stage<P>>, Arc<Gpu>) {
    let setup = device::configuration(&noiselab::gpu::AdapterChoice::Best).wgpu_setup;
    let render =
        egui_kittest::wgpu::create_render_state(setup, egui_wgpu::RendererOptions::PREDICTABLE);
    let gpu = Gpu::from_device(
        render.device.clone(),
        render.queue.clone(),
        render.adapter.get_info(),
    );
    let harness = Harness::builder()
        .with_size(size)
        .with_theme(theme_shown)
        .with_context_setup(theme::install)
        .renderer(WgpuTestRenderer::from_render_state(render.clone()))
        .build_ui_state(
            |ui, stage: &mut Stage<P>| stage.frame(ui),
            Stage::new(room, Some(render)),
        );
    (harness, gpu)
}

/// A small data set: pictures of `side` pixels with a square each, in three classes.
pub fn data(side: usize, channels: usize, count: usize) -> Arc<Dataset> {
    let images = |count: usize| {
        let mut pixels = vec![0; count * side * side * channels];
        for n in 0..count {
            let (top, left) = (n % (side / 2), 3 * n % (side / 2));
            for y in top..top + side / 2 {
                for x in left..left + side / 2 {
                    for c in 0..channels {
                        pixels[((n * side + y) * side + x) * channels + c] = 255 - (20 * c) as u8;
                    }
                }
            }
        }
        let labels = (0..count).map(|n| (n % 3) as u8).collect();
        Images::new(side, side, channels, pixels, Some(labels)).expect("pictures")
    };
    let names = ["zero", "one", "two"].map(str::to_owned).to_vec();
    Arc::new(Dataset::new(
        "squares".into(),
        images(count),
        images(4),
        names,
    ))
}

/// A film of the given frames, each of tiles `[H, W, C]`.
pub fn film(
    gpu: &Arc<Gpu>,
    [height, width, channels]: [usize; 3],
    columns: usize,
    frames: &[Vec<Vec<f32>>],
) -> Film {
    let tiles = frames[0].len();
    let film = Film::new(gpu, (width, height), tiles, columns, frames.len()).expect("a film");
    let painter = Painter::new(gpu).expect("a painter");
    let padded = channels.next_multiple_of(4);
    let bytes = 4 * (tiles * height * width * padded) as u64;
    let (_pool, views) = Pool::allocate(gpu, "test", &[("x", bytes)]).expect("memory");
    let screen = painter.screen(
        gpu,
        &film,
        Shot {
            view: views[0].clone(),
            size: [height, width, channels],
            tiles,
            by_channel: false,
            palette: Palette::Picture,
            gain: Some(1.0),
            first: 0,
        },
    );
    for (layer, frame) in frames.iter().enumerate() {
        let mut tensor = Vec::with_capacity(tiles * height * width * padded);
        for pixel in frame.iter().flat_map(|tile| tile.chunks_exact(channels)) {
            tensor.extend_from_slice(pixel);
            tensor.resize(tensor.len().next_multiple_of(padded), 0.0);
        }
        views[0].write(gpu, 0, &tensor);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        screen.paint(gpu, &mut encoder, layer);
        gpu.submit(encoder.finish(), || {});
    }
    gpu.wait();
    film
}

//! Every room as a picture, compared with the one kept under `tests/snapshots`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test snapshots` rewrites those that differ (`=force` all of them): look at them before they
//! are committed. A test that fails leaves its picture and the difference beside the kept one.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use egui::{Color32, Theme, Vec2};
use egui_kittest::{Harness, SnapshotOptions, try_image_snapshot_options, wgpu::WgpuTestRenderer};
use image::{
    RgbaImage,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use noiselab::{
    data::points::PointSource,
    gpu::{AdapterChoice, Gpu, film::Film},
    session::{
        command::{Command, ProfilePass, ProfileRequest, ReverseRequest},
        config::PRESETS,
        event::{
            Event, ModelInfo, ProfileEvent, ReverseEvent, ReverseFilms, ReverseFrame, TrainEvent,
            TrainStatus,
        },
        lab::{
            EXTENT,
            command::{LabCommand, LabForward, LabStage},
            event::{Grid, LabEvent, LabForwardView},
        },
        link::{Link, Recording},
    },
};

use super::{
    all, forward, lab, network,
    testing::data,
    training::tests::{opened, preview, stepped},
};
use crate::ui::{app::App, device, theme};

const SIZES: [[u16; 2]; 3] = [[1280, 800], [1024, 640], [390, 800]];
const THEMES: [(Theme, &str); 2] = [(Theme::Dark, "dark"), (Theme::Light, "light")];
/// Side of the pictures.
const SIDE: usize = 28;
/// Where time stands.
const T: usize = 300;

/// Squared distance in YIQ from which a pixel counts as another one: 9 of 255 levels of grey. Drivers round
/// blending and gradients differently, lavapipe and SwiftShader by up to 4 %.
const COLOUR: f32 = 40.0;
/// Of so many pixels one may be another: an edge that drivers see on different sides of a pixel.
const ONE_OF: usize = 10_000;

/// A device on which all rooms are drawn, and what they are told.
struct Scene {
    render: egui_wgpu::RenderState,
    gpu: Arc<Gpu>,
    events: Vec<Event>,
    on_stage: RefCell<Option<LabStage>>,
}

impl Scene {
    /// On a software adapter, so that the pictures are the same wherever there is one.
    fn new() -> Self {
        let setup = device::configuration(&AdapterChoice::Cpu).wgpu_setup;
        let render =
            egui_kittest::wgpu::create_render_state(setup, egui_wgpu::RendererOptions::PREDICTABLE);
        let gpu = Gpu::from_device(
            render.device.clone(),
            render.queue.clone(),
            render.adapter.get_info(),
        );
        let mut config = (PRESETS[1].make)(SIDE, 1);
        config.dataset = "squares".into();
        let mut events = vec![
            Event::Ready {
                adapter: "An adapter".into(),
                software: false,
                f16: true,
            },
            Event::Data(data(SIDE, 1, 60)),
            Event::Model(Arc::new(ModelInfo {
                name: "digits".into(),
                unet: config.unet.clone(),
                scheduler: config.scheduler.clone(),
                parameters: 686_769,
            })),
            Event::Train(opened(config, 0, Vec::new())),
            Event::Train(TrainEvent::Status(TrainStatus::Running)),
        ];
        events.extend((1..=300).map(|step| Event::Train(stepped(step))));
        for step in [100, 200, 300] {
            let preview = preview(&gpu, SIDE, 16, step);
            events.push(Event::Train(TrainEvent::Preview(preview)));
        }
        Self {
            render,
            gpu,
            events,
            on_stage: RefCell::default(),
        }
    }

    /// The app in a window.
    fn stage(&self, theme: Theme) -> (Harness<'static, App>, Recording) {
        let renderer = egui_wgpu::Renderer::new(
            &self.render.device,
            self.render.target_format,
            egui_wgpu::RendererOptions::PREDICTABLE,
        );
        let mut render = self.render.clone();
        render.renderer = Arc::new(egui::mutex::RwLock::new(renderer));
        let (link, recording) = Link::recording();
        let mut harness = Harness::builder()
            .with_size(size_of(SIZES[0]))
            .with_theme(theme)
            .renderer(WgpuTestRenderer::from_render_state(render.clone()))
            .build_ui_state(
                |ui, app: &mut App| {
                    app.listen();
                    app.draw(ui);
                },
                App::with_link(link, Some(render)),
            );
        harness.run();
        harness.ctx.all_styles_mut(|s| s.animation_time = 0.0);
        for event in &self.events {
            recording.events.send(event.clone()).expect("an app");
        }
        (harness, recording)
    }

    /// Answers what the rooms ask, until they ask nothing more.
    fn settle(&self, harness: &mut Harness<'_, App>, recording: &Recording) {
        for _ in 0..8 {
            harness.run();
            let asked: Vec<Command> = recording.commands.try_iter().collect();
            if asked.is_empty() {
                return;
            }
            for event in asked.iter().flat_map(|command| self.answer(command)) {
                recording.events.send(event).expect("an app");
            }
        }
        panic!("a room asks again and again");
    }

    /// What a session would say. A room that asks for something else gets its answers here.
    fn answer(&self, command: &Command) -> Vec<Event> {
        match command {
            Command::Forward(request) => vec![forward::tests::view(&self.gpu, request)],
            Command::Probe(request) => vec![network::tests::view(&self.gpu, request)],
            Command::Reverse(request) => self.reverse(request),
            Command::Lab(LabCommand::Stage(stage)) => {
                *self.on_stage.borrow_mut() = Some((**stage).clone());
                let view = lab::tests::view_of(stage);
                vec![Event::Lab(LabEvent::Stage(Arc::new(view)))]
            }
            Command::Lab(LabCommand::Forward(request)) => self.lab_forward(request),
            _ => Vec::new(),
        }
    }

    /// The density as it is, and no particles: on which side of a pixel one lies differs from driver to driver.
    fn lab_forward(&self, request: &LabForward) -> Vec<Event> {
        const CELLS: usize = 64;
        let stage = self.on_stage.borrow();
        let stage = stage.as_ref().expect("a stage");
        let schedule = stage.scheduler.noise_schedule().expect("a schedule");
        let alpha_bar = request
            .t
            .checked_sub(1)
            .map_or(1.0, |t| schedule.alpha_bars()[t]);
        let source = PointSource::open(&stage.distribution).expect("points");
        let at = |i: usize| ((i as f32 + 0.5) / CELLS as f32 * 2.0 - 1.0) * EXTENT;
        let values = (0..CELLS * CELLS).map(|i| {
            let point = [at(i % CELLS), -at(i / CELLS)];
            let log_density = source.mixture().log_density(point, alpha_bar.into());
            log_density.exp() as f32
        });
        let density = Grid {
            side: CELLS,
            values: values.collect(),
        };
        let view = LabForwardView {
            request: request.clone(),
            clouds: Film::new(&self.gpu, (512, 512), 1, 1, 2).expect("a film"),
            density: vec![density].into(),
            alpha_bar: vec![alpha_bar].into(),
        };
        vec![Event::Lab(LabEvent::Forward(Arc::new(view)))]
    }

    fn reverse(&self, request: &ReverseRequest) -> Vec<Event> {
        let film = |step| preview(&self.gpu, SIDE, request.count, step).raw;
        let films = ReverseFilms {
            x: film(250),
            x0_hat: film(290),
            eps_hat: film(0),
            noise: film(10),
        };
        let frames: Arc<[ReverseFrame]> = (0..=10)
            .map(|k| ReverseFrame {
                steps_taken: k,
                t: 1000 - 100 * k,
                sigma: if k == 10 { 0.0 } else { 0.5 },
            })
            .collect();
        let mut events = Vec::new();
        for run in 0..request.runs.len() {
            events.push(Event::Reverse(ReverseEvent::Started {
                request: Arc::new(request.clone()),
                run,
                films: films.clone(),
                frames: Arc::clone(&frames),
                timesteps: 1000,
            }));
            events.push(Event::Reverse(ReverseEvent::Done {
                run,
                images: vec![0.0; request.count * SIDE * SIDE].into(),
                evaluations: 10 * request.count,
                seconds: 2.5,
            }));
        }
        events
    }
}

fn size_of([width, height]: [u16; 2]) -> Vec2 {
    Vec2::new(width.into(), height.into())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

/// Lays what was drawn over a colour, as a window does.
fn lay_over(image: &mut RgbaImage, ground: Color32) {
    let ground = ground.to_array();
    for pixel in image.pixels_mut() {
        let clear = 255 - u32::from(pixel.0[3]);
        for (value, below) in pixel.0.iter_mut().zip(ground) {
            *value = value.saturating_add((u32::from(below) * clear / 255) as u8);
        }
    }
}

/// Compares a picture with the kept one of that name, or keeps it.
fn compare(image: &RgbaImage, folder: &Path, name: &str) -> Result<(), String> {
    let pixels = image.width() as usize * image.height() as usize;
    let options = SnapshotOptions::new()
        .threshold(COLOUR)
        .max_failed_pixels(pixels / ONE_OF)
        .output_path(folder);
    try_image_snapshot_options(image, name, &options).map_err(|e| e.to_string())?;
    if is_updating() {
        shrink(&folder.join(name).with_extension("png"));
    }
    Ok(())
}

fn is_updating() -> bool {
    std::env::var_os("UPDATE_SNAPSHOTS").is_some()
}

/// Writes a file again with half the bytes: noise and flat areas are what filters make worse.
fn shrink(path: &Path) {
    let image = image::open(path).expect("a snapshot").to_rgb8();
    let file = std::fs::File::create(path).expect("a file");
    let (best, plain) = (CompressionType::Best, FilterType::NoFilter);
    let encoder = PngEncoder::new_with_quality(std::io::BufWriter::new(file), best, plain);
    image.write_with_encoder(encoder).expect("a file");
}

impl Scene {
    /// The network's room with a made-up profile, high enough for all of it.
    fn profile(&self, compare: &mut dyn FnMut(String, &RgbaImage)) {
        for (theme, theme_name) in THEMES {
            let (mut harness, recording) = self.stage(theme);
            harness.state_mut().show("network");
            self.settle(&mut harness, &recording);
            let request = ProfileRequest {
                pass: ProfilePass::Step,
                batch: 16,
            };
            let view = network::flame::tests::profile(&network::tests::info(1), request);
            let done = ProfileEvent::Done(Arc::new(view));
            let sent = recording.events.send(Event::Profile(done));
            sent.expect("an app");
            for size in [[1280, 1240], [390, 1900]] {
                harness.set_size(size_of(size));
                self.settle(&mut harness, &recording);
                let name = format!("network-profile-{}x{}-{theme_name}", size[0], size[1]);
                let mut image = harness.render().expect("a picture");
                let style = harness.ctx.style_of(theme);
                lay_over(&mut image, style.visuals.panel_fill);
                compare(name, &image);
            }
        }
    }
}

#[test]
fn every_room_looks_as_it_did() {
    let scene = Scene::new();
    let mut faults = Vec::new();
    let mut known = BTreeSet::new();
    scene.profile(&mut |name, image| {
        faults.extend(compare(image, &folder(), &name).err());
        known.insert(format!("{name}.png"));
    });
    for room in all().iter().map(|panel| panel.id()) {
        for (theme, theme_name) in THEMES {
            let (mut harness, recording) = scene.stage(theme);
            harness.state_mut().show(room);
            scene.settle(&mut harness, &recording);
            harness.state_mut().shared.time.set_t(T);
            for size in SIZES {
                harness.set_size(size_of(size));
                scene.settle(&mut harness, &recording);
                let name = format!("{room}-{}x{}-{theme_name}", size[0], size[1]);
                let mut image = harness.render().expect("a picture");
                let style = harness.ctx.style_of(theme);
                lay_over(&mut image, style.visuals.panel_fill);
                faults.extend(compare(&image, &folder(), &name).err());
                known.insert(format!("{name}.png"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let files = std::fs::read_dir(folder()).expect("the folder of snapshots");
    for file in files {
        let name = file
            .expect("a file")
            .file_name()
            .into_string()
            .expect("UTF-8");
        let passing = [".new.png", ".old.png", ".diff.png"];
        assert!(
            known.contains(&name) || passing.iter().any(|end| name.ends_with(end)),
            "{name} is the picture of no room: remove it"
        );
    }
}

#[test]
fn another_colour_is_noticed_and_another_rounding_is_not() {
    if is_updating() {
        return; // whatever is shown is then kept
    }
    let name = "forward-1280x800-dark";
    let kept = folder().join(name).with_extension("png");
    let image = image::open(&kept).expect("a snapshot").to_rgba8();
    let temp = tempfile::tempdir().expect("a folder");
    std::fs::copy(&kept, temp.path().join(name).with_extension("png")).expect("a copy");
    let changed = |change: &dyn Fn(usize, &mut [u8; 4])| {
        let mut image = image.clone();
        for (i, pixel) in image.pixels_mut().enumerate() {
            change(i, &mut pixel.0);
        }
        compare(&image, temp.path(), name)
    };
    let rounded = changed(&|i, p| {
        p.iter_mut()
            .take(3)
            .for_each(|v| *v = v.saturating_add((i % 4) as u8))
    });
    assert_eq!(rounded, Ok(()));
    let accent = theme::ACCENT.to_array();
    let painted = changed(&|_, p| {
        if *p == accent {
            p[1] -= 0x18;
        }
    });
    painted.expect_err("another accent");
}

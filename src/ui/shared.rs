//! What all rooms share: the link to the session, the time, the data set and model at hand, and the
//! textures that egui knows.

use std::{collections::HashMap, sync::Arc};

use noiselab::{
    data::Dataset,
    diffusion::Objective,
    gpu::film::Film,
    session::{
        command::{Command, DataChoice, Picture},
        event::{Event, Job, ModelInfo},
        link::Link,
    },
};

use super::{
    files::{self, Files},
    status::Watch,
    timeline::Timeline,
};

/// What all rooms share.
pub struct Shared {
    /// The session.
    pub link: Link,
    /// t.
    pub time: Timeline,
    /// Seed of what is random in the forward and reverse rooms.
    pub seed: u64,
    /// The data set at hand.
    pub data: Option<Arc<Dataset>>,
    /// The model at hand.
    pub model: Option<Arc<ModelInfo>>,
    /// The picture that the forward and network rooms look at.
    pub picture: Option<Picture>,
    /// The adapter's name, once known.
    pub adapter: String,
    /// The adapter computes on the CPU.
    pub software: bool,
    /// It has 16-bit numbers.
    pub f16: bool,
    /// Pipelines being made: for what, done, of.
    pub compiling: Option<(Job, usize, usize)>,
    /// Messages to the user, newest last; the app shows and drops them.
    pub notices: Vec<Notice>,
    /// A file of points that was opened, its name and content, until the lab takes it.
    pub points: Option<(String, Vec<u8>)>,
    /// Dialogs, dropped files and the autosave.
    pub files: Files,
    /// What events told, summed up for tests.
    pub watch: Watch,
    textures: Textures,
}

/// A message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One sentence.
    pub text: String,
    /// It tells of a failure.
    pub error: bool,
}

impl Shared {
    /// At the start: nothing open.
    pub fn new(link: Link, render: Option<egui_wgpu::RenderState>) -> Self {
        Self {
            link,
            time: Timeline::new(1000),
            seed: 0,
            data: None,
            model: None,
            picture: None,
            adapter: String::new(),
            software: false,
            f16: false,
            compiling: None,
            notices: Vec::new(),
            points: None,
            files: Files::default(),
            watch: Watch::default(),
            textures: Textures {
                render,
                known: HashMap::new(),
                frame: 0,
            },
        }
    }

    /// What the network at hand predicts; the paper's ε where there is none.
    pub fn objective(&self) -> Objective {
        let model = self.model.as_ref();
        model.map_or(Objective::Epsilon, |m| m.scheduler.prediction_type)
    }

    /// Sends a command to the session. In the page, data sets and weights that come along are fetched first.
    pub fn send(&self, command: Command) {
        if let Some(command) = self.files.complete(command) {
            self.link.send(command);
        }
    }

    /// Opens a data set that comes along, by its name.
    pub fn open_built_in(&self, name: &str) {
        self.send(Command::OpenData(DataChoice::BuiltIn {
            name: name.into(),
            asset: None,
        }));
    }

    /// Tells the user something.
    pub fn notify(&mut self, text: impl Into<String>, error: bool) {
        let text = text.into();
        self.watch.tell(&text, error);
        self.notices.push(Notice { text, error });
    }

    /// Takes note of what concerns all rooms.
    pub fn on_event(&mut self, event: &Event) {
        self.watch.on_event(event);
        files::on_event(self, event);
        match event {
            Event::Ready {
                adapter,
                software,
                f16,
            } => {
                self.adapter.clone_from(adapter);
                self.software = *software;
                self.f16 = *f16;
            }
            Event::Data(data) => self.data = Some(Arc::clone(data)),
            Event::Model(model) => self.model = Some(Arc::clone(model)),
            Event::Compiling { job, done, of } => {
                self.compiling = (done < of).then_some((*job, *done, *of));
            }
            Event::Failed { message, .. } | Event::DeviceLost { message } => {
                self.notify(message.clone(), true);
            }
            Event::Tuned(known) => super::platform::remember_kernels(known),
            Event::Forward(_)
            | Event::Reverse(_)
            | Event::Probe(_)
            | Event::Train(_)
            | Event::Lab(_)
            | Event::Bench(_)
            | Event::Profile(_)
            | Event::File { .. } => {}
        }
    }

    /// The texture of a film's frame, for egui; `None` where there is no device (in some tests).
    pub fn texture(&mut self, film: &Film, layer: usize) -> Option<egui::TextureId> {
        self.textures.get(film, layer, wgpu::FilterMode::Nearest)
    }

    /// The same, for films that are not drawn pixel by pixel: what lies between pixels is mixed. A film is drawn one
    /// way or the other, not both.
    pub fn smooth_texture(&mut self, film: &Film, layer: usize) -> Option<egui::TextureId> {
        self.textures.get(film, layer, wgpu::FilterMode::Linear)
    }

    /// Forgets textures that have not been drawn for a while; call once a frame.
    pub fn end_frame(&mut self) {
        self.textures.end_frame();
    }
}

/// The frames of films that egui's renderer knows.
struct Textures {
    render: Option<egui_wgpu::RenderState>,
    /// By film and layer: the texture and the frame in which it was last drawn.
    known: HashMap<(u64, usize), (egui::TextureId, u64)>,
    frame: u64,
}

impl Textures {
    /// Frames after which a texture that is not drawn is forgotten.
    const PATIENCE: u64 = 240;

    fn get(
        &mut self,
        film: &Film,
        layer: usize,
        filter: wgpu::FilterMode,
    ) -> Option<egui::TextureId> {
        let render = self.render.as_ref()?;
        let entry = self.known.entry((film.id(), layer)).or_insert_with(|| {
            let id = render.renderer.write().register_native_texture(
                &render.device,
                &film.view(layer),
                filter,
            );
            (id, 0)
        });
        entry.1 = self.frame;
        Some(entry.0)
    }

    fn end_frame(&mut self) {
        self.frame += 1;
        let Some(render) = &self.render else { return };
        let old: Vec<_> = self
            .known
            .iter()
            .filter(|(_, (_, seen))| seen + Self::PATIENCE < self.frame)
            .map(|(key, (id, _))| (*key, *id))
            .collect();
        if old.is_empty() {
            return;
        }
        let mut renderer = render.renderer.write();
        for (key, id) in old {
            renderer.free_texture(&id);
            self.known.remove(&key);
        }
    }
}

//! What an interface can ask of a [`Session`](super::live::Session). Commands and events are plain data, so that
//! the window (over a thread), the page (in place) and tests drive the same session.

use std::{path::PathBuf, sync::Arc};

use super::{config::TrainConfig, lab::command::LabCommand};
use crate::data::{Images, LoadOptions, Source};

/// A picture to work on.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// 1 or 3.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[C, H, W]` in [−1, 1].
    pub values: Arc<[f32]>,
}

impl Picture {
    /// Image `i` of some; `None` if there is none.
    pub fn of(images: &Images, i: usize) -> Option<Self> {
        if i >= images.len() {
            return None;
        }
        let mut values = vec![0.0; images.stride()];
        images.write_chw(i, &mut values);
        Some(Self {
            channels: images.channels,
            height: images.height,
            width: images.width,
            values: values.into(),
        })
    }
}

/// A request to a session.
#[derive(Debug, Clone)]
pub enum Command {
    /// Opens a data set; answered by [`Event::Data`](super::event::Event::Data).
    OpenData(DataChoice),
    /// Opens a model for the reverse process and the network's rooms; answered by
    /// [`Event::Model`](super::event::Event::Model).
    OpenModel(ModelChoice),
    /// Noises a picture; answered by [`Event::Forward`](super::event::Event::Forward). A later request replaces one
    /// that has not been answered.
    Forward(ForwardRequest),
    /// Starts the reverse process anew; answered by [`Event::Reverse`](super::event::Event::Reverse).
    Reverse(ReverseRequest),
    /// Stops the reverse process; what was computed stays.
    StopReverse,
    /// Looks into the network; answered by [`Event::Probe`](super::event::Event::Probe). A later request replaces one
    /// that has not been answered.
    Probe(ProbeRequest),
    /// Training.
    Train(TrainCommand),
    /// The 2-D lab.
    Lab(LabCommand),
    /// Makes a file; answered by [`Event::File`](super::event::Event::File).
    Export(ExportRequest),
    /// Measures this device; answered by [`Event::Bench`](super::event::Event::Bench). Other work waits meanwhile.
    Bench(BenchRequest),
    /// Times the kernels of the network at hand; answered by [`Event::Profile`](super::event::Event::Profile). A later
    /// request replaces an earlier one. Work for which nobody waits rests meanwhile.
    Profile(ProfileRequest),
    /// Stops that.
    StopProfile,
    /// The interface is hidden: submissions may be long, as nobody looks.
    Hidden(bool),
}

/// What [`crate::bench`] is to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchRequest {
    /// The network, of [`crate::bench::MODELS`].
    pub model: String,
    /// Images a step; the model's own number without.
    pub batch: Option<usize>,
    /// Seconds for training and again for sampling.
    pub seconds: f64,
}

/// What of a network is to be timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfilePass {
    /// A training step of one micro-batch: forward, loss, backward, and the update of the weights. If the run in
    /// training is of the same network, its settings are taken.
    Step,
    /// An evaluation, with a sampler's step around it.
    Evaluation,
}

/// Where the time of the network at hand goes, kernel by kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileRequest {
    /// Of what.
    pub pass: ProfilePass,
    /// Images at once.
    pub batch: usize,
}

/// A data set.
#[derive(Debug, Clone)]
pub enum DataChoice {
    /// One that comes along, of [`crate::data::BUILT_IN`].
    BuiltIn {
        /// Its name.
        name: String,
        /// Its bytes, where the program does not hold them (in the page).
        asset: Option<Arc<[u8]>>,
    },
    /// A file or folder of the user's.
    Own {
        /// How the loaders see it.
        source: OwnSource,
        /// Size and channels.
        options: LoadOptions,
    },
}

/// Where data of the user's own are.
#[derive(Debug, Clone)]
pub enum OwnSource {
    /// On disk.
    Path(PathBuf),
    /// In memory: the name of a file and its bytes.
    Bytes(String, Arc<[u8]>),
}

impl OwnSource {
    /// As the loaders take it.
    ///
    /// # Errors
    /// A path that cannot be read.
    pub fn open(&self) -> Result<Source, crate::data::DataError> {
        match self {
            Self::Path(path) => Source::from_path(path),
            Self::Bytes(name, bytes) => Ok(Source::from_bytes(name, bytes.to_vec())),
        }
    }
}

/// A model.
#[derive(Debug, Clone)]
pub enum ModelChoice {
    /// The weights that come along.
    Pretrained {
        /// Their files where the program does not hold them (in the page): the U-Net's configuration,
        /// the scheduler's, and the weights.
        files: Option<[Arc<[u8]>; 3]>,
    },
    /// A diffusers pipeline or a run of `noiselab train`, on disk.
    Folder(PathBuf),
    /// The moving average (true) or the raw weights (false) of the model in training, as they are at each moment.
    Training {
        /// Of the moving average.
        averaged: bool,
    },
}

/// What the forward process is to show.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardRequest {
    /// x_0.
    pub picture: Picture,
    /// Seed of ε.
    pub seed: u64,
    /// T.
    pub timesteps: usize,
    /// The names of two schedules, side by side on the same picture and the same noise.
    pub schedules: [String; 2],
    /// The timestep, 0 (the picture itself) to T.
    pub t: usize,
    /// Pictures in the filmstrip, spread evenly over 0 … T.
    pub strip: usize,
}

/// One sampler's way down.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerChoice {
    /// Name, of [`crate::diffusion::sampler::SAMPLERS`].
    pub sampler: String,
    /// Network evaluations.
    pub steps: usize,
    /// DDIM's η.
    pub eta: f64,
}

/// What the reverse process is to compute.
#[derive(Debug, Clone, PartialEq)]
pub struct ReverseRequest {
    /// Seed of x_T and of the noise on the way; the same x_T for every run.
    pub seed: u64,
    /// Samples at once.
    pub count: usize,
    /// Samplers, one run each, one after the other.
    pub runs: Vec<SamplerChoice>,
}

/// What to look at inside the network.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRequest {
    /// x_0.
    pub picture: Picture,
    /// Seed of ε.
    pub seed: u64,
    /// The timestep, 1 to T.
    pub t: usize,
    /// Also the gradients of the loss by each block's output.
    pub gradients: bool,
}

/// When training is to stop by itself; the first that comes true counts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StopAt {
    /// After this step.
    pub steps: Option<u64>,
    /// After this many seconds of training.
    pub seconds: Option<f64>,
    /// When the smoothed loss is below.
    pub loss: Option<f32>,
}

/// The grids of samples that are drawn while training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviewSettings {
    /// Steps between grids; 0 for none.
    pub every: u64,
    /// Samples in each.
    pub count: usize,
    /// DDIM steps.
    pub steps: usize,
    /// Seed of the noise, the same for every grid.
    pub seed: u64,
}

impl Default for PreviewSettings {
    fn default() -> Self {
        Self {
            every: 100,
            count: 8,
            steps: 10,
            seed: 0,
        }
    }
}

/// What can change while training runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveSettings {
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Decay of the moving average, after its warm-up.
    pub ema_decay: f64,
    /// Grids of samples.
    pub preview: PreviewSettings,
}

/// A new training run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSpec {
    /// Network, schedule and training; the data are those of the last [`Command::OpenData`].
    pub config: TrainConfig,
    /// Grids of samples.
    pub preview: PreviewSettings,
    /// When to stop.
    pub stop: StopAt,
    /// Bytes that the run may take on the device: activations are checkpointed if it needs that to fit.
    pub memory_budget: Option<u64>,
}

/// Training.
#[derive(Debug, Clone)]
pub enum TrainCommand {
    /// Starts anew from random weights.
    Start(Box<TrainSpec>),
    /// Asks how such a run would fit its budget, without starting it; answered by
    /// [`TrainEvent::Planned`](super::event::TrainEvent::Planned).
    Plan(Box<TrainSpec>),
    /// Rests after the step under way.
    Pause,
    /// Goes on.
    Resume,
    /// Does one step, then rests.
    Step,
    /// Sets when to stop.
    StopAt(StopAt),
    /// Changes what can change.
    Live(LiveSettings),
    /// Draws a grid of samples now.
    Preview,
    /// Makes a checkpoint; answered by [`TrainEvent::Saved`](super::event::TrainEvent::Saved).
    Save {
        /// For the autosave, not for the user.
        auto: bool,
    },
    /// Goes on from a checkpoint's bytes, resting.
    Restore(Arc<[u8]>),
    /// Ends the run and frees its memory.
    Close,
}

/// What of the reverse process goes into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// The last frame, a PNG.
    Picture,
    /// Some frames from x_T to x_0 in a row, a PNG.
    Filmstrip,
    /// All frames, an animated GIF.
    Animation,
}

/// A file to be made of the reverse process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// The run, an index into [`ReverseRequest::runs`].
    pub run: usize,
    /// One sample only.
    pub sample: Option<usize>,
    /// What of it.
    pub kind: ExportKind,
    /// Factor by which pixels are enlarged.
    pub scale: usize,
}

//! What a [`Session`](super::live::Session) tells an interface.

use std::sync::Arc;

use super::{
    budget::BudgetPlan,
    command::{ForwardRequest, PreviewSettings, ProbeRequest, ProfileRequest, ReverseRequest},
    config::TrainConfig,
    lab::event::{LabEvent, LabTrainEvent},
    trainer::StepReport,
};
use crate::{
    bench::BenchReport,
    data::Dataset,
    diffusion::SchedulerConfig,
    gpu::{film::Film, timing::Clock},
    nn::{profile::Timed, roofline::Roofline, unet_config::UNetConfig},
};

/// A part of a session's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    /// Opening a data set.
    Data,
    /// Opening a model.
    Model,
    /// The forward process.
    Forward,
    /// The reverse process.
    Reverse,
    /// Looking into the network.
    Probe,
    /// Training.
    Training,
    /// The 2-D lab.
    Lab,
    /// Making a file.
    Export,
    /// Measuring the device.
    Bench,
    /// Timing the network's kernels.
    Profile,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The session is there.
    Ready {
        /// The adapter's name.
        adapter: String,
        /// It computes on the CPU.
        software: bool,
        /// It has 16-bit numbers, see [`crate::nn::plan::Precision::F16`].
        f16: bool,
    },
    /// A data set is open.
    Data(Arc<Dataset>),
    /// A model is open.
    Model(Arc<ModelInfo>),
    /// Pipelines are being made.
    Compiling {
        /// For what.
        job: Job,
        /// Made so far.
        done: usize,
        /// In all.
        of: usize,
    },
    /// The forward process.
    Forward(Arc<ForwardView>),
    /// The reverse process.
    Reverse(ReverseEvent),
    /// The inside of the network.
    Probe(Arc<ProbeView>),
    /// Training.
    Train(TrainEvent),
    /// The 2-D lab.
    Lab(LabEvent),
    /// Kernel variants were measured: what to keep for [`crate::nn::tuning::restore`] at the next start.
    Tuned(Arc<serde_json::Value>),
    /// Measuring the device.
    Bench(BenchEvent),
    /// Timing the network's kernels.
    Profile(ProfileEvent),
    /// A file, for the user to save.
    File {
        /// A name for it.
        name: String,
        /// Its content.
        bytes: Arc<[u8]>,
    },
    /// Something could not be done; the rest goes on.
    Failed {
        /// What.
        job: Job,
        /// Why and what to do, one sentence.
        message: String,
    },
    /// The device is gone: the session does nothing more.
    DeviceLost {
        /// Why, one sentence.
        message: String,
    },
}

impl Event {
    /// News of a training step, of which there may be a hundred a second: it is seen soon enough with the next frame.
    pub const fn may_wait(&self) -> bool {
        matches!(
            self,
            Self::Train(TrainEvent::Step(..)) | Self::Lab(LabEvent::Train(LabTrainEvent::Step(..)))
        )
    }
}

/// News of a measurement.
#[derive(Debug, Clone)]
pub enum BenchEvent {
    /// What is going on.
    Progress {
        /// The network's name.
        model: &'static str,
        /// Images a step.
        batch: usize,
        /// In a few words.
        status: String,
    },
    /// The figures.
    Done(Box<BenchReport>),
}

/// What a profile is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileStage {
    /// Finding out what the device can do at most.
    Roofline,
    /// A first run of everything, which is not timed.
    WarmUp,
    /// Timing.
    Timing,
}

/// News of a profile.
#[derive(Debug, Clone)]
pub enum ProfileEvent {
    /// It has come this far.
    Progress {
        /// What is going on.
        stage: ProfileStage,
        /// Done of it.
        done: usize,
        /// In all.
        of: usize,
    },
    /// It is there.
    Done(Arc<ProfileView>),
}

/// Where the time of a network goes.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileView {
    /// What was asked.
    pub request: ProfileRequest,
    /// The network.
    pub unet: UNetConfig,
    /// Whether activations were checkpointed.
    pub checkpoint_activations: bool,
    /// What times were taken with.
    pub clock: Clock,
    /// Seconds of a submission's way to the device and back, which are not part of the times; 0 by timestamps.
    pub way_s: f64,
    /// What the device can do at most.
    pub roofline: Roofline,
    /// Every dispatch, in order.
    pub dispatches: Vec<Timed>,
}

/// A model that was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// What to call it.
    pub name: String,
    /// The network.
    pub unet: UNetConfig,
    /// Its schedule.
    pub scheduler: SchedulerConfig,
    /// Numbers in it.
    pub parameters: usize,
}

/// Numbers of pixel values in equal parts of [`Histogram::RANGE`].
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Share of the values in each part, as a density: the bars' area is 1.
    pub density: Vec<f32>,
    /// Mean of the values.
    pub mean: f32,
    /// Their standard deviation.
    pub deviation: f32,
}

impl Histogram {
    /// What is counted; values beyond are counted at the ends.
    pub const RANGE: (f32, f32) = (-4.0, 4.0);
    /// Parts.
    pub const BINS: usize = 48;

    /// Counts.
    pub fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let (low, high) = Self::RANGE;
        let width = (high - low) / Self::BINS as f32;
        let mut density = vec![0.0_f32; Self::BINS];
        let (mut n, mut sum, mut squares) = (0_usize, 0.0_f64, 0.0_f64);
        for v in values {
            let bin = ((v - low) / width).clamp(0.0, Self::BINS as f32 - 1.0) as usize;
            density[bin] += 1.0;
            n += 1;
            sum += f64::from(v);
            squares += f64::from(v) * f64::from(v);
        }
        let count = n.max(1) as f64;
        let mean = sum / count;
        for d in &mut density {
            *d /= count as f32 * width;
        }
        Self {
            density,
            mean: mean as f32,
            deviation: (squares / count - mean * mean).max(0.0).sqrt() as f32,
        }
    }
}

/// A picture on its way into noise.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardView {
    /// What was asked.
    pub request: ForwardRequest,
    /// Layer s is schedule s: tile 0 is x_t, the others the filmstrip.
    pub film: Film,
    /// The timesteps of the filmstrip.
    pub strip: Vec<usize>,
    /// Of the pixels of x_t, for each schedule.
    pub histograms: [Histogram; 2],
}

/// A kept state of the reverse process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReverseFrame {
    /// Steps taken so far: 0 is x_T.
    pub steps_taken: usize,
    /// t of this x_t, in 0 … T: T for pure noise, 0 for the finished image.
    pub t: usize,
    /// σ of the noise added by the step that led here; 0 for none.
    pub sigma: f32,
}

/// The four films of a run. Layer k is frame k, tile n is sample n.
#[derive(Debug, Clone, PartialEq)]
pub struct ReverseFilms {
    /// x_t.
    pub x: Film,
    /// The prediction of x_0 by which this x_t was made.
    pub x0_hat: Film,
    /// The prediction of ε by which it was made.
    pub eps_hat: Film,
    /// The noise z that was added (times σ it is what was added).
    pub noise: Film,
}

/// The reverse process goes on.
#[derive(Debug, Clone)]
pub enum ReverseEvent {
    /// A run of a request begins.
    Started {
        /// The request.
        request: Arc<ReverseRequest>,
        /// Index of the run in it.
        run: usize,
        /// Where its frames appear.
        films: ReverseFilms,
        /// The frames that are kept, from x_T to x_0.
        frames: Arc<[ReverseFrame]>,
        /// T.
        timesteps: usize,
    },
    /// It has come this far.
    Progress {
        /// Index of the run.
        run: usize,
        /// Frames that are there.
        frames: usize,
        /// Network evaluations of all samples so far.
        evaluations: usize,
        /// Time that the device took.
        seconds: f64,
    },
    /// A run is finished.
    Done {
        /// Index of the run.
        run: usize,
        /// The images, `[N, C, H, W]`.
        images: Arc<[f32]>,
        /// Network evaluations of all samples.
        evaluations: usize,
        /// Time that the device took.
        seconds: f64,
    },
}

/// A block's output, one tile a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockView {
    /// The block's name: the prefix of its state-dict keys.
    pub name: String,
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// One layer: the first channels.
    pub film: Film,
    /// The same of the loss's gradient by the output, if it was asked.
    pub gradient: Option<Film>,
}

/// Where an attention layer looks.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionView {
    /// The layer's name.
    pub name: String,
    /// Height and width of what it works on: N = H·W places.
    pub size: [usize; 2],
    /// Heads.
    pub heads: usize,
    /// softmax(q·kᵀ/√d), `[heads, N, N]`: row i says where place i looks.
    pub weights: Arc<[f32]>,
}

/// The inside of the network for one noisy picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeView {
    /// What was asked.
    pub request: ProbeRequest,
    /// x_t, ε, ε̂ and x̂_0: four tiles.
    pub io: Film,
    /// In order.
    pub blocks: Vec<BlockView>,
    /// In order.
    pub attention: Vec<AttentionView>,
    /// The sinusoidal embedding of t, and the embedding that the blocks get.
    pub embedding: [Arc<[f32]>; 2],
    /// Mean squared error of ε̂ (or whatever the network predicts).
    pub mse: f32,
}

/// What the device does for training.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TrainFigures {
    /// Over the last seconds.
    pub images_per_second: f64,
    /// Device time of a step.
    pub step_seconds: f64,
    /// Time spent on training so far.
    pub seconds: f64,
    /// Bytes that the program has on the device.
    pub device_bytes: u64,
    /// Until the stop condition, if it can be told.
    pub left_seconds: Option<f64>,
}

/// Whether training goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainStatus {
    /// There is no run.
    None,
    /// Plans are being prepared.
    Preparing,
    /// It goes on.
    Running,
    /// It rests, with the reason if it was not the user.
    Paused(Option<String>),
}

/// A grid of samples during training.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The step after which it was drawn.
    pub step: u64,
    /// From the raw weights; layer k is frame k of the reverse process, tile n is sample n.
    pub raw: Film,
    /// The same noise with the averaged weights.
    pub averaged: Film,
}

/// Training goes on.
#[derive(Debug, Clone)]
pub enum TrainEvent {
    /// A run is there (new or restored).
    Opened {
        /// Its configuration.
        config: Box<TrainConfig>,
        /// Numbers in its network.
        parameters: usize,
        /// Steps done.
        step: u64,
        /// Steps and losses so far, for a restored run; may be thinned out.
        history: Vec<(u64, f32)>,
        /// Grids of samples.
        preview: PreviewSettings,
    },
    /// How a run that was asked about would fit its budget, or why that cannot be told.
    Planned(std::result::Result<BudgetPlan, String>),
    /// It goes on or rests.
    Status(TrainStatus),
    /// A step's figures.
    Step(StepReport, TrainFigures),
    /// A grid of samples.
    Preview(Preview),
    /// A checkpoint.
    Saved {
        /// The step it was made after.
        step: u64,
        /// As [`super::checkpoint`] writes it.
        bytes: Arc<[u8]>,
        /// For the autosave, not for the user.
        auto: bool,
    },
}

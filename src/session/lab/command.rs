//! What an interface can ask of the lab.

use crate::{
    data::points::{Distribution, Point},
    diffusion::SchedulerConfig,
    nn::mlp::MlpConfig,
    session::command::StopAt,
};

/// A request to the lab.
#[derive(Debug, Clone)]
pub enum LabCommand {
    /// Sets distribution and schedule; ends what was based on the ones before. Answered by
    /// [`LabEvent::Stage`](super::event::LabEvent::Stage).
    Stage(Box<LabStage>),
    /// Noises the particles; answered by [`LabEvent::Forward`](super::event::LabEvent::Forward). A later request
    /// replaces one that has not been answered.
    Forward(LabForward),
    /// Evaluates the learned and the exact field; answered by [`LabEvent::Field`](super::event::LabEvent::Field). A
    /// later request replaces one that has not been answered.
    Field(FieldRequest),
    /// Compares the learned field with the exact one at all times; answered by
    /// [`LabEvent::Errors`](super::event::LabEvent::Errors).
    Errors(ErrorsRequest),
    /// Starts the reverse process anew; answered by [`LabEvent::Reverse`](super::event::LabEvent::Reverse).
    Reverse(LabReverse),
    /// Stops the reverse process; what was computed stays.
    StopReverse,
    /// Follows a few paths from one starting point; answered by [`LabEvent::Paths`](super::event::LabEvent::Paths).
    /// A later request replaces one that has not been answered.
    Paths(PathsRequest),
    /// Integrates the probability-flow ODE from a grid, which gives the model's own density and its negative
    /// log-likelihood; answered by [`LabEvent::Likelihood`](super::event::LabEvent::Likelihood).
    Likelihood(LikelihoodRequest),
    /// Training.
    Train(LabTrain),
}

/// Distribution and schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct LabStage {
    /// q(x_0).
    pub distribution: Distribution,
    /// Schedule, T, objective and posterior variance.
    pub scheduler: SchedulerConfig,
    /// Particles to show.
    pub particles: usize,
    /// Seed of the particles and of their noise.
    pub seed: u64,
}

/// What of the forward process is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct LabForward {
    /// The timestep, 0 (the data) to T.
    pub t: usize,
    /// The name of another schedule, for the same particles and the same noise.
    pub compare: Option<String>,
}

/// The part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Denoiser {
    /// The trained network, its moving average.
    Learned,
    /// The trained network, its raw weights.
    Raw,
    /// The exact E[ε | x_t], in closed form.
    Exact,
}

/// A field to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRequest {
    /// The timestep, 1 to T.
    pub t: usize,
    /// Arrows a side.
    pub side: usize,
    /// Learned or raw; [`Denoiser::Exact`] evaluates the exact field only.
    pub denoiser: Denoiser,
}

/// A comparison over all times.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorsRequest {
    /// Timesteps, spread evenly over 1 … T.
    pub times: usize,
    /// Cells a side of the maps.
    pub side: usize,
    /// Learned or raw.
    pub denoiser: Denoiser,
}

/// One sampler's way down.
#[derive(Debug, Clone, PartialEq)]
pub struct LabRun {
    /// Name, of [`crate::diffusion::sampler::SAMPLERS`]: `ddpm`, `ddim`, `pf_ode`, `langevin`.
    pub sampler: String,
    /// Steps.
    pub steps: usize,
    /// DDIM's η.
    pub eta: f64,
    /// What predicts ε.
    pub denoiser: Denoiser,
}

/// What the reverse process is to compute.
#[derive(Debug, Clone, PartialEq)]
pub struct LabReverse {
    /// Seed of x_T and of the noise on the way; the same x_T for every run.
    pub seed: u64,
    /// Particles.
    pub count: usize,
    /// One run each, one after the other.
    pub runs: Vec<LabRun>,
}

/// Paths from one point.
#[derive(Debug, Clone, PartialEq)]
pub struct PathsRequest {
    /// x_T of all of them.
    pub start: Point,
    /// Paths a run: they differ by the noise on the way, if there is any.
    pub fan: usize,
    /// Seed of that noise.
    pub seed: u64,
    /// Samplers.
    pub runs: Vec<LabRun>,
}

/// The model's own density.
#[derive(Debug, Clone, PartialEq)]
pub struct LikelihoodRequest {
    /// Cells a side.
    pub side: usize,
    /// Steps of the integration.
    pub steps: usize,
    /// What predicts ε.
    pub denoiser: Denoiser,
}

/// A new training run on the stage's distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct LabTrainSpec {
    /// The network.
    pub network: MlpConfig,
    /// Points a step.
    pub batch: usize,
    /// Learning rate.
    pub lr: f64,
    /// Decay of the moving average, after its warm-up.
    pub ema_decay: f64,
    /// Seed of the weights and of everything random in training.
    pub seed: u64,
    /// When to stop.
    pub stop: StopAt,
    /// Steps between the samples by which [`LabEvent::Merit`](super::event::LabEvent::Merit) is measured; 0 for none.
    /// On a slow device the first come earlier, after 2 seconds of training, and then each time its time has doubled.
    pub merit_every: u64,
}

/// Training.
#[derive(Debug, Clone)]
pub enum LabTrain {
    /// Starts anew from random weights.
    Start(Box<LabTrainSpec>),
    /// Rests after the step under way.
    Pause,
    /// Goes on.
    Resume,
    /// Does one step, tells its mini-batch by [`LabTrainEvent::Batch`](super::event::LabTrainEvent::Batch), and rests.
    Step,
    /// Sets when to stop.
    StopAt(StopAt),
    /// Changes the learning rate.
    LearningRate(f64),
    /// Ends the run and frees its memory.
    Close,
}

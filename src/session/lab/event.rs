//! What the lab tells.

use std::sync::Arc;

use super::command::{
    ErrorsRequest, FieldRequest, LabForward, LabReverse, LabStage, LabTrainSpec, LikelihoodRequest,
    PathsRequest,
};
use crate::{
    data::points::Point,
    gpu::film::Film,
    session::{
        event::{ReverseFrame, TrainFigures, TrainStatus},
        trainer::StepReport,
    },
};

/// Something that happened in the lab.
#[derive(Debug, Clone)]
pub enum LabEvent {
    /// A new stage.
    Stage(Arc<StageView>),
    /// The forward process.
    Forward(Arc<LabForwardView>),
    /// The fields at one time.
    Field(Arc<FieldView>),
    /// The fields' difference at all times.
    Errors(Arc<ErrorsView>),
    /// The reverse process.
    Reverse(LabReverseEvent),
    /// Paths from one point.
    Paths(Arc<PathsView>),
    /// The model's density.
    Likelihood(Arc<LikelihoodView>),
    /// Samples of the network in training, and how good they are.
    Merit {
        /// Optimiser steps done.
        step: u64,
        /// One layer: the samples.
        cloud: Film,
        /// How good they are.
        merit: Merit,
    },
    /// Training.
    Train(LabTrainEvent),
}

/// Numbers on a square grid over [−EXTENT, EXTENT]²: row 0 is at the top (largest y), column 0 at the left; values
/// are of the cells' centres.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Cells a side.
    pub side: usize,
    /// `[side, side]`.
    pub values: Arc<[f32]>,
}

/// Arrows on the cells of a [`Grid`].
#[derive(Debug, Clone, PartialEq)]
pub struct VectorGrid {
    /// Cells a side.
    pub side: usize,
    /// `[side, side]`.
    pub values: Arc<[Point]>,
}

/// What is on stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageView {
    /// What was asked.
    pub stage: LabStage,
    /// What to call the distribution.
    pub title: String,
    /// Points that stand for it: its components' means or the (sub)sample on which the exact answer rests.
    pub support: Arc<[Point]>,
    /// Centres of its modes, if it has any.
    pub modes: Arc<[Point]>,
    /// Each particle's x_0 and ε: under any schedule x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε.
    pub particles: Arc<[[Point; 2]]>,
    /// For each of some particles its x_t at [`StageView::TRAIL`] timesteps, spread evenly over 0 … T.
    pub trails: Arc<[Vec<Point>]>,
    /// Something worth saying of the input, one sentence (it was thinned out, lines were left out).
    pub note: Option<String>,
}

impl StageView {
    /// Points of a trail.
    pub const TRAIL: usize = 65;
}

/// The particles at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct LabForwardView {
    /// What was asked.
    pub request: LabForward,
    /// Layer 0: the stage's schedule; layer 1: the other one, if it was asked.
    pub clouds: Film,
    /// q(x_t), a density (its integral is 1), for each schedule.
    pub density: Arc<[Grid]>,
    /// ᾱ_t for each schedule.
    pub alpha_bar: Arc<[f32]>,
}

/// Fields at one time. The score is −ε̂/√(1−ᾱ_t).
#[derive(Debug, Clone, PartialEq)]
pub struct FieldView {
    /// What was asked.
    pub request: FieldRequest,
    /// ᾱ_t.
    pub alpha_bar: f32,
    /// ε̂ of the network; `None` where there is none or it was not asked.
    pub learned: Option<VectorGrid>,
    /// E[ε | x_t].
    pub exact: VectorGrid,
    /// q(x_t) on the same cells.
    pub density: Grid,
    /// √(E|ε̂ − ε*|² / E|ε*|²) over x_t ~ q(x_t), of the network.
    pub relative_error: Option<f32>,
    /// Steps that the network had been trained.
    pub step: u64,
}

/// The fields' difference at all times.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorsView {
    /// What was asked.
    pub request: ErrorsRequest,
    /// Timesteps and the relative error at each.
    pub by_t: Arc<[(usize, f32)]>,
    /// |ε̂ − ε*| over the plane, one for each of those timesteps.
    pub maps: Arc<[Grid]>,
    /// √(Σ_t E|ε̂ − ε*|² / Σ_t E|ε*|²), x_t ~ q(x_t).
    pub pooled: f32,
    /// Steps that the network had been trained.
    pub step: u64,
}

/// The reverse process goes on.
#[derive(Debug, Clone)]
pub enum LabReverseEvent {
    /// A run of a request begins.
    Started {
        /// The request.
        request: Arc<LabReverse>,
        /// Index of the run in it.
        run: usize,
        /// Layer k is frame k.
        cloud: Film,
        /// The frames that are kept, from x_T to x_0.
        frames: Arc<[ReverseFrame]>,
    },
    /// It has come this far.
    Progress {
        /// Index of the run.
        run: usize,
        /// Frames that are there.
        frames: usize,
        /// Network evaluations a particle so far.
        evaluations: usize,
    },
    /// A run is finished.
    Done {
        /// Index of the run.
        run: usize,
        /// All particles.
        samples: Arc<[Point]>,
        /// The ways of some particles, a point a frame.
        paths: Arc<[Vec<Point>]>,
        /// How good the samples are.
        merit: Merit,
        /// Network evaluations a particle.
        evaluations: usize,
        /// Time that the device took.
        seconds: f64,
    },
}

/// How good samples are, against held-out points of the distribution.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merit {
    /// Samples that were compared.
    pub samples: usize,
    /// Sliced Wasserstein distance.
    pub sliced_wasserstein: f32,
    /// The same between two sets of true points of that size: the floor.
    pub sliced_wasserstein_floor: f32,
    /// Energy distance.
    pub energy: f32,
    /// Its floor.
    pub energy_floor: f32,
    /// Share of the samples at each mode, and the true share; empty without modes.
    pub modes: Vec<(f32, f32)>,
    /// Share of the samples that are at no mode.
    pub astray: f32,
}

/// Paths from one point.
#[derive(Debug, Clone, PartialEq)]
pub struct PathsView {
    /// What was asked.
    pub request: PathsRequest,
    /// For each run, for each path of its fan, its points from x_T to x_0.
    pub paths: Arc<[Vec<Vec<Point>>]>,
}

/// The model's own density.
#[derive(Debug, Clone, PartialEq)]
pub struct LikelihoodView {
    /// What was asked.
    pub request: LikelihoodRequest,
    /// p(x_0) by the probability-flow ODE.
    pub density: Grid,
    /// Negative log-likelihood of held-out points, nats a point.
    pub nll: f32,
    /// The entropy's estimate by the true density on the same points, where it is known.
    pub true_nll: Option<f32>,
}

/// A point of a mini-batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MiniPoint {
    /// Timestep, 1 to T.
    pub t: usize,
    /// x_0.
    pub x0: Point,
    /// x_t.
    pub x_t: Point,
    /// ε.
    pub eps: Point,
    /// ε̂.
    pub eps_hat: Point,
    /// Where ε̂ moves by a step of gradient descent on what the network puts out: −(∂ε̂/∂out) ∂L/∂out, in direction and
    /// size the same whatever it predicts.
    pub pull: Point,
}

/// Training goes on.
#[derive(Debug, Clone)]
pub enum LabTrainEvent {
    /// A run begins.
    Opened {
        /// What it is.
        spec: Box<LabTrainSpec>,
        /// Numbers in the network.
        parameters: usize,
    },
    /// It runs, rests or is no more.
    Status(TrainStatus),
    /// A step was done.
    Step(StepReport, TrainFigures),
    /// The mini-batch of the step that [`LabTrain::Step`](super::command::LabTrain::Step) asked for.
    Batch {
        /// The step.
        step: u64,
        /// Its points.
        points: Arc<[MiniPoint]>,
    },
}

//! A session: training, sampling, files.

pub mod atomic;
pub mod budget;
pub mod checkpoint;
pub mod command;
pub mod config;
mod course;
pub mod denoise;
pub mod diffusers;
pub mod event;
pub mod feed;
pub mod figures;
mod files_error;
#[cfg(not(target_arch = "wasm32"))]
pub mod heldout;
mod jobs;
pub mod lab;
pub mod link;
pub mod live;
#[cfg(not(target_arch = "wasm32"))]
mod log_table;
pub mod pacer;
pub mod pipeline;
#[cfg(not(target_arch = "wasm32"))]
pub mod run;
pub mod sampling;
pub mod stepper;
pub(crate) mod tensor_file;
pub mod trainer;

pub use files_error::FilesError;
pub use tensor_file::save_tensors;

/// A training run that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Images and network have different channels.
    #[error(
        "the images have {data} channels but the network takes {model_in} and gives {model_out}; choose another preset or model, or convert the images with --channels"
    )]
    Channels {
        /// Of the images.
        data: usize,
        /// Of the network's input.
        model_in: usize,
        /// Of its output.
        model_out: usize,
    },
    /// Images larger than the network's.
    #[error(
        "the images are {width}x{height} pixels but the network takes {model}x{model}; use --size {model} or a network of that size"
    )]
    ImageSize {
        /// Width of the images.
        width: usize,
        /// Height of the images.
        height: usize,
        /// Side of the network's input.
        model: usize,
    },
    /// A data set smaller than a step.
    #[error(
        "the data set has {images} training images, fewer than the {batch} that one step takes; use a smaller --batch"
    )]
    TooFewImages {
        /// Training images.
        images: usize,
        /// Images a step.
        batch: usize,
    },
    /// The folder of a new run has something in it.
    #[error("{} is not empty; {}", dir.display(), if *resumable {
        "go on with the run in it by --resume, or choose another folder with --out"
    } else {
        "choose another folder with --out"
    })]
    FolderInUse {
        /// The folder.
        dir: std::path::PathBuf,
        /// Whether a run can be resumed there.
        resumable: bool,
    },
    /// `--resume` with settings that are not the run's.
    #[error("the run in {} was started with other settings ({settings}); leave these out, or start another run from its weights with --init", dir.display())]
    OtherConfig {
        /// The run's folder.
        dir: std::path::PathBuf,
        /// What differs, in words.
        settings: String,
    },
    /// A run that takes more memory than it may.
    #[error(
        "the run takes {needed} of device memory with every activation checkpointed, and the budget is {budget}; {advice}"
    )]
    OverBudget {
        /// What it takes at least.
        needed: String,
        /// What it may take.
        budget: String,
        /// What would fit.
        advice: String,
    },
    /// Nothing to train on.
    #[error("there is no data set to train on; open one first")]
    NoData,
    /// No network of that name to measure.
    #[error("there is no network named \"{asked}\" to measure; there are {known}")]
    NoBench {
        /// The name.
        asked: String,
        /// All names.
        known: String,
    },
    /// Nothing to look at.
    #[error("there is no network yet; open a model first")]
    NoModel,
    /// No run whose weights could be used.
    #[error("there is no run in training; start one, or choose another model")]
    NoRun,
    /// A saved state that does not fit.
    #[error("the run's saved state cannot be used: {0}; start a new run in another folder")]
    State(String),
    /// A saved state of other data.
    #[error(
        "the data set \"{dataset}\" is not the one that the run was started with; give the original data set or start a new run in another folder"
    )]
    OtherData {
        /// The data set's name.
        dataset: String,
    },
    /// The loss is not a number.
    #[error(
        "training stopped at step {step}: the loss became {loss} (it was {last} the step before) at learning rate {lr:.1e}, most likely because the rate is too high; the last checkpoint is kept, so start another run from its weights (--init) with a lower --lr"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f32,
        /// The loss of the step before.
        last: f32,
        /// The learning rate.
        lr: f64,
    },
}

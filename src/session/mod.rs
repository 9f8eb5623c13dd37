//! A session: training, sampling, files.

pub mod atomic;
pub mod checkpoint;
pub mod diffusers;
mod files_error;
mod tensor_file;

pub use files_error::FilesError;

/// A training run that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {}

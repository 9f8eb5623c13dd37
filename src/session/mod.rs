//! A session: training, sampling, files.

/// A model folder or checkpoint that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {}

/// A training run that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {}

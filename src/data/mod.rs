//! Data sets: where the images come from.

/// A data set that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {}

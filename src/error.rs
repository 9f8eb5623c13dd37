//! The one error type of the library: every variant prints as one sentence that says what to do.

/// Any failure that a user of the library can meet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parity case cannot be used.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Case(#[from] crate::parity::CaseError),
    /// A data set could not be read.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A schedule, sampler or objective was asked for something that it does not offer.
    #[error(transparent)]
    Diffusion(#[from] crate::diffusion::DiffusionError),
    /// A model folder or checkpoint could not be read or written.
    #[error(transparent)]
    Files(#[from] crate::session::FilesError),
    /// The device is missing, lost or too small for what was asked.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// The lab was asked for what it does not have.
    #[error(transparent)]
    Lab(#[from] crate::session::lab::LabError),
    /// A network was described with shapes that do not fit together.
    #[error(transparent)]
    Model(#[from] crate::nn::ModelError),
    /// The lab's points cannot be used.
    #[error(transparent)]
    Points(#[from] crate::data::points::PointsError),
    /// A training run cannot start or cannot go on.
    #[error(transparent)]
    Train(#[from] crate::session::TrainError),
}

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

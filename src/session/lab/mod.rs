//! The 2-D lab: diffusion in the plane, where everything can be seen and the exact answer is known.
//!
//! An interface sends [`command::LabCommand`]s and hears [`event::LabEvent`]s; [`job::LabJob`] does the work behind
//! them, one file a concern, in slices.

pub mod command;
mod errors;
mod evaluator;
pub mod event;
mod field;
mod forward;
pub mod job;
mod likelihood;
pub mod merit;
mod paths;
pub mod presets;
mod reverse;
pub mod stage;
pub mod train;

pub use presets::{PRESETS, Preset};

/// Half the side of the square that the lab shows, [−EXTENT, EXTENT]², in data units.
pub const EXTENT: f32 = 3.0;

/// Particles at most.
pub const MAX_PARTICLES: usize = 50_000;

/// The lab is asked for what it does not have.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No distribution.
    #[error("the lab has no distribution yet; choose one first")]
    NoStage,
    /// No network.
    #[error("there is no trained network yet; start training, or use the exact denoiser")]
    NoNetwork,
    /// A number that is out of range.
    #[error("{what} is {found}; choose {expected}")]
    Range {
        /// What.
        what: &'static str,
        /// What was asked.
        found: String,
        /// What is possible.
        expected: String,
    },
}

/// Fails unless `low <= value <= high`.
fn within(what: &'static str, value: usize, low: usize, high: usize) -> Result<(), LabError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(LabError::Range {
        what,
        found: value.to_string(),
        expected: format!("{low} to {high}"),
    })
}

//! The diffusion mathematics: schedules, the forward process, samplers, the likelihood.
//!
//! Timesteps are 0-based as in diffusers and in the paper's code: `t = 0` is the paper's t = 1, the
//! least noisy step, and `t = T − 1` the noisiest. ᾱ before `t = 0` is 1.
//!
//! Papers: DDPM (Ho, Jain, Abbeel 2020, arXiv:2006.11239), improved DDPM (Nichol, Dhariwal 2021,
//! arXiv:2102.09672), DDIM (Song, Meng, Ermon 2020, arXiv:2010.02502), v-prediction (Salimans, Ho
//! 2022, arXiv:2202.00512), zero terminal SNR (Lin et al. 2023, arXiv:2305.08891).

pub mod config;
#[cfg(test)]
mod diffusers_tests;
pub mod exact;
pub mod forward;
pub mod likelihood;
pub mod loss_weight;
pub mod sampler;
pub mod schedule;
pub mod timesteps;

pub use config::{SchedulerClass, SchedulerConfig, TimestepSpacing, VarianceType};
pub use forward::Objective;
pub use sampler::{SampleStep, Sampler, StepCoefficients};
pub use schedule::NoiseSchedule;
pub use timesteps::TimestepDistribution;

/// A request that the diffusion mathematics cannot serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DiffusionError {
    /// The scheduler's JSON does not parse, or a value in it has the wrong type.
    #[error("the scheduler configuration is not valid JSON of the expected form: {0}")]
    Json(String),
    /// A setting has a value that is known to diffusers or not, but not offered here.
    #[error("{key} = {value} is not supported; use {expected}")]
    Unsupported {
        /// The setting's name in `scheduler_config.json`.
        key: &'static str,
        /// The value found.
        value: String,
        /// What can be used instead.
        expected: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{key} = {value} is not usable; it must be {expected}")]
    Invalid {
        /// The setting's name in `scheduler_config.json`, or the argument's name.
        key: &'static str,
        /// The value found.
        value: String,
        /// The values that are allowed.
        expected: String,
    },
    /// A name that is in no registry.
    #[error("there is no {kind} named \"{name}\"; choose one of: {known}")]
    UnknownName {
        /// What was looked for: "noise schedule", "sampler".
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// More sampling steps than the model has timesteps, or none.
    #[error(
        "{requested} sampling steps were asked for; choose between 1 and {timesteps}, the number of timesteps that the model was trained with"
    )]
    StepCount {
        /// The number of steps asked for.
        requested: usize,
        /// T, the number of training timesteps.
        timesteps: usize,
    },
    /// Two slices that must have the same length do not.
    #[error("{what} has {found} values, but {expected} are needed")]
    Length {
        /// What was measured.
        what: &'static str,
        /// The length that is needed.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Too few terms to estimate the variational bound.
    #[error("the bound cannot be estimated: {0}")]
    Estimate(String),
}

/// Fails unless `found == expected`.
fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), DiffusionError> {
    if expected == found {
        Ok(())
    } else {
        Err(DiffusionError::Length {
            what,
            expected,
            found,
        })
    }
}

//! `noiselab train`.

use std::process::ExitCode;

use super::{CliError, DeviceArgs};

/// Arguments of `noiselab train`.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {}

/// Runs `noiselab train`.
///
/// # Errors
/// Always, for now.
pub fn run(_args: &TrainArgs, _device: &DeviceArgs) -> Result<ExitCode, CliError> {
    Err(CliError::Usage(
        "`train` is not part of this version yet.".into(),
    ))
}

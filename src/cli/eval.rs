//! `noiselab eval`.

use std::process::ExitCode;

use super::{CliError, DeviceArgs};

/// Arguments of `noiselab eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {}

/// Runs `noiselab eval`.
///
/// # Errors
/// Always, for now.
pub fn run(_args: &EvalArgs, _device: &DeviceArgs) -> Result<ExitCode, CliError> {
    Err(CliError::Usage(
        "`eval` is not part of this version yet.".into(),
    ))
}

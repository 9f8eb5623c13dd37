//! `noiselab info`.

use std::process::ExitCode;

use super::{CliError, DeviceArgs};

/// Arguments of `noiselab info`.
#[derive(Debug, clap::Args)]
pub struct InfoArgs {}

/// Runs `noiselab info`.
///
/// # Errors
/// Always, for now.
pub fn run(_args: &InfoArgs, _device: &DeviceArgs) -> Result<ExitCode, CliError> {
    Err(CliError::Usage(
        "`info` is not part of this version yet.".into(),
    ))
}

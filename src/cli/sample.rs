//! `noiselab sample`.

use std::process::ExitCode;

use super::{CliError, DeviceArgs};

/// Arguments of `noiselab sample`.
#[derive(Debug, clap::Args)]
pub struct SampleArgs {}

/// Runs `noiselab sample`.
///
/// # Errors
/// Always, for now.
pub fn run(_args: &SampleArgs, _device: &DeviceArgs) -> Result<ExitCode, CliError> {
    Err(CliError::Usage(
        "`sample` is not part of this version yet.".into(),
    ))
}

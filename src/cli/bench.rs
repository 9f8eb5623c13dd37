//! `noiselab bench`.

use std::process::ExitCode;

use super::{CliError, DeviceArgs};

/// Arguments of `noiselab bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {}

/// Runs `noiselab bench`.
///
/// # Errors
/// Always, for now.
pub fn run(_args: &BenchArgs, _device: &DeviceArgs) -> Result<ExitCode, CliError> {
    Err(CliError::Usage(
        "`bench` is not part of this version yet.".into(),
    ))
}

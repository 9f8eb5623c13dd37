//! `noiselab parity`.

use std::process::ExitCode;

use super::{CliError, DeviceArgs};

/// Arguments of `noiselab parity`.
#[derive(Debug, clap::Args)]
pub struct ParityArgs {}

/// Runs `noiselab parity`.
///
/// # Errors
/// Always, for now.
pub fn run(_args: &ParityArgs, _device: &DeviceArgs) -> Result<ExitCode, CliError> {
    Err(CliError::Usage(
        "`parity` is not part of this version yet.".into(),
    ))
}

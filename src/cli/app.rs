//! `noiselab app`: the window.

use std::process::ExitCode;

use super::{CliError, DeviceArgs};
use crate::ui::platform;

/// Arguments of `noiselab app`.
#[derive(Debug, Default, clap::Args)]
pub struct AppArgs {}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// No display, or no device.
pub fn run(_args: &AppArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    platform::run(&device.choice()).map_err(CliError::Window)?;
    Ok(ExitCode::SUCCESS)
}

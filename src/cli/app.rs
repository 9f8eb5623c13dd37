//! `noiselab app`: the window.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{CliError, DeviceArgs};
use crate::ui::platform;

/// Arguments of `noiselab app`.
#[derive(Debug, Default, clap::Args)]
pub struct AppArgs {
    /// Show what a page's address shows after its `#`, such as `room=reverse&t=400&seed=7`
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
    /// Train the digits preset (with `--at room=lab` the 2-D lab) for this long, print how long input waited for its
    /// redraw, and end
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    measure: Option<u64>,
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// No display, or no device.
pub fn run(args: &AppArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let options = platform::Options {
        adapter: device.choice(),
        address: args.at.clone(),
        measure: args.measure.map(Duration::from_secs),
        started: Instant::now(),
    };
    platform::run(&options).map_err(CliError::Window)?;
    Ok(ExitCode::SUCCESS)
}

//! `noiselab tune`.

use std::{fmt::Write as _, process::ExitCode};

use noiselab::nn::tuning::{self, Choices, ShapeClass, Tuner};
use serde_json::json;

use super::{
    CliError, DeviceArgs,
    kernels::{remember, table},
    print, print_json,
    progress::Progress,
};
use crate::remembered;

/// Arguments of `noiselab tune`.
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Measure anew which variants of the kernels suit this device, for four classes of layers by channels and pixels, and \
remember it for every command and the window.

Each variant runs a small network of the class; the default stays unless another is clearly faster. On a GPU `train`, \
`bench` and the window do the same by themselves for what their network needs, once for each adapter, driver and version \
of noiselab; software adapters have defaults that were measured. A run records its variants and goes on with them, \
whatever is measured later.")]
pub struct TuneArgs {
    /// Print what was measured as JSON, with times in seconds
    #[arg(long)]
    json: bool,
}

/// Runs `noiselab tune`.
///
/// # Errors
/// A device that fails.
pub fn run(args: &TuneArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let gpu = device.open()?;
    let mut tuner = Tuner::new(&gpu, &ShapeClass::ALL, true);
    let mut bar = Progress::new("measuring kernel variants", ShapeClass::ALL.len() as u64);
    tuner.run(|done, _| bar.set(done as u64, String::new))?;
    bar.clear();
    remember(&gpu);
    let choices = Choices::of(&gpu);
    if args.json {
        print_json(&json!({
            "key": tuning::key(&gpu),
            "file": remembered::file().map(|path| path.display().to_string()),
            "choices": choices,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("{} ({})\n", gpu.info.name, gpu.info.backend);
    for (class, choice) in choices.iter() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\n{}", class.name());
        for (variants, seconds) in &choice.measured {
            let chosen = if *variants == choice.variants {
                "*"
            } else {
                " "
            };
            let time = match seconds {
                s if *s > 0.0 => format!("{:>9.2} ms", 1e3 * s),
                _ => format!("{:>12}", "not measured"),
            };
            let _ = writeln!(out, "  {chosen} {time}  {variants}");
        }
    }
    let _ = writeln!(out, "\nchosen\n{}", table(&gpu).trim_end());
    if let Some(path) = remembered::file() {
        let _ = writeln!(out, "\nremembered in {}", path.display());
    }
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}

//! The command line: one file a subcommand, each with its arguments and a `run`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 for success, 1
//! when `parity` finds a difference, 2 for an error, 70 for a fault of noiselab itself.

#[cfg(feature = "app")]
mod app;
mod bench;
mod error;
mod eval;
mod forward;
mod info;
mod kernels;
mod lab2d;
mod parity;
mod progress;
mod sample;
mod train;
mod tune;
mod values;

use std::{
    io::{IsTerminal as _, Write as _},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

#[cfg(any(test, not(feature = "app")))]
use clap::CommandFactory as _;
use clap::{Parser, Subcommand};
use noiselab::gpu::{AdapterChoice, Gpu, GpuError};
use tracing_subscriber::EnvFilter;

pub use error::CliError;

/// Exit code for errors of the input or the machine.
pub const FAILED: u8 = 2;
/// Exit code for faults of noiselab itself.
const FAULT: u8 = 70;

/// See how a diffusion model (DDPM) works and train one of your own, on any GPU.
///
/// Everything is computed by WGSL compute shaders through WebGPU: on Vulkan, Metal or Direct3D 12,
/// and on a software adapter where there is no GPU. A model is a folder in the layout of the
/// Python package diffusers, so that what is trained here opens there, and the other way round.
#[derive(Debug, Parser)]
#[command(name = "noiselab", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  noiselab train --dataset mnist --preset digits --out runs/digits
  noiselab sample runs/digits --n 64 --sampler ddim --steps 50 --out grid.png
  noiselab eval runs/digits --dataset mnist --limit 200

Messages of the program itself go to standard error; RUST_LOG=debug shows more of them.";

/// Which adapter computes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DeviceArgs {
    /// Compute on the first adapter whose name contains NAME (`noiselab info` lists them)
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        conflicts_with = "cpu",
        help_heading = "Device"
    )]
    pub adapter: Option<String>,
    /// Compute on the software adapter (llvmpipe, SwiftShader, WARP), even where there is a GPU
    #[arg(long, global = true, help_heading = "Device")]
    pub cpu: bool,
}

impl DeviceArgs {
    /// The adapter that was asked for.
    pub fn choice(&self) -> AdapterChoice {
        match &self.adapter {
            Some(name) => AdapterChoice::Named(name.clone()),
            None if self.cpu => AdapterChoice::Cpu,
            None => AdapterChoice::Best,
        }
    }

    /// Opens it, with the kernel variants that were chosen for it before.
    ///
    /// # Errors
    /// No adapter, none of that name, or one that does not open.
    pub fn open(&self) -> Result<Arc<Gpu>, GpuError> {
        let gpu = Gpu::open_blocking(&self.choice())?;
        crate::remembered::recall(&gpu);
        Ok(gpu)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the window (what noiselab does when no command is given)
    #[cfg(feature = "app")]
    App(app::AppArgs),
    /// Train a model on a data set; writes a diffusers pipeline folder that can be resumed
    Train(Box<train::TrainArgs>),
    /// Draw images of a data set on their way into noise
    Forward(forward::ForwardArgs),
    /// The 2-D lab: train on points of the plane, and compare with the exact answer
    Lab2d(Box<lab2d::Lab2dArgs>),
    /// Draw images from a model
    Sample(sample::SampleArgs),
    /// Measure a model: bits/dim with its terms, loss by timestep, nearest training images
    Eval(eval::EvalArgs),
    /// Measure this machine: training and sampling speed, memory, dispatches
    Bench(bench::BenchArgs),
    /// Measure anew which kernel variants suit this device, and remember them
    Tune(tune::TuneArgs),
    /// Compare every number with what PyTorch and diffusers computed for the same problem
    Parity(parity::ParityArgs),
    /// Show the adapters of this machine, their limits, and what noiselab makes of them
    Info(info::InfoArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    quieten_drivers();
    start_log();
    let fault: Arc<Mutex<Option<String>>> = Arc::default();
    panic::set_hook(Box::new({
        let fault = Arc::clone(&fault);
        move |info| {
            let what = info.payload_as_str().unwrap_or("no reason given");
            let place = info
                .location()
                .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
            let mut slot = fault.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert_with(|| format!("{what}{place}"));
        }
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| dispatch(&Cli::parse())));
    match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(CliError::ClosedPipe)) => ExitCode::SUCCESS,
        Ok(Err(e)) => {
            report(&e.sentence());
            ExitCode::from(FAILED)
        }
        Err(_) => {
            let what = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
            report(&format!(
                "noiselab met a fault of its own ({}); please report it with the output of `noiselab info`.",
                what.as_deref()
                    .unwrap_or("no reason given")
                    .replace('\n', " ")
            ));
            ExitCode::from(FAULT)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<ExitCode, CliError> {
    let device = &cli.device;
    match &cli.command {
        #[cfg(feature = "app")]
        Some(Command::App(args)) => app::run(args, device),
        Some(Command::Train(args)) => train::run(args, device),
        Some(Command::Forward(args)) => forward::run(args),
        Some(Command::Lab2d(args)) => lab2d::run(args, device),
        Some(Command::Sample(args)) => sample::run(args, device),
        Some(Command::Eval(args)) => eval::run(args, device),
        Some(Command::Bench(args)) => bench::run(args, device),
        Some(Command::Tune(args)) => tune::run(args, device),
        Some(Command::Parity(args)) => parity::run(args, device),
        Some(Command::Info(args)) => info::run(args, device),
        #[cfg(feature = "app")]
        None => app::run(&app::AppArgs::default(), device),
        #[cfg(not(feature = "app"))]
        None => {
            print("This build has no window (feature \"app\"); the commands are:\n\n")?;
            print(&Cli::command().render_help().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn report(message: &str) {
    // Nothing is left to do when even this cannot be written.
    let _ = writeln!(std::io::stderr(), "error: {message}");
}

/// Without a window system's session, Mesa's layer that sorts Vulkan devices by screen has the Wayland
/// library complain ("error: XDG_RUNTIME_DIR …") although nobody asked for a screen.
fn quieten_drivers() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program's first statement; no other thread exists yet that could read the
        // environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

fn start_log() {
    let quiet = "warn,wgpu_core=error,wgpu_hal=off,naga=error";
    let filter = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(quiet));
    // A second subscriber is refused; the first one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .try_init();
}

/// Writes to standard output.
///
/// # Errors
/// [`CliError::ClosedPipe`] when the reader is gone, [`CliError::Output`] otherwise.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::BrokenPipe => CliError::ClosedPipe,
            _ => CliError::Output(e),
        })
}

/// Writes a JSON document to standard output.
///
/// # Errors
/// As [`print`].
pub fn print_json(document: &serde_json::Value) -> Result<(), CliError> {
    print(&format!("{document:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_device_can_be_named_after_the_command() {
        let parse = |words: &[&str]| {
            Cli::try_parse_from([&["noiselab"], words].concat()).map(|c| c.device.choice())
        };
        let named = AdapterChoice::Named("llvm".into());
        assert_eq!(parse(&["info", "--adapter", "llvm"]).ok(), Some(named));
        assert_eq!(parse(&["--cpu", "info"]).ok(), Some(AdapterChoice::Cpu));
        assert_eq!(parse(&["info"]).ok(), Some(AdapterChoice::Best));
        assert!(parse(&["info", "--cpu", "--adapter", "x"]).is_err());
    }
}

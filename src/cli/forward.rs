//! `noiselab forward`.

use std::{path::PathBuf, process::ExitCode};

use noiselab::{
    data::LoadOptions,
    diffusion::{SchedulerConfig, forward::q_sample},
    image_out,
    nn::{Shape, batch, tensor},
    rng::{Draw, stream},
};

use super::{
    CliError, print,
    values::{count, open_dataset, schedules},
};

/// Arguments of `noiselab forward`.
#[derive(Debug, clap::Args)]
pub struct ForwardArgs {
    /// Data set: `mnist` or `fashion` (built in), or a path as `noiselab train` takes it
    #[arg(long, value_name = "NAME|PATH", default_value = "mnist")]
    dataset: String,
    /// The first image that is shown, counted from 0
    #[arg(long, value_name = "N", default_value = "0")]
    index: usize,
    /// Images, one a row
    #[arg(long, value_name = "N", default_value = "4", value_parser = count)]
    n: usize,
    /// How the noise grows
    #[arg(long, default_value = "linear",
        value_parser = schedules())]
    schedule: String,
    /// Timesteps T
    #[arg(long, value_name = "T", default_value = "1000", value_parser = count)]
    timesteps: usize,
    /// Pictures in a row, from the image to x_T
    #[arg(long, value_name = "N", default_value = "12", value_parser = count)]
    frames: usize,
    /// Seed of the noise
    #[arg(long, default_value = "0")]
    seed: u64,
    /// Each pixel becomes a square of this many
    #[arg(long, value_name = "PIXELS", default_value = "3", value_parser = count)]
    scale: usize,
    /// The PNG to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Draws images on their way into noise, q(x_t | x_0) (equation 4).
///
/// # Errors
/// A data set that cannot be read, an image that it lacks, or a file that cannot be written.
pub fn run(args: &ForwardArgs) -> Result<ExitCode, CliError> {
    let dataset = open_dataset(&args.dataset, &LoadOptions::default())?;
    let images = &dataset.train;
    let end = args.index.saturating_add(args.n);
    if end > images.len() {
        return Err(CliError::Usage(format!(
            "the data set has {} training images, so there are none from --index {} for --n {}; choose less",
            images.len(),
            args.index,
            args.n
        )));
    }
    let schedule = SchedulerConfig {
        num_train_timesteps: args.timesteps,
        beta_schedule: args.schedule.clone(),
        ..SchedulerConfig::default()
    }
    .noise_schedule()?;
    let shape = Shape::new(args.n, images.height, images.width, images.channels);
    let draw = Draw {
        seed: args.seed,
        stream: stream::FORWARD_NOISE,
        step: 0,
        sample: 0,
    };
    let noise = tensor::plan_to_nchw(shape, &batch::normal_values(shape, draw));
    let mut x0 = vec![0.0; noise.len()];
    for (row, i) in x0.chunks_exact_mut(images.stride()).zip(args.index..end) {
        images.write_chw(i, row);
    }
    let last = args.frames.saturating_sub(1).max(1);
    let mut frames = vec![x0.clone()];
    for i in 1..args.frames {
        let t = (i * args.timesteps / last).max(1);
        let mut x_t = vec![0.0; x0.len()];
        q_sample(&schedule, t - 1, &x0, &noise, &mut x_t)?;
        frames.push(x_t);
    }
    let shape = [args.n, images.channels, images.height, images.width];
    image_out::write_film_png(&args.out, &frames, shape, args.scale)?;
    print(&format!("{}\n", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

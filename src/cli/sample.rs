//! `noiselab sample`.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::builder::{PossibleValue, PossibleValuesParser};
use noiselab::{
    diffusion::sampler::SAMPLERS,
    image_out::{self, GridOptions, PADDING_LEVEL},
    session::{
        pacer::Pace,
        pipeline::{Pipeline, WeightKind},
        sampling::{Frame, SampleRequest, SampleRun},
        save_tensors,
    },
};

use super::{
    CliError, DeviceArgs, print,
    progress::Progress,
    values::{announce, count, not_negative},
};

/// Samples in a film, two rows each.
const FILM_SAMPLES: usize = 4;
/// Columns of a film.
const FILM_FRAMES: usize = 12;
/// Samples in an animation, twice each.
const GIF_SAMPLES: usize = 16;
/// Frames of an animation.
const GIF_FRAMES: usize = 40;

/// Arguments of `noiselab sample`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Image k is the same whatever --n and --batch are, as long as model, seed, sampler and steps are.")]
pub struct SampleArgs {
    /// Model: the folder of a training run, or any diffusers pipeline of a UNet2DModel
    #[arg(value_name = "DIR")]
    model: PathBuf,
    /// Images to draw
    #[arg(long, value_name = "N", default_value = "64", value_parser = count)]
    n: usize,
    /// How to walk from noise to image
    #[arg(long, default_value = "ddim", value_parser = samplers())]
    sampler: String,
    /// Network evaluations an image, at most T [default: T for ddpm and langevin, else 50]
    #[arg(long, value_name = "K", value_parser = count)]
    steps: Option<usize>,
    /// DDIM's noise: 0 none (deterministic), 1 as much as the ancestral sampler's
    #[arg(long, default_value = "0", value_parser = not_negative)]
    eta: f64,
    /// Seed of the noise
    #[arg(long, default_value = "0")]
    seed: u64,
    /// Images at once; fewer need less memory
    #[arg(long, value_name = "B", default_value = "32", value_parser = count)]
    batch: usize,
    /// Draw with the raw weights of a training run instead of their moving average
    #[arg(long)]
    raw_weights: bool,
    /// Leave the device half idle and work in small pieces, so that other programs stay usable
    #[arg(long)]
    gentle: bool,

    /// Picture of all images (PNG)
    #[arg(
        long,
        value_name = "FILE",
        default_value = "grid.png",
        help_heading = "Output"
    )]
    out: PathBuf,
    /// Picture of how the first few come about (PNG): x_t above the prediction of x_0, time to the
    /// right
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    film: Option<PathBuf>,
    /// The same as an animation (GIF): x_t on the left, the prediction of x_0 on the right
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    gif: Option<PathBuf>,
    /// Frames of film and animation [default: 12 and 40]
    #[arg(long, value_name = "F", value_parser = count, help_heading = "Output")]
    frames: Option<usize>,
    /// The numbers as safetensors: `samples` and `x_init` (the noise at the start), [N, C, H, W]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    tensor: Option<PathBuf>,
    /// Pixels a side for each pixel of an image [default: such that an image has about 64]
    #[arg(long, value_name = "S", value_parser = count, help_heading = "Output")]
    scale: Option<usize>,
}

fn samplers() -> PossibleValuesParser {
    PossibleValuesParser::new(
        SAMPLERS
            .iter()
            .map(|s| PossibleValue::new(s.name).help(s.summary)),
    )
}

/// Runs `noiselab sample`.
///
/// # Errors
/// A model, settings, a device or files that cannot be used.
pub fn run(args: &SampleArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let kind = if args.raw_weights {
        WeightKind::Raw
    } else {
        WeightKind::Pipeline
    };
    let pipeline = Pipeline::load(&args.model, kind)?;
    check_channels(&pipeline, args)?;
    let timesteps = pipeline.scheduler.num_train_timesteps;
    let steps = args.steps.unwrap_or(match args.sampler.as_str() {
        "ddpm" | "langevin" => timesteps,
        _ => timesteps.min(50),
    });
    let gpu = device.open()?;
    announce(&gpu);
    let weights = pipeline.upload(&gpu)?;
    let request = SampleRequest {
        count: args.n,
        sampler: args.sampler.clone(),
        steps,
        eta: args.eta,
        seed: args.seed,
        batch: args.batch,
    };
    let mut run = SampleRun::new(&gpu, &pipeline.unet, &pipeline.scheduler, &weights, request)?;
    let frames = args.frames.unwrap_or(match args.gif {
        Some(_) => GIF_FRAMES,
        None => FILM_FRAMES,
    });
    if args.film.is_some() || args.gif.is_some() {
        run = run.with_frames(frames);
    }
    if args.tensor.is_some() {
        run = run.with_starts();
    }
    if args.gentle {
        run.set_pace(Pace::GENTLE);
    }
    let begun = Instant::now();
    let mut progress = Progress::new("sampling", run.progress().1 as u64);
    run.run(|done, _| {
        progress.set(done as u64, || {
            let images = (done * run_batch(args)) as f64 / steps as f64;
            format!("{:.2} images/s", images / begun.elapsed().as_secs_f64())
        });
        true
    })?;
    progress.clear();
    write(args, &pipeline, &run)?;
    print(&format!(
        "{} images of {} by {} with {} steps in {:.1} s: {}\n",
        args.n,
        args.model.display(),
        args.sampler,
        steps,
        begun.elapsed().as_secs_f64(),
        args.out.display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn run_batch(args: &SampleArgs) -> usize {
    args.batch.min(args.n)
}

/// Pictures have 1 or 3 channels; better known before the work than after.
fn check_channels(pipeline: &Pipeline, args: &SampleArgs) -> Result<(), CliError> {
    let channels = pipeline.unet.out_channels;
    if pipeline.unet.in_channels != channels {
        return Err(CliError::Usage(format!(
            "{} takes images of {} channels and gives {channels}, so it cannot be sampled; choose a model that has as many on both sides.",
            args.model.display(),
            pipeline.unet.in_channels
        )));
    }
    if ![1, 3].contains(&channels) {
        return Err(CliError::Usage(format!(
            "{} draws images of {channels} channels, and pictures have 1 or 3; choose another model.",
            args.model.display()
        )));
    }
    Ok(())
}

fn write(args: &SampleArgs, pipeline: &Pipeline, run: &SampleRun) -> Result<(), CliError> {
    let shape = run.image_shape();
    let [_, channels, height, width] = shape;
    let scale = args
        .scale
        .unwrap_or_else(|| (64 / pipeline.unet.sample_size.max(1)).max(1));
    let grid = GridOptions {
        columns: None,
        scale,
    };
    image_out::write_grid_png(&args.out, run.images(), shape, grid)?;
    let size = channels * height * width;
    if let Some(path) = &args.film {
        let columns = args.frames.unwrap_or(FILM_FRAMES);
        let rows = FILM_SAMPLES.min(run_batch(args));
        let strip: Vec<Vec<f32>> = spread(run.frames(), columns)
            .map(|frame| interleaved(frame, rows, size))
            .collect();
        image_out::write_film_png(path, &strip, [2 * rows, channels, height, width], scale)?;
    }
    if let Some(path) = &args.gif {
        let count = GIF_SAMPLES.min(run_batch(args));
        let side = (count as f64).sqrt().ceil() as usize;
        let cells = 2 * side * count.div_ceil(side);
        let frames: Vec<Vec<f32>> = run
            .frames()
            .iter()
            .map(|frame| beside(frame, count, side, size))
            .collect();
        image_out::write_gif(
            path,
            &frames,
            [cells, channels, height, width],
            GridOptions {
                columns: Some(2 * side),
                scale,
            },
            Duration::from_millis(100),
            Duration::from_secs(2),
        )?;
    }
    if let Some(path) = &args.tensor {
        let tensors = [
            ("samples", shape.as_slice(), run.images()),
            ("x_init", shape.as_slice(), run.starts()),
        ];
        save_tensors(path, &tensors)?;
    }
    Ok(())
}

/// At most `count` of the frames, evenly spread, the first and the last among them.
fn spread(frames: &[Frame], count: usize) -> impl Iterator<Item = &Frame> {
    let count = count.min(frames.len());
    let last = frames.len().saturating_sub(1);
    (0..count).map(move |i| &frames[i * last / count.saturating_sub(1).max(1)])
}

/// x_t and x̂_0 of the first `count` samples, in turn.
fn interleaved(frame: &Frame, count: usize, size: usize) -> Vec<f32> {
    let samples = frame
        .x
        .chunks_exact(size)
        .zip(frame.x0_hat.chunks_exact(size));
    samples
        .take(count)
        .flat_map(|(x, x0)| x.iter().chain(x0))
        .copied()
        .collect()
}

/// A grid of x_t on the left of one of x̂_0, each `side` wide.
fn beside(frame: &Frame, count: usize, side: usize, size: usize) -> Vec<f32> {
    let empty = vec![f32::from(PADDING_LEVEL) / 127.5 - 1.0; size];
    let image = |images: &'_ [f32], i: usize| {
        let found = images.get(i * size..(i + 1) * size).filter(|_| i < count);
        found.unwrap_or(&empty).to_vec()
    };
    (0..count.div_ceil(side))
        .flat_map(|row| {
            let half = |images: &'_ [f32]| -> Vec<f32> {
                let columns = row * side..(row + 1) * side;
                columns.flat_map(|i| image(images, i)).collect()
            };
            [half(&frame.x), half(&frame.x0_hat)].concat()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(steps_taken: usize, count: usize) -> Frame {
        Frame {
            steps_taken,
            timestep: None,
            x: (0..count).map(|i| i as f32).collect(),
            x0_hat: (0..count).map(|i| 100.0 + i as f32).collect(),
        }
    }

    #[test]
    fn frames_are_laid_out_in_pairs() {
        assert_eq!(interleaved(&frame(0, 4), 2, 1), [0.0, 100.0, 1.0, 101.0]);
        let both = beside(&frame(0, 3), 3, 2, 1);
        let empty = f32::from(PADDING_LEVEL) / 127.5 - 1.0;
        assert_eq!(both, [0.0, 1.0, 100.0, 101.0, 2.0, empty, 102.0, empty]);
    }

    #[test]
    fn a_film_has_the_first_and_the_last_frame() {
        let frames: Vec<Frame> = (0..=40).map(|k| frame(k, 1)).collect();
        let chosen: Vec<usize> = spread(&frames, 5).map(|f| f.steps_taken).collect();
        assert_eq!(chosen, [0, 10, 20, 30, 40]);
        assert_eq!(spread(&frames, 1).count(), 1);
        assert_eq!(spread(&frames[..3], 12).count(), 3);
    }
}

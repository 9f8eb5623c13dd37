//! `noiselab eval`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use noiselab::{
    data::{Dataset, Images, LoadOptions, Shuffle},
    diffusion::likelihood::Estimate,
    eval::{self, EvalOptions, EvalReport, Neighbour},
    gpu::Gpu,
    image_out::{self, GridOptions},
    nn::model::ParamSet,
    session::{
        pipeline::{Pipeline, WeightKind},
        sampling::{SampleRequest, SampleRun},
    },
};
use serde_json::json;

use super::{
    CliError, DeviceArgs, print, print_json,
    progress::Progress,
    values::{announce, count, open_dataset},
};

/// Samples whose neighbours are shown.
const SAMPLES: usize = 8;
/// Neighbours of each.
const NEIGHBOURS: usize = 7;

/// Arguments of `noiselab eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bound is that of the paper's section 3.3, with the model's own variance: L_T + sum of L_t-1 + L_0,
the last by the discretised decoder. Its sum over t is estimated from a few timesteps an image, drawn
stratified; the error that is stated is the standard error over images and timesteps. Only the data
set's own pixels count as dimensions, not what pads them.")]
pub struct EvalArgs {
    /// Model: the folder of a training run, or any diffusers pipeline of a UNet2DModel
    #[arg(value_name = "DIR")]
    model: PathBuf,
    /// Data set whose test images are used: mnist, fashion, or a path
    #[arg(long, value_name = "NAME|PATH")]
    dataset: String,
    /// Images to use, chosen by the seed; 0 for all
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: usize,
    /// Timesteps an image, besides the last one
    #[arg(long, value_name = "K", default_value = "4", value_parser = count)]
    per_image: usize,
    /// Network evaluations at once; fewer need less memory
    #[arg(long, value_name = "B", default_value = "32", value_parser = count)]
    batch: usize,
    /// Seed of the choice of images, of timesteps and noise
    #[arg(long, default_value = "0")]
    seed: u64,
    /// Use the raw weights of a training run instead of their moving average
    #[arg(long)]
    raw_weights: bool,
    /// Side of the images in pixels, 8 to 64 [default: their own; 32 for pictures of several sizes]
    #[arg(long, value_name = "PIXELS", value_parser = count)]
    size: Option<usize>,
    /// 1 for greyscale, 3 for colour [default: their own]
    #[arg(long, value_name = "C", value_parser = count)]
    channels: Option<usize>,
    /// Write a picture of 8 samples (left) with the 7 training images nearest to each
    #[arg(long, value_name = "FILE")]
    neighbours: Option<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs `noiselab eval`.
///
/// # Errors
/// A model, data, a device or files that cannot be used.
pub fn run(args: &EvalArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let kind = if args.raw_weights {
        WeightKind::Raw
    } else {
        WeightKind::Pipeline
    };
    let pipeline = Pipeline::load(&args.model, kind)?;
    let options = LoadOptions {
        size: args.size,
        channels: args.channels,
        ..LoadOptions::default()
    };
    let dataset = open_dataset(&args.dataset, &options)?;
    let gpu = device.open()?;
    announce(&gpu);
    let weights = pipeline.upload(&gpu)?;
    let options = EvalOptions {
        limit: args.limit,
        per_image: args.per_image,
        batch: args.batch,
        seed: args.seed,
        content: dataset.content,
    };
    let mut progress = None;
    let test = &dataset.test;
    let report = eval::evaluate(&gpu, &pipeline, &weights, test, &options, |done, of| {
        progress
            .get_or_insert_with(|| Progress::new("evaluating", of as u64))
            .set(done as u64, String::new);
    })?;
    drop(progress);
    let near = match &args.neighbours {
        Some(_) => Some(near(args, &gpu, &pipeline, &weights, &dataset)?),
        None => None,
    };
    if args.json {
        print_json(&json!({
            "model": args.model,
            "dataset": args.dataset,
            "adapter": gpu.info.name,
            "unit": "bits/dim",
            "test_images": test.len(),
            "report": report,
            "neighbours": near.map(|near| json!({
                "samples": near.samples,
                "test_images": near.test,
            })),
        }))?;
    } else {
        print(&table(args, &report, test.len(), near.as_ref()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(args: &EvalArgs, report: &EvalReport, available: usize, near: Option<&Near>) -> String {
    let b = &report.bound;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} on {} of the {available} test images of {}, {} dimensions each, {} network evaluations\n",
        args.model.display(),
        b.images,
        args.dataset,
        b.dimensions,
        report.evaluations
    );
    let _ = writeln!(out, "                  bits/dim   standard error");
    for (name, e) in [
        ("L_T", b.prior),
        ("sum of L_t-1", b.middle),
        ("L_0", b.decoder),
        ("bound", b.total),
    ] {
        let Estimate {
            mean,
            standard_error,
        } = e;
        let _ = writeln!(out, "  {name:<14}{mean:>10.5}   {standard_error:>14.5}");
    }
    let _ = writeln!(
        out,
        "\n  timesteps     squared error     bits/dim      terms"
    );
    for bin in &report.by_timestep {
        let range = format!("{}-{}", bin.t_first, bin.t_last);
        let mse = if bin.terms == 0 {
            "-".into()
        } else {
            format!("{:.6}", bin.mse)
        };
        let _ = writeln!(
            out,
            "  {range:<12}{mse:>15}{:>13.5}{:>11}",
            bin.bits, bin.terms
        );
    }
    if let (Some(near), Some(path)) = (near, &args.neighbours) {
        let _ = writeln!(
            out,
            "\n  nearest training image, median difference in levels of 255: {:.1} for {SAMPLES} samples, {:.1} for {} test images\n  picture: {}",
            median(&near.samples),
            median(&near.test),
            near.test.len(),
            path.display()
        );
    }
    out
}

/// The nearest training images of samples, and for comparison of as many test images.
struct Near {
    samples: Vec<Vec<Neighbour>>,
    test: Vec<Vec<Neighbour>>,
}

fn near(
    args: &EvalArgs,
    gpu: &Arc<Gpu>,
    pipeline: &Pipeline,
    weights: &ParamSet,
    dataset: &Dataset,
) -> Result<Near, CliError> {
    let request = SampleRequest {
        count: SAMPLES,
        sampler: "ddim".into(),
        steps: pipeline.scheduler.num_train_timesteps.min(50),
        eta: 0.0,
        seed: args.seed,
        batch: args.batch,
    };
    let mut run = SampleRun::new(gpu, &pipeline.unet, &pipeline.scheduler, weights, request)?;
    let mut progress = Progress::new("sampling", run.progress().1 as u64);
    run.run(|done, _| {
        progress.set(done as u64, String::new);
        true
    })?;
    drop(progress);
    let train = &dataset.train;
    let drawn = eval::as_images(run.images(), pipeline.unet.sample_size, train);
    let samples = eval::neighbours(&drawn, train, NEIGHBOURS);
    let shuffle = Shuffle::new(dataset.test.len(), args.seed);
    let chosen: Vec<usize> = (0..SAMPLES.min(dataset.test.len()) as u64)
        .map(|i| shuffle.index(i))
        .collect();
    let test = eval::neighbours(&dataset.test.select(&chosen).pixels, train, NEIGHBOURS);
    if let Some(path) = &args.neighbours {
        draw(path, &drawn, &samples, train)?;
    }
    Ok(Near { samples, test })
}

/// A row for each sample: itself, then its neighbours.
fn draw(
    path: &std::path::Path,
    drawn: &[u8],
    samples: &[Vec<Neighbour>],
    train: &Images,
) -> Result<(), CliError> {
    let mut pixels = Vec::new();
    for (sample, near) in drawn.chunks_exact(train.stride()).zip(samples) {
        pixels.extend_from_slice(sample);
        for n in near {
            pixels.extend_from_slice(train.image(n.index));
        }
    }
    let pictures = Images::new(train.height, train.width, train.channels, pixels, None)?;
    let mut values = vec![0.0; pictures.pixels.len()];
    for (i, out) in values.chunks_exact_mut(pictures.stride()).enumerate() {
        pictures.write_chw(i, out);
    }
    let shape = [pictures.len(), train.channels, train.height, train.width];
    let grid = GridOptions {
        columns: Some(1 + samples.first().map_or(0, Vec::len)),
        scale: (64 / train.height.max(1)).max(1),
    };
    image_out::write_grid_png(path, &values, shape, grid)?;
    Ok(())
}

fn median(all: &[Vec<Neighbour>]) -> f64 {
    let mut nearest: Vec<f64> = all
        .iter()
        .filter_map(|n| n.first())
        .map(|n| n.distance)
        .collect();
    nearest.sort_by(f64::total_cmp);
    nearest.get(nearest.len() / 2).copied().unwrap_or(f64::NAN)
}

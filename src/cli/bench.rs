//! `noiselab bench`.

use std::{
    fmt::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressStyle};
use noiselab::{
    bench::{self, BenchModel, BenchOptions, BenchReport},
    nn::{
        plan::Precision,
        profile::{Profile, ProfileLine},
    },
};
use serde_json::json;

use super::{
    CliError, DeviceArgs,
    kernels::{self, remember},
    print, print_json,
    values::precisions,
};

/// Arguments of `noiselab bench`.
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Measure this machine: training and sampling speed, memory, dispatches.

Trains on images of noise with the trainer of `noiselab train`, then samples. After a warm-up, the \
figures are medians over the time given. Sampling counts one network evaluation with its sampler step \
for each image: divide by the number of steps for whole images. Bytes are those of the buffers that \
noiselab allocates on the device.")]
pub struct BenchArgs {
    #[arg(long, value_name = "NAME", default_value = "mnist32", help = model_help(),
        value_parser = PossibleValuesParser::new(bench::MODELS.iter().map(|m| m.name)))]
    model: String,
    /// Images a step [default: 32; cifar 8, tiny 16]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: Option<u32>,
    /// Seconds to measure training, and again sampling
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Train with activation checkpointing: less memory, more computation
    #[arg(long)]
    checkpoint_activations: bool,
    /// How feature maps are kept in training, see `noiselab train --help`
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = precisions())]
    precision: Precision,
    /// Also time every kernel of a training step by itself
    #[arg(long)]
    profile: bool,
    /// Print the figures as JSON, with times in seconds and memory in bytes
    #[arg(long)]
    json: bool,
}

fn model_help() -> String {
    let lines: Vec<String> = bench::MODELS
        .iter()
        .map(|m: &BenchModel| format!("{} ({})", m.name, m.summary))
        .collect();
    format!("The network: {}", lines.join("; "))
}

/// Runs `noiselab bench`.
///
/// # Errors
/// A device that fails or is too small.
pub fn run(args: &BenchArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let Some(model) = bench::model(&args.model) else {
        return Err(CliError::Usage(format!(
            "there is no network named \"{}\" to measure",
            args.model
        )));
    };
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(CliError::Usage(format!(
            "--seconds {} is not usable; give more than 0 and at most 3600",
            args.seconds
        )));
    }
    let options = BenchOptions {
        batch: args.batch.map_or(model.batch, |b| b as usize),
        seconds: args.seconds,
        checkpoint_activations: args.checkpoint_activations,
        precision: args.precision,
        profile: args.profile,
    };
    let gpu = device.open()?;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    let mut shown = Instant::now();
    let report = bench::run(&gpu, model, &options, &mut |text| {
        // The measured loop must not wait for the terminal.
        if shown.elapsed() > Duration::from_millis(200) {
            bar.set_message(text.to_owned());
            bar.tick();
            shown = Instant::now();
        }
    });
    bar.finish_and_clear();
    let report = report?;
    remember(&gpu);
    if args.json {
        print_json(&json!(report))?;
    } else {
        print(&table(&report, &kernels::table(&gpu)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(r: &BenchReport, kernels: &str) -> String {
    let mut out = format!(
        "{} ({}, {})\n{}\n{}, batch {}{}{}\n",
        r.adapter,
        r.backend,
        r.driver.trim(),
        kernels,
        r.model,
        r.batch,
        if r.checkpoint_activations {
            ", activation checkpointing"
        } else {
            ""
        },
        if r.precision == Precision::F16 {
            ", feature maps as f16"
        } else {
            ""
        }
    );
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {name:<22} {value}");
    };
    line("parameters", grouped(r.parameters as u64));
    line(
        "training",
        format!(
            "{} images/s ({} a step, {:.1} GFLOP/s, {} steps)",
            rate(r.train_images_per_s),
            time(r.train_step_s),
            r.train_gflops,
            r.train_steps
        ),
    );
    line(
        "sampling",
        format!(
            "{} image steps/s ({} a step, {:.1} GFLOP/s, {} steps)",
            rate(r.sample_images_per_s),
            time(r.sample_step_s),
            r.sample_gflops,
            r.sample_steps
        ),
    );
    line(
        "first step",
        format!(
            "{} beyond a steady one ({} of it the choice of kernel variants)",
            time(r.setup_s),
            time(r.choice_s)
        ),
    );
    line("peak memory, training", bytes(r.peak_bytes));
    line(
        "beyond the parameters",
        format!(
            "{} beside weights, gradients, moments and average",
            bytes(r.beyond_parameters_bytes)
        ),
    );
    line("arena", bytes(r.arena_bytes));
    line("dispatches a step", r.dispatches.to_string());
    line("submissions a step", format!("{:.1}", r.submissions));
    line(
        "host time to encode",
        format!(
            "{} a step, {:.2} % of it",
            time(r.encode_s),
            100.0 * r.encode_share
        ),
    );
    line(
        "operations",
        format!(
            "{:.2} GFLOP a training step, {:.2} a sampling step",
            r.train_flops as f64 / 1e9,
            r.sample_flops as f64 / 1e9
        ),
    );
    let mut share = |name: &str, share: Option<f64>| {
        if let Some(share) = share {
            let _ = writeln!(
                out,
                "  {name:<22} {:.1} % of the device's best matrix product",
                100.0 * share
            );
        }
    };
    share("training reaches", r.train_product_share);
    share("sampling reaches", r.sample_product_share);
    if let Some(profile) = &r.profile {
        out.push_str(&profile_table(profile));
    }
    out
}

/// Layers shown in a profile.
const LAYERS: usize = 25;

fn profile_table(profile: &Profile) -> String {
    let roofline = &profile.roofline;
    let mut out = format!(
        "
roofline (by {})
  product                {:.1} GFLOP/s, {side}x{side}x{side}: {}
",
        roofline.clock,
        roofline.flops_per_s / 1e9,
        roofline.kernel,
        side = roofline.side,
    );
    for (name, rate) in &roofline.kernels {
        let _ = writeln!(
            out,
            "                         {:.1} GFLOP/s by {name}",
            rate / 1e9
        );
    }
    let _ = writeln!(
        out,
        "  copy                   {:.1} GB/s read and written, of {}\n",
        roofline.bytes_per_s / 1e9,
        bytes(roofline.copied)
    );
    let _ = writeln!(
        out,
        "one training step, each dispatch by itself, by {}: {}, {:.1} GFLOP, {:.2} GB
  {:.1} % of the product's rate over the whole step; {:.1} % of the roofline, dispatch by dispatch
  (bytes: each range bound once for being read or written, twice for both; from caches a share can exceed 100 %)",
        profile.clock,
        time(profile.total_s),
        profile.flops as f64 / 1e9,
        profile.bytes as f64 / 1e9,
        100.0 * profile.product_share,
        100.0 * profile.roofline_s / profile.total_s,
    );
    let mut part = |title: &str, lines: &[ProfileLine]| {
        let _ = writeln!(
            out,
            "\n  {:>5} {:>10} {:>6} {:>9} {:>8} {:>8} {:>7} {:>9}  {title}",
            "count", "ms", "share", "GFLOP", "MB", "GFLOP/s", "GB/s", "roofline"
        );
        for l in lines {
            let _ = writeln!(
                out,
                "  {:>5} {:>10.2} {:>5.1}% {:>9.3} {:>8.1} {:>8.2} {:>7.2} {:>7.1}%{}  {}",
                l.count,
                1e3 * l.seconds,
                100.0 * l.share,
                l.flops as f64 / 1e9,
                l.bytes as f64 / 1e6,
                l.gflops,
                l.gbytes,
                100.0 * l.roofline_share,
                if l.product_bound { "P" } else { "C" },
                l.name
            );
        }
    };
    part(
        "kernel (P: bound by the product, C: by the copy)",
        &profile.kernels,
    );
    let shown = profile.layers.len().min(LAYERS);
    part("slowest layers", &profile.layers[..shown]);
    out
}

fn rate(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", 1e3 * s),
        s => format!("{:.1} µs", 1e6 * s),
    }
}

fn bytes(count: u64) -> String {
    format!("{:.1} MiB", count as f64 / f64::from(1 << 20))
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(35_746_307), "35,746,307");
        assert_eq!(grouped(7), "7");
        assert_eq!(time(0.0123), "12.30 ms");
        assert_eq!(time(2.0), "2.00 s");
        assert_eq!(rate(123.4), "123");
        assert_eq!(bytes(3 << 19), "1.5 MiB");
    }
}

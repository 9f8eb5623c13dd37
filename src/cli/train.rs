//! `noiselab train`.

use std::{path::PathBuf, process::ExitCode};

use clap::builder::{PossibleValue, PossibleValuesParser};
use noiselab::{
    data::LoadOptions,
    diffusion::{Objective, TimestepDistribution, VarianceType, loss_weight::LossType},
    nn::{lr_schedule::LearningRateDecay, plan::Precision},
    session::{
        TrainError, budget,
        config::{PRESETS, TrainConfig, preset},
        pacer::Pace,
        pipeline::{Pipeline, WeightKind},
        run::{Outcome, Run, RunEvent, RunOptions, RunStart, SavedRun, StopSignal, check_free},
    },
};

use serde_json::Value;

use super::{
    CliError, DeviceArgs, kernels, print,
    progress::{Progress, line},
    values::{
        announce, below_one, bytes, count, not_negative, open_dataset, positive, precisions,
        schedules, share,
    },
};

/// The preset of a run that names none.
const DEFAULT_PRESET: &str = "digits";
/// What is left of the learning rate at the end of a cosine decay.
const COSINE_END: f64 = 0.01;

/// Arguments of `noiselab train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder becomes a diffusers pipeline: `noiselab sample DIR` draws from it, and so does Python's
DDPMPipeline.from_pretrained(DIR). Beside it lie log.csv (every figure of every step), heldout.csv,
loss_by_t.csv, samples.png, and noiselab/ with the state that --resume goes on from.

Ctrl-C finishes the running step, saves, and ends; --resume then goes on as if nothing had happened,
bit for bit on the same adapter.

Which variants of the kernels are used is measured before the first run on a device, and remembered; a run records
its own and goes on with them. `noiselab info` shows them, `noiselab tune` measures anew.")]
pub struct TrainArgs {
    /// Data set: `mnist` or `fashion` (built in), or the path of an IDX file, CIFAR-10 batches, a
    /// folder or a zip of pictures
    #[arg(long, value_name = "NAME|PATH", required_unless_present = "resume")]
    dataset: Option<String>,
    /// Folder to write; must be new or empty, unless --resume
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Network and settings that the other options change [default: digits]
    #[arg(long, value_parser = presets())]
    preset: Option<String>,
    /// Go on with the run in --out; its settings are its own, only --steps and what is written how
    /// often may change
    #[arg(long, conflicts_with = "init")]
    resume: bool,
    /// Start from the weights, network and schedule of a diffusers pipeline folder
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,

    /// Optimiser steps in all [default: the preset's]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Training")]
    steps: Option<usize>,
    /// Images a micro-batch [default: the preset's]
    #[arg(long, value_name = "B", value_parser = count, help_heading = "Training")]
    batch: Option<usize>,
    /// Micro-batches an optimiser step: the gradient of N·B images in the memory of B [default: 1]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Training")]
    accumulate: Option<usize>,
    /// Learning rate [default: the preset's]
    #[arg(long, value_name = "RATE", value_parser = positive, help_heading = "Training")]
    lr: Option<f64>,
    /// Steps in which the learning rate rises from 0 [default: the preset's]
    #[arg(long, value_name = "N", help_heading = "Training")]
    warmup: Option<u64>,
    /// What the learning rate does after the warm-up; cosine ends at 1 % of it at the last step
    /// [default: constant]
    #[arg(long, value_parser = ["constant", "cosine"], help_heading = "Training")]
    lr_decay: Option<String>,
    /// Decay of the moving average of the weights, which is what is sampled and saved [default: the
    /// preset's]
    #[arg(long, value_name = "DECAY", value_parser = below_one, help_heading = "Training")]
    ema: Option<f64>,
    /// Makes the average longer while its decay rises to that of --ema: 1 is the mean of all steps so far, 0.667
    /// diffusers' choice for long runs [default: about the last ninth of the steps]
    #[arg(long, value_name = "POWER", value_parser = positive, help_heading = "Training")]
    ema_power: Option<f64>,
    /// Largest norm of the gradient, 0 for no clipping [default: 1]
    #[arg(long, value_name = "NORM", value_parser = not_negative, help_heading = "Training")]
    clip: Option<f64>,
    /// Decoupled weight decay (AdamW) instead of Adam's
    #[arg(long, help_heading = "Training")]
    adamw: bool,
    /// Weight decay [default: 0]
    #[arg(long, value_name = "DECAY", value_parser = not_negative, help_heading = "Training")]
    weight_decay: Option<f64>,
    /// Dropout in the residual blocks [default: the preset's, 0 but for cifar]
    #[arg(long, value_name = "P", value_parser = below_one, help_heading = "Training")]
    dropout: Option<f64>,
    /// Probability that an image is mirrored [default: the preset's, 0 but for cifar]
    #[arg(long, value_name = "P", value_parser = share, help_heading = "Training")]
    flip: Option<f64>,
    /// Seed of weights, order, timesteps, noise and dropout [default: 0]
    #[arg(long, help_heading = "Training")]
    seed: Option<u64>,

    /// What is minimised: simple (squared error), vlb (the variational bound), or hybrid:L for
    /// simple + L·vlb, such as hybrid:0.001 [default: simple]
    #[arg(long, value_name = "LOSS", value_parser = loss, help_heading = "Diffusion")]
    loss: Option<LossType>,
    /// How often each timestep is drawn: uniform, or log-snr:MEAN,STD for a normal ln(ᾱ/(1 − ᾱ)); log-snr:-2,1.5 puts
    /// the work where shapes are decided. With another than uniform the loss has to be simple [default: uniform]
    #[arg(
        long,
        value_name = "DRAW",
        allow_hyphen_values = true,
        help_heading = "Diffusion"
    )]
    timestep_draw: Option<TimestepDistribution>,
    /// What the network predicts: the noise, the image, or a mixture of both [default: epsilon]
    #[arg(long, value_parser = names(Objective::ALL.map(Objective::name)), help_heading = "Diffusion")]
    objective: Option<String>,
    /// How the noise grows over the timesteps [default: the preset's, linear but for digits]
    #[arg(long, value_parser = schedules(), help_heading = "Diffusion")]
    schedule: Option<String>,
    /// Timesteps T [default: 1000]
    #[arg(long, value_name = "T", value_parser = count, help_heading = "Diffusion")]
    timesteps: Option<usize>,
    /// Variance of the reverse step: the posterior's, or that of the forward step [default: the
    /// preset's, fixed_small but for cifar]
    #[arg(long, value_parser = names(VarianceType::ALL.map(VarianceType::name)), help_heading = "Diffusion")]
    variance: Option<String>,

    /// Side of the images in pixels, 8 to 64 [default: their own; 32 for pictures of several sizes]
    #[arg(long, value_name = "PIXELS", value_parser = count, help_heading = "Data")]
    size: Option<usize>,
    /// 1 for greyscale, 3 for colour [default: their own]
    #[arg(long, value_name = "C", value_parser = count, help_heading = "Data")]
    channels: Option<usize>,

    /// Steps between checkpoints, each with a picture of samples; 0 for one at the end only
    /// [default: 500]
    #[arg(long, value_name = "N", help_heading = "Output")]
    checkpoint_every: Option<u64>,
    /// Steps between measurements of the loss on held-out images; 0 for none [default: 250]
    #[arg(long, value_name = "N", help_heading = "Output")]
    eval_every: Option<u64>,
    /// Held-out images for that [default: 256]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Output")]
    eval_images: Option<usize>,
    /// Samples in a picture; 0 for no pictures [default: 16]
    #[arg(long, value_name = "N", help_heading = "Output")]
    grid: Option<usize>,
    /// DDIM steps for each of them [default: 20]
    #[arg(long, value_name = "K", value_parser = count, help_heading = "Output")]
    grid_steps: Option<usize>,

    /// Save memory: keep only the borders of each block and compute the rest again (about a third
    /// more work, the same numbers)
    #[arg(long, help_heading = "Resources")]
    checkpoint_activations: bool,
    /// How feature maps and their gradients are kept: f16 takes half the memory and half the traffic, where the
    /// adapter has it; all arithmetic, weights and moments stay f32 [default: f32]
    #[arg(long, value_name = "PRECISION", value_parser = precisions(), help_heading = "Resources")]
    precision: Option<Precision>,
    /// Most device memory that the run may take, such as 1.5GB or 900MiB: activations are checkpointed if it does
    /// not fit otherwise, and if it does not fit even so, nothing is begun
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Resources")]
    memory_budget: Option<u64>,
    /// Leave the device half idle and work in small pieces, so that other programs stay usable
    #[arg(long, help_heading = "Resources")]
    gentle: bool,
}

fn presets() -> PossibleValuesParser {
    PossibleValuesParser::new(
        PRESETS
            .iter()
            .map(|p| PossibleValue::new(p.name).help(p.summary)),
    )
}

fn names<const N: usize>(names: [&'static str; N]) -> PossibleValuesParser {
    PossibleValuesParser::new(names)
}

fn loss(text: &str) -> Result<LossType, String> {
    match text.split_once(':') {
        None if text == "simple" => Ok(LossType::Simple),
        None if text == "vlb" => Ok(LossType::Vlb),
        Some(("hybrid", weight)) => Ok(LossType::Hybrid {
            vlb_weight: positive(weight)?,
        }),
        _ => Err("choose simple, vlb or hybrid:WEIGHT, such as hybrid:0.001".into()),
    }
}

/// Where a run starts, with all that it needs.
struct Plan {
    config: TrainConfig,
    options: RunOptions,
    start: RunStart,
    dataset: std::sync::Arc<noiselab::data::Dataset>,
}

/// Runs `noiselab train`.
///
/// # Errors
/// Arguments, data, files or a device that cannot be used; a loss that is not finite.
pub fn run(args: &TrainArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let plan = if args.resume {
        resume(args)?
    } else {
        begin(args)?
    };
    let Plan {
        mut config,
        options,
        start,
        dataset,
    } = plan;
    let gpu = device.open()?;
    announce(&gpu);
    line(&format!(
        "data: {} images of {}x{}x{} to train on, {} held out",
        dataset.train.len(),
        dataset.train.height,
        dataset.train.width,
        dataset.train.channels,
        dataset.test.len(),
    ));
    line(&format!(
        "network: {:.2} million parameters; {} steps of {} images",
        config.unet.param_count() as f64 / 1e6,
        options.steps,
        config.batch * config.accumulate
    ));
    if !args.resume {
        kernels::choose(&gpu, &config.unet)?;
    }
    if let Some(budget) = args.memory_budget {
        let fit = budget::fit(&gpu, &config, (&options).into(), &dataset, budget)?;
        config.checkpoint_activations = fit.checkpoint_activations;
        line(&format!(
            "memory: {} of {} on the device, {}",
            budget::in_words(fit.memory.total()),
            budget::in_words(budget),
            if fit.checkpoint_activations {
                "with activation checkpointing"
            } else {
                "without activation checkpointing"
            }
        ));
    }
    let stop = StopSignal::default();
    listen(&stop);
    let steps = options.steps;
    let mut show = Show::new(steps);
    let mut run = Run::new(
        &gpu,
        &args.out,
        config,
        options,
        dataset,
        &start,
        &mut |e| {
            show.event(&e);
        },
    )?;
    drop(start);
    if args.gentle {
        run.set_pace(Pace::GENTLE);
    }
    let from = run.trainer().step();
    show.stage = None;
    let outcome = run.train(&stop, &mut |e| show.event(&e));
    show.end();
    let out = args.out.display();
    let step = run.trainer().step();
    match outcome? {
        Outcome::Finished if from >= steps => print(&format!(
            "{out} already has {from} steps; give a larger --steps to train it further.\n"
        ))?,
        Outcome::Finished => print(&format!(
            "{out} is trained for {step} steps; draw from it with `noiselab sample {out} --out grid.png`.\n"
        ))?,
        Outcome::Stopped => print(&format!(
            "{out} is saved at step {step} of {steps}; go on with `noiselab train --out {out} --resume`.\n"
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn begin(args: &TrainArgs) -> Result<Plan, CliError> {
    check_free(&args.out)?;
    let Some(spec) = &args.dataset else {
        return Err(CliError::Usage("--dataset is missing.".into()));
    };
    let name = args.preset.as_deref().unwrap_or(DEFAULT_PRESET);
    let Some(preset) = preset(name) else {
        return Err(CliError::Usage(format!("there is no preset {name}.")));
    };
    let init = match &args.init {
        Some(dir) => Some(Pipeline::load(dir, WeightKind::Pipeline)?),
        None => None,
    };
    let dataset = open_dataset(spec, &load_options(args.size, args.channels))?;
    let mut config = preset.for_data(&dataset);
    // As it was given, so that a resumed run finds it.
    config.dataset.clone_from(spec);
    let mut options = RunOptions {
        steps: preset.steps,
        preset: Some(preset.name.to_owned()),
        ..RunOptions::default()
    };
    let start = match init {
        Some(pipeline) => {
            config.unet = pipeline.unet;
            config.scheduler = pipeline.scheduler;
            RunStart::Weights(pipeline.weights)
        }
        None => RunStart::Random,
    };
    apply(args, &mut config, &mut options)?;
    Ok(Plan {
        config,
        options,
        start,
        dataset,
    })
}

fn resume(args: &TrainArgs) -> Result<Plan, CliError> {
    let saved = SavedRun::load(&args.out)?;
    let (mut config, mut options) = (saved.config.clone(), saved.options.clone());
    apply(args, &mut config, &mut options)?;
    let mut settings: Vec<String> = config
        .differences(&saved.config)
        .into_iter()
        .filter(|(path, ..)| path != "train.dataset")
        .map(|(path, asked, has)| {
            let (asked, has) = (as_typed(&asked), as_typed(&has));
            format!("{} {asked} instead of {has}", flag_of(&path))
        })
        .collect();
    let mut compare = |flag: &str, asked: Option<String>, has: Option<String>| {
        if let Some(asked) = asked.filter(|asked| Some(asked) != has.as_ref()) {
            let has = has.unwrap_or_else(|| "the data's own".into());
            settings.push(format!("{flag} {asked} instead of {has}"));
        }
    };
    let text = |n: Option<usize>| n.map(|n| n.to_string());
    compare(
        "--preset",
        args.preset.clone(),
        saved.options.preset.clone(),
    );
    compare("--size", text(args.size), text(saved.options.size));
    compare(
        "--channels",
        text(args.channels),
        text(saved.options.channels),
    );
    if !settings.is_empty() {
        return Err(TrainError::OtherConfig {
            dir: args.out.clone(),
            settings: settings.join(", "),
        }
        .into());
    }
    if let LearningRateDecay::Cosine { total_steps, .. } = config.lr.decay
        && options.steps > total_steps
    {
        line(&format!(
            "note: the run's cosine decay ends at step {total_steps}; after it the learning rate stays at {:.1e}",
            config.lr.at(total_steps)
        ));
    }
    options.size = saved.options.size;
    options.channels = saved.options.channels;
    let dataset = open_dataset(
        &config.dataset,
        &load_options(options.size, options.channels),
    )?;
    line(&format!("resuming at step {}", saved.step()));
    Ok(Plan {
        config,
        options,
        start: RunStart::Resume(Box::new(saved)),
        dataset,
    })
}

fn load_options(size: Option<usize>, channels: Option<usize>) -> LoadOptions {
    LoadOptions {
        size,
        channels,
        ..LoadOptions::default()
    }
}

/// Sets what was given on the command line; everything else stays.
fn apply(
    args: &TrainArgs,
    config: &mut TrainConfig,
    options: &mut RunOptions,
) -> Result<(), CliError> {
    fn set<T: Clone>(to: &mut T, from: Option<&T>) {
        if let Some(value) = from {
            to.clone_from(value);
        }
    }
    set(&mut config.dataset, args.dataset.as_ref());
    set(&mut options.steps, args.steps.map(|n| n as u64).as_ref());
    set(&mut config.batch, args.batch.as_ref());
    set(&mut config.accumulate, args.accumulate.as_ref());
    set(&mut config.lr.base, args.lr.as_ref());
    set(&mut config.lr.warmup_steps, args.warmup.as_ref());
    match (args.lr_decay.as_deref(), config.lr.decay) {
        // The end of a decay that has begun stays where it is.
        (None, _) | (Some("cosine"), LearningRateDecay::Cosine { .. }) => {}
        (Some("cosine"), _) => {
            config.lr.decay = LearningRateDecay::Cosine {
                total_steps: options.steps,
                final_fraction: COSINE_END,
            };
        }
        (Some(_), _) => config.lr.decay = LearningRateDecay::Constant,
    }
    set(&mut config.ema_decay, args.ema.as_ref());
    config.ema_power = args.ema_power.or(config.ema_power);
    set(&mut config.clip_norm, args.clip.as_ref());
    config.adam.decoupled |= args.adamw;
    set(&mut config.adam.weight_decay, args.weight_decay.as_ref());
    set(&mut config.unet.dropout, args.dropout.as_ref());
    set(&mut config.flip, args.flip.as_ref());
    set(&mut config.seed, args.seed.as_ref());
    set(&mut config.loss, args.loss.as_ref());
    set(&mut config.draw, args.timestep_draw.as_ref());
    let scheduler = &mut config.scheduler;
    if let Some(name) = &args.objective {
        scheduler.prediction_type = Objective::by_name(name)?;
    }
    set(&mut scheduler.beta_schedule, args.schedule.as_ref());
    set(&mut scheduler.num_train_timesteps, args.timesteps.as_ref());
    if let Some(name) = &args.variance {
        scheduler.variance_type = VarianceType::by_name(name)?;
    }
    config.checkpoint_activations |= args.checkpoint_activations;
    set(&mut config.precision, args.precision.as_ref());
    set(
        &mut options.checkpoint_every,
        args.checkpoint_every.as_ref(),
    );
    set(&mut options.eval_every, args.eval_every.as_ref());
    set(&mut options.eval_images, args.eval_images.as_ref());
    set(&mut options.grid, args.grid.as_ref());
    set(&mut options.grid_steps, args.grid_steps.as_ref());
    options.size = args.size;
    options.channels = args.channels;
    Ok(())
}

/// The option that sets what lies at a path of the configuration.
fn flag_of(path: &str) -> &str {
    const FLAGS: &[(&str, &str)] = &[
        ("train.batch", "--batch"),
        ("train.accumulate", "--accumulate"),
        ("train.lr.base", "--lr"),
        ("train.lr.warmup_steps", "--warmup"),
        ("train.lr.decay", "--lr-decay"),
        ("train.adam.decoupled", "--adamw"),
        ("train.adam.weight_decay", "--weight-decay"),
        ("train.clip_norm", "--clip"),
        ("train.ema_decay", "--ema"),
        ("train.ema_power", "--ema-power"),
        ("train.flip", "--flip"),
        ("train.loss", "--loss"),
        ("train.draw", "--timestep-draw"),
        ("train.checkpoint_activations", "--checkpoint-activations"),
        ("train.precision", "--precision"),
        ("train.seed", "--seed"),
        ("unet.dropout", "--dropout"),
        ("scheduler.prediction_type", "--objective"),
        ("scheduler.beta_schedule", "--schedule"),
        ("scheduler.num_train_timesteps", "--timesteps"),
        ("scheduler.variance_type", "--variance"),
    ];
    FLAGS
        .iter()
        .find(|(prefix, _)| path.starts_with(prefix))
        .map_or(path, |(_, flag)| flag)
}

/// A value of the configuration as it is given on the command line.
fn as_typed(json: &str) -> String {
    match serde_json::from_str::<Value>(json) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(map)) => map
            .iter()
            .map(|(name, inner)| match inner.get("vlb_weight") {
                Some(weight) => format!("{name}:{weight}"),
                None => name.clone(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        _ => json.to_owned(),
    }
}

/// Ctrl-C once stops and saves, twice leaves out the picture, three times ends at once.
fn listen(stop: &StopSignal) {
    let stop = stop.clone();
    let heard = ctrlc::set_handler(move || match stop.ask() {
        1 => line(
            "stopping after this step, then saving; Ctrl-C again leaves out the picture of samples",
        ),
        2 => {}
        _ => std::process::exit(130),
    });
    if let Err(e) = heard {
        tracing::warn!("Ctrl-C will end the run without saving ({e})");
    }
}

/// What a run shows.
struct Show {
    steps: u64,
    training: Progress,
    /// Compiling or drawing samples.
    stage: Option<Progress>,
    loss: Option<f64>,
    held_out: Option<f64>,
}

impl Show {
    fn new(steps: u64) -> Self {
        Self {
            steps,
            training: Progress::new("training", steps),
            stage: None,
            loss: None,
            held_out: None,
        }
    }

    fn stage(&mut self, what: &str, done: usize, of: usize) {
        let stage = self
            .stage
            .get_or_insert_with(|| Progress::new(what, of as u64));
        stage.set(done as u64, String::new);
        if done >= of {
            self.stage = None;
        }
    }

    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Compiling(done, of) => self.stage("compiling", *done, *of),
            RunEvent::Sampling(done, of) => self.stage("drawing samples", *done, *of),
            RunEvent::Note(text) => self.training.note(&format!("note: {text}")),
            RunEvent::Step(report, speed) => {
                let loss = f64::from(report.loss);
                // The mean of about the last fifty steps.
                let smooth = self.loss.map_or(loss, |s| s + 0.04 * (loss - s));
                self.loss = Some(smooth);
                let held_out = self.held_out;
                self.training.set(report.step, || {
                    let held_out =
                        held_out.map_or_else(String::new, |loss| format!("  held out {loss:.4}"));
                    format!("loss {smooth:.4}{held_out}  {speed:.1} images/s")
                });
            }
            RunEvent::HeldOut(step, ema, raw) => {
                self.held_out = Some(ema.loss);
                self.training.note(&format!(
                    "step {step}: held-out loss {:.5} (averaged weights), {:.5} (raw weights)",
                    ema.loss, raw.loss
                ));
            }
            RunEvent::Saved(step) => {
                self.training
                    .note(&format!("step {step} of {}: saved", self.steps));
            }
        }
    }

    fn end(&self) {
        self.training.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TrainArgs,
    }

    fn parse(words: &str) -> TrainArgs {
        let words = format!("train --out x --dataset mnist {words}");
        Line::try_parse_from(words.split(' ').filter(|w| !w.is_empty()))
            .map(|l| l.args)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    fn applied(words: &str) -> (TrainConfig, RunOptions) {
        let mut config = (preset("tiny").unwrap().make)(8, 1);
        let mut options = RunOptions {
            steps: 100,
            ..RunOptions::default()
        };
        apply(&parse(words), &mut config, &mut options).unwrap();
        (config, options)
    }

    #[test]
    fn every_setting_reaches_the_configuration_under_its_flag() {
        let (plain, _) = applied("");
        for words in [
            "--batch 7",
            "--accumulate 3",
            "--lr 0.5",
            "--warmup 3",
            "--lr-decay cosine",
            "--ema 0.5",
            "--ema-power 1",
            "--clip 3",
            "--adamw",
            "--weight-decay 0.5",
            "--dropout 0.5",
            "--flip 0.5",
            "--seed 9",
            "--loss vlb",
            "--loss hybrid:0.5",
            "--timestep-draw log-snr:-2,1.5",
            "--objective v_prediction",
            "--schedule sigmoid",
            "--timesteps 20",
            "--variance fixed_large",
            "--checkpoint-activations",
        ] {
            let (config, _) = applied(words);
            let differences = config.differences(&plain);
            assert!(!differences.is_empty(), "{words}");
            for (path, ..) in differences {
                let flag = words.split(' ').next().unwrap();
                if path != "train.dataset" {
                    assert_eq!(flag_of(&path), flag, "{words}: {path}");
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_cosine_decay_stays_when_steps_are_added() {
        let (mut config, mut options) = applied("--lr-decay cosine");
        let before = config.clone();
        apply(
            &parse("--lr-decay cosine --steps 900"),
            &mut config,
            &mut options,
        )
        .unwrap();
        assert_eq!(options.steps, 900);
        assert!(config.differences(&before).is_empty());
    }

    #[test]
    fn values_are_shown_as_they_are_typed() {
        for (json, typed) in [
            ("4", "4"),
            ("\"vlb\"", "vlb"),
            (r#"{"hybrid":{"vlb_weight":0.01}}"#, "hybrid:0.01"),
            (
                r#"{"cosine":{"total_steps":9,"final_fraction":0.01}}"#,
                "cosine",
            ),
        ] {
            assert_eq!(as_typed(json), typed);
        }
    }

    #[test]
    fn losses_are_read() {
        assert_eq!(loss("simple"), Ok(LossType::Simple));
        assert_eq!(loss("vlb"), Ok(LossType::Vlb));
        assert_eq!(
            loss("hybrid:0.01"),
            Ok(LossType::Hybrid { vlb_weight: 0.01 })
        );
        for bad in ["hybrid", "hybrid:", "hybrid:-1", "mse", "vlb:1"] {
            assert!(loss(bad).is_err(), "{bad}");
        }
    }
}

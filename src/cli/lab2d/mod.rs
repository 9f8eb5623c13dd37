//! `noiselab lab2d`: the 2-D lab without its window. It sends the session the commands that the room sends.

mod picture;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::builder::{PossibleValue, PossibleValuesParser};
use noiselab::{
    Error,
    data::points::{self, DISTRIBUTIONS, Distribution},
    diffusion::sampler::SAMPLERS,
    gpu::Gpu,
    session::{
        FilesError,
        command::{Command, StopAt},
        event::{Event, TrainStatus},
        lab::{
            PRESETS, Preset,
            command::{
                Denoiser, ErrorsRequest, FieldRequest, LabCommand, LabReverse, LabRun, LabTrain,
                LabTrainSpec, LikelihoodRequest,
            },
            event::{
                ErrorsView, FieldView, LabEvent, LabReverseEvent, LabTrainEvent, LikelihoodView,
                Merit,
            },
            presets::preset,
            stage::Stage,
        },
        live::{Pumped, Session},
    },
};
use serde_json::{Value, json};

use self::picture::Canvas;
use super::{
    CliError, DeviceArgs, print, print_json,
    progress::{Progress, line},
    values::{announce, count, not_negative, positive},
};

/// Timesteps at which fields are compared.
const TIMES: usize = 32;
/// Cells a side of the maps of differences.
const MAP: usize = 32;
/// Arrows a side of the field's picture.
const ARROWS: usize = 24;
/// Cells a side of the model's density.
const DENSITY: usize = 40;
/// Pixels a side of a picture.
const SIDE: usize = 400;

/// Arguments of `noiselab lab2d`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The figures, all at unit data scale, of N samples against N held-out points (N = --count, at most 5000):
  sliced Wasserstein   root of the mean over 64 directions of the squared Wasserstein-2 distance
  energy distance      root of 2 E|A-B| - E|A-A'| - E|B-B'|, over the first 2000
  floors               the same between two sets of N true points: what a perfect sampler gets
  modes                share of the samples nearest to each mode and within its radius
  relative error       sqrt(sum E|eps_hat - eps*|^2 / sum E|eps*|^2), x_t ~ q(x_t), over t; eps* = E[eps | x_t]
  NLL                  mean of -ln p(x_0) of held-out points by the probability-flow ODE, nats a point

Examples:
  noiselab lab2d --seconds 30 --out lab
  noiselab lab2d --distribution two_moons --samplers ddpm,ddim,pf_ode --json
  noiselab lab2d --text Hi --preset network_too_small --out small
  noiselab lab2d --exact --samplers ddpm --sampler-steps 1000")]
pub struct Lab2dArgs {
    /// Distribution that comes along
    #[arg(long, value_name = "NAME", default_value = "eight_gaussians", value_parser = distributions(),
        conflicts_with_all = ["text", "csv"])]
    distribution: String,
    /// A word as the distribution: its strokes, filled evenly
    #[arg(long, value_name = "WORD", conflicts_with = "csv")]
    text: Option<String>,
    /// Points of your own: a table with two columns of numbers, separated by commas, semicolons, tabs or spaces
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Schedule, network and training: the one that works, or one that shows what goes wrong
    #[arg(long, value_name = "NAME", default_value = "standard", value_parser = presets())]
    preset: String,
    /// Train for this many steps
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "seconds")]
    steps: Option<usize>,
    /// Train for this many seconds [default: 30]
    #[arg(long, value_name = "S", value_parser = positive)]
    seconds: Option<f64>,
    /// Samplers to draw with, one after the other from the same noise [default: the preset's]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = samplers())]
    samplers: Vec<String>,
    /// Steps of each sampler [default: the preset's]
    #[arg(long, value_name = "N", value_parser = count)]
    sampler_steps: Option<usize>,
    /// DDIM's eta: 0 is deterministic, 1 has the noise of the ancestral sampler
    #[arg(long, default_value = "0", value_parser = not_negative)]
    eta: f64,
    /// Samples, at most 50000
    #[arg(long, value_name = "N", default_value = "5000", value_parser = count)]
    count: usize,
    /// Seed of everything random
    #[arg(long, default_value = "0")]
    seed: u64,
    /// Do not train: draw with the exact E[eps | x_t] in place of the network
    #[arg(long, conflicts_with_all = ["steps", "seconds", "width", "blocks", "batch", "lr"])]
    exact: bool,
    /// Use the raw weights instead of their moving average
    #[arg(long, conflicts_with = "exact")]
    raw_weights: bool,
    /// Steps of the integration that gives the likelihood; 0 for none
    #[arg(long, value_name = "N", default_value = "20")]
    likelihood_steps: usize,
    /// Width of the network [default: the preset's]
    #[arg(long, value_name = "D", value_parser = count, help_heading = "Training")]
    width: Option<usize>,
    /// Residual blocks of the network [default: the preset's]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Training")]
    blocks: Option<usize>,
    /// Points a step [default: the preset's]
    #[arg(long, value_name = "B", value_parser = count, help_heading = "Training")]
    batch: Option<usize>,
    /// Learning rate; it falls by half a cosine [default: the preset's]
    #[arg(long, value_name = "RATE", value_parser = positive, help_heading = "Training")]
    lr: Option<f64>,
    /// Folder for pictures: the forward process, samples, fields, differences, densities
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

fn named(entries: impl Iterator<Item = (&'static str, &'static str)>) -> PossibleValuesParser {
    PossibleValuesParser::new(entries.map(|(name, help)| PossibleValue::new(name).help(help)))
}

fn distributions() -> PossibleValuesParser {
    named(DISTRIBUTIONS.iter().map(|d| (d.name, d.summary)))
}

fn presets() -> PossibleValuesParser {
    named(PRESETS.iter().map(|p| (p.name, p.summary)))
}

fn samplers() -> PossibleValuesParser {
    named(SAMPLERS.iter().map(|s| (s.name, s.summary)))
}

/// What training came to.
#[derive(Debug, Default)]
struct Trained {
    parameters: usize,
    steps: u64,
    seconds: f64,
    /// Mean loss over the last tenth of the steps.
    loss: f32,
    stopped: bool,
}

/// A sampler's run.
#[derive(Debug)]
struct Drawn {
    run: LabRun,
    samples: Arc<[points::Point]>,
    merit: Merit,
    evaluations: usize,
    seconds: f64,
}

/// Runs `noiselab lab2d`.
///
/// # Errors
/// Points that cannot be used, a device that is missing or too small, or files that cannot be written.
pub fn run(args: &Lab2dArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let Some(preset) = preset(&args.preset) else {
        return Err(CliError::Usage(format!(
            "there is no preset {}.",
            args.preset
        )));
    };
    let asked = preset.stage(distribution(args)?, args.count.min(50_000), args.seed);
    let stage = Stage::open(asked.clone())?;
    if let Some(note) = stage.source.note() {
        line(note);
    }
    let gpu = device.open()?;
    announce(&gpu);
    let mut lab = Lab::new(&gpu);
    lab.send(LabCommand::Stage(Box::new(asked)));
    lab.until(|event| matches!(event, LabEvent::Stage(_)).then_some(()))?;
    let denoiser = match (args.exact, args.raw_weights) {
        (true, _) => Denoiser::Exact,
        (false, true) => Denoiser::Raw,
        (false, false) => Denoiser::Learned,
    };
    let trained = if args.exact {
        None
    } else {
        Some(train(&mut lab, args, preset)?)
    };
    let drawn = draw(&mut lab, args, preset, denoiser, &stage)?;
    let errors = if args.exact {
        None
    } else {
        Some(compare(&mut lab, denoiser)?)
    };
    let likelihood = match args.likelihood_steps {
        0 => None,
        steps => Some(likelihood(&mut lab, denoiser, steps, &stage)?),
    };
    if let Some(folder) = &args.out {
        let field = field(&mut lab, denoiser, &stage)?;
        let views = (&*field, errors.as_deref(), likelihood.as_deref());
        write_pictures(folder, &stage, &drawn, views)?;
    }
    if args.json {
        let document = json!({
            "adapter": gpu.info.name,
            "distribution": stage.source.title(),
            "note": stage.source.note(),
            "preset": preset.name,
            "seed": args.seed,
            "denoiser": if args.exact { "exact" } else if args.raw_weights { "raw" } else { "averaged" },
            "training": trained.as_ref().map(|t| json!({
                "parameters": t.parameters,
                "steps": t.steps,
                "seconds": t.seconds,
                "loss": t.loss,
                "stopped_by_user": t.stopped,
            })),
            "samplers": drawn.iter().map(sampler_json).collect::<Vec<_>>(),
            "relative_error": errors.as_ref().map(|e| json!({
                "pooled": e.pooled,
                "by_t": e.by_t.iter().map(|(t, e)| json!([t, e])).collect::<Vec<_>>(),
            })),
            "likelihood": likelihood.as_ref().map(|l| json!({
                "unit": "nats a point",
                "nll": l.nll,
                "true_nll": l.true_nll,
                "steps": l.request.steps,
            })),
        });
        print_json(&document)?;
    } else {
        let views = (errors.as_deref(), likelihood.as_deref());
        print(&table(args, &stage, trained.as_ref(), &drawn, views))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn distribution(args: &Lab2dArgs) -> Result<Distribution, CliError> {
    if let Some(text) = &args.text {
        return Ok(Distribution::Text(text.clone()));
    }
    let Some(path) = &args.csv else {
        return Ok(Distribution::BuiltIn(args.distribution.clone()));
    };
    let bytes = std::fs::read(path)
        .map_err(|e| CliError::Usage(format!("{} cannot be read ({e}).", path.display())))?;
    let (points, note) = points::csv::parse(&bytes).map_err(Error::from)?;
    if let Some(note) = note {
        line(&note);
    }
    let name = path.file_stem().unwrap_or(path.as_os_str());
    Ok(Distribution::Own {
        name: name.to_string_lossy().into_owned(),
        points: points.into(),
    })
}

/// The session, driven to an answer.
struct Lab {
    session: Session,
    /// Events that came with the last answer.
    events: VecDeque<Event>,
}

impl Lab {
    fn new(gpu: &Arc<Gpu>) -> Self {
        let mut session = Session::new(gpu);
        // Nobody looks at a frame: submissions may be long.
        session.handle(Command::Hidden(true));
        Self {
            session,
            events: VecDeque::new(),
        }
    }

    fn send(&mut self, command: LabCommand) {
        self.session.handle(Command::Lab(command));
    }

    /// Goes on until an event is what is looked for.
    fn until<T>(&mut self, mut look: impl FnMut(&LabEvent) -> Option<T>) -> Result<T, CliError> {
        loop {
            while let Some(event) = self.events.pop_front() {
                match event {
                    Event::Lab(event) => {
                        if let Some(found) = look(&event) {
                            return Ok(found);
                        }
                    }
                    Event::Failed { message, .. } | Event::DeviceLost { message } => {
                        return Err(CliError::Usage(message));
                    }
                    _ => {}
                }
            }
            let pumped = self.session.pump();
            self.events.extend(self.session.take_events());
            match pumped {
                Pumped::Waiting => self.session.wait(),
                Pumped::Busy => {}
                Pumped::Idle if !self.events.is_empty() => {}
                Pumped::Idle => {
                    return Err(CliError::Usage(
                        "the lab has nothing more to do and has not answered; please report it."
                            .into(),
                    ));
                }
            }
        }
    }
}

fn train(lab: &mut Lab, args: &Lab2dArgs, preset: &Preset) -> Result<Trained, CliError> {
    let spec = (preset.train)();
    let mut network = spec.network;
    network.width = args.width.unwrap_or(network.width);
    network.blocks = args.blocks.unwrap_or(network.blocks);
    let steps = args.steps.map(|n| n as u64);
    let stop = StopAt {
        steps,
        seconds: match steps {
            Some(_) => None,
            None => args.seconds.or(spec.stop.seconds),
        },
        loss: None,
    };
    let spec = LabTrainSpec {
        network,
        batch: args.batch.unwrap_or(spec.batch),
        lr: args.lr.unwrap_or(spec.lr),
        seed: args.seed,
        stop,
        merit_every: 0,
        ..spec
    };
    let interrupted = interruption();
    let total = steps.unwrap_or_else(|| (1000.0 * stop.seconds.unwrap_or(1.0)) as u64);
    let mut progress = None;
    let mut trained = Trained::default();
    let mut losses = Vec::new();
    lab.send(LabCommand::Train(LabTrain::Start(Box::new(spec))));
    let pause = Arc::clone(&interrupted);
    loop {
        // A pause is asked for between events, so an answer is looked for in small portions.
        let asked = pause.load(Ordering::Relaxed) && !trained.stopped;
        if asked {
            trained.stopped = true;
            lab.send(LabCommand::Train(LabTrain::Pause));
        }
        let finished = lab.until(|event| {
            let LabEvent::Train(event) = event else {
                return None;
            };
            match event {
                LabTrainEvent::Opened { parameters, .. } => {
                    trained.parameters = *parameters;
                    None
                }
                LabTrainEvent::Step(report, figures) => {
                    trained.steps = report.step;
                    trained.seconds = figures.seconds;
                    losses.push(report.loss);
                    let done = match steps {
                        Some(_) => report.step,
                        None => (1000.0 * figures.seconds) as u64,
                    };
                    progress
                        .get_or_insert_with(|| Progress::new("training", total))
                        .set(done.min(total), || {
                            format!("step {}  loss {:.4}", report.step, report.loss)
                        });
                    Some(false)
                }
                LabTrainEvent::Status(TrainStatus::Paused(_)) => Some(true),
                _ => None,
            }
        })?;
        if finished {
            break;
        }
    }
    let last = &losses[losses.len() - losses.len().div_ceil(10)..];
    trained.loss = last.iter().sum::<f32>() / last.len().max(1) as f32;
    Ok(trained)
}

/// True after Ctrl-C; a second one ends the program.
fn interruption() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let heard = ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        line("stopping the training, then measuring what is there; Ctrl-C again ends at once");
    });
    if let Err(e) = heard {
        tracing::warn!("Ctrl-C will end the program without a result ({e})");
    }
    flag
}

fn draw(
    lab: &mut Lab,
    args: &Lab2dArgs,
    preset: &Preset,
    denoiser: Denoiser,
    stage: &Stage,
) -> Result<Vec<Drawn>, CliError> {
    let names = if args.samplers.is_empty() {
        vec![preset.sampler.to_owned()]
    } else {
        args.samplers.clone()
    };
    let steps = args.sampler_steps.unwrap_or(preset.steps);
    let runs: Vec<LabRun> = (names.into_iter())
        .map(|sampler| LabRun {
            sampler,
            steps: steps.min(stage.timesteps()),
            eta: args.eta,
            denoiser,
        })
        .collect();
    lab.send(LabCommand::Reverse(LabReverse {
        seed: args.seed,
        count: args.count,
        runs: runs.clone(),
    }));
    let mut drawn = Vec::new();
    let mut progress = Progress::new("sampling", (runs.len() * 64) as u64);
    while drawn.len() < runs.len() {
        let done = lab.until(|event| match event {
            LabEvent::Reverse(LabReverseEvent::Progress { run, frames, .. }) => {
                progress.set((run * 64 + frames) as u64, || runs[*run].sampler.clone());
                None
            }
            LabEvent::Reverse(LabReverseEvent::Done {
                run,
                samples,
                merit,
                evaluations,
                seconds,
                ..
            }) => Some(Drawn {
                run: runs[*run].clone(),
                samples: Arc::clone(samples),
                merit: merit.clone(),
                evaluations: *evaluations,
                seconds: *seconds,
            }),
            _ => None,
        })?;
        drawn.push(done);
    }
    Ok(drawn)
}

fn compare(lab: &mut Lab, denoiser: Denoiser) -> Result<Arc<ErrorsView>, CliError> {
    lab.send(LabCommand::Errors(ErrorsRequest {
        times: TIMES,
        side: MAP,
        denoiser,
    }));
    lab.until(|event| match event {
        LabEvent::Errors(view) => Some(Arc::clone(view)),
        _ => None,
    })
}

fn likelihood(
    lab: &mut Lab,
    denoiser: Denoiser,
    steps: usize,
    stage: &Stage,
) -> Result<Arc<LikelihoodView>, CliError> {
    lab.send(LabCommand::Likelihood(LikelihoodRequest {
        side: DENSITY,
        steps: steps.clamp(2, stage.timesteps()),
        denoiser,
    }));
    lab.until(|event| match event {
        LabEvent::Likelihood(view) => Some(Arc::clone(view)),
        _ => None,
    })
}

fn field(lab: &mut Lab, denoiser: Denoiser, stage: &Stage) -> Result<Arc<FieldView>, CliError> {
    lab.send(LabCommand::Field(FieldRequest {
        t: (stage.timesteps() / 5).max(1),
        side: ARROWS,
        denoiser,
    }));
    lab.until(|event| match event {
        LabEvent::Field(view) => Some(Arc::clone(view)),
        _ => None,
    })
}

fn sampler_json(drawn: &Drawn) -> Value {
    let m = &drawn.merit;
    json!({
        "sampler": drawn.run.sampler,
        "steps": drawn.run.steps,
        "evaluations": drawn.evaluations,
        "seconds": drawn.seconds,
        "samples": drawn.samples.len(),
        "compared": m.samples,
        "sliced_wasserstein": m.sliced_wasserstein,
        "sliced_wasserstein_floor": m.sliced_wasserstein_floor,
        "energy_distance": m.energy,
        "energy_distance_floor": m.energy_floor,
        "modes": m.modes.iter().map(|(found, truth)| json!({
            "share": found,
            "true_share": truth,
        })).collect::<Vec<_>>(),
        "astray": m.astray,
    })
}

fn table(
    args: &Lab2dArgs,
    stage: &Stage,
    trained: Option<&Trained>,
    drawn: &[Drawn],
    (errors, likelihood): (Option<&ErrorsView>, Option<&LikelihoodView>),
) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match trained {
        Some(t) => writeln!(
            out,
            "{}, preset {}: {} parameters trained for {} steps in {:.1} s, loss {:.4}\n",
            stage.source.title(),
            args.preset,
            t.parameters,
            t.steps,
            t.seconds,
            t.loss
        ),
        None => writeln!(
            out,
            "{}, preset {}: the exact denoiser\n",
            stage.source.title(),
            args.preset
        ),
    };
    let _ = writeln!(
        out,
        "  sampler     steps   seconds   sliced Wasserstein (floor)   energy distance (floor)   astray"
    );
    for d in drawn {
        let m = &d.merit;
        let _ = writeln!(
            out,
            "  {:<10}{:>7}{:>10.2}{:>21.4} ({:.4}){:>19.5} ({:.5}){:>8.1}%",
            d.run.sampler,
            d.run.steps,
            d.seconds,
            m.sliced_wasserstein,
            m.sliced_wasserstein_floor,
            m.energy,
            m.energy_floor,
            100.0 * m.astray
        );
    }
    for d in drawn.iter().filter(|d| !d.merit.modes.is_empty()) {
        let shares: Vec<String> = (d.merit.modes.iter())
            .map(|(found, truth)| format!("{:.1} ({:.1})", 100.0 * found, 100.0 * truth))
            .collect();
        let _ = writeln!(
            out,
            "\n  {}: per cent of the samples at each mode (truth)\n    {}",
            d.run.sampler,
            shares.join("  ")
        );
    }
    if let Some(e) = errors {
        let _ = writeln!(
            out,
            "\n  relative error of the learned field, pooled over t: {:.4}",
            e.pooled
        );
        let some: Vec<String> = (e.by_t.iter().step_by(4))
            .map(|(t, e)| format!("t = {t}: {e:.3}"))
            .collect();
        let _ = writeln!(out, "    {}", some.join("  "));
    }
    if let Some(l) = likelihood {
        let truth = (l.true_nll).map_or_else(String::new, |t| format!(" (true density: {t:.3})"));
        let _ = writeln!(
            out,
            "\n  negative log-likelihood of held-out points: {:.3} nats{truth}",
            l.nll
        );
    }
    if let Some(folder) = &args.out {
        let _ = writeln!(out, "\n  pictures: {}", folder.display());
    }
    out
}

fn write_pictures(
    folder: &Path,
    stage: &Stage,
    drawn: &[Drawn],
    (field, errors, likelihood): (&FieldView, Option<&ErrorsView>, Option<&LikelihoodView>),
) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|e| {
        CliError::Usage(format!(
            "the folder {} cannot be made ({e}).",
            folder.display()
        ))
    })?;
    let write = |name: &str, canvas: &Canvas| -> Result<(), FilesError> {
        canvas.write(&folder.join(name))
    };
    let mut strip = Canvas::row(8, SIDE / 2);
    for k in 0..8 {
        let t = k * stage.timesteps() / 7;
        let points = if t == 0 {
            stage.held_out(2, 20_000)
        } else {
            stage.noisy(t, 20_000)
        };
        strip.points(k, &points);
    }
    write("forward.png", &strip)?;
    for d in drawn {
        let mut canvas = Canvas::row(2, SIDE);
        canvas.points(0, &d.samples);
        canvas.points(1, &stage.held_out(0, d.samples.len()));
        write(&format!("samples-{}.png", d.run.sampler), &canvas)?;
    }
    let mut canvas = Canvas::row(1 + usize::from(field.learned.is_some()), SIDE);
    canvas.heat(0, &field.density, None);
    canvas.arrows(0, &field.exact);
    if let Some(learned) = &field.learned {
        canvas.heat(1, &field.density, None);
        canvas.arrows(1, learned);
    }
    write("field.png", &canvas)?;
    if let Some(errors) = errors {
        let shown: Vec<_> = errors.maps.iter().step_by(TIMES / 8).collect();
        let mut canvas = Canvas::row(shown.len(), SIDE / 2);
        for (k, map) in shown.iter().enumerate() {
            canvas.heat(k, map, Some(1.0));
        }
        write("differences.png", &canvas)?;
    }
    if let Some(likelihood) = likelihood {
        let mut canvas = Canvas::row(2, SIDE);
        let truth = picture::density_of(stage.source.mixture(), likelihood.density.side);
        let peak = truth.values.iter().copied().fold(0.0, f32::max);
        canvas.heat(0, &likelihood.density, Some(peak));
        canvas.heat(1, &truth, Some(peak));
        write("density.png", &canvas)?;
    }
    Ok(())
}

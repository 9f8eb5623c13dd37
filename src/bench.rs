//! Measurements of this machine: training and sampling speed of named networks, memory, and where the
//! time goes, kernel by kernel.

#[cfg(not(target_arch = "wasm32"))]
use std::collections::BTreeMap;
use std::{sync::Arc, time::Duration};

use web_time::Instant;

#[cfg(not(target_arch = "wasm32"))]
use crate::nn::{Plan, plan::Cursor};
use crate::{
    Result,
    data::{Dataset, Images},
    diffusion::{SchedulerConfig, loss_weight::LossType},
    gpu::Gpu,
    nn::{
        init,
        lr_schedule::{LearningRate, LearningRateDecay},
        model::ParamSet,
        network::Network,
        optimizer::AdamConfig,
        plan::Variants,
        unet,
        unet_config::{BlockKind, UNetConfig},
    },
    rng::{self, Draw},
    session::{
        config::{TrainConfig, preset},
        sampling::{Predictor, SampleRequest, SampleRun, Watch},
        trainer::{Start, Trainer},
    },
};

/// A network to measure.
#[derive(Debug)]
pub struct BenchModel {
    /// Its name on the command line.
    pub name: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// Images a step unless said otherwise.
    pub batch: usize,
    unet: fn() -> UNetConfig,
}

impl BenchModel {
    /// The network.
    pub fn unet(&self) -> UNetConfig {
        (self.unet)()
    }

    /// How it is trained here: ε objective, L_simple, Adam, a clipped gradient, a moving average.
    pub fn train_config(&self, batch: usize, checkpoint_activations: bool) -> TrainConfig {
        TrainConfig {
            dataset: "noise".into(),
            unet: self.unet(),
            scheduler: SchedulerConfig::default(),
            batch,
            accumulate: 1,
            lr: LearningRate {
                base: 2e-4,
                warmup_steps: 0,
                decay: LearningRateDecay::Constant,
            },
            adam: AdamConfig::default(),
            clip_norm: 1.0,
            ema_decay: 0.999,
            flip: 0.0,
            loss: LossType::Simple,
            checkpoint_activations,
            seed: 0,
        }
    }
}

/// Every network to measure.
pub static MODELS: &[BenchModel] = &[
    BenchModel {
        name: "mnist32",
        summary: "32x32 grey, 3 levels of 32, 64 and 64 channels with attention at 16x16",
        batch: 32,
        unet: mnist32,
    },
    BenchModel {
        name: "cifar",
        summary: "google/ddpm-cifar10-32: 32x32 colour, 4 levels of 128 to 256 channels",
        batch: 8,
        unet: || from_preset("cifar", 32, 3),
    },
    BenchModel {
        name: "digits",
        summary: "the network of `train --preset digits`, 28x28 grey",
        batch: 32,
        unet: || from_preset("digits", 28, 1),
    },
    BenchModel {
        name: "tiny",
        summary: "the network of `train --preset tiny`, 28x28 grey",
        batch: 16,
        unet: || from_preset("tiny", 28, 1),
    },
];

/// The network of that name.
pub fn model(name: &str) -> Option<&'static BenchModel> {
    MODELS.iter().find(|m| m.name == name)
}

fn mnist32() -> UNetConfig {
    use BlockKind::{Attention, Plain};
    UNetConfig {
        sample_size: 32,
        in_channels: 1,
        out_channels: 1,
        block_out_channels: vec![32, 64, 64],
        layers_per_block: 1,
        norm_num_groups: 8,
        down_block_types: vec![Plain, Attention, Plain],
        up_block_types: vec![Plain, Attention, Plain],
        ..UNetConfig::default()
    }
}

/// A preset's network, without dropout as the published configurations have it.
fn from_preset(name: &str, side: usize, channels: usize) -> UNetConfig {
    preset(name).map_or_else(UNetConfig::default, |p| UNetConfig {
        dropout: 0.0,
        ..(p.make)(side, channels).unet
    })
}

/// How to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchOptions {
    /// Images a step.
    pub batch: usize,
    /// Seconds to measure training, and again to measure sampling, after the warm-up.
    pub seconds: f64,
    /// Train with activation checkpointing.
    pub checkpoint_activations: bool,
    /// Also time each kernel by itself.
    pub profile: bool,
}

/// What was measured.
#[derive(Debug, Clone, serde::Serialize)]
pub struct BenchReport {
    /// Name of the network.
    pub model: String,
    /// Images a step.
    pub batch: usize,
    /// Whether activations were checkpointed.
    pub checkpoint_activations: bool,
    /// The adapter's name.
    pub adapter: String,
    /// Its backend.
    pub backend: String,
    /// Its driver.
    pub driver: String,
    /// The kernel variants in words.
    pub variants: String,
    /// Parameters of the network.
    pub parameters: usize,
    /// Images trained a second: batch / median time of a step.
    pub train_images_per_s: f64,
    /// Images sampled a second with one step each: batch / median time of a network evaluation with
    /// its sampler step.
    pub sample_images_per_s: f64,
    /// Median seconds of a training step.
    pub train_step_s: f64,
    /// Median seconds of a sampling step.
    pub sample_step_s: f64,
    /// Training steps measured.
    pub train_steps: usize,
    /// Sampling steps measured.
    pub sample_steps: usize,
    /// Seconds from the start of the set-up to the figures of the first step.
    pub first_step_s: f64,
    /// The same without the time of a step: set-up and compilation.
    pub setup_s: f64,
    /// Most bytes allocated on the device while training: weights, moments, arena, readback.
    pub peak_bytes: u64,
    /// Bytes of the arena of activations and gradients.
    pub arena_bytes: u64,
    /// Dispatches of a training step.
    pub dispatches: usize,
    /// Submissions of a training step, on average; fewer and larger ones on faster devices.
    pub submissions: f64,
    /// Host seconds to write the inputs of a training step and encode it, on average.
    pub encode_s: f64,
    /// Operations of a training step, those of direct convolution.
    pub train_flops: u64,
    /// Operations of a sampling step.
    pub sample_flops: u64,
    /// Training: operations / median time of a step, in units of 10⁹.
    pub train_gflops: f64,
    /// Sampling: the same.
    pub sample_gflops: f64,
    /// The kernels of a training step, slowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// Where the time of a training step goes. Each dispatch is submitted and waited for by itself, which
/// takes time of its own ([`Profile::floor_s`]).
#[derive(Debug, Clone, serde::Serialize)]
pub struct Profile {
    /// Kernels, slowest first.
    pub kernels: Vec<ProfileLine>,
    /// Layers with their kernel, slowest first.
    pub layers: Vec<ProfileLine>,
    /// Sum of all.
    pub total_s: f64,
    /// Seconds of the quickest dispatch: about what submitting and waiting take.
    pub floor_s: f64,
}

/// A line of a profile.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ProfileLine {
    /// Kernel, or layer and kernel.
    pub name: String,
    /// Dispatches.
    pub count: usize,
    /// Seconds of all of them together.
    pub seconds: f64,
    /// Share of the whole.
    pub share: f64,
    /// Their operations / seconds, in units of 10⁹.
    pub gflops: f64,
}

/// Measures. `status` hears what is going on. Native only.
///
/// # Errors
/// A device that fails or is too small.
#[cfg(not(target_arch = "wasm32"))]
pub fn run(
    gpu: &Arc<Gpu>,
    model: &BenchModel,
    options: &BenchOptions,
    status: &mut dyn FnMut(&str),
) -> Result<BenchReport> {
    let mut bench = Bench::begin(gpu, model, *options)?;
    loop {
        status(bench.status());
        if let Some(report) = bench.pump(status)? {
            return Ok(report);
        }
        bench.wait();
    }
}

/// A measurement under way.
#[derive(Debug)]
pub struct Bench {
    gpu: Arc<Gpu>,
    model: &'static str,
    options: BenchOptions,
    config: TrainConfig,
    stage: Stage,
    status: String,
}

#[derive(Debug)]
enum Stage {
    Compiling(Box<Trainer>),
    Training {
        trainer: Box<Trainer>,
        steps: Marks,
        /// Encode time, submissions and steps at the end of the warm-up.
        warm: (Duration, u64, u64),
    },
    /// Until the steps under way are done.
    Settling {
        trainer: Box<Trainer>,
        stop: u64,
        report: Box<BenchReport>,
    },
    Sampling {
        run: Box<SampleRun>,
        /// The run has no hold on them.
        weights: ParamSet,
        compiled: bool,
        warm: bool,
        steps: Marks,
        report: Box<BenchReport>,
    },
    Done,
}

impl Bench {
    /// Time at once for compiling.
    const COMPILE: Duration = Duration::from_millis(30);
    /// The first step compiles; the second lets the pacer learn the device's speed.
    const TRAIN_WARM_UP: u64 = 2;
    /// The same when sampling.
    const SAMPLE_WARM_UP: u64 = 3;

    /// Sets it up.
    ///
    /// # Errors
    /// A device that is too small.
    pub fn begin(gpu: &Arc<Gpu>, model: &BenchModel, options: BenchOptions) -> Result<Self> {
        let config = model.train_config(options.batch, options.checkpoint_activations);
        let dataset = Arc::new(synthetic(&config)?);
        let trainer = Trainer::begin(gpu, config.clone(), dataset, &Start::Random)?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            model: model.name,
            options,
            config,
            stage: Stage::Compiling(Box::new(trainer)),
            status: "setting up and compiling".into(),
        })
    }

    /// What is going on, in a few words.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// Goes on, for as long as there is room for submissions, without waiting; the figures once they are there.
    /// `status` hears of a profile, which is the only thing that waits.
    ///
    /// # Errors
    /// A device that fails or is too small.
    pub fn pump(&mut self, status: &mut dyn FnMut(&str)) -> Result<Option<BenchReport>> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Compiling(mut trainer) => {
                let (done, of) = trainer.warm(Self::COMPILE)?;
                self.status = format!("compiling: {done} of {of}");
                if done < of {
                    Stage::Compiling(trainer)
                } else {
                    self.status = "training: warm-up".into();
                    Stage::Training {
                        trainer,
                        steps: Marks::new(self.options.seconds),
                        warm: (Duration::ZERO, 0, 0),
                    }
                }
            }
            Stage::Training {
                mut trainer,
                mut steps,
                mut warm,
            } => {
                for report in trainer.pump(u64::MAX)? {
                    if report.step == Self::TRAIN_WARM_UP {
                        warm = (trainer.encode_time(), trainer.submissions(), trainer.step());
                        steps.start_at(Self::TRAIN_WARM_UP);
                    } else if report.step > Self::TRAIN_WARM_UP {
                        steps.mark(report.step);
                        self.status = format!("training: step {}", report.step);
                    }
                }
                if steps.goes_on() {
                    Stage::Training {
                        trainer,
                        steps,
                        warm,
                    }
                } else {
                    Stage::Settling {
                        stop: trainer.step() + 1,
                        report: Box::new(self.report(&trainer, &steps, warm)),
                        trainer,
                    }
                }
            }
            Stage::Settling {
                mut trainer,
                stop,
                mut report,
            } => {
                if trainer.is_settled() && trainer.step() >= stop {
                    let first = trainer.first_step().unwrap_or_default().as_secs_f64();
                    report.first_step_s = first;
                    report.setup_s = (first - report.train_step_s).max(0.0);
                    report.profile = self.profile(&trainer, status);
                    self.gpu.check()?;
                    drop(trainer);
                    self.begin_sampling(report)?
                } else {
                    trainer.pump(stop)?;
                    Stage::Settling {
                        trainer,
                        stop,
                        report,
                    }
                }
            }
            Stage::Sampling {
                mut run,
                weights,
                mut compiled,
                mut warm,
                mut steps,
                mut report,
            } => {
                if compiled {
                    run.pump()?;
                    let done = run.progress().0 as u64;
                    if warm {
                        steps.mark(done);
                    } else if done >= Self::SAMPLE_WARM_UP {
                        warm = true;
                        steps.start_at(done);
                    }
                    self.status = format!("sampling: step {done}");
                } else {
                    let (done, of) = run.warm(Self::COMPILE)?;
                    compiled = done == of;
                }
                if compiled && !steps.goes_on() {
                    self.gpu.check()?;
                    report.sample_step_s = steps.median();
                    report.sample_steps = steps.count();
                    report.sample_images_per_s = self.options.batch as f64 / report.sample_step_s;
                    report.sample_flops = run.plan().flops();
                    report.sample_gflops = report.sample_flops as f64 / report.sample_step_s / 1e9;
                    return Ok(Some(*report));
                }
                Stage::Sampling {
                    run,
                    weights,
                    compiled,
                    warm,
                    steps,
                    report,
                }
            }
            Stage::Done => Stage::Done,
        };
        Ok(None)
    }

    /// Waits for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        match &mut self.stage {
            Stage::Training { trainer, .. } | Stage::Settling { trainer, .. } => trainer.wait(),
            Stage::Sampling {
                run,
                compiled: true,
                ..
            } => run.wait(),
            Stage::Compiling(_) | Stage::Sampling { .. } | Stage::Done => {}
        }
    }

    fn report(&self, trainer: &Trainer, steps: &Marks, warm: (Duration, u64, u64)) -> BenchReport {
        let (gpu, options) = (&self.gpu, &self.options);
        // Of encoded steps, as these run ahead of the finished ones.
        let encoded = (trainer.step() - warm.2).max(1) as f64;
        let encode_s = (trainer.encode_time() - warm.0).as_secs_f64() / encoded;
        let submissions = (trainer.submissions() - warm.1) as f64 / encoded;
        let train_step_s = steps.median();
        let (micro, update) = trainer.plans();
        let train_flops = micro.flops() + update.flops();
        BenchReport {
            model: self.model.into(),
            batch: options.batch,
            checkpoint_activations: options.checkpoint_activations,
            adapter: gpu.info.name.clone(),
            backend: gpu.info.backend.to_string(),
            driver: format!("{} {}", gpu.info.driver, gpu.info.driver_info),
            variants: trainer.variants().to_string(),
            parameters: trainer.params().iter().map(|p| p.file_len()).sum(),
            train_images_per_s: options.batch as f64 / train_step_s,
            sample_images_per_s: 0.0,
            train_step_s,
            sample_step_s: 0.0,
            train_steps: steps.count(),
            sample_steps: 0,
            first_step_s: 0.0,
            setup_s: 0.0,
            peak_bytes: gpu.peak_bytes(),
            arena_bytes: micro.arena_bytes() + update.arena_bytes(),
            dispatches: micro.len() + update.len(),
            submissions,
            encode_s,
            train_flops,
            sample_flops: 0,
            train_gflops: train_flops as f64 / train_step_s / 1e9,
            sample_gflops: 0.0,
            profile: None,
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn profile(&self, trainer: &Trainer, status: &mut dyn FnMut(&str)) -> Option<Profile> {
        self.options.profile.then(|| {
            let (micro, update) = trainer.plans();
            let mut all = time_dispatches(&self.gpu, micro, "forward and backward", status);
            all.extend(time_dispatches(&self.gpu, update, "update", status));
            summarise(&all)
        })
    }

    /// It would have to wait.
    #[cfg(target_arch = "wasm32")]
    fn profile(&self, _trainer: &Trainer, _status: &mut dyn FnMut(&str)) -> Option<Profile> {
        None
    }

    fn begin_sampling(&mut self, report: Box<BenchReport>) -> Result<Stage> {
        self.status = "sampling: warm-up".into();
        let (gpu, config) = (&self.gpu, &self.config);
        let timesteps = config.scheduler.num_train_timesteps;
        let graph = unet::build(&config.unet, 1, timesteps, false)?.graph;
        let params = graph.params();
        let weights = ParamSet::zeros(gpu, "weights", params)?;
        weights.write(gpu, params, &init::weights(params, 0));
        let request = SampleRequest {
            // More than there will be time for.
            count: self.options.batch * 1_000_000,
            sampler: "ddpm".into(),
            steps: timesteps,
            eta: 0.0,
            seed: 0,
            batch: self.options.batch,
        };
        let network = Network::from(&config.unet);
        let run = SampleRun::begin(
            gpu,
            Predictor::Network(&network, &weights),
            &config.scheduler,
            request,
            Watch::Nothing,
        )?;
        Ok(Stage::Sampling {
            run: Box::new(run),
            weights,
            compiled: false,
            warm: false,
            steps: Marks::new(self.options.seconds),
            report,
        })
    }
}

/// Images of uniform noise to train on.
///
/// # Errors
/// A network of neither 1 nor 3 channels.
pub fn synthetic(config: &TrainConfig) -> Result<Dataset> {
    let (side, channels) = (config.unet.sample_size, config.unet.in_channels);
    let count = config.batch.max(64);
    let mut values = vec![0.0; count * side * side * channels];
    rng::fill_uniform(
        Draw {
            seed: 0,
            stream: 0,
            step: 0,
            sample: 0,
        },
        &mut values,
    );
    let pixels: Vec<u8> = values.iter().map(|v| (255.0 * v) as u8).collect();
    let images = Images::new(side, side, channels, pixels, None)?;
    let test = images.first(1);
    Ok(Dataset::new("noise".into(), images, test, Vec::new()))
}

/// Times at which a counter of steps was seen to go on, and what follows from them.
#[derive(Debug)]
struct Marks {
    seconds: f64,
    begun: Option<Instant>,
    last: (Option<Instant>, u64),
    /// Seconds a step over short stretches, and the stretch's steps.
    stretches: Vec<(f64, u64)>,
}

impl Marks {
    const fn new(seconds: f64) -> Self {
        Self {
            seconds,
            begun: None,
            last: (None, 0),
            stretches: Vec::new(),
        }
    }

    fn start_at(&mut self, step: u64) {
        let now = Instant::now();
        self.begun = Some(now);
        self.last = (Some(now), step);
    }

    /// Whether there is time left, or too little has been seen.
    fn goes_on(&self) -> bool {
        self.begun
            .is_none_or(|t| t.elapsed().as_secs_f64() < self.seconds || self.stretches.len() < 3)
    }

    fn mark(&mut self, step: u64) {
        let (Some(then), before) = self.last else {
            return;
        };
        let elapsed = then.elapsed().as_secs_f64();
        // Steps much shorter than this are seen several at a time.
        if step > before && elapsed >= self.seconds / 40.0 {
            let steps = step - before;
            self.stretches.push((elapsed / steps as f64, steps));
            self.last = (Some(Instant::now()), step);
        }
    }

    fn count(&self) -> usize {
        self.stretches.iter().map(|s| s.1 as usize).sum()
    }

    fn median(&self) -> f64 {
        median(self.stretches.iter().map(|s| s.0).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}

/// Times a plan is run for a profile.
#[cfg(not(target_arch = "wasm32"))]
const PROFILE_RUNS: usize = 3;

#[cfg(not(target_arch = "wasm32"))]
struct Timed {
    kernel: String,
    layer: String,
    seconds: f64,
    flops: u64,
}

#[cfg(not(target_arch = "wasm32"))]
fn time_dispatches(gpu: &Gpu, plan: &Plan, what: &str, status: &mut dyn FnMut(&str)) -> Vec<Timed> {
    let mut times = vec![Vec::with_capacity(PROFILE_RUNS); plan.len()];
    for run in 0..PROFILE_RUNS {
        let mut cursor = Cursor::default();
        for (i, slot) in times.iter_mut().enumerate() {
            status(&format!(
                "profile of {what}, run {} of {PROFILE_RUNS}: {i} of {}",
                run + 1,
                plan.len()
            ));
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            plan.encode_one(&mut encoder, &mut cursor);
            let commands = encoder.finish();
            let begun = Instant::now();
            gpu.submit(commands, || {});
            gpu.wait();
            slot.push(begun.elapsed().as_secs_f64());
        }
    }
    plan.dispatches()
        .iter()
        .zip(times)
        .map(|(d, times)| Timed {
            kernel: d.kernel.to_string(),
            layer: d.label.to_string(),
            seconds: median(times),
            flops: d.flops,
        })
        .collect()
}

#[cfg(not(target_arch = "wasm32"))]
fn summarise(all: &[Timed]) -> Profile {
    let total_s: f64 = all.iter().map(|t| t.seconds).sum();
    let by = |key: &dyn Fn(&Timed) -> String| {
        let mut groups: BTreeMap<String, (usize, f64, u64)> = BTreeMap::new();
        for timed in all {
            let group = groups.entry(key(timed)).or_default();
            group.0 += 1;
            group.1 += timed.seconds;
            group.2 += timed.flops;
        }
        let mut lines: Vec<ProfileLine> = groups
            .into_iter()
            .map(|(name, (count, seconds, flops))| ProfileLine {
                name,
                count,
                seconds,
                share: seconds / total_s,
                gflops: flops as f64 / seconds / 1e9,
            })
            .collect();
        lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        lines
    };
    Profile {
        kernels: by(&|t| t.kernel.clone()),
        layers: by(&|t| format!("{}: {}", t.layer, t.kernel)),
        total_s,
        floor_s: all.iter().map(|t| t.seconds).fold(f64::INFINITY, f64::min),
    }
}

/// The kernel variants that this device gets, in words, and all that it can run.
pub fn variants(gpu: &Gpu) -> (String, Vec<String>) {
    let all = Variants::all(gpu);
    (
        Variants::choose(gpu).to_string(),
        all.iter().map(ToString::to_string).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn the_models_are_those_of_the_peers() {
        for model in MODELS {
            model.unet().validate().expect(model.name);
        }
        // Counted in PyTorch.
        let count = |name| model(name).expect(name).unet().param_count();
        assert_eq!(count("cifar"), 35_746_307);
        assert_eq!(count("mnist32"), 1_112_801);
    }

    #[test]
    fn a_profile_adds_up() {
        let timed = |kernel: &str, seconds, flops| Timed {
            kernel: kernel.into(),
            layer: "l".into(),
            seconds,
            flops,
        };
        let profile = summarise(&[
            timed("a", 1.0, 1_000_000_000),
            timed("b", 3.0, 0),
            timed("a", 1.0, 3_000_000_000),
        ]);
        assert_eq!((profile.total_s, profile.floor_s), (5.0, 1.0));
        let names: Vec<&str> = profile.kernels.iter().map(|k| k.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(profile.kernels[1].count, 2);
        assert!((profile.kernels[1].share - 0.4).abs() < 1e-12);
        assert!((profile.kernels[1].gflops - 2.0).abs() < 1e-12);
    }
}

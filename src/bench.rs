//! Measurements of this machine: training and sampling speed of named networks, memory, and where the
//! time goes, kernel by kernel.

use std::{sync::Arc, time::Duration};

use web_time::Instant;

use crate::{
    Result,
    data::{Dataset, Images},
    diffusion::{SchedulerConfig, TimestepDistribution, loss_weight::LossType},
    gpu::{Gpu, timing::Clock},
    nn::{
        Plan, init,
        lr_schedule::{LearningRate, LearningRateDecay},
        model::ParamSet,
        network::Network,
        optimizer::AdamConfig,
        plan::Precision,
        plan::Variants,
        profile::{Profile, Profiler, Timed, median},
        roofline::{Roofline, RooflineJob},
        tuning::{Choices, Tuner, VariantTable},
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
    pub fn train_config(
        &self,
        batch: usize,
        checkpoint_activations: bool,
        precision: Precision,
    ) -> TrainConfig {
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
            ema_power: None,
            flip: 0.0,
            loss: LossType::Simple,
            draw: TimestepDistribution::Uniform,
            checkpoint_activations,
            precision,
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
    /// How feature maps are kept in training.
    pub precision: Precision,
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
    /// How feature maps were kept in training.
    pub precision: Precision,
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
    /// Seconds of choosing the kernel variants; next to nothing where they were remembered.
    pub choice_s: f64,
    /// Seconds from the start of the set-up, without the choice of variants, to the figures of the first step.
    pub first_step_s: f64,
    /// What the first step takes beyond a steady one: the choice of variants, set-up and compilation.
    pub setup_s: f64,
    /// Most bytes allocated on the device while training: weights, moments, arena, readback.
    pub peak_bytes: u64,
    /// Bytes of the arena of activations and gradients.
    pub arena_bytes: u64,
    /// Bytes beyond weights, gradients, Adam's moments and the moving average.
    pub beyond_parameters_bytes: u64,
    /// Dispatches of a training step.
    pub dispatches: usize,
    /// Submissions of a training step, on average; fewer and larger ones on faster devices.
    pub submissions: f64,
    /// Host seconds to write the inputs of a training step and encode it, on average.
    pub encode_s: f64,
    /// Their share of a step.
    pub encode_share: f64,
    /// Operations of a training step, those of direct convolution.
    pub train_flops: u64,
    /// Operations of a sampling step.
    pub sample_flops: u64,
    /// Operations of the products alone, convolutions, linear layers and attention, in a training step: the part that
    /// is useful in the sense of the shares below.
    pub train_product_flops: u64,
    /// Training: operations / median time of a step, in units of 10⁹.
    pub train_gflops: f64,
    /// Sampling: the same.
    pub sample_gflops: f64,
    /// Training: operations of the products a second / those of the device's best product. Measured with a profile only, like the next ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_product_share: Option<f64>,
    /// Sampling: the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_product_share: Option<f64>,
    /// The kernels of a training step, slowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The kernel variants by class, with what was measured.
    pub choices: Choices,
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
        if let Some(report) = bench.pump()? {
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
    roofline: Option<Roofline>,
    begun: Option<Instant>,
    choosing: Duration,
    /// Kernel variants were measured, and nobody has been told.
    tuned: bool,
}

#[derive(Debug)]
enum Stage {
    Roofline(Box<RooflineJob>),
    Choosing(Box<Tuner>),
    Compiling(Box<Trainer>),
    Training {
        trainer: Box<Trainer>,
        steps: Marks,
        /// Encode time, submissions and steps at the end of the warm-up.
        warm: (Duration, u64, u64),
        /// Steps of the warm-up.
        warm_up: u64,
    },
    /// Until the steps under way are done.
    Settling {
        trainer: Box<Trainer>,
        stop: u64,
        report: Box<BenchReport>,
    },
    /// The micro-batch's plan, then the update's.
    Profiling {
        trainer: Box<Trainer>,
        roofline: Roofline,
        profiler: Box<Profiler>,
        micro: Option<Vec<Timed>>,
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
    /// The first step compiles; the second lets the pacer learn the device's speed, where a step is not long.
    const TRAIN_WARM_UP: u64 = 2;
    /// The same when sampling.
    const SAMPLE_WARM_UP: u64 = 3;

    /// Sets it up.
    ///
    /// # Errors
    /// A device that is too small.
    pub fn begin(gpu: &Arc<Gpu>, model: &BenchModel, options: BenchOptions) -> Result<Self> {
        let config = model.train_config(
            options.batch,
            options.checkpoint_activations,
            options.precision,
        );
        let stage = if options.profile {
            Stage::Roofline(Box::new(RooflineJob::new(gpu)?))
        } else {
            Self::begin_choosing(gpu, &config)?
        };
        Ok(Self {
            gpu: Arc::clone(gpu),
            model: model.name,
            options,
            config,
            stage,
            status: "setting up".into(),
            roofline: None,
            begun: None,
            choosing: Duration::ZERO,
            tuned: false,
        })
    }

    fn begin_choosing(gpu: &Arc<Gpu>, config: &TrainConfig) -> Result<Stage> {
        let tuner = Tuner::for_network(gpu, &Network::from(&config.unet))?;
        Ok(Stage::Choosing(Box::new(tuner)))
    }

    /// Whether kernel variants were measured since the last call: they are worth keeping.
    pub const fn take_tuned(&mut self) -> bool {
        std::mem::replace(&mut self.tuned, false)
    }

    /// What is going on, in a few words.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// Goes on, for as long as there is room for submissions, without waiting; the figures once they are there.
    ///
    /// # Errors
    /// A device that fails or is too small.
    pub fn pump(&mut self) -> Result<Option<BenchReport>> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Roofline(mut job) => {
                self.status = "roofline: a matrix product and a copy".into();
                self.roofline = job.pump(Self::COMPILE)?;
                if self.roofline.is_none() {
                    Stage::Roofline(job)
                } else {
                    drop(job);
                    Self::begin_choosing(&self.gpu, &self.config)?
                }
            }
            Stage::Choosing(mut tuner) => {
                let begun = *self.begun.get_or_insert_with(Instant::now);
                let (done, of) = tuner.progress();
                self.status = format!("choosing kernel variants: {done} of {of}");
                if tuner.pump(Self::COMPILE)? {
                    drop(tuner);
                    self.tuned = of > 0;
                    self.choosing = begun.elapsed();
                    self.gpu.restart_peak();
                    let dataset = Arc::new(synthetic(&self.config)?);
                    let config = self.config.clone();
                    let trainer = Trainer::begin(&self.gpu, config, dataset, &Start::Random)?;
                    Stage::Compiling(Box::new(trainer))
                } else {
                    Stage::Choosing(tuner)
                }
            }
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
                        warm_up: Self::TRAIN_WARM_UP,
                    }
                }
            }
            Stage::Training {
                mut trainer,
                mut steps,
                mut warm,
                mut warm_up,
            } => {
                for report in trainer.pump(u64::MAX)? {
                    if trainer.first_step().is_some_and(|t| t > LONG) {
                        warm_up = warm_up.min(report.step);
                    }
                    if report.step == warm_up {
                        warm = (trainer.encode_time(), trainer.submissions(), trainer.step());
                        steps.start_at(warm_up);
                    } else if report.step > warm_up {
                        steps.mark(report.step);
                        self.status = format!("training: step {}", report.step);
                    }
                }
                if steps.goes_on() {
                    Stage::Training {
                        trainer,
                        steps,
                        warm,
                        warm_up,
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
                    report.setup_s = report.choice_s + (first - report.train_step_s).max(0.0);
                    self.gpu.check()?;
                    if let Some(roofline) = self.roofline.clone() {
                        Stage::Profiling {
                            trainer,
                            roofline,
                            profiler: Box::default(),
                            micro: None,
                            report,
                        }
                    } else {
                        drop(trainer);
                        self.begin_sampling(report)?
                    }
                } else {
                    trainer.pump(stop)?;
                    Stage::Settling {
                        trainer,
                        stop,
                        report,
                    }
                }
            }
            Stage::Profiling {
                trainer,
                roofline,
                mut profiler,
                mut micro,
                mut report,
            } => {
                let (first, second) = trainer.plans();
                let plan = if micro.is_none() { first } else { second };
                let times = profiler.pump(&self.gpu, plan)?;
                let (done, of) = profiler.progress(plan);
                self.status = format!("profile of a step: {done} of {of}");
                match (times, micro.take()) {
                    (Some(update), Some(mut all)) => {
                        all.extend(update);
                        let clock = Clock::of(&self.gpu);
                        report.profile = Some(Profile::new(&all, roofline, clock));
                        drop(trainer);
                        self.begin_sampling(report)?
                    }
                    (times, before) => {
                        if times.is_some() {
                            profiler = Box::default();
                        }
                        micro = times.or(before);
                        Stage::Profiling {
                            trainer,
                            roofline,
                            profiler,
                            micro,
                            report,
                        }
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
                    report.sample_product_share =
                        self.share(product_flops(run.plan()), report.sample_step_s);
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
            Stage::Roofline(_) | Stage::Choosing(_) | Stage::Profiling { .. } => self.gpu.wait(),
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
        let products = product_flops(micro);
        BenchReport {
            model: self.model.into(),
            batch: options.batch,
            checkpoint_activations: options.checkpoint_activations,
            precision: options.precision,
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
            choice_s: self.choosing.as_secs_f64(),
            first_step_s: 0.0,
            setup_s: 0.0,
            peak_bytes: gpu.peak_bytes(),
            arena_bytes: micro.arena_bytes() + update.arena_bytes(),
            beyond_parameters_bytes: gpu
                .peak_bytes()
                .saturating_sub(5 * trainer.sets().weights.bytes()),
            dispatches: micro.len() + update.len(),
            submissions,
            encode_s,
            encode_share: encode_s / train_step_s,
            train_flops,
            train_product_flops: products,
            sample_flops: 0,
            train_gflops: train_flops as f64 / train_step_s / 1e9,
            sample_gflops: 0.0,
            train_product_share: self.share(products, train_step_s),
            sample_product_share: None,
            profile: None,
            choices: Choices::of(gpu),
        }
    }

    /// Share of the best product's rate, where that was measured.
    fn share(&self, flops: u64, seconds: f64) -> Option<f64> {
        let roofline = self.roofline.as_ref()?;
        Some(flops as f64 / seconds / roofline.flops_per_s)
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

/// Operations of a plan's products: convolutions (those of direct convolution), linear layers and attention.
fn product_flops(plan: &Plan) -> u64 {
    let products = [
        "layers/conv",
        "layers/projections",
        "layers/winograd",
        "layers/attention",
    ];
    let is_product = |stem: &str| products.iter().any(|p| stem.starts_with(p));
    let dispatches = plan.dispatches().iter();
    let of_products = dispatches.filter(|d| is_product(d.kernel.stem));
    of_products.map(|d| d.flops).sum()
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

/// What is long for a step.
const LONG: Duration = Duration::from_secs(8);

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

    /// Whether there is time left, or too little has been seen; of steps that take long, one is enough.
    fn goes_on(&self) -> bool {
        let enough = |t: Duration| match self.stretches.len() {
            0 => false,
            1 | 2 => t > LONG && t.as_secs_f64() >= self.seconds,
            _ => t.as_secs_f64() >= self.seconds,
        };
        self.begun.is_none_or(|t| !enough(t.elapsed()))
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

/// The kernel variants that this device gets, in words, and all that it can run.
pub fn variants(gpu: &Gpu) -> (String, Vec<String>) {
    let all = Variants::all(gpu);
    (
        VariantTable::of(gpu).to_string(),
        all.iter().map(ToString::to_string).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn useful_operations_are_those_of_direct_convolution() {
        use crate::{nn::PlanBuilder, session::stepper::StepMemory};
        // A micro-batch of two, in millions an image, as counted by hand for the peers.
        for (name, expected) in [("mnist32", 1715.0), ("cifar", 37_500.0)] {
            let config = model(name)
                .expect(name)
                .train_config(2, false, Precision::F32);
            let mut plan = PlanBuilder::new();
            let data = synthetic(&config).expect("images");
            let feed = crate::session::feed::Feed::Images {
                images: data.train.clone(),
                shuffle: crate::data::Shuffle::new(data.train.len(), 0),
            };
            let network = Network::from(&config.unet);
            StepMemory::emit(&mut plan, &config.step_config(), &network, &feed).expect(name);
            let products = plan.dispatches().iter().filter(|d| {
                d.kernel.stem.starts_with("layers/conv") || d.kernel.stem == "layers/attention"
            });
            let millions = products.map(|d| d.flops).sum::<u64>() as f64 / 2e6;
            assert!(
                (millions / expected - 1.0).abs() < 0.005,
                "{name}: {millions}"
            );
        }
    }
}

//! Measurements of this machine: training and sampling speed of named networks, memory, and where the
//! time goes, kernel by kernel.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Result,
    data::{Dataset, Images},
    diffusion::{SchedulerConfig, loss_weight::LossType},
    gpu::{Gpu, timing::Clock},
    nn::{
        init,
        lr_schedule::{LearningRate, LearningRateDecay},
        model::ParamSet,
        network::Network,
        optimizer::AdamConfig,
        plan::Variants,
        profile::{Profile, Profiler, median},
        roofline::RooflineJob,
        tuning::{Choices, Tuner, VariantTable},
        unet,
        unet_config::{BlockKind, UNetConfig},
    },
    rng::{self, Draw},
    session::{
        config::{TrainConfig, preset},
        sampling::{SampleRequest, SampleRun},
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
    /// Training: operations / median time of a step, in units of 10⁹.
    pub train_gflops: f64,
    /// Sampling: the same.
    pub sample_gflops: f64,
    /// Training: operations a second / those of the best product. Measured with a profile only, like the next ones.
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

/// Measures. `status` hears what is going on.
///
/// # Errors
/// A device that fails or is too small.
pub fn run(
    gpu: &Arc<Gpu>,
    model: &BenchModel,
    options: &BenchOptions,
    status: &mut dyn FnMut(&str),
) -> Result<BenchReport> {
    let config = model.train_config(options.batch, options.checkpoint_activations);
    let dataset = Arc::new(synthetic(&config)?);
    let roofline = if options.profile {
        status("roofline: a matrix product and a copy");
        Some(RooflineJob::new(gpu)?.run()?)
    } else {
        None
    };
    let begun = Instant::now();
    Tuner::for_network(gpu, &Network::from(&config.unet))?.run(|done, of| {
        status(&format!("choosing kernel variants: {done} of {of}"));
    })?;
    let choice_s = begun.elapsed().as_secs_f64();
    gpu.restart_peak();
    status("setting up and compiling");
    let mut trainer = Trainer::new(
        gpu,
        config.clone(),
        dataset,
        &Start::Random,
        &mut |done, of| status(&format!("compiling: {done} of {of}")),
    )?;
    status("training: warm-up");
    let mut steps = Marks::new(options.seconds);
    let mut warm = (Duration::ZERO, 0, 0);
    // The first step compiles; the second lets the pacer learn the device's speed, if that is not small beside a step.
    let mut warm_up = 2;
    while steps.goes_on() {
        let reports = trainer.pump(u64::MAX)?;
        for report in reports {
            if trainer.first_step().is_some_and(|t| t > LONG) {
                warm_up = warm_up.min(report.step);
            }
            if report.step == warm_up {
                warm = (trainer.encode_time(), trainer.submissions(), trainer.step());
                steps.start_at(warm_up);
            } else if report.step > warm_up {
                steps.mark(report.step);
                status(&format!("training: step {}", report.step));
            }
        }
        trainer.wait();
    }
    // Of encoded steps, as these run ahead of the finished ones.
    let encoded = (trainer.step() - warm.2).max(1) as f64;
    let encode_s = (trainer.encode_time() - warm.0).as_secs_f64() / encoded;
    let submissions = (trainer.submissions() - warm.1) as f64 / encoded;
    let stop = trainer.step() + 1;
    while !(trainer.is_settled() && trainer.step() >= stop) {
        trainer.pump(stop)?;
        trainer.wait();
    }
    let first_step_s = trainer.first_step().unwrap_or_default().as_secs_f64();
    let train_step_s = steps.median();
    let (micro, update) = trainer.plans();
    let train_flops = micro.flops() + update.flops();
    let profile = match &roofline {
        None => None,
        Some(roofline) => {
            let mut all = Vec::new();
            for (plan, what) in [(micro, "forward and backward"), (update, "update")] {
                all.extend(Profiler::run(gpu, plan, |done, of| {
                    status(&format!("profile of {what}: {done} of {of}"));
                })?);
            }
            Some(Profile::new(&all, roofline.clone(), Clock::of(gpu)))
        }
    };
    let share = |flops: u64, seconds: f64| {
        let roofline = roofline.as_ref()?;
        Some(flops as f64 / seconds / roofline.flops_per_s)
    };
    let mut report = BenchReport {
        model: model.name.into(),
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
        choice_s,
        first_step_s,
        setup_s: choice_s + (first_step_s - train_step_s).max(0.0),
        peak_bytes: gpu.peak_bytes(),
        arena_bytes: micro.arena_bytes() + update.arena_bytes(),
        beyond_parameters_bytes: gpu.peak_bytes() - 5 * trainer.sets().weights.bytes(),
        dispatches: micro.len() + update.len(),
        submissions,
        encode_s,
        encode_share: encode_s / train_step_s,
        train_flops,
        sample_flops: 0,
        train_gflops: train_flops as f64 / train_step_s / 1e9,
        sample_gflops: 0.0,
        train_product_share: share(train_flops, train_step_s),
        sample_product_share: None,
        profile,
        choices: Choices::of(gpu),
    };
    gpu.check()?;
    drop(trainer);
    sample(gpu, &config, options, &mut report, status)?;
    report.sample_product_share = share(report.sample_flops, report.sample_step_s);
    Ok(report)
}

fn sample(
    gpu: &Arc<Gpu>,
    config: &TrainConfig,
    options: &BenchOptions,
    report: &mut BenchReport,
    status: &mut dyn FnMut(&str),
) -> Result<()> {
    status("sampling: warm-up");
    let timesteps = config.scheduler.num_train_timesteps;
    let network = unet::build(&config.unet, 1, timesteps, false)?;
    let params = network.graph.params();
    let weights = ParamSet::zeros(gpu, "weights", params)?;
    weights.write(gpu, params, &init::weights(params, 0));
    let request = SampleRequest {
        // More than there will be time for.
        count: options.batch * 1_000_000,
        sampler: "ddpm".into(),
        steps: timesteps,
        eta: 0.0,
        seed: 0,
        batch: options.batch,
    };
    let mut run = SampleRun::new(gpu, &config.unet, &config.scheduler, &weights, request)?;
    let mut steps = Marks::new(options.seconds);
    let mut warm = false;
    while steps.goes_on() {
        run.pump()?;
        let done = run.progress().0 as u64;
        if warm {
            steps.mark(done);
        } else if done >= 3 {
            warm = true;
            steps.start_at(done);
        }
        status(&format!("sampling: step {done}"));
        run.wait();
    }
    gpu.wait();
    gpu.check()?;
    report.sample_step_s = steps.median();
    report.sample_steps = steps.count();
    report.sample_images_per_s = options.batch as f64 / report.sample_step_s;
    report.sample_flops = run.plan().flops();
    report.sample_gflops = report.sample_flops as f64 / report.sample_step_s / 1e9;
    Ok(())
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
}

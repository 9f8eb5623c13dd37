//! The trainer: a training run of the U-Net on a data set. The step itself is [`Stepper`]'s; what is here is what an
//! image run has besides: its configuration, its data, its saved state.

use std::{ops::Deref, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    TrainError,
    checkpoint::TrainState,
    config::TrainConfig,
    feed::Feed,
    pacer::Pace,
    stepper::{StepConfig, Stepper},
};
use crate::{
    Result,
    data::{Dataset, Shuffle},
    gpu::{Gpu, View, readback::Fetch},
    nn::{init, network::Network, tuning::VariantTable},
};

pub use super::stepper::{StepReport, TrainSets};

/// A state on its way from the device.
#[derive(Debug)]
pub struct StateRead {
    fetch: Fetch,
    meta: Value,
}

/// Where a run starts.
#[derive(Debug)]
pub enum Start<'a> {
    /// From random weights.
    Random,
    /// From a model's weights, in the order of [`Stepper::params`]: optimiser and step start anew.
    Weights(&'a [Vec<f32>]),
    /// From a saved state, as if it had never stopped.
    State(&'a TrainState),
}

/// A training run. Dereferences to its [`Stepper`], which has the figures of the device.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    dataset: Arc<Dataset>,
    stepper: Stepper,
}

impl Deref for Trainer {
    type Target = Stepper;

    fn deref(&self) -> &Stepper {
        &self.stepper
    }
}

/// Calls back with (done, of) while pipelines are made.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize);

/// The kernel variants of a saved run, if it was made on this adapter and it has them still: what has been measured
/// since must not change a run's numbers.
fn saved_variants(gpu: &Gpu, meta: &Value) -> Option<VariantTable> {
    let saved: VariantTable = serde_json::from_value(meta["variants"].clone()).ok()?;
    let same = meta["adapter"]["name"] == gpu.info.name.as_str();
    (same && saved.runs_on(gpu)).then_some(saved)
}

impl TrainConfig {
    /// The part that decides the numbers of a step.
    pub fn step_config(&self) -> StepConfig {
        StepConfig {
            scheduler: self.scheduler.clone(),
            batch: self.batch,
            accumulate: self.accumulate,
            lr: self.lr,
            adam: self.adam,
            clip_norm: self.clip_norm,
            ema_decay: self.ema_decay,
            ema_power: self.ema_power,
            flip: self.flip,
            loss: self.loss,
            draw: self.draw,
            checkpoint_activations: self.checkpoint_activations,
            precision: self.precision,
            seed: self.seed,
        }
    }
}

impl Trainer {
    /// Builds, allocates and compiles everything.
    ///
    /// # Errors
    /// A network that cannot be built or does not fit the device, data that do not fit the
    /// network, or a state of another run.
    pub fn new(
        gpu: &Arc<Gpu>,
        config: TrainConfig,
        dataset: Arc<Dataset>,
        start: &Start<'_>,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let mut trainer = Self::begin(gpu, config, dataset, start)?;
        loop {
            let (done, of) = trainer.warm(Duration::ZERO)?;
            progress(done, of);
            if done == of {
                return Ok(trainer);
            }
        }
    }

    /// [`Trainer::new`] without pipelines: [`Trainer::warm`] makes them bit by bit, and has to be
    /// called until all are there.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn begin(
        gpu: &Arc<Gpu>,
        config: TrainConfig,
        dataset: Arc<Dataset>,
        start: &Start<'_>,
    ) -> Result<Self> {
        config
            .unet
            .validate()
            .map_err(crate::nn::ModelError::from)?;
        let size = config.unet.sample_size;
        let train = &dataset.train;
        if train.channels != config.unet.in_channels
            || config.unet.in_channels != config.unet.out_channels
        {
            return Err(TrainError::Channels {
                data: train.channels,
                model_in: config.unet.in_channels,
                model_out: config.unet.out_channels,
            }
            .into());
        }
        if train.height > size || train.width > size {
            return Err(TrainError::ImageSize {
                width: train.width,
                height: train.height,
                model: size,
            }
            .into());
        }
        if train.len() < config.batch * config.accumulate {
            return Err(TrainError::TooFewImages {
                images: train.len(),
                batch: config.batch * config.accumulate,
            }
            .into());
        }
        let feed = Feed::Images {
            images: train.clone(),
            shuffle: Shuffle::new(train.len(), config.seed),
        };
        let network = Network::from(&config.unet);
        let variants = match start {
            Start::State(state) => saved_variants(gpu, &state.meta),
            Start::Random | Start::Weights(_) => None,
        };
        let variants = variants.unwrap_or_else(|| VariantTable::of(gpu));
        let stepper =
            Stepper::begin_with(gpu, config.step_config(), &network, feed, false, variants)?;
        let mut trainer = Self {
            config,
            dataset,
            stepper,
        };
        trainer.start(start)?;
        Ok(trainer)
    }

    /// Makes pipelines for about `time`; returns how many are there and how many there are in all.
    ///
    /// # Errors
    /// A kernel that does not compile on this device.
    pub fn warm(&mut self, time: Duration) -> Result<(usize, usize)> {
        self.stepper.warm(time)
    }

    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        match start {
            Start::Random => {
                let values = init::weights(self.params(), self.config.seed);
                self.set_weights(&values);
            }
            Start::Weights(values) => self.set_weights(values),
            Start::State(state) => {
                for (prefix, set) in self.sets().saved() {
                    let mut values = Vec::with_capacity(self.params().len());
                    for info in self.params() {
                        let name = format!("{prefix}.{}", info.name);
                        let found = state.tensor(&name);
                        match found {
                            Some((shape, data)) if shape == info.file_shape() => {
                                values.push(data.to_vec());
                            }
                            Some((shape, _)) => {
                                return Err(TrainError::State(format!(
                                    "its tensor \"{name}\" has shape {shape:?}, expected {:?}",
                                    info.file_shape()
                                ))
                                .into());
                            }
                            None => {
                                return Err(TrainError::State(format!(
                                    "it lacks the tensor \"{name}\""
                                ))
                                .into());
                            }
                        }
                    }
                    set.write(self.gpu(), self.params(), &values);
                }
                let step = state.meta["step"]
                    .as_u64()
                    .ok_or_else(|| TrainError::State("it does not say its step".into()))?;
                self.stepper.set_step(step);
                let hash = state.meta["data_hash"].as_u64();
                if hash != Some(self.dataset.content_hash) {
                    return Err(TrainError::OtherData {
                        dataset: self.config.dataset.clone(),
                    }
                    .into());
                }
            }
        }
        Ok(())
    }

    /// The configuration.
    pub const fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The data.
    pub const fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Changes the learning rate and the moving average's decay from the next step on.
    pub const fn set_live(&mut self, lr: f64, ema_decay: f64) {
        self.config.lr.base = lr;
        self.config.ema_decay = ema_decay;
        self.stepper.set_live(self.config.lr, ema_decay);
    }

    /// See [`Stepper::set_pace`].
    pub const fn set_pace(&mut self, pace: Pace) {
        self.stepper.set_pace(pace);
    }

    /// See [`Stepper::pump`].
    ///
    /// # Errors
    /// As there.
    pub fn pump(&mut self, until: u64) -> Result<Vec<StepReport>> {
        self.stepper.pump(until)
    }

    /// See [`Stepper::wait`]. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        self.stepper.wait();
    }

    /// Starts to read the resumable state; the run must be settled.
    ///
    /// # Errors
    /// The device's refusal.
    pub fn begin_state(&self) -> Result<StateRead> {
        let views: Vec<View> = (self.sets().saved().iter())
            .flat_map(|(_, set)| set.views().iter().cloned())
            .collect();
        Ok(StateRead {
            fetch: Fetch::start(self.gpu(), &views)?,
            meta: self.meta(),
        })
    }

    /// The state once it has arrived; `None` before. Delivers once.
    ///
    /// # Errors
    /// A lost device.
    pub fn poll_state(&self, read: &mut StateRead) -> Result<Option<TrainState>> {
        let Some(words) = read.fetch.poll(self.gpu())? else {
            return Ok(None);
        };
        let mut tensors = Vec::with_capacity(words.len());
        let mut words = words.iter();
        for (prefix, _) in self.sets().saved() {
            for (info, words) in self.params().iter().zip(&mut words) {
                let values: Vec<f32> = words.iter().map(|&w| f32::from_bits(w)).collect();
                let name = format!("{prefix}.{}", info.name);
                tensors.push((name, info.file_shape(), info.unpack(&values)));
            }
        }
        Ok(Some(TrainState {
            meta: read.meta.clone(),
            tensors,
        }))
    }

    /// The document that goes with a saved state.
    pub fn meta(&self) -> Value {
        json!({
            "noiselab": env!("CARGO_PKG_VERSION"),
            "step": self.step(),
            "images_seen": self.step() * (self.config.batch * self.config.accumulate) as u64,
            "data_hash": self.dataset.content_hash,
            "adapter": {
                "name": self.gpu().info.name,
                "backend": format!("{:?}", self.gpu().info.backend),
                "driver": self.gpu().info.driver_info,
            },
            "variants": self.variants(),
            "config": self.config.to_json(),
        })
    }

    /// The resumable state; the run must be settled. Waits for the device. Native only.
    ///
    /// # Errors
    /// A lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn state(&self) -> Result<TrainState> {
        let mut tensors = Vec::with_capacity(4 * self.params().len());
        for (prefix, set) in self.sets().saved() {
            let values = set.read(self.gpu(), self.params())?;
            for (info, data) in self.params().iter().zip(values) {
                tensors.push((format!("{prefix}.{}", info.name), info.file_shape(), data));
            }
        }
        Ok(TrainState {
            meta: self.meta(),
            tensors,
        })
    }
}

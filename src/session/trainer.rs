//! The trainer: one training step as prepared plans on the device, run in slices.
//!
//! A step is `accumulate` runs of the micro-batch plan (load images, draw t and ε, q_sample,
//! forward, loss, backward) and one of the update plan (norm, clipping, Adam, EMA). Between them
//! the host writes a few scalars and the next images' bytes; nothing is allocated and nothing is
//! waited for. Figures come back late, through a ring.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Value, json};
use web_time::Instant;

use super::{
    TrainError,
    checkpoint::TrainState,
    config::TrainConfig,
    pacer::{Pace, Pacer},
};
use crate::{
    Error, Result,
    data::{Dataset, Images, Shuffle},
    diffusion::{NoiseSchedule, loss_weight::LossType},
    gpu::{
        Gpu, View,
        memory::Pool,
        readback::{Fetch, ReadbackRing},
    },
    nn::{
        Plan, PlanBuilder, Shape, batch,
        graph::ParamInfo,
        init, loss,
        lr_schedule::ema_decay,
        model::{Model, ParamSet},
        optimizer,
        plan::{Cursor, Variants},
        state::{RandomStep, STATE_WORDS, STATS_WORDS, StepState, StepStats},
        unet,
    },
    rng::stream,
};

/// What a finished step tells.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Optimiser steps done, this one included.
    pub step: u64,
    /// The loss over the whole step.
    pub loss: f32,
    /// Mean squared error over the whole step.
    pub mse: f32,
    /// The variational bound's term, nats a dimension; 0 when it was not computed.
    pub vlb: f32,
    /// Norm of the gradient before clipping.
    pub grad_norm: f32,
    /// Learning rate.
    pub lr: f64,
    /// Decay of the moving average.
    pub ema_decay: f64,
    /// Timestep and mean squared error of each image of the last micro-batch.
    pub samples: Vec<(u32, f32)>,
}

/// What is written while a step is under way, kept until its figures arrive.
#[derive(Debug)]
struct Pending {
    step: u64,
    lr: f64,
    ema_decay: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Micro(usize),
    Update,
}

/// The device's memory of a run besides the parameters.
#[derive(Debug)]
struct Fixed {
    _pool: Pool,
    state: View,
    pixels: View,
    report: View,
    time_table: View,
    q_table: View,
    bound_table: View,
    bound: loss::BoundTable,
}

/// Words of the parts of a report, each padded to 64 so that it can be bound by itself.
#[derive(Debug, Clone, Copy)]
struct ReportLayout {
    part: usize,
}

impl ReportLayout {
    const fn new(batch: usize) -> Self {
        Self {
            part: batch.next_multiple_of(64),
        }
    }
    const fn mse(self) -> usize {
        64
    }
    const fn vlb(self) -> usize {
        64 + self.part
    }
    const fn t(self) -> usize {
        64 + 2 * self.part
    }
    const fn words(self) -> usize {
        64 + 3 * self.part
    }
}

/// The five sets of numbers in the parameters' layout.
#[derive(Debug)]
pub struct TrainSets {
    /// Weights.
    pub weights: ParamSet,
    /// Gradients, zero between steps.
    pub grads: ParamSet,
    /// Adam's first moment.
    pub m: ParamSet,
    /// Adam's second moment.
    pub v: ParamSet,
    /// Moving average of the weights.
    pub ema: ParamSet,
}

impl TrainSets {
    /// Room for all, zeroed.
    ///
    /// # Errors
    /// No memory.
    pub fn zeros(gpu: &Arc<Gpu>, params: &[ParamInfo]) -> Result<Self> {
        Ok(Self {
            weights: ParamSet::zeros(gpu, "weights", params)?,
            grads: ParamSet::zeros(gpu, "gradients", params)?,
            m: ParamSet::zeros(gpu, "Adam m", params)?,
            v: ParamSet::zeros(gpu, "Adam v", params)?,
            ema: ParamSet::zeros(gpu, "EMA", params)?,
        })
    }

    /// What a saved state holds, by the prefix of its tensors' names.
    pub const fn saved(&self) -> [(&'static str, &ParamSet); 4] {
        [
            ("raw", &self.weights),
            ("ema", &self.ema),
            ("adam_m", &self.m),
            ("adam_v", &self.v),
        ]
    }

    /// The chunks as tensors of a plan, for the optimiser.
    pub fn bind_chunks(&self, plan: &mut PlanBuilder) -> Vec<optimizer::Chunk> {
        let all = [&self.weights, &self.grads, &self.m, &self.v, &self.ema].map(ParamSet::chunks);
        let [w, g, m, v, e] = &all;
        (0..w.len())
            .map(|i| optimizer::Chunk {
                weights: plan.external("weights", &w[i]),
                grads: plan.external("gradients", &g[i]),
                m: plan.external("Adam m", &m[i]),
                v: plan.external("Adam v", &v[i]),
                ema: plan.external("EMA", &e[i]),
            })
            .collect()
    }
}

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
    /// From a model's weights, in the order of [`Trainer::params`]: optimiser and step start anew.
    Weights(&'a [Vec<f32>]),
    /// From a saved state, as if it had never stopped.
    State(&'a TrainState),
}

/// A training run.
#[derive(Debug)]
pub struct Trainer {
    gpu: Arc<Gpu>,
    config: TrainConfig,
    dataset: Arc<Dataset>,
    images: Images,
    shuffle: Shuffle,
    params: Vec<ParamInfo>,
    sets: TrainSets,
    fixed: Fixed,
    layout: ReportLayout,
    micro: Plan,
    update: Plan,
    variants: Variants,
    phase: Phase,
    begun: bool,
    cursor: Cursor,
    /// Optimiser steps whose update has been submitted.
    step: u64,
    ring: ReadbackRing,
    pending: VecDeque<Pending>,
    pacer: Pacer,
    first_step: Option<Duration>,
    started: Instant,
    encode_time: Duration,
    last_loss: f32,
    failure: Option<Error>,
}

/// Calls back with (done, of) while pipelines are made.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize);

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
        let started = Instant::now();
        config
            .unet
            .validate()
            .map_err(crate::nn::ModelError::from)?;
        let schedule = config.scheduler.noise_schedule()?;
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
        let model = unet::build(&config.unet, config.batch, schedule.timesteps(), true)?;
        let params = model.graph.params().to_vec();
        let sets = TrainSets::zeros(gpu, &params)?;
        let variants = Variants::choose(gpu);
        let layout = ReportLayout::new(config.batch);
        let fixed = Fixed::new(gpu, &config, train, &model, layout, &schedule)?;
        let micro = build_micro(
            &config, &schedule, train, &model, &sets, &fixed, layout, variants,
        )?
        .begin(gpu)?;
        let mut builder = PlanBuilder::with_variants(variants);
        let chunks = sets.bind_chunks(&mut builder);
        let stats = builder.external("stats", &fixed.report.part(0, STATS_WORDS as u64));
        let state = builder.external("state", &fixed.state);
        builder.set_label("optimiser");
        optimizer::grad_norm(&mut builder, &chunks, stats, state);
        optimizer::update(&mut builder, &chunks, stats, state);
        let update = builder.begin(gpu)?;
        let ring = ReadbackRing::new(gpu, 6, 4 * layout.words() as u64)?;
        let mut trainer = Self {
            gpu: Arc::clone(gpu),
            shuffle: Shuffle::new(train.len(), config.seed),
            images: train.clone(),
            dataset,
            params,
            sets,
            fixed,
            layout,
            micro,
            update,
            variants,
            phase: Phase::Micro(0),
            begun: false,
            cursor: Cursor::default(),
            step: 0,
            ring,
            pending: VecDeque::new(),
            pacer: Pacer::new(Pace::FULL),
            first_step: None,
            started,
            encode_time: Duration::ZERO,
            last_loss: 0.0,
            failure: None,
            config,
        };
        trainer.start(start)?;
        Ok(trainer)
    }

    /// Makes pipelines for about `time`; returns how many are there and how many there are in all.
    ///
    /// # Errors
    /// A kernel that does not compile on this device.
    pub fn warm(&mut self, time: Duration) -> Result<(usize, usize)> {
        if self.micro.warm(time)? {
            self.update.warm(time)?;
        }
        let ((a, b), (c, d)) = (self.micro.warmed(), self.update.warmed());
        Ok((a + c, b + d))
    }

    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        let write =
            |set: &ParamSet, values: &[Vec<f32>]| set.write(&self.gpu, &self.params, values);
        match start {
            Start::Random => {
                let values = init::weights(&self.params, self.config.seed);
                write(&self.sets.weights, &values);
                write(&self.sets.ema, &values);
            }
            Start::Weights(values) => {
                write(&self.sets.weights, values);
                write(&self.sets.ema, values);
            }
            Start::State(state) => {
                for (prefix, set) in self.sets.saved() {
                    let mut values = Vec::with_capacity(self.params.len());
                    for info in &self.params {
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
                    write(set, &values);
                }
                self.step = state.meta["step"]
                    .as_u64()
                    .ok_or_else(|| TrainError::State("it does not say its step".into()))?;
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

    /// The parameters, in order.
    pub fn params(&self) -> &[ParamInfo] {
        &self.params
    }

    /// The sets of numbers on the device.
    pub const fn sets(&self) -> &TrainSets {
        &self.sets
    }

    /// The configuration.
    pub const fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The data.
    pub const fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// The kernel variants in use.
    pub const fn variants(&self) -> Variants {
        self.variants
    }

    /// Optimiser steps submitted so far.
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// The plans of a micro-batch and of an update, for profiles.
    pub const fn plans(&self) -> (&Plan, &Plan) {
        (&self.micro, &self.update)
    }

    /// Time from the call of [`Trainer::new`] to the figures of the first step.
    pub const fn first_step(&self) -> Option<Duration> {
        self.first_step
    }

    /// Host time spent so far on writing inputs and encoding; not on submitting, in which software
    /// adapters do part of the work itself.
    pub const fn encode_time(&self) -> Duration {
        self.encode_time
    }

    /// Submissions so far.
    pub const fn submissions(&self) -> u64 {
        self.pacer.submissions()
    }

    /// Device time spent so far, as seen from here.
    pub const fn device_time(&self) -> Duration {
        self.pacer.busy()
    }

    /// Changes the learning rate and the moving average's decay from the next step on.
    pub const fn set_live(&mut self, lr: f64, ema_decay: f64) {
        self.config.lr.base = lr;
        self.config.ema_decay = ema_decay;
    }

    /// Starts to read the resumable state; the run must be settled.
    ///
    /// # Errors
    /// The device's refusal.
    pub fn begin_state(&self) -> Result<StateRead> {
        let views: Vec<View> = (self.sets.saved().iter())
            .flat_map(|(_, set)| set.views().iter().cloned())
            .collect();
        Ok(StateRead {
            fetch: Fetch::start(&self.gpu, &views)?,
            meta: self.meta(),
        })
    }

    /// The state once it has arrived; `None` before. Delivers once.
    ///
    /// # Errors
    /// A lost device.
    pub fn poll_state(&self, read: &mut StateRead) -> Result<Option<TrainState>> {
        let Some(words) = read.fetch.poll(&self.gpu)? else {
            return Ok(None);
        };
        let mut tensors = Vec::with_capacity(words.len());
        let mut words = words.iter();
        for (prefix, _) in self.sets.saved() {
            for (info, words) in self.params.iter().zip(&mut words) {
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

    /// Sets how hard the device is worked.
    pub const fn set_pace(&mut self, pace: Pace) {
        self.pacer.set_pace(pace);
    }

    /// Goes on, until step `until`, for as long as there is room for submissions; returns the
    /// reports that have arrived. Never waits.
    ///
    /// # Errors
    /// A lost device, or [`TrainError::NotFinite`] (the weights are then those before that step).
    pub fn pump(&mut self, until: u64) -> Result<Vec<StepReport>> {
        self.gpu.check()?;
        if let Some(e) = self.failure.take() {
            return Err(e);
        }
        let begun = Instant::now();
        for _ in 0..Pacer::AT_ONCE {
            if self.step >= until || self.pacer.is_spent(begun) {
                break;
            }
            if self.phase == Phase::Update && !self.ring.has_room() {
                break;
            }
            let Some(budget) = self.pacer.budget(&self.gpu) else {
                break;
            };
            self.encode(budget);
        }
        self.pacer.collect(&self.gpu);
        let mut reports = Vec::new();
        for (step, words) in self.ring.arrived() {
            match self.report(step, &words) {
                Ok(report) => reports.push(report),
                Err(e) if reports.is_empty() => return Err(e),
                // The steps before it are told first.
                Err(e) => {
                    self.failure = Some(e);
                    break;
                }
            }
        }
        if !reports.is_empty() && self.first_step.is_none() {
            self.first_step = Some(self.started.elapsed());
        }
        Ok(reports)
    }

    /// Waits for the device to make room or to finish. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        if self.pacer.is_idle() && self.ring.pending() > 0 {
            self.gpu.wait();
        } else {
            self.pacer.wait(&self.gpu);
        }
    }

    /// Whether every step that was begun has been submitted whole and reported.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.failure.is_none() && !self.is_in_step()
    }

    /// Whether a step has been begun and not yet submitted whole: `pump(step() + 1)` finishes it.
    pub fn is_in_step(&self) -> bool {
        self.begun || self.phase != Phase::Micro(0)
    }

    fn encode(&mut self, budget: f64) {
        let begun = Instant::now();
        if !self.begun {
            self.write_inputs();
            self.begun = true;
        }
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let plan = match self.phase {
            Phase::Micro(_) => &self.micro,
            Phase::Update => &self.update,
        };
        let (done, cost) = plan.encode(&mut encoder, &mut self.cursor, budget);
        let mut slot = None;
        if done && self.phase == Phase::Update {
            slot = self
                .ring
                .copy(&mut encoder, &self.fixed.report, self.step + 1);
        }
        let commands = encoder.finish();
        self.encode_time += begun.elapsed();
        self.pacer.submit(&self.gpu, commands, cost);
        if let Some(slot) = slot {
            self.ring.map(slot);
        }
        if done {
            self.begun = false;
            self.phase = match self.phase {
                Phase::Micro(k) if k + 1 < self.config.accumulate => Phase::Micro(k + 1),
                Phase::Micro(_) => Phase::Update,
                Phase::Update => {
                    self.step += 1;
                    Phase::Micro(0)
                }
            };
            // The update follows its micro-batches with the same scalars.
            if self.phase == Phase::Update {
                self.begun = true;
            }
        }
    }

    fn write_inputs(&mut self) {
        let Phase::Micro(k) = self.phase else { return };
        let config = &self.config;
        let (batch, total) = (config.batch, config.batch * config.accumulate);
        let mut state = StepState::default().with_seed(config.seed);
        state.micro_step = self.step as u32;
        state.step = self.step as u32;
        state.batch_offset = (k * batch) as u32;
        state.batch_total = total as u32;
        state.micro_batch = k as u32;
        state.grad_scale = 1.0 / config.accumulate as f32;
        state.clip_norm = config.clip_norm as f32;
        state.flip_probability = config.flip as f32;
        let lr = config.lr.at(self.step);
        config.adam.apply(&mut state, self.step + 1, lr);
        let decay = ema_decay(config.ema_decay, self.step);
        state.set_ema(decay, false);
        self.fixed.state.write(&self.gpu, 0, state.words());

        let first = self.step * total as u64 + (k * batch) as u64;
        let indices = (0..batch as u64).map(|i| self.shuffle.index(first + i));
        self.fixed.write_pixels(&self.gpu, &self.images, indices);
        if k == 0 {
            self.pending.push_back(Pending {
                step: self.step + 1,
                lr,
                ema_decay: decay,
            });
        }
    }

    fn report(&mut self, step: u64, words: &[u32]) -> Result<StepReport> {
        let stats = StepStats::from_words(words).unwrap_or_default();
        let pending = self.pending.pop_front();
        debug_assert_eq!(pending.as_ref().map(|p| p.step), Some(step));
        if stats.skipped != 0 || !stats.step_loss.is_finite() {
            return Err(TrainError::NotFinite {
                step,
                loss: stats.step_loss,
                last: self.last_loss,
                lr: pending.map_or(0.0, |p| p.lr),
            }
            .into());
        }
        self.last_loss = stats.step_loss;
        let (mse, t) = (self.layout.mse(), self.layout.t());
        let samples = (0..self.config.batch)
            .map(|i| (words[t + i], f32::from_bits(words[mse + i])))
            .collect();
        Ok(StepReport {
            step,
            loss: stats.step_loss,
            mse: stats.step_mse,
            vlb: stats.step_vlb,
            grad_norm: stats.grad_norm,
            lr: pending.as_ref().map_or(0.0, |p| p.lr),
            ema_decay: pending.as_ref().map_or(0.0, |p| p.ema_decay),
            samples,
        })
    }

    /// The document that goes with a saved state.
    pub fn meta(&self) -> Value {
        json!({
            "noiselab": env!("CARGO_PKG_VERSION"),
            "step": self.step,
            "images_seen": self.step * (self.config.batch * self.config.accumulate) as u64,
            "data_hash": self.dataset.content_hash,
            "adapter": {
                "name": self.gpu.info.name,
                "backend": format!("{:?}", self.gpu.info.backend),
                "driver": self.gpu.info.driver_info,
            },
            "variants": self.variants,
            "config": self.config.to_json(),
        })
    }

    /// The resumable state; the run must be settled. Waits for the device. Native only.
    ///
    /// # Errors
    /// A lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn state(&self) -> Result<TrainState> {
        let mut tensors = Vec::with_capacity(4 * self.params.len());
        for (prefix, set) in self.sets.saved() {
            let values = set.read(&self.gpu, &self.params)?;
            for (info, data) in self.params.iter().zip(values) {
                tensors.push((format!("{prefix}.{}", info.name), info.file_shape(), data));
            }
        }
        Ok(TrainState {
            meta: self.meta(),
            tensors,
        })
    }
}

impl Fixed {
    fn new(
        gpu: &Arc<Gpu>,
        config: &TrainConfig,
        images: &Images,
        model: &Model,
        layout: ReportLayout,
        schedule: &NoiseSchedule,
    ) -> Result<Self> {
        let q_table = batch::q_sample_table(schedule);
        let scheduler = &config.scheduler;
        let bound =
            loss::BoundTable::new(schedule, scheduler.variance_type, scheduler.prediction_type);
        let bytes = config.batch * images.height * images.width * images.channels;
        let (pool, views) = Pool::allocate(
            gpu,
            "run",
            &[
                ("state", 4 * STATE_WORDS as u64),
                ("pixels", bytes.next_multiple_of(16) as u64),
                ("report", 4 * layout.words() as u64),
                ("time table", 4 * model.time_table.len() as u64),
                ("sqrt(alpha_bar)", 4 * q_table.len() as u64),
                ("bound", 4 * bound.words.len() as u64),
            ],
        )?;
        let [state, pixels, report, time_table, q_view, bound_view] = <[View; 6]>::try_from(views)
            .map_err(|_| Error::Train(TrainError::State("memory was laid out wrongly".into())))?;
        time_table.write(gpu, 0, &model.time_table);
        q_view.write(gpu, 0, &q_table);
        bound_view.write(gpu, 0, &bound.words);
        Ok(Self {
            _pool: pool,
            state,
            pixels,
            report,
            time_table,
            q_table: q_view,
            bound_table: bound_view,
            bound,
        })
    }

    fn write_pixels(&self, gpu: &Gpu, images: &Images, indices: impl Iterator<Item = usize>) {
        let mut bytes: Vec<u8> = Vec::with_capacity(self.pixels.bytes as usize);
        for i in indices {
            bytes.extend_from_slice(images.image(i));
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        gpu.queue
            .write_buffer(&self.pixels.buffer, self.pixels.offset, &bytes);
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call; the parts are the run's own fields"
)]
fn build_micro(
    config: &TrainConfig,
    schedule: &NoiseSchedule,
    images: &Images,
    model: &Model,
    sets: &TrainSets,
    fixed: &Fixed,
    layout: ReportLayout,
    variants: Variants,
) -> Result<PlanBuilder> {
    let mut plan = PlanBuilder::with_variants(variants);
    let graph = &model.graph;
    let shape = graph.shape(model.inputs.x);
    let state = plan.external("state", &fixed.state);
    let pixels = plan.external("pixels", &fixed.pixels);
    let table = plan.external("time table", &fixed.time_table);
    let part = |first: usize| fixed.report.part(first as u64, layout.part as u64);
    let stats = plan.external("stats", &fixed.report.part(0, STATS_WORDS as u64));
    let mse = plan.external("losses", &part(layout.mse()));
    let vlb = plan.external("bounds", &part(layout.vlb()));
    let t = plan.external("t", &part(layout.t()));
    let weights = sets.weights.bind(&mut plan, model.graph.params());
    let grads = sets.grads.bind(&mut plan, model.graph.params());

    plan.set_label("batch");
    let words = shape.words();
    let [x0, x_t, target] = ["x_0", "x_t", "target"].map(|l| plan.tensor(l, words));
    let image = Shape::new(config.batch, images.height, images.width, images.channels);
    let placement = batch::Placement::centred(image, shape)?;
    let flip = (config.flip > 0.0).then_some((stream::AUGMENT, RandomStep::MicroStep));
    batch::load(&mut plan, &placement, pixels, x0, flip, state);
    let timesteps = schedule.timesteps();
    batch::timesteps(
        &mut plan,
        (config.batch, timesteps),
        batch::TimestepDraw::Stratified,
        (stream::TIMESTEP, RandomStep::MicroStep),
        t,
        state,
    );
    let q_table = plan.external("sqrt(alpha_bar)", &fixed.q_table);
    let objective = config.scheduler.prediction_type;
    let q = batch::QSample {
        shape,
        timesteps,
        objective,
        x0,
        t,
        table: q_table,
        x_t,
        target,
    };
    batch::draw(
        &mut plan,
        &q,
        (stream::TRAIN_NOISE, RandomStep::MicroStep),
        state,
    );

    let bound = model.lower(&mut plan, x_t, t, table, state, &weights);
    plan.set_label("loss");
    let grad = plan.tensor("gradient of the output", words);
    let (simple_weight, bound_weight) = loss::loss_weights(config.loss, timesteps);
    let needs_bound = !matches!(config.loss, LossType::Simple);
    let bound_inputs = needs_bound.then(|| loss::Bound {
        x0,
        x_t,
        t,
        table: plan.external("bound", &fixed.bound_table),
        timesteps,
        mean_from_x: fixed.bound.mean_from_x,
        mean_from_out: fixed.bound.mean_from_out,
        log_sigma: fixed.bound.log_sigma,
    });
    loss::emit(
        &mut plan,
        &loss::Loss {
            shape,
            out: bound.output,
            target,
            weights: None,
            simple_weight,
            bound_weight,
            bound: bound_inputs,
        },
        &loss::LossOutputs {
            grad: Some(grad),
            mse,
            vlb,
            stats,
        },
        state,
    );
    let mut lowered = bound.lowered;
    graph.lower_backward(
        &mut plan,
        &mut lowered,
        &weights,
        &grads,
        model.output,
        grad,
        config.checkpoint_activations,
    );
    Ok(plan)
}

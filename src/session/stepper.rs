//! The training step: prepared plans on the device, run in slices, for any network and any data.
//!
//! A step is `accumulate` runs of the micro-batch plan (x_0 from the feed, draw t and ε, q_sample,
//! forward, loss, backward) and one of the update plan (norm, clipping, Adam, EMA). Between them
//! the host writes a few scalars and the next x_0; nothing is allocated and nothing is
//! waited for. Figures come back late, through a ring.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use web_time::Instant;

use super::{
    TrainError,
    feed::Feed,
    pacer::{Pace, Pacer},
};
use crate::{
    Error, Result,
    diffusion::{
        DiffusionError, NoiseSchedule, SchedulerConfig, TimestepDistribution, loss_weight::LossType,
    },
    gpu::{
        Gpu, View,
        memory::{self, Pool},
        readback::ReadbackRing,
    },
    nn::{
        Plan, PlanBuilder, TensorId, batch,
        graph::ParamInfo,
        loss,
        lr_schedule::{LearningRate, ema_decay},
        model::{Model, ParamSet},
        network::Network,
        optimizer::{self, AdamConfig},
        plan::{Cursor, Precision},
        state::{RandomStep, STATE_WORDS, STATS_WORDS, StepState, StepStats},
        tuning::VariantTable,
    },
    rng::stream,
};

/// What decides the numbers of a step, besides network, data and device.
#[derive(Debug, Clone, PartialEq)]
pub struct StepConfig {
    /// The noise schedule, the objective and the posterior variance.
    pub scheduler: SchedulerConfig,
    /// Samples a micro-batch.
    pub batch: usize,
    /// Micro-batches an optimiser step.
    pub accumulate: usize,
    /// Learning rate over the steps.
    pub lr: LearningRate,
    /// Adam or AdamW.
    pub adam: AdamConfig,
    /// Largest norm of the gradient; 0 for no clipping.
    pub clip_norm: f64,
    /// Decay of the moving average of the weights, after its warm-up.
    pub ema_decay: f64,
    /// How its decay warms up: the power of `nn::lr_schedule::ema_decay`.
    pub ema_power: Option<f64>,
    /// Probability that a training image is mirrored.
    pub flip: f64,
    /// The loss.
    pub loss: LossType,
    /// How often each timestep is drawn.
    pub draw: TimestepDistribution,
    /// Keep only the borders of each block's activations and compute the rest again.
    pub checkpoint_activations: bool,
    /// How feature maps are kept.
    pub precision: Precision,
    /// Seed of everything random.
    pub seed: u64,
}

/// What a run holds beside its parameters: names, and sizes in words.
type FixedWords = [(&'static str, u64); 7];

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
    feed: View,
    report: View,
    time_table: View,
    q_table: View,
    bound_table: View,
    quantiles: View,
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
    const fn bytes(self) -> u64 {
        4 * self.words() as u64
    }
}

/// Reports on their way from the device at most.
const RING: usize = 6;

/// Bytes on the device that a run takes, as they would be allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct StepMemory {
    /// Weights, gradients, Adam's two moments and the moving average.
    pub parameters: u64,
    /// Activations and their gradients.
    pub arena: u64,
    /// All else: data, tables, figures on their way, what dispatching takes.
    pub other: u64,
}

impl StepMemory {
    /// All of it.
    pub const fn total(&self) -> u64 {
        self.parameters + self.arena + self.other
    }

    /// What [`Stepper::begin`] would allocate for such a run, found by planning, without allocating anything.
    ///
    /// # Errors
    /// As there, but for what only the device knows.
    pub fn plan(gpu: &Gpu, config: &StepConfig, network: &Network, feed: &Feed) -> Result<Self> {
        let variants = VariantTable::of(gpu);
        let mut micro = PlanBuilder::with_variants(variants).with_precision(config.precision);
        let (params, fixed) = Self::emit(&mut micro, config, network, feed)?;
        let params = &params;
        let layout = ReportLayout::new(config.batch);
        let sizes = ParamSet::sizes(params);
        let chunks = Pool::chunk_bytes(gpu, &sizes);
        let mut update = PlanBuilder::with_variants(variants);
        let planned: Vec<optimizer::Chunk> = chunks
            .iter()
            .map(|bytes| {
                let mut part = |label| update.outside(label, bytes / 4);
                optimizer::Chunk {
                    weights: part("weights"),
                    grads: part("gradients"),
                    m: part("Adam m"),
                    v: part("Adam v"),
                    ema: part("EMA"),
                }
            })
            .collect();
        let stats = update.outside("stats", STATS_WORDS as u64);
        let state = update.outside("state", STATE_WORDS as u64);
        optimizer::grad_norm(&mut update, &planned, stats, state);
        optimizer::update(&mut update, &planned, stats, state);

        let cap = gpu.max_binding() / memory::ALIGN * memory::ALIGN;
        let arena = micro.arena_bytes(cap) + update.arena_bytes(cap);
        Ok(Self {
            parameters: 5 * chunks.iter().sum::<u64>(),
            arena,
            other: micro.device_bytes(gpu) + update.device_bytes(gpu) - arena
                + Pool::chunk_bytes(gpu, &fixed).iter().sum::<u64>()
                + RING as u64 * layout.bytes(),
        })
    }

    /// Emits the micro-batch without memory behind it; returns the network's parameters and what a run holds besides.
    pub(crate) fn emit(
        micro: &mut PlanBuilder,
        config: &StepConfig,
        network: &Network,
        feed: &Feed,
    ) -> Result<(Vec<ParamInfo>, FixedWords)> {
        let schedule = config.scheduler.noise_schedule()?;
        let model = network.build(config.batch, schedule.timesteps(), true)?;
        let layout = ReportLayout::new(config.batch);
        let q_words = batch::q_sample_table(&schedule).len();
        let scheduler = &config.scheduler;
        let bound = loss::BoundTable::new(
            &schedule,
            scheduler.variance_type,
            scheduler.prediction_type,
        );
        let t_words = schedule.timesteps();
        let words = [model.time_table.len(), q_words, bound.words.len(), t_words];
        let fixed = fixed_sizes(config, feed, layout, words);
        let params = model.graph.params();
        let outside = Outside::plan(micro, params, &fixed, layout);
        emit_micro(micro, config, &schedule, feed, &model, &outside, &bound)?;
        Ok((params.to_vec(), fixed))
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

/// The tensors of the last micro-batch, kept for whoever wants to look at it.
#[derive(Debug, Clone)]
pub struct BatchViews {
    /// t, `[B]` u32, 0-based.
    pub t: View,
    /// x_0, `[B, H, W, C]` as the plan has it; the others likewise.
    pub x0: View,
    /// x_t.
    pub x_t: View,
    /// The regression target.
    pub target: View,
    /// The network's output.
    pub output: View,
    /// ∂L/∂output.
    pub gradient: View,
}

/// The tensors of [`BatchViews`] in the plan.
#[derive(Debug, Clone, Copy)]
struct BatchTensors {
    x0: TensorId,
    x_t: TensorId,
    target: TensorId,
    output: TensorId,
    gradient: TensorId,
}

/// The device's side of a training run.
#[derive(Debug)]
pub struct Stepper {
    gpu: Arc<Gpu>,
    config: StepConfig,
    feed: Feed,
    params: Vec<ParamInfo>,
    sets: TrainSets,
    fixed: Fixed,
    layout: ReportLayout,
    loss_scale: f32,
    micro: Plan,
    update: Plan,
    variants: VariantTable,
    batch: Option<BatchTensors>,
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

impl Stepper {
    /// Builds and allocates everything, without pipelines: [`Stepper::warm`] makes them bit by bit, and has to be
    /// called until all are there. All sets are zeros. With `keep_batch`, the tensors of the last micro-batch can be
    /// read ([`Stepper::batch_views`]).
    ///
    /// # Errors
    /// A network that cannot be built or does not fit the device, or data that do not fit the network.
    pub fn begin(
        gpu: &Arc<Gpu>,
        config: StepConfig,
        network: &Network,
        feed: Feed,
        keep_batch: bool,
    ) -> Result<Self> {
        let variants = VariantTable::of(gpu);
        Self::begin_with(gpu, config, network, feed, keep_batch, variants)
    }

    /// [`Stepper::begin`] with given kernel variants: those of the run that goes on.
    ///
    /// # Errors
    /// As there.
    pub fn begin_with(
        gpu: &Arc<Gpu>,
        config: StepConfig,
        network: &Network,
        feed: Feed,
        keep_batch: bool,
        variants: VariantTable,
    ) -> Result<Self> {
        let started = Instant::now();
        config.precision.check(gpu)?;
        let schedule = config.scheduler.noise_schedule()?;
        let model = network.build(config.batch, schedule.timesteps(), true)?;
        let loss_scale = config
            .precision
            .loss_scale(model.graph.shape(model.inputs.x));
        let params = model.graph.params().to_vec();
        let sets = TrainSets::zeros(gpu, &params)?;
        let layout = ReportLayout::new(config.batch);
        let fixed = Fixed::new(gpu, &config, &feed, &model, layout, &schedule)?;
        let mut builder = PlanBuilder::with_variants(variants).with_precision(config.precision);
        let outside = Outside::bind(&mut builder, &sets, &fixed, layout, &params);
        let tensors = emit_micro(
            &mut builder,
            &config,
            &schedule,
            &feed,
            &model,
            &outside,
            &fixed.bound,
        )?;
        if keep_batch {
            for tensor in [
                tensors.x0,
                tensors.x_t,
                tensors.target,
                tensors.output,
                tensors.gradient,
            ] {
                builder.keep(tensor);
            }
        }
        let micro = builder.begin(gpu)?;
        let mut builder = PlanBuilder::with_variants(variants);
        let chunks = sets.bind_chunks(&mut builder);
        let stats = builder.external("stats", &fixed.report.part(0, STATS_WORDS as u64));
        let state = builder.external("state", &fixed.state);
        builder.set_label("optimiser");
        optimizer::grad_norm(&mut builder, &chunks, stats, state);
        optimizer::update(&mut builder, &chunks, stats, state);
        let update = builder.begin(gpu)?;
        let ring = ReadbackRing::new(gpu, RING, layout.bytes())?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            feed,
            params,
            sets,
            fixed,
            layout,
            loss_scale,
            micro,
            update,
            variants,
            batch: keep_batch.then_some(tensors),
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
        })
    }

    /// Writes weights, in the layout of files and the order of [`Stepper::params`]; the moving average starts there.
    pub fn set_weights(&self, values: &[Vec<f32>]) {
        self.sets.weights.write(&self.gpu, &self.params, values);
        self.sets.ema.write(&self.gpu, &self.params, values);
    }

    /// Goes on from this step, for a restored run.
    pub const fn set_step(&mut self, step: u64) {
        self.step = step;
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

    /// The device.
    pub const fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The configuration.
    pub const fn config(&self) -> &StepConfig {
        &self.config
    }

    /// The parameters, in order.
    pub fn params(&self) -> &[ParamInfo] {
        &self.params
    }

    /// The sets of numbers on the device.
    pub const fn sets(&self) -> &TrainSets {
        &self.sets
    }

    /// The kernel variants in use.
    pub const fn variants(&self) -> VariantTable {
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

    /// The last micro-batch, if it is kept.
    pub fn batch_views(&self) -> Option<BatchViews> {
        let tensors = self.batch?;
        let view = |tensor| self.micro.view(tensor).clone();
        let t = self.layout.t() as u64;
        Some(BatchViews {
            t: self.fixed.report.part(t, self.config.batch as u64),
            x0: view(tensors.x0),
            x_t: view(tensors.x_t),
            target: view(tensors.target),
            output: view(tensors.output),
            gradient: view(tensors.gradient),
        })
    }

    /// Time from the call of [`Stepper::begin`] to the figures of the first step.
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

    /// Changes the learning rate's schedule and the moving average's decay from the next step on.
    pub const fn set_live(&mut self, lr: LearningRate, ema_decay: f64) {
        self.config.lr = lr;
        self.config.ema_decay = ema_decay;
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
        self.pacer.begin_round();
        while self.step < until
            && (self.phase != Phase::Update || self.ring.has_room())
            && let Some(budget) = self.pacer.budget(&self.gpu)
        {
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
        let (done, work) = plan.encode(&mut encoder, &mut self.cursor, budget);
        let mut slot = None;
        if done && self.phase == Phase::Update {
            slot = self
                .ring
                .copy(&mut encoder, &self.fixed.report, self.step + 1);
        }
        let commands = encoder.finish();
        self.encode_time += begun.elapsed();
        self.pacer.submit(&self.gpu, commands, work);
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
        state.inverse_loss_scale = 1.0 / self.loss_scale;
        state.clip_norm = config.clip_norm as f32;
        state.flip_probability = config.flip as f32;
        let lr = config.lr.at(self.step);
        config.adam.apply(&mut state, self.step + 1, lr);
        let decay = ema_decay(config.ema_decay, config.ema_power, self.step);
        state.set_ema(decay, false);
        self.fixed.state.write(&self.gpu, 0, state.words());

        let first = self.step * total as u64 + (k * batch) as u64;
        self.feed.write(&self.gpu, &self.fixed.feed, first, batch);
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
}

impl Fixed {
    fn new(
        gpu: &Arc<Gpu>,
        config: &StepConfig,
        feed: &Feed,
        model: &Model,
        layout: ReportLayout,
        schedule: &NoiseSchedule,
    ) -> Result<Self> {
        let q_table = batch::q_sample_table(schedule);
        let quantiles = config.draw.quantiles(schedule);
        let scheduler = &config.scheduler;
        let bound =
            loss::BoundTable::new(schedule, scheduler.variance_type, scheduler.prediction_type);
        let (pool, views) = Pool::allocate(
            gpu,
            "run",
            &fixed_sizes(
                config,
                feed,
                layout,
                [
                    model.time_table.len(),
                    q_table.len(),
                    bound.words.len(),
                    quantiles.len(),
                ],
            ),
        )?;
        let [state, feed, report, time_table, q_view, bound_view, t_view] =
            <[View; 7]>::try_from(views).map_err(|_| {
                Error::Train(TrainError::State("memory was laid out wrongly".into()))
            })?;
        time_table.write(gpu, 0, &model.time_table);
        q_view.write(gpu, 0, &q_table);
        bound_view.write(gpu, 0, &bound.words);
        t_view.write(gpu, 0, &quantiles);
        Ok(Self {
            _pool: pool,
            state,
            feed,
            report,
            time_table,
            q_table: q_view,
            bound_table: bound_view,
            quantiles: t_view,
            bound,
        })
    }
}

/// What [`Fixed`] holds, with the words of the tables of timesteps, of √ᾱ, of the bound and of the draws.
fn fixed_sizes(
    config: &StepConfig,
    feed: &Feed,
    layout: ReportLayout,
    [time, q, bound, draws]: [usize; 4],
) -> FixedWords {
    [
        ("state", 4 * STATE_WORDS as u64),
        ("data", feed.bytes(config.batch)),
        ("report", layout.bytes()),
        ("time table", 4 * time as u64),
        ("sqrt(alpha_bar)", 4 * q as u64),
        ("bound", 4 * bound as u64),
        ("quantiles of t", 4 * draws as u64),
    ]
}

/// The tensors of the micro-batch plan that outlive it.
#[derive(Debug)]
struct Outside {
    state: TensorId,
    data: TensorId,
    stats: TensorId,
    mse: TensorId,
    vlb: TensorId,
    t: TensorId,
    time_table: TensorId,
    q_table: TensorId,
    bound_table: TensorId,
    quantiles: TensorId,
    weights: Vec<TensorId>,
    grads: Vec<TensorId>,
}

impl Outside {
    fn bind(
        plan: &mut PlanBuilder,
        sets: &TrainSets,
        fixed: &Fixed,
        layout: ReportLayout,
        params: &[ParamInfo],
    ) -> Self {
        let part = |first: usize| fixed.report.part(first as u64, layout.part as u64);
        Self {
            state: plan.external("state", &fixed.state),
            data: plan.external("data", &fixed.feed),
            stats: plan.external("stats", &fixed.report.part(0, STATS_WORDS as u64)),
            mse: plan.external("losses", &part(layout.mse())),
            vlb: plan.external("bounds", &part(layout.vlb())),
            t: plan.external("t", &part(layout.t())),
            time_table: plan.external("time table", &fixed.time_table),
            q_table: plan.external("sqrt(alpha_bar)", &fixed.q_table),
            bound_table: plan.external("bound", &fixed.bound_table),
            quantiles: plan.external("quantiles of t", &fixed.quantiles),
            weights: sets.weights.bind(plan, params),
            grads: sets.grads.bind(plan, params),
        }
    }

    /// The same without memory.
    fn plan(
        plan: &mut PlanBuilder,
        params: &[ParamInfo],
        fixed: &FixedWords,
        layout: ReportLayout,
    ) -> Self {
        let [state, data, _, time, q, bound, draws] = *fixed;
        let mut whole = |(label, bytes): (&str, u64)| plan.outside(label, bytes / 4);
        let (state, data) = (whole(state), whole(data));
        let (time_table, q_table, bound_table) = (whole(time), whole(q), whole(bound));
        let quantiles = whole(draws);
        let part = layout.part as u64;
        let mut set = || -> Vec<TensorId> {
            // Of a network whose parameters need several buffers, a few dispatches more.
            plan.outside_together(params.iter().map(|p| (p.name.as_str(), p.words() as u64)))
        };
        let (weights, grads) = (set(), set());
        Self {
            state,
            data,
            stats: plan.outside("stats", STATS_WORDS as u64),
            mse: plan.outside("losses", part),
            vlb: plan.outside("bounds", part),
            t: plan.outside("t", part),
            time_table,
            q_table,
            bound_table,
            quantiles,
            weights,
            grads,
        }
    }
}

fn emit_micro(
    plan: &mut PlanBuilder,
    config: &StepConfig,
    schedule: &NoiseSchedule,
    feed: &Feed,
    model: &Model,
    outside: &Outside,
    table_of_bound: &loss::BoundTable,
) -> Result<BatchTensors> {
    let graph = &model.graph;
    let shape = graph.shape(model.inputs.x);
    let &Outside {
        state,
        data,
        stats,
        mse,
        vlb,
        t,
        time_table: table,
        q_table,
        bound_table,
        quantiles,
        ref weights,
        ref grads,
    } = outside;

    plan.set_label("batch");
    let words = shape.words();
    let x0 = feed.emit(plan, data, shape, config.flip > 0.0, state)?;
    let [x_t, target] = ["x_t", "target"].map(|l| plan.tensor(l, words));
    let timesteps = schedule.timesteps();
    batch::timesteps(
        plan,
        (config.batch, timesteps),
        batch::TimestepDraw::Stratified,
        (stream::TIMESTEP, RandomStep::MicroStep),
        quantiles,
        t,
        state,
    );
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
        plan,
        &q,
        (stream::TRAIN_NOISE, RandomStep::MicroStep),
        state,
    );

    let bound = model.lower(plan, x_t, t, table, state, weights);
    plan.set_label("loss");
    let grad = plan.tensor("gradient of the output", words);
    let (simple_weight, bound_weight) = loss::loss_weights(config.loss, timesteps);
    let needs_bound = !matches!(config.loss, LossType::Simple);
    if needs_bound && config.draw != TimestepDistribution::Uniform {
        return Err(DiffusionError::Unsupported {
            key: "the draw of timesteps",
            value: config.draw.to_string(),
            expected: "uniform with this loss: the variational bound is a mean over all timesteps"
                .to_owned(),
        }
        .into());
    }
    let bound_inputs = needs_bound.then_some(loss::Bound {
        x0,
        x_t,
        t,
        table: bound_table,
        timesteps,
        mean_from_x: table_of_bound.mean_from_x,
        mean_from_out: table_of_bound.mean_from_out,
        log_sigma: table_of_bound.log_sigma,
    });
    loss::emit(
        plan,
        &loss::Loss {
            shape,
            out: bound.output,
            target,
            weights: None,
            grad_factor: config.precision.loss_scale(shape),
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
    let bound_output = bound.output;
    let mut lowered = bound.lowered;
    graph.lower_backward(
        plan,
        &mut lowered,
        weights,
        grads,
        model.output,
        grad,
        config.checkpoint_activations,
    );
    Ok(BatchTensors {
        x0,
        x_t,
        target,
        output: bound_output,
        gradient: grad,
    })
}

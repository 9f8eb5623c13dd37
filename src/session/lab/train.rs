//! Training in the lab: the [`Stepper`] on points, with stop conditions, a learning rate that falls towards the stop,
//! the mini-batch of a single step, and samples whose merit is measured now and then.

use std::{sync::Arc, time::Duration};

use super::{
    EXTENT,
    command::LabTrainSpec,
    event::{LabEvent, LabTrainEvent, MiniPoint},
    job::Context,
    merit::{Floors, Measuring},
    reverse::to_points,
    stage::Stage,
};
use crate::{
    Error, Result,
    diffusion::{
        NoiseSchedule, Objective, TimestepDistribution, forward::q_sample_factors,
        loss_weight::LossType,
    },
    gpu::{Gpu, film::Film, readback::Fetch},
    nn::{
        init,
        lr_schedule::{LearningRate, LearningRateDecay},
        model::ParamSet,
        network::Network,
        optimizer::AdamConfig,
        plan::Precision,
    },
    session::{
        TrainError,
        command::StopAt,
        course::{Course, Mode},
        event::{Event, Job, TrainStatus},
        feed::Feed,
        sampling::{CloudRequest, Predictor, SampleRequest, SampleRun, Watch},
        stepper::{StepConfig, StepReport, Stepper},
    },
};

/// Steps of linear warm-up of the learning rate.
const WARMUP: u64 = 50;
/// What remains of the learning rate at the stop.
const FINAL_LR: f64 = 0.02;
/// How fast the smoothed loss of a stop condition follows.
const SMOOTHING: f32 = 0.02;
/// What counts as training of the time between two looks at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Samples by which the network in training is measured.
const MERIT_COUNT: usize = 2000;
/// Steps of the sampler that draws them.
const MERIT_STEPS: usize = 25;
/// Pixels a side of their picture.
const MERIT_SIDE: usize = 320;

/// Seconds of training after which it is measured for the first time, however few steps those were: whoever waits on a
/// slow device sees something. After that, each time the time has doubled.
const FIRST_MERIT: f64 = 2.0;

/// Samples on their way.
#[derive(Debug)]
enum Measure {
    Drawing {
        step: u64,
        run: Box<SampleRun>,
        warm: bool,
    },
    Measuring {
        step: u64,
        cloud: Film,
        measuring: Box<Measuring>,
    },
}

/// A training run of the lab.
#[derive(Debug)]
pub struct LabTraining {
    spec: LabTrainSpec,
    network: Network,
    schedule: Arc<NoiseSchedule>,
    stepper: Stepper,
    course: Course,
    warm: bool,
    /// Seconds from which the learning rate falls.
    falls_from: f64,
    lr: f64,
    measure: Option<Measure>,
    measured_at: u64,
    /// Seconds of training after which it is measured next.
    merit_after: f64,
    batch: Option<(u64, Fetch)>,
    show_batch: bool,
}

impl LabTraining {
    /// A run from random weights.
    ///
    /// # Errors
    /// A network that cannot be built or does not fit the device.
    pub fn start(gpu: &Arc<Gpu>, stage: &Stage, spec: LabTrainSpec) -> Result<Self> {
        super::within("the number of points a step", spec.batch, 1, 65_536)?;
        let network = Network::from(&spec.network);
        let config = StepConfig {
            scheduler: stage.stage.scheduler.clone(),
            batch: spec.batch,
            accumulate: 1,
            lr: LearningRate {
                base: spec.lr,
                warmup_steps: WARMUP,
                decay: LearningRateDecay::Constant,
            },
            adam: AdamConfig::default(),
            clip_norm: 1.0,
            ema_decay: spec.ema_decay,
            ema_power: None,
            flip: 0.0,
            loss: LossType::Simple,
            draw: TimestepDistribution::Uniform,
            checkpoint_activations: false,
            precision: Precision::F32,
            seed: spec.seed,
        };
        let feed = Feed::Points {
            source: Arc::clone(&stage.source),
            seed: spec.seed,
        };
        let stepper = Stepper::begin(gpu, config, &network, feed, true)?;
        stepper.set_weights(&init::weights(stepper.params(), spec.seed));
        Ok(Self {
            network,
            schedule: Arc::clone(&stage.schedule),
            stepper,
            course: Course::new(Mode::Running, spec.stop, 0, PATIENCE, SMOOTHING),
            warm: false,
            falls_from: 0.0,
            lr: spec.lr,
            measure: None,
            measured_at: 0,
            merit_after: FIRST_MERIT,
            batch: None,
            show_batch: false,
            spec,
        })
    }

    /// What an interface has to know of a run that has just been started.
    pub fn opened(&self) -> LabTrainEvent {
        LabTrainEvent::Opened {
            spec: Box::new(self.spec.clone()),
            parameters: self.stepper.params().iter().map(|p| p.file_len()).sum(),
        }
    }

    /// The network with its averaged or raw weights.
    pub const fn predictor(&self, averaged: bool) -> Predictor<'_> {
        Predictor::Network(&self.network, self.weights(averaged))
    }

    const fn weights(&self, averaged: bool) -> &ParamSet {
        let sets = self.stepper.sets();
        if averaged { &sets.ema } else { &sets.weights }
    }

    /// Steps done.
    pub const fn step(&self) -> u64 {
        self.stepper.step()
    }

    /// Goes on.
    pub fn resume(&mut self) {
        self.course.resume(self.stepper.step());
    }

    /// Rests after the step under way.
    pub fn pause(&mut self) {
        self.course.pause();
    }

    /// One step, whose mini-batch is told, then rest.
    pub fn step_once(&mut self) {
        self.course.step_once(self.stepper.step());
        self.show_batch = true;
    }

    /// Sets when to stop; the learning rate falls from here to there.
    pub fn stop_at(&mut self, stop: StopAt) {
        self.course.stop = stop;
        self.falls_from = self.course.seconds();
    }

    /// Changes the learning rate.
    pub const fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        !self.warm
            || self.course.is_busy()
            || self.measure.is_some()
            || self.batch.is_some()
            || !self.stepper.is_settled()
    }

    /// The learning rate falls by half a cosine towards the stop: by the step where that is known, so that the run
    /// repeats bit for bit, else by the time.
    fn set_rate(&mut self) {
        let late = self.course.stop.seconds.map_or(0.0, |s| {
            let from = self.falls_from;
            ((self.course.seconds() - from) / (s - from).max(1e-9)).clamp(0.0, 1.0)
        });
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * late).cos());
        let decay = match self.course.stop.steps {
            Some(total_steps) => LearningRateDecay::Cosine {
                total_steps,
                final_fraction: FINAL_LR,
            },
            None => LearningRateDecay::Constant,
        };
        let rate = LearningRate {
            base: self.lr * (FINAL_LR + (1.0 - FINAL_LR) * fall),
            warmup_steps: WARMUP,
            decay,
        };
        self.stepper.set_live(rate, self.spec.ema_decay);
    }

    /// Goes on for about one slice.
    ///
    /// # Errors
    /// A lost device; a loss that is not finite does not count, the run rests then.
    pub fn pump(
        &mut self,
        context: &Context<'_>,
        floors: &mut Floors,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        if !self.warm {
            self.tell_status(TrainStatus::Preparing, tell);
            let (done, of) = self.stepper.warm(Duration::from_millis(8))?;
            tell(Event::Compiling {
                job: Job::Lab,
                done,
                of,
            });
            self.warm = done == of;
            return Ok(());
        }
        if let Some((step, fetch)) = &mut self.batch {
            let step = *step;
            if let Some(words) = fetch.poll(context.gpu)? {
                self.batch = None;
                let points = self.mini_batch(&words);
                say(tell, LabTrainEvent::Batch { step, points });
            }
            return Ok(());
        }
        if self.measure.is_some() {
            self.course.interrupt();
            return self.pump_measure(context, floors, tell);
        }
        self.pump_steps(context, tell)
    }

    fn pump_steps(&mut self, context: &Context<'_>, tell: &mut dyn FnMut(Event)) -> Result<()> {
        let step = self.step();
        let until = self.until(step);
        (self.course).count(step < until || !self.stepper.is_settled());
        self.set_rate();
        self.stepper.set_pace(context.pace);
        let reports = match self.stepper.pump(until) {
            Ok(reports) => reports,
            Err(Error::Train(TrainError::NotFinite { step, loss, lr, .. })) => {
                let message = format!(
                    "training stopped at step {step}: the loss became {loss} at learning rate {lr:.1e}; start again with a lower one"
                );
                self.course.end(message.clone());
                tell(Event::Failed {
                    job: Job::Lab,
                    message,
                });
                Vec::new()
            }
            Err(e) => return Err(e),
        };
        for report in reports {
            self.note(context.gpu, report, tell);
        }
        self.course.check_stops(&self.stepper, self.step() > 20);
        if self.course.mode != Mode::Paused {
            self.tell_status(TrainStatus::Running, tell);
        }
        if !self.stepper.is_settled() {
            return Ok(());
        }
        let step = self.step();
        if self.course.is_over(step) {
            self.course.mode = Mode::Paused;
            if std::mem::take(&mut self.show_batch)
                && let Some(batch) = self.stepper.batch_views()
            {
                let views = [
                    batch.t,
                    batch.x0,
                    batch.x_t,
                    batch.target,
                    batch.output,
                    batch.gradient,
                ];
                self.batch = Some((step, Fetch::start(context.gpu, &views)?));
            }
            return Ok(());
        }
        if self.is_merit_due(step) {
            self.measured_at = step;
            self.merit_after = self.merit_after.max(2.0 * self.course.seconds());
            match self.draw(context) {
                Ok(run) => {
                    self.measure = Some(Measure::Drawing {
                        step,
                        run: Box::new(run),
                        warm: false,
                    });
                }
                Err(e) => {
                    // Training is worth more than a picture of it.
                    self.spec.merit_every = 0;
                    tell(Event::Failed {
                        job: Job::Lab,
                        message: e.to_string(),
                    });
                }
            }
        } else if self.course.mode == Mode::Paused {
            self.course.rest();
            if let Some(status) = self.course.news_of_rest() {
                say(tell, LabTrainEvent::Status(status));
            }
        }
        Ok(())
    }

    fn is_merit_due(&self, step: u64) -> bool {
        let every = self.spec.merit_every;
        // A run that stops by itself is measured at its end, too.
        let at_end = self.course.mode == Mode::Paused && self.course.reason.is_some();
        every > 0
            && step > 0
            && self.measured_at != step
            && (step >= (self.measured_at / every + 1) * every
                || self.course.seconds() >= self.merit_after
                || at_end)
    }

    /// The step to which the stepper may go before something else is to be done.
    fn until(&self, step: u64) -> u64 {
        if self.course.mode == Mode::Paused || self.is_merit_due(step) {
            return step + u64::from(self.stepper.is_in_step());
        }
        if let Mode::Once(last) = self.course.mode {
            return last.max(step);
        }
        let next = match self.spec.merit_every {
            0 => u64::MAX,
            every => (step / every + 1) * every,
        };
        next.min(self.course.stop.steps.unwrap_or(u64::MAX).max(step))
    }

    fn note(&mut self, gpu: &Gpu, report: StepReport, tell: &mut dyn FnMut(Event)) {
        let (figures, _) = (self.course).note(gpu, &self.stepper, &report, self.spec.batch);
        say(tell, LabTrainEvent::Step(report, figures));
    }

    fn tell_status(&mut self, status: TrainStatus, tell: &mut dyn FnMut(Event)) {
        if let Some(status) = self.course.news(status) {
            say(tell, LabTrainEvent::Status(status));
        }
    }

    fn draw(&self, context: &Context<'_>) -> Result<SampleRun> {
        let request = SampleRequest {
            count: MERIT_COUNT,
            sampler: "ddim".to_owned(),
            steps: MERIT_STEPS.min(self.schedule.timesteps()),
            eta: 0.0,
            seed: self.spec.seed,
            batch: MERIT_COUNT,
        };
        let cloud = CloudRequest {
            frames: 1,
            side: MERIT_SIDE,
            extent: EXTENT,
            paths: 0,
        };
        SampleRun::begin(
            context.gpu,
            self.predictor(true),
            &context.stage.stage.scheduler,
            request,
            Watch::Cloud(context.painter, cloud),
        )
    }

    fn pump_measure(
        &mut self,
        context: &Context<'_>,
        floors: &mut Floors,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        match &mut self.measure {
            Some(Measure::Drawing { step, run, warm }) => {
                if !*warm {
                    let (done, of) = run.warm(Duration::from_millis(8))?;
                    *warm = done == of;
                    return Ok(());
                }
                run.set_pace(context.pace);
                if run.pump()? {
                    let samples = to_points(run.images());
                    self.measure = run.cloud().cloned().map(|cloud| Measure::Measuring {
                        step: *step,
                        cloud,
                        measuring: Box::new(Measuring::new(context.stage, &samples)),
                    });
                }
            }
            Some(Measure::Measuring {
                step,
                cloud,
                measuring,
            }) => {
                if let Some(merit) = measuring.next(context.stage, floors) {
                    tell(Event::Lab(LabEvent::Merit {
                        step: *step,
                        cloud: cloud.clone(),
                        merit,
                    }));
                    self.measure = None;
                }
            }
            None => {}
        }
        Ok(())
    }

    /// t, x_0, x_t, target, output and ∂L/∂output as points. Whatever the network predicts, ε̂ follows from it linearly
    /// (`epsilon_map`), and so does the pull on it.
    fn mini_batch(&self, words: &[Vec<u32>]) -> Arc<[MiniPoint]> {
        let [t, rest @ ..] = words else {
            return Arc::new([]);
        };
        let at = |k: usize, i: usize| -> [f64; 2] {
            [0, 1].map(|c| f64::from(f32::from_bits(rest[k][4 * i + c])))
        };
        let objective = self.stepper.config().scheduler.prediction_type;
        (t.iter().enumerate())
            .map(|(i, &t)| {
                let t = (t as usize).min(self.schedule.timesteps() - 1);
                let bar = f64::from(self.schedule.alpha_bars()[t]);
                let map = objective.epsilon_map(bar);
                let (a, s) = q_sample_factors(&self.schedule, t);
                let [x0, x_t, target, output, gradient] = [0, 1, 2, 3, 4].map(|k| at(k, i));
                let eps = if objective == Objective::Epsilon {
                    target
                } else {
                    [0, 1].map(|c| (x_t[c] - f64::from(a) * x0[c]) / f64::from(s))
                };
                let point = |p: [f64; 2]| p.map(|v| v as f32);
                MiniPoint {
                    t: t + 1,
                    x0: point(x0),
                    x_t: point(x_t),
                    eps: point(eps),
                    eps_hat: point([0, 1].map(|c| map.apply(x_t[c], output[c]))),
                    pull: point([0, 1].map(|c| -gradient[c] * map.from_out)),
                }
            })
            .collect()
    }

    /// Waits for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self, gpu: &Gpu) {
        match &mut self.measure {
            Some(Measure::Drawing {
                run, warm: true, ..
            }) => run.wait(),
            Some(_) => {}
            None if self.batch.is_some() => gpu.wait(),
            None if self.warm => self.stepper.wait(),
            None => {}
        }
    }
}

fn say(tell: &mut dyn FnMut(Event), event: LabTrainEvent) {
    tell(Event::Lab(LabEvent::Train(event)));
}

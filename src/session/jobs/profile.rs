//! Where the time of the network at hand goes, kernel by kernel: a training step or an evaluation, on memory of its
//! own, so that a run in training is not touched.

use std::{sync::Arc, time::Duration};

use web_time::Instant;

use crate::{
    Result, bench,
    data::Shuffle,
    gpu::{Gpu, timing::Clock},
    nn::{
        Plan, init,
        model::ParamSet,
        network::Network,
        profile::{Profiler, Timed},
        roofline::{Roofline, RooflineJob},
        tuning::VariantTable,
        unet,
    },
    session::{
        command::{ProfilePass, ProfileRequest},
        config::{PRESETS, TrainConfig},
        event::{Event, Job, ModelInfo, ProfileEvent, ProfileStage, ProfileView},
        feed::Feed,
        pacer::Pace,
        sampling::{Predictor, SampleRequest, SampleRun, Watch},
        stepper::Stepper,
    },
};

/// Time of a submission: longer ones keep the interface waiting, shorter ones are mostly their way to the device.
const SLICE: f64 = 0.02;
/// Time at once for making pipelines.
const COMPILE: Duration = Duration::from_millis(8);
/// News are this far apart, as drawing them takes time of the device.
const NEWS: Duration = Duration::from_millis(500);
/// Images at once at most.
const MOST: usize = 1024;

/// What is timed.
#[derive(Debug)]
enum Subject {
    Step(Box<Stepper>),
    Evaluation {
        run: Box<SampleRun>,
        /// The run has no hold on them.
        _weights: ParamSet,
    },
}

impl Subject {
    fn step(gpu: &Arc<Gpu>, config: &TrainConfig, variants: VariantTable) -> Result<Self> {
        let images = bench::synthetic(config)?.train;
        let feed = Feed::Images {
            shuffle: Shuffle::new(images.len(), 0),
            images,
        };
        let network = Network::from(&config.unet);
        let stepper =
            Stepper::begin_with(gpu, config.step_config(), &network, feed, false, variants)?;
        stepper.set_weights(&init::weights(stepper.params(), 0));
        Ok(Self::Step(Box::new(stepper)))
    }

    fn evaluation(gpu: &Arc<Gpu>, model: &ModelInfo, batch: usize) -> Result<Self> {
        let timesteps = model.scheduler.num_train_timesteps;
        let graph = unet::build(&model.unet, 1, timesteps, false)?.graph;
        let weights = ParamSet::zeros(gpu, "weights", graph.params())?;
        weights.write(gpu, graph.params(), &init::weights(graph.params(), 0));
        let request = SampleRequest {
            count: batch,
            sampler: "ddpm".into(),
            steps: 1,
            eta: 0.0,
            seed: 0,
            batch,
        };
        let network = Network::from(&model.unet);
        let run = SampleRun::begin(
            gpu,
            Predictor::Network(&network, &weights),
            &model.scheduler,
            request,
            Watch::Nothing,
        )?;
        Ok(Self::Evaluation {
            run: Box::new(run),
            _weights: weights,
        })
    }

    fn warm(&mut self) -> Result<(usize, usize)> {
        match self {
            Self::Step(stepper) => stepper.warm(COMPILE),
            Self::Evaluation { run, .. } => run.warm(COMPILE),
        }
    }

    /// Goes on with a first run of everything, by which pacing learns the kernels' speeds; true once it is done.
    fn run_once(&mut self, pace: Pace) -> Result<bool> {
        match self {
            Self::Step(stepper) => {
                stepper.set_pace(pace);
                stepper.pump(1)?;
                Ok(stepper.step() >= 1 && stepper.is_settled())
            }
            Self::Evaluation { run, .. } => {
                run.set_pace(pace);
                run.pump()
            }
        }
    }

    fn plans(&self) -> Vec<&Plan> {
        match self {
            Self::Step(stepper) => {
                let (micro, update) = stepper.plans();
                vec![micro, update]
            }
            Self::Evaluation { run, .. } => vec![run.plan()],
        }
    }
}

/// How a network is trained unless a run says otherwise.
fn usual(model: &ModelInfo) -> TrainConfig {
    TrainConfig {
        unet: model.unet.clone(),
        scheduler: model.scheduler.clone(),
        ..(PRESETS[0].make)(model.unet.sample_size, model.unet.in_channels)
    }
}

#[derive(Debug)]
enum Stage {
    Roofline(Box<RooflineJob>),
    Begin,
    Compiling(Subject),
    WarmUp(Subject),
    /// One plan after the other.
    Timing {
        subject: Subject,
        profiler: Box<Profiler>,
        times: Vec<Vec<Timed>>,
    },
    Done,
}

/// The job.
#[derive(Debug)]
pub struct ProfileJob {
    gpu: Arc<Gpu>,
    request: ProfileRequest,
    model: ModelInfo,
    config: TrainConfig,
    variants: VariantTable,
    roofline: Option<Roofline>,
    clock: Clock,
    stage: Stage,
    told: Option<Instant>,
}

impl ProfileJob {
    /// Of the model at hand. `own` are the settings and kernel variants of a run in training of the same network;
    /// `roofline` is what is known of the device already.
    ///
    /// # Errors
    /// A device without the memory for the measurement of the roofline.
    pub fn begin(
        gpu: &Arc<Gpu>,
        request: ProfileRequest,
        model: &ModelInfo,
        own: Option<(&TrainConfig, VariantTable)>,
        roofline: Option<Roofline>,
    ) -> Result<Self> {
        let batch = request.batch.clamp(1, MOST);
        let variants = own.map_or_else(|| VariantTable::of(gpu), |o| o.1);
        let config = own.map_or_else(|| usual(model), |o| o.0.clone());
        let config = TrainConfig {
            batch,
            accumulate: 1,
            ..config
        };
        let clock = Clock::beside_frames(gpu);
        let stage = match roofline {
            Some(_) => Stage::Begin,
            None => {
                let job = RooflineJob::new(gpu)?.in_slices(SLICE, clock);
                Stage::Roofline(Box::new(job))
            }
        };
        Ok(Self {
            gpu: Arc::clone(gpu),
            request: ProfileRequest { batch, ..request },
            model: model.clone(),
            config,
            variants,
            roofline,
            clock,
            stage,
            told: None,
        })
    }

    /// What the device can do at most, once that is known.
    pub const fn roofline(&self) -> Option<&Roofline> {
        self.roofline.as_ref()
    }

    /// Goes on for about one slice, without waiting; the profile once it is done.
    ///
    /// # Errors
    /// A device that fails or is too small.
    pub fn pump(&mut self, pace: Pace, tell: &mut dyn FnMut(Event)) -> Result<Option<ProfileView>> {
        self.gpu.check()?;
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Roofline(mut job) => {
                self.roofline = job.pump(COMPILE)?;
                let (done, of) = job.progress();
                self.tell(ProfileStage::Roofline, done, of, tell);
                match self.roofline {
                    Some(_) => Stage::Begin,
                    None => Stage::Roofline(job),
                }
            }
            Stage::Begin => Stage::Compiling(match self.request.pass {
                ProfilePass::Step => Subject::step(&self.gpu, &self.config, self.variants)?,
                ProfilePass::Evaluation => {
                    Subject::evaluation(&self.gpu, &self.model, self.request.batch)?
                }
            }),
            Stage::Compiling(mut subject) => {
                let (done, of) = subject.warm()?;
                tell(Event::Compiling {
                    job: Job::Profile,
                    done,
                    of,
                });
                if done == of {
                    Stage::WarmUp(subject)
                } else {
                    Stage::Compiling(subject)
                }
            }
            Stage::WarmUp(mut subject) => {
                self.tell(ProfileStage::WarmUp, 0, 1, tell);
                if subject.run_once(pace)? {
                    Stage::Timing {
                        subject,
                        profiler: Box::new(Profiler::in_slices(SLICE, self.clock)),
                        times: Vec::new(),
                    }
                } else {
                    Stage::WarmUp(subject)
                }
            }
            Stage::Timing {
                subject,
                mut profiler,
                mut times,
            } => {
                let plans = subject.plans();
                let now = times.len();
                if let Some(found) = profiler.pump(&self.gpu, plans[now])? {
                    times.push(found);
                    profiler = Box::new(Profiler::in_slices(SLICE, self.clock));
                } else {
                    let (done, of) = profiler.progress(plans[now]);
                    let before: usize = plans[..now].iter().map(|p| p.len()).sum();
                    let all: usize = plans.iter().map(|p| p.len()).sum();
                    let runs = of / plans[now].len().max(1);
                    self.tell(ProfileStage::Timing, runs * before + done, runs * all, tell);
                }
                let over = times.len() == plans.len();
                if over && let Some(roofline) = self.roofline.clone() {
                    return Ok(Some(ProfileView {
                        request: self.request,
                        unet: self.model.unet.clone(),
                        checkpoint_activations: self.request.pass == ProfilePass::Step
                            && self.config.checkpoint_activations,
                        clock: self.clock,
                        roofline,
                        dispatches: times.concat(),
                    }));
                }
                Stage::Timing {
                    subject,
                    profiler,
                    times,
                }
            }
            Stage::Done => Stage::Done,
        };
        Ok(None)
    }

    fn tell(&mut self, stage: ProfileStage, done: usize, of: usize, tell: &mut dyn FnMut(Event)) {
        if self.told.is_none_or(|t| t.elapsed() >= NEWS) {
            self.told = Some(Instant::now());
            tell(Event::Profile(ProfileEvent::Progress { stage, done, of }));
        }
    }

    /// Waits for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        match &mut self.stage {
            Stage::WarmUp(Subject::Step(stepper)) => stepper.wait(),
            Stage::WarmUp(Subject::Evaluation { run, .. }) => run.wait(),
            Stage::Roofline(_) | Stage::Timing { .. } => self.gpu.wait(),
            Stage::Begin | Stage::Compiling(_) | Stage::Done => {}
        }
    }
}

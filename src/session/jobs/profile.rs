//! Where the time of the network at hand goes, kernel by kernel: a training step or an evaluation, on memory of its
//! own, so that a run in training is not touched.

use std::{sync::Arc, time::Duration};

use web_time::Instant;

use crate::{
    Result, bench,
    data::Shuffle,
    gpu::{
        Gpu,
        timing::{Clock, Slices, WayJob},
    },
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
    Way(WayJob),
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
    slices: Slices,
    stage: Stage,
    told: Option<Instant>,
}

impl ProfileJob {
    /// Of the model at hand. `own` are the settings and kernel variants of a run in training of the same network;
    /// `roofline` is what is known of the device already.
    pub fn new(
        gpu: &Arc<Gpu>,
        request: ProfileRequest,
        model: &ModelInfo,
        own: Option<(&TrainConfig, VariantTable)>,
        roofline: Option<Roofline>,
    ) -> Self {
        let batch = request.batch.clamp(1, MOST);
        let variants = own.map_or_else(|| VariantTable::of(gpu), |o| o.1);
        let config = own.map_or_else(|| usual(model), |o| o.0.clone());
        let config = TrainConfig {
            batch,
            accumulate: 1,
            ..config
        };
        let clock = Clock::beside_frames(gpu);
        let slices = Slices {
            seconds: SLICE,
            clock,
            way: 0.0,
        };
        Self {
            gpu: Arc::clone(gpu),
            request: ProfileRequest { batch, ..request },
            model: model.clone(),
            config,
            variants,
            roofline,
            slices,
            stage: Stage::Way(WayJob::default()),
            told: None,
        }
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
            Stage::Way(mut job) => {
                let way = match self.slices.clock {
                    Clock::Timestamps => Some(0.0),
                    Clock::Submissions => job.pump(&self.gpu)?,
                };
                self.slices.way = way.unwrap_or(0.0);
                match way {
                    None => Stage::Way(job),
                    Some(_) if self.roofline.is_some() => Stage::Begin,
                    Some(_) => {
                        let job = RooflineJob::in_slices(&self.gpu, self.slices)?;
                        Stage::Roofline(Box::new(job))
                    }
                }
            }
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
                        profiler: Box::new(Profiler::in_slices(self.slices)),
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
                    profiler = Box::new(Profiler::in_slices(self.slices));
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
                        clock: self.slices.clock,
                        way_s: self.slices.way,
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
            Stage::Way(_) | Stage::Roofline(_) | Stage::Timing { .. } => self.gpu.wait(),
            Stage::Begin | Stage::Compiling(_) | Stage::Done => {}
        }
    }
}

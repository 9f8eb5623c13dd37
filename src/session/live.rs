//! The session that an interface drives: [`Command`]s in, [`Event`]s out, and [`Session::pump`] in between,
//! which never waits. Natively a [`Link`](super::link::Link) pumps it on a thread of its own, as software adapters
//! work while they are being talked to; the page pumps it between frames.

use std::{collections::VecDeque, io::Cursor, sync::Arc, time::Duration};

use super::{
    TrainError,
    budget::BudgetPlan,
    checkpoint,
    command::{
        BenchRequest, Command, DataChoice, ExportRequest, ForwardRequest, ModelChoice,
        ProbeRequest, ProfileRequest, TrainCommand, TrainSpec,
    },
    event::{
        BenchEvent, Event, Job, ModelInfo, ProfileEvent, ReverseEvent, TrainEvent, TrainStatus,
    },
    jobs::{
        Weights, export::ExportJob, forward::ForwardJob, probe::ProbeJob, profile::ProfileJob,
        reverse::ReverseJob, training::TrainingJob,
    },
    lab::{command::LabCommand, job::LabJob},
    pacer::Pace,
    pipeline::Pipeline,
};
use web_time::Instant;

use crate::{
    Error, Result,
    bench::{self, Bench, BenchOptions},
    data::{self, BUILT_IN, Dataset, LoadOptions, Opening},
    gpu::{Gpu, GpuError, film::Painter},
    nn::{
        model::ParamSet,
        network::Network,
        plan::Precision,
        roofline::Roofline,
        tuning::{self, Tuner},
    },
};

/// What a session did in a [`Session::pump`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// It got on, and there is more to do.
    Busy,
    /// It waits for the device.
    Waiting,
    /// There is nothing to do.
    Idle,
}

/// A model that is open.
#[derive(Debug, Clone)]
struct OpenModel {
    info: Arc<ModelInfo>,
    weights: Weights,
}

impl OpenModel {
    /// Its weights, if they are still there.
    fn weights<'a>(&'a self, training: &'a Option<TrainingJob>) -> Option<&'a ParamSet> {
        match &self.weights {
            Weights::Own(set) => Some(set),
            Weights::Training { averaged } => Some(training.as_ref()?.weights(*averaged)),
        }
    }

    /// What keeps them alive while they are bound; the run in training keeps its own.
    fn keep(&self) -> Option<Arc<ParamSet>> {
        match &self.weights {
            Weights::Own(set) => Some(Arc::clone(set)),
            Weights::Training { .. } => None,
        }
    }
}

/// A measurement under way.
#[derive(Debug)]
struct Measuring {
    bench: Bench,
    model: &'static str,
    batch: usize,
    /// When news of it was told.
    told: Option<Instant>,
}

/// All work of an interface on one device.
#[derive(Debug)]
pub struct Session {
    gpu: Arc<Gpu>,
    painter: Option<Painter>,
    events: VecDeque<Event>,
    data: Option<Arc<Dataset>>,
    model: Option<OpenModel>,
    forward: ForwardJob,
    forward_next: Option<ForwardRequest>,
    reverse: Option<ReverseJob>,
    /// Frames of each run's film that are there, for exports.
    painted: Vec<usize>,
    probe: Option<ProbeJob>,
    probe_next: Option<ProbeRequest>,
    training: Option<TrainingJob>,
    /// A run that waits for the choice of kernel variants.
    tuning: Option<(Tuner, Box<TrainSpec>, Arc<Dataset>)>,
    /// A data set that is being read and decoded.
    opening: Option<Box<dyn Opening>>,
    /// A checkpoint that waits for its data.
    restore: Option<Arc<[u8]>>,
    exports: VecDeque<ExportJob>,
    lab: LabJob,
    bench: Option<Measuring>,
    profile: Option<ProfileJob>,
    /// What the device can do at most, once that was measured.
    roofline: Option<Roofline>,
    /// Which of the two runs in training has the device next.
    lab_next: bool,
    hidden: bool,
    calm: bool,
    lost: bool,
}

impl Session {
    /// Time at once for decoding a data set.
    const UNPACK: Duration = Duration::from_millis(8);
    /// News of a measurement are this far apart, as drawing them takes time of the device.
    const BENCH_NEWS: Duration = Duration::from_secs(2);
    /// Beside an interface that nobody touches: where a submission takes its way through another process, larger ones
    /// get more done.
    const CALM: Pace = Pace {
        slice: Duration::from_millis(20),
        ..Pace::INTERACTIVE
    };

    /// A session without data or model.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        let ready = Event::Ready {
            adapter: gpu.info.name.clone(),
            software: gpu.capabilities.software,
            f16: gpu.capabilities.f16,
        };
        let mut session = Self {
            gpu: Arc::clone(gpu),
            painter: None,
            events: VecDeque::from([ready]),
            data: None,
            model: None,
            forward: ForwardJob::default(),
            forward_next: None,
            reverse: None,
            painted: Vec::new(),
            probe: None,
            probe_next: None,
            training: None,
            tuning: None,
            opening: None,
            restore: None,
            exports: VecDeque::new(),
            lab: LabJob::new(gpu),
            bench: None,
            profile: None,
            roofline: None,
            lab_next: false,
            hidden: false,
            calm: false,
            lost: false,
        };
        match Painter::new(gpu) {
            Ok(painter) => session.painter = Some(painter),
            Err(e) => session.fail(Job::Forward, &e.into()),
        }
        session
    }

    /// Takes a request.
    pub fn handle(&mut self, command: Command) {
        if self.lost {
            return;
        }
        let (job, outcome) = match command {
            Command::OpenData(choice) => (Job::Data, self.open_data(choice)),
            Command::OpenModel(choice) => (Job::Model, self.open_model(choice)),
            Command::Forward(request) => {
                self.forward_next = Some(request);
                (Job::Forward, Ok(()))
            }
            Command::Reverse(request) => {
                self.painted.clear();
                let weights = self.model.as_ref().and_then(OpenModel::keep);
                self.reverse = Some(ReverseJob::new(request, weights));
                (Job::Reverse, Ok(()))
            }
            Command::StopReverse => {
                if let Some(job) = &mut self.reverse {
                    job.stop();
                }
                (Job::Reverse, Ok(()))
            }
            Command::Probe(request) => {
                self.probe_next = Some(request);
                (Job::Probe, Ok(()))
            }
            Command::Train(command) => (Job::Training, self.train(command)),
            Command::Export(request) => (Job::Export, self.export(request)),
            Command::Lab(command) => (Job::Lab, self.handle_lab(command)),
            Command::Bench(request) => (Job::Bench, self.begin_bench(&request)),
            Command::Profile(request) => (Job::Profile, self.begin_profile(request)),
            Command::StopProfile => {
                self.profile = None;
                (Job::Profile, Ok(()))
            }
            Command::Hidden(hidden) => {
                self.hidden = hidden;
                (Job::Training, Ok(()))
            }
        };
        if let Err(e) = outcome {
            self.fail(job, &e);
        }
    }

    fn begin_bench(&mut self, request: &BenchRequest) -> Result<()> {
        let Some(model) = bench::model(&request.model) else {
            let known: Vec<&str> = bench::MODELS.iter().map(|m| m.name).collect();
            return Err(TrainError::NoBench {
                asked: request.model.clone(),
                known: known.join(", "),
            }
            .into());
        };
        let batch = request.batch.unwrap_or(model.batch).clamp(1, 65_536);
        let options = BenchOptions {
            batch,
            seconds: request.seconds.clamp(0.1, 3600.0),
            checkpoint_activations: false,
            precision: Precision::F32,
            profile: false,
        };
        self.bench = Some(Measuring {
            bench: Bench::begin(&self.gpu, model, options)?,
            model: model.name,
            batch,
            told: None,
        });
        Ok(())
    }

    fn pump_bench(&mut self) -> Result<Pumped> {
        let Some(measuring) = &mut self.bench else {
            return Ok(Pumped::Idle);
        };
        let report = measuring.bench.pump()?;
        if measuring.bench.take_tuned() {
            let known = tuning::document(&self.gpu);
            self.events.push_back(Event::Tuned(Arc::new(known)));
        }
        if let Some(report) = report {
            self.bench = None;
            let done = BenchEvent::Done(Box::new(report));
            self.events.push_back(Event::Bench(done));
            return Ok(Pumped::Busy);
        }
        if (measuring.told).is_none_or(|t| t.elapsed() > Self::BENCH_NEWS) {
            measuring.told = Some(Instant::now());
            self.events.push_back(Event::Bench(BenchEvent::Progress {
                model: measuring.model,
                batch: measuring.batch,
                status: measuring.bench.status().to_owned(),
            }));
            return Ok(Pumped::Busy);
        }
        Ok(Pumped::Waiting)
    }

    fn begin_profile(&mut self, request: ProfileRequest) -> Result<()> {
        self.profile = None;
        let Some(model) = &self.model else {
            return Err(TrainError::NoModel.into());
        };
        let training = self.training.as_ref().map(TrainingJob::trainer);
        let own = training
            .filter(|t| t.config().unet == model.info.unet)
            .map(|t| (t.config(), t.variants()));
        let roofline = self.roofline.clone();
        let job = ProfileJob::new(&self.gpu, request, &model.info, own, roofline);
        self.profile = Some(job);
        Ok(())
    }

    fn pump_profile(&mut self) -> Result<Pumped> {
        let pace = self.pace();
        let Some(job) = &mut self.profile else {
            return Ok(Pumped::Idle);
        };
        let events = &mut self.events;
        let before = events.len();
        let done = job.pump(pace, &mut |event| events.push_back(event))?;
        self.roofline = job.roofline().cloned().or(self.roofline.take());
        if let Some(view) = done {
            self.profile = None;
            let done = ProfileEvent::Done(Arc::new(view));
            self.events.push_back(Event::Profile(done));
        }
        Ok(if self.events.len() > before {
            Pumped::Busy
        } else {
            Pumped::Waiting
        })
    }

    fn handle_lab(&mut self, command: LabCommand) -> Result<()> {
        let events = &mut self.events;
        self.lab
            .handle(command, &mut |event| events.push_back(event))
    }

    fn fail(&mut self, job: Job, error: &Error) {
        let event = if let Error::Gpu(GpuError::Lost { reason }) = error {
            self.lost = true;
            let reason: Vec<&str> = reason.split_whitespace().collect();
            Event::DeviceLost {
                message: format!("The driver says: {}", reason.join(" ")),
            }
        } else {
            Event::Failed {
                job,
                message: error.to_string(),
            }
        };
        self.events.push_back(event);
    }

    fn open_data(&mut self, choice: DataChoice) -> Result<()> {
        self.opening = None;
        let dataset = match choice {
            DataChoice::BuiltIn { name, asset } => {
                let options = LoadOptions::default();
                match (BUILT_IN.iter().find(|b| b.name == name), asset) {
                    (Some(entry), Some(asset)) => {
                        self.opening = Some(Box::new(entry.unpack(Cursor::new(asset), &options)));
                        return Ok(());
                    }
                    _ => data::open(&name, &options)?,
                }
            }
            DataChoice::Own { source, options } => {
                self.opening = Some(data::begin_source(source.open()?, &options)?);
                return Ok(());
            }
        };
        self.set_data(dataset)
    }

    fn set_data(&mut self, dataset: Dataset) -> Result<()> {
        let dataset = Arc::new(dataset);
        self.data = Some(Arc::clone(&dataset));
        self.events.push_back(Event::Data(dataset));
        if let Some(bytes) = self.restore.take() {
            self.restore(&bytes)?;
        }
        Ok(())
    }

    fn pump_data(&mut self) -> Result<Pumped> {
        if let Some(opening) = &mut self.opening
            && let Some(dataset) = opening.step(Self::UNPACK)?
        {
            self.opening = None;
            self.set_data(dataset)?;
        }
        Ok(Pumped::Busy)
    }

    fn open_model(&mut self, choice: ModelChoice) -> Result<()> {
        let (name, pipeline) = match choice {
            ModelChoice::Training { averaged } => {
                let Some(job) = &self.training else {
                    return Err(TrainError::NoRun.into());
                };
                let config = job.trainer().config();
                let what = if averaged { "averaged" } else { "raw" };
                let info = ModelInfo {
                    name: format!("the run in training ({what} weights)"),
                    unet: config.unet.clone(),
                    scheduler: config.scheduler.clone(),
                    parameters: job.trainer().params().iter().map(|p| p.file_len()).sum(),
                };
                self.set_model(info, Weights::Training { averaged });
                return Ok(());
            }
            ModelChoice::Pretrained { files } => (
                "digits (comes along)".to_owned(),
                match files {
                    Some(files) => Pipeline::from_parts(&files[0], &files[1], &files[2])?,
                    None => Pipeline::pretrained()?,
                },
            ),
            ModelChoice::Folder(dir) => {
                let name = dir.file_name().unwrap_or(dir.as_os_str());
                let name = name.to_string_lossy().into_owned();
                (
                    name,
                    Pipeline::load(&dir, super::pipeline::WeightKind::Pipeline)?,
                )
            }
        };
        let weights = pipeline.upload(&self.gpu)?;
        let info = ModelInfo {
            name,
            parameters: pipeline.weights.iter().map(|w| w.1.len()).sum(),
            unet: pipeline.unet,
            scheduler: pipeline.scheduler,
        };
        self.set_model(info, Weights::Own(Arc::new(weights)));
        Ok(())
    }

    fn set_model(&mut self, info: ModelInfo, weights: Weights) {
        self.reverse = None;
        self.probe = None;
        self.profile = None;
        let info = Arc::new(info);
        self.model = Some(OpenModel {
            info: Arc::clone(&info),
            weights,
        });
        self.events.push_back(Event::Model(info));
    }

    fn export(&mut self, request: ExportRequest) -> Result<()> {
        let films = self.reverse.as_ref().and_then(|r| r.films(request.run));
        if let Some(films) = films {
            let frames = self.painted.get(request.run).copied().unwrap_or(0);
            let job = ExportJob::start(&self.gpu, request, &films.x, frames)?;
            self.exports.push_back(job);
        } else {
            self.events.push_back(Event::Failed {
                job: Job::Export,
                message: "There is nothing to save yet; draw samples first.".into(),
            });
        }
        Ok(())
    }

    fn train(&mut self, command: TrainCommand) -> Result<()> {
        match command {
            TrainCommand::Start(spec) => {
                let mut spec = spec;
                let Some(data) = self.data.clone() else {
                    return Err(TrainError::NoData.into());
                };
                if let Some(budget) = spec.memory_budget {
                    let plan = BudgetPlan::new(&self.gpu, &spec, &data, budget)?;
                    spec.config.checkpoint_activations = plan.choose()?;
                }
                self.close_training();
                let tuner = Tuner::for_network(&self.gpu, &Network::from(&spec.config.unet))?;
                if !tuner.is_done() {
                    let preparing = TrainEvent::Status(TrainStatus::Preparing);
                    self.events.push_back(Event::Train(preparing));
                    self.tuning = Some((tuner, spec, data));
                    return Ok(());
                }
                let job = TrainingJob::start(&self.gpu, *spec, &data)?;
                self.open_training(job);
            }
            TrainCommand::Plan(spec) => {
                if let (Some(data), Some(budget)) = (&self.data, spec.memory_budget) {
                    let plan = BudgetPlan::new(&self.gpu, &spec, data, budget);
                    let told = TrainEvent::Planned(plan.map_err(|e| e.to_string()));
                    self.events.push_back(Event::Train(told));
                }
            }
            TrainCommand::Restore(bytes) => self.restore(&bytes)?,
            TrainCommand::Close => {
                self.close_training();
                let none = TrainEvent::Status(TrainStatus::None);
                self.events.push_back(Event::Train(none));
            }
            other => {
                let Some(job) = &mut self.training else {
                    return Ok(());
                };
                match other {
                    TrainCommand::Pause => job.pause(),
                    TrainCommand::Resume => job.resume(),
                    TrainCommand::Step => job.step_once(),
                    TrainCommand::StopAt(stop) => job.stop_at(stop),
                    TrainCommand::Live(live) => job.set_live(live),
                    TrainCommand::Preview => job.draw(),
                    TrainCommand::Save { auto } => job.save(auto),
                    TrainCommand::Start(_)
                    | TrainCommand::Plan(_)
                    | TrainCommand::Restore(_)
                    | TrainCommand::Close => {}
                }
            }
        }
        Ok(())
    }

    fn open_training(&mut self, job: TrainingJob) {
        self.events.push_back(Event::Train(job.opened()));
        self.training = Some(job);
    }

    fn close_training(&mut self) {
        if let Some(model) = &self.model
            && matches!(model.weights, Weights::Training { .. })
        {
            self.reverse = None;
            self.probe = None;
            self.model = None;
        }
        self.training = None;
        self.tuning = None;
    }

    /// Goes on with the choice of kernel variants; begins the run that waits for it once it is made.
    fn pump_tuning(&mut self) -> Result<Pumped> {
        let Some((tuner, ..)) = &mut self.tuning else {
            return Ok(Pumped::Idle);
        };
        if !tuner.pump(Duration::from_millis(8))? {
            return Ok(Pumped::Waiting);
        }
        if let Some((_, spec, data)) = self.tuning.take() {
            let known = tuning::document(&self.gpu);
            self.events.push_back(Event::Tuned(Arc::new(known)));
            let job = TrainingJob::start(&self.gpu, *spec, &data)?;
            self.open_training(job);
        }
        Ok(Pumped::Busy)
    }

    fn restore(&mut self, bytes: &Arc<[u8]>) -> Result<()> {
        let state = checkpoint::from_bytes(bytes, "the checkpoint")?;
        let hash = state.meta["data_hash"].as_u64();
        if self.data.as_ref().map(|d| d.content_hash) != hash {
            let name = state.meta["config"]["train"]["dataset"].as_str();
            let entry = BUILT_IN.iter().find(|b| Some(b.name) == name);
            match (entry, &self.data) {
                (Some(entry), _) if entry.is_embedded() => {
                    let dataset = Arc::new(entry.open(&LoadOptions::default())?);
                    self.data = Some(Arc::clone(&dataset));
                    self.events.push_back(Event::Data(dataset));
                }
                // It may be on its way.
                (_, None) => {
                    self.restore = Some(Arc::clone(bytes));
                    return Ok(());
                }
                _ => {}
            }
        }
        let Some(data) = self.data.clone() else {
            return Err(TrainError::NoData.into());
        };
        let job = TrainingJob::restore(&self.gpu, &state, &data)?;
        self.close_training();
        self.open_training(job);
        Ok(())
    }

    /// Says whether nobody touches the interface, so that slices may be larger.
    pub const fn set_calm(&mut self, calm: bool) {
        self.calm = calm;
    }

    /// Goes on for about one slice of time.
    pub fn pump(&mut self) -> Pumped {
        if self.lost {
            return Pumped::Idle;
        }
        let (job, outcome) = self.pump_one();
        if matches!(outcome, Ok(Pumped::Idle)) {
            // Nobody else would hear that the device is gone.
            self.gpu.poll();
        }
        match outcome {
            Ok(pumped) => pumped,
            Err(e) => {
                match job {
                    Job::Forward => self.forward_next = None,
                    Job::Reverse => self.reverse = None,
                    Job::Probe => (self.probe, self.probe_next) = (None, None),
                    Job::Training => self.close_training(),
                    Job::Export => self.exports.clear(),
                    Job::Data => self.opening = None,
                    Job::Bench => self.bench = None,
                    Job::Profile => self.profile = None,
                    Job::Model | Job::Lab => {}
                }
                self.fail(job, &e);
                if job == Job::Training && !self.lost {
                    let none = TrainEvent::Status(TrainStatus::None);
                    self.events.push_back(Event::Train(none));
                }
                Pumped::Busy
            }
        }
    }

    /// The most urgent job gets the device; training gets what the others leave.
    fn pump_one(&mut self) -> (Job, Result<Pumped>) {
        if let Err(e) = self.gpu.check() {
            return (Job::Training, Err(e.into()));
        }
        let Some(painter) = &self.painter else {
            return (Job::Forward, Ok(Pumped::Idle));
        };
        if let Some(request) = self.forward_next.take() {
            let view = self.forward.run(&self.gpu, painter, request);
            let told = view.map(|v| self.events.push_back(Event::Forward(Arc::new(v))));
            return (Job::Forward, told.map(|()| Pumped::Busy));
        }
        if self.lab.is_urgent() {
            return (Job::Lab, self.pump_lab());
        }
        if self.opening.is_some() {
            return (Job::Data, self.pump_data());
        }
        if self.bench.is_some() {
            return (Job::Bench, self.pump_bench());
        }
        if self.profile.is_some() {
            return (Job::Profile, self.pump_profile());
        }
        if let Some(export) = self.exports.front_mut() {
            let outcome = match export.poll(&self.gpu) {
                Ok(None) => Ok(Pumped::Waiting),
                Ok(Some(file)) => {
                    self.exports.pop_front();
                    self.events.push_back(match file {
                        Ok((name, bytes)) => Event::File {
                            name,
                            bytes: bytes.into(),
                        },
                        Err(reason) => Event::Failed {
                            job: Job::Export,
                            message: format!("The picture cannot be made ({reason})."),
                        },
                    });
                    Ok(Pumped::Busy)
                }
                Err(e) => Err(e),
            };
            return (Job::Export, outcome);
        }
        if self.probe_next.is_some() || self.probe.as_ref().is_some_and(ProbeJob::is_busy) {
            return (Job::Probe, self.pump_probe());
        }
        if self.reverse.as_ref().is_some_and(|r| !r.is_done()) {
            return (Job::Reverse, self.pump_reverse());
        }
        if self.lab.is_busy() {
            return (Job::Lab, self.pump_lab());
        }
        if self.lab.is_training() {
            let other = self.training.as_ref().is_some_and(TrainingJob::is_busy);
            self.lab_next = !self.lab_next || !other;
            if self.lab_next {
                return (Job::Lab, self.pump_lab());
            }
        }
        if self.tuning.is_some() {
            return (Job::Training, self.pump_tuning());
        }
        (Job::Training, self.pump_training())
    }

    fn pace(&self) -> Pace {
        if self.hidden {
            Pace::FULL
        } else if self.calm {
            Self::CALM
        } else {
            Pace::INTERACTIVE
        }
    }

    fn pump_probe(&mut self) -> Result<Pumped> {
        let (Some(model), Some(painter)) = (&self.model, &self.painter) else {
            // It is answered once there is a model.
            self.probe_next = None;
            return Ok(Pumped::Idle);
        };
        let busy = self.probe.as_ref().is_some_and(ProbeJob::is_busy);
        if !busy && let Some(request) = &self.probe_next {
            let gradients = request.gradients;
            if self
                .probe
                .as_ref()
                .is_none_or(|p| p.gradients() != gradients)
            {
                self.probe = None;
                let Some(weights) = model.weights(&self.training) else {
                    return Ok(Pumped::Idle);
                };
                let keep = model.keep();
                let network = (&model.info.unet, &model.info.scheduler);
                let job = ProbeJob::begin(&self.gpu, painter, network, weights, keep, gradients)?;
                self.probe = Some(job);
            }
        }
        let Some(probe) = &mut self.probe else {
            return Ok(Pumped::Idle);
        };
        let (done, of) = probe.warmed();
        if done < of {
            probe.warm(Duration::from_millis(8))?;
            let (done, of) = probe.warmed();
            self.events.push_back(Event::Compiling {
                job: Job::Probe,
                done,
                of,
            });
            return Ok(Pumped::Busy);
        }
        if !busy && let Some(request) = self.probe_next.take() {
            probe.start(request);
        }
        if let Some(view) = probe.pump()? {
            self.events.push_back(Event::Probe(Arc::new(view)));
            return Ok(Pumped::Busy);
        }
        Ok(Pumped::Waiting)
    }

    fn pump_reverse(&mut self) -> Result<Pumped> {
        let pace = self.pace();
        let (Some(job), Some(painter)) = (&mut self.reverse, &self.painter) else {
            return Ok(Pumped::Idle);
        };
        let Some(model) = &self.model else {
            self.reverse = None;
            self.events.push_back(Event::Failed {
                job: Job::Reverse,
                message: "There is no model to draw with; open one first.".into(),
            });
            return Ok(Pumped::Busy);
        };
        let Some(weights) = model.weights(&self.training) else {
            return Ok(Pumped::Idle);
        };
        let events = &mut self.events;
        let painted = &mut self.painted;
        let mut told = false;
        job.pump(
            &self.gpu,
            painter,
            (&model.info.unet, &model.info.scheduler, weights),
            pace,
            &mut |event| {
                told = true;
                if let Event::Reverse(ReverseEvent::Progress { run, frames, .. }) = &event {
                    painted.resize(painted.len().max(run + 1), 0);
                    painted[*run] = *frames;
                }
                events.push_back(event);
            },
        )?;
        Ok(if told { Pumped::Busy } else { Pumped::Waiting })
    }

    fn pump_lab(&mut self) -> Result<Pumped> {
        let pace = self.pace();
        let events = &mut self.events;
        let before = events.len();
        self.lab.pump(pace, &mut |event| events.push_back(event))?;
        Ok(if events.len() > before {
            Pumped::Busy
        } else {
            Pumped::Waiting
        })
    }

    fn pump_training(&mut self) -> Result<Pumped> {
        let pace = self.pace();
        let (Some(job), Some(painter)) = (&mut self.training, &self.painter) else {
            return Ok(Pumped::Idle);
        };
        let events = &mut self.events;
        let before = events.len();
        job.pump(&self.gpu, painter, pace, &mut |event| {
            events.push_back(event);
        })?;
        Ok(if !job.is_busy() {
            Pumped::Idle
        } else if events.len() > before {
            Pumped::Busy
        } else {
            Pumped::Waiting
        })
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// Waits a little for the device, after [`Pumped::Waiting`]. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        if self.lab.is_urgent() {
            self.lab.wait();
        } else if let Some(measuring) = &mut self.bench {
            measuring.bench.wait();
        } else if let Some(job) = &mut self.profile {
            job.wait();
        } else if !self.exports.is_empty() {
            self.gpu.wait();
        } else if let Some(probe) = self.probe.as_mut().filter(|p| p.is_busy()) {
            probe.wait();
        } else if let Some(job) = self.reverse.as_mut().filter(|r| !r.is_done()) {
            job.wait();
        } else if self.lab.is_busy() || self.lab_next && self.lab.is_training() {
            self.lab.wait();
        } else if let Some(job) = &mut self.training {
            job.wait(&self.gpu);
        }
    }
}

#[cfg(all(test, feature = "embedded-data"))]
mod tests {
    use super::*;
    use crate::gpu::AdapterChoice;

    /// The data set that a session opens, and in how many slices.
    fn opened(session: &mut Session) -> (Arc<Dataset>, usize) {
        for slices in 1..100_000 {
            assert_eq!(session.pump(), Pumped::Busy);
            if let Some(Event::Data(found)) = session.take_events().pop() {
                return (found, slices);
            }
        }
        panic!("no data set");
    }

    #[test]
    fn a_data_set_that_was_fetched_is_decoded_in_slices() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let mut session = Session::new(&gpu);
        session.take_events();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/data/fashion.idx.br");
        let asset = std::fs::read(file).expect("the asset");
        let open = |asset: Vec<u8>| {
            Command::OpenData(DataChoice::BuiltIn {
                name: "fashion".into(),
                asset: Some(asset.into()),
            })
        };
        session.handle(open(asset));
        let (found, slices) = opened(&mut session);
        assert!(slices > 3, "{slices}");
        assert_eq!(found.train.len(), 18_000);
        assert_eq!(session.pump(), Pumped::Idle);

        // The user's own pictures in an archive as well.
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for i in 0..200_u8 {
            let name = format!("{i}.png");
            let plain = zip::write::SimpleFileOptions::default();
            archive.start_file(name, plain).expect("an entry");
            let picture = image::GrayImage::from_pixel(400, 400, [i].into());
            let format = image::ImageFormat::Png;
            let mut file = Cursor::new(Vec::new());
            picture.write_to(&mut file, format).expect("a picture");
            std::io::Write::write_all(&mut archive, file.get_ref()).expect("its bytes");
        }
        let bytes = archive.finish().expect("an archive").into_inner();
        session.handle(Command::OpenData(DataChoice::Own {
            source: super::super::command::OwnSource::Bytes("own.zip".into(), bytes.into()),
            options: LoadOptions::default(),
        }));
        let (found, slices) = opened(&mut session);
        assert!(slices > 1, "{slices}");
        assert_eq!(found.train.len(), 180);

        session.handle(open(vec![1, 2, 3]));
        session.pump();
        let told = session.take_events();
        assert!(
            matches!(told[..], [Event::Failed { job: Job::Data, .. }]),
            "{told:?}"
        );
        assert_eq!(session.pump(), Pumped::Idle);
    }
}

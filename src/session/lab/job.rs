//! The lab's work: every [`LabCommand`] answered, in slices, never waiting.

use std::sync::Arc;

use super::{
    LabError,
    command::{Denoiser, LabCommand, LabTrain},
    errors::ErrorsJob,
    evaluator::Evaluator,
    event::{LabEvent, LabTrainEvent},
    field::FieldJob,
    forward::ForwardJob,
    likelihood::LikelihoodJob,
    merit::Floors,
    paths::PathsJob,
    reverse::ReverseJob,
    stage::Stage,
    train::LabTraining,
};
use crate::{
    Result,
    gpu::{Gpu, cloud::CloudPainter},
    session::{
        event::{Event, TrainStatus},
        pacer::Pace,
        sampling::Predictor,
    },
};

/// What the parts of the lab work with.
#[derive(Debug)]
pub struct Context<'a> {
    /// The device.
    pub gpu: &'a Arc<Gpu>,
    /// Paints points.
    pub painter: &'a CloudPainter,
    /// The stage.
    pub stage: &'a Stage,
    /// The run in training, resting or finished, if there is one.
    pub training: Option<&'a LabTraining>,
    /// How hard the device is worked.
    pub pace: Pace,
}

impl<'a> Context<'a> {
    /// What predicts.
    ///
    /// # Errors
    /// [`LabError::NoNetwork`].
    pub fn predictor(&self, denoiser: Denoiser) -> Result<Predictor<'a>, LabError> {
        match (denoiser, self.training) {
            (Denoiser::Exact, _) => Ok(Predictor::Exact(self.stage.source.mixture())),
            (_, None) => Err(LabError::NoNetwork),
            (_, Some(training)) => Ok(training.predictor(denoiser == Denoiser::Learned)),
        }
    }

    /// An evaluator of up to `capacity` points.
    ///
    /// # Errors
    /// [`LabError::NoNetwork`], or what the making of an evaluator fails with.
    pub fn evaluator(&self, denoiser: Denoiser, capacity: usize) -> Result<Evaluator> {
        let predictor = self.predictor(denoiser)?;
        Evaluator::new(self.gpu, self.stage, predictor, capacity)
    }

    /// Steps that the network has been trained.
    pub fn trained(&self) -> u64 {
        self.training.map_or(0, LabTraining::step)
    }
}

/// The parts, for whoever has to end one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Forward,
    Paths,
    Field,
    Reverse,
    Errors,
    Likelihood,
    Training,
}

/// The job.
#[derive(Debug)]
pub struct LabJob {
    gpu: Arc<Gpu>,
    painter: Option<CloudPainter>,
    stage: Option<Stage>,
    forward: Option<ForwardJob>,
    field: FieldJob,
    paths: PathsJob,
    reverse: Option<ReverseJob>,
    errors: Option<ErrorsJob>,
    likelihood: Option<LikelihoodJob>,
    training: Option<LabTraining>,
    floors: Floors,
}

macro_rules! context {
    ($self:ident, $pace:expr) => {{
        let (Some(stage), Some(painter)) = (&$self.stage, &$self.painter) else {
            return Err(LabError::NoStage.into());
        };
        Context {
            gpu: &$self.gpu,
            painter,
            stage,
            training: $self.training.as_ref(),
            pace: $pace,
        }
    }};
}

impl LabJob {
    /// A lab without a stage.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        Self {
            gpu: Arc::clone(gpu),
            painter: None,
            stage: None,
            forward: None,
            field: FieldJob::default(),
            paths: PathsJob::default(),
            reverse: None,
            errors: None,
            likelihood: None,
            training: None,
            floors: Floors::default(),
        }
    }

    /// Takes a request.
    ///
    /// # Errors
    /// A request that cannot be answered as the lab is.
    pub fn handle(&mut self, command: LabCommand, tell: &mut dyn FnMut(Event)) -> Result<()> {
        if let LabCommand::Stage(stage) = command {
            return self.set_stage(*stage, tell);
        }
        if matches!(command, LabCommand::StopReverse) {
            if let Some(job) = &mut self.reverse {
                job.stop();
            }
            return Ok(());
        }
        if matches!(command, LabCommand::Train(LabTrain::Close)) {
            self.close_training(tell);
            return Ok(());
        }
        let context = context!(self, Pace::INTERACTIVE);
        match command {
            LabCommand::Forward(request) => {
                let job = match &mut self.forward {
                    Some(job) => job,
                    none => {
                        none.insert(ForwardJob::new(&self.gpu, context.painter, context.stage)?)
                    }
                };
                job.ask(request);
            }
            LabCommand::Field(request) => self.field.ask(request),
            LabCommand::Errors(request) => {
                context.predictor(request.denoiser)?;
                self.errors = Some(ErrorsJob::new(request, context.stage.timesteps())?);
            }
            LabCommand::Reverse(request) => {
                for run in &request.runs {
                    context.predictor(run.denoiser)?;
                }
                self.reverse = Some(ReverseJob::new(request)?);
            }
            LabCommand::Paths(request) => {
                for run in &request.runs {
                    context.predictor(run.denoiser)?;
                }
                self.paths.ask(request);
            }
            LabCommand::Likelihood(request) => {
                context.predictor(request.denoiser)?;
                self.likelihood = Some(LikelihoodJob::new(request, &context)?);
            }
            LabCommand::Train(LabTrain::Start(spec)) => {
                let stage = context.stage.clone();
                self.close_training(tell);
                let training = LabTraining::start(&self.gpu, &stage, *spec)?;
                tell(Event::Lab(LabEvent::Train(training.opened())));
                self.training = Some(training);
            }
            LabCommand::Train(command) => {
                let Some(job) = &mut self.training else {
                    return Ok(());
                };
                match command {
                    LabTrain::Pause => job.pause(),
                    LabTrain::Resume => job.resume(),
                    LabTrain::Step => job.step_once(),
                    LabTrain::StopAt(stop) => job.stop_at(stop),
                    LabTrain::LearningRate(lr) => job.set_lr(lr),
                    LabTrain::Start(_) | LabTrain::Close => {}
                }
            }
            LabCommand::Stage(_) | LabCommand::StopReverse => {}
        }
        Ok(())
    }

    fn set_stage(
        &mut self,
        asked: super::command::LabStage,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let stage = Stage::open(asked.clone())?;
        if self.painter.is_none() {
            self.painter = Some(CloudPainter::new(&self.gpu)?);
        }
        self.close_training(tell);
        self.forward = None;
        self.field = FieldJob::default();
        self.paths = PathsJob::default();
        self.reverse = None;
        self.errors = None;
        self.likelihood = None;
        self.floors.clear();
        tell(Event::Lab(LabEvent::Stage(Arc::new(stage.view(asked)))));
        self.stage = Some(stage);
        Ok(())
    }

    /// Ends the run in training and whatever uses its weights.
    fn close_training(&mut self, tell: &mut dyn FnMut(Event)) {
        if self.training.is_none() {
            return;
        }
        self.field.forget_network();
        self.paths.forget_network();
        if self.reverse.as_ref().is_some_and(ReverseJob::uses_network) {
            self.reverse = None;
        }
        if (self.errors.as_ref()).is_some_and(|j| j.request().denoiser != Denoiser::Exact) {
            self.errors = None;
        }
        if (self.likelihood.as_ref()).is_some_and(|j| j.request().denoiser != Denoiser::Exact) {
            self.likelihood = None;
        }
        self.training = None;
        let none = LabTrainEvent::Status(TrainStatus::None);
        tell(Event::Lab(LabEvent::Train(none)));
    }

    fn urgent(&self) -> Option<Part> {
        if self.forward.as_ref().is_some_and(ForwardJob::is_busy) {
            Some(Part::Forward)
        } else if self.paths.is_busy() {
            Some(Part::Paths)
        } else if self.field.is_busy() {
            Some(Part::Field)
        } else {
            None
        }
    }

    fn patient(&self) -> Option<Part> {
        if self.reverse.as_ref().is_some_and(ReverseJob::is_busy) {
            Some(Part::Reverse)
        } else if self.errors.is_some() {
            Some(Part::Errors)
        } else if self.likelihood.is_some() {
            Some(Part::Likelihood)
        } else {
            None
        }
    }

    /// Whether someone waits for an answer at once.
    pub fn is_urgent(&self) -> bool {
        self.urgent().is_some()
    }

    /// Whether someone waits for an answer.
    pub fn is_busy(&self) -> bool {
        self.urgent().or_else(|| self.patient()).is_some()
    }

    /// Whether there is something to train.
    pub fn is_training(&self) -> bool {
        self.training.as_ref().is_some_and(LabTraining::is_busy)
    }

    /// Goes on with the most urgent part for about one slice.
    ///
    /// # Errors
    /// Why a part failed; it is ended, the others go on.
    pub fn pump(&mut self, pace: Pace, tell: &mut dyn FnMut(Event)) -> Result<()> {
        let part = (self.urgent()).or_else(|| self.patient());
        let Some(part) = part.or_else(|| self.is_training().then_some(Part::Training)) else {
            return Ok(());
        };
        let outcome = self.pump_part(part, pace, tell);
        if outcome.is_err() {
            match part {
                Part::Forward => self.forward = None,
                Part::Paths => self.paths = PathsJob::default(),
                Part::Field => self.field = FieldJob::default(),
                Part::Reverse => self.reverse = None,
                Part::Errors => self.errors = None,
                Part::Likelihood => self.likelihood = None,
                Part::Training => self.close_training(tell),
            }
        }
        outcome
    }

    fn pump_part(&mut self, part: Part, pace: Pace, tell: &mut dyn FnMut(Event)) -> Result<()> {
        let context = context!(self, pace);
        let event = match part {
            Part::Forward => match &mut self.forward {
                Some(job) => job
                    .poll(context.stage)?
                    .map(|v| LabEvent::Forward(Arc::new(v))),
                None => None,
            },
            Part::Paths => self
                .paths
                .poll(&context)?
                .map(|v| LabEvent::Paths(Arc::new(v))),
            Part::Field => self
                .field
                .poll(&context)?
                .map(|v| LabEvent::Field(Arc::new(v))),
            Part::Reverse => {
                if let Some(job) = &mut self.reverse {
                    job.pump(&context, &mut self.floors, tell)?;
                }
                None
            }
            Part::Errors => {
                let view = match &mut self.errors {
                    Some(job) => job.poll(&context)?,
                    None => None,
                };
                if view.is_some() {
                    self.errors = None;
                }
                view.map(|v| LabEvent::Errors(Arc::new(v)))
            }
            Part::Likelihood => {
                let view = match &mut self.likelihood {
                    Some(job) => job.poll(&context)?,
                    None => None,
                };
                if view.is_some() {
                    self.likelihood = None;
                }
                view.map(|v| LabEvent::Likelihood(Arc::new(v)))
            }
            Part::Training => {
                let (Some(stage), Some(painter)) = (&self.stage, &self.painter) else {
                    return Err(LabError::NoStage.into());
                };
                let context = Context {
                    gpu: &self.gpu,
                    painter,
                    stage,
                    training: None,
                    pace,
                };
                if let Some(job) = &mut self.training {
                    job.pump(&context, &mut self.floors, tell)?;
                }
                None
            }
        };
        if let Some(event) = event {
            tell(Event::Lab(event));
        }
        Ok(())
    }

    /// Waits for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        if self.is_busy() {
            self.gpu.wait();
        } else if let Some(job) = &mut self.training {
            job.wait(&self.gpu);
        }
    }
}

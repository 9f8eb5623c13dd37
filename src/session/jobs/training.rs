//! Training for an interface: the [`Trainer`] with stop conditions, grids of samples and checkpoints, pumped in
//! slices.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    Error, Result,
    data::Dataset,
    gpu::{
        Gpu,
        film::{Film, Painter},
    },
    nn::{model::ParamSet, network::Network},
    session::{
        TrainError, checkpoint,
        checkpoint::TrainState,
        command::{LiveSettings, PreviewSettings, StopAt, TrainSpec},
        config::TrainConfig,
        course::{Course, Mode},
        event::{Event, Job, Preview, TrainEvent, TrainStatus},
        pacer::Pace,
        sampling::{FilmRequest, Predictor, SampleRequest, SampleRun, Watch},
        trainer::{Start, StateRead, StepReport, Trainer},
    },
};

/// Points of the loss kept for a checkpoint.
const HISTORY: usize = 2000;
/// How fast the smoothed loss of a stop condition follows.
const SMOOTHING: f32 = 0.05;
/// What counts as training of the time between two looks at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// A grid on its way: the raw weights' run, then the averaged ones'.
#[derive(Debug)]
struct Drawing {
    step: u64,
    settings: PreviewSettings,
    run: Option<SampleRun>,
    warm: bool,
    raw: Option<Film>,
}

/// The job.
#[derive(Debug)]
pub struct TrainingJob {
    trainer: Trainer,
    preview: PreviewSettings,
    course: Course,
    warm: bool,
    history: Vec<(u64, f32)>,
    every: u64,
    drawing: Option<Drawing>,
    drawn_at: Option<u64>,
    draw_now: bool,
    saving: Option<(StateRead, bool)>,
    save_next: Option<bool>,
}

impl TrainingJob {
    /// A run from random weights.
    ///
    /// # Errors
    /// Whatever [`Trainer::begin`] fails with.
    pub fn start(gpu: &Arc<Gpu>, spec: TrainSpec, data: &Arc<Dataset>) -> Result<Self> {
        let trainer = Trainer::begin(gpu, spec.config, Arc::clone(data), &Start::Random)?;
        Ok(Self::around(
            trainer,
            spec.preview,
            spec.stop,
            Mode::Running,
        ))
    }

    /// A run from a checkpoint, resting.
    ///
    /// # Errors
    /// A checkpoint that does not fit the data, or whatever [`Trainer::begin`] fails with.
    pub fn restore(gpu: &Arc<Gpu>, state: &TrainState, data: &Arc<Dataset>) -> Result<Self> {
        let config = TrainConfig::from_json(&state.meta["config"]).map_err(TrainError::State)?;
        let trainer = Trainer::begin(gpu, config, Arc::clone(data), &Start::State(state))?;
        let run = &state.meta["run"];
        let number = |key: &str| run["preview"][key].as_u64();
        let preview = PreviewSettings {
            every: number("every").unwrap_or(PreviewSettings::default().every),
            count: number("count").map_or(8, |n| n.clamp(1, 64) as usize),
            steps: number("steps").map_or(10, |n| n.clamp(1, 100) as usize),
            seed: number("seed").unwrap_or(0),
        };
        let mut job = Self::around(trainer, preview, StopAt::default(), Mode::Paused);
        job.every = run["history_every"].as_u64().unwrap_or(1).max(1);
        let pairs = run["history"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        job.history = pairs
            .iter()
            .filter_map(|p| Some((p[0].as_u64()?, p[1].as_f64()? as f32)))
            .take(2 * HISTORY)
            .collect();
        let seconds = run["seconds"].as_f64().unwrap_or(0.0).max(0.0);
        (job.course).take_over(seconds, job.history.last().map(|p| p.1));
        job.drawn_at = Some(job.trainer.step());
        Ok(job)
    }

    fn around(trainer: Trainer, preview: PreviewSettings, stop: StopAt, mode: Mode) -> Self {
        Self {
            course: Course::new(mode, stop, trainer.step(), PATIENCE, SMOOTHING),
            trainer,
            preview,
            warm: false,
            history: Vec::new(),
            every: 1,
            drawing: None,
            drawn_at: Some(0),
            draw_now: false,
            saving: None,
            save_next: None,
        }
    }

    /// What an interface has to know of a run that has just been opened.
    pub fn opened(&self) -> TrainEvent {
        TrainEvent::Opened {
            config: Box::new(self.trainer.config().clone()),
            parameters: self.trainer.params().iter().map(|p| p.file_len()).sum(),
            step: self.trainer.step(),
            history: self.history.clone(),
            preview: self.preview,
        }
    }

    /// The trainer, for whoever draws with its weights.
    pub const fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The averaged or the raw weights.
    pub fn weights(&self, averaged: bool) -> &ParamSet {
        if averaged {
            &self.trainer.sets().ema
        } else {
            &self.trainer.sets().weights
        }
    }

    /// Goes on.
    pub fn resume(&mut self) {
        self.course.resume(self.trainer.step());
    }

    /// Rests after the step under way.
    pub fn pause(&mut self) {
        self.course.pause();
    }

    /// One step, then rest.
    pub fn step_once(&mut self) {
        self.course.step_once(self.trainer.step());
    }

    /// Sets when to stop.
    pub const fn stop_at(&mut self, stop: StopAt) {
        self.course.stop = stop;
    }

    /// Changes what can change.
    pub const fn set_live(&mut self, live: LiveSettings) {
        self.trainer.set_live(live.lr, live.ema_decay);
        self.preview = live.preview;
    }

    /// Draws a grid as soon as the step under way is done.
    pub const fn draw(&mut self) {
        self.draw_now = true;
    }

    /// Makes a checkpoint as soon as the step under way is done.
    pub fn save(&mut self, auto: bool) {
        // The user's wish is not to be lost for an autosave.
        self.save_next = Some(auto && self.save_next.unwrap_or(true));
    }

    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        !self.warm
            || self.course.is_busy()
            || self.drawing.is_some()
            || self.draw_now
            || self.saving.is_some()
            || self.save_next.is_some()
            || !self.trainer.is_settled()
    }

    /// Goes on for about one slice.
    ///
    /// # Errors
    /// A lost device; a loss that is not finite does not count, the run rests then.
    pub fn pump(
        &mut self,
        gpu: &Arc<Gpu>,
        painter: &Painter,
        pace: Pace,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        if !self.warm {
            self.tell_status(TrainStatus::Preparing, tell);
            let (done, of) = self.trainer.warm(Duration::from_millis(8))?;
            tell(Event::Compiling {
                job: Job::Training,
                done,
                of,
            });
            self.warm = done == of;
            return Ok(());
        }
        self.trainer.set_pace(pace);
        if let Some((read, auto)) = &mut self.saving {
            let Some(mut state) = self.trainer.poll_state(read)? else {
                return Ok(());
            };
            let auto = *auto;
            self.saving = None;
            state.meta["run"] = self.run_meta();
            let step = state.meta["step"].as_u64().unwrap_or(0);
            match checkpoint::to_bytes(&state) {
                Ok(bytes) => tell(Event::Train(TrainEvent::Saved {
                    step,
                    bytes: bytes.into(),
                    auto,
                })),
                Err(e) => tell(Event::Failed {
                    job: Job::Training,
                    message: e.to_string(),
                }),
            }
            return Ok(());
        }
        if self.drawing.is_some() {
            return self.pump_drawing(gpu, painter, pace, tell);
        }
        self.pump_steps(gpu, tell)
    }

    fn pump_steps(&mut self, gpu: &Arc<Gpu>, tell: &mut dyn FnMut(Event)) -> Result<()> {
        let step = self.trainer.step();
        let until = self.until(step);
        (self.course).count(step < until || !self.trainer.is_settled());
        let reports = match self.trainer.pump(until) {
            Ok(reports) => reports,
            Err(Error::Train(e @ TrainError::NotFinite { .. })) => {
                self.course.end(e.to_string());
                tell(Event::Failed {
                    job: Job::Training,
                    message: e.to_string(),
                });
                Vec::new()
            }
            Err(e) => return Err(e),
        };
        for report in reports {
            self.note(gpu, report, tell);
        }
        (self.course).check_stops(&self.trainer, self.history.len() > 20);
        if self.course.mode != Mode::Paused {
            self.tell_status(TrainStatus::Running, tell);
        }
        if !self.trainer.is_settled() {
            return Ok(());
        }
        let step = self.trainer.step();
        if self.course.is_over(step) {
            self.course.mode = Mode::Paused;
        }
        if let Some(auto) = self.save_next.take() {
            self.saving = Some((self.trainer.begin_state()?, auto));
        } else if self.is_drawing_due(step) {
            self.draw_now = false;
            self.drawn_at = Some(step);
            self.drawing = Some(Drawing {
                step,
                settings: self.preview,
                run: None,
                warm: false,
                raw: None,
            });
        } else if self.course.mode == Mode::Paused {
            self.course.rest();
            if let Some(status) = self.course.news_of_rest() {
                tell(Event::Train(TrainEvent::Status(status)));
            }
        }
        Ok(())
    }

    fn is_drawing_due(&self, step: u64) -> bool {
        let every = self.preview.every;
        let due =
            every > 0 && step > 0 && step.is_multiple_of(every) && self.drawn_at != Some(step);
        self.draw_now || due
    }

    /// The step to which the trainer may go before something else is to be done.
    fn until(&self, step: u64) -> u64 {
        let wishes = self.draw_now || self.save_next.is_some() || self.is_drawing_due(step);
        if self.course.mode == Mode::Paused || wishes {
            return step + u64::from(self.trainer.is_in_step());
        }
        if let Mode::Once(last) = self.course.mode {
            return last.max(step);
        }
        let next = match self.preview.every {
            0 => u64::MAX,
            every => (step / every + 1) * every,
        };
        // A step at a time where a condition may come true at any.
        let stop = self.course.stop.steps.unwrap_or(u64::MAX).max(step);
        next.min(stop)
    }

    fn note(&mut self, gpu: &Gpu, report: StepReport, tell: &mut dyn FnMut(Event)) {
        let config = self.trainer.config();
        let images = config.batch * config.accumulate;
        let (figures, smoothed) = self.course.note(gpu, &self.trainer, &report, images);
        if report.step.is_multiple_of(self.every) {
            self.history.push((report.step, smoothed));
            if self.history.len() > 2 * HISTORY {
                self.every *= 2;
                let every = self.every;
                self.history.retain(|p| p.0.is_multiple_of(every));
            }
        }
        tell(Event::Train(TrainEvent::Step(report, figures)));
    }

    fn tell_status(&mut self, status: TrainStatus, tell: &mut dyn FnMut(Event)) {
        if let Some(status) = self.course.news(status) {
            tell(Event::Train(TrainEvent::Status(status)));
        }
    }

    fn pump_drawing(
        &mut self,
        gpu: &Arc<Gpu>,
        painter: &Painter,
        pace: Pace,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        self.course.interrupt();
        let Some(drawing) = &mut self.drawing else {
            return Ok(());
        };
        let Some(run) = &mut drawing.run else {
            let count = drawing.settings.count.clamp(1, 64);
            let request = SampleRequest {
                count,
                sampler: "ddim".to_owned(),
                steps: drawing.settings.steps,
                eta: 0.0,
                seed: drawing.settings.seed,
                batch: count,
            };
            let film = FilmRequest {
                frames: 64,
                columns: (count as f64).sqrt().ceil() as usize,
            };
            let sets = self.trainer.sets();
            let weights = if drawing.raw.is_none() {
                &sets.weights
            } else {
                &sets.ema
            };
            let config = self.trainer.config();
            let scheduler = &config.scheduler;
            let request = SampleRequest {
                steps: request.steps.clamp(1, scheduler.num_train_timesteps),
                ..request
            };
            let network = Network::from(&config.unet);
            let begun = SampleRun::begin(
                gpu,
                Predictor::Network(&network, weights),
                scheduler,
                request,
                Watch::Tiles(painter, film),
            );
            match begun {
                Ok(run) => {
                    drawing.run = Some(run);
                    drawing.warm = false;
                }
                Err(e) => {
                    // Training is worth more than a picture of it.
                    self.drawing = None;
                    self.preview.every = 0;
                    tell(Event::Failed {
                        job: Job::Training,
                        message: e.to_string(),
                    });
                }
            }
            return Ok(());
        };
        if !drawing.warm {
            let (done, of) = run.warm(Duration::from_millis(8))?;
            drawing.warm = done == of;
            return Ok(());
        }
        run.set_pace(pace);
        if !run.pump()? {
            return Ok(());
        }
        let film = run.films().map(|f| f.x);
        drawing.run = None;
        match (drawing.raw.take(), film) {
            (None, Some(raw)) => drawing.raw = Some(raw),
            (Some(raw), Some(averaged)) => {
                let preview = Preview {
                    step: drawing.step,
                    raw,
                    averaged,
                };
                self.drawing = None;
                tell(Event::Train(TrainEvent::Preview(preview)));
            }
            (_, None) => self.drawing = None,
        }
        Ok(())
    }

    fn run_meta(&self) -> Value {
        let history: Vec<Value> = self.history.iter().map(|p| json!([p.0, p.1])).collect();
        json!({
            "seconds": self.course.seconds(),
            "history": history,
            "history_every": self.every,
            "preview": {
                "every": self.preview.every,
                "count": self.preview.count,
                "steps": self.preview.steps,
                "seed": self.preview.seed,
            },
        })
    }

    /// Waits for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self, gpu: &Gpu) {
        if let Some(Drawing {
            run: Some(run),
            warm: true,
            ..
        }) = &mut self.drawing
        {
            run.wait();
        } else if self.saving.is_some() {
            gpu.wait();
        } else if self.warm {
            self.trainer.wait();
        }
    }
}

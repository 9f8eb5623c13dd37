//! The reverse process for an interface: one [`SampleRun`] after the other, filmed.

use std::{sync::Arc, time::Duration};

use crate::{
    Result,
    diffusion::SchedulerConfig,
    gpu::{Gpu, film::Painter},
    nn::{model::ParamSet, network::Network, unet_config::UNetConfig},
    session::{
        command::ReverseRequest,
        event::{Event, Job, ReverseEvent, ReverseFilms},
        pacer::Pace,
        sampling::{FilmRequest, Predictor, SampleRequest, SampleRun, Watch},
    },
};

/// Frames kept of a run.
const FRAMES: usize = 128;

/// The job.
#[derive(Debug)]
pub struct ReverseJob {
    request: Arc<ReverseRequest>,
    /// Keeps the weights alive while they are bound.
    _weights: Option<Arc<ParamSet>>,
    next: usize,
    current: Option<SampleRun>,
    warm: bool,
    told: (usize, usize),
    /// Films of the runs so far, for exports.
    films: Vec<ReverseFilms>,
}

impl ReverseJob {
    /// A job that has not begun.
    pub fn new(request: ReverseRequest, weights: Option<Arc<ParamSet>>) -> Self {
        Self {
            request: Arc::new(request),
            _weights: weights,
            next: 0,
            current: None,
            warm: false,
            told: (0, 0),
            films: Vec::new(),
        }
    }

    /// The films of a run, if it has begun.
    pub fn films(&self, run: usize) -> Option<&ReverseFilms> {
        self.films.get(run)
    }

    /// Whether everything is done.
    pub fn is_done(&self) -> bool {
        self.current.is_none() && self.next >= self.request.runs.len()
    }

    /// Leaves out what is not done.
    pub fn stop(&mut self) {
        self.current = None;
        self.next = self.request.runs.len();
    }

    /// Goes on for about one slice.
    ///
    /// # Errors
    /// An unknown sampler, more steps than T, a device too small or lost.
    pub fn pump(
        &mut self,
        gpu: &Arc<Gpu>,
        painter: &Painter,
        (unet, scheduler, weights): (&UNetConfig, &SchedulerConfig, &ParamSet),
        pace: Pace,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let run = self.next;
        let Some(current) = &mut self.current else {
            if let Some(choice) = self.request.runs.get(run) {
                let request = SampleRequest {
                    count: self.request.count.max(1),
                    sampler: choice.sampler.clone(),
                    steps: choice.steps,
                    eta: choice.eta,
                    seed: self.request.seed,
                    batch: self.request.count.max(1),
                };
                let film = FilmRequest {
                    frames: FRAMES,
                    columns: (self.request.count as f64).sqrt().ceil() as usize,
                };
                let network = Network::from(unet);
                let new = SampleRun::begin(
                    gpu,
                    Predictor::Network(&network, weights),
                    scheduler,
                    request,
                    Watch::Tiles(painter, film),
                )?;
                self.current = Some(new);
                self.warm = false;
                self.told = (0, 0);
            }
            return Ok(());
        };
        if !self.warm {
            let (done, of) = current.warm(Duration::from_millis(8))?;
            tell(Event::Compiling {
                job: Job::Reverse,
                done,
                of,
            });
            self.warm = done == of;
            if self.warm
                && let Some(films) = current.films()
            {
                self.films.truncate(run);
                self.films.push(films.clone());
                tell(Event::Reverse(ReverseEvent::Started {
                    request: Arc::clone(&self.request),
                    run,
                    films,
                    frames: current.film_frames().into(),
                    timesteps: scheduler.num_train_timesteps,
                }));
            }
            return Ok(());
        }
        current.set_pace(pace);
        let done = current.pump()?;
        let seconds = current.device_time().as_secs_f64();
        let evaluations = current.progress().0 * self.request.count;
        let state = (current.painted(), evaluations);
        if state != self.told {
            self.told = state;
            tell(Event::Reverse(ReverseEvent::Progress {
                run,
                frames: state.0,
                evaluations,
                seconds,
            }));
        }
        if done {
            tell(Event::Reverse(ReverseEvent::Done {
                run,
                images: current.images().into(),
                evaluations,
                seconds,
            }));
            self.current = None;
            self.next += 1;
        }
        Ok(())
    }

    /// Waits for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        if let Some(run) = &mut self.current
            && self.warm
        {
            run.wait();
        }
    }
}

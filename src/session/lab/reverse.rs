//! The reverse process of the particles: one [`SampleRun`] after the other, filmed as a cloud, then measured.

use std::{sync::Arc, time::Duration};

use super::{
    EXTENT, MAX_PARTICLES,
    command::{Denoiser, LabReverse},
    event::{LabEvent, LabReverseEvent},
    job::Context,
    merit::{Floors, Measuring},
    within,
};
use crate::{
    Result,
    data::points::Point,
    session::{
        event::{Event, Job},
        sampling::{CloudRequest, SampleRequest, SampleRun, Watch},
    },
};

/// Frames kept of a run.
const FRAMES: usize = 64;
/// Pixels a side of a frame.
const SIDE: usize = 320;
/// Particles whose ways are told.
const PATHS: usize = 64;

/// What is left to do for a run that has been drawn.
#[derive(Debug)]
struct Drawn {
    samples: Arc<[Point]>,
    paths: Arc<[Vec<Point>]>,
    evaluations: usize,
    seconds: f64,
    measuring: Measuring,
}

/// The job.
#[derive(Debug)]
pub struct ReverseJob {
    request: Arc<LabReverse>,
    next: usize,
    current: Option<SampleRun>,
    warm: bool,
    told: usize,
    drawn: Option<Drawn>,
}

/// `[N, C, 1, 1]` with C = 2 as points.
pub fn to_points(values: &[f32]) -> Vec<Point> {
    values.chunks_exact(2).map(|p| [p[0], p[1]]).collect()
}

impl ReverseJob {
    /// A job that has not begun.
    ///
    /// # Errors
    /// Numbers beyond the limits.
    pub fn new(request: LabReverse) -> Result<Self> {
        within("the number of particles", request.count, 1, MAX_PARTICLES)?;
        Ok(Self {
            request: Arc::new(request),
            next: 0,
            current: None,
            warm: false,
            told: 0,
            drawn: None,
        })
    }

    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        self.current.is_some() || self.drawn.is_some() || self.next < self.request.runs.len()
    }

    /// Whether a run that is not finished uses the network.
    pub fn uses_network(&self) -> bool {
        self.current.is_some()
            && (self.request.runs.get(self.next)).is_some_and(|r| r.denoiser != Denoiser::Exact)
    }

    /// Leaves out what is not done.
    pub fn stop(&mut self) {
        self.current = None;
        self.next = self.request.runs.len();
    }

    /// Goes on for about one slice.
    ///
    /// # Errors
    /// An unknown sampler, more steps than T, no network, or a lost device.
    pub fn pump(
        &mut self,
        context: &Context<'_>,
        floors: &mut Floors,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let mut say = |event| tell(Event::Lab(LabEvent::Reverse(event)));
        if let Some(drawn) = &mut self.drawn {
            if let Some(merit) = drawn.measuring.next(context.stage, floors) {
                say(LabReverseEvent::Done {
                    run: self.next,
                    samples: Arc::clone(&drawn.samples),
                    paths: Arc::clone(&drawn.paths),
                    merit,
                    evaluations: drawn.evaluations,
                    seconds: drawn.seconds,
                });
                self.drawn = None;
                // A request that was stopped meanwhile has no next run.
                self.next = (self.next + 1).min(self.request.runs.len());
            }
            return Ok(());
        }
        let run = self.next;
        let Some(current) = &mut self.current else {
            let Some(choice) = self.request.runs.get(run) else {
                return Ok(());
            };
            let request = SampleRequest {
                count: self.request.count,
                sampler: choice.sampler.clone(),
                steps: choice.steps,
                eta: choice.eta,
                seed: self.request.seed,
                batch: self.request.count,
            };
            let cloud = CloudRequest {
                frames: FRAMES,
                side: SIDE,
                extent: EXTENT,
                paths: PATHS,
            };
            self.current = Some(SampleRun::begin(
                context.gpu,
                context.predictor(choice.denoiser)?,
                &context.stage.stage.scheduler,
                request,
                Watch::Cloud(context.painter, cloud),
            )?);
            self.warm = false;
            self.told = 0;
            return Ok(());
        };
        if !self.warm {
            let (done, of) = current.warm(Duration::from_millis(8))?;
            tell(Event::Compiling {
                job: Job::Lab,
                done,
                of,
            });
            self.warm = done == of;
            if self.warm
                && let Some(cloud) = current.cloud()
            {
                tell(Event::Lab(LabEvent::Reverse(LabReverseEvent::Started {
                    request: Arc::clone(&self.request),
                    run,
                    cloud: cloud.clone(),
                    frames: current.film_frames().into(),
                })));
            }
            return Ok(());
        }
        current.set_pace(context.pace);
        let done = current.pump()?;
        let evaluations = current.progress().0;
        if current.painted() != self.told {
            self.told = current.painted();
            say(LabReverseEvent::Progress {
                run,
                frames: self.told,
                evaluations,
            });
        }
        if done {
            let samples = to_points(current.images());
            self.drawn = Some(Drawn {
                measuring: Measuring::new(context.stage, &samples),
                samples: samples.into(),
                paths: current.paths().into(),
                evaluations,
                seconds: current.device_time().as_secs_f64(),
            });
            self.current = None;
        }
        Ok(())
    }
}

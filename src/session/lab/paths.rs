//! Paths from one point: a few samples that start at the same x_T and differ by the noise on the way.

use super::{command::PathsRequest, event::PathsView, job::Context, reverse::to_points, within};
use crate::{
    Result,
    data::points::Point,
    session::sampling::{SampleRequest, SampleRun, Watch},
};

/// Points kept of a path.
const FRAMES: usize = 129;
/// Paths a run at most.
const MAX_FAN: usize = 256;

/// The job: the request under way and the next one.
#[derive(Debug, Default)]
pub struct PathsJob {
    next: Option<PathsRequest>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    request: PathsRequest,
    run: Option<SampleRun>,
    warm: bool,
    paths: Vec<Vec<Vec<Point>>>,
}

impl PathsJob {
    /// Takes a request, in place of one that has not begun.
    pub fn ask(&mut self, request: PathsRequest) {
        self.next = Some(request);
    }

    /// Whether there is something to do.
    pub const fn is_busy(&self) -> bool {
        self.next.is_some() || self.current.is_some()
    }

    /// The network is another one, or none; what was asked is done anew.
    pub fn forget_network(&mut self) {
        if let Some(current) = self.current.take() {
            self.next.get_or_insert(current.request);
        }
    }

    /// Goes on; an answer, once one is there.
    ///
    /// # Errors
    /// An unknown sampler, more steps than T, no network, or a lost device.
    pub fn poll(&mut self, context: &Context<'_>) -> Result<Option<PathsView>> {
        let Some(current) = &mut self.current else {
            if let Some(request) = self.next.take() {
                within("the number of paths", request.fan, 1, MAX_FAN)?;
                self.current = Some(Current {
                    request,
                    run: None,
                    warm: false,
                    paths: Vec::new(),
                });
            }
            return Ok(None);
        };
        let request = &current.request;
        let Some(run) = &mut current.run else {
            let Some(choice) = request.runs.get(current.paths.len()) else {
                let view = PathsView {
                    paths: std::mem::take(&mut current.paths).into(),
                    request: request.clone(),
                };
                self.current = None;
                return Ok(Some(view));
            };
            let sample = SampleRequest {
                count: request.fan,
                sampler: choice.sampler.clone(),
                steps: choice.steps,
                eta: choice.eta,
                seed: request.seed,
                batch: request.fan,
            };
            let run = SampleRun::begin(
                context.gpu,
                context.predictor(choice.denoiser)?,
                &context.stage.stage.scheduler,
                sample,
                Watch::Nothing,
            )?;
            let run = run.with_given(request.start.repeat(request.fan));
            current.run = Some(run.with_frames(FRAMES.min(choice.steps + 1)));
            current.warm = false;
            return Ok(None);
        };
        if !current.warm {
            let (done, of) = run.warm(context.pace.slice)?;
            current.warm = done == of;
            return Ok(None);
        }
        run.set_pace(context.pace);
        if run.pump()? {
            let frames: Vec<Vec<Point>> = run.frames().iter().map(|f| to_points(&f.x)).collect();
            let path = |n: usize| frames.iter().map(|f| f[n]).collect();
            current.paths.push((0..request.fan).map(path).collect());
            current.run = None;
        }
        Ok(None)
    }
}

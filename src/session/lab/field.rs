//! Fields at one time: ε̂ of the network and E[ε | x_t] on a grid, q(x_t) beside them, and how far they are apart.
//!
//! The relative error of [`FieldView`] is √(Σ|ε̂ − ε*|² / Σ|ε*|²) over [`SAMPLES`] points drawn from q(x_t), always the
//! same ones; ε* = E[ε | x_t].

use super::{
    command::{Denoiser, FieldRequest},
    evaluator::{Answer, Evaluator, relative_error},
    event::{FieldView, Grid, VectorGrid},
    job::Context,
    stage::grid,
    within,
};
use crate::Result;

/// Points of q(x_t) over which the error is measured.
pub const SAMPLES: usize = 2048;
/// Arrows a side at most.
const MAX_SIDE: usize = 128;

#[derive(Debug)]
struct Current {
    request: FieldRequest,
    exact: Option<Answer>,
    asked_network: bool,
    step: u64,
}

/// The job for one stage.
#[derive(Debug, Default)]
pub struct FieldJob {
    next: Option<FieldRequest>,
    current: Option<Current>,
    exact: Option<Evaluator>,
    learned: Option<(Denoiser, Evaluator)>,
}

impl FieldJob {
    /// Takes a request, in place of one that has not begun.
    pub fn ask(&mut self, request: FieldRequest) {
        self.next = Some(request);
    }

    /// Whether there is something to do.
    pub const fn is_busy(&self) -> bool {
        self.next.is_some() || self.current.is_some()
    }

    /// The network is another one, or none; what was asked is done anew.
    pub fn forget_network(&mut self) {
        self.learned = None;
        if let Some(current) = self.current.take() {
            self.next.get_or_insert(current.request);
        }
        self.exact = None;
    }

    /// Goes on; an answer, once one is there.
    ///
    /// # Errors
    /// A grid beyond the limits, or a lost device.
    pub fn poll(&mut self, context: &Context<'_>) -> Result<Option<FieldView>> {
        let stage = context.stage;
        let Some(current) = &mut self.current else {
            let Some(request) = self.next.take() else {
                return Ok(None);
            };
            within("the number of arrows a side", request.side, 1, MAX_SIDE)?;
            within("the timestep", request.t, 1, stage.timesteps())?;
            let points = points(context, &request);
            let evaluator = match &mut self.exact {
                Some(e) if e.capacity() == points.len() => e,
                other => other.insert(context.evaluator(Denoiser::Exact, points.len())?),
            };
            evaluator.ask(points, request.t);
            self.current = Some(Current {
                request,
                exact: None,
                asked_network: false,
                step: 0,
            });
            return Ok(None);
        };
        let Some(exact) = &current.exact else {
            if let Some(evaluator) = &mut self.exact {
                current.exact = evaluator.poll(context.pace)?;
            }
            return Ok(None);
        };
        let request = &current.request;
        let denoiser = request.denoiser;
        let mut learned = None;
        if denoiser != Denoiser::Exact && context.training.is_some() {
            let capacity = exact.eps.len();
            let evaluator = match &mut self.learned {
                Some((d, e)) if *d == denoiser && e.capacity() == capacity => e,
                other => {
                    &mut other
                        .insert((denoiser, context.evaluator(denoiser, capacity)?))
                        .1
                }
            };
            if !current.asked_network {
                current.asked_network = true;
                current.step = context.trained();
                evaluator.ask(points(context, request), request.t);
            }
            learned = evaluator.poll(context.pace)?;
            if learned.is_none() {
                return Ok(None);
            }
        }
        let cells = request.side * request.side;
        let arrows = |answer: &Answer| VectorGrid {
            side: request.side,
            values: answer.eps[..cells].into(),
        };
        let log_q = exact.log_q.as_deref().unwrap_or_default();
        let view = FieldView {
            alpha_bar: stage.alpha_bar(request.t) as f32,
            learned: learned.as_ref().map(arrows),
            exact: arrows(exact),
            density: Grid {
                side: request.side,
                values: log_q.iter().take(cells).map(|l| l.exp()).collect(),
            },
            relative_error: learned
                .as_ref()
                .map(|l| relative_error(&l.eps[cells..], &exact.eps[cells..])),
            step: current.step,
            request: request.clone(),
        };
        self.current = None;
        Ok(Some(view))
    }
}

fn points(context: &Context<'_>, request: &FieldRequest) -> Vec<crate::data::points::Point> {
    let mut points = grid(request.side);
    if request.denoiser != Denoiser::Exact {
        points.extend(context.stage.noisy(request.t, SAMPLES));
    }
    points
}

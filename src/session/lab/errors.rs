//! The fields' difference at all times: the relative error over t, its pooled value, and maps over the plane.
//!
//! With x_t ~ q(x_t) ([`SAMPLES`] points a timestep, always the same) and ε* = E[ε | x_t]:
//!
//! ```text
//! by_t[t] = √(E|ε̂ − ε*|² / E|ε*|²)
//! pooled  = √(Σ_t E|ε̂ − ε*|² / Σ_t E|ε*|²)
//! ```
//!
//! The sums go over the timesteps of the request, spread evenly over 1 … T.

use std::sync::Arc;

use super::{
    command::{Denoiser, ErrorsRequest},
    evaluator::{Answer, Evaluator, ratio, squares},
    event::{ErrorsView, Grid},
    field::SAMPLES,
    job::Context,
    stage::grid,
    within,
};
use crate::{Result, data::points::Point};

/// The job for one request.
#[derive(Debug)]
pub struct ErrorsJob {
    request: ErrorsRequest,
    times: Vec<usize>,
    evaluators: Option<[Evaluator; 2]>,
    asked: bool,
    answers: [Option<Answer>; 2],
    by_t: Vec<(usize, f32)>,
    maps: Vec<Grid>,
    sums: (f64, f64),
    step: u64,
}

/// `count` timesteps, spread evenly over 1 … `last`.
pub fn spread(count: usize, last: usize) -> Vec<usize> {
    let count = count.clamp(1, last);
    if count == 1 {
        return vec![last.div_ceil(2)];
    }
    (0..count)
        .map(|k| 1 + k * (last - 1) / (count - 1))
        .collect()
}

impl ErrorsJob {
    /// A job that has not begun.
    ///
    /// # Errors
    /// Numbers beyond the limits.
    pub fn new(request: ErrorsRequest, timesteps: usize) -> Result<Self> {
        within("the number of timesteps", request.times, 1, 256)?;
        within("the number of cells a side", request.side, 1, 128)?;
        Ok(Self {
            times: spread(request.times, timesteps),
            request,
            evaluators: None,
            asked: false,
            answers: [None, None],
            by_t: Vec::new(),
            maps: Vec::new(),
            sums: (0.0, 0.0),
            step: 0,
        })
    }

    /// The request.
    pub const fn request(&self) -> &ErrorsRequest {
        &self.request
    }

    /// Goes on; the answer, once it is there.
    ///
    /// # Errors
    /// No network, or a lost device.
    pub fn poll(&mut self, context: &Context<'_>) -> Result<Option<ErrorsView>> {
        let request = &self.request;
        let cells = request.side * request.side;
        let Some(evaluators) = &mut self.evaluators else {
            let n = cells + SAMPLES;
            self.step = context.trained();
            self.evaluators = Some([
                context.evaluator(Denoiser::Exact, n)?,
                context.evaluator(request.denoiser, n)?,
            ]);
            return Ok(None);
        };
        let Some(&t) = self.times.get(self.by_t.len()) else {
            return Ok(Some(ErrorsView {
                request: request.clone(),
                by_t: self.by_t.as_slice().into(),
                maps: self.maps.as_slice().into(),
                pooled: ratio(self.sums.0, self.sums.1),
                step: self.step,
            }));
        };
        if !self.asked {
            let mut points = grid(request.side);
            points.extend(context.stage.noisy(t, SAMPLES));
            for evaluator in evaluators.iter_mut() {
                evaluator.ask(points.clone(), t);
            }
            self.asked = true;
        }
        for (answer, evaluator) in self.answers.iter_mut().zip(evaluators) {
            if answer.is_none() {
                *answer = evaluator.poll(context.pace)?;
            }
        }
        if let [Some(exact), Some(found)] = &self.answers {
            let (difference, size) = squares(&found.eps[cells..], &exact.eps[cells..]);
            self.sums.0 += difference;
            self.sums.1 += size;
            self.by_t.push((t, ratio(difference, size)));
            let distance = |(a, b): (&Point, &Point)| (a[0] - b[0]).hypot(a[1] - b[1]);
            let pairs = found.eps[..cells].iter().zip(&exact.eps[..cells]);
            self.maps.push(Grid {
                side: request.side,
                values: pairs.map(distance).collect::<Arc<[f32]>>(),
            });
            self.answers = [None, None];
            self.asked = false;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn timesteps_are_spread_from_the_first_to_the_last() {
        assert_eq!(spread(5, 1000), [1, 250, 500, 750, 1000]);
        assert_eq!(spread(9, 4), [1, 2, 3, 4]);
        assert_eq!(spread(1, 10), [5]);
    }
}

//! The model's own density by the probability-flow ODE (Song et al. 2021, equation 39), on a grid and at held-out
//! points, whose mean of −ln p(x_0) is the negative log-likelihood in nats a point.

use super::{
    command::LikelihoodRequest,
    evaluator::Evaluator,
    event::{Grid, LikelihoodView},
    job::Context,
    stage::grid,
    within,
};
use crate::{Result, data::points::Point, metrics::likelihood::OdeLikelihood};

/// Held-out points.
const HELD_OUT: usize = 1024;
/// Half the distance over which the divergence is measured, data units.
const H: f32 = 1e-2;

/// The job for one request.
#[derive(Debug)]
pub struct LikelihoodJob {
    request: LikelihoodRequest,
    ode: OdeLikelihood,
    held_out: Vec<Point>,
    evaluator: Option<Evaluator>,
}

/// At most `steps` of 0 … `timesteps` − 1, closer where the noise is small and the density has its detail:
/// t_k = (T − 1) (k / (steps − 1))².
fn times(steps: usize, timesteps: usize) -> Vec<usize> {
    let last = (timesteps - 1) as f64;
    let part = |k: usize| k as f64 / (steps - 1).max(1) as f64;
    let mut times: Vec<usize> = (0..steps)
        .map(|k| (last * part(k).powi(2)).round() as usize)
        .collect();
    times.dedup();
    times
}

impl LikelihoodJob {
    /// A job that has not begun.
    ///
    /// # Errors
    /// Numbers beyond the limits.
    pub fn new(request: LikelihoodRequest, context: &Context<'_>) -> Result<Self> {
        let stage = context.stage;
        within("the number of cells a side", request.side, 2, 128)?;
        within("the number of steps", request.steps, 2, stage.timesteps())?;
        let held_out = stage.held_out(0, HELD_OUT);
        let mut points = grid(request.side);
        points.extend(&held_out);
        let times = times(request.steps, stage.timesteps());
        let bars = stage.schedule.alpha_bars().to_vec();
        Ok(Self {
            ode: OdeLikelihood::new(points, times, bars, H),
            request,
            held_out,
            evaluator: None,
        })
    }

    /// The request.
    pub const fn request(&self) -> &LikelihoodRequest {
        &self.request
    }

    /// Goes on; the answer, once it is there.
    ///
    /// # Errors
    /// No network, or a lost device.
    pub fn poll(&mut self, context: &Context<'_>) -> Result<Option<LikelihoodView>> {
        if let Some(evaluator) = &mut self.evaluator
            && evaluator.is_busy()
        {
            if let Some(answer) = evaluator.poll(context.pace)? {
                self.ode.answer(&answer.eps);
            }
            return Ok(None);
        }
        if let Some((t, queries)) = self.ode.next() {
            let evaluator = match &mut self.evaluator {
                Some(e) if e.capacity() == queries.len() => e,
                other => other.insert(context.evaluator(self.request.denoiser, queries.len())?),
            };
            evaluator.ask(queries, t + 1);
            return Ok(None);
        }
        let log = self.ode.log_likelihood();
        let cells = self.request.side * self.request.side;
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, n) = values.fold((0.0, 0), |(s, n), v| (s + v, n + 1));
            (sum / f64::from(n.max(1))) as f32
        };
        let mixture = context.stage.source.mixture();
        let truth = |p: &Point| -mixture.log_density(*p, 1.0);
        Ok(Some(LikelihoodView {
            request: self.request.clone(),
            density: Grid {
                side: self.request.side,
                values: log[..cells].iter().map(|l| l.exp()).collect(),
            },
            nll: mean(&mut log[cells..].iter().map(|l| -f64::from(*l))),
            true_nll: Some(mean(&mut self.held_out.iter().map(truth))),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::times;

    #[test]
    fn timesteps_are_close_where_the_noise_is_small() {
        assert_eq!(times(5, 1000), [0, 62, 250, 562, 999]);
        assert_eq!(times(4, 3), [0, 1, 2]);
    }
}

//! ε̂ at given points and one timestep, by the network or the exact denoiser, in slices.

use std::sync::Arc;

use super::stage::{Stage, plan_words};
use crate::{
    Result,
    data::points::Point,
    diffusion::{Objective, forward::LinearMap},
    gpu::{Gpu, View, memory::Pool, readback::Fetch},
    nn::{
        Plan, PlanBuilder, Shape,
        exact::{self, ExactIo},
        plan::{Cursor, Variants},
        state::{STATE_WORDS, StepState},
    },
    session::{
        denoise::Denoise,
        pacer::{Pace, Pacer},
        sampling::Predictor,
    },
};

/// What was computed for some points.
#[derive(Debug, Clone)]
pub struct Answer {
    /// ε̂ of each.
    pub eps: Vec<Point>,
    /// ln q(x_t) of each, by the exact denoiser.
    pub log_q: Option<Vec<f32>>,
}

/// A prepared evaluation of up to a number of points.
#[derive(Debug)]
pub struct Evaluator {
    gpu: Arc<Gpu>,
    stage: Stage,
    capacity: usize,
    objective: Objective,
    _pool: Pool,
    x: View,
    t: View,
    wanted: Vec<View>,
    plan: Plan,
    warm: bool,
    pacer: Pacer,
    cursor: Cursor,
    asked: Option<(Vec<Point>, LinearMap)>,
    reading: Option<Fetch>,
}

impl Evaluator {
    /// Prepares it, without pipelines.
    ///
    /// # Errors
    /// A network that cannot be built or does not fit the device.
    pub fn new(
        gpu: &Arc<Gpu>,
        stage: &Stage,
        predictor: Predictor<'_>,
        capacity: usize,
    ) -> Result<Self> {
        let denoise = Denoise::new(predictor, &stage.schedule, capacity)?;
        let exact = matches!(predictor, Predictor::Exact(_));
        let shape = Shape::vector(capacity, 2);
        let words = 4 * shape.words() as u64;
        let (pool, views) = Pool::allocate(
            gpu,
            "evaluation",
            &[
                ("state", 4 * STATE_WORDS as u64),
                ("x_t", words),
                ("t", 4 * capacity as u64),
                ("table", 4 * denoise.table().len() as u64),
                ("components", 4 * denoise.components().len() as u64),
                ("log_q", 4 * capacity as u64),
            ],
        )?;
        views[0].write(gpu, 0, StepState::default().words());
        views[3].write(gpu, 0, denoise.table());
        views[4].write(gpu, 0, denoise.components());
        let mut plan = PlanBuilder::with_variants(Variants::choose(gpu));
        let [state, x, t, table, components, log_q] =
            [0, 1, 2, 3, 4, 5].map(|i: usize| plan.external("evaluation", &views[i]));
        let out = match &denoise {
            Denoise::Network(..) => denoise.emit(&mut plan, (x, t), (table, components), state),
            Denoise::Exact { count, .. } => {
                let eps = plan.tensor("eps", shape.words());
                let io = ExactIo {
                    shape,
                    x,
                    t,
                    table,
                    components,
                    count: *count,
                    eps,
                    log_q: Some(log_q),
                };
                exact::emit(&mut plan, &io, state);
                eps
            }
        };
        plan.keep(out);
        let plan = plan.begin(gpu)?;
        let mut wanted = vec![plan.view(out).clone()];
        if exact {
            wanted.push(views[5].clone());
        }
        Ok(Self {
            gpu: Arc::clone(gpu),
            objective: if exact {
                Objective::Epsilon
            } else {
                stage.stage.scheduler.prediction_type
            },
            stage: stage.clone(),
            capacity,
            _pool: pool,
            x: views[1].clone(),
            t: views[2].clone(),
            wanted,
            plan,
            warm: false,
            pacer: Pacer::new(Pace::INTERACTIVE),
            cursor: Cursor::default(),
            asked: None,
            reading: None,
        })
    }

    /// Points at most.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether a question is open.
    pub const fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Asks for ε̂ at `points`, at most as many as there is room for, and timestep `t`, 1 ≤ t ≤ T.
    pub fn ask(&mut self, points: Vec<Point>, t: usize) {
        let i = t.clamp(1, self.stage.timesteps()) - 1;
        let mut padded = plan_words(&points[..points.len().min(self.capacity)]);
        padded.resize(self.capacity, [0.0; 4]);
        self.x.write(&self.gpu, 0, &padded);
        self.t.write(&self.gpu, 0, &vec![i as u32; self.capacity]);
        let map = (self.objective).epsilon_map(f64::from(self.stage.schedule.alpha_bars()[i]));
        self.cursor = Cursor::default();
        self.reading = None;
        self.asked = Some((points, map));
    }

    /// Goes on for about one slice; the answer, once it is there. Never waits.
    ///
    /// # Errors
    /// A lost device, or a kernel that does not compile on it.
    pub fn poll(&mut self, pace: Pace) -> Result<Option<Answer>> {
        if !self.warm {
            self.warm = self.plan.warm(pace.slice)?;
            return Ok(None);
        }
        self.gpu.check()?;
        self.pacer.set_pace(pace);
        let Some((points, map)) = &self.asked else {
            return Ok(None);
        };
        if self.reading.is_none() {
            self.pacer.begin_round();
            while let Some(budget) = self.pacer.budget(&self.gpu) {
                let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
                let (done, work) = self.plan.encode(&mut encoder, &mut self.cursor, budget);
                self.pacer.submit(&self.gpu, encoder.finish(), work);
                if done {
                    self.reading = Some(Fetch::start(&self.gpu, &self.wanted)?);
                    break;
                }
            }
        }
        self.pacer.collect(&self.gpu);
        let Some(reading) = &mut self.reading else {
            return Ok(None);
        };
        let Some(words) = reading.poll(&self.gpu)? else {
            return Ok(None);
        };
        let eps = points
            .iter()
            .zip(words[0].chunks_exact(4))
            .map(|(x, out)| {
                [0, 1].map(|c| {
                    let out = f64::from(f32::from_bits(out[c]));
                    map.apply(f64::from(x[c]), out) as f32
                })
            })
            .collect();
        let log_q = words.get(1).map(|w| {
            let values = w.iter().take(points.len());
            values.map(|&v| f32::from_bits(v)).collect()
        });
        self.asked = None;
        self.reading = None;
        Ok(Some(Answer { eps, log_q }))
    }
}

/// √(Σ|a − b|² / Σ|b|²), or 0 where b is 0: the relative error of a against b, as
/// [`FieldView::relative_error`](super::event::FieldView::relative_error) has it.
pub fn relative_error(a: &[Point], b: &[Point]) -> f32 {
    let (difference, size) = squares(a, b);
    ratio(difference, size)
}

/// (Σ|a − b|², Σ|b|²).
pub fn squares(a: &[Point], b: &[Point]) -> (f64, f64) {
    let mut sums = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        for c in 0..2 {
            let (a, b) = (f64::from(a[c]), f64::from(b[c]));
            sums.0 += (a - b) * (a - b);
            sums.1 += b * b;
        }
    }
    sums
}

/// The square root of their ratio.
pub fn ratio(difference: f64, size: f64) -> f32 {
    if size > 0.0 {
        (difference / size).sqrt() as f32
    } else {
        0.0
    }
}

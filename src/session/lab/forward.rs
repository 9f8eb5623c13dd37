//! The forward process of the particles: x_t as a cloud, q(x_t) as a density.

use std::{collections::VecDeque, sync::Arc};

use super::{
    EXTENT,
    command::LabForward,
    event::{Grid, LabForwardView},
    stage::{Stage, grid, plan_words},
};
use crate::{
    Result,
    diffusion::{Objective, SchedulerConfig, forward::q_sample_factors},
    gpu::{
        Gpu, View,
        cloud::{CloudPainter, CloudScreen},
        memory::Pool,
        readback::Fetch,
    },
    nn::{
        Plan, PlanBuilder, Shape,
        batch::{self, QSample},
        exact::{self, ExactIo},
        plan::{Cursor, Variants},
        state::{RandomStep, STATE_WORDS, StepState},
    },
    rng::stream,
};

/// Pixels a side of the cloud's picture.
const SIDE: usize = 512;
/// Cells a side of the density.
const CELLS: usize = 64;

/// A request on its way.
#[derive(Debug)]
struct Reading {
    request: LabForward,
    /// ᾱ_t of each schedule, and its density's readback.
    sent: Vec<(f32, Fetch)>,
    /// The densities that have arrived.
    grids: Vec<Grid>,
}

/// The job for one stage.
#[derive(Debug)]
pub struct ForwardJob {
    gpu: Arc<Gpu>,
    _pool: Pool,
    q_table: View,
    log_q: View,
    plan: Plan,
    screen: CloudScreen,
    reading: VecDeque<Reading>,
    next: Option<LabForward>,
}

impl ForwardJob {
    /// Prepares everything; the plan is small.
    ///
    /// # Errors
    /// A device too small.
    pub fn new(gpu: &Arc<Gpu>, painter: &CloudPainter, stage: &Stage) -> Result<Self> {
        let x0 = plan_words(&stage.particles());
        let shape = Shape::vector(x0.len(), 2);
        let words = 4 * shape.words() as u64;
        let cells = plan_words(&grid(CELLS));
        let cell_shape = Shape::vector(cells.len(), 2);
        let components = exact::table(stage.source.mixture());
        let (pool, views) = Pool::allocate(
            gpu,
            "lab, forward",
            &[
                ("state", 4 * STATE_WORDS as u64),
                ("x_0", words),
                ("t", 4 * shape.b.max(cells.len()) as u64),
                ("sqrt(alpha_bar)", 8),
                ("x_t", words),
                ("cells", 16 * cells.len() as u64),
                ("components", 4 * components.len() as u64),
                ("log_q", 4 * cells.len() as u64),
            ],
        )?;
        let state = StepState::default().with_seed(stage.stage.seed);
        views[0].write(gpu, 0, state.words());
        views[1].write(gpu, 0, &x0);
        views[2].write(gpu, 0, &vec![0_u32; shape.b.max(cells.len())]);
        views[5].write(gpu, 0, &cells);
        views[6].write(gpu, 0, &components);
        let mut plan = PlanBuilder::with_variants(Variants::choose(gpu));
        let [state, x0, t, q_table, x_t, cells, components, log_q] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|i: usize| plan.external("forward", &views[i]));
        let target = plan.tensor("target", shape.words());
        plan.set_label("q_sample");
        let q = QSample {
            shape,
            timesteps: 1,
            objective: Objective::Epsilon,
            x0,
            t,
            table: q_table,
            x_t,
            target,
        };
        let random = (stream::FORWARD_NOISE, RandomStep::Fixed(0));
        batch::draw(&mut plan, &q, random, state);
        plan.set_label("density");
        let eps = plan.tensor("eps", cell_shape.words());
        let io = ExactIo {
            shape: cell_shape,
            x: cells,
            t,
            table: q_table,
            components,
            count: stage.source.mixture().components.len(),
            eps,
            log_q: Some(log_q),
        };
        exact::emit(&mut plan, &io, state);
        let plan = plan.prepare(gpu)?;
        let screen = painter.screen(gpu, &views[4], shape.b, SIDE, 2, EXTENT)?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            q_table: views[3].clone(),
            log_q: views[7].clone(),
            _pool: pool,
            plan,
            screen,
            reading: VecDeque::new(),
            next: None,
        })
    }

    /// Takes a request, in place of one that has not begun.
    pub fn ask(&mut self, request: LabForward) {
        self.next = Some(request);
    }

    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        self.next.is_some() || !self.reading.is_empty()
    }

    /// Goes on; an answer, once one is there.
    ///
    /// # Errors
    /// An unknown schedule, or a lost device.
    pub fn poll(&mut self, stage: &Stage) -> Result<Option<LabForwardView>> {
        if self.reading.len() < 2
            && let Some(request) = self.next.take()
        {
            let sent = self.send(stage, &request)?;
            self.reading.push_back(Reading {
                request,
                sent,
                grids: Vec::new(),
            });
        }
        let Some(first) = self.reading.front_mut() else {
            return Ok(None);
        };
        while let Some((_, fetch)) = first.sent.get_mut(first.grids.len()) {
            let Some(words) = fetch.poll(&self.gpu)? else {
                return Ok(None);
            };
            let values = words[0].iter().map(|&w| f32::from_bits(w).exp());
            first.grids.push(Grid {
                side: CELLS,
                values: values.collect(),
            });
        }
        Ok(self.reading.pop_front().map(|done| LabForwardView {
            request: done.request,
            clouds: self.screen.film().clone(),
            density: done.grids.into(),
            alpha_bar: done.sent.iter().map(|f| f.0).collect(),
        }))
    }

    fn send(&self, stage: &Stage, request: &LabForward) -> Result<Vec<(f32, Fetch)>> {
        let t = request.t.min(stage.timesteps());
        let mut schedules = vec![Arc::clone(&stage.schedule)];
        if let Some(name) = &request.compare {
            let other = SchedulerConfig {
                beta_schedule: name.clone(),
                trained_betas: None,
                ..stage.stage.scheduler.clone()
            };
            schedules.push(Arc::new(other.noise_schedule()?));
        }
        let mut sent = Vec::new();
        for (layer, schedule) in schedules.iter().enumerate() {
            let (a, s) = t
                .checked_sub(1)
                .map_or((1.0, 0.0), |i| q_sample_factors(schedule, i));
            let bar = t.checked_sub(1).map_or(1.0, |i| schedule.alpha_bars()[i]);
            self.q_table.write(&self.gpu, 0, &[a, s]);
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            let plan = &self.plan;
            plan.encode(&mut encoder, &mut Cursor::default(), f64::INFINITY);
            self.screen.encode(&mut encoder, layer);
            self.gpu.submit(encoder.finish(), || {});
            let fetch = Fetch::start(&self.gpu, std::slice::from_ref(&self.log_q))?;
            sent.push((bar, fetch));
        }
        Ok(sent)
    }
}

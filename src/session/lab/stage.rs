//! The stage: a distribution with its schedule, on which everything else in the lab is based.

use std::sync::Arc;

use super::{EXTENT, MAX_PARTICLES, command::LabStage, event::StageView, within};
use crate::{
    Result,
    data::points::{Point, PointSource},
    diffusion::{NoiseSchedule, SchedulerConfig, forward::q_sample_factors},
    nn::{Shape, batch},
    rng::{Draw, stream},
};

/// Points of the support that an interface is told of at most.
const SUPPORT: usize = 2048;
/// Particles whose trails are told.
const TRAILS: usize = 256;

/// What is on stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What was asked, with a scheduler that clamps nothing.
    pub stage: LabStage,
    /// The distribution.
    pub source: Arc<PointSource>,
    /// The noise schedule.
    pub schedule: Arc<NoiseSchedule>,
}

/// The lab's scheduler: x̂_0 is not clamped, since points are not confined to [−1, 1] as pixels are.
pub fn unclamped(scheduler: &SchedulerConfig) -> SchedulerConfig {
    SchedulerConfig {
        clip_sample: false,
        ..scheduler.clone()
    }
}

impl Stage {
    /// Opens the distribution and computes the schedule.
    ///
    /// # Errors
    /// A distribution that cannot be used, a schedule that does not exist, or more particles than can be shown.
    pub fn open(stage: LabStage) -> Result<Self> {
        within("the number of particles", stage.particles, 1, MAX_PARTICLES)?;
        let source = PointSource::open(&stage.distribution)?;
        let scheduler = unclamped(&stage.scheduler);
        let schedule = scheduler.noise_schedule()?;
        Ok(Self {
            stage: LabStage { scheduler, ..stage },
            source: Arc::new(source),
            schedule: Arc::new(schedule),
        })
    }

    /// T.
    pub fn timesteps(&self) -> usize {
        self.schedule.timesteps()
    }

    /// ᾱ_t, where t = 0 is the data.
    pub fn alpha_bar(&self, t: usize) -> f64 {
        t.checked_sub(1).map_or(1.0, |i| {
            self.schedule.alpha_bar(i.min(self.timesteps() - 1))
        })
    }

    /// The particles' x_0.
    pub fn particles(&self) -> Vec<Point> {
        self.source.sample(
            self.stage.seed,
            stream::POINTS_SHOWN,
            0,
            self.stage.particles,
        )
    }

    /// The first `n` held-out points; set 1 is for comparison with set 0.
    pub fn held_out(&self, set: u32, n: usize) -> Vec<Point> {
        let stream = stream::sub(stream::POINTS_HELD_OUT, set);
        self.source.sample(HELD_OUT_SEED, stream, 0, n)
    }

    /// `n` points of q(x_t), 1 ≤ t ≤ T, the same in every call.
    pub fn noisy(&self, t: usize, n: usize) -> Vec<Point> {
        let i = t.clamp(1, self.timesteps()) - 1;
        let (a, s) = q_sample_factors(&self.schedule, i);
        let noise = normals(HELD_OUT_SEED, stream::EVAL_NOISE, i as u32, n);
        let x0 = self.held_out(2, n);
        (x0.iter().zip(&noise))
            .map(|(x, e)| [a * x[0] + s * e[0], a * x[1] + s * e[1]])
            .collect()
    }

    /// What an interface has to know; `asked` is returned to it as it came.
    pub fn view(&self, asked: LabStage) -> StageView {
        let components = &self.source.mixture().components;
        let thinned = components.len().min(SUPPORT);
        let support = (0..thinned)
            .map(|i| components[i * components.len() / thinned].mean)
            .collect();
        let x0 = self.particles();
        let noise = normals(self.stage.seed, stream::FORWARD_NOISE, 0, x0.len());
        let last = self.timesteps();
        let factors: Vec<(f32, f32)> = (0..StageView::TRAIL)
            .map(|k| k * last / (StageView::TRAIL - 1))
            .map(|t| {
                t.checked_sub(1)
                    .map_or((1.0, 0.0), |i| q_sample_factors(&self.schedule, i))
            })
            .collect();
        let particles: Arc<[[Point; 2]]> = x0.iter().zip(&noise).map(|(&x, &e)| [x, e]).collect();
        let trails = (particles.iter().take(TRAILS))
            .map(|[x, e]| {
                (factors.iter())
                    .map(|(a, s)| [a * x[0] + s * e[0], a * x[1] + s * e[1]])
                    .collect()
            })
            .collect();
        StageView {
            stage: asked,
            title: self.source.title().to_owned(),
            support,
            modes: self.source.modes().iter().map(|m| m.centre).collect(),
            particles,
            trails,
            note: self.source.note().map(str::to_owned),
        }
    }
}

/// Seed of everything that is held out: the same whatever is trained or drawn.
const HELD_OUT_SEED: u64 = 0x6865_6c64;

/// Noise of `n` points, as the device draws it.
fn normals(seed: u64, stream: u32, step: u32, n: usize) -> Vec<Point> {
    let first = Draw {
        seed,
        stream,
        step,
        sample: 0,
    };
    batch::normal_values(Shape::vector(n, 2), first)
        .chunks_exact(4)
        .map(|z| [z[0], z[1]])
        .collect()
}

/// Centres of the cells of a square grid over [−EXTENT, EXTENT]², row 0 at the top.
pub fn grid(side: usize) -> Vec<Point> {
    let at = |i: usize| ((i as f32 + 0.5) / side as f32 * 2.0 - 1.0) * EXTENT;
    (0..side)
        .flat_map(|row| (0..side).map(move |column| [at(column), -at(row)]))
        .collect()
}

/// Points as a plan has them, `[N, 1, 1, 4]`.
pub fn plan_words(points: &[Point]) -> Vec<[f32; 4]> {
    points.iter().map(|p| [p[0], p[1], 0.0, 0.0]).collect()
}

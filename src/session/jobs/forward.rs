//! The forward process of one picture, by two schedules at once: x_t and a filmstrip over t.

use std::sync::Arc;

use super::picture_and_noise;
use crate::{
    Result,
    diffusion::{NoiseSchedule, Objective, SchedulerConfig, forward::q_sample_factors},
    gpu::{
        Gpu, View,
        film::{Film, Painter, Screen, Shot},
        memory::Pool,
    },
    nn::{
        Plan, PlanBuilder, Shape,
        batch::{self, QSample},
        plan::Cursor,
        tensor,
        tuning::VariantTable,
    },
    session::{
        command::ForwardRequest,
        event::{ForwardView, Histogram},
    },
};

/// What a plan is made for; another shape needs another plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    size: [usize; 3],
    strip: usize,
    timesteps: usize,
}

/// The prepared plan.
#[derive(Debug)]
struct Prepared {
    key: Key,
    _pool: Pool,
    x0: View,
    noise: View,
    t: View,
    tables: [View; 2],
    plan: Plan,
    screens: [Screen; 2],
    film: Film,
}

/// The job.
#[derive(Debug, Default)]
pub struct ForwardJob {
    prepared: Option<Prepared>,
    known: Option<Known>,
}

impl ForwardJob {
    /// Computes what was asked and hands it to the device, without waiting.
    ///
    /// # Errors
    /// An unknown schedule, T that it cannot have, or a device too small.
    pub fn run(
        &mut self,
        gpu: &Arc<Gpu>,
        painter: &Painter,
        request: ForwardRequest,
    ) -> Result<ForwardView> {
        let picture = &request.picture;
        let key = Key {
            size: [picture.channels, picture.height, picture.width],
            strip: request.strip.clamp(1, 64),
            timesteps: request.timesteps,
        };
        let known = match &mut self.known {
            Some(known) if known.fits(&request) => known,
            other => other.insert(Known::new(&request)?),
        };
        let schedules = &known.schedules;
        let prepared = match &mut self.prepared {
            Some(prepared) if prepared.key == key => prepared,
            other => other.insert(Prepared::new(gpu, painter, key)?),
        };
        let one = key.shape(1);
        let (x0, noise) = picture_and_noise(picture, one, request.seed);
        let strip: Vec<usize> = (0..key.strip)
            .map(|i| i * request.timesteps / (key.strip - 1).max(1))
            .collect();
        let t: Vec<u32> = std::iter::once(&request.t)
            .chain(&strip)
            .map(|&t| t.min(request.timesteps) as u32)
            .collect();
        prepared.x0.write(gpu, 0, &x0.repeat(t.len()));
        prepared.noise.write(gpu, 0, &noise.repeat(t.len()));
        prepared.t.write(gpu, 0, &t);
        for (view, schedule) in prepared.tables.iter().zip(schedules) {
            view.write(gpu, 0, &table(schedule));
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let plan = &prepared.plan;
        plan.encode(&mut encoder, &mut Cursor::default(), f64::INFINITY);
        for (layer, screen) in prepared.screens.iter().enumerate() {
            screen.paint(gpu, &mut encoder, layer);
        }
        gpu.submit(encoder.finish(), || {});
        let (x0, noise) = (
            tensor::plan_to_nchw(one, &x0),
            tensor::plan_to_nchw(one, &noise),
        );
        let histograms = [0, 1].map(|s: usize| {
            let (a, b) = factors(&schedules[s], t[0] as usize);
            Histogram::of(x0.iter().zip(&noise).map(move |(x, e)| a * x + b * e))
        });
        Ok(ForwardView {
            film: prepared.film.clone(),
            strip,
            histograms,
            request,
        })
    }
}

/// The schedules that were asked for last.
#[derive(Debug)]
struct Known {
    names: [String; 2],
    timesteps: usize,
    schedules: [NoiseSchedule; 2],
}

impl Known {
    fn new(request: &ForwardRequest) -> Result<Self> {
        let make = |name: &String| {
            SchedulerConfig {
                num_train_timesteps: request.timesteps,
                beta_schedule: name.clone(),
                ..SchedulerConfig::default()
            }
            .noise_schedule()
        };
        let [a, b] = &request.schedules;
        Ok(Self {
            schedules: [make(a)?, make(b)?],
            names: request.schedules.clone(),
            timesteps: request.timesteps,
        })
    }

    fn fits(&self, request: &ForwardRequest) -> bool {
        self.names == request.schedules && self.timesteps == request.timesteps
    }
}

impl Key {
    const fn shape(self, batch: usize) -> Shape {
        Shape::new(batch, self.size[1], self.size[2], self.size[0])
    }
}

/// (√ᾱ_t, √(1 − ᾱ_t)) for t in 0 … T, where 0 is the picture itself.
fn factors(schedule: &NoiseSchedule, t: usize) -> (f32, f32) {
    t.checked_sub(1)
        .map_or((1.0, 0.0), |i| q_sample_factors(schedule, i))
}

fn table(schedule: &NoiseSchedule) -> Vec<f32> {
    (0..=schedule.timesteps())
        .flat_map(|t| <[f32; 2]>::from(factors(schedule, t)))
        .collect()
}

impl Prepared {
    fn new(gpu: &Arc<Gpu>, painter: &Painter, key: Key) -> Result<Self> {
        let count = key.strip + 1;
        let shape = key.shape(count);
        let words = 4 * shape.words() as u64;
        let rows = 8 * (key.timesteps as u64 + 1);
        let (pool, views) = Pool::allocate(
            gpu,
            "forward",
            &[
                ("x_0", words),
                ("noise", words),
                ("x_t", words),
                ("x_t", words),
                ("target", words),
                ("t", 4 * count as u64),
                ("schedule", rows),
                ("schedule", rows),
            ],
        )?;
        let mut plan = PlanBuilder::with_variants(VariantTable::of(gpu));
        let [x0, noise, xa, xb, target, t, ta, tb] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|i: usize| plan.external("forward", &views[i]));
        for (x_t, table) in [(xa, ta), (xb, tb)] {
            let q = QSample {
                shape,
                timesteps: key.timesteps + 1,
                objective: Objective::Epsilon,
                x0,
                t,
                table,
                x_t,
                target,
            };
            batch::given(&mut plan, &q, noise);
        }
        let plan = plan.prepare(gpu)?;
        let film = Film::new(gpu, (shape.w, shape.h), count, count, 2)?;
        let size = [shape.h, shape.w, shape.c];
        let screen = |view: &View| {
            let shot = Shot::pictures(view.clone(), size, count, 1.0);
            painter.screen(gpu, &film, shot)
        };
        Ok(Self {
            key,
            x0: views[0].clone(),
            noise: views[1].clone(),
            t: views[5].clone(),
            tables: [views[6].clone(), views[7].clone()],
            screens: [screen(&views[2]), screen(&views[3])],
            _pool: pool,
            plan,
            film,
        })
    }
}

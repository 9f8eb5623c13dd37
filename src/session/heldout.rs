//! The loss on held-out images: always the same images, timesteps and noise, so that two values
//! differ only by the weights.

use std::sync::Arc;

use super::{
    config::TrainConfig,
    pacer::{Pace, Pacer},
};
use crate::{
    Result,
    data::{Images, Shuffle},
    gpu::{Gpu, View, memory::Pool, readback::read_f32},
    nn::{
        Plan, PlanBuilder, Shape, batch, loss,
        model::ParamSet,
        state::{RandomStep, STATE_WORDS, STATS_WORDS, StepState},
        tuning::VariantTable,
        unet,
    },
    rng::stream,
};

/// Seed of the choice of images, timesteps and noise: the same for every run, so that runs of
/// different seeds can be compared.
const SEED: u64 = 0;

/// The loss of one set of weights on the held-out images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOutLoss {
    /// The loss of the run's kind.
    pub loss: f64,
    /// The mean squared error alone.
    pub mse: f64,
}

/// A forward pass on a fixed set of held-out images, prepared once.
#[derive(Debug)]
pub struct HeldOut {
    gpu: Arc<Gpu>,
    plan: Plan,
    weights: ParamSet,
    _pool: Pool,
    state: View,
    pixels: View,
    mse: View,
    bound: View,
    images: Images,
    batch: usize,
    loss_weights: (f32, f32),
    pacer: Pacer,
}

impl HeldOut {
    /// Prepares the loss on `count` of the images `test` (all of them, if there are fewer).
    ///
    /// # Errors
    /// A network that cannot be built, images that do not fit it, or a device too small.
    pub fn new(
        gpu: &Arc<Gpu>,
        config: &TrainConfig,
        test: &Images,
        count: usize,
        variants: VariantTable,
    ) -> Result<Self> {
        let shuffle = Shuffle::new(test.len(), SEED);
        let chosen: Vec<usize> = (0..count.min(test.len()) as u64)
            .map(|i| shuffle.index(i))
            .collect();
        let images = test.select(&chosen);
        let schedule = config.scheduler.noise_schedule()?;
        let timesteps = schedule.timesteps();
        let batch_size = config.batch.min(images.len()).max(1);
        let model = unet::build(&config.unet, batch_size, timesteps, false)?;
        let params = model.graph.params();
        let weights = ParamSet::zeros(gpu, "held-out weights", params)?;
        let q_table = batch::q_sample_table(&schedule);
        let (objective, variance) = (
            config.scheduler.prediction_type,
            config.scheduler.variance_type,
        );
        let bound_table = loss::BoundTable::new(&schedule, variance, objective);
        let pixel_bytes = (batch_size * images.stride()).next_multiple_of(16) as u64;
        let words = |n: usize| 4 * n as u64;
        let (pool, v) = Pool::allocate(
            gpu,
            "held-out",
            &[
                ("state", words(STATE_WORDS)),
                ("pixels", pixel_bytes),
                ("losses", words(batch_size)),
                ("bounds", words(batch_size)),
                ("t", words(batch_size)),
                ("stats", words(STATS_WORDS)),
                ("time table", words(model.time_table.len())),
                ("sqrt(alpha_bar)", words(q_table.len())),
                ("bound", words(bound_table.words.len())),
                ("quantiles of t", words(timesteps)),
            ],
        )?;
        v[6].write(gpu, 0, &model.time_table);
        v[7].write(gpu, 0, &q_table);
        v[8].write(gpu, 0, &bound_table.words);
        let quantiles: Vec<u32> = (0..timesteps as u32).collect();
        v[9].write(gpu, 0, &quantiles);

        let mut plan = PlanBuilder::with_variants(variants);
        let shape = model.graph.shape(model.inputs.x);
        let state = plan.external("state", &v[0]);
        let pixels = plan.external("pixels", &v[1]);
        let mse = plan.external("losses", &v[2]);
        let vlb = plan.external("bounds", &v[3]);
        let t = plan.external("t", &v[4]);
        let stats = plan.external("stats", &v[5]);
        let time_table = plan.external("time table", &v[6]);
        let table = plan.external("sqrt(alpha_bar)", &v[7]);
        let quantiles = plan.external("quantiles of t", &v[9]);
        let bound = weights.bind(&mut plan, params);
        plan.set_label("batch");
        let [x0, x_t, target] = ["x_0", "x_t", "target"].map(|l| plan.tensor(l, shape.words()));
        let image = Shape::new(batch_size, images.height, images.width, images.channels);
        let placement = batch::Placement::centred(image, shape)?;
        batch::load(&mut plan, &placement, pixels, x0, None, state);
        let fixed = RandomStep::Fixed(0);
        batch::timesteps(
            &mut plan,
            (batch_size, timesteps),
            batch::TimestepDraw::Stratified,
            (stream::EVAL_TIMESTEP, fixed),
            quantiles,
            t,
            state,
        );
        let q = batch::QSample {
            shape,
            timesteps,
            objective,
            x0,
            t,
            table,
            x_t,
            target,
        };
        batch::draw(&mut plan, &q, (stream::EVAL_NOISE, fixed), state);
        let out = model
            .lower(&mut plan, x_t, t, time_table, state, &bound)
            .output;
        plan.set_label("loss");
        let (simple_weight, bound_weight) = loss::loss_weights(config.loss, timesteps);
        let inputs = (bound_weight != 0.0).then(|| loss::Bound {
            x0,
            x_t,
            t,
            table: plan.external("bound", &v[8]),
            timesteps,
            mean_from_x: bound_table.mean_from_x,
            mean_from_out: bound_table.mean_from_out,
            log_sigma: bound_table.log_sigma,
        });
        loss::emit(
            &mut plan,
            &loss::Loss {
                shape,
                out,
                target,
                weights: None,
                grad_factor: 1.0,
                simple_weight,
                bound_weight,
                bound: inputs,
            },
            &loss::LossOutputs {
                grad: None,
                mse,
                vlb,
                stats,
            },
            state,
        );
        let plan = plan.prepare(gpu)?;
        let [state, pixels, mse, bound] = [0, 1, 2, 3].map(|i: usize| v[i].clone());
        Ok(Self {
            gpu: Arc::clone(gpu),
            plan,
            weights,
            _pool: pool,
            state,
            pixels,
            mse,
            bound,
            images,
            batch: batch_size,
            loss_weights: (simple_weight, bound_weight),
            pacer: Pacer::new(Pace::FULL),
        })
    }

    /// How many images are used.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Sets how hard the device is worked.
    pub const fn set_pace(&mut self, pace: Pace) {
        self.pacer.set_pace(pace);
    }

    /// The loss of these weights (of the same network). Waits for the device.
    ///
    /// # Errors
    /// A lost device.
    pub fn measure(&mut self, weights: &ParamSet) -> Result<HeldOutLoss> {
        self.take(weights);
        let count = self.images.len();
        let (mut mse, mut bound) = (0.0, 0.0);
        for first in (0..count).step_by(self.batch) {
            let mut state = StepState::default().with_seed(SEED);
            state.batch_offset = first as u32;
            state.batch_total = count as u32;
            self.state.write(&self.gpu, 0, state.words());
            let mut bytes: Vec<u8> = Vec::with_capacity(self.pixels.bytes as usize);
            for i in first..first + self.batch {
                bytes.extend_from_slice(self.images.image(i % count));
            }
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            self.pixels.write(&self.gpu, 0, &bytes);
            self.pacer.run(&self.gpu, &self.plan)?;
            let read = read_f32(&self.gpu, &[self.mse.clone(), self.bound.clone()])?;
            let here = self.batch.min(count - first);
            let sum = |values: &[f32]| values[..here].iter().map(|&v| f64::from(v)).sum::<f64>();
            mse += sum(&read[0]);
            bound += sum(&read[1]);
        }
        let n = count.max(1) as f64;
        let (simple, vlb) = self.loss_weights;
        Ok(HeldOutLoss {
            loss: (f64::from(simple) * mse + f64::from(vlb) * bound) / n,
            mse: mse / n,
        })
    }

    fn take(&self, weights: &ParamSet) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (from, to) in weights.chunks().iter().zip(self.weights.chunks()) {
            let bytes = from.bytes.min(to.bytes);
            encoder.copy_buffer_to_buffer(&from.buffer, 0, &to.buffer, 0, bytes);
        }
        self.gpu.submit(encoder.finish(), || {});
    }
}

//! Sampling: the reverse process as a prepared plan, one network evaluation and one sampler step
//! a run. Nothing comes back until the last step, or until a frame of a film is asked for. In the plane the exact
//! denoiser can take the network's place.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    denoise::Denoise,
    event::{ReverseFilms, ReverseFrame},
    pacer::{Pace, Pacer},
};
use crate::{
    Result,
    data::points::Point,
    diffusion::{Objective, SampleStep, SchedulerConfig, exact::Mixture, sampler},
    gpu::{
        Gpu, View,
        cloud::{CloudPainter, CloudScreen},
        film::{Film, MAX_LAYERS, NOISE_GAIN, Painter, Screen, Shot},
        memory::Pool,
        readback::Fetch,
    },
    nn::{
        Plan, PlanBuilder, Shape, batch,
        model::ParamSet,
        network::Network,
        plan::{Cursor, Work},
        sample_step::{self, SampleStepIo, StepNoise},
        state::{RandomStep, STATE_WORDS, StepState},
        tensor,
        tuning::VariantTable,
    },
    rng::stream,
};

/// What to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRequest {
    /// Images.
    pub count: usize,
    /// Name of the sampler, of [`sampler::SAMPLERS`].
    pub sampler: String,
    /// Network evaluations an image.
    pub steps: usize,
    /// DDIM's η.
    pub eta: f64,
    /// Seed: image n is the same whatever the count and the batch.
    pub seed: u64,
    /// Images at once.
    pub batch: usize,
}

/// What predicts.
#[derive(Debug, Clone, Copy)]
pub enum Predictor<'a> {
    /// A network; its weights must outlive whatever is made with it, they are not copied.
    Network(&'a Network, &'a ParamSet),
    /// E[ε | x_t] of points of the plane, in closed form.
    Exact(&'a Mixture),
}

/// What is to be seen of a run while it is computed.
#[derive(Debug, Clone, Copy)]
pub enum Watch<'a> {
    /// Nothing.
    Nothing,
    /// Films of images.
    Tiles(&'a Painter, FilmRequest),
    /// One film of points.
    Cloud(&'a CloudPainter, CloudRequest),
}

/// A cloud of points that is to be filmed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CloudRequest {
    /// Frames at most; all steps if they are fewer.
    pub frames: usize,
    /// Pixels a side.
    pub side: usize,
    /// Half the side of the square that is shown, in data units.
    pub extent: f32,
    /// The first points, whose ways are kept, a point a frame.
    pub paths: usize,
}

/// A state of the reverse process, as a film shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Steps taken so far: 0 is x_T.
    pub steps_taken: usize,
    /// The timestep of the last evaluation; `None` for x_T.
    pub timestep: Option<usize>,
    /// x_t, `[N, C, H, W]`.
    pub x: Vec<f32>,
    /// The prediction of x_0, `[N, C, H, W]`; zeros in the first frame.
    pub x0_hat: Vec<f32>,
}

/// What a readback is for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// x_T of this many images.
    Starts(usize),
    /// A frame after this many steps.
    Frame(usize),
    /// This many finished images.
    Images(usize),
    /// Where the first points are.
    Path,
}

/// The films of a run's first batch.
#[derive(Debug)]
struct Filming {
    screens: Screens,
    /// Steps taken at each frame.
    frames: Vec<usize>,
    painted: usize,
    /// Points whose ways are kept.
    paths: usize,
}

#[derive(Debug)]
enum Screens {
    Tiles(Box<[Screen; 4]>),
    Cloud(CloudScreen),
}

/// What is to be filmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilmRequest {
    /// Frames at most; all steps if they are fewer.
    pub frames: usize,
    /// Tiles in a row.
    pub columns: usize,
}

/// The reverse process of a number of images, batch after batch.
#[derive(Debug)]
pub struct SampleRun {
    gpu: Arc<Gpu>,
    request: SampleRequest,
    steps: Vec<SampleStep>,
    shape: Shape,
    _pool: Pool,
    state: View,
    x: View,
    x0_hat: View,
    start: Plan,
    plan: Plan,
    cursor: Cursor,
    phase: Option<usize>,
    begun: bool,
    first: usize,
    pacer: Pacer,
    /// Readbacks under way, oldest first.
    reading: VecDeque<(Wanted, Fetch)>,
    images: Vec<f32>,
    /// x_T of every image, if they are kept.
    starts: Option<Vec<f32>>,
    frames_at: Vec<usize>,
    frames: Vec<Frame>,
    filming: Option<Filming>,
    /// The ways of the first points.
    paths: Vec<Vec<Point>>,
    /// x_T, if it is given.
    given: Option<Vec<f32>>,
}

/// Steps taken at each of at most `most` frames of a run of `last` steps, spread evenly.
/// The last state alone is one frame.
fn frames_of(last: usize, most: usize) -> Vec<usize> {
    if most == 1 {
        return vec![last];
    }
    let count = (last + 1).min(most.clamp(2, MAX_LAYERS as usize));
    (0..count).map(|i| i * last / (count - 1).max(1)).collect()
}

impl Filming {
    fn new(
        gpu: &Arc<Gpu>,
        watch: Watch<'_>,
        shape: Shape,
        views: [&View; 4],
        steps: &[SampleStep],
    ) -> Result<Option<Self>> {
        let (painter, wanted) = match watch {
            Watch::Nothing => return Ok(None),
            Watch::Tiles(painter, wanted) => (painter, wanted),
            Watch::Cloud(painter, wanted) => {
                let frames = frames_of(steps.len(), wanted.frames);
                let screen = painter.screen(
                    gpu,
                    views[0],
                    shape.b,
                    wanted.side,
                    frames.len(),
                    wanted.extent,
                )?;
                return Ok(Some(Self {
                    screens: Screens::Cloud(screen),
                    frames,
                    painted: 0,
                    paths: wanted.paths.min(shape.b),
                }));
            }
        };
        let frames = frames_of(steps.len(), wanted.frames.max(2));
        let make = |view: &View, gain: f32| -> Result<Screen> {
            let size = (shape.w, shape.h);
            let film = Film::new(gpu, size, shape.b, wanted.columns, frames.len())?;
            let size = [shape.h, shape.w, shape.c];
            let shot = Shot::pictures(view.clone(), size, shape.b, gain);
            Ok(painter.screen(gpu, &film, shot))
        };
        let screens = [
            make(views[0], 1.0)?,
            make(views[1], 1.0)?,
            make(views[2], NOISE_GAIN)?,
            make(views[3], NOISE_GAIN)?,
        ];
        Ok(Some(Self {
            screens: Screens::Tiles(Box::new(screens)),
            frames,
            painted: 0,
            paths: 0,
        }))
    }
}

impl SampleRun {
    /// Prepares the plan. `weights` must outlive the run; they are not copied.
    ///
    /// # Errors
    /// An unknown sampler, more steps than T, or a device too small.
    pub fn new(
        gpu: &Arc<Gpu>,
        network: impl Into<Network>,
        scheduler: &SchedulerConfig,
        weights: &ParamSet,
        request: SampleRequest,
    ) -> Result<Self> {
        let network = network.into();
        let predictor = Predictor::Network(&network, weights);
        let mut run = Self::begin(gpu, predictor, scheduler, request, Watch::Nothing)?;
        loop {
            let (done, of) = run.warm(Duration::from_secs(1))?;
            if done == of {
                return Ok(run);
            }
        }
    }

    /// [`SampleRun::new`] for any predictor and without pipelines: [`SampleRun::warm`] makes them bit by bit, and
    /// has to be called until all are there. With `watch`, the first batch is painted while it is computed.
    ///
    /// # Errors
    /// As [`SampleRun::new`], and films beyond the device's limits.
    pub fn begin(
        gpu: &Arc<Gpu>,
        predictor: Predictor<'_>,
        scheduler: &SchedulerConfig,
        request: SampleRequest,
        watch: Watch<'_>,
    ) -> Result<Self> {
        let schedule = scheduler.noise_schedule()?;
        let options = sampler::SamplerOptions { eta: request.eta };
        // The exact denoiser answers with ε.
        let predicts = match predictor {
            Predictor::Network(..) => scheduler.prediction_type,
            Predictor::Exact(_) => Objective::Epsilon,
        };
        let scheduler = SchedulerConfig {
            prediction_type: predicts,
            ..scheduler.clone()
        };
        let steps = sampler::by_name(&request.sampler, options)?.steps(
            &scheduler,
            &schedule,
            request.steps,
        )?;
        let batch_size = request.batch.min(request.count).max(1);
        let denoise = Denoise::new(predictor, &schedule, batch_size)?;
        let shape = denoise.shape();
        let tiles = matches!(watch, Watch::Tiles(..));
        let keeps_eps = tiles || steps.iter().any(|s| s.coefficients.looks_back());
        let coefficients: Vec<_> = steps.iter().map(|s| s.coefficients).collect();
        let table = sample_step::table_words(&coefficients);
        let words = 4 * shape.words() as u64;
        let (pool, views) = Pool::allocate(
            gpu,
            "sampling",
            &[
                ("state", 4 * STATE_WORDS as u64),
                ("x", words),
                ("x0_hat", words),
                ("steps", 4 * table.len() as u64),
                ("time table", 4 * denoise.table().len() as u64),
                ("eps_hat", if keeps_eps { words } else { 16 }),
                ("noise", if tiles { words } else { 16 }),
                ("components", 4 * denoise.components().len() as u64),
            ],
        )?;
        views[3].write(gpu, 0, &table);
        views[4].write(gpu, 0, denoise.table());
        views[7].write(gpu, 0, denoise.components());

        let variants = VariantTable::of(gpu);
        let mut start = PlanBuilder::with_variants(variants);
        let state = start.external("state", &views[0]);
        let x = start.external("x", &views[1]);
        let random = (stream::SAMPLE_START, RandomStep::Fixed(0));
        batch::normal(&mut start, shape, random, x, state);
        let start = start.begin(gpu)?;

        let mut plan = PlanBuilder::with_variants(variants);
        let state = plan.external("state", &views[0]);
        let x = plan.external("x", &views[1]);
        let x0_hat = plan.external("x0_hat", &views[2]);
        let table = plan.external("steps", &views[3]);
        let time_table = plan.external("time table", &views[4]);
        let components = plan.external("components", &views[7]);
        let t = plan.tensor("t", batch_size);
        plan.set_label("timestep");
        sample_step::set_t(&mut plan, (batch_size, steps.len()), table, t, state);
        let out = denoise.emit(&mut plan, (x, t), (time_table, components), state);
        plan.set_label("sampler step");
        let draw = (stream::SAMPLE_NOISE, RandomStep::InferenceStep);
        let noise = if tiles {
            // The same numbers, but where they can be seen.
            let noise = plan.external("noise", &views[6]);
            batch::normal(&mut plan, shape, draw, noise, state);
            StepNoise::Given(noise)
        } else {
            StepNoise::Drawn(draw.0, draw.1)
        };
        let eps_hat = keeps_eps.then(|| plan.external("eps_hat", &views[5]));
        sample_step::emit(
            &mut plan,
            &SampleStepIo {
                shape,
                table,
                steps: steps.len(),
                out,
                x_t: x,
                noise,
                x_prev: x,
                x0_hat: Some(x0_hat),
                eps_hat,
            },
            state,
        );
        let plan = plan.begin(gpu)?;
        let shown = [&views[1], &views[2], &views[5], &views[6]];
        let filming = Filming::new(gpu, watch, shape, shown, &steps)?;
        let [state, x, x0_hat] = [0, 1, 2].map(|i: usize| views[i].clone());
        Ok(Self {
            gpu: Arc::clone(gpu),
            request,
            steps,
            shape,
            _pool: pool,
            state,
            x,
            x0_hat,
            start,
            plan,
            cursor: Cursor::default(),
            phase: None,
            begun: false,
            first: 0,
            pacer: Pacer::new(Pace::FULL),
            reading: VecDeque::new(),
            images: Vec::new(),
            starts: None,
            frames_at: Vec::new(),
            frames: Vec::new(),
            filming,
            paths: Vec::new(),
            given: None,
        })
    }

    /// Starts from this x_T, `[N, C, H, W]`, instead of noise.
    #[must_use]
    pub fn with_given(mut self, x: Vec<f32>) -> Self {
        self.given = Some(x);
        self
    }

    /// The film of points, if it was asked for.
    pub fn cloud(&self) -> Option<&Film> {
        match &self.filming.as_ref()?.screens {
            Screens::Cloud(screen) => Some(screen.film()),
            Screens::Tiles(_) => None,
        }
    }

    /// The ways of the first points, a point a frame of the film.
    pub fn paths(&self) -> &[Vec<Point>] {
        &self.paths
    }

    /// Whether nothing that was submitted is under way.
    pub fn is_idle(&self) -> bool {
        self.pacer.is_idle()
    }

    /// Makes pipelines for about `time`; returns how many are there and how many there are in all.
    ///
    /// # Errors
    /// A kernel that does not compile on this device.
    pub fn warm(&mut self, time: Duration) -> Result<(usize, usize)> {
        if self.start.warm(time)? {
            self.plan.warm(time)?;
        }
        let ((a, b), (c, d)) = (self.start.warmed(), self.plan.warmed());
        Ok((a + c, b + d))
    }

    /// The films, if they were asked for.
    pub fn films(&self) -> Option<ReverseFilms> {
        let Screens::Tiles(screens) = &self.filming.as_ref()?.screens else {
            return None;
        };
        let [x, x0_hat, eps_hat, noise] = screens.as_ref();
        Some(ReverseFilms {
            x: x.film().clone(),
            x0_hat: x0_hat.film().clone(),
            eps_hat: eps_hat.film().clone(),
            noise: noise.film().clone(),
        })
    }

    /// What the films' frames are, from x_T to x_0.
    pub fn film_frames(&self) -> Vec<ReverseFrame> {
        let taken = self.filming.iter().flat_map(|f| &f.frames);
        taken.map(|&taken| self.frame_after(taken)).collect()
    }

    fn frame_after(&self, taken: usize) -> ReverseFrame {
        let t = |i: usize| self.steps.get(i).map_or(0, |s| s.timestep + 1);
        ReverseFrame {
            steps_taken: taken,
            t: t(taken),
            sigma: taken
                .checked_sub(1)
                .map_or(0.0, |i| self.steps[i].coefficients.sigma),
        }
    }

    /// Frames painted so far.
    pub fn painted(&self) -> usize {
        self.filming.as_ref().map_or(0, |f| f.painted)
    }

    /// Device time spent so far, as seen from here.
    pub const fn device_time(&self) -> Duration {
        self.pacer.busy()
    }

    /// Keeps `count` frames of the first batch, spread evenly from x_T to x_0.
    #[must_use]
    pub fn with_frames(mut self, count: usize) -> Self {
        let last = self.steps.len();
        self.frames_at = (0..count)
            .map(|i| i * last / count.saturating_sub(1).max(1))
            .collect();
        self.frames_at.dedup();
        self
    }

    /// Keeps x_T of every image as well.
    #[must_use]
    pub fn with_starts(mut self) -> Self {
        self.starts = Some(Vec::new());
        self
    }

    /// Sets how hard the device is worked.
    pub const fn set_pace(&mut self, pace: Pace) {
        self.pacer.set_pace(pace);
    }

    /// Network evaluations done, and in all.
    pub fn progress(&self) -> (usize, usize) {
        let batches = self.request.count.div_ceil(self.shape.b);
        let done = self.first / self.shape.b * self.steps.len();
        (done + self.phase.unwrap_or(0), batches * self.steps.len())
    }

    /// Shape of the images, `[N, C, H, W]`.
    pub const fn image_shape(&self) -> [usize; 4] {
        [self.request.count, self.shape.c, self.shape.h, self.shape.w]
    }

    /// Images a batch.
    pub const fn batch(&self) -> usize {
        self.shape.b
    }

    /// The plan of one step, for profiles.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Goes on for as long as there is room for submissions; true once all images are there.
    /// Never waits: finished batches and frames are read back while later ones are computed.
    ///
    /// # Errors
    /// A lost device.
    pub fn pump(&mut self) -> Result<bool> {
        self.gpu.check()?;
        self.pacer.begin_round();
        while self.first < self.request.count
            && let Some(budget) = self.pacer.budget(&self.gpu)
        {
            self.encode(budget)?;
        }
        self.pacer.collect(&self.gpu);
        while let Some((wanted, fetch)) = self.reading.front_mut() {
            let wanted = *wanted;
            let Some(data) = fetch.poll(&self.gpu)? else {
                break;
            };
            self.reading.pop_front();
            self.receive(wanted, &data);
        }
        Ok(self.first >= self.request.count && self.reading.is_empty())
    }

    fn encode(&mut self, budget: f64) -> Result<()> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let wanted = (self.request.count - self.first).min(self.shape.b);
        let Some(step) = self.phase else {
            self.write_state(0);
            if let Some(given) = &self.given {
                let size = self.shape.c * self.shape.h * self.shape.w;
                let mut values = given[self.first * size..(self.first + wanted) * size].to_vec();
                values.resize(self.shape.b * size, 0.0);
                let words = tensor::nchw_to_plan(self.shape, &values);
                self.x.write(&self.gpu, 0, &words);
                self.pacer
                    .submit(&self.gpu, encoder.finish(), Work::default());
            } else {
                let whole = f64::INFINITY;
                let (_, work) = self
                    .start
                    .encode(&mut encoder, &mut Cursor::default(), whole);
                self.pacer.submit(&self.gpu, encoder.finish(), work);
            }
            self.phase = Some(0);
            if self.starts.is_some() {
                self.read(Wanted::Starts(wanted))?;
            }
            return self.read_frame(0);
        };
        if !self.begun {
            self.write_state(step);
            self.begun = true;
        }
        let (done, work) = self.plan.encode(&mut encoder, &mut self.cursor, budget);
        self.pacer.submit(&self.gpu, encoder.finish(), work);
        if done {
            self.begun = false;
            self.phase = Some(step + 1);
            self.read_frame(step + 1)?;
            if step + 1 == self.steps.len() {
                self.read(Wanted::Images(wanted))?;
                self.first += self.shape.b;
                self.phase = None;
            }
        }
        Ok(())
    }

    /// Waits for room. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        if self.pacer.is_idle() && !self.reading.is_empty() {
            self.gpu.wait();
        } else {
            self.pacer.wait(&self.gpu);
        }
    }

    /// Runs to the end, waiting; `tick` hears (done, of) and stops the run by returning false.
    /// Native only.
    ///
    /// # Errors
    /// A lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, mut tick: impl FnMut(usize, usize) -> bool) -> Result<bool> {
        loop {
            let done = self.pump()?;
            let (at, of) = self.progress();
            if !tick(at, of) {
                return Ok(false);
            }
            if done {
                return Ok(true);
            }
            self.wait();
        }
    }

    fn write_state(&self, step: usize) {
        let mut state = StepState::default().with_seed(self.request.seed);
        state.batch_offset = self.first as u32;
        state.inference_step = step as u32;
        self.state.write(&self.gpu, 0, state.words());
    }

    fn read_frame(&mut self, steps_taken: usize) -> Result<()> {
        if self.first == 0
            && let Some(filming) = &mut self.filming
            && let Some(layer) = filming.frames.iter().position(|&f| f == steps_taken)
        {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            match &filming.screens {
                Screens::Tiles(screens) => {
                    for screen in screens.iter() {
                        screen.paint(&self.gpu, &mut encoder, layer);
                    }
                }
                Screens::Cloud(screen) => screen.encode(&mut encoder, layer),
            }
            self.gpu.submit(encoder.finish(), || {});
            filming.painted = layer + 1;
            if filming.paths > 0 {
                let words = (filming.paths * self.shape.words() / self.shape.b) as u64;
                let fetch = Fetch::start(&self.gpu, &[self.x.part(0, words)])?;
                self.reading.push_back((Wanted::Path, fetch));
            }
        }
        if self.first == 0 && self.frames_at.contains(&steps_taken) {
            self.read(Wanted::Frame(steps_taken))?;
        }
        Ok(())
    }

    fn read(&mut self, wanted: Wanted) -> Result<()> {
        let mut views = vec![self.x.clone()];
        if matches!(wanted, Wanted::Frame(_)) {
            views.push(self.x0_hat.clone());
        }
        let fetch = Fetch::start(&self.gpu, &views)?;
        self.reading.push_back((wanted, fetch));
        Ok(())
    }

    fn receive(&mut self, wanted: Wanted, data: &[Vec<u32>]) {
        let shape = self.shape;
        if matches!(wanted, Wanted::Path) {
            let points = data[0].chunks_exact(shape.cp());
            self.paths.resize(points.len(), Vec::new());
            for (path, p) in self.paths.iter_mut().zip(points) {
                path.push([f32::from_bits(p[0]), f32::from_bits(p[1])]);
            }
            return;
        }
        let nchw = |words: &Vec<u32>| {
            let values: Vec<f32> = words.iter().map(|&w| f32::from_bits(w)).collect();
            tensor::plan_to_nchw(shape, &values)
        };
        let size = shape.c * shape.h * shape.w;
        let x = nchw(&data[0]);
        match wanted {
            Wanted::Starts(n) => self
                .starts
                .get_or_insert_default()
                .extend_from_slice(&x[..n * size]),
            Wanted::Images(n) => self.images.extend_from_slice(&x[..n * size]),
            Wanted::Frame(steps_taken) => self.frames.push(Frame {
                steps_taken,
                timestep: steps_taken.checked_sub(1).map(|i| self.steps[i].timestep),
                x,
                x0_hat: nchw(&data[1]),
            }),
            Wanted::Path => {}
        }
    }

    /// x_T of the images, as [`SampleRun::with_starts`] keeps them; empty without it.
    pub fn starts(&self) -> &[f32] {
        self.starts.as_deref().unwrap_or_default()
    }

    /// The finished images, `[N, C, H, W]` in about [−1, 1].
    pub fn images(&self) -> &[f32] {
        &self.images
    }

    /// The frames of the first batch.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

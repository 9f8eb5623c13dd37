//! A look inside the network: one picture at one t goes through it (and the loss's gradient back), and every
//! block's output is painted as soon as it is there.

use std::sync::Arc;

use super::picture_and_noise;
use crate::{
    Result,
    diffusion::{NoiseSchedule, SchedulerConfig, sampler, sampler::SamplerOptions},
    gpu::{
        Gpu, View,
        film::{Film, NOISE_GAIN, Painter, Palette, Screen, Shot},
        memory::Pool,
        readback::Fetch,
    },
    nn::{
        Plan, PlanBuilder, Shape, TensorId,
        batch::{self, QSample},
        loss,
        model::ParamSet,
        plan::{Cursor, Work},
        sample_step::{self, SampleStepIo, StepNoise},
        state::{STATE_WORDS, STATS_WORDS, StepState, StepStats},
        tensor,
        tuning::VariantTable,
        unet,
        unet_config::UNetConfig,
    },
    session::{
        command::ProbeRequest,
        event::{AttentionView, BlockView, ProbeView},
        pacer::{Pace, Pacer},
    },
};

/// Channels shown of a block at most.
const CHANNELS: usize = 64;
/// Places that an attention layer may have for its weights to be shown: N·N of them are computed on the host.
const MAX_PLACES: usize = 1024;

/// A screen that is painted before a dispatch.
#[derive(Debug)]
struct Due {
    before: usize,
    screen: Screen,
}

/// What is read back of an attention layer.
#[derive(Debug)]
struct AttentionPart {
    name: String,
    shape: Shape,
    heads: usize,
}

/// The job for one model: its plan can be run again for another picture, t or seed.
#[derive(Debug)]
pub struct ProbeJob {
    gpu: Arc<Gpu>,
    /// Keeps the weights alive while they are bound.
    _weights: Option<Arc<ParamSet>>,
    gradients: bool,
    shape: Shape,
    timesteps: usize,
    _pool: Pool,
    state: View,
    x0: View,
    noise: View,
    t: View,
    plan: Plan,
    due: Vec<Due>,
    io: Film,
    blocks: Vec<BlockView>,
    attention: Vec<AttentionPart>,
    /// stats, both embeddings, then q and k of each attention layer.
    wanted: Vec<View>,
    embedding: [usize; 2],
    request: Option<ProbeRequest>,
    cursor: Cursor,
    painted: usize,
    pacer: Pacer,
    reading: Option<Fetch>,
}

/// The block that a node belongs to, by its label; `None` for what belongs to none (the time embedding, a
/// concatenation).
fn block_of(label: &str) -> Option<&str> {
    let label = label.split(' ').next().unwrap_or(label);
    for kind in [
        ".resnets.",
        ".attentions.",
        ".downsamplers.",
        ".upsamplers.",
    ] {
        if let Some(at) = label.find(kind) {
            let number = at + kind.len();
            let end = label[number..]
                .find('.')
                .map_or(label.len(), |n| number + n);
            return Some(&label[..end]);
        }
    }
    ["conv_in", "conv_out"]
        .into_iter()
        .find(|&name| label == name)
}

impl ProbeJob {
    /// Builds the plan, without pipelines.
    ///
    /// # Errors
    /// A network that cannot be built, or a device too small.
    pub fn begin(
        gpu: &Arc<Gpu>,
        painter: &Painter,
        (unet, scheduler): (&UNetConfig, &SchedulerConfig),
        weights: &ParamSet,
        keep: Option<Arc<ParamSet>>,
        gradients: bool,
    ) -> Result<Self> {
        let schedule = scheduler.noise_schedule()?;
        let timesteps = schedule.timesteps();
        let model = unet::build(unet, 1, timesteps, false)?;
        let graph = &model.graph;
        let shape = graph.shape(model.inputs.x);
        let words = 4 * shape.words() as u64;
        let steps = single_steps(scheduler, &schedule)?;
        let q_table = batch::q_sample_table(&schedule);
        let (pool, views) = Pool::allocate(
            gpu,
            "probe",
            &[
                ("state", 4 * STATE_WORDS as u64),
                ("x_0", words),
                ("noise", words),
                ("t", 16),
                ("time table", 4 * model.time_table.len() as u64),
                ("steps", 4 * steps.len() as u64),
                ("sqrt(alpha_bar)", 4 * q_table.len() as u64),
                ("stats", 4 * STATS_WORDS as u64),
                ("losses", 256),
                ("bounds", 256),
            ],
        )?;
        views[4].write(gpu, 0, &model.time_table);
        views[5].write(gpu, 0, &steps);
        views[6].write(gpu, 0, &q_table);
        let mut plan = PlanBuilder::with_variants(VariantTable::of(gpu));
        let [
            state,
            x0,
            noise,
            t,
            time_table,
            table,
            q_table,
            stats,
            mse,
            vlb,
        ] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|i: usize| plan.external("probe", &views[i]));
        let bound_weights = weights.bind(&mut plan, graph.params());
        let [x_t, target, grad, x_prev, x0_hat, eps_hat] =
            ["x_t", "target", "gradient", "x_prev", "x0_hat", "eps_hat"]
                .map(|label| plan.tensor(label, shape.words()));
        plan.set_label("q_sample");
        let q = QSample {
            shape,
            timesteps,
            objective: scheduler.prediction_type,
            x0,
            t,
            table: q_table,
            x_t,
            target,
        };
        batch::given(&mut plan, &q, noise);
        let bound = model.lower(&mut plan, x_t, t, time_table, state, &bound_weights);
        plan.set_label("prediction");
        sample_step::emit(
            &mut plan,
            &SampleStepIo {
                shape,
                table,
                steps: timesteps,
                out: bound.output,
                x_t,
                noise: StepNoise::None,
                x_prev,
                x0_hat: Some(x0_hat),
                eps_hat: Some(eps_hat),
            },
            state,
        );
        plan.set_label("loss");
        loss::emit(
            &mut plan,
            &loss::Loss {
                shape,
                out: bound.output,
                target,
                weights: None,
                grad_factor: 1.0,
                simple_weight: 1.0,
                bound_weight: 0.0,
                bound: None,
            },
            &loss::LossOutputs {
                grad: gradients.then_some(grad),
                mse,
                vlb,
                stats,
            },
            state,
        );
        let forward_end = plan.dispatches().len();
        let mut lowered = bound.lowered;
        let mut value_grads = Default::default();
        if gradients {
            let grads: Vec<TensorId> = graph
                .params()
                .iter()
                .map(|p| plan.tensor(format!("grad {}", p.name), p.words()))
                .collect();
            value_grads = graph.lower_backward(
                &mut plan,
                &mut lowered,
                &bound_weights,
                &grads,
                model.output,
                grad,
                false,
            );
        }

        // The last value of each block, where it is complete, and where its gradient is.
        let mut shown: Vec<(String, crate::nn::ValueId, String)> = Vec::new();
        for (value, label) in graph.outputs() {
            let Some(block) = block_of(label) else {
                continue;
            };
            match shown.last_mut() {
                Some(last) if last.0 == block => (last.1, last.2) = (value, label.to_owned()),
                _ => shown.push((block.to_owned(), value, label.to_owned())),
            }
        }
        let dispatches = plan.dispatches();
        let after = |label: &str| {
            let at = dispatches[..forward_end]
                .iter()
                .rposition(|d| &*d.label == label);
            at.map_or(forward_end, |i| i + 1)
        };
        let before_backward = |label: &str| {
            let name = format!("{label} (backward)");
            dispatches.iter().position(|d| *d.label == *name)
        };
        let predicted = after("prediction");
        let places: Vec<_> = shown
            .iter()
            .map(|(_, value, label)| {
                let gradient = value_grads.get(value).copied().zip(before_backward(label));
                (after(label), gradient)
            })
            .collect();
        let kept = |plan: &mut PlanBuilder, wanted: &dyn Fn(&str) -> bool| {
            let values: Vec<_> = graph
                .outputs()
                .filter(|(_, label)| wanted(label))
                .map(|(value, label)| (value, label.to_owned()))
                .collect();
            for (value, _) in &values {
                plan.keep(lowered.tensors[value]);
            }
            values
        };
        let embeddings = kept(&mut plan, &|l| l == "time_proj" || l == "silu(emb)");
        let small = |value: crate::nn::ValueId| {
            let s = graph.shape(value);
            s.h * s.w <= MAX_PLACES
        };
        let queries: Vec<_> = kept(&mut plan, &|l| l.ends_with(".to_q"))
            .into_iter()
            .filter(|(v, _)| small(*v))
            .collect();
        let keys: Vec<_> = kept(&mut plan, &|l| l.ends_with(".to_k"))
            .into_iter()
            .filter(|(v, _)| small(*v))
            .collect();

        let plan = plan.begin(gpu)?;
        let mut due = Vec::new();
        let mut blocks = Vec::new();
        for ((name, value, _), (before, gradient)) in shown.into_iter().zip(places) {
            let s = graph.shape(value);
            let tiles = s.c.min(CHANNELS);
            let mut screen = |tensor: TensorId, before: usize| -> Result<Film> {
                let columns = if tiles > 32 { 16 } else { 8 };
                let film = Film::new(gpu, (s.w, s.h), tiles, columns, 1)?;
                let shot = Shot {
                    view: plan.view(tensor).clone(),
                    size: [s.h, s.w, s.c],
                    tiles,
                    by_channel: true,
                    palette: Palette::Signed,
                    gain: None,
                    first: 0,
                };
                let screen = painter.screen(gpu, &film, shot);
                due.push(Due { before, screen });
                Ok(film)
            };
            let film = screen(lowered.tensors[&value], before)?;
            let gradient = match gradient {
                Some((tensor, before)) => Some(screen(tensor, before)?),
                None => None,
            };
            blocks.push(BlockView {
                name,
                shape: [s.c, s.h, s.w],
                film,
                gradient,
            });
        }
        let io = Film::new(gpu, (shape.w, shape.h), 4, 4, 1)?;
        let size = [shape.h, shape.w, shape.c];
        // x_t is read by the first layer only; the predictions are there before the loss.
        for (first, (view, gain, before)) in [
            (plan.view(x_t), 1.0, 1),
            (&views[2], NOISE_GAIN, predicted),
            (plan.view(eps_hat), NOISE_GAIN, predicted),
            (plan.view(x0_hat), 1.0, predicted),
        ]
        .into_iter()
        .enumerate()
        {
            let shot = Shot {
                first,
                ..Shot::pictures(view.clone(), size, 1, gain)
            };
            let screen = painter.screen(gpu, &io, shot);
            due.push(Due { before, screen });
        }
        due.sort_by_key(|d| d.before);

        let mut wanted = vec![views[7].clone()];
        let mut embedding = [0; 2];
        for (i, (value, _)) in embeddings.iter().enumerate().take(2) {
            embedding[i] = graph.shape(*value).c;
            wanted.push(plan.view(lowered.tensors[value]).clone());
        }
        let mut attention = Vec::new();
        for ((q, label), (k, _)) in queries.iter().zip(&keys) {
            let s = graph.shape(*q);
            let head_dim = unet.attention_head_dim.unwrap_or(s.c).max(1);
            attention.push(AttentionPart {
                name: block_of(label).unwrap_or(label).to_owned(),
                shape: s,
                heads: s.c / head_dim,
            });
            wanted.push(plan.view(lowered.tensors[q]).clone());
            wanted.push(plan.view(lowered.tensors[k]).clone());
        }
        Ok(Self {
            gpu: Arc::clone(gpu),
            _weights: keep,
            gradients,
            shape,
            timesteps,
            state: views[0].clone(),
            x0: views[1].clone(),
            noise: views[2].clone(),
            t: views[3].clone(),
            _pool: pool,
            plan,
            due,
            io,
            blocks,
            attention,
            wanted,
            embedding,
            request: None,
            cursor: Cursor::default(),
            painted: 0,
            pacer: Pacer::new(Pace::INTERACTIVE),
            reading: None,
        })
    }

    /// Whether gradients are computed.
    pub const fn gradients(&self) -> bool {
        self.gradients
    }

    /// Pipelines that are there, and in all.
    pub fn warmed(&self) -> (usize, usize) {
        self.plan.warmed()
    }

    /// Makes pipelines for about `time`.
    ///
    /// # Errors
    /// A kernel that does not compile on this device.
    pub fn warm(&mut self, time: std::time::Duration) -> Result<bool> {
        Ok(self.plan.warm(time)?)
    }

    /// Whether a request is being worked at.
    pub const fn is_busy(&self) -> bool {
        self.request.is_some()
    }

    /// Begins a request; the one before must be done.
    pub fn start(&mut self, request: ProbeRequest) {
        let (x0, noise) = picture_and_noise(&request.picture, self.shape, request.seed);
        let t = request.t.clamp(1, self.timesteps);
        self.x0.write(&self.gpu, 0, &x0);
        self.noise.write(&self.gpu, 0, &noise);
        self.t.write(&self.gpu, 0, &[t as u32 - 1]);
        let state = StepState {
            inference_step: (self.timesteps - t) as u32,
            ..StepState::default()
        };
        self.state.write(&self.gpu, 0, state.words());
        self.request = Some(request);
        self.cursor = Cursor::default();
        self.painted = 0;
    }

    /// Goes on for about one slice; the view once it is done. Never waits.
    ///
    /// # Errors
    /// A lost device.
    pub fn pump(&mut self) -> Result<Option<ProbeView>> {
        self.gpu.check()?;
        if self.request.is_none() {
            return Ok(None);
        }
        if let Some(fetch) = &mut self.reading {
            self.pacer.collect(&self.gpu);
            let Some(words) = fetch.poll(&self.gpu)? else {
                return Ok(None);
            };
            self.reading = None;
            return Ok(self
                .request
                .take()
                .map(|request| self.view(request, &words)));
        }
        self.pacer.begin_round();
        let Some(budget) = self.pacer.budget(&self.gpu) else {
            return Ok(None);
        };
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let (mut work, mut done) = (Work::default(), false);
        while work.seconds < budget && !done {
            self.paint(&mut encoder, self.cursor.dispatch());
            let (over, more) = self.plan.encode_one(&mut encoder, &mut self.cursor);
            work = work.and(&more);
            done = over;
        }
        if done {
            self.paint(&mut encoder, usize::MAX);
        }
        self.pacer.submit(&self.gpu, encoder.finish(), work);
        if done {
            self.reading = Some(Fetch::start(&self.gpu, &self.wanted)?);
        }
        Ok(None)
    }

    fn paint(&mut self, encoder: &mut wgpu::CommandEncoder, at: usize) {
        while let Some(due) = self.due.get(self.painted).filter(|d| d.before <= at) {
            due.screen.paint(&self.gpu, encoder, 0);
            self.painted += 1;
        }
    }

    /// Waits for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {
        if self.reading.is_some() {
            self.gpu.wait();
        } else {
            self.pacer.wait(&self.gpu);
        }
    }

    fn view(&self, request: ProbeRequest, words: &[Vec<u32>]) -> ProbeView {
        let floats = |i: usize| -> Vec<f32> {
            let words = words.get(i).map(Vec::as_slice).unwrap_or_default();
            words.iter().map(|&w| f32::from_bits(w)).collect()
        };
        let stats = words.first().and_then(|w| StepStats::from_words(w));
        let embedding = [0, 1].map(|i: usize| {
            let mut values = floats(1 + i);
            values.truncate(self.embedding[i]);
            values.into()
        });
        let attention = self.attention.iter().enumerate().map(|(i, part)| {
            let [q, k] = [0, 1].map(|j| tensor::plan_to_nchw(part.shape, &floats(3 + 2 * i + j)));
            AttentionView {
                name: part.name.clone(),
                size: [part.shape.h, part.shape.w],
                heads: part.heads,
                weights: softmax_of_products(&q, &k, part).into(),
            }
        });
        ProbeView {
            io: self.io.clone(),
            blocks: self.blocks.clone(),
            attention: attention.collect(),
            embedding,
            mse: stats.map_or(f32::NAN, |s| s.mse),
            request,
        }
    }
}

/// softmax(q·kᵀ/√d) of `[C, N]` each, for every head: `[heads, N, N]` (Vaswani et al. 2017, equation 1).
fn softmax_of_products(q: &[f32], k: &[f32], part: &AttentionPart) -> Vec<f32> {
    let places = part.shape.h * part.shape.w;
    let dim = part.shape.c / part.heads.max(1);
    let scale = 1.0 / (dim.max(1) as f32).sqrt();
    let mut out = Vec::with_capacity(part.heads * places * places);
    for head in 0..part.heads {
        let channels = head * dim..(head + 1) * dim;
        for i in 0..places {
            let first = out.len();
            out.resize(first + places, 0.0_f32);
            let row = &mut out[first..];
            for c in channels.clone() {
                let qi = q[c * places + i] * scale;
                for (w, kj) in row.iter_mut().zip(&k[c * places..(c + 1) * places]) {
                    *w += qi * kj;
                }
            }
            let most = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let mut sum = 0.0;
            for w in row.iter_mut() {
                *w = (*w - most).exp();
                sum += *w;
            }
            for w in row.iter_mut() {
                *w /= sum;
            }
        }
    }
    out
}

/// A row of coefficients for every single timestep, from T down.
fn single_steps(scheduler: &SchedulerConfig, schedule: &NoiseSchedule) -> Result<Vec<f32>> {
    let steps = sampler::by_name("ddpm", SamplerOptions::default())?.steps(
        scheduler,
        schedule,
        schedule.timesteps(),
    )?;
    let coefficients: Vec<_> = steps.iter().map(|s| s.coefficients).collect();
    Ok(sample_step::table_words(&coefficients))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_belong_to_blocks_by_their_labels() {
        for (label, block) in [
            (
                "down_blocks.0.resnets.1.conv2",
                Some("down_blocks.0.resnets.1"),
            ),
            (
                "down_blocks.2.attentions.0.to_out.0",
                Some("down_blocks.2.attentions.0"),
            ),
            (
                "down_blocks.0.downsamplers.0.conv",
                Some("down_blocks.0.downsamplers.0"),
            ),
            ("mid_block.resnets.0 / 1.414", Some("mid_block.resnets.0")),
            ("conv_in", Some("conv_in")),
            ("conv_norm_out", None),
            ("up_blocks.0.cat.1", None),
            ("time_embedding.linear_1", None),
        ] {
            assert_eq!(block_of(label), block, "{label}");
        }
    }

    #[test]
    fn attention_weights_are_a_softmax_over_keys() {
        let part = AttentionPart {
            name: String::new(),
            shape: Shape::new(1, 1, 2, 2),
            heads: 2,
        };
        // Head 0: q = (1, 0), k = (ln 3, 0); head 1: all zero.
        let ln3 = 3.0_f32.ln();
        let w = softmax_of_products(&[1.0, 0.0, 0.0, 0.0], &[ln3, 0.0, 0.0, 0.0], &part);
        let expected = [0.75, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
        for (w, e) in w.iter().zip(expected) {
            assert!((w - e).abs() < 1e-6, "{w} {e}");
        }
    }
}

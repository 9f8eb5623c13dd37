//! Everything that a case asks for, computed on a device under the same names.

use std::sync::Arc;

use super::{Case, CaseError, Tensor, Tensors, compare::TRAJECTORY};
use crate::{
    Result,
    diffusion::{
        SampleStep, Sampler as _, SchedulerConfig, VarianceType,
        sampler::{Ddim, Ddpm},
    },
    gpu::{Gpu, View, memory::Pool, readback::read_f32},
    nn::{
        Plan, PlanBuilder, Shape, TensorId, batch,
        graph::ParamInfo,
        layers::projections,
        loss,
        model::{Model, ParamSet},
        optimizer,
        plan::Variants,
        sample_step::{self, SampleStepIo, StepNoise},
        state::{STATE_WORDS, STATS_WORDS, StepState, StepStats},
        tensor::{nchw_to_plan, plan_to_nchw},
        unet,
    },
    session::{
        pacer::{Pace, Pacer},
        trainer::TrainSets,
    },
};

/// Steps of the schedulers that the single steps of a case belong to.
const DDIM_STEPS: usize = 50;
const DDPM_STEPS: usize = 1000;
/// Arenas up to this size are filled with NaN first, so that a kernel that reads what nobody wrote is
/// found out.
const FILL_LIMIT: u64 = 128 << 20;

/// Computes what `case` has results for.
///
/// # Errors
/// Tensors of the case that do not fit together, or a device that fails or is too small.
pub fn compute(gpu: &Arc<Gpu>, case: &Case, variants: Variants) -> Result<Tensors> {
    let mut run = Run {
        gpu,
        case,
        variants,
        out: Tensors::new(),
    };
    run.schedule();
    run.first_step()?;
    run.train()?;
    run.single_steps()?;
    run.trajectories()?;
    Ok(run.out)
}

struct Run<'a> {
    gpu: &'a Arc<Gpu>,
    case: &'a Case,
    variants: Variants,
    out: Tensors,
}

/// The inputs of a training step.
struct StepInputs {
    batch: usize,
    x_t: Vec<f32>,
    t: Vec<u32>,
    eps: Option<Vec<f32>>,
}

/// A plan of forward, loss and backward with what it reads and writes.
struct Training {
    model: Model,
    _pool: Pool,
    x_t: View,
    t: View,
    eps: View,
    plan: Plan,
    output: TensorId,
    time: Option<TensorId>,
}

impl Run<'_> {
    fn put(&mut self, name: impl Into<String>, shape: Vec<usize>, data: Vec<f32>) {
        self.out.insert(name.into(), Tensor { shape, data });
    }

    fn scalar(&mut self, name: String, value: f32) {
        self.put(name, vec![], vec![value]);
    }

    fn shape(&self, batch: usize) -> Shape {
        let [c, h, w] = self.case.image();
        Shape::new(batch, h, w, c)
    }

    fn images(&mut self, name: String, batch: usize, plan_data: &[f32]) {
        let shape = self.shape(batch);
        let data = plan_to_nchw(shape, plan_data);
        self.put(name, vec![batch, shape.c, shape.h, shape.w], data);
    }

    fn builder(&self) -> PlanBuilder {
        PlanBuilder::with_variants(self.variants)
    }

    fn model(&self, batch: usize) -> Result<Model> {
        // Without dropout, as the case has it.
        let timesteps = self.case.schedule.timesteps();
        Ok(unet::build(&self.case.unet, batch, timesteps, false)?)
    }

    fn weights(&self, params: &[ParamInfo]) -> Vec<Vec<f32>> {
        let of = |p: &ParamInfo| self.case.weights.get(&p.name).map(|t| t.data.clone());
        params.iter().filter_map(of).collect()
    }

    fn schedule(&mut self) {
        let schedule = &self.case.schedule;
        let total = vec![schedule.timesteps()];
        let (betas, bars) = (schedule.betas().to_vec(), schedule.alpha_bars().to_vec());
        self.put("sched.betas", total.clone(), betas);
        self.put("sched.alphas_cumprod", total, bars);
    }

    /// x_t, t and ε of step `k`, in the layout of plans.
    fn step_inputs(&self, k: usize) -> Result<Option<StepInputs>> {
        let name = |what: &str| match k {
            1 => what.to_owned(),
            _ => format!("{what}_{k}"),
        };
        let (x_name, t_name, eps_name) = (name("x_t"), name("t"), name("eps"));
        let Some(x_t) = self.case.get(&x_name) else {
            return Ok(None);
        };
        self.case.check_images(&x_name, x_t, &[0])?;
        let batch = x_t.shape[0];
        self.case.need(&t_name, &x_name)?;
        let t = self.case.timesteps(&t_name, batch)?;
        let shape = self.shape(batch);
        let eps = match self.case.get(&eps_name) {
            Some(eps) => {
                self.case.check_images(&eps_name, eps, &[batch])?;
                Some(nchw_to_plan(shape, &eps.data))
            }
            None => None,
        };
        Ok(Some(StepInputs {
            batch,
            x_t: nchw_to_plan(shape, &x_t.data),
            t,
            eps,
        }))
    }

    /// q_sample and the activations of the first step.
    fn first_step(&mut self) -> Result<()> {
        if let (Some(x0), Some(_)) = (self.case.get("x0"), self.case.get("eps")) {
            self.case.check_images("x0", x0, &[0])?;
            self.q_sample(x0)?;
        }
        let has_acts = self.case.tensors.keys().any(|k| k.starts_with("act."));
        let Some(inputs) = self.step_inputs(1)? else {
            return Ok(());
        };
        if has_acts || inputs.eps.is_none() {
            self.activations(&inputs)?;
        }
        Ok(())
    }

    fn q_sample(&mut self, x0: &Tensor) -> Result<()> {
        let batch = x0.shape[0];
        let shape = self.shape(batch);
        let eps = self.case.need("eps", "x0")?;
        self.case.check_images("eps", eps, &[batch])?;
        let t = self.case.timesteps("t", batch)?;
        let table = batch::q_sample_table(&self.case.schedule);
        let bytes = 4 * shape.words() as u64;
        let (_pool, views) = Pool::allocate(
            self.gpu,
            "parity",
            &[
                ("x_0", bytes),
                ("noise", bytes),
                ("t", 4 * batch as u64),
                ("sqrt(alpha_bar)", 4 * table.len() as u64),
            ],
        )?;
        views[0].write(self.gpu, 0, &nchw_to_plan(shape, &x0.data));
        views[1].write(self.gpu, 0, &nchw_to_plan(shape, &eps.data));
        views[2].write(self.gpu, 0, &t);
        views[3].write(self.gpu, 0, &table);
        let mut plan = self.builder();
        plan.set_label("q_sample");
        let [x0, noise, t, table] =
            [0, 1, 2, 3].map(|i| plan.external("input of q_sample", &views[i]));
        let [x_t, target] = ["x_t", "target"].map(|l| plan.tensor(l, shape.words()));
        plan.keep(x_t);
        let q = batch::QSample {
            shape,
            timesteps: self.case.schedule.timesteps(),
            objective: self.case.scheduler.prediction_type,
            x0,
            t,
            table,
            x_t,
            target,
        };
        batch::given(&mut plan, &q, noise);
        let plan = self.run(plan)?;
        let data = read_f32(self.gpu, std::slice::from_ref(plan.view(x_t)))?;
        self.images("x_t".into(), batch, &data[0]);
        Ok(())
    }

    /// Prepares a plan, fills its arena with NaN, and runs it.
    fn run(&self, plan: PlanBuilder) -> Result<Plan> {
        let plan = plan.prepare(self.gpu)?;
        fill(self.gpu, &plan);
        execute(self.gpu, &plan)?;
        Ok(plan)
    }

    /// A forward pass that keeps every value: `out`, `time_proj` and `act.*`.
    fn activations(&mut self, inputs: &StepInputs) -> Result<()> {
        let model = self.model(inputs.batch)?;
        let params = model.graph.params();
        let weights = ParamSet::zeros(self.gpu, "weights", params)?;
        weights.write(self.gpu, params, &self.weights(params));
        let (_pool, views) = inputs_pool(self.gpu, &model, inputs.batch)?;
        let mut plan = self.builder();
        let bound_weights = weights.bind(&mut plan, params);
        let [x, t, time_table, state] = [0, 1, 2, 3].map(|i| plan.external("input", &views[i]));
        views[0].write(self.gpu, 0, &inputs.x_t);
        views[1].write(self.gpu, 0, &inputs.t);
        let bound = model.lower(&mut plan, x, t, time_table, state, &bound_weights);
        let kept: Vec<(String, Shape, TensorId)> = model
            .graph
            .outputs()
            .filter(|(value, _)| !bound.lowered.is_joint(*value))
            .map(|(value, label)| {
                let shape = model.graph.shape(value);
                (label.to_owned(), shape, bound.lowered.tensors[&value])
            })
            .collect();
        for (_, _, tensor) in &kept {
            plan.keep(*tensor);
        }
        let plan = self.run(plan)?;
        let out = read_f32(self.gpu, std::slice::from_ref(plan.view(bound.output)))?;
        self.images("out".into(), inputs.batch, &out[0]);
        for (label, shape, tensor) in kept {
            let data = read_f32(self.gpu, std::slice::from_ref(plan.view(tensor)))?;
            if label == projections::LABEL {
                self.projections(params, shape, &data[0]);
            } else {
                self.activation(&label, shape, &data[0]);
            }
        }
        Ok(())
    }

    /// Files each residual layer's part of the projected time embedding.
    fn projections(&mut self, params: &[ParamInfo], shape: Shape, data: &[f32]) {
        let mut first = 0;
        for param in params {
            let Some(name) = param.name.strip_suffix(".time_emb_proj.bias") else {
                continue;
            };
            let c = param.file_len();
            let rows = data.chunks(shape.c).filter_map(|r| r.get(first..first + c));
            let part: Vec<f32> = rows.flatten().copied().collect();
            first += param.words();
            let tensor = Tensor {
                shape: vec![shape.b, c],
                data: part,
            };
            self.out.insert(format!("act.{name}.time_emb_proj"), tensor);
        }
    }

    /// Files a value under the names of the modules that put it out.
    fn activation(&mut self, label: &str, shape: Shape, data: &[f32]) {
        let data = plan_to_nchw(shape, data);
        let full = vec![shape.b, shape.c, shape.h, shape.w];
        let vector = vec![shape.b, shape.c];
        if label == "time_proj" {
            self.put("time_proj", vector, data);
            return;
        }
        if label.starts_with("time_embedding.linear") {
            if label == "time_embedding.linear_2" {
                self.put("act.time_embedding", vector.clone(), data.clone());
            }
            self.put(format!("act.{label}"), vector, data);
            return;
        }
        // "NAME / s" is NAME's output after the division by the mid block's scale, and comes last.
        let base = label.split(" / ").next().unwrap_or(label);
        let scaled = base != label;
        let mut names = Vec::new();
        if let Some(resnet) = base.strip_suffix(".conv2").or(scaled.then_some(base)) {
            names.push(resnet.to_owned());
            if resnet == "mid_block.resnets.1" {
                names.push("mid_block".into());
            }
        } else if let Some(attention) = base.strip_suffix(".to_out.0") {
            names.push(attention.to_owned());
        } else if base.ends_with(".norm1") || base.ends_with(".norm2") || base == "conv_norm_out" {
            names.push(format!("{base}{WITH_SILU}"));
        } else if base.ends_with(".conv1") {
            names.push(format!("{base}{WITH_TIME}"));
        } else if base.ends_with("samplers.0.conv") {
            names.push(base.to_owned());
            names.push(base.trim_end_matches(".conv").to_owned());
        } else if [".to_q", ".to_k", ".to_v"]
            .iter()
            .any(|s| base.ends_with(s))
        {
            let pixels = shape.h * shape.w;
            let rows = transpose(shape.b, shape.c, pixels, &data);
            self.put(format!("act.{base}"), vec![shape.b, pixels, shape.c], rows);
        } else if base.ends_with(".group_norm") {
            let flat = vec![shape.b, shape.c, shape.h * shape.w];
            self.put(format!("act.{base}"), flat, data.clone());
        } else if !base.ends_with("samplers.0") {
            names.push(base.to_owned());
        }
        for name in names {
            self.put(format!("act.{name}"), full.clone(), data.clone());
        }
    }

    /// The training steps: `out`, `loss`, `grad.*`, `grad_norm`, `adam1.*`, `adamN.*`.
    fn train(&mut self) -> Result<()> {
        let Some(mut inputs) = self.step_inputs(1)? else {
            return Ok(());
        };
        if inputs.eps.is_none() {
            return Ok(());
        }
        let params = self.model(inputs.batch)?.graph.params().to_vec();
        let sets = TrainSets::zeros(self.gpu, &params)?;
        sets.weights
            .write(self.gpu, &params, &self.weights(&params));
        let (_pool, views) = Pool::allocate(
            self.gpu,
            "parity",
            &[
                ("state", 4 * STATE_WORDS as u64),
                ("stats", 4 * STATS_WORDS as u64),
            ],
        )?;
        let (state, stats) = (&views[0], &views[1]);
        let mut update = self.builder();
        let chunks = sets.bind_chunks(&mut update);
        let bound_stats = update.external("stats", stats);
        let bound_state = update.external("state", state);
        optimizer::grad_norm(&mut update, &chunks, bound_stats, bound_state);
        optimizer::update(&mut update, &chunks, bound_stats, bound_state);
        let update = update.prepare(self.gpu)?;
        let mut training: Option<Training> = None;
        let mut k = 1;
        loop {
            let suffix = if k == 1 {
                String::new()
            } else {
                format!("_{k}")
            };
            let Some(eps) = &inputs.eps else {
                let user = format!("x_t{suffix}");
                self.case.need(&format!("eps{suffix}"), &user)?;
                return Ok(());
            };
            if training
                .as_ref()
                .is_none_or(|t| self.shape(inputs.batch) != t.model.graph.shape(t.model.output))
            {
                drop(training.take());
                training = Some(self.training(inputs.batch, &sets, state, stats, k == 1)?);
            }
            let Some(step) = &training else { return Ok(()) };
            step.x_t.write(self.gpu, 0, &inputs.x_t);
            step.t.write(self.gpu, 0, &inputs.t);
            step.eps.write(self.gpu, 0, eps);
            let mut scalars = StepState {
                step: k as u32 - 1,
                micro_step: k as u32 - 1,
                batch_total: inputs.batch as u32,
                clip_norm: self.case.clip_norm as f32,
                ..StepState::default()
            };
            self.case.adam.apply(&mut scalars, k as u64, self.case.lr);
            state.write(self.gpu, 0, scalars.words());
            execute(self.gpu, &step.plan)?;
            if k == 1 {
                let views = [step.plan.view(step.output).clone()];
                let out = read_f32(self.gpu, &views)?;
                self.images("out".into(), inputs.batch, &out[0]);
                if let Some(time) = step.time {
                    let channels = self.case.unet.block_out_channels[0];
                    let shape = Shape::vector(inputs.batch, channels);
                    let data = read_f32(self.gpu, std::slice::from_ref(step.plan.view(time)))?;
                    self.activation("time_proj", shape, &data[0]);
                }
                for (info, data) in params.iter().zip(sets.grads.read(self.gpu, &params)?) {
                    self.put(format!("grad.{}", info.name), info.file_shape(), data);
                }
            }
            execute(self.gpu, &update)?;
            let words = read_f32(self.gpu, std::slice::from_ref(stats))?;
            let words: Vec<u32> = words[0].iter().map(|v| v.to_bits()).collect();
            let found = StepStats::from_words(&words).unwrap_or_default();
            self.scalar(format!("loss{suffix}"), found.loss);
            self.scalar(format!("grad_norm{suffix}"), found.grad_norm);
            let next = self.step_inputs(k + 1)?;
            let names: &[&str] = match (k, &next) {
                (1, Some(_)) => &["adam1"],
                (1, None) => &["adam1", "adamN"],
                (_, None) => &["adamN"],
                _ => &[],
            };
            if !names.is_empty() {
                for (info, data) in params.iter().zip(sets.weights.read(self.gpu, &params)?) {
                    for name in names {
                        let name = format!("{name}.{}", info.name);
                        self.put(name, info.file_shape(), data.clone());
                    }
                }
            }
            let Some(next) = next else { return Ok(()) };
            inputs = next;
            k += 1;
        }
    }

    fn training(
        &self,
        batch: usize,
        sets: &TrainSets,
        state: &View,
        stats: &View,
        keep_time: bool,
    ) -> Result<Training> {
        let model = self.model(batch)?;
        let shape = model.graph.shape(model.output);
        let (pool, views) = inputs_pool(self.gpu, &model, batch)?;
        let mut plan = self.builder();
        let weights = sets.weights.bind(&mut plan, model.graph.params());
        let grads = sets.grads.bind(&mut plan, model.graph.params());
        let [x, t, time_table] = [0, 1, 2].map(|i| plan.external("input", &views[i]));
        let eps = plan.external("eps", &views[4]);
        let state = plan.external("state", state);
        let stats = plan.external("stats", stats);
        let bound = model.lower(&mut plan, x, t, time_table, state, &weights);
        plan.keep(bound.output);
        let mut values = model.graph.outputs();
        let time = values
            .find(|(_, label)| *label == "time_proj")
            .map(|(value, _)| bound.lowered.tensors[&value])
            .filter(|_| keep_time);
        drop(values);
        if let Some(time) = time {
            plan.keep(time);
        }
        plan.set_label("loss");
        let grad = plan.tensor("gradient of the output", shape.words());
        let [mse, vlb] = ["losses", "bounds"].map(|l| plan.tensor(l, batch.next_multiple_of(4)));
        loss::emit(
            &mut plan,
            &loss::Loss {
                shape,
                out: bound.output,
                target: eps,
                weights: None,
                grad_factor: 1.0,
                simple_weight: 1.0,
                bound_weight: 0.0,
                bound: None,
            },
            &loss::LossOutputs {
                grad: Some(grad),
                mse,
                vlb,
                stats,
            },
            state,
        );
        let output = bound.output;
        let mut lowered = bound.lowered;
        model.graph.lower_backward(
            &mut plan,
            &mut lowered,
            &weights,
            &grads,
            model.output,
            grad,
            false,
        );
        let plan = plan.prepare(self.gpu)?;
        fill(self.gpu, &plan);
        let mut views = views.into_iter();
        let (Some(x_t), Some(t), Some(eps)) = (views.next(), views.next(), views.nth(2)) else {
            unreachable!("inputs_pool gives five views");
        };
        Ok(Training {
            model,
            _pool: pool,
            x_t,
            t,
            eps,
            plan,
            output,
            time,
        })
    }

    fn with_variance(&self, variance_type: VarianceType) -> SchedulerConfig {
        SchedulerConfig {
            variance_type,
            ..self.case.scheduler.clone()
        }
    }

    /// `step.small.i`, `step.large.i`, `step.ddim.i`.
    fn single_steps(&mut self) -> Result<()> {
        let case = self.case;
        let has = |prefix: &str| case.tensors.keys().any(|k| k.starts_with(prefix));
        let total = case.schedule.timesteps();
        let (small, large) = (VarianceType::FixedSmall, VarianceType::FixedLarge);
        for (kind, variance) in [
            ("small", Some(small)),
            ("large", Some(large)),
            ("ddim", None),
        ] {
            let prefix = format!("step.{kind}.");
            if !has(&prefix) {
                continue;
            }
            let (t_name, all) = match variance {
                Some(variance) => {
                    let config = self.with_variance(variance);
                    let steps = Ddpm.steps(&config, &case.schedule, DDPM_STEPS.min(total))?;
                    ("step.t", steps)
                }
                None => {
                    let ddim = Ddim { eta: 0.0 };
                    let steps =
                        ddim.steps(&case.scheduler, &case.schedule, DDIM_STEPS.min(total))?;
                    ("step.t_ddim", steps)
                }
            };
            let count = case.need(t_name, &prefix)?.data.len();
            let mut steps = Vec::with_capacity(count);
            for t in case.timesteps(t_name, count)? {
                let found = all.iter().find(|s| s.timestep == t as usize);
                steps.push(*found.ok_or_else(|| CaseError::Timestep {
                    tensor: t_name.into(),
                    found: t as f32,
                    expected: format!("the {} steps of the sampler", all.len()),
                })?);
            }
            self.steps_alone(&prefix, &steps)?;
        }
        Ok(())
    }

    fn steps_alone(&mut self, prefix: &str, steps: &[SampleStep]) -> Result<()> {
        let case = self.case;
        let [x, out, noise] = ["step.sample", "step.model_output", "step.noise"]
            .map(|name| case.need(name, prefix).map(|t| (name, t)));
        let inputs = [x?, out?, noise?];
        let batch = inputs[0].1.shape.first().copied().unwrap_or(0);
        let shape = self.shape(batch);
        for (name, tensor) in inputs {
            case.check_images(name, tensor, &[batch])?;
        }
        let table = step_table(steps);
        let bytes = 4 * shape.words() as u64;
        let (_pool, views) = Pool::allocate(
            self.gpu,
            "parity",
            &[
                ("x_t", bytes),
                ("out", bytes),
                ("noise", bytes),
                ("steps", 4 * table.len() as u64),
                ("state", 4 * STATE_WORDS as u64),
            ],
        )?;
        for (view, (_, tensor)) in views.iter().zip(inputs) {
            view.write(self.gpu, 0, &nchw_to_plan(shape, &tensor.data));
        }
        views[3].write(self.gpu, 0, &table);
        let mut plan = self.builder();
        let [x_t, out, noise, table, state] =
            [0, 1, 2, 3, 4].map(|i| plan.external("input of a step", &views[i]));
        let x_prev = plan.tensor("x_prev", shape.words());
        plan.keep(x_prev);
        let io = SampleStepIo {
            shape,
            table,
            steps: steps.len(),
            out,
            x_t,
            noise: StepNoise::Given(noise),
            x_prev,
            x0_hat: None,
            eps_hat: None,
        };
        sample_step::emit(&mut plan, &io, state);
        let plan = plan.prepare(self.gpu)?;
        for i in 0..steps.len() {
            write_inference_step(self.gpu, &views[4], i);
            execute(self.gpu, &plan)?;
            let data = read_f32(self.gpu, std::slice::from_ref(plan.view(x_prev)))?;
            self.images(format!("{prefix}{i}"), batch, &data[0]);
        }
        Ok(())
    }

    /// `ddpm.small.x`, `ddpm.large.x`, `ddim.eta0.x`, `ddim.eta05.x`.
    fn trajectories(&mut self) -> Result<()> {
        let case = self.case;
        let ddpm = |variance| (self.with_variance(variance), None);
        let ddim = |eta| (case.scheduler.clone(), Some(Ddim { eta }));
        let all = [
            ("ddpm.small.x", ddpm(VarianceType::FixedSmall)),
            ("ddpm.large.x", ddpm(VarianceType::FixedLarge)),
            ("ddim.eta0.x", ddim(0.0)),
            ("ddim.eta05.x", ddim(0.5)),
        ];
        for (name, (config, ddim)) in all {
            let Some(reference) = case.get(name) else {
                continue;
            };
            let kind = &name[..4];
            case.check_images(name, reference, &[0, 0])?;
            let count = reference.shape[0];
            let steps = match ddim {
                Some(ddim) => ddim.steps(&config, &case.schedule, count)?,
                None => Ddpm.steps(&config, &case.schedule, count)?,
            };
            let timesteps = steps.iter().map(|s| s.timestep as f32).collect();
            self.put(format!("{kind}.t"), vec![count], timesteps);
            self.trajectory(name, &format!("{kind}.noise"), &steps, reference.shape[1])?;
        }
        Ok(())
    }

    fn trajectory(
        &mut self,
        name: &str,
        noise_name: &str,
        steps: &[SampleStep],
        batch: usize,
    ) -> Result<()> {
        let case = self.case;
        let start = case.need("traj.x_init", name)?;
        case.check_images("traj.x_init", start, &[batch])?;
        let noise = case.need(noise_name, name)?;
        case.check_images(noise_name, noise, &[steps.len(), batch])?;
        let model = self.model(batch)?;
        let params = model.graph.params();
        let shape = self.shape(batch);
        let weights = ParamSet::zeros(self.gpu, "weights", params)?;
        weights.write(self.gpu, params, &self.weights(params));
        let rows = step_table(steps);
        let bytes = 4 * shape.words() as u64;
        let (_pool, views) = Pool::allocate(
            self.gpu,
            "parity",
            &[
                ("x", bytes),
                ("noise", bytes),
                ("steps", 4 * rows.len() as u64),
                ("time table", 4 * model.time_table.len() as u64),
                ("state", 4 * STATE_WORDS as u64),
            ],
        )?;
        views[2].write(self.gpu, 0, &rows);
        views[3].write(self.gpu, 0, &model.time_table);
        let mut plan = self.builder();
        let [x, z, table, time_table, state] =
            [0, 1, 2, 3, 4].map(|i| plan.external("input of sampling", &views[i]));
        let bound_weights = weights.bind(&mut plan, params);
        let t = plan.tensor("t", batch);
        sample_step::set_t(&mut plan, (batch, steps.len()), table, t, state);
        let bound = model.lower(&mut plan, x, t, time_table, state, &bound_weights);
        let io = SampleStepIo {
            shape,
            table,
            steps: steps.len(),
            out: bound.output,
            x_t: x,
            noise: StepNoise::Given(z),
            x_prev: x,
            x0_hat: None,
            eps_hat: None,
        };
        sample_step::emit(&mut plan, &io, state);
        let plan = plan.prepare(self.gpu)?;
        fill(self.gpu, &plan);
        let size = shape.len();
        let walk = |start: &[f32], reference: Option<&Tensor>| -> Result<Vec<f32>> {
            let mut all: Vec<f32> = Vec::with_capacity(steps.len() * size);
            views[0].write(self.gpu, 0, &nchw_to_plan(shape, start));
            for (i, z) in noise.data.chunks(size).enumerate() {
                if let (Some(reference), Some(before)) = (reference, i.checked_sub(1)) {
                    let x = &reference.data[before * size..i * size];
                    views[0].write(self.gpu, 0, &nchw_to_plan(shape, x));
                }
                views[1].write(self.gpu, 0, &nchw_to_plan(shape, z));
                write_inference_step(self.gpu, &views[4], i);
                execute(self.gpu, &plan)?;
                let data = read_f32(self.gpu, &views[..1])?;
                all.extend(plan_to_nchw(shape, &data[0]));
            }
            Ok(all)
        };
        let all = walk(&start.data, None)?;
        let expected = case.need(name, name)?;
        let mut results = Vec::new();
        if beyond(&all, &expected.data, size) {
            results.push((FROM_REFERENCE, walk(&start.data, Some(expected))?));
            results.push((NUDGED, walk(&nudge(&start.data), None)?));
        }
        results.push(("", all));
        let full = [steps.len(), batch, shape.c, shape.h, shape.w];
        for (end, data) in results {
            self.put(format!("{name}{end}"), full.to_vec(), data);
        }
        Ok(())
    }
}

/// Ends the name of a trajectory each step of which starts from the reference's sample.
pub(super) const FROM_REFERENCE: &str = ".from_reference";
/// Ends the name of a trajectory whose start was moved by about a millionth.
pub(super) const NUDGED: &str = ".nudged";

/// Whether a step of a trajectory differs by more than it may.
fn beyond(found: &[f32], expected: &[f32], size: usize) -> bool {
    found.chunks(size).zip(expected.chunks(size)).any(|(f, e)| {
        let square = |x: f64| x * x;
        let difference: f64 = f
            .iter()
            .zip(e)
            .map(|(&f, &e)| square(f64::from(f) - f64::from(e)))
            .sum();
        let norm: f64 = e.iter().map(|&e| square(f64::from(e))).sum();
        difference > TRAJECTORY * TRAJECTORY * norm
    })
}

/// Each number a millionth larger or smaller.
fn nudge(data: &[f32]) -> Vec<f32> {
    let sign = |i: usize| match (i as u32).wrapping_mul(2_654_435_769) >> 31 {
        0 => 1.0,
        _ => -1.0,
    };
    data.iter()
        .enumerate()
        .map(|(i, v)| v * (1.0 + sign(i) * 1e-6))
        .collect()
}

/// Ends the name of an activation that has the SiLU behind it fused in.
pub(super) const WITH_SILU: &str = ".silu";
/// Ends the name of an activation that has the time embedding added.
pub(super) const WITH_TIME: &str = ".time";

fn transpose(batch: usize, channels: usize, pixels: usize, nchw: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; nchw.len()];
    for b in 0..batch {
        for c in 0..channels {
            for p in 0..pixels {
                out[(b * pixels + p) * channels + c] = nchw[(b * channels + c) * pixels + p];
            }
        }
    }
    out
}

fn step_table(steps: &[SampleStep]) -> Vec<f32> {
    let rows: Vec<_> = steps.iter().map(|s| s.coefficients).collect();
    sample_step::table_words(&rows)
}

fn write_inference_step(gpu: &Gpu, state: &View, i: usize) {
    let scalars = StepState {
        inference_step: i as u32,
        ..StepState::default()
    };
    state.write(gpu, 0, scalars.words());
}

/// x_t, t, time table, state, ε: memory and views, the table written.
fn inputs_pool(gpu: &Arc<Gpu>, model: &Model, batch: usize) -> Result<(Pool, Vec<View>)> {
    let bytes = 4 * model.graph.shape(model.inputs.x).words() as u64;
    let (pool, views) = Pool::allocate(
        gpu,
        "parity",
        &[
            ("x_t", bytes),
            ("t", 4 * batch as u64),
            ("time table", 4 * model.time_table.len() as u64),
            ("state", 4 * STATE_WORDS as u64),
            ("eps", bytes),
        ],
    )?;
    views[2].write(gpu, 0, &model.time_table);
    Ok((pool, views))
}

fn fill(gpu: &Gpu, plan: &Plan) {
    if plan.arena_bytes() > FILL_LIMIT {
        return;
    }
    for chunk in plan.arena() {
        chunk.write(gpu, 0, &vec![f32::NAN; (chunk.bytes / 4) as usize]);
    }
}

/// Runs a plan in slices, and waits.
fn execute(gpu: &Arc<Gpu>, plan: &Plan) -> Result<()> {
    Pacer::new(Pace::FULL).run(gpu, plan)?;
    gpu.wait();
    Ok(gpu.check()?)
}

//! How much of the device's memory a run takes, by planning it without allocating, and what makes it fit a budget.

use crate::{
    Result,
    data::{Dataset, Shuffle},
    gpu::{Gpu, memory::Pool},
    nn::{
        PlanBuilder, graph::ParamInfo, model::ParamSet, network::Network, tuning::VariantTable,
        unet_map,
    },
};

use std::collections::BTreeSet;

use super::{TrainError, command::TrainSpec, config::TrainConfig, feed::Feed, stepper::StepMemory};

/// Parameters that are read back together, as [`ParamSet::read`] does.
const READ_TOGETHER: usize = 32;

/// Sets of parameters in a saved state, see [`TrainSets::saved`](super::stepper::TrainSets::saved).
const SAVED_SETS: u64 = 4;

/// What a run does on the device besides training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// Held-out images whose loss is measured.
    pub held_out: usize,
    /// Samples that are drawn now and then.
    pub samples: usize,
    /// All samples are drawn at once, and the whole state is read back at once, as an interface does that never waits;
    /// else as many samples as a micro-batch has images, and a few parameters at a time.
    pub at_once: bool,
}

#[cfg(not(target_arch = "wasm32"))]
impl From<&super::run::RunOptions> for Beside {
    fn from(options: &super::run::RunOptions) -> Self {
        let held_out = options.eval_images * usize::from(options.eval_every > 0);
        let samples = options.grid * usize::from(options.grid_steps > 0);
        Self {
            held_out,
            samples,
            at_once: false,
        }
    }
}

/// Bytes on the device that a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct RunMemory {
    /// Of training.
    pub step: StepMemory,
    /// Of the loss on held-out images.
    pub held_out: u64,
    /// Of what comes and goes: the picture of samples, or reading the state back.
    pub passing: u64,
}

impl RunMemory {
    /// All of it.
    pub const fn total(&self) -> u64 {
        self.step.total() + self.held_out + self.passing
    }

    /// Of a run as it would be made. What is beside training is bounded from above.
    ///
    /// # Errors
    /// A network or images that do not fit together.
    pub fn plan(gpu: &Gpu, config: &TrainConfig, beside: Beside, data: &Dataset) -> Result<Self> {
        let network = Network::from(&config.unet);
        let feed = Feed::Images {
            images: data.train.clone(),
            shuffle: Shuffle::new(data.train.len(), config.seed),
        };
        let step = StepMemory::plan(gpu, &config.step_config(), &network, &feed)?;
        let (mut held_out, mut passing) = (0, 0);
        let images = beside.held_out.min(data.test.len());
        if images > 0 {
            let (bytes, params) = inference(gpu, config, &network, config.batch.min(images))?;
            held_out = bytes + ParamSet::planned_bytes(gpu, &params);
        }
        if beside.samples > 0 {
            let batch = if beside.at_once {
                beside.samples
            } else {
                config.batch.min(beside.samples)
            };
            passing = inference(gpu, config, &network, batch)?.0;
        }
        let (_, params) = inference(gpu, config, &network, 1)?;
        let (group, sets) = if beside.at_once {
            (params.len().max(1), SAVED_SETS)
        } else {
            (READ_TOGETHER, 1)
        };
        for group in params.chunks(group) {
            let bytes: u64 = group.iter().map(|p| 4 * p.words() as u64).sum();
            passing = passing.max(sets * bytes);
        }
        Ok(Self {
            step,
            held_out,
            passing,
        })
    }
}

/// Bytes of the network's evaluation with samplers and losses around it, and the network's parameters.
fn inference(
    gpu: &Gpu,
    config: &TrainConfig,
    network: &Network,
    batch: usize,
) -> Result<(u64, Vec<ParamInfo>)> {
    /// Tensors of a sample's size beside the network's: x_0, x_t, target, ε̂, noise, what is read back.
    const BESIDE: u64 = 8;
    let timesteps = config.scheduler.num_train_timesteps;
    let model = network.build(batch, timesteps, false)?;
    let params = model.graph.params();
    let shape = model.graph.shape(model.inputs.x);
    let mut plan = PlanBuilder::with_variants(VariantTable::of(gpu));
    let x = plan.outside("x", shape.words() as u64);
    let t = plan.outside("t", batch as u64);
    let table = plan.outside("time table", model.time_table.len() as u64);
    let state = plan.outside("state", 64);
    let weights = plan.outside_together(params.iter().map(|p| (p.name.as_str(), p.words() as u64)));
    model.lower(&mut plan, x, t, table, state, &weights);
    let samples = BESIDE * 4 * shape.words() as u64;
    // Tables of the timesteps, of √ᾱ and of the bound, and scalars.
    let tables = 4 * (model.time_table.len() + 8 * timesteps) as u64 + (64 << 10);
    let bytes = plan.device_bytes(gpu) + samples + tables;
    Ok((bytes, params.to_vec()))
}

/// What [`fit`] chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Whether activations are to be checkpointed.
    pub checkpoint_activations: bool,
    /// What the run then takes.
    pub memory: RunMemory,
}

/// The least activation checkpointing with which a run fits into `budget` bytes: none, or every segment.
///
/// # Errors
/// [`TrainError::OverBudget`], with what would fit.
pub fn fit(
    gpu: &Gpu,
    config: &TrainConfig,
    beside: Beside,
    data: &Dataset,
    budget: u64,
) -> Result<Fit> {
    let plan = |batch: usize, checkpoint_activations: bool| {
        let config = TrainConfig {
            batch,
            checkpoint_activations,
            ..config.clone()
        };
        RunMemory::plan(gpu, &config, beside, data)
    };
    let mut least = None;
    for checkpoint_activations in [config.checkpoint_activations, true] {
        let memory = plan(config.batch, checkpoint_activations)?;
        if memory.total() <= budget {
            return Ok(Fit {
                checkpoint_activations,
                memory,
            });
        }
        least = Some(memory.total());
    }
    // The same images a step in more micro-batches.
    let images = config.batch * config.accumulate;
    let mut advice = None;
    for batch in (1..config.batch)
        .rev()
        .filter(|b| images.is_multiple_of(*b))
    {
        let total = plan(batch, true)?.total();
        if total <= budget {
            advice = Some(format!(
                "`--batch {batch} --accumulate {}` would take {}, for the same images a step",
                images / batch,
                in_words(total)
            ));
            break;
        }
    }
    let advice = advice.map_or_else(
        || -> Result<String> {
            let one = plan(1, true)?;
            let fixed = in_words(one.step.parameters);
            let total = in_words(one.total());
            Ok(format!(
                "one image a micro-batch takes {total} still, {fixed} of it for weights, gradients and moments: choose a smaller network, or leave out --eval-every and --grid by setting them to 0"
            ))
        },
        Ok,
    )?;
    Err(TrainError::OverBudget {
        needed: in_words(least.unwrap_or_default()),
        budget: in_words(budget),
        advice,
    }
    .into())
}

/// How a run that an interface starts fits a budget, and what that costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetPlan {
    /// Bytes that it may take.
    pub budget: u64,
    /// Bytes that it takes when every activation is kept.
    pub whole: u64,
    /// What is saved by checkpointing activations, if the run does not fit without.
    pub checkpointed: Option<Checkpointed>,
}

/// What checkpointing every segment's activations does to a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checkpointed {
    /// Bytes that it then takes.
    pub total: u64,
    /// Blocks that are computed once more on the way back, and blocks in all.
    pub recomputed: (usize, usize),
    /// Operations of a step against those without.
    pub operations: f64,
    /// If it does not fit even so: the largest batch that does, if any.
    pub smaller_batch: Option<usize>,
}

impl BudgetPlan {
    /// Of a run as [`TrainCommand::Start`](super::command::TrainCommand::Start) would make it, without allocating
    /// anything. `budget` is in bytes.
    ///
    /// # Errors
    /// A network or images that do not fit together.
    pub fn new(gpu: &Gpu, spec: &TrainSpec, data: &Dataset, budget: u64) -> Result<Self> {
        // A grid can be asked for at any time, and is drawn whole.
        let beside = Beside {
            held_out: 0,
            samples: spec.preview.count,
            at_once: true,
        };
        let with = |batch: usize, checkpoint_activations: bool| TrainConfig {
            batch,
            checkpoint_activations,
            ..spec.config.clone()
        };
        let total = |batch: usize, checkpointed: bool| -> Result<u64> {
            let config = with(batch, checkpointed);
            Ok(RunMemory::plan(gpu, &config, beside, data)?.total())
        };
        let batch = spec.config.batch;
        let mut out = Self {
            budget,
            whole: total(batch, false)?,
            checkpointed: None,
        };
        if out.whole <= budget && !spec.config.checkpoint_activations {
            return Ok(out);
        }
        let least = total(batch, true)?;
        let mut smaller_batch = None;
        if least > budget {
            // Memory grows with the batch.
            let (mut fits, mut too_large) = (0, batch);
            while too_large - fits > 1 {
                let middle = fits.midpoint(too_large);
                if total(middle, true)? <= budget {
                    fits = middle;
                } else {
                    too_large = middle;
                }
            }
            smaller_batch = (fits > 0).then_some(fits);
        }
        let (kept, _) = work(gpu, &with(batch, false), data)?;
        let (again, recomputed) = work(gpu, &with(batch, true), data)?;
        let map = unet_map::describe(&spec.config.unet)?;
        let recomputed: BTreeSet<usize> = recomputed.iter().filter_map(|l| map.find(l)).collect();
        out.checkpointed = Some(Checkpointed {
            total: least,
            recomputed: (recomputed.len(), map.blocks.len()),
            operations: again as f64 / kept.max(1) as f64,
            smaller_batch,
        });
        Ok(out)
    }

    /// Whether the run fits.
    pub fn fits(&self) -> bool {
        self.peak() <= self.budget
    }

    /// Bytes that it takes.
    pub fn peak(&self) -> u64 {
        self.checkpointed.map_or(self.whole, |c| c.total)
    }

    /// Whether activations are to be checkpointed.
    ///
    /// # Errors
    /// [`TrainError::OverBudget`] if it does not fit even so.
    pub fn choose(&self) -> std::result::Result<bool, TrainError> {
        if self.fits() {
            return Ok(self.checkpointed.is_some());
        }
        let advice = match self.checkpointed.and_then(|c| c.smaller_batch) {
            Some(batch) => format!("a batch of {batch} would fit"),
            None => "choose a smaller network or a larger budget".to_owned(),
        };
        Err(TrainError::OverBudget {
            needed: in_words(self.peak()),
            budget: in_words(self.budget),
            advice,
        })
    }
}

/// Operations of a micro-batch, and the layers that are computed once more on the way back.
fn work(gpu: &Gpu, config: &TrainConfig, data: &Dataset) -> Result<(u64, Vec<String>)> {
    let mut plan = PlanBuilder::with_variants(VariantTable::of(gpu));
    let feed = Feed::Images {
        images: data.train.clone(),
        shuffle: Shuffle::new(data.train.len(), config.seed),
    };
    let network = Network::from(&config.unet);
    StepMemory::emit(&mut plan, &config.step_config(), &network, &feed)?;
    let all = plan.dispatches();
    let loss = all.iter().rposition(|d| &*d.label == "loss").unwrap_or(0);
    let back = all[loss..].iter().map(|d| d.label.to_string());
    let again = back.filter(|label| !label.ends_with("(backward)"));
    Ok((plan.flops(), again.collect()))
}

/// Bytes for people: in MB or GB, as they are written on the command line.
pub fn in_words(bytes: u64) -> String {
    let b = bytes as f64;
    if b >= 1e9 {
        format!("{:.2} GB", b / 1e9)
    } else {
        format!("{:.0} MB", (b / 1e6).max(1.0))
    }
}

impl ParamSet {
    /// Bytes that [`ParamSet::zeros`] would take.
    fn planned_bytes(gpu: &Gpu, params: &[ParamInfo]) -> u64 {
        Pool::chunk_bytes(gpu, &Self::sizes(params)).iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        bench,
        gpu::AdapterChoice,
        session::{
            config::preset,
            run::{Run, RunOptions, RunStart, StopSignal},
            trainer::{Start, Trainer},
        },
    };

    fn tiny(checkpoint_activations: bool) -> (TrainConfig, Dataset) {
        let config = TrainConfig {
            batch: 4,
            checkpoint_activations,
            dataset: "noise".into(),
            ..(preset("tiny").expect("a preset").make)(28, 1)
        };
        let data = bench::synthetic(&config).expect("images");
        (config, data)
    }

    #[test]
    fn what_is_planned_is_what_is_allocated() {
        for checkpointed in [false, true] {
            let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
            let (config, data) = tiny(checkpointed);
            let options = RunOptions::default();
            let planned = RunMemory::plan(&gpu, &config, (&options).into(), &data).expect("a plan");
            assert_eq!(gpu.allocated_bytes(), 0, "planning allocates nothing");
            let trainer = Trainer::begin(&gpu, config, Arc::new(data), &Start::Random);
            let trainer = trainer.expect("a trainer");
            assert_eq!(gpu.allocated_bytes(), planned.step.total());
            drop(trainer);
        }
    }

    #[test]
    fn a_whole_run_stays_below_what_was_planned() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let (config, data) = tiny(true);
        let options = RunOptions {
            steps: 2,
            checkpoint_every: 1,
            eval_every: 1,
            eval_images: 1,
            grid: 4,
            grid_steps: 2,
            ..RunOptions::default()
        };
        let planned = RunMemory::plan(&gpu, &config, (&options).into(), &data).expect("a plan");
        let dir = tempfile::tempdir().expect("a folder");
        let mut run = Run::new(
            &gpu,
            &dir.path().join("run"),
            config,
            options,
            Arc::new(data),
            &RunStart::Random,
            &mut |_| {},
        )
        .expect("a run");
        run.train(&StopSignal::default(), &mut |_| {})
            .expect("two steps");
        let peak = gpu.peak_bytes();
        assert!(peak <= planned.total(), "{peak} {planned:?}");
        assert!(10 * peak > 7 * planned.total(), "{peak} {planned:?}");
    }

    #[test]
    fn the_least_that_fits_is_chosen_and_otherwise_what_would_fit_is_said() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let (config, data) = tiny(false);
        let options = RunOptions::default();
        let total = |config: &TrainConfig| {
            RunMemory::plan(&gpu, config, (&options).into(), &data)
                .expect("a plan")
                .total()
        };
        let whole = total(&config);
        let checkpointed = TrainConfig {
            checkpoint_activations: true,
            ..config.clone()
        };
        let less = total(&checkpointed);
        assert!(less < whole, "{less} {whole}");
        let fit = |budget| fit(&gpu, &config, (&options).into(), &data, budget);
        assert!(!fit(whole).expect("it fits").checkpoint_activations);
        let chosen = fit(whole - 1).expect("it fits checkpointed");
        assert!(chosen.checkpoint_activations);
        assert_eq!(chosen.memory.total(), less);
        let refused = fit(less - 1).expect_err("it does not fit").to_string();
        assert!(refused.contains("--batch 2 --accumulate 2"), "{refused}");
        let refused = fit(1000).expect_err("nothing fits").to_string();
        assert!(refused.contains("smaller network"), "{refused}");
    }

    #[test]
    fn an_interface_is_told_what_a_budget_costs() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let (config, data) = tiny(false);
        let spec = TrainSpec {
            config,
            preview: Default::default(),
            stop: Default::default(),
            memory_budget: None,
        };
        let plan = |budget| BudgetPlan::new(&gpu, &spec, &data, budget).expect("a plan");
        let ample = plan(u64::MAX);
        assert_eq!(ample.checkpointed, None);
        assert!(ample.fits() && !ample.choose().expect("it fits"));
        let tight = plan(ample.whole - 1);
        let cost = tight.checkpointed.expect("it does not fit as it is");
        assert!(cost.total < ample.whole && tight.fits());
        assert!(tight.choose().expect("it fits checkpointed"));
        assert_eq!(cost.smaller_batch, None);
        let (again, blocks) = cost.recomputed;
        assert!(again > 0 && again < blocks, "{again} of {blocks}");
        // At most the whole forward pass, a third of a step, is done once more.
        assert!(cost.operations > 1.05 && cost.operations < 1.34, "{cost:?}");
        let short = plan(cost.total - 1);
        assert!(!short.fits());
        let smaller = short.checkpointed.and_then(|c| c.smaller_batch);
        let smaller = smaller.expect("a smaller batch");
        assert!(smaller < spec.config.batch);
        let refused = short.choose().expect_err("it does not fit").to_string();
        assert!(
            refused.contains(&format!("a batch of {smaller} would fit")),
            "{refused}"
        );
        let refused = plan(1000).choose().expect_err("nothing fits").to_string();
        assert!(refused.contains("a smaller network"), "{refused}");
        assert_eq!(gpu.allocated_bytes(), 0, "planning allocates nothing");
    }

    #[test]
    fn bytes_are_written_for_people() {
        assert_eq!(in_words(1_500_000_000), "1.50 GB");
        assert_eq!(in_words(12_345_678), "12 MB");
    }
}

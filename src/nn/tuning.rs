//! Choice of kernel variants by measurement: once for each adapter and [`ShapeClass`], on a small network of that
//! class. What was found is a serde value, which whoever embeds the library keeps where it can.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Graph, Plan, PlanBuilder, Shape, TensorId, init,
    model::ParamSet,
    network::Network,
    plan::{Cursor, Variants},
    unet_config::{BlockKind, UNetConfig},
};
use crate::{
    Result,
    gpu::{
        Gpu, View,
        memory::Pool,
        timing::{Clock, TimedWork},
    },
};

/// Layers that may want other variants than the rest, by the shape of what they put out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeClass {
    /// Up to 64 channels, more than 8×8 pixels.
    #[default]
    NarrowLarge,
    /// Up to 64 channels, up to 8×8 pixels.
    NarrowSmall,
    /// More than 64 channels, more than 8×8 pixels.
    WideLarge,
    /// More than 64 channels, up to 8×8 pixels.
    WideSmall,
}

impl ShapeClass {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::NarrowLarge,
        Self::NarrowSmall,
        Self::WideLarge,
        Self::WideSmall,
    ];

    /// The class of a shape.
    pub const fn of(shape: Shape) -> Self {
        match (shape.c > 64, shape.h * shape.w > 64) {
            (false, true) => Self::NarrowLarge,
            (false, false) => Self::NarrowSmall,
            (true, true) => Self::WideLarge,
            (true, false) => Self::WideSmall,
        }
    }

    const fn index(self) -> usize {
        self as usize
    }

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NarrowLarge => "up to 64 channels, above 8x8",
            Self::NarrowSmall => "up to 64 channels, up to 8x8",
            Self::WideLarge => "above 64 channels, above 8x8",
            Self::WideSmall => "above 64 channels, up to 8x8",
        }
    }

    /// The classes of a graph's layers on images; not those of fewer than a tenth of them.
    pub fn of_graph(graph: &Graph) -> Vec<Self> {
        let mut counts = [0_usize; Self::ALL.len()];
        for (value, _) in graph.outputs() {
            let shape = graph.shape(value);
            if shape.h * shape.w > 1 {
                counts[Self::of(shape).index()] += 1;
            }
        }
        let all: usize = counts.iter().sum();
        let many = |class: &Self| {
            let count = counts[class.index()];
            count > 0 && 10 * count >= all
        };
        Self::ALL.into_iter().filter(many).collect()
    }

    /// Images, side and channels of what is measured for it.
    const fn sample(self, software: bool) -> (usize, usize, usize) {
        let (batch, side, channels) = match self {
            Self::NarrowLarge => (1, 32, 32),
            Self::NarrowSmall => (8, 8, 64),
            Self::WideLarge => (2, 16, 96),
            Self::WideSmall => (8, 8, 128),
        };
        // At least a workgroup of strips of 8 pixels, as training has; and enough threads for a GPU.
        (if software { batch } else { 16 * batch }, side, channels)
    }
}

/// The variants of a plan: one choice for each class of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "SavedTable", into = "SavedTable")]
pub struct VariantTable([Variants; ShapeClass::ALL.len()]);

/// A table in files: one choice for all, as runs were saved before there were classes, or one for each.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SavedTable {
    ByClass {
        by_class: BTreeMap<ShapeClass, Variants>,
    },
    Uniform(Variants),
}

impl From<SavedTable> for VariantTable {
    fn from(saved: SavedTable) -> Self {
        match saved {
            SavedTable::Uniform(variants) => variants.into(),
            SavedTable::ByClass { by_class } => {
                let of = |class| by_class.get(&class).copied().unwrap_or_default();
                Self(ShapeClass::ALL.map(of))
            }
        }
    }
}

impl From<VariantTable> for SavedTable {
    fn from(table: VariantTable) -> Self {
        match table.uniform() {
            Some(variants) => Self::Uniform(variants),
            None => Self::ByClass {
                by_class: table.entries().collect(),
            },
        }
    }
}

impl From<Variants> for VariantTable {
    fn from(variants: Variants) -> Self {
        Self([variants; ShapeClass::ALL.len()])
    }
}

impl VariantTable {
    /// What a device gets: what was measured on it, and the rule of [`Variants::choose`] where nothing was.
    pub fn of(gpu: &Gpu) -> Self {
        let mut table = Self::from(Variants::choose(gpu));
        if let Some(choices) = gpu.noted::<Choices>() {
            for (class, choice) in &choices.0 {
                table.0[class.index()] = choice.variants;
            }
        }
        table
    }

    /// The choice for a class.
    pub const fn get(&self, class: ShapeClass) -> Variants {
        self.0[class.index()]
    }

    /// Each class with its choice.
    pub fn entries(self) -> impl Iterator<Item = (ShapeClass, Variants)> {
        ShapeClass::ALL.into_iter().zip(self.0)
    }

    /// The one choice for all, if it is one.
    pub fn uniform(&self) -> Option<Variants> {
        self.0.iter().all(|v| *v == self.0[0]).then_some(self.0[0])
    }

    /// Whether a device can run it.
    pub fn runs_on(&self, gpu: &Gpu) -> bool {
        let all = Variants::all(gpu);
        self.0.iter().all(|v| all.contains(v))
    }
}

impl fmt::Display for VariantTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variants) = self.uniform() {
            return write!(f, "{variants}");
        }
        for (i, (class, variants)) in self.entries().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {variants}", class.name())?;
        }
        Ok(())
    }
}

/// What was measured for a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What was chosen.
    pub variants: Variants,
    /// Every candidate with its seconds, the device's default first.
    pub measured: Vec<(Variants, f64)>,
}

impl Choice {
    /// Another candidate than the default has to be faster by this factor, as measurements of the same differ by some
    /// hundredths.
    const MARGIN: f64 = 1.05;

    /// `rounds` are the seconds of each candidate, the default first, in rounds in which all took turns; a round that
    /// a candidate sat out has none.
    fn among(rounds: Vec<(Variants, Vec<f64>)>) -> Option<Self> {
        let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
        let measured: Vec<(Variants, f64)> =
            rounds.iter().map(|(v, times)| (*v, least(times))).collect();
        let (default, own) = rounds.first()?;
        // In every round, so that a moment in which the machine was busy decides nothing.
        let wins = |times: &[f64]| {
            times.len() == own.len() && times.iter().zip(own).all(|(t, d)| *d > Self::MARGIN * t)
        };
        let faster = rounds.iter().zip(&measured).filter(|(r, _)| wins(&r.1));
        let fastest = faster.min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let variants = fastest.map_or(*default, |(r, _)| r.0);
        Some(Self { variants, measured })
    }

    /// Why, in words.
    pub fn why(&self) -> String {
        let seconds = |v: &Variants| self.measured.iter().find(|m| m.0 == *v).map(|m| m.1);
        let Some((default, own)) = self.measured.first().zip(seconds(&self.variants)) else {
            return "nothing was measured".into();
        };
        if self.measured.len() == 1 {
            return "the only one that differs for such layers".into();
        }
        if self.variants != default.0 {
            return format!("{:.2} times as fast as the default", default.1 / own);
        }
        let others = self.measured[1..].iter().map(|m| m.1);
        let ratio = others.fold(f64::INFINITY, f64::min) / own;
        if ratio >= 1.0 {
            format!("the default, {ratio:.2} times as fast as the next")
        } else {
            format!(
                "the default; the fastest is within {:.0} %",
                100.0 * (1.0 / ratio - 1.0)
            )
        }
    }
}

/// What was measured on a device, by class.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(BTreeMap<ShapeClass, Choice>);

impl Choices {
    /// What is known of a device.
    pub fn of(gpu: &Gpu) -> Self {
        gpu.noted::<Self>()
            .map_or_else(Self::default, |known| (*known).clone())
    }

    /// Each class with its choice.
    pub fn iter(&self) -> impl Iterator<Item = (ShapeClass, &Choice)> {
        self.0.iter().map(|(class, choice)| (*class, choice))
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Under which name a device's choices are kept: adapter, backend, driver, and this program's version.
pub fn key(gpu: &Gpu) -> String {
    let info = &gpu.info;
    [
        info.name.as_str(),
        &info.backend.to_string(),
        &info.driver,
        &info.driver_info,
        env!("CARGO_PKG_VERSION"),
    ]
    .map(str::trim)
    .join(" | ")
}

/// Takes over what [`document`] wrote; returns whether it has anything of this device.
///
/// # Errors
/// One phrase on what is wrong with it; nothing is taken over then.
pub fn restore(gpu: &Gpu, document: &Value) -> Result<bool, String> {
    let all = document
        .as_object()
        .ok_or_else(|| "it is not a table of adapters".to_owned())?;
    let Some(own) = all.get(&key(gpu)) else {
        return Ok(false);
    };
    let choices: Choices = serde_json::from_value(own.clone()).map_err(|e| e.to_string())?;
    let known = Variants::all(gpu);
    if !choices.0.values().all(|c| known.contains(&c.variants)) {
        return Err("it names kernel variants that this adapter does not have".into());
    }
    gpu.note(choices);
    Ok(true)
}

/// What is known of this device, to be kept and given to [`restore`].
pub fn document(gpu: &Gpu) -> Value {
    json!({ key(gpu): Choices::of(gpu) })
}

/// What was kept before with what is known now; of other versions of this program nothing is kept.
pub fn merged(before: Option<&Value>, now: &Value) -> Value {
    let mut all = before
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let suffix = format!("| {}", env!("CARGO_PKG_VERSION"));
    all.retain(|key, _| key.ends_with(&suffix));
    for (key, choices) in now.as_object().into_iter().flatten() {
        all.insert(key.clone(), choices.clone());
    }
    Value::Object(all)
}

/// A candidate with its plan.
#[derive(Debug)]
struct Candidate {
    variants: Variants,
    plan: Plan,
    fill: [TensorId; 2],
    times: Vec<f64>,
}

/// The measurement for a class under way.
#[derive(Debug)]
struct Trial {
    class: ShapeClass,
    candidates: Vec<Candidate>,
    /// Runs begun.
    runs: usize,
    work: Option<(usize, TimedWork)>,
    _pool: Pool,
    _sets: [ParamSet; 2],
}

/// Runs of each candidate; the first is not counted, as drivers compile in it.
const RUNS: usize = 4;
/// A candidate whose first run took so many times as long as the best one's is not run again.
const HOPELESS: f64 = 2.0;
/// Timesteps of the network that is measured.
const TIMESTEPS: usize = 16;

impl Trial {
    fn new(gpu: &Arc<Gpu>, class: ShapeClass) -> Result<Self> {
        let (batch, side, channels) = class.sample(gpu.capabilities.software);
        let network = Network::from(&UNetConfig {
            sample_size: side,
            in_channels: 1,
            out_channels: 1,
            block_out_channels: vec![channels],
            layers_per_block: 1,
            norm_num_groups: 8,
            down_block_types: vec![BlockKind::Plain],
            up_block_types: vec![BlockKind::Plain],
            ..UNetConfig::default()
        });
        let model = network.build(batch, TIMESTEPS, true)?;
        let params = model.graph.params();
        let sets = [
            ParamSet::zeros(gpu, "tuning weights", params)?,
            ParamSet::zeros(gpu, "tuning gradients", params)?,
        ];
        sets[0].write(gpu, params, &init::weights(params, 0));
        let (pool, views) = Pool::allocate(
            gpu,
            "tuning",
            &[
                ("state", 4 * super::state::STATE_WORDS as u64),
                ("time table", 4 * model.time_table.len() as u64),
                ("t", 4 * batch as u64),
            ],
        )?;
        views[1].write(gpu, 0, &model.time_table);
        let words = model.graph.shape(model.inputs.x).words();
        let mut candidates: Vec<Candidate> = Vec::new();
        for variants in Variants::all(gpu) {
            let mut plan = PlanBuilder::with_variants(variants);
            let outside = |plan: &mut PlanBuilder, view: &View| plan.external("tuning", view);
            let [state, table, t] = [0, 1, 2].map(|i: usize| outside(&mut plan, &views[i]));
            let weights = sets[0].bind(&mut plan, params);
            let grads = sets[1].bind(&mut plan, params);
            let fill = ["x", "gradient"].map(|label| plan.tensor(label, words));
            fill.iter().for_each(|&tensor| plan.keep(tensor));
            let mut lowered = model
                .lower(&mut plan, fill[0], t, table, state, &weights)
                .lowered;
            model.graph.lower_backward(
                &mut plan,
                &mut lowered,
                &weights,
                &grads,
                model.output,
                fill[1],
                false,
            );
            let same = candidates
                .iter()
                .any(|c| alike(c.plan.dispatches(), plan.dispatches()));
            if !same {
                candidates.push(Candidate {
                    variants,
                    plan: plan.begin(gpu)?,
                    fill,
                    times: Vec::new(),
                });
            }
        }
        Ok(Self {
            class,
            candidates,
            runs: 0,
            work: None,
            _pool: pool,
            _sets: sets,
        })
    }

    /// Goes on; the choice once it is made.
    fn pump(&mut self, gpu: &Gpu, slice: Duration) -> Result<Option<Choice>> {
        for candidate in &mut self.candidates {
            let (done, of) = candidate.plan.warmed();
            if done < of {
                candidate.plan.warm(slice)?;
                return Ok(None);
            }
        }
        if let Some((i, work)) = &mut self.work {
            let Some(seconds) = work.poll(gpu)? else {
                return Ok(None);
            };
            self.candidates[*i].times.push(seconds);
            self.work = None;
        }
        let count = self.candidates.len();
        if count == 1 {
            let only = self.candidates[0].variants;
            return Ok(Choice::among(vec![(only, vec![0.0])]));
        }
        while self.runs < RUNS * count {
            // In turn, so that a busy moment meets all of them.
            let i = self.runs % count;
            self.runs += 1;
            if self.is_hopeless(i) {
                continue;
            }
            let candidate = &self.candidates[i];
            for tensor in candidate.fill {
                let view = candidate.plan.view(tensor);
                let word = |k: u64| ((k * 2_654_435_761 % 2048) as f32) / 1024.0 - 1.0;
                view.write(gpu, 0, &(0..view.bytes / 4).map(word).collect::<Vec<f32>>());
            }
            let work = TimedWork::submit(gpu, Clock::of(gpu), |encoder, writes| {
                let mut cursor = Cursor::default();
                (candidate.plan).encode_timed(encoder, &mut cursor, f64::INFINITY, writes);
            })?;
            self.work = Some((i, work));
            return Ok(None);
        }
        let counted = |c: &Candidate| c.times.get(1..).unwrap_or_default().to_vec();
        let rounds = self.candidates.iter().map(|c| (c.variants, counted(c)));
        Ok(Choice::among(rounds.collect()))
    }

    /// Whether a candidate's second run was far slower than another's.
    fn is_hopeless(&self, i: usize) -> bool {
        let second = |c: &Candidate| c.times.get(1).copied();
        let best = self.candidates.iter().filter_map(second);
        let best = best.fold(f64::INFINITY, f64::min);
        second(&self.candidates[i]).is_some_and(|own| own > HOPELESS * best)
    }
}

/// Whether two plans run the same.
fn alike(a: &[super::plan::Dispatch], b: &[super::plan::Dispatch]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.kernel == b.kernel && a.params == b.params && a.tiles == b.tiles)
}

/// Measures the classes that are not known of a device yet, bit by bit.
#[derive(Debug)]
pub struct Tuner {
    gpu: Arc<Gpu>,
    classes: Vec<ShapeClass>,
    of: usize,
    trial: Option<Trial>,
}

impl Tuner {
    /// For these classes: those that are not known, or `anew` all of them.
    pub fn new(gpu: &Arc<Gpu>, classes: &[ShapeClass], anew: bool) -> Self {
        let known = Choices::of(gpu);
        let mut classes: Vec<ShapeClass> = classes.to_vec();
        classes.retain(|class| anew || !known.0.contains_key(class));
        classes.reverse();
        Self {
            gpu: Arc::clone(gpu),
            of: classes.len(),
            classes,
            trial: None,
        }
    }

    /// For the layers of a network, those that are not known yet; nothing on software adapters, which have settled
    /// defaults and would take seconds.
    ///
    /// # Errors
    /// A network that cannot be built.
    pub fn for_network(gpu: &Arc<Gpu>, network: &Network) -> Result<Self> {
        if gpu.capabilities.software {
            return Ok(Self::new(gpu, &[], false));
        }
        let model = network.build(1, TIMESTEPS, true)?;
        Ok(Self::new(gpu, &ShapeClass::of_graph(&model.graph), false))
    }

    /// Whether there is nothing to measure.
    pub const fn is_done(&self) -> bool {
        self.classes.is_empty() && self.trial.is_none()
    }

    /// Classes that are done, and all that are to be.
    pub const fn progress(&self) -> (usize, usize) {
        let under_way = if self.trial.is_some() { 1 } else { 0 };
        (self.of - self.classes.len() - under_way, self.of)
    }

    /// Goes on for about `slice`, without waiting; true once all is known, and in use from then on.
    ///
    /// # Errors
    /// A device that fails.
    pub fn pump(&mut self, slice: Duration) -> Result<bool> {
        if self.trial.is_none() {
            let Some(class) = self.classes.pop() else {
                return Ok(true);
            };
            self.trial = Some(Trial::new(&self.gpu, class)?);
        }
        if let Some(trial) = &mut self.trial
            && let Some(choice) = trial.pump(&self.gpu, slice)?
        {
            let mut known = Choices::of(&self.gpu);
            known.0.insert(trial.class, choice);
            self.gpu.note(known);
            self.trial = None;
        }
        Ok(self.is_done())
    }

    /// [`Tuner::pump`] to the end. Native only.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, mut progress: impl FnMut(usize, usize)) -> Result<()> {
        while !self.pump(Duration::from_millis(100))? {
            let (done, of) = self.progress();
            progress(done, of);
            self.gpu.wait();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterChoice;

    fn variants(lanes: u32) -> Variants {
        Variants {
            subgroup_lanes: lanes,
            ..Variants::default()
        }
    }

    #[test]
    fn a_table_comes_back_from_json_and_so_does_what_was_saved_before_there_were_classes() {
        let uniform = VariantTable::from(variants(8));
        let old = json!(variants(8));
        assert_eq!(json!(uniform), old);
        assert_eq!(
            serde_json::from_value::<VariantTable>(old).expect("a table"),
            uniform
        );
        let mut mixed = uniform;
        mixed.0[ShapeClass::WideSmall.index()] = variants(0);
        let back: VariantTable = serde_json::from_value(json!(mixed)).expect("a table");
        assert_eq!(back, mixed);
        assert_eq!(back.get(ShapeClass::WideSmall), variants(0));
        assert!(
            mixed.to_string().contains("above 64 channels, up to 8x8: "),
            "{mixed}"
        );
    }

    #[test]
    fn the_default_stays_unless_another_is_clearly_faster() {
        let choose = |default: &[f64], other: &[f64]| {
            let rounds = vec![
                (variants(8), default.to_vec()),
                (variants(0), other.to_vec()),
            ];
            Choice::among(rounds).expect("a choice").variants
        };
        assert_eq!(choose(&[1.0, 1.0], &[0.99, 0.99]), variants(8));
        assert_eq!(choose(&[1.0, 1.0], &[0.9, 0.9]), variants(0));
        assert_eq!(choose(&[1.0, 1.0], &[2.0, 2.0]), variants(8));
        // It was fast once, or the default was slow once.
        assert_eq!(choose(&[1.0, 1.0], &[0.5, 1.0]), variants(8));
        assert_eq!(choose(&[2.0, 1.0], &[1.0, 1.0]), variants(8));
        // It sat out.
        assert_eq!(choose(&[1.0, 1.0], &[0.5]), variants(8));
    }

    #[test]
    fn what_is_measured_is_used_remembered_and_taken_back_only_whole() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let mut tuner = Tuner::new(&gpu, &[ShapeClass::NarrowSmall], false);
        tuner.run(|_, _| {}).expect("a choice");
        let found = Choices::of(&gpu);
        let choice = found.0[&ShapeClass::NarrowSmall].clone();
        assert!(choice.measured.iter().all(|m| m.1 > 0.0), "{choice:?}");
        assert!(!choice.why().is_empty());
        assert_eq!(
            VariantTable::of(&gpu).get(ShapeClass::NarrowSmall),
            choice.variants
        );
        assert_eq!(Tuner::new(&gpu, &[ShapeClass::NarrowSmall], false).of, 0);

        let others = json!({"other | adapter": 1, format!("x | {}", env!("CARGO_PKG_VERSION")): 2});
        let kept = merged(Some(&others), &document(&gpu));
        assert_eq!(kept.as_object().map(serde_json::Map::len), Some(2));
        let second = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        assert_eq!(restore(&second, &kept), Ok(true));
        assert_eq!(Choices::of(&second), found);

        let third = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        assert!(restore(&third, &json!([])).is_err());
        assert_eq!(restore(&third, &json!({})), Ok(false));
        let mut damaged = kept.clone();
        damaged[key(&third)]["narrow-small"]["variants"]["subgroup_lanes"] = json!(77);
        assert!(restore(&third, &damaged).is_err());
        assert!(Choices::of(&third).is_empty());
    }
}

//! The settings of a run, as they are shown.

use egui::{Align, DragValue, Layout, Ui};
use noiselab::{
    data::Dataset,
    diffusion::{Objective, loss_weight::LossType, schedule::SCHEDULES},
    nn::plan::Precision,
    session::{
        budget::BudgetPlan,
        command::{LiveSettings, PreviewSettings, StopAt, TrainSpec},
        config::{PRESETS, Preset},
    },
};

use crate::ui::{
    strings::{forward::schedule_name, training as s},
    theme,
    widgets::{combo, drag, hint, log_slider, segmented, toggle, warning},
};

/// Memory budgets that can be chosen.
const GIGABYTES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

/// A loss as it is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LossKind {
    Simple,
    Vlb,
    Hybrid,
}

/// What the next run is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Index into [`PRESETS`].
    preset: usize,
    batch: usize,
    seed: u64,
    schedule: String,
    timesteps: usize,
    objective: Objective,
    loss: LossKind,
    vlb_weight: f64,
    /// Whether memory is limited, and to how many GB.
    limited: bool,
    gigabytes: f64,
    precision: Precision,
    /// What can change while it runs, as it is at the start.
    pub live: LiveSettings,
    /// When it stops.
    pub stop: Stop,
}

impl Default for Setup {
    fn default() -> Self {
        let mut setup = Self {
            preset: 0,
            batch: 0,
            seed: 0,
            schedule: String::new(),
            timesteps: 0,
            objective: Objective::Epsilon,
            loss: LossKind::Simple,
            vlb_weight: 0.001,
            limited: false,
            gigabytes: 1.0,
            precision: Precision::F32,
            live: LiveSettings {
                lr: 0.0,
                ema_decay: 0.0,
                preview: PreviewSettings::default(),
            },
            stop: Stop::default(),
        };
        setup.set_preset(0);
        setup
    }
}

impl Setup {
    /// What the next run's network is to predict.
    pub const fn objective(&self) -> Objective {
        self.objective
    }

    /// The preset's name.
    pub fn preset(&self) -> Option<&'static Preset> {
        PRESETS.get(self.preset)
    }

    /// Takes the settings of the preset of that name over; nothing happens if there is none.
    pub fn set_preset_by_name(&mut self, name: &str) {
        if let Some(i) = PRESETS.iter().position(|p| p.name == name) {
            self.set_preset(i);
        }
    }

    fn set_preset(&mut self, i: usize) {
        let Some(preset) = PRESETS.get(i) else { return };
        let config = (preset.make)(28, 1);
        self.preset = i;
        self.batch = config.batch;
        self.seed = config.seed;
        self.schedule = config.scheduler.beta_schedule;
        self.timesteps = config.scheduler.num_train_timesteps;
        self.objective = config.scheduler.prediction_type;
        (self.loss, self.vlb_weight) = match config.loss {
            LossType::Simple => (LossKind::Simple, self.vlb_weight),
            LossType::Vlb => (LossKind::Vlb, self.vlb_weight),
            LossType::Hybrid { vlb_weight } => (LossKind::Hybrid, vlb_weight),
        };
        self.live.lr = config.lr.base;
        self.live.ema_decay = config.ema_decay;
        self.stop.steps = preset.steps;
    }

    /// The run to be started on a data set.
    pub fn spec(&self, data: &Dataset) -> Option<TrainSpec> {
        let mut config = self.preset()?.for_data(data);
        config.batch = self.batch;
        config.seed = self.seed;
        config.scheduler.beta_schedule.clone_from(&self.schedule);
        config.scheduler.num_train_timesteps = self.timesteps;
        config.scheduler.prediction_type = self.objective;
        config.loss = match self.loss {
            LossKind::Simple => LossType::Simple,
            LossKind::Vlb => LossType::Vlb,
            LossKind::Hybrid => LossType::Hybrid {
                vlb_weight: self.vlb_weight,
            },
        };
        config.lr.base = self.live.lr;
        config.ema_decay = self.live.ema_decay;
        config.precision = self.precision;
        Some(TrainSpec {
            config,
            preview: self.live.preview,
            stop: self.stop.at(),
            memory_budget: self.limited.then_some((1e9 * self.gigabytes) as u64),
        })
    }

    /// What decides on the memory of the run to be started, if it is limited: the same whatever else is chosen.
    pub fn memory_spec(&self, data: &Dataset) -> Option<TrainSpec> {
        let usual = Self::default();
        let same = Self {
            seed: usual.seed,
            live: LiveSettings {
                preview: self.live.preview,
                ..usual.live
            },
            stop: usual.stop,
            ..self.clone()
        };
        same.spec(data).filter(|s| s.memory_budget.is_some())
    }

    /// The memory budget as addresses have it.
    pub fn budget(&self) -> Option<String> {
        self.limited.then(|| format!("{}GB", self.gigabytes))
    }

    /// Takes over what [`Setup::budget`] wrote; anything else is left out.
    pub fn set_budget(&mut self, text: &str) {
        let number = text.strip_suffix("GB").and_then(|n| n.parse::<f64>().ok());
        if let Some(gigabytes) = number.filter(|n| GIGABYTES.contains(n)) {
            self.limited = true;
            self.gigabytes = gigabytes;
        }
    }

    /// The precision as addresses have it, if it is not the usual one.
    pub fn precision(&self) -> Option<String> {
        (self.precision != Precision::default()).then(|| self.precision.to_string())
    }

    /// Takes over what [`Setup::precision`] wrote; anything else is left out.
    pub fn set_precision(&mut self, text: &str) {
        if let Ok(precision) = text.parse() {
            self.precision = precision;
        }
    }

    /// Preset, batch and seed, and the rest folded. `plan` says how the run fits its memory budget, once that is known;
    /// `f16` whether the device has 16-bit numbers.
    pub fn ui(&mut self, ui: &mut Ui, plan: Option<&Result<BudgetPlan, String>>, f16: bool) {
        let names: Vec<(usize, &str)> = (PRESETS.iter().enumerate())
            .map(|(i, p)| (i, p.name))
            .collect();
        let mut preset = self.preset;
        segmented(ui, s::PRESET, s::PRESET_HELP, &mut preset, &names);
        if preset != self.preset {
            self.set_preset(preset);
        }
        if let Some(preset) = self.preset() {
            hint(ui, preset.summary);
        }
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = theme::PAD;
            drag(ui, &mut self.batch, 1..=1024, s::BATCH, s::BATCH_HELP);
            drag(ui, &mut self.seed, 0..=999_999_999, s::SEED, s::SEED_HELP);
        });
        egui::CollapsingHeader::new(s::MORE)
            .id_salt("more")
            .show_unindented(ui, |ui| {
                self.more(ui);
                self.memory(ui);
                self.halves(ui, f16);
            });
        if self.limited {
            match plan {
                None => hint(ui, s::BUDGET_PLANNING),
                Some(Ok(plan)) if plan.fits() => hint(ui, &s::budget(plan)),
                Some(Ok(plan)) => warning(ui, &s::budget(plan)),
                Some(Err(why)) => warning(ui, why),
            };
        }
    }

    fn memory(&mut self, ui: &mut Ui) {
        condition(
            ui,
            (&mut self.limited, s::BUDGET),
            DragValue::new(&mut self.gigabytes)
                .range(GIGABYTES)
                .speed(0.01)
                .max_decimals(2)
                .suffix(" GB"),
            s::BUDGET_VALUE,
            s::BUDGET_HELP,
        );
    }

    fn halves(&mut self, ui: &mut Ui, there: bool) {
        let mut on = self.precision == Precision::F16;
        let choice = ui.add_enabled_ui(there || on, |ui| toggle(ui, &mut on, s::F16, s::F16_HELP));
        choice.inner.on_disabled_hover_text(s::F16_MISSING);
        self.precision = if on { Precision::F16 } else { Precision::F32 };
    }

    fn more(&mut self, ui: &mut Ui) {
        let schedules: Vec<(String, &str)> = SCHEDULES
            .iter()
            .map(|rule| (rule.name().to_owned(), schedule_name(rule.name())))
            .collect();
        combo(
            ui,
            "schedule",
            s::SCHEDULE,
            s::SCHEDULE_HELP,
            &mut self.schedule,
            &schedules,
        );
        log_slider(ui, &mut self.timesteps, 1..=4000, s::T, s::T_HELP);
        let objectives = Objective::ALL.map(|o| {
            let name = match o {
                Objective::Epsilon => s::EPSILON,
                Objective::Sample => s::SAMPLE,
                Objective::VPrediction => s::V,
            };
            (o, name)
        });
        combo(
            ui,
            "objective",
            s::OBJECTIVE,
            s::OBJECTIVE_HELP,
            &mut self.objective,
            &objectives,
        );
        let losses = [
            (LossKind::Simple, s::SIMPLE),
            (LossKind::Vlb, s::VLB),
            (LossKind::Hybrid, s::HYBRID),
        ];
        combo(
            ui,
            "loss kind",
            s::LOSS_KIND,
            s::LOSS_KIND_HELP,
            &mut self.loss,
            &losses,
        );
        if self.loss == LossKind::Hybrid {
            ui.set_max_width(ui.available_width() - 16.0);
            log_slider(
                ui,
                &mut self.vlb_weight,
                1e-5..=1.0,
                s::VLB_WEIGHT,
                s::VLB_WEIGHT_HELP,
            );
        }
    }
}

/// Steps that a decay looks back.
fn steps_of(decay: f64) -> u64 {
    (1.0 / (1.0 - decay).max(1e-6)).round() as u64
}

/// Controls of what can change while it runs; true if something did.
pub fn live_ui(ui: &mut Ui, live: &mut LiveSettings) -> bool {
    let before = *live;
    ui.scope(|ui| {
        // Its number has more digits than those of other sliders.
        ui.set_max_width(ui.available_width() - 16.0);
        log_slider(ui, &mut live.lr, 1e-6..=1e-1, s::LR, s::LR_HELP);
    });
    let was = steps_of(live.ema_decay);
    let mut steps = was;
    log_slider(ui, &mut steps, 1..=100_000, s::EMA, s::EMA_HELP);
    if steps != was {
        live.ema_decay = 1.0 - 1.0 / steps.max(1) as f64;
    }
    hint(ui, &s::decay(live.ema_decay));
    let preview = &mut live.preview;
    drag(ui, &mut preview.every, 0..=100_000, s::EVERY, s::EVERY_HELP);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::PAD;
        drag(ui, &mut preview.count, 1..=64, s::COUNT, s::COUNT_HELP);
        drag(
            ui,
            &mut preview.steps,
            1..=200,
            s::SAMPLE_STEPS,
            s::SAMPLE_STEPS_HELP,
        );
    });
    *live != before
}

/// When a run stops, as it is shown: switched off, a condition keeps its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    by_steps: bool,
    steps: u64,
    by_minutes: bool,
    minutes: f64,
    by_loss: bool,
    loss: f64,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            by_steps: true,
            steps: 2_000,
            by_minutes: false,
            minutes: 10.0,
            by_loss: false,
            loss: 0.03,
        }
    }
}

impl Stop {
    /// The same numbers, none of them in force.
    pub fn off(self) -> Self {
        Self {
            by_steps: false,
            by_minutes: false,
            by_loss: false,
            ..self
        }
    }

    /// As the session takes it.
    pub fn at(&self) -> StopAt {
        StopAt {
            steps: self.by_steps.then_some(self.steps),
            seconds: self.by_minutes.then_some(60.0 * self.minutes),
            loss: self.by_loss.then_some(self.loss as f32),
        }
    }

    /// Its controls; true if something changed.
    pub fn ui(&mut self, ui: &mut Ui) -> bool {
        let before = self.at();
        hint(ui, s::STOP);
        condition(
            ui,
            (&mut self.by_steps, s::STOP_STEPS),
            DragValue::new(&mut self.steps)
                .range(1..=10_000_000)
                .speed(10.0),
            s::STOP_STEPS_VALUE,
            s::STOP_STEPS_HELP,
        );
        condition(
            ui,
            (&mut self.by_minutes, s::STOP_MINUTES),
            DragValue::new(&mut self.minutes)
                .range(0.1..=100_000.0)
                .speed(0.5)
                .max_decimals(1),
            s::STOP_MINUTES_VALUE,
            s::STOP_MINUTES_HELP,
        );
        condition(
            ui,
            (&mut self.by_loss, s::STOP_LOSS),
            DragValue::new(&mut self.loss)
                .range(1e-5..=10.0)
                .speed(0.001)
                .max_decimals(5),
            s::STOP_LOSS_VALUE,
            s::STOP_LOSS_HELP,
        );
        before != self.at()
    }
}

/// A switch with its number beside it.
fn condition(
    ui: &mut Ui,
    (on, label): (&mut bool, &str),
    value: DragValue<'_>,
    name: &str,
    help: &str,
) {
    ui.horizontal(|ui| {
        toggle(ui, on, label, help);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_enabled(*on, value)
                .accessible_name(name)
                .on_hover_text(help);
        });
    });
}

//! The room's controls pressed, its commands checked, its views fed.

use std::sync::Arc;

use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use noiselab::{
    gpu::Gpu,
    nn::plan::Precision,
    session::{
        budget::Checkpointed,
        command::{DataChoice, PreviewSettings, StopAt, TrainSpec},
        config::{PRESETS, preset},
        event::Preview,
        trainer::StepReport,
    },
};

use super::*;
use crate::ui::panels::testing::{Stage, data, film, lit_stage, stage};

const WIDE: [f32; 2] = [1130.0, 2000.0];

type Room = Harness<'static, Stage<Training>>;

/// The training commands sent since the last call.
fn commands(harness: &Room) -> Vec<TrainCommand> {
    harness
        .state()
        .sent()
        .into_iter()
        .map(|command| match command {
            Command::Train(command) => command,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The only one.
fn command(harness: &Room) -> TrainCommand {
    let mut all = commands(harness);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn press(harness: &mut Room, label: &str) {
    harness.get_by_label(label).click();
    harness.run();
}

fn tell(harness: &mut Room, event: TrainEvent) {
    harness.state().tell(Event::Train(event));
    harness.run();
}

/// A room with a data set.
fn room() -> Room {
    let mut harness = stage(Training::default(), WIDE);
    harness.state().tell(Event::Data(data(8, 1, 60)));
    harness.run();
    harness
}

fn spec(harness: &Room) -> TrainSpec {
    match command(harness) {
        TrainCommand::Start(spec) => *spec,
        other => panic!("{other:?}"),
    }
}

pub fn opened(config: TrainConfig, step: u64, history: Vec<(u64, f32)>) -> TrainEvent {
    TrainEvent::Opened {
        config: Box::new(config),
        parameters: 123_456,
        step,
        history,
        preview: PreviewSettings::default(),
    }
}

pub fn stepped(step: u64) -> TrainEvent {
    let jitter = ((step * 7919) % 101) as f32 / 101.0;
    let loss = 0.03 + 0.9 * (-(step as f32) / 150.0).exp() + 0.02 * jitter;
    let report = StepReport {
        step,
        loss,
        mse: loss,
        vlb: 0.0,
        grad_norm: 0.2 + 3.0 * loss + jitter,
        lr: 1e-3 * (step as f64 / 100.0).min(1.0),
        ema_decay: 0.9,
        samples: (0..16)
            .map(|i| {
                let t = (i * 1000 / 16 + (step as u32 * 37) % 60).min(999);
                (t, 0.02 + 0.5 * (-(t as f32) / 120.0).exp() + 0.02 * jitter)
            })
            .collect(),
    };
    let figures = TrainFigures {
        images_per_second: 412.3,
        step_seconds: 0.0388,
        seconds: step as f64 * 0.04,
        device_bytes: 183 << 20,
        left_seconds: Some(95.0),
    };
    TrainEvent::Step(report, figures)
}

/// A grid of `count` made-up samples with 11 frames.
pub fn preview(gpu: &Arc<Gpu>, side: usize, count: usize, step: u64) -> Preview {
    let grid = |skill: f32| {
        let frames: Vec<Vec<Vec<f32>>> = (0..11)
            .map(|k| {
                (0..count)
                    .map(|n| {
                        let mut noise = vec![0.0; side * side];
                        let draw = noiselab::rng::Draw {
                            seed: n as u64,
                            stream: 0,
                            step: 0,
                            sample: 0,
                        };
                        noiselab::rng::fill_normal(draw, &mut noise);
                        let share = skill * k as f32 / 10.0;
                        (0..side * side)
                            .map(|p| {
                                let (x, y) = ((p % side) as f32, (p / side) as f32);
                                let c = side as f32 / 2.0;
                                let ring = ((x - c).hypot(y - c) - c * 0.3 - n as f32 * 0.3).abs();
                                let shape = if ring < 2.0 { 1.0 } else { -1.0 };
                                share * shape + (1.0 - share) * noise[p]
                            })
                            .collect()
                    })
                    .collect()
            })
            .collect();
        film(gpu, [side, side, 1], 4, &frames)
    };
    let raw = (step as f32 / 300.0).min(0.95);
    Preview {
        step,
        raw: grid(raw),
        averaged: grid(raw * raw),
    }
}

/// A room in which a run is open, as after a press on Start.
fn running() -> Room {
    let mut harness = room();
    press(&mut harness, s::START);
    let config = spec(&harness).config;
    tell(&mut harness, opened(config, 0, Vec::new()));
    tell(&mut harness, TrainEvent::Status(TrainStatus::Running));
    harness
}

#[test]
fn every_preset_starts_with_its_own_settings() {
    for preset in PRESETS {
        let mut harness = room();
        press(&mut harness, preset.name);
        harness.get_by_label(preset.summary);
        press(&mut harness, s::START);
        let spec = spec(&harness);
        let mut expected = (preset.make)(8, 1);
        expected.dataset = "squares".into();
        assert_eq!(spec.config, expected, "{}", preset.name);
        assert_eq!(spec.stop.steps, Some(preset.steps));
        assert_eq!(spec.preview, PreviewSettings::default());
        assert!(harness.query_by_label(s::START).is_none(), "one is enough");
        harness.get_by_label(s::PREPARING);
    }
}

#[test]
fn nothing_starts_without_data() {
    let mut harness = stage(Training::default(), WIDE);
    harness.run();
    press(&mut harness, s::START);
    assert!(commands(&harness).is_empty());
}

#[test]
fn settings_reach_the_run() {
    let mut harness = room();
    let slider = |harness: &mut Room, label: &str, value: f64| {
        harness
            .get_by_role_and_label(egui::Role::Slider, label)
            .set_value_accesskit(value);
        harness.run();
    };
    let number = |harness: &mut Room, label: &str, value: f64| {
        harness
            .get_by_role_and_label(egui::Role::SpinButton, label)
            .set_value_accesskit(value);
        harness.run();
    };
    let option = |harness: &mut Room, label: &str, value: &str| {
        harness
            .get_by_role_and_label(egui::Role::ComboBox, label)
            .click();
        harness.run();
        press(harness, value);
    };
    press(&mut harness, s::MORE);
    number(&mut harness, s::BATCH, 7.0);
    number(&mut harness, s::SEED, 42.0);
    option(&mut harness, s::SCHEDULE, "Sigmoid");
    slider(&mut harness, s::T, 400.0);
    option(&mut harness, s::OBJECTIVE, s::V);
    option(&mut harness, s::LOSS_KIND, s::HYBRID);
    slider(&mut harness, s::VLB_WEIGHT, 0.01);
    slider(&mut harness, s::LR, 0.01);
    slider(&mut harness, s::EMA, 50.0);
    number(&mut harness, s::EVERY, 20.0);
    number(&mut harness, s::COUNT, 4.0);
    number(&mut harness, s::SAMPLE_STEPS, 5.0);
    press(&mut harness, s::STOP_STEPS);
    press(&mut harness, s::STOP_MINUTES);
    number(&mut harness, s::STOP_MINUTES_VALUE, 3.0);
    press(&mut harness, s::STOP_LOSS);
    number(&mut harness, s::STOP_LOSS_VALUE, 0.05);
    assert!(commands(&harness).is_empty(), "there is no run yet");
    press(&mut harness, s::START);
    let TrainSpec {
        config,
        preview,
        stop,
        memory_budget,
    } = spec(&harness);
    assert_eq!(memory_budget, None);
    assert_eq!((config.batch, config.seed), (7, 42));
    assert_eq!(config.scheduler.beta_schedule, "sigmoid");
    assert_eq!(config.scheduler.num_train_timesteps, 400);
    assert_eq!(config.scheduler.prediction_type, Objective::VPrediction);
    let noiselab::diffusion::loss_weight::LossType::Hybrid { vlb_weight } = config.loss else {
        panic!("{:?}", config.loss);
    };
    assert!((vlb_weight - 0.01).abs() < 1e-6, "{vlb_weight}");
    assert!((config.lr.base - 0.01).abs() < 1e-6, "{}", config.lr.base);
    assert_eq!(config.ema_decay, 0.98);
    assert_eq!((preview.every, preview.count, preview.steps), (20, 4, 5));
    assert_eq!(
        (stop.steps, stop.seconds, stop.loss),
        (None, Some(180.0), Some(0.05))
    );
}

#[test]
fn feature_maps_of_16_bits_are_for_devices_that_have_them() {
    let mut harness = room();
    press(&mut harness, s::MORE);
    assert!(harness.get_by_label(s::F16).accesskit_node().is_disabled());
    harness.state_mut().shared.f16 = true;
    harness.run();
    press(&mut harness, s::F16);
    let stage = harness.state();
    let address = stage.room.address(&stage.shared);
    assert!(
        address.contains(&("precision", "f16".into())),
        "{address:?}"
    );
    press(&mut harness, s::START);
    assert_eq!(spec(&harness).config.precision, Precision::F16);

    // An address of another device asks for what this one lacks: it can be taken back.
    let mut harness = room();
    let stage = harness.state_mut();
    for value in ["f64", "f16"] {
        stage
            .room
            .set_address("precision", value, &mut stage.shared);
    }
    harness.run();
    press(&mut harness, s::MORE);
    press(&mut harness, s::F16);
    press(&mut harness, s::START);
    assert_eq!(spec(&harness).config.precision, Precision::F32);
}

#[test]
fn a_memory_budget_is_planned_told_and_started_with() {
    let mut harness = room();
    let stage = harness.state_mut();
    stage
        .room
        .set_address("budget", "nonsense", &mut stage.shared);
    assert_eq!(stage.room.address(&stage.shared).len(), 1);
    stage.room.set_address("budget", "0.5GB", &mut stage.shared);
    let address = stage.room.address(&stage.shared);
    assert!(address.contains(&("budget", "0.5GB".into())), "{address:?}");
    harness.run();
    let planned = |harness: &Room| match command(harness) {
        TrainCommand::Plan(spec) => spec,
        other => panic!("{other:?}"),
    };
    assert_eq!(planned(&harness).memory_budget, Some(500_000_000));
    harness.get_by_label(s::BUDGET_PLANNING);
    press(&mut harness, s::MORE);
    let set = |harness: &mut Room, value: f64| {
        harness
            .get_by_role_and_label(egui::Role::SpinButton, s::BUDGET_VALUE)
            .set_value_accesskit(value);
        harness.run();
    };
    set(&mut harness, 0.25);
    assert!(commands(&harness).is_empty(), "one question at a time");
    let ample = BudgetPlan {
        budget: 500_000_000,
        whole: 300_000_000,
        checkpointed: None,
    };
    tell(&mut harness, TrainEvent::Planned(Ok(ample)));
    let again = planned(&harness);
    assert_eq!(again.memory_budget, Some(250_000_000));
    harness.get_by_label(s::BUDGET_PLANNING);
    let tight = BudgetPlan {
        budget: 250_000_000,
        checkpointed: Some(Checkpointed {
            total: 200_000_000,
            recomputed: (9, 11),
            operations: 1.29,
            smaller_batch: None,
        }),
        ..ample
    };
    tell(&mut harness, TrainEvent::Planned(Ok(tight)));
    harness.get_by_label_contains("200 MB at most instead of 300 MB: 9 of 11 blocks");
    harness.get_by_label_contains("29 % more operations");
    // What does not matter to memory asks nothing.
    harness
        .get_by_role_and_label(egui::Role::SpinButton, s::SEED)
        .set_value_accesskit(5.0);
    harness.run();
    assert!(commands(&harness).is_empty());
    let short = BudgetPlan {
        checkpointed: Some(Checkpointed {
            smaller_batch: Some(3),
            ..tight.checkpointed.unwrap()
        }),
        budget: 100_000_000,
        ..tight
    };
    set(&mut harness, 0.1);
    planned(&harness);
    tell(&mut harness, TrainEvent::Planned(Ok(short)));
    harness.get_by_label_contains("a batch of 3 would fit");
    press(&mut harness, s::START);
    assert_eq!(spec(&harness).memory_budget, Some(100_000_000));
}

#[test]
fn the_buttons_follow_the_status() {
    let mut harness = running();
    press(&mut harness, s::STEP);
    assert!(commands(&harness).is_empty(), "a step only from rest");
    press(&mut harness, s::PAUSE);
    assert!(matches!(command(&harness), TrainCommand::Pause));
    let reason = "the loss fell below 0.03";
    tell(
        &mut harness,
        TrainEvent::Status(TrainStatus::Paused(Some(reason.into()))),
    );
    harness.get_by_label(&s::paused(reason));
    press(&mut harness, s::STEP);
    assert!(matches!(command(&harness), TrainCommand::Step));
    press(&mut harness, s::RESUME);
    assert!(matches!(command(&harness), TrainCommand::Resume));
    press(&mut harness, s::SAVE);
    assert!(matches!(
        command(&harness),
        TrainCommand::Save { auto: false }
    ));
    press(&mut harness, s::PREVIEW);
    assert!(matches!(command(&harness), TrainCommand::Preview));
}

#[test]
fn what_is_live_goes_to_the_run_and_not_to_the_next_one() {
    let mut harness = running();
    harness
        .get_by_role_and_label(egui::Role::Slider, s::LR)
        .set_value_accesskit(0.02);
    harness.run();
    let TrainCommand::Live(live) = command(&harness) else {
        panic!("no settings");
    };
    assert!((live.lr - 0.02).abs() < 1e-6, "{}", live.lr);
    assert_eq!(live.ema_decay, 0.999);
    press(&mut harness, s::STOP_STEPS);
    let TrainCommand::StopAt(stop) = command(&harness) else {
        panic!("no condition");
    };
    assert_eq!(stop, StopAt::default());
    let (setup, own) = (&harness.state().room.setup, preset("tiny").expect("tiny"));
    assert_eq!(setup.live.lr, (own.make)(8, 1).lr.base);
    assert_eq!(setup.stop.at().steps, Some(own.steps));

    // The next run's settings are no command.
    press(&mut harness, "digits");
    harness.get_by_label(s::NEXT_RUN_HINT);
    assert!(commands(&harness).is_empty());
}

#[test]
fn unsaved_steps_are_not_lost_by_one_click() {
    let mut harness = running();
    for step in 1..=5 {
        tell(&mut harness, stepped(step));
    }
    press(&mut harness, s::CLOSE);
    assert!(commands(&harness).is_empty());
    harness.get_by_label(&s::unsaved(5, None));
    press(&mut harness, s::KEEP);
    assert!(harness.query_by_label(s::CONFIRM_CLOSE).is_none());
    press(&mut harness, s::START_ANEW);
    assert!(commands(&harness).is_empty());
    press(&mut harness, s::CONFIRM_START);
    assert_eq!(spec(&harness).config.dataset, "squares");

    let config = (PRESETS[0].make)(8, 1);
    tell(&mut harness, opened(config, 0, Vec::new()));
    tell(&mut harness, stepped(1));
    let saved = |step, auto| TrainEvent::Saved {
        step,
        bytes: Arc::from([0_u8; 4]),
        auto,
    };
    tell(&mut harness, saved(1, true));
    harness.get_by_label(&s::saved(1, true));
    press(&mut harness, s::CLOSE);
    assert!(
        commands(&harness).is_empty(),
        "the autosave is not the user's"
    );
    press(&mut harness, s::CONFIRM_CLOSE);
    assert!(matches!(command(&harness), TrainCommand::Close));
    tell(&mut harness, saved(1, false));
    press(&mut harness, s::CLOSE);
    assert!(matches!(command(&harness), TrainCommand::Close));
    tell(&mut harness, TrainEvent::Status(TrainStatus::None));
    harness.get_by_label(s::START);
}

#[test]
fn a_failure_is_told_by_the_buttons_until_it_runs() {
    let mut harness = room();
    press(&mut harness, s::START);
    let _ = spec(&harness);
    let message = "the batch needs more memory than there is; use a smaller one";
    harness.state().tell(Event::Failed {
        job: Job::Training,
        message: message.into(),
    });
    tell(&mut harness, TrainEvent::Status(TrainStatus::None));
    harness.get_by_label(message);
    press(&mut harness, s::START);
    assert!(harness.query_by_label(message).is_none());
}

#[test]
fn a_refused_start_does_not_leave_the_room_waiting() {
    let mut harness = room();
    press(&mut harness, s::START);
    let _ = spec(&harness);
    harness.state().tell(Event::Failed {
        job: Job::Training,
        message: "no".into(),
    });
    harness.run();
    harness.get_by_label(s::START);
}

#[test]
fn plots_fill_and_start_afresh_with_a_run() {
    let mut harness = running();
    harness.get_by_label(s::loss_empty(Objective::Epsilon));
    for step in 1..=40 {
        harness.state().tell(Event::Train(stepped(step)));
    }
    harness.run();
    assert!(
        harness
            .query_by_label(s::loss_empty(Objective::Epsilon))
            .is_none()
    );
    for text in [
        s::step_of(40, Some(2_000)),
        s::step_time(0.0388),
        s::memory(183 << 20),
        s::duration(95.0),
        "412".to_owned(),
    ] {
        harness.get_by_label(&text);
    }
    harness.get_by_label(s::BY_T_HINT);
    let mut config = (PRESETS[0].make)(8, 1);
    config.scheduler.prediction_type = Objective::Sample;
    tell(
        &mut harness,
        opened(config, 500, vec![(100, 0.5), (500, 0.1)]),
    );
    let curves = &harness.state().room.curves;
    let points: Vec<[f64; 2]> = curves.loss.points().collect();
    assert_eq!(
        points.iter().map(|p| p[0]).collect::<Vec<_>>(),
        [100.0, 500.0]
    );
    assert_eq!(curves.gradient.points().count(), 0);
    harness.get_by_label(s::BY_T_HINT_OTHER);
    let card = harness.state().room.card().expect("a card");
    assert!(std::ptr::eq(card, &cards::TRAINING_X0));
}

#[test]
fn grids_are_kept_and_scrubbed() {
    let (mut harness, gpu) = lit_stage(Training::default(), WIDE, egui::Theme::Light);
    harness.state().tell(Event::Data(data(8, 1, 60)));
    harness.run();
    harness.get_by_label(&s::samples_empty(100));
    tell(&mut harness, opened((PRESETS[0].make)(8, 1), 0, Vec::new()));
    tell(&mut harness, TrainEvent::Status(TrainStatus::Running));
    for step in [100, 200, 300] {
        tell(&mut harness, TrainEvent::Preview(preview(&gpu, 8, 4, step)));
    }
    harness.get_by_label(&s::grid_name(s::RAW, 300));
    harness.get_by_label(&s::grid_name(s::AVERAGED, 300));
    let set = |harness: &mut Room, label: &str, value: f64| {
        harness
            .get_by_role_and_label(egui::Role::Slider, label)
            .set_value_accesskit(value);
        harness.run();
    };
    set(&mut harness, s::LAPSE_STEP, 0.0);
    harness.get_by_label(&s::grid_name(s::RAW, 100));
    tell(&mut harness, TrainEvent::Preview(preview(&gpu, 8, 4, 400)));
    harness.get_by_label(&s::grid_name(s::RAW, 100));
    set(&mut harness, s::LAPSE_FRAME, 4.0);
    assert_eq!(harness.state().room.lapse.frame(), 4);
    press(&mut harness, &s::small_name(200));
    harness.get_by_label(&s::grid_name(s::AVERAGED, 200));
    press(&mut harness, s::FOLLOW);
    harness.get_by_label(&s::grid_name(s::RAW, 400));
    tell(&mut harness, TrainEvent::Preview(preview(&gpu, 8, 4, 500)));
    harness.get_by_label(&s::grid_name(s::RAW, 500));
    assert!(commands(&harness).is_empty());
}

#[test]
fn data_sets_are_opened_and_failures_told() {
    let mut harness = room();
    harness.get_by_label(&s::about_data(60, 8, 8, 1));
    press(&mut harness, s::DATA);
    press(&mut harness, BUILT_IN[1].title);
    let sent = harness.state().sent();
    let [Command::OpenData(DataChoice::BuiltIn { name, asset: None })] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(name, BUILT_IN[1].name);
    harness.get_by_label(s::OPENING_DATA);
    press(&mut harness, s::START);
    assert!(commands(&harness).is_empty(), "not on the old data set");
    harness.state().tell(Event::Failed {
        job: Job::Data,
        message: "it is damaged".into(),
    });
    harness.run();
    harness.get_by_label("it is damaged");
    harness.get_by_label(&s::about_data(60, 8, 8, 1));
    press(&mut harness, s::START);
    assert_eq!(spec(&harness).config.dataset, "squares");
}

#[test]
fn the_address_names_the_preset() {
    let mut harness = room();
    let Stage { room, shared, .. } = harness.state_mut();
    room.set_address("preset", "digits", shared);
    room.set_address("preset", "nonsense", shared);
    assert_eq!(room.address(shared), [("preset", "digits".to_owned())]);
}

#[test]
fn a_restored_run_shows_its_own_settings() {
    let mut harness = room();
    let own = PreviewSettings {
        every: 33,
        ..PreviewSettings::default()
    };
    let config = (preset("tiny").expect("tiny").make)(8, 1);
    let event = TrainEvent::Opened {
        config: Box::new(config),
        parameters: 123_456,
        step: 7,
        history: Vec::new(),
        preview: own,
    };
    tell(&mut harness, event);
    tell(&mut harness, TrainEvent::Status(TrainStatus::Paused(None)));
    harness.get_by_label(&s::loss_not_kept(7));
    harness
        .get_by_role_and_label(egui::Role::SpinButton, s::COUNT)
        .set_value_accesskit(4.0);
    harness.run();
    let TrainCommand::Live(live) = command(&harness) else {
        panic!("nothing was changed");
    };
    assert_eq!((live.preview.every, live.preview.count), (33, 4));
}

//! Training through the library.

use std::{path::Path, sync::Arc};

use noiselab::{
    Error,
    data::{self, Dataset, LoadOptions},
    diffusion::loss_weight::LossType,
    nn::plan::Precision,
    session::{
        TrainError, checkpoint,
        config::{self, TrainConfig},
        heldout::HeldOut,
        run::{
            HELD_OUT_FILE, LOG_FILE, LOSS_BY_T_FILE, Outcome, Run, RunEvent, RunOptions, RunStart,
            SAMPLES_FILE, SavedRun, StopSignal,
        },
        trainer::{Start, StepReport, Trainer},
    },
};

use crate::support::{columns, config, contents, dataset, discs, gpu};

fn trainer(config: &TrainConfig, data: &Arc<Dataset>) -> Trainer {
    let (gpu, data) = (gpu(), Arc::clone(data));
    Trainer::new(&gpu, config.clone(), data, &Start::Random, &mut |_, _| {}).expect("a trainer")
}

fn train(trainer: &mut Trainer, until: u64) -> Vec<StepReport> {
    let mut reports = Vec::new();
    while trainer.step() < until || !trainer.is_settled() {
        reports.extend(trainer.pump(until).expect("a step"));
        trainer.wait();
    }
    reports
}

fn losses(config: &TrainConfig, data: &Arc<Dataset>, steps: u64) -> Vec<f32> {
    let mut trainer = trainer(config, data);
    train(&mut trainer, steps).iter().map(|r| r.loss).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let data = dataset(8, 1);
    let mut config = config(8, 1);
    config.unet.dropout = 0.2;
    config.flip = 0.5;
    let first = losses(&config, &data, 4);
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(|l| l.is_finite() && *l > 0.0), "{first:?}");
    assert_eq!(bits(&first), bits(&losses(&config, &data, 4)));
    config.seed += 1;
    assert_ne!(bits(&first), bits(&losses(&config, &data, 4)));
}

#[test]
fn gradient_accumulation_equals_the_larger_batch() {
    let data = dataset(8, 1);
    let mut whole = config(8, 1);
    whole.unet.dropout = 0.2;
    whole.flip = 0.5;
    let mut halves = whole.clone();
    (halves.batch, halves.accumulate) = (2, 2);
    let steps = 4;
    let (mut a, mut b) = (trainer(&whole, &data), trainer(&halves, &data));
    for (a, b) in train(&mut a, steps).iter().zip(train(&mut b, steps)) {
        assert!((a.loss - b.loss).abs() < 1e-4 * a.loss, "{a:?} {b:?}");
        assert!(
            (a.grad_norm - b.grad_norm).abs() < 1e-3 * a.grad_norm,
            "{a:?} {b:?}"
        );
    }
    let (a, b) = (a.state().expect("a state"), b.state().expect("a state"));
    let start = trainer(&whole, &data).state().expect("a state");
    let (mut apart, mut moved) = (0.0, 0.0);
    for (((name, _, a), (_, _, b)), (_, _, s)) in
        a.tensors.iter().zip(&b.tensors).zip(&start.tensors)
    {
        if name.starts_with("raw.") {
            for ((a, b), s) in a.iter().zip(b).zip(s) {
                apart += f64::from(a - b).powi(2);
                moved += f64::from(a - s).powi(2);
            }
        }
    }
    assert!(moved > 1e-4, "{moved}");
    assert!(apart.sqrt() < 1e-2 * moved.sqrt(), "{apart} {moved}");
}

#[test]
fn recomputed_activations_change_no_bit_and_save_memory() {
    let data = dataset(16, 3);
    let mut plain = config(16, 3);
    plain.unet.dropout = 0.1;
    plain.unet.block_out_channels = vec![8, 16, 16];
    plain
        .unet
        .down_block_types
        .insert(0, plain.unet.down_block_types[0]);
    plain.unet.up_block_types.push(plain.unet.up_block_types[1]);
    let mut saving = plain.clone();
    saving.checkpoint_activations = true;
    let (mut a, mut b) = (trainer(&plain, &data), trainer(&saving, &data));
    let (x, y) = (train(&mut a, 3), train(&mut b, 3));
    let figures = |reports: &[StepReport]| -> Vec<u32> {
        bits(
            &reports
                .iter()
                .flat_map(|r| [r.loss, r.grad_norm])
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(figures(&x), figures(&y));
    assert_eq!(
        a.state().expect("a state").tensors,
        b.state().expect("a state").tensors
    );
    let bytes = |t: &Trainer| t.plans().0.arena_bytes();
    assert!(
        (bytes(&b) as f64) < 0.8 * bytes(&a) as f64,
        "{} against {}",
        bytes(&b),
        bytes(&a)
    );
}

/// Digits, as they are trained on: over the same run, what is kept as f16 changes the losses by less than they are
/// known to, at half the memory.
#[test]
fn feature_maps_as_f16_leave_the_loss_curve_as_it_is() {
    if Precision::F16.check(&gpu()).is_err() {
        eprintln!("skipped: {} has no f16", gpu().info.name);
        return;
    }
    const STEPS: u64 = 160;
    let digits = data::open("mnist", &LoadOptions::default()).expect("the digits");
    let mut wide = config::preset("tiny").expect("a preset").for_data(&digits);
    let data = Arc::new(digits);
    wide.batch = 8;
    let mut narrow = wide.clone();
    narrow.precision = Precision::F16;
    let (mut a, mut b) = (trainer(&wide, &data), trainer(&narrow, &data));
    let bytes = |t: &Trainer| t.plans().0.arena_bytes() as f64;
    assert!(bytes(&b) < 0.65 * bytes(&a), "{} {}", bytes(&b), bytes(&a));
    let [a, b] = [&mut a, &mut b].map(|t| train(t, STEPS));
    let losses = |reports: &[StepReport]| -> Vec<f64> {
        reports.iter().map(|r| f64::from(r.loss)).collect()
    };
    let (a, b) = (losses(&a), losses(&b));
    assert_ne!(a, b, "nothing was kept as f16");
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let start = mean(&a[..5]);
    let (a, b) = (&a[a.len() - 40..], &b[b.len() - 40..]);
    assert!(mean(a) < 0.25 * start, "it learned: {} {start}", mean(a));
    let squares: Vec<f64> = a.iter().map(|l| (l - mean(a)).powi(2)).collect();
    let noise = (mean(&squares) / a.len() as f64).sqrt();
    let apart = (mean(a) - mean(b)).abs();
    assert!(apart < noise, "{} and {} at {noise}", mean(a), mean(b));
    // Batch and noise are the same, so each step's loss is nearly the same, too.
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 0.05 * a, "{a} {b}");
    }
}

#[test]
fn f16_with_accumulation_and_recomputed_activations() {
    if Precision::F16.check(&gpu()).is_err() {
        eprintln!("skipped: {} has no f16", gpu().info.name);
        return;
    }
    let data = dataset(8, 1);
    let mut plain = config(8, 1);
    plain.unet.dropout = 0.1;
    (plain.batch, plain.accumulate) = (2, 2);
    let mut narrow = plain.clone();
    narrow.precision = Precision::F16;
    let mut saving = narrow.clone();
    saving.checkpoint_activations = true;
    let run = |config: &TrainConfig| -> Vec<[f32; 2]> {
        let reports = train(&mut trainer(config, &data), 4);
        reports.iter().map(|r| [r.loss, r.grad_norm]).collect()
    };
    let [plain, narrow, saving] = [plain, narrow, saving].map(|c| run(&c));
    assert_ne!(plain, narrow, "nothing was kept as f16");
    assert_eq!(narrow, saving);
    // The gradient that is reported carries no scale.
    for (a, b) in plain.iter().flatten().zip(narrow.iter().flatten()) {
        assert!((a - b).abs() < 1e-2 * a, "{a} {b}");
    }
}

#[test]
fn one_batch_is_learned_by_heart() {
    let images = discs(4, 8, 1);
    let data = Arc::new(Dataset::new(
        "four".into(),
        images.clone(),
        images,
        Vec::new(),
    ));
    let mut config = config(8, 1);
    config.lr.base = 4e-3;
    let found = losses(&config, &data, 120);
    // As computed on llvmpipe: another adapter rounds differently, no more.
    for (found, expected) in found.iter().zip(FIRST_LOSSES) {
        assert!(
            (found - expected).abs() < 5e-3 * expected,
            "{found}, expected {expected}"
        );
    }
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    let (start, end) = (mean(&found[..10]), mean(&found[100..]));
    assert!(end < 0.3 * start, "{start} before, {end} after");
}

const FIRST_LOSSES: [f32; 4] = [1.162_211, 0.931_647, 0.915_164, 0.748_905];

#[test]
fn the_bound_and_the_hybrid_loss_train() {
    let data = dataset(8, 1);
    for (loss, steps) in [
        (LossType::Vlb, 30),
        (LossType::Hybrid { vlb_weight: 0.01 }, 30),
    ] {
        let mut config = config(8, 1);
        config.loss = loss;
        let mut trainer = trainer(&config, &data);
        let reports = train(&mut trainer, steps);
        for r in &reports {
            let bound = 50.0 * r.vlb;
            let expected = match loss {
                LossType::Hybrid { vlb_weight } => r.mse + vlb_weight as f32 * bound,
                _ => bound,
            };
            assert!(r.vlb > 0.0);
            assert!(
                (r.loss - expected).abs() < 1e-4 * expected,
                "{loss:?}: {r:?}"
            );
        }
        let mean =
            |part: &[StepReport]| part.iter().map(|r| r.mse).sum::<f32>() / part.len() as f32;
        let (start, end) = (mean(&reports[..8]), mean(&reports[22..]));
        assert!(end < 0.9 * start, "{loss:?}: {start} before, {end} after");
    }
}

#[test]
fn the_held_out_loss_depends_on_the_weights_alone() {
    let data = dataset(8, 1);
    let config = config(8, 1);
    let mut trainer = trainer(&config, &data);
    let gpu = gpu();
    // 10 images in batches of 4: the last is not full.
    let new = || HeldOut::new(&gpu, &config, &data.test, 10, trainer.variants());
    let mut held_out = new().expect("a plan");
    assert_eq!(held_out.images(), 10);
    let before = held_out.measure(&trainer.sets().weights).expect("a loss");
    assert!((0.5..2.0).contains(&before.mse), "{before:?}");
    assert_eq!(before.loss, before.mse);
    let again = held_out.measure(&trainer.sets().ema).expect("a loss");
    assert_eq!(
        before, again,
        "raw and averaged weights are equal at the start"
    );
    let mut other = new().expect("a plan");
    train(&mut trainer, 40);
    let after = held_out.measure(&trainer.sets().weights).expect("a loss");
    assert!(after.mse < 0.8 * before.mse, "{before:?} {after:?}");
    assert_eq!(
        other.measure(&trainer.sets().weights).expect("a loss"),
        after
    );
    // The same images, timesteps and noise, however they are split.
    let mut single = config.clone();
    single.batch = 5;
    let mut single =
        HeldOut::new(&gpu, &single, &data.test, 10, trainer.variants()).expect("a plan");
    let split = single.measure(&trainer.sets().weights).expect("a loss");
    assert!((split.mse - after.mse).abs() < 1e-5, "{split:?} {after:?}");
}

fn options(steps: u64) -> RunOptions {
    RunOptions {
        steps,
        checkpoint_every: 4,
        eval_every: 2,
        eval_images: 6,
        grid: 2,
        grid_steps: 2,
        ..RunOptions::default()
    }
}

fn start(dir: &Path, config: &TrainConfig, steps: u64, start: &RunStart) -> noiselab::Result<Run> {
    let data = dataset(8, 1);
    Run::new(
        &gpu(),
        dir,
        config.clone(),
        options(steps),
        data,
        start,
        &mut |_| {},
    )
}

const STEP_COLUMNS: &[&str] = &[
    "step",
    "images",
    "loss",
    "mse",
    "vlb",
    "grad_norm",
    "lr",
    "ema_decay",
];

#[test]
fn a_stopped_and_resumed_run_equals_one_that_never_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let mut config = config(8, 1);
    config.unet.dropout = 0.2;
    config.flip = 0.5;
    config.accumulate = 2;
    config.batch = 2;
    config.ema_power = Some(0.75);

    let mut run = start(&whole, &config, 7, &RunStart::Random).expect("a run");
    let outcome = run.train(&StopSignal::default(), &mut |_| {});
    assert_eq!(outcome.expect("it trains"), Outcome::Finished);
    drop(run);

    let mut run = start(&parts, &config, 7, &RunStart::Random).expect("a run");
    let stop = StopSignal::default();
    let outcome = run.train(&stop, &mut |event| {
        if let RunEvent::Step(report, _) = event
            && report.step == 3
        {
            stop.ask();
        }
    });
    assert_eq!(outcome.expect("it trains"), Outcome::Stopped);
    let stopped_at = run.trainer().step();
    assert!((3..=5).contains(&stopped_at), "{stopped_at}");
    drop(run);
    assert!(parts.join(SAMPLES_FILE).is_file());
    let saved = SavedRun::load(&parts).expect("a state");
    assert_eq!(saved.step(), stopped_at);
    assert_eq!(saved.config, config);
    assert_eq!(saved.options, options(7));
    // What a crash leaves behind: rows beyond the state, and half a row.
    let log = parts.join(LOG_FILE);
    let mut rows = std::fs::read_to_string(&log).expect("a log");
    rows.push_str(&format!(
        "{},9,9,9,9,9,9,9,9,9\n{},1",
        stopped_at + 1,
        stopped_at + 2
    ));
    std::fs::write(&log, rows).expect("a log");
    let mut run = start(&parts, &config, 7, &RunStart::Resume(Box::new(saved))).expect("a run");
    let outcome = run.train(&StopSignal::default(), &mut |_| {});
    assert_eq!(outcome.expect("it trains"), Outcome::Finished);

    let [a, b] = [&whole, &parts].map(|dir| checkpoint::load(dir).expect("a state"));
    assert_eq!(a.tensors, b.tensors);
    assert_eq!(a.meta["step"], 7);
    assert_eq!(a.meta["images_seen"], b.meta["images_seen"]);
    let [a, b] = [&whole, &parts].map(|dir| columns(&dir.join(LOG_FILE), STEP_COLUMNS));
    assert_eq!(a, b);
    assert_eq!(a.len(), 7);
    for (row, step) in a.iter().zip(1..) {
        let decay: f64 = row.last().expect("a column").parse().expect("a number");
        approx::assert_relative_eq!(decay, 1.0 - f64::from(step).powf(-0.75));
    }
    let held_out = [
        "step", "images", "loss_ema", "loss_raw", "mse_ema", "mse_raw",
    ];
    let [a, b] = [&whole, &parts].map(|dir| columns(&dir.join(HELD_OUT_FILE), &held_out));
    assert_eq!(a, b);
    assert_eq!(
        a.iter().map(|r| r[0].as_str()).collect::<Vec<_>>(),
        ["2", "4", "6", "7"]
    );
    let seen: usize = columns(&parts.join(LOSS_BY_T_FILE), &["images"])
        .iter()
        .map(|r| r[0].parse::<usize>().expect("a number"))
        .sum();
    assert_eq!(
        seen,
        7 * config.batch,
        "the images of each step's last micro-batch"
    );
    let weights = |dir: &Path| std::fs::read(dir.join("unet/diffusion_pytorch_model.safetensors"));
    assert_eq!(
        weights(&whole).expect("weights"),
        weights(&parts).expect("weights")
    );
    for name in ["samples/step_000004.png", "samples/step_000007.png"] {
        let [a, b] = [&whole, &parts].map(|dir| std::fs::read(dir.join(name)).expect(name));
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn a_loss_that_explodes_stops_the_run_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("run");
    let mut config = config(8, 1);
    config.lr.base = 1e30;
    config.lr.warmup_steps = 0;
    let mut run = start(&dir, &config, 20, &RunStart::Random).expect("a run");
    let error = run
        .train(&StopSignal::default(), &mut |_| {})
        .expect_err("it explodes");
    let Error::Train(TrainError::NotFinite { step, .. }) = &error else {
        panic!("{error}")
    };
    let text = error.to_string();
    assert!(
        text.contains(&format!("at step {step}")) && text.contains("1.0e30"),
        "{text}"
    );
    let rows = columns(&dir.join(LOG_FILE), &["step"]);
    assert_eq!(rows.len() as u64, step - 1, "the steps before are logged");
    let saved = SavedRun::load(&dir).expect("a state");
    assert_eq!(saved.step(), 0);
    let values = saved.state.tensors.iter().flat_map(|t| &t.2);
    assert!(values.copied().all(|v| v.abs() < 10.0));
}

#[test]
fn a_folder_in_use_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("notes.txt"), "mine").expect("a file");
    let before = contents(folder.path());
    let error = start(folder.path(), &config(8, 1), 1, &RunStart::Random).expect_err("in use");
    assert!(
        matches!(error, Error::Train(TrainError::FolderInUse { .. })),
        "{error}"
    );
    assert_eq!(contents(folder.path()), before);
}

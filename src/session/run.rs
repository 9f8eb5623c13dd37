//! A training run in a folder: the [`Trainer`] with checkpoints, logs, the loss on held-out images
//! and pictures of samples. Whoever shows it hears [`RunEvent`]s.
//!
//! ```text
//! DIR/model_index.json, unet/, scheduler/   the model: a diffusers pipeline of the averaged weights
//! DIR/noiselab/state.safetensors            from which the run resumes bit for bit
//! DIR/log.csv                               every figure of every step
//! DIR/heldout.csv                           the loss on held-out images
//! DIR/loss_by_t.csv                         the training loss by timestep
//! DIR/samples.png, samples/step_NNNNNN.png  samples from always the same noise
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    FilesError, TrainError, checkpoint,
    checkpoint::TrainState,
    config::TrainConfig,
    diffusers,
    figures::{Speed, T_BINS, t_bin, t_bin_range},
    heldout::{HeldOut, HeldOutLoss},
    log_table::LogTable,
    pacer::Pace,
    pipeline,
    sampling::{SampleRequest, SampleRun},
    trainer::{Start, StepReport, Trainer},
};
use crate::{
    Result,
    data::Dataset,
    gpu::Gpu,
    image_out::{GridOptions, write_grid_png},
};

/// Every figure of every step.
pub const LOG_FILE: &str = "log.csv";
/// The loss on held-out images.
pub const HELD_OUT_FILE: &str = "heldout.csv";
/// The training loss by timestep.
pub const LOSS_BY_T_FILE: &str = "loss_by_t.csv";
/// The latest picture of samples.
pub const SAMPLES_FILE: &str = "samples.png";

const LOG_HEADER: &str =
    "step,images,seconds,loss,mse,vlb,grad_norm,lr,ema_decay,images_per_second";
const HELD_OUT_HEADER: &str = "step,seconds,images,loss_ema,loss_raw,mse_ema,mse_raw";
const LOSS_BY_T_HEADER: &str = "step,t_first,t_last,images,mse";

/// What a run does besides training. None of it changes the weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOptions {
    /// Optimiser steps in all.
    pub steps: u64,
    /// Steps between checkpoints; 0 for one at the end only.
    pub checkpoint_every: u64,
    /// Steps between measurements on held-out images; 0 for none.
    pub eval_every: u64,
    /// Held-out images.
    pub eval_images: usize,
    /// Images in the picture of samples; 0 for no picture.
    pub grid: usize,
    /// DDIM steps for each of them.
    pub grid_steps: usize,
    /// Name of the preset that the configuration was made from, for the record.
    pub preset: Option<String>,
    /// Side that the images were brought to, as [`crate::data::LoadOptions::size`].
    pub size: Option<usize>,
    /// Channels that they were brought to, as [`crate::data::LoadOptions::channels`].
    pub channels: Option<usize>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            steps: 0,
            checkpoint_every: 500,
            eval_every: 250,
            eval_images: 256,
            grid: 16,
            grid_steps: 20,
            preset: None,
            size: None,
            channels: None,
        }
    }
}

/// A run as it was saved.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedRun {
    /// Weights, moments and the document that goes with them.
    pub state: TrainState,
    /// The configuration.
    pub config: TrainConfig,
    /// The options.
    pub options: RunOptions,
}

impl SavedRun {
    /// Reads the run in `dir`.
    ///
    /// # Errors
    /// No folder, no state in it, or one that cannot be used.
    pub fn load(dir: &Path) -> Result<Self> {
        let state = checkpoint::load(dir)?;
        let config = TrainConfig::from_json(&state.meta["config"]).map_err(TrainError::State)?;
        let options = serde_json::from_value(state.meta["run"]["options"].clone())
            .map_err(|e| TrainError::State(format!("its options are malformed ({e})")))?;
        Ok(Self {
            state,
            config,
            options,
        })
    }

    /// The step at which it was saved.
    pub fn step(&self) -> u64 {
        self.state.meta["step"].as_u64().unwrap_or(0)
    }
}

/// Where a run starts.
#[derive(Debug)]
pub enum RunStart {
    /// From random weights, in a new folder.
    Random,
    /// From a model's weights (in the layout of files, by name), in a new folder.
    Weights(Vec<(String, Vec<f32>)>),
    /// From where it stopped, in its own folder.
    Resume(Box<SavedRun>),
}

/// Asks a run to stop. Clones ask the same run.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<AtomicU32>);

impl StopSignal {
    /// Asks once more; returns how often it was asked by now. The first time the run saves a
    /// checkpoint with its picture of samples, the second time it leaves out the picture.
    pub fn ask(&self) -> u32 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn asked(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

/// What happens in a run.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// Pipelines are being made: done, of.
    Compiling(usize, usize),
    /// Something to know.
    Note(&'a str),
    /// A step's figures have arrived, and the images a second of late.
    Step(&'a StepReport, f64),
    /// The loss on held-out images after a step, of averaged and raw weights.
    HeldOut(u64, HeldOutLoss, HeldOutLoss),
    /// The picture of samples is being drawn: network evaluations done, of.
    Sampling(usize, usize),
    /// Everything is saved up to this step.
    Saved(u64),
}

/// Told what happens.
pub type OnEvent<'a> = &'a mut dyn FnMut(RunEvent<'_>);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// It was asked to stop, and saved.
    Stopped,
}

/// A training run in a folder.
#[derive(Debug)]
pub struct Run {
    gpu: Arc<Gpu>,
    dir: PathBuf,
    options: RunOptions,
    trainer: Trainer,
    held_out: Option<HeldOut>,
    log: LogTable,
    held_out_log: LogTable,
    loss_by_t: LogTable,
    /// Images and summed squared error in each part of the timesteps since the last row.
    bins: [(u64, f64); T_BINS],
    timesteps: usize,
    pace: Pace,
    /// Wall-clock time of the sessions before this one.
    before: Duration,
    begun: Instant,
    /// Time spent on training steps alone, in this session.
    training: Duration,
    speed: Speed,
    flushed: Instant,
    saved_at: Option<u64>,
    measured_at: Option<u64>,
}

impl Run {
    /// Makes the folder `dir` (a new run's must not exist, or be empty) and prepares everything.
    ///
    /// # Errors
    /// A folder that is in use, and whatever [`Trainer::new`] and [`HeldOut::new`] fail with.
    pub fn new(
        gpu: &Arc<Gpu>,
        dir: &Path,
        config: TrainConfig,
        options: RunOptions,
        dataset: Arc<Dataset>,
        start: &RunStart,
        on: OnEvent<'_>,
    ) -> Result<Self> {
        let resuming = matches!(start, RunStart::Resume(_));
        if !resuming {
            check_free(dir)?;
        }
        let ordered = match start {
            RunStart::Weights(weights) => {
                let pipeline = pipeline::Pipeline {
                    unet: config.unet.clone(),
                    scheduler: config.scheduler.clone(),
                    weights: weights.clone(),
                };
                pipeline.ordered(&pipeline.params()?)?
            }
            RunStart::Random | RunStart::Resume(_) => Vec::new(),
        };
        let trainer_start = match start {
            RunStart::Random => Start::Random,
            RunStart::Weights(_) => Start::Weights(&ordered),
            RunStart::Resume(saved) => Start::State(&saved.state),
        };
        let schedule = config.scheduler.noise_schedule()?;
        if let Some(warning) = schedule.warning() {
            on(RunEvent::Note(&warning));
        }
        let trainer = Trainer::new(gpu, config, dataset, &trainer_start, &mut |done, of| {
            on(RunEvent::Compiling(done, of));
        })?;
        let mut before = Duration::ZERO;
        if let RunStart::Resume(saved) = start {
            for note in resume_notes(&saved.state.meta, &trainer.meta()) {
                on(RunEvent::Note(&note));
            }
            let seconds = saved.state.meta["run"]["seconds"].as_f64().unwrap_or(0.0);
            before = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        }
        let test = &trainer.dataset().test;
        let held_out = if options.eval_every == 0 || options.eval_images == 0 {
            None
        } else if test.is_empty() {
            on(RunEvent::Note(
                "the data set has no held-out images, so their loss is not measured",
            ));
            None
        } else {
            let (config, variants) = (trainer.config(), trainer.variants());
            Some(HeldOut::new(
                gpu,
                config,
                test,
                options.eval_images,
                variants,
            )?)
        };
        fs::create_dir_all(dir).map_err(|e| FilesError::write(dir, e))?;
        let step = trainer.step();
        let step_images = (trainer.config().batch * trainer.config().accumulate) as u64;
        let open = |name: &str, header: &str| LogTable::open(&dir.join(name), header, step);
        Ok(Self {
            gpu: Arc::clone(gpu),
            dir: dir.to_path_buf(),
            options,
            held_out,
            log: open(LOG_FILE, LOG_HEADER)?,
            held_out_log: open(HELD_OUT_FILE, HELD_OUT_HEADER)?,
            loss_by_t: open(LOSS_BY_T_FILE, LOSS_BY_T_HEADER)?,
            bins: [(0, 0.0); T_BINS],
            timesteps: schedule.timesteps(),
            pace: Pace::FULL,
            before,
            begun: Instant::now(),
            training: Duration::ZERO,
            speed: Speed::from(step * step_images),
            flushed: Instant::now(),
            saved_at: resuming.then_some(step),
            measured_at: None,
            trainer,
        })
    }

    /// Sets how hard the device is worked.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.trainer.set_pace(pace);
        if let Some(held_out) = &mut self.held_out {
            held_out.set_pace(pace);
        }
    }

    /// The trainer.
    pub const fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The options.
    pub const fn options(&self) -> &RunOptions {
        &self.options
    }

    /// Trains to the last step, or until it is asked to stop: the step under way is finished then,
    /// and everything saved.
    ///
    /// # Errors
    /// A lost device, a loss that is not finite, or files that cannot be written. The last
    /// checkpoint stays whole in every case.
    pub fn train(&mut self, stop: &StopSignal, on: OnEvent<'_>) -> Result<Outcome> {
        if self.saved_at.is_none() {
            // What cannot be written is better known now than hours later.
            self.save()?;
        }
        loop {
            let step = self.trainer.step();
            if step >= self.options.steps {
                if self.saved_at != Some(step) {
                    self.checkpoint(stop, on)?;
                }
                return Ok(Outcome::Finished);
            }
            self.advance(self.next_pause(step), stop, on)?;
            let step = self.trainer.step();
            let stopping = stop.asked() > 0;
            let last = step >= self.options.steps;
            if is_due(step, self.options.eval_every, last) && self.measured_at != Some(step) {
                self.measure(on)?;
                self.measured_at = Some(step);
            }
            let due = is_due(step, self.options.checkpoint_every, last) || stopping;
            if due && self.saved_at != Some(step) {
                self.checkpoint(stop, on)?;
            }
            if stopping && !last {
                return Ok(Outcome::Stopped);
            }
        }
    }

    /// The next step after which something else is to be done.
    fn next_pause(&self, step: u64) -> u64 {
        [self.options.checkpoint_every, self.options.eval_every]
            .into_iter()
            .filter(|&every| every > 0)
            .map(|every| (step / every + 1) * every)
            .fold(self.options.steps, u64::min)
    }

    /// Trains until step `until`, or until asked to stop, and waits for the figures.
    fn advance(&mut self, until: u64, stop: &StopSignal, on: OnEvent<'_>) -> Result<()> {
        let mut mark = Instant::now();
        loop {
            let at = self.trainer.step();
            // A step at a time, so that it can be stopped after each, also where the device works
            // while it is being talked to, as software adapters do.
            let target = match (stop.asked() > 0, self.trainer.is_in_step()) {
                (true, false) => at,
                (true, true) => at + 1,
                (false, _) => until.min(at + 1),
            };
            let reports = self.trainer.pump(target);
            self.training += mark.elapsed();
            mark = Instant::now();
            let reports = match reports {
                Ok(reports) => reports,
                Err(e) => {
                    self.log.flush()?;
                    return Err(e);
                }
            };
            for report in &reports {
                self.note(report, on)?;
            }
            let step = self.trainer.step();
            if self.trainer.is_settled() && (step >= until || stop.asked() > 0) {
                return Ok(());
            }
            if reports.is_empty() && step == at {
                self.trainer.wait();
            }
        }
    }

    fn seconds(&self) -> f64 {
        (self.before + self.begun.elapsed()).as_secs_f64()
    }

    fn note(&mut self, report: &StepReport, on: OnEvent<'_>) -> Result<()> {
        let config = self.trainer.config();
        let images = report.step * (config.batch * config.accumulate) as u64;
        let speed = self.speed.mark(self.training, images);
        for &(t, mse) in &report.samples {
            let bin = &mut self.bins[t_bin(t as usize, self.timesteps)];
            bin.0 += 1;
            bin.1 += f64::from(mse);
        }
        self.log.row(&[
            report.step.to_string(),
            images.to_string(),
            format!("{:.3}", self.seconds()),
            report.loss.to_string(),
            report.mse.to_string(),
            report.vlb.to_string(),
            report.grad_norm.to_string(),
            report.lr.to_string(),
            report.ema_decay.to_string(),
            format!("{speed:.2}"),
        ])?;
        if self.flushed.elapsed() > Duration::from_secs(2) {
            self.log.flush()?;
            self.flushed = Instant::now();
        }
        on(RunEvent::Step(report, speed));
        Ok(())
    }

    fn measure(&mut self, on: OnEvent<'_>) -> Result<()> {
        let step = self.trainer.step();
        let seconds = self.seconds();
        let Some(held_out) = &mut self.held_out else {
            return Ok(());
        };
        let ema = held_out.measure(&self.trainer.sets().ema)?;
        let raw = held_out.measure(&self.trainer.sets().weights)?;
        self.held_out_log.row(&[
            step.to_string(),
            format!("{seconds:.3}"),
            held_out.images().to_string(),
            ema.loss.to_string(),
            raw.loss.to_string(),
            ema.mse.to_string(),
            raw.mse.to_string(),
        ])?;
        self.held_out_log.flush()?;
        on(RunEvent::HeldOut(step, ema, raw));
        Ok(())
    }

    fn checkpoint(&mut self, stop: &StopSignal, on: OnEvent<'_>) -> Result<()> {
        self.save()?;
        on(RunEvent::Saved(self.trainer.step()));
        self.draw_samples(stop, on)
    }

    /// Saves the logs, the state and the pipeline, in this order: whatever the moment of a crash,
    /// the logs reach at least as far as the state, and are cut back to it.
    fn save(&mut self) -> Result<()> {
        let step = self.trainer.step();
        for (bin, (count, sum)) in std::mem::take(&mut self.bins).into_iter().enumerate() {
            if count == 0 {
                continue;
            }
            let (first, last) = t_bin_range(bin, self.timesteps).unwrap_or_default();
            self.loss_by_t.row(&[
                step.to_string(),
                first.to_string(),
                last.to_string(),
                count.to_string(),
                (sum / count as f64).to_string(),
            ])?;
        }
        for table in [&mut self.log, &mut self.held_out_log, &mut self.loss_by_t] {
            table.sync()?;
        }
        let mut state = self.trainer.state()?;
        if let Value::Object(meta) = &mut state.meta {
            let run = json!({ "seconds": self.seconds(), "options": self.options });
            meta.insert("run".into(), run);
        }
        checkpoint::save(&self.dir, &state)?;
        self.saved_at = Some(step);
        let averaged: Vec<(String, Vec<f32>)> = state
            .tensors
            .into_iter()
            .filter_map(|(name, _, values)| {
                let name = name.strip_prefix("ema.")?.to_owned();
                Some((name, values))
            })
            .collect();
        let config = self.trainer.config();
        let scheduler = serde_json::to_value(&config.scheduler)
            .map_err(|e| TrainError::State(e.to_string()))?;
        diffusers::write_pipeline(&self.dir, &config.unet, &scheduler, &averaged)?;
        Ok(())
    }

    fn draw_samples(&mut self, stop: &StopSignal, on: OnEvent<'_>) -> Result<()> {
        let (options, config) = (&self.options, self.trainer.config());
        if options.grid == 0 || options.grid_steps == 0 {
            return Ok(());
        }
        let request = SampleRequest {
            count: options.grid,
            sampler: "ddim".into(),
            steps: options.grid_steps.min(self.timesteps),
            eta: 0.0,
            seed: config.seed,
            batch: config.batch.min(options.grid),
        };
        let weights = &self.trainer.sets().ema;
        let mut run = SampleRun::new(&self.gpu, &config.unet, &config.scheduler, weights, request)?;
        run.set_pace(self.pace);
        let asked = stop.asked();
        let whole = run.run(|done, of| {
            on(RunEvent::Sampling(done, of));
            stop.asked() == asked
        })?;
        if !whole {
            return Ok(());
        }
        let folder = self.dir.join("samples");
        fs::create_dir_all(&folder).map_err(|e| FilesError::write(&folder, e))?;
        let grid = GridOptions {
            columns: None,
            scale: (64 / config.unet.sample_size.max(1)).max(1),
        };
        let shape = run.image_shape();
        let numbered = folder.join(format!("step_{:06}.png", self.trainer.step()));
        for path in [numbered, self.dir.join(SAMPLES_FILE)] {
            write_grid_png(&path, run.images(), shape, grid)?;
        }
        Ok(())
    }
}

const fn is_due(step: u64, every: u64, last: bool) -> bool {
    every > 0 && step.is_multiple_of(every) || last
}

/// Fails unless `dir` can become the folder of a new run.
///
/// # Errors
/// It is a file, cannot be read, or has something in it.
pub fn check_free(dir: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(FilesError::read(dir, e).into()),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    Err(TrainError::FolderInUse {
        dir: dir.to_path_buf(),
        resumable: checkpoint::exists(dir),
    }
    .into())
}

/// Why a resumed run may not repeat bit for bit.
fn resume_notes(saved: &Value, now: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, what) in [
        ("adapter", "adapter or driver"),
        ("variants", "kernel variants"),
        ("noiselab", "version of noiselab"),
    ] {
        if saved[key] != now[key] {
            notes.push(format!(
                "the run goes on with another {what} than it was saved with ({} instead of {}), so its numbers need not repeat bit for bit",
                brief(&now[key]),
                brief(&saved[key])
            ));
        }
    }
    notes
}

fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => map
            .values()
            .map(brief)
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(", "),
        Value::Null => "unknown".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_or_absent_folder_is_free() {
        let dir = tempfile::tempdir().unwrap();
        check_free(dir.path()).unwrap();
        check_free(&dir.path().join("absent")).unwrap();
        let file = dir.path().join("notes.txt");
        fs::write(&file, "mine").unwrap();
        let text = check_free(dir.path()).unwrap_err().to_string();
        assert!(
            text.contains("not empty") && !text.contains("--resume"),
            "{text}"
        );
        assert!(check_free(&file).is_err());
        let state = dir.path().join(checkpoint::STATE_FILE);
        fs::create_dir_all(state.parent().unwrap()).unwrap();
        fs::write(state, "").unwrap();
        let text = check_free(dir.path()).unwrap_err().to_string();
        assert!(text.contains("--resume"), "{text}");
    }

    #[test]
    fn a_resumed_run_says_what_differs() {
        let saved = json!({"adapter": {"name": "A", "backend": "Vulkan"}, "variants": {"x": 1}, "noiselab": "1"});
        assert!(resume_notes(&saved, &saved).is_empty());
        let mut now = saved.clone();
        now["adapter"]["name"] = json!("B");
        let notes = resume_notes(&saved, &now);
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("B, Vulkan instead of A, Vulkan"),
            "{}",
            notes[0]
        );
    }
}

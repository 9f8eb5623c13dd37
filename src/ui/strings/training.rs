//! Training.

use noiselab::{
    diffusion::Objective,
    session::budget::{BudgetPlan, in_words},
};

/// In the rail.
pub const TITLE: &str = "Training";

/// Section.
pub const RUN: &str = "Run";
/// Section while there is no run.
pub const NEW_RUN: &str = "New run";
/// Section while there is a run.
pub const NEXT_RUN: &str = "Next run";
/// Below its title.
pub const NEXT_RUN_HINT: &str =
    "A network cannot change its shape on the way: these settings apply at the next start.";

/// Button.
pub const START: &str = "Start";
/// Its tooltip.
pub const START_HELP: &str = "Trains a new network on the data set, from random weights.";
/// Its tooltip while there are no data.
pub const START_NO_DATA: &str = "Wait until the data set is open.";
/// Button.
pub const START_ANEW: &str = "Start anew";
/// Its tooltip.
pub const START_ANEW_HELP: &str =
    "Ends this run and trains another network with the settings under \"Next run\".";
/// Button.
pub const PAUSE: &str = "Pause";
/// Its tooltip.
pub const PAUSE_HELP: &str = "Rests after the step under way. Nothing is lost.";
/// Button.
pub const RESUME: &str = "Resume";
/// Its tooltip.
pub const RESUME_HELP: &str = "Goes on where it rested.";
/// Button.
pub const STEP: &str = "One step";
/// Its tooltip.
pub const STEP_HELP: &str = "Trains on one batch, then rests.";
/// Its tooltip while it runs.
pub const STEP_PAUSE_FIRST: &str = "Pause first.";
/// Button.
pub const SAVE: &str = "Save checkpoint…";
/// Its tooltip.
pub const SAVE_HELP: &str =
    "Keeps weights, optimiser and settings in a file from which training goes on exactly.";
/// Button.
pub const OPEN: &str = "Open a checkpoint…";
/// Its tooltip.
pub const OPEN_HELP: &str = "Goes on with a run from a checkpoint file.";
/// Button.
pub const CLOSE: &str = "Close run";
/// Its tooltip.
pub const CLOSE_HELP: &str = "Ends the run and frees its memory. Its plots stay.";
/// Button.
pub const CONFIRM_START: &str = "Yes, start anew";
/// Button.
pub const CONFIRM_CLOSE: &str = "Yes, close it";
/// Their tooltip.
pub const CONFIRM_HELP: &str = "What was trained since the last checkpoint is lost.";
/// Button.
pub const KEEP: &str = "Keep the run";
/// Its tooltip.
pub const KEEP_HELP: &str = "Leaves everything as it is.";

/// Asks before a run is lost.
pub fn unsaved(step: u64, saved: Option<u64>) -> String {
    match saved {
        Some(saved) => {
            format!("The steps from {saved} to {step} are in no checkpoint and would be lost.")
        }
        None => format!("The {step} steps of this run are in no checkpoint and would be lost."),
    }
}

/// Status.
pub const PREPARING: &str = "The network is being prepared …";
/// Status with the kernels that are ready.
pub fn compiling(done: usize, of: usize) -> String {
    format!("Kernels are being compiled: {done} of {of}")
}
/// Status.
pub const RUNNING: &str = "It trains.";
/// Status.
pub const PAUSED: &str = "It rests.";
/// Status with a reason.
pub fn paused(reason: &str) -> String {
    format!("It rests: {reason}")
}
/// A checkpoint was made.
pub fn saved(step: u64, auto: bool) -> String {
    if auto {
        format!("Kept for the next visit at step {step}.")
    } else {
        format!("Checkpoint of step {step}.")
    }
}
/// About the network.
pub fn network(parameters: usize, dataset: &str) -> String {
    format!(
        "{} parameters, trained on {dataset}",
        thousands(parameters as u64)
    )
}

/// Choice.
pub const DATA: &str = "Data set";
/// Its tooltip.
pub const DATA_HELP: &str = "The pictures that the network learns to make.";
/// Option.
pub const OWN_DATA: &str = "Your own";
/// Button.
pub const OPEN_DATA: &str = "Own file…";
/// Its tooltip.
pub const OPEN_DATA_HELP: &str = "Pictures of yours in a zip file, or a file in the format of MNIST or CIFAR-10. You can also drop it on the window.";
/// Button.
pub const OPEN_FOLDER: &str = "Own folder…";
/// Its tooltip.
pub const OPEN_FOLDER_HELP: &str = "A folder of pictures of yours; subfolders are classes.";
/// While a data set is opened.
pub const OPENING_DATA: &str = "It is being opened …";
/// About a data set.
pub fn about_data(count: usize, width: usize, height: usize, channels: usize) -> String {
    let kind = if channels == 1 { "grey" } else { "colour" };
    format!(
        "{} {kind} pictures of {width}×{height} pixels",
        thousands(count as u64)
    )
}
/// Choice.
pub const PRESET: &str = "Preset";
/// Its tooltip.
pub const PRESET_HELP: &str = "The size of the network and how it is trained.";
/// Number.
pub const BATCH: &str = "Batch";
/// Its tooltip.
pub const BATCH_HELP: &str =
    "Pictures a step. More make each step steadier, slower and larger in memory.";
/// Number.
pub const SEED: &str = "Seed";
/// Its tooltip.
pub const SEED_HELP: &str = "Everything random is drawn from this number: the same seed gives the same run on the same device.";
/// Folded.
pub const MORE: &str = "More settings";
/// Choice.
pub const SCHEDULE: &str = "Schedule";
/// Its tooltip.
pub const SCHEDULE_HELP: &str = "How much noise each of the T steps adds; see the forward process.";
/// Slider.
pub const T: &str = "Steps T";
/// Its tooltip.
pub const T_HELP: &str = "In how many steps pictures become noise.";
/// Choice.
pub const OBJECTIVE: &str = "Objective";
/// Its tooltip.
pub const OBJECTIVE_HELP: &str = "What the network is asked to predict from the noisy picture.";
/// Option.
pub const EPSILON: &str = "Noise ε (the paper's)";
/// Option.
pub const SAMPLE: &str = "Clean picture x₀";
/// Option.
pub const V: &str = "Velocity v";
/// Choice.
pub const LOSS_KIND: &str = "Loss";
/// Its tooltip.
pub const LOSS_KIND_HELP: &str = "How errors at different t are weighed against each other.";
/// Option.
pub const SIMPLE: &str = "Simple (the paper's)";
/// Option.
pub const VLB: &str = "Variational bound";
/// Option.
pub const HYBRID: &str = "Simple + bound";
/// Slider.
pub const VLB_WEIGHT: &str = "Weight of the bound";
/// Its tooltip.
pub const VLB_WEIGHT_HELP: &str = "By what the variational bound is multiplied in the sum.";

/// Section.
pub const LIVE: &str = "While it runs";
/// Slider.
pub const LR: &str = "Learning rate";
/// Its tooltip.
pub const LR_HELP: &str =
    "How far each step goes. Too large and the loss jumps up; too small and it hardly falls.";
/// Slider.
pub const EMA: &str = "Weight average over (steps)";
/// Its tooltip.
pub const EMA_HELP: &str = "The samples on the right come from a moving average (EMA) of the weights; this is how many steps it looks back.";
/// Below it.
pub fn decay(decay: f64) -> String {
    let digits = format!("{decay:.6}");
    format!("EMA decay {}", digits.trim_end_matches('0'))
}
/// Number.
pub const EVERY: &str = "Samples every (steps)";
/// Its tooltip.
pub const EVERY_HELP: &str = "Steps between two grids of samples; 0 draws none.";
/// Number.
pub const COUNT: &str = "Samples";
/// Its tooltip.
pub const COUNT_HELP: &str = "Pictures in each grid. Many take longer.";
/// Number.
pub const SAMPLE_STEPS: &str = "DDIM steps";
/// Its tooltip.
pub const SAMPLE_STEPS_HELP: &str =
    "Denoising steps for each grid. Many take longer and look better.";
/// Label.
pub const STOP: &str = "Stop by itself";
/// Switch.
pub const STOP_STEPS: &str = "after steps";
/// Its tooltip.
pub const STOP_STEPS_HELP: &str = "Rests once so many steps are done.";
/// Number.
pub const STOP_STEPS_VALUE: &str = "Steps until it stops";
/// Switch.
pub const STOP_MINUTES: &str = "after minutes";
/// Its tooltip.
pub const STOP_MINUTES_HELP: &str = "Rests once it has trained so long.";
/// Number.
pub const STOP_MINUTES_VALUE: &str = "Minutes until it stops";
/// Switch.
pub const STOP_LOSS: &str = "at a loss of";
/// Its tooltip.
pub const STOP_LOSS_HELP: &str = "Rests once the smoothed loss is below this.";
/// Number.
pub const STOP_LOSS_VALUE: &str = "Loss at which it stops";

/// Figure.
pub const F_STEP: &str = "Step";
/// Its tooltip.
pub const F_STEP_HELP: &str = "Updates of the weights so far.";
/// Figure.
pub const F_LOSS: &str = "Loss";
/// Its tooltip.
pub const F_LOSS_HELP: &str = "Mean over about the last 50 steps.";
/// Figure.
pub const F_SPEED: &str = "Images/s";
/// Its tooltip.
pub const F_SPEED_HELP: &str = "Training pictures a second, over the last seconds.";
/// Figure.
pub const F_TIME: &str = "Device time";
/// Its tooltip.
pub const F_TIME_HELP: &str = "What the device takes for a step.";
/// Figure.
pub const F_MEMORY: &str = "Memory";
/// Its tooltip.
pub const F_MEMORY_HELP: &str = "What the program has on the device.";
/// Figure.
pub const F_ELAPSED: &str = "Elapsed";
/// Its tooltip.
pub const F_ELAPSED_HELP: &str = "Time spent on training.";
/// Figure.
pub const F_LEFT: &str = "Left";
/// Its tooltip.
pub const F_LEFT_HELP: &str = "Until the stop condition, at the speed measured.";

/// Section.
pub const LOSS: &str = "Loss";
/// Axis.
pub const LOSS_AXIS: &str = "loss: thin each step, bold smoothed";
/// Axis.
pub const STEP_AXIS: &str = "step";
/// Legend.
pub const RAW_LOSS: &str = "each step";
/// Legend.
pub const SMOOTH_LOSS: &str = "smoothed";
/// Before the first step.
pub const fn loss_empty(objective: Objective) -> &'static str {
    match objective {
        Objective::Epsilon => {
            "Press Start: the network sees noisy pictures, guesses the noise in them, and learns from its error. The error is drawn here."
        }
        Objective::Sample => {
            "Press Start: the network sees noisy pictures, guesses the clean pictures in them, and learns from its error. The error is drawn here."
        }
        Objective::VPrediction => {
            "Press Start: the network sees noisy pictures, guesses how noise and picture are mixed in them, and learns from its error. The error is drawn here."
        }
    }
}

/// For a run that was opened without the losses of its past.
pub fn loss_not_kept(step: u64) -> String {
    format!(
        "This run is at step {} and brought no losses along; those from here on are drawn.",
        thousands(step)
    )
}

/// Section.
pub const SAMPLES: &str = "Samples from always the same noise";
/// Grid.
pub const RAW: &str = "Raw weights";
/// Its tooltip.
pub const RAW_HELP: &str = "Made with the weights as they are after this step.";
/// Grid.
pub const AVERAGED: &str = "EMA weights";
/// Its tooltip.
pub const AVERAGED_HELP: &str = "Made with a moving average of the weights over many steps.";
/// Below the grids.
pub const EMA_HINT: &str = "The average still remembers the random weights of the beginning, so early on it makes noise while the raw weights already make shapes. Later it is the better of the two, as it evens out the jitter of single steps.";
/// Before the first grid.
pub fn samples_empty(every: u64) -> String {
    if every == 0 {
        "No samples are drawn: set \"Samples every\" to more than 0.".to_owned()
    } else {
        format!("Every {every} steps a grid of samples appears here.")
    }
}
/// Button.
pub const PREVIEW: &str = "Draw now";
/// Its tooltip.
pub const PREVIEW_HELP: &str = "Draws a grid of samples with the weights as they are.";
/// A grid for screen readers.
pub fn grid_name(kind: &str, step: u64) -> String {
    format!("Samples after step {step}, {kind}")
}
/// Slider.
pub const LAPSE_STEP: &str = "Training step";
/// Its tooltip.
pub const LAPSE_STEP_HELP: &str =
    "Goes through the grids that were kept. All the way to the right it follows the newest.";
/// Slider.
pub const LAPSE_FRAME: &str = "Denoising step";
/// Its tooltip.
pub const LAPSE_FRAME_HELP: &str =
    "From pure noise on the left to the finished samples on the right.";
/// Switch.
pub const FOLLOW: &str = "Follow the newest";
/// Its tooltip.
pub const FOLLOW_HELP: &str = "Shows each new grid as soon as it is there.";
/// Choice.
pub const ROW: &str = "Row of kept grids";
/// Its tooltip.
pub const ROW_HELP: &str = "Whose samples the small grids show.";
/// A small grid.
pub fn small_name(step: u64) -> String {
    format!("Go to step {step}")
}

/// Section.
pub const DETAILS: &str = "Where the error is";
/// Axis.
pub const BY_T: &str = "mean squared error by t";
/// Axis.
pub const T_AXIS: &str = "t";
/// Tooltip.
pub const BY_T_HELP: &str = "Average over about the last 200 pictures of each part.";
/// Below, when noise is predicted.
pub const BY_T_HINT: &str = "Small t is hard: a picture with hardly any noise gives little to tell the noise from the picture's own detail. At large t almost everything is noise, and the guess is easy.";
/// Below, when something else is predicted.
pub const BY_T_HINT_OTHER: &str =
    "Large t is hard for this objective: little of the picture is left from which to tell it.";
/// Axis.
pub const GRADIENT: &str = "norm of the gradient";
/// Axis.
pub const RATE: &str = "learning rate";

/// A number with spaces between thousands.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(c);
    }
    out
}

/// A time for people.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {:02} s", s / 60, s % 60),
        3_600..172_800 => format!("{} h {:02} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} days", s / 86_400),
    }
}

/// Device time of a step.
pub fn step_time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", 1_000.0 * seconds)
    } else {
        format!("{seconds:.1} s")
    }
}

/// Memory.
pub fn memory(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1_024.0 {
        format!("{mib:.0} MiB")
    } else {
        format!("{:.1} GiB", mib / 1_024.0)
    }
}

/// The step, of how many.
pub fn step_of(step: u64, of: Option<u64>) -> String {
    match of {
        Some(of) => format!("{} of {}", thousands(step), thousands(of)),
        None => thousands(step),
    }
}

/// Whether memory is limited.
pub const BUDGET: &str = "Limit memory";
/// The limit, for screen readers.
pub const BUDGET_VALUE: &str = "Memory on the device";
/// Its tooltip.
pub const BUDGET_HELP: &str = "What the run may take on the device. If it needs more, the activations of most blocks are not kept but computed again on the way back: less memory, longer steps, the same numbers.";
/// Whether feature maps are kept in 16 bits.
pub const F16: &str = "Feature maps in 16 bits";
/// Its tooltip.
pub const F16_HELP: &str = "What the layers hand on is kept with half the bytes. Weights and all arithmetic keep 32 bits; the loss hardly changes.";
/// Where the device cannot.
pub const F16_MISSING: &str = "This adapter has no 16-bit numbers.";
/// Before it is known what that means.
pub const BUDGET_PLANNING: &str = "Working out how much memory the run takes …";
/// What a limit means.
pub fn budget(plan: &BudgetPlan) -> String {
    let Some(cost) = &plan.checkpointed else {
        return format!(
            "It will take {} at most: nothing has to be computed twice.",
            in_words(plan.whole)
        );
    };
    let (again, blocks) = cost.recomputed;
    if plan.fits() {
        return format!(
            "It will take {} at most instead of {}: {again} of {blocks} blocks are computed again on the way back, {:.0} % more operations a step.",
            in_words(cost.total),
            in_words(plan.whole),
            100.0 * (cost.operations - 1.0)
        );
    }
    let advice = match cost.smaller_batch {
        Some(batch) => format!("a batch of {batch} would fit"),
        None => "choose a smaller preset or a higher limit".to_owned(),
    };
    format!(
        "It takes {} even if {again} of {blocks} blocks are computed again on the way back: {advice}.",
        in_words(cost.total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(thousands(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!(thousands(12), "12");
        assert_eq!(duration(59.6), "1 min 00 s");
        assert_eq!(duration(3_661.0), "1 h 01 min");
        assert_eq!(duration(f64::NAN), "–");
        assert_eq!(decay(0.999), "EMA decay 0.999");
        assert_eq!(step_time(0.0312), "31 ms");
        assert_eq!(memory(3 << 30), "3.0 GiB");
    }
}

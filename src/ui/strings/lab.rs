//! The 2-D lab.

use noiselab::{diffusion::Objective, session::lab::event::MiniPoint};

use crate::ui::widgets::{Card, Equation};

/// Title of the room.
pub const TITLE: &str = "2-D lab";

/// The views, in the order of the story.
pub const VIEWS: [&str; 5] = [
    "Forward",
    "Training",
    "Fields",
    "Reverse",
    "What goes wrong",
];
/// What each view teaches, a sentence.
pub const VIEW_HINTS: [&str; 5] = [
    "Points of the plane dissolve into noise: $q(x_0)$ becomes $q(x_t)$, and $q(x_T)$ is nearly $\\mathcal{N}(0, I)$.",
    "A small network learns to tell the noise from the point; samples and field change while it learns.",
    "In the plane the exact answer is known: the arrows of the network beside the best possible ones.",
    "Noise flows back to data, by four samplers from the same noise.",
    "Settings that fail, each for a reason that can be seen.",
];
/// Tooltip of the tabs.
pub const VIEW_HELP: &str = "Another look at the same points";

/// Section.
pub const DISTRIBUTION: &str = "Distribution";
/// The choice of q(x_0).
pub const SOURCE: &str = "Where points come from";
/// Its tooltip.
pub const SOURCE_HELP: &str =
    "The distribution of the data, $q(x_0)$. A new one ends the training on the one before.";
/// Choice.
pub const TEXT: &str = "A word";
/// Choice.
pub const DRAWN: &str = "Draw your own";
/// Choice.
pub const OWN: &str = "Points of a CSV file";
/// About a word.
pub const TEXT_SUMMARY: &str = "Letters, filled evenly with points.";
/// About lines drawn by hand.
pub const DRAWN_SUMMARY: &str = "Lines that you draw; points lie on them evenly.";
/// About the user's points.
pub const OWN_SUMMARY: &str =
    "Two columns of numbers, brought to unit scale. The file can be dropped on the window as well.";
/// The user's points.
pub fn own_points(name: &str, count: usize) -> String {
    format!("{name}: {count} points.")
}
/// The word.
pub const WORD: &str = "Word";
/// Its tooltip.
pub const WORD_HELP: &str = "One letter or a few; press Enter to show them";
/// Takes the word.
pub const WORD_SHOW: &str = "Show";
/// Opens a file.
pub const OPEN: &str = "Open a CSV file…";
/// Its tooltip.
pub const OPEN_HELP: &str =
    "A text file with a point a line: two numbers, separated by a comma, semicolon, tab or space";
/// Begins to draw.
pub const DRAW: &str = "Draw";
/// Its tooltip.
pub const DRAW_HELP: &str = "Draw lines on the canvas with the pointer";
/// Ends drawing.
pub const DRAW_DONE: &str = "Done";
/// Its tooltip.
pub const DRAW_DONE_HELP: &str = "Takes the lines as the distribution";
/// Takes lines away.
pub const DRAW_CLEAR: &str = "Clear";
/// Its tooltip.
pub const DRAW_CLEAR_HELP: &str = "Takes all lines away";
/// While drawing.
pub const DRAW_HINT: &str = "Draw on the canvas: press, move, release. Then press Done.";
/// Nothing was drawn.
pub const DRAW_NOTHING: &str = "Draw a line first.";

/// Section.
pub const PROCESS: &str = "Noise";
/// The schedule.
pub const SCHEDULE: &str = "Schedule";
/// Its tooltip.
pub const SCHEDULE_HELP: &str = "How fast the noise comes: β over the timesteps";
/// T.
pub const TIMESTEPS: &str = "Timesteps T";
/// Its tooltip.
pub const TIMESTEPS_HELP: &str = "How many steps lead from a point to noise";
/// Another schedule.
pub const COMPARE: &str = "Compare with";
/// Its tooltip.
pub const COMPARE_HELP: &str =
    "The same points and the same noise under another schedule, side by side";
/// None.
pub const COMPARE_NONE: &str = "nothing";
/// How many particles.
pub const PARTICLES: &str = "Particles";
/// Its tooltip.
pub const PARTICLES_HELP: &str = "Points that are shown";
/// The seed.
pub const SEED: &str = "Seed";
/// Its tooltip.
pub const SEED_HELP: &str =
    "Where all randomness comes from: the same seed gives the same points and the same noise";

/// Section.
pub const SHOWN: &str = "Shown";
/// A layer of the canvas.
pub const CLOUD: &str = "Points";
/// Its tooltip.
pub const CLOUD_HELP: &str = "Each dot is one point on its way";
/// A layer.
pub const DENSITY: &str = "Density at t";
/// Its tooltip.
pub const DENSITY_HELP: &str = "How likely each place is at t, q of x_t, as a heat map";
/// A layer.
pub const TRAILS: &str = "Trails";
/// Its tooltip.
pub const TRAILS_HELP: &str = "The way of some particles up to t";
/// Below the layers.
pub const PICK_HINT: &str = "Point at a particle to see its way, and click to keep it.";
/// Takes the trails of picked particles away.
pub const UNPICK: &str = "Let go of the particles";
/// Its tooltip.
pub const UNPICK_HELP: &str = "Takes away the trails of the particles that you have clicked";

/// A figure.
pub const TIME: &str = "t";
/// Its tooltip.
pub const TIME_HELP: &str = "The scrubber's timestep, of T";
/// A figure.
pub const ALPHA_BAR: &str = "ᾱ";
/// Its tooltip.
pub const ALPHA_BAR_HELP: &str = "Share of the data's variance that is left at t";
/// A figure.
pub const SNR: &str = "Signal : noise";
/// Its tooltip.
pub const SNR_HELP: &str = "ᾱ / (1 − ᾱ): the ratio of the variances";
/// Axis.
pub const ALPHA_BAR_AXIS: &str = "$\\bar\\alpha_t$";
/// Axis.
pub const T_AXIS: &str = "t";
/// Section.
pub const SCHEDULE_PLOT: &str = "How much is left of the data";
/// Beside the colour bar.
pub const DENSITY_BAR: &str = "density";

/// While nothing is there.
pub const WAITING: &str = "Being computed…";

/// The canvas of the forward view, for screen readers.
pub fn forward_canvas(schedule: &str, t: usize) -> String {
    format!("Particles at t = {t}, schedule {schedule}")
}
/// Canvas.
pub const DRAW_CANVAS: &str = "Canvas to draw on";

/// t of T.
pub fn t_of(t: usize, of: usize) -> String {
    format!("{t} of {of}")
}
/// A number of particles.
pub fn thousands(n: usize) -> String {
    format!("{}k", n / 1000)
}

// Training

/// Section.
pub const TRAIN: &str = "Training";
/// Begins.
pub const START: &str = "Train";
/// Its tooltip.
pub const START_HELP: &str = "Starts from random weights, on the points that are shown";
/// Begins anew.
pub const AGAIN: &str = "Start anew";
/// Rests.
pub const PAUSE: &str = "Pause";
/// Its tooltip.
pub const PAUSE_HELP: &str = "Rests after the step under way";
/// Goes on.
pub const RESUME: &str = "Go on";
/// Its tooltip.
pub const RESUME_HELP: &str = "Goes on training";
/// One step.
pub const STEP: &str = "One step";
/// Its tooltip.
pub const STEP_HELP: &str = "Does one step and shows its mini-batch: what was asked, what was answered, and where the loss pulls";
/// A step every second.
pub const SLOW: &str = "Slow motion";
/// Its tooltip.
pub const SLOW_HELP: &str = "A step every other second, with its mini-batch";
/// Ends.
pub const CLOSE: &str = "End";
/// Its tooltip.
pub const CLOSE_HELP: &str = "Ends the run and frees its memory";
/// Section.
pub const NETWORK: &str = "Network";
/// What comes out of the network.
pub const PREDICTS: &str = "The network predicts";
/// Its tooltip.
pub const PREDICTS_HELP: &str = "The same step's answer in three forms, from each of which the others follow. With v the error is small at every t; ε is the paper's choice, and needs more steps in the plane. End the training to change it.";
/// An objective.
pub const fn objective(objective: Objective) -> &'static str {
    match objective {
        Objective::Epsilon => "the noise ε",
        Objective::Sample => "the point x₀",
        Objective::VPrediction => "v = √ᾱ ε − √(1 − ᾱ) x₀",
    }
}
/// Width.
pub const WIDTH: &str = "Width";
/// Its tooltip.
pub const WIDTH_HELP: &str = "Numbers in each hidden layer";
/// Blocks.
pub const BLOCKS: &str = "Residual blocks";
/// Its tooltip.
pub const BLOCKS_HELP: &str = "Hidden layers one after the other, each with a shortcut";
/// Whether it knows t.
pub const TIME_EMBEDDING: &str = "Is told the time t";
/// Its tooltip.
pub const TIME_EMBEDDING_HELP: &str = "Without it the network has to give one answer for all times";
/// Batch.
pub const BATCH: &str = "Points a step";
/// Its tooltip.
pub const BATCH_HELP: &str = "Size of the mini-batch";
/// Learning rate.
pub const RATE: &str = "Learning rate";
/// Its tooltip.
pub const RATE_HELP: &str = "Size of the optimiser's steps";
/// When it stops.
pub const STOP_AFTER: &str = "Stop after, s";
/// Its tooltip.
pub const STOP_AFTER_HELP: &str = "Seconds of training; 0 lets it go on";
/// Above a canvas.
pub const SAMPLES: &str = "Samples over the data";
/// Above a canvas.
pub const FIELD_NOW: &str = "Score at $t$: where points are denser";
/// In an empty canvas.
pub const NO_SAMPLES: &str = "Samples follow while it trains.";
/// In an empty canvas.
pub const NO_NETWORK: &str = "No network yet: press Train.";
/// Legend.
pub const LEGEND_DATA: &str = "data";
/// Legend.
pub const LEGEND_SAMPLES: &str = "samples of the network";
/// Legend.
pub const LEGEND_EXACT: &str = "exact";
/// Legend.
pub const LEGEND_LEARNED: &str = "network";
/// Legend of a mini-batch.
pub const LEGEND_EPS: &str = "noise ε";
/// Legend of a mini-batch.
pub const LEGEND_EPS_HAT: &str = "prediction";
/// Legend of a mini-batch.
pub const LEGEND_PULL: &str = "pull of the loss";
/// Legend of a mini-batch.
pub const LEGEND_T: &str = "noisy point, brighter at small t";
/// Below the canvas of a mini-batch.
pub const BATCH_HINT: &str = "Each dot is a noisy point $x_t$ with a $t$ of its own. Point at one for its numbers and for the $x_0$ it came from.";
/// Axis.
pub const LOSS_AXIS: &str = "loss";
/// Axis.
pub const STEP_AXIS: &str = "step";
/// Series.
pub const LOSS_RAW: &str = "each step";
/// Series.
pub const LOSS_SMOOTH: &str = "smoothed";
/// Axis.
pub const BY_T_AXIS: &str = "loss by t";
/// Axis.
pub const WASSERSTEIN_AXIS: &str = "sliced Wasserstein";
/// Series.
pub const FLOOR: &str = "floor";
/// Series.
pub const MEASURED: &str = "samples";
/// Section.
pub const LEARNING: &str = "How it learns";
/// A figure.
pub const F_STEP: &str = "Step";
/// Its tooltip.
pub const F_STEP_HELP: &str = "Optimiser steps done";
/// A figure.
pub const F_LOSS: &str = "Loss";
/// Its tooltip.
pub const F_LOSS_HELP: &str = "Mean squared error of what the network predicts, smoothed";
/// A figure.
pub const F_SPEED: &str = "Points a second";
/// Its tooltip.
pub const F_SPEED_HELP: &str = "Training points the device gets through";
/// A figure.
pub const F_SECONDS: &str = "Time";
/// Its tooltip.
pub const F_SECONDS_HELP: &str = "Time spent on training";
/// A figure.
pub const F_PARAMETERS: &str = "Parameters";
/// Its tooltip.
pub const F_PARAMETERS_HELP: &str = "Numbers in the network";

/// While it is made.
pub const PREPARING: &str = "Preparing the network…";
/// It goes on.
pub const RUNNING: &str = "Training.";
/// It goes on slowly.
pub const SLOWLY: &str = "A step every other second.";
/// It rests.
pub const RESTING: &str = "Resting.";

/// It rests for a reason.
pub fn resting(reason: &str) -> String {
    format!("Resting: {reason}")
}
/// Seconds.
pub fn seconds(s: f64) -> String {
    if s < 10.0 {
        format!("{s:.2} s")
    } else {
        format!("{s:.0} s")
    }
}
/// Canvas of samples, for screen readers.
pub fn samples_canvas(step: u64) -> String {
    format!("Samples after {step} steps")
}
/// A point of a mini-batch.
pub fn mini_point(p: &MiniPoint) -> String {
    let pair = |[x, y]: [f32; 2]| point(x, y);
    let error = (p.eps[0] - p.eps_hat[0]).powi(2) + (p.eps[1] - p.eps_hat[1]).powi(2);
    format!(
        "t = {}\nx₀ = {}, x at t = {}\n{LEGEND_EPS} = {}\n{LEGEND_EPS_HAT} = {}\nsquared error {error:.3}",
        p.t,
        pair(p.x0),
        pair(p.x_t),
        pair(p.eps),
        pair(p.eps_hat)
    )
}
/// Canvas of a mini-batch, for screen readers.
pub fn batch_canvas(step: u64) -> String {
    format!("Mini-batch of step {step}")
}
/// Above the canvas of a mini-batch.
pub fn batch_title(step: u64, shown: usize, of: usize) -> String {
    format!("Step {step}: {shown} of {of} points")
}

// Figures of merit

/// Section.
pub const MERIT: &str = "How good the samples are";
/// A figure.
pub const WASSERSTEIN: &str = "Sliced Wasserstein";
/// Its tooltip.
pub const WASSERSTEIN_HELP: &str = "How far the samples have to be moved to lie like true points, over many directions. The floor is what two sets of true points differ by.";
/// A figure.
pub const ENERGY: &str = "Energy distance";
/// Its tooltip.
pub const ENERGY_HELP: &str = "Mean distance between samples and true points, less the mean distances within each. The floor is that of two sets of true points.";
/// A figure.
pub const ASTRAY: &str = "At no mode";
/// Its tooltip.
pub const ASTRAY_HELP: &str = "Share of the samples that lie near none of the modes";
/// A figure.
pub const COUNT: &str = "Samples";
/// Its tooltip.
pub const COUNT_HELP: &str = "Samples that were compared with held-out points";
/// Axis.
pub const SHARE_AXIS: &str = "share at each mode, %";
/// Axis.
pub const MODE_AXIS: &str = "mode";
/// Bars.
pub const SHARE_SAMPLES: &str = "samples";
/// Bars.
pub const SHARE_TRUE: &str = "truth";

/// A distance with its floor.
pub fn with_floor(value: &str, floor: &str) -> String {
    format!("{value} (floor {floor})")
}
/// A share.
pub fn percent(share: f32) -> String {
    format!("{:.1} %", 100.0 * share)
}

// Fields

/// What is shown.
pub const FIELD: &str = "Field";
/// Its tooltip.
pub const FIELD_HELP: &str = "The network's, the exact one, their difference, or all three";
/// Choice.
pub const LEARNED: &str = "Learned";
/// Choice.
pub const EXACT: &str = "Exact";
/// Choice.
pub const ERROR: &str = "Error";
/// Choice.
pub const ALL: &str = "All three";
/// Score or ε.
pub const QUANTITY: &str = "Arrows are";
/// Its tooltip.
pub const QUANTITY_HELP: &str = "The score points to where points are denser; the noise ε points the other way, and score = −ε / √(1 − ᾱ)";
/// Choice.
pub const SCORE: &str = "Score";
/// Choice.
pub const EPSILON: &str = "Noise ε";
/// Arrows or lines.
pub const STYLE: &str = "Drawn as";
/// Its tooltip.
pub const STYLE_HELP: &str =
    "Arrows show strength and direction; streamlines where one would drift";
/// Choice.
pub const ARROWS: &str = "Arrows";
/// Choice.
pub const STREAMLINES: &str = "Streamlines";
/// How many.
pub const FINENESS: &str = "Arrows a side";
/// Its tooltip.
pub const FINENESS_HELP: &str =
    "The field is evaluated at 64 × 64 places; fewer arrows are easier to read";
/// Something worth saying of a file.
pub fn about_file(name: &str, note: &str) -> String {
    format!("{name}: {note}")
}
/// Which weights.
pub const WEIGHTS: &str = "Weights";
/// Its tooltip.
pub const WEIGHTS_HELP: &str = "The moving average of the weights, or the weights as they are";
/// Choice.
pub const AVERAGED: &str = "Averaged";
/// Choice.
pub const RAW: &str = "Raw";
/// A layer.
pub const UNDER: &str = "Heat map underneath";
/// Its tooltip.
pub const UNDER_HELP: &str =
    "The density at t under the fields, the size of the difference under the error";
/// A figure.
pub const RELATIVE: &str = "Relative error at t";
/// Its tooltip.
pub const RELATIVE_HELP: &str =
    "The root of E|prediction − exact|² / E|exact|², the means taken over noisy points at t";
/// A figure.
pub const POOLED: &str = "Over all t";
/// Its tooltip.
pub const POOLED_HELP: &str = "The same with both means summed over the timesteps";
/// A figure.
pub const TRAINED: &str = "Trained";
/// Its tooltip.
pub const TRAINED_HELP: &str = "Steps that the network had been trained when this was evaluated";
/// Measures.
pub const MEASURE: &str = "Measure over all t";
/// Its tooltip.
pub const MEASURE_HELP: &str = "Compares network and exact answer at many timesteps";
/// Section.
pub const ERROR_OVER_T: &str = "Error over time";
/// About the error near t = 0.
pub const ERROR_HINT: &str = "Near $t = 0$ so little noise cannot be told from the data's own spread, so the best answer $\\epsilon^*$ is nearly 0, and a small error is a large share of it.";
/// Axis.
pub const RELATIVE_AXIS: &str = "relative error";
/// Above a heat map.
pub const ERROR_MAP: &str =
    "$|\\hat\\epsilon - \\epsilon^*|$ over $x_1$ (up) and $t$ (right), mean over $x_2$";
/// The map, for screen readers.
pub const ERROR_MAP_NAME: &str = "Error over x and t";
/// Beside a colour bar.
pub const ERROR_BAR: &str = "error of ε";

/// Starts from here.
pub const TRAIN_NOW: &str = "Train a network";
/// In a sentence.
pub const SCORE_WORD: &str = "score";
/// In a sentence.
pub const EPSILON_WORD: &str = "ε";

/// Steps.
pub fn steps(n: u64) -> String {
    format!("{n} steps")
}
/// A place of the error's map.
pub fn map_reading(x: f32, t: f32, value: &str) -> String {
    format!("x₁ = {x:.2}, t = {t}\n{ERROR_BAR} {value}")
}
/// What the fields say at a place.
pub fn field_reading(
    [x, y]: [f32; 2],
    quantity: &str,
    learned: Option<[f32; 2]>,
    exact: Option<[f32; 2]>,
) -> String {
    let mut lines = vec![format!("x = {}", point(x, y))];
    for (name, value) in [(LEARNED, learned), (EXACT, exact)] {
        if let Some([x, y]) = value {
            lines.push(format!("{name} {quantity}: {}", point(x, y)));
        }
    }
    lines.join("\n")
}
/// A field's canvas, for screen readers.
pub fn field_canvas(what: &str, t: usize) -> String {
    format!("{what} field at t = {t}")
}
/// Under a field.
pub fn longest(quantity: &str, length: &str) -> String {
    format!("a full arrow: {quantity} of {length} or more")
}

// Reverse

/// What the reverse view does.
pub const MODE: &str = "Look at";
/// Its tooltip.
pub const MODE_HELP: &str =
    "Many particles, the paths from one point, or the density that the model has";
/// Choice.
pub const FLOW: &str = "Particles";
/// Choice.
pub const PATHS: &str = "One point";
/// Choice.
pub const LIKELIHOOD: &str = "Density";
/// What predicts.
pub const PREDICTION: &str = "Score of";
/// Its tooltip.
pub const PREDICTION_HELP: &str = "The network, or the exact answer in its place: what is wrong then is the sampler's fault alone";
/// Choice.
pub const PREDICT_LEARNED: &str = "Network";
/// Choice.
pub const PREDICT_EXACT: &str = "Exact";
/// Section.
pub const SAMPLERS: &str = "Samplers";
/// A sampler.
pub const SAMPLER: &str = "Sampler";
/// Its tooltip.
pub const SAMPLER_HELP: &str = "How a step is made of the predicted noise";
/// Steps.
pub const STEPS: &str = "Steps";
/// Its tooltip.
pub const STEPS_HELP: &str = "Steps from noise to data: fewer are faster and coarser";
/// Of η.
pub const ETA_HELP: &str = "Noise that DDIM adds: 0 none, 1 as much as DDPM";
/// η in hundredths.
pub const ETA_PERCENT: &str = "η, %";
/// A figure's tooltip.
pub const RUN_SECONDS_HELP: &str = "Time that the device worked for this sampler";
/// There is no network.
pub const EXACT_ONLY: &str = "Without a trained network the exact score leads the way.";
/// Takes one away.
pub const REMOVE: &str = "Remove";
/// Its tooltip.
pub const REMOVE_HELP: &str = "One sampler less";
/// One more.
pub const ADD: &str = "Add a sampler";
/// Its tooltip.
pub const ADD_HELP: &str = "Up to four, from the same noise";
/// Begins.
pub const SAMPLE: &str = "Draw samples";
/// Its tooltip.
pub const SAMPLE_HELP: &str =
    "Leads the same noise down by each sampler; then time runs from noise to data";
/// Ends.
pub const STOP: &str = "Stop";
/// Its tooltip.
pub const STOP_HELP: &str = "Stops; what is there stays";
/// Another seed.
pub const NEW_SEED: &str = "New seed";
/// Its tooltip.
pub const NEW_SEED_HELP: &str = "Takes other noise, and draws again";
/// A layer.
pub const PATH_LINES: &str = "Trajectories";
/// Its tooltip.
pub const PATH_LINES_HELP: &str = "The way of some particles from noise to where they are";
/// In an empty canvas.
pub const NOT_DRAWN: &str = "Not drawn yet.";
/// In an empty canvas.
pub const COMES_NEXT: &str = "Its turn comes.";
/// What changed.
pub const CHANGED: &str = "Settings changed: draw to see them.";
/// A figure.
pub const EVALUATIONS: &str = "NFE";
/// Its tooltip.
pub const EVALUATIONS_HELP: &str =
    "Number of function evaluations: how often the score was evaluated for each particle";
/// The paths' canvas, for screen readers.
pub const PATHS_CANVAS: &str = "Paths from one starting point";
/// Under the canvas.
pub const PATHS_HINT: &str =
    "Drag the ring: it is $x_T$. The ODE has one path from it; samplers that add noise fan out.";
/// A figure.
pub const START_POINT: &str = "Start";
/// Its tooltip.
pub const START_POINT_HELP: &str =
    "x_T of all paths; arrow keys move it when the canvas has the keyboard";
/// Paths.
pub const FAN: &str = "Paths a sampler";
/// Its tooltip.
pub const FAN_HELP: &str = "They differ by the noise on the way";
/// Above a canvas.
pub const MODEL_DENSITY: &str = "Density of the model";
/// Above a canvas.
pub const TRUE_DENSITY: &str = "Density of the data";
/// A figure.
pub const NLL: &str = "Negative log-likelihood";
/// Its tooltip.
pub const NLL_HELP: &str =
    "Of held-out points, by the probability-flow ODE, in nats a point: less is better";
/// A figure.
pub const TRUE_NLL: &str = "Of the true density";
/// Its tooltip.
pub const TRUE_NLL_HELP: &str = "What no model can go below but by chance";
/// Measures.
pub const MEASURE_DENSITY: &str = "Measure again";
/// Its tooltip.
pub const MEASURE_DENSITY_HELP: &str = "Integrates the ODE from a grid, which takes a moment";

/// Nats.
pub fn nats(value: f32) -> String {
    format!("{value:.3} nats")
}
/// A point.
pub fn point(x: f32, y: f32) -> String {
    format!("({x:.2}, {y:.2})")
}
/// A sampler's name.
pub fn sampler_name(name: &str) -> &str {
    match name {
        "ddpm" => "DDPM",
        "ddim" => "DDIM",
        "pf_ode" => "ODE",
        "langevin" => "Langevin",
        other => other,
    }
}
/// A sampler's name in full.
pub fn sampler_title(name: &str) -> &str {
    match name {
        "ddpm" => "Ancestral, DDPM",
        "ddim" => "DDIM",
        "pf_ode" => "Probability-flow ODE",
        "langevin" => "Annealed Langevin",
        other => other,
    }
}
/// A run.
pub fn run_title(sampler: &str, steps: usize, eta: Option<f64>) -> String {
    let name = sampler_title(sampler);
    match eta {
        Some(eta) => format!("{name}, {steps} steps, η = {eta}"),
        None => format!("{name}, {steps} steps"),
    }
}
/// A run's canvas, for screen readers.
pub fn run_canvas(number: usize, sampler: &str, t: usize) -> String {
    format!(
        "Particles of run {number}, {}, at t = {t}",
        sampler_title(sampler)
    )
}
/// A label of one of several.
pub fn numbered(label: &str, number: usize) -> String {
    format!("{label} {number}")
}

// What goes wrong

/// Starts a preset.
pub const TRY: &str = "Try";
/// Its tooltip.
pub const TRY_HELP: &str = "Sets everything accordingly and starts";
/// The button for screen readers.
pub fn try_preset(title: &str) -> String {
    format!("{TRY}: {title}")
}
/// Nothing was chosen.
pub const CHOOSE: &str = "Choose one at the left; what comes of it appears here.";
/// On the banner of a preset.
pub const PRESET_CLOSE: &str = "Leave this preset";
/// Its tooltip.
pub const PRESET_CLOSE_HELP: &str = "Back to sound settings";

/// Above a canvas.
pub const BY_NETWORK: &str = "With the network";
/// Above a canvas.
pub const BY_EXACT: &str = "With the exact score";

/// The banner.
pub fn preset_set(title: &str) -> String {
    format!("Preset: {title}")
}

static FORWARD: Card = Card {
    equations: &[Equation {
        tex: r"q(x_t) = \mathbb{E}_{x_0}\left[\,\mathcal{N}\left(x_t;\ \sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t)\,I\right)\right]",
        source: "Ho, Jain, Abbeel 2020, section 2, equation 4, averaged over the data",
    }],
    text: r"Every point shrinks towards the middle by $\sqrt{\bar\alpha_t}$ and gets noise of variance $1-\bar\alpha_t$, so the density of all of them is the data's, shrunk and blurred. Sharp things are blurred first: edges are gone long before the place of a mode is.",
    experiment: r"Play from $t = 0$ and stop when you can no longer tell the modes apart: that is where the way back has to decide between them. Then compare with the linear schedule, the paper's.",
};

static TRAINING: Card = Card {
    equations: &[
        Equation {
            tex: r"\nabla_{x_t} \log q(x_t \mid x_0) = -\frac{\epsilon}{\sqrt{1-\bar\alpha_t}}, \quad s_\theta(x_t, t) = -\frac{\epsilon_\theta(x_t, t)}{\sqrt{1-\bar\alpha_t}}",
            source: "Gaussian of equation 4; Ho, Jain, Abbeel 2020, section 3.2",
        },
        Equation {
            tex: r"\epsilon_\theta = \sqrt{\bar\alpha_t}\,v_\theta(x_t, t) + \sqrt{1-\bar\alpha_t}\,x_t, \quad \left\|v - v_\theta\right\|^2 = \frac{1}{\bar\alpha_t}\left\|\epsilon - \epsilon_\theta\right\|^2",
            source: "What this room's networks put out: v = √ᾱ ε − √(1 − ᾱ) x₀, Salimans and Ho 2022, section 4; below it can be set to ε or x₀",
        },
        Equation {
            tex: r"L_{\text{simple}} = \mathbb{E}\left\|\epsilon - \epsilon_\theta(x_t, t)\right\|^2 = \mathbb{E}\left[(1-\bar\alpha_t)\left\|\nabla \log q(x_t \mid x_0) - s_\theta(x_t, t)\right\|^2\right]",
            source: "Ho, Jain, Abbeel 2020, section 3.4, equation 14; denoising score matching (Vincent 2011), to which section 3.2 of the paper leads",
        },
    ],
    text: r"To guess the noise in a point is to guess the score of the noisy data: both losses are the same up to a factor. The target differs from point to point, and the network can only learn its mean, which is the score of $q(x_t)$; that is why the loss never reaches zero.",
    experiment: r"Train, then press One step: prediction and target disagree at many points, although the field is right. Where do they agree?",
};

static FIELDS: Card = Card {
    equations: &[Equation {
        tex: r"\epsilon^*(x_t, t) = \mathbb{E}[\epsilon \mid x_t] = -\sqrt{1-\bar\alpha_t}\;\nabla_{x_t} \log q(x_t)",
        source: "The minimiser of equation 14 (Ho, Jain, Abbeel 2020, section 3.4), known in closed form for mixtures and for finite sets of points",
    }],
    text: r"The score points uphill on $\log q(x_t)$: at large $t$ to the middle, at small $t$ to the nearest piece of data. The network is good where points of $q(x_t)$ are and free to be wrong where there are none, which is why the error is weighted by $q(x_t)$.",
    experiment: r"Drag $t$ down from $T$: at which $t$ does the one valley split? Then look at the error far from the data: does it matter for samples?",
};

static REVERSE: Card = Card {
    equations: &[
        Equation {
            tex: r"x_{t-1} = \frac{1}{\sqrt{\alpha_t}}\left(x_t + \beta_t\,s_\theta(x_t, t)\right) + \sigma_t z, \quad z \sim \mathcal{N}(0, I)",
            source: "Ho, Jain, Abbeel 2020, section 3.2, equation 11, with the score in place of the noise",
        },
        Equation {
            tex: r"x \gets x + \frac{\delta}{2}\,s_\theta(x, t) + \sqrt{\delta}\,z",
            source: "Langevin dynamics at the noise level t: Song and Ermon 2019, section 2.2; the resemblance is the point of section 3.2",
        },
        Equation {
            tex: r"\frac{\mathrm{d}x}{\mathrm{d}t} = -\frac{1}{2}\,\beta(t)\left(x + s_\theta(x, t)\right)",
            source: "The probability-flow ODE: Song et al. 2021, section 4.3, equation 13, for the process of Ho et al.",
        },
    ],
    text: r"A step of DDPM is a step of Langevin dynamics: uphill along the score, plus a little noise, at a noise level that sinks from step to step. The ODE follows half the score without noise, and yet carries $\mathcal{N}(0, I)$ to the same distribution.",
    experiment: r"Give all samplers 10 steps, then 100. Which needs them most? Then drag one point: where does a small move change where the path ends?",
};

static WRONG: Card = Card {
    equations: &[Equation {
        tex: r"\operatorname{KL}\left(q(x_T)\ \mid\ \mathcal{N}(0, I)\right) \approx 0, \quad \epsilon_\theta \approx \epsilon^*, \quad \beta_t \ll 1",
        source: "What the method rests on: Ho, Jain, Abbeel 2020, sections 2 and 3",
    }],
    text: r"Sampling is right if the end of the forward process is noise, the network knows the score at every $t$, and steps are small. Break one of the three and look at what becomes of the samples.",
    experiment: r"Before you press Try, say what will happen. Then see whether the modes get their share.",
};

/// The card of a view, by its place in [`VIEWS`].
pub fn card(view: usize) -> &'static Card {
    match view {
        0 => &FORWARD,
        1 => &TRAINING,
        2 => &FIELDS,
        3 => &REVERSE,
        _ => &WRONG,
    }
}

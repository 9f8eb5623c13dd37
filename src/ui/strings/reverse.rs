//! The room of the reverse process.

use noiselab::diffusion::Objective;

/// In the rail.
pub const TITLE: &str = "Reverse process";

/// The choice of a model.
pub const MODEL: &str = "Model";
/// Its tooltip.
pub const MODEL_TIP: &str = "The network that removes the noise.";
/// The weights that come along.
pub const PRETRAINED: &str = "Digits, pretrained";
/// The run in training.
pub const TRAINING_AVERAGED: &str = "In training, averaged weights";
/// The run in training.
pub const TRAINING_RAW: &str = "In training, raw weights";
/// A model from elsewhere.
pub const OTHER: &str = "Own folder";
/// A choice of model: opens a dialog for a diffusers pipeline or a run of `noiselab train`.
pub const OWN_FOLDER: &str = "Open a folder…";

/// Samples at once.
pub const COUNT: &str = "Samples";
/// Its tooltip.
pub const COUNT_TIP: &str = "How many images are drawn at once, each from noise of its own.";
/// The seed.
pub const SEED: &str = "Seed";
/// Its tooltip.
pub const SEED_TIP: &str =
    "Where all randomness comes from: the same seed gives the same noise, and so the same images.";
/// Another seed.
pub const NEW_SEED: &str = "New seed";
/// Its tooltip.
pub const NEW_SEED_TIP: &str = "Takes another seed and draws again.";
/// Begins.
pub const DRAW: &str = "Draw";
/// Its tooltip.
pub const DRAW_TIP: &str = "Begins with pure noise and removes it step by step.";
/// Ends.
pub const STOP: &str = "Stop";
/// Its tooltip.
pub const STOP_TIP: &str = "Stops; the frames that are there stay.";
/// Whether there is a run B.
pub const COMPARE: &str = "Compare two samplers";
/// Its tooltip.
pub const COMPARE_TIP: &str = "Draws the same noise a second time with another sampler.";

/// What stands beside x_t.
pub const BESIDE: &str = "Beside x at time t";
/// Its tooltip.
pub const fn beside_tip(objective: Objective) -> &'static str {
    match objective {
        Objective::Epsilon => {
            "What of each step is shown next to the image on its way. This network predicts the noise; the predicted image is the same prediction seen from the other side."
        }
        Objective::Sample => {
            "What of each step is shown next to the image on its way. This network predicts the image; the predicted noise is the same prediction seen from the other side."
        }
        Objective::VPrediction => {
            "What of each step is shown next to the image on its way. This network predicts the velocity v; predicted image and predicted noise are two views of it."
        }
    }
}
/// x̂_0.
pub const X0_HAT: &str = "Predicted image";
/// ε̂.
pub const EPS_HAT: &str = "Predicted noise";
/// z.
pub const NOISE: &str = "Noise added";

/// Above the grid of x_t.
pub const X_T_CAPTION: &str = "$x_t$";
/// Above the grid of x̂_0.
pub const X0_HAT_CAPTION: &str = "$\\hat{x}_0$";
/// Above the grid of ε̂.
pub const EPS_HAT_CAPTION: &str = "$\\hat{\\epsilon}$";
/// Above the grid of z.
pub const NOISE_CAPTION: &str = "$z$";

/// The names of the runs.
pub const RUNS: [&str; 2] = ["A", "B"];
/// The choice of a sampler.
pub const SAMPLER: &str = "Sampler";
/// Network evaluations.
pub const STEPS: &str = "Steps";
/// Its tooltip.
pub const STEPS_TIP: &str =
    "Network evaluations on the way from noise to image: fewer are faster and coarser.";
/// DDIM's η.
pub const ETA: &str = "η";
/// Its tooltip.
pub const ETA_TIP: &str =
    "How much noise DDIM adds at each step: 0 adds none, 1 as much as the ancestral sampler.";

/// A counter.
pub const EVALUATIONS: &str = "Network evaluations";
/// Its tooltip.
pub const EVALUATIONS_TIP: &str = "How often the network looked at an image, all samples together.";
/// A counter.
pub const SECONDS: &str = "Time";
/// Its tooltip.
pub const SECONDS_TIP: &str = "Time that the device worked for this run.";
/// A counter.
pub const STEP: &str = "Step";
/// Its tooltip.
pub const STEP_TIP: &str = "Steps taken up to the frame that is shown.";
/// A counter.
pub const SIGMA: &str = "Noise added, σ";
/// Its tooltip.
pub const SIGMA_TIP: &str = "Standard deviation of the noise that the step to this frame added.";
/// σ is 0.
pub const NO_NOISE: &str = "no noise is added";
/// σ is 0, as a value.
pub const SIGMA_NONE: &str = "none";
/// Nothing was predicted before the first step.
pub const NO_PREDICTION: &str = "nothing predicted yet";
/// Nothing is there.
pub const EMPTY: &str = "not drawn yet";
/// The other run comes first.
pub const WAITING: &str = "follows after run A";
/// There is no model.
pub const NO_MODEL: &str = "The network is being opened; the first images follow by themselves.";
/// While pipelines are made.
pub const PREPARING: &str = "Preparing the network";
/// What the settings say is not what is shown.
pub const CHANGED: &str = "Settings changed: Draw shows them.";
/// What can be done with a tile.
pub const ENLARGE_TIP: &str = "Shows the whole path of this sample.";

/// Files.
pub const EXPORT: &str = "Export";
/// Its tooltip.
pub const EXPORT_TIP: &str = "Saves what is shown of this run as a file.";
/// A PNG.
pub const EXPORT_PICTURE: &str = "Images (PNG)";
/// Its tooltip.
pub const EXPORT_PICTURE_TIP: &str = "The finished images.";
/// A PNG.
pub const EXPORT_STRIP: &str = "Filmstrip (PNG)";
/// Its tooltip.
pub const EXPORT_STRIP_TIP: &str = "Some frames from noise to image in a row.";
/// A GIF.
pub const EXPORT_FILM: &str = "Film (GIF)";
/// Its tooltip.
pub const EXPORT_FILM_TIP: &str = "All frames, one after the other.";

/// Ends the enlarged view.
pub const CLOSE: &str = "Back to all samples";
/// Its tooltip.
pub const CLOSE_TIP: &str = "Back to all samples (Esc).";
/// What can be done with a frame of a filmstrip.
pub const FRAME_TIP: &str = "Moves the time to this frame.";

/// The title of the enlarged view.
pub fn path_title(sample: usize) -> String {
    format!("Sample {}, the whole path", sample + 1)
}

/// What screen readers call a tile.
pub fn tile(what: &str, run: &str, sample: usize) -> String {
    format!("{what} of sample {}, run {run}", sample + 1)
}

/// What screen readers call a grid.
pub fn grid(what: &str, run: &str, t: usize) -> String {
    format!("{what}, run {run}, at t = {t}")
}

/// What screen readers call a frame of a filmstrip.
pub fn frame(what: &str, run: &str, t: usize) -> String {
    format!("{what} at t = {t}, run {run}")
}

/// x_t, for screen readers.
pub const X_T: &str = "Noisy image";

/// t of a frame.
pub fn at_t(t: usize) -> String {
    format!("t = {t}")
}

/// A sampler as it was run.
pub fn sampler(name: &str, steps: usize, eta: Option<f64>) -> String {
    let name = sampler_name(name);
    match eta {
        Some(eta) => format!("{name}, {steps} steps, η = {eta}"),
        None => format!("{name}, {steps} steps"),
    }
}

/// What a sampler is called.
pub fn sampler_name(name: &str) -> String {
    match name {
        "pf_ode" => "PF-ODE".into(),
        "langevin" => "Langevin".into(),
        _ => name.to_uppercase(),
    }
}

/// What a sampler does; [`None`] for one that nobody has described yet.
pub fn sampler_tip(name: &str) -> Option<&'static str> {
    match name {
        "ddpm" => Some("The paper's own way down: every step but the last adds fresh noise."),
        "ddim" => Some(
            "Adds no noise where η is 0, so that it can take few large steps and always ends at the same image.",
        ),
        "pf_ode" => Some(
            "Follows the probability flow, an ordinary differential equation: no noise, and a way back from the image to the noise.",
        ),
        "langevin" => Some(
            "Walks along the score with fresh noise at each step, at one noise level after the other.",
        ),
        _ => None,
    }
}

/// How far a run is.
pub fn step_of(taken: usize, of: usize) -> String {
    format!("{taken} of {of}")
}

/// Seconds.
pub fn seconds(s: f64) -> String {
    if s < 10.0 {
        format!("{s:.2} s")
    } else {
        format!("{s:.1} s")
    }
}

/// Pipelines made.
pub fn preparing(done: usize, of: usize) -> String {
    format!("{PREPARING}: {done} of {of}")
}

#[cfg(test)]
mod tests {
    use noiselab::diffusion::sampler::SAMPLERS;

    use super::*;

    #[test]
    fn every_sampler_is_described() {
        for sampler in SAMPLERS {
            assert!(sampler_tip(sampler.name).is_some(), "{}", sampler.name);
        }
    }
}

//! The "What am I seeing" cards.

use crate::ui::widgets::{Card, Equation};

/// Forward process.
pub const FORWARD: Card = Card {
    equations: &[Equation {
        tex: r"q(x_t \mid x_0) = \mathcal{N}\left(x_t;\ \sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t)\,I\right)",
        source: "Ho, Jain, Abbeel 2020, section 2, equation 4",
    }],
    text: "The image fades by $\\sqrt{\\bar\\alpha_t}$ while Gaussian noise grows to take its place, so that after $T$ steps nothing but noise is left. Since each step adds Gaussian noise, any $t$ can be reached in a single jump.",
    experiment: "Choose a small T and look at the last picture of the strip: can you still make out what it was?",
};
/// Training.
pub const TRAINING: Card = FORWARD;

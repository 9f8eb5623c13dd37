//! The "What am I seeing" cards. Formulas are in the subset of TeX that [`crate::ui::widgets::math`] reads.

use noiselab::diffusion::Objective;

use crate::ui::widgets::{Card, Equation};

/// Forward process.
pub static FORWARD: Card = Card {
    equations: &[Equation {
        tex: r"q(x_t \mid x_0) = \mathcal{N}\left(x_t;\ \sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t)\,I\right), \quad \bar\alpha_t = \prod_{s=1}^{t} (1-\beta_s)",
        source: "Ho, Jain, Abbeel 2020, section 2, equation 4",
    }],
    text: r"The image fades by the factor $\sqrt{\bar\alpha_t}$ while Gaussian noise of variance $1-\bar\alpha_t$ takes its place, so that next to nothing of it is left at $t = T$. As sums of Gaussians are Gaussian, any $x_t$ can be drawn from $x_0$ in one jump, without the steps between.",
    experiment: r"Put two schedules side by side and stop at $t = T/2$: under which one can you still read the digit? Then make $T$ small, and see whether the last picture is pure noise.",
};

/// What training adds to every objective.
macro_rules! training_text {
    ($asked:literal) => {
        concat!(
            r"The network is shown a noisy image $x_t$ and its timestep, and has to say ",
            $asked,
            r"; the loss is the mean squared error of its answer. Samples from the moving average of the weights look better in the long run, yet lag behind the raw weights at the start."
        )
    };
}

/// Training, where the network predicts ε.
pub static TRAINING: Card = Card {
    equations: &[
        Equation {
            tex: r"L_{\text{simple}}(\theta) = \mathbb{E}_{t,\,x_0,\,\epsilon}\left[\,\left\|\epsilon - \epsilon_\theta\left(\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon,\ t\right)\right\|^2\,\right]",
            source: "Ho, Jain, Abbeel 2020, section 3.4, equation 14",
        },
        Equation {
            tex: r"\theta \gets \theta - \eta\,\nabla_\theta \left\|\epsilon - \epsilon_\theta(x_t, t)\right\|^2, \quad t \sim \mathcal{U}\{1, \ldots, T\},\ \epsilon \sim \mathcal{N}(0, I)",
            source: "The same, Algorithm 1: one step of training, here with plain gradient descent; the paper and noiselab use Adam",
        },
    ],
    text: training_text!(r"which noise $\epsilon$ was mixed in"),
    experiment: r"Train for a minute, then compare the loss at small and at large $t$: where is the noise easy to tell from the image, and where is it hard?",
};

/// Training, where it predicts x_0.
pub static TRAINING_X0: Card = Card {
    equations: &[
        Equation {
            tex: r"L(\theta) = \mathbb{E}_{t,\,x_0,\,\epsilon}\left[\,\left\|x_0 - x_\theta\left(\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon,\ t\right)\right\|^2\,\right]",
            source: "Ho, Jain, Abbeel 2020, end of section 3.2: the image as the target; otherwise as equation 14",
        },
        Equation {
            tex: r"\theta \gets \theta - \eta\,\nabla_\theta \left\|x_0 - x_\theta(x_t, t)\right\|^2, \quad t \sim \mathcal{U}\{1, \ldots, T\},\ \epsilon \sim \mathcal{N}(0, I)",
            source: "The same, Algorithm 1 with that target: one step of training, here with plain gradient descent; the paper and noiselab use Adam",
        },
    ],
    text: training_text!(r"which clean image $x_0$ is in it"),
    experiment: r"Train for a minute, then compare the loss at small and at large $t$: where is the image easy to make out, and where can it only be guessed?",
};

/// Training, where it predicts v.
pub static TRAINING_V: Card = Card {
    equations: &[
        Equation {
            tex: r"L(\theta) = \mathbb{E}_{t,\,x_0,\,\epsilon}\left[\,\left\|v_t - v_\theta(x_t, t)\right\|^2\,\right], \quad v_t = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1-\bar\alpha_t}\,x_0",
            source: "Salimans, Ho 2022, section 4: the velocity v as the target",
        },
        Equation {
            tex: r"\theta \gets \theta - \eta\,\nabla_\theta \left\|v_t - v_\theta(x_t, t)\right\|^2, \quad t \sim \mathcal{U}\{1, \ldots, T\},\ \epsilon \sim \mathcal{N}(0, I)",
            source: "Ho, Jain, Abbeel 2020, Algorithm 1 with that target: one step of training, here with plain gradient descent; the paper and noiselab use Adam",
        },
    ],
    text: training_text!(
        r"the velocity $v_t$, which is the noise $\epsilon$ where $t$ is small and, with its sign turned, the image where $t$ is large"
    ),
    experiment: r"Train for a minute, then compare the loss at small and at large $t$: at one end the network guesses noise, at the other the image. Which is harder?",
};

/// The step of DDIM, whatever the network predicts.
macro_rules! ddim {
    ($views:literal) => {
        Equation {
            tex: concat!(
                r"x_{t-1} = \sqrt{\bar\alpha_{t-1}}\,\hat x_0 + \sqrt{1-\bar\alpha_{t-1}-\sigma_t^2}\;\hat\epsilon + \sigma_t z, \quad ",
                $views
            ),
            source: r"DDIM: Song, Meng, Ermon 2021, section 4.1, equation 12, where their alpha is the alpha bar of Ho et al.",
        }
    };
}

/// DDPM's step by x̂_0.
const DDPM_BY_X0: Equation = Equation {
    tex: r"x_{t-1} = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,\hat x_0 + \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t + \sigma_t z, \quad z \sim \mathcal{N}(0, I)",
    source: "DDPM: Ho, Jain, Abbeel 2020, sections 2 and 3.2, equation 7 with the prediction in place of the image",
};

/// What the reverse process is, after a sentence on the prediction.
macro_rules! reverse_text {
    ($predicts:literal) => {
        concat!(
            $predicts,
            r" The predicted image and the predicted noise are two views of one prediction: as $x_t = \sqrt{\bar\alpha_t}\,\hat x_0 + \sqrt{1-\bar\alpha_t}\,\hat\epsilon$, either gives the other. Each step takes a little of that noise away, and DDPM adds a little fresh noise $\sigma_t z$; DDIM with $\eta = 0$ adds none, so that it may skip most of the steps, and the same seed always leads to the same image."
        )
    };
}

const REVERSE_EXPERIMENT: &str = r"Watch $\hat x_0$ from the noise end: at which $t$ does it settle on a digit? Then give DDIM 50, 20, 10 and 5 steps, and see when it falls apart.";

/// Reverse process, where the network predicts ε.
pub static REVERSE: Card = Card {
    equations: &[
        Equation {
            tex: r"x_{t-1} = \frac{1}{\sqrt{\alpha_t}}\left(x_t - \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\epsilon_\theta(x_t, t)\right) + \sigma_t z, \quad z \sim \mathcal{N}(0, I)",
            source: "DDPM: Ho, Jain, Abbeel 2020, section 3.2, equation 11 and Algorithm 2",
        },
        ddim!(
            r"\hat\epsilon = \epsilon_\theta(x_t, t), \quad \hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\hat\epsilon}{\sqrt{\bar\alpha_t}}"
        ),
    ],
    text: reverse_text!(r"This network predicts the noise in $x_t$."),
    experiment: REVERSE_EXPERIMENT,
};

/// Reverse process, where it predicts x_0.
pub static REVERSE_X0: Card = Card {
    equations: &[
        DDPM_BY_X0,
        ddim!(
            r"\hat x_0 = x_\theta(x_t, t), \quad \hat\epsilon = \frac{x_t - \sqrt{\bar\alpha_t}\,\hat x_0}{\sqrt{1-\bar\alpha_t}}"
        ),
    ],
    text: reverse_text!(r"This network predicts the clean image in $x_t$."),
    experiment: REVERSE_EXPERIMENT,
};

/// Reverse process, where it predicts v.
pub static REVERSE_V: Card = Card {
    equations: &[
        DDPM_BY_X0,
        ddim!(
            r"\hat x_0 = \sqrt{\bar\alpha_t}\,x_t - \sqrt{1-\bar\alpha_t}\,v_\theta(x_t, t), \quad \hat\epsilon = \sqrt{1-\bar\alpha_t}\,x_t + \sqrt{\bar\alpha_t}\,v_\theta(x_t, t)"
        ),
    ],
    text: reverse_text!(
        r"This network predicts the velocity $v$, from which both image and noise follow."
    ),
    experiment: REVERSE_EXPERIMENT,
};

const ATTENTION: Equation = Equation {
    tex: r"\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{Q K^\top}{\sqrt{d}}\right) V",
    source: "Vaswani et al. 2017, section 3.2.1, equation 1",
};

const EMBEDDING: Equation = Equation {
    tex: r"e(t)_i = \sin(\omega_i t), \quad e(t)_{n+i} = \cos(\omega_i t), \quad \omega_i = 10000^{-i/n}",
    source: "Vaswani et al. 2017, section 3.5: the sinusoidal embedding of t, of length 2n",
};

const NETWORK_TEXT: &str = r"The left arm of the U makes the picture smaller and richer in channels, the right arm brings it back to full size, and skip connections hand fine detail across. Every residual block is told the time $t$ by an embedding, and attention lets far places of the picture see each other. What comes out is one prediction with two views, the noise and the image, as $x_t = \sqrt{\bar\alpha_t}\,\hat x_0 + \sqrt{1-\bar\alpha_t}\,\hat\epsilon$.";
const NETWORK_EXPERIMENT: &str = r"Drag $t$ from 0 to $T$ and watch the activations at the bottom of the U; then point at a stroke of the digit and see where attention looks.";

/// Network, where it predicts ε.
pub static NETWORK: Card = Card {
    equations: &[
        Equation {
            tex: r"\hat\epsilon = \epsilon_\theta(x_t, t)",
            source: "Ho, Jain, Abbeel 2020, section 3.2 and appendix B: a U-Net that knows t and predicts the noise",
        },
        ATTENTION,
        EMBEDDING,
    ],
    text: NETWORK_TEXT,
    experiment: NETWORK_EXPERIMENT,
};

/// Network, where it predicts x_0.
pub static NETWORK_X0: Card = Card {
    equations: &[
        Equation {
            tex: r"\hat x_0 = x_\theta(x_t, t)",
            source: "Ho, Jain, Abbeel 2020, section 3.2 and appendix B: a U-Net that knows t, here one that predicts the image",
        },
        ATTENTION,
        EMBEDDING,
    ],
    text: NETWORK_TEXT,
    experiment: NETWORK_EXPERIMENT,
};

/// Network, where it predicts v.
pub static NETWORK_V: Card = Card {
    equations: &[
        Equation {
            tex: r"\hat v = v_\theta(x_t, t)",
            source: "Salimans, Ho 2022, section 4; Ho, Jain, Abbeel 2020, appendix B: a U-Net that knows t, here one that predicts the velocity",
        },
        ATTENTION,
        EMBEDDING,
    ],
    text: NETWORK_TEXT,
    experiment: NETWORK_EXPERIMENT,
};

/// The card of a room by the room's id, for a network of that objective.
pub fn of(room: &str, objective: Objective) -> Option<&'static Card> {
    match room {
        "forward" => Some(&FORWARD),
        "training" => Some(match objective {
            Objective::Epsilon => &TRAINING,
            Objective::Sample => &TRAINING_X0,
            Objective::VPrediction => &TRAINING_V,
        }),
        "reverse" => Some(match objective {
            Objective::Epsilon => &REVERSE,
            Objective::Sample => &REVERSE_X0,
            Objective::VPrediction => &REVERSE_V,
        }),
        "network" => Some(match objective {
            Objective::Epsilon => &NETWORK,
            Objective::Sample => &NETWORK_X0,
            Objective::VPrediction => &NETWORK_V,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::widgets::math;

    #[test]
    fn every_formula_is_understood() {
        let rooms = ["forward", "training", "reverse", "network"];
        let all = |o| rooms.map(|room| of(room, o).expect("a card"));
        for card in Objective::ALL.into_iter().flat_map(all) {
            for equation in card.equations {
                math::check(equation.tex).unwrap_or_else(|e| panic!("{}: {e}", equation.tex));
                assert!(!equation.source.is_empty());
            }
            for text in [card.text, card.experiment] {
                assert_eq!(text.matches('$').count() % 2, 0, "{text}");
                for formula in text.split('$').skip(1).step_by(2) {
                    math::check(formula).unwrap_or_else(|e| panic!("{formula}: {e}"));
                }
            }
        }
    }

    #[test]
    fn cards_speak_of_what_the_network_predicts() {
        let of_network = [
            (Objective::Epsilon, r"\epsilon_\theta"),
            (Objective::Sample, r"x_\theta"),
            (Objective::VPrediction, r"v_\theta"),
        ];
        for room in ["training", "reverse", "network"] {
            for (objective, name) in of_network {
                let card = of(room, objective).expect("a card");
                let text: String = card.equations.iter().map(|e| e.tex).collect();
                for (_, other) in of_network {
                    let said = text.replace(r"\nabla_\theta", "").contains(other);
                    assert_eq!(said, other == name, "{room}, {objective:?}: {other}");
                }
            }
        }
    }
}

//! The "What am I seeing" cards. Formulas are in the subset of TeX that [`crate::ui::widgets::math`] reads.

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

/// Training.
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
    text: r"The network is shown a noisy image $x_t$ and its timestep, and has to say which noise $\epsilon$ was mixed in; the loss is the mean squared error of its answer. Samples from the moving average of the weights look better in the long run, yet lag behind the raw weights at the start.",
    experiment: r"Train for a minute, then compare the loss at small and at large $t$: where is the noise easy to tell from the image, and where is it hard?",
};

/// Reverse process.
pub static REVERSE: Card = Card {
    equations: &[
        Equation {
            tex: r"x_{t-1} = \frac{1}{\sqrt{\alpha_t}}\left(x_t - \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\epsilon_\theta(x_t, t)\right) + \sigma_t z, \quad z \sim \mathcal{N}(0, I)",
            source: "DDPM: Ho, Jain, Abbeel 2020, section 3.2, equation 11 and Algorithm 2",
        },
        Equation {
            tex: r"x_{t-1} = \sqrt{\bar\alpha_{t-1}}\,\hat x_0 + \sqrt{1-\bar\alpha_{t-1}-\sigma_t^2}\;\epsilon_\theta(x_t, t) + \sigma_t z, \quad \hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}}",
            source: r"DDIM: Song, Meng, Ermon 2021, section 4.1, equation 12, where their alpha is the alpha bar of Ho et al.",
        },
    ],
    text: r"Each step takes away a little of the noise that the network predicts, and DDPM adds a little fresh noise $\sigma_t z$. DDIM with $\eta = 0$ adds none, so that it may skip most of the steps, and the same seed always leads to the same image.",
    experiment: r"Watch $\hat x_0$ from the noise end: at which $t$ does it settle on a digit? Then give DDIM 50, 20, 10 and 5 steps, and see when it falls apart.",
};

/// Network.
pub static NETWORK: Card = Card {
    equations: &[
        Equation {
            tex: r"\hat\epsilon = \epsilon_\theta(x_t, t)",
            source: "Ho, Jain, Abbeel 2020, section 3.2 and appendix B: a U-Net that knows t",
        },
        Equation {
            tex: r"\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{Q K^\top}{\sqrt{d}}\right) V",
            source: "Vaswani et al. 2017, section 3.2.1, equation 1",
        },
        Equation {
            tex: r"e(t)_i = \sin(\omega_i t), \quad e(t)_{n+i} = \cos(\omega_i t), \quad \omega_i = 10000^{-i/n}",
            source: "Vaswani et al. 2017, section 3.5: the sinusoidal embedding of t, of length 2n",
        },
    ],
    text: r"The left arm of the U makes the picture smaller and richer in channels, the right arm brings it back to full size, and skip connections hand fine detail across. Every residual block is told the time $t$ by an embedding, and attention lets far places of the picture see each other.",
    experiment: r"Drag $t$ from 0 to $T$ and watch the activations at the bottom of the U; then point at a stroke of the digit and see where attention looks.",
};

/// The card of a room by the room's id.
pub fn of(room: &str) -> Option<&'static Card> {
    match room {
        "forward" => Some(&FORWARD),
        "training" => Some(&TRAINING),
        "reverse" => Some(&REVERSE),
        "network" => Some(&NETWORK),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::widgets::math;

    #[test]
    fn every_formula_is_understood() {
        for card in [&FORWARD, &TRAINING, &REVERSE, &NETWORK] {
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
}

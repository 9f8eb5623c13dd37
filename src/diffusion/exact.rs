//! The exact answer: for x_0 from a mixture of isotropic Gaussians, q(x_t), its score and the optimal
//! denoiser in closed form. This is the reference, in f64; `nn::exact` computes the same on the device.
//!
//! With x_t = √ᾱ x_0 + √(1−ᾱ) ε (paper, equation 4) and x_0 ~ Σ_k w_k N(μ_k, s_k² I), noise only moves and
//! widens the components:
//!
//! ```text
//! q(x_t)  = Σ_k w_k N(x_t; √ᾱ μ_k, v_k I),   v_k = ᾱ s_k² + 1 − ᾱ
//! score   = ∇ ln q(x_t) = Σ_k r_k (√ᾱ μ_k − x_t) / v_k,   r_k the posterior share of component k
//! E[ε|x_t]   = −√(1−ᾱ) · score
//! E[x_0|x_t] = Σ_k r_k (μ_k + √ᾱ s_k² / v_k · (x_t − √ᾱ μ_k))
//! ```
//!
//! E[ε | x_t] is what the simple loss (equation 14) is least for, so it is what a network tends to. That it is a
//! multiple of the score is denoising score matching (Vincent 2011; section 3.2 of the paper).

/// One Gaussian of a [`Mixture`], in the plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// μ.
    pub mean: [f32; 2],
    /// Its share; those of a mixture add up to 1.
    pub weight: f32,
    /// s², the variance of each coordinate; larger than 0.
    pub variance: f32,
}

/// A mixture of isotropic Gaussians in the plane.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mixture {
    /// The Gaussians.
    pub components: Vec<Component>,
}

/// What is known of a point at a noise level.
struct Known {
    log_density: f64,
    score: [f64; 2],
    x0: [f64; 2],
}

impl Mixture {
    /// ln q(x_t) in nats, at noise level `alpha_bar` in [0, 1]; 1 is the mixture itself.
    pub fn log_density(&self, x: [f32; 2], alpha_bar: f64) -> f64 {
        self.known(x.map(f64::from), alpha_bar).log_density
    }

    /// ∇ ln q(x_t).
    pub fn score(&self, x: [f32; 2], alpha_bar: f64) -> [f64; 2] {
        self.known(x.map(f64::from), alpha_bar).score
    }

    /// E[ε | x_t].
    pub fn eps(&self, x: [f32; 2], alpha_bar: f64) -> [f64; 2] {
        let factor = -(1.0 - alpha_bar).max(0.0).sqrt();
        self.score(x, alpha_bar).map(|s| factor * s)
    }

    /// E[x_0 | x_t].
    pub fn x0(&self, x: [f32; 2], alpha_bar: f64) -> [f64; 2] {
        self.known(x.map(f64::from), alpha_bar).x0
    }

    /// Mean, and the mean of the two coordinates' variances.
    pub fn moments(&self) -> ([f64; 2], f64) {
        let over = |f: &dyn Fn(&Component) -> f64| -> f64 {
            let terms = self.components.iter().map(|c| f64::from(c.weight) * f(c));
            terms.sum::<f64>() / self.total_weight()
        };
        let mean = [0, 1].map(|i| over(&|c| f64::from(c.mean[i])));
        let spread = over(&|c| {
            let d = [0, 1].map(|i| f64::from(c.mean[i]) - mean[i]);
            f64::from(c.variance) + 0.5 * (d[0] * d[0] + d[1] * d[1])
        });
        (mean, spread)
    }

    fn total_weight(&self) -> f64 {
        self.components.iter().map(|c| f64::from(c.weight)).sum()
    }

    fn known(&self, x: [f64; 2], alpha_bar: f64) -> Known {
        let a = alpha_bar.max(0.0).sqrt();
        // The exponents first, so that their largest can be taken off.
        let exponent = |c: &Component| {
            let v = alpha_bar * f64::from(c.variance) + 1.0 - alpha_bar;
            let d = [0, 1].map(|i| a * f64::from(c.mean[i]) - x[i]);
            (-(d[0] * d[0] + d[1] * d[1]) / (2.0 * v), v, d)
        };
        let parts = self.components.iter().filter(|c| c.weight > 0.0);
        let most = parts
            .clone()
            .map(|c| exponent(c).0)
            .fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut score, mut x0) = (0.0, [0.0; 2], [0.0; 2]);
        for c in parts {
            let (e, v, d) = exponent(c);
            let share = f64::from(c.weight) * (e - most).exp() / v;
            sum += share;
            for i in 0..2 {
                score[i] += share * d[i] / v;
                x0[i] += share * (f64::from(c.mean[i]) - a * f64::from(c.variance) / v * d[i]);
            }
        }
        Known {
            log_density: most + (sum / self.total_weight() / std::f64::consts::TAU).ln(),
            score: score.map(|s| s / sum),
            x0: x0.map(|m| m / sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uneven() -> Mixture {
        let component = |mean, weight, variance| Component {
            mean,
            weight,
            variance,
        };
        Mixture {
            components: vec![
                component([1.0, 0.5], 0.2, 0.04),
                component([-0.6, 0.9], 0.5, 0.3),
                component([0.1, -1.2], 0.3, 0.01),
            ],
        }
    }

    const LEVELS: [f64; 5] = [1.0, 0.9999, 0.7, 0.1, 1e-4];

    #[test]
    fn the_score_is_the_gradient_of_the_log_density() {
        let mixture = uneven();
        for alpha_bar in LEVELS {
            for x in [
                [0.9, 0.6],
                [-2.0, 1.0],
                [0.0, 0.0],
                [0.3, -1.0],
                [4.0, -3.0],
            ] {
                let score = mixture.known(x, alpha_bar).score;
                for i in 0..2 {
                    let at = |h: f64| {
                        let mut moved = x;
                        moved[i] += h;
                        mixture.known(moved, alpha_bar).log_density
                    };
                    let h = 1e-5;
                    let slope = (at(h) - at(-h)) / (2.0 * h);
                    approx::assert_relative_eq!(
                        score[i],
                        slope,
                        max_relative = 1e-5,
                        epsilon = 1e-5
                    );
                }
            }
        }
    }

    /// E[x_0 | x_t] and q(x_t) by summing over a fine grid of x_0: Bayes' rule, and nothing of the closed form.
    fn by_brute_force(mixture: &Mixture, x: [f64; 2], alpha_bar: f64) -> ([f64; 2], f64) {
        const SIDE: i32 = 600;
        const REACH: f64 = 3.5;
        let cell = 2.0 * REACH / f64::from(SIDE);
        let (a, rest) = (alpha_bar.sqrt(), 1.0 - alpha_bar);
        let normal = |d2: f64, v: f64| (-d2 / (2.0 * v)).exp() / (std::f64::consts::TAU * v);
        let (mut sum, mut mean) = (0.0, [0.0; 2]);
        for i in 0..SIDE {
            for j in 0..SIDE {
                let x0 = [i, j].map(|k| (f64::from(k) + 0.5) * cell - REACH);
                let square = |to: [f64; 2], scale: f64| {
                    (0..2).map(|k| (to[k] - scale * x0[k]).powi(2)).sum::<f64>()
                };
                let prior: f64 = mixture
                    .components
                    .iter()
                    .map(|c| {
                        f64::from(c.weight)
                            * normal(square(c.mean.map(f64::from), 1.0), f64::from(c.variance))
                    })
                    .sum();
                let joint = prior * normal(square(x, a), rest) * cell * cell;
                sum += joint;
                for k in 0..2 {
                    mean[k] += joint * x0[k];
                }
            }
        }
        (mean.map(|m| m / sum), sum)
    }

    #[test]
    fn the_denoiser_is_the_posterior_mean() {
        let mixture = uneven();
        for alpha_bar in [0.99, 0.6, 0.1] {
            for x in [[0.5, 0.4], [-0.3, 0.7], [1.5, -0.9]] {
                let (mean, density) = by_brute_force(&mixture, x, alpha_bar);
                let known = mixture.known(x, alpha_bar);
                approx::assert_abs_diff_eq!(known.log_density, density.ln(), epsilon = 2e-4);
                let (a, s) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
                for i in 0..2 {
                    approx::assert_abs_diff_eq!(known.x0[i], mean[i], epsilon = 2e-4);
                    // x_t = √ᾱ E[x_0|x_t] + √(1−ᾱ) E[ε|x_t] (Tweedie's formula).
                    let eps = -s * known.score[i];
                    approx::assert_abs_diff_eq!(a * known.x0[i] + s * eps, x[i], epsilon = 1e-12);
                }
            }
        }
    }

    #[test]
    fn far_from_everything_there_is_still_a_number() {
        let mixture = uneven();
        for alpha_bar in LEVELS {
            let known = mixture.known([3e4, -2e4], alpha_bar);
            let all = [known.score, known.x0].concat();
            assert!(known.log_density < -1e4 && all.iter().all(|v| v.is_finite()));
            assert!(known.score[0] < 0.0 && known.score[1] > 0.0);
        }
        let pure_noise = mixture.eps([0.7, -0.4], 0.0);
        assert!((pure_noise[0] - 0.7).abs() < 1e-6 && (pure_noise[1] + 0.4).abs() < 1e-6);
        assert_eq!(mixture.eps([0.7, -0.4], 1.0), [0.0, 0.0]);
    }

    #[test]
    fn moments_count_the_components_own_spread() {
        let (mean, spread) = uneven().moments();
        approx::assert_abs_diff_eq!(mean[0], 0.2 - 0.3 + 0.03, epsilon = 1e-6);
        approx::assert_abs_diff_eq!(mean[1], 0.1 + 0.45 - 0.36, epsilon = 1e-6);
        let squares = 0.2 * 1.25 + 0.5 * 1.17 + 0.3 * 1.45;
        let expected = 0.5 * (squares - mean[0] * mean[0] - mean[1] * mean[1])
            + 0.2 * 0.04
            + 0.5 * 0.3
            + 0.3 * 0.01;
        approx::assert_abs_diff_eq!(spread, expected, epsilon = 1e-6);
    }
}

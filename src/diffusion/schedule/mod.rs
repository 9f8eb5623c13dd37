//! Noise schedules β_1 … β_T, and everything that follows from them.
//!
//! diffusers computes its tables in f32. `1 − ᾱ_t` is about 1e-4 at the first timesteps, so that one
//! unit in the last place of ᾱ changes it by more than 1e-4 of itself: a scheduler step agrees with
//! diffusers only when the tables agree to the last bit. Hence the same operations in the same
//! precision here, with fused multiply-adds where PyTorch's kernels have them.

mod linear;
mod scaled_linear;
mod sigmoid;
mod squaredcos_cap_v2;

use super::DiffusionError;

/// A rule that gives β for every timestep.
pub trait BetaSchedule: Sync {
    /// The name in diffusers' `beta_schedule`.
    fn name(&self) -> &'static str;
    /// One sentence for people: what is special about it.
    fn summary(&self) -> &'static str;
    /// Whether [`BetaSchedule::betas`] looks at `beta_start` and `beta_end`.
    fn uses_beta_range(&self) -> bool {
        true
    }
    /// β for `timesteps` steps, f32 as diffusers computes them.
    fn betas(&self, timesteps: usize, beta_start: f64, beta_end: f64) -> Vec<f32>;
}

/// Every noise schedule. A new one is a file and a line here.
pub static SCHEDULES: &[&dyn BetaSchedule] = &[
    &linear::Linear,
    &scaled_linear::ScaledLinear,
    &squaredcos_cap_v2::SquaredCosCapV2,
    &sigmoid::Sigmoid,
];

/// The schedule of that name.
///
/// # Errors
/// [`DiffusionError::UnknownName`], which lists the names that exist.
pub fn by_name(name: &str) -> Result<&'static dyn BetaSchedule, DiffusionError> {
    SCHEDULES
        .iter()
        .copied()
        .find(|s| s.name() == name)
        .ok_or_else(|| DiffusionError::UnknownName {
            kind: "noise schedule",
            name: name.to_owned(),
            known: SCHEDULES
                .iter()
                .map(|s| s.name())
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// `torch.linspace(start, end, steps, dtype=float32)`: f32, from both ends towards the middle, fused.
fn linspace_f32(start: f64, end: f64, steps: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    if steps == 1 {
        return vec![start];
    }
    let step = (end - start) / (steps as f32 - 1.0);
    (0..steps)
        .map(|i| {
            if i < steps / 2 {
                step.mul_add(i as f32, start)
            } else {
                (-step).mul_add((steps - 1 - i) as f32, end)
            }
        })
        .collect()
}

/// The largest ᾱ_T that counts as "noise only": about 7 % of the image's amplitude is left at T.
pub const TERMINAL_ALPHA_BAR_LIMIT: f64 = 5e-3;

/// The tables of one noise schedule (paper section 2 and equation 4).
///
/// The f32 tables are diffusers' own, bit for bit; samplers and training use them. The f64 functions
/// start from the same β and keep full precision; the likelihood uses them.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    betas: Vec<f32>,
    alphas: Vec<f32>,
    alpha_bars: Vec<f32>,
    /// ᾱ with nothing rounded to f32 on the way, shifted by one: entry 0 is 1, entry t + 1 is ᾱ_t.
    alpha_bars_f64: Vec<f64>,
}

impl NoiseSchedule {
    /// Builds the tables from β.
    ///
    /// # Errors
    /// [`DiffusionError::Invalid`] when there is no β, or one outside (0, 1). The last one may be 1
    /// (zero terminal SNR).
    pub fn from_betas(betas: Vec<f32>) -> Result<Self, DiffusionError> {
        if betas.is_empty() {
            return Err(DiffusionError::Invalid {
                key: "num_train_timesteps",
                value: "0".into(),
                expected: "at least 1".into(),
            });
        }
        let last = betas.len() - 1;
        // A β below half an ulp of 1 leaves α = 1 and 1 − ᾱ_0 = 0, by which the posterior divides.
        let usable = |t: usize, b: f32| {
            b > 0.0 && 1.0 - b < 1.0 && (b < 1.0 || (b == 1.0 && t == last && t > 0))
        };
        if let Some((t, b)) = betas.iter().enumerate().find(|&(t, &b)| !usable(t, b)) {
            return Err(DiffusionError::Invalid {
                key: "beta",
                value: format!("{b} at timestep {t}"),
                expected: "larger than 1e-7 and smaller than 1".into(),
            });
        }
        let alphas: Vec<f32> = betas.iter().map(|b| 1.0 - b).collect();
        // torch.cumprod accumulates in double and rounds each entry.
        let mut product = 1.0f64;
        let alpha_bars = alphas
            .iter()
            .map(|&a| {
                product *= f64::from(a);
                product as f32
            })
            .collect();
        let mut alpha_bars_f64 = Vec::with_capacity(betas.len() + 1);
        alpha_bars_f64.push(1.0);
        let mut exact = 1.0f64;
        for &b in &betas {
            exact *= 1.0 - f64::from(b);
            alpha_bars_f64.push(exact);
        }
        Ok(Self {
            betas,
            alphas,
            alpha_bars,
            alpha_bars_f64,
        })
    }

    /// T, the number of timesteps.
    pub fn timesteps(&self) -> usize {
        self.betas.len()
    }

    /// β_t, f32, length T.
    pub fn betas(&self) -> &[f32] {
        &self.betas
    }

    /// α_t = 1 − β_t, f32, length T.
    pub fn alphas(&self) -> &[f32] {
        &self.alphas
    }

    /// ᾱ_t = α_0 ⋯ α_t (diffusers' `alphas_cumprod`), f32, length T.
    pub fn alpha_bars(&self) -> &[f32] {
        &self.alpha_bars
    }

    /// β_t in f64.
    ///
    /// # Panics
    /// When `t >= T`, as all functions of this type that take a timestep.
    pub fn beta(&self, t: usize) -> f64 {
        f64::from(self.betas[t])
    }

    /// ᾱ_t in f64.
    pub fn alpha_bar(&self, t: usize) -> f64 {
        self.alpha_bars_f64[t + 1]
    }

    /// ᾱ_{t−1} in f64; 1 for `t = 0`.
    pub fn alpha_bar_prev(&self, t: usize) -> f64 {
        self.alpha_bars_f64[t]
    }

    /// Signal-to-noise ratio ᾱ_t / (1 − ᾱ_t).
    pub fn snr(&self, t: usize) -> f64 {
        self.alpha_bar(t) / (1.0 - self.alpha_bar(t))
    }

    /// Variance β̃_t of q(x_{t−1} | x_t, x_0) (equation 7); 0 for `t = 0`.
    pub fn posterior_variance(&self, t: usize) -> f64 {
        self.beta(t) * (1.0 - self.alpha_bar_prev(t)) / (1.0 - self.alpha_bar(t))
    }

    /// ln β̃_t with the entry for `t = 0` replaced by that of `t = 1`, as the paper's code has it, since
    /// ln 0 diverges. With T = 1 there is no such entry and ln β_0 is taken.
    pub fn posterior_log_variance_clipped(&self, t: usize) -> f64 {
        match (t, self.timesteps()) {
            (0, 1) => self.beta(0).ln(),
            (0, _) => self.posterior_variance(1).ln(),
            _ => self.posterior_variance(t).ln(),
        }
    }

    /// The two coefficients of the posterior mean, μ̃_t = c.0 · x_0 + c.1 · x_t (equation 7).
    pub fn posterior_mean_coefficients(&self, t: usize) -> (f64, f64) {
        let (bar, prev, beta) = (self.alpha_bar(t), self.alpha_bar_prev(t), self.beta(t));
        (
            prev.sqrt() * beta / (1.0 - bar),
            (1.0 - beta).sqrt() * (1.0 - prev) / (1.0 - bar),
        )
    }

    /// How far q(x_T) is from N(0, 1): KL(q(x_T | x_0) ‖ N(0, 1)) in nats a dimension for data with
    /// E[x_0²] = `second_moment` (1 at most for images scaled to [−1, 1]). This is L_T of equation 5.
    pub fn terminal_kl(&self, second_moment: f64) -> f64 {
        let bar = self.alpha_bar(self.timesteps() - 1);
        0.5 * (bar * (second_moment - 1.0) - (-bar).ln_1p())
    }

    /// One sentence when T is too small for the schedule, so that x_T still holds signal and sampling
    /// from pure noise starts off the data's path; `None` when ᾱ_T is at most
    /// [`TERMINAL_ALPHA_BAR_LIMIT`].
    pub fn warning(&self) -> Option<String> {
        let bar = self.alpha_bar(self.timesteps() - 1);
        (bar > TERMINAL_ALPHA_BAR_LIMIT).then(|| {
            format!(
                "after T = {} steps {:.0} % of the image's amplitude is left (ᾱ_T = {bar:.2e}), so x_T is not pure \
                 noise and samples will be off; take more steps, a larger beta_end (near {:.2} for the linear \
                 schedule), or the cosine schedule (squaredcos_cap_v2), which fits any T",
                self.timesteps(),
                100.0 * bar.sqrt(),
                // Σβ ≈ T · beta_end / 2, and the paper's own schedule has Σβ ≈ 10.
                (20.0 / self.timesteps() as f64).min(0.99),
            )
        })
    }
}

/// diffusers' `rescale_zero_terminal_snr` (arXiv:2305.08891, algorithm 1), f32: shifts and scales √ᾱ so
/// that the first is kept and the last becomes 0.
///
/// # Errors
/// [`DiffusionError::Invalid`] when there are fewer than two timesteps.
pub fn rescale_zero_terminal_snr(betas: &[f32]) -> Result<Vec<f32>, DiffusionError> {
    if betas.len() < 2 {
        return Err(DiffusionError::Invalid {
            key: "rescale_betas_zero_snr",
            value: "true".into(),
            expected: "false when there is only one timestep".into(),
        });
    }
    let mut roots: Vec<f32> = NoiseSchedule::from_betas(betas.to_vec())?
        .alpha_bars
        .iter()
        .map(|bar| bar.sqrt())
        .collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let scale = first / (first - last);
    for root in &mut roots {
        *root = (*root - last) * scale;
    }
    let bars: Vec<f32> = roots.iter().map(|r| r * r).collect();
    Ok(std::iter::once(1.0 - bars[0])
        .chain(bars.windows(2).map(|w| 1.0 - w[1] / w[0]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: &str, timesteps: usize) -> NoiseSchedule {
        NoiseSchedule::from_betas(by_name(name).unwrap().betas(timesteps, 1e-4, 0.02)).unwrap()
    }

    #[test]
    fn every_schedule_destroys_more_with_every_step() {
        for rule in SCHEDULES {
            for timesteps in [1, 2, 10, 1000] {
                let s = schedule(rule.name(), timesteps);
                assert_eq!(s.timesteps(), timesteps, "{}", rule.name());
                for t in 1..timesteps {
                    assert!(
                        s.alpha_bar(t) < s.alpha_bar(t - 1),
                        "{} t = {t}",
                        rule.name()
                    );
                    assert!(s.snr(t) < s.snr(t - 1), "{} t = {t}", rule.name());
                    assert!(s.posterior_variance(t) < s.beta(t) && s.posterior_variance(t) > 0.0);
                }
                assert_eq!(s.posterior_variance(0), 0.0);
            }
        }
    }

    #[test]
    fn the_papers_schedule_has_the_papers_numbers() {
        let s = schedule("linear", 1000);
        // ᾱ_T = ∏(1 − β_t) for β from 1e-4 to 0.02: 4.0358e-5 in the paper's float64 code.
        approx::assert_relative_eq!(s.alpha_bar(999), 4.035_8e-5, max_relative = 1e-4);
        // Section 3.1 reports L_T = D_KL(q(x_T | x_0) ‖ N(0, I)) ≈ 1e-5 bits a dimension.
        let bits = s.terminal_kl(0.5) / std::f64::consts::LN_2;
        assert!((0.5e-5..3e-5).contains(&bits), "{bits}");
        assert_eq!(s.warning(), None);
        assert_eq!(
            s.posterior_log_variance_clipped(0),
            s.posterior_log_variance_clipped(1)
        );
        assert!(s.posterior_log_variance_clipped(2) > s.posterior_log_variance_clipped(1));
    }

    #[test]
    fn too_few_steps_are_noticed() {
        let s = schedule("linear", 100);
        let warning = s.warning().unwrap();
        assert!(
            warning.contains("T = 100") && warning.contains("60 %"),
            "{warning}"
        );
        assert_eq!(schedule("squaredcos_cap_v2", 10).warning(), None);
    }

    #[test]
    fn posterior_mean_coefficients_keep_a_noiseless_path() {
        // With x_t = √ᾱ_t x_0, the posterior mean must be √ᾱ_{t−1} x_0.
        let s = schedule("sigmoid", 50);
        for t in 0..50 {
            let (c0, ct) = s.posterior_mean_coefficients(t);
            approx::assert_relative_eq!(
                c0 + ct * s.alpha_bar(t).sqrt(),
                s.alpha_bar_prev(t).sqrt(),
                max_relative = 1e-12
            );
        }
    }

    #[test]
    fn unusable_betas_and_names_are_refused() {
        for bad in [
            vec![],
            vec![0.0],
            vec![0.1, 1.0, 0.1],
            vec![f32::NAN],
            vec![1.0],
            vec![-0.1],
            vec![1e-9],
        ] {
            assert!(NoiseSchedule::from_betas(bad.clone()).is_err(), "{bad:?}");
        }
        let message = by_name("cosine").err().unwrap().to_string();
        assert!(
            message.contains("squaredcos_cap_v2") && message.contains("\"cosine\""),
            "{message}"
        );
    }
}

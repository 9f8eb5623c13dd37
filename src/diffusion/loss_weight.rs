//! The terms of the variational bound (equations 5, 8, 12, 13) and the per-timestep weights of the loss.
//!
//! All in nats and f64. For t ≥ 1 the term L_{t} = KL(q(x_{t−1} | x_t, x_0) ‖ p_θ(x_{t−1} | x_t)) is
//!
//! ```text
//! ½ [ln(σ_t² / β̃_t) + β̃_t / σ_t² − 1] · D  +  c_t² / (2 σ_t²) · Σ (x_0 − x̂_0)²
//! ```
//!
//! with c_t the factor of x_0 in the posterior mean. As x_0 − x̂_0 is a multiple of (target − output), it
//! is a weighted squared error for every objective. For t = 0 it is the discretised decoder's
//! −ln p(x_0 | x_1).

use super::{DiffusionError, NoiseSchedule, Objective, VarianceType, check_length};

/// ln σ_t² of p_θ(x_{t−1} | x_t), as the paper's code evaluates the likelihood: ln β̃_t or ln β_t, and
/// ln β̃_1 at `t = 0` for both, since β̃_0 = 0 (and as the decoder fits better with it).
///
/// # Panics
/// When `t >= T`.
pub fn model_log_variance(schedule: &NoiseSchedule, variance: VarianceType, t: usize) -> f64 {
    match variance {
        VarianceType::FixedLarge if t > 0 => schedule.beta(t).ln(),
        _ => schedule.posterior_log_variance_clipped(t),
    }
}

/// The part of L_t that no network can change, nats a dimension: 0 for fixed_small. 0 at `t = 0`.
///
/// # Panics
/// When `t >= T`.
pub fn vlb_constant(schedule: &NoiseSchedule, variance: VarianceType, t: usize) -> f64 {
    if t == 0 {
        return 0.0;
    }
    let log_ratio = model_log_variance(schedule, variance, t) - schedule.posterior_variance(t).ln();
    0.5 * (log_ratio + (-log_ratio).exp_m1())
}

/// w_t with L_t = [`vlb_constant`] · D + w_t · Σ (target − output)², nats, for x̂_0 that is not clamped.
/// For ε and fixed_large this is the factor of equation 12. 0 at `t = 0`, where the decoder takes over.
///
/// # Panics
/// When `t >= T`.
pub fn vlb_mse_weight(
    schedule: &NoiseSchedule,
    variance: VarianceType,
    objective: Objective,
    t: usize,
) -> f64 {
    if t == 0 {
        return 0.0;
    }
    let (c0, _) = schedule.posterior_mean_coefficients(t);
    let from_out = objective.x0_map(schedule.alpha_bar(t)).from_out;
    0.5 * (c0 * from_out).powi(2) * (-model_log_variance(schedule, variance, t)).exp()
}

/// KL(N(mean_q, e^log_variance_q) ‖ N(mean_p, e^log_variance_p)) summed over the dimensions, nats.
///
/// # Errors
/// [`DiffusionError::Length`] when the means differ in length.
pub fn kl_term(
    mean_q: &[f64],
    log_variance_q: f64,
    mean_p: &[f64],
    log_variance_p: f64,
) -> Result<f64, DiffusionError> {
    check_length("the model's mean", mean_q.len(), mean_p.len())?;
    let log_ratio = log_variance_p - log_variance_q;
    let constant = 0.5 * (log_ratio + (-log_ratio).exp_m1());
    let squares: f64 = mean_q
        .iter()
        .zip(mean_p)
        .map(|(q, p)| (q - p) * (q - p))
        .sum();
    Ok(constant * mean_q.len() as f64 + 0.5 * squares * (-log_variance_p).exp())
}

/// Half the width of a pixel's bin: 256 levels over [−1, 1].
pub const HALF_BIN: f64 = 1.0 / 255.0;
/// Beyond ± this, x_0 is the outermost level, whose bin reaches to infinity.
pub const EDGE: f64 = 0.999;
/// ln of the smallest probability that a pixel gets, as in the paper's code. There the gradient is 0.
pub const MIN_LOG_PROBABILITY: f64 = -27.631_021_115_928_547;

/// 2 √(2/π), the slope of the logistic argument at 0.
const SLOPE: f64 = 1.595_769_121_605_730_7;
/// The cubic term of the approximation.
const CUBIC: f64 = 0.044_715;

/// g(z) with Φ(z) ≈ 1 / (1 + e^−g(z)). This is the paper's code's ½ (1 + tanh(√(2/π) (z + 0.044715 z³)))
/// written without its cancellation at negative z.
fn logit(z: f64) -> f64 {
    SLOPE * (z + CUBIC * z * z * z)
}

fn logit_slope(z: f64) -> f64 {
    SLOPE * (1.0 + 3.0 * CUBIC * z * z)
}

/// ln(1 + e^x).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        x.exp() / (1.0 + x.exp())
    }
}

/// −ln p(x_0 | x_1) of one pixel and its derivative by the mean, nats (equation 13).
///
/// With p = g((x − μ + 1/255) / σ), m = g((x − μ − 1/255) / σ) and S the logistic function, the
/// probability is S(p) − S(m), taken as
///
/// ```text
/// ln(S(p) − S(m)) = p + ln(1 − e^(m − p)) − softplus(p) − softplus(m)
/// ```
///
/// in which nothing cancels in either tail, so that it serves in f32 as well. The outermost levels have
/// S(p) or 1 − S(m) alone. The derivative by p is 1 / (e^(p − m) − 1) + S(−p), by m it is
/// −(1 / (e^(p − m) − 1) + S(m)).
///
/// ```
/// use noiselab::diffusion::loss_weight::decoder_nll_element;
/// // Black is the lowest level: with a mean there and a narrow decoder it is almost certain.
/// let (nll, _) = decoder_nll_element(-1.0, -1.0, f64::ln(0.001));
/// assert!(nll < 1e-4);
/// ```
pub fn decoder_nll_element(x0: f64, mean: f64, log_sigma: f64) -> (f64, f64) {
    let inverse_sigma = (-log_sigma).exp();
    let (zp, zm) = (
        (x0 - mean + HALF_BIN) * inverse_sigma,
        (x0 - mean - HALF_BIN) * inverse_sigma,
    );
    let (p, m) = (logit(zp), logit(zm));
    // (ln probability, its derivative by z_p plus that by z_m)
    let (log_probability, slope) = if x0 < -EDGE {
        (-softplus(-p), logistic(-p) * logit_slope(zp))
    } else if x0 > EDGE {
        (-softplus(m), -logistic(m) * logit_slope(zm))
    } else {
        let between = 1.0 / (p - m).exp_m1();
        (
            p + (-(m - p).exp_m1()).ln() - softplus(p) - softplus(m),
            (between + logistic(-p)) * logit_slope(zp) - (between + logistic(m)) * logit_slope(zm),
        )
    };
    if log_probability > MIN_LOG_PROBABILITY {
        (-log_probability, slope * inverse_sigma)
    } else {
        (-MIN_LOG_PROBABILITY, 0.0)
    }
}

/// −ln p(x_0 | x_1) of an image, summed over its dimensions, nats: Gaussian of the given mean, integrated
/// over each pixel's bin (equation 13). `x0` is scaled to [−1, 1].
///
/// # Errors
/// [`DiffusionError::Length`] when the slices differ in length.
pub fn decoder_nll(x0: &[f64], mean: &[f64], log_sigma: f64) -> Result<f64, DiffusionError> {
    check_length("the decoder's mean", x0.len(), mean.len())?;
    Ok(x0
        .iter()
        .zip(mean)
        .map(|(&x, &m)| decoder_nll_element(x, m, log_sigma).0)
        .sum())
}

/// The derivative of [`decoder_nll`] by each mean.
///
/// # Errors
/// As [`decoder_nll`].
pub fn decoder_nll_gradient(
    x0: &[f64],
    mean: &[f64],
    log_sigma: f64,
    gradient: &mut [f64],
) -> Result<(), DiffusionError> {
    check_length("the decoder's mean", x0.len(), mean.len())?;
    check_length("the gradient", x0.len(), gradient.len())?;
    for ((g, &x), &m) in gradient.iter_mut().zip(x0).zip(mean) {
        *g = decoder_nll_element(x, m, log_sigma).1;
    }
    Ok(())
}

/// Which loss is trained.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// L_simple: the unweighted squared error (equation 14).
    #[default]
    Simple,
    /// The variational bound L_vlb (equation 5 without L_T, on which no network has influence).
    Vlb,
    /// L_simple + `vlb_weight` · L_vlb (after arXiv:2102.09672, equation 16).
    Hybrid {
        /// The weight of the bound.
        vlb_weight: f64,
    },
}

/// The loss of one image as tables over t, for a kernel:
///
/// ```text
/// loss(t) = mse[t] · mean_d (target − output)² + constant[t] + decoder[t] · mean_d −ln p(x_0 | x_1)
/// ```
///
/// The bound's terms carry the factor T, so that the mean over uniform t is the bound itself, in nats a
/// dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct LossTable {
    /// Weight of the mean squared error, length T.
    pub mse: Vec<f32>,
    /// What is added whatever the network says, length T.
    pub constant: Vec<f32>,
    /// Weight of the decoder's mean negative log-likelihood, length T; 0 for t > 0.
    pub decoder: Vec<f32>,
    /// ln σ of the decoder, whose mean is x̂_0 at t = 0 (not clamped).
    pub decoder_log_sigma: f32,
    /// Factor of x_t in x̂_0 at t = 0.
    pub decoder_from_x: f32,
    /// Factor of the network's output in x̂_0 at t = 0.
    pub decoder_from_out: f32,
}

impl LossTable {
    /// The tables of `loss`.
    ///
    /// # Errors
    /// [`DiffusionError::Invalid`] when the weight of the bound is negative or not finite.
    pub fn new(
        schedule: &NoiseSchedule,
        variance: VarianceType,
        objective: Objective,
        loss: LossType,
    ) -> Result<Self, DiffusionError> {
        let (simple, vlb) = match loss {
            LossType::Simple => (1.0, 0.0),
            LossType::Vlb => (0.0, 1.0),
            LossType::Hybrid { vlb_weight } => (1.0, vlb_weight),
        };
        if !(vlb >= 0.0 && f64::is_finite(vlb)) {
            return Err(DiffusionError::Invalid {
                key: "vlb_weight",
                value: vlb.to_string(),
                expected: "0 or a positive number".into(),
            });
        }
        let timesteps = schedule.timesteps();
        let scale = vlb * timesteps as f64;
        let mut decoder = vec![0.0; timesteps];
        decoder[0] = scale as f32;
        let x0 = objective.x0_map(schedule.alpha_bar(0));
        let weight = |t| (simple + scale * vlb_mse_weight(schedule, variance, objective, t)) as f32;
        Ok(Self {
            mse: (0..timesteps).map(weight).collect(),
            constant: (0..timesteps)
                .map(|t| (scale * vlb_constant(schedule, variance, t)) as f32)
                .collect(),
            decoder,
            decoder_log_sigma: (0.5 * model_log_variance(schedule, variance, 0)) as f32,
            decoder_from_x: x0.from_x as f32,
            decoder_from_out: x0.from_out as f32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::SchedulerConfig;

    fn schedule() -> NoiseSchedule {
        SchedulerConfig::default().noise_schedule().unwrap()
    }

    #[test]
    fn the_weight_times_the_squared_error_is_the_kl() {
        let s = schedule();
        let (x0, eps, out) = ([0.9, -0.4, 0.1], [0.3, 1.7, -0.6], [0.5, -0.2, 0.8]);
        for variance in VarianceType::ALL {
            for objective in Objective::ALL {
                for t in [1, 2, 40, 500, 999] {
                    let bar = s.alpha_bar(t);
                    let x: Vec<f64> = x0
                        .iter()
                        .zip(&eps)
                        .map(|(x, e)| bar.sqrt() * x + (1.0 - bar).sqrt() * e)
                        .collect();
                    let (c0, ct) = s.posterior_mean_coefficients(t);
                    let (of_x0, of_eps) = objective.target_factors(bar);
                    let mean = |x0: f64, x: f64| c0 * x0 + ct * x;
                    let q: Vec<f64> = x0.iter().zip(&x).map(|(&x0, &x)| mean(x0, x)).collect();
                    let p: Vec<f64> = out
                        .iter()
                        .zip(&x)
                        .map(|(&o, &x)| mean(objective.x0_map(bar).apply(x, o), x))
                        .collect();
                    let log_q = s.posterior_variance(t).ln();
                    let kl = kl_term(&q, log_q, &p, model_log_variance(&s, variance, t)).unwrap();
                    let squares: f64 = (0..3)
                        .map(|i| (of_x0 * x0[i] + of_eps * eps[i] - out[i]).powi(2))
                        .sum();
                    let weighted = 3.0 * vlb_constant(&s, variance, t)
                        + vlb_mse_weight(&s, variance, objective, t) * squares;
                    approx::assert_relative_eq!(kl, weighted, max_relative = 1e-8);
                }
            }
        }
    }

    #[test]
    fn the_weights_are_those_of_the_papers() {
        let s = schedule();
        for t in [1, 7, 300, 999] {
            // Equation 12: β² / (2 σ² α (1 − ᾱ)).
            let (beta, bar) = (s.beta(t), s.alpha_bar(t));
            approx::assert_relative_eq!(
                vlb_mse_weight(&s, VarianceType::FixedLarge, Objective::Epsilon, t),
                beta * beta / (2.0 * beta * (1.0 - beta) * (1.0 - bar)),
                max_relative = 1e-9
            );
            // Variational diffusion models (arXiv:2107.00630, equation 14): ½ (SNR(t − 1) − SNR(t)).
            approx::assert_relative_eq!(
                vlb_mse_weight(&s, VarianceType::FixedSmall, Objective::Sample, t),
                0.5 * (s.snr(t - 1) - s.snr(t)),
                max_relative = 1e-8
            );
            assert_eq!(vlb_constant(&s, VarianceType::FixedSmall, t), 0.0);
            assert!(vlb_constant(&s, VarianceType::FixedLarge, t) > 0.0);
        }
    }

    #[test]
    fn kl_of_equal_gaussians_is_zero_and_of_shifted_ones_is_known() {
        assert_eq!(kl_term(&[0.3], -1.0, &[0.3], -1.0).unwrap(), 0.0);
        approx::assert_relative_eq!(kl_term(&[0.0, 0.0], 0.0, &[1.0, 2.0], 0.0).unwrap(), 2.5);
        // ½ (ln 4 + ¼ − 1)
        approx::assert_relative_eq!(
            kl_term(&[0.0], 0.0, &[0.0], 4f64.ln()).unwrap(),
            0.318_147_180_559_945_3
        );
        assert!(kl_term(&[0.0], 0.0, &[], 0.0).is_err());
    }

    #[test]
    fn the_decoder_is_a_distribution_over_256_levels() {
        for (mean, sigma) in [(0.1, 0.007), (-0.98, 0.05), (1.3, 0.5), (0.0, 3.0)] {
            let total: f64 = (0..256)
                .map(|level| {
                    (-decoder_nll_element(f64::from(level) / 127.5 - 1.0, mean, f64::ln(sigma)).0)
                        .exp()
                })
                .sum();
            approx::assert_relative_eq!(total, 1.0, epsilon = 1e-8);
        }
    }

    #[test]
    fn the_decoder_has_the_values_of_the_papers_formula() {
        // The same with tanh in float64, evaluated with numpy.
        for (x0, mean, sigma, expected) in [
            (0.2, 0.21, 0.0073, DECODER_REFERENCE[0]),
            (0.2, 0.16, 0.0073, DECODER_REFERENCE[1]),
            (-1.0, -0.99, 0.0073, DECODER_REFERENCE[2]),
            (1.0, 0.7, 0.2, DECODER_REFERENCE[3]),
            (0.2, 0.9, 0.0073, -MIN_LOG_PROBABILITY),
        ] {
            let (nll, gradient) = decoder_nll_element(x0, mean, f64::ln(sigma));
            approx::assert_relative_eq!(nll, expected, max_relative = 1e-9);
            assert!(expected < -MIN_LOG_PROBABILITY || gradient == 0.0);
        }
        assert_eq!(1e-12f64.ln(), MIN_LOG_PROBABILITY);
    }
    const DECODER_REFERENCE: [f64; 4] = [
        1.746_490_814_761_881_4,
        16.500_724_855_297_253,
        1.596_367_593_525_847_7,
        2.665_935_525_624_640_4,
    ];

    #[test]
    fn the_decoders_gradient_agrees_with_finite_differences() {
        let log_sigma = f64::ln(0.0073);
        for (x0, mean) in [
            (0.2, 0.2),
            (0.2, 0.2001),
            (0.2, 0.21),
            (0.2, 0.17),
            (-1.0, -0.98),
            (-1.0, -1.02),
            (1.0, 0.97),
            (1.0, 1.01),
        ] {
            let step = 1e-7;
            let at = |mean| decoder_nll_element(x0, mean, log_sigma).0;
            let numeric = (at(mean + step) - at(mean - step)) / (2.0 * step);
            let mut gradient = [f64::NAN];
            decoder_nll_gradient(&[x0], &[mean], log_sigma, &mut gradient).unwrap();
            approx::assert_relative_eq!(gradient[0], numeric, max_relative = 1e-5, epsilon = 1e-5);
        }
    }

    /// The formula of [`decoder_nll_element`] in f32, as a kernel has it.
    fn decoder_f32(x0: f32, mean: f32, log_sigma: f32) -> (f32, f32) {
        let inverse_sigma = (-log_sigma).exp();
        let z = [1.0 / 255.0, -1.0 / 255.0].map(|half: f32| (x0 - mean + half) * inverse_sigma);
        let [p, m] = z.map(|z| 1.595_769 * (z + 0.044_715 * z * z * z));
        let [sp, sm] = z.map(|z| 1.595_769 * (1.0 + 0.134_145 * z * z));
        let softplus = |x: f32| x.max(0.0) + (1.0 + (-x.abs()).exp()).ln();
        let logistic = |x: f32| 1.0 / (1.0 + (-x).exp());
        let e = (m - p).exp();
        let between = e / (1.0 - e);
        let log_probability = p + (1.0 - e).ln() - softplus(p) - softplus(m);
        let slope = (between + logistic(-p)) * sp - (between + logistic(m)) * sm;
        (-log_probability, slope * inverse_sigma)
    }

    #[test]
    fn the_decoders_formula_is_stable_in_f32() {
        let log_sigma = 0.0073f32.ln();
        for i in -40..=40 {
            let (x0, mean) = (0.2f32, 0.2 + i as f32 * 0.0009);
            let (nll, gradient) = decoder_f32(x0, mean, log_sigma);
            let (exact, exact_gradient) =
                decoder_nll_element(f64::from(x0), f64::from(mean), f64::from(log_sigma));
            approx::assert_relative_eq!(f64::from(nll), exact, max_relative = 2e-5);
            approx::assert_relative_eq!(
                f64::from(gradient),
                exact_gradient,
                max_relative = 2e-4,
                epsilon = 2e-2
            );
        }
    }

    #[test]
    fn the_tables_of_the_losses() {
        let s = schedule();
        let table =
            |loss| LossTable::new(&s, VarianceType::FixedSmall, Objective::Epsilon, loss).unwrap();
        let (simple, vlb) = (table(LossType::Simple), table(LossType::Vlb));
        let hybrid = table(LossType::Hybrid { vlb_weight: 0.001 });
        assert!(simple.mse.iter().all(|&w| w == 1.0) && simple.decoder.iter().all(|&w| w == 0.0));
        assert_eq!(
            (vlb.mse[0], vlb.decoder[0], vlb.decoder[1]),
            (0.0, 1000.0, 0.0)
        );
        approx::assert_relative_eq!(
            hybrid.mse[10],
            1.0 + 0.001 * vlb.mse[10],
            max_relative = 1e-6
        );
        // ½ ln β̃_1
        approx::assert_relative_eq!(
            vlb.decoder_log_sigma,
            (0.5 * s.posterior_variance(1).ln()) as f32
        );
        let bad = LossType::Hybrid {
            vlb_weight: f64::NAN,
        };
        assert!(LossTable::new(&s, VarianceType::FixedSmall, Objective::Epsilon, bad).is_err());
    }
}

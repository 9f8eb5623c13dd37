//! Samplers: the reverse process, one file each.
//!
//! A sampler turns a configuration into a list of steps, each a handful of numbers computed here on the
//! CPU, in f32 and in diffusers' order where that matters (see [`super::schedule`]). One kernel then
//! serves every sampler:
//!
//! ```text
//! x̂_0     = clamp(x0_from_x · x_t + x0_from_out · out, ±clip)
//! ε̂       = eps_from_x · x_t + eps_from_out · out
//! x_{t−1} = prev_from_x0 · x̂_0 + prev_from_x · x_t + prev_from_eps · ε̂ + sigma · z,   z ~ N(0, I)
//!         + prev_from_last_eps · ε̂ of the step before, where a sampler looks back
//! ```

mod ddim;
mod ddpm;
mod langevin;
mod pf_ode;

pub use ddim::Ddim;
pub use ddpm::Ddpm;
pub use langevin::{Langevin, STEPS_A_LEVEL};
pub use pf_ode::PfOde;

use super::{DiffusionError, NoiseSchedule, SchedulerConfig, TimestepSpacing, check_length};

/// The numbers of one reverse step, laid out as the shader's struct (12 × f32, 48 bytes).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct StepCoefficients {
    /// Factor of x_t in x̂_0.
    pub x0_from_x: f32,
    /// Factor of the network's output in x̂_0.
    pub x0_from_out: f32,
    /// Factor of x_t in ε̂. Not derived again from the clamped x̂_0, as in diffusers.
    pub eps_from_x: f32,
    /// Factor of the network's output in ε̂.
    pub eps_from_out: f32,
    /// Factor of x̂_0 in x_{t−1}.
    pub prev_from_x0: f32,
    /// Factor of x_t in x_{t−1}.
    pub prev_from_x: f32,
    /// Factor of ε̂ in x_{t−1}.
    pub prev_from_eps: f32,
    /// Standard deviation of the noise that is added.
    pub sigma: f32,
    /// x̂_0 is clamped to ± this; 0 for no clamping.
    pub clip: f32,
    /// The timestep, for the time embedding.
    pub timestep: f32,
    /// Factor of the ε̂ of the step before in x_{t−1}; 0 in the first step.
    pub prev_from_last_eps: f32,
    /// Fills up to a multiple of 16 bytes.
    pub pad0: f32,
}

impl StepCoefficients {
    /// Whether the step needs the ε̂ of the step before: [`StepCoefficients::advance`], and on the GPU a tensor for ε̂
    /// that is kept from step to step.
    pub fn looks_back(&self) -> bool {
        self.prev_from_last_eps != 0.0
    }

    /// One step on the CPU, the reference of the GPU kernel: writes x_{t−1} and x̂_0 (clamped). For steps that do not
    /// look back.
    ///
    /// # Errors
    /// [`DiffusionError::Length`] when the slices differ in length.
    pub fn apply(
        &self,
        x: &[f32],
        out: &[f32],
        noise: &[f32],
        prev: &mut [f32],
        x0: &mut [f32],
    ) -> Result<(), DiffusionError> {
        self.advance(x, out, noise, &mut vec![0.0; x.len()], prev, x0)
    }

    /// [`StepCoefficients::apply`] for every step: `eps` holds ε̂ of the step before (anything in the first step), and
    /// then that of this step.
    ///
    /// # Errors
    /// [`DiffusionError::Length`] when the slices differ in length.
    pub fn advance(
        &self,
        x: &[f32],
        out: &[f32],
        noise: &[f32],
        eps: &mut [f32],
        prev: &mut [f32],
        x0: &mut [f32],
    ) -> Result<(), DiffusionError> {
        check_length("the last eps_hat", x.len(), eps.len())?;
        check_length("the network's output", x.len(), out.len())?;
        check_length("the noise", x.len(), noise.len())?;
        check_length("x_{t-1}", x.len(), prev.len())?;
        check_length("x_0", x.len(), x0.len())?;
        for i in 0..x.len() {
            let mut x0_hat = self.x0_from_x * x[i] + self.x0_from_out * out[i];
            if self.clip > 0.0 {
                x0_hat = x0_hat.clamp(-self.clip, self.clip);
            }
            let eps_hat = self.eps_from_x * x[i] + self.eps_from_out * out[i];
            x0[i] = x0_hat;
            prev[i] = self.prev_from_x0 * x0_hat
                + self.prev_from_x * x[i]
                + self.prev_from_eps * eps_hat
                + self.sigma * noise[i];
            if self.looks_back() {
                prev[i] += self.prev_from_last_eps * eps[i];
            }
            eps[i] = eps_hat;
        }
        Ok(())
    }

    /// The part that every sampler shares: x̂_0, ε̂, clamp, timestep.
    fn prediction(config: &SchedulerConfig, schedule: &NoiseSchedule, t: usize) -> Self {
        let bar = schedule.alpha_bars()[t];
        // The f32 table widened: 1 − ᾱ is then exact, as it is in f32 where it is small.
        let x0 = config.prediction_type.x0_map(f64::from(bar));
        let eps = config.prediction_type.epsilon_map(f64::from(bar));
        Self {
            x0_from_x: x0.from_x as f32,
            x0_from_out: x0.from_out as f32,
            eps_from_x: eps.from_x as f32,
            eps_from_out: eps.from_out as f32,
            clip: if config.clip_sample {
                config.clip_sample_range as f32
            } else {
                0.0
            },
            timestep: t as f32,
            ..Self::default()
        }
    }
}

/// One step of the reverse process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleStep {
    /// The timestep at which the network is evaluated.
    pub timestep: usize,
    /// What is done with its output.
    pub coefficients: StepCoefficients,
}

/// A way to walk from x_T to x_0.
pub trait Sampler: Send + Sync {
    /// The registry's name.
    fn name(&self) -> &'static str;

    /// The steps in the order in which they are taken, from the noisiest down.
    ///
    /// # Errors
    /// [`DiffusionError::StepCount`] unless `1 <= num_inference_steps <= T`;
    /// [`DiffusionError::Invalid`] when an offset leads past T, or the sampler's own settings do not fit.
    fn steps(
        &self,
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        num_inference_steps: usize,
    ) -> Result<Vec<SampleStep>, DiffusionError>;
}

/// What the samplers can be set to; each takes what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SamplerOptions {
    /// DDIM's η: 0 is deterministic, 1 has the noise of the ancestral sampler.
    pub eta: f64,
}

/// A line of the registry.
pub struct SamplerEntry {
    /// The name, as on the command line.
    pub name: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// Makes the sampler.
    pub make: fn(SamplerOptions) -> Box<dyn Sampler>,
}

/// Every sampler. A new one is a file and a line here.
pub static SAMPLERS: &[SamplerEntry] = &[
    SamplerEntry {
        name: "ddpm",
        summary: "The paper's ancestral sampler (algorithm 2): adds noise at every step but the last.",
        make: |_| Box::new(Ddpm),
    },
    SamplerEntry {
        name: "ddim",
        summary: "DDIM: deterministic with eta 0, so that few steps suffice.",
        make: |options| Box::new(Ddim { eta: options.eta }),
    },
    SamplerEntry {
        name: "pf_ode",
        summary: "Probability-flow ODE: the deterministic flow, by a second-order rule where DDIM is first order.",
        make: |_| Box::new(PfOde),
    },
    SamplerEntry {
        name: "langevin",
        summary: "Annealed Langevin dynamics: wanders along the score at one noise level after another; needs many steps.",
        make: |_| Box::new(Langevin),
    },
];

/// The sampler of that name.
///
/// # Errors
/// [`DiffusionError::UnknownName`], which lists the names that exist.
pub fn by_name(name: &str, options: SamplerOptions) -> Result<Box<dyn Sampler>, DiffusionError> {
    SAMPLERS
        .iter()
        .find(|s| s.name == name)
        .map(|s| (s.make)(options))
        .ok_or_else(|| DiffusionError::UnknownName {
            kind: "sampler",
            name: name.to_owned(),
            known: SAMPLERS
                .iter()
                .map(|s| s.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// diffusers' `set_timesteps`: `steps` timesteps from the noisiest down.
///
/// # Errors
/// [`DiffusionError::StepCount`] unless `1 <= steps <= T`; [`DiffusionError::Invalid`] when
/// `steps_offset` leads past T, or a configuration and a schedule of different T meet.
pub fn timesteps(
    config: &SchedulerConfig,
    schedule: &NoiseSchedule,
    steps: usize,
) -> Result<Vec<usize>, DiffusionError> {
    config.validate()?;
    let total = schedule.timesteps();
    check_length("the noise schedule", config.num_train_timesteps, total)?;
    if steps == 0 || steps > total {
        return Err(DiffusionError::StepCount {
            requested: steps,
            timesteps: total,
        });
    }
    let timesteps: Vec<usize> = match config.timestep_spacing {
        TimestepSpacing::Leading => (0..steps)
            .rev()
            .map(|i| i * (total / steps) + config.steps_offset)
            .collect(),
        TimestepSpacing::Trailing => {
            let ratio = total as f64 / steps as f64;
            let before = total as f64 - ratio;
            // numpy's arange spaces by the difference of its first two values.
            let spacing = before - total as f64;
            (0..steps)
                .map(|i| (total as f64 + i as f64 * spacing).round_ties_even() as usize - 1)
                .collect()
        }
        TimestepSpacing::Linspace => {
            let spacing = (total - 1) as f64 / (steps.max(2) - 1) as f64;
            (0..steps)
                .rev()
                .map(|i| {
                    if i > 0 && i == steps - 1 {
                        total - 1
                    } else {
                        (i as f64 * spacing).round_ties_even() as usize
                    }
                })
                .collect()
        }
    };
    match timesteps.first() {
        Some(&first) if first >= total => Err(DiffusionError::Invalid {
            key: "steps_offset",
            value: config.steps_offset.to_string(),
            expected: format!(
                "so small that the first of {steps} steps, {first}, stays below {total} timesteps"
            ),
        }),
        _ => Ok(timesteps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Objective;

    #[test]
    fn every_sampler_refuses_step_counts_that_do_not_fit() {
        let config = SchedulerConfig {
            num_train_timesteps: 20,
            ..Default::default()
        };
        let schedule = config.noise_schedule().unwrap();
        for entry in SAMPLERS {
            let sampler = by_name(entry.name, SamplerOptions::default()).unwrap();
            assert_eq!(sampler.name(), entry.name);
            for steps in [0, 21] {
                let error = sampler.steps(&config, &schedule, steps).unwrap_err();
                assert_eq!(
                    error,
                    DiffusionError::StepCount {
                        requested: steps,
                        timesteps: 20
                    }
                );
            }
            for steps in 1..=20 {
                let steps = sampler.steps(&config, &schedule, steps).unwrap();
                // Langevin dynamics takes several steps at a level.
                let repeats = entry.name == "langevin";
                assert!(
                    steps.windows(2).all(|w| w[0].timestep > w[1].timestep
                        || repeats && w[0].timestep == w[1].timestep),
                    "{}",
                    entry.name
                );
                assert!(!steps[0].coefficients.looks_back());
                assert_eq!(
                    steps.last().unwrap().coefficients.sigma,
                    0.0,
                    "{}",
                    entry.name
                );
            }
            let far = SchedulerConfig {
                steps_offset: 1,
                ..config.clone()
            };
            let message = sampler.steps(&far, &schedule, 20).unwrap_err().to_string();
            assert!(message.contains("steps_offset = 1"), "{message}");
            let other = SchedulerConfig::default();
            assert!(sampler.steps(&other, &schedule, 5).is_err());
        }
        assert!(
            by_name("euler", SamplerOptions::default())
                .err()
                .unwrap()
                .to_string()
                .contains("ddpm, ddim")
        );
    }

    #[test]
    fn the_layout_is_the_shaders() {
        assert_eq!(size_of::<StepCoefficients>(), 48);
        assert_eq!(std::mem::offset_of!(StepCoefficients, sigma), 28);
        assert_eq!(std::mem::offset_of!(StepCoefficients, timestep), 36);
        assert_eq!(
            std::mem::offset_of!(StepCoefficients, prev_from_last_eps),
            40
        );
    }

    #[test]
    fn a_perfect_network_leads_back_to_x0() {
        // x_t on the noiseless-network path: the network always answers with the ε that made x_T.
        let (x0, eps) = (0.3f32, -0.8f32);
        for entry in SAMPLERS {
            for objective in Objective::ALL {
                let config = SchedulerConfig {
                    prediction_type: objective,
                    ..Default::default()
                };
                let schedule = config.noise_schedule().unwrap();
                let sampler = by_name(entry.name, SamplerOptions::default()).unwrap();
                let steps = sampler.steps(&config, &schedule, 50).unwrap();
                let (a, s) =
                    crate::diffusion::forward::q_sample_factors(&schedule, steps[0].timestep);
                let mut x = a * x0 + s * eps;
                let mut last = [f32::NAN];
                for step in &steps {
                    let bar = schedule.alpha_bar(step.timestep);
                    let eps = (f64::from(x) - bar.sqrt() * f64::from(x0)) / (1.0 - bar).sqrt();
                    let (of_x0, of_eps) = objective.target_factors(bar);
                    let out = (of_x0 * f64::from(x0) + of_eps * eps) as f32;
                    let (mut prev, mut x0_hat) = ([0.0], [0.0]);
                    step.coefficients
                        .advance(&[x], &[out], &[0.0], &mut last, &mut prev, &mut x0_hat)
                        .unwrap();
                    approx::assert_abs_diff_eq!(x0_hat[0], x0, epsilon = 1e-4);
                    x = prev[0];
                }
                approx::assert_abs_diff_eq!(x, x0, epsilon = 1e-4);
            }
        }
    }

    #[test]
    fn slices_of_different_lengths_are_refused() {
        let c = StepCoefficients::default();
        let error = c
            .apply(
                &[0.0; 2],
                &[0.0; 2],
                &[0.0; 1],
                &mut [0.0; 2],
                &mut [0.0; 2],
            )
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the noise has 1 values, but 2 are needed"
        );
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Samples in the plane on the CPU, with any function in the place of the network.

    use super::*;
    use crate::{
        data::points::{Point, PointSource},
        rng::{self, Draw, stream},
    };

    /// ε̂ of a point at ᾱ.
    pub(crate) type Predict<'a> = Box<dyn Fn(Point, f64) -> Point + 'a>;

    /// The exact denoiser.
    pub(crate) fn exact(source: &PointSource) -> Predict<'_> {
        Box::new(|x, bar| source.mixture().eps(x, bar).map(|v| v as f32))
    }

    fn normals(stream: u32, step: usize, n: usize) -> Vec<f32> {
        (0..n)
            .flat_map(|i| {
                let draw = Draw {
                    seed: 77,
                    stream,
                    step: step as u32,
                    sample: i as u32,
                };
                let [x, y, ..] = rng::normal4(draw, 0);
                [x, y]
            })
            .collect()
    }

    /// `n` points from N(0, I) to the data.
    pub(crate) fn sample(
        sampler: &dyn Sampler,
        config: &SchedulerConfig,
        steps: usize,
        n: usize,
        predict: Predict<'_>,
    ) -> Vec<Point> {
        let schedule = config.noise_schedule().unwrap();
        let mut x = normals(stream::SAMPLE_START, 0, n);
        let (mut eps, mut prev, mut x0) = (vec![f32::NAN; 2 * n], x.clone(), x.clone());
        let steps = sampler.steps(config, &schedule, steps).unwrap();
        for (i, step) in steps.iter().enumerate() {
            let bar = f64::from(schedule.alpha_bars()[step.timestep]);
            let out: Vec<f32> = x
                .as_chunks::<2>()
                .0
                .iter()
                .flat_map(|&p| predict(p, bar))
                .collect();
            let z = normals(stream::SAMPLE_NOISE, i, n);
            step.coefficients
                .advance(&x, &out, &z, &mut eps, &mut prev, &mut x0)
                .unwrap();
            std::mem::swap(&mut x, &mut prev);
        }
        x.as_chunks::<2>().0.to_vec()
    }
}

#[cfg(test)]
mod exact_tests {
    //! With the exact score in the place of the network, what is left of an error is the sampler's.

    use super::{testing::sample, *};
    use crate::{
        data::points::{Distribution, PointSource},
        metrics::{mode_shares, sliced_wasserstein},
    };

    const N: usize = 2000;

    fn source() -> PointSource {
        PointSource::open(&Distribution::BuiltIn("eight_gaussians".into())).unwrap()
    }

    /// The mean sliced Wasserstein distance to five other sets of true points.
    fn distance(samples: &[[f32; 2]], source: &PointSource) -> f32 {
        let to = |k: u64| {
            let truth = source.sample(1, 50, k * N as u64, N);
            sliced_wasserstein(samples, &truth, 32, 0)
        };
        (0..5).map(to).sum::<f32>() / 5.0
    }

    #[test]
    fn every_sampler_reaches_the_sampling_floor() {
        let source = source();
        // What true points get, ten times: the floor is the worst of them.
        let floors: Vec<f32> = (0..10)
            .map(|k| distance(&source.sample(2, 51, k * N as u64, N), &source))
            .collect();
        let floor = floors.iter().copied().fold(0.0, f32::max);
        let config = SchedulerConfig {
            clip_sample: false,
            ..Default::default()
        };
        println!("floors {floors:?}");
        let runs: [(&str, f64, usize); 5] = [
            ("ddpm", 0.0, 500),
            ("ddim", 0.0, 100),
            ("ddim", 1.0, 500),
            ("pf_ode", 0.0, 50),
            ("langevin", 0.0, 1000),
        ];
        for entry in SAMPLERS {
            assert!(runs.iter().any(|r| r.0 == entry.name), "{}", entry.name);
        }
        for (name, eta, steps) in runs {
            let sampler = by_name(name, SamplerOptions { eta }).unwrap();
            let run = |scale: f32| {
                let predict = |x, bar| source.mixture().eps(x, bar).map(|v| scale * v as f32);
                sample(&*sampler, &config, steps, N, Box::new(predict))
            };
            let samples = run(1.0);
            let found = distance(&samples, &source);
            let (shares, astray) = mode_shares(&samples, source.modes());
            println!("{name} eta {eta}, {steps} steps: {found}, {shares:?}, astray {astray}");
            assert!(
                found <= 1.25 * floor,
                "{name} eta {eta}: {found}, the floor is {floor}"
            );
            // 3.5 standard errors of a share of 1/8.
            assert!(
                shares.iter().all(|s| (s - 0.125).abs() < 0.026),
                "{name}: {shares:?}"
            );
            assert!(astray < 0.01, "{name}: {astray} astray");
            let wrong = distance(&run(0.5), &source);
            println!("{name} eta {eta}, half the score: {wrong}");
            assert!(
                wrong > 2.0 * floor,
                "{name}: {wrong} with half of the score"
            );
        }
    }
}

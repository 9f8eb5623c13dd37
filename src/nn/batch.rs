//! From stored pixels to what the network is trained on: x_0 ([`load`]), t ([`timesteps`]), x_t and
//! the regression target ([`draw`], or [`given`] for noise from outside), and noise alone
//! ([`normal`]).
//!
//! Equivalent PyTorch:
//! ```text
//! x0 = F.pad(pixels / 127.5 - 1, ..., value=-1)
//! t = torch.randint(0, T, (B,));  noise = torch.randn_like(x0)
//! x_t = scheduler.add_noise(x0, noise, t)
//! target = noise                       # or x0, or scheduler.get_velocity(x0, noise, t)
//! ```
//!
//! Random numbers are those of [`crate::rng`], with sample number `batch_offset + n` and the elements
//! of a sample numbered as they lie in the plan, `[H, W, Cp]` with the padding channels counted
//! ([`normal_values`] is their twin on the CPU). So a sample is the same whatever batch it is in.

use bytemuck::{Pod, Zeroable};

use super::{ModelError, PlanBuilder, Shape, TensorId, layers::GROUP, state::RandomStep};
use crate::{
    diffusion::Objective,
    gpu::kernel::KernelId,
    rng::{self, Draw},
};

/// Mirrors `Params` of `shaders/diffusion/q_sample.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    height: u32,
    width: u32,
    c4: u32,
    channels: u32,
    in_height: u32,
    in_width: u32,
    top: u32,
    left: u32,
    timesteps: u32,
    stream: u32,
    step_source: u32,
    step_value: u32,
    objective: u32,
    flags: u32,
    pad0: u32,
}

impl Params {
    fn new(shape: Shape, stream: u32, step: RandomStep) -> Self {
        let (step_source, step_value) = step.code();
        Self {
            batch: shape.b as u32,
            height: shape.h as u32,
            width: shape.w as u32,
            c4: shape.c4() as u32,
            channels: shape.c as u32,
            in_height: 0,
            in_width: 0,
            top: 0,
            left: 0,
            timesteps: 1,
            stream,
            step_source,
            step_value,
            objective: 0,
            flags: 0,
            pad0: 0,
        }
    }
}

fn kernel(entry: &'static str) -> KernelId {
    KernelId::new("diffusion/q_sample", entry)
}

fn element_tiles(shape: Shape) -> usize {
    (shape.words() / 4).div_ceil(GROUP)
}

/// Stored images inside the images that the network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The stored images, `[B, H, W, C]`.
    pub image: Shape,
    /// What the network sees, `[B, S, S, C]`.
    pub canvas: Shape,
    /// Rows of background above.
    pub top: usize,
    /// Columns of background to the left.
    pub left: usize,
}

impl Placement {
    /// In the middle; an odd rest goes below and to the right.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when batch or channels differ or the image is larger than the canvas.
    pub fn centred(image: Shape, canvas: Shape) -> Result<Self, ModelError> {
        let fits = image.b == canvas.b
            && image.c == canvas.c
            && image.h <= canvas.h
            && image.w <= canvas.w
            && !image.is_empty();
        if !fits {
            return Err(ModelError::Shape {
                layer: "images of the data set".into(),
                expected: format!("the network's {canvas}, or fewer pixels"),
                found: image.to_string(),
            });
        }
        Ok(Self {
            image,
            canvas,
            top: (canvas.h - image.h) / 2,
            left: (canvas.w - image.w) / 2,
        })
    }

    /// Words of the tensor of pixels: 4 bytes a word, the first in the lowest bits.
    pub const fn pixel_words(&self) -> usize {
        self.image.len().div_ceil(4)
    }
}

/// Emits `x0 = 2 pixel / 255 − 1` in the middle of a black canvas. `pixels` holds bytes
/// `[B, H, W, C]` without padding ([`Placement::pixel_words`]). With `flip`, each image is mirrored
/// with the state's probability, by a coin of the given stream.
pub fn load(
    plan: &mut PlanBuilder,
    placement: &Placement,
    pixels: TensorId,
    x0: TensorId,
    flip: Option<(u32, RandomStep)>,
    state: TensorId,
) {
    let (image, canvas) = (placement.image, placement.canvas);
    let (stream, step) = flip.unwrap_or((0, RandomStep::Fixed(0)));
    let params = Params {
        in_height: image.h as u32,
        in_width: image.w as u32,
        top: placement.top as u32,
        left: placement.left as u32,
        flags: u32::from(flip.is_some()),
        ..Params::new(canvas, stream, step)
    };
    plan.dispatch(
        kernel("load"),
        &params,
        &[(1, pixels.into()), (2, x0.into()), (8, state.into())],
        element_tiles(canvas),
        2 * canvas.len() as u64,
    );
}

/// How t is spread over a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestepDraw {
    /// Independent draws (algorithm 1).
    Independent,
    /// One sample from each of `batch_total` equal parts of the draws (Kingma et al. 2021,
    /// arXiv:2107.00630, appendix I.1, with independent offsets): each has the same distribution where
    /// images come in random order, the batch's mean loss varies less.
    Stratified,
}

/// Emits t of each sample into `t`, `[B]` u32, for a T of which `quantiles`, `[T]` u32, tells how often each t is drawn
/// ([`crate::diffusion::TimestepDistribution::quantiles`]).
pub fn timesteps(
    plan: &mut PlanBuilder,
    (batch, timesteps): (usize, usize),
    how: TimestepDraw,
    (stream, step): (u32, RandomStep),
    quantiles: TensorId,
    t: TensorId,
    state: TensorId,
) {
    let params = Params {
        timesteps: timesteps as u32,
        flags: u32::from(how == TimestepDraw::Stratified),
        ..Params::new(Shape::vector(batch, 1), stream, step)
    };
    plan.dispatch(
        kernel("timesteps"),
        &params,
        &[(3, t.into()), (8, state.into()), (9, quantiles.into())],
        batch.div_ceil(GROUP),
        100 * batch as u64,
    );
}

/// What q(x_t | x_0) is computed from and to.
#[derive(Debug, Clone, Copy)]
pub struct QSample {
    /// Shape of x_0.
    pub shape: Shape,
    /// T.
    pub timesteps: usize,
    /// What the network predicts.
    pub objective: Objective,
    /// x_0, `[B, H, W, C]`.
    pub x0: TensorId,
    /// t, `[B]` u32.
    pub t: TensorId,
    /// `[T, 2]`: (√ᾱ_t, √(1 − ᾱ_t)), as [`crate::diffusion::forward::q_sample_factors`] has them.
    pub table: TensorId,
    /// x_t (`=`), `[B, H, W, C]`.
    pub x_t: TensorId,
    /// The target (`=`), `[B, H, W, C]`.
    pub target: TensorId,
}

impl QSample {
    fn emit(
        &self,
        plan: &mut PlanBuilder,
        entry: &'static str,
        (stream, step): (u32, RandomStep),
        more: (u32, TensorId),
    ) {
        let params = Params {
            timesteps: self.timesteps as u32,
            objective: match self.objective {
                Objective::Epsilon => 0,
                Objective::Sample => 1,
                Objective::VPrediction => 2,
            },
            ..Params::new(self.shape, stream, step)
        };
        plan.dispatch(
            kernel(entry),
            &params,
            &[
                (2, self.x0.into()),
                (3, self.t.into()),
                (5, self.table.into()),
                (6, self.x_t.into()),
                (7, self.target.into()),
                (more.0, more.1.into()),
            ],
            element_tiles(self.shape),
            6 * self.shape.len() as u64,
        );
    }
}

/// Emits x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε (equation 4) and the target, with ε drawn from a stream.
pub fn draw(plan: &mut PlanBuilder, q: &QSample, random: (u32, RandomStep), state: TensorId) {
    q.emit(plan, "draw", random, (8, state));
}

/// [`draw`] with ε given, `[B, H, W, C]`.
pub fn given(plan: &mut PlanBuilder, q: &QSample, noise: TensorId) {
    q.emit(plan, "given", (0, RandomStep::Fixed(0)), (4, noise));
}

/// Emits `noise` ~ N(0, 1), `[B, H, W, C]`, from a stream; its numbers are [`normal_values`].
pub fn normal(
    plan: &mut PlanBuilder,
    shape: Shape,
    (stream, step): (u32, RandomStep),
    noise: TensorId,
    state: TensorId,
) {
    plan.dispatch(
        kernel("normal"),
        &Params::new(shape, stream, step),
        &[(4, noise.into()), (8, state.into())],
        element_tiles(shape),
        20 * shape.len() as u64,
    );
}

/// The numbers of [`normal`] on the CPU, equal up to the last bits: `[B, H, W, Cp]`, where `first` is
/// the draw of the first sample.
pub fn normal_values(shape: Shape, first: Draw) -> Vec<f32> {
    let mut out = Vec::with_capacity(shape.words());
    let pixels = shape.h * shape.w;
    for n in 0..shape.b as u32 {
        let sample = first.sample.wrapping_add(n);
        for k in 0..pixels * shape.c4() {
            let z = rng::normal4(Draw { sample, ..first }, k as u32);
            let channel = k % shape.c4() * 4;
            out.extend((0..4).map(|j| if channel + j < shape.c { z[j] } else { 0.0 }));
        }
    }
    out
}

/// The table of [`QSample`].
pub fn q_sample_table(schedule: &crate::diffusion::NoiseSchedule) -> Vec<f32> {
    (0..schedule.timesteps())
        .flat_map(|t| {
            let (a, s) = crate::diffusion::forward::q_sample_factors(schedule, t);
            [a, s]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diffusion::{SchedulerConfig, forward},
        nn::{
            layers::testing::Numbers,
            state::StepState,
            tensor::RefTensor,
            testing::{bits, floats, run},
        },
        rng::stream,
    };

    const SEED: u64 = 0x1234_5678_9ABC_DEF0;

    fn state() -> StepState {
        StepState {
            micro_step: 17,
            inference_step: 5,
            batch_offset: 3,
            batch_total: 80,
            flip_probability: 0.5,
            ..StepState::default()
        }
        .with_seed(SEED)
    }

    fn at(stream: u32, step: u32, sample: u32) -> Draw {
        Draw {
            seed: SEED,
            stream,
            step,
            sample,
        }
    }

    fn assert_padding(shape: Shape, words: &[u32]) {
        for (i, &word) in words.iter().enumerate() {
            assert!(i % shape.cp() < shape.c || word == 0, "padding at {i}");
        }
    }

    #[test]
    fn pixels_are_placed_scaled_and_mirrored() {
        for (image, canvas) in [
            (Shape::new(5, 4, 6, 1), Shape::new(5, 7, 8, 1)),
            (Shape::new(9, 3, 5, 3), Shape::new(9, 3, 5, 3)),
            (Shape::new(2, 2, 3, 6), Shape::new(2, 4, 4, 6)),
        ] {
            let placement = Placement::centred(image, canvas).unwrap();
            let bytes: Vec<u8> = (0..image.len()).map(|i| (i * 37 % 256) as u8).collect();
            let mut padded = bytes.clone();
            padded.resize(4 * placement.pixel_words(), 0);
            let words: Vec<u32> = padded
                .chunks(4)
                .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
                .collect();
            let mut mirrored = 0;
            for flip in [None, Some((stream::AUGMENT, RandomStep::MicroStep))] {
                let out = run(&[state().words(), &words], |plan, t| {
                    let x0 = plan.tensor("x0", canvas.words());
                    load(plan, &placement, t[1], x0, flip, t[0]);
                    vec![x0]
                });
                assert_padding(canvas, &out[0]);
                let found = RefTensor::from_plan(canvas, &floats(&out[0]));
                for n in 0..canvas.b {
                    let coin = rng::uniform4(at(stream::AUGMENT, 17, 3 + n as u32), 0)[0];
                    let mirror = flip.is_some() && coin < 0.5;
                    mirrored += usize::from(mirror);
                    for y in 0..canvas.h {
                        for x in 0..canvas.w {
                            for c in 0..canvas.c {
                                let (iy, ix) = (
                                    y.wrapping_sub((canvas.h - image.h) / 2),
                                    x.wrapping_sub((canvas.w - image.w) / 2),
                                );
                                let expected = if iy < image.h && ix < image.w {
                                    let ix = if mirror { image.w - 1 - ix } else { ix };
                                    let k = ((n * image.h + iy) * image.w + ix) * image.c + c;
                                    f64::from(bytes[k]) / 127.5 - 1.0
                                } else {
                                    -1.0
                                };
                                approx::assert_abs_diff_eq!(
                                    found.at(n, y, x, c),
                                    expected,
                                    epsilon = 2e-7
                                );
                            }
                        }
                    }
                }
            }
            assert!(canvas.b < 5 || (1..canvas.b).contains(&mirrored));
        }
    }

    #[test]
    fn images_that_do_not_fit_are_refused() {
        let canvas = Shape::new(2, 8, 8, 1);
        for image in [
            Shape::new(2, 9, 8, 1),
            Shape::new(2, 8, 8, 3),
            Shape::new(1, 8, 8, 1),
            Shape::new(2, 0, 8, 1),
        ] {
            let error = Placement::centred(image, canvas).unwrap_err().to_string();
            assert!(error.contains("[B 2, H 8, W 8, C 1]"), "{error}");
        }
    }

    #[test]
    fn timesteps_are_those_of_the_cpu() {
        let total = 1000;
        // Not the identity, so that a draw that does without them is seen.
        let quantiles: Vec<u32> = (0..total as u32).rev().collect();
        let drawn = |how| {
            let out = run(&[state().words(), &quantiles], |plan, x| {
                let t = plan.tensor("t", 80);
                let random = (stream::TIMESTEP, RandomStep::MicroStep);
                timesteps(plan, (80, total), how, random, x[1], t, x[0]);
                vec![t]
            });
            out.into_iter().next().unwrap()
        };
        let drawn = |how| -> Vec<u32> { drawn(how).iter().map(|t| 999 - t).collect() };
        let uniform = drawn(TimestepDraw::Independent);
        let stratified = drawn(TimestepDraw::Stratified);
        for n in 0..80 {
            let word = rng::words4(at(stream::TIMESTEP, 17, 3 + n), 0)[0];
            assert_eq!(uniform[n as usize], rng::below(word, total as u32));
            let part = (3 + n) % 80;
            let exact = (f64::from(part) + f64::from(rng::uniform_from_word(word))) * 12.5;
            let found = f64::from(stratified[n as usize]);
            assert!((found - exact.floor()).abs() <= 1.0, "{found} for {exact}");
            assert!((found / 12.5 + 1e-3).floor() <= f64::from(part) + 1.0);
        }
        let mut sorted = stratified.clone();
        sorted.sort_unstable();
        for (k, &t) in sorted.iter().enumerate() {
            assert!((f64::from(t) - 12.5 * k as f64).abs() <= 13.5, "{k}: {t}");
        }
    }

    #[test]
    fn x_t_and_the_target_are_those_of_the_cpu() {
        let schedule = SchedulerConfig::default().noise_schedule().unwrap();
        let table = bits(&q_sample_table(&schedule));
        for shape in [Shape::new(3, 5, 7, 3), Shape::new(2, 4, 3, 6)] {
            let x0 = Numbers::new(8).tensor(shape);
            let x0_words = bits(&x0.to_plan());
            let t: Vec<u32> = (0..shape.b as u32).map(|n| n * 499).collect();
            for objective in Objective::ALL {
                let random = (stream::TRAIN_NOISE, RandomStep::MicroStep);
                let state = state();
                let inputs: [&[u32]; 4] = [state.words(), &x0_words, &t, &table];
                let out = run(&inputs, |plan, x| {
                    let mut q = QSample {
                        shape,
                        timesteps: 1000,
                        objective,
                        x0: x[1],
                        t: x[2],
                        table: x[3],
                        x_t: plan.tensor("x_t", shape.words()),
                        target: plan.tensor("target", shape.words()),
                    };
                    let mut wanted = vec![q.x_t, q.target];
                    draw(plan, &q, random, x[0]);
                    let noise = plan.tensor("noise", shape.words());
                    normal(plan, shape, random, noise, x[0]);
                    q.x_t = plan.tensor("x_t", shape.words());
                    q.target = plan.tensor("target", shape.words());
                    given(plan, &q, noise);
                    wanted.extend([q.x_t, q.target, noise]);
                    wanted
                });
                assert_eq!(out[0], out[2], "noise drawn and noise given differ");
                assert_eq!(out[1], out[3], "noise drawn and noise given differ");
                out.iter().for_each(|w| assert_padding(shape, w));
                let noise = normal_values(shape, at(stream::TRAIN_NOISE, 17, 3));
                for (f, e) in floats(&out[4]).iter().zip(&noise) {
                    approx::assert_abs_diff_eq!(f, e, epsilon = 2e-6);
                }
                let per_sample = shape.words() / shape.b;
                let (mut x_t, mut target) = (vec![0.0; per_sample], vec![0.0; per_sample]);
                for n in 0..shape.b {
                    let range = n * per_sample..(n + 1) * per_sample;
                    let (x0, z) = (&x0.to_plan()[range.clone()], &noise[range.clone()]);
                    let t = t[n] as usize;
                    forward::q_sample(&schedule, t, x0, z, &mut x_t).unwrap();
                    forward::target(&schedule, objective, t, x0, z, &mut target).unwrap();
                    for (found, expected) in [(&out[0], &x_t), (&out[1], &target)] {
                        for (f, e) in floats(&found[range.clone()]).iter().zip(expected) {
                            approx::assert_abs_diff_eq!(f, e, epsilon = 3e-6);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn noise_does_not_depend_on_the_batch() {
        let draws = |b: usize, offset: u32, step: RandomStep| {
            let state = StepState {
                batch_offset: offset,
                ..state()
            };
            let shape = Shape::new(b, 3, 4, 1);
            let out = run(&[state.words()], |plan, x| {
                let noise = plan.tensor("noise", shape.words());
                normal(plan, shape, (stream::SAMPLE_NOISE, step), noise, x[0]);
                vec![noise]
            });
            out.into_iter().next().unwrap()
        };
        let all = draws(6, 10, RandomStep::InferenceStep);
        let mut parts = draws(2, 10, RandomStep::InferenceStep);
        parts.extend(draws(4, 12, RandomStep::Fixed(5)));
        assert_eq!(all, parts);
        assert_ne!(draws(6, 10, RandomStep::MicroStep), all);
        // 72 numbers: the mean's standard error is 0.118.
        let numbers = floats(&all);
        let mean = numbers.iter().sum::<f32>() / 72.0;
        assert!(mean.abs() < 0.45, "{mean}");
    }
}

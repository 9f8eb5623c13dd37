//! The optimal denoiser on the device: E[ε | x_t] and ln q(x_t) for a mixture of isotropic Gaussians in the plane,
//! in place of a network. [`crate::diffusion::exact`] says what they are, and is the reference.

use bytemuck::{Pod, Zeroable};

use super::{PlanBuilder, Shape, TensorId, layers::GROUP};
use crate::{diffusion::exact::Mixture, gpu::kernel::KernelId};

/// Mirrors `Params` of `shaders/diffusion/exact.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    batch: u32,
    blocks: u32,
    timesteps: u32,
    flags: u32,
}

const LOG_Q: u32 = 1;

/// The most components that one pass of the kernel can have.
pub const MAX_COMPONENTS: usize = 4 * 32768;

/// One evaluation.
#[derive(Debug, Clone, Copy)]
pub struct ExactIo {
    /// Shape of x_t, `[B, 1, 1, 2]`.
    pub shape: Shape,
    /// x_t.
    pub x: TensorId,
    /// Timesteps, `[B]` u32.
    pub t: TensorId,
    /// (√ᾱ, √(1 − ᾱ)) of each timestep, `[T, 2]`: [`super::batch::q_sample_table`].
    pub table: TensorId,
    /// The words of [`table`], `[K, 4]`.
    pub components: TensorId,
    /// K: components of the mixture, or the rows of their table.
    pub count: usize,
    /// E[ε | x_t] (`=`), `[B, 1, 1, 2]`.
    pub eps: TensorId,
    /// ln q(x_t) in nats (`=`), `[B]`, if wanted.
    pub log_q: Option<TensorId>,
}

/// The components as the kernel reads them, `[K, 4]`: mean, weight (they add up to 1), variance. K is filled up to a
/// multiple of 4 with weightless copies of the last one. Components without weight are left out, and of more than
/// [`MAX_COMPONENTS`] the first.
pub fn table(mixture: &Mixture) -> Vec<f32> {
    let used = mixture.components.iter().filter(|c| c.weight > 0.0);
    let total: f64 = used.clone().map(|c| f64::from(c.weight)).sum();
    let mut words: Vec<f32> = used
        .take(MAX_COMPONENTS)
        .flat_map(|c| {
            let weight = (f64::from(c.weight) / total) as f32;
            [c.mean[0], c.mean[1], weight, c.variance]
        })
        .collect();
    if let Some(&[x, y, _, variance]) = words.last_chunk::<4>() {
        while words.len() % 16 != 0 {
            words.extend([x, y, 0.0, variance]);
        }
    }
    words
}

/// Emits the evaluation. It takes the step's state as every emitter does; nothing here depends on it.
pub fn emit(plan: &mut PlanBuilder, io: &ExactIo, _state: TensorId) {
    let mut args = vec![
        (1, io.x.into()),
        (2, io.t.into()),
        (3, io.table.into()),
        (4, io.components.into()),
        (5, io.eps.into()),
    ];
    let mut flags = 0;
    if let Some(log_q) = io.log_q {
        flags |= LOG_Q;
        args.push((6, log_q.into()));
    }
    let blocks = io.count.div_ceil(4);
    let timesteps = plan.words(io.table) / 2;
    plan.dispatch(
        KernelId::new("diffusion/exact", "denoise"),
        &Params {
            batch: io.shape.b as u32,
            blocks: blocks as u32,
            timesteps: timesteps as u32,
            flags,
        },
        &args,
        io.shape.b.div_ceil(GROUP),
        (io.shape.b * blocks * 4 * 24) as u64,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diffusion::{NoiseSchedule, exact::Component},
        nn::{
            batch::q_sample_table,
            testing::{bits, floats, run},
        },
        rng::{self, Draw},
    };

    /// `n` components of different weights and widths on a spiral.
    fn spiral(n: usize) -> Mixture {
        let component = |i: usize| {
            let u = (i as f32 + 0.5) / n as f32;
            let (sin, cos) = (9.0 * u).sin_cos();
            Component {
                mean: [1.8 * u * cos, 1.8 * u * sin],
                weight: (1.0 + (i % 5) as f32) / n as f32,
                variance: if n > 100 { 9e-4 } else { 0.01 + 0.02 * u },
            }
        };
        Mixture {
            components: (0..n).map(component).collect(),
        }
    }

    /// ᾱ from 0.9999 to 1e-4.
    fn schedule() -> NoiseSchedule {
        let bars = [0.9999f64, 0.99, 0.9, 0.5, 0.1, 1e-2, 1e-4];
        let before = std::iter::once(1.0).chain(bars);
        let betas = bars.iter().zip(before).map(|(b, a)| (1.0 - b / a) as f32);
        NoiseSchedule::from_betas(betas.collect()).unwrap()
    }

    #[test]
    fn the_kernel_is_the_reference() {
        let schedule = schedule();
        let table_words = bits(&q_sample_table(&schedule));
        for count in [8, 2000, 13] {
            let mixture = spiral(count);
            let components = table(&mixture);
            assert_eq!(components.len(), 4 * count.next_multiple_of(4));
            // Points of q(x_t), some on a wide square, and some as far away as nothing ever is.
            let (mut points, mut t) = (Vec::new(), Vec::new());
            for step in 0..schedule.timesteps() {
                for i in 0..40u32 {
                    let draw = Draw {
                        seed: 3,
                        stream: 0,
                        step: step as u32,
                        sample: i,
                    };
                    let [z, w, u, v] = rng::normal4(draw, 0);
                    let (a, s) = (
                        schedule.alpha_bars()[step].sqrt(),
                        (1.0 - schedule.alpha_bars()[step]).sqrt(),
                    );
                    let k = (i as usize * 7919) % mixture.components.len();
                    let c = &mixture.components[k];
                    let sd = c.variance.sqrt();
                    points.push(match i {
                        0..30 => [
                            a * (c.mean[0] + sd * u) + s * z,
                            a * (c.mean[1] + sd * v) + s * w,
                        ],
                        30..37 => [2.0 * z, 2.0 * w],
                        37 => [3e38, -1e20],
                        38 => [100.0, -30.0],
                        _ => [-1e6, 1e6],
                    });
                    t.push(step as u32);
                }
            }
            let shape = Shape::new(points.len(), 1, 1, 2);
            let x: Vec<f32> = points.iter().flat_map(|p| [p[0], p[1], 0.0, 0.0]).collect();
            let (x, components) = (bits(&x), bits(&components));
            let inputs: [&[u32]; 4] = [&x, &t, &table_words, &components];
            let out = run(&inputs, |plan, i| {
                let eps = plan.tensor("eps", shape.words());
                let log_q = plan.tensor("log_q", shape.b);
                emit(
                    plan,
                    &ExactIo {
                        shape,
                        x: i[0],
                        t: i[1],
                        table: i[2],
                        components: i[3],
                        count,
                        eps,
                        log_q: Some(log_q),
                    },
                    i[0],
                );
                vec![eps, log_q]
            });
            let (eps, log_q) = (floats(&out[0]), floats(&out[1]));
            for (n, p) in points.iter().enumerate() {
                assert!(eps[4 * n].is_finite() && log_q[n].is_finite(), "{p:?}");
                if p[0] > 1e9 {
                    continue;
                }
                let alpha_bar = f64::from(schedule.alpha_bars()[t[n] as usize]);
                let found = [eps[4 * n], eps[4 * n + 1]].map(f64::from);
                let expected = mixture.eps(*p, alpha_bar);
                let size = expected[0].hypot(expected[1]);
                let error = (found[0] - expected[0]).hypot(found[1] - expected[1]);
                // Far out the exponents are large numbers whose last bits decide between components.
                let far = p[0].hypot(p[1]) > 20.0;
                let tolerance = if far { 2e-2 } else { 2e-3 };
                let what = format!("{count} components, alpha_bar {alpha_bar}, {p:?}");
                assert!(
                    error <= tolerance * (0.01 + size),
                    "{what}: {found:?}, expected {expected:?}"
                );
                let expected = mixture.log_density(*p, alpha_bar);
                let error = (f64::from(log_q[n]) - expected).abs();
                assert!(
                    error <= 2e-3 + 2e-6 * expected.abs(),
                    "{what}: ln q {}, expected {expected}",
                    log_q[n]
                );
                assert_eq!(out[0][4 * n + 2..4 * n + 4], [0, 0], "the padding");
            }
        }
    }

    #[test]
    fn components_without_weight_are_left_out() {
        let mut mixture = spiral(6);
        mixture.components[0].weight = 0.0;
        let words = table(&mixture);
        assert_eq!(words.len(), 32);
        let weights: f32 = words.chunks(4).map(|c| c[2]).sum();
        assert!((weights - 1.0).abs() < 1e-6);
        assert_eq!(
            words[20..22],
            words[28..30],
            "the filling repeats the last one"
        );
        assert!(table(&Mixture::default()).is_empty());
    }
}

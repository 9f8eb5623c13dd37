//! The multilayer perceptron of the 2-D lab: predicts from a noisy point and its timestep.
//!
//! A point is an image of one pixel, `[B, 1, 1, features]`, so that q_sample, loss, sampler steps and the trainer
//! serve it as they serve the U-Net's images; a linear layer is a convolution of 1×1 pixels.
//!
//! ```text
//! e       = linear_2(SiLU(linear_1(sinusoidal(t))))           [B, D]; 0 without time embedding
//! f       = [x_t, sin(ω_k x_t), cos(ω_k x_t), …]              [B, features (1 + 2 K)], ω_k = 1, 2, 4, 8
//! h_0     = input(f) + e                                      [B, D]
//! h_{k+1} = h_k + blocks.k.linear_2(SiLU(blocks.k.linear_1(h_k)))
//! out     = output(SiLU(h_K))                                 [B, features]
//! ```
//!
//! Equivalent PyTorch:
//! ```text
//! e = self.time_embedding.linear_2(F.silu(self.time_embedding.linear_1(get_timestep_embedding(t, D))))
//! f = torch.cat([x] + [g(w * x) for w in (1, 2, 4, 8) for g in (torch.sin, torch.cos)], 1)
//! h = self.input(f) + e
//! for block in self.blocks:
//!     h = h + block.linear_2(F.silu(block.linear_1(h)))
//! out = self.output(F.silu(h))
//! ```

use serde::{Deserialize, Serialize};

use super::{
    Graph, ModelError, Shape, ValueId,
    graph::ParamLayout,
    layers::{conv2d::Conv2d, fourier::Fourier, silu::Silu, time_embedding::TimeEmbedding},
    model::{self, Model},
};

/// Structure of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Numbers a point: 2 in the plane.
    pub features: usize,
    /// Width D of the hidden layers and of the time embedding.
    pub width: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Whether the network is told the timestep.
    pub time_embedding: bool,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self {
            features: 2,
            width: 64,
            blocks: 2,
            time_embedding: true,
        }
    }
}

/// The widest network that is built.
pub const MAX_WIDTH: usize = 1024;
/// The most residual blocks.
pub const MAX_BLOCKS: usize = 32;

/// Angle of the fastest time feature over all of 0 … T, and of it over the slowest. The images' networks have a hundred
/// turns more, which a field that changes gently with t has to unlearn.
const TIME_ANGLE: f64 = 50.0;
const TIME_RANGE: f64 = 100.0;

/// Features of the point. The field between two modes changes within σ²/distance: without them the error of the learned
/// field of the eight Gaussians is half as large again after the same steps.
const FOURIER: Fourier = Fourier {
    first: 1.0,
    octaves: 4,
};

/// Builds the network for a batch of points. `timesteps` is the length T of the time embedding's table; `training` is
/// there for the likeness to [`super::unet::build`]: this network has no dropout.
///
/// # Errors
/// [`ModelError::Structure`] for sizes of 0 or beyond [`MAX_WIDTH`] and [`MAX_BLOCKS`].
pub fn build(
    config: &MlpConfig,
    batch: usize,
    timesteps: usize,
    _training: bool,
) -> Result<Model, ModelError> {
    let (features, d) = (config.features, config.width);
    if !(1..=MAX_WIDTH).contains(&d) || config.blocks > MAX_BLOCKS || features == 0 {
        return Err(ModelError::Structure(format!(
            "a network of {features} features, width {d} and {} blocks cannot be built; choose a width of 1 to {MAX_WIDTH} and at most {MAX_BLOCKS} blocks.",
            config.blocks
        )));
    }
    let mut graph = Graph::new();
    let inputs = model::Inputs {
        x: graph.input("x_t", Shape::vector(batch, features), false),
        t: graph.input("t", Shape::vector(batch, 1), false),
        time_table: graph.input("time table", Shape::vector(timesteps, d), false),
        state: graph.input("state", Shape::vector(1, super::state::STATE_WORDS), false),
    };
    let first = Conv2d::pointwise(FOURIER.channels(features), d);
    let f = graph.add("features", FOURIER, &[inputs.x], &[])?;
    let mut h = if config.time_embedding {
        let rows = graph.add(
            "time_proj",
            TimeEmbedding,
            &[inputs.t, inputs.time_table],
            &[],
        )?;
        let square = Conv2d::pointwise(d, d);
        let e = linear(&mut graph, "time_embedding.linear_1", square, &[rows])?;
        let e = graph.add("time_embedding.act", Silu, &[e], &[])?;
        let e = linear(&mut graph, "time_embedding.linear_2", square, &[e])?;
        linear(&mut graph, "input", first.with_residual(), &[f, e])?
    } else {
        linear(&mut graph, "input", first, &[f])?
    };
    for k in 0..config.blocks {
        graph.begin_segment();
        let layer = Conv2d::pointwise(d, d);
        let name = format!("blocks.{k}");
        let r = linear(&mut graph, &format!("{name}.linear_1"), layer, &[h])?;
        let r = graph.add(&format!("{name}.act"), Silu, &[r], &[])?;
        let label = format!("{name}.linear_2");
        h = linear(&mut graph, &label, layer.with_residual(), &[r, h])?;
    }
    graph.begin_segment();
    let h = graph.add("output.act", Silu, &[h], &[])?;
    let output = linear(&mut graph, "output", Conv2d::pointwise(d, features), &[h])?;
    Ok(Model {
        graph,
        inputs,
        output,
        time_table: super::tensor::pad_rows(&time_table(timesteps, d), d),
    })
}

/// Sines and cosines of the time, `[T, D]`: with h = ⌊D/2⌋,
///
/// ```text
/// f_k = TIME_ANGLE · TIME_RANGE^(−k/(h−1)),   row t = [sin(f_0 t/T), …, cos(f_0 t/T), …]
/// ```
fn time_table(timesteps: usize, d: usize) -> Vec<f32> {
    let half = d / 2;
    let mut out = vec![0.0; timesteps * d];
    for (t, row) in out.chunks_mut(d).enumerate() {
        for k in 0..half {
            let part = k as f64 / half.saturating_sub(1).max(1) as f64;
            let angle = TIME_ANGLE * TIME_RANGE.powf(-part) * t as f64 / timesteps as f64;
            row[k] = angle.sin() as f32;
            row[half + k] = angle.cos() as f32;
        }
    }
    out
}

fn linear(
    graph: &mut Graph,
    name: &str,
    layer: Conv2d,
    inputs: &[ValueId],
) -> Result<ValueId, ModelError> {
    let params = [
        graph.param(format!("{name}.weight"), layer.weight_layout(true)),
        graph.param(
            format!("{name}.bias"),
            ParamLayout::Vector { c: layer.cout },
        ),
    ];
    graph.add(name, layer, inputs, &params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{
        PlanBuilder,
        graph::ParamInfo,
        init,
        layers::{silu::silu, testing::Numbers},
        state::StepState,
        tensor::RefTensor,
        testing::{bits, floats, run},
    };

    const BATCH: usize = 5;
    const T: usize = 7;

    /// The module's equations in f64; returns Σ out · weight.
    fn reference(
        config: &MlpConfig,
        params: &[Vec<f64>],
        (x, t): (&RefTensor, &[u32]),
        table: &[f32],
        weight: &RefTensor,
    ) -> f64 {
        let d = config.width;
        let linear = |at: usize, x: &[f64]| -> Vec<f64> {
            let (w, b) = (&params[at], &params[at + 1]);
            (b.iter().zip(w.chunks(x.len())))
                .map(|(b, row)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
                .collect()
        };
        let act = |x: Vec<f64>| -> Vec<f64> { x.into_iter().map(silu).collect() };
        let add =
            |a: Vec<f64>, b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        let mut sum = 0.0;
        for n in 0..BATCH {
            let raw: Vec<f64> = (0..config.features).map(|c| x.at(n, 0, 0, c)).collect();
            let mut point = raw.clone();
            for w in [1.0, 2.0, 4.0, 8.0] {
                point.extend(raw.iter().map(|v| (w * v).sin()));
                point.extend(raw.iter().map(|v| (w * v).cos()));
            }
            let mut at = 0;
            let mut h = if config.time_embedding {
                let row = &table[t[n] as usize * d.next_multiple_of(4)..][..d];
                let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
                let e = linear(2, &act(linear(0, &row)));
                at = 4;
                add(linear(4, &point), &e)
            } else {
                linear(0, &point)
            };
            for _ in 0..config.blocks {
                at += 2;
                let r = linear(at + 2, &act(linear(at, &h)));
                h = add(r, &h);
                at += 2;
            }
            let out = linear(at + 2, &act(h));
            sum += (out.iter().enumerate())
                .map(|(c, v)| v * weight.at(n, 0, 0, c))
                .sum::<f64>();
        }
        sum
    }

    fn gradients(config: &MlpConfig) {
        let model = build(config, BATCH, T, true).expect("a network");
        let params: Vec<ParamInfo> = model.graph.params().to_vec();
        let values = init::weights(&params, 5);
        let shape = Shape::vector(BATCH, config.features);
        let mut numbers = Numbers::new(2);
        let (x, weight) = (numbers.tensor(shape), numbers.tensor(shape));
        let t: Vec<u32> = (0..BATCH as u32).map(|n| n * 3 % T as u32).collect();
        let mut inputs: Vec<Vec<u32>> = vec![
            StepState::default().words().to_vec(),
            bits(&x.to_plan()),
            t.clone(),
            bits(&model.time_table),
            bits(&weight.to_plan()),
        ];
        let first = inputs.len();
        inputs.extend(params.iter().zip(&values).map(|(i, v)| bits(&i.pack(v))));
        inputs.extend(params.iter().map(|i| vec![0; i.words()]));
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let out = run(&inputs, |plan: &mut PlanBuilder, ids| {
            let (weights, grads) = ids[first..].split_at(params.len());
            // The gradient's tensor is worked in: a copy keeps the input.
            let grad = plan.tensor("gradient", shape.words());
            crate::nn::layers::add::accumulate(plan, ids[4], grad, shape.words(), false);
            let bound = model.lower(plan, ids[1], ids[2], ids[3], ids[0], weights);
            let output = bound.output;
            let mut lowered = bound.lowered;
            plan.keep(output);
            model.graph.lower_backward(
                plan,
                &mut lowered,
                weights,
                grads,
                model.output,
                grad,
                false,
            );
            std::iter::once(output)
                .chain(grads.iter().copied())
                .collect()
        });
        let values: Vec<Vec<f64>> = (values.iter())
            .map(|v| v.iter().map(|&v| f64::from(v)).collect())
            .collect();
        let value =
            |params: &[Vec<f64>]| reference(config, params, (&x, &t), &model.time_table, &weight);
        let found = RefTensor::from_plan(shape, &floats(&out[0]));
        let sum: f64 = found
            .data
            .iter()
            .zip(&weight.data)
            .map(|(a, b)| a * b)
            .sum();
        approx::assert_abs_diff_eq!(sum, value(&values), epsilon = 1e-5);
        for (k, info) in params.iter().enumerate() {
            let found = info.unpack(&floats(&out[1 + k]));
            let mut largest = 0.0_f32;
            for i in (0..found.len()).step_by(1 + found.len() / 12) {
                let by = |h: f64| {
                    let mut moved = values.clone();
                    moved[k][i] += h;
                    value(&moved)
                };
                let slope = (by(1e-5) - by(-1e-5)) / 2e-5;
                let near = 2e-5 * (1.0 + slope.abs());
                assert!(
                    (slope - f64::from(found[i])).abs() < near,
                    "{}[{i}] is {}, expected {slope}",
                    info.name,
                    found[i]
                );
                largest = largest.max(found[i].abs());
            }
            assert!(largest > 0.0, "{} has no gradient", info.name);
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let config = MlpConfig {
            width: 10,
            blocks: 2,
            ..MlpConfig::default()
        };
        gradients(&config);
        gradients(&MlpConfig {
            time_embedding: false,
            features: 3,
            ..config
        });
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for config in [
            MlpConfig {
                width: 0,
                ..MlpConfig::default()
            },
            MlpConfig {
                blocks: MAX_BLOCKS + 1,
                ..MlpConfig::default()
            },
        ] {
            let error = build(&config, 4, 10, true).unwrap_err().to_string();
            assert!(error.contains("choose a width of 1 to 1024"), "{error}");
        }
    }
}

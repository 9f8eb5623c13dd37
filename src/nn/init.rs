//! Random weights, as PyTorch initialises them: uniform in ±1/√fan_in for weights and biases of
//! convolutions and linear layers, 1 and 0 for the scale and shift of a norm.

use super::graph::{ParamInfo, ParamLayout};
use crate::rng::{self, Draw};

/// Initial values of all parameters, in the layout of files. A parameter's numbers depend on the
/// seed and its position only.
pub fn weights(params: &[ParamInfo], seed: u64) -> Vec<Vec<f32>> {
    let mut fan_in = 1;
    params
        .iter()
        .enumerate()
        .map(|(i, info)| {
            let is_bias = info.name.ends_with(".bias");
            let of_norm = info.name.contains("norm");
            if let ParamLayout::Weight { k, cin, .. } = info.layout {
                fan_in = k * k * cin;
            }
            let mut values = vec![0.0; info.file_len()];
            if of_norm {
                values.fill(if is_bias { 0.0 } else { 1.0 });
                return values;
            }
            // A bias follows its weight, whose fan-in it shares.
            let bound = 1.0 / (fan_in as f32).sqrt();
            let draw = Draw {
                seed,
                stream: rng::stream::WEIGHTS,
                step: 0,
                sample: i as u32,
            };
            rng::fill_uniform(draw, &mut values);
            for v in &mut values {
                *v = (2.0 * *v - 1.0) * bound;
            }
            values
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_fill_their_interval_and_norms_are_the_identity() {
        let info = |name: &str, layout| ParamInfo {
            name: name.into(),
            layout,
        };
        let weight = ParamLayout::Weight {
            k: 3,
            cin: 16,
            cout: 32,
            linear: false,
        };
        let params = [
            info("a.weight", weight),
            info("a.bias", ParamLayout::Vector { c: 32 }),
            info("norm1.weight", ParamLayout::Vector { c: 32 }),
            info("norm1.bias", ParamLayout::Vector { c: 32 }),
        ];
        let values = weights(&params, 5);
        let bound = 1.0 / 144_f32.sqrt();
        for v in &values[..2] {
            let (min, max) = v
                .iter()
                .fold((0.0_f32, 0.0_f32), |(a, b), &x| (a.min(x), b.max(x)));
            assert!(min < -0.8 * bound && min >= -bound);
            assert!(max > 0.8 * bound && max <= bound);
        }
        assert!(values[2].iter().all(|&v| v == 1.0));
        assert!(values[3].iter().all(|&v| v == 0.0));
        assert_ne!(weights(&params, 6)[0], values[0]);
    }
}

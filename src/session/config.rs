//! What a training run is: its configuration and the named presets.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    data::Dataset,
    diffusion::{SchedulerConfig, TimestepDistribution, loss_weight::LossType},
    nn::{
        lr_schedule::{LearningRate, LearningRateDecay},
        optimizer::AdamConfig,
        plan::Precision,
        unet_config::{BlockKind, UNetConfig},
    },
};

/// Everything that decides the numbers of a run, besides the data and the device.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// The data set as it was named: `mnist`, `fashion` or a path.
    pub dataset: String,
    /// The network.
    pub unet: UNetConfig,
    /// The noise schedule, the objective and the posterior variance.
    pub scheduler: SchedulerConfig,
    /// Images a micro-batch.
    pub batch: usize,
    /// Micro-batches an optimiser step.
    pub accumulate: usize,
    /// Learning rate over the steps.
    pub lr: LearningRate,
    /// Adam or AdamW.
    pub adam: AdamConfig,
    /// Largest norm of the gradient; 0 for no clipping.
    pub clip_norm: f64,
    /// Decay of the moving average of the weights, after its warm-up.
    pub ema_decay: f64,
    /// How its decay warms up: the power of `nn::lr_schedule::ema_decay`.
    pub ema_power: Option<f64>,
    /// Probability that a training image is mirrored.
    pub flip: f64,
    /// The loss.
    pub loss: LossType,
    /// How often each timestep is drawn.
    pub draw: TimestepDistribution,
    /// Keep only the borders of each block's activations and compute the rest again.
    pub checkpoint_activations: bool,
    /// How feature maps are kept.
    pub precision: Precision,
    /// Seed of everything random.
    pub seed: u64,
}

/// The part of [`TrainConfig`] that serde writes as it is.
#[derive(Serialize, Deserialize)]
struct Plain {
    dataset: String,
    batch: usize,
    accumulate: usize,
    lr: LearningRate,
    adam: AdamConfig,
    clip_norm: f64,
    ema_decay: f64,
    // Left out where there is none, so that such runs read as those from before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ema_power: Option<f64>,
    flip: f64,
    loss: LossType,
    // Runs from before there was a choice have none.
    #[serde(default)]
    draw: TimestepDistribution,
    checkpoint_activations: bool,
    #[serde(default)]
    precision: Precision,
    seed: u64,
}

impl TrainConfig {
    /// As JSON, for the run's state.
    pub fn to_json(&self) -> Value {
        let plain = Plain {
            dataset: self.dataset.clone(),
            batch: self.batch,
            accumulate: self.accumulate,
            lr: self.lr,
            adam: self.adam,
            clip_norm: self.clip_norm,
            ema_decay: self.ema_decay,
            ema_power: self.ema_power,
            flip: self.flip,
            loss: self.loss,
            draw: self.draw,
            checkpoint_activations: self.checkpoint_activations,
            precision: self.precision,
            seed: self.seed,
        };
        json!({
            "train": plain,
            "unet": self.unet.to_json(),
            "scheduler": self.scheduler,
        })
    }

    /// From [`TrainConfig::to_json`].
    ///
    /// # Errors
    /// What is missing or malformed, as one phrase.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let part = |key: &str| {
            value
                .get(key)
                .cloned()
                .ok_or_else(|| format!("the run's state has no \"{key}\""))
        };
        let plain: Plain = serde_json::from_value(part("train")?).map_err(|e| e.to_string())?;
        let scheduler: SchedulerConfig =
            serde_json::from_value(part("scheduler")?).map_err(|e| e.to_string())?;
        let unet = UNetConfig::from_json(&part("unet")?).map_err(|e| e.to_string())?;
        Ok(Self {
            dataset: plain.dataset,
            unet,
            scheduler,
            batch: plain.batch,
            accumulate: plain.accumulate,
            lr: plain.lr,
            adam: plain.adam,
            clip_norm: plain.clip_norm,
            ema_decay: plain.ema_decay,
            ema_power: plain.ema_power,
            flip: plain.flip,
            loss: plain.loss,
            draw: plain.draw,
            checkpoint_activations: plain.checkpoint_activations,
            precision: plain.precision,
            seed: plain.seed,
        })
    }

    /// Where `self` and `other` differ: path, own value, other value. A run that differs anywhere
    /// is another run.
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let mut out = Vec::new();
        differences("", &self.to_json(), &other.to_json(), &mut out);
        out
    }
}

fn differences(path: &str, a: &Value, b: &Value, out: &mut Vec<(String, String, String)>) {
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let below = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let null = Value::Null;
            differences(
                &below,
                a.get(key).unwrap_or(&null),
                b.get(key).unwrap_or(&null),
                out,
            );
        }
    } else if a != b {
        out.push((path.to_owned(), a.to_string(), b.to_string()));
    }
}

/// A named configuration.
#[derive(Debug)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// Makes it for images of `side` pixels and `channels` channels.
    pub make: fn(side: usize, channels: usize) -> TrainConfig,
    /// Optimiser steps unless said otherwise.
    pub steps: u64,
}

impl Preset {
    /// Its configuration for a data set's images, under the data set's name.
    pub fn for_data(&self, data: &Dataset) -> TrainConfig {
        let side = data.train.height.max(data.train.width);
        TrainConfig {
            dataset: data.name.clone(),
            ..(self.make)(side, data.train.channels)
        }
    }
}

/// Every preset.
pub static PRESETS: &[Preset] = &[
    Preset {
        name: "tiny",
        summary: "Learns something in a minute on any machine: 2 levels of 16 and 32 channels.",
        make: tiny,
        steps: 2_000,
    },
    Preset {
        name: "digits",
        summary: "Digits that a person can name: 3 levels of 16, 32 and 64 channels with attention.",
        make: digits,
        steps: 6_000,
    },
    Preset {
        name: "cifar",
        summary: "The paper's network for 32x32 colour images (35.7 million parameters): needs a GPU.",
        make: cifar,
        steps: 800_000,
    },
];

/// The preset of that name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|p| p.name == name)
}

fn base(unet: UNetConfig, batch: usize, lr: f64) -> TrainConfig {
    TrainConfig {
        dataset: String::new(),
        unet,
        scheduler: SchedulerConfig::default(),
        batch,
        accumulate: 1,
        lr: LearningRate {
            base: lr,
            warmup_steps: 100,
            decay: LearningRateDecay::Constant,
        },
        adam: AdamConfig::default(),
        clip_norm: 1.0,
        ema_decay: 0.999,
        ema_power: None,
        flip: 0.0,
        loss: LossType::Simple,
        draw: TimestepDistribution::Uniform,
        checkpoint_activations: false,
        precision: Precision::F32,
        seed: 0,
    }
}

fn unet(side: usize, channels: usize) -> UNetConfig {
    UNetConfig {
        sample_size: side,
        in_channels: channels,
        out_channels: channels,
        ..UNetConfig::default()
    }
}

fn tiny(side: usize, channels: usize) -> TrainConfig {
    let side = side.next_multiple_of(2);
    let network = UNetConfig {
        block_out_channels: vec![16, 32],
        layers_per_block: 1,
        norm_num_groups: 8,
        down_block_types: vec![BlockKind::Plain, BlockKind::Attention],
        up_block_types: vec![BlockKind::Attention, BlockKind::Plain],
        ..unet(side, channels)
    };
    base(network, 16, 1e-3)
}

fn digits(side: usize, channels: usize) -> TrainConfig {
    let side = side.next_multiple_of(4);
    let network = UNetConfig {
        block_out_channels: vec![16, 32, 64],
        layers_per_block: 1,
        norm_num_groups: 8,
        down_block_types: vec![BlockKind::Plain, BlockKind::Plain, BlockKind::Attention],
        up_block_types: vec![BlockKind::Attention, BlockKind::Plain, BlockKind::Plain],
        ..unet(side, channels)
    };
    let mut config = base(network, 16, 1e-3);
    config.lr.warmup_steps = 200;
    config.scheduler.beta_schedule = "squaredcos_cap_v2".to_owned();
    config
}

/// `google/ddpm-cifar10-32`, with the training settings of the paper's appendix B.
fn cifar(side: usize, channels: usize) -> TrainConfig {
    use BlockKind::{Attention, Plain};
    let side = side.next_multiple_of(8);
    let network = UNetConfig {
        block_out_channels: vec![128, 256, 256, 256],
        layers_per_block: 2,
        norm_num_groups: 32,
        norm_eps: 1e-6,
        down_block_types: vec![Plain, Attention, Plain, Plain],
        up_block_types: vec![Plain, Plain, Attention, Plain],
        downsample_padding: 0,
        flip_sin_to_cos: false,
        freq_shift: 1.0,
        attention_head_dim: None,
        dropout: 0.1,
        ..unet(side, channels)
    };
    let mut config = base(network, 128, 2e-4);
    config.lr.warmup_steps = 5_000;
    config.ema_decay = 0.9999;
    config.flip = 0.5;
    config.scheduler.variance_type = crate::diffusion::VarianceType::FixedLarge;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_come_back_from_json_whole() {
        for preset in PRESETS {
            let mut config = (preset.make)(28, 1);
            config.precision = Precision::F16;
            let back = TrainConfig::from_json(&config.to_json()).expect(preset.name);
            assert_eq!(config, back);
            config.unet.validate().expect(preset.name);
        }
    }

    #[test]
    fn differences_name_what_differs() {
        let a = digits(28, 1);
        let mut b = a.clone();
        assert!(a.differences(&b).is_empty());
        b.batch = 7;
        b.precision = Precision::F16;
        b.unet.block_out_channels[0] = 32;
        let paths: Vec<String> = a.differences(&b).into_iter().map(|d| d.0).collect();
        assert_eq!(
            paths,
            ["train.batch", "train.precision", "unet.block_out_channels"]
        );
    }
}

//! The configuration of a U-Net: diffusers' `unet/config.json` for `UNet2DModel`.
//!
//! [`UNetConfig`] covers every `UNet2DModel` made of `DownBlock2D`, `AttnDownBlock2D`, `UpBlock2D`,
//! `AttnUpBlock2D` and `UNetMidBlock2D`. [`UNetConfig::param_specs`] lists its parameters, which is
//! the one description of names and shapes that files, network and optimizer share.

use serde_json::{Map, Value, json};

/// Channels a level or an image may have at most, so that no product of sizes overflows anywhere.
pub const MAX_CHANNELS: usize = 8192;

/// Whether the residual layers of a block are each followed by self-attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// `DownBlock2D` or `UpBlock2D`.
    Plain,
    /// `AttnDownBlock2D` or `AttnUpBlock2D`.
    Attention,
}

impl BlockKind {
    fn name(self, direction: Direction) -> &'static str {
        match (self, direction) {
            (Self::Plain, Direction::Down) => "DownBlock2D",
            (Self::Attention, Direction::Down) => "AttnDownBlock2D",
            (Self::Plain, Direction::Up) => "UpBlock2D",
            (Self::Attention, Direction::Up) => "AttnUpBlock2D",
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Down,
    Up,
}

/// One parameter of a network: its state-dict key and its shape as PyTorch has it.
///
/// Convolutions are `[C_out, C_in, K, K]`, linear layers `[D_out, D_in]`, biases and norms `[C]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParamSpec {
    /// The state-dict key, such as `down_blocks.0.resnets.0.conv1.weight`.
    pub name: String,
    /// The shape, outermost dimension first.
    pub shape: Vec<usize>,
}

impl ParamSpec {
    /// The number of values in the parameter.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the parameter holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A U-Net configuration that cannot be used; each prints as one sentence.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UNetConfigError {
    /// The document is JSON, but no object.
    #[error(
        "a U-Net configuration must be a JSON object with keys such as `block_out_channels`, found {found}"
    )]
    NotAnObject {
        /// What was there instead.
        found: String,
    },
    /// A key without a default is absent.
    #[error("`{key}` is missing; write it into the configuration as {expected}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A key holds a value of another type.
    #[error("`{key}` is {value}, but must be {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The value found, as JSON.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A value that diffusers knows and noiselab does not.
    #[error("`{key}` is {value}, which is not supported; supported: {supported}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// The value found, as JSON.
        value: String,
        /// The values that are supported.
        supported: &'static str,
    },
    /// A value that does not fit the others.
    #[error("`{key}` is {value}, but {rule}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// The rule that it breaks, with the numbers that matter.
        rule: String,
    },
}

type Result<T> = std::result::Result<T, UNetConfigError>;

/// The configuration of a U-Net (Ho et al. 2020, appendix B), in the terms of diffusers'
/// `UNet2DModel`.
///
/// The default is diffusers' own, for images of 32 pixels a side (diffusers leaves the size open).
/// A value made by hand is checked by [`UNetConfig::validate`]; one from [`UNetConfig::from_json`]
/// is checked already.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetConfig {
    /// Height and width of the images in pixels.
    pub sample_size: usize,
    /// Channels of the noisy input.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Channels of each level, finest first; its length is the number of levels.
    pub block_out_channels: Vec<usize>,
    /// Residual layers in a down block; an up block has one more.
    pub layers_per_block: usize,
    /// Groups of every GroupNorm, but for the mid block's attention where
    /// [`attn_norm_num_groups`](Self::attn_norm_num_groups) is set.
    pub norm_num_groups: usize,
    /// Epsilon of every GroupNorm.
    pub norm_eps: f64,
    /// Down blocks, finest level first.
    pub down_block_types: Vec<BlockKind>,
    /// Up blocks, coarsest level first.
    pub up_block_types: Vec<BlockKind>,
    /// Padding of the stride-2 convolutions: 1 on all sides, or 0, which pads one row below and
    /// one column to the right as TensorFlow's `SAME` does (the paper's own code).
    pub downsample_padding: usize,
    /// Whether the time embedding holds the cosines before the sines.
    pub flip_sin_to_cos: bool,
    /// Frequency i of the time embedding is 10000^(−i / (half − freq_shift)).
    pub freq_shift: f64,
    /// Channels of one attention head; `None` for a single head over all channels.
    pub attention_head_dim: Option<usize>,
    /// Dropout probability inside residual layers.
    pub dropout: f64,
    /// Whether the mid block has self-attention between its two residual layers.
    pub add_attention: bool,
    /// The mid block's residual and attention outputs are divided by this.
    pub mid_block_scale_factor: f64,
    /// Whether the input x is replaced by 2x − 1 first.
    pub center_input_sample: bool,
    /// Groups of the GroupNorm in the mid block's attention; `None` for
    /// [`norm_num_groups`](Self::norm_num_groups).
    pub attn_norm_num_groups: Option<usize>,
}

impl Default for UNetConfig {
    fn default() -> Self {
        use BlockKind::{Attention, Plain};
        Self {
            sample_size: 32,
            in_channels: 3,
            out_channels: 3,
            block_out_channels: vec![224, 448, 672, 896],
            layers_per_block: 2,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            down_block_types: vec![Plain, Attention, Attention, Attention],
            up_block_types: vec![Attention, Attention, Attention, Plain],
            downsample_padding: 1,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            attention_head_dim: Some(8),
            dropout: 0.0,
            add_attention: true,
            mid_block_scale_factor: 1.0,
            center_input_sample: false,
            attn_norm_num_groups: None,
        }
    }
}

impl UNetConfig {
    /// Reads the content of a `UNet2DModel`'s `config.json`, of any diffusers version.
    ///
    /// Absent keys take diffusers' defaults, except `sample_size`, which has none. Keys that
    /// `UNet2DModel` does not know are ignored, as diffusers does.
    ///
    /// # Errors
    /// A value of the wrong type, one that is not supported, or values that do not fit together.
    pub fn from_json(document: &Value) -> Result<Self> {
        let Value::Object(map) = document else {
            return Err(UNetConfigError::NotAnObject {
                found: brief(document),
            });
        };
        let keys = Keys(map);
        keys.only("_class_name", "UNet2DModel", "\"UNet2DModel\"", |v| {
            v == "UNet2DModel"
        })?;
        keys.only("act_fn", "silu", "\"silu\" (also called \"swish\")", |v| {
            v.as_str()
                .is_some_and(|s| ["silu", "swish"].contains(&s.to_lowercase().as_str()))
        })?;
        keys.only("resnet_time_scale_shift", "default", "\"default\"", |v| {
            v == "default"
        })?;
        keys.only("downsample_type", "conv", "\"conv\"", |v| v == "conv")?;
        keys.only("upsample_type", "conv", "\"conv\"", |v| v == "conv")?;
        keys.only("time_embedding_type", "positional", "\"positional\"", |v| {
            v == "positional"
        })?;
        keys.only(
            "mid_block_type",
            "UNetMidBlock2D",
            "\"UNetMidBlock2D\"",
            |v| v == "UNetMidBlock2D",
        )?;
        keys.only(
            "class_embed_type",
            Value::Null,
            "null (no class conditioning)",
            Value::is_null,
        )?;
        keys.only(
            "num_class_embeds",
            Value::Null,
            "null (no class conditioning)",
            Value::is_null,
        )?;

        let defaults = Self::default();
        let config = Self {
            sample_size: keys.sample_size()?,
            in_channels: keys.count("in_channels", defaults.in_channels)?,
            out_channels: keys.count("out_channels", defaults.out_channels)?,
            block_out_channels: keys.counts("block_out_channels", defaults.block_out_channels)?,
            layers_per_block: keys.count("layers_per_block", defaults.layers_per_block)?,
            norm_num_groups: keys.count("norm_num_groups", defaults.norm_num_groups)?,
            norm_eps: keys.number("norm_eps", defaults.norm_eps)?,
            down_block_types: keys.blocks(
                "down_block_types",
                Direction::Down,
                defaults.down_block_types,
            )?,
            up_block_types: keys.blocks(
                "up_block_types",
                Direction::Up,
                defaults.up_block_types,
            )?,
            downsample_padding: keys.count("downsample_padding", defaults.downsample_padding)?,
            flip_sin_to_cos: keys.flag("flip_sin_to_cos", defaults.flip_sin_to_cos)?,
            freq_shift: keys.number("freq_shift", defaults.freq_shift)?,
            attention_head_dim: keys
                .optional_count("attention_head_dim", defaults.attention_head_dim)?,
            dropout: keys.number("dropout", defaults.dropout)?,
            add_attention: keys.flag("add_attention", defaults.add_attention)?,
            mid_block_scale_factor: keys
                .number("mid_block_scale_factor", defaults.mid_block_scale_factor)?,
            center_input_sample: keys.flag("center_input_sample", defaults.center_input_sample)?,
            attn_norm_num_groups: keys
                .optional_count("attn_norm_num_groups", defaults.attn_norm_num_groups)?,
        };
        config.validate()?;
        // Zero counts as absent there, as in diffusers' `time_embedding_dim or …`.
        let time_width = config.time_embed_dim();
        keys.only(
            "time_embedding_dim",
            Value::Null,
            "null (four times the first of `block_out_channels`)",
            |v| v.is_null() || v == 0 || v == time_width,
        )?;
        Ok(config)
    }

    /// The content of `unet/config.json`: every key that diffusers 0.42 writes, in its order.
    pub fn to_json(&self) -> Value {
        let blocks = |kinds: &[BlockKind], direction| -> Vec<&str> {
            kinds.iter().map(|kind| kind.name(direction)).collect()
        };
        json!({
            "_class_name": "UNet2DModel",
            "_diffusers_version": DIFFUSERS_VERSION,
            "act_fn": "silu",
            "add_attention": self.add_attention,
            "attention_head_dim": self.attention_head_dim,
            "attn_norm_num_groups": self.attn_norm_num_groups,
            "block_out_channels": self.block_out_channels,
            "center_input_sample": self.center_input_sample,
            "class_embed_type": null,
            "down_block_types": blocks(&self.down_block_types, Direction::Down),
            "downsample_padding": self.downsample_padding,
            "downsample_type": "conv",
            "dropout": self.dropout,
            "flip_sin_to_cos": self.flip_sin_to_cos,
            "freq_shift": whole_if_possible(self.freq_shift),
            "in_channels": self.in_channels,
            "layers_per_block": self.layers_per_block,
            "mid_block_scale_factor": whole_if_possible(self.mid_block_scale_factor),
            "mid_block_type": "UNetMidBlock2D",
            "norm_eps": self.norm_eps,
            "norm_num_groups": self.norm_num_groups,
            "num_class_embeds": null,
            "num_train_timesteps": null,
            "out_channels": self.out_channels,
            "resnet_time_scale_shift": "default",
            "sample_size": self.sample_size,
            "time_embedding_dim": null,
            "time_embedding_type": "positional",
            "up_block_types": blocks(&self.up_block_types, Direction::Up),
            "upsample_type": "conv",
        })
    }

    /// Checks that the values fit together.
    ///
    /// # Errors
    /// The first key that breaks a rule, with the rule.
    pub fn validate(&self) -> Result<()> {
        let levels = self.levels();
        let channels = &self.block_out_channels;
        check(levels >= 1, "block_out_channels", channels, || {
            "at least one level is needed".into()
        })?;
        check(levels <= 16, "block_out_channels", channels, || {
            "at most 16 levels are possible".into()
        })?;
        for (key, length) in [
            ("down_block_types", self.down_block_types.len()),
            ("up_block_types", self.up_block_types.len()),
        ] {
            check(length == levels, key, format!("a list of {length}"), || {
                format!(
                    "`block_out_channels` has {levels} entries and the lists must be equally long"
                )
            })?;
        }
        for (key, count) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
        ] {
            check((1..=MAX_CHANNELS).contains(&count), key, count, || {
                format!("it must lie between 1 and {MAX_CHANNELS}")
            })?;
        }
        check(
            (1..=256).contains(&self.layers_per_block),
            "layers_per_block",
            self.layers_per_block,
            || "it must lie between 1 and 256".into(),
        )?;

        let groups = self.norm_num_groups;
        check(groups >= 1, "norm_num_groups", groups, || {
            "at least one group is needed".into()
        })?;
        for &count in channels {
            check(
                (1..=MAX_CHANNELS).contains(&count),
                "block_out_channels",
                channels,
                || format!("each entry must lie between 1 and {MAX_CHANNELS}"),
            )?;
            // The concatenated inputs of up blocks are sums of two entries, so they divide as well.
            check(
                count.is_multiple_of(groups),
                "norm_num_groups",
                groups,
                || {
                    format!(
                        "it must divide every entry of `block_out_channels`, and {count} is left with a remainder"
                    )
                },
            )?;
        }

        let side_unit = 1usize << (levels - 1);
        check(
            (1..=65_536).contains(&self.sample_size) && self.sample_size.is_multiple_of(side_unit),
            "sample_size",
            self.sample_size,
            || format!("with {levels} levels it must be a multiple of {side_unit} up to 65536"),
        )?;
        check(
            self.downsample_padding <= 1,
            "downsample_padding",
            self.downsample_padding,
            || "only 0 and 1 keep the sizes of the levels in halves".into(),
        )?;
        check(
            self.norm_eps > 0.0 && self.norm_eps.is_finite(),
            "norm_eps",
            self.norm_eps,
            || "it must be a positive number".into(),
        )?;
        check(
            (0.0..1.0).contains(&self.dropout),
            "dropout",
            self.dropout,
            || "it must be at least 0 and below 1".into(),
        )?;
        check(
            self.mid_block_scale_factor != 0.0 && self.mid_block_scale_factor.is_finite(),
            "mid_block_scale_factor",
            self.mid_block_scale_factor,
            || "it divides and so must be a number other than 0".into(),
        )?;
        let half = channels[0] / 2;
        check(
            self.freq_shift.is_finite() && (half == 0 || half as f64 != self.freq_shift),
            "freq_shift",
            self.freq_shift,
            || format!("it must differ from half of the first of `block_out_channels`, {half}"),
        )?;

        // diffusers takes C / head_dim heads rounded down and a narrower inner width; its own
        // published models always divide.
        if let Some(width) = self.attention_head_dim {
            check(width >= 1, "attention_head_dim", width, || {
                "it must be at least 1, or null".into()
            })?;
            for count in self.attention_channels() {
                check(
                    count.is_multiple_of(width),
                    "attention_head_dim",
                    width,
                    || format!("it must divide the {count} channels of every attention layer"),
                )?;
            }
        }
        if let Some(groups) = self.attn_norm_num_groups {
            let count = channels[levels - 1];
            check(
                groups >= 1 && count.is_multiple_of(groups),
                "attn_norm_num_groups",
                groups,
                || format!("it must divide the mid block's {count} channels"),
            )?;
        }
        Ok(())
    }

    /// The number of levels, that is of resolutions.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// The width of the time embedding after its MLP: four times the first level's channels.
    pub fn time_embed_dim(&self) -> usize {
        4 * self.block_out_channels.first().copied().unwrap_or(0)
    }

    /// The number of attention heads over `channels` channels.
    pub fn attention_heads(&self, channels: usize) -> usize {
        self.attention_head_dim
            .map_or(1, |width| channels / width.max(1))
    }

    /// The groups of the GroupNorm in the mid block's attention.
    pub fn mid_attention_groups(&self) -> usize {
        self.attn_norm_num_groups.unwrap_or(self.norm_num_groups)
    }

    /// Channels that enter residual layer `layer` of down block `block` (0 is the finest).
    ///
    /// # Panics
    /// If the configuration has no such block.
    pub fn down_resnet_in_channels(&self, block: usize, layer: usize) -> usize {
        let input = if layer == 0 {
            block.saturating_sub(1)
        } else {
            block
        };
        self.block_out_channels[input]
    }

    /// Channels that enter residual layer `layer` of up block `block` (0 is the coarsest): those
    /// from below and those of the skip connection, in the order of their concatenation.
    ///
    /// # Panics
    /// If the configuration has no such block.
    pub fn up_resnet_in_channels(&self, block: usize, layer: usize) -> (usize, usize) {
        let level = self.levels() - 1 - block;
        let here = self.block_out_channels[level];
        let below = self.block_out_channels[(level + 1).min(self.levels() - 1)];
        let above = self.block_out_channels[level.saturating_sub(1)];
        let hidden = if layer == 0 { below } else { here };
        let skip = if layer == self.layers_per_block {
            above
        } else {
            here
        };
        (hidden, skip)
    }

    /// All parameters under their state-dict keys, in the order in which PyTorch registers them
    /// (diffusers 0.42: the mid block comes after the up blocks, attention before the residual
    /// layers).
    pub fn param_specs(&self) -> Vec<ParamSpec> {
        let mut specs = Specs {
            list: Vec::new(),
            time_width: self.time_embed_dim(),
        };
        let (levels, time_width) = (self.levels(), self.time_embed_dim());
        let Some((&first, &last)) = self
            .block_out_channels
            .first()
            .zip(self.block_out_channels.last())
        else {
            return Vec::new();
        };
        specs.conv("conv_in", first, self.in_channels, 3);
        specs.linear("time_embedding.linear_1", time_width, first);
        specs.linear("time_embedding.linear_2", time_width, time_width);

        for (block, (&kind, &channels)) in self
            .down_block_types
            .iter()
            .zip(&self.block_out_channels)
            .enumerate()
        {
            let at = format!("down_blocks.{block}");
            if kind == BlockKind::Attention {
                for layer in 0..self.layers_per_block {
                    specs.attention(&format!("{at}.attentions.{layer}"), channels, self);
                }
            }
            for layer in 0..self.layers_per_block {
                let input = self.down_resnet_in_channels(block, layer);
                specs.resnet(&format!("{at}.resnets.{layer}"), input, channels);
            }
            if block + 1 < levels {
                specs.conv(&format!("{at}.downsamplers.0.conv"), channels, channels, 3);
            }
        }
        for (block, (&kind, &channels)) in self
            .up_block_types
            .iter()
            .zip(self.block_out_channels.iter().rev())
            .enumerate()
        {
            let at = format!("up_blocks.{block}");
            if kind == BlockKind::Attention {
                for layer in 0..=self.layers_per_block {
                    specs.attention(&format!("{at}.attentions.{layer}"), channels, self);
                }
            }
            for layer in 0..=self.layers_per_block {
                let (hidden, skip) = self.up_resnet_in_channels(block, layer);
                specs.resnet(&format!("{at}.resnets.{layer}"), hidden + skip, channels);
            }
            if block + 1 < levels {
                specs.conv(&format!("{at}.upsamplers.0.conv"), channels, channels, 3);
            }
        }
        if self.add_attention {
            specs.attention("mid_block.attentions.0", last, self);
        }
        for layer in 0..2 {
            specs.resnet(&format!("mid_block.resnets.{layer}"), last, last);
        }
        specs.norm("conv_norm_out", first);
        specs.conv("conv_out", self.out_channels, first, 3);
        specs.list
    }

    /// The number of trainable values in the network.
    pub fn param_count(&self) -> u64 {
        self.param_specs()
            .iter()
            .map(|spec| spec.len() as u64)
            .sum()
    }

    fn attention_channels(&self) -> Vec<usize> {
        let down = self
            .down_block_types
            .iter()
            .zip(self.block_out_channels.iter());
        let mut all: Vec<usize> = down
            .filter(|(kind, _)| **kind == BlockKind::Attention)
            .map(|(_, &count)| count)
            .collect();
        let up = self
            .up_block_types
            .iter()
            .zip(self.block_out_channels.iter().rev());
        all.extend(
            up.filter(|(kind, _)| **kind == BlockKind::Attention)
                .map(|(_, &count)| count),
        );
        if self.add_attention {
            all.extend(self.block_out_channels.last());
        }
        all
    }
}

/// The diffusers version whose files noiselab writes.
pub const DIFFUSERS_VERSION: &str = "0.42.1";

/// Collects parameters in registration order.
struct Specs {
    list: Vec<ParamSpec>,
    time_width: usize,
}

impl Specs {
    fn pair(&mut self, module: &str, weight: Vec<usize>, bias: usize) {
        self.list.push(ParamSpec {
            name: format!("{module}.weight"),
            shape: weight,
        });
        self.list.push(ParamSpec {
            name: format!("{module}.bias"),
            shape: vec![bias],
        });
    }

    fn conv(&mut self, module: &str, output: usize, input: usize, kernel: usize) {
        self.pair(module, vec![output, input, kernel, kernel], output);
    }

    fn linear(&mut self, module: &str, output: usize, input: usize) {
        self.pair(module, vec![output, input], output);
    }

    fn norm(&mut self, module: &str, channels: usize) {
        self.pair(module, vec![channels], channels);
    }

    fn resnet(&mut self, at: &str, input: usize, output: usize) {
        self.norm(&format!("{at}.norm1"), input);
        self.conv(&format!("{at}.conv1"), output, input, 3);
        let time_width = self.time_width;
        self.linear(&format!("{at}.time_emb_proj"), output, time_width);
        self.norm(&format!("{at}.norm2"), output);
        self.conv(&format!("{at}.conv2"), output, output, 3);
        if input != output {
            self.conv(&format!("{at}.conv_shortcut"), output, input, 1);
        }
    }

    fn attention(&mut self, at: &str, channels: usize, config: &UNetConfig) {
        let heads = config.attention_heads(channels);
        let inner = config
            .attention_head_dim
            .map_or(channels, |width| heads * width);
        self.norm(&format!("{at}.group_norm"), channels);
        for projection in ["to_q", "to_k", "to_v"] {
            self.linear(&format!("{at}.{projection}"), inner, channels);
        }
        self.linear(&format!("{at}.to_out.0"), channels, inner);
    }
}

/// Typed look-ups in the JSON object.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn only(
        &self,
        key: &'static str,
        default: impl Into<Value>,
        supported: &'static str,
        accepted: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let value = self.0.get(key).cloned().unwrap_or_else(|| default.into());
        if accepted(&value) {
            return Ok(());
        }
        Err(UNetConfigError::Unsupported {
            key,
            value: brief(&value),
            supported,
        })
    }

    fn typed<T>(
        &self,
        key: &'static str,
        default: T,
        expected: &'static str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        match self.0.get(key) {
            None => Ok(default),
            Some(value) => convert(value).ok_or_else(|| UNetConfigError::WrongType {
                key,
                value: brief(value),
                expected,
            }),
        }
    }

    fn count(&self, key: &'static str, default: usize) -> Result<usize> {
        self.typed(key, default, "a whole number", whole)
    }

    fn optional_count(&self, key: &'static str, default: Option<usize>) -> Result<Option<usize>> {
        self.typed(
            key,
            default,
            "a whole number or null",
            |value| match value {
                Value::Null => Some(None),
                other => whole(other).map(Some),
            },
        )
    }

    fn counts(&self, key: &'static str, default: Vec<usize>) -> Result<Vec<usize>> {
        self.typed(key, default, "a list of whole numbers", |value| {
            value.as_array()?.iter().map(whole).collect()
        })
    }

    fn number(&self, key: &'static str, default: f64) -> Result<f64> {
        self.typed(key, default, "a number", Value::as_f64)
    }

    fn flag(&self, key: &'static str, default: bool) -> Result<bool> {
        self.typed(key, default, "true or false", Value::as_bool)
    }

    fn blocks(
        &self,
        key: &'static str,
        direction: Direction,
        default: Vec<BlockKind>,
    ) -> Result<Vec<BlockKind>> {
        let Some(value) = self.0.get(key) else {
            return Ok(default);
        };
        let expected = "a list of block names";
        let wrong = || UNetConfigError::WrongType {
            key,
            value: brief(value),
            expected,
        };
        let names = value.as_array().ok_or_else(wrong)?;
        let mut kinds = Vec::with_capacity(names.len());
        for name in names {
            let text = name.as_str().ok_or_else(wrong)?;
            // Configurations of early diffusers versions carry this prefix.
            let short = text.strip_prefix("UNetRes").unwrap_or(text);
            let kind = [BlockKind::Plain, BlockKind::Attention]
                .into_iter()
                .find(|kind| kind.name(direction) == short);
            kinds.push(kind.ok_or_else(|| UNetConfigError::Unsupported {
                key,
                value: brief(name),
                supported: match direction {
                    Direction::Down => "\"DownBlock2D\" and \"AttnDownBlock2D\"",
                    Direction::Up => "\"UpBlock2D\" and \"AttnUpBlock2D\"",
                },
            })?);
        }
        Ok(kinds)
    }

    fn sample_size(&self) -> Result<usize> {
        let key = "sample_size";
        let expected = "the height and width of the images in pixels";
        match self.0.get(key) {
            None | Some(Value::Null) => Err(UNetConfigError::Missing { key, expected }),
            Some(value @ Value::Array(sides)) => match sides.as_slice() {
                [height, width] if height == width => self.count_of(key, height, expected),
                [_, _] => Err(UNetConfigError::Unsupported {
                    key,
                    value: brief(value),
                    supported: "square images, so one number or the same number twice",
                }),
                _ => Err(UNetConfigError::WrongType {
                    key,
                    value: brief(value),
                    expected,
                }),
            },
            Some(value) => self.count_of(key, value, expected),
        }
    }

    fn count_of(&self, key: &'static str, value: &Value, expected: &'static str) -> Result<usize> {
        whole(value).ok_or_else(|| UNetConfigError::WrongType {
            key,
            value: brief(value),
            expected,
        })
    }
}

fn check<T: std::fmt::Debug>(
    holds: bool,
    key: &'static str,
    value: T,
    rule: impl Fn() -> String,
) -> Result<()> {
    if holds {
        return Ok(());
    }
    let value = format!("{value:?}").replace('"', "");
    Err(UNetConfigError::Invalid {
        key,
        value,
        rule: rule(),
    })
}

/// A non-negative whole number, also when written as `2.0`.
fn whole(value: &Value) -> Option<usize> {
    if let Some(number) = value.as_u64() {
        return usize::try_from(number).ok();
    }
    let number = value.as_f64()?;
    ((0.0..=1e9).contains(&number) && number.fract() == 0.0).then_some(number as usize)
}

/// `1.0` as `1`, the form in which diffusers keeps whole settings.
fn whole_if_possible(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

/// A value as JSON, cut so that an error stays one readable sentence.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &str = include_str!("../../tests/fixtures/unet_specs.json");

    fn fixture() -> Map<String, Value> {
        let Value::Object(cases) = serde_json::from_str(SPECS).unwrap() else {
            panic!("fixture")
        };
        assert!(cases.len() >= 7);
        cases
    }

    /// The smallest configuration; the tests change one key at a time.
    fn tiny() -> Value {
        json!({
            "sample_size": 8, "in_channels": 1, "out_channels": 1,
            "block_out_channels": [16, 32], "layers_per_block": 1, "norm_num_groups": 8,
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
            "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut document = tiny();
        document[key] = value;
        document
    }

    fn message(document: &Value) -> String {
        UNetConfig::from_json(document).unwrap_err().to_string()
    }

    #[test]
    fn names_shapes_and_order_equal_those_of_diffusers() {
        for (name, case) in fixture() {
            let config = UNetConfig::from_json(&case["config"]).unwrap();
            let ours: Vec<String> = config
                .param_specs()
                .iter()
                .map(|spec| {
                    let shape: Vec<String> = spec.shape.iter().map(usize::to_string).collect();
                    format!("{} {}", spec.name, shape.join("x"))
                })
                .collect();
            let theirs: Vec<&str> = case["params"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_str().unwrap())
                .collect();
            assert_eq!(ours, theirs, "{name}");
            assert_eq!(
                config.param_count(),
                case["count"].as_u64().unwrap(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_published_cifar_model_has_35_7_million_parameters() {
        let config = UNetConfig::from_json(&fixture()["cifar"]["config"]).unwrap();
        assert_eq!(config.param_count(), 35_746_307);
    }

    #[test]
    fn what_is_written_equals_what_diffusers_writes() {
        for (name, case) in fixture() {
            let config = UNetConfig::from_json(&case["config"]).unwrap();
            let text = serde_json::to_string(&config.to_json()).unwrap();
            assert_eq!(
                serde_json::from_str::<Value>(&text).unwrap(),
                case["config"],
                "{name}"
            );
            assert_eq!(
                UNetConfig::from_json(&config.to_json()).unwrap(),
                config,
                "{name}"
            );
        }
    }

    #[test]
    fn absent_keys_take_the_defaults_of_diffusers() {
        let config = UNetConfig::from_json(&json!({"sample_size": 32})).unwrap();
        assert_eq!(config, UNetConfig::default());
        let case = &fixture()["defaults"];
        assert_eq!(UNetConfig::from_json(&case["config"]).unwrap(), config);
    }

    #[test]
    fn the_oldest_published_configuration_loads() {
        let config = UNetConfig::from_json(&json!({
            "_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu",
            "attention_head_dim": null, "block_out_channels": [128, 256, 256, 256],
            "center_input_sample": false,
            "down_block_types": ["UNetResDownBlock2D", "UNetResAttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
            "downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "in_channels": 3,
            "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-06,
            "norm_num_groups": 32, "out_channels": 3, "sample_size": [32, 32], "resolution": 32,
            "time_embedding_type": "positional",
            "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
        }))
        .unwrap();
        assert_eq!(
            config,
            UNetConfig::from_json(&fixture()["cifar"]["config"]).unwrap()
        );
        assert_eq!(
            (
                config.norm_eps,
                config.freq_shift,
                config.attention_head_dim
            ),
            (1e-6, 1.0, None)
        );
        assert_eq!(
            (config.attention_heads(256), config.time_embed_dim()),
            (1, 512)
        );
    }

    #[test]
    fn unsupported_values_are_named_with_what_is_supported() {
        let cases = [
            ("act_fn", json!("gelu")),
            ("resnet_time_scale_shift", json!("scale_shift")),
            ("downsample_type", json!("resnet")),
            ("upsample_type", json!("resnet")),
            ("class_embed_type", json!("timestep")),
            ("num_class_embeds", json!(10)),
            ("time_embedding_type", json!("fourier")),
            ("time_embedding_dim", json!(128)),
            ("mid_block_type", Value::Null),
            ("_class_name", json!("UNet2DConditionModel")),
            ("sample_size", json!([8, 16])),
            (
                "down_block_types",
                json!(["DownBlock2D", "CrossAttnDownBlock2D"]),
            ),
            ("up_block_types", json!(["DownBlock2D", "UpBlock2D"])),
        ];
        for (key, value) in cases {
            let text = message(&with(key, value));
            assert!(
                text.starts_with(&format!("`{key}` is ")) && text.contains("; supported: "),
                "{text}"
            );
        }
        let text = message(&with(
            "down_block_types",
            json!(["DownBlock2D", "SkipDownBlock2D"]),
        ));
        assert_eq!(
            text,
            "`down_block_types` is \"SkipDownBlock2D\", which is not supported; supported: \"DownBlock2D\" and \"AttnDownBlock2D\""
        );
        for (key, value) in [
            ("act_fn", json!("swish")),
            ("time_embedding_dim", json!(64)),
            ("num_train_timesteps", json!(9)),
        ] {
            UNetConfig::from_json(&with(key, value)).unwrap();
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let cases = [
            ("sample_size", json!(9), "multiple of 2"),
            ("sample_size", json!(0), "multiple of 2"),
            ("sample_size", Value::Null, "missing"),
            ("sample_size", json!("8"), "height and width"),
            ("norm_num_groups", json!(5), "16 is left with a remainder"),
            ("norm_num_groups", json!(0), "at least one group"),
            ("norm_num_groups", Value::Null, "whole number"),
            ("attention_head_dim", json!(5), "divide the 32 channels"),
            ("attention_head_dim", json!(64), "divide the 32 channels"),
            ("attention_head_dim", json!(0), "at least 1"),
            (
                "attn_norm_num_groups",
                json!(5),
                "divide the mid block's 32",
            ),
            ("block_out_channels", json!([16, 32, 32]), "3 entries"),
            ("block_out_channels", json!([]), "at least one level"),
            (
                "block_out_channels",
                json!([16, 8_000_000]),
                "between 1 and 8192",
            ),
            (
                "block_out_channels",
                json!([16, -32]),
                "list of whole numbers",
            ),
            ("layers_per_block", json!(0), "between 1"),
            ("in_channels", json!(0), "between 1"),
            ("downsample_padding", json!(2), "only 0 and 1"),
            ("freq_shift", json!(8), "half of the first"),
            ("dropout", json!(1.0), "below 1"),
            ("norm_eps", json!(0.0), "positive"),
            ("mid_block_scale_factor", json!(0), "other than 0"),
            ("flip_sin_to_cos", json!(1), "true or false"),
        ];
        for (key, value, part) in cases {
            let text = message(&with(key, value.clone()));
            assert!(text.contains(part), "{key} = {value}: {text}");
            assert!(!text.contains('\n'));
        }
        assert!(message(&json!([1, 2])).contains("JSON object"));
        let mut lone = tiny();
        lone["up_block_types"] = json!(["UpBlock2D"]);
        assert!(message(&lone).contains("`up_block_types` is a list of 1"));
    }
}

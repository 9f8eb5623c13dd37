//! The U-Net of diffusers' `UNet2DModel` in the configuration `mnist32`: 32x32 grey, levels of 32, 64 and 64 channels, one
//! residual layer each, attention in heads of 8 at 16x16 and in the middle, groups of 8.

use burn::{
    module::Module,
    nn::{
        GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        interpolate::{Interpolate2d, Interpolate2dConfig},
    },
    tensor::{
        Device, Int, Tensor, activation::silu, module::attention, ops::AttentionModuleOptions,
    },
};

pub const SIDE: usize = 32;
pub const CHANNELS_OF_IMAGE: usize = 1;
const CHANNELS: [usize; 3] = [32, 64, 64];
const ATTENTION: [bool; 3] = [false, true, false];
const GROUPS: usize = 8;
const HEAD: usize = 8;
const EMBEDDED: usize = 4 * CHANNELS[0];

#[derive(Module, Debug)]
pub struct Network {
    embed_1: Linear,
    embed_2: Linear,
    conv_in: Conv2d,
    down: Vec<Level>,
    middle: Vec<Layer>,
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Network {
    pub fn new(device: &Device) -> Self {
        let mut channels = CHANNELS[0];
        let mut skips = vec![channels];
        let mut down = Vec::new();
        for (i, size) in CHANNELS.into_iter().enumerate() {
            let layers = vec![Layer::new(channels, size, ATTENTION[i], device)];
            let is_last = i + 1 == CHANNELS.len();
            let resize = (!is_last).then(|| conv_3x3(size, size, 2, device));
            channels = size;
            skips.extend(vec![size; if is_last { 1 } else { 2 }]);
            down.push(Level { layers, resize });
        }
        let middle = [true, false].map(|attends| Layer::new(channels, channels, attends, device));
        let mut up = Vec::new();
        for (i, size) in CHANNELS.into_iter().enumerate().rev() {
            let mut layers = Vec::new();
            for skip in skips.split_off(skips.len() - 2).into_iter().rev() {
                layers.push(Layer::new(channels + skip, size, ATTENTION[i], device));
                channels = size;
            }
            let resize = (i > 0).then(|| conv_3x3(size, size, 1, device));
            up.push(Level { layers, resize });
        }
        Self {
            embed_1: LinearConfig::new(CHANNELS[0], EMBEDDED).init(device),
            embed_2: LinearConfig::new(EMBEDDED, EMBEDDED).init(device),
            conv_in: conv_3x3(CHANNELS_OF_IMAGE, CHANNELS[0], 1, device),
            down,
            middle: middle.into(),
            up,
            norm_out: GroupNormConfig::new(GROUPS, channels).init(device),
            conv_out: conv_3x3(channels, CHANNELS_OF_IMAGE, 1, device),
        }
    }

    /// The noise in images `x` at timesteps `t`.
    pub fn forward(&self, x: Tensor<4>, t: Tensor<1, Int>) -> Tensor<4> {
        let embedded = silu(self.embed_1.forward(sinusoids(t)));
        let embedded = silu(self.embed_2.forward(embedded));
        let mut h = self.conv_in.forward(x);
        let mut skips = vec![h.clone()];
        for level in &self.down {
            for layer in &level.layers {
                h = layer.forward(h, &embedded);
                skips.push(h.clone());
            }
            if let Some(downsample) = &level.resize {
                h = downsample.forward(h);
                skips.push(h.clone());
            }
        }
        for layer in &self.middle {
            h = layer.forward(h, &embedded);
        }
        for level in &self.up {
            for layer in &level.layers {
                let skip = skips.pop().expect("one for each layer");
                h = layer.forward(Tensor::cat(vec![h, skip], 1), &embedded);
            }
            if let Some(conv) = &level.resize {
                h = conv.forward(doubling().forward(h));
            }
        }
        self.conv_out.forward(silu(self.norm_out.forward(h)))
    }
}

/// What has one resolution on one side of the U.
#[derive(Module, Debug)]
struct Level {
    layers: Vec<Layer>,
    /// To the next level; on the way up, after the doubling.
    resize: Option<Conv2d>,
}

#[derive(Module, Debug)]
struct Layer {
    residual: Residual,
    attention: Option<Attention>,
}

impl Layer {
    fn new(channels: usize, size: usize, attends: bool, device: &Device) -> Self {
        Self {
            residual: Residual::new(channels, size, device),
            attention: attends.then(|| Attention::new(size, device)),
        }
    }

    fn forward(&self, x: Tensor<4>, embedded: &Tensor<2>) -> Tensor<4> {
        let h = self.residual.forward(x, embedded);
        match &self.attention {
            Some(attention) => attention.forward(h),
            None => h,
        }
    }
}

#[derive(Module, Debug)]
struct Residual {
    norm_1: GroupNorm,
    conv_1: Conv2d,
    time: Linear,
    norm_2: GroupNorm,
    conv_2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl Residual {
    fn new(channels: usize, size: usize, device: &Device) -> Self {
        let shortcut = || Conv2dConfig::new([channels, size], [1, 1]).init(device);
        Self {
            norm_1: GroupNormConfig::new(GROUPS, channels).init(device),
            conv_1: conv_3x3(channels, size, 1, device),
            time: LinearConfig::new(EMBEDDED, size).init(device),
            norm_2: GroupNormConfig::new(GROUPS, size).init(device),
            conv_2: conv_3x3(size, size, 1, device),
            shortcut: (channels != size).then(shortcut),
        }
    }

    fn forward(&self, x: Tensor<4>, embedded: &Tensor<2>) -> Tensor<4> {
        let h = self.conv_1.forward(silu(self.norm_1.forward(x.clone())));
        let time = self.time.forward(embedded.clone());
        let h = h + time.unsqueeze_dims(&[2, 3]);
        let h = self.conv_2.forward(silu(self.norm_2.forward(h)));
        match &self.shortcut {
            Some(shortcut) => h + shortcut.forward(x),
            None => h + x,
        }
    }
}

#[derive(Module, Debug)]
struct Attention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl Attention {
    fn new(channels: usize, device: &Device) -> Self {
        let linear = || LinearConfig::new(channels, channels).init(device);
        Self {
            norm: GroupNormConfig::new(GROUPS, channels).init(device),
            query: linear(),
            key: linear(),
            value: linear(),
            out: linear(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let tokens: Tensor<3> = self.norm.forward(x.clone()).flatten(2, 3).swap_dims(1, 2);
        let heads = |part: &Linear| {
            let values = part.forward(tokens.clone());
            let split = [batch, height * width, channels / HEAD, HEAD];
            values.reshape(split).swap_dims(1, 2)
        };
        let mixed = attention(
            heads(&self.query),
            heads(&self.key),
            heads(&self.value),
            None,
            None,
            AttentionModuleOptions::default(),
        );
        let mixed = mixed.swap_dims(1, 2).flatten(2, 3);
        let out = self.out.forward::<3>(mixed).swap_dims(1, 2);
        x + out.reshape([batch, channels, height, width])
    }
}

fn conv_3x3(channels: usize, size: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels, size], [3, 3])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

/// To the nearest pixel.
fn doubling() -> Interpolate2d {
    Interpolate2dConfig::new()
        .with_scale_factor(Some([2.0, 2.0]))
        .init()
}

fn sinusoids(t: Tensor<1, Int>) -> Tensor<2> {
    let half = CHANNELS[0] / 2;
    let positions = Tensor::<1, Int>::arange(0..half as i64, &t.device()).float();
    let frequencies = (positions * -(10_000_f64.ln() / half as f64)).exp();
    let angles = t.float().unsqueeze_dim::<2>(1) * frequencies.unsqueeze_dim(0);
    Tensor::cat(vec![angles.clone().cos(), angles.sin()], 1)
}

//! The U-Net: diffusers' `UNet2DModel` for `DownBlock2D`, `AttnDownBlock2D`, `UpBlock2D`,
//! `AttnUpBlock2D` and the mid block (Ho et al. 2020, appendix B). Parameters carry their
//! state-dict keys.

use super::{
    Graph, ModelError, ParamId, Shape, ValueId,
    graph::ParamLayout,
    layers::{
        attention::Attention,
        concat::Concat,
        conv2d::{Conv2d, Slice},
        dropout::Dropout,
        group_norm::GroupNorm,
        projections::{self, Projections},
        resample::UpsampleNearest,
        scale::Scale,
        silu::Silu,
        time_embedding::{self, TimeEmbedding},
    },
    model::{self, Model},
    unet_config::{BlockKind, UNetConfig},
};

/// Builds the network for a batch.
///
/// `training` adds the dropout layers, which sampling does without. `timesteps` is the length T
/// of the time embedding's table.
///
/// # Errors
/// Shapes that do not fit together; a configuration that [`UNetConfig::validate`] accepts builds.
pub fn build(
    config: &UNetConfig,
    batch: usize,
    timesteps: usize,
    training: bool,
) -> Result<Model, ModelError> {
    let side = config.sample_size;
    let channels = &config.block_out_channels;
    let (Some(&first), Some(&deepest)) = (channels.first(), channels.last()) else {
        return Err(ModelError::Structure(
            "`block_out_channels` is empty; a U-Net has at least one level.".into(),
        ));
    };
    let mut graph = Graph::new();
    let inputs = model::Inputs {
        x: graph.input(
            "x_t",
            Shape::new(batch, side, side, config.in_channels),
            false,
        ),
        t: graph.input("t", Shape::vector(batch, 1), false),
        time_table: graph.input("time table", Shape::vector(timesteps, first), false),
        state: graph.input("state", Shape::vector(1, super::state::STATE_WORDS), false),
    };
    let mut b = Builder {
        graph,
        config,
        state: inputs.state,
        projected: inputs.t,
        projections: Vec::new(),
        channels_projected: 0,
        training,
    };
    b.time(&inputs, first)?;

    let mut x = inputs.x;
    if config.center_input_sample {
        x = b.graph.add(
            "center",
            Scale {
                mul: 2.0,
                add: -1.0,
            },
            &[x],
            &[],
        )?;
    }
    let mut h = b.conv("conv_in", Conv2d::same3(config.in_channels, first), &[x])?;
    let mut skips = vec![h];
    let levels = channels.len();
    for (i, (&c, kind)) in channels.iter().zip(&config.down_block_types).enumerate() {
        let block = format!("down_blocks.{i}");
        for j in 0..config.layers_per_block {
            h = b.resnet(&format!("{block}.resnets.{j}"), h, c, 1.0)?;
            if *kind == BlockKind::Attention {
                let groups = config.norm_num_groups;
                h = b.attention(&format!("{block}.attentions.{j}"), h, groups, 1.0)?;
            }
            skips.push(h);
        }
        if i + 1 < levels {
            b.graph.begin_segment();
            let down = Conv2d::down(c, config.downsample_padding);
            h = b.conv(&format!("{block}.downsamplers.0.conv"), down, &[h])?;
            skips.push(h);
        }
    }

    let scale = config.mid_block_scale_factor;
    h = b.resnet("mid_block.resnets.0", h, deepest, scale)?;
    if config.add_attention {
        let groups = config
            .attn_norm_num_groups
            .unwrap_or(config.norm_num_groups);
        h = b.attention("mid_block.attentions.0", h, groups, scale)?;
    }
    h = b.resnet("mid_block.resnets.1", h, deepest, scale)?;

    for (i, (&c, kind)) in channels
        .iter()
        .rev()
        .zip(&config.up_block_types)
        .enumerate()
    {
        let block = format!("up_blocks.{i}");
        for j in 0..=config.layers_per_block {
            let Some(skip) = skips.pop() else {
                return Err(ModelError::Structure(
                    "the up path needs more skip connections than the down path has.".into(),
                ));
            };
            b.graph.begin_segment();
            let cat = b
                .graph
                .add(&format!("{block}.cat.{j}"), Concat, &[h, skip], &[])?;
            h = b.resnet_in_segment(&format!("{block}.resnets.{j}"), cat, c, 1.0)?;
            if *kind == BlockKind::Attention {
                let groups = config.norm_num_groups;
                h = b.attention(&format!("{block}.attentions.{j}"), h, groups, 1.0)?;
            }
        }
        if i + 1 < levels {
            b.graph.begin_segment();
            let name = format!("{block}.upsamplers.0");
            h = b.graph.add(&name, UpsampleNearest, &[h], &[])?;
            h = b.conv(&format!("{name}.conv"), Conv2d::same3(c, c), &[h])?;
        }
    }

    b.graph.set_params(b.projected, &b.projections);

    b.graph.begin_segment();
    h = b.norm("conv_norm_out", h, config.norm_num_groups, true)?;
    let output = b.conv("conv_out", Conv2d::same3(first, config.out_channels), &[h])?;
    Ok(Model {
        graph: b.graph,
        inputs,
        output,
        time_table: crate::nn::tensor::pad_rows(
            &time_embedding::table(
                timesteps,
                first,
                config.flip_sin_to_cos,
                config.freq_shift,
                time_embedding::MAX_PERIOD,
            ),
            first,
        ),
    })
}

/// Output channels of all residual layers, in order.
fn resnet_channels(config: &UNetConfig) -> Vec<usize> {
    let channels = &config.block_out_channels;
    let times = |c: &usize, n: usize| std::iter::repeat_n(*c, n);
    let n = config.layers_per_block;
    let down = channels.iter().flat_map(|c| times(c, n));
    let mid = channels.last().into_iter().flat_map(|c| times(c, 2));
    let up = channels.iter().rev().flat_map(|c| times(c, n + 1));
    down.chain(mid).chain(up).collect()
}

struct Builder<'a> {
    graph: Graph,
    config: &'a UNetConfig,
    state: ValueId,
    /// The time embedding as the residual layers take it: SiLU and the projections of all of them, one
    /// after the other.
    projected: ValueId,
    /// Weights and biases of these.
    projections: Vec<ParamId>,
    /// Channels of `projected` that residual layers have taken so far.
    channels_projected: usize,
    training: bool,
}

impl Builder<'_> {
    fn weight_and_bias(&mut self, name: &str, conv: &Conv2d, linear: bool) -> [ParamId; 2] {
        [
            self.graph
                .param(format!("{name}.weight"), conv.weight_layout(linear)),
            self.graph
                .param(format!("{name}.bias"), ParamLayout::Vector { c: conv.cout }),
        ]
    }

    fn conv(
        &mut self,
        name: &str,
        conv: Conv2d,
        inputs: &[ValueId],
    ) -> Result<ValueId, ModelError> {
        let params = self.weight_and_bias(name, &conv, false);
        self.graph.add(name, conv, inputs, &params)
    }

    fn linear(
        &mut self,
        name: &str,
        layer: Conv2d,
        inputs: &[ValueId],
    ) -> Result<ValueId, ModelError> {
        let params = self.weight_and_bias(name, &layer, true);
        self.graph.add(name, layer, inputs, &params)
    }

    fn norm(
        &mut self,
        name: &str,
        x: ValueId,
        groups: usize,
        silu: bool,
    ) -> Result<ValueId, ModelError> {
        let channels = self.graph.shape(x).c;
        let params = ["weight", "bias"].map(|p| {
            self.graph
                .param(format!("{name}.{p}"), ParamLayout::Vector { c: channels })
        });
        let layer = GroupNorm {
            groups,
            channels,
            eps: self.config.norm_eps as f32,
            silu,
        };
        self.graph.add(name, layer, &[x], &params)
    }

    fn time(&mut self, inputs: &model::Inputs, first: usize) -> Result<(), ModelError> {
        let d = 4 * first;
        let proj = self.graph.add(
            "time_proj",
            TimeEmbedding,
            &[inputs.t, inputs.time_table],
            &[],
        )?;
        let name = "time_embedding.linear_1";
        let h = self.linear(name, Conv2d::pointwise(first, d), &[proj])?;
        let h = self.graph.add("time_embedding.act", Silu, &[h], &[])?;
        let name = "time_embedding.linear_2";
        let h = self.linear(name, Conv2d::pointwise(d, d), &[h])?;
        let h = self.graph.add("silu(emb)", Silu, &[h], &[])?;
        let layer = Projections {
            cin: d,
            outputs: resnet_channels(self.config),
        };
        self.projected = self.graph.add(projections::LABEL, layer, &[h], &[])?;
        Ok(())
    }

    fn resnet(
        &mut self,
        name: &str,
        x: ValueId,
        cout: usize,
        scale: f64,
    ) -> Result<ValueId, ModelError> {
        self.graph.begin_segment();
        self.resnet_in_segment(name, x, cout, scale)
    }

    /// norm1, SiLU, conv1 (+ time), norm2, SiLU, dropout, conv2 (+ shortcut).
    fn resnet_in_segment(
        &mut self,
        name: &str,
        x: ValueId,
        cout: usize,
        scale: f64,
    ) -> Result<ValueId, ModelError> {
        let cin = self.graph.shape(x).c;
        let groups = self.config.norm_num_groups;
        let d = 4 * self.config.block_out_channels[0];
        let h = self.norm(&format!("{name}.norm1"), x, groups, true)?;
        let layer = Conv2d::pointwise(d, cout);
        let params = self.weight_and_bias(&format!("{name}.time_emb_proj"), &layer, true);
        self.projections.extend(params);
        let slice = Slice {
            first: self.channels_projected,
            of: self.graph.shape(self.projected).c,
        };
        self.channels_projected += cout.next_multiple_of(4);
        let conv = Conv2d::same3(cin, cout).with_slice(slice);
        let h = self.conv(&format!("{name}.conv1"), conv, &[h, self.projected])?;
        let mut h = self.norm(&format!("{name}.norm2"), h, groups, true)?;
        if self.training && self.config.dropout > 0.0 {
            let dropout = Dropout {
                p: self.config.dropout as f32,
            };
            h = self
                .graph
                .add(&format!("{name}.dropout"), dropout, &[h, self.state], &[])?;
        }
        let shortcut = if cin == cout {
            x
        } else {
            let name = format!("{name}.conv_shortcut");
            self.conv(&name, Conv2d::pointwise(cin, cout), &[x])?
        };
        let conv = Conv2d::same3(cout, cout).with_residual();
        let h = self.conv(&format!("{name}.conv2"), conv, &[h, shortcut])?;
        self.scaled(name, h, scale)
    }

    fn scaled(&mut self, name: &str, h: ValueId, scale: f64) -> Result<ValueId, ModelError> {
        if scale == 1.0 {
            return Ok(h);
        }
        let layer = Scale {
            mul: (1.0 / scale) as f32,
            add: 0.0,
        };
        self.graph
            .add(&format!("{name} / {scale}"), layer, &[h], &[])
    }

    /// GroupNorm, query, key and value, attention, output projection (+ residual).
    fn attention(
        &mut self,
        name: &str,
        x: ValueId,
        groups: usize,
        scale: f64,
    ) -> Result<ValueId, ModelError> {
        self.graph.begin_segment();
        let c = self.graph.shape(x).c;
        let head_dim = self.config.attention_head_dim.unwrap_or(c);
        let h = self.norm(&format!("{name}.group_norm"), x, groups, false)?;
        let layer = Conv2d::pointwise(c, c);
        let q = self.linear(&format!("{name}.to_q"), layer, &[h])?;
        let k = self.linear(&format!("{name}.to_k"), layer, &[h])?;
        let v = self.linear(&format!("{name}.to_v"), layer, &[h])?;
        let h = self.graph.add(
            &format!("{name}.sdpa"),
            Attention::new(head_dim),
            &[q, k, v],
            &[],
        )?;
        let h = self.linear(&format!("{name}.to_out.0"), layer.with_residual(), &[h, x])?;
        self.scaled(name, h, scale)
    }
}

//! A U-Net as people draw it: its blocks in order, with shapes, parameters, operations, memory and skip connections,
//! taken from the graph that runs and from the dispatches that it is lowered to, so that the sums are those of the
//! whole.

use std::collections::{BTreeMap, HashMap};

use super::{
    ModelError, PlanBuilder, Shape, TensorId, layers::projections, unet, unet_config::UNetConfig,
};

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MapKind {
    /// Sinusoids of t and the two linear layers after them.
    TimeEmbedding,
    /// The first convolution.
    ConvIn,
    /// A residual block.
    Resnet,
    /// Self-attention.
    Attention,
    /// A convolution of stride 2.
    Downsample,
    /// Every pixel doubled, and a convolution.
    Upsample,
    /// The last norm and convolution.
    ConvOut,
}

impl MapKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::TimeEmbedding,
        Self::ConvIn,
        Self::Resnet,
        Self::Attention,
        Self::Downsample,
        Self::Upsample,
        Self::ConvOut,
    ];

    /// What it computes, one formula a line, in the TeX that the app typesets. A star is a convolution, GN is
    /// GroupNorm.
    pub const fn formulas(self) -> &'static [&'static str] {
        match self {
            Self::TimeEmbedding => &[
                r"\omega_i = 10000^{-i/(d/2)}",
                r"s_i = \sin(t\,\omega_i),\quad c_i = \cos(t\,\omega_i)",
                r"e = W_2\,\mathrm{SiLU}(W_1\,[s, c] + b_1) + b_2",
            ],
            Self::ConvIn => &[r"h = W * x_t + b"],
            Self::Resnet => &[
                r"u = W_1 * \mathrm{SiLU}(\mathrm{GN}(h)) + b_1 + W_e\,\mathrm{SiLU}(e)",
                r"h' = W_s\,h + W_2 * \mathrm{SiLU}(\mathrm{GN}(u)) + b_2",
            ],
            Self::Attention => &[
                r"u = \mathrm{GN}(h)",
                r"q = W_q\,u,\quad k = W_k\,u,\quad v = W_v\,u",
                r"h' = h + W_o\,\mathrm{softmax}\left(\frac{q k^{\top}}{\sqrt{d}}\right) v",
            ],
            Self::Downsample => &[r"h'_{y,x} = (W * h)_{2y,2x} + b"],
            Self::Upsample => &[
                r"u_{y,x} = h_{\left\lfloor y/2 \right\rfloor,\left\lfloor x/2 \right\rfloor}",
                r"h' = W * u + b",
            ],
            Self::ConvOut => &[r"\hat{\epsilon} = W * \mathrm{SiLU}(\mathrm{GN}(h)) + b"],
        }
    }
}

/// Where in the U a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Beside it: the time embedding, which every residual block gets.
    Time,
    /// On the way down.
    Down,
    /// At the bottom.
    Mid,
    /// On the way up.
    Up,
}

/// A kernel's share in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelUse {
    /// Of [`crate::gpu::shaders::SHADERS`].
    pub stem: &'static str,
    /// Entry points that run.
    pub entries: Vec<&'static str>,
    /// Dispatches of it.
    pub dispatches: usize,
    /// Useful floating-point operations in them.
    pub flops: u64,
}

/// A block of a U-Net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapBlock {
    /// Prefix of its state-dict keys; for the output, that of the convolution.
    pub name: String,
    /// What it is.
    pub kind: MapKind,
    /// Where it stands.
    pub side: Side,
    /// Times that its output is halved from the input's size.
    pub level: usize,
    /// Place among the blocks of its side and level, in order.
    pub index: usize,
    /// Channels, height and width of what goes in; for a block with a skip connection both inputs together.
    pub input: [usize; 3],
    /// Channels, height and width of what comes out.
    pub output: [usize; 3],
    /// Numbers in its parameters.
    pub parameters: usize,
    /// Floating-point operations for one image: two for each product of a convolution or a linear layer.
    pub flops: u64,
    /// Bytes that its layers put out for one image: what training keeps.
    pub activation_bytes: u64,
    /// The block at the other end of its skip connection.
    pub skip: Option<usize>,
    /// Label of the graph's value that it puts out.
    pub output_label: String,
    /// The kernels that compute it forward, most operations first.
    pub kernels: Vec<KernelUse>,
}

/// A U-Net as people draw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkMap {
    /// In the order of computation.
    pub blocks: Vec<MapBlock>,
    /// Resolutions.
    pub levels: usize,
}

impl NetworkMap {
    /// Numbers in all parameters.
    pub fn parameters(&self) -> usize {
        self.blocks.iter().map(|b| b.parameters).sum()
    }

    /// Floating-point operations for one image, forward.
    pub fn flops(&self) -> u64 {
        self.blocks.iter().map(|b| b.flops).sum()
    }

    /// Bytes that all layers put out for one image.
    pub fn activation_bytes(&self) -> u64 {
        self.blocks.iter().map(|b| b.activation_bytes).sum()
    }

    /// The block that a layer's label or a parameter's key belongs to.
    pub fn find(&self, label: &str) -> Option<usize> {
        let place = place(label)?;
        self.blocks.iter().position(|b| b.name == place.name)
    }
}

/// What a label says.
struct Place {
    name: String,
    kind: MapKind,
    side: Side,
    level: usize,
}

fn place(label: &str) -> Option<Place> {
    // A scaled output is called "name / factor".
    let label = label.split(" / ").next().unwrap_or(label);
    let parts: Vec<&str> = label.split('.').collect();
    let at = |i: usize| parts.get(i).copied().unwrap_or_default();
    let number = |i: usize| at(i).parse::<usize>().ok();
    let whole = |name: &str, kind, side| {
        Some(Place {
            name: name.to_owned(),
            kind,
            side,
            level: 0,
        })
    };
    let kind = |word: &str| match word {
        "resnets" | "cat" => Some(MapKind::Resnet),
        "attentions" => Some(MapKind::Attention),
        "downsamplers" => Some(MapKind::Downsample),
        "upsamplers" => Some(MapKind::Upsample),
        _ => None,
    };
    match at(0) {
        "time_proj" | "time_embedding" | "silu(emb)" => {
            whole("time_embedding", MapKind::TimeEmbedding, Side::Time)
        }
        "center" | "conv_in" => whole("conv_in", MapKind::ConvIn, Side::Down),
        "conv_norm_out" | "conv_out" => whole("conv_out", MapKind::ConvOut, Side::Up),
        "mid_block" => Some(Place {
            name: format!("mid_block.{}.{}", at(1), number(2)?),
            kind: kind(at(1))?,
            side: Side::Mid,
            level: 0,
        }),
        arm @ ("down_blocks" | "up_blocks") => {
            let kind = kind(at(2))?;
            let word = if at(2) == "cat" { "resnets" } else { at(2) };
            Some(Place {
                name: format!("{arm}.{}.{word}.{}", number(1)?, number(3)?),
                kind,
                side: if arm == "down_blocks" {
                    Side::Down
                } else {
                    Side::Up
                },
                level: number(1)?,
            })
        }
        _ => None,
    }
}

const fn chw(shape: Shape) -> [usize; 3] {
    [shape.c, shape.h, shape.w]
}

/// The blocks of a network.
///
/// # Errors
/// A configuration that cannot be built.
pub fn describe(config: &UNetConfig) -> Result<NetworkMap, ModelError> {
    config.validate()?;
    let model = unet::build(config, 1, 1, false)?;
    let graph = &model.graph;
    let mut map = NetworkMap {
        blocks: Vec::new(),
        levels: config.levels(),
    };
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let mut at_place: HashMap<(Side, usize), usize> = HashMap::new();
    let mut stream = chw(graph.shape(model.inputs.x));
    for (value, label) in graph.outputs() {
        let shape = graph.shape(value);
        let unknown = || ModelError::Structure(format!("the layer {label} belongs to no block."));
        let place = place(label).ok_or_else(unknown)?;
        let i = *by_name.entry(place.name.clone()).or_insert_with(|| {
            map.blocks.push(MapBlock {
                name: place.name,
                kind: place.kind,
                side: place.side,
                level: place.level,
                index: 0,
                input: if place.side == Side::Time {
                    [1, 1, 1]
                } else {
                    stream
                },
                output: [0; 3],
                parameters: 0,
                flops: 0,
                activation_bytes: 0,
                skip: None,
                output_label: String::new(),
                kernels: Vec::new(),
            });
            map.blocks.len() - 1
        });
        let block = &mut map.blocks[i];
        if label.contains(".cat.") {
            block.input = chw(shape);
        }
        // The embedding, not what all residual blocks together make of it.
        if label != projections::LABEL {
            block.output = chw(shape);
            block.output_label = label.to_owned();
        }
        block.activation_bytes += 4 * shape.words() as u64;
        if block.side != Side::Time {
            stream = block.output;
        }
    }
    let side = config.sample_size;
    for block in &mut map.blocks {
        block.level = match block.side {
            Side::Time => 0,
            // Sizes are halved exactly from level to level.
            _ => (side / block.output[1].max(1)).max(1).ilog2() as usize,
        };
        let index = at_place.entry((block.side, block.level)).or_default();
        block.index = *index;
        *index += 1;
    }
    for param in graph.params() {
        let owner = map.find(&param.name).ok_or_else(|| {
            ModelError::Structure(format!("the parameter {} belongs to no block.", param.name))
        })?;
        map.blocks[owner].parameters += param.file_len();
    }
    add_operations(&mut map, &model);
    connect(&mut map);
    Ok(map)
}

fn add_operations(map: &mut NetworkMap, model: &super::model::Model) {
    let mut plan = PlanBuilder::new();
    let inputs = &model.inputs;
    let [x, t, table, state] = [inputs.x, inputs.t, inputs.time_table, inputs.state].map(|v| {
        let words = model.graph.shape(v).words();
        plan.tensor("input", words)
    });
    let weights: Vec<TensorId> = (model.graph.params().iter())
        .map(|p| plan.tensor(p.name.clone(), p.words()))
        .collect();
    model.lower(&mut plan, x, t, table, state, &weights);
    let mut uses: Vec<BTreeMap<&'static str, KernelUse>> = vec![BTreeMap::new(); map.blocks.len()];
    for dispatch in plan.dispatches() {
        let Some(i) = map.find(&dispatch.label) else {
            continue;
        };
        map.blocks[i].flops += dispatch.flops;
        let stem = dispatch.kernel.stem;
        let entry = uses[i].entry(stem).or_insert_with(|| KernelUse {
            stem,
            entries: Vec::new(),
            dispatches: 0,
            flops: 0,
        });
        entry.dispatches += 1;
        entry.flops += dispatch.flops;
        if !entry.entries.contains(&dispatch.kernel.entry) {
            entry.entries.push(dispatch.kernel.entry);
        }
    }
    for (block, uses) in map.blocks.iter_mut().zip(uses) {
        block.kernels = uses.into_values().collect();
        block.kernels.sort_by_key(|k| std::cmp::Reverse(k.flops));
    }
}

/// Joins the ends of the skip connections: what the way down leaves is taken in the opposite order on the way up.
fn connect(map: &mut NetworkMap) {
    let mut left: Vec<usize> = Vec::new();
    for i in 0..map.blocks.len() {
        let block = &map.blocks[i];
        match (block.side, block.kind) {
            (Side::Down, MapKind::Attention) => {
                // The residual block before it is not what is left.
                left.pop();
                left.push(i);
            }
            (Side::Down, _) => left.push(i),
            (Side::Up, MapKind::Resnet) => {
                if let Some(from) = left.pop() {
                    map.blocks[i].skip = Some(from);
                    map.blocks[from].skip = Some(i);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gpu::shaders, session::config::PRESETS};

    fn preset(name: &str) -> UNetConfig {
        let preset = PRESETS.iter().find(|p| p.name == name).unwrap();
        (preset.make)(
            if name == "cifar" { 32 } else { 28 },
            if name == "cifar" { 3 } else { 1 },
        )
        .unet
    }

    fn whole(config: &UNetConfig) -> (usize, u64, u64) {
        let model = unet::build(config, 1, 7, false).unwrap();
        let mut plan = PlanBuilder::new();
        let inputs = &model.inputs;
        let [x, t, table, state] = [inputs.x, inputs.t, inputs.time_table, inputs.state]
            .map(|v| plan.tensor("input", model.graph.shape(v).words()));
        let weights: Vec<TensorId> = (model.graph.params().iter())
            .map(|p| plan.tensor("", p.words()))
            .collect();
        model.lower(&mut plan, x, t, table, state, &weights);
        let bytes = (model.graph.outputs())
            .map(|(v, _)| 4 * model.graph.shape(v).words() as u64)
            .sum();
        (model.graph.param_count(), plan.flops(), bytes)
    }

    #[test]
    fn the_sums_are_those_of_the_whole() {
        for name in ["tiny", "digits", "cifar"] {
            let config = preset(name);
            let map = describe(&config).unwrap();
            let (parameters, flops, bytes) = whole(&config);
            assert_eq!(map.parameters(), parameters, "{name}");
            assert_eq!(map.parameters() as u64, config.param_count(), "{name}");
            assert_eq!(map.flops(), flops, "{name}");
            assert_eq!(map.activation_bytes(), bytes, "{name}");
            assert!(
                map.blocks.iter().all(|b| b.flops > 0 && b.parameters > 0),
                "{name}"
            );
        }
        assert_eq!(describe(&preset("cifar")).unwrap().parameters(), 35_746_307);
    }

    #[test]
    fn the_digits_network_is_drawn_as_it_is() {
        let map = describe(&preset("digits")).unwrap();
        let found: Vec<String> = (map.blocks.iter())
            .map(|b| {
                let skip = b.skip.map_or("-", |s| &map.blocks[s].name);
                format!(
                    "{:?}{}.{} {} {:?}>{:?} {skip}",
                    b.side, b.level, b.index, b.name, b.input, b.output
                )
            })
            .collect();
        let expected = [
            "Time0.0 time_embedding [1, 1, 1]>[64, 1, 1] -",
            "Down0.0 conv_in [1, 28, 28]>[16, 28, 28] up_blocks.2.resnets.1",
            "Down0.1 down_blocks.0.resnets.0 [16, 28, 28]>[16, 28, 28] up_blocks.2.resnets.0",
            "Down1.0 down_blocks.0.downsamplers.0 [16, 28, 28]>[16, 14, 14] up_blocks.1.resnets.1",
            "Down1.1 down_blocks.1.resnets.0 [16, 14, 14]>[32, 14, 14] up_blocks.1.resnets.0",
            "Down2.0 down_blocks.1.downsamplers.0 [32, 14, 14]>[32, 7, 7] up_blocks.0.resnets.1",
            "Down2.1 down_blocks.2.resnets.0 [32, 7, 7]>[64, 7, 7] -",
            "Down2.2 down_blocks.2.attentions.0 [64, 7, 7]>[64, 7, 7] up_blocks.0.resnets.0",
            "Mid2.0 mid_block.resnets.0 [64, 7, 7]>[64, 7, 7] -",
            "Mid2.1 mid_block.attentions.0 [64, 7, 7]>[64, 7, 7] -",
            "Mid2.2 mid_block.resnets.1 [64, 7, 7]>[64, 7, 7] -",
            "Up2.0 up_blocks.0.resnets.0 [128, 7, 7]>[64, 7, 7] down_blocks.2.attentions.0",
            "Up2.1 up_blocks.0.attentions.0 [64, 7, 7]>[64, 7, 7] -",
            "Up2.2 up_blocks.0.resnets.1 [96, 7, 7]>[64, 7, 7] down_blocks.1.downsamplers.0",
            "Up2.3 up_blocks.0.attentions.1 [64, 7, 7]>[64, 7, 7] -",
            "Up1.0 up_blocks.0.upsamplers.0 [64, 7, 7]>[64, 14, 14] -",
            "Up1.1 up_blocks.1.resnets.0 [96, 14, 14]>[32, 14, 14] down_blocks.1.resnets.0",
            "Up1.2 up_blocks.1.resnets.1 [48, 14, 14]>[32, 14, 14] down_blocks.0.downsamplers.0",
            "Up0.0 up_blocks.1.upsamplers.0 [32, 14, 14]>[32, 28, 28] -",
            "Up0.1 up_blocks.2.resnets.0 [48, 28, 28]>[16, 28, 28] down_blocks.0.resnets.0",
            "Up0.2 up_blocks.2.resnets.1 [32, 28, 28]>[16, 28, 28] conv_in",
            "Up0.3 conv_out [16, 28, 28]>[1, 28, 28] -",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn skips_carry_the_channels_that_concatenation_adds() {
        for name in ["tiny", "digits", "cifar"] {
            let map = describe(&preset(name)).unwrap();
            let mut before = 0;
            for (i, block) in map.blocks.iter().enumerate() {
                if block.side == Side::Up && block.kind == MapKind::Resnet {
                    let from = &map.blocks[block.skip.unwrap()];
                    assert_eq!(from.skip, Some(i));
                    assert_eq!(
                        block.input[0],
                        before + from.output[0],
                        "{name} {}",
                        block.name
                    );
                    assert_eq!(block.input[1..], from.output[1..], "{name} {}", block.name);
                }
                before = block.output[0];
            }
        }
    }

    #[test]
    fn every_kind_has_its_kernels_and_formulas() {
        for name in ["tiny", "digits", "cifar"] {
            for block in describe(&preset(name)).unwrap().blocks {
                assert!(!block.kernels.is_empty(), "{}", block.name);
                for kernel in &block.kernels {
                    let shader = shaders::find(kernel.stem).unwrap();
                    for entry in &kernel.entries {
                        assert!(shader.source.contains(&format!("fn {entry}(")), "{entry}");
                    }
                }
                let stems: Vec<_> = block.kernels.iter().map(|k| k.stem).collect();
                let wanted = match block.kind {
                    MapKind::TimeEmbedding => "layers/time_embedding",
                    MapKind::Attention => "layers/attention",
                    MapKind::Upsample => "layers/resample",
                    MapKind::Resnet => "layers/group_norm",
                    MapKind::ConvIn | MapKind::ConvOut => "layers/conv3x3",
                    MapKind::Downsample => "layers/conv2d",
                };
                assert!(stems.contains(&wanted), "{}: {stems:?}", block.name);
            }
        }
        assert!(MapKind::ALL.iter().all(|k| !k.formulas().is_empty()));
    }

    #[test]
    fn labels_and_keys_lead_to_their_blocks() {
        let config = UNetConfig {
            mid_block_scale_factor: 2.0,
            center_input_sample: true,
            ..preset("digits")
        };
        let map = describe(&config).unwrap();
        let name = |label: &str| map.find(label).map(|i| map.blocks[i].name.as_str());
        assert_eq!(name("mid_block.resnets.0 / 2"), Some("mid_block.resnets.0"));
        assert_eq!(name("up_blocks.1.cat.1"), Some("up_blocks.1.resnets.1"));
        assert_eq!(
            name("down_blocks.2.attentions.0.to_out.0.bias"),
            Some("down_blocks.2.attentions.0")
        );
        assert_eq!(name("conv_norm_out.weight"), Some("conv_out"));
        assert_eq!(name("center"), Some("conv_in"));
        assert_eq!(name("elsewhere"), None);
        assert_eq!(name("down_blocks.x.resnets.0"), None);
        let wrong = UNetConfig {
            block_out_channels: vec![],
            ..preset("digits")
        };
        assert!(describe(&wrong).is_err());
    }
}

//! Every WGSL source, in one list. Module-scope WGSL is free of order, so a kernel's source is
//! its own file with the shared ones after it.

macro_rules! wgsl {
    ($stem:literal) => {
        Shader {
            stem: $stem,
            source: concat!(
                include_str!(concat!("../../shaders/", $stem, ".wgsl")),
                include_str!("../../shaders/shared/index.wgsl"),
            ),
        }
    };
    ($stem:literal, $($shared:literal),+) => {
        Shader {
            stem: $stem,
            source: concat!(
                include_str!(concat!("../../shaders/", $stem, ".wgsl")),
                include_str!("../../shaders/shared/index.wgsl"),
                $(include_str!(concat!("../../shaders/shared/", $shared, ".wgsl")),)+
            ),
        }
    };
}

/// One WGSL file with what it includes.
#[derive(Debug)]
pub struct Shader {
    /// The path below `shaders/`, without the ending.
    pub stem: &'static str,
    /// Its text. Constants that the host chooses (`TN`, `HEAD_DIM4`, …) are put before it.
    pub source: &'static str,
}

/// All kernels. A new one is one line here.
pub static SHADERS: &[Shader] = &[
    wgsl!("diffusion/q_sample", "channels", "noise", "rng", "state"),
    wgsl!("diffusion/step", "channels", "noise", "rng", "state"),
    wgsl!("layers/add"),
    wgsl!("layers/attention"),
    wgsl!("layers/column_sum"),
    wgsl!("layers/concat"),
    wgsl!("layers/conv2d"),
    wgsl!("layers/conv3x3"),
    wgsl!("layers/conv3x3_subgroup"),
    wgsl!("layers/conv3x3_wide"),
    wgsl!("layers/dropout", "rng"),
    wgsl!("layers/group_norm"),
    wgsl!("layers/resample"),
    wgsl!("layers/scale"),
    wgsl!("layers/silu"),
    wgsl!("layers/time_embedding"),
    wgsl!("loss", "channels", "state"),
    wgsl!("optimizer/adam", "state"),
];

/// The shader of that stem.
pub fn find(stem: &str) -> Option<&'static Shader> {
    SHADERS.iter().find(|s| s.stem == stem)
}

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
    wgsl!("layers/add"),
    wgsl!("layers/attention"),
    wgsl!("layers/column_sum"),
    wgsl!("layers/conv2d"),
];

/// The shader of that stem.
pub fn find(stem: &str) -> Option<&'static Shader> {
    SHADERS.iter().find(|s| s.stem == stem)
}

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
    wgsl!("diffusion/exact"),
    wgsl!("diffusion/q_sample", "channels", "noise", "rng", "state"),
    wgsl!("diffusion/step", "channels", "noise", "rng", "state"),
    wgsl!("display/cloud"),
    wgsl!("display/tiles"),
    wgsl!("layers/add"),
    wgsl!("layers/attention", "mac"),
    wgsl!("layers/concat"),
    wgsl!("layers/conv1x1_narrow"),
    wgsl!("layers/conv1x1_subgroup", "image_sums", "mac"),
    wgsl!("layers/conv2d", "image_sums", "mac"),
    wgsl!("layers/conv3x3", "image_sums", "mac"),
    wgsl!("layers/conv3x3_narrow", "image_sums"),
    wgsl!("layers/conv3x3_subgroup", "mac"),
    wgsl!("layers/conv3x3_wide", "image_sums"),
    wgsl!("layers/conv3x3_winograd", "mac"),
    wgsl!("layers/conv_tiled", "image_sums", "mac"),
    wgsl!("layers/dropout", "rng"),
    wgsl!("layers/fourier", "rng"),
    wgsl!("layers/group_norm"),
    wgsl!("layers/projections", "mac"),
    wgsl!("layers/resample"),
    wgsl!("layers/row_sums"),
    wgsl!("layers/scale"),
    wgsl!("layers/silu"),
    wgsl!("layers/time_embedding"),
    wgsl!("loss", "channels", "state"),
    wgsl!("optimizer/adam", "state"),
    wgsl!("roofline", "mac"),
    wgsl!("roofline_subgroup", "mac"),
];

/// Constants that stand before a kernel's source: names and values.
pub type Constants = &'static [(&'static str, u32)];

/// The kernels whose source needs constants, with those that the networks at hand use. The tests compile each.
static CONSTANTS: &[(&str, &[Constants])] = &[
    (
        "layers/attention",
        &[
            &[("HEAD_DIM4", 2), ("ROWS", 8)],
            &[("HEAD_DIM4", 2), ("ROWS", 4)],
            &[("HEAD_DIM4", 2), ("ROWS", 1)],
            &[("HEAD_DIM4", 8), ("ROWS", 2)],
            &[("HEAD_DIM4", 64), ("ROWS", 1)],
        ],
    ),
    (
        "layers/conv1x1_subgroup",
        &[&[("LANES", 4)], &[("LANES", 8)]],
    ),
    ("layers/conv3x3", &[&[("STRIP", 7)], &[("STRIP", 8)]]),
    (
        "layers/conv3x3_subgroup",
        &[
            &[("STRIP", 7), ("LANES", 4)],
            &[("STRIP", 7), ("LANES", 8)],
            &[("STRIP", 8), ("LANES", 4)],
            &[("STRIP", 8), ("LANES", 8)],
        ],
    ),
    ("layers/conv3x3_wide", &[&[("LANES", 4)], &[("LANES", 8)]]),
    ("layers/conv_tiled", &[&[("UNITS", 1)], &[("UNITS", 2)]]),
    ("roofline", &[&[("ROWS", 8), ("COLUMNS4", 2)]]),
    (
        "roofline_subgroup",
        &[
            &[("LANES", 4), ("ROWS", 8), ("COLUMNS4", 4)],
            &[("LANES", 8), ("ROWS", 8), ("COLUMNS4", 4)],
        ],
    ),
];

impl Shader {
    /// The sets of constants with which it is compiled: an empty one for a source that needs none.
    pub fn constants(&self) -> &'static [Constants] {
        let found = CONSTANTS.iter().find(|(stem, _)| *stem == self.stem);
        found.map_or(&[&[]], |(_, all)| all)
    }
}

/// The shader of that stem.
pub fn find(stem: &str) -> Option<&'static Shader> {
    SHADERS.iter().find(|s| s.stem == stem)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::{CONSTANTS, Constants, SHADERS, find};
    use crate::{
        gpu::{
            cloud, film,
            kernel::{self, KernelId},
        },
        nn::{batch, exact, layers, loss, optimizer, roofline, sample_step},
    };

    /// The host's `Params` of each kernel file.
    fn expected() -> Vec<(&'static str, usize)> {
        use layers::{
            add, attention, concat, conv2d, dropout, fourier, group_norm, projections, resample,
            row_sums, scale, silu, time_embedding,
        };
        vec![
            ("diffusion/exact", size_of::<exact::Params>()),
            ("diffusion/q_sample", size_of::<batch::Params>()),
            ("diffusion/step", size_of::<sample_step::Params>()),
            ("display/cloud", size_of::<cloud::Params>()),
            ("display/tiles", size_of::<film::Params>()),
            ("layers/add", size_of::<add::Params>()),
            ("layers/attention", size_of::<attention::Params>()),
            ("layers/concat", size_of::<concat::Params>()),
            ("layers/conv1x1_narrow", size_of::<conv2d::Params>()),
            ("layers/conv1x1_subgroup", size_of::<conv2d::Params>()),
            ("layers/conv2d", size_of::<conv2d::Params>()),
            ("layers/conv3x3", size_of::<conv2d::Params>()),
            ("layers/conv3x3_narrow", size_of::<conv2d::Params>()),
            ("layers/conv3x3_subgroup", size_of::<conv2d::Params>()),
            ("layers/conv3x3_wide", size_of::<conv2d::Params>()),
            ("layers/conv3x3_winograd", size_of::<conv2d::Params>()),
            ("layers/conv_tiled", size_of::<conv2d::Params>()),
            ("layers/dropout", size_of::<dropout::Params>()),
            ("layers/fourier", size_of::<fourier::Params>()),
            ("layers/group_norm", size_of::<group_norm::Params>()),
            ("layers/projections", size_of::<projections::Params>()),
            ("layers/resample", size_of::<resample::Params>()),
            ("layers/row_sums", size_of::<row_sums::Params>()),
            ("layers/scale", size_of::<scale::Params>()),
            ("layers/silu", size_of::<silu::Params>()),
            ("layers/time_embedding", size_of::<time_embedding::Params>()),
            ("loss", size_of::<loss::Params>()),
            ("optimizer/adam", size_of::<optimizer::Params>()),
            ("roofline", size_of::<roofline::Params>()),
            ("roofline_subgroup", size_of::<roofline::Params>()),
        ]
    }

    fn entries(stem: &'static str, constants: Constants) -> Vec<&'static str> {
        let mut id = KernelId::new(stem, "");
        id.defines = constants.to_vec();
        let text = kernel::source_of(&id).expect(stem);
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|e| panic!("{stem}: {}", e.emit_to_string(&text)));
        let names: Vec<String> = module.entry_points.iter().map(|e| e.name.clone()).collect();
        names.into_iter().map(|n| &*n.leak()).collect()
    }

    #[test]
    fn every_entry_point_is_valid_and_its_params_are_the_hosts() {
        let expected = expected();
        let listed: BTreeSet<_> = SHADERS.iter().map(|s| s.stem).collect();
        assert_eq!(listed, expected.iter().map(|e| e.0).collect());
        for (stem, _) in CONSTANTS {
            assert!(
                listed.contains(stem),
                "{stem} has constants and is no kernel"
            );
        }
        for (stem, bytes) in expected {
            for constants in find(stem).expect(stem).constants() {
                check(stem, constants, bytes);
            }
        }
    }

    fn check(stem: &'static str, constants: Constants, bytes: usize) {
        let entries = entries(stem, constants);
        assert!(!entries.is_empty(), "{stem} has no entry point");
        for entry in entries {
            let mut id = KernelId::new(stem, entry);
            id.defines = constants.to_vec();
            let found = kernel::reflect(&id).unwrap_or_else(|e| panic!("{e}"));
            let params = found.params_bytes as usize;
            // A uniform struct is rounded up to its alignment; it never outgrows the host's.
            assert!(
                params == bytes || params == 0,
                "{id}: Params take {params} bytes in WGSL and {bytes} on the host"
            );
            assert!(
                found.storage.len() <= 8,
                "{id}: more than 8 storage buffers"
            );
            assert!(found.workgroup_bytes <= 16384, "{id}: workgroup memory");
            let threads: u32 = found.workgroup_size.iter().product();
            assert!(threads <= 256, "{id}: {threads} threads");
        }
    }

    fn wgsl_stems(folder: &Path, below: &str, out: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("shaders/") {
            let path = entry.expect("entry").path();
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                wgsl_stems(&path, &format!("{below}{name}/"), out);
            } else {
                out.insert(format!("{below}{name}"));
            }
        }
    }

    #[test]
    fn every_file_is_listed_and_every_layer_has_its_shader() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut stems = BTreeSet::new();
        wgsl_stems(&root.join("shaders"), "", &mut stems);
        stems.retain(|s| !s.starts_with("shared/"));
        let listed: BTreeSet<String> = SHADERS.iter().map(|s| s.stem.to_owned()).collect();
        assert_eq!(stems, listed);
        for entry in fs::read_dir(root.join("src/nn/layers")).expect("layers") {
            let path = entry.expect("entry").path();
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if stem != "mod" && stem != "testing" {
                assert!(
                    listed.contains(&format!("layers/{stem}")),
                    "{stem} has no shader"
                );
            }
        }
    }

    #[test]
    fn the_unrolled_kernels_are_what_their_script_writes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let run = std::process::Command::new("python3")
            .arg(root.join("scripts/make_convolutions.py"))
            .arg("--check")
            .output();
        match run {
            Ok(out) => assert!(
                out.status.success(),
                "{}",
                String::from_utf8_lossy(&out.stdout)
            ),
            Err(e) => eprintln!("skipped: python3 cannot be run ({e})"),
        }
    }
}

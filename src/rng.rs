//! Random numbers that do not depend on the order in which they are drawn.
//!
//! Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a counter and a
//! key into four words:
//!
//! ```text
//! key     = [seed_low, seed_high ^ (stream · 0x9E3779B9)]
//! counter = [block, sample, step, 0]
//! ```
//!
//! so that element e of sample n at step k is word e mod 4 of block ⌊e / 4⌋, however a batch is split.
//! `shaders/shared/rng.wgsl` draws the same: the words bit for bit, the uniforms as well, the normals up to
//! the last bits, as a GPU may fuse a product with a sum and rounds its square root less strictly. Normals
//! use polynomials given here, since WGSL promises little of its own sin, cos and log.

/// Streams keep the uses of one seed apart. The numbers are part of the file format of a run: do not
/// change them, add new ones at the end.
pub mod stream {
    /// Initial weights.
    pub const WEIGHTS: u32 = 0;
    /// The order of the training images.
    pub const SHUFFLE: u32 = 1;
    /// Flips and other augmentation.
    pub const AUGMENT: u32 = 2;
    /// The timestep of each training image.
    pub const TIMESTEP: u32 = 3;
    /// The ε of each training image.
    pub const TRAIN_NOISE: u32 = 4;
    /// Dropout masks; each layer has a stream of its own, [`sub`]`(DROPOUT, layer)`.
    pub const DROPOUT: u32 = 5;
    /// x_T of each sample.
    pub const SAMPLE_START: u32 = 6;
    /// The noise that a sampler adds.
    pub const SAMPLE_NOISE: u32 = 7;
    /// Timesteps of an evaluation.
    pub const EVAL_TIMESTEP: u32 = 8;
    /// Noise of an evaluation.
    pub const EVAL_NOISE: u32 = 9;
    /// Noise of a picture in the forward process, as an interface shows it.
    pub const FORWARD_NOISE: u32 = 10;
    /// Points of the plane to train on.
    pub const POINTS_TRAIN: u32 = 11;
    /// Points that are kept back, to compare with.
    pub const POINTS_HELD_OUT: u32 = 12;
    /// Points that are shown.
    pub const POINTS_SHOWN: u32 = 13;

    /// A stream of its own for the `index`-th user of `stream` (a layer, say); `index` below 2²⁴.
    pub const fn sub(stream: u32, index: u32) -> u32 {
        stream | (index << 8)
    }
}

/// Where a number is drawn: all but the element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// What the numbers are for, see [`stream`].
    pub stream: u32,
    /// The training or sampling step.
    pub step: u32,
    /// The sample, counted over all batches of the step.
    pub sample: u32,
}

impl Draw {
    /// The key of this draw's seed and stream.
    pub fn key(&self) -> [u32; 2] {
        [
            self.seed as u32,
            (self.seed >> 32) as u32 ^ self.stream.wrapping_mul(0x9E37_79B9),
        ]
    }
}

/// Philox4x32 with 10 rounds.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let a = u64::from(c0) * 0xD251_1F53;
        let b = u64::from(c2) * 0xCD9E_8D57;
        (c0, c1, c2, c3) = (
            (b >> 32) as u32 ^ c1 ^ k0,
            b as u32,
            (a >> 32) as u32 ^ c3 ^ k1,
            a as u32,
        );
        (k0, k1) = (k0.wrapping_add(0x9E37_79B9), k1.wrapping_add(0xBB67_AE85));
    }
    [c0, c1, c2, c3]
}

/// Four random words: elements 4·`block` to 4·`block` + 3.
pub fn words4(draw: Draw, block: u32) -> [u32; 4] {
    philox([block, draw.sample, draw.step, 0], draw.key())
}

/// A number in (0, 1) from the upper 23 bits of a word: an odd multiple of 2⁻²⁴, so neither end is met and
/// nothing is rounded.
pub fn uniform_from_word(word: u32) -> f32 {
    ((word >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// Four uniform numbers in (0, 1).
pub fn uniform4(draw: Draw, block: u32) -> [f32; 4] {
    words4(draw, block).map(uniform_from_word)
}

/// An integer in 0 … `bound` − 1 from a word, the upper half of their product (0 for `bound` 0). It is
/// uniform up to bound / 2³².
pub fn below(word: u32, bound: u32) -> u32 {
    ((u64::from(word) * u64::from(bound)) >> 32) as u32
}

/// ln x for positive normal `x`. With x = m · 2^e, m in [√½, √2), and f = m − 1:
/// ln x = e ln 2 + f − f²/2 + f³ P(f), P fitted at Chebyshev nodes, error below 2e-8.
fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3F35_04F3;
    // e · LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const P: [f32; 8] = [
        -0.081_015_59,
        0.127_123_07,
        -0.129_722_39,
        0.142_021_75,
        -0.166_422_47,
        0.200_014_68,
        -0.250_002_98,
        0.333_333_28,
    ];
    let bits = x.to_bits();
    let exponent = bits.wrapping_sub(SQRT_HALF) as i32 >> 23;
    let f = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32)) - 1.0;
    let e = exponent as f32;
    let p = P.iter().fold(0.0f32, |p, &c| p * f + c);
    let square = f * f;
    (f - 0.5 * square + (square * f * p + e * LN2_LOW)) + e * LN2_HIGH
}

/// (sin, cos) of 2π `turns` for `turns` in [0, 1]. The nearest quarter turn is taken off exactly; the rest
/// r, in quarter turns, is within ±½, where sin(π/2 r) = r S(r²) and cos(π/2 r) = C(r²), both fitted at
/// Chebyshev nodes, error below 1e-8.
fn sin_cos_turns(turns: f32) -> (f32, f32) {
    const S: [f32; 4] = [-0.004_602_163, 0.079_680_22, -0.645_963_5, 1.570_796_4];
    const C: [f32; 5] = [
        0.000_903_629_9,
        -0.020_860_07,
        0.253_669_2,
        -1.233_700_5,
        1.0,
    ];
    let quarter = (4.0 * turns + 0.5).floor();
    let r = 4.0 * turns - quarter;
    let square = r * r;
    let sin = r * S.iter().fold(0.0f32, |p, &c| p * square + c);
    let cos = C.iter().fold(0.0f32, |p, &c| p * square + c);
    match quarter as u32 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Two standard normals from two uniforms in (0, 1) (Box and Muller 1958). None is beyond ±5.77.
pub fn box_muller(u: f32, v: f32) -> [f32; 2] {
    let radius = (-2.0 * ln(u)).sqrt();
    let (sin, cos) = sin_cos_turns(v);
    [radius * cos, radius * sin]
}

/// Four standard normals: elements 4·`block` to 4·`block` + 3.
pub fn normal4(draw: Draw, block: u32) -> [f32; 4] {
    let [a, b, c, d] = uniform4(draw, block);
    let ([x, y], [z, w]) = (box_muller(a, b), box_muller(c, d));
    [x, y, z, w]
}

/// Fills `out` with the standard normals of elements 0, 1, 2, …
pub fn fill_normal(draw: Draw, out: &mut [f32]) {
    for (block, chunk) in out.chunks_mut(4).enumerate() {
        chunk.copy_from_slice(&normal4(draw, block as u32)[..chunk.len()]);
    }
}

/// Fills `out` with the uniform numbers of elements 0, 1, 2, …
pub fn fill_uniform(draw: Draw, out: &mut [f32]) {
    for (block, chunk) in out.chunks_mut(4).enumerate() {
        chunk.copy_from_slice(&uniform4(draw, block as u32)[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw {
        seed: 0x0123_4567_89AB_CDEF,
        stream: stream::TRAIN_NOISE,
        step: 7,
        sample: 3,
    };
    const WGSL: &str = include_str!("../shaders/shared/rng.wgsl");

    #[test]
    fn philox_gives_the_published_answers() {
        // Random123, kat_vectors, philox4x32 10.
        for (counter, key, expected) in [
            (
                [0; 4],
                [0; 2],
                [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8],
            ),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD],
            ),
            (
                [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
                [0xA409_3822, 0x299F_31D0],
                [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
            ),
        ] {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn numbers_depend_on_every_part_of_the_draw_and_on_nothing_else() {
        let others = [
            Draw {
                seed: DRAW.seed ^ 1,
                ..DRAW
            },
            Draw {
                seed: DRAW.seed ^ (1 << 40),
                ..DRAW
            },
            Draw {
                stream: DRAW.stream + 1,
                ..DRAW
            },
            Draw {
                stream: stream::sub(DRAW.stream, 1),
                ..DRAW
            },
            Draw { step: 8, ..DRAW },
            Draw { sample: 4, ..DRAW },
        ];
        let mut all = [0.0f32; 10];
        fill_normal(DRAW, &mut all);
        assert_eq!(all[4..8], normal4(DRAW, 1));
        assert_eq!(all[8..], normal4(DRAW, 2)[..2]);
        for other in others {
            assert!(
                words4(other, 0)
                    .iter()
                    .zip(words4(DRAW, 0))
                    .all(|(&a, b)| a != b),
                "{other:?}"
            );
        }
    }

    #[test]
    fn uniforms_stay_inside_and_integers_below() {
        assert_eq!(uniform_from_word(0), 2f32.powi(-24));
        assert_eq!(uniform_from_word(u32::MAX), 1.0 - 2f32.powi(-24));
        assert_eq!(
            (
                below(0, 1000),
                below(u32::MAX, 1000),
                below(1 << 31, 1000),
                below(9, 0)
            ),
            (0, 999, 500, 0)
        );
        let mut u = vec![0.0; 100_000];
        fill_uniform(DRAW, &mut u);
        let mean = u.iter().map(|&u| f64::from(u)).sum::<f64>() / u.len() as f64;
        // Standard error: 1 / √(12 · 1e5) = 9.1e-4.
        assert!((mean - 0.5).abs() < 4.0 * 9.1e-4, "{mean}");
    }

    #[test]
    fn the_polynomials_are_as_good_as_f32() {
        for i in 1..200_000u32 {
            let word = i.wrapping_mul(21_473);
            let x = uniform_from_word(word);
            let exact = f64::from(x).ln();
            assert!(
                (f64::from(ln(x)) - exact).abs() <= 2.0e-7 * exact.abs(),
                "ln {x}"
            );
            let (sin, cos) = sin_cos_turns(x);
            let (s, c) = (std::f64::consts::TAU * f64::from(x)).sin_cos();
            assert!(
                (f64::from(sin) - s).abs() < 1.5e-7 && (f64::from(cos) - c).abs() < 1.5e-7,
                "turn {x}"
            );
        }
        let [x, y] = box_muller(2f32.powi(-24), 1.0 - 2f32.powi(-24));
        assert!(x > 5.76 && x < 5.78 && y.abs() < 1e-5, "{x} {y}");
    }

    /// Φ from a series and a continued fraction: good to 1e-10 in the range that is tested.
    fn normal_cdf(z: f64) -> f64 {
        let a = z.abs();
        let density = (-0.5 * a * a).exp() / std::f64::consts::TAU.sqrt();
        let upper = if a < 4.0 {
            let (mut term, mut sum) = (a, a);
            for k in 1..200 {
                term *= a * a / f64::from(2 * k + 1);
                sum += term;
            }
            0.5 - density * sum
        } else {
            density / (1..60).rev().fold(a, |f, k| a + f64::from(k) / f)
        };
        if z > 0.0 { 1.0 - upper } else { upper }
    }

    #[test]
    fn normals_are_standard_normal() {
        const N: usize = 400_000;
        let mut z = vec![0.0f32; N];
        fill_normal(DRAW, &mut z);
        let n = N as f64;
        let moment = |k: i32| z.iter().map(|&z| f64::from(z).powi(k)).sum::<f64>() / n;
        // Standard errors for N(0, 1): √(1/n), √(2/n), √(15/n), √(96/n).
        assert!(
            moment(1).abs() < 4.0 * (1.0 / n).sqrt(),
            "mean {}",
            moment(1)
        );
        assert!(
            (moment(2) - 1.0).abs() < 4.0 * (2.0 / n).sqrt(),
            "variance {}",
            moment(2)
        );
        assert!(
            moment(3).abs() < 4.0 * (15.0 / n).sqrt(),
            "skewness {}",
            moment(3)
        );
        assert!(
            (moment(4) - 3.0).abs() < 4.0 * (96.0 / n).sqrt(),
            "kurtosis {}",
            moment(4)
        );
        for limit in [1.0, 2.0, 3.0, 4.0] {
            let p = 2.0 * normal_cdf(-limit);
            let seen = z.iter().filter(|z| f64::from(z.abs()) > limit).count() as f64 / n;
            assert!(
                (seen - p).abs() < 4.0 * (p * (1.0 - p) / n).sqrt(),
                "beyond {limit}: {seen}, expected {p}"
            );
        }
        // The four words of a block must not depend on each other.
        for (i, j) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let products = z
                .chunks_exact(4)
                .map(|c| f64::from(c[i]) * f64::from(c[j]))
                .sum::<f64>();
            assert!(
                (products / (n / 4.0)).abs() < 4.0 * (4.0 / n).sqrt(),
                "{i} {j}"
            );
        }
        // Kolmogorov and Smirnov: √n · D exceeds 1.95 once in a thousand.
        z.sort_by(f32::total_cmp);
        let distance = z
            .iter()
            .enumerate()
            .map(|(i, &z)| {
                let p = normal_cdf(f64::from(z));
                (p - i as f64 / n).abs().max((p - (i + 1) as f64 / n).abs())
            })
            .fold(0.0, f64::max);
        assert!(distance * n.sqrt() < 1.95, "{}", distance * n.sqrt());
    }

    #[test]
    fn the_shader_is_valid_and_has_the_same_constants() {
        // Used from a kernel, so that the signatures are checked as well.
        let source = format!(
            "{WGSL}
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {{
    out[id.x] = normal4(vec2u(1u, 2u), 3u, 4u, 5u, id.x) + uniform4(vec2u(1u, 2u), 3u, 4u, 5u, id.x)
        + vec4f(f32(random_below(words4(vec2u(1u, 2u), 3u, 4u, 5u, id.x).x, 7u)));
}}"
        );
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
        naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::empty(),
        )
        .validate(&module)
        .unwrap();
        assert!(
            !WGSL.contains("@group"),
            "the shared file has functions only"
        );
        // Every number of the polynomials stands in both files.
        let this = include_str!("rng.rs");
        let code = this.split("#[cfg(test)]").next().unwrap().replace('_', "");
        let numbers = |text: &str| -> Vec<f32> {
            text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
                .filter(|w| w.len() > 8 && w.contains('.') && w.starts_with(['0', '1']))
                .map(|w| w.trim_end_matches('f').parse().unwrap())
                .collect()
        };
        let (rust, wgsl) = (numbers(&code), numbers(WGSL));
        assert!(rust.len() >= 16, "{rust:?}");
        for number in &rust {
            assert!(wgsl.contains(number), "{number} is missing in the shader");
        }
        assert_eq!(rust.len(), wgsl.len());
    }
}

//! Shapes, and the reference tensor of the CPU.

/// The shape of an activation, `[B, H, W, C]`; a vector per sample has H = W = 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Batch.
    pub b: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels, without padding.
    pub c: usize,
}

impl Shape {
    /// An image or feature map.
    pub const fn new(b: usize, h: usize, w: usize, c: usize) -> Self {
        Self { b, h, w, c }
    }

    /// A vector per sample.
    pub const fn vector(b: usize, c: usize) -> Self {
        Self { b, h: 1, w: 1, c }
    }

    /// Channels rounded up to a multiple of 4, as they lie in memory.
    pub const fn cp(&self) -> usize {
        self.c.div_ceil(4) * 4
    }

    /// `vec4`s of channels.
    pub const fn c4(&self) -> usize {
        self.c.div_ceil(4)
    }

    /// Pixels of the whole batch.
    pub const fn pixels(&self) -> usize {
        self.b * self.h * self.w
    }

    /// Words in memory, padding included.
    pub const fn words(&self) -> usize {
        self.pixels() * self.cp()
    }

    /// Numbers without padding.
    pub const fn len(&self) -> usize {
        self.pixels() * self.c
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How two values lie in memory whose concatenation along channels is read without having been copied: the whole of
/// the first one, then, from a multiple of 128 numbers on, the second one. In `vec4`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planes {
    /// `vec4`s of channels of the first value.
    pub first_c4: usize,
    /// Where the second value starts.
    pub second: usize,
}

impl Planes {
    /// Behind a first value of that shape, whose channels are a multiple of 8.
    pub const fn of(first: Shape) -> Self {
        Self {
            first_c4: first.c4(),
            second: first.words().next_multiple_of(128) / 4,
        }
    }

    /// The first number of the second value.
    pub const fn second_words(&self) -> usize {
        4 * self.second
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "[B {}, H {}, W {}, C {}]",
            self.b, self.h, self.w, self.c
        )
    }
}

/// Rows of `c` numbers, each padded with zeros to a multiple of 4.
pub fn pad_rows(data: &[f32], c: usize) -> Vec<f32> {
    let cp = c.div_ceil(4) * 4;
    let mut out = Vec::with_capacity(data.len() / c.max(1) * cp);
    for row in data.chunks(c.max(1)) {
        out.extend_from_slice(row);
        out.resize(out.len().next_multiple_of(cp), 0.0);
    }
    out
}

/// From `[B, C, H, W]` without padding to the plan's `[B, H, W, Cp]`.
pub fn nchw_to_plan(shape: Shape, data: &[f32]) -> Vec<f32> {
    let (hw, cp) = (shape.h * shape.w, shape.cp());
    let mut out = vec![0.0; shape.words()];
    for b in 0..shape.b {
        for c in 0..shape.c {
            for p in 0..hw {
                out[(b * hw + p) * cp + c] = data[(b * shape.c + c) * hw + p];
            }
        }
    }
    out
}

/// From the plan's `[B, H, W, Cp]` to `[B, C, H, W]` without padding.
pub fn plan_to_nchw(shape: Shape, data: &[f32]) -> Vec<f32> {
    let (hw, cp) = (shape.h * shape.w, shape.cp());
    let mut out = vec![0.0; shape.len()];
    for b in 0..shape.b {
        for c in 0..shape.c {
            for p in 0..hw {
                out[(b * shape.c + c) * hw + p] = data[(b * hw + p) * cp + c];
            }
        }
    }
    out
}

/// A tensor of the CPU reference: f64, `[B, H, W, C]` without padding (parameters: as their
/// layer documents).
#[derive(Debug, Clone, PartialEq)]
pub struct RefTensor {
    /// Numbers.
    pub data: Vec<f64>,
    /// Shape; parameters use `[1, 1, 1, n]`.
    pub shape: Shape,
}

impl RefTensor {
    /// All zero.
    pub fn zeros(shape: Shape) -> Self {
        Self {
            data: vec![0.0; shape.len()],
            shape,
        }
    }

    /// The number at `[b, y, x, c]`.
    pub fn at(&self, b: usize, y: usize, x: usize, c: usize) -> f64 {
        self.data[self.index(b, y, x, c)]
    }

    /// Where `[b, y, x, c]` lies in `data`.
    pub const fn index(&self, b: usize, y: usize, x: usize, c: usize) -> usize {
        ((b * self.shape.h + y) * self.shape.w + x) * self.shape.c + c
    }

    /// Into the plan's padded f32 layout.
    pub fn to_plan(&self) -> Vec<f32> {
        let (c, cp) = (self.shape.c, self.shape.cp());
        let mut out = vec![0.0; self.shape.words()];
        for p in 0..self.shape.pixels() {
            for k in 0..c {
                out[p * cp + k] = self.data[p * c + k] as f32;
            }
        }
        out
    }

    /// From the plan's padded f32 layout.
    pub fn from_plan(shape: Shape, words: &[f32]) -> Self {
        let (c, cp) = (shape.c, shape.cp());
        let mut out = Self::zeros(shape);
        for p in 0..shape.pixels() {
            for k in 0..c {
                out.data[p * c + k] = f64::from(words[p * cp + k]);
            }
        }
        out
    }
}

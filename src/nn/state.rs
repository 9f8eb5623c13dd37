//! What a step reads and reports, besides tensors: [`StepState`], which the host writes before each
//! step, and [`StepStats`], which the kernels write and the host reads late. Their twins in WGSL are
//! in `shaders/shared/state.wgsl`; the layout is stated there and here, and nowhere else.

use bytemuck::{Pod, Zeroable};

/// Words of [`StepState`].
pub const STATE_WORDS: usize = size_of::<StepState>() / 4;
/// Words of [`StepStats`].
pub const STATS_WORDS: usize = size_of::<StepStats>() / 4;

/// Flag: weight decay is decoupled (AdamW); without it the decay is added to the gradient (Adam).
pub const ADAM_DECOUPLED: u32 = 1;
/// Flag: the moving average starts here, so the weights are copied into it.
pub const EMA_COPY: u32 = 2;

/// The scalars of a step, as bytes of a 64-word tensor.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct StepState {
    /// Lower half of the run's seed.
    pub seed_lo: u32,
    /// Upper half of the run's seed.
    pub seed_hi: u32,
    /// The step in the counter of every random number. The micro-batches of one optimiser step may
    /// share it, since `batch_offset` tells their samples apart.
    pub micro_step: u32,
    /// The optimiser step.
    pub step: u32,
    /// The number, within the step, of the first sample of this batch: random numbers do not depend
    /// on how gradient accumulation splits the step.
    pub batch_offset: u32,
    /// Samples of the whole step, over which stratified timesteps are spread.
    pub batch_total: u32,
    /// Which micro-batch of the step this is; 0 starts the sums over the step.
    pub micro_batch: u32,
    /// [`ADAM_DECOUPLED`], [`EMA_COPY`].
    pub flags: u32,
    /// Learning rate.
    pub lr: f32,
    /// Adam's β₁.
    pub beta1: f32,
    /// Adam's β₂.
    pub beta2: f32,
    /// Adam's ε, added to the root.
    pub adam_eps: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// 1 − β₁ⁿ at Adam step n.
    pub bias_correction1: f32,
    /// 1 − β₂ⁿ at Adam step n.
    pub bias_correction2: f32,
    /// 1 − β₁, rounded once.
    pub one_minus_beta1: f32,
    /// 1 − β₂, rounded once.
    pub one_minus_beta2: f32,
    /// Decay d of the moving average of the weights.
    pub ema_decay: f32,
    /// 1 − d, rounded once.
    pub one_minus_ema_decay: f32,
    /// Largest norm of the gradient; 0 for no clipping.
    pub clip_norm: f32,
    /// 1 / number of micro-batches in the step.
    pub grad_scale: f32,
    /// The row of the sampler's table.
    pub inference_step: u32,
    /// Probability that a training image is mirrored.
    pub flip_probability: f32,
    /// 1 / the factor that the loss's gradient carries ([`super::plan::Precision::loss_scale`]).
    pub inverse_loss_scale: f32,
    /// Zero; room for more.
    pub reserved: [u32; 40],
}

impl Default for StepState {
    /// One micro-batch, no clipping, no decay, a learning rate of zero.
    fn default() -> Self {
        Self {
            batch_total: 1,
            bias_correction1: 1.0,
            bias_correction2: 1.0,
            grad_scale: 1.0,
            inverse_loss_scale: 1.0,
            ..Self::zeroed()
        }
    }
}

impl StepState {
    /// With both halves of `seed`.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed_lo = seed as u32;
        self.seed_hi = (seed >> 32) as u32;
        self
    }

    /// Sets the decay of the moving average; `first` starts it as a copy of the weights.
    pub fn set_ema(&mut self, decay: f64, first: bool) {
        self.ema_decay = decay as f32;
        self.one_minus_ema_decay = (1.0 - decay) as f32;
        self.flags = (self.flags & !EMA_COPY) | if first { EMA_COPY } else { 0 };
    }

    /// The state as the words of its tensor.
    pub fn words(&self) -> &[u32] {
        bytemuck::cast_slice(bytemuck::bytes_of(self))
    }
}

/// What a step reports.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub struct StepStats {
    /// The loss of the last micro-batch.
    pub loss: f32,
    /// Its mean squared error, weighted by the samples' weights.
    pub mse: f32,
    /// Its mean term of the variational bound, nats a dimension, weighted likewise.
    pub vlb: f32,
    /// Mean of `loss` over the micro-batches of the step so far (each counts `grad_scale`).
    pub step_loss: f32,
    /// Mean of `mse` likewise.
    pub step_mse: f32,
    /// Mean of `vlb` likewise.
    pub step_vlb: f32,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f32,
    /// By what the gradient was multiplied to clip it.
    pub clip: f32,
    /// 1 when the norm was not finite and the update therefore left everything as it was.
    pub skipped: u32,
    /// Zero; room for more.
    pub reserved: [u32; 7],
}

impl StepStats {
    /// From the words of the tensor; `None` when there are fewer than [`STATS_WORDS`].
    pub fn from_words(words: &[u32]) -> Option<Self> {
        let words = words.get(..STATS_WORDS)?;
        Some(bytemuck::pod_read_unaligned(bytemuck::cast_slice(words)))
    }
}

/// Which step enters the counter of a kernel's random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomStep {
    /// The same in every run of the plan (the start of sampling).
    Fixed(u32),
    /// [`StepState::micro_step`].
    MicroStep,
    /// [`StepState::inference_step`].
    InferenceStep,
}

impl RandomStep {
    /// Source and value, as the shaders have them.
    pub(crate) const fn code(self) -> (u32, u32) {
        match self {
            Self::Fixed(step) => (0, step),
            Self::MicroStep => (1, 0),
            Self::InferenceStep => (2, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    macro_rules! fields {
        ($type:ty: $($field:ident),+ $(,)?) => {
            vec![$((stringify!($field), offset_of!($type, $field) as u32)),+]
        };
    }

    const WGSL: &str = include_str!("../../shaders/shared/state.wgsl");

    fn members(name: &str) -> (Vec<(String, u32)>, u32) {
        let module = naga::front::wgsl::parse_str(WGSL).unwrap();
        let found = module
            .types
            .iter()
            .find(|(_, t)| t.name.as_deref() == Some(name))
            .unwrap();
        let naga::TypeInner::Struct { members, span } = &found.1.inner else {
            panic!("{name} is not a struct")
        };
        let members = members
            .iter()
            .map(|m| (m.name.clone().unwrap(), m.offset))
            .collect();
        (members, *span)
    }

    fn check(name: &str, fields: Vec<(&str, u32)>, bytes: usize) {
        let (members, span) = members(name);
        let fields: Vec<(String, u32)> = fields.into_iter().map(|(n, o)| (n.into(), o)).collect();
        assert_eq!(members, fields);
        assert_eq!(span as usize, bytes);
    }

    #[test]
    fn the_structs_lie_as_in_the_shaders() {
        check(
            "StepState",
            fields!(StepState: seed_lo, seed_hi, micro_step, step, batch_offset, batch_total,
                micro_batch, flags, lr, beta1, beta2, adam_eps, weight_decay, bias_correction1,
                bias_correction2, one_minus_beta1, one_minus_beta2, ema_decay, one_minus_ema_decay,
                clip_norm, grad_scale, inference_step, flip_probability, inverse_loss_scale,
                reserved),
            256,
        );
        check(
            "StepStats",
            fields!(StepStats: loss, mse, vlb, step_loss, step_mse, step_vlb, grad_norm, clip,
                skipped, reserved),
            64,
        );
    }

    #[test]
    fn the_constants_are_the_shaders() {
        let word = |offset: usize| offset as u32 / 4;
        for (name, value) in [
            ("ADAM_DECOUPLED", ADAM_DECOUPLED),
            ("EMA_COPY", EMA_COPY),
            ("STATE_SEED_LO", word(offset_of!(StepState, seed_lo))),
            ("STATE_SEED_HI", word(offset_of!(StepState, seed_hi))),
            ("STATE_MICRO_STEP", word(offset_of!(StepState, micro_step))),
            ("STATE_STEP", word(offset_of!(StepState, step))),
            (
                "STATE_BATCH_OFFSET",
                word(offset_of!(StepState, batch_offset)),
            ),
            (
                "STATE_INFERENCE_STEP",
                word(offset_of!(StepState, inference_step)),
            ),
        ] {
            assert!(
                WGSL.contains(&format!("const {name}: u32 = {value}u;")),
                "{name} is not {value}"
            );
        }
    }

    #[test]
    fn stats_come_from_enough_words_only() {
        let mut words = vec![0u32; STATS_WORDS];
        words[6] = 2.5f32.to_bits();
        assert_eq!(StepStats::from_words(&words).unwrap().grad_norm, 2.5);
        assert_eq!(StepStats::from_words(&words[1..]), None);
    }
}

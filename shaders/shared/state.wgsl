// What a step reads and reports: the twins of StepState and StepStats in src/nn/state.rs, which
// describes them. Types only, no bindings.

// 64 words, written by the host before each step.
struct StepState {
    seed_lo: u32,
    seed_hi: u32,
    micro_step: u32,
    step: u32,
    batch_offset: u32,
    batch_total: u32,
    micro_batch: u32,
    flags: u32,               // ADAM_DECOUPLED, EMA_COPY
    lr: f32,
    beta1: f32,
    beta2: f32,
    adam_eps: f32,
    weight_decay: f32,
    bias_correction1: f32,
    bias_correction2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    ema_decay: f32,
    one_minus_ema_decay: f32,
    clip_norm: f32,
    grad_scale: f32,
    inference_step: u32,
    flip_probability: f32,
    inverse_loss_scale: f32,
    reserved: array<u32, 40>,
}

// 16 words, written by the kernels of the step.
struct StepStats {
    loss: f32,
    mse: f32,
    vlb: f32,
    step_loss: f32,
    step_mse: f32,
    step_vlb: f32,
    grad_norm: f32,
    clip: f32,
    skipped: u32,
    reserved: array<u32, 7>,
}

const ADAM_DECOUPLED: u32 = 1u;
const EMA_COPY: u32 = 2u;

// The same fields as word indices, for kernels that bind the state as array<u32>.
const STATE_SEED_LO: u32 = 0u;
const STATE_SEED_HI: u32 = 1u;
const STATE_MICRO_STEP: u32 = 2u;
const STATE_STEP: u32 = 3u;
const STATE_BATCH_OFFSET: u32 = 4u;
const STATE_INFERENCE_STEP: u32 = 21u;

// Random numbers for the samples of a batch. Uses the kernel's `state: StepState` and, of its
// Params, stream, step_source (0 step_value, 1 state.micro_step, 2 state.inference_step),
// step_value, c4 and channels.

fn seed() -> vec2u {
    return vec2u(state.seed_lo, state.seed_hi);
}

fn random_step() -> u32 {
    if params.step_source == 1u {
        return state.micro_step;
    }
    if params.step_source == 2u {
        return state.inference_step;
    }
    return params.step_value;
}

// N(0, 1) for vec4 `k` of sample `n`: elements are numbered as they lie in memory, with the
// padding channels counted, which stay zero.
fn noise_of(n: u32, k: u32) -> vec4f {
    let drawn = normal4(seed(), params.stream, random_step(), state.batch_offset + n, k);
    return select(vec4f(), drawn, is_channel(k, params.c4, params.channels));
}

// One step of the reverse process, for every sampler; src/diffusion/sampler/mod.rs says what the
// coefficients are.
//
//   x0_hat  = clamp(x0_from_x * x_t + x0_from_out * out)
//   eps_hat = eps_from_x * x_t + eps_from_out * out
//   x_prev  = prev_from_x0 * x0_hat + prev_from_x * x_t + prev_from_eps * eps_hat + sigma * z
//          + prev_from_last_eps * eps_hat of the step before
struct Params {
    batch: u32,       // B
    vec4s: u32,       // vec4s of a sample
    c4: u32,          // channels / 4
    channels: u32,    // C
    steps: u32,       // rows of the table
    stream: u32,      // of the random numbers
    step_source: u32, // 0 step_value, 1 state.micro_step, 2 state.inference_step
    step_value: u32,
    flags: u32,       // 1 in place, 2 z is given, 4 z is drawn, 8 writes x0_hat, 16 writes eps_hat
    pad0: u32,
    pad1: u32,
    pad2: u32,
}
struct Coefficients {
    x0_from_x: f32,
    x0_from_out: f32,
    eps_from_x: f32,
    eps_from_out: f32,
    prev_from_x0: f32,
    prev_from_x: f32,
    prev_from_eps: f32,
    sigma: f32,
    clip: f32,        // 0: no clamping
    timestep: f32,
    prev_from_last_eps: f32,  // needs flag 16: eps_hat still holds the step before's
    pad0: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> table: array<Coefficients>;  // [steps]
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;           // [B, H, W, C], the network's output
@group(0) @binding(3) var<storage, read_write> x_t: array<vec4f>;           // [B, H, W, C]
@group(0) @binding(4) var<storage, read_write> z: array<vec4f>;             // [B, H, W, C], N(0, 1)
@group(0) @binding(5) var<storage, read_write> x_prev: array<vec4f>;        // [B, H, W, C]
@group(0) @binding(6) var<storage, read_write> x0_hat: array<vec4f>;        // [B, H, W, C]
@group(0) @binding(7) var<storage, read_write> eps_hat: array<vec4f>;       // [B, H, W, C]
@group(0) @binding(8) var<storage, read_write> state: StepState;
@group(0) @binding(9) var<storage, read_write> t: array<u32>;               // [B]

fn row() -> u32 {
    return min(state.inference_step, params.steps - 1u);
}

@compute @workgroup_size(64)
fn step_back(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.vec4s {
        return;
    }
    let c = table[row()];
    let x = x_t[i];
    let o = out[i];
    var clean = c.x0_from_x * x + c.x0_from_out * o;
    if c.clip > 0.0 {
        clean = clamp(clean, vec4f(-c.clip), vec4f(c.clip));
    }
    let eps = c.eps_from_x * x + c.eps_from_out * o;
    var prev = c.prev_from_x0 * clean + c.prev_from_x * x + c.prev_from_eps * eps;
    if c.prev_from_last_eps != 0.0 && (params.flags & 16u) != 0u {
        prev += c.prev_from_last_eps * eps_hat[i];
    }
    if c.sigma > 0.0 {
        if (params.flags & 2u) != 0u {
            prev += c.sigma * z[i];
        }
        if (params.flags & 4u) != 0u {
            let n = i / params.vec4s;
            prev += c.sigma * noise_of(n, i - n * params.vec4s);
        }
    }
    if (params.flags & 8u) != 0u {
        x0_hat[i] = clean;
    }
    if (params.flags & 16u) != 0u {
        eps_hat[i] = eps;
    }
    if (params.flags & 1u) != 0u {
        x_t[i] = prev;
    } else {
        x_prev[i] = prev;
    }
}

// t = the step's timestep, for the network's time embedding.
@compute @workgroup_size(64)
fn set_t(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = tile_index(workgroup, workgroups) * 64u + lane;
    if n >= params.batch {
        return;
    }
    t[n] = u32(table[row()].timestep);
}

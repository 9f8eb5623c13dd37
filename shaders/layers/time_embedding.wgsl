// The sinusoidal embedding of a timestep, a row of a table: y[b] = table[t[b]].
struct Params {
    batch: u32,       // B
    rows: u32,        // T
    c4: u32,          // C / 4
    accumulate: u32,  // 1: add to the table's gradient
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> t: array<u32>;        // [B], without padding
@group(0) @binding(2) var<storage, read_write> table: array<vec4f>;  // [T, C] or its gradient
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;      // [B, C] or its gradient

fn row_of(b: u32) -> u32 {
    return min(t[b], params.rows - 1u);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.c4 {
        return;
    }
    let b = i / params.c4;
    y[i] = table[row_of(b) * params.c4 + i - b * params.c4];
}

// For a table that is learnt: a row's gradient is the sum over the samples that took it.
@compute @workgroup_size(64)
fn backward_table(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.rows * params.c4 {
        return;
    }
    let row = i / params.c4;
    let column = i - row * params.c4;
    var v = vec4f();
    if params.accumulate != 0u {
        v = table[i];
    }
    for (var b = 0u; b < params.batch; b++) {
        if row_of(b) == row {
            v += y[b * params.c4 + column];
        }
    }
    table[i] = v;
}

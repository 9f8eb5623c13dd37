// Sums over rows, in a fixed order: out[g, c] (+)= sum over r of a[g, r, c]. Serves the bias
// gradient (rows are pixels), the time embedding's (a group is a sample), and the parts of a
// weight gradient.
struct Params {
    groups: u32,      // G
    rows: u32,        // R, at most 32768
    columns: u32,     // C / 4
    accumulate: u32,  // 1: add to out
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<vec4f>;    // [G, R, C]
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;  // [G, C]

@compute @workgroup_size(64)
fn sum(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.groups * params.columns {
        return;
    }
    let group = i / params.columns;
    var at = group * params.rows * params.columns + i % params.columns;
    // Four partial sums keep the rounding error of long columns down.
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var r = 0u;
    for (; r + 4u <= params.rows; r += 4u) {
        s0 += a[at];
        s1 += a[at + params.columns];
        s2 += a[at + 2u * params.columns];
        s3 += a[at + 3u * params.columns];
        at += 4u * params.columns;
    }
    for (; r < params.rows; r++) {
        s0 += a[at];
        at += params.columns;
    }
    var total = (s0 + s1) + (s2 + s3);
    if params.accumulate != 0u {
        total += out[i];
    }
    out[i] = total;
}

// Many sums over rows in one dispatch, in a fixed order: out[c] += sum over r of source[r, c].
// Serves the gradients of biases, norms and of weights that are made in parts. A table says which
// tile works on which sum.
struct Params {
    sums: u32,   // entries of the table
    tiles: u32,  // tiles of all of them
    pad0: u32,
    pad1: u32,
}
struct Sum {
    first_tile: u32,  // of 64 columns each
    columns: u32,     // C / 4
    rows: u32,        // R, at most 131072
    stride: u32,      // from a row to the next, in vec4s
    source: u32,      // the first row, in vec4s
    to: u32,          // where the sums go, in vec4s
    pad0: u32,
    pad1: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> sums: array<Sum>;  // by first tile, ascending

@compute @workgroup_size(64)
fn sum(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    if tile >= params.tiles {
        return;
    }
    // The last sum that does not begin after this tile.
    var low = 0u;
    var high = params.sums;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if sums[middle].first_tile <= tile {
            low = middle;
        } else {
            high = middle;
        }
    }
    let job = sums[low];
    let column = (tile - job.first_tile) * 64u + lane;
    if column >= job.columns {
        return;
    }
    var at = job.source + column;
    // Four partial sums keep the rounding error of long columns down.
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var r = 0u;
    for (; r + 4u <= job.rows; r += 4u) {
        s0 += source[at];
        s1 += source[at + job.stride];
        s2 += source[at + 2u * job.stride];
        s3 += source[at + 3u * job.stride];
        at += 4u * job.stride;
    }
    for (; r < job.rows; r++) {
        s0 += source[at];
        at += job.stride;
    }
    out[job.to + column] += (s0 + s1) + (s2 + s3);
}

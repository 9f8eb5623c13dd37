// The product of `roofline`, with one operand spread by a subgroup. LANES, 8 or 4, is the number of lanes that share
// it; ROWS and COLUMNS4 are the tile of a thread. Loops over them are unrolled.
struct Params {
    rows: u32,          // of A and C
    columns4: u32,      // columns of B and C / 4
    depth4: u32,        // columns of A, rows of B / 4
    column_tiles: u32,  // tiles of columns
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<vec4f>;  // [rows, depth]
@group(0) @binding(2) var<storage, read_write> b: array<vec4f>;  // [depth, columns]
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;  // [rows, columns]

// How many of the columns come with one load: the lanes beyond the first four have those of the second.
const PAIR: u32 = LANES / 4u;

// C = A B. The lanes of a subgroup have the same columns, and each loads its part of B for all. Rows are a multiple of
// 64 tiles.
@compute @workgroup_size(64)
fn product(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * COLUMNS4;
    let row = (tile / params.column_tiles * 64u + lane) * ROWS;
    let n = params.columns4;
    let depth = params.depth4;
    let piece = (id & 3u) * n + column;
    let second = select((id >> 2u) & 1u, 0u, LANES == 4u);
    var sums: array<vec4f, ROWS * COLUMNS4>;
    for (var k = 0u; k < depth; k++) {
        var w: array<vec4f, COLUMNS4 * 4>;
        for (var j = 0u; j < COLUMNS4; j++) {
            let f = b[4u * k * n + piece + j / PAIR * PAIR + second];
            w[j * 4u] = subgroupBroadcast(f, j % PAIR * 4u);
            w[j * 4u + 1u] = subgroupBroadcast(f, j % PAIR * 4u + 1u);
            w[j * 4u + 2u] = subgroupBroadcast(f, j % PAIR * 4u + 2u);
            w[j * 4u + 3u] = subgroupBroadcast(f, j % PAIR * 4u + 3u);
        }
        for (var i = 0u; i < ROWS; i++) {
            let v = a[(row + i) * depth + k];
            for (var j = 0u; j < COLUMNS4; j++) {
                sums[i * COLUMNS4 + j] = mac(sums[i * COLUMNS4 + j], v, w[j * 4u], w[j * 4u + 1u], w[j * 4u + 2u], w[j * 4u + 3u]);
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        for (var j = 0u; j < COLUMNS4; j++) {
            c[(row + i) * n + column + j] = sums[i * COLUMNS4 + j];
        }
    }
}

// The same, one column of A at a time, with COLUMNS4 = 4: a short loop.
@compute @workgroup_size(64)
fn product_narrow(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * COLUMNS4;
    let row = (tile / params.column_tiles * 64u + lane) * ROWS;
    let n = params.columns4;
    let depth = params.depth4;
    let piece = column + (id & 3u);
    var sums: array<vec4f, ROWS * COLUMNS4>;
    for (var k = 0u; k < 4u * depth; k++) {
        let at = k / 4u;
        let h = k % 4u;
        let f = b[k * n + piece];
        var w: array<vec4f, COLUMNS4>;
        w[0u] = subgroupBroadcast(f, 0u);
        w[1u] = subgroupBroadcast(f, 1u);
        w[2u] = subgroupBroadcast(f, 2u);
        w[3u] = subgroupBroadcast(f, 3u);
        for (var i = 0u; i < ROWS; i++) {
            let v = vec4f(a[(row + i) * depth + at][h]);
            for (var j = 0u; j < COLUMNS4; j++) {
                sums[i * COLUMNS4 + j] = fma(w[j], v, sums[i * COLUMNS4 + j]);
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        for (var j = 0u; j < COLUMNS4; j++) {
            c[(row + i) * n + column + j] = sums[i * COLUMNS4 + j];
        }
    }
}

// What the device can do at most, as far as these kernels find out: products of matrices and copies.
// ROWS and COLUMNS4, the tile of a thread, are put before this source; loops over them are unrolled.
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

// C = A B. One thread makes a tile in registers; 64 lanes have the same columns. Rows are a multiple of 64 tiles.
@compute @workgroup_size(64)
fn product(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * COLUMNS4;
    let row = (tile / params.column_tiles * 64u + lane) * ROWS;
    let n = params.columns4;
    let depth = params.depth4;
    var sums: array<vec4f, ROWS * COLUMNS4>;
    for (var k = 0u; k < depth; k++) {
        var w: array<vec4f, COLUMNS4 * 4>;
        for (var j = 0u; j < COLUMNS4; j++) {
            for (var r = 0u; r < 4u; r++) {
                w[j * 4u + r] = b[(4u * k + r) * n + column + j];
            }
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

var<workgroup> shared_a: array<vec4f, 16 * ROWS>;      // 8 * ROWS rows, 8 deep
var<workgroup> shared_b: array<vec4f, 64 * COLUMNS4>;  // 8 deep, 32 * COLUMNS4 columns

// The same through workgroup memory: a workgroup makes 8 by 8 tiles, with ROWS = 8 and COLUMNS4 = 2. The depth is a
// multiple of 8.
@compute @workgroup_size(64)
fn product_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let n = params.columns4;
    let depth = params.depth4;
    let first_row = tile / params.column_tiles * 64u;
    let first_column = tile % params.column_tiles * 16u;
    let mine = lane / 8u * ROWS;
    let own = lane % 8u * COLUMNS4;
    var sums: array<vec4f, ROWS * COLUMNS4>;
    for (var k = 0u; k < depth; k += 2u) {
        workgroupBarrier();
        shared_a[lane] = a[(first_row + lane) * depth + k];
        shared_a[lane + 64u] = a[(first_row + lane) * depth + k + 1u];
        let line = lane / 16u;
        shared_b[lane] = b[(4u * k + line) * n + first_column + lane % 16u];
        shared_b[lane + 64u] = b[(4u * k + line + 4u) * n + first_column + lane % 16u];
        workgroupBarrier();
        for (var h = 0u; h < 128u; h += 64u) {
            var w: array<vec4f, COLUMNS4 * 4>;
            for (var j = 0u; j < COLUMNS4; j++) {
                for (var r = 0u; r < 4u; r++) {
                    w[j * 4u + r] = shared_b[h + own + 16u * r + j];
                }
            }
            for (var i = 0u; i < ROWS; i++) {
                let v = shared_a[h + mine + i];
                for (var j = 0u; j < COLUMNS4; j++) {
                    sums[i * COLUMNS4 + j] = mac(sums[i * COLUMNS4 + j], v, w[j * 4u], w[j * 4u + 1u], w[j * 4u + 2u], w[j * 4u + 3u]);
                }
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        for (var j = 0u; j < COLUMNS4; j++) {
            c[(first_row + mine + i) * n + first_column + own + j] = sums[i * COLUMNS4 + j];
        }
    }
}

// c = a: a thread moves 8 vec4s, 64 apart. `rows` is the number of vec4s, a multiple of 512.
@compute @workgroup_size(64)
fn copy(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = tile_index(workgroup, workgroups) * 512u + lane;
    if at >= params.rows {
        return;
    }
    for (var i = 0u; i < 8u; i++) {
        c[at + 64u * i] = a[at + 64u * i];
    }
}

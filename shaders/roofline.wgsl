// What the device can do at most, as far as these kernels find out: products of matrices and copies.
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

// acc + v.x * w0 + v.y * w1 + v.z * w2 + v.w * w3
fn mac(acc: vec4f, v: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return fma(w3, vec4f(v.w), fma(w2, vec4f(v.z), fma(w1, vec4f(v.y), fma(w0, vec4f(v.x), acc))));
}

// C = A B. One thread makes 8 rows by 8 columns in registers; 64 lanes have the same columns. Rows are a multiple of
// 512, columns of 8.
@compute @workgroup_size(64)
fn product(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let row = (tile / params.column_tiles * 64u + lane) * 8u;
    let n = params.columns4;
    let depth = params.depth4;
    var p0 = vec4f();
    var q0 = vec4f();
    var p1 = vec4f();
    var q1 = vec4f();
    var p2 = vec4f();
    var q2 = vec4f();
    var p3 = vec4f();
    var q3 = vec4f();
    var p4 = vec4f();
    var q4 = vec4f();
    var p5 = vec4f();
    var q5 = vec4f();
    var p6 = vec4f();
    var q6 = vec4f();
    var p7 = vec4f();
    var q7 = vec4f();
    for (var k = 0u; k < depth; k++) {
        let w = 4u * k * n + column;
        let w0 = b[w + 0u * n];
        let x0 = b[w + 0u * n + 1u];
        let w1 = b[w + 1u * n];
        let x1 = b[w + 1u * n + 1u];
        let w2 = b[w + 2u * n];
        let x2 = b[w + 2u * n + 1u];
        let w3 = b[w + 3u * n];
        let x3 = b[w + 3u * n + 1u];
        var v = vec4f();
        v = a[(row + 0u) * depth + k];
        p0 = mac(p0, v, w0, w1, w2, w3);
        q0 = mac(q0, v, x0, x1, x2, x3);
        v = a[(row + 1u) * depth + k];
        p1 = mac(p1, v, w0, w1, w2, w3);
        q1 = mac(q1, v, x0, x1, x2, x3);
        v = a[(row + 2u) * depth + k];
        p2 = mac(p2, v, w0, w1, w2, w3);
        q2 = mac(q2, v, x0, x1, x2, x3);
        v = a[(row + 3u) * depth + k];
        p3 = mac(p3, v, w0, w1, w2, w3);
        q3 = mac(q3, v, x0, x1, x2, x3);
        v = a[(row + 4u) * depth + k];
        p4 = mac(p4, v, w0, w1, w2, w3);
        q4 = mac(q4, v, x0, x1, x2, x3);
        v = a[(row + 5u) * depth + k];
        p5 = mac(p5, v, w0, w1, w2, w3);
        q5 = mac(q5, v, x0, x1, x2, x3);
        v = a[(row + 6u) * depth + k];
        p6 = mac(p6, v, w0, w1, w2, w3);
        q6 = mac(q6, v, x0, x1, x2, x3);
        v = a[(row + 7u) * depth + k];
        p7 = mac(p7, v, w0, w1, w2, w3);
        q7 = mac(q7, v, x0, x1, x2, x3);
    }
    c[(row + 0u) * n + column] = p0;
    c[(row + 0u) * n + column + 1u] = q0;
    c[(row + 1u) * n + column] = p1;
    c[(row + 1u) * n + column + 1u] = q1;
    c[(row + 2u) * n + column] = p2;
    c[(row + 2u) * n + column + 1u] = q2;
    c[(row + 3u) * n + column] = p3;
    c[(row + 3u) * n + column + 1u] = q3;
    c[(row + 4u) * n + column] = p4;
    c[(row + 4u) * n + column + 1u] = q4;
    c[(row + 5u) * n + column] = p5;
    c[(row + 5u) * n + column + 1u] = q5;
    c[(row + 6u) * n + column] = p6;
    c[(row + 6u) * n + column + 1u] = q6;
    c[(row + 7u) * n + column] = p7;
    c[(row + 7u) * n + column + 1u] = q7;
}

var<workgroup> shared_a: array<vec4f, 128>;  // 64 rows, 8 deep
var<workgroup> shared_b: array<vec4f, 128>;  // 8 deep, 64 columns

// The same through workgroup memory: a workgroup makes 64 by 64. Rows and columns are multiples of 64, the depth of 8.
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
    let mine = lane / 8u * 8u;
    let own = lane % 8u * 2u;
    var p0 = vec4f();
    var q0 = vec4f();
    var p1 = vec4f();
    var q1 = vec4f();
    var p2 = vec4f();
    var q2 = vec4f();
    var p3 = vec4f();
    var q3 = vec4f();
    var p4 = vec4f();
    var q4 = vec4f();
    var p5 = vec4f();
    var q5 = vec4f();
    var p6 = vec4f();
    var q6 = vec4f();
    var p7 = vec4f();
    var q7 = vec4f();
    for (var k = 0u; k < depth; k += 2u) {
        workgroupBarrier();
        shared_a[lane] = a[(first_row + lane) * depth + k];
        shared_a[lane + 64u] = a[(first_row + lane) * depth + k + 1u];
        let line = lane / 16u;
        shared_b[lane] = b[(4u * k + line) * n + first_column + lane % 16u];
        shared_b[lane + 64u] = b[(4u * k + line + 4u) * n + first_column + lane % 16u];
        workgroupBarrier();
        for (var h = 0u; h < 2u; h++) {
            let w = 64u * h + own;
            let w0 = shared_b[w + 0u];
            let x0 = shared_b[w + 1u];
            let w1 = shared_b[w + 16u];
            let x1 = shared_b[w + 17u];
            let w2 = shared_b[w + 32u];
            let x2 = shared_b[w + 33u];
            let w3 = shared_b[w + 48u];
            let x3 = shared_b[w + 49u];
            let v = 64u * h + mine;
            var u = vec4f();
            u = shared_a[v + 0u];
            p0 = mac(p0, u, w0, w1, w2, w3);
            q0 = mac(q0, u, x0, x1, x2, x3);
            u = shared_a[v + 1u];
            p1 = mac(p1, u, w0, w1, w2, w3);
            q1 = mac(q1, u, x0, x1, x2, x3);
            u = shared_a[v + 2u];
            p2 = mac(p2, u, w0, w1, w2, w3);
            q2 = mac(q2, u, x0, x1, x2, x3);
            u = shared_a[v + 3u];
            p3 = mac(p3, u, w0, w1, w2, w3);
            q3 = mac(q3, u, x0, x1, x2, x3);
            u = shared_a[v + 4u];
            p4 = mac(p4, u, w0, w1, w2, w3);
            q4 = mac(q4, u, x0, x1, x2, x3);
            u = shared_a[v + 5u];
            p5 = mac(p5, u, w0, w1, w2, w3);
            q5 = mac(q5, u, x0, x1, x2, x3);
            u = shared_a[v + 6u];
            p6 = mac(p6, u, w0, w1, w2, w3);
            q6 = mac(q6, u, x0, x1, x2, x3);
            u = shared_a[v + 7u];
            p7 = mac(p7, u, w0, w1, w2, w3);
            q7 = mac(q7, u, x0, x1, x2, x3);
        }
    }
    let row = first_row + mine;
    let column = first_column + own;
    c[(row + 0u) * n + column] = p0;
    c[(row + 0u) * n + column + 1u] = q0;
    c[(row + 1u) * n + column] = p1;
    c[(row + 1u) * n + column + 1u] = q1;
    c[(row + 2u) * n + column] = p2;
    c[(row + 2u) * n + column + 1u] = q2;
    c[(row + 3u) * n + column] = p3;
    c[(row + 3u) * n + column + 1u] = q3;
    c[(row + 4u) * n + column] = p4;
    c[(row + 4u) * n + column + 1u] = q4;
    c[(row + 5u) * n + column] = p5;
    c[(row + 5u) * n + column + 1u] = q5;
    c[(row + 6u) * n + column] = p6;
    c[(row + 6u) * n + column + 1u] = q6;
    c[(row + 7u) * n + column] = p7;
    c[(row + 7u) * n + column + 1u] = q7;
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
    c[at + 0u] = a[at + 0u];
    c[at + 64u] = a[at + 64u];
    c[at + 128u] = a[at + 128u];
    c[at + 192u] = a[at + 192u];
    c[at + 256u] = a[at + 256u];
    c[at + 320u] = a[at + 320u];
    c[at + 384u] = a[at + 384u];
    c[at + 448u] = a[at + 448u];
}

// The product of `roofline`, with one operand spread by a subgroup.
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

// The lane that holds the first row of the second column.
const FIRST: u32 = select(0u, 4u, LANES == 8u);

// C = A B. One thread makes 8 rows by 8 columns in registers; the lanes of a subgroup have the same columns, and each
// loads its part of B for all. LANES is 8, or 4 where subgroups are smaller. Rows are a multiple of 512, columns of 8.
@compute @workgroup_size(64)
fn product(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let row = (tile / params.column_tiles * 64u + lane) * 8u;
    let n = params.columns4;
    let depth = params.depth4;
    let line = (id & 3u) * n + column;
    let first = line + select((id >> 2u) & 1u, 0u, LANES == 4u);
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
        let w = 4u * k * n;
        let f = b[w + first];
        let g = select(f, b[w + line + 1u], LANES == 4u);
        let w0 = subgroupBroadcast(f, 0u);
        let w1 = subgroupBroadcast(f, 1u);
        let w2 = subgroupBroadcast(f, 2u);
        let w3 = subgroupBroadcast(f, 3u);
        let x0 = subgroupBroadcast(g, FIRST + 0u);
        let x1 = subgroupBroadcast(g, FIRST + 1u);
        let x2 = subgroupBroadcast(g, FIRST + 2u);
        let x3 = subgroupBroadcast(g, FIRST + 3u);
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

// The same with 8 rows by 16 columns a thread.
@compute @workgroup_size(64)
fn product_wide(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 4u;
    let row = (tile / params.column_tiles * 64u + lane) * 8u;
    let n = params.columns4;
    let depth = params.depth4;
    let line = (id & 3u) * n + column;
    let first = line + select((id >> 2u) & 1u, 0u, LANES == 4u);
    var p0 = vec4f();
    var q0 = vec4f();
    var r0 = vec4f();
    var s0 = vec4f();
    var p1 = vec4f();
    var q1 = vec4f();
    var r1 = vec4f();
    var s1 = vec4f();
    var p2 = vec4f();
    var q2 = vec4f();
    var r2 = vec4f();
    var s2 = vec4f();
    var p3 = vec4f();
    var q3 = vec4f();
    var r3 = vec4f();
    var s3 = vec4f();
    var p4 = vec4f();
    var q4 = vec4f();
    var r4 = vec4f();
    var s4 = vec4f();
    var p5 = vec4f();
    var q5 = vec4f();
    var r5 = vec4f();
    var s5 = vec4f();
    var p6 = vec4f();
    var q6 = vec4f();
    var r6 = vec4f();
    var s6 = vec4f();
    var p7 = vec4f();
    var q7 = vec4f();
    var r7 = vec4f();
    var s7 = vec4f();
    for (var k = 0u; k < depth; k++) {
        let w = 4u * k * n;
        let f = b[w + first];
        let g = select(f, b[w + line + 1u], LANES == 4u);
        let h = b[w + first + 2u];
        let e = select(h, b[w + line + 3u], LANES == 4u);
        let w0 = subgroupBroadcast(f, 0u);
        let w1 = subgroupBroadcast(f, 1u);
        let w2 = subgroupBroadcast(f, 2u);
        let w3 = subgroupBroadcast(f, 3u);
        let x0 = subgroupBroadcast(g, FIRST + 0u);
        let x1 = subgroupBroadcast(g, FIRST + 1u);
        let x2 = subgroupBroadcast(g, FIRST + 2u);
        let x3 = subgroupBroadcast(g, FIRST + 3u);
        let y0 = subgroupBroadcast(h, 0u);
        let y1 = subgroupBroadcast(h, 1u);
        let y2 = subgroupBroadcast(h, 2u);
        let y3 = subgroupBroadcast(h, 3u);
        let z0 = subgroupBroadcast(e, FIRST + 0u);
        let z1 = subgroupBroadcast(e, FIRST + 1u);
        let z2 = subgroupBroadcast(e, FIRST + 2u);
        let z3 = subgroupBroadcast(e, FIRST + 3u);
        var v = vec4f();
        v = a[(row + 0u) * depth + k];
        p0 = mac(p0, v, w0, w1, w2, w3);
        q0 = mac(q0, v, x0, x1, x2, x3);
        r0 = mac(r0, v, y0, y1, y2, y3);
        s0 = mac(s0, v, z0, z1, z2, z3);
        v = a[(row + 1u) * depth + k];
        p1 = mac(p1, v, w0, w1, w2, w3);
        q1 = mac(q1, v, x0, x1, x2, x3);
        r1 = mac(r1, v, y0, y1, y2, y3);
        s1 = mac(s1, v, z0, z1, z2, z3);
        v = a[(row + 2u) * depth + k];
        p2 = mac(p2, v, w0, w1, w2, w3);
        q2 = mac(q2, v, x0, x1, x2, x3);
        r2 = mac(r2, v, y0, y1, y2, y3);
        s2 = mac(s2, v, z0, z1, z2, z3);
        v = a[(row + 3u) * depth + k];
        p3 = mac(p3, v, w0, w1, w2, w3);
        q3 = mac(q3, v, x0, x1, x2, x3);
        r3 = mac(r3, v, y0, y1, y2, y3);
        s3 = mac(s3, v, z0, z1, z2, z3);
        v = a[(row + 4u) * depth + k];
        p4 = mac(p4, v, w0, w1, w2, w3);
        q4 = mac(q4, v, x0, x1, x2, x3);
        r4 = mac(r4, v, y0, y1, y2, y3);
        s4 = mac(s4, v, z0, z1, z2, z3);
        v = a[(row + 5u) * depth + k];
        p5 = mac(p5, v, w0, w1, w2, w3);
        q5 = mac(q5, v, x0, x1, x2, x3);
        r5 = mac(r5, v, y0, y1, y2, y3);
        s5 = mac(s5, v, z0, z1, z2, z3);
        v = a[(row + 6u) * depth + k];
        p6 = mac(p6, v, w0, w1, w2, w3);
        q6 = mac(q6, v, x0, x1, x2, x3);
        r6 = mac(r6, v, y0, y1, y2, y3);
        s6 = mac(s6, v, z0, z1, z2, z3);
        v = a[(row + 7u) * depth + k];
        p7 = mac(p7, v, w0, w1, w2, w3);
        q7 = mac(q7, v, x0, x1, x2, x3);
        r7 = mac(r7, v, y0, y1, y2, y3);
        s7 = mac(s7, v, z0, z1, z2, z3);
    }
    c[(row + 0u) * n + column + 0u] = p0;
    c[(row + 0u) * n + column + 1u] = q0;
    c[(row + 0u) * n + column + 2u] = r0;
    c[(row + 0u) * n + column + 3u] = s0;
    c[(row + 1u) * n + column + 0u] = p1;
    c[(row + 1u) * n + column + 1u] = q1;
    c[(row + 1u) * n + column + 2u] = r1;
    c[(row + 1u) * n + column + 3u] = s1;
    c[(row + 2u) * n + column + 0u] = p2;
    c[(row + 2u) * n + column + 1u] = q2;
    c[(row + 2u) * n + column + 2u] = r2;
    c[(row + 2u) * n + column + 3u] = s2;
    c[(row + 3u) * n + column + 0u] = p3;
    c[(row + 3u) * n + column + 1u] = q3;
    c[(row + 3u) * n + column + 2u] = r3;
    c[(row + 3u) * n + column + 3u] = s3;
    c[(row + 4u) * n + column + 0u] = p4;
    c[(row + 4u) * n + column + 1u] = q4;
    c[(row + 4u) * n + column + 2u] = r4;
    c[(row + 4u) * n + column + 3u] = s4;
    c[(row + 5u) * n + column + 0u] = p5;
    c[(row + 5u) * n + column + 1u] = q5;
    c[(row + 5u) * n + column + 2u] = r5;
    c[(row + 5u) * n + column + 3u] = s5;
    c[(row + 6u) * n + column + 0u] = p6;
    c[(row + 6u) * n + column + 1u] = q6;
    c[(row + 6u) * n + column + 2u] = r6;
    c[(row + 6u) * n + column + 3u] = s6;
    c[(row + 7u) * n + column + 0u] = p7;
    c[(row + 7u) * n + column + 1u] = q7;
    c[(row + 7u) * n + column + 2u] = r7;
    c[(row + 7u) * n + column + 3u] = s7;
}

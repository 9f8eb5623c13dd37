// 1x1 convolution, channels last. Written by scripts/make_convolutions.py.
// It takes one channel of the input at a time, for compilers that do badly with long loops, and
// subgroups of 4 lanes or more, of which 4 share what all of them need.
//
// Loops are kept under 32768 turns a thread: some drivers stop a shader's loops at 65535.
struct Params {
    batch: u32,        // B
    in_h: u32,         // H
    in_w: u32,         // W
    in_c4: u32,        // input channels / 4
    out_h: u32,
    out_w: u32,
    out_c4: u32,       // output channels / 4
    kernel: u32,
    stride: u32,
    pad: u32,
    rows: u32,         // strips of 8 pixels: B * H * strips; without strips, pixels
    column_tiles: u32, // tiles of channels
    flags: u32,        // 1 bias, 2 sample, 4 residual, 8 accumulate, 16 accumulate in sample,
                       // 32 sums of dy a part
    splits: u32,       // backward_weight: parts of the batch
    split_images: u32, // images a part
    strips: u32,       // strips a line: W / STRIP, rounded up
    sample_c4: u32,    // columns of `sample`
    sample_first: u32, // the first of them that is added or written here
    sum_rows: u32,     // backward_weight: rows of sums of dy, or 0
    sum_pixels: u32,   // pixels in each of them: one image or several
    first_c4: u32,     // 1x1: columns of x that lie together; the others, if any, are another tensor's,
    second: u32,       // which starts here (see Planes in src/nn/tensor.rs)
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;         // [B, H, W, Cin] or its gradient
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;    // [3, 3, Cin, Cout] or its gradient, [splits, ...]
@group(0) @binding(3) var<storage, read_write> bias: array<vec4f>;      // [Cout]; backward_weight: sums of dy, [sum_rows or splits, Cout]
@group(0) @binding(4) var<storage, read_write> sample: array<vec4f>;    // [B, sample_c4], added to every pixel, or its gradient
@group(0) @binding(5) var<storage, read_write> residual: array<vec4f>;  // [B, H, W, Cout], added
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;         // [B, H, W, Cout] or its gradient

fn store(acc: vec4f, row: u32, column: u32) {
    if column >= params.out_c4 {
        return;
    }
    var v = acc;
    let at = row * params.out_c4 + column;
    if (params.flags & 1u) != 0u {
        v += bias[column];
    }
    if (params.flags & 2u) != 0u {
        v += sample[row / (params.out_h * params.out_w) * params.sample_c4 + params.sample_first + column];
    }
    if (params.flags & 4u) != 0u {
        v += residual[at];
    }
    if (params.flags & 8u) != 0u {
        v += y[at];
    }
    y[at] = v;
}

fn store_input(acc: vec4f, row: u32, column: u32) {
    if column >= params.in_c4 {
        return;
    }
    let other = column >= params.first_c4;
    let elsewhere = params.second + row * (params.in_c4 - params.first_c4) + column - params.first_c4;
    let at = select(row * params.first_c4 + column, elsewhere, other);
    x[at] = select(acc, acc + x[at], (params.flags & 8u) != 0u);
}

// y = bias + sample + residual + sum over input channels of x * weight.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 4u;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let row = (tile / params.column_tiles * 64u + lane) * 8u;
    let last = params.rows - 1u;
    let depth = params.in_c4;
    var p0 = min(row + 0u, last) * params.first_c4;
    var p1 = min(row + 1u, last) * params.first_c4;
    var p2 = min(row + 2u, last) * params.first_c4;
    var p3 = min(row + 3u, last) * params.first_c4;
    var p4 = min(row + 4u, last) * params.first_c4;
    var p5 = min(row + 5u, last) * params.first_c4;
    var p6 = min(row + 6u, last) * params.first_c4;
    var p7 = min(row + 7u, last) * params.first_c4;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
    var c4 = vec4f(); var c5 = vec4f(); var c6 = vec4f(); var c7 = vec4f();
    var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f();
    var d4 = vec4f(); var d5 = vec4f(); var d6 = vec4f(); var d7 = vec4f();
    let co = params.out_c4;
    // What this lane loads of the weights; columns that overhang are read from the last valid one
    // and not stored.
    let piece = (min(column + (id & 3u), params.out_c4 - 1u) - column);
    let tap0 = column;
    for (var k = 0u; k < 4u * depth; k++) {
        let c = k / 4u;
        let h = k % 4u;
        if k == 4u * params.first_c4 {
            let rest = depth - params.first_c4;
            let start = params.second - params.first_c4;
            p0 = start + min(row + 0u, last) * rest;
            p1 = start + min(row + 1u, last) * rest;
            p2 = start + min(row + 2u, last) * rest;
            p3 = start + min(row + 3u, last) * rest;
            p4 = start + min(row + 4u, last) * rest;
            p5 = start + min(row + 5u, last) * rest;
            p6 = start + min(row + 6u, last) * rest;
            p7 = start + min(row + 7u, last) * rest;
        }
        let f0 = weight[tap0 + (4u * c + h) * co + piece];
        let w0a = subgroupBroadcast(f0, 0u);
        let w0b = subgroupBroadcast(f0, 1u);
        let w0c = subgroupBroadcast(f0, 2u);
        let w0d = subgroupBroadcast(f0, 3u);
        let v0 = vec4f(x[p0 + c][h]);
        a0 = fma(w0a, v0, a0);
        b0 = fma(w0b, v0, b0);
        c0 = fma(w0c, v0, c0);
        d0 = fma(w0d, v0, d0);
        let v1 = vec4f(x[p1 + c][h]);
        a1 = fma(w0a, v1, a1);
        b1 = fma(w0b, v1, b1);
        c1 = fma(w0c, v1, c1);
        d1 = fma(w0d, v1, d1);
        let v2 = vec4f(x[p2 + c][h]);
        a2 = fma(w0a, v2, a2);
        b2 = fma(w0b, v2, b2);
        c2 = fma(w0c, v2, c2);
        d2 = fma(w0d, v2, d2);
        let v3 = vec4f(x[p3 + c][h]);
        a3 = fma(w0a, v3, a3);
        b3 = fma(w0b, v3, b3);
        c3 = fma(w0c, v3, c3);
        d3 = fma(w0d, v3, d3);
        let v4 = vec4f(x[p4 + c][h]);
        a4 = fma(w0a, v4, a4);
        b4 = fma(w0b, v4, b4);
        c4 = fma(w0c, v4, c4);
        d4 = fma(w0d, v4, d4);
        let v5 = vec4f(x[p5 + c][h]);
        a5 = fma(w0a, v5, a5);
        b5 = fma(w0b, v5, b5);
        c5 = fma(w0c, v5, c5);
        d5 = fma(w0d, v5, d5);
        let v6 = vec4f(x[p6 + c][h]);
        a6 = fma(w0a, v6, a6);
        b6 = fma(w0b, v6, b6);
        c6 = fma(w0c, v6, c6);
        d6 = fma(w0d, v6, d6);
        let v7 = vec4f(x[p7 + c][h]);
        a7 = fma(w0a, v7, a7);
        b7 = fma(w0b, v7, b7);
        c7 = fma(w0c, v7, c7);
        d7 = fma(w0d, v7, d7);
    }
    if row + 0u < params.rows {
        store(a0, row + 0u, column + 0u);
        store(b0, row + 0u, column + 1u);
        store(c0, row + 0u, column + 2u);
        store(d0, row + 0u, column + 3u);
    }
    if row + 1u < params.rows {
        store(a1, row + 1u, column + 0u);
        store(b1, row + 1u, column + 1u);
        store(c1, row + 1u, column + 2u);
        store(d1, row + 1u, column + 3u);
    }
    if row + 2u < params.rows {
        store(a2, row + 2u, column + 0u);
        store(b2, row + 2u, column + 1u);
        store(c2, row + 2u, column + 2u);
        store(d2, row + 2u, column + 3u);
    }
    if row + 3u < params.rows {
        store(a3, row + 3u, column + 0u);
        store(b3, row + 3u, column + 1u);
        store(c3, row + 3u, column + 2u);
        store(d3, row + 3u, column + 3u);
    }
    if row + 4u < params.rows {
        store(a4, row + 4u, column + 0u);
        store(b4, row + 4u, column + 1u);
        store(c4, row + 4u, column + 2u);
        store(d4, row + 4u, column + 3u);
    }
    if row + 5u < params.rows {
        store(a5, row + 5u, column + 0u);
        store(b5, row + 5u, column + 1u);
        store(c5, row + 5u, column + 2u);
        store(d5, row + 5u, column + 3u);
    }
    if row + 6u < params.rows {
        store(a6, row + 6u, column + 0u);
        store(b6, row + 6u, column + 1u);
        store(c6, row + 6u, column + 2u);
        store(d6, row + 6u, column + 3u);
    }
    if row + 7u < params.rows {
        store(a7, row + 7u, column + 0u);
        store(b7, row + 7u, column + 1u);
        store(c7, row + 7u, column + 2u);
        store(d7, row + 7u, column + 3u);
    }
}

// dx (+)= sum over output channels of dy * weight.
@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 4u;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let row = (tile / params.column_tiles * 64u + lane) * 8u;
    let last = params.rows - 1u;
    let depth = params.out_c4;
    let p0 = min(row + 0u, last) * depth;
    let p1 = min(row + 1u, last) * depth;
    let p2 = min(row + 2u, last) * depth;
    let p3 = min(row + 3u, last) * depth;
    let p4 = min(row + 4u, last) * depth;
    let p5 = min(row + 5u, last) * depth;
    let p6 = min(row + 6u, last) * depth;
    let p7 = min(row + 7u, last) * depth;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
    var c4 = vec4f(); var c5 = vec4f(); var c6 = vec4f(); var c7 = vec4f();
    var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f();
    var d4 = vec4f(); var d5 = vec4f(); var d6 = vec4f(); var d7 = vec4f();
    let co = params.out_c4;
    // What this lane loads of the weights; columns that overhang are read from the last valid one
    // and not stored.
    let piece = 4u * co * (min(column + (id & 3u), params.in_c4 - 1u) - column);
    let tap0 = column * 4u * co;
    for (var k = 0u; k < 4u * depth; k++) {
        let c = k / 4u;
        let h = k % 4u;
        let at0 = tap0 + c + piece;
        let f0 = vec4f(weight[at0][h], weight[at0 + co][h], weight[at0 + 2u * co][h], weight[at0 + 3u * co][h]);
        let w0a = subgroupBroadcast(f0, 0u);
        let w0b = subgroupBroadcast(f0, 1u);
        let w0c = subgroupBroadcast(f0, 2u);
        let w0d = subgroupBroadcast(f0, 3u);
        let v0 = vec4f(y[p0 + c][h]);
        a0 = fma(w0a, v0, a0);
        b0 = fma(w0b, v0, b0);
        c0 = fma(w0c, v0, c0);
        d0 = fma(w0d, v0, d0);
        let v1 = vec4f(y[p1 + c][h]);
        a1 = fma(w0a, v1, a1);
        b1 = fma(w0b, v1, b1);
        c1 = fma(w0c, v1, c1);
        d1 = fma(w0d, v1, d1);
        let v2 = vec4f(y[p2 + c][h]);
        a2 = fma(w0a, v2, a2);
        b2 = fma(w0b, v2, b2);
        c2 = fma(w0c, v2, c2);
        d2 = fma(w0d, v2, d2);
        let v3 = vec4f(y[p3 + c][h]);
        a3 = fma(w0a, v3, a3);
        b3 = fma(w0b, v3, b3);
        c3 = fma(w0c, v3, c3);
        d3 = fma(w0d, v3, d3);
        let v4 = vec4f(y[p4 + c][h]);
        a4 = fma(w0a, v4, a4);
        b4 = fma(w0b, v4, b4);
        c4 = fma(w0c, v4, c4);
        d4 = fma(w0d, v4, d4);
        let v5 = vec4f(y[p5 + c][h]);
        a5 = fma(w0a, v5, a5);
        b5 = fma(w0b, v5, b5);
        c5 = fma(w0c, v5, c5);
        d5 = fma(w0d, v5, d5);
        let v6 = vec4f(y[p6 + c][h]);
        a6 = fma(w0a, v6, a6);
        b6 = fma(w0b, v6, b6);
        c6 = fma(w0c, v6, c6);
        d6 = fma(w0d, v6, d6);
        let v7 = vec4f(y[p7 + c][h]);
        a7 = fma(w0a, v7, a7);
        b7 = fma(w0b, v7, b7);
        c7 = fma(w0c, v7, c7);
        d7 = fma(w0d, v7, d7);
    }
    if row + 0u < params.rows {
        store_input(a0, row + 0u, column + 0u);
        store_input(b0, row + 0u, column + 1u);
        store_input(c0, row + 0u, column + 2u);
        store_input(d0, row + 0u, column + 3u);
    }
    if row + 1u < params.rows {
        store_input(a1, row + 1u, column + 0u);
        store_input(b1, row + 1u, column + 1u);
        store_input(c1, row + 1u, column + 2u);
        store_input(d1, row + 1u, column + 3u);
    }
    if row + 2u < params.rows {
        store_input(a2, row + 2u, column + 0u);
        store_input(b2, row + 2u, column + 1u);
        store_input(c2, row + 2u, column + 2u);
        store_input(d2, row + 2u, column + 3u);
    }
    if row + 3u < params.rows {
        store_input(a3, row + 3u, column + 0u);
        store_input(b3, row + 3u, column + 1u);
        store_input(c3, row + 3u, column + 2u);
        store_input(d3, row + 3u, column + 3u);
    }
    if row + 4u < params.rows {
        store_input(a4, row + 4u, column + 0u);
        store_input(b4, row + 4u, column + 1u);
        store_input(c4, row + 4u, column + 2u);
        store_input(d4, row + 4u, column + 3u);
    }
    if row + 5u < params.rows {
        store_input(a5, row + 5u, column + 0u);
        store_input(b5, row + 5u, column + 1u);
        store_input(c5, row + 5u, column + 2u);
        store_input(d5, row + 5u, column + 3u);
    }
    if row + 6u < params.rows {
        store_input(a6, row + 6u, column + 0u);
        store_input(b6, row + 6u, column + 1u);
        store_input(c6, row + 6u, column + 2u);
        store_input(d6, row + 6u, column + 3u);
    }
    if row + 7u < params.rows {
        store_input(a7, row + 7u, column + 0u);
        store_input(b7, row + 7u, column + 1u);
        store_input(c7, row + 7u, column + 2u);
        store_input(d7, row + 7u, column + 3u);
    }
}

// 3x3 convolution with stride 1 and padding 1, channels last. Written by scripts/make_convolutions.py.
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
    let at = row * params.in_c4 + column;
    x[at] = select(acc, acc + x[at], (params.flags & 8u) != 0u);
}

fn store_weight(acc: vec4f, at: u32, column: u32) {
    if column >= params.out_c4 {
        return;
    }
    weight[at] = select(acc, acc + weight[at], (params.flags & 8u) != 0u);
}

fn store_sum(sum: vec4f, first: u32, column: u32) {
    if column >= params.out_c4 {
        return;
    }
    bias[first + column] = sum;
}

// y = bias + sample + residual + sum over taps and input channels of x * weight.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 4u;
    let index = tile / params.column_tiles * 64u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let line = strip / params.strips;
    let px = (strip - line * params.strips) * 4u;
    let image = line / params.in_h;
    let py = i32(line - image * params.in_h);
    let depth = params.in_c4;
    let width = i32(params.in_w);
    // The window: 6 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let col1 = i32(px) + 0;
    let col2 = i32(px) + 1;
    let col3 = i32(px) + 2;
    let col4 = i32(px) + 3;
    let col5 = i32(px) + 4;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let real1 = col1 >= 0 && col1 < width;
    let real2 = col2 >= 0 && col2 < width;
    let real3 = col3 >= 0 && col3 < width;
    let real4 = col4 >= 0 && col4 < width;
    let real5 = col5 >= 0 && col5 < width;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
    var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f();
    let co = params.out_c4;
    // What this lane loads of the weights; columns that overhang are read from the last valid one
    // and not stored.
    let piece = (min(column + (id & 3u), params.out_c4 - 1u) - column);
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + ky - 1;
        let inside = sy >= 0 && sy < i32(params.in_h);
        let start = (image * params.in_h + u32(select(py, sy, inside))) * params.in_w * depth;
        let m0 = inside && real0;
        let m1 = inside && real1;
        let m2 = inside && real2;
        let m3 = inside && real3;
        let m4 = inside && real4;
        let m5 = inside && real5;
        let tap0 = u32(ky) * 3u * params.in_c4 * 4u * co + column;
        let tap1 = tap0 + params.in_c4 * 4u * co;
        let tap2 = tap1 + params.in_c4 * 4u * co;
        for (var k = 0u; k < 4u * depth; k++) {
            let c = k / 4u;
            let h = k % 4u;
            let v0 = vec4f(select(0.0, x[start + off0 + c][h], m0));
            let v1 = vec4f(select(0.0, x[start + off1 + c][h], m1));
            let v2 = vec4f(select(0.0, x[start + off2 + c][h], m2));
            let v3 = vec4f(select(0.0, x[start + off3 + c][h], m3));
            let v4 = vec4f(select(0.0, x[start + off4 + c][h], m4));
            let v5 = vec4f(select(0.0, x[start + off5 + c][h], m5));
            let f0 = weight[tap0 + (4u * c + h) * co + piece];
            let w0a = subgroupBroadcast(f0, 0u);
            let w0b = subgroupBroadcast(f0, 1u);
            let w0c = subgroupBroadcast(f0, 2u);
            let w0d = subgroupBroadcast(f0, 3u);
            let f1 = weight[tap1 + (4u * c + h) * co + piece];
            let w1a = subgroupBroadcast(f1, 0u);
            let w1b = subgroupBroadcast(f1, 1u);
            let w1c = subgroupBroadcast(f1, 2u);
            let w1d = subgroupBroadcast(f1, 3u);
            let f2 = weight[tap2 + (4u * c + h) * co + piece];
            let w2a = subgroupBroadcast(f2, 0u);
            let w2b = subgroupBroadcast(f2, 1u);
            let w2c = subgroupBroadcast(f2, 2u);
            let w2d = subgroupBroadcast(f2, 3u);
            a0 = fma(w0a, v0, a0);
            b0 = fma(w0b, v0, b0);
            c0 = fma(w0c, v0, c0);
            d0 = fma(w0d, v0, d0);
            a1 = fma(w0a, v1, a1);
            b1 = fma(w0b, v1, b1);
            c1 = fma(w0c, v1, c1);
            d1 = fma(w0d, v1, d1);
            a2 = fma(w0a, v2, a2);
            b2 = fma(w0b, v2, b2);
            c2 = fma(w0c, v2, c2);
            d2 = fma(w0d, v2, d2);
            a3 = fma(w0a, v3, a3);
            b3 = fma(w0b, v3, b3);
            c3 = fma(w0c, v3, c3);
            d3 = fma(w0d, v3, d3);
            a0 = fma(w1a, v1, a0);
            b0 = fma(w1b, v1, b0);
            c0 = fma(w1c, v1, c0);
            d0 = fma(w1d, v1, d0);
            a1 = fma(w1a, v2, a1);
            b1 = fma(w1b, v2, b1);
            c1 = fma(w1c, v2, c1);
            d1 = fma(w1d, v2, d1);
            a2 = fma(w1a, v3, a2);
            b2 = fma(w1b, v3, b2);
            c2 = fma(w1c, v3, c2);
            d2 = fma(w1d, v3, d2);
            a3 = fma(w1a, v4, a3);
            b3 = fma(w1b, v4, b3);
            c3 = fma(w1c, v4, c3);
            d3 = fma(w1d, v4, d3);
            a0 = fma(w2a, v2, a0);
            b0 = fma(w2b, v2, b0);
            c0 = fma(w2c, v2, c0);
            d0 = fma(w2d, v2, d0);
            a1 = fma(w2a, v3, a1);
            b1 = fma(w2b, v3, b1);
            c1 = fma(w2c, v3, c1);
            d1 = fma(w2d, v3, d1);
            a2 = fma(w2a, v4, a2);
            b2 = fma(w2b, v4, b2);
            c2 = fma(w2c, v4, c2);
            d2 = fma(w2d, v4, d2);
            a3 = fma(w2a, v5, a3);
            b3 = fma(w2b, v5, b3);
            c3 = fma(w2c, v5, c3);
            d3 = fma(w2d, v5, d3);
        }
    }
    if index >= params.rows {
        return;
    }
    let row = line * params.in_w + px;
    let count = params.in_w - px;
    if count > 0u {
        store(a0, row + 0u, column + 0u);
        store(b0, row + 0u, column + 1u);
        store(c0, row + 0u, column + 2u);
        store(d0, row + 0u, column + 3u);
    }
    if count > 1u {
        store(a1, row + 1u, column + 0u);
        store(b1, row + 1u, column + 1u);
        store(c1, row + 1u, column + 2u);
        store(d1, row + 1u, column + 3u);
    }
    if count > 2u {
        store(a2, row + 2u, column + 0u);
        store(b2, row + 2u, column + 1u);
        store(c2, row + 2u, column + 2u);
        store(d2, row + 2u, column + 3u);
    }
    if count > 3u {
        store(a3, row + 3u, column + 0u);
        store(b3, row + 3u, column + 1u);
        store(c3, row + 3u, column + 2u);
        store(d3, row + 3u, column + 3u);
    }
}

// dx (+)= sum over taps and output channels of dy * weight, mirrored.
@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 4u;
    let index = tile / params.column_tiles * 64u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let line = strip / params.strips;
    let px = (strip - line * params.strips) * 4u;
    let image = line / params.in_h;
    let py = i32(line - image * params.in_h);
    let depth = params.out_c4;
    let width = i32(params.in_w);
    // The window: 6 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let col1 = i32(px) + 0;
    let col2 = i32(px) + 1;
    let col3 = i32(px) + 2;
    let col4 = i32(px) + 3;
    let col5 = i32(px) + 4;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let real1 = col1 >= 0 && col1 < width;
    let real2 = col2 >= 0 && col2 < width;
    let real3 = col3 >= 0 && col3 < width;
    let real4 = col4 >= 0 && col4 < width;
    let real5 = col5 >= 0 && col5 < width;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
    var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f();
    let co = params.out_c4;
    // What this lane loads of the weights; columns that overhang are read from the last valid one
    // and not stored.
    let piece = 4u * co * (min(column + (id & 3u), params.in_c4 - 1u) - column);
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + 1 - ky;
        let inside = sy >= 0 && sy < i32(params.in_h);
        let start = (image * params.in_h + u32(select(py, sy, inside))) * params.in_w * depth;
        let m0 = inside && real0;
        let m1 = inside && real1;
        let m2 = inside && real2;
        let m3 = inside && real3;
        let m4 = inside && real4;
        let m5 = inside && real5;
        let tap0 = (u32(ky) * 3u * params.in_c4 + column) * 4u * co;
        let tap1 = tap0 + params.in_c4 * 4u * co;
        let tap2 = tap1 + params.in_c4 * 4u * co;
        for (var k = 0u; k < 4u * depth; k++) {
            let c = k / 4u;
            let h = k % 4u;
            let v0 = vec4f(select(0.0, y[start + off0 + c][h], m0));
            let v1 = vec4f(select(0.0, y[start + off1 + c][h], m1));
            let v2 = vec4f(select(0.0, y[start + off2 + c][h], m2));
            let v3 = vec4f(select(0.0, y[start + off3 + c][h], m3));
            let v4 = vec4f(select(0.0, y[start + off4 + c][h], m4));
            let v5 = vec4f(select(0.0, y[start + off5 + c][h], m5));
            let at0 = tap0 + c + piece;
            let f0 = vec4f(weight[at0][h], weight[at0 + co][h], weight[at0 + 2u * co][h], weight[at0 + 3u * co][h]);
            let w0a = subgroupBroadcast(f0, 0u);
            let w0b = subgroupBroadcast(f0, 1u);
            let w0c = subgroupBroadcast(f0, 2u);
            let w0d = subgroupBroadcast(f0, 3u);
            let at1 = tap1 + c + piece;
            let f1 = vec4f(weight[at1][h], weight[at1 + co][h], weight[at1 + 2u * co][h], weight[at1 + 3u * co][h]);
            let w1a = subgroupBroadcast(f1, 0u);
            let w1b = subgroupBroadcast(f1, 1u);
            let w1c = subgroupBroadcast(f1, 2u);
            let w1d = subgroupBroadcast(f1, 3u);
            let at2 = tap2 + c + piece;
            let f2 = vec4f(weight[at2][h], weight[at2 + co][h], weight[at2 + 2u * co][h], weight[at2 + 3u * co][h]);
            let w2a = subgroupBroadcast(f2, 0u);
            let w2b = subgroupBroadcast(f2, 1u);
            let w2c = subgroupBroadcast(f2, 2u);
            let w2d = subgroupBroadcast(f2, 3u);
            a0 = fma(w0a, v2, a0);
            b0 = fma(w0b, v2, b0);
            c0 = fma(w0c, v2, c0);
            d0 = fma(w0d, v2, d0);
            a1 = fma(w0a, v3, a1);
            b1 = fma(w0b, v3, b1);
            c1 = fma(w0c, v3, c1);
            d1 = fma(w0d, v3, d1);
            a2 = fma(w0a, v4, a2);
            b2 = fma(w0b, v4, b2);
            c2 = fma(w0c, v4, c2);
            d2 = fma(w0d, v4, d2);
            a3 = fma(w0a, v5, a3);
            b3 = fma(w0b, v5, b3);
            c3 = fma(w0c, v5, c3);
            d3 = fma(w0d, v5, d3);
            a0 = fma(w1a, v1, a0);
            b0 = fma(w1b, v1, b0);
            c0 = fma(w1c, v1, c0);
            d0 = fma(w1d, v1, d0);
            a1 = fma(w1a, v2, a1);
            b1 = fma(w1b, v2, b1);
            c1 = fma(w1c, v2, c1);
            d1 = fma(w1d, v2, d1);
            a2 = fma(w1a, v3, a2);
            b2 = fma(w1b, v3, b2);
            c2 = fma(w1c, v3, c2);
            d2 = fma(w1d, v3, d2);
            a3 = fma(w1a, v4, a3);
            b3 = fma(w1b, v4, b3);
            c3 = fma(w1c, v4, c3);
            d3 = fma(w1d, v4, d3);
            a0 = fma(w2a, v0, a0);
            b0 = fma(w2b, v0, b0);
            c0 = fma(w2c, v0, c0);
            d0 = fma(w2d, v0, d0);
            a1 = fma(w2a, v1, a1);
            b1 = fma(w2b, v1, b1);
            c1 = fma(w2c, v1, c1);
            d1 = fma(w2d, v1, d1);
            a2 = fma(w2a, v2, a2);
            b2 = fma(w2b, v2, b2);
            c2 = fma(w2c, v2, c2);
            d2 = fma(w2d, v2, d2);
            a3 = fma(w2a, v3, a3);
            b3 = fma(w2b, v3, b3);
            c3 = fma(w2c, v3, c3);
            d3 = fma(w2d, v3, d3);
        }
    }
    if index >= params.rows {
        return;
    }
    let row = line * params.in_w + px;
    let count = params.in_w - px;
    if count > 0u {
        store_input(a0, row + 0u, column + 0u);
        store_input(b0, row + 0u, column + 1u);
        store_input(c0, row + 0u, column + 2u);
        store_input(d0, row + 0u, column + 3u);
    }
    if count > 1u {
        store_input(a1, row + 1u, column + 0u);
        store_input(b1, row + 1u, column + 1u);
        store_input(c1, row + 1u, column + 2u);
        store_input(d1, row + 1u, column + 3u);
    }
    if count > 2u {
        store_input(a2, row + 2u, column + 0u);
        store_input(b2, row + 2u, column + 1u);
        store_input(c2, row + 2u, column + 2u);
        store_input(d2, row + 2u, column + 3u);
    }
    if count > 3u {
        store_input(a3, row + 3u, column + 0u);
        store_input(b3, row + 3u, column + 1u);
        store_input(c3, row + 3u, column + 2u);
        store_input(d3, row + 3u, column + 3u);
    }
}

// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.
// One thread makes the 3 taps of a kernel row by 2 input by 16 output channels, and walks along
// the image's lines two pixels at a time with four pixels of x in registers. The lanes of a
// subgroup have the same output channels and share the loads of dy.
@compute @workgroup_size(64)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    // Half the vec4s of input channels.
    let rows = 2u * params.in_c4;
    // Kernel rows and input channels of a column, filled up to whole subgroups.
    let inner = (3u * rows + 7u) / 8u * 8u;
    let total = inner * params.column_tiles * params.splits;
    let tile = tile_index(workgroup, workgroups);
    let tiles = (total + 63u) / 64u;
    if tile >= tiles {
        image_sums((tile - tiles) * 64u + lane);
        return;
    }
    let index = tile * 64u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let safe = min(index, total - 1u);
    let outer = safe / inner;
    let place = safe - outer * inner;
    let live = index < total && place < 3u * rows;
    let ky = min(place / rows, 2u);
    let row = place % rows / 2u;
    let part = place % 2u * 2u;
    let column = outer % params.column_tiles * 4u;
    let split = outer / params.column_tiles;
    let ci = params.in_c4;
    let co = params.out_c4;
    // This lane loads channels `piece` of dy; overhanging vec4s are read from the last valid place
    // and not stored.
    let piece = min(column + (id & 3u), co - 1u);
    let zero = vec4f();
    var s0 = zero;
    var a00 = vec4f(); var a01 = vec4f();
    var b00 = vec4f(); var b01 = vec4f();
    var c00 = vec4f(); var c01 = vec4f();
    var d00 = vec4f(); var d01 = vec4f();
    var a10 = vec4f(); var a11 = vec4f();
    var b10 = vec4f(); var b11 = vec4f();
    var c10 = vec4f(); var c11 = vec4f();
    var d10 = vec4f(); var d11 = vec4f();
    var a20 = vec4f(); var a21 = vec4f();
    var b20 = vec4f(); var b21 = vec4f();
    var c20 = vec4f(); var c21 = vec4f();
    var d20 = vec4f(); var d21 = vec4f();
    let image_from = split * params.split_images;
    for (var i = 0u; i < params.split_images; i++) {
        let n = min(image_from + i, params.batch - 1u);
        let counted = image_from + i < params.batch;
        for (var oy = 0u; oy < params.out_h; oy++) {
            let iy = i32(oy + ky) - 1;
            let inside = iy >= 0 && iy < i32(params.in_h);
            let sy = u32(select(0, iy, inside));
            var xi = (n * params.in_h + sy) * params.in_w * ci + row;
            var yi = (n * params.out_h + oy) * params.out_w * co + piece;
            var u00 = 0.0;
            var u10 = select(0.0, x[xi][part], inside);
            var u01 = 0.0;
            var u11 = select(0.0, x[xi][part + 1u], inside);
            for (var ox = 0u; ox < params.out_w; ox += 2u) {
                // Pixels ox + 1 and ox + 2 of x; those of dy are ox and ox + 1.
                let ok1 = inside && ox + 1u < params.in_w;
                let ok2 = inside && ox + 2u < params.in_w;
                let next1 = select(xi, xi + ci, ok1);
                let next2 = select(xi, xi + 2u * ci, ok2);
                let u20 = select(0.0, x[next1][part], ok1);
                let u21 = select(0.0, x[next1][part + 1u], ok1);
                let u30 = select(0.0, x[next2][part], ok2);
                let u31 = select(0.0, x[next2][part + 1u], ok2);
                xi = next2;
                let more = ox + 1u < params.out_w;
                let f0 = select(zero, y[yi], counted);
                let f1 = select(zero, y[yi + select(0u, co, more)], counted && more);
                yi += 2u * co;
                s0 += f0 + f1;
                let da0 = subgroupBroadcast(f0, 0u);
                let db0 = subgroupBroadcast(f0, 1u);
                let dc0 = subgroupBroadcast(f0, 2u);
                let dd0 = subgroupBroadcast(f0, 3u);
                a00 = fma(da0, vec4f(u00), a00);
                b00 = fma(db0, vec4f(u00), b00);
                c00 = fma(dc0, vec4f(u00), c00);
                d00 = fma(dd0, vec4f(u00), d00);
                a01 = fma(da0, vec4f(u01), a01);
                b01 = fma(db0, vec4f(u01), b01);
                c01 = fma(dc0, vec4f(u01), c01);
                d01 = fma(dd0, vec4f(u01), d01);
                a10 = fma(da0, vec4f(u10), a10);
                b10 = fma(db0, vec4f(u10), b10);
                c10 = fma(dc0, vec4f(u10), c10);
                d10 = fma(dd0, vec4f(u10), d10);
                a11 = fma(da0, vec4f(u11), a11);
                b11 = fma(db0, vec4f(u11), b11);
                c11 = fma(dc0, vec4f(u11), c11);
                d11 = fma(dd0, vec4f(u11), d11);
                a20 = fma(da0, vec4f(u20), a20);
                b20 = fma(db0, vec4f(u20), b20);
                c20 = fma(dc0, vec4f(u20), c20);
                d20 = fma(dd0, vec4f(u20), d20);
                a21 = fma(da0, vec4f(u21), a21);
                b21 = fma(db0, vec4f(u21), b21);
                c21 = fma(dc0, vec4f(u21), c21);
                d21 = fma(dd0, vec4f(u21), d21);
                let da1 = subgroupBroadcast(f1, 0u);
                let db1 = subgroupBroadcast(f1, 1u);
                let dc1 = subgroupBroadcast(f1, 2u);
                let dd1 = subgroupBroadcast(f1, 3u);
                a00 = fma(da1, vec4f(u10), a00);
                b00 = fma(db1, vec4f(u10), b00);
                c00 = fma(dc1, vec4f(u10), c00);
                d00 = fma(dd1, vec4f(u10), d00);
                a01 = fma(da1, vec4f(u11), a01);
                b01 = fma(db1, vec4f(u11), b01);
                c01 = fma(dc1, vec4f(u11), c01);
                d01 = fma(dd1, vec4f(u11), d01);
                a10 = fma(da1, vec4f(u20), a10);
                b10 = fma(db1, vec4f(u20), b10);
                c10 = fma(dc1, vec4f(u20), c10);
                d10 = fma(dd1, vec4f(u20), d10);
                a11 = fma(da1, vec4f(u21), a11);
                b11 = fma(db1, vec4f(u21), b11);
                c11 = fma(dc1, vec4f(u21), c11);
                d11 = fma(dd1, vec4f(u21), d11);
                a20 = fma(da1, vec4f(u30), a20);
                b20 = fma(db1, vec4f(u30), b20);
                c20 = fma(dc1, vec4f(u30), c20);
                d20 = fma(dd1, vec4f(u30), d20);
                a21 = fma(da1, vec4f(u31), a21);
                b21 = fma(db1, vec4f(u31), b21);
                c21 = fma(dc1, vec4f(u31), c21);
                d21 = fma(dd1, vec4f(u31), d21);
                u00 = u20;
                u10 = u30;
                u01 = u21;
                u11 = u31;
            }
        }
    }
    // Sums of dy over the part of the batch, of which each lane has those of its piece.
    let sum0 = subgroupBroadcast(s0, 0u);
    let sum1 = subgroupBroadcast(s0, 1u);
    let sum2 = subgroupBroadcast(s0, 2u);
    let sum3 = subgroupBroadcast(s0, 3u);
    if !live {
        return;
    }
    if place == 0u && (params.flags & 32u) != 0u {
        store_sum(sum0, split * co, column + 0u);
        store_sum(sum1, split * co, column + 1u);
        store_sum(sum2, split * co, column + 2u);
        store_sum(sum3, split * co, column + 3u);
    }
    var at = ((split * 9u + ky * 3u) * ci + row) * 4u * co + part * co + column;
    store_weight(a00, at + 0u * co + 0u, column + 0u);
    store_weight(b00, at + 0u * co + 1u, column + 1u);
    store_weight(c00, at + 0u * co + 2u, column + 2u);
    store_weight(d00, at + 0u * co + 3u, column + 3u);
    store_weight(a01, at + 1u * co + 0u, column + 0u);
    store_weight(b01, at + 1u * co + 1u, column + 1u);
    store_weight(c01, at + 1u * co + 2u, column + 2u);
    store_weight(d01, at + 1u * co + 3u, column + 3u);
    at += ci * 4u * co;
    store_weight(a10, at + 0u * co + 0u, column + 0u);
    store_weight(b10, at + 0u * co + 1u, column + 1u);
    store_weight(c10, at + 0u * co + 2u, column + 2u);
    store_weight(d10, at + 0u * co + 3u, column + 3u);
    store_weight(a11, at + 1u * co + 0u, column + 0u);
    store_weight(b11, at + 1u * co + 1u, column + 1u);
    store_weight(c11, at + 1u * co + 2u, column + 2u);
    store_weight(d11, at + 1u * co + 3u, column + 3u);
    at += ci * 4u * co;
    store_weight(a20, at + 0u * co + 0u, column + 0u);
    store_weight(b20, at + 0u * co + 1u, column + 1u);
    store_weight(c20, at + 0u * co + 2u, column + 2u);
    store_weight(d20, at + 0u * co + 3u, column + 3u);
    store_weight(a21, at + 1u * co + 0u, column + 0u);
    store_weight(b21, at + 1u * co + 1u, column + 1u);
    store_weight(c21, at + 1u * co + 2u, column + 2u);
    store_weight(d21, at + 1u * co + 3u, column + 3u);
}

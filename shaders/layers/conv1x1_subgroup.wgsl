// 1x1 convolution, channels last: also the linear layer. Written by scripts/make_convolutions.py. One
// thread makes 8 pixels by 16 channels.
// The weights, the same for all lanes, are loaded once a subgroup and spread by broadcasts. LANES
// is 8, or 4 where subgroups are smaller.
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

fn wide_spread0(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 0u);
    }
    return subgroupBroadcast(f0, 0u);
}

fn wide_spread1(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 1u);
    }
    return subgroupBroadcast(f0, 1u);
}

fn wide_spread2(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 2u);
    }
    return subgroupBroadcast(f0, 2u);
}

fn wide_spread3(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 3u);
    }
    return subgroupBroadcast(f0, 3u);
}

fn wide_spread4(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 0u);
    }
    return subgroupBroadcast(f0, 4u);
}

fn wide_spread5(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 1u);
    }
    return subgroupBroadcast(f0, 5u);
}

fn wide_spread6(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 2u);
    }
    return subgroupBroadcast(f0, 6u);
}

fn wide_spread7(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 3u);
    }
    return subgroupBroadcast(f0, 7u);
}

fn wide_spread8(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f2, 0u);
    }
    return subgroupBroadcast(f1, 0u);
}

fn wide_spread9(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f2, 1u);
    }
    return subgroupBroadcast(f1, 1u);
}

fn wide_spread10(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f2, 2u);
    }
    return subgroupBroadcast(f1, 2u);
}

fn wide_spread11(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f2, 3u);
    }
    return subgroupBroadcast(f1, 3u);
}

fn wide_spread12(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f3, 0u);
    }
    return subgroupBroadcast(f1, 4u);
}

fn wide_spread13(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f3, 1u);
    }
    return subgroupBroadcast(f1, 5u);
}

fn wide_spread14(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f3, 2u);
    }
    return subgroupBroadcast(f1, 6u);
}

fn wide_spread15(f0: vec4f, f1: vec4f, f2: vec4f, f3: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f3, 3u);
    }
    return subgroupBroadcast(f1, 7u);
}

fn spread0(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 0u);
    }
    return subgroupBroadcast(f0, 0u);
}

fn spread1(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 1u);
    }
    return subgroupBroadcast(f0, 1u);
}

fn spread2(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 2u);
    }
    return subgroupBroadcast(f0, 2u);
}

fn spread3(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f0, 3u);
    }
    return subgroupBroadcast(f0, 3u);
}

fn spread4(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 0u);
    }
    return subgroupBroadcast(f0, 4u);
}

fn spread5(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 1u);
    }
    return subgroupBroadcast(f0, 5u);
}

fn spread6(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 2u);
    }
    return subgroupBroadcast(f0, 6u);
}

fn spread7(f0: vec4f, f1: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f1, 3u);
    }
    return subgroupBroadcast(f0, 7u);
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
    let co = params.out_c4;
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
    let zero = vec4f();
    // Columns that overhang read the last valid one again and are not stored.
    let over1 = (min(column + 1u, params.out_c4 - 1u) - column);
    let over2 = (min(column + 2u, params.out_c4 - 1u) - column);
    let over3 = (min(column + 3u, params.out_c4 - 1u) - column);
    // What this lane loads of the weights of a step.
    let row4 = (id & 3u) * co;
    let second = (id & 4u) != 0u;
    let piece0 = row4 + select(select(0u, over1, second), 0u, LANES == 4u);
    let piece1 = row4 + select(select(over2, over3, second), over1, LANES == 4u);
    let piece2 = row4 + over2;
    let piece3 = row4 + over3;
    let start = column;
    for (var c = 0u; c < depth; c++) {
        let w = start + 4u * c * co;
        if c == params.first_c4 {
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
        let f0 = weight[w + piece0];
        let f1 = weight[w + piece1];
        let f2 = select(zero, weight[w + piece2], LANES == 4u);
        let f3 = select(zero, weight[w + piece3], LANES == 4u);
        let v0 = x[p0 + c];
        let v1 = x[p1 + c];
        let v2 = x[p2 + c];
        let v3 = x[p3 + c];
        let v4 = x[p4 + c];
        let v5 = x[p5 + c];
        let v6 = x[p6 + c];
        let v7 = x[p7 + c];
        let wa0 = wide_spread0(f0, f1, f2, f3);
        let wa1 = wide_spread1(f0, f1, f2, f3);
        let wa2 = wide_spread2(f0, f1, f2, f3);
        let wa3 = wide_spread3(f0, f1, f2, f3);
        a0 = mac(a0, v0, wa0, wa1, wa2, wa3);
        a1 = mac(a1, v1, wa0, wa1, wa2, wa3);
        a2 = mac(a2, v2, wa0, wa1, wa2, wa3);
        a3 = mac(a3, v3, wa0, wa1, wa2, wa3);
        a4 = mac(a4, v4, wa0, wa1, wa2, wa3);
        a5 = mac(a5, v5, wa0, wa1, wa2, wa3);
        a6 = mac(a6, v6, wa0, wa1, wa2, wa3);
        a7 = mac(a7, v7, wa0, wa1, wa2, wa3);
        let wb0 = wide_spread4(f0, f1, f2, f3);
        let wb1 = wide_spread5(f0, f1, f2, f3);
        let wb2 = wide_spread6(f0, f1, f2, f3);
        let wb3 = wide_spread7(f0, f1, f2, f3);
        b0 = mac(b0, v0, wb0, wb1, wb2, wb3);
        b1 = mac(b1, v1, wb0, wb1, wb2, wb3);
        b2 = mac(b2, v2, wb0, wb1, wb2, wb3);
        b3 = mac(b3, v3, wb0, wb1, wb2, wb3);
        b4 = mac(b4, v4, wb0, wb1, wb2, wb3);
        b5 = mac(b5, v5, wb0, wb1, wb2, wb3);
        b6 = mac(b6, v6, wb0, wb1, wb2, wb3);
        b7 = mac(b7, v7, wb0, wb1, wb2, wb3);
        let wc0 = wide_spread8(f0, f1, f2, f3);
        let wc1 = wide_spread9(f0, f1, f2, f3);
        let wc2 = wide_spread10(f0, f1, f2, f3);
        let wc3 = wide_spread11(f0, f1, f2, f3);
        c0 = mac(c0, v0, wc0, wc1, wc2, wc3);
        c1 = mac(c1, v1, wc0, wc1, wc2, wc3);
        c2 = mac(c2, v2, wc0, wc1, wc2, wc3);
        c3 = mac(c3, v3, wc0, wc1, wc2, wc3);
        c4 = mac(c4, v4, wc0, wc1, wc2, wc3);
        c5 = mac(c5, v5, wc0, wc1, wc2, wc3);
        c6 = mac(c6, v6, wc0, wc1, wc2, wc3);
        c7 = mac(c7, v7, wc0, wc1, wc2, wc3);
        let wd0 = wide_spread12(f0, f1, f2, f3);
        let wd1 = wide_spread13(f0, f1, f2, f3);
        let wd2 = wide_spread14(f0, f1, f2, f3);
        let wd3 = wide_spread15(f0, f1, f2, f3);
        d0 = mac(d0, v0, wd0, wd1, wd2, wd3);
        d1 = mac(d1, v1, wd0, wd1, wd2, wd3);
        d2 = mac(d2, v2, wd0, wd1, wd2, wd3);
        d3 = mac(d3, v3, wd0, wd1, wd2, wd3);
        d4 = mac(d4, v4, wd0, wd1, wd2, wd3);
        d5 = mac(d5, v5, wd0, wd1, wd2, wd3);
        d6 = mac(d6, v6, wd0, wd1, wd2, wd3);
        d7 = mac(d7, v7, wd0, wd1, wd2, wd3);
    }
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let pixels = min(8u, max(row, params.rows) - row);
    for (var j = 0u; j < pixels; j++) {
        store(a0, row + j, column + 0u);
        store(b0, row + j, column + 1u);
        store(c0, row + j, column + 2u);
        store(d0, row + j, column + 3u);
        a0 = a1; b0 = b1; c0 = c1; d0 = d1;
        a1 = a2; b1 = b2; c1 = c2; d1 = d2;
        a2 = a3; b2 = b3; c2 = c3; d2 = d3;
        a3 = a4; b3 = b4; c3 = c4; d3 = d4;
        a4 = a5; b4 = b5; c4 = c5; d4 = d5;
        a5 = a6; b5 = b6; c5 = c6; d5 = d6;
        a6 = a7; b6 = b7; c6 = c7; d6 = d7;
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
    let co = params.out_c4;
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
    let zero = vec4f();
    // Columns that overhang read the last valid one again and are not stored.
    let over1 = 4u * co * (min(column + 1u, params.in_c4 - 1u) - column);
    let over2 = 4u * co * (min(column + 2u, params.in_c4 - 1u) - column);
    let over3 = 4u * co * (min(column + 3u, params.in_c4 - 1u) - column);
    // What this lane loads of the weights of a step.
    let row4 = (id & 3u) * co;
    let second = (id & 4u) != 0u;
    let piece0 = row4 + select(select(0u, over1, second), 0u, LANES == 4u);
    let piece1 = row4 + select(select(over2, over3, second), over1, LANES == 4u);
    let piece2 = row4 + over2;
    let piece3 = row4 + over3;
    let start = column * 4u * co;
    for (var c = 0u; c < depth; c++) {
        let w = start + c;
        let f0 = weight[w + piece0];
        let f1 = weight[w + piece1];
        let f2 = select(zero, weight[w + piece2], LANES == 4u);
        let f3 = select(zero, weight[w + piece3], LANES == 4u);
        let v0 = y[p0 + c];
        let v1 = y[p1 + c];
        let v2 = y[p2 + c];
        let v3 = y[p3 + c];
        let v4 = y[p4 + c];
        let v5 = y[p5 + c];
        let v6 = y[p6 + c];
        let v7 = y[p7 + c];
        let ra0 = wide_spread0(f0, f1, f2, f3);
        let ra1 = wide_spread1(f0, f1, f2, f3);
        let ra2 = wide_spread2(f0, f1, f2, f3);
        let ra3 = wide_spread3(f0, f1, f2, f3);
        let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
        let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
        let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
        let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
        a0 = mac(a0, v0, wa0, wa1, wa2, wa3);
        a1 = mac(a1, v1, wa0, wa1, wa2, wa3);
        a2 = mac(a2, v2, wa0, wa1, wa2, wa3);
        a3 = mac(a3, v3, wa0, wa1, wa2, wa3);
        a4 = mac(a4, v4, wa0, wa1, wa2, wa3);
        a5 = mac(a5, v5, wa0, wa1, wa2, wa3);
        a6 = mac(a6, v6, wa0, wa1, wa2, wa3);
        a7 = mac(a7, v7, wa0, wa1, wa2, wa3);
        let rb0 = wide_spread4(f0, f1, f2, f3);
        let rb1 = wide_spread5(f0, f1, f2, f3);
        let rb2 = wide_spread6(f0, f1, f2, f3);
        let rb3 = wide_spread7(f0, f1, f2, f3);
        let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
        let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
        let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
        let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
        b0 = mac(b0, v0, wb0, wb1, wb2, wb3);
        b1 = mac(b1, v1, wb0, wb1, wb2, wb3);
        b2 = mac(b2, v2, wb0, wb1, wb2, wb3);
        b3 = mac(b3, v3, wb0, wb1, wb2, wb3);
        b4 = mac(b4, v4, wb0, wb1, wb2, wb3);
        b5 = mac(b5, v5, wb0, wb1, wb2, wb3);
        b6 = mac(b6, v6, wb0, wb1, wb2, wb3);
        b7 = mac(b7, v7, wb0, wb1, wb2, wb3);
        let rc0 = wide_spread8(f0, f1, f2, f3);
        let rc1 = wide_spread9(f0, f1, f2, f3);
        let rc2 = wide_spread10(f0, f1, f2, f3);
        let rc3 = wide_spread11(f0, f1, f2, f3);
        let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
        let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
        let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
        let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
        c0 = mac(c0, v0, wc0, wc1, wc2, wc3);
        c1 = mac(c1, v1, wc0, wc1, wc2, wc3);
        c2 = mac(c2, v2, wc0, wc1, wc2, wc3);
        c3 = mac(c3, v3, wc0, wc1, wc2, wc3);
        c4 = mac(c4, v4, wc0, wc1, wc2, wc3);
        c5 = mac(c5, v5, wc0, wc1, wc2, wc3);
        c6 = mac(c6, v6, wc0, wc1, wc2, wc3);
        c7 = mac(c7, v7, wc0, wc1, wc2, wc3);
        let rd0 = wide_spread12(f0, f1, f2, f3);
        let rd1 = wide_spread13(f0, f1, f2, f3);
        let rd2 = wide_spread14(f0, f1, f2, f3);
        let rd3 = wide_spread15(f0, f1, f2, f3);
        let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
        let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
        let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
        let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
        d0 = mac(d0, v0, wd0, wd1, wd2, wd3);
        d1 = mac(d1, v1, wd0, wd1, wd2, wd3);
        d2 = mac(d2, v2, wd0, wd1, wd2, wd3);
        d3 = mac(d3, v3, wd0, wd1, wd2, wd3);
        d4 = mac(d4, v4, wd0, wd1, wd2, wd3);
        d5 = mac(d5, v5, wd0, wd1, wd2, wd3);
        d6 = mac(d6, v6, wd0, wd1, wd2, wd3);
        d7 = mac(d7, v7, wd0, wd1, wd2, wd3);
    }
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let pixels = min(8u, max(row, params.rows) - row);
    for (var j = 0u; j < pixels; j++) {
        store_input(a0, row + j, column + 0u);
        store_input(b0, row + j, column + 1u);
        store_input(c0, row + j, column + 2u);
        store_input(d0, row + j, column + 3u);
        a0 = a1; b0 = b1; c0 = c1; d0 = d1;
        a1 = a2; b1 = b2; c1 = c2; d1 = d2;
        a2 = a3; b2 = b3; c2 = c3; d2 = d3;
        a3 = a4; b3 = b4; c3 = c4; d3 = d4;
        a4 = a5; b4 = b5; c4 = c5; d4 = d5;
        a5 = a6; b5 = b6; c5 = c6; d5 = d6;
        a6 = a7; b6 = b7; c6 = c7; d6 = d7;
    }
}

// dweight (+)= sum over the pixels of a part of the batch of x times dy. One thread makes 4 input
// by 16 output channels, two pixels at a time. The lanes of a subgroup have the same output
// channels and share the loads of dy.
@compute @workgroup_size(64)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let rows = params.in_c4;
    // Input channels of a column, filled up to whole subgroups.
    let inner = (rows + 7u) / 8u * 8u;
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
    let live = index < total && place < rows;
    let row = min(place, rows - 1u);
    let column = outer % params.column_tiles * 4u;
    let split = outer / params.column_tiles;
    let ci = params.in_c4;
    let co = params.out_c4;
    // This lane loads channels `piece` of dy of the first or second pixel.
    let piece = min(column + (id & 3u), co - 1u);
    let second = (id & 4u) != 0u;
    let zero = vec4f();
    var s0 = zero;
    var s1 = zero;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
    var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f();
    let other = row >= params.first_c4;
    let width = select(params.first_c4, ci - params.first_c4, other);
    let origin = select(row, params.second + row - params.first_c4, other);
    let pixels = params.out_h * params.out_w;
    // Splits have one length, so that the lanes of a subgroup make the same turns.
    let first = split * params.split_images * pixels;
    let end = min(first + params.split_images * pixels, params.batch * pixels);
    let turns = (params.split_images * pixels + 1u) / 2u;
    for (var i = 0u; i < turns; i++) {
        let n = first + 2u * i;
        let counted = n < end;
        let more = n + 1u < end;
        let at0 = select(0u, n, counted);
        let at1 = select(0u, n + 1u, more);
        let u0 = x[origin + at0 * width];
        let u1 = x[origin + at1 * width];
        let mine = select(at0, at1, second && LANES != 4u);
        let f0 = select(zero, y[mine * co + piece], select(counted, more, second && LANES != 4u));
        let f1 = select(zero, y[at1 * co + piece], more && LANES == 4u);
        s0 += f0;
        s1 += f1;
        let da0 = spread0(f0, f1);
        let db0 = spread1(f0, f1);
        let dc0 = spread2(f0, f1);
        let dd0 = spread3(f0, f1);
        let da1 = spread4(f0, f1);
        let db1 = spread5(f0, f1);
        let dc1 = spread6(f0, f1);
        let dd1 = spread7(f0, f1);
        a0 = fma(da0, vec4f(u0.x), a0);
        b0 = fma(db0, vec4f(u0.x), b0);
        c0 = fma(dc0, vec4f(u0.x), c0);
        d0 = fma(dd0, vec4f(u0.x), d0);
        a1 = fma(da0, vec4f(u0.y), a1);
        b1 = fma(db0, vec4f(u0.y), b1);
        c1 = fma(dc0, vec4f(u0.y), c1);
        d1 = fma(dd0, vec4f(u0.y), d1);
        a2 = fma(da0, vec4f(u0.z), a2);
        b2 = fma(db0, vec4f(u0.z), b2);
        c2 = fma(dc0, vec4f(u0.z), c2);
        d2 = fma(dd0, vec4f(u0.z), d2);
        a3 = fma(da0, vec4f(u0.w), a3);
        b3 = fma(db0, vec4f(u0.w), b3);
        c3 = fma(dc0, vec4f(u0.w), c3);
        d3 = fma(dd0, vec4f(u0.w), d3);
        a0 = fma(da1, vec4f(u1.x), a0);
        b0 = fma(db1, vec4f(u1.x), b0);
        c0 = fma(dc1, vec4f(u1.x), c0);
        d0 = fma(dd1, vec4f(u1.x), d0);
        a1 = fma(da1, vec4f(u1.y), a1);
        b1 = fma(db1, vec4f(u1.y), b1);
        c1 = fma(dc1, vec4f(u1.y), c1);
        d1 = fma(dd1, vec4f(u1.y), d1);
        a2 = fma(da1, vec4f(u1.z), a2);
        b2 = fma(db1, vec4f(u1.z), b2);
        c2 = fma(dc1, vec4f(u1.z), c2);
        d2 = fma(dd1, vec4f(u1.z), d2);
        a3 = fma(da1, vec4f(u1.w), a3);
        b3 = fma(db1, vec4f(u1.w), b3);
        c3 = fma(dc1, vec4f(u1.w), c3);
        d3 = fma(dd1, vec4f(u1.w), d3);
    }
    // Sums of dy over the part of the batch, of which each lane has those of its piece.
    let sum0 = spread0(s0, s1) + spread4(s0, s1);
    let sum1 = spread1(s0, s1) + spread5(s0, s1);
    let sum2 = spread2(s0, s1) + spread6(s0, s1);
    let sum3 = spread3(s0, s1) + spread7(s0, s1);
    if !live {
        return;
    }
    if place == 0u && (params.flags & 32u) != 0u {
        store_sum(sum0, split * co, column + 0u);
        store_sum(sum1, split * co, column + 1u);
        store_sum(sum2, split * co, column + 2u);
        store_sum(sum3, split * co, column + 3u);
    }
    let at = (split * ci + row) * 4u * co + column;
    store_weight(a0, at + 0u * co + 0u, column + 0u);
    store_weight(b0, at + 0u * co + 1u, column + 1u);
    store_weight(c0, at + 0u * co + 2u, column + 2u);
    store_weight(d0, at + 0u * co + 3u, column + 3u);
    store_weight(a1, at + 1u * co + 0u, column + 0u);
    store_weight(b1, at + 1u * co + 1u, column + 1u);
    store_weight(c1, at + 1u * co + 2u, column + 2u);
    store_weight(d1, at + 1u * co + 3u, column + 3u);
    store_weight(a2, at + 2u * co + 0u, column + 0u);
    store_weight(b2, at + 2u * co + 1u, column + 1u);
    store_weight(c2, at + 2u * co + 2u, column + 2u);
    store_weight(d2, at + 2u * co + 3u, column + 3u);
    store_weight(a3, at + 3u * co + 0u, column + 0u);
    store_weight(b3, at + 3u * co + 1u, column + 1u);
    store_weight(c3, at + 3u * co + 2u, column + 2u);
    store_weight(d3, at + 3u * co + 3u, column + 3u);
}

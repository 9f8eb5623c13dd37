// 3x3 convolution with stride 1 and padding 1, channels last. Written by scripts/make_convolutions.py.
// One thread makes 8 neighbouring pixels of a line by 8 channels, and slides a window of 10 pixels
// over the three taps of a kernel row: 10 loads of the input serve 24 products. STRIP is 8, or 7 for
// widths that it divides better. `backward_input_down` belongs to stride 2.
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
    let at = row * params.in_c4 + column;
    x[at] = select(acc, acc + x[at], (params.flags & 8u) != 0u);
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

// y = bias + sample + residual + sum over taps and input channels of x * weight.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let index = tile / params.column_tiles * 64u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let line = strip / params.strips;
    let px = (strip - line * params.strips) * STRIP;
    let image = line / params.in_h;
    let py = i32(line - image * params.in_h);
    let depth = params.in_c4;
    let width = i32(params.in_w);
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let col1 = i32(px) + 0;
    let col2 = i32(px) + 1;
    let col3 = i32(px) + 2;
    let col4 = i32(px) + 3;
    let col5 = i32(px) + 4;
    let col6 = i32(px) + 5;
    let col7 = i32(px) + 6;
    let col8 = i32(px) + 7;
    let col9 = i32(px) + 8;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let off6 = u32(clamp(col6, 0, width - 1)) * depth;
    let off7 = u32(clamp(col7, 0, width - 1)) * depth;
    let off8 = u32(clamp(col8, 0, width - 1)) * depth;
    let off9 = u32(clamp(col9, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let real1 = col1 >= 0 && col1 < width;
    let real2 = col2 >= 0 && col2 < width;
    let real3 = col3 >= 0 && col3 < width;
    let real4 = col4 >= 0 && col4 < width;
    let real5 = col5 >= 0 && col5 < width;
    let real6 = col6 >= 0 && col6 < width;
    let real7 = col7 >= 0 && col7 < width;
    let real8 = col8 >= 0 && col8 < width;
    let real9 = select(false, col9 >= 0 && col9 < width, STRIP == 8u);
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let zero = vec4f();
    let co = params.out_c4;
    // Columns that overhang read the last valid one again and are not stored.
    let over1 = (min(column + 1u, params.out_c4 - 1u) - column);
    // What this lane loads of the weights of a step.
    let row4 = (id & 3u) * co;
    let second = (id & 4u) != 0u;
    let piece0 = row4 + select(select(0u, over1, second), 0u, LANES == 4u);
    let piece1 = row4 + over1;
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
        let m6 = inside && real6;
        let m7 = inside && real7;
        let m8 = inside && real8;
        let m9 = inside && real9;
        let tap0 = u32(ky) * 3u * params.in_c4 * 4u * co + column;
        let tap1 = tap0 + params.in_c4 * 4u * co;
        let tap2 = tap1 + params.in_c4 * 4u * co;
        for (var c = 0u; c < depth; c++) {
            let v0 = select(zero, x[start + off0 + c], m0);
            let v1 = select(zero, x[start + off1 + c], m1);
            let v2 = select(zero, x[start + off2 + c], m2);
            let v3 = select(zero, x[start + off3 + c], m3);
            let v4 = select(zero, x[start + off4 + c], m4);
            let v5 = select(zero, x[start + off5 + c], m5);
            let v6 = select(zero, x[start + off6 + c], m6);
            let v7 = select(zero, x[start + off7 + c], m7);
            let v8 = select(zero, x[start + off8 + c], m8);
            let v9 = select(zero, x[start + off9 + c], m9);
            {
                let w = tap0 + 4u * c * co;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let wa0 = spread0(f0, f1);
                let wa1 = spread1(f0, f1);
                let wa2 = spread2(f0, f1);
                let wa3 = spread3(f0, f1);
                let wb0 = spread4(f0, f1);
                let wb1 = spread5(f0, f1);
                let wb2 = spread6(f0, f1);
                let wb3 = spread7(f0, f1);
                a0 = mac(a0, v0, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v0, wb0, wb1, wb2, wb3);
                a1 = mac(a1, v1, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v1, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v2, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v2, wb0, wb1, wb2, wb3);
                a3 = mac(a3, v3, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v3, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v4, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v4, wb0, wb1, wb2, wb3);
                a5 = mac(a5, v5, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v5, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v6, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v6, wb0, wb1, wb2, wb3);
                if STRIP == 8u {
                    a7 = mac(a7, v7, wa0, wa1, wa2, wa3);
                    b7 = mac(b7, v7, wb0, wb1, wb2, wb3);
                }
            }
            {
                let w = tap1 + 4u * c * co;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let wa0 = spread0(f0, f1);
                let wa1 = spread1(f0, f1);
                let wa2 = spread2(f0, f1);
                let wa3 = spread3(f0, f1);
                let wb0 = spread4(f0, f1);
                let wb1 = spread5(f0, f1);
                let wb2 = spread6(f0, f1);
                let wb3 = spread7(f0, f1);
                a0 = mac(a0, v1, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v1, wb0, wb1, wb2, wb3);
                a1 = mac(a1, v2, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v2, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v3, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v3, wb0, wb1, wb2, wb3);
                a3 = mac(a3, v4, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v4, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v5, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v5, wb0, wb1, wb2, wb3);
                a5 = mac(a5, v6, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v6, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v7, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v7, wb0, wb1, wb2, wb3);
                if STRIP == 8u {
                    a7 = mac(a7, v8, wa0, wa1, wa2, wa3);
                    b7 = mac(b7, v8, wb0, wb1, wb2, wb3);
                }
            }
            {
                let w = tap2 + 4u * c * co;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let wa0 = spread0(f0, f1);
                let wa1 = spread1(f0, f1);
                let wa2 = spread2(f0, f1);
                let wa3 = spread3(f0, f1);
                let wb0 = spread4(f0, f1);
                let wb1 = spread5(f0, f1);
                let wb2 = spread6(f0, f1);
                let wb3 = spread7(f0, f1);
                a0 = mac(a0, v2, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v2, wb0, wb1, wb2, wb3);
                a1 = mac(a1, v3, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v3, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v4, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v4, wb0, wb1, wb2, wb3);
                a3 = mac(a3, v5, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v5, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v6, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v6, wb0, wb1, wb2, wb3);
                a5 = mac(a5, v7, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v7, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v8, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v8, wb0, wb1, wb2, wb3);
                if STRIP == 8u {
                    a7 = mac(a7, v9, wa0, wa1, wa2, wa3);
                    b7 = mac(b7, v9, wb0, wb1, wb2, wb3);
                }
            }
        }
    }
    if index >= params.rows {
        return;
    }
    let row = line * params.in_w + px;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let pixels = min(STRIP, params.in_w - px);
    for (var j = 0u; j < pixels; j++) {
        store(a0, row + j, column + 0u);
        store(b0, row + j, column + 1u);
        a0 = a1; b0 = b1;
        a1 = a2; b1 = b2;
        a2 = a3; b2 = b3;
        a3 = a4; b3 = b4;
        a4 = a5; b4 = b5;
        a5 = a6; b5 = b6;
        a6 = a7; b6 = b7;
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
    let column = tile % params.column_tiles * 2u;
    let index = tile / params.column_tiles * 64u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let line = strip / params.strips;
    let px = (strip - line * params.strips) * STRIP;
    let image = line / params.in_h;
    let py = i32(line - image * params.in_h);
    let depth = params.out_c4;
    let width = i32(params.in_w);
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let col1 = i32(px) + 0;
    let col2 = i32(px) + 1;
    let col3 = i32(px) + 2;
    let col4 = i32(px) + 3;
    let col5 = i32(px) + 4;
    let col6 = i32(px) + 5;
    let col7 = i32(px) + 6;
    let col8 = i32(px) + 7;
    let col9 = i32(px) + 8;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let off6 = u32(clamp(col6, 0, width - 1)) * depth;
    let off7 = u32(clamp(col7, 0, width - 1)) * depth;
    let off8 = u32(clamp(col8, 0, width - 1)) * depth;
    let off9 = u32(clamp(col9, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let real1 = col1 >= 0 && col1 < width;
    let real2 = col2 >= 0 && col2 < width;
    let real3 = col3 >= 0 && col3 < width;
    let real4 = col4 >= 0 && col4 < width;
    let real5 = col5 >= 0 && col5 < width;
    let real6 = col6 >= 0 && col6 < width;
    let real7 = col7 >= 0 && col7 < width;
    let real8 = col8 >= 0 && col8 < width;
    let real9 = select(false, col9 >= 0 && col9 < width, STRIP == 8u);
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let zero = vec4f();
    let co = params.out_c4;
    // Columns that overhang read the last valid one again and are not stored.
    let over1 = 4u * co * (min(column + 1u, params.in_c4 - 1u) - column);
    // What this lane loads of the weights of a step.
    let row4 = (id & 3u) * co;
    let second = (id & 4u) != 0u;
    let piece0 = row4 + select(select(0u, over1, second), 0u, LANES == 4u);
    let piece1 = row4 + over1;
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
        let m6 = inside && real6;
        let m7 = inside && real7;
        let m8 = inside && real8;
        let m9 = inside && real9;
        let tap0 = (u32(ky) * 3u * params.in_c4 + column) * 4u * co;
        let tap1 = tap0 + params.in_c4 * 4u * co;
        let tap2 = tap1 + params.in_c4 * 4u * co;
        for (var c = 0u; c < depth; c++) {
            let v0 = select(zero, y[start + off0 + c], m0);
            let v1 = select(zero, y[start + off1 + c], m1);
            let v2 = select(zero, y[start + off2 + c], m2);
            let v3 = select(zero, y[start + off3 + c], m3);
            let v4 = select(zero, y[start + off4 + c], m4);
            let v5 = select(zero, y[start + off5 + c], m5);
            let v6 = select(zero, y[start + off6 + c], m6);
            let v7 = select(zero, y[start + off7 + c], m7);
            let v8 = select(zero, y[start + off8 + c], m8);
            let v9 = select(zero, y[start + off9 + c], m9);
            {
                let w = tap0 + c;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let ra0 = spread0(f0, f1);
                let ra1 = spread1(f0, f1);
                let ra2 = spread2(f0, f1);
                let ra3 = spread3(f0, f1);
                let rb0 = spread4(f0, f1);
                let rb1 = spread5(f0, f1);
                let rb2 = spread6(f0, f1);
                let rb3 = spread7(f0, f1);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                a0 = mac(a0, v2, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v2, wb0, wb1, wb2, wb3);
                a1 = mac(a1, v3, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v3, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v4, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v4, wb0, wb1, wb2, wb3);
                a3 = mac(a3, v5, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v5, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v6, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v6, wb0, wb1, wb2, wb3);
                a5 = mac(a5, v7, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v7, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v8, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v8, wb0, wb1, wb2, wb3);
                if STRIP == 8u {
                    a7 = mac(a7, v9, wa0, wa1, wa2, wa3);
                    b7 = mac(b7, v9, wb0, wb1, wb2, wb3);
                }
            }
            {
                let w = tap1 + c;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let ra0 = spread0(f0, f1);
                let ra1 = spread1(f0, f1);
                let ra2 = spread2(f0, f1);
                let ra3 = spread3(f0, f1);
                let rb0 = spread4(f0, f1);
                let rb1 = spread5(f0, f1);
                let rb2 = spread6(f0, f1);
                let rb3 = spread7(f0, f1);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                a0 = mac(a0, v1, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v1, wb0, wb1, wb2, wb3);
                a1 = mac(a1, v2, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v2, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v3, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v3, wb0, wb1, wb2, wb3);
                a3 = mac(a3, v4, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v4, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v5, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v5, wb0, wb1, wb2, wb3);
                a5 = mac(a5, v6, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v6, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v7, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v7, wb0, wb1, wb2, wb3);
                if STRIP == 8u {
                    a7 = mac(a7, v8, wa0, wa1, wa2, wa3);
                    b7 = mac(b7, v8, wb0, wb1, wb2, wb3);
                }
            }
            {
                let w = tap2 + c;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let ra0 = spread0(f0, f1);
                let ra1 = spread1(f0, f1);
                let ra2 = spread2(f0, f1);
                let ra3 = spread3(f0, f1);
                let rb0 = spread4(f0, f1);
                let rb1 = spread5(f0, f1);
                let rb2 = spread6(f0, f1);
                let rb3 = spread7(f0, f1);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                a0 = mac(a0, v0, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v0, wb0, wb1, wb2, wb3);
                a1 = mac(a1, v1, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v1, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v2, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v2, wb0, wb1, wb2, wb3);
                a3 = mac(a3, v3, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v3, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v4, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v4, wb0, wb1, wb2, wb3);
                a5 = mac(a5, v5, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v5, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v6, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v6, wb0, wb1, wb2, wb3);
                if STRIP == 8u {
                    a7 = mac(a7, v7, wa0, wa1, wa2, wa3);
                    b7 = mac(b7, v7, wb0, wb1, wb2, wb3);
                }
            }
        }
    }
    if index >= params.rows {
        return;
    }
    let row = line * params.in_w + px;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let pixels = min(STRIP, params.in_w - px);
    for (var j = 0u; j < pixels; j++) {
        store_input(a0, row + j, column + 0u);
        store_input(b0, row + j, column + 1u);
        a0 = a1; b0 = b1;
        a1 = a2; b1 = b2;
        a2 = a3; b2 = b3;
        a3 = a4; b3 = b4;
        a4 = a5; b4 = b5;
        a5 = a6; b5 = b6;
        a6 = a7; b6 = b7;
    }
}

// dx (+)= sum over taps and output channels of dy * weight, for stride 2 and padding 0 or 1 above
// and to the left. One thread makes 8 neighbouring pixels of a line by 8 channels: a pixel counted
// from the padding's edge has two taps in a direction when it is even there, else one, so that 5
// loads of dy serve 12 products. Tiles of lines with two taps come first.
@compute @workgroup_size(64)
fn backward_input_down(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let even_lines = (params.in_h + 1u - params.pad) / 2u;
    let even_tiles = (params.batch * even_lines * params.strips + 63u) / 64u;
    let even = tile / params.column_tiles < even_tiles;
    let first = select(even_tiles, 0u, even);
    let lines = select((params.in_h + params.pad) / 2u, even_lines, even);
    let rows = params.batch * lines * params.strips;
    let index = (tile / params.column_tiles - first) * 64u + lane;
    if rows == 0u {
        return;
    }
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, rows - 1u);
    let line = strip / params.strips;
    let su = (strip - line * params.strips) * 8u;
    let image = line / lines;
    let half = line - image * lines;
    let py = 2u * half + select(1u - params.pad, params.pad, even);
    let depth = params.out_c4;
    let width = i32(params.out_w);
    // The 5 pixels of dy from su / 2 - 1, as offsets in a line; outside is zero.
    let col0 = i32(su / 2u) + -1;
    let col1 = i32(su / 2u) + 0;
    let col2 = i32(su / 2u) + 1;
    let col3 = i32(su / 2u) + 2;
    let col4 = i32(su / 2u) + 3;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let real1 = col1 >= 0 && col1 < width;
    let real2 = col2 >= 0 && col2 < width;
    let real3 = col3 >= 0 && col3 < width;
    let real4 = col4 >= 0 && col4 < width;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let zero = vec4f();
    let co = params.out_c4;
    // Columns that overhang read the last valid one again and are not stored.
    let over1 = 4u * co * (min(column + 1u, params.in_c4 - 1u) - column);
    // What this lane loads of the weights of a step.
    let row4 = (id & 3u) * co;
    let second = (id & 4u) != 0u;
    let piece0 = row4 + select(select(0u, over1, second), 0u, LANES == 4u);
    let piece1 = row4 + over1;
    let taps = select(1u, 2u, even);
    for (var k = 0u; k < taps; k++) {
        let ky = select(1u, 2u * k, even);
        let sy = (i32(py + params.pad) - i32(ky)) >> 1u;
        let inside = sy >= 0 && sy < i32(params.out_h);
        let start = (image * params.out_h + u32(select(0, sy, inside))) * params.out_w * depth;
        let m0 = inside && real0;
        let m1 = inside && real1;
        let m2 = inside && real2;
        let m3 = inside && real3;
        let m4 = inside && real4;
        let tap0 = (ky * 3u * params.in_c4 + column) * 4u * co;
        let tap1 = tap0 + params.in_c4 * 4u * co;
        let tap2 = tap1 + params.in_c4 * 4u * co;
        for (var c = 0u; c < depth; c++) {
            let v0 = select(zero, y[start + off0 + c], m0);
            let v1 = select(zero, y[start + off1 + c], m1);
            let v2 = select(zero, y[start + off2 + c], m2);
            let v3 = select(zero, y[start + off3 + c], m3);
            let v4 = select(zero, y[start + off4 + c], m4);
            {
                let w = tap0 + c;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let ra0 = spread0(f0, f1);
                let ra1 = spread1(f0, f1);
                let ra2 = spread2(f0, f1);
                let ra3 = spread3(f0, f1);
                let rb0 = spread4(f0, f1);
                let rb1 = spread5(f0, f1);
                let rb2 = spread6(f0, f1);
                let rb3 = spread7(f0, f1);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                a0 = mac(a0, v1, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v1, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v2, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v2, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v3, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v3, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v4, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v4, wb0, wb1, wb2, wb3);
            }
            {
                let w = tap1 + c;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let ra0 = spread0(f0, f1);
                let ra1 = spread1(f0, f1);
                let ra2 = spread2(f0, f1);
                let ra3 = spread3(f0, f1);
                let rb0 = spread4(f0, f1);
                let rb1 = spread5(f0, f1);
                let rb2 = spread6(f0, f1);
                let rb3 = spread7(f0, f1);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                a1 = mac(a1, v1, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v1, wb0, wb1, wb2, wb3);
                a3 = mac(a3, v2, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v2, wb0, wb1, wb2, wb3);
                a5 = mac(a5, v3, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v3, wb0, wb1, wb2, wb3);
                a7 = mac(a7, v4, wa0, wa1, wa2, wa3);
                b7 = mac(b7, v4, wb0, wb1, wb2, wb3);
            }
            {
                let w = tap2 + c;
                let f0 = weight[w + piece0];
                let f1 = select(zero, weight[w + piece1], LANES == 4u);
                let ra0 = spread0(f0, f1);
                let ra1 = spread1(f0, f1);
                let ra2 = spread2(f0, f1);
                let ra3 = spread3(f0, f1);
                let rb0 = spread4(f0, f1);
                let rb1 = spread5(f0, f1);
                let rb2 = spread6(f0, f1);
                let rb3 = spread7(f0, f1);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                a0 = mac(a0, v0, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v0, wb0, wb1, wb2, wb3);
                a2 = mac(a2, v1, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v1, wb0, wb1, wb2, wb3);
                a4 = mac(a4, v2, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v2, wb0, wb1, wb2, wb3);
                a6 = mac(a6, v3, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v3, wb0, wb1, wb2, wb3);
            }
        }
    }
    if index >= rows {
        return;
    }
    let row = (image * params.in_h + py) * params.in_w;
    if su + 0u >= params.pad && su + 0u < params.in_w + params.pad {
        store_input(a0, row + su + 0u - params.pad, column + 0u);
        store_input(b0, row + su + 0u - params.pad, column + 1u);
    }
    if su + 1u >= params.pad && su + 1u < params.in_w + params.pad {
        store_input(a1, row + su + 1u - params.pad, column + 0u);
        store_input(b1, row + su + 1u - params.pad, column + 1u);
    }
    if su + 2u >= params.pad && su + 2u < params.in_w + params.pad {
        store_input(a2, row + su + 2u - params.pad, column + 0u);
        store_input(b2, row + su + 2u - params.pad, column + 1u);
    }
    if su + 3u >= params.pad && su + 3u < params.in_w + params.pad {
        store_input(a3, row + su + 3u - params.pad, column + 0u);
        store_input(b3, row + su + 3u - params.pad, column + 1u);
    }
    if su + 4u >= params.pad && su + 4u < params.in_w + params.pad {
        store_input(a4, row + su + 4u - params.pad, column + 0u);
        store_input(b4, row + su + 4u - params.pad, column + 1u);
    }
    if su + 5u >= params.pad && su + 5u < params.in_w + params.pad {
        store_input(a5, row + su + 5u - params.pad, column + 0u);
        store_input(b5, row + su + 5u - params.pad, column + 1u);
    }
    if su + 6u >= params.pad && su + 6u < params.in_w + params.pad {
        store_input(a6, row + su + 6u - params.pad, column + 0u);
        store_input(b6, row + su + 6u - params.pad, column + 1u);
    }
    if su + 7u >= params.pad && su + 7u < params.in_w + params.pad {
        store_input(a7, row + su + 7u - params.pad, column + 0u);
        store_input(b7, row + su + 7u - params.pad, column + 1u);
    }
}

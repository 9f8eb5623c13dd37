// 3x3 convolution with stride 1 and padding 1, channels last. Written by scripts/make_convolutions.py.
// One thread makes 8 neighbouring pixels of a line by 8 channels, and slides a window of 10 pixels
// over the three taps of a kernel row: 10 loads of the input serve 24 products. STRIP is 8, or 7 for
// widths that it divides better. `backward_input_down` belongs to stride 2.
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

// y = bias + sample + residual + sum over taps and input channels of x * weight.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let index = tile / params.column_tiles * 64u + lane;
    if index >= params.rows {
        return;
    }
    let strip = index;
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
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + ky - 1;
        let inside = sy >= 0 && sy < i32(params.in_h);
        if !inside {
            continue;
        }
        let start = (image * params.in_h + u32(sy)) * params.in_w * depth;
        let m0 = real0;
        let m1 = real1;
        let m2 = real2;
        let m3 = real3;
        let m4 = real4;
        let m5 = real5;
        let m6 = real6;
        let m7 = real7;
        let m8 = real8;
        let m9 = real9;
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
                let wa0 = weight[w];
                let wa1 = weight[w + co];
                let wa2 = weight[w + 2u * co];
                let wa3 = weight[w + 3u * co];
                let wb0 = weight[w + over1];
                let wb1 = weight[w + co + over1];
                let wb2 = weight[w + 2u * co + over1];
                let wb3 = weight[w + 3u * co + over1];
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
                let wa0 = weight[w];
                let wa1 = weight[w + co];
                let wa2 = weight[w + 2u * co];
                let wa3 = weight[w + 3u * co];
                let wb0 = weight[w + over1];
                let wb1 = weight[w + co + over1];
                let wb2 = weight[w + 2u * co + over1];
                let wb3 = weight[w + 3u * co + over1];
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
                let wa0 = weight[w];
                let wa1 = weight[w + co];
                let wa2 = weight[w + 2u * co];
                let wa3 = weight[w + 3u * co];
                let wb0 = weight[w + over1];
                let wb1 = weight[w + co + over1];
                let wb2 = weight[w + 2u * co + over1];
                let wb3 = weight[w + 3u * co + over1];
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
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let index = tile / params.column_tiles * 64u + lane;
    if index >= params.rows {
        return;
    }
    let strip = index;
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
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + 1 - ky;
        let inside = sy >= 0 && sy < i32(params.in_h);
        if !inside {
            continue;
        }
        let start = (image * params.in_h + u32(sy)) * params.in_w * depth;
        let m0 = real0;
        let m1 = real1;
        let m2 = real2;
        let m3 = real3;
        let m4 = real4;
        let m5 = real5;
        let m6 = real6;
        let m7 = real7;
        let m8 = real8;
        let m9 = real9;
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
                let ra0 = weight[w];
                let ra1 = weight[w + co];
                let ra2 = weight[w + 2u * co];
                let ra3 = weight[w + 3u * co];
                let rb0 = weight[w + over1];
                let rb1 = weight[w + co + over1];
                let rb2 = weight[w + 2u * co + over1];
                let rb3 = weight[w + 3u * co + over1];
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
                let ra0 = weight[w];
                let ra1 = weight[w + co];
                let ra2 = weight[w + 2u * co];
                let ra3 = weight[w + 3u * co];
                let rb0 = weight[w + over1];
                let rb1 = weight[w + co + over1];
                let rb2 = weight[w + 2u * co + over1];
                let rb3 = weight[w + 3u * co + over1];
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
                let ra0 = weight[w];
                let ra1 = weight[w + co];
                let ra2 = weight[w + 2u * co];
                let ra3 = weight[w + 3u * co];
                let rb0 = weight[w + over1];
                let rb1 = weight[w + co + over1];
                let rb2 = weight[w + 2u * co + over1];
                let rb3 = weight[w + 3u * co + over1];
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
    if index >= rows {
        return;
    }
    let strip = index;
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
                let ra0 = weight[w];
                let ra1 = weight[w + co];
                let ra2 = weight[w + 2u * co];
                let ra3 = weight[w + 3u * co];
                let rb0 = weight[w + over1];
                let rb1 = weight[w + co + over1];
                let rb2 = weight[w + 2u * co + over1];
                let rb3 = weight[w + 3u * co + over1];
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
                let ra0 = weight[w];
                let ra1 = weight[w + co];
                let ra2 = weight[w + 2u * co];
                let ra3 = weight[w + 3u * co];
                let rb0 = weight[w + over1];
                let rb1 = weight[w + co + over1];
                let rb2 = weight[w + 2u * co + over1];
                let rb3 = weight[w + 3u * co + over1];
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
                let ra0 = weight[w];
                let ra1 = weight[w + co];
                let ra2 = weight[w + 2u * co];
                let ra3 = weight[w + 3u * co];
                let rb0 = weight[w + over1];
                let rb1 = weight[w + co + over1];
                let rb2 = weight[w + 2u * co + over1];
                let rb3 = weight[w + 3u * co + over1];
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

// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.
// One thread makes the 3 taps of a kernel row by 8 input by 8 output channels, and walks along
// the image's lines with the last three pixels of x in registers.
@compute @workgroup_size(64)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let rows = (params.in_c4 + 1u) / 2u;
    let total = 3u * rows * params.column_tiles * params.splits;
    let tile = tile_index(workgroup, workgroups);
    let tiles = (total + 63u) / 64u;
    if tile >= tiles {
        image_sums((tile - tiles) * 64u + lane);
        return;
    }
    let index = tile * 64u + lane;
    if index >= total {
        return;
    }
    let column = index % params.column_tiles * 2u;
    let rest = index / params.column_tiles;
    let row = rest % rows * 2u;
    let outer = rest / rows;
    let ky = outer % 3u;
    let split = outer / 3u;
    let ci = params.in_c4;
    let co = params.out_c4;
    // Overhanging vec4s are read from the last valid place and not stored.
    let x_over = select(1u, 0u, row + 1u >= ci);
    let y_over = select(1u, 0u, column + 1u >= co);
    var a00 = vec4f(); var a01 = vec4f(); var a02 = vec4f(); var a03 = vec4f();
    var a04 = vec4f(); var a05 = vec4f(); var a06 = vec4f(); var a07 = vec4f();
    var b00 = vec4f(); var b01 = vec4f(); var b02 = vec4f(); var b03 = vec4f();
    var b04 = vec4f(); var b05 = vec4f(); var b06 = vec4f(); var b07 = vec4f();
    var a10 = vec4f(); var a11 = vec4f(); var a12 = vec4f(); var a13 = vec4f();
    var a14 = vec4f(); var a15 = vec4f(); var a16 = vec4f(); var a17 = vec4f();
    var b10 = vec4f(); var b11 = vec4f(); var b12 = vec4f(); var b13 = vec4f();
    var b14 = vec4f(); var b15 = vec4f(); var b16 = vec4f(); var b17 = vec4f();
    var a20 = vec4f(); var a21 = vec4f(); var a22 = vec4f(); var a23 = vec4f();
    var a24 = vec4f(); var a25 = vec4f(); var a26 = vec4f(); var a27 = vec4f();
    var b20 = vec4f(); var b21 = vec4f(); var b22 = vec4f(); var b23 = vec4f();
    var b24 = vec4f(); var b25 = vec4f(); var b26 = vec4f(); var b27 = vec4f();
    let y_from = u32(max(0, 1 - i32(ky)));
    let y_to = min(params.out_h, params.in_h + 1u - ky);
    let image_from = split * params.split_images;
    let image_to = min(params.batch, image_from + params.split_images);
    for (var n = image_from; n < image_to; n++) {
        for (var oy = y_from; oy < y_to; oy++) {
            var xi = (n * params.in_h + oy + ky - 1u) * params.in_w * ci + row;
            var yi = (n * params.out_h + oy) * params.out_w * co + column;
            var u0 = vec4f();
            var v0 = vec4f();
            var u1 = x[xi];
            var v1 = x[xi + x_over];
            for (var ox = 1u; ox <= params.out_w; ox++) {
                var u2 = vec4f();
                var v2 = vec4f();
                if ox < params.out_w {
                    xi += ci;
                    u2 = x[xi];
                    v2 = x[xi + x_over];
                }
                let da = y[yi];
                let db = y[yi + y_over];
                yi += co;
                a00 = fma(da, vec4f(u0.x), a00);
                b00 = fma(db, vec4f(u0.x), b00);
                a01 = fma(da, vec4f(u0.y), a01);
                b01 = fma(db, vec4f(u0.y), b01);
                a02 = fma(da, vec4f(u0.z), a02);
                b02 = fma(db, vec4f(u0.z), b02);
                a03 = fma(da, vec4f(u0.w), a03);
                b03 = fma(db, vec4f(u0.w), b03);
                a04 = fma(da, vec4f(v0.x), a04);
                b04 = fma(db, vec4f(v0.x), b04);
                a05 = fma(da, vec4f(v0.y), a05);
                b05 = fma(db, vec4f(v0.y), b05);
                a06 = fma(da, vec4f(v0.z), a06);
                b06 = fma(db, vec4f(v0.z), b06);
                a07 = fma(da, vec4f(v0.w), a07);
                b07 = fma(db, vec4f(v0.w), b07);
                a10 = fma(da, vec4f(u1.x), a10);
                b10 = fma(db, vec4f(u1.x), b10);
                a11 = fma(da, vec4f(u1.y), a11);
                b11 = fma(db, vec4f(u1.y), b11);
                a12 = fma(da, vec4f(u1.z), a12);
                b12 = fma(db, vec4f(u1.z), b12);
                a13 = fma(da, vec4f(u1.w), a13);
                b13 = fma(db, vec4f(u1.w), b13);
                a14 = fma(da, vec4f(v1.x), a14);
                b14 = fma(db, vec4f(v1.x), b14);
                a15 = fma(da, vec4f(v1.y), a15);
                b15 = fma(db, vec4f(v1.y), b15);
                a16 = fma(da, vec4f(v1.z), a16);
                b16 = fma(db, vec4f(v1.z), b16);
                a17 = fma(da, vec4f(v1.w), a17);
                b17 = fma(db, vec4f(v1.w), b17);
                a20 = fma(da, vec4f(u2.x), a20);
                b20 = fma(db, vec4f(u2.x), b20);
                a21 = fma(da, vec4f(u2.y), a21);
                b21 = fma(db, vec4f(u2.y), b21);
                a22 = fma(da, vec4f(u2.z), a22);
                b22 = fma(db, vec4f(u2.z), b22);
                a23 = fma(da, vec4f(u2.w), a23);
                b23 = fma(db, vec4f(u2.w), b23);
                a24 = fma(da, vec4f(v2.x), a24);
                b24 = fma(db, vec4f(v2.x), b24);
                a25 = fma(da, vec4f(v2.y), a25);
                b25 = fma(db, vec4f(v2.y), b25);
                a26 = fma(da, vec4f(v2.z), a26);
                b26 = fma(db, vec4f(v2.z), b26);
                a27 = fma(da, vec4f(v2.w), a27);
                b27 = fma(db, vec4f(v2.w), b27);
                u0 = u1;
                v0 = v1;
                u1 = u2;
                v1 = v2;
            }
        }
    }
    var at = ((split * 9u + ky * 3u) * ci + row) * 4u * co + column;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    for (var taps = 3u; taps > 0u; taps--) {
        store_weight(a00, at + 0u * co + 0u, column + 0u);
        store_weight(b00, at + 0u * co + 1u, column + 1u);
        store_weight(a01, at + 1u * co + 0u, column + 0u);
        store_weight(b01, at + 1u * co + 1u, column + 1u);
        store_weight(a02, at + 2u * co + 0u, column + 0u);
        store_weight(b02, at + 2u * co + 1u, column + 1u);
        store_weight(a03, at + 3u * co + 0u, column + 0u);
        store_weight(b03, at + 3u * co + 1u, column + 1u);
        if row + 1u < ci {
            store_weight(a04, at + 4u * co + 0u, column + 0u);
            store_weight(b04, at + 4u * co + 1u, column + 1u);
            store_weight(a05, at + 5u * co + 0u, column + 0u);
            store_weight(b05, at + 5u * co + 1u, column + 1u);
            store_weight(a06, at + 6u * co + 0u, column + 0u);
            store_weight(b06, at + 6u * co + 1u, column + 1u);
            store_weight(a07, at + 7u * co + 0u, column + 0u);
            store_weight(b07, at + 7u * co + 1u, column + 1u);
        }
        a00 = a10; a01 = a11; a02 = a12; a03 = a13;
        a04 = a14; a05 = a15; a06 = a16; a07 = a17;
        b00 = b10; b01 = b11; b02 = b12; b03 = b13;
        b04 = b14; b05 = b15; b06 = b16; b07 = b17;
        a10 = a20; a11 = a21; a12 = a22; a13 = a23;
        a14 = a24; a15 = a25; a16 = a26; a17 = a27;
        b10 = b20; b11 = b21; b12 = b22; b13 = b23;
        b14 = b24; b15 = b25; b16 = b26; b17 = b27;
        at += ci * 4u * co;
    }
}

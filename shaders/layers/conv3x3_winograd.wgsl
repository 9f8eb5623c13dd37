// 3x3 convolution with stride 1 and padding 1, channels last, by Winograd's minimal filtering F(2x2, 3x3):
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), section 4.1. Written by
// scripts/make_convolutions.py. Tiles of 2 x 2 pixels are A^T [(G g G^T) * (B^T d B)] A with d the 4 x 4
// pixels around them: 16 products for 36.
// One thread makes 4 neighbouring tiles by 32 channels (or 24), one row of the transform after the other, so that
// 20 loads of the input and 16 of the weights serve 128 products. The lanes of a subgroup, at least 8,
// share the weights by broadcasts. `transform_weight` comes first.
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
// [Cin, Cout, 4, 4, 4]: for four input and four output channels, rows and columns of the transform,
// then the input channels
@group(0) @binding(7) var<storage, read_write> transformed: array<vec4f>;

// What is added to every pixel of an image.
fn addend(image: u32, column: u32) -> vec4f {
    var v = vec4f();
    let at = min(column, params.out_c4 - 1u);
    if (params.flags & 1u) != 0u {
        v += bias[at];
    }
    if (params.flags & 2u) != 0u {
        v += sample[image * params.sample_c4 + params.sample_first + at];
    }
    return v;
}

fn store(acc: vec4f, row: u32, column: u32) {
    if column >= params.out_c4 {
        return;
    }
    var v = acc;
    let at = row * params.out_c4 + column;
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

// G times a column of g.
fn spread_taps(g0: vec4f, g1: vec4f, g2: vec4f) -> array<vec4f, 4> {
    let even = 0.5 * (g0 + g2);
    let odd = 0.5 * g1;
    return array(g0, even + odd, even - odd, g2);
}

// G g G^T, one input by four output channels a thread. The mirrored kernel of the input gradient has the
// same with rows and columns 0 and 3 exchanged.
@compute @workgroup_size(64)
fn transform_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = tile_index(workgroup, workgroups) * 64u + lane;
    let step = 4u * params.in_c4 * params.out_c4;
    if index >= step {
        return;
    }
    let channel = index / params.out_c4;
    let column = index - channel * params.out_c4;
    let a = spread_taps(weight[index], weight[index + step], weight[index + 2u * step]);
    let b = spread_taps(weight[index + 3u * step], weight[index + 4u * step], weight[index + 5u * step]);
    let c = spread_taps(weight[index + 6u * step], weight[index + 7u * step], weight[index + 8u * step]);
    let to = (channel / 4u * params.out_c4 + column) * 64u + channel % 4u;
    let u0 = spread_taps(a[0], b[0], c[0]);
    transformed[to + 0u] = u0[0];
    transformed[to + 16u] = u0[1];
    transformed[to + 32u] = u0[2];
    transformed[to + 48u] = u0[3];
    let u1 = spread_taps(a[1], b[1], c[1]);
    transformed[to + 4u] = u1[0];
    transformed[to + 20u] = u1[1];
    transformed[to + 36u] = u1[2];
    transformed[to + 52u] = u1[3];
    let u2 = spread_taps(a[2], b[2], c[2]);
    transformed[to + 8u] = u2[0];
    transformed[to + 24u] = u2[1];
    transformed[to + 40u] = u2[2];
    transformed[to + 56u] = u2[3];
    let u3 = spread_taps(a[3], b[3], c[3]);
    transformed[to + 12u] = u3[0];
    transformed[to + 28u] = u3[1];
    transformed[to + 44u] = u3[2];
    transformed[to + 60u] = u3[3];
}

// y = bias + sample + residual + sum over taps and input channels of x * weight.
@compute @workgroup_size(16)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 8u;
    let index = tile / params.column_tiles * 16u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let pair = strip / params.strips;
    let px = (strip - pair * params.strips) * 8u;
    let pairs = (params.in_h + 1u) / 2u;
    let image = pair / pairs;
    let py = (pair - image * pairs) * 2u;
    let depth = params.in_c4;
    let width = i32(params.in_w);
    let height = i32(params.in_h);
    let co = params.out_c4;
    let zero = vec4f();
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let col1 = i32(px) + 0;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let real1 = col1 >= 0 && col1 < width;
    let col2 = i32(px) + 1;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let real2 = col2 >= 0 && col2 < width;
    let col3 = i32(px) + 2;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let real3 = col3 >= 0 && col3 < width;
    let col4 = i32(px) + 3;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let real4 = col4 >= 0 && col4 < width;
    let col5 = i32(px) + 4;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let real5 = col5 >= 0 && col5 < width;
    let col6 = i32(px) + 5;
    let off6 = u32(clamp(col6, 0, width - 1)) * depth;
    let real6 = col6 >= 0 && col6 < width;
    let col7 = i32(px) + 6;
    let off7 = u32(clamp(col7, 0, width - 1)) * depth;
    let real7 = col7 >= 0 && col7 < width;
    let col8 = i32(px) + 7;
    let off8 = u32(clamp(col8, 0, width - 1)) * depth;
    let real8 = col8 >= 0 && col8 < width;
    let col9 = i32(px) + 8;
    let off9 = u32(clamp(col9, 0, width - 1)) * depth;
    let real9 = col9 >= 0 && col9 < width;
    // What this lane loads of the weights of a step. Columns that overhang read the last valid one
    // again and are not stored.
    let last = params.out_c4 - 1u;
    let second = (id & 4u) / 4u;
    let piece0 = 64u * min(column + 0u + second, last) + (id & 3u);
    let piece1 = 64u * min(column + 2u + second, last) + (id & 3u);
    let piece2 = 64u * min(column + 4u + second, last) + (id & 3u);
    let piece3 = 64u * min(column + 6u + second, last) + (id & 3u);
    var ya00 = zero; var ya01 = zero; var ya02 = zero; var ya03 = zero;
    var ya10 = zero; var ya11 = zero; var ya12 = zero; var ya13 = zero;
    var ya20 = zero; var ya21 = zero; var ya22 = zero; var ya23 = zero;
    var ya30 = zero; var ya31 = zero; var ya32 = zero; var ya33 = zero;
    var yb00 = zero; var yb01 = zero; var yb02 = zero; var yb03 = zero;
    var yb10 = zero; var yb11 = zero; var yb12 = zero; var yb13 = zero;
    var yb20 = zero; var yb21 = zero; var yb22 = zero; var yb23 = zero;
    var yb30 = zero; var yb31 = zero; var yb32 = zero; var yb33 = zero;
    var yc00 = zero; var yc01 = zero; var yc02 = zero; var yc03 = zero;
    var yc10 = zero; var yc11 = zero; var yc12 = zero; var yc13 = zero;
    var yc20 = zero; var yc21 = zero; var yc22 = zero; var yc23 = zero;
    var yc30 = zero; var yc31 = zero; var yc32 = zero; var yc33 = zero;
    var yd00 = zero; var yd01 = zero; var yd02 = zero; var yd03 = zero;
    var yd10 = zero; var yd11 = zero; var yd12 = zero; var yd13 = zero;
    var yd20 = zero; var yd21 = zero; var yd22 = zero; var yd23 = zero;
    var yd30 = zero; var yd31 = zero; var yd32 = zero; var yd33 = zero;
    var ye00 = zero; var ye01 = zero; var ye02 = zero; var ye03 = zero;
    var ye10 = zero; var ye11 = zero; var ye12 = zero; var ye13 = zero;
    var ye20 = zero; var ye21 = zero; var ye22 = zero; var ye23 = zero;
    var ye30 = zero; var ye31 = zero; var ye32 = zero; var ye33 = zero;
    var yf00 = zero; var yf01 = zero; var yf02 = zero; var yf03 = zero;
    var yf10 = zero; var yf11 = zero; var yf12 = zero; var yf13 = zero;
    var yf20 = zero; var yf21 = zero; var yf22 = zero; var yf23 = zero;
    var yf30 = zero; var yf31 = zero; var yf32 = zero; var yf33 = zero;
    var yg00 = zero; var yg01 = zero; var yg02 = zero; var yg03 = zero;
    var yg10 = zero; var yg11 = zero; var yg12 = zero; var yg13 = zero;
    var yg20 = zero; var yg21 = zero; var yg22 = zero; var yg23 = zero;
    var yg30 = zero; var yg31 = zero; var yg32 = zero; var yg33 = zero;
    var yh00 = zero; var yh01 = zero; var yh02 = zero; var yh03 = zero;
    var yh10 = zero; var yh11 = zero; var yh12 = zero; var yh13 = zero;
    var yh20 = zero; var yh21 = zero; var yh22 = zero; var yh23 = zero;
    var yh30 = zero; var yh31 = zero; var yh32 = zero; var yh33 = zero;
    for (var i = 0u; i < 4u; i++) {
        // Row i of B^T d: d0 - d2, d1 + d2, d2 - d1, d1 - d3.
        let line0 = i32(py + select(min(i, 2u), 1u, i == 3u)) - 1;
        let line1 = i32(py + select(select(2u, 1u, i == 2u), 3u, i == 3u)) - 1;
        let sign = select(-1.0, 1.0, i == 1u);
        let image_line = image * params.in_h;
        let start0 = (image_line + u32(clamp(line0, 0, height - 1))) * params.in_w * depth;
        let start1 = (image_line + u32(clamp(line1, 0, height - 1))) * params.in_w * depth;
        let inside0 = line0 >= 0 && line0 < height;
        let inside1 = line1 >= 0 && line1 < height;
        let taps = i * 16u;
        var a00 = zero; var a01 = zero; var a02 = zero; var a03 = zero;
        var a10 = zero; var a11 = zero; var a12 = zero; var a13 = zero;
        var a20 = zero; var a21 = zero; var a22 = zero; var a23 = zero;
        var a30 = zero; var a31 = zero; var a32 = zero; var a33 = zero;
        var b00 = zero; var b01 = zero; var b02 = zero; var b03 = zero;
        var b10 = zero; var b11 = zero; var b12 = zero; var b13 = zero;
        var b20 = zero; var b21 = zero; var b22 = zero; var b23 = zero;
        var b30 = zero; var b31 = zero; var b32 = zero; var b33 = zero;
        var c00 = zero; var c01 = zero; var c02 = zero; var c03 = zero;
        var c10 = zero; var c11 = zero; var c12 = zero; var c13 = zero;
        var c20 = zero; var c21 = zero; var c22 = zero; var c23 = zero;
        var c30 = zero; var c31 = zero; var c32 = zero; var c33 = zero;
        var d00 = zero; var d01 = zero; var d02 = zero; var d03 = zero;
        var d10 = zero; var d11 = zero; var d12 = zero; var d13 = zero;
        var d20 = zero; var d21 = zero; var d22 = zero; var d23 = zero;
        var d30 = zero; var d31 = zero; var d32 = zero; var d33 = zero;
        var e00 = zero; var e01 = zero; var e02 = zero; var e03 = zero;
        var e10 = zero; var e11 = zero; var e12 = zero; var e13 = zero;
        var e20 = zero; var e21 = zero; var e22 = zero; var e23 = zero;
        var e30 = zero; var e31 = zero; var e32 = zero; var e33 = zero;
        var f00 = zero; var f01 = zero; var f02 = zero; var f03 = zero;
        var f10 = zero; var f11 = zero; var f12 = zero; var f13 = zero;
        var f20 = zero; var f21 = zero; var f22 = zero; var f23 = zero;
        var f30 = zero; var f31 = zero; var f32 = zero; var f33 = zero;
        var g00 = zero; var g01 = zero; var g02 = zero; var g03 = zero;
        var g10 = zero; var g11 = zero; var g12 = zero; var g13 = zero;
        var g20 = zero; var g21 = zero; var g22 = zero; var g23 = zero;
        var g30 = zero; var g31 = zero; var g32 = zero; var g33 = zero;
        var h00 = zero; var h01 = zero; var h02 = zero; var h03 = zero;
        var h10 = zero; var h11 = zero; var h12 = zero; var h13 = zero;
        var h20 = zero; var h21 = zero; var h22 = zero; var h23 = zero;
        var h30 = zero; var h31 = zero; var h32 = zero; var h33 = zero;
        for (var c = 0u; c < depth; c++) {
            var d0 = zero;
            var d1 = zero;
            var d2 = zero;
            var d3 = zero;
            var d4 = zero;
            var d5 = zero;
            var d6 = zero;
            var d7 = zero;
            var d8 = zero;
            var d9 = zero;
            // A loop, as it keeps the code in the processor's cache.
            for (var k = 0u; k < 2u; k++) {
                let start = select(start0, start1, k == 1u) + c;
                let inside = select(inside0, inside1, k == 1u);
                let factor = select(1.0, sign, k == 1u);
                d0 += factor * select(zero, x[start + off0], inside && real0);
                d1 += factor * select(zero, x[start + off1], inside && real1);
                d2 += factor * select(zero, x[start + off2], inside && real2);
                d3 += factor * select(zero, x[start + off3], inside && real3);
                d4 += factor * select(zero, x[start + off4], inside && real4);
                d5 += factor * select(zero, x[start + off5], inside && real5);
                d6 += factor * select(zero, x[start + off6], inside && real6);
                d7 += factor * select(zero, x[start + off7], inside && real7);
                d8 += factor * select(zero, x[start + off8], inside && real8);
                d9 += factor * select(zero, x[start + off9], inside && real9);
            }
            let base = c * co * 64u + taps;
            {
                let w = base + 0u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let wg0 = subgroupBroadcast(f3, 0u);
                let wg1 = subgroupBroadcast(f3, 1u);
                let wg2 = subgroupBroadcast(f3, 2u);
                let wg3 = subgroupBroadcast(f3, 3u);
                let wh0 = subgroupBroadcast(f3, 4u);
                let wh1 = subgroupBroadcast(f3, 5u);
                let wh2 = subgroupBroadcast(f3, 6u);
                let wh3 = subgroupBroadcast(f3, 7u);
                let v0 = d0 - d2;
                a00 = mac(a00, v0, wa0, wa1, wa2, wa3);
                b00 = mac(b00, v0, wb0, wb1, wb2, wb3);
                c00 = mac(c00, v0, wc0, wc1, wc2, wc3);
                d00 = mac(d00, v0, wd0, wd1, wd2, wd3);
                e00 = mac(e00, v0, we0, we1, we2, we3);
                f00 = mac(f00, v0, wf0, wf1, wf2, wf3);
                g00 = mac(g00, v0, wg0, wg1, wg2, wg3);
                h00 = mac(h00, v0, wh0, wh1, wh2, wh3);
                let v1 = d2 - d4;
                a10 = mac(a10, v1, wa0, wa1, wa2, wa3);
                b10 = mac(b10, v1, wb0, wb1, wb2, wb3);
                c10 = mac(c10, v1, wc0, wc1, wc2, wc3);
                d10 = mac(d10, v1, wd0, wd1, wd2, wd3);
                e10 = mac(e10, v1, we0, we1, we2, we3);
                f10 = mac(f10, v1, wf0, wf1, wf2, wf3);
                g10 = mac(g10, v1, wg0, wg1, wg2, wg3);
                h10 = mac(h10, v1, wh0, wh1, wh2, wh3);
                let v2 = d4 - d6;
                a20 = mac(a20, v2, wa0, wa1, wa2, wa3);
                b20 = mac(b20, v2, wb0, wb1, wb2, wb3);
                c20 = mac(c20, v2, wc0, wc1, wc2, wc3);
                d20 = mac(d20, v2, wd0, wd1, wd2, wd3);
                e20 = mac(e20, v2, we0, we1, we2, we3);
                f20 = mac(f20, v2, wf0, wf1, wf2, wf3);
                g20 = mac(g20, v2, wg0, wg1, wg2, wg3);
                h20 = mac(h20, v2, wh0, wh1, wh2, wh3);
                let v3 = d6 - d8;
                a30 = mac(a30, v3, wa0, wa1, wa2, wa3);
                b30 = mac(b30, v3, wb0, wb1, wb2, wb3);
                c30 = mac(c30, v3, wc0, wc1, wc2, wc3);
                d30 = mac(d30, v3, wd0, wd1, wd2, wd3);
                e30 = mac(e30, v3, we0, we1, we2, we3);
                f30 = mac(f30, v3, wf0, wf1, wf2, wf3);
                g30 = mac(g30, v3, wg0, wg1, wg2, wg3);
                h30 = mac(h30, v3, wh0, wh1, wh2, wh3);
            }
            {
                let w = base + 4u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let wg0 = subgroupBroadcast(f3, 0u);
                let wg1 = subgroupBroadcast(f3, 1u);
                let wg2 = subgroupBroadcast(f3, 2u);
                let wg3 = subgroupBroadcast(f3, 3u);
                let wh0 = subgroupBroadcast(f3, 4u);
                let wh1 = subgroupBroadcast(f3, 5u);
                let wh2 = subgroupBroadcast(f3, 6u);
                let wh3 = subgroupBroadcast(f3, 7u);
                let v0 = d1 + d2;
                a01 = mac(a01, v0, wa0, wa1, wa2, wa3);
                b01 = mac(b01, v0, wb0, wb1, wb2, wb3);
                c01 = mac(c01, v0, wc0, wc1, wc2, wc3);
                d01 = mac(d01, v0, wd0, wd1, wd2, wd3);
                e01 = mac(e01, v0, we0, we1, we2, we3);
                f01 = mac(f01, v0, wf0, wf1, wf2, wf3);
                g01 = mac(g01, v0, wg0, wg1, wg2, wg3);
                h01 = mac(h01, v0, wh0, wh1, wh2, wh3);
                let v1 = d3 + d4;
                a11 = mac(a11, v1, wa0, wa1, wa2, wa3);
                b11 = mac(b11, v1, wb0, wb1, wb2, wb3);
                c11 = mac(c11, v1, wc0, wc1, wc2, wc3);
                d11 = mac(d11, v1, wd0, wd1, wd2, wd3);
                e11 = mac(e11, v1, we0, we1, we2, we3);
                f11 = mac(f11, v1, wf0, wf1, wf2, wf3);
                g11 = mac(g11, v1, wg0, wg1, wg2, wg3);
                h11 = mac(h11, v1, wh0, wh1, wh2, wh3);
                let v2 = d5 + d6;
                a21 = mac(a21, v2, wa0, wa1, wa2, wa3);
                b21 = mac(b21, v2, wb0, wb1, wb2, wb3);
                c21 = mac(c21, v2, wc0, wc1, wc2, wc3);
                d21 = mac(d21, v2, wd0, wd1, wd2, wd3);
                e21 = mac(e21, v2, we0, we1, we2, we3);
                f21 = mac(f21, v2, wf0, wf1, wf2, wf3);
                g21 = mac(g21, v2, wg0, wg1, wg2, wg3);
                h21 = mac(h21, v2, wh0, wh1, wh2, wh3);
                let v3 = d7 + d8;
                a31 = mac(a31, v3, wa0, wa1, wa2, wa3);
                b31 = mac(b31, v3, wb0, wb1, wb2, wb3);
                c31 = mac(c31, v3, wc0, wc1, wc2, wc3);
                d31 = mac(d31, v3, wd0, wd1, wd2, wd3);
                e31 = mac(e31, v3, we0, we1, we2, we3);
                f31 = mac(f31, v3, wf0, wf1, wf2, wf3);
                g31 = mac(g31, v3, wg0, wg1, wg2, wg3);
                h31 = mac(h31, v3, wh0, wh1, wh2, wh3);
            }
            {
                let w = base + 8u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let wg0 = subgroupBroadcast(f3, 0u);
                let wg1 = subgroupBroadcast(f3, 1u);
                let wg2 = subgroupBroadcast(f3, 2u);
                let wg3 = subgroupBroadcast(f3, 3u);
                let wh0 = subgroupBroadcast(f3, 4u);
                let wh1 = subgroupBroadcast(f3, 5u);
                let wh2 = subgroupBroadcast(f3, 6u);
                let wh3 = subgroupBroadcast(f3, 7u);
                let v0 = d2 - d1;
                a02 = mac(a02, v0, wa0, wa1, wa2, wa3);
                b02 = mac(b02, v0, wb0, wb1, wb2, wb3);
                c02 = mac(c02, v0, wc0, wc1, wc2, wc3);
                d02 = mac(d02, v0, wd0, wd1, wd2, wd3);
                e02 = mac(e02, v0, we0, we1, we2, we3);
                f02 = mac(f02, v0, wf0, wf1, wf2, wf3);
                g02 = mac(g02, v0, wg0, wg1, wg2, wg3);
                h02 = mac(h02, v0, wh0, wh1, wh2, wh3);
                let v1 = d4 - d3;
                a12 = mac(a12, v1, wa0, wa1, wa2, wa3);
                b12 = mac(b12, v1, wb0, wb1, wb2, wb3);
                c12 = mac(c12, v1, wc0, wc1, wc2, wc3);
                d12 = mac(d12, v1, wd0, wd1, wd2, wd3);
                e12 = mac(e12, v1, we0, we1, we2, we3);
                f12 = mac(f12, v1, wf0, wf1, wf2, wf3);
                g12 = mac(g12, v1, wg0, wg1, wg2, wg3);
                h12 = mac(h12, v1, wh0, wh1, wh2, wh3);
                let v2 = d6 - d5;
                a22 = mac(a22, v2, wa0, wa1, wa2, wa3);
                b22 = mac(b22, v2, wb0, wb1, wb2, wb3);
                c22 = mac(c22, v2, wc0, wc1, wc2, wc3);
                d22 = mac(d22, v2, wd0, wd1, wd2, wd3);
                e22 = mac(e22, v2, we0, we1, we2, we3);
                f22 = mac(f22, v2, wf0, wf1, wf2, wf3);
                g22 = mac(g22, v2, wg0, wg1, wg2, wg3);
                h22 = mac(h22, v2, wh0, wh1, wh2, wh3);
                let v3 = d8 - d7;
                a32 = mac(a32, v3, wa0, wa1, wa2, wa3);
                b32 = mac(b32, v3, wb0, wb1, wb2, wb3);
                c32 = mac(c32, v3, wc0, wc1, wc2, wc3);
                d32 = mac(d32, v3, wd0, wd1, wd2, wd3);
                e32 = mac(e32, v3, we0, we1, we2, we3);
                f32 = mac(f32, v3, wf0, wf1, wf2, wf3);
                g32 = mac(g32, v3, wg0, wg1, wg2, wg3);
                h32 = mac(h32, v3, wh0, wh1, wh2, wh3);
            }
            {
                let w = base + 12u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let wg0 = subgroupBroadcast(f3, 0u);
                let wg1 = subgroupBroadcast(f3, 1u);
                let wg2 = subgroupBroadcast(f3, 2u);
                let wg3 = subgroupBroadcast(f3, 3u);
                let wh0 = subgroupBroadcast(f3, 4u);
                let wh1 = subgroupBroadcast(f3, 5u);
                let wh2 = subgroupBroadcast(f3, 6u);
                let wh3 = subgroupBroadcast(f3, 7u);
                let v0 = d1 - d3;
                a03 = mac(a03, v0, wa0, wa1, wa2, wa3);
                b03 = mac(b03, v0, wb0, wb1, wb2, wb3);
                c03 = mac(c03, v0, wc0, wc1, wc2, wc3);
                d03 = mac(d03, v0, wd0, wd1, wd2, wd3);
                e03 = mac(e03, v0, we0, we1, we2, we3);
                f03 = mac(f03, v0, wf0, wf1, wf2, wf3);
                g03 = mac(g03, v0, wg0, wg1, wg2, wg3);
                h03 = mac(h03, v0, wh0, wh1, wh2, wh3);
                let v1 = d3 - d5;
                a13 = mac(a13, v1, wa0, wa1, wa2, wa3);
                b13 = mac(b13, v1, wb0, wb1, wb2, wb3);
                c13 = mac(c13, v1, wc0, wc1, wc2, wc3);
                d13 = mac(d13, v1, wd0, wd1, wd2, wd3);
                e13 = mac(e13, v1, we0, we1, we2, we3);
                f13 = mac(f13, v1, wf0, wf1, wf2, wf3);
                g13 = mac(g13, v1, wg0, wg1, wg2, wg3);
                h13 = mac(h13, v1, wh0, wh1, wh2, wh3);
                let v2 = d5 - d7;
                a23 = mac(a23, v2, wa0, wa1, wa2, wa3);
                b23 = mac(b23, v2, wb0, wb1, wb2, wb3);
                c23 = mac(c23, v2, wc0, wc1, wc2, wc3);
                d23 = mac(d23, v2, wd0, wd1, wd2, wd3);
                e23 = mac(e23, v2, we0, we1, we2, we3);
                f23 = mac(f23, v2, wf0, wf1, wf2, wf3);
                g23 = mac(g23, v2, wg0, wg1, wg2, wg3);
                h23 = mac(h23, v2, wh0, wh1, wh2, wh3);
                let v3 = d7 - d9;
                a33 = mac(a33, v3, wa0, wa1, wa2, wa3);
                b33 = mac(b33, v3, wb0, wb1, wb2, wb3);
                c33 = mac(c33, v3, wc0, wc1, wc2, wc3);
                d33 = mac(d33, v3, wd0, wd1, wd2, wd3);
                e33 = mac(e33, v3, we0, we1, we2, we3);
                f33 = mac(f33, v3, wf0, wf1, wf2, wf3);
                g33 = mac(g33, v3, wg0, wg1, wg2, wg3);
                h33 = mac(h33, v3, wh0, wh1, wh2, wh3);
            }
        }
        // Column i of A^T.
        let upper = select(1.0, 0.0, i == 3u);
        let lower = select(select(-1.0, 1.0, i == 1u), 0.0, i == 0u);
        {
            let left = a00 + a01 + a02;
            let right = a01 - a02 - a03;
            ya00 += upper * left;
            ya01 += upper * right;
            ya02 += lower * left;
            ya03 += lower * right;
        }
        {
            let left = a10 + a11 + a12;
            let right = a11 - a12 - a13;
            ya10 += upper * left;
            ya11 += upper * right;
            ya12 += lower * left;
            ya13 += lower * right;
        }
        {
            let left = a20 + a21 + a22;
            let right = a21 - a22 - a23;
            ya20 += upper * left;
            ya21 += upper * right;
            ya22 += lower * left;
            ya23 += lower * right;
        }
        {
            let left = a30 + a31 + a32;
            let right = a31 - a32 - a33;
            ya30 += upper * left;
            ya31 += upper * right;
            ya32 += lower * left;
            ya33 += lower * right;
        }
        {
            let left = b00 + b01 + b02;
            let right = b01 - b02 - b03;
            yb00 += upper * left;
            yb01 += upper * right;
            yb02 += lower * left;
            yb03 += lower * right;
        }
        {
            let left = b10 + b11 + b12;
            let right = b11 - b12 - b13;
            yb10 += upper * left;
            yb11 += upper * right;
            yb12 += lower * left;
            yb13 += lower * right;
        }
        {
            let left = b20 + b21 + b22;
            let right = b21 - b22 - b23;
            yb20 += upper * left;
            yb21 += upper * right;
            yb22 += lower * left;
            yb23 += lower * right;
        }
        {
            let left = b30 + b31 + b32;
            let right = b31 - b32 - b33;
            yb30 += upper * left;
            yb31 += upper * right;
            yb32 += lower * left;
            yb33 += lower * right;
        }
        {
            let left = c00 + c01 + c02;
            let right = c01 - c02 - c03;
            yc00 += upper * left;
            yc01 += upper * right;
            yc02 += lower * left;
            yc03 += lower * right;
        }
        {
            let left = c10 + c11 + c12;
            let right = c11 - c12 - c13;
            yc10 += upper * left;
            yc11 += upper * right;
            yc12 += lower * left;
            yc13 += lower * right;
        }
        {
            let left = c20 + c21 + c22;
            let right = c21 - c22 - c23;
            yc20 += upper * left;
            yc21 += upper * right;
            yc22 += lower * left;
            yc23 += lower * right;
        }
        {
            let left = c30 + c31 + c32;
            let right = c31 - c32 - c33;
            yc30 += upper * left;
            yc31 += upper * right;
            yc32 += lower * left;
            yc33 += lower * right;
        }
        {
            let left = d00 + d01 + d02;
            let right = d01 - d02 - d03;
            yd00 += upper * left;
            yd01 += upper * right;
            yd02 += lower * left;
            yd03 += lower * right;
        }
        {
            let left = d10 + d11 + d12;
            let right = d11 - d12 - d13;
            yd10 += upper * left;
            yd11 += upper * right;
            yd12 += lower * left;
            yd13 += lower * right;
        }
        {
            let left = d20 + d21 + d22;
            let right = d21 - d22 - d23;
            yd20 += upper * left;
            yd21 += upper * right;
            yd22 += lower * left;
            yd23 += lower * right;
        }
        {
            let left = d30 + d31 + d32;
            let right = d31 - d32 - d33;
            yd30 += upper * left;
            yd31 += upper * right;
            yd32 += lower * left;
            yd33 += lower * right;
        }
        {
            let left = e00 + e01 + e02;
            let right = e01 - e02 - e03;
            ye00 += upper * left;
            ye01 += upper * right;
            ye02 += lower * left;
            ye03 += lower * right;
        }
        {
            let left = e10 + e11 + e12;
            let right = e11 - e12 - e13;
            ye10 += upper * left;
            ye11 += upper * right;
            ye12 += lower * left;
            ye13 += lower * right;
        }
        {
            let left = e20 + e21 + e22;
            let right = e21 - e22 - e23;
            ye20 += upper * left;
            ye21 += upper * right;
            ye22 += lower * left;
            ye23 += lower * right;
        }
        {
            let left = e30 + e31 + e32;
            let right = e31 - e32 - e33;
            ye30 += upper * left;
            ye31 += upper * right;
            ye32 += lower * left;
            ye33 += lower * right;
        }
        {
            let left = f00 + f01 + f02;
            let right = f01 - f02 - f03;
            yf00 += upper * left;
            yf01 += upper * right;
            yf02 += lower * left;
            yf03 += lower * right;
        }
        {
            let left = f10 + f11 + f12;
            let right = f11 - f12 - f13;
            yf10 += upper * left;
            yf11 += upper * right;
            yf12 += lower * left;
            yf13 += lower * right;
        }
        {
            let left = f20 + f21 + f22;
            let right = f21 - f22 - f23;
            yf20 += upper * left;
            yf21 += upper * right;
            yf22 += lower * left;
            yf23 += lower * right;
        }
        {
            let left = f30 + f31 + f32;
            let right = f31 - f32 - f33;
            yf30 += upper * left;
            yf31 += upper * right;
            yf32 += lower * left;
            yf33 += lower * right;
        }
        {
            let left = g00 + g01 + g02;
            let right = g01 - g02 - g03;
            yg00 += upper * left;
            yg01 += upper * right;
            yg02 += lower * left;
            yg03 += lower * right;
        }
        {
            let left = g10 + g11 + g12;
            let right = g11 - g12 - g13;
            yg10 += upper * left;
            yg11 += upper * right;
            yg12 += lower * left;
            yg13 += lower * right;
        }
        {
            let left = g20 + g21 + g22;
            let right = g21 - g22 - g23;
            yg20 += upper * left;
            yg21 += upper * right;
            yg22 += lower * left;
            yg23 += lower * right;
        }
        {
            let left = g30 + g31 + g32;
            let right = g31 - g32 - g33;
            yg30 += upper * left;
            yg31 += upper * right;
            yg32 += lower * left;
            yg33 += lower * right;
        }
        {
            let left = h00 + h01 + h02;
            let right = h01 - h02 - h03;
            yh00 += upper * left;
            yh01 += upper * right;
            yh02 += lower * left;
            yh03 += lower * right;
        }
        {
            let left = h10 + h11 + h12;
            let right = h11 - h12 - h13;
            yh10 += upper * left;
            yh11 += upper * right;
            yh12 += lower * left;
            yh13 += lower * right;
        }
        {
            let left = h20 + h21 + h22;
            let right = h21 - h22 - h23;
            yh20 += upper * left;
            yh21 += upper * right;
            yh22 += lower * left;
            yh23 += lower * right;
        }
        {
            let left = h30 + h31 + h32;
            let right = h31 - h32 - h33;
            yh30 += upper * left;
            yh31 += upper * right;
            yh32 += lower * left;
            yh33 += lower * right;
        }
    }
    if index >= params.rows {
        return;
    }
    let row = (image * params.in_h + py) * params.in_w + px;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let columns = min(8u, params.out_c4 - column);
    for (var t = 0u; t < columns; t++) {
        let add = addend(image, column + t);
        if py + 0u < params.in_h && px + 0u < params.in_w {
            store(ya00 + add, row + 0u * params.in_w + 0u, column + t);
        }
        if py + 0u < params.in_h && px + 1u < params.in_w {
            store(ya01 + add, row + 0u * params.in_w + 1u, column + t);
        }
        if py + 0u < params.in_h && px + 2u < params.in_w {
            store(ya10 + add, row + 0u * params.in_w + 2u, column + t);
        }
        if py + 0u < params.in_h && px + 3u < params.in_w {
            store(ya11 + add, row + 0u * params.in_w + 3u, column + t);
        }
        if py + 0u < params.in_h && px + 4u < params.in_w {
            store(ya20 + add, row + 0u * params.in_w + 4u, column + t);
        }
        if py + 0u < params.in_h && px + 5u < params.in_w {
            store(ya21 + add, row + 0u * params.in_w + 5u, column + t);
        }
        if py + 0u < params.in_h && px + 6u < params.in_w {
            store(ya30 + add, row + 0u * params.in_w + 6u, column + t);
        }
        if py + 0u < params.in_h && px + 7u < params.in_w {
            store(ya31 + add, row + 0u * params.in_w + 7u, column + t);
        }
        if py + 1u < params.in_h && px + 0u < params.in_w {
            store(ya02 + add, row + 1u * params.in_w + 0u, column + t);
        }
        if py + 1u < params.in_h && px + 1u < params.in_w {
            store(ya03 + add, row + 1u * params.in_w + 1u, column + t);
        }
        if py + 1u < params.in_h && px + 2u < params.in_w {
            store(ya12 + add, row + 1u * params.in_w + 2u, column + t);
        }
        if py + 1u < params.in_h && px + 3u < params.in_w {
            store(ya13 + add, row + 1u * params.in_w + 3u, column + t);
        }
        if py + 1u < params.in_h && px + 4u < params.in_w {
            store(ya22 + add, row + 1u * params.in_w + 4u, column + t);
        }
        if py + 1u < params.in_h && px + 5u < params.in_w {
            store(ya23 + add, row + 1u * params.in_w + 5u, column + t);
        }
        if py + 1u < params.in_h && px + 6u < params.in_w {
            store(ya32 + add, row + 1u * params.in_w + 6u, column + t);
        }
        if py + 1u < params.in_h && px + 7u < params.in_w {
            store(ya33 + add, row + 1u * params.in_w + 7u, column + t);
        }
        ya00 = yb00; ya01 = yb01; ya02 = yb02; ya03 = yb03;
        ya10 = yb10; ya11 = yb11; ya12 = yb12; ya13 = yb13;
        ya20 = yb20; ya21 = yb21; ya22 = yb22; ya23 = yb23;
        ya30 = yb30; ya31 = yb31; ya32 = yb32; ya33 = yb33;
        yb00 = yc00; yb01 = yc01; yb02 = yc02; yb03 = yc03;
        yb10 = yc10; yb11 = yc11; yb12 = yc12; yb13 = yc13;
        yb20 = yc20; yb21 = yc21; yb22 = yc22; yb23 = yc23;
        yb30 = yc30; yb31 = yc31; yb32 = yc32; yb33 = yc33;
        yc00 = yd00; yc01 = yd01; yc02 = yd02; yc03 = yd03;
        yc10 = yd10; yc11 = yd11; yc12 = yd12; yc13 = yd13;
        yc20 = yd20; yc21 = yd21; yc22 = yd22; yc23 = yd23;
        yc30 = yd30; yc31 = yd31; yc32 = yd32; yc33 = yd33;
        yd00 = ye00; yd01 = ye01; yd02 = ye02; yd03 = ye03;
        yd10 = ye10; yd11 = ye11; yd12 = ye12; yd13 = ye13;
        yd20 = ye20; yd21 = ye21; yd22 = ye22; yd23 = ye23;
        yd30 = ye30; yd31 = ye31; yd32 = ye32; yd33 = ye33;
        ye00 = yf00; ye01 = yf01; ye02 = yf02; ye03 = yf03;
        ye10 = yf10; ye11 = yf11; ye12 = yf12; ye13 = yf13;
        ye20 = yf20; ye21 = yf21; ye22 = yf22; ye23 = yf23;
        ye30 = yf30; ye31 = yf31; ye32 = yf32; ye33 = yf33;
        yf00 = yg00; yf01 = yg01; yf02 = yg02; yf03 = yg03;
        yf10 = yg10; yf11 = yg11; yf12 = yg12; yf13 = yg13;
        yf20 = yg20; yf21 = yg21; yf22 = yg22; yf23 = yg23;
        yf30 = yg30; yf31 = yg31; yf32 = yg32; yf33 = yg33;
        yg00 = yh00; yg01 = yh01; yg02 = yh02; yg03 = yh03;
        yg10 = yh10; yg11 = yh11; yg12 = yh12; yg13 = yh13;
        yg20 = yh20; yg21 = yh21; yg22 = yh22; yg23 = yh23;
        yg30 = yh30; yg31 = yh31; yg32 = yh32; yg33 = yh33;
    }
}

// dx (+)= sum over taps and output channels of dy * weight, mirrored.
@compute @workgroup_size(16)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 8u;
    let index = tile / params.column_tiles * 16u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let pair = strip / params.strips;
    let px = (strip - pair * params.strips) * 8u;
    let pairs = (params.in_h + 1u) / 2u;
    let image = pair / pairs;
    let py = (pair - image * pairs) * 2u;
    let depth = params.out_c4;
    let width = i32(params.in_w);
    let height = i32(params.in_h);
    let co = params.out_c4;
    let zero = vec4f();
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let col1 = i32(px) + 0;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let real1 = col1 >= 0 && col1 < width;
    let col2 = i32(px) + 1;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let real2 = col2 >= 0 && col2 < width;
    let col3 = i32(px) + 2;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let real3 = col3 >= 0 && col3 < width;
    let col4 = i32(px) + 3;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let real4 = col4 >= 0 && col4 < width;
    let col5 = i32(px) + 4;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let real5 = col5 >= 0 && col5 < width;
    let col6 = i32(px) + 5;
    let off6 = u32(clamp(col6, 0, width - 1)) * depth;
    let real6 = col6 >= 0 && col6 < width;
    let col7 = i32(px) + 6;
    let off7 = u32(clamp(col7, 0, width - 1)) * depth;
    let real7 = col7 >= 0 && col7 < width;
    let col8 = i32(px) + 7;
    let off8 = u32(clamp(col8, 0, width - 1)) * depth;
    let real8 = col8 >= 0 && col8 < width;
    let col9 = i32(px) + 8;
    let off9 = u32(clamp(col9, 0, width - 1)) * depth;
    let real9 = col9 >= 0 && col9 < width;
    // What this lane loads of the weights of a step. Columns that overhang read the last valid one
    // again and are not stored.
    let last = params.in_c4 - 1u;
    let second = (id & 4u) / 4u;
    let piece0 = 64u * co * min(column + 0u + second, last) + (id & 3u);
    let piece1 = 64u * co * min(column + 2u + second, last) + (id & 3u);
    let piece2 = 64u * co * min(column + 4u + second, last) + (id & 3u);
    let piece3 = 64u * co * min(column + 6u + second, last) + (id & 3u);
    var ya00 = zero; var ya01 = zero; var ya02 = zero; var ya03 = zero;
    var ya10 = zero; var ya11 = zero; var ya12 = zero; var ya13 = zero;
    var ya20 = zero; var ya21 = zero; var ya22 = zero; var ya23 = zero;
    var ya30 = zero; var ya31 = zero; var ya32 = zero; var ya33 = zero;
    var yb00 = zero; var yb01 = zero; var yb02 = zero; var yb03 = zero;
    var yb10 = zero; var yb11 = zero; var yb12 = zero; var yb13 = zero;
    var yb20 = zero; var yb21 = zero; var yb22 = zero; var yb23 = zero;
    var yb30 = zero; var yb31 = zero; var yb32 = zero; var yb33 = zero;
    var yc00 = zero; var yc01 = zero; var yc02 = zero; var yc03 = zero;
    var yc10 = zero; var yc11 = zero; var yc12 = zero; var yc13 = zero;
    var yc20 = zero; var yc21 = zero; var yc22 = zero; var yc23 = zero;
    var yc30 = zero; var yc31 = zero; var yc32 = zero; var yc33 = zero;
    var yd00 = zero; var yd01 = zero; var yd02 = zero; var yd03 = zero;
    var yd10 = zero; var yd11 = zero; var yd12 = zero; var yd13 = zero;
    var yd20 = zero; var yd21 = zero; var yd22 = zero; var yd23 = zero;
    var yd30 = zero; var yd31 = zero; var yd32 = zero; var yd33 = zero;
    var ye00 = zero; var ye01 = zero; var ye02 = zero; var ye03 = zero;
    var ye10 = zero; var ye11 = zero; var ye12 = zero; var ye13 = zero;
    var ye20 = zero; var ye21 = zero; var ye22 = zero; var ye23 = zero;
    var ye30 = zero; var ye31 = zero; var ye32 = zero; var ye33 = zero;
    var yf00 = zero; var yf01 = zero; var yf02 = zero; var yf03 = zero;
    var yf10 = zero; var yf11 = zero; var yf12 = zero; var yf13 = zero;
    var yf20 = zero; var yf21 = zero; var yf22 = zero; var yf23 = zero;
    var yf30 = zero; var yf31 = zero; var yf32 = zero; var yf33 = zero;
    var yg00 = zero; var yg01 = zero; var yg02 = zero; var yg03 = zero;
    var yg10 = zero; var yg11 = zero; var yg12 = zero; var yg13 = zero;
    var yg20 = zero; var yg21 = zero; var yg22 = zero; var yg23 = zero;
    var yg30 = zero; var yg31 = zero; var yg32 = zero; var yg33 = zero;
    var yh00 = zero; var yh01 = zero; var yh02 = zero; var yh03 = zero;
    var yh10 = zero; var yh11 = zero; var yh12 = zero; var yh13 = zero;
    var yh20 = zero; var yh21 = zero; var yh22 = zero; var yh23 = zero;
    var yh30 = zero; var yh31 = zero; var yh32 = zero; var yh33 = zero;
    for (var i = 0u; i < 4u; i++) {
        // Row i of B^T d: d0 - d2, d1 + d2, d2 - d1, d1 - d3.
        let line0 = i32(py + select(min(i, 2u), 1u, i == 3u)) - 1;
        let line1 = i32(py + select(select(2u, 1u, i == 2u), 3u, i == 3u)) - 1;
        let sign = select(-1.0, 1.0, i == 1u);
        let image_line = image * params.in_h;
        let start0 = (image_line + u32(clamp(line0, 0, height - 1))) * params.in_w * depth;
        let start1 = (image_line + u32(clamp(line1, 0, height - 1))) * params.in_w * depth;
        let inside0 = line0 >= 0 && line0 < height;
        let inside1 = line1 >= 0 && line1 < height;
        let taps = select(i, 3u - i, i % 3u == 0u) * 16u;
        var a00 = zero; var a01 = zero; var a02 = zero; var a03 = zero;
        var a10 = zero; var a11 = zero; var a12 = zero; var a13 = zero;
        var a20 = zero; var a21 = zero; var a22 = zero; var a23 = zero;
        var a30 = zero; var a31 = zero; var a32 = zero; var a33 = zero;
        var b00 = zero; var b01 = zero; var b02 = zero; var b03 = zero;
        var b10 = zero; var b11 = zero; var b12 = zero; var b13 = zero;
        var b20 = zero; var b21 = zero; var b22 = zero; var b23 = zero;
        var b30 = zero; var b31 = zero; var b32 = zero; var b33 = zero;
        var c00 = zero; var c01 = zero; var c02 = zero; var c03 = zero;
        var c10 = zero; var c11 = zero; var c12 = zero; var c13 = zero;
        var c20 = zero; var c21 = zero; var c22 = zero; var c23 = zero;
        var c30 = zero; var c31 = zero; var c32 = zero; var c33 = zero;
        var d00 = zero; var d01 = zero; var d02 = zero; var d03 = zero;
        var d10 = zero; var d11 = zero; var d12 = zero; var d13 = zero;
        var d20 = zero; var d21 = zero; var d22 = zero; var d23 = zero;
        var d30 = zero; var d31 = zero; var d32 = zero; var d33 = zero;
        var e00 = zero; var e01 = zero; var e02 = zero; var e03 = zero;
        var e10 = zero; var e11 = zero; var e12 = zero; var e13 = zero;
        var e20 = zero; var e21 = zero; var e22 = zero; var e23 = zero;
        var e30 = zero; var e31 = zero; var e32 = zero; var e33 = zero;
        var f00 = zero; var f01 = zero; var f02 = zero; var f03 = zero;
        var f10 = zero; var f11 = zero; var f12 = zero; var f13 = zero;
        var f20 = zero; var f21 = zero; var f22 = zero; var f23 = zero;
        var f30 = zero; var f31 = zero; var f32 = zero; var f33 = zero;
        var g00 = zero; var g01 = zero; var g02 = zero; var g03 = zero;
        var g10 = zero; var g11 = zero; var g12 = zero; var g13 = zero;
        var g20 = zero; var g21 = zero; var g22 = zero; var g23 = zero;
        var g30 = zero; var g31 = zero; var g32 = zero; var g33 = zero;
        var h00 = zero; var h01 = zero; var h02 = zero; var h03 = zero;
        var h10 = zero; var h11 = zero; var h12 = zero; var h13 = zero;
        var h20 = zero; var h21 = zero; var h22 = zero; var h23 = zero;
        var h30 = zero; var h31 = zero; var h32 = zero; var h33 = zero;
        for (var c = 0u; c < depth; c++) {
            var d0 = zero;
            var d1 = zero;
            var d2 = zero;
            var d3 = zero;
            var d4 = zero;
            var d5 = zero;
            var d6 = zero;
            var d7 = zero;
            var d8 = zero;
            var d9 = zero;
            // A loop, as it keeps the code in the processor's cache.
            for (var k = 0u; k < 2u; k++) {
                let start = select(start0, start1, k == 1u) + c;
                let inside = select(inside0, inside1, k == 1u);
                let factor = select(1.0, sign, k == 1u);
                d0 += factor * select(zero, y[start + off0], inside && real0);
                d1 += factor * select(zero, y[start + off1], inside && real1);
                d2 += factor * select(zero, y[start + off2], inside && real2);
                d3 += factor * select(zero, y[start + off3], inside && real3);
                d4 += factor * select(zero, y[start + off4], inside && real4);
                d5 += factor * select(zero, y[start + off5], inside && real5);
                d6 += factor * select(zero, y[start + off6], inside && real6);
                d7 += factor * select(zero, y[start + off7], inside && real7);
                d8 += factor * select(zero, y[start + off8], inside && real8);
                d9 += factor * select(zero, y[start + off9], inside && real9);
            }
            let base = c * 64u + taps;
            {
                let w = base + 12u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let rg0 = subgroupBroadcast(f3, 0u);
                let rg1 = subgroupBroadcast(f3, 1u);
                let rg2 = subgroupBroadcast(f3, 2u);
                let rg3 = subgroupBroadcast(f3, 3u);
                let wg0 = vec4f(rg0.x, rg1.x, rg2.x, rg3.x);
                let wg1 = vec4f(rg0.y, rg1.y, rg2.y, rg3.y);
                let wg2 = vec4f(rg0.z, rg1.z, rg2.z, rg3.z);
                let wg3 = vec4f(rg0.w, rg1.w, rg2.w, rg3.w);
                let rh0 = subgroupBroadcast(f3, 4u);
                let rh1 = subgroupBroadcast(f3, 5u);
                let rh2 = subgroupBroadcast(f3, 6u);
                let rh3 = subgroupBroadcast(f3, 7u);
                let wh0 = vec4f(rh0.x, rh1.x, rh2.x, rh3.x);
                let wh1 = vec4f(rh0.y, rh1.y, rh2.y, rh3.y);
                let wh2 = vec4f(rh0.z, rh1.z, rh2.z, rh3.z);
                let wh3 = vec4f(rh0.w, rh1.w, rh2.w, rh3.w);
                let v0 = d0 - d2;
                a00 = mac(a00, v0, wa0, wa1, wa2, wa3);
                b00 = mac(b00, v0, wb0, wb1, wb2, wb3);
                c00 = mac(c00, v0, wc0, wc1, wc2, wc3);
                d00 = mac(d00, v0, wd0, wd1, wd2, wd3);
                e00 = mac(e00, v0, we0, we1, we2, we3);
                f00 = mac(f00, v0, wf0, wf1, wf2, wf3);
                g00 = mac(g00, v0, wg0, wg1, wg2, wg3);
                h00 = mac(h00, v0, wh0, wh1, wh2, wh3);
                let v1 = d2 - d4;
                a10 = mac(a10, v1, wa0, wa1, wa2, wa3);
                b10 = mac(b10, v1, wb0, wb1, wb2, wb3);
                c10 = mac(c10, v1, wc0, wc1, wc2, wc3);
                d10 = mac(d10, v1, wd0, wd1, wd2, wd3);
                e10 = mac(e10, v1, we0, we1, we2, we3);
                f10 = mac(f10, v1, wf0, wf1, wf2, wf3);
                g10 = mac(g10, v1, wg0, wg1, wg2, wg3);
                h10 = mac(h10, v1, wh0, wh1, wh2, wh3);
                let v2 = d4 - d6;
                a20 = mac(a20, v2, wa0, wa1, wa2, wa3);
                b20 = mac(b20, v2, wb0, wb1, wb2, wb3);
                c20 = mac(c20, v2, wc0, wc1, wc2, wc3);
                d20 = mac(d20, v2, wd0, wd1, wd2, wd3);
                e20 = mac(e20, v2, we0, we1, we2, we3);
                f20 = mac(f20, v2, wf0, wf1, wf2, wf3);
                g20 = mac(g20, v2, wg0, wg1, wg2, wg3);
                h20 = mac(h20, v2, wh0, wh1, wh2, wh3);
                let v3 = d6 - d8;
                a30 = mac(a30, v3, wa0, wa1, wa2, wa3);
                b30 = mac(b30, v3, wb0, wb1, wb2, wb3);
                c30 = mac(c30, v3, wc0, wc1, wc2, wc3);
                d30 = mac(d30, v3, wd0, wd1, wd2, wd3);
                e30 = mac(e30, v3, we0, we1, we2, we3);
                f30 = mac(f30, v3, wf0, wf1, wf2, wf3);
                g30 = mac(g30, v3, wg0, wg1, wg2, wg3);
                h30 = mac(h30, v3, wh0, wh1, wh2, wh3);
            }
            {
                let w = base + 4u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let rg0 = subgroupBroadcast(f3, 0u);
                let rg1 = subgroupBroadcast(f3, 1u);
                let rg2 = subgroupBroadcast(f3, 2u);
                let rg3 = subgroupBroadcast(f3, 3u);
                let wg0 = vec4f(rg0.x, rg1.x, rg2.x, rg3.x);
                let wg1 = vec4f(rg0.y, rg1.y, rg2.y, rg3.y);
                let wg2 = vec4f(rg0.z, rg1.z, rg2.z, rg3.z);
                let wg3 = vec4f(rg0.w, rg1.w, rg2.w, rg3.w);
                let rh0 = subgroupBroadcast(f3, 4u);
                let rh1 = subgroupBroadcast(f3, 5u);
                let rh2 = subgroupBroadcast(f3, 6u);
                let rh3 = subgroupBroadcast(f3, 7u);
                let wh0 = vec4f(rh0.x, rh1.x, rh2.x, rh3.x);
                let wh1 = vec4f(rh0.y, rh1.y, rh2.y, rh3.y);
                let wh2 = vec4f(rh0.z, rh1.z, rh2.z, rh3.z);
                let wh3 = vec4f(rh0.w, rh1.w, rh2.w, rh3.w);
                let v0 = d1 + d2;
                a01 = mac(a01, v0, wa0, wa1, wa2, wa3);
                b01 = mac(b01, v0, wb0, wb1, wb2, wb3);
                c01 = mac(c01, v0, wc0, wc1, wc2, wc3);
                d01 = mac(d01, v0, wd0, wd1, wd2, wd3);
                e01 = mac(e01, v0, we0, we1, we2, we3);
                f01 = mac(f01, v0, wf0, wf1, wf2, wf3);
                g01 = mac(g01, v0, wg0, wg1, wg2, wg3);
                h01 = mac(h01, v0, wh0, wh1, wh2, wh3);
                let v1 = d3 + d4;
                a11 = mac(a11, v1, wa0, wa1, wa2, wa3);
                b11 = mac(b11, v1, wb0, wb1, wb2, wb3);
                c11 = mac(c11, v1, wc0, wc1, wc2, wc3);
                d11 = mac(d11, v1, wd0, wd1, wd2, wd3);
                e11 = mac(e11, v1, we0, we1, we2, we3);
                f11 = mac(f11, v1, wf0, wf1, wf2, wf3);
                g11 = mac(g11, v1, wg0, wg1, wg2, wg3);
                h11 = mac(h11, v1, wh0, wh1, wh2, wh3);
                let v2 = d5 + d6;
                a21 = mac(a21, v2, wa0, wa1, wa2, wa3);
                b21 = mac(b21, v2, wb0, wb1, wb2, wb3);
                c21 = mac(c21, v2, wc0, wc1, wc2, wc3);
                d21 = mac(d21, v2, wd0, wd1, wd2, wd3);
                e21 = mac(e21, v2, we0, we1, we2, we3);
                f21 = mac(f21, v2, wf0, wf1, wf2, wf3);
                g21 = mac(g21, v2, wg0, wg1, wg2, wg3);
                h21 = mac(h21, v2, wh0, wh1, wh2, wh3);
                let v3 = d7 + d8;
                a31 = mac(a31, v3, wa0, wa1, wa2, wa3);
                b31 = mac(b31, v3, wb0, wb1, wb2, wb3);
                c31 = mac(c31, v3, wc0, wc1, wc2, wc3);
                d31 = mac(d31, v3, wd0, wd1, wd2, wd3);
                e31 = mac(e31, v3, we0, we1, we2, we3);
                f31 = mac(f31, v3, wf0, wf1, wf2, wf3);
                g31 = mac(g31, v3, wg0, wg1, wg2, wg3);
                h31 = mac(h31, v3, wh0, wh1, wh2, wh3);
            }
            {
                let w = base + 8u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let rg0 = subgroupBroadcast(f3, 0u);
                let rg1 = subgroupBroadcast(f3, 1u);
                let rg2 = subgroupBroadcast(f3, 2u);
                let rg3 = subgroupBroadcast(f3, 3u);
                let wg0 = vec4f(rg0.x, rg1.x, rg2.x, rg3.x);
                let wg1 = vec4f(rg0.y, rg1.y, rg2.y, rg3.y);
                let wg2 = vec4f(rg0.z, rg1.z, rg2.z, rg3.z);
                let wg3 = vec4f(rg0.w, rg1.w, rg2.w, rg3.w);
                let rh0 = subgroupBroadcast(f3, 4u);
                let rh1 = subgroupBroadcast(f3, 5u);
                let rh2 = subgroupBroadcast(f3, 6u);
                let rh3 = subgroupBroadcast(f3, 7u);
                let wh0 = vec4f(rh0.x, rh1.x, rh2.x, rh3.x);
                let wh1 = vec4f(rh0.y, rh1.y, rh2.y, rh3.y);
                let wh2 = vec4f(rh0.z, rh1.z, rh2.z, rh3.z);
                let wh3 = vec4f(rh0.w, rh1.w, rh2.w, rh3.w);
                let v0 = d2 - d1;
                a02 = mac(a02, v0, wa0, wa1, wa2, wa3);
                b02 = mac(b02, v0, wb0, wb1, wb2, wb3);
                c02 = mac(c02, v0, wc0, wc1, wc2, wc3);
                d02 = mac(d02, v0, wd0, wd1, wd2, wd3);
                e02 = mac(e02, v0, we0, we1, we2, we3);
                f02 = mac(f02, v0, wf0, wf1, wf2, wf3);
                g02 = mac(g02, v0, wg0, wg1, wg2, wg3);
                h02 = mac(h02, v0, wh0, wh1, wh2, wh3);
                let v1 = d4 - d3;
                a12 = mac(a12, v1, wa0, wa1, wa2, wa3);
                b12 = mac(b12, v1, wb0, wb1, wb2, wb3);
                c12 = mac(c12, v1, wc0, wc1, wc2, wc3);
                d12 = mac(d12, v1, wd0, wd1, wd2, wd3);
                e12 = mac(e12, v1, we0, we1, we2, we3);
                f12 = mac(f12, v1, wf0, wf1, wf2, wf3);
                g12 = mac(g12, v1, wg0, wg1, wg2, wg3);
                h12 = mac(h12, v1, wh0, wh1, wh2, wh3);
                let v2 = d6 - d5;
                a22 = mac(a22, v2, wa0, wa1, wa2, wa3);
                b22 = mac(b22, v2, wb0, wb1, wb2, wb3);
                c22 = mac(c22, v2, wc0, wc1, wc2, wc3);
                d22 = mac(d22, v2, wd0, wd1, wd2, wd3);
                e22 = mac(e22, v2, we0, we1, we2, we3);
                f22 = mac(f22, v2, wf0, wf1, wf2, wf3);
                g22 = mac(g22, v2, wg0, wg1, wg2, wg3);
                h22 = mac(h22, v2, wh0, wh1, wh2, wh3);
                let v3 = d8 - d7;
                a32 = mac(a32, v3, wa0, wa1, wa2, wa3);
                b32 = mac(b32, v3, wb0, wb1, wb2, wb3);
                c32 = mac(c32, v3, wc0, wc1, wc2, wc3);
                d32 = mac(d32, v3, wd0, wd1, wd2, wd3);
                e32 = mac(e32, v3, we0, we1, we2, we3);
                f32 = mac(f32, v3, wf0, wf1, wf2, wf3);
                g32 = mac(g32, v3, wg0, wg1, wg2, wg3);
                h32 = mac(h32, v3, wh0, wh1, wh2, wh3);
            }
            {
                let w = base + 0u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let f3 = transformed[w + piece3];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let rg0 = subgroupBroadcast(f3, 0u);
                let rg1 = subgroupBroadcast(f3, 1u);
                let rg2 = subgroupBroadcast(f3, 2u);
                let rg3 = subgroupBroadcast(f3, 3u);
                let wg0 = vec4f(rg0.x, rg1.x, rg2.x, rg3.x);
                let wg1 = vec4f(rg0.y, rg1.y, rg2.y, rg3.y);
                let wg2 = vec4f(rg0.z, rg1.z, rg2.z, rg3.z);
                let wg3 = vec4f(rg0.w, rg1.w, rg2.w, rg3.w);
                let rh0 = subgroupBroadcast(f3, 4u);
                let rh1 = subgroupBroadcast(f3, 5u);
                let rh2 = subgroupBroadcast(f3, 6u);
                let rh3 = subgroupBroadcast(f3, 7u);
                let wh0 = vec4f(rh0.x, rh1.x, rh2.x, rh3.x);
                let wh1 = vec4f(rh0.y, rh1.y, rh2.y, rh3.y);
                let wh2 = vec4f(rh0.z, rh1.z, rh2.z, rh3.z);
                let wh3 = vec4f(rh0.w, rh1.w, rh2.w, rh3.w);
                let v0 = d1 - d3;
                a03 = mac(a03, v0, wa0, wa1, wa2, wa3);
                b03 = mac(b03, v0, wb0, wb1, wb2, wb3);
                c03 = mac(c03, v0, wc0, wc1, wc2, wc3);
                d03 = mac(d03, v0, wd0, wd1, wd2, wd3);
                e03 = mac(e03, v0, we0, we1, we2, we3);
                f03 = mac(f03, v0, wf0, wf1, wf2, wf3);
                g03 = mac(g03, v0, wg0, wg1, wg2, wg3);
                h03 = mac(h03, v0, wh0, wh1, wh2, wh3);
                let v1 = d3 - d5;
                a13 = mac(a13, v1, wa0, wa1, wa2, wa3);
                b13 = mac(b13, v1, wb0, wb1, wb2, wb3);
                c13 = mac(c13, v1, wc0, wc1, wc2, wc3);
                d13 = mac(d13, v1, wd0, wd1, wd2, wd3);
                e13 = mac(e13, v1, we0, we1, we2, we3);
                f13 = mac(f13, v1, wf0, wf1, wf2, wf3);
                g13 = mac(g13, v1, wg0, wg1, wg2, wg3);
                h13 = mac(h13, v1, wh0, wh1, wh2, wh3);
                let v2 = d5 - d7;
                a23 = mac(a23, v2, wa0, wa1, wa2, wa3);
                b23 = mac(b23, v2, wb0, wb1, wb2, wb3);
                c23 = mac(c23, v2, wc0, wc1, wc2, wc3);
                d23 = mac(d23, v2, wd0, wd1, wd2, wd3);
                e23 = mac(e23, v2, we0, we1, we2, we3);
                f23 = mac(f23, v2, wf0, wf1, wf2, wf3);
                g23 = mac(g23, v2, wg0, wg1, wg2, wg3);
                h23 = mac(h23, v2, wh0, wh1, wh2, wh3);
                let v3 = d7 - d9;
                a33 = mac(a33, v3, wa0, wa1, wa2, wa3);
                b33 = mac(b33, v3, wb0, wb1, wb2, wb3);
                c33 = mac(c33, v3, wc0, wc1, wc2, wc3);
                d33 = mac(d33, v3, wd0, wd1, wd2, wd3);
                e33 = mac(e33, v3, we0, we1, we2, we3);
                f33 = mac(f33, v3, wf0, wf1, wf2, wf3);
                g33 = mac(g33, v3, wg0, wg1, wg2, wg3);
                h33 = mac(h33, v3, wh0, wh1, wh2, wh3);
            }
        }
        // Column i of A^T.
        let upper = select(1.0, 0.0, i == 3u);
        let lower = select(select(-1.0, 1.0, i == 1u), 0.0, i == 0u);
        {
            let left = a00 + a01 + a02;
            let right = a01 - a02 - a03;
            ya00 += upper * left;
            ya01 += upper * right;
            ya02 += lower * left;
            ya03 += lower * right;
        }
        {
            let left = a10 + a11 + a12;
            let right = a11 - a12 - a13;
            ya10 += upper * left;
            ya11 += upper * right;
            ya12 += lower * left;
            ya13 += lower * right;
        }
        {
            let left = a20 + a21 + a22;
            let right = a21 - a22 - a23;
            ya20 += upper * left;
            ya21 += upper * right;
            ya22 += lower * left;
            ya23 += lower * right;
        }
        {
            let left = a30 + a31 + a32;
            let right = a31 - a32 - a33;
            ya30 += upper * left;
            ya31 += upper * right;
            ya32 += lower * left;
            ya33 += lower * right;
        }
        {
            let left = b00 + b01 + b02;
            let right = b01 - b02 - b03;
            yb00 += upper * left;
            yb01 += upper * right;
            yb02 += lower * left;
            yb03 += lower * right;
        }
        {
            let left = b10 + b11 + b12;
            let right = b11 - b12 - b13;
            yb10 += upper * left;
            yb11 += upper * right;
            yb12 += lower * left;
            yb13 += lower * right;
        }
        {
            let left = b20 + b21 + b22;
            let right = b21 - b22 - b23;
            yb20 += upper * left;
            yb21 += upper * right;
            yb22 += lower * left;
            yb23 += lower * right;
        }
        {
            let left = b30 + b31 + b32;
            let right = b31 - b32 - b33;
            yb30 += upper * left;
            yb31 += upper * right;
            yb32 += lower * left;
            yb33 += lower * right;
        }
        {
            let left = c00 + c01 + c02;
            let right = c01 - c02 - c03;
            yc00 += upper * left;
            yc01 += upper * right;
            yc02 += lower * left;
            yc03 += lower * right;
        }
        {
            let left = c10 + c11 + c12;
            let right = c11 - c12 - c13;
            yc10 += upper * left;
            yc11 += upper * right;
            yc12 += lower * left;
            yc13 += lower * right;
        }
        {
            let left = c20 + c21 + c22;
            let right = c21 - c22 - c23;
            yc20 += upper * left;
            yc21 += upper * right;
            yc22 += lower * left;
            yc23 += lower * right;
        }
        {
            let left = c30 + c31 + c32;
            let right = c31 - c32 - c33;
            yc30 += upper * left;
            yc31 += upper * right;
            yc32 += lower * left;
            yc33 += lower * right;
        }
        {
            let left = d00 + d01 + d02;
            let right = d01 - d02 - d03;
            yd00 += upper * left;
            yd01 += upper * right;
            yd02 += lower * left;
            yd03 += lower * right;
        }
        {
            let left = d10 + d11 + d12;
            let right = d11 - d12 - d13;
            yd10 += upper * left;
            yd11 += upper * right;
            yd12 += lower * left;
            yd13 += lower * right;
        }
        {
            let left = d20 + d21 + d22;
            let right = d21 - d22 - d23;
            yd20 += upper * left;
            yd21 += upper * right;
            yd22 += lower * left;
            yd23 += lower * right;
        }
        {
            let left = d30 + d31 + d32;
            let right = d31 - d32 - d33;
            yd30 += upper * left;
            yd31 += upper * right;
            yd32 += lower * left;
            yd33 += lower * right;
        }
        {
            let left = e00 + e01 + e02;
            let right = e01 - e02 - e03;
            ye00 += upper * left;
            ye01 += upper * right;
            ye02 += lower * left;
            ye03 += lower * right;
        }
        {
            let left = e10 + e11 + e12;
            let right = e11 - e12 - e13;
            ye10 += upper * left;
            ye11 += upper * right;
            ye12 += lower * left;
            ye13 += lower * right;
        }
        {
            let left = e20 + e21 + e22;
            let right = e21 - e22 - e23;
            ye20 += upper * left;
            ye21 += upper * right;
            ye22 += lower * left;
            ye23 += lower * right;
        }
        {
            let left = e30 + e31 + e32;
            let right = e31 - e32 - e33;
            ye30 += upper * left;
            ye31 += upper * right;
            ye32 += lower * left;
            ye33 += lower * right;
        }
        {
            let left = f00 + f01 + f02;
            let right = f01 - f02 - f03;
            yf00 += upper * left;
            yf01 += upper * right;
            yf02 += lower * left;
            yf03 += lower * right;
        }
        {
            let left = f10 + f11 + f12;
            let right = f11 - f12 - f13;
            yf10 += upper * left;
            yf11 += upper * right;
            yf12 += lower * left;
            yf13 += lower * right;
        }
        {
            let left = f20 + f21 + f22;
            let right = f21 - f22 - f23;
            yf20 += upper * left;
            yf21 += upper * right;
            yf22 += lower * left;
            yf23 += lower * right;
        }
        {
            let left = f30 + f31 + f32;
            let right = f31 - f32 - f33;
            yf30 += upper * left;
            yf31 += upper * right;
            yf32 += lower * left;
            yf33 += lower * right;
        }
        {
            let left = g00 + g01 + g02;
            let right = g01 - g02 - g03;
            yg00 += upper * left;
            yg01 += upper * right;
            yg02 += lower * left;
            yg03 += lower * right;
        }
        {
            let left = g10 + g11 + g12;
            let right = g11 - g12 - g13;
            yg10 += upper * left;
            yg11 += upper * right;
            yg12 += lower * left;
            yg13 += lower * right;
        }
        {
            let left = g20 + g21 + g22;
            let right = g21 - g22 - g23;
            yg20 += upper * left;
            yg21 += upper * right;
            yg22 += lower * left;
            yg23 += lower * right;
        }
        {
            let left = g30 + g31 + g32;
            let right = g31 - g32 - g33;
            yg30 += upper * left;
            yg31 += upper * right;
            yg32 += lower * left;
            yg33 += lower * right;
        }
        {
            let left = h00 + h01 + h02;
            let right = h01 - h02 - h03;
            yh00 += upper * left;
            yh01 += upper * right;
            yh02 += lower * left;
            yh03 += lower * right;
        }
        {
            let left = h10 + h11 + h12;
            let right = h11 - h12 - h13;
            yh10 += upper * left;
            yh11 += upper * right;
            yh12 += lower * left;
            yh13 += lower * right;
        }
        {
            let left = h20 + h21 + h22;
            let right = h21 - h22 - h23;
            yh20 += upper * left;
            yh21 += upper * right;
            yh22 += lower * left;
            yh23 += lower * right;
        }
        {
            let left = h30 + h31 + h32;
            let right = h31 - h32 - h33;
            yh30 += upper * left;
            yh31 += upper * right;
            yh32 += lower * left;
            yh33 += lower * right;
        }
    }
    if index >= params.rows {
        return;
    }
    let row = (image * params.in_h + py) * params.in_w + px;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let columns = min(8u, params.in_c4 - column);
    for (var t = 0u; t < columns; t++) {
        if py + 0u < params.in_h && px + 0u < params.in_w {
            store_input(ya00, row + 0u * params.in_w + 0u, column + t);
        }
        if py + 0u < params.in_h && px + 1u < params.in_w {
            store_input(ya01, row + 0u * params.in_w + 1u, column + t);
        }
        if py + 0u < params.in_h && px + 2u < params.in_w {
            store_input(ya10, row + 0u * params.in_w + 2u, column + t);
        }
        if py + 0u < params.in_h && px + 3u < params.in_w {
            store_input(ya11, row + 0u * params.in_w + 3u, column + t);
        }
        if py + 0u < params.in_h && px + 4u < params.in_w {
            store_input(ya20, row + 0u * params.in_w + 4u, column + t);
        }
        if py + 0u < params.in_h && px + 5u < params.in_w {
            store_input(ya21, row + 0u * params.in_w + 5u, column + t);
        }
        if py + 0u < params.in_h && px + 6u < params.in_w {
            store_input(ya30, row + 0u * params.in_w + 6u, column + t);
        }
        if py + 0u < params.in_h && px + 7u < params.in_w {
            store_input(ya31, row + 0u * params.in_w + 7u, column + t);
        }
        if py + 1u < params.in_h && px + 0u < params.in_w {
            store_input(ya02, row + 1u * params.in_w + 0u, column + t);
        }
        if py + 1u < params.in_h && px + 1u < params.in_w {
            store_input(ya03, row + 1u * params.in_w + 1u, column + t);
        }
        if py + 1u < params.in_h && px + 2u < params.in_w {
            store_input(ya12, row + 1u * params.in_w + 2u, column + t);
        }
        if py + 1u < params.in_h && px + 3u < params.in_w {
            store_input(ya13, row + 1u * params.in_w + 3u, column + t);
        }
        if py + 1u < params.in_h && px + 4u < params.in_w {
            store_input(ya22, row + 1u * params.in_w + 4u, column + t);
        }
        if py + 1u < params.in_h && px + 5u < params.in_w {
            store_input(ya23, row + 1u * params.in_w + 5u, column + t);
        }
        if py + 1u < params.in_h && px + 6u < params.in_w {
            store_input(ya32, row + 1u * params.in_w + 6u, column + t);
        }
        if py + 1u < params.in_h && px + 7u < params.in_w {
            store_input(ya33, row + 1u * params.in_w + 7u, column + t);
        }
        ya00 = yb00; ya01 = yb01; ya02 = yb02; ya03 = yb03;
        ya10 = yb10; ya11 = yb11; ya12 = yb12; ya13 = yb13;
        ya20 = yb20; ya21 = yb21; ya22 = yb22; ya23 = yb23;
        ya30 = yb30; ya31 = yb31; ya32 = yb32; ya33 = yb33;
        yb00 = yc00; yb01 = yc01; yb02 = yc02; yb03 = yc03;
        yb10 = yc10; yb11 = yc11; yb12 = yc12; yb13 = yc13;
        yb20 = yc20; yb21 = yc21; yb22 = yc22; yb23 = yc23;
        yb30 = yc30; yb31 = yc31; yb32 = yc32; yb33 = yc33;
        yc00 = yd00; yc01 = yd01; yc02 = yd02; yc03 = yd03;
        yc10 = yd10; yc11 = yd11; yc12 = yd12; yc13 = yd13;
        yc20 = yd20; yc21 = yd21; yc22 = yd22; yc23 = yd23;
        yc30 = yd30; yc31 = yd31; yc32 = yd32; yc33 = yd33;
        yd00 = ye00; yd01 = ye01; yd02 = ye02; yd03 = ye03;
        yd10 = ye10; yd11 = ye11; yd12 = ye12; yd13 = ye13;
        yd20 = ye20; yd21 = ye21; yd22 = ye22; yd23 = ye23;
        yd30 = ye30; yd31 = ye31; yd32 = ye32; yd33 = ye33;
        ye00 = yf00; ye01 = yf01; ye02 = yf02; ye03 = yf03;
        ye10 = yf10; ye11 = yf11; ye12 = yf12; ye13 = yf13;
        ye20 = yf20; ye21 = yf21; ye22 = yf22; ye23 = yf23;
        ye30 = yf30; ye31 = yf31; ye32 = yf32; ye33 = yf33;
        yf00 = yg00; yf01 = yg01; yf02 = yg02; yf03 = yg03;
        yf10 = yg10; yf11 = yg11; yf12 = yg12; yf13 = yg13;
        yf20 = yg20; yf21 = yg21; yf22 = yg22; yf23 = yg23;
        yf30 = yg30; yf31 = yg31; yf32 = yg32; yf33 = yg33;
        yg00 = yh00; yg01 = yh01; yg02 = yh02; yg03 = yh03;
        yg10 = yh10; yg11 = yh11; yg12 = yh12; yg13 = yh13;
        yg20 = yh20; yg21 = yh21; yg22 = yh22; yg23 = yh23;
        yg30 = yh30; yg31 = yh31; yg32 = yh32; yg33 = yh33;
    }
}

// y = bias + sample + residual + sum over taps and input channels of x * weight.
@compute @workgroup_size(16)
fn forward_24(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 6u;
    let index = tile / params.column_tiles * 16u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let pair = strip / params.strips;
    let px = (strip - pair * params.strips) * 8u;
    let pairs = (params.in_h + 1u) / 2u;
    let image = pair / pairs;
    let py = (pair - image * pairs) * 2u;
    let depth = params.in_c4;
    let width = i32(params.in_w);
    let height = i32(params.in_h);
    let co = params.out_c4;
    let zero = vec4f();
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let col1 = i32(px) + 0;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let real1 = col1 >= 0 && col1 < width;
    let col2 = i32(px) + 1;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let real2 = col2 >= 0 && col2 < width;
    let col3 = i32(px) + 2;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let real3 = col3 >= 0 && col3 < width;
    let col4 = i32(px) + 3;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let real4 = col4 >= 0 && col4 < width;
    let col5 = i32(px) + 4;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let real5 = col5 >= 0 && col5 < width;
    let col6 = i32(px) + 5;
    let off6 = u32(clamp(col6, 0, width - 1)) * depth;
    let real6 = col6 >= 0 && col6 < width;
    let col7 = i32(px) + 6;
    let off7 = u32(clamp(col7, 0, width - 1)) * depth;
    let real7 = col7 >= 0 && col7 < width;
    let col8 = i32(px) + 7;
    let off8 = u32(clamp(col8, 0, width - 1)) * depth;
    let real8 = col8 >= 0 && col8 < width;
    let col9 = i32(px) + 8;
    let off9 = u32(clamp(col9, 0, width - 1)) * depth;
    let real9 = col9 >= 0 && col9 < width;
    // What this lane loads of the weights of a step. Columns that overhang read the last valid one
    // again and are not stored.
    let last = params.out_c4 - 1u;
    let second = (id & 4u) / 4u;
    let piece0 = 64u * min(column + 0u + second, last) + (id & 3u);
    let piece1 = 64u * min(column + 2u + second, last) + (id & 3u);
    let piece2 = 64u * min(column + 4u + second, last) + (id & 3u);
    var ya00 = zero; var ya01 = zero; var ya02 = zero; var ya03 = zero;
    var ya10 = zero; var ya11 = zero; var ya12 = zero; var ya13 = zero;
    var ya20 = zero; var ya21 = zero; var ya22 = zero; var ya23 = zero;
    var ya30 = zero; var ya31 = zero; var ya32 = zero; var ya33 = zero;
    var yb00 = zero; var yb01 = zero; var yb02 = zero; var yb03 = zero;
    var yb10 = zero; var yb11 = zero; var yb12 = zero; var yb13 = zero;
    var yb20 = zero; var yb21 = zero; var yb22 = zero; var yb23 = zero;
    var yb30 = zero; var yb31 = zero; var yb32 = zero; var yb33 = zero;
    var yc00 = zero; var yc01 = zero; var yc02 = zero; var yc03 = zero;
    var yc10 = zero; var yc11 = zero; var yc12 = zero; var yc13 = zero;
    var yc20 = zero; var yc21 = zero; var yc22 = zero; var yc23 = zero;
    var yc30 = zero; var yc31 = zero; var yc32 = zero; var yc33 = zero;
    var yd00 = zero; var yd01 = zero; var yd02 = zero; var yd03 = zero;
    var yd10 = zero; var yd11 = zero; var yd12 = zero; var yd13 = zero;
    var yd20 = zero; var yd21 = zero; var yd22 = zero; var yd23 = zero;
    var yd30 = zero; var yd31 = zero; var yd32 = zero; var yd33 = zero;
    var ye00 = zero; var ye01 = zero; var ye02 = zero; var ye03 = zero;
    var ye10 = zero; var ye11 = zero; var ye12 = zero; var ye13 = zero;
    var ye20 = zero; var ye21 = zero; var ye22 = zero; var ye23 = zero;
    var ye30 = zero; var ye31 = zero; var ye32 = zero; var ye33 = zero;
    var yf00 = zero; var yf01 = zero; var yf02 = zero; var yf03 = zero;
    var yf10 = zero; var yf11 = zero; var yf12 = zero; var yf13 = zero;
    var yf20 = zero; var yf21 = zero; var yf22 = zero; var yf23 = zero;
    var yf30 = zero; var yf31 = zero; var yf32 = zero; var yf33 = zero;
    for (var i = 0u; i < 4u; i++) {
        // Row i of B^T d: d0 - d2, d1 + d2, d2 - d1, d1 - d3.
        let line0 = i32(py + select(min(i, 2u), 1u, i == 3u)) - 1;
        let line1 = i32(py + select(select(2u, 1u, i == 2u), 3u, i == 3u)) - 1;
        let sign = select(-1.0, 1.0, i == 1u);
        let image_line = image * params.in_h;
        let start0 = (image_line + u32(clamp(line0, 0, height - 1))) * params.in_w * depth;
        let start1 = (image_line + u32(clamp(line1, 0, height - 1))) * params.in_w * depth;
        let inside0 = line0 >= 0 && line0 < height;
        let inside1 = line1 >= 0 && line1 < height;
        let taps = i * 16u;
        var a00 = zero; var a01 = zero; var a02 = zero; var a03 = zero;
        var a10 = zero; var a11 = zero; var a12 = zero; var a13 = zero;
        var a20 = zero; var a21 = zero; var a22 = zero; var a23 = zero;
        var a30 = zero; var a31 = zero; var a32 = zero; var a33 = zero;
        var b00 = zero; var b01 = zero; var b02 = zero; var b03 = zero;
        var b10 = zero; var b11 = zero; var b12 = zero; var b13 = zero;
        var b20 = zero; var b21 = zero; var b22 = zero; var b23 = zero;
        var b30 = zero; var b31 = zero; var b32 = zero; var b33 = zero;
        var c00 = zero; var c01 = zero; var c02 = zero; var c03 = zero;
        var c10 = zero; var c11 = zero; var c12 = zero; var c13 = zero;
        var c20 = zero; var c21 = zero; var c22 = zero; var c23 = zero;
        var c30 = zero; var c31 = zero; var c32 = zero; var c33 = zero;
        var d00 = zero; var d01 = zero; var d02 = zero; var d03 = zero;
        var d10 = zero; var d11 = zero; var d12 = zero; var d13 = zero;
        var d20 = zero; var d21 = zero; var d22 = zero; var d23 = zero;
        var d30 = zero; var d31 = zero; var d32 = zero; var d33 = zero;
        var e00 = zero; var e01 = zero; var e02 = zero; var e03 = zero;
        var e10 = zero; var e11 = zero; var e12 = zero; var e13 = zero;
        var e20 = zero; var e21 = zero; var e22 = zero; var e23 = zero;
        var e30 = zero; var e31 = zero; var e32 = zero; var e33 = zero;
        var f00 = zero; var f01 = zero; var f02 = zero; var f03 = zero;
        var f10 = zero; var f11 = zero; var f12 = zero; var f13 = zero;
        var f20 = zero; var f21 = zero; var f22 = zero; var f23 = zero;
        var f30 = zero; var f31 = zero; var f32 = zero; var f33 = zero;
        for (var c = 0u; c < depth; c++) {
            var d0 = zero;
            var d1 = zero;
            var d2 = zero;
            var d3 = zero;
            var d4 = zero;
            var d5 = zero;
            var d6 = zero;
            var d7 = zero;
            var d8 = zero;
            var d9 = zero;
            // A loop, as it keeps the code in the processor's cache.
            for (var k = 0u; k < 2u; k++) {
                let start = select(start0, start1, k == 1u) + c;
                let inside = select(inside0, inside1, k == 1u);
                let factor = select(1.0, sign, k == 1u);
                d0 += factor * select(zero, x[start + off0], inside && real0);
                d1 += factor * select(zero, x[start + off1], inside && real1);
                d2 += factor * select(zero, x[start + off2], inside && real2);
                d3 += factor * select(zero, x[start + off3], inside && real3);
                d4 += factor * select(zero, x[start + off4], inside && real4);
                d5 += factor * select(zero, x[start + off5], inside && real5);
                d6 += factor * select(zero, x[start + off6], inside && real6);
                d7 += factor * select(zero, x[start + off7], inside && real7);
                d8 += factor * select(zero, x[start + off8], inside && real8);
                d9 += factor * select(zero, x[start + off9], inside && real9);
            }
            let base = c * co * 64u + taps;
            {
                let w = base + 0u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let v0 = d0 - d2;
                a00 = mac(a00, v0, wa0, wa1, wa2, wa3);
                b00 = mac(b00, v0, wb0, wb1, wb2, wb3);
                c00 = mac(c00, v0, wc0, wc1, wc2, wc3);
                d00 = mac(d00, v0, wd0, wd1, wd2, wd3);
                e00 = mac(e00, v0, we0, we1, we2, we3);
                f00 = mac(f00, v0, wf0, wf1, wf2, wf3);
                let v1 = d2 - d4;
                a10 = mac(a10, v1, wa0, wa1, wa2, wa3);
                b10 = mac(b10, v1, wb0, wb1, wb2, wb3);
                c10 = mac(c10, v1, wc0, wc1, wc2, wc3);
                d10 = mac(d10, v1, wd0, wd1, wd2, wd3);
                e10 = mac(e10, v1, we0, we1, we2, we3);
                f10 = mac(f10, v1, wf0, wf1, wf2, wf3);
                let v2 = d4 - d6;
                a20 = mac(a20, v2, wa0, wa1, wa2, wa3);
                b20 = mac(b20, v2, wb0, wb1, wb2, wb3);
                c20 = mac(c20, v2, wc0, wc1, wc2, wc3);
                d20 = mac(d20, v2, wd0, wd1, wd2, wd3);
                e20 = mac(e20, v2, we0, we1, we2, we3);
                f20 = mac(f20, v2, wf0, wf1, wf2, wf3);
                let v3 = d6 - d8;
                a30 = mac(a30, v3, wa0, wa1, wa2, wa3);
                b30 = mac(b30, v3, wb0, wb1, wb2, wb3);
                c30 = mac(c30, v3, wc0, wc1, wc2, wc3);
                d30 = mac(d30, v3, wd0, wd1, wd2, wd3);
                e30 = mac(e30, v3, we0, we1, we2, we3);
                f30 = mac(f30, v3, wf0, wf1, wf2, wf3);
            }
            {
                let w = base + 4u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let v0 = d1 + d2;
                a01 = mac(a01, v0, wa0, wa1, wa2, wa3);
                b01 = mac(b01, v0, wb0, wb1, wb2, wb3);
                c01 = mac(c01, v0, wc0, wc1, wc2, wc3);
                d01 = mac(d01, v0, wd0, wd1, wd2, wd3);
                e01 = mac(e01, v0, we0, we1, we2, we3);
                f01 = mac(f01, v0, wf0, wf1, wf2, wf3);
                let v1 = d3 + d4;
                a11 = mac(a11, v1, wa0, wa1, wa2, wa3);
                b11 = mac(b11, v1, wb0, wb1, wb2, wb3);
                c11 = mac(c11, v1, wc0, wc1, wc2, wc3);
                d11 = mac(d11, v1, wd0, wd1, wd2, wd3);
                e11 = mac(e11, v1, we0, we1, we2, we3);
                f11 = mac(f11, v1, wf0, wf1, wf2, wf3);
                let v2 = d5 + d6;
                a21 = mac(a21, v2, wa0, wa1, wa2, wa3);
                b21 = mac(b21, v2, wb0, wb1, wb2, wb3);
                c21 = mac(c21, v2, wc0, wc1, wc2, wc3);
                d21 = mac(d21, v2, wd0, wd1, wd2, wd3);
                e21 = mac(e21, v2, we0, we1, we2, we3);
                f21 = mac(f21, v2, wf0, wf1, wf2, wf3);
                let v3 = d7 + d8;
                a31 = mac(a31, v3, wa0, wa1, wa2, wa3);
                b31 = mac(b31, v3, wb0, wb1, wb2, wb3);
                c31 = mac(c31, v3, wc0, wc1, wc2, wc3);
                d31 = mac(d31, v3, wd0, wd1, wd2, wd3);
                e31 = mac(e31, v3, we0, we1, we2, we3);
                f31 = mac(f31, v3, wf0, wf1, wf2, wf3);
            }
            {
                let w = base + 8u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let v0 = d2 - d1;
                a02 = mac(a02, v0, wa0, wa1, wa2, wa3);
                b02 = mac(b02, v0, wb0, wb1, wb2, wb3);
                c02 = mac(c02, v0, wc0, wc1, wc2, wc3);
                d02 = mac(d02, v0, wd0, wd1, wd2, wd3);
                e02 = mac(e02, v0, we0, we1, we2, we3);
                f02 = mac(f02, v0, wf0, wf1, wf2, wf3);
                let v1 = d4 - d3;
                a12 = mac(a12, v1, wa0, wa1, wa2, wa3);
                b12 = mac(b12, v1, wb0, wb1, wb2, wb3);
                c12 = mac(c12, v1, wc0, wc1, wc2, wc3);
                d12 = mac(d12, v1, wd0, wd1, wd2, wd3);
                e12 = mac(e12, v1, we0, we1, we2, we3);
                f12 = mac(f12, v1, wf0, wf1, wf2, wf3);
                let v2 = d6 - d5;
                a22 = mac(a22, v2, wa0, wa1, wa2, wa3);
                b22 = mac(b22, v2, wb0, wb1, wb2, wb3);
                c22 = mac(c22, v2, wc0, wc1, wc2, wc3);
                d22 = mac(d22, v2, wd0, wd1, wd2, wd3);
                e22 = mac(e22, v2, we0, we1, we2, we3);
                f22 = mac(f22, v2, wf0, wf1, wf2, wf3);
                let v3 = d8 - d7;
                a32 = mac(a32, v3, wa0, wa1, wa2, wa3);
                b32 = mac(b32, v3, wb0, wb1, wb2, wb3);
                c32 = mac(c32, v3, wc0, wc1, wc2, wc3);
                d32 = mac(d32, v3, wd0, wd1, wd2, wd3);
                e32 = mac(e32, v3, we0, we1, we2, we3);
                f32 = mac(f32, v3, wf0, wf1, wf2, wf3);
            }
            {
                let w = base + 12u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let wa0 = subgroupBroadcast(f0, 0u);
                let wa1 = subgroupBroadcast(f0, 1u);
                let wa2 = subgroupBroadcast(f0, 2u);
                let wa3 = subgroupBroadcast(f0, 3u);
                let wb0 = subgroupBroadcast(f0, 4u);
                let wb1 = subgroupBroadcast(f0, 5u);
                let wb2 = subgroupBroadcast(f0, 6u);
                let wb3 = subgroupBroadcast(f0, 7u);
                let wc0 = subgroupBroadcast(f1, 0u);
                let wc1 = subgroupBroadcast(f1, 1u);
                let wc2 = subgroupBroadcast(f1, 2u);
                let wc3 = subgroupBroadcast(f1, 3u);
                let wd0 = subgroupBroadcast(f1, 4u);
                let wd1 = subgroupBroadcast(f1, 5u);
                let wd2 = subgroupBroadcast(f1, 6u);
                let wd3 = subgroupBroadcast(f1, 7u);
                let we0 = subgroupBroadcast(f2, 0u);
                let we1 = subgroupBroadcast(f2, 1u);
                let we2 = subgroupBroadcast(f2, 2u);
                let we3 = subgroupBroadcast(f2, 3u);
                let wf0 = subgroupBroadcast(f2, 4u);
                let wf1 = subgroupBroadcast(f2, 5u);
                let wf2 = subgroupBroadcast(f2, 6u);
                let wf3 = subgroupBroadcast(f2, 7u);
                let v0 = d1 - d3;
                a03 = mac(a03, v0, wa0, wa1, wa2, wa3);
                b03 = mac(b03, v0, wb0, wb1, wb2, wb3);
                c03 = mac(c03, v0, wc0, wc1, wc2, wc3);
                d03 = mac(d03, v0, wd0, wd1, wd2, wd3);
                e03 = mac(e03, v0, we0, we1, we2, we3);
                f03 = mac(f03, v0, wf0, wf1, wf2, wf3);
                let v1 = d3 - d5;
                a13 = mac(a13, v1, wa0, wa1, wa2, wa3);
                b13 = mac(b13, v1, wb0, wb1, wb2, wb3);
                c13 = mac(c13, v1, wc0, wc1, wc2, wc3);
                d13 = mac(d13, v1, wd0, wd1, wd2, wd3);
                e13 = mac(e13, v1, we0, we1, we2, we3);
                f13 = mac(f13, v1, wf0, wf1, wf2, wf3);
                let v2 = d5 - d7;
                a23 = mac(a23, v2, wa0, wa1, wa2, wa3);
                b23 = mac(b23, v2, wb0, wb1, wb2, wb3);
                c23 = mac(c23, v2, wc0, wc1, wc2, wc3);
                d23 = mac(d23, v2, wd0, wd1, wd2, wd3);
                e23 = mac(e23, v2, we0, we1, we2, we3);
                f23 = mac(f23, v2, wf0, wf1, wf2, wf3);
                let v3 = d7 - d9;
                a33 = mac(a33, v3, wa0, wa1, wa2, wa3);
                b33 = mac(b33, v3, wb0, wb1, wb2, wb3);
                c33 = mac(c33, v3, wc0, wc1, wc2, wc3);
                d33 = mac(d33, v3, wd0, wd1, wd2, wd3);
                e33 = mac(e33, v3, we0, we1, we2, we3);
                f33 = mac(f33, v3, wf0, wf1, wf2, wf3);
            }
        }
        // Column i of A^T.
        let upper = select(1.0, 0.0, i == 3u);
        let lower = select(select(-1.0, 1.0, i == 1u), 0.0, i == 0u);
        {
            let left = a00 + a01 + a02;
            let right = a01 - a02 - a03;
            ya00 += upper * left;
            ya01 += upper * right;
            ya02 += lower * left;
            ya03 += lower * right;
        }
        {
            let left = a10 + a11 + a12;
            let right = a11 - a12 - a13;
            ya10 += upper * left;
            ya11 += upper * right;
            ya12 += lower * left;
            ya13 += lower * right;
        }
        {
            let left = a20 + a21 + a22;
            let right = a21 - a22 - a23;
            ya20 += upper * left;
            ya21 += upper * right;
            ya22 += lower * left;
            ya23 += lower * right;
        }
        {
            let left = a30 + a31 + a32;
            let right = a31 - a32 - a33;
            ya30 += upper * left;
            ya31 += upper * right;
            ya32 += lower * left;
            ya33 += lower * right;
        }
        {
            let left = b00 + b01 + b02;
            let right = b01 - b02 - b03;
            yb00 += upper * left;
            yb01 += upper * right;
            yb02 += lower * left;
            yb03 += lower * right;
        }
        {
            let left = b10 + b11 + b12;
            let right = b11 - b12 - b13;
            yb10 += upper * left;
            yb11 += upper * right;
            yb12 += lower * left;
            yb13 += lower * right;
        }
        {
            let left = b20 + b21 + b22;
            let right = b21 - b22 - b23;
            yb20 += upper * left;
            yb21 += upper * right;
            yb22 += lower * left;
            yb23 += lower * right;
        }
        {
            let left = b30 + b31 + b32;
            let right = b31 - b32 - b33;
            yb30 += upper * left;
            yb31 += upper * right;
            yb32 += lower * left;
            yb33 += lower * right;
        }
        {
            let left = c00 + c01 + c02;
            let right = c01 - c02 - c03;
            yc00 += upper * left;
            yc01 += upper * right;
            yc02 += lower * left;
            yc03 += lower * right;
        }
        {
            let left = c10 + c11 + c12;
            let right = c11 - c12 - c13;
            yc10 += upper * left;
            yc11 += upper * right;
            yc12 += lower * left;
            yc13 += lower * right;
        }
        {
            let left = c20 + c21 + c22;
            let right = c21 - c22 - c23;
            yc20 += upper * left;
            yc21 += upper * right;
            yc22 += lower * left;
            yc23 += lower * right;
        }
        {
            let left = c30 + c31 + c32;
            let right = c31 - c32 - c33;
            yc30 += upper * left;
            yc31 += upper * right;
            yc32 += lower * left;
            yc33 += lower * right;
        }
        {
            let left = d00 + d01 + d02;
            let right = d01 - d02 - d03;
            yd00 += upper * left;
            yd01 += upper * right;
            yd02 += lower * left;
            yd03 += lower * right;
        }
        {
            let left = d10 + d11 + d12;
            let right = d11 - d12 - d13;
            yd10 += upper * left;
            yd11 += upper * right;
            yd12 += lower * left;
            yd13 += lower * right;
        }
        {
            let left = d20 + d21 + d22;
            let right = d21 - d22 - d23;
            yd20 += upper * left;
            yd21 += upper * right;
            yd22 += lower * left;
            yd23 += lower * right;
        }
        {
            let left = d30 + d31 + d32;
            let right = d31 - d32 - d33;
            yd30 += upper * left;
            yd31 += upper * right;
            yd32 += lower * left;
            yd33 += lower * right;
        }
        {
            let left = e00 + e01 + e02;
            let right = e01 - e02 - e03;
            ye00 += upper * left;
            ye01 += upper * right;
            ye02 += lower * left;
            ye03 += lower * right;
        }
        {
            let left = e10 + e11 + e12;
            let right = e11 - e12 - e13;
            ye10 += upper * left;
            ye11 += upper * right;
            ye12 += lower * left;
            ye13 += lower * right;
        }
        {
            let left = e20 + e21 + e22;
            let right = e21 - e22 - e23;
            ye20 += upper * left;
            ye21 += upper * right;
            ye22 += lower * left;
            ye23 += lower * right;
        }
        {
            let left = e30 + e31 + e32;
            let right = e31 - e32 - e33;
            ye30 += upper * left;
            ye31 += upper * right;
            ye32 += lower * left;
            ye33 += lower * right;
        }
        {
            let left = f00 + f01 + f02;
            let right = f01 - f02 - f03;
            yf00 += upper * left;
            yf01 += upper * right;
            yf02 += lower * left;
            yf03 += lower * right;
        }
        {
            let left = f10 + f11 + f12;
            let right = f11 - f12 - f13;
            yf10 += upper * left;
            yf11 += upper * right;
            yf12 += lower * left;
            yf13 += lower * right;
        }
        {
            let left = f20 + f21 + f22;
            let right = f21 - f22 - f23;
            yf20 += upper * left;
            yf21 += upper * right;
            yf22 += lower * left;
            yf23 += lower * right;
        }
        {
            let left = f30 + f31 + f32;
            let right = f31 - f32 - f33;
            yf30 += upper * left;
            yf31 += upper * right;
            yf32 += lower * left;
            yf33 += lower * right;
        }
    }
    if index >= params.rows {
        return;
    }
    let row = (image * params.in_h + py) * params.in_w + px;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let columns = min(6u, params.out_c4 - column);
    for (var t = 0u; t < columns; t++) {
        let add = addend(image, column + t);
        if py + 0u < params.in_h && px + 0u < params.in_w {
            store(ya00 + add, row + 0u * params.in_w + 0u, column + t);
        }
        if py + 0u < params.in_h && px + 1u < params.in_w {
            store(ya01 + add, row + 0u * params.in_w + 1u, column + t);
        }
        if py + 0u < params.in_h && px + 2u < params.in_w {
            store(ya10 + add, row + 0u * params.in_w + 2u, column + t);
        }
        if py + 0u < params.in_h && px + 3u < params.in_w {
            store(ya11 + add, row + 0u * params.in_w + 3u, column + t);
        }
        if py + 0u < params.in_h && px + 4u < params.in_w {
            store(ya20 + add, row + 0u * params.in_w + 4u, column + t);
        }
        if py + 0u < params.in_h && px + 5u < params.in_w {
            store(ya21 + add, row + 0u * params.in_w + 5u, column + t);
        }
        if py + 0u < params.in_h && px + 6u < params.in_w {
            store(ya30 + add, row + 0u * params.in_w + 6u, column + t);
        }
        if py + 0u < params.in_h && px + 7u < params.in_w {
            store(ya31 + add, row + 0u * params.in_w + 7u, column + t);
        }
        if py + 1u < params.in_h && px + 0u < params.in_w {
            store(ya02 + add, row + 1u * params.in_w + 0u, column + t);
        }
        if py + 1u < params.in_h && px + 1u < params.in_w {
            store(ya03 + add, row + 1u * params.in_w + 1u, column + t);
        }
        if py + 1u < params.in_h && px + 2u < params.in_w {
            store(ya12 + add, row + 1u * params.in_w + 2u, column + t);
        }
        if py + 1u < params.in_h && px + 3u < params.in_w {
            store(ya13 + add, row + 1u * params.in_w + 3u, column + t);
        }
        if py + 1u < params.in_h && px + 4u < params.in_w {
            store(ya22 + add, row + 1u * params.in_w + 4u, column + t);
        }
        if py + 1u < params.in_h && px + 5u < params.in_w {
            store(ya23 + add, row + 1u * params.in_w + 5u, column + t);
        }
        if py + 1u < params.in_h && px + 6u < params.in_w {
            store(ya32 + add, row + 1u * params.in_w + 6u, column + t);
        }
        if py + 1u < params.in_h && px + 7u < params.in_w {
            store(ya33 + add, row + 1u * params.in_w + 7u, column + t);
        }
        ya00 = yb00; ya01 = yb01; ya02 = yb02; ya03 = yb03;
        ya10 = yb10; ya11 = yb11; ya12 = yb12; ya13 = yb13;
        ya20 = yb20; ya21 = yb21; ya22 = yb22; ya23 = yb23;
        ya30 = yb30; ya31 = yb31; ya32 = yb32; ya33 = yb33;
        yb00 = yc00; yb01 = yc01; yb02 = yc02; yb03 = yc03;
        yb10 = yc10; yb11 = yc11; yb12 = yc12; yb13 = yc13;
        yb20 = yc20; yb21 = yc21; yb22 = yc22; yb23 = yc23;
        yb30 = yc30; yb31 = yc31; yb32 = yc32; yb33 = yc33;
        yc00 = yd00; yc01 = yd01; yc02 = yd02; yc03 = yd03;
        yc10 = yd10; yc11 = yd11; yc12 = yd12; yc13 = yd13;
        yc20 = yd20; yc21 = yd21; yc22 = yd22; yc23 = yd23;
        yc30 = yd30; yc31 = yd31; yc32 = yd32; yc33 = yd33;
        yd00 = ye00; yd01 = ye01; yd02 = ye02; yd03 = ye03;
        yd10 = ye10; yd11 = ye11; yd12 = ye12; yd13 = ye13;
        yd20 = ye20; yd21 = ye21; yd22 = ye22; yd23 = ye23;
        yd30 = ye30; yd31 = ye31; yd32 = ye32; yd33 = ye33;
        ye00 = yf00; ye01 = yf01; ye02 = yf02; ye03 = yf03;
        ye10 = yf10; ye11 = yf11; ye12 = yf12; ye13 = yf13;
        ye20 = yf20; ye21 = yf21; ye22 = yf22; ye23 = yf23;
        ye30 = yf30; ye31 = yf31; ye32 = yf32; ye33 = yf33;
    }
}

// dx (+)= sum over taps and output channels of dy * weight, mirrored.
@compute @workgroup_size(16)
fn backward_input_24(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 6u;
    let index = tile / params.column_tiles * 16u + lane;
    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.
    let strip = min(index, params.rows - 1u);
    let pair = strip / params.strips;
    let px = (strip - pair * params.strips) * 8u;
    let pairs = (params.in_h + 1u) / 2u;
    let image = pair / pairs;
    let py = (pair - image * pairs) * 2u;
    let depth = params.out_c4;
    let width = i32(params.in_w);
    let height = i32(params.in_h);
    let co = params.out_c4;
    let zero = vec4f();
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let col0 = i32(px) + -1;
    let off0 = u32(clamp(col0, 0, width - 1)) * depth;
    let real0 = col0 >= 0 && col0 < width;
    let col1 = i32(px) + 0;
    let off1 = u32(clamp(col1, 0, width - 1)) * depth;
    let real1 = col1 >= 0 && col1 < width;
    let col2 = i32(px) + 1;
    let off2 = u32(clamp(col2, 0, width - 1)) * depth;
    let real2 = col2 >= 0 && col2 < width;
    let col3 = i32(px) + 2;
    let off3 = u32(clamp(col3, 0, width - 1)) * depth;
    let real3 = col3 >= 0 && col3 < width;
    let col4 = i32(px) + 3;
    let off4 = u32(clamp(col4, 0, width - 1)) * depth;
    let real4 = col4 >= 0 && col4 < width;
    let col5 = i32(px) + 4;
    let off5 = u32(clamp(col5, 0, width - 1)) * depth;
    let real5 = col5 >= 0 && col5 < width;
    let col6 = i32(px) + 5;
    let off6 = u32(clamp(col6, 0, width - 1)) * depth;
    let real6 = col6 >= 0 && col6 < width;
    let col7 = i32(px) + 6;
    let off7 = u32(clamp(col7, 0, width - 1)) * depth;
    let real7 = col7 >= 0 && col7 < width;
    let col8 = i32(px) + 7;
    let off8 = u32(clamp(col8, 0, width - 1)) * depth;
    let real8 = col8 >= 0 && col8 < width;
    let col9 = i32(px) + 8;
    let off9 = u32(clamp(col9, 0, width - 1)) * depth;
    let real9 = col9 >= 0 && col9 < width;
    // What this lane loads of the weights of a step. Columns that overhang read the last valid one
    // again and are not stored.
    let last = params.in_c4 - 1u;
    let second = (id & 4u) / 4u;
    let piece0 = 64u * co * min(column + 0u + second, last) + (id & 3u);
    let piece1 = 64u * co * min(column + 2u + second, last) + (id & 3u);
    let piece2 = 64u * co * min(column + 4u + second, last) + (id & 3u);
    var ya00 = zero; var ya01 = zero; var ya02 = zero; var ya03 = zero;
    var ya10 = zero; var ya11 = zero; var ya12 = zero; var ya13 = zero;
    var ya20 = zero; var ya21 = zero; var ya22 = zero; var ya23 = zero;
    var ya30 = zero; var ya31 = zero; var ya32 = zero; var ya33 = zero;
    var yb00 = zero; var yb01 = zero; var yb02 = zero; var yb03 = zero;
    var yb10 = zero; var yb11 = zero; var yb12 = zero; var yb13 = zero;
    var yb20 = zero; var yb21 = zero; var yb22 = zero; var yb23 = zero;
    var yb30 = zero; var yb31 = zero; var yb32 = zero; var yb33 = zero;
    var yc00 = zero; var yc01 = zero; var yc02 = zero; var yc03 = zero;
    var yc10 = zero; var yc11 = zero; var yc12 = zero; var yc13 = zero;
    var yc20 = zero; var yc21 = zero; var yc22 = zero; var yc23 = zero;
    var yc30 = zero; var yc31 = zero; var yc32 = zero; var yc33 = zero;
    var yd00 = zero; var yd01 = zero; var yd02 = zero; var yd03 = zero;
    var yd10 = zero; var yd11 = zero; var yd12 = zero; var yd13 = zero;
    var yd20 = zero; var yd21 = zero; var yd22 = zero; var yd23 = zero;
    var yd30 = zero; var yd31 = zero; var yd32 = zero; var yd33 = zero;
    var ye00 = zero; var ye01 = zero; var ye02 = zero; var ye03 = zero;
    var ye10 = zero; var ye11 = zero; var ye12 = zero; var ye13 = zero;
    var ye20 = zero; var ye21 = zero; var ye22 = zero; var ye23 = zero;
    var ye30 = zero; var ye31 = zero; var ye32 = zero; var ye33 = zero;
    var yf00 = zero; var yf01 = zero; var yf02 = zero; var yf03 = zero;
    var yf10 = zero; var yf11 = zero; var yf12 = zero; var yf13 = zero;
    var yf20 = zero; var yf21 = zero; var yf22 = zero; var yf23 = zero;
    var yf30 = zero; var yf31 = zero; var yf32 = zero; var yf33 = zero;
    for (var i = 0u; i < 4u; i++) {
        // Row i of B^T d: d0 - d2, d1 + d2, d2 - d1, d1 - d3.
        let line0 = i32(py + select(min(i, 2u), 1u, i == 3u)) - 1;
        let line1 = i32(py + select(select(2u, 1u, i == 2u), 3u, i == 3u)) - 1;
        let sign = select(-1.0, 1.0, i == 1u);
        let image_line = image * params.in_h;
        let start0 = (image_line + u32(clamp(line0, 0, height - 1))) * params.in_w * depth;
        let start1 = (image_line + u32(clamp(line1, 0, height - 1))) * params.in_w * depth;
        let inside0 = line0 >= 0 && line0 < height;
        let inside1 = line1 >= 0 && line1 < height;
        let taps = select(i, 3u - i, i % 3u == 0u) * 16u;
        var a00 = zero; var a01 = zero; var a02 = zero; var a03 = zero;
        var a10 = zero; var a11 = zero; var a12 = zero; var a13 = zero;
        var a20 = zero; var a21 = zero; var a22 = zero; var a23 = zero;
        var a30 = zero; var a31 = zero; var a32 = zero; var a33 = zero;
        var b00 = zero; var b01 = zero; var b02 = zero; var b03 = zero;
        var b10 = zero; var b11 = zero; var b12 = zero; var b13 = zero;
        var b20 = zero; var b21 = zero; var b22 = zero; var b23 = zero;
        var b30 = zero; var b31 = zero; var b32 = zero; var b33 = zero;
        var c00 = zero; var c01 = zero; var c02 = zero; var c03 = zero;
        var c10 = zero; var c11 = zero; var c12 = zero; var c13 = zero;
        var c20 = zero; var c21 = zero; var c22 = zero; var c23 = zero;
        var c30 = zero; var c31 = zero; var c32 = zero; var c33 = zero;
        var d00 = zero; var d01 = zero; var d02 = zero; var d03 = zero;
        var d10 = zero; var d11 = zero; var d12 = zero; var d13 = zero;
        var d20 = zero; var d21 = zero; var d22 = zero; var d23 = zero;
        var d30 = zero; var d31 = zero; var d32 = zero; var d33 = zero;
        var e00 = zero; var e01 = zero; var e02 = zero; var e03 = zero;
        var e10 = zero; var e11 = zero; var e12 = zero; var e13 = zero;
        var e20 = zero; var e21 = zero; var e22 = zero; var e23 = zero;
        var e30 = zero; var e31 = zero; var e32 = zero; var e33 = zero;
        var f00 = zero; var f01 = zero; var f02 = zero; var f03 = zero;
        var f10 = zero; var f11 = zero; var f12 = zero; var f13 = zero;
        var f20 = zero; var f21 = zero; var f22 = zero; var f23 = zero;
        var f30 = zero; var f31 = zero; var f32 = zero; var f33 = zero;
        for (var c = 0u; c < depth; c++) {
            var d0 = zero;
            var d1 = zero;
            var d2 = zero;
            var d3 = zero;
            var d4 = zero;
            var d5 = zero;
            var d6 = zero;
            var d7 = zero;
            var d8 = zero;
            var d9 = zero;
            // A loop, as it keeps the code in the processor's cache.
            for (var k = 0u; k < 2u; k++) {
                let start = select(start0, start1, k == 1u) + c;
                let inside = select(inside0, inside1, k == 1u);
                let factor = select(1.0, sign, k == 1u);
                d0 += factor * select(zero, y[start + off0], inside && real0);
                d1 += factor * select(zero, y[start + off1], inside && real1);
                d2 += factor * select(zero, y[start + off2], inside && real2);
                d3 += factor * select(zero, y[start + off3], inside && real3);
                d4 += factor * select(zero, y[start + off4], inside && real4);
                d5 += factor * select(zero, y[start + off5], inside && real5);
                d6 += factor * select(zero, y[start + off6], inside && real6);
                d7 += factor * select(zero, y[start + off7], inside && real7);
                d8 += factor * select(zero, y[start + off8], inside && real8);
                d9 += factor * select(zero, y[start + off9], inside && real9);
            }
            let base = c * 64u + taps;
            {
                let w = base + 12u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let v0 = d0 - d2;
                a00 = mac(a00, v0, wa0, wa1, wa2, wa3);
                b00 = mac(b00, v0, wb0, wb1, wb2, wb3);
                c00 = mac(c00, v0, wc0, wc1, wc2, wc3);
                d00 = mac(d00, v0, wd0, wd1, wd2, wd3);
                e00 = mac(e00, v0, we0, we1, we2, we3);
                f00 = mac(f00, v0, wf0, wf1, wf2, wf3);
                let v1 = d2 - d4;
                a10 = mac(a10, v1, wa0, wa1, wa2, wa3);
                b10 = mac(b10, v1, wb0, wb1, wb2, wb3);
                c10 = mac(c10, v1, wc0, wc1, wc2, wc3);
                d10 = mac(d10, v1, wd0, wd1, wd2, wd3);
                e10 = mac(e10, v1, we0, we1, we2, we3);
                f10 = mac(f10, v1, wf0, wf1, wf2, wf3);
                let v2 = d4 - d6;
                a20 = mac(a20, v2, wa0, wa1, wa2, wa3);
                b20 = mac(b20, v2, wb0, wb1, wb2, wb3);
                c20 = mac(c20, v2, wc0, wc1, wc2, wc3);
                d20 = mac(d20, v2, wd0, wd1, wd2, wd3);
                e20 = mac(e20, v2, we0, we1, we2, we3);
                f20 = mac(f20, v2, wf0, wf1, wf2, wf3);
                let v3 = d6 - d8;
                a30 = mac(a30, v3, wa0, wa1, wa2, wa3);
                b30 = mac(b30, v3, wb0, wb1, wb2, wb3);
                c30 = mac(c30, v3, wc0, wc1, wc2, wc3);
                d30 = mac(d30, v3, wd0, wd1, wd2, wd3);
                e30 = mac(e30, v3, we0, we1, we2, we3);
                f30 = mac(f30, v3, wf0, wf1, wf2, wf3);
            }
            {
                let w = base + 4u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let v0 = d1 + d2;
                a01 = mac(a01, v0, wa0, wa1, wa2, wa3);
                b01 = mac(b01, v0, wb0, wb1, wb2, wb3);
                c01 = mac(c01, v0, wc0, wc1, wc2, wc3);
                d01 = mac(d01, v0, wd0, wd1, wd2, wd3);
                e01 = mac(e01, v0, we0, we1, we2, we3);
                f01 = mac(f01, v0, wf0, wf1, wf2, wf3);
                let v1 = d3 + d4;
                a11 = mac(a11, v1, wa0, wa1, wa2, wa3);
                b11 = mac(b11, v1, wb0, wb1, wb2, wb3);
                c11 = mac(c11, v1, wc0, wc1, wc2, wc3);
                d11 = mac(d11, v1, wd0, wd1, wd2, wd3);
                e11 = mac(e11, v1, we0, we1, we2, we3);
                f11 = mac(f11, v1, wf0, wf1, wf2, wf3);
                let v2 = d5 + d6;
                a21 = mac(a21, v2, wa0, wa1, wa2, wa3);
                b21 = mac(b21, v2, wb0, wb1, wb2, wb3);
                c21 = mac(c21, v2, wc0, wc1, wc2, wc3);
                d21 = mac(d21, v2, wd0, wd1, wd2, wd3);
                e21 = mac(e21, v2, we0, we1, we2, we3);
                f21 = mac(f21, v2, wf0, wf1, wf2, wf3);
                let v3 = d7 + d8;
                a31 = mac(a31, v3, wa0, wa1, wa2, wa3);
                b31 = mac(b31, v3, wb0, wb1, wb2, wb3);
                c31 = mac(c31, v3, wc0, wc1, wc2, wc3);
                d31 = mac(d31, v3, wd0, wd1, wd2, wd3);
                e31 = mac(e31, v3, we0, we1, we2, we3);
                f31 = mac(f31, v3, wf0, wf1, wf2, wf3);
            }
            {
                let w = base + 8u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let v0 = d2 - d1;
                a02 = mac(a02, v0, wa0, wa1, wa2, wa3);
                b02 = mac(b02, v0, wb0, wb1, wb2, wb3);
                c02 = mac(c02, v0, wc0, wc1, wc2, wc3);
                d02 = mac(d02, v0, wd0, wd1, wd2, wd3);
                e02 = mac(e02, v0, we0, we1, we2, we3);
                f02 = mac(f02, v0, wf0, wf1, wf2, wf3);
                let v1 = d4 - d3;
                a12 = mac(a12, v1, wa0, wa1, wa2, wa3);
                b12 = mac(b12, v1, wb0, wb1, wb2, wb3);
                c12 = mac(c12, v1, wc0, wc1, wc2, wc3);
                d12 = mac(d12, v1, wd0, wd1, wd2, wd3);
                e12 = mac(e12, v1, we0, we1, we2, we3);
                f12 = mac(f12, v1, wf0, wf1, wf2, wf3);
                let v2 = d6 - d5;
                a22 = mac(a22, v2, wa0, wa1, wa2, wa3);
                b22 = mac(b22, v2, wb0, wb1, wb2, wb3);
                c22 = mac(c22, v2, wc0, wc1, wc2, wc3);
                d22 = mac(d22, v2, wd0, wd1, wd2, wd3);
                e22 = mac(e22, v2, we0, we1, we2, we3);
                f22 = mac(f22, v2, wf0, wf1, wf2, wf3);
                let v3 = d8 - d7;
                a32 = mac(a32, v3, wa0, wa1, wa2, wa3);
                b32 = mac(b32, v3, wb0, wb1, wb2, wb3);
                c32 = mac(c32, v3, wc0, wc1, wc2, wc3);
                d32 = mac(d32, v3, wd0, wd1, wd2, wd3);
                e32 = mac(e32, v3, we0, we1, we2, we3);
                f32 = mac(f32, v3, wf0, wf1, wf2, wf3);
            }
            {
                let w = base + 0u;
                let f0 = transformed[w + piece0];
                let f1 = transformed[w + piece1];
                let f2 = transformed[w + piece2];
                let ra0 = subgroupBroadcast(f0, 0u);
                let ra1 = subgroupBroadcast(f0, 1u);
                let ra2 = subgroupBroadcast(f0, 2u);
                let ra3 = subgroupBroadcast(f0, 3u);
                let wa0 = vec4f(ra0.x, ra1.x, ra2.x, ra3.x);
                let wa1 = vec4f(ra0.y, ra1.y, ra2.y, ra3.y);
                let wa2 = vec4f(ra0.z, ra1.z, ra2.z, ra3.z);
                let wa3 = vec4f(ra0.w, ra1.w, ra2.w, ra3.w);
                let rb0 = subgroupBroadcast(f0, 4u);
                let rb1 = subgroupBroadcast(f0, 5u);
                let rb2 = subgroupBroadcast(f0, 6u);
                let rb3 = subgroupBroadcast(f0, 7u);
                let wb0 = vec4f(rb0.x, rb1.x, rb2.x, rb3.x);
                let wb1 = vec4f(rb0.y, rb1.y, rb2.y, rb3.y);
                let wb2 = vec4f(rb0.z, rb1.z, rb2.z, rb3.z);
                let wb3 = vec4f(rb0.w, rb1.w, rb2.w, rb3.w);
                let rc0 = subgroupBroadcast(f1, 0u);
                let rc1 = subgroupBroadcast(f1, 1u);
                let rc2 = subgroupBroadcast(f1, 2u);
                let rc3 = subgroupBroadcast(f1, 3u);
                let wc0 = vec4f(rc0.x, rc1.x, rc2.x, rc3.x);
                let wc1 = vec4f(rc0.y, rc1.y, rc2.y, rc3.y);
                let wc2 = vec4f(rc0.z, rc1.z, rc2.z, rc3.z);
                let wc3 = vec4f(rc0.w, rc1.w, rc2.w, rc3.w);
                let rd0 = subgroupBroadcast(f1, 4u);
                let rd1 = subgroupBroadcast(f1, 5u);
                let rd2 = subgroupBroadcast(f1, 6u);
                let rd3 = subgroupBroadcast(f1, 7u);
                let wd0 = vec4f(rd0.x, rd1.x, rd2.x, rd3.x);
                let wd1 = vec4f(rd0.y, rd1.y, rd2.y, rd3.y);
                let wd2 = vec4f(rd0.z, rd1.z, rd2.z, rd3.z);
                let wd3 = vec4f(rd0.w, rd1.w, rd2.w, rd3.w);
                let re0 = subgroupBroadcast(f2, 0u);
                let re1 = subgroupBroadcast(f2, 1u);
                let re2 = subgroupBroadcast(f2, 2u);
                let re3 = subgroupBroadcast(f2, 3u);
                let we0 = vec4f(re0.x, re1.x, re2.x, re3.x);
                let we1 = vec4f(re0.y, re1.y, re2.y, re3.y);
                let we2 = vec4f(re0.z, re1.z, re2.z, re3.z);
                let we3 = vec4f(re0.w, re1.w, re2.w, re3.w);
                let rf0 = subgroupBroadcast(f2, 4u);
                let rf1 = subgroupBroadcast(f2, 5u);
                let rf2 = subgroupBroadcast(f2, 6u);
                let rf3 = subgroupBroadcast(f2, 7u);
                let wf0 = vec4f(rf0.x, rf1.x, rf2.x, rf3.x);
                let wf1 = vec4f(rf0.y, rf1.y, rf2.y, rf3.y);
                let wf2 = vec4f(rf0.z, rf1.z, rf2.z, rf3.z);
                let wf3 = vec4f(rf0.w, rf1.w, rf2.w, rf3.w);
                let v0 = d1 - d3;
                a03 = mac(a03, v0, wa0, wa1, wa2, wa3);
                b03 = mac(b03, v0, wb0, wb1, wb2, wb3);
                c03 = mac(c03, v0, wc0, wc1, wc2, wc3);
                d03 = mac(d03, v0, wd0, wd1, wd2, wd3);
                e03 = mac(e03, v0, we0, we1, we2, we3);
                f03 = mac(f03, v0, wf0, wf1, wf2, wf3);
                let v1 = d3 - d5;
                a13 = mac(a13, v1, wa0, wa1, wa2, wa3);
                b13 = mac(b13, v1, wb0, wb1, wb2, wb3);
                c13 = mac(c13, v1, wc0, wc1, wc2, wc3);
                d13 = mac(d13, v1, wd0, wd1, wd2, wd3);
                e13 = mac(e13, v1, we0, we1, we2, we3);
                f13 = mac(f13, v1, wf0, wf1, wf2, wf3);
                let v2 = d5 - d7;
                a23 = mac(a23, v2, wa0, wa1, wa2, wa3);
                b23 = mac(b23, v2, wb0, wb1, wb2, wb3);
                c23 = mac(c23, v2, wc0, wc1, wc2, wc3);
                d23 = mac(d23, v2, wd0, wd1, wd2, wd3);
                e23 = mac(e23, v2, we0, we1, we2, we3);
                f23 = mac(f23, v2, wf0, wf1, wf2, wf3);
                let v3 = d7 - d9;
                a33 = mac(a33, v3, wa0, wa1, wa2, wa3);
                b33 = mac(b33, v3, wb0, wb1, wb2, wb3);
                c33 = mac(c33, v3, wc0, wc1, wc2, wc3);
                d33 = mac(d33, v3, wd0, wd1, wd2, wd3);
                e33 = mac(e33, v3, we0, we1, we2, we3);
                f33 = mac(f33, v3, wf0, wf1, wf2, wf3);
            }
        }
        // Column i of A^T.
        let upper = select(1.0, 0.0, i == 3u);
        let lower = select(select(-1.0, 1.0, i == 1u), 0.0, i == 0u);
        {
            let left = a00 + a01 + a02;
            let right = a01 - a02 - a03;
            ya00 += upper * left;
            ya01 += upper * right;
            ya02 += lower * left;
            ya03 += lower * right;
        }
        {
            let left = a10 + a11 + a12;
            let right = a11 - a12 - a13;
            ya10 += upper * left;
            ya11 += upper * right;
            ya12 += lower * left;
            ya13 += lower * right;
        }
        {
            let left = a20 + a21 + a22;
            let right = a21 - a22 - a23;
            ya20 += upper * left;
            ya21 += upper * right;
            ya22 += lower * left;
            ya23 += lower * right;
        }
        {
            let left = a30 + a31 + a32;
            let right = a31 - a32 - a33;
            ya30 += upper * left;
            ya31 += upper * right;
            ya32 += lower * left;
            ya33 += lower * right;
        }
        {
            let left = b00 + b01 + b02;
            let right = b01 - b02 - b03;
            yb00 += upper * left;
            yb01 += upper * right;
            yb02 += lower * left;
            yb03 += lower * right;
        }
        {
            let left = b10 + b11 + b12;
            let right = b11 - b12 - b13;
            yb10 += upper * left;
            yb11 += upper * right;
            yb12 += lower * left;
            yb13 += lower * right;
        }
        {
            let left = b20 + b21 + b22;
            let right = b21 - b22 - b23;
            yb20 += upper * left;
            yb21 += upper * right;
            yb22 += lower * left;
            yb23 += lower * right;
        }
        {
            let left = b30 + b31 + b32;
            let right = b31 - b32 - b33;
            yb30 += upper * left;
            yb31 += upper * right;
            yb32 += lower * left;
            yb33 += lower * right;
        }
        {
            let left = c00 + c01 + c02;
            let right = c01 - c02 - c03;
            yc00 += upper * left;
            yc01 += upper * right;
            yc02 += lower * left;
            yc03 += lower * right;
        }
        {
            let left = c10 + c11 + c12;
            let right = c11 - c12 - c13;
            yc10 += upper * left;
            yc11 += upper * right;
            yc12 += lower * left;
            yc13 += lower * right;
        }
        {
            let left = c20 + c21 + c22;
            let right = c21 - c22 - c23;
            yc20 += upper * left;
            yc21 += upper * right;
            yc22 += lower * left;
            yc23 += lower * right;
        }
        {
            let left = c30 + c31 + c32;
            let right = c31 - c32 - c33;
            yc30 += upper * left;
            yc31 += upper * right;
            yc32 += lower * left;
            yc33 += lower * right;
        }
        {
            let left = d00 + d01 + d02;
            let right = d01 - d02 - d03;
            yd00 += upper * left;
            yd01 += upper * right;
            yd02 += lower * left;
            yd03 += lower * right;
        }
        {
            let left = d10 + d11 + d12;
            let right = d11 - d12 - d13;
            yd10 += upper * left;
            yd11 += upper * right;
            yd12 += lower * left;
            yd13 += lower * right;
        }
        {
            let left = d20 + d21 + d22;
            let right = d21 - d22 - d23;
            yd20 += upper * left;
            yd21 += upper * right;
            yd22 += lower * left;
            yd23 += lower * right;
        }
        {
            let left = d30 + d31 + d32;
            let right = d31 - d32 - d33;
            yd30 += upper * left;
            yd31 += upper * right;
            yd32 += lower * left;
            yd33 += lower * right;
        }
        {
            let left = e00 + e01 + e02;
            let right = e01 - e02 - e03;
            ye00 += upper * left;
            ye01 += upper * right;
            ye02 += lower * left;
            ye03 += lower * right;
        }
        {
            let left = e10 + e11 + e12;
            let right = e11 - e12 - e13;
            ye10 += upper * left;
            ye11 += upper * right;
            ye12 += lower * left;
            ye13 += lower * right;
        }
        {
            let left = e20 + e21 + e22;
            let right = e21 - e22 - e23;
            ye20 += upper * left;
            ye21 += upper * right;
            ye22 += lower * left;
            ye23 += lower * right;
        }
        {
            let left = e30 + e31 + e32;
            let right = e31 - e32 - e33;
            ye30 += upper * left;
            ye31 += upper * right;
            ye32 += lower * left;
            ye33 += lower * right;
        }
        {
            let left = f00 + f01 + f02;
            let right = f01 - f02 - f03;
            yf00 += upper * left;
            yf01 += upper * right;
            yf02 += lower * left;
            yf03 += lower * right;
        }
        {
            let left = f10 + f11 + f12;
            let right = f11 - f12 - f13;
            yf10 += upper * left;
            yf11 += upper * right;
            yf12 += lower * left;
            yf13 += lower * right;
        }
        {
            let left = f20 + f21 + f22;
            let right = f21 - f22 - f23;
            yf20 += upper * left;
            yf21 += upper * right;
            yf22 += lower * left;
            yf23 += lower * right;
        }
        {
            let left = f30 + f31 + f32;
            let right = f31 - f32 - f33;
            yf30 += upper * left;
            yf31 += upper * right;
            yf32 += lower * left;
            yf33 += lower * right;
        }
    }
    if index >= params.rows {
        return;
    }
    let row = (image * params.in_h + py) * params.in_w + px;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let columns = min(6u, params.in_c4 - column);
    for (var t = 0u; t < columns; t++) {
        if py + 0u < params.in_h && px + 0u < params.in_w {
            store_input(ya00, row + 0u * params.in_w + 0u, column + t);
        }
        if py + 0u < params.in_h && px + 1u < params.in_w {
            store_input(ya01, row + 0u * params.in_w + 1u, column + t);
        }
        if py + 0u < params.in_h && px + 2u < params.in_w {
            store_input(ya10, row + 0u * params.in_w + 2u, column + t);
        }
        if py + 0u < params.in_h && px + 3u < params.in_w {
            store_input(ya11, row + 0u * params.in_w + 3u, column + t);
        }
        if py + 0u < params.in_h && px + 4u < params.in_w {
            store_input(ya20, row + 0u * params.in_w + 4u, column + t);
        }
        if py + 0u < params.in_h && px + 5u < params.in_w {
            store_input(ya21, row + 0u * params.in_w + 5u, column + t);
        }
        if py + 0u < params.in_h && px + 6u < params.in_w {
            store_input(ya30, row + 0u * params.in_w + 6u, column + t);
        }
        if py + 0u < params.in_h && px + 7u < params.in_w {
            store_input(ya31, row + 0u * params.in_w + 7u, column + t);
        }
        if py + 1u < params.in_h && px + 0u < params.in_w {
            store_input(ya02, row + 1u * params.in_w + 0u, column + t);
        }
        if py + 1u < params.in_h && px + 1u < params.in_w {
            store_input(ya03, row + 1u * params.in_w + 1u, column + t);
        }
        if py + 1u < params.in_h && px + 2u < params.in_w {
            store_input(ya12, row + 1u * params.in_w + 2u, column + t);
        }
        if py + 1u < params.in_h && px + 3u < params.in_w {
            store_input(ya13, row + 1u * params.in_w + 3u, column + t);
        }
        if py + 1u < params.in_h && px + 4u < params.in_w {
            store_input(ya22, row + 1u * params.in_w + 4u, column + t);
        }
        if py + 1u < params.in_h && px + 5u < params.in_w {
            store_input(ya23, row + 1u * params.in_w + 5u, column + t);
        }
        if py + 1u < params.in_h && px + 6u < params.in_w {
            store_input(ya32, row + 1u * params.in_w + 6u, column + t);
        }
        if py + 1u < params.in_h && px + 7u < params.in_w {
            store_input(ya33, row + 1u * params.in_w + 7u, column + t);
        }
        ya00 = yb00; ya01 = yb01; ya02 = yb02; ya03 = yb03;
        ya10 = yb10; ya11 = yb11; ya12 = yb12; ya13 = yb13;
        ya20 = yb20; ya21 = yb21; ya22 = yb22; ya23 = yb23;
        ya30 = yb30; ya31 = yb31; ya32 = yb32; ya33 = yb33;
        yb00 = yc00; yb01 = yc01; yb02 = yc02; yb03 = yc03;
        yb10 = yc10; yb11 = yc11; yb12 = yc12; yb13 = yc13;
        yb20 = yc20; yb21 = yc21; yb22 = yc22; yb23 = yc23;
        yb30 = yc30; yb31 = yc31; yb32 = yc32; yb33 = yc33;
        yc00 = yd00; yc01 = yd01; yc02 = yd02; yc03 = yd03;
        yc10 = yd10; yc11 = yd11; yc12 = yd12; yc13 = yd13;
        yc20 = yd20; yc21 = yd21; yc22 = yd22; yc23 = yd23;
        yc30 = yd30; yc31 = yd31; yc32 = yd32; yc33 = yd33;
        yd00 = ye00; yd01 = ye01; yd02 = ye02; yd03 = ye03;
        yd10 = ye10; yd11 = ye11; yd12 = ye12; yd13 = ye13;
        yd20 = ye20; yd21 = ye21; yd22 = ye22; yd23 = ye23;
        yd30 = ye30; yd31 = ye31; yd32 = ye32; yd33 = ye33;
        ye00 = yf00; ye01 = yf01; ye02 = yf02; ye03 = yf03;
        ye10 = yf10; ye11 = yf11; ye12 = yf12; ye13 = yf13;
        ye20 = yf20; ye21 = yf21; ye22 = yf22; ye23 = yf23;
        ye30 = yf30; ye31 = yf31; ye32 = yf32; ye33 = yf33;
    }
}

// The weight gradient of 3x3 convolutions with stride 1 and padding 1, channels last. Written by
// scripts/make_convolutions.py. It is for adapters that pay for loads more than for registers.
// LANES is 8, or 4 where subgroups are smaller.
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

// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.
// One thread makes the 3 taps of a kernel row by 4 input by 16 output channels, and walks along
// the image's lines two pixels at a time with four pixels of x in registers. The lanes of a
// subgroup have the same output channels and share the loads of dy.
@compute @workgroup_size(64)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let rows = params.in_c4;
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
    let row = place % rows;
    let column = outer % params.column_tiles * 4u;
    let split = outer / params.column_tiles;
    let ci = params.in_c4;
    let co = params.out_c4;
    // This lane loads channels `piece` of dy of the first or second pixel; overhanging vec4s are
    // read from the last valid place and not stored.
    let piece = min(column + (id & 3u), co - 1u) - column;
    let second = (id & 4u) != 0u;
    let zero = vec4f();
    var s0 = zero;
    var s1 = zero;
    var a00 = vec4f(); var a01 = vec4f(); var a02 = vec4f(); var a03 = vec4f();
    var b00 = vec4f(); var b01 = vec4f(); var b02 = vec4f(); var b03 = vec4f();
    var c00 = vec4f(); var c01 = vec4f(); var c02 = vec4f(); var c03 = vec4f();
    var d00 = vec4f(); var d01 = vec4f(); var d02 = vec4f(); var d03 = vec4f();
    var a10 = vec4f(); var a11 = vec4f(); var a12 = vec4f(); var a13 = vec4f();
    var b10 = vec4f(); var b11 = vec4f(); var b12 = vec4f(); var b13 = vec4f();
    var c10 = vec4f(); var c11 = vec4f(); var c12 = vec4f(); var c13 = vec4f();
    var d10 = vec4f(); var d11 = vec4f(); var d12 = vec4f(); var d13 = vec4f();
    var a20 = vec4f(); var a21 = vec4f(); var a22 = vec4f(); var a23 = vec4f();
    var b20 = vec4f(); var b21 = vec4f(); var b22 = vec4f(); var b23 = vec4f();
    var c20 = vec4f(); var c21 = vec4f(); var c22 = vec4f(); var c23 = vec4f();
    var d20 = vec4f(); var d21 = vec4f(); var d22 = vec4f(); var d23 = vec4f();
    let image_from = split * params.split_images;
    for (var i = 0u; i < params.split_images; i++) {
        let n = min(image_from + i, params.batch - 1u);
        let counted = image_from + i < params.batch;
        for (var oy = 0u; oy < params.out_h; oy++) {
            let iy = i32(oy + ky) - 1;
            let inside = iy >= 0 && iy < i32(params.in_h);
            let sy = u32(select(0, iy, inside));
            var xi = (n * params.in_h + sy) * params.in_w * ci + row;
            var yi = (n * params.out_h + oy) * params.out_w * co + column;
            var u0 = zero;
            var u1 = select(zero, x[xi], inside);
            for (var ox = 0u; ox < params.out_w; ox += 2u) {
                // Pixels ox + 1 and ox + 2 of x; those of dy are ox and ox + 1.
                let ok1 = inside && ox + 1u < params.in_w;
                let ok2 = inside && ox + 2u < params.in_w;
                let u2 = select(zero, x[select(xi, xi + ci, ok1)], ok1);
                let u3 = select(zero, x[select(xi, xi + 2u * ci, ok2)], ok2);
                xi = select(xi, xi + 2u * ci, ok2);
                let more = ox + 1u < params.out_w;
                let next = select(0u, co, more);
                let f0 = select(zero, y[yi + piece + select(0u, next, second && LANES != 4u)],
                    counted && (more || !second || LANES == 4u));
                let f1 = select(zero, y[yi + piece + next], counted && more && LANES == 4u);
                yi += 2u * co;
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
                a00 = fma(da0, vec4f(u0.x), a00);
                b00 = fma(db0, vec4f(u0.x), b00);
                c00 = fma(dc0, vec4f(u0.x), c00);
                d00 = fma(dd0, vec4f(u0.x), d00);
                a01 = fma(da0, vec4f(u0.y), a01);
                b01 = fma(db0, vec4f(u0.y), b01);
                c01 = fma(dc0, vec4f(u0.y), c01);
                d01 = fma(dd0, vec4f(u0.y), d01);
                a02 = fma(da0, vec4f(u0.z), a02);
                b02 = fma(db0, vec4f(u0.z), b02);
                c02 = fma(dc0, vec4f(u0.z), c02);
                d02 = fma(dd0, vec4f(u0.z), d02);
                a03 = fma(da0, vec4f(u0.w), a03);
                b03 = fma(db0, vec4f(u0.w), b03);
                c03 = fma(dc0, vec4f(u0.w), c03);
                d03 = fma(dd0, vec4f(u0.w), d03);
                a10 = fma(da0, vec4f(u1.x), a10);
                b10 = fma(db0, vec4f(u1.x), b10);
                c10 = fma(dc0, vec4f(u1.x), c10);
                d10 = fma(dd0, vec4f(u1.x), d10);
                a11 = fma(da0, vec4f(u1.y), a11);
                b11 = fma(db0, vec4f(u1.y), b11);
                c11 = fma(dc0, vec4f(u1.y), c11);
                d11 = fma(dd0, vec4f(u1.y), d11);
                a12 = fma(da0, vec4f(u1.z), a12);
                b12 = fma(db0, vec4f(u1.z), b12);
                c12 = fma(dc0, vec4f(u1.z), c12);
                d12 = fma(dd0, vec4f(u1.z), d12);
                a13 = fma(da0, vec4f(u1.w), a13);
                b13 = fma(db0, vec4f(u1.w), b13);
                c13 = fma(dc0, vec4f(u1.w), c13);
                d13 = fma(dd0, vec4f(u1.w), d13);
                a20 = fma(da0, vec4f(u2.x), a20);
                b20 = fma(db0, vec4f(u2.x), b20);
                c20 = fma(dc0, vec4f(u2.x), c20);
                d20 = fma(dd0, vec4f(u2.x), d20);
                a21 = fma(da0, vec4f(u2.y), a21);
                b21 = fma(db0, vec4f(u2.y), b21);
                c21 = fma(dc0, vec4f(u2.y), c21);
                d21 = fma(dd0, vec4f(u2.y), d21);
                a22 = fma(da0, vec4f(u2.z), a22);
                b22 = fma(db0, vec4f(u2.z), b22);
                c22 = fma(dc0, vec4f(u2.z), c22);
                d22 = fma(dd0, vec4f(u2.z), d22);
                a23 = fma(da0, vec4f(u2.w), a23);
                b23 = fma(db0, vec4f(u2.w), b23);
                c23 = fma(dc0, vec4f(u2.w), c23);
                d23 = fma(dd0, vec4f(u2.w), d23);
                a00 = fma(da1, vec4f(u1.x), a00);
                b00 = fma(db1, vec4f(u1.x), b00);
                c00 = fma(dc1, vec4f(u1.x), c00);
                d00 = fma(dd1, vec4f(u1.x), d00);
                a01 = fma(da1, vec4f(u1.y), a01);
                b01 = fma(db1, vec4f(u1.y), b01);
                c01 = fma(dc1, vec4f(u1.y), c01);
                d01 = fma(dd1, vec4f(u1.y), d01);
                a02 = fma(da1, vec4f(u1.z), a02);
                b02 = fma(db1, vec4f(u1.z), b02);
                c02 = fma(dc1, vec4f(u1.z), c02);
                d02 = fma(dd1, vec4f(u1.z), d02);
                a03 = fma(da1, vec4f(u1.w), a03);
                b03 = fma(db1, vec4f(u1.w), b03);
                c03 = fma(dc1, vec4f(u1.w), c03);
                d03 = fma(dd1, vec4f(u1.w), d03);
                a10 = fma(da1, vec4f(u2.x), a10);
                b10 = fma(db1, vec4f(u2.x), b10);
                c10 = fma(dc1, vec4f(u2.x), c10);
                d10 = fma(dd1, vec4f(u2.x), d10);
                a11 = fma(da1, vec4f(u2.y), a11);
                b11 = fma(db1, vec4f(u2.y), b11);
                c11 = fma(dc1, vec4f(u2.y), c11);
                d11 = fma(dd1, vec4f(u2.y), d11);
                a12 = fma(da1, vec4f(u2.z), a12);
                b12 = fma(db1, vec4f(u2.z), b12);
                c12 = fma(dc1, vec4f(u2.z), c12);
                d12 = fma(dd1, vec4f(u2.z), d12);
                a13 = fma(da1, vec4f(u2.w), a13);
                b13 = fma(db1, vec4f(u2.w), b13);
                c13 = fma(dc1, vec4f(u2.w), c13);
                d13 = fma(dd1, vec4f(u2.w), d13);
                a20 = fma(da1, vec4f(u3.x), a20);
                b20 = fma(db1, vec4f(u3.x), b20);
                c20 = fma(dc1, vec4f(u3.x), c20);
                d20 = fma(dd1, vec4f(u3.x), d20);
                a21 = fma(da1, vec4f(u3.y), a21);
                b21 = fma(db1, vec4f(u3.y), b21);
                c21 = fma(dc1, vec4f(u3.y), c21);
                d21 = fma(dd1, vec4f(u3.y), d21);
                a22 = fma(da1, vec4f(u3.z), a22);
                b22 = fma(db1, vec4f(u3.z), b22);
                c22 = fma(dc1, vec4f(u3.z), c22);
                d22 = fma(dd1, vec4f(u3.z), d22);
                a23 = fma(da1, vec4f(u3.w), a23);
                b23 = fma(db1, vec4f(u3.w), b23);
                c23 = fma(dc1, vec4f(u3.w), c23);
                d23 = fma(dd1, vec4f(u3.w), d23);
                u0 = u2;
                u1 = u3;
            }
        }
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
    var at = ((split * 9u + ky * 3u) * ci + row) * 4u * co + column;
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    for (var taps = 3u; taps > 0u; taps--) {
        store_weight(a00, at + 0u * co + 0u, column + 0u);
        store_weight(b00, at + 0u * co + 1u, column + 1u);
        store_weight(c00, at + 0u * co + 2u, column + 2u);
        store_weight(d00, at + 0u * co + 3u, column + 3u);
        store_weight(a01, at + 1u * co + 0u, column + 0u);
        store_weight(b01, at + 1u * co + 1u, column + 1u);
        store_weight(c01, at + 1u * co + 2u, column + 2u);
        store_weight(d01, at + 1u * co + 3u, column + 3u);
        store_weight(a02, at + 2u * co + 0u, column + 0u);
        store_weight(b02, at + 2u * co + 1u, column + 1u);
        store_weight(c02, at + 2u * co + 2u, column + 2u);
        store_weight(d02, at + 2u * co + 3u, column + 3u);
        store_weight(a03, at + 3u * co + 0u, column + 0u);
        store_weight(b03, at + 3u * co + 1u, column + 1u);
        store_weight(c03, at + 3u * co + 2u, column + 2u);
        store_weight(d03, at + 3u * co + 3u, column + 3u);
        a00 = a10; a01 = a11; a02 = a12; a03 = a13;
        b00 = b10; b01 = b11; b02 = b12; b03 = b13;
        c00 = c10; c01 = c11; c02 = c12; c03 = c13;
        d00 = d10; d01 = d11; d02 = d12; d03 = d13;
        a10 = a20; a11 = a21; a12 = a22; a13 = a23;
        b10 = b20; b11 = b21; b12 = b22; b13 = b23;
        c10 = c20; c11 = c21; c12 = c22; c13 = c23;
        d10 = d20; d11 = d21; d12 = d22; d13 = d23;
        at += ci * 4u * co;
    }
}

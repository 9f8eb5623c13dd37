// 3x3 convolution with stride 1 and padding 1, channels last. One thread makes 8 neighbouring
// pixels of a row by 8 channels, and slides a window of 10 pixels over the three taps of a kernel
// row: 10 loads of the input serve 24 products. The weights, the same for
// all lanes, are loaded once a subgroup. LANES is 8, or 4 where subgroups are smaller.
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
    rows: u32,         // strips of 8 pixels: B * H * strips
    column_tiles: u32,
    flags: u32,        // 1 bias, 2 sample, 4 residual, 8 accumulate
    splits: u32,       // backward_weight: parts of the batch
    split_images: u32, // images a part
    strips: u32,       // strips a row: W / 8, rounded up
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;         // [B, H, W, Cin] or its gradient
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;    // [3, 3, Cin, Cout] or its gradient, [splits, ...]
@group(0) @binding(3) var<storage, read_write> bias: array<vec4f>;      // [Cout]
@group(0) @binding(4) var<storage, read_write> sample: array<vec4f>;    // [B, Cout], added to every pixel
@group(0) @binding(5) var<storage, read_write> residual: array<vec4f>;  // [B, H, W, Cout], added
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;         // [B, H, W, Cout] or its gradient

// acc + w0 * v.x + w1 * v.y + w2 * v.z + w3 * v.w
fn mac(acc: vec4f, v: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return fma(w3, vec4f(v.w), fma(w2, vec4f(v.z), fma(w1, vec4f(v.y), fma(w0, vec4f(v.x), acc))));
}

fn epilogue(acc: vec4f, row: u32, column: u32) {
    var v = acc;
    let at = row * params.out_c4 + column;
    if (params.flags & 1u) != 0u {
        v += bias[column];
    }
    if (params.flags & 2u) != 0u {
        v += sample[row / (params.out_h * params.out_w) * params.out_c4 + column];
    }
    if (params.flags & 4u) != 0u {
        v += residual[at];
    }
    if (params.flags & 8u) != 0u {
        v += y[at];
    }
    y[at] = v;
}

fn store(a: vec4f, b: vec4f, row: u32, column: u32) {
    epilogue(a, row, column);
    if column + 1u < params.out_c4 {
        epilogue(b, row, column + 1u);
    }
}

fn store_input(a: vec4f, b: vec4f, row: u32, column: u32) {
    let at = row * params.in_c4 + column;
    let add = (params.flags & 8u) != 0u;
    x[at] = select(a, a + x[at], add);
    if column + 1u < params.in_c4 {
        x[at + 1u] = select(b, b + x[at + 1u], add);
    }
}

// Piece i of the 8 that the lanes hold: one each on subgroups of 8 and more, two each on smaller.
fn spread0(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f, 0u);
    }
    return subgroupBroadcast(f, 0u);
}

fn spread1(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f, 1u);
    }
    return subgroupBroadcast(f, 1u);
}

fn spread2(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f, 2u);
    }
    return subgroupBroadcast(f, 2u);
}

fn spread3(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(f, 3u);
    }
    return subgroupBroadcast(f, 3u);
}

fn spread4(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(g, 0u);
    }
    return subgroupBroadcast(f, 4u);
}

fn spread5(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(g, 1u);
    }
    return subgroupBroadcast(f, 5u);
}

fn spread6(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(g, 2u);
    }
    return subgroupBroadcast(f, 6u);
}

fn spread7(f: vec4f, g: vec4f) -> vec4f {
    if LANES == 4u {
        return subgroupBroadcast(g, 3u);
    }
    return subgroupBroadcast(f, 7u);
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
    // Lanes beyond the end go along, as the subgroup needs all of them; they store nothing.
    let strip = min(index, params.rows - 1u);
    let line = strip / params.strips;
    let px = (strip - line * params.strips) * 8u;
    let image = line / params.in_h;
    let py = i32(line - image * params.in_h);
    let depth = params.in_c4;
    let width = i32(params.in_w);
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let c0 = i32(px) + -1;
    let c1 = i32(px) + 0;
    let c2 = i32(px) + 1;
    let c3 = i32(px) + 2;
    let c4 = i32(px) + 3;
    let c5 = i32(px) + 4;
    let c6 = i32(px) + 5;
    let c7 = i32(px) + 6;
    let c8 = i32(px) + 7;
    let c9 = i32(px) + 8;
    let o0 = u32(clamp(c0, 0, width - 1)) * depth;
    let o1 = u32(clamp(c1, 0, width - 1)) * depth;
    let o2 = u32(clamp(c2, 0, width - 1)) * depth;
    let o3 = u32(clamp(c3, 0, width - 1)) * depth;
    let o4 = u32(clamp(c4, 0, width - 1)) * depth;
    let o5 = u32(clamp(c5, 0, width - 1)) * depth;
    let o6 = u32(clamp(c6, 0, width - 1)) * depth;
    let o7 = u32(clamp(c7, 0, width - 1)) * depth;
    let o8 = u32(clamp(c8, 0, width - 1)) * depth;
    let o9 = u32(clamp(c9, 0, width - 1)) * depth;
    let k0 = c0 >= 0 && c0 < width;
    let k1 = c1 >= 0 && c1 < width;
    let k2 = c2 >= 0 && c2 < width;
    let k3 = c3 >= 0 && c3 < width;
    let k4 = c4 >= 0 && c4 < width;
    let k5 = c5 >= 0 && c5 < width;
    let k6 = c6 >= 0 && c6 < width;
    let k7 = c7 >= 0 && c7 < width;
    let k8 = c8 >= 0 && c8 < width;
    let k9 = c9 >= 0 && c9 < width;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let zero = vec4f();
    let co = params.out_c4;
    // An overhanging second half reads the first again and is not stored.
    let over = select(1u, 0u, column + 1u >= params.out_c4);
    // The 8 vec4s of weights that a step needs are loaded by the first lanes, one or two each.
    let half = select(0u, over, (id & 4u) != 0u);
    let piece = select(half, 0u, LANES == 4u) + (id & 3u) * co;
    let piece_b = over + (id & 3u) * co;
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + ky - 1;
        let inside = sy >= 0 && sy < i32(params.in_h);
        let start = (image * params.in_h + u32(select(py, sy, inside))) * params.in_w * depth;
        let m0 = inside && k0;
        let m1 = inside && k1;
        let m2 = inside && k2;
        let m3 = inside && k3;
        let m4 = inside && k4;
        let m5 = inside && k5;
        let m6 = inside && k6;
        let m7 = inside && k7;
        let m8 = inside && k8;
        let m9 = inside && k9;
        let tap0 = u32(ky) * 3u * params.in_c4 * 4u * co + column;
        let tap1 = tap0 + params.in_c4 * 4u * co;
        let tap2 = tap1 + params.in_c4 * 4u * co;
        for (var c = 0u; c < depth; c++) {
            let v0 = select(zero, x[start + o0 + c], m0);
            let v1 = select(zero, x[start + o1 + c], m1);
            let v2 = select(zero, x[start + o2 + c], m2);
            let v3 = select(zero, x[start + o3 + c], m3);
            let v4 = select(zero, x[start + o4 + c], m4);
            let v5 = select(zero, x[start + o5 + c], m5);
            let v6 = select(zero, x[start + o6 + c], m6);
            let v7 = select(zero, x[start + o7 + c], m7);
            let v8 = select(zero, x[start + o8 + c], m8);
            let v9 = select(zero, x[start + o9 + c], m9);
            {
                let w = tap0 + 4u * c * co;
                let f = weight[w + piece];
                let g = weight[w + piece_b];
                let p0 = spread0(f, g);
                let p1 = spread1(f, g);
                let p2 = spread2(f, g);
                let p3 = spread3(f, g);
                let q0 = spread4(f, g);
                let q1 = spread5(f, g);
                let q2 = spread6(f, g);
                let q3 = spread7(f, g);
                a0 = mac(a0, v0, p0, p1, p2, p3);
                b0 = mac(b0, v0, q0, q1, q2, q3);
                a1 = mac(a1, v1, p0, p1, p2, p3);
                b1 = mac(b1, v1, q0, q1, q2, q3);
                a2 = mac(a2, v2, p0, p1, p2, p3);
                b2 = mac(b2, v2, q0, q1, q2, q3);
                a3 = mac(a3, v3, p0, p1, p2, p3);
                b3 = mac(b3, v3, q0, q1, q2, q3);
                a4 = mac(a4, v4, p0, p1, p2, p3);
                b4 = mac(b4, v4, q0, q1, q2, q3);
                a5 = mac(a5, v5, p0, p1, p2, p3);
                b5 = mac(b5, v5, q0, q1, q2, q3);
                a6 = mac(a6, v6, p0, p1, p2, p3);
                b6 = mac(b6, v6, q0, q1, q2, q3);
                a7 = mac(a7, v7, p0, p1, p2, p3);
                b7 = mac(b7, v7, q0, q1, q2, q3);
            }
            {
                let w = tap1 + 4u * c * co;
                let f = weight[w + piece];
                let g = weight[w + piece_b];
                let p0 = spread0(f, g);
                let p1 = spread1(f, g);
                let p2 = spread2(f, g);
                let p3 = spread3(f, g);
                let q0 = spread4(f, g);
                let q1 = spread5(f, g);
                let q2 = spread6(f, g);
                let q3 = spread7(f, g);
                a0 = mac(a0, v1, p0, p1, p2, p3);
                b0 = mac(b0, v1, q0, q1, q2, q3);
                a1 = mac(a1, v2, p0, p1, p2, p3);
                b1 = mac(b1, v2, q0, q1, q2, q3);
                a2 = mac(a2, v3, p0, p1, p2, p3);
                b2 = mac(b2, v3, q0, q1, q2, q3);
                a3 = mac(a3, v4, p0, p1, p2, p3);
                b3 = mac(b3, v4, q0, q1, q2, q3);
                a4 = mac(a4, v5, p0, p1, p2, p3);
                b4 = mac(b4, v5, q0, q1, q2, q3);
                a5 = mac(a5, v6, p0, p1, p2, p3);
                b5 = mac(b5, v6, q0, q1, q2, q3);
                a6 = mac(a6, v7, p0, p1, p2, p3);
                b6 = mac(b6, v7, q0, q1, q2, q3);
                a7 = mac(a7, v8, p0, p1, p2, p3);
                b7 = mac(b7, v8, q0, q1, q2, q3);
            }
            {
                let w = tap2 + 4u * c * co;
                let f = weight[w + piece];
                let g = weight[w + piece_b];
                let p0 = spread0(f, g);
                let p1 = spread1(f, g);
                let p2 = spread2(f, g);
                let p3 = spread3(f, g);
                let q0 = spread4(f, g);
                let q1 = spread5(f, g);
                let q2 = spread6(f, g);
                let q3 = spread7(f, g);
                a0 = mac(a0, v2, p0, p1, p2, p3);
                b0 = mac(b0, v2, q0, q1, q2, q3);
                a1 = mac(a1, v3, p0, p1, p2, p3);
                b1 = mac(b1, v3, q0, q1, q2, q3);
                a2 = mac(a2, v4, p0, p1, p2, p3);
                b2 = mac(b2, v4, q0, q1, q2, q3);
                a3 = mac(a3, v5, p0, p1, p2, p3);
                b3 = mac(b3, v5, q0, q1, q2, q3);
                a4 = mac(a4, v6, p0, p1, p2, p3);
                b4 = mac(b4, v6, q0, q1, q2, q3);
                a5 = mac(a5, v7, p0, p1, p2, p3);
                b5 = mac(b5, v7, q0, q1, q2, q3);
                a6 = mac(a6, v8, p0, p1, p2, p3);
                b6 = mac(b6, v8, q0, q1, q2, q3);
                a7 = mac(a7, v9, p0, p1, p2, p3);
                b7 = mac(b7, v9, q0, q1, q2, q3);
            }
        }
    }
    if index >= params.rows {
        return;
    }
    let row = line * params.in_w + px;
    let count = params.in_w - px;
    store(a0, b0, row, column);
    if count > 1u {
        store(a1, b1, row + 1u, column);
    }
    if count > 2u {
        store(a2, b2, row + 2u, column);
    }
    if count > 3u {
        store(a3, b3, row + 3u, column);
    }
    if count > 4u {
        store(a4, b4, row + 4u, column);
    }
    if count > 5u {
        store(a5, b5, row + 5u, column);
    }
    if count > 6u {
        store(a6, b6, row + 6u, column);
    }
    if count > 7u {
        store(a7, b7, row + 7u, column);
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
    // Lanes beyond the end go along, as the subgroup needs all of them; they store nothing.
    let strip = min(index, params.rows - 1u);
    let line = strip / params.strips;
    let px = (strip - line * params.strips) * 8u;
    let image = line / params.in_h;
    let py = i32(line - image * params.in_h);
    let depth = params.out_c4;
    let width = i32(params.in_w);
    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.
    let c0 = i32(px) + -1;
    let c1 = i32(px) + 0;
    let c2 = i32(px) + 1;
    let c3 = i32(px) + 2;
    let c4 = i32(px) + 3;
    let c5 = i32(px) + 4;
    let c6 = i32(px) + 5;
    let c7 = i32(px) + 6;
    let c8 = i32(px) + 7;
    let c9 = i32(px) + 8;
    let o0 = u32(clamp(c0, 0, width - 1)) * depth;
    let o1 = u32(clamp(c1, 0, width - 1)) * depth;
    let o2 = u32(clamp(c2, 0, width - 1)) * depth;
    let o3 = u32(clamp(c3, 0, width - 1)) * depth;
    let o4 = u32(clamp(c4, 0, width - 1)) * depth;
    let o5 = u32(clamp(c5, 0, width - 1)) * depth;
    let o6 = u32(clamp(c6, 0, width - 1)) * depth;
    let o7 = u32(clamp(c7, 0, width - 1)) * depth;
    let o8 = u32(clamp(c8, 0, width - 1)) * depth;
    let o9 = u32(clamp(c9, 0, width - 1)) * depth;
    let k0 = c0 >= 0 && c0 < width;
    let k1 = c1 >= 0 && c1 < width;
    let k2 = c2 >= 0 && c2 < width;
    let k3 = c3 >= 0 && c3 < width;
    let k4 = c4 >= 0 && c4 < width;
    let k5 = c5 >= 0 && c5 < width;
    let k6 = c6 >= 0 && c6 < width;
    let k7 = c7 >= 0 && c7 < width;
    let k8 = c8 >= 0 && c8 < width;
    let k9 = c9 >= 0 && c9 < width;
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let zero = vec4f();
    let co = params.out_c4;
    // An overhanging second half reads the first again and is not stored.
    let over = select(4u, 0u, column + 1u >= params.in_c4) * co;
    // The 8 vec4s of weights that a step needs are loaded by the first lanes, one or two each.
    let half = select(0u, over, (id & 4u) != 0u);
    let piece = select(half, 0u, LANES == 4u) + (id & 3u) * co;
    let piece_b = over + (id & 3u) * co;
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + 1 - ky;
        let inside = sy >= 0 && sy < i32(params.in_h);
        let start = (image * params.in_h + u32(select(py, sy, inside))) * params.in_w * depth;
        let m0 = inside && k0;
        let m1 = inside && k1;
        let m2 = inside && k2;
        let m3 = inside && k3;
        let m4 = inside && k4;
        let m5 = inside && k5;
        let m6 = inside && k6;
        let m7 = inside && k7;
        let m8 = inside && k8;
        let m9 = inside && k9;
        let tap0 = (u32(ky) * 3u * params.in_c4 + column) * 4u * co;
        let tap1 = tap0 + params.in_c4 * 4u * co;
        let tap2 = tap1 + params.in_c4 * 4u * co;
        for (var c = 0u; c < depth; c++) {
            let v0 = select(zero, y[start + o0 + c], m0);
            let v1 = select(zero, y[start + o1 + c], m1);
            let v2 = select(zero, y[start + o2 + c], m2);
            let v3 = select(zero, y[start + o3 + c], m3);
            let v4 = select(zero, y[start + o4 + c], m4);
            let v5 = select(zero, y[start + o5 + c], m5);
            let v6 = select(zero, y[start + o6 + c], m6);
            let v7 = select(zero, y[start + o7 + c], m7);
            let v8 = select(zero, y[start + o8 + c], m8);
            let v9 = select(zero, y[start + o9 + c], m9);
            {
                let w = tap0 + c;
                let f = weight[w + piece];
                let g = weight[w + piece_b];
                let r0 = spread0(f, g);
                let r1 = spread1(f, g);
                let r2 = spread2(f, g);
                let r3 = spread3(f, g);
                let s0 = spread4(f, g);
                let s1 = spread5(f, g);
                let s2 = spread6(f, g);
                let s3 = spread7(f, g);
                let p0 = vec4f(r0.x, r1.x, r2.x, r3.x);
                let q0 = vec4f(s0.x, s1.x, s2.x, s3.x);
                let p1 = vec4f(r0.y, r1.y, r2.y, r3.y);
                let q1 = vec4f(s0.y, s1.y, s2.y, s3.y);
                let p2 = vec4f(r0.z, r1.z, r2.z, r3.z);
                let q2 = vec4f(s0.z, s1.z, s2.z, s3.z);
                let p3 = vec4f(r0.w, r1.w, r2.w, r3.w);
                let q3 = vec4f(s0.w, s1.w, s2.w, s3.w);
                a0 = mac(a0, v2, p0, p1, p2, p3);
                b0 = mac(b0, v2, q0, q1, q2, q3);
                a1 = mac(a1, v3, p0, p1, p2, p3);
                b1 = mac(b1, v3, q0, q1, q2, q3);
                a2 = mac(a2, v4, p0, p1, p2, p3);
                b2 = mac(b2, v4, q0, q1, q2, q3);
                a3 = mac(a3, v5, p0, p1, p2, p3);
                b3 = mac(b3, v5, q0, q1, q2, q3);
                a4 = mac(a4, v6, p0, p1, p2, p3);
                b4 = mac(b4, v6, q0, q1, q2, q3);
                a5 = mac(a5, v7, p0, p1, p2, p3);
                b5 = mac(b5, v7, q0, q1, q2, q3);
                a6 = mac(a6, v8, p0, p1, p2, p3);
                b6 = mac(b6, v8, q0, q1, q2, q3);
                a7 = mac(a7, v9, p0, p1, p2, p3);
                b7 = mac(b7, v9, q0, q1, q2, q3);
            }
            {
                let w = tap1 + c;
                let f = weight[w + piece];
                let g = weight[w + piece_b];
                let r0 = spread0(f, g);
                let r1 = spread1(f, g);
                let r2 = spread2(f, g);
                let r3 = spread3(f, g);
                let s0 = spread4(f, g);
                let s1 = spread5(f, g);
                let s2 = spread6(f, g);
                let s3 = spread7(f, g);
                let p0 = vec4f(r0.x, r1.x, r2.x, r3.x);
                let q0 = vec4f(s0.x, s1.x, s2.x, s3.x);
                let p1 = vec4f(r0.y, r1.y, r2.y, r3.y);
                let q1 = vec4f(s0.y, s1.y, s2.y, s3.y);
                let p2 = vec4f(r0.z, r1.z, r2.z, r3.z);
                let q2 = vec4f(s0.z, s1.z, s2.z, s3.z);
                let p3 = vec4f(r0.w, r1.w, r2.w, r3.w);
                let q3 = vec4f(s0.w, s1.w, s2.w, s3.w);
                a0 = mac(a0, v1, p0, p1, p2, p3);
                b0 = mac(b0, v1, q0, q1, q2, q3);
                a1 = mac(a1, v2, p0, p1, p2, p3);
                b1 = mac(b1, v2, q0, q1, q2, q3);
                a2 = mac(a2, v3, p0, p1, p2, p3);
                b2 = mac(b2, v3, q0, q1, q2, q3);
                a3 = mac(a3, v4, p0, p1, p2, p3);
                b3 = mac(b3, v4, q0, q1, q2, q3);
                a4 = mac(a4, v5, p0, p1, p2, p3);
                b4 = mac(b4, v5, q0, q1, q2, q3);
                a5 = mac(a5, v6, p0, p1, p2, p3);
                b5 = mac(b5, v6, q0, q1, q2, q3);
                a6 = mac(a6, v7, p0, p1, p2, p3);
                b6 = mac(b6, v7, q0, q1, q2, q3);
                a7 = mac(a7, v8, p0, p1, p2, p3);
                b7 = mac(b7, v8, q0, q1, q2, q3);
            }
            {
                let w = tap2 + c;
                let f = weight[w + piece];
                let g = weight[w + piece_b];
                let r0 = spread0(f, g);
                let r1 = spread1(f, g);
                let r2 = spread2(f, g);
                let r3 = spread3(f, g);
                let s0 = spread4(f, g);
                let s1 = spread5(f, g);
                let s2 = spread6(f, g);
                let s3 = spread7(f, g);
                let p0 = vec4f(r0.x, r1.x, r2.x, r3.x);
                let q0 = vec4f(s0.x, s1.x, s2.x, s3.x);
                let p1 = vec4f(r0.y, r1.y, r2.y, r3.y);
                let q1 = vec4f(s0.y, s1.y, s2.y, s3.y);
                let p2 = vec4f(r0.z, r1.z, r2.z, r3.z);
                let q2 = vec4f(s0.z, s1.z, s2.z, s3.z);
                let p3 = vec4f(r0.w, r1.w, r2.w, r3.w);
                let q3 = vec4f(s0.w, s1.w, s2.w, s3.w);
                a0 = mac(a0, v0, p0, p1, p2, p3);
                b0 = mac(b0, v0, q0, q1, q2, q3);
                a1 = mac(a1, v1, p0, p1, p2, p3);
                b1 = mac(b1, v1, q0, q1, q2, q3);
                a2 = mac(a2, v2, p0, p1, p2, p3);
                b2 = mac(b2, v2, q0, q1, q2, q3);
                a3 = mac(a3, v3, p0, p1, p2, p3);
                b3 = mac(b3, v3, q0, q1, q2, q3);
                a4 = mac(a4, v4, p0, p1, p2, p3);
                b4 = mac(b4, v4, q0, q1, q2, q3);
                a5 = mac(a5, v5, p0, p1, p2, p3);
                b5 = mac(b5, v5, q0, q1, q2, q3);
                a6 = mac(a6, v6, p0, p1, p2, p3);
                b6 = mac(b6, v6, q0, q1, q2, q3);
                a7 = mac(a7, v7, p0, p1, p2, p3);
                b7 = mac(b7, v7, q0, q1, q2, q3);
            }
        }
    }
    if index >= params.rows {
        return;
    }
    let row = line * params.in_w + px;
    let count = params.in_w - px;
    store_input(a0, b0, row, column);
    if count > 1u {
        store_input(a1, b1, row + 1u, column);
    }
    if count > 2u {
        store_input(a2, b2, row + 2u, column);
    }
    if count > 3u {
        store_input(a3, b3, row + 3u, column);
    }
    if count > 4u {
        store_input(a4, b4, row + 4u, column);
    }
    if count > 5u {
        store_input(a5, b5, row + 5u, column);
    }
    if count > 6u {
        store_input(a6, b6, row + 6u, column);
    }
    if count > 7u {
        store_input(a7, b7, row + 7u, column);
    }
}

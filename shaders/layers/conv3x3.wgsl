// 3x3 convolution with stride 1 and padding 1, channels last. One thread makes 8 neighbouring
// pixels of a row by 8 channels, and slides a window of 10 pixels over the three taps of a kernel
// row: 10 loads of the input serve 24 products.
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
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + ky - 1;
        let inside = sy >= 0 && sy < i32(params.in_h);
        if !inside {
            continue;
        }
        let start = (image * params.in_h + u32(sy)) * params.in_w * depth;
        let m0 = k0;
        let m1 = k1;
        let m2 = k2;
        let m3 = k3;
        let m4 = k4;
        let m5 = k5;
        let m6 = k6;
        let m7 = k7;
        let m8 = k8;
        let m9 = k9;
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
                let p0 = weight[w];
                let p1 = weight[w + co];
                let p2 = weight[w + 2u * co];
                let p3 = weight[w + 3u * co];
                let q0 = weight[w + over];
                let q1 = weight[w + over + co];
                let q2 = weight[w + over + 2u * co];
                let q3 = weight[w + over + 3u * co];
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
                let p0 = weight[w];
                let p1 = weight[w + co];
                let p2 = weight[w + 2u * co];
                let p3 = weight[w + 3u * co];
                let q0 = weight[w + over];
                let q1 = weight[w + over + co];
                let q2 = weight[w + over + 2u * co];
                let q3 = weight[w + over + 3u * co];
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
                let p0 = weight[w];
                let p1 = weight[w + co];
                let p2 = weight[w + 2u * co];
                let p3 = weight[w + 3u * co];
                let q0 = weight[w + over];
                let q1 = weight[w + over + co];
                let q2 = weight[w + over + 2u * co];
                let q3 = weight[w + over + 3u * co];
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
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let index = tile / params.column_tiles * 64u + lane;
    if index >= params.rows {
        return;
    }
    let strip = index;
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
    for (var ky = 0i; ky < 3; ky++) {
        let sy = py + 1 - ky;
        let inside = sy >= 0 && sy < i32(params.in_h);
        if !inside {
            continue;
        }
        let start = (image * params.in_h + u32(sy)) * params.in_w * depth;
        let m0 = k0;
        let m1 = k1;
        let m2 = k2;
        let m3 = k3;
        let m4 = k4;
        let m5 = k5;
        let m6 = k6;
        let m7 = k7;
        let m8 = k8;
        let m9 = k9;
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
                let r0 = weight[w];
                let r1 = weight[w + co];
                let r2 = weight[w + 2u * co];
                let r3 = weight[w + 3u * co];
                let s0 = weight[w + over];
                let s1 = weight[w + over + co];
                let s2 = weight[w + over + 2u * co];
                let s3 = weight[w + over + 3u * co];
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
                let r0 = weight[w];
                let r1 = weight[w + co];
                let r2 = weight[w + 2u * co];
                let r3 = weight[w + 3u * co];
                let s0 = weight[w + over];
                let s1 = weight[w + over + co];
                let s2 = weight[w + over + 2u * co];
                let s3 = weight[w + over + 3u * co];
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
                let r0 = weight[w];
                let r1 = weight[w + co];
                let r2 = weight[w + 2u * co];
                let r3 = weight[w + 3u * co];
                let s0 = weight[w + over];
                let s1 = weight[w + over + co];
                let s2 = weight[w + over + 2u * co];
                let s3 = weight[w + over + 3u * co];
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
    let index = tile_index(workgroup, workgroups) * 64u + lane;
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
    store_weight(a00, b00, at, column);
    store_weight(a01, b01, at + 1u * co, column);
    store_weight(a02, b02, at + 2u * co, column);
    store_weight(a03, b03, at + 3u * co, column);
    if row + 1u < ci {
        store_weight(a04, b04, at + 4u * co, column);
        store_weight(a05, b05, at + 5u * co, column);
        store_weight(a06, b06, at + 6u * co, column);
        store_weight(a07, b07, at + 7u * co, column);
    }
    at += ci * 4u * co;
    store_weight(a10, b10, at, column);
    store_weight(a11, b11, at + 1u * co, column);
    store_weight(a12, b12, at + 2u * co, column);
    store_weight(a13, b13, at + 3u * co, column);
    if row + 1u < ci {
        store_weight(a14, b14, at + 4u * co, column);
        store_weight(a15, b15, at + 5u * co, column);
        store_weight(a16, b16, at + 6u * co, column);
        store_weight(a17, b17, at + 7u * co, column);
    }
    at += ci * 4u * co;
    store_weight(a20, b20, at, column);
    store_weight(a21, b21, at + 1u * co, column);
    store_weight(a22, b22, at + 2u * co, column);
    store_weight(a23, b23, at + 3u * co, column);
    if row + 1u < ci {
        store_weight(a24, b24, at + 4u * co, column);
        store_weight(a25, b25, at + 5u * co, column);
        store_weight(a26, b26, at + 6u * co, column);
        store_weight(a27, b27, at + 7u * co, column);
    }
}

fn store_weight(a: vec4f, b: vec4f, at: u32, column: u32) {
    let add = (params.flags & 8u) != 0u;
    weight[at] = select(a, a + weight[at], add);
    if column + 1u < params.out_c4 {
        weight[at + 1u] = select(b, b + weight[at + 1u], add);
    }
}

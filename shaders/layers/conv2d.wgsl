// 2-D convolution, channels last, as an implicit matrix product. A linear layer is the case
// K = H = W = 1. One thread makes 8 pixels by 8 channels in registers.
//
// Loops are kept under 32768 turns a thread: some drivers stop a shader's loops at 65535.
struct Params {
    batch: u32,       // B
    in_h: u32,
    in_w: u32,
    in_c4: u32,       // input channels / 4
    out_h: u32,
    out_w: u32,
    out_c4: u32,      // output channels / 4
    kernel: u32,      // K
    stride: u32,
    pad: u32,         // padding above and to the left; what lies outside is zero
    rows: u32,        // pixels to compute: B * H * W of the output (forward) or input (backward_input)
    column_tiles: u32,
    flags: u32,       // 1 bias, 2 sample, 4 residual, 8 accumulate, 16 accumulate in sample
    splits: u32,      // backward_weight: parts of the batch
    split_images: u32,  // images a part
    strips: u32,
    sample_c4: u32,     // columns of `sample`
    sample_first: u32,  // the first of them that is added or written here
    sum_rows: u32,      // backward_weight: rows of sums of dy, or 0
    sum_pixels: u32,    // pixels in each of them: one image or several
    first_c4: u32,      // 1x1: columns of x that lie together; the others, if any, are another tensor's,
    second: u32,        // which starts here (see Planes in src/nn/tensor.rs)
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;         // [B, H, W, Cin] or its gradient
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;    // [K, K, Cin, Cout] or its gradient, [splits, ...]
@group(0) @binding(3) var<storage, read_write> bias: array<vec4f>;      // [Cout]; backward_weight: sums of dy, [sum_rows, Cout]
@group(0) @binding(4) var<storage, read_write> sample: array<vec4f>;    // [B, sample_c4], added to every pixel, or its gradient
@group(0) @binding(5) var<storage, read_write> residual: array<vec4f>;  // [B, H, W, Cout], added
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;         // [B, H, W, Cout] or its gradient

fn epilogue(acc: vec4f, row: u32, column: u32) {
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

// y = bias + sample + residual + sum over taps and input channels of x * weight.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let row = (tile / params.column_tiles * 64u + lane) * 8u;
    if row >= params.rows {
        return;
    }
    let last = params.rows - 1u;
    let ra = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
    let rb = min(vec4u(row) + vec4u(4u, 5u, 6u, 7u), vec4u(last));
    let out_w = vec4u(params.out_w);
    let out_h = vec4u(params.out_h);
    let la = ra / out_w;
    let lb = rb / out_w;
    let xa = vec4i((ra - la * out_w) * params.stride) - vec4i(i32(params.pad));
    let xb = vec4i((rb - lb * out_w) * params.stride) - vec4i(i32(params.pad));
    let na = la / out_h;
    let nb = lb / out_h;
    let ya = vec4i((la - na * out_h) * params.stride) - vec4i(i32(params.pad));
    let yb = vec4i((lb - nb * out_h) * params.stride) - vec4i(i32(params.pad));
    let in_w = vec4i(i32(params.in_w));
    let in_h = vec4i(i32(params.in_h));
    let ia = vec4i(na) * in_h;
    let ib = vec4i(nb) * in_h;
    let zero4 = vec4i(0);

    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let zero = vec4f();
    let co = params.out_c4;
    var wi = column;
    for (var ky = 0i; ky < i32(params.kernel); ky++) {
        for (var kx = 0i; kx < i32(params.kernel); kx++) {
            let tya = ya + ky;
            let tyb = yb + ky;
            let txa = xa + kx;
            let txb = xb + kx;
            let oka = (tya >= zero4) & (tya < in_h) & (txa >= zero4) & (txa < in_w);
            let okb = (tyb >= zero4) & (tyb < in_h) & (txb >= zero4) & (txb < in_w);
            let qa = vec4u(select(zero4, (ia + tya) * in_w + txa, oka));
            let qb = vec4u(select(zero4, (ib + tyb) * in_w + txb, okb));
            var pa = qa * params.first_c4;
            var pb = qb * params.first_c4;
            for (var c = 0u; c < params.in_c4; c++) {
                if c == params.first_c4 {
                    pa = vec4u(params.second) + qa * (params.in_c4 - params.first_c4);
                    pb = vec4u(params.second) + qb * (params.in_c4 - params.first_c4);
                }
                let wa0 = weight[wi];
                let wb0 = weight[wi + 1u];
                let wa1 = weight[wi + co];
                let wb1 = weight[wi + co + 1u];
                let wa2 = weight[wi + 2u * co];
                let wb2 = weight[wi + 2u * co + 1u];
                let wa3 = weight[wi + 3u * co];
                let wb3 = weight[wi + 3u * co + 1u];
                wi += 4u * co;
                var v = select(zero, x[pa.x], oka.x);
                a0 = mac(a0, v, wa0, wa1, wa2, wa3);
                b0 = mac(b0, v, wb0, wb1, wb2, wb3);
                v = select(zero, x[pa.y], oka.y);
                a1 = mac(a1, v, wa0, wa1, wa2, wa3);
                b1 = mac(b1, v, wb0, wb1, wb2, wb3);
                v = select(zero, x[pa.z], oka.z);
                a2 = mac(a2, v, wa0, wa1, wa2, wa3);
                b2 = mac(b2, v, wb0, wb1, wb2, wb3);
                v = select(zero, x[pa.w], oka.w);
                a3 = mac(a3, v, wa0, wa1, wa2, wa3);
                b3 = mac(b3, v, wb0, wb1, wb2, wb3);
                v = select(zero, x[pb.x], okb.x);
                a4 = mac(a4, v, wa0, wa1, wa2, wa3);
                b4 = mac(b4, v, wb0, wb1, wb2, wb3);
                v = select(zero, x[pb.y], okb.y);
                a5 = mac(a5, v, wa0, wa1, wa2, wa3);
                b5 = mac(b5, v, wb0, wb1, wb2, wb3);
                v = select(zero, x[pb.z], okb.z);
                a6 = mac(a6, v, wa0, wa1, wa2, wa3);
                b6 = mac(b6, v, wb0, wb1, wb2, wb3);
                v = select(zero, x[pb.w], okb.w);
                a7 = mac(a7, v, wa0, wa1, wa2, wa3);
                b7 = mac(b7, v, wb0, wb1, wb2, wb3);
                pa += vec4u(1u);
                pb += vec4u(1u);
            }
        }
    }
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let pixels = min(8u, params.rows - row);
    for (var j = 0u; j < pixels; j++) {
        store(a0, b0, row + j, column);
        a0 = a1; a1 = a2; a2 = a3; a3 = a4; a4 = a5; a5 = a6; a6 = a7;
        b0 = b1; b1 = b2; b2 = b3; b3 = b4; b4 = b5; b5 = b6; b6 = b7;
    }
}

fn store(a: vec4f, b: vec4f, row: u32, column: u32) {
    epilogue(a, row, column);
    if column + 1u < params.out_c4 {
        epilogue(b, row, column + 1u);
    }
}

// dx (+)= sum over taps and output channels of dy * weight.
@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let column = tile % params.column_tiles * 2u;
    let row = (tile / params.column_tiles * 64u + lane) * 8u;
    if row >= params.rows {
        return;
    }
    let last = params.rows - 1u;
    let ra = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
    let rb = min(vec4u(row) + vec4u(4u, 5u, 6u, 7u), vec4u(last));
    let in_w = vec4u(params.in_w);
    let in_h = vec4u(params.in_h);
    let la = ra / in_w;
    let lb = rb / in_w;
    let xa = vec4i(ra - la * in_w) + vec4i(i32(params.pad));
    let xb = vec4i(rb - lb * in_w) + vec4i(i32(params.pad));
    let na = la / in_h;
    let nb = lb / in_h;
    let ya = vec4i(la - na * in_h) + vec4i(i32(params.pad));
    let yb = vec4i(lb - nb * in_h) + vec4i(i32(params.pad));
    let out_w = vec4i(i32(params.out_w));
    let out_h = vec4i(i32(params.out_h));
    let ia = vec4i(na) * out_h;
    let ib = vec4i(nb) * out_h;
    let zero4 = vec4i(0);
    let stride = vec4i(i32(params.stride));
    let shift = u32(params.stride == 2u);

    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let zero = vec4f();
    let co = params.out_c4;
    // The last tile may hang over: its rows are not stored, so any valid row will do.
    let over = select(4u, 0u, column + 1u >= params.in_c4);
    for (var ky = 0i; ky < i32(params.kernel); ky++) {
        for (var kx = 0i; kx < i32(params.kernel); kx++) {
            let sya = ya - ky;
            let syb = yb - ky;
            let sxa = xa - kx;
            let sxb = xb - kx;
            let tya = sya >> vec4u(shift);
            let tyb = syb >> vec4u(shift);
            let txa = sxa >> vec4u(shift);
            let txb = sxb >> vec4u(shift);
            let oka = (tya >= zero4) & (tya < out_h) & (txa >= zero4) & (txa < out_w)
                & (tya * stride == sya) & (txa * stride == sxa);
            let okb = (tyb >= zero4) & (tyb < out_h) & (txb >= zero4) & (txb < out_w)
                & (tyb * stride == syb) & (txb * stride == sxb);
            var pa = vec4u(select(zero4, (ia + tya) * out_w + txa, oka)) * co;
            var pb = vec4u(select(zero4, (ib + tyb) * out_w + txb, okb)) * co;
            var wi = ((u32(ky) * params.kernel + u32(kx)) * params.in_c4 + column) * 4u * co;
            var wj = wi + over * co;
            for (var c = 0u; c < co; c++) {
                let wa = transpose(mat4x4f(weight[wi], weight[wi + co], weight[wi + 2u * co], weight[wi + 3u * co]));
                let wb = transpose(mat4x4f(weight[wj], weight[wj + co], weight[wj + 2u * co], weight[wj + 3u * co]));
                wi += 1u;
                wj += 1u;
                var v = select(zero, y[pa.x], oka.x);
                a0 = mac(a0, v, wa[0], wa[1], wa[2], wa[3]);
                b0 = mac(b0, v, wb[0], wb[1], wb[2], wb[3]);
                v = select(zero, y[pa.y], oka.y);
                a1 = mac(a1, v, wa[0], wa[1], wa[2], wa[3]);
                b1 = mac(b1, v, wb[0], wb[1], wb[2], wb[3]);
                v = select(zero, y[pa.z], oka.z);
                a2 = mac(a2, v, wa[0], wa[1], wa[2], wa[3]);
                b2 = mac(b2, v, wb[0], wb[1], wb[2], wb[3]);
                v = select(zero, y[pa.w], oka.w);
                a3 = mac(a3, v, wa[0], wa[1], wa[2], wa[3]);
                b3 = mac(b3, v, wb[0], wb[1], wb[2], wb[3]);
                v = select(zero, y[pb.x], okb.x);
                a4 = mac(a4, v, wa[0], wa[1], wa[2], wa[3]);
                b4 = mac(b4, v, wb[0], wb[1], wb[2], wb[3]);
                v = select(zero, y[pb.y], okb.y);
                a5 = mac(a5, v, wa[0], wa[1], wa[2], wa[3]);
                b5 = mac(b5, v, wb[0], wb[1], wb[2], wb[3]);
                v = select(zero, y[pb.z], okb.z);
                a6 = mac(a6, v, wa[0], wa[1], wa[2], wa[3]);
                b6 = mac(b6, v, wb[0], wb[1], wb[2], wb[3]);
                v = select(zero, y[pb.w], okb.w);
                a7 = mac(a7, v, wa[0], wa[1], wa[2], wa[3]);
                b7 = mac(b7, v, wb[0], wb[1], wb[2], wb[3]);
                pa += vec4u(1u);
                pb += vec4u(1u);
            }
        }
    }
    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest.
    let pixels = min(8u, params.rows - row);
    for (var j = 0u; j < pixels; j++) {
        store_input(a0, b0, row + j, column);
        a0 = a1; a1 = a2; a2 = a3; a3 = a4; a4 = a5; a5 = a6; a6 = a7;
        b0 = b1; b1 = b2; b2 = b3; b3 = b4; b4 = b5; b5 = b6; b6 = b7;
    }
}

fn place_in_x(pixel: u32, column: u32) -> u32 {
    let other = params.second + pixel * (params.in_c4 - params.first_c4) + column - params.first_c4;
    return select(pixel * params.first_c4 + column, other, column >= params.first_c4);
}

fn store_input(a: vec4f, b: vec4f, row: u32, column: u32) {
    let at = place_in_x(row, column);
    let add = (params.flags & 8u) != 0u;
    x[at] = select(a, a + x[at], add);
    if column + 1u < params.in_c4 {
        let next = place_in_x(row, column + 1u);
        x[next] = select(b, b + x[next], add);
    }
}

// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.
// One thread makes 8 input by 8 output channels of one tap.
@compute @workgroup_size(64)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let taps = params.kernel * params.kernel;
    let rows = (params.in_c4 + 1u) / 2u;
    let total = taps * rows * params.column_tiles * params.splits;
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
    let tap = outer % taps;
    let split = outer / taps;
    let ky = tap / params.kernel;
    let kx = tap % params.kernel;
    let ci = params.in_c4;
    let co = params.out_c4;

    let other = row >= params.first_c4;
    let width = select(params.first_c4, ci - params.first_c4, other);
    let origin = select(row, params.second + row - params.first_c4, other);

    // Output rows and columns whose tap falls inside the input.
    let s = params.stride;
    let y_from = (max(params.pad, ky) - ky + s - 1u) / s;
    let x_from = (max(params.pad, kx) - kx + s - 1u) / s;
    let y_to = min(params.out_h, (params.in_h + params.pad - ky + s - 1u) / s);
    let x_to = min(params.out_w, (params.in_w + params.pad - kx + s - 1u) / s);
    // Overhanging vec4s are read from the last valid place and not stored.
    let x_over = select(1u, 0u, row + 1u >= ci);
    let y_over = select(1u, 0u, column + 1u >= co);

    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    let image_from = split * params.split_images;
    let image_to = min(params.batch, image_from + params.split_images);
    for (var n = image_from; n < image_to; n++) {
        for (var oy = y_from; oy < y_to; oy++) {
            let iy = oy * s + ky - params.pad;
            var xi = origin + ((n * params.in_h + iy) * params.in_w + x_from * s + kx - params.pad) * width;
            var yi = ((n * params.out_h + oy) * params.out_w + x_from) * co + column;
            for (var ox = x_from; ox < x_to; ox++) {
                let u = x[xi];
                let v = x[xi + x_over];
                let da = y[yi];
                let db = y[yi + y_over];
                xi += s * width;
                yi += co;
                a0 = fma(da, vec4f(u.x), a0);
                b0 = fma(db, vec4f(u.x), b0);
                a1 = fma(da, vec4f(u.y), a1);
                b1 = fma(db, vec4f(u.y), b1);
                a2 = fma(da, vec4f(u.z), a2);
                b2 = fma(db, vec4f(u.z), b2);
                a3 = fma(da, vec4f(u.w), a3);
                b3 = fma(db, vec4f(u.w), b3);
                a4 = fma(da, vec4f(v.x), a4);
                b4 = fma(db, vec4f(v.x), b4);
                a5 = fma(da, vec4f(v.y), a5);
                b5 = fma(db, vec4f(v.y), b5);
                a6 = fma(da, vec4f(v.z), a6);
                b6 = fma(db, vec4f(v.z), b6);
                a7 = fma(da, vec4f(v.w), a7);
                b7 = fma(db, vec4f(v.w), b7);
            }
        }
    }
    let at = ((split * taps + tap) * ci + row) * 4u * co + column;
    store_weight(a0, b0, at, column);
    store_weight(a1, b1, at + co, column);
    store_weight(a2, b2, at + 2u * co, column);
    store_weight(a3, b3, at + 3u * co, column);
    if row + 1u < ci {
        store_weight(a4, b4, at + 4u * co, column);
        store_weight(a5, b5, at + 5u * co, column);
        store_weight(a6, b6, at + 6u * co, column);
        store_weight(a7, b7, at + 7u * co, column);
    }
}

fn store_weight(a: vec4f, b: vec4f, at: u32, column: u32) {
    let add = (params.flags & 8u) != 0u;
    weight[at] = select(a, a + weight[at], add);
    if column + 1u < params.out_c4 {
        weight[at + 1u] = select(b, b + weight[at + 1u], add);
    }
}

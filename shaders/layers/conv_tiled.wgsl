// Convolution of any kernel, stride and padding through workgroup memory, channels last: also the linear layer. It is
// for GPUs. UNITS, 1 or 2, is put before this source; loops over it and other short ones are unrolled.
//
// Products: a workgroup makes 64 * UNITS pixels by 64 / UNITS channels, one tap and 16 channels of the source at a time. A
// thread makes 8 pixels by 8 channels, THREADS_Y pixels and COLUMNS4 / 2 vec4s apart, so that neighbours read
// neighbouring vec4s. The weight gradient: 64 input by 64 output channels of one tap, 16 pixels at a time.
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
    kernel: u32,       // K
    stride: u32,
    pad: u32,          // above and to the left
    rows: u32,         // pixels of what is written
    column_tiles: u32, // workgroups side by side in channels
    flags: u32,        // 1 bias, 2 sample, 4 residual, 8 accumulate, 16 accumulate in sample
    splits: u32,       // backward_weight: parts of the batch
    split_images: u32, // images a part
    strips: u32,
    sample_c4: u32,    // columns of `sample`
    sample_first: u32, // the first of them that is added or written here
    sum_rows: u32,     // backward_weight: rows of sums of dy, or 0
    sum_pixels: u32,   // pixels in each of them: one image or several
    first_c4: u32,     // columns of x that lie together; the others, if any, are another tensor's,
    second: u32,       // which starts here (see Planes in src/nn/tensor.rs)
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;         // [B, H, W, Cin] or its gradient
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;    // [K, K, Cin, Cout] or its gradient, [splits, ...]
@group(0) @binding(3) var<storage, read_write> bias: array<vec4f>;      // [Cout]; backward_weight: sums of dy, [sum_rows, Cout]
@group(0) @binding(4) var<storage, read_write> sample: array<vec4f>;    // [B, sample_c4], added to every pixel, or its gradient
@group(0) @binding(5) var<storage, read_write> residual: array<vec4f>;  // [B, outH, outW, Cout], added
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;         // [B, outH, outW, Cout] or its gradient

const PIXELS = 64u * UNITS;
const COLUMNS4 = 16u / UNITS;
const THREADS_X = COLUMNS4 / 2u;
const THREADS_Y = 64u / THREADS_X;

var<workgroup> source_tile: array<vec4f, 4u * PIXELS>;     // [channels / 4, pixels]
var<workgroup> weight_tile: array<vec4f, 16u * COLUMNS4>;  // [channels of the source, channels of the result / 4]

// Where the channels of a pixel of x lie.
fn place_in_x(pixel: u32, column: u32) -> u32 {
    let other = params.second + pixel * (params.in_c4 - params.first_c4) + column - params.first_c4;
    return select(pixel * params.first_c4 + column, other, column >= params.first_c4);
}

fn store(acc: vec4f, row: u32, column: u32) {
    if row >= params.rows || column >= params.out_c4 {
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
    if row >= params.rows || column >= params.in_c4 {
        return;
    }
    let at = place_in_x(row, column);
    x[at] = select(acc, acc + x[at], (params.flags & 8u) != 0u);
}

// y = bias + sample + residual + sum over taps and input channels of x * weight.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    let first_column = tile % params.column_tiles * COLUMNS4;
    let first_row = tile / params.column_tiles * PIXELS;
    let mine = lane / THREADS_X;
    let own = lane % THREADS_X;
    let depth = params.in_c4;
    let co = params.out_c4;
    let zero = vec4f();
    // The pixels that this thread loads.
    var left: array<i32, UNITS>;
    var top: array<i32, UNITS>;
    var image: array<u32, UNITS>;
    for (var u = 0u; u < UNITS; u++) {
        let row = min(first_row + lane + 64u * u, params.rows - 1u);
        let line = row / params.out_w;
        image[u] = line / params.out_h;
        left[u] = i32((row - line * params.out_w) * params.stride) - i32(params.pad);
        top[u] = i32((line - image[u] * params.out_h) * params.stride) - i32(params.pad);
    }
    let weight_column = min(first_column + lane % COLUMNS4, co - 1u);
    let weight_row = lane / COLUMNS4;
    var sums: array<vec4f, 16>;
    let taps = params.kernel * params.kernel;
    for (var tap = 0u; tap < taps; tap++) {
        let ky = i32(tap / params.kernel);
        let kx = i32(tap % params.kernel);
        for (var c = 0u; c < depth; c += 4u) {
            workgroupBarrier();
            for (var u = 0u; u < UNITS; u++) {
                let sy = top[u] + ky;
                let sx = left[u] + kx;
                let inside = sy >= 0 && sx >= 0 && sy < i32(params.in_h) && sx < i32(params.in_w);
                let pixel = (image[u] * params.in_h + u32(max(sy, 0))) * params.in_w + u32(max(sx, 0));
                for (var k = 0u; k < 4u; k++) {
                    let there = inside && c + k < depth;
                    let at = select(0u, place_in_x(pixel, c + k), there);
                    source_tile[PIXELS * k + lane + 64u * u] = select(zero, x[at], there);
                }
            }
            for (var m = 0u; m < COLUMNS4 / 4u; m++) {
                let row = weight_row + 64u / COLUMNS4 * m;
                let there = c + row / 4u < depth;
                let at = ((tap * depth + c) * 4u + row) * co + weight_column;
                weight_tile[lane + 64u * m] = select(zero, weight[select(0u, at, there)], there);
            }
            workgroupBarrier();
            for (var k = 0u; k < 4u; k++) {
                var w: array<vec4f, 8>;
                for (var r = 0u; r < 4u; r++) {
                    w[r] = weight_tile[(4u * k + r) * COLUMNS4 + own];
                    w[4u + r] = weight_tile[(4u * k + r) * COLUMNS4 + own + THREADS_X];
                }
                for (var i = 0u; i < 8u; i++) {
                    let v = source_tile[PIXELS * k + mine + THREADS_Y * i];
                    sums[i] = mac(sums[i], v, w[0], w[1], w[2], w[3]);
                    sums[8u + i] = mac(sums[8u + i], v, w[4], w[5], w[6], w[7]);
                }
            }
        }
    }
    for (var i = 0u; i < 8u; i++) {
        store(sums[i], first_row + mine + THREADS_Y * i, first_column + own);
        store(sums[8u + i], first_row + mine + THREADS_Y * i, first_column + own + THREADS_X);
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
    let first_column = tile % params.column_tiles * COLUMNS4;
    let first_row = tile / params.column_tiles * PIXELS;
    let mine = lane / THREADS_X;
    let own = lane % THREADS_X;
    let depth = params.out_c4;
    let zero = vec4f();
    var left: array<i32, UNITS>;
    var top: array<i32, UNITS>;
    var image: array<u32, UNITS>;
    for (var u = 0u; u < UNITS; u++) {
        let row = min(first_row + lane + 64u * u, params.rows - 1u);
        let line = row / params.in_w;
        image[u] = line / params.in_h;
        left[u] = i32(row - line * params.in_w + params.pad);
        top[u] = i32(line - image[u] * params.in_h + params.pad);
    }
    let weight_column = min(first_column + lane % COLUMNS4, params.in_c4 - 1u);
    let weight_c4 = lane / COLUMNS4;
    var sums: array<vec4f, 16>;
    let stride = i32(params.stride);
    let taps = params.kernel * params.kernel;
    for (var tap = 0u; tap < taps; tap++) {
        let ky = i32(tap / params.kernel);
        let kx = i32(tap % params.kernel);
        for (var c = 0u; c < depth; c += 4u) {
            workgroupBarrier();
            for (var u = 0u; u < UNITS; u++) {
                // Only every `stride`th of these distances is a pixel of dy.
                let far_y = max(top[u] - ky, 0);
                let far_x = max(left[u] - kx, 0);
                let sy = far_y / stride;
                let sx = far_x / stride;
                let whole = sy * stride == top[u] - ky && sx * stride == left[u] - kx;
                let inside = whole && sy < i32(params.out_h) && sx < i32(params.out_w);
                let pixel = (image[u] * params.out_h + u32(sy)) * params.out_w + u32(sx);
                for (var k = 0u; k < 4u; k++) {
                    let there = inside && c + k < depth;
                    let at = select(0u, pixel * depth + c + k, there);
                    source_tile[PIXELS * k + lane + 64u * u] = select(zero, y[at], there);
                }
            }
            // Four input by four output channels, turned round.
            if weight_c4 < 4u {
                let there = c + weight_c4 < depth;
                let first = (tap * params.in_c4 + weight_column) * 4u * depth + c + weight_c4;
                let at = select(0u, first, there);
                let step = select(0u, depth, there);
                let w0 = select(zero, weight[at], there);
                let w1 = select(zero, weight[at + step], there);
                let w2 = select(zero, weight[at + 2u * step], there);
                let w3 = select(zero, weight[at + 3u * step], there);
                let to = 4u * weight_c4 * COLUMNS4 + lane % COLUMNS4;
                weight_tile[to] = vec4f(w0.x, w1.x, w2.x, w3.x);
                weight_tile[to + COLUMNS4] = vec4f(w0.y, w1.y, w2.y, w3.y);
                weight_tile[to + 2u * COLUMNS4] = vec4f(w0.z, w1.z, w2.z, w3.z);
                weight_tile[to + 3u * COLUMNS4] = vec4f(w0.w, w1.w, w2.w, w3.w);
            }
            workgroupBarrier();
            for (var k = 0u; k < 4u; k++) {
                var w: array<vec4f, 8>;
                for (var r = 0u; r < 4u; r++) {
                    w[r] = weight_tile[(4u * k + r) * COLUMNS4 + own];
                    w[4u + r] = weight_tile[(4u * k + r) * COLUMNS4 + own + THREADS_X];
                }
                for (var i = 0u; i < 8u; i++) {
                    let v = source_tile[PIXELS * k + mine + THREADS_Y * i];
                    sums[i] = mac(sums[i], v, w[0], w[1], w[2], w[3]);
                    sums[8u + i] = mac(sums[8u + i], v, w[4], w[5], w[6], w[7]);
                }
            }
        }
    }
    for (var i = 0u; i < 8u; i++) {
        store_input(sums[i], first_row + mine + THREADS_Y * i, first_column + own);
        store_input(sums[8u + i], first_row + mine + THREADS_Y * i, first_column + own + THREADS_X);
    }
}

// Of the weight gradient, [16 pixels, 16 vec4s of channels]; a vec4 more a pixel, so that threads which write the same
// channels of different pixels meet different banks.
const PITCH = 17u;
var<workgroup> input_tile: array<vec4f, 16u * PITCH>;
var<workgroup> output_tile: array<vec4f, 16u * PITCH>;

fn store_weight(acc: vec4f, at: u32, channel4: u32, column: u32) {
    if channel4 >= params.in_c4 || column >= params.out_c4 {
        return;
    }
    weight[at + column] = select(acc, acc + weight[at + column], (params.flags & 8u) != 0u);
}

// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.
@compute @workgroup_size(64)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let taps = params.kernel * params.kernel;
    let ci = params.in_c4;
    let co = params.out_c4;
    let row_tiles = (ci + 15u) / 16u;
    let column_tiles = (co + 15u) / 16u;
    let tiles = taps * row_tiles * column_tiles * params.splits;
    let tile = tile_index(workgroup, workgroups);
    if tile >= tiles {
        image_sums((tile - tiles) * 64u + lane);
        return;
    }
    let first_column = tile % column_tiles * 16u;
    let rest = tile / column_tiles;
    let first_row = rest % row_tiles * 16u;
    let outer = rest / row_tiles;
    let tap = outer % taps;
    let split = outer / taps;
    let ky = i32(tap / params.kernel) - i32(params.pad);
    let kx = i32(tap % params.kernel) - i32(params.pad);
    let image_pixels = params.out_h * params.out_w;
    let image_from = split * params.split_images;
    let image_to = min(params.batch, image_from + params.split_images);
    let from_pixel = image_from * image_pixels;
    let to_pixel = image_to * image_pixels;
    let mine = lane / 8u;
    let own = lane % 8u;
    // What this thread loads: four vec4s of each tensor, of one pixel of 16.
    let pixel = lane % 16u;
    let part = lane / 16u;
    let zero = vec4f();
    var sums: array<vec4f, 16>;
    for (var p = from_pixel; p < to_pixel; p += 16u) {
        let counted = p + pixel < to_pixel;
        let to = min(p + pixel, to_pixel - 1u);
        let line = to / params.out_w;
        let image = line / params.out_h;
        let sy = i32((line - image * params.out_h) * params.stride) + ky;
        let sx = i32((to - line * params.out_w) * params.stride) + kx;
        let inside = counted && sy >= 0 && sx >= 0 && sy < i32(params.in_h) && sx < i32(params.in_w);
        let source = (image * params.in_h + u32(max(sy, 0))) * params.in_w + u32(max(sx, 0));
        workgroupBarrier();
        for (var m = 0u; m < 4u; m++) {
            let channel4 = min(first_row + part + 4u * m, ci - 1u);
            let column = min(first_column + part + 4u * m, co - 1u);
            let at = select(0u, place_in_x(source, channel4), inside);
            input_tile[pixel * PITCH + part + 4u * m] = select(zero, x[at], inside);
            output_tile[pixel * PITCH + part + 4u * m] = select(zero, y[to * co + column], counted);
        }
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let u = input_tile[k * PITCH + mine];
            let v = input_tile[k * PITCH + mine + 8u];
            let da = output_tile[k * PITCH + own];
            let db = output_tile[k * PITCH + own + 8u];
            for (var r = 0u; r < 4u; r++) {
                sums[r] = fma(da, vec4f(u[r]), sums[r]);
                sums[4u + r] = fma(da, vec4f(v[r]), sums[4u + r]);
                sums[8u + r] = fma(db, vec4f(u[r]), sums[8u + r]);
                sums[12u + r] = fma(db, vec4f(v[r]), sums[12u + r]);
            }
        }
    }
    let start = (split * taps + tap) * ci;
    for (var r = 0u; r < 4u; r++) {
        let a = first_row + mine;
        let b = a + 8u;
        let at_a = ((start + a) * 4u + r) * co;
        let at_b = ((start + b) * 4u + r) * co;
        store_weight(sums[r], at_a, a, first_column + own);
        store_weight(sums[4u + r], at_b, b, first_column + own);
        store_weight(sums[8u + r], at_a, a, first_column + own + 8u);
        store_weight(sums[12u + r], at_b, b, first_column + own + 8u);
    }
}

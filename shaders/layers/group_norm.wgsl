// GroupNorm, optionally with SiLU after it, channels last. A group may straddle vec4s, so the
// statistics are first made for each channel over a part of the pixels, then merged.
//
// There are two ways. `forward_set` and `backward_set` do all in one dispatch: a workgroup takes a
// set of groups (at most 16: whole vec4s) of an image, and goes over it twice. For images
// that are too large for that, the other entries do it step by step, with many threads an image.
struct Params {
    batch: u32,       // B
    pixels: u32,      // P = H * W
    c4: u32,          // C / 4, rounded up
    groups: u32,      // G
    group_c: u32,     // channels a group
    splits: u32,      // S: split s takes the pixels s, s + S, s + 2 S, ...
    lanes: u32,       // Q: in the element-wise kernels a thread takes the pixels q, q + Q, ...
    silu: u32,        // 1: y = SiLU(z)
    accumulate: u32,  // 1: add to dx
    eps: f32,
    sets: u32,        // sets an image
    set_groups: u32,  // groups a set
    set_c4: u32,      // K: channels a set / 4, at most 64
    set_lanes: u32,   // L: threads a vec4 of channels, K * L at most 64; thread l takes the pixels l, l + L, ...
    first_c4: u32,    // columns of x that lie together; the others, if any, are another tensor's,
    second: u32,      // which starts here (see Planes in src/nn/tensor.rs); so are those of dx
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;        // [B, P, C]
@group(0) @binding(2) var<storage, read_write> gamma: array<vec4f>;    // [C]
@group(0) @binding(3) var<storage, read_write> beta: array<vec4f>;     // [C]
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>;    // [B, G] of (mean, 1 / standard deviation)
@group(0) @binding(5) var<storage, read_write> parts: array<vec4f>;    // [B, S, C / 4, 2]
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;        // [B, P, C] or its gradient
@group(0) @binding(7) var<storage, read_write> dx: array<vec4f>;       // [B, P, C]
@group(0) @binding(8) var<storage, read_write> sums: array<vec4f>;     // [2, B, C / 4]: sum dz, sum dz * xhat
@group(0) @binding(9) var<storage, read_write> means: array<vec2f>;    // [B, G] of (mean gamma * dz, mean gamma * dz * xhat)

// Where a column of x (and of dx) starts, and how far it is to the next pixel.
fn column_of_x(column: u32) -> vec2u {
    let first = vec2u(column, params.first_c4);
    let other = vec2u(params.second + column - params.first_c4, params.c4 - params.first_c4);
    return select(first, other, column >= params.first_c4);
}

// Pixels of split s.
fn split_pixels(s: u32) -> u32 {
    return (params.pixels - s + params.splits - 1u) / params.splits;
}

// The groups of four channels; padding channels, whose gamma and beta are zero, take the last.
fn groups_of(column: u32) -> vec4u {
    let channel = vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u);
    return min(channel / vec4u(params.group_c), vec4u(params.groups - 1u));
}

// Which of four channels lie in the group.
fn in_group(column: u32, group: u32) -> vec4<bool> {
    let channel = vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u);
    let first = group * params.group_c;
    return (channel >= vec4u(first)) & (channel < vec4u(first + params.group_c));
}

fn total(v: vec4f) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

// 1 / (1 + exp(-z)), with no exponential beyond the range of f32.
fn sigmoid(z: vec4f) -> vec4f {
    return 1.0 / (1.0 + exp(-max(z, vec4f(-80.0))));
}

// parts = mean and sum of squared deviations of each channel over the split's pixels, merged
// four pixels at a time (Chan, Golub, LeVeque 1983).
@compute @workgroup_size(64)
fn moments(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.splits * params.c4 {
        return;
    }
    let row = i / params.c4;
    let column = i - row * params.c4;
    let image = row / params.splits;
    let split = row - image * params.splits;
    let count = split_pixels(split);
    let lie = column_of_x(column);
    let stride = params.splits * lie.y;
    var at = (image * params.pixels + split) * lie.y + lie.x;
    var mean = vec4f();
    var squares = vec4f();
    var n = 0u;
    for (; n + 4u <= count; n += 4u) {
        let v0 = x[at];
        let v1 = x[at + stride];
        let v2 = x[at + 2u * stride];
        let v3 = x[at + 3u * stride];
        at += 4u * stride;
        let m = ((v0 + v1) + (v2 + v3)) * 0.25;
        let d0 = v0 - m;
        let d1 = v1 - m;
        let d2 = v2 - m;
        let d3 = v3 - m;
        let delta = m - mean;
        let share = 4.0 / f32(n + 4u);
        mean += delta * share;
        squares += ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + delta * delta * (f32(n) * share);
    }
    for (; n < count; n++) {
        let v = x[at];
        at += stride;
        let delta = v - mean;
        mean += delta / f32(n + 1u);
        squares += delta * (v - mean);
    }
    parts[2u * i] = mean;
    parts[2u * i + 1u] = squares;
}

// stats from parts: the mean first, then the deviations from it.
@compute @workgroup_size(64)
fn statistics(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.groups {
        return;
    }
    let image = i / params.groups;
    let group = i - image * params.groups;
    let first = group * params.group_c / 4u;
    let end = ((group + 1u) * params.group_c + 3u) / 4u;
    let number = f32(params.pixels * params.group_c);
    // The first `longer` splits have one pixel more than the others.
    let shorter = params.pixels / params.splits;
    let longer = params.pixels - shorter * params.splits;
    let stride = 2u * params.c4;
    let base = image * params.splits * stride;
    var sum = vec4f();
    for (var column = first; column < end; column++) {
        var s = vec4f();
        var at = base + 2u * column;
        for (var split = 0u; split < params.splits; split++) {
            s += parts[at] * f32(shorter + u32(split < longer));
            at += stride;
        }
        sum += select(vec4f(), s, in_group(column, group));
    }
    let mean = total(sum) / number;
    sum = vec4f();
    for (var column = first; column < end; column++) {
        var s = vec4f();
        var at = base + 2u * column;
        for (var split = 0u; split < params.splits; split++) {
            let d = parts[at] - mean;
            s += parts[at + 1u] + d * d * f32(shorter + u32(split < longer));
            at += stride;
        }
        sum += select(vec4f(), s, in_group(column, group));
    }
    stats[i] = vec2f(mean, 1.0 / sqrt(total(sum) / number + params.eps));
}

// y = z or SiLU(z), z = (x - mean) / deviation * gamma + beta.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.lanes * params.c4 {
        return;
    }
    let row = i / params.c4;
    let column = i - row * params.c4;
    let image = row / params.lanes;
    let group = vec4u(image * params.groups) + groups_of(column);
    let s0 = stats[group.x];
    let s1 = stats[group.y];
    let s2 = stats[group.z];
    let s3 = stats[group.w];
    let mean = vec4f(s0.x, s1.x, s2.x, s3.x);
    let scale = vec4f(s0.y, s1.y, s2.y, s3.y) * gamma[column];
    let shift = beta[column];
    let base = image * params.pixels * params.c4 + column;
    let lie = column_of_x(column);
    let x_base = image * params.pixels * lie.y + lie.x;
    for (var p = row - image * params.lanes; p < params.pixels; p += params.lanes) {
        let at = base + p * params.c4;
        var z = (x[x_base + p * lie.y] - mean) * scale + shift;
        if params.silu != 0u {
            z *= sigmoid(z);
        }
        y[at] = z;
    }
}

// dz = dy * SiLU'(z).
fn before_silu(dy: vec4f, z: vec4f) -> vec4f {
    if params.silu == 0u {
        return dy;
    }
    let s = sigmoid(z);
    return dy * s * (1.0 + z * (1.0 - s));
}

// parts = sums of dz and dz * xhat of each channel over the split's pixels.
@compute @workgroup_size(64)
fn backward_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.splits * params.c4 {
        return;
    }
    let row = i / params.c4;
    let column = i - row * params.c4;
    let image = row / params.splits;
    let group = vec4u(image * params.groups) + groups_of(column);
    let s0 = stats[group.x];
    let s1 = stats[group.y];
    let s2 = stats[group.z];
    let s3 = stats[group.w];
    let mean = vec4f(s0.x, s1.x, s2.x, s3.x);
    let rstd = vec4f(s0.y, s1.y, s2.y, s3.y);
    let scale = gamma[column];
    let shift = beta[column];
    let base = image * params.pixels * params.c4 + column;
    let lie = column_of_x(column);
    let x_base = image * params.pixels * lie.y + lie.x;
    var sum = vec4f();
    var product = vec4f();
    for (var p = row - image * params.splits; p < params.pixels; p += params.splits) {
        let xhat = (x[x_base + p * lie.y] - mean) * rstd;
        let dz = before_silu(y[base + p * params.c4], xhat * scale + shift);
        sum += dz;
        product += dz * xhat;
    }
    parts[2u * i] = sum;
    parts[2u * i + 1u] = product;
}

// means and sums from parts. The group that holds a vec4's first channel writes its sums.
@compute @workgroup_size(64)
fn backward_means(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.groups {
        return;
    }
    let image = i / params.groups;
    let group = i - image * params.groups;
    let first = group * params.group_c / 4u;
    let end = ((group + 1u) * params.group_c + 3u) / 4u;
    let stride = 2u * params.c4;
    let base = image * params.splits * stride;
    var m1 = vec4f();
    var m2 = vec4f();
    for (var column = first; column < end; column++) {
        var sum = vec4f();
        var product = vec4f();
        var at = base + 2u * column;
        for (var split = 0u; split < params.splits; split++) {
            sum += parts[at];
            product += parts[at + 1u];
            at += stride;
        }
        let inside = in_group(column, group);
        if inside.x {
            write_sums(image, column, sum, product);
        }
        let scale = select(vec4f(), gamma[column], inside);
        m1 += scale * sum;
        m2 += scale * product;
    }
    means[i] = vec2f(total(m1), total(m2)) / f32(params.pixels * params.group_c);
}

// dx (+)= (gamma * dz - m1 - xhat * m2) / deviation.
@compute @workgroup_size(64)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = tile_index(workgroup, workgroups) * 64u + lane;
    if i >= params.batch * params.lanes * params.c4 {
        return;
    }
    let row = i / params.c4;
    let column = i - row * params.c4;
    let image = row / params.lanes;
    let group = vec4u(image * params.groups) + groups_of(column);
    let s0 = stats[group.x];
    let s1 = stats[group.y];
    let s2 = stats[group.z];
    let s3 = stats[group.w];
    let mean = vec4f(s0.x, s1.x, s2.x, s3.x);
    let rstd = vec4f(s0.y, s1.y, s2.y, s3.y);
    let t0 = means[group.x];
    let t1 = means[group.y];
    let t2 = means[group.z];
    let t3 = means[group.w];
    let channel = vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u);
    let real = channel < vec4u(params.groups * params.group_c);
    let m1 = select(vec4f(), vec4f(t0.x, t1.x, t2.x, t3.x), real);
    let m2 = select(vec4f(), vec4f(t0.y, t1.y, t2.y, t3.y), real);
    let scale = gamma[column];
    let shift = beta[column];
    let base = image * params.pixels * params.c4 + column;
    let lie = column_of_x(column);
    let x_base = image * params.pixels * lie.y + lie.x;
    for (var p = row - image * params.lanes; p < params.pixels; p += params.lanes) {
        let at = x_base + p * lie.y;
        let xhat = (x[at] - mean) * rstd;
        let dz = before_silu(y[base + p * params.c4], xhat * scale + shift);
        var v = rstd * (scale * dz - m1 - xhat * m2);
        if params.accumulate != 0u {
            v += dx[at];
        }
        dx[at] = v;
    }
}

// Padding channels have no part in the layer.
fn write_sums(image: u32, column: u32, sum: vec4f, product: vec4f) {
    let channel = vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u);
    let real = channel < vec4u(params.groups * params.group_c);
    let to = image * params.c4 + column;
    sums[to] = select(vec4f(), sum, real);
    sums[to + params.batch * params.c4] = select(vec4f(), product, real);
}

// What the threads of a workgroup tell one another: for each thread two numbers a channel, then
// the same for each vec4 of channels, then two numbers a group.
var<workgroup> first_parts: array<vec4f, 64>;
var<workgroup> second_parts: array<vec4f, 64>;
var<workgroup> group_pairs: array<vec2f, 16>;

// The groups of four channels, counted from the set's first.
fn groups_in_set(column: u32) -> vec4u {
    let channel = vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u);
    return min(channel / vec4u(params.group_c), vec4u(params.set_groups - 1u));
}

fn firsts(group: vec4u) -> vec4f {
    return vec4f(group_pairs[group.x].x, group_pairs[group.y].x, group_pairs[group.z].x, group_pairs[group.w].x);
}

fn seconds(group: vec4u) -> vec4f {
    return vec4f(group_pairs[group.x].y, group_pairs[group.y].y, group_pairs[group.z].y, group_pairs[group.w].y);
}

// Pixels of thread l of a vec4 of channels.
fn lane_pixels(l: u32) -> u32 {
    return (params.pixels - min(l, params.pixels) + params.set_lanes - 1u) / params.set_lanes;
}

// stats and y = z or SiLU(z), z = (x - mean) / deviation * gamma + beta.
@compute @workgroup_size(64)
fn forward_set(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    if tile >= params.batch * params.sets {
        return;
    }
    let image = tile / params.sets;
    let which = tile - image * params.sets;
    let l = lane / params.set_c4;
    let c = lane - l * params.set_c4;
    let column = which * params.set_c4 + c;
    let works = l < params.set_lanes && column < params.c4;
    let count = select(0u, lane_pixels(l), works);
    let start = (image * params.pixels + l) * params.c4 + column;
    let stride = params.set_lanes * params.c4;
    let lie = column_of_x(column);
    let x_start = (image * params.pixels + l) * lie.y + lie.x;
    let x_stride = params.set_lanes * lie.y;

    // Mean and sum of squared deviations of each channel over the thread's pixels, merged four
    // pixels at a time (Chan, Golub, LeVeque 1983).
    var mean = vec4f();
    var squares = vec4f();
    var at = x_start;
    var n = 0u;
    for (; n + 4u <= count; n += 4u) {
        let v0 = x[at];
        let v1 = x[at + x_stride];
        let v2 = x[at + 2u * x_stride];
        let v3 = x[at + 3u * x_stride];
        at += 4u * x_stride;
        let m = ((v0 + v1) + (v2 + v3)) * 0.25;
        let d0 = v0 - m;
        let d1 = v1 - m;
        let d2 = v2 - m;
        let d3 = v3 - m;
        let delta = m - mean;
        let share = 4.0 / f32(n + 4u);
        mean += delta * share;
        squares += ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + delta * delta * (f32(n) * share);
    }
    for (; n < count; n++) {
        let v = x[at];
        at += x_stride;
        let delta = v - mean;
        mean += delta / f32(n + 1u);
        squares += delta * (v - mean);
    }
    first_parts[lane] = mean;
    second_parts[lane] = squares;
    workgroupBarrier();

    // The same over all pixels, by one thread a vec4 of channels.
    if lane < params.set_c4 {
        var sum = vec4f();
        for (var k = 0u; k < params.set_lanes; k++) {
            sum += first_parts[k * params.set_c4 + lane] * f32(lane_pixels(k));
        }
        mean = sum / f32(params.pixels);
        squares = vec4f();
        for (var k = 0u; k < params.set_lanes; k++) {
            let d = first_parts[k * params.set_c4 + lane] - mean;
            squares += second_parts[k * params.set_c4 + lane] + d * d * f32(lane_pixels(k));
        }
    }
    workgroupBarrier();
    if lane < params.set_c4 {
        first_parts[lane] = mean;
        second_parts[lane] = squares;
    }
    workgroupBarrier();

    // And over the channels of each group.
    let group = which * params.set_groups + lane;
    if lane < params.set_groups && group < params.groups {
        var sum = vec4f();
        for (var k = 0u; k < params.set_c4; k++) {
            sum += select(vec4f(), first_parts[k], in_group(k, lane));
        }
        let m = total(sum) / f32(params.group_c);
        sum = vec4f();
        for (var k = 0u; k < params.set_c4; k++) {
            let d = first_parts[k] - m;
            sum += select(vec4f(), second_parts[k] + d * d * f32(params.pixels), in_group(k, lane));
        }
        let pair = vec2f(m, 1.0 / sqrt(total(sum) / f32(params.pixels * params.group_c) + params.eps));
        group_pairs[lane] = pair;
        stats[image * params.groups + group] = pair;
    }
    workgroupBarrier();

    let groups = groups_in_set(c);
    let column_or_last = min(column, params.c4 - 1u);
    mean = firsts(groups);
    let scale = seconds(groups) * gamma[column_or_last];
    let shift = beta[column_or_last];
    at = x_start;
    var to = start;
    for (var i = 0u; i < count; i++) {
        var z = (x[at] - mean) * scale + shift;
        if params.silu != 0u {
            z *= sigmoid(z);
        }
        y[to] = z;
        at += x_stride;
        to += stride;
    }
}

// dx (+)= (gamma * dz - m1 - xhat * m2) / deviation, and sums.
@compute @workgroup_size(64)
fn backward_set(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tile_index(workgroup, workgroups);
    if tile >= params.batch * params.sets {
        return;
    }
    let image = tile / params.sets;
    let which = tile - image * params.sets;
    let l = lane / params.set_c4;
    let c = lane - l * params.set_c4;
    let column = which * params.set_c4 + c;
    let works = l < params.set_lanes && column < params.c4;
    let count = select(0u, lane_pixels(l), works);
    let start = (image * params.pixels + l) * params.c4 + column;
    let stride = params.set_lanes * params.c4;
    let lie = column_of_x(column);
    let x_start = (image * params.pixels + l) * lie.y + lie.x;
    let x_stride = params.set_lanes * lie.y;

    let groups = groups_in_set(c);
    let pair = vec4u(image * params.groups) + min(vec4u(which * params.set_groups) + groups, vec4u(params.groups - 1u));
    let s0 = stats[pair.x];
    let s1 = stats[pair.y];
    let s2 = stats[pair.z];
    let s3 = stats[pair.w];
    let mean = vec4f(s0.x, s1.x, s2.x, s3.x);
    let rstd = vec4f(s0.y, s1.y, s2.y, s3.y);
    let column_or_last = min(column, params.c4 - 1u);
    let scale = gamma[column_or_last];
    let shift = beta[column_or_last];
    var sum = vec4f();
    var product = vec4f();
    var at = x_start;
    var y_at = start;
    for (var i = 0u; i < count; i++) {
        let xhat = (x[at] - mean) * rstd;
        let dz = before_silu(y[y_at], xhat * scale + shift);
        sum += dz;
        product += dz * xhat;
        at += x_stride;
        y_at += stride;
    }
    first_parts[lane] = sum;
    second_parts[lane] = product;
    workgroupBarrier();

    // Over all pixels, by one thread a vec4 of channels; then times gamma.
    if lane < params.set_c4 {
        sum = vec4f();
        product = vec4f();
        for (var k = 0u; k < params.set_lanes; k++) {
            sum += first_parts[k * params.set_c4 + lane];
            product += second_parts[k * params.set_c4 + lane];
        }
        if column < params.c4 {
            write_sums(image, column, sum, product);
        }
    }
    workgroupBarrier();
    if lane < params.set_c4 {
        first_parts[lane] = scale * sum;
        second_parts[lane] = scale * product;
    }
    workgroupBarrier();
    if lane < params.set_groups {
        var m1 = vec4f();
        var m2 = vec4f();
        for (var k = 0u; k < params.set_c4; k++) {
            let inside = in_group(k, lane);
            m1 += select(vec4f(), first_parts[k], inside);
            m2 += select(vec4f(), second_parts[k], inside);
        }
        group_pairs[lane] = vec2f(total(m1), total(m2)) / f32(params.pixels * params.group_c);
    }
    workgroupBarrier();

    let channel = vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u);
    let real = channel < vec4u(params.groups * params.group_c);
    let m1 = select(vec4f(), firsts(groups), real);
    let m2 = select(vec4f(), seconds(groups), real);
    at = x_start;
    y_at = start;
    for (var i = 0u; i < count; i++) {
        let xhat = (x[at] - mean) * rstd;
        let dz = before_silu(y[y_at], xhat * scale + shift);
        var v = rstd * (scale * dz - m1 - xhat * m2);
        if params.accumulate != 0u {
            v += dx[at];
        }
        dx[at] = v;
        at += x_stride;
        y_at += stride;
    }
}

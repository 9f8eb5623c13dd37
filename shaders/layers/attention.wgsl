// Scaled dot-product attention, per sample and head: out = softmax(q k^T * scale) v. N tokens,
// D channels a head, 4 * HEAD_DIM4 = D rounded up; a "pair" is a sample and a head.
//
// Two ways, see attention.rs. Small heads: `forward`, `backward_query`, `backward_key_value`
// hold ROWS queries (or keys) in registers and loop over the others. Large heads: `product`,
// `softmax`, `weighted`, `weighted_transposed` are matrix products through a score matrix of a
// bounded block of pairs and queries.
//
// Exponentials are of base 2; log-sum-exps are too, of scores times log2(e).
// HEAD_DIM4 and ROWS are put before this source. Short loops over them are unrolled (gpu/unroll.rs),
// so that their arrays are registers.
struct Params {
    tokens: u32,       // N
    heads: u32,
    row4: u32,         // vec4s a token: heads * HEAD_DIM4
    pairs: u32,        // pairs of this dispatch
    groups: u32,       // threads a pair
    columns: u32,      // threads along the fastest axis of a matrix product
    first_pair: u32,   // block: its first pair
    first_query: u32,  // block: its first query
    queries: u32,      // block: queries of each pair
    key4: u32,         // block: vec4s of a row of scores, N / 4 rounded up
    mode: u32,         // product: what to do with the products; relayout: see there
    accumulate: u32,   // 1: add to the first output; 2: to the second
    scale: f32,        // 1 / sqrt(D)
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> q: array<vec4f>;         // [B, N, heads, D]
@group(0) @binding(2) var<storage, read_write> k: array<vec4f>;         // [B, N, heads, D]
@group(0) @binding(3) var<storage, read_write> v: array<vec4f>;         // [B, N, heads, D]
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;       // [B, N, heads, D] or its gradient
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;         // [B, heads, N] log-sum-exp
@group(0) @binding(6) var<storage, read_write> out_dot: array<f32>;     // [B, heads, N] sum over D of grad * out
@group(0) @binding(7) var<storage, read_write> grad: array<vec4f>;      // [B, N, heads, D] written or added to
@group(0) @binding(8) var<storage, read_write> grad_two: array<vec4f>;  // [B, N, heads, D] a second one
@group(0) @binding(9) var<storage, read_write> scores: array<vec4f>;    // [pairs, queries, N] of a block
@group(0) @binding(10) var<storage, read_write> weights: array<vec4f>;  // [pairs, queries, N] of a block

const LOG2_E = 1.4426950408889634;
// Below every score; its exponential is zero.
const LOWEST = -1.0e30;

// Where a pair's first token begins, in vec4s.
fn pair_base(pair: u32) -> u32 {
    let sample = pair / params.heads;
    return sample * params.tokens * params.row4 + (pair - sample * params.heads) * HEAD_DIM4;
}

// ---- Small heads ----

// out = softmax(q k^T) v with a running maximum; lse.
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let pair = thread / params.groups;
    if pair >= params.pairs {
        return;
    }
    let group = thread - pair * params.groups;
    let base = pair_base(pair);
    let last = params.tokens - 1u;
    let row4 = params.row4;
    let scale = params.scale * LOG2_E;

    // Queries group, group + groups, ...; those beyond the last are computed and not stored.
    var queries: array<vec4f, ROWS * HEAD_DIM4>;
    var sums: array<vec4f, ROWS * HEAD_DIM4>;
    var highest: array<f32, ROWS>;
    var total: array<f32, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        let at = base + min(group + i * params.groups, last) * row4;
        for (var d = 0u; d < HEAD_DIM4; d++) {
            queries[i * HEAD_DIM4 + d] = q[at + d] * scale;
            sums[i * HEAD_DIM4 + d] = vec4f();
        }
        highest[i] = LOWEST;
        total[i] = 0.0;
    }
    for (var key = 0u; key < params.tokens; key += 4u) {
        let at = vec4u(base) + min(vec4u(key) + vec4u(0u, 1u, 2u, 3u), vec4u(last)) * row4;
        var s: array<vec4f, ROWS>;
        for (var i = 0u; i < ROWS; i++) {
            s[i] = vec4f();
        }
        for (var d = 0u; d < HEAD_DIM4; d++) {
            let k0 = k[at.x + d];
            let k1 = k[at.y + d];
            let k2 = k[at.z + d];
            let k3 = k[at.w + d];
            for (var i = 0u; i < ROWS; i++) {
                let a = queries[i * HEAD_DIM4 + d];
                s[i] += vec4f(dot(a, k0), dot(a, k1), dot(a, k2), dot(a, k3));
            }
        }
        let inside = vec4u(key) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.tokens);
        var keep: array<f32, ROWS>;
        for (var i = 0u; i < ROWS; i++) {
            let t = select(vec4f(LOWEST), s[i], inside);
            let high = max(highest[i], max(max(t.x, t.y), max(t.z, t.w)));
            let p = exp2(t - vec4f(high));
            keep[i] = exp2(highest[i] - high);
            total[i] = total[i] * keep[i] + ((p.x + p.y) + (p.z + p.w));
            highest[i] = high;
            s[i] = p;
        }
        for (var d = 0u; d < HEAD_DIM4; d++) {
            let v0 = v[at.x + d];
            let v1 = v[at.y + d];
            let v2 = v[at.z + d];
            let v3 = v[at.w + d];
            for (var i = 0u; i < ROWS; i++) {
                let a = sums[i * HEAD_DIM4 + d] * keep[i];
                sums[i * HEAD_DIM4 + d] = mac(a, s[i], v0, v1, v2, v3);
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        let query = group + i * params.groups;
        if query < params.tokens {
            let norm = 1.0 / total[i];
            for (var d = 0u; d < HEAD_DIM4; d++) {
                out[base + query * row4 + d] = sums[i * HEAD_DIM4 + d] * norm;
            }
            lse[pair * params.tokens + query] = highest[i] + log2(total[i]);
        }
    }
}

// out_dot = sum over D of out (q) times its gradient (out).
@compute @workgroup_size(64)
fn backward_dot(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let pair = thread / params.tokens;
    if pair >= params.pairs {
        return;
    }
    let at = pair_base(pair) + (thread - pair * params.tokens) * params.row4;
    var sum = 0.0;
    for (var d = 0u; d < HEAD_DIM4; d++) {
        sum += dot(q[at + d], out[at + d]);
    }
    out_dot[thread] = sum;
}

// grad (of q) (+)= scale * sum over keys of p * (out . v - out_dot) * k.
@compute @workgroup_size(64)
fn backward_query(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let pair = thread / params.groups;
    if pair >= params.pairs {
        return;
    }
    let group = thread - pair * params.groups;
    let base = pair_base(pair);
    let last = params.tokens - 1u;
    let row4 = params.row4;

    var queries: array<vec4f, ROWS * HEAD_DIM4>;
    var outs: array<vec4f, ROWS * HEAD_DIM4>;
    var sums: array<vec4f, ROWS * HEAD_DIM4>;
    var norm: array<f32, ROWS>;
    var mean: array<f32, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        let query = min(group + i * params.groups, last);
        for (var d = 0u; d < HEAD_DIM4; d++) {
            queries[i * HEAD_DIM4 + d] = q[base + query * row4 + d] * (params.scale * LOG2_E);
            outs[i * HEAD_DIM4 + d] = out[base + query * row4 + d];
            sums[i * HEAD_DIM4 + d] = vec4f();
        }
        norm[i] = lse[pair * params.tokens + query];
        mean[i] = out_dot[pair * params.tokens + query];
    }
    var at = base;
    for (var key = 0u; key < params.tokens; key++) {
        var ks: array<vec4f, HEAD_DIM4>;
        var vs: array<vec4f, HEAD_DIM4>;
        for (var d = 0u; d < HEAD_DIM4; d++) {
            ks[d] = k[at + d];
            vs[d] = v[at + d];
        }
        at += row4;
        for (var i = 0u; i < ROWS; i++) {
            var s = -norm[i];
            var g = -mean[i];
            for (var d = 0u; d < HEAD_DIM4; d++) {
                s += dot(queries[i * HEAD_DIM4 + d], ks[d]);
                g += dot(outs[i * HEAD_DIM4 + d], vs[d]);
            }
            let ds = vec4f(exp2(s) * g);
            for (var d = 0u; d < HEAD_DIM4; d++) {
                sums[i * HEAD_DIM4 + d] = fma(ds, ks[d], sums[i * HEAD_DIM4 + d]);
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        let query = group + i * params.groups;
        if query < params.tokens {
            for (var d = 0u; d < HEAD_DIM4; d++) {
                let to = base + query * row4 + d;
                var g = sums[i * HEAD_DIM4 + d] * params.scale;
                if (params.accumulate & 1u) != 0u {
                    g += grad[to];
                }
                grad[to] = g;
            }
        }
    }
}

// grad (of k) (+)= scale * sum over queries of p * (out . v - out_dot) * q;
// grad_two (of v) (+)= sum over queries of p * out.
@compute @workgroup_size(64)
fn backward_key_value(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let pair = thread / params.groups;
    if pair >= params.pairs {
        return;
    }
    let group = thread - pair * params.groups;
    let base = pair_base(pair);
    let last = params.tokens - 1u;
    let row4 = params.row4;

    var keys: array<vec4f, ROWS * HEAD_DIM4>;
    var values: array<vec4f, ROWS * HEAD_DIM4>;
    var key_sums: array<vec4f, ROWS * HEAD_DIM4>;
    var value_sums: array<vec4f, ROWS * HEAD_DIM4>;
    for (var i = 0u; i < ROWS; i++) {
        let at = base + min(group + i * params.groups, last) * row4;
        for (var d = 0u; d < HEAD_DIM4; d++) {
            keys[i * HEAD_DIM4 + d] = k[at + d] * (params.scale * LOG2_E);
            values[i * HEAD_DIM4 + d] = v[at + d];
            key_sums[i * HEAD_DIM4 + d] = vec4f();
            value_sums[i * HEAD_DIM4 + d] = vec4f();
        }
    }
    var at = base;
    var row = pair * params.tokens;
    for (var query = 0u; query < params.tokens; query++) {
        var qs: array<vec4f, HEAD_DIM4>;
        var gs: array<vec4f, HEAD_DIM4>;
        for (var d = 0u; d < HEAD_DIM4; d++) {
            qs[d] = q[at + d];
            gs[d] = out[at + d];
        }
        let norm = lse[row];
        let mean = out_dot[row];
        at += row4;
        row += 1u;
        for (var i = 0u; i < ROWS; i++) {
            var s = -norm;
            var g = -mean;
            for (var d = 0u; d < HEAD_DIM4; d++) {
                s += dot(keys[i * HEAD_DIM4 + d], qs[d]);
                g += dot(values[i * HEAD_DIM4 + d], gs[d]);
            }
            let p = exp2(s);
            let ds = p * g;
            for (var d = 0u; d < HEAD_DIM4; d++) {
                key_sums[i * HEAD_DIM4 + d] = fma(vec4f(ds), qs[d], key_sums[i * HEAD_DIM4 + d]);
                value_sums[i * HEAD_DIM4 + d] = fma(vec4f(p), gs[d], value_sums[i * HEAD_DIM4 + d]);
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        let key = group + i * params.groups;
        if key < params.tokens {
            for (var d = 0u; d < HEAD_DIM4; d++) {
                let to = base + key * row4 + d;
                var g = key_sums[i * HEAD_DIM4 + d] * params.scale;
                var h = value_sums[i * HEAD_DIM4 + d];
                if (params.accumulate & 1u) != 0u {
                    g += grad[to];
                }
                if (params.accumulate & 2u) != 0u {
                    h += grad_two[to];
                }
                grad[to] = g;
                grad_two[to] = h;
            }
        }
    }
}

// ---- Large heads ----

// 8 by 8 products a = q . k, then, by mode:
// 0: scores = a * scale * log2(e), and LOWEST beyond the last key;
// 1: weights = exp2(a * scale * log2(e) - lse), and zero beyond the last key;
// 2: scores = weights * (a - out_dot) * scale (q is the output's gradient, k the values).
@compute @workgroup_size(64)
fn product(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let local_pair = thread / params.groups;
    if local_pair >= params.pairs {
        return;
    }
    let inner = thread - local_pair * params.groups;
    let tile_row = inner / params.columns;
    let query = tile_row * ROWS;
    let key = (inner - tile_row * params.columns) * 8u;
    let pair = params.first_pair + local_pair;
    let base = pair_base(pair);
    let last = params.tokens - 1u;
    let row4 = params.row4;

    let ka = vec4u(base) + min(vec4u(key) + vec4u(0u, 1u, 2u, 3u), vec4u(last)) * row4;
    let kb = vec4u(base) + min(vec4u(key) + vec4u(4u, 5u, 6u, 7u), vec4u(last)) * row4;
    var at: array<u32, ROWS>;
    var a: array<vec4f, ROWS>;
    var b: array<vec4f, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        at[i] = base + min(params.first_query + query + i, last) * row4;
        a[i] = vec4f();
        b[i] = vec4f();
    }
    for (var d = 0u; d < HEAD_DIM4; d++) {
        let k0 = k[ka.x + d];
        let k1 = k[ka.y + d];
        let k2 = k[ka.z + d];
        let k3 = k[ka.w + d];
        let k4 = k[kb.x + d];
        let k5 = k[kb.y + d];
        let k6 = k[kb.z + d];
        let k7 = k[kb.w + d];
        for (var i = 0u; i < ROWS; i++) {
            let t = q[at[i] + d];
            a[i] += vec4f(dot(t, k0), dot(t, k1), dot(t, k2), dot(t, k3));
            b[i] += vec4f(dot(t, k4), dot(t, k5), dot(t, k6), dot(t, k7));
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        if query + i < params.queries {
            let to = (local_pair * params.queries + query + i) * params.key4 + key / 4u;
            let row = pair * params.tokens + params.first_query + query + i;
            finish(a[i], to, row, key);
            if key + 4u < params.tokens {
                finish(b[i], to + 1u, row, key + 4u);
            }
        }
    }
}

fn finish(a: vec4f, to: u32, row: u32, key: u32) {
    let inside = vec4u(key) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.tokens);
    if params.mode == 2u {
        scores[to] = weights[to] * (a - vec4f(out_dot[row])) * params.scale;
        return;
    }
    let s = select(vec4f(LOWEST), a * (params.scale * LOG2_E), inside);
    if params.mode == 1u {
        weights[to] = exp2(s - vec4f(lse[row]));
    } else {
        scores[to] = s;
    }
}

// Softmax of each row of scores, in place; lse.
@compute @workgroup_size(64)
fn softmax(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let local_pair = thread / params.queries;
    if local_pair >= params.pairs {
        return;
    }
    let query = params.first_query + thread - local_pair * params.queries;
    let start = thread * params.key4;
    let end = start + params.key4;
    var high4 = vec4f(LOWEST);
    for (var j = start; j < end; j++) {
        high4 = max(high4, scores[j]);
    }
    let high = max(max(high4.x, high4.y), max(high4.z, high4.w));
    var total4 = vec4f();
    for (var j = start; j < end; j++) {
        let p = exp2(scores[j] - vec4f(high));
        total4 += p;
        scores[j] = p;
    }
    let total = (total4.x + total4.y) + (total4.z + total4.w);
    let norm = 1.0 / total;
    for (var j = start; j < end; j++) {
        scores[j] *= norm;
    }
    lse[(params.first_pair + local_pair) * params.tokens + query] = high + log2(total);
}

// grad (+)= scores v: 8 queries by 8 channels a thread.
@compute @workgroup_size(64)
fn weighted(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let local_pair = thread / params.groups;
    if local_pair >= params.pairs {
        return;
    }
    let inner = thread - local_pair * params.groups;
    let tile_row = inner / params.columns;
    let query = tile_row * ROWS;
    let column = (inner - tile_row * params.columns) * 2u;
    // An overhanging vec4 is read from the last valid place and not stored.
    let over = select(1u, 0u, column + 1u >= HEAD_DIM4);
    let base = pair_base(params.first_pair + local_pair) + column;
    let last = params.tokens - 1u;
    let row4 = params.row4;

    var at: array<u32, ROWS>;
    var a: array<vec4f, ROWS>;
    var b: array<vec4f, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        at[i] = (local_pair * params.queries + min(query + i, params.queries - 1u)) * params.key4;
        a[i] = vec4f();
        b[i] = vec4f();
    }
    for (var j = 0u; j < params.key4; j++) {
        // The weights of keys beyond the last are zero.
        let start = vec4u(base) + min(vec4u(4u * j) + vec4u(0u, 1u, 2u, 3u), vec4u(last)) * row4;
        let a0 = v[start.x];
        let a1 = v[start.y];
        let a2 = v[start.z];
        let a3 = v[start.w];
        let b0 = v[start.x + over];
        let b1 = v[start.y + over];
        let b2 = v[start.z + over];
        let b3 = v[start.w + over];
        for (var i = 0u; i < ROWS; i++) {
            let s = scores[at[i] + j];
            a[i] = mac(a[i], s, a0, a1, a2, a3);
            b[i] = mac(b[i], s, b0, b1, b2, b3);
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        if query + i < params.queries {
            let to = base + (params.first_query + query + i) * row4;
            store(a[i], b[i], to, column);
        }
    }
}

fn store(a: vec4f, b: vec4f, to: u32, column: u32) {
    let add = (params.accumulate & 1u) != 0u;
    var g = a;
    if add {
        g += grad[to];
    }
    grad[to] = g;
    if column + 1u < HEAD_DIM4 {
        var h = b;
        if add {
            h += grad[to + 1u];
        }
        grad[to + 1u] = h;
    }
}

// grad (+)= scores^T v, v by query: 8 keys by 8 channels a thread.
@compute @workgroup_size(64)
fn weighted_transposed(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let local_pair = thread / params.groups;
    if local_pair >= params.pairs {
        return;
    }
    let inner = thread - local_pair * params.groups;
    let tile_row = inner / params.columns;
    let key4 = tile_row * 2u;
    let column = (inner - tile_row * params.columns) * 2u;
    let over = select(1u, 0u, column + 1u >= HEAD_DIM4);
    let key_over = select(1u, 0u, key4 + 1u >= params.key4);
    let base = pair_base(params.first_pair + local_pair) + column;
    let row4 = params.row4;

    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
    var start = base + params.first_query * row4;
    var at = local_pair * params.queries * params.key4 + key4;
    for (var query = 0u; query < params.queries; query++) {
        let s = scores[at];
        let t = scores[at + key_over];
        let va = v[start];
        let vb = v[start + over];
        at += params.key4;
        start += row4;
        a0 = fma(va, vec4f(s.x), a0);
        b0 = fma(vb, vec4f(s.x), b0);
        a1 = fma(va, vec4f(s.y), a1);
        b1 = fma(vb, vec4f(s.y), b1);
        a2 = fma(va, vec4f(s.z), a2);
        b2 = fma(vb, vec4f(s.z), b2);
        a3 = fma(va, vec4f(s.w), a3);
        b3 = fma(vb, vec4f(s.w), b3);
        a4 = fma(va, vec4f(t.x), a4);
        b4 = fma(vb, vec4f(t.x), b4);
        a5 = fma(va, vec4f(t.y), a5);
        b5 = fma(vb, vec4f(t.y), b5);
        a6 = fma(va, vec4f(t.z), a6);
        b6 = fma(vb, vec4f(t.z), b6);
        a7 = fma(va, vec4f(t.w), a7);
        b7 = fma(vb, vec4f(t.w), b7);
    }
    let key = 4u * key4;
    let to = base + key * row4;
    store_key(a0, b0, to, key, column);
    store_key(a1, b1, to + row4, key + 1u, column);
    store_key(a2, b2, to + 2u * row4, key + 2u, column);
    store_key(a3, b3, to + 3u * row4, key + 3u, column);
    store_key(a4, b4, to + 4u * row4, key + 4u, column);
    store_key(a5, b5, to + 5u * row4, key + 5u, column);
    store_key(a6, b6, to + 6u * row4, key + 6u, column);
    store_key(a7, b7, to + 7u * row4, key + 7u, column);
}

fn store_key(a: vec4f, b: vec4f, to: u32, key: u32, column: u32) {
    if key < params.tokens {
        store(a, b, to, column);
    }
}

// ---- Heads that do not begin at a vec4 ----

// grad (+)= q, from heads of `columns` words to heads of `mode` words, both kept dense in rows
// of `row4` (q) and `key4` (grad) vec4s; words that are in no head are zero.
@compute @workgroup_size(64)
fn relayout(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = tile_index(workgroup, workgroups) * 64u + lane;
    let token = thread / params.key4;
    if token >= params.tokens {
        return;
    }
    let word = 4u * (thread - token * params.key4);
    var r = vec4f(
        word_of_head(token, word),
        word_of_head(token, word + 1u),
        word_of_head(token, word + 2u),
        word_of_head(token, word + 3u),
    );
    if (params.accumulate & 1u) != 0u {
        r += grad[thread];
    }
    grad[thread] = r;
}

fn word_of_head(token: u32, word: u32) -> f32 {
    let head = word / params.mode;
    let within = word - head * params.mode;
    if head >= params.heads || within >= params.columns {
        return 0.0;
    }
    let start = head * params.columns + within;
    return q[token * params.row4 + start / 4u][start % 4u];
}

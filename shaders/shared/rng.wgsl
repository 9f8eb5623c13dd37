// Counter-based random numbers: the twin of src/rng.rs, which describes them. Functions only, no bindings.
//
//   key     = [seed.x, seed.y ^ stream * 0x9E3779B9]
//   counter = [block, sample, step, 0]
//
// Element e of a sample is component e % 4 of block e / 4.

// The upper 32 bits of a * b, by halves of 16 bits.
fn mul_high(a: u32, b: u32) -> u32 {
    let a_low = a & 0xFFFFu;
    let a_high = a >> 16u;
    let b_low = b & 0xFFFFu;
    let b_high = b >> 16u;
    let cross = a_high * b_low + ((a_low * b_low) >> 16u);
    let middle = (cross & 0xFFFFu) + a_low * b_high;
    return a_high * b_high + (cross >> 16u) + (middle >> 16u);
}

// Philox4x32 with 10 rounds.
fn philox(counter: vec4u, key: vec2u) -> vec4u {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        c = vec4u(
            mul_high(c.z, 0xCD9E8D57u) ^ c.y ^ k.x,
            c.z * 0xCD9E8D57u,
            mul_high(c.x, 0xD2511F53u) ^ c.w ^ k.y,
            c.x * 0xD2511F53u,
        );
        k += vec2u(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// Four random words.
fn words4(seed: vec2u, stream: u32, step_index: u32, sample: u32, block: u32) -> vec4u {
    return philox(vec4u(block, sample, step_index, 0u), vec2u(seed.x, seed.y ^ (stream * 0x9E3779B9u)));
}

// Odd multiples of 2^-24 in (0, 1), nothing rounded.
fn uniform_from_words(words: vec4u) -> vec4f {
    return (vec4f(words >> vec4u(9u)) + 0.5) * (1.0 / 8388608.0);
}

// Four uniform numbers in (0, 1).
fn uniform4(seed: vec2u, stream: u32, step_index: u32, sample: u32, block: u32) -> vec4f {
    return uniform_from_words(words4(seed, stream, step_index, sample, block));
}

// An integer in 0 .. bound - 1.
fn random_below(word: u32, bound: u32) -> u32 {
    return mul_high(word, bound);
}

// ln x for positive normal x.
fn rng_ln(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let exponent = bitcast<i32>(bits - 0x3F3504F3u) >> 23u;
    let f = bitcast<f32>(bits - (bitcast<u32>(exponent) << 23u)) - 1.0;
    let e = f32(exponent);
    var p = -0.08101559;
    p = p * f + 0.12712307;
    p = p * f - 0.12972239;
    p = p * f + 0.14202175;
    p = p * f - 0.16642247;
    p = p * f + 0.20001468;
    p = p * f - 0.25000298;
    p = p * f + 0.33333328;
    let square = f * f;
    return (f - 0.5 * square + (square * f * p - e * 2.1219444e-4)) + e * 0.6933594;
}

// (cos, sin) of 2 pi turns for turns in [0, 1].
fn rng_cos_sin_turns(turns: f32) -> vec2f {
    let quarter = floor(4.0 * turns + 0.5);
    let r = 4.0 * turns - quarter;
    let square = r * r;
    var s = -0.004602163;
    s = s * square + 0.07968022;
    s = s * square - 0.6459635;
    s = (s * square + 1.5707964) * r;
    var c = 0.0009036299;
    c = c * square - 0.02086007;
    c = c * square + 0.2536692;
    c = c * square - 1.2337005;
    c = c * square + 1.0;
    let turned = select(vec2f(c, s), vec2f(-s, c), (u32(quarter) & 1u) != 0u);
    return select(turned, -turned, (u32(quarter) & 2u) != 0u);
}

// Two standard normals from two uniforms in (0, 1).
fn box_muller(u: f32, v: f32) -> vec2f {
    return sqrt(-2.0 * rng_ln(u)) * rng_cos_sin_turns(v);
}

// Four standard normals.
fn normal4(seed: vec2u, stream: u32, step_index: u32, sample: u32, block: u32) -> vec4f {
    let u = uniform4(seed, stream, step_index, sample, block);
    return vec4f(box_muller(u.x, u.y), box_muller(u.z, u.w));
}

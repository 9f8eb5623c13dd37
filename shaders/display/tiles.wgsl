// Shows a tensor: each workgroup paints one tile of a film's layer.
struct Params {
    height: u32,      // H
    width: u32,       // W
    c4: u32,          // channels / 4
    channels: u32,    // C
    columns: u32,     // tiles in a row of the film
    layer: u32,       // of the film
    first: u32,       // the tile that the first workgroup paints
    palette: u32,     // 0 picture, 1 signed
    by_channel: u32,  // 1: tile n is channel n of the first sample; 0: tile n is sample n
    gain: f32,        // values are multiplied by it; 0 means 1 / the tile's largest magnitude
    pad0: u32,
    pad1: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<vec4f>;  // [B, H, W, C]
@group(0) @binding(2) var film: texture_storage_2d_array<rgba8unorm, write>;

var<workgroup> largest: array<f32, 64>;

fn picked(v: vec4f, lane: u32) -> f32 {
    return select(select(v.x, v.y, lane == 1u), select(v.z, v.w, lane == 3u), lane >= 2u);
}

fn value_at(tile: u32, pixel: u32) -> f32 {
    if params.by_channel == 1u {
        return picked(values[pixel * params.c4 + tile / 4u], tile % 4u);
    }
    return values[(tile * params.height * params.width + pixel) * params.c4].x;
}

// Blue for negative, near black for zero, orange for positive: signs differ in lightness only
// by amount, and for every kind of colour vision in hue.
fn signed_colour(x: f32) -> vec3f {
    let a = clamp(abs(x), 0.0, 1.0);
    let low = vec3f(0.08, 0.09, 0.11);
    let high = select(vec3f(0.30, 0.66, 1.0), vec3f(1.0, 0.62, 0.22), x > 0.0);
    return mix(low, high, sqrt(a));
}

@compute @workgroup_size(64)
fn paint(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.x;
    let pixels = params.height * params.width;
    var gain = params.gain;
    if gain == 0.0 {
        var most = 0.0;
        for (var p = lane; p < pixels; p += 64u) {
            most = max(most, abs(value_at(tile, p)));
        }
        largest[lane] = most;
        workgroupBarrier();
        for (var i = 0u; i < 64u; i++) {
            most = max(most, largest[i]);
        }
        gain = select(0.0, 1.0 / most, most > 0.0);
    }
    let at = params.first + tile;
    let left = at % params.columns * params.width;
    let top = at / params.columns * params.height;
    for (var p = lane; p < pixels; p += 64u) {
        var colour = vec3f(0.0);
        if params.palette == 0u {
            let v = value_at(tile, p) * gain * 0.5 + 0.5;
            colour = vec3f(v);
            if params.by_channel == 0u && params.channels >= 3u {
                let rgb = values[(tile * pixels + p) * params.c4];
                colour = rgb.xyz * gain * 0.5 + 0.5;
            }
        } else {
            colour = signed_colour(value_at(tile, p) * gain);
        }
        let place = vec2u(left + p % params.width, top + p / params.width);
        textureStore(film, place, params.layer, vec4f(clamp(colour, vec3f(0.0), vec3f(1.0)), 1.0));
    }
}

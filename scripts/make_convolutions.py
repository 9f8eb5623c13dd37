#!/usr/bin/env python3
"""Writes the unrolled convolution kernels below shaders/layers/.

    scripts/make_convolutions.py [--check]

WGSL has no macros, and a register tile must be spelled out variable by variable to stay in
registers on every driver. The files differ in the tile and in who loads what is shared:

    conv3x3.wgsl            8 pixels x  8 channels, every thread for itself
    conv3x3_subgroup.wgsl   8 pixels x  8 channels, weights shared by a subgroup
    conv3x3_wide.wgsl       the weight gradient alone, 4 x 16 channels, with dy shared by a
                            subgroup: for adapters that pay for loads more than for registers
                            (software adapters); the products gain nothing from this tile there,
                            and 8 x 16 channels are slower
    conv1x1_subgroup.wgsl   8 pixels x 16 channels, weights shared by a subgroup; the weight
                            gradient 4 x 16 channels, with dy shared
    conv3x3_narrow.wgsl     4 pixels x 16 channels, one channel of the input at a time; the weight
                            gradient 2 x 16 channels: loops of at most 192 products of 4 lanes, for
                            compilers that do badly with longer ones (SwiftShader's: half as fast
                            beyond that)
    conv1x1_narrow.wgsl     8 pixels x 16 channels in the same way
    conv3x3_winograd.wgsl   2 x 8 pixels x 32 or 24 channels by F(2x2, 3x3), weights shared by a subgroup: for
                            adapters that pay for loads more than for registers

With --check nothing is written; the exit status is 1 if a file is not what would be written.
"""
import pathlib
import sys
from itertools import pairwise

SHADERS = pathlib.Path(__file__).resolve().parent.parent / "shaders" / "layers"
COLUMNS = "abcdefgh"

PRODUCTS = """\
// 3x3 convolution with stride 1 and padding 1, channels last. Written by scripts/make_convolutions.py.
// One thread makes 8 neighbouring pixels of a line by 8 channels, and slides a window of 10 pixels
// over the three taps of a kernel row: 10 loads of the input serve 24 products. STRIP is 8, or 7 for
// widths that it divides better. `backward_input_down` belongs to stride 2."""

HEAD = """\
{text}
//
// Loops are kept under 32768 turns a thread: some drivers stop a shader's loops at 65535.
struct Params {{
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
}}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;         // [B, H, W, Cin] or its gradient
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;    // [3, 3, Cin, Cout] or its gradient, [splits, ...]
@group(0) @binding(3) var<storage, read_write> bias: array<vec4f>;      // [Cout]; backward_weight: sums of dy, [sum_rows or splits, Cout]
@group(0) @binding(4) var<storage, read_write> sample: array<vec4f>;    // [B, sample_c4], added to every pixel, or its gradient
@group(0) @binding(5) var<storage, read_write> residual: array<vec4f>;  // [B, H, W, Cout], added
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;         // [B, H, W, Cout] or its gradient
"""

STORES = """\
fn store(acc: vec4f, row: u32, column: u32) {
    if column >= params.out_c4 {
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
    if column >= params.in_c4 {
        return;
    }
PLACE
    x[at] = select(acc, acc + x[at], (params.flags & 8u) != 0u);
}"""

PRODUCT_FUNCTIONS = STORES.replace("PLACE", "    let at = row * params.in_c4 + column;")
# Where x may be two tensors, side by side in channels.
PLANE_FUNCTIONS = STORES.replace(
    "PLACE",
    """\
    let other = column >= params.first_c4;
    let elsewhere = params.second + row * (params.in_c4 - params.first_c4) + column - params.first_c4;
    let at = select(row * params.first_c4 + column, elsewhere, other);""",
)


def plane_starts(pixels, back):
    """Where the channels of the pixels start."""
    if back:
        return [f"    let p{j} = min(row + {j}u, last) * depth;" for j in range(pixels)]
    return [f"    var p{j} = min(row + {j}u, last) * params.first_c4;" for j in range(pixels)]


def plane_turn(pixels, back, condition):
    """To the second of two tensors."""
    if back:
        return []
    o = [
        f"        if {condition} {{",
        "            let rest = depth - params.first_c4;",
        "            let start = params.second - params.first_c4;",
    ]
    o += [f"            p{j} = start + min(row + {j}u, last) * rest;" for j in range(pixels)]
    return [*o, "        }"]


WEIGHT_FUNCTIONS = """\
fn store_weight(acc: vec4f, at: u32, column: u32) {
    if column >= params.out_c4 {
        return;
    }
    weight[at] = select(acc, acc + weight[at], (params.flags & 8u) != 0u);
}"""

SUM_FUNCTIONS = """\
fn store_sum(sum: vec4f, first: u32, column: u32) {
    if column >= params.out_c4 {
        return;
    }
    bias[first + column] = sum;
}"""

SHARING = """
// The weights, the same for all lanes, are loaded once a subgroup and spread by broadcasts. LANES
// is 8, or 4 where subgroups are smaller."""


WIDE = """\
// The weight gradient of 3x3 convolutions with stride 1 and padding 1, channels last. Written by
// scripts/make_convolutions.py. It is for adapters that pay for loads more than for registers.
// LANES is 8, or 4 where subgroups are smaller."""

POINTWISE = """\
// 1x1 convolution, channels last: also the linear layer. Written by scripts/make_convolutions.py. One
// thread makes 8 pixels by 16 channels."""


NARROW = """\
// 3x3 convolution with stride 1 and padding 1, channels last. Written by scripts/make_convolutions.py.
// It takes one channel of the input at a time, for compilers that do badly with long loops, and
// subgroups of 4 lanes or more, of which 4 share what all of them need."""

WINOGRAD = """\
// 3x3 convolution with stride 1 and padding 1, channels last, by Winograd's minimal filtering F(2x2, 3x3):
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), section 4.1. Written by
// scripts/make_convolutions.py. Tiles of 2 x 2 pixels are A^T [(G g G^T) * (B^T d B)] A with d the 4 x 4
// pixels around them: 16 products for 36.
// One thread makes 4 neighbouring tiles by 32 channels (or 24), one row of the transform after the other, so that
// 20 loads of the input and 16 of the weights serve 128 products. The lanes of a subgroup, at least 8,
// share the weights by broadcasts. `transform_weight` comes first."""


def move_up(rows):
    """Makes each row of variables take the values of the next one."""
    o = []
    for row, following in pairwise(rows):
        moves = [f"{name} = {other};" for name, other in zip(row, following, strict=True)]
        o += ["        " + " ".join(moves[k : k + 4]) for k in range(0, len(moves), 4)]
    return o


STORES = "    // A loop: spelled out, stores take a driver that vectorises them longer to compile than all the rest."


def by_column(tiles, names, width, stores):
    """Stores one column of channels after the other. `names` are the variables of a column with "*" for its letter;
    `stores` says what is done with those of the first, for column t."""
    return [
        STORES,
        f"    let columns = min({len(tiles)}u, params.{width} - column);",
        "    for (var t = 0u; t < columns; t++) {",
        *stores,
        *move_up([[n.replace("*", t) for n in names] for t in tiles]),
        "    }",
    ]


def by_pixel(tiles, count, store):
    """Stores one of 8 pixels after the other."""
    return [
        STORES,
        f"    let pixels = {count};",
        "    for (var j = 0u; j < pixels; j++) {",
        *[f"        {store}({t}0, row + j, column + {i}u);" for i, t in enumerate(tiles)],
        *move_up([[f"{t}{j}" for t in tiles] for j in range(8)]),
        "    }",
    ]


def arguments(shared):
    lines = [
        "    @builtin(workgroup_id) workgroup: vec3<u32>,",
        "    @builtin(num_workgroups) workgroups: vec3<u32>,",
        "    @builtin(local_invocation_index) lane: u32,",
    ]
    if shared:
        lines.append("    @builtin(subgroup_invocation_id) id: u32,")
    return lines


def spread_functions(pieces, prefix="spread"):
    """Piece i of those that the lanes hold: load number i / LANES, lane i % LANES."""
    loads8, loads4 = -(-pieces // 8), -(-pieces // 4)
    names = [f"f{i}" for i in range(loads4)]
    signature = ", ".join(f"{n}: vec4f" for n in names)
    out = []
    for i in range(pieces):
        out += [
            f"fn {prefix}{i}({signature}) -> vec4f {{",
            "    if LANES == 4u {",
            f"        return subgroupBroadcast({names[i // 4]}, {i % 4}u);",
            "    }",
            f"    return subgroupBroadcast({names[i // 8]}, {i % 8}u);",
            "}",
            "",
        ]
    return out, loads8, loads4


def product(name, columns, shared, back):
    """The kernels whose threads make pixels by channels."""
    source, depth, width, store = (
        ("y", "out_c4", "in_c4", "store_input") if back else ("x", "in_c4", "out_c4", "store")
    )
    tiles = [COLUMNS[j] for j in range(columns)]
    o = [
        "// dx (+)= sum over taps and output channels of dy * weight, mirrored."
        if back
        else "// y = bias + sample + residual + sum over taps and input channels of x * weight.",
        "@compute @workgroup_size(64)",
        f"fn {name}(",
        *arguments(shared),
        ") {",
        "    let tile = tile_index(workgroup, workgroups);",
        f"    let column = tile % params.column_tiles * {columns}u;",
        "    let index = tile / params.column_tiles * 64u + lane;",
    ]
    if shared:
        o += [
            "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
            "    let strip = min(index, params.rows - 1u);",
        ]
    else:
        o += ["    if index >= params.rows {", "        return;", "    }", "    let strip = index;"]
    o += [
        "    let line = strip / params.strips;",
        "    let px = (strip - line * params.strips) * STRIP;",
        "    let image = line / params.in_h;",
        "    let py = i32(line - image * params.in_h);",
        f"    let depth = params.{depth};",
        "    let width = i32(params.in_w);",
        "    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.",
    ]
    o += [f"    let col{j} = i32(px) + {j - 1};" for j in range(10)]
    o += [f"    let off{j} = u32(clamp(col{j}, 0, width - 1)) * depth;" for j in range(10)]
    o += [f"    let real{j} = col{j} >= 0 && col{j} < width;" for j in range(9)]
    o.append("    let real9 = select(false, col9 >= 0 && col9 < width, STRIP == 8u);")
    for t in tiles:
        for half in (range(4), range(4, 8)):
            o.append("    " + " ".join(f"var {t}{j} = vec4f();" for j in half))
    o += [
        "    let zero = vec4f();",
        "    let co = params.out_c4;",
        "    // Columns that overhang read the last valid one again and are not stored.",
    ]
    factor = "4u * co * " if back else ""
    for j in range(1, columns):
        o.append(f"    let over{j} = {factor}(min(column + {j}u, params.{width} - 1u) - column);")

    def over(j):
        return "0u" if j == 0 else f"over{j}"

    pieces = 4 * columns
    loads8, loads4 = -(-pieces // 8), -(-pieces // 4)
    if shared:
        o.append("    // What this lane loads of the weights of a step.")
        o.append("    let row4 = (id & 3u) * co;")
        o.append("    let second = (id & 4u) != 0u;")
        for m in range(loads4):
            if m < loads8:
                pair = f"select({over(2 * m)}, {over(min(2 * m + 1, columns - 1))}, second)"
                o.append(f"    let piece{m} = row4 + select({pair}, {over(m)}, LANES == 4u);")
            else:
                o.append(f"    let piece{m} = row4 + {over(m)};")
    o += [
        "    for (var ky = 0i; ky < 3; ky++) {",
        "        let sy = py + " + ("1 - ky;" if back else "ky - 1;"),
        "        let inside = sy >= 0 && sy < i32(params.in_h);",
    ]
    if shared:
        o.append("        let start = (image * params.in_h + u32(select(py, sy, inside))) * params.in_w * depth;")
        o += [f"        let m{j} = inside && real{j};" for j in range(10)]
    else:
        o += [
            "        if !inside {",
            "            continue;",
            "        }",
            "        let start = (image * params.in_h + u32(sy)) * params.in_w * depth;",
        ]
        o += [f"        let m{j} = real{j};" for j in range(10)]
    o.append(
        "        let tap0 = (u32(ky) * 3u * params.in_c4 + column) * 4u * co;"
        if back
        else "        let tap0 = u32(ky) * 3u * params.in_c4 * 4u * co + column;"
    )
    o += [
        "        let tap1 = tap0 + params.in_c4 * 4u * co;",
        "        let tap2 = tap1 + params.in_c4 * 4u * co;",
        "        for (var c = 0u; c < depth; c++) {",
    ]
    o += [f"            let v{j} = select(zero, {source}[start + off{j} + c], m{j});" for j in range(10)]
    for kx in range(3):
        o.append("            {")
        o.append(f"                let w = tap{kx} + {'c' if back else '4u * c * co'};")
        prefix = "r" if back else "w"
        if shared:
            for m in range(loads4):
                load = f"weight[w + piece{m}]"
                if m >= loads8:
                    load = f"select(zero, {load}, LANES == 4u)"
                o.append(f"                let f{m} = {load};")
            names = ", ".join(f"f{m}" for m in range(loads4))
            for j, t in enumerate(tiles):
                for r in range(4):
                    o.append(f"                let {prefix}{t}{r} = spread{4 * j + r}({names});")
        else:
            for j, t in enumerate(tiles):
                for r in range(4):
                    row = "" if r == 0 else f" + {r}u * co" if r > 1 else " + co"
                    column = "" if j == 0 else f" + over{j}"
                    o.append(f"                let {prefix}{t}{r} = weight[w{row}{column}];")
        if back:
            for t in tiles:
                for k, channel in enumerate("xyzw"):
                    parts = ", ".join(f"r{t}{r}.{channel}" for r in range(4))
                    o.append(f"                let w{t}{k} = vec4f({parts});")
        for j in range(8):
            v = f"v{j + (2 - kx if back else kx)}"
            if j == 7:
                o.append("                if STRIP == 8u {")
            for t in tiles:
                indent = "    " if j == 7 else ""
                o.append(f"{indent}                {t}{j} = mac({t}{j}, {v}, w{t}0, w{t}1, w{t}2, w{t}3);")
        o += ["                }", "            }"]
    o += ["        }", "    }"]
    if shared:
        o += ["    if index >= params.rows {", "        return;", "    }"]
    o.append("    let row = line * params.in_w + px;")
    return [*o, *by_pixel(tiles, "min(STRIP, params.in_w - px)", store), "}"]


BIAS_TILES = [
    "    let tile = tile_index(workgroup, workgroups);",
    "    let tiles = (total + 63u) / 64u;",
    "    if tile >= tiles {",
    "        image_sums((tile - tiles) * 64u + lane);",
    "        return;",
    "    }",
    "    let index = tile * 64u + lane;",
]


def weight_gradient():
    o = [
        "// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.",
        "// One thread makes the 3 taps of a kernel row by 8 input by 8 output channels, and walks along",
        "// the image's lines with the last three pixels of x in registers.",
        "@compute @workgroup_size(64)",
        "fn backward_weight(",
        *arguments(False),
        ") {",
        "    let rows = (params.in_c4 + 1u) / 2u;",
        "    let total = 3u * rows * params.column_tiles * params.splits;",
        *BIAS_TILES,
        "    if index >= total {",
        "        return;",
        "    }",
        "    let column = index % params.column_tiles * 2u;",
        "    let rest = index / params.column_tiles;",
        "    let row = rest % rows * 2u;",
        "    let outer = rest / rows;",
        "    let ky = outer % 3u;",
        "    let split = outer / 3u;",
        "    let ci = params.in_c4;",
        "    let co = params.out_c4;",
        "    // Overhanging vec4s are read from the last valid place and not stored.",
        "    let x_over = select(1u, 0u, row + 1u >= ci);",
        "    let y_over = select(1u, 0u, column + 1u >= co);",
    ]
    for kx in range(3):
        for t in "ab":
            for half in (range(4), range(4, 8)):
                o.append("    " + " ".join(f"var {t}{kx}{k} = vec4f();" for k in half))
    o += [
        "    let y_from = u32(max(0, 1 - i32(ky)));",
        "    let y_to = min(params.out_h, params.in_h + 1u - ky);",
        "    let image_from = split * params.split_images;",
        "    let image_to = min(params.batch, image_from + params.split_images);",
        "    for (var n = image_from; n < image_to; n++) {",
        "        for (var oy = y_from; oy < y_to; oy++) {",
        "            var xi = (n * params.in_h + oy + ky - 1u) * params.in_w * ci + row;",
        "            var yi = (n * params.out_h + oy) * params.out_w * co + column;",
        "            var u0 = vec4f();",
        "            var v0 = vec4f();",
        "            var u1 = x[xi];",
        "            var v1 = x[xi + x_over];",
        "            for (var ox = 1u; ox <= params.out_w; ox++) {",
        "                var u2 = vec4f();",
        "                var v2 = vec4f();",
        "                if ox < params.out_w {",
        "                    xi += ci;",
        "                    u2 = x[xi];",
        "                    v2 = x[xi + x_over];",
        "                }",
        "                let da = y[yi];",
        "                let db = y[yi + y_over];",
        "                yi += co;",
    ]
    for kx in range(3):
        for k in range(8):
            v = f"{'u' if k < 4 else 'v'}{kx}.{'xyzw'[k % 4]}"
            for t in "ab":
                o.append(f"                {t}{kx}{k} = fma(d{t}, vec4f({v}), {t}{kx}{k});")
    o += [
        "                u0 = u1;",
        "                v0 = v1;",
        "                u1 = u2;",
        "                v1 = v2;",
        "            }",
        "        }",
        "    }",
    ]
    return o + weight_stores("ab", 2)


def weight_stores(tiles, inputs):
    o = [
        "    var at = ((split * 9u + ky * 3u) * ci + row) * 4u * co + column;",
        STORES,
        "    for (var taps = 3u; taps > 0u; taps--) {",
    ]
    for k in range(4 * inputs):
        if k == 4:
            o.append("        if row + 1u < ci {")
        indent = "            " if k >= 4 else "        "
        for i, t in enumerate(tiles):
            o.append(f"{indent}store_weight({t}0{k}, at + {k}u * co + {i}u, column + {i}u);")
    if inputs == 2:
        o.append("        }")
    o += move_up([[f"{t}{kx}{k}" for t in tiles for k in range(4 * inputs)] for kx in range(3)])
    return [*o, "        at += ci * 4u * co;", "    }", "}"]


SUMS = [
    "    // Sums of dy over the part of the batch, of which each lane has those of its piece.",
    *[f"    let sum{i} = spread{i}(s0, s1) + spread{4 + i}(s0, s1);" for i in range(4)],
    "    if !live {",
    "        return;",
    "    }",
    "    if place == 0u && (params.flags & 32u) != 0u {",
    *[f"        store_sum(sum{i}, split * co, column + {i}u);" for i in range(4)],
    "    }",
]


def weight_gradient_shared():
    """4 input by 16 output channels; the lanes of a subgroup share dy."""
    tiles = "abcd"
    o = [
        "// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.",
        "// One thread makes the 3 taps of a kernel row by 4 input by 16 output channels, and walks along",
        "// the image's lines two pixels at a time with four pixels of x in registers. The lanes of a",
        "// subgroup have the same output channels and share the loads of dy.",
        "@compute @workgroup_size(64)",
        "fn backward_weight(",
        *arguments(True),
        ") {",
        "    let rows = params.in_c4;",
        "    // Kernel rows and input channels of a column, filled up to whole subgroups.",
        "    let inner = (3u * rows + 7u) / 8u * 8u;",
        "    let total = inner * params.column_tiles * params.splits;",
        *BIAS_TILES,
        "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
        "    let safe = min(index, total - 1u);",
        "    let outer = safe / inner;",
        "    let place = safe - outer * inner;",
        "    let live = index < total && place < 3u * rows;",
        "    let ky = min(place / rows, 2u);",
        "    let row = place % rows;",
        "    let column = outer % params.column_tiles * 4u;",
        "    let split = outer / params.column_tiles;",
        "    let ci = params.in_c4;",
        "    let co = params.out_c4;",
        "    // This lane loads channels `piece` of dy of the first or second pixel; overhanging vec4s are",
        "    // read from the last valid place and not stored.",
        "    let piece = min(column + (id & 3u), co - 1u) - column;",
        "    let second = (id & 4u) != 0u;",
        "    let zero = vec4f();",
        "    var s0 = zero;",
        "    var s1 = zero;",
    ]
    for kx in range(3):
        for t in tiles:
            o.append("    " + " ".join(f"var {t}{kx}{k} = vec4f();" for k in range(4)))
    o += [
        "    let image_from = split * params.split_images;",
        "    for (var i = 0u; i < params.split_images; i++) {",
        "        let n = min(image_from + i, params.batch - 1u);",
        "        let counted = image_from + i < params.batch;",
        "        for (var oy = 0u; oy < params.out_h; oy++) {",
        "            let iy = i32(oy + ky) - 1;",
        "            let inside = iy >= 0 && iy < i32(params.in_h);",
        "            let sy = u32(select(0, iy, inside));",
        "            var xi = (n * params.in_h + sy) * params.in_w * ci + row;",
        "            var yi = (n * params.out_h + oy) * params.out_w * co + column;",
        "            var u0 = zero;",
        "            var u1 = select(zero, x[xi], inside);",
        "            for (var ox = 0u; ox < params.out_w; ox += 2u) {",
        "                // Pixels ox + 1 and ox + 2 of x; those of dy are ox and ox + 1.",
        "                let ok1 = inside && ox + 1u < params.in_w;",
        "                let ok2 = inside && ox + 2u < params.in_w;",
        "                let u2 = select(zero, x[select(xi, xi + ci, ok1)], ok1);",
        "                let u3 = select(zero, x[select(xi, xi + 2u * ci, ok2)], ok2);",
        "                xi = select(xi, xi + 2u * ci, ok2);",
        "                let more = ox + 1u < params.out_w;",
        "                let next = select(0u, co, more);",
        "                let f0 = select(zero, y[yi + piece + select(0u, next, second && LANES != 4u)],",
        "                    counted && (more || !second || LANES == 4u));",
        "                let f1 = select(zero, y[yi + piece + next], counted && more && LANES == 4u);",
        "                yi += 2u * co;",
        "                s0 += f0;",
        "                s1 += f1;",
    ]
    for pixel in range(2):
        for i, t in enumerate(tiles):
            o.append(f"                let d{t}{pixel} = spread{4 * pixel + i}(f0, f1);")
    for pixel in range(2):
        for kx in range(3):
            for k in range(4):
                v = f"u{kx + pixel}.{'xyzw'[k]}"
                for t in tiles:
                    o.append(f"                {t}{kx}{k} = fma(d{t}{pixel}, vec4f({v}), {t}{kx}{k});")
    o += [
        "                u0 = u2;",
        "                u1 = u3;",
        "            }",
        "        }",
        "    }",
        *SUMS,
    ]
    return o + weight_stores(tiles, 1)


def product_down(shared):
    """The input gradient at stride 2. With u = x + pad, tap kx reaches dy's column (u - kx) / 2: even
    u have the taps 0 and 2, odd ones the tap 1; the same for lines."""
    tiles = "ab"
    o = [
        "// dx (+)= sum over taps and output channels of dy * weight, for stride 2 and padding 0 or 1 above",
        "// and to the left. One thread makes 8 neighbouring pixels of a line by 8 channels: a pixel counted",
        "// from the padding's edge has two taps in a direction when it is even there, else one, so that 5",
        "// loads of dy serve 12 products. Tiles of lines with two taps come first.",
        "@compute @workgroup_size(64)",
        "fn backward_input_down(",
        *arguments(shared),
        ") {",
        "    let tile = tile_index(workgroup, workgroups);",
        "    let column = tile % params.column_tiles * 2u;",
        "    let even_lines = (params.in_h + 1u - params.pad) / 2u;",
        "    let even_tiles = (params.batch * even_lines * params.strips + 63u) / 64u;",
        "    let even = tile / params.column_tiles < even_tiles;",
        "    let first = select(even_tiles, 0u, even);",
        "    let lines = select((params.in_h + params.pad) / 2u, even_lines, even);",
        "    let rows = params.batch * lines * params.strips;",
        "    let index = (tile / params.column_tiles - first) * 64u + lane;",
        "    if rows == 0u {",
        "        return;",
        "    }",
    ]
    if shared:
        o += [
            "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
            "    let strip = min(index, rows - 1u);",
        ]
    else:
        o += ["    if index >= rows {", "        return;", "    }", "    let strip = index;"]
    o += [
        "    let line = strip / params.strips;",
        "    let su = (strip - line * params.strips) * 8u;",
        "    let image = line / lines;",
        "    let half = line - image * lines;",
        "    let py = 2u * half + select(1u - params.pad, params.pad, even);",
        "    let depth = params.out_c4;",
        "    let width = i32(params.out_w);",
        "    // The 5 pixels of dy from su / 2 - 1, as offsets in a line; outside is zero.",
    ]
    o += [f"    let col{j} = i32(su / 2u) + {j - 1};" for j in range(5)]
    o += [f"    let off{j} = u32(clamp(col{j}, 0, width - 1)) * depth;" for j in range(5)]
    o += [f"    let real{j} = col{j} >= 0 && col{j} < width;" for j in range(5)]
    for t in tiles:
        for half in (range(4), range(4, 8)):
            o.append("    " + " ".join(f"var {t}{j} = vec4f();" for j in half))
    o += [
        "    let zero = vec4f();",
        "    let co = params.out_c4;",
        "    // Columns that overhang read the last valid one again and are not stored.",
        "    let over1 = 4u * co * (min(column + 1u, params.in_c4 - 1u) - column);",
    ]
    if shared:
        o += [
            "    // What this lane loads of the weights of a step.",
            "    let row4 = (id & 3u) * co;",
            "    let second = (id & 4u) != 0u;",
            "    let piece0 = row4 + select(select(0u, over1, second), 0u, LANES == 4u);",
            "    let piece1 = row4 + over1;",
        ]
    o += [
        "    let taps = select(1u, 2u, even);",
        "    for (var k = 0u; k < taps; k++) {",
        "        let ky = select(1u, 2u * k, even);",
        "        let sy = (i32(py + params.pad) - i32(ky)) >> 1u;",
        "        let inside = sy >= 0 && sy < i32(params.out_h);",
        "        let start = (image * params.out_h + u32(select(0, sy, inside))) * params.out_w * depth;",
    ]
    o += [f"        let m{j} = inside && real{j};" for j in range(5)]
    o += [
        "        let tap0 = (ky * 3u * params.in_c4 + column) * 4u * co;",
        "        let tap1 = tap0 + params.in_c4 * 4u * co;",
        "        let tap2 = tap1 + params.in_c4 * 4u * co;",
        "        for (var c = 0u; c < depth; c++) {",
    ]
    o += [f"            let v{j} = select(zero, y[start + off{j} + c], m{j});" for j in range(5)]
    for kx in range(3):
        o += ["            {", f"                let w = tap{kx} + c;"]
        if shared:
            o += [
                "                let f0 = weight[w + piece0];",
                "                let f1 = select(zero, weight[w + piece1], LANES == 4u);",
            ]
            for j, t in enumerate(tiles):
                o += [f"                let r{t}{r} = spread{4 * j + r}(f0, f1);" for r in range(4)]
        else:
            for j, t in enumerate(tiles):
                for r in range(4):
                    row = "" if r == 0 else f" + {r}u * co" if r > 1 else " + co"
                    o.append(f"                let r{t}{r} = weight[w{row}{' + over1' if j else ''}];")
        for t in tiles:
            for k, channel in enumerate("xyzw"):
                parts = ", ".join(f"r{t}{r}.{channel}" for r in range(4))
                o.append(f"                let w{t}{k} = vec4f({parts});")
        for j in range(4):
            at, v = (2 * j + 1, j + 1) if kx == 1 else (2 * j, j + 1 - kx // 2)
            for t in tiles:
                o.append(f"                {t}{at} = mac({t}{at}, v{v}, w{t}0, w{t}1, w{t}2, w{t}3);")
        o.append("            }")
    o += ["        }", "    }"]
    if shared:
        o += ["    if index >= rows {", "        return;", "    }"]
    o.append("    let row = (image * params.in_h + py) * params.in_w;")
    for j in range(8):
        o.append(f"    if su + {j}u >= params.pad && su + {j}u < params.in_w + params.pad {{")
        for i, t in enumerate(tiles):
            o.append(f"        store_input({t}{j}, row + su + {j}u - params.pad, column + {i}u);")
        o.append("    }")
    o.append("}")
    return o


def pointwise(name, columns, back):
    """8 pixels by 4 * columns channels, weights shared."""
    source, depth, width, store = (
        ("y", "out_c4", "in_c4", "store_input") if back else ("x", "in_c4", "out_c4", "store")
    )
    tiles = [COLUMNS[j] for j in range(columns)]
    o = [
        "// dx (+)= sum over output channels of dy * weight."
        if back
        else "// y = bias + sample + residual + sum over input channels of x * weight.",
        "@compute @workgroup_size(64)",
        f"fn {name}(",
        *arguments(True),
        ") {",
        "    let tile = tile_index(workgroup, workgroups);",
        f"    let column = tile % params.column_tiles * {columns}u;",
        "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
        "    let row = (tile / params.column_tiles * 64u + lane) * 8u;",
        "    let last = params.rows - 1u;",
        f"    let depth = params.{depth};",
        "    let co = params.out_c4;",
    ]
    o += plane_starts(8, back)
    for t in tiles:
        for half in (range(4), range(4, 8)):
            o.append("    " + " ".join(f"var {t}{j} = vec4f();" for j in half))
    o += [
        "    let zero = vec4f();",
        "    // Columns that overhang read the last valid one again and are not stored.",
    ]
    factor = "4u * co * " if back else ""
    for j in range(1, columns):
        o.append(f"    let over{j} = {factor}(min(column + {j}u, params.{width} - 1u) - column);")

    def over(j):
        return "0u" if j == 0 else f"over{j}"

    pieces = 4 * columns
    loads8, loads4 = -(-pieces // 8), -(-pieces // 4)
    o += [
        "    // What this lane loads of the weights of a step.",
        "    let row4 = (id & 3u) * co;",
        "    let second = (id & 4u) != 0u;",
    ]
    for m in range(loads4):
        if m < loads8:
            pair = f"select({over(2 * m)}, {over(min(2 * m + 1, columns - 1))}, second)"
            o.append(f"    let piece{m} = row4 + select({pair}, {over(m)}, LANES == 4u);")
        else:
            o.append(f"    let piece{m} = row4 + {over(m)};")
    o += [
        f"    let start = column{' * 4u * co' if back else ''};",
        "    for (var c = 0u; c < depth; c++) {",
        f"        let w = start + {'c' if back else '4u * c * co'};",
        *plane_turn(8, back, "c == params.first_c4"),
    ]
    for m in range(loads4):
        load = f"weight[w + piece{m}]"
        if m >= loads8:
            load = f"select(zero, {load}, LANES == 4u)"
        o.append(f"        let f{m} = {load};")
    names = ", ".join(f"f{m}" for m in range(loads4))
    prefix = "r" if back else "w"
    for j in range(8):
        o.append(f"        let v{j} = {source}[p{j} + c];")
    for j, t in enumerate(tiles):
        spread = "wide_spread" if columns == 4 else "spread"
        o += [f"        let {prefix}{t}{r} = {spread}{4 * j + r}({names});" for r in range(4)]
        if back:
            for k, channel in enumerate("xyzw"):
                parts = ", ".join(f"r{t}{r}.{channel}" for r in range(4))
                o.append(f"        let w{t}{k} = vec4f({parts});")
        for k in range(8):
            o.append(f"        {t}{k} = mac({t}{k}, v{k}, w{t}0, w{t}1, w{t}2, w{t}3);")
    o.append("    }")
    return [*o, *by_pixel(tiles, "min(8u, max(row, params.rows) - row)", store), "}"]


def pointwise_weight():
    """4 input by 16 output channels; the lanes of a subgroup share dy."""
    tiles = "abcd"
    o = [
        "// dweight (+)= sum over the pixels of a part of the batch of x times dy. One thread makes 4 input",
        "// by 16 output channels, two pixels at a time. The lanes of a subgroup have the same output",
        "// channels and share the loads of dy.",
        "@compute @workgroup_size(64)",
        "fn backward_weight(",
        *arguments(True),
        ") {",
        "    let rows = params.in_c4;",
        "    // Input channels of a column, filled up to whole subgroups.",
        "    let inner = (rows + 7u) / 8u * 8u;",
        "    let total = inner * params.column_tiles * params.splits;",
        *BIAS_TILES,
        "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
        "    let safe = min(index, total - 1u);",
        "    let outer = safe / inner;",
        "    let place = safe - outer * inner;",
        "    let live = index < total && place < rows;",
        "    let row = min(place, rows - 1u);",
        "    let column = outer % params.column_tiles * 4u;",
        "    let split = outer / params.column_tiles;",
        "    let ci = params.in_c4;",
        "    let co = params.out_c4;",
        "    // This lane loads channels `piece` of dy of the first or second pixel.",
        "    let piece = min(column + (id & 3u), co - 1u);",
        "    let second = (id & 4u) != 0u;",
        "    let zero = vec4f();",
        "    var s0 = zero;",
        "    var s1 = zero;",
    ]
    for t in tiles:
        o.append("    " + " ".join(f"var {t}{k} = vec4f();" for k in range(4)))
    o += [
        "    let other = row >= params.first_c4;",
        "    let width = select(params.first_c4, ci - params.first_c4, other);",
        "    let origin = select(row, params.second + row - params.first_c4, other);",
        "    let pixels = params.out_h * params.out_w;",
        "    // Splits have one length, so that the lanes of a subgroup make the same turns.",
        "    let first = split * params.split_images * pixels;",
        "    let end = min(first + params.split_images * pixels, params.batch * pixels);",
        "    let turns = (params.split_images * pixels + 1u) / 2u;",
        "    for (var i = 0u; i < turns; i++) {",
        "        let n = first + 2u * i;",
        "        let counted = n < end;",
        "        let more = n + 1u < end;",
        "        let at0 = select(0u, n, counted);",
        "        let at1 = select(0u, n + 1u, more);",
        "        let u0 = x[origin + at0 * width];",
        "        let u1 = x[origin + at1 * width];",
        "        let mine = select(at0, at1, second && LANES != 4u);",
        "        let f0 = select(zero, y[mine * co + piece], select(counted, more, second && LANES != 4u));",
        "        let f1 = select(zero, y[at1 * co + piece], more && LANES == 4u);",
        "        s0 += f0;",
        "        s1 += f1;",
    ]
    for pixel in range(2):
        for i, t in enumerate(tiles):
            o.append(f"        let d{t}{pixel} = spread{4 * pixel + i}(f0, f1);")
    for pixel in range(2):
        for k in range(4):
            for t in tiles:
                o.append(f"        {t}{k} = fma(d{t}{pixel}, vec4f(u{pixel}.{'xyzw'[k]}), {t}{k});")
    o += ["    }", *SUMS, "    let at = (split * ci + row) * 4u * co + column;"]
    for k in range(4):
        for i, t in enumerate(tiles):
            o.append(f"    store_weight({t}{k}, at + {k}u * co + {i}u, column + {i}u);")
    o.append("}")
    return o


def channel_weights(taps, back, indent):
    """Loads of the weights of one channel for 16 others, and their spreading: w{tap}{tile}."""
    o = []
    for k in range(taps):
        at = f"tap{k} + {'c' if back else '(4u * c + h) * co'} + piece"
        if back:
            rows = ["", " + co", " + 2u * co", " + 3u * co"]
            parts = ", ".join(f"weight[at{k}{r}][h]" for r in rows)
            o += [f"{indent}let at{k} = {at};", f"{indent}let f{k} = vec4f({parts});"]
        else:
            o.append(f"{indent}let f{k} = weight[{at}];")
        o += [f"{indent}let w{k}{t} = subgroupBroadcast(f{k}, {i}u);" for i, t in enumerate("abcd")]
    return o


def narrow_piece(back, width):
    factor = "4u * co * " if back else ""
    return [
        "    let co = params.out_c4;",
        "    // What this lane loads of the weights; columns that overhang are read from the last valid one",
        "    // and not stored.",
        f"    let piece = {factor}(min(column + (id & 3u), params.{width} - 1u) - column);",
    ]


def narrow_product(name, back):
    """4 pixels by 16 channels of a 3x3 convolution, one channel of the source at a time."""
    source, depth, width, store = (
        ("y", "out_c4", "in_c4", "store_input") if back else ("x", "in_c4", "out_c4", "store")
    )
    tiles, pixels = "abcd", 4
    o = [
        "// dx (+)= sum over taps and output channels of dy * weight, mirrored."
        if back
        else "// y = bias + sample + residual + sum over taps and input channels of x * weight.",
        "@compute @workgroup_size(64)",
        f"fn {name}(",
        *arguments(True),
        ") {",
        "    let tile = tile_index(workgroup, workgroups);",
        "    let column = tile % params.column_tiles * 4u;",
        "    let index = tile / params.column_tiles * 64u + lane;",
        "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
        "    let strip = min(index, params.rows - 1u);",
        "    let line = strip / params.strips;",
        f"    let px = (strip - line * params.strips) * {pixels}u;",
        "    let image = line / params.in_h;",
        "    let py = i32(line - image * params.in_h);",
        f"    let depth = params.{depth};",
        "    let width = i32(params.in_w);",
        "    // The window: 6 pixels from px - 1, as offsets in a line; outside is zero.",
    ]
    window = range(pixels + 2)
    o += [f"    let col{j} = i32(px) + {j - 1};" for j in window]
    o += [f"    let off{j} = u32(clamp(col{j}, 0, width - 1)) * depth;" for j in window]
    o += [f"    let real{j} = col{j} >= 0 && col{j} < width;" for j in window]
    for t in tiles:
        o.append("    " + " ".join(f"var {t}{j} = vec4f();" for j in range(pixels)))
    o += narrow_piece(back, width)
    o += [
        "    for (var ky = 0i; ky < 3; ky++) {",
        "        let sy = py + " + ("1 - ky;" if back else "ky - 1;"),
        "        let inside = sy >= 0 && sy < i32(params.in_h);",
        "        let start = (image * params.in_h + u32(select(py, sy, inside))) * params.in_w * depth;",
    ]
    o += [f"        let m{j} = inside && real{j};" for j in window]
    o += [
        "        let tap0 = (u32(ky) * 3u * params.in_c4 + column) * 4u * co;"
        if back
        else "        let tap0 = u32(ky) * 3u * params.in_c4 * 4u * co + column;",
        "        let tap1 = tap0 + params.in_c4 * 4u * co;",
        "        let tap2 = tap1 + params.in_c4 * 4u * co;",
        "        for (var k = 0u; k < 4u * depth; k++) {",
        "            let c = k / 4u;",
        "            let h = k % 4u;",
    ]
    o += [f"            let v{j} = vec4f(select(0.0, {source}[start + off{j} + c][h], m{j}));" for j in window]
    o += channel_weights(3, back, "            ")
    for kx in range(3):
        for j in range(pixels):
            v = f"v{j + (2 - kx if back else kx)}"
            o += [f"            {t}{j} = fma(w{kx}{t}, {v}, {t}{j});" for t in tiles]
    o += ["        }", "    }", "    if index >= params.rows {", "        return;", "    }"]
    o += ["    let row = line * params.in_w + px;", "    let count = params.in_w - px;"]
    for j in range(pixels):
        o.append(f"    if count > {j}u {{")
        o += [f"        {store}({t}{j}, row + {j}u, column + {i}u);" for i, t in enumerate(tiles)]
        o.append("    }")
    o.append("}")
    return o


def narrow_pointwise(name, back):
    """8 pixels by 16 channels of a 1x1 convolution, one channel of the source at a time."""
    source, depth, width, store = (
        ("y", "out_c4", "in_c4", "store_input") if back else ("x", "in_c4", "out_c4", "store")
    )
    tiles, pixels = "abcd", 8
    o = [
        "// dx (+)= sum over output channels of dy * weight."
        if back
        else "// y = bias + sample + residual + sum over input channels of x * weight.",
        "@compute @workgroup_size(64)",
        f"fn {name}(",
        *arguments(True),
        ") {",
        "    let tile = tile_index(workgroup, workgroups);",
        "    let column = tile % params.column_tiles * 4u;",
        "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
        f"    let row = (tile / params.column_tiles * 64u + lane) * {pixels}u;",
        "    let last = params.rows - 1u;",
        f"    let depth = params.{depth};",
    ]
    o += plane_starts(pixels, back)
    for t in tiles:
        for half in (range(4), range(4, 8)):
            o.append("    " + " ".join(f"var {t}{j} = vec4f();" for j in half))
    o += narrow_piece(back, width)
    o += [
        f"    let tap0 = column{' * 4u * co' if back else ''};",
        "    for (var k = 0u; k < 4u * depth; k++) {",
        "        let c = k / 4u;",
        "        let h = k % 4u;",
        *plane_turn(pixels, back, "k == 4u * params.first_c4"),
    ]
    o += channel_weights(1, back, "        ")
    for j in range(pixels):
        o.append(f"        let v{j} = vec4f({source}[p{j} + c][h]);")
        o += [f"        {t}{j} = fma(w0{t}, v{j}, {t}{j});" for t in tiles]
    o.append("    }")
    for j in range(pixels):
        o.append(f"    if row + {j}u < params.rows {{")
        o += [f"        {store}({t}{j}, row + {j}u, column + {i}u);" for i, t in enumerate(tiles)]
        o.append("    }")
    o.append("}")
    return o


def narrow_weight():
    """2 input by 16 output channels; the lanes of a subgroup share dy."""
    tiles = "abcd"
    o = [
        "// dweight (+)= sum over the pixels of a part of the batch of x (shifted by the tap) times dy.",
        "// One thread makes the 3 taps of a kernel row by 2 input by 16 output channels, and walks along",
        "// the image's lines two pixels at a time with four pixels of x in registers. The lanes of a",
        "// subgroup have the same output channels and share the loads of dy.",
        "@compute @workgroup_size(64)",
        "fn backward_weight(",
        *arguments(True),
        ") {",
        "    // Half the vec4s of input channels.",
        "    let rows = 2u * params.in_c4;",
        "    // Kernel rows and input channels of a column, filled up to whole subgroups.",
        "    let inner = (3u * rows + 7u) / 8u * 8u;",
        "    let total = inner * params.column_tiles * params.splits;",
        *BIAS_TILES,
        "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
        "    let safe = min(index, total - 1u);",
        "    let outer = safe / inner;",
        "    let place = safe - outer * inner;",
        "    let live = index < total && place < 3u * rows;",
        "    let ky = min(place / rows, 2u);",
        "    let row = place % rows / 2u;",
        "    let part = place % 2u * 2u;",
        "    let column = outer % params.column_tiles * 4u;",
        "    let split = outer / params.column_tiles;",
        "    let ci = params.in_c4;",
        "    let co = params.out_c4;",
        "    // This lane loads channels `piece` of dy; overhanging vec4s are read from the last valid place",
        "    // and not stored.",
        "    let piece = min(column + (id & 3u), co - 1u);",
        "    let zero = vec4f();",
        "    var s0 = zero;",
    ]
    for kx in range(3):
        for t in tiles:
            o.append("    " + " ".join(f"var {t}{kx}{k} = vec4f();" for k in range(2)))
    load = lambda at: [f"x[{at}][part]", f"x[{at}][part + 1u]"]  # noqa: E731
    o += [
        "    let image_from = split * params.split_images;",
        "    for (var i = 0u; i < params.split_images; i++) {",
        "        let n = min(image_from + i, params.batch - 1u);",
        "        let counted = image_from + i < params.batch;",
        "        for (var oy = 0u; oy < params.out_h; oy++) {",
        "            let iy = i32(oy + ky) - 1;",
        "            let inside = iy >= 0 && iy < i32(params.in_h);",
        "            let sy = u32(select(0, iy, inside));",
        "            var xi = (n * params.in_h + sy) * params.in_w * ci + row;",
        "            var yi = (n * params.out_h + oy) * params.out_w * co + piece;",
    ]
    for k in range(2):
        o.append(f"            var u0{k} = 0.0;")
        o.append(f"            var u1{k} = select(0.0, {load('xi')[k]}, inside);")
    o += [
        "            for (var ox = 0u; ox < params.out_w; ox += 2u) {",
        "                // Pixels ox + 1 and ox + 2 of x; those of dy are ox and ox + 1.",
        "                let ok1 = inside && ox + 1u < params.in_w;",
        "                let ok2 = inside && ox + 2u < params.in_w;",
        "                let next1 = select(xi, xi + ci, ok1);",
        "                let next2 = select(xi, xi + 2u * ci, ok2);",
    ]
    for p in (1, 2):
        for k in range(2):
            o.append(f"                let u{p + 1}{k} = select(0.0, {load(f'next{p}')[k]}, ok{p});")
    o += [
        "                xi = next2;",
        "                let more = ox + 1u < params.out_w;",
        "                let f0 = select(zero, y[yi], counted);",
        "                let f1 = select(zero, y[yi + select(0u, co, more)], counted && more);",
        "                yi += 2u * co;",
        "                s0 += f0 + f1;",
    ]
    for pixel in range(2):
        for i, t in enumerate(tiles):
            o.append(f"                let d{t}{pixel} = subgroupBroadcast(f{pixel}, {i}u);")
        for kx in range(3):
            for k in range(2):
                for t in tiles:
                    o.append(
                        f"                {t}{kx}{k} = fma(d{t}{pixel}, vec4f(u{kx + pixel}{k}), {t}{kx}{k});"
                    )
    for k in range(2):
        o += [f"                u0{k} = u2{k};", f"                u1{k} = u3{k};"]
    o += [
        "            }",
        "        }",
        "    }",
        "    // Sums of dy over the part of the batch, of which each lane has those of its piece.",
        *[f"    let sum{i} = subgroupBroadcast(s0, {i}u);" for i in range(4)],
        *SUMS[5:],
        "    var at = ((split * 9u + ky * 3u) * ci + row) * 4u * co + part * co + column;",
    ]
    for kx in range(3):
        for k in range(2):
            for i, t in enumerate(tiles):
                o.append(f"    store_weight({t}{kx}{k}, at + {k}u * co + {i}u, column + {i}u);")
        if kx < 2:
            o.append("    at += ci * 4u * co;")
    o.append("}")
    return o


WINOGRAD_FUNCTIONS = """\
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
@COLUMNS@
}"""


def winograd_functions():
    lines = []
    for j in range(4):
        lines.append(f"    let u{j} = spread_taps(a[{j}], b[{j}], c[{j}]);")
        lines += [f"    transformed[to + {4 * (4 * i + j)}u] = u{j}[{i}];" for i in range(4)]
    return WINOGRAD_FUNCTIONS.replace("@COLUMNS@", "\n".join(lines))


def winograd(name, back, columns):
    """4 tiles of 2 x 2 pixels by 4 * columns channels."""
    source, depth, width, store = (
        ("y", "out_c4", "in_c4", "store_input") if back else ("x", "in_c4", "out_c4", "store")
    )
    tiles, blocks, pixels = COLUMNS[:columns], 4, 10
    o = [
        "// dx (+)= sum over taps and output channels of dy * weight, mirrored."
        if back
        else "// y = bias + sample + residual + sum over taps and input channels of x * weight.",
        "@compute @workgroup_size(16)",
        f"fn {name}(",
        *arguments(True),
        ") {",
        "    let tile = tile_index(workgroup, workgroups);",
        f"    let column = tile % params.column_tiles * {columns}u;",
        "    let index = tile / params.column_tiles * 16u + lane;",
        "    // Lanes beyond the end go along, as the subgroup needs them all; they store nothing.",
        "    let strip = min(index, params.rows - 1u);",
        "    let pair = strip / params.strips;",
        "    let px = (strip - pair * params.strips) * 8u;",
        "    let pairs = (params.in_h + 1u) / 2u;",
        "    let image = pair / pairs;",
        "    let py = (pair - image * pairs) * 2u;",
        f"    let depth = params.{depth};",
        "    let width = i32(params.in_w);",
        "    let height = i32(params.in_h);",
        "    let co = params.out_c4;",
        "    let zero = vec4f();",
        "    // The window: 10 pixels from px - 1, as offsets in a line; outside is zero.",
    ]
    for j in range(pixels):
        o.append(f"    let col{j} = i32(px) + {j - 1};")
        o.append(f"    let off{j} = u32(clamp(col{j}, 0, width - 1)) * depth;")
        o.append(f"    let real{j} = col{j} >= 0 && col{j} < width;")
    o += [
        "    // What this lane loads of the weights of a step. Columns that overhang read the last valid one",
        "    // again and are not stored.",
        f"    let last = params.{width} - 1u;",
        "    let second = (id & 4u) / 4u;",
    ]
    stride = "64u * co" if back else "64u"
    for m in range(columns // 2):
        o.append(f"    let piece{m} = {stride} * min(column + {2 * m}u + second, last) + (id & 3u);")
    for t in tiles:
        o += ["    " + " ".join(f"var y{t}{b}{k} = zero;" for k in range(4)) for b in range(blocks)]
    o += [
        "    for (var i = 0u; i < 4u; i++) {",
        "        // Row i of B^T d: d0 - d2, d1 + d2, d2 - d1, d1 - d3.",
        "        let line0 = i32(py + select(min(i, 2u), 1u, i == 3u)) - 1;",
        "        let line1 = i32(py + select(select(2u, 1u, i == 2u), 3u, i == 3u)) - 1;",
        "        let sign = select(-1.0, 1.0, i == 1u);",
        "        let image_line = image * params.in_h;",
        "        let start0 = (image_line + u32(clamp(line0, 0, height - 1))) * params.in_w * depth;",
        "        let start1 = (image_line + u32(clamp(line1, 0, height - 1))) * params.in_w * depth;",
        "        let inside0 = line0 >= 0 && line0 < height;",
        "        let inside1 = line1 >= 0 && line1 < height;",
        "        let taps = select(i, 3u - i, i % 3u == 0u) * 16u;" if back else "        let taps = i * 16u;",
    ]
    for t in tiles:
        o += ["        " + " ".join(f"var {t}{b}{j} = zero;" for j in range(4)) for b in range(blocks)]
    o.append("        for (var c = 0u; c < depth; c++) {")
    o += [f"            var d{j} = zero;" for j in range(pixels)]
    o += [
        "            // A loop, as it keeps the code in the processor's cache.",
        "            for (var k = 0u; k < 2u; k++) {",
        "                let start = select(start0, start1, k == 1u) + c;",
        "                let inside = select(inside0, inside1, k == 1u);",
        "                let factor = select(1.0, sign, k == 1u);",
    ]
    o += [
        f"                d{j} += factor * select(zero, {source}[start + off{j}], inside && real{j});"
        for j in range(pixels)
    ]
    o.append("            }")
    o.append("            let base = " + ("c * 64u + taps;" if back else "c * co * 64u + taps;"))
    for j in range(4):
        xi = [3, 1, 2, 0][j] if back else j
        o.append("            {")
        o.append(f"                let w = base + {4 * xi}u;")
        o += [f"                let f{m} = transformed[w + piece{m}];" for m in range(columns // 2)]
        prefix = "r" if back else "w"
        for n, t in enumerate(tiles):
            for r in range(4):
                piece = 4 * n + r
                o.append(f"                let {prefix}{t}{r} = subgroupBroadcast(f{piece // 8}, {piece % 8}u);")
            if back:
                for k, channel in enumerate("xyzw"):
                    parts = ", ".join(f"r{t}{r}.{channel}" for r in range(4))
                    o.append(f"                let w{t}{k} = vec4f({parts});")
        for b in range(blocks):
            d = [f"d{2 * b + k}" for k in range(4)]
            column = [f"{d[0]} - {d[2]}", f"{d[1]} + {d[2]}", f"{d[2]} - {d[1]}", f"{d[1]} - {d[3]}"][j]
            o.append(f"                let v{b} = {column};")
            for t in tiles:
                o.append(f"                {t}{b}{j} = mac({t}{b}{j}, v{b}, w{t}0, w{t}1, w{t}2, w{t}3);")
        o.append("            }")
    o += [
        "        }",
        "        // Column i of A^T.",
        "        let upper = select(1.0, 0.0, i == 3u);",
        "        let lower = select(select(-1.0, 1.0, i == 1u), 0.0, i == 0u);",
    ]
    for t in tiles:
        for b in range(blocks):
            n = f"{t}{b}"
            o += [
                "        {",
                f"            let left = {n}0 + {n}1 + {n}2;",
                f"            let right = {n}1 - {n}2 - {n}3;",
                f"            y{n}0 += upper * left;",
                f"            y{n}1 += upper * right;",
                f"            y{n}2 += lower * left;",
                f"            y{n}3 += lower * right;",
                "        }",
            ]
    o += ["    }", "    if index >= params.rows {", "        return;", "    }"]
    o.append("    let row = (image * params.in_h + py) * params.in_w + px;")
    stores = [] if back else ["        let add = addend(image, column + t);"]
    for line in range(2):
        for p in range(8):
            value = f"y{tiles[0]}{p // 2}{2 * line + p % 2}" + ("" if back else " + add")
            stores += [
                f"        if py + {line}u < params.in_h && px + {p}u < params.in_w {{",
                f"            {store}({value}, row + {line}u * params.in_w + {p}u, column + t);",
                "        }",
            ]
    names = [f"y*{b}{k}" for b in range(blocks) for k in range(4)]
    return [*o, *by_column(tiles, names, width, stores), "}"]


def files():
    def text(head, *parts):
        return head + "".join("\n" + "\n".join(p).rstrip("\n") + "\n" for p in parts)

    yield "conv3x3.wgsl", text(
        HEAD.format(text=PRODUCTS),
        [PRODUCT_FUNCTIONS],
        [WEIGHT_FUNCTIONS],
        product("forward", 2, False, False),
        product("backward_input", 2, False, True),
        product_down(False),
        weight_gradient(),
    )
    yield "conv3x3_subgroup.wgsl", text(
        HEAD.format(text=PRODUCTS + SHARING),
        [PRODUCT_FUNCTIONS],
        spread_functions(8)[0],
        product("forward", 2, True, False),
        product("backward_input", 2, True, True),
        product_down(True),
    )
    yield "conv3x3_wide.wgsl", text(
        HEAD.format(text=WIDE),
        [WEIGHT_FUNCTIONS],
        [SUM_FUNCTIONS],
        spread_functions(8)[0],
        weight_gradient_shared(),
    )
    yield "conv1x1_subgroup.wgsl", text(
        HEAD.format(text=POINTWISE + SHARING),
        [PLANE_FUNCTIONS],
        [WEIGHT_FUNCTIONS],
        [SUM_FUNCTIONS],
        spread_functions(16, "wide_spread")[0],
        spread_functions(8)[0],
        pointwise("forward", 4, False),
        pointwise("backward_input", 4, True),
        pointwise_weight(),
    )
    yield "conv3x3_narrow.wgsl", text(
        HEAD.format(text=NARROW),
        [PRODUCT_FUNCTIONS],
        [WEIGHT_FUNCTIONS],
        [SUM_FUNCTIONS],
        narrow_product("forward", False),
        narrow_product("backward_input", True),
        narrow_weight(),
    )
    yield "conv1x1_narrow.wgsl", text(
        HEAD.format(text=NARROW.replace("3x3 convolution with stride 1 and padding 1", "1x1 convolution")),
        [PLANE_FUNCTIONS],
        narrow_pointwise("forward", False),
        narrow_pointwise("backward_input", True),
    )
    yield "conv3x3_winograd.wgsl", text(
        HEAD.format(text=WINOGRAD)
        + "// [Cin, Cout, 4, 4, 4]: for four input and four output channels, rows and columns of the transform,\n"
        + "// then the input channels\n"
        + "@group(0) @binding(7) var<storage, read_write> transformed: array<vec4f>;\n",
        [winograd_functions()],
        winograd("forward", False, 8),
        winograd("backward_input", True, 8),
        winograd("forward_24", False, 6),
        winograd("backward_input_24", True, 6),
    )


def main():
    stale = False
    for name, content in files():
        path = SHADERS / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != content:
                print(f"{path.name} is not what scripts/make_convolutions.py writes")
                stale = True
        else:
            path.write_text(content)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())


// Sums of dy over the pixels of an image or of several: thread `index` takes four channels of a row
// of sums. Those of single images are the gradient of `sample`, all together that of the bias.
fn image_sums(index: u32) {
    if index >= params.sum_rows * params.out_c4 {
        return;
    }
    let row = index / params.out_c4;
    let column = index - row * params.out_c4;
    let first = row * params.sum_pixels;
    let pixels = min(params.sum_pixels, params.batch * params.out_h * params.out_w - first);
    let step = params.out_c4;
    var at = first * step + column;
    // Four partial sums keep the rounding error of many pixels down.
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var p = 0u;
    for (; p + 4u <= pixels; p += 4u) {
        s0 += y[at];
        s1 += y[at + step];
        s2 += y[at + 2u * step];
        s3 += y[at + 3u * step];
        at += 4u * step;
    }
    for (; p < pixels; p++) {
        s0 += y[at];
        at += step;
    }
    let sum = (s0 + s1) + (s2 + s3);
    if (params.flags & 1u) != 0u {
        bias[index] = sum;
    }
    if (params.flags & 2u) != 0u {
        let to = row * params.sample_c4 + params.sample_first + column;
        sample[to] = select(sum, sum + sample[to], (params.flags & 16u) != 0u);
    }
}

//! The network's room.

use noiselab::{
    diffusion::Objective,
    gpu::timing::Clock,
    nn::{profile::KernelKind, roofline::Roofline, unet_map::MapKind},
    session::{command::ProfilePass, event::ProfileStage},
};

/// In the rail.
pub const TITLE: &str = "Network";

/// How the network is shown.
pub const VIEW: &str = "View";
/// Its tooltip.
pub const VIEW_TIP: &str = "The network as a drawing, or as a table of its blocks.";
/// The drawing.
pub const DRAWING: &str = "Drawing";
/// The table.
pub const TABLE: &str = "Table";
/// What the numbers under the blocks are.
pub const MEASURE: &str = "Under each block";
/// Its tooltip.
pub const MEASURE_TIP: &str = "Which figure stands under each block, with a bar for its share.";
/// Numbers in the parameters.
pub const PARAMETERS: &str = "Parameters";
/// Its tooltip.
pub const PARAMETERS_TIP: &str = "Numbers that training adjusts.";
/// Floating-point operations.
pub const FLOPS: &str = "Operations";
/// Its tooltip.
pub const FLOPS_TIP: &str =
    "Floating-point operations for one image, forward; a product and its sum count as two.";
/// Bytes of activations.
pub const MEMORY: &str = "Memory";
/// Its tooltip.
pub const MEMORY_TIP: &str = "Bytes of the layers' outputs for one image, which training keeps.";
/// Whether gradients are shown.
pub const GRADIENTS: &str = "Gradients";
/// Its tooltip.
pub const GRADIENTS_TIP: &str =
    "Also shows how the loss would change with each block's output; costs a backward pass.";
/// Looks again.
pub const AGAIN: &str = "Look again";
/// Its tooltip.
pub const AGAIN_TIP: &str =
    "Sends the picture through the network once more; its weights change while it is trained.";

/// There is no model.
pub const NO_MODEL: &str = "The network is being opened.";
/// There is no picture.
pub const NO_PICTURE: &str = "There is no picture to send through the network: choose one in the room of the forward process.";
/// While pipelines are made.
pub const PREPARING: &str = "Preparing the network";
/// While there is no answer.
pub const LOOKING: &str = "Sending the picture through the network …";

/// What goes in and comes out.
pub const IO: &str = "In and out";
/// The tiles of it: names for screen readers and captions.
pub const IO_TILES: [(&str, &str); 4] = [
    ("Noisy image", "$x_t$"),
    ("Noise in it", "$\\epsilon$"),
    ("Predicted noise", "$\\hat{\\epsilon}$"),
    ("Predicted image", "$\\hat{x}_0$"),
];
/// Mean squared error, of what the network predicts.
pub const fn mse(objective: Objective) -> &'static str {
    match objective {
        Objective::Epsilon => "Mean squared error of the noise",
        Objective::Sample => "Mean squared error of the image",
        Objective::VPrediction => "Mean squared error of v",
    }
}
/// Its tooltip: of what.
pub const fn mse_tip(objective: Objective) -> &'static str {
    match objective {
        Objective::Epsilon => {
            "Of the predicted noise against the noise that was mixed in, over all pixels: what this network's loss is made of. The predicted image follows from the predicted noise."
        }
        Objective::Sample => {
            "Of the predicted image against the picture itself, over all pixels: what this network's loss is made of. The predicted noise follows from the predicted image."
        }
        Objective::VPrediction => {
            "Of the predicted velocity v, over all pixels: what this network's loss is made of. The predicted noise and the predicted image follow from it."
        }
    }
}
/// The timestep.
pub const T: &str = "t";
/// Its tooltip.
pub const T_TIP: &str = "The timestep that the network is told; the time scrubber sets it.";

/// Shapes.
pub const SHAPE: &str = "Shape";
/// Their tooltip.
pub const SHAPE_TIP: &str = "Channels × height × width of what goes in and what comes out.";
/// A skip connection.
pub const SKIP: &str = "Skip connection";
/// Its tooltip.
pub const SKIP_TIP: &str = "The block at its other end; click to go there.";
/// The whole network.
pub const WHOLE: &str = "Whole network";
/// What a block puts out.
pub const OUTPUT: &str = "What it puts out";
/// Gradients of it.
pub const GRADIENT: &str = "Gradient of the loss by it";
/// What colours mean.
pub const CHANNELS_HINT: &str =
    "One tile a channel, each scaled to its largest value: blue is negative, orange is positive.";
/// Formulas.
pub const FORMULA: &str = "Formula";
/// Sources.
pub const SOURCE: &str = "WGSL source";
/// Their tooltip.
pub const SOURCE_TIP: &str = "The shader that computes this block on the device.";
/// The choice of a file.
pub const SOURCE_FILE: &str = "File";
/// Its tooltip.
pub const SOURCE_FILE_TIP: &str = "The shaders that this block runs, most operations first.";

/// The heat maps of the embedding.
pub const EMBEDDING: &str = "Time embedding";
/// The two vectors.
pub const EMBEDDING_PARTS: [&str; 2] = ["Sines and cosines of t", "What the blocks get"];
/// What to do.
pub const EMBEDDING_HINT: &str =
    "One cell a number; the pointer reads them. Move the time to see which change fast.";

/// Where attention looks.
pub const ATTENTION: &str = "Where it looks";
/// What to do.
pub const ATTENTION_HINT: &str =
    "Point at a place in the picture: bright is where it looks. A click keeps the place.";
/// The choice of a head.
pub const HEAD: &str = "Head";
/// Its tooltip.
pub const HEAD_TIP: &str = "One head of the attention, or the mean over all.";
/// All heads.
pub const HEAD_MEAN: &str = "Mean";
/// Row of the place.
pub const ROW: &str = "Row";
/// Column of the place.
pub const COLUMN: &str = "Column";
/// Their tooltip.
pub const PLACE_TIP: &str = "The place whose attention is shown, counted from the top left.";

/// Columns of the table.
pub const TABLE_COLUMNS: [&str; 5] = ["Block", "Output", PARAMETERS, FLOPS, MEMORY];

/// Begins a profile.
pub const PROFILE: &str = "Profile";
/// Its tooltip.
pub const PROFILE_TIP: &str = "Times every kernel of this network on this device and shows where the time goes. Training waits meanwhile.";
/// Begins it anew.
pub const PROFILE_AGAIN: &str = "Time again";
/// Ends it.
pub const STOP: &str = "Stop";
/// Its tooltip.
pub const STOP_TIP: &str = "Stops timing; the last profile stays.";
/// The profile.
pub const TIME: &str = "Where the time goes";
/// What is timed.
pub const PASS: &str = "What is timed";
/// Its tooltip.
pub const PASS_TIP: &str = "A training step (forward, backward, update), or one evaluation as in the reverse process. A run in training is not touched: the profile has memory of its own.";
/// The number of images.
pub const IMAGES: &str = "Images at once";
/// Its tooltip.
pub const IMAGES_TIP: &str =
    "How many images go through the network together; more of them use a large device better.";
/// Before there is news.
pub const PROFILE_BEGINS: &str = "The profile begins …";
/// The passes.
pub const fn pass(pass: ProfilePass) -> &'static str {
    match pass {
        ProfilePass::Step => "Training step",
        ProfilePass::Evaluation => "Evaluation",
    }
}
/// What is going on.
pub const fn stage(stage: ProfileStage) -> &'static str {
    match stage {
        ProfileStage::Roofline => {
            "Finding out what this device can do at most: a large matrix product and a copy …"
        }
        ProfileStage::WarmUp => "Running everything once …",
        ProfileStage::Timing => "Timing the kernels …",
    }
}
/// While pipelines are made.
pub fn preparing(done: usize, of: usize) -> String {
    format!("{PREPARING}: {done} of {of}")
}

/// What was timed: the caption of the total.
pub fn timed(of: ProfilePass, images: usize, checkpointed: bool) -> String {
    let images = match images {
        1 => "1 image".to_owned(),
        n => format!("{n} images"),
    };
    let again = if checkpointed {
        ", activations recomputed"
    } else {
        ""
    };
    format!("{}, {images}{again}", pass(of))
}
/// Its tooltip.
pub const TIMED_TIP: &str =
    "The sum over all kernels, each timed by itself: the median of up to three runs.";
/// Time of one image.
pub const PER_IMAGE: &str = "An image";
/// Its tooltip.
pub const PER_IMAGE_TIP: &str = "The same, divided by the number of images.";
/// Operations a second.
pub const RATE: &str = "Speed";
/// Its tooltip.
pub const RATE_TIP: &str = "Floating-point operations a second, those of direct convolution.";
/// Share of the best product.
pub const OF_BEST: &str = "Of the best product";
/// Its tooltip.
pub fn of_best_tip(roofline: &Roofline) -> String {
    format!(
        "Speed against the fastest large matrix product that was found on this device: {} ({}). Its memory copies {:.1} GB/s.",
        gflops(roofline.flops_per_s),
        roofline.kernel,
        roofline.bytes_per_s / 1e9
    )
}
/// Share of the roofline.
pub const OF_ROOFLINE: &str = "Of the roofline";
/// Its tooltip.
pub const OF_ROOFLINE_TIP: &str = "The least time that the device's product and copy allow, kernel by kernel, against the time taken. Data that are still in a cache can bring it above 100 %.";
/// Memory in use.
pub const ALIVE: &str = "Memory alive";
/// Its tooltip.
pub const ALIVE_TIP: &str = "Bytes of activations and gradients that are still needed, at most; weights are not counted. The thin strips show how they grow and shrink.";
/// The dearest kernels.
pub const DEAREST: &str = "The dearest kernels";
/// One of them.
pub fn dearest(count: usize, seconds: f64, reached: f64, bound: &str) -> String {
    let times = match count {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    };
    format!("{}, {times}, {} {bound}", time(seconds), percent(reached))
}
/// What bounds a kernel, after its share of it.
pub const fn bound(by_product: bool) -> &'static str {
    if by_product {
        "of the best product"
    } else {
        "of the copy"
    }
}
/// How near a kernel comes to what the device can do.
pub fn reached(share: f64, bound: &str) -> String {
    format!("{} {bound}", percent(share))
}
/// What is under the pointer.
pub const BLOCK: &str = "Block";
/// The layer.
pub const LAYER: &str = "Layer";
/// Forward or backward.
pub const PASS_OF: &str = "Pass";
/// Time of a kernel or block.
pub const TIME_OF: &str = "Time";
/// Bytes moved.
pub const MOVED: &str = "Bytes moved";
/// Against the roofline.
pub const REACHED: &str = "Reached";
/// Number of kernels.
pub const DISPATCHES: &str = "Dispatches";
/// The time of the selected block, kernel by kernel.
pub const TIME_OF_BLOCK: &str = "Time of this block";
/// The whole of it.
pub const OF_BLOCK: &str = "This block";
/// Its tooltip.
pub const OF_BLOCK_TIP: &str = "Time of all kernels of this block, and its share of the whole.";
/// Columns of a block's kernels.
pub const TIME_COLUMNS: [&str; 7] = [PASS_OF, "Kernel", TIME_OF, "Share", REACHED, FLOPS, MOVED];
/// The rows of the strip, for screen readers.
pub const KERNELS_BAND: [&str; 2] = ["Kernels forward", "Kernels backward"];
/// The memory beside them.
pub const MEMORY_BAND: [&str; 2] = ["Memory alive forward", "Memory alive backward"];
/// Which way a row goes, beside it.
pub const ROWS: [&str; 2] = ["forward →", "back ←"];
/// How to read the strip.
pub const fn strip_hint(both: bool) -> &'static str {
    if both {
        "Above, the way through the network from left to right; below, the way back from right to left, and the update. What is wide takes long. The outer strips are the memory that is alive. A click selects a block."
    } else {
        "The way through the network from left to right. What is wide takes long. The strip above is the memory that is alive. A click selects a block."
    }
}
/// What times were taken with, and the time of the quickest kernel.
pub fn clock(clock: Clock, floor: f64) -> String {
    match clock {
        Clock::Timestamps => "Timed by the device's own timestamps.".to_owned(),
        Clock::Submissions => format!(
            "Timed from submission to end, as this device has no timestamps: {} of each is its way to the device and back.",
            time(floor)
        ),
    }
}
/// Which way a part of a step goes: the way there, the way there once more, the way back, the update.
pub const DIRECTIONS: [&str; 4] = ["forward", "forward again", "backward", "update"];
/// A part of a step, for screen readers.
pub fn part(name: &str, way: &str, seconds: f64, share: f64) -> String {
    format!("{name}, {way}, {}, {}", time(seconds), percent(share))
}
/// A kernel that runs several times.
pub fn times(kernel: &str, count: usize) -> String {
    if count == 1 {
        kernel.to_owned()
    } else {
        format!("{count}× {kernel}")
    }
}
/// What a kernel is for.
pub const fn kernel_kind(kind: KernelKind) -> &'static str {
    match kind {
        KernelKind::Convolution => "Convolution",
        KernelKind::WeightGradient => "Weight gradient",
        KernelKind::Attention => "Attention",
        KernelKind::Norm => "Norm",
        KernelKind::Sums => "Sums of gradients",
        KernelKind::Optimizer => "Update",
        KernelKind::Other => "Other",
    }
}
/// The same in a sentence.
pub const fn kernel_kind_tip(kind: KernelKind) -> &'static str {
    match kind {
        KernelKind::Convolution => {
            "Convolutions and linear layers: forward, and the gradient of what goes in."
        }
        KernelKind::WeightGradient => {
            "The gradient of the weights of convolutions and linear layers."
        }
        KernelKind::Attention => "The two products of attention and the softmax between them.",
        KernelKind::Norm => "GroupNorm with its SiLU, forward and backward.",
        KernelKind::Sums => "Adding up parts of weight gradients.",
        KernelKind::Optimizer => {
            "The gradient's norm, clipping, Adam, and the moving average of the weights."
        }
        KernelKind::Other => {
            "What is done number by number: noise, concatenation, resizing, residuals, loss."
        }
    }
}
/// A kind's share of the time.
pub fn kind_share(kind: KernelKind, share: f64) -> String {
    format!("{} {}", kernel_kind(kind), percent(share))
}
/// Operations a second.
pub fn gflops(rate: f64) -> String {
    if rate >= 1e12 {
        format!("{:.2} TFLOP/s", rate / 1e12)
    } else {
        format!("{:.1} GFLOP/s", rate / 1e9)
    }
}
/// A share.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent >= 99.95 || percent == 0.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}
/// Seconds in a unit that suits them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.1 => format!("{:.0} ms", 1e3 * s),
        s if s >= 1e-3 => format!("{:.1} ms", 1e3 * s),
        s => format!("{:.0} µs", 1e6 * s),
    }
}

/// What a kind of block is called.
pub const fn kind(kind: MapKind) -> &'static str {
    match kind {
        MapKind::TimeEmbedding => "Time embedding",
        MapKind::ConvIn => "First convolution",
        MapKind::Resnet => "Residual block",
        MapKind::Attention => "Self-attention",
        MapKind::Downsample => "Downsampling",
        MapKind::Upsample => "Upsampling",
        MapKind::ConvOut => "Last convolution",
    }
}

/// The same in a few letters, under the block.
pub const fn short(kind: MapKind) -> &'static str {
    match kind {
        MapKind::TimeEmbedding => "time",
        MapKind::ConvIn => "in",
        MapKind::Resnet => "res",
        MapKind::Attention => "attn",
        MapKind::Downsample => "down",
        MapKind::Upsample => "up",
        MapKind::ConvOut => "out",
    }
}

/// What a kind of block is for, in a sentence.
pub const fn purpose(kind: MapKind) -> &'static str {
    match kind {
        MapKind::TimeEmbedding => {
            "Tells every residual block how noisy the image is: slow and fast sinusoids of $t$, mixed by two linear layers."
        }
        MapKind::ConvIn => "Turns pixels into channels of features.",
        MapKind::Resnet => {
            "Two convolutions that correct what comes in, $h$, rather than replace it; the time embedding $e$ is added between them. On the way up, $h$ is joined with what the skip connection brings."
        }
        MapKind::Attention => {
            "Lets each place gather from all others, weighted by how well its query $q$ fits their keys $k$; $d$ is the width of a head."
        }
        MapKind::Downsample => {
            "Halves height and width, so that what follows sees further and costs less."
        }
        MapKind::Upsample => "Doubles every pixel and smooths the result by a convolution.",
        MapKind::ConvOut => "Turns the last features into the prediction, one channel a colour.",
    }
}

/// A block, for screen readers.
pub fn block(name: &str, kind_of: MapKind, parameters: usize) -> String {
    format!(
        "{name}, {}, {} parameters",
        kind(kind_of),
        count(parameters as u64)
    )
}

/// Channels × height × width.
pub fn shape([c, h, w]: [usize; 3]) -> String {
    if (h, w) == (1, 1) {
        c.to_string()
    } else {
        format!("{c}×{h}×{w}")
    }
}

/// From shape to shape.
pub fn shapes(from: [usize; 3], to: [usize; 3]) -> String {
    format!("{} → {}", shape(from), shape(to))
}

/// The number of channels that are shown.
pub fn output_of(shown: usize, of: usize) -> String {
    if shown < of {
        format!("{OUTPUT}: the first {shown} of {of} channels")
    } else {
        format!("{OUTPUT}: {of} channels")
    }
}

/// Weights of the attention at a place.
pub fn attention_at(row: usize, column: usize, most: f32, places: usize) -> String {
    format!(
        "From row {row}, column {column}. Brightest: {:.1} %; evenly spread it would be {:.1} %.",
        100.0 * most,
        100.0 / places.max(1) as f32
    )
}

/// A number of an embedding.
pub fn cell(index: usize, value: f32) -> String {
    format!("{index}: {value:.3}")
}

/// The picture does not fit the network.
pub fn misfit(picture: [usize; 3], network: [usize; 3]) -> String {
    format!(
        "The picture is {} but this network takes {}: choose another picture in the room of the forward process.",
        shape(picture),
        shape(network)
    )
}

/// The time embedding in the drawing.
pub fn time_line(t: usize) -> String {
    format!("t = {t}, embedded for every residual block")
}

/// A whole number with its thousands apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn scaled(n: u64, base: f64, units: [&str; 4]) -> String {
    let mut value = n as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0}{}", units[unit])
    } else {
        format!("{value:.1}{}", units[unit])
    }
}

/// A number in at most five characters.
pub fn short_count(n: u64) -> String {
    scaled(n, 1000.0, ["", "k", "M", "G"])
}

/// Bytes, with their unit.
pub fn bytes(n: u64) -> String {
    scaled(n, 1024.0, [" B", " KiB", " MiB", " GiB"])
}

/// Bytes in at most five characters.
pub fn short_bytes(n: u64) -> String {
    scaled(n, 1024.0, ["B", "K", "M", "G"])
}

/// Operations, with their unit.
pub fn flops(n: u64) -> String {
    scaled(n, 1000.0, [" FLOP", " kFLOP", " MFLOP", " GFLOP"])
}

/// A share of the whole, in brackets.
pub fn with_share(value: &str, share: f64) -> String {
    format!("{value} ({:.1} %)", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(35_746_307), "35,746,307");
        assert_eq!(count(999), "999");
        assert_eq!(short_count(35_746_307), "35.7M");
        assert_eq!(short_count(999), "999");
        assert_eq!(short_count(123_456), "123k");
        assert_eq!(bytes(50_176), "49.0 KiB");
        assert_eq!(flops(14_450_688), "14.5 MFLOP");
        assert_eq!(shape([16, 28, 28]), "16×28×28");
        assert_eq!(shape([64, 1, 1]), "64");
        assert_eq!(time(0.1234), "123 ms");
        assert_eq!(time(0.001_26), "1.3 ms");
        assert_eq!(time(0.000_042), "42 µs");
        assert_eq!(gflops(24.49e9), "24.5 GFLOP/s");
        assert_eq!(percent(0.1234), "12.3 %");
        assert_eq!(percent(1.2), "120 %");
        assert_eq!(
            timed(ProfilePass::Step, 1, true),
            "Training step, 1 image, activations recomputed"
        );
    }
}

//! Forward process.

/// In the rail.
pub const TITLE: &str = "Forward process";

/// Section.
pub const PICTURE: &str = "Picture";
/// While there are no data.
pub const WAITING_DATA: &str = "The data set is being opened …";
/// While there is no view yet.
pub const WAITING_VIEW: &str = "The first picture is on its way …";
/// Button.
pub const PREVIOUS: &str = "Previous";
/// Its tooltip.
pub const PREVIOUS_HELP: &str = "The picture before this one in the data set.";
/// Button.
pub const NEXT: &str = "Next";
/// Its tooltip.
pub const NEXT_HELP: &str = "The picture after this one in the data set.";
/// Button.
pub const RANDOM: &str = "Random";
/// Its tooltip.
pub const RANDOM_HELP: &str = "Any picture of the data set.";
/// Choice.
pub const CLASS: &str = "Class";
/// Its tooltip.
pub const CLASS_HELP: &str = "Shows only pictures of this class.";
/// Option.
pub const EVERY_CLASS: &str = "All classes";
/// Button.
pub const DRAW: &str = "Draw";
/// Its tooltip.
pub const DRAW_HELP: &str =
    "Draw a picture of your own with the mouse or a finger and watch it dissolve.";
/// Button.
pub const DATA: &str = "Data set";
/// Its tooltip.
pub const DATA_HELP: &str = "Go back to the pictures of the data set.";
/// Button.
pub const OPEN: &str = "Open…";
/// Its tooltip.
pub const OPEN_HELP: &str = "Use a picture file of yours. You can also drop one on the window. Its middle is cut out and brought to the size of the data set's pictures.";
/// Switch.
pub const INVERT: &str = "Exchange light and dark";
/// Its tooltip.
pub const INVERT_HELP: &str = "The digits are white on black. A photograph of ink on paper looks like them once light and dark are exchanged.";
/// Name of the canvas.
pub const CANVAS: &str = "Drawing canvas";
/// Its tooltip.
pub const CANVAS_HELP: &str = "Draw here.";
/// Shown on the empty canvas.
pub const CANVAS_EMPTY: &str = "Draw here";
/// Slider.
pub const BRUSH: &str = "Brush radius (pixels)";
/// Its tooltip.
pub const BRUSH_HELP: &str = "How thick the brush is, in pixels of the picture.";
/// Switch.
pub const ERASE: &str = "Erase";
/// Its tooltip.
pub const ERASE_HELP: &str = "The brush takes paint away.";
/// Button.
pub const CLEAR: &str = "Clear";
/// Its tooltip.
pub const CLEAR_HELP: &str = "Empties the canvas.";
/// Colour of the brush.
pub const COLOUR: &str = "Colour";
/// Its tooltip.
pub const COLOUR_HELP: &str = "What the brush paints with.";

/// A picture of the data set.
pub fn picture_name(index: usize, class: Option<&str>) -> String {
    match class {
        Some(class) => format!("Picture {index}, class {class}"),
        None => format!("Picture {index}"),
    }
}

/// A picture of the user's.
pub const OWN: &str = "Your picture";

/// Section.
pub const NOISE: &str = "Noise";
/// Slider.
pub const T: &str = "Steps T";
/// Its tooltip.
pub const T_HELP: &str =
    "In how many steps the picture is turned into noise. The paper takes 1000.";
/// A preset of T.
pub fn t_preset(t: usize) -> String {
    format!("T = {t}")
}
/// Its tooltip.
pub const T_PRESET_HELP: &str = "Sets the number of steps.";
/// Choice.
pub const SCHEDULE: &str = "Schedule";
/// Its tooltip.
pub const SCHEDULE_HELP: &str = "How much noise each step adds. The paper's is linear.";
/// Switch.
pub const COMPARE: &str = "Compare with another schedule";
/// Its tooltip.
pub const COMPARE_HELP: &str =
    "The same picture and the same noise under a second schedule, side by side.";
/// Choice.
pub const SCHEDULE_B: &str = "Second schedule";
/// Its tooltip.
pub const SCHEDULE_B_HELP: &str = "The schedule on the right.";
/// Number.
pub const SEED: &str = "Seed";
/// Its tooltip.
pub const SEED_HELP: &str =
    "The noise is drawn from this number: the same seed gives the same noise.";
/// Button.
pub const NEW_NOISE: &str = "New noise";
/// Its tooltip.
pub const NEW_NOISE_HELP: &str = "Draws other noise, by another seed.";

/// What people call a schedule.
pub fn schedule_name(name: &str) -> &str {
    match name {
        "linear" => "Linear",
        "scaled_linear" => "Scaled linear",
        "squaredcos_cap_v2" => "Cosine",
        "sigmoid" => "Sigmoid",
        other => other,
    }
}

/// A schedule whose x_T is not noise.
pub fn warning(schedule: &str, what: &str) -> String {
    format!("{}: {what}.", schedule_name(schedule))
}

/// Section.
pub const STATE: &str = "Picture and noise at t";
/// x_t for screen readers.
pub fn state_name(t: usize, schedule: &str) -> String {
    format!("x at t = {t}, schedule {}", schedule_name(schedule))
}
/// A tile of the strip.
pub fn strip_name(t: usize) -> String {
    format!("Go to t = {t}")
}
/// x_t as a sum, in TeX.
pub fn mixture(t: usize, picture: f64, noise: f64) -> String {
    format!(r"x_{{{t}}} = {picture:.3}\,x_0 + {noise:.3}\,\epsilon")
}
/// The same where there is little room.
pub fn mixture_short(picture: f64, noise: f64) -> String {
    format!(r"{picture:.2}\,x_0 + {noise:.2}\,\epsilon")
}
/// The same for screen readers.
pub fn mixture_words(t: usize, picture: f64, noise: f64) -> String {
    format!("x at t = {t} is {picture:.3} times the picture plus {noise:.3} times the noise")
}
/// Tooltip of the sum.
pub const MIXTURE_HELP: &str = "The factors are the square roots of ᾱ and of 1 − ᾱ at this t. Their squares add up to 1, so that the picture's brightness range stays the same while noise takes its place.";
/// Below the strip.
pub const STRIP_HINT: &str = "Click a picture to go to its $t$.";

/// Axis.
pub const VALUE: &str = "value of a pixel of x_t";
/// Axis.
pub const DENSITY: &str = "density";
/// Legend.
pub const NORMAL: &str = "N(0, 1)";
/// Mean and deviation.
pub fn moments(mean: f32, deviation: f32) -> String {
    format!("mean {mean:.3}, standard deviation {deviation:.3}")
}
/// Tooltip of the histogram.
pub const PIXELS_HELP: &str = "How often each value occurs among the pixels of the noisy picture. At the end the bars should follow the curve of the normal distribution, whose mean is 0 and standard deviation 1.";

/// Section.
pub const SCHEDULES: &str = "Schedules";
/// Axis.
pub const STEP_T: &str = "t";
/// Axis.
pub const BETA: &str = r"$\beta_t$: noise added";
/// Axis.
pub const ALPHA_BAR: &str = r"$\bar\alpha_t$: picture left";
/// Axis.
pub const SNR: &str = "Signal to noise";
/// Figure.
pub const BETA_NOW: &str = "β at t";
/// Its tooltip.
pub const BETA_NOW_HELP: &str = "Variance of the noise that this step adds.";
/// Figure.
pub const BAR_NOW: &str = "ᾱ at t";
/// Its tooltip.
pub const BAR_NOW_HELP: &str = "What is left of the picture's variance after t steps.";
/// Figure.
pub const SNR_NOW: &str = "Signal to noise";
/// Its tooltip.
pub const SNR_NOW_HELP: &str = "ᾱ / (1 − ᾱ): 1 means as much picture as noise.";
/// Figure.
pub const PICTURE_NOW: &str = "Picture √ᾱ";
/// Its tooltip.
pub const PICTURE_NOW_HELP: &str = "Factor of the picture in x_t.";
/// Figure.
pub const NOISE_NOW: &str = "Noise √(1 − ᾱ)";
/// Its tooltip.
pub const NOISE_NOW_HELP: &str = "Factor of the noise in x_t.";

//! Rail, scrubber, status and messages.

/// The program's name.
pub const NAME: &str = "noiselab";
/// The foldable card of a room.
pub const CARD_TITLE: &str = "What am I seeing?";
/// On a card, before the experiment.
pub const CARD_TRY: &str = "Try it";
/// Rooms in the rail.
pub const ROOM_HELP: &str = "Go to this room (key {n})";

/// What the scrubber says of t = 0, where there are the data.
#[derive(Debug)]
pub struct TimeWords {
    /// Before the scrubber.
    pub end: &'static str,
    /// The scrubber's tooltip.
    pub scrubber_help: &'static str,
    /// One step less.
    pub step_back: &'static str,
    /// Its tooltip.
    pub step_back_help: &'static str,
    /// The direction when it is towards the data.
    pub towards: &'static str,
}

/// In rooms of images.
pub static IMAGES: TimeWords = TimeWords {
    end: "image $x_0$",
    scrubber_help: "How far the image is on its way into noise. Left and right arrow move it by one step, with Shift by ten.",
    step_back: "One step towards the image",
    step_back_help: "One step towards the image (left arrow)",
    towards: "Direction: towards the image",
};

/// In rooms of points.
pub static POINTS: TimeWords = TimeWords {
    end: "points $x_0$",
    scrubber_help: "How far the points are on their way into noise. Left and right arrow move them by one step, with Shift by ten.",
    step_back: "One step towards the points",
    step_back_help: "One step towards the points (left arrow)",
    towards: "Direction: towards the points",
};

/// After the scrubber.
pub const NOISE_END: &str = "noise $x_T$";
/// The scrubber for screen readers.
pub const SCRUBBER: &str = "Timestep t";
/// Between t and T.
pub const OF: &str = "of";
/// Plays.
pub const PLAY: &str = "Play";
/// Pauses.
pub const PAUSE: &str = "Pause";
/// Of both.
pub const PLAY_HELP: &str = "Let time run, or stop it (space)";
/// One step more.
pub const STEP_FORWARD: &str = "One step towards noise";
/// Its tooltip.
pub const STEP_FORWARD_HELP: &str = "One step towards noise (right arrow)";
/// The direction when it is towards noise.
pub const TOWARDS_NOISE: &str = "Direction: towards noise";
/// Its tooltip.
pub const DIRECTION_HELP: &str = "Which way time runs when it plays (key D)";
/// The speed for screen readers.
pub const SPEED: &str = "Speed";
/// Its tooltip.
pub const SPEED_HELP: &str = "How fast time runs when it plays (up and down arrow)";

/// The theme switch while it is dark.
pub const TO_LIGHT: &str = "Light theme";
/// The theme switch while it is light.
pub const TO_DARK: &str = "Dark theme";
/// Its tooltip.
pub const THEME_HELP: &str = "Change between dark and light (key T)";
/// Larger.
pub const ZOOM_IN: &str = "Larger";
/// Its tooltip.
pub const ZOOM_IN_HELP: &str = "Make everything larger, for a projector (key +)";
/// Smaller.
pub const ZOOM_OUT: &str = "Smaller";
/// Its tooltip.
pub const ZOOM_OUT_HELP: &str = "Make everything smaller (key −)";
/// The list of keys.
pub const HELP: &str = "Keys";
/// Its tooltip.
pub const HELP_HELP: &str = "Show the list of keys (key ?)";
/// The tour.
pub const TOUR: &str = "Tour";
/// Its tooltip.
pub const TOUR_HELP: &str = "A tour of noiselab in five steps";
/// The menu on narrow screens.
pub const MORE: &str = "More";
/// Its tooltip.
pub const MORE_HELP: &str = "Theme, size, keys and tour";
/// Closes a message.
pub const DISMISS: &str = "Dismiss";
/// Its tooltip.
pub const DISMISS_HELP: &str = "Close this message";
/// Closes a window.
pub const CLOSE: &str = "Close";

/// In the status line, before the adapter is known.
pub const STARTING: &str = "Starting…";
/// After an adapter's name.
pub const SOFTWARE: &str = "(computes on the processor, slowly)";

/// What a part of the session's work is called in the status line.
pub const fn job(job: noiselab::session::event::Job) -> &'static str {
    use noiselab::session::event::Job;
    match job {
        Job::Data => "the data set",
        Job::Model => "the model",
        Job::Forward => "the forward process",
        Job::Reverse => "the reverse process",
        Job::Probe => "the network's inside",
        Job::Training => "training",
        Job::Lab => "the 2-D lab",
        Job::Export => "the file",
        Job::Bench => "the measurement",
        Job::Profile => "the profile",
    }
}

/// While kernels are compiled.
pub fn compiling(job: &str, done: usize, of: usize) -> String {
    format!("Preparing {job}: kernel {done} of {of}")
}

/// The title of the message when the device is gone.
pub const LOST_TITLE: &str = "The graphics device has stopped";
/// What to do about it.
pub const LOST_TEXT: &str = "The driver was reset, or the computer slept. Restart to open the device again; what was saved comes back.";
/// The button.
pub const RESTART: &str = "Restart";
/// Its tooltip.
pub const RESTART_HELP: &str = "Open the device again and go on from the last save";
/// In the window after it.
pub const BACK_TITLE: &str = "The graphics device had stopped";
/// Where nothing was in training.
pub const BACK_TEXT: &str =
    "The driver was reset, or the computer slept. noiselab has opened the device again.";
/// Where something was.
pub const BACK_TEXT_TRAINING: &str = "The driver was reset, or the computer slept. noiselab has opened the device again; training can go on from what was last saved by itself.";
/// The button.
pub const BACK: &str = "Go on";
/// Its tooltip.
pub const BACK_HELP: &str = "Closes this message";
/// The button, where something was in training.
pub const BACK_TRAINING: &str = "Go on training";
/// Its tooltip.
pub const BACK_TRAINING_HELP: &str = "Goes on from the last save, and closes this message";

/// On the terminal, when a restart did not help.
#[cfg(not(target_arch = "wasm32"))]
pub fn lost_again(reason: &str) -> String {
    format!(
        "The graphics device was lost again and again ({reason}); update its driver, or choose another device with --adapter."
    )
}

/// On the terminal, when the program cannot start itself.
#[cfg(not(target_arch = "wasm32"))]
pub fn no_restart(reason: &str, error: &str) -> String {
    format!(
        "The graphics device was lost ({reason}), and noiselab could not start itself again ({error}); start it by hand: training goes on from its last save."
    )
}

/// The title of the list of keys.
pub const KEYS_TITLE: &str = "Keys";
/// Keys and what they do.
pub const KEYS: [(&str, &str); 10] = [
    ("Space", "play or pause"),
    ("Left, Right", "one step of t; with Shift ten"),
    ("Home, End", "to the data, to the noise"),
    ("Up, Down", "faster, slower"),
    ("D", "change the direction"),
    ("1, 2, 3, …", "go to a room"),
    ("+, −", "larger, smaller"),
    ("T", "dark or light"),
    ("?", "this list"),
    ("Esc", "close what is open"),
];

/// The tour: title and text of each step.
pub const TOUR_STEPS: [(&str, &str); 5] = [
    (
        "Rooms tell one story",
        "An image dissolves into noise, a network learns to undo that, and then noise becomes an image. Each room is a chapter; the keys 1, 2, 3 … open them.",
    ),
    (
        "Time is shared",
        "At $t = 0$ there is the image, or the points of the 2-D lab; at $t = T$ nothing but noise. Drag the slider, or press the space bar to let time run, in every room.",
    ),
    (
        "The room itself",
        "All of this is computed live on your graphics device, nothing is a recording. Change something and see what happens.",
    ),
    (
        "What am I seeing?",
        "Unfold this card for the equation behind the room, its number in the paper, and an experiment to try.",
    ),
    (
        "For the projector",
        "Make everything larger, change between dark and light, or open the list of keys. The tour starts again from here.",
    ),
];
/// Next step.
pub const TOUR_NEXT: &str = "Next";
/// Its tooltip.
pub const TOUR_NEXT_HELP: &str = "To the next step (right arrow)";
/// The last step's button.
pub const TOUR_DONE: &str = "Start";
/// Leaves the tour.
pub const TOUR_SKIP: &str = "Skip the tour";
/// Its tooltip.
pub const TOUR_SKIP_HELP: &str = "Leave the tour; it can be started again at the top right";

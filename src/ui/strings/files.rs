//! Files, the autosave and the page around the app.

/// Title of the dialog that opens a data set.
pub const DATA_TITLE: &str = "Open a data set (.zip of pictures, IDX, CIFAR-10)";
/// Title of the dialog that opens a folder of data.
pub const DATA_FOLDER_TITLE: &str = "Open a folder of pictures";
/// Title of the dialog that opens a model.
pub const MODEL_TITLE: &str = "Open the folder of a model";
/// Title of the dialog that opens a checkpoint.
pub const CHECKPOINT_TITLE: &str = "Go on from a checkpoint";
/// What checkpoints are called in that dialog.
pub const CHECKPOINT: &str = "Checkpoint";
/// Title of the dialog that opens a picture.
pub const PICTURE_TITLE: &str = "Open a picture";
/// Title of the dialog that opens points.
pub const POINTS_TITLE: &str = "Open a CSV file of points";
/// What files of points are called in that dialog.
pub const POINTS: &str = "Points";
/// Title of the dialog that saves a file.
pub const SAVE_TITLE: &str = "Save";
/// Shown while a file is held over the window.
pub const DROP: &str = "Drop a picture, a data set, points (CSV) or a checkpoint to open it";
/// A picture without pixels.
pub const NO_PICTURE: &str = "The picture has no pixels; choose another one.";
/// No file dialog.
pub const NO_DIALOG: &str = "This system shows no file dialog; drop the file on the window instead, or install \
                             a desktop portal or zenity.";
/// A chosen file without a name.
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "only in the page")
)]
pub const CHOSEN: &str = "The chosen file";
/// The newest state does not restore.
pub const TRYING_OLDER: &str =
    "The newest saved session could not be restored; the one before it is tried.";

/// A file that cannot be read.
pub fn cannot_read(name: &str, reason: &str) -> String {
    format!("{name} could not be read: {reason}.")
}

/// A file of no known kind.
pub fn unknown_file(name: &str) -> String {
    format!(
        "noiselab does not know what {name} is; it opens pictures, .zip archives of pictures, IDX and CIFAR-10 \
         files, points (.csv), and checkpoints (.safetensors)."
    )
}

/// A picture that is none.
pub fn bad_picture(name: &str, reason: &str) -> String {
    format!("{name} could not be opened as a picture: {reason}.")
}

/// A file was saved.
pub fn saved(path: &str) -> String {
    format!("Saved {path}.")
}

/// A name for a checkpoint.
pub fn checkpoint_name(step: u64) -> String {
    format!("noiselab-step-{step}.safetensors")
}

/// The autosave could not be written.
pub fn not_stored(reason: &str) -> String {
    format!("The training could not be saved by itself ({reason}); save a checkpoint to keep it.")
}

/// The last session is back.
pub fn session_restored(step: u64) -> String {
    format!(
        "The training of your last visit is back, at step {step}; it rests until you resume it."
    )
}

/// A state that was kept is damaged.
pub fn damaged_session(kept: bool) -> String {
    if kept {
        "A saved session is damaged and was left out; the other one is used.".into()
    } else {
        "The saved session is damaged and cannot be restored; training starts afresh.".into()
    }
}

/// The browser slowed the hidden page down.
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "only in the page")
)]
pub fn throttled(seconds: u64) -> String {
    format!(
        "While this page was hidden the browser let it rest, once for {seconds} s, so training went on more slowly; \
         now it runs at full speed again."
    )
}

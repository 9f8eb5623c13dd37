//! Files of the user's: what rooms ask for.

use std::cell::RefCell;

/// Something to do with a file of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Open a data set in a file.
    Data,
    /// Open a folder of pictures or of a data set's files. Not in the page.
    DataFolder,
    /// Go on from a checkpoint of a training run.
    Checkpoint,
    /// Open a picture to look at.
    Picture,
}

impl Ask {
    /// Whether folders can be chosen here; the page has only files.
    pub const FOLDERS: bool = cfg!(not(target_arch = "wasm32"));
}

/// What was asked.
#[derive(Debug, Default)]
pub struct Files {
    asked: RefCell<Vec<Ask>>,
}

impl Files {
    /// Begins something.
    pub fn request(&self, ask: Ask) {
        self.asked.borrow_mut().push(ask);
    }
}

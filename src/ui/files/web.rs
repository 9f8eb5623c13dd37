//! Files in the page: the browser's file dialog, downloads, and its private storage for the autosave.

use std::{cell::Cell, future::Future, sync::Arc};

use noiselab::{
    data::BUILT_IN,
    session::command::{Command, DataChoice, ModelChoice},
};

use super::{Answer, Ask, Kind, Outbox, answer, kind_of};
use crate::ui::{page, strings::files as text};

/// The pretrained weights' files, below the page's folder.
const PRETRAINED: [&str; 3] = [
    "assets/pretrained/digits/unet/config.json",
    "assets/pretrained/digits/scheduler/scheduler_config.json",
    "assets/pretrained/digits/unet/diffusion_pytorch_model.safetensors",
];

thread_local! {
    /// Counts what was asked for, of each kind: only the latest counts when several are under way.
    static DATA: Cell<u64> = const { Cell::new(0) };
    static MODEL: Cell<u64> = const { Cell::new(0) };
}

/// Does something between frames.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    wasm_bindgen_futures::spawn_local(task);
}

/// Begins something.
pub fn ask(outbox: &Outbox, ask: Ask) {
    match ask {
        Ask::Save { name, bytes } => page::download(&name, &bytes),
        // The page has no folders: an archive does the same.
        Ask::Data | Ask::DataFolder | Ask::ModelFolder => pick(outbox, "", Some(Kind::Data)),
        Ask::Checkpoint => pick(outbox, ".safetensors", Some(Kind::Checkpoint)),
        Ask::Picture => pick(outbox, "image/*", Some(Kind::Picture)),
        Ask::Points => pick(outbox, ".csv,.tsv,.txt", Some(Kind::Points)),
    }
}

fn pick(outbox: &Outbox, accept: &'static str, kind: Option<Kind>) {
    let outbox = outbox.clone();
    spawn(async move {
        match page::pick(accept).await {
            Ok(files) => {
                for (name, bytes) in files {
                    take(&outbox, &name, bytes, kind);
                }
            }
            Err(reason) => outbox.fail(text::cannot_read(text::CHOSEN, &reason)),
        }
    });
}

fn take(outbox: &Outbox, name: &str, bytes: Vec<u8>, kind: Option<Kind>) {
    let head = bytes.get(..64).unwrap_or(&bytes);
    match kind.or_else(|| kind_of(name, head)) {
        Some(kind) => outbox.push(answer(name, kind, bytes)),
        None => outbox.fail(text::unknown_file(name)),
    }
}

/// Takes a file that was dropped on the page.
pub fn dropped(outbox: &Outbox, file: egui::DroppedFileHandle) {
    let outbox = outbox.clone();
    spawn(async move {
        let name = file.path().to_string_lossy().into_owned();
        match file.bytes_async().await {
            Ok(bytes) => take(&outbox, &name, bytes, None),
            Err(reason) => outbox.fail(text::cannot_read(&name, &reason)),
        }
    });
}

/// Fetches what a command lacks: data sets and weights that come with the page.
pub fn complete(outbox: &Outbox, command: Command) -> Option<Command> {
    match command {
        Command::OpenData(DataChoice::BuiltIn { name, asset: None }) => {
            let Some(set) = BUILT_IN.iter().find(|set| set.name == name) else {
                return Some(Command::OpenData(DataChoice::BuiltIn { name, asset: None }));
            };
            let path = format!("assets/data/{}", set.file);
            fetch(outbox, &DATA, async move {
                let asset = Some(page::fetch(&path).await?.into());
                Ok(Command::OpenData(DataChoice::BuiltIn { name, asset }))
            });
            None
        }
        Command::OpenModel(ModelChoice::Pretrained { files: None }) => {
            fetch(outbox, &MODEL, async {
                let mut files: [Arc<[u8]>; 3] = Default::default();
                for (file, path) in files.iter_mut().zip(PRETRAINED) {
                    *file = page::fetch(path).await?.into();
                }
                let files = Some(files);
                Ok(Command::OpenModel(ModelChoice::Pretrained { files }))
            });
            None
        }
        Command::OpenData(_) => {
            DATA.set(DATA.get() + 1);
            Some(command)
        }
        Command::OpenModel(_) => {
            MODEL.set(MODEL.get() + 1);
            Some(command)
        }
        command => Some(command),
    }
}

fn fetch(
    outbox: &Outbox,
    counter: &'static std::thread::LocalKey<Cell<u64>>,
    fetching: impl Future<Output = Result<Command, String>> + 'static,
) {
    let number = counter.get() + 1;
    counter.set(number);
    let outbox = outbox.clone();
    spawn(async move {
        let fetched = fetching.await;
        if counter.get() != number {
            return; // something else was chosen meanwhile
        }
        match fetched {
            Ok(command) => outbox.push(Answer::Command(command)),
            Err(reason) => outbox.fail(reason),
        }
    });
}

/// Loads the page again: only a fresh one gets another device.
pub fn device_lost(reason: &str, training: bool) {
    page::device_lost(reason, training);
}

/// Training ran when the device was lost before this start; true once.
pub fn take_resume() -> bool {
    page::take_resume()
}

/// The browser's storage for this page.
#[derive(Debug, Clone)]
pub struct Store;

impl Store {
    /// It is there, or refuses each use.
    #[expect(clippy::unnecessary_wraps, reason = "natively there may be none")]
    pub fn open() -> Option<Self> {
        Some(Self)
    }

    /// A file's content, if there is such a file.
    ///
    /// # Errors
    /// The browser's reason.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        page::read(name).await
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// The browser's reason.
    pub async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        page::write(name, bytes).await
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The browser's reason.
    pub async fn remove(&self, name: &str) -> Result<(), String> {
        page::remove(name).await
    }
}

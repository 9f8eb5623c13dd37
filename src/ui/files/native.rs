//! Files natively: the system's dialogs, paths, and a folder for the autosave.

use std::{
    ffi::OsStr,
    fs,
    future::Future,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use noiselab::session::{
    atomic::write_atomic,
    command::{Command, ModelChoice, OwnSource},
};

use super::{Answer, Ask, Kind, Outbox, answer, kind_of, own_data};
use crate::ui::{platform::user_folder, strings::files as text};

/// A dialog that is gone sooner than a person could answer it never came.
const NEVER_CAME: Duration = Duration::from_millis(100);

/// Does something on a thread of its own.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    // Without threads to be had nothing of this works; the rest of the app does.
    let _ = std::thread::Builder::new()
        .name("files".into())
        .spawn(move || pollster::block_on(task));
}

fn dialog(title: &str) -> rfd::AsyncFileDialog {
    rfd::AsyncFileDialog::new().set_title(title)
}

/// Begins something.
pub fn ask(outbox: &Outbox, ask: Ask) {
    let outbox = outbox.clone();
    let shown = Instant::now();
    // The dialogs are made here, as some systems want them from the window's own thread.
    match ask {
        Ask::Save { name, bytes } => {
            let saving = dialog(text::SAVE_TITLE).set_file_name(&name).save_file();
            spawn(async move {
                match saving.await {
                    Some(file) => {
                        let path = file.path().to_owned();
                        if let Err(e) = write_atomic(&path, |out| out.write_all(&bytes)) {
                            outbox.fail(e.to_string());
                        } else {
                            let text = text::saved(&path.display().to_string());
                            outbox.push(Answer::Notice { text, error: false });
                        }
                    }
                    None => check_dialog(&outbox, shown),
                }
            });
        }
        Ask::Data => {
            let picking = dialog(text::DATA_TITLE).pick_file();
            open(outbox, shown, picking, |path| {
                Ok(Answer::Command(own_data(OwnSource::Path(path))))
            });
        }
        Ask::DataFolder => {
            let picking = dialog(text::DATA_FOLDER_TITLE).pick_folder();
            open(outbox, shown, picking, |path| {
                Ok(Answer::Command(own_data(OwnSource::Path(path))))
            });
        }
        Ask::ModelFolder => {
            let picking = dialog(text::MODEL_TITLE).pick_folder();
            open(outbox, shown, picking, |path| Ok(model(path)));
        }
        Ask::Checkpoint => {
            let picking = dialog(text::CHECKPOINT_TITLE)
                .add_filter(text::CHECKPOINT, &["safetensors"])
                .pick_file();
            open(outbox, shown, picking, |path| {
                whole(&path, Kind::Checkpoint)
            });
        }
        Ask::Picture => {
            let picking = dialog(text::PICTURE_TITLE).pick_file();
            open(outbox, shown, picking, |path| whole(&path, Kind::Picture));
        }
        Ask::Points => {
            let picking = dialog(text::POINTS_TITLE)
                .add_filter(text::POINTS, &["csv", "tsv", "txt"])
                .pick_file();
            open(outbox, shown, picking, |path| whole(&path, Kind::Points));
        }
    }
}

fn open(
    outbox: Outbox,
    shown: Instant,
    picking: impl Future<Output = Option<rfd::FileHandle>> + Send + 'static,
    take: impl FnOnce(PathBuf) -> Result<Answer, String> + Send + 'static,
) {
    spawn(async move {
        match picking.await {
            Some(file) => match take(file.path().to_owned()) {
                Ok(answer) => outbox.push(answer),
                Err(reason) => outbox.fail(reason),
            },
            None => check_dialog(&outbox, shown),
        }
    });
}

fn check_dialog(outbox: &Outbox, shown: Instant) {
    if shown.elapsed() < NEVER_CAME {
        outbox.fail(text::NO_DIALOG.into());
    }
}

fn model(folder: PathBuf) -> Answer {
    Answer::Command(Command::OpenModel(ModelChoice::Folder(folder)))
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or(OsStr::new(""))
        .to_string_lossy()
        .into_owned()
}

fn cannot_read(path: &Path) -> impl Fn(io::Error) -> String {
    let name = name_of(path);
    move |e| text::cannot_read(&name, &e.to_string())
}

fn whole(path: &Path, kind: Kind) -> Result<Answer, String> {
    let bytes = fs::read(path).map_err(cannot_read(path))?;
    Ok(answer(&name_of(path), kind, bytes))
}

/// Takes a file that was dropped on the window.
pub fn dropped(outbox: &Outbox, file: egui::DroppedFileHandle) {
    read_path(outbox, file.path().to_owned());
}

/// Opens a file or folder as what it looks like.
pub fn read_path(outbox: &Outbox, path: PathBuf) {
    let outbox = outbox.clone();
    spawn(async move {
        match sort(&path) {
            Ok(answer) => outbox.push(answer),
            Err(reason) => outbox.fail(reason),
        }
    });
}

fn sort(path: &Path) -> Result<Answer, String> {
    if path.is_dir() {
        let of_model = ["model_index.json", "unet/config.json", "config.json"];
        return Ok(if of_model.iter().any(|f| path.join(f).is_file()) {
            model(path.to_owned())
        } else {
            Answer::Command(own_data(OwnSource::Path(path.to_owned())))
        });
    }
    let mut head = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(64).read_to_end(&mut head))
        .map_err(cannot_read(path))?;
    match kind_of(&name_of(path), &head) {
        Some(Kind::Data) => Ok(Answer::Command(own_data(OwnSource::Path(path.to_owned())))),
        Some(kind) => whole(path, kind),
        None => Err(text::unknown_file(&name_of(path))),
    }
}

/// Natively a command lacks nothing.
pub fn complete(_outbox: &Outbox, command: Command) -> Option<Command> {
    Some(command)
}

/// The window deals with a lost device itself.
pub fn device_lost(_reason: &str, _training: bool) {}

/// Natively nothing starts by itself.
pub fn take_resume() -> bool {
    false
}

/// A folder for what the app keeps.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The user's, if the system tells where such things go.
    pub fn open() -> Option<Self> {
        let folder = user_folder("LOCALAPPDATA", "XDG_DATA_HOME", ".local/share")?;
        Some(Self::at(&folder))
    }

    /// That folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// A file's content, if there is such a file.
    ///
    /// # Errors
    /// The system's reason.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        match fs::read(self.folder.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// The system's reason.
    pub async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        fs::create_dir_all(&self.folder).map_err(|e| e.to_string())?;
        write_atomic(&self.folder.join(name), |out| out.write_all(bytes)).map_err(|e| e.to_string())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The system's reason.
    pub async fn remove(&self, name: &str) -> Result<(), String> {
        match fs::remove_file(self.folder.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.to_string()),
            _ => Ok(()),
        }
    }
}

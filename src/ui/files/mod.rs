//! Files of the user's: dialogs, dropped files, downloads and the autosave. Everything here happens beside the
//! interface, on threads natively and between frames in the page; answers are collected and taken up by
//! [`attend`], once a frame.

mod autosave;
#[cfg_attr(not(target_arch = "wasm32"), path = "native.rs")]
#[cfg_attr(target_arch = "wasm32", path = "web.rs")]
mod place;

use std::sync::{Arc, Mutex, PoisonError};

use image::ImageFormat;
use noiselab::{
    data::Images,
    session::{
        command::{Command, DataChoice, OwnSource, Picture, TrainCommand},
        event::{Event, Job, TrainEvent, TrainStatus},
    },
};
use web_time::Instant;

use super::{shared::Shared, strings::files as text};
use autosave::{Autosave, Saved};
use place::Store;

/// The room that looks at a picture that was opened.
const PICTURE_ROOM: &str = "forward";
/// The room that looks at points that were opened.
const POINTS_ROOM: &str = "lab";

/// Something to do with a file of the user's.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Open a data set: an IDX file, a CIFAR-10 batch, or an archive of pictures.
    Data,
    /// Open a folder of pictures or of a data set's files. Not in the page.
    DataFolder,
    /// Open the folder of a model. Not in the page.
    ModelFolder,
    /// Go on from a checkpoint of a training run.
    Checkpoint,
    /// Open a picture to look at.
    Picture,
    /// Open a text file of points for the 2-D lab.
    Points,
    /// Save something under a name that the user can change.
    Save {
        /// The name to begin with.
        name: String,
        /// The content.
        bytes: Arc<[u8]>,
    },
}

impl Ask {
    /// Whether folders can be chosen here; the page has only files.
    pub const FOLDERS: bool = cfg!(not(target_arch = "wasm32"));
}

/// What came of it.
#[derive(Debug)]
pub enum Answer {
    /// To be sent to the session.
    Command(Command),
    /// A picture was opened.
    Picture(image::RgbImage),
    /// A file of points was opened: its name and content.
    Points(String, Vec<u8>),
    /// Something to tell.
    Notice {
        /// One sentence.
        text: String,
        /// It tells of a failure.
        error: bool,
    },
    /// The autosave is written, or why not.
    Stored(Result<(), String>),
    /// The states that earlier sessions left, the newest first, and whether one was damaged.
    Found(Vec<Saved>, bool),
}

/// Where answers go, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    answers: Arc<Mutex<Vec<Answer>>>,
    ctx: Option<egui::Context>,
}

impl Outbox {
    /// Delivers an answer.
    pub fn push(&self, answer: Answer) {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(answer);
        if let Some(ctx) = &self.ctx {
            ctx.request_repaint();
        }
    }

    /// Delivers a message of failure.
    fn fail(&self, text: String) {
        self.push(Answer::Notice { text, error: true });
    }

    fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The app's hands for files.
#[derive(Debug, Default)]
pub struct Files {
    outbox: Outbox,
    store: Option<Store>,
    auto: Autosave,
    /// States that can still be restored, the newest last.
    earlier: Vec<Saved>,
    /// One of them is being restored.
    restoring: bool,
    /// The run that is restored is to go on.
    resume: bool,
}

impl Files {
    /// Lets the interface be woken, and looks for what the last session left.
    pub fn open(&mut self, ctx: &egui::Context) {
        self.outbox.ctx = Some(ctx.clone());
        self.store = Store::open();
        let Some(store) = self.store.clone() else {
            return;
        };
        let outbox = self.outbox.clone();
        place::spawn(async move {
            let (found, damaged) = autosave::load(&store).await;
            outbox.push(Answer::Found(found, damaged));
        });
    }

    /// Training goes on.
    pub fn is_training(&self) -> bool {
        self.auto.is_running()
    }

    /// As if the last session's run were being restored.
    #[cfg(test)]
    pub fn pretend_restoring(&mut self) {
        self.restoring = true;
    }

    /// Where others can put answers.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Begins something; its outcome comes by [`Files::poll`].
    pub fn request(&self, ask: Ask) {
        place::ask(&self.outbox, ask);
    }

    /// What came of it since the last call.
    pub fn poll(&self) -> Vec<Answer> {
        self.outbox.take()
    }

    /// Fetches what a command lacks, in the page; the complete one comes as an answer.
    pub fn complete(&self, command: Command) -> Option<Command> {
        place::complete(&self.outbox, command)
    }
}

/// Takes up what came of requests and dropped files, and keeps the autosave; once a frame, hidden or not. Returns
/// the room to show, if something calls for another.
pub fn attend(shared: &mut Shared) -> Option<&'static str> {
    let outbox = shared.files.outbox();
    if let Some(ctx) = &outbox.ctx {
        for file in ctx.input(|i| i.raw.dropped_files.clone()) {
            place::dropped(&outbox, file);
        }
    }
    let mut room = None;
    for answer in shared.files.poll() {
        match answer {
            Answer::Command(command) => shared.send(command),
            Answer::Notice { text, error } => shared.notify(text, error),
            Answer::Picture(image) => match fit(&image, shape(shared)) {
                Some(picture) => {
                    shared.picture = Some(picture);
                    room = Some(PICTURE_ROOM);
                }
                None => shared.notify(text::NO_PICTURE, true),
            },
            Answer::Points(name, bytes) => {
                shared.points = Some((name, bytes));
                room = Some(POINTS_ROOM);
            }
            Answer::Stored(Ok(())) => {
                shared.files.auto.stored(true);
            }
            Answer::Stored(Err(reason)) => {
                // Once is enough: the next try comes in its time.
                if shared.files.auto.stored(false) {
                    shared.notify(text::not_stored(&reason), true);
                }
            }
            Answer::Found(mut found, damaged) => {
                if damaged {
                    let kept = !found.is_empty();
                    shared.notify(text::damaged_session(kept), true);
                }
                found.reverse();
                shared.files.earlier = found;
            }
        }
    }
    restore_earlier(shared);
    if shared.files.store.is_some() && shared.files.auto.is_due(Instant::now()) {
        shared.send(Command::Train(TrainCommand::Save { auto: true }));
    }
    room
}

/// Goes on from the last session's state, once the data set is there.
fn restore_earlier(shared: &mut Shared) {
    if shared.files.restoring || shared.data.is_none() {
        return;
    }
    let Some(saved) = shared.files.earlier.last() else {
        return;
    };
    if shared.files.auto.has_run() {
        // The user was faster.
        shared.files.earlier.clear();
        return;
    }
    let open = shared.data.as_ref().map(|d| d.name.clone());
    let wanted = saved.dataset.clone();
    let comes_along = noiselab::data::BUILT_IN.iter().any(|b| b.name == wanted);
    if comes_along && open.as_deref() != Some(&wanted) {
        shared.data = None; // until it is there
        shared.open_built_in(&wanted);
        return;
    }
    let bytes = Arc::clone(&saved.bytes);
    shared.files.restoring = true;
    shared.send(Command::Train(TrainCommand::Restore(bytes)));
}

/// Lets training go on, as soon as the last session's run is restored.
pub fn resume(shared: &mut Shared) {
    if shared.files.auto.has_run() {
        shared.send(Command::Train(TrainCommand::Resume));
    } else {
        shared.files.resume = true;
    }
}

/// Takes note of what happened in the session; part of [`Shared::on_event`].
pub fn on_event(shared: &mut Shared, event: &Event) {
    match event {
        Event::File { name, bytes } => shared.files.request(Ask::Save {
            name: name.clone(),
            bytes: Arc::clone(bytes),
        }),
        Event::Train(TrainEvent::Saved { step, bytes, auto }) => {
            if *auto {
                store(shared, *step, bytes);
            } else {
                shared.files.request(Ask::Save {
                    name: text::checkpoint_name(*step),
                    bytes: Arc::clone(bytes),
                });
            }
        }
        Event::Train(TrainEvent::Opened { config, step, .. }) => {
            shared.files.auto.opened(&config.dataset, *step);
            if std::mem::take(&mut shared.files.restoring) {
                shared.files.earlier.clear();
                shared.notify(text::session_restored(*step), false);
                if place::take_resume() || std::mem::take(&mut shared.files.resume) {
                    shared.send(Command::Train(TrainCommand::Resume));
                }
            }
        }
        Event::Train(TrainEvent::Step(report, _)) => shared.files.auto.step(report.step),
        Event::Train(TrainEvent::Status(status)) => {
            let ended = *status == TrainStatus::None && shared.files.auto.has_run();
            shared.files.auto.status(status);
            if ended && let Some(store) = shared.files.store.clone() {
                place::spawn(async move { autosave::clear(&store).await });
            }
        }
        Event::Failed {
            job: Job::Training, ..
        } if shared.files.restoring => {
            shared.files.restoring = false;
            shared.files.earlier.pop();
            if !shared.files.earlier.is_empty() {
                shared.notify(text::TRYING_OLDER, false);
            }
        }
        Event::DeviceLost { message } => {
            place::device_lost(message, shared.files.auto.is_running());
        }
        _ => {}
    }
}

fn store(shared: &mut Shared, step: u64, bytes: &Arc<[u8]>) {
    let Some(store) = shared.files.store.clone() else {
        return;
    };
    let saved = shared.files.auto.saving(step, Arc::clone(bytes));
    let outbox = shared.files.outbox();
    place::spawn(async move {
        let stored = autosave::save(&store, &saved).await;
        outbox.push(Answer::Stored(stored));
    });
}

/// Saves what training did since the last autosave, waiting a little for it; for the window's end.
#[cfg(not(target_arch = "wasm32"))]
pub fn on_exit(shared: &mut Shared) {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
    let Some(store) = shared.files.store.clone() else {
        return;
    };
    if !shared.files.auto.is_unsaved() {
        return;
    }
    shared.send(Command::Train(TrainCommand::Save { auto: true }));
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        for event in shared.link.poll() {
            if let Event::Train(TrainEvent::Saved {
                step,
                bytes,
                auto: true,
            }) = event
            {
                let saved = shared.files.auto.saving(step, bytes);
                // There is nobody left to tell of a failure.
                let _ = pollster::block_on(autosave::save(&store, &saved));
                return;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Says that a file held over the window can be dropped.
pub fn drop_hint(ui: &egui::Ui) {
    if ui.input(|i| i.raw.hovered_files.is_empty()) {
        return;
    }
    let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop hint"));
    let painter = ui.ctx().layer_painter(layer);
    let rect = ui.ctx().content_rect();
    let veil = ui.visuals().panel_fill.gamma_multiply(0.9);
    painter.rect_filled(rect, 0.0, veil);
    painter.text(
        rect.center(),
        egui::Align2::CENTER_CENTER,
        text::DROP,
        egui::TextStyle::Heading.resolve(ui.style()),
        ui.visuals().strong_text_color(),
    );
}

/// Side and channels that pictures are brought to: those of the data, of the model, or MNIST's.
fn shape(shared: &Shared) -> (usize, usize) {
    let data = shared.data.as_ref();
    let model = shared.model.as_ref();
    (data.map(|d| (d.train.height, d.train.channels)))
        .or_else(|| model.map(|m| (m.unet.sample_size, m.unet.in_channels)))
        .unwrap_or((28, 1))
}

/// A picture cropped to a square and brought to a side and channels.
pub fn fit(image: &image::RgbImage, (side, channels): (usize, usize)) -> Option<Picture> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let images = Images::new(height, width, 3, image.as_raw().clone(), None).ok()?;
    if images.is_empty() {
        return None;
    }
    Picture::of(&images.resized(side).with_channels(channels), 0)
}

/// What a file is for, by its name and first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Picture,
    Data,
    Checkpoint,
    Points,
}

fn kind_of(name: &str, head: &[u8]) -> Option<Kind> {
    let name = name.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|e| name.ends_with(e));
    if ends(&[".safetensors"]) {
        return Some(Kind::Checkpoint);
    }
    if ends(&[".csv", ".tsv"]) {
        return Some(Kind::Points);
    }
    if ends(&[".zip", ".gz", ".tgz", ".tar", ".bin", ".idx", "-ubyte"]) {
        return Some(Kind::Data);
    }
    let readable = |format: ImageFormat| format.reading_enabled();
    if image::guess_format(head).is_ok_and(readable)
        || ImageFormat::from_path(&name).is_ok_and(readable)
    {
        return Some(Kind::Picture);
    }
    // Zip, gzip, and IDX of bytes in three or four dimensions.
    let magic: [&[u8]; 4] = [b"PK\x03\x04", b"\x1f\x8b", b"\0\0\x08\x03", b"\0\0\x08\x04"];
    (magic.iter().any(|m| head.starts_with(m))).then_some(Kind::Data)
}

/// The answer to a file's content.
fn answer(name: &str, kind: Kind, bytes: Vec<u8>) -> Answer {
    match kind {
        Kind::Checkpoint => Answer::Command(Command::Train(TrainCommand::Restore(bytes.into()))),
        Kind::Data => Answer::Command(own_data(OwnSource::Bytes(name.into(), bytes.into()))),
        Kind::Points => Answer::Points(name.into(), bytes),
        Kind::Picture => match decode(&bytes) {
            Ok(image) => Answer::Picture(image),
            Err(reason) => Answer::Notice {
                text: text::bad_picture(name, &reason),
                error: true,
            },
        },
    }
}

fn own_data(source: OwnSource) -> Command {
    Command::OpenData(DataChoice::Own {
        source,
        options: noiselab::data::LoadOptions::default(),
    })
}

fn decode(bytes: &[u8]) -> Result<image::RgbImage, String> {
    const MAX_SIDE: u32 = 16384;
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| e.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let image = reader.decode().map_err(|e| e.to_string())?;
    Ok(image.to_rgb8())
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use noiselab::session::{command::ModelChoice, link::Link};

    use super::*;

    fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
        let image = image::RgbImage::from_pixel(width, height, image::Rgb(colour));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("a picture in memory");
        bytes.into_inner()
    }

    #[test]
    fn files_are_told_apart_by_name_and_content() {
        let cases: [(&str, &[u8], Option<Kind>); 10] = [
            ("points.CSV", b"1,2", Some(Kind::Points)),
            ("seven.png", b"", Some(Kind::Picture)),
            ("seven", &png(2, 2, [0; 3]), Some(Kind::Picture)),
            ("Photos.ZIP", b"", Some(Kind::Data)),
            ("photos", b"PK\x03\x04rest", Some(Kind::Data)),
            ("train-images-idx3-ubyte", b"", Some(Kind::Data)),
            ("images", b"\0\0\x08\x03\0\0\0\x01", Some(Kind::Data)),
            ("state.safetensors", b"", Some(Kind::Checkpoint)),
            ("notes.txt", b"hello", None),
            ("", b"", None),
        ];
        for (name, head, kind) in cases {
            assert_eq!(kind_of(name, head), kind, "{name}");
        }
    }

    #[test]
    fn a_picture_gets_the_datas_shape() {
        let image = decode(&png(6, 3, [255, 0, 0])).expect("a picture");
        let colour = fit(&image, (4, 3)).expect("fits");
        assert_eq!((colour.channels, colour.height, colour.width), (3, 4, 4));
        assert_eq!(colour.values.len(), 48);
        assert!(colour.values[..16].iter().all(|&v| v > 0.99));
        assert!(colour.values[16..].iter().all(|&v| v < -0.99));
        let grey = fit(&image, (8, 1)).expect("fits");
        assert_eq!(grey.values.len(), 64);
        assert!(decode(b"no picture").is_err());
        assert!(decode(&png(6, 3, [0; 3])[..30]).is_err());
    }

    #[test]
    fn answers_become_commands_pictures_and_notices() {
        let (link, session) = Link::recording();
        let mut shared = Shared::new(link, None);
        let outbox = shared.files.outbox();
        outbox.push(answer("a.png", Kind::Picture, png(9, 9, [9; 3])));
        assert_eq!(attend(&mut shared), Some("forward"));
        assert_eq!(shared.picture.as_ref().map(|p| p.height), Some(28));
        outbox.push(answer("a.csv", Kind::Points, b"1,2".to_vec()));
        assert_eq!(attend(&mut shared), Some("lab"));
        assert_eq!(shared.points, Some(("a.csv".into(), b"1,2".to_vec())));
        outbox.push(answer("broken.png", Kind::Picture, b"x".to_vec()));
        outbox.push(answer("a.zip", Kind::Data, b"zip".to_vec()));
        outbox.push(answer("a.safetensors", Kind::Checkpoint, b"s".to_vec()));
        assert_eq!(attend(&mut shared), None);
        assert!(shared.notices.iter().any(|n| n.text.contains("broken.png")));
        let sent: Vec<_> = session.commands.try_iter().collect();
        assert!(
            matches!(
                &sent[..],
                [
                    Command::OpenData(DataChoice::Own {
                        source: OwnSource::Bytes(name, _),
                        ..
                    }),
                    Command::Train(TrainCommand::Restore(_)),
                ] if name == "a.zip"
            ),
            "{sent:?}"
        );
    }

    #[test]
    fn dropped_files_are_read_beside_the_interface() {
        let dir = tempfile::tempdir().expect("a folder");
        let picture = dir.path().join("a.png");
        std::fs::write(&picture, png(5, 5, [1; 3])).expect("written");
        let model = dir.path().join("model");
        std::fs::create_dir_all(model.join("unet")).expect("made");
        std::fs::write(model.join("unet/config.json"), "{}").expect("written");
        let outbox = Outbox::default();
        let wait = || {
            for _ in 0..500 {
                if let Some(answer) = outbox.take().pop() {
                    return answer;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            panic!("no answer");
        };
        let read = |path: &std::path::Path| {
            place::read_path(&outbox, path.to_owned());
            wait()
        };
        assert!(matches!(read(&picture), Answer::Picture(_)));
        assert!(matches!(
            read(&model),
            Answer::Command(Command::OpenModel(ModelChoice::Folder(_)))
        ));
        assert!(matches!(
            read(dir.path()),
            Answer::Command(Command::OpenData(DataChoice::Own { .. }))
        ));
        let absent = read(&dir.path().join("absent.png"));
        assert!(matches!(absent, Answer::Notice { error: true, .. }));
        let unknown = dir.path().join("notes.txt");
        std::fs::write(&unknown, "hello").expect("written");
        assert!(matches!(read(&unknown), Answer::Notice { error: true, .. }));
    }
}

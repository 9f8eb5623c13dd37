//! The interface's end of a session: a worker thread natively, the session itself in the page, and a recording for
//! tests.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
#[cfg(target_arch = "wasm32")]
use std::{cell::RefCell, rc::Rc};
use std::{fmt, sync::Arc};
#[cfg(not(target_arch = "wasm32"))]
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

#[cfg(target_arch = "wasm32")]
use super::live::Pumped;
use super::{command::Command, event::Event, live::Session};
use crate::gpu::Gpu;

/// Sends commands to a session and hears its events.
pub struct Link {
    #[cfg(not(target_arch = "wasm32"))]
    commands: Sender<Command>,
    #[cfg(not(target_arch = "wasm32"))]
    events: Receiver<Event>,
    #[cfg(not(target_arch = "wasm32"))]
    worker: Option<std::thread::JoinHandle<()>>,
    /// Until when the session leaves the device to the interface.
    #[cfg(not(target_arch = "wasm32"))]
    held: Arc<Mutex<Held>>,
    #[cfg(target_arch = "wasm32")]
    session: Rc<RefCell<Session>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// When the interface has the device for itself.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, Copy)]
struct Held {
    from: Instant,
    until: Instant,
}

/// The session's end of a [`Link`] in tests: what was sent, and what is to be heard.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub struct Recording {
    /// What the interface sent.
    pub commands: Receiver<Command>,
    /// What it hears.
    pub events: Sender<Event>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Link {
    /// Starts a session on a thread of its own; `wake` is called when there are events.
    ///
    /// # Errors
    /// The system's refusal of a thread.
    pub fn start(gpu: &Arc<Gpu>, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (outbox, events) = channel();
        let gpu = Arc::clone(gpu);
        let held = Arc::new(Mutex::new(Held::none()));
        let seen = Arc::clone(&held);
        let worker = std::thread::Builder::new()
            .name("session".into())
            .spawn(move || work(&gpu, (&inbox, &outbox), &seen, &wake))?;
        Ok(Self {
            commands,
            events,
            worker: Some(worker),
            held,
        })
    }

    /// Asks the session to submit nothing for `time`, as a frame is about to be drawn: on a software
    /// adapter both would share the processor. At most half of the time is granted.
    pub fn hold(&self, time: Duration) {
        let time = time.min(Self::LONGEST_HOLD);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now >= held.until + (held.until - held.from) {
            *held = Held {
                from: now,
                until: now + time,
            };
        }
    }

    const LONGEST_HOLD: Duration = Duration::from_millis(80);

    /// A link without a session, for tests of an interface.
    pub fn recording() -> (Self, Recording) {
        let (commands, received) = channel();
        let (sender, events) = channel();
        let link = Self {
            commands,
            events,
            worker: None,
            held: Arc::new(Mutex::new(Held::none())),
        };
        let recording = Recording {
            commands: received,
            events: sender,
        };
        (link, recording)
    }

    /// Sends a command.
    pub fn send(&self, command: Command) {
        // A session that is gone has said so by an event.
        let _ = self.commands.send(command);
    }

    /// The events since the last call.
    pub fn poll(&mut self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Ends the session, waiting for the work under way.
    pub fn close(self) {
        drop(self.commands);
        if let Some(worker) = self.worker {
            let _ = worker.join();
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Held {
    fn none() -> Self {
        let now = Instant::now();
        Self {
            from: now,
            until: now,
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn work(
    gpu: &Arc<Gpu>,
    (inbox, outbox): (&Receiver<Command>, &Sender<Event>),
    held: &Mutex<Held>,
    wake: &dyn Fn(),
) {
    use super::live::Pumped;

    let mut session = Session::new(gpu);
    loop {
        let until = held.lock().unwrap_or_else(PoisonError::into_inner).until;
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        let pumped = session.pump();
        let events = session.take_events();
        let any = !events.is_empty();
        for event in events {
            if outbox.send(event).is_err() {
                return;
            }
        }
        if any {
            wake();
        }
        let patience = match pumped {
            Pumped::Busy => std::time::Duration::ZERO,
            Pumped::Waiting => {
                session.wait();
                std::time::Duration::ZERO
            }
            Pumped::Idle => std::time::Duration::from_millis(100),
        };
        match inbox.recv_timeout(patience) {
            Ok(command) => {
                session.handle(command);
                inbox.try_iter().for_each(|c| session.handle(c));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl Link {
    /// Starts a session in place.
    ///
    /// # Errors
    /// None; the signature is that of the native one.
    pub fn start(gpu: &Arc<Gpu>, _wake: impl Fn() + 'static) -> std::io::Result<Self> {
        Ok(Self {
            session: Rc::new(RefCell::new(Session::new(gpu))),
        })
    }

    /// Sends a command.
    pub fn send(&self, command: Command) {
        if let Ok(mut session) = self.session.try_borrow_mut() {
            session.handle(command);
        }
    }

    /// Goes on for about one slice of time; true if there is more to do.
    pub fn pump(&self) -> bool {
        match self.session.try_borrow_mut() {
            Ok(mut session) => session.pump() != Pumped::Idle,
            Err(_) => true,
        }
    }

    /// The events since the last call.
    pub fn poll(&mut self) -> Vec<Event> {
        match self.session.try_borrow_mut() {
            Ok(mut session) => session.take_events(),
            Err(_) => Vec::new(),
        }
    }

    /// Another handle to the same session, to pump it while the page is hidden.
    pub fn share(&self) -> Self {
        Self {
            session: Rc::clone(&self.session),
        }
    }

    /// Ends the session.
    pub fn close(self) {}
}

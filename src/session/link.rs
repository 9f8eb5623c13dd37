//! The interface's end of a session: a worker thread natively, the session itself in the page, and a recording for
//! tests.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
#[cfg(target_arch = "wasm32")]
use std::{cell::RefCell, rc::Rc};
use std::{fmt, sync::Arc, time::Duration};

use web_time::Instant;

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
    #[cfg(not(target_arch = "wasm32"))]
    hold: Hold,
    #[cfg(target_arch = "wasm32")]
    session: Rc<RefCell<Session>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// Whose turn it is on the device while an interface draws frames: on a software adapter both would share the
/// processor, and a submission keeps others waiting. Time is given by the caller.
#[derive(Debug)]
pub struct Turns {
    /// The longest frame that is waited for.
    longest: Duration,
    /// Frames that follow each other without a gap leave the session one slice in this time.
    starved: Duration,
    /// When the frame began that is not drawn yet.
    drawing: Option<Instant>,
    /// When the session last had its turn.
    turn: Option<Instant>,
}

impl Turns {
    /// Of frames of at most `longest`, without a gap leaving the session a slice every `starved`.
    pub const fn new(longest: Duration, starved: Duration) -> Self {
        Self {
            longest,
            starved,
            drawing: None,
            turn: None,
        }
    }

    /// A frame begins: until [`Turns::drawn`] the session submits nothing, or one slice when it would starve.
    pub const fn begin(&mut self, now: Instant) {
        self.drawing = Some(now);
    }

    /// The frame is drawn; when it began.
    pub const fn drawn(&mut self) -> Option<Instant> {
        self.drawing.take()
    }

    /// Whether the session may submit; it then does.
    pub fn is_free(&mut self, now: Instant) -> bool {
        let over = |since: Option<Instant>, time| since.is_none_or(|t| now >= t + time);
        let free = over(self.drawing, self.longest) || over(self.turn, self.starved);
        if free {
            self.turn = Some(now);
        }
        free
    }
}

/// [`Turns`] of two threads. Cheap to clone.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone)]
pub struct Hold(Arc<(Mutex<Turns>, Condvar)>);

#[cfg(not(target_arch = "wasm32"))]
impl Default for Hold {
    fn default() -> Self {
        let turns = Turns::new(Self::LONGEST, Self::STARVED);
        Self(Arc::new((Mutex::new(turns), Condvar::new())))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Hold {
    const LONGEST: Duration = Duration::from_millis(150);
    /// With slices of [`Pace::INTERACTIVE`](super::pacer::Pace::INTERACTIVE) a sixth of the time, however many
    /// frames follow each other.
    const STARVED: Duration = Duration::from_millis(40);
    /// How often the device is asked whether the frame is done.
    const LOOK: Duration = Duration::from_millis(1);

    /// A frame begins, see [`Turns::begin`].
    pub fn take(&self) {
        self.lock().begin(Instant::now());
    }

    /// The frame is drawn.
    pub fn release(&self) {
        self.lock().drawn();
        self.0.1.notify_all();
    }

    /// Waits until the session may submit, calling `look` in between; `look` may lead to [`Hold::release`].
    fn wait(&self, look: impl Fn()) {
        loop {
            let mut turns = self.lock();
            if turns.is_free(Instant::now()) {
                return;
            }
            let woken = self.0.1.wait_timeout(turns, Self::LOOK);
            drop(woken);
            look();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    /// Starts a session on a thread of its own; `wake` is called when there are events, with true if one of them is to
    /// be shown at once, see [`Event::may_wait`].
    ///
    /// # Errors
    /// The system's refusal of a thread.
    pub fn start(gpu: &Arc<Gpu>, wake: impl Fn(bool) + Send + 'static) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (outbox, events) = channel();
        let gpu = Arc::clone(gpu);
        let hold = Hold::default();
        let seen = hold.clone();
        let worker = std::thread::Builder::new()
            .name("session".into())
            .spawn(move || work(&gpu, (&inbox, &outbox), &seen, &wake))?;
        Ok(Self {
            commands,
            events,
            worker: Some(worker),
            hold,
        })
    }

    /// What keeps the session off the device while a frame is drawn.
    pub fn hold(&self) -> Hold {
        self.hold.clone()
    }

    /// A link without a session, for tests of an interface.
    pub fn recording() -> (Self, Recording) {
        let (commands, received) = channel();
        let (sender, events) = channel();
        let link = Self {
            commands,
            events,
            worker: None,
            hold: Hold::default(),
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
fn work(
    gpu: &Arc<Gpu>,
    (inbox, outbox): (&Receiver<Command>, &Sender<Event>),
    hold: &Hold,
    wake: &dyn Fn(bool),
) {
    use super::live::Pumped;

    let mut session = Session::new(gpu);
    loop {
        hold.wait(|| gpu.poll());
        let pumped = session.pump();
        let events = session.take_events();
        let any = !events.is_empty();
        let urgent = !events.iter().all(Event::may_wait);
        for event in events {
            if outbox.send(event).is_err() {
                return;
            }
        }
        if any {
            wake(urgent);
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
    pub fn start(gpu: &Arc<Gpu>, _wake: impl Fn(bool) + 'static) -> std::io::Result<Self> {
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

    /// Goes on for about one slice of time, see [`Session::set_calm`]; true if there is more to do.
    pub fn pump(&self, calm: bool) -> bool {
        match self.session.try_borrow_mut() {
            Ok(mut session) => {
                session.set_calm(calm);
                session.pump() != Pumped::Idle
            }
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

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_the_session_off_until_it_is_drawn() {
        let hold = Hold::default();
        let looks = std::cell::Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            if looks.get() == 3 {
                hold.release();
            }
        };
        hold.wait(look);
        assert_eq!(looks.get(), 0, "nothing is held");
        hold.take();
        hold.wait(look);
        assert_eq!(looks.get(), 3, "it waits for the frame");
        hold.wait(look);
        assert_eq!(looks.get(), 3, "and is free again");
    }

    #[test]
    fn frames_without_end_do_not_starve_the_session() {
        let hold = Hold::default();
        hold.wait(|| {});
        let begun = Instant::now();
        for _ in 0..3 {
            hold.take();
            hold.wait(|| hold.take());
        }
        assert!(begun.elapsed() >= Hold::STARVED * 3);
        assert!(
            begun.elapsed() < Hold::STARVED * 30,
            "it is free now and then"
        );
    }
}

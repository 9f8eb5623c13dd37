//! The session that an interface drives: [`Command`]s in, [`Event`]s out, and [`Session::pump`] in between,
//! which never waits. Natively a [`Link`](super::link::Link) pumps it on a thread of its own, as software adapters work
//! while they are being talked to; the page pumps it between frames.

use std::{collections::VecDeque, sync::Arc};

use super::{
    command::Command,
    event::{Event, Job},
};
use crate::gpu::Gpu;

/// What a session did in a [`Session::pump`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// It got on, and there is more to do.
    Busy,
    /// It waits for the device.
    Waiting,
    /// There is nothing to do.
    Idle,
}

/// All work of an interface on one device.
#[derive(Debug)]
pub struct Session {
    gpu: Arc<Gpu>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session without data or model.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        let ready = Event::Ready {
            adapter: gpu.info.name.clone(),
            software: gpu.capabilities.software,
        };
        Self {
            gpu: Arc::clone(gpu),
            events: VecDeque::from([ready]),
        }
    }

    /// Takes a request.
    pub fn handle(&mut self, command: Command) {
        let _ = (&self.gpu, command);
        self.events.push_back(Event::Failed {
            job: Job::Data,
            message: String::new(),
        });
    }

    /// Goes on for about one slice of time.
    pub fn pump(&mut self) -> Pumped {
        Pumped::Idle
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// Waits a little for the device. Native only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&mut self) {}
}

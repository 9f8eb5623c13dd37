//! A device that was lost. Nothing can be drawn with it: natively the program starts anew on another one, and the new
//! window says what happened and goes on; in the page `web/host.js` loads the page again.

use serde::{Deserialize, Serialize};

/// What a program that starts anew must know of the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// What the driver said.
    pub reason: String,
    /// What was shown, as [`App::address`](super::app::App::address) writes it.
    pub address: String,
    /// Training ran.
    pub training: bool,
    /// Losses so far, each soon after the one before.
    pub times: u32,
}

#[cfg(not(target_arch = "wasm32"))]
pub use native::{Kept, restart};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::{
        cell::RefCell,
        process::Command,
        rc::Rc,
        sync::Arc,
        time::{Duration, Instant},
    };

    use noiselab::gpu::{Gpu, GpuError};

    use super::Lost;
    use crate::ui::strings::app as text;

    /// The variable that hands a [`Lost`] to the new program.
    const VARIABLE: &str = "NOISELAB_LOST";
    /// Losses in a row after which it ends.
    const MOST: u32 = 3;
    /// After so long, the next loss is the first one again.
    const SOON: Duration = Duration::from_secs(60);

    /// What is kept of the app for the case that the device is lost, also while a frame is painted.
    #[derive(Debug, Clone, Default)]
    pub struct Kept(Rc<RefCell<State>>);

    #[derive(Debug, Default)]
    struct State {
        gpu: Option<Arc<Gpu>>,
        lost: Lost,
        since: Option<Instant>,
    }

    impl Kept {
        /// From the program's start, with what the one before left.
        pub fn new() -> (Self, Option<Lost>) {
            let before = std::env::var(VARIABLE).ok();
            let before = before.and_then(|text| serde_json::from_str::<Lost>(&text).ok());
            let times = before.as_ref().map_or(0, |lost| lost.times);
            let state = State {
                gpu: None,
                lost: Lost {
                    times,
                    ..Lost::default()
                },
                since: Some(Instant::now()),
            };
            (Self(Rc::new(RefCell::new(state))), before)
        }

        /// The device that is used.
        pub fn uses(&self, gpu: &Arc<Gpu>) {
            self.0.borrow_mut().gpu = Some(Arc::clone(gpu));
        }

        /// What the app shows and does.
        pub fn note(&self, address: String, training: bool) {
            let mut state = self.0.borrow_mut();
            state.lost.address = address;
            state.lost.training = training;
        }

        /// What to hand on, if the device is gone.
        pub fn lost(&self) -> Option<Lost> {
            let state = self.0.borrow();
            let Err(GpuError::Lost { reason }) = state.gpu.as_ref()?.check() else {
                return None;
            };
            let recent = state.since.is_some_and(|since| since.elapsed() < SOON);
            Some(Lost {
                reason,
                times: if recent { state.lost.times + 1 } else { 1 },
                ..state.lost.clone()
            })
        }
    }

    /// Starts the program anew in place of this one, which ends. Returns only where that does not help or cannot be
    /// done: with a sentence on why.
    pub fn restart(lost: &Lost) -> String {
        if lost.times > MOST {
            return text::lost_again(&lost.reason);
        }
        let failed = |e: std::io::Error| text::no_restart(&lost.reason, &e.to_string());
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(e) => return failed(e),
        };
        let mut command = Command::new(program);
        command
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, serde_json::to_string(lost).unwrap_or_default())
            .env_remove(super::LOSE_AFTER);
        // Where a process can turn into another one, the shell that waits for it does not notice.
        #[cfg(unix)]
        let error = std::os::unix::process::CommandExt::exec(&mut command);
        #[cfg(not(unix))]
        let error = match command.status() {
            Ok(status) => std::process::exit(status.code().unwrap_or(1)),
            Err(e) => e,
        };
        failed(error)
    }
}

/// Loses the device so many seconds after the start, to try what happens then.
#[cfg(not(target_arch = "wasm32"))]
pub const LOSE_AFTER: &str = "NOISELAB_LOSE_DEVICE_AFTER";

//! All that the app says to its users, so that a teacher can translate it.

pub mod app;
pub mod cards;
#[cfg_attr(
    target_arch = "wasm32",
    expect(dead_code, reason = "the browser has dialogs of its own")
)]
pub mod files;
pub mod forward;
pub mod lab;
pub mod network;
pub mod reverse;
pub mod training;

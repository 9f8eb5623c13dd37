//! The app: rooms around one session, in a window and in the page. `app` holds it together, `panels` has one
//! file a room, `widgets` what rooms share. The numeric work is the library's: the interface sends
//! [`Command`](noiselab::session::command::Command)s and draws what [`Event`](noiselab::session::event::Event)s bring.

pub mod address;
pub mod app;
mod bars;
mod bench;
pub mod device;
pub mod files;
#[cfg(not(target_arch = "wasm32"))]
mod frame_end;
mod help;
mod keys;
pub mod lost;
#[cfg(not(target_arch = "wasm32"))]
mod measure;
#[cfg(target_arch = "wasm32")]
mod page;
pub mod panel;
pub mod panels;
#[cfg_attr(not(target_arch = "wasm32"), path = "platform/native.rs")]
#[cfg_attr(target_arch = "wasm32", path = "platform/web.rs")]
pub mod platform;
pub mod shared;
pub mod status;
pub mod strings;
pub mod theme;
pub mod timeline;
mod toasts;
pub mod tour;
pub mod widgets;

//! **noiselab**: see how a diffusion model works and train one of your own, on any GPU.
//!
//! The library is the numeric core; it knows nothing of any interface. The model is DDPM
//! (Ho, Jain, Abbeel 2020, arXiv:2006.11239). `ARCHITECTURE.md` is the map.

#![cfg_attr(
    target_arch = "wasm32",
    expect(
        clippy::arc_with_non_send_sync,
        reason = "the page has one thread, and wgpu's types know it"
    )
)]

pub mod bench;
pub mod data;
pub mod diffusion;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod eval;
pub mod gpu;
pub mod image_out;
pub mod metrics;
pub mod nn;
#[cfg(not(target_arch = "wasm32"))]
pub mod parity;
pub mod rng;
pub mod session;

pub use error::{Error, Result};

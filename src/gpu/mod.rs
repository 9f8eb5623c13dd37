//! The device: adapter and limits ([`context`]), kernels ([`kernel`], [`shaders`]), memory
//! ([`memory`]), late readback ([`readback`]), times ([`timing`]) and textures for the screen ([`film`], [`cloud`]).

pub mod cloud;
pub mod context;
pub mod film;
pub mod half;
pub mod kernel;
pub mod memory;
pub mod readback;
pub mod shaders;
pub mod timing;
pub mod unroll;

pub use context::{AdapterChoice, Gpu};
pub use memory::View;

/// The device is missing, lost or too small for what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// No adapter of any backend.
    #[error("No graphics adapter that can compute was found; {advice}")]
    NoAdapter {
        /// What to install on this system.
        advice: &'static str,
    },
    /// `--adapter NAME` matches nothing.
    #[error("No adapter's name contains \"{wanted}\"; this machine has: {available}.")]
    NoSuchAdapter {
        /// The name asked for.
        wanted: String,
        /// The names there are.
        available: String,
    },
    /// `--cpu` finds no software adapter.
    #[error("This machine has no software adapter, only {available}; leave --cpu out to use that.")]
    NoSoftwareAdapter {
        /// The names there are.
        available: String,
    },
    /// The adapter refused to open a device.
    #[error(
        "The adapter \"{adapter}\" could not be opened ({reason}); try another with --adapter, or --cpu."
    )]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// One tensor is larger than the device can bind.
    #[error(
        "\"{what}\" needs {needed} bytes in one piece but {limit_name} of this adapter is {limit}; {advice}"
    )]
    TooBig {
        /// The tensor or buffer.
        what: String,
        /// Bytes it needs.
        needed: u64,
        /// The limit's name in WebGPU.
        limit_name: &'static str,
        /// The limit, in bytes.
        limit: u64,
        /// What would fit.
        advice: String,
    },
    /// The driver ran out of memory.
    #[error(
        "The device ran out of memory while allocating {bytes} bytes for {what}; use a smaller batch (--batch), activation checkpointing (--checkpoint-activations) or a smaller model."
    )]
    OutOfMemory {
        /// What was being allocated.
        what: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The device went away.
    #[error(
        "The graphics device was lost ({reason}); run the command again with --resume to go on from the last checkpoint."
    )]
    Lost {
        /// What the driver said.
        reason: String,
    },
    /// Storage as f16 was asked of an adapter that has none.
    #[error(
        "The adapter \"{adapter}\" has no 16-bit numbers (shader-f16); keep feature maps in 32 bits (without --precision f16), or choose another adapter (--adapter)."
    )]
    NoF16 {
        /// The adapter's name.
        adapter: String,
    },
    /// A kernel does not compile or does not fit the device.
    #[error(
        "The kernel {kernel} cannot run on this adapter ({reason}); please report it with the output of `noiselab info`."
    )]
    Kernel {
        /// stem and entry point.
        kernel: String,
        /// Why.
        reason: String,
    },
}

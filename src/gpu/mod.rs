//! The device: adapter, limits, kernels, buffers.

/// The device is missing, lost or too small.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {}

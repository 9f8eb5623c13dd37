//! The diffusion mathematics: schedules, the forward process, samplers, the likelihood.

/// A request that the diffusion mathematics cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum DiffusionError {}

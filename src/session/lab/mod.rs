//! The 2-D lab: diffusion in the plane, where everything can be seen and the exact answer is known.

pub mod command;
pub mod event;

/// Half the side of the square that the lab shows, [−EXTENT, EXTENT]², in data units.
pub const EXTENT: f32 = 3.0;

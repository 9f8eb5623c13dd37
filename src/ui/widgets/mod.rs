//! What rooms share.

mod film;

pub use film::{film_frame, film_tile};

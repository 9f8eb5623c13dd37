//! All that the app says to its users, so that a teacher can translate it.

pub mod app;
pub mod cards;
pub mod forward;
pub mod training;

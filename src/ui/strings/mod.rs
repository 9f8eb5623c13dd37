//! All that the app says to its users, so that a teacher can translate it.

pub mod app;
pub mod cards;
pub mod files;
pub mod forward;
pub mod network;
pub mod reverse;
pub mod training;

//! Rail, scrubber, status and messages.

/// The foldable card of a room.
pub const CARD_TITLE: &str = "What am I seeing?";

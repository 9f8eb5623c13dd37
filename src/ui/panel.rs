//! What a room is. The rooms are listed in [`super::panels::all`].

use noiselab::session::event::Event;

use super::{
    shared::Shared,
    strings::app::{IMAGES, TimeWords},
    widgets::Card,
};

/// A room of the app. It holds view state only: what is computed lives in the session and comes by events.
pub trait Panel {
    /// Name in addresses and tests: lower case, no spaces.
    fn id(&self) -> &'static str;

    /// What the rail calls it.
    fn title(&self) -> &'static str;

    /// Takes note of something that happened; every room hears everything.
    fn on_event(&mut self, event: &Event, shared: &mut Shared);

    /// Called once a frame when the room is shown, before it is drawn: sends what it needs.
    fn update(&mut self, shared: &mut Shared);

    /// Draws the room.
    fn ui(&mut self, ui: &mut egui::Ui, shared: &mut Shared);

    /// Its "What am I seeing" card, which the app draws above the room.
    fn card(&self) -> Option<&'static Card> {
        None
    }

    /// What the scrubber says of t = 0.
    fn time_words(&self) -> &'static TimeWords {
        &IMAGES
    }

    /// T, where the room's settings say so.
    fn timesteps(&self) -> Option<usize> {
        None
    }

    /// Its part of [`super::status`], for tests in a browser; an object, or null for nothing.
    fn status(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Its part of the page's address: keys and values.
    fn address(&self, shared: &Shared) -> Vec<(&'static str, String)> {
        let _ = shared;
        Vec::new()
    }

    /// Takes over what an address says; unknown keys and values are left out silently.
    fn set_address(&mut self, key: &str, value: &str, shared: &mut Shared) {
        let _ = (key, value, shared);
    }
}

//! Network.

use noiselab::session::event::Event;

use crate::ui::{panel::Panel, shared::Shared};

/// The room.
#[derive(Debug, Default)]
pub struct Network {}

impl Panel for Network {
    fn id(&self) -> &'static str {
        "network"
    }

    fn title(&self) -> &'static str {
        "Network"
    }

    fn on_event(&mut self, event: &Event, shared: &mut Shared) {
        let _ = (event, shared);
    }

    fn update(&mut self, shared: &mut Shared) {
        let _ = shared;
    }

    fn ui(&mut self, ui: &mut egui::Ui, shared: &mut Shared) {
        let _ = shared;
        ui.label(self.title());
    }
}

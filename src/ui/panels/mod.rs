//! The rooms, one file each, in the order of the story.

mod bars;
mod flow;
mod forward;
mod lab;
mod layout;
mod network;
mod reverse;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod testing;
mod training;

use super::panel::Panel;

/// Every room. A new one is one file and one line here.
pub fn all() -> Vec<Box<dyn Panel>> {
    vec![
        Box::new(forward::Forward::default()),
        Box::new(training::Training::default()),
        Box::new(reverse::Reverse::default()),
        Box::new(network::Network::default()),
        Box::new(lab::Lab::default()),
    ]
}

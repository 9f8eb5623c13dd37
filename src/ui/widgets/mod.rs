//! What rooms share.

mod card;
mod controls;
mod film;
mod icon;
pub mod math;
mod plot;

pub use card::{Card, Equation, card};
pub use controls::{
    button, combo, drag, figure, hint, log_slider, primary_button, segmented, slider, toggle,
    warning,
};
pub use film::{film_frame, film_tile};
pub use icon::{Icon, icon_button, paint_badge, play_button};
pub use math::{equation, tex};
pub use plot::{
    PlotOptions, Series, X_AXIS, figure as number, header, line_plot, round_marks, still_plot,
};

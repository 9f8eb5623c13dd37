//! Messages to the user, in a corner of the room. Failures stay until they are dismissed.

use egui::{Align2, Area, Context, CornerRadius, Frame, Id, Margin, Order, Rect, Stroke, vec2};

use super::{
    shared::Notice,
    strings, theme,
    widgets::{Icon, icon_button},
};

/// Seconds that a message stays which tells of no failure.
const PATIENCE: f64 = 6.0;
/// Messages at once; older ones that tell of no failure give way, then the oldest.
const MOST: usize = 4;

/// The messages that are shown.
#[derive(Debug, Default)]
pub struct Toasts {
    /// Oldest first, each with the time when it goes by itself.
    shown: Vec<(Notice, Option<f64>)>,
}

impl Toasts {
    /// Takes over new messages and lets old ones go.
    pub fn take(&mut self, notices: &mut Vec<Notice>, ctx: &Context) {
        let now = ctx.input(|i| i.time);
        for notice in notices.drain(..) {
            self.shown.retain(|(old, _)| *old != notice);
            let end = (!notice.error).then_some(now + PATIENCE);
            self.shown.push((notice, end));
        }
        self.shown
            .retain(|(_, end)| end.is_none_or(|end| end > now));
        while self.shown.len() > MOST {
            let gives_way = self.shown.iter().position(|(n, _)| !n.error);
            self.shown.remove(gives_way.unwrap_or(0));
        }
        let next = self
            .shown
            .iter()
            .filter_map(|(_, end)| *end)
            .fold(f64::INFINITY, f64::min);
        if next.is_finite() {
            let wait = std::time::Duration::from_secs_f64((next - now).clamp(0.0, PATIENCE));
            ctx.request_repaint_after(wait);
        }
    }

    /// Closes the newest.
    pub fn dismiss_newest(&mut self) {
        self.shown.pop();
    }

    /// Draws them at the bottom right of the room.
    pub fn draw(&mut self, ctx: &Context, room: Rect) {
        if self.shown.is_empty() || !room.is_positive() {
            return;
        }
        let width = 360.0_f32.min(room.width() - 24.0);
        let mut closed = None;
        Area::new(Id::unique("toasts"))
            .order(Order::Foreground)
            .pivot(Align2::RIGHT_BOTTOM)
            .fixed_pos(room.right_bottom() - vec2(12.0, 12.0))
            .show(ctx, |ui| {
                ui.set_width(width);
                for (i, (notice, _)) in self.shown.iter().enumerate() {
                    let edge = if notice.error {
                        ui.visuals().error_fg_color
                    } else {
                        theme::accent(ui)
                    };
                    let shown = Frame::new()
                        .fill(theme::card_fill(ui))
                        .stroke(Stroke::new(1.0, theme::line(ui)))
                        .corner_radius(CornerRadius::same(8))
                        .shadow(ui.visuals().popup_shadow)
                        .inner_margin(Margin {
                            left: 16,
                            right: 8,
                            top: 8,
                            bottom: 8,
                        })
                        .show(ui, |ui| {
                            ui.set_width(width - 24.0);
                            ui.horizontal_top(|ui| {
                                let text = ui.available_width() - 36.0;
                                ui.vertical(|ui| {
                                    ui.set_width(text);
                                    ui.add_space(4.0);
                                    ui.label(notice.text.as_str());
                                    ui.add_space(4.0);
                                });
                                let (label, help) =
                                    (strings::app::DISMISS, strings::app::DISMISS_HELP);
                                if icon_button(ui, Icon::Close, label, help).clicked() {
                                    closed = Some(i);
                                }
                            });
                        });
                    let rect = shown.response.rect;
                    let stripe = Rect::from_min_size(
                        rect.min + vec2(4.0, 8.0),
                        vec2(3.0, rect.height() - 16.0),
                    );
                    ui.painter()
                        .rect_filled(stripe, CornerRadius::same(2), edge);
                }
            });
        if let Some(i) = closed {
            self.shown.remove(i);
        }
    }
}

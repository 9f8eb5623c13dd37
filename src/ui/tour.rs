//! The tour of the first start: five steps, each of which lights one part of the window.

use egui::{
    Area, Color32, Context, CornerRadius, Frame, Id, LayerId, Margin, Order, Rect, Sense, Stroke,
    StrokeKind, TextStyle, Ui, pos2, vec2,
};

use super::{platform, strings, theme, widgets};

/// The key under which it is remembered that the tour was seen.
const SEEN: &str = "tour";

/// Where the parts of the window are.
#[derive(Debug, Clone, Copy)]
pub struct Areas {
    /// The rooms.
    pub rail: Rect,
    /// The scrubber.
    pub scrubber: Rect,
    /// The room.
    pub room: Rect,
    /// The card, if the room has one.
    pub card: Rect,
    /// Theme, zoom, help.
    pub tools: Rect,
}

impl Default for Areas {
    fn default() -> Self {
        let none = Rect::NOTHING;
        Self {
            rail: none,
            scrubber: none,
            room: none,
            card: none,
            tools: none,
        }
    }
}

/// The tour's state.
#[derive(Debug, Default)]
pub struct Tour {
    step: Option<usize>,
}

impl Tour {
    /// Begins.
    pub fn start(&mut self) {
        self.step = Some(0);
    }

    /// Begins if it was never seen on this computer or in this browser.
    pub fn start_once(&mut self) {
        if platform::recall(SEEN).is_none() {
            self.start();
        }
    }

    /// The step at hand.
    pub const fn step(&self) -> Option<usize> {
        self.step
    }

    /// Goes on; after the last step it ends.
    pub fn next(&mut self) {
        match self.step {
            Some(i) if i + 1 < strings::app::TOUR_STEPS.len() => self.step = Some(i + 1),
            _ => self.end(),
        }
    }

    /// Goes back.
    pub fn back(&mut self) {
        if let Some(i) = self.step {
            self.step = Some(i.saturating_sub(1));
        }
    }

    /// Ends and is remembered.
    pub fn end(&mut self) {
        if self.step.take().is_some() {
            platform::remember(SEEN, "seen");
        }
    }

    /// Draws the step over everything else.
    pub fn draw(&mut self, ctx: &Context, areas: &Areas) {
        let Some(step) = self.step else { return };
        let Some((title, text)) = strings::app::TOUR_STEPS.get(step) else {
            self.end();
            return;
        };
        let screen = ctx.content_rect();
        let lit = match step {
            0 => areas.rail,
            1 => areas.scrubber,
            2 => areas.room,
            3 => areas.card,
            _ => areas.tools,
        }
        .intersect(screen);
        // A part that is not there: the middle of the window.
        let lit = if lit.is_positive() {
            lit
        } else {
            Rect::from_center_size(screen.center(), vec2(0.0, 0.0))
        };
        let dim = Id::unique("tour dim");
        Area::new(dim)
            .order(Order::Foreground)
            .fixed_pos(screen.min)
            .fade_in(false)
            .show(ctx, |ui| {
                // Takes the clicks, so that nothing behind is pressed by mistake.
                ui.allocate_rect(screen, Sense::click_and_drag());
                shade(ui, screen, lit);
            });
        ctx.move_to_top(LayerId::new(Order::Foreground, dim));

        let width = 320.0_f32.min(screen.width() - 2.0 * theme::PAD);
        let id = Id::unique("tour text");
        let size = Area::new(id)
            .order(Order::Tooltip)
            .fade_in(false)
            .constrain_to(screen)
            .fixed_pos(place(lit, screen, vec2(width, self.height(ctx))))
            .show(ctx, |ui| {
                Frame::new()
                    .fill(theme::card_fill(ui))
                    .stroke(Stroke::new(1.0, theme::line(ui)))
                    .corner_radius(CornerRadius::same(8))
                    .inner_margin(Margin::same(16))
                    .shadow(ui.visuals().window_shadow)
                    .show(ui, |ui| {
                        ui.set_width(width - 32.0);
                        self.text(ui, step, title, text);
                    });
            })
            .response
            .rect
            .size();
        ctx.data_mut(|d| d.insert_temp(id, size.y));
    }

    /// The text's height when it was drawn last.
    fn height(&self, ctx: &Context) -> f32 {
        ctx.data(|d| d.get_temp(Id::unique("tour text")))
            .unwrap_or(200.0)
    }

    fn text(&mut self, ui: &mut Ui, step: usize, title: &str, text: &str) {
        let steps = strings::app::TOUR_STEPS.len();
        ui.horizontal(|ui| {
            for i in 0..steps {
                let (rect, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
                let colour = if i == step {
                    theme::accent(ui)
                } else {
                    theme::line(ui)
                };
                ui.painter().circle_filled(rect.center(), 3.0, colour);
            }
        });
        ui.label(
            egui::RichText::new(title)
                .text_style(theme::section_style())
                .color(theme::strong(ui)),
        );
        widgets::math::text(ui, text, TextStyle::Body, theme::text(ui));
        ui.add_space(theme::GAP);
        ui.horizontal(|ui| {
            let last = step + 1 == steps;
            let next = if last {
                strings::app::TOUR_DONE
            } else {
                strings::app::TOUR_NEXT
            };
            if widgets::primary_button(ui, next, strings::app::TOUR_NEXT_HELP).clicked() {
                self.next();
            }
            if !last
                && widgets::button(ui, strings::app::TOUR_SKIP, strings::app::TOUR_SKIP_HELP)
                    .clicked()
            {
                self.end();
            }
        });
    }
}

/// Darkens all but one part, and frames it.
fn shade(ui: &Ui, screen: Rect, lit: Rect) {
    let painter = ui.painter();
    let dark = Color32::from_black_alpha(170);
    let parts = [
        Rect::from_min_max(screen.min, pos2(screen.right(), lit.top())),
        Rect::from_min_max(pos2(screen.left(), lit.bottom()), screen.max),
        Rect::from_min_max(
            pos2(screen.left(), lit.top()),
            pos2(lit.left(), lit.bottom()),
        ),
        Rect::from_min_max(
            pos2(lit.right(), lit.top()),
            pos2(screen.right(), lit.bottom()),
        ),
    ];
    for part in parts {
        if part.is_positive() {
            painter.rect_filled(part, CornerRadius::ZERO, dark);
        }
    }
    if lit.is_positive() {
        painter.rect_stroke(
            lit,
            CornerRadius::same(6),
            Stroke::new(2.0, theme::ACCENT),
            StrokeKind::Inside,
        );
    }
}

/// Where a text of that size goes beside the lit part: right, below, above, left, or on it.
fn place(lit: Rect, screen: Rect, size: egui::Vec2) -> egui::Pos2 {
    let gap = 12.0;
    let free = screen.shrink(8.0);
    let x = (lit.center().x - size.x / 2.0)
        .clamp(free.left(), (free.right() - size.x).max(free.left()));
    let y = (lit.top() + 16.0).clamp(free.top(), (free.bottom() - size.y).max(free.top()));
    let places = [
        pos2(lit.right() + gap, y),
        pos2(x, lit.bottom() + gap),
        pos2(x, lit.top() - gap - size.y),
        pos2(lit.left() - gap - size.x, y),
    ];
    places
        .into_iter()
        .find(|p| free.contains_rect(Rect::from_min_size(*p, size)))
        .unwrap_or_else(|| lit.center() - size / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stands_beside_what_is_lit() {
        let screen = Rect::from_min_size(pos2(0.0, 0.0), vec2(1280.0, 800.0));
        let size = vec2(320.0, 200.0);
        for lit in [
            Rect::from_min_size(pos2(0.0, 0.0), vec2(168.0, 800.0)),
            Rect::from_min_size(pos2(168.0, 720.0), vec2(1112.0, 80.0)),
            Rect::from_min_size(pos2(1100.0, 0.0), vec2(180.0, 48.0)),
        ] {
            let text = Rect::from_min_size(place(lit, screen, size), size);
            assert!(screen.contains_rect(text), "{lit:?} {text:?}");
            assert!(!text.intersects(lit), "{lit:?} {text:?}");
        }
    }

    #[test]
    fn it_goes_through_all_steps_and_ends() {
        let mut tour = Tour { step: Some(0) };
        for i in 0..5 {
            assert_eq!(tour.step(), Some(i));
            tour.next();
        }
        assert_eq!(tour.step(), None);
    }
}

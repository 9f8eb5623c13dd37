//! Icons, drawn as shapes, so that they are crisp at every zoom.

use egui::{
    Color32, CornerRadius, Painter, Pos2, Rect, Response, Role, Sense, Shape, Stroke, Ui, Vec2,
    WidgetInfo, pos2, vec2,
};

use crate::ui::theme;

/// A picture on a button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    /// Runs.
    Play,
    /// Rests.
    Pause,
    /// One step towards the image.
    Back,
    /// One step towards noise.
    Forward,
    /// It goes to the right.
    Right,
    /// It goes to the left.
    Left,
    /// More.
    Plus,
    /// Less.
    Minus,
    /// Closes.
    Close,
    /// Help.
    Question,
    /// The dark theme.
    Moon,
    /// The light theme.
    Sun,
    /// The tour.
    Compass,
    /// A menu.
    Dots,
}

/// A square button with an icon; `label` is what screen readers say.
pub fn icon_button(ui: &mut Ui, icon: Icon, label: &str, tooltip: &str) -> Response {
    let side = ui.spacing().interact_size.y;
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), label));
    if ui.is_rect_visible(rect) {
        let look = *ui.style().interact(&response);
        let busy =
            response.hovered() || response.has_focus() || response.is_pointer_button_down_on();
        if busy {
            ui.painter().rect(
                rect,
                look.corner_radius,
                look.weak_bg_fill,
                look.bg_stroke,
                egui::StrokeKind::Inside,
            );
        }
        paint(ui.painter(), icon, rect.center(), look.fg_stroke.color);
    }
    response.on_hover_text(tooltip)
}

/// The round button that plays and pauses.
pub fn play_button(ui: &mut Ui, playing: bool, label: &str, tooltip: &str) -> Response {
    let side = ui.spacing().interact_size.y + 8.0;
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), label));
    if ui.is_rect_visible(rect) {
        let fill = if response.hovered() {
            theme::ACCENT.gamma_multiply(0.88)
        } else {
            theme::ACCENT
        };
        let painter = ui.painter();
        painter.circle_filled(rect.center(), side / 2.0, fill);
        if response.has_focus() {
            let ring = Stroke::new(1.0, theme::strong(ui));
            painter.circle_stroke(rect.center(), side / 2.0 - 0.5, ring);
        }
        let icon = if playing { Icon::Pause } else { Icon::Play };
        paint(painter, icon, rect.center(), theme::ON_ACCENT);
    }
    response.on_hover_text(tooltip)
}

/// Paints an icon of 16 points around a place.
pub fn paint(painter: &Painter, icon: Icon, middle: Pos2, colour: Color32) {
    let at = |x: f32, y: f32| middle + vec2(x, y);
    let stroke = Stroke::new(1.5, colour);
    let filled = |points: Vec<Pos2>| {
        painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
    };
    let line = |a: Pos2, b: Pos2| {
        painter.line_segment([a, b], stroke);
    };
    let bar = |x: f32, width: f32| {
        let rect = Rect::from_min_max(at(x, -5.0), at(x + width, 5.0));
        painter.rect_filled(rect, CornerRadius::same(1), colour);
    };
    match icon {
        Icon::Play => filled(vec![at(-3.5, -5.5), at(5.5, 0.0), at(-3.5, 5.5)]),
        Icon::Pause => {
            bar(-4.5, 3.0);
            bar(1.5, 3.0);
        }
        Icon::Back => {
            filled(vec![at(3.5, -4.5), at(3.5, 4.5), at(-3.5, 0.0)]);
            bar_short(painter, at(-4.5, 0.0), colour);
        }
        Icon::Forward => {
            filled(vec![at(-3.5, -4.5), at(3.5, 0.0), at(-3.5, 4.5)]);
            bar_short(painter, at(4.5, 0.0), colour);
        }
        Icon::Right | Icon::Left => {
            let s = if icon == Icon::Right { 1.0 } else { -1.0 };
            line(at(-6.0, 0.0), at(6.0, 0.0));
            line(at(6.0 * s, 0.0), at(2.0 * s, -4.0));
            line(at(6.0 * s, 0.0), at(2.0 * s, 4.0));
        }
        Icon::Plus | Icon::Minus => {
            line(at(-5.0, 0.0), at(5.0, 0.0));
            if icon == Icon::Plus {
                line(at(0.0, -5.0), at(0.0, 5.0));
            }
        }
        Icon::Close => {
            line(at(-4.0, -4.0), at(4.0, 4.0));
            line(at(-4.0, 4.0), at(4.0, -4.0));
        }
        Icon::Question => {
            painter.circle_stroke(middle, 7.0, stroke);
            let font = egui::FontId::proportional(12.0);
            painter.text(middle, egui::Align2::CENTER_CENTER, "?", font, colour);
        }
        Icon::Sun => {
            painter.circle_filled(middle, 3.0, colour);
            for k in 0..8 {
                let way = Vec2::angled(k as f32 * std::f32::consts::FRAC_PI_4);
                line(middle + 5.0 * way, middle + 7.0 * way);
            }
        }
        Icon::Moon => {
            // A disc less another one: the outer arc between the points where their edges meet, and the inner one
            // back.
            let (outer, inner, apart) = (6.0_f32, 5.0_f32, 3.4_f32);
            let way = -std::f32::consts::FRAC_PI_4;
            let cos = (apart * apart + outer * outer - inner * inner) / (2.0 * apart * outer);
            let a = cos.acos();
            let b = ((outer * cos - apart) / inner).acos();
            let whole = std::f32::consts::TAU;
            let arc = |centre: Vec2, r: f32, from: f32, to: f32| {
                (0..=16).map(move |i| {
                    let angle = way + from + (to - from) * i as f32 / 16.0;
                    middle + centre + r * Vec2::angled(angle)
                })
            };
            let bite = apart * Vec2::angled(way);
            let shift = vec2(0.5, -0.5);
            let points = arc(Vec2::ZERO, outer, a, whole - a)
                .chain(arc(bite, inner, whole - b, b))
                .map(|p| p - shift);
            painter.add(Shape::closed_line(points.collect(), stroke));
        }
        Icon::Compass => {
            painter.circle_stroke(middle, 7.0, stroke);
            filled(vec![at(3.2, -3.2), at(1.2, 1.2), at(-1.2, -1.2)]);
            painter.add(Shape::closed_line(
                vec![at(-3.2, 3.2), at(1.2, 1.2), at(-1.2, -1.2)],
                Stroke::new(1.0, colour),
            ));
        }
        Icon::Dots => {
            for x in [-5.0, 0.0, 5.0] {
                painter.circle_filled(at(x, 0.0), 1.6, colour);
            }
        }
    }
}

fn bar_short(painter: &Painter, middle: Pos2, colour: Color32) {
    let rect = Rect::from_center_size(middle, vec2(1.5, 9.0));
    painter.rect_filled(rect, CornerRadius::ZERO, colour);
}

/// Paints the square with a room's number.
pub fn paint_badge(ui: &Ui, number: usize, chosen: bool, rect: Rect) {
    let (fill, text) = if chosen {
        (theme::ACCENT, theme::ON_ACCENT)
    } else {
        (theme::control(ui), theme::text(ui))
    };
    ui.painter().rect_filled(rect, CornerRadius::same(6), fill);
    let font = egui::FontId::proportional(13.0);
    let at = pos2(rect.center().x, rect.center().y);
    ui.painter()
        .text(at, egui::Align2::CENTER_CENTER, number, font, text);
}

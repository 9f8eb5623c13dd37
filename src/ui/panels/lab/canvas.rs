//! The square that the lab shows, [−EXTENT, EXTENT]², with axes.

use egui::{
    Align2, Color32, CornerRadius, Painter, Pos2, Rect, Response, Role, Sense, Stroke, StrokeKind,
    TextStyle, TextureId, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use noiselab::{data::points::Point, gpu::film::Film, session::lab::EXTENT};

use super::pen::Pen;
use crate::ui::{shared::Shared, theme};

/// Left of and below a canvas, for the axes' numbers.
pub const LEFT: f32 = 24.0;
/// Below a canvas.
pub const BELOW: f32 = 18.0;
/// Gap between an axis and its numbers.
const NUMBER_GAP: f32 = 4.0;
/// Numbers on the axes.
const TICKS: [f32; 3] = [-2.0, 0.0, 2.0];

/// A canvas that is being drawn.
pub struct Scene {
    /// Draws inside.
    pub painter: Painter,
    /// Where it is.
    pub rect: Rect,
    /// The pointer and the keyboard on it.
    pub response: Response,
}

impl Scene {
    /// Where a point lies on the screen.
    pub fn place(&self, [x, y]: Point) -> Pos2 {
        let scale = self.scale();
        self.rect.center() + vec2(x * scale, -y * scale)
    }

    /// The point at a place of the screen, within the square.
    pub fn point(&self, at: Pos2) -> Point {
        let from = (at - self.rect.center()) / self.scale();
        [
            from.x.clamp(-EXTENT, EXTENT),
            (-from.y).clamp(-EXTENT, EXTENT),
        ]
    }

    /// Points of the screen a unit.
    pub fn scale(&self) -> f32 {
        self.rect.width() / (2.0 * EXTENT)
    }

    /// A pen for it.
    pub fn pen(&self) -> Pen {
        Pen::new(&self.painter)
    }

    /// A texture over the whole of it.
    pub fn texture(&self, texture: TextureId, tint: Color32) {
        let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        self.painter.image(texture, self.rect, whole, tint);
    }

    /// Particles.
    pub fn cloud(&self, shared: &mut Shared, film: &Film, layer: usize, tint: Color32) {
        let layer = layer.min(film.layers().saturating_sub(1));
        if let Some(texture) = shared.smooth_texture(film, layer) {
            self.texture(texture, tint);
        }
    }

    /// A sentence in the middle, on a plate that keeps it legible whatever lies below.
    pub fn note(&self, ui: &Ui, text: &str) {
        let font = TextStyle::Small.resolve(ui.style());
        let colour = theme::text(ui);
        let width = self.rect.width() - 2.0 * theme::PAD;
        let galley = self.painter.layout(text.to_owned(), font, colour, width);
        let at = self.rect.center() - galley.size() / 2.0;
        let plate = Rect::from_min_size(at, galley.size()).expand2(vec2(theme::GAP, theme::UNIT));
        let radius = CornerRadius::same(4);
        (self.painter).rect_filled(plate, radius, theme::surface(ui).gamma_multiply(0.9));
        self.painter.galley(at, galley, colour);
    }
}

/// Draws a canvas, `side` points wide with its numbers, and gives its rectangle; `add` draws what is on it. `label` is
/// what screen readers say.
pub fn canvas<R>(
    ui: &mut Ui,
    side: f32,
    label: &str,
    sense: Sense,
    add: impl FnOnce(&mut Ui, &Scene) -> R,
) -> (R, Response) {
    let inner = (side - LEFT).max(64.0).floor();
    let (outer, space) = ui.allocate_exact_size(vec2(LEFT + inner, inner + BELOW), Sense::hover());
    let dpi = ui.ctx().pixels_per_point();
    let corner = outer.min + vec2(LEFT, 0.0);
    let corner = pos2(
        (corner.x * dpi).round() / dpi,
        (corner.y * dpi).round() / dpi,
    );
    let rect = Rect::from_min_size(corner, Vec2::splat(inner));
    let response = ui.interact(rect, space.id.with("canvas"), sense);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label));
    ui.painter().rect_filled(rect, 0.0, theme::sunken(ui));
    let scene = Scene {
        painter: ui.painter_at(rect),
        rect,
        response: response.clone(),
    };
    let result = add(ui, &scene);
    axes(ui, &scene);
    (result, response)
}

fn axes(ui: &Ui, scene: &Scene) {
    let rect = scene.rect;
    let painter = ui.painter();
    painter.rect_stroke(
        rect,
        0.0,
        Stroke::new(1.0, theme::line(ui)),
        StrokeKind::Outside,
    );
    if scene.response.has_focus() {
        painter.rect_stroke(
            rect,
            0.0,
            Stroke::new(1.0, theme::accent(ui)),
            StrokeKind::Outside,
        );
    }
    let weak = theme::weak(ui);
    let mut font = TextStyle::Small.resolve(ui.style());
    font.size = 11.0;
    let stroke = Stroke::new(1.0, theme::faint(ui));
    for tick in TICKS {
        let text = if tick < 0.0 {
            format!("−{}", -tick)
        } else {
            format!("{tick}")
        };
        let x = scene.place([tick, -EXTENT]);
        painter.line_segment([x, x + vec2(0.0, 3.0)], stroke);
        painter.text(
            x + vec2(0.0, NUMBER_GAP),
            Align2::CENTER_TOP,
            &text,
            font.clone(),
            weak,
        );
        let y = scene.place([-EXTENT, tick]);
        painter.line_segment([y, y - vec2(3.0, 0.0)], stroke);
        painter.text(
            y - vec2(NUMBER_GAP + 1.0, 0.0),
            Align2::RIGHT_CENTER,
            &text,
            font.clone(),
            weak,
        );
    }
}

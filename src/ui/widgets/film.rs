//! Pictures straight from the device.

use egui::{Rect, Response, Sense, Ui, Vec2, pos2, vec2};
use noiselab::gpu::film::Film;

use crate::ui::shared::Shared;

/// The largest whole factor by which `tile` pixels fit `space` points, at least 1 pixel a pixel.
fn whole_scale(ui: &Ui, tile: (usize, usize), space: f32) -> f32 {
    let dpi = ui.ctx().pixels_per_point();
    let side = tile.0.max(tile.1) as f32;
    (space * dpi / side).floor().max(1.0) / dpi
}

/// Draws one tile of a frame, enlarged by the largest whole factor that fits a square of `space` points, with crisp
/// pixels; `label` is what screen readers say.
pub fn film_tile(
    ui: &mut Ui,
    shared: &mut Shared,
    film: &Film,
    (layer, tile): (usize, usize),
    space: f32,
    label: &str,
) -> Response {
    let (w, h) = film.tile_size();
    let scale = whole_scale(ui, (w, h), space);
    let size = vec2(w as f32, h as f32) * scale;
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    paint(ui, shared, film, layer, film.uv(tile), rect);
    describe(&response, label);
    response
}

/// Draws a whole frame, enlarged by a whole factor so that its width fits `space` points.
pub fn film_frame(
    ui: &mut Ui,
    shared: &mut Shared,
    film: &Film,
    layer: usize,
    space: f32,
    label: &str,
) -> Response {
    let (w, h) = film.tile_size();
    let (columns, rows) = film.grid();
    let scale = whole_scale(ui, (w * columns, 1), space);
    let size: Vec2 = vec2((w * columns) as f32, (h * rows) as f32) * scale;
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    paint(ui, shared, film, layer, [0.0, 0.0, 1.0, 1.0], rect);
    describe(&response, label);
    response
}

fn describe(response: &Response, label: &str) {
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, label));
}

fn paint(ui: &Ui, shared: &mut Shared, film: &Film, layer: usize, uv: [f32; 4], rect: Rect) {
    // On whole device pixels, so that every pixel of the picture has the same size.
    let dpi = ui.ctx().pixels_per_point();
    let min = pos2(
        (rect.min.x * dpi).round() / dpi,
        (rect.min.y * dpi).round() / dpi,
    );
    let rect = Rect::from_min_size(min, rect.size());
    match shared.texture(film, layer) {
        Some(texture) => {
            let uv = Rect::from_min_max(pos2(uv[0], uv[1]), pos2(uv[2], uv[3]));
            ui.painter().image(texture, rect, uv, egui::Color32::WHITE);
        }
        None => {
            ui.painter()
                .rect_filled(rect, 0.0, ui.visuals().faint_bg_color);
        }
    }
}

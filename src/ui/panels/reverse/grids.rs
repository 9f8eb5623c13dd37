//! All samples of each run: x_t at the scrubber and, beside it, one of what made it.

use egui::{Align, CornerRadius, CursorIcon, Layout, Sense, Stroke, StrokeKind, Ui, vec2};
use noiselab::gpu::film::Film;

use super::Reverse;
use crate::ui::{shared::Shared, strings::reverse as words, theme, widgets};

/// Height of everything around the grids, so that these fill the rest of the window.
const AROUND: f32 = 416.0;
/// Height of a caption.
const CAPTION: f32 = 24.0;

/// `n` columns side by side, or one below the other on phones.
pub(super) fn columns(ui: &mut Ui, n: usize, mut add: impl FnMut(&mut Ui, usize)) {
    if n == 1 || theme::is_phone(ui) {
        for i in 0..n {
            ui.vertical(|ui| add(ui, i));
        }
        return;
    }
    let width = (ui.available_width() - theme::PAD * (n as f32 - 1.0)) / n as f32;
    ui.with_layout(Layout::left_to_right(Align::Min), |ui| {
        ui.spacing_mut().item_spacing.x = theme::PAD;
        for i in 0..n {
            let layout = Layout::top_down(Align::Min);
            ui.allocate_ui_with_layout(vec2(width, 0.0), layout, |ui| {
                ui.set_width(width);
                add(ui, i);
            });
        }
    });
}

/// What one grid shows.
struct Grid<'a> {
    film: &'a Film,
    /// The frame, or why there is none.
    layer: Result<usize, &'static str>,
    caption: &'static str,
    what: &'static str,
    run: &'static str,
    t: usize,
}

impl Reverse {
    pub(super) fn grids(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let n = if self.compare { 2 } else { 1 };
        columns(ui, n, |ui, i| {
            theme::section(ui, "", |ui| {
                let exported = self.sampler(ui, shared, i);
                self.counters(ui, shared, i, !exported);
                self.pictures(ui, shared, i);
            });
        });
    }

    fn pictures(&mut self, ui: &mut Ui, shared: &mut Shared, i: usize) {
        let t = shared.time.t();
        let Some(run) = self.runs.get(i) else {
            let waits = self.busy && !self.runs.is_empty();
            widgets::hint(ui, if waits { words::WAITING } else { words::EMPTY });
            return;
        };
        let frame = run.frame_at(t);
        let shown_t = frame.map_or(t, |k| run.frames[k].t);
        let beside = match frame {
            None => Err(words::EMPTY),
            Some(k) => match self.beside.missing(&run.frames[k]) {
                Some(why) => Err(why),
                None => Ok(k),
            },
        };
        let films = run.films.clone();
        let (width, stacked) = layout(ui, &films.x);
        let pair = [
            Grid {
                film: &films.x,
                layer: frame.ok_or(words::EMPTY),
                caption: words::X_T_CAPTION,
                what: words::X_T,
                run: words::RUNS[i],
                t: shown_t,
            },
            Grid {
                film: self.beside.film(&films),
                layer: beside,
                caption: self.beside.caption(),
                what: self.beside.name(),
                run: words::RUNS[i],
                t: shown_t,
            },
        ];
        let mut clicked = None;
        let mut show = |ui: &mut Ui| {
            for grid in &pair {
                ui.vertical(|ui| clicked = grid.show(ui, shared, width).or(clicked));
            }
        };
        if stacked {
            show(ui);
        } else {
            ui.horizontal_top(show);
        }
        if clicked.is_some() {
            self.enlarged = clicked;
        }
    }
}

/// The width of a grid, and whether two go one below the other: as large as whole factors allow.
fn layout(ui: &Ui, film: &Film) -> (f32, bool) {
    let dpi = ui.ctx().pixels_per_point();
    let (w, h) = film.tile_size();
    let (columns, rows) = film.grid();
    let (across, down) = ((w * columns) as f32 / dpi, (h * rows) as f32 / dpi);
    let space = ui.available_width();
    let height = (ui.ctx().content_rect().height() - AROUND).max(168.0);
    let factor = |width: f32, height: f32| (width / across).min(height / down).floor();
    let side = factor((space - theme::GAP) / 2.0, height);
    let below = factor(space, height / 2.0 - CAPTION);
    // Rather scroll than look at stamps.
    let scrolled = factor(space, f32::INFINITY).min((2.0 * dpi).ceil());
    let best = side.max(below);
    if best < scrolled && best * across < 160.0 {
        (scrolled.max(1.0) * across, true)
    } else if side >= below {
        (side.max(1.0) * across, false)
    } else {
        (below.max(1.0) * across, true)
    }
}

impl Grid<'_> {
    /// Draws it; returns the sample that was clicked.
    fn show(&self, ui: &mut Ui, shared: &mut Shared, width: f32) -> Option<usize> {
        let caption = format!("{}   {}", self.caption, words::at_t(self.t));
        captioned(ui, width, &caption);
        let label = words::grid(self.what, self.run, self.t);
        let (columns, rows) = self.film.grid();
        let (w, h) = self.film.tile_size();
        // A little more, so that rounding never costs a whole factor.
        let space = width + 0.01;
        let response = match self.layer {
            Ok(layer) => widgets::film_frame(ui, shared, self.film, layer, space, &label),
            Err(why) => {
                let size = vec2(width, width * (h * rows) as f32 / (w * columns) as f32);
                let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
                missing(ui, rect, why);
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &label));
                return None;
            }
        };
        let rect = response.rect;
        let tile = vec2(rect.width() / columns as f32, rect.height() / rows as f32);
        let mut clicked = None;
        for n in 0..self.film.tiles() {
            let at = vec2((n % columns) as f32 * tile.x, (n / columns) as f32 * tile.y);
            let place = egui::Rect::from_min_size(rect.min + at, tile);
            let id = response.id.with(n);
            let response = ui.interact(place, id, Sense::click());
            let name = words::tile(self.what, self.run, n);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &name));
            if response.hovered() || response.has_focus() {
                ui.painter().rect_stroke(
                    place,
                    CornerRadius::ZERO,
                    Stroke::new(2.0, theme::ACCENT),
                    StrokeKind::Inside,
                );
            }
            if response
                .on_hover_cursor(CursorIcon::PointingHand)
                .on_hover_text(words::ENLARGE_TIP)
                .clicked()
            {
                clicked = Some(n);
            }
        }
        clicked
    }
}

/// A caption of the same height whatever is in it.
pub(super) fn captioned(ui: &mut Ui, width: f32, caption: &str) {
    let layout = Layout::left_to_right(Align::Center);
    ui.allocate_ui_with_layout(vec2(width, 20.0), layout, |ui| {
        ui.set_min_size(vec2(width, 20.0));
        widgets::hint(ui, caption);
    });
}

/// A place where there is no picture, and why.
pub(super) fn missing(ui: &Ui, rect: egui::Rect, why: &str) {
    ui.painter().rect_filled(rect, 0.0, theme::sunken(ui));
    if why.is_empty() {
        return;
    }
    let font = egui::TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout(
        why.to_owned(),
        font,
        theme::weak(ui),
        (rect.width() - 16.0).max(32.0),
    );
    let at = rect.center() - galley.size() / 2.0;
    ui.painter().galley(at, galley, theme::weak(ui));
}

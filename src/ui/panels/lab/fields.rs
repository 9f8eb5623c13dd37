//! Fields: the network's, the exact one, and how far they are apart.

use std::sync::Arc;

use egui::{Color32, Pos2, Rect, Sense, Stroke, Ui, vec2};
use noiselab::{
    data::points::Point,
    session::{
        command::Command,
        event::TrainStatus,
        lab::{
            EXTENT,
            command::{Denoiser, ErrorsRequest, FieldRequest, LabCommand},
            event::{ErrorsView, FieldView, VectorGrid},
        },
    },
};

use web_time::{Duration, Instant};

use super::{
    Lab,
    ask::Asker,
    canvas::{Scene, canvas},
    forward,
    heat::{Field, Hue},
    parts,
    pen::Pen,
    streamlines::streamlines,
};
use crate::ui::{
    panels::flow,
    shared::Shared,
    strings::lab as s,
    theme,
    widgets::{
        PlotOptions, Series, button, hint, line_plot, number, primary_button, segmented, toggle,
    },
};

/// Places a side at which the field is evaluated while one watches the training: fewer, as training waits meanwhile.
pub const SIDE_TRAINING: usize = 40;
/// Places a side at which fields are evaluated.
pub const SIDE: usize = 64;
/// Timesteps at which the error is measured.
const TIMES: usize = 32;
/// Cells a side of the error's maps.
const MAP: usize = 48;
/// Strength of a heat map under arrows: at its full strength they could not be seen on it.
pub const GROUND: f32 = 0.55;
/// Streamlines beside each other, in a canvas of [`WIDE`] points.
const LINES: f32 = 34.0;
/// As wide is a large canvas.
const WIDE: f32 = 480.0;
/// Arrows a side to choose from.
pub const FINENESS: [usize; 3] = [16, 32, 64];

/// What arrows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// −ε / √(1 − ᾱ).
    Score,
    /// ε.
    Epsilon,
}

impl Quantity {
    /// From ε at ᾱ.
    pub fn of(self, [x, y]: Point, alpha_bar: f32) -> Point {
        match self {
            Self::Score => {
                let scale = -1.0 / (1.0 - alpha_bar).max(1e-6).sqrt();
                [scale * x, scale * y]
            }
            Self::Epsilon => [x, y],
        }
    }
}

/// Which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Of the network.
    Learned,
    /// E[ε | x_t].
    Exact,
    /// Their difference.
    Error,
    /// All of them.
    All,
}

/// Lines of a field that was seen before.
#[derive(Debug)]
struct Lines {
    name: &'static str,
    values: Arc<[Point]>,
    cells: usize,
    lines: Arc<[Vec<Point>]>,
}

/// What the fields view shows.
#[derive(Debug)]
pub struct Fields {
    /// Requests.
    pub ask: Asker<FieldRequest>,
    /// The answer.
    pub view: Option<Arc<FieldView>>,
    /// When it was asked last.
    pub asked: Option<Instant>,
    /// When it was answered last, and how long that took.
    pub answered: Option<(Instant, Duration)>,
    /// Requests.
    pub errors_ask: Asker<ErrorsRequest>,
    /// The answer.
    pub errors: Option<Arc<ErrorsView>>,
    /// Raw weights.
    pub raw: bool,
    /// Which field is shown.
    pub which: Which,
    /// What arrows are.
    pub quantity: Quantity,
    /// Streamlines in place of arrows.
    pub lines: bool,
    /// Arrows a side.
    pub fineness: usize,
    /// A heat map underneath.
    pub heat: bool,
    known: Vec<Lines>,
    difference: Option<(Arc<[Point]>, VectorGrid, Field)>,
    map: Option<(Arc<ErrorsView>, Field)>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            ask: Asker::default(),
            view: None,
            asked: None,
            answered: None,
            errors_ask: Asker::default(),
            errors: None,
            raw: false,
            which: Which::All,
            quantity: Quantity::Score,
            lines: false,
            fineness: 32,
            heat: true,
            known: Vec::new(),
            difference: None,
            map: None,
        }
    }
}

/// Of how many cells one carries an arrow.
pub fn stride(side: usize, wanted: usize, width: f32) -> usize {
    // Nearer than this they cannot be told apart.
    let most = (width / 7.5).max(4.0) as usize;
    side.div_ceil(wanted.min(most).max(1)).max(1)
}

/// The length of a full arrow: longer ones, of which there are few, are drawn as long.
pub fn longest(grid: &VectorGrid, alpha_bar: f32, quantity: Quantity) -> f32 {
    let mut lengths: Vec<f32> = (grid.values.iter())
        .map(|&v| quantity.of(v, alpha_bar))
        .map(|[x, y]| x.hypot(y))
        .filter(|l| l.is_finite())
        .collect();
    if lengths.is_empty() {
        return 1.0;
    }
    let place = (lengths.len() - 1) * 95 / 100;
    let (_, length, _) = lengths.select_nth_unstable_by(place, f32::total_cmp);
    length.max(1e-6)
}

/// Arrows on every `stride`th cell; one of length `longest` or more fills the way to the next. `of` makes an arrow of
/// a cell's ε.
pub fn arrows(
    pen: &mut Pen,
    scene: &Scene,
    grid: &VectorGrid,
    of: impl Fn(Point) -> Point,
    longest: f32,
    stride: usize,
    colour: Color32,
) {
    let side = grid.side;
    if side == 0 || grid.values.len() != side * side {
        return;
    }
    let cell = scene.rect.width() / side as f32;
    let reach = 0.92 * cell * stride as f32;
    let width = (reach / 9.0).clamp(0.8, 1.8);
    let first = (stride - 1) / 2;
    // With an even stride the middle of a block lies between two cells.
    let shift = egui::Vec2::splat(if stride.is_multiple_of(2) {
        0.5 * cell
    } else {
        0.0
    });
    for row in (first..side).step_by(stride) {
        for column in (first..side).step_by(stride) {
            let [x, y] = of(grid.values[row * side + column]);
            let length = x.hypot(y);
            if !length.is_finite() || length <= 0.0 {
                continue;
            }
            // Half way between linear and its root: weak arrows keep a direction that can be seen.
            let share = (length / longest).min(1.0).powf(0.75);
            let along = vec2(x, -y) / length * share * reach;
            let middle =
                scene.rect.min + vec2(column as f32 + 0.5, row as f32 + 0.5) * cell + shift;
            pen.arrow(middle - along / 2.0, along, width, colour);
        }
    }
}

impl Fields {
    /// Between two looks at the network's field in training, at least so much time passes, and three times as long as
    /// a look takes: training gets what is left.
    const EVERY: Duration = Duration::from_millis(250);

    /// Takes an answer.
    pub fn take(&mut self, view: &Arc<FieldView>) {
        self.ask.answered();
        self.view = Some(Arc::clone(view));
        let now = Instant::now();
        self.answered = self.asked.map(|asked| (now, now - asked));
    }

    /// It is time for another look while the network is in training.
    pub fn is_due(&self) -> bool {
        (self.answered).is_none_or(|(at, took)| at.elapsed() >= Self::EVERY.max(3 * took))
    }

    fn lines_of(
        &mut self,
        name: &'static str,
        grid: &VectorGrid,
        cells: usize,
    ) -> Arc<[Vec<Point>]> {
        let known = self.known.iter().position(|l| l.name == name);
        if let Some(i) = known {
            let l = &self.known[i];
            if l.cells == cells && Arc::ptr_eq(&l.values, &grid.values) {
                return Arc::clone(&l.lines);
            }
            self.known.swap_remove(i);
        }
        let lines: Arc<[Vec<Point>]> = streamlines(grid, cells).into();
        self.known.push(Lines {
            name,
            values: Arc::clone(&grid.values),
            cells,
            lines: Arc::clone(&lines),
        });
        lines
    }

    /// ε̂ − ε* and its size.
    fn difference(&mut self, view: &FieldView) -> Option<(VectorGrid, Field)> {
        let learned = view.learned.as_ref()?;
        if learned.values.len() != view.exact.values.len() {
            return None;
        }
        if let Some((values, grid, field)) = &self.difference
            && Arc::ptr_eq(values, &learned.values)
        {
            return Some((grid.clone(), field.clone()));
        }
        let values: Arc<[Point]> = (learned.values.iter().zip(view.exact.values.iter()))
            .map(|(a, b)| [a[0] - b[0], a[1] - b[1]])
            .collect();
        let sizes = values.iter().map(|v| v[0].hypot(v[1])).collect();
        let field = Field {
            size: [learned.side, learned.side],
            values: sizes,
        };
        let grid = VectorGrid {
            side: learned.side,
            values,
        };
        self.difference = Some((Arc::clone(&learned.values), grid.clone(), field.clone()));
        Some((grid, field))
    }

    /// |ε̂ − ε*| over x₁ (up) and t (right), averaged over x₂.
    fn map(&mut self, errors: &Arc<ErrorsView>) -> Option<Field> {
        if let Some((known, field)) = &self.map
            && Arc::ptr_eq(known, errors)
        {
            return Some(field.clone());
        }
        let side = errors.maps.first()?.side;
        let times = errors.maps.len();
        let mut values = vec![0.0; side * times];
        for (column, map) in errors.maps.iter().enumerate() {
            if map.side != side || map.values.len() != side * side {
                return None;
            }
            for x in 0..side {
                let sum: f32 = (0..side).map(|row| map.values[row * side + x]).sum();
                // x₁ grows upwards.
                values[(side - 1 - x) * times + column] = sum / side as f32;
            }
        }
        let field = Field {
            size: [times, side],
            values: values.into(),
        };
        self.map = Some((Arc::clone(errors), field.clone()));
        Some(field)
    }
}

impl Lab {
    /// The comparison over all times that is wanted.
    pub(super) fn errors_request(&self) -> Option<ErrorsRequest> {
        let denoiser = self.denoiser();
        (denoiser != Denoiser::Exact).then_some(ErrorsRequest {
            times: TIMES.min(self.setup.timesteps),
            side: MAP,
            denoiser,
        })
    }

    pub(super) fn fields_controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        theme::section(ui, "", |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let options = [
                (Which::All, s::ALL),
                (Which::Learned, s::LEARNED),
                (Which::Exact, s::EXACT),
                (Which::Error, s::ERROR),
            ];
            let f = &mut self.fields;
            segmented(ui, s::FIELD, s::FIELD_HELP, &mut f.which, &options);
            let options = [(Quantity::Score, s::SCORE), (Quantity::Epsilon, s::EPSILON)];
            let (label, help) = (s::QUANTITY, s::QUANTITY_HELP);
            segmented(ui, label, help, &mut f.quantity, &options);
            let options = [(false, s::ARROWS), (true, s::STREAMLINES)];
            segmented(ui, s::STYLE, s::STYLE_HELP, &mut f.lines, &options);
            let names = FINENESS.map(|n| n.to_string());
            let options: Vec<(usize, &str)> = FINENESS
                .into_iter()
                .zip(names.iter().map(String::as_str))
                .collect();
            ui.add_enabled_ui(!f.lines, |ui| {
                let (label, help) = (s::FINENESS, s::FINENESS_HELP);
                segmented(ui, label, help, &mut f.fineness, &options);
            });
            let options = [(false, s::AVERAGED), (true, s::RAW)];
            segmented(ui, s::WEIGHTS, s::WEIGHTS_HELP, &mut f.raw, &options);
            toggle(ui, &mut f.heat, s::UNDER, s::UNDER_HELP);
        });
        self.run_section(ui, shared);
        self.setup.distribution_ui(ui, shared);
    }

    pub(super) fn fields_view(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let view = self.fields.view.clone();
        let t = view
            .as_ref()
            .map_or(shared.time.t().max(1), |v| v.request.t);
        let shown: &[Which] = match self.fields.which {
            Which::All => &[Which::Learned, Which::Exact, Which::Error],
            Which::Learned => &[Which::Learned],
            Which::Exact => &[Which::Exact],
            Which::Error => &[Which::Error],
        };
        theme::section(ui, "", |ui| {
            let (side, columns) = parts::fit(ui, shown.len(), 96.0);
            let mut bars = Vec::new();
            parts::rows(ui, shown.len(), side, columns, |ui, i| {
                if let Some(bar) = self.field_canvas(ui, side, shown[i], view.as_deref(), t) {
                    bars.push(bar);
                }
            });
            ui.add_space(theme::UNIT);
            bars.sort_by_key(|b| b.0 == Hue::Error);
            bars.dedup_by_key(|b| b.0);
            flow::flow(ui, |ui| {
                for (hue, most) in bars {
                    let name = match hue {
                        Hue::Density => s::DENSITY_BAR,
                        Hue::Error => s::ERROR_BAR,
                    };
                    flow::item(ui, 232.0, |ui| parts::colour_bar(ui, hue, most, name));
                }
            });
            if let Some(view) = &view {
                self.field_figures(ui, view);
            }
            if self.training.status == TrainStatus::None && self.fields.which != Which::Exact {
                ui.horizontal_wrapped(|ui| {
                    if primary_button(ui, s::TRAIN_NOW, s::START_HELP).clicked() {
                        self.start(shared);
                    }
                });
            }
        });
        self.errors_section(ui, shared);
    }

    fn field_figures(&self, ui: &mut Ui, view: &FieldView) {
        let dash = || "–".to_owned();
        flow::flow(ui, |ui| {
            let of = s::t_of(view.request.t, self.setup.timesteps);
            flow::figure(ui, s::TIME, &of, s::TIME_HELP);
            let bar = number(f64::from(view.alpha_bar));
            flow::figure(ui, s::ALPHA_BAR, &bar, s::ALPHA_BAR_HELP);
            let relative = (view.relative_error).map_or_else(dash, |e| number(f64::from(e)));
            flow::figure(ui, s::RELATIVE, &relative, s::RELATIVE_HELP);
            let pooled = self.fields.errors.as_ref();
            let pooled = pooled.map_or_else(dash, |e| number(f64::from(e.pooled)));
            flow::figure(ui, s::POOLED, &pooled, s::POOLED_HELP);
            if view.learned.is_some() {
                let step = s::steps(view.step);
                flow::figure(ui, s::TRAINED, &step, s::TRAINED_HELP);
            }
        });
    }

    /// One field; gives what its heat map's colours mean.
    fn field_canvas(
        &mut self,
        ui: &mut Ui,
        side: f32,
        which: Which,
        view: Option<&FieldView>,
        t: usize,
    ) -> Option<(Hue, f32)> {
        let name = match which {
            Which::Learned => s::LEARNED,
            Which::Error => s::ERROR,
            Which::Exact | Which::All => s::EXACT,
        };
        let difference = view.and_then(|v| self.fields.difference(v));
        let grid = view.and_then(|v| match which {
            Which::Learned => v.learned.clone(),
            Which::Error => difference.as_ref().map(|d| d.0.clone()),
            Which::Exact | Which::All => Some(v.exact.clone()),
        });
        let quantity = self.fields.quantity;
        let cells = (LINES * (side / WIDE).clamp(0.5, 1.2)) as usize;
        let lines = match &grid {
            Some(grid) if self.fields.lines => Some(self.fields.lines_of(name, grid, cells)),
            _ => None,
        };
        // All three on one scale: the exact one's.
        let alpha_bar = view.map_or(0.5, |v| v.alpha_bar);
        let full = view.map_or(1.0, |v| longest(&v.exact, alpha_bar, quantity));
        parts::caption(ui, name);
        let mut bar = None;
        let (fineness, heat) = (self.fields.fineness, self.fields.heat);
        let heats = &mut self.heats;
        let label = s::field_canvas(name, t);
        let (reading, response) = canvas(ui, side, &label, Sense::hover(), |ui, scene| {
            let Some(view) = view else {
                scene.note(ui, s::WAITING);
                return None;
            };
            if heat {
                match (which, &difference) {
                    (Which::Error, Some((_, field))) => {
                        let most = field.most();
                        let hue = Hue::Error;
                        if let Some(texture) = heats.texture(ui, "error", field, hue, most) {
                            scene.texture(texture, Color32::WHITE.gamma_multiply(GROUND));
                            bar = Some((hue, most));
                        }
                    }
                    (Which::Error, None) => {}
                    _ => {
                        let hue = Hue::Density;
                        let most =
                            forward::density(ui, scene, heats, "field", &view.density, GROUND);
                        bar = Some((hue, most));
                    }
                }
            }
            let Some(grid) = &grid else {
                scene.note(ui, s::NO_NETWORK);
                return None;
            };
            let colour = match which {
                Which::Learned => theme::accent(ui),
                Which::Error | Which::Exact | Which::All => theme::strong(ui),
            };
            let mut pen = scene.pen();
            match lines {
                Some(lines) => draw_lines(&mut pen, scene, &lines, quantity, colour),
                None => {
                    let stride = stride(grid.side, fineness, scene.rect.width());
                    let of = |v| quantity.of(v, alpha_bar);
                    arrows(&mut pen, scene, grid, of, full, stride, colour);
                }
            }
            pen.draw(&scene.painter);
            let at = scene.response.hover_pos()?;
            Some(reading(view, scene.point(at), quantity))
        });
        if let Some(text) = reading {
            response.on_hover_text_at_pointer(text);
        }
        if !self.fields.lines && view.is_some() {
            let text = s::longest(quantity_word(quantity), &number(f64::from(full)));
            hint(ui, &text);
        }
        bar
    }

    fn errors_section(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.errors_request().is_none() && self.fields.errors.is_none() {
            return;
        }
        let t = shared.time.t();
        theme::section(ui, s::ERROR_OVER_T, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            let waiting = self.fields.errors_ask.is_waiting();
            ui.horizontal_wrapped(|ui| {
                ui.add_enabled_ui(!waiting, |ui| {
                    if button(ui, s::MEASURE, s::MEASURE_HELP).clicked() {
                        self.fields.errors_ask.renew();
                        self.measure_errors(shared);
                    }
                });
                if waiting {
                    hint(ui, s::WAITING);
                }
            });
            let Some(errors) = self.fields.errors.clone() else {
                return;
            };
            hint(ui, s::ERROR_HINT);
            if ui.available_width() < 560.0 {
                errors_plot(ui, &errors, t);
                self.errors_map(ui, &errors, t);
            } else {
                ui.spacing_mut().item_spacing.x = 2.0 * theme::PAD;
                ui.columns_const(|[first, second]| {
                    errors_plot(first, &errors, t);
                    self.errors_map(second, &errors, t);
                });
            }
        });
    }

    fn errors_map(&mut self, ui: &mut Ui, errors: &Arc<ErrorsView>, t: usize) {
        let Some(field) = self.fields.map(errors) else {
            return;
        };
        parts::caption(ui, s::ERROR_MAP);
        let size = vec2(ui.available_width(), 132.0);
        let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
        response
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, s::ERROR_MAP_NAME));
        let most = field.most();
        let texture = self
            .heats
            .texture(ui, "error map", &field, Hue::Error, most);
        let painter = ui.painter_at(rect);
        if let Some(texture) = texture {
            let whole = Rect::from_min_max(Pos2::ZERO, egui::pos2(1.0, 1.0));
            painter.image(texture, rect, whole, Color32::WHITE);
        }
        let x = rect.left() + rect.width() * t as f32 / self.setup.timesteps.max(1) as f32;
        painter.vline(x, rect.y_range(), Stroke::new(1.0, theme::strong(ui)));
        let near = response.hover_pos().map(|p| self.reading(&field, rect, p));
        parts::colour_bar(ui, Hue::Error, most, s::ERROR_BAR);
        if let Some(text) = near {
            response.on_hover_text_at_pointer(text);
        }
    }

    /// What a place of the map says.
    fn reading(&self, field: &Field, rect: Rect, at: Pos2) -> String {
        let [width, height] = field.size;
        let (u, v) = (
            ((at.x - rect.left()) / rect.width()).clamp(0.0, 1.0),
            ((at.y - rect.top()) / rect.height()).clamp(0.0, 1.0),
        );
        let column = ((u * width as f32) as usize).min(width - 1);
        let row = ((v * height as f32) as usize).min(height - 1);
        let value = field.values[row * width + column];
        let t = (u * self.setup.timesteps as f32).round();
        s::map_reading(EXTENT - 2.0 * EXTENT * v, t, &number(f64::from(value)))
    }

    /// Asks for the comparison over all times.
    pub(super) fn measure_errors(&mut self, shared: &Shared) {
        if let Some(request) = self.errors_request()
            && let Some(request) = self.fields.errors_ask.want(request)
        {
            shared.send(Command::Lab(LabCommand::Errors(request)));
        }
    }
}

/// What the fields say at a place.
fn reading(view: &FieldView, at: Point, quantity: Quantity) -> String {
    let name = quantity_word(quantity);
    let of = |grid: &VectorGrid| {
        let cell = |v: f32| {
            let share = (v / EXTENT * 0.5 + 0.5) * grid.side as f32;
            (share as usize).min(grid.side.saturating_sub(1))
        };
        let i = cell(-at[1]) * grid.side + cell(at[0]);
        let value = *grid.values.get(i)?;
        Some(quantity.of(value, view.alpha_bar))
    };
    let learned = view.learned.as_ref().and_then(of);
    s::field_reading(at, name, learned, of(&view.exact))
}

const fn quantity_word(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Score => s::SCORE_WORD,
        Quantity::Epsilon => s::EPSILON_WORD,
    }
}

fn errors_plot(ui: &mut Ui, errors: &ErrorsView, t: usize) {
    let series = [Series {
        name: s::RELATIVE_AXIS,
        points: (errors.by_t.iter())
            .map(|&(t, e)| [t as f64, f64::from(e)])
            .collect(),
        colour: theme::series(ui, 0),
        faint: false,
    }];
    let options = PlotOptions {
        x_label: s::T_AXIS,
        y_label: s::RELATIVE_AXIS,
        height: 192.0,
        marker_x: Some(t as f64),
        y_range: Some((0.0, 0.1)),
        ..PlotOptions::default()
    };
    line_plot(ui, "lab errors", options, &series);
}

fn draw_lines(
    pen: &mut Pen,
    scene: &Scene,
    lines: &[Vec<Point>],
    quantity: Quantity,
    colour: Color32,
) {
    // Lines follow ε; the score points the other way.
    let sign = match quantity {
        Quantity::Score => -1.0,
        Quantity::Epsilon => 1.0,
    };
    let soft = colour.gamma_multiply(0.8);
    for line in lines {
        let points: Vec<Pos2> = line.iter().map(|&p| scene.place(p)).collect();
        pen.line(&points, 1.2, |_| soft);
        let middle = points.len() / 2;
        if middle > 0 {
            let way = (points[middle] - points[middle - 1]).normalized() * sign;
            pen.triangle(points[middle] + 3.0 * way, way, 7.0, 2.8, colour);
        }
    }
}

//! Line plots with axes, units and legend.

use egui::{Color32, Response, RichText, Sense, Stroke, TextStyle, Ui, Vec2, pos2, vec2};
use egui_plot::{
    AxisHints, GridInput, GridMark, HoverPosition, Line, LineStyle, Plot, PlotPoints, VLine,
};

use crate::ui::theme;

/// How a plot looks.
#[derive(Debug, Clone, Copy)]
pub struct PlotOptions<'a> {
    /// What x is, with its unit.
    pub x_label: &'a str,
    /// What y is, with its unit.
    pub y_label: &'a str,
    /// y is drawn by its logarithm; values that are not positive are left out.
    pub log_y: bool,
    /// In points, all together.
    pub height: f32,
    /// Where to draw a vertical line: the scrubber's t.
    pub marker_x: Option<f64>,
    /// Limits of y; those of the data where it is missing.
    pub y_range: Option<(f64, f64)>,
}

impl Default for PlotOptions<'_> {
    fn default() -> Self {
        Self {
            x_label: "",
            y_label: "",
            log_y: false,
            height: 200.0,
            marker_x: None,
            y_range: None,
        }
    }
}

/// A line of a plot.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// What the legend calls it.
    pub name: &'a str,
    /// x and y.
    pub points: Vec<[f64; 2]>,
    /// Of the line; see [`theme::series`].
    pub colour: Color32,
    /// It stands behind the others: thin, and not in the legend.
    pub faint: bool,
}

/// Draws lines. Returns the response of the plot's area.
pub fn line_plot(
    ui: &mut Ui,
    id: &str,
    options: PlotOptions<'_>,
    series: &[Series<'_>],
) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = theme::UNIT;
        let named = series.iter().filter(|s| !s.faint && !s.name.is_empty());
        header(ui, options.y_label, named.map(|s| (s.name, s.colour)));
        draw(ui, id, options, series)
    })
    .inner
}

/// The label of y and the legend, above the plot, where neither hides a line.
pub fn header<'a>(
    ui: &mut Ui,
    y_label: &str,
    named: impl Iterator<Item = (&'a str, Color32)> + Clone,
) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = theme::UNIT;
        if !y_label.is_empty() {
            super::math::text(ui, y_label, TextStyle::Small, theme::weak(ui));
            ui.add_space(theme::GAP);
        }
        if named.clone().count() < 2 {
            return;
        }
        for (name, colour) in named {
            swatch(ui, colour);
            ui.label(RichText::new(name).small().color(theme::text(ui)));
            ui.add_space(theme::GAP);
        }
    });
}

/// A short line of a colour, for legends.
fn swatch(ui: &mut Ui, colour: Color32) {
    let (rect, _) = ui.allocate_exact_size(vec2(12.0, 12.0), Sense::hover());
    let y = rect.center().y;
    ui.painter().line_segment(
        [pos2(rect.left(), y), pos2(rect.right(), y)],
        Stroke::new(2.0, colour),
    );
}

/// Height of an axis of x with numbers and a label.
pub const X_AXIS: f32 = 36.0;

/// A plot that only shows, in small type, as high as is left of `height` below its header.
pub fn still_plot<'a>(ui: &mut Ui, id: &str, height: f32) -> Plot<'a> {
    let small = TextStyle::Small.resolve(ui.style());
    ui.style_mut().text_styles.insert(TextStyle::Body, small);
    Plot::new(id)
        .height((height - 24.0).max(64.0))
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .allow_axis_zoom_drag(false)
        .show_background(false)
        .grid_color(theme::line(ui))
        .y_axis_min_width(40.0)
}

fn draw(ui: &mut Ui, id: &str, options: PlotOptions<'_>, series: &[Series<'_>]) -> Response {
    let log = options.log_y;
    let (weak, strong) = (theme::weak(ui), theme::strong(ui));
    let (x_label, y_label) = (options.x_label.to_owned(), options.y_label.to_owned());
    let mut plot = still_plot(ui, id, options.height)
        .cursor_color(weak)
        .set_margin_fraction(Vec2::new(0.0, 0.06))
        .x_grid_spacer(|input| round_marks(input, 8.0))
        .label_formatter(move |at| {
            let (name, p) = match at {
                HoverPosition::NearDataPoint {
                    plot_name,
                    position,
                    ..
                } => (*plot_name, position),
                HoverPosition::Elsewhere { .. } => return None,
            };
            let y = if log { 10_f64.powf(p.y) } else { p.y };
            Some(format!(
                "{name}\n{x_label} {}\n{y_label} {}",
                tick(p.x),
                figure(y)
            ))
        });
    let mut axis = AxisHints::new_x().formatter(|mark, _| tick(mark.value));
    if !options.x_label.is_empty() {
        // Its height is otherwise known one frame too late.
        axis = axis
            .label(RichText::new(options.x_label).small().color(weak))
            .min_thickness(X_AXIS);
    }
    plot = plot.custom_x_axes(vec![axis]);
    plot = if log {
        plot.y_grid_spacer(decades).y_axis_formatter(power_tick)
    } else {
        plot.y_grid_spacer(|input| round_marks(input, 4.0))
            .y_axis_formatter(|mark, _| tick(mark.value))
    };
    if let Some((low, high)) = options.y_range {
        let scaled = |y: f64| if log { y.max(1e-300).log10() } else { y };
        plot = plot.include_y(scaled(low)).include_y(scaled(high));
    }
    plot.show(ui, |plot| {
        for s in series
            .iter()
            .filter(|s| s.faint)
            .chain(series.iter().filter(|s| !s.faint))
        {
            let points: Vec<[f64; 2]> = s
                .points
                .iter()
                .filter(|p| p[1].is_finite() && (!log || p[1] > 0.0))
                .map(|p| [p[0], if log { p[1].log10() } else { p[1] }])
                .collect();
            plot.line(
                Line::new(s.name, PlotPoints::from(points))
                    .color(s.colour)
                    .width(if s.faint { 1.0 } else { 2.0 }),
            );
        }
        if let Some(x) = options.marker_x {
            plot.vline(
                VLine::new("", x)
                    .color(strong)
                    .width(1.0)
                    .style(LineStyle::dashed_dense())
                    .allow_hover(false),
            );
        }
    })
    .response
}

/// Marks at powers of ten and, where there is space, at 2 and 5 times them.
fn decades(input: GridInput) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    if !(high - low).is_finite() || high - low > 40.0 {
        return Vec::new();
    }
    let mut marks = Vec::new();
    // About five of them can be read.
    let every = ((high - low) / 5.0).ceil().max(1.0) as i64;
    for decade in (low.floor() as i64)..=(high.ceil() as i64) {
        if decade % every != 0 {
            continue;
        }
        let d = decade as f64;
        marks.push(GridMark {
            value: d,
            step_size: every as f64,
        });
        if high - low < 2.5 {
            for part in [2.0_f64, 5.0] {
                marks.push(GridMark {
                    value: d + part.log10(),
                    step_size: 0.3,
                });
            }
        }
    }
    // A mark beyond the axis would be written beside the plot.
    marks.retain(|mark| (low..=high).contains(&mark.value));
    if marks.len() < 2 {
        // The axis is nearly linear: round numbers, about four of them.
        let bounds = (10_f64.powf(low), 10_f64.powf(high));
        let base_step_size = (bounds.1 - bounds.0) / 16.0;
        marks = round_marks(
            GridInput {
                bounds,
                base_step_size,
            },
            4.0,
        );
        for mark in &mut marks {
            mark.value = mark.value.log10();
            mark.step_size = high - low;
        }
    }
    marks
}

/// Marks at multiples of 1, 2 or 5 times a power of ten, so far apart that a number fits between two of them:
/// `spread` times the least distance of lines.
pub fn round_marks(input: GridInput, spread: f64) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    let least = spread * input.base_step_size;
    if !(least > 0.0 && (high - low).is_finite() && high - low < 100.0 * least) {
        return Vec::new();
    }
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0]
        .map(|part| part * power)
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power);
    ((low / step).ceil() as i64..=(high / step).floor() as i64)
        .map(|n| GridMark {
            value: n as f64 * step,
            // All of one strength.
            step_size: high - low,
        })
        .collect()
}

fn power_tick(mark: GridMark, _range: &std::ops::RangeInclusive<f64>) -> String {
    figure(10_f64.powf(mark.value))
}

/// A number on an axis: short, without trailing zeros.
fn tick(value: f64) -> String {
    if value == 0.0 || value.abs() < 1e-12 {
        return "0".into();
    }
    figure(value)
}

/// A number with three digits.
pub fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if (1e-3..1e5).contains(&size) {
        let digits = (2 - size.log10().floor() as i64).clamp(0, 5) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    } else {
        let power = size.log10().floor() as i32;
        let mantissa = value / 10_f64.powi(power);
        let mantissa = format!("{mantissa:.2}");
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        if mantissa == "1" {
            format!("10{}", raised(power))
        } else {
            format!("{mantissa}·10{}", raised(power))
        }
    }
}

/// An exponent in superscript digits.
fn raised(power: i32) -> String {
    power
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '0' => '⁰',
            digit => char::from_u32(0x2070 + (digit as u32 - '0' as u32)).unwrap_or(digit),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (12.0, "12"),
            (1000.0, "1000"),
            (99_999.0, "99999"),
            (0.001, "0.001"),
            (1e-5, "10⁻⁵"),
            (2.5e-12, "2.5·10⁻¹²"),
            (-0.5, "-0.5"),
            (3e7, "3·10⁷"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn decades_carry_marks() {
        let marks = decades(GridInput {
            bounds: (-3.2, 0.1),
            base_step_size: 0.1,
        });
        let values: Vec<f64> = marks.iter().map(|m| m.value).collect();
        assert_eq!(values, [-3.0, -2.0, -1.0, 0.0]);
        let marks = decades(GridInput {
            bounds: (-12.0, 4.0),
            base_step_size: 1.0,
        });
        let values: Vec<f64> = marks.iter().map(|m| m.value).collect();
        assert_eq!(values, [-12.0, -8.0, -4.0, 0.0, 4.0]);
        // Between 1.01 and 1.065 there is no power of ten, nor 2 or 5 times one.
        let marks = decades(GridInput {
            bounds: (1.01_f64.log10(), 1.065_f64.log10()),
            base_step_size: 0.001,
        });
        let values: Vec<f64> = marks.iter().map(|m| 10_f64.powf(m.value)).collect();
        assert_eq!(values.len(), 3, "{values:?}");
        for (value, round) in values.iter().zip([1.02, 1.04, 1.06]) {
            assert!((value - round).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn marks_are_round_and_apart() {
        let values = |bounds, base_step_size| -> Vec<f64> {
            let input = GridInput {
                bounds,
                base_step_size,
            };
            let marks = round_marks(input, 4.0);
            marks.iter().map(|m| m.value).collect()
        };
        assert_eq!(values((0.0, 1.06), 0.06), [0.0, 0.5, 1.0]);
        assert_eq!(values((-3.0, 41.0), 4.0), [0.0, 20.0, 40.0]);
        assert_eq!(
            values((2.0, 9.0), 0.25),
            [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
        );
        assert!(values((0.0, f64::INFINITY), 1.0).is_empty());
        assert!(values((0.0, 1.0), 0.0).is_empty());
    }
}

//! Bars and curves in one plot, in the style of [`crate::ui::widgets::line_plot`].

use egui::{Color32, Response, RichText, Ui, Vec2};
use egui_plot::{AxisHints, Bar, BarChart, GridInput, GridMark, HoverPosition, Line, PlotPoints};

use crate::ui::{
    theme,
    widgets::{Series, X_AXIS, header, number, round_marks, still_plot},
};

/// Bars of one colour.
#[derive(Debug, Clone)]
pub struct Bars<'a> {
    /// What the legend calls them.
    pub name: &'a str,
    /// Middle, width and height of each.
    pub bars: Vec<[f64; 3]>,
    /// Of the bars.
    pub colour: Color32,
}

/// What the axes say.
#[derive(Debug, Clone, Copy)]
pub struct Axes<'a> {
    /// What x is, with its unit.
    pub x_label: &'a str,
    /// What y is, with its unit.
    pub y_label: &'a str,
    /// From where to where.
    pub x_range: (f64, f64),
    /// Between two numbers on the axis of x.
    pub x_step: f64,
    /// y reaches at least so far.
    pub y_least: f64,
    /// In points, all together.
    pub height: f32,
}

/// Draws bars and, over them, curves.
pub fn bar_plot(
    ui: &mut Ui,
    id: &str,
    axes: Axes<'_>,
    bars: &[Bars<'_>],
    curves: &[Series<'_>],
) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = theme::UNIT;
        let named = (bars.iter().map(|b| (b.name, b.colour)))
            .chain(curves.iter().map(|c| (c.name, c.colour)));
        header(ui, axes.y_label, named);
        draw(ui, id, axes, bars, curves)
    })
    .inner
}

fn draw(
    ui: &mut Ui,
    id: &str,
    axes: Axes<'_>,
    bars: &[Bars<'_>],
    curves: &[Series<'_>],
) -> Response {
    let weak = theme::weak(ui);
    let x_label = axes.x_label.to_owned();
    let marks = move |_: GridInput| {
        let (from, to) = axes.x_range;
        let count = ((to - from) / axes.x_step).round().clamp(0.0, 100.0) as usize;
        (0..=count)
            .map(|n| GridMark {
                value: from + n as f64 * axes.x_step,
                step_size: to - from,
            })
            .collect()
    };
    still_plot(ui, id, axes.height)
        .x_grid_spacer(marks)
        .y_grid_spacer(|input| round_marks(input, 4.0))
        .show_crosshair(false)
        .set_margin_fraction(Vec2::new(0.0, 0.04))
        .include_x(axes.x_range.0)
        .include_x(axes.x_range.1)
        .include_y(0.0)
        .include_y(axes.y_least)
        .custom_x_axes(vec![
            AxisHints::new_x()
                .label(RichText::new(axes.x_label).small().color(weak))
                .formatter(|mark, _| number(mark.value))
                .min_thickness(X_AXIS),
        ])
        .y_axis_formatter(|mark, _| number(mark.value))
        .label_formatter(move |at| match at {
            HoverPosition::NearDataPoint {
                plot_name,
                position,
                ..
            } => Some(format!(
                "{plot_name}\n{x_label} {}\n{}",
                number(position.x),
                number(position.y)
            )),
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            for set in bars {
                let fill = set.colour.gamma_multiply(0.6);
                let x_label = axes.x_label.to_owned();
                let chart = BarChart::new(
                    set.name,
                    set.bars
                        .iter()
                        .map(|&[middle, width, height]| {
                            Bar::new(middle, height)
                                .width(width)
                                .fill(fill)
                                .stroke(egui::Stroke::NONE)
                        })
                        .collect(),
                )
                .color(set.colour)
                .element_formatter(Box::new(move |bar, _| {
                    format!("{x_label} {}\n{}", number(bar.argument), number(bar.value))
                }));
                plot.bar_chart(chart);
            }
            for curve in curves {
                plot.line(
                    Line::new(curve.name, PlotPoints::from(curve.points.clone()))
                        .color(curve.colour)
                        .width(2.0)
                        .allow_hover(false),
                );
            }
        })
        .response
}

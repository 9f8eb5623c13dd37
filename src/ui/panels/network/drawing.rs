//! The network drawn as a U: a row is a resolution, the way down stands left, the way up right. A block is as wide as
//! its channels and as high as its resolution; brackets are the skip connections.

use egui::{
    Align2, Color32, CornerRadius, CursorIcon, Pos2, Rect, Response, Sense, Stroke, StrokeKind,
    TextStyle, Ui, WidgetInfo, pos2, vec2,
};
use noiselab::{
    nn::unet_map::{MapBlock, NetworkMap, Side},
    session::event::ProbeView,
};

use super::{Measure, Network};
use crate::ui::{shared::Shared, strings::network as words, theme};

/// Between the blocks of an arm.
const NEAR: f32 = 4.0;
/// Between the arms, at least.
const FAR: f32 = 12.0;
/// Left and right of everything, for lines.
const MARGIN: f32 = 8.0;
/// Narrowest and widest block.
const WIDTHS: (f32, f32) = (32.0, 72.0);
/// Lowest block, and how much higher the highest is.
const HEIGHTS: (f32, f32) = (32.0, 44.0);
/// Between the brackets of skip connections.
const LANE: f32 = 6.0;
/// Between a row's brackets and its blocks.
const LIFT: f32 = 8.0;
/// Under a block: a bar and two lines of text.
const CAPTION: f32 = 36.0;
/// Between rows.
const BETWEEN: f32 = 12.0;
/// Height of the time embedding.
const TIME: f32 = 28.0;

/// What is drawn.
pub(super) struct Drawing<'a> {
    pub map: &'a NetworkMap,
    pub view: Option<&'a ProbeView>,
    pub measure: Measure,
    pub selected: Option<usize>,
    pub t: usize,
}

/// Where everything is, from the top left of the drawing.
struct Plan {
    size: egui::Vec2,
    blocks: Vec<Rect>,
    /// Middle of the free space above each row.
    gaps: Vec<f32>,
}

impl Drawing<'_> {
    /// Draws it; returns the block that was clicked.
    pub fn show(&self, ui: &mut Ui, shared: &mut Shared) -> Option<usize> {
        let plan = self.plan(ui.available_width());
        egui::ScrollArea::horizontal()
            .id_salt("network drawing")
            .show(ui, |ui| {
                let (area, _) = ui.allocate_exact_size(plan.size, Sense::hover());
                let offset = area.min.to_vec2();
                let rects: Vec<Rect> = plan.blocks.iter().map(|r| r.translate(offset)).collect();
                let gaps: Vec<f32> = plan.gaps.iter().map(|y| y + offset.y).collect();
                let base = ui.scope_id().with("block");
                let responses: Vec<Response> = rects
                    .iter()
                    .enumerate()
                    .map(|(i, rect)| self.sense(ui, base.with(i), i, *rect))
                    .collect();
                let lit = responses
                    .iter()
                    .position(|r| r.hovered() || r.has_focus())
                    .or(self.selected);
                self.stream(ui, &rects, &gaps);
                self.skips(ui, &rects, lit);
                self.sizes(ui, &rects);
                let mut clicked = None;
                for (i, response) in responses.into_iter().enumerate() {
                    self.block(ui, shared, i, rects[i], &response);
                    if response.clicked() {
                        clicked = Some(i);
                    }
                    self.tell(response, i);
                }
                clicked
            })
            .inner
    }

    fn arm(&self, side: Side, level: usize) -> Vec<usize> {
        let blocks = &self.map.blocks;
        (0..blocks.len())
            .filter(|&i| blocks[i].side == side && blocks[i].level == level)
            .collect()
    }

    fn arms(&self, level: usize) -> [Vec<usize>; 3] {
        [Side::Down, Side::Mid, Side::Up].map(|side| self.arm(side, level))
    }

    fn plan(&self, space: f32) -> Plan {
        let blocks = &self.map.blocks;
        let placed = || blocks.iter().filter(|b| b.side != Side::Time);
        let logs = placed().map(|b| (b.output[0].max(1) as f32).log2());
        let (fewest, most) = logs.fold((f32::MAX, f32::MIN), |(a, b), x| (a.min(x), b.max(x)));
        let tallest = placed().map(|b| b.output[1]).max().unwrap_or(1).max(1) as f32;
        let levels = self.map.levels;
        let gaps_of = |arms: &[Vec<usize>; 3]| -> f32 {
            let full: Vec<&Vec<usize>> = arms.iter().filter(|a| !a.is_empty()).collect();
            let inner: usize = full.iter().map(|a| a.len() - 1).sum();
            inner as f32 * NEAR + full.len().saturating_sub(1) as f32 * FAR
        };
        let mut widest = WIDTHS.1;
        let mut needed = 0.0_f32;
        for level in 0..levels {
            let arms = self.arms(level);
            let n = arms.iter().map(Vec::len).sum::<usize>().max(1) as f32;
            let gaps = gaps_of(&arms) + 2.0 * MARGIN;
            widest = widest.min(((space - gaps) / n).floor());
            needed = needed.max(gaps + n * WIDTHS.0);
        }
        let widest = widest.max(WIDTHS.0);
        let narrowest = WIDTHS.0.max(0.6 * widest).min(widest);
        let width_of = |b: &MapBlock| {
            // The last block has as many channels as the image; it is no narrower than the others.
            let log = (b.output[0].max(1) as f32).log2();
            let share = (log - fewest) / (most - fewest).max(1e-3);
            narrowest + (widest - narrowest) * share
        };
        let total = space.max(needed);
        let mut rects = vec![Rect::ZERO; blocks.len()];
        let mut gaps = Vec::new();
        let mut y = TIME;
        for level in 0..levels {
            let arms = self.arms(level);
            let down: usize = arms[0]
                .iter()
                .filter(|&&i| blocks[i].skip.is_some())
                .count();
            gaps.push(y + BETWEEN / 2.0);
            y += BETWEEN + down as f32 * LANE + LIFT;
            let side = arms
                .iter()
                .flatten()
                .next()
                .map_or(1, |&i| blocks[i].output[1]);
            let height = (HEIGHTS.0 + HEIGHTS.1 * side as f32 / tallest).round();
            let width = |arm: &[usize]| -> f32 {
                let blocks: f32 = arm.iter().map(|&i| width_of(&blocks[i]).floor()).sum();
                blocks + NEAR * arm.len().saturating_sub(1) as f32
            };
            let widths = [0, 1, 2].map(|a| width(&arms[a]));
            let left = MARGIN;
            let right = total - MARGIN - widths[2];
            let middle = ((left + widths[0] + right) / 2.0 - widths[1] / 2.0).round();
            for (arm, start) in arms.iter().zip([left, middle, right]) {
                let mut x = start;
                for &i in arm {
                    let w = width_of(&blocks[i]).floor();
                    rects[i] = Rect::from_min_size(pos2(x.round(), y.round()), vec2(w, height));
                    x += w + NEAR;
                }
            }
            y += height + CAPTION;
        }
        for (i, block) in blocks.iter().enumerate() {
            if block.side == Side::Time {
                let size = vec2(total - 2.0 * MARGIN, TIME);
                rects[i] = Rect::from_min_size(pos2(MARGIN, 0.0), size);
            }
        }
        Plan {
            size: vec2(total, y),
            blocks: rects,
            gaps,
        }
    }

    fn sense(&self, ui: &Ui, id: egui::Id, i: usize, rect: Rect) -> Response {
        let block = &self.map.blocks[i];
        let mut place = rect;
        if block.side != Side::Time {
            place.max.y += CAPTION;
        }
        let response = ui.interact(place, id, Sense::click());
        let chosen = self.selected == Some(i);
        response.widget_info(|| {
            let label = words::block(&block.name, block.kind, block.parameters);
            WidgetInfo::selected(egui::Role::Button, true, chosen, label)
        });
        response
    }

    fn tell(&self, response: Response, i: usize) {
        let block = &self.map.blocks[i];
        response
            .on_hover_cursor(CursorIcon::PointingHand)
            .on_hover_ui(|ui| {
                ui.strong(words::kind(block.kind));
                ui.label(egui::RichText::new(&block.name).monospace());
                let rows = [
                    (words::SHAPE, words::shapes(block.input, block.output)),
                    (words::PARAMETERS, words::count(block.parameters as u64)),
                    (words::FLOPS, words::flops(block.flops)),
                    (words::MEMORY, words::bytes(block.activation_bytes)),
                ];
                egui::Grid::new("block figures")
                    .spacing(vec2(12.0, 4.0))
                    .show(ui, |ui| {
                        for (name, value) in rows {
                            ui.weak(name);
                            ui.label(value);
                            ui.end_row();
                        }
                    });
            });
    }

    /// The way of the features through all blocks.
    fn stream(&self, ui: &Ui, rects: &[Rect], gaps: &[f32]) {
        let stroke = Stroke::new(1.0, theme::faint(ui));
        let order: Vec<usize> = (0..rects.len())
            .filter(|&i| self.map.blocks[i].side != Side::Time)
            .collect();
        for pair in order.windows(2) {
            let (from, to) = (&self.map.blocks[pair[0]], &self.map.blocks[pair[1]]);
            let (a, b) = (rects[pair[0]].right_center(), rects[pair[1]].left_center());
            if from.level == to.level {
                ui.painter().line_segment([a, b], stroke);
                continue;
            }
            let y = gaps[from.level.max(to.level).min(gaps.len() - 1)];
            let out = a + vec2(4.0, 0.0);
            let back = b - vec2(4.0, 0.0);
            let way: Vec<Pos2> = vec![a, out, pos2(out.x, y), pos2(back.x, y), back, b];
            ui.painter().line(way, stroke);
        }
    }

    fn skips(&self, ui: &Ui, rects: &[Rect], lit: Option<usize>) {
        for level in 0..self.map.levels {
            let mut lane = 0.0;
            // The last block left on the way down is the first that is taken on the way up.
            for from in self.arm(Side::Down, level).into_iter().rev() {
                let Some(to) = self.map.blocks[from].skip else {
                    continue;
                };
                lane += 1.0;
                let (a, b) = (rects[from].center_top(), rects[to].center_top());
                let y = a.y.min(b.y) - LIFT / 2.0 - lane * LANE + LANE / 2.0;
                let bright = lit.is_some_and(|l| l == from || l == to);
                let stroke = if bright {
                    Stroke::new(2.0, theme::accent(ui))
                } else {
                    Stroke::new(1.0, theme::faint(ui))
                };
                let way = vec![a, pos2(a.x, y), pos2(b.x, y), b];
                ui.painter().line(way, stroke);
            }
        }
    }

    /// The resolution of each row, where there is space between its arms.
    fn sizes(&self, ui: &Ui, rects: &[Rect]) {
        for level in 0..self.map.levels {
            let [down, mid, up] = self.arms(level);
            let (Some(&a), Some(&b), true) = (down.last(), up.first(), mid.is_empty()) else {
                continue;
            };
            let (left, right) = (rects[a].right(), rects[b].left());
            if right - left < 72.0 {
                continue;
            }
            let [_, h, w] = self.map.blocks[a].output;
            let at = pos2((left + right) / 2.0, rects[a].center().y);
            let font = TextStyle::Small.resolve(ui.style());
            let text = format!("{h}×{w}");
            ui.painter()
                .text(at, Align2::CENTER_CENTER, text, font, theme::weak(ui));
        }
    }

    fn block(&self, ui: &Ui, shared: &mut Shared, i: usize, rect: Rect, response: &Response) {
        let block = &self.map.blocks[i];
        let chosen = self.selected == Some(i);
        let lit = response.hovered() || response.has_focus();
        let fill = if lit {
            ui.visuals().widgets.hovered.bg_fill
        } else {
            theme::control(ui)
        };
        let painter = ui.painter();
        let radius = CornerRadius::same(4);
        painter.rect_filled(rect, radius, fill);
        let font = TextStyle::Small.resolve(ui.style());
        let colour = if chosen {
            theme::strong(ui)
        } else {
            theme::weak(ui)
        };
        if block.side == Side::Time {
            let text = words::time_line(self.t);
            painter.text(rect.center(), Align2::CENTER_CENTER, text, font, colour);
        } else {
            self.thumbnail(ui, shared, block, rect);
            self.caption(ui, block, rect, colour);
        }
        if chosen {
            let stroke = Stroke::new(2.0, theme::ACCENT);
            painter.rect_stroke(rect, radius, stroke, StrokeKind::Outside);
        }
    }

    /// The first channel of what the block puts out.
    fn thumbnail(&self, ui: &Ui, shared: &mut Shared, block: &MapBlock, rect: Rect) {
        let Some(seen) = Network::seen(self.view, block) else {
            return;
        };
        let Some(texture) = shared.texture(&seen.film, 0) else {
            return;
        };
        let dpi = ui.ctx().pixels_per_point();
        let (w, h) = seen.film.tile_size();
        let (w, h) = (w as f32 / dpi, h as f32 / dpi);
        let space = rect.size() - vec2(4.0, 4.0);
        let fit = (space.x / w).min(space.y / h);
        let factor = if fit >= 1.0 { fit.floor() } else { fit };
        let size = vec2(w, h) * factor;
        let min = rect.center() - size / 2.0;
        let min = pos2((min.x * dpi).round() / dpi, (min.y * dpi).round() / dpi);
        let uv = seen.film.uv(0);
        let uv = Rect::from_min_max(pos2(uv[0], uv[1]), pos2(uv[2], uv[3]));
        let place = Rect::from_min_size(min, size);
        ui.painter().image(texture, place, uv, Color32::WHITE);
    }

    fn caption(&self, ui: &Ui, block: &MapBlock, rect: Rect, colour: Color32) {
        let value = self.measure.of(block);
        let most = self.map.blocks.iter().map(|b| self.measure.of(b)).max();
        let share = value as f32 / most.unwrap_or(1).max(1) as f32;
        let bar = Rect::from_min_size(rect.left_bottom() + vec2(0.0, 4.0), vec2(rect.width(), 2.0));
        let painter = ui.painter();
        painter.rect_filled(bar, 0.0, theme::line(ui));
        let filled = Rect::from_min_size(bar.min, vec2(bar.width() * share, bar.height()));
        painter.rect_filled(filled, 0.0, theme::weak(ui));
        let font = TextStyle::Small.resolve(ui.style());
        let mut at = rect.center_bottom() + vec2(0.0, 7.0);
        for text in [
            words::short(block.kind).to_owned(),
            self.measure.short(value),
        ] {
            painter.text(at, Align2::CENTER_TOP, text, font.clone(), colour);
            at.y += 13.0;
        }
    }
}

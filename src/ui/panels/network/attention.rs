//! Where an attention layer looks from a place in the picture.

use egui::{Color32, Rect, Stroke, StrokeKind, Ui, vec2};
use noiselab::session::event::{AttentionView, ProbeView};

use crate::ui::{shared::Shared, strings::network as words, theme, widgets};

/// Side of the picture.
const SIDE: f32 = 256.0;
/// Heads that are offered one by one.
const HEADS: usize = 16;

/// Where the user looks.
#[derive(Debug, Default)]
pub(super) struct Gaze {
    /// `None` for the mean over all.
    head: Option<usize>,
    /// Row and column that were clicked; the middle at first.
    place: Option<[usize; 2]>,
}

impl Gaze {
    /// Forgets the place, as another layer has other places.
    pub fn release(&mut self) {
        self.place = None;
        self.head = None;
    }

    pub fn show(
        &mut self,
        ui: &mut Ui,
        shared: &mut Shared,
        view: &ProbeView,
        attention: &AttentionView,
    ) {
        let [h, w] = attention.size;
        if h == 0 || w == 0 || attention.heads == 0 {
            return;
        }
        if attention.heads > 1 {
            let heads = attention.heads.min(HEADS);
            let names: Vec<String> = (1..=heads).map(|n| n.to_string()).collect();
            let mut options = vec![(None, words::HEAD_MEAN)];
            options.extend(names.iter().enumerate().map(|(i, n)| (Some(i), n.as_str())));
            widgets::segmented(ui, words::HEAD, words::HEAD_TIP, &mut self.head, &options);
        }
        let side = ui.available_width().min(SIDE);
        let response = widgets::film_tile(ui, shared, &view.io, (0, 0), side, words::ATTENTION);
        let rect = response.rect;
        let cell = vec2(rect.width() / w as f32, rect.height() / h as f32);
        let under = response.hover_pos().map(|p| {
            let at = p - rect.min;
            [
                ((at.y / cell.y).max(0.0) as usize).min(h - 1),
                ((at.x / cell.x).max(0.0) as usize).min(w - 1),
            ]
        });
        if response.clicked() {
            self.place = under;
        }
        let kept = self.place.unwrap_or([h / 2, w / 2]);
        let kept = [kept[0].min(h - 1), kept[1].min(w - 1)];
        let [row, column] = under.unwrap_or(kept);
        let weights = self.weights(attention, row * w + column);
        let most = weights.iter().fold(0.0_f32, |a, &b| a.max(b));
        let painter = ui.painter();
        painter.rect_filled(rect, 0.0, Color32::from_black_alpha(128));
        for (j, &weight) in weights.iter().enumerate() {
            let at = vec2((j % w) as f32 * cell.x, (j / w) as f32 * cell.y);
            let place = Rect::from_min_size(rect.min + at, cell);
            let share = weight / most.max(1e-12);
            painter.rect_filled(place, 0.0, theme::ACCENT.gamma_multiply(0.85 * share));
        }
        let at = vec2(column as f32 * cell.x, row as f32 * cell.y);
        let place = Rect::from_min_size(rect.min + at, cell);
        painter.rect_stroke(
            place,
            0.0,
            Stroke::new(2.0, Color32::WHITE),
            StrokeKind::Inside,
        );
        widgets::hint(ui, &words::attention_at(row + 1, column + 1, most, h * w));
        ui.horizontal(|ui| {
            let mut place = [kept[0] + 1, kept[1] + 1];
            let tip = words::PLACE_TIP;
            let rows = widgets::drag(ui, &mut place[0], 1..=h, words::ROW, tip);
            let columns = widgets::drag(ui, &mut place[1], 1..=w, words::COLUMN, tip);
            if rows.changed() || columns.changed() {
                self.place = Some([place[0] - 1, place[1] - 1]);
            }
        });
        widgets::hint(ui, words::ATTENTION_HINT);
    }

    /// The weights from a place, of the chosen head or of all together.
    fn weights(&self, attention: &AttentionView, i: usize) -> Vec<f32> {
        let n = attention.size[0] * attention.size[1];
        let row = |head: usize| {
            let first = (head * n + i) * n;
            attention.weights.get(first..first + n).unwrap_or_default()
        };
        if let Some(head) = self.head {
            return row(head.min(attention.heads - 1)).to_vec();
        }
        let mut mean = vec![0.0; n];
        for head in 0..attention.heads {
            for (m, w) in mean.iter_mut().zip(row(head)) {
                *m += w / attention.heads as f32;
            }
        }
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_heads_is_a_mean() {
        let attention = AttentionView {
            name: String::new(),
            size: [1, 2],
            heads: 2,
            weights: vec![1.0, 0.0, 0.25, 0.75, 0.5, 0.5, 0.75, 0.25].into(),
        };
        let mut gaze = Gaze::default();
        assert_eq!(gaze.weights(&attention, 0), [0.75, 0.25]);
        assert_eq!(gaze.weights(&attention, 1), [0.5, 0.5]);
        gaze.head = Some(1);
        assert_eq!(gaze.weights(&attention, 1), [0.75, 0.25]);
    }
}

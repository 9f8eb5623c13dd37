//! What there is to know of the selected block.

use egui::{RichText, Ui};
use noiselab::{
    nn::unet_map::{MapBlock, MapKind, NetworkMap},
    session::event::{BlockView, ProbeView},
};

use super::{Network, embedding};
use crate::ui::{panels::flow, shared::Shared, strings::network as words, theme, widgets};

/// Size of the type of formulas.
const FORMULA_SIZE: f32 = 16.0;

impl Network {
    pub(super) fn detail(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let (Some(map), Some(i)) = (self.map(), self.selected) else {
            return;
        };
        let Some(block) = map.blocks.get(i).cloned() else {
            return;
        };
        let whole = map.clone();
        let view = self.view.clone();
        theme::section(ui, words::kind(block.kind), |ui| {
            ui.label(RichText::new(&block.name).monospace());
            widgets::hint(ui, words::purpose(block.kind));
            if let Some(other) = figures(ui, &whole, &block) {
                self.select(other);
            }
        });
        self.flame.detail(ui, i);
        theme::section(ui, words::FORMULA, |ui| {
            for formula in block.kind.formulas() {
                widgets::equation(ui, &widgets::tex(formula), FORMULA_SIZE);
            }
        });
        if let Some(view) = view.as_deref() {
            if block.kind == MapKind::TimeEmbedding {
                theme::section(ui, words::EMBEDDING, |ui| embedding::show(ui, view));
            }
            let weights = view.attention.iter().find(|a| a.name == block.name);
            if let Some(weights) = weights {
                theme::section(ui, words::ATTENTION, |ui| {
                    self.gaze.show(ui, shared, view, weights);
                });
            }
            if let Some(seen) = Self::seen(Some(view), &block) {
                channels(ui, shared, view, seen);
            }
        }
        theme::section(ui, "", |ui| self.source.show(ui, &block));
    }
}

/// The block's figures; returns the block at the other end of its skip connection if that was clicked.
fn figures(ui: &mut Ui, map: &NetworkMap, block: &MapBlock) -> Option<usize> {
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let parameters = words::with_share(
        &words::count(block.parameters as u64),
        share(block.parameters as u64, map.parameters() as u64),
    );
    let flops = words::with_share(&words::flops(block.flops), share(block.flops, map.flops()));
    let memory = words::with_share(
        &words::bytes(block.activation_bytes),
        share(block.activation_bytes, map.activation_bytes()),
    );
    flow::flow(ui, |ui| {
        let shapes = words::shapes(block.input, block.output);
        flow::figure(ui, words::SHAPE, &shapes, words::SHAPE_TIP);
        flow::figure(ui, words::PARAMETERS, &parameters, words::PARAMETERS_TIP);
        flow::figure(ui, words::FLOPS, &flops, words::FLOPS_TIP);
        flow::figure(ui, words::MEMORY, &memory, words::MEMORY_TIP);
    });
    let other = block.skip?;
    let name = &map.blocks.get(other)?.name;
    let clicked = ui
        .horizontal_wrapped(|ui| {
            ui.label(RichText::new(words::SKIP).small().color(theme::weak(ui)));
            ui.link(RichText::new(name).monospace())
                .on_hover_text(words::SKIP_TIP)
                .clicked()
        })
        .inner;
    clicked.then_some(other)
}

fn channels(ui: &mut Ui, shared: &mut Shared, view: &ProbeView, seen: &BlockView) {
    let title = words::output_of(seen.film.tiles(), seen.shape[0]);
    theme::section(ui, &title, |ui| {
        film(ui, shared, &seen.film, "channels", &title);
        if let Some(gradient) = &seen.gradient
            && view.request.gradients
        {
            ui.label(
                RichText::new(words::GRADIENT)
                    .text_style(theme::section_style())
                    .color(theme::strong(ui)),
            );
            film(ui, shared, gradient, "gradients", words::GRADIENT);
        }
        widgets::hint(ui, words::CHANNELS_HINT);
    });
}

/// A frame as large as fits; one that is wider at a pixel a pixel scrolls.
fn film(ui: &mut Ui, shared: &mut Shared, film: &noiselab::gpu::film::Film, id: &str, label: &str) {
    let space = ui.available_width();
    egui::ScrollArea::horizontal().id_salt(id).show(ui, |ui| {
        widgets::film_frame(ui, shared, film, 0, space, label);
    });
}

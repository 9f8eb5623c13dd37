//! Network: the U-Net as it is, and what happens inside for one noisy picture.

mod attention;
mod detail;
mod drawing;
mod embedding;
pub(super) mod flame;
mod source;
mod table;

use std::sync::Arc;

use egui::Ui;
use noiselab::{
    nn::{
        unet_config::UNetConfig,
        unet_map::{self, MapBlock, MapKind, NetworkMap},
    },
    session::{
        command::{Command, Picture, ProbeRequest},
        event::{BlockView, Event, Job, ProbeView},
    },
};

use crate::ui::{
    panel::Panel, panels::flow, shared::Shared, strings::network as words, theme, widgets,
};

/// Width from which the details stand beside the drawing.
const WIDE: f32 = 720.0;
/// Share of the width that the drawing gets.
const DRAWING_SHARE: f32 = 0.57;
/// Side of the tiles of what goes in and comes out.
const IO_SIDE: f32 = 112.0;

/// What stands under the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Measure {
    #[default]
    Parameters,
    Flops,
    Memory,
}

impl Measure {
    const ALL: [(Self, &str); 3] = [
        (Self::Parameters, words::PARAMETERS),
        (Self::Flops, words::FLOPS),
        (Self::Memory, words::MEMORY),
    ];

    const fn of(self, block: &MapBlock) -> u64 {
        match self {
            Self::Parameters => block.parameters as u64,
            Self::Flops => block.flops,
            Self::Memory => block.activation_bytes,
        }
    }

    fn short(self, value: u64) -> String {
        match self {
            Self::Parameters | Self::Flops => words::short_count(value),
            Self::Memory => words::short_bytes(value),
        }
    }
}

/// The room.
#[derive(Debug, Default)]
pub struct Network {
    /// The network at hand, or why it cannot be drawn.
    map: Option<(UNetConfig, Result<Arc<NetworkMap>, String>)>,
    selected: Option<usize>,
    /// To be selected once the network is known.
    wanted_block: Option<String>,
    measure: Measure,
    table: bool,
    gradients: bool,
    view: Option<Arc<ProbeView>>,
    /// Sent and not answered.
    asked: Option<ProbeRequest>,
    /// Answered by a failure: not sent again.
    failed: Option<ProbeRequest>,
    /// Look again, though nothing changed.
    again: bool,
    /// The first image of the data set with that hash.
    first: Option<(u64, Picture)>,
    gaze: attention::Gaze,
    source: source::Source,
    flame: flame::Flame,
}

impl Network {
    /// The picture to look at.
    fn picture(&mut self, shared: &Shared) -> Option<Picture> {
        if let Some(picture) = &shared.picture {
            return Some(picture.clone());
        }
        let data = shared.data.as_ref()?;
        if self.first.as_ref().is_none_or(|f| f.0 != data.content_hash) {
            self.first = Some((data.content_hash, Picture::of(&data.train, 0)?));
        }
        self.first.as_ref().map(|f| f.1.clone())
    }

    /// What to ask for, or why nothing can be.
    fn wanted(&mut self, shared: &Shared) -> Result<ProbeRequest, String> {
        let Some(model) = &shared.model else {
            return Err(words::NO_MODEL.into());
        };
        let Some(picture) = self.picture(shared) else {
            return Err(words::NO_PICTURE.into());
        };
        let side = model.unet.sample_size;
        let channels = model.unet.in_channels;
        if picture.channels != channels || picture.height.max(picture.width) > side {
            return Err(words::misfit(
                [picture.channels, picture.height, picture.width],
                [channels, side, side],
            ));
        }
        let most = model.scheduler.num_train_timesteps.max(1);
        Ok(ProbeRequest {
            picture,
            seed: shared.seed,
            t: shared.time.t().clamp(1, most),
            gradients: self.gradients,
        })
    }

    fn map(&self) -> Option<&NetworkMap> {
        self.map.as_ref()?.1.as_deref().ok()
    }

    fn draw_map_of(&mut self, config: &UNetConfig) {
        if self.map.as_ref().is_some_and(|m| m.0 == *config) {
            return;
        }
        let map = unet_map::describe(config)
            .map(Arc::new)
            .map_err(|e| e.to_string());
        self.selected = map.as_ref().ok().map(|map| {
            // Attention is what there is most to see of.
            let find = |kind| map.blocks.iter().position(|b| b.kind == kind);
            find(MapKind::Attention)
                .or_else(|| find(MapKind::Resnet))
                .unwrap_or(0)
        });
        self.map = Some((config.clone(), map));
    }

    fn select_wanted(&mut self) {
        let Some(name) = &self.wanted_block else {
            return;
        };
        let Some(map) = self.map() else { return };
        if let Some(i) = map.blocks.iter().position(|b| b.name == *name) {
            self.selected = Some(i);
        }
        self.wanted_block = None;
    }

    fn select(&mut self, i: usize) {
        if self.selected != Some(i) {
            self.selected = Some(i);
            self.gaze.release();
        }
    }

    /// What was seen of a block.
    fn seen<'a>(view: Option<&'a ProbeView>, block: &MapBlock) -> Option<&'a BlockView> {
        view?.blocks.iter().find(|b| b.name == block.name)
    }

    fn bar(&mut self, ui: &mut Ui, shared: &Shared, trouble: Option<&str>) {
        theme::section(ui, "", |ui| {
            flow::flow(ui, |ui| {
                let views = [(false, words::DRAWING), (true, words::TABLE)];
                flow::segmented(ui, words::VIEW, words::VIEW_TIP, &mut self.table, &views);
                if !self.table {
                    let measure = &mut self.measure;
                    let tip = words::MEASURE_TIP;
                    flow::segmented(ui, words::MEASURE, tip, measure, &Measure::ALL);
                }
                let width = flow::toggle_width(ui, words::GRADIENTS);
                flow::lowered(ui, width, |ui| {
                    let value = &mut self.gradients;
                    widgets::toggle(ui, value, words::GRADIENTS, words::GRADIENTS_TIP);
                });
                let width = flow::button_width(ui, words::AGAIN);
                flow::lowered(ui, width, |ui| {
                    ui.add_enabled_ui(self.asked.is_none(), |ui| {
                        if widgets::button(ui, words::AGAIN, words::AGAIN_TIP).clicked() {
                            self.again = true;
                            self.failed = None;
                        }
                    });
                });
                let width = flow::button_width(ui, words::PROFILE);
                flow::lowered(ui, width, |ui| {
                    let can = self.map().is_some() && !self.flame.is_running();
                    ui.add_enabled_ui(can, |ui| {
                        if widgets::button(ui, words::PROFILE, words::PROFILE_TIP).clicked() {
                            self.flame.ask(shared);
                        }
                    });
                });
            });
            if let Some(trouble) = trouble {
                widgets::hint(ui, trouble);
            } else if let Some((_, done, of)) =
                shared.compiling.filter(|(job, ..)| *job == Job::Probe)
            {
                widgets::hint(ui, &format!("{}: {done} of {of}", words::PREPARING));
            } else if self.view.is_none() {
                widgets::hint(ui, words::LOOKING);
            }
        });
    }

    /// x_t, ε, ε̂ and x̂_0.
    fn io(&self, ui: &mut Ui, shared: &mut Shared) {
        let Some(view) = self.view.clone() else {
            return;
        };
        let objective = shared.objective();
        theme::section(ui, words::IO, |ui| {
            let gaps = 3.0 * theme::GAP;
            let side = ((ui.available_width() - gaps) / 4.0).min(IO_SIDE);
            ui.horizontal_top(|ui| {
                for (tile, (name, caption)) in words::IO_TILES.into_iter().enumerate() {
                    ui.vertical(|ui| {
                        ui.spacing_mut().item_spacing.y = theme::UNIT;
                        widgets::film_tile(ui, shared, &view.io, (0, tile), side, name)
                            .on_hover_text(name);
                        widgets::hint(ui, caption);
                    });
                }
            });
            flow::flow(ui, |ui| {
                let t = view.request.t.to_string();
                flow::figure(ui, words::T, &t, words::T_TIP);
                let mse = format!("{:.4}", view.mse);
                let (name, tip) = (words::mse(objective), words::mse_tip(objective));
                flow::figure(ui, name, &mse, tip);
            });
        });
    }

    fn overview(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some((_, map)) = &self.map else { return };
        let map = match map {
            Ok(map) => Arc::clone(map),
            Err(why) => {
                widgets::warning(ui, why);
                return;
            }
        };
        let title = shared
            .model
            .as_ref()
            .map_or(words::WHOLE.to_owned(), |m| m.name.clone());
        theme::section(ui, &title, |ui| {
            flow::flow(ui, |ui| {
                let parameters = words::count(map.parameters() as u64);
                flow::figure(ui, words::PARAMETERS, &parameters, words::PARAMETERS_TIP);
                let flops = words::flops(map.flops());
                flow::figure(ui, words::FLOPS, &flops, words::FLOPS_TIP);
                let bytes = words::bytes(map.activation_bytes());
                flow::figure(ui, words::MEMORY, &bytes, words::MEMORY_TIP);
            });
            let clicked = if self.table {
                table::show(ui, &map, self.selected)
            } else {
                drawing::Drawing {
                    map: &map,
                    view: self.view.as_deref(),
                    measure: self.measure,
                    selected: self.selected,
                    t: shared.time.t(),
                }
                .show(ui, shared)
            };
            if let Some(i) = clicked {
                self.select(i);
            }
        });
        if let Some(i) = self.flame.show(ui, shared, self.selected) {
            self.select(i);
        }
    }
}

impl Panel for Network {
    fn id(&self) -> &'static str {
        "network"
    }

    fn title(&self) -> &'static str {
        words::TITLE
    }

    fn on_event(&mut self, event: &Event, _shared: &mut Shared) {
        self.flame.on_event(event);
        match event {
            Event::Probe(view) => {
                self.asked = None;
                self.view = Some(Arc::clone(view));
            }
            Event::Model(_) => {
                self.asked = None;
                self.failed = None;
                self.view = None;
            }
            Event::Failed {
                job: Job::Probe, ..
            } => self.failed = self.asked.take(),
            Event::DeviceLost { .. } => self.asked = None,
            _ => {}
        }
    }

    fn update(&mut self, shared: &mut Shared) {
        let Some(model) = shared.model.clone() else {
            return;
        };
        self.draw_map_of(&model.unet);
        self.select_wanted();
        let timesteps = model.scheduler.num_train_timesteps;
        shared.time.set_timesteps(timesteps);
        if self.asked.is_some() {
            return;
        }
        let Ok(wanted) = self.wanted(shared) else {
            return;
        };
        let known = self.view.as_ref().is_some_and(|v| v.request == wanted);
        if (known && !self.again) || self.failed.as_ref() == Some(&wanted) {
            return;
        }
        self.again = false;
        self.asked = Some(wanted.clone());
        shared.send(Command::Probe(wanted));
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let trouble = self.wanted(shared).err();
        self.bar(ui, shared, trouble.as_deref());
        if self.map.is_none() {
            return;
        }
        let width = ui.available_width();
        if width < WIDE {
            self.overview(ui, shared);
            self.io(ui, shared);
            self.detail(ui, shared);
            return;
        }
        let left = ((width - theme::PAD) * DRAWING_SHARE).floor();
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = theme::PAD;
            let layout = egui::Layout::top_down(egui::Align::Min);
            ui.allocate_ui_with_layout(egui::vec2(left, 0.0), layout, |ui| {
                ui.set_width(left);
                self.overview(ui, shared);
                self.io(ui, shared);
            });
            let right = width - theme::PAD - left;
            ui.allocate_ui_with_layout(egui::vec2(right, 0.0), layout, |ui| {
                ui.set_width(right);
                self.detail(ui, shared);
            });
        });
    }

    fn address(&self, _shared: &Shared) -> Vec<(&'static str, String)> {
        let name = match (&self.wanted_block, self.map(), self.selected) {
            (Some(name), ..) => Some(name.clone()),
            (None, Some(map), Some(i)) => Some(map.blocks[i].name.clone()),
            _ => None,
        };
        let block = name.map(|name| ("block", name));
        let profile = self.flame.address().map(|chosen| ("profile", chosen));
        block.into_iter().chain(profile).collect()
    }

    fn set_address(&mut self, key: &str, value: &str, _shared: &mut Shared) {
        match key {
            "block" => self.wanted_block = Some(value.to_owned()),
            "profile" => self.flame.set_address(value),
            _ => {}
        }
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({"profile": self.flame.status()})
    }
}

#[cfg(test)]
pub mod tests;

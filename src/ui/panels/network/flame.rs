//! Where the time goes: the steps of a pass in order, as wide as the time that they take. Forward runs from left to
//! right; backward runs back below it, from right to left, as the way up stands beside the way down in the U.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use egui::{
    Align2, Color32, CornerRadius, CursorIcon, ProgressBar, Rangef, Rect, Response, RichText,
    Sense, Stroke, StrokeKind, TextStyle, Ui, WidgetInfo, pos2, vec2,
};
use noiselab::{
    nn::{
        profile::{KernelKind, Profile, Timed},
        unet_config::UNetConfig,
        unet_map::{self, NetworkMap},
    },
    session::{
        command::{Command, ProfilePass, ProfileRequest},
        event::{Event, Job, ProfileEvent, ProfileStage, ProfileView, TrainEvent, TrainStatus},
    },
};
use serde_json::{Value, json};

use crate::ui::{panels::flow, shared::Shared, strings::network as words, theme, widgets};

/// Images at once where nothing says otherwise.
const IMAGES: usize = 8;
/// Images at once at most.
const MOST: usize = 1024;
/// Height of the memory that is alive.
const MEMORY: f32 = 16.0;
/// Height of the blocks.
const BLOCKS: f32 = 22.0;
/// Height of their kernels.
const KERNELS: f32 = 28.0;
/// Between the way there and the way back.
const SEAM: f32 = 4.0;
/// Space around the letters in a block.
const INSET: f32 = 3.0;
/// Kernels listed as the dearest.
const DEAREST: usize = 3;
/// What layers are called on the way back.
const BACKWARD: &str = " (backward)";

/// Which way a part of a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Forward,
    /// Forward once more, as its activations were not kept.
    Again,
    Backward,
    Update,
}

impl Direction {
    const fn word(self) -> &'static str {
        words::DIRECTIONS[self as usize]
    }
}

/// Dispatches of one block that follow each other.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    /// In the map; `None` for what belongs to no block.
    block: Option<usize>,
    /// The block's, or else the layer's.
    name: String,
    direction: Direction,
    dispatches: Range<usize>,
    seconds: f64,
}

/// A profile, laid out.
#[derive(Debug)]
struct Shown {
    view: Arc<ProfileView>,
    profile: Profile,
    map: NetworkMap,
    parts: Vec<Part>,
    /// The first dispatch of the way back; their number if there is none.
    turn: usize,
    /// Seconds there and back.
    seconds: [f64; 2],
    /// By kind, most first.
    kinds: Vec<(KernelKind, f64)>,
}

/// What is measured, what is known, and what is chosen.
#[derive(Debug, Default)]
pub(super) struct Flame {
    pass: Option<ProfilePass>,
    images: Option<usize>,
    /// Network and batch of the run in training.
    run: Option<(UNetConfig, usize)>,
    /// It is being measured, with the last news.
    running: Option<Option<(ProfileStage, usize, usize)>>,
    shown: Option<Shown>,
    /// To be scrolled to.
    reveal: bool,
}

impl Flame {
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::Train(TrainEvent::Opened { config, .. }) => {
                self.run = Some((config.unet.clone(), config.batch));
            }
            Event::Train(TrainEvent::Status(TrainStatus::None)) => self.run = None,
            Event::Profile(ProfileEvent::Progress { stage, done, of }) => {
                if let Some(news) = &mut self.running {
                    *news = Some((*stage, *done, *of));
                }
            }
            Event::Profile(ProfileEvent::Done(view)) => {
                self.reveal = self.running.take().is_some();
                self.shown = Shown::new(view);
            }
            Event::Model(model) => {
                self.running = None;
                self.shown.take_if(|shown| shown.view.unet != model.unet);
            }
            Event::Failed {
                job: Job::Profile, ..
            }
            | Event::DeviceLost { .. } => self.running = None,
            _ => {}
        }
    }

    /// What would be asked for.
    fn wanted(&self, shared: &Shared) -> Option<ProfileRequest> {
        let model = shared.model.as_ref()?;
        let run = self.run.as_ref().filter(|r| r.0 == model.unet);
        let pass = self.pass.unwrap_or(if run.is_some() {
            ProfilePass::Step
        } else {
            ProfilePass::Evaluation
        });
        let own = run
            .filter(|_| pass == ProfilePass::Step)
            .map_or(IMAGES, |r| r.1);
        let batch = self.images.unwrap_or(own);
        Some(ProfileRequest { pass, batch })
    }

    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Begins.
    pub fn ask(&mut self, shared: &Shared) {
        if let Some(request) = self.wanted(shared) {
            self.running = Some(None);
            self.reveal = true;
            shared.send(Command::Profile(request));
        }
    }

    /// For tests in a browser.
    pub fn status(&self) -> Value {
        let shown = self.shown.as_ref().map(|s| {
            json!({
                "pass": pass_name(s.view.request.pass),
                "images": s.view.request.batch,
                "dispatches": s.view.dispatches.len(),
                "seconds": s.profile.total_s,
                "productShare": s.profile.product_share,
                "clock": s.view.clock,
            })
        });
        json!({"running": self.is_running(), "shown": shown})
    }

    /// What was chosen, for addresses.
    pub fn address(&self) -> Option<String> {
        let pass = self.pass.map(pass_name);
        let images = self.images.map(|n| n.to_string());
        let parts: Vec<&str> = pass.into_iter().chain(images.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    pub fn set_address(&mut self, value: &str) {
        for part in value.split(',') {
            if let Some(pass) = PASSES.into_iter().find(|p| pass_name(*p) == part) {
                self.pass = Some(pass);
            } else if let Ok(images) = part.parse::<usize>() {
                self.images = Some(images.clamp(1, MOST));
            }
        }
    }

    /// The section under the U, once something was asked; returns the block that was clicked.
    pub fn show(&mut self, ui: &mut Ui, shared: &Shared, selected: Option<usize>) -> Option<usize> {
        if self.shown.is_none() && self.running.is_none() {
            return None;
        }
        let section = theme::section(ui, words::TIME, |ui| {
            self.controls(ui, shared);
            self.progress(ui, shared);
            let shown = self.shown.as_ref()?;
            shown.totals(ui);
            let clicked = Strip { shown, selected }.show(ui);
            shown.legend(ui);
            widgets::hint(
                ui,
                words::strip_hint(shown.turn < shown.view.dispatches.len()),
            );
            shown.dearest(ui);
            widgets::hint(ui, &words::clock(shown.view.clock, shown.profile.floor_s));
            clicked
        });
        if std::mem::take(&mut self.reveal) {
            section.response.scroll_to_me(None);
        }
        section.inner
    }

    fn controls(&mut self, ui: &mut Ui, shared: &Shared) {
        let Some(wanted) = self.wanted(shared) else {
            return;
        };
        flow::flow(ui, |ui| {
            let mut pass = wanted.pass;
            let passes = PASSES.map(|p| (p, words::pass(p)));
            flow::segmented(ui, words::PASS, words::PASS_TIP, &mut pass, &passes);
            if pass != wanted.pass {
                self.pass = Some(pass);
            }
            let width = flow::text_width(ui, words::IMAGES, TextStyle::Small);
            flow::item(ui, width, |ui| {
                let mut images = wanted.batch;
                let tip = words::IMAGES_TIP;
                widgets::drag(ui, &mut images, 1..=MOST, words::IMAGES, tip);
                if images != wanted.batch {
                    self.images = Some(images);
                }
            });
            let (name, tip) = if self.is_running() {
                (words::STOP, words::STOP_TIP)
            } else {
                (words::PROFILE_AGAIN, words::PROFILE_TIP)
            };
            let width = flow::button_width(ui, name);
            flow::lowered(ui, width, |ui| {
                if !widgets::button(ui, name, tip).clicked() {
                    return;
                }
                if self.is_running() {
                    self.running = None;
                    shared.send(Command::StopProfile);
                } else {
                    self.ask(shared);
                }
            });
        });
    }

    fn progress(&self, ui: &mut Ui, shared: &Shared) {
        let Some(news) = self.running else { return };
        let compiling = shared.compiling.filter(|(job, ..)| *job == Job::Profile);
        let (text, share) = if let Some((_, done, of)) = compiling {
            (words::preparing(done, of), done as f32 / of.max(1) as f32)
        } else if let Some((stage, done, of)) = news {
            (
                words::stage(stage).to_owned(),
                done as f32 / of.max(1) as f32,
            )
        } else {
            (words::PROFILE_BEGINS.to_owned(), 0.0)
        };
        widgets::hint(ui, &text);
        ui.add(ProgressBar::new(share).desired_height(4.0));
    }

    /// What of the time belongs to a block.
    pub fn detail(&self, ui: &mut Ui, block: usize) {
        if let Some(shown) = &self.shown {
            shown.detail(ui, block);
        }
    }
}

const PASSES: [ProfilePass; 2] = [ProfilePass::Step, ProfilePass::Evaluation];

/// In addresses.
const fn pass_name(pass: ProfilePass) -> &'static str {
    match pass {
        ProfilePass::Step => "step",
        ProfilePass::Evaluation => "evaluation",
    }
}

/// The first dispatch after the loss; their number if there is no loss.
fn turn_of(dispatches: &[Timed]) -> usize {
    let loss = dispatches.iter().rposition(|d| d.layer == "loss");
    loss.map_or(dispatches.len(), |i| i + 1)
}

fn parts_of(dispatches: &[Timed], map: &NetworkMap) -> Vec<Part> {
    let turn = turn_of(dispatches);
    let mut parts: Vec<Part> = Vec::new();
    for (i, dispatch) in dispatches.iter().enumerate() {
        let layer = dispatch.layer.as_str();
        let name = layer.strip_suffix(BACKWARD).unwrap_or(layer);
        let block = map.find(name);
        let direction = match (i < turn, dispatch.kind) {
            (true, _) => Direction::Forward,
            (false, KernelKind::Optimizer) => Direction::Update,
            (false, _) if layer.ends_with(BACKWARD) || block.is_none() => Direction::Backward,
            (false, _) => Direction::Again,
        };
        let name = block.map_or(name, |b| map.blocks[b].name.as_str());
        match parts.last_mut() {
            Some(last) if last.name == name && last.direction == direction => {
                last.dispatches.end = i + 1;
                last.seconds += dispatch.seconds;
            }
            _ => parts.push(Part {
                block,
                name: name.to_owned(),
                direction,
                dispatches: i..i + 1,
                seconds: dispatch.seconds,
            }),
        }
    }
    parts
}

/// A kernel without its constants.
fn short_kernel(kernel: &str) -> &str {
    kernel.split(' ').next().unwrap_or(kernel)
}

impl Shown {
    fn new(view: &Arc<ProfileView>) -> Option<Self> {
        let map = unet_map::describe(&view.unet).ok()?;
        let all = &view.dispatches;
        let turn = turn_of(all);
        let sum = |part: &[Timed]| part.iter().map(|d| d.seconds).sum::<f64>();
        let mut kinds: BTreeMap<KernelKind, f64> = BTreeMap::new();
        for dispatch in all {
            *kinds.entry(dispatch.kind).or_default() += dispatch.seconds;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
        Some(Self {
            profile: Profile::new(all, view.roofline.clone(), view.clock),
            parts: parts_of(all, &map),
            seconds: [sum(&all[..turn]), sum(&all[turn..])],
            view: Arc::clone(view),
            map,
            turn,
            kinds,
        })
    }

    fn totals(&self, ui: &mut Ui) {
        let (profile, view) = (&self.profile, &self.view);
        let alive = view.dispatches.iter().map(|d| d.alive).max().unwrap_or(0);
        let request = view.request;
        let per_image = profile.total_s / request.batch.max(1) as f64;
        flow::flow(ui, |ui| {
            let name = words::timed(request.pass, request.batch, view.checkpoint_activations);
            let value = words::time(profile.total_s);
            flow::figure(ui, &name, &value, words::TIMED_TIP);
            let value = words::time(per_image);
            flow::figure(ui, words::PER_IMAGE, &value, words::PER_IMAGE_TIP);
            let rate = words::gflops(profile.flops as f64 / profile.total_s);
            flow::figure(ui, words::RATE, &rate, words::RATE_TIP);
            let share = words::percent(profile.product_share);
            let tip = words::of_best_tip(&view.roofline);
            flow::figure(ui, words::OF_BEST, &share, &tip);
            let share = words::percent(profile.roofline_s / profile.total_s);
            flow::figure(ui, words::OF_ROOFLINE, &share, words::OF_ROOFLINE_TIP);
            let alive = words::bytes(alive);
            flow::figure(ui, words::ALIVE, &alive, words::ALIVE_TIP);
        });
    }

    fn legend(&self, ui: &mut Ui) {
        const SWATCH: f32 = 10.0;
        flow::flow(ui, |ui| {
            ui.spacing_mut().item_spacing.y = theme::UNIT;
            for (kind, seconds) in &self.kinds {
                let text = words::kind_share(*kind, seconds / self.profile.total_s);
                let width = flow::text_width(ui, &text, TextStyle::Small) + SWATCH + theme::GAP;
                flow::item(ui, width, |ui| {
                    ui.horizontal(|ui| {
                        let size = vec2(SWATCH, SWATCH);
                        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
                        let colour = theme::category(ui, *kind as usize);
                        ui.painter().rect_filled(rect, 2.0, colour);
                        ui.label(RichText::new(text).small().color(theme::weak(ui)))
                            .on_hover_text(words::kernel_kind_tip(*kind));
                    });
                });
            }
        });
    }

    fn dearest(&self, ui: &mut Ui) {
        ui.label(RichText::new(words::DEAREST).small().color(theme::weak(ui)));
        for line in self.profile.kernels.iter().take(DEAREST) {
            let bound = words::bound(line.product_bound);
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                ui.label(words::percent(line.share));
                ui.label(RichText::new(short_kernel(&line.name)).monospace())
                    .on_hover_text(&line.name);
                let text = words::dearest(line.count, line.seconds, line.roofline_share, bound);
                ui.label(RichText::new(text).small().color(theme::weak(ui)));
            });
        }
    }

    fn detail(&self, ui: &mut Ui, block: usize) {
        #[derive(Default)]
        struct Sum {
            count: usize,
            seconds: f64,
            flops: u64,
            bytes: u64,
            least: f64,
        }
        let mut sums: BTreeMap<(Direction, &str), Sum> = BTreeMap::new();
        for part in self.parts.iter().filter(|p| p.block == Some(block)) {
            for d in &self.view.dispatches[part.dispatches.clone()] {
                let key = (part.direction, short_kernel(&d.kernel));
                let sum = sums.entry(key).or_default();
                sum.count += 1;
                sum.seconds += d.seconds;
                sum.flops += d.flops;
                sum.bytes += d.bytes;
                sum.least += self.view.roofline.seconds(d.flops, d.bytes);
            }
        }
        if sums.is_empty() {
            return;
        }
        let total = self.profile.total_s;
        let own: f64 = sums.values().map(|s| s.seconds).sum();
        theme::section(ui, words::TIME_OF_BLOCK, |ui| {
            let text = words::with_share(&words::time(own), own / total);
            flow::figure(ui, words::OF_BLOCK, &text, words::OF_BLOCK_TIP);
            let mut lines: Vec<_> = sums.into_iter().collect();
            // Within a direction, dearest first.
            lines.sort_by(|a, b| (a.0.0.cmp(&b.0.0)).then(b.1.seconds.total_cmp(&a.1.seconds)));
            egui::ScrollArea::horizontal()
                .id_salt("time of a block")
                .show(ui, |ui| {
                    egui::Grid::new("time of a block")
                        .spacing(vec2(12.0, 4.0))
                        .min_row_height(20.0)
                        .show(ui, |ui| {
                            for name in words::TIME_COLUMNS {
                                ui.label(RichText::new(name).small().color(theme::weak(ui)));
                            }
                            ui.end_row();
                            for ((direction, kernel), sum) in lines {
                                let kernel = kernel.strip_prefix("layers/").unwrap_or(kernel);
                                let kernel = words::times(kernel, sum.count);
                                ui.label(RichText::new(direction.word()).small());
                                ui.label(RichText::new(kernel).monospace());
                                for text in [
                                    words::time(sum.seconds),
                                    words::percent(sum.seconds / total),
                                    words::percent(sum.least / sum.seconds),
                                    words::flops(sum.flops),
                                    words::bytes(sum.bytes),
                                ] {
                                    ui.label(RichText::new(text).small());
                                }
                                ui.end_row();
                            }
                        });
                });
        });
    }
}

/// The strip itself.
struct Strip<'a> {
    shown: &'a Shown,
    selected: Option<usize>,
}

/// Where a row's bands are.
struct Bands {
    memory: Rangef,
    blocks: Rangef,
    kernels: Rangef,
}

impl Bands {
    fn there(top: f32) -> Self {
        let blocks = top + MEMORY;
        let kernels = blocks + BLOCKS;
        Self {
            memory: Rangef::new(top, blocks - 1.0),
            blocks: Rangef::new(blocks, kernels - 1.0),
            kernels: Rangef::new(kernels, kernels + KERNELS),
        }
    }

    fn back(top: f32) -> Self {
        let blocks = top + KERNELS;
        let memory = blocks + BLOCKS;
        Self {
            kernels: Rangef::new(top, blocks),
            blocks: Rangef::new(blocks + 1.0, memory),
            memory: Rangef::new(memory + 1.0, memory + MEMORY),
        }
    }
}

impl Strip<'_> {
    /// Draws it; returns the block that was clicked.
    fn show(&self, ui: &mut Ui) -> Option<usize> {
        let shown = self.shown;
        let rows = if shown.turn < shown.view.dispatches.len() {
            2
        } else {
            1
        };
        let row = MEMORY + BLOCKS + KERNELS;
        let height = row * rows as f32 + SEAM * (rows - 1) as f32;
        let size = vec2(ui.available_width(), height);
        let (area, _) = ui.allocate_exact_size(size, Sense::hover());
        let spans = self.spans(area.x_range());
        let bands = [
            Bands::there(area.top()),
            Bands::back(area.top() + row + SEAM),
        ];
        let base = ui.scope_id().with("flame");
        let mut lit = None;
        for (row, bands) in bands.iter().enumerate().take(rows) {
            let range = if row == 0 {
                0..shown.turn
            } else {
                shown.turn..spans.len()
            };
            self.captions(ui, area, bands, &spans[range.clone()], row);
            self.memory(ui, bands, &spans, range.clone(), row);
            self.kernels(ui, bands, &spans, range.clone());
            for (band, name) in [
                (bands.kernels, words::KERNELS_BAND[row]),
                (bands.memory, words::MEMORY_BAND[row]),
            ] {
                let rect = Rect::from_x_y_ranges(area.x_range(), band);
                let response = ui.interact(rect, base.with((row, name)), Sense::hover());
                response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, name));
                lit = lit.or(self.tell(ui, response, &spans, range.clone()));
            }
        }
        if let Some(i) = lit {
            let row = &bands[usize::from(i >= shown.turn)];
            let rect = Rect::from_x_y_ranges(spans[i], row.kernels);
            let stroke = Stroke::new(1.0, theme::strong(ui));
            ui.painter().rect_stroke(
                rect.expand2(vec2(1.0, 0.0)),
                0.0,
                stroke,
                StrokeKind::Outside,
            );
        }
        let mut clicked = None;
        for (i, part) in shown.parts.iter().enumerate() {
            let row = &bands[usize::from(part.dispatches.start >= shown.turn)];
            let x = span_of(&spans[part.dispatches.clone()]);
            let rect = Rect::from_x_y_ranges(x, row.blocks);
            if self.part(ui, base.with(i), part, rect) {
                clicked = part.block;
            }
        }
        clicked
    }

    /// Where each dispatch is: the loss is at the right.
    fn spans(&self, x: Rangef) -> Vec<Rangef> {
        let shown = self.shown;
        let longest = shown.seconds[0].max(shown.seconds[1]).max(1e-12);
        let scale = f64::from(x.span()) / longest;
        let at = |seconds: f64| x.max - (seconds * scale) as f32;
        let mut spans = Vec::with_capacity(shown.view.dispatches.len());
        let (there, back) = shown.view.dispatches.split_at(shown.turn);
        let mut left = shown.seconds[0];
        for dispatch in there {
            let end = left - dispatch.seconds;
            spans.push(Rangef::new(at(left), at(end)));
            left = end;
        }
        let mut past = 0.0;
        for dispatch in back {
            let end = past + dispatch.seconds;
            spans.push(Rangef::new(at(end), at(past)));
            past = end;
        }
        spans
    }

    /// Which way the row goes, where it leaves room for it.
    fn captions(&self, ui: &Ui, area: Rect, bands: &Bands, spans: &[Rangef], row: usize) {
        let x = span_of(spans);
        let font = TextStyle::Small.resolve(ui.style());
        let text = words::ROWS[row];
        let galley = ui
            .painter()
            .layout_no_wrap(text.to_owned(), font, theme::weak(ui));
        if x.min - area.left() < galley.size().x + 2.0 * INSET {
            return;
        }
        let at = pos2(
            x.min - galley.size().x - 2.0 * INSET,
            bands.kernels.center() - galley.size().y / 2.0,
        );
        ui.painter().galley(at, galley, theme::weak(ui));
    }

    /// As much of each column of pixels as memory is alive.
    fn memory(&self, ui: &Ui, bands: &Bands, spans: &[Rangef], range: Range<usize>, row: usize) {
        let all = &self.shown.view.dispatches;
        let most = all.iter().map(|d| d.alive).max().unwrap_or(0).max(1) as f32;
        let colour = theme::faint(ui);
        for i in range {
            let Some(x) = pixels(ui, spans[i]) else {
                continue;
            };
            let height = bands.memory.span() * all[i].alive as f32 / most;
            let y = if row == 0 {
                Rangef::new(bands.memory.max - height, bands.memory.max)
            } else {
                Rangef::new(bands.memory.min, bands.memory.min + height)
            };
            let rect = Rect::from_x_y_ranges(x, y);
            ui.painter().rect_filled(rect, 0.0, colour);
        }
    }

    fn kernels(&self, ui: &Ui, bands: &Bands, spans: &[Rangef], range: Range<usize>) {
        for i in range {
            let Some(x) = pixels(ui, spans[i]) else {
                continue;
            };
            let kind = self.shown.view.dispatches[i].kind;
            let rect = Rect::from_x_y_ranges(x, bands.kernels);
            let colour = theme::category(ui, kind as usize);
            ui.painter().rect_filled(rect, 0.0, colour);
        }
    }

    /// What is under the pointer; returns its dispatch.
    fn tell(
        &self,
        ui: &Ui,
        response: Response,
        spans: &[Rangef],
        range: Range<usize>,
    ) -> Option<usize> {
        let x = response.hover_pos()?.x;
        let near = 1.0 / ui.ctx().pixels_per_point();
        let i = range
            .clone()
            .find(|&i| spans[i].contains(x))
            .or_else(|| range.clone().find(|&i| spans[i].expand(near).contains(x)))?;
        response.on_hover_ui_at_pointer(|ui| self.tooltip(ui, i));
        Some(i)
    }

    fn tooltip(&self, ui: &mut Ui, i: usize) {
        let shown = self.shown;
        let d = &shown.view.dispatches[i];
        let part = shown.parts.iter().find(|p| p.dispatches.contains(&i));
        ui.strong(words::kernel_kind(d.kind));
        ui.label(RichText::new(short_kernel(&d.kernel)).monospace());
        let roofline = &shown.view.roofline;
        let bound = words::bound(roofline.is_bound_by_product(d.flops, d.bytes));
        let reached = roofline.seconds(d.flops, d.bytes) / d.seconds;
        let mut rows = Vec::new();
        if let Some(part) = part {
            rows.push((words::BLOCK, part.name.clone()));
            rows.push((words::PASS_OF, part.direction.word().to_owned()));
        }
        rows.extend([
            (words::LAYER, d.layer.clone()),
            (
                words::TIME_OF,
                words::with_share(&words::time(d.seconds), d.seconds / shown.profile.total_s),
            ),
            (words::FLOPS, words::flops(d.flops)),
            (words::MOVED, words::bytes(d.bytes)),
            (words::REACHED, words::reached(reached, bound)),
            (words::ALIVE, words::bytes(d.alive)),
        ]);
        grid(ui, "kernel figures", &rows);
    }

    /// A block's bar; whether it was clicked.
    fn part(&self, ui: &Ui, id: egui::Id, part: &Part, rect: Rect) -> bool {
        let chosen = part.block.is_some() && part.block == self.selected;
        let sense = if part.block.is_some() {
            Sense::click()
        } else {
            Sense::hover()
        };
        let response = ui.interact(rect, id, sense);
        let total = self.shown.profile.total_s;
        response.widget_info(|| {
            let share = part.seconds / total;
            let label = words::part(&part.name, part.direction.word(), part.seconds, share);
            if part.block.is_some() {
                WidgetInfo::selected(egui::Role::Button, true, chosen, label)
            } else {
                WidgetInfo::labeled(egui::Role::Label, true, label)
            }
        });
        if let Some(x) = pixels(ui, rect.x_range()) {
            self.paint_part(
                ui,
                part,
                Rect::from_x_y_ranges(x, rect.y_range()),
                &response,
            );
        }
        let clicked = response.clicked() && part.block.is_some();
        let response = if part.block.is_some() {
            response.on_hover_cursor(CursorIcon::PointingHand)
        } else {
            response
        };
        response.on_hover_ui(|ui| self.part_tooltip(ui, part));
        clicked
    }

    fn paint_part(&self, ui: &Ui, part: &Part, rect: Rect, response: &Response) {
        let chosen = part.block.is_some() && part.block == self.selected;
        let lit = response.hovered() || response.has_focus();
        let fill = if lit {
            ui.visuals().widgets.hovered.bg_fill
        } else {
            theme::control(ui)
        };
        // A gap to the next one, where there is room.
        let inner = if rect.width() >= 4.0 {
            rect.with_max_x(rect.right() - 1.0)
        } else {
            rect
        };
        let radius = CornerRadius::same(if inner.width() >= 8.0 { 3 } else { 0 });
        let painter = ui.painter();
        painter.rect_filled(inner, radius, fill);
        let short = match part.block {
            Some(b) => words::short(self.shown.map.blocks[b].kind),
            None => part.name.as_str(),
        };
        let colour = if chosen {
            theme::strong(ui)
        } else {
            theme::weak(ui)
        };
        let font = TextStyle::Small.resolve(ui.style());
        let galley = painter.layout_no_wrap(short.to_owned(), font, colour);
        if galley.size().x + 2.0 * INSET <= inner.width() {
            let at = Align2::CENTER_CENTER.anchor_size(inner.center(), galley.size());
            painter.galley(at.min, galley, colour);
        }
        if chosen || response.has_focus() {
            let colour: Color32 = if chosen {
                theme::ACCENT
            } else {
                theme::weak(ui)
            };
            let stroke = Stroke::new(2.0, colour);
            painter.rect_stroke(inner, radius, stroke, StrokeKind::Inside);
        }
    }

    fn part_tooltip(&self, ui: &mut Ui, part: &Part) {
        let shown = self.shown;
        let all = &shown.view.dispatches[part.dispatches.clone()];
        let flops = all.iter().map(|d| d.flops).sum();
        let bytes = all.iter().map(|d| d.bytes).sum();
        let least: f64 = (all.iter())
            .map(|d| shown.view.roofline.seconds(d.flops, d.bytes))
            .sum();
        let kernels: BTreeSet<&str> = all.iter().map(|d| short_kernel(&d.kernel)).collect();
        match part.block {
            Some(b) => ui.strong(words::kind(shown.map.blocks[b].kind)),
            None => ui.strong(&part.name),
        };
        if part.block.is_some() {
            ui.label(RichText::new(&part.name).monospace());
        }
        let rows = [
            (words::PASS_OF, part.direction.word().to_owned()),
            (
                words::TIME_OF,
                words::with_share(
                    &words::time(part.seconds),
                    part.seconds / shown.profile.total_s,
                ),
            ),
            (words::FLOPS, words::flops(flops)),
            (words::MOVED, words::bytes(bytes)),
            (words::REACHED, words::percent(least / part.seconds)),
            (words::DISPATCHES, all.len().to_string()),
        ];
        grid(ui, "part figures", &rows);
        for kernel in kernels {
            ui.label(RichText::new(kernel).monospace());
        }
    }
}

fn grid(ui: &mut Ui, id: &str, rows: &[(&str, String)]) {
    egui::Grid::new(id).spacing(vec2(12.0, 4.0)).show(ui, |ui| {
        for (name, value) in rows {
            ui.weak(*name);
            ui.label(value);
            ui.end_row();
        }
    });
}

/// From the leftmost to the rightmost.
fn span_of(spans: &[Rangef]) -> Rangef {
    let min = spans.iter().map(|s| s.min).fold(f32::INFINITY, f32::min);
    let max = spans
        .iter()
        .map(|s| s.max)
        .fold(f32::NEG_INFINITY, f32::max);
    Rangef::new(min, max.max(min))
}

/// Whole pixels, so that neighbours neither overlap nor leave a seam; none for what is narrower.
fn pixels(ui: &Ui, span: Rangef) -> Option<Rangef> {
    let dpi = ui.ctx().pixels_per_point();
    let round = |x: f32| (x * dpi).round() / dpi;
    let span = Rangef::new(round(span.min), round(span.max));
    (span.span() > 0.0).then_some(span)
}

#[cfg(test)]
#[path = "flame_tests.rs"]
pub(in crate::ui::panels) mod tests;

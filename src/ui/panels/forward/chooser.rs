//! Choosing x_0: pictures of the data set, a file, or the canvas.

use std::collections::HashMap;

use egui::{
    Color32, Pos2, Rect, Role, Sense, Stroke, StrokeKind, TextureHandle, TextureOptions, Ui,
    WidgetInfo, pos2, vec2,
};
use noiselab::{
    data::{Dataset, Images},
    rng::{below, philox},
    session::command::Picture,
};

use super::picture::{self, Canvas};
use crate::ui::{
    files::Ask,
    panels::layout::frame,
    shared::Shared,
    strings::forward as s,
    theme,
    widgets::{button, combo, hint, slider, toggle},
};

/// Where x_0 comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A picture of the data set.
    Data,
    /// A picture that the user opened or dropped.
    Own,
    /// The canvas.
    Drawn,
}

/// Chooses x_0.
pub struct Chooser {
    /// Where x_0 comes from.
    pub origin: Origin,
    /// The picture of the data set that is, or was last, chosen.
    pub index: usize,
    /// Light and dark are exchanged.
    pub invert: bool,
    /// Only pictures of this class.
    class: Option<u8>,
    /// The pictures of that class.
    members: Vec<usize>,
    own: Option<Picture>,
    canvas: Canvas,
    canvas_texture: Option<TextureHandle>,
    thumbs: Thumbs,
    draws: u32,
}

impl Default for Chooser {
    fn default() -> Self {
        Self {
            origin: Origin::Data,
            index: 0,
            invert: false,
            class: None,
            members: Vec::new(),
            own: None,
            canvas: Canvas::new([28, 28, 1]),
            canvas_texture: None,
            thumbs: Thumbs::default(),
            draws: 0,
        }
    }
}

impl Chooser {
    /// A data set was opened: what was chosen of another one has no meaning any more.
    pub fn set_data(&mut self, data: &Dataset) {
        let images = &data.train;
        let shape = picture::shape(images);
        if self.canvas.shape() != shape {
            self.canvas = Canvas::new(shape);
            self.canvas_texture = None;
        }
        self.own = None;
        self.origin = Origin::Data;
        self.index = self.index.min(images.len().saturating_sub(1));
        self.class = None;
        self.members.clear();
        self.thumbs = Thumbs::default();
    }

    /// x_0.
    pub fn picture(&self, data: Option<&Dataset>) -> Option<Picture> {
        let plain = match self.origin {
            Origin::Data => Picture::of(&data?.train, self.index),
            Origin::Own => self.own.clone(),
            Origin::Drawn => Some(self.canvas.picture()),
        }?;
        Some(if self.invert && self.origin != Origin::Drawn {
            picture::inverted(&plain)
        } else {
            plain
        })
    }

    /// Takes a picture of the user's.
    pub fn set_own(&mut self, picture: Picture) {
        self.own = Some(picture);
        self.origin = Origin::Own;
        self.invert = false;
    }

    /// Chooses a picture of the data set.
    pub fn choose(&mut self, index: usize) {
        self.origin = Origin::Data;
        self.index = index;
    }

    /// How many pictures can be chosen.
    fn count(&self, images: &Images) -> usize {
        match self.class {
            Some(_) => self.members.len(),
            None => images.len(),
        }
    }

    /// The `n`th picture that can be chosen.
    fn nth(&self, n: usize) -> usize {
        match self.class {
            Some(_) => self.members.get(n).copied().unwrap_or(0),
            None => n,
        }
    }

    /// Where among these the chosen one is.
    fn place(&self) -> usize {
        match self.class {
            Some(_) => self.members.partition_point(|&i| i < self.index),
            None => self.index,
        }
    }

    fn set_class(&mut self, class: Option<u8>, images: &Images) {
        self.class = class;
        self.members = match (class, &images.labels) {
            (Some(class), Some(labels)) => (labels.iter().enumerate())
                .filter(|&(_, &l)| l == class)
                .map(|(i, _)| i)
                .collect(),
            _ => Vec::new(),
        };
        if self.members.is_empty() {
            self.class = None;
        } else if !self.members.contains(&self.index) {
            let place = self.place().min(self.members.len() - 1);
            self.choose(self.nth(place));
        }
    }

    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, shared: &Shared) {
        let Some(data) = shared.data.clone() else {
            hint(ui, s::WAITING_DATA);
            return;
        };
        self.origin_row(ui, shared);
        match self.origin {
            Origin::Data => self.data_ui(ui, &data),
            Origin::Own => {
                if let Some(own) = self.picture(None) {
                    let side = own.width.max(own.height);
                    let texture = self.thumbs.own(ui, &own);
                    let scale = whole_scale(ui, side, 112.0);
                    let size = vec2(own.width as f32, own.height as f32) * scale;
                    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
                    image(ui, &texture, rect);
                    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, s::OWN));
                }
                hint(ui, s::OWN);
            }
            Origin::Drawn => self.canvas_ui(ui),
        }
        if self.origin != Origin::Drawn {
            toggle(ui, &mut self.invert, s::INVERT, s::INVERT_HELP);
        }
    }

    fn origin_row(&mut self, ui: &mut Ui, shared: &Shared) {
        ui.horizontal_wrapped(|ui| {
            let drawing = self.origin == Origin::Drawn;
            let of_data = self.origin == Origin::Data;
            let choice = |ui: &mut Ui, on, label, help| {
                ui.add(egui::Button::selectable(on, label).frame_when_inactive(true))
                    .on_hover_text(help)
            };
            if choice(ui, of_data, s::DATA, s::DATA_HELP).clicked() {
                self.origin = Origin::Data;
            }
            if choice(ui, drawing, s::DRAW, s::DRAW_HELP).clicked() {
                self.origin = Origin::Drawn;
            }
            let own = self.origin == Origin::Own;
            if choice(ui, own, s::OPEN, s::OPEN_HELP).clicked() {
                shared.files.request(Ask::Picture);
            }
        });
    }

    fn data_ui(&mut self, ui: &mut Ui, data: &Dataset) {
        let images = &data.train;
        if !data.class_names.is_empty() && images.labels.is_some() {
            let mut options = vec![(None, s::EVERY_CLASS)];
            options.extend(
                (data.class_names.iter().enumerate())
                    .filter_map(|(i, name)| Some((Some(u8::try_from(i).ok()?), name.as_str()))),
            );
            let mut class = self.class;
            combo(ui, "class", s::CLASS, s::CLASS_HELP, &mut class, &options);
            if class != self.class {
                self.set_class(class, images);
            }
        }
        let count = self.count(images);
        if count == 0 {
            return;
        }
        self.strip(ui, data, count);
        ui.horizontal_wrapped(|ui| {
            let place = self.place();
            if button(ui, s::PREVIOUS, s::PREVIOUS_HELP).clicked() {
                self.choose(self.nth((place + count - 1) % count));
            }
            if button(ui, s::NEXT, s::NEXT_HELP).clicked() {
                self.choose(self.nth((place + 1) % count));
            }
            if button(ui, s::RANDOM, s::RANDOM_HELP).clicked() {
                self.draws = self.draws.wrapping_add(1);
                let time = ui.input(|i| i.time).to_bits();
                let words = philox([time as u32, (time >> 32) as u32, self.draws, 0], [0; 2]);
                let drawn = below(words[0], count as u32) as usize;
                let drawn = if drawn == place {
                    (drawn + 1) % count
                } else {
                    drawn
                };
                self.choose(self.nth(drawn));
            }
        });
        let class = class_of(data, self.index);
        hint(ui, &s::picture_name(self.index, class));
    }

    /// A page of thumbnails: the one with the chosen picture.
    fn strip(&mut self, ui: &mut Ui, data: &Dataset, count: usize) {
        let images = &data.train;
        let side = images.width.max(images.height);
        let scale = whole_scale(ui, side, 64.0);
        let size = vec2(images.width as f32, images.height as f32) * scale;
        let gap = theme::GAP;
        let columns = (((ui.available_width() + gap) / (size.x + gap)) as usize).max(1);
        let rows = if theme::is_phone(ui) { 1 } else { 2 };
        let page = columns * rows;
        let first = self.place() / page * page;
        ui.spacing_mut().item_spacing.x = gap;
        for row in 0..rows {
            ui.horizontal(|ui| {
                for column in 0..columns {
                    let n = first + row * columns + column;
                    if n >= count {
                        break;
                    }
                    let index = self.nth(n);
                    let texture = self.thumbs.get(ui, images, index);
                    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
                    let rect = image(ui, &texture, rect);
                    let chosen = self.origin == Origin::Data && index == self.index;
                    frame(ui, rect, chosen, &response);
                    let name = s::picture_name(index, class_of(data, index));
                    response.widget_info(|| {
                        WidgetInfo::selected(Role::Button, true, chosen, name.as_str())
                    });
                    if response.on_hover_text(&name).clicked() {
                        self.choose(index);
                    }
                }
            });
        }
        self.thumbs.forget_others();
    }

    fn canvas_ui(&mut self, ui: &mut Ui) {
        let [height, width, channels] = self.canvas.shape();
        let space = ui.available_width().min(336.0);
        let scale = whole_scale(ui, width.max(height), space);
        let size = vec2(width as f32, height as f32) * scale;
        let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
        let rect = on_pixels(ui, rect);
        let mut drawn = false;
        if response.is_pointer_button_down_on()
            && let Some(at) = response.interact_pointer_pos()
        {
            let place = (at - rect.min) / scale;
            self.canvas.stroke_to([place.x, place.y]);
            drawn = true;
        } else {
            self.canvas.end_stroke();
        }
        if drawn || self.canvas_texture.is_none() {
            self.show_canvas(ui);
        }
        if let Some(texture) = &self.canvas_texture {
            image(ui, texture, rect);
        }
        ui.painter().rect_stroke(
            rect,
            0.0,
            Stroke::new(1.0, theme::line(ui)),
            StrokeKind::Outside,
        );
        if self.canvas.is_empty() {
            ui.painter().text(
                rect.center(),
                egui::Align2::CENTER_CENTER,
                s::CANVAS_EMPTY,
                egui::TextStyle::Body.resolve(ui.style()),
                Color32::from_gray(150),
            );
        }
        response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, s::CANVAS));
        response
            .on_hover_cursor(egui::CursorIcon::Crosshair)
            .on_hover_text(s::CANVAS_HELP);
        slider(
            ui,
            &mut self.canvas.radius,
            Canvas::RADII,
            s::BRUSH,
            s::BRUSH_HELP,
        );
        ui.horizontal_wrapped(|ui| {
            toggle(ui, &mut self.canvas.erase, s::ERASE, s::ERASE_HELP);
            if button(ui, s::CLEAR, s::CLEAR_HELP).clicked() {
                self.canvas.clear();
                self.show_canvas(ui);
            }
            if channels >= 3 {
                ui.color_edit_button_rgb(&mut self.canvas.colour)
                    .on_hover_text(s::COLOUR_HELP);
                hint(ui, s::COLOUR);
            }
        });
    }

    fn show_canvas(&mut self, ui: &Ui) {
        let pixels = picture::to_color_image(&self.canvas.picture());
        match &mut self.canvas_texture {
            Some(texture) => texture.set(pixels, TextureOptions::NEAREST),
            None => {
                let texture = ui
                    .ctx()
                    .load_texture("canvas", pixels, TextureOptions::NEAREST);
                self.canvas_texture = Some(texture);
            }
        }
    }
}

/// The name of a picture's class.
fn class_of(data: &Dataset, index: usize) -> Option<&str> {
    let label = *data.train.labels.as_ref()?.get(index)?;
    data.class_names.get(usize::from(label)).map(String::as_str)
}

/// The largest whole factor of device pixels by which `side` pixels fit `space` points, in points.
fn whole_scale(ui: &Ui, side: usize, space: f32) -> f32 {
    let dpi = ui.ctx().pixels_per_point();
    (space * dpi / side as f32).floor().max(1.0) / dpi
}

/// The rectangle moved to whole device pixels.
fn on_pixels(ui: &Ui, rect: Rect) -> Rect {
    let dpi = ui.ctx().pixels_per_point();
    let whole = |v: f32| (v * dpi).round() / dpi;
    Rect::from_min_size(pos2(whole(rect.min.x), whole(rect.min.y)), rect.size())
}

fn image(ui: &Ui, texture: &TextureHandle, rect: Rect) -> Rect {
    let rect = on_pixels(ui, rect);
    let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
    ui.painter()
        .image(texture.id(), rect, whole, Color32::WHITE);
    rect
}

/// Small textures of pictures, made once.
#[derive(Default)]
struct Thumbs {
    known: HashMap<usize, TextureHandle>,
    own: Option<(Picture, TextureHandle)>,
    shown: Vec<usize>,
}

impl Thumbs {
    /// Textures that are kept although they are not shown.
    const KEPT: usize = 128;

    fn get(&mut self, ui: &Ui, images: &Images, index: usize) -> TextureHandle {
        self.shown.push(index);
        self.known
            .entry(index)
            .or_insert_with(|| {
                let pixels = Picture::of(images, index)
                    .map(|p| picture::to_color_image(&p))
                    .unwrap_or_default();
                ui.ctx()
                    .load_texture("thumbnail", pixels, TextureOptions::NEAREST)
            })
            .clone()
    }

    fn own(&mut self, ui: &Ui, own: &Picture) -> TextureHandle {
        if let Some((known, texture)) = &self.own
            && known == own
        {
            return texture.clone();
        }
        let pixels = picture::to_color_image(own);
        let texture = ui
            .ctx()
            .load_texture("own", pixels, TextureOptions::NEAREST);
        self.own = Some((own.clone(), texture.clone()));
        texture
    }

    fn forget_others(&mut self) {
        if self.known.len() > Self::KEPT {
            let shown = &self.shown;
            self.known.retain(|i, _| shown.contains(i));
        }
        self.shown.clear();
    }
}

//! What surrounds the rooms: the rail, the tools at the top, time and status at the bottom.

use egui::{
    Align, ComboBox, CornerRadius, Frame, Label, Layout, Margin, Panel, Rect, RichText, Role,
    Sense, Slider, TextStyle, Ui, WidgetInfo, pos2, vec2,
};

use super::{
    app::App,
    strings::app as words,
    theme,
    widgets::{self, Icon, icon_button, math},
};

/// Up to this width of the window the rail shows numbers alone.
const NARROW: f32 = 900.0;
/// How fast time can run.
const SPEEDS: [(f32, &str); 5] = [
    (0.25, "×¼"),
    (0.5, "×½"),
    (1.0, "×1"),
    (2.0, "×2"),
    (4.0, "×4"),
];

/// The next speed above or below.
pub fn other_speed(now: f32, faster: bool) -> f32 {
    let mut speeds = SPEEDS.iter().map(|s| s.0);
    let next = if faster {
        speeds.find(|s| *s > now)
    } else {
        speeds.rfind(|s| *s < now)
    };
    next.unwrap_or(now)
}

fn bar_frame(ui: &Ui, x: i8, y: i8) -> Frame {
    Frame::new()
        .fill(theme::surface(ui))
        .inner_margin(Margin::symmetric(x, y))
}

fn room_help(number: usize) -> String {
    words::ROOM_HELP.replace("{n}", &number.to_string())
}

/// The rail at the left: rooms with number and name.
pub fn rail(app: &mut App, ui: &mut Ui) -> Rect {
    let narrow = ui.ctx().content_rect().width() <= NARROW;
    let width = if narrow { 56.0 } else { 184.0 };
    let frame = bar_frame(ui, 8, 12);
    let (titles, current) = app.rooms();
    let shown = Panel::left("rail")
        .exact_size(width)
        .resizable(false)
        .frame(frame)
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            logo(ui, narrow);
            ui.add_space(12.0);
            for (i, title) in titles.iter().enumerate() {
                if rail_item(ui, i + 1, title, i == current, narrow) {
                    app.show_number(i);
                }
            }
        });
    shown.response.rect
}

/// The program's sign: a disc that dissolves into dots, and its name.
fn logo(ui: &mut Ui, narrow: bool) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 32.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, words::NAME));
    let painter = ui.painter();
    let middle = pos2(rect.left() + 20.0, rect.center().y);
    for row in 0..4_u8 {
        for column in 0..4_u8 {
            let at = vec2(f32::from(column) - 1.5, f32::from(row) - 1.5) * 5.5;
            let size = 2.4 - 0.5 * f32::from(column);
            let colour = theme::ACCENT.gamma_multiply(1.0 - 0.18 * f32::from(column));
            painter.circle_filled(middle + at, size, colour);
        }
    }
    if !narrow {
        painter.text(
            pos2(rect.left() + 42.0, rect.center().y),
            egui::Align2::LEFT_CENTER,
            words::NAME,
            egui::FontId::proportional(16.0),
            theme::strong(ui),
        );
    }
}

fn rail_item(ui: &mut Ui, number: usize, title: &str, chosen: bool, narrow: bool) -> bool {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 40.0), Sense::click());
    let label = format!("{number} {title}");
    response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), chosen, &label));
    let hovered = response.hovered() || response.has_focus();
    if chosen || hovered {
        let fill = if chosen {
            theme::control(ui)
        } else {
            theme::control(ui).gamma_multiply(0.5)
        };
        ui.painter().rect_filled(rect, CornerRadius::same(6), fill);
    }
    let badge = Rect::from_min_size(pos2(rect.left() + 8.0, rect.top() + 8.0), vec2(24.0, 24.0));
    widgets::paint_badge(ui, number, chosen, badge);
    if !narrow {
        let colour = if chosen {
            theme::strong(ui)
        } else {
            theme::text(ui)
        };
        ui.painter().text(
            pos2(badge.right() + 10.0, rect.center().y),
            egui::Align2::LEFT_CENTER,
            title,
            TextStyle::Body.resolve(ui.style()),
            colour,
        );
    }
    let help = if narrow {
        format!("{title}\n{}", room_help(number))
    } else {
        room_help(number)
    };
    response.on_hover_text(help).clicked()
}

/// The line at the top: the room's name and the tools. Gives the place of the tools.
pub fn tools(app: &mut App, ui: &mut Ui) -> Rect {
    let frame = bar_frame(ui, 16, 8).fill(egui::Color32::TRANSPARENT);
    let (titles, current) = app.rooms();
    let mut place = Rect::NOTHING;
    Panel::top("tools")
        .exact_size(48.0)
        .resizable(false)
        .show_separator_line(false)
        .frame(frame)
        .show(ui, |ui| {
            ui.horizontal_centered(|ui| {
                theme::heading(ui, titles.get(current).unwrap_or(&""));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    let right = ui.max_rect().right();
                    buttons(app, ui);
                    let used = ui.min_rect();
                    place = Rect::from_min_max(
                        pos2(used.left(), used.top()),
                        pos2(right, used.bottom()),
                    )
                    .expand(4.0);
                });
            });
        });
    place
}

/// Tour, keys, theme and zoom, from the right.
fn buttons(app: &mut App, ui: &mut Ui) {
    if icon_button(ui, Icon::Compass, words::TOUR, words::TOUR_HELP).clicked() {
        app.start_tour();
    }
    if icon_button(ui, Icon::Question, words::HELP, words::HELP_HELP).clicked() {
        app.toggle_help();
    }
    theme_button(app, ui);
    zoom_buttons(app, ui);
}

fn theme_button(app: &mut App, ui: &mut Ui) {
    let (icon, label) = if ui.visuals().dark_mode {
        (Icon::Sun, words::TO_LIGHT)
    } else {
        (Icon::Moon, words::TO_DARK)
    };
    if icon_button(ui, icon, label, words::THEME_HELP).clicked() {
        app.switch_theme(ui.ctx());
    }
}

fn zoom_buttons(app: &mut App, ui: &mut Ui) {
    if icon_button(ui, Icon::Plus, words::ZOOM_IN, words::ZOOM_IN_HELP).clicked() {
        app.step_zoom(true);
    }
    let percent = format!("{} %", (app.zoom() * 100.0).round());
    ui.label(RichText::new(percent).small().color(theme::weak(ui)));
    if icon_button(ui, Icon::Minus, words::ZOOM_OUT, words::ZOOM_OUT_HELP).clicked() {
        app.step_zoom(false);
    }
}

/// The strip at the top of narrow windows: rooms by number, and a menu.
pub fn strip(app: &mut App, ui: &mut Ui) -> Rect {
    let frame = bar_frame(ui, 8, 4);
    let (titles, current) = app.rooms();
    let shown = Panel::top("strip")
        .exact_size(48.0)
        .resizable(false)
        .frame(frame)
        .show(ui, |ui| {
            ui.horizontal_centered(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                for (i, title) in titles.iter().enumerate() {
                    let (rect, response) = ui.allocate_exact_size(vec2(36.0, 36.0), Sense::click());
                    let label = format!("{} {title}", i + 1);
                    response.widget_info(|| {
                        WidgetInfo::selected(Role::Button, true, i == current, &label)
                    });
                    widgets::paint_badge(ui, i + 1, i == current, rect.shrink(4.0));
                    if response.on_hover_text(*title).clicked() {
                        app.show_number(i);
                    }
                }
                ui.add_space(4.0);
                let title = titles.get(current).unwrap_or(&"");
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    menu(app, ui);
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        let text = RichText::new(*title)
                            .text_style(theme::section_style())
                            .color(theme::strong(ui));
                        ui.add(Label::new(text).truncate());
                    });
                });
            });
        });
    shown.response.rect
}

fn menu(app: &mut App, ui: &mut Ui) {
    let button = icon_button(ui, Icon::Dots, words::MORE, words::MORE_HELP);
    egui::Popup::menu(&button).show(|ui| {
        ui.set_min_width(160.0);
        ui.horizontal(|ui| zoom_buttons_in_order(app, ui));
        let theme = if ui.visuals().dark_mode {
            words::TO_LIGHT
        } else {
            words::TO_DARK
        };
        if widgets::button(ui, theme, words::THEME_HELP).clicked() {
            app.switch_theme(ui.ctx());
        }
        if widgets::button(ui, words::HELP, words::HELP_HELP).clicked() {
            app.toggle_help();
            ui.close();
        }
        if widgets::button(ui, words::TOUR, words::TOUR_HELP).clicked() {
            app.start_tour();
            ui.close();
        }
    });
}

fn zoom_buttons_in_order(app: &mut App, ui: &mut Ui) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        zoom_buttons(app, ui);
    });
}

/// Time and status, at the bottom.
pub fn time(app: &mut App, ui: &mut Ui) -> Rect {
    let phone = theme::is_phone(ui);
    let frame = bar_frame(ui, if phone { 12 } else { 16 }, 8);
    let shown = Panel::bottom("time")
        .resizable(false)
        .frame(frame)
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            if phone {
                ui.horizontal(|ui| scrubber(app, ui));
                row(ui, |ui| {
                    transport(app, ui);
                    readout(app, ui);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        speed(app, ui);
                        direction(app, ui);
                    });
                });
            } else {
                row(ui, |ui| {
                    transport(app, ui);
                    ui.add_space(4.0);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        speed(app, ui);
                        direction(app, ui);
                        readout_box(app, ui);
                        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                            scrubber(app, ui);
                        });
                    });
                });
            }
            status(app, ui);
        });
    shown.response.rect
}

/// A row as high as its highest button, so that all stand on one line.
fn row(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    let size = vec2(ui.available_width(), ui.spacing().interact_size.y + 8.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), add);
}

fn transport(app: &mut App, ui: &mut Ui) {
    ui.spacing_mut().item_spacing.x = 4.0;
    let of_room = app.time_words();
    let time = &mut app.shared.time;
    if icon_button(ui, Icon::Back, of_room.step_back, of_room.step_back_help).clicked() {
        time.step(-1);
    }
    let label = if time.playing {
        words::PAUSE
    } else {
        words::PLAY
    };
    if widgets::play_button(ui, time.playing, label, words::PLAY_HELP).clicked() {
        time.toggle();
    }
    let (label, help) = (words::STEP_FORWARD, words::STEP_FORWARD_HELP);
    if icon_button(ui, Icon::Forward, label, help).clicked() {
        time.step(1);
    }
    ui.spacing_mut().item_spacing.x = theme::GAP;
}

/// The slider over t with its two ends named, in the width that is left.
fn scrubber(app: &mut App, ui: &mut Ui) {
    let colour = theme::weak(ui);
    let of_room = app.time_words();
    math::text(ui, of_room.end, TextStyle::Small, colour);
    // As wide as the other end's text was when it was drawn last.
    let id = egui::Id::unique("noise end");
    let end = ui.data(|d| d.get_temp(id)).unwrap_or(56.0_f32);
    let width = ui.available_width() - end - 2.0 * ui.spacing().item_spacing.x;
    ui.spacing_mut().slider_width = width.max(48.0);
    let time = &mut app.shared.time;
    let mut t = time.t();
    let slider = Slider::new(&mut t, 0..=time.timesteps()).show_value(false);
    let response = ui
        .add(slider)
        .accessible_name(words::SCRUBBER)
        .on_hover_text(of_room.scrubber_help);
    if response.changed() {
        time.playing = false;
        time.set_t(t);
    }
    let shown = math::text(ui, words::NOISE_END, TextStyle::Small, colour);
    ui.data_mut(|d| d.insert_temp(id, shown.rect.width()));
}

fn readout(app: &App, ui: &mut Ui) {
    let time = &app.shared.time;
    let text = format!("$t = {}$ {} {}", time.t(), words::OF, time.timesteps());
    math::text(ui, &text, TextStyle::Body, theme::strong(ui));
}

/// The readout in a place of fixed width, so that nothing moves while t changes.
fn readout_box(app: &App, ui: &mut Ui) {
    let size = vec2(112.0, ui.spacing().interact_size.y);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_size(size);
        readout(app, ui);
    });
}

fn direction(app: &mut App, ui: &mut Ui) {
    let of_room = app.time_words();
    let time = &mut app.shared.time;
    let (icon, label) = if time.forward {
        (Icon::Right, words::TOWARDS_NOISE)
    } else {
        (Icon::Left, of_room.towards)
    };
    if icon_button(ui, icon, label, words::DIRECTION_HELP).clicked() {
        time.forward = !time.forward;
    }
}

fn speed(app: &mut App, ui: &mut Ui) {
    let time = &mut app.shared.time;
    let shown = SPEEDS
        .iter()
        .find(|(s, _)| (s - time.speed).abs() < 1e-3)
        .map_or_else(|| format!("×{:.2}", time.speed), |s| s.1.to_owned());
    ComboBox::from_id_salt("speed")
        .selected_text(shown)
        .width(56.0)
        .show_ui(ui, |ui| {
            for (value, name) in SPEEDS.into_iter().rev() {
                ui.selectable_value(&mut time.speed, value, name);
            }
        })
        .response
        .accessible_name(words::SPEED)
        .on_hover_text(words::SPEED_HELP);
}

/// One line: the adapter, and what is being prepared.
fn status(app: &App, ui: &mut Ui) {
    let shared = &app.shared;
    let adapter = match (shared.adapter.is_empty(), shared.software) {
        (true, _) => words::STARTING.to_owned(),
        (false, true) => format!("{} {}", shared.adapter, words::SOFTWARE),
        (false, false) => shared.adapter.clone(),
    };
    let small = |ui: &Ui, text: String| RichText::new(text).small().color(theme::weak(ui));
    ui.horizontal(|ui| {
        ui.set_min_height(16.0);
        ui.spacing_mut().interact_size.y = 16.0;
        if let Some((job, done, of)) = shared.compiling {
            let (rect, _) = ui.allocate_exact_size(vec2(64.0, 4.0), Sense::hover());
            let share = done as f32 / of.max(1) as f32;
            let mut full = rect;
            full.set_width(rect.width() * share.clamp(0.0, 1.0));
            let radius = CornerRadius::same(2);
            ui.painter().rect_filled(rect, radius, theme::control(ui));
            ui.painter().rect_filled(full, radius, theme::ACCENT);
            let text = small(ui, words::compiling(words::job(job), done, of));
            ui.add(Label::new(text).truncate());
        } else {
            let text = small(ui, adapter);
            ui.add(Label::new(text).truncate());
        }
    });
}

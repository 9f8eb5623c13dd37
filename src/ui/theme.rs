//! Colours, type and spacing. One accent; everything else is grey. Distances are multiples of 4 points.

use std::{collections::BTreeMap, sync::Arc};

use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Frame, InnerResponse,
    Margin, RichText, Shadow, Stroke, TextStyle, Theme, Ui, Vec2, Visuals, style::HandleShape,
    vec2,
};

/// The accent, for what is selected, played and predicted. On white use [`accent`], which is as legible as text.
pub const ACCENT: Color32 = Color32::from_rgb(0xff, 0x8a, 0x3d);
/// Text on the accent.
pub const ON_ACCENT: Color32 = Color32::from_rgb(0x1e, 0x11, 0x06);

/// The unit of all distances.
pub const UNIT: f32 = 4.0;
/// Between things that belong together.
pub const GAP: f32 = 8.0;
/// Around and between sections.
pub const PAD: f32 = 16.0;
/// Up to this width of the window the layout is that of a phone.
pub const PHONE: f32 = 600.0;

/// Sizes of type.
const HEADING: f32 = 22.0;
const SECTION: f32 = 16.0;
const BODY: f32 = 14.0;
const SMALL: f32 = 12.0;

/// The faces of mathematics: the names of their font families, and their files.
const FACES: [(&str, &[u8]); 8] = [
    (
        "math-main",
        include_bytes!("../../assets/fonts/KaTeX_Main-Regular.ttf"),
    ),
    (
        "math-italic",
        include_bytes!("../../assets/fonts/KaTeX_Math-Italic.ttf"),
    ),
    (
        "math-calligraphic",
        include_bytes!("../../assets/fonts/KaTeX_Caligraphic-Regular.ttf"),
    ),
    (
        "math-double",
        include_bytes!("../../assets/fonts/KaTeX_AMS-Regular.ttf"),
    ),
    (
        "math-size1",
        include_bytes!("../../assets/fonts/KaTeX_Size1-Regular.ttf"),
    ),
    (
        "math-size2",
        include_bytes!("../../assets/fonts/KaTeX_Size2-Regular.ttf"),
    ),
    (
        "math-size3",
        include_bytes!("../../assets/fonts/KaTeX_Size3-Regular.ttf"),
    ),
    (
        "math-size4",
        include_bytes!("../../assets/fonts/KaTeX_Size4-Regular.ttf"),
    ),
];

/// The style of a section's title.
pub fn section_style() -> TextStyle {
    TextStyle::Name("section".into())
}

/// Sets fonts and the styles of both themes.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    for theme in [Theme::Dark, Theme::Light] {
        ctx.style_mut_of(theme, |style| {
            style.visuals = visuals(theme);
            style.text_styles = text_styles();
            spacing(&mut style.spacing);
            style.interaction.tooltip_delay = 0.4;
            style.interaction.selectable_labels = false;
            style.animation_time = 0.12;
        });
    }
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    for (name, bytes) in FACES {
        fonts
            .font_data
            .insert(name.into(), Arc::new(FontData::from_static(bytes)));
        fonts
            .families
            .insert(FontFamily::Name(name.into()), vec![name.into()]);
    }
    // Arrows and mathematical signs that the text font lacks.
    let text = fonts.families.entry(FontFamily::Proportional).or_default();
    text.extend(["Hack".into(), "math-main".into(), "math-italic".into()]);
    fonts
}

fn text_styles() -> BTreeMap<TextStyle, FontId> {
    let sans = FontId::proportional;
    BTreeMap::from([
        (TextStyle::Heading, sans(HEADING)),
        (section_style(), sans(SECTION)),
        (TextStyle::Body, sans(BODY)),
        (TextStyle::Button, sans(BODY)),
        (TextStyle::Small, sans(SMALL)),
        (TextStyle::Monospace, FontId::monospace(SMALL)),
    ])
}

fn spacing(s: &mut egui::Spacing) {
    s.item_spacing = vec2(GAP, GAP);
    s.button_padding = vec2(12.0, 4.0);
    s.interact_size = vec2(28.0, 28.0);
    s.window_margin = Margin::same(16);
    s.menu_margin = Margin::same(8);
    s.indent = 16.0;
    s.slider_width = 160.0;
    s.slider_rail_height = 4.0;
    s.combo_width = 120.0;
    s.combo_height = 320.0;
    s.icon_width = 16.0;
    s.icon_width_inner = 8.0;
    s.icon_spacing = 8.0;
    s.tooltip_width = 320.0;
    s.scroll = egui::style::ScrollStyle::thin();
}

/// The greys of a theme, from the page to the text.
struct Greys {
    page: Color32,
    card: Color32,
    sunken: Color32,
    line: Color32,
    control: Color32,
    hovered: Color32,
    pressed: Color32,
    weak: Color32,
    text: Color32,
    strong: Color32,
}

const fn grey(value: u32) -> Color32 {
    let [_, r, g, b] = value.to_be_bytes();
    Color32::from_rgb(r, g, b)
}

const DARK: Greys = Greys {
    page: grey(0x16_18_1b),
    card: grey(0x1e_20_24),
    sunken: grey(0x10_12_14),
    line: grey(0x34_37_3d),
    control: grey(0x2c_2f_35),
    hovered: grey(0x38_3c_43),
    pressed: grey(0x44_49_51),
    weak: grey(0x9d_a2_ab),
    text: grey(0xd8_da_de),
    strong: grey(0xf6_f7_f8),
};

const LIGHT: Greys = Greys {
    page: grey(0xf3_f4_f5),
    card: grey(0xff_ff_ff),
    sunken: grey(0xec_ed_ef),
    line: grey(0xd5_d8_dc),
    control: grey(0xe6_e8_eb),
    hovered: grey(0xda_dd_e1),
    pressed: grey(0xcb_cf_d5),
    weak: grey(0x5d_62_6b),
    text: grey(0x002a_2d32),
    strong: grey(0x10_12_14),
};

const fn greys(dark: bool) -> &'static Greys {
    if dark { &DARK } else { &LIGHT }
}

fn visuals(theme: Theme) -> Visuals {
    let dark = theme == Theme::Dark;
    let g = greys(dark);
    let mut v = if dark {
        Visuals::dark()
    } else {
        Visuals::light()
    };
    v.weak_text_color = Some(g.weak);
    v.hyperlink_color = accent_of(dark);
    v.faint_bg_color = g.card;
    v.extreme_bg_color = g.sunken;
    v.code_bg_color = g.sunken;
    v.warn_fg_color = accent_of(dark);
    v.error_fg_color = if dark {
        grey(0xff_7b_72)
    } else {
        grey(0xb4_23_18)
    };
    v.panel_fill = g.page;
    v.window_fill = g.card;
    v.window_stroke = Stroke::new(1.0, g.line);
    v.window_corner_radius = CornerRadius::same(8);
    v.menu_corner_radius = CornerRadius::same(8);
    let shadow = Shadow {
        offset: [0, 4],
        blur: 16,
        spread: 0,
        color: Color32::from_black_alpha(if dark { 120 } else { 40 }),
    };
    v.window_shadow = shadow;
    v.popup_shadow = shadow;
    v.selection.bg_fill = ACCENT;
    v.selection.stroke = Stroke::new(1.0, ON_ACCENT);
    v.text_cursor.stroke = Stroke::new(2.0, accent_of(dark));
    v.slider_trailing_fill = true;
    v.handle_shape = HandleShape::Circle;
    v.indent_has_left_vline = false;
    let radius = CornerRadius::same(6);
    let w = &mut v.widgets;
    for state in [
        &mut w.noninteractive,
        &mut w.inactive,
        &mut w.hovered,
        &mut w.active,
        &mut w.open,
    ] {
        state.corner_radius = radius;
        state.expansion = 0.0;
    }
    w.noninteractive.bg_fill = g.card;
    w.noninteractive.weak_bg_fill = g.card;
    w.noninteractive.bg_stroke = Stroke::new(1.0, g.line);
    w.noninteractive.fg_stroke = Stroke::new(1.0, g.text);
    w.inactive.bg_fill = g.control;
    w.inactive.weak_bg_fill = g.control;
    w.inactive.bg_stroke = Stroke::NONE;
    w.inactive.fg_stroke = Stroke::new(1.0, g.text);
    w.hovered.bg_fill = g.hovered;
    w.hovered.weak_bg_fill = g.hovered;
    w.hovered.bg_stroke = Stroke::NONE;
    w.hovered.fg_stroke = Stroke::new(1.0, g.strong);
    w.active.bg_fill = g.pressed;
    w.active.weak_bg_fill = g.pressed;
    // Also the ring around what has the keyboard.
    w.active.bg_stroke = Stroke::new(1.0, accent_of(dark));
    w.active.fg_stroke = Stroke::new(1.0, g.strong);
    w.open.bg_fill = g.control;
    w.open.weak_bg_fill = g.hovered;
    w.open.bg_stroke = Stroke::NONE;
    w.open.fg_stroke = Stroke::new(1.0, g.strong);
    v
}

const fn accent_of(dark: bool) -> Color32 {
    if dark { ACCENT } else { grey(0xbb_4f_06) }
}

/// The accent for text and thin lines on the theme's background.
pub fn accent(ui: &Ui) -> Color32 {
    accent_of(ui.visuals().dark_mode)
}

/// Secondary text.
pub fn weak(ui: &Ui) -> Color32 {
    greys(ui.visuals().dark_mode).weak
}

/// Primary text.
pub fn text(ui: &Ui) -> Color32 {
    greys(ui.visuals().dark_mode).text
}

/// Titles, and what is under the pointer.
pub fn strong(ui: &Ui) -> Color32 {
    greys(ui.visuals().dark_mode).strong
}

/// Thin lines: frames, separators, grids.
pub fn line(ui: &Ui) -> Color32 {
    greys(ui.visuals().dark_mode).line
}

/// The ground of sections.
pub fn card_fill(ui: &Ui) -> Color32 {
    greys(ui.visuals().dark_mode).card
}

/// Whether large surfaces get no ground of their own: a software adapter pays for every pixel that is filled, about
/// as much for the sections' grounds as for all that is on them.
pub fn set_flat(ctx: &egui::Context, flat: bool) {
    ctx.data_mut(|d| d.insert_temp(flat_id(), flat));
}

fn flat_id() -> egui::Id {
    egui::Id::unique("flat surfaces")
}

/// The ground of a large surface: [`card_fill`], or nothing, see [`set_flat`].
pub fn surface(ui: &Ui) -> Color32 {
    if ui.data(|d| d.get_temp(flat_id()).unwrap_or(false)) {
        Color32::TRANSPARENT
    } else {
        card_fill(ui)
    }
}

/// The ground of pictures and plots.
pub fn sunken(ui: &Ui) -> Color32 {
    greys(ui.visuals().dark_mode).sunken
}

/// The ground of buttons.
pub fn control(ui: &Ui) -> Color32 {
    greys(ui.visuals().dark_mode).control
}

/// The colour of a plot's series: the first is the accent, the second a blue grey, others are faint.
pub fn series(ui: &Ui, index: usize) -> Color32 {
    let dark = ui.visuals().dark_mode;
    match (index, dark) {
        (0, _) => accent_of(dark),
        (1, true) => grey(0x8f_ad_cf),
        (1, false) => grey(0x3f_64_8c),
        _ => faint(ui),
    }
}

/// The colour of things of one sort among many, of which the first is the accent; the last is grey.
pub fn category(ui: &Ui, index: usize) -> Color32 {
    const DARK: [u32; 6] = [
        0xff_8a_3d, 0xc2_6a_7f, 0x8f_ad_cf, 0x6f_b3_9a, 0xd9_c2_6a, 0xa9_92_d4,
    ];
    const LIGHT: [u32; 6] = [
        0xe0_6a_1c, 0xa8_47_5f, 0x3f_64_8c, 0x2f_85_66, 0xa8_87_14, 0x73_57_a8,
    ];
    let colours = if ui.visuals().dark_mode { DARK } else { LIGHT };
    colours.get(index).map_or_else(|| faint(ui), |&c| grey(c))
}

/// A series that stands behind the others.
pub fn faint(ui: &Ui) -> Color32 {
    if ui.visuals().dark_mode {
        grey(0x55_5a_63)
    } else {
        grey(0xb3_b8_c0)
    }
}

/// The window is as narrow as a phone.
pub fn is_phone(ui: &Ui) -> bool {
    ui.ctx().content_rect().width() <= PHONE
}

/// A room's title.
pub fn heading(ui: &mut Ui, text: &str) -> egui::Response {
    ui.add(egui::Label::new(
        RichText::new(text).heading().color(strong(ui)),
    ))
}

/// A framed part of a room, with a title (none if it is empty). It fills the width that is there.
pub fn section<R>(ui: &mut Ui, title: &str, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    section_frame(ui).show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        if !title.is_empty() {
            ui.label(
                RichText::new(title)
                    .text_style(section_style())
                    .color(strong(ui)),
            );
        }
        add(ui)
    })
}

/// The frame of [`section`], for other things that look like one.
pub fn section_frame(ui: &Ui) -> Frame {
    let pad = if is_phone(ui) { 12 } else { 16 };
    Frame::new()
        .fill(surface(ui))
        .stroke(Stroke::new(1.0, line(ui)))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::same(pad))
}

/// Two columns on wide windows (the first takes `share` of the width), one below the other on narrow ones.
pub fn two_columns(
    ui: &mut Ui,
    share: f32,
    left: impl FnOnce(&mut Ui),
    right: impl FnOnce(&mut Ui),
) {
    if is_phone(ui) {
        ui.spacing_mut().item_spacing.y = PAD;
        ui.vertical(left);
        ui.vertical(right);
        return;
    }
    let width = ui.available_width() - PAD;
    let top = ui.cursor().min;
    let first = (width * share).floor();
    let mut bottom = top.y;
    let mut column = |ui: &mut Ui, x: f32, width: f32, add: &mut dyn FnMut(&mut Ui)| {
        let rect = egui::Rect::from_min_size(
            egui::pos2(x, top.y),
            Vec2::new(width, ui.available_height()),
        );
        let child = ui.scope_builder(egui::UiBuilder::new().max_rect(rect), |ui| {
            ui.set_width(width);
            add(ui);
        });
        bottom = bottom.max(child.response.rect.bottom());
    };
    let (mut left, mut right) = (Some(left), Some(right));
    column(ui, top.x, first, &mut |ui| {
        if let Some(add) = left.take() {
            add(ui);
        }
    });
    column(ui, top.x + first + PAD, width - first, &mut |ui| {
        if let Some(add) = right.take() {
            add(ui);
        }
    });
    ui.advance_cursor_after_rect(egui::Rect::from_min_max(
        top,
        egui::pos2(top.x + width + PAD, bottom),
    ));
}

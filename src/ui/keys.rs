//! Keys that work everywhere, except while text is typed.

use egui::{Context, InputState, Key, Modifiers};

use super::{app::App, bars};

/// Does what the pressed keys say.
pub fn handle(app: &mut App, ctx: &Context) {
    if ctx.text_edit_focused() {
        return;
    }
    // What has the keyboard (a slider, a button) gets arrows and space itself.
    let focused = ctx.memory(|m| m.focused().is_some());
    let pressed = |key: Key| ctx.input_mut(|i| plain(i, key));

    if app.tour().step().is_some() {
        if pressed(Key::Escape) {
            app.tour().end();
        } else if pressed(Key::ArrowRight) || (!focused && pressed(Key::Enter)) {
            app.tour().next();
        } else if pressed(Key::ArrowLeft) {
            app.tour().back();
        }
        return;
    }
    if pressed(Key::Questionmark) {
        app.toggle_help();
    }
    if pressed(Key::Escape) {
        app.close_something();
    }
    if pressed(Key::Plus) || pressed(Key::Equals) {
        app.step_zoom(true);
    }
    if pressed(Key::Minus) {
        app.step_zoom(false);
    }
    if pressed(Key::T) {
        app.switch_theme(ctx);
    }
    if pressed(Key::D) {
        app.shared.time.forward = !app.shared.time.forward;
    }
    const DIGITS: [Key; 9] = [
        Key::Num1,
        Key::Num2,
        Key::Num3,
        Key::Num4,
        Key::Num5,
        Key::Num6,
        Key::Num7,
        Key::Num8,
        Key::Num9,
    ];
    for (i, key) in DIGITS.into_iter().enumerate() {
        if pressed(key) {
            app.show_number(i);
        }
    }
    if focused {
        return;
    }
    let time = &mut app.shared.time;
    if pressed(Key::Space) {
        time.toggle();
    }
    for (key, way) in [(Key::ArrowLeft, -1), (Key::ArrowRight, 1)] {
        if ctx.input_mut(|i| i.consume_key(Modifiers::SHIFT, key)) {
            time.step(10 * way);
        } else if pressed(key) {
            time.step(way);
        }
    }
    if pressed(Key::Home) {
        time.set_t(0);
    }
    if pressed(Key::End) {
        time.set_t(time.timesteps());
    }
    if pressed(Key::ArrowUp) {
        time.speed = bars::other_speed(time.speed, true);
    }
    if pressed(Key::ArrowDown) {
        time.speed = bars::other_speed(time.speed, false);
    }
}

/// The key was pressed without Ctrl, Alt or Command; Shift may be needed to reach its sign.
fn plain(input: &mut InputState, key: Key) -> bool {
    let m = input.modifiers;
    !m.alt && !m.ctrl && !m.command && input.consume_key(Modifiers::NONE, key)
}

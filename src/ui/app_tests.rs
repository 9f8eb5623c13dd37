use egui::{Key, Modifiers, Rect, Theme, accesskit::Role};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use noiselab::{
    diffusion::Objective,
    gpu::AdapterChoice,
    session::{
        command::{PreviewSettings, TrainCommand},
        event::{Event, Job, TrainEvent},
        link::{Link, Recording},
    },
};

use super::*;
use crate::ui::lost::restart;

const SIZES: [[f32; 2]; 3] = [[1280.0, 800.0], [1024.0, 640.0], [390.0, 800.0]];

fn harness(size: [f32; 2]) -> (Harness<'static, App>, Recording) {
    let (link, recording) = Link::recording();
    let harness = Harness::builder()
        .with_size(size)
        .with_theme(Theme::Dark)
        .build_ui_state(
            |ui, app: &mut App| {
                app.listen();
                app.draw(ui);
            },
            App::with_link(link, None),
        );
    (harness, recording)
}

fn ids() -> Vec<&'static str> {
    panels::all().iter().map(|p| p.id()).collect()
}

/// Everything that has a name or is text: what, and where.
fn texts(harness: &Harness<'_, App>) -> Vec<(String, Role, Rect)> {
    harness
        .root()
        .children_recursive()
        .filter_map(|node| {
            let access = node.accesskit_node();
            let role = access.role();
            let text = access.label().or_else(|| access.value())?;
            let leaf = access.children().next().is_none();
            let shown = leaf && !access.is_hidden() && !text.is_empty();
            shown.then(|| (text, role, node.rect()))
        })
        .collect()
}

/// Texts that overlap each other or leave the window.
fn faults(harness: &Harness<'_, App>, size: [f32; 2], may_scroll: bool) -> Vec<String> {
    let all = texts(harness);
    let mut faults = Vec::new();
    for (i, (text, _, rect)) in all.iter().enumerate() {
        let rect = rect.shrink(1.0);
        if rect.left() < 0.0 || rect.right() > size[0] {
            faults.push(format!("\"{text}\" leaves the window: {rect:?}"));
        }
        if !may_scroll && (rect.top() < 0.0 || rect.bottom() > size[1]) {
            faults.push(format!("\"{text}\" is below the window: {rect:?}"));
        }
        for (other, _, place) in &all[i + 1..] {
            // A control's value inside the control is no overlap.
            let place = place.shrink(1.0);
            let inside = rect.contains_rect(place) || place.contains_rect(rect);
            if rect.is_positive() && place.is_positive() && rect.intersects(place) && !inside {
                faults.push(format!(
                    "\"{text}\" {rect:?} and \"{other}\" {place:?} overlap"
                ));
            }
        }
    }
    faults
}

#[test]
fn no_text_overlaps_or_leaves_the_window() {
    for size in SIZES {
        let (mut harness, _recording) = harness(size);
        // The bars alone, without a room.
        harness.state_mut().current = usize::MAX;
        harness.run();
        let bars = texts(&harness);
        for room in ids() {
            harness.state_mut().show(room);
            harness.run();
            // Rooms scroll; what lies under the bars at the edges is out of sight.
            let room_area = harness.state().areas.room;
            let shell: Vec<String> = faults(&harness, size, true)
                .into_iter()
                .filter(|f| !f.contains("overlap"))
                .collect();
            assert_eq!(shell, Vec::<String>::new(), "{room} at {size:?}");
            let all = texts(&harness);
            let visible: Vec<_> = all
                .iter()
                .filter(|(text, _, rect)| {
                    room_area.contains_rect(*rect)
                        || bars.iter().any(|(bar, _, at)| (bar, at) == (text, rect))
                })
                .collect();
            for (i, (text, _, rect)) in visible.iter().enumerate() {
                for (other, _, place) in &visible[i + 1..] {
                    let (a, b) = (rect.shrink(1.0), place.shrink(1.0));
                    let nested = a.contains_rect(b) || b.contains_rect(a);
                    let clash = a.is_positive() && b.is_positive() && a.intersects(b) && !nested;
                    assert!(
                        !clash,
                        "{room} at {size:?}: \"{text}\" {a:?} over \"{other}\" {b:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_check_finds_an_overlap() {
    let (link, _recording) = Link::recording();
    let harness = Harness::builder().with_size([300.0, 200.0]).build_ui_state(
        |ui, _: &mut App| {
            let at = |x, y| Rect::from_min_size(egui::pos2(x, y), egui::vec2(80.0, 20.0));
            ui.put(at(20.0, 20.0), egui::Button::new("one button"));
            ui.put(at(60.0, 30.0), egui::Button::new("another one"));
            ui.put(at(260.0, 100.0), egui::Button::new("at the edge"));
        },
        App::with_link(link, None),
    );
    let faults = faults(&harness, [300.0, 200.0], false);
    assert!(faults.iter().any(|f| f.contains("overlap")), "{faults:?}");
    assert!(faults.iter().any(|f| f.contains("leaves")), "{faults:?}");
}

#[test]
fn the_bars_fit_the_window() {
    for size in SIZES {
        let (mut harness, recording) = harness(size);
        let long = "A very long adapter name, as some drivers report it (LLVM 19.1.7, 256 bits), version 25.0.7-2";
        recording
            .events
            .send(Event::Ready {
                adapter: long.into(),
                software: true,
                f16: true,
            })
            .unwrap();
        harness.run();
        let window = Rect::from_min_size(egui::Pos2::ZERO, size.into());
        let areas = harness.state().areas;
        for area in [areas.rail, areas.scrubber, areas.tools, areas.room] {
            assert!(window.contains_rect(area), "{area:?} at {size:?}");
        }
        assert!(!areas.scrubber.intersects(areas.room.shrink(1.0)));
        assert!(areas.room.height() > 0.7 * size[1], "{areas:?}");
        let slider = harness.get_by_label(strings::app::SCRUBBER).rect();
        assert!(slider.width() > 100.0, "{slider:?} at {size:?}");
        assert!(areas.scrubber.contains_rect(slider));
    }
}

#[test]
fn every_room_opens_by_its_key_and_its_button() {
    const KEYS: [Key; 6] = [
        Key::Num1,
        Key::Num2,
        Key::Num3,
        Key::Num4,
        Key::Num5,
        Key::Num6,
    ];
    for size in SIZES {
        let (mut harness, _recording) = harness(size);
        harness.run();
        let (titles, _) = harness.state().rooms();
        for (i, (id, title)) in ids().into_iter().zip(titles).enumerate() {
            harness.key_press(KEYS[i]);
            harness.run();
            assert_eq!(harness.state().room(), id);
            harness.state_mut().show("forward");
            let label = format!("{} {title}", i + 1);
            harness.get_by_label(&label).click();
            harness.run();
            assert_eq!(harness.state().room(), id);
        }
    }
}

#[test]
fn keys_move_time() {
    let (mut harness, _recording) = harness(SIZES[0]);
    harness.run();
    let t = |h: &Harness<'_, App>| h.state().shared.time.t();
    harness.key_press(Key::ArrowRight);
    harness.run();
    assert_eq!(t(&harness), 1);
    harness.key_press_modifiers(Modifiers::SHIFT, Key::ArrowRight);
    harness.run();
    assert_eq!(t(&harness), 11);
    harness.key_press(Key::ArrowLeft);
    harness.run();
    assert_eq!(t(&harness), 10);
    harness.key_press(Key::End);
    harness.run();
    assert_eq!(t(&harness), 1000);
    harness.key_press(Key::Home);
    harness.run();
    assert_eq!(t(&harness), 0);
    harness.key_press(Key::ArrowUp);
    harness.run();
    assert_eq!(harness.state().shared.time.speed, 2.0);
    harness.key_press(Key::D);
    harness.run();
    assert!(!harness.state().shared.time.forward);
    harness.key_press(Key::D);
    harness.key_press(Key::Space);
    harness.step();
    harness.step();
    assert!(harness.state().shared.time.playing);
    harness.run_steps(3);
    assert!(t(&harness) > 0);
    harness.key_press(Key::Space);
    harness.run();
    assert!(!harness.state().shared.time.playing);
}

#[test]
fn buttons_move_time() {
    for size in SIZES {
        let (mut harness, _recording) = harness(size);
        harness.run();
        harness.get_by_label(strings::app::STEP_FORWARD).click();
        harness.run();
        assert_eq!(harness.state().shared.time.t(), 1);
        harness.get_by_label(strings::app::IMAGES.step_back).click();
        harness.run();
        assert_eq!(harness.state().shared.time.t(), 0);
        harness.get_by_label(strings::app::PLAY).click();
        harness.step();
        harness.step();
        assert!(harness.state().shared.time.playing);
        harness.get_by_label(strings::app::PAUSE).click();
        harness.run();
        harness.get_by_label(strings::app::TOWARDS_NOISE).click();
        harness.run();
        assert!(!harness.state().shared.time.forward);
        let slider = harness.get_by_label(strings::app::SCRUBBER).rect();
        harness.drag_at(slider.left_center() + egui::vec2(8.0, 0.0));
        harness.run();
        harness.drop_at(slider.center());
        harness.run();
        let t = harness.state().shared.time.t();
        assert!((400..600).contains(&t), "{t}");
    }
}

#[test]
fn keys_are_left_alone_while_text_is_typed() {
    let (link, _recording) = Link::recording();
    let mut text = String::new();
    let mut harness = Harness::builder().with_size(SIZES[0]).build_ui_state(
        move |ui, app: &mut App| {
            app.draw(ui);
            egui::Area::new(egui::Id::unique("field")).show(ui.ctx(), |ui| {
                ui.text_edit_singleline(&mut text).accessible_name("field");
            });
        },
        App::with_link(link, None),
    );
    harness.run();
    harness.get_by_label("field").focus();
    harness.run_steps(2);
    for key in [Key::Num2, Key::ArrowRight, Key::Space, Key::T] {
        harness.key_press(key);
    }
    harness.run_steps(3);
    let app = harness.state();
    assert_eq!(app.room(), "forward");
    assert_eq!(app.shared.time.t(), 0);
    assert!(!app.shared.time.playing);
    assert_eq!(app.look.theme, None);
}

#[test]
fn theme_and_size_change() {
    let (mut harness, _recording) = harness(SIZES[0]);
    harness.run();
    assert_eq!(harness.ctx.theme(), Theme::Dark);
    harness.get_by_label(strings::app::TO_LIGHT).click();
    harness.run();
    assert_eq!(harness.ctx.theme(), Theme::Light);
    harness.key_press(Key::T);
    harness.run();
    assert_eq!(harness.ctx.theme(), Theme::Dark);
    harness.get_by_label(strings::app::ZOOM_IN).click();
    harness.run();
    assert_eq!(harness.ctx.zoom_factor(), 1.1);
    harness.key_press(Key::Minus);
    harness.run();
    harness.key_press(Key::Minus);
    harness.run();
    assert_eq!(harness.ctx.zoom_factor(), 0.9);
    for _ in 0..20 {
        harness.key_press(Key::Plus);
        harness.run();
    }
    assert_eq!(harness.ctx.zoom_factor(), 2.5);
}

#[test]
fn the_list_of_keys_opens_and_closes() {
    for size in SIZES {
        let (mut harness, _recording) = harness(size);
        harness.run();
        harness.key_press(Key::Questionmark);
        harness.run();
        assert!(harness.query_by_label(strings::app::KEYS[0].1).is_some());
        harness.key_press(Key::Escape);
        harness.run();
        assert!(harness.query_by_label(strings::app::KEYS[0].1).is_none());
    }
}

#[test]
fn the_menu_of_narrow_windows_has_the_tools() {
    let (mut harness, _recording) = harness(SIZES[2]);
    harness.run();
    harness.get_by_label(strings::app::MORE).click();
    harness.run();
    harness.get_by_label(strings::app::TO_LIGHT).click();
    harness.run();
    assert_eq!(harness.ctx.theme(), Theme::Light);
}

#[test]
fn the_tour_lights_every_part_and_ends() {
    for size in SIZES {
        let (mut harness, _recording) = harness(size);
        harness.run();
        harness.state_mut().start_tour();
        harness.run();
        for (i, (title, _)) in strings::app::TOUR_STEPS.into_iter().enumerate() {
            // The card has the title of one of the steps; the tour is drawn last.
            let found = harness.query_all_by_label(title).last();
            let text = found.expect(title).rect();
            let window = Rect::from_min_size(egui::Pos2::ZERO, size.into());
            assert!(window.contains_rect(text), "{title} at {size:?}: {text:?}");
            // Rooms behind it are out of reach.
            harness.key_press(Key::Num2);
            harness.run();
            assert_eq!(harness.state().room(), "forward");
            let last = i + 1 == strings::app::TOUR_STEPS.len();
            let next = if last {
                strings::app::TOUR_DONE
            } else {
                strings::app::TOUR_NEXT
            };
            harness.get_by_label(next).click();
            harness.run();
        }
        assert_eq!(harness.state().tour.step(), None);
        harness.state_mut().start_tour();
        harness.run();
        harness.get_by_label(strings::app::TOUR_SKIP).click();
        harness.run();
        assert_eq!(harness.state().tour.step(), None);
    }
}

#[test]
fn failures_stay_until_dismissed_and_the_rest_goes() {
    let (mut harness, recording) = harness(SIZES[0]);
    let failed = |message: &str| Event::Failed {
        job: Job::Data,
        message: message.into(),
    };
    recording.events.send(failed("no such file")).unwrap();
    recording.events.send(failed("no such file")).unwrap();
    harness.run_steps(3);
    harness.state_mut().shared.notify("saved", false);
    harness.run_steps(3);
    assert!(harness.query_by_label("saved").is_some());
    assert_eq!(harness.query_all_by_label("no such file").count(), 1);
    harness.input_mut().time = Some(60.0);
    harness.run_steps(3);
    assert!(harness.query_by_label("saved").is_none());
    harness.get_by_label(strings::app::DISMISS).click();
    harness.run_steps(3);
    assert!(harness.query_by_label("no such file").is_none());
}

#[test]
fn compiling_is_shown() {
    let (mut harness, recording) = harness(SIZES[0]);
    let compiling = |done| Event::Compiling {
        job: Job::Training,
        done,
        of: 40,
    };
    recording.events.send(compiling(12)).unwrap();
    harness.run();
    let text = strings::app::compiling(strings::app::job(Job::Training), 12, 40);
    assert!(harness.query_by_label(&text).is_some());
    recording.events.send(compiling(40)).unwrap();
    harness.run();
    assert!(harness.query_by_label(&text).is_none());
}

#[test]
fn a_lost_device_offers_a_restart() {
    let (mut harness, recording) = harness(SIZES[0]);
    let pressed = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&pressed);
    harness.state_mut().restart = Some(Box::new(move |_| count.set(count.get() + 1)));
    recording
        .events
        .send(Event::DeviceLost {
            message: "the driver was reset".into(),
        })
        .unwrap();
    harness.run();
    assert!(harness.query_by_label("the driver was reset").is_some());
    harness.get_by_label(strings::app::RESTART).click();
    harness.run();
    assert_eq!(pressed.get(), 1);
}

#[test]
fn after_a_loss_the_new_window_says_so_and_training_goes_on() {
    let (mut harness, recording) = harness(SIZES[0]);
    harness.state_mut().come_back(Lost {
        reason: "the driver was reset".into(),
        address: "room=reverse&seed=7".into(),
        training: true,
        times: 1,
    });
    harness.run();
    assert_eq!(harness.state().room(), "reverse");
    assert_eq!(harness.state().shared.seed, 7);
    assert!(harness.query_by_label("the driver was reset").is_some());
    let resumed = |recording: &Recording| {
        let sent = recording.commands.try_iter();
        sent.filter(|c| matches!(c, Command::Train(TrainCommand::Resume)))
            .count()
    };
    harness.get_by_label(strings::app::BACK_TRAINING).click();
    harness.run();
    assert!(harness.query_by_label("the driver was reset").is_none());
    // The run is still being restored.
    assert_eq!(resumed(&recording), 0);
    harness.state_mut().shared.files.pretend_restoring();
    let config = (noiselab::session::config::PRESETS[0].make)(28, 1);
    let opened = TrainEvent::Opened {
        config: Box::new(config),
        parameters: 1,
        step: 5,
        history: Vec::new(),
        preview: PreviewSettings::default(),
    };
    recording.events.send(Event::Train(opened)).unwrap();
    harness.run_steps(3);
    assert_eq!(resumed(&recording), 1);
}

#[test]
fn a_device_that_goes_is_noticed_and_what_was_shown_is_handed_on() {
    let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
    let (link, _recording) = Link::recording();
    let mut app = App::with_link(link, None);
    app.gpu = Some(std::sync::Arc::clone(&gpu));
    let (kept, before) = Kept::new();
    assert_eq!(before, None);
    app.keep(kept.clone());
    app.show("network");
    kept.note(app.address(), true);
    assert_eq!(kept.lost(), None);
    gpu.device.destroy();
    gpu.wait();
    let lost = kept.lost().expect("a lost device");
    assert!(lost.address.contains("room=network"), "{lost:?}");
    assert!(lost.training);
    assert_eq!(lost.times, 1);
    let again = Lost { times: 9, ..lost };
    let message = restart(&again);
    assert!(message.contains("--adapter"), "{message}");
}

#[test]
fn a_session_without_work_hears_that_its_device_is_gone() {
    let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
    let mut link = Link::start(&gpu, |_| ()).expect("a thread");
    gpu.device.destroy();
    let start = std::time::Instant::now();
    let lost = loop {
        let found = link.poll().into_iter().find_map(|event| match event {
            Event::DeviceLost { message } => Some(message),
            _ => None,
        });
        if found.is_some() || start.elapsed().as_secs() > 20 {
            break found;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(lost.expect("an event").starts_with("The driver says"));
    link.close();
}

#[test]
fn a_hidden_window_lets_the_session_know_once() {
    let (mut harness, recording) = harness(SIZES[0]);
    harness.run();
    let _ = recording.commands.try_iter().count();
    let set = |harness: &mut Harness<'_, App>, minimized, occluded| {
        let input = harness.input_mut();
        let info = input.viewports.entry(egui::ViewportId::ROOT).or_default();
        info.minimized = minimized;
        info.occluded = occluded;
        for _ in 0..3 {
            harness.step();
            let ctx = harness.ctx.clone();
            harness.state_mut().look_whether_hidden(&ctx);
        }
    };
    let told = |recording: &Recording| -> Vec<bool> {
        let sent = recording.commands.try_iter();
        sent.filter_map(|c| match c {
            Command::Hidden(hidden) => Some(hidden),
            _ => None,
        })
        .collect()
    };
    set(&mut harness, None, None);
    assert!(told(&recording).is_empty());
    set(&mut harness, Some(true), None);
    assert_eq!(told(&recording), [true]);
    set(&mut harness, Some(false), Some(true));
    assert!(told(&recording).is_empty(), "still hidden");
    set(&mut harness, Some(false), Some(false));
    assert_eq!(told(&recording), [false]);
}

#[test]
fn the_overlay_is_drawn() {
    let (mut harness, _recording) = harness(SIZES[0]);
    harness.state_mut().overlay = Some(Box::new(|ui| {
        ui.label("p95 12 ms");
    }));
    harness.run();
    assert!(harness.query_by_label("p95 12 ms").is_some());
}

#[test]
fn an_address_brings_everything_back() {
    for room in ids() {
        let (mut first, _recording) = harness(SIZES[0]);
        let app = first.state_mut();
        app.show(room);
        app.shared.time.set_t(321);
        app.shared.seed = 77;
        app.set_theme(Theme::Light);
        app.set_zoom(1.5);
        first.run();
        let address = first.state().address();
        let (mut second, _recording) = harness(SIZES[0]);
        second.state_mut().set_address(&format!("#{address}"));
        second.run();
        let app = second.state();
        assert_eq!(app.room(), room);
        assert_eq!(app.shared.time.t(), 321);
        assert_eq!(app.shared.seed, 77);
        assert_eq!(second.ctx.theme(), Theme::Light);
        assert_eq!(second.ctx.zoom_factor(), 1.5);
        assert_eq!(app.address(), address);
    }
}

#[test]
fn rooms_use_different_keys_in_the_address() {
    let (harness, _recording) = harness(SIZES[0]);
    let app = harness.state();
    let mut keys = vec!["room", "t", "seed", "theme", "zoom"];
    for panel in &app.panels {
        for (key, _) in panel.address(&app.shared) {
            assert!(!keys.contains(&key), "two rooms use {key}");
            keys.push(key);
        }
    }
}

#[test]
fn strange_addresses_change_nothing() {
    let (mut harness, _recording) = harness(SIZES[0]);
    harness.run();
    let before = harness.state().address();
    for text in [
        "",
        "#",
        "room=attic&t=x&seed=-1&zoom=NaN&theme=pink&%&=&a",
        "t=&zoom=inf",
    ] {
        harness.state_mut().set_address(text);
        harness.run();
        assert_eq!(harness.state().address(), before, "{text}");
    }
}

#[test]
fn cards_unfold_and_read_their_equations_aloud() {
    for room in ids() {
        let Some(card) = strings::cards::of(room, Objective::Epsilon) else {
            continue;
        };
        for size in SIZES {
            let (mut harness, _recording) = harness(size);
            harness.state_mut().show(room);
            harness.run();
            harness.get_by_label(strings::app::CARD_TITLE).click();
            harness.run();
            for equation in card.equations {
                let spoken = widgets::tex(equation.tex).spoken();
                let rect = harness.get_by_label(&spoken).rect();
                assert!(rect.right() <= size[0], "{spoken}: {rect:?}");
                assert!(rect.width() > 40.0 && rect.height() > 10.0);
            }
        }
    }
}

/// Pictures of the shell, for looking at; `NOISELAB_LOOK` names the folder.
#[test]
fn look() {
    let Some(folder) = std::env::var_os("NOISELAB_LOOK").map(std::path::PathBuf::from) else {
        return;
    };
    let shot = |name: &str, size: [f32; 2], theme: Theme, act: &dyn Fn(&mut Harness<'_, App>)| {
        let (link, recording) = Link::recording();
        let mut harness = Harness::builder()
            .with_size(size)
            .with_theme(theme)
            .wgpu()
            .build_ui_state(
                |ui, app: &mut App| {
                    app.listen();
                    app.draw(ui);
                },
                App::with_link(link, None),
            );
        let ready = Event::Ready {
            adapter: "llvmpipe (LLVM 19.1.7, 256 bits)".into(),
            software: true,
            f16: true,
        };
        recording.events.send(ready).unwrap();
        harness.state_mut().shared.time.set_t(400);
        harness.run();
        act(&mut harness);
        harness.run_steps(4);
        let image = harness.render().unwrap();
        image.save(folder.join(format!("{name}.png"))).unwrap();
    };
    let unfold = |room: &'static str| {
        move |h: &mut Harness<'_, App>| {
            h.state_mut().show(room);
            h.run();
            h.get_by_label(strings::app::CARD_TITLE).click();
            h.run();
        }
    };
    for (name, size) in ["wide", "small", "phone"].into_iter().zip(SIZES) {
        for theme in [Theme::Dark, Theme::Light] {
            for room in ids() {
                let name = format!("{name}-{theme:?}-{room}");
                shot(&name, size, theme, &unfold(room));
            }
        }
        shot(&format!("{name}-help"), size, Theme::Dark, &|h| {
            h.key_press(Key::Questionmark);
        });
        shot(&format!("{name}-toasts"), size, Theme::Light, &|h| {
            let shared = &mut h.state_mut().shared;
            shared.notify("The picture could not be read: choose a PNG or JPEG file of at least 8 × 8 pixels.", true);
            shared.notify("Saved digits.gif", false);
        });
        for step in 0..5 {
            shot(&format!("{name}-tour{step}"), size, Theme::Dark, &|h| {
                h.state_mut().start_tour();
                for _ in 0..step {
                    h.state_mut().tour.next();
                }
            });
        }
    }
    shot("narrow-lost", [800.0, 600.0], Theme::Light, &|h| {
        h.state_mut().lost = Some("The device was lost: out of memory.".into());
        h.state_mut().overlay = Some(Box::new(|ui| {
            ui.label("input to redraw p95 31 ms");
        }));
    });
}

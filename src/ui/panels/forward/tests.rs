//! The room's controls pressed, its commands checked, its views fed.

use egui_kittest::{Harness, kittest::Queryable as _};
use noiselab::{
    diffusion::forward::q_sample,
    gpu::Gpu,
    rng::{Draw, fill_normal},
};

use super::*;
use crate::ui::panels::testing::{Stage, data, film, lit_stage, stage};

const WIDE: [f32; 2] = [1130.0, 1400.0];

/// The forward requests sent since the last call.
fn requests(harness: &Harness<'_, Stage<Forward>>) -> Vec<ForwardRequest> {
    harness
        .state()
        .sent()
        .into_iter()
        .map(|command| match command {
            Command::Forward(request) => request,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The last of them.
fn request(harness: &Harness<'_, Stage<Forward>>) -> ForwardRequest {
    requests(harness).pop().expect("a request")
}

/// A room with a data set of pictures of 8×8 pixels.
fn room() -> Harness<'static, Stage<Forward>> {
    let mut harness = stage(Forward::default(), WIDE);
    harness.run();
    assert!(requests(&harness).is_empty(), "there is no picture yet");
    assert!(harness.query_by_label(s::WAITING_VIEW).is_none());
    harness.state().tell(Event::Data(data(8, 1, 60)));
    harness.run();
    harness
}

/// What a session would answer.
pub fn view(gpu: &Arc<Gpu>, request: &ForwardRequest) -> Event {
    let picture = &request.picture;
    let mut noise = vec![0.0; picture.values.len()];
    let draw = Draw {
        seed: request.seed,
        stream: noiselab::rng::stream::EVAL_NOISE,
        step: 0,
        sample: 0,
    };
    fill_normal(draw, &mut noise);
    let mut schedules = Schedules::default();
    schedules.set_timesteps(request.timesteps);
    let steps: Vec<usize> = (0..request.strip)
        .map(|k| k * request.timesteps / (request.strip - 1))
        .collect();
    let at = |name: &str, t: usize| -> Vec<f32> {
        let mut out = picture.values.to_vec();
        if t > 0 {
            let known = schedules.get(name).expect("a schedule");
            let table = known.schedule.as_ref().expect("its tables");
            q_sample(table, t - 1, &picture.values, &noise, &mut out).expect("x_t");
        }
        out
    };
    let histograms = [0, 1].map(|i| {
        let x = at(&request.schedules[i], request.t);
        Histogram::of(x.iter().copied())
    });
    let plane = picture.height * picture.width;
    let tile = |values: Vec<f32>| -> Vec<f32> {
        (0..plane)
            .flat_map(|p| (0..picture.channels).map(move |c| (c, p)))
            .map(|(c, p)| values[c * plane + p])
            .collect()
    };
    let frames: Vec<Vec<Vec<f32>>> = request
        .schedules
        .iter()
        .map(|name| {
            std::iter::once(request.t)
                .chain(steps.iter().copied())
                .map(|t| tile(at(name, t)))
                .collect()
        })
        .collect();
    let shape = [picture.height, picture.width, picture.channels];
    Event::Forward(Arc::new(ForwardView {
        request: request.clone(),
        film: film(gpu, shape, 4, &frames),
        strip: steps,
        histograms,
    }))
}

#[test]
fn a_request_goes_out_once_for_each_change() {
    let mut harness = room();
    let first = request(&harness);
    assert_eq!((first.timesteps, first.t, first.strip), (1000, 0, STRIP));
    assert_eq!(first.schedules, ["linear", "squaredcos_cap_v2"]);
    assert_eq!(
        Some(&first.picture),
        harness.state().shared.picture.as_ref()
    );
    harness.run_steps(5);
    assert!(requests(&harness).is_empty(), "nothing changed");

    harness.state_mut().shared.time.set_t(300);
    harness.run_steps(3);
    let moved = requests(&harness);
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].t, 300);
    assert_eq!(moved[0].picture, first.picture);
}

#[test]
fn pictures_of_the_data_set_are_chosen() {
    let mut harness = room();
    let first = request(&harness);
    harness.get_by_label(s::NEXT).click();
    harness.run();
    let second = request(&harness);
    assert_ne!(second.picture, first.picture);
    assert_eq!(harness.state().room.chooser.index, 1);
    harness.get_by_label(s::PREVIOUS).click();
    harness.run();
    assert_eq!(request(&harness).picture, first.picture);
    harness.get_by_label(s::PREVIOUS).click();
    harness.run();
    assert_eq!(harness.state().room.chooser.index, 59, "around the end");
    harness.get_by_label(s::RANDOM).click();
    harness.run();
    assert_ne!(harness.state().room.chooser.index, 59);

    harness.state_mut().room.chooser.choose(0);
    harness.run();
    harness
        .get_by_label(&s::picture_name(4, Some("one")))
        .click();
    harness.run();
    assert_eq!(harness.state().room.chooser.index, 4);
    let _ = requests(&harness);

    harness.get_by_label(s::INVERT).click();
    harness.run();
    let inverted = request(&harness).picture;
    let plain = Picture::of(&data(8, 1, 60).train, 4).expect("picture 4");
    assert_eq!(inverted, picture::inverted(&plain));
}

#[test]
fn a_class_narrows_the_choice() {
    let mut harness = room();
    harness.get_by_label(s::CLASS).click();
    harness.run();
    harness.get_by_label("two").click();
    harness.run();
    assert_eq!(harness.state().room.chooser.index % 3, 2);
    for _ in 0..3 {
        harness.get_by_label(s::NEXT).click();
        harness.run();
        assert_eq!(harness.state().room.chooser.index % 3, 2);
    }
    let here = harness.state().room.chooser.index;
    harness.get_by_label(s::PREVIOUS).click();
    harness.run();
    assert_eq!(harness.state().room.chooser.index, here - 3);
    assert!(
        harness
            .query_by_label(&s::picture_name(3, Some("zero")))
            .is_none()
    );
}

#[test]
fn schedules_steps_and_seed_are_set() {
    let mut harness = room();
    let _ = requests(&harness);
    harness.get_by_label(&s::t_preset(50)).click();
    harness.run();
    assert_eq!(request(&harness).timesteps, 50);
    assert_eq!(harness.state().shared.time.timesteps(), 50);
    let warns = |harness: &Harness<'_, Stage<Forward>>| {
        harness
            .query_all_by_label_contains("x_T is not pure")
            .count()
    };
    assert_eq!(warns(&harness), 1, "50 steps are too few for it");

    harness.get_by_label(s::SCHEDULE).click();
    harness.run();
    harness
        .get_by_label(s::schedule_name("squaredcos_cap_v2"))
        .click();
    harness.run();
    assert_eq!(request(&harness).schedules[0], "squaredcos_cap_v2");
    assert_eq!(warns(&harness), 0);

    harness.get_by_label(s::COMPARE).click();
    harness.run();
    harness.get_by_label(s::SCHEDULE_B).click();
    harness.run();
    harness
        .get_by_label(s::schedule_name("scaled_linear"))
        .click();
    harness.run();
    assert_eq!(request(&harness).schedules[1], "scaled_linear");
    assert_eq!(warns(&harness), 1, "the second schedule is looked at too");

    let seed = harness.state().shared.seed;
    harness.get_by_label(s::NEW_NOISE).click();
    harness.run();
    assert_ne!(harness.state().shared.seed, seed);
    assert_eq!(request(&harness).seed, harness.state().shared.seed);

    harness
        .get_by_role_and_label(egui::Role::Slider, s::T)
        .set_value_accesskit(4000.0);
    harness.run();
    assert_eq!(request(&harness).timesteps, 4000);
}

#[test]
fn what_is_drawn_becomes_the_picture_at_once() {
    let mut harness = room();
    harness.get_by_label(s::DRAW).click();
    harness.run();
    let empty = request(&harness).picture;
    assert!(empty.values.iter().all(|&v| v == -1.0));

    let canvas = harness.get_by_label(s::CANVAS).rect();
    let (from, to) = (
        canvas.lerp_inside(vec2(0.25, 0.5)),
        canvas.lerp_inside(vec2(0.75, 0.5)),
    );
    harness.drag_at(from);
    harness.run();
    let touched = request(&harness).picture;
    harness.hover_at(to);
    harness.run();
    let drawn = request(&harness).picture;
    let ink = |p: &Picture| p.values.iter().filter(|&&v| v > 0.0).count();
    assert!(0 < ink(&touched) && ink(&touched) < ink(&drawn));
    assert!(drawn.values[4 * 8 + 4] > 0.0 && drawn.values[0] == -1.0);
    harness.drop_at(to);
    harness.run();

    // The wheel, or a hand that only hovers, draws nothing.
    harness.hover_at(canvas.lerp_inside(vec2(0.5, 0.1)));
    harness.run();
    assert!(requests(&harness).is_empty());

    harness.get_by_label(s::CLEAR).click();
    harness.run();
    assert_eq!(request(&harness).picture, empty);

    harness.get_by_label(s::DATA).click();
    harness.run();
    assert_ne!(request(&harness).picture, empty);
}

#[test]
fn a_picture_opened_elsewhere_is_taken_over() {
    let mut harness = room();
    let first = request(&harness).picture;
    let own = Picture {
        values: vec![0.5; 64].into(),
        ..first.clone()
    };
    harness.state_mut().shared.picture = Some(own.clone());
    harness.run();
    assert_eq!(request(&harness).picture, own);
    harness.get_by_role_and_label(egui::Role::Image, s::OWN);
    harness.get_by_label(s::DATA).click();
    harness.run();
    assert_eq!(request(&harness).picture, first);
    // Another data set has pictures of another shape.
    harness.state().tell(Event::Data(data(16, 3, 9)));
    harness.run();
    let other = request(&harness).picture;
    assert_eq!((other.channels, other.width), (3, 16));
}

#[test]
fn a_view_is_shown_and_its_strip_leads_to_any_t() {
    let (mut harness, gpu) = lit_stage(Forward::default(), WIDE, egui::Theme::Dark);
    harness.state().tell(Event::Data(data(8, 1, 12)));
    harness.run();
    let asked = request(&harness);
    assert!(harness.query_by_label(s::WAITING_VIEW).is_some());
    harness.state().tell(view(&gpu, &asked));
    harness.run();
    assert!(harness.query_by_label(s::WAITING_VIEW).is_none());
    harness.get_by_label(&s::state_name(0, "linear"));
    harness.get_by_label(&s::mixture_words(0, 1.0, 0.0));

    harness.get_by_label(&s::strip_name(700)).click();
    harness.run();
    let asked = request(&harness);
    assert_eq!(asked.t, 700);
    harness.state().tell(view(&gpu, &asked));
    harness.run();
    harness.get_by_label(&s::state_name(700, "linear"));
    let shown = harness
        .state()
        .room
        .view
        .as_ref()
        .map(|v| v.histograms[0].clone())
        .expect("a view");
    harness.get_by_label(&s::moments(shown.mean, shown.deviation));

    harness.get_by_label(s::COMPARE).click();
    harness.run();
    harness.get_by_label(&s::state_name(700, "squaredcos_cap_v2"));
    assert!(requests(&harness).is_empty(), "both were there already");

    let message = "there is no room";
    harness.state().tell(Event::Failed {
        job: Job::Forward,
        message: message.into(),
    });
    harness.run();
    harness.get_by_label_contains(message);
}

#[test]
fn the_address_leads_back_to_the_view() {
    let mut harness = room();
    let pairs = [
        ("schedule", "sigmoid"),
        ("schedule_b", "linear"),
        ("compare", "1"),
        ("timesteps", "77"),
        ("image", "5"),
    ];
    let bad = [
        ("schedule", "nonsense"),
        ("timesteps", "0"),
        ("timesteps", "99999999999999999999"),
        ("image", "60"),
        ("image", "-1"),
        ("other", "1"),
    ];
    let Stage { room, shared, .. } = harness.state_mut();
    for (key, value) in pairs.into_iter().chain(bad) {
        room.set_address(key, value, shared);
    }
    let address = room.address(shared);
    assert_eq!(address, pairs.map(|(k, v)| (k, v.to_owned())));
    harness.run();
    let asked = request(&harness);
    assert_eq!(asked.schedules, ["sigmoid", "linear"]);
    assert_eq!(asked.timesteps, 77);
}

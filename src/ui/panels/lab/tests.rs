use std::collections::BTreeSet;

use egui::{Key, Rect, Theme, Vec2, accesskit::Role, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use noiselab::{
    data::points::Distribution,
    gpu::film::Film,
    session::{
        command::StopAt,
        event::TrainFigures,
        lab::{
            EXTENT,
            command::{
                Denoiser, ErrorsRequest, LabReverse, LabTrain, LikelihoodRequest, PathsRequest,
            },
            event::{
                FieldView, Grid, LabForwardView, LikelihoodView, MiniPoint, PathsView, VectorGrid,
            },
            job::LabJob,
        },
        pacer::Pace,
        trainer::StepReport,
    },
};

use super::{fields::SIDE, setup::Pick, *};
use crate::ui::{
    panels::testing::{Stage, lit_stage, stage},
    strings::forward::schedule_name,
};

type Room = Harness<'static, Stage<Lab>>;

const TALL: [f32; 2] = [1100.0, 2200.0];

fn lab(events: LabEvent) -> Event {
    Event::Lab(events)
}

/// What the lab was asked since the last call.
fn asked(room: &Room) -> Vec<LabCommand> {
    (room.state().sent().into_iter())
        .map(|c| match c {
            Command::Lab(command) => command,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// x_0 and ε of the particles of [`view_of`].
const PARTICLES: [[Point; 2]; 2] = [[[1.0, 1.0], [0.5, -0.5]], [[-1.0, -1.0], [0.0, 2.0]]];

/// What a session would say of a stage.
pub fn view_of(stage: &LabStage) -> StageView {
    let trail = |n: usize| (0..65).map(|k| [0.02 * k as f32, 0.1 * n as f32]).collect();
    StageView {
        stage: stage.clone(),
        title: "Points".into(),
        support: vec![[0.0, 0.0]].into(),
        modes: vec![[1.0, 0.0], [-1.0, 0.0]].into(),
        particles: PARTICLES.into(),
        trails: (0..8).map(trail).collect(),
        note: None,
    }
}

/// Answers a stage.
fn on_stage(room: &mut Room) -> LabStage {
    let sent = asked(room);
    let [LabCommand::Stage(stage)] = &sent[..] else {
        panic!("{sent:?}");
    };
    room.state()
        .tell(lab(LabEvent::Stage(Arc::new(view_of(stage)))));
    room.run();
    (**stage).clone()
}

/// Answers the stage among what was asked.
fn on_stage_after(room: &mut Room) {
    let sent = asked(room);
    for command in &sent {
        if let LabCommand::Stage(stage) = command {
            room.state()
                .tell(lab(LabEvent::Stage(Arc::new(view_of(stage)))));
        }
    }
    room.run();
}

/// A room on whose stage something is, showing a view.
fn room(view: View) -> Room {
    let lab = Lab {
        view,
        ..Lab::default()
    };
    let mut room = stage(lab, TALL);
    room.run();
    on_stage(&mut room);
    room
}

fn click(room: &mut Room, label: &str) {
    room.get_by_label(label).click();
    room.run();
}

fn train(room: &mut Room, event: LabTrainEvent) {
    room.state().tell(lab(LabEvent::Train(event)));
    room.run();
}

fn report(step: u64) -> StepReport {
    StepReport {
        step,
        loss: 1.0 / (1.0 + step as f32),
        mse: 0.5,
        vlb: 0.0,
        grad_norm: 1.0,
        lr: 1e-3,
        ema_decay: 0.9,
        samples: vec![(10, 0.5), (900, 0.25)],
    }
}

/// A network that rests after some steps.
fn trained(room: &mut Room) {
    let spec = Box::new(room.state().room.training.spec.clone());
    let parameters = 1234;
    train(room, LabTrainEvent::Opened { spec, parameters });
    train(room, LabTrainEvent::Status(TrainStatus::Running));
    for step in 1..=5 {
        let figures = TrainFigures::default();
        train(room, LabTrainEvent::Step(report(step), figures));
    }
    train(room, LabTrainEvent::Status(TrainStatus::Paused(None)));
}

fn field(request: &FieldRequest, learned: bool, step: u64) -> LabEvent {
    let grid = |scale: f32| VectorGrid {
        side: SIDE,
        values: vec![[scale, 0.5]; SIDE * SIDE].into(),
    };
    LabEvent::Field(Arc::new(FieldView {
        request: request.clone(),
        alpha_bar: 0.5,
        learned: learned.then(|| grid(0.8)),
        exact: grid(1.0),
        density: Grid {
            side: SIDE,
            values: vec![0.1; SIDE * SIDE].into(),
        },
        relative_error: learned.then_some(0.125),
        step,
    }))
}

#[test]
fn a_distribution_is_put_on_stage_once_and_then_shown() {
    let mut room = stage(Lab::default(), TALL);
    room.run();
    let stage = on_stage(&mut room);
    assert_eq!(
        stage.distribution,
        Distribution::BuiltIn("eight_gaussians".into())
    );
    assert!(!stage.scheduler.clip_sample, "points are no pixels");
    assert_eq!(stage.particles, 50_000);
    let of = |t| LabForward { t, compare: None };
    let forwards = |room: &Room| -> Vec<LabForward> {
        (asked(room).into_iter())
            .map(|c| match c {
                LabCommand::Forward(request) => request,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(forwards(&room), [of(0)]);
    // One request at a time: what is asked meanwhile waits, and only the newest is sent.
    for t in [10, 20, 30] {
        room.state_mut().shared.time.set_t(t);
        room.run();
    }
    assert!(forwards(&room).is_empty());
    room.state_mut().room.forward.ask.answered();
    room.run();
    assert_eq!(forwards(&room), [of(30)]);
    // A failure ends the waiting and is not repeated.
    room.state().tell(Event::Failed {
        job: Job::Lab,
        message: "no".into(),
    });
    room.run();
    room.run();
    assert!(forwards(&room).is_empty());
}

#[test]
fn every_control_of_the_forward_view_does_what_it_says() {
    let mut room = room(View::Forward);
    asked(&room);
    click(&mut room, s::SCHEDULE);
    click(&mut room, "Linear");
    let stage = on_stage(&mut room);
    assert_eq!(stage.scheduler.beta_schedule, "linear");
    asked(&room);
    click(&mut room, "10k");
    assert_eq!(on_stage(&mut room).particles, 10_000);
    asked(&room);
    room.state_mut().room.forward.ask.answered();
    click(&mut room, s::COMPARE);
    click(&mut room, "Sigmoid");
    let sent = asked(&room);
    let [LabCommand::Forward(request)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(request.compare.as_deref(), Some("sigmoid"));
    for layer in [s::CLOUD, s::DENSITY, s::TRAILS] {
        click(&mut room, layer);
    }
    click(&mut room, s::SOURCE);
    click(&mut room, "Two moons");
    let stage = on_stage(&mut room);
    assert_eq!(
        stage.distribution,
        Distribution::BuiltIn("two_moons".into())
    );
}

#[test]
fn a_word_is_shown_when_it_is_finished() {
    let mut room = room(View::Forward);
    asked(&room);
    click(&mut room, s::SOURCE);
    click(&mut room, s::TEXT);
    let stage = on_stage(&mut room);
    assert_eq!(stage.distribution, Distribution::Text("noise".into()));
    asked(&room);
    let field = room.get_by_role(Role::TextInput);
    field.focus();
    room.run();
    room.get_by_role(Role::TextInput).type_text("Q");
    room.run();
    assert!(asked(&room).is_empty(), "it is being typed");
    room.key_press(Key::Enter);
    room.run();
    let stage = on_stage(&mut room);
    let Distribution::Text(word) = &stage.distribution else {
        panic!("{stage:?}");
    };
    assert!(word.contains('Q'), "{word}");
}

#[test]
fn lines_are_drawn_with_the_pointer() {
    let mut room = room(View::Forward);
    asked(&room);
    click(&mut room, s::SOURCE);
    room.get_by_label(s::DRAWN).scroll_to_me();
    room.run();
    click(&mut room, s::DRAWN);
    assert!(asked(&room).is_empty(), "nothing is drawn yet");
    click(&mut room, s::DRAW_DONE);
    assert!(room.state().room.setup.sketch.is_some(), "nor now");
    let canvas = room.get_by_label(s::DRAW_CANVAS).rect();
    let stroke = |room: &mut Room, from: Vec2, to: Vec2| {
        let at = |p: Vec2| canvas.min + p * canvas.size();
        room.drag_at(at(from));
        room.run();
        for k in 1..=8 {
            room.hover_at(at(from + (to - from) * (k as f32 / 8.0)));
            room.run();
        }
        room.drop_at(at(to));
        room.run();
    };
    stroke(&mut room, vec2(0.1, 0.1), vec2(0.2, 0.9));
    click(&mut room, s::DRAW_CLEAR);
    stroke(&mut room, vec2(0.25, 0.5), vec2(0.75, 0.5));
    stroke(&mut room, vec2(0.5, 0.25), vec2(0.5, 0.75));
    click(&mut room, s::DRAW_DONE);
    let stage = on_stage(&mut room);
    let Distribution::Drawn(lines) = &stage.distribution else {
        panic!("{stage:?}");
    };
    assert_eq!(lines.len(), 2, "the cleared one is gone");
    let near = |p: [f32; 2], q: [f32; 2]| (p[0] - q[0]).hypot(p[1] - q[1]) < 0.1;
    let ends = |line: &[Point]| (line[0], line[line.len() - 1]);
    let (first, last) = ends(&lines[0]);
    assert!(
        near(first, [-1.5, 0.0]) && near(last, [1.5, 0.0]),
        "{lines:?}"
    );
    let (first, last) = ends(&lines[1]);
    assert!(
        near(first, [0.0, 1.5]) && near(last, [0.0, -1.5]),
        "y points up: {lines:?}"
    );
}

#[test]
fn a_csv_becomes_the_distribution_or_a_message() {
    let mut room = room(View::Forward);
    asked(&room);
    room.state_mut().shared.points = Some(("p.csv".into(), b"x,y\n1,2\nnot,a\n3,4\n5,5".to_vec()));
    room.run();
    let stage = on_stage(&mut room);
    let Distribution::Own { name, points } = &stage.distribution else {
        panic!("{stage:?}");
    };
    assert_eq!((name.as_str(), points.len()), ("p.csv", 3));
    let told = room.state().shared.notices.len();
    assert_eq!(told, 1, "a line was left out");
    room.state_mut().shared.points = Some(("q.csv".into(), b"only words\nhere".to_vec()));
    room.run();
    let notices = &room.state().shared.notices;
    let last = notices.last().expect("a message");
    assert!(last.error && last.text.contains("q.csv"), "{last:?}");
    assert_eq!(room.state().room.setup.pick, Pick::Own, "nothing is lost");
}

#[test]
fn training_is_one_click_and_every_button_is_a_command() {
    let mut room = room(View::Training);
    asked(&room);
    click(&mut room, s::TIME_EMBEDDING);
    click(&mut room, s::START);
    let sent = asked(&room);
    let [LabCommand::Train(LabTrain::Start(spec))] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert!(!spec.network.time_embedding);
    assert_eq!(spec.stop.seconds, Some(20.0));
    assert!(spec.merit_every > 0);
    let spec = spec.clone();
    train(
        &mut room,
        LabTrainEvent::Opened {
            spec,
            parameters: 9,
        },
    );
    train(&mut room, LabTrainEvent::Status(TrainStatus::Running));
    let commands = |room: &Room| -> Vec<LabTrain> {
        (asked(room).into_iter())
            .filter_map(|c| match c {
                LabCommand::Train(command) => Some(command),
                _ => None,
            })
            .collect()
    };
    commands(&room);
    click(&mut room, s::PAUSE);
    assert!(matches!(commands(&room)[..], [LabTrain::Pause]));
    train(&mut room, LabTrainEvent::Status(TrainStatus::Paused(None)));
    click(&mut room, s::STEP);
    assert!(matches!(commands(&room)[..], [LabTrain::Step]));
    click(&mut room, s::RESUME);
    assert!(matches!(commands(&room)[..], [LabTrain::Resume]));
    let reason = TrainStatus::Paused(Some("30 s are over".into()));
    train(&mut room, LabTrainEvent::Status(reason));
    assert!(room.query_by_label_contains("30 s are over").is_some());
    click(&mut room, s::RESUME);
    let sent = commands(&room);
    let [LabTrain::StopAt(stop), LabTrain::Resume] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(*stop, StopAt::default());
    click(&mut room, s::CLOSE);
    assert!(matches!(commands(&room)[..], [LabTrain::Close]));
    train(&mut room, LabTrainEvent::Status(TrainStatus::None));
    assert!(room.query_by_label(s::START).is_some());
}

#[test]
fn slow_motion_asks_for_step_after_step_and_shows_the_mini_batch() {
    let mut room = room(View::Training);
    trained(&mut room);
    asked(&room);
    room.get_by_label(s::SLOW).click();
    room.run_steps(3);
    let steps = asked(&room);
    let count = |sent: &[LabCommand]| {
        let step = |c: &&LabCommand| matches!(c, LabCommand::Train(LabTrain::Step));
        sent.iter().filter(step).count()
    };
    assert_eq!(count(&steps), 1, "{steps:?}");
    let point = MiniPoint {
        t: 10,
        x0: [0.0, 0.0],
        x_t: [0.5, 0.5],
        eps: [1.0, 0.0],
        eps_hat: [0.0, 1.0],
        pull: [0.1, -0.1],
    };
    room.state().tell(lab(LabEvent::Train(LabTrainEvent::Batch {
        step: 6,
        points: vec![point; 64].into(),
    })));
    room.run_steps(3);
    assert!(room.query_by_label(&s::batch_canvas(6)).is_some());
    room.input_mut().time = Some(room.input().time.unwrap_or(0.0) + 30.0);
    room.run_steps(3);
    assert_eq!(count(&asked(&room)), 1, "one more when its time has come");
    room.get_by_label(s::SLOW).click();
    room.run_steps(3);
    room.input_mut().time = Some(room.input().time.unwrap_or(0.0) + 30.0);
    room.run_steps(3);
    assert_eq!(count(&asked(&room)), 0);
}

#[test]
fn fields_are_asked_for_at_t_and_again_when_the_network_has_changed() {
    let mut room = room(View::Fields);
    let fields = |sent: &[LabCommand]| -> Vec<FieldRequest> {
        (sent.iter())
            .filter_map(|c| match c {
                LabCommand::Field(request) => Some(request.clone()),
                _ => None,
            })
            .collect()
    };
    let first = fields(&asked(&room));
    let exact = FieldRequest {
        t: 1,
        side: 64,
        denoiser: Denoiser::Exact,
    };
    assert_eq!(
        first,
        std::slice::from_ref(&exact),
        "there is no field of the data"
    );
    room.state().tell(lab(field(&exact, false, 0)));
    trained(&mut room);
    let sent = asked(&room);
    let learned = fields(&sent);
    assert_eq!(learned.len(), 1);
    assert_eq!(learned[0].denoiser, Denoiser::Learned);
    room.state().tell(lab(field(&learned[0], true, 3)));
    room.run();
    assert_eq!(fields(&asked(&room)), learned, "it has been trained since");
    room.state().tell(lab(field(&learned[0], true, 5)));
    room.run();
    assert!(fields(&asked(&room)).is_empty());
    assert!(room.query_by_label("0.125").is_some(), "the relative error");
    // The comparison over all times comes by itself when the network rests.
    let errors: Vec<ErrorsRequest> = (sent.into_iter())
        .filter_map(|c| match c {
            LabCommand::Errors(request) => Some(request),
            _ => None,
        })
        .collect();
    assert_eq!(errors.len(), 1);
    room.state()
        .tell(lab(LabEvent::Errors(Arc::new(errors_view(&errors[0], 5)))));
    room.run();
    assert!(room.query_by_label(s::ERROR_MAP_NAME).is_some());
    assert!(asked(&room).is_empty());
    click(&mut room, s::MEASURE);
    assert!(matches!(asked(&room)[..], [LabCommand::Errors(_)]));
    for label in [
        s::LEARNED,
        s::ERROR,
        s::EXACT,
        s::ALL,
        s::EPSILON,
        s::SCORE,
        s::STREAMLINES,
        s::ARROWS,
        "64",
        s::UNDER,
    ] {
        room.get_all_by_label(label).next().expect(label).click();
        room.run();
    }
    asked(&room);
    click(&mut room, s::RAW);
    assert_eq!(fields(&asked(&room))[0].denoiser, Denoiser::Raw);
}

fn errors_view(request: &ErrorsRequest, step: u64) -> noiselab::session::lab::event::ErrorsView {
    let map = |k: usize| Grid {
        side: request.side,
        values: vec![0.01 * k as f32; request.side * request.side].into(),
    };
    noiselab::session::lab::event::ErrorsView {
        request: request.clone(),
        by_t: (1..=request.times).map(|k| (30 * k, 0.2)).collect(),
        maps: (0..request.times).map(map).collect(),
        pooled: 0.11,
        step,
    }
}

#[test]
fn samplers_run_from_the_same_noise_and_can_be_changed() {
    let mut room = room(View::Reverse);
    asked(&room);
    click(&mut room, s::SAMPLE);
    let draws = |room: &Room| -> Vec<LabReverse> {
        (asked(room).into_iter())
            .filter_map(|c| match c {
                LabCommand::Reverse(request) => Some(request),
                _ => None,
            })
            .collect()
    };
    let request = draws(&room).remove(0);
    let names: Vec<&str> = request.runs.iter().map(|r| r.sampler.as_str()).collect();
    assert_eq!(names, ["ddpm", "ddim", "pf_ode", "langevin"]);
    let exact = |r: &LabReverse| r.runs.iter().all(|r| r.denoiser == Denoiser::Exact);
    assert!(exact(&request), "there is no network");
    click(&mut room, s::STOP);
    assert!(matches!(asked(&room)[..], [LabCommand::StopReverse]));
    click(&mut room, "Remove 4");
    click(&mut room, "Remove 2");
    click(&mut room, "Sampler 1");
    click(&mut room, s::sampler_name("ddim"));
    trained(&mut room);
    click(&mut room, s::NEW_SEED);
    let request = draws(&room).remove(0);
    assert_eq!(request.runs.len(), 2);
    assert_eq!(request.runs[0].sampler, "ddim");
    assert_eq!(request.runs[0].denoiser, Denoiser::Learned);
    assert_ne!(request.seed, 0);
    click(&mut room, s::PREDICT_EXACT);
    click(&mut room, s::SAMPLE);
    assert!(exact(&draws(&room)[0]));
    click(&mut room, s::ADD);
    assert_eq!(room.state().room.reverse.choices.len(), 3);
    for label in [s::PATH_LINES, s::DENSITY] {
        click(&mut room, label);
    }
}

#[test]
fn a_particle_that_is_clicked_keeps_its_trail() {
    let (mut room, gpu) = lit_stage(Lab::default(), TALL, Theme::Dark);
    room.run_steps(2);
    on_stage(&mut room);
    let t = room.state().shared.time.t();
    let view = LabForwardView {
        request: LabForward { t, compare: None },
        clouds: Film::new(&gpu, (8, 8), 1, 1, 2).expect("a film"),
        density: Arc::new([]),
        alpha_bar: [0.25].into(),
    };
    room.state().tell(lab(LabEvent::Forward(Arc::new(view))));
    room.run();
    let name = schedule_name(&room.state().room.setup.schedule);
    let canvas = room.get_by_label(&s::forward_canvas(name, t)).rect();
    let place = |x: f32, y: f32| canvas.center() + vec2(x, -y) * canvas.width() / (2.0 * EXTENT);
    let click_at = |room: &mut Room, x: f32, y: f32| {
        room.hover_at(place(x, y));
        room.run();
        room.drag_at(place(x, y));
        room.run();
        room.drop_at(place(x, y));
        room.run();
        room.state().room.forward.picked.clone()
    };
    // Particle 1 is at half of its x_0 with √0.75 of its noise.
    let x_t = (-0.5, -0.5 + 0.75_f32.sqrt() * 2.0);
    assert_eq!(
        click_at(&mut room, 2.5, -2.5),
        [0_usize; 0],
        "nothing is near"
    );
    assert_eq!(click_at(&mut room, x_t.0, x_t.1), [1]);
    let pairs = room.state().room.address(&room.state().shared);
    assert!(pairs.contains(&("lab_picked", "1".to_owned())), "{pairs:?}");
    assert_eq!(
        click_at(&mut room, x_t.0, x_t.1),
        [0_usize; 0],
        "let go again"
    );
    click_at(&mut room, x_t.0, x_t.1);
    click(&mut room, s::UNPICK);
    assert!(room.state().room.forward.picked.is_empty());
}

#[test]
fn dragging_a_point_asks_for_its_paths_one_request_at_a_time() {
    let mut room = room(View::Reverse);
    click(&mut room, s::PATHS);
    let paths = |room: &Room| -> Vec<PathsRequest> {
        (asked(room).into_iter())
            .filter_map(|c| match c {
                LabCommand::Paths(request) => Some(request),
                _ => None,
            })
            .collect()
    };
    let first = paths(&room).remove(0);
    assert_eq!(first.runs.len(), 4);
    let canvas = room.get_by_label(s::PATHS_CANVAS).rect();
    room.drag_at(canvas.center());
    room.run();
    for k in 1..=5 {
        room.hover_at(canvas.center() + vec2(0.05 * k as f32, 0.0) * canvas.width());
        room.run();
    }
    assert!(paths(&room).is_empty(), "the first has no answer yet");
    let ways = vec![vec![vec![[0.9, 0.7], [0.0, 0.0]]; first.fan]; first.runs.len()];
    room.state().tell(lab(LabEvent::Paths(Arc::new(PathsView {
        request: first,
        paths: ways.into(),
    }))));
    room.run();
    let newest = paths(&room);
    assert_eq!(newest.len(), 1);
    let [x, y] = newest[0].start;
    assert!(
        (x - 1.5).abs() < 0.1 && y.abs() < 0.1,
        "{:?}",
        newest[0].start
    );
    room.drop_at(canvas.center() + vec2(0.25, 0.0) * canvas.width());
    room.run();
}

#[test]
fn the_models_density_is_measured_and_shown() {
    let mut room = room(View::Reverse);
    asked(&room);
    click(&mut room, s::LIKELIHOOD);
    let sent = asked(&room);
    let request = sent.iter().find_map(|c| match c {
        LabCommand::Likelihood(request) => Some(request.clone()),
        _ => None,
    });
    let request: LikelihoodRequest = request.expect("asked");
    let values = vec![0.1; request.side * request.side].into();
    room.state()
        .tell(lab(LabEvent::Likelihood(Arc::new(LikelihoodView {
            density: Grid {
                side: request.side,
                values,
            },
            request,
            nll: 1.25,
            true_nll: Some(1.125),
        }))));
    room.run();
    assert!(room.query_by_label("1.250 nats").is_some());
    assert!(room.query_by_label("1.125 nats").is_some());
    click(&mut room, s::MEASURE_DENSITY);
    assert!(matches!(asked(&room)[..], [LabCommand::Likelihood(_)]));
}

#[test]
fn a_preset_sets_everything_and_starts() {
    let mut room = room(View::Wrong);
    asked(&room);
    for preset in PRESETS {
        click(&mut room, &s::try_preset(preset.title));
        let sent = asked(&room);
        let scheduler = (preset.scheduler)();
        let staged = sent.iter().any(|c| match c {
            LabCommand::Stage(stage) => stage.scheduler == scheduler,
            _ => false,
        });
        // The first one is what is on stage by itself but for the spacing of steps.
        assert!(staged || room.state().room.setup.scheduler() == scheduler);
        let network = (preset.train)().network;
        assert!(sent.iter().any(|c| matches!(
            c,
            LabCommand::Train(LabTrain::Start(spec)) if spec.network == network
        )));
        let drawn = sent.iter().find_map(|c| match c {
            LabCommand::Reverse(request) => Some(request),
            _ => None,
        });
        let runs = &drawn.expect(preset.name).runs;
        assert_eq!((runs.len(), runs[0].steps), (1, preset.steps));
        assert_eq!(runs[0].denoiser, Denoiser::Exact);
        if staged {
            let view = view_of(&room.state().room.setup.stage().expect("a stage"));
            room.state().tell(lab(LabEvent::Stage(Arc::new(view))));
            room.run();
        }
        room.state_mut().room.stage_ask.answered();
    }
    // When the network rests it draws as well.
    asked(&room);
    room.state_mut().room.reverse.busy = false;
    trained(&mut room);
    let both = asked(&room).into_iter().find_map(|c| match c {
        LabCommand::Reverse(request) => Some(request),
        _ => None,
    });
    let runs = both.expect("a second request").runs;
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[1].denoiser, Denoiser::Learned);
    click(&mut room, s::VIEWS[1]);
    click(&mut room, s::PRESET_CLOSE);
    assert_eq!(room.state().room.preset, None);
}

#[test]
fn an_address_brings_the_settings_back() {
    let mut room = stage(Lab::default(), TALL);
    let of = |room: &mut Room, pairs: &[(&str, &str)]| {
        let stage = room.state_mut();
        for (key, value) in pairs {
            stage.room.set_address(key, value, &mut stage.shared);
        }
        stage.room.address(&stage.shared)
    };
    let given = [
        ("lab", "reverse"),
        ("dist", "text"),
        ("word", "x y"),
        ("runs", "ddim:7:0.25,pf_ode:9"),
        ("lab_schedule", "sigmoid"),
        ("lab_steps", "200"),
    ];
    let expected: Vec<(&str, String)> = given.map(|(k, v)| (k, v.to_owned())).to_vec();
    assert_eq!(of(&mut room, &given), expected);
    let wrong = [
        ("lab", "nowhere"),
        ("dist", "own"),
        ("word", "  "),
        ("runs", "ddim:0"),
        ("runs", "ddim:5:7"),
        ("runs", "euler:5"),
        ("runs", "ddim:5,ddim:5,ddim:5,ddim:5,ddim:5"),
        ("lab_schedule", "x"),
        ("lab_steps", "1"),
        ("wrong", "x"),
        ("other", "1"),
    ];
    assert_eq!(of(&mut room, &wrong), expected, "nonsense is left out");
    assert!(of(&mut room, &[("wrong", "too_few_steps")]).len() >= 4);
    room.run();
    let starts = |c: &LabCommand| matches!(c, LabCommand::Train(LabTrain::Start(_)));
    assert!(
        asked(&room).iter().any(starts),
        "it begins when it is shown"
    );
}

#[test]
fn every_setting_is_in_the_address() {
    let mut room = stage(Lab::default(), TALL);
    let stage = room.state_mut();
    let given = [
        ("lab", "fields"),
        ("dist", "drawn"),
        ("lab_lines", "AAAAAAAA.__AA__AA"),
        ("runs", "langevin:30"),
        ("lab_schedule", "linear"),
        ("lab_steps", "500"),
        ("lab_particles", "10000"),
        ("lab_compare", "sigmoid"),
        ("lab_layers", "density,trails"),
        ("lab_picked", "3,17"),
        ("lab_field", "error"),
        ("lab_quantity", "eps"),
        ("lab_style", "lines"),
        ("lab_fineness", "16"),
        ("lab_under", "0"),
        ("lab_weights", "raw"),
        ("lab_look", "point"),
        ("lab_score", "exact"),
        ("lab_start", "-1.25,2.50"),
        ("lab_fan", "3"),
        ("lab_reverse_layers", "none"),
        ("lab_net", "32:2:0"),
        ("lab_predicts", "epsilon"),
        ("lab_batch", "128"),
        ("lab_rate", "0.001"),
        ("lab_seconds", "12"),
    ];
    for (key, value) in given {
        stage.room.set_address(key, value, &mut stage.shared);
    }
    let expected: Vec<(&str, String)> = given.map(|(k, v)| (k, v.to_owned())).to_vec();
    assert_eq!(stage.room.address(&stage.shared), expected);
    assert!(stage.room.setup.sketch.is_none(), "the lines are there");
    for (key, value) in [
        ("lab_lines", "A"),
        ("lab_particles", "7"),
        ("lab_layers", "clouds"),
        ("lab_picked", "3,x"),
        ("lab_picked", "50000"),
        ("lab_field", "x"),
        ("lab_fineness", "-1"),
        ("lab_start", "9,9"),
        ("lab_start", "nan,0"),
        ("lab_fan", "100000"),
        ("lab_net", "1000000:2:0"),
        ("lab_net", "32:2"),
        ("lab_predicts", "score"),
        ("lab_batch", "x"),
        ("lab_rate", "inf"),
        ("lab_seconds", "-5"),
    ] {
        stage.room.set_address(key, value, &mut stage.shared);
        assert_eq!(stage.room.address(&stage.shared), expected, "{key}={value}");
    }
}

#[test]
fn a_preset_that_was_changed_is_none_any_more() {
    let mut room = room(View::Wrong);
    click(&mut room, &s::try_preset(PRESETS[1].title));
    on_stage_after(&mut room);
    assert_eq!(room.state().room.preset, Some(1));
    room.state_mut().room.setup.timesteps = 40;
    room.run();
    assert_eq!(room.state().room.preset, None);
}

#[test]
fn every_formula_of_the_cards_is_understood() {
    use crate::ui::widgets::math;
    for view in View::ALL {
        let card = s::card(view.index());
        for equation in card.equations {
            math::check(equation.tex).unwrap_or_else(|e| panic!("{}: {e}", equation.tex));
        }
        for text in [card.text, card.experiment, s::VIEW_HINTS[view.index()]] {
            assert_eq!(text.matches('$').count() % 2, 0, "{text}");
            for formula in text.split('$').skip(1).step_by(2) {
                math::check(formula).unwrap_or_else(|e| panic!("{formula}: {e}"));
            }
        }
    }
}

/// Texts that overlap or leave the window at its sides.
fn faults(room: &Room, width: f32) -> BTreeSet<String> {
    let texts: Vec<(String, Rect)> = (room.root().children_recursive())
        .filter_map(|node| {
            let access = node.accesskit_node();
            let text = access.label().or_else(|| access.value())?;
            let leaf = access.children().next().is_none();
            (leaf && !text.is_empty()).then(|| (text, node.rect().shrink(1.0)))
        })
        .collect();
    let mut faults = BTreeSet::new();
    for (i, (text, a)) in texts.iter().enumerate() {
        if a.left() < 0.0 || a.right() > width {
            faults.insert(format!("\"{text}\" leaves the window: {a:?}"));
        }
        for (other, b) in &texts[i + 1..] {
            let nested = a.contains_rect(*b) || b.contains_rect(*a);
            if a.is_positive() && b.is_positive() && a.intersects(*b) && !nested {
                faults.insert(format!("\"{text}\" {a:?} over \"{other}\" {b:?}"));
            }
        }
    }
    faults
}

/// Lets a session's lab do what the room asks, until both rest or have trained for `steps`.
fn serve(room: &mut Room, job: &mut LabJob, steps: u64) {
    let mut step = 0;
    for _ in 0..100_000 {
        let mut events = Vec::new();
        for command in asked(room) {
            if let Err(e) = job.handle(command, &mut |e| events.push(e)) {
                panic!("{e}");
            }
        }
        if job.is_busy() || (job.is_training() && step < steps) {
            job.pump(Pace::INTERACTIVE, &mut |e| events.push(e))
                .expect("work");
            job.wait();
        } else if events.is_empty() {
            return;
        }
        let told = !events.is_empty();
        for event in events {
            if let Event::Lab(LabEvent::Train(LabTrainEvent::Step(report, _))) = &event {
                step = report.step;
            }
            room.state().tell(event);
        }
        if told {
            room.step();
        }
        if step >= steps && steps > 0 && job.is_training() {
            let pause = LabCommand::Train(LabTrain::Pause);
            job.handle(pause, &mut |e| room.state().tell(e))
                .expect("a pause");
            for _ in 0..50 {
                job.pump(Pace::INTERACTIVE, &mut |e| room.state().tell(e))
                    .expect("a rest");
                job.wait();
            }
            room.step();
        }
    }
    panic!("it never rests");
}

/// The room and the session's lab together, every view at every size. With `LAB_PICTURES` set to a folder the pictures
/// are kept there, to be looked at.
#[test]
fn with_a_session_behind_it_every_view_is_drawn_whole() {
    const STEPS: u64 = 150;
    let keep = std::env::var_os("LAB_PICTURES").map(std::path::PathBuf::from);
    let (mut room, gpu) = lit_stage(Lab::default(), [1064.0, 664.0], Theme::Dark);
    let mut job = LabJob::new(&gpu);
    room.state_mut().room.setup.particles = 10_000;
    room.state_mut().room.reverse.count = 2_000;
    let training = &mut room.state_mut().room.training;
    training.spec.merit_every = 100;
    training.spec.network.width = 32;
    training.seconds = 0.0;
    room.step();
    serve(&mut room, &mut job, 0);
    let mut all = BTreeSet::new();
    let mut look = |room: &mut Room, name: &str| {
        for (size, theme) in [
            ([1064.0, 664.0], Theme::Dark),
            ([808.0, 504.0], Theme::Light),
            ([390.0, 664.0], Theme::Dark),
        ] {
            room.ctx.set_theme(theme);
            room.set_size(size.into());
            room.run_steps(3);
            for fault in faults(room, size[0]) {
                all.insert(format!("{name} at {size:?}: {fault}"));
            }
            if let Some(folder) = &keep {
                // As high as all of it.
                room.set_size(vec2(size[0], 1500.0));
                room.run_steps(3);
                let image = room.render().expect("a picture");
                let file = format!("{name}-{}.png", size[0]);
                image.save(folder.join(file)).expect("saved");
            }
        }
        room.set_size(vec2(1064.0, 664.0));
        room.run_steps(2);
    };
    room.state_mut().shared.time.set_t(150);
    room.state_mut().room.forward.compare = Some("linear".into());
    room.run_steps(2);
    serve(&mut room, &mut job, 0);
    look(&mut room, "forward");
    room.state_mut().room.view = View::Training;
    room.run_steps(2);
    room.get_by_label(s::START).click();
    room.step();
    serve(&mut room, &mut job, STEPS);
    let step = room.state().room.training.step;
    assert!(step >= STEPS, "{step}");
    look(&mut room, "training");
    room.get_by_label(s::STEP).click();
    room.step();
    serve(&mut room, &mut job, u64::MAX);
    assert!(room.query_by_label_contains("Mini-batch").is_some());
    look(&mut room, "batch");
    room.state_mut().room.view = View::Fields;
    room.run_steps(2);
    serve(&mut room, &mut job, 0);
    let error = room.state().room.fields.view.as_ref();
    let error = error.and_then(|v| v.relative_error).expect("an error");
    assert!(error < 1.0, "worse than nothing: {error}");
    look(&mut room, "fields");
    room.get_by_label(s::STREAMLINES).click();
    room.run_steps(2);
    look(&mut room, "streamlines");
    room.state_mut().room.view = View::Reverse;
    room.run_steps(2);
    room.get_by_label(s::SAMPLE).click();
    room.step();
    serve(&mut room, &mut job, 0);
    room.state_mut().shared.time.playing = false;
    room.state_mut().shared.time.set_t(60);
    room.run_steps(2);
    serve(&mut room, &mut job, 0);
    let runs = &room.state().room.reverse.runs;
    assert_eq!(runs.iter().filter(|r| r.done.is_some()).count(), 4);
    look(&mut room, "reverse");
    room.get_by_label(s::PATHS).click();
    room.run_steps(2);
    serve(&mut room, &mut job, 0);
    assert!(room.state().room.reverse.paths.is_some());
    look(&mut room, "paths");
    room.get_by_label(s::LIKELIHOOD).click();
    room.run_steps(2);
    serve(&mut room, &mut job, 0);
    assert!(room.state().room.reverse.likelihood.is_some());
    look(&mut room, "density");
    room.state_mut().room.view = View::Wrong;
    room.run_steps(2);
    look(&mut room, "wrong");
    assert!(all.is_empty(), "{all:#?}");
}

use std::sync::Arc;

use egui::{Key, Role, Theme};
use egui_kittest::{Harness, kittest::Queryable as _};
use noiselab::{
    gpu::Gpu,
    session::{
        command::{ExportKind, ExportRequest},
        config::PRESETS,
        event::ModelInfo,
    },
};

use super::*;
use crate::ui::panels::testing::{Stage, film, lit_stage, stage};

type Room = Harness<'static, Stage<Reverse>>;

fn model() -> Event {
    let config = (PRESETS[1].make)(28, 1);
    Event::Model(Arc::new(ModelInfo {
        name: "digits".into(),
        unet: config.unet,
        scheduler: config.scheduler,
        parameters: 1,
    }))
}

fn room() -> Room {
    let mut room = stage(Reverse::default(), [1000.0, 1400.0]);
    room.state().tell(model());
    room.run();
    room
}

/// The reverse processes that were asked for since the last call.
fn asked(room: &Room) -> Vec<ReverseRequest> {
    room.state()
        .sent()
        .into_iter()
        .filter_map(|c| match c {
            Command::Reverse(request) => Some(request),
            _ => None,
        })
        .collect()
}

fn choice(sampler: &str, steps: usize) -> SamplerChoice {
    SamplerChoice {
        sampler: sampler.into(),
        steps,
        eta: 0.0,
    }
}

/// Begins a run of `kept` frames of one request; frame k is at t = 1000 − 100 k, with noise of σ = 0.5 but at the end.
fn begin(gpu: &Arc<Gpu>, request: &Arc<ReverseRequest>, run: usize, kept: usize) -> Event {
    let one = || {
        let frame = |k: usize| vec![vec![k as f32 / 10.0 - 1.0; 16]; request.count];
        let frames: Vec<_> = (0..kept).map(frame).collect();
        film(gpu, [4, 4, 1], 2, &frames)
    };
    let frames: Vec<ReverseFrame> = (0..kept)
        .map(|k| ReverseFrame {
            steps_taken: k,
            t: 1000 - 1000 * k / (kept - 1),
            sigma: if k + 1 == kept { 0.0 } else { 0.5 },
        })
        .collect();
    Event::Reverse(ReverseEvent::Started {
        request: Arc::clone(request),
        run,
        films: ReverseFilms {
            x: one(),
            x0_hat: one(),
            eps_hat: one(),
            noise: one(),
        },
        frames: frames.into(),
        timesteps: 1000,
    })
}

fn progress(run: usize, frames: usize) -> Event {
    Event::Reverse(ReverseEvent::Progress {
        run,
        frames,
        evaluations: 4 * frames,
        seconds: 0.25 * frames as f64,
    })
}

fn done(run: usize) -> Event {
    Event::Reverse(ReverseEvent::Done {
        run,
        images: vec![0.0; 64].into(),
        evaluations: 44,
        seconds: 2.5,
    })
}

/// A room whose two runs are finished.
fn finished() -> Room {
    let (mut room, gpu) = lit_stage(Reverse::default(), [1000.0, 1400.0], Theme::Dark);
    room.state().tell(model());
    room.run();
    let mut request = asked(&room).remove(0);
    request.count = 4;
    let request = Arc::new(request);
    for run in 0..2 {
        room.state().tell(begin(&gpu, &request, run, 11));
        room.state().tell(done(run));
    }
    room.run();
    room
}

#[test]
fn it_draws_once_by_itself_when_a_model_is_there() {
    let mut room = stage(Reverse::default(), [1000.0, 1400.0]);
    room.run();
    assert!(asked(&room).is_empty(), "there is no model yet");
    room.state().tell(model());
    room.run();
    room.run();
    let expected = ReverseRequest {
        seed: 0,
        count: 16,
        runs: vec![choice("ddim", 50), choice("ddpm", 100)],
    };
    assert_eq!(asked(&room), [expected]);
}

#[test]
fn a_software_adapter_draws_fewer() {
    let mut room = stage(Reverse::default(), [1000.0, 1400.0]);
    room.state().tell(Event::Ready {
        adapter: "slow".into(),
        software: true,
        f16: false,
    });
    room.state().tell(model());
    room.run();
    assert_eq!(asked(&room)[0].count, 4);
    room.get_by_role_and_label(Role::Button, "25").click();
    room.run();
    room.get_by_label("Draw").click();
    room.run();
    assert_eq!(asked(&room)[0].count, 25, "the user's choice stays");
}

#[test]
fn every_control_reaches_the_request() {
    let mut room = room();
    asked(&room);
    room.get_by_role_and_label(Role::Button, "9").click();
    room.run();
    room.get_by_role_and_label(Role::Slider, "Steps A")
        .set_value_accesskit(20.0);
    room.get_by_role_and_label(Role::Slider, "η A")
        .set_value_accesskit(0.5);
    room.get_by_role_and_label(Role::Slider, "Steps B")
        .set_value_accesskit(1000.0);
    room.run();
    room.get_by_role_and_label(Role::ComboBox, "Sampler B")
        .click();
    room.run();
    room.get_by_role_and_label(Role::Button, "DDIM").click();
    room.run();
    room.get_by_label("Draw").click();
    room.run();
    let found = asked(&room).remove(0);
    assert_eq!(found.count, 9);
    let a = SamplerChoice {
        eta: 0.5,
        ..choice("ddim", 20)
    };
    assert_eq!(found.runs, [a.clone(), choice("ddim", 1000)]);

    room.get_by_label("Compare two samplers").click();
    room.run();
    room.get_by_label("New seed").click();
    room.run();
    let next = asked(&room).remove(0);
    assert_ne!(next.seed, found.seed);
    assert_eq!(next.runs, [a]);
    assert!(room.query_by_label("Steps B").is_none());

    room.get_by_label("Stop").click();
    room.run();
    assert!(matches!(room.state().sent()[..], [Command::StopReverse]));
}

#[test]
fn a_sampler_without_eta_is_not_sent_one() {
    let mut room = room();
    asked(&room);
    let stage = room.state_mut();
    stage.room.set_address("sampler", "ddpm", &mut stage.shared);
    stage.room.set_address("eta", "1", &mut stage.shared);
    room.run();
    room.get_by_label("Draw").click();
    room.run();
    assert_eq!(asked(&room)[0].runs[0], choice("ddpm", 50));
}

#[test]
fn models_of_the_training_run_can_be_chosen_while_there_is_one() {
    let mut room = room();
    room.get_by_role_and_label(Role::ComboBox, "Model").click();
    room.run();
    assert!(room.query_by_label(words::TRAINING_RAW).is_none());
    room.key_press(Key::Escape);
    room.state()
        .tell(Event::Train(TrainEvent::Status(TrainStatus::Running)));
    room.run();
    room.get_by_role_and_label(Role::ComboBox, "Model").click();
    room.run();
    room.state().sent();
    room.get_by_role_and_label(Role::Button, words::TRAINING_RAW)
        .click();
    room.run();
    let sent = room.state().sent();
    assert!(
        matches!(
            sent[..],
            [Command::OpenModel(ModelChoice::Training {
                averaged: false
            })]
        ),
        "{sent:?}"
    );
    room.state().tell(Event::Failed {
        job: Job::Model,
        message: "no".into(),
    });
    room.run();
    assert_eq!(
        room.state().room.pick,
        Pick::Pretrained,
        "nothing was opened"
    );
    room.state().tell(model());
    room.run();
    assert_eq!(room.state().room.pick, Pick::Other, "opened elsewhere");
    assert_eq!(asked(&room).len(), 1, "a new model draws by itself");
}

#[test]
fn the_time_follows_the_newest_frame_until_it_is_moved() {
    let (mut room, gpu) = lit_stage(Reverse::default(), [1000.0, 1400.0], Theme::Dark);
    room.state().tell(model());
    room.run();
    let request = Arc::new(ReverseRequest {
        count: 4,
        ..asked(&room).remove(0)
    });
    room.state().tell(begin(&gpu, &request, 0, 11));
    room.state().tell(progress(0, 1));
    room.run();
    assert_eq!(room.state().shared.time.t(), 1000);
    room.state().tell(progress(0, 4));
    room.run();
    assert_eq!(room.state().shared.time.t(), 700);
    room.get_by_label("Noisy image, run A, at t = 700");
    room.get_by_role_and_label(Role::Label, "16");
    room.state_mut().shared.time.set_t(940);
    room.run();
    room.state().tell(progress(0, 8));
    room.run();
    assert_eq!(room.state().shared.time.t(), 940, "the user has it now");
    room.get_by_label("Noisy image, run A, at t = 900");
    room.state_mut().shared.time.set_t(0);
    room.run();
    room.get_by_label("Noisy image, run A, at t = 300");
    room.state().tell(done(0));
    room.run();
    room.get_by_label("Noisy image, run A, at t = 0");
    assert!(room.state().room.busy, "run B comes next");
    room.state().tell(begin(&gpu, &request, 1, 6));
    room.state().tell(done(1));
    room.run();
    assert!(!room.state().room.busy);
    room.get_by_label("Noisy image, run B, at t = 0");
}

#[test]
fn what_stands_beside_can_be_chosen() {
    let mut room = finished();
    room.state_mut().shared.time.set_t(500);
    room.run();
    room.get_by_label("Predicted image, run A, at t = 500");
    room.get_by_label("Predicted noise").click();
    room.run();
    room.get_by_label("Predicted noise, run B, at t = 500");
    room.get_by_label("Noise added").click();
    room.run();
    room.get_by_label("Noise added, run A, at t = 500");
    assert_eq!(
        room.query_all_by_label("0.500").count(),
        2,
        "σ of both runs"
    );
    room.state_mut().shared.time.set_t(0);
    room.run();
    assert_eq!(room.query_all_by_label("none").count(), 2);
    assert!(
        room.query_by_label("Noise added of sample 1, run A")
            .is_none(),
        "no noise is added by the last step"
    );
    room.get_by_label("Noisy image of sample 1, run A");
}

#[test]
fn a_sample_is_enlarged_and_exported() {
    let mut room = finished();
    room.state().sent();
    room.get_by_label("Noisy image of sample 3, run B").click();
    room.run();
    room.get_by_label("Sample 3, the whole path");
    room.get_by_label("Predicted image at t = 600, run A")
        .click();
    room.run();
    assert_eq!(room.state().shared.time.t(), 600);
    room.get_by_label("Export B").click();
    room.run();
    room.get_by_label(words::EXPORT_FILM).click();
    room.run();
    let sent = room.state().sent();
    let [Command::Export(request)] = &sent[..] else {
        panic!("{sent:?}");
    };
    let expected = ExportRequest {
        run: 1,
        sample: Some(2),
        kind: ExportKind::Animation,
        scale: 16,
    };
    assert_eq!(*request, expected);
    room.key_press(Key::Escape);
    room.run();
    assert!(room.query_by_label("Sample 3, the whole path").is_none());
    for (name, kind) in [
        (words::EXPORT_PICTURE, ExportKind::Picture),
        (words::EXPORT_STRIP, ExportKind::Filmstrip),
    ] {
        room.get_by_label("Export A").click();
        room.run();
        room.get_by_label(name).click();
        room.run();
        let sent = room.state().sent();
        let [Command::Export(request)] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_eq!((request.run, request.sample, request.kind), (0, None, kind));
    }
    room.get_by_label("Noisy image of sample 1, run A").click();
    room.run();
    room.get_by_label(words::CLOSE).click();
    room.run();
    assert_eq!(room.state().room.enlarged, None);
}

#[test]
fn a_failure_ends_the_waiting() {
    let mut room = room();
    assert!(room.state().room.busy);
    room.state().tell(Event::Failed {
        job: Job::Reverse,
        message: "too many".into(),
    });
    room.run();
    assert!(!room.state().room.busy);
    assert!(asked(&room).len() == 1, "it does not try for ever");
}

#[test]
fn an_address_brings_the_settings_back() {
    let mut first = stage(Reverse::default(), [1000.0, 1400.0]);
    let given = [
        ("sampler", "ddpm"),
        ("steps", "25"),
        ("eta", "0.25"),
        ("sampler_b", "ddim"),
        ("steps_b", "7"),
        ("eta_b", "1"),
        ("count", "9"),
    ];
    let stage_of = |room: &mut Room, pairs: &[(&str, &str)]| {
        let stage = room.state_mut();
        for (key, value) in pairs {
            stage.room.set_address(key, value, &mut stage.shared);
        }
        stage.room.address(&stage.shared)
    };
    let found = stage_of(&mut first, &given);
    let expected: Vec<(&str, String)> = given.map(|(k, v)| (k, v.to_owned())).to_vec();
    assert_eq!(found, expected);
    let wrong = [
        ("sampler", "euler"),
        ("steps", "0"),
        ("steps_b", "x"),
        ("eta", "-1"),
        ("eta_b", "NaN"),
        ("count", "7"),
        ("other", "1"),
    ];
    assert_eq!(
        stage_of(&mut first, &wrong),
        expected,
        "nonsense is left out"
    );
    let off = stage_of(&mut first, &[("sampler_b", "off")]);
    assert!(off.contains(&("sampler_b", "off".into())));
    assert!(!off.iter().any(|(k, _)| *k == "steps_b"));
}

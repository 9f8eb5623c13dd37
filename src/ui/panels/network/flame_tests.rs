use egui::Role;
use egui_kittest::{Harness, kittest::Queryable as _};
use noiselab::{
    gpu::timing::Clock,
    nn::{roofline::Roofline, unet_map::MapKind},
    session::{config::PRESETS, event::ModelInfo},
};

use super::*;
use crate::ui::{
    panel::Panel as _,
    panels::{
        network::{Network, tests::info},
        testing::{Stage, data, stage},
        training::tests::opened,
    },
};

type Room = Harness<'static, Stage<Network>>;

const PRODUCT: f64 = 20e9;
const COPY: f64 = 10e9;

fn timed(kernel: &str, kind: KernelKind, layer: &str, seconds: f64, flops: u64) -> Timed {
    Timed {
        kernel: kernel.into(),
        kind,
        layer: layer.into(),
        seconds,
        flops,
        bytes: 100_000,
        alive: 0,
    }
}

/// A made-up profile: products at half of the best rate, everything else in a tenth of a millisecond.
pub fn profile(model: &ModelInfo, request: ProfileRequest) -> ProfileView {
    let map = unet_map::describe(&model.unet).unwrap();
    let images = request.batch as u64;
    let product = |flops: u64| 2.0 * flops as f64 / PRODUCT + 1e-5;
    let mut all = vec![timed("batch:draw", KernelKind::Other, "batch", 1e-4, 0)];
    let is_attention = |kind| kind == MapKind::Attention;
    for block in &map.blocks {
        let (flops, name) = (images * block.flops, &block.name);
        let norm = "layers/group_norm:forward GROUPS=8";
        let layer = format!("{name}.norm1");
        all.push(timed(norm, KernelKind::Norm, &layer, 1e-4, 0));
        let (kernel, kind) = if is_attention(block.kind) {
            (
                "layers/attention:forward HEAD_DIM4=8",
                KernelKind::Attention,
            )
        } else {
            ("layers/conv3x3:forward STRIP=8", KernelKind::Convolution)
        };
        let layer = format!("{name}.conv1");
        all.push(timed(kernel, kind, &layer, product(flops), flops));
    }
    if request.pass == ProfilePass::Step {
        all.push(timed("loss:losses", KernelKind::Other, "loss", 1e-4, 0));
        for block in map.blocks.iter().rev() {
            let (flops, name) = (images * block.flops, &block.name);
            let layer = format!("{name}.conv1 (backward)");
            let (input, kind) = if is_attention(block.kind) {
                ("layers/attention:backward", KernelKind::Attention)
            } else {
                ("layers/conv3x3:backward_input", KernelKind::Convolution)
            };
            all.push(timed(input, kind, &layer, product(flops), flops));
            let weight = "layers/conv3x3:backward_weight";
            let kind = KernelKind::WeightGradient;
            all.push(timed(weight, kind, &layer, product(flops), flops));
            let norm = "layers/group_norm:backward_input";
            let layer = format!("{name}.norm1 (backward)");
            all.push(timed(norm, KernelKind::Norm, &layer, 2e-4, 0));
        }
        let sums = "layers/row_sums:sum";
        all.push(timed(sums, KernelKind::Sums, "sums of gradients", 5e-4, 0));
        for entry in ["squares", "norm", "update"] {
            let kernel = format!("optimizer/adam:{entry}");
            let kind = KernelKind::Optimizer;
            all.push(timed(&kernel, kind, "optimiser", 3e-4, 0));
        }
    }
    let count = all.len();
    for (i, d) in all.iter_mut().enumerate() {
        d.alive = 100_000 * images * i.min(count - 1 - i) as u64;
    }
    ProfileView {
        request,
        unet: model.unet.clone(),
        checkpoint_activations: false,
        clock: Clock::Submissions,
        roofline: Roofline {
            flops_per_s: PRODUCT,
            bytes_per_s: COPY,
            side: 1024,
            copied: 64 << 20,
            kernel: "8x8 register tiles".into(),
            kernels: vec![("8x8 register tiles".into(), PRODUCT)],
            clock: Clock::Submissions,
        },
        dispatches: all,
    }
}

fn request(pass: ProfilePass, batch: usize) -> ProfileRequest {
    ProfileRequest { pass, batch }
}

fn room() -> Room {
    let mut room = stage(Network::default(), [1000.0, 2200.0]);
    room.state().tell(Event::Model(Arc::new(info(1))));
    room.state().tell(Event::Data(data(28, 1, 3)));
    room.run();
    room.state().sent();
    room
}

fn tell(room: &mut Room, event: ProfileEvent) {
    room.state().tell(Event::Profile(event));
    room.run();
}

/// A room with a made-up profile.
fn profiled(pass: ProfilePass) -> (Room, Arc<ProfileView>) {
    let mut room = room();
    let view = Arc::new(profile(&info(1), request(pass, 4)));
    tell(&mut room, ProfileEvent::Done(Arc::clone(&view)));
    (room, view)
}

/// The profiles asked for since the last call.
fn asked(room: &Room) -> Vec<ProfileRequest> {
    let sent = room.state().sent().into_iter();
    sent.filter_map(|c| match c {
        Command::Profile(request) => Some(request),
        _ => None,
    })
    .collect()
}

fn shown(room: &Room) -> &Shown {
    room.state().room.flame.shown.as_ref().expect("a profile")
}

#[test]
fn the_button_asks_for_an_evaluation_or_for_a_step_of_the_run_in_training() {
    let mut room = room();
    assert!(room.query_by_label(words::TIME).is_none());
    room.get_by_label(words::PROFILE).click();
    room.run();
    assert_eq!(asked(&room), [request(ProfilePass::Evaluation, IMAGES)]);
    room.get_by_label(words::PROFILE_BEGINS);
    let stage = ProfileStage::Timing;
    tell(
        &mut room,
        ProfileEvent::Progress {
            stage,
            done: 30,
            of: 90,
        },
    );
    room.get_by_label(words::stage(stage));
    room.get_by_label(words::PROFILE).click();
    room.run();
    assert!(asked(&room).is_empty(), "one is under way");
    room.get_by_label(words::STOP).click();
    room.run();
    let sent = room.state().sent();
    assert!(matches!(sent[..], [Command::StopProfile]), "{sent:?}");
    assert!(room.query_by_label(words::TIME).is_none());

    let mut config = (PRESETS[1].make)(28, 1);
    config.batch = 24;
    let run = Event::Train(opened(config, 0, Vec::new()));
    room.state().tell(run);
    room.run();
    room.get_by_label(words::PROFILE).click();
    room.run();
    assert_eq!(asked(&room), [request(ProfilePass::Step, 24)]);
    room.state().tell(Event::Failed {
        job: Job::Profile,
        message: "no memory".into(),
    });
    // A run of another network says nothing about this one.
    let other = (PRESETS[0].make)(28, 1);
    room.state()
        .tell(Event::Train(opened(other, 0, Vec::new())));
    room.run();
    room.get_by_label(words::PROFILE).click();
    room.run();
    assert_eq!(asked(&room), [request(ProfilePass::Evaluation, IMAGES)]);
}

#[test]
fn what_is_chosen_is_asked_for_and_is_in_the_address() {
    let (mut room, _) = profiled(ProfilePass::Evaluation);
    let address = |room: &Room| {
        let stage = room.state();
        let all = stage.room.address(&stage.shared);
        all.into_iter().find(|p| p.0 == "profile").map(|p| p.1)
    };
    assert_eq!(address(&room), None);
    room.get_by_role_and_label(Role::Button, "Training step")
        .click();
    room.run();
    room.get_by_role_and_label(Role::SpinButton, words::IMAGES)
        .set_value_accesskit(16.0);
    room.run();
    assert_eq!(address(&room).as_deref(), Some("step,16"));
    assert!(asked(&room).is_empty());
    room.get_by_label(words::PROFILE_AGAIN).click();
    room.run();
    assert_eq!(asked(&room), [request(ProfilePass::Step, 16)]);

    let mut flame = Flame::default();
    flame.set_address("nonsense,0");
    assert_eq!(flame.address().as_deref(), Some("1"));
    flame.set_address("step,16");
    assert_eq!(flame.address().as_deref(), Some("step,16"));
}

#[test]
fn a_step_is_cut_into_its_blocks_there_and_back() {
    let (room, view) = profiled(ProfilePass::Step);
    let shown = shown(&room);
    let blocks = shown.map.blocks.len();
    let count = |way| shown.parts.iter().filter(|p| p.direction == way).count();
    // The batch and the loss beside the blocks; the sums; the optimiser.
    assert_eq!(count(Direction::Forward), blocks + 2);
    assert_eq!(count(Direction::Backward), blocks + 1);
    assert_eq!(count(Direction::Update), 1);
    assert_eq!(count(Direction::Again), 0);
    let mut next = 0;
    for part in &shown.parts {
        assert_eq!(part.dispatches.start, next, "{part:?}");
        next = part.dispatches.end;
    }
    assert_eq!(next, view.dispatches.len());
    let sum: f64 = shown.parts.iter().map(|p| p.seconds).sum();
    assert!((sum - shown.profile.total_s).abs() < 1e-9);
    assert!((shown.seconds.iter().sum::<f64>() - sum).abs() < 1e-9);

    // What is computed once more lies between the loss and the way back.
    let mut again = view.dispatches.clone();
    let turn = turn_of(&again);
    let block = again[3].clone();
    again.insert(turn, block);
    let parts = parts_of(&again, &shown.map);
    let part = parts.iter().find(|p| p.direction == Direction::Again);
    assert_eq!(part.expect("a part").dispatches, turn..turn + 1);
}

#[test]
fn widths_are_shares_of_the_time_and_both_rows_meet_at_the_loss() {
    for pass in PASSES {
        let (room, view) = profiled(pass);
        let shown = shown(&room);
        let strip = Strip {
            shown,
            selected: None,
        };
        let x = Rangef::new(100.0, 700.0);
        let spans = strip.spans(x);
        assert_eq!(spans.len(), view.dispatches.len());
        let longest = shown.seconds[0].max(shown.seconds[1]);
        for (span, d) in spans.iter().zip(&view.dispatches) {
            let expected = 600.0 * d.seconds / longest;
            assert!((f64::from(span.span()) - expected).abs() < 0.01);
        }
        let (there, back) = spans.split_at(shown.turn);
        assert!(there.windows(2).all(|w| (w[0].max - w[1].min).abs() < 0.01));
        assert!(back.windows(2).all(|w| (w[0].min - w[1].max).abs() < 0.01));
        assert!((there[shown.turn - 1].max - 700.0).abs() < 0.01);
        let left = if pass == ProfilePass::Step {
            assert!((back[0].max - 700.0).abs() < 0.01);
            back[back.len() - 1].min
        } else {
            assert!(back.is_empty());
            there[0].min
        };
        assert!(
            (left - 100.0).abs() < 0.01,
            "the longer row is as wide as it can be"
        );
    }
}

#[test]
fn a_block_of_the_strip_is_selected_by_a_click_and_by_the_keyboard() {
    let (mut room, _) = profiled(ProfilePass::Step);
    let label = |room: &Room, name: &str, way: Direction| {
        let shown = shown(room);
        let part = (shown.parts.iter()).find(|p| p.name == name && p.direction == way);
        let seconds = part.expect(name).seconds;
        words::part(name, way.word(), seconds, seconds / shown.profile.total_s)
    };
    let selected = |room: &Room| {
        let stage = room.state();
        stage.room.address(&stage.shared)[0].clone()
    };
    let name = "up_blocks.2.resnets.0";
    let bar = label(&room, name, Direction::Backward);
    room.get_by_role_and_label(Role::Button, &bar).click();
    room.run();
    assert_eq!(selected(&room), ("block", name.to_owned()));
    // What of the time is this block's is told beside it.
    room.get_by_label(words::TIME_OF_BLOCK);
    room.get_by_label("conv3x3:backward_weight");

    let name = "down_blocks.1.resnets.0";
    let bar = label(&room, name, Direction::Forward);
    room.get_by_role_and_label(Role::Button, &bar).focus();
    room.run();
    room.key_press(egui::Key::Enter);
    room.run();
    assert_eq!(selected(&room), ("block", name.to_owned()));
    // What belongs to no block is no button.
    let update = label(&room, "optimiser", Direction::Update);
    room.get_by_role_and_label(Role::Label, &update);
}

#[test]
fn the_pointer_reads_a_kernel() {
    let (mut room, view) = profiled(ProfilePass::Step);
    let band = room.get_by_role_and_label(Role::Image, words::KERNELS_BAND[1]);
    let rect = band.rect();
    // The first on the way back, which lies at the right.
    let first = turn_of(&view.dispatches);
    assert_eq!(view.dispatches[first].layer, "conv_out.conv1 (backward)");
    room.hover_at(egui::pos2(rect.right() - 0.5, rect.center().y));
    room.run_steps(40);
    let d = &view.dispatches[first];
    room.get_by_label(&d.layer);
    room.get_by_label(&words::flops(d.flops));
    room.get_by_label(&words::with_share(
        &words::time(d.seconds),
        d.seconds / shown(&room).profile.total_s,
    ));
}

#[test]
fn totals_are_those_of_the_profile() {
    let (room, view) = profiled(ProfilePass::Step);
    let total: f64 = view.dispatches.iter().map(|d| d.seconds).sum();
    let flops: u64 = view.dispatches.iter().map(|d| d.flops).sum();
    room.get_by_label("Training step, 4 images");
    room.get_by_label(&words::time(total));
    room.get_by_label(&words::time(total / 4.0));
    room.get_by_label(&words::gflops(flops as f64 / total));
    room.get_by_label(&words::percent(flops as f64 / total / PRODUCT));
    let norms: f64 = (view.dispatches.iter())
        .filter(|d| d.kind == KernelKind::Norm)
        .map(|d| d.seconds)
        .sum();
    room.get_by_label(&words::kind_share(KernelKind::Norm, norms / total));
    room.get_by_label("layers/conv3x3:backward_weight");
    let alive = view.dispatches.iter().map(|d| d.alive).max().unwrap();
    room.get_by_label(&words::bytes(alive));
    let status = room.state().room.status();
    assert_eq!(status["profile"]["shown"]["images"], 4);
    assert_eq!(status["profile"]["running"], false);
}

#[test]
fn a_profile_goes_with_its_network() {
    let (mut room, _) = profiled(ProfilePass::Step);
    room.state().tell(Event::Model(Arc::new(ModelInfo {
        name: "the same network with other weights".into(),
        ..info(1)
    })));
    room.run();
    room.get_by_label(words::TIME);
    room.state().tell(Event::Model(Arc::new(info(0))));
    room.run();
    assert!(room.query_by_label(words::TIME).is_none());
}

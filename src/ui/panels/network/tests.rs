use std::sync::Arc;

use egui::{Role, Theme};
use egui_kittest::{Harness, kittest::Queryable as _};
use noiselab::{
    gpu::{Gpu, film::Film},
    session::{config::PRESETS, event::AttentionView, event::ModelInfo},
};

use super::*;
use crate::ui::panels::testing::{Stage, data, film, lit_stage, stage};

type Room = Harness<'static, Stage<Network>>;

pub fn info(preset: usize) -> ModelInfo {
    let config = (PRESETS[preset].make)(28, 1);
    ModelInfo {
        name: "digits".into(),
        unet: config.unet,
        scheduler: config.scheduler,
        parameters: 686_769,
    }
}

fn room() -> Room {
    let mut room = stage(Network::default(), [1000.0, 1800.0]);
    room.state().tell(Event::Model(Arc::new(info(1))));
    room.state().tell(Event::Data(data(28, 1, 3)));
    room.run();
    room
}

fn asked(room: &Room) -> Vec<ProbeRequest> {
    room.state()
        .sent()
        .into_iter()
        .filter_map(|c| match c {
            Command::Probe(request) => Some(request),
            _ => None,
        })
        .collect()
}

fn grey(gpu: &Arc<Gpu>, side: usize, tiles: usize) -> Film {
    let tile: Vec<f32> = (0..side * side)
        .map(|i| (i % 7) as f32 / 3.0 - 1.0)
        .collect();
    film(gpu, [side, side, 1], 4, &[vec![tile; tiles]])
}

/// The answer to a request: pictures of the right size in all blocks.
pub fn view(gpu: &Arc<Gpu>, request: &ProbeRequest) -> Event {
    let map = unet_map::describe(&info(1).unet).unwrap();
    let blocks = map
        .blocks
        .iter()
        .filter(|b| b.kind != MapKind::TimeEmbedding)
        .map(|b| BlockView {
            name: b.name.clone(),
            shape: b.output,
            film: grey(gpu, b.output[1], b.output[0].min(8)),
            gradient: request
                .gradients
                .then(|| grey(gpu, b.output[1], b.output[0].min(8))),
        })
        .collect();
    let n = 49;
    let attention = map
        .blocks
        .iter()
        .filter(|b| b.kind == MapKind::Attention)
        .map(|b| {
            // Head 0 of place i looks at i alone, head 1 everywhere.
            let mut weights = vec![0.0; 2 * n * n];
            for i in 0..n {
                weights[i * n + i] = 1.0;
                weights[n * n + i * n..][..n].fill(1.0 / n as f32);
            }
            AttentionView {
                name: b.name.clone(),
                size: [7, 7],
                heads: 2,
                weights: weights.into(),
            }
        })
        .collect();
    let wave = |n: usize| (0..n).map(|i| (i as f32).sin()).collect::<Vec<_>>().into();
    Event::Probe(Arc::new(ProbeView {
        request: request.clone(),
        io: grey(gpu, 28, 4),
        blocks,
        attention,
        embedding: [wave(16), wave(64)],
        mse: 0.0625,
    }))
}

/// A room that was answered.
fn answered() -> (Room, Arc<Gpu>) {
    let (mut room, gpu) = lit_stage(Network::default(), [1000.0, 1800.0], Theme::Dark);
    room.state().tell(Event::Model(Arc::new(info(1))));
    room.state().tell(Event::Data(data(28, 1, 3)));
    room.run();
    let request = asked(&room).remove(0);
    room.state().tell(view(&gpu, &request));
    room.run();
    (room, gpu)
}

fn block_label(name: &str) -> String {
    let map = unet_map::describe(&info(1).unet).unwrap();
    let block = &map.blocks[map.find(name).unwrap()];
    words::block(&block.name, block.kind, block.parameters)
}

#[test]
fn it_looks_at_the_first_image_until_another_is_chosen() {
    let room = room();
    let first = asked(&room);
    let [request] = &first[..] else {
        panic!("{first:?}");
    };
    let shared = &room.state().shared;
    let mut expected = vec![0.0; 784];
    shared
        .data
        .as_ref()
        .unwrap()
        .train
        .write_chw(0, &mut expected);
    assert_eq!(*request.picture.values, expected);
    assert_eq!((request.seed, request.t, request.gradients), (0, 1, false));
    assert_eq!(
        shared.time.t(),
        0,
        "t = 0 is the picture itself: nothing to predict"
    );
}

#[test]
fn one_request_at_a_time_and_then_the_latest() {
    let (mut room, gpu) = lit_stage(Network::default(), [1000.0, 1800.0], Theme::Dark);
    room.state().tell(Event::Model(Arc::new(info(1))));
    room.state().tell(Event::Data(data(28, 1, 3)));
    room.run();
    let first = asked(&room).remove(0);
    for t in [300, 400, 500] {
        room.state_mut().shared.time.set_t(t);
        room.run();
    }
    room.state_mut().shared.seed = 9;
    room.run();
    assert!(asked(&room).is_empty(), "the first is not answered yet");
    room.state().tell(view(&gpu, &first));
    room.run();
    let next = asked(&room);
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].t, next[0].seed), (500, 9));
    room.state().tell(view(&gpu, &next[0]));
    room.run();
    assert!(asked(&room).is_empty(), "nothing changed");

    let picture = Picture {
        channels: 1,
        height: 28,
        width: 28,
        values: vec![0.5; 784].into(),
    };
    room.state_mut().shared.picture = Some(picture.clone());
    room.run();
    let request = asked(&room).remove(0);
    assert_eq!(request.picture, picture);
    room.state().tell(Event::Failed {
        job: Job::Probe,
        message: "no".into(),
    });
    room.run();
    room.run();
    assert!(asked(&room).is_empty(), "what failed is not asked again");
    room.get_by_label("Look again").click();
    room.run();
    assert_eq!(asked(&room), [request], "unless the user wants it");
}

#[test]
fn a_picture_that_does_not_fit_is_not_sent() {
    let mut room = room();
    asked(&room);
    room.state_mut().room.asked = None;
    room.state_mut().shared.picture = Some(Picture {
        channels: 3,
        height: 32,
        width: 32,
        values: vec![0.0; 3072].into(),
    });
    room.run();
    assert!(asked(&room).is_empty());
    room.get_by_label_contains("3×32×32");
}

#[test]
fn gradients_are_asked_for_and_shown() {
    let (mut room, gpu) = answered();
    assert!(room.query_by_label(words::GRADIENT).is_none());
    room.get_by_label("Gradients").click();
    room.run();
    let request = asked(&room).remove(0);
    assert!(request.gradients);
    room.state().tell(view(&gpu, &request));
    room.run();
    assert!(room.query_all_by_label(words::GRADIENT).count() > 0);
}

#[test]
fn a_click_selects_a_block_and_the_skip_leads_to_its_other_end() {
    let (mut room, _gpu) = answered();
    let label = block_label("down_blocks.0.resnets.0");
    room.get_by_label(&label).click();
    room.run();
    assert_eq!(room.query_all_by_label("Residual block").count(), 1);
    room.get_by_label_contains("5,744 (0.8 %)");
    room.get_by_label_contains("16×28×28 → 16×28×28");
    room.get_by_role_and_label(Role::Link, "up_blocks.2.resnets.0")
        .click();
    room.run();
    let stage = room.state();
    let address = stage.room.address(&stage.shared);
    assert_eq!(address, [("block", "up_blocks.2.resnets.0".to_owned())]);
    room.get_by_label("down_blocks.0.resnets.0");
}

#[test]
fn attention_is_shown_from_the_chosen_place_by_the_chosen_head() {
    let (mut room, _gpu) = answered();
    room.get_by_label_contains("From row 4, column 4. Brightest: 51.0 %");
    room.get_by_role_and_label(Role::Button, "1").click();
    room.run();
    room.get_by_label_contains("Brightest: 100.0 %");
    room.get_by_role_and_label(Role::Button, "2").click();
    room.run();
    room.get_by_label_contains("Brightest: 2.0 %");
    room.get_by_role_and_label(Role::SpinButton, "Row")
        .set_value_accesskit(7.0);
    room.run();
    room.get_by_label_contains("From row 7, column 4");
    let picture = room.get_by_role_and_label(Role::Image, words::ATTENTION);
    let rect = picture.rect();
    picture.click();
    room.run();
    room.get_by_label_contains("From row 4, column 4");
    room.hover_at(rect.min + egui::vec2(4.0, 4.0));
    room.run();
    room.get_by_label_contains("From row 1, column 1");
}

#[test]
fn the_table_lists_every_block_with_its_figures() {
    let (mut room, _gpu) = answered();
    room.get_by_role_and_label(Role::Button, "Operations")
        .click();
    room.run();
    assert_eq!(room.state().room.measure, Measure::Flops);
    room.get_by_role_and_label(Role::Button, "Memory").click();
    room.run();
    assert_eq!(room.state().room.measure, Measure::Memory);
    room.get_by_label("Table").click();
    room.run();
    for block in unet_map::describe(&info(1).unet).unwrap().blocks {
        let row = room.get_by_role_and_label(Role::Button, &block.name);
        row.click();
    }
    room.run();
    room.get_by_role_and_label(Role::Button, "time_embedding")
        .click();
    room.run();
    room.get_by_role_and_label(Role::Image, words::EMBEDDING_PARTS[1]);
    room.get_by_label("Drawing").click();
    room.run();
    room.get_by_label(&block_label("conv_in"));
}

#[test]
fn the_source_of_a_block_is_shown() {
    let (mut room, _gpu) = answered();
    room.get_by_label("WGSL source").click();
    room.run();
    room.get_by_role_and_label(Role::ComboBox, words::SOURCE_FILE)
        .click();
    room.run();
    room.get_by_role_and_label(Role::Button, "layers/attention.wgsl")
        .click();
    room.run();
    let first = noiselab::gpu::shaders::find("layers/attention")
        .unwrap()
        .source
        .lines()
        .next()
        .unwrap();
    room.get_by_label_contains(first);
}

#[test]
fn another_network_is_drawn_anew() {
    let mut room = room();
    room.get_by_label(&block_label("up_blocks.2.resnets.0"));
    room.state().tell(Event::Model(Arc::new(info(0))));
    room.run();
    assert!(
        room.query_by_label(&block_label("up_blocks.2.resnets.0"))
            .is_none()
    );
    let mut broken = info(1);
    broken.unet.norm_num_groups = 7;
    room.state().tell(Event::Model(Arc::new(broken)));
    room.run();
    room.get_by_label_contains("norm_num_groups");
}

#[test]
fn an_address_selects_a_block_once_the_network_is_there() {
    let mut room = stage(Network::default(), [1000.0, 1800.0]);
    let stage = room.state_mut();
    let value = "mid_block.resnets.1";
    stage.room.set_address("block", value, &mut stage.shared);
    assert_eq!(
        stage.room.address(&stage.shared),
        [("block", value.to_owned())]
    );
    room.state().tell(Event::Model(Arc::new(info(1))));
    room.run();
    let stage = room.state_mut();
    assert_eq!(
        stage.room.address(&stage.shared),
        [("block", value.to_owned())]
    );
    stage
        .room
        .set_address("block", "nonsense", &mut stage.shared);
    room.run();
    let stage = room.state();
    assert_eq!(
        stage.room.address(&stage.shared),
        [("block", value.to_owned())]
    );
}

#[test]
fn formulas_can_be_typeset() {
    for kind in MapKind::ALL {
        for formula in kind.formulas() {
            crate::ui::widgets::math::check(formula).unwrap_or_else(|e| panic!("{formula}: {e}"));
        }
        let text = words::purpose(kind);
        assert_eq!(text.matches('$').count() % 2, 0, "{text}");
    }
}

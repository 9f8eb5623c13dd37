//! The session as an interface drives it: commands in, events out.

use std::sync::Arc;

use noiselab::{
    data::{self, LoadOptions},
    gpu::{
        AdapterChoice, Gpu,
        film::{Film, FilmPixels, FilmRead},
    },
    nn::{
        profile::{KernelKind, Timed},
        unet_map,
    },
    session::{
        command::{
            Command, DataChoice, ExportKind, ExportRequest, ForwardRequest, ModelChoice, Picture,
            PreviewSettings, ProbeRequest, ProfilePass, ProfileRequest, ReverseRequest,
            SamplerChoice, StopAt, TrainCommand, TrainSpec,
        },
        config,
        event::{
            Event, Job, ProfileEvent, ProfileStage, ProfileView, ReverseEvent, TrainEvent,
            TrainStatus,
        },
        live::{Pumped, Session},
        pipeline::Pipeline,
        sampling::{SampleRequest, SampleRun},
    },
};

fn open() -> (Arc<Gpu>, Session) {
    let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
    let session = Session::new(&gpu);
    (gpu, session)
}

/// Pumps until an event is what is looked for; panics on a failure or when nothing is left to do.
fn until<T>(session: &mut Session, mut look: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        let pumped = session.pump();
        for event in session.take_events() {
            if let Some(found) = look(&event) {
                return found;
            }
            if let Event::Failed { message, .. } | Event::DeviceLost { message } = event {
                panic!("{message}");
            }
        }
        match pumped {
            Pumped::Idle => panic!("the session has nothing to do and has not answered"),
            Pumped::Waiting => session.wait(),
            Pumped::Busy => {}
        }
    }
}

/// The next failure.
fn failure(session: &mut Session) -> (Job, String) {
    for _ in 0..1000 {
        session.pump();
        for event in session.take_events() {
            if let Event::Failed { job, message } = event {
                return (job, message);
            }
        }
    }
    panic!("nothing failed");
}

fn pixels(gpu: &Gpu, film: &Film) -> FilmPixels {
    let mut read = FilmRead::start(gpu, film).expect("a copy");
    loop {
        gpu.wait();
        if let Some(pixels) = read.poll(gpu).expect("a readback") {
            return pixels;
        }
    }
}

/// A digit, as the network knows them.
fn picture() -> Picture {
    let mnist = data::open("mnist", &LoadOptions::default()).expect("the digits");
    Picture::of(&mnist.test, 0).expect("a digit")
}

#[test]
fn the_forward_process_mixes_the_picture_with_noise() {
    let (gpu, mut session) = open();
    let request = |t| ForwardRequest {
        picture: picture(),
        seed: 3,
        timesteps: 1000,
        schedules: ["linear".into(), "squaredcos_cap_v2".into()],
        t,
        strip: 5,
    };
    let mut frames = |t| {
        session.handle(Command::Forward(request(t)));
        let view = until(&mut session, |e| match e {
            Event::Forward(view) => Some(Arc::clone(view)),
            _ => None,
        });
        assert_eq!(view.strip, [0, 250, 500, 750, 1000]);
        (pixels(&gpu, &view.film), view)
    };
    let grey = |p: &FilmPixels, layer: usize, tile: usize| -> Vec<f32> {
        let at = |i: usize| 4 * ((i / 28) * p.width + tile * 28 + i % 28);
        (0..784)
            .map(|i| f32::from(p.layers[layer][at(i)]))
            .collect()
    };
    let (clean, view) = frames(0);
    for (found, x0) in grey(&clean, 0, 0).iter().zip(picture().values.iter()) {
        assert!((found - (x0 * 0.5 + 0.5) * 255.0).abs() <= 1.0);
    }
    assert!((view.histograms[0].mean - picture().values.iter().sum::<f32>() / 784.0).abs() < 1e-4);
    let (noisy, view) = frames(500);
    assert_eq!(
        grey(&noisy, 0, 0),
        grey(&noisy, 0, 3),
        "x_t is the strip's middle"
    );
    assert_ne!(
        grey(&noisy, 0, 0),
        grey(&noisy, 1, 0),
        "the schedules differ"
    );
    // Half way the linear schedule has much less of the picture left.
    let shares = view.histograms.each_ref().map(|h| h.deviation);
    assert!((shares[0] - 1.0).abs() < 0.08, "{shares:?}");
    let (end, view) = frames(1000);
    assert!(
        view.histograms[1].mean.abs() < 0.1 && (view.histograms[1].deviation - 1.0).abs() < 0.1
    );
    assert_ne!(grey(&end, 0, 0), grey(&noisy, 0, 0));
}

#[test]
fn the_reverse_process_is_that_of_the_command_line_and_is_filmed() {
    let (gpu, mut session) = open();
    session.handle(Command::OpenModel(ModelChoice::Pretrained { files: None }));
    let choice = |sampler: &str| SamplerChoice {
        sampler: sampler.into(),
        steps: 3,
        eta: 0.0,
    };
    session.handle(Command::Reverse(ReverseRequest {
        seed: 5,
        count: 2,
        runs: vec![choice("ddpm"), choice("ddim")],
    }));
    let pipeline = Pipeline::pretrained().expect("the weights");
    let weights = pipeline.upload(&gpu).expect("weights");
    for (n, sampler) in ["ddpm", "ddim"].into_iter().enumerate() {
        let (films, frames) = until(&mut session, |e| match e {
            Event::Reverse(ReverseEvent::Started {
                run, films, frames, ..
            }) if *run == n => Some((films.clone(), Arc::clone(frames))),
            _ => None,
        });
        let t: Vec<usize> = frames.iter().map(|f| f.t).collect();
        assert_eq!(t, [667, 334, 1, 0]);
        let images = until(&mut session, |e| match e {
            Event::Reverse(ReverseEvent::Done {
                run,
                images,
                evaluations: 6,
                ..
            }) if *run == n => Some(Arc::clone(images)),
            _ => None,
        });
        let request = SampleRequest {
            count: 2,
            sampler: sampler.into(),
            steps: 3,
            eta: 0.0,
            seed: 5,
            batch: 2,
        };
        let mut run = SampleRun::new(&gpu, &pipeline.unet, &pipeline.scheduler, &weights, request)
            .expect("a run");
        assert!(run.run(|_, _| true).expect("images"));
        assert_eq!(&images[..], run.images(), "{sampler}");
        let film = pixels(&gpu, &films.x);
        let last = &film.layers[3];
        for (i, x) in images[..784].iter().enumerate() {
            let at = 4 * ((i / 28) * film.width + i % 28);
            let expected = (x * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0;
            assert!((f32::from(last[at]) - expected).abs() <= 1.0);
        }
    }
    for (kind, sample, size) in [
        (ExportKind::Picture, None, (2 * 28 * 3, 28 * 3)),
        (ExportKind::Filmstrip, Some(1), (4 * 28 * 3 + 3 * 4, 28 * 3)),
        (ExportKind::Animation, Some(0), (28 * 3, 28 * 3)),
    ] {
        session.handle(Command::Export(ExportRequest {
            run: 0,
            sample,
            kind,
            scale: 3,
        }));
        let (name, bytes) = until(&mut session, |e| match e {
            Event::File { name, bytes } => Some((name.clone(), Arc::clone(bytes))),
            _ => None,
        });
        let picture = image::load_from_memory(&bytes).expect(&name);
        assert_eq!((picture.width(), picture.height()), size, "{name}");
    }
}

#[test]
fn the_probe_shows_every_block_and_where_attention_looks() {
    let (gpu, mut session) = open();
    session.handle(Command::OpenModel(ModelChoice::Pretrained { files: None }));
    let mut probe = |t, gradients| {
        session.handle(Command::Probe(ProbeRequest {
            picture: picture(),
            seed: 1,
            t,
            gradients,
        }));
        until(&mut session, |e| match e {
            Event::Probe(view) => Some(Arc::clone(view)),
            _ => None,
        })
    };
    let view = probe(300, true);
    let names: Vec<&str> = view.blocks.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"conv_in"));
    assert_eq!(names.last(), Some(&"conv_out"));
    assert!(names.contains(&"mid_block.attentions.0"));
    let lit = |film: &Film| {
        let bytes = pixels(&gpu, film).layers.concat();
        bytes.chunks(4).filter(|p| p[0] > 60 || p[2] > 60).count()
    };
    for block in &view.blocks {
        assert!(lit(&block.film) > 20, "{} is dark", block.name);
        let gradient = block.gradient.as_ref().expect("a gradient");
        assert!(lit(gradient) > 20, "the gradient of {} is dark", block.name);
    }
    assert_eq!(view.attention.len(), 4);
    for layer in &view.attention {
        let n = layer.size[0] * layer.size[1];
        assert_eq!(layer.weights.len(), layer.heads * n * n);
        for row in layer.weights.chunks(n) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        }
    }
    let width = Pipeline::pretrained().expect("the weights").unet;
    let width = width.block_out_channels[0];
    assert_eq!(view.embedding[0].len(), width);
    assert_eq!(view.embedding[1].len(), 4 * width);
    let io = pixels(&gpu, &view.io);
    let tile = |p: &FilmPixels, n: usize| -> Vec<u8> {
        (0..784)
            .map(|i| p.layers[0][4 * ((i / 28) * p.width + n * 28 + i % 28)])
            .collect()
    };
    // The network sees the noise: its prediction is much nearer to it than zero is.
    let error = |a: &[u8], b: &[f32]| -> f32 {
        a.iter()
            .zip(b)
            .map(|(a, b)| (f32::from(*a) - b).powi(2))
            .sum()
    };
    let noise: Vec<f32> = tile(&io, 1).iter().map(|&b| f32::from(b)).collect();
    assert!(error(&tile(&io, 2), &noise) < 0.3 * error(&[128; 784], &noise));
    let later = probe(900, false);
    assert!(later.blocks.iter().all(|b| b.gradient.is_none()));
    assert_ne!(later.embedding[0], view.embedding[0]);
    // These weights predict the image.
    assert!(
        later.mse > view.mse,
        "an image under more noise is harder to tell"
    );
}

fn spec() -> TrainSpec {
    let mut config = (config::preset("tiny").expect("the preset").make)(28, 1);
    config.dataset = "mnist".into();
    config.batch = 4;
    config.lr.warmup_steps = 5;
    TrainSpec {
        config,
        preview: PreviewSettings {
            every: 4,
            count: 1,
            steps: 2,
            seed: 0,
        },
        stop: StopAt {
            steps: Some(8),
            ..StopAt::default()
        },
        memory_budget: None,
    }
}

fn mnist() -> Command {
    Command::OpenData(DataChoice::BuiltIn {
        name: "mnist".into(),
        asset: None,
    })
}

/// The losses until training rests, and the grids' steps.
fn train_on(session: &mut Session) -> (Vec<(u64, f32)>, Vec<u64>) {
    let (mut losses, mut grids) = (Vec::new(), Vec::new());
    until(session, |e| {
        match e {
            Event::Train(TrainEvent::Step(report, figures)) => {
                losses.push((report.step, report.loss));
                assert!(figures.device_bytes > 1_000_000);
            }
            Event::Train(TrainEvent::Preview(preview)) => {
                assert_ne!(preview.raw, preview.averaged);
                grids.push(preview.step);
            }
            Event::Train(TrainEvent::Status(TrainStatus::Paused(_))) => return Some(()),
            _ => {}
        }
        None
    });
    (losses, grids)
}

#[test]
fn training_stops_saves_and_goes_on_as_if_it_had_not() {
    let (gpu, mut session) = open();
    session.handle(mnist());
    session.handle(Command::Train(TrainCommand::Start(Box::new(spec()))));
    let (whole, grids) = train_on(&mut session);
    assert_eq!(
        whole.iter().map(|l| l.0).collect::<Vec<_>>(),
        (1..=8).collect::<Vec<_>>()
    );
    assert_eq!(grids, [4, 8]);

    let mut half = spec();
    half.stop.steps = Some(5);
    session.handle(Command::Train(TrainCommand::Start(Box::new(half))));
    let (first, _) = train_on(&mut session);
    assert_eq!(first[..], whole[..5]);
    session.handle(Command::Train(TrainCommand::Save { auto: true }));
    let bytes = until(&mut session, |e| match e {
        Event::Train(TrainEvent::Saved {
            step: 5,
            bytes,
            auto: true,
        }) => Some(Arc::clone(bytes)),
        _ => None,
    });
    drop(session);

    // In another session, with the checkpoint there before the data.
    let mut session = Session::new(&gpu);
    session.handle(Command::Train(TrainCommand::Restore(Arc::clone(&bytes))));
    let (step, history, preview) = until(&mut session, |e| match e {
        Event::Train(TrainEvent::Opened {
            step,
            history,
            preview,
            ..
        }) => Some((*step, history.len(), *preview)),
        _ => None,
    });
    assert_eq!((step, history, preview), (5, 5, spec().preview));
    session.handle(Command::Train(TrainCommand::StopAt(StopAt {
        steps: Some(8),
        ..StopAt::default()
    })));
    session.handle(Command::Train(TrainCommand::Resume));
    let mut rest = Vec::new();
    until(&mut session, |e| {
        if let Event::Train(TrainEvent::Step(report, _)) = e {
            rest.push((report.step, report.loss));
        }
        (rest.len() == 3).then_some(())
    });
    assert_eq!(rest[..], whole[5..], "bit for bit");

    // Damage is told, and the run stays.
    let cut = bytes[..bytes.len() / 2].to_vec();
    session.handle(Command::Train(TrainCommand::Restore(cut.into())));
    let (job, message) = failure(&mut session);
    assert_eq!(job, Job::Training);
    assert!(message.contains("the checkpoint"), "{message}");
    session.handle(Command::Train(TrainCommand::Step));
    let next = until(&mut session, |e| match e {
        Event::Train(TrainEvent::Step(report, _)) => Some(report.step),
        _ => None,
    });
    assert_eq!(next, 9);
}

#[test]
fn a_memory_budget_decides_on_checkpointing_and_a_run_that_does_not_fit_is_refused() {
    let (gpu, mut session) = open();
    session.handle(mnist());
    let with = |budget: u64| {
        let memory_budget = Some(budget);
        Box::new(TrainSpec {
            memory_budget,
            ..spec()
        })
    };
    session.handle(Command::Train(TrainCommand::Plan(with(u64::MAX))));
    let planned = |event: &Event| match event {
        Event::Train(TrainEvent::Planned(plan)) => Some(plan.clone().expect("a plan")),
        _ => None,
    };
    let ample = until(&mut session, planned);
    assert!(ample.fits() && ample.checkpointed.is_none());
    session.handle(Command::Train(TrainCommand::Plan(with(ample.whole - 1))));
    let tight = until(&mut session, planned);
    assert!(tight.fits() && tight.checkpointed.is_some());

    let opened = |event: &Event| match event {
        Event::Train(TrainEvent::Opened { config, .. }) => Some(config.checkpoint_activations),
        _ => None,
    };
    for (budget, peak, checkpointed) in [
        (ample.whole, ample.peak(), false),
        (ample.whole - 1, tight.peak(), true),
    ] {
        session.handle(Command::Train(TrainCommand::Close));
        gpu.restart_peak();
        session.handle(Command::Train(TrainCommand::Start(with(budget))));
        assert_eq!(until(&mut session, opened), checkpointed);
        train_on(&mut session);
        session.handle(Command::Train(TrainCommand::Save { auto: true }));
        until(&mut session, |event| match event {
            Event::Train(TrainEvent::Saved { .. }) => Some(()),
            _ => None,
        });
        assert!(gpu.peak_bytes() <= peak, "{} {peak}", gpu.peak_bytes());
    }
    session.handle(Command::Train(TrainCommand::Start(with(tight.peak() - 1))));
    let (job, message) = failure(&mut session);
    assert_eq!(job, Job::Training);
    assert!(message.contains("would fit"), "{message}");
    // The run that was there is there still.
    session.handle(Command::Train(TrainCommand::Step));
    until(&mut session, |event| match event {
        Event::Train(TrainEvent::Step(report, _)) => Some(report.step),
        _ => None,
    });
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let (_, mut session) = open();
    session.handle(Command::Train(TrainCommand::Start(Box::new(spec()))));
    assert!(failure(&mut session).1.contains("no data set to train on"));
    session.handle(Command::Reverse(ReverseRequest {
        seed: 0,
        count: 1,
        runs: vec![SamplerChoice {
            sampler: "ddim".into(),
            steps: 5,
            eta: 0.0,
        }],
    }));
    assert!(failure(&mut session).1.contains("no model"));
    session.handle(Command::Export(ExportRequest {
        run: 0,
        sample: None,
        kind: ExportKind::Picture,
        scale: 1,
    }));
    assert_eq!(failure(&mut session).0, Job::Export);
    session.handle(Command::OpenModel(ModelChoice::Folder(
        "/nowhere/at/all".into(),
    )));
    assert!(failure(&mut session).1.contains("/nowhere/at/all"));
    session.handle(Command::Forward(ForwardRequest {
        picture: picture(),
        seed: 0,
        timesteps: 0,
        schedules: ["linear".into(), "nonsense".into()],
        t: 0,
        strip: 3,
    }));
    assert_eq!(failure(&mut session).0, Job::Forward);
    assert_eq!(session.pump(), Pumped::Idle, "the session lives on");
}

/// The profile that a session makes, and its stages.
fn profile(
    session: &mut Session,
    request: ProfileRequest,
) -> (Arc<ProfileView>, Vec<ProfileStage>) {
    session.handle(Command::Profile(request));
    let mut stages = Vec::new();
    let view = until(session, |event| match event {
        Event::Profile(ProfileEvent::Done(view)) => Some(Arc::clone(view)),
        Event::Profile(ProfileEvent::Progress { stage, .. }) => {
            stages.push(*stage);
            None
        }
        _ => None,
    });
    (view, stages)
}

#[test]
fn a_profile_times_every_kernel_and_leaves_the_run_in_training_alone() {
    let (gpu, mut session) = open();
    let step = ProfileRequest {
        pass: ProfilePass::Step,
        batch: 2,
    };
    session.handle(Command::Profile(step));
    let (job, message) = failure(&mut session);
    assert_eq!(job, Job::Profile);
    assert!(message.contains("open a model"), "{message}");

    session.handle(mnist());
    session.handle(Command::Train(TrainCommand::Start(Box::new(spec()))));
    let (whole, _) = train_on(&mut session);
    let mut half = spec();
    half.stop.steps = Some(5);
    session.handle(Command::Train(TrainCommand::Start(Box::new(half))));
    train_on(&mut session);
    let averaged = false;
    session.handle(Command::OpenModel(ModelChoice::Training { averaged }));
    let before = gpu.allocated_bytes();
    let (view, stages) = profile(&mut session, step);
    assert!(stages.contains(&ProfileStage::Roofline), "{stages:?}");
    assert_eq!(gpu.allocated_bytes(), before, "its memory is given back");
    assert_eq!((view.request, &view.unet), (step, &spec().config.unet));
    assert!(view.way_s < 0.1, "{}", view.way_s);
    assert!(view.roofline.flops_per_s > 0.0 && view.roofline.bytes_per_s > 0.0);
    let map = unet_map::describe(&view.unet).expect("a map");
    for d in &view.dispatches {
        assert!(d.seconds > 0.0 && d.seconds < 5.0, "{d:?}");
        let layer = d.layer.strip_suffix(" (backward)").unwrap_or(&d.layer);
        let known = ["batch", "loss", "sums of gradients", "optimiser"].contains(&layer);
        assert!(known != map.find(layer).is_some(), "{d:?}");
    }
    let kinds = |kind| {
        view.dispatches
            .iter()
            .filter(move |d| d.kind == kind)
            .count()
    };
    for kind in KernelKind::ALL {
        assert!(kinds(kind) > 0, "{kind:?}");
    }
    assert!(view.dispatches.iter().any(|d| d.alive > 0));

    let evaluation = ProfileRequest {
        pass: ProfilePass::Evaluation,
        batch: 2,
    };
    let (view, stages) = profile(&mut session, evaluation);
    assert!(!stages.contains(&ProfileStage::Roofline), "{stages:?}");
    let backward = |d: &&Timed| d.layer.ends_with("(backward)") || d.layer == "loss";
    assert_eq!(view.dispatches.iter().find(backward), None);

    // One that is stopped, and then the run goes on as if there had been none.
    session.handle(Command::Profile(step));
    for _ in 0..5 {
        session.pump();
    }
    session.handle(Command::StopProfile);
    assert_eq!(gpu.allocated_bytes(), before);
    session.handle(Command::Train(TrainCommand::StopAt(StopAt {
        steps: Some(8),
        ..StopAt::default()
    })));
    session.handle(Command::Train(TrainCommand::Resume));
    let (rest, _) = train_on(&mut session);
    assert_eq!(rest[..], whole[5..]);
}

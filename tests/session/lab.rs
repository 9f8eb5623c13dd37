//! The 2-D lab as an interface drives it: commands in, events out.

use std::{collections::VecDeque, sync::Arc};

use noiselab::{
    data::points::{Distribution, Point},
    diffusion::sampler::SAMPLERS,
    gpu::{AdapterChoice, Gpu},
    session::{
        command::{Command, StopAt},
        event::{Event, Job, TrainStatus},
        lab::{
            EXTENT, PRESETS,
            command::{
                Denoiser, ErrorsRequest, FieldRequest, LabCommand, LabForward, LabReverse, LabRun,
                LabStage, LabTrain, LabTrainSpec, LikelihoodRequest, PathsRequest,
            },
            event::{
                FieldView, LabEvent, LabForwardView, LabReverseEvent, LabTrainEvent, Merit,
                MiniPoint, StageView,
            },
            stage::{Stage, grid},
        },
        live::{Pumped, Session},
    },
};

use crate::support::{fail, succeed, text};

struct Lab {
    gpu: Arc<Gpu>,
    session: Session,
    events: VecDeque<Event>,
}

impl Lab {
    fn new() -> Self {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        Self {
            session: Session::new(&gpu),
            gpu,
            events: VecDeque::new(),
        }
    }

    fn send(&mut self, command: LabCommand) {
        self.session.handle(Command::Lab(command));
    }

    /// The next event of the lab that is looked for.
    fn until<T>(&mut self, mut look: impl FnMut(&LabEvent) -> Option<T>) -> T {
        loop {
            while let Some(event) = self.events.pop_front() {
                match &event {
                    Event::Lab(event) => {
                        if let Some(found) = look(event) {
                            return found;
                        }
                    }
                    Event::Failed { message, .. } | Event::DeviceLost { message } => {
                        panic!("{message}")
                    }
                    _ => {}
                }
            }
            let pumped = self.session.pump();
            self.events.extend(self.session.take_events());
            match pumped {
                Pumped::Waiting => self.session.wait(),
                Pumped::Idle if self.events.is_empty() => panic!("no answer"),
                Pumped::Busy | Pumped::Idle => {}
            }
        }
    }

    /// Everything until there is nothing left to do.
    fn rest(&mut self) -> Vec<Event> {
        let mut all: Vec<Event> = self.events.drain(..).collect();
        loop {
            let pumped = self.session.pump();
            all.extend(self.session.take_events());
            match pumped {
                Pumped::Waiting => self.session.wait(),
                Pumped::Busy => {}
                Pumped::Idle => return all,
            }
        }
    }

    fn stage(&mut self, stage: LabStage) -> Arc<StageView> {
        self.send(LabCommand::Stage(Box::new(stage)));
        self.until(|e| match e {
            LabEvent::Stage(view) => Some(Arc::clone(view)),
            _ => None,
        })
    }

    fn forward(&mut self, t: usize, compare: Option<&str>) -> Arc<LabForwardView> {
        let compare = compare.map(str::to_owned);
        self.send(LabCommand::Forward(LabForward { t, compare }));
        self.until(|e| match e {
            LabEvent::Forward(view) if view.request.t == t => Some(Arc::clone(view)),
            _ => None,
        })
    }

    fn field(&mut self, t: usize, side: usize, denoiser: Denoiser) -> Arc<FieldView> {
        self.send(LabCommand::Field(FieldRequest { t, side, denoiser }));
        self.until(|e| match e {
            LabEvent::Field(view) if view.request.denoiser == denoiser => Some(Arc::clone(view)),
            _ => None,
        })
    }

    fn train(&mut self, spec: LabTrainSpec) {
        self.send(LabCommand::Train(LabTrain::Start(Box::new(spec))));
    }

    fn until_paused(&mut self) -> Vec<(u64, f32)> {
        let mut losses = Vec::new();
        self.until(|e| match e {
            LabEvent::Train(LabTrainEvent::Step(report, _)) => {
                losses.push((report.step, report.loss));
                None
            }
            LabEvent::Train(LabTrainEvent::Status(TrainStatus::Paused(_))) => Some(()),
            _ => None,
        });
        losses
    }
}

fn stage() -> LabStage {
    PRESETS[0].stage(Distribution::BuiltIn("eight_gaussians".into()), 500, 3)
}

fn spec(steps: u64) -> LabTrainSpec {
    let mut spec = (PRESETS[0].train)();
    spec.network.width = 32;
    spec.network.blocks = 2;
    spec.batch = 64;
    spec.merit_every = 0;
    spec.stop = StopAt {
        steps: Some(steps),
        ..StopAt::default()
    };
    spec
}

fn exact(sampler: &str, steps: usize) -> LabRun {
    LabRun {
        sampler: sampler.into(),
        steps,
        eta: 0.0,
        denoiser: Denoiser::Exact,
    }
}

#[test]
fn the_stage_and_the_forward_process() {
    let mut lab = Lab::new();
    let asked = stage();
    let view = lab.stage(asked.clone());
    assert_eq!(view.stage, asked);
    assert_eq!((view.modes.len(), view.support.len()), (8, 8));
    assert!(view.trails.iter().all(|t| t.len() == StageView::TRAIL));
    // A trail begins at a particle and ends in noise.
    let known = Stage::open(asked).expect("a stage");
    for (trail, x0) in view.trails.iter().zip(known.particles()) {
        assert_eq!(trail[0], x0);
    }
    let spread = |k: usize| {
        let square = |t: &Vec<Point>| t[k][0].powi(2) + t[k][1].powi(2);
        view.trails.iter().map(square).sum::<f32>() / (2 * view.trails.len()) as f32
    };
    assert!((spread(64) - 1.0).abs() < 0.25, "{}", spread(64));

    for (t, compare) in [(0, None), (300, Some("linear")), (1000, None)] {
        let view = lab.forward(t, compare);
        assert_eq!(view.density.len(), 1 + usize::from(compare.is_some()));
        let grid_of = &view.density[0];
        let cell = (2.0 * EXTENT / grid_of.side as f32).powi(2);
        let mass: f32 = grid_of.values.iter().sum::<f32>() * cell;
        assert!((mass - 1.0).abs() < 0.03, "t = {t}: {mass}");
        assert!((view.alpha_bar[0] - known.alpha_bar(t) as f32).abs() < 1e-6);
        let mixture = known.source.mixture();
        for (found, p) in grid_of.values.iter().zip(grid(grid_of.side)).step_by(97) {
            let truth = mixture.log_density(p, f64::from(view.alpha_bar[0])).exp() as f32;
            assert!(
                (found - truth).abs() < 2e-4 * (1.0 + truth),
                "{found} {truth}"
            );
        }
        if compare.is_some() {
            assert!(
                view.alpha_bar[0] > view.alpha_bar[1],
                "the cosine is slower"
            );
        }
    }
    assert!(lab.gpu.check().is_ok());
}

#[test]
fn the_exact_field_is_that_of_the_cpu() {
    let mut lab = Lab::new();
    lab.stage(stage());
    let known = Stage::open(stage()).expect("a stage");
    for t in [1, 200, 1000] {
        let view = lab.field(t, 9, Denoiser::Exact);
        assert!(view.learned.is_none() && view.relative_error.is_none());
        let bar = known.alpha_bar(t);
        for (found, p) in view.exact.values.iter().zip(grid(9)) {
            let truth = known.source.mixture().eps(p, bar);
            for c in 0..2 {
                let (found, truth) = (f64::from(found[c]), truth[c]);
                let near = 2e-3 * (1.0 + truth.abs());
                assert!(
                    (found - truth).abs() < near,
                    "t = {t} at {p:?}: {found} {truth}"
                );
            }
        }
    }
}

#[test]
fn a_short_training_lowers_the_loss_and_brings_the_field_nearer() {
    let mut lab = Lab::new();
    lab.stage(stage());
    lab.train(spec(400));
    lab.send(LabCommand::Train(LabTrain::Pause));
    lab.until_paused();
    let before = lab.field(500, 8, Denoiser::Raw);
    lab.send(LabCommand::Train(LabTrain::Resume));
    let losses = lab.until_paused();
    assert_eq!(losses.last().expect("steps").0, 400);
    let mean = |part: &[(u64, f32)]| part.iter().map(|l| l.1).sum::<f32>() / part.len() as f32;
    let (first, last) = (mean(&losses[..20]), mean(&losses[losses.len() - 50..]));
    // What is left is the spread of v given x_t, which no network can know.
    assert!(last < 0.95 * first, "{first} {last}");
    let after = lab.field(500, 8, Denoiser::Learned);
    assert_eq!(after.step, 400);
    let (before, after) = (before.relative_error, after.relative_error);
    let (before, after) = (before.expect("a network"), after.expect("a network"));
    // A network that puts out nothing has ε̂ = √(1 − ᾱ) x_t, which is not all wrong.
    assert!(after < 0.2 && after < 0.6 * before, "{before} {after}");

    lab.send(LabCommand::Errors(ErrorsRequest {
        times: 5,
        side: 4,
        denoiser: Denoiser::Learned,
    }));
    let errors = lab.until(|e| match e {
        LabEvent::Errors(view) => Some(Arc::clone(view)),
        _ => None,
    });
    let times: Vec<usize> = errors.by_t.iter().map(|e| e.0).collect();
    assert_eq!(times, [1, 250, 500, 750, 1000]);
    assert_eq!(errors.maps.len(), 5);
    let middle = errors.by_t[2].1;
    assert!((middle - after).abs() < 1e-4, "{middle} {after}");
    let largest = errors.by_t.iter().skip(1).map(|e| e.1).fold(0.0, f32::max);
    assert!(errors.pooled > 0.0 && errors.pooled < 1.5 * largest);

    // The mini-batch of one step, and the pull of the gradient.
    lab.send(LabCommand::Train(LabTrain::Step));
    let (step, points): (u64, Arc<[MiniPoint]>) = lab.until(|e| match e {
        LabEvent::Train(LabTrainEvent::Batch { step, points }) => Some((*step, Arc::clone(points))),
        _ => None,
    });
    assert_eq!((step, points.len()), (401, 64));
    let known = Stage::open(stage()).expect("a stage");
    for p in points.iter() {
        let bar = known.alpha_bar(p.t) as f32;
        for c in 0..2 {
            let x_t = bar.sqrt() * p.x0[c] + (1.0 - bar).sqrt() * p.eps[c];
            assert!((x_t - p.x_t[c]).abs() < 1e-4, "{x_t} {p:?}");
            // A step down the mean squared error of v over 64 points of 2 numbers, as eps_hat moves by it.
            let pull = 2.0 * (p.eps[c] - p.eps_hat[c]) / 128.0;
            assert!((pull - p.pull[c]).abs() < 1e-5, "{pull} {p:?}");
        }
    }
}

#[test]
fn training_repeats_bit_for_bit() {
    let run = || {
        let mut lab = Lab::new();
        lab.stage(stage());
        lab.train(spec(12));
        lab.until_paused()
    };
    let first = run();
    assert_eq!(first.len(), 12);
    assert_eq!(first, run());
}

fn reverse(lab: &mut Lab, count: usize, runs: Vec<LabRun>) -> Vec<(Arc<[Point]>, Merit)> {
    let wanted = runs.len();
    lab.send(LabCommand::Reverse(LabReverse {
        seed: 5,
        count,
        runs,
    }));
    let mut out = Vec::new();
    let mut frames = 0;
    while out.len() < wanted {
        let done = lab.until(|e| match e {
            LabEvent::Reverse(LabReverseEvent::Started {
                cloud, frames: f, ..
            }) => {
                assert_eq!(cloud.layers(), f.len());
                frames = f.len();
                None
            }
            LabEvent::Reverse(LabReverseEvent::Done {
                run,
                samples,
                paths,
                merit,
                ..
            }) => Some((*run, Arc::clone(samples), Arc::clone(paths), merit.clone())),
            _ => None,
        });
        assert_eq!(done.0, out.len());
        assert!(done.2.iter().all(|p| p.len() == frames));
        // A path ends at its sample.
        for (path, sample) in done.2.iter().zip(done.1.iter()) {
            assert_eq!(path.last(), Some(sample));
        }
        out.push((done.1, done.3));
    }
    out
}

#[test]
fn with_the_exact_denoiser_the_samplers_reach_the_floor() {
    let mut lab = Lab::new();
    lab.stage(stage());
    // Those that add noise need smaller steps.
    let steps = |name| match name {
        "langevin" => 1000,
        "ddpm" => 250,
        _ => 50,
    };
    for sampler in SAMPLERS {
        let name = sampler.name;
        let runs = vec![exact(name, steps(name))];
        let (samples, merit) = reverse(&mut lab, 2000, runs).remove(0);
        assert_eq!((samples.len(), merit.samples), (2000, 2000), "{name}");
        let floor = merit.sliced_wasserstein_floor;
        assert!(
            floor > 0.0 && merit.sliced_wasserstein < 1.5 * floor,
            "{name}: {merit:?}"
        );
        assert!(merit.energy < 1.5 * merit.energy_floor, "{name}: {merit:?}");
        assert!(merit.astray < 0.02, "{name}: {merit:?}");
        for (found, truth) in &merit.modes {
            assert!((found - truth).abs() < 0.03, "{name}: {merit:?}");
        }
    }
    // A sampler with too few steps does not.
    let (_, merit) = reverse(&mut lab, 2000, vec![exact("ddpm", 3)]).remove(0);
    assert!(
        merit.sliced_wasserstein > 3.0 * merit.sliced_wasserstein_floor,
        "{merit:?}"
    );
}

#[test]
fn paths_of_the_ode_coincide_and_those_of_the_sde_fan_out() {
    let mut lab = Lab::new();
    lab.stage(stage());
    lab.send(LabCommand::Paths(PathsRequest {
        start: [0.4, -0.9],
        fan: 6,
        seed: 1,
        runs: vec![exact("ddim", 20), exact("ddpm", 200)],
    }));
    let view = lab.until(|e| match e {
        LabEvent::Paths(view) => Some(Arc::clone(view)),
        _ => None,
    });
    let [ode, sde] = view.paths.as_ref() else {
        panic!("{} runs", view.paths.len())
    };
    assert_eq!((ode.len(), ode[0].len()), (6, 21));
    assert_eq!((sde.len(), sde[0].len()), (6, 129));
    assert!(ode.iter().all(|p| p == &ode[0]));
    assert!(sde.iter().skip(1).all(|p| p != &sde[0]));
    for path in ode.iter().chain(sde) {
        assert_eq!(path[0], [0.4, -0.9]);
    }
}

#[test]
fn the_exact_density_has_the_likelihood_of_the_truth() {
    let mut lab = Lab::new();
    lab.stage(stage());
    lab.send(LabCommand::Likelihood(LikelihoodRequest {
        side: 24,
        steps: 60,
        denoiser: Denoiser::Exact,
    }));
    let view = lab.until(|e| match e {
        LabEvent::Likelihood(view) => Some(Arc::clone(view)),
        _ => None,
    });
    let truth = view.true_nll.expect("a closed form");
    assert!((view.nll - truth).abs() < 0.1, "{} {truth}", view.nll);
}

#[test]
fn another_stage_drops_what_the_last_one_had_not_answered() {
    let mut lab = Lab::new();
    lab.stage(stage());
    lab.train(spec(1000));
    lab.until(|e| matches!(e, LabEvent::Train(LabTrainEvent::Step(..))).then_some(()));
    lab.send(LabCommand::Forward(LabForward {
        t: 100,
        compare: None,
    }));
    lab.send(LabCommand::Reverse(LabReverse {
        seed: 0,
        count: 100,
        runs: vec![exact("ddim", 20)],
    }));
    let moons = LabStage {
        distribution: Distribution::BuiltIn("two_moons".into()),
        ..stage()
    };
    lab.send(LabCommand::Stage(Box::new(moons)));
    let rest = lab.rest();
    let staged = rest
        .iter()
        .position(|e| matches!(e, Event::Lab(LabEvent::Stage(_))))
        .expect("a stage");
    for event in &rest[staged + 1..] {
        assert!(
            !matches!(event, Event::Lab(_)),
            "after the new stage: {event:?}"
        );
    }
    assert!(rest[..staged].iter().any(|e| matches!(
        e,
        Event::Lab(LabEvent::Train(LabTrainEvent::Status(TrainStatus::None)))
    )));
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let mut lab = Lab::new();
    let mut failure = |command: LabCommand| {
        lab.send(command);
        let failed = lab.rest().into_iter().find_map(|e| match e {
            Event::Failed { job, message } => Some((job, message)),
            _ => None,
        });
        let (job, message) = failed.expect("a failure");
        assert_eq!(job, Job::Lab);
        message
    };
    let forward = LabForward {
        t: 1,
        compare: None,
    };
    assert!(failure(LabCommand::Forward(forward.clone())).contains("choose one first"));
    let nobody = LabStage {
        particles: 0,
        ..stage()
    };
    assert!(failure(LabCommand::Stage(Box::new(nobody))).contains("1 to 50000"));
    let unknown = LabStage {
        distribution: Distribution::BuiltIn("nothing".into()),
        ..stage()
    };
    assert!(failure(LabCommand::Stage(Box::new(unknown))).contains("eight_gaussians"));
    lab.stage(stage());
    let mut failure = |command: LabCommand| {
        lab.send(command);
        let failed = lab.rest().into_iter().find_map(|e| match e {
            Event::Failed { message, .. } => Some(message),
            _ => None,
        });
        failed.expect("a failure")
    };
    let learned = LabRun {
        denoiser: Denoiser::Learned,
        ..exact("ddim", 5)
    };
    let reverse = |run: LabRun| {
        LabCommand::Reverse(LabReverse {
            seed: 0,
            count: 10,
            runs: vec![run],
        })
    };
    assert!(failure(reverse(learned)).contains("start training"));
    assert!(failure(reverse(exact("euler", 5))).contains("ddpm"));
    assert!(failure(reverse(exact("ddim", 5000))).contains("1000"));
    let schedule = LabForward {
        t: 1,
        compare: Some("steep".into()),
    };
    assert!(failure(LabCommand::Forward(schedule)).contains("linear"));
    // The lab goes on.
    assert_eq!(lab.forward(10, None).request.t, 10);
}

#[test]
fn the_command_trains_draws_and_measures() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("lab");
    let printed = succeed(&[
        "lab2d",
        "--steps",
        "30",
        "--batch",
        "32",
        "--width",
        "16",
        "--samplers",
        "ddim,pf_ode",
        "--sampler-steps",
        "8",
        "--count",
        "200",
        "--likelihood-steps",
        "4",
        "--json",
        "--out",
        text(&out),
    ]);
    let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(json["training"]["steps"], 30);
    let samplers = json["samplers"].as_array().expect("samplers");
    let names: Vec<&str> = samplers
        .iter()
        .filter_map(|s| s["sampler"].as_str())
        .collect();
    assert_eq!(names, ["ddim", "pf_ode"]);
    for s in samplers {
        assert_eq!(
            (&s["evaluations"], &s["compared"]),
            (&8.into(), &200.into())
        );
        assert_eq!(s["modes"].as_array().map(Vec::len), Some(8));
        for key in [
            "sliced_wasserstein",
            "sliced_wasserstein_floor",
            "energy_distance",
        ] {
            assert!(s[key].as_f64().is_some_and(|v| v > 0.0), "{key} of {s}");
        }
    }
    assert!(
        json["relative_error"]["pooled"]
            .as_f64()
            .is_some_and(|v| v > 0.0)
    );
    let nll = |key: &str| json["likelihood"][key].as_f64().expect(key);
    assert!(nll("nll").is_finite() && nll("true_nll") > 0.0);
    for name in [
        "forward",
        "samples-ddim",
        "samples-pf_ode",
        "field",
        "differences",
        "density",
    ] {
        let picture = image::open(out.join(format!("{name}.png")))
            .expect(name)
            .to_rgb8();
        let first = picture.pixels().next().copied();
        assert!(
            picture.pixels().any(|p| Some(*p) != first),
            "{name} is empty"
        );
    }

    let table = dir.path().join("own.csv");
    std::fs::write(&table, "x,y\n1,2\n3,four\n-1,0.5\n2,NaN\n0,0\n").expect("a file");
    let exact = succeed(&[
        "lab2d",
        "--csv",
        text(&table),
        "--exact",
        "--samplers",
        "ddpm",
        "--sampler-steps",
        "20",
        "--count",
        "100",
        "--likelihood-steps",
        "0",
    ]);
    assert!(
        exact.contains("the exact denoiser") && exact.contains("ddpm"),
        "{exact}"
    );
    std::fs::write(&table, "x,y\n1,2\n").expect("a file");
    fail(&["lab2d", "--csv", text(&table), "--exact"]);
    fail(&[
        "lab2d",
        "--exact",
        "--count",
        "60000",
        "--likelihood-steps",
        "0",
    ]);
}

//! Reverse process: the same noise led down to images by two samplers, side by side.

mod controls;
mod grids;
mod path;

use std::sync::Arc;

use egui::Key;
use noiselab::{
    diffusion::sampler::SAMPLERS,
    session::{
        command::{Command, ModelChoice, ReverseRequest, SamplerChoice},
        event::{Event, Job, ReverseEvent, ReverseFilms, ReverseFrame, TrainEvent, TrainStatus},
    },
};

use crate::ui::{
    files::Ask, panel::Panel, shared::Shared, strings::reverse as words, theme, widgets,
};

/// Numbers of samples to choose from.
pub const COUNTS: [usize; 5] = [1, 4, 9, 16, 25];
/// As many at first.
const COUNT: usize = 16;
/// As many at first where the adapter computes on the CPU.
const COUNT_SOFTWARE: usize = 4;
/// Steps at most where no model says T.
const MOST_STEPS: usize = 1000;

/// Which model draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pick {
    Pretrained,
    TrainingAveraged,
    TrainingRaw,
    /// Opened elsewhere.
    Other,
    /// To be chosen by a dialog.
    Folder,
}

impl Pick {
    /// What opens it; `None` where a dialog does.
    const fn choice(self) -> Option<ModelChoice> {
        match self {
            Self::Pretrained => Some(ModelChoice::Pretrained { files: None }),
            Self::TrainingAveraged => Some(ModelChoice::Training { averaged: true }),
            Self::TrainingRaw => Some(ModelChoice::Training { averaged: false }),
            Self::Other | Self::Folder => None,
        }
    }
}

/// What stands beside x_t.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    X0Hat,
    EpsHat,
    Noise,
}

impl Beside {
    const ALL: [Self; 3] = [Self::X0Hat, Self::EpsHat, Self::Noise];

    const fn name(self) -> &'static str {
        match self {
            Self::X0Hat => words::X0_HAT,
            Self::EpsHat => words::EPS_HAT,
            Self::Noise => words::NOISE,
        }
    }

    const fn caption(self) -> &'static str {
        match self {
            Self::X0Hat => words::X0_HAT_CAPTION,
            Self::EpsHat => words::EPS_HAT_CAPTION,
            Self::Noise => words::NOISE_CAPTION,
        }
    }

    const fn film(self, films: &ReverseFilms) -> &noiselab::gpu::film::Film {
        match self {
            Self::X0Hat => &films.x0_hat,
            Self::EpsHat => &films.eps_hat,
            Self::Noise => &films.noise,
        }
    }

    /// Why there is nothing to see of a frame.
    fn missing(self, frame: &ReverseFrame) -> Option<&'static str> {
        if frame.steps_taken == 0 {
            return Some(words::NO_PREDICTION);
        }
        (self == Self::Noise && frame.sigma == 0.0).then_some(words::NO_NOISE)
    }
}

/// One run of the request that is shown.
#[derive(Debug)]
struct Run {
    choice: SamplerChoice,
    films: ReverseFilms,
    frames: Arc<[ReverseFrame]>,
    timesteps: usize,
    /// Frames that are there.
    arrived: usize,
    evaluations: usize,
    seconds: f64,
    done: bool,
}

impl Run {
    /// The frame nearest to t among those that are there.
    fn frame_at(&self, t: usize) -> Option<usize> {
        let there = &self.frames[..self.arrived.min(self.frames.len())];
        (0..there.len()).min_by_key(|&k| there[k].t.abs_diff(t))
    }

    fn newest_t(&self) -> Option<usize> {
        let last = self.arrived.min(self.frames.len()).checked_sub(1)?;
        Some(self.frames[last].t)
    }
}

/// The room.
#[derive(Debug)]
pub struct Reverse {
    pick: Pick,
    /// Asked for and not there yet.
    opening: Option<Pick>,
    /// A model was opened.
    opened: bool,
    /// There is a training run.
    training: bool,
    count: usize,
    /// The user or an address chose the count.
    count_chosen: bool,
    choices: [SamplerChoice; 2],
    /// Run B is on.
    compare: bool,
    beside: Beside,
    request: Option<Arc<ReverseRequest>>,
    runs: Vec<Run>,
    /// A request is being worked on.
    busy: bool,
    /// The time follows the newest frame, until the user moves it.
    following: bool,
    /// Where it was put last.
    followed_to: usize,
    /// Something was drawn with this model.
    drawn: bool,
    /// The sample whose path is shown.
    enlarged: Option<usize>,
}

impl Default for Reverse {
    fn default() -> Self {
        Self {
            pick: Pick::Pretrained,
            opening: None,
            opened: false,
            training: false,
            count: COUNT,
            count_chosen: false,
            choices: [
                SamplerChoice {
                    sampler: "ddim".into(),
                    steps: 50,
                    eta: 0.0,
                },
                SamplerChoice {
                    sampler: "ddpm".into(),
                    steps: 100,
                    eta: 0.0,
                },
            ],
            compare: true,
            beside: Beside::X0Hat,
            request: None,
            runs: Vec::new(),
            busy: false,
            following: false,
            followed_to: 0,
            drawn: false,
            enlarged: None,
        }
    }
}

impl Reverse {
    /// T of the model at hand.
    fn timesteps(shared: &Shared) -> usize {
        shared
            .model
            .as_ref()
            .map_or(MOST_STEPS, |m| m.scheduler.num_train_timesteps)
            .max(1)
    }

    /// What the settings ask for.
    fn wanted(&self, shared: &Shared) -> ReverseRequest {
        let most = Self::timesteps(shared);
        let runs = self.choices[..if self.compare { 2 } else { 1 }]
            .iter()
            .map(|c| SamplerChoice {
                steps: c.steps.clamp(1, most),
                eta: if takes_eta(&c.sampler) { c.eta } else { 0.0 },
                ..c.clone()
            })
            .collect();
        ReverseRequest {
            seed: shared.seed,
            count: self.count,
            runs,
        }
    }

    fn draw(&mut self, shared: &mut Shared) {
        shared.send(Command::Reverse(self.wanted(shared)));
        shared.time.playing = false;
        self.busy = true;
        self.drawn = true;
        self.following = true;
        self.followed_to = shared.time.t();
    }

    fn stop(&mut self, shared: &Shared) {
        shared.send(Command::StopReverse);
        self.busy = false;
        self.following = false;
    }

    fn open(&mut self, pick: Pick, shared: &Shared) {
        match pick.choice() {
            Some(choice) => {
                self.opening = Some(pick);
                shared.send(Command::OpenModel(choice));
            }
            None if pick == Pick::Folder => shared.files.request(Ask::ModelFolder),
            None => {}
        }
    }

    fn on_reverse(&mut self, event: &ReverseEvent) {
        match event {
            ReverseEvent::Started {
                request,
                run,
                films,
                frames,
                timesteps,
            } => {
                let Some(choice) = request.runs.get(*run) else {
                    return;
                };
                self.runs.truncate(*run);
                self.runs.push(Run {
                    choice: choice.clone(),
                    films: films.clone(),
                    frames: Arc::clone(frames),
                    timesteps: *timesteps,
                    arrived: 0,
                    evaluations: 0,
                    seconds: 0.0,
                    done: false,
                });
                if self.enlarged.is_some_and(|n| n >= request.count) {
                    self.enlarged = None;
                }
                self.request = Some(Arc::clone(request));
            }
            ReverseEvent::Progress {
                run,
                frames,
                evaluations,
                seconds,
            } => {
                if let Some(run) = self.runs.get_mut(*run) {
                    run.arrived = *frames;
                    run.evaluations = *evaluations;
                    run.seconds = *seconds;
                }
            }
            ReverseEvent::Done {
                run,
                evaluations,
                seconds,
                ..
            } => {
                let last = self
                    .request
                    .as_ref()
                    .is_some_and(|r| run + 1 == r.runs.len());
                if let Some(run) = self.runs.get_mut(*run) {
                    run.arrived = run.frames.len();
                    run.evaluations = *evaluations;
                    run.seconds = *seconds;
                    run.done = true;
                    if last {
                        self.busy = false;
                    }
                }
            }
        }
    }

    /// Moves the time to the newest frame, unless the user took it.
    fn follow(&mut self, shared: &mut Shared) {
        let Some(run) = self.runs.last() else { return };
        let time = &mut shared.time;
        if time.timesteps() != run.timesteps {
            time.set_timesteps(run.timesteps);
            self.followed_to = time.t();
        }
        if !self.following {
            return;
        }
        if time.playing || time.t() != self.followed_to {
            self.following = false;
            return;
        }
        if let Some(t) = run.newest_t() {
            time.set_t(t);
            self.followed_to = t;
        }
        self.following = self.busy;
    }

    fn set_sampler(&mut self, i: usize, name: &str) {
        if SAMPLERS.iter().any(|s| s.name == name) {
            name.clone_into(&mut self.choices[i].sampler);
        }
    }

    fn set_steps(&mut self, i: usize, value: &str) {
        if let Ok(steps) = value.parse::<usize>()
            && (1..=MOST_STEPS).contains(&steps)
        {
            self.choices[i].steps = steps;
        }
    }

    fn set_eta(&mut self, i: usize, value: &str) {
        if let Ok(eta) = value.parse::<f64>()
            && (0.0..=1.0).contains(&eta)
        {
            self.choices[i].eta = eta;
        }
    }
}

/// Whether η means something to a sampler.
fn takes_eta(sampler: &str) -> bool {
    sampler == "ddim"
}

impl Panel for Reverse {
    fn id(&self) -> &'static str {
        "reverse"
    }

    fn title(&self) -> &'static str {
        words::TITLE
    }

    fn on_event(&mut self, event: &Event, _shared: &mut Shared) {
        match event {
            Event::Reverse(event) => self.on_reverse(event),
            Event::Model(_) => {
                // One that nobody here asked for: at first the one that comes along.
                self.pick = self.opening.take().unwrap_or(if self.opened {
                    Pick::Other
                } else {
                    Pick::Pretrained
                });
                self.opened = true;
                self.drawn = false;
                self.busy = false;
                self.runs.clear();
                self.request = None;
                self.enlarged = None;
            }
            Event::Train(TrainEvent::Opened { .. }) => self.training = true,
            Event::Train(TrainEvent::Status(status)) => {
                self.training = *status != TrainStatus::None;
            }
            Event::Failed {
                job: Job::Model, ..
            } => self.opening = None,
            Event::Failed {
                job: Job::Reverse, ..
            }
            | Event::DeviceLost { .. } => {
                self.busy = false;
                self.following = false;
            }
            _ => {}
        }
    }

    fn update(&mut self, shared: &mut Shared) {
        if !self.count_chosen {
            self.count = if shared.software {
                COUNT_SOFTWARE
            } else {
                COUNT
            };
        }
        if !self.drawn && shared.model.is_some() {
            self.draw(shared);
        }
        self.follow(shared);
    }

    fn ui(&mut self, ui: &mut egui::Ui, shared: &mut Shared) {
        if self.enlarged.is_some()
            && ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, Key::Escape))
        {
            self.enlarged = None;
        }
        ui.spacing_mut().item_spacing.y = theme::GAP;
        self.bar(ui, shared);
        if shared.model.is_none() {
            widgets::hint(ui, words::NO_MODEL);
        }
        match self.enlarged {
            Some(sample) => self.path(ui, shared, sample),
            None => self.grids(ui, shared),
        }
    }

    fn address(&self, _shared: &Shared) -> Vec<(&'static str, String)> {
        let [a, b] = &self.choices;
        let mut out = vec![
            ("sampler", a.sampler.clone()),
            ("steps", a.steps.to_string()),
            ("eta", a.eta.to_string()),
        ];
        if self.compare {
            out.extend([
                ("sampler_b", b.sampler.clone()),
                ("steps_b", b.steps.to_string()),
                ("eta_b", b.eta.to_string()),
            ]);
        } else {
            out.push(("sampler_b", "off".into()));
        }
        if self.count_chosen {
            out.push(("count", self.count.to_string()));
        }
        out
    }

    fn set_address(&mut self, key: &str, value: &str, _shared: &mut Shared) {
        match key {
            "sampler" => self.set_sampler(0, value),
            "steps" => self.set_steps(0, value),
            "eta" => self.set_eta(0, value),
            "sampler_b" => {
                self.compare = value != "off";
                self.set_sampler(1, value);
            }
            "steps_b" => self.set_steps(1, value),
            "eta_b" => self.set_eta(1, value),
            "count" => {
                if let Ok(count) = value.parse()
                    && COUNTS.contains(&count)
                {
                    self.count = count;
                    self.count_chosen = true;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

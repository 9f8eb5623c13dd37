//! Forward: particles dissolve into noise.

use std::sync::Arc;

use egui::{Sense, Ui};
use noiselab::{
    data::points::Point,
    diffusion::SchedulerConfig,
    session::lab::{
        command::{LabForward, LabStage},
        event::{Grid, LabForwardView, StageView},
    },
};

use super::{
    Lab,
    ask::Asker,
    canvas::{Scene, canvas},
    heat::{Heats, Hue},
    parts,
    pen::Pen,
};
use crate::ui::{
    panels::flow,
    shared::Shared,
    strings::{forward::schedule_name, lab as s},
    theme,
    widgets::{PlotOptions, Series, button, hint, line_plot, number, toggle},
};

/// Strength of a density under particles.
pub const UNDER: f32 = 0.7;
/// Trails that are shown at most.
const TRAILS: usize = 48;
/// Particles that can be picked at a time.
pub const PICKED: usize = 12;
/// A particle is pointed at within so many points of the screen.
const REACH: f32 = 12.0;

/// Of the stage and of the other schedule.
type Curves = [Vec<[f64; 2]>; 2];

/// What the forward view shows.
#[derive(Debug)]
pub struct Forward {
    /// Requests.
    pub ask: Asker<LabForward>,
    /// The answer.
    pub view: Option<Arc<LabForwardView>>,
    /// The other schedule.
    pub compare: Option<String>,
    /// Particles are shown.
    pub cloud: bool,
    /// q(x_t) is shown.
    pub density: bool,
    /// Trails are shown.
    pub trails: bool,
    /// Particles picked by the pointer, whose trails are kept.
    pub picked: Vec<usize>,
    /// ᾱ over t of the stage and of the other schedule.
    curves: Option<(LabStage, Option<String>, Curves)>,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            ask: Asker::default(),
            view: None,
            compare: None,
            cloud: true,
            density: true,
            trails: false,
            picked: Vec::new(),
            curves: None,
        }
    }
}

impl Forward {
    /// The particles at t = 0, if those are at hand.
    pub fn data(&self) -> Option<&Arc<LabForwardView>> {
        self.view.as_ref().filter(|v| v.request.t == 0)
    }

    /// Keeps the trail of a particle, or lets it go; beyond [`PICKED`] the oldest goes.
    fn pick(&mut self, particle: usize) {
        if let Some(i) = self.picked.iter().position(|&p| p == particle) {
            self.picked.remove(i);
            return;
        }
        if self.picked.len() >= PICKED {
            self.picked.remove(0);
        }
        self.picked.push(particle);
    }
}

/// ᾱ over t.
fn curve(config: &SchedulerConfig) -> Vec<[f64; 2]> {
    const POINTS: usize = 200;
    let Ok(schedule) = config.noise_schedule() else {
        return Vec::new();
    };
    let last = schedule.timesteps();
    let mut points = vec![[0.0, 1.0]];
    let count = last.min(POINTS);
    points.extend((1..=count).map(|n| {
        let t = (n * last / count).max(1);
        [t as f64, schedule.alpha_bar(t - 1)]
    }));
    points
}

/// A density as a heat map over the whole scene, faint where `strength` is below 1; gives its largest number.
pub fn density(
    ui: &Ui,
    scene: &Scene,
    heats: &mut Heats,
    name: &str,
    grid: &Grid,
    strength: f32,
) -> f32 {
    let field = parts::field(grid);
    let most = field.most();
    if let Some(texture) = heats.texture(ui, name, &field, Hue::Density, most) {
        scene.texture(texture, egui::Color32::WHITE.gamma_multiply(strength));
    }
    most
}

/// The trails of some particles up to t.
fn trails(ui: &Ui, scene: &Scene, pen: &mut Pen, stage: &StageView, t: usize) {
    let colour = theme::strong(ui);
    let timesteps = stage.stage.scheduler.num_train_timesteps.max(1);
    let every = (stage.trails.len() / TRAILS).max(1);
    for trail in stage.trails.iter().step_by(every).take(TRAILS) {
        let Some(last) = trail.len().checked_sub(1) else {
            continue;
        };
        let end = t as f32 / timesteps as f32 * last as f32;
        let whole = (end as usize).min(last);
        let mut line: Vec<_> = trail[..=whole].iter().map(|&p| scene.place(p)).collect();
        if whole < last {
            let (a, b) = (line[whole], scene.place(trail[whole + 1]));
            line.push(a + (end - whole as f32) * (b - a));
        }
        let count = line.len() as f32;
        pen.line(&line, 1.2, |i| {
            colour.gamma_multiply(0.1 + 0.5 * i as f32 / count)
        });
        if let (Some(&first), Some(&last)) = (line.first(), line.last()) {
            pen.dot(first, 1.6, colour.gamma_multiply(0.5));
            pen.dot(last, 2.4, colour);
        }
    }
}

/// x_t of a particle where ᾱ_t = `bar`.
fn at(&[x0, eps]: &[Point; 2], bar: f32) -> Point {
    let (a, s) = (bar.sqrt(), (1.0 - bar).max(0.0).sqrt());
    [a * x0[0] + s * eps[0], a * x0[1] + s * eps[1]]
}

/// The particle under the pointer, or that nearest to it within reach.
fn pointed_at(scene: &Scene, particles: &[[Point; 2]], bar: f32) -> Option<usize> {
    let [x, y] = scene.point(scene.response.hover_pos()?);
    let (a, s) = (bar.sqrt(), (1.0 - bar).max(0.0).sqrt());
    let reach = REACH / scene.scale();
    let (mut nearest, mut best) = (None, reach * reach);
    for (i, [x0, eps]) in particles.iter().enumerate() {
        let (dx, dy) = (a * x0[0] + s * eps[0] - x, a * x0[1] + s * eps[1] - y);
        let far = dx * dx + dy * dy;
        if far <= best {
            (nearest, best) = (Some(i), far);
        }
    }
    nearest
}

/// The whole way of a particle, strong up to t; `curve` is ᾱ over t.
fn trail_of(
    ui: &Ui,
    scene: &Scene,
    pen: &mut Pen,
    particle: &[Point; 2],
    curve: &[[f64; 2]],
    now: (usize, f32),
) {
    let (t, bar) = now;
    let (strong, weak) = (theme::strong(ui), theme::strong(ui).gamma_multiply(0.35));
    let place = |bar: f32| scene.place(at(particle, bar));
    let split = curve.partition_point(|p| p[0] <= t as f64);
    let mut line: Vec<_> = curve[..split].iter().map(|p| place(p[1] as f32)).collect();
    line.push(place(bar));
    pen.line(&line, 2.0, |_| strong);
    let mut line = vec![place(bar)];
    line.extend(curve[split..].iter().map(|p| place(p[1] as f32)));
    pen.line(&line, 1.2, |_| weak);
    pen.dot(place(1.0), 2.0, strong);
    pen.dot(place(bar), 4.0, strong);
}

impl Lab {
    /// The controls of the view.
    pub(super) fn forward_controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.setup.distribution_ui(ui, shared);
        self.setup.process_ui(ui, Some(&mut self.forward.compare));
        theme::section(ui, s::SHOWN, |ui| {
            ui.spacing_mut().item_spacing.y = theme::UNIT;
            let f = &mut self.forward;
            toggle(ui, &mut f.cloud, s::CLOUD, s::CLOUD_HELP);
            toggle(ui, &mut f.density, s::DENSITY, s::DENSITY_HELP);
            toggle(ui, &mut f.trails, s::TRAILS, s::TRAILS_HELP);
            hint(ui, s::PICK_HINT);
            if !f.picked.is_empty() && button(ui, s::UNPICK, s::UNPICK_HELP).clicked() {
                f.picked.clear();
            }
        });
    }

    /// The canvases and plots of the view.
    pub(super) fn forward_view(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let view = self.forward.view.clone();
        let stage = self.stage.clone();
        let n = 1 + usize::from(self.forward.compare.is_some());
        theme::section(ui, "", |ui| {
            let (side, columns) = parts::fit(ui, n, 44.0);
            let names = [
                self.setup.schedule.clone(),
                self.forward.compare.clone().unwrap_or_default(),
            ];
            let t = view.as_ref().map_or(shared.time.t(), |v| v.request.t);
            let Self { forward, heats, .. } = self;
            parts::rows(ui, n, side, columns, |ui, i| {
                if n > 1 {
                    parts::caption(ui, schedule_name(&names[i]));
                }
                let label = s::forward_canvas(schedule_name(&names[i]), t);
                let mut most = None;
                canvas(ui, side, &label, Sense::CLICK, |ui, scene| {
                    let Some(view) = &view else {
                        scene.note(ui, s::WAITING);
                        return;
                    };
                    if forward.density
                        && let Some(grid) = view.density.get(i)
                    {
                        let name = ["forward", "forward other"][i];
                        let strength = if forward.cloud { UNDER } else { 1.0 };
                        let top = density(ui, scene, heats, name, grid, strength);
                        most = Some(top);
                    }
                    if forward.cloud && i < view.clouds.layers() {
                        scene.cloud(shared, &view.clouds, i, theme::accent(ui));
                    }
                    // Trails are of the stage's own schedule.
                    if forward.trails
                        && i == 0
                        && let Some(stage) = &stage
                    {
                        let mut pen = scene.pen();
                        trails(ui, scene, &mut pen, stage, t);
                        pen.draw(&scene.painter);
                    }
                    if let (Some(stage), Some(&bar)) = (&stage, view.alpha_bar.get(i)) {
                        let here = pointed_at(scene, &stage.particles, bar);
                        if let Some(here) = here
                            && scene.response.clicked()
                        {
                            forward.pick(here);
                        }
                        let mut pen = scene.pen();
                        let curve = forward.curves.as_ref().map_or(&[][..], |c| &c.2[i][..]);
                        for k in forward.picked.iter().copied().chain(here) {
                            if let Some(particle) = stage.particles.get(k) {
                                trail_of(ui, scene, &mut pen, particle, curve, (t, bar));
                            }
                        }
                        pen.draw(&scene.painter);
                    }
                });
                if let Some(most) = most {
                    parts::colour_bar(ui, Hue::Density, most, s::DENSITY_BAR);
                }
            });
            ui.add_space(theme::UNIT);
            if let Some(note) = stage.as_ref().and_then(|s| s.note.clone()) {
                hint(ui, &note);
            }
        });
        self.schedule_section(ui, shared);
    }

    fn schedule_section(&mut self, ui: &mut Ui, shared: &Shared) {
        let Some(stage) = self.setup.stage() else {
            return;
        };
        let compare = self.forward.compare.clone();
        let known = self.forward.curves.as_ref();
        if known.is_none_or(|(a, b, _)| a.scheduler != stage.scheduler || *b != compare) {
            let other = compare.as_ref().map(|name| SchedulerConfig {
                beta_schedule: name.clone(),
                ..stage.scheduler.clone()
            });
            let curves = [
                curve(&stage.scheduler),
                other.as_ref().map(curve).unwrap_or_default(),
            ];
            self.forward.curves = Some((stage, compare.clone(), curves));
        }
        let t = shared.time.t();
        let bar = self.setup.alpha_bar(t);
        let Some((_, _, curves)) = &self.forward.curves else {
            return;
        };
        theme::section(ui, s::SCHEDULE_PLOT, |ui| {
            ui.spacing_mut().item_spacing.y = theme::GAP;
            flow::flow(ui, |ui| {
                let time = s::t_of(t, shared.time.timesteps());
                flow::figure(ui, s::TIME, &time, s::TIME_HELP);
                if let Some(bar) = bar {
                    flow::figure(ui, s::ALPHA_BAR, &number(bar), s::ALPHA_BAR_HELP);
                    let snr = if bar < 1.0 {
                        number(bar / (1.0 - bar))
                    } else {
                        "∞".to_owned()
                    };
                    flow::figure(ui, s::SNR, &snr, s::SNR_HELP);
                }
            });
            let names = [
                schedule_name(&self.setup.schedule),
                compare.as_deref().map_or("", schedule_name),
            ];
            let series: Vec<Series<'_>> = (0..2)
                .filter(|&i| !curves[i].is_empty())
                .map(|i| Series {
                    name: names[i],
                    points: curves[i].clone(),
                    colour: theme::series(ui, i),
                    faint: false,
                })
                .collect();
            let options = PlotOptions {
                x_label: s::T_AXIS,
                y_label: s::ALPHA_BAR_AXIS,
                height: 176.0,
                marker_x: Some(t as f64),
                y_range: Some((0.0, 1.0)),
                ..PlotOptions::default()
            };
            line_plot(ui, "lab alpha bar", options, &series);
        });
    }
}

//! The room's part of an address: whatever is set differently from the start is in it, lines drawn by hand too.

use noiselab::{
    data::points::Point,
    diffusion::{Objective, schedule::SCHEDULES},
    session::lab::{EXTENT, MAX_PARTICLES},
};

use super::{
    Lab, PRESETS, View,
    fields::{FINENESS, Fields, Quantity, Which},
    forward::PICKED,
    presets,
    reverse::{self, Choice, Mode, Reverse},
    setup::{self, Pick, Setup},
    training::{BATCHES, BLOCKS, RATES, SECONDS, Training, WIDTHS},
};

/// Layers of the forward view.
const LAYERS: [&str; 3] = ["points", "density", "trails"];
/// Layers of the reverse view.
const REVERSE_LAYERS: [&str; 2] = ["paths", "density"];
const FIELDS: [(&str, Which); 4] = [
    ("all", Which::All),
    ("learned", Which::Learned),
    ("exact", Which::Exact),
    ("error", Which::Error),
];
const QUANTITIES: [(&str, Quantity); 2] = [("score", Quantity::Score), ("eps", Quantity::Epsilon)];
const STYLES: [(&str, bool); 2] = [("arrows", false), ("lines", true)];
const WEIGHTS: [(&str, bool); 2] = [("averaged", false), ("raw", true)];
const MODES: [(&str, Mode); 3] = [
    ("particles", Mode::Flow),
    ("point", Mode::Paths),
    ("density", Mode::Density),
];
const SCORES: [(&str, bool); 2] = [("network", false), ("exact", true)];

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    (names.iter().find(|(_, v)| v == value)).map_or("", |(name, _)| name)
}

fn set_by_name<T: Copy>(names: &[(&'static str, T)], name: &str, value: &mut T) {
    if let Some((_, named)) = names.iter().find(|(n, _)| *n == name) {
        *value = *named;
    }
}

fn layers(names: &[&str], shown: &[bool]) -> String {
    let shown: Vec<&str> = (names.iter().zip(shown))
        .filter(|(_, shown)| **shown)
        .map(|(name, _)| *name)
        .collect();
    if shown.is_empty() {
        "none".into()
    } else {
        shown.join(",")
    }
}

/// Which of `names` the value lists; `None` where one of them is unknown.
fn shown<const N: usize>(names: [&str; N], value: &str) -> Option<[bool; N]> {
    let listed: Vec<&str> = match value {
        "none" => Vec::new(),
        some => some.split(',').collect(),
    };
    let known = listed.iter().all(|l| names.contains(l));
    known.then(|| names.map(|name| listed.contains(&name)))
}

impl Lab {
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut out = vec![
            ("lab", self.view.name().to_owned()),
            ("dist", self.setup.pick.name().to_owned()),
        ];
        match self.setup.pick {
            Pick::Text => out.push(("word", self.setup.word.clone())),
            Pick::Drawn if !self.setup.strokes.is_empty() => {
                out.push(("lab_lines", lines::write(&self.setup.strokes)));
            }
            _ => {}
        }
        out.push(("runs", self.runs_address()));
        match self.preset.and_then(|i| PRESETS.get(i)) {
            Some(preset) => out.push(("wrong", preset.name.to_owned())),
            None => {
                out.push(("lab_schedule", self.setup.schedule.clone()));
                out.push(("lab_steps", self.setup.timesteps.to_string()));
            }
        }
        // Of the rest, what is not as at the start.
        let (now, then) = (self.more(), Self::default().more());
        out.extend(now.into_iter().filter(|pair| !then.contains(pair)));
        out
    }

    fn more(&self) -> Vec<(&'static str, String)> {
        let Self {
            setup,
            forward,
            fields,
            reverse,
            training,
            ..
        } = self;
        let mut out = vec![
            ("lab_particles", setup.particles.to_string()),
            (
                "lab_compare",
                forward.compare.clone().unwrap_or_else(|| "none".into()),
            ),
            (
                "lab_layers",
                layers(&LAYERS, &[forward.cloud, forward.density, forward.trails]),
            ),
            ("lab_picked", picked_address(&forward.picked)),
            ("lab_field", name_of(&FIELDS, &fields.which).to_owned()),
            (
                "lab_quantity",
                name_of(&QUANTITIES, &fields.quantity).to_owned(),
            ),
            ("lab_style", name_of(&STYLES, &fields.lines).to_owned()),
            ("lab_fineness", fields.fineness.to_string()),
            ("lab_under", u8::from(fields.heat).to_string()),
            ("lab_weights", name_of(&WEIGHTS, &fields.raw).to_owned()),
            ("lab_look", name_of(&MODES, &reverse.mode).to_owned()),
            ("lab_score", name_of(&SCORES, &reverse.exact).to_owned()),
            (
                "lab_start",
                format!("{:.2},{:.2}", reverse.start[0], reverse.start[1]),
            ),
            ("lab_fan", reverse.fan.to_string()),
            (
                "lab_reverse_layers",
                layers(&REVERSE_LAYERS, &[reverse.trajectories, reverse.density]),
            ),
        ];
        if self.preset.is_none() {
            let spec = &training.spec;
            let network = &spec.network;
            let told = u8::from(network.time_embedding);
            out.push((
                "lab_net",
                format!("{}:{}:{told}", network.width, network.blocks),
            ));
            out.push(("lab_predicts", setup.objective.name().to_owned()));
            out.push(("lab_batch", spec.batch.to_string()));
            out.push(("lab_rate", spec.lr.to_string()));
        }
        out.push(("lab_seconds", training.seconds.to_string()));
        out
    }

    pub(super) fn take_pair(&mut self, key: &str, value: &str) {
        match key {
            "lab" => {
                if let Some(view) = View::ALL.into_iter().find(|v| v.name() == value) {
                    self.view = view;
                }
            }
            "wrong" => self.wanted_preset = presets::by_name(value),
            "runs" => self.set_runs(value),
            "lab_compare" => {
                let known = SCHEDULES.iter().any(|r| r.name() == value);
                self.forward.compare = known.then(|| value.to_owned());
            }
            "lab_picked" => {
                if let Some(picked) = picked(value) {
                    self.forward.picked = picked;
                }
            }
            "lab_layers" => {
                if let Some(shown) = shown(LAYERS, value) {
                    let f = &mut self.forward;
                    [f.cloud, f.density, f.trails] = shown;
                }
            }
            _ => {
                set_stage(&mut self.setup, key, value);
                set_fields(&mut self.fields, key, value);
                set_reverse(&mut self.reverse, key, value);
                set_training(&mut self.training, key, value);
            }
        }
    }

    fn set_runs(&mut self, value: &str) {
        let choices: Option<Vec<Choice>> = value.split(',').map(choice).collect();
        if let Some(choices) = choices.filter(|c| (1..=reverse::MOST).contains(&c.len())) {
            self.reverse.choices = choices;
        }
    }

    fn runs_address(&self) -> String {
        let parts: Vec<String> = (self.reverse.choices.iter())
            .map(|c| {
                if reverse::takes_eta(c.sampler) && c.eta != 0.0 {
                    format!("{}:{}:{}", c.sampler, c.steps, c.eta)
                } else {
                    format!("{}:{}", c.sampler, c.steps)
                }
            })
            .collect();
        parts.join(",")
    }
}

fn picked_address(particles: &[usize]) -> String {
    let numbers: Vec<String> = particles.iter().map(usize::to_string).collect();
    if numbers.is_empty() {
        "none".into()
    } else {
        numbers.join(",")
    }
}

fn picked(value: &str) -> Option<Vec<usize>> {
    if value == "none" {
        return Some(Vec::new());
    }
    let known = |n: &str| n.parse().ok().filter(|&n: &usize| n < MAX_PARTICLES);
    let numbers: Option<Vec<usize>> = value.split(',').map(known).collect();
    numbers.filter(|n| n.len() <= PICKED)
}

/// A sampler, `name:steps` or `name:steps:eta`.
fn choice(text: &str) -> Option<Choice> {
    let mut words = text.split(':');
    let name = words.next()?;
    let sampler = reverse::SAMPLERS.into_iter().find(|s| *s == name)?;
    let steps = words.next()?.parse().ok()?;
    let eta = words.next().map_or(Some(0.0), |w| w.parse::<f64>().ok())?;
    let usable = (1..=reverse::MOST_STEPS).contains(&steps) && (0.0..=1.0).contains(&eta);
    usable.then_some(Choice {
        sampler,
        steps,
        eta,
    })
}

fn set_stage(setup: &mut Setup, key: &str, value: &str) {
    match key {
        "dist" => {
            if let Some(pick) = Pick::by_name(value) {
                let empty = pick == Pick::Drawn && setup.strokes.is_empty();
                setup.sketch = empty.then(Vec::new);
                setup.pick = pick;
            }
        }
        "word" => setup.set_word(value),
        "lab_lines" => {
            if let Some(strokes) = lines::read(value) {
                setup.strokes = strokes.into();
                setup.sketch = None;
            }
        }
        "lab_schedule" if SCHEDULES.iter().any(|r| r.name() == value) => {
            value.clone_into(&mut setup.schedule);
        }
        "lab_steps" => set_number(value, &mut setup.timesteps, |n| {
            setup::TIMESTEPS.contains(n)
        }),
        "lab_predicts" => {
            if let Ok(objective) = Objective::by_name(value) {
                setup.objective = objective;
            }
        }
        "lab_particles" => {
            set_number(value, &mut setup.particles, |n| {
                setup::PARTICLES.contains(n)
            });
        }
        _ => {}
    }
}

fn set_fields(fields: &mut Fields, key: &str, value: &str) {
    match key {
        "lab_field" => set_by_name(&FIELDS, value, &mut fields.which),
        "lab_quantity" => set_by_name(&QUANTITIES, value, &mut fields.quantity),
        "lab_style" => set_by_name(&STYLES, value, &mut fields.lines),
        "lab_fineness" => set_number(value, &mut fields.fineness, |n| FINENESS.contains(n)),
        "lab_under" => fields.heat = value != "0",
        "lab_weights" => set_by_name(&WEIGHTS, value, &mut fields.raw),
        _ => {}
    }
}

fn set_reverse(reverse: &mut Reverse, key: &str, value: &str) {
    match key {
        "lab_look" => set_by_name(&MODES, value, &mut reverse.mode),
        "lab_score" => set_by_name(&SCORES, value, &mut reverse.exact),
        "lab_start" => {
            let inside = |v: &f32| v.abs() <= EXTENT;
            let point: Vec<f32> = (value.split(','))
                .filter_map(|v| v.parse().ok().filter(inside))
                .collect();
            if let [x, y] = point[..] {
                reverse.start = [x, y];
            }
        }
        "lab_fan" => set_number(value, &mut reverse.fan, |n| reverse::FANS.contains(n)),
        "lab_reverse_layers" => {
            if let Some([paths, density]) = shown(REVERSE_LAYERS, value) {
                (reverse.trajectories, reverse.density) = (paths, density);
            }
        }
        _ => {}
    }
}

fn set_training(training: &mut Training, key: &str, value: &str) {
    let spec = &mut training.spec;
    match key {
        "lab_net" => {
            let numbers: Vec<usize> = value.split(':').filter_map(|n| n.parse().ok()).collect();
            if let [width, blocks, told @ (0 | 1)] = numbers[..]
                && WIDTHS.contains(&width)
                && BLOCKS.contains(&blocks)
            {
                spec.network.width = width;
                spec.network.blocks = blocks;
                spec.network.time_embedding = told == 1;
            }
        }
        "lab_batch" => set_number(value, &mut spec.batch, |n| BATCHES.contains(n)),
        "lab_rate" => set_number(value, &mut spec.lr, |n| RATES.contains(n)),
        "lab_seconds" => set_number(value, &mut training.seconds, |n| SECONDS.contains(n)),
        _ => {}
    }
}

/// Takes over a number that is one and fits.
fn set_number<T: std::str::FromStr>(value: &str, to: &mut T, fits: impl Fn(&T) -> bool) {
    if let Some(number) = value.parse().ok().filter(fits) {
        *to = number;
    }
}

/// Lines drawn by hand as text: a letter or sign is six bits, two of them a coordinate, four a corner, and a dot lies
/// between lines. Corners that can be left out without its being seen are left out.
mod lines {
    use super::{EXTENT, Point};

    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    /// Values of a coordinate.
    const LEVELS: f32 = 4095.0;
    /// How far a line may move, data units: less than a pixel.
    const TOLERANCE: f32 = 0.006;
    /// Corners at most.
    const MOST: usize = 1500;

    /// As text, of at most 4 × [`MOST`] signs and the dots.
    pub fn write(strokes: &[Vec<Point>]) -> String {
        let mut tolerance = TOLERANCE;
        let thin = loop {
            let thin: Vec<Vec<Point>> = strokes.iter().map(|s| simplified(s, tolerance)).collect();
            // A great many lines cannot be thinned further than to their ends.
            if thin.iter().map(Vec::len).sum::<usize>() <= MOST || tolerance > 2.0 * EXTENT {
                break thin;
            }
            tolerance *= 1.5;
        };
        let parts: Vec<String> = (thin.iter().take(MOST / 2))
            .map(|s| s.iter().flat_map(|p| p.map(sign)).flatten().collect())
            .collect();
        parts.join(".")
    }

    fn sign(v: f32) -> [char; 2] {
        let n = ((v / EXTENT * 0.5 + 0.5).clamp(0.0, 1.0) * LEVELS).round() as usize;
        [n >> 6, n & 63].map(|k| char::from(SIGNS[k]))
    }

    /// From text; `None` where it is none of [`write`]'s.
    pub fn read(text: &str) -> Option<Vec<Vec<Point>>> {
        let value = |b: u8| SIGNS.iter().position(|s| *s == b);
        let coordinate = |pair: &[u8]| {
            let n = 64 * value(pair[0])? + value(pair[1])?;
            Some((n as f32 / LEVELS - 0.5) * 2.0 * EXTENT)
        };
        let stroke = |part: &str| {
            let corner = |c: &[u8]| Some([coordinate(&c[..2])?, coordinate(&c[2..])?]);
            let whole = part.len() >= 8 && part.len().is_multiple_of(4);
            whole
                .then_some(part.as_bytes())?
                .chunks_exact(4)
                .map(corner)
                .collect()
        };
        let fits = text.len() <= 6 * MOST;
        fits.then_some(text)?.split('.').map(stroke).collect()
    }

    /// The corners without which some part of the line would move by more than `tolerance` (Douglas and Peucker).
    fn simplified(line: &[Point], tolerance: f32) -> Vec<Point> {
        let Some(last) = line.len().checked_sub(1) else {
            return Vec::new();
        };
        let mut kept = vec![false; line.len()];
        (kept[0], kept[last]) = (true, true);
        let mut parts = vec![(0, last)];
        while let Some((a, b)) = parts.pop() {
            let farthest = (a + 1..b)
                .map(|i| (i, distance(line[i], line[a], line[b])))
                .max_by(|p, q| p.1.total_cmp(&q.1));
            if let Some((i, far)) = farthest
                && far > tolerance
            {
                kept[i] = true;
                parts.extend([(a, i), (i, b)]);
            }
        }
        (line.iter().zip(kept))
            .filter(|(_, kept)| *kept)
            .map(|(p, _)| *p)
            .collect()
    }

    /// From a point to the line between two others.
    fn distance(p: Point, a: Point, b: Point) -> f32 {
        let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
        let length = along[0] * along[0] + along[1] * along[1];
        let share = if length > 0.0 {
            ((along[0] * to[0] + along[1] * to[1]) / length).clamp(0.0, 1.0)
        } else {
            0.0
        };
        (to[0] - share * along[0]).hypot(to[1] - share * along[1])
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn lines_survive_the_way_there_and_back() {
            let circle: Vec<Point> = (0..=400)
                .map(|i| (i as f32 / 400.0 * std::f32::consts::TAU).sin_cos())
                .map(|(s, c)| [2.0 * c, 2.0 * s])
                .collect();
            let strokes = vec![circle, vec![[-3.0, -3.0], [3.0, 3.0]]];
            let text = write(&strokes);
            assert!(text.len() < 400, "{}", text.len());
            let read = read(&text).expect(&text);
            assert_eq!(read.len(), 2);
            assert_eq!(read[1], [[-3.0, -3.0], [3.0, 3.0]]);
            // Every corner that was left out lies on the line that is left.
            for p in &strokes[0] {
                let near = (read[0].windows(2))
                    .map(|w| distance(*p, w[0], w[1]))
                    .fold(f32::INFINITY, f32::min);
                assert!(near < 2.0 * TOLERANCE, "{near}");
            }
            assert_eq!(write(&read), text, "nothing is lost by another turn");
        }

        #[test]
        fn a_scribble_does_not_make_an_endless_address() {
            let mut x = 1_u32;
            let mut random = || {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (x >> 8) as f32 / (1 << 24) as f32 * 6.0 - 3.0
            };
            let scribble: Vec<Point> = (0..20_000).map(|_| [random(), random()]).collect();
            let text = write(&[scribble]);
            assert!(text.len() <= 4 * MOST, "{}", text.len());
            assert!(read(&text).is_some());
            let dashes: Vec<Vec<Point>> = (0..5000)
                .map(|_| vec![[random(), random()], [random(), random()]])
                .collect();
            assert!(read(&write(&dashes)).is_some());
        }

        #[test]
        fn damaged_text_is_no_drawing() {
            for text in [
                "",
                ".",
                "AAAA",
                "AAAAAAA",
                "AAAAAAA!",
                "AAAAAAAA..AAAAAAAA",
                "ÄÄÄÄ",
            ] {
                assert_eq!(read(text), None, "{text}");
            }
            assert!(read("AAAAAAAA.__AA__AA").is_some());
        }
    }
}

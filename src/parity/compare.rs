//! The comparison: which tensors belong together, how they are measured, how far they may differ.

use super::{
    Case, Tensor, Tensors,
    compute::{FROM_REFERENCE, NUDGED, WITH_SILU, WITH_TIME},
};

/// What the gradient of a parameter may differ by.
const GRADIENT: f64 = 1e-3;
/// What a step of a trajectory may differ by.
pub(super) const TRAJECTORY: f64 = 1e-3;
/// How much further than a start moved by a millionth a trajectory may lead: network evaluations round
/// by some millionths, at every step.
const NUDGES: f64 = 20.0;

/// How a group did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within the tolerance.
    Passed,
    /// Beyond the tolerance, but by no more than rounding does, in PyTorch as well. Adam's first steps
    /// divide a gradient by its size, so that rounding alone decides the step of an entry whose gradient
    /// is nearly zero: without such entries the tensor is within the tolerance. A trajectory may enlarge
    /// rounding a thousandfold: each of its steps, begun at PyTorch's sample, is within the tolerance,
    /// and a start moved by a millionth ends as far away.
    Rounding,
    /// Beyond it, or something could not be compared.
    Failed,
    /// Nothing was asked of it.
    Informative,
    /// The case has no such tensors.
    Absent,
}

/// The worst of a group.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Worst {
    /// The error; infinite where it could not be measured (`null` in JSON).
    pub error: f64,
    /// Where.
    pub tensor: String,
}

/// A group of tensors and how far the worst of them differs.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// What is compared, in words.
    pub what: &'static str,
    /// Tensors compared.
    pub tensors: usize,
    /// Largest relative error, ‖found − expected‖ / ‖expected‖ of a tensor.
    pub relative: Option<Worst>,
    /// Largest absolute error of a number.
    pub absolute: Option<Worst>,
    /// What the error may be: the relative one, but for the group `grad (zero)` the absolute one.
    pub tolerance: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
}

enum Measure {
    /// ‖a − b‖ / ‖b‖ of each tensor.
    Relative(f64),
    /// The same of the change from the initial weights.
    Change(f64),
    /// The same of each entry of the first axis.
    Each(f64),
    /// max |a − b|, against a bound that follows from the case.
    Zero,
    /// As `Relative`, without a tolerance.
    Informative,
}

impl Measure {
    const fn has_explanation(&self) -> bool {
        matches!(self, Self::Change(_) | Self::Each(_))
    }
}

struct Spec {
    name: &'static str,
    what: &'static str,
    has: fn(&str) -> bool,
    measure: Measure,
}

/// Whether `name` is `stem` with a step's number behind it.
fn numbered(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem)
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

static GROUPS: &[Spec] = &[
    Spec {
        name: "sched",
        what: "β and the cumulative α of the noise schedule",
        has: |n| n.starts_with("sched."),
        measure: Measure::Relative(1e-6),
    },
    Spec {
        name: "time_proj",
        what: "sinusoidal embedding of t",
        has: |n| n == "time_proj",
        measure: Measure::Relative(1e-5),
    },
    Spec {
        name: "x_t",
        what: "q_sample of x0 with the noise given",
        has: |n| n == "x_t",
        measure: Measure::Relative(1e-5),
    },
    Spec {
        name: "act",
        what: "outputs of the modules",
        has: |n| n.starts_with("act."),
        measure: Measure::Informative,
    },
    Spec {
        name: "out",
        what: "the network's output",
        has: |n| n == "out",
        measure: Measure::Relative(1e-4),
    },
    Spec {
        name: "loss",
        what: "mean squared error",
        has: |n| n == "loss",
        measure: Measure::Relative(1e-4),
    },
    Spec {
        name: "grad",
        what: "gradient of each parameter",
        has: |n| n.starts_with("grad."),
        measure: Measure::Relative(GRADIENT),
    },
    Spec {
        name: "grad (zero)",
        what: "gradients that are zero in exact arithmetic",
        has: |n| n.starts_with("grad."),
        measure: Measure::Zero,
    },
    Spec {
        name: "grad_norm",
        what: "norm of the whole gradient",
        has: |n| n == "grad_norm",
        measure: Measure::Relative(1e-3),
    },
    Spec {
        name: "adam1",
        what: "change of each parameter in one step of Adam",
        has: |n| n.starts_with("adam1."),
        measure: Measure::Change(2e-2),
    },
    Spec {
        name: "loss_k",
        what: "mean squared error at the later steps",
        has: |n| numbered(n, "loss_"),
        measure: Measure::Relative(1e-3),
    },
    Spec {
        name: "grad_norm_k",
        what: "norm of the whole gradient at the later steps",
        has: |n| numbered(n, "grad_norm_"),
        measure: Measure::Relative(5e-3),
    },
    Spec {
        name: "adamN",
        what: "change of each parameter in all steps of Adam",
        has: |n| n.starts_with("adamN."),
        measure: Measure::Change(2e-2),
    },
    Spec {
        name: "timesteps",
        what: "timesteps of the samplers",
        has: |n| matches!(n, "ddpm.t" | "ddim.t"),
        measure: Measure::Relative(0.0),
    },
    Spec {
        name: "step.small",
        what: "one DDPM step, variance fixed_small",
        has: |n| numbered(n, "step.small."),
        measure: Measure::Relative(1e-5),
    },
    Spec {
        name: "step.large",
        what: "one DDPM step, variance fixed_large",
        has: |n| numbered(n, "step.large."),
        measure: Measure::Relative(1e-5),
    },
    Spec {
        name: "step.ddim",
        what: "one DDIM step",
        has: |n| numbered(n, "step.ddim."),
        measure: Measure::Relative(1e-5),
    },
    Spec {
        name: "ddpm.small",
        what: "each step of a DDPM trajectory, variance fixed_small",
        has: |n| n == "ddpm.small.x",
        measure: Measure::Each(TRAJECTORY),
    },
    Spec {
        name: "ddpm.large",
        what: "each step of a DDPM trajectory, variance fixed_large",
        has: |n| n == "ddpm.large.x",
        measure: Measure::Each(TRAJECTORY),
    },
    Spec {
        name: "ddim.eta0",
        what: "each step of a DDIM trajectory, eta 0",
        has: |n| n == "ddim.eta0.x",
        measure: Measure::Each(TRAJECTORY),
    },
    Spec {
        name: "ddim.eta05",
        what: "each step of a DDIM trajectory, eta 0.5",
        has: |n| n == "ddim.eta05.x",
        measure: Measure::Each(TRAJECTORY),
    },
];

/// Inputs of a case, which nothing is compared with.
fn is_input(name: &str) -> bool {
    matches!(
        name,
        "x0" | "eps"
            | "t"
            | "step.sample"
            | "step.model_output"
            | "step.noise"
            | "step.t"
            | "step.t_ddim"
            | "traj.x_init"
            | "ddpm.noise"
            | "ddim.noise"
    ) || ["x_t_", "t_", "eps_", "x0_"]
        .iter()
        .any(|stem| numbered(name, stem))
}

/// The case's tensors that belong to no group.
pub(super) fn unknown(case: &Case) -> Vec<String> {
    case.tensors
        .keys()
        .filter(|n| !is_input(n) && !GROUPS.iter().any(|g| (g.has)(n)))
        .cloned()
        .collect()
}

/// Compares `computed` with what `case` holds, group by group. A tensor of the case that was not
/// computed, or has another shape, fails its group.
pub fn compare(case: &Case, computed: &Tensors) -> Vec<Group> {
    GROUPS
        .iter()
        .map(|spec| compare_group(case, computed, spec))
        .collect()
}

fn compare_group(case: &Case, computed: &Tensors, spec: &Spec) -> Group {
    let mut group = Group {
        name: spec.name,
        what: spec.what,
        tensors: 0,
        relative: None,
        absolute: None,
        tolerance: match spec.measure {
            Measure::Relative(t) | Measure::Change(t) | Measure::Each(t) => Some(t),
            Measure::Zero => Some(zero_bound(case)),
            Measure::Informative => None,
        },
        verdict: Verdict::Absent,
    };
    // Whether rounding explains all that is beyond the tolerance.
    let mut explained = true;
    for (name, expected) in case.tensors.iter().filter(|(n, _)| (spec.has)(n)) {
        let param = name.split_once('.').map_or("", |(_, param)| param);
        let is_zero = case.zero.iter().any(|z| z == param);
        let found = computed.get(name);
        match spec.measure {
            Measure::Zero if !is_zero => {}
            Measure::Zero => group.add(name, found.map(|f| error(f, expected, None))),
            Measure::Relative(_) | Measure::Change(_)
                if is_zero && (name.starts_with("grad.") || name.starts_with("adam")) => {}
            Measure::Relative(_) => group.add(name, found.map(|f| error(f, expected, None))),
            Measure::Change(tolerance) => {
                let before = case.weights.get(param);
                let error = found.zip(before).map(|(f, b)| error(f, expected, Some(b)));
                group.add(name, error);
                if !error.is_some_and(|e| e.0 <= tolerance) {
                    let all = found.zip(before).zip(case.get(&format!("grad.{param}")));
                    explained &= all.is_some_and(|((f, b), g)| {
                        sure_change(f, expected, b, g).is_some_and(|e| e <= tolerance)
                    });
                }
            }
            Measure::Each(tolerance) => match found.filter(|f| f.shape == expected.shape) {
                Some(found) => {
                    let size = expected.data.len() / expected.shape[0].max(1);
                    let other = |end: &str| computed.get(&format!("{name}{end}"));
                    let both = other(FROM_REFERENCE).zip(other(NUDGED));
                    for i in 0..expected.shape[0] {
                        let step = |t: &Tensor| t.data[i * size..(i + 1) * size].to_vec();
                        let (f, e) = (step(found), step(expected));
                        let error = slice_error(&f, &e, None);
                        group.add(&format!("{name}[{i}]"), Some(error));
                        if error.0 > tolerance {
                            explained &= both.is_some_and(|(alone, nudged)| {
                                let drift = slice_error(&step(nudged), &f, None).0;
                                slice_error(&step(alone), &e, None).0 <= tolerance
                                    && error.0 <= NUDGES * drift
                            });
                        }
                    }
                }
                None => {
                    explained = false;
                    group.add(name, None);
                }
            },
            Measure::Informative => {
                if let Some((f, e)) = activation(case, computed, name, expected) {
                    group.add(name, Some(error(&f, &e, None)));
                }
            }
        }
    }
    let Some((relative, absolute)) = group.relative.as_ref().zip(group.absolute.as_ref()) else {
        return group;
    };
    let measured = match spec.measure {
        Measure::Zero => absolute.error,
        _ => relative.error,
    };
    group.verdict = match group.tolerance {
        None => Verdict::Informative,
        Some(tolerance) if measured <= tolerance => Verdict::Passed,
        Some(_) if explained && spec.measure.has_explanation() => Verdict::Rounding,
        Some(_) => Verdict::Failed,
    };
    group
}

impl Group {
    fn add(&mut self, tensor: &str, error: Option<(f64, f64)>) {
        self.tensors += 1;
        let (relative, absolute) = error.unwrap_or((f64::INFINITY, f64::INFINITY));
        for (slot, error) in [
            (&mut self.relative, relative),
            (&mut self.absolute, absolute),
        ] {
            if slot.as_ref().is_none_or(|w| error > w.error) {
                *slot = Some(Worst {
                    error,
                    tensor: tensor.into(),
                });
            }
        }
    }
}

/// What a gradient that should be zero may be: rounding leaves about as much as in PyTorch, and is in
/// proportion to the whole gradient.
fn zero_bound(case: &Case) -> f64 {
    let norm = case
        .get("grad_norm")
        .and_then(|t| t.data.first())
        .map_or(0.0, |&v| f64::from(v));
    (20.0 * case.zero_max_abs).max(1e-6 * norm)
}

/// Relative and absolute error of a tensor; infinite when the shapes differ.
fn error(found: &Tensor, expected: &Tensor, before: Option<&Tensor>) -> (f64, f64) {
    if found.shape != expected.shape || before.is_some_and(|b| b.shape != expected.shape) {
        return (f64::INFINITY, f64::INFINITY);
    }
    slice_error(
        &found.data,
        &expected.data,
        before.map(|b| b.data.as_slice()),
    )
}

fn slice_error(found: &[f32], expected: &[f32], before: Option<&[f32]>) -> (f64, f64) {
    if found.len() != expected.len() {
        return (f64::INFINITY, f64::INFINITY);
    }
    let (mut difference, mut norm, mut worst) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        let delta = f64::from(f) - f64::from(e);
        if !delta.is_finite() {
            return (f64::INFINITY, f64::INFINITY);
        }
        let e = f64::from(e) - before.map_or(0.0, |b| f64::from(b[i]));
        difference += delta * delta;
        norm += e * e;
        worst = worst.max(delta.abs());
    }
    let relative = if difference == 0.0 {
        0.0
    } else {
        (difference / norm).sqrt()
    };
    (relative, worst)
}

/// Relative error of the change of a tensor, without the entries whose gradient is smaller than
/// gradients need be exact. `None` when these are more than a few.
fn sure_change(
    found: &Tensor,
    expected: &Tensor,
    before: &Tensor,
    gradient: &Tensor,
) -> Option<f64> {
    let count = expected.data.len();
    if [found, before, gradient]
        .iter()
        .any(|t| t.data.len() != count)
    {
        return None;
    }
    let squares: f64 = gradient.data.iter().map(|&g| f64::from(g).powi(2)).sum();
    let floor = GRADIENT * (squares / count as f64).sqrt();
    let sure: Vec<usize> = (0..count)
        .filter(|&i| f64::from(gradient.data[i].abs()) >= floor)
        .collect();
    if count - sure.len() > 2 + count / 100 {
        return None;
    }
    let pick = |t: &Tensor| sure.iter().map(|&i| t.data[i]).collect::<Vec<f32>>();
    Some(slice_error(&pick(found), &pick(expected), Some(&pick(before))).0)
}

/// What was computed for a module, and the module's output brought to the same form: norms have the
/// SiLU behind them fused in here, first convolutions the time embedding.
fn activation(
    case: &Case,
    computed: &Tensors,
    name: &str,
    expected: &Tensor,
) -> Option<(Tensor, Tensor)> {
    if let Some(found) = computed.get(name) {
        return Some((found.clone(), expected.clone()));
    }
    let mut expected = expected.clone();
    if let Some(found) = computed.get(&format!("{name}{WITH_SILU}")) {
        for v in &mut expected.data {
            *v /= 1.0 + (-*v).exp();
        }
        return Some((found.clone(), expected));
    }
    let found = computed.get(&format!("{name}{WITH_TIME}"))?;
    let time = case.get(&format!(
        "{}time_emb_proj",
        name.strip_suffix("conv1").unwrap_or(name)
    ))?;
    let pixels: usize = expected.shape.iter().skip(2).product();
    for (row, add) in expected.data.chunks_mut(pixels.max(1)).zip(&time.data) {
        for v in row {
            *v += add;
        }
    }
    Some((found.clone(), expected))
}

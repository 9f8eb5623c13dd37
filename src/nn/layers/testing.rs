//! Every layer is proven twice here: its f64 reference by finite differences, and its kernels
//! against the reference. (The whole model against PyTorch is `tests/parity.rs`.)

use std::sync::{Arc, OnceLock};

use super::{Case, add::Add, cases, scale::Scale};
use crate::{
    gpu::{AdapterChoice, Gpu, View, memory::Pool, readback},
    nn::{
        Graph, PlanBuilder, Shape,
        graph::{ParamInfo, ParamLayout},
        plan::{Precision, Variants},
        tensor::RefTensor,
    },
};

/// One device for all tests of the process.
pub(crate) fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    Arc::clone(GPU.get_or_init(|| {
        Gpu::open_blocking(&AdapterChoice::Best).expect("the tests need an adapter")
    }))
}

/// Numbers in (−1, 1), the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Rounded to f32, so that the reference and the kernels start from the same numbers.
        f64::from(((self.0 >> 33) as f64 / f64::from(1_u32 << 30) - 1.0) as f32)
    }

    pub(crate) fn tensor(&mut self, shape: Shape) -> RefTensor {
        let mut t = RefTensor::zeros(shape);
        t.data.iter_mut().for_each(|v| *v = self.next());
        t
    }
}

fn operands(case: &Case, numbers: &mut Numbers) -> (Vec<RefTensor>, Vec<RefTensor>, RefTensor) {
    let inputs: Vec<RefTensor> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(k, &s)| match case.integers.iter().find(|i| i.0 == k) {
            None => numbers.tensor(s),
            Some(&(_, below)) => {
                let mut t = numbers.tensor(s);
                for v in &mut t.data {
                    *v = ((*v + 1.0) / 2.0 * f64::from(below))
                        .floor()
                        .min(f64::from(below) - 1.0);
                }
                t
            }
        })
        .collect();
    let params = case
        .params
        .iter()
        .map(|&layout| {
            let info = info(layout);
            numbers.tensor(Shape::vector(1, info.file_len()))
        })
        .collect();
    let shape = case
        .layer
        .output_shape(&case.inputs)
        .unwrap_or_else(|e| panic!("{}: {e}", case.name));
    (inputs, params, numbers.tensor(shape))
}

fn info(layout: ParamLayout) -> ParamInfo {
    ParamInfo {
        name: String::new(),
        layout,
    }
}

#[test]
fn references_agree_with_finite_differences() {
    for case in cases() {
        let mut numbers = Numbers::new(7);
        let (inputs, params, weights) = operands(&case, &mut numbers);
        let objective = |inputs: &[RefTensor], params: &[RefTensor]| -> f64 {
            let y = case.layer.reference_forward(inputs, params);
            assert_eq!(y.shape, weights.shape, "{}", case.name);
            y.data.iter().zip(&weights.data).map(|(a, b)| a * b).sum()
        };
        let (grad_inputs, grad_params) = case.layer.reference_backward(&inputs, &params, &weights);
        let step = 1e-5;
        for (k, tensor) in inputs.iter().enumerate() {
            if case.integers.iter().any(|i| i.0 == k) {
                continue;
            }
            for i in (0..tensor.data.len()).step_by(1 + tensor.data.len() / 23) {
                let mut moved = inputs.clone();
                moved[k].data[i] += step;
                let up = objective(&moved, &params);
                moved[k].data[i] -= 2.0 * step;
                let difference = (up - objective(&moved, &params)) / (2.0 * step);
                let g = grad_inputs[k].data[i];
                assert!(
                    (g - difference).abs() <= 1e-6 * (1.0 + g.abs()),
                    "{}: input {k}[{i}]: {g} against {difference}",
                    case.name
                );
            }
        }
        for (k, tensor) in params.iter().enumerate() {
            for i in (0..tensor.data.len()).step_by(1 + tensor.data.len() / 23) {
                let mut moved = params.clone();
                moved[k].data[i] += step;
                let up = objective(&inputs, &moved);
                moved[k].data[i] -= 2.0 * step;
                let difference = (up - objective(&inputs, &moved)) / (2.0 * step);
                let g = grad_params[k].data[i];
                assert!(
                    (g - difference).abs() <= 1e-6 * (1.0 + g.abs()),
                    "{}: parameter {k}[{i}]: {g} against {difference}",
                    case.name
                );
            }
        }
    }
}

const GUARD: f32 = 12345.0;

/// How [`run`] runs a layer.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// Budget of a submission; infinite for one piece.
    pub budget: f64,
    /// Adds up two of the layer on the same inputs, so that gradients are accumulated.
    pub twice: bool,
    /// An input without a gradient.
    pub frozen: Option<usize>,
    /// The layer stands between others, and what goes from one to the next is kept so.
    pub between: Option<Precision>,
    /// The kernel variants.
    pub variants: Variants,
}

/// In one piece, each input with a gradient.
pub(crate) const PLAIN: Way = Way {
    budget: f64::INFINITY,
    twice: false,
    frozen: None,
    between: None,
    variants: Variants {
        subgroup_lanes: 0,
        wide_tiles: false,
        narrow_tiles: false,
        few_threads: false,
        winograd: false,
        workgroup_tiles: false,
        general_convolution: false,
    },
};

/// Runs the layer's kernels, with guard values in all memory that they should write, and returns
/// the output, the gradients of inputs that have one, and those of the parameters.
pub(crate) fn run(
    case: &Case,
    inputs: &[RefTensor],
    params: &[RefTensor],
    grad: &RefTensor,
    way: Way,
) -> Vec<Vec<f32>> {
    let gpu = gpu();
    let mut graph = Graph::new();
    let values: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(k, t)| {
            let constant = case.integers.iter().any(|i| i.0 == k) || way.frozen == Some(k);
            graph.input("input", t.shape, !constant)
        })
        .collect();
    let ids: Vec<_> = case.params.iter().map(|&l| graph.param("p", l)).collect();
    let same = Scale { mul: 1.0, add: 0.0 };
    let mut operands = values.clone();
    if way.between.is_some() {
        for (k, value) in operands.iter_mut().enumerate() {
            if case.integers.iter().all(|i| i.0 != k) {
                *value = graph.add("same", same, &[*value], &[]).expect("a shape");
            }
        }
    }
    let mut add = || {
        graph
            .add_shared(case.name, Arc::clone(&case.layer), &operands, &ids)
            .unwrap_or_else(|e| panic!("{}: {e}", case.name))
    };
    let mut output = add();
    if way.twice {
        let other = add();
        output = graph
            .add("sum", Add, &[output, other], &[])
            .expect("one shape");
    }
    if way.between.is_some() {
        output = graph.add("same", same, &[output], &[]).expect("a shape");
    }

    let infos: Vec<ParamInfo> = case.params.iter().map(|&l| info(l)).collect();
    let mut sizes: Vec<(&str, u64)> = Vec::new();
    for t in inputs {
        sizes.push(("input", 4 * t.shape.words() as u64));
    }
    for _ in 0..2 {
        for i in &infos {
            sizes.push(("param", 4 * i.words() as u64));
        }
    }
    sizes.push(("grad", 4 * grad.shape.words() as u64));
    let (_pool, views) = Pool::allocate(&gpu, "test", &sizes).expect("memory");
    let (input_views, rest) = views.split_at(inputs.len());
    let (param_views, rest) = rest.split_at(infos.len());
    let (grad_views, rest) = rest.split_at(infos.len());
    for (k, (view, t)) in input_views.iter().zip(inputs).enumerate() {
        if case.integers.iter().any(|i| i.0 == k) {
            let words: Vec<u32> = t.data.iter().map(|&v| v as u32).collect();
            view.write(&gpu, 0, &words);
        } else {
            view.write(&gpu, 0, &t.to_plan());
        }
    }
    for ((view, t), i) in param_views.iter().zip(params).zip(&infos) {
        let file: Vec<f32> = t.data.iter().map(|&v| v as f32).collect();
        view.write(&gpu, 0, &i.pack(&file));
    }
    // Parameter gradients are added to: they start at 1 here.
    for (view, i) in grad_views.iter().zip(&infos) {
        view.write(&gpu, 0, &i.pack(&vec![1.0; i.file_len()]));
    }
    rest[0].write(&gpu, 0, &grad.to_plan());

    let mut plan =
        PlanBuilder::with_variants(way.variants).with_precision(way.between.unwrap_or_default());
    let bound: Vec<_> = values
        .iter()
        .zip(input_views)
        .map(|(&v, view)| (v, plan.external("input", view)))
        .collect();
    let weights: Vec<_> = param_views
        .iter()
        .map(|v| plan.external("param", v))
        .collect();
    let grads: Vec<_> = grad_views
        .iter()
        .map(|v| plan.external("grad", v))
        .collect();
    let grad_output = plan.external("grad output", &rest[0]);
    let mut lowered = graph.lower_forward(&mut plan, &bound, &weights);
    let y = lowered.tensors[&output];
    plan.keep(y);
    let value_grads = graph.lower_backward(
        &mut plan,
        &mut lowered,
        &weights,
        &grads,
        output,
        grad_output,
        false,
    );
    let input_grads: Vec<_> = values.iter().map(|v| value_grads.get(v).copied()).collect();
    for g in input_grads.iter().flatten() {
        plan.keep(*g);
    }
    let plan = plan.prepare(&gpu).expect(case.name);
    crate::nn::testing::execute(&gpu, &plan, GUARD.to_bits(), way.budget);
    let mut wanted: Vec<View> = vec![plan.view(y).clone()];
    wanted.extend(input_grads.iter().flatten().map(|&g| plan.view(g).clone()));
    wanted.extend(grad_views.iter().cloned());
    let out = readback::read_f32(&gpu, &wanted).expect(case.name);
    gpu.check().expect(case.name);
    out
}

fn compare(case: &Case, what: &str, found: &RefTensor, expected: &RefTensor) {
    let scale = expected.data.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.data.iter().zip(&expected.data).enumerate() {
        assert!(
            (f - e).abs() <= 2e-5 * scale,
            "{}: {what}[{i}] is {f}, expected {e}",
            case.name
        );
    }
}

#[test]
fn kernels_agree_with_references() {
    for variants in Variants::all(&gpu()) {
        kernels_agree(variants);
    }
}

fn kernels_agree(variants: Variants) {
    for case in cases() {
        let mut numbers = Numbers::new(11);
        let (inputs, params, grad) = operands(&case, &mut numbers);
        let plain = Way { variants, ..PLAIN };
        let out = run(&case, &inputs, &params, &grad, plain);
        let expected = case.layer.reference_forward(&inputs, &params);
        let (grad_inputs, grad_params) = case.layer.reference_backward(&inputs, &params, &grad);
        compare(
            &case,
            "output",
            &RefTensor::from_plan(expected.shape, &out[0]),
            &expected,
        );
        assert_padding(&case, expected.shape, &out[0]);
        let mut at = 1;
        for (k, g) in grad_inputs.iter().enumerate() {
            if case.integers.iter().any(|i| i.0 == k) {
                continue;
            }
            compare(
                &case,
                &format!("grad of input {k}"),
                &RefTensor::from_plan(g.shape, &out[at]),
                g,
            );
            assert_padding(&case, g.shape, &out[at]);
            at += 1;
        }
        for (k, (g, &layout)) in grad_params.iter().zip(&case.params).enumerate() {
            let file = info(layout).unpack(&out[at]);
            let found = RefTensor {
                data: file.iter().map(|&v| f64::from(v) - 1.0).collect(),
                shape: g.shape,
            };
            compare(&case, &format!("grad of parameter {k}"), &found, g);
            let padding: f32 = out[at].iter().sum::<f32>() - file.iter().sum::<f32>();
            let scale: f32 = file.iter().map(|v| v.abs()).sum();
            assert!(
                padding.abs() <= 1e-4 * scale,
                "{}: padding of parameter {k}",
                case.name
            );
            at += 1;
        }

        let budget = 3e4;
        let pieces = run(&case, &inputs, &params, &grad, Way { budget, ..plain });
        for (a, b) in out.iter().zip(&pieces) {
            let same = a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same, "{}: cut into pieces, the bits differ", case.name);
        }
    }
}

#[test]
fn gradients_are_added_to_those_of_another_consumer() {
    for case in cases() {
        if case.name.starts_with("dropout") {
            continue; // The second would draw another mask; see its own test.
        }
        let mut numbers = Numbers::new(13);
        let (inputs, params, grad) = operands(&case, &mut numbers);
        let (grad_inputs, grad_params) = case.layer.reference_backward(&inputs, &params, &grad);
        let twice = true;
        let out = run(&case, &inputs, &params, &grad, Way { twice, ..PLAIN });
        let mut at = 1;
        for (k, g) in grad_inputs.iter().enumerate() {
            if case.integers.iter().any(|i| i.0 == k) {
                continue;
            }
            let mut found = RefTensor::from_plan(g.shape, &out[at]);
            found.data.iter_mut().for_each(|v| *v /= 2.0);
            compare(&case, &format!("grad of input {k}, twice"), &found, g);
            assert_padding(&case, g.shape, &out[at]);
            at += 1;
        }
        for (k, (g, &layout)) in grad_params.iter().zip(&case.params).enumerate() {
            let file = info(layout).unpack(&out[at]);
            let found = RefTensor {
                data: file.iter().map(|&v| f64::from(v - 1.0) / 2.0).collect(),
                shape: g.shape,
            };
            compare(&case, &format!("grad of parameter {k}, twice"), &found, g);
            at += 1;
        }
    }
}

#[test]
fn an_input_without_gradient_changes_no_other() {
    for case in cases() {
        let mut numbers = Numbers::new(17);
        let (inputs, params, grad) = operands(&case, &mut numbers);
        let all = run(&case, &inputs, &params, &grad, PLAIN);
        let mut at = 1;
        for k in 0..inputs.len() {
            if case.integers.iter().any(|i| i.0 == k) {
                continue;
            }
            let frozen = Some(k);
            let some = run(&case, &inputs, &params, &grad, Way { frozen, ..PLAIN });
            let mut expected = all.clone();
            expected.remove(at);
            assert_eq!(some.len(), expected.len(), "{}", case.name);
            for (a, b) in some.iter().flatten().zip(expected.iter().flatten()) {
                // A bias gradient may be summed in another order.
                let close = (a - b).abs() <= 1e-5 * (1.0 + b.abs());
                assert!(close, "{}: without input {k}, {a} for {b}", case.name);
            }
            at += 1;
        }
    }
}

/// Largest difference, by the largest number.
pub(crate) fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0, |m, (f, e)| m.max((f - e).abs() / scale))
}

/// Operands, output and gradients kept as f16 are those kept as f32, but for rounding; with two consumers, gradients
/// are added up there.
#[test]
fn feature_maps_may_be_f16() {
    let gpu = gpu();
    if Precision::F16.check(&gpu).is_err() {
        eprintln!("skipped: {} has no f16", gpu.info.name);
        return;
    }
    for variants in Variants::all(&gpu) {
        let mut rounded = 0;
        // Points have no feature maps, and their features read single numbers.
        for case in cases().iter().filter(|c| !c.name.starts_with("Fourier")) {
            let mut numbers = Numbers::new(19);
            let (inputs, params, grad) = operands(case, &mut numbers);
            // Two of a dropout would draw two masks.
            let twice = !case.name.starts_with("dropout");
            let [wide, narrow] = [Precision::F32, Precision::F16].map(|precision| {
                let way = Way {
                    variants,
                    twice,
                    between: Some(precision),
                    ..PLAIN
                };
                run(case, &inputs, &params, &grad, way)
            });
            for (k, (n, w)) in narrow.iter().zip(&wide).enumerate() {
                let d = difference(n, w);
                assert!(d <= 4e-3, "{}: result {k} is off by {d}", case.name);
                rounded += usize::from(d > 1e-5);
            }
        }
        assert!(rounded > 50, "hardly anything was kept as f16");
    }
}

fn assert_padding(case: &Case, shape: Shape, words: &[f32]) {
    for p in 0..shape.pixels() {
        for c in shape.c..shape.cp() {
            assert_eq!(
                words[p * shape.cp() + c],
                0.0,
                "{}: padding channel",
                case.name
            );
        }
    }
}

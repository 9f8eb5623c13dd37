//! The fixtures of PyTorch and diffusers, with every choice of kernel variants; and that the comparison
//! can fail. `NOISELAB_CASES` names a folder of more cases.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use noiselab::{
    gpu::{AdapterChoice, Gpu},
    nn::plan::Variants,
    parity::{self, Case, Tensors, Verdict},
};

fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    let open = || Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
    Arc::clone(GPU.get_or_init(open))
}

fn cases(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut cases: Vec<PathBuf> = entries
        .map(|e| e.expect("a folder's entry").path())
        .filter(|p| p.join("case.json").is_file())
        .collect();
    cases.sort();
    cases
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle")
}

#[test]
fn every_variant_computes_what_pytorch_does() {
    let mut all = cases(&fixtures());
    assert!(all.len() >= 2, "the fixtures are missing");
    if let Some(more) = std::env::var_os("NOISELAB_CASES") {
        all.extend(cases(Path::new(&more)));
    }
    let gpu = gpu();
    let variants = Variants::all(&gpu);
    assert!(variants.len() >= 2);
    for case in all {
        let report = parity::run(&gpu, &case, &variants).expect("a case");
        assert_eq!(report.variants.len(), variants.len());
        for variant in &report.variants {
            let what = format!("{}: {}", case.display(), variant.label);
            for group in &variant.groups {
                assert_ne!(group.verdict, Verdict::Failed, "{what}: {group:#?}");
            }
            // What all cases have, so that nothing is left out unseen.
            for name in [
                "out",
                "loss",
                "grad",
                "grad_norm",
                "adam1",
                "ddpm.small",
                "step.ddim",
            ] {
                let group = variant.groups.iter().find(|g| g.name == name).expect(name);
                assert!(group.tensors > 0, "{what}: no {name}");
            }
        }
        assert!(report.unknown.is_empty(), "{:?}", report.unknown);
    }
}

/// What was computed for the small fixture, and the case.
fn computed(name: &str) -> (Case, Tensors) {
    let case = Case::load(&fixtures().join(name)).expect("a case");
    let gpu = gpu();
    let tensors = parity::compute(&gpu, &case, Variants::choose(&gpu)).expect("results");
    (case, tensors)
}

fn failed(case: &Case, tensors: &Tensors) -> Vec<&'static str> {
    parity::compare(case, tensors)
        .into_iter()
        .filter(|g| g.verdict == Verdict::Failed)
        .map(|g| g.name)
        .collect()
}

#[test]
fn a_wrong_number_fails_its_group_and_no_other() {
    for fixture in ["tiny", "tiny_cifar"] {
        let (mut case, tensors) = computed(fixture);
        assert_eq!(failed(&case, &tensors), Vec::<&str>::new());
        let scale =
            |factor: f32| move |data: &mut Vec<f32>| data.iter_mut().for_each(|v| *v *= factor);
        let names: Vec<String> = case.tensors.keys().cloned().collect();
        let some = |prefix: &str, end: &str| {
            names
                .iter()
                .find(|n| n.starts_with(prefix) && n.ends_with(end))
                .cloned()
                .unwrap_or_else(|| panic!("{fixture} has no {prefix}…{end}"))
        };
        let zero = format!("grad.{}", case.zero[0]);
        type Change<'a> = Box<dyn Fn(&mut Vec<f32>) + 'a>;
        let mut changes: Vec<(String, &str, Change<'_>)> = vec![
            (some("sched.betas", ""), "sched", Box::new(scale(1.00001))),
            (some("time_proj", ""), "time_proj", Box::new(scale(1.0001))),
            (some("x_t", ""), "x_t", Box::new(scale(1.0001))),
            (some("out", ""), "out", Box::new(scale(1.0003))),
            (some("loss", ""), "loss", Box::new(scale(1.0003))),
            (
                some("grad.", "conv_in.weight"),
                "grad",
                Box::new(scale(1.003)),
            ),
            (zero, "grad (zero)", Box::new(|d| d[0] = 1e-3)),
            (some("grad_norm", ""), "grad_norm", Box::new(scale(1.003))),
            (
                some("step.small.", ""),
                "step.small",
                Box::new(scale(1.0001)),
            ),
            (
                some("step.large.", ""),
                "step.large",
                Box::new(scale(1.0001)),
            ),
            (some("step.ddim.", ""), "step.ddim", Box::new(scale(1.0001))),
            (some("ddim.t", ""), "timesteps", Box::new(|d| d[0] += 1.0)),
        ];
        for kind in ["ddpm.small", "ddpm.large", "ddim.eta0", "ddim.eta05"] {
            let wrong: Change<'_> = Box::new(|d| {
                let last = d.len() - d.len() / 5;
                d[last..].iter_mut().for_each(|v| *v += 0.01);
            });
            changes.push((some(kind, ".x"), kind, wrong));
        }
        for (name, group, change) in changes {
            let kept = case.tensors[&name].clone();
            change(&mut case.tensors.get_mut(&name).expect("the tensor").data);
            assert_eq!(failed(&case, &tensors), [group], "{fixture}: {name}");
            case.tensors.insert(name, kept);
        }
    }
}

#[test]
fn adam_that_does_nothing_or_the_wrong_thing_fails() {
    let (case, tensors) = computed("tiny");
    let group = |case: &Case, tensors: &Tensors| failed(case, tensors);
    let name = "conv_in.weight";
    let before = case.weights[name].clone();
    // Weights that stay where they were.
    let mut lazy = tensors.clone();
    lazy.insert(format!("adam1.{name}"), before.clone());
    assert_eq!(group(&case, &lazy), ["adam1"]);
    // A step a twentieth too long.
    let mut long = tensors.clone();
    let after = long.get_mut(&format!("adam1.{name}")).expect("weights");
    for (v, b) in after.data.iter_mut().zip(&before.data) {
        *v = b + 1.05 * (*v - b);
    }
    assert_eq!(group(&case, &long), ["adam1"]);
    // A few entries that go the other way although their gradient is large.
    let mut turned = tensors.clone();
    let after = turned.get_mut(&format!("adam1.{name}")).expect("weights");
    let gradient = &case.tensors[&format!("grad.{name}")].data;
    let mut order: Vec<usize> = (0..gradient.len()).collect();
    order.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
    for &i in &order[..2] {
        after.data[i] = 2.0 * before.data[i] - after.data[i];
    }
    assert_eq!(group(&case, &turned), ["adam1"]);
    // A tensor that is not there, or not a number.
    let mut short = tensors.clone();
    short.remove(&format!("adam1.{name}"));
    assert_eq!(group(&case, &short), ["adam1"]);
    let mut broken = tensors;
    broken.get_mut("out").expect("the output").data[3] = f32::NAN;
    assert_eq!(group(&case, &broken), ["out"]);
}

#[test]
fn a_case_with_less_in_it_is_compared_as_far_as_it_goes() {
    let (mut case, _) = computed("tiny");
    let keep = ["x_t", "t", "out", "sched.betas"];
    case.tensors.retain(|name, _| keep.contains(&name.as_str()));
    let gpu = gpu();
    let tensors = parity::compute(&gpu, &case, Variants::choose(&gpu)).expect("results");
    let groups = parity::compare(&case, &tensors);
    let verdicts = |verdict| {
        let of = groups.iter().filter(|g| g.verdict == verdict);
        of.map(|g| g.name).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(Verdict::Passed), ["sched", "out"]);
    assert_eq!(verdicts(Verdict::Absent).len(), groups.len() - 2);
}

#[test]
fn a_case_that_does_not_fit_its_network_is_refused() {
    let (case, _) = computed("tiny");
    let gpu = gpu();
    let refuse = |change: &dyn Fn(&mut Case), parts: &[&str]| {
        let mut bad = case.clone();
        change(&mut bad);
        let error = parity::compute(&gpu, &bad, Variants::choose(&gpu))
            .expect_err("a bad case")
            .to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    };
    let shape = |name: &'static str, shape: &'static [usize]| {
        move |c: &mut Case| c.tensors.get_mut(name).expect(name).shape = shape.to_vec()
    };
    refuse(
        &shape("x_t", &[4, 1, 64]),
        &["x_t", "[4, 1, 64]", "[any, 1, 8, 8]"],
    );
    refuse(&shape("eps", &[1, 4, 8, 8]), &["eps", "[1, 4, 8, 8]"]);
    refuse(
        &|c| c.tensors.get_mut("t").expect("t").data[1] = 1000.0,
        &["1000", "0 to 999"],
    );
    refuse(
        &|c| c.tensors.get_mut("step.t_ddim").expect("t").data[0] = 981.0,
        &["step.t_ddim", "981"],
    );
    refuse(
        &|c| drop(c.tensors.remove("traj.x_init")),
        &["ddpm.small.x", "traj.x_init"],
    );
}

#[test]
fn folders_that_are_no_case_say_what_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = |dir: &Path| Case::load(dir).expect_err("no case").to_string();
    assert!(error(&dir.path().join("absent")).contains("absent does not exist"));
    assert!(error(dir.path()).contains("pipeline does not exist"));
    let copy = |from: &str| {
        let to = dir.path().join(from);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(fixtures().join("tiny").join(from), to).expect("a copy");
    };
    copy("pipeline/model_index.json");
    copy("pipeline/unet/config.json");
    copy("pipeline/unet/diffusion_pytorch_model.safetensors");
    assert!(error(dir.path()).contains("case.safetensors does not exist"));
    copy("case.safetensors");
    assert!(error(dir.path()).contains("case.json does not exist"));
    std::fs::write(dir.path().join("case.json"), "{").expect("a file");
    assert!(error(dir.path()).contains("not valid JSON"));
    copy("case.json");
    assert!(Case::load(dir.path()).is_ok());
    let file = dir.path().join("case.safetensors");
    let bytes = std::fs::read(&file).expect("a file");
    std::fs::write(&file, &bytes[..bytes.len() - 100]).expect("a file");
    assert!(error(dir.path()).contains("is truncated"));
}

#[test]
fn what_is_dumped_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (case, tensors) = computed("tiny");
    let path = dir.path().join("dump.safetensors");
    parity::dump(&path, &tensors).expect("a file");
    let bytes = std::fs::read(&path).expect("a file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let view = file.tensor("grad.conv_in.weight").expect("the gradient");
    assert_eq!(view.shape(), case.tensors["grad.conv_in.weight"].shape);
    let first = f32::from_le_bytes(*view.data().first_chunk().expect("a number"));
    assert_eq!(first, tensors["grad.conv_in.weight"].data[0]);
}

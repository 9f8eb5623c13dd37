//! The program itself: what it writes, and what it says when something is wrong.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    columns, contents, fail, noiselab, program, succeed, text, write_data, write_model,
};

/// A folder with a data set, a model, and a run of three steps.
struct Bench {
    _folder: tempfile::TempDir,
    root: PathBuf,
    data: String,
    model: PathBuf,
    run: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        write_data(&root.join("data"), 8);
        write_model(&root.join("model"), 8, 1);
        let data = text(&root.join("data")).to_owned();
        Self {
            data,
            model: root.join("model"),
            run: root.join("run"),
            root,
            _folder: folder,
        }
    }

    /// With the run.
    fn trained() -> Self {
        let bench = Self::new();
        let said = succeed(&bench.train(&bench.run, &["--steps", "3"]));
        assert!(said.contains("trained for 3 steps"), "{said}");
        bench
    }

    /// The arguments of a small run.
    fn train<'a>(&'a self, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["train", "--dataset", &self.data, "--preset", "tiny"];
        args.extend(["--init", text(&self.model), "--out", text(out)]);
        args.extend(["--batch", "4", "--seed", "5", "--checkpoint-every", "2"]);
        args.extend(["--eval-every", "2", "--eval-images", "4"]);
        args.extend(["--grid", "2", "--grid-steps", "2"]);
        args.extend(more);
        args
    }

    fn resume<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["train", "--resume", "--out", text(&self.run)], more].concat()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

#[test]
fn train_writes_a_folder_that_can_be_resumed_sampled_and_evaluated() {
    let bench = Bench::trained();
    for name in [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "noiselab/state.safetensors",
        "noiselab/state.json",
        "samples.png",
        "samples/step_000002.png",
        "samples/step_000003.png",
        "heldout.csv",
        "loss_by_t.csv",
    ] {
        assert!(bench.run.join(name).is_file(), "{name}");
    }
    // The same command again, with --resume and more steps, instead of --init.
    let said = succeed(&bench.resume(&["--steps", "5", "--batch", "4", "--preset", "tiny"]));
    assert!(said.contains("trained for 5 steps"), "{said}");
    let whole = bench.path("whole");
    succeed(&bench.train(&whole, &["--steps", "5"]));
    let losses = |dir: &Path| columns(&dir.join("log.csv"), &["step", "loss", "grad_norm"]);
    assert_eq!(losses(&bench.run), losses(&whole));
    let said = succeed(&bench.resume(&[]));
    assert!(said.contains("already has 5 steps"), "{said}");

    let path = |name: &str| bench.path(name);
    let (grid, film, gif, numbers) = (path("g.png"), path("f.png"), path("f.gif"), path("n.st"));
    let mut args = vec!["sample", text(&bench.run), "--n", "3", "--batch", "2"];
    args.extend([
        "--sampler",
        "ddpm",
        "--steps",
        "4",
        "--seed",
        "9",
        "--scale",
        "2",
    ]);
    args.extend([
        "--out",
        text(&grid),
        "--film",
        text(&film),
        "--gif",
        text(&gif),
    ]);
    args.extend(["--frames", "3", "--tensor", text(&numbers)]);
    succeed(&args);
    let size = |path: &Path| {
        let picture = image::open(path).expect("a picture");
        (picture.width(), picture.height())
    };
    // 2 x 2 cells of 16 pixels; 3 times by x_t and x_0 of 2 samples.
    assert_eq!(size(&grid), (2 * 18 + 2, 2 * 18 + 2));
    assert_eq!(size(&film), (3 * 18 + 2, 4 * 18 + 2));
    assert!(gif.is_file());
    let bytes = fs::read(&numbers).expect("a file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    for name in ["samples", "x_init"] {
        assert_eq!(file.tensor(name).expect(name).shape(), [3, 1, 8, 8]);
    }
    // Raw and averaged weights are not the same after five steps.
    let raw = path("raw.png");
    let mut args = vec!["sample", text(&bench.run), "--raw-weights", "--n", "3"];
    args.extend(["--steps", "4", "--seed", "9", "--out", text(&raw)]);
    succeed(&args);
    assert_ne!(
        fs::read(&raw).expect("a file"),
        fs::read(&grid).expect("a file")
    );

    let near = path("near.png");
    let mut args = vec!["eval", text(&bench.run), "--dataset", &bench.data, "--json"];
    args.extend([
        "--limit",
        "6",
        "--per-image",
        "2",
        "--neighbours",
        text(&near),
    ]);
    let report: Value = serde_json::from_str(&succeed(&args)).expect("JSON");
    let bound = &report["report"]["bound"];
    assert_eq!(bound["images"], 6);
    assert_eq!(bound["dimensions"], 64);
    assert_eq!(report["test_images"], 12);
    let of = |name: &str| bound[name]["mean"].as_f64().expect("a number");
    let sum = of("prior") + of("middle") + of("decoder");
    assert!((of("total") - sum).abs() < 1e-9 * sum, "{bound}");
    assert_eq!(
        report["neighbours"]["samples"][0].as_array().map(Vec::len),
        Some(7)
    );
    assert_eq!(size(&near), (8 * 66 + 2, 8 * 66 + 2));
    args.retain(|a| *a != "--json");
    let table = succeed(&args);
    assert!(
        table.contains("L_T") && table.contains("6 of the 12 test images"),
        "{table}"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let bench = Bench::new();
    let out = bench.path("long");
    let mut args = vec!["train", "--dataset", &bench.data, "--preset", "tiny"];
    args.extend([
        "--init",
        text(&bench.model),
        "--out",
        text(&out),
        "--batch",
        "4",
    ]);
    // Nothing but training, so that the signal meets it there.
    args.extend([
        "--steps",
        "100000",
        "--eval-every",
        "0",
        "--checkpoint-every",
        "0",
    ]);
    args.extend(["--grid", "0"]);
    let mut child = program()
        .args(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let index = out.join("model_index.json");
    let begun = Instant::now();
    while !index.is_file() && begun.elapsed() < Duration::from_secs(120) {
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended early"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill").success());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("is saved at step") && said.contains("--resume"),
        "{said}"
    );
    let state = fs::read(out.join("noiselab/state.json")).expect("a state");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    let step = state["step"].as_u64().expect("a step");
    assert_eq!(columns(&out.join("log.csv"), &["step"]).len() as u64, step);
    let more = (step + 1).to_string();
    let args = ["train", "--out", text(&out), "--resume", "--steps", &more];
    assert!(succeed(&args).contains(&format!("trained for {more} steps")));
}

#[test]
fn a_run_is_only_resumed_as_itself() {
    let bench = Bench::trained();
    let before = contents(&bench.run);
    for (more, words) in [
        (vec!["--batch", "2"], vec!["--batch 2 instead of 4"]),
        (
            vec!["--preset", "digits"],
            vec!["--preset digits instead of tiny"],
        ),
        (vec!["--size", "16"], vec!["--size 16"]),
        (
            vec!["--lr", "0.5", "--loss", "vlb", "--seed", "6"],
            vec![
                "--lr 0.5 instead of",
                "--loss vlb instead of simple",
                "--seed 6 instead of 5",
            ],
        ),
        (
            vec!["--timesteps", "10"],
            vec!["--timesteps 10 instead of 50"],
        ),
    ] {
        let said = fail(&bench.resume(&more));
        for word in words {
            assert!(said.contains(word), "{said}");
        }
    }
    let other = bench.path("other");
    write_data(&other, 12);
    let said = fail(&bench.resume(&["--dataset", text(&other), "--steps", "9"]));
    assert!(
        said.contains("not the one") || said.contains("12x12"),
        "{said}"
    );
    let images = fs::read(bench.path("data/t10k-images-idx3-ubyte")).expect("a file");
    let changed = bench.path("data/train-images-idx3-ubyte");
    let mut bytes = fs::read(&changed).expect("a file");
    bytes[100] ^= 1;
    fs::write(&changed, bytes).expect("a file");
    let said = fail(&bench.resume(&["--steps", "9"]));
    assert!(
        said.contains("not the one that the run was started with"),
        "{said}"
    );
    assert!(!images.is_empty());
    assert_eq!(contents(&bench.run), before);

    let nothing = bench.path("nothing");
    let args = ["train", "--out", text(&nothing), "--resume"];
    assert!(fail(&args).contains("does not exist"));
    fs::create_dir(&nothing).expect("a folder");
    assert!(fail(&args).contains("no training state"));
    assert!(contents(&nothing).is_empty());
}

#[test]
fn a_new_run_overwrites_nothing() {
    let bench = Bench::new();
    let mine = bench.path("mine");
    fs::create_dir(&mine).expect("a folder");
    fs::write(mine.join("notes.txt"), "mine").expect("a file");
    let before = contents(&mine);
    let said = fail(&bench.train(&mine, &[]));
    assert!(
        said.contains("mine is not empty") && said.contains("--out"),
        "{said}"
    );
    assert_eq!(contents(&mine), before);
    let said = fail(&bench.train(&mine.join("notes.txt"), &[]));
    assert!(said.contains("notes.txt"), "{said}");
    assert_eq!(contents(&mine), before);
}

/// A model folder with one thing changed.
fn broken(bench: &Bench, name: &str, change: impl FnOnce(&Path)) -> PathBuf {
    let dir = bench.path(name);
    write_model(&dir, 8, 1);
    change(&dir);
    dir
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut document = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
    change(&mut document);
    fs::write(path, document.to_string()).expect("a file");
}

#[test]
fn models_that_cannot_be_used_are_refused_in_one_sentence() {
    let bench = Bench::new();
    let weights = "unet/diffusion_pytorch_model.safetensors";
    let config = "unet/config.json";
    let empty = bench.path("empty");
    fs::create_dir(&empty).expect("a folder");
    let cases = [
        (bench.path("absent"), vec!["absent does not exist"]),
        (empty, vec!["holds no model"]),
        (
            broken(&bench, "truncated", |dir| {
                let path = dir.join(weights);
                let bytes = fs::read(&path).expect("a file");
                fs::write(&path, &bytes[..bytes.len() - 100]).expect("a file");
            }),
            vec!["is truncated", "bytes were expected"],
        ),
        (
            broken(&bench, "shape", |dir| {
                rewrite(&dir.join(config), |c| {
                    c["block_out_channels"] = json!([8, 24])
                });
            }),
            vec!["wrong shape", "expected [", "found ["],
        ),
        (
            broken(&bench, "block", |dir| {
                rewrite(&dir.join(config), |c| {
                    c["down_block_types"] = json!(["DownBlock2D", "SkipDownBlock2D"]);
                });
            }),
            vec!["SkipDownBlock2D"],
        ),
        (
            broken(&bench, "json", |dir| {
                fs::write(dir.join(config), "{").expect("a file");
            }),
            vec!["config.json", "not valid JSON"],
        ),
        (
            broken(&bench, "scheduler", |dir| {
                rewrite(&dir.join("scheduler/scheduler_config.json"), |c| {
                    c["_class_name"] = json!("PNDMScheduler");
                });
            }),
            vec!["PNDMScheduler"],
        ),
        (
            broken(&bench, "weightless", |dir| {
                fs::remove_file(dir.join(weights)).expect("a file");
            }),
            vec!["weights"],
        ),
    ];
    for (dir, words) in cases {
        let picture = bench.path("grid.png");
        let out = bench.path("out");
        for args in [
            vec!["sample", text(&dir), "--out", text(&picture)],
            vec!["eval", text(&dir), "--dataset", &bench.data],
            vec![
                "train",
                "--dataset",
                &bench.data,
                "--init",
                text(&dir),
                "--out",
                text(&out),
            ],
        ] {
            let said = fail(&args);
            for word in &words {
                assert!(said.contains(word), "{args:?}: {said}");
            }
        }
        assert!(!picture.exists() && !out.exists());
    }
}

#[test]
fn data_that_cannot_be_used_are_refused_in_one_sentence() {
    let bench = Bench::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = bench.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    };
    let images = fs::read(bench.path("data/train-images-idx3-ubyte")).expect("a file");
    let gzip = |bytes: &[u8]| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).expect("memory");
        gz.finish().expect("memory")
    };
    let packed = gzip(&images);
    let picture = |name: &str, picture: image::DynamicImage| {
        let path = bench.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        picture.save(&path).expect("a picture");
        path.parent().expect("a folder").to_owned()
    };
    picture("mixed/a.png", image::DynamicImage::new_luma8(8, 8));
    let mixed = picture("mixed/b.png", image::DynamicImage::new_rgb8(8, 8));
    let empty = bench.path("empty");
    fs::create_dir(&empty).expect("a folder");
    let cases = [
        (bench.path("absent"), "no data set named"),
        (empty, "holds no image"),
        (
            file("a-images-idx3-ubyte", &images[..1000]),
            "a-images-idx3-ubyte",
        ),
        (
            file("b-images-idx3-ubyte.gz", &packed[..packed.len() / 2]),
            "b-images-idx3-ubyte.gz",
        ),
        (
            file("cifar-10-binary.tar.gz", &gzip(b"no archive at all")),
            "cifar-10-binary.tar.gz",
        ),
        (file("c.zip", b"PK\x03\x04 and then nothing"), "c.zip"),
        (
            file("pictures/d.png", b"no picture")
                .parent()
                .expect("a folder")
                .to_owned(),
            "d.png",
        ),
        (mixed, "channel(s)"),
    ];
    let out = bench.path("out");
    for (path, word) in cases {
        let mut args = vec!["train", "--dataset", text(&path), "--preset", "tiny"];
        args.extend(["--steps", "1", "--out", text(&out)]);
        let said = fail(&args);
        assert!(said.contains(word), "{said}");
        assert!(!out.exists());
    }
    let said = fail(&bench.train(&out, &["--accumulate", "11"]));
    assert!(
        said.contains("40 training images, fewer than the 44"),
        "{said}"
    );
    assert!(!out.exists());
}

#[test]
fn settings_that_cannot_be_used_are_refused_in_one_sentence() {
    let bench = Bench::new();
    let grid = bench.path("g.png");
    let sample = |more: &[&str]| -> String {
        let args = ["sample", text(&bench.model), "--out", text(&grid)];
        fail(&[&args, more].concat())
    };
    assert!(sample(&["--steps", "51"]).contains("51 sampling steps"));
    assert!(sample(&["--raw-weights"]).contains("no training state"));
    let said = sample(&["--n", "9000000", "--batch", "9000000", "--steps", "1"]);
    assert!(
        (said.contains("maxStorageBufferBindingSize") || said.contains("maxBufferSize"))
            && (said.contains("would fit") || said.contains("smaller batch")),
        "{said}"
    );
    assert!(!grid.exists());
    let rgb = bench.path("rgb");
    write_model(&rgb, 8, 3);
    let out = bench.path("out");
    let args = [
        "train",
        "--dataset",
        &bench.data,
        "--init",
        text(&rgb),
        "--out",
        text(&out),
    ];
    assert!(fail(&args).contains("1 channels"));
    assert!(!out.exists());
    // What clap refuses has exit code 2 as well.
    for args in [
        vec!["train", "--out", "x"],
        vec!["train", "--out", "x", "--dataset", "mnist", "--batch", "0"],
        vec!["train", "--out", "x", "--dataset", "mnist", "--loss", "mse"],
        vec!["train", "--out", "x", "--resume", "--init", "y"],
        vec!["sample", "x", "--sampler", "magic"],
    ] {
        assert_eq!(noiselab(&args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_with_its_step() {
    let bench = Bench::new();
    let out = bench.path("exploding");
    let said = fail(&bench.train(&out, &["--steps", "50", "--lr", "1e30", "--warmup", "0"]));
    assert!(said.contains("training stopped at step"), "{said}");
    assert!(said.contains("learning rate 1.0e30"), "{said}");
    assert!(out.join("noiselab/state.safetensors").is_file());
    succeed(&[
        "sample",
        text(&out),
        "--n",
        "1",
        "--steps",
        "1",
        "--out",
        text(&bench.path("g.png")),
    ]);
}

/// A file system of 64 KiB; needs root.
#[cfg(target_os = "linux")]
struct TinyDisk(PathBuf);

#[cfg(target_os = "linux")]
impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_leaves_no_part_of_a_file() {
    let bench = Bench::new();
    let disk = bench.path("disk");
    fs::create_dir(&disk).expect("a folder");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&disk)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("skipped: a small file system cannot be mounted here (needs root)");
        return;
    }
    let disk = TinyDisk(disk);
    let out = disk.0.join("run");
    let said = fail(&bench.train(&out, &["--steps", "2"]));
    assert!(said.contains("disk is full"), "{said}");
    let left = contents(&out);
    assert!(
        left.iter()
            .all(|(path, _)| !path.ends_with("state.safetensors"))
    );
    assert!(
        !left
            .iter()
            .any(|(path, _)| path.extension().is_some_and(|e| e == "tmp"))
    );
}

const SCRIPT: &str = r#"
import sys
try:
    import torch
    from safetensors.torch import load_file
    from diffusers import DDIMScheduler, DDPMPipeline
except ImportError:
    sys.exit(77)
folder, numbers = sys.argv[1:]
pipeline = DDPMPipeline.from_pretrained(folder)
pipeline.set_progress_bar_config(disable=True)
images = pipeline(batch_size=2, num_inference_steps=3, output_type="np", generator=torch.manual_seed(0)).images
assert images.shape[:3] == (2, 8, 8), images.shape
tensors = load_file(numbers)
scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
scheduler.set_timesteps(5)
x = tensors["x_init"]
with torch.no_grad():
    for t in scheduler.timesteps:
        x = scheduler.step(pipeline.unet(x, t).sample, t, x).prev_sample
print((x - tensors["samples"]).abs().max().item(), x.std().item())
"#;

#[test]
fn diffusers_opens_what_train_wrote_and_draws_the_same() {
    let python = std::env::var("NOISELAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let known = Command::new(&python)
        .args(["-c", "import torch, diffusers, safetensors"])
        .stderr(Stdio::null())
        .status();
    if !known.is_ok_and(|s| s.success()) {
        eprintln!("skipped: {python} has no torch and diffusers (set NOISELAB_PYTHON)");
        return;
    }
    let bench = Bench::trained();
    let (numbers, grid) = (bench.path("numbers.safetensors"), bench.path("grid.png"));
    let mut args = vec!["sample", text(&bench.run), "--n", "3", "--steps", "5"];
    args.extend(["--tensor", text(&numbers), "--out", text(&grid)]);
    succeed(&args);
    let output = Command::new(&python)
        .args(["-c", SCRIPT, text(&bench.run), text(&numbers)])
        .output()
        .expect("Python");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let found: Vec<f64> = printed
        .split_whitespace()
        .map(|w| w.parse().expect("a number"))
        .collect();
    assert!(found[0] < 1e-3 && found[1] > 0.05, "{printed}");
}

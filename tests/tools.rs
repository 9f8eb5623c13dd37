//! `noiselab parity | bench | info` as a user runs them: output, exit codes, errors of one sentence.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn noiselab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_noiselab"))
        .args(args)
        .env_remove("RUST_LOG")
        .output()
        .expect("the program")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The one sentence that a failed command says.
fn sentence(output: &Output) -> String {
    assert_eq!(code(output), 2, "{output:?}");
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    text.strip_prefix("error: ").expect("an error").to_owned()
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle/tiny")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a copy");
        }
    }
}

#[test]
fn the_help_lists_every_command() {
    let output = noiselab(&["--help"]);
    assert_eq!(code(&output), 0);
    let text = stdout(&output);
    let commands = [
        "app", "forward", "train", "sample", "eval", "bench", "parity", "info",
    ];
    for command in commands {
        assert!(text.contains(&format!("\n  {command} ")), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_display_the_window_says_so_in_a_sentence() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_noiselab"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .output()
        .expect("noiselab");
    assert_eq!(code(&output), 2, "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    let said = text
        .lines()
        .find(|l| l.contains("the window cannot be opened"));
    assert!(
        said.is_some_and(|l| l.contains("noiselab --help")),
        "{text}"
    );
}

#[test]
fn the_forward_process_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("forward.png");
    let path = file.to_str().expect("a path");
    let output = noiselab(&[
        "forward", "--n", "2", "--frames", "3", "--scale", "1", "--out", path,
    ]);
    assert_eq!(code(&output), 0, "{output:?}");
    let picture = image::open(&file).expect("a picture").into_luma8();
    // Three pictures in a row with a border: the first is the digit, the last is noise.
    assert_eq!(picture.dimensions(), (2 + 3 * 30, 2 + 2 * 30));
    let dark = |left: u32| {
        let inside = (0..784).filter(|i| picture.get_pixel(left + i % 28, 2 + i / 28).0[0] < 10);
        inside.count()
    };
    assert!(dark(2) > 500, "the digit's ground is black");
    assert!(dark(2 + 60) < 300, "noise is not");
    let output = noiselab(&["forward", "--index", "59999", "--n", "9", "--out", path]);
    assert_eq!(code(&output), 2);
}

#[test]
fn info_tells_what_the_device_can_do() {
    let output = noiselab(&["info", "--json"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = document["adapter"]["name"].as_str().expect("a name");
    let limit = &document["limits"]["maxStorageBufferBindingSize"];
    assert!(limit.as_u64().is_some_and(|n| n >= 128 << 20));
    assert!(
        document["variants"]["all"]
            .as_array()
            .is_some_and(|v| v.len() >= 2)
    );
    let text = stdout(&noiselab(&["info"]));
    assert!(text.contains(name) && text.contains("subgroups"), "{text}");
    assert!(text.contains("\n  mnist "), "{text}");
    let error = sentence(&noiselab(&["info", "--adapter", "no such thing"]));
    assert!(
        error.contains("no such thing") && error.contains(name),
        "{error}"
    );
}

#[test]
fn parity_passes_fails_and_refuses() {
    let fixture = fixture();
    let path = fixture.to_str().expect("a path");
    let dir = tempfile::tempdir().expect("a folder");
    let dump = dir.path().join("dump.safetensors");
    let output = noiselab(&["parity", path, "--dump", dump.to_str().expect("a path")]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).ends_with("\npassed\n"));
    let bytes = std::fs::read(&dump).expect("the dump");
    let dumped = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let bytes = std::fs::read(fixture.join("case.safetensors")).expect("the case");
    let case = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    for (name, view) in dumped.iter() {
        assert_eq!(case.tensor(name).expect(name).shape(), view.shape());
    }
    for name in [
        "out",
        "grad.conv_in.weight",
        "adam1.conv_in.weight",
        "ddim.eta0.x",
        "step.ddim.4",
    ] {
        assert!(dumped.tensor(name).is_ok(), "{name}");
    }

    // One wrong number of the output is a difference, and no error.
    let wrong = dir.path().join("wrong");
    copy(&fixture, &wrong);
    let out = case.tensor("out").expect("the output").data();
    let mut broken = bytes.clone();
    let at = out.as_ptr() as usize - bytes.as_ptr() as usize;
    let value = f32::from_le_bytes(*out.first_chunk().expect("a number")) + 0.1;
    broken[at..at + 4].copy_from_slice(&value.to_le_bytes());
    std::fs::write(wrong.join("case.safetensors"), broken).expect("a file");
    let wrong = wrong.to_str().expect("a path");
    let output = noiselab(&["parity", wrong]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(stdout(&output).ends_with("\nFAILED\n"));
    let output = noiselab(&["parity", wrong, "--json"]);
    assert_eq!(code(&output), 1);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["passed"], false);
    let groups = document["report"]["variants"][0]["groups"]
        .as_array()
        .expect("groups");
    let verdict = |name: &str| {
        let group = groups.iter().find(|g| g["name"] == name).expect(name);
        group["verdict"].as_str().expect("a verdict").to_owned()
    };
    assert_eq!(verdict("out"), "failed");
    assert_eq!(verdict("grad"), "passed");

    let error = sentence(&noiselab(&["parity", "no/such/folder"]));
    assert!(error.contains("no/such/folder"), "{error}");
    let error = sentence(&noiselab(&["parity", dir.path().to_str().expect("a path")]));
    assert!(error.contains("pipeline does not exist"), "{error}");
    let nowhere = dir.path().join("absent/dump");
    let error = sentence(&noiselab(&[
        "parity",
        path,
        "--dump",
        nowhere.to_str().expect("a path"),
    ]));
    assert!(error.contains("absent"), "{error}");
}

#[test]
fn bench_measures() {
    let args = [
        "bench",
        "--model",
        "tiny",
        "--batch",
        "2",
        "--seconds",
        "0.3",
    ];
    let output = noiselab(&[&args[..], &["--json", "--profile"]].concat());
    assert_eq!(code(&output), 0, "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(number("parameters"), 176_849.0);
    assert_eq!(number("batch"), 2.0);
    for key in [
        "train_images_per_s",
        "sample_images_per_s",
        "encode_s",
        "train_gflops",
    ] {
        assert!(number(key) > 0.0, "{key}");
    }
    // Sampling has no backward pass, which is about twice the forward one.
    let ratio = number("train_flops") / number("sample_flops");
    assert!((2.5..3.6).contains(&ratio), "{ratio}");
    assert!(number("first_step_s") >= number("setup_s") - number("choice_s"));
    // Five sets of the parameters and the arena.
    assert!(number("peak_bytes") > 5.0 * 4.0 * 176_849.0 + number("arena_bytes"));
    let kernels = report["profile"]["kernels"].as_array().expect("a profile");
    let count: f64 = kernels.iter().filter_map(|k| k["count"].as_f64()).sum();
    assert_eq!(count, number("dispatches"));

    let checkpointed = noiselab(&[&args[..], &["--json", "--checkpoint-activations"]].concat());
    let less: Value = serde_json::from_slice(&checkpointed.stdout).expect("JSON");
    assert!(
        less["arena_bytes"]
            .as_f64()
            .is_some_and(|b| b < number("arena_bytes"))
    );

    let error = sentence(&noiselab(&["bench", "--seconds", "0"]));
    assert!(error.contains("--seconds 0"), "{error}");
    assert_eq!(code(&noiselab(&["bench", "--model", "none"])), 2);
}

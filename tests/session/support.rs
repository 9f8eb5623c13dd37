//! What the tests share: a device, small data, a small network, the binary.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, OnceLock},
};

use noiselab::{
    data::{Dataset, Images},
    gpu::{AdapterChoice, Gpu},
    nn::{
        init,
        lr_schedule::{LearningRate, LearningRateDecay},
        unet_config::{BlockKind, UNetConfig},
    },
    session::{config, config::TrainConfig, diffusers, pipeline},
};

/// One device for all tests of this process.
pub fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter"))
        .clone()
}

/// Bright discs of different places and sizes on black.
pub fn discs(count: usize, side: usize, channels: usize) -> Images {
    let mut pixels = Vec::with_capacity(count * side * side * channels);
    for i in 0..count {
        let s = side as f64;
        let centre = |k: usize| s * (0.3 + 0.4 * ((i * k % 11) as f64 / 10.0));
        let (cy, cx, r) = (centre(3), centre(7), s * (0.12 + 0.03 * (i % 5) as f64));
        for p in 0..side * side {
            let (y, x) = ((p / side) as f64, (p % side) as f64);
            let level = (r - (y - cy).hypot(x - cx) + 0.5).clamp(0.0, 1.0);
            pixels.extend((0..channels).map(|c| (level * (255.0 - 60.0 * c as f64)) as u8));
        }
    }
    Images::new(side, side, channels, pixels, None).expect("images")
}

/// 40 discs to train on and 12 others.
pub fn dataset(side: usize, channels: usize) -> Arc<Dataset> {
    let all = discs(52, side, channels);
    let (train, test): (Vec<usize>, Vec<usize>) = ((0..40).collect(), (40..52).collect());
    Arc::new(Dataset::new(
        "discs".into(),
        all.select(&train),
        all.select(&test),
        Vec::new(),
    ))
}

/// Two levels of 8 and 16 channels, attention in the second.
pub fn unet(side: usize, channels: usize) -> UNetConfig {
    UNetConfig {
        sample_size: side,
        in_channels: channels,
        out_channels: channels,
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        norm_num_groups: 4,
        down_block_types: vec![BlockKind::Plain, BlockKind::Attention],
        up_block_types: vec![BlockKind::Attention, BlockKind::Plain],
        ..UNetConfig::default()
    }
}

/// A run of that network with batches of 4.
pub fn config(side: usize, channels: usize) -> TrainConfig {
    let mut config = (config::preset("tiny").expect("a preset").make)(side, channels);
    config.dataset = "discs".into();
    config.unet = unet(side, channels);
    config.batch = 4;
    config.lr = LearningRate {
        base: 2e-3,
        warmup_steps: 3,
        decay: LearningRateDecay::Constant,
    };
    config.scheduler.num_train_timesteps = 50;
    config.scheduler.beta_schedule = "squaredcos_cap_v2".into();
    config.seed = 7;
    config
}

/// Random weights for a network, by name.
pub fn weights(unet: &UNetConfig, seed: u64) -> Vec<(String, Vec<f32>)> {
    let params = pipeline::params(unet).expect("a network");
    let names = params.iter().map(|p| p.name.clone());
    names.zip(init::weights(&params, seed)).collect()
}

/// Writes a pipeline folder of that network with random weights.
pub fn write_model(dir: &Path, side: usize, channels: usize) {
    let config = config(side, channels);
    let scheduler = serde_json::to_value(&config.scheduler).expect("JSON");
    let weights = weights(&config.unet, 1);
    diffusers::write_pipeline(dir, &config.unet, &scheduler, &weights).expect("a pipeline");
}

fn idx(images: &Images) -> Vec<u8> {
    let sizes = [images.len(), images.height, images.width];
    let mut bytes = vec![0, 0, 8, 3];
    for n in sizes {
        bytes.extend((n as u32).to_be_bytes());
    }
    bytes.extend(&images.pixels);
    bytes
}

/// Writes the grey data set as IDX files into a folder.
pub fn write_data(dir: &Path, side: usize) {
    let data = dataset(side, 1);
    fs::create_dir_all(dir).expect("a folder");
    fs::write(dir.join("train-images-idx3-ubyte"), idx(&data.train)).expect("a file");
    fs::write(dir.join("t10k-images-idx3-ubyte"), idx(&data.test)).expect("a file");
}

/// The program, ready to be given arguments.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noiselab"));
    // Some drivers complain on standard error without one.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command.env_remove("RUST_LOG");
    command
}

/// Runs the program to its end.
pub fn noiselab(args: &[&str]) -> Output {
    program().args(args).output().expect("the program starts")
}

/// Runs the program, which must succeed; its standard output.
pub fn succeed(args: &[&str]) -> String {
    let output = noiselab(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs the program, which must fail with exit code 2 and one sentence, which is returned.
pub fn fail(args: &[&str]) -> String {
    let output = noiselab(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{args:?}: {stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert_eq!(
        last, errors[0],
        "the sentence is not the last line of:\n{stderr}"
    );
    last.to_owned()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every file below a folder with its content, to see that nothing changed.
pub fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return out;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(contents(&path));
        } else {
            out.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
    out.sort();
    out
}

/// The columns of a CSV file under these names, as text.
pub fn columns(path: &Path, names: &[&str]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).expect("a CSV file");
    let header = reader.headers().expect("a header").clone();
    let places: Vec<usize> = names
        .iter()
        .map(|name| header.iter().position(|h| h == *name).expect(name))
        .collect();
    reader
        .records()
        .map(|record| {
            let record = record.expect("a row");
            places.iter().map(|&i| record[i].to_owned()).collect()
        })
        .collect()
}

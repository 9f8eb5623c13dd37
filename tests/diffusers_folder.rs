//! Folders that noiselab writes, opened and written back by Python's diffusers.
//!
//! `NOISELAB_PYTHON` names the interpreter (`python3` otherwise); without diffusers there, the test
//! says that it is skipped.

use std::process::Command;

use noiselab::nn::unet_config::UNetConfig;
use noiselab::session::diffusers;
use serde_json::{Value, json};

const SCRIPT: &str = r#"
import sys
try:
    import torch
    from diffusers import DDPMPipeline, UNet2DModel
except ImportError:
    sys.exit(77)
source, target = sys.argv[1:]
_, info = UNet2DModel.from_pretrained(source, subfolder="unet", output_loading_info=True)
assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
pipeline = DDPMPipeline.from_pretrained(source)
pipeline.set_progress_bar_config(disable=True)
assert pipeline.scheduler.config.num_train_timesteps == 50
images = pipeline(batch_size=2, num_inference_steps=2, output_type="pt", generator=torch.manual_seed(0)).images
assert len(images) == 2
weights = pipeline.unet.state_dict()
print(repr(weights["conv_in.weight"].flatten()[5].item()), len(weights))
pipeline.save_pretrained(target)
"#;

#[test]
fn diffusers_opens_what_is_written_and_back() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/unet_specs.json")).unwrap();
    let config = UNetConfig::from_json(&fixture["uneven"]["config"]).unwrap();
    let specs = config.param_specs();
    // A simple generator is enough: the values only have to differ.
    let mut state = 1u32;
    let mut value = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 2f32.powi(24) * 0.2 - 0.1
    };
    let weights: Vec<(String, Vec<f32>)> = specs
        .iter()
        .map(|spec| {
            (
                spec.name.clone(),
                (0..spec.len()).map(|_| value()).collect(),
            )
        })
        .collect();
    let scheduler = json!({
        "_class_name": "DDPMScheduler", "num_train_timesteps": 50,
        "beta_schedule": "squaredcos_cap_v2", "clip_sample": true,
    });
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    diffusers::write_pipeline(&ours, &config, &scheduler, &weights).unwrap();

    let python = std::env::var("NOISELAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&python)
        .args(["-c", SCRIPT])
        .args([&ours, &theirs])
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) => output,
        _ => {
            eprintln!("skipped: {python} has no torch and diffusers (set NOISELAB_PYTHON)");
            return;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut words = printed.split_whitespace();
    let seen: f32 = words.next().unwrap().parse().unwrap();
    assert_eq!(seen, weights[0].1[5]);
    assert_eq!(words.next().unwrap(), specs.len().to_string());

    let files = diffusers::locate(&theirs).unwrap();
    assert_eq!(diffusers::read_unet_config(&theirs).unwrap(), config);
    assert_eq!(
        diffusers::read_weights(&files.weights, &specs).unwrap(),
        weights
    );
    let scheduler = diffusers::read_scheduler_config(&theirs).unwrap().unwrap();
    assert_eq!(scheduler["beta_schedule"], "squaredcos_cap_v2");
}

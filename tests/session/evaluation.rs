//! Evaluation through the library, against what is known in closed form.

use std::f64::consts::LN_2;

use noiselab::{
    data::Images,
    diffusion::loss_weight::{vlb_constant, vlb_mse_weight},
    eval::{EvalOptions, EvalReport, evaluate},
    session::pipeline::Pipeline,
};

use crate::support::{config, discs, gpu, weights};

/// A network that says 0 whatever it sees.
fn silent(side: usize) -> Pipeline {
    let mut config = config(side, 1);
    config.scheduler.clip_sample = false;
    let mut weights = weights(&config.unet, 1);
    for (name, values) in &mut weights {
        if name.starts_with("conv_out.") {
            values.fill(0.0);
        }
    }
    Pipeline {
        unet: config.unet,
        scheduler: config.scheduler,
        weights,
    }
}

fn measure(pipeline: &Pipeline, images: &Images, options: &EvalOptions) -> EvalReport {
    let gpu = gpu();
    let weights = pipeline.upload(&gpu).expect("weights");
    let mut last = 0;
    let report = evaluate(&gpu, pipeline, &weights, images, options, |done, of| {
        assert!(last < done && done <= of);
        last = done;
    })
    .expect("an evaluation");
    assert_eq!(last, report.evaluations);
    report
}

#[test]
fn the_bound_of_a_silent_network_is_the_closed_form() {
    let pipeline = silent(16);
    let schedule = pipeline.scheduler.noise_schedule().expect("a schedule");
    let (variance, objective) = (
        pipeline.scheduler.variance_type,
        pipeline.scheduler.prediction_type,
    );
    let images = discs(64, 16, 1);
    let options = EvalOptions {
        limit: 0,
        per_image: 7,
        batch: 60,
        seed: 3,
        content: (16, 16),
    };
    let report = measure(&pipeline, &images, &options);
    assert_eq!(report.bound.images, 64);
    assert_eq!(report.bound.dimensions, 256);
    assert_eq!(report.evaluations, 64 * 8);
    // With an output of 0 the squared error is that of the noise: 1 on average, with a variance of
    // 2 / D. Every t is met by about 64 / 7 images.
    let (mut expected, mut variance_of_mean) = (0.0, 0.0);
    for t in 1..schedule.timesteps() {
        let weight = vlb_mse_weight(&schedule, variance, objective, t) / LN_2;
        expected += vlb_constant(&schedule, variance, t) / LN_2 + weight;
        variance_of_mean += weight * weight * 2.0 / 256.0 * 7.0 / 64.0;
    }
    let (middle, error) = (report.bound.middle, variance_of_mean.sqrt());
    assert!(error < 0.05 * expected);
    assert!(
        (middle.mean - expected).abs() < 4.0 * error,
        "{middle:?}, expected {expected} ± {error}"
    );
    assert!(
        (0.4..2.5).contains(&(middle.standard_error / error)),
        "{middle:?}, expected {error}"
    );
    for bin in &report.by_timestep {
        assert!((bin.mse - 1.0).abs() < 0.3, "{bin:?}");
    }
    let parts: f64 = report.by_timestep.iter().map(|b| b.bits).sum();
    let sum = middle.mean + report.bound.decoder.mean;
    assert!((parts - sum).abs() < 1e-9 * sum, "{parts} {sum}");
    // L_T is known without sampling.
    let prior: f64 = (0..images.len())
        .flat_map(|i| images.image(i))
        .map(|&v| schedule.terminal_kl((f64::from(v) / 127.5 - 1.0).powi(2)))
        .sum::<f64>()
        / (images.pixels.len() as f64 * LN_2);
    assert!((report.bound.prior.mean - prior).abs() < 1e-6 * prior);
    let all = report.bound.prior.mean + sum;
    assert!((report.bound.total.mean - all).abs() < 1e-9 * all);
}

#[test]
fn padding_is_not_counted_and_batches_do_not_matter() {
    let pipeline = silent(12);
    let images = discs(6, 8, 1);
    let options = EvalOptions {
        limit: 5,
        per_image: 3,
        batch: 3,
        seed: 3,
        content: (8, 8),
    };
    let report = measure(&pipeline, &images, &options);
    assert_eq!((report.bound.dimensions, report.bound.images), (64, 5));
    let whole = measure(
        &pipeline,
        &images,
        &EvalOptions {
            batch: 64,
            ..options
        },
    );
    let (a, b) = (report.bound.total.mean, whole.bound.total.mean);
    assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
    // The same images padded beforehand are the same images.
    let padded = measure(&pipeline, &images.padded(12), &options);
    let c = padded.bound.total.mean;
    assert!((a - c).abs() < 1e-5 * a, "{a} {c}");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let pipeline = silent(8);
    let gpu = gpu();
    let weights = pipeline.upload(&gpu).expect("weights");
    let options = EvalOptions {
        limit: 0,
        per_image: 1,
        batch: 1,
        seed: 0,
        content: (8, 8),
    };
    for (images, word) in [
        (discs(1, 8, 3), "3 channels"),
        (discs(1, 16, 1), "16x16"),
        (discs(0, 8, 1), "number of test images"),
    ] {
        let error = evaluate(&gpu, &pipeline, &weights, &images, &options, |_, _| {});
        let text = error.expect_err("no fit").to_string();
        assert!(text.contains(word), "{text}");
    }
}

//! A measurement of the device.

use noiselab::bench::BenchReport;

/// Its title.
pub fn title(model: &str, batch: usize) -> String {
    format!("Measuring {model} with {batch} images a step")
}

/// What is going on.
pub fn status(status: &str) -> String {
    format!("Now {status}")
}

/// While it lasts.
pub const WAITS: &str = "Everything else waits until the figures are there.";
/// The tooltip of the button that closes it.
pub const CLOSE_HELP: &str = "Go back to the room";

/// The figures by name.
pub fn figures(r: &BenchReport) -> [(&'static str, String); 6] {
    [
        (
            "Training",
            format!(
                "{} images/s ({} steps)",
                rate(r.train_images_per_s),
                r.train_steps
            ),
        ),
        (
            "Sampling, one step each",
            format!(
                "{} images/s ({} steps)",
                rate(r.sample_images_per_s),
                r.sample_steps
            ),
        ),
        (
            "Arithmetic",
            format!("{:.1} and {:.1} GFLOP/s", r.train_gflops, r.sample_gflops),
        ),
        ("First step", format!("{:.1} s", r.first_step_s)),
        (
            "Memory",
            format!("{:.0} MiB", r.peak_bytes as f64 / f64::from(1 << 20)),
        ),
        ("Dispatches a step", r.dispatches.to_string()),
    ]
}

fn rate(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

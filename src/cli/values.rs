//! Parsers of arguments that have a range, and what several commands do alike.

use std::sync::Arc;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use noiselab::data::{self, DataError, Dataset, LoadOptions};
use noiselab::{diffusion::schedule::SCHEDULES, gpu::Gpu, nn::plan::Precision};

use super::progress::{Progress, line};

/// An integer of at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number of at least 1 is needed".into()),
        Ok(n) => Ok(n),
    }
}

/// A number larger than 0.
pub fn positive(text: &str) -> Result<f64, String> {
    within(text, |v| v > 0.0, "a number larger than 0 is needed")
}

/// A number of at least 0.
pub fn not_negative(text: &str) -> Result<f64, String> {
    within(text, |v| v >= 0.0, "a number of at least 0 is needed")
}

/// A number from 0 to 1, both included.
pub fn share(text: &str) -> Result<f64, String> {
    let ok = |v| (0.0..=1.0).contains(&v);
    within(text, ok, "a number from 0 to 1 is needed")
}

/// A number from 0 to below 1.
pub fn below_one(text: &str) -> Result<f64, String> {
    let ok = |v| (0.0..1.0).contains(&v);
    within(text, ok, "a number from 0 to below 1 is needed")
}

/// Bytes with a unit: 1.5GB, 900MiB.
pub fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 7] = [
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("b", 1.0),
    ];
    let wrong = || {
        "give a number with a unit (B, KB, MB, GB, KiB, MiB or GiB), such as 1.5GB or 900MiB"
            .to_owned()
    };
    let lower = text.trim().to_ascii_lowercase();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((lower.strip_suffix(name)?, unit)))
        .ok_or_else(wrong)?;
    match number.trim().parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 && n * unit >= 1.0 => Ok((n * unit) as u64),
        _ => Err(wrong()),
    }
}

fn within(text: &str, ok: impl Fn(f64) -> bool, otherwise: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() && ok(v) => Ok(v),
        _ => Err(otherwise.into()),
    }
}

/// The names of the noise schedules, each with its words.
pub fn schedules() -> PossibleValuesParser {
    PossibleValuesParser::new(
        SCHEDULES
            .iter()
            .map(|s| PossibleValue::new(s.name()).help(s.summary())),
    )
}

/// The ways to keep feature maps.
pub fn precisions() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(["f32", "f16"]).try_map(|name| name.parse::<Precision>())
}

/// Opens a data set; a folder of many pictures shows its progress.
pub fn open_dataset(spec: &str, options: &LoadOptions) -> Result<Arc<Dataset>, DataError> {
    let bar = std::sync::Mutex::new(None::<Progress>);
    let bar = Arc::new(bar);
    let options = LoadOptions {
        progress: Some({
            let bar = Arc::clone(&bar);
            Arc::new(move |done, total| {
                if let Ok(mut bar) = bar.lock() {
                    bar.get_or_insert_with(|| Progress::new("reading images", total as u64))
                        .set(done as u64, String::new);
                }
            })
        }),
        ..options.clone()
    };
    Ok(Arc::new(data::open(spec, &options)?))
}

/// Says which adapter computes.
pub fn announce(gpu: &Gpu) {
    line(&format!(
        "adapter: {} ({:?})",
        gpu.info.name, gpu.info.backend
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(count("3"), Ok(3));
        assert!(count("0").is_err() && count("-1").is_err() && count("x").is_err());
        assert_eq!(positive("2e-4"), Ok(2e-4));
        assert!(positive("0").is_err() && positive("nan").is_err() && positive("inf").is_err());
        assert_eq!(bytes("1.5GB"), Ok(1_500_000_000));
        assert_eq!(bytes("900 MiB"), Ok(900 << 20));
        assert_eq!(bytes("64kb"), Ok(64_000));
        for wrong in ["1.5", "GB", "-1GB", "1.5TB", "infGB", "0MB", ""] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(not_negative("0"), Ok(0.0));
        assert_eq!(share("1"), Ok(1.0));
        assert!(share("1.1").is_err());
        assert!(below_one("1").is_err());
        assert_eq!(below_one("0.999"), Ok(0.999));
    }
}

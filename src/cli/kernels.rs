//! The choice of kernel variants, for the commands that make or show it.

use std::fmt::Write as _;

use noiselab::{
    gpu::Gpu,
    nn::{
        network::Network,
        tuning::{self, Choices, ShapeClass, Tuner, VariantTable},
        unet_config::UNetConfig,
    },
};

use super::{CliError, progress::line};
use crate::remembered;

/// Measures what is not known yet of the layers of a network, and remembers it.
///
/// # Errors
/// A device that fails.
pub fn choose(gpu: &std::sync::Arc<Gpu>, unet: &UNetConfig) -> Result<(), CliError> {
    let mut tuner = Tuner::for_network(gpu, &Network::from(unet))?;
    if tuner.is_done() {
        return Ok(());
    }
    line("choosing kernel variants for this device");
    tuner.run(|_, _| {})?;
    remember(gpu);
    Ok(())
}

/// Remembers what is known of a device; where that fails, it is measured again the next time.
pub fn remember(gpu: &Gpu) {
    if Choices::of(gpu).is_empty() {
        return;
    }
    if let Err(e) = remembered::remember(&tuning::document(gpu)) {
        line(&format!(
            "note: the choice of kernel variants is not remembered: {e}"
        ));
    }
}

/// What each class of layers gets, and why.
pub fn table(gpu: &Gpu) -> String {
    let (choices, table) = (Choices::of(gpu), VariantTable::of(gpu));
    let mut out = String::new();
    for class in ShapeClass::ALL {
        let known = choices.iter().find(|(c, _)| *c == class);
        let why = known.map_or_else(
            || "the default, not measured yet".to_owned(),
            |(_, choice)| choice.why(),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {:<30} {}", class.name(), table.get(class));
        let _ = writeln!(out, "  {:<30} {why}", "");
    }
    out
}

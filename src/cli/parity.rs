//! `noiselab parity`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use noiselab::{
    nn::plan::Variants,
    parity::{self, Group, ParityReport, Verdict, Worst},
};
use serde_json::json;

use super::{CliError, DeviceArgs, print, print_json};

/// Arguments of `noiselab parity`.
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Compare every number with what PyTorch and diffusers computed for the same problem.

A case is a folder with a pipeline, a problem (images, noise, timesteps) and everything that PyTorch \
computed for it: the output, the loss, the gradient of each parameter, the parameters after steps of \
Adam, single steps of the schedulers and whole trajectories. tests/fixtures/make_oracle.py makes \
cases, and two lie in tests/fixtures/oracle. The same is computed here on the adapter, and each group \
of tensors is compared.

Errors are relative L2 errors of a tensor, ‖found − expected‖ / ‖expected‖; for Adam, of the change of \
a parameter. Gradients that are zero in exact arithmetic (case.json lists them) are compared \
absolutely. The exit code is 0 when all groups pass, 1 when one fails, 2 when the case cannot be used.")]
pub struct ParityArgs {
    /// The case's folder
    #[arg(value_name = "CASE_DIR")]
    case: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write all that was computed to FILE (safetensors), under the names of the case
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Which variants of the kernels to try
    #[arg(long, value_enum, default_value_t = Which::Default)]
    variant: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The default for such adapters
    Default,
    /// Each one that this adapter can run; --dump writes what the first computed
    All,
}

/// Runs `noiselab parity`.
///
/// # Errors
/// A case or device that cannot be used.
pub fn run(args: &ParityArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    if !args.case.is_dir() {
        return Err(CliError::Usage(format!(
            "{} is not a folder; give the folder of a case (tests/fixtures/make_oracle.py makes one)",
            args.case.display()
        )));
    }
    let gpu = device.open()?;
    let variants = match args.variant {
        Which::Default => vec![Variants::choose(&gpu)],
        Which::All => Variants::all(&gpu),
    };
    let report = parity::run(&gpu, &args.case, &variants)?;
    if let Some((path, first)) = args.dump.as_ref().zip(report.variants.first()) {
        parity::dump(path, &first.computed)?;
    }
    if args.json {
        let document = json!({
            "case": args.case.display().to_string(),
            "passed": report.passed(),
            "report": report,
        });
        print_json(&document)?;
    } else {
        print(&table(&report))?;
    }
    Ok(ExitCode::from(u8::from(!report.passed())))
}

fn table(report: &ParityReport) -> String {
    let mut out = format!(
        "{} ({}, {})\n",
        report.adapter,
        report.backend,
        report.driver.trim()
    );
    for variant in &report.variants {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\n{}", variant.label);
        let _ = writeln!(
            out,
            "  {:<12} {:>7}  {:>9}  {:>9}  {:>9}  {:<11}  worst tensor",
            "group", "tensors", "relative", "absolute", "tolerance", "verdict"
        );
        for group in &variant.groups {
            out.push_str(&line(group));
        }
    }
    let mut groups = report.variants.iter().flat_map(|v| &v.groups);
    if groups.any(|g| g.verdict == Verdict::Rounding) {
        out.push_str(ROUNDING);
    }
    if !report.unknown.is_empty() {
        let _ = writeln!(
            out,
            "\nnot compared, as they belong to no group: {}",
            report.unknown.join(", ")
        );
    }
    let verdict = if report.passed() { "passed" } else { "FAILED" };
    let _ = writeln!(out, "\n{verdict}");
    out
}

const ROUNDING: &str = "
* beyond the tolerance, but by no more than rounding does (in PyTorch too): without the few entries \
whose gradient is nearly zero the change is within it; or each step of the trajectory, begun at \
PyTorch's sample, is within it, and a start moved by a millionth ends as far away.
";

fn line(group: &Group) -> String {
    let number = |worst: &Option<Worst>| {
        worst
            .as_ref()
            .map_or_else(|| "-".into(), |w| format!("{:.2e}", w.error))
    };
    let (mark, verdict) = match group.verdict {
        Verdict::Passed => ("", "passed"),
        Verdict::Rounding => ("*", "rounding"),
        Verdict::Failed => ("!", "FAILED"),
        Verdict::Informative => ("", "for reading"),
        Verdict::Absent => ("", "not in case"),
    };
    let worst = match group.name {
        "grad (zero)" => &group.absolute,
        _ => &group.relative,
    };
    format!(
        "{mark:<1} {:<12} {:>7}  {:>9}  {:>9}  {:>9}  {verdict:<11}  {}\n",
        group.name,
        group.tensors,
        number(&group.relative),
        number(&group.absolute),
        group
            .tolerance
            .map_or_else(|| "-".into(), |t| format!("{t:.0e}")),
        worst.as_ref().map_or("", |w| w.tensor.as_str()),
    )
}

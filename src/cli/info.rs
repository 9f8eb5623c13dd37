//! `noiselab info`.

use std::{fmt::Write as _, process::ExitCode};

use noiselab::{bench, data, gpu::Gpu, nn::tuning::Choices};
use serde_json::{Value, json};

use super::{CliError, DeviceArgs, kernels, print, print_json};

/// Arguments of `noiselab info`.
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Show the adapter that would compute, its limits and features, which kernel variants it gets, the other \
adapters of this machine, and the data sets inside the program. This is what a report of a fault should \
contain.")]
pub struct InfoArgs {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `noiselab info`.
///
/// # Errors
/// No adapter, or one that does not open.
pub fn run(args: &InfoArgs, device: &DeviceArgs) -> Result<ExitCode, CliError> {
    let gpu = device.open()?;
    let others = pollster::block_on(Gpu::adapters());
    let document = describe(&gpu, &others);
    if args.json {
        print_json(&document)?;
    } else {
        print(&text(&document, &kernels::table(&gpu)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn adapter(info: &wgpu::AdapterInfo) -> Value {
    let driver = format!("{} {}", info.driver, info.driver_info);
    json!({
        "name": info.name,
        "backend": info.backend.to_string(),
        "type": match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            wgpu::DeviceType::VirtualGpu => "virtual GPU",
            wgpu::DeviceType::Cpu => "software (CPU)",
            wgpu::DeviceType::Other => "other",
        },
        "driver": driver.trim(),
    })
}

fn describe(gpu: &Gpu, adapters: &[wgpu::AdapterInfo]) -> Value {
    let (info, limits, can) = (&gpu.info, &gpu.limits, &gpu.capabilities);
    let (chosen, all) = bench::variants(gpu);
    let others: Vec<Value> = adapters
        .iter()
        .filter(|a| (&a.name, a.backend) != (&info.name, info.backend))
        .map(adapter)
        .collect();
    let sets: Vec<Value> = data::BUILT_IN
        .iter()
        .map(|set| {
            json!({
                "name": set.name,
                "title": set.title,
                "credit": set.credit,
                "embedded": set.is_embedded(),
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "adapter": adapter(info),
        "limits": {
            "maxStorageBufferBindingSize": limits.max_storage_buffer_binding_size,
            "maxBufferSize": limits.max_buffer_size,
            "maxStorageBuffersPerShaderStage": limits.max_storage_buffers_per_shader_stage,
            "maxComputeWorkgroupSizeX": limits.max_compute_workgroup_size_x,
            "maxComputeInvocationsPerWorkgroup": limits.max_compute_invocations_per_workgroup,
            "maxComputeWorkgroupStorageSize": limits.max_compute_workgroup_storage_size,
            "maxComputeWorkgroupsPerDimension": limits.max_compute_workgroups_per_dimension,
            "minUniformBufferOffsetAlignment": limits.min_uniform_buffer_offset_alignment,
        },
        "features": {
            "shader-f16": can.f16,
            "subgroups": can.subgroups,
            "subgroupMinSize": info.subgroup_min_size,
            "subgroupMaxSize": info.subgroup_max_size,
            "timestamp-query": can.timestamps,
        },
        "variants": { "chosen": chosen, "all": all, "measured": Choices::of(gpu) },
        "other_adapters": others,
        "data_sets": sets,
    })
}

fn text(d: &Value, kernels: &str) -> String {
    let mut out = format!("noiselab {}\n\n", plain(&d["version"]));
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<10} {value}");
    };
    let a = &d["adapter"];
    line("adapter", plain(&a["name"]));
    for key in ["type", "backend", "driver"] {
        line(key, plain(&a[key]));
    }
    let f = &d["features"];
    let yes = |key: &str| if f[key] == true { "yes" } else { "no" };
    line("f16", yes("shader-f16").into());
    let mut subgroups = yes("subgroups").to_owned();
    if f["subgroups"] == true {
        let (min, max) = (&f["subgroupMinSize"], &f["subgroupMaxSize"]);
        let _ = write!(subgroups, ", of {min} to {max} lanes");
    }
    line("subgroups", subgroups);
    line("timestamps", yes("timestamp-query").into());
    line("kernels", plain(&d["variants"]["chosen"]));
    let _ = writeln!(out, "\nkernel variants\n{kernels}");
    out.push_str("limits\n");
    for (name, value) in d["limits"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  {name:<34} {}", plain(value));
    }
    list(&mut out, "other adapters", &d["other_adapters"], |a| {
        format!(
            "{} ({}, {}, {})",
            plain(&a["name"]),
            plain(&a["type"]),
            plain(&a["backend"]),
            plain(&a["driver"])
        )
    });
    list(&mut out, "data sets", &d["data_sets"], |s| {
        let missing = match s["embedded"] == true {
            true => "",
            false => ", not in this build",
        };
        format!(
            "{:<8} {} ({}{missing})",
            plain(&s["name"]),
            plain(&s["title"]),
            plain(&s["credit"])
        )
    });
    out
}

fn list(out: &mut String, title: &str, items: &Value, show: impl Fn(&Value) -> String) {
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    let _ = writeln!(out, "\n{title}");
    if items.is_empty() {
        let _ = writeln!(out, "  none");
    }
    for item in items {
        let _ = writeln!(out, "  {}", show(item));
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

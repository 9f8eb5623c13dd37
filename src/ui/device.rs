//! The device: eframe opens it as the engine wants it, so that both work on the same one.

use std::sync::Arc;

use noiselab::gpu::{AdapterChoice, Gpu};

/// Not wanted: the rooms have no gradients that would show bands, and a software adapter pays for every pixel.
pub const DITHERING: bool = false;

/// How eframe is to open the device.
pub fn configuration(choice: &AdapterChoice) -> egui_wgpu::WgpuConfiguration {
    let mut setup = egui_wgpu::WgpuSetupCreateNew::without_display_handle();
    setup.instance_descriptor.flags = wgpu::InstanceFlags::empty();
    setup.instance_descriptor.backends = wgpu::Backends::PRIMARY;
    setup.power_preference = wgpu::PowerPreference::HighPerformance;
    setup.device_descriptor = Arc::new(Gpu::device_descriptor);
    let choice = choice.clone();
    setup.native_adapter_selector = Some(Arc::new(move |adapters, surface| {
        let shown: Vec<wgpu::Adapter> = adapters
            .iter()
            .filter(|a| surface.is_none_or(|s| a.is_surface_supported(s)))
            .cloned()
            .collect();
        Gpu::pick(&shown, &choice).map_err(|e| e.to_string())
    }));
    egui_wgpu::WgpuConfiguration {
        wgpu_setup: setup.into(),
        ..Default::default()
    }
}

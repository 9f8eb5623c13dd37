//! To know when the device has drawn a frame.

use std::sync::{Mutex, PoisonError};

type Then = Box<dyn FnOnce() + Send>;

/// Goes along with what egui paints; its turn comes when the commands are recorded.
struct FrameEnd(Mutex<Option<Then>>);

impl egui_wgpu::CallbackTrait for FrameEnd {
    fn prepare(
        &self,
        _device: &wgpu::Device,
        _queue: &wgpu::Queue,
        _screen: &egui_wgpu::ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        _resources: &mut egui_wgpu::CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let then = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(then) = then {
            encoder.on_submitted_work_done(then);
        }
        Vec::new()
    }

    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        _pass: &mut wgpu::RenderPass<'static>,
        _resources: &egui_wgpu::CallbackResources,
    ) {
    }
}

/// Calls `then` once the device has drawn the frame that is being made; on the thread that polls the device.
pub fn then(ui: &egui::Ui, then: impl FnOnce() + Send + 'static) {
    let end = FrameEnd(Mutex::new(Some(Box::new(then))));
    let rect = ui.ctx().content_rect();
    // Above everything, and clipped by nothing.
    let layer = egui::LayerId::new(egui::Order::Debug, egui::Id::unique("frame end"));
    let painter = ui.ctx().layer_painter(layer);
    painter.add(egui_wgpu::Callback::new_paint_callback(rect, end));
}

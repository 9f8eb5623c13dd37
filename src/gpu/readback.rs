//! Late readback: figures come back through a ring of staging buffers and are never waited for
//! in the loop.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use super::{Gpu, GpuError, View};

const FREE: u8 = 0;
const PENDING: u8 = 1;
const READY: u8 = 2;
const FAILED: u8 = 3;

#[derive(Debug)]
struct Slot {
    buffer: wgpu::Buffer,
    state: Arc<AtomicU8>,
    tag: u64,
    order: u64,
}

/// A ring of staging buffers of one size.
#[derive(Debug)]
pub struct ReadbackRing {
    gpu: Arc<Gpu>,
    slots: Vec<Slot>,
    bytes: u64,
    next_order: u64,
    delivered: u64,
}

impl ReadbackRing {
    /// A ring of `slots` buffers of `bytes` each.
    ///
    /// # Errors
    /// The device's refusal.
    pub fn new(gpu: &Arc<Gpu>, slots: usize, bytes: u64) -> Result<Self, GpuError> {
        let slots = (0..slots)
            .map(|_| {
                Ok(Slot {
                    buffer: gpu.create_buffer(
                        "readback",
                        bytes,
                        wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                    )?,
                    state: Arc::new(AtomicU8::new(FREE)),
                    tag: 0,
                    order: 0,
                })
            })
            .collect::<Result<_, GpuError>>()?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            slots,
            bytes,
            next_order: 0,
            delivered: 0,
        })
    }

    /// Whether [`ReadbackRing::copy`] has a free slot.
    pub fn has_room(&self) -> bool {
        self.slots
            .iter()
            .any(|s| s.state.load(Ordering::Acquire) == FREE)
    }

    /// Encodes a copy of `view` into a free slot; returns the slot, or `None` when all are busy.
    /// After submitting, call [`ReadbackRing::map`] with it.
    pub fn copy(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        view: &View,
        tag: u64,
    ) -> Option<usize> {
        let i = self
            .slots
            .iter()
            .position(|s| s.state.load(Ordering::Acquire) == FREE)?;
        let slot = &mut self.slots[i];
        slot.tag = tag;
        slot.order = self.next_order;
        self.next_order += 1;
        slot.state.store(PENDING, Ordering::Release);
        encoder.copy_buffer_to_buffer(
            &view.buffer,
            view.offset,
            &slot.buffer,
            0,
            view.bytes.min(self.bytes),
        );
        Some(i)
    }

    /// Asks for the slot's content, once its copy has been submitted.
    pub fn map(&self, slot: usize) {
        let state = Arc::clone(&self.slots[slot].state);
        self.slots[slot]
            .buffer
            .slice(..)
            .map_async(wgpu::MapMode::Read, move |r| {
                state.store(if r.is_ok() { READY } else { FAILED }, Ordering::Release);
            });
    }

    /// Hands over what has arrived, oldest first: the tag and the words.
    pub fn arrived(&mut self) -> Vec<(u64, Vec<u32>)> {
        let mut out = Vec::new();
        loop {
            let next = self.slots.iter().position(|s| {
                s.order == self.delivered && s.state.load(Ordering::Acquire) >= READY
            });
            let Some(i) = next else { break };
            let slot = &self.slots[i];
            if slot.state.load(Ordering::Acquire) == READY {
                if let Ok(range) = slot.buffer.slice(..).get_mapped_range() {
                    out.push((slot.tag, bytemuck::pod_collect_to_vec(&range)));
                }
                slot.buffer.unmap();
            }
            slot.state.store(FREE, Ordering::Release);
            self.delivered += 1;
        }
        out
    }

    /// Copies on their way.
    pub fn pending(&self) -> u64 {
        self.next_order - self.delivered
    }
}

impl Drop for ReadbackRing {
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            slot.buffer.destroy();
            self.gpu.released(self.bytes);
        }
    }
}

/// A one-off readback of one or more views, for checkpoints, finished images and tests. What it
/// reads is the content at the moment it was started: later work may overwrite the views at once.
#[derive(Debug)]
pub struct Fetch {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    buffer: wgpu::Buffer,
    bytes: u64,
    state: Arc<AtomicU8>,
}

impl Fetch {
    /// Starts reading the views, after everything submitted so far.
    ///
    /// # Errors
    /// The device's refusal.
    pub fn start(gpu: &Gpu, views: &[View]) -> Result<Self, GpuError> {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut parts = Vec::with_capacity(views.len());
        for view in views {
            let buffer = gpu.create_buffer(
                "fetch",
                view.bytes,
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            )?;
            encoder.copy_buffer_to_buffer(&view.buffer, view.offset, &buffer, 0, view.bytes);
            parts.push(Part {
                buffer,
                bytes: view.bytes,
                state: Arc::new(AtomicU8::new(PENDING)),
            });
        }
        gpu.submit(encoder.finish(), || {});
        for part in &parts {
            let state = Arc::clone(&part.state);
            part.buffer
                .slice(..)
                .map_async(wgpu::MapMode::Read, move |r| {
                    state.store(if r.is_ok() { READY } else { FAILED }, Ordering::Release);
                });
        }
        Ok(Self { parts })
    }

    /// The words of each view once all have arrived; `None` before. Delivers once.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when the device went away meanwhile.
    pub fn poll(&mut self, gpu: &Gpu) -> Result<Option<Vec<Vec<u32>>>, GpuError> {
        gpu.check()?;
        gpu.poll();
        let states = || self.parts.iter().map(|p| p.state.load(Ordering::Acquire));
        if states().any(|s| s == FAILED) {
            return Err(GpuError::Lost {
                reason: "a buffer could not be read back".into(),
            });
        }
        if states().any(|s| s != READY) {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(self.parts.len());
        for part in self.parts.drain(..) {
            let range = part
                .buffer
                .slice(..)
                .get_mapped_range()
                .map_err(|e| GpuError::Lost {
                    reason: e.to_string(),
                })?;
            let mut words: Vec<u32> = bytemuck::pod_collect_to_vec(&range);
            // A buffer has at least 16 bytes, a view may have fewer.
            words.truncate((part.bytes / 4) as usize);
            out.push(words);
            drop(range);
            part.buffer.destroy();
            gpu.released(part.bytes);
        }
        Ok(Some(out))
    }

    /// Waits for [`Fetch::poll`]. Native only.
    ///
    /// # Errors
    /// As [`Fetch::poll`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(mut self, gpu: &Gpu) -> Result<Vec<Vec<u32>>, GpuError> {
        loop {
            gpu.wait();
            if let Some(words) = self.poll(gpu)? {
                return Ok(words);
            }
        }
    }
}

/// Reads views as f32, waiting. Native only.
///
/// # Errors
/// As [`Fetch::poll`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_f32(gpu: &Gpu, views: &[View]) -> Result<Vec<Vec<f32>>, GpuError> {
    let words = Fetch::start(gpu, views)?.wait(gpu)?;
    Ok(words
        .into_iter()
        .map(|w| w.into_iter().map(f32::from_bits).collect())
        .collect())
}

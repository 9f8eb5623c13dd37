//! The adapter, its device and queue, and what they can do.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use super::{GpuError, kernel::KernelCache};

/// Which adapter to open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// A discrete GPU before an integrated one before a software adapter.
    #[default]
    Best,
    /// The first software adapter (llvmpipe, SwiftShader, WARP).
    Cpu,
    /// The first adapter whose name contains this text, in any case.
    Named(String),
}

impl AdapterChoice {
    fn fits(&self, info: &wgpu::AdapterInfo) -> bool {
        match self {
            Self::Best => true,
            Self::Cpu => info.device_type == wgpu::DeviceType::Cpu,
            Self::Named(name) => info.name.to_lowercase().contains(&name.to_lowercase()),
        }
    }

    /// Why none of the adapters of these names fits.
    fn missing(&self, mut names: Vec<String>) -> GpuError {
        if names.is_empty() {
            return GpuError::NoAdapter {
                advice: driver_advice(),
            };
        }
        names.dedup();
        let available = names.join(", ");
        match self {
            Self::Named(name) => GpuError::NoSuchAdapter {
                wanted: name.clone(),
                available,
            },
            _ => GpuError::NoSoftwareAdapter { available },
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn has_subgroups(device: &wgpu::Device) -> bool {
    device.features().contains(wgpu::Features::SUBGROUP)
}

/// wgpu 30 does not know this feature of browsers: the page asks for it (`web/start.js`).
#[cfg(target_arch = "wasm32")]
fn has_subgroups(device: &wgpu::Device) -> bool {
    (device.as_webgpu()).is_some_and(|device| device.features().has("subgroups"))
}

fn can_compute(adapter: &wgpu::Adapter) -> bool {
    let flags = adapter.get_downlevel_capabilities().flags;
    flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
}

fn rank(adapter: &wgpu::Adapter) -> u32 {
    match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// What the device can do beyond the defaults of WebGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// 16-bit floats in shaders.
    pub f16: bool,
    /// Subgroup operations in shaders.
    pub subgroups: bool,
    /// Timestamps around compute passes.
    pub timestamps: bool,
    /// The adapter computes on the CPU.
    pub software: bool,
}

/// An open device. Cheap to share: clone the [`Arc`].
#[derive(Debug)]
pub struct Gpu {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// Name, backend and driver.
    pub info: wgpu::AdapterInfo,
    /// What was granted.
    pub limits: wgpu::Limits,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Compiled pipelines.
    pub kernels: KernelCache,
    lost: Arc<Mutex<Option<String>>>,
    error: Arc<Mutex<Option<String>>>,
    in_flight: Arc<AtomicU32>,
    allocated: AtomicU64,
    peak: AtomicU64,
    poisoned: Arc<AtomicBool>,
    notes: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Gpu {
    /// Keeps what an upper layer found out about this device, in place of what it knew before.
    pub fn note<T: Any + Send + Sync>(&self, value: T) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// What was last noted of that type.
    pub fn noted<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(notes.get(&TypeId::of::<T>())?).downcast().ok()
    }

    /// Counts the peak anew from what is allocated now.
    pub fn restart_peak(&self) {
        self.peak.store(self.allocated_bytes(), Ordering::Release);
    }

    /// Opens an adapter with its own limits.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::NoSuchAdapter`] or [`GpuError::NoDevice`].
    pub async fn open(choice: &AdapterChoice) -> Result<Arc<Self>, GpuError> {
        let adapter = Self::choose(choice).await?;
        Self::from_adapter(&adapter).await
    }

    /// The adapters that can compute, the best first.
    pub async fn adapters() -> Vec<wgpu::AdapterInfo> {
        let mut found = Self::enumerate(wgpu::Backends::PRIMARY).await;
        if found.is_empty() {
            found = Self::enumerate(wgpu::Backends::SECONDARY).await;
        }
        found.iter().map(wgpu::Adapter::get_info).collect()
    }

    /// [`Gpu::open`] for code that may block.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_blocking(choice: &AdapterChoice) -> Result<Arc<Self>, GpuError> {
        pollster::block_on(Self::open(choice))
    }

    /// The adapters of some backends that can compute, the best first.
    async fn enumerate(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.flags = wgpu::InstanceFlags::empty();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        let mut adapters = instance.enumerate_adapters(backends).await;
        if adapters.is_empty() {
            // Some browsers list nothing but answer this.
            let options = wgpu::RequestAdapterOptions {
                power_preference: wgpu::PowerPreference::HighPerformance,
                ..Default::default()
            };
            adapters.extend(instance.request_adapter(&options).await);
        }
        adapters.retain(can_compute);
        adapters.sort_by_key(rank);
        adapters
    }

    async fn choose(choice: &AdapterChoice) -> Result<wgpu::Adapter, GpuError> {
        let mut names = Vec::new();
        // OpenGL only where nothing else serves: to look for it starts a part of the window system.
        for backends in [wgpu::Backends::PRIMARY, wgpu::Backends::SECONDARY] {
            let mut adapters = Self::enumerate(backends).await;
            if let Some(i) = adapters.iter().position(|a| choice.fits(&a.get_info())) {
                return Ok(adapters.swap_remove(i));
            }
            names.extend(
                adapters
                    .iter()
                    .map(|a| format!("\"{}\"", a.get_info().name)),
            );
        }
        Err(choice.missing(names))
    }

    async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Arc<Self>, GpuError> {
        let info = adapter.get_info();
        let (device, queue) = adapter
            .request_device(&Self::device_descriptor(adapter))
            .await
            .map_err(|e| GpuError::NoDevice {
                adapter: info.name.clone(),
                reason: e.to_string(),
            })?;
        Ok(Self::from_device(device, queue, info))
    }

    /// The device to ask an adapter for: all that it has of what the kernels can use.
    pub fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        let wanted =
            wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY;
        wgpu::DeviceDescriptor {
            label: Some("noiselab"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        }
    }

    /// The best of some adapters for `choice`, with the error's own advice if none fits.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::NoSuchAdapter`] or [`GpuError::NoSoftwareAdapter`].
    pub fn pick(
        adapters: &[wgpu::Adapter],
        choice: &AdapterChoice,
    ) -> Result<wgpu::Adapter, GpuError> {
        let mut adapters: Vec<wgpu::Adapter> = adapters.to_vec();
        adapters.retain(can_compute);
        adapters.sort_by_key(rank);
        if let Some(adapter) = adapters.iter().find(|a| choice.fits(&a.get_info())) {
            return Ok(adapter.clone());
        }
        let names = adapters
            .iter()
            .map(|a| format!("\"{}\"", a.get_info().name));
        Err(choice.missing(names.collect()))
    }

    /// Takes over a device that somebody else opened (the window's, the page's).
    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "the page has one thread")
    )]
    pub fn from_device(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: wgpu::AdapterInfo,
    ) -> Arc<Self> {
        let features = device.features();
        let capabilities = Capabilities {
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: has_subgroups(&device),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            software: info.device_type == wgpu::DeviceType::Cpu
                || info.name.contains("SwiftShader")
                || info.name.contains("llvmpipe"),
        };
        let lost = Arc::new(Mutex::new(None));
        let error = Arc::new(Mutex::new(None));
        let poisoned = Arc::new(AtomicBool::new(false));
        {
            let (lost, flag) = (Arc::clone(&lost), Arc::clone(&poisoned));
            device.set_device_lost_callback(move |reason, message| {
                if let Ok(mut slot) = lost.lock() {
                    let text = format!("{reason:?}: {message}");
                    *slot = Some(text.trim_end_matches([':', ' ']).to_owned());
                }
                flag.store(true, Ordering::Release);
            });
            let (error, flag) = (Arc::clone(&error), Arc::clone(&poisoned));
            device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
                // A window that is resized while others submit work is configured again with its next frame.
                if e.to_string().contains("Surface::configure") {
                    tracing::debug!("surface: {e}");
                    return;
                }
                tracing::error!("device: {e}");
                if let Ok(mut slot) = error.lock() {
                    slot.get_or_insert_with(|| e.to_string());
                }
                flag.store(true, Ordering::Release);
            }));
        }
        let limits = device.limits();
        Arc::new(Self {
            device,
            queue,
            info,
            limits,
            capabilities,
            kernels: KernelCache::default(),
            lost,
            error,
            in_flight: Arc::default(),
            allocated: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            poisoned,
            notes: Mutex::default(),
        })
    }

    /// Fails once the device is lost or has refused a command; cheap enough to call every slice.
    ///
    /// # Errors
    /// [`GpuError::Lost`] with what the driver said.
    pub fn check(&self) -> Result<(), GpuError> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        let text = |slot: &Mutex<Option<String>>| slot.lock().ok().and_then(|s| s.clone());
        let reason = text(&self.lost)
            .or_else(|| text(&self.error))
            .unwrap_or_else(|| "unknown reason".into());
        Err(GpuError::Lost { reason })
    }

    /// Submits commands, counts them as in flight until the device is done with them, and then
    /// calls `done`.
    pub fn submit(
        &self,
        commands: wgpu::CommandBuffer,
        done: impl FnOnce() + Send + 'static,
    ) -> wgpu::SubmissionIndex {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let index = self.queue.submit([commands]);
        let counter = Arc::clone(&self.in_flight);
        self.queue.on_submitted_work_done(move || {
            counter.fetch_sub(1, Ordering::AcqRel);
            done();
        });
        index
    }

    /// Submissions that the device has not finished.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Runs callbacks of finished work, without waiting.
    pub fn poll(&self) {
        // A lost device makes polling fail; `check` reports that in its own words.
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// Waits until the device is idle. Native only: the page never waits.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) {
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// Makes a buffer of `bytes`, zeroed.
    ///
    /// # Errors
    /// [`GpuError::TooBig`] beyond `maxBufferSize`, [`GpuError::OutOfMemory`] when the driver
    /// has no more.
    pub fn create_buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        if bytes > self.limits.max_buffer_size {
            return Err(GpuError::TooBig {
                what: what.into(),
                needed: bytes,
                limit_name: "maxBufferSize",
                limit: self.limits.max_buffer_size,
                advice: "use a smaller batch or a smaller model.".into(),
            });
        }
        // In the page the answer comes later, through the uncaptured-error handler, which a scope would keep it from.
        #[cfg(not(target_arch = "wasm32"))]
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size: bytes.max(16),
            usage,
            mapped_at_creation: false,
        });
        #[cfg(not(target_arch = "wasm32"))]
        if pollster::block_on(scope.pop()).is_some() {
            return Err(GpuError::OutOfMemory {
                what: what.into(),
                bytes,
            });
        }
        let now = self.allocated.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.peak.fetch_max(now, Ordering::AcqRel);
        Ok(buffer)
    }

    /// Says that a buffer made by [`Gpu::create_buffer`] is gone.
    pub fn released(&self, bytes: u64) {
        self.allocated.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Most bytes that were allocated at once since the start, or [`Gpu::restart_peak`].
    pub fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Acquire)
    }

    /// Bytes allocated now.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated.load(Ordering::Acquire)
    }

    /// The largest piece that one binding can cover, in bytes.
    pub fn max_binding(&self) -> u64 {
        self.limits
            .max_storage_buffer_binding_size
            .min(self.limits.max_buffer_size)
    }
}

const fn driver_advice() -> &'static str {
    if cfg!(target_os = "linux") {
        "install a Vulkan driver: `sudo apt-get install mesa-vulkan-drivers` (Debian, Ubuntu), `sudo dnf install mesa-vulkan-drivers` (Fedora), `sudo pacman -S vulkan-swrast` (Arch), or your GPU vendor's driver."
    } else if cfg!(target_os = "macos") {
        "noiselab needs macOS 10.15 or later on a machine with Metal."
    } else if cfg!(target_os = "windows") {
        "update your graphics driver (Direct3D 12 or Vulkan is needed)."
    } else {
        "open the page in a browser with WebGPU: Chrome or Edge 113, Firefox 141 or Safari 26, or later."
    }
}

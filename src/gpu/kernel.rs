//! Compiled kernels. Bind-group layouts come from naga's reflection of the WGSL, so that they
//! are declared once, in the shader, and can be shared.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
#[cfg(not(target_arch = "wasm32"))]
use std::{
    sync::atomic::AtomicUsize,
    thread,
    time::{Duration, Instant},
};

use super::{Gpu, GpuError, half::keep_as_f16, shaders, unroll::unroll};

/// Names one pipeline: a WGSL file, an entry point, and the constants put before the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelId {
    /// Path below `shaders/`.
    pub stem: &'static str,
    /// Entry point.
    pub entry: &'static str,
    /// `const NAME: u32 = value;` lines: tile sizes, head widths, what is fused.
    pub defines: Vec<(&'static str, u32)>,
    /// The bindings, as bits, that lie in memory as f16, see [`super::half`].
    pub half: u32,
}

impl KernelId {
    /// A kernel without constants.
    pub const fn new(stem: &'static str, entry: &'static str) -> Self {
        Self {
            stem,
            entry,
            defines: Vec::new(),
            half: 0,
        }
    }

    /// Adds a constant.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: u32) -> Self {
        self.defines.push((name, value));
        self
    }
}

impl std::fmt::Display for KernelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.stem, self.entry)?;
        for (name, value) in &self.defines {
            write!(f, " {name}={value}")?;
        }
        for binding in (0..32).filter(|b| self.half & (1 << b) != 0) {
            write!(f, " f16@{binding}")?;
        }
        Ok(())
    }
}

/// Seconds that a unit of work takes, as learned from submissions, to cut them by. All who run a kernel share one.
#[derive(Debug, Default)]
pub struct Speed(AtomicU64);

impl Speed {
    /// No device is beyond these.
    const SLOWEST: f64 = 1e-7;
    const FASTEST: f64 = 1e-15;

    /// Starts with a guess.
    pub fn new(seconds_per_unit: f64) -> Self {
        Self(AtomicU64::new(seconds_per_unit.to_bits()))
    }

    /// Seconds a unit; that of `typical` for a kernel that has not run yet.
    pub fn or(&self, typical: &Self) -> f64 {
        let known = f64::from_bits(self.0.load(Ordering::Relaxed));
        if known > 0.0 {
            return known;
        }
        let guess = typical.0.load(Ordering::Relaxed);
        self.0.store(guess, Ordering::Relaxed);
        f64::from_bits(guess)
    }

    /// It has been seen to take that many times as long.
    pub fn scale(&self, ratio: f64) {
        let seconds = f64::from_bits(self.0.load(Ordering::Relaxed)) * ratio;
        let bits = seconds.clamp(Self::FASTEST, Self::SLOWEST).to_bits();
        self.0.store(bits, Ordering::Relaxed);
    }
}

/// A pipeline with what is needed to bind and dispatch it.
#[derive(Debug)]
pub struct Kernel {
    /// The pipeline.
    pub pipeline: wgpu::ComputePipeline,
    /// Layout of group 0: `Params` at binding 0, then the storage buffers that this entry uses.
    pub layout: wgpu::BindGroupLayout,
    /// The binding numbers of group 0 that hold storage buffers, ascending.
    pub storage: Vec<u32>,
    /// For each of them, how often its range goes between memory and the kernel: once where it is read or written,
    /// twice where it is both.
    pub traffic: Vec<u32>,
    /// Bytes of the `Params` struct; 0 without one.
    pub params_bytes: u32,
    /// How fast it has been seen to be.
    pub speed: Arc<Speed>,
}

/// Of a thread that compiles: drivers and naga recurse along the shader, and a helper's usual stack is a quarter of this.
#[cfg(not(target_arch = "wasm32"))]
const COMPILER_STACK: usize = 8 << 20;

/// Pipelines by name, made on first use.
#[derive(Debug)]
pub struct KernelCache {
    made: Mutex<HashMap<KernelId, Arc<Kernel>>>,
    slice_layout: Mutex<Option<wgpu::BindGroupLayout>>,
    /// Speed of the average kernel, which a new one is taken to have.
    pub typical: Speed,
}

impl Default for KernelCache {
    fn default() -> Self {
        Self {
            made: Mutex::default(),
            slice_layout: Mutex::default(),
            // Suits the slowest device.
            typical: Speed::new(5e-10),
        }
    }
}

/// The text of a kernel with its constants in front, and loops over them unrolled.
///
/// # Errors
/// Why there is none, as a phrase.
pub fn source_of(id: &KernelId) -> Result<String, String> {
    let shader = shaders::find(id.stem).ok_or("there is no such shader")?;
    let mut text = String::with_capacity(shader.source.len() + 64);
    for (name, value) in &id.defines {
        text.push_str(&format!("const {name}: u32 = {value}u;\n"));
    }
    if id.defines.is_empty() {
        text.push_str(shader.source);
    } else {
        text.push_str(&unroll(shader.source, &id.defines));
    }
    if id.half == 0 {
        return Ok(text);
    }
    keep_as_f16(&text, id.half)
        .map_err(|binding| format!("its binding {binding} cannot be kept as f16"))
}

/// The text of a kernel as the device gets it.
///
/// # Errors
/// As [`source_of`].
pub fn device_source_of(id: &KernelId) -> Result<String, String> {
    let text = source_of(id)?;
    // Browsers want the extension named; naga 30 knows its functions but not its name.
    if cfg!(target_arch = "wasm32") && text.contains("subgroupBroadcast") {
        return Ok(format!("enable subgroups;\n{text}"));
    }
    Ok(text)
}

/// What reflection finds in one entry point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reflection {
    /// Storage bindings of group 0 that the entry point uses.
    pub storage: Vec<u32>,
    /// See [`Kernel::traffic`].
    pub traffic: Vec<u32>,
    /// Bytes of the uniform at group 0, binding 0, when used.
    pub params_bytes: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Workgroup size.
    pub workgroup_size: [u32; 3],
}

/// Parses, validates and reflects a kernel.
///
/// # Errors
/// [`GpuError::Kernel`] with naga's message.
pub fn reflect(id: &KernelId) -> Result<Reflection, GpuError> {
    let fail = |reason: String| GpuError::Kernel {
        kernel: id.to_string(),
        reason,
    };
    let text = source_of(id).map_err(fail)?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|e| fail(e.emit_to_string(&text)))?;
    let info = naga::valid::Validator::new(
        naga::valid::ValidationFlags::all(),
        naga::valid::Capabilities::all(),
    )
    .validate(&module)
    .map_err(|e| fail(e.emit_to_string(&text)))?;
    let (index, entry) = module
        .entry_points
        .iter()
        .enumerate()
        .find(|(_, e)| e.name == id.entry)
        .ok_or_else(|| fail("there is no such entry point".into()))?;
    let used = info.get_entry_point(index);
    let mut out = Reflection {
        storage: Vec::new(),
        traffic: Vec::new(),
        params_bytes: 0,
        workgroup_bytes: 0,
        workgroup_size: entry.workgroup_size,
    };
    let mut passes = BTreeMap::new();
    for (handle, var) in module.global_variables.iter() {
        if used[handle].is_empty() {
            continue;
        }
        let bytes = || module.types[var.ty].inner.size(module.to_ctx());
        match (var.space, var.binding) {
            (naga::AddressSpace::Storage { access }, Some(b)) if b.group == 0 => {
                if !access.contains(naga::StorageAccess::STORE) {
                    return Err(fail(format!(
                        "binding {} is not read_write; every chunk is bound read_write",
                        b.binding
                    )));
                }
                out.storage.push(b.binding);
                let both = naga::valid::GlobalUse::READ | naga::valid::GlobalUse::WRITE;
                passes.insert(b.binding, 1 + u32::from(used[handle].contains(both)));
            }
            (naga::AddressSpace::Uniform, Some(b)) if b.group == 0 && b.binding == 0 => {
                out.params_bytes = bytes();
            }
            (naga::AddressSpace::Uniform, Some(b)) if b.group == 1 && b.binding == 0 => {}
            (naga::AddressSpace::WorkGroup, _) => out.workgroup_bytes += bytes(),
            // What is painted on; such kernels are not part of a plan.
            (naga::AddressSpace::Handle, Some(b)) if b.group == 0 => {}
            (_, Some(b)) => {
                return Err(fail(format!(
                    "group {} binding {} is outside the convention",
                    b.group, b.binding
                )));
            }
            _ => {}
        }
    }
    out.storage.sort_unstable();
    out.traffic = passes.into_values().collect();
    Ok(out)
}

impl KernelCache {
    /// The layout of group 1, the same for all kernels.
    pub fn slice_layout(&self, gpu: &Gpu) -> wgpu::BindGroupLayout {
        let mut slot = self
            .slice_layout
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.get_or_insert_with(|| {
            gpu.device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: Some("slice"),
                    entries: &[wgpu::BindGroupLayoutEntry {
                        binding: 0,
                        visibility: wgpu::ShaderStages::COMPUTE,
                        ty: wgpu::BindingType::Buffer {
                            ty: wgpu::BufferBindingType::Uniform,
                            has_dynamic_offset: true,
                            min_binding_size: std::num::NonZeroU64::new(4),
                        },
                        count: None,
                    }],
                })
        })
        .clone()
    }

    /// The kernel of that name, compiled now if it is new.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] when it does not compile or exceeds a limit of the device.
    pub fn get(&self, gpu: &Gpu, id: &KernelId) -> Result<Arc<Kernel>, GpuError> {
        if let Some(found) = self.lookup(id) {
            return Ok(found);
        }
        let made = Arc::new(self.compile(gpu, id)?);
        self.made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(id.clone(), Arc::clone(&made));
        Ok(made)
    }

    /// Compiles those kernels on all cores, in their order, for about `time` and at least one a core.
    ///
    /// # Errors
    /// As [`KernelCache::get`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn compile_all(
        &self,
        gpu: &Gpu,
        ids: &[&KernelId],
        time: Duration,
    ) -> Result<(), GpuError> {
        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.get(gpu, id)?;
                if begun.elapsed() >= time {
                    break;
                }
            }
            Ok(())
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            // One helper fewer where the system refuses it.
            let helpers: Vec<_> = (1..cores.min(ids.len()))
                .map_while(|_| {
                    thread::Builder::new()
                        .name("compile".into())
                        .stack_size(COMPILER_STACK)
                        .spawn_scoped(scope, work)
                        .ok()
                })
                .collect();
            let mut result = work();
            for helper in helpers {
                let theirs = helper
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(theirs);
            }
            result
        })
    }

    /// Whether that kernel is there already.
    pub fn has(&self, id: &KernelId) -> bool {
        self.lookup(id).is_some()
    }

    fn lookup(&self, id: &KernelId) -> Option<Arc<Kernel>> {
        self.made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    fn compile(&self, gpu: &Gpu, id: &KernelId) -> Result<Kernel, GpuError> {
        let fail = |reason: String| GpuError::Kernel {
            kernel: id.to_string(),
            reason,
        };
        let reflection = reflect(id)?;
        let limits = &gpu.limits;
        let over = |name: &str, needed: u32, limit: u32| {
            (needed > limit)
                .then(|| fail(format!("it needs {name} {needed}, the limit is {limit}")))
        };
        let threads = reflection.workgroup_size.iter().product();
        let checks = [
            over(
                "maxStorageBuffersPerShaderStage",
                reflection.storage.len() as u32,
                limits.max_storage_buffers_per_shader_stage,
            ),
            over(
                "maxComputeWorkgroupStorageSize",
                reflection.workgroup_bytes,
                limits.max_compute_workgroup_storage_size,
            ),
            over(
                "maxComputeInvocationsPerWorkgroup",
                threads,
                limits.max_compute_invocations_per_workgroup,
            ),
        ];
        if let Some(error) = checks.into_iter().flatten().next() {
            return Err(error);
        }
        let text = device_source_of(id).map_err(fail)?;
        // In the page the answer comes later, through the uncaptured-error handler, which a scope would keep it from.
        #[cfg(not(target_arch = "wasm32"))]
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(id.stem),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        // SAFETY: the shaders are this crate's own; every loop is bounded by a uniform and every
        // index is inside the bound range (tests run them with guard values around outputs).
        let module = unsafe {
            gpu.device
                .create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        };
        let buffer = |binding, ty, bytes| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: std::num::NonZeroU64::new(bytes),
            },
            count: None,
        };
        let mut entries = Vec::new();
        if reflection.params_bytes > 0 {
            entries.push(buffer(
                0,
                wgpu::BufferBindingType::Uniform,
                u64::from(reflection.params_bytes),
            ));
        }
        for &binding in &reflection.storage {
            entries.push(buffer(
                binding,
                wgpu::BufferBindingType::Storage { read_only: false },
                0,
            ));
        }
        let layout = gpu
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(id.stem),
                entries: &entries,
            });
        let slice_layout = self.slice_layout(gpu);
        let pipeline_layout = gpu
            .device
            .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(id.stem),
                bind_group_layouts: &[Some(&layout), Some(&slice_layout)],
                immediate_size: 0,
            });
        let pipeline = gpu
            .device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&id.to_string()),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(id.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[],
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(fail(error.to_string()));
        }
        Ok(Kernel {
            pipeline,
            layout,
            storage: reflection.storage,
            traffic: reflection.traffic,
            params_bytes: reflection.params_bytes,
            speed: Arc::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::KernelId;
    use crate::nn::layers::testing::gpu;

    #[test]
    fn kernels_compiled_on_all_cores_are_all_there_and_an_error_is_told() {
        let gpu = gpu();
        let good =
            ["squares", "norm", "update"].map(|entry| KernelId::new("optimizer/adam", entry));
        let bad = KernelId::new("optimizer/adam", "no_such_entry");

        // A cache of its own: what other tests compiled is not in it.
        let cache = super::KernelCache::default();
        cache
            .compile_all(&gpu, &good.each_ref(), Duration::MAX)
            .unwrap();
        assert!(good.iter().all(|id| cache.has(id)));

        let cache = super::KernelCache::default();
        let ids = [&bad, &good[0], &good[1], &good[2]];
        let error = cache.compile_all(&gpu, &ids, Duration::MAX).unwrap_err();
        assert!(error.to_string().contains("no_such_entry"), "{error}");
    }
}

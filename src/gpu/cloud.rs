//! Clouds: many points of the plane painted into a [`Film`], so that an interface draws tens of thousands of them
//! as one picture. Points are counted by pixel and the counts painted, white with a logarithmic alpha; the interface
//! gives the colour.

use bytemuck::{Pod, Zeroable};

use super::{
    Gpu, GpuError, View,
    film::{FILM_BINDING, Film, display_pipelines},
    kernel::KernelId,
    memory::{self, ALIGN},
};

/// Mirrors `Params` of `shaders/display/cloud.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    points: u32,
    side: u32,
    layer: u32,
    extent: f32,
    tone: f32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

/// Threads of a workgroup that counts.
const GROUP: usize = 64;
/// Pixels a side of a workgroup that paints.
const TILE: usize = 8;

/// The count that is painted opaque: forty times the mean over all pixels, at least three.
fn opaque_count(points: usize, side: usize) -> f32 {
    (40.0 * points as f32 / (side * side).max(1) as f32).max(3.0)
}

/// The pipelines that count and paint.
#[derive(Debug)]
pub struct CloudPainter {
    count: wgpu::ComputePipeline,
    paint: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl CloudPainter {
    /// The name of the kernel that counts.
    pub const COUNT: KernelId = KernelId::new("display/cloud", "count");
    /// The name of the kernel that paints.
    pub const PAINT: KernelId = KernelId::new("display/cloud", "paint");

    /// Compiles them.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] when the shader is missing.
    pub fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let buffer = |ty, has_dynamic_offset| wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset,
            min_binding_size: None,
        };
        let storage = wgpu::BufferBindingType::Storage { read_only: false };
        let bindings = [
            // One Params for each layer.
            buffer(wgpu::BufferBindingType::Uniform, true),
            buffer(storage, false),
            buffer(storage, false),
            FILM_BINDING,
        ];
        let (layout, [count, paint]) =
            display_pipelines(gpu, &bindings, [Self::COUNT, Self::PAINT])?;
        Ok(Self {
            count,
            paint,
            layout,
        })
    }

    /// Joins `n` points, `[N, 1, 1, 2]` in the plan's layout (4 words a point), to a new film of `layers` frames of
    /// `side`×`side` pixels that show [−`extent`, `extent`]², y upwards. `points` may have room for more.
    ///
    /// # Errors
    /// Fewer than `n` points in `points`, or a film beyond the device's limits.
    pub fn screen(
        &self,
        gpu: &Gpu,
        points: &View,
        n: usize,
        side: usize,
        layers: usize,
        extent: f32,
    ) -> Result<CloudScreen, GpuError> {
        if points.bytes < 16 * n as u64 {
            return Err(GpuError::Kernel {
                kernel: Self::COUNT.to_string(),
                reason: format!("{} bytes hold fewer than {n} points", points.bytes),
            });
        }
        let side = side.max(1);
        let film = Film::new(gpu, (side, side), 1, 1, layers)?;
        let bytes = memory::align(4 * (side * side) as u64);
        memory::check_binding(gpu, "counts of points", bytes)?;
        let buffer = |label, size, usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let counts = buffer("cloud counts", bytes, memory::usage());
        let stride = ALIGN.max(u64::from(gpu.limits.min_uniform_buffer_offset_alignment));
        let params = buffer(
            "cloud params",
            stride * film.layers() as u64,
            wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        );
        for layer in 0..film.layers() {
            let words = Params {
                points: n as u32,
                side: side as u32,
                layer: layer as u32,
                extent,
                tone: 1.0 / opaque_count(n, side).ln_1p(),
                pad0: 0,
                pad1: 0,
                pad2: 0,
            };
            let at = stride * layer as u64;
            gpu.queue
                .write_buffer(&params, at, bytemuck::bytes_of(&words));
        }
        let target = film.texture().create_view(&wgpu::TextureViewDescriptor {
            label: Some("cloud"),
            dimension: Some(wgpu::TextureViewDimension::D2Array),
            ..Default::default()
        });
        let range = |buffer, offset, bytes| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: std::num::NonZeroU64::new(bytes),
            })
        };
        let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("cloud"),
            layout: &self.layout,
            entries: &[
                entry(0, range(&params, 0, size_of::<Params>() as u64)),
                entry(
                    1,
                    range(&points.buffer, points.offset, 16 * n.max(1) as u64),
                ),
                entry(2, range(&counts, 0, bytes)),
                entry(3, wgpu::BindingResource::TextureView(&target)),
            ],
        });
        Ok(CloudScreen {
            count: self.count.clone(),
            paint: self.paint.clone(),
            group,
            counts,
            stride: stride as u32,
            groups: [n.div_ceil(GROUP) as u32, side.div_ceil(TILE) as u32],
            film,
        })
    }
}

/// Points joined to a film.
#[derive(Debug)]
pub struct CloudScreen {
    count: wgpu::ComputePipeline,
    paint: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    counts: wgpu::Buffer,
    stride: u32,
    /// Workgroups that count, and those a side that paint.
    groups: [u32; 2],
    film: Film,
}

/// Workgroups in one dimension of a dispatch; WebGPU allows 65535.
const MAX_GROUPS: u32 = 32768;

impl CloudScreen {
    /// The film, of one tile a frame.
    pub const fn film(&self) -> &Film {
        &self.film
    }

    /// Encodes the painting of a frame from where the points are then: premultiplied white, whose alpha is
    /// ln(1 + count) over ln(1 + the count that is opaque).
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, layer: usize) {
        encoder.clear_buffer(&self.counts, 0, None);
        let layer = layer.min(self.film.layers() - 1) as u32;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_bind_group(0, &self.group, &[layer * self.stride]);
        let [count, paint] = self.groups;
        if count > 0 {
            pass.set_pipeline(&self.count);
            pass.dispatch_workgroups(count.min(MAX_GROUPS), count.div_ceil(MAX_GROUPS), 1);
        }
        pass.set_pipeline(&self.paint);
        pass.dispatch_workgroups(paint, paint, 1);
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::gpu::{AdapterChoice, film::FilmRead, memory::Pool, readback::Fetch};

    const SIDE: usize = 20;
    const EXTENT: f32 = 3.0;

    /// A point in the middle of a pixel.
    fn middle(column: usize, row: usize) -> [f32; 2] {
        let at = |i: usize| (i as f32 + 0.5) / SIDE as f32 * 2.0 * EXTENT - EXTENT;
        [at(column), -at(row)]
    }

    #[test]
    fn counts_are_exact_and_what_is_outside_or_no_number_is_left_out() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let mut expected = vec![0_u32; SIDE * SIDE];
        let mut points: Vec<[f32; 2]> = Vec::new();
        let mut add = |points: &mut Vec<[f32; 2]>, column, row, n: usize| {
            points.extend(std::iter::repeat_n(middle(column, row), n));
            expected[row * SIDE + column] += n as u32;
        };
        // One pixel takes what thousands of threads add at once.
        add(&mut points, 3, 4, 5000);
        for k in 0..SIDE {
            add(&mut points, k, 17, k % 4);
        }
        add(&mut points, 0, 0, 1);
        add(&mut points, SIDE - 1, 0, 2);
        add(&mut points, 0, SIDE - 1, 3);
        let nothing = f32::NAN;
        let outside = [
            [nothing, 0.0],
            [0.0, nothing],
            [nothing, -nothing],
            [f32::INFINITY, 0.0],
            [0.0, f32::NEG_INFINITY],
            [3.0, 0.0],
            [0.0, -3.0],
            [-3.01, 1.0],
            [1.0, 1e30],
            [f32::from_bits(0x7FC0_1234), f32::from_bits(0xFFFF_FFFF)],
        ];
        points.extend(outside);
        let n = points.len();
        // Two points more than are asked for: they must not be counted.
        points.extend([middle(5, 5); 2]);
        let words: Vec<f32> = points.iter().flat_map(|p| [p[0], p[1], 0.0, 0.0]).collect();
        let sizes = [("other", 512), ("points", 4 * words.len() as u64)];
        let (_pool, views) = Pool::allocate(&gpu, "test", &sizes).expect("memory");
        views[1].write(&gpu, 0, &words);
        let painter = CloudPainter::new(&gpu).expect("a painter");
        let screen = painter
            .screen(&gpu, &views[1], n, SIDE, 3, EXTENT)
            .expect("a screen");
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        // Twice: counts must start from zero each time.
        for layer in [2, 1] {
            screen.encode(&mut encoder, layer);
        }
        gpu.submit(encoder.finish(), || {});
        let counts = View {
            buffer: screen.counts.clone(),
            offset: 0,
            bytes: 4 * (SIDE * SIDE) as u64,
        };
        let found = Fetch::start(&gpu, &[counts])
            .and_then(|f| f.wait(&gpu))
            .expect("counts");
        assert_eq!(found[0], expected);

        let mut read = FilmRead::start(&gpu, screen.film()).expect("a copy");
        let frames = loop {
            gpu.wait();
            if let Some(frames) = read.poll(&gpu).expect("a readback") {
                break frames;
            }
        };
        gpu.check().expect("the device");
        assert_eq!((frames.width, frames.height), (SIDE, SIDE));
        assert!(
            frames.layers[0].iter().all(|&b| b == 0),
            "layer 0 is not painted"
        );
        assert_eq!(frames.layers[1], frames.layers[2]);
        let opaque = opaque_count(n, SIDE);
        for (i, &count) in expected.iter().enumerate() {
            let alpha = (count as f32).ln_1p() / opaque.ln_1p();
            let alpha = (alpha.min(1.0) * 255.0).round() as i32;
            let pixel = &frames.layers[1][4 * i..4 * i + 4];
            assert!(
                pixel.iter().all(|&b| (i32::from(b) - alpha).abs() <= 1),
                "pixel {i}: {pixel:?}, expected {alpha}"
            );
        }
        // A single point can be seen.
        assert!(frames.layers[1][0] > 20);
    }

    #[test]
    fn too_little_memory_for_the_points_is_refused() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let (_pool, views) = Pool::allocate(&gpu, "test", &[("points", 160)]).expect("memory");
        let painter = CloudPainter::new(&gpu).expect("a painter");
        let error = painter.screen(&gpu, &views[0], 11, 8, 1, 3.0).unwrap_err();
        assert!(error.to_string().contains("11 points"), "{error}");
        assert!(painter.screen(&gpu, &views[0], 10, 8, 1, 3.0).is_ok());
    }
}

//! Films: textures into which tensors are painted, so that an interface can draw them without the
//! numbers ever leaving the device.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytemuck::{Pod, Zeroable};

use super::{Gpu, GpuError, View, kernel::KernelId, shaders};

/// Mirrors `Params` of `shaders/display/tiles.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    height: u32,
    width: u32,
    c4: u32,
    channels: u32,
    columns: u32,
    layer: u32,
    first: u32,
    palette: u32,
    by_channel: u32,
    gain: f32,
    pad0: u32,
    pad1: u32,
}

/// How numbers become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Palette {
    /// −1 is black, 1 is white; three channels are red, green and blue.
    Picture,
    /// Blue below zero, orange above.
    Signed,
}

/// Layers that a film may have: WebGPU's default limit.
pub const MAX_LAYERS: u32 = 256;

/// Frames of tiles on the device: a texture whose layers are the frames and in which tiles of one
/// size lie row by row. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Film(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    texture: wgpu::Texture,
    id: u64,
    tile: [u32; 2],
    columns: u32,
    rows: u32,
    tiles: u32,
    layers: u32,
}

impl PartialEq for Film {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Film {
    /// An empty film of `layers` frames with `tiles` tiles of `width`×`height` pixels each, at most
    /// `columns` of them in a row.
    ///
    /// # Errors
    /// A texture beyond the device's limits.
    pub fn new(
        gpu: &Gpu,
        (width, height): (usize, usize),
        tiles: usize,
        columns: usize,
        layers: usize,
    ) -> Result<Self, GpuError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let columns = columns.clamp(1, tiles.max(1)) as u32;
        let rows = (tiles.max(1) as u32).div_ceil(columns);
        let (w, h, layers) = (
            columns * width as u32,
            rows * height as u32,
            layers.max(1) as u32,
        );
        let side = gpu.limits.max_texture_dimension_2d;
        if w > side || h > side || layers > gpu.limits.max_texture_array_layers.min(MAX_LAYERS) {
            return Err(GpuError::TooBig {
                what: "a film of pictures".into(),
                needed: u64::from(w.max(h).max(layers)),
                limit_name: "maxTextureDimension2D or maxTextureArrayLayers",
                limit: u64::from(side),
                advice: "show fewer or smaller pictures at once.".into(),
            });
        }
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("film"),
            size: wgpu::Extent3d {
                width: w,
                height: h,
                depth_or_array_layers: layers,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        Ok(Self(Arc::new(Inner {
            texture,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tile: [width as u32, height as u32],
            columns,
            rows,
            tiles: tiles as u32,
            layers,
        })))
    }

    /// A number that no other film has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Frames.
    pub fn layers(&self) -> usize {
        self.0.layers as usize
    }

    /// Tiles a frame.
    pub fn tiles(&self) -> usize {
        self.0.tiles as usize
    }

    /// Tiles in a row, and rows.
    pub fn grid(&self) -> (usize, usize) {
        (self.0.columns as usize, self.0.rows as usize)
    }

    /// Width and height of a tile, in pixels.
    pub fn tile_size(&self) -> (usize, usize) {
        (self.0.tile[0] as usize, self.0.tile[1] as usize)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let inner = &self.0;
        4 * u64::from(inner.columns * inner.tile[0])
            * u64::from(inner.rows * inner.tile[1])
            * u64::from(inner.layers)
    }

    /// One frame, to be drawn.
    pub fn view(&self, layer: usize) -> wgpu::TextureView {
        self.0.texture.create_view(&wgpu::TextureViewDescriptor {
            label: Some("frame"),
            dimension: Some(wgpu::TextureViewDimension::D2),
            base_array_layer: (layer as u32).min(self.0.layers - 1),
            array_layer_count: Some(1),
            ..Default::default()
        })
    }

    /// Where a tile lies in its frame: left, top, right, bottom in 0 … 1.
    pub fn uv(&self, tile: usize) -> [f32; 4] {
        let inner = &self.0;
        let (column, row) = (tile as u32 % inner.columns, tile as u32 / inner.columns);
        let (w, h) = (1.0 / inner.columns as f32, 1.0 / inner.rows as f32);
        let (x, y) = (column as f32 * w, row as f32 * h);
        [x, y, x + w, y + h]
    }

    /// The whole texture, for copies.
    pub(crate) fn texture(&self) -> &wgpu::Texture {
        &self.0.texture
    }
}

/// How a kernel binds a film to paint into it.
pub(super) const FILM_BINDING: wgpu::BindingType = wgpu::BindingType::StorageTexture {
    access: wgpu::StorageTextureAccess::WriteOnly,
    format: wgpu::TextureFormat::Rgba8Unorm,
    view_dimension: wgpu::TextureViewDimension::D2Array,
};

/// Compiles kernels of one file that paint films: binding `i` of group 0 is `bindings[i]`.
///
/// # Errors
/// [`GpuError::Kernel`] when the shader is missing.
pub(super) fn display_pipelines<const N: usize>(
    gpu: &Gpu,
    bindings: &[wgpu::BindingType],
    kernels: [KernelId; N],
) -> Result<(wgpu::BindGroupLayout, [wgpu::ComputePipeline; N]), GpuError> {
    let id = &kernels[0];
    let shader = shaders::find(id.stem).ok_or_else(|| GpuError::Kernel {
        kernel: id.to_string(),
        reason: "there is no such shader".into(),
    })?;
    let device = &gpu.device;
    let label = Some(id.stem);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label,
        source: wgpu::ShaderSource::Wgsl(shader.source.into()),
    });
    let entries: Vec<_> = (0..)
        .zip(bindings)
        .map(|(binding, &ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
            count: None,
        })
        .collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label,
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipelines = kernels.map(|id| {
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(id.entry),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(id.entry),
            compilation_options: Default::default(),
            cache: None,
        })
    });
    Ok((layout, pipelines))
}

/// The pipeline that paints.
#[derive(Debug)]
pub struct Painter {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Painter {
    /// The name of its kernel.
    pub const KERNEL: KernelId = KernelId::new("display/tiles", "paint");

    /// Compiles it.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] when the shader is missing.
    pub fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let buffer = |ty| wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let bindings = [
            buffer(wgpu::BufferBindingType::Uniform),
            buffer(wgpu::BufferBindingType::Storage { read_only: false }),
            FILM_BINDING,
        ];
        let (layout, [pipeline]) = display_pipelines(gpu, &bindings, [Self::KERNEL])?;
        Ok(Self { pipeline, layout })
    }

    /// Joins a tensor to a film.
    pub fn screen(&self, gpu: &Gpu, film: &Film, shot: Shot) -> Screen {
        let params = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("film params"),
            size: size_of::<Params>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let target = film.0.texture.create_view(&wgpu::TextureViewDescriptor {
            label: Some("film"),
            dimension: Some(wgpu::TextureViewDimension::D2Array),
            ..Default::default()
        });
        let bytes = shot.view.bytes.div_ceil(16) * 16;
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("film"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: params.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &shot.view.buffer,
                        offset: shot.view.offset,
                        size: std::num::NonZeroU64::new(bytes),
                    }),
                },
                wgpu::BindGroupEntry {
                    binding: 2,
                    resource: wgpu::BindingResource::TextureView(&target),
                },
            ],
        });
        Screen {
            pipeline: self.pipeline.clone(),
            group,
            params,
            film: film.clone(),
            shot,
        }
    }
}

/// What of a tensor is painted, and how.
#[derive(Debug, Clone)]
pub struct Shot {
    /// The tensor, `[B, H, W, C]` with channels padded to a multiple of 4.
    pub view: View,
    /// H, W and C.
    pub size: [usize; 3],
    /// Tiles painted: samples, or channels of the first sample.
    pub tiles: usize,
    /// Tile n is channel n of the first sample, not sample n.
    pub by_channel: bool,
    /// Colours.
    pub palette: Palette,
    /// What values are multiplied by; `None` brings each tile's largest magnitude to 1.
    pub gain: Option<f32>,
    /// The first tile of the film that is painted.
    pub first: usize,
}

/// Brings three standard deviations of noise to black and white.
pub const NOISE_GAIN: f32 = 1.0 / 3.0;

impl Shot {
    /// The first `tiles` samples of a tensor as pictures, multiplied by `gain`.
    pub const fn pictures(view: View, size: [usize; 3], tiles: usize, gain: f32) -> Self {
        Self {
            view,
            size,
            tiles,
            by_channel: false,
            palette: Palette::Picture,
            gain: Some(gain),
            first: 0,
        }
    }
}

/// A tensor joined to a film.
#[derive(Debug)]
pub struct Screen {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    params: wgpu::Buffer,
    film: Film,
    shot: Shot,
}

impl Screen {
    /// The film.
    pub const fn film(&self) -> &Film {
        &self.film
    }

    /// Encodes the painting of a frame. One frame a submission: the frame's number travels by the
    /// queue, ahead of the commands.
    pub fn paint(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, layer: usize) {
        let [height, width, channels] = self.shot.size;
        let params = Params {
            height: height as u32,
            width: width as u32,
            c4: channels.div_ceil(4) as u32,
            channels: channels as u32,
            columns: self.film.0.columns,
            layer: layer as u32,
            first: self.shot.first as u32,
            palette: match self.shot.palette {
                Palette::Picture => 0,
                Palette::Signed => 1,
            },
            by_channel: u32::from(self.shot.by_channel),
            gain: self.shot.gain.unwrap_or(0.0),
            pad0: 0,
            pad1: 0,
        };
        gpu.queue
            .write_buffer(&self.params, 0, bytemuck::bytes_of(&params));
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.shot.tiles as u32, 1, 1);
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::gpu::{AdapterChoice, memory::Pool};

    #[test]
    fn painted_tiles_hold_the_tensors_values() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        // Two samples of 2x3 pixels, one channel padded to four.
        let pixels = [
            -1.0, 0.0, 1.0, 0.5, -0.5, 2.0, 1.0, 1.0, 1.0, -1.0, -1.0, -3.0,
        ];
        let tensor: Vec<f32> = pixels.iter().flat_map(|&v| [v, 0.0, 0.0, 0.0]).collect();
        let (_pool, views) =
            Pool::allocate(&gpu, "test", &[("x", 4 * tensor.len() as u64)]).expect("memory");
        views[0].write(&gpu, 0, &tensor);
        let film = Film::new(&gpu, (3, 2), 2, 2, 3).expect("a film");
        let painter = Painter::new(&gpu).expect("a painter");
        let screen = painter.screen(
            &gpu,
            &film,
            Shot::pictures(views[0].clone(), [2, 3, 1], 2, 1.0),
        );
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        screen.paint(&gpu, &mut encoder, 1);
        gpu.submit(encoder.finish(), || {});
        let mut read = FilmRead::start(&gpu, &film).expect("a copy");
        let frames = loop {
            gpu.wait();
            if let Some(frames) = read.poll(&gpu).expect("a readback") {
                break frames;
            }
        };
        assert_eq!(
            (frames.width, frames.height, frames.layers.len()),
            (6, 2, 3)
        );
        assert!(
            frames.layers[0].iter().all(|&b| b == 0),
            "frame 0 is untouched"
        );
        let grey = |x: usize, y: usize| frames.layers[1][4 * (y * 6 + x)];
        let expected = |v: f32| ((v.clamp(-1.0, 1.0) * 0.5 + 0.5) * 255.0).round() as i32;
        for n in 0..2 {
            for y in 0..2 {
                for x in 0..3 {
                    let value = pixels[n * 6 + y * 3 + x];
                    let found = i32::from(grey(3 * n + x, y));
                    assert!((found - expected(value)).abs() <= 1, "{n} {x} {y}: {found}");
                }
            }
        }
    }
}

/// The pixels of a film, read back for an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilmPixels {
    /// Width of a frame.
    pub width: usize,
    /// Height of a frame.
    pub height: usize,
    /// RGBA bytes of each frame, row by row.
    pub layers: Vec<Vec<u8>>,
}

/// A readback of a whole film.
#[derive(Debug)]
pub struct FilmRead {
    buffer: wgpu::Buffer,
    bytes: u64,
    row_bytes: u32,
    size: [u32; 3],
    state: Arc<std::sync::atomic::AtomicU8>,
}

impl FilmRead {
    /// Starts it, after everything submitted so far.
    ///
    /// # Errors
    /// The device's refusal.
    pub fn start(gpu: &Gpu, film: &Film) -> Result<Self, GpuError> {
        let extent = film.texture().size();
        let (w, h, layers) = (extent.width, extent.height, extent.depth_or_array_layers);
        let row_bytes = (4 * w).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let bytes = u64::from(row_bytes) * u64::from(h) * u64::from(layers);
        let buffer = gpu.create_buffer(
            "film readback",
            bytes,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        )?;
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encoder.copy_texture_to_buffer(
            film.texture().as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(row_bytes),
                    rows_per_image: Some(h),
                },
            },
            extent,
        );
        gpu.submit(encoder.finish(), || {});
        let state = Arc::new(std::sync::atomic::AtomicU8::new(0));
        let flag = Arc::clone(&state);
        buffer.slice(..).map_async(wgpu::MapMode::Read, move |r| {
            flag.store(if r.is_ok() { 1 } else { 2 }, Ordering::Release);
        });
        Ok(Self {
            buffer,
            bytes,
            row_bytes,
            size: [w, h, layers],
            state,
        })
    }

    /// The pixels once they have arrived; `None` before. Delivers once.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when the device went away meanwhile.
    pub fn poll(&mut self, gpu: &Gpu) -> Result<Option<FilmPixels>, GpuError> {
        gpu.check()?;
        gpu.poll();
        let lost = |reason: String| GpuError::Lost { reason };
        match self.state.load(Ordering::Acquire) {
            0 => return Ok(None),
            1 => {}
            _ => return Err(lost("a film could not be read back".into())),
        }
        let range = self
            .buffer
            .slice(..)
            .get_mapped_range()
            .map_err(|e| lost(e.to_string()))?;
        let [w, h, layers] = self.size.map(|n| n as usize);
        let row = self.row_bytes as usize;
        let layers = (0..layers)
            .map(|l| {
                (0..h)
                    .flat_map(|y| {
                        let at = (l * h + y) * row;
                        range[at..at + 4 * w].iter().copied()
                    })
                    .collect()
            })
            .collect();
        drop(range);
        self.buffer.destroy();
        gpu.released(self.bytes);
        Ok(Some(FilmPixels {
            width: w,
            height: h,
            layers,
        }))
    }
}

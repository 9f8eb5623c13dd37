//! Memory: a [`Pool`] hands out ranges of a few large buffers (chunks). Every chunk is bound
//! `read_write`, because WebGPU tracks usage for a whole buffer; ranges are disjoint.

use std::sync::Arc;

use super::{Gpu, GpuError};

/// Bindings start at multiples of this many bytes on every adapter.
pub const ALIGN: u64 = 256;

/// Rounds up to [`ALIGN`].
pub const fn align(bytes: u64) -> u64 {
    bytes.div_ceil(ALIGN) * ALIGN
}

/// A range of a chunk.
#[derive(Debug, Clone)]
pub struct View {
    /// The chunk.
    pub buffer: wgpu::Buffer,
    /// First byte, a multiple of [`ALIGN`].
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl View {
    /// Writes 32-bit words from the host, `first` words into the view.
    pub fn write<T: bytemuck::Pod>(&self, gpu: &Gpu, first: u64, data: &[T]) {
        gpu.queue.write_buffer(
            &self.buffer,
            self.offset + 4 * first,
            bytemuck::cast_slice(data),
        );
    }

    /// The part of the view from word `first`, `words` long. `first` must keep the alignment.
    pub fn part(&self, first: u64, words: u64) -> Self {
        debug_assert_eq!((4 * first) % ALIGN, 0);
        Self {
            buffer: self.buffer.clone(),
            offset: self.offset + 4 * first,
            bytes: 4 * words,
        }
    }
}

/// Long-lived memory: weights, moments, tables. Ranges are never given back one by one.
#[derive(Debug)]
pub struct Pool {
    gpu: Arc<Gpu>,
    label: &'static str,
    chunks: Vec<(wgpu::Buffer, u64)>,
}

impl Pool {
    /// Makes room for views of `bytes` each, in order, in as few chunks as the limits allow, and
    /// returns the views in the same order.
    ///
    /// # Errors
    /// [`GpuError::TooBig`] for a view beyond the binding limit, or the device's own refusal.
    pub fn allocate(
        gpu: &Arc<Gpu>,
        label: &'static str,
        sizes: &[(&str, u64)],
    ) -> Result<(Self, Vec<View>), GpuError> {
        for &(what, bytes) in sizes {
            check_binding(gpu, what, align(bytes.max(4)))?;
        }
        let (places, ends) = Self::lay_out(gpu, sizes);
        let mut pool = Self {
            gpu: Arc::clone(gpu),
            label,
            chunks: Vec::new(),
        };
        for size in ends {
            let buffer = gpu.create_buffer(label, size, usage())?;
            pool.chunks.push((buffer, size));
        }
        let views = places
            .into_iter()
            .zip(sizes)
            .map(|(place, &(_, bytes))| View {
                buffer: pool.chunks[place.chunk].0.clone(),
                offset: place.offset,
                bytes,
            })
            .collect();
        Ok((pool, views))
    }

    /// Bytes of each chunk that [`Pool::allocate`] would make.
    pub fn chunk_bytes(gpu: &Gpu, sizes: &[(&str, u64)]) -> Vec<u64> {
        Self::lay_out(gpu, sizes).1
    }

    /// Where each range goes, and the chunks' sizes.
    fn lay_out(gpu: &Gpu, sizes: &[(&str, u64)]) -> (Vec<Place>, Vec<u64>) {
        let cap = gpu.max_binding() / ALIGN * ALIGN;
        let mut places = Vec::with_capacity(sizes.len());
        let mut ends: Vec<u64> = vec![0];
        for &(_, bytes) in sizes {
            let size = align(bytes.max(4));
            if ends[ends.len() - 1] + size > cap {
                ends.push(0);
            }
            let chunk = ends.len() - 1;
            places.push(Place {
                chunk,
                offset: ends[chunk],
            });
            ends[chunk] += size;
        }
        (places, ends.into_iter().map(|end| end.max(ALIGN)).collect())
    }

    /// The chunks, whole: for kernels that run over everything at once (Adam, the norm).
    pub fn chunks(&self) -> Vec<View> {
        self.chunks
            .iter()
            .map(|(buffer, bytes)| View {
                buffer: buffer.clone(),
                offset: 0,
                bytes: *bytes,
            })
            .collect()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|c| c.1).sum()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (buffer, bytes) in self.chunks.drain(..) {
            tracing::trace!("{}: {bytes} bytes freed", self.label);
            buffer.destroy();
            self.gpu.released(bytes);
        }
    }
}

/// What every chunk can be used for.
pub const fn usage() -> wgpu::BufferUsages {
    wgpu::BufferUsages::STORAGE
        .union(wgpu::BufferUsages::COPY_SRC)
        .union(wgpu::BufferUsages::COPY_DST)
}

/// Fails when one tensor cannot be bound in one piece.
///
/// # Errors
/// [`GpuError::TooBig`].
pub fn check_binding(gpu: &Gpu, what: &str, bytes: u64) -> Result<(), GpuError> {
    let limit = gpu.max_binding();
    if bytes <= limit {
        return Ok(());
    }
    Err(GpuError::TooBig {
        what: what.into(),
        needed: bytes,
        limit_name: "maxStorageBufferBindingSize",
        limit,
        advice: format!(
            "about 1/{} of the batch (or of the channels) would fit.",
            bytes.div_ceil(limit)
        ),
    })
}

/// One tensor to be placed by [`place`]: live from the first to the last dispatch that touches it.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// Bytes.
    pub bytes: u64,
    /// First dispatch that touches it.
    pub first: usize,
    /// Last dispatch that touches it.
    pub last: usize,
    /// A second part that has to lie right behind the first (aligned), with a life of its own.
    pub behind: Option<Part>,
}

/// A part of a tensor to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Bytes.
    pub bytes: u64,
    /// First dispatch that touches it.
    pub first: usize,
    /// Last dispatch that touches it.
    pub last: usize,
}

impl Lifetime {
    /// Bytes of all of it.
    pub fn whole(&self) -> u64 {
        self.behind
            .map_or(self.bytes, |part| align(self.bytes.max(4)) + part.bytes)
    }

    /// Its parts, each with its first byte and its end.
    pub fn parts(&self) -> impl Iterator<Item = (Part, u64, u64)> {
        let Self {
            bytes, first, last, ..
        } = *self;
        let one = Part { bytes, first, last };
        let middle = align(bytes.max(4));
        let two = self
            .behind
            .map(|part| (part, middle, middle + align(part.bytes.max(4))));
        std::iter::once((one, 0, middle)).chain(two)
    }
}

/// Where [`place`] put a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Chunk number.
    pub chunk: usize,
    /// Byte offset in the chunk.
    pub offset: u64,
}

/// Places tensors so that those alive at the same time do not overlap: largest first, each at
/// the lowest offset that is free during its life. Returns the places and the chunks' sizes.
pub fn place(tensors: &[Lifetime], chunk_limit: u64) -> (Vec<Place>, Vec<u64>) {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(tensors[i].whole()), tensors[i].first));
    let mut places = vec![
        Place {
            chunk: 0,
            offset: 0
        };
        tensors.len()
    ];
    let mut placed: Vec<Vec<usize>> = Vec::new();
    let mut sizes: Vec<u64> = Vec::new();
    for i in order {
        let tensor = tensors[i];
        let size = align(tensor.whole().max(4));
        let mut chunk = 0;
        loop {
            if chunk == placed.len() {
                placed.push(Vec::new());
                sizes.push(0);
            }
            // Between which offsets the tensor would overlap another.
            let mut taken: Vec<(i64, i64)> = Vec::new();
            for &j in &placed[chunk] {
                for (other, start, end) in tensors[j].parts() {
                    for (part, from, to) in tensor.parts() {
                        if other.first <= part.last && part.first <= other.last {
                            let at = places[j].offset;
                            let below = (at + start) as i64 - to as i64;
                            taken.push((below, (at + end) as i64 - from as i64));
                        }
                    }
                }
            }
            taken.sort_unstable();
            let mut free = 0_i64;
            for (below, above) in taken {
                if free <= below {
                    break;
                }
                free = free.max(above);
            }
            let offset = free as u64;
            if offset == 0 || offset + size <= chunk_limit {
                places[i] = Place { chunk, offset };
                placed[chunk].push(i);
                sizes[chunk] = sizes[chunk].max(offset + size);
                break;
            }
            chunk += 1;
        }
    }
    (places, sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_tensors_never_overlap_and_dead_ones_share() {
        let mut tensors = Vec::new();
        for i in 0..60_usize {
            tensors.push(Lifetime {
                bytes: ((i * 7919) % 13 + 1) as u64 * 512,
                first: i,
                last: i + (i * 31) % 9,
                behind: (i % 5 == 0).then_some(Part {
                    bytes: (i % 3 + 1) as u64 * 512,
                    first: i + 2,
                    last: i + 4,
                }),
            });
        }
        let limit = 20 * 512;
        let (places, sizes) = place(&tensors, limit);
        for (i, a) in tensors.iter().enumerate() {
            for (j, b) in tensors.iter().enumerate().skip(i + 1) {
                let same = places[i].chunk == places[j].chunk;
                for (p, p_from, p_to) in a.parts() {
                    for (q, q_from, q_to) in b.parts() {
                        let alive = p.first <= q.last && q.first <= p.last;
                        let overlap = places[i].offset + p_from < places[j].offset + q_to
                            && places[j].offset + q_from < places[i].offset + p_to;
                        assert!(!(alive && same && overlap), "{i} and {j} overlap");
                    }
                }
            }
        }
        assert!(sizes.iter().all(|&s| s <= limit));
        let total: u64 = tensors.iter().map(Lifetime::whole).sum();
        assert!(
            sizes.iter().sum::<u64>() < total / 3,
            "no memory was shared"
        );
    }
}

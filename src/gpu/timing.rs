//! How long work takes on the device: by timestamps where it has them, otherwise by the clock from its submission to
//! the word that it is done. Nothing here waits.

use std::sync::{Arc, Mutex};

use web_time::Instant;

use super::{Gpu, GpuError, View, readback::Fetch};

/// What a time was taken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Timestamps that the device writes before and after.
    Timestamps,
    /// The host's clock around a submission that is alone on the device.
    Submissions,
}

impl Clock {
    /// What a device has.
    pub const fn of(gpu: &Gpu) -> Self {
        if gpu.capabilities.timestamps {
            Self::Timestamps
        } else {
            Self::Submissions
        }
    }

    /// What is good beside an interface that draws frames on the same device. A software adapter may write a timestamp
    /// only when the frame under way is drawn (llvmpipe does), whatever was computed before; and as it computes while
    /// it is submitted to, the host's clock is nearly as good there.
    pub const fn beside_frames(gpu: &Gpu) -> Self {
        if gpu.capabilities.software {
            Self::Submissions
        } else {
            Self::of(gpu)
        }
    }
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timestamps => "timestamp queries",
            Self::Submissions => "timed submissions",
        })
    }
}

/// Two timestamps.
#[derive(Debug)]
struct Stamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
}

/// One piece of work whose time is being taken.
#[derive(Debug)]
pub struct TimedWork {
    begun: Instant,
    ended: Arc<Mutex<Option<Instant>>>,
    stamps: Option<Fetch>,
    ticks: Option<(u64, u64)>,
    _kept: Option<Stamps>,
}

impl TimedWork {
    /// Bytes of two timestamps.
    const BYTES: u64 = 16;

    /// Submits what `record` encodes, to be timed by `clock`, which the device has. It is handed what a compute pass
    /// needs to write timestamps, if that is the clock; they belong around all of the work.
    ///
    /// # Errors
    /// The device's refusal.
    pub fn submit(
        gpu: &Gpu,
        clock: Clock,
        record: impl FnOnce(&mut wgpu::CommandEncoder, Option<wgpu::ComputePassTimestampWrites<'_>>),
    ) -> Result<Self, GpuError> {
        let stamps = (clock == Clock::Timestamps).then(|| Stamps {
            set: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timing"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timing"),
                size: Self::BYTES,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
        });
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let writes = stamps
            .as_ref()
            .map(|stamps| wgpu::ComputePassTimestampWrites {
                query_set: &stamps.set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
        record(&mut encoder, writes);
        if let Some(stamps) = &stamps {
            encoder.resolve_query_set(&stamps.set, 0..2, &stamps.resolved, 0);
        }
        let commands = encoder.finish();
        let ended = Arc::new(Mutex::new(None));
        let begun = Instant::now();
        gpu.submit(commands, {
            let ended = Arc::clone(&ended);
            move || {
                if let Ok(mut slot) = ended.lock() {
                    *slot = Some(Instant::now());
                }
            }
        });
        let fetch = match &stamps {
            None => None,
            Some(stamps) => {
                let view = View {
                    buffer: stamps.resolved.clone(),
                    offset: 0,
                    bytes: Self::BYTES,
                };
                Some(Fetch::start(gpu, &[view])?)
            }
        };
        Ok(Self {
            begun,
            ended,
            stamps: fetch,
            ticks: None,
            _kept: stamps,
        })
    }

    /// The seconds once they are known; `None` before.
    ///
    /// # Errors
    /// A lost device.
    pub fn poll(&mut self, gpu: &Gpu) -> Result<Option<f64>, GpuError> {
        gpu.check()?;
        gpu.poll();
        if let Some(fetch) = &mut self.stamps {
            let Some(words) = fetch.poll(gpu)? else {
                return Ok(None);
            };
            let tick = |i: usize| {
                let word = |k: usize| words.first().and_then(|w| w.get(2 * i + k)).copied();
                u64::from(word(0).unwrap_or(0)) | u64::from(word(1).unwrap_or(0)) << 32
            };
            self.ticks = Some((tick(0), tick(1)));
            self.stamps = None;
        }
        let ended = self.ended.lock().ok().and_then(|slot| *slot);
        let Some(ended) = ended else {
            return Ok(None);
        };
        let by_clock = (ended - self.begun).as_secs_f64();
        // Some drivers write nothing, or nonsense after a power change.
        let by_stamps = self.ticks.and_then(|(begin, end)| {
            let ticks = end.checked_sub(begin).filter(|&t| t > 0)?;
            let seconds = ticks as f64 * f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
            (seconds <= by_clock + 1e-3).then_some(seconds)
        });
        Ok(Some(by_stamps.unwrap_or(by_clock)))
    }
}

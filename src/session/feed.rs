//! Where a training step's x_0 come from: images of a data set, or points of a distribution.

use std::sync::Arc;

use crate::{
    Result,
    data::{Images, Shuffle, points::PointSource},
    gpu::{Gpu, View},
    nn::{PlanBuilder, Shape, TensorId, batch, state::RandomStep},
    rng::stream,
};

/// The data of a training run.
#[derive(Debug)]
pub enum Feed {
    /// Stored images in random order; their bytes are scaled and placed on the device.
    Images {
        /// The images.
        images: Images,
        /// Their order.
        shuffle: Shuffle,
    },
    /// Points, each new; written as they are.
    Points {
        /// The distribution.
        source: Arc<PointSource>,
        /// The run's seed.
        seed: u64,
    },
}

impl Feed {
    /// Bytes on the device for a micro-batch.
    pub fn bytes(&self, batch: usize) -> u64 {
        match self {
            Self::Images { images, .. } => (batch * images.stride()).next_multiple_of(16) as u64,
            Self::Points { .. } => 4 * Shape::vector(batch, 2).words() as u64,
        }
    }

    /// Emits what makes x_0, `shape`, of what [`Feed::write`] writes; returns x_0.
    ///
    /// # Errors
    /// Images that do not fit the network.
    pub fn emit(
        &self,
        plan: &mut PlanBuilder,
        data: TensorId,
        shape: Shape,
        flip: bool,
        state: TensorId,
    ) -> Result<TensorId> {
        match self {
            Self::Images { images, .. } => {
                let x0 = plan.tensor("x_0", shape.words());
                let image = Shape::new(shape.b, images.height, images.width, images.channels);
                let placement = batch::Placement::centred(image, shape)?;
                let flip = flip.then_some((stream::AUGMENT, RandomStep::MicroStep));
                batch::load(plan, &placement, data, x0, flip, state);
                Ok(x0)
            }
            Self::Points { .. } => {
                let points = Shape::vector(shape.b, 2);
                if shape != points {
                    return Err(crate::nn::ModelError::Shape {
                        layer: "points of the plane".into(),
                        expected: shape.to_string(),
                        found: points.to_string(),
                    }
                    .into());
                }
                Ok(data)
            }
        }
    }

    /// Writes samples `first` to `first + batch` − 1 of the run's endless row of them.
    pub fn write(&self, gpu: &Gpu, view: &View, first: u64, batch: usize) {
        match self {
            Self::Images { images, shuffle } => {
                let mut bytes: Vec<u8> = Vec::with_capacity(view.bytes as usize);
                for i in 0..batch as u64 {
                    bytes.extend_from_slice(images.image(shuffle.index(first + i)));
                }
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                gpu.queue.write_buffer(&view.buffer, view.offset, &bytes);
            }
            Self::Points { source, seed } => {
                let points = source.sample(*seed, stream::POINTS_TRAIN, first, batch);
                let words: Vec<[f32; 4]> = points.iter().map(|p| [p[0], p[1], 0.0, 0.0]).collect();
                view.write(gpu, 0, &words);
            }
        }
    }
}

//! What a [`Session`](super::live::Session) works at, one file a job.

pub mod export;
pub mod forward;
pub mod probe;
pub mod profile;
pub mod reverse;
pub mod training;

use std::sync::Arc;

use super::command::Picture;
use crate::{
    nn::{Shape, batch, model::ParamSet, tensor},
    rng::{Draw, stream},
};

/// A model's weights, wherever they are.
#[derive(Debug, Clone)]
pub enum Weights {
    /// On the device, for this model alone.
    Own(Arc<ParamSet>),
    /// Those of the run in training: averaged or raw.
    Training {
        /// The moving average.
        averaged: bool,
    },
}

/// A picture and its noise as a plan has them, `[1, H, W, Cp]`; the picture is centred on black where it is
/// smaller than `shape` and cut where it is larger.
fn picture_and_noise(picture: &Picture, shape: Shape, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut values = vec![-1.0; shape.c * shape.h * shape.w];
    let offset = |inner: usize, outer: usize| (outer as isize - inner as isize).div_euclid(2);
    let (top, left) = (
        offset(picture.height, shape.h),
        offset(picture.width, shape.w),
    );
    for c in 0..shape.c {
        for y in 0..shape.h {
            for x in 0..shape.w {
                let (py, px) = (y as isize - top, x as isize - left);
                let inside = (0..picture.height as isize).contains(&py)
                    && (0..picture.width as isize).contains(&px);
                if !inside {
                    continue;
                }
                // A grey picture has the same in every channel; a colour one shown grey keeps its green.
                let pc = if picture.channels == shape.c {
                    c
                } else {
                    (picture.channels - 1).min(1)
                };
                let at = (pc * picture.height + py as usize) * picture.width + px as usize;
                if let Some(&v) = picture.values.get(at) {
                    values[(c * shape.h + y) * shape.w + x] = v;
                }
            }
        }
    }
    let draw = Draw {
        seed,
        stream: stream::FORWARD_NOISE,
        step: 0,
        sample: 0,
    };
    let noise = batch::normal_values(shape, draw);
    (tensor::nchw_to_plan(shape, &values), noise)
}

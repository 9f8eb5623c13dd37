//! How good a model is: the variational bound in bits a dimension with its terms (section 3.3 of the
//! paper), the loss by timestep, and the training images nearest to samples.
//!
//! The device draws x_t and evaluates the network; what comes back is summed here in f64.

use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    Result,
    data::{DataError, Images, Shuffle},
    diffusion::likelihood::{
        Bound, ImageTerms, Region, TimestepStrata, VlbAccumulator, VlbEstimate,
    },
    gpu::{Gpu, View, memory::Pool, readback::read_f32},
    nn::{
        Plan, PlanBuilder, Shape, batch,
        model::ParamSet,
        state::{RandomStep, STATE_WORDS, StepState},
        tensor::plan_to_nchw,
        tuning::VariantTable,
        unet,
    },
    rng::{self, Draw, stream},
    session::{
        TrainError,
        figures::{T_BINS, t_bin, t_bin_range},
        pacer::{Pace, Pacer},
        pipeline::Pipeline,
    },
};

/// What to evaluate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalOptions {
    /// Images; 0 for all.
    pub limit: usize,
    /// Terms L_t an image, besides L_0 and L_T; at most T − 1.
    pub per_image: usize,
    /// Images at once.
    pub batch: usize,
    /// Seed of the choice of images, timesteps and noise.
    pub seed: u64,
    /// Height and width of the data set's own pixels, centred in the images, see
    /// [`crate::data::Dataset::content`]. Only they count.
    pub content: (usize, usize),
}

/// The loss in one part of the timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimestepBin {
    /// First timestep, 0-based.
    pub t_first: usize,
    /// Last timestep.
    pub t_last: usize,
    /// Network evaluations that this rests on.
    pub terms: usize,
    /// Mean squared error of the network's output over the part (L_simple there); NaN without terms.
    pub mse: f64,
    /// What the part's terms add to the bound, bits a dimension.
    pub bits: f64,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// The bound and its terms, bits a dimension.
    pub bound: VlbEstimate,
    /// Network evaluations.
    pub evaluations: usize,
    /// The loss over t.
    pub by_timestep: Vec<TimestepBin>,
}

/// One network evaluation.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// Position in the list of chosen images.
    position: usize,
    /// Which image of the data set.
    image: usize,
    t: usize,
}

/// The sums of one evaluation.
#[derive(Debug, Clone, Copy)]
struct Term {
    position: usize,
    t: usize,
    nats: f64,
    mse: f64,
    /// L_T, of the first item of each image.
    prior: f64,
}

/// Measures a model on `images`, waiting for the device. `tick` hears (done, of) evaluations.
///
/// # Errors
/// Images that do not fit the network, a device too small, or an output that is not finite.
pub fn evaluate(
    gpu: &Arc<Gpu>,
    pipeline: &Pipeline,
    weights: &ParamSet,
    images: &Images,
    options: &EvalOptions,
    mut tick: impl FnMut(usize, usize),
) -> Result<EvalReport> {
    check(pipeline, images)?;
    let schedule = pipeline.scheduler.noise_schedule()?;
    let timesteps = schedule.timesteps();
    let count = match options.limit {
        0 => images.len(),
        limit => limit.min(images.len()),
    };
    let per_image = options
        .per_image
        .clamp(1, timesteps.saturating_sub(1).max(1));
    let strata = TimestepStrata::new(timesteps, count, per_image)?;
    let items = items(images.len(), count, &strata, options.seed);
    let scheduler = &pipeline.scheduler;
    let bound = Bound {
        schedule: &schedule,
        variance: scheduler.variance_type,
        objective: scheduler.prediction_type,
        clip_x0: scheduler.clip_sample.then_some(scheduler.clip_sample_range),
    };
    let mut forward = Forward::new(
        gpu,
        pipeline,
        weights,
        images,
        options.batch.clamp(1, items.len()),
    )?;
    let side = pipeline.unet.sample_size;
    let region = region(images, options.content, side);
    let mask = region.mask();
    let mut terms: Vec<Term> = Vec::with_capacity(items.len());
    for (first, part) in items.chunks(forward.shape.b).enumerate() {
        let seen = forward.run(images, part, first * forward.shape.b, options.seed)?;
        let size = mask.len();
        let here: Result<Vec<Term>, _> = part
            .par_iter()
            .enumerate()
            .map(|(n, item)| {
                let of = n * size..(n + 1) * size;
                let x0 = canvas(images, item.image, side);
                let out = &seen.out[of.clone()];
                let target = &seen.target[of.clone()];
                let squares = out
                    .iter()
                    .zip(target)
                    .zip(&mask)
                    .filter(|(_, counts)| **counts);
                let squares = squares.map(|((o, y), _)| (f64::from(*o) - f64::from(*y)).powi(2));
                Ok::<_, crate::diffusion::DiffusionError>(Term {
                    position: item.position,
                    t: item.t,
                    nats: bound.vlb_term(item.t, &x0, &seen.x_t[of], out, &mask)?,
                    mse: squares.sum::<f64>() / region.dimensions() as f64,
                    prior: if item.t == 0 {
                        bound.prior_term(&x0, &mask)?
                    } else {
                        0.0
                    },
                })
            })
            .collect();
        terms.extend(here?);
        tick(terms.len(), items.len());
    }
    let by_timestep = by_timestep(&terms, &strata, count, timesteps, region.dimensions());
    let mut images_terms = vec![
        ImageTerms {
            prior: 0.0,
            decoder: 0.0,
            middle: Vec::with_capacity(per_image),
        };
        count
    ];
    for term in &terms {
        let of = &mut images_terms[term.position];
        if term.t == 0 {
            (of.decoder, of.prior) = (term.nats, term.prior);
        } else {
            of.middle.push((term.t, term.nats));
        }
    }
    let mut accumulator = VlbAccumulator::new(strata, region.dimensions())?;
    for terms in images_terms {
        accumulator.add(terms)?;
    }
    Ok(EvalReport {
        bound: accumulator.estimate()?,
        evaluations: terms.len(),
        by_timestep,
    })
}

/// t = 0 and the stratified timesteps of each chosen image.
fn items(available: usize, count: usize, strata: &TimestepStrata, seed: u64) -> Vec<Item> {
    let shuffle = Shuffle::new(available, seed);
    let mut items = Vec::new();
    for position in 0..count {
        let image = shuffle.index(position as u64);
        let draw = Draw {
            seed,
            stream: stream::EVAL_TIMESTEP,
            step: 0,
            sample: position as u32,
        };
        let mut drawn = 0;
        let middle = strata.draw(position, || {
            drawn += 1;
            rng::uniform4(draw, drawn - 1)[0]
        });
        items.extend(
            std::iter::once(0)
                .chain(middle)
                .map(|t| Item { position, image, t }),
        );
    }
    items
}

/// Each term stands for the timesteps of its stratum, as in the bound.
fn by_timestep(
    terms: &[Term],
    strata: &TimestepStrata,
    images: usize,
    timesteps: usize,
    dimensions: usize,
) -> Vec<TimestepBin> {
    let mut met = vec![0usize; strata.len()];
    for term in terms {
        if let Some(s) = strata.stratum(term.t) {
            met[s] += 1;
        }
    }
    // Terms, weight, weighted squared error, weighted nats.
    let mut sums = [(0usize, 0.0, 0.0, 0.0); T_BINS];
    for term in terms {
        let weight = match strata.stratum(term.t) {
            Some(s) => strata.size(s) as f64 / met[s] as f64,
            None => 1.0 / images as f64,
        };
        let sum = &mut sums[t_bin(term.t, timesteps)];
        sum.0 += 1;
        sum.1 += weight;
        sum.2 += weight * term.mse;
        sum.3 += weight * term.nats;
    }
    let unit = dimensions as f64 * std::f64::consts::LN_2;
    sums.into_iter()
        .enumerate()
        .filter_map(|(bin, (terms, weight, mse, nats))| {
            let (t_first, t_last) = t_bin_range(bin, timesteps)?;
            Some(TimestepBin {
                t_first,
                t_last,
                terms,
                mse: mse / weight,
                bits: nats / unit,
            })
        })
        .collect()
}

fn check(pipeline: &Pipeline, images: &Images) -> Result<()> {
    let unet = &pipeline.unet;
    if images.is_empty() {
        return Err(DataError::Invalid {
            what: "the number of test images",
            found: "0".into(),
            expected: "at least 1: give a data set that has some".into(),
        }
        .into());
    }
    if images.channels != unet.in_channels || unet.in_channels != unet.out_channels {
        return Err(TrainError::Channels {
            data: images.channels,
            model_in: unet.in_channels,
            model_out: unet.out_channels,
        }
        .into());
    }
    if images.height > unet.sample_size || images.width > unet.sample_size {
        return Err(TrainError::ImageSize {
            width: images.width,
            height: images.height,
            model: unet.sample_size,
        }
        .into());
    }
    Ok(())
}

/// Where the data set's own pixels lie on the network's canvas.
fn region(images: &Images, content: (usize, usize), side: usize) -> Region {
    let offset =
        |content, image| Images::pad_offset(content, image) + Images::pad_offset(image, side);
    Region {
        channels: images.channels,
        height: side,
        width: side,
        top: offset(content.0, images.height),
        left: offset(content.1, images.width),
        rows: content.0,
        columns: content.1,
    }
}

/// An image on the network's black canvas, `[C, S, S]` in [−1, 1].
fn canvas(images: &Images, index: usize, side: usize) -> Vec<f32> {
    let (h, w, c) = (images.height, images.width, images.channels);
    let (top, left) = (Images::pad_offset(h, side), Images::pad_offset(w, side));
    let mut out = vec![-1.0; c * side * side];
    for (place, pixel) in images.image(index).chunks_exact(c).enumerate() {
        let (y, x) = (top + place / w, left + place % w);
        for (channel, &value) in pixel.iter().enumerate() {
            out[(channel * side + y) * side + x] = f32::from(value) / 127.5 - 1.0;
        }
    }
    out
}

/// What the device found, `[B, C, S, S]` each.
struct Seen {
    x_t: Vec<f32>,
    target: Vec<f32>,
    out: Vec<f32>,
}

/// q_sample and the network, prepared for one batch size.
struct Forward {
    gpu: Arc<Gpu>,
    plan: Plan,
    shape: Shape,
    _pool: Pool,
    state: View,
    pixels: View,
    t: View,
    results: [View; 3],
    pacer: Pacer,
}

impl Forward {
    fn new(
        gpu: &Arc<Gpu>,
        pipeline: &Pipeline,
        weights: &ParamSet,
        images: &Images,
        batch_size: usize,
    ) -> Result<Self> {
        let schedule = pipeline.scheduler.noise_schedule()?;
        let timesteps = schedule.timesteps();
        let model = unet::build(&pipeline.unet, batch_size, timesteps, false)?;
        let shape = model.graph.shape(model.inputs.x);
        let table = batch::q_sample_table(&schedule);
        let words = |n: usize| 4 * n as u64;
        let pixel_bytes = (batch_size * images.stride()).next_multiple_of(16) as u64;
        let (pool, v) = Pool::allocate(
            gpu,
            "evaluation",
            &[
                ("state", words(STATE_WORDS)),
                ("pixels", pixel_bytes),
                ("t", words(batch_size)),
                ("x_t", words(shape.words())),
                ("target", words(shape.words())),
                ("time table", words(model.time_table.len())),
                ("sqrt(alpha_bar)", words(table.len())),
            ],
        )?;
        v[5].write(gpu, 0, &model.time_table);
        v[6].write(gpu, 0, &table);
        let mut plan = PlanBuilder::with_variants(VariantTable::of(gpu));
        let labels = [
            "state",
            "pixels",
            "t",
            "x_t",
            "target",
            "time table",
            "table",
        ];
        let [state, pixels, t, x_t, target, time_table, table] =
            std::array::from_fn(|i| plan.external(labels[i], &v[i]));
        let bound = weights.bind(&mut plan, model.graph.params());
        plan.set_label("batch");
        let x0 = plan.tensor("x_0", shape.words());
        let image = Shape::new(batch_size, images.height, images.width, images.channels);
        let placement = batch::Placement::centred(image, shape)?;
        batch::load(&mut plan, &placement, pixels, x0, None, state);
        let q = batch::QSample {
            shape,
            timesteps,
            objective: pipeline.scheduler.prediction_type,
            x0,
            t,
            table,
            x_t,
            target,
        };
        let random = (stream::EVAL_NOISE, RandomStep::Fixed(0));
        batch::draw(&mut plan, &q, random, state);
        let out = model
            .lower(&mut plan, x_t, t, time_table, state, &bound)
            .output;
        plan.keep(out);
        let plan = plan.prepare(gpu)?;
        let results = [v[3].clone(), v[4].clone(), plan.view(out).clone()];
        let [state, pixels, t] = [0, 1, 2].map(|i: usize| v[i].clone());
        Ok(Self {
            gpu: Arc::clone(gpu),
            plan,
            shape,
            _pool: pool,
            state,
            pixels,
            t,
            results,
            pacer: Pacer::new(Pace::FULL),
        })
    }

    /// Evaluates up to a batch of items, the first of which is number `first` of all.
    fn run(&mut self, images: &Images, items: &[Item], first: usize, seed: u64) -> Result<Seen> {
        let mut state = StepState::default().with_seed(seed);
        state.batch_offset = first as u32;
        self.state.write(&self.gpu, 0, state.words());
        let mut pixels: Vec<u8> = Vec::with_capacity(self.pixels.bytes as usize);
        let mut t: Vec<u32> = Vec::with_capacity(self.shape.b);
        for item in items {
            pixels.extend_from_slice(images.image(item.image));
            t.push(item.t as u32);
        }
        pixels.resize(pixels.len().next_multiple_of(4), 0);
        t.resize(self.shape.b, 0);
        self.pixels.write(&self.gpu, 0, &pixels);
        self.t.write(&self.gpu, 0, &t);
        self.pacer.run(&self.gpu, &self.plan)?;
        let read = read_f32(&self.gpu, &self.results)?;
        let [x_t, target, out] = [0, 1, 2].map(|i: usize| plan_to_nchw(self.shape, &read[i]));
        Ok(Seen { x_t, target, out })
    }
}

/// A training image near a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbour {
    /// Its index.
    pub index: usize,
    /// Root mean square of the differences of all pixels, in levels of 0 to 255.
    pub distance: f64,
}

/// The `k` training images nearest to each picture (L2 over all pixels), nearest first. `pictures` are
/// `[N, H, W, C]` bytes of the shape of `train`.
pub fn neighbours(pictures: &[u8], train: &Images, k: usize) -> Vec<Vec<Neighbour>> {
    let size = train.stride().max(1);
    let squares = |a: &[u8], b: &[u8]| -> u64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
            .sum()
    };
    pictures
        .chunks_exact(size)
        .map(|picture| {
            let mut all: Vec<(u64, usize)> = (0..train.len())
                .into_par_iter()
                .map(|i| (squares(picture, train.image(i)), i))
                .collect();
            let k = k.min(all.len());
            if k < all.len() {
                all.select_nth_unstable(k);
            }
            all.truncate(k);
            all.sort_unstable();
            all.into_iter()
                .map(|(sum, index)| Neighbour {
                    index,
                    distance: (sum as f64 / size as f64).sqrt(),
                })
                .collect()
        })
        .collect()
}

/// The part of samples `[N, C, S, S]` that holds the images' pixels, as bytes `[N, H, W, C]`.
pub fn as_images(samples: &[f32], side: usize, images: &Images) -> Vec<u8> {
    let (h, w, c) = (images.height, images.width, images.channels);
    let (top, left) = (Images::pad_offset(h, side), Images::pad_offset(w, side));
    let mut out = Vec::with_capacity(samples.len());
    for sample in samples.chunks_exact((c * side * side).max(1)) {
        for place in 0..h * w {
            let (y, x) = (top + place / w, left + place % w);
            out.extend(
                (0..c).map(|k| crate::image_out::to_byte(sample[(k * side + y) * side + x])),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(height: usize, width: usize, pixels: Vec<u8>) -> Images {
        Images::new(height, width, 1, pixels, None).unwrap()
    }

    #[test]
    fn the_canvas_and_the_region_put_pixels_in_the_same_place() {
        // 3 own rows padded to 6, then on a canvas of 9: each padding is rounded down by itself.
        let images = grey(3, 3, vec![255; 9]).padded(6);
        let region = region(&images, (3, 3), 9);
        let mask = region.mask();
        let x0 = canvas(&images, 0, 9);
        for (x, inside) in x0.iter().zip(&mask) {
            assert_eq!(*x == 1.0, *inside);
        }
        assert_eq!(region.dimensions(), 9);
    }

    #[test]
    fn samples_come_back_as_the_images_they_show() {
        let images = Images::new(2, 3, 3, (0..36).map(|i| 7 * i).collect(), None).unwrap();
        let both: Vec<f32> = (0..2).flat_map(|i| canvas(&images, i, 5)).collect();
        assert_eq!(as_images(&both, 5, &images), images.pixels);
    }

    #[test]
    fn the_nearest_images_are_found_in_order() {
        let train = grey(1, 2, vec![0, 0, 10, 10, 3, 4, 100, 200]);
        let found = neighbours(&[3, 4, 99, 200], &train, 2);
        let flat: Vec<(usize, f64)> = found
            .iter()
            .flatten()
            .map(|n| (n.index, n.distance))
            .collect();
        let d = |a: f64, b: f64| ((a * a + b * b) / 2.0).sqrt();
        assert_eq!(
            flat,
            [
                (2, 0.0),
                (0, d(3.0, 4.0)),
                (3, d(1.0, 0.0)),
                (1, d(89.0, 190.0))
            ]
        );
        assert_eq!(neighbours(&[0, 0], &train, 9)[0].len(), 4);
    }

    #[test]
    fn each_image_has_the_decoder_and_its_strata() {
        let strata = TimestepStrata::new(50, 6, 3).unwrap();
        let list = items(100, 6, &strata, 4);
        assert_eq!(list.len(), 6 * 4);
        for part in list.chunks(4) {
            assert_eq!(part[0].t, 0);
            assert!(part[1..].iter().all(|item| (1..50).contains(&item.t)));
            assert!(part.iter().all(|item| item.image == part[0].image));
        }
        assert_eq!(
            items(100, 6, &strata, 4).iter().map(|i| i.t).sum::<usize>(),
            list.iter().map(|i| i.t).sum::<usize>()
        );
    }

    #[test]
    fn parts_of_the_timesteps_are_weighted_by_what_each_term_stands_for() {
        // T = 20, the terms are nats = t and mse = 2 t: the parts must come out near their means.
        let timesteps = 20;
        let images = 400;
        let strata = TimestepStrata::new(timesteps, images, 2).unwrap();
        let terms: Vec<Term> = items(images, images, &strata, 1)
            .into_iter()
            .map(|item| Term {
                position: item.position,
                t: item.t,
                nats: item.t as f64,
                mse: 2.0 * item.t as f64,
                prior: 0.0,
            })
            .collect();
        let bins = by_timestep(&terms, &strata, images, timesteps, 1);
        assert_eq!(bins.len(), 10);
        let total: f64 = bins.iter().map(|b| b.bits).sum();
        let expected = (0..timesteps).sum::<usize>() as f64 / std::f64::consts::LN_2;
        approx::assert_relative_eq!(total, expected, max_relative = 0.01);
        for bin in bins {
            let mean = (bin.t_first + bin.t_last) as f64;
            approx::assert_relative_eq!(bin.mse, mean, max_relative = 0.05);
        }
    }
}

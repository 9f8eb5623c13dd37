//! Figures that whoever shows a training run needs: its speed, and the parts of the timesteps over which
//! its loss is shown.

use std::{collections::VecDeque, time::Duration};

/// Equal parts of 0 … T − 1 over which the loss is shown.
pub const T_BINS: usize = 10;

/// The part of 0 … T − 1 that holds `t`.
pub const fn t_bin(t: usize, timesteps: usize) -> usize {
    let bin = t * T_BINS / timesteps;
    if bin < T_BINS { bin } else { T_BINS - 1 }
}

/// First and last timestep of a part; `None` for one that is empty, as there are with T below
/// [`T_BINS`].
pub const fn t_bin_range(bin: usize, timesteps: usize) -> Option<(usize, usize)> {
    let (first, end) = (
        (bin * timesteps).div_ceil(T_BINS),
        ((bin + 1) * timesteps).div_ceil(T_BINS),
    );
    if first < end {
        Some((first, end - 1))
    } else {
        None
    }
}

/// Images a second over the last few seconds, pauses left out.
#[derive(Debug, Default)]
pub struct Speed {
    marks: VecDeque<(Duration, u64)>,
    last: f64,
}

impl Speed {
    /// At the start of training, with `images` done before.
    pub fn from(images: u64) -> Self {
        Self {
            marks: VecDeque::from([(Duration::ZERO, images)]),
            last: 0.0,
        }
    }

    /// Notes that `images` were done in all after `time` of training; returns the images a second.
    pub fn mark(&mut self, time: Duration, images: u64) -> f64 {
        let since = |mark: &(Duration, u64)| time.saturating_sub(mark.0).as_secs_f64();
        // Figures come in bursts: what is close together says nothing of the speed.
        if self.marks.back().is_some_and(|mark| since(mark) < 0.1) {
            return self.last;
        }
        while self.marks.len() > 2 && since(&self.marks[0]) > 10.0 {
            self.marks.pop_front();
        }
        if let Some(mark) = self.marks.front() {
            self.last = (images - mark.1) as f64 / since(mark);
        }
        self.marks.push_back((time, images));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_timesteps_cover_them_once() {
        for timesteps in [1, 7, 10, 50, 999, 1000] {
            let mut next = 0;
            for bin in 0..T_BINS {
                if let Some((first, last)) = t_bin_range(bin, timesteps) {
                    assert_eq!(first, next, "T {timesteps}");
                    for t in first..=last {
                        assert_eq!(t_bin(t, timesteps), bin, "T {timesteps}, t {t}");
                    }
                    next = last + 1;
                }
            }
            assert_eq!(next, timesteps);
        }
        assert_eq!(t_bin_range(3, 1000), Some((300, 399)));
    }

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let mut speed = Speed::default();
        assert_eq!(speed.mark(Duration::from_secs(1), 10), 0.0);
        assert_eq!(speed.mark(Duration::from_secs(2), 30), 20.0);
        for second in 3..60 {
            let images = 30 + 5 * (second - 2);
            let found = speed.mark(Duration::from_secs(second), images);
            if second > 14 {
                assert_eq!(found, 5.0);
            }
        }
    }
}

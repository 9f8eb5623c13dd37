//! Which images make up the batch of a step: shuffled anew every epoch, with nothing to remember.

/// A shuffled, endless walk over `n` items: every epoch visits each of them once.
///
/// The order is a permutation that is computed, not stored: a Feistel network over the next power
/// of four, walked until it falls below `n` (Black and Rogaway 2002, "Ciphers with arbitrary
/// finite domains"), keyed by the seed and the epoch. Any position is reached at once, so that a
/// run resumes at any step from the step's number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shuffle {
    /// Number of items, at least 1.
    pub n: usize,
    /// Another seed, another order.
    pub seed: u64,
}

/// Rounds of the network: 4 make a strong permutation, the rest is for its small domains.
const ROUNDS: u64 = 8;

impl Shuffle {
    /// A walk over `n` items.
    pub fn new(n: usize, seed: u64) -> Self {
        Self { n, seed }
    }

    /// The item at a position of the endless walk; position p is in epoch p / n.
    ///
    /// With `n` = 0 there is no item, and what is returned (0) is none.
    pub fn index(&self, position: u64) -> usize {
        let n = self.n as u64;
        if n <= 1 {
            return 0;
        }
        let (epoch, mut value) = (position / n, position % n);
        let key = scramble(self.seed ^ scramble(epoch));
        // Half as many bits as the next power of four needs.
        let half = (u64::BITS - (n - 1).leading_zeros()).div_ceil(2);
        loop {
            value = permute(value, half, key);
            if value < n {
                return value as usize;
            }
        }
    }

    /// The items of a step's batch. A batch may reach over the end of an epoch into the next.
    pub fn batch(&self, step: u64, batch_size: usize) -> Vec<usize> {
        if self.n == 0 {
            return Vec::new();
        }
        let start = step.wrapping_mul(batch_size as u64);
        (0..batch_size as u64)
            .map(|i| self.index(start.wrapping_add(i)))
            .collect()
    }

    /// The epoch that a step's batch begins in.
    pub fn epoch(&self, step: u64, batch_size: usize) -> u64 {
        step.wrapping_mul(batch_size as u64) / (self.n as u64).max(1)
    }
}

/// One application of the Feistel network on 2·`half` bits.
fn permute(value: u64, half: u32, key: u64) -> u64 {
    let mask = (1 << half) - 1;
    let (mut left, mut right) = (value >> half, value & mask);
    for round in 0..ROUNDS {
        let f = scramble(key.wrapping_add(round << 56) ^ right);
        (left, right) = (right, left ^ ((f >> 32) & mask));
    }
    (left << half) | right
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_visits_each_item_once() {
        for n in (1..=70).chain([255, 256, 257, 1000, 4097, 60_000]) {
            let shuffle = Shuffle::new(n, 7);
            for epoch in 0..3 {
                let mut seen = vec![false; n];
                for i in 0..n as u64 {
                    let index = shuffle.index(epoch * n as u64 + i);
                    assert!(
                        !std::mem::replace(&mut seen[index], true),
                        "n {n}: {index} twice"
                    );
                }
            }
        }
    }

    #[test]
    fn every_item_is_as_likely_everywhere() {
        // Counts of (position, item) over many epochs; chi-squared has mean 81 for n = 10 (the
        // counts of each row and column are fixed) and a standard deviation of about 13.
        let (n, epochs) = (10, 4000);
        let shuffle = Shuffle::new(n, 3);
        let mut counts = vec![0f64; n * n];
        for position in 0..(n * epochs) as u64 {
            let item = shuffle.index(position);
            counts[(position as usize % n) * n + item] += 1.0;
        }
        let expected = epochs as f64 / n as f64;
        let chi = counts
            .iter()
            .map(|c| (c - expected).powi(2) / expected)
            .sum::<f64>();
        assert!((35.0..150.0).contains(&chi), "{chi}");
    }

    #[test]
    fn epochs_and_seeds_differ_and_neighbours_do_not_stay_together() {
        let n = 1000;
        let order = |seed, epoch: u64| -> Vec<usize> {
            let shuffle = Shuffle::new(n, seed);
            (0..n as u64)
                .map(|i| shuffle.index(epoch * n as u64 + i))
                .collect()
        };
        let same = |a: &[usize], b: &[usize]| a.iter().zip(b).filter(|(x, y)| x == y).count();
        let first = order(1, 0);
        // A random permutation has one fixed point on average; 10 or more once in ten million.
        assert!(same(&first, &(0..n).collect::<Vec<_>>()) < 10);
        assert!(same(&first, &order(1, 1)) < 10);
        assert!(same(&first, &order(2, 0)) < 10);
        let neighbours = first.windows(2).filter(|w| w[1] == w[0] + 1).count();
        assert!(neighbours < 10, "{neighbours}");
        assert_eq!(first, order(1, 0));
    }

    #[test]
    fn batches_follow_each_other_from_any_step() {
        let shuffle = Shuffle::new(10, 42);
        let walk: Vec<_> = (0..40).map(|p| shuffle.index(p)).collect();
        for step in 0..10 {
            assert_eq!(shuffle.batch(step, 4), walk[step as usize * 4..][..4]);
        }
        assert_eq!(shuffle.epoch(2, 4), 0);
        assert_eq!(shuffle.epoch(3, 4), 1);
        assert!(shuffle.batch(u64::MAX, 3).iter().all(|&i| i < 10));
        assert!(Shuffle::new(0, 1).batch(5, 4).is_empty());
        assert_eq!(Shuffle::new(1, 1).batch(5, 3), [0, 0, 0]);
    }

    #[test]
    fn the_order_is_pinned() {
        // From a separate implementation in Python: a run must resume after an update, too.
        assert_eq!(
            Shuffle::new(10, 0).batch(0, 10),
            [2, 4, 1, 0, 5, 3, 6, 8, 7, 9]
        );
        assert_eq!(
            Shuffle::new(60_000, 1234).batch(100_000, 6),
            [4969, 15925, 7097, 17661, 58097, 46878]
        );
    }
}

//! The grids of samples that are kept, and which of them is looked at.

use noiselab::session::event::Preview;

/// The kept grids, by training step, and the place of the two scrubbers.
#[derive(Debug, Default)]
pub struct Lapse {
    kept: Vec<Preview>,
    /// Grid looked at; `None` follows the newest.
    at: Option<usize>,
    /// Frame looked at; `None` is the last, the finished samples.
    frame: Option<usize>,
}

impl Lapse {
    /// Grids that are kept, at most.
    pub const MOST: usize = 60;
    /// Bytes on the device that they take, at most.
    pub const BYTES: u64 = 96 << 20;

    /// Takes a grid in. When there are too many, every second one goes: the first and the newest stay.
    pub fn push(&mut self, preview: Preview) {
        // A run that was taken up again at an earlier step draws its grids anew.
        self.kept.retain(|p| p.step < preview.step);
        self.kept.push(preview);
        while self.kept.len() > 2 && (self.kept.len() > Self::MOST || self.bytes() > Self::BYTES) {
            let (newest, looked_at) = (self.kept.len() - 1, self.at);
            let mut n = 0;
            self.kept.retain(|_| {
                n += 1;
                (n - 1) % 2 == 0 || n - 1 == newest
            });
            self.at = looked_at.map(|at| at / 2);
        }
        self.at = self.at.filter(|&at| at < self.kept.len());
    }

    fn bytes(&self) -> u64 {
        self.kept
            .iter()
            .map(|p| p.raw.bytes() + p.averaged.bytes())
            .sum()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The kept grids.
    pub fn kept(&self) -> &[Preview] {
        &self.kept
    }

    /// The grid looked at.
    pub fn index(&self) -> usize {
        self.at
            .unwrap_or(usize::MAX)
            .min(self.kept.len().saturating_sub(1))
    }

    /// The grid looked at, if there is one.
    pub fn current(&self) -> Option<&Preview> {
        self.kept.get(self.index())
    }

    /// Whether it follows the newest grid.
    pub fn follows(&self) -> bool {
        self.at.is_none()
    }

    /// Looks at a grid from now on, or follows the newest.
    pub fn look_at(&mut self, at: Option<usize>) {
        self.at = at.filter(|&at| at < self.kept.len());
    }

    /// Frames of the grid looked at.
    pub fn frames(&self) -> usize {
        self.current().map_or(1, |p| p.raw.layers().max(1))
    }

    /// The frame looked at.
    pub fn frame(&self) -> usize {
        self.frame.unwrap_or(usize::MAX).min(self.frames() - 1)
    }

    /// Looks at a frame from now on; the last one means: at the finished samples, however many frames there are.
    pub fn set_frame(&mut self, frame: usize) {
        self.frame = (frame + 1 < self.frames()).then_some(frame);
    }
}

#[cfg(test)]
mod tests {
    use noiselab::gpu::{AdapterChoice, Gpu, film::Film};

    use super::*;

    #[test]
    fn grids_are_thinned_the_first_and_the_newest_stay() {
        let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
        let film = || Film::new(&gpu, (8, 8), 2, 2, 3).expect("a film");
        let preview = |step| Preview {
            step,
            raw: film(),
            averaged: film(),
        };
        let mut lapse = Lapse::default();
        assert!(lapse.current().is_none());
        assert_eq!((lapse.index(), lapse.frame()), (0, 0));
        for n in 0..200 {
            lapse.push(preview(100 * n));
            assert!(lapse.kept().len() <= Lapse::MOST);
            assert_eq!(lapse.kept()[0].step, 0);
            assert_eq!(lapse.current().map(|p| p.step), Some(100 * n), "it follows");
        }
        assert!(lapse.kept().len() > Lapse::MOST / 3);

        lapse.look_at(Some(1));
        let step = lapse.current().map(|p| p.step);
        lapse.push(preview(50_000));
        assert_eq!(lapse.current().map(|p| p.step), step, "it stays");

        assert_eq!((lapse.frames(), lapse.frame()), (3, 2));
        lapse.set_frame(1);
        assert_eq!(lapse.frame(), 1);
        lapse.set_frame(2);
        assert_eq!(lapse.frame, None);

        // Restored at an earlier step: what came later is of another run.
        lapse.push(preview(100));
        assert_eq!(lapse.kept().last().map(|p| p.step), Some(100));
        lapse.look_at(Some(99));
        assert!(lapse.follows());
    }
}

//! The time scrubber's state, shared by all rooms: t runs from 0 (an image) to T (noise).

/// Where on the way between image and noise all rooms look.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// t in 0 … T; fractions occur while it plays.
    position: f64,
    /// T.
    timesteps: usize,
    /// It moves by itself.
    pub playing: bool,
    /// Towards noise (true) or towards the image.
    pub forward: bool,
    /// Seconds for the whole way at speed 1 are [`Timeline::SECONDS`].
    pub speed: f32,
}

impl Timeline {
    /// Seconds for the whole way at speed 1.
    pub const SECONDS: f64 = 6.0;

    /// At t = 0 of T.
    pub fn new(timesteps: usize) -> Self {
        Self {
            position: 0.0,
            timesteps,
            playing: false,
            forward: true,
            speed: 1.0,
        }
    }

    /// t, 0 … T.
    pub fn t(&self) -> usize {
        self.position.round() as usize
    }

    /// T.
    pub const fn timesteps(&self) -> usize {
        self.timesteps
    }

    /// Goes to `t`.
    pub fn set_t(&mut self, t: usize) {
        self.position = t.min(self.timesteps) as f64;
    }

    /// Changes T, staying at the same share of the way.
    pub fn set_timesteps(&mut self, timesteps: usize) {
        if timesteps != self.timesteps && timesteps > 0 {
            let share = self.position / self.timesteps as f64;
            self.timesteps = timesteps;
            self.position = (share * timesteps as f64).round();
        }
    }

    /// Moves by `steps` and stops playing.
    pub fn step(&mut self, steps: i64) {
        self.playing = false;
        let t = self.t() as i64 + steps;
        self.set_t(t.clamp(0, self.timesteps as i64) as usize);
    }

    /// Lets `seconds` pass; stops at the end of the way.
    pub fn advance(&mut self, seconds: f64) {
        if !self.playing {
            return;
        }
        let way = self.timesteps as f64;
        let moved = seconds * f64::from(self.speed) * way / Self::SECONDS;
        self.position += if self.forward { moved } else { -moved };
        if self.position <= 0.0 || self.position >= way {
            self.position = self.position.clamp(0.0, way);
            self.playing = false;
        }
    }

    /// Plays or pauses; at the end of the way it starts again from the other end.
    pub fn toggle(&mut self) {
        self.playing = !self.playing;
        if self.playing {
            let way = self.timesteps as f64;
            if self.forward && self.position >= way {
                self.position = 0.0;
            } else if !self.forward && self.position <= 0.0 {
                self.position = way;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_plays_to_the_end_and_stops() {
        let mut line = Timeline::new(1000);
        line.toggle();
        line.advance(3.0);
        assert_eq!(line.t(), 500);
        line.advance(30.0);
        assert_eq!((line.t(), line.playing), (1000, false));
        line.toggle();
        assert_eq!(line.t(), 0, "from the end it starts again");
        line.forward = false;
        line.set_t(10);
        line.advance(1.0);
        assert_eq!((line.t(), line.playing), (0, false));
    }

    #[test]
    fn another_length_keeps_the_place() {
        let mut line = Timeline::new(1000);
        line.set_t(250);
        line.set_timesteps(100);
        assert_eq!(line.t(), 25);
        line.step(-30);
        assert_eq!(line.t(), 0);
    }
}

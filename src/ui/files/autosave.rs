//! The state of training, kept without being asked: two generations and a manifest that names the newer one, so
//! that a crash while one is written leaves the other whole.

use std::{sync::Arc, time::Duration};

use noiselab::session::event::TrainStatus;
use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::place::Store;

/// Time between autosaves.
const EVERY: Duration = Duration::from_secs(if cfg!(target_arch = "wasm32") {
    30
} else {
    120
});

const MANIFEST: &str = "autosave.json";
const GENERATIONS: [&str; 2] = ["autosave-0.safetensors", "autosave-1.safetensors"];

/// A state of training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The step it was made after.
    pub step: u64,
    /// The data set's name.
    pub dataset: String,
    /// The checkpoint.
    pub bytes: Arc<[u8]>,
}

/// When to save.
#[derive(Debug, Default)]
pub struct Autosave {
    dataset: String,
    run: bool,
    running: bool,
    step: u64,
    saved: u64,
    /// A checkpoint was asked for, or is being written.
    busy: bool,
    last: Option<Instant>,
    /// The last write failed.
    failed: bool,
    /// It rests with something unsaved: no need to wait.
    resting: bool,
}

impl Autosave {
    /// A run is there.
    pub fn opened(&mut self, dataset: &str, step: u64) {
        *self = Self {
            dataset: dataset.into(),
            run: true,
            step,
            saved: step,
            ..Self::default()
        };
    }

    /// A step is done.
    pub fn step(&mut self, step: u64) {
        self.step = step;
    }

    /// Training goes on or rests.
    pub fn status(&mut self, status: &TrainStatus) {
        self.running = *status == TrainStatus::Running;
        self.resting = matches!(status, TrainStatus::Paused(_));
        if *status == TrainStatus::None {
            *self = Self::default();
        }
    }

    /// There is a run.
    pub fn has_run(&self) -> bool {
        self.run
    }

    /// It goes on.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Something would be lost.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(dead_code, reason = "the page's end waits for nothing")
    )]
    pub fn is_unsaved(&self) -> bool {
        self.run && self.step > self.saved
    }

    /// True when a checkpoint is to be asked for; then it counts as asked.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if !self.run || self.busy || self.step <= self.saved {
            return false;
        }
        let last = *self.last.get_or_insert(now);
        let due = self.resting && !self.failed || now.duration_since(last) >= EVERY;
        if due {
            self.busy = true;
            self.last = Some(now);
        }
        due
    }

    /// A checkpoint is about to be written.
    pub fn saving(&mut self, step: u64, bytes: Arc<[u8]>) -> Saved {
        self.busy = true;
        self.saved = step;
        Saved {
            step,
            dataset: self.dataset.clone(),
            bytes,
        }
    }

    /// It is written (true) or could not be; returns whether this is the first failure in a row.
    pub fn stored(&mut self, well: bool) -> bool {
        self.busy = false;
        let first = !well && !self.failed;
        self.failed = !well;
        if !well {
            self.saved = 0;
        }
        first
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Manifest {
    newest: usize,
    generations: [Option<Generation>; 2],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Generation {
    step: u64,
    dataset: String,
    bytes: u64,
    crc32: u32,
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

async fn manifest(store: &Store) -> Result<Option<Manifest>, String> {
    let Some(bytes) = store.read(MANIFEST).await? else {
        return Ok(None);
    };
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    Ok(Some(Manifest {
        newest: manifest.newest.min(1),
        ..manifest
    }))
}

/// Writes a state over the older generation, then names it the newer one.
///
/// # Errors
/// Why it could not be written.
pub async fn save(store: &Store, saved: &Saved) -> Result<(), String> {
    let mut manifest = manifest(store)
        .await
        .unwrap_or_default()
        .unwrap_or_default();
    let place = match manifest.generations[manifest.newest] {
        Some(_) => 1 - manifest.newest,
        None => manifest.newest,
    };
    store.write(GENERATIONS[place], &saved.bytes).await?;
    manifest.newest = place;
    manifest.generations[place] = Some(Generation {
        step: saved.step,
        dataset: saved.dataset.clone(),
        bytes: saved.bytes.len() as u64,
        crc32: crc32(&saved.bytes),
    });
    let text = serde_json::to_vec(&manifest).map_err(|e| e.to_string())?;
    store.write(MANIFEST, &text).await
}

/// The states that are whole, the newest first, and whether one is damaged.
pub async fn load(store: &Store) -> (Vec<Saved>, bool) {
    let manifest = match manifest(store).await {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return (Vec::new(), false),
        Err(_) => return (Vec::new(), true),
    };
    let (mut found, mut damaged) = (Vec::new(), false);
    for place in [manifest.newest, 1 - manifest.newest] {
        let Some(generation) = &manifest.generations[place] else {
            continue;
        };
        match store.read(GENERATIONS[place]).await {
            Ok(Some(bytes))
                if bytes.len() as u64 == generation.bytes && crc32(&bytes) == generation.crc32 =>
            {
                found.push(Saved {
                    step: generation.step,
                    dataset: generation.dataset.clone(),
                    bytes: bytes.into(),
                });
            }
            _ => damaged = true,
        }
    }
    (found, damaged)
}

/// Forgets all.
pub async fn clear(store: &Store) {
    // What cannot be removed is offered once more at the next start.
    for name in [MANIFEST, GENERATIONS[0], GENERATIONS[1]] {
        let _ = store.remove(name).await;
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use pollster::block_on;

    use super::*;

    fn saved(step: u64) -> Saved {
        Saved {
            step,
            dataset: "mnist".into(),
            bytes: vec![step as u8; 1000 + step as usize].into(),
        }
    }

    #[test]
    fn the_newest_comes_first_and_two_are_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::at(dir.path());
        assert_eq!(block_on(load(&store)), (vec![], false));
        for step in 1..=5 {
            block_on(save(&store, &saved(step))).expect("written");
        }
        assert_eq!(block_on(load(&store)), (vec![saved(5), saved(4)], false));
        block_on(clear(&store));
        assert_eq!(block_on(load(&store)), (vec![], false));
    }

    #[test]
    fn a_damaged_generation_leaves_the_older_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::at(dir.path());
        for step in 1..=2 {
            block_on(save(&store, &saved(step))).expect("written");
        }
        // The second save went to the second place.
        let newest = dir.path().join(GENERATIONS[1]);
        let whole = std::fs::read(&newest).expect("there");
        let mut flipped = whole.clone();
        flipped[500] ^= 1;
        for bad in [&whole[..999], &flipped, &[]] {
            std::fs::write(&newest, bad).expect("written");
            assert_eq!(block_on(load(&store)), (vec![saved(1)], true));
        }
        // The next save replaces the damaged one's older twin or itself, and both are whole again after two.
        for step in 3..=4 {
            block_on(save(&store, &saved(step))).expect("written");
        }
        assert_eq!(block_on(load(&store)), (vec![saved(4), saved(3)], false));
        std::fs::write(dir.path().join(MANIFEST), "{").expect("written");
        assert_eq!(block_on(load(&store)), (vec![], true));
        block_on(save(&store, &saved(6))).expect("written over a broken manifest");
        assert_eq!(block_on(load(&store)), (vec![saved(6)], false));
    }

    #[test]
    fn it_is_due_in_time_when_resting_and_never_twice_at_once() {
        let start = Instant::now();
        let later = |s: u64| start + Duration::from_secs(s);
        let mut auto = Autosave::default();
        assert!(!auto.is_due(start), "there is no run");
        auto.opened("mnist", 7);
        auto.status(&TrainStatus::Running);
        assert!(!auto.is_due(later(1000)), "nothing is new");
        auto.step(8);
        assert!(!auto.is_due(start));
        assert!(auto.is_due(later(120)));
        assert!(!auto.is_due(later(1000)), "one is under way");
        assert_eq!(auto.saving(8, Arc::from([1_u8])).dataset, "mnist");
        assert!(!auto.stored(true));
        auto.step(9);
        assert!(!auto.is_due(later(130)));
        auto.status(&TrainStatus::Paused(None));
        assert!(auto.is_due(later(131)), "a rest is a good moment");
        auto.saving(9, Arc::from([1_u8]));
        assert!(auto.stored(false), "told once");
        assert!(auto.is_unsaved());
        assert!(!auto.is_due(later(132)), "no rush after a failure");
        assert!(auto.is_due(later(260)));
        assert!(!auto.stored(false), "and not again");
        auto.status(&TrainStatus::None);
        assert!(!auto.is_unsaved());
    }
}

//! Progress on standard error: a bar where it is a terminal, else a plain line every few seconds.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress of one task.
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: u64,
    first: Option<(u64, Instant)>,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Progress {
    /// Starts to show a task of `total` units.
    pub fn new(what: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = "{prefix} {wide_bar:.cyan/dim} {pos}/{len}  {msg}";
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_prefix(what.to_owned());
            bar
        });
        Self {
            what: what.to_owned(),
            total,
            first: None,
            bar,
            last_line: Instant::now(),
        }
    }

    /// Shows that `done` units are done; `detail` is only asked for when it is shown.
    pub fn set(&mut self, done: u64, detail: impl FnOnce() -> String) {
        let (start, since) = *self.first.get_or_insert_with(|| (done, Instant::now()));
        let left = (done > start).then(|| {
            let each = since.elapsed().as_secs_f64() / (done - start) as f64;
            each * self.total.saturating_sub(done) as f64
        });
        let whole = |detail: String| match (left, detail.is_empty()) {
            (Some(left), true) => format!("{} left", duration(left)),
            (Some(left), false) => format!("{detail}  {} left", duration(left)),
            (None, _) => detail,
        };
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(whole(detail()));
        } else if self.last_line.elapsed() > LINE_EVERY {
            self.last_line = Instant::now();
            line(&format!(
                "{} {done}/{}  {}",
                self.what,
                self.total,
                whole(detail())
            ));
        }
    }

    /// Prints a line of its own, above the bar.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => line(text),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A line on standard error.
pub fn line(text: &str) {
    // Progress that nobody can read is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A time for people.
pub fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {:02} h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        for (seconds, text) in [
            (0.2, "0 s"),
            (59.4, "59 s"),
            (61.0, "1 min 01 s"),
            (7_260.0, "2 h 01 min"),
            (90_000.0, "1 d 01 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}

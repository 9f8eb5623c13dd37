//! A CSV file that grows by rows and is cut back when a run resumes from an earlier step.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{FilesError, atomic::write_atomic};

/// A table of numbers whose first column is the step.
#[derive(Debug)]
pub(super) struct LogTable {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LogTable {
    /// Opens `path` for appending. Rows of steps after `step`, and a row that was cut off, are
    /// dropped; a missing file is made with `header`.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn open(path: &Path, header: &str, step: u64) -> Result<Self, FilesError> {
        let old = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(FilesError::read(path, e)),
        };
        let new = cut_back(&old, header, step);
        if new != old {
            write_atomic(path, |out| out.write_all(new.as_bytes()))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(|e| FilesError::write(path, e))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: BufWriter::new(file),
        })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn row(&mut self, cells: &[String]) -> Result<(), FilesError> {
        writeln!(self.file, "{}", cells.join(","))
            .map_err(|source| FilesError::write(&self.path, source))
    }

    /// Makes all rows so far visible to other programs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), FilesError> {
        self.file
            .flush()
            .map_err(|source| FilesError::write(&self.path, source))
    }

    /// [`LogTable::flush`], down to the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn sync(&mut self) -> Result<(), FilesError> {
        self.flush()?;
        self.file
            .get_ref()
            .sync_all()
            .map_err(|source| FilesError::write(&self.path, source))
    }
}

fn cut_back(old: &str, header: &str, step: u64) -> String {
    let mut out = format!("{header}\n");
    for line in old.split_inclusive('\n') {
        let of = line
            .split(',')
            .next()
            .and_then(|cell| cell.parse::<u64>().ok());
        if line.ends_with('\n') && of.is_some_and(|of| of <= step) {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_after_the_step_and_torn_rows_go() {
        let old = "step,loss\n1,0.5\n2,0.25\n3,0.125\n4,0.";
        assert_eq!(cut_back(old, "step,loss", 2), "step,loss\n1,0.5\n2,0.25\n");
        assert_eq!(
            cut_back(old, "step,loss", 9),
            "step,loss\n1,0.5\n2,0.25\n3,0.125\n"
        );
        assert_eq!(cut_back("", "step", 9), "step\n");
    }

    #[test]
    fn rows_are_appended_after_those_that_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        let mut table = LogTable::open(&path, "step,loss", 0).unwrap();
        for step in 1..=3 {
            table.row(&[step.to_string(), "0.5".into()]).unwrap();
        }
        table.sync().unwrap();
        let mut table = LogTable::open(&path, "step,loss", 2).unwrap();
        table.row(&["3".into(), "0.25".into()]).unwrap();
        table.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "step,loss\n1,0.5\n2,0.5\n3,0.25\n");
    }
}

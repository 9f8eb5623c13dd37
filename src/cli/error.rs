//! What a command can fail with.

use std::error::Error as _;

/// Why a command stopped; prints as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The library's own.
    #[error(transparent)]
    Library(#[from] noiselab::Error),
    /// Arguments that do not go together, or name something that cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Standard output cannot be written.
    #[error("the output cannot be written ({0}); free some space or write it elsewhere.")]
    Output(std::io::Error),
    /// The window cannot be opened.
    #[cfg(feature = "app")]
    #[error(
        "the window cannot be opened ({0}); the commands work without a display, see `noiselab --help`"
    )]
    Window(String),
    /// The reader of standard output is gone: no error, but the end.
    #[error("nobody reads the output any more")]
    ClosedPipe,
}

impl CliError {
    /// The message with its causes, where it does not tell them already, on one line.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(e) = cause {
            let more = e.to_string();
            if !text.contains(&more) {
                text = format!("{}: {more}", text.trim_end_matches('.'));
            }
            cause = e.source();
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

macro_rules! from_library {
    ($($error:ty),+) => {
        $(impl From<$error> for CliError {
            fn from(e: $error) -> Self {
                Self::Library(e.into())
            }
        })+
    };
}

from_library!(
    noiselab::data::DataError,
    noiselab::diffusion::DiffusionError,
    noiselab::gpu::GpuError,
    noiselab::nn::ModelError,
    noiselab::session::FilesError,
    noiselab::session::TrainError
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line_and_tells_no_cause_twice() {
        let disk = std::io::Error::other("disk\n  gone");
        let text = CliError::Output(disk).sentence();
        assert_eq!(
            text,
            "the output cannot be written (disk gone); free some space or write it elsewhere."
        );
        let json = noiselab::session::FilesError::Json {
            path: "a.json".into(),
            source: serde_json::from_str::<u8>("x").unwrap_err(),
        };
        let text = CliError::from(json).sentence();
        assert_eq!(text.matches("line 1").count(), 1, "{text}");
    }
}

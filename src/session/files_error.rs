//! Everything that can go wrong with a model folder, a checkpoint or a picture.

use std::io;
use std::path::{Path, PathBuf};

use crate::nn::unet_config::UNetConfigError;

/// A model folder, checkpoint or picture that cannot be read or written; each prints as one
/// sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file or folder is absent.
    #[error("{} does not exist; check the path", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// A file or folder exists, but reading it failed.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The disk, or the user's share of it, is full.
    #[error("cannot write {} because the disk is full; free some space or choose another folder (a file already there is unchanged)", path.display())]
    DiskFull {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// Writing is not allowed there.
    #[error("cannot write {} because the folder does not permit it; change its permissions or choose another folder", path.display())]
    NotPermitted {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// Writing failed for another reason.
    #[error("cannot write {}: {source} (a file already there is unchanged)", path.display())]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A JSON file is malformed.
    #[error("{} is not valid JSON ({source}); restore or rewrite it", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A folder holds no model.
    #[error("{} holds no model; expected a diffusers pipeline folder (model_index.json and unet/) or a U-Net folder (config.json and diffusion_pytorch_model.safetensors)", dir.display())]
    NoModel {
        /// The folder.
        dir: PathBuf,
    },
    /// A folder has a configuration, but no weights.
    #[error("{} has a configuration but no diffusion_pytorch_model.safetensors; copy the weights there", dir.display())]
    NoWeights {
        /// The folder that should hold the weights.
        dir: PathBuf,
    },
    /// The weights are in PyTorch's pickle format.
    #[error("{} is in PyTorch's pickle format, which can run code when opened and is not read; convert it once with diffusers: UNet2DModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER, safe_serialization=True)", path.display())]
    PickledWeights {
        /// The `.bin` file.
        path: PathBuf,
    },
    /// The weights are split over several files.
    #[error("the weights listed in {} are split over several files, which is not supported; save the model again with a larger max_shard_size", path.display())]
    ShardedWeights {
        /// The index file.
        path: PathBuf,
    },
    /// The folder is a pipeline of a kind that is not supported.
    #[error("{} describes {found}, which is not supported; supported are pipelines of one UNet2DModel and a scheduler, such as DDPMPipeline", path.display())]
    UnsupportedPipeline {
        /// `model_index.json`.
        path: PathBuf,
        /// What it describes.
        found: String,
    },
    /// The network's configuration cannot be used.
    #[error("{}: {source}", path.display())]
    Config {
        /// `config.json`.
        path: PathBuf,
        /// The key and the rule.
        source: UNetConfigError,
    },
    /// A safetensors file ends too early.
    #[error("{} is truncated: {expected} bytes were expected and it has {found}; copy or download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length that its header promises (at least).
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// A file stands in for one that Git LFS has not fetched.
    #[error("{} is only a Git LFS pointer to the weights; run `git lfs pull` in its repository", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A file is not in the safetensors format.
    #[error("{} is not a valid safetensors file ({reason}); copy or download it again", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the network needs is absent.
    #[error("{} lacks the tensor {tensor} of shape {expected:?}; the weights belong to another configuration", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape that the configuration gives it.
        expected: Vec<usize>,
    },
    /// A tensor that the network has no place for.
    #[error("{} has the tensor {tensor} of shape {found:?}, which the configuration has no place for; the weights belong to another configuration", path.display())]
    UnexpectedTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("the tensor {tensor} has the wrong shape in {}: expected {expected:?}, found {found:?}; the weights belong to another configuration", path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape that the configuration gives it.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor's numbers are of a kind that is not read.
    #[error("the tensor {tensor} in {} holds {found} numbers; supported are F32, F16 and BF16, so convert the file", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The type in safetensors' terms.
        found: String,
    },
    /// A tensor holds an infinity or NaN.
    #[error("the tensor {tensor} for {} holds {value} at position {index}; such weights are useless, so go back to an earlier checkpoint", path.display())]
    NotFinite {
        /// The file that holds it or was to hold it.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The position in the flattened tensor.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A tensor handed over for writing has a length that is not its shape's.
    #[error("the tensor {tensor} for {} has {found} values, but its shape {shape:?} holds {}", path.display(), shape.iter().product::<usize>())]
    WrongLength {
        /// The file that was to be written.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The number of values handed over.
        found: usize,
    },
    /// Two tensors handed over for writing share a name.
    #[error("two tensors for {} are called {tensor}; names must be unique", path.display())]
    DuplicateTensor {
        /// The file that was to be written.
        path: PathBuf,
        /// The shared name.
        tensor: String,
    },
    /// A folder holds no resumable training state.
    #[error("{} holds no training state to resume ({} is absent); start a new run, or take the folder's weights as a starting point", dir.display(), Path::new(super::checkpoint::STATE_FILE).display())]
    NoState {
        /// The run's folder.
        dir: PathBuf,
    },
    /// A safetensors file that is no training state.
    #[error("{} is not a training state of noiselab ({reason}); resume from the folder of a `noiselab train` run", path.display())]
    NotAState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A training state of a later noiselab.
    #[error("{} has format version {found}, and this noiselab reads up to {supported}; update noiselab", path.display())]
    NewerState {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The latest version that can be read.
        supported: u64,
    },
    /// A picture cannot be made from the images given.
    #[error("cannot make the picture {}: {reason}", path.display())]
    Picture {
        /// The file that was to be written.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

impl FilesError {
    /// The error for a failed read of `path`.
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Read { path, source },
        }
    }

    /// The error for a failed write of `path`.
    pub fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotPermitted { path }
            }
            _ => Self::Write { path, source },
        }
    }
}

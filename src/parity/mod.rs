//! Parity with PyTorch and diffusers: a case holds a problem and what they computed for it; here the
//! same is computed on a device ([`compute`]) and compared, group by group ([`compare`]).
//!
//! `tests/fixtures/make_oracle.py` documents the format and makes cases.

mod case;
mod compare;
mod compute;

use std::{collections::BTreeMap, path::Path, sync::Arc};

pub use case::{Case, CaseError};
pub use compare::{Group, Verdict, Worst, compare};
pub use compute::compute;

use crate::{
    Result,
    gpu::Gpu,
    nn::plan::Variants,
    session::{FilesError, atomic::write_atomic, tensor_file},
};

/// A tensor in PyTorch's layout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its numbers, row-major. Timesteps are numbers too.
    pub data: Vec<f32>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// How one choice of kernel variants did.
#[derive(Debug, serde::Serialize)]
pub struct VariantReport {
    /// The choice.
    pub variants: Variants,
    /// The choice in words.
    pub label: String,
    /// The groups, in the order of the computation.
    pub groups: Vec<Group>,
    /// All that was computed under the names of the case.
    #[serde(skip)]
    pub computed: Tensors,
}

impl VariantReport {
    /// Whether no group failed.
    pub fn passed(&self) -> bool {
        self.groups.iter().all(|g| g.verdict != Verdict::Failed)
    }
}

/// How a case went.
#[derive(Debug, serde::Serialize)]
pub struct ParityReport {
    /// The adapter's name.
    pub adapter: String,
    /// Its backend.
    pub backend: String,
    /// Its driver.
    pub driver: String,
    /// One report for each choice of kernel variants.
    pub variants: Vec<VariantReport>,
    /// Tensors of the case that belong to no group.
    pub unknown: Vec<String>,
}

impl ParityReport {
    /// Whether no group failed with any choice of variants.
    pub fn passed(&self) -> bool {
        self.variants.iter().all(VariantReport::passed)
    }
}

/// Loads the case in `dir`, computes it with each choice of kernel variants and compares.
///
/// # Errors
/// A case or pipeline that cannot be read, that holds nothing to compare, or a device that fails.
pub fn run(gpu: &Arc<Gpu>, dir: &Path, variants: &[Variants]) -> Result<ParityReport> {
    let case = Case::load(dir)?;
    let unknown = compare::unknown(&case);
    let mut reports = Vec::with_capacity(variants.len());
    for &variants in variants {
        let computed = compute(gpu, &case, variants)?;
        let groups = compare(&case, &computed);
        let of_case = computed
            .into_iter()
            .filter(|(name, _)| case.tensors.contains_key(name))
            .collect();
        if groups.iter().all(|g| g.verdict == Verdict::Absent) {
            return Err(CaseError::Nothing { path: dir.into() }.into());
        }
        reports.push(VariantReport {
            variants,
            label: variants.to_string(),
            groups,
            computed: of_case,
        });
    }
    Ok(ParityReport {
        adapter: gpu.info.name.clone(),
        backend: gpu.info.backend.to_string(),
        driver: format!("{} {}", gpu.info.driver, gpu.info.driver_info),
        variants: reports,
        unknown,
    })
}

/// Writes tensors as a safetensors file.
///
/// # Errors
/// The file cannot be written.
pub fn dump(path: &Path, tensors: &Tensors) -> Result<(), FilesError> {
    let list: Vec<tensor_file::NamedTensor<'_>> = tensors
        .iter()
        .map(|(name, t)| (name.as_str(), t.shape.as_slice(), t.data.as_slice()))
        .collect();
    let mut metadata = serde_json::Map::new();
    metadata.insert("format".into(), "pt".into());
    write_atomic(path, |out| tensor_file::write(out, metadata, &list))
}

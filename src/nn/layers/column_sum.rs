//! Sums over rows in a fixed order: bias gradients, per-sample gradients, parts of a weight
//! gradient. Not a layer of its own.

use bytemuck::{Pod, Zeroable};

use super::GROUP;
use crate::{
    gpu::kernel::KernelId,
    nn::{PlanBuilder, TensorId},
};

/// Mirrors `Params` of `shaders/layers/column_sum.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    /// G.
    pub groups: u32,
    /// R.
    pub rows: u32,
    /// C / 4.
    pub columns: u32,
    /// Add to the output.
    pub accumulate: u32,
}

/// Most rows that one thread sums: some drivers stop a shader's loops at 65535 turns.
pub const MAX_ROWS: usize = 32768;

/// Emits `out[g, c] (+)= Σ_r a[g, r, c]`, with `columns` in `vec4`s.
pub fn emit(
    plan: &mut PlanBuilder,
    a: TensorId,
    out: TensorId,
    (groups, rows, columns): (usize, usize, usize),
    add: bool,
) {
    // Long columns of few threads are summed in two stages.
    let threads = groups * columns;
    let parts = (1..=64)
        .find(|p| {
            rows.is_multiple_of(*p)
                && rows / p <= MAX_ROWS
                && (threads * p >= 512 || rows / p <= 64)
        })
        .unwrap_or(1);
    if parts > 1 {
        let partial = plan.tensor("partial sums", 4 * groups * parts * columns);
        dispatch(
            plan,
            a,
            partial,
            (groups * parts, rows / parts, columns),
            false,
        );
        dispatch(plan, partial, out, (groups, parts, columns), add);
    } else {
        dispatch(plan, a, out, (groups, rows, columns), add);
    }
}

fn dispatch(
    plan: &mut PlanBuilder,
    a: TensorId,
    out: TensorId,
    (groups, rows, columns): (usize, usize, usize),
    add: bool,
) {
    plan.dispatch(
        KernelId::new("layers/column_sum", "sum"),
        &Params {
            groups: groups as u32,
            rows: rows as u32,
            columns: columns as u32,
            accumulate: u32::from(add),
        },
        &[(1, a.into()), (2, out.into())],
        (groups * columns).div_ceil(GROUP),
        (4 * groups * rows * columns) as u64,
    );
}

//! Many sums over rows in one dispatch, in a fixed order: bias gradients, those of norms, parts of a
//! weight gradient. Not a layer of its own: [`PlanBuilder::sum_later`] gathers them.

use bytemuck::{Pod, Zeroable};

use super::GROUP;
use crate::{
    gpu::kernel::KernelId,
    nn::{PlanBuilder, TensorId, plan::RowSum},
};

/// Mirrors `Params` of `shaders/layers/row_sums.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub struct Params {
    sums: u32,
    tiles: u32,
    pad: [u32; 2],
}

/// Most rows that one thread sums, four in a turn: some drivers stop a shader's loops at 65535 turns.
pub const MAX_ROWS: usize = 4 * 32768;

/// Emits the sums: one dispatch for all whose rows lie in one tensor and whose targets in one buffer.
pub fn emit(plan: &mut PlanBuilder, sums: &[RowSum]) {
    if sums.is_empty() {
        return;
    }
    plan.set_label("sums of gradients");
    let targets: Vec<TensorId> = sums.iter().map(|s| s.target).collect();
    for span in plan.spans(&targets) {
        let mut rest = span.members;
        while let Some(&(first, _)) = rest.first() {
            let source = sums[first].source;
            let (now, later) = rest.iter().partition(|(i, _)| sums[*i].source == source);
            rest = later;
            dispatch(plan, sums, source, span.tensor, now);
        }
    }
}

fn dispatch(
    plan: &mut PlanBuilder,
    sums: &[RowSum],
    source: TensorId,
    target: TensorId,
    members: Vec<(usize, u64)>,
) {
    let (mut tiles, mut numbers, mut moved) = (0, 0, 0);
    let mut table = Vec::with_capacity(8 * members.len());
    for &(i, to) in &members {
        let s = &sums[i];
        debug_assert!(s.rows <= MAX_ROWS && s.first.is_multiple_of(4) && to.is_multiple_of(4));
        table.extend([
            tiles as u32,
            s.columns as u32,
            s.rows as u32,
            s.stride as u32,
            (s.first / 4) as u32,
            (to / 4) as u32,
            0,
            0,
        ]);
        tiles += s.columns.div_ceil(GROUP);
        numbers += 4 * s.rows * s.columns;
        moved += 4 * (s.rows + 2) * s.columns;
    }
    let table = plan.table("sums", table);
    plan.dispatch(
        KernelId::new("layers/row_sums", "sum"),
        &Params {
            sums: members.len() as u32,
            tiles: tiles as u32,
            pad: [0; 2],
        },
        &[(1, source.into()), (2, target.into()), (3, table.into())],
        tiles,
        numbers as u64,
    );
    plan.moves(moved);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{bits, floats, run};

    #[test]
    fn many_sums_take_one_dispatch() {
        // Rows of 3 and of 70 vec4s, the second with a stride and a start of its own.
        let (first, second) = ((5, 3, 3, 0), (9, 70, 71, 64));
        let words = 64 + 4 * 9 * 71;
        let source: Vec<f32> = (0..words).map(|i| ((i * 37) % 101) as f32).collect();
        let inputs = [vec![1.0; 12], vec![2.0; 280]];
        let out = run(
            &[&bits(&source), &bits(&inputs[0]), &bits(&inputs[1])],
            |plan, ids| {
                let rows = plan.partial(words);
                assert_eq!(rows.first, 0);
                super::super::add::accumulate(plan, ids[0], rows.tensor, words, false);
                let before = plan.dispatches().len();
                for ((rows_, columns, stride, first), &target) in
                    [first, second].into_iter().zip(&ids[1..])
                {
                    plan.sum_later(RowSum {
                        source: rows.tensor,
                        first,
                        rows: rows_,
                        columns,
                        stride,
                        target,
                    });
                }
                plan.sum_now();
                plan.sum_now();
                assert_eq!(plan.dispatches().len(), before + 1);
                ids[1..].to_vec()
            },
        );
        for (((rows, columns, stride, first), start), found) in
            [first, second].into_iter().zip([1.0, 2.0]).zip(&out)
        {
            for (c, found) in floats(found).into_iter().enumerate() {
                let at = |r: usize| source[first as usize + 4 * r * stride + c];
                let expected: f32 = start + (0..rows).map(at).sum::<f32>();
                assert_eq!(found, expected, "{rows} rows, column {c} of {columns}");
            }
        }
    }

    /// As parameters have that two layers share: a dispatch's threads must not add to one number twice.
    #[test]
    fn two_sums_of_one_gradient_take_two_dispatches() {
        let source: Vec<f32> = (0..64).map(|i| (i % 7) as f32).collect();
        let out = run(&[&bits(&source), &bits(&[1.0; 4])], |plan, ids| {
            for first in [0, 16] {
                plan.sum_later(RowSum {
                    source: ids[0],
                    first,
                    rows: 4,
                    columns: 1,
                    stride: 1,
                    target: ids[1],
                });
            }
            plan.sum_now();
            assert_eq!(plan.dispatches().len(), 2);
            vec![ids[1]]
        });
        for (c, found) in floats(&out[0]).into_iter().enumerate() {
            let expected: f32 = 1.0 + (0..8).map(|r| source[4 * r + c]).sum::<f32>();
            assert_eq!(found, expected, "column {c}");
        }
    }
}

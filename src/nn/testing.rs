//! Runs a plan of a few kernels on given words, in one piece and cut between all workgroups.

use super::{Plan, PlanBuilder, TensorId, layers::testing::gpu, plan::Cursor};
use crate::gpu::{Gpu, View, memory::Pool, readback::Fetch};

/// What fills memory that a kernel should write; as f32 it is −1.7e38, as u32 out of any range.
pub(crate) const GUARD: u32 = 0xFF00_1234;

/// The bits of numbers.
pub(crate) fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|v| v.to_bits()).collect()
}

/// The numbers of bits.
pub(crate) fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&w| f32::from_bits(w)).collect()
}

/// Makes an external tensor of each of `inputs`, lets `build` emit dispatches on them, runs the plan
/// and returns the words of the tensors that `build` returned. All is done again with a submission
/// for every workgroup: the bits must be the same.
pub(crate) fn run(
    inputs: &[&[u32]],
    build: impl Fn(&mut PlanBuilder, &[TensorId]) -> Vec<TensorId>,
) -> Vec<Vec<u32>> {
    let whole = run_once(inputs, &build, f64::INFINITY);
    let pieces = run_once(inputs, &build, 1.0);
    for (k, (a, b)) in whole.iter().zip(&pieces).enumerate() {
        assert!(a == b, "cut into pieces, the bits of result {k} differ");
    }
    whole
}

/// Fills the plan's own memory with `guard` and runs it in pieces of `budget`.
pub(crate) fn execute(gpu: &Gpu, plan: &Plan, guard: u32, budget: f64) {
    for chunk in plan.arena() {
        chunk.write(gpu, 0, &vec![guard; (chunk.bytes / 4) as usize]);
    }
    let mut cursor = Cursor::default();
    loop {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let (done, _) = plan.encode(&mut encoder, &mut cursor, budget);
        gpu.submit(encoder.finish(), || {});
        if done {
            return;
        }
    }
}

fn run_once(
    inputs: &[&[u32]],
    build: &impl Fn(&mut PlanBuilder, &[TensorId]) -> Vec<TensorId>,
    budget: f64,
) -> Vec<Vec<u32>> {
    let gpu = gpu();
    let sizes: Vec<(&str, u64)> = inputs
        .iter()
        .map(|words| ("test", 4 * words.len() as u64))
        .collect();
    let (_pool, views) = Pool::allocate(&gpu, "test", &sizes).expect("memory");
    let mut plan = PlanBuilder::new();
    let mut tensors = Vec::new();
    for (view, words) in views.iter().zip(inputs) {
        view.write(&gpu, 0, words);
        tensors.push(plan.external("test", view));
    }
    let wanted = build(&mut plan, &tensors);
    for &tensor in &wanted {
        if !tensors.contains(&tensor) {
            plan.keep(tensor);
        }
    }
    let plan = plan.prepare(&gpu).expect("the plan");
    execute(&gpu, &plan, GUARD, budget);
    let wanted: Vec<View> = wanted.iter().map(|&t| plan.view(t).clone()).collect();
    let mut out = Fetch::start(&gpu, &wanted)
        .and_then(|fetch| fetch.wait(&gpu))
        .expect("readback");
    gpu.check().expect("the device");
    // Staging buffers have at least 16 bytes.
    for (words, view) in out.iter_mut().zip(&wanted) {
        words.truncate((view.bytes / 4) as usize);
    }
    out
}

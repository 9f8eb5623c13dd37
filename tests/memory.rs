//! The published CIFAR-10 network fits: what a run allocates on the device, without running it.

use std::sync::Arc;

use noiselab::{
    bench,
    gpu::{AdapterChoice, Gpu},
    nn::plan::Precision,
    session::trainer::{Start, Trainer},
};

/// Most bytes allocated, with a device of its own, as it counts since it was opened.
fn peak(checkpoint_activations: bool) -> u64 {
    let gpu = Gpu::open_blocking(&AdapterChoice::Best).expect("an adapter");
    let model = bench::model("cifar").expect("the network");
    assert_eq!(model.batch, 8);
    let config = model.train_config(model.batch, checkpoint_activations, Precision::F32);
    let dataset = Arc::new(bench::synthetic(&config).expect("images"));
    let trainer = Trainer::new(&gpu, config, dataset, &Start::Random, &mut |_, _| {});
    drop(trainer.expect("a trainer"));
    gpu.peak_bytes()
}

#[test]
fn the_published_network_trains_in_the_memory_of_a_small_gpu() {
    let whole = peak(false);
    let checkpointed = peak(true);
    println!("peak bytes: {whole}, with activation checkpointing {checkpointed}");
    // Weights, gradients, two moments and the moving average take 715 MB of either.
    assert!((750_000_000..2_500_000_000).contains(&whole), "{whole}");
    assert!(
        (750_000_000..1_500_000_000).contains(&checkpointed),
        "{checkpointed}"
    );
    assert!(checkpointed < whole);
}

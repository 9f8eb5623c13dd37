//! noiselab.
fn main() {}

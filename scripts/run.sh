#!/usr/bin/env bash
# Sets up what is missing, builds noiselab, and runs it.
#
#   scripts/run.sh                 the main job: trains a small model on MNIST's digits
#                                  for 200 steps, then draws 64 new ones
#   scripts/run.sh COMMAND ...     any noiselab command, e.g. `info` or `sample runs/first`
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=prerequisites.sh
source "$(dirname "${BASH_SOURCE[0]}")/prerequisites.sh"

need_system_packages
need_rust

noiselab() { cargo run --quiet --release --manifest-path "$root/Cargo.toml" --bin noiselab -- "$@"; }

say "Building noiselab (the first time takes some minutes)"
cargo build --release --manifest-path "$root/Cargo.toml" --bin noiselab

if (($#)); then
    noiselab "$@"
    exit
fi

cd "$root"
out=runs/first
for ((n = 2; ; n++)); do
    if [[ ! -e $out ]]; then break; fi
    out=runs/first-$n
done
mkdir -p runs

say "Training a small model on MNIST for 200 steps, into $out"
noiselab train --dataset mnist --preset tiny --steps 200 --seed 0 --out "$out"

say "Drawing 64 digits with it (DDIM, 50 steps)"
noiselab sample "$out" --n 64 --sampler ddim --steps 50 --seed 0 --out "$out/samples.png" --film "$out/film.png"

cat <<TEXT

Look at $root/$out/samples.png (the digits) and
        $root/$out/film.png (how each came out of the noise).
200 steps are a taste. To train on:   scripts/run.sh train --help
With other data or a larger model:    scripts/run.sh train --dataset fashion --preset digits --steps 20000 --out runs/fashion
TEXT

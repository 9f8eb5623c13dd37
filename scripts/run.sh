#!/usr/bin/env bash
# Sets up what is missing, builds noiselab, and runs it.
#
#   scripts/run.sh                 the main job: draws digits from the weights that come along,
#                                  then trains a small model on MNIST's digits for 200 steps
#                                  and draws 64 with that
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

drawn=runs/pretrained.png
say "Drawing 16 digits from the weights in assets/pretrained/digits (DDIM, 50 steps)"
noiselab sample assets/pretrained/digits --n 16 --sampler ddim --steps 50 --seed 0 --scale 4 \
    --out "$drawn" --film runs/pretrained-film.png

say "Training a small model on MNIST for 200 steps, into $out"
noiselab train --dataset mnist --preset tiny --steps 200 --seed 0 --out "$out"

say "Drawing 64 digits with it (DDIM, 50 steps)"
noiselab sample "$out" --n 64 --sampler ddim --steps 50 --seed 0 --out "$out/samples.png" --film "$out/film.png"

cat <<TEXT

Look at $root/$drawn (digits from the weights that come along),
        $root/runs/pretrained-film.png (how they came out of the noise),
        $root/$out/samples.png and film.png (the same with the model just trained).
200 steps are a taste. To train on:   scripts/run.sh train --help
With other data or a larger model:    scripts/run.sh train --dataset fashion --preset digits --steps 20000 --out runs/fashion
TEXT

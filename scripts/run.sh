#!/usr/bin/env bash
# Sets up what is missing, builds noiselab, and runs it.
#
#   scripts/run.sh                 the main job: opens the window; where there is no display, it tells
#                                  the same story by pictures in a folder of runs/
#   scripts/run.sh COMMAND ...     any noiselab command, e.g. `info` or `sample runs/first`
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=prerequisites.sh
source "$(dirname "${BASH_SOURCE[0]}")/prerequisites.sh"

need_system_packages
need_rust

noiselab() { cargo run --quiet --release --manifest-path "$root/Cargo.toml" --bin noiselab -- "$@"; }

has_display() {
    case "$(uname -s)" in
    Darwin | MINGW* | MSYS* | CYGWIN*) return 0 ;;
    *) [[ -n ${DISPLAY:-} || -n ${WAYLAND_DISPLAY:-} ]] ;;
    esac
}

say "Building noiselab (the first time takes some minutes)"
cargo build --release --manifest-path "$root/Cargo.toml" --bin noiselab

if (($#)); then
    noiselab "$@"
    exit
fi
cd "$root"
if has_display; then
    say "Opening the window (every command of the command line: scripts/run.sh --help)"
    noiselab app
    exit
fi

out=runs/story
for ((n = 2; ; n++)); do
    if [[ ! -e $out ]]; then break; fi
    out=runs/story-$n
done
mkdir -p "$out"
say "There is no display: the same story by pictures, in $out"

say "1. The forward process: four digits dissolve into noise"
noiselab forward --dataset mnist --n 4 --out "$out/1-forward.png"

say "2. Training: a small model on MNIST for 200 steps"
noiselab train --dataset mnist --preset tiny --steps 200 --seed 0 --out "$out/2-training"

say "3. The reverse process: noise becomes digits, with the weights that come along"
noiselab sample assets/pretrained/digits --n 16 --sampler ddim --steps 50 --seed 0 --scale 4 \
    --out "$out/3-samples.png" --film "$out/3-reverse.png" --gif "$out/3-reverse.gif"

cat <<TEXT

Look at $root/$out:
  1-forward.png               digits on their way into noise
  2-training/samples.png      what 200 steps have learned (a taste); log.csv has every figure
  3-reverse.png, .gif         noise on its way to digits
  3-samples.png               the digits
To train on:                          scripts/run.sh train --help
With other data or a larger model:    scripts/run.sh train --dataset fashion --preset digits --steps 20000 --out runs/fashion
The same in a browser:                scripts/web.sh serve
TEXT

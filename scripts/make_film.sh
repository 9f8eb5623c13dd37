#!/usr/bin/env bash
# Records web/reverse.gif, the film that the page shows where there is no WebGPU: six digits come out of noise,
# x_t on the left, the prediction of x_0 on the right of each pair.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
film="$root/web/reverse.gif"
noiselab="${NOISELAB:-$root/target/release/noiselab}"
grid="$(mktemp -d)/grid.png"
"$noiselab" sample "$root/assets/pretrained/digits" --n 6 --sampler ddim --eta 1 --steps 60 --seed 5 --scale 1 --frames 30 \
    --out "$grid" --gif "$film"
rm -r "$(dirname "$grid")"
if (($(wc -c <"$film") > 300000)); then
    echo "error: $film is larger than 300 kB" >&2
    exit 1
fi

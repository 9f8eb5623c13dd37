#!/usr/bin/env bash
# How cost grows with batch and network: runs `noiselab bench --json` for each point and writes docs/scaling.md.
#
#     scripts/scaling.sh [NOISELAB]      SECONDS_A_POINT=2 and ONLY="tiny mnist32" change what is run
#
# Points that were measured before are kept in target/scaling and not measured again: remove that folder to begin anew.
set -euo pipefail
cd "$(dirname "$0")/.."
noiselab=${1:-target/release/noiselab}
seconds=${SECONDS_A_POINT:-2}
points=target/scaling
mkdir -p "$points"

batches() {
    case $1 in
        tiny | digits) echo "1 4 16 64" ;;
        mnist32) echo "1 4 16 64" ;;
        cifar) echo "1 2 8" ;;
    esac
}

for model in ${ONLY:-tiny digits mnist32 cifar}; do
    for batch in $(batches "$model"); do
        file="$points/$model-$batch.json"
        [ -s "$file" ] && continue
        echo "$model, batch $batch" >&2
        "$noiselab" bench --model "$model" --batch "$batch" --seconds "$seconds" --json > "$file.part"
        mv "$file.part" "$file"
    done
done

python3 - "$points" > docs/scaling.md << 'PYTHON'
import json
import pathlib
import sys

points = [json.loads(p.read_text()) for p in pathlib.Path(sys.argv[1]).glob("*.json")]
order = ["tiny", "digits", "mnist32", "cifar"]
points.sort(key=lambda p: (order.index(p["model"]), p["batch"]))
first = points[0]
print(f"""# How cost grows

Written by `scripts/scaling.sh`, which runs `noiselab bench --json` for each point, on {first["adapter"]}
({first["backend"]}, {first["driver"].strip()}). Times are medians; sampling counts one network evaluation with its
sampler step. Memory is the peak of training on the device, and what of it lies beyond weights, gradients, Adam's
moments and the moving average (20 bytes a parameter). On a machine that others use too, times of single points can be off
by a half; memory is exact.

| network | parameters | batch | training, ms an image | GFLOP/s | sampling, ms an image | peak, MiB | beyond parameters, MiB an image |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |""")
for p in points:
    train = 1e3 * p["train_step_s"] / p["batch"]
    sample = 1e3 * p["sample_step_s"] / p["batch"]
    peak, beyond = p["peak_bytes"] / 2**20, p["beyond_parameters_bytes"] / 2**20 / p["batch"]
    print(f'| {p["model"]} | {p["parameters"]:,} | {p["batch"]} | {train:.1f} | {p["train_gflops"]:.1f} '
          f'| {sample:.2f} | {peak:.1f} | {beyond:.2f} |')
print("""
Time and memory an image fall to a constant as the batch grows (what a step costs once is shared by more images), so
cost is linear in the batch. Between networks, time follows the operations: GFLOP/s changes far less than the
operations an image do.""")
PYTHON

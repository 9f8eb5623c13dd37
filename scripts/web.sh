#!/usr/bin/env bash
# Sets up what is missing and builds the page into dist/, which any static file host can serve, also from a sub-folder.
#
#   scripts/web.sh                builds
#   scripts/web.sh serve [PORT]   builds, then serves dist/ on http://localhost:PORT (8080)
#
# PROFILE=dev builds faster, for trying something out; the page is then larger and slower.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=prerequisites.sh
source "$(dirname "${BASH_SOURCE[0]}")/prerequisites.sh"

limit=4000000 # bytes that the wasm may have when gzipped
profile="${PROFILE:-wasm}"

need_system_packages
need_rust
need_target wasm32-unknown-unknown
need_wasm_bindgen
want_wasm_opt

cd "$root"
say "Building the wasm (profile $profile; the first time takes some minutes)"
cargo build --bin noiselab --profile "$profile" --target wasm32-unknown-unknown --no-default-features --features app

target="${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown"
if [[ $profile == dev ]]; then target+=/debug; else target+=/$profile; fi
dist="$root/dist"
rm -rf "$dist.new"
mkdir -p "$dist.new"
wasm-bindgen --target web --no-typescript --out-dir "$dist.new" --out-name noiselab "$target/noiselab.wasm"
cd "$dist.new"

if [[ $profile != dev ]] && have wasm-opt; then
    say "Making it smaller (wasm-opt)"
    features=(--enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals
        --enable-reference-types --enable-multivalue)
    if wasm-opt -Os "${features[@]}" noiselab_bg.wasm -o smaller.wasm; then
        mv smaller.wasm noiselab_bg.wasm
    else
        rm -f smaller.wasm
        say "this wasm-opt does not know the wasm that this Rust writes; left as it is"
    fi
fi

# Data sets and weights get a name whose ending no server takes for a compression of its own.
mkdir -p assets/icons web
cp "$root/index.html" .
cp "$root"/web/*.{css,js,gif} web/
rm web/sw.js
cp "$root"/assets/icons/* assets/icons/
data=()
while IFS= read -r file; do
    mkdir -p "$(dirname "$file")"
    cp "$root/$file" "$file.bin"
    data+=("$file")
done < <(cd "$root" && printf '%s\n' assets/data/*.br assets/pretrained/*/unet/config.json \
    assets/pretrained/*/scheduler/scheduler_config.json assets/pretrained/*/unet/*.safetensors)

sha() { if have sha256sum; then sha256sum "$@"; else shasum -a 256 "$@"; fi | cut -c1-16; }
bytes() { wc -c <"$1" | tr -d ' '; }

{
    echo "// Written by scripts/web.sh: the files that are fetched with progress, their sizes and hashes."
    echo "export const files = {"
    for file in "${data[@]}"; do
        echo "  \"$file\": { url: \"$file.bin\", bytes: $(bytes "$file.bin"), hash: \"$(sha "$file.bin")\" },"
    done
    echo "  \"noiselab_bg.wasm\": { bytes: $(bytes noiselab_bg.wasm) },"
    echo "};"
} >web/files.js

core=(./)
while IFS= read -r file; do core+=("$file"); done < <(find . -type f ! -name '*.bin' | sed 's|^\./||' | LC_ALL=C sort)
version="$(find . -type f ! -name '*.bin' | LC_ALL=C sort | while IFS= read -r file; do sha "$file"; done | sha)"
quoted() { printf '"%s", ' "$@" | sed 's/, $//'; }
kept=()
for file in "${data[@]}"; do kept+=("$file.bin?v=$(sha "$file.bin")"); done
sed -e "s|__VERSION__|$version|" -e "s|\"__CORE__\"|$(quoted "${core[@]}")|" -e "s|\"__KEPT__\"|$(quoted "${kept[@]}")|" \
    "$root/web/sw.js" >sw.js

cd "$root"
rm -rf "$dist"
mv "$dist.new" "$dist"

packed="$(gzip -9 -c "$dist/noiselab_bg.wasm" | wc -c | tr -d ' ')"
say "dist/ is there: the wasm has $(bytes "$dist/noiselab_bg.wasm") bytes, $packed gzipped"
if [[ $profile != dev ]] && ((packed > limit)); then
    stop "the wasm is larger than $limit bytes gzipped"
fi

if [[ ${1:-} == serve ]]; then
    port="${2:-8080}"
    say "Serving the page on http://localhost:$port (Ctrl-C stops)"
    if have python3; then
        exec python3 -m http.server "$port" --bind 127.0.0.1 --directory "$dist"
    fi
    exec node "$root/tests/browser/server.mjs" "$dist" "$port"
fi

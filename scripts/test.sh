#!/usr/bin/env bash
# Sets up what is missing, then runs every check: format, lints (native and wasm32),
# documentation, unit and integration tests, and the page in a real browser. With arguments it
# stops after `cargo test`, which gets them, for example
#
#   scripts/test.sh --lib diffusion
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=prerequisites.sh
source "$(dirname "${BASH_SOURCE[0]}")/prerequisites.sh"

need_system_packages
need_rust
need_component rustfmt rustfmt
need_component clippy cargo-clippy
need_target wasm32-unknown-unknown

cd "$root"
wasm=(--lib --target wasm32-unknown-unknown --no-default-features)

say "Format"
cargo fmt --check

say "Lints (the first time builds all dependencies, some minutes)"
cargo clippy --all-targets -- -D warnings

say "Library and page for the web: lints"
cargo clippy "${wasm[@]}" -- -D warnings
cargo clippy --bin noiselab --target wasm32-unknown-unknown --no-default-features --features app -- -D warnings

say "Documentation"
RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --no-deps

say "Tests"
cargo test "$@"
if (($#)); then exit; fi

need_node
need_browser
bash "$root/scripts/web.sh"
say "The page in a browser ($CHROMIUM)"
# The program that the tests above have built draws what the page is compared with.
export NOISELAB="${CARGO_TARGET_DIR:-$root/target}/debug/noiselab"
(cd tests/browser && if [[ ! -d node_modules ]]; then npm install --no-package-lock --no-audit --no-fund --silent; fi)
node tests/browser/run.mjs

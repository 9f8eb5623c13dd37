#!/usr/bin/env bash
# Sets up what is missing, then runs every check: format, lints (native and wasm32),
# documentation, unit and integration tests. Arguments go to `cargo test`, for example
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

say "The library for the web: check and lints"
cargo check "${wasm[@]}"
cargo clippy "${wasm[@]}" -- -D warnings

say "Documentation"
RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --no-deps

say "Tests"
cargo test "$@"

# shellcheck shell=bash
# Sourced by run.sh and test.sh: looks for what a build needs, installs what apt-get
# offers, and otherwise says what to install and stops.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
rust_wanted="$(sed -n 's/^rust-version *= *"\(.*\)".*/\1/p' "$root/Cargo.toml")"

say() { printf '==> %s\n' "$*"; }
stop() {
    printf 'error: %s\n' "$1" >&2
    shift
    if (($#)); then printf '       %s\n' "$@" >&2; fi
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# A shell opened before rustup was installed does not have it on its PATH yet.
if ! have cargo && [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi

case "$(uname -s)" in
    Linux*) os=linux ;;
    Darwin*) os=macos ;;
    MINGW* | MSYS* | CYGWIN*) os=windows ;;
    *) os=other ;;
esac

# can_apt: may packages be installed here without asking the user to do it?
can_apt() { have apt-get && { ((EUID == 0)) || have sudo; }; }

apt_lists_fresh=no
apt_run() {
    local -a as_root=(env DEBIAN_FRONTEND=noninteractive)
    if ((EUID != 0)); then as_root=(sudo "${as_root[@]}"); fi
    "${as_root[@]}" apt-get "$@"
}
apt_update() {
    if [[ $apt_lists_fresh == no ]]; then
        say "Fetching the package lists (apt-get update)"
        apt_run update -qq || say "apt-get update failed; going on with the lists that are here"
        apt_lists_fresh=yes
    fi
}
apt_install() {
    apt_update
    say "Installing $* (apt-get install)"
    apt_run install -y -qq --no-install-recommends "$@" || stop "apt-get could not install: $*" \
        "Install them by hand, then run this script again."
}

# ---- C compiler, pkg-config, Vulkan -------------------------------------------

# vulkan_usable: are the loader and a driver installed that can work here? Without a
# graphics device in sight that takes a software driver, such as Mesa's lavapipe.
vulkan_usable() {
    # where LD_LIBRARY_PATH is set the loader may be in it; leave that to the program
    if [[ -z ${LD_LIBRARY_PATH:-} ]] && ! PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep 'libvulkan\.so\.1' >/dev/null; then
        return 1
    fi
    if [[ -n ${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}} ]]; then return 0; fi # the user chose
    local folder driver device found=no
    for folder in /etc /usr/share /usr/local/share /usr/local/etc "${XDG_DATA_HOME:-$HOME/.local/share}"; do
        for driver in "$folder"/vulkan/icd.d/*.json; do
            if [[ ! -e $driver ]]; then continue; fi
            found=yes
            case "${driver##*/}" in lvp_icd* | vk_swiftshader*) return 0 ;; esac
        done
    done
    for device in /dev/dri/renderD* /dev/nvidiactl /dev/dxg; do
        if [[ $found == yes && -e $device ]]; then return 0; fi
    done
    return 1
}

need_system_packages() {
    case "$os" in
        linux)
            local -a missing=()
            if ! have cc; then missing+=(build-essential); fi
            if ! have pkg-config; then missing+=(pkg-config); fi
            if ! vulkan_usable; then missing+=(libvulkan1 mesa-vulkan-drivers); fi
            if ((${#missing[@]} == 0)); then return; fi
            if can_apt; then
                apt_install "${missing[@]}"
            else
                stop "these are missing (by their Debian names): ${missing[*]}" \
                    "Debian, Ubuntu: sudo apt-get install ${missing[*]}" \
                    "Fedora:         sudo dnf install gcc pkgconf-pkg-config mesa-vulkan-drivers vulkan-loader" \
                    "Arch:           sudo pacman -S --needed base-devel pkgconf vulkan-icd-loader vulkan-swrast" \
                    "(vulkan-swrast draws without a GPU; for a GPU take its own Vulkan driver instead)"
            fi
            ;;
        macos)
            if ! xcode-select -p >/dev/null 2>&1; then
                stop "there is no C compiler" "Install Apple's command line tools: xcode-select --install"
            fi
            ;;
        *) ;; # Windows: rustup itself asks for the Visual Studio build tools
    esac
}

# ---- Rust ---------------------------------------------------------------------

# rust_enough: is the compiler that cargo would use here of the version Cargo.toml wants?
rust_enough() {
    local version
    version="$(cd "$root" && rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p')"
    [[ -n $version ]] && have cargo && [[ "$(printf '%s\n' "$rust_wanted" "$version" | sort -V | head -n 1)" == "$rust_wanted" ]]
}

rust_help() {
    stop "Rust $rust_wanted or newer is needed${1:+ ($1)}" \
        "Any system:     the installer on https://rustup.rs (no administrator rights needed)" \
        "Debian 13, Ubuntu 24.04 and later: sudo apt-get install rustup && rustup default stable" \
        "Fedora:         sudo dnf install rustup && rustup-init" \
        "Arch:           sudo pacman -S rustup && rustup default stable" \
        "macOS:          brew install rustup && rustup default stable" \
        "Windows:        winget install Rustlang.Rustup" \
        "Then open a new shell and run this script again."
}

need_rust() {
    if rust_enough; then return; fi
    if ! have rustup; then
        if have cargo; then
            rust_help "this is $(rustc --version 2>/dev/null || echo 'a cargo without a compiler')"
        fi
        if [[ $os != linux ]] || ! can_apt; then rust_help; fi
        apt_update
        if ! apt-cache show rustup >/dev/null 2>&1; then
            rust_help "and this system's packages do not include rustup"
        fi
        apt_install rustup ca-certificates
    fi
    say "Getting the current stable Rust (rustup toolchain install stable)"
    rustup toolchain install stable --profile minimal --no-self-update || rust_help "rustup could not install it"
    if ! rust_enough; then
        # the default toolchain is missing or older: use stable for this run and leave the default alone
        export RUSTUP_TOOLCHAIN=stable
    fi
    if ! rust_enough; then rust_help "the current stable is $(rustc --version 2>/dev/null || echo missing)"; fi
}

# need_component NAME COMMAND: a part of the toolchain, such as clippy
need_component() {
    if (cd "$root" && "$2" --version) >/dev/null 2>&1; then return; fi
    if ! have rustup; then
        stop "$2 is missing, and this Rust was not installed with rustup" \
            "Install the package that brings $1 for it (often rustfmt and rust-clippy), or take Rust from https://rustup.rs"
    fi
    say "Adding $1 to the toolchain (rustup component add $1)"
    (cd "$root" && rustup component add "$1") || stop "rustup could not add $1"
}

# need_target TRIPLE: the standard library for another platform
need_target() {
    local folder
    folder="$(cd "$root" && rustc --print target-libdir --target "$1" 2>/dev/null)" || folder=
    if [[ -n $folder && -n "$(ls -A "$folder" 2>/dev/null)" ]]; then return; fi
    if ! have rustup; then
        stop "the standard library for $1 is missing, and this Rust was not installed with rustup" \
            "Debian, Ubuntu: sudo apt-get install libstd-rust-dev-wasm32; or take Rust from https://rustup.rs"
    fi
    say "Adding the target $1 (rustup target add $1)"
    (cd "$root" && rustup target add "$1") || stop "rustup could not add the target $1"
}

# ---- The page -----------------------------------------------------------------

# need_wasm_bindgen: the tool that writes the JavaScript around the wasm; it must be of the very version that
# Cargo.lock has, so it is kept in a folder of its own, one for each version.
need_wasm_bindgen() {
    local version folder
    version="$(sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"$/\1/p;}' "$root/Cargo.lock")"
    if [[ "$(wasm-bindgen --version 2>/dev/null)" == "wasm-bindgen $version" ]]; then return; fi
    folder="${XDG_CACHE_HOME:-$HOME/.cache}/noiselab/wasm-bindgen-$version"
    if [[ ! -x $folder/bin/wasm-bindgen ]]; then
        say "Building wasm-bindgen $version (cargo install wasm-bindgen-cli; some minutes, once)"
        # Its lock file may name versions that are no longer offered; without its own networking it is smaller.
        local -a install=(cargo install wasm-bindgen-cli --version "$version" --root "$folder" --no-default-features --quiet)
        "${install[@]}" --locked || "${install[@]}" || stop "cargo could not install wasm-bindgen-cli $version"
    fi
    PATH="$folder/bin:$PATH"
}

# want_wasm_opt: makes the wasm smaller; the page can do without
want_wasm_opt() {
    if ! have wasm-opt && can_apt; then apt_install binaryen; fi
}

# need_node: runs the browser tests
need_node() {
    if have node && have npm; then return; fi
    if can_apt; then
        apt_install nodejs npm
    else
        stop "node and npm are missing (the browser tests need them)" "Install Node.js 18 or later from your system's packages or https://nodejs.org"
    fi
}

# need_browser: a Chromium for the browser tests; sets CHROMIUM to its path unless it is set
need_browser() {
    local name
    if [[ -n ${CHROMIUM:-} ]]; then return; fi
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if have "$name"; then
            CHROMIUM="$(command -v "$name")"
            export CHROMIUM
            return
        fi
    done
    if can_apt; then
        apt_install chromium
        CHROMIUM="$(command -v chromium)" || stop "the package chromium brought no command of that name"
        export CHROMIUM
    else
        stop "there is no Chromium (the browser tests need one)" "Install chromium, or set CHROMIUM to the path of Chrome, Edge or Chromium"
    fi
}

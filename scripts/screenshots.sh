#!/usr/bin/env bash
# Takes the pictures of the rooms that the README shows, into docs/screens: the window on a virtual
# display (needs Xvfb and ImageMagick's import), and the page in a browser (needs dist/, by scripts/web.sh).
#
#   NOISELAB=target/release/noiselab scripts/screenshots.sh [window|page]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="$root/docs/screens"
noiselab="${NOISELAB:-$root/target/release/noiselab}"
mkdir -p "$out"

window() {
    local display=":${SCREEN:-87}" wait="${WAIT:-25}" home
    home="$(mktemp -d)"
    # Without -noreset it starts anew whenever its last client leaves, and a window that opens just then is lost.
    Xvfb "$display" -screen 0 1280x800x24 -noreset >/dev/null 2>&1 &
    local screen=$!
    trap 'kill "$screen" 2>/dev/null || true' RETURN
    sleep 2
    for room in forward training reverse network lab; do
        local at="room=$room&t=300&count=4" extra=() seconds="$wait"
        case "$room" in
        # The measuring mode trains by itself.
        training) extra=(--measure 600) seconds=$((3 * wait)) ;;
        lab) at="room=lab&lab=fields&t=60" extra=(--measure 600) seconds=$((2 * wait)) ;;
        reverse) at="room=$room&count=4&sampler_b=off" ;;
        esac
        HOME="$home" DISPLAY="$display" "$noiselab" app --at "$at" "${extra[@]}" >"$home/messages" 2>&1 &
        local app=$!
        # So that no tooltip covers the room.
        if command -v xdotool >/dev/null; then DISPLAY="$display" xdotool mousemove 1279 400; fi
        sleep "$seconds"
        if ! kill -0 "$app" 2>/dev/null; then
            echo "error: the app ended before its picture of the room $room was taken; its last messages:" >&2
            tail -n 20 "$home/messages" >&2
            return 1
        fi
        DISPLAY="$display" import -window root -strip "$out/window-$room.png"
        kill "$app" 2>/dev/null || true
        wait "$app" 2>/dev/null || true
        echo "$out/window-$room.png"
    done
}

page() {
    (cd "$root/tests/browser" && if [[ ! -d node_modules ]]; then npm install --no-package-lock --no-audit --no-fund --silent; fi)
    node "$root/tests/browser/screens.mjs" "$root/dist" "$out"
    # Small enough to be kept: 256 colours where a picture is large.
    local file
    for file in "$out"/page-*.png; do
        mogrify -strip "$file"
        if (($(wc -c <"$file") > 200000)); then mogrify +dither -colors 256 "$file"; fi
        echo "$file"
    done
}

case "${1:-both}" in
window) window ;;
page) page ;;
both) window && page ;;
esac

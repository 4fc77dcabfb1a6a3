#!/usr/bin/env bash
# How the bridge sounds: real speech through the real chains, scored by PESQ and STOI against what a telephone line does to it anyway.
# Needs Rust, a C compiler and python3; Python packages go into target/. Exit code 1: a goal is missed; 2: nothing could be measured.
# Beside it:
#   run.sh --clips DIR   other recordings (mono 16-bit WAV, 8 or 16 kHz), e.g. of Debian's asterisk-core-sounds-en-wav
#   run.sh encoder       the Opus encoder's settings against each other: sound, CPU, bits
#   run.sh drift         ways to follow a sender's clock that is fast or slow
# First of all may be
#   --profile dev        the renderer that `cargo test` has built already: the same sound; only what is said of CPU is not meant
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
profile=release
if [ "${1:-}" = --profile ]; then
    profile=${2:?a profile of Cargo.toml}
    shift 2
fi
venv=target/sound/venv
if ! [ -e "$venv/complete" ] || ! cmp -s perf/sound/requirements.txt "$venv/complete"; then
    { python3 -m venv "$venv" &&
        PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/pip" install --quiet --requirement perf/sound/requirements.txt; } || {
        echo "perf/sound: its Python packages (perf/sound/requirements.txt) cannot be installed: nothing was measured" >&2
        exit 2
    }
    cp perf/sound/requirements.txt "$venv/complete"
fi
"$venv/bin/python" -c "import numpy, pesq, pystoi, scipy" || {
    echo "perf/sound: a package of perf/sound/requirements.txt is missing in $venv: nothing was measured" >&2
    exit 2
}
# Of the whole workspace, as the tests are: with this crate's features alone half of what it needs would be built again.
cargo build --locked --profile "$profile" --workspace --example render || exit 2
# Cargo's one profile that is not called like its folder.
export ARIA_RENDER=target/${profile/#dev/debug}/examples/render
what=gate
if [ "${1:-}" = encoder ] || [ "${1:-}" = drift ]; then
    what=$1
    shift
fi
exec "$venv/bin/python" -B "perf/sound/$what.py" "$@"

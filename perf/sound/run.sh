#!/usr/bin/env bash
# How the bridge sounds: real speech through the real chains, scored by PESQ and STOI against what a telephone line does to it anyway.
# Needs Rust, a C compiler and python3; Python packages go into target/. Fails if a goal is missed. Beside it:
#   run.sh --clips DIR   other recordings (mono 16-bit WAV, 8 or 16 kHz), e.g. of Debian's asterisk-core-sounds-en-wav
#   run.sh encoder       the Opus encoder's settings against each other: sound, CPU, bits
#   run.sh drift         ways to follow a sender's clock that is fast or slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=target/sound/venv
if ! [ -e "$venv/complete" ] || ! cmp -s perf/sound/requirements.txt "$venv/complete"; then
    python3 -m venv "$venv"
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/pip" install --quiet --requirement perf/sound/requirements.txt
    cp perf/sound/requirements.txt "$venv/complete"
fi
cargo build --locked --release --package pipeline --example render
what=gate
if [ "${1:-}" = encoder ] || [ "${1:-}" = drift ]; then
    what=$1
    shift
fi
exec "$venv/bin/python" -B "perf/sound/$what.py" "$@"

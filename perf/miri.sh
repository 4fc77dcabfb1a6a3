#!/usr/bin/env bash
# Runs the queues' unit tests under Miri, which finds undefined behaviour and data races that tests alone do not.
# Exit codes: 0 clean, 1 something was found, 3 Miri is not installed (nothing was checked).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! cargo miri --version >/dev/null 2>&1; then
    echo "Miri is not installed for this toolchain, nothing was checked. It comes with nightly:" >&2
    echo "  rustup toolchain install nightly --component miri && RUSTUP_TOOLCHAIN=nightly $0" >&2
    exit 3
fi
# Codecs are C, which Miri does not run; these are the parts that are ours and hold memory.
cargo miri test -p pipeline --lib -- ring:: cells:: store:: stage:: stats:: load:: loan_tests:: || exit 1

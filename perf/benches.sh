#!/usr/bin/env bash
# Runs the audio road's benches and writes what they measured, and on what machine, into perf/README.md.
#
#   perf/benches.sh            all benches (some ten minutes)
#   perf/benches.sh --table    only writes the tables again, from the last run's results
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} != --table ]]; then
    for bench in stages worker_tick rings; do
        cargo bench -p pipeline --bench "$bench"
    done
    cargo bench -p pipeline --bench wake | tee target/wake.md
fi
python3 perf/tables.py target/criterion target/wake.md perf/README.md

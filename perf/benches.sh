#!/usr/bin/env bash
# Runs the benches and writes what they measured, and on what machine, into perf/README.md.
#
#   perf/benches.sh            all benches (some ten minutes, and some more to build the server for `messages`)
#   perf/benches.sh messages   only the benches named; the rows of all others stay as they are
#   perf/benches.sh --table    only writes the tables again, from the last run's results
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

keep=()
benches=(stages worker_tick rings messages wake)
case ${1:-} in
    --table) benches=() ;;
    ?*) benches=("$@") keep=("$*") ;;
esac
for bench in "${benches[@]}"; do
    case $bench in
        wake) cargo bench -p pipeline --bench wake | tee target/wake.md ;;
        messages) cargo bench -p aria-bridge --bench messages ;;
        *) cargo bench -p pipeline --bench "$bench" ;;
    esac
done
python3 perf/tables.py target/criterion target/wake.md perf/README.md "${keep[@]}"

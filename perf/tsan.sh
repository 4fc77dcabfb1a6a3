#!/usr/bin/env bash
# Runs the tests of the real audio threads under ThreadSanitizer.
# Exit codes: 0 clean, 1 something was found, 3 the toolchain cannot do it (nothing was checked).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
if ! ls "$(rustc --print sysroot)/lib/rustlib/$target/lib/"librustc*_rt.tsan.a >/dev/null 2>&1; then
    echo "This toolchain ships no ThreadSanitizer for $target, nothing was checked." >&2
    exit 3
fi
# The flag is nightly's; RUSTC_BOOTSTRAP lets a stable compiler take it. The shipped standard library is not instrumented, so what it
# does for us (reference counts, thread starts) is taken on trust: perf/tsan.supp says what that hides.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
export TSAN_OPTIONS="suppressions=$PWD/perf/tsan.supp ${TSAN_OPTIONS:-}"
export CARGO_TARGET_DIR=target/tsan
run=(cargo test -p pipeline --target "$target")
if ! "${run[@]}" --lib --test threads --no-run; then
    echo "The tests do not build with -Zsanitizer=thread on this toolchain, nothing was checked." >&2
    exit 3
fi
"${run[@]}" --lib -- ring:: call:: loan_tests:: || exit 1
"${run[@]}" --test threads || exit 1

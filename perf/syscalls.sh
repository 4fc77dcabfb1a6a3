#!/usr/bin/env bash
# Counts the system calls of the audio threads of a running bridge, by kind and a second.
#
#   perf/syscalls.sh PID [SECONDS]
#
# Put calls on it first (`aria load`, `aria call --calls N`). Needs strace (`apt-get install strace`) and the right to trace the process;
# tracing slows each call down, so the counts are right and the delays meanwhile are not.
# What is to be seen: futex (a wait, or the wake of a reader), clock_nanosleep (the pace), and what a bell does to wake a socket's task
# (a write to tokio's eventfd). Anything else in a tick is a mistake: `pipeline/tests/syscalls.rs` keeps the ticks themselves clean.
# Exit codes: 0 counted, 2 bad arguments, 3 nothing could be counted.
set -euo pipefail

pid=${1:-}
seconds=${2:-5}
if [[ ! $pid =~ ^[0-9]+$ || ! $seconds =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 PID [SECONDS]" >&2
    exit 2
fi
if ! command -v strace >/dev/null; then
    echo "strace is not installed (apt-get install strace); nothing was counted" >&2
    exit 3
fi
threads=()
for task in /proc/"$pid"/task/*; do
    [[ $(cat "$task/comm" 2>/dev/null) == audio-* ]] && threads+=(-p "${task##*/}")
done
if [[ ${#threads[@]} -eq 0 ]]; then
    echo "process $pid has no audio thread; nothing was counted" >&2
    exit 3
fi

out=$(mktemp)
trap 'rm -f "$out"' EXIT
# With -c alone strace follows no children: exactly the audio threads are counted.
timeout --signal=INT "$seconds" strace -c -o "$out" "${threads[@]}" 2>/dev/null || true
if [[ ! -s $out ]]; then
    echo "strace counted nothing: not allowed to trace $pid, or the threads slept" >&2
    exit 3
fi
echo "system calls of $((${#threads[@]} / 2)) audio thread(s) in $seconds s:"
awk -v s="$seconds" '$4 ~ /^[0-9]+$/ && $NF != "total" { printf "  %-20s %8d  %8.1f/s\n", $NF, $4, $4 / s }' "$out"

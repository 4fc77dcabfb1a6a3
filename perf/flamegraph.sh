#!/usr/bin/env bash
# Flamegraphs of a bridge under load, one for each group of threads, and where each spends its time.
#
#   perf/flamegraph.sh [CALLS] [SECONDS] [opus|pcmu]        default: 40 calls, 15 seconds, opus
#
# Starts a bridge, loads it with `aria load` (CALLS calls in which both sides speak all the time), and asks the bridge for profiles of
# its own CPU time. Needs the Rust toolchain and a C compiler, nothing more: no perf, no hardware counters, no privileges. Everything is on
# loopback (the model on port 8090) and ends with the script. Results: target/perf/{audio,network}-CODEC.{svg,folded}, and what the load suite
# found meanwhile in target/perf/load-CODEC.html. ARIA=PROGRAM takes that one and builds none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

calls=${1:-40} seconds=${2:-15} codec=${3:-opus}
case $calls$seconds in *[!0-9]*) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
case $codec in opus | pcmu) ;; *) echo "the codec must be opus or pcmu, not '$codec'" >&2; exit 2 ;; esac

[ -n "${ARIA:-}" ] || cargo build --release
aria=${ARIA:-$PWD/target/release/aria} out=$PWD/target/perf work=$PWD/target/perf/work
mkdir -p "$work"

started=()
stop() {
    # Ends only what was started here.
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
}
trap stop EXIT

# Starts a command and waits for the line by which it says where it is: announced PREFIX LOG COMMAND…
announced() {
    local prefix=$1 log=$2
    shift 2
    "$@" >"$work/$log" 2>"$work/$log.err" &
    started+=($!)
    for _ in $(seq 100); do
        address=$(sed -n "s|^$prefix||p" "$work/$log")
        [ -n "$address" ] && return
        sleep 0.1
    done
    echo "no answer from: $*" >&2
    cat "$work/$log.err" >&2
    exit 1
}

cat >"$work/aria.toml" <<EOF
[limits]
max_calls = $((calls + 10))
calls_per_second = 1000
[agents.default]
greeting = "Greet the caller."
codec = "$codec"
EOF

model=127.0.0.1:8090 ramp=10
export OPENAI_BASE_URL=http://$model/v1 OPENAI_API_KEY=sk-simulated ARIA_PUBLIC_URL=http://localhost:8080 RUST_LOG=warn
announced "listening on " bridge env ARIA_LISTEN=127.0.0.1:0 ARIA_CONFIG="$work/aria.toml" "$aria" serve
bridge=$address

# The load: once all calls are up it lasts for the four profiles, and for what is between them.
"$aria" load --url "$bridge" --public-url "$ARIA_PUBLIC_URL" --model "$model" --pid "${started[0]}" --calls "$calls" --ramp "$ramp" \
    --seconds $((4 * seconds + 15)) --codec "$codec" --html "$out/load-$codec.html" >"$work/load" 2>&1 &
started+=($!)

# Asks the bridge, in the shell's own words: fetch PATH FILE.
fetch() {
    local host=${bridge#http://}
    exec 3<>"/dev/tcp/${host%:*}/${host##*:}"
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" "$host" >&3
    cat <&3 >"$work/answer"
    exec 3>&-
    sed '1,/^\r$/d' "$work/answer" >"$2"
    head -n 1 "$work/answer" | grep -q ' 200 ' || { cat "$work/answer" >&2; exit 1; }
}

# The ten functions that most samples end in; what is in the kernel, by the call that went there.
top() {
    awk '{ count = $NF; sub(/ [0-9]+$/, ""); n = split($0, frame, ";"); kernel = ""
           if (frame[n] == "[kernel]") { kernel = " [kernel]"; n-- }
           while (frame[n] ~ /_\[i\]$/) n-- # inlined: by the function it was inlined into
           leaf = frame[n] kernel
           if ($0 ~ /\[broken stack\]/) broken += count
           self[leaf] += count; all += count }
         END { for (leaf in self) printf "%6.2f %%  %s\n", 100 * self[leaf] / all, leaf | "sort -rn | head -n 10"
               close("sort -rn | head -n 10"); printf "%d samples, %.2f %% with a broken stack\n", all, 100 * broken / all }' "$1"
}

# The first calls stand alone for a while: their memory is looked at.
for _ in $(seq $((calls / ramp + 40))); do
    sleep 1
    fetch /metrics "$work/metrics"
    live=$(sed -n 's/^aria_calls //p' "$work/metrics")
    [ "$live" = "$calls" ] && break
done
[ "$live" = "$calls" ] || { echo "only ${live:-no} calls are up" >&2; cat "$work/load" >&2; exit 1; }

for threads in audio network; do
    fetch "/api/profile?threads=$threads&seconds=$seconds&format=svg" "$out/$threads-$codec.svg"
    fetch "/api/profile?threads=$threads&seconds=$seconds&format=folded" "$out/$threads-$codec.folded"
    printf '\n%s threads, %s calls, %s: %s\n' "$threads" "$calls" "$codec" "$out/$threads-$codec.svg"
    top "$out/$threads-$codec.folded"
done

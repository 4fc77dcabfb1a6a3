"""Writes the tables of perf/README.md from what the benches left: criterion's JSON and the output of the bench `wake`."""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys


def nice(ns):
    for unit, size in (("ms", 1e6), ("µs", 1e3), ("ns", 1)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"{os.cpu_count()} cores, {cpu.group(1) if cpu else platform.machine()}, Linux {platform.release()}, {rustc}; "
        f"load average while the table was written: {os.getloadavg()[2]:.1f} over 15 minutes."
    )


def stages(criterion):
    rows = []
    for file in sorted(criterion.glob("**/new/benchmark.json")):
        name = json.loads(file.read_text())["full_id"]
        estimates = json.loads(file.with_name("estimates.json").read_text())
        median = estimates["median"]
        low, high = (median["confidence_interval"][k] for k in ("lower_bound", "upper_bound"))
        rows.append((name, median["point_estimate"], low, high))
    if not rows:
        sys.exit(f"{criterion}: no results; run perf/benches.sh without --table")
    lines = ["| bench | median | 95 % interval of the median |", "|---|---|---|"]
    lines += [f"| `{name}` | {nice(m)} | {nice(low)} … {nice(high)} |" for name, m, low, high in sorted(rows)]
    return "\n".join(lines)


def replaced(text, marker, body):
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.S)
    if not pattern.search(text):
        sys.exit(f"the markers of {marker} are missing")
    return pattern.sub(lambda found: f"{found.group(1)}\n{body.strip()}\n\n{found.group(2)}", text)


def main(criterion, wake, readme):
    text = readme.read_text()
    text = replaced(text, "machine", machine())
    text = replaced(text, "criterion", stages(criterion))
    if wake.exists():
        text = replaced(text, "wake", wake.read_text())
    readme.write_text(text)


main(*map(pathlib.Path, sys.argv[1:4]))

"""Writes the tables of perf/README.md from what the benches left: criterion's JSON and the output of the bench `wake`.

With the names of the benches that ran as a fourth argument, rows that they did not write stay as they are.
"""

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


def later(text, benches):
    """What is said of the machine, and that some rows are younger."""
    load = f"Written later, at a load average of {os.getloadavg()[2]:.1f}: `{benches}`."
    lines = [line for line in part(text, "machine").splitlines() if not line.endswith(f": `{benches}`.")]
    return "\n".join([*lines, "", load]).replace("\n\n\n", "\n\n")


def stages(criterion, kept=""):
    rows = dict(re.findall(r"^\| `([^`]+)` (\|.*)$", kept, re.M))
    for file in sorted(criterion.glob("**/new/benchmark.json")):
        name = json.loads(file.read_text())["full_id"]
        estimates = json.loads(file.with_name("estimates.json").read_text())
        median = estimates["median"]
        low, high = (median["confidence_interval"][k] for k in ("lower_bound", "upper_bound"))
        rows[name] = f"| {nice(median['point_estimate'])} | {nice(low)} … {nice(high)} |"
    if not rows:
        sys.exit(f"{criterion}: no results; run perf/benches.sh without --table")
    lines = ["| bench | median | 95 % interval of the median |", "|---|---|---|"]
    lines += [f"| `{name}` {row}" for name, row in sorted(rows.items())]
    return "\n".join(lines)


def pattern(marker):
    return re.compile(rf"(<!-- {marker} -->\n)(.*?)(<!-- /{marker} -->)", re.S)


def part(text, marker):
    found = pattern(marker).search(text) or sys.exit(f"the markers of {marker} are missing")
    return found.group(2).strip()


def replaced(text, marker, body):
    part(text, marker)
    return pattern(marker).sub(lambda found: f"{found.group(1)}\n{body.strip()}\n\n{found.group(3)}", text)


def main(criterion, wake, readme, benches=None):
    text = readme.read_text()
    text = replaced(text, "machine", later(text, benches) if benches else machine())
    text = replaced(text, "criterion", stages(criterion, part(text, "criterion") if benches else ""))
    if wake.exists() and (not benches or "wake" in benches.split()):
        text = replaced(text, "wake", wake.read_text())
    readme.write_text(text)


main(*map(pathlib.Path, sys.argv[1:4]), *sys.argv[4:5])

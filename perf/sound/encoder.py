"""The uplink's Opus settings against each other: PESQ against mu-law alone, cost of a frame, bits a second; one run."""
import numpy as np

import speech
from gate import alone
from score import in_parallel, narrowband, render

SECONDS = 60
VARIANTS = [
    dict(lowdelay=mode, complexity=complexity, fec=fec, bitrate=bitrate)
    for mode, complexity, fec, bitrate in [
        (0, 0, 1, 24000), (0, 1, 1, 24000), (0, 2, 1, 24000), (0, 0, 0, 24000), (0, 1, 0, 24000), (0, 1, 1, 16000),
        (0, 1, 1, 32000), (1, 0, 0, 24000), (1, 1, 0, 24000), (1, 2, 0, 24000), (1, 1, 0, 16000), (1, 0, 0, 32000),
        (1, 1, 0, 32000), (1, 0, 0, 40000), (1, 0, 0, 48000),
    ]
]


def score(piece, variant):
    heard, cost = render(8000, piece.narrow, "up", **variant)
    return narrowband(piece.narrow, heard), cost


def main():
    pieces = speech.pieces(most_seconds=SECONDS)
    mulaw = np.array(in_parallel(alone, [(p,) for p in pieces]))
    print("| mode | complexity | FEC | kbit/s asked, sent | PESQ − mu-law, mean / worst | µs a frame | look-ahead, ms |")
    print("|---|---|---|---|---|---|---|")
    for variant in VARIANTS:
        found = [score(p, variant) for p in pieces]  # one at a time: the cost is measured
        change = np.array([f[0] for f in found]) - mulaw
        mean = lambda name: np.mean([f[1][name] for f in found])
        mode = "low delay" if variant["lowdelay"] else "VOIP"
        print(
            f"| {mode} | {variant['complexity']} | {'on' if variant['fec'] else 'off'} "
            f"| {variant['bitrate'] / 1000:.0f}, {mean('bits_a_second') / 1000:.1f} | {change.mean():+.3f} / {change.min():+.3f} "
            f"| {np.median([f[1]['encode_us_median'] for f in found]):.0f} | {mean('lookahead') / 8:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

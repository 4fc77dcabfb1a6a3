"""Following a sender's clock that is fast: what each way costs in sound, CPU and delay."""
import numpy as np

import speech
from score import in_parallel, narrowband, render

METHODS = ["none", "rubato", "slip", "silence", "period"]


def main():
    pieces = speech.pieces()
    pause = np.zeros(4800, "<i2")
    line = np.concatenate([part for piece in pieces for part in (piece.narrow, pause)])
    print("| ppm | method | PESQ-NB, mean / worst | µs a frame, p50 / p99 | delay, ms | samples not yet made up |")
    print("|---|---|---|---|---|---|")
    for ppm in (100, 1000):
        for method in METHODS:
            heard, cost = render(8000, line, "drift", ppm=ppm, method=method)
            shorter = 0 if method == "none" else ppm
            begin, jobs = 0, []
            for piece in pieces:
                at = int(begin / (1 + shorter * 1e-6))
                jobs.append((piece.narrow, np.concatenate([heard[at : at + len(piece.narrow) + 800], pause])))
                begin += len(piece.narrow) + len(pause)
            scores = in_parallel(narrowband, jobs)
            print(
                f"| {ppm} | {method} | {np.mean(scores):.3f} / {np.min(scores):.3f} | {cost['us_median']:.1f} / {cost['us_p99']:.1f} "
                f"| {cost['delay_ms']:.2f} | {cost['samples_left_over']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""The goals for sound. Each is against mu-law alone on the same clip: an 8 kHz telephone line gives no more than that."""
import argparse
import json
import pathlib
import sys
import time

import numpy as np

import speech
from score import in_parallel, intelligibility, narrowband, render

OUT = speech.ROOT / "target/sound"
# PESQ-NB of libwebrtc's NetEq behind the same networks (its own code, PCMU, simulated clock), on speech whose mu-law alone is 4.14.
# It was not measured on lan and drift.
NETEQ_MULAW = 4.14
NETEQ = {
    "clean": 4.13, "lan": None, "inet": 4.10, "wifi": 3.65, "lte": 3.44, "loss1": 3.92, "ge5": 3.13,
    "reorder2": 3.82, "spike200": 3.64, "tcphol": 3.61, "drift+100": None, "drift-100": None,
}
# The same behind an ideal buffer: how packets are lost, what is asked of ours, NetEq's, and silence in their place. How much a loss
# costs depends on the speech (how much of it is steady), so the yardstick is what silence costs on the same speech.
CONCEALMENT = {"random 1 %": ("random", 1, 3.90, 3.92, 3.71), "bursts 5 %": ("bursts", 5, 3.10, 3.13, 2.67)}
# Of the networks above those that lose packets for good, and what silence in their place cost NetEq's speech. How much a loss costs
# depends on the speech, and here most of what is missing is lost and not late: judged, as above, by the share that is won back.
LOSSY = {"loss1": 3.71, "ge5": 2.67}
# Runs of these at least: which words are hit decides a run's score by 0.05.
LOSSY_SEEDS = 10
# Silence ahead of a piece where the codec alone is judged, s: a call's buffer begins with 10 ms of delay and takes them out of what comes
# first, be it a word.
AHEAD = 1.0
# Silence between pieces on a long line, s, and what a piece's end may be late by.
PAUSE = 0.6
LATE = 0.4


def down(piece, bitrate, ahead=AHEAD):
    line = np.concatenate([np.zeros(int(ahead * 48000), "<i2"), piece.full()])
    heard = render(48000, line, "down", bitrate=bitrate)[0][int(ahead * 8000) :]
    return narrowband(piece.narrow, heard), intelligibility(piece.narrow, heard)


def alone(piece):
    return narrowband(piece.narrow, render(8000, piece.narrow, "mulaw")[0])


def up(piece):
    return narrowband(piece.narrow, render(8000, piece.narrow, "up")[0])


def conceal(piece, loss, percent, seed, method):
    heard, _ = render(8000, piece.narrow, "conceal", loss=loss, percent=percent, seed=seed, method=method)
    return narrowband(piece.narrow, heard)


def network(pieces, name, seed, silence=False):
    """All pieces in one call, so that the buffer has learnt its network; scored one by one, by when they were sent. With `silence` nothing
    but the same losses, and silence in their place."""
    pause = np.zeros(int(PAUSE * 8000), "<i2")
    line = np.concatenate([part for piece in pieces for part in (piece.narrow, pause)])
    if silence:
        heard, _ = render(8000, line, "conceal", loss=name, seed=seed, method="silence")
    else:
        heard, _ = render(8000, line, "down", codec="pcmu", network=name, seed=seed)
    heard = np.concatenate([heard, pause])
    begin, scores = 0, []
    for piece in pieces:
        end = begin + len(piece.narrow)
        scores.append(narrowband(piece.narrow, heard[begin : end + int(LATE * 8000)]))
        begin = end + len(pause)
    return scores


class Report:
    def __init__(self):
        self.rows, self.missed = [], []

    def goal(self, name, figure, limit, note=""):
        """`figure` should be at least `limit` (`None`: told, not judged)."""
        verdict = "told" if limit is None else "reached" if figure >= limit else "missed"
        if verdict == "missed":
            self.missed.append(f"{name}: {figure:.3f}, goal {limit:.3f}")
        self.rows.append({"goal": name, "figure": round(float(figure), 4), "limit": limit, "verdict": verdict, "note": note})

    def markdown(self):
        lines = ["| goal | figure | at least | | |", "|---|---|---|---|---|"]
        for row in self.rows:
            limit = "" if row["limit"] is None else f"{row['limit']:+.3f}"
            lines.append(f"| {row['goal']} | {row['figure']:+.3f} | {limit} | {row['verdict']} | {row['note']} |")
        return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clips", action="append", help="folder of recordings; default: the repository's")
    arguments.add_argument("--seconds", type=float, help="use so much of them")
    arguments.add_argument("--seeds", type=int, default=3, help="runs of each network")
    given = arguments.parse_args()
    began = time.monotonic()
    pieces = speech.pieces(given.clips, given.seconds)
    seconds = sum(len(p.narrow) for p in pieces) / 8000
    mulaw = np.array(in_parallel(alone, [(p,) for p in pieces]))
    print(f"{len(pieces)} pieces, {seconds:.0f} s; mu-law alone: PESQ-NB {mulaw.mean():.3f}, worst {mulaw.min():.3f}", flush=True)
    report = Report()

    for bitrate in (24000, 32000):
        both = np.array(in_parallel(down, [(p, bitrate) for p in pieces]))
        change = both[:, 0] - mulaw
        name = f"B1 model → caller, Opus {bitrate // 1000} kbit/s"
        report.goal(f"{name}, mean", change.mean(), -0.10)
        report.goal(f"{name}, worst piece", change.min(), -0.20, pieces[int(change.argmin())].name[:40])
        report.goal(f"{name}, STOI", both[:, 1].mean(), 0.990)

    first = np.array(in_parallel(down, [(p, 24000, 0) for p in pieces]))
    change = first[:, 0] - mulaw
    note = f"worst {change.min():+.3f}, STOI {first[:, 1].mean():.3f}"
    report.goal("a call's first words, Opus 24 kbit/s, mean", change.mean(), None, note)

    change = np.array(in_parallel(up, [(p,) for p in pieces])) - mulaw
    report.goal("B2 caller → model, mean", change.mean(), -0.05, f"worst {change.min():+.3f}")

    won = lambda score, without, whole: (score - without) / (whole - without)
    for name, (loss, percent, least, neteq, neteq_silence) in CONCEALMENT.items():
        def mean(method):
            jobs = [(p, loss, percent, 100 * s + i, method) for s in range(given.seeds) for i, p in enumerate(pieces)]
            return np.mean(in_parallel(conceal, jobs))

        ours, silence = mean("ours"), mean("silence")
        note = (
            f"PESQ {ours:.3f} of {mulaw.mean():.3f}, silence {silence:.3f}; NetEq {neteq} of {NETEQ_MULAW}, silence {neteq_silence}: "
            f"{won(neteq, neteq_silence, NETEQ_MULAW):.3f}"
        )
        limit = round(won(least, neteq_silence, NETEQ_MULAW), 3)
        report.goal(f"A7 concealment, {name}: share of the loss won back", won(ours, silence, mulaw.mean()), limit, note)

    seeds = {name: max(given.seeds, LOSSY_SEEDS) if name in LOSSY else given.seeds for name in NETEQ}
    jobs = [(name, silence) for name in NETEQ for silence in ((False, True) if name in LOSSY else (False,))]
    scores = iter(in_parallel(network, [(pieces, n, 7919 * seed, s) for n, s in jobs for seed in range(1, seeds[n] + 1)]))
    runs = {job: np.array([next(scores) for _ in range(seeds[job[0]])]) for job in jobs}
    for name, neteq in NETEQ.items():
        ours = runs[name, False]
        limit = None if neteq is None else round(neteq - NETEQ_MULAW, 3)
        note = f"PESQ {ours.mean():.3f}, {len(ours)} runs from {ours.mean(axis=1).min():.2f} to {ours.mean(axis=1).max():.2f}"
        change = ours.mean() - mulaw.mean()
        if name not in LOSSY:
            report.goal(f"B4 {name}", change, limit, note)
            continue
        report.goal(f"B4 {name}", change, None, f"{note}; NetEq {limit:+.3f}")
        silence = runs[name, True].mean()
        limit = round(won(neteq, LOSSY[name], NETEQ_MULAW), 3)
        report.goal(f"B4 {name}: share of the loss won back", won(ours.mean(), silence, mulaw.mean()), limit, f"silence {silence:.3f}")

    OUT.mkdir(parents=True, exist_ok=True)
    found = {
        "pieces": len(pieces), "seconds": seconds, "mulaw": mulaw.mean(), "rows": report.rows, "missed": report.missed,
    }
    pathlib.Path(OUT, "report.json").write_text(json.dumps(found, indent=1))
    pathlib.Path(OUT, "report.md").write_text(report.markdown() + "\n")
    print(report.markdown())
    print(f"{time.monotonic() - began:.0f} s")
    for missed in report.missed:
        print(f"MISSED: {missed}", file=sys.stderr)
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())

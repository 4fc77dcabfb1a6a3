"""Recordings, made into pieces of equal level that are long enough to be scored."""
import pathlib
import wave

import numpy as np
from scipy.signal import resample_poly

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIPS = [ROOT / "sim/src/speech/clips", ROOT / "perf/sound/clips"]
# PESQ wants some seconds (P.862.3: 8 to 20 s, half of it speech); shorter clips are joined.
LEAST_SECONDS = 6.0
BETWEEN_SECONDS = 0.3
# Level of the speech in a piece, dB below full scale: P.862's own.
LEVEL_DB = -26.0
# Mean magnitude of 20 ms from which they are speech.
SPEECH = 100


def read(path):
    with wave.open(str(path)) as wav:
        assert wav.getnchannels() == 1 and wav.getsampwidth() == 2, f"{path}: mono of 16 bits is wanted"
        return wav.getframerate(), np.frombuffer(wav.readframes(wav.getnframes()), "<i2")


def write(path, hz, samples):
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(hz)
        wav.writeframes(np.asarray(samples, "<i2").tobytes())


def limited(samples):
    return np.clip(np.round(samples), -32768, 32767).astype("<i2")


def levelled(hz, samples):
    """The recording at the level of all, or `None` if nobody speaks in it."""
    samples = samples.astype(float)
    loud = np.convolve(np.abs(samples), np.ones(hz // 50) / (hz // 50), "same") > SPEECH
    if np.mean(loud) < 0.2:
        return None
    return samples * (32768 * 10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(samples[loud] ** 2)))


class Piece:
    """`wide` is the recording at its own rate `hz`, `narrow` the same at 8 kHz: what a perfect telephone would give."""

    def __init__(self, name, hz, samples):
        self.name, self.hz, self.wide = name, hz, limited(samples)
        self.narrow = self.wide if hz == 8000 else limited(resample_poly(samples, 8000, hz))

    def full(self):
        """At 48 kHz, as a WebRTC stack hands it to its encoder."""
        return limited(resample_poly(self.wide.astype(float), 48000, self.hz))


def pieces(folders=None, most_seconds=None):
    """Pieces of all recordings in `folders` (the repository's own if there are none), of so many seconds at most."""
    groups, total = {}, 0.0
    done = []
    paths = sorted(p for folder in folders or CLIPS for p in pathlib.Path(folder).rglob("*.wav"))
    for path in paths:
        hz, samples = read(path)
        level = levelled(hz, samples) if hz in (8000, 16000) and len(samples) > hz // 2 else None
        if level is None:
            continue
        names, parts = groups.setdefault(hz, ([], []))
        names.append(path.stem)
        parts += [level, np.zeros(int(BETWEEN_SECONDS * hz))]
        seconds = sum(map(len, parts)) / hz
        if seconds >= LEAST_SECONDS:
            done.append(Piece("+".join(names), hz, np.concatenate(parts)))
            total += seconds
            del groups[hz]
        if most_seconds and total >= most_seconds:
            break
    assert done, f"no recordings of 8 or 16 kHz in {folders or CLIPS}"
    return done

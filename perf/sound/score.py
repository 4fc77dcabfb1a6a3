"""Renders through the real chains and scores what comes out."""
import json
import multiprocessing
import os
import pathlib
import subprocess
import tempfile

import numpy as np
from pesq import pesq
from pystoi import stoi

import speech

# Of the profile that run.sh was told to take.
RENDER = speech.ROOT / os.environ.get("ARIA_RENDER", "target/release/examples/render")


def render(hz, samples, path, **settings):
    """What comes out at 8 kHz, and what the renderer says of it."""
    with tempfile.TemporaryDirectory() as folder:
        given, got = pathlib.Path(folder, "in.wav"), pathlib.Path(folder, "out.wav")
        speech.write(given, hz, samples)
        command = [RENDER, given, got, path, *(f"{name}={value}" for name, value in settings.items())]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return speech.read(got)[1], json.loads(out or "{}")


def narrowband(reference, heard):
    """PESQ, P.862.1: 1.0 to 4.55. It aligns by itself: as a whole, then utterance by utterance."""
    return pesq(8000, np.asarray(reference), np.asarray(heard), "nb")


def intelligibility(reference, heard):
    """STOI, 0 to 1, after the two are brought into step by their correlation (a codec's look-ahead)."""
    size = 1 << (len(reference) + len(heard)).bit_length()
    spectrum = np.fft.rfft(heard.astype(float), size) * np.conj(np.fft.rfft(reference.astype(float), size))
    late = int(np.argmax(np.fft.irfft(spectrum, size)[:800]))
    heard = heard[late : late + len(reference)]
    return stoi(reference[: len(heard)], heard, 8000)


def in_parallel(function, jobs):
    with multiprocessing.Pool(os.cpu_count()) as pool:
        return pool.starmap(function, jobs, chunksize=1)

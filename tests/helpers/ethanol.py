"""Ethanol that shakes, in files for the command."""

from __future__ import annotations

import numpy as np
from ase.build import molecule

from helpers.command import estag

WINDOW = ["--window.past", "3", "--window.delta", "1", "--figure", "f.png"]
ETHANOL = molecule("CH3CH2OH")
NAMES = ["C1", "C2", "O1", "H1", "H2", "H3", "H4", "H5", "H6"]
FRAMES = 60


def motion():
    """[frames, 9, 3] in Å: ethanol that shakes in a few slow modes."""
    rng = np.random.default_rng(0)
    times = np.arange(FRAMES)[:, None, None]
    modes = [
        rng.normal(0, 0.03, (1, 9, 3)) * np.sin(2 * np.pi * times / (20 + 7 * k) + k)
        for k in range(6)
    ]
    return (ETHANOL.positions + sum(modes)).astype(np.float32)


X = motion()


def npz(name, **arrays):
    """A file of it, with other arrays where they are given."""
    np.savez(name, **({"R": X, "z": ETHANOL.numbers, "dt_fs": 0.5} | arrays))
    return name


def info(capsys, *argv):
    """What estag data info says with windows that are short enough."""
    return estag(capsys, "data", "info", *argv, *WINDOW)

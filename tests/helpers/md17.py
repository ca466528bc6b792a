"""Files made up in the formats of MD17 and rMD17."""

from __future__ import annotations

import io
import tarfile

import numpy as np

ETHANOL = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1], np.uint8)
BENZENE = np.array([6] * 6 + [1] * 6, np.uint8)
FRAMES = 40


def moves(numbers, frames=FRAMES):
    return np.random.default_rng(0).normal(size=(frames, len(numbers), 3)).cumsum(axis=0)


def save_md17(path, numbers=ETHANOL):
    """Keys and types as in the files of the authors, with what is of no use here."""
    R = moves(numbers)
    energies = np.zeros((FRAMES, 1))
    name, theory = np.array(b"e"), np.array(b"DFT")
    np.savez(path, R=R, z=numbers, E=energies, F=R, name=name, theory=theory, md5=np.array(b"0"))
    return R


def rmd17(numbers=ETHANOL, known=25, first=7):
    """A shuffled part of a trajectory, as rMD17 has it, and the whole trajectory."""
    truth = moves(numbers)
    places = np.random.default_rng(1).permutation(np.arange(first, FRAMES))[:known]
    arrays = dict(nuclear_charges=numbers, coords=truth[places], old_indices=places)
    arrays |= dict(energies=np.zeros(known), forces=truth[places], old_energies=np.zeros(known))
    return arrays, truth


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def write_archive(path, members):
    with tarfile.open(path, "w:bz2") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))

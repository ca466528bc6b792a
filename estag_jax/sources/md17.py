"""MD17 and rMD17: ab initio molecular dynamics of small molecules, 500 K, 0.5 fs apart."""

from __future__ import annotations

import dataclasses
import importlib.resources
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from ase import Atoms

from estag_jax import io, npz
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, cache_folder, did_you_mean, silent
from estag_jax.simulate.settings import MOLECULES
from estag_jax.sources.download import fetch, verified
from estag_jax.sources.files.npz import read_npz
from estag_jax.sources.options import FolderOptions, NoOptions

STEP = 0.5
"""fs between frames."""

MD17_URLS = (
    "https://sgdml.org/secure_proxy.php?file=data/npz/{file}",
    "http://www.quantum-machine.org/gdml/data/npz/{file}",  # as in PyTorch Geometric, SchNetPack
)
"""Where the authors keep MD17; they publish no checksums, so the encrypted way goes first."""

RMD17_URLS = (
    "https://figshare.com/ndownloader/files/23950376",  # record 12672038, version 3
    "https://archive.materialscloud.org/records/pfffs-fff86/files/rmd17.tar.bz2?download=1",
)
"""The archive of rMD17, 1.07 GB."""

# What figshare's interface says of file 23950376, as public readers of the record quote it; one of
# them also gives the SHA-256 of the same file, whose start is that in the package load-atoms.
RMD17_HASH = "md5:cb1a927628d96f2e966025da4fb63d18"

_LONGEST = 10_000_000  # frames; MD17's longest trajectory has a tenth of it
_KEYS = ("nuclear_charges", "coords", "old_indices")


def read_demo(name: str, options: NoOptions, report: Report = silent) -> Trajectory:
    """The trajectory of aspirin that ships with the package; it has no options."""
    bundled = importlib.resources.files("estag_jax.data") / "bundled" / "aspirin_xtb.npz"
    with importlib.resources.as_file(bundled) as path:
        trajectory = read_npz(path)
    return dataclasses.replace(
        trajectory,
        source="demo",
        provenance="simulated data in the manner of MD17: aspirin, GFN2-xTB, 500 K, 0.5 fs, "
        "made by estag data prepare xtb:aspirin",
        licence="MIT",
        notes=(),
    )


def read_md17(name: str, options: FolderOptions, report: Report = silent) -> Trajectory:
    """A trajectory of MD17 (Chmiela et al., Science Advances 3, e1603015, 2017).

    Args:
      name: one of MOLECULES; benzene is that of 2017.
      options: the folder where md17_NAME.npz or, by its older name, NAME_dft.npz is; without it the
        file is downloaded, once, to the folder md17 of the cache.
      report: receives the progress of the download.

    Returns:
      The trajectory with all its atoms, positions [frames, N, 1, 3] in Å.

    Raises:
      DataError: there is no such molecule or file, it cannot be downloaded, or it is damaged.
    """
    _check_name(name, "MD17")
    stem = "benzene2017" if name == "benzene" else name
    file = f"md17_{stem}.npz"
    if options.folder is None:
        urls = [url.format(file=file) for url in MD17_URLS]
        path = fetch(urls, cache_folder() / "md17" / file, report=report)
    else:
        path = _find(Path(options.folder), (file, f"{stem}_dft.npz"))
    trajectory = read_npz(path)
    _check_formula(path, name, trajectory.system.atomic_numbers)
    trajectory = dataclasses.replace(
        trajectory,
        provenance=f"MD17 {name}: ab initio molecular dynamics (DFT, PBE+vdW-TS) at 500 K, "
        f"{STEP} fs; S. Chmiela et al., Science Advances 3, e1603015 (2017)",
        licence="the authors state none; cite their paper",
        notes=(),  # that the file does not give its time step is known of MD17
    )
    if name != "benzene":
        return trajectory
    return trajectory.noted(
        "the benzene of MD17 drifts by up to 190 Å, and its frames behave as if they were 0.17 fs "
        "apart and not 0.5 fs: figures on it do not compare with those of the other molecules"
    )


def read_rmd17(name: str, options: FolderOptions, report: Report = silent) -> Trajectory:
    """A trajectory of rMD17 (Christensen and von Lilienfeld, MLST 1, 045018, 2020) in its order.

    rMD17 has a part of MD17's frames, shuffled. Each is put back to its place in time, which
    ``old_indices`` tells; the places between that rMD17 leaves out are marked as missing.

    Args:
      name: one of MOLECULES.
      options: the folder where rmd17_NAME.npz or rmd17.tar.bz2 is; without it the archive is
        downloaded, once, to the folder md17 of the cache.
      report: receives the progress of the download.

    Returns:
      The trajectory with all its atoms, positions [frames, N, 1, 3] in Å, float32, from the first
      to the last frame that is known.

    Raises:
      DataError: there is no such molecule or file, it cannot be downloaded, or it is damaged or
        without the order of its frames.
    """
    _check_name(name, "rMD17")
    file = f"rmd17_{name}.npz"
    cached = cache_folder() / "md17" / file
    if options.folder is not None:
        inside = (file, f"npz_data/{file}", f"rmd17/npz_data/{file}", "rmd17.tar.bz2")
        path = _find(Path(options.folder), inside)
        if path.suffix == ".bz2":
            path = _extracted(path, file, cached)
    else:
        archive = cached.with_name("rmd17.tar.bz2")
        if not cached.exists():
            fetch(RMD17_URLS, archive, sha256=RMD17_HASH, report=report)
        path = _extracted(archive, file, cached)
    numbers, coords, indices = _rmd17_arrays(path)
    _check_formula(path, name, numbers)
    first = int(indices.min())
    frames = int(indices.max()) - first + 1
    positions = np.full((frames, len(numbers), 1, 3), np.nan, np.float32)
    positions[indices - first, :, 0] = coords
    missing = np.ones(frames, bool)
    missing[indices - first] = False
    return Trajectory.from_arrays(
        positions,
        atomic_numbers=numbers,
        frame_step=STEP,
        time_unit="fs",
        missing=missing if missing.any() else None,
        source=str(path),
        provenance=f"rMD17 {name}: frames of MD17 (500 K, {STEP} fs; S. Chmiela et al., Science "
        f"Advances 3, e1603015, 2017) chosen by A. S. Christensen and O. A. von Lilienfeld, "
        f"Mach. Learn.: Sci. Technol. 1, 045018 (2020)",
        licence="CC0 1.0 (figshare 10.6084/m9.figshare.12672038)",
        notes=(
            f"rMD17 is a shuffled part of the trajectory: its {len(indices)} frames were put back "
            f"in order by old_indices, and {int(missing.sum())} of the {frames} frames from "
            f"{first} to {first + frames - 1} are missing",
        ),
    )


def _check_name(name: str, collection: str) -> None:
    if name not in MOLECULES:
        raise DataError(
            f"{name!r} is not a molecule of {collection}; known are {', '.join(MOLECULES)}"
            f"{did_you_mean(name, MOLECULES)}"
        )


def _check_formula(path: Path, name: str, numbers: np.ndarray | None) -> None:
    """Refuses a file of another molecule under this one's name."""
    found = "nothing with atomic numbers"
    if numbers is not None:
        found = Atoms(numbers=numbers).get_chemical_formula(mode="hill")
    if found != MOLECULES[name].formula:
        raise DataError(
            f"{path}: holds {found}, but {name} is {MOLECULES[name].formula}; get the right file"
        )


def _find(folder: Path, files: tuple[str, ...]) -> Path:
    """The first of the files that is in the folder."""
    for file in files:
        if (path := folder / file).is_file():
            return path
    raise DataError(
        f"{folder}: has none of {', '.join(files)}; give the folder of one of them as "
        f"--read.folder, or leave that out to download it"
    )


def _extracted(archive: Path, file: str, target: Path) -> Path:
    """One member of the archive, by its last name, under the path ``target``, if not there yet."""
    if target.exists():
        return verified(target)
    try:
        with tarfile.open(archive, "r:bz2") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                # The member is only read, never put where its own name says.
                if name.name == file and member.isfile() and ".." not in name.parts:
                    content = tar.extractfile(member).read()
                    break
            else:
                raise DataError(
                    f"{archive}: has no file {file}; it is not the archive of rMD17, get that one"
                )
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(
            f"{archive}: cannot be unpacked, it may be damaged ({io.cause(error)}); delete it to "
            f"download it again"
        ) from error
    io.write_atomic(target, lambda partial: partial.write_bytes(content))
    return verified(target)


def _rmd17_arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atomic numbers [N] int64, positions [frames, N, 3] and places in time [frames] int64."""
    arrays = npz.read_npz(path, _KEYS, wanted=(), error=DataError)
    numbers, coords, indices = (arrays[key] for key in _KEYS)
    if coords.dtype.kind != "f" or coords.ndim != 3 or coords.shape[2] != 3 or not coords.size:
        raise DataError(
            f"{path}: coords is {coords.dtype}{list(coords.shape)}, expected real numbers "
            f"[frames, atoms, 3]"
        )
    for key, values, count in (("nuclear_charges", numbers, 1), ("old_indices", indices, 0)):
        whole = values.dtype.kind in "iuf" and np.array_equal(values, np.round(values))
        if not whole or values.shape != (coords.shape[count],):
            raise DataError(
                f"{path}: {key} is {values.dtype}{list(values.shape)}, expected "
                f"{coords.shape[count]} integers, since coords is {list(coords.shape)}"
            )
    numbers, indices = numbers.astype(np.int64), indices.astype(np.int64)
    if numbers.min() < 1 or numbers.max() > 118:
        raise DataError(f"{path}: nuclear_charges are {numbers.tolist()}, expected 1 to 118")
    # Each frame needs a place in time of its own.
    wrong = np.flatnonzero((indices < 0) | (indices >= _LONGEST))
    if wrong.size:
        raise DataError(
            f"{path}: old_indices of frame {wrong[0]} is {indices[wrong[0]]}, expected 0 to "
            f"{_LONGEST - 1}; get the file in rmd17.tar.bz2"
        )
    order = np.argsort(indices, kind="stable")
    twice = np.flatnonzero(np.diff(indices[order]) == 0)
    if twice.size:
        one, other = order[twice[0]], order[twice[0] + 1]
        raise DataError(
            f"{path}: frames {one} and {other} both have {indices[one]} in old_indices; get the "
            f"file in rmd17.tar.bz2"
        )
    return numbers, coords, indices

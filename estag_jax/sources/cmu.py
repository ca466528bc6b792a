"""Trials of the CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu, 120 Hz.

The published sets are walk (subject 35), run (subject 9) and basketball (subject 102). Their split
numbers the trials as the released program found its files, in no order: in the public copy of the run
set, numbers 1 and 7 are trials 7 and 3. The full order is not known, so here trials are numbered in
order. The published split thus has the published rule and sizes, but its trials may be others.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import PublishedTrials, Trajectory
from estag_jax.io import Report, silent, write_text
from estag_jax.sources.download import NotThere, fetch, folder_of
from estag_jax.sources.files.motion import UP, acclaim_step
from estag_jax.sources.mocap import Skeleton, positions, read_amc, read_asf
from estag_jax.sources.options import MocapOptions

URL = "http://mocap.cs.cmu.edu/subjects/{path}"
"""Where the database keeps its files."""

GAP = 3
"""So many trials in a row that are not there are taken for the end of a subject's trials."""


@dataclasses.dataclass(frozen=True)
class TrialSet:
    """A published set of trials of one subject.

    Args:
      subject: its number as in file names.
      trials: numbers of the trials; none for all that are there.
      published: the split, which numbers them from 0; None where the set itself is not published.
      cut: by trial, how many frames the released program leaves out at the start.
    """

    subject: str
    trials: tuple[int, ...] = ()
    published: PublishedTrials | None = None
    cut: dict[int, int] = dataclasses.field(default_factory=dict)


SETS = {
    "walk": TrialSet(
        subject="35",
        trials=(*range(1, 17), *range(28, 35)),
        published=PublishedTrials(
            train=(20, 1, 17, 13, 14, 9, 4, 2, 7, 5, 16),
            validation=(3, 8, 11, 12, 15, 18),
            test=(6, 19, 21, 0, 22, 10),
            each=100,
            below=300,
        ),
    ),
    "run": TrialSet(
        subject="09",
        trials=tuple(range(1, 12)),
        published=PublishedTrials(
            train=(1, 2, 5, 6, 10), validation=(0, 4, 9, 8), test=(3, 7), each=50, below=70
        ),
        cut={10: 6},
    ),
    # The paper takes 24 of these (12, 6 and 6; 100 starts below 120 in each) and does not say which;
    # trial 9 is a calibration.
    "basketball": TrialSet("102", trials=(*range(1, 9), *range(10, 34)), cut={10: 6}),
}
"""The published sets by name."""


def read(name: str, options: MocapOptions, report: Report = silent) -> Trajectory:
    """Reads trials of one subject, one run each, from SUBJECT/SUBJECT.asf and SUBJECT/SUBJECT_NN.amc.

    Args:
      name: walk, run, basketball, or the number of a subject for all of its trials that are there.
      options: the folder that has one for each subject, as on the server; without it the files are
        downloaded, once, to the folder cmu of the cache.
      report: receives the progress of the download.

    Returns:
      The trajectory, positions [frames, joints, 1, 3] float64 in the unit of the skeleton, where they
      are in the file. The released program subtracts from each trial the mean of all its
      coordinates, one number for x, y and z; ``sources.load`` centres each trial by coordinate. The
      program also drops the last frame; here it is kept, and the published split leaves it out.

    Raises:
      DataError: there is no such set, a file is missing or bad.
    """
    chosen = _chosen(name)
    subject, cut = chosen.subject, chosen.cut
    folder = folder_of(options, "cmu")
    if options.folder is None:
        download(name, folder, report)
    base = folder / subject
    skeleton = read_asf(base / f"{subject}.asf")
    there = _trials(base, subject)
    wanted = chosen.trials or tuple(there)
    trials = [trial for trial in wanted if trial in there]
    if not trials:
        raise DataError(
            f"{base}: has no {subject}_NN.amc of {name}; download trials from mocap.cs.cmu.edu and "
            f"give the folder above as --read.folder"
        )
    runs = [_run(skeleton, there[trial], cut.get(trial, 0)) for trial in trials]
    absent = [trial for trial in wanted if trial not in there]
    notes = [
        f"the first {cut[trial]} frames of trial {trial} left out, as published"
        for trial in trials
        if trial in cut
    ]
    if absent:
        notes.append(
            f"trials {', '.join(map(str, absent))} of {name} are not in {base} and left out"
            + ("; without them there is no published split" if chosen.published else "")
        )
    elif chosen.published:
        notes.append(
            "the published split numbers trials in an order that is not known; here it is that of "
            "their numbers"
        )
    (step, unit), said = acclaim_step(f"cmu:{name}", options)
    if name not in SETS or options.frame_step is not None:
        notes += said
    return Trajectory.from_arrays(
        np.concatenate(runs)[:, :, None],
        names=skeleton.names,
        frame_step=step,
        time_unit=unit,
        length_unit="asf unit",
        bonds=skeleton.edges,
        vectors=UP,
        lengths=tuple(map(len, runs)),
        run_names=tuple(there[trial].stem for trial in trials),
        published=None if absent else chosen.published,
        source=f"{base}: {name}",
        provenance=f"CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu), subject "
        f"{int(subject)}, {len(trials)} trials; created with funding from NSF "
        f"EIA-0196217; an asf unit is {2.54 / skeleton.inch:.2f} cm",
        licence="free for all uses, but not to be resold as data (mocap.cs.cmu.edu)",
        notes=tuple(notes),
    )


def download(name: str, folder: Path, report: Report = silent) -> None:
    """Brings the files of a set or subject to a folder, once.

    Which trials a subject has is known to the server alone: they are asked for one after another
    until ``GAP`` of them in a row are not there. A trial of a set that is not there is left to
    ``read``, which reports them. When all are there, NAME.complete records it and nothing is requested again.

    Args:
      name: walk, run, basketball, or the number of a subject.
      folder: where ``read`` will look.
      report: receives the bytes downloaded of each file.

    Raises:
      DataError: there is no such set or subject, or a file cannot be downloaded.
    """
    chosen = _chosen(name)
    subject = chosen.subject
    base = folder / subject
    complete = base / f"{name}.complete"
    if complete.exists():
        return
    fetch(URL.format(path=f"{subject}/{subject}.asf"), base / f"{subject}.asf", report=report)
    found, absent = [], 0
    for trial in chosen.trials or range(1, 1000):
        file = f"{subject}_{trial:02d}.amc"
        try:
            fetch(URL.format(path=f"{subject}/{file}"), base / file, report=report)
            found.append(file)
            absent = 0
        except NotThere:
            absent += 1
            if absent == GAP and not chosen.trials:
                break
    write_text(complete, "\n".join(found) + "\n")


def _chosen(name: str) -> TrialSet:
    """A published set, or all trials of a subject."""
    if name in SETS:
        return SETS[name]
    if not re.fullmatch("[0-9]{1,3}", name) or not int(name):
        raise DataError(
            f"cmu:{name}: there is no such set; known are {', '.join(SETS)} and numbers of subjects, "
            f"for example cmu:35"
        )
    return TrialSet(f"{int(name):02d}")


def _trials(base: Path, subject: str) -> dict[int, Path]:
    """The trials that are there, by number and in this order."""
    found = (re.fullmatch(rf"{subject}_([0-9]+)\.amc", path.name) for path in base.iterdir())
    return dict(sorted((int(match[1]), base / match[0]) for match in found if match))


def _run(skeleton: Skeleton, path: Path, cut: int) -> np.ndarray:
    """The positions of one trial [frames, joints, 3]."""
    frames = positions(skeleton, read_amc(path))[cut:]
    if len(frames) < 2:
        raise DataError(f"{path}: has {len(frames) + cut} frame(s), too few; delete the file")
    return frames

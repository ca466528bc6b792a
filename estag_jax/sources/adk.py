"""Adenylate kinase: the published equilibrium run, and biased transitions that come with a package."""

from __future__ import annotations

import dataclasses

from estag_jax.data.system import needed
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, silent
from estag_jax.sources.download import fetch, folder_of
from estag_jax.sources.files import reader
from estag_jax.sources.options import FileOptions, FolderOptions, NoOptions


def read_equilibrium(name: str, options: FolderOptions, report: Report = silent) -> Trajectory:
    """The equilibrium run of the published protocol: 4187 frames of 240 ps, backbone of 213 residues.

    S. Seyler and O. Beckstein, figshare (2017), doi:10.6084/m9.figshare.5108170.v1. MDAnalysisData
    knows where the two files are and their SHA-256. Its own download compares the hash only right
    after it, and writes under the final name, so that it would take what an interrupted download left
    for the whole file the next time; hence the download is not left to it.

    Args:
      name: none.
      options: the folder where the files are or go, for example MDAnalysisData's adk_equilibrium.
      report: receives the progress of the download and of reading.

    Returns:
      The trajectory, without a graph; positions [4187, 213, 4, 3] in Å, features four charges.

    Raises:
      DataError: MDAnalysisData is missing, or the files cannot be downloaded.
    """
    archive = needed("MDAnalysisData.adk_equilibrium", "adk:", "'estag_jax[md]'").ARCHIVE
    folder, remotes = folder_of(options, "adk"), (archive["topology"], archive["trajectory"])
    topology, run = (
        fetch(remote.url, folder / remote.filename, sha256=remote.checksum, report=report)
        for remote in remotes
    )
    return dataclasses.replace(
        reader.read(f"{topology},{run}", FileOptions(nodes="residues"), report),
        published="time",
        source="adk",
        provenance="adenylate kinase at equilibrium, CHARMM27 in explicit water, 300 K, 1 bar, "
        "superimposed on its CORE domain; doi:10.6084/m9.figshare.5108170.v1",
        licence="CC BY 4.0",
    )


def read_dims(name: str, options: NoOptions, report: Report = silent) -> Trajectory:
    """Three biased transitions of adenylate kinase, 98, 102 and 100 frames, backbone of 213 residues.

    The first two are by dynamic importance sampling (DIMS), the third is targeted dynamics (NAMD).
    That one has its own topology, which puts the side chains of histidines in another order;
    backbones and their charges are the same, atom by atom.

    Returns:
      The trajectory, without a graph; positions [300, 213, 4, 3] in Å, features four charges.

    Raises:
      DataError: MDAnalysisTests is missing.
    """
    files = needed("MDAnalysisTests.datafiles", "adk-dims:", "MDAnalysisTests")
    spec = ",".join((files.PSF, files.DCD, files.DCD2, files.DCD_NAMD_GBIS))
    as_frames = FileOptions(nodes="residues", frame_step="1 frame")
    trajectory = reader.read(spec, as_frames, report)
    return dataclasses.replace(
        trajectory,
        run_names=("dims", "dims-2", "targeted"),
        source="adk-dims",
        provenance="biased transitions of adenylate kinase, adk.psf with adk_dims.dcd, adk_dims2.dcd "
        "and adk_gbis_tmd-fast1_NAMD.dcd of the package MDAnalysisTests",
        licence="LGPL 3 or later (MDAnalysisTests)",
        notes=(
            "time is counted in frames: the runs are driven, and their headers say 1, 1 and 0.01 ps",
            *(note for note in trajectory.notes if not note.startswith("the time step")),
        ),
    )

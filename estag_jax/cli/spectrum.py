"""``estag spectrum``: what moves at which frequency, and whether learned filters look there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from estag_jax.cli.main import UsageError, check_out
from estag_jax.data.settings import DEFAULT_GRAPH, GraphConfig
from estag_jax.io import FileError, slug
from estag_jax.sources.catalog import DEFAULT_READ, ReadConfig, load

if TYPE_CHECKING:
    import numpy as np

    from estag_jax.evaluation.spectra import Spectra


def spectrum(
    what: tyro.conf.Positional[str],
    *,
    data: tuple[str, ...] = (),
    read: ReadConfig = DEFAULT_READ,
    graph: GraphConfig = DEFAULT_GRAPH,
    harmonic: str | None = None,
    surrogates: int = 500,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Say at which frequencies nodes and Fourier filters act.

    Args:
      what: Folder of a run, or SOURCE[:NAME] of estag data list, or a path of data.
      data: Where the data of a run are, if they are no longer where they were.
      read: How data are read; a run has its own.
      graph: Which nodes are joined; a run has its own.
      harmonic: A molecule (aspirin, a SMILES, an .xyz file) whose harmonic frequencies by GFN2-xTB are
        shown too.
      surrogates: Of the null of the score.
      seed: Of the surrogates.
      out: PNG; default: spectrum.png in the run's figures, or in runs/data/.
    """
    import numpy as np

    from estag_jax.cli.output import print_facts
    from estag_jax.cli.progress import Display
    from estag_jax.data.task import Task
    from estag_jax.evaluation.filters import learned_filters, peak_score
    from estag_jax.evaluation.spectra import peaks, spectra
    from estag_jax.report.filters import filters_figure
    from estag_jax.report.spectrum import frequency_text
    from estag_jax.runs import folder
    from estag_jax.runs import readers as runs

    if surrogates < 200:
        raise UsageError(f"--surrogates is {surrogates}, it must be at least 200")
    if out is not None:
        check_out(out, what, *data, *(Path(what) / name for name in folder.KEPT))
    filters = None
    if folder.is_run(Path(what)):
        forecaster = runs.load(Path(what))
        _, task = runs.load_task(Path(what), data)
        runs.check_same_system(forecaster, task, Path(what))
        filters = learned_filters(forecaster.predictor, task)
        path = out or Path(what) / folder.FIGURES / "spectrum.png"
    else:
        with Display() as shown:
            task = Task(load(what, graph, read, shown.report))
        path = out or Path("runs/data") / f"{slug(what)}_filters.png"
    found = spectra(task)
    trajectory, unit = task.trajectories[0], task.trajectories[0].time_unit
    lines = _harmonic(harmonic) if harmonic else None
    print_facts(
        {
            "data": trajectory.source,
            "windows": f"{task.window}: bins {frequency_text(found.bins[0], unit)} apart, up to "
            f"{frequency_text(found.bins[-1], unit)}",
            "strongest": ", ".join(frequency_text(f, unit) for f in peaks(found)),
            "repeats at": _period(found, unit),
            "harmonic": "" if lines is None else ", ".join(f"{f:.0f}" for f in lines) + " cm⁻¹",
        }
    )
    if filters is not None:
        score = peak_score(filters, found.power, found.cycles, surrogates, seed)
        verdict = "more than chance" if score.p < 0.05 else "no more than chance"
        print(
            f"filters pick the peaks of the motion {verdict}: correlation {score.value:.3f}, p = "
            f"{score.p:.3g} ({surrogates} surrogates of {np.mean(score.null):.3f} ± "
            f"{np.std(score.null):.3f})"
        )
    elif folder.is_run(Path(what)):
        print("the method has no Fourier filters, so there is nothing to score")
    try:
        filters_figure(found, filters, trajectory.system, unit, path, trajectory.source, lines)
    except FileError as error:
        if out is not None:
            raise
        print(f"no figure: {error}")
        return
    print(f"figure: {path}")


def _harmonic(name: str) -> np.ndarray:
    from estag_jax.simulate.harmonic import of_molecule

    frequencies, _ = of_molecule(name)
    return frequencies[6:]


def _period(found: Spectra, unit: str) -> str:
    """The frequency of which others are multiples: of a walk that of the stride."""
    if unit != "s":
        return ""
    from estag_jax.evaluation.spectra import fundamental

    base, share = fundamental(found.frequencies, found.total)
    fine = found.frequencies[1] / 2
    return f"{base:.2f} ± {fine:.2f} Hz, whose first four multiples hold {share:.0%} of the power"

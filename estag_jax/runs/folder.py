"""A run's folder: what it holds, and what may be deleted.

run.json        format, settings, label, fingerprint of the data, names of the run's files: a folder with it
                is a run
forecaster.npz  the best forecaster so far (estag_jax.load reads this file alone)
checkpoints/    the state of training, for --resume (runs.checkpoint)
checkpoints.sums  SHA-256 of its files
metrics.jsonl   one object per evaluation
metrics.earlier.jsonl  evaluations of epochs that were trained again from an earlier checkpoint
result.json     the evaluation (evaluation.result)
table.md        its table
figures/        pictures
report.html     of estag report
lock            who is writing (runs.lock)

Readers write nothing. A file is whole or not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from estag_jax.config import from_dict, to_dict, version_fault
from estag_jax.disk import unwritable
from estag_jax.evaluation.result import Result
from estag_jax.io import FileError, read_json, write_json, write_text

if TYPE_CHECKING:  # all methods and jax, which what a folder says by itself does not need
    from estag_jax.runs.settings import RunConfig

RUN, FORECASTER, CHECKPOINTS = "run.json", "forecaster.npz", "checkpoints"
SUMS, EARLIER = f"{CHECKPOINTS}.sums", "metrics.earlier.jsonl"
METRICS, RESULT, TABLE = "metrics.jsonl", "result.json", "table.md"
FIGURES, REPORT, LOCK = "figures", "report.html", "lock"
DRAWN = tuple(f"{FIGURES}/{name}.png" for name in ("loss", "overlay", "rollout", "spectrum"))
KEPT = (FORECASTER, CHECKPOINTS, SUMS, METRICS, EARLIER, RESULT, TABLE, RUN)
"""What no picture or page may be written over. RUN last: without it the folder is no run."""

FILES = (*DRAWN, REPORT, *KEPT)
"""All that a run of this version writes, as run.json names it."""


def sums_of(checkpoints: Path) -> Path:
    """The file of the SHA-256 of the files in a folder of checkpoints: beside it."""
    return checkpoints.with_name(SUMS.replace(CHECKPOINTS, checkpoints.name))


PREVIOUS = ".previous"
"""Where an earlier run is kept until the one of --overwrite has a forecaster."""

FORMAT, VERSION = "estag_jax run", 1


class RunError(ValueError):
    """A run's folder cannot be used as asked; the message is one line for the user."""


class Unwritable(RunError):
    """A disk refuses to write; the message names the file and what helps."""


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run of this version: by what run.json says."""
    try:
        saved = read_json(folder / RUN)
    except FileError:
        return False
    return isinstance(saved, dict) and saved.get("format") == FORMAT


def read_run(folder: Path) -> tuple[RunConfig, dict[str, Any]]:
    """The settings of a run, and what else run.json holds.

    Raises:
      RunError: the folder holds no run, or one of another version.
    """
    from estag_jax.runs.settings import RunConfig

    saved = _saved(folder)
    try:
        return from_dict(RunConfig, saved["config"]), saved
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / RUN}: {error}") from None


def read_as_written(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """The label and the settings of a run as they were written, without loading the methods.

    Returns:
      None where run.json is of an earlier version or has been changed since: its settings must be
      checked, by :func:`read_run`.

    Raises:
      RunError: the folder holds no run, or one of another version.
    """
    saved = _saved(folder)
    given = {name: saved.get(name) for name in ("label", "config")}
    return (given["label"], given["config"]) if saved.get("sha256") == _sum(given) else None


def _saved(folder: Path) -> dict[str, Any]:
    """What run.json holds, of this format."""
    path = folder / RUN
    if not path.exists():
        if (folder / "config.json").exists() and (folder / "system.npz").exists():
            raise RunError(
                f"{folder}: holds a run of estag_jax before version 0.2, which this one cannot read; "
                f"train again into another folder, or install estag_jax 0.1 to use it"
            )
        kind = "holds no run" if folder.is_dir() else "is not the folder of a run"
        raise RunError(f"{folder}: {kind} (there is no {RUN} in it)")
    saved = read_json(path, RunError)
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise RunError(f"{path}: is not the file of a run of estag_jax")
    if why := version_fault(saved.get("version"), VERSION):
        raise RunError(f"{path}: {why}")
    return saved


def write_run(folder: Path, config: RunConfig, label: str, **about: Any) -> None:
    """Makes the folder a run.

    Args:
      folder: the folder.
      config: all settings.
      label: the name of its method in its table.
      **about: further facts.
    """
    given = {"label": label, "config": to_dict(config)}
    saved = {"format": FORMAT, "version": VERSION, **given, "sha256": _sum(given), "files": FILES}
    write_json(folder / RUN, saved | about)


def _sum(given: dict[str, Any]) -> str:
    """Of settings as JSON holds them."""
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def read_result(folder: Path) -> Result | None:
    """The evaluation of a run, None where it has none yet.

    Raises:
      RunError: the file is damaged.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        return Result.from_dict(read_json(path, RunError))
    except ValueError as error:
        raise RunError(f"{path}: {error}") from None


def append_metrics(folder: Path, evaluation: dict[str, Any]) -> None:
    """Adds one evaluation's line."""
    try:
        with (folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(evaluation, allow_nan=False) + "\n")
    except OSError as error:
        raise Unwritable(f"{unwritable(folder / METRICS, error)}, then add --resume") from None


def begin_metrics(folder: Path, log: list[dict[str, Any]]) -> None:
    """Begins the evaluations of a training that goes on; later ones of before are kept in EARLIER.

    Raises:
      RunError: evaluations were made, and no checkpoint was there to go on from.
    """
    before = read_metrics(folder)
    reached = log[-1]["epoch"] if log else 0
    lost = [line for line in before if line["epoch"] > reached]
    if len(lost) > 1 and not log:
        raise RunError(
            f"{folder}: was trained for {before[-1]['epoch']} epochs and has no checkpoint; add --overwrite "
            f"to start again"
        )
    if lost:
        with (folder / EARLIER).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, allow_nan=False) + "\n" for line in lost)
    lines = (json.dumps(line, allow_nan=False) + "\n" for line in log)
    write_text(folder / METRICS, "".join(lines))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The evaluations so far; lines that are torn or damaged are left out."""
    path, evaluations = folder / METRICS, []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            evaluation = json.loads(line)
            if _is_evaluation(evaluation):
                evaluations.append(evaluation)
    return evaluations


def _is_evaluation(line: Any) -> bool:
    if not isinstance(line, dict) or type(line.get("epoch")) is not int:
        return False
    return all(
        isinstance(line.get(name), float | None) for name in ("train_loss", "validation_mse")
    )


def files(folder: Path) -> tuple[str, ...]:
    """The names of the files of a run, RUN last: nothing else in its folder is ever moved or deleted.

    They are those that run.json names; where it names none (an older run), those of this version.

    Raises:
      RunError: a name leads out of the folder.
    """
    try:
        paths = [PurePosixPath(name) for name in read_json(folder / RUN)["files"]]
    except (FileError, KeyError, TypeError):
        return FILES
    for path in paths:
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise RunError(
                f"{folder / RUN}: names {path} as a file of the run, which lies elsewhere"
            )
    return (*(str(path) for path in paths if str(path) != RUN), RUN)


def set_aside(folder: Path) -> None:
    """Moves the run that is there to PREVIOUS, for a new one to take its place.

    Raises:
      RunError: something else lies among its checkpoints, or run.json names what is not its own.
    """
    own = files(folder)
    if others := _among_checkpoints(folder / CHECKPOINTS):
        raise RunError(
            f"{folder / CHECKPOINTS}: holds {others[0]}, which no run wrote; move it elsewhere first"
        )
    _delete(folder / PREVIOUS)
    (folder / PREVIOUS).mkdir()
    _move(folder, folder / PREVIOUS, reversed(own))


def forget_previous(folder: Path) -> None:
    """Deletes the run that was set aside, once the new one has a forecaster."""
    _delete(folder / PREVIOUS)


def bring_back(folder: Path) -> None:
    """Puts a run that was set aside back, where the new one was killed before it had a forecaster."""
    own, before = folder / RUN, folder / PREVIOUS / RUN
    if before.exists() and not (own.exists() and (folder / FORECASTER).exists()):
        # Without run.json what lies here is of the earlier run, whose way there or back was cut short.
        for name in files(folder) if own.exists() else ():
            _delete(folder / name)
        _move(folder / PREVIOUS, folder, files(folder / PREVIOUS))
        _delete(folder / PREVIOUS)


def _move(here: Path, there: Path, names: Iterable[str]) -> None:
    """Moves files, and takes along the folders that they leave empty."""
    for path in filter(Path.exists, (here / name for name in names)):
        target = there / path.relative_to(here)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    with contextlib.suppress(OSError):  # there is none, or a user's own files are in it
        (here / FIGURES).rmdir()


def _among_checkpoints(folder: Path) -> list[str]:
    """What neither orbax nor runs.checkpoint call a state, or the facts about all."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(n for n in names if not (n[:1].isdigit() or n.startswith("metadata")))


def foreign(folder: Path) -> list[str]:
    """What lies in a folder besides the files of a run and leftovers of their writing."""
    if not folder.is_dir():
        return []
    own = (*(PurePosixPath(name).parts[0] for name in FILES), LOCK, PREVIOUS)
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in own
        and not (path.name.endswith(".partial") and path.name.startswith(own))
    )


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""The outcome of an evaluation: the one schema of result.json, table cells, figures and reports."""

from __future__ import annotations

import dataclasses
import platform
import reprlib
from importlib.metadata import version
from typing import Any, Literal, TypedDict

from estag_jax.config import conforms, from_dict, version_fault

FORMAT = 1
PACKAGES = ("estag_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
CALIBRATION = ("covers_90", "nats", "error_bar")
"""Names of the figures of error bars, in the order of the tables."""


class _Mean(TypedDict):
    mean: float
    seeds: list[float]


class _Metric(_Mean, total=False):
    standard_error: float | None
    blocks: list[float]


class _Window(TypedDict):
    past: int
    delta: int


class _Windows(TypedDict):
    train: int
    validation: int
    test: int


class _Share(TypedDict):
    share: float


class _Overlap(TypedDict):
    test: _Share


class _Task(TypedDict):
    source: str
    provenance: str
    length_unit: str
    nodes: int
    channels: int
    edges: int
    window: _Window
    windows: _Windows
    split: str | list[str]
    overlap_with_train: _Overlap


class _Data(_Task, total=False):
    systems: int
    blocks: list[int]


class _Forecasts(TypedDict):
    median: list[float | None]
    diverged: list[float]


class _Rollout(TypedDict, total=False):
    steps: int
    windows: int
    predictors: dict[str, _Forecasts]


class _About(TypedDict, total=False):
    notes: list[str]
    seconds: dict[str, float]
    config: dict[str, Any]


_READ = {"data": _Data, "rollout": _Rollout, "versions": dict[str, str], "about": _About}
"""What readers rely on in the dictionaries of a result."""


def _device_name() -> str:
    # Imported here: a result that is only read needs no jax, which takes a second to load.
    from estag_jax.ops.sharding import device_name

    return device_name()


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one task.

    Args:
      name: of the method in a table.
      data: of the task in a table; "" where there is one.
      status: finished; skipped or failed, with the reason.
      reason: one line.
      metrics: by name: ``mean`` over the test windows (and the seeds), its ``standard_error`` over
        windows (which overlap, so it is a lower bound), and ``seeds``, the mean of each seed; of mse
        also ``blocks``, what each block of time adds to the mean (evaluation.compare). Metrics of
        further horizons are named mse@5.
      parameters: how many numbers were fitted.
      settings: of the method.
      chosen: by the fit, from the data.
      published: the figure of the published tables, or None.
      equivariant: exactly; None where it is not known.
      seeds: that have a figure; empty for a closed form.
      diverged: those that have none.
      validation_mse, best_epoch: of each seed.
      epochs: that were run.
      seconds: compile and train, or fit.
      device: what computed.
    """

    name: str
    data: str = ""
    status: Literal["finished", "skipped", "failed"] = "finished"
    reason: str = ""
    metrics: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    parameters: int = 0
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    chosen: dict[str, Any] = dataclasses.field(default_factory=dict)
    published: float | None = None
    equivariant: bool | None = None
    seeds: list[int] = dataclasses.field(default_factory=list)
    diverged: list[int] = dataclasses.field(default_factory=list)
    validation_mse: list[float] = dataclasses.field(default_factory=list)
    best_epoch: list[int] = dataclasses.field(default_factory=list)
    epochs: int = 0
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    device: str = dataclasses.field(default_factory=_device_name)

    @property
    def mse(self) -> float:
        """Mean squared error on the test windows, in squared length units."""
        return self.metrics["mse"]["mean"]

    @property
    def head(self) -> str:
        """The last step of a network, "" for other methods."""
        return self.settings.get("network", self.settings).get("head", "")


@dataclasses.dataclass(frozen=True)
class Result:
    """Methods evaluated on the test windows of one task.

    Args:
      data: facts about the task, see Task.describe, and ``blocks``, the windows in each block of time.
      rows: one for each method.
      rollout: ``steps``, ``windows`` and by method what evaluation.rollout.rollout_figures says.
      versions: of the packages.
      about: further facts: settings, seconds, key.
    """

    data: dict[str, Any]
    rows: list[Row]
    rollout: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: versions())
    about: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def finished(self) -> list[Row]:
        """The rows that have figures."""
        return [row for row in self.rows if row.status == "finished"]

    def row(self, name: str) -> Row | None:
        """The row of a method, None where there is none."""
        return next((row for row in self.rows if row.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the format's number."""
        return {"format": FORMAT} | dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, saved: Any) -> Result:
        """Reads :meth:`to_dict`.

        Raises:
          ValueError: another or a newer format.
        """
        if not isinstance(saved, dict) or "format" not in saved:
            raise ValueError("is no result: it names no format")
        if why := version_fault(saved["format"], FORMAT):
            raise ValueError(why)
        try:
            fields = {name: value for name, value in saved.items() if name != "format"}
            found = cls(**fields | {"rows": [_row(row) for row in saved["rows"]]})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"is no result: {error}") from None
        for name, hint in _READ.items():
            if not conforms(value := getattr(found, name), hint):
                raise ValueError(f"is no result: {name} is {reprlib.repr(value)}")
        forecast, last = found.rollout.get("predictors"), found.rows[-1:]
        if not last or (found.rollout and last[0].name not in (forecast or ())):
            raise ValueError("is no result: it has no rows, or no rollouts of the last one")
        return found


def _row(saved: dict[str, Any]) -> Row:
    row = from_dict(Row, saved)
    for name, metric in row.metrics.items():
        if not conforms(metric, _Metric):
            raise ValueError(f"{name} of {row.name} is {reprlib.repr(metric)}")
    if row.status == "finished" and "mse" not in row.metrics:
        raise ValueError(f"{row.name} is finished and has no mse")
    return row


def versions() -> dict[str, str]:
    """Of the packages that figures depend on."""
    import jax

    found = {name: version(name) for name in PACKAGES}
    return found | {"python": platform.python_version(), "backend": jax.default_backend()}

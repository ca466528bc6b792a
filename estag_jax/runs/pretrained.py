"""Forecasters that ship with the package.

They lie in data/pretrained: NAME.npz, and index.json with their descriptions, commands and scores. One
more is one entry of that file and ``make pretrained``.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from collections.abc import Mapping

from estag_jax.io import did_you_mean
from estag_jax.models.forecaster import Forecaster


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A forecaster that ships with the package.

    Args:
      about: what it forecasts.
      command: that fitted it.
      fingerprints: of the data that it was fitted to (Trajectory.fingerprint).
      mse: mean squared error on the test windows of that command, in the square of ``unit``.
      unit: of length.
      windows: how many test windows these are.
      unseen: the same error on the test windows of data that it was not fitted to, by source.
    """

    about: str
    command: str
    fingerprints: tuple[str, ...] = ()
    mse: float | None = None
    unit: str = ""
    windows: int = 0
    unseen: Mapping[str, float] = dataclasses.field(default_factory=dict)


FOLDER = importlib.resources.files("estag_jax.data") / "pretrained"
PRETRAINED: dict[str, Pretrained] = {
    name: Pretrained(**entry | {"fingerprints": tuple(entry.get("fingerprints", ()))})
    for name, entry in json.loads((FOLDER / "index.json").read_text(encoding="utf-8")).items()
}
"""The forecasters that ship with the package, by name."""


def load_pretrained(name: str) -> Forecaster:
    """A forecaster that ships with the package; needs no data.

    Args:
      name: one of ``PRETRAINED``.

    Raises:
      ValueError: there is none of that name; names the nearest and all.

    Example:
      >>> load_pretrained("small-molecules").past
      10
    """
    if name not in PRETRAINED:
        raise ValueError(
            f"no pretrained forecaster {name!r}{did_you_mean(name, PRETRAINED)}; there are "
            f"{', '.join(PRETRAINED)}"
        )
    with importlib.resources.as_file(FOLDER / f"{name}.npz") as path:
        return Forecaster.load(path)

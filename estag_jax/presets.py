"""Ready-made settings for ``estag train --preset NAME``; each header says what to expect.

The figures are test errors that the command printed on the machine named there (2 CPU cores unless
said otherwise); last frame and VAR ridge stand in every run's own table.
"""

from __future__ import annotations

import dataclasses

from estag_jax.data.splits import SplitConfig
from estag_jax.nn.egnn import StEgnnConfig
from estag_jax.nn.estag import EstagConfig
from estag_jax.train.settings import RunConfig, TrainConfig


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings with a header for people.

    Args:
      header: what it is; command, time, expected score.
      config: the settings.
    """

    header: str
    config: RunConfig


PAPER_SPLIT = SplitConfig(kind="paper")

PRESETS: dict[str, Preset] = {
    "paper": Preset(
        "ESTAG by the paper's equations, published training settings.",
        RunConfig(),
    ),
    "demo": Preset(
        "the same for fewer epochs on the bundled trajectory, for make demo.",
        RunConfig(train=TrainConfig(epochs=120)),
    ),
    "reference": Preset(
        "ESTAG as the authors' released program computes it, on its own random windows.",
        RunConfig(model=EstagConfig.reference(), split=PAPER_SPLIT),
    ),
    "st_egnn": Preset(
        "an EGNN on every frame, its frames averaged: the closest published baseline.",
        RunConfig(model=StEgnnConfig()),
    ),
}

"""Ready-made settings for ``estag train --preset NAME``; each header says what to expect.

The figures are test errors that the command printed on the machine named there (2 CPU cores unless
said otherwise); last frame and VAR ridge stand in every run's own table.
"""

from __future__ import annotations

import dataclasses

from estag_jax.train.settings import RunConfig


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings with a header for people.

    Args:
      header: what it is; command, time, expected score.
      config: the settings.
    """

    header: str
    config: RunConfig


PRESETS: dict[str, Preset] = {}

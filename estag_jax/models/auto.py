"""Auto: the closed form that suits the data, by the validation windows."""

from __future__ import annotations

import dataclasses

from estag_jax.config import check


@dataclasses.dataclass(frozen=True)
class Auto:
    """The closed form of the catalog with the least error on the validation windows.

    All that can be fitted to the task take part (``ClosedForm.refuse``), the quick ones first, as long
    as their fits take no longer than ``seconds`` together by their own estimates (``ClosedForm.within``).
    No clock is read, so the choice depends on the data alone.

    Args:
      seconds: that the fits may take on one core, about.
    """

    seconds: float = 45.0

    def __post_init__(self):
        check(self, "auto", positive=("seconds",))

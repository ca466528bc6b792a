"""The rows of a table: every compared network by the name that the published tables use."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Literal

from estag_jax.models.agl_stan import AglStanConfig
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.eqmotion import EqMotionConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.registry import ModelConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.st_gnn import GnnConfig
from estag_jax.models.st_se3_transformer import StSe3TransformerConfig
from estag_jax.models.st_tfn import StTfnConfig
from estag_jax.models.stag import StagConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.nn.heads import Head
from estag_jax.runs.published import CLOSED_FORM


@dataclasses.dataclass(frozen=True)
class Row:
    """One network of a table.

    Args:
      config: from the number of channels to the settings of the published comparison.
      published: its name in the published tables; "" where it was not compared.
      equivariant: exactly, to rotations, reflections and translations.
      several_channels: it differs from another row where nodes have several channels only.
    """

    config: Callable[[int], ModelConfig]
    published: str = ""
    equivariant: bool = True
    several_channels: bool = False


def _fixed(config: ModelConfig) -> Callable[[int], ModelConfig]:
    return lambda channels: config


def _per_frame(channels: int) -> StEgnnConfig:
    """The released program's EGNN on every frame. For several channels that is its GMN: the two
    differ by a clamp at 100 units, which does not act."""
    return StEgnnConfig() if channels == 1 else StEgnnConfig.gmn()


def _single(frame: Literal["first", "middle", "last"]) -> Callable[[int], ModelConfig]:
    """The released program's EGNN on one frame; for several channels with other constants."""
    several = EgnnConfig(frame, activation="leaky_relu", clamp=None, coordinate_weight=3.0)
    return lambda channels: EgnnConfig(frame) if channels == 1 else several


ROWS: dict[str, Row] = {
    "EGNN-s": Row(_single("first"), "EGNN-s"),
    "EGNN-m": Row(_single("middle"), "EGNN-m"),
    "EGNN-t": Row(_single("last"), "EGNN-t"),
    "ST_TFN": Row(_fixed(StTfnConfig()), "ST_TFN"),
    "ST_GNN": Row(_fixed(GnnConfig()), "ST_GNN", equivariant=False),
    "ST_SE(3)-Tr": Row(_fixed(StSe3TransformerConfig()), "ST_SE(3)-Tr"),
    "ST_EGNN": Row(_per_frame, "ST_EGNN"),
    "ST_GMN": Row(_fixed(StEgnnConfig.gmn()), "ST_GMN", several_channels=True),
    "EqMotion": Row(_fixed(EqMotionConfig()), "EqMotion"),
    "STGCN": Row(_fixed(StgcnConfig()), "STGCN", equivariant=False),
    "AGL-STAN": Row(_fixed(AglStanConfig()), "AGL-STAN", equivariant=False),
    "STAG": Row(_fixed(StagConfig()), equivariant=False),
    "ESTAG without layers": Row(_fixed(EstagConfig(layers=0))),
    "ESTAG": Row(lambda channels: EstagConfig(edft_channel=min(1, channels - 1)), "ESTAG"),
    "ESTAG as released": Row(lambda channels: EstagConfig.reference(channels), "ESTAG"),
    "EGNN + residual head": Row(
        lambda channels: dataclasses.replace(_per_frame(channels), head="residual")
    ),
    "GMN + residual head": Row(_fixed(StEgnnConfig.gmn(head="residual")), several_channels=True),
}
"""Every network in the order of the tables."""


def choose(names: Sequence[str]) -> dict[str, Row]:
    """Rows by their names, whatever their case and punctuation; all of them for none or ``all``.

    Names of closed-form predictors are known and add nothing: every table has them.

    Raises:
      ValueError: there is no such row; names the nearest.
    """
    if not names or list(names) == ["all"]:
        return dict(ROWS)
    networks = {_key(name): name for name in ROWS}
    known = networks | {_key(name): name for pair in CLOSED_FORM.items() for name in pair}
    chosen = {}
    for name in names:
        key = _key(name)
        if key in networks:
            chosen[networks[key]] = ROWS[networks[key]]
        elif key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f", did you mean {known[near[0]]!r}" if near else ""
            raise ValueError(f"no model {name!r}{hint}; known are {', '.join(known.values())}")
    return chosen


def settings(row: Row, channels: int, head: Head | None) -> ModelConfig:
    """The settings of a row for data with so many channels, with another head if one is given."""
    config = row.config(channels)
    return config if head is None else dataclasses.replace(config, head=head)


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())

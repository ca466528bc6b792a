"""ST_EGNN: the E(n)-equivariant graph network of arXiv 2102.09844, run on every frame."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from estag_jax.models.estag import ESTAG
from estag_jax.nn.config import Head, MessageConfig


@dataclasses.dataclass(frozen=True)
class StEgnnConfig(MessageConfig):
    """ST_EGNN, as ESTAG's authors set it up for the comparison.

    An EGNN shared by all frames with a time embedding; frames combined by learned weights: the network
    of ESTAG without Fourier features and attention. Coordinate messages are averaged over the
    neighbours, along raw x_ij. For C > 1 the invariants are the normalised Gram matrix of x_ij, which
    makes it ST_GMN (:meth:`gmn`).

    Differs from the reference: its edge features also repeat the atomic numbers of both ends, which h
    holds already; a window is moved to the origin and back.
    """

    in_parts: ClassVar[bool] = True

    head: Head = "softmax"
    """How frames become the prediction; the published combination is softmax."""
    clamp: float | None = 100.0
    """Bound on each component of a coordinate message."""
    coordinate_weight: float = 1.0
    """Factor on the coordinate update (3 for proteins in the released program)."""
    # Options of ESTAG, whose module it shares, that are fixed here.
    edft: ClassVar[bool] = False
    attention: ClassVar[bool] = False
    aggregate: ClassVar[Literal["mean"]] = "mean"
    unit_vectors: ClassVar[bool] = False
    equivariant: ClassVar[bool] = True
    turn_in_training: ClassVar[bool] = False

    @classmethod
    def gmn(cls, **overrides) -> StEgnnConfig:
        """ST_GMN, the graph mechanics network (arXiv 2203.06442) without its mechanical constraints.

        Its invariants for C > 1 are the normalised Gram matrix of x_ij, as everywhere here. The
        released program's EGNN for proteins is the same network without the clamp.

        Args:
          **overrides: fields that differ from it.
        """
        return cls(**dict(activation="leaky_relu", coordinate_weight=3.0) | overrides)

    def build(self) -> ESTAG:
        return ESTAG(self)

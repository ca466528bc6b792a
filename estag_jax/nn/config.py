"""What the settings of all networks have in common."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, get_args, get_origin

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.config import Elements, Head, hints_of

Activation = Literal["silu", "leaky_relu"]


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Settings of a network; :meth:`build` makes its Flax module.

    A module made so is called for a batch,

        module.apply(variables, history [B,N,T,C,3], node_features [G,N,F], graph) -> [B,N,C,3]

    with G = 1 (one system, shared by all windows) or G = B. It may also define

    - ``refuse(channels, graph) -> str | None``: why it cannot take a system (too many channels, no edge
      features), in one line; asked before anything is compiled;
    - running statistics: collections besides ``params``, which training makes mutable (a module asks
      ``self.is_mutable_collection``);
    - dropout: training passes a key named ``dropout``.
    """

    in_parts: ClassVar[bool] = False
    """Whether it runs on a part of a graph (ops.halo): it sees other nodes through ops.segment alone."""

    hidden: int = 16
    """Hidden features H."""
    layers: int = 2
    """Layers L."""
    activation: Activation = "silu"
    """Nonlinearity of all perceptrons."""
    head: Head = "residual"
    """How frames become the prediction; residual is ESTAG's own last step."""
    elements: Elements = "one-hot"
    """How atoms enter: one-hot by element, or (released program) the atomic number as one float."""

    def __post_init__(self):
        if self.hidden < 1 or self.layers < 0:
            raise ValueError(
                f"hidden={self.hidden}, layers={self.layers}: hidden must be at least 1, layers at "
                f"least 0"
            )
        for name, hint in hints_of(type(self)).items():
            if get_origin(hint) is Literal and getattr(self, name) not in get_args(hint):
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected one of "
                    f"{', '.join(map(str, get_args(hint)))}"
                )

    def build(self) -> nn.Module:
        """The network, without parameters."""
        raise TypeError(f"{type(self).__name__} does not define build()")


@dataclasses.dataclass(frozen=True)
class MessageConfig(NetworkConfig):
    """Settings of networks made of the shared messages and attention (ESTAG, ST_EGNN, EGNN)."""

    edges_at_once: int | None = None
    """Edges of a window that are computed at once; None: all, on large graphs what the cache holds."""
    bfloat16_features: bool = False
    """Features of nodes and edges in bfloat16; coordinates and parameters keep their precision."""

    def __post_init__(self):
        super().__post_init__()
        if self.edges_at_once is not None and self.edges_at_once < 1:
            raise ValueError(f"edges_at_once is {self.edges_at_once}, it must be at least 1")

    def lowered(self, features: jax.Array) -> jax.Array:
        """Features in the precision in which they are computed."""
        return features.astype(jnp.bfloat16) if self.bfloat16_features else features

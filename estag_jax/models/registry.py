"""The models by name: the one list to extend when a model is added.

A model is a linen module with a frozen dataclass ``config`` and the call signature
``model.apply(variables, history [N,T,C,3], node_features [N,F], topology) -> [N,C,3]`` for one graph.
It may also define

- ``refuse(channels, topology) -> str | None``: why it cannot take a system (too many channels, no edge
  features), in one line; asked before anything is compiled;
- ``data_init(variables, history [W,N,T,C,3], target [W,N,C,3]) -> variables``, which the training run
  calls once with the training windows (statistics, a closed-form fit);
- running statistics: collections besides ``params``. The training step makes them mutable (a module
  asks ``self.is_mutable_collection``) and names the axis of windows ``layers.WINDOWS`` for reductions;
- dropout: the training step gives every window a key named ``dropout``.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from estag_jax.models.agl_stan import AglStan, AglStanConfig
from estag_jax.models.egnn import Egnn, EgnnConfig
from estag_jax.models.eqmotion import EqMotion, EqMotionConfig
from estag_jax.models.estag import ESTAG, EstagConfig
from estag_jax.models.st_egnn import StEgnn, StEgnnConfig
from estag_jax.models.st_gnn import GnnConfig, StGnn
from estag_jax.models.st_se3_transformer import StSe3Transformer, StSe3TransformerConfig
from estag_jax.models.st_tfn import StTfn, StTfnConfig
from estag_jax.models.stag import Stag, StagConfig
from estag_jax.models.stgcn import Stgcn, StgcnConfig
from estag_jax.types import Array, Topology

ModelConfig = (
    EstagConfig
    | StEgnnConfig
    | EgnnConfig
    | GnnConfig
    | StTfnConfig
    | StSe3TransformerConfig
    | EqMotionConfig
    | StgcnConfig
    | AglStanConfig
    | StagConfig
)

MODELS: dict[str, tuple[type, type[nn.Module]]] = {
    "estag": (EstagConfig, ESTAG),
    "st_egnn": (StEgnnConfig, StEgnn),
    "egnn": (EgnnConfig, Egnn),
    "st_gnn": (GnnConfig, StGnn),
    "st_tfn": (StTfnConfig, StTfn),
    "st_se3_transformer": (StSe3TransformerConfig, StSe3Transformer),
    "eqmotion": (EqMotionConfig, EqMotion),
    "stgcn": (StgcnConfig, Stgcn),
    "agl_stan": (AglStanConfig, AglStan),
    "stag": (StagConfig, Stag),
}


def build(config: ModelConfig) -> nn.Module:
    """The module for a config.

    Raises:
      TypeError: no model is registered for that type.
    """
    for config_type, module_type in MODELS.values():
        if type(config) is config_type:
            return module_type(config)
    raise TypeError(f"no model has a config of type {type(config).__name__}")


def refusal(model: nn.Module, channels: int, topology: Topology) -> str | None:
    """Why a model cannot take nodes of so many channels and this graph, or None."""
    refuse = getattr(model, "refuse", None)
    return None if refuse is None else refuse(channels, topology)


def abstract_variables(
    model: nn.Module, history: jax.ShapeDtypeStruct, node_features: Array, topology: Topology
) -> Any:
    """Shapes and dtypes of a model's variables for histories of a shape; nothing is computed."""
    return jax.eval_shape(model.init, jax.random.key(0), history, node_features, topology)


def model_name(config: ModelConfig) -> str:
    """The registered name of a config's model."""
    return next(name for name, (kind, _) in MODELS.items() if kind is type(config))

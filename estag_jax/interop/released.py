"""Weights of the authors' released PyTorch program, as models of this package."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig


def load_released(
    source: str | os.PathLike | Mapping[str, Any], **overrides: Any
) -> tuple[nn.Module, dict]:
    """Builds ESTAG or ST_EGNN from arrays in the released program's naming.

    Kind, channels, window length, hidden size and layers are read off the arrays. Two switches of
    that program leave no trace in its arrays, causal attention (on here) and the pooling (residual
    here for ESTAG); say otherwise with ``causal=False`` or ``head="softmax"``.

    Args:
      source: an .npz file, or a mapping from names to arrays (a PyTorch ``state_dict`` turned into
        NumPy). Names may carry the prefix ``param/``; other entries of such a file are ignored.
      **overrides: config fields that differ from the released program's defaults.

    Returns:
      (model, variables), for ``model.apply(variables, history [B,N,T,C,3], node_features [G,N,F],
      graph)``. Parameters keep the dtype of the arrays.

    Raises:
      ValueError: an array is missing or has the wrong shape; names it.
    """
    arrays = _Arrays(source)
    estag = arrays.has("egcl_1.edge_mlp.0.weight")
    if not estag and not arrays.has("gcl_0.edge_mlp.0.weight"):
        raise ValueError(
            f"{arrays.label}: holds neither egcl_1.edge_mlp.0.weight (ESTAG) nor "
            "gcl_0.edge_mlp.0.weight (ST_EGNN)"
        )
    past, hidden = arrays["TimeEmbedding.weight"].shape
    layers = arrays.count(r"(?:egcl|gcl)_(\d+)\.edge_mlp\.0\.weight")
    spatial = [f"egcl_{2 * i + 1}" if estag else f"gcl_{i}" for i in range(layers)]
    channels = arrays[f"{spatial[0]}.coord_mlp.2.weight"].shape[0]
    fields: dict[str, Any] = dict(hidden=hidden, layers=layers)
    if estag:
        # Fourier features of the nodes widen the node perceptron.
        fields["edft"] = arrays["egcl_1.node_mlp.0.weight"].shape[1] > 2 * hidden
        fields["attention"] = arrays.has("egcl_at_2.q_mlp.0.weight")
        config = EstagConfig.released(channels, **fields | overrides)
    else:
        if channels > 1:
            fields |= dict(activation="leaky_relu", clamp=None, coordinate_weight=3.0)
        config = StEgnnConfig(**fields | overrides)

    theta = arrays["theta"].reshape(-1)
    if theta.shape != (past,):
        raise ValueError(f"{arrays.label}: theta has {theta.size} weights for {past} frames")
    # The released program also weighs x(T-1) - x(T-1) = 0, which we leave out.
    pooling = {"weights": theta[:-1]} if config.head == "residual" else {"logits": theta}
    embedding = {"features": arrays.linear("embedding"), "time": arrays["TimeEmbedding.weight"]}
    params: dict[str, Any] = {"embedding": embedding, "pooling": pooling}
    if config.edft:
        params["edft"] = {"filter": arrays.linear("attn_mlp.0")}
    for i, name in enumerate(spatial):
        params[f"spatial_{i}"] = arrays.mlps(name, phi_m="edge", phi_x="coord", phi_h="node")
        if config.attention:
            at = f"egcl_at_{2 * i + 2}"
            names = dict(phi_q="q", phi_k="k", phi_v="v", phi_x="coord")
            params[f"temporal_{i}"] = arrays.mlps(at, **names)
    return config.build(), {"params": params}


class _Arrays:
    """Arrays by their name in the released program, with one clear error for a missing one."""

    def __init__(self, source: str | os.PathLike | Mapping[str, Any]):
        if isinstance(source, Mapping):
            self.label, items = "released arrays", dict(source)
        else:
            self.label = os.fspath(source)
            with np.load(source, allow_pickle=False) as file:
                items = dict(file)
        self._items = {name.removeprefix("param/"): np.asarray(a) for name, a in items.items()}

    def has(self, name: str) -> bool:
        return name in self._items

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._items:
            raise ValueError(f"{self.label}: the array {name} is missing")
        return self._items[name]

    def count(self, pattern: str) -> int:
        return sum(re.fullmatch(pattern, name) is not None for name in self._items)

    def linear(self, name: str) -> dict:
        # PyTorch keeps [out, in].
        layer = {"kernel": self[f"{name}.weight"].T}
        if self.has(f"{name}.bias"):
            layer["bias"] = self[f"{name}.bias"]
        return layer

    def mlps(self, module: str, **names: str) -> dict:
        # Entry 1 of a torch Sequential is the activation.
        return {
            ours: {f"layer_{i}": self.linear(f"{module}.{name}_mlp.{2 * i}") for i in range(2)}
            for ours, name in names.items()
        }

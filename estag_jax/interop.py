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
    if arrays.has("egcl_1.edge_mlp.0.weight"):
        return _estag(arrays, overrides)
    if arrays.has("gcl_0.edge_mlp.0.weight"):
        return _st_egnn(arrays, overrides)
    raise ValueError(
        f"{arrays.label}: holds neither egcl_1.edge_mlp.0.weight (ESTAG) nor gcl_0.edge_mlp.0.weight "
        "(ST_EGNN)"
    )


def _estag(arrays: _Arrays, overrides: dict) -> tuple[nn.Module, dict]:
    past, hidden = arrays["TimeEmbedding.weight"].shape
    layers = arrays.count(r"egcl_(\d+)\.edge_mlp\.0\.weight")
    channels = arrays["egcl_1.coord_mlp.2.weight"].shape[0]
    config = EstagConfig.released(
        channels,
        **dict(
            hidden=hidden,
            layers=layers,
            # Fourier features of the nodes widen the node perceptron.
            edft=arrays["egcl_1.node_mlp.0.weight"].shape[1] > 2 * hidden,
            attention=arrays.has("egcl_at_2.q_mlp.0.weight"),
        )
        | overrides,
    )
    params: dict[str, Any] = {
        "embedding": _embedding(arrays),
        "pooling": _pooling(arrays, config.head, past),
    }
    if config.edft:
        params["edft"] = {"filter": arrays.linear("attn_mlp.0")}
    for i in range(layers):
        params[f"spatial_{i}"] = _spatial(arrays, f"egcl_{2 * i + 1}")
        if config.attention:
            at = f"egcl_at_{2 * i + 2}"
            params[f"temporal_{i}"] = {
                "phi_q": arrays.mlp(f"{at}.q_mlp"),
                "phi_k": arrays.mlp(f"{at}.k_mlp"),
                "phi_v": arrays.mlp(f"{at}.v_mlp"),
                "phi_x": arrays.mlp(f"{at}.coord_mlp"),
            }
    return config.build(), {"params": params}


def _st_egnn(arrays: _Arrays, overrides: dict) -> tuple[nn.Module, dict]:
    past, hidden = arrays["TimeEmbedding.weight"].shape
    layers = arrays.count(r"gcl_(\d+)\.edge_mlp\.0\.weight")
    fields: dict[str, Any] = dict(hidden=hidden, layers=layers)
    if arrays["gcl_0.coord_mlp.2.weight"].shape[0] > 1:
        fields |= dict(activation="leaky_relu", clamp=None, coordinate_weight=3.0)
    config = StEgnnConfig(**fields | overrides)
    params = {
        "embedding": _embedding(arrays),
        "pooling": _pooling(arrays, config.head, past),
    } | {f"spatial_{i}": _spatial(arrays, f"gcl_{i}") for i in range(layers)}
    return config.build(), {"params": params}


def _embedding(arrays: _Arrays) -> dict:
    return {"features": arrays.linear("embedding"), "time": arrays["TimeEmbedding.weight"]}


def _pooling(arrays: _Arrays, head: str, past: int) -> dict:
    theta = arrays["theta"].reshape(-1)
    if theta.shape != (past,):
        raise ValueError(f"{arrays.label}: theta has {theta.size} weights for {past} frames")
    # The released program also weighs x(T-1) - x(T-1) = 0, which we leave out.
    return {"weights": theta[:-1]} if head == "residual" else {"logits": theta}


def _spatial(arrays: _Arrays, name: str) -> dict:
    return {
        "phi_m": arrays.mlp(f"{name}.edge_mlp"),
        "phi_x": arrays.mlp(f"{name}.coord_mlp"),
        "phi_h": arrays.mlp(f"{name}.node_mlp"),
    }


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

    def mlp(self, name: str) -> dict:
        # Entry 1 of a torch Sequential is the activation.
        return {"layer_0": self.linear(f"{name}.0"), "layer_1": self.linear(f"{name}.2")}

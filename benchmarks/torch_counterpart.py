"""ESTAG in plain eager PyTorch: what a training step of estag_jax is timed beside.

Written from the equations (arXiv 2405.12868) and the conventions of the released program, as one would
for research: batches are one large graph (nodes and edges of all windows one after another), messages
are summed by ``index_add_``, the spectrum comes from ``torch.fft``. The arrays of all edges of a batch
are made whole, nothing is fused by hand. Options have the names of ``models.estag.EstagConfig``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from flax.traverse_util import flatten_dict
from torch import Tensor, nn
from torch.nn import functional as F


def mlp(inputs: int, hidden: int, outputs: int, act: Callable[[], nn.Module], **last: Any):
    """Two linear layers with an activation between them, and with ``final=True`` one behind."""
    layers = [nn.Linear(inputs, hidden), act(), nn.Linear(hidden, outputs, last.get("bias", True))]
    return nn.Sequential(*layers, act()) if last.get("final") else nn.Sequential(*layers)


def sum_at(values: Tensor, index: Tensor, nodes: int) -> Tensor:
    """Sum of edge values [E, ...] at their receivers [nodes, ...]."""
    return values.new_zeros(nodes, *values.shape[1:]).index_add_(0, index, values)


def degrees(index: Tensor, nodes: int, ndim: int) -> Tensor:
    """Edges of each receiver, at least 1, to divide values of ``ndim`` axes."""
    counts = torch.bincount(index, minlength=nodes).clamp(min=1)
    return counts.reshape(-1, *[1] * (ndim - 1))


class Spatial(nn.Module):
    """Messages between neighbours in every frame."""

    def __init__(self, config: Any, edge: int, node: int, channels: int, act: Callable):
        super().__init__()
        hidden, self.config, self.channels = config.hidden, config, channels
        self.phi_m = mlp(2 * hidden + channels**2 + edge, hidden, hidden, act, final=True)
        self.phi_x = mlp(hidden, hidden, channels, act, bias=False)
        self.phi_h = mlp(2 * hidden + node, hidden, hidden, act)

    def forward(self, h, x, receivers, senders, edges, nodes):
        """h [M, T, H], x [M, T, C, 3], edges [E, F], nodes [M, K] or None."""
        past = h.shape[1]
        x_ij = x[receivers] - x[senders]
        gram = (x_ij @ x_ij.transpose(-1, -2)).flatten(-2)
        if self.channels > 1:
            gram = F.normalize(gram, dim=-1)
        every_frame = edges[:, None].expand(-1, past, -1)
        message = self.phi_m(torch.cat([h[receivers], h[senders], gram, every_frame], dim=-1))
        unit = F.normalize(x_ij, dim=-1) if self.config.unit_vectors else x_ij
        push = unit * self.phi_x(message)[..., None]
        if self.config.clamp is not None:
            push = push.clamp(-self.config.clamp, self.config.clamp)
        moved = sum_at(push, receivers, len(x))
        if self.config.aggregate == "mean":
            moved = moved / degrees(receivers, len(x), moved.ndim)
        parts = [h, sum_at(message, receivers, len(h))]
        if nodes is not None:
            parts.append(nodes[:, None].expand(-1, past, -1))
        return h + self.phi_h(torch.cat(parts, dim=-1)), x + moved


class Temporal(nn.Module):
    """Attention over the past frames of every node."""

    def __init__(self, config: Any, channels: int, act: Callable):
        super().__init__()
        hidden, self.config = config.hidden, config
        self.phi_q, self.phi_k, self.phi_v = (
            mlp(hidden, hidden, hidden, act, final=config.activate_qkv) for _ in range(3)
        )
        self.phi_x = mlp(hidden, hidden, channels, act, bias=False)

    def forward(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """h [M, T, H], x [M, T, C, 3]."""
        value = self.phi_v(h)
        scores = self.phi_q(h) @ self.phi_k(h).transpose(1, 2)
        if self.config.causal:
            later = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, float("-inf"))
        alpha = scores.softmax(dim=-1)
        gate = self.phi_x(value)
        offset = x - x[:, -1:]
        pull = alpha @ (gate[..., None] * offset).flatten(2)
        moved = offset * (alpha @ gate)[..., None] - pull.view_as(x)
        sign = -1 if self.config.flip_time_difference else 1
        return h + alpha @ value, x + sign * moved


class Estag(nn.Module):
    """ESTAG with the residual head.

    Args:
      config: an EstagConfig, or anything with its fields.
      features: F of the nodes.
      edge_features: F of the edges.
      past: T.
      channels: C.
    """

    def __init__(self, config: Any, features: int, edge_features: int, past: int, channels: int):
        super().__init__()
        self.config, hidden, frequencies = config, config.hidden, past - 1
        act = nn.SiLU if config.activation == "silu" else lambda: nn.LeakyReLU(0.2)
        self.features = nn.Linear(features, hidden)
        self.time = nn.Parameter(torch.randn(past, hidden))
        per_frame = config.edft_filter == "frame"
        self.filter = nn.Linear(hidden, 1 if per_frame else frequencies)
        width = frequencies + (edge_features if config.edge_features == "concat" else 0)
        self.spatial = nn.ModuleList(
            Spatial(config, width, frequencies, channels, act) for _ in range(config.layers)
        )
        self.temporal = nn.ModuleList(Temporal(config, channels, act) for _ in range(config.layers))
        self.weights = nn.Parameter(torch.zeros(past - 1))

    def fourier(self, x, h, features, ends, windows) -> tuple[Tensor, Tensor]:
        """Features of edges and nodes [..., K] from the spectrum of one channel."""
        config = self.config
        motion = x[:, :, min(1, x.shape[2] - 1)].unflatten(0, (windows, -1))
        spectrum = torch.fft.fft(motion - motion.mean(1, keepdim=True), dim=2)[:, :, 1:].flatten(
            0, 1
        )
        receivers, senders = ends
        if config.edft_filter == "frame":
            w = self.filter(h[:, 1:])[..., 0].sigmoid()
        else:
            w = self.filter(features).sigmoid()
        coherence = (spectrum[receivers] * spectrum[senders].conj()).sum(-1).abs()
        edges = w[receivers] * w[senders] * coherence
        if config.edft_complex_square:
            nodes = w * (spectrum**2).sum(-1).abs()
        else:
            nodes = w * (spectrum.real**2 + spectrum.imag**2).sum(-1)
        if config.edft_normalize is not None:
            edges = edges / (edges.sum(-1, keepdim=True) + config.edft_normalize)
            nodes = nodes / (nodes.sum(-1, keepdim=True) + config.edft_normalize)
        return edges, nodes

    def forward(self, history: Tensor, node_features: Tensor, ends: Tensor, edge_features=None):
        """The predicted frames [B, N, C, 3].

        Args:
          history: [B, N, T, C, 3].
          node_features: [N, F].
          ends: receivers and senders in one window [2, E].
          edge_features: [E, F] or None.
        """
        windows, count, past = history.shape[:3]
        steps = torch.arange(windows, device=ends.device) * count
        receivers, senders = (ends[:, None] + steps[:, None]).flatten(1)
        origin = history[:, :, -1:].mean(dim=(1, 3), keepdim=True)
        x = (history - origin).flatten(0, 1)
        features = self.features(node_features).repeat(windows, 1)
        h = features[:, None] + self.time
        edges, nodes = self.fourier(x, h, features, (receivers, senders), windows)
        if self.config.edge_features == "concat" and edge_features is not None:
            edges = torch.cat([edge_features.repeat(windows, 1), edges], dim=-1)
        for spatial, temporal in zip(self.spatial, self.temporal, strict=True):
            h, x = spatial(h, x, receivers, senders, edges, nodes)
            h, x = temporal(h, x)
        last = x[:, -1:]
        frame = last[:, 0] + torch.einsum("t,mtcx->mcx", self.weights, x[:, :-1] - last)
        return frame.unflatten(0, (windows, count)) + origin[:, 0]


def load_flax(model: Estag, params: Mapping[str, Any]) -> None:
    """Gives the model the weights of a Flax ESTAG, ``variables["params"]``."""
    names = {"embedding.": "", "edft.": "", "pooling.": "", "kernel": "weight"}
    state = {}
    for name, value in flatten_dict(params, sep=".").items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        for i in (0, 1):  # entry 1 of a Sequential is the activation
            name = name.replace(f"layer_{i}", str(2 * i))
        name = name.replace("spatial_", "spatial.").replace("temporal_", "temporal.")
        value = torch.from_numpy(np.array(value))
        state[name] = value.T if name.endswith(".weight") else value
    model.load_state_dict(state)

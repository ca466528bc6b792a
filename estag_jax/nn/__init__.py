"""Flax building blocks that the networks share; their mathematics is in estag_jax.ops."""

from estag_jax.nn.config import NetworkConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.linear import ACTIVATIONS, MLP, Linear
from estag_jax.nn.messages import NodeEmbedding, SpatialModule
from estag_jax.nn.norm import BatchNorm
from estag_jax.nn.temporal import TemporalModule

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "BatchNorm",
    "Linear",
    "NetworkConfig",
    "NodeEmbedding",
    "SpatialModule",
    "TemporalModule",
    "TemporalPooling",
]

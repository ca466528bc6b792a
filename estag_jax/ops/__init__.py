"""Operations on batches of windows as pure functions of arrays, without parameters and without Flax."""

from estag_jax.ops.attention import attend_coordinates, attend_features, attention_weights
from estag_jax.ops.edft import edft, edge_coherence, node_power, normalize_over_frequencies
from estag_jax.ops.geometry import centre, gram, safe_norm, safe_normalize
from estag_jax.ops.linalg import einsum, matmul
from estag_jax.ops.pooling import residual_pooling, softmax_pooling
from estag_jax.ops.ridge import line_search, ridge_path
from estag_jax.ops.segment import (
    at_receivers,
    at_senders,
    mean_at_receivers,
    mean_over_nodes,
    real_nodes,
    softmax_at_receivers,
    sum_at_receivers,
)
from estag_jax.ops.windows import gather_windows

__all__ = [
    "at_receivers",
    "at_senders",
    "attend_coordinates",
    "attend_features",
    "attention_weights",
    "centre",
    "edft",
    "edge_coherence",
    "einsum",
    "gather_windows",
    "gram",
    "line_search",
    "matmul",
    "mean_at_receivers",
    "mean_over_nodes",
    "node_power",
    "normalize_over_frequencies",
    "real_nodes",
    "residual_pooling",
    "ridge_path",
    "safe_norm",
    "safe_normalize",
    "softmax_at_receivers",
    "softmax_pooling",
    "sum_at_receivers",
]

"""AGL-STAN: a learned graph and attention over time, as released with ESTAG; not equivariant."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Graph
from estag_jax.nn.attention import LayerNorm, SelfAttention
from estag_jax.nn.config import Activation, Head, NetworkConfig
from estag_jax.nn.linear import Linear, affine, uniform
from estag_jax.nn.node_networks import NodeNetwork
from estag_jax.ops.linalg import einsum, matmul


@dataclasses.dataclass(frozen=True)
class AglStanConfig(NetworkConfig):
    """AGL-STAN, as ESTAG's authors set it up for the comparison."""

    hidden: int = 16
    """Size of the learned node embeddings."""
    layers: int = 2
    """Pairs of graph convolution and transformer layer; at least 1."""
    activation: Activation = "silu"
    """Not used: the nonlinearity is that of the released program, relu."""
    head: Head = "absolute"
    """How the output becomes the prediction; published: it is the prediction."""
    order: int = 3
    """Chebyshev polynomials, of degree 0 … order - 1."""
    heads: int = 6
    """Attention heads, each of (N * C * 3) // heads features, at least 1."""
    feed_forward: int = 32
    """Width between the two linear layers that follow the attention."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("layers", "order", "heads", "feed_forward"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}, expected at least 1")

    def build(self) -> AglStan:
        """The network, without parameters."""
        return AglStan(self)


def chebyshev(matrix: jax.Array, order: int) -> jax.Array:
    """T_0 … T_(order-1) of a matrix: T_k = 2 M T_(k-1) - T_(k-2), T_0 = I, T_1 = M.

    Args:
      matrix: M [N, N].
      order: number of polynomials.

    Returns:
      [order, N, N].
    """
    terms = [jnp.eye(matrix.shape[0], dtype=matrix.dtype), matrix]
    while len(terms) < order:
        terms.append(2 * matmul(matrix, terms[-1]) - terms[-2])
    return jnp.stack(terms[:order])


def split_sinusoids(frames: int, width: int) -> jax.Array:
    """sin(t w_i) in the first half, cos(t w_i) in the second, w_i from 1 to 1/10000 geometrically.

    Args:
      frames: T.
      width: of the encoding; a last column of zeros fills up an odd one.

    Returns:
      [T, width].
    """
    half = width // 2
    rate = 10_000.0 ** (-jnp.arange(half) / max(half - 1, 1))
    angle = jnp.arange(frames)[:, None] * rate
    return jnp.pad(
        jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1), ((0, 0), (0, width % 2))
    )


class Mixture(nn.Module):
    """One matrix for nodes and coordinates, M[jc, id] = sum over k of T_k[i, j] W[kc, d], and a bias.

    Small products for every frame take several times as long as one with M.

    Args:
      features: outputs of a node.
    """

    features: int

    @nn.compact
    def __call__(self, parts: Sequence[jax.Array], terms: jax.Array) -> jax.Array:
        """Maps [B, T, N, inputs] to [B, T, N, features].

        Args:
          parts: pieces of the input [B, T, N, …]; B and T may be 1 where windows and frames share one.
          terms: T_k [order, N, N].
        """
        widths, nodes = [x.shape[-1] for x in parts], len(terms[0])
        kernel, bias = affine(self, len(terms) * sum(widths), self.features, parts[0].dtype)
        kernel = kernel.reshape(len(terms), sum(widths), self.features)
        out = bias
        for x, rows in zip(parts, jnp.split(kernel, np.cumsum(widths)[:-1], axis=1), strict=True):
            frames, size = x.shape[:2], nodes * x.shape[-1]
            matrix = einsum("kij,kcd->jcid", terms, rows)
            matrix = matrix.reshape(size, nodes * self.features)
            product = matmul(x.reshape(math.prod(frames), size), matrix)
            out = out + product.reshape(*frames, nodes, self.features)
        return out


class AdaptiveGraphConvolution(nn.Module):
    """Chebyshev convolution on a graph that is learned.

        S = softmax_j(relu(linear(E Eᵀ)));  X <- linear([T_0(S) X, …, T_(order-1)(S) X])

    Args:
      features: outputs.
      order: number of polynomials.
    """

    features: int
    order: int = 3

    @nn.compact
    def __call__(self, parts: Sequence[jax.Array], embeddings: jax.Array) -> jax.Array:
        """Maps [B, T, N, inputs] to [B, T, N, features].

        Args:
          parts: as for Mixture.
          embeddings: E [N, hidden].
        """
        similarity = matmul(embeddings, embeddings.T)
        linear = Linear(len(embeddings), name="support")
        support = jax.nn.softmax(nn.relu(linear(similarity)), axis=1)
        return Mixture(self.features, name="output")(parts, chebyshev(support, self.order))


class PlaneConvolution(nn.Module):
    """5 × 5 convolution over the plane of nodes and coordinates, frames being its channels; to one channel.

    The rows of the kernel are matrices over coordinates and frames: XLA's own convolution with one output
    takes several times as long.
    """

    @nn.compact
    def __call__(self, plane: jax.Array) -> jax.Array:
        """Maps [B, T, N, numbers] to [B, N, numbers]."""
        windows, past, nodes, numbers = plane.shape
        initializer = uniform((25 * past) ** -0.5)
        kernel = self.param("kernel", initializer, (5, 5, past, 1), plane.dtype)
        bias = self.param("bias", initializer, (1,), plane.dtype)
        # From coordinate b to a the kernel's column is b - a + 2.
        shifts = jnp.stack([jnp.eye(numbers, k=2 - k, dtype=plane.dtype) for k in range(5)])
        matrix = einsum("klt,lba->tbka", kernel[..., 0], shifts)
        matrix = matrix.reshape(past * numbers, 5 * numbers)
        frames_last = plane.transpose(0, 2, 1, 3).reshape(windows * nodes, past * numbers)
        rows = matmul(frames_last, matrix).reshape(windows, nodes, 5, numbers)
        padded = jnp.pad(rows, ((0, 0), (2, 2), (0, 0), (0, 0)))
        return sum(padded[:, k : k + nodes, k] for k in range(5)) + bias


class AglStan(NodeNetwork):
    """Learned graph and transformer over time in turn, then a convolution over nodes and coordinates.

    In every layer: adaptive graph convolution of each frame; its output, all nodes in one vector of
    N * C * 3 numbers per frame, through a transformer layer over the frames (normalised before
    attention and feed-forward network). At the end a 5 × 5 convolution over the plane of nodes and
    coordinates, the frames being its channels. (AGL-STAN as in the program released with
    arXiv 2405.12868.)

    Not equivariant. Nodes have embeddings and a place in the plane, so that N is fixed and nodes are
    told apart (no permutation equivariance). The graph is learned: the given one is not looked at.

    Differs from the reference: the released program reshapes [T, N] out of [N, T], so that its frames
    and nodes are mixed; ours are not. There too, one linear layer replaces the method's
    weights per node.

    Args:
      config: sizes and options.
    """

    title = "AGL-STAN"
    config: AglStanConfig = AglStanConfig()

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          node_features: features [G, N, F].
          graph: not looked at.

        Raises:
          ValueError: the graph is padded.
        """
        config, dtype = self.config, history.dtype
        windows, nodes, past, channels, _ = history.shape
        if reason := self.refuse(channels, graph):
            raise ValueError(reason)
        numbers, width = channels * 3, nodes * channels * 3
        embeddings = self.param(
            "embeddings", nn.initializers.normal(1.0), (nodes, config.hidden), dtype
        )
        coordinates = history.reshape(*history.shape[:3], numbers).swapaxes(1, 2)
        parts = [node_features.astype(dtype)[:, None], coordinates]
        for i in range(config.layers):
            graph_layer = AdaptiveGraphConvolution(numbers, config.order, name=f"graph_{i}")
            rows = graph_layer(parts, embeddings).reshape(windows, past, width)
            if i == 0:
                rows = rows + split_sinusoids(past, width).astype(dtype)
            size = max(width // config.heads, 1)
            normal = LayerNorm(param_dtype=dtype, name=f"norm_attention_{i}")(rows)
            rows = rows + SelfAttention(config.heads, size, name=f"attention_{i}")(normal)
            normal = LayerNorm(param_dtype=dtype, name=f"norm_feed_forward_{i}")(rows)
            wide = nn.relu(Linear(config.feed_forward, name=f"wide_{i}")(normal))
            rows = rows + Linear(width, name=f"narrow_{i}")(wide)
            parts = [rows.reshape(windows, past, nodes, numbers)]
        plane = LayerNorm(param_dtype=dtype, name="norm_end")(rows).reshape(parts[0].shape)
        y = PlaneConvolution(name="convolution")(plane)
        return self.predicted(y, history, config.head)

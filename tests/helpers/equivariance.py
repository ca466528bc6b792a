"""Drawn sizes of graphs and windows, and operations with what they are under symmetries."""

import contextlib
import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from estag_jax.ops.attention import attend_coordinates, attention_weights
from estag_jax.ops.edft import edft, edge_coherence, node_power, normalize_over_frequencies
from estag_jax.ops.geometry import centre, gram, safe_normalize
from estag_jax.ops.pooling import residual_pooling, softmax_pooling
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers, sum_at_receivers
from estag_jax.testing import (
    KINDS,
    random_graph,
    random_window,
    randomize,
)


def few(examples):
    # Derandomized: the same examples on every machine. Hypothesis always takes the simplest first.
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of one random graph with its window."""

    seed: int
    nodes: int
    isolated: int
    frames: int
    channels: int
    layers: int
    hidden: int
    edge_width: int
    x64: bool

    @contextlib.contextmanager
    def data(self):
        """History, node features and graph, within the x64 mode that they need."""
        rng = np.random.default_rng(self.seed)
        graph = random_graph(rng, self.nodes, edge_width=self.edge_width, isolated=self.isolated)
        dtype = np.float64 if self.x64 else np.float32
        with jax.enable_x64(self.x64):
            yield (
                *random_window(rng, self.nodes, self.frames, channels=self.channels, dtype=dtype),
                graph,
            )

    @property
    def kinds(self):
        # Up to three points lie in a plane, where a reflection is a rotation and tests nothing new.
        spatial = self.nodes * self.frames * self.channels > 3
        return tuple(kind for kind in KINDS if spatial or kind != "reflection")

    def bind(self, model, *arguments):
        """The compiled model with random parameters."""
        shapes = jax.eval_shape(model.init, jax.random.key(0), *arguments)
        return jax.jit(partial(model.apply, randomize(shapes, self.seed)))


@st.composite
def cases(draw, channels=(1, 2, 4), frames=1, layers=1):
    nodes, layers = draw(st.integers(2, 7)), draw(st.integers(layers, 2))
    return Case(
        seed=draw(st.integers(0, 2**31)),
        nodes=nodes,
        isolated=draw(st.integers(0, min(2, nodes - 2))),
        # Without layers a single frame can only be repeated.
        frames=draw(st.integers(max(frames, 1 if layers else 2), 6)),
        channels=draw(st.sampled_from(channels)),
        layers=layers,
        hidden=draw(st.integers(1, 8)),
        edge_width=draw(st.sampled_from([0, 2])),
        x64=draw(st.booleans()),
    )


def hidden_features(features, frames, width):
    """Some invariants [1, N, T, H] that differ by node and frame."""
    wave = jnp.arange(1, frames * width + 1, dtype=features.dtype).reshape(frames, width)
    return jnp.cos(features[..., :1, None] * wave + features[..., 1:, None])


def relative(history, graph):
    return at_receivers(history, graph) - at_senders(history, graph)


def attended(history, features):
    h = hidden_features(features, history.shape[2], 3)
    gate = jnp.repeat(h[..., :1], history.shape[3], axis=-1)
    return attend_coordinates(attention_weights(h, jnp.sin(h)), gate, history)


def weights(history, size):
    return jnp.cos(jnp.arange(size, dtype=history.dtype))


VECTORS = {
    "edft": lambda x, f, g: edft(x[:, :, :, 0], g),
    "attend_coordinates": lambda x, f, g: attended(x, f),
    "sum_at_receivers": lambda x, f, g: sum_at_receivers(relative(x, g), g),
    "mean_at_receivers": lambda x, f, g: mean_at_receivers(relative(x, g), g),
}
POSITIONS = {
    "residual_pooling": lambda x, f, g: residual_pooling(x, weights(x, x.shape[2] - 1)),
    "softmax_pooling": lambda x, f, g: softmax_pooling(x, weights(x, x.shape[2])),
}
NODE_INVARIANTS = {
    "node_power": lambda x, f, g: node_power(edft(x[:, :, :, 0], g)),
    "node_power, complex": lambda x, f, g: node_power(edft(x[:, :, :, 0], g), complex_square=True),
    "normalized": lambda x, f, g: normalize_over_frequencies(
        node_power(edft(x[:, :, :, 0], g)), 1e-6
    ),
    "distance from centre": lambda x, f, g: gram(x - centre(x, g), normalize=False),
}
EDGE_INVARIANTS = {
    "edge_coherence": lambda x, f, g: edge_coherence(edft(x[:, :, :, 0], g), g),
    "gram": lambda x, f, g: gram(relative(x, g), normalize=False),
    "normalized gram": lambda x, f, g: gram(relative(x, g), normalize=x.shape[3] > 1),
    "angle": lambda x, f, g: gram(
        safe_normalize(relative(x, g))[:, :, ::-1] + relative(x, g), False
    ),
}

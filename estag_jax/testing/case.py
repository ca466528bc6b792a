"""What all assertions share: a function with its arguments, and proofs that a test is not vacuous."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import chex
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array, Graph

Function = Callable[..., Array]
"""f(history [B, N, T, C, 3], node_features [G, N, F], graph), a model with its variables bound; with a
fourth argument where external vectors {name: [1, 3] or [B, 3]} are given."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One evaluation of a function: what it is called with, and what its output is over."""

    function: Function
    history: np.ndarray
    node_features: np.ndarray
    graph: Graph
    over: str
    vectors: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def evaluate(self, symmetry=None, **changes):
        """The output, checked to be finite and of the right dtype."""
        case = dataclasses.replace(self, **changes)
        arguments = case.history, case.node_features, case.graph
        if symmetry is not None:
            on = symmetry.on_positions, symmetry.on_nodes, symmetry.on_graph
            arguments = [f(a) for f, a in zip(on, arguments, strict=True)]
        history, node_features, graph = arguments
        given = [jnp.asarray(history), jnp.asarray(node_features), graph]
        if vectors := case.vectors:
            turned = vectors if symmetry is None else symmetry.on_external(vectors)
            given.append({name: jnp.asarray(vector) for name, vector in turned.items()})
        out = self.function(*given)
        chex.assert_tree_all_finite(out)
        chex.assert_type(out, self.history.dtype, custom_message="is x64 mode as it should be?")
        return np.asarray(out)

    def moved(self, where, rng):
        """The history with noise as large as its spread at some places."""
        moved = self.history.copy()
        moved[where] += np.std(moved - moved.mean((0, 1, 2, 3))) * rng.normal(
            size=moved[where].shape
        )
        return moved


def assert_not_vacuous(
    case: Case, out: np.ndarray, shift: np.ndarray, kinds: Sequence[str]
) -> None:
    """The output is more than a copy of the input, and the data can tell the symmetries apart."""
    x = case.history
    require(out.size > 0, "vacuous: the output is empty")
    motion = np.abs(x - x[:, :, -1:]).max() if x.shape[2] > 1 else np.abs(x).max()
    require(motion > 0, "vacuous: nothing moves in the history")
    require(np.abs(shift).max() > 1e-3 * motion, "vacuous: the output is the last frame, or zero")
    if "reflection" in kinds:
        spread = np.linalg.svd((x - x.mean((0, 1, 2, 3))).reshape(-1, 3), compute_uv=False)
        spatial = spread.size == 3 and spread[2] > 1e-3 * spread[0]
        require(spatial, "vacuous: for points in a plane, a reflection is a rotation")


def assert_uses_past(case: Case, out: np.ndarray, rng: np.random.Generator) -> None:
    """Frames before the last change the output."""
    change = np.abs(case.evaluate(history=case.moved(np.s_[:, :, :-1], rng)) - out)
    require(change.max() > rounding(out), "vacuous: the output ignores all past frames")


def assert_uses_edges(case: Case, out: np.ndarray, rng: np.random.Generator) -> None:
    """A neighbour's positions change the output, and so does the graph."""
    graph = case.graph
    senders, receivers = np.array(graph.senders), np.array(graph.receivers)
    edges = np.flatnonzero(senders[0] != receivers[0])
    require(edges.size > 0, "vacuous: no edge joins two different nodes")
    edge = rng.choice(edges)
    sender = senders[0, edge]
    elsewhere = np.arange(out.shape[1]) != sender if case.over == "nodes" else senders[0] == sender
    change = np.abs(case.evaluate(history=case.moved(np.s_[:, sender], rng)) - out)[:, elsewhere]
    require(change.max() > rounding(out), "vacuous: moving a node changes the output of no other")
    if case.over == "nodes":
        # The shapes stay, so nothing is compiled again, and the receiver has one message less.
        senders[0, edge], receivers[0, edge] = receivers[0, edge], sender
        masks = graph.node_mask, graph.edge_mask
        turned = Graph(senders, receivers, graph.num_nodes, graph.edge_features, *masks)
        change = np.abs(case.evaluate(graph=turned) - out)
        require(change.max() > rounding(out), "vacuous: the output ignores the edges")


def assert_uses_vectors(case: Case, out: np.ndarray, rng: np.random.Generator) -> None:
    """Each external vector changes the output: turning the history alone is not enough."""
    for name, vector in case.vectors.items():
        others = case.vectors | {name: rng.normal(size=vector.shape).astype(vector.dtype)}
        change = np.abs(case.evaluate(vectors=others) - out)
        require(change.max() > rounding(out), f"vacuous: the output ignores the vector {name!r}")


def rounding(out: np.ndarray) -> float:
    """Below this, two outputs may be equal but for rounding."""
    return 100 * np.finfo(out.dtype).eps * np.abs(out).max()


def require(condition: bool, message: str) -> None:
    """Raises AssertionError with the message, also under ``python -O``."""
    if not condition:
        raise AssertionError(message)

"""Rollouts whose radius graph is rebuilt, against brute force and against a loop that rebuilds every step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.command import estag

from estag_jax.data.edges import radius_edges
from estag_jax.evaluation.rebuilt import roll_rebuilt
from estag_jax.evaluation.rollout import roll
from estag_jax.graph import Graph
from estag_jax.models.base import NetworkPredictor
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.testing import randomize

CUTOFF = 1.0


def graph_of(frame):
    """By a k-d tree, with the distances as features."""
    senders, receivers = radius_edges(frame, CUTOFF)
    length = np.linalg.norm(frame[receivers] - frame[senders], axis=1)
    return Graph(senders, receivers, len(frame), length[:, None])


def gas(inward=0.0, nodes=40):
    """History [1, N, 3, 1, 3] of points that fly straight on, or towards the centre, and a network."""
    rng = np.random.default_rng(0)
    x, velocity = rng.uniform(-1.5, 1.5, (nodes, 3)), 0.03 * rng.normal(size=(nodes, 3))
    velocity -= inward * x
    history = np.stack([x + t * velocity for t in (-2, -1, 0)], axis=1)[None, :, :, None]
    config = StEgnnConfig(hidden=4, layers=1, head="residual", clamp=None)
    features, model = np.ones((1, nodes, 1)), config.build()
    given = history, features, graph_of(x)
    variables = randomize(jax.eval_shape(model.init, jax.random.key(0), *given), 1, scale=0.4)
    # Straight on: x(T-1) + sum w_t (x(t) - x(T-1)), so that pairs come and go.
    variables["params"]["pooling"]["weights"] = jnp.array([0.0, -1.0])
    return NetworkPredictor(variables, model), history, given[1:]


@pytest.mark.parametrize("skin", [0.3, 0.01], ids=["kept for a while", "rebuilt every step"])
def test_the_graph_is_that_of_every_step(skin):
    steps = 12
    with jax.enable_x64(True):
        predictor, history, inputs = gas()
        found, builds = roll_rebuilt(
            predictor, history, inputs, steps, CUTOFF, skin=skin, capacity=3
        )
        predict = jax.jit(predictor.predict)
        past, edges = history, set()
        for i in range(steps):
            graph = graph_of(past[0, :, -1, 0])
            edges.add((graph.num_edges, int(graph.senders.sum())))
            # Padded to one size, else every step is compiled again; the added node is no part of it.
            nodes = past.shape[1]
            padded = [
                np.pad(a, [(0, 0), (0, 1)] + [(0, 0)] * (a.ndim - 2)) for a in (past, inputs[0])
            ]
            frame = predict(padded[0], (padded[1], graph.pad(nodes + 1, 600)))[:, :nodes]
            np.testing.assert_allclose(found[i], frame, atol=1e-11)
            past = np.concatenate([past[:, :, 1:], np.asarray(frame)[:, :, None]], axis=2)
        assert len(edges) > steps // 2  # pairs come and go
        # The first is the allocation's, whose frame the first step sees.
        assert builds == steps if skin < 0.1 else 2 <= builds < steps
        fixed = roll(predictor, history, inputs, steps)
        assert np.abs(fixed - found)[-1].max() > 1e-3  # the graph of the start is another


def test_pairs_that_do_not_fit_are_an_error():
    predictor, history, inputs = gas(inward=0.1)
    history = history.astype(np.float32)
    with pytest.raises(
        ValueError, match="no longer fit into the room for [0-9,]+; raise --capacity"
    ):
        roll_rebuilt(predictor, history, inputs, 12, CUTOFF, capacity=1.0)
    roll_rebuilt(predictor, history, inputs, 1, CUTOFF, capacity=1.0)


def test_what_has_no_moving_graph_is_refused():
    predictor, history, (features, graph) = gas()
    run = partial(roll_rebuilt, steps=1, cutoff=CUTOFF)
    with pytest.raises(ValueError, match="2 windows, 1 edge features"):
        run(predictor, np.concatenate([history] * 2), (features, graph))
    with pytest.raises(ValueError, match="parameters of single nodes"):
        run(NetworkPredictor({}, StgcnConfig().build()), history, (features, graph))
    with pytest.raises(ValueError, match="only the edges of networks"):
        run(object(), history, (features, graph))


def test_the_command_rebuilds(capsys, tmp_path):
    rng = np.random.default_rng(0)
    start, velocity = rng.uniform(-1.5, 1.5, (12, 3)), 0.05 * rng.normal(size=(12, 3))
    frames = start + velocity * np.arange(40)[:, None, None]
    np.savez(tmp_path / "gas.npz", positions=frames.astype(np.float32))
    run, out = tmp_path / "run", tmp_path / "out.npz"
    options = "--model ST_EGNN --train.epochs 1 --window.past 3 --window.delta 1".split()
    graph = "--graph.kind", "radius", "--graph.cutoff", "1.0"
    code, _, error = estag(
        capsys, "train", "--data", tmp_path / "gas.npz", *options, *graph, "--out", run
    )
    assert code == 0, error
    code, told, _ = estag(capsys, "rollout", run, "--steps", 5, "--rebuild", "--out", out)
    assert (
        code == 0 and "pairs within 1" in told and np.load(out)["forecast"].shape == (5, 12, 1, 3)
    )
    code, _, error = estag(
        capsys, "rollout", run, "--steps", 5, "--rebuild", "--samples", 2, "--out", out
    )
    assert code == 2 and "--rebuild goes with neither" in error

"""Every method at places where one would divide by zero or lose all digits.

Value and both gradients are finite, or one line says what is missing.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.graph import Graph
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm, NetworkPredictor, network_inputs
from estag_jax.models.forecaster import Forecaster
from estag_jax.testing import randomize

QUICK = ("AR-LS", "ESTAG without layers")
METHODS = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in catalog.METHODS
]
FULL = GraphConfig(kind="full")


def frames(nodes, count=120):
    """Atoms that swing about places on a wire, each at its own frequency [count, N, 3]."""
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(nodes, 3)) * 1.5
    rate, phase = rng.uniform(0.15, 0.45, (nodes, 3)), rng.uniform(0, 6, (nodes, 3))
    swing = 0.1 * np.sin(rate * np.arange(count)[:, None, None] + phase)
    return (rest + swing + 0.01 * rng.normal(size=swing.shape)).astype(np.float32)


def forecaster(name, nodes=5, past=5):
    """A small one, closed forms fitted and networks with random weights; or the line that refuses."""
    positions, bonds = frames(nodes), [[i, i + 1] for i in range(nodes - 1)]
    trajectory = Trajectory.from_arrays(
        positions,
        atomic_numbers=[6] * nodes,
        bonds=np.array(bonds, int).reshape(-1, 2),
        vectors={"up": [0, 0, 1.0]},
    )
    window, split = WindowConfig(past=past, delta=1), SplitConfig(fractions=(0.6, 0.2, 0.2))
    task = Task(trajectory, window, split, FULL)
    config = catalog.settings(name, task)
    if isinstance(config, ClosedForm):
        if why := config.refuse(task):
            return why
        predictor = config.fit(task)
    else:
        small = {"hidden": 4, "layers": min(config.layers, 1)}
        known = {field.name for field in dataclasses.fields(config)}
        config = dataclasses.replace(config, **{k: v for k, v in small.items() if k in known})
        module, inputs = config.build(), network_inputs(task.system, config.elements)
        history = jax.ShapeDtypeStruct((1, nodes, past, 1, 3), "float32")
        try:
            shapes = jax.eval_shape(module.init, jax.random.key(0), history, *inputs)
        except ValueError as why:  # jax writes lines of its own below
            return str(why).partition("\n")[0]
        variables = jax.tree.map(jnp.asarray, randomize(shapes))
        if "batch_stats" in variables:  # variances are positive
            variables["batch_stats"] = jax.tree.map(jnp.abs, variables["batch_stats"])
        predictor = NetworkPredictor(variables, module, config.elements)
    return Forecaster.bind(predictor, config, task.trajectories[0], window)


def places(x):
    """Histories [N, T, C, 3] by name."""
    one_frozen, coincident = x.copy(), x.copy()
    one_frozen[0], coincident[-1] = x[0, :1], x[0]
    return {
        "generic": x,
        "two coincident nodes": coincident,
        "all nodes coincident": np.broadcast_to(x[:1], x.shape),
        "all zero": np.zeros_like(x),
        "frozen": np.broadcast_to(x[:, :1], x.shape),
        "one frozen node": one_frozen,
        "collinear": x * np.float32([1, 0, 0]),
        "an offset of 1e6": x + np.float32(1e6),
        "a scale of 1e-6": x * np.float32(1e-6),
        "a scale of 1e6": x * np.float32(1e6),
    }


def assert_finite(of, histories):
    """The forecast, and its gradients by all numbers of the forecaster and by the history."""
    leaves, tree = jax.tree.flatten(of)
    real = [jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) for leaf in leaves]

    @jax.jit
    def compute(history):
        def total(history, *weights):
            given = iter(weights)
            whole = [next(given) if is_real else a for is_real, a in zip(real, leaves, strict=True)]
            out = jax.tree.unflatten(tree, whole).predict(history)
            return jnp.vdot(out, jnp.linspace(-1, 1, out.size)), out

        weights = [jnp.asarray(a) for is_real, a in zip(real, leaves, strict=True) if is_real]
        return jax.grad(total, argnums=tuple(range(1 + len(weights))), has_aux=True)(
            history, *weights
        )

    for place, history in histories.items():
        found = compute(history)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found)), place


@pytest.mark.parametrize("name", METHODS)
def test_degenerate_places_offsets_and_scales(name):
    of = forecaster(name)
    x = np.asarray(of.history(frames(5)))
    assert_finite(of, places(x))
    # Other numbers are computed with as float32, as in files.
    for dtype in (jnp.float16, jnp.bfloat16, np.int32):
        given = jnp.asarray(x * 10, dtype)
        found = of.predict(given)
        assert found.dtype == jnp.float32 and np.isfinite(found).all()
        np.testing.assert_array_equal(found, of.predict(given.astype(jnp.float32)))


@pytest.mark.parametrize("name", METHODS)
def test_few_nodes_edges_and_frames(name):
    for nodes, past in ((1, 5), (5, 1), (5, 2)):
        of = forecaster(name, nodes, past)
        if isinstance(of, str):
            assert re.search(rf"needs .*(T is|the window has) {past}\b", of) and "\n" not in of
            continue
        x = np.asarray(of.history(frames(nodes)))
        assert_finite(of, {"generic": x, "all zero": np.zeros_like(x)})


@pytest.mark.parametrize("name", METHODS)
def test_isolated_and_padded_nodes(name):
    of = forecaster(name)
    if not isinstance(of.predictor, NetworkPredictor):
        return  # a closed form looks at no edges
    features, graph = of.inputs
    assert graph.edge_features is None
    none, one = np.zeros(0, np.int32), np.zeros(1, np.int32)
    alone, pair = Graph(none, none, 4), Graph(one, one + 1, 4)
    x = np.asarray(of.history(frames(5)))
    for edges in (alone, pair):
        padded = jax.tree.map(jnp.asarray, edges.pad(5, 3 if edges is pair else 2))
        if why := getattr(of.predictor.module, "refuse", lambda *_: None)(1, padded):
            assert why.endswith("takes no padded graphs") and "\n" not in why
            continue
        assert_finite(
            dataclasses.replace(of, inputs=(features, padded)),
            {"generic": x, "all zero": np.zeros_like(x)},
        )


@pytest.mark.parametrize("several", [False, True])
def test_what_is_no_number_is_refused_with_its_place(several):
    of = forecaster("AR-LS")
    x = np.array(of.history(frames(5)))
    x[2, 4, 0, 1] = np.nan
    history, window = (np.stack([np.zeros_like(x), x]), "window 1, ") if several else (x, "")
    words = f"history is nan at {window}node 2, frame 4, channel 0, y; leave"
    for call in (of.predict, lambda h: of.rollout(h, 2)):
        with pytest.raises(ValueError, match=words):
            call(history)
        with pytest.raises(ValueError, match="dtype complex64, expected real"):
            call(np.nan_to_num(history).astype(np.complex64))

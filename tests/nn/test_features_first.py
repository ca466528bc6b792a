"""The layers features first, beside the modules whose equations they repeat: values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.baselines import bind
from helpers.walks import random_windows, task_of

from estag_jax.evaluation.predictions import validation_error
from estag_jax.evaluation.rollout import roll
from estag_jax.graph import Graph, stack
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.nn import features_first
from estag_jax.nn.features_first import hastened
from estag_jax.testing import random_window
from estag_jax.training.loop import Loop
from estag_jax.training.settings import TrainConfig

SIZES = dict(hidden=5, layers=1)
# Node 0 is a hub, node 4 only sends, node 5 has no edges.
ENDS = [1, 2, 3, 4, 0, 0, 0, 2], [0, 0, 0, 0, 1, 2, 3, 1]


def data(channels=1, dtype=np.float32, windows=3, past=5):
    history, features = random_window(1, 6, past, channels=channels, dtype=dtype, batch=windows)
    edges = np.random.default_rng(2).normal(size=(len(ENDS[0]), 2)).astype(dtype)
    return history, features, Graph(*ENDS, 6, edges)


def errors(first, second):
    """The largest difference of each pair of arrays, relative to the largest number, at least 1.

    The bias of linear keys has no effect, so that its gradient is rounding alone.
    """
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return [float(jnp.abs(a - b).max() / max(jnp.abs(b).max(), 1)) for a, b in pairs]


def with_gradients(model, variables, history, features, graph):
    """Value and gradients, with respect to parameters and history, of a sum of squares; compiled."""

    def total(variables, history):
        frames = model.apply(variables, history, features, graph)
        return jnp.sum((frames - history[:, :, 0]) ** 2), frames

    gradient = jax.value_and_grad(total, (0, 1), has_aux=True)
    quickly = {"xla_backend_optimization_level": 0}  # compiled in half the time
    return jax.jit(gradient, compiler_options=quickly)(variables, history)


CASES = {
    "paper": (EstagConfig(**SIZES), 1, np.float64),
    "paper, two layers, all frames seen": (EstagConfig(hidden=5, causal=False), 4, np.float64),
    "released": (EstagConfig.released(1, **SIZES), 1, np.float64),
    "released, several channels": (EstagConfig.released(4, **SIZES), 4, np.float64),
    "released, float32": (EstagConfig.released(1, **SIZES), 1, np.float32),
    "gmn": (StEgnnConfig.gmn(**SIZES), 4, np.float64),
    "egnn": (EgnnConfig(**SIZES), 1, np.float64),
    "egnn, several channels, residual head": (EgnnConfig(**SIZES, head="residual"), 4, np.float64),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_modules(name):
    config, channels, dtype = CASES[name]
    model = config.build()
    with jax.enable_x64(dtype == np.float64):
        given = data(channels, dtype)
        variables, _ = bind(model, *given)
        assert features_first.serves(config, given[0], given[2])
        fast = with_gradients(hastened(model), variables, *given)
        plain = with_gradients(model, variables, *given)
        assert max(errors(fast, plain)) < (1e-10 if dtype == np.float64 else 2e-5)
        moved = jnp.abs(plain[0][1] - given[0][:, :, -1]).max()
        assert moved > 1e-3


def test_vmap_gives_the_same(x64):
    model = hastened(EstagConfig.released(**SIZES).build())
    history, features, graph = data(dtype=np.float64)
    variables, function = bind(model, history, features, graph)
    one = jax.jit(jax.vmap(lambda window: model.apply(variables, window[None], features, graph)[0]))
    assert max(errors(one(history), function(history, features, graph))) < 1e-12


def test_the_rule():
    history, _, graph = data()
    config = EstagConfig()
    assert features_first.serves(config, history, graph)
    for other in (
        EstagConfig(layers=0),
        EstagConfig(bfloat16_features=True),
        EstagConfig(edges_at_once=3),
        EstagConfig(hidden=128),
    ):
        assert not features_first.serves(other, history, graph)
    several = stack([graph, graph, graph])
    for other in (graph.pad(7, 9), graph.pad(8, 8), several, Graph([], [], 6)):
        assert not features_first.serves(config, history, other)
    assert not features_first.serves(config, np.zeros((1, 6, 40, 1, 3)), graph)


def test_it_is_what_another_device_does_not_get(monkeypatch):
    history, _, graph = data()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not features_first.serves(EstagConfig(), history, graph)


def test_training_and_evaluation_use_it(monkeypatch):
    seen = []
    layers = features_first.run_layers

    def recorded(config, params, h, x, *rest):
        seen.append(len(x))
        return layers(config, params, h, x, *rest)

    monkeypatch.setattr(features_first, "run_layers", recorded)
    task, config = task_of(random_windows()), EstagConfig(hidden=4, layers=1)
    loop = Loop("ESTAG", config, task, (1,), TrainConfig(batch=6, chunk=3))
    assert not seen  # the modules make the parameters
    loop.compile()
    assert set(seen) == {3}  # windows of a chunk
    seen.clear()
    predictor = loop.predictor(jax.tree.map(lambda leaf: leaf[0], loop.best))
    validation_error(predictor, task)
    assert set(seen) == {40}
    seen.clear()
    history, _ = random_windows(windows=2)
    inputs = jax.tree.map(jnp.asarray, predictor.inputs(task.system))
    roll(predictor, history.astype(np.float32), inputs, 2)
    assert set(seen) == {2}
    seen.clear()
    predictor.predict(history, inputs)  # which has forward-mode derivatives
    assert not seen

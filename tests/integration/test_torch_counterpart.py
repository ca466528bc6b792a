"""The PyTorch program that steps are timed beside is the same model."""

import dataclasses
import importlib.util

import jax
import numpy as np
import pytest
from helpers.paths import PACKAGE

from estag_jax.graph import Graph
from estag_jax.models.estag import EstagConfig

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def counterpart():
    path = PACKAGE.parent / "benchmarks" / "torch_counterpart.py"
    spec = importlib.util.spec_from_file_location("torch_counterpart", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def both(counterpart, config, channels, dtype):
    """Loss and gradient with respect to the history, of our model and of its counterpart."""
    rng = np.random.default_rng(channels)
    senders = rng.integers(0, 6, 20)  # node 6 has no edges
    ends = senders, (senders + rng.integers(1, 6, 20)) % 6
    graph = Graph(*ends, 7, rng.normal(size=(20, 2)).astype(dtype))
    history = rng.normal(size=(3, 7, 10, channels, 3)).astype(dtype)
    features = rng.normal(size=(1, 7, 3)).astype(dtype)
    module = config.build()
    variables = jax.jit(module.init)(jax.random.key(0), history, features, graph)
    leaves, tree = jax.tree.flatten(variables)
    moved = [leaf + 0.1 * rng.normal(size=leaf.shape).astype(dtype) for leaf in leaves]
    variables = jax.tree.unflatten(tree, moved)

    def total(history):
        frame = module.apply(variables, history, features, graph)
        return frame.sum(), frame

    (_, frame), slope = jax.jit(jax.value_and_grad(total, has_aux=True))(history)
    model = counterpart.Estag(config, 3, 2, 10, channels).to(torch.from_numpy(history).dtype)
    counterpart.load_flax(model, variables["params"])
    given = torch.from_numpy(history).requires_grad_()
    ends = torch.from_numpy(np.concatenate([graph.receivers, graph.senders]).astype(np.int64))
    out = model(
        given, torch.from_numpy(features[0]), ends, torch.from_numpy(graph.edge_features[0])
    )
    out.sum().backward()
    frames, slopes = (frame, out.detach().numpy()), (slope, given.grad.numpy())
    return [tuple(map(np.asarray, pair)) for pair in (frames, slopes)], history[:, :, -1]


@pytest.mark.parametrize("dtype, bound", [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    "kind", [lambda channels: EstagConfig(), EstagConfig.released], ids=["paper", "released"]
)
def test_predictions_and_gradients_are_equal(counterpart, kind, channels, dtype, bound):
    config = dataclasses.replace(kind(channels), layers=1)
    with jax.enable_x64(dtype == np.float64):
        (frames, slopes), last = both(counterpart, config, channels, dtype)
    assert np.abs(frames[0] - last).max() > 0.1  # the model moves something
    for (ours, theirs), times in ((frames, 1), (slopes, 10)):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=times * bound * np.abs(ours).max())


def test_other_options_give_another_prediction(counterpart):
    found = [
        both(counterpart, EstagConfig(**options), 1, np.float32)[0][0][1]
        for options in ({}, {"aggregate": "mean"}, {"causal": False}, {"unit_vectors": True})
    ]
    assert all(np.abs(other - found[0]).max() > 1e-3 for other in found[1:])

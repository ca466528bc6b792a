"""Forecasts of all windows of a task, and how many are made at once."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.random_walks import apply, network, walk
from helpers.springs import QUICK, task

from estag_jax.data.settings import SplitConfig
from estag_jax.evaluation import predictions
from estag_jax.evaluation.predictions import predictions as of_windows

TRACES = []


class Counting(nn.Module):
    """A network that says when it is traced."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        if isinstance(history, jax.core.Tracer):
            TRACES.append(history.shape)
        return QUICK.build()(history, node_features, graph)


@pytest.mark.parametrize(
    "bound, count, width", [(65, 300, 60), (30, 300, 20), (30, 2000, 20), (3, 300, 3), (65, 20, 20)]
)
def test_batches_fill_the_vectors_of_a_cpu_and_waste_few_windows(monkeypatch, bound, count, width):
    monkeypatch.setattr(predictions, "windows_at_once", lambda *a: bound)
    of = task()
    monkeypatch.setattr(of, "count", lambda part: count)
    assert predictions.batch_width(of) == width


@pytest.mark.parametrize(
    "bound, count, whole, at_once",
    [(65, 300, 304, 16), (30, 300, 304, 8), (9, 300, 300, 3), (2, 300, 300, 1), (65, 20, 20, 20)],
)
def test_a_call_loops_over_chunks_that_the_cache_holds(monkeypatch, bound, count, whole, at_once):
    monkeypatch.setattr(predictions, "windows_at_once", lambda *a: bound)
    of = task()
    monkeypatch.setattr(of, "count", lambda part: count)
    assert predictions.call_width(of) == (whole, at_once)


def test_elsewhere_a_call_has_one_chunk(monkeypatch):
    monkeypatch.setattr(predictions, "windows_at_once", lambda *a: 65)
    of = task()
    monkeypatch.setattr(of, "count", lambda part: 300)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert predictions.call_width(of) == (60, 60)


def test_batches_give_what_single_calls_give(monkeypatch):
    of = task((3, 5))
    predictor = network(of)
    for width, at_once in ((7, 7), (500, 500), (6, 2)):
        monkeypatch.setattr(predictions, "call_width", lambda *a, w=(width, at_once): w)
        seen = 0
        for windows, found in of_windows(predictor, of, "test"):
            assert len(found) == len(windows.starts) <= width
            inputs = predictor.inputs(of.systems[windows.which])
            single = [apply(predictor, h[None], inputs)[0] for h in windows.history[-2:]]
            np.testing.assert_allclose(found[-2:, 0], single, rtol=1e-5, atol=1e-5)
            seen += len(found)
        assert seen == of.count("test")


def test_systems_that_are_padded_have_the_same_forecasts():
    of = task((3, 5))
    predictor = network(of)
    both = [
        [found for _, found in of_windows(predictor, of, "test", sizes)]
        for sizes in (None, [(6, 40)] * 2)
    ]
    for plain, padded in zip(*both, strict=True):
        assert plain.shape == padded.shape
        np.testing.assert_allclose(padded, plain, rtol=1e-5, atol=1e-5)


def test_seeds_together_are_seeds_one_by_one():
    of = walk()
    several = [network(of, key=k) for k in (1, 2, 3)]
    for chosen in (several, several[:1]):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *chosen)
        ((_, found),) = of_windows(stacked, of, "test", seeds=True)
        single = [next(of_windows(p, of, "test"))[1] for p in chosen]
        assert found.shape == (len(chosen), 17, 1, 3, 1, 3)
        np.testing.assert_allclose(found, single, rtol=1e-5, atol=1e-5)


def test_one_compilation_serves_all_parts_weights_and_systems_of_a_size():
    of = task((4, 4), split=SplitConfig(train=9, validation=11, test=30))
    assert of.count("validation") != of.count("test")
    predictor = network(of, Counting())
    other = jax.tree.map(lambda leaf: leaf * 0.5, predictor)
    TRACES.clear()
    found = [
        np.concatenate([frames for _, frames in of_windows(p, of, part)])
        for p in (predictor, other)
        for part in ("validation", "test", "validation")
    ]
    assert TRACES == [(predictions.batch_width(of), 4, 4, 1, 3)]
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[3]).max() > 1e-4

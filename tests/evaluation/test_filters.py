"""Filters against peaks: a planted frequency is found, white noise is not; filters of a network."""

import dataclasses

import jax
import numpy as np
import pytest
from helpers.springs import task as springs

from estag_jax.data.statistics import node_powers
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.filters import learned_filters, peak_score, window_response
from estag_jax.models.base import NetworkPredictor, network_inputs
from estag_jax.models.estag import EstagConfig
from estag_jax.training.fit import fit

PAST = 20


def moving(frequencies, frames=4000, seed=0):
    """Nodes that swing at a frequency of their own (cycles a frame; None: not at all) in white noise."""
    rng, t = np.random.default_rng(seed), np.arange(frames)
    x = rng.normal(size=(frames, len(frequencies), 3)).cumsum(0) * 0.01
    for i, frequency in enumerate(frequencies):
        if frequency is not None:
            x[:, i, 0] += np.sin(2 * np.pi * frequency * t + i)
    return node_powers(Trajectory.from_arrays(x), 256)


def picking(bins, past=PAST):
    """Filters that pass one bin of each node and its mirror image."""
    w = np.full((len(bins), past - 1), 0.1)
    for i, k in enumerate(bins):
        w[i, [k - 1, past - k - 1]] = 0.9
    return w


def test_a_planted_frequency_is_found_and_another_is_not():
    frequencies, power = moving([0.15, 0.15, 0.3])
    right = peak_score(picking([3, 3, 6]), power, frequencies, 300)
    wrong = peak_score(picking([8, 8, 2]), power, frequencies, 300)
    assert right.value > 0.5 and right.p < 0.02 and len(right.null) == 300
    assert wrong.value < 0.1 and wrong.p > 0.3


def test_white_noise_gives_as_many_false_finds_as_p_says():
    found = []
    for seed in range(60):
        frequencies, power = moving([None] * 3, 1500, seed)
        rng = np.random.default_rng(1000 + seed)
        found.append(peak_score(rng.random((3, PAST - 1)), power, frequencies, 200, seed).p)
    assert np.mean(np.array(found) < 0.05) <= 0.15
    assert 0.3 < np.mean(found) < 0.7


def test_flat_filters_pick_nothing():
    frequencies, power = moving([0.15, 0.3])
    score = peak_score(np.full((2, PAST - 1), 0.3), power, frequencies, 200)
    assert score.value == 0 and score.p == 1


def test_the_response_is_one_in_its_bin_and_none_in_others():
    bins = np.arange(1, 7) / 7
    np.testing.assert_allclose(window_response(bins, 7), np.eye(6), atol=1e-12)
    t = np.arange(7)
    wave = np.cos(2 * np.pi * 0.137 * t)
    power = np.abs(np.exp(-2j * np.pi * np.outer(bins, t)) @ wave) ** 2 / 49
    about = window_response(np.array([0.137]), 7)[:, 0]
    assert np.argmax(power[:3]) == np.argmax(about[:3])


def untrained(task, **options):
    module = EstagConfig(hidden=4, layers=1, **options).build()
    history, inputs = (
        next(task.windows("test", 1)).history,
        network_inputs(task.systems[0], "one-hot"),
    )
    return NetworkPredictor(module.init(jax.random.key(0), history, *inputs), module)


@pytest.mark.parametrize("kind", ["frequency", "frame"])
def test_filters_of_a_network_are_read_off(kind):
    task = springs()
    network = untrained(task, edft_filter=kind)
    w = learned_filters(network, task)
    assert w.shape == (3, 3) and ((0 < w) & (w < 1)).all()
    bias = np.array([-2.0, 0.5, 3.0] if kind == "frequency" else [-2.0])
    params = network.variables["params"]
    given = jax.tree.map(np.zeros_like, params["edft"]["filter"])
    name = next(name for name, value in given.items() if value.ndim == 1)
    params = params | {"edft": {"filter": given | {name: bias.astype(np.float32)}}}
    known = dataclasses.replace(network, variables={"params": params})
    expected = np.broadcast_to(1 / (1 + np.exp(-bias)), (3, 3))
    np.testing.assert_allclose(learned_filters(known, task), expected, rtol=1e-6)
    assert learned_filters(untrained(task, edft=False), task) is None
    assert learned_filters(fit("AR-LS", task).predictor, task) is None

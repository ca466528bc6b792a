"""Forecasts for many callers: few programs, flat memory, each answer its own."""

import gc
import os
import threading

import numpy as np
import pytest
from helpers.springs import task
from jax import monitoring

from estag_jax.models.estag import EstagConfig
from estag_jax.models.many import MOST, predict_many
from estag_jax.training.fit import fit

CALLS = int(os.environ.get("ESTAG_CALLS", 10_000))


@pytest.fixture(scope="module")
def of():
    return fit(EstagConfig(hidden=4, layers=0), task(), epochs=1).forecaster


@pytest.fixture
def compiled():
    """The durations of the compilations from here on."""
    found = []

    def listen(name, seconds, **_):
        if name.endswith("backend_compile_duration"):
            found.append(seconds)

    monitoring.register_event_duration_secs_listener(listen)
    yield found
    monitoring.unregister_event_duration_listener(listen)


def windows(of, count, seed=0):
    shape = count, of.system.num_nodes, of.past, of.system.channels, 3
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_any_number_of_windows(of, compiled):
    known = windows(of, MOST + 3)
    expected = np.asarray(of.predict(known))
    compiled.clear()
    for count in (MOST + 3, 8, 7, 5, 6, 1, 0, 2):
        found = predict_many(of, known[:count])
        np.testing.assert_allclose(found, expected[:count], rtol=1e-5, atol=1e-6)
    assert len(compiled) == 5  # 1024, 4, 8, 1 and 2 windows
    for bad in (known[0], known[:, 1:], known[:, :, 1:], known[None]):
        with pytest.raises(ValueError, match=r"expected \(.*windows"):
            predict_many(of, bad)
    with pytest.raises(ValueError, match="history is nan at window 2, node 0"):
        predict_many(of, np.where(np.arange(4).reshape(-1, 1, 1, 1, 1) == 2, np.nan, known[:4]))


def resident():
    """Memory of this process in MB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


@pytest.mark.slow
def test_calls_from_32_threads(of, compiled):
    most, known = 64, windows(of, 64)
    expected = np.asarray(of.predict(known))
    wrong, memory = [], []

    def call(seed, count):
        rng = np.random.default_rng(seed)
        for _ in range(count):
            begin = int(rng.integers(most))
            end = int(rng.integers(begin, most + 1))
            found = predict_many(of, known[begin:end])
            if not np.allclose(found, expected[begin:end], rtol=1e-4, atol=1e-5):
                wrong.append((begin, end))

    compiled.clear()
    for number in range(5):
        threads = [
            threading.Thread(target=call, args=(100 * number + k, -(-CALLS // 160)))
            for k in range(32)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        gc.collect()
        memory.append(resident())
    print(f"MB after each fifth of the calls: {memory}; compilations: {len(compiled)}")
    assert not wrong and len(compiled) <= 7  # 1, 2, 4, … 64 windows
    assert memory[-1] - memory[0] < 30

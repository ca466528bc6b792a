"""How many windows are computed at once."""

import jax
import pytest

from estag_jax.models import memory

WALK = 31, 130, 10, 16
"""Nodes, edges, frames, hidden features."""


@pytest.fixture
def machine(monkeypatch):
    """A CPU of so many cores and devices."""

    def of(cores, devices=1):
        monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
        monkeypatch.setattr(jax, "local_device_count", lambda: devices)
        monkeypatch.setattr(memory, "cores", lambda: cores)

    return of


def test_temporaries_fit_the_caches_of_all_cores(machine):
    machine(1)
    alone = memory.windows_at_once(*WALK, training=True)
    # E · T · H numbers of 4 bytes, by hand.
    assert alone == memory.CACHE // (memory.TRAINING * 4 * 130 * 10 * 16) == 10
    forward = memory.windows_at_once(*WALK)
    machine(2)
    assert memory.windows_at_once(*WALK, training=True) == 20
    assert memory.windows_at_once(*WALK) == forward
    machine(2, devices=8)
    assert memory.windows_at_once(*WALK, training=True) == alone
    machine(10**4)
    assert memory.windows_at_once(*WALK, training=True) == memory.MOST


def test_a_batch_is_cut_into_as_few_parts_as_fit(machine):
    machine(1)
    assert memory.chunks_of(100, None, {"params"}, *WALK) == 10
    assert memory.chunks_of(101, None, {"params"}, *WALK) == 11
    assert memory.chunks_of(100, 30, {"params"}, *WALK) == 4
    assert memory.chunks_of(100, None, {"params", "batch_stats"}, *WALK) == 1

"""How many windows are computed at once."""

import jax

from estag_jax.models import memory
from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_se3_transformer import StSe3TransformerConfig
from estag_jax.models.st_tfn import StTfnConfig

WALK = 31, 130, 10, 16
"""Nodes, edges, frames, hidden features."""


def test_temporaries_fit_a_cache(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    # E · T · H numbers of 4 bytes, by hand.
    found = memory.windows_at_once(*WALK, training=True)
    assert found == memory.CACHE // (memory.TRAINING * 4 * 130 * 10 * 16) == 10
    assert memory.windows_at_once(*WALK) == memory.CACHE // (memory.FORWARD * 4 * 130 * 10 * 16)
    assert memory.windows_at_once(10**9, 10**9, 10, 16) == 1
    assert memory.windows_at_once(1, 0, 1, 1) == memory.MOST
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert memory.windows_at_once(*WALK, training=True) > found


def test_a_batch_is_cut_into_as_few_parts_as_fit(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert memory.chunks_of(100, None, {"params"}, *WALK) == 10
    assert memory.chunks_of(101, None, {"params"}, *WALK) == 11
    assert memory.chunks_of(100, 30, {"params"}, *WALK) == 4
    assert memory.chunks_of(100, None, {"params", "batch_stats"}, *WALK) == 1


def test_matrices_of_edges_count_as_many_features():
    assert memory.edge_numbers(EstagConfig(hidden=8)) == 8
    assert memory.edge_numbers(StTfnConfig(hidden=24)) == 24
    # Filters 0 and 2 of vectors from vectors, one of each other pair; 12 channels of each degree.
    assert memory.edge_numbers(StSe3TransformerConfig(hidden=24)) == 5 * 12**2 // 2
    assert memory.edge_numbers(object()) == 16

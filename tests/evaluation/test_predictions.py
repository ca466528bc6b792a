"""How many windows are forecast at once."""

import pytest
from helpers.springs import task

from estag_jax.evaluation import predictions


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

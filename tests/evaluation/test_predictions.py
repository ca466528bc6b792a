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

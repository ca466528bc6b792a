"""Values of a file are of the types that the settings have."""

from typing import Any, Literal

import pytest

from estag_jax.config import conforms, from_dict, to_dict, version_fault
from estag_jax.runs.settings import RunConfig


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3], [1.5, True, "1", None, [1]]),
        (float, [0, 1.5], [True, "1.5", None]),
        (str, [""], [1, None]),
        (int | None, [None, 1], ["", 1.5]),
        (Literal["a", "b"], ["a"], ["c", None]),
        (list[int], [[], [1]], [(1,), [1.5], "1"]),
        (tuple[int, ...], [(), (1, 2)], [[1], ("1",)]),
        (tuple[float, float], [(1, 2.5)], [(1.0,), (1, 2, 3)]),
        (dict[str, dict[str, Any]], [{}, {"a": {"b": None}}], [{"a": 1}, []]),
        (Any, [None, 1, "a"], []),
    ],
)
def test_values_and_types(hint, good, bad):
    assert all(conforms(value, hint) for value in good)
    assert not any(conforms(value, hint) for value in bad)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 1.5), ("epochs", "7"), ("epochs", True), ("weight_decay", None), ("mesh", 3)],
)
def test_settings_of_another_type_are_refused_by_name(name, value):
    saved = to_dict(RunConfig())
    saved["train"][name] = value
    with pytest.raises(ValueError, match=f"TrainConfig {name} is {value!r}, expected"):
        from_dict(RunConfig, saved)


def test_versions():
    assert version_fault(2, 2) == ""
    assert "newer estag_jax (format 3, this one reads up to 2); update" in version_fault(3, 2)
    for other in (1, "2", None, True, 2.0):
        assert f"has format {other!r}" in version_fault(other, 2)

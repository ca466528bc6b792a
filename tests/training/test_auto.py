"""``auto``: the closed form with the least validation error, among those that can be fitted and afforded."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from helpers.springs import frames, jolted, task

import estag_jax
from estag_jax.models import catalog
from estag_jax.models.auto import Auto
from estag_jax.models.base import ClosedForm
from estag_jax.models.copies import LastFrame
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.models.linear import LinearPredictor
from estag_jax.training.fit import fit

QUICK = Auto(seconds=0.3)  # without Frame kernel


def error(forecaster, of):
    """The validation error by a plain loop."""
    total = []
    for windows in of.windows("validation"):
        for history, target in zip(windows.history, windows.target[:, 0], strict=True):
            total.append(np.mean((np.asarray(forecaster.predict(history)) - target) ** 2))
    return np.mean(total)


def test_the_least_validation_error_is_taken_and_kept_with_the_forecaster(tmp_path):
    of = jolted()
    fitted = fit(QUICK, of)
    errors = fitted.chosen["validation errors"]
    assert list(errors.values()) == sorted(errors.values())
    assert fitted.label == fitted.chosen["method"] == next(iter(errors))
    assert fitted.method == catalog.settings(fitted.label)
    assert {"Last frame", "AR-LS", "VAR ridge", "Frame ridge"} <= set(errors)
    for name in ("Last frame", fitted.label):
        assert error(fit(name, of).forecaster, of) == pytest.approx(errors[name], rel=1e-3, abs=0)
    fitted.forecaster.save(tmp_path / "auto.npz")
    again = estag_jax.load(tmp_path / "auto.npz")
    assert again.chosen == fitted.choice | again.predictor.chosen
    assert again.method == fitted.method and again.chosen.keys() == fitted.chosen.keys()
    row = estag_jax.evaluate(fitted, of).rows[0]
    assert row.name == fitted.label and row.chosen == fitted.chosen


def test_time_and_refusals_leave_methods_out():
    of = task()
    fitted = fit(QUICK, of)
    assert "would take about" in fitted.chosen["left out"]["Frame kernel"]
    several = fit(QUICK, task((3, 4)))
    assert "one system" in several.chosen["left out"]["VAR ridge"]
    assert several.label in ("AR-LS", "In-context AR", "Constant acceleration")
    assert fit("Auto", several.task).label == several.label


@dataclasses.dataclass(frozen=True)
class Exact(ClosedForm):
    """Springs by their equation of motion, x(t+1) = 2 cos(w) x(t) - x(t-1) about the rest."""

    predictor: ClassVar = LinearPredictor
    tied: ClassVar = False
    cost: float = 0.0

    def seconds(self, task):
        return self.cost

    def fit(self, task):
        if self.cost < 0:
            raise ValueError("there is no such motion")
        return fit("VAR ridge", task).predictor


@pytest.mark.parametrize("cost", [0.0, 0.2, 6.0, -1.0])
def test_a_new_closed_form_takes_part_by_its_cost_alone(monkeypatch, cost):
    entries = catalog.METHODS | {"Exact": catalog.Entry(lambda channels: Exact(cost))}
    monkeypatch.setattr(catalog, "METHODS", entries)
    monkeypatch.setattr(catalog, "CLOSED_FORMS", ("Last frame", "Exact"))
    fitted = fit(QUICK, task())
    assert (fitted.label == "Exact") == (cost in (0.0, 0.2))
    said = {0.0: "", 0.2: "", 6.0: "would take about 6 s", -1.0: "there is no such motion"}
    assert said[cost] in fitted.chosen["left out"].get("Exact", "")


def test_time_is_shared_by_all_fits(monkeypatch):
    costs = {"Exact": 0.15, "Again": 0.2, "Still": 0.14}
    entries = {n: catalog.Entry(lambda channels, c=c: Exact(c)) for n, c in costs.items()}
    monkeypatch.setattr(catalog, "METHODS", catalog.METHODS | entries)
    monkeypatch.setattr(catalog, "CLOSED_FORMS", ("Last frame", *costs))
    fitted = fit(QUICK, task())
    assert set(fitted.choice["validation errors"]) == {"Last frame", "Exact", "Still"}
    assert set(fitted.choice["left out"]) == {"Again"}
    assert [one.label for one in fitted.tried] == ["Last frame", "Still", "Exact"]


def test_nothing_that_can_be_fitted_is_one_line(monkeypatch):
    monkeypatch.setattr(catalog, "CLOSED_FORMS", ("VAR ridge",))
    with pytest.raises(
        ValueError, match="auto: no closed form can be fitted: VAR ridge has weights"
    ):
        fit("auto", task((3, 4)))


def test_a_kernel_takes_the_samples_that_there_is_time_for():
    trajectory = estag_jax.Trajectory.from_arrays(frames(count=3000))
    of = estag_jax.Task(trajectory)
    method = FrameKernel()
    whole = method.seconds(of)
    assert method.within(of, whole) == method
    less = method.within(of, 0.9 * whole)
    assert FrameKernel.fewest <= less.samples < 3000 and less.seconds(of) <= 0.9 * whole
    assert method.within(of, 0.01 * whole) is None
    assert LastFrame().within(of, 1e-9) == LastFrame()


def test_costs_grow_with_the_task():
    small, large = task(2), task(8)
    for name in ("VAR ridge", "Frame ridge", "Frame kernel"):
        method = catalog.settings(name)
        assert 0 < method.seconds(small) < method.seconds(large)


def test_auto_is_no_row_of_a_table():
    with pytest.raises(ValueError, match="auto chooses a method for one run"):
        catalog.choose(["auto"])
    with pytest.raises(ValueError, match="seconds is -1"):
        Auto(seconds=-1)

"""Charts of errors, and what holds for all pictures."""

import subprocess
import sys

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from helpers.figures import (
    REFERENCES,
    check_png,
    check_texts,
    draw_all,
    draw_rollout,
    evaluations,
)
from matplotlib.backends.backend_agg import FigureCanvasAgg

from estag_jax.io import FileError
from estag_jax.report.charts import loss_curve, rollout_error


def test_every_figure_is_a_whole_png(tmp_path, drawn):
    for path in draw_all(tmp_path / "made" / "on" / "the" / "way"):
        check_png(path)
    for figure in drawn:
        check_texts(figure)


def test_errors_that_are_not_finite_are_left_out(tmp_path, drawn):
    found = evaluations()
    for i, value in enumerate((np.nan, np.inf, None, 0.0)):
        found[i]["validation_mse"] = value
    found[5]["train_loss"] = np.inf
    check_png(loss_curve(found, REFERENCES | {"broken": np.nan}, "Å", tmp_path / "loss.png"))
    lines = {line.get_label(): line for line in drawn[0].axes[0].lines}
    assert len(lines["Validation"].get_xdata()) == 36 and len(lines["Training"].get_xdata()) == 39
    assert not any("broken" in label for label in lines)
    best = min(found[4:], key=lambda e: e["validation_mse"])["epoch"]
    assert any(t.get_text().endswith(f"at epoch {best}") for t in drawn[0].texts)
    check_png(
        rollout_error(
            [1, 2, 3], {"a": [1, np.inf, 2], "b": [1, 2, np.nan]}, "Å", tmp_path / "r.png"
        )
    )


@pytest.mark.parametrize("epochs", [1, 2, 300])
def test_charts_of_all_lengths(tmp_path, drawn, epochs):
    check_png(loss_curve(evaluations(epochs), REFERENCES, "Å", tmp_path / "loss.png"))
    check_png(draw_rollout(tmp_path / "rollout.png", epochs, step=0.5, time_unit="ps"))
    for figure in drawn:
        check_texts(figure)


def test_many_long_labels_stay_apart(tmp_path, drawn):
    references = {f"predictor with a long name {i}": 1e-4 + 1e-9 * i for i in range(18)}
    check_png(loss_curve(evaluations(), references, "Å", tmp_path / "loss.png"))
    check_texts(drawn[0])


def test_charts_refuse_what_they_cannot_draw(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        loss_curve([], REFERENCES, "Å", tmp_path / "loss.png")
    with pytest.raises(ValueError, match="nothing to draw"):
        rollout_error([1, 2], {"a": [np.nan, 0.0]}, "Å", tmp_path / "rollout.png")
    with pytest.raises(ValueError, match="a has 3 errors, expected 2"):
        rollout_error([1, 2], {"a": [1, 2, 3]}, "Å", tmp_path / "rollout.png")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_failed_write(tmp_path, monkeypatch):
    path = loss_curve(evaluations(), REFERENCES, "Å", tmp_path / "loss.png")
    before = path.read_bytes()

    def fail(canvas, name, **_):
        name.write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", fail)
    with pytest.raises(FileError, match="disk full"):
        loss_curve(evaluations(3), REFERENCES, "Å", path)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_settings_of_the_session_change_nothing_and_stay(tmp_path):
    plain = [path.read_bytes() for path in draw_all(tmp_path)]
    with matplotlib.style.context("dark_background"):
        matplotlib.rcParams.update({"figure.dpi": 50, "savefig.dpi": 50, "savefig.bbox": "tight"})
        before = dict(matplotlib.rcParams)
        assert [path.read_bytes() for path in draw_all(tmp_path)] == plain
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_imported(tmp_path):
    code = (
        "import sys; from estag_jax.report.charts import rollout_error; import estag_jax.report.overlay; "
        f"rollout_error([1, 2], {{'a': [1, 2]}}, 'Å', {str(tmp_path / 'a.png')!r}); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_band_is_drawn_between_its_ends_behind_the_lines(tmp_path, drawn):
    low, high = np.full(20, 1e-5), np.linspace(1e-3, 1e-2, 20)
    draw_rollout(tmp_path / "rollout.png", emphasise=("estag",), band=(low.tolist(), high.tolist()))
    (band,) = [c for c in drawn[0].axes[0].collections if c.get_alpha()]
    box = band.get_paths()[0].get_extents()
    np.testing.assert_allclose([box.y0, box.y1], [1e-5, 1e-2])
    assert band.get_zorder() < min(line.get_zorder() for line in drawn[0].axes[0].lines[:6])
    assert drawn[0].axes[0].get_ylim()[1] > 1e-2
    gaps = ([None] * 20, [None] * 20)
    check_png(draw_rollout(tmp_path / "rollout.png", emphasise=("estag",), band=gaps))

import subprocess
import sys

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.quiver import Quiver
from matplotlib.text import Text
from PIL import Image

from estag_jax.report import overlay as overlay_module
from estag_jax.report import style
from estag_jax.report.charts import loss_curve, rollout_error
from estag_jax.report.overlay import overlay

REFERENCES = {"Last frame": 8.7e-4, "AR-LS": 1.31e-4, "VAR ridge": 1.3e-4}
PREDICTORS = ("Last frame", "Constant velocity", "AR-LS", "AR-LS per node", "VAR ridge", "estag")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were written, to look into."""
    seen = []
    write = FigureCanvasAgg.print_png

    def keep(canvas, *args, **kwargs):
        seen.append(canvas.figure)
        return write(canvas, *args, **kwargs)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", keep)
    return seen


def _evaluations(epochs=40):
    return [
        {"epoch": e, "train_loss": 1e-3 / e, "validation_mse": 1.1e-3 / e + 1e-6 * (e - 30) ** 2}
        for e in range(1, epochs + 1)
    ]


def _system(nodes, channels, seed=0):
    """Truth, prediction and last frame [N, C, 3] of a chain, and its bonds."""
    rng = np.random.default_rng(seed)
    last = rng.normal(size=(nodes, 1, 3)).cumsum(0) + 0.3 * rng.normal(size=(nodes, channels, 3))
    truth, prediction = (last + 0.03 * rng.normal(size=last.shape) for _ in range(2))
    return truth, prediction, last, np.stack([np.arange(nodes - 1), np.arange(1, nodes)], axis=1)


def _overlay(path, nodes=7, channels=1, names=None, **changes):
    truth, prediction, last, bonds = _system(nodes, channels)
    arguments = {"truth": truth, "prediction": prediction, "last": last, "bonds": bonds}
    names = names or ["C"] * nodes
    return overlay(
        **arguments | changes, names=names, path=path, title="estag, test window 7", unit="Å"
    )


def _rollout(path, steps=20, **options):
    horizons = np.arange(1, steps + 1)
    curves = {name: (1 + 1e-3 * i) * 1e-4 * horizons**1.5 for i, name in enumerate(PREDICTORS)}
    return rollout_error(horizons, curves, "Å", path, **options)


def _draw_all(folder):
    return [
        loss_curve(_evaluations(), REFERENCES, "Å", folder / "loss.png"),
        _rollout(folder / "rollout.png", step=5.0, time_unit="fs", emphasise="estag"),
        _overlay(folder / "overlay.png"),
    ]


def _check_png(path):
    with Image.open(path) as image:
        image.verify()
        assert image.format == "PNG" and image.width == 1400 and 500 < image.height < 1200
    assert [p for p in path.parent.iterdir() if p.suffix != ".png"] == []


def _check_texts(figure):
    """No text is cut off and no two overlap."""
    renderer = figure.canvas.get_renderer()
    shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    boxes = {}
    for text in shown:
        box = text.get_window_extent(renderer)
        # Tick labels beyond an axis' limits are kept by matplotlib but not drawn.
        axis = next((a for x in figure.axes for a in (x.xaxis, x.yaxis) if _is_tick(a, text)), None)
        if axis is None or _is_drawn(axis, text):
            boxes[text] = box
    assert len(boxes) > 8
    page = figure.bbox
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{text} is cut off"
    listed = list(boxes.items())
    for i, (first, a) in enumerate(listed):
        for second, b in listed[i + 1 :]:
            apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
            assert apart, f"{first} and {second} overlap"


def _is_tick(axis, text):
    return any(
        text in (t.label1, t.label2) for t in axis.get_major_ticks() + axis.get_minor_ticks()
    )


def _is_drawn(axis, text):
    return any(text in (t.label1, t.label2) for t in axis._update_ticks())


def test_every_figure_is_a_whole_png(tmp_path, drawn):
    for path in _draw_all(tmp_path / "made" / "on" / "the" / "way"):
        _check_png(path)
    for figure in drawn:
        _check_texts(figure)


@pytest.mark.parametrize("nodes", [1, 2, 40])
@pytest.mark.parametrize("channels", [1, 4])
def test_overlay_of_all_sizes(tmp_path, drawn, nodes, channels):
    _check_png(_overlay(tmp_path / "overlay.png", nodes, channels))
    _check_texts(drawn[0])
    subtitle = next(t.get_text() for t in drawn[0].texts if t.get_text().startswith("Mean"))
    truth, prediction, last, _ = _system(nodes, channels)
    for frame in (prediction, last):
        error = np.mean((frame - truth) ** 2)
        assert style.number(error) in subtitle


def test_overlay_states_the_factor_that_it_draws(tmp_path, drawn):
    truth, prediction, last, _ = _system(7, 1)
    _overlay(tmp_path / "overlay.png")
    figure = drawn[0]
    texts = [t.get_text() for t in figure.findobj(Text)]
    factor = float(next(t for t in texts if t.startswith("Displacements")).split("×")[1])
    true, predicted = figure.findobj(Quiver)
    lengths = np.hypot(true.U, true.V), np.hypot(predicted.U, predicted.V)
    bar = next(t for t in texts if t.startswith("displacement of"))
    assert factor > 1
    # Inches per unit, from the scale bar of the right panel.
    inches = next(x.get_xdata() for x in figure.axes[0].lines if x.get_xdata()[0] > 3)
    per_unit = np.ptp(inches) / float(bar.split()[2])
    for drawn_lengths, frame in zip(lengths, (truth, prediction), strict=True):
        full = np.linalg.norm(frame - last, axis=-1)[:, 0] * per_unit
        assert (drawn_lengths <= full * (1 + 1e-6)).all(), (
            "an arrow is longer than its displacement"
        )
        assert drawn_lengths.sum() > 0.5 * full.sum()


def test_views_keep_distances_and_handedness():
    points = _system(9, 1)[2][:, 0]
    (turned,) = overlay_module._view([points])
    centred = points - points.mean(0)
    np.testing.assert_allclose(turned @ turned.T, centred @ centred.T, atol=1e-12)
    rotation = np.linalg.lstsq(centred, turned)[0]
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_overlay_draws_what_there_is_of_a_diverged_prediction(tmp_path, drawn):
    truth, prediction, last, bonds = _system(7, 1)
    prediction[3] = np.nan
    _check_png(_overlay(tmp_path / "overlay.png", prediction=prediction))
    _check_png(_overlay(tmp_path / "overlay.png", prediction=np.full_like(truth, np.inf)))
    _check_png(_overlay(tmp_path / "overlay.png", prediction=last, truth=last))
    _check_png(_overlay(tmp_path / "overlay.png", bonds=np.empty((0, 2), int)))
    both = np.concatenate([bonds, bonds[:, ::-1]])
    _check_png(_overlay(tmp_path / "overlay.png", bonds=both, names=list("abcdefg")))
    assert len(drawn) == 5


def test_overlay_refuses_what_does_not_fit(tmp_path):
    truth = _system(7, 1)[0]
    for changes in ({"truth": truth[:, 0]}, {"truth": truth[:5]}, {"names": ["C"] * 6}):
        with pytest.raises(ValueError, match=r"expected \[\d, C, 3\] each"):
            _overlay(tmp_path / "overlay.png", **changes)
    with pytest.raises(ValueError, match="not finite"):
        _overlay(tmp_path / "overlay.png", truth=truth * np.nan)
    assert list(tmp_path.iterdir()) == []


def test_errors_that_are_not_finite_are_left_out(tmp_path, drawn):
    evaluations = _evaluations()
    for i, value in enumerate((np.nan, np.inf, None, 0.0)):
        evaluations[i]["validation_mse"] = value
    evaluations[5]["train_loss"] = np.inf
    _check_png(loss_curve(evaluations, REFERENCES | {"broken": np.nan}, "Å", tmp_path / "loss.png"))
    lines = {line.get_label(): line for line in drawn[0].axes[0].lines}
    assert len(lines["Validation"].get_xdata()) == 36 and len(lines["Training"].get_xdata()) == 39
    assert not any("broken" in label for label in lines)
    best = min(evaluations[4:], key=lambda e: e["validation_mse"])["epoch"]
    assert any(t.get_text().endswith(f"at epoch {best}") for t in drawn[0].texts)
    _check_png(
        rollout_error(
            [1, 2, 3], {"a": [1, np.inf, 2], "b": [1, 2, np.nan]}, "Å", tmp_path / "r.png"
        )
    )


@pytest.mark.parametrize("epochs", [1, 2, 300])
def test_charts_of_all_lengths(tmp_path, drawn, epochs):
    _check_png(loss_curve(_evaluations(epochs), REFERENCES, "Å", tmp_path / "loss.png"))
    _check_png(_rollout(tmp_path / "rollout.png", epochs, step=0.5, time_unit="ps"))
    for figure in drawn:
        _check_texts(figure)


def test_many_long_labels_stay_apart(tmp_path, drawn):
    references = {f"predictor with a long name {i}": 1e-4 + 1e-9 * i for i in range(18)}
    _check_png(loss_curve(_evaluations(), references, "Å", tmp_path / "loss.png"))
    _check_texts(drawn[0])


def test_charts_refuse_what_they_cannot_draw(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        loss_curve([], REFERENCES, "Å", tmp_path / "loss.png")
    with pytest.raises(ValueError, match="nothing to draw"):
        rollout_error([1, 2], {"a": [np.nan, 0.0]}, "Å", tmp_path / "rollout.png")
    with pytest.raises(ValueError, match="a has 3 errors, expected 2"):
        rollout_error([1, 2], {"a": [1, 2, 3]}, "Å", tmp_path / "rollout.png")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_failed_write(tmp_path, monkeypatch):
    path = loss_curve(_evaluations(), REFERENCES, "Å", tmp_path / "loss.png")
    before = path.read_bytes()

    def fail(canvas, name, **_):
        name.write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", fail)
    with pytest.raises(OSError, match="disk full"):
        loss_curve(_evaluations(3), REFERENCES, "Å", path)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_settings_of_the_session_change_nothing_and_stay(tmp_path):
    plain = [path.read_bytes() for path in _draw_all(tmp_path)]
    with matplotlib.style.context("dark_background"):
        matplotlib.rcParams.update({"figure.dpi": 50, "savefig.dpi": 50, "savefig.bbox": "tight"})
        before = dict(matplotlib.rcParams)
        assert [path.read_bytes() for path in _draw_all(tmp_path)] == plain
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_imported(tmp_path):
    code = (
        "import sys; from estag_jax.report.charts import rollout_error; import estag_jax.report.overlay; "
        f"rollout_error([1, 2], {{'a': [1, 2]}}, 'Å', {str(tmp_path / 'a.png')!r}); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

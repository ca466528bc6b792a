"""The overlay of one window: what is drawn is what it says, and the sticks are those of the system."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.figures import chain, check_png, check_texts, draw_overlay
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from estag_jax.data.graphs import GraphConfig, with_graph
from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.result import Result, Row
from estag_jax.report import overlay as overlay_module
from estag_jax.report import run_figures, style
from estag_jax.report.overlay import sticks


@pytest.mark.parametrize("nodes", [1, 2, 40])
@pytest.mark.parametrize("channels", [1, 4])
def test_overlay_of_all_sizes(tmp_path, drawn, nodes, channels):
    check_png(draw_overlay(tmp_path / "overlay.png", nodes, channels))
    check_texts(drawn[0])
    subtitle = next(t.get_text() for t in drawn[0].texts if t.get_text().startswith("Mean"))
    truth, prediction, last, _ = chain(nodes, channels)
    for frame in (prediction, last):
        error = np.mean((frame - truth) ** 2)
        assert style.number(error) in subtitle


def test_overlay_states_the_factor_that_it_draws(tmp_path, drawn):
    truth, prediction, last, _ = chain(7, 1)
    draw_overlay(tmp_path / "overlay.png")
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
    points = chain(9, 1)[2][:, 0]
    centred = points - points.mean(0)
    turned = centred @ overlay_module.widest_view(points)
    np.testing.assert_allclose(turned @ turned.T, centred @ centred.T, atol=1e-12)
    rotation = np.linalg.lstsq(centred, turned)[0]
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_overlay_draws_what_there_is_of_a_diverged_prediction(tmp_path, drawn):
    truth, prediction, last, bonds = chain(7, 1)
    prediction[3] = np.nan
    check_png(draw_overlay(tmp_path / "overlay.png", prediction=prediction))
    check_png(draw_overlay(tmp_path / "overlay.png", prediction=np.full_like(truth, np.inf)))
    check_png(draw_overlay(tmp_path / "overlay.png", prediction=last, truth=last))
    check_png(draw_overlay(tmp_path / "overlay.png", bonds=np.empty((0, 2), int)))
    both = np.concatenate([bonds, bonds[:, ::-1]])
    check_png(draw_overlay(tmp_path / "overlay.png", bonds=both, names=list("abcdefg")))
    assert len(drawn) == 5


def test_overlay_refuses_what_does_not_fit(tmp_path):
    truth = chain(7, 1)[0]
    for changes in ({"truth": truth[:, 0]}, {"truth": truth[:5]}, {"names": ["C"] * 6}):
        with pytest.raises(ValueError, match=r"expected \[\d, C, 3\] each"):
            draw_overlay(tmp_path / "overlay.png", **changes)
    with pytest.raises(ValueError, match="not finite"):
        draw_overlay(tmp_path / "overlay.png", truth=truth * np.nan)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def square():
    """Four particles at the corners of a unit square, and one 0.5 beyond a corner."""
    points = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1.5, 1, 0]]
    return Trajectory.from_arrays(np.array([points], np.float32))


def test_sticks_are_the_edges_of_a_radius_graph(square):
    system = with_graph(square, GraphConfig("radius", cutoff=1.1)).system
    assert system.bonds is None
    assert sticks(system).tolist() == [[0, 1], [0, 3], [1, 2], [2, 3], [2, 4]]
    shorter = with_graph(square, GraphConfig("radius", cutoff=0.7)).system
    assert sticks(shorter).tolist() == [[2, 4]]


def test_sticks_are_the_bonds_where_they_are_known(square):
    """Even where edges join more than the bonds do: by distance, or two bonds apart."""
    bonds = np.array([[0, 2], [2, 4]])
    bonded = square.changed(bonds=bonds)
    for config in (GraphConfig("radius", cutoff=1.1), GraphConfig("bonds", hops=2)):
        system = with_graph(bonded, config).system
        assert system.graph.num_edges > 2 * len(bonds)
        assert sticks(system).tolist() == bonds.tolist()


def test_the_picture_of_a_run_has_the_sticks_of_its_radius_graph(tmp_path, monkeypatch, square):
    """Earlier versions drew the bonds alone, so a system without bonds was a cloud of points."""
    frames = np.repeat(square.positions, 40, axis=0)
    moving = square.changed(positions=frames, lengths=(40,))
    task = Task(moving, WindowConfig(2, 1), graph=GraphConfig("radius", cutoff=1.1))
    given, joined = [], []

    def see(truth, prediction, last, pairs, *rest, **about):
        given.append(pairs)
        return overlay_module.overlay(truth, prediction, last, pairs, *rest, **about)

    def keep(axes, points, colours, pairs, radius, real=overlay_module._balls_and_sticks):
        joined.append(pairs.tolist())
        return real(axes, points, colours, pairs, radius)

    monkeypatch.setattr(run_figures, "overlay", see)
    monkeypatch.setattr(overlay_module, "_balls_and_sticks", keep)
    forecaster = SimpleNamespace(
        error_bars=None, predict=lambda history, vectors: history[:, -1] + 0.1
    )
    result = Result(task.describe(), [Row("Last frame")])
    finished = SimpleNamespace(task=task, forecaster=forecaster, result=result, beside={})
    (path,) = run_figures.draw(tmp_path, finished)
    check_png(path)
    edges = [[0, 1], [0, 3], [1, 2], [2, 3], [2, 4]]
    assert given[0].tolist() == edges and joined == [edges] * 3


def test_further_predictions_are_drawn_and_named(tmp_path, drawn):
    truth, prediction, last, _ = chain(7, 1)
    close = truth + 0.1 * (prediction - truth)
    path = draw_overlay(tmp_path / "overlay.png", name="ESTAG", others={"Frame kernel": close})
    check_png(path)
    check_texts(drawn[0])
    texts = [t.get_text() for t in drawn[0].findobj(Text)]
    assert {"ESTAG", "Frame kernel", "true displacement", "last frame"} <= set(texts)
    subtitle = next(t for t in texts if t.startswith("Mean"))
    for label, frame in {"ESTAG": prediction, "Frame kernel": close, "last frame": last}.items():
        assert f"{label} {style.number(np.mean((frame - truth) ** 2))} Å²" in subtitle
    true, first, second = drawn[0].findobj(Quiver)
    # The arrows of the better prediction end nearer to those of the truth.
    off = [np.hypot(q.U - true.U, q.V - true.V).mean() for q in (first, second)]
    assert 0 < off[1] < 0.2 * off[0]
    colours = {tuple(q.get_facecolor()[0]) for q in (true, first, second)}
    assert len(colours) == 3


def test_the_regions_are_projected_about_the_heads_of_the_predicted_arrows(tmp_path, drawn):
    truth, prediction, last, _ = chain(7, 1)
    root = 0.02 * np.random.default_rng(0).normal(size=(7, 1, 3, 3))
    regions = root @ np.swapaxes(root, -1, -2)
    draw_overlay(tmp_path / "overlay.png", regions=regions)
    figure = drawn[0]
    _, predicted = figure.findobj(Quiver)
    heads = predicted.get_offsets() + np.stack([predicted.U, predicted.V], axis=1)
    shown = [c for c in figure.axes[0].collections if len(c.get_paths()) == 7][-1]
    view = overlay_module.widest_view(last[:, 0])[:, :2]
    # Inches per unit of the magnified displacements, from an arrow.
    move = (prediction - last)[:, 0] @ view
    scale = np.linalg.norm(predicted.U + 1j * predicted.V) / np.linalg.norm(move)
    for path, head, region in zip(shown.get_paths(), heads, regions[:, 0], strict=True):
        outline = (path.vertices[:32] - head) / scale
        inverse = np.linalg.inv(view.T @ region @ view)
        np.testing.assert_allclose(
            np.einsum("pi,ij,pj->p", outline, inverse, outline), 1, rtol=1e-6
        )

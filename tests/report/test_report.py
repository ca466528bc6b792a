"""Reports and the viewer as files: self-contained, whole, small, with every foreign string escaped."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest
from helpers.command import estag
from helpers.pages import Page
from helpers.springs import SPLIT, WINDOW, config, frames
from helpers.viewer import positions_of

import estag_jax
from estag_jax.data.graphs import GraphConfig
from estag_jax.data.system import System
from estag_jax.report.page import bullets, paragraph, table
from estag_jax.report.viewer import Clip, View, view
from estag_jax.runs.grid import run_grid
from estag_jax.runs.run import train
from estag_jax.runs.settings import RunConfig

EVIL = "<script>alert(1)<!--"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A run of a network whose file is called unkindly."""
    folder = tmp_path_factory.mktemp("network")
    np.save(folder / f"{EVIL}.npy", frames(count=700))
    train(config(folder / f"{EVIL}.npy"), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A run of a closed form on a file of atoms, whose bonds are known."""
    folder = tmp_path_factory.mktemp("solved")
    x = np.array([[0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [3.5, 1.3, 0.4]])
    noise = np.random.default_rng(0).normal(size=(700, 4, 3)).cumsum(0)
    moved = x + 0.05 * np.sin(noise)
    np.savez(folder / "chain.npz", R=moved, z=np.array([6, 6, 6, 8]))
    given = dict(method="VAR ridge", window=WINDOW, split=SPLIT, graph=GraphConfig(kind="bonds"))
    train(RunConfig(data=(str(folder / "chain.npz"),), **given), folder / "run")
    return folder / "run"


def written(capsys, *argv):
    code, out, err = estag(capsys, "report", *argv)
    assert code == 0, err
    path = out.rpartition(": ")[0]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    page = Page(text)
    assert page.faults == []
    return text, page


def test_report_of_a_network(network, capsys):
    text, page = written(capsys, network, "--steps", 10, 20)
    assert len(text) < 1e6 and (network / "report.html").exists()
    assert "alert(1)<!--" in page.text and EVIL not in text
    assert len(page.figures) == 4 and all(len(label) > 60 for label in page.figures)
    for word in ("VAR ridge", "Worst windows", "Error bars", "radius of gyration", "best epoch"):
        assert word in page.text
    assert text.count('class="viewer"') == 2


def test_report_of_a_closed_form(solved, capsys, tmp_path):
    text, page = written(capsys, solved, "--steps", 20, "--out", tmp_path / "new" / "a.html")
    assert not (solved / "report.html").exists() and len(text) < 1e6
    assert len(page.figures) == 3  # no loss curve
    for word in ("bonds, mean distance", "dihedrals, largest distance", "ridge", "20 frames"):
        assert word in page.text


def test_report_without_the_data_says_so(solved, capsys, tmp_path):
    data = solved.parent / "chain.npz"
    data.rename(tmp_path / "away.npz")
    try:
        _, page = written(capsys, solved, "--out", tmp_path / "a.html")
        assert "Not shown" in page.text and "chain.npz" in page.text and "VAR ridge" in page.text
    finally:
        (tmp_path / "away.npz").rename(data)


def test_report_of_a_table(tmp_path, capsys):
    np.save(tmp_path / "a.npy", frames())
    given = dict(data=(str(tmp_path / "a.npy"),), window=WINDOW, split=SPLIT)
    run_grid({EVIL: RunConfig(**given)}, ("AR-LS",), 1, tmp_path / "table")
    text, page = written(capsys, tmp_path / "table")
    assert len(page.figures) == 1 and "AR-LS" in page.text and EVIL not in text
    code, _, err = estag(
        capsys, "report", tmp_path / "table", "--out", tmp_path / "table" / "cells"
    )
    assert code == 2 and "a folder" in err
    code, _, err = estag(capsys, "report", tmp_path)
    assert code == 2 and str(tmp_path) in err and err.count("\n") == 1


def test_the_viewer_is_small():
    program = files("estag_jax.report").joinpath("viewer.js").read_text(encoding="utf-8")
    assert len(program.encode()) < 20_000
    assert not re.search(r"https?://|\bimport\b|fetch\(|eval\(", program)


def test_long_clips_stay_small_and_keep_their_positions(tmp_path):
    """2,000 frames of 31 joints, twice: below 3 MB, and right to the quarter of a thousandth."""
    rng = np.random.default_rng(0)
    truth = (rng.normal(size=(2000, 31, 3)) * 0.01).cumsum(0) + rng.normal(size=(31, 3)) * 10
    forecast = truth + 0.1 * rng.normal(size=truth.shape)
    path = tmp_path / "walk.html"
    shown = view(truth, forecast, step=1 / 120, time_unit="s")
    shown.save(path, "walk")
    assert path.stat().st_size < 3e6
    assert Page(path.read_text(encoding="utf-8")).faults == []
    clip = shown.data["clips"][0]
    side = np.ptp(np.concatenate([truth, forecast]), axis=(0, 1)).max()
    for name, values in (("truth", truth), ("forecast", forecast)):
        np.testing.assert_allclose(positions_of(clip, name), values, atol=0.51 * side / 65_534)


def test_names_are_escaped_in_pages_and_notebooks():
    system = System((EVIL, '"</script>'), length_unit="<b>")
    shown = View([Clip(np.zeros((2, 2, 1, 3)), None, EVIL)], system)
    html = shown.html()
    assert html.count("</script>") == 1 and EVIL not in html
    data = re.search(r"<script[^>]*>(.*?)</script>", html).group(1)
    assert json.loads(data) == shown.data and EVIL in shown.data["names"][0]
    inside = shown._repr_html_()
    assert inside.startswith("<iframe ") and inside.count("<") == 2 and inside.count('"') == 8


@pytest.mark.parametrize("made", [paragraph, lambda t: bullets([t]), lambda t: table([t], [])])
def test_powers_of_ten_are_set_high(made):
    assert "0.2 10<sup>−3</sup>&nbsp;Å² &lt;" in made("0.2 10^-3 Å² <")
    assert "10<sup>12</sup>&nbsp;" in made("10^12") and "210^2" in made("210^2")


def test_forecasts_that_leave_the_numbers_are_cut_and_held():
    truth = np.random.default_rng(0).normal(size=(6, 3, 1, 3))
    forecast = truth.copy()
    forecast[2] += 1e9
    forecast[4:] = np.nan
    clip = View([Clip(truth, forecast)], System(("a", "b", "c"))).data["clips"][0]
    assert clip["frames"] == 4
    side = np.ptp(truth[:4], axis=(0, 1, 2)).max()
    np.testing.assert_allclose(positions_of(clip, "truth"), truth[:4, :, 0], atol=1e-4 * side)
    assert np.abs(positions_of(clip, "forecast")).max() < 3 * side


def test_view_takes_trajectories_and_refuses_other_shapes():
    trajectory = estag_jax.load_trajectory("demo")
    some = trajectory.changed(positions=trajectory.positions[:3], lengths=(3,))
    data = estag_jax.view(some).data
    assert data["unit"] == "Å" and len(data["edges"]) == 13 and data["clips"][0]["step"] == 0.5
    with pytest.raises(ValueError, match=r"\(2, 13, 1, 3\).*\(3, 13, 1, 3\)"):
        estag_jax.view(some, some.positions[:2])

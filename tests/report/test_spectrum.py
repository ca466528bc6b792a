"""The spectrum of velocities as a picture: units of the axis, and the figures that are stated."""

import numpy as np
import pytest
from helpers.figures import check_png, check_texts
from scipy.constants import speed_of_light

from estag_jax.data.system import System
from estag_jax.evaluation.spectra import Spectra
from estag_jax.report.filters import filters_figure
from estag_jax.report.spectrum import spectrum, to_display

SECONDS = {"fs": 1e-15, "ps": 1e-12}


@pytest.mark.parametrize("unit", ["fs", "ps"])
def test_molecules_are_shown_in_wavenumbers(unit):
    """A wave of 1000 per cm has a frequency of 1000 c."""
    frequency = 1000 * speed_of_light * 100 * SECONDS[unit]
    x, label, share = to_display(np.array([0, frequency]), np.array([0.25, 0.75]), unit)
    np.testing.assert_allclose(x, [0, 1000], rtol=1e-9)
    np.testing.assert_allclose(share, [0.25, 1])
    assert label == "Wavenumber [cm⁻¹]"


@pytest.mark.parametrize(("unit", "label"), [("s", "Hz"), ("frame", "1 / frame")])
def test_other_units_keep_their_numbers(unit, label):
    x, shown, _ = to_display(np.array([0, 2.5]), np.array([0.5, 0.5]), unit)
    assert x.tolist() == [0, 2.5] and shown == f"Frequency [{label}]"


def test_the_picture_states_the_strongest_and_the_median(tmp_path, drawn):
    frequencies = np.linspace(0, 10, 101)
    power = np.full(101, 0.004)
    power[30], power[80] = 0.25, 0.6 - 0.254 + 0.004 * 2
    power /= power.sum()
    path = spectrum(frequencies, power, "s", tmp_path / "a.png", "walk")
    check_png(path)
    check_texts(drawn[0])
    median = frequencies[np.flatnonzero(np.cumsum(power) >= 0.5)[0]]
    texts = [t.get_text() for t in drawn[0].texts]
    assert f"Strongest at 8 Hz, half of the power below {median:.4g} Hz" in texts


@pytest.mark.parametrize("nodes", [4, 90])
def test_the_panels_of_nodes_edges_and_filters_have_room(nodes, tmp_path, drawn):
    rng = np.random.default_rng(0)
    pairs = np.stack([np.arange(nodes - 1), np.arange(1, nodes)], axis=1)
    found = Spectra(
        np.linspace(0, 0.1, 129),
        rng.random((nodes, 129)),
        pairs,
        rng.random((nodes - 1, 33)),
        np.arange(1, 6) * 0.02,
        rng.random((nodes, 5)),
    )
    system = System(("a longer name",) * nodes)
    filters_figure(found, rng.random((nodes, 9)), system, "fs", tmp_path / "a.png", "a", [300.0])
    check_texts(drawn[0])
    assert len(drawn[0].axes) == 8  # three maps with their bars, the power, and the mean filter
    filters_figure(found, None, system, "s", tmp_path / "b.png", "b")
    assert len(drawn[1].axes) == 5

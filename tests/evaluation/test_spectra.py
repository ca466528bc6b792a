"""Spectra of a task: the frequencies of a known motion, coherence against scipy, the gait of a walk."""

import numpy as np
import pytest
from helpers.command import estag
from helpers.springs import FULL, SPLIT
from scipy.signal import coherence

from estag_jax.data.settings import WindowConfig
from estag_jax.data.statistics import coherences, node_powers, power_spectrum
from estag_jax.data.system import DataError
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.evaluation.filters import learned_filters
from estag_jax.evaluation.spectra import fundamental, peaks, spectra, thinned
from estag_jax.report.spectrum import frequency_text

STEP, DELTA, PAST = 0.5, 2, 10
HERE, THERE = 0.1, 0.3  # in 1 / time unit; one frame of a window is one time unit


def swinging(frames=3000):
    """Four nodes: two that swing at HERE against each other, one at THERE, one still, in a little noise."""
    rng, t = np.random.default_rng(0), STEP * np.arange(frames)
    x = 1e-3 * rng.normal(size=(frames, 4, 3))
    x[:, :2, 0] += np.cos(2 * np.pi * HERE * t)[:, None] * [1, -1]  # the centroid rests
    x[:, 2, 1] += 0.5 * np.sin(2 * np.pi * THERE * t)
    about = dict(frame_step=STEP, time_unit="ps", lengths=(1000, 2000))
    return Trajectory.from_arrays(x, **about)


@pytest.fixture(scope="module")
def found():
    return spectra(Task(swinging(), WindowConfig(PAST, DELTA), SPLIT, FULL))


def test_each_node_has_its_own_frequency(found):
    strongest = found.frequencies[np.argmax(found.power[:3], axis=1)]
    np.testing.assert_allclose(strongest, [HERE, HERE, THERE], atol=0.004)
    np.testing.assert_allclose(sorted(peaks(found, 2)), [HERE, THERE], atol=0.004)
    assert found.frequencies[-1] == found.cycles[-1] == 0.5
    np.testing.assert_allclose(found.bins, np.arange(1, 6) / PAST)
    assert np.argmax(found.seen[:3], axis=1).tolist() == [0, 0, 2]
    np.testing.assert_allclose(found.total.sum(), 1)


def test_nodes_add_up_to_the_whole():
    trajectory = swinging()
    frequencies, power = node_powers(trajectory, 128)
    again, total = power_spectrum(trajectory, 128)
    np.testing.assert_array_equal(frequencies, again)
    np.testing.assert_allclose(power.sum(axis=0) / power.sum(), total)


def test_ends_that_swing_together_are_coherent_and_others_are_not(found):
    at = round(HERE * 2 * (found.coherence.shape[1] - 1))
    by_edge = dict(zip(map(tuple, found.pairs.tolist()), found.coherence[:, at], strict=True))
    assert by_edge[0, 1] > 0.99 and by_edge[0, 3] < 0.2
    assert ((found.coherence >= 0) & (found.coherence <= 1 + 1e-9)).all()


def test_coherence_along_one_axis_is_that_of_scipy():
    rng = np.random.default_rng(1)
    x = np.zeros((1025, 2, 3))
    x[:, 0, 2] = rng.normal(size=1025)
    x[:, 1, 2] = 0.7 * x[:, 0, 2] + rng.normal(size=1025)
    frequencies, ours = coherences(Trajectory.from_arrays(x), np.array([[0, 1]]), 64)
    v = np.diff(x[:, :, 2], axis=0)
    v = v - v.mean(axis=0)
    options = dict(window=np.hanning(64), nperseg=64, noverlap=32, detrend=False)
    expected_at, expected = coherence(v[:, 0], v[:, 1], **options)
    np.testing.assert_allclose(frequencies, expected_at)
    np.testing.assert_allclose(ours[0], expected, rtol=1e-6, atol=1e-9)


def test_thinned_frames_are_those_of_windows():
    some = thinned(swinging(), 3)
    assert some.lengths == (334, 667) and some.frame_step == 1.5
    np.testing.assert_array_equal(some.positions[334], swinging().positions[1000])


def test_the_stride_is_found_under_stronger_steps():
    t = np.arange(500) / 24
    sizes = ((1, 1.0), (2, 1.7), (3, 0.5), (4, 0.7))
    x = sum(size * np.sin(2 * np.pi * 0.93 * n * t + n) / n for n, size in sizes)
    x = x[:, None, None] + 1e-3 * np.random.default_rng(0).normal(size=(500, 5, 3))
    frequencies, power = power_spectrum(Trajectory.from_arrays(x, frame_step=1 / 24), 499)
    base, share = fundamental(frequencies, power)
    assert base == pytest.approx(0.93, abs=frequencies[1] / 4) and share > 0.9
    assert np.isnan(fundamental(frequencies[:9], power[:9])[0])


def test_frequencies_are_written_in_the_units_of_the_field():
    assert frequency_text(0.05, "fs") == "1,668 cm⁻¹ (50 THz)"
    assert frequency_text(1.5, "ps") == "50.03 cm⁻¹ (1.5 THz)"
    assert frequency_text(0.9, "s") == "0.9 Hz"


def test_too_few_frames_are_refused():
    x = np.zeros((400, 2, 3))
    with pytest.raises(DataError, match=r"in which something moves.*lower Δ"):
        spectra(Task(Trajectory.from_arrays(x), WindowConfig(4, 2), SPLIT, FULL))


def test_the_command_reads_data(tmp_path, capsys):
    path = tmp_path / "springs.npz"
    apart = swinging().positions[:, :, 0] + 3 * np.arange(4)[:, None]
    np.savez(path, R=apart, z=np.full(4, 6), dt_fs=STEP)
    out = tmp_path / "a.png"
    code, said, err = estag(capsys, "spectrum", path, "--graph.kind", "full", "--out", out)
    assert code == 0, err
    assert out.stat().st_size > 10_000 and "THz" in said and "filters" not in said
    code, _, err = estag(capsys, "spectrum", path, "--surrogates", 20)
    assert code == 2 and "200" in err
    assert learned_filters(object(), None) is None

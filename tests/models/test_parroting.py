"""Context parroting: copies spelled out, exact symmetry, what is chosen, files, chaotic motion."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import FULL, task
from helpers.walks import random_windows, task_of
from scipy.linalg import orthogonal_procrustes

import estag_jax
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.splits import Split
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.models import parroting
from estag_jax.models.parroting import ContextParroting
from estag_jax.simulate.settings import SyntheticConfig
from estag_jax.simulate.synthetic import read
from estag_jax.testing.symmetry import random_symmetry
from estag_jax.training.fit import fit

pytestmark = pytest.mark.optimised

SHAPES = [(3, 1), (2, 2)]  # (N, C)


def orbits(phases, nodes=3, frames=400):
    """Closed paths that do not lie in planes, a phase for each node [frames, N, 3]."""
    t = 0.1 * np.arange(frames)[:, None] * np.linspace(1, 1.3, nodes) + phases
    x = np.stack([np.cos(t), np.sin(t), 0.5 * np.cos(2 * t)], axis=-1)
    return x * np.linspace(1, 2, nodes)[:, None] + 5 * np.arange(nodes)[:, None]


def orbiting(window=None, split=None):
    trajectory = Trajectory.from_arrays(orbits(0.0))
    split = split or SplitConfig(kind="blocked", train=80, validation=40, test=40)
    return Task(trajectory, window or WindowConfig(past=6, delta=2), split, FULL)


@pytest.mark.parametrize("each_node", [False, True])
@pytest.mark.parametrize(("nodes", "channels"), SHAPES)
def test_what_followed_the_nearest_motif_is_copied(nodes, channels, each_node):
    windows = random_windows(8, nodes, 5, channels)
    predictor = ContextParroting(length=4, each_node=each_node).fit(task_of(windows))
    history, _ = random_windows(6, nodes, 5, channels, seed=1)
    found = predictor.predict(history)
    x, y = windows
    pieces = [*zip(x[:, :, :4], x[:, :, 4], strict=True), *zip(x[:, :, 1:], y, strict=True)]
    for query, frame in zip(history[:, :, 1:], found, strict=True):
        for group in [[n] for n in range(nodes)] if each_node else [list(range(nodes))]:
            d = (query - query[:, -1:])[group, :-1].reshape(-1, 3)
            copies = []
            for motif, after in pieces:
                own = (motif - motif[:, -1:])[group, :-1].reshape(-1, 3)
                turn, _ = orthogonal_procrustes(own, d)
                step = (after - motif[:, -1])[group] @ turn
                copies.append((np.linalg.norm(own @ turn - d), query[group, -1] + step))
            expected = min(copies, key=lambda copy: copy[0])[1]
            np.testing.assert_allclose(frame[group], expected, atol=2e-3)


@pytest.mark.parametrize("each_node", [False, True])
@pytest.mark.parametrize("kind", ["rotation", "reflection", "translation"])
def test_forecasts_turn_with_the_history(kind, each_node):
    predictor = ContextParroting(each_node=each_node).fit(task_of(random_windows(60, 3, 5)))
    history, _ = random_windows(20, 3, 5, seed=3)
    symmetry = random_symmetry(1, 3, kind)
    symmetry = dataclasses.replace(symmetry, permutation=np.arange(3))
    expected = symmetry.on_positions(predictor.predict(history))
    assert np.abs(predictor.predict(history) - history[:, :, -1]).max() > 0.5
    moved = predictor.predict(symmetry.on_positions(history))
    np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_a_copy_that_is_not_turned_does_not_follow(monkeypatch):
    """Negative control of the test above."""
    honest = parroting.nearest_motifs

    def unturned(*args):
        which, turn = honest(*args)
        return which, 0 * turn + np.eye(3)

    monkeypatch.setattr(parroting, "nearest_motifs", unturned)
    predictor = ContextParroting().fit(task_of(random_windows(60, 3, 5)))
    history, _ = random_windows(20, 3, 5, seed=3)
    symmetry = dataclasses.replace(random_symmetry(1, 3, "rotation"), permutation=np.arange(3))
    expected = symmetry.on_positions(predictor.predict(history))
    assert np.abs(predictor.predict(symmetry.on_positions(history)) - expected).max() > 0.1


def test_motion_that_comes_again_is_forecast_wherever_and_however_it_stands():
    of = orbiting()
    predictor = ContextParroting().fit(of)
    (windows,) = of.windows("test")
    symmetry = dataclasses.replace(random_symmetry(0, 3, "all"), permutation=np.arange(3))
    history, target = (symmetry.on_positions(x) for x in (windows.history, windows.target[:, 0]))
    moved = np.mean((history[:, :, -1] - target) ** 2)
    assert np.mean((predictor.predict(history) - target) ** 2) < 2e-3 * moved


def test_parts_that_move_independently_have_motifs_of_their_own():
    rng = np.random.default_rng(0)
    runs = np.concatenate([orbits(rng.uniform(0, 6, 3), frames=60) for _ in range(40)])
    trajectory = Trajectory.from_arrays(runs, lengths=(60,) * 40)
    split = SplitConfig(kind="by-trajectory", train=100, validation=60, test=60)
    of = Task(trajectory, WindowConfig(past=4, delta=5), split, FULL)
    predictor = ContextParroting(samples=100).fit(of)
    assert predictor.each_node and predictor.chosen["motif of"] == "each node"
    assert predictor.chosen["motifs"] == 100


@pytest.mark.parametrize("horizon", [1, 3])
def test_motifs_are_pieces_of_the_training_windows(horizon):
    window = WindowConfig(past=6, delta=2, horizons=(horizon,))
    starts = np.array([3, 5, 90])
    of = orbiting(window, [Split(starts, starts + 200, starts + 280, "given")])
    predictor = ContextParroting(length=3).fit(of)
    x, expected = of.trajectories[0].positions, set()
    for start in starts:
        own = {start + 2 * place for place in (*range(6), 5 + horizon)}
        for begin in range(start, start + 8, 2):
            piece = (begin, begin + 2, begin + 4, begin + 4 + 2 * horizon)
            if {*piece} <= own:
                expected.add(piece)
    found = predictor.frames[predictor.motifs]
    np.testing.assert_array_equal(found, [x[[*piece]] for piece in sorted(expected)])
    assert len(np.unique(predictor.frames, axis=0)) == len(predictor.frames)


@pytest.mark.parametrize("each_node", [False, True])
def test_straight_plane_and_still_motion_is_finite(each_node, x64):
    history, target = random_windows(30, 2, 5)
    for along in ([1, 0, 0], [1, 1, 0], [0, 0, 0]):
        x, y = history * along, target * along
        predictor = ContextParroting(each_node=each_node).fit(task_of((x, y)))
        found = predictor.predict(x[:5])
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found * (1 - np.array(along)), 0, atol=1e-9)
        slope = jax.jit(jax.grad(lambda h, p=predictor: p.predict(h).sum()))
        assert np.isfinite(slope(jnp.asarray(x[:5]))).all()


@pytest.mark.parametrize("each_node", [False, True])
def test_jit_vmap_and_float32_agree(each_node):
    of = orbiting()
    predictor = ContextParroting(each_node=each_node).fit(of)
    (windows,) = of.windows("test")
    expected = predictor.predict(windows.history)
    assert expected.dtype == np.float64
    one = predictor.predict(windows.history[0])
    np.testing.assert_allclose(one, expected[0], atol=1e-12)
    error = np.mean((expected - windows.target[:, 0]) ** 2)
    single = jnp.asarray(windows.history, jnp.float32)
    traced = partial(jax.jit(lambda p, history: p.predict(history)), predictor)
    for run in (jax.jit(predictor.predict), jax.jit(jax.vmap(predictor.predict)), traced):
        found = run(single)
        assert found.dtype == jnp.float32
        # Of two motifs that are equally near, rounding may choose the other.
        assert np.mean((found - windows.target[:, 0]) ** 2) == pytest.approx(error, rel=0.3)


def test_blocks_of_windows_change_nothing(monkeypatch):
    predictor = ContextParroting().fit(task_of(random_windows(60, 3, 5)))
    history, _ = random_windows(20, 3, 5, seed=3)
    expected = predictor.predict(history)
    monkeypatch.setattr(parroting, "BLOCK", 1)
    np.testing.assert_allclose(predictor.predict(history), expected, atol=1e-12)


def test_files_keep_it(tmp_path):
    of = task()
    fitted = fit("context-parroting", of)
    fitted.forecaster.save(tmp_path / "f.npz")
    again = estag_jax.load(tmp_path / "f.npz")
    (windows,) = of.windows("test")
    found = fitted.forecaster.predict(windows.history)
    np.testing.assert_array_equal(again.predict(windows.history), found)
    assert again.predictor.chosen == fitted.predictor.chosen
    assert again.predictor.parameters == fitted.predictor.parameters > 0


def test_what_cannot_be_fitted_is_one_line(monkeypatch):
    method = ContextParroting()
    assert "one system" in method.refuse(task((3, 4)))
    assert "needs 2 past frames, T is 1" in method.refuse(task_of(random_windows(9, 3, 1)))
    longer = ContextParroting(length=9).refuse(task_of(random_windows(9, 3, 5)))
    assert "needs 9 past frames, T is 5" in longer
    with pytest.raises(ValueError, match="context parroting needs 2"):
        method.fit(task_of(random_windows(9, 3, 1)))
    for settings in ({"length": 1}, {"samples": 0}):
        with pytest.raises(ValueError, match=f"{[*settings][0]} is {[*settings.values()][0]}"):
            ContextParroting(**settings)
    predictor = method.fit(task_of(random_windows(20)))
    with pytest.raises(ValueError, match=r"expected \[..., 3, T, 1, 3\]"):
        predictor.predict(random_windows(4, 2)[0])
    assert 0 < method.seconds(task(2)) < method.seconds(task(8))
    monkeypatch.setattr(parroting, "NUMBERS", 10)
    assert "no room for a motif of 3 nodes" in method.refuse(task())


def test_chaotic_motion_is_forecast_better_than_by_a_straight_line():
    trajectory = read("lorenz", SyntheticConfig(runs=12, frames=300))
    of = Task(trajectory, WindowConfig(past=6, delta=5))
    found, straight = (fit(name, of) for name in ("context-parroting", "constant-velocity"))
    assert found.predictor.each_node
    assert found.validation_mse[0] < 0.05 * straight.validation_mse[0]

"""The public names, from outside the package: arrays to a saved forecaster, and things of one's own."""

import dataclasses
import subprocess
import sys
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.springs import frames

import estag_jax


@pytest.fixture
def task():
    trajectory = estag_jax.Trajectory.from_arrays(frames())
    window, split = estag_jax.WindowConfig(past=4, delta=2), estag_jax.SplitConfig(train=23)
    return estag_jax.Task(trajectory, window, split, estag_jax.GraphConfig(kind="full"))


def test_arrays_to_a_saved_forecaster_in_five_lines(tmp_path):
    positions = frames(count=1200)
    # The five lines:
    trajectory = estag_jax.Trajectory.from_arrays(positions, atomic_numbers=[8, 1, 1])
    task = estag_jax.Task(trajectory, graph=estag_jax.GraphConfig(kind="full"))
    fitted = estag_jax.fit("ESTAG", task, epochs=2)
    print(estag_jax.evaluate([estag_jax.fit("var-ridge", task), fitted], task).rows)
    fitted.forecaster.save(tmp_path / "mine.npz")

    forecaster = estag_jax.load(tmp_path / "mine.npz")
    history = forecaster.history(positions, 100)
    np.testing.assert_array_equal(forecaster.predict(history), fitted.forecaster.predict(history))
    assert forecaster.system.names == ("O", "H", "H")


def test_what_python_shows_is_one_line(task):
    big = estag_jax.Trajectory.from_arrays(np.zeros((9, 3000, 3)), lengths=(4, 5), source="big.npz")
    shown = "big.npz: 9 frames in 2 runs, 1 frame apart; 3000 nodes in Å"
    assert repr(big) == f"Trajectory({shown})" and repr(big.system) == "System(3000 nodes in Å)"
    counts = ", ".join(f"{task.count(part)} {part}" for part in ("train", "validation", "test"))
    shown = f"Task(the trajectory: T=4, Δ=2; {counts})"
    assert repr(task) == shown
    assert repr(estag_jax.fit("Last frame", task)) == f"Fit(Last frame, {shown})"


class Mine(nn.Module):
    """A Flax module of a user: the last frame plus a learnt multiple of the last step."""

    scale: float = 1.0

    @nn.compact
    def __call__(self, history, node_features, graph):
        weight = self.param("weight", nn.initializers.zeros, (), history.dtype)
        step = history[:, :, -1] - history[:, :, -2]
        return history[:, :, -1] + self.scale * weight * step


def test_a_module_of_ones_own_trains_tabulates_saves_and_loads(task, tmp_path):
    fitted = estag_jax.fit(Mine(), task, epochs=40, evaluate_every=10, learning_rate=0.05)
    result = estag_jax.evaluate([estag_jax.fit("Last frame", task), fitted], task)
    assert [row.name for row in result.rows] == ["Last frame", "Mine"]
    assert result.rows[1].mse < 0.9 * result.rows[0].mse
    fitted.forecaster.save(tmp_path / "mine.npz")
    with pytest.raises(ValueError, match=r"holds Mine, .*method=Mine"):
        estag_jax.load(tmp_path / "mine.npz")
    forecaster = estag_jax.load(tmp_path / "mine.npz", method=Mine())
    history = forecaster.history(task.trajectories[0].positions)
    np.testing.assert_array_equal(forecaster.predict(history), fitted.forecaster.predict(history))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Drift(estag_jax.Predictor):
    """A predictor of a user: every node goes on by the mean step of the training windows."""

    step: np.ndarray

    @property
    def parameters(self):
        return 3

    def predict(self, history, inputs):
        return history[:, :, -1] + self.step

    def to_arrays(self):
        return {"step": np.asarray(self.step)}

    @classmethod
    def from_arrays(cls, method, arrays):
        return cls(arrays["step"])


@dataclasses.dataclass(frozen=True)
class MeanStep(estag_jax.ClosedForm):
    """A closed form of a user."""

    predictor: ClassVar = Drift

    def fit(self, task):
        steps = [w.target[:, 0] - w.history[:, :, -1] for w in task.windows("train")]
        return Drift(np.concatenate(steps).mean((0, 1)))


def test_a_closed_form_of_ones_own_goes_the_same_way(task, tmp_path):
    fitted = estag_jax.fit(MeanStep(), task)
    result = estag_jax.evaluate(fitted, task, ("mse", "rmsd"), rollout_steps=3)
    (row,) = result.rows
    assert row.name == "MeanStep" and set(row.metrics) >= {"mse", "rmsd"}
    assert len(result.rollout["predictors"]["MeanStep"]["median"]) == 3
    fitted.forecaster.save(tmp_path / "mine.npz")
    forecaster = estag_jax.load(tmp_path / "mine.npz", method=MeanStep())
    np.testing.assert_allclose(forecaster.predictor.step, fitted.predictor.step, rtol=1e-6)


class Windows:
    """A data set of a user: pairs of history and target, made when they are asked for."""

    def __init__(self, starts):
        self.x, self.starts = frames(), starts

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, i):
        at = self.starts[i]
        return self.x[at : at + 4].swapaxes(0, 1), self.x[at + 4]


def test_a_data_set_of_ones_own(task):
    parts = {
        "train": Windows(range(0, 100)),
        "validation": Windows(range(120, 150)),
        "test": Windows(range(200, 260)),
    }
    mine = estag_jax.Task.from_windows(**parts, graph=estag_jax.GraphConfig(kind="full"))
    assert [mine.count(part) for part in parts] == [100, 30, 60]
    (windows,) = mine.windows("test")
    history, target = parts["test"][7]
    np.testing.assert_array_equal(windows.history[7, :, :, 0], history)
    np.testing.assert_array_equal(windows.target[7, 0, :, 0], target)
    fits = [estag_jax.fit(method, mine, epochs=2) for method in ("AR-LS", "ST_EGNN")]
    result = estag_jax.evaluate(fits, mine)
    errors = np.stack([fits[0].predictor.predict(windows.history, None) - windows.target[:, 0]])
    assert result.rows[0].mse == pytest.approx(np.mean(errors**2))


def test_a_loop_of_ones_own(task):
    """The model, its inputs and the windows are enough for plain JAX and optax."""
    module = estag_jax.ESTAG(estag_jax.EstagConfig(hidden=4, layers=1))
    (windows,) = task.windows("train")
    history, target = jnp.asarray(windows.history), jnp.asarray(windows.target[:, 0])
    features, graph = task.system.inputs(), task.system.graph
    variables = module.init(jax.random.key(0), history[:1], features, graph)
    adam = optax.adam(5e-3)
    state = adam.init(variables)

    @jax.jit
    def step(variables, state):
        def loss(variables):
            return jnp.mean((module.apply(variables, history, features, graph) - target) ** 2)

        value, slope = jax.value_and_grad(loss)(variables)
        updates, state = adam.update(slope, state)
        return optax.apply_updates(variables, updates), state, value

    values = []
    for _ in range(30):
        variables, state, value = step(variables, state)
        values.append(float(value))
    assert values[-1] < 0.7 * values[0]


def test_the_public_names_are_listed_and_there():
    assert 20 <= len(estag_jax.__all__) <= 30
    assert set(estag_jax.__all__) <= set(dir(estag_jax)) and "__version__" in dir(estag_jax)
    for name in estag_jax.__all__:
        assert callable(value := getattr(estag_jax, name)) or isinstance(value, dict), name
        assert getattr(value, "__doc__", None)
    with pytest.raises(AttributeError, match="nothing"):
        _ = estag_jax.nothing
    assert estag_jax.__version__.count(".") == 2


def test_the_package_is_light_until_it_is_used():
    code = (
        "import sys, estag_jax\n"
        "assert not {'jax', 'flax', 'optax', 'orbax', 'ase', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""A forecaster's file whose settings are not those of its weights is refused by the setting's name."""

import json

import numpy as np
import pytest

import estag_jax
from estag_jax.io import FileError
from estag_jax.npz import read_npz, write_npz


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("forecaster") / "saved.npz"
    positions = np.random.default_rng(0).normal(size=(200, 4, 3)).cumsum(axis=0)
    task = estag_jax.Task(
        estag_jax.Trajectory.from_arrays(positions), estag_jax.WindowConfig(past=4, delta=1)
    )
    settings = estag_jax.EstagConfig(hidden=8)
    estag_jax.fit(settings, task, epochs=1).forecaster.save(path)
    return path


def changed(saved, **settings):
    """A copy of the file with other settings of the method."""
    arrays, path = read_npz(saved), saved.with_name("changed.npz")
    about = json.loads(str(arrays["about"]))
    assert settings.keys() <= about["method"].keys()
    about["method"] |= settings
    write_npz(path, arrays | {"about": np.array(json.dumps(about))})
    return path


def test_the_file_itself_is_read(saved):
    assert estag_jax.load(changed(saved)).method.hidden == 8


@pytest.mark.parametrize(
    "settings, facts",
    [
        ({"hidden": 16}, ("hidden is 16 in the settings, 8 in the weights",)),
        ({"layers": 3}, ("layers is 3 in the settings, 2 in the weights",)),
        ({"attention": False}, ("attention is False in the settings, True in the weights",)),
        # Two settings: no change of one alone explains the weights.
        ({"hidden": 16, "layers": 1}, ("the array params/", "in the weights")),
    ],
)
def test_a_setting_that_is_not_the_weights(saved, settings, facts):
    path = changed(saved, **settings)
    with pytest.raises(FileError) as error:
        estag_jax.load(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 300
    assert all(fact in message for fact in facts), message


def test_a_method_that_the_system_of_the_file_cannot_have(saved):
    arrays, path = read_npz(saved), saved.with_name("constrained.npz")
    about = json.loads(str(arrays["about"]))
    about["method"] = {"type": "Constrained", "method": about["method"], "sweeps": 30}
    write_npz(path, arrays | {"about": np.array(json.dumps(about))})
    with pytest.raises(FileError, match="bonds cannot be constrained") as error:
        estag_jax.load(path)
    assert str(error.value).startswith(str(path))

"""One answer: the same words mean the same windows, split and network, however they are said."""

import dataclasses

import numpy as np
import pytest
from helpers.springs import frames

from estag_jax.cli.train import defaults
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.models import catalog
from estag_jax.models.estag import EstagConfig
from estag_jax.runs.presets import PRESETS, RENAMED
from estag_jax.runs.settings import RunConfig, prepare
from estag_jax.sources.catalog import load


@pytest.fixture
def backbone(tmp_path):
    """A file of nodes with four channels."""
    path = tmp_path / "backbone.npz"
    x = frames(bodies=12, count=900)
    np.savez(path, positions=x.reshape(900, 3, 4, 3), axes="frames")
    return str(path)


@pytest.mark.data
def test_cmu_walk_is_the_same_task_from_python_the_command_and_a_table(shared_data):
    from estag_jax.cli.table import column
    from estag_jax.sources.catalog import ReadConfig

    read = ReadConfig(folder=str(shared_data / "cmu_mocap"))
    task = Task(load("cmu:walk", read=read))
    command = dataclasses.replace(defaults(["--data", "cmu:walk"]), read=read)
    assert command.window == WindowConfig(delta=5)
    assert command.split.kind == "by-trajectory"
    of_command = prepare(command)[1]
    _, of_table = column("cmu:walk", RunConfig(read=read))
    of_table = prepare(of_table)[1]
    plain = prepare(RunConfig(data="cmu:walk", read=read))[1]
    for other in (of_command, of_table, plain):
        assert other.window == task.window
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(
                getattr(other.splits[0], part), getattr(task.splits[0], part)
            )


def test_an_option_changes_what_it_names_and_leaves_the_rest_to_the_source():
    config = defaults(["--data", "synthetic:springs", "--window.past", "4"])
    assert config.window == WindowConfig(delta=1)  # --window.past is applied on top of this
    assert config.split.kind == "by-trajectory"
    assert defaults([]).window == WindowConfig()


@pytest.mark.parametrize("name", ["ESTAG", "ESTAG as released", "ST_EGNN", "EGNN-t"])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_name_is_the_same_network_everywhere(name, channels, backbone, tmp_path):
    path = backbone
    if channels == 1:
        path = str(tmp_path / "plain.npy")
        np.save(path, frames(count=900))
    expected = catalog.settings(name, channels=channels)
    by_name = prepare(RunConfig(data=path, method=name))[0].model
    by_command = prepare(defaults(["--data", path, "--model", name]))[0].model
    assert by_name == by_command == expected


def test_the_released_preset_is_the_four_channel_program_on_four_channels(backbone):
    config = defaults(["--preset", "released", "--data", backbone])
    config = dataclasses.replace(config, split=SplitConfig())
    assert prepare(config)[0].model == EstagConfig.released(4)
    changed = dataclasses.replace(config, model=dataclasses.replace(config.model, hidden=8))
    assert prepare(changed)[0].model == EstagConfig.released(4, hidden=8)


def test_the_paper_preset_uses_the_papers_split():
    assert defaults(["--preset", "paper"]).split == SplitConfig(kind="paper")
    walk = defaults(["--preset", "paper", "--data", "cmu:walk"])
    assert walk.split.kind == "paper" and walk.split.train == 1100
    assert defaults([]).split.kind == "blocked"


def test_presets_are_whole_settings():
    for name, preset in PRESETS.items():
        assert isinstance(preset.config, RunConfig), name
        assert preset.header.endswith(".")
    assert not set(PRESETS) & set(RENAMED)

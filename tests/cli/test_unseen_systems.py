"""A run of several systems on the command line, and one that it never saw."""

import re

import ase.io
import numpy as np
import pytest

from estag_jax import load_trajectory
from estag_jax.cli.main import main


def chain(path, nodes, element=6):
    """A file of atoms on springs along a zigzag chain, with time."""
    rng = np.random.default_rng(nodes)
    home = 1.2 * np.stack([np.arange(nodes), np.arange(nodes) % 2, np.zeros(nodes)], axis=1)
    x, v, images = home + 0.1 * rng.normal(size=home.shape), np.zeros_like(home), []
    for step in range(160):
        v = v - 0.05 * (x - home)
        x = x + 0.3 * v
        image = ase.Atoms(numbers=[element] + [6] * (nodes - 1), positions=x)
        image.info = {"time_fs": 0.5 * step}
        images.append(image)
    ase.io.write(path, images, format="extxyz")
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paths")
    files = [chain(folder / f"{n}.xyz", n) for n in (3, 5)]
    options = ["--window.past", "4", "--window.delta", "1", "--split.train", "30"]
    argv = ["train", "--data", *files, "--model", "path-ridge", *options]
    main([*argv, "--out", str(folder / "run")])
    return folder / "run"


def test_an_unseen_file_is_rolled_out_and_what_is_new_is_said(run, capsys, tmp_path):
    other = chain(tmp_path / "other.xyz", 4, element=7)
    out = tmp_path / "out.xyz"
    main(["rollout", str(run), "--data", other, "--steps", "3", "--out", str(out)])
    assert "note: " in (said := capsys.readouterr().out) and "N1 (C2" in said
    images = ase.io.read(out, ":")
    assert len(images) == 3 and images[0].get_chemical_symbols() == ["N", "C", "C", "C"]
    again = tmp_path / "out.npz"
    main(["rollout", str(run), "--data", other, "--steps", "3", "--out", str(again)])
    found = load_trajectory(again)  # as it reads any archive
    np.testing.assert_allclose(found.positions[:, :, 0], [i.positions for i in images], atol=1e-6)
    assert (found.frame_step, found.time_unit, found.system.names) == (0.5, "fs", ("N", *"CCC"))


def test_a_method_of_one_system_leaves_no_folder_behind(capsys, tmp_path):
    files = [chain(tmp_path / f"{n}.xyz", n) for n in (3, 4)]
    options = ["--model", "var-ridge", "--window.past", "4", "--window.delta", "1"]
    for data, words in [
        (files, "VAR ridge has weights for the nodes of one"),
        ([], "data is empty"),
    ]:
        with pytest.raises(SystemExit) as stop:
            main(["train", "--data", *data, *options, "--out", str(tmp_path / "run")])
        assert stop.value.code == 2 and words in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_an_unseen_file_has_a_table_with_its_own_closed_forms(run, capsys, tmp_path):
    other = chain(tmp_path / "other.xyz", 4, element=7)
    main(["evaluate", str(run), "--data", other])
    said = capsys.readouterr().out
    assert "Path ridge" in said and "VAR ridge" in said and "N1 (C2" in said


def test_a_run_is_used_from_another_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chain("a.xyz", 3)
    options = ["--model", "var-ridge", "--window.past", "4", "--window.delta", "1"]
    main(["train", "--data", "a.xyz", *options, "--out", "run"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "../run"])
    words = (
        f"'a.xyz': there is no such file.*../run was trained on it from the folder {tmp_path}; name"
    )
    assert stop.value.code == 2 and re.search(words, capsys.readouterr().err)
    main(["evaluate", "../run", "--data", "../a.xyz"])
    assert "VAR ridge" in capsys.readouterr().out


def test_data_of_another_step_are_refused(run, capsys, tmp_path):
    images = ase.io.read(chain(tmp_path / "fast.xyz", 3), ":")
    for step, image in enumerate(images):
        image.info["time_fs"] = 2.0 * step
    ase.io.write(tmp_path / "slow.xyz", images, format="extxyz")
    with pytest.raises(SystemExit) as stop:
        main(["rollout", str(run), "--data", str(tmp_path / "slow.xyz")])
    assert stop.value.code == 2
    assert "time between frames" in capsys.readouterr().err

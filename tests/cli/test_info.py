"""What ``estag info`` prints comes from the run's own files."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.command import estag
from helpers.springs import config, frames

from estag_jax.models.ridge import VarRidge
from estag_jax.runs import folder
from estag_jax.runs.run import train

LIBRARIES = {"jax", "flax", "optax", "orbax", "matplotlib", "e3nn_jax", "ase"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of VAR ridge."""
    place = tmp_path_factory.mktemp("info")
    np.save(place / "springs.npy", frames())
    train(config(place / "springs.npy", model=VarRidge()), place / "run")
    return place / "run"


def info_alone(run):
    """Output of the command in a process of its own, and which of the libraries it has loaded."""
    code = (
        "import sys\n"
        "from estag_jax.cli.main import main\n"
        f"main(['info', {str(run)!r}])\n"
        f"print(sorted({LIBRARIES} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, loaded = done.stdout.splitlines()
    return lines, loaded


def test_no_library_that_takes_long_is_loaded(run):
    lines, loaded = info_alone(run)
    assert loaded == "[]"
    assert any("VAR ridge" in line and "±" in line for line in lines)
    settings = next(line.removeprefix("config") for line in lines if line.startswith("config"))
    assert json.loads(settings) == json.loads((run / folder.RUN).read_text())["config"]


def test_settings_that_were_changed_are_checked(run, tmp_path, capsys):
    _, before, _ = estag(capsys, "info", run)
    saved = json.loads((run / folder.RUN).read_text())
    assert folder.read_as_written(run) is not None

    def changed(**config):
        (tmp_path / folder.RUN).write_text(json.dumps(saved | {"config": saved["config"] | config}))
        assert folder.read_as_written(tmp_path) is None
        return estag(capsys, "info", tmp_path)

    code, _, err = changed(constrain_bonds="yes")
    assert code == 2 and "constrain_bonds is 'yes'" in err and err.count("\n") == 1
    code, out, _ = changed(constrain_bonds=True)
    assert code == 0 and "VAR ridge (constrained bonds)" in out
    old = {name: value for name, value in saved.items() if name not in ("label", "sha256")}
    (run / folder.RUN).write_text(json.dumps(old))  # as earlier versions wrote it
    assert folder.read_as_written(run) is None
    assert estag(capsys, "info", run) == (0, before, "")

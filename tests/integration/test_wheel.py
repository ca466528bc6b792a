"""The package as it is installed: a wheel holds all that it needs, and runs where no checkout is."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.springs import frames

from estag_jax.runs.folder import read_result

SMOKE = (
    "import numpy as np, estag_jax\n"
    "assert 'site-packages' in estag_jax.__file__ or 'unpacked' in estag_jax.__file__\n"
    "x = np.load('springs.npy')\n"
    "task = estag_jax.Task(estag_jax.Trajectory.from_arrays(x),\n"
    "    estag_jax.WindowConfig(past=4, delta=2), graph=estag_jax.GraphConfig(kind='full'))\n"
    "fitted = estag_jax.fit('AR-LS', task)\n"
    "fitted.forecaster.save('mine.npz')\n"
    "print(estag_jax.evaluate(fitted, task).rows[0].mse, estag_jax.load_trajectory('demo').num_frames)\n"
)
DEMO = "train --preset demo --train.epochs 5 --out run".split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_a_wheel_holds_the_data_and_runs_without_the_checkout(wheel, tmp_path):
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(unpacked)
    assert "estag_jax/py.typed" in names
    assert "estag_jax/data/bundled/aspirin_xtb.npz" in names
    assert "estag_jax/data/pretrained/index.json" in names
    assert "estag_jax/data/pretrained/aspirin-estag.npz" in names
    assert "estag_jax/runs/published.csv" in names
    assert not [name for name in names if name.startswith(("tests", "experiments", "benchmarks"))]
    np.save(tmp_path / "springs.npy", frames())
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    subprocess.run([sys.executable, "-c", SMOKE], cwd=tmp_path, env=environment, check=True)


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment(wheel, tmp_path):
    np.save(tmp_path / "springs.npy", frames())
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for command in (
        [binaries / "python", "-m", "pip", "install", "--quiet", wheel],
        [binaries / "python", "-m", "pip", "check"],
        [binaries / "python", "-c", SMOKE],
        [binaries / "estag", *DEMO],
        [binaries / "estag", "rollout", "run", "--steps", "3"],
    ):
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "rollout.xyz").exists()
    (row,) = read_result(tmp_path / "run").rows[-1:]
    assert row.name.startswith("ESTAG") and np.isfinite(row.mse)

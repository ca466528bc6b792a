"""Names of earlier versions: they lead to those of now, and say so."""

import importlib
import operator
import subprocess
import sys

import numpy as np
import pytest

import estag_jax


@pytest.mark.parametrize(
    "module, name, now",
    [
        ("estag_jax", "LOSSES", "training.losses.LOSSES"),
        ("estag_jax", "load_released", "interop.load_released"),
        ("estag_jax.data.sources", "load", "load_trajectory"),
        ("estag_jax.types", "Topology", "Graph"),
        ("estag_jax.interop", "load_reference", "interop.load_released"),
    ],
)
def test_a_name_that_is_another_now(module, name, now):
    with pytest.warns(
        DeprecationWarning, match=rf"{module}.{name} is now estag_jax.{now}$"
    ) as seen:
        found = getattr(importlib.import_module(module), name)
    assert found is operator.attrgetter(now)(estag_jax) and seen[0].filename == __file__
    with pytest.raises(AttributeError, match=f"{module}.*nothing"):
        _ = importlib.import_module(module).nothing


def test_a_session_as_before(tmp_path):
    """What ``from estag_jax.data import sources`` gives, as it was written; the warning is shown."""
    noise = np.random.default_rng(0).normal(0, 0.005, (50, 3, 3))
    np.savez(tmp_path / "mine.npz", R=1.1 * np.eye(3) + noise, z=[6, 6, 6], dt_fs=0.5)
    code = (
        "import pathlib, estag_jax\n"
        "from estag_jax.data import sources\n"
        "assert 'load' in dir(estag_jax)\n"
        "assert len(sources.load(pathlib.Path('mine.npz')).positions) == 50\n"
        "fit = estag_jax.fit('Last frame', estag_jax.Task(estag_jax.load_trajectory('mine.npz'),\n"
        "    estag_jax.WindowConfig(past=4, delta=1)))\n"
        "fit.forecaster.save('f.npz')\n"
        "assert len(repr(estag_jax.load('f.npz'))) < 120\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    assert "sources.load is now estag_jax.load_trajectory" in done.stderr

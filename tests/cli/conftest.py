"""What several files of tests of the command share."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def ethanol(tmp_path_factory):
    """300 frames of something like ethanol in MD17's format."""
    rest = np.array([[0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [-0.5, 0.9, 0], [-0.5, -0.9, 0]])
    steps = np.random.default_rng(0).normal(size=(300, 5, 3)).cumsum(0) * 0.002
    path = tmp_path_factory.mktemp("data") / "ethanol.npz"
    np.savez(path, R=(rest + steps).astype(np.float32), z=np.array([6, 6, 8, 1, 1]))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, in which the test stands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

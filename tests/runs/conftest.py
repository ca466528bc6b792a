"""A file of frames that runs are trained on."""

import numpy as np
import pytest
from helpers.springs import frames


@pytest.fixture
def springs(tmp_path):
    path = tmp_path / "springs.npy"
    np.save(path, frames())
    return path

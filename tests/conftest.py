"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ESTAG_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"needs the data folder {folder}; set ESTAG_TEST_DATA to where it is")
    return folder


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Programs that several tests compile are compiled once."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

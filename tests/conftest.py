"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ESTAG_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"needs the data folder {folder}; set ESTAG_TEST_DATA to where it is")
    return folder

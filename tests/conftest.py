"""What several test files share."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import jax
import pytest
from helpers.server import Server

UNOPTIMISED = jax.config.read("jax_disable_most_optimizations")
"""Under make test: see QUICK in the Makefile."""


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
    """Programs that several tests compile are compiled once, by whichever worker comes first."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # of commands in processes of their own
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # its folder lies in that of the session
        folder = folder.parent
    jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="module", autouse=True)
def optimised(request):
    """Files that compute for longer than they compile are optimised under ``make test`` too."""
    chosen = request.node.get_closest_marker("optimised") is not None
    jax.config.update("jax_disable_most_optimizations", UNOPTIMISED and not chosen)
    yield
    jax.config.update("jax_disable_most_optimizations", UNOPTIMISED)


@pytest.fixture(autouse=True)
def width_of_the_terminal(monkeypatch):
    """Commands print tables as wide as they are without COLUMNS, which workers of pytest-xdist set to 80.

    So does readline, which pytest loads, behind Python's back.
    """
    monkeypatch.delenv("COLUMNS", raising=False)
    os.unsetenv("COLUMNS")


@pytest.fixture
def x64():
    """The test computes in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def _x64_does_not_leak():
    yield
    assert not jax.config.jax_enable_x64


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on this machine that gives out a folder of its own; see helpers.server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "served").mkdir()
    with Server(tmp_path / "served") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()

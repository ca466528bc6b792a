"""docs/faults.md: every command is run on a file with the fault, and answers what the page says."""

import re

import numpy as np
import pytest
from helpers.command import estag
from helpers.paths import ROOT

BLOCK = re.compile(r"```\n\$ estag (.*?)\n(estag: .*?)\n```", re.DOTALL)
FAULTS = BLOCK.findall((ROOT / "docs" / "faults.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the page: 1,000 frames of three atoms, each with one fault."""
    path, rng = tmp_path_factory.mktemp("faults"), np.random.default_rng(0)
    rest = np.array([[0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0]])
    x = (rest + 0.005 * rng.normal(size=(1000, 3, 3)).cumsum(axis=0)).astype(np.float32)
    z, unknown, point = np.array([6, 6, 8]), x.copy(), x.copy()
    unknown[417, 2, 1], point[100] = np.nan, x[100, :1]
    atoms = {
        "good": {},
        "short": {"R": x[:60]},
        "nan": {"R": unknown},
        "nm": {"R": x / 10},
        "still": {"R": np.repeat(x[:1], 1000, axis=0)},
        "point": {"R": point},
        "z": {"z": z[:2]},
        "times": {"time": np.arange(1000.0)},
        "uneven": {"time_fs": np.arange(1000.0) ** 1.5},
        "rmd17_ethanol": {"old_indices": rng.permutation(1000)},
    }
    for name, changes in atoms.items():
        np.savez(path / f"{name}.npz", **{"R": x, "z": z} | changes)
    np.savez(path / "other.npz", data=x)
    np.save(path / "runs.npy", x.reshape(10, 100, 3, 3))
    np.save(path / "objects.npy", np.array([x, None], object))
    frames = [["3", "", *(f"C {a} {b} {c}" for a, b, c in frame)] for frame in x[:20]]
    lines = [line for frame in frames for line in frame]
    (path / "cut.xyz").write_text("\n".join(lines[:-1]))
    (path / "run.dcd").write_bytes(b"x" * 100)
    (path / "runs" / "other").mkdir(parents=True)
    (path / "runs" / "other" / "notes.txt").touch()
    return path


@pytest.mark.parametrize("command, message", FAULTS, ids=[command for command, _ in FAULTS])
def test_a_command_answers_what_the_page_says(command, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    code, out, err = estag(capsys, *command.split())
    said = next(line for line in err.splitlines() if line.startswith("estag: "))
    assert said == " ".join(message.split())
    assert (code, out) == (2, "")


def test_the_page_has_the_faults_of_files():
    assert len(FAULTS) >= 18

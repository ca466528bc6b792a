"""Files and habits that users' issues describe, through the command: read right, or refused in one line.

Each input is made here; what is right is the table of the field cases.
"""

from __future__ import annotations

import importlib
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.command import estag
from helpers.ethanol import ETHANOL, FRAMES, NAMES, X, info, npz
from helpers.files import mda

pytestmark = pytest.mark.usefixtures("folder")


def fact(out, name):
    return re.search(rf"^{name} +(.*)$", out, re.M)[1]


def notes(out):
    return " ".join(line for line in out.splitlines() if line.startswith("note"))


def universe(pos=X):
    whole = mda.Universe.empty(9, n_residues=1, atom_resindex=[0] * 9, trajectory=True)
    symbols = list(ETHANOL.symbols)
    attributes = {"names": NAMES, "elements": symbols, "resnames": ["ETH"], "resids": [1]}
    for key, values in attributes.items():
        whole.add_TopologyAttr(key, values)
    whole.atoms.positions = pos[0] + 10
    whole.dimensions = [30, 30, 30, 90, 90, 90]
    return whole


def run(name, times=None, box=30.0):
    """top.pdb and a trajectory of a molecule in a box; the command's argument."""
    whole = universe()
    with warnings.catch_warnings(), mda.Writer(name, 9) as writer:
        warnings.simplefilter("ignore")
        whole.atoms.write("top.pdb")
        for k, time in enumerate(np.arange(FRAMES) * 2.0 if times is None else times):
            whole.atoms.positions = X[k] + 10
            whole.dimensions = [box] * 3 + [90] * 3
            whole.trajectory.ts.time = time
            writer.write(whole.atoms)
    return f"top.pdb,{name}"


def xyz(name, pos=X, words=None, comment="", between=""):
    words = words or list(ETHANOL.symbols)
    rows = (
        f"9\n{comment}\n"
        + "".join(f"{w} {x} {y} {z}\n" for w, (x, y, z) in zip(words, frame, strict=True))
        for frame in pos
    )
    with open(name, "w", encoding="utf-8") as file:
        file.write(between.join(rows))
    return name


READ = {
    "a good XTC": (lambda: run("a.xtc"), {"frames": "60", "step": "2 ps", "edges": "6 "}, ""),
    "a good DCD": (lambda: run("a.dcd"), {"frames": "60", "step": "1 ps", "edges": "6 "}, ""),
    "a good npz": (lambda: npz("a.npz"), {"frames": "60", "step": "0.5 fs", "edges": "6 "}, ""),
    "blank lines between": (
        lambda: xyz("a.xyz", between="\n"),
        {"frames": "60", "edges": "6 "},
        "",
    ),
    "first interval": (
        lambda: run("a.xtc", np.r_[0, np.arange(1, FRAMES) * 2 + 2.0]),
        {"step": "2 ps", "frames": "60 in 2 runs of 1 to 59"},
        "gap(s)",
    ),
    "a gap": (
        lambda: run("a.xtc", np.r_[0:40:2, 80 : 80 + 80 : 2].astype(float)),
        {"frames": "60 in 2 runs of 20 to 40"},
        "a run ends there",
    ),
    "a frame twice": (lambda: npz("a.npz", R=X[np.r_[0:30, 29:60]]), {"frames": "61"}, "identical"),
    "torn by the box": (
        lambda: xyz("a.xyz", (X + [11.5, 5, 5]) % 12, comment='Lattice="12 0 0 0 12 0 0 0 12"'),
        {"edges": "6 "},
        "molecules made whole",
    ),
    "names": (lambda: xyz("a.xyz", words=NAMES), {"frames": "60", "edges": "6 "}, "from the names"),
    "beads": (lambda: xyz("a.xyz", words=list("AAAAABBBB")), {"frames": "60"}, "no element"),
    "static": (lambda: npz("a.npz", R=np.repeat(X[:1], 60, 0)), {"frames": "60"}, "nothing moves"),
}


@pytest.mark.parametrize("case", READ)
def test_read_right(capsys, case):
    make, expected, note = READ[case]
    code, out, err = info(capsys, make())
    assert code == 0 and err == ""
    for name, value in expected.items():
        assert fact(out, name).startswith(value)
    assert note in notes(out)


REFUSED = {
    "nm": (
        lambda: npz("a.npz", R=X / 10),
        "a.npz: nearest atoms are .* is this nm.*--read.length-unit nm",
    ),
    "runs": (
        lambda: np.save("a.npy", X.reshape(4, 15, 9, 3)) or "a.npy",
        "a.npy: .* 4 runs .* 4 frames",
    ),
    "no topology": (lambda: run("a.xtc")[8:], "a.xtc: .*write TOPOLOGY,a.xtc"),
    "topology last": (lambda: run("a.xtc") and "a.xtc,top.pdb", "write top.pdb,a.xtc"),
    "zero times": (lambda: run("a.xtc", np.zeros(FRAMES)), "a.xtc: .*0 ps.*--read.frame-step"),
    "shuffled": (
        lambda: (
            np.savez("a.npz", nuclear_charges=ETHANOL.numbers, coords=X, old_indices=np.arange(60))
            or "a.npz"
        ),
        "a.npz: .*rmd17:NAME --read.folder",
    ),
    "a folder": (lambda: ".", "this is a folder"),
    "nothing": (lambda: "none.xyz", "none.xyz.*no such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(capsys, case):
    make, words = REFUSED[case]
    code, out, err = info(capsys, make())
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert re.search(words, err), err


def test_a_unit_as_a_user_would_type_it(capsys):
    code, out, _ = info(capsys, npz("a.npz", R=X / 10), "--read.unit", "nm")
    assert code == 0 and fact(out, "length unit") == "nm" and fact(out, "edges").startswith("6 ")
    assert "in nm already" in notes(out)


@pytest.mark.parametrize("command", [["train", "--out", "r"], ["table", "--out", "t"]])
def test_nothing_is_trained_on_what_does_not_move(capsys, command):
    npz("a.npz", R=np.repeat(X[:1], 60, 0))
    code, out, err = estag(capsys, *command, "--data", "a.npz")
    assert code in (1, 2) and "nothing moves" in out + err and not os.path.exists("r")


def test_a_step_that_is_given_is_heeded(capsys):
    for spec, given, expected in [
        (run("a.xtc", np.zeros(FRAMES)), "2", "2 ps"),
        (xyz("a.xyz"), "0.5", "0.5 fs"),
        (npz("b.npz", dt=3.0, dt_fs=0.5), "4fs", "4 fs"),
    ]:
        code, out, _ = info(capsys, spec, "--read.frame-step", given)
        assert code == 0 and fact(out, "step") == expected


def test_facts_come_before_what_is_computed(capsys, monkeypatch):
    module = importlib.import_module("estag_jax.evaluation.evaluate")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "evaluate", stop)
    code, out, err = info(capsys, npz("a.npz"))
    assert code == 130 and fact(out, "frames") == "60" and err.startswith("estag: interrupted")


def test_a_figure_that_cannot_be_written(capsys, monkeypatch, folder):
    (folder / "runs").write_text("a file where the folder should go")
    code, out, _ = estag(capsys, "data", "info", npz("a.npz"), "--window.delta", "1")
    assert code == 0 and "no figure: runs/data" in out


def test_words(capsys):
    npz("a.npz")
    for argv, words in [
        (["evaluate", "a.npz"], "a.npz: is not a forecaster"),
        (["table", "--data", "x=none.npz"], "'none.npz': there is no such file"),
        (
            ["data", "info", "a.npz", "--read.select", "name C"],
            "read select has no effect on a.npz",
        ),
        (["data", "info", "a.npz", "--read.axes", "rows"], "--read.axes"),
    ]:
        code, _, err = estag(capsys, *argv)
        assert code == 2 and err.count("\n") == 1 and words in err and "Errno" not in err
    assert not os.path.exists("runs")


def test_a_short_stretch_says_how_it_is_left_out(capsys):
    np.savez("a.npz", R=X, z=ETHANOL.numbers, time_fs=np.r_[0:1, 10:69].astype(float))
    argv = ["--data", "a.npz", "--model", "var-ridge", "--window.past", "3", "--window.delta", "1"]
    code, _, err = estag(capsys, "train", *argv, "--out", "r")
    least = re.search("--read.min-frames ([0-9]+)", err)[1]
    assert code == 2 and "run 0 has 1 frames" in err
    code, out, _ = estag(capsys, "train", *argv, "--out", "r", "--read.min-frames", least)
    assert code == 0 and "1 of 2 runs left out" in out


def test_no_output_goes_over_what_is_read(capsys):
    npz("a.npz")
    model = ["--model", "var-ridge", "--window.past", "3", "--window.delta", "1", "--out", "r"]
    assert estag(capsys, "train", "--data", "a.npz", *model)[0] == 0
    files = Path("a.npz"), Path("r/forecaster.npz")
    before = [path.read_bytes() for path in files]
    os.symlink("a.npz", "link.npz")
    for argv, words in [
        (["data", "prepare", "a.npz", "--out", "a.npz"], "a.npz, which is read from"),
        (["data", "prepare", "a.npz", "--out", "link.npz"], "link.npz, which is read from"),
        (["data", "info", "a.npz", "--figure", "a.npz"], "--figure is a.npz, which is read from"),
        (["data", "info", "a.npz", "--figure", "."], "--figure is ., a folder"),
        (["rollout", "r", "--out", "a.traj"], "written as .npz, .xyz"),
        (["rollout", "r", "--out", "a.npz"], "a.npz, which is read from"),
        (["rollout", "r", "--data", "link.npz", "--out", "a.npz"], "a.npz, which is read from"),
        (["rollout", "r", "--out", "r/forecaster.npz"], "forecaster.npz, which is read from"),
        (["export", "r", "--out", "a.npz"], "a.npz: is the name of what lies beside the program"),
        (["export", "r", "--out", "a.stablehlo"], "a.npz: is there already"),
    ]:
        code, _, err = estag(capsys, *argv)
        assert code == 2 and err.count("\n") == 1 and words in err, err
    assert before == [path.read_bytes() for path in files]


def test_a_run_goes_on_with_the_step_it_began_with(capsys):
    model = ["--model", "var-ridge", "--window.past", "3", "--window.delta", "1", "--out", "r"]
    assert estag(capsys, "train", "--data", npz("a.npz"), *model)[0] == 0
    argv = ["train", "--data", npz("b.npz", dt_fs=2.0), *model, "--resume"]
    code, _, err = estag(capsys, *argv)
    assert code == 2 and "2 fs between frames" in err and "r was trained on 0.5 fs" in err
    os.unlink("a.npz")
    np.savez("a.npz", R=X, z=ETHANOL.numbers, dt_ps=0.0005)  # the same step in other words
    assert estag(capsys, "evaluate", "r", "--data", "a.npz")[0] == 0

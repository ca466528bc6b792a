"""The registry of sources, what ``load`` does to all of them, and the real data in the shared folder."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig
from estag_jax.data.splits import overlap, split
from estag_jax.data.system import DataError
from estag_jax.data.windows import WindowConfig, gather
from estag_jax.simulate.settings import SyntheticConfig, XtbConfig
from estag_jax.sources import catalog as sources
from estag_jax.sources.catalog import SOURCES, ReadConfig
from estag_jax.sources.options import Transforms

FULL = GraphConfig("full")


def test_demo_is_aspirin_without_hydrogens():
    demo = sources.load("demo")
    assert sorted(demo.system.names) == ["C"] * 9 + ["O"] * 4
    assert demo.system.graph.num_nodes == 13 and demo.num_frames > 1000
    assert (demo.source, demo.licence) == ("demo", "MIT") and "GFN2-xTB" in demo.provenance
    assert sources.load("demo", read=ReadConfig(hydrogens=True)).system.num_nodes == 21


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("dmeo", "known are adk, .*did you mean 'demo'"),
        ("md71:ethanol", "did you mean 'md17'"),
        ("zzz", "known are adk, .*paths$"),
        ("md17:etanol", "no 'etanol'.*did you mean 'ethanol'"),
        ("rmd17", "needs a name; write rmd17:MOLECULE"),
        ("demo:aspirin", "takes no name; write demo"),
        ("synthetic:spring", "did you mean 'springs'"),
    ],
)
def test_unknown_names(spec, words):
    with pytest.raises(DataError, match=words) as error:
        sources.load(spec)
    assert "\n" not in str(error.value) and repr(spec) in str(error.value)


CHANGED = {
    "select": "name CA",
    "nodes": "residues",
    "frame_step": "1 fs",
    "unwrap": False,
    "format": "xyz",
    "axes": "runs",
    "length_unit": "nm",
    "folder": "x",
    "xtb": XtbConfig(seed=3),
    "synthetic": SyntheticConfig(seed=3),
}
OF_FILES = {"select", "nodes", "frame_step", "unwrap", "format", "axes", "length_unit"}
TAKEN = {"file": OF_FILES, "cmu": {"folder", "frame_step"}, "xtb": {"xtb", "folder"}}
TAKEN |= {"synthetic": {"synthetic"}, "demo": set(), "adk-dims": set()}


@pytest.mark.parametrize("key", SOURCES)
def test_an_option_that_would_be_ignored_is_refused(key, monkeypatch):
    class Read(Exception):
        pass

    def read(source, name, options, report):
        raise Read(options)

    monkeypatch.setattr(sources.Source, "read", read)
    spec = {"file": "a.npz"}.get(key, f"{key}:{(SOURCES[key].names or ('',))[0]}".rstrip(":"))
    for option, value in CHANGED.items():
        if option in TAKEN.get(key, {"folder"}):
            with pytest.raises(Read) as reached:
                sources.load(spec, read=ReadConfig(**{option: value}))
            assert getattr(reached.value.args[0], option) == value
        else:
            with pytest.raises(DataError, match=f"read {option} has no effect on {spec!r}"):
                sources.load(spec, read=ReadConfig(**{option: value}))


def test_every_option_is_of_a_source_or_common():
    names = {field.name for field in dataclasses.fields(ReadConfig)}
    assert names == set(CHANGED) | {field.name for field in dataclasses.fields(Transforms)}
    for wrong in ({"centre": "node"}, {"min_frames": 0}, {"nodes": "rings"}, {"frame_step": -1}):
        with pytest.raises(ValueError, match=f"read {next(iter(wrong))}"):
            ReadConfig(**wrong)


def test_sources_are_listed_without_what_reads_them():
    code = (
        "import sys\nfrom estag_jax.sources.catalog import SOURCES\n"
        "assert all(source.example(key).startswith(key) for key, source in SOURCES.items())\n"
        "assert not {'jax', 'scipy', 'matplotlib', 'ase', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_windows_and_splits_come_with_the_data():
    read = ReadConfig(synthetic=SyntheticConfig(runs=4, frames=9), unit=None)
    springs = sources.load("synthetic:springs", read=read).suggested
    assert (springs.window, springs.split) == (WindowConfig(delta=1), SplitConfig("by-trajectory"))
    demo = sources.load("demo").suggested
    assert (demo.window, demo.split, demo.paper_split) == (
        WindowConfig(),
        SplitConfig(),
        SplitConfig(kind="paper"),
    )


def test_a_name_goes_before_a_file_and_a_path_finds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("demo.npy", np.random.default_rng(0).normal(size=(5, 4, 3)))
    (tmp_path / "demo.npy").rename("demo")
    assert sources.load("demo").num_frames == 20_000
    np.save("a.npy", np.random.default_rng(0).normal(size=(5, 4, 3)))
    for spec in ("a.npy", "./a.npy", "file:a.npy"):
        found = sources.load(spec)
        assert found.num_frames == 5 and found.system.graph.num_edges == 12
        assert found.system.graph.edge_features is None


def test_options_are_applied_in_order_and_noted():
    read = ReadConfig(centre="frame", align=True, unit="nm")
    demo, moved = sources.load("demo"), sources.load("demo", read=read)
    assert (
        moved.system.length_unit == "nm"
        and moved.system.graph.num_edges == demo.system.graph.num_edges
    )
    assert [n.split(":")[0] for n in moved.notes[-3:]] == [
        "centred",
        "superimposed",
        "converted from Å to nm",
    ]
    np.testing.assert_allclose(moved.positions.mean((1, 2)), 0, atol=1e-6)
    apart = np.linalg.norm(demo.positions[:, 0] - demo.positions[:, 5], axis=-1)
    again = np.linalg.norm(moved.positions[:, 0] - moved.positions[:, 5], axis=-1)
    np.testing.assert_allclose(10 * again, apart, rtol=1e-5)
    turning = sources.load("demo", read=ReadConfig(centre="frame", unit="nm")).positions
    assert np.square(moved.positions - moved.positions[0]).mean() < (
        np.square(turning - turning[0]).mean()
    )


def last_frame_error(trajectory, window, config):
    parts = split(trajectory, window, config)
    sizes = (len(parts.train), len(parts.validation), len(parts.test))
    history, target = gather(trajectory.positions, parts.test, window)
    last = history[:, :, -1]
    error = np.mean((last - target.reshape(last.shape)) ** 2)
    return sizes, overlap(parts, window), float(error)


@pytest.mark.data
@pytest.mark.parametrize(("molecule", "expected"), [("aspirin", 0.707e-3), ("ethanol", 0.483e-3)])
def test_last_frame_of_the_simulated_molecules(shared_data, molecule, expected):
    trajectory = sources.load(str(shared_data / "md_xtb" / f"{molecule}_xtb.npz"))
    sizes, shared, error = last_frame_error(trajectory, WindowConfig(), SplitConfig("paper"))
    assert sizes == (500, 1999, 1999) and 0.05 < shared["test"]["share"] < 0.6
    assert error == pytest.approx(expected, rel=0.05)
    sizes, shared, error = last_frame_error(trajectory, WindowConfig(), SplitConfig())
    assert sizes == (500, 2000, 2000) and shared["test"]["count"] == 0
    assert error == pytest.approx(expected, rel=0.2)  # another stretch of time


@pytest.mark.data
def test_last_frame_of_walking(shared_data):
    read = ReadConfig(folder=str(shared_data / "cmu_mocap"), min_frames=352)
    walk = sources.load("cmu:walk", read=read)
    assert len(walk.lengths) == 17 and min(walk.lengths) >= 352
    assert (walk.system.num_nodes, walk.time_unit) == (31, "s")
    assert any("3 of 20 runs left out" in note for note in walk.notes)
    config = SplitConfig("by-trajectory", 1100, 600, 600, runs="alternating", each=100, below=300)
    sizes, shared, error = last_frame_error(walk, WindowConfig(10, 5), config)
    assert sizes == (900, 400, 400) and shared["test"]["count"] == 0
    assert error == pytest.approx(0.37, rel=0.1)


@pytest.mark.data
def test_trp_cage_superimposed(shared_data):
    folder = shared_data / "trp_cage"
    spec = f"{folder / 'trp_cage.pdb'},{folder / 'trp_cage.dcd'}"
    read = ReadConfig(nodes="residues", align=True)
    cage = sources.load(spec, read=read)
    assert (cage.num_frames, cage.system.num_nodes, cage.system.channels) == (4999, 20, 4)
    chain = np.linalg.norm(np.diff(cage.positions[:, :, 1], axis=1), axis=-1)
    assert 3.4 < chain.min() and chain.max() < 4.5  # Å, CA to CA: the molecule is whole
    assert any(note.startswith("superimposed") for note in cage.notes)
    moved = np.linalg.norm(np.diff(cage.positions.mean((1, 2)), axis=0), axis=-1)
    assert moved.max() < 1e-3  # no jump across the box is left

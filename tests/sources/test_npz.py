"""numpy files: what is read, what is written, and each error held to its decisive words."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from ase.data import chemical_symbols

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.sources import catalog as sources
from estag_jax.sources.catalog import ReadConfig
from estag_jax.sources.files.npz import read_npz, write_npz

FULL = GraphConfig("full")
# Ethanol without and with its hydrogens' order mixed: only C, C and O are kept.
Z = np.array([6, 1, 6, 8, 1])
R = np.array(
    [[0, 0, 0], [-1.0, 0.3, 0], [1.5, 0, 0], [2.0, 1.3, 0], [1.9, -0.9, 0]], np.float32
) + np.linspace(0, 0.01, 4, dtype=np.float32).reshape(4, 1, 1)


def save(folder, name="data.npz", **arrays):
    np.savez(folder / name, **arrays)
    return folder / name


def test_md17_file(tmp_path):
    path = save(tmp_path, R=R, z=Z.astype(np.uint8), E=np.zeros(4), theory=np.array("x"))
    heavy = sources.load(str(path))
    assert heavy.system.names == ("C", "C", "O")
    assert heavy.positions.shape == (4, 3, 1, 3) and heavy.positions.dtype == np.float32
    np.testing.assert_array_equal(heavy.positions[:, :, 0], R[:, [0, 2, 3]])
    np.testing.assert_array_equal(heavy.system.inputs("number")[0], [[6], [6], [8]])
    np.testing.assert_array_equal(heavy.system.atomic_numbers, [6, 6, 8])
    assert (heavy.frame_step, heavy.time_unit, heavy.lengths) == (0.5, "fs", (4,))
    assert heavy.system.graph.num_edges == 6 and heavy.source == str(path)
    assert heavy.notes[0] == "keys that are not read: E, theory"
    assert heavy.notes[1].startswith("the file does not give its time step; 0.5 fs")
    assert heavy.notes[2:] == ("2 hydrogens left out",)
    everything = sources.load(str(path), read=sources.ReadConfig(hydrogens=True))
    assert everything.system.names == ("C", "H", "C", "O", "H")
    assert everything.fingerprint != heavy.fingerprint


def test_optional_keys_and_precision(tmp_path):
    big_endian = R.astype(">f8")
    path = save(tmp_path, R=big_endian, z=Z, lengths=np.array([1, 3]), dt_fs=np.array(0.25))
    trajectory = read_npz(path)
    assert trajectory.frame_step == 0.25 and trajectory.lengths == (1, 3)
    assert (
        trajectory.positions.dtype == np.dtype(np.float64) and trajectory.positions.dtype.isnative
    )


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 2, 3)])
def test_bare_positions(tmp_path, shape):
    positions = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "a.npy", positions)
    read = ReadConfig(axes="frames" if len(shape) == 4 else "auto")
    for path in (tmp_path / "a.npy", save(tmp_path, positions=positions)):
        trajectory = sources.load(str(path), FULL, read)
        assert (trajectory.frame_step, trajectory.time_unit) == (1.0, "frame")
        np.testing.assert_array_equal(trajectory.positions, positions.reshape(5, 4, -1, 3))
        assert (
            trajectory.system.names == ("0", "1", "2", "3")
            and trajectory.system.atomic_numbers is None
        )
        np.testing.assert_array_equal(trajectory.system.inputs("number")[0], np.ones((4, 1)))


def damaged(frame=2, atom=3, value=np.nan):
    copy = R.copy()
    copy[frame, atom, 1] = copy[frame + 1, atom, 0] = value
    return copy


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (dict(z=Z, F=R), "key R is missing.*F, z"),
        (dict(R=R, E=R), "key z is missing.*E, R"),
        (dict(arr_1=R), "R and z.*arr_1.*positions"),
        (dict(), "no keys"),
        (dict(R=R[0], z=Z), r"R has shape \[5, 3\]"),
        (dict(positions=R[..., :2]), r"positions has shape \[4, 5, 2\]"),
        (dict(R=R.astype(str), z=Z), "R holds <U"),
        (dict(R=R[:0], z=Z), "zero frames"),
        (dict(R=R[:, :0], z=Z[:0]), "zero nodes"),
        (dict(R=R, z=Z[:4]), r"z has shape \[4\].* 5 atoms"),
        (dict(R=R, z=Z.astype(float)), "z holds float64"),
        (dict(R=R, z=Z * 0), "z of atom 0 is 0"),
        (dict(R=R, z=np.array(["C", "Q", "H", "H", "H"])), "z holds 'Q', which is no element"),
        (dict(R=R, z=Z + [0, 0, 0, 111, 0]), "z of atom 3 is 119"),
        (dict(R=damaged(), z=Z), r"2 coordinate.*finite.* frame 2, atom 3 \(O\)"),
        (dict(positions=damaged(0, 4, np.inf)), "finite.* frame 0, node 4"),
        (dict(R=R, z=Z * 0 + 1), "all 5 atoms are hydrogens.*--read.hydrogens"),
        (dict(R=R, z=Z, lengths=np.array([2, 3])), "lengths.* 4 frames"),
        (dict(R=R, z=Z, lengths=np.array([5, -1])), "lengths are int64"),
        (dict(R=R, z=Z, lengths=np.array([4.0])), "lengths are float64"),
        (dict(R=R, z=Z, dt_fs=np.array(np.nan)), r"dt_fs.*nan"),
        (dict(R=R, z=Z, dt_fs=np.ones(4)), r"dt_fs is float64\[4\]"),
        (dict(R=R * 100, z=Z), "nearest atoms are 104 Å apart.*is this pm.*--read.length-unit pm"),
        (dict(R=R[:, [0, 1, 2, 0]], z=Z[[0, 1, 2, 0]]), r"atom 0 \(C\) and atom 3 \(C\).*same"),
        (dict(positions=R[:, [0, 1, 1]]), "node 1 and node 2.*same.* frame 0"),
        (dict(R=R, z=Z, bonds=np.array([[0, 5]])), "bonds.* node 5"),
        (dict(R=R, z=Z, names=np.array(["C", "H"])), "names has 2 entries"),
        (dict(R=R, z=Z, names=Z), "names is int64"),
        (dict(positions=R, frame_step=np.float64(-0.5)), "step is -0.5"),
    ],
)
def test_bad_arrays(tmp_path, arrays, words):
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError, match=words) as error:
        sources.load(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["<U2", "S2"])
def test_symbols_of_elements(tmp_path, kind):
    symbols = np.array([chemical_symbols[number] for number in Z], kind)
    path = save(tmp_path, R=R, species=symbols)
    assert sources.load(
        str(path), FULL, ReadConfig(hydrogens=True)
    ).system.atomic_numbers.tolist() == list(Z)


def test_one_edge_of_a_cube(tmp_path):
    found = [
        sources.load(str(save(tmp_path, R=R, z=Z, box=box)), FULL).positions
        for box in (12.0, np.full(3, 12.0))
    ]
    np.testing.assert_array_equal(*found)


def as_bytes(save_function, *args, **arrays):
    buffer = io.BytesIO()
    save_function(buffer, *args, **arrays)
    return buffer.getvalue()


NPZ = as_bytes(np.savez_compressed, R=R, z=Z)
OBJECTS = np.array([{"a": 1}], dtype=object)


HUGE = as_bytes(np.save, R).replace(b"(4, 5, 3), }" + b" " * 11, b"(1000000000000, 5, 3), }")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"12.0 3.0 4.0\n", r"neither an npz nor an npy.*R \[frames"),
        (NPZ[:-30], "cut short"),
        (as_bytes(np.save, R)[:-5], "cut short"),
        (HUGE, "1000000000000, 5, 3"),
        (as_bytes(np.save, OBJECTS), "pickled objects"),
        (as_bytes(np.savez, R=OBJECTS, z=Z), "pickled objects"),
        (None, "no such file"),
    ],
)
def test_bad_files(tmp_path, content, words):
    path = tmp_path / "bad.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read_npz(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_all_that_a_source_says_survives_the_file(tmp_path):
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(7, 3, 2, 3)).astype(np.float32)
    missing = np.array([False] * 5 + [True, False])
    positions[5] = np.nan
    first = Trajectory.from_arrays(
        positions,
        node_features=rng.normal(size=(3, 4)).astype(np.float32),
        names=("hip", "knee", "toe"),
        frame_step=1 / 120,
        time_unit="s",
        length_unit="inch",
        atomic_numbers=np.array([6, 7, 8]),
        bonds=np.array([[0, 1], [1, 2]]),
        bond_orders=np.array([1.5, 2], np.float32),
        anchor=1,
        contact_distance=6.0,
        lengths=(3, 4),
        run_names=("a", "b"),
        missing=missing,
        provenance="drawn",
        licence="MIT",
        notes=("one", "two"),
        vectors={"up": [0, 0, 1], "wind": rng.normal(size=(7, 3))},
    )
    path = tmp_path / "new" / "all.npz"
    write_npz(path, first)
    second = read_npz(path)
    assert second.source == str(path) and [f.name for f in path.parent.iterdir()] == ["all.npz"]
    for one, other in ((first, second), (first.system, second.system)):
        for field in dataclasses.fields(one):
            if field.name not in ("source", "suggested", "system", "vectors"):
                np.testing.assert_array_equal(
                    getattr(other, field.name), getattr(one, field.name), err_msg=field.name
                )
    assert second.system.vectors["up"].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(second.vectors["wind"], first.vectors["wind"])

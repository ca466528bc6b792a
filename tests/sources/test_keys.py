"""Keys and axes of arrays: what collections call them, runs as a first axis, times and units."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.files import has_note

from estag_jax.data.system import DataError
from estag_jax.data.transform import LENGTHS
from estag_jax.sources import catalog as sources
from estag_jax.sources.catalog import ReadConfig

Z = np.array([6, 8, 1])
R = np.random.default_rng(0).normal(0, 0.02, (12, 3, 3)) + [[0, 0, 0], [1.3, 0, 0], [2.2, 0, 0]]
FULL = dict(hydrogens=True)


def load(path, **arrays_or_options):
    options = {k: v for k, v in arrays_or_options.items() if k in ReadConfig.__dataclass_fields__}
    arrays = {k: v for k, v in arrays_or_options.items() if k not in options}
    arrays = {k.removesuffix("_key"): v for k, v in arrays.items()}
    np.savez(path, **arrays)
    return sources.load(path, read=ReadConfig(**FULL, **options))


@pytest.mark.parametrize(
    "arrays",
    [
        dict(R=R, z=Z, E=np.zeros(12), F=R, name="x", theory="y", md5="z", type="d"),  # sGDML, MD22
        dict(coords=R, nuclear_charges=Z, energies=np.zeros(12)),
        dict(
            R=R, Z=np.tile(Z, (12, 1)), N=np.full(12, 3), Q=np.zeros(12), D=np.zeros((12, 3))
        ),  # PhysNet
        dict(xyz=R, atomic_numbers=Z),
        dict(coordinates=R, numbers=Z),
        dict(R=R / 0.529177210903, z=Z, r_unit="bohr", e_unit="Ha"),
        dict(R=R, z=Z, r_unit="Ang"),
        dict(R=R / 10, z=Z, length_unit="nm"),
        dict(R=R / 10, z=Z, units="nm"),
        dict(R=R, z=Z, unit_key="kcal/mol"),  # of energies
        dict(R=R / 10, z=Z, length_unit="Nanometers"),
        dict(R=R / 10, z=Z, length_unit_key="NM"),
        dict(R=R / 0.529177210903, z=Z, r_unit="a.u."),
        dict(R=R, z=Z, r_unit="A\u030angstr\u00f6m"),
        dict(R=R / 10, z=Z, length_unit_key="nm"),
    ],
)
def test_names_of_collections(tmp_path, arrays):
    found = load(tmp_path / "a.npz", **arrays, unit="Å")
    np.testing.assert_allclose(found.positions[:, :, 0], R, atol=1e-6)
    assert found.system.atomic_numbers.tolist() == Z.tolist()
    assert {(0, 1), (1, 2)} == set(map(tuple, found.system.bonds.tolist()))


@pytest.mark.parametrize(
    "key", ["lenght_unit", "length_untis", "timestp_fs", "dt_f", "Time_Units2"]
)
def test_a_unit_or_a_time_that_is_misspelt_is_named(tmp_path, key):
    with pytest.raises(DataError, match=f"a.npz: key {key} is not read; rename it if it is "):
        load(tmp_path / "a.npz", R=R, z=Z, **{key: 1.0})


@pytest.mark.parametrize("key", ["e_unit", "f_unit", "temperature", "d_time", "unit_energy"])
def test_other_keys_are_no_units(tmp_path, key):
    assert has_note(load(tmp_path / "a.npz", R=R, z=Z, **{key: 1.0}), f"not read: {key}")


def test_a_graph_without_edges_asks_for_the_unit(tmp_path):
    with pytest.raises(DataError, match=r"no edges.*is this bohr\? \(--read.length-unit bohr\)"):
        load(tmp_path / "a.npz", R=R[:, :2] / LENGTHS["bohr"], z=Z[:2])


def test_bonds_of_the_file_tell_the_unit(tmp_path):
    near = dict(R=R[:, :2] / LENGTHS["bohr"], z=Z[:2], bonds=[[0, 1]])
    assert has_note(load(tmp_path / "a.npz", **near), "is this bohr?")
    # Neon 2.4 Å apart is bonded to nothing, and what is bonded is so as in Å.
    points = [[0, 0, 0], [2.4, 0, 0], [0, 2.4, 0], [2.4, 2.4, 0], [0, 9, 0], [1.3, 9, 0]]
    apart = dict(R=np.tile(points, (12, 1, 1)) + 0.01 * R[:, :1], z=[10, 10, 10, 10, 8, 6])
    assert has_note(load(tmp_path / "b.npz", **apart), "is this bohr?")
    assert not has_note(load(tmp_path / "c.npz", **apart, bonds=[[4, 5]]), "is this")


def test_what_is_renamed_is_noted(tmp_path):
    found = load(tmp_path / "a.npz", coords=R, nuclear_charges=Z)
    assert has_note(found, "keys of a.npz that are read: coords as R, nuclear_charges as z")
    assert has_note(load(tmp_path / "c.npz", R=R, z=Z, E=R, F=R), "that are not read: E, F")
    np.savez(tmp_path / "d.npz", R)
    bare = sources.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(bare.positions[:, :, 0], R)
    assert has_note(bare, "arr_0 as positions")
    own = load(tmp_path / "b.npz", R=R, xyz=R + 1, z=Z, Z=Z[::-1].copy())  # its own name goes first
    np.testing.assert_array_equal(own.positions[:, :, 0], R)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            dict(coords=R, nuclear_charges=Z, old_indices=np.arange(12.0)),
            "old_indices.*rmd17:NAME --read.f",
        ),
        (dict(Positions=R, z=Z), "'Positions' positions"),
        (
            dict(R=R, z=Z, runs=[3, 4]),
            r"runs is int64\[2\] \[3, 4\], expected the run of each of 12 frames",
        ),
        (dict(R=R, z=Z, run_id=[0, 1] * 6), "run_id has the frames of one run in several places"),
        (dict(R=R, z=Z, n_frames=[7, 6]), "n_frames is .*expected the run of each of 12 frames"),
        (dict(positions=R.transpose(0, 2, 1)[:, :, :2]), "swap the last two axes"),
        (dict(positions=R[..., :2].repeat(2, 1)), "points of a plane a third coordinate"),
        (dict(positions=R.reshape(12, 9)), "the coordinates of 3 nodes, reshape it"),
        (dict(energies=R), "keys R and z are missing, the file has energies"),
        (dict(R=R, z=Z, dt=2.0), "key dt has no unit of time; call it dt_fs.*--read.frame-step"),
        (dict(R=R, z=Z, time=np.arange(12.0)), "key time has no unit"),
        (dict(R=R, z=Z, DT=2.0), "key DT has no unit of time; call it DT_fs"),
        (dict(R=R, z=Z, fps=0), "fps is .*expected one positive number of frames per second"),
        (dict(R=R, z=Z, time_ps=np.arange(11.0)), "expected the time of each of 12 frames"),
        (dict(R=R, Z=np.stack([Z, Z[::-1]] * 6)), r"z has shape \[12, 3\].*one system"),
        (dict(positions=R[None], axes_key="time"), "axes is .*'runs' or 'frames'"),
        (dict(positions=R.transpose(0, 2, 1)[None, ..., :2]), "swap the last two axes"),
        (
            dict(positions=R[None], lengths=[12], axes_key="runs"),
            "runs as its first axis and lengths",
        ),
    ],
)
def test_keys_that_are_refused_by_name(tmp_path, arrays, words):
    with pytest.raises(DataError, match=words) as error:
        load(tmp_path / "a.npz", **arrays)
    assert str(error.value).startswith(f"{tmp_path}/a.npz: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        (dict(dt_fs=2.0), (2.0, "fs")),
        (dict(dt_ps=0.5), (0.5, "ps")),
        (dict(time_ps=np.arange(12) * 0.5 + 3), (0.5, "ps")),
        (dict(t_fs=np.arange(12.0)), (1.0, "fs")),
        (dict(time_step_s=1e-3), (1e-3, "s")),
        (dict(dt=2.0, frame_step="3 ps"), (3.0, "ps")),
        (dict(dt_ns=1e-6), (1e-6, "ns")),
        (dict(Time_us=np.arange(12) * 2.0), (2.0, "us")),
        (dict(delta_t=2.0, time_unit="femtoseconds"), (2.0, "fs")),
        (dict(dt=0.5, dt_unit="ps"), (0.5, "ps")),
        (dict(time=np.arange(12.0), time_unit="PS"), (1.0, "ps")),
        (dict(fps=25), (0.04, "s")),
        (dict(frame_rate=50.0), (0.02, "s")),
    ],
)
def test_times_by_key(tmp_path, arrays, expected):
    found = load(tmp_path / "a.npz", R=R, z=Z, **arrays)
    assert (found.frame_step, found.time_unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("key", "value", "lengths"),
    [
        ("run", np.repeat([7, 2, 9], [3, 4, 5]), (3, 4, 5)),
        ("traj_id", np.repeat(["b", "a"], [5, 7]), (5, 7)),
        ("run_lengths", [5, 7], (5, 7)),
        ("n_frames", [3, 4, 5], (3, 4, 5)),
        ("episode_ends", [3, 12], (3, 9)),
        ("sim_starts", [0, 3, 8], (3, 5, 4)),
        ("TrajIndex", [0, 5, 12], (5, 7)),
        ("n_frames", 12, (12,)),
        ("run", 3, (12,)),  # the number of this one
        ("trajectory", R, (12,)),
    ],
)
def test_runs_by_key(tmp_path, key, value, lengths):
    found = load(tmp_path / "a.npz", R=R, z=Z, **{key: value})
    assert found.lengths == lengths
    assert has_note(found, f"keys that are not read: {key}") == (len(lengths) == 1)


@pytest.mark.parametrize("key", ["cell", "box", "lattice"])
@pytest.mark.parametrize("unit", ["Å", "nm"])
@pytest.mark.parametrize("each", [False, True])
def test_a_molecule_torn_by_the_box_of_an_archive(tmp_path, key, unit, each):
    scale = LENGTHS[unit]
    cell = np.array([[12, 0, 0], [3, 12, 0], [2, 1, 12.0]])
    scaled = (R + [13.4, 5, 11.5]) @ np.linalg.inv(cell)
    torn = (scaled - np.floor(scaled)) @ cell
    assert np.ptp(torn[0], axis=0).max() > 8
    box = np.tile(cell / scale, (12, 1, 1)) if each else cell / scale
    arrays = dict(R=torn / scale, z=Z, length_unit=unit, lengths=[5, 7]) | {key: box}
    found = load(tmp_path / "a.npz", **{f"{k}_key": v for k, v in arrays.items()})
    whole = found.positions[:, :, 0] * scale
    np.testing.assert_allclose(whole - whole[:, :1], R - R[:, :1], atol=1e-5)
    assert has_note(found, "molecules made whole") and {(0, 1), (1, 2)} == set(
        map(tuple, found.system.bonds.tolist())
    )
    with pytest.raises(DataError, match=r"cell is float64\[2, 3\].*expected edges \[3\]"):
        load(tmp_path / "b.npz", R=R, z=Z, cell=np.ones((2, 3)))
    assert has_note(load(tmp_path / "c.npz", R=R, z=Z, cell=np.zeros(3)), "a placeholder")
    left = load(tmp_path / "d.npz", R=torn, z=Z, cell=cell, unwrap=False)
    np.testing.assert_allclose(left.positions[:, :, 0], torn, atol=1e-6)
    assert has_note(left, "left as it is")


def test_a_gap_in_the_times_ends_a_run(tmp_path):
    times = np.r_[0:5, 20:27].astype(float)
    assert load(tmp_path / "a.npz", R=R, z=Z, time_ps=times).lengths == (5, 7)
    with pytest.raises(DataError, match="both lengths of runs and times with gaps"):
        load(tmp_path / "b.npz", R=R, z=Z, time_ps=times, lengths=[6, 6])


def test_an_array_of_four_axes_is_asked_about(tmp_path):
    runs = np.stack([R, R + 1, R + 2, R + 3])  # [4, 12, 3, 3]
    for name in ("a.npy", "a.npz"):
        path = tmp_path / name
        np.save(path, runs) if name.endswith("y") else np.savez(path, positions=runs)
        words = "4 runs of 12 frames of 3 nodes, or 4 frames of 12 nodes of 3 channels; .*--read.axes runs or"
        with pytest.raises(DataError, match=words):
            sources.load(path)
        found = sources.load(path, read=ReadConfig(axes="runs"))
        assert found.lengths == (12,) * 4 and found.system.channels == 1
        np.testing.assert_array_equal(found.positions[12:24, :, 0], R + 1)
        assert has_note(found, "is read as 4 runs of 12 frames of 3 nodes")
        found = sources.load(path, read=ReadConfig(axes="frames"))
        assert found.lengths == (4,) and (found.system.num_nodes, found.system.channels) == (12, 3)
    assert load(tmp_path / "b.npz", positions=runs, axes_key="runs").lengths == (12,) * 4
    assert load(tmp_path / "c.npz", R=runs, z=Z).lengths == (12,) * 4  # three atoms: the third axis
    channels = load(tmp_path / "d.npz", positions=runs[:, :, :2], z=np.full(12, 6))
    assert channels.system.channels == 2 and channels.lengths == (4,)
    assert load(tmp_path / "e.npz", positions=runs[:, :, :, None], z=Z).lengths == (12,) * 4
    with pytest.raises(DataError, match="no axis of runs"):
        load(tmp_path / "f.npz", positions=R, axes="runs")

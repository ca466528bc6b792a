"""Runs behind a topology: whole files, their order, formats by suffix and by name."""

from __future__ import annotations

import gc
import gzip

import ase
import ase.io
import numpy as np
import pytest
from helpers.files import CARBONS, has_note, mda, random_walk, read, write_frames, write_pdb

from estag_jax.data.system import DataError
from estag_jax.sources import catalog as sources
from estag_jax.sources.catalog import ReadConfig

FRAMES = (random_walk() * 0.1 + np.arange(3)[:, None] * [1.35, 0, 0]).astype(np.float32)


@pytest.fixture
def top(tmp_path):
    return write_pdb(tmp_path / "top.pdb", CARBONS)


def refused(spec, words, **options):
    with pytest.raises(DataError, match=words) as error:
        read(spec, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd", "nc"])
def test_the_topology_goes_first(tmp_path, top, suffix):
    run = write_frames(tmp_path / f"a.{suffix}", FRAMES)
    refused(run, rf"a\.{suffix}: holds no names of atoms; write TOPOLOGY,{run}")
    refused(f"{run},{top}", f"the topology goes first; write {top},{run}$")
    refused(f"{run},{run}", f"write TOPOLOGY,{run},{run}")


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd", "nc"])
def test_runs_that_are_cut(tmp_path, top, suffix):
    run = write_frames(tmp_path / f"a.{suffix}", FRAMES)
    np.testing.assert_allclose(read(f"{top},{run}").positions[:, :, 0], FRAMES, atol=6e-3)
    run.write_bytes(run.read_bytes()[:-20])
    refused(f"{top},{run}", rf"a\.{suffix}: .*copy it again")
    gc.collect()  # a reader that gave up says nothing when it is collected: warnings are errors here


@pytest.mark.parametrize("box", [False, True])
def test_amber_text_is_counted(tmp_path, top, box):
    rows = []
    for frame in FRAMES:
        values = [f"{x:8.3f}" for x in frame.ravel()]
        rows += ["".join(values[i : i + 10]) for i in range(0, len(values), 10)]
        rows += ["".join(f"{x:8.3f}" for x in (30, 30, 30))] if box else []
    path = tmp_path / ("a.crdbox" if box else "a.mdcrd")
    path.write_text("\n".join(["title", *rows]) + "\n")
    found = read(f"{top},{path}")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-3)
    for cut in ("\n".join(["title", *rows])[:-10], "\n".join(["title", *rows, rows[0][:20]])):
        path.write_text(cut + "\n")
        refused(f"{top},{path}", rf"{path.name}: .*(cut short|cannot be read|belong)")


def test_xyz_behind_a_topology(tmp_path, top):
    path = tmp_path / "a.xyz"
    rows = ["3\n\n" + "".join(f"C {x} {y} {z}\n" for x, y, z in frame) for frame in FRAMES]
    path.write_text("\n".join(rows))  # blank lines between
    found = read(f"{top},{path}")
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)
    path.write_text("\n".join(rows).replace("3\n\n", "2\n\n", 1))
    refused(f"{top},{path}", r"a\.xyz: frame 1 .*")


def times(path, stamps):
    with mda.Writer(str(path), 3) as writer:
        universe = mda.Universe.empty(3, trajectory=True)
        for frame, time in zip(FRAMES, stamps, strict=True):
            universe.atoms.positions = frame
            universe.trajectory.ts.time = time
            writer.write(universe.atoms)
    return path


@pytest.mark.parametrize("suffix", ["xtc", "trr"])
def test_times_of_a_run(tmp_path, top, suffix):
    even = np.arange(12) * 2.0
    path = tmp_path / f"a.{suffix}"
    for stamps, lengths in [
        (even, (12,)),
        (np.r_[0.0, even[1:] + 2], (1, 11)),
        (np.r_[even[:5], even[5:] + 40], (5, 7)),
        (np.r_[even[:6], even[3:9]], (6, 6)),  # goes back: a restart from an earlier frame
    ]:
        found = read(f"{top},{times(path, stamps)}")
        assert (found.frame_step, found.time_unit, found.lengths) == (2.0, "ps", lengths)
        assert has_note(found, f"gap(s) in the time of a.{suffix}") == (len(lengths) > 1)
    twice = read(f"{top},{times(path, np.r_[even[:6], even[5:11]])}")
    kept = np.delete(FRAMES, 6, axis=0)
    np.testing.assert_allclose(twice.positions[:, :, 0], kept, atol=6e-3)
    assert twice.lengths == (11,) and has_note(twice, "the first is frame 6")
    refused(f"{top},{times(path, even * 0)}", "time between frames is 0 ps.*--read.frame-step")
    given = read(f"{top},{path}", frame_step="2 ps")
    assert (given.frame_step, given.lengths) == (2.0, (12,))
    refused(f"{top},{times(path, 1.5 ** np.arange(12))}", "not evenly spaced")


def test_pdb_models(tmp_path):
    def model(k, atoms, records=True):
        body = "".join(
            f"ATOM  {i + 1:5d} {name:<4s} LIG A   1    {k + 1.5 * i:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00"
            f"           C\n"
            for i, name in enumerate(atoms)
        )
        return f"MODEL {k + 1:8d}\n{body}ENDMDL\n" if records else f"{body}END\n"

    names, path = ["C0", "C1", "C2"], tmp_path / "a.pdb"
    path.write_text("".join(model(k, names) for k in range(9)))
    assert read(path).num_frames == 9
    gzip.open(tmp_path / "a.pdb.gz", "wt").write(path.read_text())
    assert read(tmp_path / "a.pdb.gz").num_frames == 9
    path.write_text("".join(model(k, names[: 2 if k == 7 else 3]) for k in range(9)))
    refused(path, r"a\.pdb: frame 7 has 2 atoms, frame 0 has 3")
    path.write_text("".join(model(k, names[:: -1 if k == 4 else 1]) for k in range(9)))
    refused(path, r"a\.pdb: atom 0 is C2 in frame 4 and C0 in frame 0")
    path.write_text("".join(model(k, names, records=False) for k in range(9)))
    refused(path, r"a\.pdb: has 9 blocks .*write MODEL and ENDMDL")


def test_alternate_locations(tmp_path):
    row = "ATOM  {:5d} {:<4s}{}ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  0.50  0.00           {}\n"
    atoms = [
        ("N", " ", 1, 0),
        ("CA", "A", 1, 1.5),
        ("CA", "B", 1, 1.5),
        ("C", " ", 1, 3),
        ("N", " ", 4, 9),
    ]
    text = "".join(
        row.format(i, n, alt, r, x, 0.4 * (alt == "B"), 0, n[0])
        for i, (n, alt, r, x) in enumerate(atoms)
    )
    (tmp_path / "a.pdb").write_text(text + "END\n")
    for nodes in ("atoms", "residues"):
        refused(
            tmp_path / "a.pdb",
            "ALA1-CA .*locations A, B; .*--read.select 'not altloc B'",
            nodes=nodes,
        )
    assert read(tmp_path / "a.pdb", select="not altloc B").system.num_nodes == 4


def test_formats_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [
        ase.Atoms("CO2", (x + [5.0, 0.3, 0.3]) % 6.0, cell=[6.0] * 3, pbc=True) for x in FRAMES
    ]
    ase.io.write("XDATCAR", images, format="vasp-xdatcar")
    found = read("XDATCAR")
    inside = FRAMES - FRAMES[:, :1]
    np.testing.assert_allclose(
        (found.positions - found.positions[:, :1])[:, :, 0], inside, atol=1e-5
    )
    assert found.system.names == ("C", "O", "O")
    ase.io.write("plain", images, format="extxyz")
    for form in ("xyz", ".XYZ", "extxyz"):
        assert read("plain", format=form).num_frames == 12
    (tmp_path / "nothing").write_text("?")
    refused(
        "nothing", "nothing: 'no suffix' is no format .*--read.format.*save positions .* as .npz"
    )
    refused("plain", "plain: holds no ATOM", format="pdb")
    refused("plain", "read format is 'extxzy', .*did you mean 'extxyz'", format="extxzy")
    for name in ("a.zip", "a.tar.gz", "a.tgz"):
        (tmp_path / name).write_text("?")
        refused(name, f"{name}: is an archive; unpack it and name the file in it")
    rows = ["title\n         0         1         3\n"]
    for k, frame in enumerate(FRAMES):
        rows.append(f"timestep {10 * k:9d}         3 0 1 0.002\n20 0 0\n0 20 0\n0 0 20\n")
        rows += [f"C {i + 1} 12.0 0.0\n{x} {y} {z}\n" for i, (x, y, z) in enumerate(frame)]
    for name in ("HISTORY", "HISTORY.1", "co2.his"):
        (tmp_path / name).write_text("".join(rows))
        found = read(name)
        assert (found.frame_step, found.time_unit) == (0.02, "ps")
        np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)


def test_a_format_is_that_of_the_files_whose_suffix_tells_none(tmp_path, monkeypatch, top):
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "run.dcd", FRAMES).rename("run")
    assert read("top.pdb,run", format="DCD").num_frames == 12
    refused("top.pdb,run", "run: 'no suffix' is no format that is known here")
    write_frames(tmp_path / "b.dcd", FRAMES)
    refused("top.pdb,b.dcd", "read format has no effect on top.pdb", format="dcd")
    refused("top.pdb,run", "run: frame 0 .*number of an XTC", format="xtc")


def test_files_that_are_not_read_together(tmp_path, monkeypatch, top):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", R=FRAMES, z=[6, 6, 6])
    refused("x.npz,x.npz", "x.npz: .*a file of numpy's is read by itself.*lengths.*--data")
    run = write_frames(tmp_path / "a.xtc", FRAMES)
    (tmp_path / "a.xtc.gz").write_bytes(gzip.compress(run.read_bytes()))
    refused("top.pdb,a.xtc.gz", r"a\.xtc\.gz: is compressed; unpack it first \(gunzip a\.xtc\.gz\)")
    ase.io.write("many.xyz", [ase.Atoms("C3", x) for x in FRAMES], format="xyz")
    found = read("many.xyz,a.xtc")
    assert found.num_frames == 12 and has_note(found, "the 12 frames of many.xyz are not read")


def test_names_with_commas_and_paths(tmp_path, monkeypatch, top):
    monkeypatch.chdir(tmp_path)
    run = write_frames(tmp_path / "my,run.dcd", FRAMES)
    top.rename(tmp_path / "a,b,top.pdb")
    for spec in ("a,b,top.pdb,my,run.dcd", f"a,b,top.pdb,{run}"):
        assert sources.load(spec).lengths == (12,)
    with pytest.raises(DataError, match=r"my,run\.dcd: is named twice"):
        sources.load("a,b,top.pdb,my,run.dcd,my,run.dcd")
    np.savez("x,y.npz", R=FRAMES, z=[6, 6, 6])
    assert sources.load(tmp_path / "x,y.npz").num_frames == 12  # a Path
    for spec, words in (
        (".", "this is a folder"),
        ("x,y.npz,", "a name is missing beside a comma"),
    ):
        with pytest.raises(DataError, match=words):
            sources.load(spec)


def test_the_unit_of_the_file(tmp_path):
    rows = ["3\n\n" + "".join(f"C {x} {y} {z}\n" for x, y, z in frame / 10) for frame in FRAMES]
    (tmp_path / "a.xyz").write_text("".join(rows))
    with pytest.raises(DataError, match="is this nm.*--read.length-unit nm"):
        sources.load(str(tmp_path / "a.xyz"))
    found = sources.load(str(tmp_path / "a.xyz"), read=ReadConfig(length_unit="nm"))
    assert found.system.length_unit == "nm" and found.system.bonds.tolist() == [[0, 1], [1, 2]]
    found = sources.load(str(tmp_path / "a.xyz"), read=ReadConfig(length_unit="nm", unit="Å"))
    np.testing.assert_allclose(found.positions[:, :, 0], FRAMES, atol=1e-5)


def test_atoms_that_are_named_by_their_element(tmp_path):
    """MDAnalysis guesses that Ar is of an element A."""
    rows = "".join(f"{i:5d}Ar      Ar{i:5d}{0.4 * i:8.3f}{0:8.3f}{0:8.3f}\n" for i in range(1, 5))
    (tmp_path / "a.gro").write_text(f"argon\n    4\n{rows}   3.0 3.0 3.0\n")
    assert read(tmp_path / "a.gro").system.atomic_numbers.tolist() == [18] * 4

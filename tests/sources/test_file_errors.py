"""Files of the user's own that are bad, cut short, or do not belong together."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.files import (
    CARBONS,
    datafiles,
    has_note,
    mol2,
    random_walk,
    read,
    residue,
    write_frames,
    write_pdb,
)

from estag_jax.data.system import DataError
from estag_jax.sources.files import packages

XYZ = "3\n\nC 0 0 0\nO 1.2 0 0\nH 2 0 0\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xyz", XYZ + XYZ.replace("C", "N"), "atom 0 is N in frame 1 and C in frame 0"),
        ("a.xyz", XYZ + XYZ[:-8].replace("3", "2"), "frame 1 has 2 atoms, frame 0 has 3"),
        ("a.xyz", XYZ + XYZ[:-8], r"frame \d .*extxyz"),
        ("a.xyz", XYZ.replace("C", "X"), "element of atom 0 .*X"),
        ("a.xyz", "", "empty"),
        ("a.xyz", "0\n\n", "zero atoms|frame 0"),
        ("a.traj", XYZ, "ASE cannot read it as traj"),
        ("a.pkl", XYZ, "pickled"),
        ("a.foo", XYZ, r"'\.foo'.*ASE .*MDAnalysis"),
        ("a.pdb", "TITLE nothing\nEND\n", "holds no ATOM"),
        ("a.npz", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.cif", "\n<!DOCTYPE html><html>404</html>", "page of the web"),
        ("a.gro", XYZ, "line 2 is '', expected the number of atoms"),
        ("a.mol2", mol2(2, "1 1 2 1\n").replace(" C", " Q"), r"element of atom 0 \(Q0\)"),
    ],
)
def test_bad_files(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=words) as error:
        read(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_text_of_two_bytes_a_letter(tmp_path):
    (tmp_path / "a.xyz").write_text(XYZ, encoding="utf-16")
    with pytest.raises(DataError, match="a.xyz: is text in UTF-16.*save it as UTF-8"):
        read(tmp_path / "a.xyz")


@pytest.mark.parametrize("suffix, names", packages.PACKAGES.items())
def test_a_format_that_needs_a_package(tmp_path, monkeypatch, suffix, names):
    """Before MDAnalysis, whose reader of .tng leaves a traceback on the terminal."""
    (module, package), what = names, names[0].partition(".")[0]
    monkeypatch.setitem(sys.modules, module, None)
    top, path = write_pdb(tmp_path / "a.pdb", CARBONS), tmp_path / f"a{suffix}"
    path.write_text("_atom_site.Cartn_x")
    words = rf"{path.name}: reading this file needs {what}; pip install {package}"
    with pytest.raises(DataError, match=words):
        read(f"{top},{path}" if suffix == ".tng" else path)


def cut(path, source, count):
    path.write_bytes(Path(source).read_bytes()[:count])
    return path


DCD_FRAME = 3 * (8 + 4 * 3341)
DCD_HEAD = 3931724 - 98 * DCD_FRAME


@pytest.mark.parametrize(
    ("bytes_left", "words"),
    [
        (50, "50 bytes.*header"),
        (100, "within the DCD header"),
        (DCD_HEAD + 5, "no whole frame, 5 bytes"),
        (DCD_HEAD + 40 * DCD_FRAME + 7, "frame 40 .* 7 of its 40116 bytes"),
        (3931724 - 1, "frame 97 .*copy it again.* 97 whole frames"),
    ],
)
def test_dcd_that_is_cut_short(tmp_path, bytes_left, words):
    path = cut(tmp_path / "a.dcd", datafiles.DCD, bytes_left)
    with pytest.raises(DataError, match=words) as error:
        read(f"{datafiles.PSF},{path}")
    assert str(error.value).startswith(str(path))


def test_dcd_with_fewer_frames_than_announced(tmp_path):
    path = cut(tmp_path / "a.dcd", datafiles.DCD2, 4097820 - 40172 * 2)
    found = read(f"{datafiles.PSF},{path}", select="name CA")
    assert found.num_frames == 100
    assert has_note(found, "promises 102 frames, the file ends after 100 whole ones")
    assert found.system.bonds is None  # none lies between CA atoms


@pytest.mark.parametrize("suffix", ["xtc", "trr"])
def test_xdr_files_that_are_cut_short(tmp_path, suffix):
    top = write_pdb(tmp_path / "a.pdb", [(f"C{i % 10}", "LIG", 1, "C") for i in range(50)])
    whole = write_frames(tmp_path / f"a.{suffix}", random_walk(10, 50))
    path = cut(tmp_path / f"b.{suffix}", whole, whole.stat().st_size - 30)
    with pytest.raises(
        DataError, match=rf"b\.{suffix}: is cut short within frame 9 .* save its 9 whole frames"
    ):
        read(f"{top},{path}")


def test_files_that_do_not_belong_together(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    good = write_frames(tmp_path / "a.dcd", random_walk())
    other = write_frames(tmp_path / "b.dcd", random_walk(atoms=4))
    for spec, words in [
        (f"{top},{good},{other}", f"{other}: .*4 atoms, {top} has 3"),
        (f"{top},{tmp_path / 'none.dcd'}", "none.dcd.*no such file"),
        (f"{top},", "no such file"),
        (f"{top},{tmp_path}", "folder"),
        (datafiles.PSF, r"adk\.psf: .*no coordinates.*,TRAJECTORY"),
        (f"{top},{top.with_suffix('.foo')}", r"a\.foo: '.foo' is no format that is known here"),
    ]:
        (tmp_path / "a.foo").write_text("x")
        with pytest.raises(DataError, match=words) as error:
            read(spec)
        assert "\n" not in str(error.value)


def test_residues_that_are_missing_and_dummy_atoms_are_named(tmp_path):
    chain = residue("ALA", 1) + residue("GLY", 4)
    assert has_note(read(write_pdb(tmp_path / "a.pdb", chain)), "residues 2 to 3 are not there")
    water = write_pdb(tmp_path / "b.pdb", [("O", "HOH", 1, "O"), ("MW", "HOH", 1, "")])
    with pytest.raises(DataError, match=r"atom 1 \(MW\) is 'Mw', which is none; .*--read.select"):
        read(water)


def test_selections(tmp_path):
    top = str(write_pdb(tmp_path / "a.pdb", residue("ALA", 1)))
    for select, words in [
        ("name CB", "'name CB'.* 4 atoms.*ALA.*C CA N O"),
        ("nome CB", "'nome CB' is not understood"),
        ("name CB and", "not understood"),
    ]:
        with pytest.raises(DataError, match=words) as error:
            read(top, select=select)
        assert "\n" not in str(error.value)
    (tmp_path / "a.xyz").write_text(XYZ)
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 3)))
    for name, option, value in [
        ("a.xyz", "select", "name C"),
        ("a.xyz", "nodes", "residues"),
        ("a.npy", "unwrap", False),
    ]:
        with pytest.raises(DataError, match=f"{option} has no effect on .*{name}"):
            read(tmp_path / name, **{option: value})


def test_without_mdanalysis(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    with pytest.raises(DataError, match=r"needs MDAnalysis; pip install 'estag_jax\[md\]'"):
        read(str(write_pdb(tmp_path / "a.pdb", CARBONS)))

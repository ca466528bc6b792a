"""A small file of each format that is read."""

from __future__ import annotations

import json
import shutil

import numpy as np

from helpers.paths import ROOT


def _chain(frames=12, atoms=3):
    """Carbons 1.4 Å apart that move a little [frames, atoms, 3]."""
    steps = np.random.default_rng(0).normal(0, 0.01, (frames, atoms, 3)).cumsum(0)
    return (steps + np.arange(atoms)[:, None] * [1.4, 0, 0]).astype(np.float32)


def npz(folder):
    np.savez(folder / "a.npz", R=_chain(), z=np.full(3, 6))
    return "a.npz", "a.npz"


def npy(folder):
    np.save(folder / "a.npy", _chain())
    return "a.npy", "a.npy"


def xyz(folder):
    frames = [
        "3\nstep\n" + "".join(f"C {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in frame)
        for frame in _chain(5)
    ]
    (folder / "a.xyz").write_text("".join(frames))
    return "a.xyz", "a.xyz"


def _motion(target):
    def make(folder):
        from helpers import mocap

        mocap.write(folder)
        asf, amc = (next(folder.glob(f"*.{suffix}")).name for suffix in ("asf", "amc"))
        return f"{asf},{amc}", asf if target == "asf" else amc

    return make


def bvh(folder):
    head = (
        "HIERARCHY\nROOT hip\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation "
        "Yrotation\nJOINT knee\n{\nOFFSET 0 -4 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\n"
        "OFFSET 0 -4 1\n}\n}\n}\nMOTION\nFrames: 12\nFrame Time: 0.01\n"
    )
    rows = np.random.default_rng(0).normal(0, 1, (12, 9)).cumsum(0)
    (folder / "a.bvh").write_text(
        head + "\n".join(" ".join(f"{v:.3f}" for v in r) for r in rows) + "\n"
    )
    return "a.bvh", "a.bvh"


def _trajectory(suffix, atoms=3):
    def make(folder):
        from helpers.files import write_frames, write_pdb

        write_pdb(folder / "top.pdb", [(f"C{i}", "LIG", 1, "C") for i in range(atoms)])
        write_frames(folder / f"a.{suffix}", _chain(40, atoms))
        return f"top.pdb,a.{suffix}", f"a.{suffix}"

    return make


def psf(folder):
    """A topology, damaged, with a whole trajectory."""
    from helpers.files import write_frames

    atoms = "".join(
        f"{i + 1:8d} SYS  1    LIG  C{i}   C      0.000000       12.0110           0\n"
        for i in range(3)
    )
    bonds = "".join(f"{i:8d}" for i in (1, 2, 2, 3))
    (folder / "top.psf").write_text(
        f"PSF\n\n       1 !NTITLE\n REMARKS a chain\n\n       3 !NATOM\n{atoms}\n       2 !NBOND: bonds\n"
        f"{bonds}\n\n"
    )
    write_frames(folder / "a.dcd", _chain(5))
    return "top.psf,a.dcd", "top.psf"


def pdb(folder):
    models = [
        f"MODEL     {k + 1:4d}\n"
        + "".join(
            f"ATOM  {i + 1:5d} C{i}   LIG A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C\n"
            for i, (x, y, z) in enumerate(frame)
        )
        + "ENDMDL\n"
        for k, frame in enumerate(_chain())
    ]
    (folder / "a.pdb").write_text("".join(models) + "END\n")
    return "a.pdb", "a.pdb"


def dump(folder):
    frames = [
        f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n0 50\n0 50\n0 50\n"
        "ITEM: ATOMS id element x y z\n"
        + "".join(f"{i + 1} C {x:.4f} {y:.4f} {z:.4f}\n" for i, (x, y, z) in enumerate(f + 5))
        for k, f in enumerate(_chain())
    ]
    (folder / "a.dump").write_text("".join(frames))
    return "a.dump", "a.dump"


def _by_ase(name, form):
    """Crystals, as ASE writes them."""

    def make(folder):
        import ase.io

        frames = [ase.Atoms("C3", x + 5, cell=[12.0, 12, 13], pbc=True) for x in _chain()]
        ase.io.write(folder / name, frames, format=form)
        return name, name

    return make


def _of_a_run(target):
    """A file of a run of version 0.2, read as estag evaluate, info and table do."""

    def make(folder):
        released = ROOT / "tests" / "runs" / "released" / "0.2"
        shutil.copytree(released, folder, dirs_exist_ok=True)
        result = folder / "run" / "result.json"
        if target == "run/result.json":  # a table of two rows is read and shown in half the time
            whole = json.loads(result.read_text())
            result.write_text(json.dumps(whole | {"rows": whole["rows"][-2:]}, indent=1))
        else:  # as during a training: its table would be shown for each mutant of another file
            result.unlink()
        return target, target

    return make


def gro(folder):
    frames = [
        f"chain t= {k}.0\n3\n"
        + "".join(
            f"    1LIG     C{i}{i + 1:5d}{x:8.3f}{y:8.3f}{z:8.3f}\n"
            for i, (x, y, z) in enumerate(f / 10)
        )
        + "   5.00000   5.00000   5.00000\n"
        for k, f in enumerate(_chain() + 5)
    ]
    (folder / "a.gro").write_text("".join(frames))
    return "a.gro", "a.gro"


def history(folder):
    frames = [
        f"timestep {k} 3 0 0 0.002 0.0\n"
        + "".join(f"C {i + 1} 12.0 0.0\n{x:.4f} {y:.4f} {z:.4f}\n" for i, (x, y, z) in enumerate(f))
        for k, f in enumerate(_chain())
    ]
    (folder / "HISTORY").write_text("title\n0 0 3 12 99\n" + "".join(frames))
    return "HISTORY", "HISTORY"


FORMATS = {
    "run": _of_a_run("run/run.json"),
    "metrics": _of_a_run("run/metrics.jsonl"),
    "result": _of_a_run("run/result.json"),
    "forecaster": _of_a_run("run/forecaster.npz"),
    "cell": _of_a_run("table/cells/data.npz/AR-LS.json"),
    "npz": npz,
    "npy": npy,
    "xyz": xyz,
    "asf": _motion("asf"),
    "amc": _motion("amc"),
    "bvh": bvh,
    "pdb": pdb,
    "psf": psf,
    "dump": dump,
    "xtc": _trajectory("xtc"),
    "compressed xtc": _trajectory("xtc", 12),  # up to 9 atoms are not
    "trr": _trajectory("trr"),
    "dcd": _trajectory("dcd"),
    "nc": _trajectory("nc"),
    "gro": gro,
    "xsf": _by_ase("a.xsf", "xsf"),
    "cif": _by_ase("a.cif", "cif"),
    "json": _by_ase("a.json", "json"),
    "traj": _by_ase("a.traj", "traj"),
    "xdatcar": _by_ase("XDATCAR", "vasp-xdatcar"),
    "history": history,
}
"""By name: writes a whole file into a folder, and returns what to load and what to damage."""

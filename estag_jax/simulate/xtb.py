"""Trajectories of molecules simulated on the spot: GFN2-xTB forces (tblite) and ASE's integrators.

Simulated data in the manner of MD17, whose forces are DFT: no figure on it is one on MD17. Dynamics
are chaotic, so that on another processor family or with other versions the frames differ after some
hundred femtoseconds, while their statistics do not.

A run is cut into chunks of ``CHUNK`` steps. Each starts from nothing but what the chunk before it
has written to disk: new calculator, new integrator, own random numbers. So a run that was killed
and resumed gives the same bits as one that was not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path

import ase
import numpy as np
from ase import constraints, units
from ase.md import langevin, nose_hoover_chain, verlet
from ase.md.md import MolecularDynamics
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import FileError, Report, cause, silent, slug
from estag_jax.npz import read_npz, write_npz
from estag_jax.simulate import molecules
from estag_jax.simulate.settings import MOLECULES, XtbConfig

CHUNK = 500
"""Steps from one saved state to the next."""


def read(name: str, config: XtbConfig, cache: Path, report: Report = silent) -> Trajectory:
    """Simulates a molecule, or reads the same simulation from the cache.

    The molecule is relaxed (BFGS), given Maxwell–Boltzmann velocities without total momentum and
    angular momentum, equilibrated and simulated on one thread. What is done is kept in the cache
    after every ``CHUNK`` steps; an interrupted run continues there.

    Args:
      name: a molecule of MD17 ("aspirin"), a SMILES, or the path of an .xyz geometry.
      config: how it is simulated.
      cache: folder of the finished and unfinished trajectories.
      report: receives the number of steps done.

    Returns:
      All atoms [frames, N, 1, 3] in Å, float32, with the bonds of the SMILES.

    Raises:
      DataError: the name means nothing, the molecule cannot be simulated or falls apart, or tblite
        is not installed; the line says which and at which step.
    """
    smiles = None if molecules.is_geometry(name) else molecules.smiles_of(name)
    versions = _versions(name, ("ase", "tblite") if smiles is None else ("ase", "tblite", "rdkit"))
    path = Path(cache) / f"{_file_name(name, smiles, config, versions)}.npz"
    try:
        if not path.exists():
            _simulate(name, config, path, report)
        saved = read_npz(path, ("R", "z", "dt_fs"), wanted=("bonds", "bond_orders"))
    except FileError as error:
        raise DataError(f"{error}; delete it, or choose another cache (--read.folder)") from error
    settings = [f"{key} {value}" for key, value in dataclasses.asdict(config).items()]
    return Trajectory.from_arrays(
        saved["R"],
        atomic_numbers=saved["z"],
        bonds=saved.get("bonds"),
        bond_orders=saved.get("bond_orders"),
        frame_step=float(saved["dt_fs"]),
        time_unit="fs",
        source=f"xtb:{name}",
        provenance=f"simulated, not MD17: {name}{f' ({smiles})' if name in MOLECULES else ''} by "
        f"GFN2-xTB ({', '.join(f'{package} {version}' for package, version in versions.items())}); "
        f"in fs and K: {', '.join(settings)}",
        licence="computed on the spot; no terms are attached",
        notes=("simulated by GFN2-xTB in the manner of MD17; it is not MD17's data (DFT)",),
    )


def _versions(name: str, packages: tuple[str, ...]) -> dict[str, str]:
    try:
        return {package: importlib.metadata.version(package) for package in packages}
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(
            f"xtb:{name}: the simulation needs {error.name}, which is not installed; "
            f"pip install 'estag_jax[xtb]'"
        ) from error


def _file_name(name: str, smiles: str | None, config: XtbConfig, versions: dict[str, str]) -> str:
    """File name without suffix: readable, then a hash of all that the frames depend on."""
    what, path = smiles, Path(name)
    if smiles is None:  # a missing file is reported where it is read
        what = hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()
    everything = [what, dataclasses.asdict(config), versions, CHUNK]
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
    return f"{slug(path.stem if smiles is None else name)[:40]}-{digest[:12]}"


def _simulate(name: str, config: XtbConfig, path: Path, report: Report) -> None:
    """Runs what is still missing, chunk by chunk, and joins the chunks to one file."""
    parts = path.with_suffix(".parts")
    with molecules.one_thread():
        saved = sorted(parts.glob("*.npz"))
        if saved:
            state, chunk = read_npz(saved[-1]), int(saved[-1].stem)
        else:
            state, chunk = _start(name, config), 0
            write_npz(_part(parts, 0), state)
        while chunk * CHUNK < config.steps:
            state = _advance(f"xtb:{name}", state, config, chunk, report)
            chunk += 1
            write_npz(_part(parts, chunk), state)
    if not path.exists():  # else another process has done the same meanwhile
        first, *rest = [read_npz(_part(parts, i)) for i in range(chunk + 1)]
        arrays = {key: first[key] for key in ("z", "bonds", "bond_orders") if key in first}
        arrays |= {key: np.concatenate([part[key] for part in rest]) for key in ("R", "E")}
        arrays["dt_fs"] = np.float64(config.step * config.every)
        write_npz(path, arrays, compressed=True)
    shutil.rmtree(parts, ignore_errors=True)


def _start(name: str, config: XtbConfig) -> dict[str, np.ndarray]:
    """The relaxed molecule with its velocities."""
    found = molecules.relaxed(name, config.charge, config.seed)
    atoms = ase.Atoms(found.atomic_numbers, found.positions)
    thermalize_momenta(atoms, config.temperature, rng=np.random.default_rng(config.seed))
    # What they take away is not given to the other degrees of freedom: those have their share.
    Stationary(atoms, preserve_temperature=False)
    with np.errstate(all="ignore"):  # a linear molecule has a moment of inertia of 0
        ZeroRotation(atoms, preserve_temperature=False)
    state = {"z": atoms.numbers, "positions": atoms.positions, "momenta": atoms.get_momenta()}
    bonds = {} if found.bonds is None else {"bonds": found.bonds, "bond_orders": found.bond_orders}
    return state | bonds | {"chain": np.zeros((2, 3))}


def _advance(
    source: str, state: dict[str, np.ndarray], config: XtbConfig, chunk: int, report: Report
) -> dict[str, np.ndarray]:
    """One chunk: the state at its end, and its kept frames R [frames, N, 3] Å and E [frames] eV."""
    atoms = ase.Atoms(state["z"], state["positions"], momenta=state["momenta"])
    atoms.calc = molecules.calculator(config.charge)
    dynamics, chain = _dynamics(atoms, config, chunk)
    for values, saved in zip(chain, state["chain"], strict=True):
        values[:] = saved
    frames, energies, remedy = [], [], "lower step or temperature"
    for step in range(chunk * CHUNK + 1, min((chunk + 1) * CHUNK, config.steps) + 1):
        try:
            with np.errstate(all="ignore"):  # what overflows is found by the check
                dynamics.run(1)
        except RuntimeError as error:
            raise DataError(
                f"{source}: GFN2-xTB fails at step {step} ({cause(error)}); {remedy}"
            ) from error
        molecules.check_whole(source, atoms.positions, f"at step {step}", remedy)
        kept = step - config.equilibration
        if kept > 0 and kept % config.every == 0:
            frames.append(atoms.positions.astype(np.float32))
            energies.append(atoms.get_potential_energy())
        report(f"simulating {source}", step, config.steps)
    return {
        "z": state["z"],
        "positions": atoms.positions,
        "momenta": atoms.get_momenta(),
        "chain": np.array(chain),
        "R": np.array(frames, np.float32).reshape(-1, len(atoms), 3),
        "E": np.array(energies),
    }


def _dynamics(
    atoms: ase.Atoms, config: XtbConfig, chunk: int
) -> tuple[MolecularDynamics, np.ndarray]:
    """ASE's integrator, and its thermostat's own variables [2, 3], through which they can be set."""
    step, damping = config.step * units.fs, config.damping * units.fs
    if config.thermostat == "nose-hoover":
        chain = nose_hoover_chain.NoseHooverChainNVT(atoms, step, config.temperature, damping)
        return chain, _chain(chain, len(atoms))
    if config.thermostat == "none":
        return verlet.VelocityVerlet(atoms, step), np.zeros((2, 3))
    atoms.set_constraint(constraints.FixCom())
    rng = np.random.default_rng([config.seed, chunk + 1])  # [seed, 0] is the same as seed
    noisy = langevin.Langevin(
        atoms, step, temperature_K=config.temperature, friction=1 / damping, fixcm=False, rng=rng
    )
    return noisy, np.zeros((2, 3))


def _chain(dynamics: MolecularDynamics, num_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """The chain's positions and momenta, which ASE keeps private, for the free degrees of freedom.

    ASE counts 3 N degrees of freedom. Without total momentum and angular momentum there are 3 N - 6
    (1 for two atoms), and those would be heated by the share of the others: water to three times
    the temperature asked for.
    """
    thermostat = vars(dynamics).get("_thermostat")
    chain = tuple(getattr(thermostat, name, None) for name in ("_eta", "_p_eta"))
    if getattr(thermostat, "_num_atoms_global", 0) != num_atoms or np.shape(chain) != (2, 3):
        raise DataError(
            "xtb: this version of ASE keeps the variables of its Nosé–Hoover chain elsewhere than "
            "ASE 3.29 does; install ase==3.29.0, or choose thermostat langevin"
        )
    thermostat._num_atoms_global = max(3 * num_atoms - 6, 1) / 3
    return chain


def _part(parts: Path, chunk: int) -> Path:
    return parts / f"{chunk:06d}.npz"  # number 0 is the start

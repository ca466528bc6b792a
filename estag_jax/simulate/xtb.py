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
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from estag_jax.data.trajectory import DataError, Trajectory
from estag_jax.simulate import molecules
from estag_jax.sources.files.npz import read_npz

if TYPE_CHECKING:
    from ase import Atoms
    from ase.md.md import MolecularDynamics

Thermostat = Literal["nose-hoover", "langevin", "none"]

CHUNK = 500
"""Steps from one saved state to the next."""


@dataclasses.dataclass(frozen=True)
class XtbConfig:
    """How a molecule is simulated.

    Args:
      frames: frames to keep.
      equilibration: steps before the first kept frame.
      temperature: K; of the starting velocities and of the thermostat. Without a thermostat, about
        half of it stays, since the start is the relaxed structure.
      thermostat: "nose-hoover" (a chain of three), "langevin" (centre of mass held) or "none"
        (velocity Verlet at constant energy).
      damping: time constant of the thermostat, fs.
      step: time step of the integrator, fs.
      every: keep every n-th step.
      seed: of the first geometry, the starting velocities and Langevin's noise.
      charge: of the molecule, in elementary charges.

    Raises:
      ValueError: a value is out of its range.
    """

    frames: int = 20_000
    equilibration: int = 2_000
    temperature: float = 500.0
    thermostat: Thermostat = "nose-hoover"
    damping: float = 50.0
    step: float = 0.5
    every: int = 1
    seed: int = 0
    charge: int = 0

    def __post_init__(self):
        if self.thermostat not in get_args(Thermostat):
            raise ValueError(
                f"xtb thermostat is {self.thermostat!r}, expected one of "
                f"{', '.join(get_args(Thermostat))}"
            )
        for name, least in (("frames", 1), ("every", 1), ("equilibration", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"xtb {name} is {getattr(self, name)}, it must be {least} or more")
        for name in ("temperature", "damping", "step"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(
                    f"xtb {name} is {getattr(self, name)}, it must be positive and finite"
                )
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"xtb seed is {self.seed}, it must lie in 0 … 2^31 - 1")

    @property
    def steps(self) -> int:
        return self.equilibration + self.frames * self.every


def read(name: str, config: XtbConfig, cache: Path, progress: bool = True) -> Trajectory:
    """Simulates a molecule, or reads the same simulation from the cache.

    The molecule is relaxed (BFGS), given Maxwell–Boltzmann velocities without total momentum and
    angular momentum, equilibrated and simulated on one thread. What is done is kept in the cache
    after every ``CHUNK`` steps; an interrupted run goes on from there.

    Args:
      name: a molecule of MD17 ("aspirin"), a SMILES, or the path of an .xyz geometry.
      config: how it is simulated.
      cache: folder of the finished trajectories and of those under way.
      progress: show a progress bar on stderr if that is a terminal.

    Returns:
      All atoms [frames, N, 1, 3] in Å, float32, with the bonds of the SMILES.

    Raises:
      DataError: the name means nothing, the molecule cannot be simulated or falls apart, or tblite
        is not installed; the line says which and at which step.
    """
    smiles = None if molecules.is_geometry(name) else molecules.SMILES.get(name, name)
    versions = _versions(name, ("ase", "tblite") if smiles is None else ("ase", "tblite", "rdkit"))
    path = Path(cache) / f"{_slug(name, smiles, config, versions)}.npz"
    if not path.exists():
        _simulate(name, config, path, progress and sys.stderr.isatty())
    settings = [f"{key} {value}" for key, value in dataclasses.asdict(config).items()]
    return dataclasses.replace(
        read_npz(path),
        source=f"xtb:{name}",
        provenance=f"simulated, not MD17: {name}{f' ({smiles})' if name in molecules.SMILES else ''} by "
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


def _slug(name: str, smiles: str | None, config: XtbConfig, versions: dict[str, str]) -> str:
    """File name without suffix: readable, then a hash of all that the frames depend on."""
    what, path = smiles, Path(name)
    if smiles is None:  # a missing file is reported where it is read
        what = hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()
    everything = [what, dataclasses.asdict(config), versions, CHUNK]
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
    readable = re.sub("[^A-Za-z0-9]+", "-", path.stem if smiles is None else name)
    return f"{readable.strip('-')[:40]}-{digest[:12]}"


def _simulate(name: str, config: XtbConfig, path: Path, bar: bool) -> None:
    """Runs what is still missing, chunk by chunk, and joins the chunks to one file."""
    from rich.console import Console
    from rich.progress import Progress

    parts = path.with_suffix(".parts")
    console = Console(stderr=True)
    with molecules.one_thread(), Progress(console=console, disable=not bar) as progress:
        task = progress.add_task(f"simulating {name}", total=config.steps)
        saved = sorted(parts.glob("*.npz"))
        if saved:
            state, chunk = _load(saved[-1]), int(saved[-1].stem)
        else:
            state, chunk = _start(name, config), 0
            _save(_part(parts, 0), state)
        progress.advance(task, chunk * CHUNK)
        while chunk * CHUNK < config.steps:
            state = _advance(f"xtb:{name}", state, config, chunk, lambda: progress.advance(task))
            chunk += 1
            _save(_part(parts, chunk), state)
    if not path.exists():  # else another process has done the same meanwhile
        first, *rest = [_load(_part(parts, i)) for i in range(chunk + 1)]
        arrays = {key: first[key] for key in ("z", "bonds", "bond_orders") if key in first}
        arrays |= {key: np.concatenate([part[key] for part in rest]) for key in ("R", "E")}
        arrays["dt_fs"] = np.float64(config.step * config.every)
        _save(path, arrays, np.savez_compressed)
    shutil.rmtree(parts, ignore_errors=True)


def _start(name: str, config: XtbConfig) -> dict[str, np.ndarray]:
    """The relaxed molecule with its velocities."""
    import ase
    from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta

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
    source: str,
    state: dict[str, np.ndarray],
    config: XtbConfig,
    chunk: int,
    tick: Callable[[], None],
) -> dict[str, np.ndarray]:
    """One chunk: the state at its end, and its kept frames R [frames, N, 3] Å and E [frames] eV."""
    import ase

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
                f"{source}: GFN2-xTB fails at step {step} ({molecules.line(error)}); {remedy}"
            ) from error
        molecules.check_whole(source, atoms.positions, f"at step {step}", remedy)
        kept = step - config.equilibration
        if kept > 0 and kept % config.every == 0:
            frames.append(atoms.positions.astype(np.float32))
            energies.append(atoms.get_potential_energy())
        tick()
    return {
        "z": state["z"],
        "positions": atoms.positions,
        "momenta": atoms.get_momenta(),
        "chain": np.array(chain),
        "R": np.array(frames, np.float32).reshape(-1, len(atoms), 3),
        "E": np.array(energies),
    }


def _dynamics(atoms: Atoms, config: XtbConfig, chunk: int) -> tuple[MolecularDynamics, np.ndarray]:
    """ASE's integrator, and its thermostat's own variables [2, 3], through which they can be set."""
    from ase import constraints, units
    from ase.md import langevin, nose_hoover_chain, verlet

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


def _save(path: Path, arrays: dict[str, np.ndarray], write: Callable = np.savez) -> None:
    """Writes a file whole or not at all, also if another process writes the same one."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            write(file, **arrays)
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}); choose another cache") from error


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        cause = f"part of a simulation, missing or damaged ({molecules.line(error)})"
        raise DataError(f"{path}: {cause}; delete this folder to start anew") from error

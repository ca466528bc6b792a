"""Molecules to be simulated, by name, as a SMILES or from a geometry file, and their forces."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Generator
from pathlib import Path

import ase.io
import numpy as np
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from ase.optimize import BFGS
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from estag_jax.data.system import DataError
from estag_jax.io import cause, did_you_mean
from estag_jax.simulate.settings import MOLECULES

HEAVIEST = 86
"""GFN2-xTB has parameters for hydrogen to radon (Bannwarth, Ehlert, Grimme 2019)."""

CLOSE, APART = 0.4, 4.0
"""Å; two atoms nearer than the first lie in one place, and a gap wider than the second parts atoms."""


@dataclasses.dataclass(frozen=True)
class Molecule:
    """One molecule with all its hydrogens.

    Args:
      atomic_numbers: [N] integers.
      positions: a rough geometry [N, 3] in Å.
      bonds: pairs of atoms [bonds, 2], or None where only a geometry is known.
      bond_orders: [bonds] float32: 1, 2, 3, and 1.5 for aromatic bonds; or None.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    bonds: np.ndarray | None = None
    bond_orders: np.ndarray | None = None


def is_geometry(name: str) -> bool:
    """Whether ``name`` is meant as the path of a geometry file and not as a SMILES."""
    return Path(name).suffix.lower() == ".xyz"


def smiles_of(name: str) -> str:
    """The SMILES of a molecule of MD17 by its name; any other name is taken for a SMILES itself."""
    return MOLECULES[name].smiles if name in MOLECULES else name


def molecule(name: str, charge: int = 0, seed: int = 0) -> Molecule:
    """The molecule that ``name`` stands for.

    Args:
      name: one of the names in ``MOLECULES``, a SMILES, or the path of an .xyz file (its first frame).
      charge: of the whole molecule, in elementary charges.
      seed: of RDKit's embedding of a SMILES in space (ETKDGv3).

    Returns:
      The molecule; with bonds where it was given by a name or a SMILES.

    Raises:
      DataError: the name means nothing, no geometry is found, the file cannot be read, an element
        is not covered by GFN2-xTB, or the number of electrons is odd.
    """
    found = _from_file(name) if is_geometry(name) else _from_smiles(name, charge, seed)
    for atom, number in enumerate(found.atomic_numbers):
        if not 1 <= number <= HEAVIEST:
            raise DataError(
                f"xtb:{name}: atom {atom} (counted from 0) is {chemical_symbols[number]}, but "
                f"GFN2-xTB covers H to {chemical_symbols[HEAVIEST]} only; leave it out"
            )
    electrons = int(found.atomic_numbers.sum()) - charge
    if len(found.atomic_numbers) < 2:
        raise DataError(f"xtb:{name}: this is a single atom, and there is nothing to simulate")
    if electrons % 2 or electrons < 2:
        # GFN2-xTB can take unpaired electrons, but does not describe radicals well.
        raise DataError(
            f"xtb:{name}: with charge {charge} there are {electrons} electrons, but only molecules "
            f"with an even number, all paired, are simulated; complete the molecule or set charge"
        )
    return found


def relaxed(name: str, charge: int = 0, seed: int = 0) -> Molecule:
    """The same at the nearest minimum of the GFN2-xTB energy (BFGS, no force above 0.01 eV/Å).

    Args:
      name: as for ``molecule``, as are ``charge`` and ``seed``.
      charge: of the whole molecule.
      seed: of the embedding.

    Returns:
      The molecule.

    Raises:
      DataError: as ``molecule`` does, or GFN2-xTB fails, or no minimum is found.
    """
    found = molecule(name, charge, seed)
    check_whole(f"xtb:{name}", found.positions, "in the first geometry", "correct it")
    atoms = ase.Atoms(found.atomic_numbers, found.positions, calculator=calculator(charge))
    try:
        done = BFGS(atoms, logfile=None).run(fmax=0.01, steps=1000)
    except RuntimeError as error:
        raise DataError(
            f"xtb:{name}: GFN2-xTB fails while the geometry is relaxed ({cause(error)}); "
            f"is the charge of {charge} right?"
        ) from error
    if not done:
        force = np.linalg.norm(atoms.get_forces(), axis=1).max()
        raise DataError(
            f"xtb:{name}: after 1000 steps of relaxation there is still a force of {force:.3g} eV/Å; "
            f"give a better geometry"
        )
    check_whole(f"xtb:{name}", atoms.positions, "after relaxation", "give a better geometry")
    return dataclasses.replace(found, positions=atoms.positions)


def calculator(charge: int) -> Calculator:
    """A new GFN2-xTB calculator for a molecule with all electrons paired, without a wavefunction.

    Args:
      charge: of the molecule, in elementary charges.

    Returns:
      ASE's calculator of the package tblite (eV, eV/Å).
    """
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", charge=charge, multiplicity=1, verbosity=0)


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """Keeps tblite on one thread meanwhile, so that its sums are always in the same order.

    The variable OMP_NUM_THREADS is read when a process loads its first OpenMP library, which a
    function that is called later cannot precede. So the library that tblite itself has loaded is
    asked, found through tblite's extension module; without OpenMP there is one thread anyway.
    """
    import ctypes

    import tblite._libtblite

    library = ctypes.CDLL(tblite._libtblite.__file__)
    if not hasattr(library, "omp_set_num_threads"):
        yield
        return
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)


def check_whole(source: str, positions: np.ndarray, when: str, remedy: str) -> None:
    """Refuses positions that are those of no molecule.

    Args:
      source: of the positions, for the message.
      positions: [N, 3] in Å.
      when: where in the procedure this is, for the message.
      remedy: what to do about it, for the message.

    Raises:
      DataError: coordinates are not finite, two atoms coincide, or gaps of more than ``APART``
        part the atoms.
    """
    if not np.isfinite(positions).all():
        atom = np.argwhere(~np.isfinite(positions))[0, 0]
        raise DataError(f"{source}: {when} the position of atom {atom} is not finite; {remedy}")
    distances = cdist(positions, positions)
    near = np.argwhere(np.triu(distances < CLOSE, 1))
    if len(near):
        i, j = near[0]
        raise DataError(
            f"{source}: {when} atoms {i} and {j} are {distances[i, j]:.3g} Å from each other; {remedy}"
        )
    pieces, of = connected_components(distances <= APART, directed=False)
    if pieces > 1:
        atoms = np.flatnonzero(of == np.bincount(of).argmin())
        gap = distances[np.ix_(atoms, np.flatnonzero(of != of[atoms[0]]))].min()
        raise DataError(
            f"{source}: {when} the atoms do not hold together: {gap:.3g} Å lie between atom(s) "
            f"{', '.join(map(str, atoms[:5]))} and the rest; {remedy}"
        )


def _from_smiles(name: str, charge: int, seed: int) -> Molecule:
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import AllChem
    except ImportError as error:
        raise DataError(
            f"xtb:{name}: a SMILES is read by RDKit, which is not installed; "
            f"pip install 'estag_jax[xtb]', or give the path of an .xyz file"
        ) from error
    with rdBase.BlockLogs():
        parsed = Chem.MolFromSmiles(smiles_of(name))
        if parsed is None or not parsed.GetNumAtoms():
            raise DataError(_unknown(name))
        count = len(Chem.GetMolFrags(parsed))
        if count > 1:
            raise DataError(f"xtb:{name}: these are {count} molecules; give one without a '.'")
        formal = Chem.GetFormalCharge(parsed)
        if formal != charge:
            raise DataError(
                f"xtb:{name}: the atoms of this SMILES have charge {formal} together, but charge "
                f"is {charge}; set charge to {formal}"
            )
        full = Chem.AddHs(parsed)
        # Now, because MMFF has an aromaticity of its own and rewrites the bonds.
        bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in full.GetBonds()]
        orders = [bond.GetBondTypeAsDouble() for bond in full.GetBonds()]
        parameters = AllChem.ETKDGv3()
        parameters.randomSeed = seed
        if AllChem.EmbedMolecule(full, parameters) != 0:
            raise DataError(
                f"xtb:{name}: RDKit finds no geometry for this SMILES with seed {seed}; "
                f"try another seed, or give a geometry as an .xyz file"
            )
        # Whether a force field has converged is of no matter here: GFN2-xTB relaxes further.
        if AllChem.MMFFHasAllMoleculeParams(full):
            AllChem.MMFFOptimizeMolecule(full, maxIters=2000)
        elif AllChem.UFFHasAllMoleculeParams(full):
            AllChem.UFFOptimizeMolecule(full, maxIters=2000)
    return Molecule(
        np.array([atom.GetAtomicNum() for atom in full.GetAtoms()]),
        full.GetConformer().GetPositions(),
        np.array(bonds, np.int64).reshape(-1, 2),
        np.array(orders, np.float32),
    )


def _unknown(name: str) -> str:
    """Why ``name`` is no SMILES, and what may have been meant."""
    from rdkit import Chem

    near = did_you_mean(name.lower(), MOLECULES)
    parsed = Chem.MolFromSmiles(name, sanitize=False)
    if near or parsed is None or not parsed.GetNumAtoms():
        return (
            f"xtb:{name}: this is neither a known name nor a SMILES nor an .xyz file; known are "
            f"{', '.join(MOLECULES)}{near}"
        )
    problems = [problem.Message() for problem in Chem.DetectChemistryProblems(parsed)]
    return f"xtb:{name}: no molecule has this SMILES: {'; '.join(problems)}; correct it"


def _from_file(name: str) -> Molecule:
    if not Path(name).is_file():
        raise DataError(
            f"{name}: there is no such file; expected is a geometry in XYZ format, in Å"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ASE, on what the comment line may hold
            atoms = ase.io.read(name, index=0)
    except Exception as error:  # ASE passes on any error of its parser
        raise DataError(
            f"{name}: cannot be read as an XYZ file ({cause(error)}); expected are the number of atoms, a "
            f"comment, and a line 'element x y z' for each atom"
        ) from error
    if atoms.pbc.any():
        raise DataError(
            f"{name}: this is periodic, but single molecules are simulated; drop the cell"
        )
    return Molecule(atoms.numbers, atoms.positions)

"""The directions of imports, and what each folder keeps out, read off the code."""

import ast
import subprocess
import sys

import pytest
from helpers.paths import PACKAGE

from estag_jax.cli.main import COMMANDS, DATA_COMMANDS

SLOW = {"jax", "flax", "optax", "orbax", "matplotlib", "scipy", "e3nn_jax", "ase", "MDAnalysis"}

# A module may import from its own rank or below; folders of one rank do not import each other.
RANK = {
    "graph": 0,
    "memory": -1,
    "disk": -1,
    "moved": -1,
    "types": 0,
    "io": 0,
    "npz": 1,
    "config": 0,
    "ops": 1,
    "data": 2,
    "nn": 2,
    "testing": 2,
    "simulate": 3,
    "models": 3,
    "sources": 4,
    "evaluation": 4,
    "interop": 5,
    "training": 5,
    "runs": 6,
    "report": 7,
    "cli": 8,
    "__main__": 9,
}
FORBIDDEN = {
    "ops": {"flax", "optax", "orbax", "ase"},
    "graph": {"flax", "optax", "orbax", "ase"},
    "simulate": {"flax", "optax", "orbax"},
    "data": {"flax", "optax", "orbax", "jax"},
    "sources": {"flax", "optax", "orbax", "rich", "tyro"},
    "io": {"numpy", "jax", "flax", "rich"},
    "npz": {"jax", "flax", "rich"},
    "moved": {"numpy", "jax", "flax", "rich"},
    "config": {"jax", "numpy", "flax", "tyro"},
    "training": {"orbax", "rich", "tyro", "matplotlib"},
    "evaluation": {"orbax", "rich", "tyro", "matplotlib"},
}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if folder != "__init__":
            yield path, folder


def test_imports_go_one_way():
    for path, folder in _modules():
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "estag_jax" and len(parts) > 1 and parts[1] in RANK:
                other = parts[1]
                assert RANK[other] <= RANK[folder], f"{path} imports {name}"
                siblings = RANK[other] == RANK[folder] and other != folder
                assert not siblings or folder == "testing", f"{path} imports {name}"


def test_every_folder_is_ranked():
    assert {folder for _, folder in _modules()} <= set(RANK)


def test_folders_keep_out_what_is_not_theirs():
    for path, folder in _modules():
        found = {name.split(".")[0] for name in _imports(path)} & FORBIDDEN.get(folder, set())
        assert not found, f"{path} imports {found}"


def test_only_the_checkpoint_file_imports_orbax():
    for path, _ in _modules():
        if any(name.split(".")[0] == "orbax" for name in _imports(path)):
            assert path.relative_to(PACKAGE).as_posix() == "runs/checkpoint.py"


def test_ops_load_without_the_training_libraries():
    code = (
        "import sys, estag_jax.ops.edft, estag_jax.ops.attention\n"
        "assert not {'flax', 'optax', 'orbax', 'ase', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "command",
    [
        "data list",
        *(
            f"{command} --help"
            for command in (*(f"data {name}" for name in DATA_COMMANDS), *COMMANDS)
            # Two show the settings of the networks.
            if command not in ("data", "train", "plan")
        ),
    ],
)
def test_help_loads_no_library_that_takes_long(command):
    code = (
        "import sys, contextlib\n"
        "from estag_jax.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n"
        f"    main({command.split()})\n"
        f"sys.exit(str({SLOW} & set(sys.modules) or 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "0\n" and done.stdout

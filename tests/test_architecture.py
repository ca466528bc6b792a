"""The rules of the package's structure, read off the imports."""

import ast
import subprocess
import sys

from helpers.paths import PACKAGE

# A module may import from its own rank or below: types <- ops <- nn <- evaluate <- train <- … <- cli.
RANK = {
    "types": 0,
    "config": 0,
    "ops": 1,
    "data": 2,
    "simulate": 3,
    "sources": 4,
    "nn": 2,
    "testing": 2,
    "models": 3,
    "evaluate": 4,
    "interop": 4,
    "train": 5,
    "runs": 6,
    "report": 6,
    "cli": 7,
    "__main__": 8,
}
FORBIDDEN = {
    "ops": {"flax", "optax", "orbax", "numpyro", "ase"},
    "types": {"flax", "optax", "orbax", "ase"},
    "simulate": {"flax", "optax", "orbax"},
    "data": {"flax", "optax", "orbax", "jax"},
    "config": {"jax", "numpy", "flax", "tyro"},
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
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield path, room


def test_imports_go_one_way():
    for path, room in _modules():
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "estag_jax" and len(parts) > 1 and parts[1] in RANK:
                other = parts[1]
                assert RANK[other] <= RANK[room], f"{path} imports {name}"
                siblings = RANK[other] == RANK[room] and other != room
                assert not siblings or room in ("testing", "viz"), f"{path} imports {name}"


def test_every_room_is_ranked():
    assert {room for _, room in _modules()} <= set(RANK)


def test_rooms_keep_out_what_is_not_theirs():
    for path, room in _modules():
        found = {name.split(".")[0] for name in _imports(path)} & FORBIDDEN.get(room, set())
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

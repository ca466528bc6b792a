"""Damages files as their reader's coverage suggests: ``python -m helpers.fuzz FORMAT RUNS FOLDER``.

Begins with the whole file and what earlier runs kept (tests/sources/corpus/FORMAT). Ends at the first that
is not answered as documented, and leaves it in the folder. Needs ``pip install estag_jax[fuzz]``.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["estag_jax"]):
    from helpers.mutations import CORPUS, fault
    from helpers.small_files import FORMATS


def main(name: str, runs: str, folder: str) -> None:
    """Runs the fuzzer, which ends the process."""
    warnings.simplefilter("ignore")
    os.chdir(folder)
    spec, target = FORMATS[name](Path())
    found, kept = Path("found"), CORPUS / name
    found.mkdir(exist_ok=True)
    (found / "whole").write_bytes(Path(target).read_bytes())

    def one(data: bytes) -> None:
        Path(target).write_bytes(data)
        if why := fault(spec):
            raise AssertionError(why)

    options = [f"-runs={runs}", "-max_len=65536", "-print_final_stats=1"]
    folders = [str(one) for one in (found, kept) if one.is_dir()]
    atheris.Setup([sys.argv[0], *options, *folders], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

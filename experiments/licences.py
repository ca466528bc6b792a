"""Writes docs/licences.md: the licence of every package of requirements.txt, as each says of itself."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Licences of what estag_jax is run and tested with

estag_jax itself is MIT. This list is written by `make licences` from what each package of `requirements.txt`
says of itself. Those under the LGPL and the MPL are used as they are installed; nothing of them is copied.

| package | version | licence |
| --- | --- | --- |
"""


def licence(name: str) -> tuple[str, str]:
    """Version and licence of an installed package; the classifier where the text is a whole licence."""
    about = metadata(name)
    kinds = [
        c.split(" :: ")[-1] for c in about.get_all("Classifier", ()) if c.startswith("License")
    ]
    said = about.get("License-Expression") or about.get("License") or ""
    short = said if 0 < len(said) < 60 and "\n" not in said else ", ".join(kinds)
    return about["Version"], short or "in its files"


def main() -> None:
    """Writes the page."""
    rows = []
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9_.-]+)==", line):
            try:
                version, kind = licence(match[1])
            except PackageNotFoundError:
                continue  # of another platform
            rows.append(f"| {match[1]} | {version} | {kind} |\n")
    (ROOT / "docs" / "licences.md").write_text(HEAD + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()

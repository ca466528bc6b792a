"""Where things are, seen from any test."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

PACKAGE = ROOT / "estag_jax"

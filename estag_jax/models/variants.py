"""Variants of ESTAG that differ from it by one thing: the list of the ablation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from estag_jax.io import unknown
from estag_jax.models.estag import EstagConfig
from estag_jax.models.stag import StagConfig
from estag_jax.nn.config import NetworkConfig

WHOLE = "ESTAG"
"""What every variant is compared to: the paper's equations."""

WITHOUT_EDFT = "without EDFT"

_CHANGES: dict[str, dict[str, Any]] = {
    WITHOUT_EDFT: dict(edft=False),
    "without EDFT, as many parameters": dict(edft=False, hidden=17),
    "without node spectrum": dict(edft_nodes=False),
    "without edge cross-spectrum": dict(edft_edges=False),
    "filters fixed at 1": dict(edft_filter="fixed"),
    "without attention": dict(attention=False),
    "attention not causal": dict(causal=False),
    "without temporal pooling": dict(head="softmax"),
    "not equivariant": dict(equivariant=False),
    "not equivariant, windows turned": dict(equivariant=False, turn_in_training=True),
    "no layers": dict(layers=0),
    "1 layer": dict(layers=1),
    "3 layers": dict(layers=3),
    "4 layers": dict(layers=4),
}
_SPECTRUM = "edft_filter", "edft_complex_square", "edft_normalize"
"""The released program's departures that are of the spectrum."""

_TWIN = "STAG, residual head"
"""The paper's row without equivariance; it differs from ESTAG by more than that."""

_SAID = {
    "edft_filter": "filters by frame",
    "edft_complex_square": "|ΣF²| for ‖F‖²",
    "edft_normalize": "spectra sum to 1",
    "edge_features": "cross-spectra replace edge features",
    "aggregate": "mean over neighbours",
    "activate_qkv": "q, k, v activated",
    "elements": "atomic number as a float",
    "unit_vectors": "unit vectors",
    "clamp": "messages clamped",
    "flip_time_difference": "x(s) - x(t) in attention",
    "activation": "leaky ReLU",
}


def departures(channels: int) -> dict[str, Any]:
    """What the released program sets otherwise than the paper, by field.

    Args:
      channels: C.
    """
    own, paper = EstagConfig.released(channels), EstagConfig()
    fields = (field.name for field in dataclasses.fields(paper))
    return {f: getattr(own, f) for f in fields if getattr(own, f) != getattr(paper, f)}


def variants(
    channels: int, names: Sequence[str] = (), atoms: bool = True
) -> dict[str, NetworkConfig]:
    """The settings of ESTAG and of its variants, by name.

    Each differs from ESTAG by one thing; "released: …" are the departures of the authors' program, each
    alone, those of the spectrum together, and all.

    Args:
      channels: C; that program has other departures for several.
      names: some of them; all for none. ESTAG is always there. What C channels or nodes that are no atoms
        do not have is left out (:func:`missing`).
      atoms: whether nodes are atoms, which enter in two ways.
    """
    paper, own = EstagConfig(), departures(channels)
    if not atoms:
        own.pop("elements")
    found: dict[str, NetworkConfig] = {WHOLE: paper}
    found |= {name: dataclasses.replace(paper, **_CHANGES[name]) for name in _CHANGES}
    found[_TWIN] = StagConfig(head="residual")
    of_spectrum = {field: own[field] for field in _SPECTRUM if field in own}
    found["released: spectrum"] = dataclasses.replace(paper, **of_spectrum)
    for field, value in own.items():
        found[f"released: {_SAID[field]}"] = dataclasses.replace(paper, **{field: value})
    found["released: all"] = EstagConfig.released(channels)
    return {name: config for name, config in found.items() if not names or name in (WHOLE, *names)}


ORDER = tuple(variants(1) | variants(4))
"""Names of all variants, in the order of the tables."""


def missing(channels: int, names: Sequence[str], atoms: bool = True) -> dict[str, str]:
    """Those of some variants that data do not have, and why, by name.

    Args:
      channels: C.
      names: of the variants.
      atoms: whether nodes are atoms.
    """
    known, here = variants(channels), variants(channels, atoms=atoms)
    others = "one channel" if channels > 1 else "several channels"
    why = {True: "only atoms have it", False: f"only data with {others} have it"}
    return {name: why[name in known] for name in names if name not in here}


def check(names: Sequence[str]) -> None:
    """Refuses names that no variant has, whatever the channels.

    Raises:
      ValueError: names the nearest.
    """
    for name in names:
        if name not in ORDER:
            raise ValueError(unknown("variant", name, ORDER))

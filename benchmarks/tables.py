"""The tables of side_by_side.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from shapes import SHAPES

WALL, PROCESS = 0, 1


def markdown(entries: list[dict[str, Any]]) -> str:
    """Tables of all measurements, a row for each shape, settings and number of cores."""
    groups: dict[tuple, dict[str, dict]] = {}
    for entry in entries:
        key = entry["shape"], entry["settings"], entry["cores"]
        groups.setdefault(key, {})[entry["program"]] = entry
    one = {key: group for key, group in groups.items() if key[2] == 1}
    several = {key: group for key, group in groups.items() if key[2] > 1}
    parts = ["One core, process time.\n", _against(one, PROCESS)]
    if several:
        parts += ["Several cores, wall time.\n", _against(several, WALL, one)]
    return "\n".join([*parts, "This package on one core.\n", _alone(one)])


def _against(groups: dict, clock: int, one: dict | None = None) -> str:
    """Steps and forwards of this package and of PyTorch, with medians of the ratios."""
    rows, programs = [], list(max(groups.values(), key=len))
    for (shape, settings, cores), group in groups.items():
        row = [shape, settings]
        for call in ("train", "validate"):
            row += [_milliseconds(group.get(name), call, clock) for name in programs]
            row += [_ratio(group, group.get(name), call, clock) for name in programs[1:]]
        if one is not None:
            row += [cores, _ratio(group, one[shape, settings, 1]["estag_jax"], "train", clock)]
        rows.append(row)
    head = ["shape", "settings"]
    for call in ("step", "forward"):
        head += [f"{call}: {programs[0]} [ms]", *(f"{name} [ms]" for name in programs[1:])]
        head += [f"/ {name}" for name in programs[1:]]
    return _table(head + (["cores", "step / one core"] if one is not None else []), rows)


def _alone(groups: dict) -> str:
    """Throughput, rollout, compilation, memory, and what the arithmetic and the bytes alone would take."""
    head = "shape,settings,windows/s,epoch [s],rollout [ms a frame],Python loop / rollout,eager / rollout"
    head += ",compile [s],torch.compile [s],peak [MB],eager peak [MB],chunks"
    head += ",products [ms],transcendentals [ms],bytes [ms],step / their sum"
    rows = []
    for (shape, settings, _), group in groups.items():
        ours, eager, compiled = (
            group.get(name) for name in ("estag_jax", "eager", "torch.compile")
        )
        step, forward = (_median(ours, call, PROCESS) for call in ("train", "validate"))
        windows, batches = SHAPES[shape].windows, 500 / SHAPES[shape].windows
        rollout = _median(ours, "rollout", PROCESS)
        floor = [
            1e3 * ours["chunks"] * ours["chunk"][kind] / rate
            for kind, rate in ours["rates"].items()
        ]
        rows.append(
            [shape, settings, f"{windows / step:.0f}", f"{batches * (step + forward):.2f}"]
            + [f"{1e3 * rollout:.2f}", f"{_median(ours, 'rollout_loop', PROCESS) / rollout:.1f}"]
            + [f"{_median(eager, 'rollout', PROCESS) / rollout:.1f}" if eager else "–"]
            + [f"{ours['compile']:.1f}", f"{compiled['compile']:.1f}" if compiled else "–"]
            + [f"{ours['peak']:.0f}", f"{eager['peak']:.0f}" if eager else "–", ours["chunks"]]
            + [f"{value:.1f}" for value in floor]
            + [f"{1e3 * step / sum(floor):.1f}"]
        )
    return _table(head.split(","), rows)


def _median(entry: dict, call: str, clock: int) -> float:
    return float(np.median(np.array(entry["seconds"][call])[:, clock]))


def _milliseconds(entry: dict | None, call: str, clock: int) -> str:
    return "–" if entry is None else f"{1e3 * _median(entry, call, clock):.1f}"


def _ratio(group: dict, other: dict | None, call: str, clock: int) -> str:
    if other is None:
        return "–"
    ours, theirs = (np.array(e["seconds"][call])[:, clock] for e in (group["estag_jax"], other))
    return f"{np.median(ours / theirs):.2f}"


def _table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)

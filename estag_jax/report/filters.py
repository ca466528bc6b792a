"""Spectra by node and edge, and the filters that a network has learnt, as one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from estag_jax.data.system import System
from estag_jax.evaluation.spectra import Spectra
from estag_jax.report.spectrum import to_display
from estag_jax.report.style import BLUE, INK, ORANGE, RED, TEXT, WIDTH, blank_figure, finish, plain

SHOWN = 25
"""Nodes and edges that are named one by one."""


def filters_figure(
    found: Spectra,
    filters: np.ndarray | None,
    system: System,
    time_unit: str,
    path: str | Path,
    title: str,
    lines: Sequence[float] | None = None,
) -> Path:
    """Panels over one axis of frequency: density of states, EDFT power, edges, filters.

    Args:
      found: the spectra.
      filters: w [N, T - 1] of a network, or None.
      system: names the nodes.
      time_unit: of the frequencies.
      path: the PNG or SVG to write.
      title: the line at the top.
      lines: harmonic frequencies in cm⁻¹ to mark, or None.

    Returns:
      The path.
    """
    x, label, _ = to_display(found.frequencies, found.total, time_unit)
    bins, _, _ = to_display(found.bins, np.ones(len(found.bins)), time_unit)
    nodes = [f"{name} {i}" if name != str(i) else name for i, name in enumerate(system.names)]
    edges = [f"{nodes[i]} – {nodes[j]}" for i, j in found.pairs]
    power = found.seen / np.maximum(found.seen.sum(axis=1, keepdims=True), 1e-300)
    panels = [("EDFT power of a node, share by bin", power, nodes, bins)]
    if filters is not None:
        panels.append(("Learned filter w_k of a node", filters[:, : len(bins)], nodes, bins))
    if len(edges):
        coherence = found.coherence
        fine = np.linspace(0, x[-1], coherence.shape[1])
        panels.append(("Coherence of the ends of an edge", coherence, edges, fine))
    heights = [1.5] + [0.5 + min(max(0.13 * len(names), 0.5), 3.0) for _, _, names, _ in panels]
    tall = sum(heights) + 1.1
    figure, top = blank_figure(tall), tall - 0.6
    left = 0.3 + 0.055 * max(map(len, [*nodes, *edges, "longest"]))  # inches, for the names
    place = left / WIDTH, 1 - (left + 0.8) / WIDTH

    axes = figure.add_axes((place[0], (top - 1.3) / tall, place[1], 1.1 / tall), xlim=(0, x[-1]))
    axes.fill_between(x, found.total, color=BLUE, alpha=0.3, lw=0)
    axes.plot(x, found.total, color=BLUE, lw=1.3)
    for wave in [] if lines is None else lines:
        axes.axvline(wave, ymax=0.12, color=RED, lw=1)
    if filters is not None:
        beside = axes.twinx()
        beside.plot(bins, filters[:, : len(bins)].mean(axis=0), "o-", color=ORANGE, ms=4, lw=1.3)
        beside.set_ylim(0, 1)
        beside.set_axis_off()
    axes.set_ylim(bottom=0)
    plain(axes, "", "Power")
    axes.set_yticklabels([])
    top -= heights[0]
    for (name, values, names, columns), height in zip(panels, heights[1:], strict=True):
        inside = (height - 0.5) / tall
        axes = figure.add_axes((place[0], (top - height + 0.2) / tall, place[1], inside))
        mesh = _map(axes, values, names, columns, x[-1], name)
        bar = figure.add_axes(
            (place[0] + place[1] + 0.015, (top - height + 0.2) / tall, 0.015, inside)
        )
        figure.colorbar(mesh, cax=bar).ax.tick_params(labelsize=8, colors=INK)
        top -= height
    axes.set_xlabel(label, **TEXT)
    said = "Blue: power of the velocities of all nodes"
    said += "; orange: mean filter (0 to 1)" * (filters is not None)
    said += "; red: harmonic frequencies (GFN2-xTB)" * (lines is not None)
    return finish(figure, path, f"Spectrum of {title}", said)


def _map(
    axes: Axes, values: np.ndarray, names: list[str], columns: np.ndarray, end: float, name: str
):
    """A map of rows over frequency, bins in the middle of their cells."""
    step = columns[1] - columns[0] if len(columns) > 1 else end
    sides = np.append(columns - step / 2, columns[-1] + step / 2)
    mesh = axes.pcolormesh(
        sides, np.arange(len(names) + 1), values, cmap="cividis", vmin=0, rasterized=True
    )
    axes.set_xlim(0, end)
    axes.invert_yaxis()
    shown = range(0, len(names), max(1, -(-len(names) // SHOWN)))
    axes.set_yticks([i + 0.5 for i in shown], [names[i] for i in shown], fontsize=6.5, color=INK)
    axes.tick_params(labelsize=8, colors=INK, axis="x")
    axes.set_title(name, loc="left", **TEXT)
    return mesh

"""Frames in 3-D to turn, play and scrub: one viewer for molecules, proteins and skeletons."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from scipy.spatial import KDTree

from estag_jax.data.system import System
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import write_text
from estag_jax.report.overlay import node_colours, sticks, widest_view
from estag_jax.report.page import document

STEPS = 65_534
"""Into which the longest side of a clip's box is divided: positions are kept as 16-bit integers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """Some frames to show, and a forecast of them.

    Args:
      truth: positions [F, N, C, 3] in the system's unit of length.
      forecast: of the same frames, or None. Frames from the first that is not finite on are left out.
      label: one line.
      start: time of the first frame.
      step: time from one frame to the next; 0 where there is none to be shown.
    """

    truth: np.ndarray
    forecast: np.ndarray | None = None
    label: str = ""
    start: float = 0.0
    step: float = 0.0


class View:
    """Clips of one system, shown by a notebook and written as one HTML file of its own."""

    def __init__(self, clips: Sequence[Clip], system: System, time_unit: str = "frame"):
        self.data = viewer_data(clips, system, time_unit)

    def html(self) -> str:
        """The viewer as a part of a page of :func:`estag_jax.report.page.document`."""
        # No string of the data can end the script.
        text = json.dumps(self.data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        return (
            f'<div class="viewer"><script type="application/json">{text}</script>'
            f"<noscript>Frames in 3-D: {escape(self.summary)}. The viewer needs JavaScript.</noscript>"
            f"</div>"
        )

    @property
    def summary(self) -> str:
        """What there is to see, in one line."""
        clips, points = self.data["clips"], len(self.data["names"])
        frames = sum(clip["frames"] for clip in clips)
        return f"{points} points, {frames} frames" + f" in {len(clips)} clips" * (len(clips) > 1)

    def __repr__(self) -> str:
        return f"View: {self.summary}"

    def save(self, path: str | os.PathLike, title: str = "estag_jax") -> None:
        """Writes one HTML file that needs no network."""
        write_text(path, document(title, self.html()))

    def _repr_html_(self) -> str:
        """A frame with a page of its own: its style and names stay apart from the notebook's."""
        page = escape(document("estag_jax", self.html()))
        return (
            f'<iframe srcdoc="{page}" title="Frames in 3-D: {escape(self.summary)}" '
            f'sandbox="allow-scripts" style="width:100%;height:660px;border:0"></iframe>'
        )


def view(
    frames: Trajectory | Any,
    forecast: Any = None,
    *,
    system: System | None = None,
    step: float = 0.0,
    time_unit: str = "frame",
    label: str = "",
) -> View:
    """Frames to look at in a notebook, or in a browser by ``.save("frames.html")``.

    Args:
      frames: a trajectory, or positions [F, N, 3] or [F, N, C, 3].
      forecast: of the same frames, of the same shape, drawn over them and coloured by its error.
      system: the nodes of positions; None for plain nodes.
      step: time from one frame to the next; a trajectory knows it.
      time_unit: of step.
      label: one line.

    Raises:
      DataError: positions and system do not match. ValueError: the forecast has another shape.
    """
    if not isinstance(frames, Trajectory):
        about = {"frame_step": step or 1.0, "time_unit": time_unit}
        given = Trajectory.from_arrays(frames, **about)
        frames = given if system is None else Trajectory(system, given.positions, **about)
    else:
        step, label = frames.frame_step, label or frames.source
    truth = frames.positions[frames.known]
    if forecast is not None:
        forecast = np.asarray(forecast)
        forecast = forecast[:, :, None] if forecast.ndim == 3 else forecast
        if forecast.shape != frames.positions.shape:
            raise ValueError(
                f"forecast has shape {forecast.shape}, the frames {frames.positions.shape}"
            )
        forecast = forecast[frames.known]
    return View([Clip(truth, forecast, label, 0.0, step)], frames.system, frames.time_unit)


def viewer_data(clips: Sequence[Clip], system: System, time_unit: str) -> dict[str, Any]:
    """What viewer.js reads, JSON-ready; see there for the format."""
    channels, anchor = system.channels, system.anchor
    first = np.asarray(clips[0].truth[0], np.float64).reshape(-1, 3)
    colours, _ = node_colours(system.names, channels)
    pairs = sticks(system) if system.bonds is not None or system.graph is not None else []
    pairs = np.asarray(pairs, int).reshape(-1, 2)
    nodes = first[anchor::channels]
    if system.num_nodes <= 1:
        spacing = 1.0
    elif len(pairs):
        spacing = float(np.median(np.linalg.norm(nodes[pairs[:, 0]] - nodes[pairs[:, 1]], axis=1)))
    else:
        spacing = float(np.median(KDTree(nodes).query(nodes, k=2)[0][:, 1]))
    names = [
        f"{name} {i}" if name != str(i) else f"node {i}" for i, name in enumerate(system.names)
    ]
    if channels > 1:
        names = [f"{name}, channel {c}" for name in names for c in range(channels)]
    # Molecules lie in their widest plane; what is no molecule stands as its own axes say.
    upright = system.atomic_numbers is None and system.channels == 1
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]]) if upright else widest_view(first).T
    return {
        "unit": system.length_unit,
        "time_unit": time_unit,
        "names": names,
        "colours": [colour.lower() for colour in colours],
        "radii": (0.2 * (spacing or 1.0) * _sizes(system)).round(6).tolist(),
        "edges": (pairs * channels + anchor).tolist(),
        "view": turn.round(6).ravel().tolist(),
        "clips": [_packed(clip) for clip in clips],
    }


def _sizes(system: System) -> np.ndarray:
    """Sizes of all points relative to carbon [N C]."""
    numbers = system.atomic_numbers
    if numbers is None or system.channels > 1:
        return np.full(system.num_nodes * system.channels, 1.0 if system.channels == 1 else 0.6)
    sizes = covalent_radii[np.asarray(numbers)] / covalent_radii[atomic_numbers["C"]]
    return np.clip(sizes, 0.65, 1.6)


def _packed(clip: Clip) -> dict[str, Any]:
    """A clip with its positions as integers."""
    truth = np.asarray(clip.truth, np.float64).reshape(len(clip.truth), -1, 3)
    forecast = None
    if clip.forecast is not None:
        forecast = np.asarray(clip.forecast, np.float64).reshape(truth.shape)
        good = np.isfinite(forecast).all(axis=(1, 2))
        frames = len(good) if good.all() else max(int(np.argmin(good)), 1)
        truth, forecast = truth[:frames], np.nan_to_num(forecast[:frames])
    low, high = truth.min(axis=(0, 1)), truth.max(axis=(0, 1))
    if forecast is not None:
        # What has diverged stays at the edge of a box three times as wide as the truth's.
        side = (high - low).max() or 1.0
        forecast = np.clip(forecast, low - side, high + side)
        low = np.minimum(low, forecast.min(axis=(0, 1)))
        high = np.maximum(high, forecast.max(axis=(0, 1)))
    middle, scale = (low + high) / 2, float((high - low).max() or 1.0) / STEPS

    def text(positions: np.ndarray) -> str:
        whole = np.round((positions - middle) / scale).astype("<i2")
        return base64.b64encode(whole.tobytes()).decode()

    return {
        "label": clip.label,
        "frames": len(truth),
        "start": clip.start,
        "step": clip.step,
        "origin": middle.tolist(),
        "scale": scale,
        "truth": text(truth),
        "forecast": None if forecast is None else text(forecast),
    }

"""Frames as an animated picture (GIF) or a film (MP4), truth beside forecast."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from estag_jax.data.system import System
from estag_jax.data.windows import evenly
from estag_jax.io import FileError, write_atomic
from estag_jax.report.overlay import node_colours, sticks, widest_view
from estag_jax.report.style import BLUE, EDGE, GREY, INK

MOST = 200
"""Frames of a GIF or film; of more, evenly spaced ones are taken."""


def animation(
    frames: np.ndarray,
    system: System,
    path: str | Path,
    *,
    truth: np.ndarray | None = None,
    step: float = 0.0,
    time_unit: str = "",
    milliseconds: int = 50,
) -> Path:
    """Writes a GIF that repeats for ever, or an MP4: nodes in their widest plane, about the centroid.

    Args:
      frames: positions [F, N, C, 3].
      system: the nodes.
      path: the file to write, by its suffix an MP4 (H.264, with the extra video) or a GIF.
      truth: the same frames in truth, drawn in grey behind, or None; those that are missing at the end
        are left out.
      step: time from one frame to the next, to be shown; 0 for none.
      time_unit: of step.
      milliseconds: that each frame is shown.

    Returns:
      The path.

    Raises:
      FileError: it cannot be written, or an MP4 is asked for and imageio-ffmpeg is not installed.
    """
    path = Path(path)
    pictures = _pictures(frames, system, truth, step, time_unit)
    if path.suffix.lower() == ".mp4":
        _write_film(path, pictures, 1000 / milliseconds)
        return path
    first, *rest = (
        Image.fromarray(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
        for picture in pictures
    )
    options = {"save_all": True, "append_images": rest, "duration": milliseconds, "loop": 0}
    write_atomic(path, lambda partial: first.save(partial, format="GIF", **options))
    return path


def _write_film(path: Path, pictures: Iterator[np.ndarray], rate: float) -> None:
    try:
        ffmpeg = importlib.import_module("imageio_ffmpeg")
    except ImportError:
        raise FileError(
            f"{path}: an MP4 needs imageio-ffmpeg, which is not installed; pip install "
            f"'estag_jax[video]', or write a .gif"
        ) from None

    def write(partial: Path) -> None:
        first = next(pictures)
        options = {"fps": rate, "macro_block_size": 2, "output_params": ["-f", "mp4"]}
        film = ffmpeg.write_frames(str(partial), first.shape[1::-1], **options)
        with warnings.catch_warnings():
            # jax warns of forks; this one becomes ffmpeg at once.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            film.send(None)  # starts it
        for picture in (first, *pictures):
            film.send(np.ascontiguousarray(picture))
        film.close()

    write_atomic(path, write)


def _pictures(
    frames: np.ndarray, system: System, truth: np.ndarray | None, step: float, time_unit: str
) -> Iterator[np.ndarray]:
    """The frames as pictures [420, 420, 3], 8 bits a colour."""
    chosen = evenly(np.arange(len(frames)), MOST)
    channels, pairs = (
        system.channels,
        np.asarray(sticks(system), int).reshape(-1, 2) * system.channels,
    )
    flat = np.asarray(frames, float).reshape(len(frames), -1, 3)
    view = widest_view(flat[0])
    shown = {BLUE: flat}
    if truth is not None:
        shown = {GREY: np.asarray(truth, float).reshape(len(truth), -1, 3)} | shown
    shown = {c: (a - a.mean(axis=1, keepdims=True)) @ view for c, a in shown.items()}
    reach = 1.15 * np.abs(next(iter(shown.values()))[..., :2]).max() or 1.0
    colours, _ = node_colours(system.names, channels)
    figure = Figure((4.2, 4.2), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for i in chosen:
        axes.clear()
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.set_axis_off()
        for colour, positions in shown.items():
            if i >= len(positions):
                continue
            at = positions[i]
            axes.add_collection(LineCollection(at[pairs, :2], colors=colour, linewidths=2.5))
            order = np.argsort(at[:, 2], kind="stable")
            faces = [GREY if colour == GREY else colours[k] for k in order]
            axes.scatter(*at[order, :2].T, s=70, c=faces, edgecolors=EDGE, linewidths=0.6, zorder=2)
        time = f", {(i + 1) * step:.4g} {time_unit}" if step else ""
        said = f"frame {i + 1}{time}" + "; grey: truth" * (
            truth is not None and int(i) < len(truth)
        )
        axes.text(0.02, 0.02, said, transform=axes.transAxes, color=INK, fontsize=9)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()

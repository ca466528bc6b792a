"""The power spectrum of a trajectory's velocities as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from estag_jax.report.style import BLUE, INK, ORANGE, WIDTH, blank_figure, finish, plain

# Speed of light: 1 / fs is 33,356.4 per cm.
_AXES = {
    "fs": (33_356.40952, "Wavenumber [cm⁻¹]"),
    "ps": (33.35640952, "Wavenumber [cm⁻¹]"),
    "s": (1.0, "Frequency [Hz]"),
}
_TERAHERTZ = {"fs": 1000.0, "ps": 1.0}


def spectrum(
    frequencies: np.ndarray,
    power: np.ndarray,
    time_unit: str,
    path: str | Path,
    title: str,
    beside: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Path:
    """Power by frequency, in the field's unit: wavenumbers for molecules, Hz for bodies.

    Args:
      frequencies: [F] in 1 / time_unit.
      power: [F], adding up to one.
      time_unit: fs, ps, s, or any other, which is then named.
      path: the PNG or SVG to write.
      title: the line at the top.
      beside: further powers [F] by name, at most two, drawn as lines.

    Returns:
      The path.
    """
    x, label, share = to_display(frequencies, power, time_unit)
    figure = blank_figure(3.6)
    axes = figure.add_axes([0.85 / WIDTH, 0.6 / 3.6, 1 - 1.1 / WIDTH, 1 - 1.4 / 3.6])
    axes.fill_between(x, power, color=BLUE, alpha=0.25, lw=0)
    axes.plot(x, power, color=BLUE, lw=1.5)
    for (name, other), colour in zip(beside.items(), (ORANGE, INK), strict=False):
        axes.plot(x, other, color=colour, lw=1.2, label=name)
    if beside:
        axes.lines[0].set_label("trajectory")
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    axes.set_xlim(0, x[min(len(x) - 1, int(np.searchsorted(share, 0.999)) + 1)])
    axes.set_ylim(bottom=0)
    plain(axes, label, "Share of the power")
    return finish(figure, path, title, f"Strongest {peak_and_half(frequencies, power, time_unit)}")


def peak_and_half(frequencies: np.ndarray, power: np.ndarray, time_unit: str) -> str:
    """ "at 8 Hz, half of the power below 5 Hz": where most of the power of :func:`spectrum` is."""
    x, label, share = to_display(frequencies, power, time_unit)
    peak, half = x[np.argmax(power)], x[np.searchsorted(share, 0.5)]
    unit = label[label.index("[") + 1 : -1]
    return f"at {peak:.4g} {unit}, half of the power below {half:.4g} {unit}"


def frequency_text(frequency: float, time_unit: str) -> str:
    """ "1,668 cm⁻¹ (50 THz)", "0.9 Hz": a frequency in 1 / time_unit as the field writes it."""
    x, label, _ = to_display(np.array([frequency]), np.ones(1), time_unit)
    text = f"{x[0]:,.4g} {label[label.index('[') + 1 : -1]}"
    return (
        f"{text} ({frequency * _TERAHERTZ[time_unit]:.3g} THz)" if time_unit in _TERAHERTZ else text
    )


def to_display(
    frequencies: np.ndarray, power: np.ndarray, time_unit: str
) -> tuple[np.ndarray, str, np.ndarray]:
    """Frequencies in the unit that is shown, the axis' label, and the power up to each."""
    factor, label = _AXES.get(time_unit, (1.0, f"Frequency [1 / {time_unit}]"))
    return frequencies * factor, label, np.cumsum(power)

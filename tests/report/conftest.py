"""Figures caught as they are written."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were written, to look into."""
    seen = []
    write = FigureCanvasAgg.print_png

    def keep(canvas, *args, **kwargs):
        seen.append(canvas.figure)
        return write(canvas, *args, **kwargs)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", keep)
    return seen

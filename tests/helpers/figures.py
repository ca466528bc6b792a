"""What the tests of pictures share: examples to draw, and checks of what was drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.text import Text
from PIL import Image

from estag_jax.report.charts import loss_curve, rollout_error
from estag_jax.report.overlay import overlay

REFERENCES = {"Last frame": 8.7e-4, "AR-LS": 1.31e-4, "VAR ridge": 1.3e-4}
PREDICTORS = ("Last frame", "Constant velocity", "AR-LS", "AR-LS per node", "VAR ridge", "estag")


def evaluations(epochs=40):
    return [
        {"epoch": e, "train_loss": 1e-3 / e, "validation_mse": 1.1e-3 / e + 1e-6 * (e - 30) ** 2}
        for e in range(1, epochs + 1)
    ]


def chain(nodes, channels, seed=0):
    """Truth, prediction and last frame [N, C, 3] of a chain, and its bonds."""
    rng = np.random.default_rng(seed)
    last = rng.normal(size=(nodes, 1, 3)).cumsum(0) + 0.3 * rng.normal(size=(nodes, channels, 3))
    truth, prediction = (last + 0.03 * rng.normal(size=last.shape) for _ in range(2))
    return truth, prediction, last, np.stack([np.arange(nodes - 1), np.arange(1, nodes)], axis=1)


def draw_overlay(path, nodes=7, channels=1, names=None, **changes):
    truth, prediction, last, bonds = chain(nodes, channels)
    arguments = {"truth": truth, "prediction": prediction, "last": last, "bonds": bonds}
    names = names or ["C"] * nodes
    return overlay(
        **arguments | changes, names=names, path=path, title="estag, test window 7", unit="Å"
    )


def draw_rollout(path, steps=20, **options):
    horizons = np.arange(1, steps + 1)
    curves = {name: (1 + 1e-3 * i) * 1e-4 * horizons**1.5 for i, name in enumerate(PREDICTORS)}
    return rollout_error(horizons, curves, "Å", path, **options)


def draw_all(folder):
    return [
        loss_curve(evaluations(), REFERENCES, "Å", folder / "loss.png"),
        draw_rollout(folder / "rollout.png", step=5.0, time_unit="fs", emphasise=("estag",)),
        draw_overlay(folder / "overlay.png"),
    ]


def check_png(path):
    with Image.open(path) as image:
        image.verify()
        assert image.format == "PNG" and image.width == 1400 and 500 < image.height < 1200
    assert [p for p in path.parent.iterdir() if p.suffix != ".png"] == []


def check_texts(figure):
    """No text is cut off and no two overlap."""
    renderer = figure.canvas.get_renderer()
    shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    boxes = {}
    for text in shown:
        box = text.get_window_extent(renderer)
        # Tick labels beyond an axis' limits are kept by matplotlib but not drawn.
        axis = next((a for x in figure.axes for a in (x.xaxis, x.yaxis) if _is_tick(a, text)), None)
        if axis is None or _is_drawn(axis, text):
            boxes[text] = box
    assert len(boxes) > 8
    page = figure.bbox
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{text} is cut off"
    listed = list(boxes.items())
    for i, (first, a) in enumerate(listed):
        for second, b in listed[i + 1 :]:
            apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
            assert apart, f"{first} and {second} overlap"


def _is_tick(axis, text):
    return any(
        text in (t.label1, t.label2) for t in axis.get_major_ticks() + axis.get_minor_ticks()
    )


def _is_drawn(axis, text):
    return any(text in (t.label1, t.label2) for t in axis._update_ticks())

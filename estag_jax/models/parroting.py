"""Context parroting: the nearest past motif is found, and what followed it is copied (arXiv 2505.11349)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.task import Part, Task
from estag_jax.data.windows import evenly, frames_of
from estag_jax.graph import Array
from estag_jax.models.base import SPEED, ClosedForm, Predictor
from estag_jax.models.linear import checked
from estag_jax.ops import linalg
from estag_jax.ops.motifs import CANDIDATES, motif_lengths, nearest_motifs

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Frames of a motif that are tried."""

TRIALS = 100
"""Validation windows by which the motif is chosen."""

NUMBERS = 2**23
"""Coordinates that motifs may hold; of larger systems fewer motifs are kept."""

BLOCK = 2**23
"""Numbers that a block of windows may take."""

DECOMPOSED = 1e5
"""Floating-point operations that the time of one 3 × 3 decomposition is worth."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ParrotPredictor(Predictor):
    """What followed the nearest motif, turned onto the query.

        x* = x(T-1) + (x_s(L) - x_s(L-1)) Q_s,   s = argmin_s min_Q |D - D_s Q|²

    with D the differences of the last L frames to the last one, D_s those of the motifs and Q in O(3)
    (ops.motifs), of the whole system or of each node by itself. Differences do not move with a
    translation and Q turns with the query, so the forecast is exactly equivariant.

    Args:
      frames: of the training windows, each once [F, N, C, 3].
      motifs: the frames of each motif, and the one that followed [S, L + 1].
      each_node: every node has a nearest motif of its own.
    """

    frames: Array
    motifs: Array
    each_node: bool = dataclasses.field(metadata={"static": True})

    @property
    def parameters(self) -> int:
        return np.size(self.frames)

    @property
    def chosen(self) -> dict[str, Any]:
        count, length = np.shape(self.motifs)
        of = "each node" if self.each_node else "the whole system"
        return {"motif frames": length - 1, "motif of": of, "motifs": count}

    def predict(self, history: Array, inputs: Any = None) -> Array:
        del inputs
        backend, history = linalg.backend_of(history)
        xp, matmul = backend.xp, backend.matmul
        (nodes, channels, _), length = np.shape(self.frames)[1:], np.shape(self.motifs)[1] - 1
        shape = history.shape[-4:]
        if len(shape) < 4 or (shape[0], *shape[2:]) != (nodes, channels, 3) or shape[1] < length:
            raise ValueError(
                f"history has shape {history.shape}, expected [..., {nodes}, T, {channels}, 3] with "
                f"T >= {length}"
            )
        groups = nodes if self.each_node else 1
        windows = history.reshape(-1, *shape)[:, :, -length:]
        recent = xp.moveaxis(windows, 2, 1).reshape(len(windows), length, groups, -1, 3)
        pieces = xp.asarray(self.frames, history.dtype)[self.motifs]
        pieces = xp.moveaxis(pieces.reshape(*self.motifs.shape, groups, -1, 3), 2, 0)
        steps = pieces[:, :, -1] - pieces[:, :, -2]  # [groups, S, P, 3]
        library = pieces[:, :, :-1]
        lengths = motif_lengths(xp, library)

        def forecast(recent: Array) -> Array:
            """[B, L, groups, P, 3] -> [B, groups, P, 3]."""

            def of_group(group: Any) -> Array:
                query, library, lengths, steps = group
                which, turn = nearest_motifs(backend, query, library, lengths)
                return query[:, -1] + matmul(steps[which], turn)

            each = xp.moveaxis(recent, 2, 0), library, lengths, steps
            if xp is jnp:
                return xp.moveaxis(jax.lax.map(of_group, each), 0, 1)
            return np.stack([of_group(group) for group in zip(*each, strict=True)], axis=1)

        if xp is jnp:
            frames = jax.lax.map(lambda window: forecast(window[None])[0], recent)
        else:
            taken = len(self.motifs) + 6 * CANDIDATES * recent[0, :, 0].size
            at_once = max(BLOCK // taken, 1)
            begins = range(0, len(recent), at_once)
            frames = np.concatenate([forecast(recent[b : b + at_once]) for b in begins])
        return frames.reshape(*history.shape[:-4], nodes, channels, 3)

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> ParrotPredictor:
        del method
        return cls(arrays["frames"], arrays["motifs"], bool(arrays["each_node"]))


@dataclasses.dataclass(frozen=True)
class ContextParroting(ClosedForm):
    """The nearest past motif is found, and what followed it is copied; one system only.

    (Zhang and Gilpin, arXiv 2505.11349.) Motifs are all pieces of L frames of the training windows that a
    frame of the same window follows. L, and whether the whole system has one nearest motif or each node its
    own, as suits parts that move independently, are the best on some validation windows.

    Differs from the reference: motifs are compared up to rotation and reflection and by differences to
    their last frame, and what is copied is the step, not the position; the context is the training
    windows, not the past of the series that is forecast.

    Args:
      length: L; None chooses from LENGTHS.
      each_node: each node has a nearest motif of its own; None takes the better.
      samples: motifs at most; of more some are taken, evenly.
    """

    predictor = ParrotPredictor
    needs = 2

    length: int | None = None
    each_node: bool | None = None
    samples: int = 4000

    def __post_init__(self):
        if self.length is not None and self.length < 2:
            raise ValueError(f"length is {self.length}, it must be at least 2")
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}, it must be at least 1")

    def refuse(self, task: Task) -> str | None:
        if len(task.systems) > 1:
            return "copies the motion of one system and the task has several"
        past = task.window.past
        if past < (needed := self.length or self.needs):
            return f"needs {needed} past frames, T is {past}"
        if not self._most(task, self._lengths(task)[0]):
            return f"has no room for a motif of {task.system.num_nodes} nodes"
        return None

    def seconds(self, task: Task) -> float:
        nodes, points = task.system.num_nodes, task.system.num_nodes * task.system.channels

        def window(length: int) -> float:
            """Operations of one forecast, of each node."""
            compared = 2 * self._most(task, length) * points * length**2 / 2
            return compared + CANDIDATES * (nodes * DECOMPOSED + 36 * points * length)

        tried = TRIALS * sum(map(window, self._lengths(task)))
        return (tried + task.count("validation") * window(task.window.past)) / SPEED

    def _lengths(self, task: Task) -> list[int]:
        if self.length is not None:
            return [self.length]
        return [length for length in LENGTHS if length <= task.window.past]

    def _most(self, task: Task, length: int) -> int:
        """Motifs that are kept."""
        points = task.system.num_nodes * task.system.channels
        return min(self.samples, NUMBERS // (3 * points * (length + 1)))

    def fit(self, task: Task) -> ParrotPredictor:
        if why := self.refuse(task):
            raise ValueError(f"context parroting {why}")
        history, target = _windows(task, "validation")
        parts = (False, True) if self.each_node is None else (self.each_node,)
        tried = [
            self._parrot(task, length, each_node)
            for length in self._lengths(task)
            if self._most(task, length)
            for each_node in parts
        ]
        return min(tried, key=lambda p: float(np.mean((p.predict(history) - target) ** 2)))

    def _parrot(self, task: Task, length: int, each_node: bool) -> ParrotPredictor:
        past, ahead = task.window.past, task.window.horizons[0]
        given = frames_of(task.splits[0].train, task.window)[:, : past + 1]
        # The frame that follows a motif is in the window too: a past one, or the window's target.
        places = {place: place for place in range(past)} | {past - 1 + ahead: past}
        pieces = [
            given[:, [*range(begin, begin + length), places[begin + length - 1 + ahead]]]
            for begin in range(past - length + 1)
            if begin + length - 1 + ahead in places
        ]
        pieces = evenly(np.unique(np.concatenate(pieces), axis=0), self._most(task, length))
        which, motifs = np.unique(pieces, return_inverse=True)
        frames = task.trajectories[0].positions[which]
        return ParrotPredictor(frames, motifs.reshape(pieces.shape).astype(np.int32), each_node)


def _windows(task: Task, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """TRIALS windows of a part at most, evenly."""
    (windows,) = task.windows(part)
    few = evenly(np.arange(len(windows.starts)), TRIALS)
    return checked(windows.history[few], windows.target[few])

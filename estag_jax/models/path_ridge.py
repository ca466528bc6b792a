"""Path ridge: scalar weights on vectors summed over bond paths; forecasts systems that it never saw."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar

import jax
import numpy as np

from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.graph import Array
from estag_jax.io import tell
from estag_jax.models.base import SPEED, ClosedForm, Predictor
from estag_jax.models.bond_paths import environments, paths_of
from estag_jax.models.error_bars import ErrorBars
from estag_jax.models.frame_ridge import AFFORDABLE
from estag_jax.models.linear import checked
from estag_jax.models.path_errors import WINDOWS, LeftOut, error_bars, quantiles, variances
from estag_jax.models.path_grams import TRIES, PathGrams, Strengths, at_most, blocks, measure
from estag_jax.ops import linalg
from estag_jax.ops.paths import Paths, Scales, path_features


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PathPredictor(Predictor):
    """A forecast by vectors that turn with the system, the same weights for like nodes of any system.

        x*_i = x_i(T-1) + sum_q w_q(class of i) f_iq

    with the features f of ops.paths. A node's class is its environment (models.bond_paths), where that
    was not seen in training its element, and where that was not seen either the class of all nodes.

    Args:
      weights: w by class [classes, Q].
      scales: what features are measured in.
      strengths: λ of all nodes, elements and environments, and the prior of terms with ρ or μ [4].
      classes: their names, in the order of the weights.
      systems: how many were fitted.
      variances: of an error, by class (models.path_errors) [classes], and
      quantiles: of their distances [99]; None of a fit to fewer than three systems.
    """

    transfers: ClassVar[bool] = True

    weights: Array
    scales: Scales
    strengths: Array
    classes: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    systems: int = dataclasses.field(metadata={"static": True})
    variances: Array | None = None
    quantiles: Array | None = None

    @property
    def parameters(self) -> int:
        return np.size(self.weights)

    @property
    def chosen(self) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(Strengths)]
        values = [str(value) for value in np.asarray(self.strengths).tolist()]
        return dict(zip(names, values, strict=True)) | {"systems": self.systems}

    def inputs(
        self, system: System, size: tuple[int, int] | None = None
    ) -> tuple[Paths, np.ndarray]:
        """The bond paths, and which class each node has [N]."""
        del size
        index = {name: number for number, name in enumerate(self.classes)}
        return paths_of(system), np.array([index[name] for name in self.taken(system)])

    def taken(self, system: System) -> tuple[str, ...]:
        """The class whose weights each node takes: the nearest that was in training."""
        known = {*self.classes}
        return tuple(
            next(name for name in reversed(chain) if name in known)
            for chain in environments(system)
        )

    def bars_of(self, system: System) -> ErrorBars | None:
        if self.variances is None:
            return None
        _, which = self.inputs(system)
        past = np.size(self.scales.differences) + 1
        return error_bars(np.asarray(self.variances)[which], np.asarray(self.quantiles), past)

    def unseen(self, system: System) -> tuple[str, ...]:
        """The environments of a system that the training set does not have."""
        return tuple(sorted({chain[-1] for chain in environments(system)} - {*self.classes}))

    def notes(self, system: System) -> tuple[str, ...]:
        chains, unseen = environments(system), self.unseen(system)
        if not unseen:
            return ()
        count = sum(chain[-1] in unseen for chain in chains)
        return (
            f"{count} of {system.num_nodes} nodes have an environment that was not in training and take "
            f"the weights of their element or of all nodes: {', '.join(unseen)}",
        )

    def predict(self, history: Array, inputs: tuple[Paths, Array]) -> Array:
        backend, history = linalg.backend_of(history)
        xp, einsum, _ = backend
        paths, which = jax.tree.map(np.asarray if xp is np else xp.asarray, inputs)
        past = np.size(self.scales.differences) + 1
        if history.shape[-4:] != (len(which), past, 1, 3):
            raise ValueError(
                f"history has shape {history.shape}, expected [..., {len(which)}, {past}, 1, 3]"
            )
        windows = history.reshape(-1, len(which), past, 3)
        weights = xp.asarray(self.weights, history.dtype)[which]
        scales = Scales(*(xp.asarray(scale, history.dtype) for scale in self.scales))
        frame, at = windows[:, :, -1], 0
        for _, features in path_features(backend, windows, paths, scales):
            end = at + features.shape[2]
            frame = frame + einsum("bnfc,nf->bnc", features, weights[:, at:end])
            at = end
        return frame.reshape(*history.shape[:-3], 1, 3)

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {
            "weights": np.asarray(self.weights),
            "strengths": np.asarray(self.strengths),
            "classes": np.array(json.dumps(self.classes)),
            "systems": np.array(self.systems),
            **{
                name: np.asarray(getattr(self, name))
                for name in ("variances", "quantiles")
                if getattr(self, name) is not None
            },
            **{f"scales/{name}": np.asarray(a) for name, a in self.scales._asdict().items()},
        }

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> PathPredictor:
        del method
        return cls(
            arrays["weights"],
            Scales(*(arrays[f"scales/{name}"] for name in Scales._fields)),
            arrays["strengths"],
            tuple(json.loads(str(arrays["classes"]))),
            int(arrays["systems"]),
            arrays.get("variances"),
            arrays.get("quantiles"),
        )


@dataclasses.dataclass(frozen=True)
class PathRidge(ClosedForm):
    """Ridge regression on vectors summed over bond paths, by class of node; any systems, also several.

    Down the chain of all nodes, element and environment,

        w_c = w_parent + argmin_δ sum_{i in c} mean |y_i - F_i (w_parent + δ)|² + λ δ^T S δ

    with S the mean squared features. The three λ and the strength of the prior on terms with ρ or μ are
    chosen by cross-validation on training windows: of several systems each is left out in turn, of one
    system consecutive blocks of its windows. Needs only the sums F^T F and F^T y of each class, which
    are added over systems and blocks.

    Args:
      reversible: fit every window backwards in time too, as suits reversible dynamics.
      folds: blocks of one system's windows for cross-validation.
      noise: added to the past frames of training windows, in root mean squares of a step; 0.04 costs
        little at the next frame and keeps rollouts of unseen systems bounded.
      operations: floating-point operations that the fit may take.
    """

    predictor = PathPredictor
    needs = 3

    reversible: bool = True
    folds: int = 3
    noise: float = 0.0
    operations: int = AFFORDABLE

    def __post_init__(self):
        if self.folds < 2:
            raise ValueError(f"folds is {self.folds}, it must be at least 2")
        if not 0 <= self.noise < np.inf:
            raise ValueError(f"noise is {self.noise}, it must be at least 0 and finite")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task):
            return why
        if task.systems[0].channels > 1:
            return f"takes nodes of one channel, here they have {task.systems[0].channels}"
        if (needed := self._operations(task)) > self.operations:
            return (
                f"would take {needed:.0e} operations, more than the {self.operations:.0e} allowed "
                f"(operations; or fewer training windows)"
            )
        return None

    def seconds(self, task: Task) -> float:
        return self._operations(task) / SPEED

    def _operations(self, task: Task) -> float:
        """Of the Gram matrices, and of the solutions that cross-validation tries."""
        width = at_most(task.window.past)
        rows = sum(
            6 * len(split.train) * system.num_nodes
            for split, system in zip(task.splits, task.systems, strict=True)
        )
        parts = self.folds if len(task.systems) == 1 else 1
        classes = sum(len({*sum(environments(system), ())}) for system in task.systems)
        return 2 * rows * width**2 + TRIES * parts * classes * width**3 / 3

    def fit(self, task: Task) -> PathPredictor:
        if why := self.refuse(task):
            raise ValueError(f"path ridge {why}")
        windows = [checked(w.history, w.target) for w in task.windows("train")]
        histories = [history for history, _ in windows]
        paths = [paths_of(system) for system in task.systems]
        chains = [environments(system) for system in task.systems]
        scales = measure(histories, paths)
        both = self.reversible and task.window.horizons[0] == 1
        grams = PathGrams(scales, both, self.noise * float(scales.differences[0]))
        for number, (history, target) in enumerate(windows):
            parts = [np.arange(len(history))]
            if len(windows) == 1:
                parts = blocks(task.splits[0].train, self.folds)
            for part in parts:
                grams.add(number, history[part], target[part], paths[number], chains[number])
            tell("systems", number + 1, len(windows))
        strengths = grams.choose()
        tree = grams.tree

        def predictor(without: int | None = None) -> PathPredictor:
            weights = grams.solve(tree, strengths, without)
            return PathPredictor(
                weights=np.stack([*weights.values()]),
                scales=scales,
                strengths=np.array(dataclasses.astuple(strengths)),
                classes=tuple(weights),
                systems=len(windows),
            )

        if len(windows) < 3:
            return predictor()
        found = []
        for number, (system, (history, target)) in enumerate(
            zip(task.systems, windows, strict=True)
        ):
            others, some = predictor(number), slice(None, None, -(-len(history) // WINDOWS))
            error = target[some] - others(history[some], system)
            squares = np.mean(error[:, :, 0] ** 2, axis=-1)
            found.append(LeftOut(others.taken(system), squares))
        return dataclasses.replace(
            predictor(), variances=variances(tree, found), quantiles=quantiles(tree, found)
        )

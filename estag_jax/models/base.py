"""What a method is, and what fitting it returns: a predictor.

A method says how to forecast and is fitted to a task by ``estag_jax.fit``:

- a :class:`ClosedForm` has ``fit(task) -> Predictor``;
- a network is a ``nn.config.NetworkConfig``, or :class:`Network` around any Flax module, and is trained
  by the loop in train.

Both return a :class:`Predictor`, which evaluation, rollouts, figures and files treat alike. Methods of
your own need no entry anywhere.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.graph import Array, Graph
from estag_jax.models.error_bars import ErrorBars
from estag_jax.nn.config import Elements, NetworkConfig
from estag_jax.nn.features_first import hastened

SPEED = 2e10
"""Floating-point operations a second of one core, for estimates of how long a fit takes."""


def lacking(vector: str) -> str:
    """What is wrong where an external vector is not known, and the remedy."""
    option = "--read.up z, " if vector == "up" else ""
    return (
        f"needs the external vector {vector!r}, which the data do not have: {option}a key {vector} of the "
        f"file, or vectors={{{vector!r}: [x, y, z]}} in Python"
    )


def windows_of(history: Array, nodes: int, past: int, channels: int) -> Array:
    """A history [..., N, T, C, 3] as windows [B, N, T, C, 3].

    Raises:
      ValueError: it has another N, T or C, or fewer than 4 axes.
    """
    if history.shape[-4:] != (nodes, past, channels, 3):
        raise ValueError(
            f"history has shape {history.shape}, expected [..., {nodes}, {past}, {channels}, 3]"
        )
    return history.reshape(-1, *history.shape[-4:])


class Predictor(abc.ABC):
    """A fitted forecaster of one frame: a pytree whose arrays are leaves.

    Subclasses are frozen dataclasses registered with jax (``jax.tree_util.register_dataclass``).
    """

    compiled: ClassVar[bool] = False
    """Whether ``predict`` is worth compiling; others are called with numpy arrays as they are."""
    transfers: ClassVar[bool] = False
    """Whether it is meant for systems that it was not fitted to."""

    @property
    @abc.abstractmethod
    def parameters(self) -> int:
        """How many numbers were fitted."""

    @property
    def vectors(self) -> tuple[str, ...]:
        """External vectors that ``predict`` looks at: inputs[name] has them as [1, 3] or [B, 3]."""
        return ()

    @property
    def chosen(self) -> dict[str, Any]:
        """What the fit chose from the data (λ, whether time is reversed …), JSON-ready, for the result."""
        return {}

    def inputs(self, system: System, size: tuple[int, int] | None = None) -> Any:
        """What ``predict`` needs to know of a system besides the frames: a pytree of arrays.

        By default the external vectors that it looks at, as far as the system has them.

        Args:
          system: the nodes and their graph.
          size: nodes and edges to pad to, for predictors that are ``compiled``; None for no padding.
        """
        del size
        return {name: system.vectors[name][None] for name in self.vectors if name in system.vectors}

    def with_vectors(self, inputs: Any, vectors: Mapping[str, Array]) -> Any:
        """Inputs with the external vectors of windows, [1, 3] or [B, 3], in place of the system's."""
        mine = {name: vectors[name] for name in self.vectors if name in vectors}
        return {**inputs, **mine} if mine else inputs

    def notes(self, system: System) -> tuple[str, ...]:
        """What a user should know of forecasts for a system, in one line each."""
        del system
        return ()

    def bars_of(self, system: System) -> ErrorBars | None:
        """Error bars for a system that it was not fitted to; None where it knows none."""
        del system
        return None

    def hastened(self) -> Predictor:
        """The same predictor as evaluation calls it, perhaps without forward-mode derivatives."""
        return self

    @abc.abstractmethod
    def predict(self, history: Array, inputs: Any) -> Array:
        """The frame at the window's first horizon; pure.

        Closed forms are computed in float64 from numpy arrays and in at least float32 from jax's, and
        take any axes in place of B.

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          inputs: of the system.

        Returns:
          [B, N, C, 3].

        Raises:
          ValueError: a closed form was fitted to another N, T or C, or there are fewer than 4 axes.
        """

    def __call__(self, history: Array, system: System) -> Array:
        """``predict`` for windows of one system [B, N, T, C, 3] -> [B, N, C, 3]."""
        return self.predict(history, self.inputs(system))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that was fitted, by name, for a file: the fields, unless a subclass says otherwise."""
        return {
            field.name: np.asarray(getattr(self, field.name)) for field in dataclasses.fields(self)
        }

    @classmethod
    def from_arrays(cls, method: Any, arrays: dict[str, np.ndarray]) -> Predictor:
        """The predictor that ``to_arrays`` of a fit of this method gave."""
        del method
        return cls(**{field.name: arrays[field.name] for field in dataclasses.fields(cls)})


class ClosedForm(abc.ABC):
    """A method that is solved: a frozen dataclass of its settings."""

    predictor: ClassVar[type[Predictor]]
    """What ``fit`` returns, to read it back from a file."""
    needs: ClassVar[int] = 1
    """Past frames without which it cannot be fitted."""
    tied: ClassVar[bool] = False
    """Whether its weights belong to the nodes of one system."""
    vectors: ClassVar[tuple[str, ...]] = ()
    """External vectors without which it cannot be fitted."""

    @abc.abstractmethod
    def fit(self, task: Task) -> Predictor:
        """Fits the training windows; validation windows may choose settings.

        Raises:
          ValueError: the task cannot be fitted; one line that says why.
        """

    def seconds(self, task: Task) -> float:
        """About how long a fit takes on one core; 0 for a moment."""
        del task
        return 0.0

    def within(self, task: Task, seconds: float) -> ClosedForm | None:
        """The method as a fit takes no longer than that, None where it cannot: what ``auto`` tries."""
        return self if self.seconds(task) <= seconds else None

    def refuse(self, task: Task) -> str | None:
        """Why a task cannot be fitted or costs too much, in one line, or None; called before any work."""
        if self.tied and len(task.systems) > 1:
            return "has weights for the nodes of one system and the task has several"
        for name in self.vectors:
            if name not in task.trajectories[0].external:
                return lacking(name)
        past = task.window.past
        return None if past >= self.needs else f"needs {self.needs} past frames, T is {past}"


@dataclasses.dataclass(frozen=True)
class SampledForm(ClosedForm):
    """A closed form that can be fitted to fewer samples than there are: to its setting ``samples``."""

    fewest: ClassVar[int] = 300
    """Samples without which ``within`` gives the method up."""

    @abc.abstractmethod
    def count(self, task: Task) -> int:
        """Samples that are fitted."""

    def within(self, task: Task, seconds: float) -> ClosedForm | None:
        """The method with as many samples as there is time for, ``fewest`` or more."""
        tried = self
        while tried.seconds(task) > seconds:
            fewer = tried.count(task) // 2
            if fewer < self.fewest:
                return None
            tried = dataclasses.replace(self, samples=fewer)
        return tried


@dataclasses.dataclass(frozen=True)
class Network:
    """A Flax module as a method: ``fit(Network(MyModule()), task)``.

    Args:
      module: see nn.config.NetworkConfig for what it is called with and may define.
      elements: how atoms enter.
    """

    module: nn.Module
    elements: Elements = "one-hot"

    def build(self) -> nn.Module:
        """The module."""
        return self.module


NetworkMethod = NetworkConfig | Network
Method = ClosedForm | NetworkMethod


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class NetworkPredictor(Predictor):
    """A trained network.

    Args:
      variables: of the module.
      module: the network.
      elements: how atoms enter.
    """

    compiled: ClassVar[bool] = True

    variables: Any
    module: nn.Module = dataclasses.field(metadata={"static": True})
    elements: Elements = dataclasses.field(default="one-hot", metadata={"static": True})

    @property
    def parameters(self) -> int:
        return sum(np.size(leaf) for leaf in jax.tree.leaves(self.variables["params"]))

    def inputs(
        self, system: System, size: tuple[int, int] | None = None
    ) -> tuple[np.ndarray, Graph]:
        """Node features [1, N, F] and graph, padded to a size."""
        return network_inputs(system, self.elements, size)

    def hastened(self) -> NetworkPredictor:
        return dataclasses.replace(self, module=hastened(self.module))

    def predict(self, history: Array, inputs: tuple[Array, Graph]) -> jax.Array:
        return self.module.apply(self.variables, jnp.asarray(history), *inputs)

    def named_leaves(self) -> list[tuple[str, Any]]:
        """The arrays of the variables by their path, such as params/embedding/kernel."""
        leaves = jax.tree_util.tree_leaves_with_path(self.variables)
        return [("/".join(str(key.key) for key in path), leaf) for path, leaf in leaves]

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(leaf) for name, leaf in self.named_leaves()}

    @classmethod
    def from_arrays(cls, method: NetworkMethod, arrays: dict[str, np.ndarray]) -> NetworkPredictor:
        variables: dict[str, Any] = {}
        for name, value in arrays.items():
            *folders, last = name.split("/")
            place = variables
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = value
        return cls(variables, method.build(), method.elements)


def network_inputs(
    system: System, elements: Elements, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, Graph]:
    """Node features [1, N, F] and graph of a system, padded to ``size`` nodes and edges."""
    features, graph = system.inputs(elements), system.graph
    if size is not None and size != (graph.num_nodes, graph.num_edges):
        features = np.pad(features, [(0, 0), (0, size[0] - system.num_nodes), (0, 0)])
        graph = graph.pad(*size)
    return features, graph


def apply_one(module: nn.Module, variables: Any, history: Array, features: Array, graph: Graph):
    """A module's forecast for a single window: [N, T, C, 3], [N, F] -> [N, C, 3]."""
    return module.apply(variables, history[None], features[None], graph)[0]

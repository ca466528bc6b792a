"""The programs that are timed side by side: this package, and its counterpart in PyTorch.

Each trains and validates STEPS batches a call, windows being shuffled and cut from the frames as in
``estag_jax.fit``, and forecasts FRAMES frames of one window.
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.task import Task
from estag_jax.evaluation.predictions import validation_error
from estag_jax.evaluation.rollout import roll
from estag_jax.models.base import NetworkPredictor
from estag_jax.nn.features_first import hastened
from estag_jax.training.cost import Cost, cost
from estag_jax.training.loop import Loop
from estag_jax.training.settings import TrainConfig
from estag_jax.training.step import Rows, make_steps

FRAMES = 20
"""Of a rollout."""


class Ours:
    """The package itself: the compiled steps of the one loop, as ``fit`` runs them."""

    def __init__(self, task: Task, method: Any, batch: int, chunk: int | None = None):
        self.loop = Loop("ESTAG", method, task, (1,), TrainConfig(batch=batch, chunk=chunk))
        self.chunks = self.loop._chunks(self.loop.buckets[0])
        self.programs = self.loop.compile()
        self.compile_seconds = self.loop.seconds["compile"]
        predictor = self.loop.predictor(jax.tree.map(lambda leaf: leaf[0] + 0, self.loop.best))
        self.predictor, self.task = predictor, task
        self.inputs = jax.tree.map(jnp.asarray, predictor.inputs(task.system))
        self.history = next(task.windows("test")).history
        self.predict = jax.jit(lambda history: predictor.predict(history, self.inputs))

    def train(self) -> None:
        """An epoch."""
        jax.block_until_ready(self.loop.run_epoch(self.programs))

    def validate(self) -> None:
        """The error on the validation windows."""
        validation_error(self.predictor, self.task, self.loop.sizes, self.loop.numbers)

    def rollout(self) -> None:
        """In one compiled program."""
        roll(self.predictor, self.history, self.inputs, FRAMES)

    def rollout_loop(self) -> None:
        """In a Python loop over the compiled forecast."""
        history = self.history
        for _ in range(FRAMES):
            frame = np.asarray(self.predict(history))
            history = np.concatenate([history[:, :, 1:], frame[:, :, None]], axis=2)

    def chunk_cost(self) -> Cost:
        """Of the step of a chunk of windows alone."""
        loop, width = self.loop, -(-self.loop.config.batch // self.chunks)
        rows = Rows(
            jnp.zeros((1, width), int), jnp.ones((1, width)), jax.random.split(jax.random.key(0), 1)
        )
        steps = make_steps(hastened(loop.module), loop.loss, loop.optimizer, self.task.window)
        state = jax.tree.map(lambda leaf: leaf[0], loop.state)
        return cost(jax.jit(steps).lower(state, rows, loop.buckets[0]).compile())


class Torch:
    """The counterpart, eager or under torch.compile, with the same weights and windows."""

    def __init__(self, task: Task, method: Any, batch: int, compiled: bool = False):
        import torch
        from torch_counterpart import Estag, load_flax

        self.torch, self.batch = torch, batch
        trajectory, window, graph = task.trajectories[0], task.window, task.system.graph
        features = task.system.inputs(method.elements)
        self.frames = torch.from_numpy(trajectory.positions)
        self.offsets = torch.from_numpy(window.offsets)
        self.starts = {
            part: torch.from_numpy(getattr(task.splits[0], part))
            for part in ("train", "validation", "test")
        }
        ends = np.concatenate([graph.receivers, graph.senders]).astype(np.int64)
        edges = np.asarray(graph.edge_features[0])
        self.inputs = tuple(map(torch.from_numpy, (features[0], ends, edges)))
        sizes = features.shape[-1], edges.shape[-1], window.past, task.system.channels
        self.model = Estag(method, *sizes)
        module, history = method.build(), next(task.windows("validation", batch)).history
        inputs = features, jax.tree.map(jnp.asarray, graph)
        variables = jax.jit(module.init)(jax.random.key(1), history[:1], *inputs)
        self.check(module, moved(variables), history, inputs)
        load_flax(self.model, variables["params"])
        adam = dict(lr=TrainConfig().step_size(), weight_decay=TrainConfig().weight_decay)
        self.optimizer = torch.optim.Adam(self.model.parameters(), **adam)
        self.call = torch.compile(self.model) if compiled else self.model
        began = time.perf_counter()
        self.train()
        first = time.perf_counter() - began
        began = time.perf_counter()
        self.train()
        self.compile_seconds = first - (time.perf_counter() - began)

    def check(self, module: Any, variables: Any, history: np.ndarray, inputs: Any) -> None:
        """Fails where the two models' predictions differ by more than 1e-5 of what they move."""
        from torch_counterpart import load_flax

        load_flax(self.model, variables["params"])
        expected = np.asarray(NetworkPredictor(variables, module).predict(history, inputs))
        with self.torch.no_grad():
            found = self.model(self.torch.from_numpy(history), *self.inputs).numpy()
        apart, far = np.abs(found - expected).max(), np.abs(expected - history[:, :, -1]).max()
        if not apart <= 1e-5 * max(far, 1):
            raise SystemExit(f"predictions are {apart:.1e} apart where they move by {far:.1e}")

    def windows(self, starts: Any) -> tuple[Any, Any]:
        """Histories [B, N, T, C, 3] and targets [B, N, C, 3]."""
        frames = self.frames[starts[:, None] + self.offsets]
        return frames[:, :-1].transpose(1, 2), frames[:, -1]

    def train(self) -> None:
        """An epoch."""
        starts, total = self.starts["train"], 0.0
        for chosen in starts[self.torch.randperm(len(starts))].split(self.batch):
            history, target = self.windows(chosen)
            self.optimizer.zero_grad()
            loss = self.torch.nn.functional.mse_loss(self.call(history, *self.inputs), target)
            loss.backward()
            self.optimizer.step()
            total += loss.item()

    def validate(self) -> None:
        """The error on the validation windows."""
        with self.torch.no_grad():
            for chosen in self.starts["validation"].split(self.batch):
                history, target = self.windows(chosen)
                self.torch.nn.functional.mse_loss(self.call(history, *self.inputs), target).item()

    def rollout(self) -> None:
        """In a loop, as there is no other way."""
        history, _ = self.windows(self.starts["test"])
        with self.torch.no_grad():
            for _ in range(FRAMES):
                frame = self.call(history, *self.inputs)
                history = self.torch.cat([history[:, :, 1:], frame[:, :, None]], dim=2)


def moved(variables: Any) -> Any:
    """Weights at which a model moves its coordinates: at the start it forecasts the last frame."""
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(
        tree, [leaf + 0.1 * rng.normal(size=leaf.shape).astype(leaf.dtype) for leaf in leaves]
    )


PROGRAMS = {
    "estag_jax": Ours,
    "eager": Torch,
    "torch.compile": lambda *given: Torch(*given, compiled=True),
}

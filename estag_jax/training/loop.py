"""The one training loop."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from estag_jax import memory
from estag_jax.data.task import Task
from estag_jax.evaluation.predictions import validation_error
from estag_jax.models.base import NetworkPredictor
from estag_jax.models.memory import chunks_of, edge_numbers
from estag_jax.nn.features_first import by_fast_path
from estag_jax.ops.halo import NODES
from estag_jax.ops.sharding import device_mesh, of_this_process, on_all, over_seeds, place
from estag_jax.training import distributed, interrupts
from estag_jax.training.buckets import Bucket, bucket_spec, cut, make_buckets, sizes, split_nodes
from estag_jax.training.callbacks import Callback, TrainingDiverged
from estag_jax.training.fitted import Fit
from estag_jax.training.losses import Loss, find_loss
from estag_jax.training.settings import TrainConfig, make_optimizer
from estag_jax.training.step import Rows, TrainState, arrange, init_state, make_steps


class Loop:
    """The state of training, which callbacks see.

    Args:
      label: name of the method.
      method: settings of a network.
      task: data, windows and split.
      seeds: S different seeds.
      config: how it is trained.
      loss, optimizer: in place of the config's.

    Attributes:
      epoch: epochs done.
      steps: of an epoch.
      state: variables and optimiser, leading axis S.
      best: variables at the best validation epoch of each seed, leading axis S.
      best_epoch, best_error: of each seed [S].
      latest_error: validation error of each seed at the latest evaluation [S].
      frozen: seeds whose best is no longer looked for [S].
      log: one entry an evaluation.
      losses: of each call of the compiled steps since the last evaluation [S].
      stop: why training ends early, or None.
    """

    def __init__(
        self,
        label: str,
        method: Any,
        task: Task,
        seeds: Sequence[int],
        config: TrainConfig,
        loss: Loss | None = None,
        optimizer: optax.GradientTransformation | None = None,
    ):
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds {list(seeds)} name one twice")
        config = dataclasses.replace(config, learning_rate=config.step_size(method))
        self.label, self.method, self.task, self.config = label, method, task, config
        self.seeds = tuple(int(seed) for seed in seeds)
        self.module = method.build()
        self.loss = loss or find_loss(config.loss, task.window.horizons)
        self.optimizer = optimizer or make_optimizer(config)
        self.mesh = device_mesh(config.mesh.data, config.mesh.nodes)
        self.numbers = edge_numbers(method)
        self.sizes = sizes(task)
        nodes = self.mesh.shape[NODES]
        if nodes > 1 and not (getattr(method, "in_parts", False) and len(task.systems) == 1):
            raise ValueError(
                f"mesh.nodes is {nodes}, but {label} on {len(task.systems)} system(s) cannot be split over "
                f"devices: this takes one system, and ESTAG, ST_EGNN or EGNN; set mesh.nodes to 1"
            )
        buckets = make_buckets(task, method.elements)
        state = self._initial(buckets[0])
        distributed.require_same(
            "data or initial parameters",
            lambda: (buckets, state, [t.positions for t in task.trajectories]),
        )
        self.state = place(state, self.mesh)
        if nodes > 1:
            buckets = [split_nodes(bucket, nodes) for bucket in buckets]
        specs = bucket_spec(nodes)
        resident = config.holds(sum(b.positions.nbytes for b in buckets) / nodes)
        self.host = [] if resident else buckets
        if not resident:
            buckets = [b._replace(positions=b.positions[:0]) for b in buckets]
        self.buckets = [
            Bucket(*(place(part, self.mesh, spec) for part, spec in zip(b, specs, strict=True)))
            for b in buckets
        ]
        # What one call of the compiled steps does: a step, or else an epoch.
        self.by_step = bool(self.host) or len(buckets) > 1
        self.steps = sum(-(-len(b.starts) // config.batch) for b in self.buckets)
        count = len(self.seeds)
        self.epoch, self.stop = 0, None
        self.best = jax.tree.map(jnp.copy, self.state.variables)
        self.best_epoch = np.zeros(count, int)
        self.best_error, self.latest_error = np.full(count, np.inf), np.full(count, np.inf)
        self.frozen = np.zeros(count, bool)
        self.log: list[dict[str, Any]] = []
        self.losses: list[Any] = []
        self.seconds = {"compile": 0.0, "train": 0.0}

    def predictor(self, variables: Any) -> NetworkPredictor:
        """The network with these variables, for what each process computes for itself."""
        return NetworkPredictor(of_this_process(variables), self.module, self.method.elements)

    def restore(self, **saved: Any) -> None:
        """Takes up an earlier state: the attributes of the same names."""
        for name, value in saved.items():
            setattr(self, name, value)

    def run(self, callbacks: Sequence[Callback]) -> Fit:
        """Trains from the present state to the last epoch."""
        try:
            for callback in callbacks:
                callback.begin(self)
            distributed.barrier("restore")
            programs = self.compile()
            distributed.barrier("begin the first step")
            with interrupts.held():
                while self.epoch < self.config.epochs and self.stop is None:
                    self._advance(programs, callbacks)
                    interrupts.check()
        except interrupts.Interrupted as stop:
            stop.about = f"epoch {self.epoch} of {self.config.epochs} is saved"
            for callback in callbacks:
                callback.interrupted(self)
            raise
        finally:
            for callback in callbacks:
                callback.end(self)
        if not np.isfinite(self.best_error).any():
            raise TrainingDiverged(f"{self.label}: no seed had a finite validation error")
        return self.snapshot()

    def _initial(self, bucket: Bucket) -> TrainState:
        window = self.task.window
        shape = window.past, window.delta, window.horizons
        history, _, features, graph = bucket.windows(jnp.zeros(1, int), *shape)
        init: Any = jax.jit(self.module.init)  # JAX's types lack clear_cache
        variables = [init(jax.random.key(seed), history, features, graph) for seed in self.seeds]
        if hasattr(self.module, "data_init"):
            variables = [self.module.data_init(v, self.task) for v in variables]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables)
        state = jax.vmap(lambda v: init_state(v, self.optimizer))(stacked)
        init.clear_cache()  # its program is of no more use
        memory.give_back()
        return state

    def _chunks(self, bucket: Bucket) -> int:
        """Into how many parts the batches of a bucket are cut."""
        batch = min(self.config.batch, len(bucket.starts))
        nodes, edges = bucket.graph.num_nodes, bucket.graph.num_edges // self.mesh.shape[NODES]
        itemsize = bucket.positions.dtype.itemsize
        sizes = nodes, edges, self.task.window.past, self.numbers, itemsize
        share = math.ceil(batch / self.mesh.shape["data"])
        return chunks_of(share, self.config.chunk, self.state.variables, *sizes)

    def compile(self) -> list[tuple[Any, Any]]:
        """For each bucket the compiled functions that arrange an epoch and take its steps."""
        began = time.perf_counter()
        whole = on_all(self.mesh)
        keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), 1))
        self.keys = jax.jit(keys, out_shardings=whole)(np.array(self.seeds))
        programs = []
        for bucket in self.buckets:
            chunks = self._chunks(bucket)
            multiple = chunks * self.mesh.shape["data"]
            lay_out = partial(
                arrange, count=len(bucket.starts), batch=self.config.batch, multiple=multiple
            )
            lay_out = jax.jit(jax.vmap(lay_out, in_axes=(0, None)), out_shardings=whole)
            rows = self._some(len(programs), self._numbers(lay_out(self.keys, np.int32(0))))
            compiled = by_fast_path(partial(self._lowered, chunks, rows, bucket), self.module)
            programs.append((lay_out, compiled.compile()))
            memory.give_back()
        self.seconds["compile"] += time.perf_counter() - began
        return programs

    def _lowered(self, chunks: int, rows: Rows, bucket: Bucket, module: Any) -> Any:
        """The steps of a network, before they are compiled."""
        steps = make_steps(module, self.loss, self.optimizer, self.task.window, chunks, self.mesh)
        # The state is donated: a step updates it in place.
        steps = jax.jit(over_seeds(steps, 2), donate_argnums=0, out_shardings=on_all(self.mesh))
        return steps.lower(self.state, rows, bucket)

    def _numbers(self, rows: Rows) -> Rows:
        """The batches of an epoch, with the numbers of windows where these are cut."""
        return rows._replace(windows=np.asarray(rows.windows)) if self.host else rows

    def _some(self, which: int, rows: Rows, step: int = 0) -> Rows:
        """What one call of the compiled steps gets, of the bucket of this number."""
        if not self.by_step:
            return rows
        rows = jax.tree.map(lambda leaf: leaf[:, step : step + 1], rows)
        if not self.host:
            return rows
        numbers = rows.windows.reshape(len(self.seeds), 1, self._chunks(self.buckets[which]), -1)
        return rows._replace(windows=cut(self.host[which], numbers, self.task.window, self.mesh))

    def run_epoch(self, programs: list[tuple[Any, Any]]) -> list[jax.Array]:
        """The next epoch; returns the mean loss of each call of the compiled steps, of each seed."""
        arranged = (lay_out(self.keys, np.int32(self.epoch)) for lay_out, _ in programs)
        rows = [self._numbers(batches) for batches in arranged]
        counts = [batches.windows.shape[1] if self.by_step else 1 for batches in rows]
        turns = [(b, s) for b, count in enumerate(counts) for s in range(count)]
        if len(rows) > 1:
            turns = [turns[i] for i in np.random.default_rng(self.epoch).permutation(len(turns))]
        losses = []
        for b, s in turns:
            some = self._some(b, rows[b], s)
            self.state, loss = programs[b][1](self.state, some, self.buckets[b])
            losses.append(loss)
            if self.host:  # at most the windows of two steps wait on the device
                jax.block_until_ready(losses[-2:][0])
        self.epoch += 1
        return losses

    def _advance(self, programs: list[tuple[Any, Any]], callbacks: Sequence[Callback]) -> None:
        """Epochs up to the next evaluation, and the evaluation."""
        began = time.perf_counter()
        evaluated = self.log[-1]["epoch"] if self.log else 0
        until = min(evaluated + self.config.evaluate_every, self.config.epochs)
        try:
            while self.epoch < until:
                self.losses += self.run_epoch(programs)
                interrupts.check()
        finally:
            self.seconds["train"] += time.perf_counter() - began
        began = time.perf_counter()
        # Averaged here: a compiled stack of as many arrays as steps would take longer than the steps.
        loss = np.mean(jax.device_get(self.losses), axis=0, dtype=np.float64)
        errors = validation_error(
            self.predictor(self.state.variables), self.task, self.sizes, self.numbers, seeds=True
        )
        self.latest_error = np.where(np.isfinite(loss), errors, np.nan)
        better = ~self.frozen & (self.latest_error < self.best_error)
        self.best_error = np.where(better, self.latest_error, self.best_error)
        self.best_epoch = np.where(better, self.epoch, self.best_epoch)
        self.best = _keep(better, self.state.variables, self.best)
        self.seconds["train"] += time.perf_counter() - began
        evaluation = {
            "epoch": self.epoch,
            "train_loss": _finite(loss.mean()),
            "validation_mse": _finite(self.latest_error.mean()),
            "best_epoch": self.best_epoch.tolist(),
            "seconds": round(self.seconds["train"], 3),
        }
        if isinstance(self.state.opt_state, optax.ApplyIfFiniteState):
            skipped = of_this_process(self.state.opt_state.total_notfinite)
            evaluation["skipped"] = np.asarray(skipped).tolist()
        self.log.append(evaluation)
        self.losses = []
        for callback in callbacks:
            callback.evaluated(self, evaluation)

    def snapshot(self) -> Fit:
        """The best so far."""
        best = [jax.tree.map(itemgetter(i), self.best) for i in range(len(self.seeds))]
        return Fit(
            self.label,
            self.method,
            self.task,
            tuple(self.predictor(variables) for variables in best),
            self.seeds,
            self.best_epoch,
            self.best_error,
            self.epoch,
            tuple(self.log),
            self.seconds | {"step": self.seconds["train"] / max(self.epoch * self.steps, 1)},
        )


@jax.jit
def _keep(better: jax.Array, new: Any, old: Any) -> Any:
    """The new leaves where a seed is better, the old ones elsewhere."""

    def choose(a, b):
        return jnp.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def _finite(value: float) -> float | None:
    """None in place of what JSON cannot hold."""
    return float(value) if math.isfinite(value) else None

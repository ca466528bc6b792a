"""What a training step costs, from shapes alone: its program is compiled for the device and not run."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.graph import Graph
from estag_jax.models.base import NetworkMethod
from estag_jax.models.memory import chunks_of, edge_numbers
from estag_jax.nn.features_first import hastened
from estag_jax.training.buckets import Bucket, Cut, make_buckets
from estag_jax.training.cost import Cost, Rates, cost
from estag_jax.training.losses import mse
from estag_jax.training.settings import TrainConfig, make_optimizer
from estag_jax.training.step import Rows, init_state, make_steps


@dataclasses.dataclass(frozen=True)
class Shapes:
    """What the memory and the time of a step depend on besides the settings.

    Args:
      nodes: N.
      edges: E, directed.
      channels: C.
      features: F of the nodes.
      edge_features: F of the edges.
      frames: of the trajectory; they lie on the device as far as ``train.resident`` allows.
      dtype: of the positions.
    """

    nodes: int
    edges: int
    channels: int = 1
    features: int = 1
    edge_features: int = 0
    frames: int = 1000
    dtype: str = "float32"

    @classmethod
    def of(cls, task: Task, method: NetworkMethod) -> Shapes:
        """Those of the largest systems of a task, padded as in training."""
        bucket = make_buckets(task, method.elements)[-1]
        return cls(
            bucket.graph.num_nodes,
            bucket.graph.num_edges,
            task.systems[0].channels,
            bucket.features.shape[-1],
            bucket.graph.edge_width,
            len(bucket.positions),
            str(bucket.positions.dtype),
        )

    def larger(self, nodes: int) -> Shapes:
        """With more nodes, each with as many neighbours."""
        return dataclasses.replace(self, nodes=nodes, edges=round(self.edges * nodes / self.nodes))


class Plan(NamedTuple):
    """A training step on one device.

    Args:
      parameters: of the network.
      chunks: parts of the batch whose gradients are summed.
      width: windows of each.
      resident: whether the frames lie on the device; else windows are cut on the host.
      cost: of the step; memory includes parameters, the optimiser and the frames, or the windows of two
        steps, which is what training holds.
      compiled: the program of the step.
      arguments: shapes and types of its state, rows and bucket.
    """

    parameters: int
    chunks: int
    width: int
    resident: bool
    cost: Cost
    compiled: Any
    arguments: tuple[Any, Rows, Bucket]

    def bound(self, rates: Rates) -> float:
        """Seconds that operations, transcendental functions and bytes take at rates, nothing else counted."""
        return sum(amount / rate for amount, rate in zip(self.cost, rates, strict=False))

    def seconds(self, repeats: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
        """The median time of the step with made-up numbers on this device, by a clock in seconds."""
        state, rows, bucket = jax.tree.map(_made_up, self.arguments)
        shape, random = bucket.graph, np.random.default_rng(0)
        ends = random.integers(0, shape.num_nodes, (2, shape.num_edges))
        graph = Graph(*ends, shape.num_nodes, shape.edge_features)
        bucket = bucket._replace(graph=jax.tree.map(jnp.asarray, graph))
        times = []
        for _ in range(repeats + 1):
            began = clock()
            state, _ = jax.block_until_ready(self.compiled(state, rows, bucket))
            times.append(clock() - began)
        return float(np.median(times[1:]))


def plan(
    method: NetworkMethod,
    shapes: Shapes,
    window: WindowConfig,
    train: TrainConfig,
    devices: int = 1,
) -> Plan:
    """Compiles the step of the share of a batch that one device has.

    Args:
      method: settings of a network.
      shapes: sizes of the system.
      window: T and horizons.
      train: batch, chunk and optimiser.
      devices: over how many a batch is split.
    """
    module, optimizer = hastened(method.build()), make_optimizer(train)
    bucket = _bucket(shapes)
    parts = window.past, window.delta, window.horizons
    key = jax.eval_shape(lambda: jax.random.key(0))

    def init(key, bucket):
        history, _, features, graph = bucket.windows(jnp.zeros(1, int), *parts)
        return init_state(module.init(key, history, features, graph), optimizer)

    state = jax.eval_shape(init, key, bucket)
    share, numbers = math.ceil(train.batch / devices), edge_numbers(method)
    sizes = shapes.nodes, shapes.edges, window.past, numbers, np.dtype(shapes.dtype).itemsize
    chunks = chunks_of(share, train.chunk, state.variables, *sizes)
    width = math.ceil(share / chunks)
    shape = 1, chunks * width
    resident = train.holds(_bytes(bucket.positions))
    windows = jax.ShapeDtypeStruct(shape, np.int32)
    if not resident:
        windows = _cut((1, chunks, width), bucket, window)
        positions = jax.ShapeDtypeStruct((0, *bucket.positions.shape[1:]), shapes.dtype)
        bucket = bucket._replace(positions=positions)
    weights = jax.ShapeDtypeStruct(shape, np.float32)
    rows = Rows(windows, weights, jax.ShapeDtypeStruct((1,), key.dtype))
    steps = jax.jit(make_steps(module, mse, optimizer, window, chunks), donate_argnums=0)
    compiled = steps.lower(state, rows, bucket).compile()
    once = cost(compiled)
    waiting = 0 if resident else _bytes(windows)  # of the next step
    whole = Cost(*(chunks * value for value in once[:3]), once.memory + waiting)
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.variables["params"]))
    return Plan(count, chunks, width, resident, whole, compiled, (state, rows, bucket))


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves)


def _cut(leading: tuple[int, ...], bucket: Bucket, window: WindowConfig) -> Cut:
    """Shapes and types of windows that were cut on the host."""
    (_, nodes, *rest), dtype = bucket.positions.shape, bucket.positions.dtype
    return Cut(
        jax.ShapeDtypeStruct((*leading, nodes, window.past, *rest), dtype),
        jax.ShapeDtypeStruct((*leading, len(window.horizons), nodes, *rest), dtype),
        jax.ShapeDtypeStruct(leading, np.int32),
    )


def _bucket(shapes: Shapes) -> Bucket:
    """Shapes and types of what a step reads."""

    def leaf(*axes, dtype=np.int32):
        return jax.ShapeDtypeStruct(axes, dtype)

    edges = leaf(1, shapes.edges)
    width = shapes.edge_features
    features = leaf(1, shapes.edges, width, dtype=np.float32) if width else None
    ends = Graph([0], [0], shapes.nodes, np.zeros((1, width), np.float32) if width else None)
    graph = jax.tree.map(lambda given: features if given.ndim == 3 else edges, ends)
    return Bucket(
        leaf(shapes.frames, shapes.nodes, shapes.channels, 3, dtype=shapes.dtype),
        leaf(1, shapes.nodes, shapes.features, dtype=np.float32),
        graph,
        leaf(shapes.frames),
        leaf(shapes.frames),
    )


def _made_up(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """Numbers of a shape and type: small and random, for zeros and huge numbers cost other times."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), leaf.shape)
    random = np.random.default_rng(0)
    if jnp.issubdtype(leaf.dtype, jnp.integer):
        return jnp.zeros(leaf.shape, leaf.dtype)
    return jnp.asarray(np.abs(0.1 * random.normal(size=leaf.shape)), leaf.dtype)


def largest(memory: Callable[[int], float], first: int, limit: float, tries: int = 5) -> int:
    """The largest size found whose memory is below a limit, by power laws through the last two tried.

    Args:
      memory: bytes at a size.
      first: where to begin.
      limit: bytes.
      tries: sizes that are looked at besides ``first`` and its double.

    Returns:
      A size that fits, within a tenth of the limit where the tries suffice; 0 if none was found.
    """
    tried = {size: memory(size) for size in (first, 2 * first)}
    (a, b) = tried
    for _ in range(tries):
        power = math.log(tried[b] / tried[a]) / math.log(b / a)
        if power < 0.05:  # what does not grow has no bound
            break
        size = max(1, int(b * (0.97 * limit / tried[b]) ** (1 / power)))
        if size in tried:
            break
        a, b = b, size
        tried[b] = memory(b)
        if 0.9 * limit <= tried[b] <= limit:
            break
    return max((size for size, bytes_ in tried.items() if bytes_ <= limit), default=0)

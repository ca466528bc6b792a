"""One of several processes that train together: ``python -m helpers.worker``, see helpers.processes."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
from functools import partial

import flax.linen as nn
import jax
import numpy as np
import optax
import tyro

from estag_jax.models.base import Network
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.runs.checkpoint import Checkpoints
from estag_jax.training import distributed as processes
from estag_jax.training.buckets import Frames
from estag_jax.training.distributed import DistributedConfig
from estag_jax.training.loop import Loop
from estag_jax.training.settings import MeshConfig
from helpers.springs import task, training


class Wide(nn.Module):
    """A network with a parameter of 4.7 MB, zero at the start so that small changes are exact."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        x = history.reshape(len(history), -1)
        dense = partial(nn.Dense, param_dtype=x.dtype)
        wide = dense(2**15, kernel_init=nn.initializers.zeros, name="wide")(x)
        y = dense(9, name="out")(nn.tanh(wide))
        return history[:, :, -1] + 1e-3 * y.reshape(-1, *history.shape[1:2], *history.shape[3:])


MODELS = {
    "ESTAG": EstagConfig(hidden=4, layers=1),
    "ST_EGNN": StEgnnConfig(hidden=4, layers=1),
    "EGNN": EgnnConfig(hidden=4, layers=1),
    "ESTAG in chunks": EstagConfig(hidden=4, layers=1, edges_at_once=7),
    "wide": Network(Wide()),
}


@dataclasses.dataclass
class Options:
    """What is trained, and what goes wrong."""

    model: str = "ESTAG"
    epochs: int = 3
    bodies: tuple[int, ...] = (3,)
    mesh: MeshConfig = MeshConfig()
    rate: float | None = None  # plain gradient descent with this rate in place of Adam
    resident: float = 1.0
    checkpoints: bool = False
    kill: tuple[int, int] = (-1, -1)  # process and epoch
    by: str = "SIGKILL"
    distributed: DistributedConfig = DistributedConfig()


def prepared(options: Options) -> Loop:
    """The training, before its first step; float64 where jax is set to it."""
    dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
    where = {"mesh": options.mesh, "resident": options.resident}
    config = training(options.epochs, evaluate_every=1, **where)
    sgd = None if options.rate is None else optax.sgd(options.rate)
    of = task(options.bodies, dtype=dtype)
    return Loop(options.model, MODELS[options.model], of, (1,), config, optimizer=sgd)


def parameters(loop: Loop) -> dict[str, np.ndarray]:
    """All that training has changed, and the validation error."""
    found = loop.predictor(loop.state.variables).to_arrays()
    return found | {"validation": loop.latest_error}


def counted() -> list[int]:
    """The windows whose histories are read from now on, in number."""
    counts, read = [], Frames.__getitem__

    def reading(frames, slices):
        found = read(frames, slices)
        if frames.history:
            counts.append(math.prod(found.shape[:4]))
        return found

    Frames.__getitem__ = reading
    return counts


def main(options: Options) -> None:
    processes.start(options.distributed)
    counts = counted()
    loop = prepared(options)
    steps = loop.run_epoch

    def run_epoch(programs):
        if (jax.process_index(), loop.epoch) == options.kill:
            os.kill(
                os.getpid(), signal.Signals[options.by]
            )  # while the others are in the steps of the epoch
        return steps(programs)

    loop.run_epoch = run_epoch
    try:
        kept = [Checkpoints("checkpoints")] if options.checkpoints else []
        loop.run([*kept, processes.Watchdog(options.distributed.watchdog)])
    except (processes.Lost, jax.errors.JaxRuntimeError) as error:  # as the command does
        print(error)
        processes.leave(processes.RESUME)
    print(f"read {sum(counts)} windows")
    np.savez(f"parameters.{jax.process_index()}.npz", **parameters(loop))


if __name__ == "__main__":
    main(tyro.cli(Options))

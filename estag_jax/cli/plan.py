"""``estag plan``: what training would cost, before it is begun."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from estag_jax.cli.main import UsageError
from estag_jax.cli.output import print_facts
from estag_jax.cli.train import defaults
from estag_jax.data.settings import WindowConfig
from estag_jax.models import catalog
from estag_jax.models.base import NetworkMethod
from estag_jax.models.memory import CACHE, DEVICE, TRAINING, edge_numbers
from estag_jax.ops.sharding import device_name
from estag_jax.runs import folder
from estag_jax.runs.settings import RunConfig, prepare
from estag_jax.training.cost import Rates, measure_rates
from estag_jax.training.plan import Plan, Shapes, largest
from estag_jax.training.plan import plan as planned

GIB = 2**30


def given(argv: list[str]) -> dict[str, Any]:
    """The settings of the run that is named, or of the preset and source, are what options start from."""
    if argv and not argv[0].startswith("-"):
        return {"settings": folder.read_run(Path(argv[0]))[0]}
    return {"settings": defaults(argv)}


def plan(
    settings: Annotated[RunConfig, tyro.conf.arg(name="")],
    run: tyro.conf.Positional[Path | None] = None,
    nodes: int | None = None,
    edges: int | None = None,
    channels: int = 1,
    devices: int = 1,
    memory: float | None = None,
    rates: tuple[float, float, float] | None = None,
) -> None:
    """Say what a training step costs, and what fits.

    It is compiled and timed here; nothing is trained.

    Args:
      settings: As for estag train.
      run: Folder of a run, whose settings and data are taken.
      nodes: Of a system without data; with --edges and --channels.
      edges: Directed edges of that system, 10 a node unless given.
      channels: Points per node of that system.
      devices: Over how many a batch is split; figures are those of one.
      memory: GiB of a device: say the largest N, T and windows at once that fit.
      rates: What another device does in a second: additions and multiplications, transcendental
        functions, bytes. Says the least time of a step there, and the time expected from that here.
    """
    if nodes is not None:
        method = catalog.settings(settings.model or settings.method, channels=channels)
        shapes = Shapes(nodes, 10 * nodes if edges is None else edges, channels)
    else:
        if run is None:
            settings, task = prepare(settings)
        else:  # options change what the run's settings say
            from estag_jax.runs.readers import load_task  # all that evaluates

            _, task = load_task(run)
        method = settings.model
    if not isinstance(method, NetworkMethod):
        raise UsageError(
            f"{settings.method} is a closed form, which takes no steps; name a network"
        )
    if nodes is None:
        shapes = Shapes.of(task, method)
    window, train = settings.window or WindowConfig(), settings.train
    found = planned(method, shapes, window, train, devices)
    print_facts(_facts(found, shapes, window, train.batch, edge_numbers(method)))
    print_facts(_time(found, rates))
    if memory is None:
        return

    def bytes_of(**changes: Any) -> float:
        other = changes.pop("past", window.past)
        longer = dataclasses.replace(window, past=other)
        shape = shapes.larger(changes.pop("nodes", shapes.nodes))
        changed = dataclasses.replace(train, **changes)
        return planned(method, shape, longer, changed, devices).cost.memory

    width, limit = found.width, memory * GIB
    # A chunk holds one window from here on, so that memory grows with the size.
    first = max(1, width * shapes.nodes)
    print_facts(
        {
            "largest N": f"{largest(lambda n: bytes_of(nodes=n), first, limit):,} nodes with as many "
            f"neighbours in {memory:g} GiB",
            "largest T": f"{largest(lambda t: bytes_of(past=t), width * window.past, limit):,} frames",
            "largest chunk": f"{_chunk(bytes_of, width, devices, limit):,} windows at once "
            f"(--train.chunk); the batch may be any multiple",
        }
    )


def _chunk(bytes_of, width: int, devices: int, limit: float) -> int:
    """The most windows whose gradient fits at once."""
    return largest(lambda n: bytes_of(batch=n * devices, chunk=n), max(width, 1), limit)


def _facts(
    found: Plan, shapes: Shapes, window: WindowConfig, batch: int, numbers: int
) -> dict[str, Any]:
    bound = CACHE if jax.default_backend() == "cpu" else DEVICE
    channels = "" if shapes.channels == 1 else f" of {shapes.channels} channels"
    return {
        "system": f"{shapes.nodes:,} nodes{channels}, {shapes.edges:,} edges, {window}",
        "parameters": f"{found.parameters:,}",
        "batch": f"{batch} windows, {found.chunks} chunk(s) of {found.width}",
        "rule": f"{TRAINING} arrays of E·T·H = {max(shapes.edges, shapes.nodes):,}·{window.past}·{numbers} "
        f"numbers a window in at most {bound / 1e6:,.0f} MB",
        "operations": f"{found.cost.flops:.3g} a step, and {found.cost.transcendentals:.3g} "
        f"transcendental",
        "bytes": f"{found.cost.bytes:.3g} read and written a step",
        "frames": "on the device"
        if found.resident
        else "on the host, windows of two steps on the device (--train.resident)",
        "memory": f"{found.cost.memory / 1e6:,.1f} MB a device",
    }


def _time(found: Plan, rates: tuple[float, float, float] | None) -> dict[str, Any]:
    """The time of the step on this device, and what follows from it at the rates of another."""
    here, seconds = measure_rates(), found.seconds()
    speeds = ", ".join(f"{value:.3g} {name}/s" for name, value in here._asdict().items())
    facts = {
        "time": f"{1e3 * seconds:.3g} ms a step on {device_name()}, measured",
        "rates": f"{speeds}, measured; at these alone {1e3 * found.bound(here):.3g} ms",
    }
    if rates is not None:
        there = found.bound(Rates(*rates))
        facts["at the rates"] = (
            f"{1e3 * there:.3g} ms a step at least, {1e3 * seconds * there / found.bound(here):.3g} ms "
            f"expected if as much comes on top as here"
        )
    return facts

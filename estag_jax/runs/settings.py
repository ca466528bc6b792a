"""All that determines a run's result, and where names and data turn into settings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import tyro

from estag_jax.data.checks import refuse_still
from estag_jax.data.settings import GraphConfig, SplitConfig, WindowConfig
from estag_jax.data.task import Task
from estag_jax.io import Report
from estag_jax.models import catalog
from estag_jax.models.base import Method
from estag_jax.sources.catalog import ReadConfig, load
from estag_jax.training.settings import TrainConfig

if TYPE_CHECKING:
    MethodConfig = Any
else:
    MethodConfig = Union[catalog.CONFIGS]  # noqa: UP007 (not known before run time)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All that determines a run's result."""

    data: tuple[str, ...] = ("demo",)
    """SOURCE[:NAME] (see estag data list), a path, or TOPOLOGY,TRAJECTORY[,TRAJECTORY…]; several are
    trained on together."""
    method: Annotated[str, tyro.conf.arg(name="model")] = "ESTAG"
    """Name of the method in the catalog; "" where ``model`` alone says it."""
    beside: tuple[str, ...] = ()
    """Further closed forms for the same table and figures, such as "Frame kernel". The folder keeps the
    forecaster of ``model`` alone."""
    start: str | None = None
    """A closed form to start from, such as frame-ridge: the network learns what its forecasts leave."""
    constrain_bonds: tyro.conf.FlagCreatePairsOff[bool] = False
    """Give forecasts the bond lengths of the last past frame, as suits rigid skeletons; it harms proteins."""
    read: ReadConfig = ReadConfig()
    """How the data are read."""
    window: WindowConfig | None = None
    """The frames a model sees; None: what suits the source."""
    split: SplitConfig | Literal["paper"] | None = None
    """Which windows train, validate and test; None: what suits the source."""
    graph: GraphConfig = GraphConfig()
    """Which nodes exchange messages."""
    model: MethodConfig | None = None
    """The method's settings; None: those of the catalog. Where ``method`` is named too, what differs from
    the catalog's settings for one channel is kept and the rest is that for the data's channels."""
    train: TrainConfig = TrainConfig()
    """How a network is trained."""

    def __post_init__(self):
        if isinstance(self.data, str):
            object.__setattr__(self, "data", (self.data,))
        if not self.data:
            raise ValueError("data is empty; name a source or a file")
        if self.method:
            object.__setattr__(self, "method", catalog.find(self.method))
        beside = tuple(catalog.find_closed_form(name, "beside") for name in self.beside)
        object.__setattr__(self, "beside", beside)
        if self.start is not None:
            object.__setattr__(self, "start", catalog.find_closed_form(self.start, "start"))


def prepare(config: RunConfig, report: Report | None = None) -> tuple[RunConfig, Task]:
    """Reads the data and fills in what depends on them.

    Args:
      config: as asked.
      report: receives the progress of reading.

    Returns:
      The settings with window, split and model given, and the task.

    Raises:
      DataError: bad data, in which nothing moves, or too few frames for the windows.
    """
    trajectories = [load(spec, config.graph, config.read, report) for spec in config.data]
    refuse_still(trajectories)
    task = Task(trajectories, config.window, config.split, config.graph)
    return (
        dataclasses.replace(
            config, window=task.window, split=task.split_config, model=_model(config, task)
        ),
        task,
    )


def _model(config: RunConfig, task: Task) -> Method:
    if not config.method:
        return config.model
    chosen = catalog.settings(config.method, task)
    if config.model is None or type(config.model) is not type(chosen):
        return chosen if config.model is None else config.model
    usual = catalog.settings(config.method)
    changes = {
        field.name: getattr(config.model, field.name)
        for field in dataclasses.fields(usual)
        if getattr(config.model, field.name) != getattr(usual, field.name)
    }
    return dataclasses.replace(chosen, **changes)

"""Every method by name: the one list that commands, tables and files use.

To add a method, write its file and add one line to ``METHODS``. Methods of your own need no entry:
``fit`` takes their settings themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import flax.linen as nn

from estag_jax.data.task import Task
from estag_jax.io import did_you_mean
from estag_jax.models import published
from estag_jax.models.agl_stan import AglStanConfig
from estag_jax.models.auto import Auto
from estag_jax.models.autoregression import ArLs, ArLsPerNode
from estag_jax.models.base import ClosedForm, Method, Network
from estag_jax.models.body_kernel import BodyKernel
from estag_jax.models.body_ridge import BodyRidge
from estag_jax.models.constrained import Constrained
from estag_jax.models.copies import (
    ConstantAcceleration,
    ConstantVelocity,
    FirstFrame,
    LastFrame,
    MiddleFrame,
)
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.eqmotion import EqMotionConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.in_context import InContextAr
from estag_jax.models.limited import Limited
from estag_jax.models.mode_ridge import ModeRidge
from estag_jax.models.parroting import ContextParroting
from estag_jax.models.path_ridge import PathRidge
from estag_jax.models.ridge import VarRidge
from estag_jax.models.simlpe import SiMlpeConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.st_gnn import StGnnConfig
from estag_jax.models.st_se3_transformer import StSe3TransformerConfig
from estag_jax.models.st_tfn import StTfnConfig
from estag_jax.models.stag import StagConfig
from estag_jax.models.started import Started
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.models.vertical_ridge import VarRidgeVertical
from estag_jax.nn.config import Elements, Head, NetworkConfig


@dataclasses.dataclass(frozen=True)
class Entry:
    """A method of the catalog.

    Args:
      config: from the number of channels C to its settings.
      published: its name in the published tables; "" where it was not compared.
      equivariant: exactly, to rotations, reflections and translations.
      aliases: further names that find it.
      needs_channels: it differs from another method only where nodes have several channels.
      asked: a closed form that takes longer, and is in a table only if it is asked for.
    """

    config: Callable[[int], Method]
    published: str = ""
    equivariant: bool = True
    aliases: tuple[str, ...] = ()
    needs_channels: bool = False
    asked: bool = False


def _per_frame(channels: int, **changes: Any) -> StEgnnConfig:
    """The released program's EGNN on every frame. For several channels that is its GMN: the two
    differ by a clamp at 100 units, which does not act."""
    kind = StEgnnConfig if channels == 1 else StEgnnConfig.gmn
    return kind(**changes)


def _single(channels: int, frame: Literal["first", "middle", "last"]) -> EgnnConfig:
    """The released program's EGNN on one frame; for several channels with other constants."""
    several = dict(activation="leaky_relu", clamp=None, coordinate_weight=3.0)
    return EgnnConfig(frame=frame, **several if channels > 1 else {})


def _always(config: Method) -> Callable[[int], Method]:
    return lambda channels: config


METHODS: dict[str, Entry] = {
    "First frame": Entry(_always(FirstFrame()), published.CLOSED_FORMS["First frame"]),
    "Middle frame": Entry(_always(MiddleFrame()), published.CLOSED_FORMS["Middle frame"]),
    "Last frame": Entry(_always(LastFrame()), published.CLOSED_FORMS["Last frame"]),
    "Constant velocity": Entry(_always(ConstantVelocity())),
    "Constant acceleration": Entry(_always(ConstantAcceleration())),
    "AR-LS": Entry(_always(ArLs())),
    "AR-LS per node": Entry(_always(ArLsPerNode())),
    "In-context AR": Entry(_always(InContextAr())),
    "Context parroting": Entry(_always(ContextParroting()), asked=True),
    "VAR ridge": Entry(_always(VarRidge())),
    "VAR ridge, vertical apart": Entry(_always(VarRidgeVertical())),
    "Frame ridge": Entry(_always(FrameRidge())),
    "Frame kernel": Entry(_always(FrameKernel()), asked=True),
    "Body ridge": Entry(_always(BodyRidge())),
    "Body kernel": Entry(_always(BodyKernel()), asked=True),
    "Mode ridge": Entry(_always(ModeRidge()), asked=True),
    "Path ridge": Entry(_always(PathRidge()), asked=True),
    "EGNN-s": Entry(partial(_single, frame="first"), "EGNN-s"),
    "EGNN-m": Entry(partial(_single, frame="middle"), "EGNN-m"),
    "EGNN-t": Entry(partial(_single, frame="last"), "EGNN-t"),
    "ST_TFN": Entry(_always(StTfnConfig()), "ST_TFN"),
    "ST_GNN": Entry(_always(StGnnConfig()), "ST_GNN", equivariant=False),
    "ST_SE(3)-Tr": Entry(_always(StSe3TransformerConfig()), "ST_SE(3)-Tr"),
    "ST_EGNN": Entry(_per_frame, "ST_EGNN"),
    "ST_GMN": Entry(_always(StEgnnConfig.gmn()), "ST_GMN", needs_channels=True),
    "EqMotion": Entry(_always(EqMotionConfig()), "EqMotion"),
    "STGCN": Entry(_always(StgcnConfig()), "STGCN", equivariant=False),
    "AGL-STAN": Entry(_always(AglStanConfig()), "AGL-STAN", equivariant=False),
    "STAG": Entry(_always(StagConfig()), equivariant=False),
    "siMLPe": Entry(_always(SiMlpeConfig()), equivariant=False),
    "ESTAG without layers": Entry(_always(EstagConfig(layers=0))),
    "ESTAG": Entry(_always(EstagConfig()), "ESTAG"),
    "ESTAG as released": Entry(EstagConfig.released, "ESTAG", aliases=("reference", "released")),
    "EGNN + residual head": Entry(partial(_per_frame, head="residual")),
    "GMN + residual head": Entry(_always(StEgnnConfig.gmn(head="residual")), needs_channels=True),
}
"""Every method in the order of the tables: closed forms, compared networks, ESTAG."""

CLOSED_FORMS = tuple(n for n, entry in METHODS.items() if isinstance(entry.config(1), ClosedForm))
"""Names of the methods that are solved and not trained."""

YARDSTICKS = tuple(name for name in CLOSED_FORMS if not METHODS[name].asked)
"""Closed forms that every table has, as far as its data have their vectors: they take a second or two."""

CONSTRAINED = "constrained bonds"
"""Stands behind the name of a method whose forecasts keep bond lengths."""

LIMITED = "limited motion"
"""And of one whose forecasts stay within what training showed."""

AUTO = "auto"
"""The name under which ``fit`` chooses a closed form by itself (models.auto)."""

CONFIGS = (*dict.fromkeys(type(entry.config(1)) for entry in METHODS.values()), Auto)
"""The settings' classes, to read them back from a file."""


def with_vectors(names: Sequence[str], task: Task) -> tuple[str, ...]:
    """Those of some methods whose external vectors the task has; networks need none."""
    known = task.trajectories[0].external
    return tuple(
        name
        for name in names
        if all(vector in known for vector in getattr(METHODS[name].config(1), "vectors", ()))
    )


def find(name: str) -> str:
    """The catalog's name for a name as typed, whatever its case and punctuation.

    Names of the published tables are known too (PT-s).

    Example:
      >>> find("var-ridge"), find("PT-s")
      ('VAR ridge', 'First frame')

    Raises:
      ValueError: there is no such method; names the nearest.
    """
    known: dict[str, str] = {_key(AUTO): AUTO}
    for method, entry in METHODS.items():
        for alias in (method, *entry.aliases, entry.published):
            known.setdefault(_key(alias), method)
    if (key := _key(name)) and key in known:
        return known[key]
    hint = did_you_mean(name, list(METHODS))
    raise ValueError(f"no method {name!r}{hint}; there are {', '.join(METHODS)}")


def find_closed_form(name: str, of: str) -> str:
    """The catalog's name for that of a closed form.

    Raises:
      ValueError: there is none of that name; says what it was ``of``.
    """
    if (found := find(name)) not in CLOSED_FORMS:
        raise ValueError(f"{of} takes a closed form ({', '.join(CLOSED_FORMS)}); {found} is none")
    return found


def choose(names: Sequence[str]) -> tuple[str, ...]:
    """Several names by :func:`find`, each once; all of them for none or ``all``."""
    if not names or list(names) == ["all"]:
        return tuple(METHODS)
    chosen = tuple(dict.fromkeys(find(name) for name in names))
    if AUTO in chosen:
        raise ValueError("auto chooses a method for one run; a table has all of them: name some")
    return chosen


def settings(
    method: str | Method,
    task: Task | None = None,
    *,
    channels: int = 1,
    head: Head | None = None,
    elements: Elements | None = None,
) -> Method:
    """The settings of a method for a task: the one place where a name becomes a configuration.

    Args:
      method: a name, or settings, which are returned as they are.
      task: what it will be fitted to; gives the channels. With several systems, atoms enter one-hot:
        one float cannot tell the elements of different molecules apart.
      channels: C, where there is no task.
      head: in place of a network's own last step, or None.
      elements: how atoms enter the networks that ESTAG is compared to: ``number`` is as its authors'
        program feeds them. None: one-hot. ESTAG's two rows have their own.

    Raises:
      ValueError: there is no method of that name.
    """
    if not isinstance(method, str):
        return method
    if (name := find(method)) == AUTO:
        return Auto()
    channels = channels if task is None else task.systems[0].channels
    config = METHODS[name].config(channels)
    if isinstance(config, NetworkConfig):
        if elements is not None and not isinstance(config, EstagConfig):
            config = dataclasses.replace(config, elements=elements)
        if task is not None and len(task.systems) > 1:
            config = dataclasses.replace(config, elements="one-hot")
        if head is not None:
            config = dataclasses.replace(config, head=head)
    return config


def label(method: str | Method, head: Head | None = None, start: str | None = None) -> str:
    """The name of a method in a table; that of its class where it is not of the catalog.

    Args:
      method: a name, or settings.
      head: in place of a network's own.
      start: the closed form that a network starts from.
    """
    if isinstance(method, Constrained):
        return f"{label(method.method, head, start)} ({CONSTRAINED})"
    if isinstance(method, Limited):
        return f"{label(method.method, head, start)} ({LIMITED})"
    if isinstance(method, Started):
        return label(method.network, head, label(method.start))
    if isinstance(method, str):
        if (name := find(method)) == AUTO:
            return AUTO
        own = METHODS[name].config(1)
        if not isinstance(own, NetworkConfig):
            return name
        said = [head] * (head not in (None, own.head)) + [f"from {start}"] * (start is not None)
        return f"{name} ({', '.join(said)})" if said else name
    if isinstance(method, Auto):
        return AUTO
    for channels in (1, 4):  # with one channel no two methods have the same settings
        for name, entry in METHODS.items():
            if entry.config(channels) == method:
                return label(name, start=start)
    module = getattr(method, "module", None)
    name = type(method if module is None else module).__name__
    return name if start is None or isinstance(method, ClosedForm) else f"{name} (from {start})"


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum() or c == "+")


def as_method(method: Any) -> Method | str:
    """A Flax module as a method; anything else as it is."""
    return Network(method) if isinstance(method, nn.Module) else method

"""Which rows of a grid are asked for, and why some are not run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from estag_jax.data.task import Task
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm, Method
from estag_jax.nn.config import Elements, Head


class Asked(NamedTuple):
    """A row that is asked for, and why it is not run, or ""."""

    label: str
    settings: Method | None
    why_not: str = ""


Rows = Callable[[str, Task], Sequence[Asked]]
"""From data set and task to its rows."""


def settled(
    methods: Sequence[str] | Rows,
    name: str,
    task: Task,
    head: Head | None,
    elements: Elements | None,
    start: str | None,
) -> list[Asked]:
    """The rows that are asked for, with their settings."""
    if not isinstance(methods, Sequence):
        return list(methods(name, task))
    known, asked = {}, []
    for method in _with_closed_forms(methods, task):
        settings = catalog.settings(method, task, head=head, elements=elements)
        label = catalog.label(method, head, start)
        why_not = _why_not(method, settings, task, known)
        if not why_not:
            known[settings] = label
        asked.append(Asked(label, settings, why_not))
    return asked


def _with_closed_forms(methods: Sequence[str], task: Task) -> tuple[str, ...]:
    """The methods asked for, and closed forms to compare them with: the usual ones, or, where some are asked
    for by name, those and the two that every figure is divided by. What needs an external vector that the
    data lack is left out unless it was asked for by name."""
    chosen = set(methods)
    if chosen == set(catalog.METHODS):
        chosen = set(catalog.with_vectors(methods, task))
    chosen |= (
        {"Last frame", "VAR ridge"}
        if chosen & set(catalog.CLOSED_FORMS)
        else set(catalog.with_vectors(catalog.YARDSTICKS, task))
    )
    return tuple(name for name in catalog.METHODS if name in chosen)


def _why_not(method: str, settings: Any, task: Task, known: dict[Any, str]) -> str:
    """Why a cell is not run, in one line; "" where it is."""
    if catalog.METHODS[method].needs_channels and task.systems[0].channels == 1:
        return "differs from another row only where nodes have several channels"
    if settings in known:
        return f"the same method as {known[settings]}"
    return (settings.refuse(task) or "") if isinstance(settings, ClosedForm) else ""

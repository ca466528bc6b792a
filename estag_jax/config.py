"""Frozen dataclass configs to and from plain dictionaries (standard library only).

The configs themselves stand beside what they configure: windows, splits and graphs in estag_jax.data,
one per model in estag_jax.nn, training and the whole run in estag_jax.training.settings.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

C = TypeVar("C")

TYPE_KEY = "type"


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as JSON-ready nested dictionaries, each with its class name under ``type``."""
    out: dict[str, Any] = {TYPE_KEY: type(config).__name__}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        out[field.name] = list(value) if isinstance(value, tuple) else value
    return out


def from_dict(kind: type[C], values: dict[str, Any]) -> C:
    """Rebuilds a config from :func:`to_dict`'s output; missing fields take their defaults.

    Args:
      kind: the dataclass expected.
      values: nested dictionaries.

    Returns:
      The validated config.

    Raises:
      ValueError: an unknown field or class name; names it and what is known.
    """
    hints = typing.get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]
    fields = {}
    for name, value in values.items():
        if name == TYPE_KEY:
            continue
        if name not in known:
            raise ValueError(f"{kind.__name__} has no field {name!r}; it has {', '.join(known)}")
        fields[name] = _field(hints[name], value)
    return kind(**fields)


def _field(hint: Any, value: Any) -> Any:
    options = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = list(typing.get_args(hint))
    nested = {o.__name__: o for o in options if dataclasses.is_dataclass(o)}
    if isinstance(value, dict) and nested:
        name = value.get(TYPE_KEY, next(iter(nested)))
        if name not in nested:
            raise ValueError(f"{name!r} is not one of {', '.join(nested)}")
        return from_dict(nested[name], value)
    if isinstance(value, list) and any(typing.get_origin(o) is tuple for o in options):
        return tuple(value)
    return value

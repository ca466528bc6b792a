"""Frozen dataclass configs: checked, to and from plain dictionaries (standard library only).

The configs themselves stand beside what they configure: windows, splits and graphs in estag_jax.data,
one per method in estag_jax.models, training in estag_jax.training.settings, the whole run in
estag_jax.runs.settings.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

C = TypeVar("C")

TYPE_KEY = "type"

hints_of = functools.cache(typing.get_type_hints)
"""The types of a class's fields by name; they take longer to evaluate than a small file to read."""

Head = Literal["residual", "softmax", "absolute", "last"]
"""The last step of a network (nn.heads); here, for a command offers it before it loads jax."""

Elements = Literal["one-hot", "number"]
"""How atoms enter a network (nn.config.NetworkConfig)."""


def check(
    config: Any,
    of: str,
    *,
    positive: Iterable[str] = (),
    seed_bits: int | None = None,
    only: Mapping[str, Iterable[str]] = types.MappingProxyType({}),
    **least: float,
) -> None:
    """Refuses values out of their range; None is never, and a Literal field holds one of its values.

    Args:
      config: the dataclass.
      of: what it sets, for the message.
      positive: fields that are finite and more than 0.
      seed_bits: the field ``seed`` is a natural number of so many bits.
      only: by field, the values of the field ``kind`` with which it has an effect.
      **least: by field, its smallest value; it is finite.

    Raises:
      ValueError: names the field, its value and what is expected.
    """

    def need(name: str, fits: Any, expected: str) -> None:
        if (value := getattr(config, name)) is not None and not fits(value):
            raise ValueError(f"{of} {name} is {value!r}, {expected}")

    for name, hint in hints_of(type(config)).items():
        if typing.get_origin(hint) is typing.Literal:
            known = typing.get_args(hint)
            need(name, known.__contains__, f"expected one of {', '.join(known)}")
    for name, kinds in only.items():
        if getattr(config, name) is not None and config.kind not in kinds:
            raise ValueError(f"{of} {name} has no effect with kind {config.kind!r}; leave it out")
    for name, low in least.items():
        need(name, lambda value, low=low: low <= value < math.inf, f"it must be {low} or more")
    for name in positive:
        need(name, lambda value: 0 < value < math.inf, "it must be positive and finite")
    if seed_bits:
        seeds = f"it must lie in 0 … 2^{seed_bits} - 1"
        need("seed", lambda value: 0 <= value < 2**seed_bits, seeds)


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
    hints = hints_of(kind)
    known = [field.name for field in dataclasses.fields(kind)]
    fields = {}
    for name, value in values.items():
        if name == TYPE_KEY:
            continue
        if name not in known:
            raise ValueError(f"{kind.__name__} has no field {name!r}; it has {', '.join(known)}")
        fields[name] = _field(hints[name], value)
        if not conforms(fields[name], hints[name]):
            expected = getattr(hints[name], "__name__", None) or str(hints[name])
            raise ValueError(f"{kind.__name__} {name} is {value!r}, expected {expected}")
    return kind(**fields)


def conforms(value: Any, hint: Any) -> bool:
    """Whether a value from a file is of the type that is expected; an int is a float, a bool no number."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(conforms(value, one) for one in args)
    if origin is Literal:
        return value in args
    if origin is dict:
        return isinstance(value, dict) and all(conforms(v, args[1]) for v in value.values())
    if origin in (list, tuple):
        same = origin is tuple and args[-1] is not ...
        if not isinstance(value, origin) or (same and len(value) != len(args)):
            return False
        return all(map(conforms, value, args if same else [args[0]] * len(value)))
    if typing.is_typeddict(hint):
        kinds = hints_of(hint)
        return (
            isinstance(value, dict)
            and hint.__required_keys__ <= value.keys()
            and all(conforms(value[key], kinds[key]) for key in kinds.keys() & value.keys())
        )
    if hint is Any:
        return True
    if hint in (int, float):
        return not isinstance(value, bool) and isinstance(value, (hint, int))
    return not isinstance(hint, type) or isinstance(value, hint)


def version_fault(found: Any, known: int) -> str:
    """Why a file of a format's version ``found`` is not read where ``known`` is; "" where it is."""
    if type(found) is int and found > known:
        return (
            f"was written by a newer estag_jax (format {found}, this one reads up to {known}); update "
            f"estag_jax"
        )
    if found != known or type(found) is not int:
        return f"has format {found!r}, this estag_jax reads {known}; use the version that wrote it"
    return ""


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

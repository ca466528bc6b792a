"""Names of earlier versions, which lead to those of now with a warning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any


def moved(module: str, names: dict[str, str], stacklevel: int = 2) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that knows what names of it are called now.

    Args:
      module: its name.
      names: from a name of earlier versions to that of now.
      stacklevel: calls from the function to the line that the warning is about.

    Returns:
      The function. It raises an AttributeError for other names, and a DeprecationWarning for these.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {names[name]}", DeprecationWarning, stacklevel)
        place, _, attribute = names[name].rpartition(".")
        return getattr(importlib.import_module(place), attribute)

    return get

"""The settings of methods as JSON, for the files of forecasters and for results."""

from __future__ import annotations

from typing import Any

import numpy as np

from estag_jax.config import from_dict, to_dict
from estag_jax.models import catalog
from estag_jax.models.base import ClosedForm, Method, NetworkPredictor, Predictor
from estag_jax.models.constrained import Constrained, ConstrainedPredictor
from estag_jax.models.limited import Limited, LimitedPredictor
from estag_jax.models.started import Started, StartedPredictor
from estag_jax.npz import part_of


def method_to_dict(method: Method) -> dict[str, Any]:
    """The settings of a method, JSON-ready; of one's own method its name."""
    if isinstance(method, Constrained):
        own = method_to_dict(method.method)
        return {"type": "Constrained", "method": own, "sweeps": method.sweeps}
    if isinstance(method, Limited):
        return {"type": "Limited", "method": method_to_dict(method.method)}
    if isinstance(method, Started):
        parts = {"network": method.network, "start": method.start}
        return {"type": "Started"} | {k: method_to_dict(part) for k, part in parts.items()}
    if type(method) in catalog.CONFIGS:
        return to_dict(method)
    inner = getattr(method, "module", method)
    return {"type": type(inner).__name__, "own": True}


def method_from_dict(saved: dict[str, Any], given: Any) -> Method:
    """The method whose settings :func:`method_to_dict` gave.

    Args:
      saved: its settings.
      given: one's own method, whose code is not in a file, or None.

    Raises:
      ValueError: it is one's own and not given, or not known.
    """
    if saved["type"] == "Constrained":
        return Constrained(method_from_dict(saved["method"], given), saved["sweeps"])
    if saved["type"] == "Limited":
        return Limited(method_from_dict(saved["method"], given))
    if saved["type"] == "Started":
        network = method_from_dict(saved["network"], given)
        return Started(network, method_from_dict(saved["start"], None))
    if given is not None:
        return catalog.as_method(given)
    if saved.get("own"):
        name = saved["type"]
        raise ValueError(
            f"holds {name}, which is not a method of estag_jax; give it: load(…, method={name}(…))"
        )
    for kind in catalog.CONFIGS:
        if kind.__name__ == saved["type"]:
            return from_dict(kind, saved)
    raise ValueError(f"no method has settings {saved['type']!r}")


def predictor_from_arrays(method: Any, arrays: dict[str, np.ndarray]) -> Predictor:
    """What a fit of a method gave, from the arrays of its file."""
    if isinstance(method, Constrained):
        return ConstrainedPredictor(predictor_from_arrays(method.method, arrays), method.sweeps)
    if isinstance(method, Limited):
        limits = part_of(arrays, "limits/")
        others = {name: a for name, a in arrays.items() if not name.startswith("limits/")}
        return LimitedPredictor(predictor_from_arrays(method.method, others), **limits)
    if isinstance(method, Started):
        return StartedPredictor.from_arrays(method, arrays)
    kind = method.predictor if isinstance(method, ClosedForm) else NetworkPredictor
    return kind.from_arrays(method, arrays)

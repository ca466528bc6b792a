"""Whether the weights of a network belong to its settings, and if not, which setting differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args

import jax

from estag_jax.config import hints_of
from estag_jax.data.system import System
from estag_jax.models.base import NetworkMethod, NetworkPredictor, network_inputs
from estag_jax.models.corrected import CorrectedPredictor
from estag_jax.models.started import StartedPredictor
from estag_jax.nn.config import NetworkConfig

Shapes = dict[str, tuple[int, ...]]
"""Shape of each array of a network by its path."""

MOST_LAYERS = 8
"""Of a number that is no array's size, such as that of layers, values up to this one are tried."""


def check_weights(method: Any, predictor: Any, system: System, past: int) -> None:
    """Compares the shapes of a network's weights with those that its settings give; computes nothing.

    Args:
      method: the settings.
      predictor: the weights; a closed form has none to compare.
      system: the nodes.
      past: T.

    Raises:
      ValueError: they differ; names the setting where a change of one alone explains it, else an array.
    """
    if isinstance(predictor, CorrectedPredictor):
        return check_weights(method.method, predictor.predictor, system, past)
    if isinstance(predictor, StartedPredictor):
        return check_weights(method.network, predictor.network, system, past)
    if not isinstance(predictor, NetworkPredictor):
        return None
    found = {name: leaf.shape for name, leaf in predictor.named_leaves()}
    expected = _shapes(method, system, past)
    if found == expected:
        return None
    for changed, name in _neighbours(method, found):
        try:
            explained = _shapes(changed, system, past) == found
        except (TypeError, ValueError):  # a combination that there is not
            continue
        if explained:
            own, other = getattr(method, name), getattr(changed, name)
            raise ValueError(f"{name} is {own} in the settings, {other} in the weights")
    name = min(name for name in expected | found if expected.get(name) != found.get(name))
    sides = (list(shapes[name]) if name in shapes else "absent" for shapes in (expected, found))
    raise ValueError("the array {} is {} by the settings, {} in the weights".format(name, *sides))


def _shapes(method: NetworkMethod, system: System, past: int) -> Shapes:
    features, graph = network_inputs(system, method.elements)
    history = jax.ShapeDtypeStruct((1, system.num_nodes, past, system.channels, 3), "float32")
    module = method.build()
    variables = jax.eval_shape(module.init, jax.random.key(0), history, features, graph)
    return {k: a.shape for k, a in NetworkPredictor(variables, module).named_leaves()}


def _neighbours(method: NetworkMethod, found: Shapes) -> Iterator[tuple[Any, str]]:
    """Settings that differ in one field, and its name."""
    if not isinstance(method, NetworkConfig):
        return
    sizes = {size for shape in found.values() for size in shape} | set(range(1, MOST_LAYERS + 1))
    hints = hints_of(type(method))
    for field in dataclasses.fields(method):
        own, kind = getattr(method, field.name), hints[field.name]
        values: Any = get_args(kind) if isinstance(own, str) else ()
        if isinstance(own, bool):
            values = [not own]
        elif isinstance(own, int):
            values = sorted(sizes)
        for value in values:
            if value == own:
                continue
            try:
                yield dataclasses.replace(method, **{field.name: value}), field.name
            except ValueError:
                continue

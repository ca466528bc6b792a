"""Forecasters as StableHLO, for programs that have jax or an XLA runtime and not this package."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import export as jax_export

from estag_jax.io import FileError, cause, read_json, write_atomic, write_json
from estag_jax.models import catalog
from estag_jax.models.forecaster import Forecaster
from estag_jax.npz import write_npz

FORMAT = "estag_jax export"

PLATFORMS = ("cpu", "cuda", "tpu")
"""What a program is lowered for, unless told otherwise."""

VALIDITY = (
    "jax.export guarantees that jax and jaxlib up to six months newer than the versions named here can "
    "run the programs (and three weeks older ones); later, export again"
)
LOAD = "jax.export.deserialize(pathlib.Path(FILE).read_bytes()).call(history)"


def export(
    forecaster: Forecaster,
    path: str | os.PathLike,
    *,
    dtype: Literal["float32", "float64"] = "float32",
    steps: int | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> dict[str, Any]:
    """Writes a forecaster as serialized StableHLO, its arrays as a plain .npz, and what they are as JSON.

    The weights are constants of the program, and so are external vectors of the system. The number of
    windows b is symbolic: history [b, N, T, C, 3] -> forecast [b, N, C, 3], and with ``steps`` a second
    program history -> frames [b, steps, N, C, 3]. External vectors that the predictor looks at and the
    system has not are a second argument {name: [b, 3]}.

    Args:
      forecaster: for float64 load it under ``jax.enable_x64(True)``, else its weights are rounded.
      path: the file of the program, "x.stablehlo", beside which lie x.json, x.npz and
        x_rollout.stablehlo; or a folder, for "forecast.stablehlo" in it.
      dtype: of histories and forecasts; calling a program of float64 needs jax_enable_x64.
      steps: frames of the second program; None for none.
      platforms: that the programs can run on.

    Returns:
      What the JSON file holds.

    Raises:
      ValueError: the method cannot be traced or lowered for a platform, or cannot be rolled out.
      FileError: a file cannot be written.
    """
    path = Path(path)
    path = path if path.suffix else path / "forecast.stablehlo"
    _check_place(path)
    system, past = forecaster.system, forecaster.past
    shape = (system.num_nodes, past, system.channels, 3)
    with jax.enable_x64(dtype == "float64"):
        cast = jax.tree.map(lambda leaf: _cast(leaf, dtype), forecaster)
        functions: dict[str, Callable] = {"forecast": cast.predict}
        if steps is not None:
            functions["rollout"] = lambda history, vectors=None: cast.rollout(
                history, steps, vectors=vectors
            )
        exported = {n: _lower(f, shape, dtype, platforms, cast) for n, f in functions.items()}
    files = {"forecast": path, "rollout": path.with_name(f"{path.stem}_rollout{path.suffix}")}
    about = {
        "format": FORMAT,
        "method": catalog.label(forecaster.method),
        "programs": {
            name: {
                "file": files[name].name,
                "history": ["b", *shape],
                "vectors": {vector: ["b", 3] for vector in _varying(forecaster)},
                "result": ["b", *map(int, program.out_avals[0].shape[1:])],
                "axes": "windows, frames ahead, nodes, channels, xyz"
                if name == "rollout"
                else "windows, nodes, channels, xyz",
            }
            for name, program in exported.items()
        },
        "axes of history": "windows, nodes, frames (oldest first), channels, xyz",
        "dtype": dtype,
        "length_unit": system.length_unit,
        "time_unit": forecaster.time_unit,
        "frame_step": forecaster.frame_step,
        "step between frames of history and result": forecaster.time_step,
        "steps from history to forecast": forecaster.horizon,
        "nodes": list(system.names),
        "atomic_numbers": None
        if system.atomic_numbers is None
        else np.asarray(system.atomic_numbers).tolist(),
        "platforms": list(platforms),
        "versions": {"jax": jax.__version__, "jaxlib": jaxlib.__version__},
        "calling convention": exported["forecast"].calling_convention_version,
        "written": datetime.date.today().isoformat(),
        "validity": VALIDITY,
        "load": LOAD,
        "arrays": path.with_suffix(".npz").name,
    }
    for name, program in exported.items():
        data = bytes(program.serialize())
        write_atomic(files[name], lambda partial, data=data: partial.write_bytes(data))
    write_npz(path.with_suffix(".npz"), forecaster.predictor.to_arrays())
    write_json(path.with_suffix(".json"), about)
    return about


def _check_place(path: Path) -> None:
    """Refuses names whose files are those of something else.

    Raises:
      FileError: names the file.
    """
    about = path.with_suffix(".json")
    if path.suffix in (".npz", ".json"):
        raise FileError(
            f"{path}: is the name of what lies beside the program; end it in .stablehlo"
        )
    try:
        earlier = read_json(about) if about.exists() else {}
    except FileError:
        earlier = {}
    if isinstance(earlier, dict) and earlier.get("format") == FORMAT:
        return
    for there in (path, about, path.with_suffix(".npz")):
        if there.exists():
            raise FileError(
                f"{there}: is there already and is not of an export; choose another --out"
            )


def _varying(forecaster: Forecaster) -> list[str]:
    """The external vectors that a forecast needs and the system does not have."""
    known = forecaster.system.vectors
    return [name for name in forecaster.predictor.vectors if name not in known]


def _cast(leaf: Any, dtype: str) -> jax.Array:
    leaf = jnp.asarray(leaf)
    return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _lower(
    function: Callable, shape: tuple[int, ...], dtype: str, platforms: Sequence[str], of: Forecaster
) -> jax_export.Exported:
    """A function of one window, lowered for any number of them."""
    windows = jax_export.symbolic_shape("b")
    like = [jax.ShapeDtypeStruct((*windows, *shape), dtype)]
    if vectors := _varying(of):
        like.append({name: jax.ShapeDtypeStruct((*windows, 3), dtype) for name in vectors})
    try:
        # Mapped over windows, so that a method meets no symbolic size.
        return jax_export.export(jax.jit(jax.vmap(function)), platforms=platforms)(*like)
    except (TypeError, ValueError, RuntimeError) as error:
        name, targets = catalog.label(of.method), ", ".join(platforms)
        raise ValueError(f"{name} cannot be exported for {targets}: {cause(error)}") from error

"""Exported programs, run by jax in a process that has no estag_jax, against the forecaster here."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import FULL, SPLIT, frames

from estag_jax.data.settings import WindowConfig
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.interop import export
from estag_jax.models.base import Predictor
from estag_jax.models.catalog import CLOSED_FORMS, METHODS, YARDSTICKS
from estag_jax.models.copies import LastFrame
from estag_jax.models.estag import EstagConfig
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.frame_kernel import FrameKernel
from estag_jax.runs.readers import load
from estag_jax.training.fit import fit
from estag_jax.training.settings import TrainConfig

pytestmark = pytest.mark.optimised

RUN = """
import json, sys, importlib.abc
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("estag_jax", "flax"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import jax, numpy as np
from jax import export
jax.config.update("jax_enable_x64", True)
for about in sys.argv[1:]:
    folder = about.rpartition("/")[0]
    about = json.load(open(about))
    for name, program in about["programs"].items():
        call = export.deserialize(bytearray(open(f"{folder}/{program['file']}", "rb").read())).call
        history = np.load(f"{folder}/history.npy").astype(about["dtype"])
        np.save(f"{folder}/{name}_{about['dtype']}.npy", call(history))
assert "estag_jax" not in sys.modules
"""


@pytest.fixture(scope="module")
def task():
    trajectory = Trajectory.from_arrays(
        frames(4),
        atomic_numbers=[8, 1, 1, 6],
        frame_step=0.5,
        time_unit="fs",
        vectors={"up": [0, 0.6, 0.8]},
    )
    return Task(trajectory, WindowConfig(past=6, delta=2), SPLIT, FULL)


@pytest.fixture(scope="module")
def histories(task):
    (windows,) = task.windows("test")
    return windows.history[:5]


QUICK = (*YARDSTICKS, "ESTAG")
SMALL = {"Frame kernel": FrameKernel(steps=(4, 2)), "ESTAG": EstagConfig(hidden=8, layers=1)}
REST = tuple(name for name in METHODS if name not in QUICK)


@pytest.fixture(scope="module")
def outside(request, task, histories, tmp_path_factory):
    """Methods of the catalog: saved, exported in both precisions, and run in another process."""
    root, abouts = tmp_path_factory.mktemp("exported"), []
    for name in request.param:
        folder = root / name
        method = SMALL.get(name, name)
        fit(method, task, train=TrainConfig(epochs=1)).forecaster.save(folder / "saved.npz")
        np.save(folder / "history.npy", histories)
        for dtype, steps in (("float32", None), ("float64", 3)):
            forecaster = loaded(folder, dtype)
            export(forecaster, folder / f"{dtype}.stablehlo", dtype=dtype, steps=steps)
            abouts.append(folder / f"{dtype}.json")
    subprocess.run([sys.executable, "-I", "-c", RUN, *map(str, abouts)], check=True)
    return root


def loaded(folder, dtype):
    with jax.enable_x64(dtype == "float64"):
        return load(folder / "saved.npz")


def computed(forecaster, function, history, dtype):
    """A function of the forecaster, all of whose numbers have a dtype."""
    with jax.enable_x64(dtype == "float64"):
        cast = jax.tree.map(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, forecaster)
        return np.asarray(jax.jit(function)(cast, jnp.asarray(history, dtype)))


def exported(names):
    """Some methods as parameters; those that take long are in a fixture of their own."""
    return pytest.mark.parametrize(
        ("outside", "name"),
        [
            (QUICK, n) if n in QUICK else pytest.param(REST, n, marks=pytest.mark.slow)
            for n in names
        ],
        indirect=["outside"],
        ids=names,
        scope="module",
    )


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-6), ("float64", 1e-12)])
@exported((*QUICK, *REST))
def test_forecasts_outside_are_those_here(name, dtype, bound, outside, histories):
    folder = outside / name
    forecaster = loaded(folder, dtype)
    expected = computed(forecaster, lambda f, h: f.predict(h), histories, dtype)
    found = np.load(folder / f"forecast_{dtype}.npy")
    assert found.dtype == dtype and found.shape == expected.shape == (5, 4, 1, 3)
    size = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * size)
    assert np.abs(found - histories[:, :, 0]).max() > 1e-3 or name == "First frame"
    if dtype == "float64":
        rolled = computed(forecaster, lambda f, h: f.rollout(h, 3), histories, dtype)
        path = np.load(folder / f"rollout_{dtype}.npy")
        np.testing.assert_allclose(path, np.moveaxis(rolled, 0, 1), rtol=0, atol=1e-10 * size)
        np.testing.assert_allclose(path[:, 0], found, rtol=0, atol=bound * size)


@pytest.mark.parametrize("outside", [QUICK], indirect=True, ids=["quick"], scope="module")
def test_what_is_beside_the_program(outside, task):
    about = json.loads((outside / "VAR ridge" / "float64.json").read_text())
    programs = about["programs"]
    assert programs["forecast"]["history"] == programs["rollout"]["history"] == ["b", 4, 6, 1, 3]
    assert programs["forecast"]["result"] == ["b", 4, 1, 3]
    assert programs["rollout"]["result"] == ["b", 3, 4, 1, 3]
    assert (about["frame_step"], about["time_unit"], about["length_unit"]) == (0.5, "fs", "Å")
    assert about["step between frames of history and result"] == 1.0
    assert about["nodes"] == ["O", "H", "H", "C"] and about["atomic_numbers"] == [8, 1, 1, 6]
    assert "six months" in about["validity"] and about["platforms"] == ["cpu", "cuda", "tpu"]
    arrays = np.load(outside / "VAR ridge" / about["arrays"], allow_pickle=False)
    # The weights are enough to forecast in numpy.
    (windows,) = task.windows("test")
    x = np.asarray(windows.history[0, :, :, 0], np.float64)  # [N, T, 3]
    last = x[:, -1]
    past = np.concatenate([x[:, :-1] - last[:, None], (last - last.mean(0))[:, None]], axis=1)
    expected = last + np.einsum("ijt,jtx->ix", arrays["weights"], past)
    found = np.load(outside / "VAR ridge" / "forecast_float64.npy")[0, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-10)


class Outside(Predictor):
    """Leaves jax, as a predictor of one's own may."""

    parameters = 0

    def predict(self, history, inputs):
        return np.asarray(history)[:, :, -1]


jax.tree_util.register_pytree_node(Outside, lambda p: ((), None), lambda _, leaves: Outside())


def test_what_cannot_be_traced_is_refused_in_one_line(task, tmp_path):
    forecaster = Forecaster.bind(Outside(), LastFrame(), task.trajectories[0], task.window)
    with pytest.raises(ValueError, match="cannot be exported for cpu: TracerArray") as raised:
        export(forecaster, tmp_path / "x", platforms=["cpu"])
    assert "\n" not in str(raised.value) and not (tmp_path / "x").exists()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@exported(CLOSED_FORMS)
def test_closed_forms_are_jitted_vmapped_and_differentiated(name, dtype, outside, histories):
    """From outside, through ``forecaster.predict``, with float64 on and off."""
    forecaster = loaded(outside / name, dtype)
    rng = np.random.default_rng(0)
    close = 1e-5 if dtype == "float32" else 1e-12
    with jax.enable_x64(dtype == "float64"):
        history = jnp.asarray(histories[:2], dtype)
        towards = jnp.asarray(rng.normal(size=history.shape), dtype)
        weights = jnp.asarray(rng.normal(size=(2, 4, 1, 3)), dtype)

        @jax.jit
        def everything(forecaster, history):
            predict = forecaster.predict
            slope = jax.grad(lambda h: (weights * predict(h)).sum())(history)
            along = jax.jvp(predict, (history,), (towards,))[1]
            return predict(history), jax.vmap(predict)(history), slope, along

        compiled, mapped, slope, along = everything(forecaster, history)
        plain = np.asarray(forecaster.predict(history))
        assert compiled.dtype == mapped.dtype == plain.dtype == dtype
        size = np.abs(plain).max()
        np.testing.assert_allclose(compiled, plain, rtol=0, atol=close * size)
        np.testing.assert_allclose(mapped, plain, rtol=0, atol=close * size)
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0
        both = jnp.vdot(slope, towards), jnp.vdot(weights, along)
        np.testing.assert_allclose(*both, rtol=1e3 * close, atol=1e3 * close)
        if dtype == "float64":
            ahead, back = (everything(forecaster, history + s * 1e-6 * towards)[0] for s in (1, -1))
            size = np.abs(along).max()
            np.testing.assert_allclose(along, (ahead - back) / 2e-6, rtol=0, atol=1e-5 * size)

"""siMLPe, held against its equations written as loops."""

import jax
import numpy as np
import pytest
import scipy.fft
from helpers.baselines import bind, make_data
from helpers.springs import QUICK, task, training

from estag_jax.models.simlpe import SiMlpeConfig
from estag_jax.testing import assert_equivariant
from estag_jax.training.fit import fit
from estag_jax.training.loop import Loop


def by_loops(params, x, layers):
    """The forecast of one window [N, T, C, 3], the transform by scipy."""
    nodes, past, channels, _ = x.shape
    centred = x - x[:, -1].mean(axis=(0, 1))
    rows = np.array([centred[:, t].reshape(-1) for t in range(past)])
    z = scipy.fft.dct(rows, axis=0, norm="ortho")
    z = z @ params["input"]["kernel"] + params["input"]["bias"]
    for i in range(layers):
        time, norm, mixed = params[f"time_{i}"], params[f"norm_{i}"], np.zeros_like(z)
        for out in range(past):
            mixed[out] = sum(time["kernel"][k, out] * z[k] for k in range(past)) + time["bias"][out]
        for k in range(past):
            row = mixed[k]
            unit = (row - row.mean()) / np.sqrt(row.var() + 1e-5)
            z[k] = z[k] + unit * norm["scale"] + norm["bias"]
    z = z @ params["output"]["kernel"] + params["output"]["bias"]
    y = scipy.fft.idct(z, axis=0, norm="ortho")
    return x[:, -1] + y[0].reshape(nodes, channels, 3)


@pytest.mark.parametrize(("nodes", "channels"), [(4, 1), (3, 2)])
def test_forecasts_are_the_equations(nodes, channels, x64):
    data = make_data(nodes, 7, channels, batch=3, dtype=np.float64)
    variables, predict = bind(SiMlpeConfig(layers=3).build(), *data)
    found = predict(*data)
    for window, frame in zip(data[0], found, strict=True):
        expected = by_loops(jax.tree.map(np.asarray, variables["params"]), window, 3)
        np.testing.assert_allclose(frame, expected, rtol=1e-9)
        assert np.abs(expected - window[:, -1]).max() > 0.1


def test_it_starts_at_the_last_frame_and_has_weights_for_all_coordinates():
    data = make_data(nodes=5, past=6)
    model = SiMlpeConfig().build()
    variables = jax.jit(model.init)(jax.random.key(0), *data)
    out = jax.jit(model.apply)(variables, *data)
    np.testing.assert_allclose(out, data[0][:, :, -1], atol=1e-4)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert count == 2 * (15 * 15 + 15) + 48 * (6 * 6 + 6 + 2 * 15)


def test_translations_alone_move_the_forecast_along():
    data = make_data()
    _, function = bind(SiMlpeConfig(layers=2).build(), *data)
    assert_equivariant(function, *data, kinds=("translation",), uses_edges=False)
    for kind in ("rotation", "reflection", "permutation"):
        with pytest.raises(AssertionError, match=f"^{kind}, near the origin"):
            assert_equivariant(function, *data, kinds=(kind,), uses_edges=False)


def test_several_systems_are_refused():
    with pytest.raises(ValueError, match="takes no padded graphs"):
        fit(SiMlpeConfig(), task((3, 4)), epochs=1)


@pytest.mark.parametrize(
    ("method", "given", "size"),
    [(SiMlpeConfig(layers=1), None, 3e-4), (SiMlpeConfig(layers=1), 0.1, 0.1), (QUICK, None, 5e-3)],
)
def test_its_step_size_is_the_published_one(method, given, size):
    """Adam's first update of a parameter is the step size, whatever the gradient."""
    loop = Loop("it", method, task(), [1], training(1, batch=23, learning_rate=given))
    before = jax.tree.map(np.asarray, loop.state.variables)
    loop.run([])
    steps = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, loop.state.variables)
    assert max(jax.tree.leaves(steps)) == pytest.approx(size, rel=0.01)

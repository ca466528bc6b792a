"""Functions over an axis of seeds."""

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.ops.sharding import over_seeds


def test_over_seeds_keeps_the_axis():
    double = over_seeds(lambda x, y: 2 * x + y, 1)
    np.testing.assert_array_equal(double(jnp.array([[1.0, 2.0]]), 1.0), [[3.0, 5.0]])
    np.testing.assert_array_equal(double(jnp.array([[1.0], [2.0]]), 1.0), [[3.0], [5.0]])


def test_seeds_one_after_the_other_are_seeds_together(monkeypatch):
    pairs = {"a": jnp.arange(3.0), "b": jnp.arange(6.0).reshape(3, 2)}

    def made():
        return over_seeds(lambda pair, z: pair["a"] + pair["b"].sum() + z, 1)

    expected = made()(pairs, 1.0)
    assert "scan" in str(jax.make_jaxpr(made())(pairs, 1.0))
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert "scan" not in str(jax.make_jaxpr(made())(pairs, 1.0))
    np.testing.assert_array_equal(made()(pairs, 1.0), expected)

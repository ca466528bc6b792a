"""Linear layers beside products of whole matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.nn.linear import WIDE, Linear


@pytest.mark.parametrize("features", [3, WIDE])
def test_values_and_gradients_are_those_of_a_product_and_a_bias(x64, features):
    rng = np.random.default_rng(0)
    x, slope = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, features))
    layer = Linear(features)
    params = layer.init(jax.random.key(0), x)["params"]
    assert {name: leaf.shape for name, leaf in params.items()} == {
        "kernel": (4, features),
        "bias": (features,),
    }
    out, back = jax.vjp(
        lambda params, x: layer.apply({"params": params}, x), params, jnp.asarray(x)
    )
    np.testing.assert_allclose(out, x @ params["kernel"] + params["bias"], atol=1e-13)
    found, of_x = back(jnp.asarray(slope))
    np.testing.assert_allclose(found["bias"], slope.sum((0, 1)), atol=1e-13)
    np.testing.assert_allclose(found["kernel"], np.einsum("bni,bno->io", x, slope), atol=1e-13)
    np.testing.assert_allclose(of_x, slope @ params["kernel"].T, atol=1e-13)

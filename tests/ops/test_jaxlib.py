"""Backends that compute wrongly: products followed by reductions, for many numbers of rows.

jaxlib 0.10.2 computes jit(vmap(matrix @ row, then reduce)) wrongly on CPU, silently, for some
numbers of rows (jax-ml/jax#39103: float64 from 16385 rows, float32 from 32769). Other forms of the same
are tried too, because the next such fault need not look like the last.
"""

import time

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

ROWS = (1, 2, 3, 7, 31, 64, 100, 4097, 16_384, 32_768)
MANY_ROWS = (16_385, 32_769, 40_000, 65_537)
PRODUCTS = {
    "square sum": (lambda m, r: jnp.sum((m @ r) ** 2), lambda y: (y**2).sum(-1)),
    "sum": (lambda m, r: (m @ r).sum(), lambda y: y.sum(-1)),
    "mean": (lambda m, r: jnp.mean(m @ r), lambda y: y.mean(-1)),
    "einsum": (lambda m, r: jnp.max(jnp.einsum("ij,j->i", m, r)), lambda y: y.max(-1)),
    "row first": (lambda m, r: jnp.sum(jnp.abs(r @ m.T)), lambda y: np.abs(y).sum(-1)),
}
DTYPES = {np.float32: 1e-5, np.float64: 1e-13}

# Found here: 0.10.1, which does compute the square sum of that issue, fails with these, in float32,
# with 2x3 and 3x3 matrices and 32769 to about 43500 rows. The fault is in the fusion of product and
# reduction by YNNPACK; XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= turns that off.
KNOWN_FAULT = pytest.mark.skipif(
    jaxlib.__version__ == "0.10.1",
    reason="known: jaxlib 0.10.1 fuses matrix @ row with a plain reduction wrongly; our models do "
    "not contain the pattern, which test_models_are_right_where_the_backend_is_known_to_fail checks",
)
KNOWN_FORMS, KNOWN_ROWS = ("sum", "mean", "einsum"), (32_769, 40_000)


def assert_backend_is_right(form, dtype, rows):
    function, truth = PRODUCTS[form]
    rng = np.random.default_rng(rows)
    matrix, x = rng.normal(size=(3, 3)).astype(dtype), rng.normal(size=(rows, 3)).astype(dtype)
    expected = truth(x.astype(float) @ matrix.T.astype(float))
    with jax.enable_x64(dtype == np.float64):
        y = np.asarray(jax.jit(jax.vmap(function, in_axes=(None, 0)))(matrix, x), float)
    wrong = np.flatnonzero(np.abs(y - expected) > DTYPES[dtype] * (1 + np.abs(expected)))
    assert wrong.size == 0, (
        f"jaxlib {jaxlib.__version__} computes wrong numbers on {jax.default_backend()} ({form}, "
        f"{wrong.size} of {rows} rows, from {wrong[:1]}; see jax-ml/jax#39103): use another version"
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", PRODUCTS)
def test_backend_reduces_products_correctly(form, dtype):
    for rows in ROWS:
        assert_backend_is_right(form, dtype, rows)


def _many(form, dtype, rows):
    known = dtype == np.float32 and form in KNOWN_FORMS and rows in KNOWN_ROWS
    name = f"{form}-{dtype.__name__}-{rows}"
    return pytest.param(form, dtype, rows, marks=KNOWN_FAULT if known else (), id=name)


@pytest.mark.parametrize(
    "form, dtype, rows", [_many(f, d, r) for f in PRODUCTS for d in DTYPES for r in MANY_ROWS]
)
def test_backend_reduces_many_products_correctly(form, dtype, rows):
    assert_backend_is_right(form, dtype, rows)


@pytest.mark.parametrize("rows", [1, 3, 64, 100, 16_385, 40_000])
def test_backend_reduces_products_of_batched_matrices_correctly(rows):
    rng = np.random.default_rng(rows)
    matrix = rng.normal(size=(rows, 3, 3)).astype(np.float32)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    y = np.einsum("nij,nj->ni", matrix, x, dtype=np.float64)
    total = jax.jit(jax.vmap(lambda m, r: (m @ r).sum()))
    np.testing.assert_allclose(total(matrix, x), y.sum(-1), rtol=1e-4, atol=1e-5)
    mean = jax.jit(lambda m, x: jax.vmap(lambda m, r: ((m @ r) ** 2).mean())(m, x).mean(axis=0))
    np.testing.assert_allclose(mean(matrix, x), (y**2).mean(), rtol=1e-4)


def _seconds(width):
    """The shortest of three runs of a scan that stacks 20,000 frames of so many numbers."""

    @jax.jit
    def stacked(x):
        return jax.lax.scan(lambda c, _: (jnp.sin(c), c), x, None, length=20_000)[1]

    def timed(x):
        began = time.perf_counter()
        stacked(x).block_until_ready()
        return time.perf_counter() - began

    x = jnp.ones(width)
    timed(x)  # compiles
    return min(timed(x) for _ in range(3))


def test_a_scan_that_stacks_small_frames_does_not_copy_all_of_them():
    # jax-ml/jax#40101: with 0.11.1 on CPU each step copies the whole buffer where a frame has fewer than 256
    # bytes, and this takes 130 times as long. Only the clock shows it: the compiled program reads the same.
    small, large = _seconds(9), _seconds(100)
    assert small < 20 * large, (
        f"jaxlib {jaxlib.__version__}: 9 numbers a step take {small:.3f} s, 100 take {large:.3f} s"
    )

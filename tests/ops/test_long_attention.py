"""Attention in blocks against the plain one: values and gradients in float64, and memory."""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.ops.attention import attend
from estag_jax.ops.long_attention import attend_in_blocks


def softmax_mean(query, key, values, causal):
    """In NumPy, one frame after another."""
    out = np.zeros(values.shape)
    past = query.shape[2]
    for t in range(past):
        seen = slice(0, t + 1 if causal else past)
        scores = np.einsum("bnh,bnsh->bns", query[:, :, t], key[:, :, seen])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        out[:, :, t] = np.einsum("bns,bnsv->bnv", weights, values[:, :, seen])
    return out


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("past, block", [(1, 4), (8, 4), (11, 4), (5, 8)])
def test_blocks_are_a_softmax(past, block, causal):
    rng = np.random.default_rng(past)
    # Scores of some hundred, of either sign: exponentials without the shift would be infinite or zero.
    query, key = 10 * rng.normal(size=(2, 2, 3, past, 5))
    values = rng.normal(size=(2, 3, past, 4))
    with jax.enable_x64(True):
        out = attend_in_blocks(query, key, values, causal, block)
        np.testing.assert_allclose(out, softmax_mean(query, key, values, causal), atol=1e-12)


@pytest.mark.parametrize("channels, causal", [(1, True), (4, True), (1, False)])
def test_gradients_are_those_of_the_plain_path(monkeypatch, channels, causal):
    module = importlib.import_module("estag_jax.ops.attention")
    rng = np.random.default_rng(0)
    query, key, value = rng.normal(size=(3, 2, 2, 70, 3))
    gate, x = rng.normal(size=(2, 2, 70, channels)), rng.normal(size=(2, 2, 70, channels, 3))

    def gradient():
        def loss(*given):
            out = attend(*given, causal)
            return sum(jnp.sum(jnp.sin(each)) for each in out), out

        function = jax.value_and_grad(loss, argnums=range(5), has_aux=True)
        return jax.jit(function)(query, key, value, gate, x)

    with jax.enable_x64(True):
        expected = gradient()
        monkeypatch.setattr(module, "BLOCKS_FROM", 1)
        found = gradient()
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11), found, expected)


def test_memory_is_linear_in_the_frames():
    def bytes_of(past):
        given = [jax.ShapeDtypeStruct((1, 2, past, 8), jnp.float32)] * 3

        def loss(*given):
            return jnp.sum(attend_in_blocks(*given, True, 16))

        lowered = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(*given)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    short, long = bytes_of(256), bytes_of(1024)
    assert short < long < 4.5 * short
    assert long < 2 * 1024 * 1024 * 4  # of the weights alone in the plain path

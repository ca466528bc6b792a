"""Single-frame networks, ST_GMN and ST_GNN: symmetries or their proven absence, heads, bad input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.baselines import EQUIVARIANT, MODELS, bind, make_data, with_head

from estag_jax.graph import Graph
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.st_gnn import StGnnConfig
from estag_jax.testing import assert_equivariant

HEADS = ("residual", "softmax", "absolute", "last")
every_model = pytest.mark.parametrize("name", MODELS)


# Symmetry: what holds, and that what does not hold is not claimed.


@pytest.mark.parametrize(
    "channels, dtype",
    [(1, np.float64), (4, np.float64), (1, np.float32)],
    ids=["C=1, float64", "C=4, float64", "C=1, float32"],
)
@pytest.mark.parametrize("name", EQUIVARIANT)
def test_equivariant(name, channels, dtype):
    with jax.enable_x64(dtype == np.float64):
        data = make_data(channels=channels, dtype=dtype)
        _, function = bind(MODELS[name], *data)
        assert_equivariant(function, *data, uses_past=name != "egnn-last")


@pytest.mark.parametrize("head", ["residual", "softmax", "last"])
def test_single_frame_is_equivariant_with_every_head(head):
    with jax.enable_x64(True):
        data = make_data(dtype=np.float64)
        _, function = bind(with_head(MODELS["egnn-last"], head), *data)
        assert_equivariant(function, *data, uses_past=head != "last")


@pytest.mark.parametrize("head", HEADS)
def test_gnn_is_not_equivariant(head):
    data = make_data()
    _, function = bind(with_head(MODELS["gnn"], head), *data)
    # Frame by frame, only two heads look at other frames.
    uses_past = head in ("residual", "softmax")
    for kind in ("rotation", "reflection", "translation"):
        with pytest.raises(AssertionError, match=f"^{kind}, near the origin"):
            assert_equivariant(function, *data, kinds=(kind,), uses_past=uses_past)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gnn_is_permutation_equivariant(dtype):
    with jax.enable_x64(dtype == np.float64):
        data = make_data(channels=2, dtype=dtype)
        _, function = bind(MODELS["gnn"], *data)
        assert_equivariant(function, *data, kinds=("permutation",))


@pytest.mark.parametrize("frame, seen", [("first", 0), ("middle", 4), ("last", 9)])
def test_only_the_named_frame_is_seen(frame, seen):
    history, features, graph = make_data(past=10)
    _, function = bind(MODELS[f"egnn-{frame}"], history, features, graph)
    jacobian = jax.jacobian(lambda x: function(x, features, graph)[0])(jnp.asarray(history))
    depends = np.abs(jacobian).max(axis=(0, 1, 2, 3, 4, 6, 7)) > 0
    np.testing.assert_array_equal(depends, np.arange(10) == seen)
    still = EgnnConfig(frame=frame, layers=0).build()
    copied = bind(still, history, features, graph)[1](history, features, graph)
    np.testing.assert_allclose(copied, history[:, :, seen], atol=1e-6)


# Degenerate systems.


@every_model
def test_output_and_gradients_are_finite(name):
    history, features, graph = make_data(channels=2)

    def check(histories, features, graph):
        variables, _ = bind(MODELS[name], histories[0], features, graph)

        @jax.jit
        @partial(jax.grad, argnums=(0, 1), has_aux=True)
        def gradients(params, history):
            out = MODELS[name].apply(variables | {"params": params}, history, features, graph)
            return jnp.sum(out**2), out

        for history in histories:
            gradient, out = gradients(variables["params"], history)
            assert out.shape == (*history.shape[:2], 2, 3) and out.dtype == history.dtype
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, out)))

    coinciding = np.repeat(history[:, :1], 5, axis=1)
    still = np.repeat(history[:, :, :1], 6, axis=2)
    check([coinciding, still, 0 * history], features, graph)
    check([history], features[..., :0], Graph([], [], 5, np.zeros((0, 1), np.float32)))
    check([history[:, :1]], features[:, :1], Graph([], [], 1))


@every_model
def test_float64_stays_float64(name):
    with jax.enable_x64(True):
        data = make_data(dtype=np.float64)
        variables = jax.eval_shape(MODELS[name].init, jax.random.key(0), *data)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float64")}
        assert bind(MODELS[name], *data)[1](*data).dtype == np.float64


# Heads: y is what the network puts out, read from the heads that pass it on.


@pytest.mark.parametrize("name", ["egnn-middle", "gnn"])
def test_every_head_ends_as_heads_say(name):
    with jax.enable_x64(True):
        data = make_data(channels=2, dtype=np.float64)
        x = data[0]
        variables, _ = bind(with_head(MODELS[name], "absolute"), *data)
        weights, logits = np.linspace(-0.4, 0.7, 5), np.linspace(-1, 1, 6)
        pooling = {"residual": {"weights": weights}, "softmax": {"logits": logits}}

        def predict(head):
            own = {"pooling": pooling[head]} if head in pooling else {}
            state = variables | {"params": variables["params"] | own}
            return np.asarray(jax.jit(with_head(MODELS[name], head).apply)(state, *data))

        y = predict("last") - x[:, :, -1]
        absolute = x[:, :, 2] + y if name == "egnn-middle" else y
        np.testing.assert_allclose(predict("absolute"), absolute, atol=1e-12)
        past = np.einsum("t,bntcx->bncx", weights, x[:, :, :-1] - x[:, :, -1:])
        share = np.exp(logits) / np.exp(logits).sum()
        mean = np.einsum("t,bntcx->bncx", share, x)
        if name == "gnn":  # it has an output for every frame; y is the last one's
            assert np.abs(predict("softmax") - (mean + y)).max() > 1e-3
            assert np.abs(predict("residual") - (x[:, :, -1] + y + past)).max() > 1e-3
        else:
            np.testing.assert_allclose(predict("residual"), x[:, :, -1] + y + past, atol=1e-12)
            np.testing.assert_allclose(predict("softmax"), mean + y, atol=1e-12)


def test_gnn_combines_the_outputs_of_all_frames():
    with jax.enable_x64(True):
        history, features, graph = make_data(dtype=np.float64)
        gnn = {head: with_head(MODELS["gnn"], head) for head in HEADS}
        variables, _ = bind(gnn["absolute"], history, features, graph)
        params = variables["params"]
        apply = {head: jax.jit(gnn[head].apply) for head in HEADS}
        numbers = []  # with the window rolled, each frame (and its time embedding) is the last once
        for t in range(6):
            time = np.roll(params["time"], 5 - t, axis=0)
            rolled = {"params": params | {"time": time}}
            x = np.roll(history, 5 - t, axis=2)
            numbers.append(apply["absolute"](rolled, x, features, graph))
        z, logits = np.stack(numbers, axis=2), np.linspace(-1, 1, 6)
        share, weights = np.exp(logits) / np.exp(logits).sum(), np.linspace(-0.5, 0.5, 5)
        state = {"params": params | {"pooling": {"logits": logits}}}
        out = apply["softmax"](state, history, features, graph)
        np.testing.assert_allclose(out, np.einsum("t,bntcx->bncx", share, z), atol=1e-12)
        state = {"params": params | {"pooling": {"weights": weights}}}
        out = apply["residual"](state, history, features, graph)
        z = history + z
        past = z[:, :, :-1] - z[:, :, -1:]
        expected = z[:, :, -1] + np.einsum("t,bntcx->bncx", weights, past)
        np.testing.assert_allclose(out, expected, atol=1e-12)


# Bad input.


def test_impossible_configurations():
    with pytest.raises(ValueError, match="frame is 'next'"):
        EgnnConfig(frame="next")
    for name in ("edft_filter", "edge_features", "aggregate"):
        with pytest.raises(ValueError, match=f"{name} is 'max', expected one of"):
            EstagConfig(**{name: "max"})
    for config in (EstagConfig, StEgnnConfig, EgnnConfig, StGnnConfig):
        with pytest.raises(ValueError, match="hidden=0"):
            config(hidden=0)
        with pytest.raises(ValueError, match="layers=-1"):
            config(layers=-1)
        with pytest.raises(ValueError, match="head is 'first', expected one of residual"):
            config(head="first")


def test_a_channel_that_is_not_there():
    data, model = make_data(channels=2), EstagConfig(edft_channel=2).build()
    with pytest.raises(ValueError, match=r"edft_channel=2, but the history has 2 channel\(s\)"):
        jax.eval_shape(model.init, jax.random.key(0), *data)

"""ST_TFN and ST_SE(3)-Transformer: symmetries, precision, degenerate systems, heads."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import assert_systems_independent
from helpers.tfn import random_variables, window

from estag_jax.graph import Graph
from estag_jax.models.st_se3_transformer import StSe3TransformerConfig
from estag_jax.models.st_tfn import StTfnConfig
from estag_jax.nn.tensor_field import edge_geometry
from estag_jax.ops.segment import sum_at_receivers
from estag_jax.testing import (
    assert_equivariant,
    assert_padding_invariant,
    assert_windows_independent,
)

CONFIGS = {"st_tfn": StTfnConfig, "st_se3": StSe3TransformerConfig}
MODELS = pytest.mark.parametrize("name", CONFIGS)
SMALL = dict(hidden=6, radial=5)


def make(name, **options):
    return CONFIGS[name](**SMALL | options).build()


def bind(model, *data, scale=0.5):
    return jax.jit(partial(model.apply, random_variables(model, *data, scale=scale)))


OPTIONS = [
    dict(radial_weights="matrix"),
    dict(radial_weights="channel", velocity=True),
    dict(degree=3, channels=4, velocity=True, radial_weights="channel"),
    dict(degree=1, channels=2, head="residual"),
    dict(layers=1, activation="leaky_relu", edge_width=0),
]


def case(options, dtype):
    options = dict(options)
    sizes = {k: options.pop(k) for k in ("channels", "edge_width") if k in options}
    return window(dtype=dtype, **sizes), options


@MODELS
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equivariant_in_float64(x64, name, options):
    data, options = case(options, np.float64)
    assert_equivariant(bind(make(name, **options), *data, scale=1.0), *data)


@MODELS
@pytest.mark.parametrize("options", OPTIONS[2:3], ids=str)
def test_equivariant_in_float32(name, options):
    data, options = case(options, np.float32)
    assert_equivariant(bind(make(name, **options), *data, scale=1.0), *data)


def test_attention_heads_are_equivariant(x64):
    data = window(dtype=np.float64)
    model = StSe3TransformerConfig(hidden=8, attention_heads=4).build()
    assert_equivariant(bind(model, *data, scale=1.0), *data)


def with_axial_path(x, graph, degree):
    """The original SE(3) networks' path 1 x 1 -> 1, a cross product, in place of 1 x 2 -> 1."""
    edges = edge_geometry(x, graph, degree)
    vector = edges.basis[0, 1, 1][..., 0, :]
    cross = jnp.cross(vector[..., None, :], jnp.eye(3, dtype=x.dtype))
    return edges._replace(basis=dict(edges.basis) | {(1, 2, 1): cross})


@MODELS
def test_the_cross_product_of_the_original_is_not_a_reflection(x64, name, monkeypatch):
    monkeypatch.setattr("estag_jax.nn.tensor_field_ends.edge_geometry", with_axial_path)
    data = window(dtype=np.float64)
    bound = bind(make(name), *data, scale=1.0)
    assert_equivariant(bound, *data, kinds=("rotation", "translation", "permutation"))
    with pytest.raises(AssertionError, match="^reflection"):
        assert_equivariant(bound, *data, kinds=("reflection",))


def dots(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")
        ):
            if hasattr(value, "jaxpr"):
                value = value.jaxpr
            if hasattr(value, "eqns"):
                yield from dots(value)


@MODELS
def test_every_product_is_at_highest_precision(name):
    data = window(channels=2)
    model = make(name, velocity=True, degree=3)
    variables = random_variables(model, *data)

    def loss(variables, history):
        return jnp.sum(model.apply(variables, history, *data[1:]) ** 2)

    jaxpr = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(variables, data[0]).jaxpr
    found = [equation.params["precision"] for equation in dots(jaxpr)]
    assert len(found) > 50
    highest = jax.lax.Precision.HIGHEST
    assert all(p in (highest, (highest, highest)) for p in found)


def degenerate(what):
    history, features, graph = window()
    if what == "coinciding":
        history = history.copy()
        history[:, 1], history[:, 2:] = history[:, 0], history[:, 2:3]
    if what == "one place":
        history = np.zeros_like(history)
    if what == "no edges":
        graph = Graph([], [], 5)
    if what == "one node":
        history, features, graph = history[:, :1], features[:, :1], Graph([], [], 1)
    return history, features, graph


@MODELS
@pytest.mark.parametrize("what", ["generic", "coinciding", "one place", "no edges", "one node"])
def test_output_and_gradients_are_finite(name, what):
    history, features, graph = degenerate(what)
    model = make(name, velocity=True, layers=2)
    variables = random_variables(model, history, features, graph)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1))
    def loss(variables, history):
        out = model.apply(variables, history, features, graph)
        return jnp.sum((out - 1) ** 2)

    value, gradients = loss(variables, history)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    if what == "generic":
        assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(gradients[0]))


@MODELS
def test_without_neighbours_or_vectors_only_the_pooling_is_left(name):
    history, features, _ = window()
    model, graph = make(name), Graph([], [], 5)
    variables = random_variables(model, history, features, graph)
    theta = variables["params"]["outputs"]["pooling"]["logits"]
    weights = np.exp(theta) / np.exp(theta).sum()
    expected = np.einsum("t,bntcx->bncx", weights, history)
    actual = jax.jit(model.apply)(variables, history, features, graph)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@MODELS
@pytest.mark.parametrize("head", ["residual", "softmax", "absolute", "last"])
def test_heads(name, head):
    history, features, graph = window()
    model = make(name, head=head)
    variables = random_variables(model, history, features, graph)
    params, apply = variables["params"], jax.jit(model.apply)
    # With the factor at zero, the moved frames are the frames.
    params["outputs"]["factor"] = np.zeros((), np.float32)
    still = apply(variables, history, features, graph)
    last = history[:, :, -1]
    pooling = params["outputs"].get("pooling", {})
    if head == "residual":
        offsets = history[:, :, :-1] - last[:, :, None]
        expected = last + np.einsum("t,bntcx->bncx", pooling["weights"], offsets)
    elif head == "softmax":
        weights = np.exp(pooling["logits"])
        expected = np.einsum("t,bntcx->bncx", weights / weights.sum(), history)
    else:
        expected = last
    np.testing.assert_allclose(still, expected, atol=1e-6)
    params["outputs"]["factor"] = np.ones((), np.float32)
    moved = apply(variables, history, features, graph)
    assert np.abs(moved - still).max() > 1e-2


@MODELS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_padding_and_other_windows_change_nothing(name, dtype):
    with jax.enable_x64(dtype == np.float64):
        data = window(channels=2, dtype=dtype, batch=3)
        function = bind(make(name, velocity=True), *data, scale=1.0)
        assert_padding_invariant(function, *data)
        # Weights of size 1 amplify rounding: float32 differs from float64 by 0.5e-6 to 3.5e-6.
        assert_windows_independent(function, *data, rtol=4e-6 if dtype == np.float32 else None)


@MODELS
def test_padding_shows_where_masks_are_ignored(name, monkeypatch):
    def over_the_mean_degree(edges, graph):
        return sum_at_receivers(edges, graph) * graph.num_nodes / graph.num_edges

    monkeypatch.setattr("estag_jax.nn.tensor_field.mean_at_receivers", over_the_mean_degree)
    data = window()
    function = bind(make(name), *data, scale=1.0)
    with pytest.raises(AssertionError, match="^with padding"):
        assert_padding_invariant(function, *data)


@MODELS
def test_two_systems_in_one_batch(x64, name):
    systems = [window(nodes, dtype=np.float64, seed=nodes) for nodes in (6, 4)]
    model = make(name, layers=2)
    variables = random_variables(model, *systems[0])
    assert_systems_independent(model, variables, *systems)


@pytest.mark.parametrize(
    "options", [dict(layers=0), dict(degree=0), dict(hidden=1), dict(radial=0)], ids=str
)
@MODELS
def test_wrong_sizes_are_refused(name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}={next(iter(options.values()))}"):
        CONFIGS[name](**options)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="attention_heads=3 does not divide the 8 channels"):
        StSe3TransformerConfig(attention_heads=3)

"""Every operation, module and model under all symmetries, over drawn sizes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.equivariance import (
    EDGE_INVARIANTS,
    NODE_INVARIANTS,
    POSITIONS,
    VECTORS,
    Case,
    cases,
    few,
    hidden_features,
)
from hypothesis import given
from hypothesis import strategies as st

from estag_jax.models.estag import EDFTFeatures, EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.messages import SpatialModule
from estag_jax.nn.temporal import TemporalModule
from estag_jax.testing import (
    assert_equivariant,
    assert_invariant,
    random_window,
)

pytestmark = pytest.mark.usefixtures("_x64_does_not_leak")


@pytest.mark.parametrize("name", [*VECTORS, *POSITIONS])
@few(5)
@given(case=cases(frames=2))
def test_operations_turn_with_their_input(name, case):
    function, output = VECTORS.get(name), "vectors"
    if function is None:
        function, output = POSITIONS[name], "positions"
    with case.data() as data:
        assert_equivariant(
            jax.jit(function),
            *data,
            output=output,
            kinds=case.kinds,
            uses_edges="receivers" in name,
        )


@pytest.mark.parametrize("name", [*NODE_INVARIANTS, *EDGE_INVARIANTS])
@few(5)
@given(
    case=cases(frames=4)
)  # with three, both frequencies have the same power: nothing to normalize
def test_operations_are_invariant(name, case):
    function, over = NODE_INVARIANTS.get(name), "nodes"
    if function is None:
        function, over = EDGE_INVARIANTS[name], "edges"
    options = dict(over=over, kinds=case.kinds, uses_edges=over == "edges")
    with case.data() as data:
        assert_invariant(jax.jit(function), *data, **options)


def edges(graph):
    return () if graph.edge_features is None else (graph.edge_features,)


@few(6)
@given(case=cases(), aggregate=st.sampled_from(["sum", "mean"]), unit=st.booleans())
def test_spatial_module(case, aggregate, unit):
    with case.data() as (history, features, graph):
        h = hidden_features(jnp.asarray(features), case.frames, case.hidden)
        model = SpatialModule(case.hidden, aggregate=aggregate, unit_vectors=unit)
        bound = case.bind(model, h, history, graph, edges(graph), features)

        def apply(x, f, g):
            return bound(hidden_features(f, case.frames, case.hidden), x, g, edges(g), f)

        data = history, features, graph
        assert_equivariant(lambda *a: apply(*a)[1], *data, kinds=case.kinds)
        assert_invariant(lambda *a: apply(*a)[0], *data, kinds=case.kinds)


@few(6)
@given(case=cases(frames=2), activate=st.booleans(), flip=st.booleans())
def test_temporal_module(case, activate, flip):
    with case.data() as (history, features, graph):
        h = hidden_features(jnp.asarray(features), case.frames, case.hidden)
        model = TemporalModule(case.hidden, activate_qkv=activate, flip_difference=flip)
        bound = case.bind(model, h, history)

        def positions(x, f, g):
            return bound(hidden_features(f, case.frames, case.hidden), x)[1]

        options = dict(kinds=case.kinds, uses_edges=False)
        assert_equivariant(positions, history, features, graph, **options)
        elsewhere = jnp.asarray(history)[:, ::-1] + 1
        np.testing.assert_array_equal(bound(h, history)[0], bound(h, elsewhere)[0])


def last_dependent_frame(function, inputs):
    """For every frame of the output, the last frame of the input that changes it."""
    plain, last = function(inputs), np.zeros(inputs.shape[2], int)
    for s in range(inputs.shape[2]):
        changed = np.abs(function(inputs.at[:, :, s].add(1.0)) - plain).max(axis=(0, 1, 3)) > 1e-6
        last[changed] = s
    return last


@pytest.mark.parametrize("causal", [True, False])
def test_temporal_module_sees_the_past_alone(causal):
    case = Case(3, 3, 0, 5, 2, 1, 4, 0, False)
    history, features = random_window(3, case.nodes, case.frames, channels=case.channels)
    h = hidden_features(jnp.asarray(features), case.frames, case.hidden)
    bound = case.bind(TemporalModule(case.hidden, causal=causal), h, history)
    end = np.arange(5) if causal else np.full(5, 4)
    np.testing.assert_array_equal(last_dependent_frame(lambda h: bound(h, history)[0], h), end)
    flat = jnp.asarray(history).reshape(1, 3, 5, -1)
    frames = last_dependent_frame(
        lambda x: bound(h, x.reshape(history.shape))[1].reshape(flat.shape), flat
    )
    np.testing.assert_array_equal(frames, end)


@few(5)
@given(case=cases(frames=4), released=st.booleans())
def test_edft_features(case, released):
    as_released = dict(edft_filter="frame", edft_complex_square=True, edft_normalize=1e-9)
    model = EDFTFeatures(EstagConfig(edft_channel=0, **as_released if released else {}))
    with case.data() as (history, features, graph):
        h = hidden_features(jnp.asarray(features), case.frames, case.hidden)
        bound = case.bind(model, history, h[:, :, 0], h, graph)

        def apply(x, f, g):
            h = hidden_features(f, case.frames, case.hidden)
            return bound(x, h[:, :, 0], h, g)

        data, kinds = (history, features, graph), case.kinds
        assert_invariant(lambda *a: apply(*a)[0], *data, over="edges", kinds=kinds)
        assert_invariant(lambda *a: apply(*a)[1], *data, kinds=kinds, uses_edges=False)


@pytest.mark.parametrize("head", ["residual", "softmax"])
@few(4)
@given(case=cases(frames=2))
def test_temporal_pooling(head, case):
    with case.data() as (history, features, graph):
        bound = case.bind(TemporalPooling(head), history)
        data = history, features, graph
        assert_equivariant(lambda x, f, g: bound(x), *data, kinds=case.kinds, uses_edges=False)


def check_model(config, case):
    with case.data() as data:
        bound = case.bind(config.build(), *data)
        assert_equivariant(bound, *data, kinds=case.kinds, uses_edges=case.layers > 0)


@few(9)
@given(case=cases(layers=0))
def test_estag(case):
    check_model(EstagConfig(hidden=case.hidden, layers=case.layers), case)


@few(7)
@given(case=cases(layers=0, channels=(1, 4)))
def test_estag_as_released(case):
    sizes = dict(hidden=case.hidden, layers=case.layers)
    check_model(EstagConfig.released(case.channels, **sizes), case)


DEPARTURES = (
    dict(activation="leaky_relu"),
    dict(head="softmax"),
    dict(edft=False),
    dict(edft_nodes=False),
    dict(edft_edges=False),
    dict(attention=False),
    dict(causal=False),
    dict(edft_channel=0),
    dict(edft_filter="frame"),
    dict(edft_complex_square=True),
    dict(edft_normalize=1e-6),
    dict(edge_features="replace"),
    dict(aggregate="mean"),
    dict(unit_vectors=True),
    dict(clamp=100.0),
    dict(activate_qkv=True),
    dict(flip_time_difference=True),
    dict(edges_at_once=3),
)


def test_every_option_of_estag_is_tested():
    options = {field.name for field in dataclasses.fields(EstagConfig)} - {
        "hidden",
        "layers",
        "elements",
        "bfloat16_features",  # has wider bounds: test_bfloat16.py
        "equivariant",  # test_variants.py
        "turn_in_training",
    }
    assert options == {name for departure in DEPARTURES for name in departure}


@pytest.mark.parametrize("departure", DEPARTURES, ids=lambda d: "-".join(map(str, *d.items())))
@few(3)
@given(data=st.data())
def test_estag_with_one_option_changed(departure, data):
    # One frame alone moves too little for some of the drawn parameters.
    channels = (2, 4) if "edft_channel" in departure else (1, 2, 4)
    case = data.draw(cases(channels=channels, frames=2))
    check_model(EstagConfig(hidden=case.hidden, layers=1, **departure), case)


@few(7)
@given(case=cases(), head=st.sampled_from(["residual", "softmax"]))
def test_st_egnn(case, head):
    check_model(StEgnnConfig(hidden=case.hidden, layers=case.layers, head=head), case)

"""Every operation, module and model under all symmetries, over drawn sizes; that this can fail."""

import contextlib
import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.nn.egnn import StEgnn, StEgnnConfig
from estag_jax.nn.estag import ESTAG, EDFTFeatures, EstagConfig
from estag_jax.nn.heads import TemporalPooling
from estag_jax.nn.layers import SpatialModule, TemporalModule
from estag_jax.ops.attention import attend_coordinates, attention_weights
from estag_jax.ops.edft import edft, edge_coherence, node_power, normalize_over_frequencies
from estag_jax.ops.geometry import centre, gram, safe_normalize
from estag_jax.ops.pooling import residual_pooling, softmax_pooling
from estag_jax.ops.segment import at_receivers, at_senders, mean_at_receivers, sum_at_receivers
from estag_jax.testing import (
    KINDS,
    assert_equivariant,
    assert_invariant,
    random_symmetry,
    random_topology,
    random_window,
    randomize,
)
from estag_jax.types import Topology


def few(examples):
    # Derandomized: the same examples on every machine. Hypothesis always takes the simplest first.
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of one random graph with its window."""

    seed: int
    nodes: int
    isolated: int
    frames: int
    channels: int
    layers: int
    hidden: int
    edge_width: int
    x64: bool

    @contextlib.contextmanager
    def data(self):
        """History, node features and graph, within the x64 mode that they need."""
        rng = np.random.default_rng(self.seed)
        graph = random_topology(rng, self.nodes, edge_width=self.edge_width, isolated=self.isolated)
        dtype = np.float64 if self.x64 else np.float32
        with jax.enable_x64(self.x64):
            yield (
                *random_window(rng, self.nodes, self.frames, channels=self.channels, dtype=dtype),
                graph,
            )

    @property
    def kinds(self):
        # Up to three points lie in a plane, where a reflection is a rotation and tests nothing new.
        spatial = self.nodes * self.frames * self.channels > 3
        return tuple(kind for kind in KINDS if spatial or kind != "reflection")

    def bind(self, model, *arguments):
        """The compiled model with random parameters."""
        shapes = jax.eval_shape(model.init, jax.random.key(0), *arguments)
        return jax.jit(partial(model.apply, randomize(shapes, self.seed)))


@st.composite
def cases(draw, channels=(1, 2, 4), frames=1, layers=1):
    nodes, layers = draw(st.integers(2, 7)), draw(st.integers(layers, 2))
    return Case(
        seed=draw(st.integers(0, 2**31)),
        nodes=nodes,
        isolated=draw(st.integers(0, min(2, nodes - 2))),
        # Without layers a single frame can only be repeated.
        frames=draw(st.integers(max(frames, 1 if layers else 2), 6)),
        channels=draw(st.sampled_from(channels)),
        layers=layers,
        hidden=draw(st.integers(1, 8)),
        edge_width=draw(st.sampled_from([0, 2])),
        x64=draw(st.booleans()),
    )


def hidden_features(features, frames, width):
    """Some invariants [N, T, H] that differ by node and frame."""
    wave = jnp.arange(1, frames * width + 1, dtype=features.dtype).reshape(frames, width)
    return jnp.cos(features[:, :1, None] * wave + features[:, 1:, None])


def relative(history, graph):
    return at_receivers(history, graph) - at_senders(history, graph)


def attended(history, features):
    h = hidden_features(features, history.shape[1], 3)
    gate = jnp.repeat(h[..., :1], history.shape[2], axis=-1)
    return attend_coordinates(attention_weights(h, jnp.sin(h)), gate, history)


def weights(history, size):
    return jnp.cos(jnp.arange(size, dtype=history.dtype))


VECTORS = {
    "edft": lambda x, f, g: edft(x[:, :, 0]),
    "attend_coordinates": lambda x, f, g: attended(x, f),
    "sum_at_receivers": lambda x, f, g: sum_at_receivers(relative(x, g), g),
    "mean_at_receivers": lambda x, f, g: mean_at_receivers(relative(x, g), g),
}
POSITIONS = {
    "residual_pooling": lambda x, f, g: residual_pooling(x, weights(x, x.shape[1] - 1)),
    "softmax_pooling": lambda x, f, g: softmax_pooling(x, weights(x, x.shape[1])),
}
NODE_INVARIANTS = {
    "node_power": lambda x, f, g: node_power(edft(x[:, :, 0])),
    "node_power, complex": lambda x, f, g: node_power(edft(x[:, :, 0]), complex_square=True),
    "normalized": lambda x, f, g: normalize_over_frequencies(node_power(edft(x[:, :, 0])), 1e-6),
    "distance from centre": lambda x, f, g: gram(x - centre(x), normalize=False),
}
EDGE_INVARIANTS = {
    "edge_coherence": lambda x, f, g: edge_coherence(edft(x[:, :, 0]), g),
    "gram": lambda x, f, g: gram(relative(x, g), normalize=False),
    "normalized gram": lambda x, f, g: gram(relative(x, g), normalize=x.shape[2] > 1),
    "angle": lambda x, f, g: gram(safe_normalize(relative(x, g))[:, ::-1] + relative(x, g), False),
}


@pytest.fixture(autouse=True)
def _x64_does_not_leak():
    yield
    assert not jax.config.jax_enable_x64


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


@few(6)
@given(case=cases(), aggregate=st.sampled_from(["sum", "mean"]), unit=st.booleans())
def test_spatial_module(case, aggregate, unit):
    with case.data() as (history, features, graph):
        h = hidden_features(jnp.asarray(features), case.frames, case.hidden)
        model = SpatialModule(case.hidden, aggregate=aggregate, unit_vectors=unit)
        bound = case.bind(model, h, history, graph, graph.edge_features, features)

        def apply(x, f, g):
            return bound(hidden_features(f, case.frames, case.hidden), x, g, g.edge_features, f)

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
        elsewhere = jnp.asarray(history)[::-1] + 1
        np.testing.assert_array_equal(bound(h, history)[0], bound(h, elsewhere)[0])


def last_dependent_frame(function, inputs):
    """For every frame of the output, the last frame of the input that changes it."""
    plain, last = function(inputs), np.zeros(inputs.shape[1], int)
    for s in range(inputs.shape[1]):
        changed = np.abs(function(inputs.at[:, s].add(1.0)) - plain).max(axis=(0, 2)) > 1e-6
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
    flat = jnp.asarray(history).reshape(3, 5, -1)
    frames = last_dependent_frame(
        lambda x: bound(h, x.reshape(history.shape))[1].reshape(flat.shape), flat
    )
    np.testing.assert_array_equal(frames, end)


@few(5)
@given(case=cases(frames=4), reference=st.booleans())
def test_edft_features(case, reference):
    config = EstagConfig.reference(1, hidden=case.hidden) if reference else EstagConfig()
    with case.data() as (history, features, graph):
        h = hidden_features(jnp.asarray(features), case.frames, case.hidden)
        bound = case.bind(EDFTFeatures(config), history, h[:, 0], h, graph)

        def apply(x, f, g):
            h = hidden_features(f, case.frames, case.hidden)
            return bound(x, h[:, 0], h, g)

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


def check_model(model, case):
    with case.data() as data:
        bound = case.bind(model, *data)
        assert_equivariant(bound, *data, kinds=case.kinds, uses_edges=case.layers > 0)


@few(9)
@given(case=cases(layers=0))
def test_estag(case):
    check_model(ESTAG(EstagConfig(hidden=case.hidden, layers=case.layers)), case)


@few(7)
@given(case=cases(layers=0, channels=(1, 4)))
def test_estag_as_released(case):
    sizes = dict(hidden=case.hidden, layers=case.layers)
    check_model(ESTAG(EstagConfig.reference(case.channels, **sizes)), case)


DEPARTURES = (
    dict(activation="leaky_relu"),
    dict(head="softmax"),
    dict(edft=False),
    dict(attention=False),
    dict(causal=False),
    dict(edft_channel=1),
    dict(edft_filter="frame"),
    dict(edft_complex_square=True),
    dict(edft_normalize=1e-6),
    dict(edge_features="replace"),
    dict(aggregate="mean"),
    dict(unit_vectors=True),
    dict(clamp=100.0),
    dict(activate_qkv=True),
    dict(flip_time_difference=True),
)


def test_every_option_of_estag_is_tested():
    options = {field.name for field in dataclasses.fields(EstagConfig)} - {"hidden", "layers"}
    assert options == {name for departure in DEPARTURES for name in departure}


@pytest.mark.parametrize("departure", DEPARTURES, ids=lambda d: "-".join(map(str, *d.items())))
@few(3)
@given(data=st.data())
def test_estag_with_one_option_changed(departure, data):
    case = data.draw(cases(channels=(2, 4) if "edft_channel" in departure else (1, 2, 4)))
    check_model(ESTAG(EstagConfig(hidden=case.hidden, layers=1, **departure)), case)


@few(7)
@given(case=cases(), head=st.sampled_from(["residual", "softmax"]))
def test_st_egnn(case, head):
    check_model(StEgnn(StEgnnConfig(hidden=case.hidden, layers=case.layers, head=head)), case)


# Negative controls: functions with one fault each, which the assertion has to find.


def honest(x, f, g):
    """A simple equivariant function of past, neighbours and features."""
    last = x[:, -1]
    distance = jnp.sqrt(1 + gram(relative(x, g)[:, -1], normalize=False)[:, :1, None])
    gate = at_senders(f[:, :1, None], g) / distance
    message = sum_at_receivers(gate * relative(x, g)[:, -1], g)
    return last + 0.3 * (last - x[:, 0]) + 0.1 * message


def constant_vector(x, f, g):
    return honest(x, f, g) + jnp.array([0.1, 0.0, 0.0])


def small_constant_vector(x, f, g):
    return honest(x, f, g) + jnp.array([5e-4, 0.0, 0.0])


def absolute_position(x, f, g):
    return honest(x, f, g) * 1.001


def handed(x, f, g):
    step = x[:, -1] - x[:, 0]
    return honest(x, f, g) + 0.1 * jnp.cross(step, sum_at_receivers(relative(x, g)[:, -1], g))


def node_index(x, f, g):
    step = x[:, -1] - x[:, 0]
    return honest(x, f, g) + 0.01 * jnp.arange(x.shape[0])[:, None, None] * step


def edge_index(x, f, g):
    message = jnp.arange(g.num_edges)[:, None, None] * relative(x, g)[:, -1]
    return honest(x, f, g) + 0.01 * sum_at_receivers(message, g)


@pytest.fixture
def data():
    history, features = random_window(1, 5, 4, channels=2)
    return history, features, random_topology(2, 5, edge_width=1)


def test_the_honest_function_passes(data):
    assert_equivariant(honest, *data)
    with jax.enable_x64(True):
        history, features, graph = data
        assert_equivariant(honest, history.astype(float), features.astype(float), graph)


FAULTS = [
    (constant_vector, "rotation", ("translation", "permutation")),
    (small_constant_vector, "rotation", ("translation", "permutation")),
    (absolute_position, "translation", ("rotation", "reflection", "permutation")),
    (handed, "reflection", ("rotation", "translation", "permutation")),
    (node_index, "permutation", ("rotation", "reflection", "translation")),
    (edge_index, "permutation", ("rotation", "reflection", "translation")),
]


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    "fault, found_by, missed_by", FAULTS, ids=lambda a: getattr(a, "__name__", str(a))
)
def test_faults_are_found(data, fault, found_by, missed_by, x64):
    history, features, graph = data
    dtype = np.float64 if x64 else np.float32
    data = history.astype(dtype), features.astype(dtype), graph
    with jax.enable_x64(x64):
        with pytest.raises(AssertionError, match=f"^{found_by}, near.*relative error.*exceeds"):
            assert_equivariant(fault, *data)
        with pytest.raises(AssertionError, match="^all, "):
            assert_equivariant(fault, *data, kinds=("all",), key=1)
        # The fault is the one that it is meant to be.
        assert_equivariant(fault, *data, kinds=missed_by)


def test_far_from_the_origin_counts(data):
    def rounds(x, f, g):
        # Loses digits only where coordinates are large, as a product in reduced precision does.
        return honest(x, f, g) + jnp.where(jnp.abs(x).max() > 50, x[:, -1] % 0.02, 0)

    with pytest.raises(AssertionError, match="rotation, 100 units away"):
        assert_equivariant(rounds, *data)


def test_an_acting_clamp_is_found(data):
    config = EstagConfig(hidden=4, clamp=0.02)
    variables = randomize(jax.eval_shape(ESTAG(config).init, jax.random.key(0), *data))
    with pytest.raises(AssertionError, match="^rotation, near the origin"):
        assert_equivariant(jax.jit(partial(ESTAG(config).apply, variables)), *data)


def velocity(x, f, g):
    return 2 * x[:, -1] - x[:, 0]


VACUOUS = {
    "the last frame": lambda x, f, g: x[:, -1],
    "ignores all past": lambda x, f, g: x[:, -1] + sum_at_receivers(relative(x, g)[:, -1], g),
    "no other": velocity,
    # Neighbours enter through the centroid, not through edges.
    "ignores the edges": lambda x, f, g: velocity(x, f, g) + 0.1 * (x[:, -1] - centre(x)),
    "non-finite": lambda x, f, g: x[:, -1] / (x[:, -1] - x[:, -1]),
    "expected": lambda x, f, g: honest(x, f, g)[:, :1],
    "type": lambda x, f, g: honest(x, f, g).astype(jnp.float16),
}


@pytest.mark.parametrize("message", VACUOUS)
def test_vacuous_functions_are_refused(data, message):
    with pytest.raises(AssertionError, match=message):
        assert_equivariant(VACUOUS[message], *data)


def test_vacuous_data_are_refused(data):
    history, features, graph = data
    nothing = Topology([], [], 5)
    loops = Topology(np.arange(5), np.arange(5), 5)
    for empty in (nothing, loops):
        with pytest.raises(AssertionError, match="no edge joins"):
            assert_equivariant(velocity, history, features, empty)
    with pytest.raises(AssertionError, match="nothing moves"):
        assert_equivariant(honest, np.repeat(history[:, :1], 4, axis=1), features, graph)
    with pytest.raises(AssertionError, match="in a plane"):
        assert_equivariant(honest, history * np.float32([1, 1, 0]), features, graph)
    with pytest.raises(AssertionError, match="empty"):
        single = history[:, :1]
        assert_equivariant(VECTORS["edft"], single, features, graph, output="vectors")
    with pytest.raises(ValueError, match="float16"):
        assert_equivariant(honest, history.astype(np.float16), features, graph)
    with pytest.raises(AssertionError, match="x64"):
        assert_equivariant(honest, history.astype(np.float64), features, graph)


def test_faults_of_invariants_are_found(data):
    def unaligned(x, f, g):
        return EDGE_INVARIANTS["gram"](x, f, g) * jnp.arange(1, g.num_edges + 1)[:, None, None]

    with pytest.raises(AssertionError, match="permutation"):
        assert_invariant(unaligned, *data, over="edges")
    with pytest.raises(AssertionError, match="rotation"):
        assert_invariant(lambda x, f, g: relative(x, g), *data, over="edges")
    with pytest.raises(AssertionError, match="or zero"):
        assert_invariant(lambda x, f, g: 0 * f, *data)


@pytest.mark.parametrize("kind", KINDS)
def test_random_symmetries_are_what_they_are_called(kind):
    for seed in range(10):
        symmetry = random_symmetry(jax.random.key(seed), 3, kind)
        same = np.allclose(symmetry.matrix, np.eye(3))
        assert same == (kind in ("translation", "permutation"))
        np.testing.assert_allclose(symmetry.matrix @ symmetry.matrix.T, np.eye(3), atol=1e-14)
        if kind != "all":
            expected = -1 if kind == "reflection" else 1
            np.testing.assert_allclose(np.linalg.det(symmetry.matrix), expected, rtol=1e-14)
        length = 100 if kind in ("translation", "all") else 0
        np.testing.assert_allclose(np.linalg.norm(symmetry.translation), length)
        moved = (symmetry.permutation != np.arange(3)).any()
        assert moved == (kind in ("permutation", "all"))
    with pytest.raises(ValueError, match="expected one of rotation"):
        random_symmetry(0, 3, "turn")


def test_random_topologies():
    for seed in range(20):
        graph = random_topology(seed, 6, density=0.1 * (seed % 11), isolated=2, edge_width=3)
        ends = set(zip(graph.senders.tolist(), graph.receivers.tolist(), strict=True))
        assert 1 <= len(ends) == graph.num_edges <= 12
        assert all(i != j for i, j in ends)
        assert len({node for edge in ends for node in edge}) <= 4
        assert graph.edge_features.shape == (graph.num_edges, 3)
    with pytest.raises(ValueError, match="no edge is possible"):
        random_topology(0, 3, isolated=2)


def test_edge_values_follow_their_edges():
    graph = random_topology(0, 6)
    names = 10 * graph.receivers + graph.senders
    symmetry = random_symmetry(1, 6, "permutation")
    turned = symmetry.on_topology(graph)
    old = symmetry.permutation
    np.testing.assert_array_equal(
        symmetry.on_edges(names, graph), 10 * old[turned.receivers] + old[turned.senders]
    )


def test_randomize_keeps_shapes_and_dtypes():
    tree = {"a": jnp.zeros((3, 4)), "b": [np.zeros(0, np.float64), jnp.ones((), jnp.bfloat16)]}
    once, again, other = randomize(tree, 1), randomize(tree, 1), randomize(tree, 2)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), once) == jax.tree.map(
        lambda a: (a.shape, a.dtype), tree
    )
    np.testing.assert_array_equal(once["a"], again["a"])
    assert (once["a"] != other["a"]).all()

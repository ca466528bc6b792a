"""The four heads against NumPy, what they start as, which of them move with the system."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.nn.heads import TemporalPooling
from estag_jax.ops.segment import at_receivers, at_senders, sum_at_receivers
from estag_jax.testing import assert_equivariant, random_graph, random_window

HEADS = ("residual", "softmax", "absolute", "last")
FRAMES = 4
WEIGHTS = np.array([0.7, -1.5, 0.4])
LOGITS = np.array([1.0, -0.5, 0.3, 2.0])
PARAMS = {
    "residual": {"params": {"weights": WEIGHTS}},
    "softmax": {"params": {"logits": LOGITS}},
    "absolute": {},
    "last": {},
}
INPUTS = ("moved frames", "numbers for every frame", "one output")


@pytest.fixture
def history():
    return random_window(0, 5, FRAMES, channels=2, dtype=np.float64, batch=2)[0]


@pytest.fixture
def numbers():
    return np.random.default_rng(1).normal(size=(2, 5, FRAMES, 2, 3))


def in_numpy(head, frames):
    """The table's formulas for frames [B, N, T, C, 3]."""
    if head == "residual":
        out = frames[:, :, -1].copy()
        for t, weight in enumerate(WEIGHTS):
            out += weight * (frames[:, :, t] - frames[:, :, -1])
        return out
    if head == "softmax":
        share = np.exp(LOGITS) / np.exp(LOGITS).sum()
        return sum(share[t] * frames[:, :, t] for t in range(FRAMES))
    return frames[:, :, -1]


def expected(head, given, history, numbers):
    """What heads.py promises, case by case."""
    single = numbers[:, :, 0]
    if given == "moved frames":
        return in_numpy(head, numbers)
    if given == "numbers for every frame":
        raw = head in ("absolute", "softmax")
        return in_numpy(head, numbers if raw else history + numbers)
    if head == "absolute":
        return single
    if head == "last":
        return history[:, :, -1] + single
    return in_numpy(head, history + single[:, :, None])


def call(head, given, history, numbers, variables=None):
    pooling = TemporalPooling(head, displacements=given != "moved frames")
    variables = PARAMS[head] if variables is None else variables
    z = numbers[:, :, 0] if given == "one output" else numbers
    return pooling.apply(variables, *((z,) if given == "moved frames" else (z, history)))


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("head", HEADS)
def test_against_numpy(head, given, history, numbers):
    with jax.enable_x64(True):
        out = call(head, given, history, numbers)
    want = expected(head, given, history, numbers)
    assert out.dtype == np.float64 and out.shape == (2, 5, 2, 3)
    np.testing.assert_allclose(out, want, atol=1e-14)
    # No two rows of the table are the same, except where it says so.
    others = {other: expected(other, given, history, numbers) for other in HEADS}
    same = {other for other, value in others.items() if np.allclose(value, want)}
    alike = {"absolute", "last"} if given == "moved frames" else {head}
    assert same == (alike if head in alike else {head})


@pytest.mark.parametrize("head", ["residual", "softmax", "last"])
def test_one_output_is_added_once(head, history, numbers):
    # The weights of softmax add up to one, and residual's differences drop what all frames share:
    # one displacement of the window comes out whole.
    with jax.enable_x64(True):
        without = call(head, "one output", history, 0 * numbers)
        change = call(head, "one output", history, numbers) - without
    np.testing.assert_allclose(change, numbers[:, :, 0], atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("head", HEADS)
def test_initial_values(head, dtype, history):
    with jax.enable_x64(dtype == np.float64):
        x = history.astype(dtype)
        keys = jax.random.split(jax.random.key(0), 200)
        found = jax.vmap(lambda key: TemporalPooling(head).init(key, x))(keys).get("params", {})
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(found))
        if head == "residual":
            # The last-frame predictor, to the bit, where the network's frames are the history.
            np.testing.assert_array_equal(found["weights"], np.zeros((200, FRAMES - 1)))
            variables = {"params": {"weights": found["weights"][0]}}
            np.testing.assert_array_equal(TemporalPooling(head).apply(variables, x), x[:, :, -1])
        elif head == "softmax":
            logits = found["logits"]
            assert logits.shape == (200, FRAMES)
            assert np.abs(logits).max() <= 1
            # 800 draws: the standard errors are 0.020 and 0.011.
            np.testing.assert_allclose(np.mean(logits), 0, atol=0.08)
            np.testing.assert_allclose(np.mean(logits**2), 1 / 3, atol=0.045)
        else:
            assert found == {}


def test_residual_extrapolates_and_softmax_cannot(history):
    # Straight motion: the weights 0, 0, -1 give the next frame exactly.
    line = history[:, :, :1] + np.arange(FRAMES)[:, None, None] * np.array([1.0, 2.0, -0.5])
    with jax.enable_x64(True):
        weights = {"params": {"weights": np.array([0.0, 0.0, -1.0])}}
        out = TemporalPooling("residual").apply(weights, line)
        np.testing.assert_allclose(out, 2 * line[:, :, -1] - line[:, :, -2], atol=1e-14)
        for seed in range(20):
            logits = 5 * np.random.default_rng(seed).normal(size=FRAMES)
            out = TemporalPooling("softmax").apply({"params": {"logits": logits}}, line)
            assert (out <= line.max(axis=2)).all() and (out >= line.min(axis=2)).all()


def test_a_single_frame_is_its_own_prediction(history):
    x = history[:, :, :1].astype(np.float32)
    for head in HEADS:
        pooling = TemporalPooling(head)
        variables = pooling.init(jax.random.key(0), x)
        np.testing.assert_array_equal(pooling.apply(variables, x), x[:, :, 0])


def test_residual_keeps_its_digits_far_away(history):
    # Rounding of float32 there is 2^-8 at 65,536; the formula with sums of weights would lose more.
    far = (history + 65_536).astype(np.float32)
    out = TemporalPooling("residual").apply(
        {"params": {"weights": WEIGHTS.astype(np.float32)}}, far
    )
    exact = in_numpy("residual", far.astype(np.float64))
    np.testing.assert_allclose(out, exact, atol=2**-7)


# Which combinations move with the system. The network's part is a vector that no translation
# moves: z = x + vector for moved frames, the vector itself for plain numbers.


def vectors(history, graph):
    """An equivariant displacement of every frame [B, N, T, C, 3], from neighbours and the past."""
    pull = sum_at_receivers(at_receivers(history, graph) - at_senders(history, graph), graph)
    return 0.2 * pull + 0.3 * (history - history[:, :, :1])


def network(head, given):
    variables = jax.tree.map(jnp.asarray, PARAMS[head])

    def predict(history, features, graph):
        push = vectors(history, graph)
        if given == "moved frames":
            return call(head, given, None, history + push, variables)
        if given == "one output":
            push = push[:, :, -1:] - 0.5 * push[:, :, :1]
        return call(head, given, history, push, variables)

    return jax.jit(predict)


NOT_MOVING = {
    ("absolute", "numbers for every frame"),
    ("absolute", "one output"),
    ("softmax", "numbers for every frame"),
}


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("head", HEADS)
def test_which_heads_move_with_the_system(head, given, history):
    with jax.enable_x64(True):
        features, graph = np.ones((1, 5, 1)), random_graph(2, 5)
        check = partial(assert_equivariant, network(head, given), history, features, graph)
        if (head, given) not in NOT_MOVING:
            check()
            return
        with pytest.raises(AssertionError, match="^translation, near the origin"):
            check(kinds=("translation",))
        # They turn all the same, and as vectors, which no translation moves, they are right.
        check(output="vectors")


def test_absolute_moves_where_the_numbers_are_positions(history):
    # EqMotion's output is a position: the head hands it on as it is.
    def positions(x, features, graph):
        y = (x + vectors(x, graph))[:, :, -1]
        return TemporalPooling("absolute", displacements=True).apply({}, y, x)

    with jax.enable_x64(True):
        assert_equivariant(positions, history, np.ones((1, 5, 1)), random_graph(2, 5))

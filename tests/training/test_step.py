"""One epoch of training: what is computed, however it is cut into parts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.springs import WINDOW, task, training

from estag_jax.models.base import apply_one, network_inputs
from estag_jax.models.estag import EstagConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.training.buckets import _spanned, make_buckets
from estag_jax.training.fit import fit
from estag_jax.training.loop import Loop
from estag_jax.training.losses import mse
from estag_jax.training.settings import make_optimizer
from estag_jax.training.step import arrange, init_state, make_steps


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def start(of, batch=7):
    """Module, initial variables, bucket, rows of an epoch and optimiser."""
    method = EstagConfig(hidden=4, layers=1)
    module, (bucket,) = method.build(), make_buckets(of, "one-hot")
    history, _, features, graph = bucket.windows(jnp.arange(1), 4, 2, (1,))
    variables = module.init(jax.random.key(1), history, features, graph)
    rows = arrange(jax.random.key(3), jnp.int32(5), len(bucket.starts), batch)
    return module, variables, bucket, rows, make_optimizer(training())


def run(module, variables, bucket, rows, optimizer, chunks=1):
    steps = make_steps(module, mse, optimizer, WINDOW, chunks)
    return jax.jit(steps)(init_state(variables, optimizer), rows, bucket)


def test_an_epoch_is_plain_adam_on_the_mean_squared_error():
    """Against a loop in plain Python over single windows, with the same shuffle."""
    of = task()
    module, variables, bucket, rows, optimizer = start(of)
    state, loss = run(module, variables, bucket, rows, optimizer)

    drawn = of.splits[0].train
    order = np.asarray(jax.random.permutation(jax.random.fold_in(jax.random.key(3), 5), drawn))
    features, graph = network_inputs(of.system, "one-hot")
    adam = optax.adam(5e-3)
    expected, opt_state, losses = variables, adam.init(variables), []
    positions = of.trajectories[0].positions

    @jax.jit
    def one(variables, history, target):
        out = apply_one(module, variables, history, features[0], graph)
        return jnp.mean((out - target) ** 2)

    for i in range(0, len(order), 7):
        pairs = []
        for begin in order[i : i + 7]:
            history = positions[begin : begin + 8 : 2].swapaxes(0, 1)
            pairs.append(jax.value_and_grad(one)(expected, history, positions[begin + 8]))
        losses += [float(value) for value, _ in pairs]
        gradient = jax.tree.map(lambda *g: sum(g) / len(g), *[g for _, g in pairs])
        updates, opt_state = adam.update(gradient, opt_state)
        expected = optax.apply_updates(expected, updates)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    for a, b in zip(leaves(state.variables), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    "chunks", [3, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 7))]
)
def test_a_gradient_in_chunks_is_that_of_the_batch(chunks):
    with jax.enable_x64(True):
        of = task(dtype=np.float64)
        module, variables, bucket, _, optimizer = start(of)
        count = len(bucket.starts)
        found = []
        for parts in (1, chunks):
            rows = arrange(jax.random.key(3), jnp.int32(5), count, 7, multiple=parts)
            found.append(run(module, variables, bucket, rows, optimizer, parts))
        (one, one_loss), (many, many_loss) = found
        assert one_loss == pytest.approx(float(many_loss), rel=1e-12)
        for a, b in zip(leaves(one.variables), leaves(many.variables), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)
        assert not np.array_equal(leaves(one.variables)[0], leaves(variables)[0])


def test_a_batch_statistic_is_never_cut_into_chunks():
    loop = Loop("STGCN", StgcnConfig(hidden=4, layers=1), task(), (1,), training(chunk=2))
    assert loop._chunks(loop.buckets[0]) == 1
    loop = Loop("ESTAG", EstagConfig(hidden=4, layers=1), task(), (1,), training(chunk=2))
    assert loop._chunks(loop.buckets[0]) == 4


def test_every_window_counts_once_in_an_epoch():
    for count, batch, multiple in ((23, 7, 1), (23, 7, 4), (5, 7, 1), (8, 4, 3)):
        rows = arrange(jax.random.key(0), jnp.int32(2), count, batch, multiple)
        counted = np.asarray(rows.windows)[np.asarray(rows.weights) > 0]
        assert sorted(counted) == list(range(count))
        assert rows.windows.shape[1] % multiple == 0
    first = arrange(jax.random.key(0), jnp.int32(2), 23, 7).windows
    assert not np.array_equal(first, arrange(jax.random.key(0), jnp.int32(3), 23, 7).windows)


def test_seeds_together_are_seeds_one_by_one():
    of, method = task(), EstagConfig(hidden=4, layers=1)
    both = fit(method, of, seeds=(1, 2), train=training())
    for i, seed in enumerate((1, 2)):
        alone = fit(method, of, seeds=(seed,), train=training())
        np.testing.assert_allclose(both.validation_mse[i], alone.validation_mse[0], rtol=1e-4)
        assert both.best_epoch[i] == alone.best_epoch[0]
        for a, b in zip(
            leaves(both.predictors[i].variables), leaves(alone.predictor.variables), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert both.validation_mse[0] != both.validation_mse[1]


@pytest.mark.parametrize("seed", range(5))
def test_the_device_holds_the_frames_of_training_windows_alone(seed):
    rng = np.random.default_rng(seed)
    frames, span = rng.normal(size=(60, 2, 1, 3)), int(rng.integers(1, 6))
    starts = np.sort(rng.choice(60 - span, size=rng.integers(1, 12), replace=False))
    kept, moved = _spanned(frames, starts, span)
    offsets = np.arange(span + 1)
    needed = np.unique(starts[:, None] + offsets)
    more = len(kept) - len(
        needed
    )  # so that a block begins at a multiple of 64 bytes; frames have 48
    assert 0 <= more < 4
    np.testing.assert_array_equal(kept[more:], frames[needed])
    np.testing.assert_array_equal(kept[moved[:, None] + offsets], frames[starts[:, None] + offsets])

"""Updates that are not finite: training ends and names the windows, or leaves them out and counts them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import task, training

from estag_jax.models.estag import EstagConfig
from estag_jax.training.callbacks import Callback, TrainingDiverged
from estag_jax.training.fit import fit
from estag_jax.training.losses import mse

SMALL = EstagConfig(hidden=4, layers=0)


@pytest.fixture(scope="module")
def of():
    return task()


@pytest.fixture
def spoiled(of):
    """A loss that is infinite for one training window, and the frame at which this one begins."""
    (windows,) = of.windows("train")
    first = windows.history[5, 0, 0, 0, 0]

    def loss(predict, batch):
        bad = batch.history[:, 0, 0, 0, 0] == first
        return mse(predict, batch) * jnp.where(bad, jnp.inf, 1)

    return loss, windows.starts[5]


class States(Callback):
    def begin(self, loop):
        self.loop = loop


def test_the_window_that_spoils_a_training_is_named(of, spoiled):
    loss, start = spoiled
    with pytest.raises(TrainingDiverged, match="train.skip-nonfinite") as error:
        fit(SMALL, of, loss=loss, train=training(epochs=4))
    words = f"training windows from frame {start} of the trajectory (not finite), frame "
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("batch, steps", [(1, 23), (7, 4), (22, 2)])
def test_updates_that_are_not_finite_are_left_out_and_counted(batch, steps, of, spoiled):
    loss, _ = spoiled
    seen = States()
    found = fit(
        SMALL, of, loss=loss, train=training(4, skip_nonfinite=2, batch=batch), callbacks=[seen]
    )
    # 23 windows: a step of each epoch is left out, also where the last batch is filled up.
    assert [line["skipped"] for line in found.log] == [[2], [4]]
    assert all(np.isfinite(line["train_loss"]) for line in found.log)
    assert found.validation_mse[0] < np.inf
    for leaf in jax.tree.leaves(seen.loop.state.variables):
        assert np.isfinite(leaf).all()
    (adam,) = (
        s
        for s in jax.tree.leaves(seen.loop.state.opt_state.inner_state, is_leaf=_is_adam)
        if _is_adam(s)
    )
    assert adam.count.tolist() == [4 * (steps - 1)]


def _is_adam(state):
    return hasattr(state, "mu")


def test_too_many_in_a_row_end_the_training(of):
    def loss(predict, batch):
        return mse(predict, batch) * jnp.inf

    with pytest.raises(TrainingDiverged, match="not finite"):
        fit(SMALL, of, loss=loss, train=training(4, skip_nonfinite=1))


def test_where_all_are_finite_nothing_changes(of):
    one, other = (
        fit(SMALL, of, train=training(4, skip_nonfinite=skip)).predictor.to_arrays()
        for skip in (None, 3)
    )
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])

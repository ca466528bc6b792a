"""Within an epoch the host hands programs to the device and reads nothing back."""

import operator

import jax
import numpy as np
import pytest
from helpers.springs import QUICK, task, training

from estag_jax.training.loop import Loop
from estag_jax.training.losses import mse


class Read(Exception):
    """A value was asked for on the host."""


class OnDevice:
    """Stands for an array that a program has returned: it can be cut and passed on, not read."""

    def __init__(self, array):
        self.array = array

    @property
    def shape(self):
        return self.array.shape

    def __getitem__(self, place):
        return OnDevice(self.array[place])

    def read(self, *_, **__):
        raise Read

    __array__ = __float__ = __int__ = __bool__ = __index__ = __iter__ = read
    item = tolist = block_until_ready = copy_to_host_async = read


def unread(program, calls):
    """The program with results that cannot be read; ``calls`` counts how often it is called."""

    def called(*arguments):
        calls.append(program)
        arrays = (getattr(leaf, "array", leaf) for leaf in jax.tree.leaves(arguments))
        arguments = jax.tree.unflatten(jax.tree.structure(arguments), arrays)
        return jax.tree.map(OnDevice, program(*arguments))

    return called


class Impatient(Loop):
    """Looks at the loss after each call."""

    def run_epoch(self, programs):
        return [float(loss) for loss in super().run_epoch(programs)]


def prepared(bodies, kind=Loop, loss=None):
    """A loop, its programs with results that cannot be read, and the calls of its steps."""
    loop, calls = kind("test", QUICK, task(bodies), (1,), training(), loss), []
    compiled = loop.compile()
    return loop, compiled, [(unread(a, []), unread(steps, calls)) for a, steps in compiled], calls


@pytest.mark.parametrize("bodies", [3, (3, 6)], ids=["one system", "two sizes"])
def test_epochs_are_run_without_reading_a_value(bodies):
    loop, _, programs, calls = prepared(bodies)
    losses = []
    for _ in range(3):
        losses += loop.run_epoch(programs)
    # One program an epoch; where systems of several sizes take turns, one a step.
    assert len(calls) == len(losses) == 3 * (1 if bodies == 3 else loop.steps) and loop.steps > 3
    assert np.isfinite([loss.array for loss in losses]).all()


def test_a_loop_that_looks_at_the_loss_is_noticed():
    loop, _, programs, _ = prepared(3, Impatient)
    with pytest.raises(Read):
        loop.run_epoch(programs)


@pytest.mark.parametrize(
    "way",
    [float, int, bool, np.asarray, np.mean, jax.device_get, jax.block_until_ready]
    + [operator.methodcaller("item"), operator.methodcaller("tolist"), list],
)
def test_every_way_to_read_is_noticed(way):
    with pytest.raises(Read):
        way(OnDevice(np.ones(1)))


def test_the_program_of_an_epoch_does_not_call_the_host():
    def talkative(predict, batch):
        jax.debug.callback(lambda: None)
        return mse(predict, batch)

    for loss, calls_host in ((None, False), (talkative, True)):
        _, [(_, steps)], _, _ = prepared(3, loss=loss)
        words = ("callback", "outfeed", "infeed", "send(", "recv(")
        assert any(word in steps.as_text() for word in words) == calls_host

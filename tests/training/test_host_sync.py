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


def prepared(bodies, loss=None):
    """A loop, its programs, those with results that cannot be read, and the calls of their steps."""
    loop, calls = Loop("test", QUICK, task(bodies), (1,), training(), loss), []
    compiled = loop.compile()
    return loop, compiled, [(unread(a, []), unread(steps, calls)) for a, steps in compiled], calls


@pytest.fixture(scope="module")
def one():
    return prepared(3)


def run_and_check(loop, programs, calls, an_epoch):
    calls.clear()
    losses = [loss for _ in range(3) for loss in loop.run_epoch(programs)]
    assert len(calls) == len(losses) == 3 * an_epoch and loop.steps > 3
    assert np.isfinite([loss.array for loss in losses]).all()


def test_an_epoch_is_one_program_and_no_value_is_read(one):
    loop, _, programs, calls = one
    run_and_check(loop, programs, calls, 1)


def test_where_sizes_take_turns_an_epoch_is_a_program_a_step():
    loop, _, programs, calls = prepared((3, 6))
    run_and_check(loop, programs, calls, loop.steps)


def test_a_loop_that_looks_at_the_loss_is_noticed(one):
    loop, _, programs, _ = one
    with pytest.raises(Read):
        sum(float(loss) for loss in loop.run_epoch(programs))


@pytest.mark.parametrize(
    "way",
    [float, int, bool, np.asarray, np.mean, jax.device_get, jax.block_until_ready]
    + [operator.methodcaller("item"), operator.methodcaller("tolist"), list],
)
def test_every_way_to_read_is_noticed(way):
    with pytest.raises(Read):
        way(OnDevice(np.ones(1)))


def calls_host(programs):
    words = ("callback", "outfeed", "infeed", "send(", "recv(")
    return any(word in steps.as_text() for _, steps in programs for word in words)


def test_the_program_of_an_epoch_does_not_call_the_host(one):
    def talkative(predict, batch):
        jax.debug.callback(lambda: None)
        return mse(predict, batch)

    assert not calls_host(one[1]) and calls_host(prepared(3, talkative)[1])

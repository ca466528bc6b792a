"""Signals wait while a state is not whole, and a second one does not."""

import signal

import pytest

from estag_jax.training import interrupts
from estag_jax.training.interrupts import Interrupted


def test_signals_wait_for_a_check():
    with pytest.raises(Interrupted) as stop:
        interrupts.handle(signal.SIGTERM)
    assert stop.value.number == signal.SIGTERM
    done = []
    with pytest.raises(Interrupted), interrupts.held():
        done.append("before")
        interrupts.handle(signal.SIGTERM)
        done.append("after")
        interrupts.check()
        done.append("never")
    assert done == ["before", "after"]
    with pytest.raises(Interrupted):
        with interrupts.held():
            interrupts.handle(signal.SIGHUP)
            done.append("to the end")
        done.append("never")
    assert done[-1] == "to the end"
    with pytest.raises(Interrupted), interrupts.held():
        interrupts.handle(signal.SIGINT)
        interrupts.handle(signal.SIGINT)  # the user insists
    with interrupts.held():
        interrupts.check()  # nothing waits

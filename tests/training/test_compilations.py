"""What is compiled is compiled once, in the first epoch."""

import jax
import pytest
from helpers.springs import task, training

from estag_jax.models.estag import EstagConfig
from estag_jax.training.callbacks import Callback
from estag_jax.training.fit import fit


@pytest.fixture
def compiled():
    """The compilations so far, as they are reported."""
    names = []

    def listen(name, seconds, **about):
        if name.endswith("backend_compile_duration"):
            names.append(about.get("fun_name", name))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("bodies", [3, (3, 6)], ids=["one system", "two sizes"])
def test_nothing_is_compiled_after_the_first_epoch(bodies, compiled):
    counts = []

    class Count(Callback):
        def evaluated(self, loop, evaluation):
            counts.append(len(compiled))

    settings = training(epochs=4, evaluate_every=1)
    fit(EstagConfig(hidden=2, layers=1), task(bodies), train=settings, callbacks=[Count()])
    assert len(counts) == 4 and counts[0] > 0
    assert counts[-1] == counts[0], compiled[counts[0] :]


def test_a_new_program_is_counted(compiled):
    jax.jit(lambda x: x * 3.25 + 1)(2.0)
    assert compiled

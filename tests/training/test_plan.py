"""The cost of a step from shapes alone, beside the program that training compiles."""

import dataclasses
import re

import numpy as np
import pytest
from helpers.command import estag
from helpers.springs import WINDOW, task, training

from estag_jax.cli import plan as command
from estag_jax.models.estag import EstagConfig
from estag_jax.models.stgcn import StgcnConfig
from estag_jax.training.cost import Cost, Rates, cost
from estag_jax.training.loop import Loop
from estag_jax.training.plan import Plan, Shapes, largest, plan

SMALL = EstagConfig(hidden=4, layers=1)


@pytest.fixture(scope="module")
def loop():
    loop = Loop("ESTAG", SMALL, task(), (1,), training(chunk=2))
    return loop, loop.compile()[0][1]


@pytest.fixture(scope="module")
def found():
    return plan(SMALL, Shapes.of(task(), SMALL), WINDOW, training(chunk=2))


def test_a_plan_is_of_the_program_that_training_compiles(loop, found):
    loop, compiled = loop
    assert found.chunks == loop._chunks(loop.buckets[0]) == 4 and found.width == 2
    assert found.parameters == loop.predictor(loop.state.variables).parameters
    assert found.cost.memory == pytest.approx(cost(compiled).memory, rel=0.25)
    assert found.cost.flops == pytest.approx(4 * cost(compiled).flops, rel=0.1)


def test_frames_that_training_leaves_on_the_host_are_not_counted():
    """The limit is below the frames of the task, and the program again that of training."""
    config = training(chunk=2, resident=1e-7)
    held, planned = Loop("ESTAG", SMALL, task(), (1,), config), {}
    for frames in (300, 30_000):
        shapes = dataclasses.replace(Shapes.of(task(), SMALL), frames=frames)
        planned[frames] = plan(SMALL, shapes, WINDOW, config)
        assert not planned[frames].resident
    assert planned[300].cost.memory == planned[30_000].cost.memory
    one = held.compile()[0][1]
    windows = 8 * 3 * 3 * 4 * (WINDOW.past + 1)  # floats of a step: all chunks, nodes, coordinates
    assert planned[300].cost.memory - windows == pytest.approx(cost(one).memory, rel=0.25)


def test_operations_do_not_depend_on_the_chunks_and_memory_does(found):
    shapes = dataclasses.replace(Shapes.of(task(), SMALL), frames=30)
    few, whole = (plan(SMALL, shapes, WINDOW, training(chunk=n)) for n in (2, 7))
    assert (whole.chunks, whole.width) == (1, 7)
    # Four chunks of two windows compute eight windows, one of seven seven.
    assert few.cost.flops / 8 == pytest.approx(whole.cost.flops / 7, rel=0.15)
    assert whole.cost.memory > 1.5 * few.cost.memory


def test_products_are_counted_as_by_hand():
    """Of a network so wide that its products by far outweigh all else."""
    shapes, width = Shapes(nodes=6, edges=40, frames=30), 128
    method = EstagConfig(hidden=width, layers=1, attention=False)
    found = plan(method, shapes, WINDOW, training(batch=2))
    past, square = WINDOW.past, 2 * width**2
    edges = shapes.edges * 2 * past * 2  # two windows; second layer of phi_m, first of phi_x
    nodes = shapes.nodes * past * 2  # both ends of phi_m, the same for all windows
    by_hand = 3 * (edges + nodes) * square  # the gradient takes two products for each
    assert by_hand < found.cost.flops < 1.3 * by_hand


def test_a_step_of_made_up_numbers_is_taken(found):
    assert 0 < found.seconds(repeats=1) < 10
    flops, transcendentals, moved, _ = found.cost
    bound = flops / 1e9 + transcendentals / 1e8 + moved / 1e10
    assert found.bound(Rates(1e9, 1e8, 1e10)) == pytest.approx(bound)


def test_devices_share_the_batch_and_statistics_keep_it_whole():
    shapes = Shapes(nodes=3, edges=6, frames=30)
    shared = plan(SMALL, shapes, WINDOW, training(batch=8), devices=4)
    assert (shared.chunks, shared.width) == (1, 2)
    whole = plan(StgcnConfig(hidden=4, layers=1), shapes, WINDOW, training(chunk=2))
    assert (whole.chunks, whole.width) == (1, 7)


@pytest.mark.parametrize(
    "memory, expected",
    [(lambda n: 5e3 * n, 2000), (lambda n: 10 * n**2, 1000), (lambda n: 1e3 + 20 * n**1.5, 6299)],
)
def test_the_largest_size_fits_and_a_tenth_more_does_not(memory, expected):
    size = largest(memory, 3, 1e7)
    assert 0.85 * expected < size and memory(size) <= 1e7


def test_what_does_not_grow_is_not_looked_for_for_ever():
    assert largest(lambda n: 100.0, 3, 1e7) == 6
    assert largest(lambda n: 1e9 * n, 3, 1e7) == 0


def test_the_command_says_what_a_step_costs(capsys, tmp_path):
    options = "--model.hidden 4 --model.layers 1 --train.batch 4 --window.past 4".split()
    size = "--nodes 5 --edges 12 --rates 1e9 1e9 1e9".split()
    code, out, err = estag(capsys, "plan", *size, *options)
    assert code == 0, err
    for word in (
        "parameters",
        "operations",
        "MB a device",
        "1 chunk(s) of 4",
        ", measured",
        "ms a step at least",
        "ms expected",
    ):
        assert word in out
    path = tmp_path / "frames.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 3, 3)).astype(np.float32))
    code, out, err = estag(capsys, "plan", "--data", path, *options, "--rates", 1e9, 1e9, 1e9)
    assert code == 0 and "3 nodes, 6 edges" in out, err


def test_time_at_other_rates_is_that_here_times_the_ratio_of_what_counts():
    class Known(Plan):
        def seconds(self, *_):
            return 0.5

    here, there = Rates(2e9, 1e9, 4e9), (1e9, 1e9, 1e9)
    found = Known(1, 1, 1, True, Cost(2e9, 1e9, 4e9, 0), None, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "measure_rates", lambda: here)
        text = command._time(found, there)["at the rates"]
    assert re.findall(r"[\d.e+]+ ms", text) == ["7e+03 ms", "1.17e+03 ms"]  # 2 + 1 + 4 s for 3 s


def test_a_closed_form_has_no_step(capsys):
    code, _, err = estag(capsys, "plan", "--nodes", 5, "--model", "VAR ridge")
    assert code == 2 and "closed form" in err and err.count("\n") == 1

"""Paired comparisons on overlapping windows."""

import numpy as np
import pytest
import scipy.stats
from helpers.springs import task

import estag_jax
from estag_jax.evaluation.compare import (
    FEWEST,
    block_numbers,
    clearly_better,
    paired_difference,
    paired_interval,
)
from estag_jax.evaluation.evaluate import evaluate
from estag_jax.evaluation.result import Result, Row
from estag_jax.training.fit import fit


def rows_of(errors, numbers):
    """A result with a row for each list of errors by window [W]."""
    rows = [
        Row(
            name,
            metrics={"mse": {"mean": e.mean(), "blocks": np.bincount(numbers, e) / len(e)}},
        )
        for name, e in errors.items()
    ]
    return Result({"blocks": np.bincount(numbers).tolist(), "length_unit": "Å"}, rows)


def long_task(count=4000):
    x = np.random.default_rng(0).normal(size=(count, 2, 3)).cumsum(axis=0).astype(np.float32)
    return estag_jax.Task(
        estag_jax.Trajectory.from_arrays(x), estag_jax.WindowConfig(past=4, delta=2)
    )


def test_windows_of_a_block_start_within_its_length():
    of = long_task()
    numbers, starts = block_numbers(of, "test"), of.splits[0].test
    length = 2 * (of.window.span + 1)
    assert len(numbers) == len(starts) == of.count("test")
    assert set(numbers) == set(range(numbers.max() + 1))
    for block in range(numbers.max() + 1):
        inside = starts[numbers == block]
        assert np.ptp(inside) < length
    order = np.argsort(starts)
    assert (np.diff(numbers[order]) >= 0).all()
    two = task((3, 4))
    several = block_numbers(two, "test")
    counts = [len(split.test) for split in two.splits]
    assert set(several[: counts[0]]).isdisjoint(several[counts[0] :])


def test_a_difference_and_its_error_are_those_of_the_windows():
    of = long_task()
    fits = [fit(name, of) for name in ("AR-LS", "Last frame", "Constant velocity")]
    result = evaluate(fits, of)
    numbers = block_numbers(of, "test")
    each = []
    for one in fits:
        (windows,) = of.windows("test")
        frame = one.predictor.predict(windows.history.astype(float))
        each.append(np.mean((frame - windows.target[:, 0]) ** 2, axis=(1, 2, 3)))
    d, s = paired_difference(result.rows[0], result.rows[2], result.data["blocks"])
    difference = each[0] - each[2]
    assert d == pytest.approx(difference.mean(), rel=1e-6)
    sums = [
        np.sum(difference[numbers == b] - difference.mean()) / len(difference)
        for b in range(numbers.max() + 1)
    ]
    count = len(sums)
    assert s == pytest.approx(np.sqrt(np.sum(np.square(sums)) * count / (count - 1)), rel=1e-6)
    assert clearly_better(result).name == "Last frame" == min(result.rows, key=lambda r: r.mse).name
    assert (
        clearly_better(Result(result.data, [result.rows[2], result.rows[0], result.rows[1]]))
        is None
    )


def test_chance_is_seldom_called_better_though_windows_overlap():
    """Two methods of one skill whose errors are alike within a hundred windows: 2.3 % would be ideal."""
    rng, claims, naive = np.random.default_rng(1), 0, 0
    numbers = np.repeat(np.arange(25), 200)
    for _ in range(400):
        steps = rng.normal(size=(2, 5100))
        smooth = [np.convolve(step, np.ones(101) / 101, "valid") for step in steps]
        errors = {"other": 5 + smooth[0], "own": 5 + smooth[1]}
        claims += clearly_better(rows_of(errors, numbers)) is not None
        difference = errors["other"] - errors["own"]
        naive += difference.mean() < -2 * difference.std() / np.sqrt(len(difference))
    assert claims < 0.07 * 400 < 0.3 * 400 < naive


def test_an_effect_in_every_block_is_found_and_few_blocks_say_nothing():
    rng = np.random.default_rng(2)
    for blocks, found in ((20, True), (FEWEST - 1, False)):
        numbers = np.repeat(np.arange(blocks), 50)
        common = rng.normal(size=len(numbers)) ** 2  # hard and easy windows, shared by both
        errors = {
            "worse": common + 1.2,
            "best": common + 0.8,
            "better": common + 0.9,
            "own": common + 1 + 0.01 * rng.normal(size=len(numbers)),
        }
        row = clearly_better(rows_of(errors, numbers))
        assert (row.name if row else None) == ("best" if found else None)
    assert clearly_better(Result({}, [])) is None


def seeded(name, errors, seeds, blocks):
    """A row with the mean errors of some seeds, the same in every block."""
    mean = np.mean(errors)
    mse = {"mean": mean, "seeds": list(errors), "blocks": [mean / blocks] * blocks}
    return Row(name, metrics={"mse": mse}, seeds=list(seeds))


def test_the_interval_of_seeds_is_that_of_a_paired_t_test():
    """Where all blocks are alike, chance is in the seeds alone."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4)) + 5
    rows = seeded("a", one, range(4), 6), seeded("b", other, range(4), 6)
    d, half = paired_interval(*rows, [10] * 6)
    known = scipy.stats.ttest_rel(one, other).confidence_interval()
    np.testing.assert_allclose((d - half, d + half), known)
    wider = paired_interval(*rows, [10] * 6, share=0.99)[1]
    assert wider > half
    # A seed that diverged in one of them is left out.
    fewer = seeded("b", other[1:], range(1, 4), 6)
    half = paired_interval(rows[0], fewer, [10] * 6)[1]
    known = scipy.stats.ttest_rel(one[1:], other[1:]).confidence_interval()
    assert 2 * half == pytest.approx(known[1] - known[0])


def test_the_interval_of_one_seed_is_that_of_the_blocks():
    numbers = np.repeat(np.arange(8), 5)
    rng = np.random.default_rng(1)
    result = rows_of({"a": rng.random(40), "b": rng.random(40)}, numbers)
    a, b = result.rows
    for row in (a, b):
        row.seeds.append(1)
        row.metrics["mse"]["seeds"] = [row.mse]
    d, half = paired_interval(a, b, result.data["blocks"])
    difference, error = paired_difference(a, b, result.data["blocks"])
    assert d == difference
    assert half == pytest.approx(scipy.stats.t.ppf(0.975, 7) * error)
    one = rows_of({"a": rng.random(4), "b": rng.random(4)}, np.zeros(4, int))
    for row in one.rows:
        row.metrics["mse"]["seeds"] = [row.mse]
    assert paired_interval(*one.rows, one.data["blocks"])[1] == np.inf

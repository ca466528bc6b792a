"""The examples in the docstrings of the public names, and of what lies beside them, say what is true."""

import doctest
import importlib

import pytest

import estag_jax


def modules():
    """The modules of the public names, and of those that were."""
    places = (f"estag_jax.{place.partition(':')[0]}" for place in estag_jax._NAMES.values())
    return sorted({*places, *(name.rpartition(".")[0] for name in estag_jax._MOVED.values())})


@pytest.mark.parametrize("name", modules())
def test_examples_print_what_they_say(name):
    done = doctest.testmod(importlib.import_module(name), report=True)
    assert done.failed == 0


def test_most_of_what_a_program_calls_has_an_example():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in modules() for t in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) >= 12

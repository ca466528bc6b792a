"""The variants of ESTAG: what each of them changes, and what that does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.models.estag import EstagConfig
from estag_jax.models.variants import ORDER, WHOLE, check, departures, missing, variants
from estag_jax.testing import assert_equivariant, random_graph, random_window, randomize

SMALL = EstagConfig(hidden=4, layers=1)


@pytest.fixture(scope="module")
def data():
    return *random_window(1, 4, 5), random_graph(2, 4, edge_width=1)


def made(config, data, seed=0):
    """The module with parameters that are far from their start, as leaves by their path."""
    module = config.build()
    return module, randomize(jax.eval_shape(module.init, jax.random.key(seed), *data))


def changes(config):
    paper = EstagConfig()
    names = [field.name for field in dataclasses.fields(config)]
    return {n: getattr(config, n) for n in names if getattr(config, n) != getattr(paper, n)}


@pytest.mark.parametrize("channels", [1, 4])
def test_each_variant_differs_by_one_thing(channels):
    found = variants(channels)
    assert list(found)[0] == WHOLE and set(found) <= set(ORDER)
    several = {
        "without EDFT, as many parameters": {"edft", "hidden"},
        "not equivariant, windows turned": {"equivariant", "turn_in_training"},
        "released: spectrum": {"edft_filter", "edft_complex_square", "edft_normalize"},
        "released: all": set(departures(channels)),
    }
    for name, config in found.items():
        if isinstance(config, EstagConfig) and name != WHOLE:
            assert set(changes(config)) == several.get(name, set(changes(config)))
            assert len(changes(config)) == len(several.get(name, "1")), name
    assert len(set(found.values())) == len(found)
    alone = [changes(c) for n, c in found.items() if n.startswith("released: ")]
    together = {k: v for change in alone if len(change) == 1 for k, v in change.items()}
    assert together == departures(channels) == changes(EstagConfig.released(channels))


def test_names_are_found_or_refused():
    assert list(variants(1, ["1 layer"])) == [WHOLE, "1 layer"]
    with pytest.raises(ValueError, match="no variant 'without EDTF', did you mean 'without EDFT'"):
        check(["1 layer", "without EDTF"])
    check(ORDER)
    for name, channels in (("released: unit vectors", 1), ("released: leaky ReLU", 4)):
        assert list(variants(channels, [name])) == [WHOLE, name]
        assert list(variants(5 - channels, [name])) == [WHOLE]
    assert len(variants(1)) == len(variants(1, atoms=False)) + 1


@pytest.mark.parametrize("atoms", [True, False])
@pytest.mark.parametrize("channels", [1, 4])
def test_what_data_do_not_have_is_named_with_the_reason(channels, atoms):
    left_out = missing(channels, ORDER, atoms)
    assert {*variants(channels, atoms=atoms), *left_out} == set(ORDER) and left_out
    assert not set(left_out) & set(variants(channels, atoms=atoms))
    for name, why in left_out.items():
        words = {1: "several channels", 4: "one channel"}[channels]
        assert ("atom" if "atomic" in name else words) in why, name
    assert any("atom" in why for why in left_out.values()) != atoms


def test_parameters_are_matched(data):
    def count(name):
        config = variants(1)[name]
        shapes = jax.eval_shape(config.build().init, jax.random.key(0), *data)
        return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))

    whole, without, matched = (
        count(name) for name in (WHOLE, "without EDFT", "without EDFT, as many parameters")
    )
    assert without < 0.97 * whole < matched < 1.1 * whole


def test_spectra_are_left_out_one_by_one(data):
    """Without both spectra the network is that without EDFT, whose parameters it has."""
    neither = dataclasses.replace(SMALL, edft_nodes=False, edft_edges=False)
    module, variables = made(neither, data)
    rest = {name: part for name, part in variables["params"].items() if name != "edft"}
    without = dataclasses.replace(SMALL, edft=False).build().apply({"params": rest}, *data)
    np.testing.assert_allclose(module.apply(variables, *data), without, atol=1e-6)

    shapes = {}
    for left_out in ({}, {"edft_nodes": False}, {"edft_edges": False}):
        _, variables = made(dataclasses.replace(SMALL, **left_out), data)
        of = variables["params"]["spatial_0"]
        shapes[tuple(left_out)] = [len(of[n]["layer_0"]["kernel"]) for n in ("phi_h", "phi_m")]
    whole = np.array(shapes[()])
    past = data[0].shape[2]
    np.testing.assert_array_equal(whole - shapes[("edft_nodes",)], [past - 1, 0])
    np.testing.assert_array_equal(whole - shapes[("edft_edges",)], [0, past - 1])


def test_fixed_filters_are_those_that_learned_ones_saturate_at(data):
    module, variables = made(SMALL, data)
    filters = jax.tree.map(jnp.zeros_like, variables["params"]["edft"]["filter"])
    filters["bias"] += 50.0
    learned = {"params": variables["params"] | {"edft": {"filter": filters}}}
    rest = {name: part for name, part in variables["params"].items() if name != "edft"}
    fixed = dataclasses.replace(SMALL, edft_filter="fixed").build().apply({"params": rest}, *data)
    np.testing.assert_allclose(module.apply(learned, *data), fixed, rtol=1e-5, atol=1e-6)


def test_coordinates_among_the_features_follow_no_rotation(data):
    module, variables = made(dataclasses.replace(SMALL, equivariant=False), data)

    def forecast(x, f, g):
        return module.apply(variables, x, f, g)

    with pytest.raises(AssertionError, match="^rotation"):
        assert_equivariant(forecast, *data)
    assert_equivariant(forecast, *data, kinds=("translation", "permutation"))


def test_turned_windows_change_what_is_not_equivariant_alone(data):
    """In training, where there is a key; the forecast is turned back."""
    key = {"dropout": jax.random.key(3)}
    for equivariant in (True, False):
        config = dataclasses.replace(SMALL, equivariant=equivariant, turn_in_training=True)
        module, variables = made(config, data)
        plain = module.apply(variables, *data)
        turned = module.apply(variables, *data, rngs=key)
        apart = np.abs(turned - plain).max() / np.abs(plain - data[0][:, :, -1]).max()
        assert apart < 1e-5 if equivariant else apart > 1e-3
        without = dataclasses.replace(config, turn_in_training=False).build()
        np.testing.assert_array_equal(without.apply(variables, *data, rngs=key), plain)

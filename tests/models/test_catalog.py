"""The catalog: names, settings, labels, and what each entry claims of itself."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from helpers.springs import task
from helpers.walks import random_windows, task_of

from estag_jax.config import from_dict, to_dict
from estag_jax.models import published
from estag_jax.models.base import ClosedForm, Network
from estag_jax.models.catalog import (
    CLOSED_FORMS,
    CONFIGS,
    METHODS,
    as_method,
    choose,
    find,
    label,
    settings,
)
from estag_jax.models.estag import ESTAG, EstagConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.nn.config import NetworkConfig
from estag_jax.testing import random_graph, random_symmetry, random_window, randomize

NAMES = tuple(METHODS)
NETWORKS = tuple(name for name in NAMES if name not in CLOSED_FORMS)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ESTAG", "ESTAG"),
        ("estag", "ESTAG"),
        ("var-ridge", "VAR ridge"),
        ("VAR_Ridge", "VAR ridge"),
        ("arls", "AR-LS"),
        ("ar ls PER node", "AR-LS per node"),
        ("last_frame", "Last frame"),
        ("PT-s", "First frame"),
        ("pt_m", "Middle frame"),
        ("st_se3_tr", "ST_SE(3)-Tr"),
        ("ST-SE(3)-TR", "ST_SE(3)-Tr"),
        ("aglstan", "AGL-STAN"),
        ("reference", "ESTAG as released"),
        ("Released", "ESTAG as released"),
        ("egnn+residual head", "EGNN + residual head"),
        ("gmn + residual-head", "GMN + residual head"),
    ],
)
def test_names_are_found_in_any_case_and_punctuation(typed, name):
    assert find(typed) == name


def test_every_name_alias_and_published_name_finds_its_own_method():
    for name, entry in METHODS.items():
        # The published ESTAG is the one as released; a name comes before a published one.
        published = () if entry.published in ("", *NAMES) else (entry.published,)
        for known in (name, *entry.aliases, *published):
            for typed in (known, known.upper(), known.lower().replace(" ", "_")):
                assert find(typed) == name


def test_an_unknown_name_is_one_line_with_the_nearest_and_all():
    with pytest.raises(ValueError, match="no method 'ESTGA', did you mean 'ESTAG'") as raised:
        find("ESTGA")
    assert "\n" not in str(raised.value) and all(name in str(raised.value) for name in NAMES)
    with pytest.raises(ValueError, match="no method 'zzzz'; there are First frame"):
        find("zzzz")
    for nothing in ("", "-"):
        with pytest.raises(ValueError, match="no method"):
            find(nothing)


def test_choose_takes_each_once_in_the_order_typed():
    assert choose(["estag", "PT-t", "ESTAG", "last frame"]) == ("ESTAG", "Last frame")
    assert choose([]) == choose(["all"]) == NAMES
    with pytest.raises(ValueError, match="no method 'nothing'"):
        choose(["estag", "nothing"])


def test_closed_forms_come_first_and_are_the_closed_forms():
    assert NAMES[: len(CLOSED_FORMS)] == CLOSED_FORMS
    assert NAMES[-1] == "GMN + residual head" and NAMES[len(CLOSED_FORMS)] == "EGNN-s"
    for name in NAMES:
        kind = ClosedForm if name in CLOSED_FORMS else NetworkConfig
        for channels in (1, 4):
            assert isinstance(METHODS[name].config(channels), kind)
    named = {name: METHODS[name].published for name in CLOSED_FORMS if METHODS[name].published}
    assert named == published.CLOSED_FORMS


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_settings_survive_json(name, channels):
    config = METHODS[name].config(channels)
    saved = json.loads(json.dumps(to_dict(config)))
    (kind,) = (kind for kind in CONFIGS if kind.__name__ == saved["type"])
    assert from_dict(kind, saved) == config and type(config) is kind
    for field in dataclasses.fields(config):  # a field that was lost would have its default
        assert getattr(from_dict(kind, saved), field.name) == getattr(config, field.name)


def test_settings_depend_on_the_channels_of_the_task():
    assert settings("ST_EGNN", channels=1) == StEgnnConfig()
    assert settings("ST_EGNN", channels=4) == StEgnnConfig.gmn()
    assert settings("EGNN-t", channels=1).clamp and settings("EGNN-t", channels=4).clamp is None
    assert settings("released", channels=4) == EstagConfig.released(4)
    assert settings("released", channels=4) != settings("released", channels=1)
    of = task_of(random_windows(4, channels=4))
    for name in NAMES:
        assert settings(name, of) == settings(name, channels=4) == METHODS[name].config(4)
    assert settings("estag", of, head="last") == EstagConfig(head="last")
    assert settings("var-ridge", of, head="last") == METHODS["VAR ridge"].config(4)


def test_atoms_enter_one_hot_unless_the_released_program_is_asked_for():
    one, several = task(), task((3, 5))
    for name in NETWORKS:
        own, released = settings(name, one), settings(name, one, elements="number")
        assert own.elements == ("number" if name == "ESTAG as released" else "one-hot")
        compared = not isinstance(own, EstagConfig)
        assert released == (dataclasses.replace(own, elements="number") if compared else own)
        # One float cannot tell the elements of different molecules apart.
        for asked in (None, "number"):
            together = settings(name, several, elements=asked)
            assert together == dataclasses.replace(own, elements="one-hot")
    own = EstagConfig(elements="number")
    assert settings(own, several) is own  # what was given is not changed


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_names(name):
    assert label(name) == label(name.lower()) == name
    assert label(METHODS[name].config(1)) == name
    # With several channels ST_EGNN is ST_GMN; a label may be that of either.
    assert METHODS[label(METHODS[name].config(4))].config(4) == METHODS[name].config(4)
    config = METHODS[name].config(1)
    if isinstance(config, NetworkConfig):
        assert label(name, config.head) == name and label(name, "last") in (name, f"{name} (last)")
    else:
        assert label(name, "last") == name


def test_labels_of_what_is_not_in_the_catalog_are_those_of_classes():
    assert label("estag", "softmax") == "ESTAG (softmax)"
    assert label(EstagConfig(hidden=3)) == "EstagConfig"
    module = ESTAG(EstagConfig(hidden=3))
    assert label(Network(module)) == "ESTAG" and as_method(module) == Network(module)
    assert as_method("estag") == "estag" and as_method(config := EstagConfig()) is config


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_equivariant_as_they_claim(name):
    """Under a rotation or reflection about the centre; those that are not do not commute with it."""
    entry, channels = METHODS[name], 2
    config = entry.config(channels)
    config = dataclasses.replace(config, **{"hidden": 8, "layers": max(1, min(config.layers, 2))})
    if name == "ESTAG without layers":
        config = dataclasses.replace(config, layers=0)
    module = config.build()
    history, features = random_window(1, 5, 7, channels=channels, batch=2)
    history = history - history[:, :, -1].mean(axis=(0, 1, 2))
    graph = random_graph(2, 5, edge_width=1, density=0.8)
    variables = randomize(jax.eval_shape(module.init, jax.random.key(0), history, features, graph))
    if "batch_stats" in variables:  # variances are positive
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    apply = jax.jit(module.apply)
    out = np.asarray(apply(variables, history, features, graph))
    step = np.abs(out - history[:, :, -1]).max()
    errors = {}
    for kind in ("rotation", "reflection"):
        symmetry = random_symmetry(3, 5, kind)
        moved = apply(variables, symmetry.on_positions(history), features, graph)
        errors[kind] = np.abs(np.asarray(moved) - symmetry.on_positions(out)).max() / step
        assert np.abs(symmetry.on_positions(out) - out).max() > 0.1 * step
    if entry.equivariant:
        assert max(errors.values()) < 1e-4
    else:
        assert min(errors.values()) > 1e-2


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms_are_equivariant_as_they_claim(name, x64):
    history, target = random_windows(20, 3, 5)
    system = (task := task_of((history, target), up=np.array([0.0, 0.6, 0.8]))).system
    predictor = METHODS[name].config(1).fit(task)
    symmetry = random_symmetry(3, 3, "reflection")
    # Nodes first, as in a fit; they are not renamed, since weights may belong to nodes.
    out = predictor(history, system)
    turned = dataclasses.replace(system, vectors=symmetry.on_external(system.vectors))
    moved = predictor(symmetry.on_positions(history), turned)
    assert METHODS[name].equivariant
    np.testing.assert_allclose(moved, symmetry.on_positions(out), atol=1e-8)

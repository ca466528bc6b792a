"""Forecasters: pure functions for other JAX code, and their files."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.springs import frames, task, training

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.settings import SplitConfig, WindowConfig
from estag_jax.data.system import System
from estag_jax.data.task import Task
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import FileError
from estag_jax.models import compiled
from estag_jax.models.base import Network, NetworkPredictor, network_inputs
from estag_jax.models.catalog import settings
from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.forecaster_file import VERSION
from estag_jax.nn.config import NetworkConfig
from estag_jax.npz import read_npz, write_npz
from estag_jax.testing import randomize
from estag_jax.training.fit import fit

QUICK = EgnnConfig(hidden=4, layers=1, head="residual")  # to compile


@pytest.fixture(scope="module")
def molecule():
    """A task with everything that a system may have, no field at its default (tested below)."""
    rng = np.random.default_rng(0)
    positions = (frames(4)[:, :, None] + rng.normal(size=(4, 2, 3))).astype(np.float32)
    system = System(
        names=("O1", "H1", "H2", "Ö"),
        atomic_numbers=np.array([8, 1, 1, 6]),
        node_features=rng.normal(size=(4, 2)).astype(np.float32),
        channels=2,
        length_unit="nm",
        bonds=np.array([[0, 1], [0, 2], [0, 3]]),
        bond_orders=np.array([1, 1.5, 2], np.float32),
        hydrogens=np.array([0, 1, 2, 3]),
        anchor=1,
        contact_distance=6.0,
        vectors={"up": np.array([0, 0, 1.5]), "field": np.array([0.1, -0.2, 0.3])},
    )
    trajectory = Trajectory(system, positions, frame_step=0.5, time_unit="fs")
    graph = GraphConfig(kind="bonds")
    return Task(trajectory, WindowConfig(past=4, delta=2), SplitConfig(train=20), graph)


def test_the_molecule_leaves_no_field_at_its_default(molecule):
    for field in dataclasses.fields(molecule.system):
        value = getattr(molecule.system, field.name)
        assert field.default is dataclasses.MISSING or np.any(value != field.default), field.name


def with_random_weights(config, of):
    """As after training, without the time that it takes."""
    module, inputs = config.build(), network_inputs(of.system, config.elements)
    shapes = jax.eval_shape(module.init, jax.random.key(0), histories(of)[:1], *inputs)
    variables = jax.tree.map(jnp.asarray, randomize(shapes))
    predictor = NetworkPredictor(variables, module, config.elements)
    return Forecaster.bind(predictor, config, of.trajectories[0], of.window)


@pytest.fixture(scope="module")
def network(molecule):
    return with_random_weights(QUICK, molecule)


def histories(of, part="test"):
    (windows,) = of.windows(part)
    return windows.history


@pytest.mark.parametrize(
    "method", ["var-ridge", "frame-ridge", "in-context-ar", "AR-LS", "AR-LS per node", "ST_EGNN"]
)
def test_files_keep_forecasters_of_the_catalog_without_the_data(method, molecule, tmp_path):
    config = settings(method, molecule)
    if isinstance(config, NetworkConfig):
        saved = with_random_weights(config, molecule)
    else:
        saved = fit(method, molecule).forecaster
    saved.save(tmp_path / "f.npz")
    loaded = Forecaster.load(tmp_path / "f.npz")
    history = histories(molecule)
    np.testing.assert_array_equal(loaded.predict(history), saved.predict(history))
    assert loaded.method == saved.method and loaded.window == saved.window
    assert loaded.predictor.parameters == saved.predictor.parameters > 0
    assert (loaded.frame_step, loaded.time_unit, loaded.time_step) == (0.5, "fs", 1.0)
    for field in dataclasses.fields(saved.system):
        if field.name == "vectors":
            assert saved.system.vectors.keys() == loaded.system.vectors.keys()
            for name, vector in saved.system.vectors.items():
                np.testing.assert_array_equal(loaded.system.vectors[name], vector)
        elif field.name != "graph":
            found, given = getattr(loaded.system, field.name), getattr(saved.system, field.name)
            np.testing.assert_array_equal(found, given, err_msg=field.name)
    for ends in ("senders", "receivers", "edge_features"):
        found, given = getattr(loaded.system.graph, ends), getattr(saved.system.graph, ends)
        np.testing.assert_array_equal(found, given)
    np.testing.assert_array_equal(loaded.system.inputs(), saved.system.inputs())
    assert repr(loaded) == repr(saved)


def test_what_is_no_forecaster_is_one_line(network, tmp_path):
    path = tmp_path / "f.npz"
    network.save(path)
    arrays, about = read_npz(path), json.loads(str(read_npz(path)["about"]))

    def changed(name, drop=(), **changes):
        text = np.array(json.dumps(about | changes))
        kept = {key: a for key, a in (arrays | {"about": text}).items() if key not in drop}
        write_npz(tmp_path / name, kept)

    changed("newer.npz", version=VERSION + 1)
    changed("other.npz", format="something else")
    changed("no method.npz", method={"type": "NoSuchConfig"})
    changed("no field.npz", method={"type": "EstagConfig", "depth": 3})
    changed("no window.npz", window={"past": 0})
    changed("lacks.npz", drop=["graph/senders"])
    changed("lacks features.npz", drop=["system/node_features"])
    write_npz(tmp_path / "frames.npz", {"positions": np.zeros(3)})
    write_npz(tmp_path / "numbers.npz", {"about": np.zeros(3)})
    write_npz(tmp_path / "list.npz", {"about": np.array("[1]")})
    (tmp_path / "text.npz").write_text("no zip")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-200])
    whole = path.read_bytes()
    middle = whole.index(np.asarray(arrays["system/node_features"]).tobytes() or b"fitted") + 2
    (tmp_path / "flipped.npz").write_bytes(
        whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    )
    for name, message in {
        "newer.npz": rf"written by a newer estag_jax \(format {VERSION + 1}.*update",
        "other.npz": "is not a forecaster of estag_jax",
        "no method.npz": "no method has settings 'NoSuchConfig'",
        "no field.npz": "EstagConfig has no field 'depth'",
        "no window.npz": "window past is 0",
        "lacks.npz": "graph/senders",
        "lacks features.npz": "system/node_features",
        "frames.npz": "is not a forecaster of estag_jax",
        "numbers.npz": "is not a forecaster of estag_jax",
        "list.npz": "is not a forecaster of estag_jax",
        "text.npz": "is not an npz file",
        "cut.npz": "damaged or cut short",
        "flipped.npz": "damaged or cut short",
        "missing.npz": "there is no such file",
    }.items():
        with pytest.raises(FileError, match=message) as raised:
            Forecaster.load(tmp_path / name)
        assert "\n" not in str(raised.value) and name in str(raised.value)


class Counting(nn.Module):
    """The last frame and a learnt multiple of the last step; says when it is traced."""

    @nn.compact
    def __call__(self, history, node_features, graph):
        weight = self.param("weight", nn.initializers.ones, (), history.dtype)
        if isinstance(history, jax.core.Tracer):
            TRACES.append(isinstance(weight, jax.core.Tracer))
        return history[:, :, -1] + weight * (history[:, :, -1] - history[:, :, -2])


TRACES = []


def test_jit_over_a_forecaster_neither_retraces_nor_bakes_weights_in():
    of = task()
    forecaster = fit(Network(Counting()), of, train=training(1)).forecaster
    history = jnp.asarray(histories(of)[0])
    run = jax.jit(lambda f, h: f.predict(h))
    TRACES.clear()
    first = run(forecaster, history)
    assert TRACES == [True]
    found = {}
    for scale in (0.0, 2.0):
        other = jax.tree.map(lambda leaf: leaf * 0 + scale, forecaster.predictor)  # noqa: B023
        found[scale] = run(dataclasses.replace(forecaster, predictor=other), history)
    assert TRACES == [True]  # not traced again, and the weight was no constant
    last, before = history[:, -1], history[:, -2]
    np.testing.assert_allclose(found[0.0], last, rtol=1e-6)
    np.testing.assert_allclose(found[2.0], 3 * last - 2 * before, rtol=1e-5, atol=1e-6)
    assert np.abs(first - found[0.0]).max() > 1e-3


def test_everything_that_is_an_array_is_a_leaf(network):
    leaves = jax.tree.leaves(network)
    sizes = sum(np.size(leaf) for leaf in leaves)
    graph, features = network.system.graph, network.system.inputs()
    ends = graph.senders.size + graph.receivers.size
    assert sizes >= network.predictor.parameters + features.size + ends
    compiled = jax.jit(lambda f, h: f.predict(h)).lower(network, histories_like(network))
    assert "dense_resource" not in compiled.as_text()
    again = jax.tree.unflatten(jax.tree.structure(network), leaves)
    assert again.system is network.system and again.method == network.method


def histories_like(forecaster):
    shape = forecaster.system.num_nodes, forecaster.past, forecaster.system.channels, 3
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def test_vmap_and_batches_are_single_calls(network, molecule):
    batch = jnp.asarray(histories(molecule)[:3])
    predict, roll = jax.jit(network.predict), jax.jit(lambda h: network.rollout(h, 3))
    single = np.stack([predict(window) for window in batch])
    for many in (predict(batch), jax.jit(jax.vmap(network.predict))(batch)):
        np.testing.assert_allclose(many, single, rtol=1e-5, atol=1e-5)
    rolled = np.stack([roll(window) for window in batch], axis=1)
    np.testing.assert_allclose(roll(batch), rolled, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_differences(x64):
    of = task(dtype=np.float64)
    forecaster = with_random_weights(QUICK, of)
    history = jnp.asarray(histories(of)[0])
    rng = np.random.default_rng(2)
    towards = jnp.asarray(rng.normal(size=history.shape))

    @jax.jit
    def loss(f, h):
        return (f.rollout(h, 2) ** 2).mean()

    slope = jnp.vdot(jax.jit(jax.grad(loss, 1))(forecaster, history), towards)
    ahead, back = (loss(forecaster, history + s * 1e-5 * towards) for s in (1, -1))
    np.testing.assert_allclose(slope, (ahead - back) / 2e-5, rtol=1e-5)

    def of_weights(variables):
        predictor = dataclasses.replace(forecaster.predictor, variables=variables)
        return loss(dataclasses.replace(forecaster, predictor=predictor), history)

    variables = forecaster.predictor.variables
    along = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), variables)
    slope = jax.jit(lambda v, a: jax.jvp(of_weights, (v,), (a,))[1])(variables, along)
    ahead, back = (
        of_weights(jax.tree.map(lambda v, a: v + s * 1e-5 * a, variables, along))  # noqa: B023
        for s in (1, -1)
    )
    np.testing.assert_allclose(slope, (ahead - back) / 2e-5, rtol=1e-4)
    assert abs(slope) > 1e-6


def test_a_rollout_is_a_loop(network, molecule):
    history = histories(molecule)[0]
    expected, moving, predict = [], history, jax.jit(network.predict)
    for _ in range(5):
        expected.append(np.asarray(predict(moving)))
        moving = np.concatenate([moving[:, 1:], expected[-1][:, None]], axis=1)
    for roll in (jax.jit(lambda f, h: f.rollout(h, 5)), lambda f, h: f.rollout(h, 5)):
        found = roll(network, history)
        assert found.shape == (5, 4, 2, 3)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_rollout_of_numbers_takes_the_fast_path_and_a_traced_one_does_not(network, monkeypatch):
    taken, rolled = [], compiled.rollout

    def recorded(predictor, *rest):
        taken.append(predictor.module.features_first)
        return rolled(predictor, *rest)

    monkeypatch.setattr(compiled, "rollout", recorded)
    history = jnp.zeros((network.system.num_nodes, network.past, network.system.channels, 3))
    network.rollout(history, 1)
    jax.eval_shape(lambda h: network.rollout(h, 1), history)
    jax.eval_shape(lambda f: f.rollout(history, 1), network)
    assert taken == [True, False, False]


def test_a_forecaster_that_looks_further_cannot_be_rolled_out():
    of = task(window=WindowConfig(past=4, delta=2, horizons=(3,)))
    forecaster = fit("constant velocity", of).forecaster
    assert forecaster.horizon == 3
    with pytest.raises(ValueError, match=r"looks 3 steps ahead .*--window.horizons 1"):
        forecaster.rollout(histories(of)[0], 2)


def test_another_shape_is_refused_with_the_one_expected(network):
    good = histories_like(network)
    assert jax.eval_shape(network.predict, good).shape == (4, 2, 3)
    for bad in (good[:3], good[:, 1:], good[:, :, :1], good[..., :2], good[None, None], good[0]):
        with pytest.raises(ValueError, match=r"expected \(4, 4, 2, 3\), or \(windows") as raised:
            network.predict(bad)
        assert str(bad.shape) in str(raised.value)
    with pytest.raises(ValueError, match="expected"):
        network.rollout(good[:3], 2)


def test_histories_are_cut_from_frames(network, molecule):
    positions = molecule.trajectories[0].positions
    (windows,) = molecule.windows("test")
    start = int(windows.starts[3])
    np.testing.assert_array_equal(network.history(positions, start), windows.history[3])
    assert network.past == 4 and network.history(positions[:7]).shape == (4, 4, 2, 3)
    for call, message in (
        (lambda: network.history(positions[:6]), r"needs frames 0 to 6 .*T=4, Δ=2.* there are 6"),
        (lambda: network.history(positions, 394), "needs frames 394 to 400 .* there are 400"),
        (lambda: network.history(positions, -1), "from frame -1"),
        (lambda: network.history(positions[:, :3]), r"expected \(frames, \*\(4, 2, 3\)\)"),
        (lambda: network.history(positions[:, :, 0]), r"\(400, 4, 1, 3\), expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    single = fit("last frame", task()).forecaster
    np.testing.assert_array_equal(single.history(frames())[:, :, 0], frames()[:7:2].swapaxes(0, 1))


def test_a_forecaster_says_what_it_is_in_one_line(network):
    number = f"{network.predictor.parameters:,}"
    assert repr(network) == f"Forecaster(EgnnConfig, 4 nodes, T=4, Δ=2, {number} parameters)"
    named = fit("last frame", task()).forecaster
    assert repr(named) == "Forecaster(Last frame, 3 nodes, T=4, Δ=2, 0 parameters)"

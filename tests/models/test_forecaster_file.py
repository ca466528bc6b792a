"""Files of forecasters: what they keep, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from helpers.forecasters import histories, with_random_weights

from estag_jax.io import FileError
from estag_jax.models.catalog import settings
from estag_jax.models.forecaster import Forecaster
from estag_jax.models.forecaster_file import VERSION
from estag_jax.nn.config import NetworkConfig
from estag_jax.npz import read_npz, write_npz
from estag_jax.training.fit import fit


def test_the_molecule_leaves_no_field_at_its_default(molecule):
    for field in dataclasses.fields(molecule.system):
        value = getattr(molecule.system, field.name)
        assert field.default is dataclasses.MISSING or np.any(value != field.default), field.name


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

"""The models against the authors' released program, through arrays in its own naming."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.graph import Graph, stack
from estag_jax.interop.released import load_released

PARITY = Path(__file__).parents[1] / "data" / "parity"
NAMES = ("estag_c1", "estag_c4", "st_egnn")


@pytest.mark.parametrize("dtype, bound", [(np.float64, 1e-9), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", NAMES)
def test_predictions_agree_with_the_released_program(name, dtype, bound):
    file = np.load(PARITY / f"{name}.npz", allow_pickle=False)
    with jax.enable_x64(dtype == np.float64):
        model, variables = load_released(PARITY / f"{name}.npz")
        variables = jax.tree.map(lambda a: jnp.asarray(a, dtype), variables)
        history, truth = file["history"].astype(dtype), file["prediction"]
        ends, nodes = (file["senders"], file["receivers"]), truth.shape[1]
        graph = stack([Graph(*ends, nodes, features) for features in file["edge_features"]])
        predicted = jax.jit(model.apply)(
            variables, history, file["node_features"].astype(dtype), graph
        )
        assert predicted.dtype == dtype and len(predicted) == len(truth)
        # Relative to how far each prediction moves, the stricter of the possible measures.
        moved = np.abs(truth - history[:, :, -1]).max(axis=(1, 2, 3))
        assert (np.abs(predicted - truth).max(axis=(1, 2, 3)) <= bound * moved).all()


def _arrays(past, hidden, layers, channels, features, attention=True):
    """Random arrays in the released program's naming, other sizes than the parity files'."""
    rng = np.random.default_rng(past + hidden)
    invariants, k = channels**2, past - 1

    def linear(name, inputs, outputs, bias=True):
        out = {f"{name}.weight": rng.normal(size=(outputs, inputs)) / np.sqrt(inputs)}
        return out | ({f"{name}.bias": rng.normal(size=outputs)} if bias else {})

    def mlp(name, inputs, outputs, bias=True):
        return linear(f"{name}.0", inputs, hidden) | linear(f"{name}.2", hidden, outputs, bias)

    arrays = {
        "theta": rng.normal(size=(1, past)) / past,
        "TimeEmbedding.weight": rng.normal(size=(past, hidden)),
        **linear("embedding", features, hidden),
        **linear("attn_mlp.0", hidden, 1),
    }
    for i in range(layers):
        name, at = f"egcl_{2 * i + 1}", f"egcl_at_{2 * i + 2}"
        arrays |= mlp(f"{name}.edge_mlp", 2 * hidden + invariants + k, hidden)
        arrays |= mlp(f"{name}.node_mlp", 2 * hidden + k, hidden)
        arrays |= mlp(f"{name}.coord_mlp", hidden, channels, bias=False)
        if attention:
            for part in "qkv":
                arrays |= mlp(f"{at}.{part}_mlp", hidden, hidden)
            arrays |= mlp(f"{at}.coord_mlp", hidden, channels, bias=False)
    return arrays


@pytest.mark.parametrize(
    "past, hidden, layers, channels, attention",
    [(2, 3, 1, 1, True), (6, 8, 3, 1, False), (5, 4, 2, 4, True), (12, 5, 1, 3, True)],
)
def test_sizes_are_read_off_the_arrays(past, hidden, layers, channels, attention):
    arrays = _arrays(past, hidden, layers, channels, features=2, attention=attention)
    model, variables = load_released({f"param/{k}": v for k, v in arrays.items()})
    assert (model.config.hidden, model.config.layers) == (hidden, layers)
    assert model.config.attention == attention
    rng = np.random.default_rng(0)
    graph = Graph([0, 1, 2, 3, 2], [1, 0, 3, 2, 0], 5)
    history, features = rng.normal(size=(3, 5, past, channels, 3)), rng.normal(size=(1, 5, 2))
    with jax.enable_x64(True):
        # The tree must be the one that the model itself makes, neither more nor less.
        own = jax.eval_shape(model.init, jax.random.key(0), history, features, graph)
        jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), own, variables)
        predicted = jax.jit(model.apply)(variables, history, features, graph)
    assert predicted.shape == (3, 5, channels, 3)
    assert np.isfinite(predicted).all()


def test_a_missing_array_is_named():
    arrays = _arrays(4, 3, 1, 1, 1)
    del arrays["egcl_at_2.k_mlp.2.weight"]
    with pytest.raises(ValueError, match="egcl_at_2.k_mlp.2.weight is missing"):
        load_released(arrays)


def test_foreign_arrays_are_refused():
    with pytest.raises(ValueError, match="neither"):
        load_released({"weight": np.zeros(3)})


def test_theta_of_another_length_is_refused():
    arrays = _arrays(4, 3, 1, 1, 1) | {"theta": np.zeros((1, 7))}
    with pytest.raises(ValueError, match="theta has 7 weights for 4 frames"):
        load_released(arrays)

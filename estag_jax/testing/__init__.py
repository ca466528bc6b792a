"""Assertions for your own tests: a model is equivariant, and the test of that is not vacuous.

    from estag_jax.models.estag import EstagConfig
    from estag_jax.testing import (
        assert_equivariant,
        assert_padding_invariant,
        assert_windows_independent,
        random_graph,
        random_window,
        randomize,
    )

    def test_my_model():
        model, graph = EstagConfig().build(), random_graph(0, num_nodes=5)
        history, features = random_window(1, num_nodes=5, frames=4, batch=3)
        variables = randomize(model.init(jax.random.key(2), history, features, graph))
        function = jax.jit(partial(model.apply, variables))
        assert_equivariant(function, history, features, graph)
        assert_padding_invariant(function, history, features, graph)
        assert_windows_independent(function, history, features, graph)

A function that returns the last frame, ignores the past, or sees no neighbour is equivariant too,
and proves nothing. Each assertion therefore first shows that the output is finite and depends on
what it should depend on. Then it compares f(g·x) with g·f(x), with the coordinates near the origin
and ``distance`` units away from it:

 - far, the error is relative to the largest coordinate (1e-5 in float32, 1e-11 in float64). In
   float32 at 100 units that is 1e-3 units, which would hide a small fault; therefore
 - near, it is relative to what the function predicts, that is the displacement from the input.
   Vectors and invariants are compared with their own size; far away, where the differences that
   they are made of have lost digits, less strictly by distance / spread of the points.

Padding and the other windows of a batch are compared with the displacement as well (1e-6 in float32,
1e-12 in float64).

float64 data needs JAX's x64 mode, for example inside ``with jax.enable_x64(True):``.
"""

from estag_jax.testing.assertions import (
    FAR_TOLERANCE,
    NEAR_TOLERANCE,
    assert_equivariant,
    assert_invariant,
)
from estag_jax.testing.batches import (
    BATCH_TOLERANCE,
    assert_padding_invariant,
    assert_windows_independent,
)
from estag_jax.testing.symmetry import (
    KINDS,
    Symmetry,
    random_graph,
    random_symmetry,
    random_window,
    randomize,
)

__all__ = [
    "BATCH_TOLERANCE",
    "FAR_TOLERANCE",
    "KINDS",
    "NEAR_TOLERANCE",
    "Symmetry",
    "assert_equivariant",
    "assert_invariant",
    "assert_padding_invariant",
    "assert_windows_independent",
    "random_graph",
    "random_symmetry",
    "random_window",
    "randomize",
]

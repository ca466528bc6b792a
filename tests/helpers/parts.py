"""Networks on a graph in parts beside the same networks on one device; needs 8 devices, prints JSON."""

import json
import sys

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from estag_jax.graph import Graph
from estag_jax.ops.halo import NODES
from estag_jax.ops.partition import bisect, split_graph
from estag_jax.ops.segment import mean_over_nodes
from estag_jax.ops.sharding import device_mesh
from helpers.worker import MODELS

B, N, T = 4, 29, 5


def inputs(channels, rng):
    """History, features, targets and a graph of neighbours with a hub and an isolated node."""
    x = rng.normal(size=(B, N, T, channels, 3))
    places = x[0, :, 0, 0]
    near = np.linalg.norm(places[:, None] - places[None], axis=-1) < 1.2
    near[0] = True
    near[-1] = near[:, -1] = False
    receivers, senders = np.nonzero(near & ~np.eye(N, dtype=bool))
    features = rng.normal(size=(len(senders), 2))
    graph = Graph(senders, receivers, N, features)
    return x, rng.normal(size=(1, N, 3)), rng.normal(size=(B, N, channels, 3)), graph


def compare(name, parts, channels):
    """Largest differences of loss, forecast, and gradients by parameters and history; and the program."""
    rng = np.random.default_rng(parts)
    x, features, target, graph = inputs(channels, rng)
    module = MODELS[name].build()
    variables = module.init(jax.random.key(1), x, features, graph)
    variables = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape), variables)

    def loss(variables, x, features, graph, target):
        frame = module.apply(variables, x, features, graph)
        return mean_over_nodes((frame - target) ** 2, graph, axes=(2, 3)).sum(), frame

    def in_part(*given):
        total, frame = loss(*given)
        return jax.lax.psum(total, "data"), frame

    part = bisect(x[0, :, 0, 0], parts)
    split = split_graph(graph, part)
    by_node, by_both = P(None, NODES), P("data", NODES)
    parallel = jax.shard_map(
        in_part,
        mesh=device_mesh(8 // parts, parts),
        in_specs=(P(), by_both, by_node, by_node, by_both),
        out_specs=(P(), by_both),
    )
    gradient = [
        jax.jit(jax.value_and_grad(f, argnums=(0, 1), has_aux=True)) for f in (loss, parallel)
    ]
    given = variables, split.spread(x), split.spread(features), split.graph, split.spread(target)
    program = gradient[1].lower(*given).compile()
    (l1, y1), (v1, x1) = program(*given)
    (l0, y0), (v0, x0) = gradient[0](variables, x, features, graph, target)
    pairs = [(l0, l1), (y0, split.collect(y1)), (x0, split.collect(x1))]
    pairs += zip(jax.tree.leaves(v0), jax.tree.leaves(v1), strict=True)
    text = program.as_text()
    # What is not exact: the first node of each part is sent in place of the right ones.
    wrong = jax.tree.map(np.copy, split.graph)
    wrong.halo.send[:] = 0
    (l2, _), _ = program(*given[:3], wrong, given[4])
    return {
        "difference": max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs),
        "gradient": float(np.abs(x0).max()),
        "wrong": float(abs(l2 - l0)),
        "all_to_all": "all-to-all" in text,
        "all_gather": "all-gather" in text,
    }


if __name__ == "__main__":
    print(json.dumps([compare(*case) for case in json.loads(sys.argv[1])]))

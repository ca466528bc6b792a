"""How many nodes the parts of a graph exchange: the table of docs/nodes.md."""

import numpy as np
from scipy.spatial import cKDTree

from estag_jax import Graph
from estag_jax.ops.partition import bisect, split_graph

x = np.random.default_rng(0).uniform(size=(20_000, 3))
senders = cKDTree(x).query(x, 17)[1][:, 1:].reshape(-1)
graph = Graph(senders, np.repeat(np.arange(len(x)), 16), len(x))
for parts in (2, 4, 8, 16):
    local = split_graph(graph, bisect(x, parts)).graph
    halo = [len(np.unique(s[s >= local.num_nodes])) for s in local.senders.reshape(parts, -1)]
    print(parts, local.num_nodes, max(halo), local.halo.size // parts)

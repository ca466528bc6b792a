"""Single-frame networks, ST_GMN and ST_GNN, small and with random parameters, and data for them."""

import dataclasses
from functools import partial

import jax
import numpy as np

from estag_jax.models.egnn import EgnnConfig
from estag_jax.models.st_egnn import StEgnnConfig
from estag_jax.models.st_gnn import StGnnConfig
from estag_jax.testing import random_graph, random_window, randomize

FRAMES = ("first", "middle", "last")
EQUIVARIANT = {f"egnn-{frame}": EgnnConfig(frame=frame, hidden=6).build() for frame in FRAMES}
EQUIVARIANT["gmn"] = StEgnnConfig.gmn(hidden=6).build()
MODELS = EQUIVARIANT | {"gnn": StGnnConfig(hidden=6).build()}


def with_head(model, head):
    return model.clone(config=dataclasses.replace(model.config, head=head))


def make_data(
    nodes=5, past=6, channels=1, edge_width=1, isolated=1, dtype=np.float32, batch=1, key=1
):
    history, features = random_window(key, nodes, past, channels=channels, dtype=dtype, batch=batch)
    graph = random_graph(key + 1, nodes, edge_width=edge_width, isolated=isolated, density=0.7)
    return history, features, graph


def bind(model, *data, key=3):
    shapes = jax.eval_shape(model.init, jax.random.key(0), *data)
    variables = randomize(shapes, key)
    if "batch_stats" in variables:  # variances are positive
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    return variables, jax.jit(partial(model.apply, variables))

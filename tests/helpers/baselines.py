"""Single-frame and plain networks, small and with random parameters, and data for them."""

import dataclasses
from functools import partial

import jax
import numpy as np

from estag_jax.models.agl_stan import (
    AglStan,
    AglStanConfig,
)
from estag_jax.models.egnn import Egnn, EgnnConfig
from estag_jax.models.st_egnn import StEgnn, StEgnnConfig
from estag_jax.models.st_gnn import GnnConfig, StGnn
from estag_jax.models.stag import Stag
from estag_jax.models.stgcn import (
    Stgcn,
    StgcnConfig,
)
from estag_jax.testing import random_topology, random_window, randomize

FRAMES = ("first", "middle", "last")
EQUIVARIANT = {f"egnn-{frame}": Egnn(EgnnConfig(frame, hidden=6)) for frame in FRAMES}
EQUIVARIANT["gmn"] = StEgnn(StEgnnConfig.gmn(hidden=6))
PLAIN = {
    "gnn": StGnn(GnnConfig(hidden=6)),
    "stgcn": Stgcn(StgcnConfig(hidden=10, gated=16)),
    "agl_stan": AglStan(AglStanConfig(hidden=4)),
    "stag": Stag(),
}
MODELS = EQUIVARIANT | PLAIN


def with_head(name, head):
    return MODELS[name].clone(config=dataclasses.replace(MODELS[name].config, head=head))


def make_data(nodes=5, past=6, channels=1, edge_width=1, isolated=1, dtype=np.float32):
    history, features = random_window(1, nodes, past, channels=channels, dtype=dtype)
    graph = random_topology(2, nodes, edge_width=edge_width, isolated=isolated, density=0.7)
    return history, features, graph


def bind(model, *data, key=3):
    shapes = jax.eval_shape(model.init, jax.random.key(0), *data)
    variables = randomize(shapes, key)
    if "batch_stats" in variables:  # variances are positive
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    return variables, jax.jit(partial(model.apply, variables))

"""Windows whose next frame has errors of a known covariance in frames that turn with the system."""

import numpy as np

from estag_jax.data.system import System
from estag_jax.ops.frames import local_frames

BENT = np.array([[0.0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [1.8, 2.0, 1.2]])


def system(nodes, channels=1):
    """A chain of bonded nodes."""
    bonds = np.stack([np.arange(nodes - 1), np.arange(1, nodes)], axis=1)
    return System(
        names=tuple(f"n{i}" for i in range(nodes)),
        node_features=np.ones((nodes, 1), np.float32),
        channels=channels,
        bonds=bonds if nodes > 1 else None,
    )


def histories(rest, windows, frames=4, seed=0, size=0.02):
    """A shape [N, 3] that trembles, anywhere and turned anyhow [W, N, T, 1, 3]."""
    rng = np.random.default_rng(seed)
    x = rest[:, None] + size * rng.normal(size=(windows, len(rest), frames, 3))
    turns = np.linalg.qr(rng.normal(size=(windows, 3, 3)))[0]
    x = np.einsum("wnti,wij->wntj", x, turns) + rng.normal(size=(windows, 1, 1, 3))
    return x[:, :, :, None]


def factors(nodes, seed=1):
    """Lower Cholesky factors [N, 3, 3] of covariances that do not couple the third axis."""
    rng = np.random.default_rng(seed)
    root = 0.01 * rng.normal(size=(nodes, 3, 3))
    root[:, 2, :2] = root[:, :2, 2] = 0.0
    return np.linalg.cholesky(root @ np.swapaxes(root, 1, 2) + 1e-5 * np.eye(3))


def errors(history, axes, root, normal):
    """R^T L z [W, N, 1, 3] for normal numbers z [W, N, 3]."""
    last = history[:, :, -1, 0]
    frames = local_frames(np, *(last[:, which] for which in axes))
    return np.einsum("wnji,njk,wnk->wni", frames, root, normal)[:, :, None]

"""Settings of a training run."""

from __future__ import annotations

import dataclasses

import optax

from estag_jax.data.graphs import GraphConfig
from estag_jax.data.splits import SplitConfig
from estag_jax.data.windows import WindowConfig
from estag_jax.models.estag import EstagConfig
from estag_jax.models.registry import ModelConfig
from estag_jax.sources.catalog import ReadConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a model is trained; the defaults are the published settings for molecules."""

    epochs: int = 500
    """Passes over the training windows."""
    batch: int = 100
    """Windows per step, over all devices together."""
    learning_rate: float = 5e-3
    """Adam's step size (the paper: 5e-3, for the protein 5e-5)."""
    weight_decay: float = 1e-12
    """L2 penalty added to the gradient."""
    clip_norm: float | None = None
    """Bound on the global norm of the gradient, or none as in the paper."""
    evaluate_every: int = 5
    """Epochs between two evaluations on the validation windows."""
    patience: int | None = None
    """Stop after so many evaluations without a better one; none as in the paper."""
    seed: int = 1
    """Seed of the initial parameters and of the shuffles."""

    def __post_init__(self):
        for name in ("epochs", "batch", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}, it must be at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}, it must be positive")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All that determines a run's result."""

    data: str = "demo"
    """SOURCE[:NAME] (see estag data list), a path, or TOPOLOGY,TRAJECTORY[,TRAJECTORY…]."""
    read: ReadConfig = ReadConfig()
    """How the data are read."""
    window: WindowConfig = WindowConfig()
    """The frames a model sees."""
    split: SplitConfig = SplitConfig()
    """Which windows train, validate and test."""
    graph: GraphConfig = GraphConfig()
    """Which nodes exchange messages."""
    model: ModelConfig = EstagConfig()
    """The network."""
    train: TrainConfig = TrainConfig()
    """How it is trained."""


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Adam with L2 penalty in the gradient, as the released program uses it."""
    clip = () if config.clip_norm is None else (optax.clip_by_global_norm(config.clip_norm),)
    return optax.chain(
        *clip, optax.add_decayed_weights(config.weight_decay), optax.adam(config.learning_rate)
    )

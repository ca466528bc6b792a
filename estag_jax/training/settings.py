"""How a network is trained."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import optax


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """The devices that train: data × nodes of them."""

    data: int | None = None
    """Devices over which the windows of a batch are split; None: all that there are, divided by nodes."""
    nodes: int = 1
    """Devices over which the graph is split, for systems that are too large for one (docs/nodes.md)."""

    def __post_init__(self):
        for name in ("data", "nodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"mesh.{name} is {value}, it must be at least 1")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a network is trained; the defaults are the published settings for molecules."""

    epochs: int = 500
    """Passes over the training windows."""
    batch: int = 100
    """Windows per step, over all devices together."""
    loss: Literal["auto", "mse", "mae", "rollout"] = "auto"
    """What is minimised; auto: mse, with several horizons rollout."""
    learning_rate: float | None = None
    """Adam's step size; none: that of the network's publication where it has its own, else 5e-3 (the paper's
    for molecules; for its protein 5e-5)."""
    weight_decay: float = 1e-12
    """L2 penalty added to the gradient."""
    clip_norm: float | None = None
    """Bound on the global norm of the gradient, or none as in the paper."""
    skip_nonfinite: int | None = None
    """Leave out updates that are not finite, so many in a row at most, and count them in metrics.jsonl; None
    for none, so that training ends where one occurs."""
    evaluate_every: int = 5
    """Epochs between two evaluations on the validation windows."""
    patience: int | None = None
    """Stop after so many evaluations without a better one; none as in the paper."""
    seed: int = 1
    """Seed of the initial parameters and of the shuffles."""
    chunk: int | None = None
    """Windows of which the gradient is computed at once; None: as many as the cache holds."""
    mesh: MeshConfig = MeshConfig()
    """The devices; results do not depend on them but for rounding."""
    resident: float = 1.0
    """GiB of training frames that every device holds; of more frames, each process cuts the windows of its
    own devices, step by step."""

    def __post_init__(self):
        whole = "epochs", "batch", "evaluate_every", "patience", "chunk", "skip_nonfinite"
        for name in whole:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, it must be at least 1")
        if not self.step_size() > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}, it must be positive")
        if not self.resident >= 0:
            raise ValueError(f"resident is {self.resident}, it must be at least 0")

    def step_size(self, method: Any = None) -> float:
        """Adam's step size for a network of these settings."""
        if self.learning_rate is not None:
            return self.learning_rate
        return getattr(method, "learning_rate", 5e-3)

    def holds(self, frames: float) -> bool:
        """Whether a device holds the training frames, of so many bytes, or windows are cut on the host."""
        return frames <= self.resident * 2**30


WHERE = ("mesh", "resident")
"""Settings of where training is computed, on which results do not depend."""


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Adam with L2 penalty in the gradient, as the released program uses it."""
    import optax  # the settings alone load nothing

    clip = () if config.clip_norm is None else (optax.clip_by_global_norm(config.clip_norm),)
    update = optax.chain(
        *clip, optax.add_decayed_weights(config.weight_decay), optax.adam(config.step_size())
    )
    if config.skip_nonfinite is None:
        return update
    return optax.apply_if_finite(update, config.skip_nonfinite)

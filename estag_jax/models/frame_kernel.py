"""Frame kernel: every node from the past of its neighbourhood, by a kernel method in its local frame."""

from __future__ import annotations

import dataclasses

import jax

from estag_jax.data.task import Task
from estag_jax.models.base import SPEED, SampledForm
from estag_jax.models.frame_ridge import FrameRidge
from estag_jax.models.kernel_fit import KernelFit
from estag_jax.models.kernel_predictor import FrameKernelPredictor
from estag_jax.models.kernel_search import ROWS, WINDOWS
from estag_jax.models.memory import memory_refused
from estag_jax.models.ridge import AFFORDABLE
from estag_jax.models.symmetries import automorphisms

SHARE = 4
"""Of so many samples one is an inducing sample of Nyström's solution."""

COMPILING = 5.0
"""Seconds that a fit takes whatever its size."""


@dataclasses.dataclass(frozen=True)
class FrameKernel(SampledForm):
    """Kernel ridge regression in local reference frames; one system only.

    The steps of every node in its own frame, by the kernels of ops.kernels, even and odd outputs apart:
    (K + σ² I) α = y in float64; of more than ``exact`` samples by Nyström with the linear part exact. The
    scales of the kernel, shared by all nodes, minimise the error on held-out blocks of the training
    windows. Where the dynamics is reversible (FrameRidge says so), all windows are taken backwards in time
    too, and every window is continued before its start and after its end by forecasts of the first fit;
    with these samples, trusted less, scales and coefficients are fitted once more. Validation windows are
    used by FrameRidge alone.

    Args:
      steps: of the search for the scales, and of the second search.
      backcasts: windows added before each training window, and after it, where dynamics is reversible.
      reversible, tie: see FrameRidge. Samples of tied nodes are those of all their views.
      samples: at most; of more training windows some are taken, evenly.
      exact: samples up to which the equations are solved whole. Of more a quarter, or half of ``exact``
        if that is more, are the inducing samples.
      cut: of the kernel's directions, those are left out that hardly matter (ops.kernels.directions).
      seed: of the search.
      memory: bytes that a fit may take.
    """

    predictor = FrameKernelPredictor
    needs = 2
    tied = True

    steps: tuple[int, int] = (60, 40)
    backcasts: int = 2
    reversible: bool | None = None
    tie: bool = False
    samples: int = 8000
    exact: int = 4000
    cut: float = 1e-6
    seed: int = 0
    memory: int = AFFORDABLE

    def __post_init__(self):
        for name in ("samples", "exact"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 2")
        for name in ("backcasts", "cut"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 0")

    def refuse(self, task: Task) -> str | None:
        if why := super().refuse(task) or self._ridge.refuse(task):
            return why
        samples, nodes, inputs = self._sizes(task)
        kept = self.inducing(samples)
        matrices = 2 * samples**2 if kept == samples else 5 * (kept + inputs) ** 2
        views = len(automorphisms(task.system)) if self.tie else 1
        seen = (2 * nodes * kept + 4 * views * samples) * inputs
        needed = 8 * (matrices + seen + 12 * ROWS**2)
        of = f"{nodes} nodes and {samples} samples"
        return memory_refused(needed, self.memory, of, "memory; or lower samples")

    def seconds(self, task: Task) -> float:
        samples, nodes, inputs = self._sizes(task)
        continued = samples == 2 * (1 + self.backcasts) * task.count("train")
        tried = [min(2 * WINDOWS, samples)] * self.steps[0]
        tried += [min(ROWS, samples)] * self.steps[1] * continued
        # Some of it is in float32, and products of matrices are faster than SPEED.
        search = sum(n**3 / 2 + 3 * n**2 * inputs for n in tried)
        kept = self.inducing(samples)
        solved = samples**3 / 4 if kept == samples else samples * (kept + inputs) ** 2
        solved = 2 * nodes * (solved + samples * kept * inputs)
        forecast = nodes * kept * inputs * task.count("validation")
        return COMPILING + self._ridge.seconds(task) + (search + solved + forecast) / SPEED

    def count(self, task: Task) -> int:
        return self._sizes(task)[0]

    @property
    def _ridge(self) -> FrameRidge:
        """The linear method that is fitted first."""
        return FrameRidge(reversible=self.reversible, tie=self.tie)

    def inducing(self, samples: int) -> int:
        """How many of the samples the kernel is summed over."""
        return samples if samples <= self.exact else max(samples // SHARE, self.exact // 2)

    def _sizes(self, task: Task) -> tuple[int, int, int]:
        """Samples, nodes, and inputs of each node."""
        samples = min(self.samples, 2 * (1 + self.backcasts) * task.count("train"))
        nodes = task.system.num_nodes
        inputs = self._ridge.looks_at(nodes) * task.system.channels * task.window.past * 3
        return samples, nodes, inputs

    def fit(self, task: Task) -> FrameKernelPredictor:
        if why := self.refuse(task):
            raise ValueError(f"frame kernel {why}")
        ridge = self._ridge.fit(task)
        with jax.enable_x64(True):
            return KernelFit(self, task, ridge).run()

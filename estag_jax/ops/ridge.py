"""Ridge regression for many λ at once, and the search for the best of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Decades of λ relative to the mean of the Gram diagonal. Below FLOOR, directions that the data lack
# (the centroid) get weights of rounding errors; above CEILING the prediction is the last frame.
_STEP, _FLOOR, _CEILING = 0.5, -13.0, 6.0
GRID = np.arange(-10.0, 2.0 + _STEP, _STEP)
"""Decades of λ that are tried first."""


def ridge_path(
    design: np.ndarray, response: np.ndarray, dual: bool | None = None
) -> tuple[np.ndarray, Callable[[float], np.ndarray]]:
    """W = (X^T X + λ s I)^{-1} X^T Y for all λ at once, s the mean of the diagonal of X^T X.

    Primal: X^T X = Q e Q^T, W = Q (e + λ s)^{-1} Q^T X^T Y. Dual: X X^T = U e U^T and
    W = X^T U (e + λ s)^{-1} U^T Y (Hoerl and Kennard 1970; the push-through identity).

    Args:
      design: X [rows, P], float64.
      response: Y [rows, M], float64.
      dual: decompose X X^T instead of X^T X; None takes the smaller of the two.

    Returns:
      basis [P, R] and a function coefficients(λ) [R, M], for λ > 0; W = basis @ coefficients(λ).
    """
    rows, features = design.shape
    dual = rows < features if dual is None else dual
    eigenvalues, vectors = np.linalg.eigh(design @ design.T if dual else design.T @ design)
    # Eigenvalues are not negative; rounding makes some so, which a small λ would not cover.
    eigenvalues = np.maximum(eigenvalues, 0.0)
    # A design of zeros (nothing moved) has no scale of its own; its weights are zero at any λ > 0.
    scale = float(np.sum(design**2)) / features or 1.0
    projected = vectors.T @ (response if dual else design.T @ response)
    basis = design.T @ vectors if dual else vectors
    return basis, lambda ridge: projected / (eigenvalues + ridge * scale)[:, None]


def line_search(error: Callable[[float], float]) -> float:
    """The decade of least error: a grid, widened while its best is at an end, refined once.

    Args:
      error: of λ's decimal logarithm.

    Returns:
      The best logarithm.
    """
    errors = {float(x): error(x) for x in GRID}
    while True:
        best, low, high = min(errors, key=errors.__getitem__), min(errors), max(errors)
        if best == low and low > _FLOOR:
            new = low - _STEP
        elif best == high and high < _CEILING:
            new = high + _STEP
        else:
            break
        errors[new] = error(new)
    fine = np.clip(best + _STEP * np.linspace(-0.8, 0.8, 9), _FLOOR, _CEILING)
    errors.update({float(x): error(x) for x in fine})
    return min(errors, key=errors.__getitem__)

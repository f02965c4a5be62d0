"""The rank of a noisy matrix by variational Bayes, in closed form.

Nakajima, Sugiyama, Babacan & Tomioka, "Global analytic solution of fully-observed variational Bayesian matrix
factorization", JMLR 14 (2013): with empirical priors (EVBMF) and the noise's variance estimated as well.
"""

import math

import torch
from torch import Tensor

GRID = 400
"""Noise variances tried at once, evenly on a logarithmic scale, in each of ROUNDS that narrow the range down: the
free energy has several minima, and only the lowest one counts."""
ROUNDS = 4


def rank(singular: Tensor, rows: int, columns: int) -> int:
    """The number of components above the noise, 0 … L, of a matrix (rows, columns) with L ≤ M singular values.

    `singular` (L,): all of them, descending. Components with γ ≤ sqrt(M σ² x̲) are noise.
    """
    short, long = sorted((rows, columns))
    squares = singular.double().square()
    if not float(squares.sum()) > 0:
        return 0
    alpha = short / long
    threshold = _threshold(alpha)
    variance = _noise(squares, short, long, alpha, threshold)
    return int((squares > long * variance * threshold).sum())


def _threshold(alpha: float) -> float:
    """x̲ = (1 + τ̲)(1 + α/τ̲), with τ̲ the zero of Φ(τ) + Φ(τ/α), Φ(z) = log(z + 1)/z − 1/2."""

    def phi(z: float) -> float:
        return math.log1p(z) / z - 0.5

    low, high = 1e-9, 3.0  # Φ(τ) + Φ(τ/α) falls in τ; τ̲ is about 2.51 · sqrt(α), α ≤ 1
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if phi(middle) + phi(middle / alpha) > 0 else (low, middle)
    return (1 + low) * (1 + alpha / low)


def _noise(squares: Tensor, short: int, long: int, alpha: float, threshold: float) -> float:
    """The noise variance of the least free energy, within bounds that hold for it."""
    most = max(min(math.ceil(short / (1 + alpha)) - 1, short - 1), 0)
    upper = float(squares.sum()) / (short * long)
    lower = max(float(squares[most]) / (long * threshold), float(squares[most:].mean()) / long)
    lower = min(max(lower, upper * 1e-12), upper)
    for _ in range(ROUNDS):
        tried = torch.logspace(math.log10(lower), math.log10(upper), GRID, dtype=torch.float64)
        best = int(_free_energy(tried, squares, long, alpha, threshold).argmin())
        lower, upper = float(tried[max(best - 1, 0)]), float(tried[min(best + 1, GRID - 1)])
    return (lower + upper) / 2


def _free_energy(variances: Tensor, squares: Tensor, long: int, alpha: float, threshold: float) -> Tensor:
    """Ω(σ²) for each of `variances` (G,), up to constants."""
    x = squares / (long * variances[:, None])
    x = x.clamp_min(1e-300)
    noise = x - x.log()
    shifted = (x - (1 + alpha)).clamp_min(2 * math.sqrt(alpha))
    tau = (shifted + (shifted.square() - 4 * alpha).clamp_min(0).sqrt()) / 2
    signal = noise + ((tau + 1).log() + alpha * (tau / alpha + 1).log() - tau)
    return torch.where(x > threshold, signal, noise).sum(1)

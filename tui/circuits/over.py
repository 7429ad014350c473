"""Mean and spread of tensors that come one at a time, none of which is kept.

    mean' = mean + (x − mean) / n        Σ(x − mean)²' = Σ(x − mean)² + (x − mean)·(x − mean')

Spread: the population standard deviation, ``√(Σ(x − mean)² / n)``. Nothing large is subtracted from anything large, so
numbers that differ little keep their spread. Source: Welford, "Note on a Method for Calculating Corrected Sums of
Squares and Products".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .normalise import double


def _zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Running:
    """``count`` tensors of one shape so far, float64 on the CPU; NaN in any of them is NaN in both statistics."""

    count: int = 0
    mean: Tensor = field(default_factory=_zero)
    squares: Tensor = field(default_factory=_zero)
    """``Σ (x − mean)²``."""

    def add(self, x: Tensor) -> Running:
        apart = double(x) - self.mean
        mean = self.mean + apart / (self.count + 1)
        return Running(self.count + 1, mean, self.squares + apart * (double(x) - mean))

    @property
    def spread(self) -> Tensor:
        return (self.squares / max(1, self.count)).sqrt()

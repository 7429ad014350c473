"""Products made again in float64, for the few that float32 cannot put in order.

A float32 product differs in its last digits with the shape of the matrix that it is part of, the threads and the CPU's
kernels: equal rows get unequal numbers. Here every sum is made by halves, one addition of whole columns after the
other. So a product depends on its two rows alone, is the same from either side, and is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

EPSILON = float(np.finfo(np.float32).eps)
CHUNK = 1 << 18
"""Factors' numbers in float64 at once, 2 MB a side."""
LOOSE = 1 + 1e-3
"""Lengths made in float32 times this are upper bounds."""
TINY = 1e-300
"""A length of 0 is as good as this one: the cosine with it is 0."""


def products(left: Tensor, right: Tensor) -> np.ndarray:
    """``left [m, d]``, ``right [m, d]`` or ``[d]`` → ``[m]`` float64."""
    return _products(left.cpu().numpy(), right.cpu().numpy())


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    # Turned, so that each addition is one of whole stretches of memory: half the time for a few rows.
    parts: np.ndarray = left.T.astype(np.float64, order="C")
    parts *= right.T if right.ndim > 1 else right[:, None]
    d = len(parts)
    while d > 1:
        half, odd = divmod(d, 2)
        parts[:half] += parts[half : 2 * half]
        if odd:
            parts[half] = parts[d - 1]
        d = half + odd
    return parts[0] if d else np.zeros(len(left))


def slack(d: int) -> float:
    """How far a float32 product of rows of length 1 is off at most, in whatever order its d parts are added.

    With ``u`` half of EPSILON ``d u`` holds for certain, and no product of many parts comes near it: roundings stay
    within ``λ √d u`` but once in ``exp(λ² / 2) / 2`` products (Higham and Mary 2019,
    "A new approach to probabilistic rounding error analysis", theorem 3.1). λ is 8: once in 4e13.
    """
    return min(d + 2, 4 * math.sqrt(d)) * EPSILON


@dataclass(frozen=True, eq=False)
class Factors:
    """What a row of float32 products over the vocabulary was made from."""

    rows: Callable[[Tensor], Tensor]
    """Token ids ``[m]``, on the CPU → ``[m, d]``."""
    vector: Tensor
    """``[d]``, the other side."""
    beside: float = 0.0
    """How long the row is that was multiplied apart and taken off, if one was."""
    unit: bool = False
    """Whether products are divided by both lengths."""

    def values(self, ids: np.ndarray) -> tuple[np.ndarray, float]:
        """``[m]`` products, float64, and how far the float32 ones of these ids are off at most."""
        vector = self.vector.cpu().numpy()
        step = max(1, CHUNK // max(1, len(vector)))
        length = math.sqrt(_products(vector[None], vector)[0]) if self.unit else math.sqrt(np.dot(vector, vector))
        out, longest = np.empty(len(ids)), 0.0
        for start in range(0, len(ids), step):
            rows = self.rows(torch.from_numpy(ids[start : start + step])).cpu().numpy()
            found = _products(rows, vector)
            if self.unit:
                found = (found / np.maximum(np.sqrt(_products(rows, rows)) * length, TINY)).clip(-1, 1)
            else:
                longest = max(longest, math.sqrt(np.einsum("ij,ij->i", rows, rows).max()))
            out[start : start + step] = found
        return out, slack(len(vector)) * (4.0 if self.unit else LOOSE * (longest + 2 * self.beside) * length)


def settle(row: np.ndarray, ids: np.ndarray, factors: Factors) -> np.ndarray:
    """Give the entries ``ids`` of a float32 row, and all within rounding of one of them, their float64 products,
    rounded; all these, ascending. The others are before or behind each of ``ids`` for certain, so that then the largest
    ones and their ranks are those of the factors, and equal products are equal in ``row``."""
    if not len(ids):
        return ids
    found, margin = factors.values(ids)
    low, high = found - 2 * margin, found + 2 * margin
    near: np.ndarray = (row >= float(low.min())).nonzero()[0]  # a number of its own type: no copy in float64
    near = near[row[near] <= float(high.max())]
    if len(near) > 4 * len(ids) + 64:
        near = np.union1d(near[_within(row[near], low, high)], ids)
    row[ids] = found
    if len(near) > len(ids):
        row[near] = factors.values(near)[0]
    return near


def _within(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether each value lies in one of the intervals."""
    order = values.argsort()
    rising, steps = values[order].astype(np.float64), np.zeros(len(values) + 1, dtype=np.int64)
    np.add.at(steps, rising.searchsorted(low), 1)
    np.add.at(steps, rising.searchsorted(high, side="right"), -1)
    inside = np.zeros(len(values), dtype=bool)
    inside[order] = steps[:-1].cumsum() > 0
    return inside

"""The best entries of a row over the vocabulary, in an order that is the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .exact import Factors, settle

BELOW = 1e-3
"""How much lower than the k best entries looked at again begin: further than rounding goes, and few more."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best entries of one row, largest first; equal values in order of ids."""

    ids: np.ndarray
    values: np.ndarray
    ranks: np.ndarray
    """In the whole row, whatever is shown of it: 1 is the largest, ties share the smaller."""


def ranking(row: np.ndarray, k: int, allowed: np.ndarray | None = None, factors: Factors | None = None) -> Ranking:
    """``row [n]`` float32, its k best among those that ``allowed [n]`` lets pass; ``factors``: what the row was made
    from, if rounding shall decide nothing (``exact.settle``, in place)."""
    shown = row if allowed is None else np.where(allowed, row, -np.inf)
    k = min(k, len(row) if allowed is None else int(allowed.sum()))
    if k == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return Ranking(nothing, row[nothing], nothing)
    floor = _reached(shown, k)
    if factors is not None and allowed is None:
        floor -= BELOW * abs(floor)
    found = (shown >= floor).nonzero()[0]
    if factors is not None:
        found = _settled(row, found, k, allowed, factors, floor)
    ids = found[(-row[found]).argsort(kind="stable")[:k]]
    values = row[ids]
    larger = np.sort(row[found] if allowed is None else row[row >= values[-1]])
    ranks = 1 + len(larger) - larger.searchsorted(values, side="right")
    return Ranking(ids, values, ranks)


def _settled(
    row: np.ndarray, found: np.ndarray, k: int, allowed: np.ndarray | None, factors: Factors, floor: float
) -> np.ndarray:
    """``found``: the shown entries that reach ``floor``, k of them or more → those that may be among the k best."""
    if allowed is None:
        values, margin = factors.values(found)
        if np.partition(values, -k)[-k] - 2 * margin >= floor:  # nothing below can be one of them
            row[found] = values
            return found
    found = settle(row, found, factors)
    return found if allowed is None else found[allowed[found]]


def _reached(row: np.ndarray, k: int) -> float:
    """A number that at least k entries reach, and few more: the k-th largest of the maxima of many short columns.

    8 µs for GPT-2's vocabulary, where the k-th largest entry itself takes 30: half of what a product with E·W_K takes.
    """
    columns = 50 * k
    lines = len(row) // columns
    maxima = row[: lines * columns].reshape(lines, columns).max(0) if lines > 1 else row
    return float(np.partition(maxima, -k)[-k])

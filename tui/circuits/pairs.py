"""The strongest token pairs of a whole ``d_vocab × d_vocab`` circuit, exactly, without ever holding it.

    value[i, j] = l_i · r_j      QK: l = queries at ``offset``, r = keys at position 0
                                 OV: l = x W_V,                 r = (W_O W_U)ᵀ

Tokens of both sides are sorted by the length of their rows and the products made in tiles, longest rows first. Let θ be
the k-th largest value so far. By Cauchy–Schwarz ``|l_i · r_j| ≤ ‖l_i‖ ‖r_j‖``, so

* rows and columns whose bound is below θ are cut off a tile, and a tile that is left empty is never multiplied;
* tiles are visited panel of rows by panel of rows, each from the longest columns on: θ is near its final value after
  the first of them.

A tile is multiplied in float32. Whatever the order of summation, a product is off by at most ``d·ε·‖l_i‖ ‖r_j‖``; with
m as that bound for the longest rows of the tile, a pair that belongs to the best is at least ``θ − m`` there. Only
those pairs are looked at again: their values are made anew from the same factors in float64 (``exact.products``) and
decide. While fewer than k are known (or many pass), the tile's own k-th value t bounds them instead: k pairs reach
``t − m``, so one below ``t − 2m`` is none of the best. So the set is the exact one for the given factors, equal values
are in order of ids, and neither depends on tiles, threads or the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .basis import BLOCK
from .exact import CHUNK, products, slack
from .normalise import double

Side = Callable[[Tensor], Tensor]
"""Token ids ``[n]`` → their rows ``[n, d]``."""
LOOSE = 1 + 1e-5
"""Lengths times this are upper bounds, also where rows are made twice and rounded otherwise."""
TALL = 2
"""A tile is that much higher than ``side``, and its width as much less: half the columns to fetch for as many products,
which a CPU's core keeps nearer. 1,024² products take 1.15 times as long in a square."""


@dataclass(frozen=True, eq=False)
class Best:
    """Pairs, largest value first; equal values in order of their ids."""

    values: np.ndarray
    """``[m]`` float64."""
    left: np.ndarray
    right: np.ndarray
    """``[m]`` token ids."""

    def merged(self, other: Best, k: int) -> Best:
        values, left, right = (
            np.concatenate(both)
            for both in ((self.values, other.values), (self.left, other.left), (self.right, other.right))
        )
        first = np.lexsort((right, left, -values))[:k]
        return Best(values[first], left[first], right[first])

    def ranks(self) -> np.ndarray:
        """1 is the largest; ties share the smaller."""
        return 1 + np.searchsorted(-self.values, -self.values)


@dataclass(frozen=True, eq=False)
class Sweep:
    """How far a search is."""

    best: Best
    done: int
    """Tiles that are behind it, multiplied or not."""
    multiplied: int
    tiles: int
    products: int
    """Pairs whose product was made, of ``tokens²``."""


@dataclass(frozen=True, eq=False)
class _Sorted:
    """One side, longest rows first."""

    rows: Side
    ids: Tensor
    """``[n]`` token ids, by length; equal lengths in order of ids."""
    lengths: np.ndarray
    """``[n]`` float64 upper bounds, falling."""
    shortness: np.ndarray
    """``[n]``: lengths with their sign turned, rising."""

    def reaching(self, length: float) -> int:
        """How many rows are at least that long."""
        return int(self.shortness.searchsorted(-length, side="right"))


def strongest(
    left: Side, right: Side, ids: Tensor, k: int, same: bool, side: int, check: Callable[[], None]
) -> Iterator[Sweep]:
    """Search all pairs of ``ids`` (ascending); ``same``: leave out pairs of a token with itself. Tiles have ``side``²
    products.

    Yields after each panel of rows; the last one is the answer.
    """
    rows, cols = _sorted(left, ids, check), _sorted(right, ids, check)
    n, high, wide = len(ids), TALL * side, max(1, side // TALL)
    across, tiles = -(-n // wide), -(-n // wide) * -(-n // high)
    best = Best(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    sweep = Sweep(best, 0, 0, tiles, 0)
    buffer: Tensor | None = None
    at_col = torch.empty(int(ids.max()) + 1, dtype=torch.int64, device=ids.device)
    at_col[cols.ids] = torch.arange(n, device=ids.device)
    for top in range(0, n, high):
        panel = rows.ids[top : top + high]
        l_rows = rows.rows(panel)
        if buffer is None:
            buffer = torch.empty(len(panel) * min(n, wide), dtype=l_rows.dtype, device=l_rows.device)
        multiplied, made = sweep.multiplied, sweep.products
        for first in range(0, n, wide):
            check()
            theta = best.values[-1] if len(best.values) == k else -np.inf
            tile_ids = cols.ids[first : first + wide]
            longest = (rows.lengths[top], cols.lengths[first])
            if not _may_hold(best, k, longest[0] * longest[1], panel, tile_ids):
                continue
            height, width = (
                min(len(part), max(1, whole.reaching(theta / other if other else 0.0) - start))
                for part, whole, start, other in ((panel, rows, top, longest[1]), (tile_ids, cols, first, longest[0]))
            )
            tile_ids = tile_ids[:width]
            r_rows = cols.rows(tile_ids)
            tile = torch.mm(l_rows[:height], r_rows.mT, out=buffer[: height * width].view(height, width))
            multiplied, made = multiplied + 1, made + height * width
            margin = slack(l_rows.shape[1]) * longest[0] * longest[1]
            # A few rows hold what may be among the best: the others are read once, and nothing is made of them.
            some = (tile.amax(1) >= theta - margin).nonzero()[:, 0]
            if not len(some):
                continue
            part = tile if len(some) == height else tile[some]
            if same:
                _drop_same(part, at_col[panel[some]] - first)
            for found in _found(part, l_rows[some], r_rows, k, theta, margin, panel[some], tile_ids):
                check()
                best = best.merged(found, k)
        sweep = Sweep(best, (top // high + 1) * across, multiplied, tiles, made)
        yield sweep


def _sorted(rows: Side, ids: Tensor, check: Callable[[], None]) -> _Sorted:
    lengths = []
    for start in range(0, len(ids), BLOCK):
        check()
        lengths.append(torch.linalg.vector_norm(double(rows(ids[start : start + BLOCK])), dim=-1))
    falling, order = torch.cat(lengths).sort(descending=True, stable=True)
    bounds = falling.numpy() * LOOSE
    return _Sorted(rows, ids[order.to(ids.device)], bounds, -bounds)


def _may_hold(best: Best, k: int, bound: float, rows: Tensor, cols: Tensor) -> bool:
    """Whether a tile may hold one of the best: a larger value, or the same value with smaller ids."""
    if len(best.values) < k or bound > best.values[-1]:
        return True
    if bound < best.values[-1]:
        return False
    return (int(rows.min()), int(cols.min())) < (best.left[-1], best.right[-1])


def _drop_same(tile: Tensor, place: Tensor) -> None:
    """``place [height]``: the column, counted from the tile's first one, of each row's own token."""
    inside = ((place >= 0) & (place < tile.shape[1])).nonzero()[:, 0]
    tile[inside, place[inside]] = -torch.inf


def _found(
    tile: Tensor, l_rows: Tensor, r_rows: Tensor, k: int, theta: float, margin: float, rows: Tensor, cols: Tensor
) -> Iterator[Best]:
    """The pairs of a tile that may be among the best, with their exact values."""
    cutoff = max(theta - margin, torch.finfo(torch.float32).min)
    if theta == -np.inf and tile.numel() > k:  # every pair passes: 16 bytes of indices each
        cutoff = max(cutoff, float(tile.view(-1).topk(k).values[-1]) - 2 * margin)
    row, col = (tile >= cutoff).nonzero(as_tuple=True)
    if len(row) > k:
        values = tile[row, col]
        near = values >= float(values.topk(k).values[-1]) - 2 * margin
        row, col = row[near], col[near]
    step = max(1, CHUNK // l_rows.shape[1])
    for start in range(0, len(row), step):
        i, j = row[start : start + step], col[start : start + step]
        yield Best(products(l_rows[i], r_rows[j]), rows[i].cpu().numpy(), cols[j].cpu().numpy())

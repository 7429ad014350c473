"""Pattern scores of heads: where a head looks, averaged over destinations. One pass over a pattern, nothing kept.

Rows of tokens start at s: 1 after a BOS, else 0. ``j`` runs over the earlier occurrences of token i, ``s ≤ j < i``.

    previous token    mean over i > s of             pattern[i, i − 1]
    duplicate token   mean over i that have a j of   Σ_j pattern[i, j]
    induction         mean over i that have a j of   Σ_j pattern[i, j + 1]
    first token       mean over i > 0 of             pattern[i, 0]
    entropy (nats)    mean over i > 0 of             −Σ_k pattern[i, k] log pattern[i, k]

On repeated tokens ``[BOS?] r_1 … r_L r_1 … r_L``, all r different, the second and third are the usual ones: from
``s + L + i`` to ``s + i`` and to ``s + i + 1``, i = 0 … L − 1. Destinations are listed: a bare diagonal also picks up
attention to position 0. Sources: definitions.md, "Head scores"; "In-context Learning and Induction Heads".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .normalise import double

PREVIOUS, DUPLICATE, INDUCTION, FIRST, ENTROPY = SCORES = (
    "previous token",
    "duplicate token",
    "induction",
    "first token",
    "entropy",
)


def repeats(tokens: Tensor, length: int, rows: int, seed: int, bos: int | None) -> Tensor:
    """``[rows, (1 +) 2·length]``: random ``tokens``, none twice in a row, then the same again, after ``bos``."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack([tokens[torch.randperm(len(tokens), generator=generator)[:length]] for _ in range(rows)])
    first = drawn.new_full((rows, 0 if bos is None else 1), 0 if bos is None else bos)
    return torch.cat([first, drawn, drawn], 1)


@dataclass(frozen=True, eq=False)
class Places:
    """Where in rows of tokens the scores are read."""

    start: int
    """s."""
    again: tuple[Tensor, Tensor, Tensor]
    """``[m]`` each: row, destination i and earlier occurrence j."""
    counts: Tensor
    """``[score]`` float64: how many destinations each mean is over."""


def places(ids: Tensor, start: int) -> Places:
    """Of ``ids [b, n]``, which start at ``start``."""
    rows, n = ids.shape
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    same[:, :, :start] = False
    met, after = int(same.any(-1).sum()), rows * max(0, n - 1)
    counts = [rows * max(0, n - 1 - start), met, met, after, after]
    row, destination, source = same.nonzero(as_tuple=True)
    return Places(start, (row, destination, source), torch.tensor(counts, dtype=torch.float64))


def sums(pattern: Tensor, at: Places) -> Tensor:
    """``pattern [b, n_heads, n, n]`` → ``[n_heads, score]`` float64 on the CPU: sums over the destinations."""
    row, destination, source = at.again
    later = pattern[:, :, 1:]
    # Head by head: a copy of the whole pattern is all that this would take beside it.
    entropy = [0.0 - torch.xlogy(rows, rows).sum() for rows in later.unbind(1)]
    columns = (
        pattern.diagonal(-1, 2, 3)[:, :, at.start :].sum((0, 2)),
        pattern[row, :, destination, source].sum(0),
        pattern[row, :, destination, source + 1].sum(0),
        later[:, :, :, 0].sum((0, 2)),
        torch.stack(entropy),
    )
    return torch.stack([double(column) for column in columns], 1)


def means(total: Tensor, counts: Tensor) -> Tensor:
    """Sums over destinations and their counts → means; NaN where there is no destination."""
    return torch.where(counts > 0, total / counts, torch.nan)

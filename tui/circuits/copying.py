"""Copying: whether a head's full OV circuit ``W_E W_V W_O W_U`` promotes the token that the head attends to.

    eigenvalue score    Σ Re λ / Σ |λ|    λ: eigenvalues of the d_head × d_head matrix W_O (W_U W_E) W_V
    OV top k            share of tokens i whose row OV[i, ·] has i itself among its k largest

``W_O W_U W_E W_V`` has the non-zero eigenvalues of the full circuit, since those of AB are those of BA; of ``W_U W_E``
only ``[d_model, d_model]`` is ever made, once for all heads. The sign is kept: −1 is suppression.
Source: "A Mathematical Framework for Transformer Circuits", "Detecting copying behavior".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .exact import slack
from .fold import Unembedding
from .normalise import double
from .ov import CELLS
from .tensors import HeadWeights


def ends_product(unembed: Unembedding, embedding: Iterable[Tensor]) -> Tensor:
    """``W_U W_E [d_model, d_model]`` of both ends as they are processed; ``embedding``: ``W_E`` in row blocks."""
    total, start = torch.zeros(()), 0
    for rows in embedding:
        ids = torch.arange(start, start + len(rows), device=rows.device)
        # Products in the block's own precision, sums over blocks in float64.
        total = total + double(unembed.columns(ids) @ rows)
        start += len(rows)
    return total.to(unembed.W_U)


def eigenvalue_score(head: HeadWeights, product: Tensor) -> float:
    """``Σ Re λ / Σ |λ|``; NaN where every λ is 0: the head moves nothing from embedding to unembedding."""
    values = torch.linalg.eigvals(double(head.W_O @ product @ head.W_V))
    size = float(values.abs().sum())
    return float(values.real.sum()) / size if size > 0 else float("nan")


def own_top(sources: Tensor, outputs: Tensor, ids: Tensor, check: Callable[[], None]) -> list[float]:
    """Shares of tokens ``ids [n]`` that are in the top 1 and in the top 5 of their own row of ``sources outputs``:
    ``x W_V [n, d_head]`` and ``W_O W_U [d_head, d_vocab]``.

    Rank 1 is the largest, ties share the smaller rank. A row without a difference ranks nothing and is a miss; where
    every row is one, the shares are NaN.
    """
    step = max(1, CELLS // outputs.shape[1])
    met, flat_rows = torch.zeros(2, dtype=torch.int64), 0
    for start in range(0, len(ids), step):
        check()
        row = sources[start : start + step] @ outputs
        # A token's own entry is taken from the row itself: computed apart, it would round to another number.
        some = ids[start : start + step]
        own = row.gather(1, some[:, None])
        # Tokens with equal outputs tie however their products were rounded.
        lengths = torch.linalg.vector_norm(sources[start : start + step], dim=1)
        margin = slack(len(outputs)) * lengths * torch.linalg.vector_norm(outputs[:, some], dim=0)
        larger = (row > own + margin[:, None]).view(torch.int8).sum(1, dtype=torch.int32)
        flat = (larger == 0) & (row.amin(1) == own[:, 0])
        flat_rows += int(flat.sum())
        met += torch.stack([((larger < k) & ~flat).sum() for k in (1, 5)]).cpu()
    return [float("nan")] * 2 if flat_rows == len(ids) else (met / len(ids)).tolist()

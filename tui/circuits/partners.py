"""One token against a whole vocabulary: the best partners in a head, and the nearest rows of an embedding.

    query:  q_token · k_j, all keys j                 key:    q_i · k_token, all queries i
    source: (x_token W_V) · (W_O W_U[:, j])           output: (x_i W_V) · (W_O W_U[:, token])

A circuit has two sides of d_head numbers a token: one side of the whole vocabulary times the token's row of the other.
Bilinear: no biases, no attn_scale; queries at ``offset``, keys at position 0, through the query/key norm where there is
one. Source: definitions.md, "QK circuit", "OV circuit".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import qk
from .basis import BLOCK, read, written
from .fold import Unembedding
from .tensors import Ends, HeadWeights


@dataclass(frozen=True, eq=False)
class Sides:
    """Both sides of one head's QK and OV circuit under one convention."""

    ends: Ends
    unembed: Unembedding | None
    """Only the output side needs it."""
    head: HeadWeights
    basis: str
    processed: bool
    offset: int

    def rows(self, side: str, ids: Tensor | slice) -> Tensor:
        """``[n, d_head]`` of some tokens on the side ``query``, ``key``, ``source`` or ``output``."""
        if side == "output":
            assert self.unembed is not None
            if isinstance(ids, slice):
                return self.unembed.logits(self.head.W_O, ids.start, ids.stop).mT
            return (self.head.W_O @ self.unembed.columns(ids)).mT
        x = read(written(self.ends, self.basis, ids), self.basis, self.head.norm, self.processed)
        if side == "source":
            return x @ self.head.W_V
        if side == "query":
            return qk.queries(self.head, x, "bilinear", self.offset)
        return qk.keys(self.head, x, "bilinear")

    def blocks(self, side: str, check: Callable[[], None]) -> Iterator[Tensor]:
        """The rows of the whole vocabulary, of inputs or outputs."""
        total = self.ends.W_U.shape[1] if side == "output" else len(self.ends.W_E)
        step = BLOCK // 8 if self.basis == "effective" and side != "output" else BLOCK
        for start in range(0, total, step):
            check()
            yield self.rows(side, slice(start, min(start + step, total)))


def z_scores(row: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``values`` against mean and population std of ``row`` (float32); a row without spread gives 0."""
    mean = row.sum() / len(row)
    apart = row - mean
    std = np.sqrt(np.dot(apart, apart) / len(row))
    flat = std <= np.finfo(row.dtype).eps * abs(mean)
    return np.zeros(len(values)) if flat else (values.astype(np.float64) - mean) / std


def cosines(blocks: Iterator[Tensor], vector: Tensor) -> Tensor:
    """``[n]``: cosine of ``vector [d]`` with every row of the blocks; 0 where a row is 0."""
    out = []
    for block in blocks:
        lengths = torch.linalg.vector_norm(block, dim=-1) * torch.linalg.vector_norm(vector)
        out.append((block @ vector / lengths.clamp(min=torch.finfo(block.dtype).tiny)).clamp(-1, 1))
    return torch.cat(out)

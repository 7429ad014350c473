"""The OV circuit: ``OV[i, j] = x_i W_V W_O W_U[:, j]``, the effect on output j of attending fully to source i.

Value biases are left out: folded, ``b_V`` is the same constant for every source. The final norm's scale and the
position are ignored. Without a head it is the direct path ``W_E W_U``: the bigrams.
Source: "A Mathematical Framework for Transformer Circuits", ``W_U W_OV^h W_E`` and "zero-layer transformers".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .exact import Factors, settle
from .fold import Unembedding
from .normalise import Baseline, streamed_baseline
from .ranking import ranking
from .tensors import HeadWeights

CELLS = 4_000_000
"""Scores worked on at once when the vocabulary is streamed: 16 MB."""


def write(head: HeadWeights | None, x: Tensor) -> Tensor:
    """``x [n, d_model] → x W_V W_O [n, d_model]``: what the head moves; x itself on the direct path."""
    return x if head is None else (x @ head.W_V) @ head.W_O


def outputs(unembed: Unembedding, y: Tensor, ids: Tensor) -> Tensor:
    """``y [n, d_model] → [n, len(ids)]``: chosen logits."""
    return y @ unembed.columns(ids)


def vocabulary_blocks(unembed: Unembedding, y: Tensor) -> Iterator[Tensor]:
    """``y W_U`` in column blocks ``[n, ≤ CELLS / n]``."""
    total = unembed.W_U.shape[1]
    step = max(256, CELLS // max(1, len(y)))
    for start in range(0, total, step):
        yield unembed.logits(y, start, min(start + step, total))


def all_outputs(unembed: Unembedding, y: Tensor, check: Callable[[], None]) -> Tensor:
    """``[n, d_vocab]``: every logit."""
    blocks = []
    for block in vocabulary_blocks(unembed, y):
        check()
        blocks.append(block)
    return torch.cat(blocks, 1)


def vocabulary_baseline(unembed: Unembedding, y: Tensor, check: Callable[[], None]) -> Baseline:
    """Statistics of each source's row over the whole vocabulary."""
    return streamed_baseline(vocabulary_blocks(unembed, y), check)


@dataclass(frozen=True, eq=False)
class Ranked:
    """One full-vocabulary row, ranked: rank 1 is the most promoted, ties share the smaller rank."""

    promoted: Tensor
    """``[k]`` ids, largest value first."""
    suppressed: Tensor
    """``[k]`` ids, smallest value first."""
    values: Tensor
    """``[d_vocab]``."""

    def ranks(self, values: Tensor) -> Tensor:
        """``[m]`` → the rank of each of these entries of the row.

        Counted by numpy: 0.5 ms for 44 entries of GPT-2's vocabulary, 32 ms as one comparison of all with all.
        """
        row = self.values.cpu().numpy()
        return torch.tensor([1 + np.count_nonzero(row > value) for value in values.cpu().numpy()])


def ranked(
    unembed: Unembedding, y: Tensor, k: int, shown: Sequence[int] = (), check: Callable[[], None] = lambda: None
) -> Ranked:
    """``y [d_model]`` → its row over the whole vocabulary with the k most promoted and most suppressed tokens; these
    and ``shown`` stand where their columns of ``W_U`` put them, whatever float32 rounds (``exact.settle``). ``check``
    is called between columns: those of a long prompt take a second."""
    return ranked_row(unembed.logits(y[None])[0], k, factors(unembed, y, check), shown)


def factors(unembed: Unembedding, y: Tensor, check: Callable[[], None] = lambda: None) -> Factors:
    """What ``unembed.logits(y [d_model])`` is made from."""
    mean = unembed.mean

    def columns(ids: Tensor) -> Tensor:
        check()
        found = unembed.stored(ids)
        return found if mean is None else found - mean

    beside = 0.0 if mean is None else float(torch.linalg.vector_norm(mean))
    return Factors(columns, unembed.reading(y[None])[0], beside)


def ranked_row(row: Tensor, k: int, made: Factors | None = None, shown: Sequence[int] = ()) -> Ranked:
    """``row [d_vocab]`` with its k largest and k smallest entries, equal ones in order of ids; ``made``: what it was
    made from, if rounding shall decide nothing of these and of ``shown``."""
    values = row.cpu().numpy().copy()
    if made is not None:
        settle(values, np.array(shown, dtype=np.int64), made)
    promoted = ranking(values, k, factors=made).ids
    turned = -values
    suppressed = ranking(turned, k, factors=made and replace(made, vector=-made.vector)).ids
    first, last, settled = (torch.from_numpy(part).to(row.device) for part in (promoted, suppressed, -turned))
    return Ranked(first, last, settled)

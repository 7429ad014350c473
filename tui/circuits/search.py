"""Which heads tie pairs of tokens together: where a partner stands in its row over the whole vocabulary, in every head.

    QK: the row of query i is u_i Xᵀ,   u_i = q_i W_Kᵀ, the query at ``offset``, keys at position 0
    OV: the row of source i is u_i W_U, u_i = x_i W_V W_O
    z = (entry − mean of its row) / population std of its row;   rank = 1 + entries that are strictly larger

So a row of any head is one vector of d_model numbers against the same X (or ``W_U``): the vocabulary is read once, in
blocks, and each block meets the rows of many heads in one product. A head costs d_vocab · d_model products a row,
instead of d_vocab · d_model · d_head for its keys of the whole vocabulary. Keys that are normalised (Qwen3, Gemma 3)
have no such vector: they are made block by block for each key head, and shared by its query heads.

Constants along a row (the norm's own b in a key, the mean column of ``W_U``) change neither z nor rank: left out.
Source: definitions.md, "QK circuit", "OV circuit".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .basis import BLOCK
from .exact import products
from .normalise import Baseline, double, normalise
from .qk import keys, rotated
from .tensors import HeadWeights

CELLS = 6_000_000
"""Scores made at once, 24 MB: 144 heads × 10 rows × 4,096 tokens in one product."""
ROWS = CELLS // BLOCK
"""Rows that one product takes."""
CLOSE = 1e-6
"""How far apart two z are that may be the same number: what float32 leaves of a sum over the vocabulary."""


@dataclass(frozen=True)
class Entries:
    """Entries that are looked up in every head: those of the pairs, then those of their reverses."""

    tokens: tuple[int, ...]
    """Distinct tokens: one row each."""
    rows: tuple[int, ...]
    """Per entry: which of ``tokens`` its row is."""
    ids: tuple[int, ...]
    """Per entry: the token of its column."""


def entries_of(pairs: Sequence[tuple[int, int]]) -> Entries:
    """Both directions of every pair."""
    both = [*pairs, *((second, first) for first, second in pairs)]
    tokens = tuple(dict.fromkeys(first for first, _ in both))
    place = {token: index for index, token in enumerate(tokens)}
    return Entries(tokens, tuple(place[first] for first, _ in both), tuple(second for _, second in both))


def key_reader(stored: HeadWeights, folded: HeadWeights, basis: str, processed: bool) -> HeadWeights:
    """The head whose ``W_K`` and ``b_K`` give its bilinear keys from rows that went through no w and b of a norm.

    ``b_K`` is then only what the norm's own b adds on the way: part of the key with raw weights, left out with
    processed ones. So the heads of all layers read the same rows.
    """
    if processed or basis == "embed":
        return replace(folded if processed else stored, b_K=torch.zeros_like(stored.b_K))
    return replace(folded, b_K=folded.b_K - stored.b_K)


def key_rows(reader: HeadWeights, q: Tensor) -> Tensor:
    """``q [n, d_head] → u [n, d_model]``: what the keys of the vocabulary are multiplied with, read by their rows."""
    W = rotated(reader, reader.W_K, 0)  # at position 0 the identity, but for the constant factor of YaRN and longrope
    return q @ W.mT


@dataclass(frozen=True, eq=False)
class Standing:
    """Where the entries stand, ``[heads, entries]`` on the CPU; NaN where a head has no such row."""

    z: Tensor
    """float64."""
    rank: Tensor
    """float64; 1 is the largest, ties share the smaller."""


@dataclass(frozen=True, eq=False)
class Block:
    """What a block of the vocabulary has to say on the rows of some heads, on the CPU."""

    count: int
    """Tokens of the block."""
    mean: Tensor
    """``[heads, rows]`` float64."""
    squares: Tensor
    """``[heads, rows]`` float64: around the block's own mean."""
    larger: Tensor
    """``[heads, entries]`` int64: tokens that are strictly larger than the entry."""


class Rows:
    """Rows of some heads, which blocks of the vocabulary are held against, each by itself.

    Ranks are exact: what is within rounding of the entry is compared again, as ``(x_j − x_entry)·u`` in float64, which
    is 0 for tokens with equal rows however the products were rounded.
    """

    def __init__(self, u: Tensor, partners: Tensor, entries: Entries, reader: HeadWeights | None = None) -> None:
        """``u [heads, rows, d]``; ``partners [entries, d]``: the vocabulary's rows of the entries' columns; ``reader``:
        one key head's weights, if its keys have to be made from each block first."""
        self._reader, self._wanted = reader, entries
        self._u, self._partners = u, partners if reader is None else keys(reader, partners, "scaled")
        self._lengths = double(torch.linalg.vector_norm(u, dim=-1))
        paired = zip(entries.rows, double(self._partners), strict=True)
        self.values = torch.stack([double(u[:, row]) @ partner for row, partner in paired], 1)
        """``[heads, entries]`` float64: the entries themselves."""

    def against(self, x: Tensor, start: int) -> Block:
        """The block ``x [n, d]`` of the vocabulary, whose first token is ``start``."""
        if self._reader is not None:
            x = keys(self._reader, x, "scaled")
        heads, rows, d = self._u.shape
        scores = (self._u.flatten(0, 1) @ x.mT).view(heads, rows, -1)
        mean = scores.mean(-1, keepdim=True)
        apart = scores.sub_(mean)
        rest = double(apart.mean(-1))  # what rounding of the mean left over
        squares = double(torch.linalg.vector_norm(apart, dim=-1)).pow(2) - len(x) * rest.pow(2)
        # Twice the rounding error that a sum of d products has by the statistics of rounding (√d ε/2 of the lengths).
        longest = float(torch.linalg.vector_norm(x, dim=-1).max())
        margin = torch.finfo(x.dtype).eps * d**0.5 * longest * self._lengths
        larger = [
            self._larger(entry, apart[:, row], x, self.values[:, entry] - double(mean[:, row, 0]), margin[:, row],
                         token - start)
            for entry, (row, token) in enumerate(zip(self._wanted.rows, self._wanted.ids, strict=True))
        ]  # fmt: skip
        return Block(len(x), double(mean[..., 0]) + rest, squares, torch.stack(larger, 1))

    def _larger(self, entry: int, scores: Tensor, x: Tensor, value: Tensor, margin: Tensor, own: int) -> Tensor:
        """``[heads]``: how many of ``scores [heads, n]`` are larger than ``value [heads]``; ``own``: the entry's own
        column, if it is in this block."""
        inside = 0 <= own < scores.shape[-1]
        if inside:
            kept = scores[:, own].clone()
            scores[:, own] = -torch.inf
        high, low = ((value + side * margin).to(scores)[:, None] for side in (1, -1))
        surely, perhaps = _count(scores > high), _count(scores > low)
        unsure = (perhaps > surely).nonzero()[:, 0].to(scores.device)
        if len(unsure):
            part = scores[unsure]
            which, column = ((part > low[unsure]) & (part <= high[unsure])).nonzero(as_tuple=True)
            step = max(1, CELLS // (8 * x.shape[-1]))
            for first in range(0, len(which), step):
                head = unsure[which[first : first + step]]
                apart = double(x[column[first : first + step]]) - double(self._partners[entry])
                larger = torch.from_numpy(products(apart, self._u[head, self._wanted.rows[entry]]) > 0)
                surely = surely + torch.bincount(head.cpu()[larger], minlength=len(scores))
        if inside:
            scores[:, own] = kept
        return surely


@dataclass(frozen=True, eq=False)
class Taken:
    """The vocabulary so far, block by block in its order: means and squares are merged around each block's own mean, in
    float64 (``streamed_baseline``)."""

    count: int
    mean: Tensor
    squares: Tensor
    larger: Tensor

    @classmethod
    def first(cls, block: Block) -> Taken:
        """Of one block."""
        return cls(0, *map(torch.zeros_like, (block.mean, block.squares, block.larger))).add(block)

    def add(self, block: Block) -> Taken:
        """With the next block."""
        n, count = block.count, self.count + block.count
        delta = block.mean - self.mean
        squares = block.squares + delta.pow(2) * (self.count * n / count)
        return Taken(count, self.mean + delta * (n / count), self.squares + squares, self.larger + block.larger)

    def standing(self, values: Tensor, entries: Entries) -> Standing:
        """Of ``values [heads, entries]`` against the tokens so far."""
        at = list(entries.rows)
        std = (self.squares.clamp(min=0) / max(self.count, 1)).sqrt()
        row = Baseline(self.mean[:, at].flatten(), std[:, at].flatten())
        z = normalise(values.reshape(-1, 1), "zscore", row).view_as(values)
        return Standing(z, 1 + self.larger.double())


def _count(larger: Tensor) -> Tensor:
    """True cells of each row, on the CPU. As bytes: 0.5 ms for 6 million, 20 ms as booleans."""
    return larger.view(torch.uint8).sum(-1, dtype=torch.int32).to("cpu", torch.int64)


def order(mean_z: Tensor, mean_rank: Tensor) -> Tensor:
    """Heads best first: by mean z, then by mean rank, then as they stand; heads without numbers last.

    Mean z that lie within ``CLOSE`` of the next are equal: they come from float32 sums, and rounding orders no heads.
    """
    falling, heads = mean_z.nan_to_num(-torch.inf).sort(descending=True, stable=True)
    apart = ~torch.isclose(falling[1:], falling[:-1], rtol=CLOSE, atol=CLOSE)
    group = torch.zeros_like(heads)
    group[heads[1:]] = apart.cumsum(0)
    by_rank = mean_rank.nan_to_num(torch.inf).argsort(stable=True)
    found: Tensor = by_rank[group[by_rank].argsort(stable=True)]
    return found

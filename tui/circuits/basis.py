"""The basis X of a circuit: what a head is imagined to read.

| basis | processed weights | raw weights |
| --- | --- | --- |
| ``embed`` (the paper's) | ``W_E`` centred | ``W_E`` |
| ``normed`` | ``W_E`` normalised (no w, b) | ``W_E`` through the layer's whole norm |
| ``effective``: ``e = W_E + MLP0(ln2₀(W_E))`` | e normalised (no w, b) | e through the layer's whole norm |
| ``prompt``: the stream that reaches the head | normalised (no w, b) | through the layer's whole norm |

The wrong pair of basis and weights is off by 1e-2. ``norm`` below is the head's own norm: ``fold.bare`` of it for
processed weights, so that calling it is right in both columns. Source: definitions.md, "QK circuit".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .errors import Refusal
from .fold import in_stream
from .tensors import Ends, Norm

BLOCK = 4096
"""Vocabulary rows worked on at once: 12 MB at d_model 768."""


def written(ends: Ends, basis: str, ids: Tensor | slice) -> Tensor:
    """``[n, d_model]``: the stream of one token alone, before any norm, for ``embed``, ``normed``, ``effective``."""
    x = ends.W_E[ids]
    if basis != "effective":
        return x
    if ends.layer0_mlp is None:
        raise Refusal("The basis effective needs an MLP in layer 0, and this model has none.", "Use basis embed.")
    return x + ends.layer0_mlp(x)


def read(x: Tensor, basis: str, norm: Norm, processed: bool) -> Tensor:
    """``[n, d_model]``: what reading weights are multiplied with, from ``written`` rows, positions or the stream."""
    return in_stream(x, norm, processed) if basis == "embed" else norm(x)


def positions(ends: Ends, count: int | None, basis: str) -> Tensor:
    """``[count, d_model]``: learned positions 0 … count−1 (None: all), ``read`` like tokens (bases embed, normed)."""
    if ends.W_pos is None:
        raise Refusal("Position terms need learned positions, and this model has none.", "Use the term token-token.")
    if basis not in ("embed", "normed"):
        raise Refusal(f"Position terms exist in bases embed and normed, not in {basis}.", "Choose basis embed.")
    if count is not None and count > len(ends.W_pos):
        raise Refusal(f"The model has {len(ends.W_pos)} positions; {count} were asked for.", "Use a shorter list.")
    return ends.W_pos[:count]


def vocabulary(
    ends: Ends,
    basis: str,
    norm: Norm,
    processed: bool,
    check: Callable[[], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Tensor]:
    """All tokens' rows in blocks ``[≤ BLOCK, d_model]``, so that no second copy of ``W_E`` is ever made."""
    total = len(ends.W_E)
    for rows in slices(total, basis):
        check()
        yield read(written(ends, basis, rows), basis, norm, processed)
        progress(min(rows.stop, total), total)


def slices(total: int, basis: str) -> list[slice]:
    """The blocks that so many tokens are read in."""
    # An MLP makes a row four times wider and 500 times dearer, so its blocks are shorter: a cancel waits for one block.
    step = BLOCK // 8 if basis == "effective" else BLOCK
    return [slice(start, start + step) for start in range(0, total, step)]


def as_index(ids: tuple[int, ...], like: Tensor) -> Tensor:
    """Token ids as an index on the device of ``like``."""
    return torch.tensor(ids, dtype=torch.int64, device=like.device)

"""Views of a score matrix that take a baseline off each row.

``centered``: row mean removed. ``zscore``: row mean 0, population standard deviation 1. ``softmax``: row sums to 1.
The baseline is the shown, unmasked cells of the row, or the whole vocabulary, whose statistics come from ``qk`` and
``ov``. Everything here is float64 on the CPU: matrices on a screen are small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Baseline:
    """Per row of a score matrix, ``[rows]`` float64 on the CPU."""

    mean: Tensor
    std: Tensor
    """Population standard deviation."""
    log_sum_exp: Tensor | None = None
    """``log Σ exp`` over the baseline; only softmax needs it."""


def double(x: Tensor) -> Tensor:
    """float64 on the CPU (not every accelerator has float64)."""
    return x.to("cpu", torch.float64)


def shown_baseline(values: Tensor, visible: Tensor | None) -> Baseline:
    """Statistics of each row's visible cells: ``values [r, c]`` float64, ``visible [r, c]`` bool or None for all."""
    if visible is None:
        visible = torch.ones_like(values, dtype=torch.bool)
    count = visible.sum(-1).clamp(min=1)
    mean = values.masked_fill(~visible, 0).sum(-1) / count
    spread = (values - mean[:, None]).masked_fill(~visible, 0).pow(2).sum(-1) / count
    return Baseline(mean, spread.sqrt(), values.masked_fill(~visible, -torch.inf).logsumexp(-1))


def streamed_baseline(blocks: Iterable[Tensor], check: Callable[[], None]) -> Baseline:
    """Statistics over column blocks ``[r, ≤ block]`` of a matrix too wide to keep.

    Means and squares are merged block by block around each block's own mean (Chan, Golub, LeVeque 1979), so a large
    common offset costs no digits.
    """
    count = 0
    mean = squares = lse = torch.zeros(0, dtype=torch.float64)
    for block in blocks:
        check()
        part = double(block)
        n = part.shape[-1]
        part_mean = part.mean(-1)
        part_squares = (part - part_mean[:, None]).pow(2).sum(-1)
        part_lse = part.logsumexp(-1)
        if count == 0:
            mean, squares, lse = part_mean, part_squares, part_lse
        else:
            delta = part_mean - mean
            mean = mean + delta * (n / (count + n))
            squares = squares + part_squares + delta.pow(2) * (count * n / (count + n))
            lse = torch.logaddexp(lse, part_lse)
        count += n
    return Baseline(mean, (squares / max(count, 1)).sqrt(), lse)


def normalise(values: Tensor, how: str, baseline: Baseline | None = None, visible: Tensor | None = None) -> Tensor:
    """``values [r, c]`` against a baseline (None: the visible cells themselves) → float64 CPU, masked cells NaN."""
    out = double(values)
    seen = None if visible is None else visible.cpu()
    if how != "none":
        base = shown_baseline(out, seen) if baseline is None else baseline
        if how == "centered":
            out = out - base.mean[:, None]
        elif how == "zscore":
            # A row of one visible cell has no spread: its z is 0, not 0/0.
            flat = base.std <= 1e-12 * base.mean.abs().clamp(min=1e-30)
            out = (out - base.mean[:, None]) / base.std.masked_fill(flat, torch.inf)[:, None]
        elif how == "softmax":
            assert base.log_sum_exp is not None
            out = (out - base.log_sum_exp[:, None]).exp()
        else:
            raise ValueError(how)
    return out if seen is None else out.masked_fill(~seen, torch.nan)

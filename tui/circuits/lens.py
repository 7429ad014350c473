"""The logit lens: what the model would say if it stopped at a state of the stream.

    states   L0.pre, L0.mid, L1.pre, …, L{n−1}.post: before each block, between its attention and its MLP, the final one
    logits   cap(norm(x) W_U + b_U): the final norm with statistics of that state's own, its w and b, the soft cap
    entropy  −Σ p log p;   KL(final ‖ lens) = Σ q (log q − log p), q the model's own distribution; both in nats
    rank     1 + the number of strictly larger logits

The last state is the model's own output. A component's write is read the other way: through the final norm frozen at
the whole stream, so that the effects of all writes add up; either is shown minus its mean over the vocabulary.
Never more than ``CELLS`` logits at once. Source: nostalgebraist, "interpreting GPT: the logit lens"; definitions.md,
"Residual stream".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import fold, residual
from .tensors import Ends, HeadWeights, Trace

CELLS = 3_250_000
"""Logits worked on at once, 13 MB: 64 positions of GPT-2's vocabulary, from where a CPU multiplies no faster."""


def _placed(name: str) -> tuple[int, str]:
    layer, _, kind = name[1:].partition(".")
    return int(layer), kind


def depth(name: str) -> float:
    """How many layers a state has behind it; between attention and MLP half of one."""
    layer, kind = _placed(name)
    return layer + {"pre": 0.0, "mid": 0.5, "post": 1.0}[kind]


def state(trace: Trace, name: str) -> Tensor:
    """``[n, d_model]``: the stream of a name in ``state_names``."""
    layer, kind = _placed(name)
    if kind == "mid":
        assert trace.resid_mid is not None
        return trace.resid_mid[layer]
    return trace.resid_pre[layer + (kind == "post")]


def uncapped(ends: Ends, unembed: fold.Unembedding, x: Tensor) -> Tensor:
    """``x [p, d_model]`` of the stream → ``[p, d_vocab]`` logits before the soft cap; ``unembed`` is the raw one."""
    logits = unembed.logits(ends.final_norm(x))
    return logits if ends.b_U is None else logits.add_(ends.b_U)


def logits(ends: Ends, unembed: fold.Unembedding, x: Tensor) -> Tensor:
    """``x [p, d_model]`` of the stream → ``[p, d_vocab]``: the logits that the model would make of it."""
    out = uncapped(ends, unembed, x)
    return out.div_(ends.logit_cap).tanh_().mul_(ends.logit_cap) if ends.logit_cap else out


def ranks(logits: Tensor, values: Tensor) -> Tensor:
    """``logits [p, d_vocab]``, ``values [p, k]`` among them → ``[p, k]`` from 1; ties share the smaller rank."""
    # Counted in 32 bits: a sum of booleans in 64 takes five times as long.
    counts = [(logits > value[:, None]).sum(-1, dtype=torch.int32) for value in values.unbind(1)]
    return 1 + torch.stack(counts, 1) if counts else torch.empty_like(values, dtype=torch.int32)


@dataclass(frozen=True, eq=False)
class Reading:
    """What the lens sees in p vectors of the stream."""

    top: Tensor
    """``[p]`` int64: the likeliest token."""
    probability: Tensor
    """``[p]`` of that token."""
    entropy: Tensor
    """``[p]`` nats."""
    divergence: Tensor
    """``[p]`` nats: KL(final ‖ lens)."""
    answers: Tensor
    """``[p, k]``: probability of each token that was asked for."""
    ranks: Tensor
    """``[p, k]``: its rank."""
    gap: Tensor
    """``[p]``: ``max |lens logits − final logits|``; rounding in the last state."""


def read(
    ends: Ends, unembed: fold.Unembedding, x: Tensor, final: Tensor, ids: Tensor, check: Callable[[], None]
) -> Reading:
    """``x [p, d_model]`` of the stream beside the model's own logits ``final [p, d_vocab]`` there, in blocks of rows.

    ``unembed`` is the raw one; ``ids [k]``: tokens whose probabilities and ranks are wanted.
    """
    step = max(1, CELLS // final.shape[-1])
    blocks = []
    for start in range(0, len(x), step):
        check()
        rows = slice(start, start + step)
        blocks.append(_read(logits(ends, unembed, x[rows]), final[rows], ids))
    return Reading(*(torch.cat(column) for column in zip(*blocks, strict=True)))


def _read(found: Tensor, final: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
    """The fields of ``Reading`` for one block of logits, which is overwritten.

    With s = logits − largest and Z = Σ e^s: log p = s − log Z, so that H = log Z − Σ e^s s / Z. With t and Y the same
    of the model's own logits, KL = Σ e^t (t − s) / Y + log Z − log Y: 0 where the logits are the same, and not the
    rounding of two large sums. Everything happens in three blocks: fresh memory costs more than the arithmetic.
    """
    work = found - final
    gap = work.abs_().amax(-1)
    largest, top = found.max(-1, keepdim=True)
    asked = found[:, ids]
    place = ranks(found, asked)
    s, t = found.sub_(largest), final - final.amax(-1, keepdim=True)
    e = torch.exp(s, out=work)
    Z = e.sum(-1)
    entropy = Z.log() - e.mul_(s).sum(-1) / Z
    e = torch.exp(t, out=work)
    Y = e.sum(-1)
    divergence = (e.mul_(t.sub_(s)).sum(-1) / Y + Z.log() - Y.log()).clamp_(min=0)
    return top[:, 0], 1 / Z, entropy, divergence, (asked - largest).exp() / Z[:, None], place, gap


def effects(ends: Ends, unembed: fold.Unembedding, write: Tensor, stream: Tensor) -> Tensor:
    """``write [d_model]`` → ``[d_vocab]``: what it adds to every logit through the final norm frozen at ``stream
    [d_model]``, minus the mean over the vocabulary, before a soft cap."""
    y = residual.frozen(ends.final_norm, write, ends.final_norm.scale(stream))
    return fold.centred(unembed.logits(y[None])[0])


def source_write(head: HeadWeights, trace: Trace, destination: int, source: int) -> Tensor:
    """``[d_model]``: ``pattern[dst, src] · v_src W_O``, through the post-norm's frozen scale where there is one.

    ``trace`` has the layer's pattern and values; ``b_V`` is in ``v_src``.
    """
    weight = trace.patterns[head.layer][head.head, destination, source]
    write = weight * (trace.values[head.layer][source, head.head] @ head.W_O)
    return write if trace.attn_post_scale is None else write * trace.attn_post_scale[head.layer][destination]


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """``[…, d]`` and ``[…, d]`` → ``[…]``; 0 where either is zero."""
    out: Tensor = torch.linalg.vecdot(_unit(a), _unit(b))
    return out


def _unit(x: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(length > 0, length, 1.0)

"""Path patching: what one part sends to one other part alone, and what that does to a metric.

``base`` is the run that is changed, ``other`` the one that the sender is taken from. The receiver's input changes, what
the receiver then makes is put into the base run, and everything after it runs on:

    direct  y = norm(x) + w · centred(other's write − base's write) / scale(x): the difference by itself, through the
            base run's frozen norm
    ioi     y = norm(x′), where x′ is the stream of a base run with the sender's write replaced, every other head's z
            that of the base run, MLPs and norms computed again

Senders are token embeddings with positions (``embed``), heads and MLPs before the receiver; what a receiver reads
differs between query heads only in q: k and v of heads that share them are one node. What a query or key norm does is
part of the receiver. Source: definitions.md, "Interventions".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .estimate import Slopes
from .forward import Block, Edits, Forward, Past, Tape, never
from .patching import FULL, Measured, Pair, Sweep
from .tensors import Norm

SIDES = ("q", "k", "v")
VARIANTS = ("direct", "ioi")
READS = ("q", "k", "v", "mlp_out")
"""Points whose slopes edges are estimated from."""
ROOM = 1 << 28
"""Bytes of slopes that are held at once: of more receivers in turns."""


class Sender(NamedTuple):
    """A head (layer, head), an MLP (layer, no head), or the embedding (neither)."""

    layer: int | None = None
    head: int | None = None


class Receiver(NamedTuple):
    """What is sent to: ``q``, ``k`` or ``v`` of a head (of k and v: a key/value head), ``mlp``, or ``logits``."""

    kind: str = "logits"
    layer: int | None = None
    node: int | None = None


EMBED, LOGITS = Sender(), Receiver()


def senders(forward: Forward, receiver: Receiver) -> list[Sender]:
    """Every part that the receiver reads, in the order in which they write."""
    out = [EMBED]
    last = forward.n_layers if receiver.layer is None else receiver.layer + (receiver.kind == "mlp")
    for layer in range(last):
        block, there = forward.block(layer), layer == receiver.layer
        if there and block.parallel:
            break  # attention and MLP of a parallel block read the same stream
        out += [Sender(layer, head) for head in range(block.heads)]
        if block.mlp is not None and not there:
            out.append(Sender(layer))
    return out


def receivers(forward: Forward) -> Iterator[Receiver]:
    """Everything that reads the stream."""
    for layer in range(forward.n_layers):
        block = forward.block(layer)
        for kind in SIDES:
            count = block.heads if kind == "q" else block.groups
            yield from (Receiver(kind, layer, node) for node in range(count))
        if block.mlp is not None:
            yield Receiver("mlp", layer)
    yield LOGITS


def norm_of(forward: Forward, receiver: Receiver) -> Norm:
    """What a receiver reads through."""
    if receiver.layer is None:
        return forward.ends.final_norm
    block = forward.block(receiver.layer)
    return block.mlp_norm if receiver.kind == "mlp" else block.norm


def read_by(forward: Forward, tape: Tape, receiver: Receiver) -> Tensor:
    """``[n, d_model]``: the stream that a receiver reads."""
    if receiver.layer is None:
        return tape.pre[-1]
    after_attention = receiver.kind == "mlp" and not forward.block(receiver.layer).parallel
    return (tape.mid if after_attention else tape.pre)[receiver.layer]


def weights_of(block: Block, receiver: Receiver) -> tuple[Tensor, Tensor]:
    """``[d_model, d_head]`` and ``[d_head]``: the projection of a head's query, or of shared keys or values."""
    W, b, count = {
        "q": (block.W_Q, block.b_Q, block.heads), "k": (block.W_K, block.b_K, block.groups),
        "v": (block.W_V, block.b_V, block.groups),
    }[receiver.kind]  # fmt: skip
    assert receiver.node is not None
    size = W.shape[1] // count
    at = slice(receiver.node * size, (receiver.node + 1) * size)
    return W[:, at], b[at]


def head_writes(forward: Forward, tape: Tape, layer: int) -> Tensor:
    """``[heads, n, d_model]``: what each head adds to the stream, after a post-norm with the run's own scale."""
    block = forward.block(layer)
    written = tape.z[layer].transpose(0, 1) @ block.W_O.view(block.heads, -1, block.W_O.shape[-1])
    norm = block.post_norm
    if norm.kind == "none":
        return written
    scaled = written / norm.scale(tape.attn_raw[layer])
    return scaled if norm.w is None else scaled * norm.w


def through(norm: Norm, x: Tensor, moved: Tensor) -> Tensor:
    """``[…, d_model]``: what ``moved`` adds behind a norm whose scale stays that of ``x``."""
    if norm.kind == "none":
        return moved
    if norm.kind == "LayerNorm":
        moved = moved - moved.mean(-1, keepdim=True)
    out = moved / norm.scale(x)
    return out if norm.w is None else out * norm.w


def back_through(norm: Norm, x: Tensor, slope: Tensor) -> Tensor:
    """The transpose of ``through``: a slope behind the norm → the slope before it."""
    if norm.kind == "none":
        return slope
    out = (slope if norm.w is None else slope * norm.w) / norm.scale(x)
    return out - out.mean(-1, keepdim=True) if norm.kind == "LayerNorm" else out


class Paths:
    """Paths between the runs of two prompts."""

    def __init__(self, sweep: Sweep) -> None:
        """``sweep``: the runs, the metric, and the memory that a batch may take."""
        assert isinstance(sweep.value, Measured), "one metric at a time"
        self.pair, self.value, self.most = sweep.pair, sweep.value, sweep.most
        self.ends = sweep.ends

    def batches(self, receiver: Receiver) -> list[list[Sender]]:
        """The receiver's senders, as many at once as one batch takes."""
        every, n = senders(self.pair.forward, receiver), self.pair.n - self.pair.first
        size = max(1, min(self.most, max(FULL, n)) // n)
        return [every[start : start + size] for start in range(0, len(every), size)]

    @torch.no_grad()
    def values(
        self, receiver: Receiver, batch: Sequence[Sender], variant: str, check: Callable[[], None] = never
    ) -> Tensor:
        """``[senders]``: the metric with each path patched alone; bit for bit that of the base run where a sender
        writes the same in both."""
        forward, norm = self.pair.forward, norm_of(self.pair.forward, receiver)
        moved = differences(self.pair, batch)
        if variant == "direct":
            x = self._from_first(read_by(forward, self.pair.base, receiver))
            y = norm(x) + through(norm, x, moved)
        else:
            y = norm(self._recomputed(receiver, batch, check))
        out, idle = self._onwards(receiver, y, check), ~moved.flatten(1).any(1)
        return torch.where(idle, self.ends(check)[0], out) if bool(idle.any()) else out

    def _from_first(self, x: Tensor) -> Tensor:
        return x[self.pair.first :]

    def _recomputed(self, receiver: Receiver, batch: Sequence[Sender], check: Callable[[], None]) -> Tensor:
        """``[senders, m, d_model]``: the stream that the receiver reads, heads but the sender as in the base run."""
        forward, base = self.pair.forward, self.pair.base
        # Below the first of the senders the stream is that of the base run.
        first = min(sender.layer or 0 for sender in batch)
        x = self._from_first(base.pre[first]).repeat(len(batch), 1, 1)
        for row, sender in enumerate(batch):
            if sender == EMBED:
                x[row] = self._from_first(self.pair.other.pre[0])
        layers = forward.n_layers if receiver.layer is None else receiver.layer + 1
        for layer in range(first, layers):
            check()
            there = layer == receiver.layer
            block = forward.block(layer)
            if there and (receiver.kind != "mlp" or block.parallel):
                return x
            mid = x + self._attention(layer, batch)
            if there:
                return mid
            if block.mlp is None:
                x = mid
                continue
            out = block.mlp(block.mlp_norm(x if block.parallel else mid), None)
            for row, sender in enumerate(batch):
                if sender == (layer, None):
                    out[row] = self._from_first(self.pair.other.mlp_out[layer])
            x = mid + out
        return x

    def _attention(self, layer: int, batch: Sequence[Sender]) -> Tensor:
        """``[senders, m, d_model]``: what attention adds, with the sender's z if it is of this layer."""
        base, other, block = self.pair.base, self.pair.other, self.pair.forward.block(layer)
        rows = [row for row, sender in enumerate(batch) if sender.layer == layer and sender.head is not None]
        out = self._from_first(base.attn_out[layer]).repeat(len(batch), 1, 1)
        if rows:
            W_O = block.W_O.view(block.heads, -1, block.W_O.shape[-1])
            apart = self._from_first(other.z[layer] - base.z[layer]).transpose(0, 1)
            heads = [batch[row].head for row in rows]
            raw = self._from_first(base.attn_raw[layer]) + apart[heads] @ W_O[heads]
            out[rows] = block.post_norm(raw)
        return out

    def _onwards(self, receiver: Receiver, y: Tensor, check: Callable[[], None]) -> Tensor:
        """``[senders]``: the metric when the receiver reads ``y [senders, m, d_model]``, behind its norm, in the base
        run."""
        pair, layer, forward = self.pair, receiver.layer, self.pair.forward
        if layer is None:
            return self.value.normed(y[:, -1])
        past = Past(pair.base, pair.first) if pair.first else None
        if receiver.kind == "mlp":
            mlp = forward.block(layer).mlp
            assert mlp is not None
            x = self._from_first(pair.base.mid[layer]) + mlp(y, None)
            return self.value(forward.run(x, pair.reach, layer + 1, check=check, past=past, last=True)[:, -1])
        W, b = weights_of(block := forward.block(layer), receiver)
        new = block.positioned(y, receiver.kind, pair.first) @ W + b

        def edit(value: Tensor) -> Tensor:
            out = value.clone()
            out[:, :, receiver.node] = new[:, -value.shape[1] :]  # the last block's queries are the last alone
            return out

        edits: Edits = {(receiver.kind, layer): edit}
        x = self._from_first(pair.base.pre[layer]).expand_as(y)
        return self.value(forward.run(x, pair.reach, layer, edits, check, past, last=True)[:, -1])


def differences(pair: Pair, batch: Sequence[Sender]) -> Tensor:
    """``[senders, m, d_model]``: the other run's writes minus the base run's, from the first position on at which the
    runs differ."""
    layers = dict.fromkeys(sender.layer for sender in batch)
    made = {key: rows for layer in layers for group, moved in differences_of(pair, layer) for key, rows in
            zip(group, moved, strict=True)}  # fmt: skip
    return torch.stack([made[sender] for sender in batch])


def differences_of(pair: Pair, layer: int | None) -> Iterator[tuple[list[Sender], Tensor]]:
    """A layer's senders, or the embedding, in groups that the same receivers read, with their differences."""
    base, other, first = pair.base, pair.other, pair.first
    if layer is None:
        yield [EMBED], (other.pre[0] - base.pre[0])[None, first:]
        return
    block = pair.forward.block(layer)
    heads = head_writes(pair.forward, other, layer) - head_writes(pair.forward, base, layer)
    yield [Sender(layer, head) for head in range(block.heads)], heads[:, first:]
    if block.mlp is not None:
        yield [Sender(layer)], (other.mlp_out[layer] - base.mlp_out[layer])[None, first:]


# --- the estimate ---


def edges(
    pair: Pair, slope: Slopes, wanted: Sequence[Receiver], value: Measured, check: Callable[[], None] = never
) -> dict[Receiver, dict[Sender, float]]:
    """What each edge would add to the metric, were it linear: the sender's difference times the slope at the receiver's
    input, through the base run's frozen norm. ``slope``: at ``READS``, of the base run. Outside inference mode."""
    forward = pair.forward
    with torch.enable_grad():
        y = forward.ends.final_norm(pair.base.pre[-1][-1:]).detach().clone().requires_grad_()
        (final,) = torch.autograd.grad(value.normed(y)[0], y)
    out: dict[Receiver, dict[Sender, float]] = {receiver: {} for receiver in wanted}
    layers: list[int | None] = [None, *range(forward.n_layers)]
    size = max(1, ROOM // pair.base.pre[0].nbytes)
    for start in range(0, len(wanted), size):
        some = wanted[start : start + size]
        slopes = torch.stack([_slope_before(pair, slope, receiver, final[0]).flatten() for receiver in some])
        named = [set(senders(forward, receiver)) for receiver in some]
        for layer in layers:
            check()
            for group, moved in differences_of(pair, layer):
                effects = (moved.flatten(1) @ slopes.mT).tolist()
                for at, receiver in enumerate(some):
                    if group[0] in named[at]:
                        out[receiver] |= {sender: row[at] for sender, row in zip(group, effects, strict=True)}
    return out


def _slope_before(pair: Pair, slope: Slopes, receiver: Receiver, final: Tensor) -> Tensor:
    """``[m, d_model]``: the metric's slope at the stream that a receiver reads, by way of the receiver alone."""
    forward = pair.forward
    norm, x = norm_of(forward, receiver), read_by(forward, pair.base, receiver)
    if receiver.layer is None:
        behind = torch.zeros_like(x)
        behind[-1] = final
    elif receiver.kind == "mlp":
        mlp = forward.block(receiver.layer).mlp
        assert mlp is not None
        with torch.enable_grad():
            y = norm(x).detach().clone().requires_grad_()
            (behind,) = torch.autograd.grad(mlp(y[None], None)[0], y, slope.at["mlp_out", receiver.layer])
    else:
        W, _ = weights_of(forward.block(receiver.layer), receiver)
        behind = slope.at[receiver.kind, receiver.layer][:, receiver.node] @ W.mT
    return back_through(norm, x, behind)[pair.first :]

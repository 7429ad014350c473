"""The model's blocks from plain tensors: a batch of variants at once, from any layer on, with edits at named points.

Interventions run here. A variant differs from the prompt's own run in one activation or a few, so what lies before the
first of them is not computed again: neither the layers below nor, with causal attention, the positions before. What
this forward gives is compared with the model's own logits and patterns when a model is loaded (``models.check``).

Points, in the order of a block (b variants, n positions; names as in TransformerLens' hooks):

    resid_pre [b, n, d_model]        the stream before the block
    q [b, n, heads, d_head], k v [b, n, key/value heads, d_head]    projected, before their norms and rotation
    scores [b, heads, n, n]          scaled, capped and masked with −∞
    pattern [b, heads, n, n], z [b, n, heads, d_head]
    attn_out [b, n, d_model]         what attention adds to the stream, after a post-norm where there is one
    resid_mid [b, n, d_model]        the stream between attention and MLP; not in parallel blocks
    act [b, n, d_mlp], mlp_out [b, n, d_model]
    resid_post [b, n, d_model]       after the last block only: every other one is the next block's resid_pre
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .tensors import Ends, Norm

Edit = Callable[[Tensor], Tensor]
"""What an activation becomes; it may also only look."""
Edits = Mapping[tuple[str, int], Edit]
"""Point and layer → edit."""
NONE: Edits = {}


def never() -> None:
    """A ``check`` that never cancels."""


@dataclass(frozen=True, eq=False)
class Block:
    """One layer as stored (raw)."""

    norm: Norm
    """What attention reads through."""
    W_Q: Tensor
    """``[d_model, heads · d_head]``."""
    b_Q: Tensor
    W_K: Tensor
    """``[d_model, groups · d_head]``, as is ``W_V``: key/value heads."""
    b_K: Tensor
    W_V: Tensor
    b_V: Tensor
    W_O: Tensor
    """``[heads · d_head, d_model]``."""
    b_O: Tensor
    """``[d_model]``."""
    heads: int
    groups: int
    scale: float
    """Scores are divided by it."""
    soft_cap: float | None
    q_norm: Norm
    """Before the rotation: over d_head, or over all heads at once (OLMo 2)."""
    k_norm: Norm
    rotate: Callable[[Tensor, Tensor], Tensor] | None
    """``rotate(x [m, d_head], positions [m])``; None without rotary."""
    post_norm: Norm
    """Between attention's output and the stream (Gemma 2 and 3, OLMo 2); else none."""
    mlp_norm: Norm
    """What the MLP reads through."""
    mlp: Callable[[Tensor, Edit | None], Tensor] | None
    """``[b, n, d_model]`` through ``mlp_norm``, and the edit of its activations → what the MLP writes; None without
    one."""
    parallel: bool
    """Whether the MLP reads the stream before attention."""
    score_bias: Callable[[int], Tensor] | None = None
    """``n → [heads, n]``: added to every query's score with each key (ALiBi); None without."""
    sinks: Tensor | None = None
    """``[heads]``: a score beside those of the keys, whose share of the row goes nowhere (GPT-OSS); None without."""
    clip: float | None = None
    """Queries, keys and values are clipped at ± this as they are projected (OLMo 1)."""
    positions: Tensor | None = None
    """``[n_ctx, d_model]``: what queries and keys read besides the stream, behind the norm (shortformer)."""

    def positioned(self, y: Tensor, side: str, first: int = 0) -> Tensor:
        """``y […, m, d_model]`` behind the norm, from position ``first`` on, as ``side`` (q, k, v) reads it."""
        if self.positions is None or side == "v":
            return y
        return y + self.positions[first : first + y.shape[-2]]

    def project(self, y: Tensor, side: str, first: int = 0) -> Tensor:
        """``y […, m, d_model]`` behind the norm → ``[…, m, heads, d_head]``, keys and values of their groups."""
        W, b, count = {"q": (self.W_Q, self.b_Q, self.heads), "k": (self.W_K, self.b_K, self.groups),
                       "v": (self.W_V, self.b_V, self.groups)}[side]  # fmt: skip
        return (self.positioned(y, side, first) @ W + b).view(*y.shape[:-1], count, -1)

    @property
    def group_size(self) -> int:
        """Query heads that share a key/value head."""
        return self.heads // self.groups

    @property
    def norms_join_heads(self) -> bool:
        """Whether queries or keys are normalised over all heads at once (OLMo 2)."""
        size = len(self.W_O) // self.heads
        return any(_over_all(norm, n * size, size) for norm, n in
                   ((self.q_norm, self.heads), (self.k_norm, self.groups)))  # fmt: skip

    def spread(self, x: Tensor) -> Tensor:
        """``[b, n, groups, d_head]`` → one for each query head."""
        return x.repeat_interleave(self.group_size, 2) if self.group_size > 1 else x


@dataclass(eq=False)
class Tape:
    """What one run of one prompt left behind; a tensor a layer, without the batch's axis."""

    pre: list[Tensor] = field(default_factory=list)
    """``[n, d_model]``, and the final stream last."""
    mid: list[Tensor] = field(default_factory=list)
    attn_out: list[Tensor] = field(default_factory=list)
    attn_raw: list[Tensor] = field(default_factory=list)
    """``[n, d_model]`` before the post-norm."""
    mlp_out: list[Tensor] = field(default_factory=list)
    q: list[Tensor] = field(default_factory=list)
    """``[n, heads, d_head]`` as attention used them; k and v ``[n, groups, d_head]``."""
    k: list[Tensor] = field(default_factory=list)
    v: list[Tensor] = field(default_factory=list)
    pattern: dict[int, Tensor] = field(default_factory=dict)
    """``[heads, n, n]`` of the layers that were asked for."""
    z: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Past:
    """The positions before ``first``, which are those of another run: variants that differ from there on only."""

    tape: Tape
    first: int


class Forward:
    """One model's blocks and ends."""

    def __init__(self, block: Callable[[int], Block], n_layers: int, ends: Ends) -> None:
        self.block, self.n_layers, self.ends = block, n_layers, ends

    def embed(self, ids: Tensor) -> Tensor:
        """``ids [b, n]`` → the stream before the first block."""
        x = self.ends.W_E[ids]
        return x if self.ends.W_pos is None else x + self.ends.W_pos[: ids.shape[1]]

    def logits(self, x: Tensor) -> Tensor:
        """``[…, d_model]`` of the final stream → ``[…, outputs]``."""
        return self.unembedded(self.ends.final_norm(x))

    def unembedded(self, y: Tensor) -> Tensor:
        """``[…, d_model]`` through the final norm → ``[…, outputs]``."""
        ends = self.ends
        out = y @ ends.W_U
        if ends.b_U is not None:
            out = out + ends.b_U
        return out if ends.logit_cap is None else ends.logit_cap * torch.tanh(out / ends.logit_cap)

    def run(
        self,
        x: Tensor,
        reach: Sequence[Tensor],
        start: int = 0,
        edits: Edits = NONE,
        check: Callable[[], None] = never,
        past: Past | None = None,
        last: int = 0,
        keep: Tape | None = None,
        patterns: Sequence[int] = (),
    ) -> Tensor:
        """``x [b, m, d_model]``, the stream before block ``start``, → the final stream; ``last``: at so many of the
        last positions alone (0: at all).

        ``reach``: a layer → ``[n, n]`` or ``[heads, n, n]`` bool, which keys a query may see. ``past``: x starts at its
        position ``first``. ``keep``: filled with the run of the first variant, and its ``patterns`` of these layers.
        """
        for layer in range(start, self.n_layers):
            check()
            block = self.block(layer)
            x = _at(edits, "resid_pre", layer, x)
            if keep is not None:
                keep.pre.append(x[0])
            narrow = last if layer == self.n_layers - 1 else 0
            write = self._attention(block, layer, x, reach[layer], edits, past, narrow, keep, layer in patterns)
            before = x[:, -narrow:] if narrow else x
            x = self._second_half(block, layer, before, before + write, edits, keep)
        x = _at(edits, "resid_post", self.n_layers - 1, x)
        if keep is not None:
            keep.pre.append(x[0])
        return x[:, -last:] if last else x

    def attention(self, x: Tensor, reach: Tensor, layer: int, edits: Edits, keep: Tape) -> None:
        """One layer's attention alone on ``x [1, n, d_model]``, the stream before its block as ``run`` keeps it."""
        self._attention(self.block(layer), layer, x, reach, edits, None, 0, keep, True)

    def from_mid(
        self,
        pre: Tensor,
        mid: Tensor,
        layer: int,
        reach: Sequence[Tensor],
        check: Callable[[], None] = never,
        past: Past | None = None,
        last: int = 0,
        edits: Edits = NONE,
    ) -> Tensor:
        """As ``run``, from between attention and MLP of a layer: ``pre`` and ``mid [b, m, d_model]``."""
        if last and layer == self.n_layers - 1:
            pre, mid = pre[:, -last:], mid[:, -last:]
        x = self._second_half(self.block(layer), layer, pre, mid, edits, None)
        return self.run(x, reach, layer + 1, edits, check, past, last)

    def _second_half(
        self, block: Block, layer: int, pre: Tensor, mid: Tensor, edits: Edits, keep: Tape | None
    ) -> Tensor:
        if not block.parallel:
            mid = _at(edits, "resid_mid", layer, mid)
        if keep is not None:
            keep.mid.append(mid[0])
        if block.mlp is None:
            return mid
        out = block.mlp(block.mlp_norm(pre if block.parallel else mid), edits.get(("act", layer)))
        out = _at(edits, "mlp_out", layer, out)
        if keep is not None:
            keep.mlp_out.append(out[0])
        return mid + out

    def _attention(
        self,
        block: Block,
        layer: int,
        x: Tensor,
        reach: Tensor,
        edits: Edits,
        past: Past | None,
        narrow: int,
        keep: Tape | None,
        keep_pattern: bool,
    ) -> Tensor:
        """What attention adds to the stream; ``narrow``: at so many last positions alone."""
        y, first = block.norm(x), 0 if past is None else past.first
        n = first + x.shape[1]
        rows = slice(n - narrow, n) if narrow else slice(first, n)
        q = block.project(y[:, -narrow:] if narrow else y, "q", rows.start)
        k, v = block.project(y, "k", first), block.project(y, "v", first)
        q, k, v = (_at(edits, name, layer, value) for name, value in (("q", q), ("k", k), ("v", v)))
        q, k, v = (_clipped(block, x) for x in (q, k, v))
        q = _used(q, block.q_norm, block.rotate, rows.start)
        k = _used(k, block.k_norm, block.rotate, first)
        if past is not None and first:
            k, v = (
                torch.cat([own[:first].expand(len(new), -1, -1, -1), new], 1)
                for own, new in ((past.tape.k[layer], k), (past.tape.v[layer], v))
            )
        kept_k, kept_v = k, v
        scores = scores_of(block, q, k, reach[..., rows, :n])
        pattern = attended(block, _at(edits, "scores", layer, scores))
        pattern = _at(edits, "pattern", layer, pattern)
        z = _at(edits, "z", layer, moved(block, pattern, v))
        raw = z.flatten(2) @ block.W_O + block.b_O
        out = _at(edits, "attn_out", layer, block.post_norm(raw))
        if keep is not None:
            for kept, value in (
                (keep.q, q), (keep.k, kept_k), (keep.v, kept_v), (keep.z, z),
                (keep.attn_raw, raw), (keep.attn_out, out),
            ):  # fmt: skip
                kept.append(value[0])
            if keep_pattern:
                keep.pattern[layer] = pattern[0]
        return out


def scores_of(block: Block, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
    """``q [b, m, heads, d_head]``, ``k [b, n, groups, d_head]`` as attention uses them → ``[b, heads, m, n]``: scaled,
    capped, −∞ where not ``seen [m, n]`` or ``[heads, m, n]``."""
    scores = q.transpose(1, 2) @ block.spread(k).permute(0, 2, 3, 1) / block.scale
    if block.soft_cap is not None:
        scores = block.soft_cap * torch.tanh(scores / block.soft_cap)
    if block.score_bias is not None:
        scores = scores + block.score_bias(seen.shape[-1])[:, None]
    return scores.masked_fill(~seen, -torch.inf)


def attended(block: Block, scores: Tensor) -> Tensor:
    """``[b, heads, m, n]`` scores → the pattern."""
    return with_sink(scores, None if block.sinks is None else block.sinks[:, None, None])


def with_sink(scores: Tensor, sink: Tensor | None) -> Tensor:
    """Softmax over the last axis, of which a ``sink`` takes its share where there is one."""
    pattern = scores.softmax(-1)
    return pattern if sink is None else pattern * (scores.logsumexp(-1, keepdim=True) - sink).sigmoid()


def _clipped(block: Block, x: Tensor) -> Tensor:
    return x if block.clip is None else x.clamp(-block.clip, block.clip)


def moved(block: Block, pattern: Tensor, v: Tensor) -> Tensor:
    """``pattern [b, heads, m, n]``, ``v [b, n, groups, d_head]`` → z ``[b, m, heads, d_head]``."""
    return (pattern @ block.spread(v).transpose(1, 2)).transpose(1, 2)


def _at(edits: Edits, point: str, layer: int, value: Tensor) -> Tensor:
    edit = edits.get((point, layer))
    return value if edit is None else edit(value)


def _used(x: Tensor, norm: Norm, rotate: Callable[[Tensor, Tensor], Tensor] | None, first: int) -> Tensor:
    """``[b, m, heads, d_head]`` projected queries or keys → as attention uses them: normalised, then rotated."""
    b, m, heads, d_head = x.shape
    if norm.kind != "none":
        x = norm(x.flatten(2)).view_as(x) if _over_all(norm, heads * d_head, d_head) else norm(x)
    if rotate is None:
        return x
    at = torch.arange(first, first + m, device=x.device).repeat(b * heads)
    turned = rotate(x.transpose(1, 2).reshape(-1, d_head), at)
    return turned.view(b, heads, m, d_head).transpose(1, 2)


def _over_all(norm: Norm, joined: int, d_head: int) -> bool:
    """Whether a query or key norm is over all heads at once."""
    return norm.w is not None and norm.w.ndim == 1 and norm.w.numel() == joined != d_head


def chain(first: Edit | None, then: Edit) -> Edit:
    """Both edits, one after the other."""
    return then if first is None else lambda value: then(first(value))


def merged(*all_edits: Edits) -> Edits:
    """Edits of several interventions, in their order where they meet at a point."""
    out: dict[tuple[str, int], Edit] = {}
    for edits in all_edits:
        for at, edit in edits.items():
            out[at] = chain(out.get(at), edit)
    return out


def lowest(edits: Edits) -> int:
    """The first layer that edits touch."""
    return min((layer for _, layer in edits), default=0)

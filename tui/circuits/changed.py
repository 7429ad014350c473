"""A Trace of the changed model, by the forward from plain tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .forward import Block, Edit, Edits, Forward, Tape
from .tensors import Trace


def changed_trace(
    forward: Forward, clean: Trace, edits: Edits, start: int, layers: Sequence[int], check: Callable[[], None]
) -> Trace:
    """The Trace of the changed model on the prompt of ``clean``, which holds every layer's ``visible``: the layers
    below ``start``, the first edit's, are those of ``clean``. ``layers``: those whose patterns, queries, keys
    and values are kept."""
    reach = [clean.visible[layer] for layer in range(forward.n_layers)]
    tape = Tape()
    added: dict[int, Tensor] = {}
    final = forward.run(
        clean.resid_pre[start][None], reach, start, _with_added(edits, added), check, keep=tape, patterns=layers
    )

    def joined(own: Tensor, new: list[Tensor]) -> Tensor:
        return torch.cat([own[:start], torch.stack(new)]) if new else own

    def joined_if(own: Tensor | None, new: list[Tensor]) -> Tensor | None:
        return None if own is None else joined(own, new)

    blocks = {layer: forward.block(layer) for layer in layers if layer >= start}
    used = {
        name: {
            layer: getattr(clean, long)[layer]
            if layer < start
            else _each_query_head(kept[layer - start], blocks[layer])
            for layer in layers
        }
        for name, long, kept in (("q", "queries", tape.q), ("k", "keys", tape.k), ("v", "values", tape.v))
    }
    return Trace(
        ids=clean.ids,
        embed=clean.embed,
        pos=clean.pos,
        resid_pre=torch.cat([joined(clean.resid_pre[:-1], tape.pre[:-1]), final]),
        resid_mid=joined_if(clean.resid_mid, tape.mid),
        attn_out=joined(clean.attn_out, tape.attn_out),
        mlp_out=joined_if(clean.mlp_out, tape.mlp_out),
        z=joined(clean.z, tape.z),
        b_O=clean.b_O,
        attn_post_scale=joined_if(clean.attn_post_scale, _post_scales(forward, start, tape)),
        logits=forward.logits(final[0]),
        patterns={layer: clean.patterns[layer] if layer < start else tape.pattern[layer] for layer in layers},
        queries=used["q"],
        keys=used["k"],
        values=used["v"],
        visible=clean.visible,
        score_bias=clean.score_bias,
        added=added,
    )


def with_attention(forward: Forward, trace: Trace, edits: Edits, layer: int) -> Trace:
    """A Trace that ``changed_trace`` made with these edits, with one layer's pattern, queries, keys and values."""
    tape, block = Tape(), forward.block(layer)
    forward.attention(trace.resid_pre[layer][None], trace.visible[layer], layer, edits, tape)
    queries, keys, values = ({layer: _each_query_head(kept[0], block)} for kept in (tape.q, tape.k, tape.v))
    return replace(trace, patterns=tape.pattern, queries=queries, keys=keys, values=values)


def _with_added(edits: Edits, added: dict[int, Tensor]) -> Edits:
    """What edits of the stream itself add to it becomes a part of its own."""

    def noting(edit: Edit, place: int) -> Edit:
        def noted(value: Tensor) -> Tensor:
            out = edit(value)
            added[place] = added.get(place, 0.0) + (out - value)[0]
            return out

        return noted

    def place(point: str, layer: int) -> int | None:
        return {"resid_pre": layer, "resid_mid": layer + 1, "resid_post": layer + 1}.get(point)

    return {
        (point, layer): edit if (at := place(point, layer)) is None else noting(edit, at)
        for (point, layer), edit in edits.items()
    }


def _each_query_head(x: Tensor, block: Block) -> Tensor:
    """``[n, heads or groups, d_head]`` → one for each query head."""
    return x if x.shape[1] == block.heads else x.repeat_interleave(block.group_size, 1)


def _post_scales(forward: Forward, start: int, tape: Tape) -> list[Tensor]:
    """``[n, d_model]`` a layer: what a head's write is multiplied by on its way into the stream."""
    out = []
    for layer, raw in enumerate(tape.attn_raw, start):
        norm = forward.block(layer).post_norm
        if norm.kind == "none":
            return []
        gain = norm.w if norm.w is not None else torch.ones_like(raw[0])
        out.append(gain / norm.scale(raw))
    return out

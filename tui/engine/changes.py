"""Interventions as the worker carries them out: what a run's changes do to activations. Worker thread only.

Where the model's forward from plain tensors holds (``Capabilities.plain``) the changed run is that one, from the first
layer that is touched; else the model's own with hooks, which begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..circuits import spectrum as spectral
from ..circuits.changed import changed_trace, with_attention
from ..circuits.errors import Refusal
from ..circuits.forward import Edit, Edits, lowest, merged
from ..circuits.tensors import Trace
from ..models.trace import Hook
from ..names import layer_at, neuron_at, part_at
from ..results import head_name
from .bench import Context
from .jobs import Ablation, AddVector, Change, CutEdge, Job, Patch, Run, SteeringDirection, Unchanged
from .jobs.changes import kind_of
from .jobs.parts import Forward
from .opened import OpenModel
from .references import References, of_trace

HOOKS = {
    "resid_pre": "blocks.{}.hook_in", "q": "blocks.{}.attn.hook_q", "k": "blocks.{}.attn.hook_k",
    "v": "blocks.{}.attn.hook_v", "pattern": "blocks.{}.attn.hook_pattern", "z": "blocks.{}.attn.hook_z",
    "mlp_out": "blocks.{}.hook_mlp_out",
}  # fmt: skip
"""Point of an edit → TransformerLens' name for it."""
PATTERN = ("scores", "pattern")
OTHER = "Take that change away, or name another part."


def forward(job: Forward, bench: OpenModel, ctx: Context) -> Trace:
    """One forward pass, with the run's changes."""
    if job.layer is not None:
        return _with_attention(job.run, job.layer, bench, ctx)
    keeps_all = bench.keeps_all(job.run)
    layers: Sequence[int] = range(bench.info.n_layers) if keeps_all else ()
    if job.run.interventions:
        return _changed(job.run, layers, bench, ctx)
    ctx.progress("forward pass")
    return bench.live.trace(job.run.ids, layers, ctx.check, again=not keeps_all)


def _with_attention(run: Run, layer: int, bench: OpenModel, ctx: Context) -> Trace:
    """A pass with one layer's attention, which alone runs again: there is one pass a run, whatever layer is read."""
    trace: Trace = ctx.get(Forward(run))
    if layer in trace.patterns:
        return trace
    edits, start = _edits(run, bench, ctx)
    if trace.calls:
        inside = {at: edit for at, edit in edits.items() if at[1] == layer and at[0] in ("q", "k", "v", *PATTERN)}
        return bench.live.with_attention(trace, layer, ctx.check, hooks_of(inside, bench))
    if start is not None and layer >= start:
        return with_attention(bench.live.forward, trace, edits, layer)
    own: Trace = ctx.get(Forward(run.clean, layer))
    return replace(trace, patterns=own.patterns, queries=own.queries, keys=own.keys, values=own.values)


class Alone(Context):
    """A context for one prompt among many: its forward passes are kept as long as this is, and not cached."""

    def __init__(self, run: Run, bench: OpenModel, ctx: Context) -> None:
        self._run, self._bench, self._ctx = run.clean, bench, ctx
        self._kept: dict[Job, Trace] = {}

    def get(self, job: Job) -> Any:
        if not isinstance(job, Forward) or job.run.clean != self._run:
            return self._ctx.get(job)
        if job not in self._kept:
            self._kept[job] = forward(job, self._bench, self)
        return self._kept[job]

    def check(self) -> None:
        self._ctx.check()

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None: ...

    def partial(self, result: Any) -> None: ...


def _changed(run: Run, layers: Sequence[int], bench: OpenModel, ctx: Context) -> Trace:
    """``layers``: those whose patterns are kept."""
    clean: Trace = ctx.get(Forward(run.clean))
    edits, start = _edits(run, bench, ctx)
    if start is None or (not edits and bench.info.capabilities.plain):
        return clean
    ctx.progress("changed forward pass")
    if not bench.info.capabilities.plain:
        return changed_trace(bench.live.forward, clean, edits, start, layers, ctx.check)
    return bench.live.trace(run.ids, layers, ctx.check, hooks_of(edits, bench), again=not layers)


def _edits(run: Run, bench: OpenModel, ctx: Context) -> tuple[Edits, int | None]:
    """What a run's changes do, and the layer from which it is computed by itself; None: it is the clean one."""
    like = [change.like for change in run.interventions if isinstance(change, Unchanged)]
    clean: Trace = ctx.get(Forward(run.clean))
    edits = edits_of(like[0] if like else run.interventions, clean, run, bench, ctx)
    return {} if like else edits, lowest(edits) if edits else None


def edits_of(changes: Sequence[Change], clean: Trace, run: Run, bench: OpenModel, ctx: Context) -> Edits:
    """What changes do, in their order. Refusal for a part or a position that does not exist."""
    made = []
    for change in changes:
        ctx.check()
        make = _MAKERS[type(change)]
        made.append(make(change, clean, run, bench, ctx))
    return merged(*made)


def hooks_of(edits: Edits, bench: OpenModel) -> list[Hook]:
    """The same edits on the model's own forward pass. Refusal for a point that its hooks do not have."""
    out: list[Hook] = []
    for (point, layer), edit in edits.items():
        if point in PATTERN and (reason := bench.info.capabilities.pattern_edit):
            raise Refusal(reason, "Change heads, MLPs or the stream instead.")
        if point not in HOOKS:
            raise Refusal(f"On this model {point.replace('_', ' ')} cannot be changed: {bench.info.capabilities.plain}")
        out.append((HOOKS[point].format(layer), partial(_reshaped, edit, point, bench.info.d_head)))
    return out


def _reshaped(edit: Edit, point: str, d_head: int, value: Tensor) -> Tensor:
    """Hooks of some architectures join the heads."""
    joined = point in ("q", "k", "v", "z") and value.ndim == 3
    heads = value.view(*value.shape[:-1], -1, d_head) if joined else value
    out = edit(heads.float()).to(value.dtype)
    return out.flatten(2) if joined else out


# --- ablations ---


def _ablation(change: Ablation, clean: Trace, run: Run, bench: OpenModel, ctx: Context) -> Edits:
    return ablated(change, run, bench, ctx)


def ablated(change: Ablation, run: Run, bench: OpenModel, ctx: Context) -> Edits:
    """What an ablation does on a prompt, or on all prompts of its length where it is neither resampled nor noise."""
    at = positions(change.positions, len(run.ids))
    nothing = (change.how == "scale" and change.amount == 1) or (change.how == "noise" and change.amount == 0)
    if nothing:
        list(touched(change.part, bench))  # it exists
        return {}
    return merged(*(
        {(point, layer): replaced(which, at, _new_value(change, point, layer, which, run, bench, ctx))}
        for point, layer, which in touched(change.part, bench)
    ))  # fmt: skip


def touched(part: str, bench: OpenModel) -> Iterator[tuple[str, int, list[int] | None]]:
    """Point, layer and the heads or neurons (None: all of it) that a part is. Refusal for one that does not exist."""
    info, kind = bench.info, kind_of(part)
    neuron, found = neuron_at(part), part_at(part)
    layer = neuron[0] if neuron else found.layer if found else layer_at(part)
    if not kind or layer is None:
        raise Refusal(f"“{part}” is no part of a model.", "Parts are L1H3, L1.attn, L1.mlp, L1 and L1N17.")
    if not 0 <= layer < info.n_layers:
        raise Refusal(f"{part} does not exist: the layers of {info.name} are 0 to {info.n_layers - 1}.", OTHER)
    if neuron is not None:
        bench.mlp(layer)
        if neuron[1] >= info.d_mlp:
            raise Refusal(f"{part} does not exist: the neurons of a layer are 0 to {info.d_mlp - 1}.", OTHER)
        yield "act", layer, [neuron[1]]
        return
    if kind == "head":
        assert found is not None
        assert found.head is not None
        bench.head(layer, found.head, "raw")
        yield "z", layer, [found.head]
        return
    if kind == "mlp" and not info.has_mlp:
        raise Refusal(f"{part} does not exist: {info.name} has no MLPs.", OTHER)
    if kind in ("attn", "layer"):
        yield "z", layer, list(range(info.n_heads))
    if kind in ("mlp", "layer") and info.has_mlp:
        yield "mlp_out", layer, None


def positions(span: Sequence[int] | None, n: int) -> list[int]:
    """Positions of a prompt, counted from its end where negative; all of them for None."""
    if span is None:
        return list(range(n))
    outside = [place for place in span if not -n <= place < n]
    if outside:
        raise Refusal(f"Position {outside[0]} is not in the prompt: its positions are 0 to {n - 1}.")
    return sorted({place % n for place in span})


def replaced(which: list[int] | None, at: list[int], new: Callable[[Tensor], Tensor]) -> Edit:
    """An edit of ``[b, n, …]`` at positions and, in its third axis, at heads or neurons."""

    def edit(value: Tensor) -> Tensor:
        out = value.clone()
        made = new(value)
        if which is None:
            out[:, at] = made[:, at]
            return out
        rows = torch.tensor(at, device=value.device)[:, None]
        cols = torch.tensor(which, device=value.device)
        out[:, rows, cols] = made[:, rows, cols]
        return out

    return edit


def _new_value(
    change: Ablation, point: str, layer: int, which: list[int] | None, run: Run, bench: OpenModel, ctx: Context
) -> Callable[[Tensor], Tensor]:
    """The whole activation ``[b, n, …]`` as it becomes; only the part of it that is changed is read."""
    if change.how == "scale":
        return lambda value: change.amount * value
    if change.how == "zero" or (point != "z" and change.how == "zero, value biases folded"):
        return torch.zeros_like
    if change.how == "zero, value biases folded":
        biases = torch.stack([bench.head(layer, head, change.weights).b_V for head in range(bench.info.n_heads)])
        return lambda value: biases.to(value).expand_as(value)
    if change.reference is None:
        raise Refusal(f"{change.how} needs a file of prompts to read.", "Name one, or choose zero.")
    if change.how == "resample":
        drawn = order_of(change, len(run.ids))[0]
        other = of_trace(ctx.get(Forward(drawn)), point, layer, bench)
        return lambda value: other.to(value).expand_as(value)
    found: References = ctx.get(change.moments(run, point))
    if change.how == "mean":
        return lambda value: found.means[layer].to(value).expand_as(value)
    generator = torch.Generator().manual_seed((change.seed << 16) + (layer << 2) + ("z", "act", "mlp_out").index(point))

    def noisy(value: Tensor) -> Tensor:
        drawn = torch.randn(value.shape[1:], generator=generator.manual_seed(generator.initial_seed()))
        return value + change.amount * found.spreads[layer].to(value) * drawn.to(value)

    return noisy


def order_of(change: Ablation, length: int) -> tuple[Run, ...]:
    """The rows of the reference that prompts of a length are resampled from. Refusal where there are none."""
    order = change.order(length)
    if not order:
        name = "the reference" if change.reference is None else change.reference.name
        raise Refusal(
            f"No prompt of {name} has {length} tokens, as this one: there is nothing to resample from.",
            "Choose mean, or a file with prompts of that length.",
        )
    return order


# --- patches, edges, vectors ---


def _patch(change: Patch, clean: Trace, run: Run, bench: OpenModel, ctx: Context) -> Edits:
    if len(change.source.ids) != len(run.ids):
        raise Refusal(
            f"The other prompt has {len(change.source.ids)} tokens, this one {len(run.ids)}: activations are patched "
            "position by position.", "Make both equally long.",
        )  # fmt: skip
    at = positions(change.positions, len(run.ids))
    source: Trace = ctx.get(Forward(change.source))
    out: Edits = {}
    for point, layer, which in sites(change.part, bench):
        other = activation(source, point, layer, bench, ctx, change.source)
        out = merged(out, {(point, layer): _from(point, which, at, other)})
    return out


def _from(point: str, which: list[int] | None, at: list[int], other: Tensor) -> Edit:
    if point != "pattern":
        return replaced(which, at, lambda value: other.to(value).expand_as(value))

    def edit(value: Tensor) -> Tensor:  # [b, heads, n, n]
        out = value.clone()
        rows, cols = torch.tensor(which or range(value.shape[1]))[:, None], torch.tensor(at)
        out[:, rows, cols] = other.to(value)[rows, cols]
        return out

    return edit


def sites(part: str, bench: OpenModel) -> Iterator[tuple[str, int, list[int] | None]]:
    """As ``touched``, also for a state of the stream and one side of a head."""
    name, _, side = part.rpartition(".")
    info, head, layer = bench.info, part_at(name), layer_at(name)
    if side in ("q", "k", "v", "pattern", "z") and head is not None and head.head is not None:
        bench.head(head.layer, head.head, "raw")
        group = info.n_heads // info.n_key_value_heads
        yield side, head.layer, [head.head // group if side in "kv" else head.head]
    elif side in ("pre", "mid") and layer is not None:
        if not 0 <= layer < info.n_layers:
            raise Refusal(f"{part} does not exist: the layers of {info.name} are 0 to {info.n_layers - 1}.", OTHER)
        if side == "mid":
            bench.need("states_mid")
        yield f"resid_{side}", layer, None
    else:
        yield from touched(part, bench)


def activation(trace: Trace, point: str, layer: int, bench: OpenModel, ctx: Context, run: Run) -> Tensor:
    """``[n, …]`` of a clean run: what a patch takes. q, k and v are those before norms and rotation."""
    if point in ("q", "k", "v"):
        block = bench.live.forward.block(layer)
        return block.project(block.norm(trace.resid_pre[layer]), point)
    if point == "pattern":
        return bench.trace(run, layer, ctx).patterns[layer]
    if point == "resid_pre":
        return trace.resid_pre[layer]
    if point == "resid_mid":
        assert trace.resid_mid is not None
        return trace.resid_mid[layer]
    return of_trace(trace, point, layer, bench)


def _cut(change: CutEdge, clean: Trace, run: Run, bench: OpenModel, ctx: Context) -> Edits:
    found = part_at(change.part)
    if found is None or found.head is None:
        raise Refusal(f"“{change.part}” is no head: an edge is a cell of a head's pattern.")
    bench.head(found.layer, found.head, "raw")
    query, key = (positions((place,), len(run.ids))[0] for place in (change.query, change.key))
    seen = clean.visible[found.layer]
    seen = seen if seen.ndim == 2 else seen[found.head]
    name = head_name(found.layer, found.head)
    if not seen[query, key]:
        raise Refusal(f"{name} does not look from position {query} to {key}: it is masked.", "Choose another cell.")
    if change.how == "knockout" and int(seen[query].sum()) == 1:
        raise Refusal(f"Position {query} sees position {key} alone: without it there is nothing to attend to.",
                      "Drop it instead.")  # fmt: skip
    point, value = ("scores", -torch.inf) if change.how == "knockout" else ("pattern", 0.0)

    def edit(scores: Tensor) -> Tensor:
        out = scores.clone()
        out[:, found.head, query, key] = value
        return out

    return {(point, found.layer): edit}


def _add(change: AddVector, clean: Trace, run: Run, bench: OpenModel, ctx: Context) -> Edits:
    info = bench.info
    if not 0 <= change.layer <= info.n_layers:
        raise Refusal(f"There is no stream before layer {change.layer}: layers are 0 to {info.n_layers - 1}.")
    at = positions(change.positions, len(run.ids))
    stream = clean.resid_pre[change.layer]
    vector = direction(change.direction, bench, ctx).to(stream)
    if vector.shape != stream.shape[1:]:
        raise Refusal(
            f"{change.direction.name} has {vector.numel()} numbers, the stream of {info.name} {info.d_model}."
        )
    if change.unit:
        length = torch.linalg.vector_norm(vector)
        if not length:
            raise Refusal(f"{change.direction.name} is zero: it has no direction.")
        vector = vector / length * torch.linalg.vector_norm(stream[at], dim=-1).mean()

    def edit(value: Tensor) -> Tensor:
        out = value.clone()
        out[:, at] += change.amount * vector.to(value)
        return out

    last = change.layer == info.n_layers
    return {("resid_post", info.n_layers - 1) if last else ("resid_pre", change.layer): edit}


def direction(named: SteeringDirection, bench: OpenModel, ctx: Context) -> Tensor:
    """``[d_model]``."""
    if named.kind == "given":
        return torch.tensor(named.numbers)
    if named.kind == "token":
        W_U = bench.ends.W_U[:, bench.output_index(named.ids)]
        return W_U[:, 0] - W_U[:, 1] if len(named.ids) > 1 else W_U[:, 0]
    if named.kind == "singular":
        layer, head, index = named.ids
        found = spectral.spectrum(*spectral.factors(bench.head(layer, head, "processed"), "ov"))
        if not 0 <= index < len(found.S):
            raise Refusal(f"There is no singular direction {index}: this head's are 0 to {len(found.S) - 1}.")
        column = found.V[:, index].float()
        return spectral.sign(column) * column
    one, other = (ctx.get(Forward(run)) for run in named.runs)
    layer = layer_at(named.state) or 0
    apart: Tensor = one.resid_pre[layer][named.position] - other.resid_pre[layer][named.position]
    return apart


_MAKERS: dict[type[Change], Callable[..., Edits]] = {
    Ablation: _ablation, Patch: _patch, CutEdge: _cut, AddVector: _add,
}  # fmt: skip

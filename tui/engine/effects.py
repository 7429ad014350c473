"""What knocking out each part alone does to an answer, measured and predicted. Worker thread only.

A layer's parts are a batch of variants that starts at that layer from the prompt's own run; layers come from the last
on, which takes least. Only one position is read, so with causal attention those after it are not run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..circuits import attribution, knockout, residual
from ..circuits.errors import Refusal
from ..circuits.forward import Edit, Edits, merged
from ..circuits.metrics import LOSS, METRICS, every
from ..circuits.normalise import double
from ..circuits.tensors import Trace
from ..names import part_name
from ..results import Axis, Grid, Header, Scalar
from . import targets, words
from .bench import Context
from .changes import ablated, edits_of, hooks_of
from .grids import grid
from .jobs import Ablation, Effects, Target, Unchanged
from .jobs.changes import FOLDED, OF_REFERENCE
from .opened import OpenModel, place

OWN = ("predicted", "scale")
STAGE = "parts knocked out"
HOOKED = "measured through the model's own forward pass with hooks, slower"
SELF_REPAIR = "later parts may make up for what is gone: measured is a lower bound on what the part does"


@dataclass(frozen=True, eq=False)
class Start:
    """The run that variants start from, and what is read of them."""

    trace: Trace
    edits: Edits
    """Those of the run itself."""
    at: int
    rows: slice
    """Positions that are read: ``at``, and those after it that predict a continuation."""
    count: int
    """Positions that are run, from the first on."""
    reach: list[Tensor]
    target: Target
    g: Tensor
    """``[d_model]``: a write's dot product with it is its effect on the logit difference, the final norm frozen."""


def effects(job: Effects, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    refuse_kind(job.of_layer(0))
    start = _start(job, bench, ctx)
    after = _start_of_loss(job, bench, ctx) if job.continuation else None
    columns = (*METRICS, *((LOSS,) if job.continuation else ()), *OWN)
    info = bench.info
    heads = [f"H{head}" for head in range(info.n_heads)]
    kinds = [*heads, "MLP"] if info.has_mlp else heads
    rows = Axis("part", tuple(part_name(layer, kind) for layer in range(info.n_layers) for kind in kinds))
    cols, header = Axis("value", columns), _header(job, start, bench, ctx)
    values = torch.full((info.n_layers, len(kinds), len(columns)), torch.nan, dtype=torch.float64)
    ctx.progress(STAGE, 0, len(rows))
    for done, layer in enumerate(reversed(range(info.n_layers)), 1):
        found = _of_layer(job, layer, len(kinds), start, bench, ctx)
        if after is not None:
            loss = _losses(job, layer, len(kinds), after, bench, ctx)
            found = torch.cat([found[:, : len(METRICS)], loss[:, None], found[:, len(METRICS) :]], 1)
        values[layer] = found
        ctx.progress(STAGE, done * len(kinds), len(rows))
        if done < info.n_layers:
            so_far = {**header.details, "so far": f"{done} of {info.n_layers} layers"}
            ctx.partial(grid(replace(header, details=so_far, partial=True), values.flatten(0, 1), rows, cols))
    return grid(header, values.flatten(0, 1), rows, cols)


def _start_of_loss(job: Effects, bench: OpenModel, ctx: Context) -> Start:
    """As ``_start``, of the prompt with its continuation. Refusal where there is no loss of one."""
    check_continuation(len(job.longer.run.ids), bench)
    if job.how == "resample":
        raise Refusal("The loss on a continuation cannot be resampled: the reference's rows end with the prompt.",
                      "Choose mean, or leave the continuation out.")  # fmt: skip
    return _start(job.longer, bench, ctx, len(job.continuation))


def check_continuation(n: int, bench: OpenModel) -> None:
    """Refusal where a text after the prompt changes what is read before it, or cannot be; n: tokens of both."""
    bench.need("one_vocabulary")
    if n > bench.info.n_ctx:
        raise Refusal(f"Prompt and continuation are {n} tokens: the model takes {bench.info.n_ctx}.", "Shorten them.")
    if any(bool(seen.triu(1).any()) for seen in bench.live.reach(n)):
        raise Refusal("A model that sees what comes later has no loss on a continuation.", "Choose another metric.")


def _start(job: Effects, bench: OpenModel, ctx: Context, read: int = 1) -> Start:
    """``read``: positions that are read, from the job's on."""
    at, n = place(job.run, job.position), len(job.run.ids)
    rows = slice(at, at + read)
    bench.output_index((*job.target.answers, *job.target.distractors))
    trace = bench.trace(job.run, None, ctx)
    edits: Edits = {}
    stack = [change for change in job.run.interventions if not isinstance(change, Unchanged)]
    if stack:
        edits = edits_of(stack, bench.trace(job.run.clean, None, ctx), job.run, bench, ctx)
    later = any(bool(seen[..., : rows.stop, rows.stop :].any()) for seen in trace.visible.values())
    count = n if edits or later else rows.stop  # edits name positions of the whole prompt
    reach = [trace.visible[layer][..., :count, :count] for layer in range(bench.info.n_layers)]
    # Measured logits are centred where they are capped too: so is what is predicted of them.
    mean = None if job.target.distractors else bench.ends.W_U.mean(1)
    towards = residual.direction(bench.ends, job.target.answers, job.target.distractors, mean)
    g = attribution.directions(bench.ends, trace.resid_pre[-1, at], towards)
    return Start(trace, edits, at, rows, count, reach, job.target, g)


def _of_layer(job: Effects, layer: int, parts: int, start: Start, bench: OpenModel, ctx: Context) -> Tensor:
    """``[parts, columns but the loss]`` float64 on the CPU: heads, then the MLP where there is one."""
    found = []
    for batch in _batches(job, layer, parts, start, bench, ctx):
        logits, final = _run(job, layer, batch, start, bench, ctx)
        found.append(_read(logits[:, 0], final[:, 0], _predicted(layer, batch, start, bench), start))
    return torch.cat(found)


def _losses(job: Effects, layer: int, parts: int, after: Start, bench: OpenModel, ctx: Context) -> Tensor:
    """``[parts]`` float64 on the CPU: the change of the continuation's mean ``−log p``, in nats."""
    ids = bench.index(job.continuation)
    clean = mean_loss(after.trace.logits[after.rows][None], ids)
    batches = _batches(job.longer, layer, parts, after, bench, ctx)
    found = [mean_loss(_run(job.longer, layer, batch, after, bench, ctx)[0], ids) for batch in batches]
    return (torch.cat(found) - clean).cpu()


def mean_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """``logits [b, k, outputs]`` that predict ``ids [k]`` → ``[b]`` float64: mean ``−log p``, in nats."""
    return -double(logits.log_softmax(-1).gather(-1, ids.expand(len(logits), -1)[..., None])).mean((1, 2))


@dataclass(frozen=True, eq=False)
class Batch:
    """Parts of a layer that run as one batch of variants."""

    heads: list[int]
    z: Tensor
    """``[n, heads of the layer, d_head]`` as changed heads have it."""
    mlp: Tensor | None
    """``[n, d_model]``: the MLP's output changed, where it is one of the parts."""


def _batches(job: Effects, layer: int, parts: int, start: Start, bench: OpenModel, ctx: Context) -> Iterator[Batch]:
    n_heads, trace = bench.info.n_heads, start.trace
    edits = ablated(job.of_layer(layer), job.run, bench, ctx)
    z = _edited(edits.get(("z", layer)), trace.z[layer])
    mlp_out = None if trace.mlp_out is None else _edited(edits.get(("mlp_out", layer)), trace.mlp_out[layer])
    for first in range(0, parts, size := _batch(job, start.count, bench)):
        heads = list(range(first, min(first + size, n_heads)))
        yield Batch(heads, z, mlp_out if first <= n_heads < first + size and parts > n_heads else None)


def _run(
    job: Effects, layer: int, batch: Batch, start: Start, bench: OpenModel, ctx: Context
) -> tuple[Tensor, Tensor]:
    """Logits ``[b, rows, outputs]`` and final stream ``[b, rows, d_model]``, a part a row of the batch."""
    run = _hooked if bench.info.capabilities.plain else _plain
    return run(job, layer, batch, start, bench, ctx)


def _edited(edit: Edit | None, value: Tensor) -> Tensor:
    """``[n, …]`` as an ablation of all of it makes it."""
    return value if edit is None else edit(value[None])[0]


def _plain(
    job: Effects, layer: int, batch: Batch, start: Start, bench: OpenModel, ctx: Context
) -> tuple[Tensor, Tensor]:
    forward, n = bench.live.forward, start.count
    mlp = None if batch.mlp is None else batch.mlp[:n]
    final = knockout.variants(
        forward, start.trace, layer, batch.heads, batch.z[:n], mlp, start.rows, start.reach, start.edits, ctx.check
    )
    return forward.logits(final), final


def _hooked(
    job: Effects, layer: int, batch: Batch, start: Start, bench: OpenModel, ctx: Context
) -> tuple[Tensor, Tensor]:
    """Through the model's own forward pass."""
    heads, z, mlp = batch.heads, batch.z, batch.mlp

    def of_heads(value: Tensor) -> Tensor:
        out = value.clone()
        for row, head in enumerate(heads):
            out[row, :, head] = z[:, head].to(value)
        return out

    edits: dict[tuple[str, int], Edit] = {("z", layer): of_heads} if heads else {}
    if mlp is not None:
        changed = mlp
        edits["mlp_out", layer] = lambda value: torch.cat([value[:-1], changed[None].to(value)])
    ids = [job.run.ids] * (len(heads) + (mlp is not None))
    hooks = hooks_of(merged(start.edits, edits), bench)
    traces = bench.live.traces(ids, (), ctx.check, hooks, start.rows)
    return torch.stack([one.logits for one in traces]), torch.stack([one.resid_pre[-1] for one in traces])


def _predicted(layer: int, batch: Batch, start: Start, bench: OpenModel) -> Tensor:
    """``[b]`` float64: what the changed write itself does to the logit difference."""
    trace, at, heads, z, mlp = start.trace, start.at, batch.heads, batch.z, batch.mlp
    W_O = torch.stack([bench.writers(layer)[head] for head in heads]) if heads else None
    out = []
    if W_O is not None:
        more = torch.einsum("hd,hdm->hm", (z[at] - trace.z[layer][at])[heads], W_O)
        out.append(more if trace.attn_post_scale is None else more * trace.attn_post_scale[layer, at])
    if mlp is not None:
        assert trace.mlp_out is not None
        out.append((mlp[at] - trace.mlp_out[layer][at])[None])
    return double(torch.cat(out)) @ double(start.g)


def _read(logits: Tensor, final: Tensor, predicted: Tensor, start: Start) -> Tensor:
    """``[b, columns but the loss]`` float64 on the CPU."""
    clean = start.trace.logits[start.at][None]
    changes = measured(logits, clean, [start.target] * len(logits)) - measured(clean, clean, [start.target])
    frozen = double(final - start.trace.resid_pre[-1, start.at]) @ double(start.g)
    return torch.cat([changes, torch.stack([predicted, changes[:, 0] - frozen], 1)], 1)


def measured(logits: Tensor, clean: Tensor, aims: Sequence[Target]) -> Tensor:
    """``logits [b, outputs]`` → every metric, ``[b, metrics]`` float64 on the CPU; ``clean [b or 1, outputs]``;
    ``aims``: one a row."""
    out = torch.empty(len(logits), len(METRICS), dtype=torch.float64)
    alike: dict[tuple[int, int], list[int]] = {}
    for row, aim in enumerate(aims):
        alike.setdefault((len(aim.answers), len(aim.distractors)), []).append(row)
    for rows in alike.values():
        answers, distractors = (
            torch.tensor(ids, dtype=torch.int64, device=logits.device)
            for ids in ([aims[row].answers for row in rows], [aims[row].distractors for row in rows])
        )
        own = clean if len(clean) == 1 else clean[rows]
        out[rows] = double(every(logits[rows], answers, distractors, own))
    return out


def _batch(job: Effects, count: int, bench: OpenModel) -> int:
    """Variants of a batch: within the memory, and few enough to be stopped soon."""
    return max(1, min(job.memory * 2**20 // bytes_of(count, bench), tokens(bench) // count))


def bytes_of(n: int, bench: OpenModel) -> int:
    """What one variant of n tokens takes while it runs: the widest activations of a block, patterns, logits."""
    info = bench.info
    wide = 4 * max(info.d_mlp, 4 * info.d_model) + 12 * info.d_model
    return 4 * (n * wide + 4 * info.n_heads * n * n + 4 * bench.live.outputs.d_vocab)


def tokens(bench: OpenModel) -> int:
    """Most tokens of a batch: from there on a CPU multiplies no faster, and a block takes a tenth of a second."""
    return 2**19 // bench.info.d_model if bench.live.device.type == "cpu" else 2**25 // bench.info.d_model


def refuse_kind(change: Ablation) -> None:
    """Refuse a kind that reads a reference where there is none."""
    if change.how in OF_REFERENCE and change.reference is None:
        raise Refusal(f"{change.how} needs a file of prompts to read.", "Name one, or choose zero.")


# --- in words ---


def _header(job: Effects, start: Start, bench: OpenModel, ctx: Context) -> Header:
    details: dict[str, Scalar] = {"lower bound": SELF_REPAIR, **targets.details(bench)}
    if reason := bench.info.capabilities.plain:
        details["hooks"] = f"{HOOKED}: {reason}"
    if job.continuation:
        details[LOSS] = "mean −log p of the continuation's tokens, in nats"
    return words.header(
        "ablation",
        f"effect of each part alone, {job.how}",
        "metric(part changed) − metric(clean)",
        explanation="each part changed by itself at all positions: the change toward "
        f"{targets.toward(bench, job.target)}; below 0 the part helped · predicted: by its own write alone, the final "
        "norm frozen · scale: of the measured change, the final norm's share",
        convention=words.convention(
            bench.info,
            job.run,
            **about_ablation(job.of_layer(0), [len(job.run.ids)]),
            position=start.at,
            **targets.convention(bench, job.target),
            continuation="".join(bench.texts(job.continuation)) if job.continuation else None,
        ),
        details=details,
    )


def about_ablation(change: Ablation, lengths: Sequence[int]) -> dict[str, Scalar]:
    """Its kind with everything that changes its numbers, for a header; ``lengths``: of the prompts, in tokens."""
    out: dict[str, Scalar] = {"kind": change.how}
    out["weights"] = change.weights if change.how == FOLDED else "any"
    if change.how == FOLDED:
        stays = "b_V + b_ln W_V" if change.weights == "processed" else "b_V as stored"
        out["value biases"] = f"stay in the stream: {stays}"
    elif change.how == "zero":
        out["value biases"] = "go with the head"
    if change.reference is not None:
        out["reference"] = f"{change.reference.name}, {len(change.reference)} prompts"
    if change.how == "mean":
        out["mean"] = per_position(change, lengths)
    if change.how == "noise":
        out |= {"sigma": change.amount, "std": per_position(change, lengths)}
    if change.how == "scale":
        out["alpha"] = change.amount
    if change.how in ("noise", "resample"):
        out["seed"] = change.seed
    return out


def per_position(change: Ablation, lengths: Sequence[int]) -> str:
    """Over what its reference is averaged, for prompts of these lengths, in words."""
    assert change.reference is not None
    every = set(lengths)
    own = {length for length in every if change.reference.all_of(length)}
    if not own:
        return "over positions: not all rows of the reference have the prompt's length"
    return "per position" if own == every else f"per position for prompts of {min(own)} tokens, else over positions"

"""What knocking out each part alone does to an answer, measured and predicted. Worker thread only.

A layer's parts are a batch of variants that starts at that layer from the prompt's own run; layers come from the last
on, which takes least. Only one position is read, so with causal attention those after it are not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..circuits import attribution, knockout, residual
from ..circuits.errors import Refusal
from ..circuits.forward import Edit, Edits, merged
from ..circuits.metrics import METRICS, every
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

COLUMNS = (*METRICS, "predicted", "scale")
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
    info = bench.info
    heads = [f"H{head}" for head in range(info.n_heads)]
    kinds = [*heads, "MLP"] if info.has_mlp else heads
    rows = Axis("part", tuple(part_name(layer, kind) for layer in range(info.n_layers) for kind in kinds))
    cols, header = Axis("value", COLUMNS), _header(job, start, bench, ctx)
    values = torch.full((info.n_layers, len(kinds), len(COLUMNS)), torch.nan, dtype=torch.float64)
    ctx.progress(STAGE, 0, len(rows))
    for done, layer in enumerate(reversed(range(info.n_layers)), 1):
        values[layer] = _of_layer(job, layer, len(kinds), start, bench, ctx)
        ctx.progress(STAGE, done * len(kinds), len(rows))
        if done < info.n_layers:
            so_far = {**header.details, "so far": f"{done} of {info.n_layers} layers"}
            ctx.partial(grid(replace(header, details=so_far, partial=True), values.flatten(0, 1), rows, cols))
    return grid(header, values.flatten(0, 1), rows, cols)


def _start(job: Effects, bench: OpenModel, ctx: Context) -> Start:
    at, n = place(job.run, job.position), len(job.run.ids)
    bench.output_index((*job.target.answers, *job.target.distractors))
    trace = bench.trace(job.run, None, ctx)
    edits: Edits = {}
    stack = [change for change in job.run.interventions if not isinstance(change, Unchanged)]
    if stack:
        edits = edits_of(stack, bench.trace(job.run.clean, None, ctx), job.run, bench, ctx)
    later = any(bool(seen[..., : at + 1, at + 1 :].any()) for seen in trace.visible.values())
    count = n if edits or later else at + 1  # edits name positions of the whole prompt
    reach = [trace.visible[layer][..., :count, :count] for layer in range(bench.info.n_layers)]
    # Measured logits are centred where they are capped too: so is what is predicted of them.
    mean = None if job.target.distractors else bench.ends.W_U.mean(1)
    towards = residual.direction(bench.ends, job.target.answers, job.target.distractors, mean)
    g = attribution.directions(bench.ends, trace.resid_pre[-1, at], towards)
    return Start(trace, edits, at, count, reach, job.target, g)


def _of_layer(job: Effects, layer: int, parts: int, start: Start, bench: OpenModel, ctx: Context) -> Tensor:
    """``[parts, columns]`` float64 on the CPU: heads, then the MLP where there is one."""
    n_heads, trace = bench.info.n_heads, start.trace
    edits = ablated(job.of_layer(layer), job.run, bench, ctx)
    z = _edited(edits.get(("z", layer)), trace.z[layer])
    mlp_out = None if trace.mlp_out is None else _edited(edits.get(("mlp_out", layer)), trace.mlp_out[layer])
    found = []
    for first in range(0, parts, size := _batch(job, start.count, bench)):
        heads = list(range(first, min(first + size, n_heads)))
        mlp = mlp_out if first <= n_heads < first + size and parts > n_heads else None
        run = _hooked if bench.info.capabilities.plain else _plain
        logits, final = run(job, layer, heads, z, mlp, start, bench, ctx)
        found.append(_read(logits, final, _predicted(layer, heads, z, mlp, start, bench), start))
    return torch.cat(found)


def _edited(edit: Edit | None, value: Tensor) -> Tensor:
    """``[n, …]`` as an ablation of all of it makes it."""
    return value if edit is None else edit(value[None])[0]


def _plain(
    job: Effects, layer: int, heads: list[int], z: Tensor, mlp: Tensor | None, start: Start, bench: OpenModel,
    ctx: Context,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Logits ``[b, outputs]`` and final stream ``[b, d_model]`` at the position, a part a row."""
    forward, n = bench.live.forward, start.count
    mlp = None if mlp is None else mlp[:n]
    final = knockout.variants(
        forward, start.trace, layer, heads, z[:n], mlp, start.at, start.reach, start.edits, ctx.check
    )
    return forward.logits(final), final


def _hooked(
    job: Effects, layer: int, heads: list[int], z: Tensor, mlp: Tensor | None, start: Start, bench: OpenModel,
    ctx: Context,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As ``_plain``, through the model's own forward pass."""

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
    traces = bench.live.traces(ids, (), ctx.check, hooks, slice(start.at, start.at + 1))
    return torch.stack([one.logits[0] for one in traces]), torch.stack([one.resid_pre[-1][0] for one in traces])


def _predicted(
    layer: int, heads: list[int], z: Tensor, mlp: Tensor | None, start: Start, bench: OpenModel
) -> Tensor:
    """``[b]`` float64: what the changed write itself does to the logit difference."""
    trace, at = start.trace, start.at
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
    """``[b, columns]`` float64 on the CPU."""
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

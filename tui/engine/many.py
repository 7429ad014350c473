"""Many prompts: mean and spread over a file of them, and where in it a head attends to a token. Worker thread only.

Prompts of one length share a forward pass, a few at a time: a job of its own (``ReadPrompts``), of which stays what is
read of each prompt. That is added to the result so far, prompt by prompt in the order of the passes, and the result so
far is shown after each. Lens and attribution read the last position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from ..circuits import pattern as attention
from ..circuits.errors import Refusal
from ..circuits.normalise import double
from ..circuits.over import Running
from ..circuits.tensors import Trace
from ..results import Axis, Grid, Header, Result, Scalar, Table, head_name
from ..text import shorten, visible
from . import attributions, lenses, states, targets, words
from .bench import Context
from .changes import Alone
from .grids import grid
from .jobs import AttributionOver, Contexts, LensOver, OverPrompts, PatternOver, Prompts, ReadPrompts, Target
from .jobs.parts import Forward
from .opened import OpenModel

TOKENS, PROMPTS, LOGITS = 512, 32, 128 << 20
"""Most tokens (from there on a CPU multiplies no faster), prompts and bytes of logits of one forward pass."""
STAGE = "prompts"
LAST = slice(-1, None)
AROUND = 4
"""Tokens of context on either side of a query."""
MIXED = "some have a distractor and some have none: logit differences and single logits in one mean"
MEASURES = ("probability", "rank", "entropy", "KL")

R = TypeVar("R", bound=Result)
Facts = dict[str, Scalar]
Reader = Callable[[int, Trace, Trace], Any]
"""What is read of a prompt by its index, its trace with the stream at its last position at least, and that of the clean
model: numbers, texts and arrays."""


def attribution_over(job: AttributionOver, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    prompts, header = job.prompts, _attribution_header(job, bench)
    parts, values = Running(), Running()
    names: tuple[str, ...] = ()
    worst = 0.0

    def add(index: int, found: tuple[tuple[str, ...], np.ndarray, float, float]) -> None:
        nonlocal parts, values, names, worst
        names, of_parts, value, error = found
        worst = max(worst, error)
        parts, values = parts.add(torch.tensor(of_parts)), values.add(torch.tensor(value, dtype=torch.float64))

    def result(so_far: Facts) -> Grid:
        value, total = float(values.mean), float(parts.mean.sum())
        checks = {"value": value, "sum": total, "error": abs(total - value)}
        of_prompts = {"spread of the value": float(values.spread), "largest error of a prompt": worst}
        details = {**header.details, **of_prompts, **so_far}
        columns = torch.stack([parts.mean, parts.spread], 1)
        told = replace(header, checks=checks, details=details, partial=bool(so_far))
        return grid(told, columns, Axis("part", names), Axis("statistic", ("mean", "spread")))

    return _stream(job, range(len(prompts)), bench, ctx, add, result)


def _read_attribution(job: AttributionOver, bench: OpenModel, ctx: Context) -> Reader:
    def read(index: int, trace: Trace, clean: Trace) -> tuple[tuple[str, ...], np.ndarray, float, float]:
        aim = _target(job.prompts, index, clean)
        found = attributions.by_part(bench, trace, _last(trace), aim, job.unit, ctx.check)
        return found.names, double(found.values).numpy(), float(found.value), float(found.checks["error"])

    return read


def _attribution_header(job: AttributionOver, bench: OpenModel) -> Header:
    prompts = job.prompts
    one, own = _shared(prompts), any(prompts.targets)
    differences = {target is not None and bool(target.distractors) for target in prompts.targets}
    toward = "each prompt's answer" if own else bench.of_outputs("each prompt's likeliest next token")
    if differences == {True}:
        toward += ", away from its distractor"
    details = targets.details(bench)
    if len(differences) == 1:
        whole = f"the mean of {targets.whole(bench, prompts.targets[0] or Target(()))}"
    else:
        whole, details["targets"] = "the mean of the prompts' values", MIXED
    return words.header(
        "attribution",
        "direct logit attribution, mean and spread over prompts",
        "frozen norm(part) · direction",
        unit="logit",
        explanation=f"push toward {targets.toward(bench, one) if one else toward}, {attributions.FROZEN}; "
        f"the means sum to {whole}",
        convention=words.convention(
            bench.info,
            prompts.run(0),
            weights="any",
            unit=job.unit,
            **about(prompts),
            position="last",
            **aims(prompts, bench, distractors=True),
        ),
        details=details,
    )


def lens_over(job: LensOver, bench: OpenModel, ctx: Context) -> Table:
    prompts, names = job.prompts, states.state_names(bench, job.mids)
    header = words.header(
        "lens",
        "logit lens, mean and spread over prompts",
        lenses.distribution(bench),
        explanation="if the model stopped at a state: the answer's probability and rank (1 = likeliest), entropy and "
        "KL(final ‖ lens) in nats; ± is the spread over the prompts",
        convention=lenses.lens_convention(
            bench, prompts.run(0), **about(prompts), position="last", **aims(prompts, bench, distractors=False)
        ),
    )
    columns = ("state", *(name for measure in MEASURES for name in (measure, f"{measure} ±")))
    measures = Running()
    gap = 0.0

    def add(index: int, found: tuple[np.ndarray, float]) -> None:
        nonlocal measures, gap
        of_states, own = found
        measures, gap = measures.add(torch.tensor(of_states)), max(gap, own)

    def result(so_far: Facts) -> Table:
        numbers = torch.stack([measures.mean, measures.spread], 2).flatten(1).tolist()
        rows = tuple((name, *values) for name, values in zip(names, numbers, strict=True))
        told = replace(header, checks={lenses.LAST: gap}, details=so_far, partial=bool(so_far))
        return Table(told, columns, rows, bar="probability")

    return _stream(job, range(len(prompts)), bench, ctx, add, result)


def _read_lens(job: LensOver, bench: OpenModel, ctx: Context) -> Reader:
    names = states.state_names(bench, job.mids)

    def read(index: int, trace: Trace, clean: Trace) -> tuple[np.ndarray, float]:
        answers = _target(job.prompts, index, clean).answers
        reading = lenses.at_position(bench, trace, _last(trace), names, answers, ctx)
        chances, ranks = double(reading.answers).mean(1), double(reading.ranks).mean(1)
        measures = torch.stack([chances, ranks, double(reading.entropy), double(reading.divergence)], 1)
        return measures.numpy(), float(reading.gap[-1])

    return read


def pattern_over(job: PatternOver, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("pattern")
    bench.head(job.layer, job.head, "raw")
    prompts, mean = job.prompts, job.statistic == "mean"
    shortest = _shortest(prompts)
    equal = prompts.all_of(shortest)
    labels = _positions(prompts, shortest, equal, bench)
    header = words.header(
        "pattern",
        f"attention pattern, {job.statistic} over prompts",
        f"{'mean' if mean else 'std'} of pattern[i, j]",
        unit="probability",
        head=head_name(job.layer, job.head),
        explanation=f"row = query, column = key: share of the query's attention, {job.statistic} over the prompts",
        convention=words.convention(
            bench.info,
            prompts.run(0),
            kind="pattern",
            weights="any",
            statistic=job.statistic,
            **about(prompts),
            aligned="position by position" if equal else f"at the end, over the last {shortest} positions",
        ),
    )
    cells = Running()

    def add(index: int, pattern: np.ndarray) -> None:
        nonlocal cells
        cells = cells.add(torch.tensor(pattern))

    def result(so_far: Facts) -> Grid:
        told = replace(header, details=so_far, partial=bool(so_far))
        query, key = (Axis(f"{name} position", labels) for name in ("query", "key"))
        return grid(told, cells.mean if mean else cells.spread, query, key, diverging=False)

    return _stream(job, range(len(prompts)), bench, ctx, add, result)


def _shortest(prompts: Prompts) -> int:
    return min(len(run.ids) for run in prompts.runs)


def _read_pattern(job: PatternOver, bench: OpenModel, ctx: Context) -> Reader:
    shared = _shortest(job.prompts)

    def read(index: int, trace: Trace, clean: Trace) -> np.ndarray:
        pattern = trace.patterns[job.layer][job.head][-shared:, -shared:]
        seen = attention.visible(trace, job.layer, job.head)[-shared:, -shared:]
        array: np.ndarray = pattern.masked_fill(~seen, torch.nan).float().cpu().numpy()
        return array

    return read


def _positions(prompts: Prompts, count: int, equal: bool, bench: OpenModel) -> tuple[str, ...]:
    """Positions that all prompts have, counted from the end where lengths differ, with the token that all share."""
    labels = []
    for place in range(-count, 0):
        tokens = {run.ids[place] for run in prompts.runs}
        shared = f" {visible(bench.texts(tuple(tokens))[0])}" if len(tokens) == 1 else ""
        labels.append(f"{place + count if equal else place}{shared}")
    return tuple(labels)


def contexts(job: Contexts, bench: OpenModel, ctx: Context) -> Table:
    bench.need("pattern")
    bench.head(job.layer, job.head, "raw")
    bench.index((job.token,))
    prompts, name, token = job.prompts, head_name(job.layer, job.head), bench.texts((job.token,))[0]
    found = [index for index, run in enumerate(prompts.runs) if job.token in run.ids]
    if not found:
        raise Refusal(f"{visible(token)} is in none of the prompts of {prompts.name}.", "Choose a token that is.")
    header = words.header(
        "contexts",
        f"where {name} attends most to {visible(token)}",
        "pattern[query, key]",
        unit="probability",
        head=name,
        explanation=f"share of the query's attention on «{visible(token)}», strongest first",
        convention=words.convention(bench.info, prompts.run(0), token=token, **about(prompts)),
        details={"prompts with the token": len(found)},
    )
    best: list[tuple[float, int, int, int]] = []

    def add(index: int, most: tuple[tuple[float, int, int], ...]) -> None:
        best.extend((-share, index, query, key) for share, query, key in most)
        best.sort()
        del best[job.k :]

    def result(so_far: Facts) -> Table:
        rows = []
        for share, index, query, key in best:
            texts = bench.texts(prompts.runs[index].ids)
            rows.append((-share, index, query, key, texts[query], _context(texts, query, key)))
        columns = ("attention", "prompt", "query position", "key position", "query", "context")
        told = replace(header, details={**header.details, **so_far}, partial=bool(so_far))
        return Table(told, columns, tuple(rows), bar="attention")

    return _stream(job, found, bench, ctx, add, result)


def _read_contexts(job: Contexts, bench: OpenModel, ctx: Context) -> Reader:
    def read(index: int, trace: Trace, clean: Trace) -> tuple[tuple[float, int, int], ...]:
        keys = [place for place, other in enumerate(job.prompts.runs[index].ids) if other == job.token]
        seen = attention.visible(trace, job.layer, job.head)[:, keys]
        shares, order = trace.patterns[job.layer][job.head][:, keys][seen].sort(descending=True, stable=True)
        cells = seen.nonzero()[order[: job.k]].tolist()
        return tuple((share, query, keys[at]) for share, (query, at) in zip(shares.tolist(), cells, strict=False))

    return read


def _context(texts: Sequence[str], query: int, key: int) -> str:
    """A few tokens around the query, the key marked: ``… capital of« France» is``; no blanks but the tokens' own."""
    start, stop = max(0, query - AROUND), query + AROUND + 1
    around = "".join(f"«{text}»" if at == key else text for at, text in enumerate(texts[start:stop], start))
    before = "" if start == 0 else "…"
    if key < start:
        before = ("" if key == 0 else "…") + f"«{texts[key]}»" + ("" if key == start - 1 else "…")
    return before + around + ("…" if stop < len(texts) else "")


def _stream(
    job: OverPrompts,
    which: Sequence[int],
    bench: OpenModel,
    ctx: Context,
    add: Callable[[int, Any], None],
    result: Callable[[Facts], R],
) -> R:
    """What is read of every prompt of ``which`` to ``add``; ``result`` at the end, and after each pass before, with a
    word on how far it is."""
    prompts, done = job.prompts, 0
    if prompts.changes:
        which = sorted(which, key=lambda index: len(prompts.runs[index].ids))  # a position that one lacks is said first
    ctx.progress(STAGE, 0, len(which))
    batches = list(_batches(prompts, which, bench.live.outputs.d_vocab))
    for batch, found in zip(batches, ctx.each([ReadPrompts(job, tuple(batch)) for batch in batches]), strict=True):
        for index, of_prompt in zip(batch, found, strict=True):
            ctx.check()
            add(index, of_prompt)
        done += len(batch)
        ctx.progress(STAGE, done, len(which))
        if done < len(which):
            ctx.partial(result({"so far": f"{done} of {len(which)} prompts"}))
    return result({})


def read_prompts(job: ReadPrompts, bench: OpenModel, ctx: Context) -> tuple[Any, ...]:
    """One pass."""
    of = job.of
    read, layers = READERS[type(of)](of, bench, ctx), (of.layer,) if isinstance(of, PatternOver | Contexts) else ()
    out = []
    for index, trace, clean in _traces(of.prompts, job.which, layers, bench, ctx):
        ctx.check()
        out.append(read(index, trace, clean))
    return tuple(out)


def _traces(
    prompts: Prompts, batch: Sequence[int], layers: tuple[int, ...], bench: OpenModel, ctx: Context
) -> Iterator[tuple[int, Trace, Trace]]:
    """Prompts of one length, each with its trace and the clean one. What changes do may depend on the prompt, so that
    those of a changed model run one by one."""
    if not prompts.changes:
        ids = [prompts.runs[index].ids for index in batch]
        traces = bench.live.traces(ids, layers, ctx.check, positions=LAST)
        yield from zip(batch, traces, traces, strict=True)
        return
    layer = layers[0] if layers else None
    for index in batch:
        run = prompts.run(index)
        alone = Alone(run, bench, ctx)
        try:
            yield index, alone.get(Forward(run, layer)), alone.get(Forward(run.clean, layer))
        except Refusal as error:
            start = shorten(" ".join(map(visible, prompts.texts[index].split())), 40)
            raise Refusal(
                f"Prompt {index + 1} of {prompts.name} (“{start}”): {error.message}",
                error.hint or "d shows the clean model, F one prompt.",
            ) from None


READERS: dict[type[OverPrompts], Callable[[Any, OpenModel, Context], Reader]] = {
    AttributionOver: _read_attribution,
    Contexts: _read_contexts,
    LensOver: _read_lens,
    PatternOver: _read_pattern,
}


def _last(trace: Trace) -> int:
    """The last position at which the stream is kept."""
    return trace.resid_pre.shape[1] - 1


def _batches(prompts: Prompts, which: Sequence[int], d_vocab: int) -> Iterator[list[int]]:
    """Prompts of one length, those of each length in their order, as many as one forward pass takes."""
    by_length: dict[int, list[int]] = {}
    for index in which:
        by_length.setdefault(len(prompts.runs[index].ids), []).append(index)
    for n, indices in by_length.items():
        size = max(1, min(PROMPTS, TOKENS // n, LOGITS // (4 * n * d_vocab)))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


def _target(prompts: Prompts, index: int, trace: Trace) -> Target:
    """A prompt's own target, else the model's top next token."""
    return prompts.targets[index] or Target((int(trace.logits[-1].argmax()),))


def _shared(prompts: Prompts) -> Target | None:
    """The target of all prompts, where they have one."""
    every = set(prompts.targets)
    return every.pop() if len(every) == 1 else None


def about(prompts: Prompts) -> dict[str, Scalar]:
    """Which prompts, for a header."""
    lengths = [len(run.ids) for run in prompts.runs]
    low, high = min(lengths), max(lengths)
    said = f"{low} tokens each" if low == high else f"{low} to {high} tokens"
    brought = {"bos in the text": f"{prompts.with_own_bos} of {len(prompts)}"} if prompts.with_own_bos else {}
    return {"prompts": prompts.name, "count": len(prompts), "lengths": said, **brought}


def aims(prompts: Prompts, bench: OpenModel, distractors: bool) -> dict[str, Scalar]:
    """Answers, and distractors where they matter, of all prompts, for a header."""
    one = _shared(prompts)
    if one is not None:
        return targets.convention(bench, one if distractors else Target(one.answers))
    own = [target for target in prompts.targets if target is not None]
    every, likeliest = len(own) == len(prompts), bench.of_outputs("its likeliest next token")
    if not own:
        return {"answer": f"of each prompt {likeliest}"}
    out: dict[str, Scalar] = {"answer": "each prompt's own" + ("" if every else f", else {likeliest}")}
    if distractors and any(target.distractors for target in own):
        every = every and all(target.distractors for target in own)
        out["distractor"] = "each prompt's own" + ("" if every else ", where it has one")
    return out

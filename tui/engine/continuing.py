"""What the model says next, clean and changed, token by token. Worker thread only."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..circuits.errors import Refusal
from ..circuits.tensors import Trace
from ..results import Scalar, Table
from . import words
from .bench import Context
from .changes import Alone, positions
from .jobs import MOST_TOKENS, Change, Continuation, Run
from .jobs.parts import Forward
from .opened import OpenModel


def continuation(job: Continuation, bench: OpenModel, ctx: Context) -> Table:
    info = bench.info
    if info.classes:
        raise Refusal("This model puts out classes, not tokens that could go on a text.")
    if not 1 <= job.n <= MOST_TOKENS:
        raise Refusal(f"{job.n} tokens cannot be asked for at once.", f"Ask for 1 to {MOST_TOKENS}.")
    n = min(job.n, info.n_ctx - len(job.run.ids))
    if n < 1:
        raise Refusal(f"The prompt has {len(job.run.ids)} tokens, as many as {info.name} reads: nothing can follow it.",
                      "Shorten it.")  # fmt: skip
    bench.index(job.run.ids)
    sides = [job.run.clean] + ([_pinned(job.run)] if job.run.interventions else [])
    draws = [torch.Generator().manual_seed(job.seed) for _ in sides]
    said: list[list[tuple[int, float]]] = [[] for _ in sides]
    for step in range(n):
        for side, (run, drawn) in enumerate(zip(sides, draws, strict=True)):
            ids = (*run.ids, *(token for token, _ in said[side]))
            said[side].append(_next(replace(run, ids=ids), job.temperature, drawn, bench, ctx))
        ctx.progress("continuation", step + 1, n)
        if step + 1 < n:
            ctx.partial(_table(job, said, bench, partial=True))
    return _table(job, said, bench, partial=False)


def _pinned(run: Run) -> Run:
    """The run with its changes at the prompt's own positions, however long it grows."""

    def pinned(change: Change) -> Change:
        span = getattr(change, "positions", None)
        if span is None:
            return change
        return replace(change, positions=tuple(positions(span, len(run.ids))))  # type: ignore[call-arg]

    return replace(run, interventions=tuple(map(pinned, run.interventions)))


def _next(run: Run, temperature: float, drawn: torch.Generator, bench: OpenModel, ctx: Context) -> tuple[int, float]:
    trace: Trace = Alone(run, bench, ctx).get(Forward(run))
    logits = trace.logits[-1].double().cpu()
    shares = logits.softmax(0)
    if temperature == 0:
        token = int((logits == logits.max()).nonzero()[0])
    else:
        token = int(torch.multinomial((logits / temperature).softmax(0), 1, generator=drawn))
    return token, float(shares[token])


def _table(job: Continuation, said: list[list[tuple[int, float]]], bench: OpenModel, partial: bool) -> Table:
    names = [bench.texts(tuple(token for token, _ in side)) for side in said]
    rows: list[tuple[Scalar, ...]] = []
    for step in range(len(said[0])):
        row: list[Scalar] = [len(job.run.ids) + step]
        for side, texts in zip(said, names, strict=True):
            row += [texts[step], side[step][0], side[step][1]]
        rows.append(tuple(row))
    columns: tuple[str, ...] = ("position", "token", "id", "probability")
    if len(said) > 1:
        columns = ("position", "clean", "clean id", "clean probability", "token", "id", "probability")
    how = "the likeliest token" if job.temperature == 0 else f"drawn at temperature {job.temperature:g}"
    header = words.header(
        "continuation",
        "what the model says next",
        "softmax(logits)",
        unit="probability",
        explanation=f"{how} after each position; of the clean and of the changed model, each on its own words"
        if len(said) > 1 else f"{how} after each position",
        convention=words.convention(bench.info, job.run, temperature=job.temperature,
                                    seed=job.seed if job.temperature else None),
        partial=partial,
    )  # fmt: skip
    return Table(header, columns, tuple(rows), bar="probability")
